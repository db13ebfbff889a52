"""The loss on real data after training on the set, against an explicit loop, and its step sizes."""

from __future__ import annotations

import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import InternalError
from attar.objectives.inner import InnerAdam, InnerSGD, adjoint, plain
from attar.objectives.rates import FixedRate, OneRate, RatePerStep
from attar.objectives.unrolled import UnrolledLoss
from attar.rng import derive
from attar.testing import toy_task
from attar.testing.toys import toy_augment
from torch.func import functional_call
from torch.nn import functional

STEPS, RATE = 5, 0.3
LABELS = torch.tensor([0, 1, 2, 0])
VECTORS, SIGNALS = (4,), (2, 6)
MODELS = {VECTORS: "mlp,width=5,depth=1,act=gelu", SIGNALS: "convnet,width=3,depth=1,norm=batch,act=gelu"}

OPTIMIZERS = {"sgd": InnerSGD(), "momentum": InnerSGD(momentum=0.9), "adam": InnerAdam()}
PARTS = {"window": 2, "random": True, "batch": 3, "augment": True}


def random(*shape, seed=0):
    return torch.randn(shape, generator=derive(seed, "values"), dtype=torch.float64)


def setting(feature=VECTORS, step=0, seed=0):
    task = toy_task(feature, augment=toy_augment())
    model = task.build(MODELS[feature], derive(0, "model")).double().requires_grad_(False)
    return Subject(model, 0), Context(task, seed, Clock(step, 9))


def real(feature=VECTORS):
    return Batch(random(7, *feature, seed=1), torch.tensor([0, 0, 1, 1, 2, 2, 2]))


def leaves(feature=VECTORS, steps=STEPS):
    """Inputs, scores of targets and the logarithms of step sizes that differ."""
    logs = math.log(RATE) + 0.3 * random(steps, seed=3)
    return [each.requires_grad_() for each in (random(4, *feature), random(4, 3, seed=2), logs)]


def loss(**given):
    return UnrolledLoss(
        **{"optimizer": InnerSGD(), "rates": RatePerStep(RATE), "steps": STEPS, "per_class": 3, **given}
    )


def value(unrolled, given, feature=VECTORS, **moment):
    inputs, scores, logs = given
    subject, ctx = setting(feature, **moment)
    syn = Batch(inputs, LABELS, None if scores is None else scores.softmax(1))
    learned = {f"log_rate_{index}": each for index, each in enumerate(logs)}
    return unrolled.compare(subject, unrolled.observe(subject, real(feature), ctx), syn, ctx, learned)


def answer(unrolled, feature=VECTORS, **moment):
    """The loss and its gradients to inputs, targets and logarithms of step sizes."""
    given = leaves(feature)
    found = value(unrolled, given, feature, **moment)
    return [found.detach(), *torch.autograd.grad(found, given)]


def close(one, other, rtol):
    assert all(float(b.abs().max()) > 0 for b in other)
    return all((a - b).abs().max() <= rtol * b.abs().max() for a, b in zip(one, other, strict=True))


def by_hand(given, window=STEPS, momentum=0.0):
    """Wang et al., 2018, equation 5: theta_{i+1} = theta_i - eta_i grad l(x, theta_i), then l on real data.

    Before the window everything is a constant: parameters, velocities and the set.
    """
    inputs, scores, logs = given
    subject, _ = setting()
    names, parameters = zip(*subject.model.named_parameters(), strict=True)
    parameters = [each.detach().requires_grad_() for each in parameters]
    velocities = [torch.zeros_like(each) for each in parameters]
    for index in range(STEPS):
        if index == STEPS - window:
            parameters = [each.detach().requires_grad_() for each in parameters]
            velocities = [each.detach() for each in velocities]
        logits = functional_call(subject.model, dict(zip(names, parameters, strict=True)), (inputs,))
        wrong = functional.cross_entropy(logits, LABELS if scores is None else scores.softmax(1))
        slopes = torch.autograd.grad(wrong, parameters, create_graph=True)
        velocities = [momentum * v + slope for v, slope in zip(velocities, slopes, strict=True)]
        parameters = [each - logs[index].exp() * v for each, v in zip(parameters, velocities, strict=True)]
    logits = functional_call(subject.model, dict(zip(names, parameters, strict=True)), (real().inputs,))
    return functional.cross_entropy(logits, real().labels)


@pytest.mark.parametrize("unroll", [plain, adjoint])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("window", [0, 1, 3, STEPS, 99])
def test_the_loss_is_the_papers(window, momentum, unroll):
    given = leaves()
    expected = by_hand(given, min(window or STEPS, STEPS), momentum)
    gradients = torch.autograd.grad(expected, given)
    found = answer(loss(window=window, optimizer=InnerSGD(momentum), unroll=unroll))
    assert close(found, [expected.detach(), *gradients], 1e-10)


def test_steps_before_the_window_leave_no_gradient_to_their_rates():
    *_, rates = answer(loss(window=2))
    assert rates.ne(0).tolist() == [False, False, False, True, True]


def test_a_window_changes_the_gradient_and_not_the_loss():
    one, other = answer(loss(window=2)), answer(loss())
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1], rtol=0.01)


def test_the_set_is_trained_on_with_hard_labels_where_it_has_no_others():
    inputs, _, logs = leaves()
    given = [inputs, None, logs]
    assert value(loss(), given).item() == pytest.approx(by_hand(given).item(), rel=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("feature", [VECTORS, SIGNALS], ids=["mlp", "normed"])
@pytest.mark.parametrize("given", [{}, PARTS], ids=["whole", "parts"])
def test_adjoint_is_the_same_loss_with_the_same_gradient(optimizer, feature, given):
    one, other = (
        answer(loss(optimizer=optimizer, unroll=unroll, **given), feature, step=1)
        for unroll in (adjoint, plain)
    )
    assert close(one, other, 1e-8)


@pytest.mark.parametrize("given", [{"batch": 2}, {"augment": True}], ids=["minibatches", "augmented"])
def test_parts_and_augmentation_of_the_set_change_the_loss(given):
    assert abs(answer(loss(**given))[0] - answer(loss())[0]) > 1e-4


def spans(steps, window, moments):
    """The steps that the gradient goes through at some moments of a run."""
    found = []

    def note(training, state, syn, rates, through, outer):
        found.append((through.start, through.stop))
        return plain(training, state, syn, rates, through, outer)

    unrolled = loss(steps=steps, window=window, random=True, unroll=note)
    for step, seed in moments:
        value(unrolled, leaves(steps=steps), step=step, seed=seed)
    return found


def test_a_random_window_ends_anywhere_in_the_training():
    found = spans(5, 2, [(step, 0) for step in range(30)])
    assert set(found) == {(0, 2), (1, 3), (2, 4), (3, 5)}


def test_a_random_window_of_all_steps_is_all_steps():
    assert set(spans(3, 0, [(step, 0) for step in range(5)])) == {(0, 3)}


def test_the_same_step_has_the_same_window():
    moments = [(step, seed) for seed in (0, 1) for step in range(8)]
    found = spans(6, 1, moments)
    assert found == spans(6, 1, moments)
    assert found[:8] != found[8:]


def test_a_random_window_is_that_of_a_shorter_training():
    ((_, last),) = spans(STEPS, 2, [(0, 0)])
    assert last < STEPS
    found, expected = answer(loss(window=2, random=True), step=0), answer(loss(steps=last, window=2))
    assert close(found, expected, 1e-12)


@pytest.mark.parametrize("feature", [VECTORS, SIGNALS], ids=["mlp", "normed"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_showing_real_data_a_few_at_a_time_changes_nothing(feature, chunk):
    assert close(answer(loss(chunk=chunk), feature), answer(loss(), feature), 1e-10)


def test_no_more_real_rows_than_a_chunk_are_shown_at_a_time():
    (subject, ctx), (inputs, scores, logs), seen = setting(), leaves(), []
    subject.model.register_forward_hook(lambda model, given, logits: seen.append(len(logits)))
    syn = Batch(inputs, LABELS, scores.softmax(1))
    loss(chunk=3, steps=1).compare(subject, real(), syn, ctx, {"log_rate_0": logs[0]})
    assert seen == [4, 3, 3, 1]


def test_as_many_real_samples_are_wanted_as_asked_for():
    assert loss(per_class=11).real.per_class == 11


def test_real_data_are_constants():
    subject, ctx = setting()
    shown = Batch(real().inputs.requires_grad_(), real().labels)
    seen = loss().observe(subject, shown, ctx)
    assert torch.equal(seen.inputs, shown.inputs)
    assert not seen.inputs.requires_grad


def test_without_real_data_there_is_no_loss():
    subject, ctx = setting()
    with pytest.raises(InternalError, match="no real data"):
        loss().observe(subject, None, ctx)


@pytest.mark.parametrize(
    ("size", "augment", "claims"), [(0, False, {"order_free"}), (2, False, {}), (0, True, {})]
)
def test_the_order_of_samples_matters_where_draws_go_by_it(size, augment, claims):
    assert loss(batch=size, augment=augment).claims == set(claims)


LIKE = torch.zeros(1, dtype=torch.float64)


def read(rates, values):
    learned = {name: torch.tensor(each, requires_grad=True) for name, each in values.items()}
    return rates.read(learned, 3, LIKE), list(learned.values())


@pytest.mark.parametrize(
    ("rates", "names"),
    [
        (FixedRate(0.2), []),
        (OneRate(0.2), ["log_rate"]),
        (RatePerStep(0.2), ["log_rate_0", "log_rate_1", "log_rate_2"]),
    ],
)
def test_step_sizes_begin_as_they_were_given(rates, names):
    initial = rates.learned(3)
    found, _ = read(rates, initial)
    assert list(initial) == names
    assert found.dtype == LIKE.dtype
    assert found.tolist() == pytest.approx([0.2] * 3, rel=1e-6)


@pytest.mark.parametrize("log", [-40.0, 0.0, 3.0])
def test_one_step_size_is_learned_by_its_logarithm(log):
    found, (learned,) = read(OneRate(0.2), {"log_rate": log})
    assert found.tolist() == pytest.approx([math.exp(log)] * 3, rel=1e-6)
    assert all(each > 0 for each in found.tolist())
    # The slope of exp is exp, and all steps share it.
    (slope,) = torch.autograd.grad(found.sum(), learned)
    assert slope.item() == pytest.approx(3 * math.exp(log), rel=1e-6)


def test_each_step_has_a_step_size_of_its_own_in_order():
    logs = [0.5, -50.0, -1.0]
    found, learned = read(RatePerStep(0.2), {f"log_rate_{index}": log for index, log in enumerate(logs)})
    assert found.tolist() == pytest.approx([math.exp(log) for log in logs], rel=1e-6)
    assert all(each > 0 for each in found.tolist())
    slopes = torch.autograd.grad(found[2], learned, allow_unused=True)
    assert [float(slope) for slope in slopes] == pytest.approx([0, 0, math.exp(-1)], rel=1e-6)


def test_more_than_ten_step_sizes_stay_in_order():
    rates = RatePerStep(0.2)
    logs = {name: torch.tensor(float(place)) for place, name in enumerate(rates.learned(12))}
    assert rates.read(logs, 12, LIKE).log().tolist() == pytest.approx(list(range(12)), abs=1e-5)


def test_a_fixed_step_size_is_not_learned():
    assert not FixedRate(0.2).read({}, 3, LIKE).requires_grad

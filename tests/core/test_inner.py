"""Training on the set against PyTorch's optimizers and an explicit loop, and its ways back."""

from __future__ import annotations

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context
from attar.errors import InternalError
from attar.nets import MLP
from attar.objectives.inner import InnerAdam, InnerSGD, InnerTraining, adjoint, plain, stopped
from attar.rng import derive
from attar.tensor import Noise, TensorAugment
from attar.testing import toy_task
from attar.testing.toys import toy_augment
from torch import nn
from torch.func import functional_call
from torch.nn import functional

CLASSES, ROWS, STEPS = 3, 5, 6
SMOOTH = "mlp,width=5,depth=1,act=gelu"
OPTIMIZERS = {"sgd": InnerSGD(), "momentum": InnerSGD(momentum=0.9), "adam": InnerAdam()}
EACH = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Dropping(nn.Module):
    coupled = False

    def __init__(self, feature, classes):
        super().__init__()
        self.first, self.drop = nn.Linear(feature[0], 8), nn.Dropout(0.5)
        self.head = nn.Linear(8, classes)

    def forward(self, inputs):
        return self.head(self.drop(functional.gelu(self.first(inputs))))


class Sparing(MLP):
    def __init__(self, feature, classes):
        super().__init__(feature, classes, width=5, depth=1, act="gelu")
        self.spare = nn.Parameter(torch.ones(2))


def random(*shape, seed=0):
    return torch.randn(shape, generator=derive(seed, "values"), dtype=torch.float64)


def leaves(feature=(4,), seed=0):
    """Inputs, scores of targets and step sizes that ask for gradients."""
    rates = 0.05 + 0.3 * torch.rand(STEPS, generator=derive(seed, "rates"), dtype=torch.float64)
    return [
        each.requires_grad_()
        for each in (random(ROWS, *feature, seed=seed), random(ROWS, CLASSES, seed=seed + 1), rates)
    ]


def as_batch(inputs, scores=None):
    return Batch(inputs, torch.arange(ROWS) % CLASSES, None if scores is None else scores.softmax(1))


def training(optimizer=None, arch=SMOOTH, feature=(4,), step=0, seed=0, **given):
    task = toy_task(feature, CLASSES).with_architecture("dropping", Dropping)
    task = task.with_architecture("spare", Sparing)
    model = task.build(arch, derive(0, "model")).double().requires_grad_(False)
    ctx = Context(task, seed, Clock(step, 9))
    return InnerTraining(model=model, ctx=ctx, optimizer=optimizer or InnerSGD(), **given)


def distance(parameters):
    """Answers that are no quadratic, so that the gradient depends on where the training ends."""
    goal = [random(*each.shape, seed=index) for index, each in enumerate(parameters)]
    apart = torch.stack([((a - b) ** 2).sum() for a, b in zip(parameters, goal, strict=True)]).sum()
    return apart + apart.sin()


def answer(unroll, inner, given, steps=range(STEPS)):
    """The answer and its gradients to inputs, targets and step sizes."""
    inputs, scores, rates = given
    syn = as_batch(inputs, scores)
    before = range(steps.start)
    state = inner.forward(inner.begin(inner.start()), syn.constant(), rates.detach(), before)
    found = unroll(inner, state, syn, rates, steps, distance)
    return [found.detach(), *torch.autograd.grad(found, given)]


def close(one, other, rtol):
    assert all(float(b.abs().max()) > 0 for b in other)
    return all((a - b).abs().max() <= rtol * b.abs().max() for a, b in zip(one, other, strict=True))


def loss_gradients(inner, parameters, shown, graph=True):
    names = [name for name, _ in inner.model.named_parameters()]
    logits = functional_call(inner.model, dict(zip(names, parameters, strict=True)), (shown.inputs,))
    loss = functional.cross_entropy(logits, shown.labels if shown.targets is None else shown.targets)
    return torch.autograd.grad(loss, parameters, create_graph=graph)


def unrolled_loop(inner, state, syn, rates, steps, outer):
    """Cazenave et al., CVPR 2022, algorithm 1: theta <- theta - alpha grad l(A(batch); theta)."""
    parameters = [each.detach().requires_grad_() for each in inner.parameters(state)]
    velocities = [torch.zeros_like(each) for each in parameters]
    for index in steps:
        gradients = loss_gradients(inner, parameters, inner.shown(index, syn))
        velocities = [inner.optimizer.momentum * v + g for v, g in zip(velocities, gradients, strict=True)]
        parameters = [each - rates[index] * v for each, v in zip(parameters, velocities, strict=True)]
    return outer(parameters)


def stopped_loop(inner, state, syn, rates, steps, outer):
    """Cui et al., ICML 2023, equations 5 to 8: no gradient of a step reaches the steps before it."""
    parameters = list(inner.parameters(state))
    for index in steps:
        constants = [each.detach().requires_grad_() for each in parameters]
        gradients = loss_gradients(inner, constants, inner.shown(index, syn))
        parameters = [each - rates[index] * g for each, g in zip(parameters, gradients, strict=True)]
    return outer(parameters)


def stepped(inner, steps, rate):
    """Parameters after each step on hard labels."""
    state, syn, found = inner.begin(inner.start()), as_batch(random(ROWS, 4)), []
    rates = torch.full((steps,), rate, dtype=torch.float64)
    for index in range(steps):
        state = inner.forward(state, syn, rates, range(index, index + 1))
        found.append(inner.parameters(state))
    return found


def reference_steps(inner, steps, make):
    """The same with an optimizer of PyTorch."""
    parameters = [each.clone().requires_grad_() for each in inner.start()]
    optimizer, found = make(parameters), []
    for _ in range(steps):
        gradients = loss_gradients(inner, parameters, as_batch(random(ROWS, 4)), graph=False)
        for each, gradient in zip(parameters, gradients, strict=True):
            each.grad = gradient
        optimizer.step()
        found.append([each.detach().clone() for each in parameters])
    return found


@pytest.mark.parametrize(
    ("optimizer", "make"),
    [
        (InnerSGD(), lambda given: torch.optim.SGD(given, lr=0.3)),
        (InnerSGD(momentum=0.9), lambda given: torch.optim.SGD(given, lr=0.3, momentum=0.9)),
        # Without epsilon, which PyTorch adds outside of the root, they are the same to the last digits.
        (InnerAdam(eps=0.0), lambda given: torch.optim.Adam(given, lr=0.3, eps=0.0)),
        (
            InnerAdam(decay=(0.5, 0.7), eps=0.0),
            lambda given: torch.optim.Adam(given, lr=0.3, betas=(0.5, 0.7), eps=0.0),
        ),
    ],
    ids=["sgd", "momentum", "adam", "adam of other decays"],
)
def test_steps_are_those_of_pytorch(optimizer, make):
    inner = training(optimizer)
    for own, other in zip(stepped(inner, STEPS, 0.3), reference_steps(inner, STEPS, make), strict=True):
        for a, b in zip(own, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_epsilon_of_adam_stands_under_the_root():
    values, rate = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64), torch.tensor(0.5)
    start, optimizer = (torch.zeros(3, dtype=torch.float64),), InnerAdam(eps=0.1)
    after, _ = optimizer.step(0, start, optimizer.slots(start), (values,), rate)
    assert torch.allclose(after[0], -0.5 * values / (values**2 + 0.1).sqrt(), rtol=1e-12)


def test_adam_has_a_finite_slope_where_the_gradient_is_zero():
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    start, optimizer = (torch.ones(3, dtype=torch.float64),), InnerAdam()
    after, _ = optimizer.step(0, start, optimizer.slots(start), (zero,), torch.tensor(0.1).double())
    (slope,) = torch.autograd.grad(after[0].sum(), zero)
    # The slope of g / sqrt(g^2 + eps) at 0 is 1 / sqrt(eps).
    assert torch.allclose(slope, torch.full_like(slope, -1000.0), rtol=1e-6)


@pytest.mark.parametrize(("name", "slots"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_what_is_carried_has_the_shapes_of_the_parameters(name, slots):
    inner = training(OPTIMIZERS[name])
    state = inner.begin(inner.start())
    shapes = [each.shape for each in inner.model.parameters()]
    assert [each.shape for each in state] == shapes * (1 + slots)
    assert all(float(each.abs().max()) == 0 for each in state[len(shapes) :])


def rows_shown(inner, first, count):
    """Numbers of the rows that some steps train on."""
    syn = Batch(torch.arange(7.0)[:, None].expand(7, 4), torch.arange(7) % CLASSES)
    return [inner.shown(first + index, syn).inputs[:, 0].int().tolist() for index in range(count)]


def joined(parts):
    return tuple(row for part in parts for row in part)


@pytest.mark.parametrize(("size", "sizes"), [(2, [2, 2, 2, 1]), (3, [3, 3, 1]), (6, [6, 1])])
def test_each_pass_uses_every_row_once(size, sizes):
    for start in range(0, 3 * len(sizes), len(sizes)):
        shown = rows_shown(training(batch=size), start, len(sizes))
        assert [len(rows) for rows in shown] == sizes
        assert sorted(joined(shown)) == list(range(7))


@pytest.mark.parametrize("size", [0, 7, 8])
def test_a_batch_of_all_rows_keeps_their_order(size):
    assert rows_shown(training(batch=size), 0, 2) == [list(range(7))] * 2


def test_the_order_of_rows_depends_on_seed_step_and_pass():
    orders = {
        joined(rows_shown(training(batch=2, **given), start, 4))
        for given in ({}, {"step": 1}, {"seed": 1})
        for start in (0, 4)
    }
    assert len(orders) == 6


def test_the_order_of_rows_depends_on_nothing_else():
    other = training(InnerAdam(), arch="linear", batch=3, augment=None)
    assert joined(rows_shown(training(batch=2), 4, 4)) == joined(rows_shown(other, 3, 3))


def test_a_step_draws_the_same_augmentation_whenever_it_is_taken():
    inner, syn = training(augment=toy_augment()), as_batch(random(ROWS, 4))
    first = [inner.shown(index, syn).inputs for index in range(4)]
    again = [training(augment=toy_augment()).shown(index, syn).inputs for index in reversed(range(4))]
    assert all(torch.equal(one, other) for one, other in zip(first, reversed(again), strict=True))


def test_augmentation_is_drawn_for_each_row_and_step_anew():
    syn, augment = as_batch(torch.zeros(ROWS, 4, dtype=torch.float64)), TensorAugment((Noise(),))
    shown = [
        training(augment=augment, **given).shown(index, syn).inputs
        for given in ({}, {"step": 1}, {"seed": 1})
        for index in range(2)
    ]
    assert len(torch.cat(shown).unique(dim=0)) == 6 * ROWS


@pytest.mark.parametrize("optimizer", [InnerSGD(), InnerSGD(momentum=0.9)], ids=["sgd", "momentum"])
@pytest.mark.parametrize("given", [{}, {"batch": 2, "augment": toy_augment()}], ids=["whole", "parts"])
def test_plain_unrolling_is_an_explicit_loop(optimizer, given):
    inner = training(optimizer, **given)
    assert close(answer(plain, inner, leaves()), answer(unrolled_loop, inner, leaves()), 1e-12)


def test_plain_unrolling_takes_hard_labels():
    inner, (inputs, _, rates) = training(), leaves()
    found, expected = (
        torch.autograd.grad(
            unroll(inner, inner.begin(inner.start()), as_batch(inputs), rates, range(STEPS), distance), inputs
        )
        for unroll in (plain, unrolled_loop)
    )
    assert close(found, expected, 1e-12)


@EACH
def test_gradients_of_plain_unrolling_are_those_of_finite_differences(optimizer):
    inner = training(optimizer, arch="mlp,width=3,depth=1,act=gelu", batch=3)

    def trained(inputs, scores, rates):
        state = inner.begin(inner.start())
        return plain(inner, state, as_batch(inputs, scores), rates, range(3), distance)

    assert torch.autograd.gradcheck(trained, leaves(), fast_mode=True)


@EACH
@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, range(STEPS)),
        ({"batch": 2}, range(STEPS)),
        ({"augment": toy_augment()}, range(STEPS)),
        ({"batch": 2, "augment": toy_augment()}, range(2, 5)),
    ],
    ids=["whole", "minibatches", "augmented", "window"],
)
def test_adjoint_equals_backpropagation_through_all_steps(optimizer, given, steps):
    inner = training(optimizer, **given)
    one, other = (answer(unroll, inner, leaves(), steps) for unroll in (adjoint, plain))
    assert close(one, other, 1e-8)


@pytest.mark.parametrize("unroll", [plain, adjoint])
def test_steps_outside_of_a_window_leave_no_gradient_to_their_rates(unroll):
    *_, rates = answer(unroll, training(InnerAdam()), leaves(), range(2, 5))
    assert rates.ne(0).tolist() == [False, False, True, True, True, False]


@EACH
def test_adjoint_equals_backpropagation_with_batch_normalization(optimizer):
    arch, feature = "convnet,width=3,depth=1,norm=batch,act=gelu", (2, 6)
    inner = training(optimizer, arch=arch, feature=feature, batch=3)
    one, other = (answer(unroll, inner, leaves(feature)) for unroll in (adjoint, plain))
    assert close(one, other, 1e-8)


@EACH
def test_adjoint_draws_the_same_dropout_again(optimizer):
    inner = training(optimizer, arch="dropping")
    one, other = (answer(unroll, inner, leaves()) for unroll in (adjoint, plain))
    assert close(one, other, 1e-8)


def test_dropout_is_at_work_and_drawn_for_each_step():
    inner, syn = training(arch="dropping"), as_batch(random(ROWS, 4))
    first, again, later = (inner.gradient(index, inner.start(), syn, graph=False) for index in (0, 0, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.allclose(first[0], later[0])


@pytest.mark.parametrize(("unroll", "loop"), [(adjoint, plain), (stopped, stopped_loop)])
def test_step_sizes_may_ask_for_no_gradient(unroll, loop):
    inner, (inputs, _, rates) = training(), leaves()
    found, expected = (
        torch.autograd.grad(
            each(inner, inner.start(), as_batch(inputs), rates.detach(), range(3), distance), inputs
        )
        for each in (unroll, loop)
    )
    assert close(found, expected, 1e-8)


@pytest.mark.parametrize("unroll", [plain, adjoint, stopped])
def test_parameters_that_the_loss_does_not_use_stay_as_they_are(unroll):
    inner, ended = training(arch="spare"), []
    place = list(dict(inner.model.named_parameters())).index("spare")

    def outer(parameters):
        ended.append(parameters[place].detach().clone())
        return distance(parameters)

    inputs, _, rates = leaves()
    found = unroll(inner, inner.start(), as_batch(inputs), rates, range(3), outer)
    assert torch.equal(ended[0], inner.start()[place])
    assert all(float(each.abs().max()) > 0 for each in torch.autograd.grad(found, (inputs, rates)))


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("given", [{}, {"batch": 2, "augment": toy_augment()}], ids=["whole", "parts"])
def test_stopped_gradients_are_those_of_steps_at_constant_parameters(steps, given):
    inner = training(**given)
    inputs, scores, _ = leaves()
    rates = (0.05 + 0.3 * torch.rand(steps, generator=derive(0, "rates"))).double().requires_grad_()
    one, other = (
        answer(unroll, inner, [inputs, scores, rates], range(steps)) for unroll in (stopped, stopped_loop)
    )
    assert close(one, other, 1e-10)


def test_stopped_gradients_of_one_step_are_exact():
    one, other = (answer(unroll, training(), leaves(), range(1)) for unroll in (stopped, plain))
    assert close(one, other, 1e-12)


def test_stopped_gradients_of_several_steps_are_not():
    one, other = (answer(unroll, training(), leaves(), range(3)) for unroll in (stopped, plain))
    assert torch.equal(one[0], other[0])
    for index in (1, 2):
        assert (one[index] - other[index]).norm() > 0.01 * other[index].norm()


@pytest.mark.parametrize("optimizer", [InnerSGD(momentum=0.9), InnerAdam()], ids=["momentum", "adam"])
def test_stopped_gradients_refuse_optimizers_that_carry_something(optimizer):
    with pytest.raises(InternalError, match="without momentum"):
        answer(stopped, training(optimizer), leaves())


@pytest.mark.parametrize("unroll", [plain, adjoint, stopped])
def test_training_leaves_model_and_global_draws_alone(unroll):
    inner = training(arch="dropping", augment=toy_augment(), batch=2)
    weights, drawn = [each.clone() for each in inner.model.parameters()], torch.get_rng_state()
    answer(unroll, inner, leaves())
    assert all(torch.equal(a, b) for a, b in zip(weights, inner.model.parameters(), strict=True))
    assert torch.equal(drawn, torch.get_rng_state())

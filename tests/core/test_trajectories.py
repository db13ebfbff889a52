"""Matching trajectories against the paper's equation, and the stretches that are matched."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, PreparationStopped, Segment, Subject, Workplace
from attar.errors import InternalError, UsageError
from attar.experts import Experts, ExpertSpec, experts_folder
from attar.objectives.inner import adjoint, plain, stopped
from attar.objectives.mtt import MTT
from attar.objectives.rates import FixedRate, OneRate
from attar.objectives.trajectories import Trajectories, TrajectoryMatch
from attar.rng import derive
from attar.runner import RunOptions, Stopped
from attar.tensor import TensorTask
from attar.testing import toy_task
from attar.testing.objective_case import ObjectiveCase
from attar.testing.toys import toy_augment
from torch.func import functional_call
from torch.nn import functional

ARCH = "mlp,width=5,depth=1,act=gelu"
STEPS, RATE = 4, 0.3
SPEC = ExpertSpec(count=2, epochs=6, lr=0.1, batch=30)
CASE = ObjectiveCase(MTT)
QUICK = CASE.settings()
REAL = toy_task((4,), validation=0, architecture="linear")


def random(*shape, seed=0):
    return torch.randn(shape, generator=derive(seed, "values"), dtype=torch.float64)


def setting():
    """A model and, half a step of each parameter away, its goal; a batch and its inputs."""
    task = toy_task((4,), augment=toy_augment())
    model = task.build(ARCH, derive(0, "model")).double().requires_grad_(False)
    goal = tuple(each + 0.5 * random(*each.shape, seed=i) for i, each in enumerate(model.parameters()))
    inputs = random(5, 4).requires_grad_()
    return Segment(model, 0, goal), Context(task, 0, Clock(0, 1)), inputs


def batch(inputs):
    return Batch(inputs, torch.arange(5) % 3, random(5, 3, seed=1).softmax(1))


def log_rate(value=RATE):
    return {"log_rate": torch.tensor(math.log(value), dtype=torch.float64, requires_grad=True)}


def trained(model, syn, rate, steps=STEPS):
    """Parameters after gradient descent on the batch."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    parameters = [each.detach().requires_grad_() for each in parameters]
    for _ in range(steps):
        logits = functional_call(model, dict(zip(names, parameters, strict=True)), (syn.inputs,))
        loss = functional.cross_entropy(logits, syn.targets)
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        parameters = [each - rate * slope for each, slope in zip(parameters, slopes, strict=True)]
    return parameters


def distance(one, other):
    return sum(((a - b) ** 2).sum() for a, b in zip(one, other, strict=True))


def match(segment, ctx, syn, learned, **given):
    loss = TrajectoryMatch(steps=STEPS, rates=OneRate(RATE), **{"augment": False, **given})
    return loss.compare(segment, loss.observe(segment, None, ctx), syn, ctx, learned)


@pytest.mark.parametrize("unroll", [plain, adjoint])
def test_the_loss_is_the_papers(unroll):
    segment, ctx, inputs = setting()
    learned = log_rate()
    # Cazenave et al., CVPR 2022, equation 2: ||theta_N - theta*||^2 / ||theta_0 - theta*||^2.
    ended = trained(segment.model, batch(inputs), learned["log_rate"].exp())
    expected = distance(ended, segment.goal) / distance(segment.model.parameters(), segment.goal)
    found = match(segment, ctx, batch(inputs), learned, unroll=unroll)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    wanted = [inputs, learned["log_rate"]]
    for one, other in zip(
        torch.autograd.grad(found, wanted), torch.autograd.grad(expected, wanted), strict=True
    ):
        assert float(other.abs().max()) > 1e-6
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("unroll", [plain, adjoint, stopped])
def test_the_loss_is_one_where_nothing_moves(unroll):
    segment, ctx, inputs = setting()
    found = match(segment, ctx, batch(inputs), log_rate(1e-30), unroll=unroll)
    assert found.item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("unroll", [plain, adjoint, stopped])
def test_the_loss_is_zero_where_training_leads_to_the_goal(unroll):
    segment, ctx, inputs = setting()
    goal = tuple(each.detach() for each in trained(segment.model, batch(inputs), RATE))
    reached = Segment(segment.model, 0, goal)
    assert match(reached, ctx, batch(inputs), log_rate(), unroll=unroll).item() < 1e-24
    assert match(reached, ctx, batch(inputs), log_rate(2 * RATE), unroll=unroll).item() > 0.01


@pytest.mark.parametrize("given", [{"batch": 2}, {"augment": True}], ids=["minibatches", "augmented"])
def test_parts_and_augmentation_of_the_set_change_where_training_ends(given):
    segment, ctx, inputs = setting()
    whole, other = (match(segment, ctx, batch(inputs), log_rate(), **each).item() for each in ({}, given))
    assert abs(whole - other) > 1e-4


@pytest.mark.parametrize(
    ("size", "augment", "claims"), [(0, False, {"order_free"}), (0, True, {}), (2, False, {})]
)
def test_the_order_of_samples_matters_where_draws_go_by_it(size, augment, claims):
    loss = TrajectoryMatch(steps=2, rates=FixedRate(0.1), batch=size, augment=augment)
    assert loss.claims == set(claims)


def test_without_a_goal_there_is_nothing_to_match():
    segment, ctx, inputs = setting()
    with pytest.raises(InternalError, match="takes a source of trajectories"):
        match(Subject(segment.model, 0), ctx, batch(inputs), log_rate())


def test_an_expert_that_stays_where_it_is_has_a_finite_loss():
    # With a single class there is nothing to learn.
    task = toy_task((4,), 1)
    model = task.build("linear", derive(0, "model"))
    segment = Segment(model, 0, tuple(each.detach().clone() for each in model.parameters()))
    inputs = torch.ones(2, 4, requires_grad=True)
    syn = Batch(inputs, torch.zeros(2, dtype=torch.int64))
    loss = match(segment, Context(task, 0, Clock(0, 1)), syn, log_rate())
    assert loss.item() == 0
    assert bool(torch.isfinite(torch.autograd.grad(loss, inputs)[0]).all())


def context(step=0, steps=1, seed=0, **given):
    return Context(REAL, seed, Clock(step, steps), workplace=Workplace(**given))


def source(**given):
    return Trajectories("", **{"experts": SPEC, "span": 2, "earliest": 1, "latest": 3, **given})


def stretches(of, contexts):
    """Which expert each stretch is of and where it starts and ends, found by comparing with all."""
    of.prepare(contexts[0])
    state = of.init(contexts[0])
    made = Experts(REAL, "", SPEC, experts_folder()).get()
    places = {
        flat(expert.snapshot(number)): (index, number)
        for index, expert in enumerate(made)
        for number in range(SPEC.snapshots)
    }
    found = []
    for ctx in contexts:
        segment = of.next(state, ctx, None)
        (expert, start), (other, end) = places[flat(segment.model.parameters())], places[flat(segment.goal)]
        assert other == expert
        found.append((expert, start, end))
    return found


def flat(parameters):
    return tuple(torch.cat([each.detach().flatten() for each in parameters]).tolist())


def test_stretches_start_at_random_times_of_random_experts():
    found = stretches(source(), [context(step, 40) for step in range(40)])
    assert {(expert, start) for expert, start, _ in found} == {(e, s) for e in (0, 1) for s in (1, 2, 3)}


@pytest.mark.parametrize("span", [1, 2, 3])
def test_a_goal_is_so_many_snapshots_later(span):
    found = stretches(source(span=span), [context(step, 10) for step in range(10)])
    assert {end - start for _, start, end in found} == {span}


def test_the_same_step_has_the_same_stretch():
    contexts = [context(step, 10, seed) for seed in (0, 1) for step in range(10)]
    found = stretches(source(), contexts)
    assert found == stretches(source(), contexts)
    assert found[:10] != found[10:]


@pytest.mark.parametrize(("step", "last"), [(0, 0), (24, 2), (50, 4), (99, 4)])
def test_starts_open_up_in_the_first_part_of_the_run(step, last):
    of = source(earliest=0, latest=4, until=0.5)
    found = stretches(of, [context(step, 100, seed) for seed in range(30)])
    assert {start for _, start, _ in found} == set(range(last + 1))


@pytest.mark.parametrize("until", [0.0, 0.01])
def test_all_starts_are_open_where_none_are_held_back(until):
    found = stretches(source(until=until), [context(1, 100, seed) for seed in range(20)])
    assert {start for _, start, _ in found} == {1, 2, 3}


def test_a_model_is_a_constant_in_training_mode():
    ctx = context(3, 9)
    of = source()
    of.prepare(ctx)
    segment = of.next(of.init(ctx), ctx, None)
    assert segment.version == 3
    assert segment.model.training
    assert not any(each.requires_grad for each in (*segment.model.parameters(), *segment.goal))


@pytest.mark.parametrize(
    "given",
    [
        {"span": 7, "earliest": 0, "latest": 0},
        {"span": 2, "earliest": 5, "latest": 9},
        {"span": 2, "earliest": 3, "latest": 2},
        {"experts": SPEC.model_copy(update={"every": 3})},
    ],
)
def test_a_stretch_that_does_not_fit_is_refused_before_training(given):
    with pytest.raises(UsageError, match=r"does not fit into experts .* lower objective\.span"):
        source(**given).prepare(context())
    assert not experts_folder().exists()


@pytest.mark.parametrize(("span", "starts"), [(2, {3, 4}), (3, {3}), (1, {3, 4, 5})])
def test_starts_that_are_too_late_to_be_followed_are_left_out(span, starts):
    of = source(span=span, earliest=3, latest=9)
    assert {start for _, start, _ in stretches(of, [context(step, 20) for step in range(20)])} == starts


def test_preparing_returns_the_cost_of_all_experts_also_when_they_were_there():
    trained, found = source().prepare(context()), source().prepare(context(tell=pytest.fail))
    made = Experts(REAL, "", SPEC, experts_folder()).get()
    assert trained == found
    assert found.wall == pytest.approx(sum(expert.record.cost.wall for expert in made))
    assert found.cpu == pytest.approx(sum(expert.record.cost.cpu for expert in made))
    assert found.peak_bytes == max(expert.record.cost.peak_bytes for expert in made)
    assert found.wall > 0


def test_preparing_tells_what_is_done():
    notes = []
    source().prepare(context(tell=notes.append))
    assert len(notes) == 12
    assert notes[0].startswith("expert 1 of 2, epoch 1 of 6, loss ")
    assert notes[-1].startswith("expert 2 of 2, epoch 6 of 6, loss ")


def test_experts_are_kept_where_the_workplace_says(tmp_path):
    source().prepare(context(folder=tmp_path / "own"))
    assert len(list((tmp_path / "own").glob("*.safetensors"))) == 2
    assert not experts_folder().exists()


def test_preparing_stops_when_asked():
    with pytest.raises(PreparationStopped):
        source().prepare(context(stop=lambda: True))


def test_experts_that_vanished_are_told():
    with pytest.raises(UsageError, match=r"experts vanished .* --resume"):
        source().next(source().init(context()), context(), None)


def test_a_state_is_empty_and_no_other_is_taken():
    state = source().init(context())
    assert state.state_dict() == {}
    state.load_state_dict({})
    with pytest.raises(InternalError, match="has no state"):
        state.load_state_dict({"version": 1})


@pytest.fixture
def slow(monkeypatch):
    """A task whose passes take 1000 seconds each; nothing else takes time."""
    now = [0.0]
    clock = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr("attar.cost.time", clock)

    class Slow(TensorTask):
        def epoch(self, *given):
            now[0] += 1000
            return super().epoch(*given)

    return CASE.task(kind=Slow)


def test_a_run_counts_its_experts_whether_trained_or_found(slow):
    assert (QUICK.count, QUICK.epochs) == (2, 4)
    for _ in range(2):
        cost = CASE.run(slow, 2).cost
        assert (cost.cpu, cost.wall) == (8000, 8000)


def test_a_resumed_run_counts_its_experts_once(slow):
    saved = []
    options = RunOptions(save=lambda *given: saved.append(copy.deepcopy(given)), save_every=1)
    whole, parts = CASE.run(slow, 3, options=options), CASE.run(slow, 3, resume=saved[0])
    assert parts.cost.cpu == 8000
    assert torch.equal(whole.syn.decode().inputs, parts.syn.decode().inputs)


def test_a_run_may_be_stopped_while_experts_are_trained():
    with pytest.raises(Stopped, match="after 0 steps"):
        CASE.run(CASE.task(), 2, options=RunOptions(stop=lambda: True))

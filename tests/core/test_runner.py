from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

import pytest
import torch
from attar.checkpoint import pack, unpack
from attar.contracts import Objective, RealDraw, SetSpec
from attar.cost import Cost
from attar.errors import DivergenceError, InternalError, UsageError
from attar.files import to_json
from attar.nets import MLP, ConvNet
from attar.objectives import Fresh, MeanEmbedding
from attar.optim import OptimSpec
from attar.registry import Registry
from attar.rng import derive, scoped
from attar.runner import RunOptions, Stopped, check, frozen_buffers, run
from attar.sizing import initial_batch
from attar.tensor import Gain, Noise, TensorAugment
from torch import nn

SGD = OptimSpec(name="sgd", lr=0.05, momentum=0.5)
ADAM = OptimSpec(name="adam", lr=0.01)


class Dropped(MLP):
    def __init__(self, feature, classes, *, width: int = 8):
        super().__init__(feature, classes, width=width, depth=1)
        self.drop = nn.Dropout(0.5)

    def embed(self, inputs):
        return self.drop(super().embed(inputs))


@dataclass(frozen=True)
class Toy:
    """Pulls the set to zero, scaled by a learned number; can break from a step on."""

    breaks: float = math.inf
    scale: float = 1.0
    needs: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    real: RealDraw | None = None
    seen: list = field(default_factory=list, compare=False)

    def observe(self, subject, real, ctx):
        self.seen.append((ctx.clock.step, ctx.clock.subject))

    def compare(self, subject, stats, syn, ctx, learned):
        scale = learned["log_scale"].exp() if learned else self.scale
        loss = scale * (syn.inputs**2).mean()
        return loss * math.nan if ctx.clock.step + 1 >= self.breaks else loss


def dm(model="mlp,width=8,depth=1", reuse=1):
    return Objective(loss=MeanEmbedding(per_class=8), source=Fresh(model, reuse))


def start(task, *, kind="probability", ipc=2):
    init = initial_batch(task, "real", [ipc] * 3, 0, Registry())
    return task.synthesize(init, SetSpec(label_kind=kind), derive(0))


def go(task, objective, *, steps=6, optim=None, options=None, **more):
    syn = start(task, kind="hard")
    optim = optim or {"values": SGD, "learned": ADAM}
    return run(task, objective, syn, steps=steps, optim=optim, seed=3, options=options, **more)


class Saved:
    """Keeps states as a checkpoint on disk would."""

    def __init__(self):
        self.states = {}

    def __call__(self, step, state, cost):
        tensors, skeleton = pack(state)
        self.states[step] = tensors, json.loads(to_json(skeleton))

    def resume(self, step):
        return step, unpack(*self.states[step]), Cost()


def same(one, other):
    (tensors, skeleton), (others, its) = one, other
    return (
        skeleton == its
        and tensors.keys() == others.keys()
        and all(torch.equal(tensors[name], others[name]) for name in tensors)
    )


def resumes_exactly(task, objective, optim, subjects=1, steps=5):
    whole = Saved()
    first = run(
        task,
        objective,
        start(task),
        steps=steps,
        optim=optim,
        seed=3,
        subjects=subjects,
        options=RunOptions(save=whole, save_every=1),
    )
    for step in range(1, steps):
        torch.rand(step)
        rest = Saved()
        again = run(
            task,
            objective,
            start(task),
            steps=steps,
            optim=optim,
            seed=3,
            subjects=subjects,
            resume=whole.resume(step),
            options=RunOptions(save=rest),
        )
        assert same(rest.states[steps], whole.states[steps]), f"resumed from step {step}"
        assert again.loss == first.loss
        assert again.learned == first.learned


AUGMENT = TensorAugment((Noise(0.2), Gain(1.5)))
OPTIM = {"values": SGD, "labels": ADAM}


@pytest.mark.parametrize("augment", [None, AUGMENT], ids=["plain", "augmented"])
@pytest.mark.parametrize("reuse", [1, 3])
@pytest.mark.parametrize("subjects", [1, 2])
def test_a_resumed_run_ends_bit_for_bit_alike(blobs, subjects, reuse, augment):
    resumes_exactly(blobs(augment=augment), dm(reuse=reuse), OPTIM, subjects)


@pytest.mark.parametrize("reuse", [1, 3])
def test_a_model_with_dropout_resumes_exactly(blobs, reuse):
    task = blobs(architectures={"dropped": Dropped})
    resumes_exactly(task, dm("dropped", reuse), OPTIM)


def test_a_learned_scalar_is_stepped_and_resumed(blobs):
    objective = Objective(loss=Toy(), source=Fresh("linear"), learned={"log_scale": 0.25})
    optim = {**OPTIM, "learned": ADAM}
    resumes_exactly(blobs(), objective, optim)
    outcome = go(blobs(), objective, steps=1)
    assert outcome.learned == {"log_scale": pytest.approx(0.25 - 0.01, abs=1e-4)}


def test_a_model_with_batch_norm_runs(blobs):
    task = blobs(feature=(1, 4, 4))
    resumes_exactly(task, dm("convnet,width=4,depth=1,norm=batch", 2), OPTIM, steps=3)


def test_the_loss_falls(blobs):
    losses = []
    options = RunOptions(callbacks=[lambda record: losses.append(record.loss)])
    task = blobs(counts=(40, 40, 40))
    syn = start(task, kind="hard", ipc=1)
    with torch.no_grad():
        syn.values.values += 2
    run(task, dm("linear", 30), syn, steps=30, optim={"values": SGD}, seed=0, options=options)
    assert losses[-1] < losses[0] / 10


def test_the_first_step_equals_a_hand_made_one(blobs):
    task, objective = blobs(), dm()
    syn = start(task, kind="hard")
    model = task.build("mlp,width=8,depth=1", derive(3, "model", 0, 0))
    real = task.draw(8, derive(3, "real", 0, 0), [0, 1, 2])
    loss = sum(
        ((model.embed(real.of(c).inputs).mean(0) - model.embed(syn.decode().of(c).inputs).mean(0)) ** 2).sum()
        for c in range(3)
    )
    wanted = syn.values.values - 0.05 * torch.autograd.grad(loss, syn.values.values)[0]
    outcome = go(task, objective, steps=1)
    assert outcome.loss == pytest.approx(float(loss.detach()), rel=1e-4)
    torch.testing.assert_close(outcome.syn.values.values, wanted)


def test_step_sizes_follow_their_schedule(blobs):
    falling = {"values": SGD.model_copy(update={"final": 0.0, "momentum": 0.0})}
    resumes_exactly(blobs(), dm(reuse=3), {**falling, "labels": ADAM})
    before = start(blobs(), kind="hard").values.values.detach()
    # Half a cosine over two steps is all in the first and nothing in the second.
    one = go(blobs(), dm(reuse=3), optim=falling, steps=2).syn.values.values.detach()
    constant = {"values": SGD.model_copy(update={"momentum": 0.0})}
    two = go(blobs(), dm(reuse=3), optim=constant, steps=1).syn.values.values.detach()
    torch.testing.assert_close(one, two)
    assert not one.equal(before)


def test_gradients_of_the_subjects_are_summed(blobs):
    objective = Objective(loss=Toy(), source=Fresh("linear"))
    before = start(blobs(), kind="hard").values.values.detach()
    moved = [
        go(blobs(), objective, steps=1, subjects=subjects).syn.values.values.detach() - before
        for subjects in (1, 3)
    ]
    torch.testing.assert_close(moved[1], 3 * moved[0])


@pytest.mark.parametrize("reuse", [1, 3])
def test_real_data_are_observed_once_per_version_and_subject(blobs, reuse):
    loss = Toy()
    go(blobs(), Objective(loss=loss, source=Fresh("linear", reuse)), subjects=2)
    assert loss.seen == [(step, k) for step in range(0, 6, reuse) for k in range(2)]


def test_the_same_seed_gives_the_same_set(blobs):
    one, other = (go(blobs(augment=AUGMENT), dm()).syn.values.values for _ in range(2))
    assert torch.equal(one, other)


def test_stopping_saves_first(blobs):
    saved, steps = Saved(), []
    options = RunOptions(
        save=saved, callbacks=[lambda record: steps.append(record.step)], stop=lambda: len(steps) >= 2
    )
    with pytest.raises(Stopped, match="stopped after 2 steps") as caught:
        go(blobs(), dm(), options=options)
    assert caught.value.step == 2
    assert list(saved.states) == [2]


def test_a_run_that_is_done_does_not_stop(blobs):
    assert go(blobs(), dm(), steps=1, options=RunOptions(stop=lambda: True)).syn is not None


def test_states_are_saved_every_so_often_and_at_the_end(blobs):
    saved = Saved()
    go(blobs(), dm(), steps=5, options=RunOptions(save=saved, save_every=2))
    assert list(saved.states) == [2, 4, 5]


def test_a_loss_that_is_no_number_names_the_step_size_and_the_last_good_state(blobs):
    saved = Saved()
    sentence = (
        r"stopped being finite at step 4 \(last good checkpoint: step 2\); "
        r"lower the step size objective\.lr \(now: .*values 0\.05\)"
    )
    with pytest.raises(DivergenceError, match=sentence):
        go(
            blobs(),
            Objective(loss=Toy(breaks=4), source=Fresh("linear")),
            options=RunOptions(save=saved, save_every=2),
        )
    assert list(saved.states) == [2]


def test_a_set_that_is_not_finite_is_never_saved(blobs):
    saved = Saved()
    optim = {"values": OptimSpec(lr=1e38)}
    with pytest.raises(DivergenceError, match="last good checkpoint: step 0"):
        go(
            blobs(),
            Objective(loss=Toy(scale=1e6), source=Fresh("linear")),
            optim=optim,
            options=RunOptions(save=saved, save_every=1),
        )
    assert all(
        torch.isfinite(each).all() for tensors, _ in saved.states.values() for each in tensors.values()
    )


def test_a_learned_scalar_that_is_not_finite_is_never_saved(blobs):
    saved = Saved()
    objective = Objective(loss=Toy(), source=Fresh("linear"), learned={"log_scale": 80.0})
    optim = {"values": OptimSpec(lr=1e-38), "learned": OptimSpec(lr=1e38)}
    with pytest.raises(DivergenceError, match="last good checkpoint: step 0"):
        go(blobs(), objective, optim=optim, options=RunOptions(save=saved, save_every=1))
    assert saved.states == {}


def test_a_role_without_optimizer_is_refused(blobs):
    task = blobs()
    with pytest.raises(UsageError, match="no optimizer is given for labels; add one to the settings"):
        run(task, dm(), start(task), steps=1, optim={"values": SGD}, seed=0)
    learned = Objective(loss=Toy(), source=Fresh("linear"), learned={"log_scale": 0.0})
    with pytest.raises(UsageError, match="no optimizer is given for learned"):
        go(task, learned, optim={"values": SGD})


def test_roles_that_are_not_active_stay(blobs):
    task = blobs()
    syn = start(task)
    syn.active = lambda clock: {"labels"} if clock.step % 2 else {"values"}
    before = [each.detach().clone() for each in (syn.values.values, syn.targets)]
    run(task, Objective(loss=MeanEmbedding(), source=Fresh("linear")), syn, steps=1, optim=OPTIM, seed=0)
    assert not torch.equal(syn.values.values, before[0])
    assert torch.equal(syn.targets, before[1])


def test_a_loss_must_be_a_scalar(blobs):
    class Vector(Toy):
        def compare(self, subject, stats, syn, ctx, learned):
            return syn.inputs.sum(1)

    with pytest.raises(InternalError, match=r"a loss must be a scalar, but has shape \(6,\)"):
        go(blobs(), Objective(loss=Vector(), source=Fresh("linear")), steps=1)


def test_records_count_steps_and_cost(blobs):
    records = []
    go(blobs(), dm(), steps=3, options=RunOptions(callbacks=[records.append]))
    assert [(record.step, record.steps) for record in records] == [(1, 3), (2, 3), (3, 3)]
    assert records[0].cost.wall <= records[-1].cost.wall
    assert all(math.isfinite(record.loss) for record in records)


def test_cost_includes_the_interrupted_part(blobs):
    saved = Saved()
    go(blobs(), dm(), steps=2, options=RunOptions(save=saved, save_every=1))
    step, state, _ = saved.resume(1)
    outcome = go(blobs(), dm(), steps=2, resume=(step, state, Cost(cpu=100.0, wall=200.0)))
    assert outcome.cost.cpu >= 100
    assert outcome.cost.wall >= 200


def test_the_global_generator_is_left_alone(blobs):
    before = torch.get_rng_state()
    go(blobs(architectures={"dropped": Dropped}), dm("dropped"), steps=2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("fails", [False, True])
def test_frozen_buffers_puts_buffers_back(fails):
    with scoped(derive(0)):
        net = ConvNet((1, 4, 4), 2, depth=1, width=2, norm="batch")
    before = [each.clone() for each in net.buffers()]

    def use():
        with frozen_buffers(net):
            net(torch.ones(2, 1, 4, 4))
            assert not all(map(torch.equal, before, net.buffers()))
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            use()
    else:
        use()
    assert all(map(torch.equal, before, net.buffers()))


def test_check_names_what_the_model_lacks(blobs):
    objective = Objective(loss=Toy(needs=frozenset({"kernel"})), source=Fresh())
    lacks = r"the model MLP has no method 'kernel'.* choose another architecture, such as ntk$"
    with pytest.raises(UsageError, match=lacks):
        check(blobs(), objective, "mlp", 0)
    check(blobs(), replace(objective, loss=MeanEmbedding()), "mlp", 0)

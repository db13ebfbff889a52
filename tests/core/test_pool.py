"""A pool of models of staggered ages."""

import torch
from attar.contracts import Clock, Context, SetSpec
from attar.objectives.pool import Pool
from attar.objectives.rounds import OnSet
from attar.optim import OptimSpec
from attar.rng import derive
from attar.sizing import initial_batch
from attar.testing import toy_task
from attar.testing.toys import installed

ADAM = OptimSpec(name="adam", lr=0.01)


def made():
    task = toy_task((4,))
    init = initial_batch(task, "real", [2, 2, 2], 0, installed())
    return task, task.synthesize(init, SetSpec(label_kind="regression"), derive(0, "set"))


def pool(size=3, oldest=4):
    return Pool(model="", size=size, oldest=oldest, trainer=OnSet(epochs=1), optim=ADAM)


def context(task, step, subject=0):
    return Context(task, 0, Clock(step, 50, subject))


def walk(source, state, task, syn, steps):
    return [source.next(state, context(task, step), syn) for step in steps]


def test_ages_are_staggered_and_old_models_are_replaced():
    task, syn = made()
    source = pool(size=3, oldest=6)
    state = source.init(context(task, 0))
    source.next(state, context(task, 0), syn)
    assert [member.age for member in state.pools[0].members] == [0, 2, 4]
    seen = set()
    for step in range(1, 40):
        source.next(state, context(task, step), syn)
        ages = [member.age for member in state.pools[0].members]
        assert max(ages) < 6
        seen.update(member.born for member in state.pools[0].members)
    # 39 trainings, none of a model older than 6: at least (39 − 6·3) / 6 replacements.
    assert len(seen) >= 3 + 3


def test_only_the_model_used_is_trained():
    task, syn = made()
    source = pool(oldest=100)
    state = source.init(context(task, 0))
    source.next(state, context(task, 0), syn)
    used = state.pools[0].last
    before = [{k: v.clone() for k, v in m.model.state_dict().items()} for m in state.pools[0].members]
    source.next(state, context(task, 1), syn)
    for index, member in enumerate(state.pools[0].members):
        same = all(torch.equal(before[index][k], v) for k, v in member.model.state_dict().items())
        assert same == (index != used)


def test_models_take_turns_at_random():
    task, syn = made()
    source = pool(size=3, oldest=1000)
    state = source.init(context(task, 0))
    models = {id(subject.model) for subject in walk(source, state, task, syn, range(30))}
    assert len(models) == 3


def test_training_lowers_the_loss_on_the_set():
    task, syn = made()
    source = pool(size=1, oldest=1000)
    state = source.init(context(task, 0))
    batch = syn.decode().constant()

    def loss(model):
        with torch.no_grad():
            return float(((model(batch.inputs) - batch.targets) ** 2).sum(1).mean())

    first = loss(source.next(state, context(task, 0), syn).model)
    last = [loss(subject.model) for subject in walk(source, state, task, syn, range(1, 40))][-1]
    assert last < 0.7 * first


def test_a_saved_pool_goes_on_as_if_it_had_not_stopped():
    task, syn = made()
    source = pool()
    whole = source.init(context(task, 0))
    walk(source, whole, task, syn, range(12))
    part = source.init(context(task, 0))
    walk(source, part, task, syn, range(5))
    resumed = source.init(context(task, 0))
    resumed.load_state_dict(part.state_dict())
    resumed.load_state_dict(resumed.state_dict())
    walk(source, resumed, task, syn, range(5, 12))
    for one, other in zip(whole.pools[0].members, resumed.pools[0].members, strict=True):
        assert (one.age, one.born) == (other.age, other.born)
        weights = zip(one.model.parameters(), other.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)


def test_subjects_have_pools_of_their_own():
    task, syn = made()
    source = pool()
    state = source.init(context(task, 0))
    one, other = (source.next(state, context(task, 0, k), syn).model for k in (0, 1))
    assert not any(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True) if a.ndim > 1
    )

"""Models that are trained between steps: on the set, on real data, in rounds."""

from itertools import pairwise

import torch
from attar.contracts import Clock, Context, SetSpec
from attar.objectives.rounds import OnReal, OnSet, Rounds
from attar.optim import OptimSpec
from attar.rng import derive
from attar.sizing import initial_batch
from attar.testing import toy_task
from attar.testing.toys import installed, toy_augment
from torch.nn import functional

SGD = OptimSpec(name="sgd", lr=0.1)


def made(**given):
    task = toy_task((4,), **given)
    init = initial_batch(task, "real", [2, 2, 2], 0, installed())
    return task, task.synthesize(init, SetSpec(), derive(0, "set"))


def weights(model):
    return {name: each.detach().clone() for name, each in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def walk(source, task, syn, steps, state=None, start=0):
    ctx = Context(task, 0, Clock(0, steps))
    state = state or source.init(ctx)
    found = []
    for step in range(start, steps):
        subject = source.next(state, Context(task, 0, Clock(step, steps)), syn)
        found.append((subject.version, weights(subject.model)))
    return found, state


def test_a_round_starts_fresh_and_goes_on_trained():
    task, syn = made()
    source = Rounds(model="", length=3, trainer=OnSet(epochs=1), optim=SGD)
    found, _ = walk(source, task, syn, 7)
    for step in (0, 3, 6):
        model = task.build("", derive(0, "model", step // 3, 0))
        assert same(found[step][1], weights(model))
    assert not same(found[0][1], found[1][1])
    assert not same(found[0][1], found[3][1])
    assert [version for version, _ in found] == list(range(7))


def test_training_on_the_set_is_plain_gradient_descent():
    task, syn = made()
    source = Rounds(model="linear", length=9, trainer=OnSet(epochs=2), optim=SGD)
    found, _ = walk(source, task, syn, 2)
    model = task.build("linear", derive(0, "model", 0, 0))
    batch = syn.decode()
    for _ in range(2):
        loss = functional.cross_entropy(model(batch.inputs.detach()), batch.labels)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, grad in zip(model.parameters(), grads, strict=True):
                parameter.sub_(0.1 * grad)
    for name, value in weights(model).items():
        assert torch.allclose(found[1][1][name], value, atol=1e-6)


def test_training_on_real_data_draws_anew_each_time():
    task, syn = made()
    source = Rounds(model="linear", length=9, trainer=OnReal(samples_each=6, batch=3), optim=SGD)
    found, _ = walk(source, task, syn, 4)
    assert all(not same(one[1], other[1]) for one, other in pairwise(found))
    with torch.no_grad():
        syn.values.values += 100
    again, _ = walk(source, task, syn, 4)
    assert same(found[3][1], again[3][1])


def test_what_is_trained_asks_for_no_gradient_in_matching():
    task, syn = made()
    source = Rounds(model="", length=4, trainer=OnSet(epochs=1), optim=SGD)
    state = source.init(Context(task, 0, Clock(0, 4)))
    for step in range(3):
        model = source.next(state, Context(task, 0, Clock(step, 4)), syn).model
        assert not any(each.requires_grad or each.grad is not None for each in model.parameters())
    assert syn.values.values.grad is None


def test_a_saved_state_goes_on_as_if_it_had_not_stopped():
    task, syn = made(augment=toy_augment())
    momentum = OptimSpec(name="sgd", lr=0.1, momentum=0.9)
    source = Rounds(model="", length=10, trainer=OnSet(epochs=2), optim=momentum, augment=True)
    whole, _ = walk(source, task, syn, 6)
    _, state = walk(source, task, syn, 3)
    again = source.init(Context(task, 0, Clock(0, 6)))
    again.load_state_dict(state.state_dict())
    # Saving before the model was built again loses nothing.
    twice = source.init(Context(task, 0, Clock(0, 6)))
    twice.load_state_dict(again.state_dict())
    rest, _ = walk(source, task, syn, 6, twice, start=3)
    assert same(whole[5][1], rest[2][1])


def test_augmentation_is_applied_where_asked():
    task, syn = made(augment=toy_augment())
    plain, augmented = (
        walk(Rounds("", 5, OnSet(epochs=1), SGD, augment=asked), task, syn, 3)[0] for asked in (False, True)
    )
    assert same(plain[0][1], augmented[0][1])
    assert not same(plain[2][1], augmented[2][1])


def test_a_model_stays_as_it_is_for_the_steps_of_a_stay():
    task, syn = made()
    source = Rounds("", 2, OnSet(epochs=1), SGD, reuse=3)
    found, _ = walk(source, task, syn, 12)
    assert [version for version, _ in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for version in range(4):
        one, *others = (weights for known, weights in found if known == version)
        assert all(same(one, other) for other in others)
    assert not same(found[0][1], found[3][1])
    assert same(found[6][1], weights(task.build("", derive(0, "model", 1, 0))))


def test_a_run_that_stops_within_a_stay_goes_on_with_the_same_model():
    task, syn = made()
    source = Rounds("", 3, OnSet(epochs=1), SGD, reuse=3)
    whole, _ = walk(source, task, syn, 9)
    _, state = walk(source, task, syn, 5)
    again = source.init(Context(task, 0, Clock(0, 9)))
    again.load_state_dict(state.state_dict())
    rest, _ = walk(source, task, syn, 9, again, start=5)
    assert all(same(one[1], other[1]) for one, other in zip(whole[5:], rest, strict=True))

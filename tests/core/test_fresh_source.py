from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from attar.contracts import Clock, Context
from attar.errors import InternalError
from attar.objectives import Fresh


def subjects(task, source, steps, *, seed=0, k=0, state=None):
    state = state or source.init(Context(task=task, seed=seed, clock=Clock(0, 9)))
    contexts = [Context(task=task, seed=seed, clock=Clock(step, 9, k)) for step in steps]
    return [source.next(state, context, None) for context in contexts]


def weights(subject):
    return torch.cat([each.flatten() for each in subject.model.parameters()])


@pytest.mark.parametrize("reuse", [1, 3])
def test_the_version_changes_every_reuse_steps(blobs, reuse):
    found = subjects(blobs(), Fresh("linear", reuse), range(7))
    assert [each.version for each in found] == [step // reuse for step in range(7)]
    for before, after in pairwise(found):
        assert (before.model is after.model) is (before.version == after.version)


def test_a_model_depends_on_seed_version_and_subject_alone(blobs):
    task, source = blobs(), Fresh("linear", 2)
    whole = weights(subjects(task, source, range(4))[3])
    assert torch.equal(whole, weights(subjects(task, source, [2])[0]))
    assert not torch.equal(whole, weights(subjects(task, source, [0])[0]))
    assert not torch.equal(whole, weights(subjects(task, source, [2], seed=1)[0]))
    assert not torch.equal(whole, weights(subjects(task, source, [2], k=1)[0]))


def test_subjects_of_a_step_do_not_displace_one_another(blobs):
    task, source = blobs(), Fresh("linear", 2)
    state = source.init(Context(task=task, seed=0, clock=Clock(0, 9)))
    first = subjects(task, source, [0], state=state)[0]
    subjects(task, source, [0], k=1, state=state)
    assert subjects(task, source, [1], state=state)[0].model is first.model


def test_weights_are_constants_and_the_model_trains(blobs):
    model = subjects(blobs(), Fresh("linear"), [0])[0].model
    assert model.training
    assert not any(each.requires_grad for each in model.parameters())


def test_nothing_is_saved_and_another_source_s_state_is_refused(blobs):
    state = Fresh().init(Context(task=blobs(), seed=0, clock=Clock(0, 1)))
    assert state.state_dict() == {}
    state.load_state_dict({})
    with pytest.raises(InternalError, match=r"this source has no state, but found \['pool'\]"):
        state.load_state_dict({"pool": []})

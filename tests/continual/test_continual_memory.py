"""A memory never exceeds its budget, whatever comes, and forgets no class."""

import pickle

import pytest
import torch
from attar.batch import Batch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.labels import centered
from attar.rng import derive
from attar.testing.toys import toy_task
from attar_continual.budget import Budget
from attar_continual.memory import Memory, Part
from hypothesis import given, settings
from hypothesis import strategies as st

TASK = toy_task((8,), classes=6, n=120, seed=1, modality="tensor")


def part(labels, seen=10, task=0, how="plain", **spec):
    """Samples whose values tell which part and row they are of."""
    labels = torch.tensor(sorted(labels))
    packs = 4 if how != "plain" else 1
    inputs = torch.randn(len(labels) * packs, 8, generator=derive(len(labels), "part", seen))
    init = Batch(inputs, labels.repeat_interleave(packs))
    made = SetSpec(parameterization=how, settings={"decodes": 4} if packs > 1 else {}, **spec)
    syn = TASK.synthesize(init, made, derive(0)).bake()
    return Part(syn, dict.fromkeys(set(labels.tolist()), seen), task)


def counts(memory):
    return torch.bincount(memory.union().labels, minlength=6).tolist()


def memory_of(text, *parts):
    memory = Memory(Budget.of(text))
    for each in parts:
        memory.add(each, "tensor")
    return memory


experiences = st.lists(
    st.tuples(st.sets(st.integers(0, 5), min_size=1), st.integers(1, 9), st.integers(1, 50)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(experiences, st.sampled_from(["3/class", "14", "600B"]), st.sampled_from(["plain", "frequency"]))
def test_it_never_exceeds_its_budget_and_keeps_every_class(stream, text, how):
    budget, memory = Budget.of(text), Memory(Budget.of(text))
    for labels, each, seen in stream:
        memory.add(part([label for label in labels for _ in range(each)], seen, how=how), "tensor")
        held = counts(memory)
        assert {label for label, n in enumerate(held) if n} == set(memory.classes)
        assert len(memory) == sum(held)
        if budget.per_class:
            assert max(held) <= 3
        elif budget.total:
            assert sum(held) <= 14
        else:
            assert memory.nbytes == sum(each.syn.nbytes() for each in memory.parts) <= 600


def test_what_was_distilled_before_stays_as_it_is():
    old, new = part([0, 0, 1, 1]), part([2, 2, 3, 3])
    memory = memory_of("2/class", old, new)
    assert torch.equal(memory.union().decode().inputs[:4], old.syn.decode().inputs)


def test_a_total_is_shared_as_classes_come():
    memory = memory_of("8", part([0] * 4 + [1] * 4))
    assert counts(memory) == [4, 4, 0, 0, 0, 0]
    memory.add(part([2] * 2 + [3] * 2), "tensor")
    assert counts(memory) == [2, 2, 2, 2, 0, 0]
    assert memory.room([4]) == (1, None)


def test_a_class_that_comes_again_shares_its_place_as_its_samples_do():
    memory = memory_of("4/class", part([0] * 4, seen=30), part([0] * 4, seen=10))
    assert [each.counts for each in memory.parts] == [{0: 3}, {0: 1}]


def test_a_part_of_which_nothing_is_left_goes():
    memory = memory_of("1/class", part([0], seen=30), part([0], seen=10))
    assert [each.seen for each in memory.parts] == [{0: 30}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", "a memory of 1 samples cannot hold one of each of 2 classes"),
        ("40B", "a memory of 40 bytes cannot hold"),
    ],
)
def test_a_memory_smaller_than_the_classes_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        memory_of(text, part([0, 1]))


def test_more_samples_of_the_same_bytes_are_told_apart_from_stored_ones():
    memory = memory_of("2/class", part([0] * 2 + [1] * 2, how="frequency"))
    assert (len(memory), len(memory.remembered().batch)) == (4, 16)


def test_labels_of_one_kind_make_those_of_classes_alike():
    hard = part([0, 1])
    soft = Part(part([2, 3]).syn.softened(torch.full((2, 6), 1 / 6)), {2: 5, 3: 5})
    known = memory_of("1/class", hard, soft).remembered()
    assert known.kind == "probability"
    torch.testing.assert_close(known.batch.targets[:2], torch.eye(6)[:2])
    torch.testing.assert_close(known.batch.targets[2:], torch.full((2, 6), 1 / 6))
    learned = memory_of("1/class", hard, part([2, 3], label_kind="regression")).remembered()
    torch.testing.assert_close(learned.batch.targets, centered(torch.arange(4), 6))


def test_a_class_that_a_set_did_not_know_has_none_of_its_mass():
    narrow = Part(part([0, 1]).syn.softened(torch.tensor([[0.75, 0.25], [0.25, 0.75]])), {0: 5, 1: 5})
    wide = Part(part([2, 3]).syn.softened(torch.full((2, 4), 0.25)), {2: 5, 3: 5})
    targets = memory_of("1/class", narrow, wide).remembered().batch.targets
    torch.testing.assert_close(targets[:2], torch.tensor([[0.75, 0.25, 0, 0], [0.25, 0.75, 0, 0]]))


def test_probabilities_and_learned_values_do_not_mix():
    soft = Part(part([0, 1]).syn.softened(torch.full((2, 6), 1 / 6)), {0: 5, 1: 5})
    with pytest.raises(UsageError, match="cannot be joined with one of"):
        memory_of("1/class", soft, part([2, 3], label_kind="regression")).remembered()


def test_its_state_is_plain_tensors_and_gives_the_same_memory():
    memory = memory_of("2/class", part([0, 0, 1]), part([1, 2, 2], seen=20, task=1))
    state = memory.__getstate__()
    assert all(
        isinstance(value, torch.Tensor) for each in state["parts"] for value in each["tensors"].values()
    )
    again = pickle.loads(pickle.dumps(memory))
    mine, theirs = memory.remembered(), again.remembered()
    assert torch.equal(mine.batch.inputs, theirs.batch.inputs)
    assert torch.equal(mine.tasks, theirs.tasks)
    assert again.budget == memory.budget
    assert [each.seen for each in again.parts] == [each.seen for each in memory.parts]

"""Splits by groups: none is on two sides, and no class is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.tensor import ArrayItems, GroupOptions, ItemsView, JoinedItems, SplitOptions, split, split_rows
from attar.tensor.splits import split_by_group
from hypothesis import given
from hypothesis import strategies as st


def rows(items):
    """Return the numbers that samples hold."""
    return items.read(torch.arange(len(items.labels))).flatten().tolist()


def numbered(labels, first=0):
    values = np.arange(first, first + len(labels), dtype=np.float64)[:, None]
    return ArrayItems(values, np.array(labels))


@given(
    st.lists(st.integers(0, 5), min_size=8, max_size=60),
    st.floats(0.05, 0.5),
    st.floats(0.0, 0.3),
    st.integers(0, 3),
)
def test_groups_stay_whole_and_nothing_is_lost(groups, test, validation, seed):
    items = numbered([0] * len(groups))
    options = GroupOptions(test=test, validation=validation, split_seed=seed)
    names = [str(group) for group in groups]
    try:
        parts = split_by_group([items], names, ["only"], options)
    except UsageError:
        assert len(set(names)) <= 2  # Nothing would be left to train on.
        return
    sides = [rows(parts.train), rows(parts.test)] + ([rows(parts.validation)] if parts.validation else [])
    assert sorted(row for side in sides for row in side) == list(range(len(groups)))
    owners = [{groups[int(row)] for row in side} for side in sides]
    assert sum(len(own) for own in owners) == len(set(groups))
    again = split_by_group([items], names, ["only"], options)
    assert rows(again.test) == rows(parts.test)


def test_drawn_parts_are_at_most_as_large_as_asked_for():
    groups = [name for name in "abcdefghij" for _ in range(10)]
    parts = split_by_group([numbered([0] * 100)], groups, ["only"], GroupOptions(test=0.25, validation=0.1))
    assert (len(parts.test.labels), len(parts.validation.labels)) == (20, 10 * round(0.1 * 80 / 10))


def test_a_class_that_one_group_alone_has_stays_in_training():
    labels, groups = [0, 0, 1, 0, 0, 0], ["a", "a", "b", "c", "c", "d"]
    for seed in range(5):
        options = GroupOptions(test=0.4, validation=0, split_seed=seed)
        assert 1 in split_by_group([numbered(labels)], groups, ["x", "y"], options).train.labels
    with pytest.raises(
        UsageError, match="the class 'y' would have no training sample beside the test groups"
    ):
        split_by_group([numbered(labels)], groups, ["x", "y"], GroupOptions(test_groups="b"))


@given(st.lists(st.integers(0, 6), max_size=12))
def test_joined_items_are_one_after_another(picked):
    joined = JoinedItems([numbered([0, 1, 0]), numbered([1], first=3), numbered([0, 0, 1], first=4)])
    assert joined.labels.tolist() == [0, 1, 0, 1, 0, 0, 1]
    chosen = torch.tensor(picked, dtype=torch.int64)
    assert joined.read(chosen).flatten().tolist() == picked
    assert joined.nbytes(chosen) == 8 * len(picked)
    view = ItemsView(joined, chosen)
    assert view.fingerprint() == joined.fingerprint(chosen)
    assert rows(view) == picked


def test_the_fingerprint_of_joined_items_sees_order_and_parts():
    one, other = numbered([0, 1]), numbered([1, 0], first=2)
    joined = JoinedItems([one, other])
    assert joined.fingerprint() != JoinedItems([other, one]).fingerprint()
    assert joined.fingerprint(torch.tensor([0, 2])) != joined.fingerprint(torch.tensor([2, 0]))


@given(st.lists(st.integers(0, 2), min_size=12, max_size=40), st.sampled_from([0.0, 0.2]), st.integers(0, 3))
def test_rows_that_are_split_are_those_of_the_split(labels, validation, seed):
    options = SplitOptions(validation=validation, split_seed=seed)
    parts = split(numbered(labels), None, 3, options)
    found = split_rows(np.array(labels), 3, options)
    assert found["train"].tolist() == rows(parts.train)
    assert found["test"].tolist() == rows(parts.test)
    assert ("validation" in found) == (validation > 0)
    if parts.validation is not None:
        assert found["validation"].tolist() == rows(parts.validation)


def test_items_take_the_bytes_that_they_are_said_to():
    values, labels = np.zeros((3, 2, 5), np.float32), np.zeros(3, np.int64)
    assert ArrayItems(values, labels).nbytes(torch.tensor([0, 2])) == 2 * 10 * 4
    assert ArrayItems(values, labels, size=7).nbytes(torch.tensor([0, 2])) == 14

"""Data as a part of others: their classes, their numbers and their preprocessing."""

import pytest
import torch
from attar.errors import UsageError
from attar.labels import renumbered
from attar.tensor.items import ArrayItems, RelabeledItems
from attar.testing.toys import toy_task


def test_classes_get_the_numbers_that_they_have_among_all():
    assert renumbered(("b", "d"), ("a", "b", "c", "d"), "x").tolist() == [1, 3]


def test_a_class_that_others_do_not_know_is_refused():
    with pytest.raises(UsageError, match="'x' has the class 'e', which is none of the 2 that all share"):
        renumbered(("b", "e"), ("a", "b"), "x")


def test_samples_of_a_class_that_others_do_not_know_can_be_left_out():
    task = toy_task((2,), classes=3, n=30)
    found = task.shared(("class-2", "class-0"), task.preprocessing, leave_out=True)
    assert found.counts.tolist() == [10, 10]
    rows = (task.train.labels != 1).nonzero()[:, 0]
    assert torch.equal(found.train.read(torch.arange(20)), task.train.read(rows))
    assert set(found.view(torch.arange(found.size("test")), "test").labels.tolist()) <= {0, 1}


def test_samples_stay_and_labels_change():
    items = ArrayItems(torch.arange(8.0).view(4, 2).numpy(), torch.tensor([0, 1, 1, 0]).numpy())
    found = RelabeledItems(items, torch.tensor([5, 2]))
    assert found.labels.tolist() == [5, 2, 2, 5]
    assert torch.equal(found.read(torch.tensor([2, 0])), items.read(torch.tensor([2, 0])))
    assert found.feature == items.feature
    assert found.nbytes(torch.arange(3)) == items.nbytes(torch.arange(3))
    assert found.fingerprint() != items.fingerprint()


def test_samples_without_a_class_keep_none():
    items = ArrayItems(torch.zeros(2, 1).numpy(), torch.tensor([-1, 0]).numpy())
    assert RelabeledItems(items, torch.tensor([3])).labels.tolist() == [-1, 3]


def test_statistics_of_others_are_taken_over():
    task = toy_task((2,), classes=2, n=20)
    found = task.shared(
        ("class-1", "more", "class-0"), {**task.preprocessing, "mean": [3.0, 0.0], "std": [2.0, 1.0]}
    )
    assert found.counts.tolist() == [10, 0, 10]
    raw = task.train.read(torch.arange(20))
    torch.testing.assert_close(
        found.gather(torch.arange(20)).inputs, (raw - torch.tensor([3.0, 0.0])) / torch.tensor([2.0, 1.0])
    )
    assert found.size("test") == task.size("test")


def test_preprocessing_of_another_kind_is_refused():
    task = toy_task((2,), classes=2, n=20)
    with pytest.raises(UsageError, match=r"preprocessing\.kind"):
        task.shared(task.classes, {"kind": "other"})

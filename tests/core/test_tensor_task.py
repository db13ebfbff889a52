from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.rng import derive
from attar.tensor import ArrayItems, ItemsView
from attar.tensor.builtin import tensor_task
from attar.tensor.splits import SplitOptions, holdout


class Untouchable:
    """Items that may be looked at but not read."""

    def __init__(self, items):
        self.labels, self.feature = items.labels, items.feature

    def read(self, rows):
        raise AssertionError("the test split was read")

    fingerprint = nbytes = read


def table(n, classes=3, width=2, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, width))
    return ArrayItems(values, np.arange(n) % classes)


def rows_of(task, batch):
    everything = task.gather(torch.arange(len(task.labels))).inputs
    return [int((everything == row).all(1).nonzero()) for row in batch.inputs]


def test_draw_takes_distinct_samples_of_the_labels_wanted(blobs):
    task = blobs()
    batch = task.draw(5, derive(0), [2, 0])
    assert batch.labels.tolist() == [2] * 5 + [0] * 5
    rows = rows_of(task, batch)
    assert len(set(rows)) == 10
    assert task.labels[rows].equal(batch.labels)


def test_draw_gives_all_that_a_small_class_has(blobs):
    task = blobs()
    assert len(task.draw(10**6, derive(0), [1])) == int(task.counts[1])


def test_draw_without_labels_is_over_all_training_data(blobs):
    task = blobs()
    assert sorted(rows_of(task, task.draw(10**6, derive(0)))) == list(range(len(task.labels)))
    assert len(task.draw(4, derive(0))) == 4


def test_draw_depends_on_the_generator(blobs):
    task = blobs()
    one, same, other = (rows_of(task, task.draw(4, derive(seed))) for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize("gen", [None, 0])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_epoch_covers_each_row_once(blobs, split, gen):
    task = blobs()
    pieces = list(task.epoch(split, 7, None if gen is None else derive(gen)))
    whole = next(task.epoch(split, 10**6))
    assert all(len(piece) == 7 for piece in pieces[:-1])
    found = torch.cat([torch.cat([piece.inputs, piece.labels[:, None]], 1) for piece in pieces])
    wanted = torch.cat([whole.inputs, whole.labels[:, None]], 1)
    assert len(wanted) == task.size(split)
    assert sorted(found.tolist()) == sorted(wanted.tolist())
    assert found.equal(wanted) is (gen is None)


def test_a_split_that_is_missing_is_named(blobs):
    task = blobs(validation=None)
    assert task.size("validation") == 0
    with pytest.raises(UsageError, match="'blobs' has no validation data"):
        next(task.epoch("validation", 4))


def test_gather_encodes_what_is_read(blobs):
    task, rows = blobs(), torch.tensor([3, 1])
    batch = task.gather(rows)
    torch.testing.assert_close(task.preprocess.decode(batch.inputs), task.train.read(rows))
    torch.testing.assert_close(task.vectors(rows), batch.inputs)
    assert batch.labels.equal(task.labels[rows])


def test_subset_keeps_classes_and_statistics(blobs):
    task = blobs()
    part = task.subset(torch.tensor([4, 0]))
    assert (part.classes, part.preprocessing) == (task.classes, task.preprocessing)
    assert part.labels.equal(task.labels[[4, 0]])
    assert int(part.counts.sum()) == part.size("train") == 2
    assert part.gather(torch.tensor([0])).inputs.equal(task.gather(torch.tensor([4])).inputs)


def test_subset_of_a_subset_points_at_the_same_samples(blobs):
    task = blobs()
    part = task.subset(torch.tensor([5, 6, 7])).subset(torch.tensor([2]))
    assert part.vectors(torch.tensor([0])).equal(task.vectors(torch.tensor([7])))


def test_partition_gives_a_task_per_part(blobs):
    task = blobs()
    parts = task.partition([torch.tensor([0, 1]), torch.tensor([2])], derive(0))
    assert [part.size("train") for part in parts] == [2, 1]


def test_fingerprint_follows_training_content(blobs):
    assert blobs().fingerprint == blobs().fingerprint
    assert blobs().fingerprint != blobs(seed=1).fingerprint
    assert blobs().fingerprint != blobs().subset(torch.arange(3)).fingerprint


def test_fingerprint_does_not_depend_on_the_test_split():
    values, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    task = tensor_task(values, labels)
    other = values.copy()
    held = task.test._rows.numpy()
    other[held] += 1.0
    changed = tensor_task(other, labels)
    assert changed.train.read(torch.arange(5)).equal(task.train.read(torch.arange(5)))
    assert changed.test_fingerprint != task.test_fingerprint
    assert changed.fingerprint == task.fingerprint


def test_nothing_for_distilling_reads_the_test_split(blobs):
    task = blobs()
    task = replace(task, test=Untouchable(task.test))
    task.draw(3, derive(0), [0, 1])
    batch = task.gather(torch.arange(4))
    task.view(torch.arange(2))
    task.vectors(torch.arange(2))
    task.raw_bytes(torch.arange(2))
    task.synthesize(batch, SetSpec(), derive(0)).decode()
    task.subset(torch.arange(4)).draw(1, derive(0))
    list(task.epoch("train", 8))
    list(task.epoch("validation", 8))
    assert task.fingerprint
    with pytest.raises(AssertionError, match="test split was read"):
        next(task.epoch("test", 8))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_by_sample(bad):
    values = np.zeros((5000, 2))
    values[4500, 1] = bad
    with pytest.raises(UsageError, match="holds NaN or infinite values, first in sample 4500"):
        tensor_task(values, np.arange(5000) % 2)


def test_unequal_lengths_are_refused():
    with pytest.raises(UsageError, match="has 3 samples but 2 labels"):
        ArrayItems(np.zeros((3, 1)), np.zeros(2, dtype=int))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [(np.array([0.5, 1.5]), "has the label 0.5"), (np.array([], dtype=int), "holds no samples")],
)
def test_labels_must_be_classes(labels, sentence):
    with pytest.raises(UsageError, match=sentence):
        tensor_task(np.zeros((len(labels), 2)), labels)


@pytest.mark.parametrize("labels", [np.array([0.5, 1.5]), np.eye(2, dtype=int), np.array([0, 7])])
def test_test_labels_must_be_classes_too(labels):
    with pytest.raises(UsageError, match=r"label 0.5|several labels|label 7, which the training data"):
        tensor_task(np.eye(4, 2), np.arange(4) % 2, test=(np.eye(2), labels))


@pytest.mark.parametrize("values", [np.zeros(6), np.array([["a", "b"]] * 6)], ids=["no feature", "text"])
def test_values_must_be_numbers_with_features(values):
    with pytest.raises(UsageError, match="data"):
        tensor_task(values, np.arange(6) % 2, name="data")


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [-1, 0, 1, 0]])
def test_labels_outside_the_classes_are_refused(blobs, labels):
    with pytest.raises(UsageError, match=r"the train labels of 'blobs' run from .* but there are 3 classes"):
        blobs(train=ArrayItems(np.zeros((4, 4)), np.array(labels)))


def test_splits_of_other_shapes_are_refused(blobs):
    with pytest.raises(UsageError, match=r"the test samples of 'blobs' have shape \(5,\), the training"):
        blobs(test=ArrayItems(np.zeros((2, 5)), np.array([0, 1])))


def test_raw_bytes_counts_values_and_labels():
    task = tensor_task(np.zeros((10, 2, 3), dtype=np.uint8), np.arange(10) % 2)
    assert task.raw_bytes(torch.arange(4)) == 4 * (6 + 1)


def test_synthesize_makes_probabilities_of_labels_where_wanted(blobs):
    task = blobs()
    init = task.draw(1, derive(0), [0, 1, 2])
    syn = task.synthesize(init, SetSpec(label_kind="probability"), derive(0))
    # A tenth is spread over all classes, so that softmax has a slope.
    expected = 0.9 * torch.eye(3) + 0.1 / 3
    assert torch.allclose(syn.decode().targets, expected)
    assert set(syn.groups()) == {"values", "labels"}


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2), ("bfloat16", 2)])
def test_nbytes_counts_the_storage_type(blobs, dtype, size):
    task = blobs()
    syn = task.synthesize(task.draw(2, derive(0), [0, 1]), SetSpec(dtype=dtype), derive(0))
    assert syn.nbytes() == 4 * 4 * size + 4


def test_synthetic_epoch_covers_each_sample_once(blobs):
    task = blobs()
    syn = task.synthesize(task.draw(2, derive(0), [0, 1, 2]), SetSpec(), derive(0))
    with torch.no_grad():
        pieces = list(syn.epoch(4, derive(1)))
        assert [len(piece) for piece in pieces] == [4, 2]
        found = torch.cat([piece.inputs for piece in pieces])
        assert sorted(found.tolist()) == sorted(syn.decode().inputs.tolist())
        assert syn.decode(torch.tensor([3])).labels.tolist() == [1]


def test_holdout_is_stratified_disjoint_and_deterministic():
    items = table(60)
    kept, held = holdout(items, 0.25, 3, 0, "test")
    assert torch.bincount(held.labels).tolist() == [5, 5, 5]
    both = torch.cat([kept.read(torch.arange(45)), held.read(torch.arange(15))])
    assert sorted(both.tolist()) == sorted(items.read(torch.arange(60)).tolist())
    again = holdout(items, 0.25, 3, 0, "test")[1]
    other = holdout(items, 0.25, 3, 1, "test")[1]
    assert held.fingerprint() == again.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("amount", [5, 10, 31])
def test_holdout_takes_the_number_of_samples_asked_for(amount):
    kept, held = holdout(table(60), amount, 3, 0, "validation")
    assert (len(kept.labels), len(held.labels)) == (60 - amount, amount)


def test_holdout_leaves_a_class_its_only_sample():
    kept, held = holdout(ArrayItems(np.zeros((5, 1)), np.array([0, 0, 0, 0, 1])), 0.5, 2, 0, "test")
    assert torch.bincount(kept.labels).tolist() == [2, 1]
    assert torch.bincount(held.labels, minlength=2).tolist() == [2, 0]


def test_holdout_of_everything_is_refused():
    with pytest.raises(UsageError, match="a validation part of 60 samples leaves no training data of 60"):
        holdout(table(60), 60, 3, 0, "validation")


def test_task_has_no_validation_where_none_is_held_out():
    task = tensor_task(np.zeros((10, 2)), np.arange(10) % 2, options=SplitOptions(validation=0))
    assert task.validation is None


def test_view_reads_through():
    view = ItemsView(table(6), torch.tensor([4, 2]))
    assert view.labels.tolist() == [1, 2]
    assert view.read(torch.tensor([1])).equal(table(6).read(torch.tensor([2])))


def test_tensors_are_not_joined(blobs):
    task = blobs()
    with pytest.raises(UsageError, match=r"objective\.structure=pairwise joins samples, and those of"):
        task.synthesize(task.gather(torch.tensor([0])), SetSpec(structure="pairwise"), derive(0))

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.neighbors import nearest_rows, sample_infos
from attar.plugins import DataInfo
from attar.tensor import TensorTask
from attar.tensor.builtin import tensor_task


def plain(n=40, name="points"):
    values = torch.randn(n, 3, generator=torch.Generator().manual_seed(0)).double().numpy()
    return tensor_task(values, torch.arange(n) % 2, classes=("even", "odd"), name=name)


@dataclass(frozen=True, kw_only=True)
class Named(TensorTask):
    """A task whose rows have names."""

    def caption(self, row):
        return f"row {row}"


@pytest.fixture
def task():
    own = plain()
    return Named(**{name: getattr(own, name) for name in own.__dataclass_fields__})


INFO = DataInfo(classes=("even", "odd"), axes=("feature",), preprocessing={})


def test_the_nearest_rows_are_those_of_least_distance(task, monkeypatch):
    monkeypatch.setattr("attar.neighbors._AT_ONCE", 7)
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    everything = task.vectors(torch.arange(len(task.labels)))
    slow = torch.stack([(everything - sample).pow(2).sum(1).sqrt() for sample in inputs])
    distances, rows = nearest_rows(inputs, task, 4)
    torch.testing.assert_close(distances, slow.sort(1).values[:, :4])
    torch.testing.assert_close(slow.gather(1, rows), distances)


def test_a_real_sample_is_its_own_neighbor(task):
    batch = task.gather(torch.tensor([3, 8]))
    infos = sample_infos(batch, INFO, object(), task, 1)
    assert [info.nearest[0].row for info in infos] == [3, 8]
    assert [info.nearest[0].caption for info in infos] == ["row 3", "row 8"]
    assert [info.nearest[0].distance for info in infos] == [0, 0]
    assert [info.nearest[0].label for info in infos] == [info.label for info in infos]


def test_there_are_no_more_neighbors_than_rows(task):
    few = task.subset(torch.tensor([0, 1]))
    assert nearest_rows(torch.zeros(1, 3), few, 5)[1].shape == (1, 2)


def test_without_data_there_are_no_neighbors(task):
    infos = sample_infos(task.gather(torch.tensor([1])), INFO, object(), None, 3)
    assert infos[0].nearest == ()
    assert infos[0].described is None


def test_a_modality_may_tell_samples_in_words(task):
    class Telling:
        def described(self, batch, info):
            return [f"{info.classes[label]} thing" for label in batch.labels.tolist()]

    batch = Batch(torch.zeros(2, 3), torch.tensor([1, 0]))
    assert [info.described for info in sample_infos(batch, INFO, Telling(), None, 1)] == [
        "odd thing",
        "even thing",
    ]


def test_data_without_names_are_refused():
    task = plain(name="mine")
    with pytest.raises(UsageError, match="the samples of 'mine' have no names"):
        sample_infos(task.gather(torch.tensor([0])), INFO, object(), task, 1)


def test_samples_of_another_shape_are_refused(task):
    batch = Batch(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(UsageError, match=r"have shape \(4,\), those of 'points' \(3,\)"):
        sample_infos(batch, INFO, object(), task, 1)

from __future__ import annotations

import numpy as np
import pytest
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.plugins import DataInfo
from attar.registry import Registry
from attar.render import grid_picture
from attar.tensor import Standardize


def draw(feature, *, classes=("a", "b"), preprocessing=None, modality="tensor"):
    labels = torch.tensor([0, 0, 1])
    values = torch.linspace(-1, 1, 3 * int(np.prod(feature))).view(3, *feature)
    info = DataInfo(
        classes=classes,
        axes=("x",) * len(feature),
        preprocessing=Standardize().model_dump(mode="json") if preprocessing is None else preprocessing,
    )
    return Registry().get("modalities", modality).render(Batch(values, labels), info)


def size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


@pytest.mark.parametrize("feature", [(1,), (5,), (1, 4, 4), (1, 6), (3, 4, 4), (2, 6), (2, 4, 4)])
def test_samples_of_any_shape_have_a_picture(feature):
    width, height = size(draw(feature))
    assert width > 50
    assert height > 50


@pytest.mark.parametrize("name", ["$x_1$", "$", "a_b^c", "\\frac", "x" * 300, "猫", "", "two\nlines"])
def test_class_names_are_shown_and_not_read(name):
    assert size(draw((1, 4, 4), classes=(name, "b")))


def test_pictures_are_the_same_each_time():
    assert draw((1, 4, 4)) == draw((1, 4, 4))


def test_rows_have_at_most_so_many_columns():
    samples, labels = [np.zeros((2, 2))] * 30, [0] * 30
    few, many = (grid_picture(samples, labels, ["a"], columns=columns) for columns in (3, 30))
    assert size(few)[0] < size(many)[0]


def test_very_many_classes_still_have_a_picture():
    n = 150
    png = grid_picture([np.zeros((2, 2))] * n, list(range(n)), [str(index) for index in range(n)])
    # More rows than a person looks at, and than a viewer opens, are left out.
    assert max(size(png)) <= 10_000


@pytest.mark.parametrize("preprocessing", [{"std": [0]}, {"kind": "other"}])
def test_preprocessing_from_outside_is_checked(preprocessing):
    with pytest.raises(UsageError, match="preprocessing"):
        draw((4,), preprocessing=preprocessing)


def test_one_sample_per_class_lies_side_by_side():
    names = [f"class {i}" for i in range(12)]
    alone, several = (
        size(grid_picture([np.zeros((8, 8))] * len(labels), labels, names))
        for labels in (list(range(12)), [*range(12), 0])
    )
    assert alone[0] > 3 * alone[1]
    assert several[1] > 3 * several[0]

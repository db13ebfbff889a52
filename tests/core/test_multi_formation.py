"""Mosaics of several samples."""

import attar
import pytest
import torch
from attar.errors import UsageError
from attar.parameterizations.multi_formation import (
    MULTI_FORMATION,
    MultiFormation,
    MultiFormationSettings,
)
from attar.settings import parse
from torch.nn import functional


def made(values, **settings):
    return MULTI_FORMATION.initialize(values, MultiFormationSettings(**settings), torch.Generator())


@pytest.mark.parametrize(
    ("shape", "factor", "axes", "packs"),
    [
        ((1, 8, 8), 2, (), 4),
        ((3, 9, 6), 3, (), 9),
        ((2, 8), 2, (), 2),
        ((1, 8, 8), 2, (2,), 2),
        ((1, 4, 4, 4), 2, (), 8),
    ],
)
def test_a_mosaic_decodes_to_its_pieces(shape, factor, axes, packs):
    settings = MultiFormationSettings(factor=factor, axes=axes)
    assert MULTI_FORMATION.packs(settings, shape) == packs
    values, owner = made(torch.randn((3 * packs, *shape)), factor=factor, axes=axes)()
    assert values.shape == (3 * packs, *shape)
    assert owner.tolist() == [stored for stored in range(3) for _ in range(packs)]


def test_pieces_are_quarters_enlarged():
    mosaic = torch.arange(36.0).view(1, 1, 6, 6)
    values, _ = MultiFormation(mosaic, 2, (1, 2))()
    quarters = [mosaic[:, :, y : y + 3, x : x + 3] for y in (0, 3) for x in (0, 3)]
    for piece, quarter in zip(values, quarters, strict=True):
        grown = functional.interpolate(quarter, size=(6, 6), mode="bilinear", align_corners=False)
        assert torch.allclose(piece, grown[0])


def test_flat_samples_come_back_as_they_were():
    shades = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 6, 6).contiguous()
    assert torch.allclose(made(shades)()[0], shades)


def test_sides_that_do_not_divide_are_cut_all_the_same():
    mosaic = torch.randn(2, 1, 7, 5)
    module = MultiFormation(mosaic, 3, (1, 2))
    covered = torch.zeros(2, 1, 7, 5)
    for place in module.places():
        covered[place] += 1
    assert torch.equal(covered, torch.ones_like(covered))
    assert module()[0].shape == (18, 1, 7, 5)


def test_a_set_of_mosaics_counts_what_it_stores(tmp_path):
    task = attar.task("tensor", data="digits")
    artifact = attar.distill(
        task, method="idc", ipc=2, steps=2, outer=2, samples=20, per_class=4, out=tmp_path / "run"
    )
    size = artifact.manifest.size
    assert (size.ipc, size.stored, size.decoded) == (2, 20, 80)
    assert size.bytes == 20 * 64 * 4 + 20
    again = attar.load(tmp_path / "run")
    assert torch.equal(again.decode().inputs, artifact.decode().inputs)
    assert again.decode().labels.bincount().tolist() == [8] * 10


def test_a_budget_is_kept():
    task = attar.task("tensor", data="digits")
    artifact = attar.distill(task, method="idc", budget=6000, steps=1, outer=1, samples=20, per_class=4)
    assert 4000 < artifact.manifest.size.bytes <= 6000


@pytest.mark.parametrize(
    ("feature", "settings", "message"),
    [
        ((5,), {}, "have none; choose objective.parameterization=plain"),
        ((1, 8, 8), {"axes": (3,)}, "axis 3 of samples"),
        ((1, 8, 8), {"axes": (0,)}, "choose from 1 to 2"),
        ((1, 4, 4), {"factor": 5}, "an axis of 4 positions cannot be cut into 5"),
    ],
)
def test_mistakes(feature, settings, message):
    with pytest.raises(UsageError, match=message):
        MULTI_FORMATION.packs(MultiFormationSettings(**settings), feature)


def axes(text):
    return parse(MultiFormationSettings, {"axes": text}, "parameterization")


def test_axes_are_named_or_counted():
    assert axes("time").placed(("channel", "band", "time")).axes == (2,)
    assert axes("1, 2").axes == (1, 2)
    with pytest.raises(UsageError, match="'tim': did you mean 'time'"):
        axes("tim").placed(("channel", "time"))

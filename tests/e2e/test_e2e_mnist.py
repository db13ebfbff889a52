from __future__ import annotations

import json
import os

import attar
import pytest

ROOT = os.environ.get("ATTAR_TEST_DATA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ROOT, reason="ATTAR_TEST_DATA names no folder of real data"),
]


def test_mnist_has_its_known_sizes():
    task = attar.task("image", data="mnist", root=ROOT, validation=0)
    assert (task.size("train"), task.size("test")) == (60_000, 10_000)
    assert task.classes == tuple("0123456789")
    assert task.counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_a_part_of_mnist_is_held_out_for_choices():
    task = attar.task("image", data="mnist", root=ROOT)
    assert task.size("train") + task.size("validation") == 60_000


def test_mnist_is_distilled(cli, tmp_path):
    few = ("--ipc", 1, "--steps", 5, "--set", "objective.per_class=32", "--model", "convnet,width=16,depth=3")
    result = cli("distill", "image", "--data", "mnist", "--root", ROOT, *few, "--out", "run", "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["samples"] == 10
    manifest = json.loads((tmp_path / "run" / "artifact" / "manifest.json").read_text())
    assert manifest["tensors"]["values.values"]["shape"] == [10, 1, 28, 28]
    assert ROOT not in (tmp_path / "run" / "recipe.toml").read_text()

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

METHODS = ["dm", "random", "herding", "k-center", "k-means"]


@pytest.fixture
def real_and_noise(tmp_path):
    """The same training data twice, once with a real test split and once with noise for one."""
    values, labels = load_digits(return_X_y=True)
    values = values.reshape(-1, 1, 8, 8).astype(np.uint8)
    rng = np.random.default_rng(0)
    train = {"x_train": values[:900], "y_train": labels[:900]}
    noise = rng.integers(0, 17, values[900:].shape, dtype=np.uint8), rng.integers(0, 10, len(labels[900:]))
    tests = {"real": (values[1000:], labels[1000:]), "noise": noise}
    for name, (x_test, y_test) in tests.items():
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "own.npz", **train, x_test=x_test, y_test=y_test)
    return [tmp_path / name for name in tests]


@pytest.mark.parametrize("method", METHODS)
def test_the_test_split_takes_no_part_in_what_is_made(cli, real_and_noise, method):
    made = []
    for place in real_and_noise:
        few = ("--steps", 3) if method == "dm" else ("--set", "objective.space=random")
        options = ("--data", place / "own.npz", "--method", method, "--ipc", 2, "--out", place / "run")
        assert cli("distill", "tensor", *options, *few, "--model", "convnet,width=8,depth=2").code == 0
        artifact = place / "run" / "artifact"
        manifest = json.loads((artifact / "manifest.json").read_text())
        manifest.pop("cost")
        files = [
            (artifact / name).read_bytes() for name in ("data.safetensors", "preview.png", "recipe.toml")
        ]
        made.append((manifest, files))
    assert made[0] == made[1]


def test_the_test_split_takes_part_in_no_choice_of_an_evaluation(cli, real_and_noise):
    reports = []
    for place in real_and_noise:
        options = ("--data", place / "own.npz", "--method", "random", "--ipc", 1, "--out", place / "run")
        assert cli("distill", "tensor", *options).code == 0
        quick = ("--set", "protocol.epochs=2", "--set", "protocol.networks=1", "--set", "protocol.steps=5")
        again = ("evaluate", place / "run", "--data", place / "own.npz", "--baselines", "herding,k-means")
        result = cli(*again, *quick, "--model", "mlp,width=8", "--workers", 1, "--json")
        assert result.code == 0, result.err
        reports.append(json.loads(result.out))
    real, noise = reports
    for report in reports:
        for detail in report["details"].values():
            # A figure of the test split, as its name in the report says.
            detail.pop("balanced")
    assert real["details"] == noise["details"]
    assert real["validation"] == noise["validation"]
    assert real["data_changed"] is noise["data_changed"] is False

from __future__ import annotations

import os
import shutil

import attar
import numpy as np
import pytest

HOSTILE = "<script>document.title='owned'</script>"
"""Name of a class that is to be shown, not run."""


@pytest.fixture(scope="session")
def sets(tmp_path_factory, one_thread):
    """Runs of two sets of made-up values, one of whose classes has a hostile name; the first is evaluated."""
    place = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    values = (rng.normal(size=(60, 3)) + 4 * labels[:, None]).astype(np.float32)
    task = attar.task("tensor", data=(values, labels), classes=[HOSTILE, "plain & simple"], name="made-up")
    for seed in (0, 1):
        attar.distill(
            task, method="dm", ipc=2, steps=2, seed=seed, out=place / f"run{seed}", model="mlp,width=4"
        )
    return place


@pytest.fixture
def runs(sets, tmp_path):
    """Copies of the runs, free to be changed."""
    return [shutil.copytree(sets / name, tmp_path / name) for name in ("run0", "run1")]


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    # As root, Chromium starts only without its sandbox; nothing from elsewhere is opened.
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()

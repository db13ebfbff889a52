"""An exported set trained on without Attar, by the program that the README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attar
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "train_plain.py"


def lines(program):
    """Return the lines of a program that are neither empty nor a comment."""
    return [line for line in program.splitlines() if line.strip() and not line.startswith("#")]


def write_images(folder, count, seed):
    """Write dark and bright images of noise, which any network tells apart."""
    random = np.random.default_rng(seed)
    for name, low in (("dark", 0), ("bright", 128)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(low, low + 128, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_the_example_trains_on_an_export(tmp_path, dtype):
    pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    for split, count, seed in (("train", 12, 0), ("test", 10, 1)):
        write_images(tmp_path / "own" / split, count, seed)
    task = attar.task("image", data=tmp_path / "own", validation=0)
    artifact = attar.distill(task, method="random", ipc=4)
    attar.export(artifact, tmp_path / "set", "parquet", dtype=dtype, test=task)
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path / "set"), "20"],
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert float(re.fullmatch(r"tensor\((.+)\)", ran.stdout.strip())[1]) > 0.9


def test_the_example_is_short_and_knows_nothing_of_attar():
    program = EXAMPLE.read_text("utf-8")
    assert len(lines(program)) <= 20
    assert "attar" not in program


def test_the_readme_shows_the_example():
    page = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"<!-- train_plain -->\n```python\n(.*?)```\n<!-- train_plain -->", page, re.DOTALL)
    assert shown == [EXAMPLE.read_text("utf-8")]

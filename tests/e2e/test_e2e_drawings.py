from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

CLASSES = ("big squares 🟦", "circles", "triangles")


def draw(kind, side, shade):
    image = Image.new("RGB", (side, side + 5), "white")
    pen = ImageDraw.Draw(image)
    low, high = side // 5, side - side // 5
    if kind == "circles":
        pen.ellipse((low, low, high, high), fill=shade)
    elif kind == "triangles":
        pen.polygon([(side // 2, low), (low, high), (high, high)], fill=shade)
    else:
        pen.rectangle((low, low, high, high), fill=shade)
    return image


@pytest.fixture(scope="session")
def drawings(tmp_path_factory):
    """A folder of drawings of different sizes, as PNG and JPEG."""
    folder = tmp_path_factory.mktemp("data") / "my drawings"
    rng = np.random.default_rng(0)
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for index in range(12):
            image = draw(kind, int(rng.integers(20, 61)), tuple(int(c) for c in rng.integers(0, 200, 3)))
            image.save(folder / kind / (f"{index}.png" if index % 2 else f"{index}.JPG"))
    return folder


@pytest.mark.slow
def test_a_folder_of_drawings_from_end_to_end(cli, drawings, tmp_path):
    steps = ("--set", "objective.steps=3", "--set", "objective.per_class=4")
    small = ("--model", "convnet,width=8,depth=2")
    made = cli("distill", "image", "--data", drawings, "--ipc", 1, *steps, *small, "--out", "run")
    assert (made.code, made.err) == (0, "")

    artifact = tmp_path / "run" / "artifact"
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert manifest["data"]["classes"] == list(CLASSES)
    assert manifest["data"]["name"] == "my drawings"
    assert manifest["tensors"]["values.values"]["shape"] == [3, 3, 32, 32]
    with Image.open(artifact / "preview.png") as picture:
        picture.load()
        assert min(picture.size) > 50

    shown = cli("show", "run")
    assert (shown.code, shown.err) == (0, "")
    assert "my drawings" in shown.out
    assert "triangles" in shown.out

    quick = ("--set", "protocol.epochs=1", "--set", "protocol.networks=1", "--workers", 1)
    lone = cli("evaluate", "run", *quick)
    assert (lone.code, lone.err.count("\n")) == (2, 1)
    assert "my drawings" in lone.err

    report = cli("evaluate", "run", "--data", drawings, "--baselines", "whole,random", *quick, "--json")
    assert (report.code, report.err) == (0, "")
    report = json.loads(report.out)
    assert not report["data_changed"]
    assert set(report["baselines"]) == {"whole", "random"}

    again = cli("run", "run", "--data", drawings, "--out", "again")
    assert (again.code, again.err) == (0, "")
    data = "artifact/data.safetensors"
    assert (tmp_path / "again" / data).read_bytes() == (tmp_path / "run" / data).read_bytes()

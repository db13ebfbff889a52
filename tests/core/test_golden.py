"""Artifacts written by earlier versions, on other machines, load as they were.

The folders under ``tests/golden`` are never rewritten: a new schema version adds folders.
"""

from __future__ import annotations

import json
from pathlib import Path

import attar
import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def test_every_schema_version_has_its_files():
    versions = {name.rpartition("-v")[2] for name in NAMES}
    manifests = [json.loads((GOLDEN / name / "manifest.json").read_text("utf-8")) for name in NAMES]
    assert versions == {str(manifest["schema_version"]) for manifest in manifests} == {"1"}


@pytest.mark.parametrize("name", NAMES)
def test_an_old_artifact_decodes_to_the_same_values(name):
    if name.startswith("image"):
        pytest.importorskip("attar_image", reason="attar-image is not installed")
    expected = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    artifact = attar.load(GOLDEN / name)
    batch = artifact.decode()
    inputs = batch.inputs.detach()
    assert batch.labels.tolist() == expected["labels"]
    assert list(batch.inputs.shape) == expected["shape"]
    assert [float(value).hex() for value in inputs.flatten()[:20]] == expected["first"]
    assert float(inputs.double().sum()) == pytest.approx(expected["sum"], rel=1e-12)
    assert artifact.manifest.data.name.startswith("golden-")

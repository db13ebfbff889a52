from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from attar.cli import doctor
from attar.doctor import Advice, Diagnosis


def test_doctor_speaks_to_people(cli):
    result = cli("doctor")
    assert (result.code, result.err) == (0, "")
    for word in ("versions", "attar-core", "torch", "processor", "device cpu", "threads", "cache", "loaded"):
        assert word in result.out


def test_doctor_speaks_json(cli):
    found = Diagnosis.model_validate(cli("doctor", "--json").json)
    assert found.versions["attar-core"] == version("attar-core")
    assert [folder.purpose for folder in found.folders] == ["cache", "data"]


def test_doctor_has_a_schema(cli):
    schema = cli("schema", "doctor").json
    assert set(schema["properties"]) == set(Diagnosis.model_fields)


@pytest.fixture
def ill(cli, monkeypatch):
    """A machine on which nothing is well."""
    found = Diagnosis.model_validate(cli("doctor", "--json").json)
    values = found.model_dump()
    values["system"]["libc"] = ""
    values["processor"].update(physical=None, bf16=True)
    values["allocator"].update(tunable=False)
    values["devices"][0].update(float64=False, auto=False)
    values["folders"][0].update(exists=False, writable=False, locks=False, free_bytes=None, file_system="")
    failed = {"group": "objectives", "name": "x", "distribution": "y", "version": "1", "error": "broken"}
    values["plugins"] = {"loaded": 1, "failed": [failed]}
    values["advice"] = [
        {"about": "disk", "sentence": "a disk [bold]named\x1b[2J"},
        {"about": "extra", "sentence": "timm is not installed"},
    ]
    monkeypatch.setattr(doctor, "diagnose", lambda: Diagnosis.model_validate(values))


def test_what_is_broken_is_shown_and_is_no_failure(cli, ill):
    result = cli("doctor")
    assert (result.code, result.err) == (0, "")
    text = " ".join(result.out.split())
    for word in (
        "no float64",
        "not tunable",
        "unknown free, not there yet, not writable, no locks",
        "objectives x failed, from y 1",
        "advice - a disk [bold]named�[2J",
        "could be added - timm is not installed",
    ):
        assert word in text
    assert "\x1b" not in result.out


def test_without_advice_there_is_no_heading_for_it(cli, monkeypatch):
    found = Diagnosis.model_validate(cli("doctor", "--json").json)
    for about, heading in (("disk", "advice"), ("extra", "could be added")):
        advice = [Advice(about=about, sentence="something")]
        changed = found.model_copy(update={"advice": advice})
        monkeypatch.setattr(doctor, "diagnose", lambda changed=changed: changed)
        out = cli("doctor").out
        assert [word for word in ("advice", "could be added") if word in out] == [heading]


def test_versions_are_one_distribution_a_line_with_the_core_first(cli):
    result = cli("--version")
    assert (result.code, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["attar-core", version("attar-core")]
    assert ["attar-image", version("attar-image")] in lines
    assert all(len(line) == 2 and line[0].startswith("attar") for line in lines)


def test_doctor_loads_no_library_of_a_modality(tmp_path):
    script = """
import sys
from attar.cli import main
try:
    main(["doctor", "--json"])
except SystemExit as ended:
    assert ended.code == 0
heavy = {"datasets", "huggingface_hub", "pyarrow", "timm", "torchvision"}
print(*sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "\n")
    Diagnosis.model_validate_json(ended.stdout)

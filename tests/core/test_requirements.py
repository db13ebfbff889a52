"""What distributions ask for and do not find."""

from __future__ import annotations

import pytest
from attar.requirements import unmet


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a distribution that asks for what it is given."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*requirements, name="attar-mine"):
        folder = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.2"]
        lines += [f"Requires-Dist: {each}" for each in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        (folder / "entry_points.txt").write_text("[attar.selectors]\nmine = attar.selectors.rules:RANDOM\n")

    return install


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("attar-core>=0.0.1", []),
        ("attar-core (>=0.0.1,<999)", []),
        ("no-such-thing; extra == 'more'", []),
        ("no-such-thing; python_version < '3'", []),
        ("attar-core>=999", ["attar-mine 1.2 asks for attar-core>=999, and 0.1.0 is installed"]),
        ("no-such-thing>=2", ["attar-mine 1.2 asks for no-such-thing>=2, which is not installed"]),
        ("???", ["attar-mine 1.2 asks for '???', which is no requirement"]),
    ],
)
def test_what_is_not_there_is_a_sentence(installed, requirement, said):
    installed(requirement)
    assert unmet(["attar-mine"]) == said


def test_what_is_not_installed_asks_for_nothing():
    assert unmet(["attar-nowhere", "attar-core"]) == []


def test_plugins_tells_of_a_mismatch_and_everything_still_works(cli, installed, tmp_path):
    installed("attar-core>=999")
    found = cli("plugins", "--json").json
    assert found["mismatches"] == ["attar-mine 1.2 asks for attar-core>=999, and 0.1.0 is installed"]
    (mine,) = [each for each in found["selectors"] if each["name"] == "mine"]
    assert mine["status"] == "ok"
    assert "asks for attar-core>=999" in " ".join(cli("plugins").out.split())
    made = cli(
        "distill", "tensor", "--data", "iris", "--method", "mine", "--ipc", 1, "--out", tmp_path / "run"
    )
    assert made.code == 0

"""The wheels of all members, installed into a clean environment outside of the repository.

It takes a package index and minutes, so that it runs where it is asked for: ``ATTAR_TEST_WHEELS=1``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attar.registry import GROUPS

ROOT = Path(__file__).parents[2]
MEMBERS = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))]
# Graphs are no plain tensors, and want more for the kit than a name; see tests/conformance.
SHIPPED = {"tensor": "iris", "image": "digits", "audio": "tones", "text": "notes", "tabular": "wine"}
KIT = f"""
import json, sys
from attar.testing import checks_for

shipped = {SHIPPED!r}
tried = 0
for group, name in json.loads(sys.argv[1]):
    data = {{name: [shipped[name]]}} if group == "modalities" else None
    for check in checks_for(group, name, data=data):
        if check.known_failure is None:
            check.run()
            tried += 1
print(tried)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("ATTAR_TEST_WHEELS"), reason="ATTAR_TEST_WHEELS is not set"),
]


class Clean:
    """An environment of its own, outside of the repository, that sees nothing of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.bin = folder / "env" / ("Scripts" if os.name == "nt" else "bin")

    def call(self, *command: str) -> str:
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.folder, env=variables
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def python(self, *arguments: str) -> str:
        return self.call(str(self.bin / "python"), *arguments)

    def pip(self, *arguments: str) -> str:
        return self.python("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def install(self, *names: str) -> None:
        self.pip("install", "-c", str(ROOT / "constraints.txt"), "--find-links", str(self.wheels), *names)

    def attar(self, *arguments: str) -> str:
        return self.call(str(self.bin / "attar"), *arguments)

    def plugins(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.attar("plugins", "--json"))
        return found


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """An environment with the wheel of the core, and beside it the wheels of all members."""
    made = Clean(tmp_path_factory.mktemp("clean"))
    members = [str(path) for path in MEMBERS]
    built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(made.wheels), *members]
    subprocess.run(built, check=True, cwd=made.folder)
    assert len(list(made.wheels.glob("attar_*.whl"))) == len(MEMBERS)
    subprocess.run([sys.executable, "-m", "venv", str(made.folder / "env")], check=True)
    made.install("attar-core")
    return made


COMBINATIONS: Sequence[tuple[str, ...]] = (
    (),
    ("attar-image",),
    ("attar-tabular",),
    tuple(f"attar-{path.name}" for path in MEMBERS if path.name != "core"),
)


def check_combination(clean: Clean, names: Sequence[str]) -> None:
    """Try what is installed: all of it is found, and what is new is demonstrated and passes the kit."""
    found = clean.plugins()
    states = [(group, state) for group in GROUPS for state in found[group]]
    assert [state for _, state in states if state["status"] != "ok"] == []
    assert {state["distribution"] for _, state in states} == {"attar-core", *names}
    assert found["mismatches"] == []
    assert str(clean.folder) in clean.python("-c", "import attar; print(attar.__file__)")
    new = [
        (group, state["name"])
        for group, state in states
        if state["distribution"] in (names or ["attar-core"])
    ]
    for name in [name for group, name in new if group == "modalities"]:
        assert json.loads(clean.attar("demo", name, "--quick", "--force", "--json"))
    # Of the methods one: the others are tried everywhere else, and take long.
    brief = [(group, name) for group, name in new if group != "objectives" or name in ("dm", "wasserstein")]
    tried = [(group, name) for group, name in brief if group != "modalities" or name in SHIPPED]
    assert int(clean.python("-c", KIT, json.dumps(tried))) > 20


def check_broken_distribution(clean: Clean) -> None:
    """Install one that cannot be imported and asks for another core: it is told of, and in nobody's way."""
    site = Path(clean.python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    folder = site / "attar_mine-1.0.dist-info"
    folder.mkdir()
    metadata = ["Metadata-Version: 2.1", "Name: attar-mine", "Version: 1.0", "Requires-Dist: attar-core>=999"]
    (folder / "METADATA").write_text("\n".join(metadata) + "\n")
    (folder / "entry_points.txt").write_text("[attar.objectives]\nmine = attar_mine:PLUGIN\n")
    found = clean.plugins()
    (mine,) = [state for state in found["objectives"] if state["name"] == "mine"]
    assert mine["status"] == "failed"
    assert "of attar-mine 1.0 failed to load (ModuleNotFoundError" in mine["error"]
    assert [said for said in found["mismatches"] if "attar-mine 1.0 asks for attar-core>=999" in said]
    assert json.loads(clean.attar("demo", "--quick", "--force", "--json"))


# One test: an environment takes minutes, and what is installed in it changes from step to step.
def test_wheels_work_together_and_alone_in_a_clean_environment(clean):
    for names in COMBINATIONS:
        if names:
            clean.install(*names)
        check_combination(clean, names)
        if names and names != COMBINATIONS[-1]:
            clean.pip("uninstall", "--yes", *names)
    check_broken_distribution(clean)

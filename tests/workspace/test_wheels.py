"""The wheels of all members, installed into clean environments outside of the repository.

What they require of others is linked from this environment, just that and nothing else: a copy of it
would take minutes and gigabytes. A requirement that a wheel does not declare is not there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from attar.registry import GROUPS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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

pytestmark = pytest.mark.slow


def requirements(distribution: Distribution, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """Yield what a distribution requires here, with these of its extras."""
    for text in distribution.requires or ():
        asked = Requirement(text)
        if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield asked


def others(wheels: Path, names: Sequence[str]) -> Mapping[str, Distribution]:
    """Return the distributions that are no members, and that these members need, however far away."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if (name, str(sorted(asked.extras))) in seen:
            continue
        seen.add((name, str(sorted(asked.extras))))
        if name.startswith("attar-"):
            (wheel,) = wheels.glob(f"{name.replace('-', '_')}-*.whl")
            (made,) = distributions(path=[str(wheel)])
        else:
            made = found[name] = distribution(name)
        waiting += requirements(made, frozenset(asked.extras))
    return found


class Clean:
    """An environment of its own, outside of the repository, that sees nothing of this one but links."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        self.wheels = wheels
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        self.site = Path(self.python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def install(self, *names: str) -> None:
        for linked in others(self.wheels, names).values():
            for top in {file.parts[0] for file in linked.files or ()} - {"..", "__pycache__"}:
                source, link = Path(str(linked.locate_file(top))), self.site / top
                if source.exists() and not link.exists():
                    link.symlink_to(source, target_is_directory=source.is_dir())
        # Without an index: whatever is not linked and not a wheel is refused.
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python"]
        python = str(self.bin / "python")
        self.call(*pip, python, "install", "--no-index", "--find-links", str(self.wheels), *names)

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

    def attar(self, *arguments: str) -> str:
        return self.call(str(self.bin / "attar"), *arguments)

    def plugins(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.attar("plugins", "--json"))
        return found


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheels of all members."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-w", str(folder), *map(str, MEMBERS)], check=True, cwd=folder)
    assert len(list(folder.glob("attar_*.whl"))) == len(MEMBERS)
    return folder


COMBINATIONS: Sequence[tuple[str, ...]] = (
    (),
    ("attar-image",),
    ("attar-tabular",),
    tuple(f"attar-{path.name}" for path in MEMBERS if path.name != "core"),
)


@pytest.mark.parametrize("names", COMBINATIONS, ids=lambda names: "+".join(("core", *names)))
def test_wheels_work_alone_and_together(wheels, tmp_path, names):
    """What is installed is found, and what is new is demonstrated and passes the kit."""
    clean = Clean(tmp_path / "env", wheels)
    clean.install("attar-core", *names)
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


def test_a_broken_distribution_is_told_of_and_in_nobodys_way(wheels, tmp_path):
    clean = Clean(tmp_path / "env", wheels)
    clean.install("attar-core")
    folder = clean.site / "attar_mine-1.0.dist-info"
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

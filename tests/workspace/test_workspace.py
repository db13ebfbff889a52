"""The workspace itself: what is promised by its files, and what its wheels hold."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODALITIES = [ROOT / "modalities" / name for name in ("audio", "graph", "image", "text")]
APPLICATIONS = [ROOT / "applications" / name for name in ("continual", "federated")]
PLUGINS = [ROOT / "plugins" / name for name in ("tabular", "wasserstein")]
MEMBERS = [ROOT / "core", *MODALITIES, *APPLICATIONS, *PLUGINS]
OTHERS = (
    "torchvision",
    "torchaudio",
    "transformers",
    "torch_geometric",
    "flwr",
    "avalanche",
    "attar_audio",
    "attar_continual",
    "attar_federated",
    "attar_graph",
    "attar_image",
    "attar_text",
)


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def run(*arguments, place):
    command = [sys.executable, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)
    assert found.returncode == 0, found.stderr


def test_pip_and_uv_are_given_the_same_constraints():
    uv = project(ROOT)["tool"]["uv"]["constraint-dependencies"]
    assert (ROOT / "constraints.txt").read_text("utf-8").split() == uv


@pytest.mark.parametrize("folder", MEMBERS, ids=lambda folder: folder.name)
def test_each_member_is_a_distribution_of_its_own(folder):
    found = project(folder)["project"]
    assert found["license"] == "Apache-2.0"
    assert found["requires-python"] == ">=3.11"
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (folder / "README.md").is_file()
    assert list((folder / "src").glob("*/py.typed"))


def test_members_bear_one_version_and_ask_for_the_core_with_a_lower_bound():
    versions = {project(folder)["project"]["version"] for folder in [ROOT, *MEMBERS]}
    assert len(versions) == 1
    wanted = f"attar-core>={versions.pop()}"
    assert wanted in project(ROOT)["project"]["dependencies"]
    assert all(
        wanted in project(folder)["project"]["dependencies"] for folder in [*MODALITIES, *APPLICATIONS]
    )


def test_the_core_depends_on_no_library_of_a_modality():
    names = " ".join(project(ROOT / "core")["project"]["dependencies"])
    assert not [name for name in OTHERS if name.replace("_", "-") in names.replace("_", "-")]


def test_the_core_names_no_library_of_a_modality():
    sources = (ROOT / "core" / "src").rglob("*.py")
    lines = [line.split() for path in sources for line in path.read_text("utf-8").splitlines()]
    imported = {
        words[1].split(".")[0] for words in lines if len(words) > 1 and words[0] in ("import", "from")
    }
    assert not imported & set(OTHERS)


@pytest.mark.slow
def test_the_wheel_of_the_core_works_without_the_libraries_of_the_modalities(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(ROOT / "core"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("attar_core-*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OTHERS!r}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import attar
assert attar.__file__.startswith({str(tmp_path)!r}), attar.__file__
task = attar.task("tensor", data="digits")
attar.distill(task, ipc=1, steps=2, out={str(tmp_path / "run")!r})
assert len(attar.load({str(tmp_path / "run")!r}).to_torch()) == 10
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stderr

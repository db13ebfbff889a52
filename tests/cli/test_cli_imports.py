from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Not pyarrow: where it is installed, scikit-learn loads it through pandas.
HEAVY = [
    "avalanche",
    "datasets",
    "flwr",
    "huggingface_hub",
    "tensorboard",
    "timm",
    "torch_geometric",
    "torchaudio",
    "torchvision",
    "transformers",
]
COMMANDS = [
    "cache",
    "compare",
    "demo",
    "distill",
    "doctor",
    "evaluate",
    "export",
    "plugins",
    "push",
    "run",
    "schema",
    "show",
    "train",
]

WATCH = f"""
import json, sys
from attar.cli import main

def call(*arguments):
    try:
        main(arguments)
    except SystemExit as ended:
        assert ended.code == 0, (arguments, ended.code)

def loaded(*names):
    print("loaded", json.dumps(sorted(set(names) & sys.modules.keys())), file=sys.stderr)

HEAVY = {HEAVY}
"""


def modules(script, tmp_path):
    """Return what a script says is loaded, each time it is asked."""
    ended = subprocess.run(
        [sys.executable, "-c", WATCH + script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("loaded ")]
    return [json.loads(line.removeprefix("loaded ")) for line in lines]


@pytest.fixture(scope="module")
def core_commands(tmp_path_factory):
    script = f"""
import attar
loaded("torch", "numpy", *HEAVY)
call("--help")
call("--version")
for command in {COMMANDS}:
    call(command, "--help")
loaded("torch", "numpy", *HEAVY)
call("plugins", "--no-load")
call("plugins", "--no-load", "--json")
loaded("torch", "numpy", *HEAVY)
quick = ("--ipc", "1", "--steps", "1", "--model", "mlp,width=4", "--out", "run", "--quiet")
call("distill", "tensor", "--data", "digits", *quick)
call("show", "run")
few = ("--set", "protocol.epochs=1", "--set", "protocol.networks=1")
call("evaluate", "run", "--baselines", "none", "--workers", "1", *few)
call("run", "run", "--out", "again", "--quiet")
call("export", "run", "--format", "npz")
call("schema", "evaluate")
loaded(*HEAVY)
"""
    return modules(script, tmp_path_factory.mktemp("imports"))


def test_importing_the_package_is_light(core_commands):
    assert core_commands[0] == []


def test_help_is_light(core_commands):
    assert core_commands[1] == []


def test_listing_plugins_without_loading_them_is_light(core_commands):
    assert core_commands[2] == []


@pytest.mark.slow
def test_the_core_works_without_what_modalities_and_applications_need(core_commands):
    # The core's own: it writes the card of an artifact.
    assert core_commands[3] == ["huggingface_hub"]


def test_help_is_quick(tmp_path):
    resource = pytest.importorskip("resource", reason="the platform counts no CPU seconds of children")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", "from attar.cli import main; main(['--help'])"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "distill" in ended.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_a_reader_that_goes_away_is_no_bug(tmp_path):
    script = "import sys; sys.stdout.flush(); from attar.cli import main; main(['plugins', '--no-load'])"
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.5); " + script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) != 1
    assert said == ""

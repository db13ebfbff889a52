from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

NETS = """
from torch import nn

def make(feature, classes, *, width: int = 4):
    return nn.Sequential(nn.Flatten(), nn.Linear(feature[0], width), nn.ReLU(), nn.Linear(width, classes))

def wrong(feature, classes):
    return make(feature, classes + 1)
"""
OWN = "nets:make,width=3"
DATA = ("tensor", "--data", "iris", "--ipc", 1, "--threads", 1)
FEW = ("--workers", 1, "--set", "protocol.epochs=1", "--set", "protocol.networks=1", "--baselines", "none")


@pytest.fixture
def nets(cli, tmp_path):
    """A module in the working directory, which no test after this one finds imported."""
    (tmp_path / "nets.py").write_text(NETS)
    yield
    sys.modules.pop("nets", None)


@pytest.fixture
def distill(cli, nets):
    """Distills in a few steps on own code."""

    def call(out, *more, model=OWN, steps=3):
        return cli("distill", *DATA, "--steps", steps, "--model", model, "--out", out, *more)

    return call


def data(run):
    return (run / "artifact" / "data.safetensors").read_bytes()


def test_own_code_is_named_in_one_command(distill, tmp_path):
    assert distill("run").code == 0
    assert tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())["objective"]["model"] == OWN


def test_own_code_may_be_named_as_a_setting(cli, nets):
    assert cli("distill", *DATA, "--set", "objective.model=nets:make", "--steps", 1, "--out", "run").code == 0


def test_a_plan_names_own_code(distill, tmp_path):
    assert distill("run", "--dry-run", "--json").json["model"] == OWN
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_own_code_that_does_not_fit_is_refused_before_any_work(distill, tmp_path, more):
    assert "'nets:wrong' gives float32 of shape (2, 4)" in distill("run", *more, model="nets:wrong").refusal
    assert not (tmp_path / "run").exists()


def test_coresets_in_the_features_of_own_code(cli, nets, tmp_path):
    more = ("--method", "herding", "--set", "objective.space=random")
    assert cli("distill", *DATA, "--model", OWN, *more, "--out", "run").code == 0
    said = cli("distill", *DATA, "--model", "nets:wrong", *more, "--out", "other").refusal
    assert "'nets:wrong' gives" in said
    assert not (tmp_path / "other").exists()


def test_a_run_on_own_code_is_resumed_with_the_same_model(distill, ctrl_c, tmp_path):
    assert distill("whole").code == 0
    ctrl_c(2)
    assert distill("run").code == 130
    assert distill("run", "--resume").code == 0
    assert data(tmp_path / "run") == data(tmp_path / "whole")
    assert distill("run", "--resume").code == 0
    said = distill("run", "--resume", model="nets:make").refusal
    assert f"objective.model is {OWN!r} there and 'nets:make' here" in said


# What a file may not name.


def test_code_in_a_recipe_is_not_run(cli, distill, tmp_path):
    assert distill("run").code == 0
    (tmp_path / "nets.py").write_text("raise SystemExit('run')")
    del sys.modules["nets"]
    for recipe in ("run", "run/recipe.toml", "run/artifact/recipe.toml"):
        said = cli("run", recipe, "--out", "again").refusal
        assert f"names code, objective.model = {OWN!r}, but a recipe may name only what is registered" in said
        assert "--set objective.model=…" in said
    assert "nets" not in sys.modules
    assert not (tmp_path / "again").exists()


def test_code_in_a_recipe_is_run_where_the_user_names_it(cli, distill, tmp_path):
    assert distill("run").code == 0
    named = ("--set", f"objective.model={OWN}", "--threads", 1)
    assert cli("run", "run", "--out", "again", *named).code == 0
    assert data(tmp_path / "again") == data(tmp_path / "run")
    assert cli("run", "run", "--out", "again", "--resume", *named).code == 0


def test_code_in_a_recipe_may_be_replaced(cli, distill):
    assert distill("run").code == 0
    assert cli("run", "run", "--out", "again", "--set", "objective.model=mlp,width=4").code == 0


def test_naming_another_setting_is_not_naming_the_code(cli, distill):
    assert distill("run").code == 0
    assert "objective.model" in cli("run", "run", "--out", "again", "--set", "objective.lr=0.5").refusal


@pytest.mark.parametrize("table", ["objective", "parameterization"])
@pytest.mark.parametrize("key", ["model", "teacher"])
def test_code_is_refused_wherever_a_recipe_names_it(cli, tmp_path, table, key):
    text = '[data]\nmodality = "tensor"\nname = "iris"\n[size]\nipc = 1\n'
    (tmp_path / "own.toml").write_text(f'{text}[{table}]\n{key} = "os:system"\n')
    assert f"{table}.{key} = 'os:system'" in cli("run", "own.toml").refusal


def test_a_set_made_on_code_is_evaluated_where_the_user_names_it(cli, distill):
    assert distill("run").code == 0
    said = cli("evaluate", "run", *FEW).refusal
    assert f"distilled on {OWN!r}, which is code and no registered architecture; if you trust that" in said
    assert cli("evaluate", "run", "--model", OWN, *FEW, "--json").json["architecture"] == OWN
    others = ("--model", "mlp,width=4", "--architecture", "nets:make")
    assert list(cli("evaluate", "run", *others, *FEW, "--json").json["architectures"]) == ["nets:make"]


def test_other_architectures_are_checked_before_any_work(cli, finished, nets):
    said = cli("evaluate", finished, "--architecture", "nets:wrong", *FEW).refusal
    assert "'nets:wrong' gives float32 of shape (2, 4)" in said


@pytest.mark.slow
def test_processes_of_their_own_find_own_code(nets, tmp_path):
    def attar(*arguments):
        command = [sys.executable, "-c", "from attar.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    made = attar("distill", *DATA, "--steps", 2, "--model", OWN, "--out", "run", "--quiet")
    assert made.returncode == 0, made.stderr
    few = ("--set", "protocol.epochs=1", "--baselines", "random,herding", "--workers", 2, "--json")
    told = attar("evaluate", "run", "--model", OWN, *few)
    assert told.returncode == 0, told.stderr
    assert '"n_networks": 3' in told.stdout


def test_a_model_of_timm_is_named_in_one_command(cli, tmp_path):
    pytest.importorskip("timm", reason="timm is an extra: pip install attar-image[timm]")
    model = "timm:vit_tiny_patch16_224,patch_size=4,depth=1,embed_dim=12"
    digits = ("image", "--data", "digits", "--ipc", 1, "--steps", 1, "--model", model)
    assert cli("distill", *digits, "--set", "objective.per_class=2", "--out", "run").code == 0
    assert "names code" in cli("run", "run", "--out", "again").refusal
    assert cli("evaluate", "run", *FEW, "--json").json["architecture"] == model
    assert "there is no module 'timm.nets'" in cli("distill", *DATA, "--model", "timm.nets:x").refusal

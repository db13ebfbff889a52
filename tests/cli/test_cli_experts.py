from __future__ import annotations

import pytest

IRIS = ("tensor", "--data", "iris", "--model", "mlp,width=4")
LEARN = ("--set", "objective.batch_expert=8", "--set", "objective.lr_expert=0.5")
FEW = (*LEARN, "--set", "objective.count=2", "--set", "objective.epochs=3", "--set", "objective.inner=2")


@pytest.fixture
def experts(cli, tmp_path):
    made = cli("experts", *IRIS, "--count", 2, "--epochs", 3, *LEARN, "--out", "experts", "--json").json
    assert made["count"] == 2
    return tmp_path / "experts"


def test_experts_are_files_of_their_own(experts):
    assert len(list(experts.glob("*.safetensors"))) == 2
    assert not list(experts.glob("*.partial"))


def test_experts_are_trained_once(cli, experts):
    before = {path: path.stat().st_mtime_ns for path in experts.glob("*.safetensors")}
    again = cli("experts", *IRIS, "--count", 2, "--epochs", 3, *LEARN, "--out", "experts", "--json").json
    assert {path: path.stat().st_mtime_ns for path in experts.glob("*.safetensors")} == before
    assert again["files"] == 2


def test_without_a_place_they_are_kept_in_the_cache(cli):
    cli("experts", *IRIS, "--count", 1, "--epochs", 2, *LEARN, "--json")
    sections = {each["name"]: each["files"] for each in cli("cache", "info", "--json").json["sections"]}
    assert sections["experts"] == 1


def test_a_run_uses_experts_that_are_given(cli, experts):
    made = cli(
        "distill", *IRIS, "--method", "mtt", "--ipc", 1, "--steps", 2, *FEW, "--experts", experts, "--json"
    )
    assert made.json["method"] == "mtt"
    sections = {each["name"]: each["files"] for each in cli("cache", "info", "--json").json["sections"]}
    assert sections["experts"] == 0


def test_the_folder_of_experts_changes_no_bit_of_the_set(cli, experts):
    given = ("--method", "mtt", "--ipc", 1, "--steps", 2, *FEW, "--threads", 1, "--json")
    one = cli("distill", *IRIS, *given, "--experts", experts, "--out", "one").json
    other = cli("distill", *IRIS, *given, "--out", "other").json
    assert one["sha256"] == other["sha256"]


def test_what_a_folder_of_experts_lacks_is_told(cli, experts):
    told = cli("distill", *IRIS, "--method", "mtt", "--ipc", 1, "--experts", experts).refusal
    assert "count=2 where 10 is asked for" in told
    assert "epochs=3 where 20 is asked for" in told


def test_experts_of_other_data_are_none(cli, experts):
    wine = ("tensor", "--data", "wine", "--model", "mlp,width=4", "--method", "mtt", "--ipc", 1)
    assert "holds no experts" in cli("distill", *wine, *FEW, "--experts", experts).refusal


def test_a_missing_folder_of_experts_is_told(cli):
    told = cli("distill", *IRIS, "--method", "mtt", "--ipc", 1, "--experts", "nowhere").refusal
    assert "attar experts --out" in told


def test_a_method_without_experts_is_told(cli):
    assert "has no experts" in cli("experts", *IRIS, "--method", "dm", "--out", "experts").refusal


def test_a_stretch_that_does_not_fit_is_told(cli):
    told = cli("distill", *IRIS, "--method", "mtt", "--ipc", 1, "--set", "objective.span=50").refusal
    assert "objective.span" in told


def test_a_model_without_batchnorm_is_told_before_teachers_are_trained(cli):
    told = cli("distill", *IRIS, "--method", "sre2l", "--ipc", 1).refusal
    assert "BatchNorm" in told
    assert {each["files"] for each in cli("cache", "info", "--json").json["sections"]} == {0}

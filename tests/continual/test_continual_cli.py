import csv
import json

import pytest
from attar.owned import LIST
from attar_continual.comparing import RunOptions, compare
from attar_continual.results import ContinualResult
from attar_continual.settings import ContinualRecipe
from attar_continual.stopping import Interrupted

SMALL = (
    *("tensor", "--data", "digits", "--model", "mlp,width=16,depth=1", "--workers", "1"),
    *("--seeds", "1", "--steps", "2", "--memory", "2/class", "--set", "gdumb.epochs=3"),
)
METHODS = ("--methods", "naive,gdumb,distilled")


def run(cli, out, *more, methods=METHODS):
    return cli("continual", "run", *SMALL, *methods, "--out", out, *more)


def test_a_run_says_what_it_found_and_leaves_it_in_a_folder(cli, tmp_path):
    found = run(cli, tmp_path / "run", "--quiet")
    assert (found.code, found.err) == (0, "")
    assert "distilled" in found.out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("recipe.toml", "result.json", "jobs", "table.md", "table.csv", "accuracy.png", "forgetting.png"),
        LIST,
    }


def test_a_run_has_a_page(cli, tmp_path):
    run(cli, tmp_path / "run", "--quiet")
    found = cli("report", tmp_path / "run", "-o", tmp_path / "page.html", "--json").json
    assert found["parts"] == ["digits: run"]
    page = (tmp_path / "page.html").read_text("utf-8")
    result = ContinualResult.model_validate(json.loads((tmp_path / "run" / "result.json").read_text()))
    for said in (
        str(result.methods["distilled"].final),
        "Equal bytes",
        "best of real samples: gdumb",
        "no memory",
    ):
        assert said in page, said
    (tmp_path / "run" / "result.json").unlink()
    refused = cli("report", tmp_path / "run", "-o", tmp_path / "b.html").refusal
    assert refused.endswith("is not finished; continue it with --resume")


def test_json_is_the_result_with_every_method(cli, tmp_path):
    found = ContinualResult.model_validate(run(cli, tmp_path / "run", "--json", methods=()).json)
    assert found == ContinualResult.model_validate(json.loads((tmp_path / "run" / "result.json").read_text()))
    assert list(found.methods) == [
        *("naive", "replay", "herding", "gdumb", "herding-gdumb", "distilled", "distilled-gdumb", "joint")
    ]
    assert list(found.equal_bytes) == ["replay", "herding", "gdumb", "herding-gdumb"]
    own = found.methods
    assert {name: each.memory for name, each in own.items() if each.memory} == dict.fromkeys(
        ("replay", "herding", "gdumb", "herding-gdumb", "distilled", "distilled-gdumb"), 20
    )
    most = own["distilled"].bytes
    assert all(
        own["gdumb"].memory < each.memory and each.bytes <= most for each in found.equal_bytes.values()
    )
    assert own["naive"].distilling == 0 < own["distilled"].distilling < 1
    rows = list(csv.DictReader((tmp_path / "run" / "table.csv").read_text().splitlines()))
    assert [(row["method"], row["compared_at"]) for row in rows[-4:]] == [
        (name, "equal bytes") for name in found.equal_bytes
    ]
    assert float(rows[0]["final_mean"]) == own["naive"].final.mean


def test_the_same_seed_gives_the_same_figures_and_resuming_adds_to_them(cli, tmp_path):
    first = run(cli, tmp_path / "a", "--json").json["methods"]
    run(cli, tmp_path / "b", "--json", methods=("--methods", "gdumb"))
    jobs = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "b" / "jobs").iterdir()}
    again = run(cli, tmp_path / "b", "--json", "--resume").json["methods"]
    for name in first:
        assert first[name]["curve"] == again[name]["curve"]
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "b" / "jobs").iterdir()}
    assert jobs.items() <= now.items()


def test_a_run_that_is_stopped_goes_on_where_it_was(task, tmp_path):
    recipe = ContinualRecipe(
        data={"modality": "tensor", "name": "toy"},
        experiences="3",
        memory="2/class",
        methods=("naive", "distilled"),
        objective={"steps": 2},
        seeds=2,
    )
    asked = iter([False] * 7)
    with pytest.raises(Interrupted):
        compare(task, recipe, RunOptions(out=tmp_path / "a", stop=lambda: next(asked, True)))
    kept = {path.name for path in (tmp_path / "a" / "jobs").glob("*.json")}
    assert 0 < len(kept) < 4
    again = compare(task, recipe, RunOptions(out=tmp_path / "a", resume=True))
    whole = compare(task, recipe, RunOptions())
    assert {name: each.curve for name, each in again.methods.items()} == {
        name: each.curve for name, each in whole.methods.items()
    }


def test_results_of_other_data_are_not_taken_for_those_of_these(cli, tmp_path):
    run(cli, tmp_path / "run", "-q")
    other = (
        "continual",
        "run",
        "--recipe",
        tmp_path / "run",
        "--out",
        tmp_path / "run",
        "--resume",
        "--workers",
        "1",
    )
    found = cli(*other, "--data", "digits", "--set", "data.split_seed=5", "--json")
    assert "are not those of the recipe" in found.err
    assert len(list((tmp_path / "run" / "jobs").glob("naive-*.json"))) == 2


def test_a_recipe_is_repeated_and_changed(cli, tmp_path):
    first = run(cli, tmp_path / "a", "--json").json
    more = ("--recipe", tmp_path / "a", "--data", "digits", "--workers", "1", "--json")
    again = cli("continual", "run", *more, "--out", tmp_path / "b").json
    assert {name: each["curve"] for name, each in first["methods"].items()} == {
        name: each["curve"] for name, each in again["methods"].items()
    }
    other = cli("continual", "run", *more, "--memory", "3/class", "--out", tmp_path / "c").json
    assert other["methods"]["gdumb"]["memory"] == 30


def test_a_dry_run_says_what_would_be_compared(cli, tmp_path):
    found = run(cli, tmp_path / "run", "--dry-run", "--json", "--experiences", "4,3,3").json
    assert [len(name.split(", ")) for name in found["experiences"]] == [4, 3, 3]
    assert sum(found["samples"]) == 1294
    assert not (tmp_path / "run").exists()
    assert "the first stream" in run(cli, tmp_path / "run", "--dry-run").out


def test_memories_and_logs_are_kept_where_they_are_asked_for(cli, tmp_path):
    found = run(cli, tmp_path / "run", "--keep-memory", "--log", "csv", "--log", "tensorboard", "-q")
    assert found.err == ""
    (folder,) = [
        path for path in (tmp_path / "run" / "jobs").iterdir() if path.is_dir() and "distilled" in path.name
    ]
    assert sorted(path.name for path in (folder / "memory").iterdir()) == list("01234")
    shown = cli("show", folder / "memory" / "4", "--out", tmp_path / "shown")
    assert shown.code == 0
    assert (folder / "csv" / "eval_results.csv").is_file()
    assert list((folder / "tensorboard").rglob("events*"))


def test_a_folder_that_is_occupied_is_left_alone_unless_forced(cli, tmp_path):
    run(cli, tmp_path / "run")
    assert "exists and is not empty" in run(cli, tmp_path / "run").refusal
    assert run(cli, tmp_path / "run", "--force", "--seed", "3", "--json").json["seeds"] == [3]
    assert not list(tmp_path.glob(".run*"))


def test_networks_learn_by_the_optimizer_that_is_asked_for(cli, tmp_path):
    only = ("--methods", "naive")
    sgd = run(cli, tmp_path / "a", "--json", methods=only).json["methods"]["naive"]["curve"]
    adam = run(cli, tmp_path / "b", "--json", "--set", "learn.optimizer=adam", methods=only).json
    assert adam["methods"]["naive"]["curve"] != sgd


def test_half_of_the_bytes_are_had_by_float16(cli, tmp_path):
    only = ("--methods", "distilled")
    whole = run(cli, tmp_path / "a", "--json", methods=only).json["methods"]["distilled"]["bytes"]
    half = run(cli, tmp_path / "b", "--json", "--set", "run.dtype=float16", methods=only).json["methods"]
    assert half["distilled"]["bytes"] - 20 == (whole - 20) // 2


def test_options_are_written_into_the_recipe(cli, tmp_path):
    run(cli, tmp_path / "run", "--set", "learn.lr=0.1", "--set", "per_class=9", "--labels", "soft", "-q")
    recipe = ContinualRecipe.model_validate(_toml(tmp_path / "run" / "recipe.toml"))
    assert (recipe.learn.lr, recipe.objective["per_class"], recipe.labels) == (0.1, "9", "soft")


def _toml(path):
    import tomllib

    return tomllib.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--memory", "5"), "cannot hold one of each of 10 classes"),
        (("--memory", "lots"), "is not understood"),
        (("--methods", "naive,magic"), "unknown method 'magic'"),
        (("--distiller", "dmm"), "unknown method 'dmm'"),
        (("--experiences", "11"), "cannot be told over 11 experiences"),
        (("--experiences", "5,4"), "do not make the 10 classes"),
        (("--experiences", "few"), "is not understood"),
        (("--groups", "(?P<group>x)"), "samples without names have no groups"),
        (("--log", "wandb"), "unknown logger 'wandb'"),
        (("--labels", "fuzzy"), "labels"),
        (("--set", "learn.lr=-1"), "learn.lr"),
        (("--set", "lern.lr=1"), "settings stand in"),
        (("--set", "stepz=1"), "stepz"),
        (("--model", "resnet99"), "resnet99"),
        (("--memory", "1B"), "a memory of 1B holds no sample"),
        (("--memory", "40B"), "a memory of 40B holds 0 real samples"),
    ],
)
def test_mistakes_are_refused_before_any_work(cli, tmp_path, more, said):
    assert said in run(cli, tmp_path / "run", *more).refusal
    assert not (tmp_path / "run").exists()


def test_data_and_modality_must_be_named(cli):
    assert "name a modality" in cli("continual", "run").refusal
    assert "name the data" in cli("continual", "run", "tensor").refusal


def test_a_recipe_that_names_code_is_refused(cli, tmp_path):
    run(cli, tmp_path / "run")
    path = tmp_path / "run" / "recipe.toml"
    path.write_text(path.read_text().replace('model = "mlp,width=16,depth=1"', 'model = "os:system"'))
    assert "names code" in cli("continual", "run", "--recipe", path, "--data", "digits").refusal


def test_a_graph_is_told_class_by_class(cli, tmp_path):
    pytest.importorskip("attar_graph")
    more = ("graph", "--data", "karate", "--model", "sgc", "--workers", "1", "--seeds", "1", "--steps", "2")
    known = cli("continual", "run", "graph", "--data", "none").refusal
    if "karate" not in known:
        pytest.skip("no graph ships with the modality")
    found = cli(
        "continual",
        "run",
        *more,
        "--experiences",
        "2",
        "--memory",
        "1/class",
        "--out",
        tmp_path / "run",
        "--json",
    )
    assert found.code == 0, found.err

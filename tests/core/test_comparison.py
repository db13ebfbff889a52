"""Comparisons: who takes part, what is chosen by, and what the leaderboard says."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from importlib.metadata import EntryPoint

import attar
import pytest
import torch
from attar.comparison import compare, sets
from attar.comparison.settings import CompareSettings, parse_key
from attar.errors import PluginError, UsageError
from attar.evaluation import EvaluationSettings, evaluate_sets
from attar.protocols import protocol
from attar.registry import Entry, Registry
from attar.testing.toys import toy_augment

SHORT = protocol("cpu-1", {"epochs": 2, "networks": 2, "plateau": None})


@pytest.fixture
def board(tmp_path):
    """Compares as quickly as it can be done, in this process."""

    def call(task, **changes):
        few = {"methods": ["dm"], "ipc": 1, "seeds": 2, "steps": 2, "model": "linear", "baselines": ()}
        quick = {"protocol": SHORT, "workers": 1, "equal_bytes": False, "out": tmp_path / "board"}
        asked = {**few, **quick, **changes}
        return compare(task, **{key: value for key, value in asked.items() if value is not None})

    return call


@pytest.fixture
def made(monkeypatch):
    """Lists the folders of the sets that are made."""
    found, make = [], sets.make_set

    def noted(job, **more):
        found.append(job.folder.name)
        return make(job, **more)

    monkeypatch.setattr(sets, "make_set", noted)
    return found


def row(result, method, ipc=1):
    [found] = [each for each in result.rows if (each.method, each.ipc) == (method, ipc)]
    return found


def with_plugins(**points):
    """Return all plugins with some selectors and methods more, each by what it loads."""
    more = [
        Entry(group, name.replace("_", "-"), "extra", "1", EntryPoint(name, value, f"attar.{group}"))
        for name, (group, value) in points.items()
    ]
    return Registry([*Registry().entries(), *more])


# What the leaderboard says.


def test_a_row_says_what_an_evaluation_says(blobs, board, tmp_path):
    task = blobs()
    result = board(task, baselines=("whole", "random", "herding"), equal_bytes=True)
    found = row(result, "dm")
    runs = [attar.load(tmp_path / "board" / name) for name in found.runs]
    assert [run.manifest.seed for run in runs] == [0, 1]
    settings = EvaluationSettings(
        protocol=SHORT, model="linear", baselines=("whole", "random", "herding"), equal_bytes=True, workers=1
    )
    report = evaluate_sets(task, runs, settings)
    assert (found.accuracy, found.validation) == (report.accuracy, report.validation)
    assert (found.n_sets, found.n_networks, found.accuracy.n) == (2, 2, 4)
    assert (found.bytes, found.label_bytes, found.bytes_on_disk) == (
        51,
        3,
        runs[0].manifest.size.bytes_on_disk,
    )
    assert found.seconds.cpu == pytest.approx(sum(run.manifest.cost.cpu for run in runs) / 2, abs=0.01)
    for name in ("random", "herding"):
        assert row(result, name).accuracy == report.baselines[name]
    assert row(result, "whole", None).accuracy == report.baselines["whole"]
    assert (row(result, "random").n_sets, row(result, "random").n_networks) == (5, 1)
    assert row(result, "herding").space == report.details["herding"].space
    [equal] = result.equal_bytes
    assert (equal.bytes, equal.random_samples, equal.random_bytes) == (51, 3, 51)
    assert equal.random == report.equal_bytes.accuracy
    assert (result.seeds, result.environment.threads) == ((0, 1), 1)


def test_the_spread_between_sets_is_told(blobs, board):
    found = row(board(blobs()), "dm")
    assert 0 <= found.between_sets <= found.accuracy.std + 1e-9


def test_a_row_says_what_it_adds_to_what_nothing_was_learned_for(blobs, board):
    result = board(blobs(), methods=["dm", "means", "frepo"], baselines=("whole", "random", "herding"))
    found = row(result, "dm")
    assert set(found.against) == {"random", "herding", "means"}
    assert row(result, "means").kind == "baseline"
    # Learned labels carry information of their own, and baselines are no methods.
    assert row(result, "frepo").against == row(result, "random").against == {}
    for name, apart in found.against.items():
        assert apart.low <= apart.mean <= apart.high
        known = found.accuracy.mean - row(result, name).accuracy.mean
        assert apart.mean == pytest.approx(known, abs=1e-3)
    assert found.least.mean == min(apart.mean for apart in found.against.values())


def test_hard_labels_come_first_and_then_accuracy(blobs, board):
    result = board(blobs(), methods=["frepo", "dm", "dc"], ipc=(2, 1), baselines=("random", "whole"))
    kinds = [(each.ipc or 0, each.labels != "hard") for each in result.rows]
    assert kinds == sorted(kinds)
    assert result.rows[0].method == "whole"
    for ipc in (1, 2):
        hard = [each.accuracy.mean for each in result.rows if each.ipc == ipc and each.labels == "hard"]
        assert hard == sorted(hard, reverse=True)
    frepo = row(result, "frepo")
    assert (frepo.labels, frepo.label_bytes) == ("regression", 3 + 3 * 3 * 4)
    # Random samples with labels of its kind were not asked for.
    assert frepo.ranking.ior is None


def test_all_is_everything_that_is_installed(blobs, board):
    result = board(blobs(), methods="all", seeds=1, steps=1)
    names = set(Registry().names("objectives")) | set(Registry().names("selectors"))
    assert {each.method for each in result.rows} == names


def test_a_selector_that_is_no_baseline_makes_sets(blobs, board):
    registry = with_plugins(other=("selectors", "attar.selectors.rules:K_CENTER"))
    result = board(blobs(), methods=["other", "k-center"], steps=None, registry=registry, equal_bytes=True)
    assert (row(result, "other").kind, row(result, "k-center").kind) == ("selected", "baseline")
    assert row(result, "other").n_sets == 2
    assert result.equal_bytes == ()


# Who takes part.


def test_a_method_that_does_not_fit_is_listed_with_the_reason(blobs, board):
    result = board(blobs(), methods=["dm", "idc"])
    assert row(result, "dm").problem == ""
    assert row(result, "idc").accuracy is None
    assert "multi-formation cuts positions" in row(result, "idc").problem


def test_a_broken_plugin_is_listed_among_all_and_refused_by_name(blobs, board):
    registry = with_plugins(broken=("objectives", "nowhere_at_all:METHOD"))
    result = board(blobs(), methods="all", seeds=1, steps=1, registry=registry)
    assert "failed to load" in row(result, "broken").problem
    with pytest.raises(PluginError, match="failed to load"):
        board(blobs(), methods=["broken"], registry=registry)


def test_a_run_that_diverges_is_a_row(blobs, board):
    result = board(blobs(), methods=["dm", "dc"], **{"dm.lr": 1e30, "dm.steps": 30})
    assert "stopped being finite" in row(result, "dm").problem
    assert row(result, "dm").problem.startswith("2 of 2 sets (first: seed 0): ")
    assert row(result, "dm").accuracy is None
    assert row(result, "dc").accuracy is not None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": ["dmm"]}, "unknown method 'dmm': did you mean 'dm'? choose from all, "),
        ({"methods": []}, "there is nothing to compare; name methods, such as dm,dsa, or all"),
        ({"ipc": ()}, "each number of samples per class must be at least 1"),
        ({"ipc": 0}, "each number of samples per class must be at least 1"),
        ({"ipc": 99}, "99 samples of class '0' are asked for, but it has"),
        ({"seeds": 0}, "seeds = 0 makes no set; give at least 1"),
        ({"tune_seeds": 0}, "tune_seeds = 0 makes no set; give at least 1"),
        ({"grid": {"lr": ()}}, "the grid of 'lr' has no value; write it as lr=0.1,1"),
        ({"grid": {"steps": (1, 2)}}, "'steps' is given a value and a grid; give one of them"),
        ({"grid": {"lrr": (1, 2)}}, "unknown setting 'lrr': did you mean 'lr'?"),
        ({"grid": {"dc.lr": (1, 2)}}, "unknown setting 'dc.lr': write lr or objective.lr"),
        ({"grid": {"dm.nope": (1, 2)}}, "unknown setting 'dm.nope': "),
        ({"grid": {"run.dtype": ("float16",)}}, "unknown setting 'run.dtype': write lr or objective.lr"),
        ({"grid": {"lr": (1, -1)}}, "objective.lr = -1 does not fit: input should be greater than 0"),
        ({"nope": 1}, "unknown setting 'nope': "),
        ({"methods": ["random"], "steps": 3}, "the setting 'steps' is for methods, and only baselines"),
        ({"baselines": ("herdin",)}, "unknown baseline 'herdin': did you mean 'herding'?"),
        ({"ranking": True}, "the ranking compares with the baselines whole and random; add whole and random"),
        ({"model": "lineal"}, "unknown architecture 'lineal'"),
        ({"protocol": "cpu-2"}, "unknown protocol 'cpu-2'"),
        ({"dtype": "int8"}, "run.dtype = 'int8' does not fit"),
        ({"parameterization": "nope"}, "unknown parameterization 'nope'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(blobs, board, made, tmp_path, change, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        board(blobs(), **change)
    assert made == []
    assert not (tmp_path / "board").exists()


def test_a_single_class_is_refused(blobs, board):
    with pytest.raises(UsageError, match="'blobs' has a single class"):
        board(blobs(counts=(24, 0, 0)[:1]))


def test_small_classes_are_capped_if_asked(blobs, board):
    result = board(blobs(counts=(24, 24, 6)), ipc=10, ipc_policy="cap", baselines=("random",))
    assert row(result, "dm", 10).samples == row(result, "random", 10).samples < 30


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("lr", ("", "objective", "lr")),
        ("objective.lr", ("", "objective", "lr")),
        ("dm.lr", ("dm", "objective", "lr")),
        ("dm.objective.lr", ("dm", "objective", "lr")),
        ("parameterization.factor", ("", "parameterization", "factor")),
        ("dm.parameterization.factor", ("dm", "parameterization", "factor")),
    ],
)
def test_a_key_says_whom_it_is_for(key, place):
    found = parse_key(key, ["dm"])
    assert (found.method, found.section, found.name) == place


@pytest.mark.parametrize("key", ["", "dm.", "dc.lr", "a.b.c", "dm.run.dtype"])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(UsageError, match="unknown setting"):
        parse_key(key, ["dm"])


def test_a_method_that_names_its_model_keeps_it(blobs, board, tmp_path):
    result = board(blobs(), methods=["dm", "kip"])
    models = {
        name: attar.load(tmp_path / "board" / row(result, name).runs[0]).manifest.method.settings["model"]
        for name in ("dm", "kip")
    }
    assert models == {"dm": "linear", "kip": "ntk"}
    assert result.architecture == "linear"


# The choice.


def tuning(tmp_path):
    with open(tmp_path / "board" / "tuning.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_point_is_chosen_by_validation_alone(blobs, board, made, tmp_path):
    result = board(blobs(), grid={"lr": (0.001, 1.0, 30.0)}, seeds=3)
    trials = [each for each in result.tuning if each.method == "dm"]
    assert len(trials) == 3
    [chosen] = [each for each in trials if each.chosen]
    assert chosen.validation.mean == max(each.validation.mean for each in trials)
    assert row(result, "dm").settings == chosen.settings
    assert row(result, "dm").trials == 3
    # Only the chosen point is made with every seed.
    assert len(made) == len(set(made)) == 3 + 2
    kept = tuning(tmp_path)
    assert [each["settings"] for each in kept] == ["lr=0.001", "lr=1.0", "lr=30.0"]
    assert [each["chosen"] for each in kept].count("1") == 1
    assert float(kept[0]["validation"]) == trials[0].validation.mean
    assert not any("test" in name or "accuracy" in name for name in kept[0])


def test_of_equal_points_the_first_is_chosen_and_equal_values_are_one(blobs, board, made):
    # How often a checkpoint is written changes nothing; neither does how a number is written.
    result = board(blobs(), grid={"lr": ("1", "1.0"), "reuse": (10, 11)}, seeds=1)
    assert len(result.tuning) == 2
    assert row(result, "dm").settings == {"lr": "1", "reuse": 10}


def test_a_setting_is_for_the_methods_that_know_it(blobs, board):
    result = board(blobs(), methods=["dm", "dc"], grid={"momentum": (0.0, 0.5), "dc.lr": (0.1, 1)}, seeds=1)
    tried = {(each.method, *sorted(each.settings)) for each in result.tuning}
    assert ("dm", "momentum") in tried
    assert all("momentum" not in each.settings or each.method == "dm" for each in result.tuning) or (
        "momentum" in Registry().get("objectives", "dc").Settings.model_fields
    )
    assert not any(each.method == "dm" and "dc.lr" in each.settings for each in result.tuning)


def test_a_value_that_fits_some_methods_only_is_dropped_for_the_others(blobs, board):
    result = board(blobs(), methods=["dm", "frepo"], grid={"labels": ("hard", "regression")}, seeds=1)
    [lost] = [each for each in result.tuning if each.problem]
    assert (lost.method, lost.settings) == ("dm", {"labels": "regression"})
    assert row(result, "dm").accuracy is not None
    assert len([each for each in result.tuning if each.method == "frepo"]) == 2


def test_a_point_that_diverges_is_not_chosen(blobs, board):
    result = board(blobs(), grid={"lr": (1e30, 1.0)}, steps=30, seeds=1)
    assert row(result, "dm").settings == {"lr": 1.0}
    assert "stopped being finite" in result.tuning[0].problem


def test_a_grid_needs_validation_data(blobs, board, made):
    with pytest.raises(UsageError, match="a grid is chosen from on validation data, and 'blobs' has none"):
        board(blobs(validation=None), grid={"lr": (0.1, 1)})
    assert made == []
    assert row(board(blobs(validation=None)), "dm").validation is None


def test_the_test_split_takes_no_part_in_sets_and_choices(blobs, tmp_path, board):
    task = blobs()
    noise = blobs(test=blobs(seed=5).test)
    assert noise.test_fingerprint != task.test_fingerprint
    found = []
    for name, each in (("real", task), ("noise", noise)):
        asked = {"methods": ["dm", "dc", "frepo"], "grid": {"lr": (0.01, 1.0)}, "ranking": True}
        result = board(each, **asked, baselines=("whole", "random", "k-means"), out=tmp_path / name)
        runs = tmp_path / name / "runs"
        files = {
            str(path.relative_to(runs)): path.read_bytes()
            for path in sorted(runs.rglob("*"))
            if path.name in ("data.safetensors", "preview.png", "recipe.toml")
        }
        choices = [{**trial.model_dump(), "cpu": 0} for trial in result.tuning]
        spaces = [(each.method, each.space, each.validation) for each in result.rows]
        found.append((files, choices, sorted(spaces, key=str)))
    assert len(found[0][0]) > 12
    assert found[0] == found[1]


# What is there is not made again.


def test_a_comparison_goes_on_from_what_is_finished(blobs, board, made, monkeypatch):
    first = board(blobs(), baselines=("random",))
    assert len(made) == 2
    made.clear()
    monkeypatch.setattr("attar.evaluation_jobs._train_and_test", None)
    again = board(blobs(), baselines=("random",))
    assert made == []
    assert again.rows == first.rows
    monkeypatch.undo()


def test_more_seeds_add_to_a_comparison(blobs, board, made):
    board(blobs())
    made.clear()
    assert row(board(blobs(), seeds=3), "dm").n_sets == 3
    assert [name.rpartition("-")[2] for name in made] == ["seed2"]


def test_a_run_that_was_begun_is_continued(blobs, board, tmp_path, monkeypatch):
    whole = row(board(blobs(), steps=6, seeds=1, out=tmp_path / "whole"), "dm")
    write = attar.run_folder.RunFolder.note

    def crash(self, record):
        write(self, record)
        if record.step == 4:
            raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(attar.run_folder.RunFolder, "note", crash)
        patch.setattr(CompareSettings, "checkpoint_every", 2)
        with pytest.raises(SystemExit):
            board(blobs(), steps=6, seeds=1)
    [run] = (tmp_path / "board" / "runs").iterdir()
    assert not (run / "artifact").exists()
    assert row(board(blobs(), steps=6, seeds=1), "dm").accuracy == whole.accuracy
    data = "artifact/data.safetensors"
    assert (run / data).read_bytes() == (tmp_path / "whole" / whole.runs[0] / data).read_bytes()


def test_what_a_killed_process_left_in_a_run_is_swept_away(blobs, board, tmp_path):
    found = row(board(blobs(), seeds=1), "dm")
    run = tmp_path / "board" / found.runs[0]
    for path in (run / "artifact").iterdir():
        path.unlink()
    (run / "artifact").rmdir()
    (run / "recipe.toml").rename(run / ".recipe.toml.01234567.attar-new")
    assert row(board(blobs(), seeds=1), "dm").accuracy == found.accuracy


def dying(folder, parent):
    """Return a factory of models which kills a worker process once."""

    def make(feature, classes):
        if os.getpid() != parent:
            try:
                (folder / "died").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os._exit(9)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, classes))

    return make


@pytest.mark.slow
def test_a_worker_that_dies_changes_nothing(blobs, board, tmp_path):
    model = dying(tmp_path, os.getpid())
    found = row(board(blobs(), model=model, workers=2), "dm")
    assert (tmp_path / "died").exists()
    assert (found.n_sets, found.problem) == (2, "")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "died").touch()
    quiet = dying(tmp_path / "again", os.getpid())
    alone = row(board(blobs(), model=quiet, out=tmp_path / "alone"), "dm")
    for one, other in zip(found.runs, alone.runs, strict=True):
        data = "artifact/data.safetensors"
        first, second = tmp_path / "board" / one / data, tmp_path / "alone" / other / data
        assert first.read_bytes() == second.read_bytes()
    assert found.accuracy == alone.accuracy


# The folder.


def test_a_folder_of_something_else_is_left_alone(blobs, board, tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "letter").write_text("dear")
    with pytest.raises(UsageError, match="exists and is not empty"):
        compare_forced(blobs(), tmp_path)
    with pytest.raises(UsageError, match="was not written by Attar"):
        compare_forced(blobs(), tmp_path, force=True)
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["letter"]


def compare_forced(task, tmp_path, **changes):
    settings = CompareSettings(
        out=tmp_path / "board",
        methods=("dm",),
        ipc=(1,),
        seeds=1,
        settings={"steps": 2},
        model="linear",
        protocol=SHORT,
        baselines=(),
        equal_bytes=False,
        workers=1,
        **changes,
    )
    return attar.comparison.compare_methods(task, settings)


def test_other_data_in_a_folder_are_refused_and_replaced_by_force(blobs, tmp_path):
    compare_forced(blobs(), tmp_path)
    with pytest.raises(UsageError, match=r"holds a comparison of other data \('blobs', fingerprint"):
        compare_forced(blobs(seed=1), tmp_path)
    result = compare_forced(blobs(seed=1), tmp_path, force=True)
    assert row(result, "dm").accuracy is not None
    assert [path.name for path in tmp_path.iterdir()] == ["board"]
    assert compare_forced(blobs(seed=1), tmp_path).rows == result.rows


def test_a_damaged_plan_is_named(blobs, tmp_path):
    compare_forced(blobs(), tmp_path)
    (tmp_path / "board" / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"plan.json' is damaged; replace the comparison with --force"):
        compare_forced(blobs(), tmp_path)


def test_a_run_of_other_data_is_not_taken_for_ours(blobs, tmp_path):
    result = compare_forced(blobs(), tmp_path)
    manifest = tmp_path / "board" / row(result, "dm").runs[0] / "artifact" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["data"]["fingerprint"] = "0" * 32
    manifest.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="was made of other data"):
        compare_forced(blobs(), tmp_path)


def test_without_a_folder_only_the_result_is_kept(blobs, board, tmp_path):
    assert row(board(blobs(), out=None), "dm").accuracy is not None
    assert list(tmp_path.iterdir()) == []


# The ranking's trainings.


def test_a_ranking_trains_what_it_compares(blobs, board):
    task = replace(blobs(), augment=toy_augment())
    asked = {"methods": ["dm", "frepo"], "baselines": ("whole", "random"), "seeds": 1}
    plain = board(task, **asked)
    assert row(plain, "dm").ranking.lrs is not None
    assert row(plain, "dm").ranking.ars is None
    assert row(plain, "frepo").ranking.lrs is None
    full = board(task, **asked, ranking=True)
    for name in ("dm", "frepo"):
        found = row(full, name).ranking
        assert None not in found.model_dump().values(), name
        assert 0 <= min(found.lrs, found.ars) <= max(found.lrs, found.ars) <= 1
    assert row(full, "dm").ranking.ior == row(plain, "dm").ranking.ior
    random = row(full, "random")
    assert (random.ranking.ior, random.ranking.ars) == (0, None)
    whole = row(full, "whole", None).accuracy.mean
    assert random.ranking.hlr == pytest.approx(whole - random.accuracy.mean, abs=1e-3)
    assert row(full, "whole", None).ranking.lrs is None


def test_without_augmentation_there_is_no_score_of_it(blobs, board):
    asked = {"methods": ["dm", "frepo"], "baselines": ("whole", "random"), "seeds": 1}
    result = board(blobs(), **asked, ranking=True)
    assert row(result, "frepo").ranking.lrs is not None
    assert row(result, "frepo").ranking.ars is None

"""``attar evaluate`` on sets that other software made."""

from __future__ import annotations

import json

import attar
import numpy as np
import pytest
from attar.reports import Report

IRIS = ("--data", "iris")


@pytest.fixture
def given(tmp_path):
    """Writes a set of iris as arrays and returns its path."""

    def write(name="set.npz", **changes):
        inputs = np.linspace(1, 7, 12, dtype=np.float32).reshape(3, 4)
        kept = {"inputs": inputs, "labels": np.arange(3), **changes}
        np.savez(tmp_path / name, **kept)
        return tmp_path / name

    return write


def test_a_file_of_arrays_is_evaluated(evaluate, given):
    told = evaluate("tensor", given(), baselines="random", more=[*IRIS, "--json"]).json
    report = Report.model_validate(told)
    assert (report.method, report.data, report.samples, report.n_sets) == ("given", "iris", 3, 1)
    assert (report.architecture, report.seconds.cpu, report.data_changed) == ("mlp", 0, False)
    assert report.baselines["random"].n == 5


def test_and_people_are_told(evaluate, given):
    result = evaluate("tensor", given(), more=IRIS)
    assert (result.code, result.err) == (0, "")
    assert "given" in result.out


def test_several_files_are_sets_of_one_method(evaluate, given):
    other = given("other.npz", labels=np.array([2, 1, 0]))
    told = evaluate("tensor", given(), other, more=[*IRIS, "--json"]).json
    assert (told["n_sets"], told["accuracy"]["n"]) == (2, 2)


def test_an_export_has_the_figures_of_its_run(cli, evaluate, finished):
    assert cli("export", finished, "--format", "npz", "--out", "there").code == 0
    more = ["--model", "mlp,width=4", "--json"]
    stored = evaluate(finished, more=more).json
    read = evaluate("tensor", "there/data.npz", more=[*IRIS, *more]).json
    assert read["accuracy"] == stored["accuracy"]
    assert (stored["method"], read["method"]) == ("dm", "given")


def test_how_data_and_networks_are_taken_can_be_set(evaluate, given):
    more = [*IRIS, "--set", "data.validation=0", "--set", "protocol.batch=2", "--json"]
    told = evaluate("tensor", given(), more=more).json
    assert told["validation"] is None
    assert (told["protocol"]["batch"], told["data_changed"]) == (2, False)


def test_own_data_are_given_by_path(evaluate, given, npz):
    told = evaluate("tensor", given(), more=["--data", npz("deep/own.npz"), "--json"]).json
    assert told["data"] == "own"


def test_a_folder_called_like_the_modality_is_no_hindrance(evaluate, given, tmp_path):
    (tmp_path / "tensor").mkdir()
    assert evaluate("tensor", given(), more=IRIS).code == 0


def test_a_run_may_be_called_like_a_file(evaluate, finished):
    assert evaluate(finished.rename(finished.with_name("run.npz"))).code == 0


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        (["set.npz"], IRIS, ["'set.npz'", "name the modality before it: ", "tensor"]),
        (["tensor", "set.npz"], (), ["'set.npz'", "name them with --data"]),
        (["tensor", "no.npz"], IRIS, ["there is no file 'no.npz'"]),
        (["tensor", "set.npz"], ("--data", "nope"), ["unknown data 'nope'", "iris"]),
        (["tensor", "set.npz"], ("--data", "wine"), ["'inputs' has shape (3, 4)", "(n, 13) as in 'wine'"]),
        (["tensor", "set.npz"], (*IRIS, "--set", "data.nope=1"), ["nope", "validation"]),
        (["tensor", "set.npz"], (*IRIS, "--set", "objective.lr=1"), ["unknown setting 'objective.lr'"]),
        (["tensor", "set.npz"], (*IRIS, "--protocol", "nope"), ["unknown protocol 'nope'"]),
        (["tensor", "damaged.npz"], IRIS, ["damaged.npz is no NumPy archive of plain arrays"]),
        (["tensor", "set.npz", "finished"], IRIS, ["runs stand beside it; evaluate them apart"]),
        (["finished", "set.npz"], (), ["runs stand beside it; evaluate them apart"]),
    ],
    ids=str,
)
def test_a_mistake_is_named_before_any_network_is_trained(
    cli, finished, given, monkeypatch, tmp_path, what, more, words
):
    def train(*arguments, **named):
        raise AssertionError("a network was trained")

    monkeypatch.setattr("attar.evaluation_jobs.fit", train)
    given()
    (tmp_path / "damaged.npz").write_bytes(b"PK no archive")
    said = cli("evaluate", *what, "--workers", 1, *more, "--json").refusal
    assert [word for word in words if word not in said] == []


def test_a_given_set_that_was_saved_says_what_it_is(cli, given, tmp_path):
    attar.from_arrays(attar.task("tensor", data="iris"), given()).save(tmp_path / "set")
    assert "given as arrays" in cli("show", tmp_path / "set").out


def test_a_condensed_graph_is_evaluated(evaluate, tmp_path):
    pytest.importorskip("attar_graph", reason="attar-graph is not installed")
    rng = np.random.default_rng(0)
    adjacency = rng.random((4, 4)).astype(np.float32)
    arrays = {"features": rng.random((4, 34)), "labels": np.arange(4)}
    np.savez(tmp_path / "graph.npz", adjacency=adjacency + adjacency.T, **arrays)
    told = json.loads(evaluate("graph", "graph.npz", more=["--data", "karate", "--json"]).out)
    assert (told["method"], told["architecture"], told["samples"]) == ("given", "gcn", 4)
    np.savez(tmp_path / "directed.npz", adjacency=adjacency, **arrays)
    said = evaluate("graph", "directed.npz", more=["--data", "karate"]).refusal
    assert "make it symmetric" in said

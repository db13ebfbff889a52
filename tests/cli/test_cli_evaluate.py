from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from attar.reports import Report


def test_a_report_for_people(evaluate, finished):
    result = evaluate(finished, baselines="random")
    assert (result.code, result.err) == (0, "")
    for word in ("iris, mlp,width=4, protocol cpu-1*", "random", "dm", "±"):
        assert word in result.out


def test_a_report_in_json(evaluate, finished):
    report = Report.model_validate(evaluate(finished, baselines="whole,random", more=["--json"]).json)
    assert (report.method, report.n_sets, report.n_networks) == ("dm", 1, 1)
    assert (report.baselines.keys(), report.baselines["random"].n) == ({"whole", "random"}, 5)
    assert 0 <= report.accuracy.mean <= 100
    assert report.protocol.epochs == 1
    assert not report.data_changed


def test_all_baselines(evaluate, finished):
    report = Report.model_validate(evaluate(finished, baselines="all", more=["--json"]).json)
    assert list(report.baselines) == ["whole", "random", "herding", "k-center", "k-means", "means"]


def test_the_report_stays_with_the_run_and_the_artifact_as_it_was(evaluate, finished):
    artifact = finished / "artifact"
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in [artifact, *artifact.iterdir()][1:]
    }
    told = evaluate(finished, more=["--json"]).json
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in artifact.iterdir()} == before
    kept = list((finished / "evaluations").iterdir())
    assert [path.name.split("-")[:2] for path in kept] == [["cpu", "1"]]
    assert json.loads(kept[0].read_text()) == told


def test_each_protocol_has_a_report_of_its_own(evaluate, finished):
    evaluate(finished)
    evaluate(finished, more=["--set", "protocol.batch=8"])
    evaluate(finished)
    assert len(list((finished / "evaluations").iterdir())) == 2


def test_an_artifact_by_itself_is_left_as_it_was(evaluate, finished, contents):
    before = contents(finished)
    assert evaluate(finished / "artifact").code == 0
    assert contents(finished) == before


def test_the_same_figures_come_again(evaluate, finished):
    first = evaluate(finished, baselines="random", more=["--json"]).json
    again = evaluate(finished, baselines="random", more=["--json"]).json
    for report in (first, again):
        report.pop("evaluation_seconds")
    assert first == again


def test_figures_do_not_depend_on_what_is_cached(evaluate, finished, monkeypatch, tmp_path):
    first = evaluate(finished, baselines="random", more=["--json"]).json
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path / "other-cache"))
    again = evaluate(finished, baselines="random", more=["--json"]).json
    assert first["accuracy"] == again["accuracy"]
    assert first["baselines"] == again["baselines"]


def test_one_worker_leaves_the_threads_of_the_process_alone(cli, evaluate, finished, monkeypatch, tmp_path):
    torch.set_num_threads(2)
    assert evaluate(finished).code == 0
    assert torch.get_num_threads() == 2


def test_sets_of_several_seeds(distill, evaluate):
    assert distill("one", "--seed", 1).code == distill("two", "--seed", 2).code == 0
    report = evaluate("one", "two", more=["--json"]).json
    assert (report["n_sets"], report["accuracy"]["n"]) == (2, 2)


def test_the_modality_may_stand_first(evaluate, finished):
    assert evaluate("tensor", finished).code == 0


def test_another_modality_is_refused(evaluate, finished):
    assert "modality 'tensor', not 'image'" in evaluate("image", finished).refusal


def test_other_architectures(evaluate, finished):
    report = evaluate(finished, more=["--architecture", "linear", "--json"]).json
    assert list(report["architectures"]) == ["linear"]


def test_another_model(evaluate, finished):
    assert evaluate(finished, more=["--model", "linear", "--json"]).json["architecture"] == "linear"


def test_equal_bytes_stand_apart(evaluate, finished):
    report = evaluate(finished, more=["--equal-bytes", "--json"]).json
    assert report["equal_bytes"]["bytes"] >= 3
    assert report["baselines"] == {}


def test_a_part_of_a_protocol_can_be_set(evaluate, finished):
    more = ["--set", "protocol.optimizer.lr=0.5", "--set", "protocol.plateau.window=7", "--json"]
    report = evaluate(finished, more=more).json
    assert report["protocol"]["optimizer"]["lr"] == 0.5
    assert report["protocol"]["optimizer"]["momentum"] == 0.9
    assert report["protocol"]["plateau"]["window"] == 7


def test_how_data_are_loaded_can_be_set(evaluate, finished):
    report = evaluate(finished, more=["--set", "data.validation=0", "--json"]).json
    assert report["validation"] is None
    assert report["data_changed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "nope"], ["unknown protocol 'nope'", "cpu-1", "published"]),
        (["--baselines", "nope"], ["unknown baseline 'nope'", "herding", "whole"]),
        (["--model", "nope"], ["unknown architecture 'nope'", "mlp"]),
        (["--architecture", "nope"], ["unknown architecture 'nope'", "mlp"]),
        (["--data", "nope"], ["unknown data 'nope'"]),
        (["--data", "digits"], ["'iris'", "'digits'"]),
        (["--root", "/no/such/root"], ["'/no/such/root'"]),
        (["--set", "protocol.nope=1"], ["'protocol.nope'", "protocol.epochs"]),
        (["--set", "protocol.epochs=0"], ["protocol.epochs"]),
        (["--set", "protocol.optimizer.lr=-1"], ["protocol.optimizer.lr", "greater than 0"]),
        (["--set", "objective.lr=1"], ["'objective.lr'", "protocol."]),
        (["--set", "data.nope=1"], ["nope", "validation"]),
        (["--set", "protocol"], ["'protocol'", "--set"]),
    ],
    ids=" ".join,
)
def test_a_mistake_is_named_before_any_network_is_trained(cli, finished, monkeypatch, arguments, words):
    def train(*arguments, **named):
        raise AssertionError("a network was trained")

    monkeypatch.setattr("attar.evaluation_jobs.fit", train)
    said = cli("evaluate", finished, "--workers", 1, "--json", *arguments).refusal
    assert [word for word in words if word not in said] == []
    assert not (finished / "evaluations").exists()


def test_sets_of_different_sizes_are_refused(distill, evaluate, finished):
    assert distill("other", size=("--ipc", 2)).code == 0
    assert "differ in method or size" in evaluate(finished, "other").refusal


def test_sets_of_different_data_are_refused(cli, evaluate, finished):
    wine = ("--data", "wine", "--method", "random", "--ipc", 1, "--out", "wine")
    assert cli("distill", "tensor", *wine).code == 0
    assert evaluate(finished, "wine").refusal


def test_own_data_are_given_again_by_path(chosen, evaluate, npz):
    path = npz("deep/own.npz")
    assert chosen(path).code == 0
    assert "--data" in evaluate("run").refusal
    report = evaluate("run", more=["--data", path, "--json"]).json
    assert not report["data_changed"]


def test_changed_data_are_told(chosen, evaluate, npz):
    path = npz()
    assert chosen(path).code == 0
    other = npz(y_train=[2, 1, 0] * 10)
    assert "fingerprints differ" in evaluate("run", more=["--data", other]).out.replace("\n", " ")
    assert evaluate("run", more=["--data", other, "--json"]).json["data_changed"]


def test_data_without_a_test_sample_are_refused(chosen, evaluate, npz):
    path = npz(x_test=np.zeros((0, 4), np.float32), y_test=np.zeros(0, int))
    assert chosen(path).code == 0
    assert "test" in evaluate("run", more=["--data", path]).refusal

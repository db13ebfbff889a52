from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import attar.baselines
import attar.evaluation_jobs
import pytest
import torch
from attar.api import distill
from attar.artifact import Environment, MethodRecord, make_artifact
from attar.contracts import SetSpec
from attar.cost import Cost
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings, evaluate_sets, evaluation_cost
from attar.evaluation_jobs import Job
from attar.protocols import protocol
from attar.registry import Registry
from attar.rng import derive
from attar.tensor.items import ItemsView

BASELINES = ("whole", "random", "herding", "k-center", "k-means", "means")


@pytest.fixture
def trained(monkeypatch):
    """Train in this process, and list the rows of the networks trained."""
    found = []

    def serial(function, items, workers):
        for index, item in enumerate(items):
            if isinstance(item, Job):
                found.append("/".join(item.row))
            yield index, function(item)

    for module in (attar.baselines, attar.evaluation_jobs):
        monkeypatch.setattr(module, "results", serial)
    return found


@pytest.fixture
def settings(tmp_path):
    def make(**changes):
        short = protocol("cpu-1", {"epochs": 2, "networks": 1, "plateau": None})
        return EvaluationSettings(
            **{"protocol": short, "model": "linear", "cache": tmp_path / "cache", "baselines": (), **changes}
        )

    return make


def distilled(task, **changes):
    wanted = {"method": "dm", "ipc": 1, "steps": 2, "model": "linear", **changes}
    return distill(task, **{key: value for key, value in wanted.items() if value is not None})


def soft(task, kind):
    init = task.draw(1, derive(0), [0, 1, 2])
    return make_artifact(
        task,
        Registry().get("modalities", "tensor"),
        task.synthesize(init, SetSpec(label_kind=kind), derive(0)),
        kind="distilled",
        method=MethodRecord(name="soft", reference="", settings={}),
        seed=0,
        cost=Cost(),
        environment=Environment.current(),
    )


def test_a_report_has_every_field_and_is_not_computed_twice(blobs, trained, settings):
    task = blobs()
    sets = [distilled(task, seed=seed) for seed in (0, 1)]
    asked = settings(baselines=BASELINES, equal_bytes=True, architectures=("mlp,width=8",))
    report = evaluate_sets(task, sets, asked)
    assert (report.method, report.data, report.architecture) == ("dm", "blobs", "linear")
    assert (report.accuracy.n, report.n_sets, report.n_networks) == (2, 2, 1)
    assert 0 <= report.accuracy.mean <= 100
    assert report.validation.n == 2
    assert (report.samples, report.bytes) == (3, 3 * 4 * 4 + 3)
    assert {name: score.n for name, score in report.baselines.items()} == {
        "whole": 1,
        "random": 5,
        "herding": 1,
        "k-center": 1,
        "k-means": 1,
        "means": 1,
    }
    assert report.details["whole"].samples == task.size("train")
    assert report.details["random"].samples == 3
    herding = report.details["herding"]
    assert set(herding.validation) == {"input", "random", "trained"}
    assert herding.validation[herding.space] == max(herding.validation.values())
    assert report.architectures["mlp,width=8"].n == 2
    # One float32 vector of four and its label are 17 bytes, so that one per class fits.
    assert (report.equal_bytes.samples, report.equal_bytes.bytes) == (3, 51)
    assert list(report.against) == ["random", "herding", "k-center", "k-means", "means"]
    apart = report.against["herding"]
    assert apart.mean == pytest.approx(report.accuracy.mean - report.baselines["herding"].mean, abs=1e-3)
    assert apart.low <= apart.mean <= apart.high
    assert report.protocol == asked.protocol
    assert report.data_changed is False
    # A linear network embeds nothing, so all rules choose the same in all spaces; and as many
    # bytes are as many samples, so that the random ones are the same too. The means are samples of their own.
    assert len(trained) == 4 + 5 + 1 + 1 + 1
    assert trained[0].startswith("set/")
    assert trained[-1] == "whole"
    trained.clear()
    again = evaluate_sets(task, sets, asked)
    assert trained == []
    assert (again.accuracy, again.baselines) == (report.accuracy, report.baselines)


def test_a_cached_result_depends_on_data_protocol_and_seed(blobs, trained, settings):
    task = blobs()
    artifact = distilled(task)
    other = settings(protocol=protocol("cpu-1", {"epochs": 3, "networks": 1}))
    for asked in (settings(), settings(seed=1), other):
        evaluate_sets(task, [artifact], asked)
    assert evaluate_sets(blobs(seed=1), [artifact], settings()).data_changed is True
    assert trained == ["set/linear"] * 4


def test_a_cached_result_depends_on_the_kind_of_labels(blobs, trained, settings):
    task = blobs()
    for kind in ("probability", "regression"):
        evaluate_sets(task, [soft(task, kind)], settings())
    assert trained == ["set/linear"] * 2


def test_without_validation_data_no_feature_space_is_chosen(blobs, trained, settings):
    task = blobs(validation=None)
    report = evaluate_sets(task, [distilled(task)], settings(baselines=("herding",)))
    assert report.validation is None
    assert report.details["herding"].space == "input"
    assert report.details["herding"].note == "no validation data, so no feature space was chosen"


def test_processes_give_the_figures_of_one(blobs, settings, monkeypatch, tmp_path):
    task = blobs()
    artifact = distilled(task)
    two = protocol("cpu-1", {"epochs": 2, "networks": 2})
    spawned = evaluate_sets(task, [artifact], settings(protocol=two, workers=2, cache=tmp_path / "one"))

    def serial(function, items, workers):
        return ((index, function(item)) for index, item in enumerate(items))

    monkeypatch.setattr(attar.evaluation_jobs, "results", serial)
    here = evaluate_sets(task, [artifact], settings(protocol=two, cache=tmp_path / "two"))
    assert spawned.accuracy == here.accuracy


def test_rules_that_choose_the_same_are_trained_on_once(blobs, trained, settings):
    task = blobs()
    rules = ("herding", "k-center")
    report = evaluate_sets(task, [distilled(task)], settings(baselines=rules, model="mlp"))
    # Of one sample per class, both choose that next to the mean.
    assert report.baselines["herding"] == report.baselines["k-center"]
    assert not [row for row in trained if row.startswith("k-center")]


def test_a_feature_space_is_chosen_by_one_network_and_evaluated_by_all(blobs, trained, settings):
    task = blobs()
    three = protocol("cpu-1", {"epochs": 2, "networks": 3, "plateau": None})
    asked = settings(baselines=("k-center",), model="mlp,width=8", protocol=three)
    report = evaluate_sets(task, [distilled(task, ipc=2)], asked)
    chosen = report.details["k-center"]
    assert report.baselines["k-center"].n == 3
    assert chosen.validation[chosen.space] == max(chosen.validation.values())
    spaces = trained[3:]
    # One network in each space that chose other samples, then the two that the best one lacks.
    assert len(set(spaces)) + 2 == len(spaces) <= 5


def test_figures_are_shown_as_they_come_behind_what_they_will_cost(
    blobs, trained, settings, capsys, monkeypatch
):
    task = blobs()
    evaluate_sets(task, [distilled(task)], settings(show=True))
    # Of what is done at once, nothing is said.
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("attar.evaluation.LONG", 0.0)
    evaluate_sets(task, [distilled(task)], settings(baselines=BASELINES, show=True))
    told = [line for line in capsys.readouterr().err.splitlines() if "left" not in line]
    assert told[0].startswith(
        "19 networks (1 on the set, 5 random, 1 whole, 12 coresets, 1 known already): at"
    )
    assert [line.partition(":")[0] for line in told[1:]] == [
        "dm",
        "random",
        "herding",
        "k-center",
        "k-means",
        "means",
        "whole",
    ]
    assert re.fullmatch(r"random: [0-9.]+ ± [0-9.]+ %, 5 networks", told[2])


def test_the_cost_is_known_before_anything_is_trained(blobs, trained, settings):
    task = blobs()
    artifact = distilled(task)
    asked = settings(baselines=("whole", "random", "herding"), workers=2)
    cost = evaluation_cost(task, [artifact], asked)
    assert cost.networks == {"on the set": 1, "random": 5, "whole": 1, "coresets": 3}
    assert (cost.known, cost.processes, trained) == (0, 2, [])
    assert cost.wall_seconds == pytest.approx(cost.cpu_seconds / 2, abs=0.1)
    evaluate_sets(task, [artifact], settings(baselines=("random",)))
    assert evaluation_cost(task, [artifact], asked).known == 6


def test_the_cost_grows_with_the_steps(blobs, settings):
    task = blobs()
    artifact = distilled(task)
    costs = [
        evaluation_cost(task, [artifact], settings(protocol=protocol("cpu-1", {"epochs": epochs})))
        for epochs in (10, 1000)
    ]
    assert costs[1].cpu_seconds > 10 * costs[0].cpu_seconds


def test_means_are_a_baseline_where_samples_can_be_averaged(blobs, trained, settings):
    task = blobs()
    report = evaluate_sets(task, [distilled(task)], settings())
    assert report.baselines == {}
    assert "means" in evaluate_sets(task, [distilled(task)], settings(baselines="all")).baselines

    class Apart(type(task)):
        averages = False

    apart = Apart(**{name: getattr(task, name) for name in task.__dataclass_fields__})
    assert list(evaluate_sets(apart, [distilled(task)], settings(baselines="all")).baselines) == [
        name for name in BASELINES if name != "means"
    ]
    with pytest.raises(
        UsageError, match="samples of 'blobs' cannot be averaged; leave the baseline 'means' out"
    ):
        evaluate_sets(apart, [distilled(task)], settings(baselines="random,means"))
    with pytest.raises(UsageError, match="'means' averages samples"):
        distilled(apart, method="means", steps=None, model=None)


def test_the_means_of_one_per_class_are_those_of_the_classes(blobs, settings, tmp_path):
    from attar.baselines import Coresets
    from attar.evaluation_jobs import Evaluator

    task = blobs()
    coresets = Coresets(Evaluator(task, settings(), Registry()), [1, 1, 1], "linear", "float32")
    coresets.prepare(["means"], ["input"], [0])
    found = coresets.batch("means", "input", 0)
    rows = torch.arange(len(task.labels))
    whole = task.gather(rows)
    wanted = torch.stack([whole.inputs[whole.labels == label].mean(0) for label in range(3)])
    assert torch.allclose(found.inputs, wanted, atol=1e-5)
    assert found.labels.tolist() == [0, 1, 2]


def test_work_in_this_process_is_counted_once(blobs, settings):
    task = blobs()
    artifact = distilled(task)
    long = protocol("cpu-1", {"epochs": 200, "networks": 1, "plateau": None})
    before = time.process_time()
    report = evaluate_sets(task, [artifact], settings(protocol=long, workers=1))
    assert report.evaluation_seconds.cpu <= time.process_time() - before + 0.01


def test_an_unknown_baseline_lists_the_choices(blobs, settings):
    task = blobs()
    sentence = "unknown baseline 'herdin': did you mean 'herding'? choose from all, herding, k-center"
    with pytest.raises(UsageError, match=re.escape(sentence)):
        evaluate_sets(task, [distilled(task)], settings(baselines=("herdin",)))


def test_no_set_is_refused(blobs, settings):
    with pytest.raises(UsageError, match="there is no set to evaluate; give at least one artifact"):
        evaluate_sets(blobs(), [], settings())


@pytest.mark.parametrize("change", [{"ipc": 2}, {"method": "random", "steps": None, "model": None}])
def test_sets_that_differ_are_refused(blobs, settings, change):
    task = blobs()
    other = distilled(task, **change)
    with pytest.raises(UsageError, match="the sets differ in method or size; evaluate them apart"):
        evaluate_sets(task, [distilled(task), other], settings())


def test_a_set_of_other_data_is_refused(blobs, settings):
    with pytest.raises(UsageError, match=r"the set was made of 'blobs' \(tensor, 3 classes\), the data"):
        evaluate_sets(blobs(counts=(9, 9)), [distilled(blobs())], settings())


def test_distilling_leaves_the_test_split_out(blobs):
    task = blobs()
    other = blobs(test=blobs(seed=5).test)
    one, same = distilled(task), distilled(other)
    assert torch.equal(one.decode().inputs, same.decode().inputs)
    assert one.manifest.data == same.manifest.data


def test_the_cache_lies_where_it_is_wanted(blobs, trained, settings, tmp_path):
    evaluate_sets(blobs(), [distilled(blobs())], settings())
    names = {path.parent.name for path in Path(tmp_path / "cache").rglob("*.json")}
    assert names == {"evaluations"}


def test_data_of_another_shape_are_refused(blobs, settings):
    made = distilled(blobs(feature=(3,)))
    with pytest.raises(
        UsageError, match=r"samples of the set are of shape \(3,\), those of .* of shape \(4,\)"
    ):
        evaluate_sets(blobs(), [made], settings())


def test_other_data_are_told_of_before_anything_is_trained(blobs, trained, settings, monkeypatch):
    said = []
    monkeypatch.setattr("attar.evaluation.say", lambda text: said.append((text, len(trained))))
    evaluate_sets(blobs(seed=1), [distilled(blobs())], settings(show=True))
    assert said[0] == ("the data are not those that the set was made of: their fingerprints differ", 0)


def test_uneven_classes_are_counted_alike_too(blobs, trained, settings):
    task = blobs(counts=(80, 8, 4))
    report = evaluate_sets(task, [distilled(task)], settings(baselines=("random",)))
    confusion = torch.tensor(report.confusion)
    held = torch.bincount(torch.cat([piece.labels for piece in task.epoch("test", 100)]), minlength=3)
    assert confusion.sum(1).equal(held)
    recalls = 100 * confusion.diagonal() / held
    assert list(report.per_class) == list(task.classes)
    assert [score.mean for score in report.per_class.values()] == pytest.approx(recalls.tolist(), abs=1e-3)
    assert report.balanced_accuracy.mean == pytest.approx(float(recalls.mean()), abs=1e-3)
    assert report.accuracy.mean == pytest.approx(100 * int(confusion.trace()) / int(held.sum()), abs=1e-3)
    assert report.details["random"].balanced.n == 5


def test_a_class_without_test_samples_has_no_accuracy(blobs, trained, settings, caplog):
    task = blobs()
    rows = (task.test.labels != 1).nonzero()[:, 0]
    held = replace(task, test=ItemsView(task.test, rows))
    report = evaluate_sets(held, [distilled(held)], settings())
    assert list(report.per_class) == ["0", "2"]
    assert "no test sample of the class '1': no figure counts it" in caplog.text
    means = [score.mean for score in report.per_class.values()]
    assert report.balanced_accuracy.mean == pytest.approx(sum(means) / 2, abs=1e-3)


def test_confusion_of_very_many_classes_is_left_out(blobs, trained, settings, monkeypatch):
    monkeypatch.setattr(attar.evaluation_jobs, "_MOST_CLASSES", 2)
    task = blobs()
    report = evaluate_sets(task, [distilled(task)], settings())
    assert report.confusion is None
    assert len(report.per_class) == 3

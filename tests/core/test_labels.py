"""Labels that are learned, as a switch on any method whose loss can learn from them."""

import attar
import pytest
import torch
from attar.batch import Batch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.labels import classes_differ, label_kind
from attar.objectives import DC, DM, FREPO
from attar.rng import derive


@pytest.fixture(scope="module")
def task():
    return attar.task("tensor", data="iris")


QUICK = {"steps": 3, "per_class": 8, "model": "mlp,width=8,depth=1"}


def test_the_first_kind_is_the_default():
    assert label_kind(DC, DC.Settings()) == "hard"
    assert label_kind(DC, DC.Settings(labels="probability")) == "probability"
    assert label_kind(FREPO, FREPO.Settings()) == "regression"
    assert label_kind(FREPO, FREPO.Settings(labels="hard")) == "hard"


def test_what_makes_no_sense_is_refused_before_any_work(task):
    with pytest.raises(UsageError, match=r"labels=probability makes no sense .* hard labels; choose"):
        attar.distill(task, method="dm", ipc=1, labels="probability")
    with pytest.raises(UsageError, match="learn from regression and hard labels"):
        attar.distill(task, method="kip", ipc=1, labels="probability")
    assert label_kind(DM, DM.Settings()) == "hard"


@pytest.mark.parametrize("method", ["dc", "dsa", "one-step"])
def test_soft_labels_are_learned_and_stay_probabilities(task, method, tmp_path):
    artifact = attar.distill(
        task, method=method, ipc=2, labels="probability", lr_labels=0.5, out=tmp_path / "run", **QUICK
    )
    targets = artifact.decode().targets
    assert torch.allclose(targets.sum(1), torch.ones(6), atol=1e-6)
    assert float(targets.min()) > 0
    start = 0.9 * torch.eye(3).repeat_interleave(2, 0) + 0.1 / 3
    assert float((targets - start).abs().max()) > 1e-3
    assert artifact.manifest.size.bytes == 6 * 4 * 4 + 6 * 3 * 4 + 6
    assert torch.equal(attar.load(tmp_path / "run").decode().targets, targets)


def test_hard_labels_of_a_ridge_method_are_not_stored(task):
    artifact = attar.distill(task, method="frepo", ipc=2, labels="hard", **QUICK)
    assert artifact.decode().targets is None
    assert artifact.manifest.size.bytes == 6 * 4 * 4 + 6


def test_probabilities_that_are_given_are_started_at(task):
    init = task.gather(torch.arange(2))
    given = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    syn = task.synthesize(
        Batch(init.inputs, init.labels, given), SetSpec(label_kind="probability"), derive(0, "set")
    )
    assert torch.allclose(syn.decode().targets, given, atol=1e-5)


@pytest.mark.parametrize(
    ("own", "given", "said"),
    [
        (("a", "b"), ("a", "b"), ""),
        (
            ("0", "1", "10", "2"),
            ("0", "1", "2", "10"),
            "another order: class 2 is '10' in the set (0, 1, 10, 2)",
        ),
        (("a", "b"), ("a", "c"), "the set has the class 'b', which the data have not (a, c)"),
        (("a", "b"), ("a", "b", "c"), "the data have the class 'c', which the set has not (a, b)"),
    ],
)
def test_in_what_classes_differ_is_said(own, given, said):
    assert said in classes_differ(own, given)
    assert bool(said) == bool(classes_differ(own, given))

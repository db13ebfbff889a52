from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.nets import Linear
from attar.optim import OptimSpec
from attar.protocols import Plateau, Protocol
from attar.rng import derive, scoped
from attar.tensor import ArrayItems, Noise, TensorAugment
from attar.training import BatchEpochs, TrainEpochs, accuracy, answers, confusion, fit, training_loss
from torch import nn


def linear(width=4, classes=3):
    with scoped(derive(0, "linear")):
        return Linear((width,), classes)


def protocol(**changes):
    settings = {"name": "test", "epochs": 4, "steps": None, "batch": 4, "augment": False, **changes}
    return Protocol(**settings)


@pytest.fixture
def epochs(blobs):
    return BatchEpochs(blobs().draw(3, derive(0), [0, 1, 2]))


@pytest.fixture
def rates(monkeypatch):
    """The step size of every optimizer step taken."""
    found, real = [], torch.optim.SGD.step

    def step(self, *args, **kwargs):
        found.append(self.param_groups[0]["lr"])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    return found


LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])


def log_softmax(row):
    return [value - math.log(sum(math.exp(other) for other in row)) for value in row]


def test_hard_labels_are_trained_with_cross_entropy():
    batch = Batch(LOGITS, torch.tensor([1, 0]))
    wanted = -sum(log_softmax(row)[y] for row, y in zip(LOGITS.tolist(), [1, 0], strict=True)) / 2
    assert float(training_loss(LOGITS, batch, "hard")) == pytest.approx(wanted)


def test_probabilities_are_trained_with_cross_entropy():
    soft = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]
    batch = Batch(LOGITS, torch.tensor([2, 0]), torch.tensor(soft))
    wanted = -sum(
        p * value
        for row, target in zip(LOGITS.tolist(), soft, strict=True)
        for p, value in zip(target, log_softmax(row), strict=True)
    )
    assert float(training_loss(LOGITS, batch, "probability")) == pytest.approx(wanted / 2)


def test_real_values_are_trained_with_squared_error():
    targets = [[0.5, -0.5, 0.0], [1.0, 1.0, -2.0]]
    batch = Batch(LOGITS, torch.tensor([0, 1]), torch.tensor(targets))
    wanted = sum(
        (a - b) ** 2
        for row, goal in zip(LOGITS.tolist(), targets, strict=True)
        for a, b in zip(row, goal, strict=True)
    )
    assert float(training_loss(LOGITS, batch, "regression")) == pytest.approx(wanted / 6)


def test_fit_makes_every_pass(epochs):
    found = fit(linear(), epochs, protocol(), derive(0))
    assert (found.epochs, found.steps) == (4, 4 * 3)


def test_fit_learns(blobs):
    task = blobs()
    model = fit(
        linear(), TrainEpochs(task), protocol(epochs=20, optimizer=OptimSpec(lr=0.1)), derive(0)
    ).model
    assert accuracy(model, task, "train") > 95


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_the_bound_on_steps_is_kept(epochs, steps):
    found = fit(linear(), epochs, protocol(steps=steps), derive(0))
    assert found.steps == steps
    assert found.epochs == math.ceil(steps / 3)


def test_the_step_size_drops_after_half_of_the_epochs(epochs, rates):
    fit(linear(), epochs, protocol(epochs=4, drop=0.5), derive(0))
    # The field's schedule: the drop comes after epochs // 2 + 1 passes.
    assert rates == [0.01] * 9 + [0.005] * 3


def test_the_step_size_drops_at_half_of_the_steps(epochs, rates):
    fit(linear(), epochs, protocol(steps=7, drop=0.1), derive(0))
    assert rates == pytest.approx([0.01] * 3 + [0.001] * 4)


def test_a_plateau_brings_the_drop_forward_and_then_ends(epochs, rates):
    flat = protocol(
        epochs=100,
        optimizer=OptimSpec(lr=1e-12),
        plateau=Plateau(window=2, improvement=0.01),
        batch=100,
        drop=0.5,
    )
    found = fit(linear(), epochs, flat, derive(0))
    assert found.epochs == 8
    assert rates == [1e-12] * 4 + [0.5e-12] * 4


def test_a_loss_that_falls_is_no_plateau(epochs):
    falling = protocol(
        epochs=20, batch=100, optimizer=OptimSpec(lr=0.1), plateau=Plateau(window=2, improvement=0.001)
    )
    assert fit(linear(), epochs, falling, derive(0)).epochs == 20


def test_the_loss_is_the_mean_of_the_last_pass(epochs):
    model = linear()
    whole = Batch(epochs.batch.inputs, epochs.batch.labels)
    wanted = float(training_loss(model(whole.inputs), whole, "hard").detach())
    frozen = protocol(epochs=1, batch=3, optimizer=OptimSpec(lr=1e-12))
    assert fit(model, epochs, frozen, derive(0)).loss == pytest.approx(wanted, rel=1e-5)


def test_training_that_diverges_ends(epochs):
    batch = replace(epochs.batch, targets=torch.ones(9, 3))
    wild = protocol(epochs=50, optimizer=OptimSpec(lr=1e30))
    found = fit(linear(), BatchEpochs(batch, "regression"), wild, derive(0))
    assert not math.isfinite(found.loss)
    assert found.epochs < 50


def test_selection_by_validation_restores_the_best_pass(epochs):
    seen, scores = [], iter([1.0, 5.0, 2.0, 5.0])

    def score(model):
        seen.append(model.head.weight.detach().clone())
        return next(scores)

    model = fit(linear(), epochs, protocol(select="validation"), derive(0), score=score).model
    assert torch.equal(model.head.weight, seen[1])
    assert not torch.equal(model.head.weight, seen[3])


def test_the_last_iterate_is_never_scored(epochs):
    def score(model):
        raise AssertionError("validation was read")

    fit(linear(), epochs, protocol(), derive(0), score=score)


def test_augmentation_is_applied_only_where_the_protocol_says_so(epochs):
    def weights(**changes):
        return fit(
            linear(), epochs, protocol(**changes), derive(0), TensorAugment((Noise(1.0),))
        ).model.head.weight

    assert torch.equal(weights(augment=False), fit(linear(), epochs, protocol(), derive(0)).model.head.weight)
    assert not torch.equal(weights(augment=True), weights(augment=False))


def test_training_depends_on_the_generator_alone(epochs):
    def weights(seed):
        torch.rand(3)
        model = nn.Sequential(nn.Dropout(0.5), linear())
        return fit(model, epochs, protocol(), derive(seed)).model[1].head.weight

    before = torch.get_rng_state()
    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    torch.set_rng_state(before)
    fit(linear(), epochs, protocol(), derive(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("gen", [None, 0])
def test_batch_epochs_cover_each_row_once(epochs, gen):
    pieces = list(epochs.epoch(4, None if gen is None else derive(gen)))
    assert [len(piece) for piece in pieces] == [4, 4, 1]
    found = torch.cat([piece.inputs for piece in pieces])
    assert sorted(found.tolist()) == sorted(epochs.batch.inputs.tolist())
    assert found.equal(epochs.batch.inputs) is (gen is None)


def test_accuracy_is_in_percent_and_uses_evaluation_mode(blobs):
    class Guess(nn.Module):
        def forward(self, inputs):
            assert not self.training
            return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(inputs), 3)

    task = blobs()
    share = (next(task.epoch("test", 10**6)).labels == 1).float().mean()
    assert accuracy(Guess(), task, "test", batch=4) == pytest.approx(100 * float(share))


def test_accuracy_on_an_empty_split_is_one_sentence(blobs):
    task = blobs()
    empty = replace(task, test=ArrayItems(np.zeros((0, 4)), np.zeros(0, dtype=np.int64)))
    with pytest.raises(UsageError, match="test"):
        accuracy(linear(), empty, "test")


@pytest.mark.parametrize("kind", ["hard", "probability", "regression"])
def test_large_samples_are_shown_a_few_at_a_time_with_the_same_result(monkeypatch, kind):
    gen = derive(0, "large")
    targets = None if kind == "hard" else torch.rand(10, 3, generator=gen).softmax(1)
    batch = Batch(torch.randn(10, 2, 3, 3, generator=gen), torch.arange(10) % 3, targets)
    shown = []

    class Net(nn.Module):
        coupled = False

        def __init__(self):
            super().__init__()
            with scoped(derive(0, "net")):
                self.layer = nn.Linear(18, 3)

        def forward(self, inputs):
            shown.append(len(inputs))
            return self.layer(inputs.flatten(1))

    def trained():
        fitted = fit(Net(), BatchEpochs(batch, kind), protocol(batch=10), derive(0, "fit"))
        return fitted.loss, fitted.model.layer.weight.detach()

    loss, whole = trained()
    assert set(shown) == {10}
    monkeypatch.setattr("attar.training._ROWS", 4)
    shown.clear()
    again, parts = trained()
    assert set(shown) == {4, 2}
    assert again == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(parts, whole)


def test_confusion_counts_true_classes_down_and_answers_across(blobs):
    task = blobs()

    class Second(nn.Module):
        def forward(self, inputs):
            return torch.tensor([0.0, 1.0, 0.0]).expand(len(inputs), 3)

    counts = confusion(*answers(Second(), task, "test"), len(task.classes))
    held = torch.bincount(torch.cat([piece.labels for piece in task.epoch("test", 100)]), minlength=3)
    assert counts[:, 1].equal(held)
    assert int(counts.sum()) == int(held.sum())
    assert accuracy(Second(), task, "test") == pytest.approx(100 * int(held[1]) / int(held.sum()))

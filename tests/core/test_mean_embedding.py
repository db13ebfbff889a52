from __future__ import annotations

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import InternalError
from attar.objectives import MeanEmbedding, MeanFeatures
from attar.objectives.distribution import ClassMeans
from attar.rng import derive


@pytest.fixture
def context(blobs):
    return Context(task=blobs(), seed=0, clock=Clock(0, 1))


@pytest.fixture
def subject(context):
    model = context.task.build("mlp,width=6,depth=1,act=gelu", derive(0, "model"))
    return Subject(model.requires_grad_(False), 0)


def batch(labels, seed=0, dtype=torch.float32):
    values = torch.randn(len(labels), 4, generator=derive(seed, "batch"), dtype=dtype)
    return Batch(values, torch.tensor(labels))


def value(loss, subject, real, syn, context):
    return loss.compare(subject, loss.observe(subject, real, context), syn, context, {})


def slow_dm(model, real, syn, classes):
    # Zhao and Bilen, WACV 2023, equation 4:
    # sum_c || 1/|T_c| sum_{x in T_c} psi(x) - 1/|S_c| sum_{s in S_c} psi(s) ||^2
    total = 0.0
    for label in range(classes):
        means = []
        for data in (real, syn):
            rows = [
                model.embed(x[None])[0] for x, y in zip(data.inputs, data.labels, strict=True) if y == label
            ]
            means.append(sum(rows) / len(rows) if rows else None)
        if means[1] is not None:
            total += float(sum((a - b) ** 2 for a, b in zip(*means, strict=True)))
    return total


def test_equals_equation_4(subject, context):
    real, syn = batch([0, 1, 2, 0, 1, 2, 2], 1), batch([2, 0, 1, 1], 2)
    found = float(value(MeanEmbedding(), subject, real, syn, context))
    assert found == pytest.approx(slow_dm(subject.model, real, syn, 3), rel=1e-4)


def test_absent_classes_are_ignored(subject, context):
    real, syn = batch([0, 1, 2, 0], 1), batch([1, 1], 2)
    found = float(value(MeanEmbedding(), subject, real, syn, context))
    assert found == pytest.approx(slow_dm(subject.model, real.of(1), syn, 3), rel=1e-4)


def test_is_zero_where_synthetic_equals_real(subject, context):
    real = batch([0, 1, 2, 1])
    assert float(value(MeanEmbedding(), subject, real, real, context)) == 0.0


def test_order_within_the_batch_does_not_matter(subject, context):
    real, syn = batch([0, 1, 2, 0], 1), batch([0, 0, 1, 2], 2)
    turned = syn.take(torch.tensor([3, 1, 0, 2]))
    one, other = (value(MeanEmbedding(), subject, real, each, context) for each in (syn, turned))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("chunk", [1, 3])
def test_pieces_change_neither_value_nor_gradient(subject, context, chunk):
    real, found = batch([0, 1, 2, 0, 1], 1), []
    for loss in (MeanEmbedding(), MeanEmbedding(chunk=chunk)):
        syn = batch([0, 0, 1, 2, 2], 2)
        syn.inputs.requires_grad_()
        result = value(loss, subject, real, syn, context)
        found.append((result, *torch.autograd.grad(result, syn.inputs)))
    torch.testing.assert_close(found[0], found[1])


def test_a_coupled_model_sees_the_batch_whole(blobs):
    task = blobs(feature=(1, 6, 6))
    context = Context(task=task, seed=0, clock=Clock(0, 1))
    model = task.build("convnet,width=4,depth=1,norm=batch", derive(0))
    real = task.draw(4, derive(0), [0, 1, 2])
    stats = [MeanEmbedding(chunk=chunk).observe(Subject(model, 0), real, context) for chunk in (2, 512)]
    torch.testing.assert_close(stats[0].means, stats[1].means)


def test_gradcheck_in_float64(subject, context):
    subject.model.double()
    loss = MeanEmbedding(chunk=2)
    labels = [0, 1, 1, 2]
    stats = loss.observe(subject, batch([0, 1, 2, 2], 1, torch.float64), context)

    def scalar(values):
        return loss.compare(subject, stats, Batch(values, torch.tensor(labels)), context, {})

    assert torch.autograd.gradcheck(scalar, batch(labels, 2, torch.float64).inputs.requires_grad_())


def test_observe_needs_real_data_and_keeps_no_gradient(subject, context):
    real = batch([0, 1, 2])
    real.inputs.requires_grad_()
    assert not MeanEmbedding().observe(subject, real, context).means[0].requires_grad
    with pytest.raises(InternalError, match="no real data"):
        MeanEmbedding().observe(subject, None, context)


def test_asks_for_as_many_real_samples_as_set():
    assert MeanEmbedding(per_class=7).real.per_class == 7


def slow_layers(model, real, syn, weights):
    # Liu et al., 2022: sum_c r_c sum_l || mean phi_l(T_c) - mean phi_l(S_c) ||^2
    total = 0.0
    for label, weight in enumerate(weights):
        one, other = (
            [model.feature_maps(x[None]) for x, y in zip(data.inputs, data.labels, strict=True) if y == label]
            for data in (real, syn)
        )
        for layer in range(len(one[0])):
            means = [sum(each[layer].flatten() for each in maps) / len(maps) for maps in (one, other)]
            total += weight * float(((means[0] - means[1]) ** 2).sum())
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_features_are_matched_in_every_layer(context, weighted):
    model = context.task.build("mlp,width=5,depth=2,act=gelu", derive(1)).requires_grad_(False)
    real, syn = batch([0, 1, 2, 0, 1, 2, 2], 1), batch([2, 0, 1, 1], 2)
    counts = context.task.counts
    weights = (counts / counts.sum()).tolist() if weighted else [1.0] * len(counts)
    found = float(value(MeanFeatures(weighted=weighted), Subject(model, 0), real, syn, context))
    assert found == pytest.approx(slow_layers(model, real, syn, weights), rel=1e-4)
    pieces = float(value(MeanFeatures(weighted=weighted, chunk=2), Subject(model, 0), real, syn, context))
    assert pieces == pytest.approx(found, rel=1e-5)


def test_mean_features_are_zero_at_the_real_data_and_for_absent_classes(subject, context):
    real = batch([0, 1, 2, 1])
    assert float(value(MeanFeatures(), subject, real, real, context)) == 0.0
    assert float(value(MeanFeatures(), subject, real, real.of(1), context)) == 0.0


def test_mean_features_need_real_data(subject, context):
    with pytest.raises(InternalError, match="was given no real data"):
        MeanFeatures().observe(subject, None, context)


def test_means_are_kept_of_the_classes_that_were_seen_alone():
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = ClassMeans.over([rows], torch.tensor([700, 3, 700]))
    assert found.classes.tolist() == [3, 700]
    assert found.means[0].tolist() == [[3.0, 4.0], [3.0, 4.0]]
    assert found.of(torch.tensor([3, 5, 700, 999]))[0].tolist() == [[3, 4], [0, 0], [3, 4], [0, 0]]

from __future__ import annotations

import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import InternalError
from attar.objectives import GaussianMMD, MeanEmbedding
from attar.objectives.m3d import squared_distances
from attar.rng import derive

WIDTHS = (0.5, 1.0, 3.0)


@pytest.fixture
def context(blobs):
    return Context(task=blobs(), seed=0, clock=Clock(0, 1))


@pytest.fixture
def subject(context):
    # Its embedding is the sample itself.
    model = context.task.build("linear", derive(0, "model"))
    return Subject(model.double().requires_grad_(False), 0)


def batch(labels, seed=0):
    values = torch.randn(len(labels), 4, generator=derive(seed, "batch"), dtype=torch.float64)
    return Batch(values, torch.tensor(labels))


def value(loss, subject, real, syn, context):
    return loss.compare(subject, loss.observe(subject, real, context), syn, context, {})


def rows_of(data, label):
    return [x.tolist() for x, y in zip(data.inputs, data.labels, strict=True) if y == label]


def squared_distance(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def slow_bandwidth(real, syn):
    pairs = [(a, b) for one in (real, syn) for other in (real, syn) for a in one for b in other]
    return sum(squared_distance(a, b) for a, b in pairs) / len(pairs)


def slow_mmd(real, syn, bandwidth):
    # Gretton et al., JMLR 2012, equation 5, with the kernel of Zhang et al., AAAI 2024, equation 5:
    # mean k(t, t') + mean k(s, s') - 2 mean k(t, s), k(a, b) = mean_w exp(-||a - b||^2 / (w sigma^2))
    def mean(one, other):
        total = 0.0
        for a in one:
            for b in other:
                kernels = [math.exp(-squared_distance(a, b) / (width * bandwidth)) for width in WIDTHS]
                total += sum(kernels) / len(kernels)
        return total / (len(one) * len(other))

    return mean(real, real) + mean(syn, syn) - 2 * mean(real, syn)


def slow_loss(real, syn, classes):
    total = 0.0
    for label in range(classes):
        one, other = rows_of(real, label), rows_of(syn, label)
        if other:
            total += slow_mmd(one, other, slow_bandwidth(one, other))
    return total


def test_equals_the_estimate_pair_by_pair(subject, context):
    real, syn = batch([0, 1, 2, 0, 1, 2, 2], 1), batch([2, 0, 1, 1], 2)
    found = float(value(GaussianMMD(widths=WIDTHS), subject, real, syn, context))
    assert found == pytest.approx(slow_loss(real, syn, 3), rel=1e-9)


def test_embeddings_are_compared_rather_than_samples(context):
    model = context.task.build("mlp,width=4,depth=1,act=gelu", derive(1)).double().requires_grad_(False)
    real, syn = batch([0, 1, 2, 0], 1), batch([2, 0, 1, 1], 2)
    found = float(value(GaussianMMD(widths=WIDTHS), Subject(model, 0), real, syn, context))
    embedded = [each.with_inputs(model.embed(each.inputs)) for each in (real, syn)]
    assert found == pytest.approx(slow_loss(*embedded, 3), rel=1e-9)


def test_is_zero_where_synthetic_equals_real(subject, context):
    real = batch([0, 1, 2, 1])
    assert float(value(GaussianMMD(), subject, real, real, context)) == 0.0


def test_sees_a_spread_that_the_mean_does_not(subject, context):
    real = batch([0, 0, 0])
    mean = real.inputs.mean(0)
    syn = real.with_inputs(mean + 3 * (real.inputs - mean))
    assert float(value(MeanEmbedding(), subject, real, syn, context)) == pytest.approx(0, abs=1e-12)
    assert float(value(GaussianMMD(), subject, real, syn, context)) > 0.1


def test_absent_classes_are_ignored(subject, context):
    real, syn = batch([0, 1, 2, 0, 1], 1), batch([1, 1], 2)
    found = float(value(GaussianMMD(widths=WIDTHS), subject, real, syn, context))
    assert found == pytest.approx(slow_loss(real.of(1), syn, 3), rel=1e-9)


def test_order_within_the_batch_does_not_matter(subject, context):
    real, syn = batch([0, 1, 2, 0], 1), batch([0, 0, 1, 2], 2)
    turned = syn.take(torch.tensor([3, 1, 0, 2]))
    one, other = (value(GaussianMMD(), subject, real, each, context) for each in (syn, turned))
    torch.testing.assert_close(one, other)


def test_a_class_of_equal_samples_has_finite_value_and_gradient(subject, context):
    real = Batch(torch.ones(3, 4, dtype=torch.float64), torch.zeros(3, dtype=torch.int64))
    syn = real.with_inputs(real.inputs.clone().requires_grad_())
    found = value(GaussianMMD(), subject, real, syn, context)
    assert float(found.detach()) == 0.0
    assert torch.isfinite(torch.autograd.grad(found, syn.inputs)[0]).all()


def test_the_gradient_takes_the_bandwidth_for_a_constant(subject, context):
    real, syn = batch([0, 1, 0, 1, 1], 1), batch([0, 0, 1], 2)
    syn.inputs.requires_grad_()
    found = torch.autograd.grad(value(GaussianMMD(widths=WIDTHS), subject, real, syn, context), syn.inputs)[0]
    bandwidths = [slow_bandwidth(rows_of(real, label), rows_of(syn, label)) for label in (0, 1)]

    def frozen(values):
        moved = Batch(values, syn.labels)
        return sum(
            slow_mmd(rows_of(real, label), rows_of(moved, label), bandwidths[label]) for label in (0, 1)
        )

    for row in range(3):
        for axis in range(4):
            step = torch.zeros(3, 4, dtype=torch.float64)
            step[row, axis] = 1e-5
            slope = (frozen(syn.inputs.detach() + step) - frozen(syn.inputs.detach() - step)) / 2e-5
            assert float(found[row, axis]) == pytest.approx(slope, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("chunk", [1, 3])
def test_pieces_change_neither_value_nor_gradient(context, chunk):
    model = context.task.build("mlp,width=4,depth=1", derive(1)).double().requires_grad_(False)
    real, found = batch([0, 1, 2, 0, 1], 1), []
    for loss in (GaussianMMD(), GaussianMMD(chunk=chunk)):
        syn = batch([0, 0, 1, 2, 2], 2)
        syn.inputs.requires_grad_()
        result = value(loss, Subject(model, 0), real, syn, context)
        found.append((result, *torch.autograd.grad(result, syn.inputs)))
    torch.testing.assert_close(found[0], found[1])


def test_observe_keeps_no_gradient(subject, context):
    real = batch([0, 1])
    real.inputs.requires_grad_()
    seen = GaussianMMD().observe(subject, real, context)
    assert not any(part.requires_grad for parts in seen.values() for part in parts)


def test_observe_needs_real_data(subject, context):
    with pytest.raises(InternalError, match="no real data"):
        GaussianMMD().observe(subject, None, context)


def test_asks_for_as_many_real_samples_as_set():
    assert GaussianMMD(per_class=7).real.per_class == 7


def test_squared_distances_are_those_of_all_pairs():
    one, other = batch([0] * 3, 1).inputs, batch([0] * 2, 2).inputs
    expected = [[squared_distance(a, b) for b in other.tolist()] for a in one.tolist()]
    torch.testing.assert_close(squared_distances(one, other), torch.tensor(expected, dtype=torch.float64))

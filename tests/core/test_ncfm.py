from __future__ import annotations

import cmath
import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import InternalError
from attar.objectives import CharacteristicMatch, MeanEmbedding
from attar.rng import derive

# What the smallest root that has a slope takes away from each class, at scale 1.
LEAST = 1e-6


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


def made(**settings):
    return CharacteristicMatch(**{"frequencies": 16, "scale": 1.0, **settings})


def value(loss, subject, real, syn, context):
    return loss.compare(subject, loss.observe(subject, real, context), syn, context, {})


def slow_function(data, label, t):
    # Phi(t) = mean exp(i <t, psi>) over embeddings of length 1
    rows = [x.tolist() for x, y in zip(data.inputs, data.labels, strict=True) if y == label]
    total = 0j
    for row in rows:
        length = math.sqrt(sum(each**2 for each in row))
        total += cmath.exp(1j * sum(p * q / length for p, q in zip(t, row, strict=True)))
    return total / len(rows)


def slow_match(real, syn, labels, frequencies, alpha, beta):
    # Wang et al., CVPR 2025, equations 4 to 6: the mean over t of the root of
    # alpha (|Phi_T| - |Phi_S|)^2 + 2 beta (|Phi_T| |Phi_S| - Re Phi_T Re Phi_S - Im Phi_T Im Phi_S)
    total = 0.0
    for label in labels:
        roots = []
        for t in frequencies.T.tolist():
            one, other = slow_function(real, label, t), slow_function(syn, label, t)
            amplitude = (abs(one) - abs(other)) ** 2
            phase = abs(one) * abs(other) - one.real * other.real - one.imag * other.imag
            roots.append(math.sqrt(alpha * amplitude + 2 * beta * phase))
        total += sum(roots) / len(roots)
    return total


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.9, 0.2), (0.1, 0.8), (0.0, 1.0)])
def test_equals_equations_4_to_6(subject, context, alpha, beta):
    real, syn = batch([0, 1, 2, 0, 1, 2, 2], 1), batch([2, 0, 1, 1], 2)
    loss = made(amplitude=alpha, phase=beta, scale=5.0)
    seen = loss.observe(subject, real, context)
    found = float(loss.compare(subject, seen, syn, context, {}))
    expected = slow_match(real, syn, range(3), seen.frequencies, alpha, beta)
    assert found == pytest.approx(5 * expected, abs=5 * 3 * 1.01 * LEAST)
    assert found > 1


def test_is_zero_where_synthetic_equals_real(subject, context):
    real = batch([0, 1, 2, 1])
    assert abs(float(value(made(scale=300.0), subject, real, real, context))) < 1e-9


def test_has_a_finite_gradient_where_synthetic_equals_real(subject, context):
    real = batch([0, 1, 2, 1])
    syn = real.with_inputs(real.inputs.clone().requires_grad_())
    slope = torch.autograd.grad(value(made(), subject, real, syn, context), syn.inputs)[0]
    assert torch.isfinite(slope).all()


def test_sees_what_the_mean_does_not(subject, context):
    axes = torch.eye(4, dtype=torch.float64)
    real, syn = (
        Batch(torch.stack([axis, -axis]), torch.zeros(2, dtype=torch.int64)) for axis in (axes[0], axes[1])
    )
    assert float(value(MeanEmbedding(), subject, real, syn, context)) == 0.0
    assert float(value(made(), subject, real, syn, context)) > 0.1


def test_lengths_of_embeddings_do_not_matter(subject, context):
    real, syn = batch([0, 1, 2, 0], 1), batch([0, 1, 2], 2)
    longer = syn.with_inputs(syn.inputs * torch.tensor([[0.1], [2.0], [30.0]], dtype=torch.float64))
    one, other = (value(made(), subject, real, each, context) for each in (syn, longer))
    torch.testing.assert_close(one, other)


def test_of_single_samples_only_the_phase_differs(subject, context):
    real, syn = batch([0, 1, 2], 1), batch([0, 1, 2], 2)
    strength, phase = (
        float(value(made(amplitude=alpha, phase=beta), subject, real, syn, context))
        for alpha, beta in ((1.0, 0.0), (0.0, 1.0))
    )
    assert strength == pytest.approx(0, abs=1e-5)
    assert phase > 0.1


def test_absent_classes_are_ignored(subject, context):
    real, syn, loss = batch([0, 1, 2, 0, 1], 1), batch([1, 1], 2), made()
    seen = loss.observe(subject, real, context)
    found = float(loss.compare(subject, seen, syn, context, {}))
    expected = slow_match(real, syn, [1], seen.frequencies, 0.5, 0.5)
    assert found == pytest.approx(expected, abs=2 * LEAST)


def test_order_within_the_batch_does_not_matter(subject, context):
    real, syn = batch([0, 1, 2, 0], 1), batch([0, 0, 1, 2], 2)
    turned = syn.take(torch.tensor([3, 1, 0, 2]))
    one, other = (value(made(), subject, real, each, context) for each in (syn, turned))
    torch.testing.assert_close(one, other)


def test_a_version_of_a_model_has_its_own_frequencies(subject, context):
    first, again, other = (
        made().observe(Subject(subject.model, version), batch([0, 1, 2], seed), context).frequencies
        for version, seed in ((3, 1), (3, 2), (4, 1))
    )
    assert first.shape == (4, 16)
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).any()


def test_frequencies_are_standard_normal(subject, context):
    drawn = made(frequencies=4096).observe(subject, batch([0, 1, 2]), context).frequencies
    assert float(drawn.mean()) == pytest.approx(0, abs=0.05)
    assert float(drawn.std()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("chunk", [1, 3])
def test_pieces_change_neither_value_nor_gradient(context, chunk):
    model = context.task.build("mlp,width=4,depth=1", derive(1)).double().requires_grad_(False)
    real, found = batch([0, 1, 2, 0, 1], 1), []
    for loss in (made(), made(chunk=chunk)):
        syn = batch([0, 0, 1, 2, 2], 2)
        syn.inputs.requires_grad_()
        result = value(loss, Subject(model, 0), real, syn, context)
        found.append((result, *torch.autograd.grad(result, syn.inputs)))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.1, 0.8)])
def test_gradcheck_in_float64(subject, context, alpha, beta):
    loss, labels = made(amplitude=alpha, phase=beta), [0, 1, 1, 2]
    stats = loss.observe(subject, batch([0, 1, 2, 2], 1), context)

    def scalar(values):
        return loss.compare(subject, stats, Batch(values, torch.tensor(labels)), context, {})

    assert torch.autograd.gradcheck(scalar, batch(labels, 2).inputs.requires_grad_())


def test_observe_keeps_no_gradient(subject, context):
    real = batch([0, 1, 2])
    real.inputs.requires_grad_()
    seen = made().observe(subject, real, context)
    assert not any(each.requires_grad for each in (seen.frequencies, *seen.functions.means))


def test_observe_needs_real_data(subject, context):
    with pytest.raises(InternalError, match="no real data"):
        made().observe(subject, None, context)


def test_asks_for_as_many_real_samples_as_set():
    assert made(per_class=7).real.per_class == 7

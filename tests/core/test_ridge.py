"""Ridge regression on a set against the equations, and the tangent kernel against finite networks."""

import math
from itertools import pairwise

import attar
import numpy as np
import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import DivergenceError, UsageError
from attar.infinite import InfiniteMLP
from attar.labels import centered, initial_targets
from attar.nets import MLP
from attar.objectives.ridge import (
    FeatureKernel,
    ModelKernel,
    RidgeRegression,
    platt,
    ridge_predict,
    squared_error,
)
from attar.testing import toy_task
from torch import nn

CLASSES = 3


def batch(n, seed, targets=False):
    gen = torch.Generator().manual_seed(seed)
    values = torch.randn((n, 4), generator=gen, dtype=torch.float64)
    soft = torch.randn((n, CLASSES), generator=gen, dtype=torch.float64) if targets else None
    return Batch(values, torch.arange(n) % CLASSES, soft)


def value(loss, model, real, syn, learned=None):
    ctx = Context(toy_task((4,), CLASSES), 0, Clock(0, 1))
    subject = Subject(model, 0)
    return loss.compare(subject, loss.observe(subject, real, ctx), syn, ctx, learned or {})


def by_hand(real, syn, kernel, ridge):
    """The prediction with NumPy's inverse, sample by sample."""
    k_ss = np.array([[kernel(a, b) for b in syn.inputs] for a in syn.inputs])
    k_ts = np.array([[kernel(a, b) for b in syn.inputs] for a in real.inputs])
    y_s = (
        syn.targets.detach().numpy() if syn.targets is not None else np.eye(CLASSES)[syn.labels] - 1 / CLASSES
    )
    n = len(k_ss)
    return k_ts @ np.linalg.inv(k_ss + ridge * np.trace(k_ss) / n * np.eye(n)) @ y_s


@pytest.mark.parametrize("targets", [False, True])
def test_squared_error_is_the_papers(targets):
    torch.manual_seed(0)
    model = MLP((4,), CLASSES, width=16, depth=1).double()
    real, syn = batch(12, 1), batch(6, 2, targets)

    def kernel(a, b):
        one, other = (model.embed(each[None])[0].detach().numpy() for each in (a, b))
        return float(one @ other) / len(one)

    predicted = by_hand(real, syn, kernel, 1e-3)
    truth = np.eye(CLASSES)[real.labels] - 1 / CLASSES
    expected = np.mean([0.5 * np.sum((p - t) ** 2) for p, t in zip(predicted, truth, strict=True)])
    found = value(RidgeRegression(kernel=FeatureKernel(), ridge=1e-3), model, real, syn)
    assert found.item() == pytest.approx(expected, rel=1e-7)


def test_platt_scaling_is_cross_entropy_at_a_temperature():
    torch.manual_seed(0)
    model = MLP((4,), CLASSES, width=16, depth=1).double()
    real, syn = batch(12, 1), batch(6, 2, True)

    def kernel(a, b):
        one, other = (model.embed(each[None])[0].detach().numpy() for each in (a, b))
        return float(one @ other) / len(one)

    predicted = by_hand(real, syn, kernel, 1e-3) / 0.5
    expected = np.mean(
        [
            math.log(sum(math.exp(each) for each in row)) - row[label]
            for row, label in zip(predicted.tolist(), real.labels.tolist(), strict=True)
        ]
    )
    learned = {"log_tau": torch.tensor(math.log(0.5), dtype=torch.float64)}
    loss = RidgeRegression(kernel=FeatureKernel(), ridge=1e-3, error=platt)
    assert value(loss, model, real, syn, learned).item() == pytest.approx(expected, rel=1e-7)


def test_margin_keeps_the_first_target_ahead():
    torch.manual_seed(0)
    model = MLP((4,), CLASSES, width=16, depth=1).double()
    real, syn = batch(12, 1), batch(6, 2, True)
    plain, kept = (
        value(RidgeRegression(kernel=FeatureKernel(), margin=margin), model, real, syn)
        for margin in (0.0, 2.0)
    )
    margins = []
    for row in syn.targets.tolist():
        first, second, _ = sorted(row, reverse=True)
        margins.append(min(first - second, 1 / CLASSES))
    assert (plain - kept).item() == pytest.approx(2 * sum(margins) / len(margins), rel=1e-9)


def test_prediction_is_exact_and_differentiable():
    gen = torch.Generator().manual_seed(0)
    root = torch.randn((5, 7), generator=gen, dtype=torch.float64)
    k_ts, y_s = (
        torch.randn(shape, generator=gen, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 5), (5, 2))
    )
    k_ss = root @ root.T
    expected = k_ts @ torch.linalg.solve(
        k_ss + 0.1 * k_ss.trace() / 5 * torch.eye(5, dtype=torch.float64), y_s
    )
    assert torch.allclose(ridge_predict(k_ts, k_ss, y_s, 0.1), expected, rtol=1e-9)

    def predict(a, b, y):
        return ridge_predict(a, b @ b.T, y, 0.1)

    assert torch.autograd.gradcheck(predict, (k_ts, root.requires_grad_(), y_s))


def test_float32_kernels_are_solved_in_float64():
    gen = torch.Generator().manual_seed(0)
    features = torch.randn((50, 400), generator=gen)
    y_s = torch.randn((50, 3), generator=gen)
    found = ridge_predict(features @ features.T, features @ features.T, y_s, 1e-6)
    assert found.dtype == torch.float32
    assert torch.allclose(found, y_s, atol=1e-3)


def test_an_indefinite_kernel_gets_a_larger_ridge_and_a_hopeless_one_is_told():
    # Rank one, off by a rounding error that makes it indefinite.
    ones = torch.ones(4, 4, dtype=torch.float64)
    off = ones - 1e-7 * torch.diag(torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    y_s = torch.ones(4, 2, dtype=torch.float64)
    assert bool(torch.isfinite(ridge_predict(ones, off, y_s, 1e-8)).all())
    with pytest.raises(DivergenceError, match=r"not positive definite; raise objective\.ridge"):
        ridge_predict(ones, -ones, y_s, 1e-8)


def finite_kernels(a, b, depth, width, bias, seed):
    """NTK and NNGP of one finite ReLU network, from its own gradients, output by output."""
    gen = torch.Generator().manual_seed(seed)
    widths = [a.shape[1]] + [width] * depth + [1]
    weights = [torch.randn(o, i, generator=gen, dtype=a.dtype) for i, o in pairwise(widths)]
    biases = [torch.randn(o, generator=gen, dtype=a.dtype) for o in widths[1:]]
    parameters = [each.requires_grad_() for each in (*weights, *biases)]

    def forward(x):
        for index, (weight, shift) in enumerate(zip(weights, biases, strict=True)):
            gain = 2.0
            x = x @ weight.T * math.sqrt(gain / weight.shape[1]) + math.sqrt(bias) * shift
            x = torch.relu(x) if index < depth else x
        return x[0, 0]

    def gradient(x):
        return torch.cat([g.flatten() for g in torch.autograd.grad(forward(x[None]), parameters)])

    ntk = torch.stack([torch.stack([gradient(x) @ gradient(y) for y in b]) for x in a])
    outs = torch.stack([forward(x[None]) for x in a]), torch.stack([forward(y[None]) for y in b])
    return ntk.detach(), torch.outer(*outs).detach()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_tangent_kernel_is_the_limit_of_finite_networks(depth):
    gen = torch.Generator().manual_seed(0)
    a, b = (torch.randn((n, 6), generator=gen, dtype=torch.float64) for n in (3, 2))
    infinite = InfiniteMLP((6,), 2, depth=depth, bias_variance=0.3).kernel(a, b)
    errors = []
    for width in (8, 64, 512):
        mean = torch.stack([finite_kernels(a, b, depth, width, 0.3, seed)[0] for seed in range(16)]).mean(0)
        errors.append(float((mean - infinite).norm() / infinite.norm()))
    assert errors[2] < 0.05
    assert errors[2] < errors[0]


def test_covariance_kernel_is_that_of_random_networks():
    gen = torch.Generator().manual_seed(0)
    a, b = (torch.randn((n, 6), generator=gen, dtype=torch.float64) for n in (2, 2))
    infinite = InfiniteMLP((6,), 2, depth=1, kind="nngp", bias_variance=0.3).kernel(a, b)
    mean = torch.stack([finite_kernels(a, b, 1, 200, 0.3, seed)[1] for seed in range(1500)]).mean(0)
    assert torch.allclose(mean, infinite, atol=0.15 * float(infinite.abs().max()))


def test_kernel_is_symmetric_positive_and_of_closed_form_on_the_diagonal():
    a = torch.randn((6, 5), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kernel = InfiniteMLP((5,), 2, depth=2, bias_variance=0.0).kernel(a, a)
    assert torch.allclose(kernel, kernel.T)
    assert float(torch.linalg.eigvalsh(kernel).min()) > 0
    # Without biases each layer adds the covariance, which ReLU layers of variance 2 keep.
    assert torch.allclose(kernel.diagonal(), 3 * 2 * (a**2).sum(1) / 5, rtol=1e-4)


def test_gradient_of_the_kernel_is_finite_for_equal_samples():
    a = torch.ones((2, 3), requires_grad=True)
    InfiniteMLP((3,), 2).kernel(a, a).sum().backward()
    assert bool(torch.isfinite(a.grad).all())


def test_infinite_networks_have_no_logits():
    with pytest.raises(UsageError, match="has a kernel and no logits"):
        InfiniteMLP((3,), 2)(torch.ones(1, 3))


def test_model_kernel_is_the_models():
    model = InfiniteMLP((4,), CLASSES)
    real, syn = batch(12, 1), batch(6, 2)

    def kernel(a, b):
        return float(model.kernel(a[None], b[None]))

    expected = by_hand(real, syn, kernel, 1e-2)
    truth = np.eye(CLASSES)[real.labels] - 1 / CLASSES
    found = value(RidgeRegression(kernel=ModelKernel(), ridge=1e-2), model, real, syn)
    assert found.item() == pytest.approx(0.5 * np.mean(((expected - truth) ** 2).sum(1)), rel=1e-6)


def test_initial_targets():
    labels = torch.tensor([0, 2])
    assert initial_targets(labels, 3, "hard") is None
    smooth = 0.9 * torch.tensor([[1.0, 0, 0], [0, 0, 1]]) + 0.1 / 3
    assert torch.allclose(initial_targets(labels, 3, "probability").softmax(1), smooth)
    assert torch.allclose(initial_targets(labels, 3, "regression").sum(1), torch.zeros(2), atol=1e-6)
    assert torch.allclose(centered(labels, 4)[0], torch.tensor([0.75, -0.25, -0.25, -0.25]))


def test_squared_error_of_perfect_predictions_is_zero():
    labels = torch.tensor([0, 1, 2])
    assert squared_error(centered(labels, 3), labels, {}).item() == 0
    assert nn.functional.cross_entropy(10 * centered(labels, 3), labels) == platt(
        centered(labels, 3), labels, {"log_tau": torch.tensor(0.1).log()}
    )


def test_a_set_of_a_kernel_is_evaluated_with_a_network():
    task = attar.task("tensor", data="iris")
    artifact = attar.distill(task, method="kip", ipc=2, steps=3, per_class=8)
    assert artifact.manifest.method.model == task.architecture == "mlp"
    assert artifact.manifest.method.settings["model"] == "ntk"
    assert attar.train(artifact).record.architecture == "mlp"

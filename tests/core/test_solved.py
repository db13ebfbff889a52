from __future__ import annotations

import pytest
import torch
from attar.batch import Batch
from attar.protocols import CPU_1
from attar.solved import Ridge
from attar.training import BatchEpochs, fit
from torch.nn import functional


def samples(n, size, classes=3, seed=0):
    gen = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    return Batch(torch.randn(n, size, generator=gen) * 2 + labels[:, None] + 5, labels)


def slow(batch, penalty, classes=3):
    """The minimum by the normal equations of the whole problem, the bias one more unpenalized weight."""
    inputs = torch.cat([batch.inputs.double(), torch.ones(len(batch), 1, dtype=torch.float64)], 1)
    answers = functional.one_hot(batch.labels, classes).double()
    centered = batch.inputs.double() - batch.inputs.double().mean(0)
    size = batch.inputs.shape[1]
    matrix = torch.diag(
        torch.tensor([penalty * float(centered.pow(2).mean()) * len(batch)] * size + [0.0]).double()
    )
    return torch.linalg.lstsq(inputs.T @ inputs + matrix, inputs.T @ answers, driver="gelsd").solution


@pytest.mark.parametrize(("n", "size"), [(30, 4), (6, 20), (12, 12)], ids=["many", "few", "as many"])
def test_the_weights_are_the_minimum(n, size):
    batch, net = samples(n, size), Ridge((size,), 3, penalty=0.3)
    net.solve(iter([batch.take(torch.arange(0, n // 2)), batch.take(torch.arange(n // 2, n))]))
    expected = slow(batch, 0.3)
    torch.testing.assert_close(net.head.weight.double().T, expected[:-1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.head.bias.double(), expected[-1], atol=1e-4, rtol=1e-4)


def test_a_greater_penalty_makes_smaller_weights():
    batch = samples(30, 4)
    norms = []
    for penalty in (0.01, 1.0, 100.0):
        net = Ridge((4,), 3, penalty=penalty)
        net.solve(iter([batch]))
        norms.append(net.head.weight.norm().item())
    assert norms == sorted(norms, reverse=True)


def test_targets_count_for_labels():
    batch = samples(30, 4)
    soft = Batch(batch.inputs, batch.labels, targets=functional.one_hot(batch.labels, 3).float().roll(1, 1))
    one, two = Ridge((4,), 3), Ridge((4,), 3)
    one.solve(iter([batch]))
    two.solve(iter([soft]))
    torch.testing.assert_close(two.head.weight, one.head.weight.roll(1, 0))


def test_fitting_solves_and_draws_nothing():
    batch, net = samples(30, 4), Ridge((4,), 3)
    gen = torch.Generator().manual_seed(3)
    before = gen.get_state()
    done = fit(net, BatchEpochs(batch), CPU_1, gen)
    assert (done.epochs, done.steps) == (1, 0)
    assert torch.equal(gen.get_state(), before)
    again = Ridge((4,), 3)
    again.solve(iter([batch]))
    torch.testing.assert_close(net.head.weight, again.head.weight)
    errors = (net(batch.inputs) - functional.one_hot(batch.labels, 3)).pow(2).mean()
    assert done.loss == pytest.approx(errors.item(), rel=1e-4)


def test_samples_that_are_all_alike_are_solved():
    batch = Batch(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))
    net = Ridge((3,), 2)
    net.solve(iter([batch]))
    torch.testing.assert_close(net(batch.inputs), torch.full((4, 2), 0.5))

"""Average pooling by a product, beside PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from attar.pooling import AveragePool2d, pairing_matrix
from torch.nn import functional


@pytest.mark.parametrize(
    "shape", [(2, 3, 2, 2), (3, 1, 8, 6), (1, 2, 6, 64), (2, 2, 5, 8), (2, 2, 4, 7), (1, 1, 4, 66)]
)
def test_means_and_gradients_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    maps = torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    ours, theirs = AveragePool2d(shape[-1])(maps), functional.avg_pool2d(maps, 2)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(ours.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        *(torch.autograd.grad((each * weights).sum(), maps)[0] for each in (ours, theirs))
    )


def test_it_can_be_differentiated_twice() -> None:
    maps = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda each: AveragePool2d(4)(each) ** 2, maps)


def test_the_matrix_averages_squares() -> None:
    matrix = pairing_matrix(4)
    assert matrix.shape == (8, 2)
    torch.testing.assert_close(matrix[:, 0], torch.tensor([1, 1, 0, 0, 1, 1, 0, 0]) / 4)
    torch.testing.assert_close(matrix.sum(0), torch.ones(2))


def test_other_widths_than_it_was_made_for_are_pooled_all_the_same() -> None:
    maps = torch.randn(1, 1, 4, 8)
    torch.testing.assert_close(AveragePool2d(4)(maps), functional.avg_pool2d(maps, 2))


def test_it_adds_nothing_to_a_networks_state() -> None:
    assert not list(AveragePool2d(8).state_dict())


def test_half_precision_keeps_its_type() -> None:
    maps = torch.randn(1, 2, 4, 4).to(torch.bfloat16)
    pooled = AveragePool2d(4)(maps)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled, functional.avg_pool2d(maps, 2), atol=0.02, rtol=0.02)

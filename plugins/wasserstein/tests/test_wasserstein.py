"""The kit's laws, and the distance against its definition."""

import torch
from attar.testing import parametrize_with_checks
from attar_wasserstein import transport
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment


@parametrize_with_checks([("objectives", "wasserstein")])
def test_conformance(check):
    check.run()


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000))
def test_transport_is_the_cheapest_of_all(n, m, seed):
    gen = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(k, 1, generator=gen, dtype=torch.float64) for k in (n, m))
    # As many copies of each number as the other side has numbers make an assignment of it.
    many, more = one.repeat_interleave(m, 0), other.repeat_interleave(n, 0)
    cost = (many - more.T) ** 2
    rows, columns = linear_sum_assignment(cost.numpy())
    torch.testing.assert_close(transport(one, other), cost[rows, columns].mean())


def test_gradients_are_those_of_differences():
    gen = torch.Generator().manual_seed(0)
    one, other = (torch.randn(k, 3, generator=gen, dtype=torch.float64) for k in (5, 3))
    assert torch.autograd.gradcheck(lambda values: transport(one, values), other.requires_grad_())


def test_a_distance_of_means_alone_counts_as_much():
    values = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(transport(values, values + 2), torch.tensor(4.0))

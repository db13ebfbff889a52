"""Models compute in bfloat16 where a run asks for it; what needs its digits does not."""

from __future__ import annotations

import torch
from attar.precision import full_precision, reduced_precision

CPU = torch.device("cpu")


@full_precision
def product(one, other):
    return one @ other.T


def test_models_run_in_bfloat16_only_where_asked():
    model, rows = torch.nn.Linear(3, 2), torch.ones(4, 3)
    with reduced_precision(CPU, True):
        assert model(rows).dtype == torch.bfloat16
    with reduced_precision(CPU, False):
        assert model(rows).dtype == torch.float32


def test_weights_that_change_in_reduced_precision_are_seen():
    """By hand: w = 4, then 4 − ½ · 2 = 3, then 3 − ½ · 2 = 2, all of them numbers of bfloat16."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 4.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen = []
    with reduced_precision(CPU, True):
        for _ in range(3):
            out = model(torch.full((1, 1), 2.0))
            seen.append(out.item())
            out.float().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert seen == [8.0, 6.0, 4.0]


def test_what_is_protected_computes_in_full():
    # 1 + 2⁻¹² is no number in bfloat16.
    one = torch.tensor([[1.0, 2.0**-12]])
    with reduced_precision(CPU, True):
        assert float(one @ torch.ones(1, 2).T) == 1.0
        found = product(one, torch.ones(1, 2))
        assert torch.is_autocast_enabled("cpu")
    assert (float(found), found.dtype) == (1 + 2.0**-12, torch.float32)


def test_what_models_return_is_raised():
    half = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    seen = []
    full_precision(lambda *args, **named: seen.extend([*args, *named.values()]))(
        [half], (half, "x"), other=half
    )
    (listed,), (paired, text), named = seen
    assert {listed.dtype, paired.dtype, named.dtype} == {torch.float32}
    assert (text, listed.requires_grad) == ("x", True)


def test_double_precision_stays():
    wide = torch.ones(1, 2, dtype=torch.float64)
    assert product(wide, wide).dtype == torch.float64

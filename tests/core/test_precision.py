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

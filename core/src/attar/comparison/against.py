"""The rows of a size beside each other: what a method adds to what nothing was learned for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from attar.comparison.networks import Networks
from attar.comparison.results import Row
from attar.differences import differences
from attar.evaluation_jobs import right_of

__all__ = ["compared"]


def _runs(row: Row, networks: Networks) -> Tensor:
    if row.kind == "baseline":
        return right_of([networks.rows[(row.kind, row.method, *([row.space] if row.space else []))]])
    return right_of([found for key, found in networks.rows.items() if key[:2] == ("set", row.method)])


def compared(rows: Sequence[Row], networks: Networks) -> list[Row]:
    """Return the rows of a size, those of methods with how much they differ from the others.

    Args:
        rows: Rows of one size; that of the whole data is left alone.
        networks: Their networks.
    """
    able = [row for row in rows if row.accuracy is not None and row.ipc is not None and row.labels == "hard"]
    groups = {row.method: _runs(row, networks) for row in able}
    ours = [row.method for row in able if row.kind != "baseline"]
    found = differences(groups, ours, [row.method for row in able if row.kind != "distilled"])
    return [row.model_copy(update={"against": found.get(row.method, {})}) for row in rows]

"""A picture of samples that cannot be looked at: how alike they are."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["likeness", "likeness_picture"]

_MOST = 200
_LONGEST = 18


def likeness(values: Tensor) -> Tensor:
    """Return the cosine between samples, ``(n, n)``; of rows of tokens, between their means."""
    vectors = values.mean(1) if values.ndim == 3 else values.flatten(1)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    return unit @ unit.T


def likeness_picture(values: Tensor, labels: Sequence[int], classes: Sequence[str]) -> bytes:
    """Draw how alike samples are, class by class; of more than 200, the first of each class.

    Args:
        values: Preprocessed samples ``(n, *feature)``.
        labels: Class of each.
        classes: Names of the classes.

    Returns:
        A PNG file.
    """
    # Drawing on a figure of its own, not through pyplot, needs no display and keeps no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = _order(labels)
    shown = likeness(values[order]).numpy()
    figure = Figure(figsize=(4.2, 3.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="cosine of two samples", shrink=0.9)
    own = [labels[row] for row in order]
    starts = [row for row in range(len(own)) if row == 0 or own[row] != own[row - 1]]
    ends = [*starts[1:], len(own)]
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [_short(classes[own[start]]) for start in starts]
    axes.set_yticks(middles)
    # A class name is shown, not read: a "$" in it is no formula.
    axes.set_yticklabels(names, fontsize=8, parse_math=False)
    axes.set_xticks([])
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="black", linewidth=0.4)
        axes.axvline(start - 0.5, color="black", linewidth=0.4)
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _order(labels: Sequence[int]) -> list[int]:
    """Return the samples that are drawn, class by class."""
    present = sorted(set(labels))
    each = max(1, _MOST // max(1, len(present)))
    return [
        row
        for label in present[:_MOST]
        for row in [index for index, owner in enumerate(labels) if owner == label][:each]
    ]


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"

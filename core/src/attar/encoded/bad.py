"""Samples that cannot be read: all of them named at once, or left out and said to be."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from attar.encoded.source import EncodedSource
from attar.errors import UsageError
from attar.settings import Settings

__all__ = ["Bad", "BadOptions", "OnBad", "about_bad", "leave_out", "reason", "refuse"]

logger = logging.getLogger(__name__)

OnBad: TypeAlias = Literal["error", "skip"]
"""What happens where samples cannot be read."""

_MOST_NAMED, _MOST_SAID, _MOST_KEPT = 20, 5, 1000


class BadOptions(Settings):
    """What happens where files, or cells of a table, cannot be read.

    Attributes:
        bad: ``error`` names them all and ends; ``skip`` leaves them out, says so, and lists them
            in the artifact.
    """

    bad: OnBad = "error"


@dataclass(frozen=True)
class Bad:
    """A sample that cannot be read.

    Attributes:
        row: Its row in the source.
        wrong: A sentence that names it and says what is wrong, without what to do about it.
    """

    row: int
    wrong: str


def reason(error: UsageError) -> str:
    """Return what is wrong with a sample without what to do about it, which stands behind the semicolon."""
    told = str(error)
    return told.rpartition("; ")[0] or told


def refuse(bad: Sequence[Bad], noun: str) -> None:
    """Refuse samples that cannot be read, if there are any.

    Raises:
        UsageError: Naming them all, or the first of very many.
    """
    if not bad:
        return
    what = f"such {noun}s" if len(bad) > 1 else "it"
    advice = f"remove or repair {what}, or leave {what} out with --set data.bad=skip (bad='skip' in Python)"
    told = bad[0].wrong if len(bad) == 1 else f"{len(bad):,} {noun}s are bad: {_listed(bad, _MOST_NAMED)}"
    raise UsageError(f"{told}; {advice}")


def _listed(bad: Sequence[Bad], most: int) -> str:
    more = f", and {len(bad) - most:,} more" if len(bad) > most else ""
    return ", ".join(each.wrong for each in bad[:most]) + more


def leave_out(bad: Sequence[Bad], source: EncodedSource, noun: str, *, training: bool) -> tuple[str, ...]:
    """Say which samples are left out, and return their names.

    Raises:
        UsageError: If none is left, or a class of training samples has none left.
    """
    if not bad:
        return ()
    rows = [each.row for each in bad]
    left = source.labels.clone()
    left[rows] = -1
    if not bool((left >= 0).any()):
        raise UsageError(
            f"none of {len(source):,} {noun}s can be read: {_listed(bad, _MOST_SAID)}; repair them"
        )
    lost = sorted({int(source.labels[row]) for row in rows} - set(left.tolist()))
    if training and lost:
        raise UsageError(
            f"no {noun} of the class {source.classes[lost[0]]!r} can be read, so that leaving out bad ones "
            f"leaves none; repair some, or remove the class"
        )
    logger.warning(
        "%s of %s %ss cannot be read and are left out: %s",
        f"{len(bad):,}",
        f"{len(source):,}",
        noun,
        _listed(bad, _MOST_SAID),
    )
    return tuple(source.name(row) or f"row {row}" for row in rows)


def about_bad(skipped: Sequence[str]) -> Mapping[str, Any]:
    """Return what an artifact says of samples that were left out: their number and names; {} for none.

    Of very many, the first thousand are named.
    """
    if not skipped:
        return {}
    return {"skipped": {"samples": len(skipped), "names": list(skipped[:_MOST_KEPT])}}

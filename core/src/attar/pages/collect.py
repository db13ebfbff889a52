"""From folders to a page: who knows what stands in each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attar.artifact.store import RECIPE
from attar.errors import PluginError, UsageError
from attar.pages.blocks import Part
from attar.pages.comparisons import RESULT, comparison_part
from attar.pages.overview import overview_part
from attar.pages.samples import Beside
from attar.pages.sets import ReadSet, read_set, set_part
from attar.plugins import Pages
from attar.recipe import read_toml
from attar.registry import Registry

__all__ = ["parts_of", "recipe_keys"]


def recipe_keys(run: Path) -> frozenset[str]:
    """Return the names at the top of a run's recipe, by which applications know their own runs.

    Args:
        run: Its folder; one without a recipe that can be read has no names.
    """
    try:
        return frozenset(read_toml(run / RECIPE))
    except UsageError:
        return frozenset()


def _of_application(run: Path, registry: Registry) -> Part | None:
    """Return what the application whose run it is says of it; None if it is none's."""
    for name in registry.names("applications"):
        try:
            application = registry.get("applications", name)
        except PluginError:
            # A broken one is told of by 'attar plugins', and is in nobody's way here.
            continue
        part = application.part(run) if isinstance(application, Pages) else None
        if part is not None:
            return part
    return None


def parts_of(runs: Sequence[Path], registry: Registry, beside: Beside | None = None) -> list[Part]:
    """Return what a page says of runs: of sets, comparisons, and runs of applications.

    Args:
        runs: Their folders; of a set, also its artifact's.
        registry: The plugins known.
        beside: What the samples of sets are shown beside, if anything.

    Raises:
        UsageError: If there is no such folder, or it is damaged.
    """
    parts: list[Part] = []
    sets: list[ReadSet] = []
    for run in runs:
        if not run.exists():
            raise UsageError(f"there is no folder {str(run)!r}; give the folder of a run or of an artifact")
        if (run / RESULT).is_file():
            parts.append(comparison_part(run, registry))
            continue
        own = _of_application(run, registry)
        if own is None:
            sets.append(read_set(run, registry))
            own = set_part(sets[-1], registry, beside)
        parts.append(own)
    return [overview_part(sets), *parts] if len(sets) > 1 else parts

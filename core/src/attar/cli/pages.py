"""``attar report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.artifact import load
from attar.artifact.store import fetched
from attar.cli import tables
from attar.cli.work import Source, data_of, options_of
from attar.errors import UsageError
from attar.files import write_file
from attar.pages import Beside, parts_of, render_page
from attar.registry import Registry
from attar.settings import Record

__all__ = ["PageWritten", "RealData", "write"]


class PageWritten(Record):
    """What ``attar report --json`` prints.

    Attributes:
        page: The file.
        bytes: Its size.
        parts: What stands in it.
    """

    page: str
    bytes: int
    parts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RealData:
    """The real data that samples are shown beside.

    Attributes:
        data: Their name or path; None to name no neighbors.
        root: Folder of known data.
        nearest: Real samples that are named for each.
        changes: Settings of the data.
    """

    data: str | None
    root: Path | None
    nearest: int
    changes: Mapping[str, str]

    def beside(self, runs: Sequence[Path], registry: Registry, show: bool) -> Beside | None:
        """Return what samples are shown beside; None where nothing was asked for.

        Raises:
            UsageError: If they are named for several runs, are missing or do not fit.
        """
        odd = next((key for key in self.changes if not key.startswith("data.")), None)
        if odd is not None:
            raise UsageError(f"unknown setting {odd!r}: a page is written with settings 'data.…' of its data")
        if self.data is None and not self.changes:
            return None
        if len(runs) > 1:
            raise UsageError("samples are shown beside data of one set; name one run, or leave out --data")
        resolved = data_of(load(runs[0], registry=registry), registry, options_of(self.changes))
        source = Source(data=self.data, root=self.root, download=False, cache="auto")
        task = None if self.data is None else source.load(resolved, show)
        return Beside(task=task, nearest=self.nearest, options=resolved.recipe.data.options)


def write(
    runs: Sequence[str],
    *,
    out: Path,
    title: str,
    real: RealData,
    force: bool,
    show: bool,
    as_json: bool,
) -> int:
    """Write a page about runs and say where it is."""
    if out.is_dir():
        raise UsageError(f"{str(out)!r} is a folder; name a file, such as {str(out / 'report.html')!r}")
    if out.exists() and not force:
        raise UsageError(f"the file {str(out)!r} exists; choose another --out or replace it with --force")
    registry = Registry()
    places = [fetched(run) for run in runs]
    parts = parts_of(places, registry, real.beside(places, registry, show))
    several = f"{len(places)} runs of Attar"
    page = render_page(parts, title or (parts[0].title if len(parts) == 1 else several)).encode("utf-8")
    write_file(out, page)
    written = PageWritten(page=str(out), bytes=len(page), parts=tuple(part.title for part in parts))
    if as_json:
        tables.print_json(written)
    else:
        tables.print_pairs(
            {"page": written.page, "bytes": f"{written.bytes:,}", "about": "; ".join(written.parts)}
        )
    return 0

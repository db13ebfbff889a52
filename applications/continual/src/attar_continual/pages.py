"""What a page of ``attar report`` says of a continual run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attar.errors import UsageError
from attar.files import read_json
from attar.pages import Block, Code, Facts, Part, Picture, Section, Table, Told, percent, recipe_keys
from attar.plots import svg_of
from attar.settings import parse

from attar_continual.plots import curves_plot, forgetting_plot
from attar_continual.results import ContinualResult, MethodResult

__all__ = ["continual_part"]

_RESULT = "result.json"
_RECIPE = "recipe.toml"
_UPPER, _LOWER = "joint", "naive"


def continual_part(run: Path) -> Part | None:
    """Return what a page says of a run; None for a folder that holds no continual run.

    Raises:
        UsageError: If it is not finished, or damaged.
    """
    if "experiences" not in recipe_keys(run):
        return None
    if not (run / _RESULT).is_file():
        raise UsageError(f"the continual run {str(run)!r} is not finished; continue it with --resume")
    result = parse(ContinualResult, read_json(run / _RESULT), _RESULT)
    orders = f"{len(result.seeds)} streams" if len(result.seeds) > 1 else "one stream"
    lede = (
        f"Networks of {result.architecture} that learn {result.data} experience by experience "
        f"({result.stream}), with a memory of {result.memory}; {orders}, each in another order."
    )
    sections = [
        Section("At a glance", tuple(_glance(result))),
        Section("Equal count", (_table("Memories of as many samples", result.methods), *_pictures(result))),
    ]
    if result.equal_bytes:
        said = Told("Real samples in their cheapest lossless form, as many as fit into the distilled memory.")
        table = _table("Real samples of as many bytes as the distilled", result.equal_bytes)
        sections.append(Section("Equal bytes", (said, table)))
    recipe = (run / _RECIPE).read_text("utf-8")
    again = Code(
        "attar continual run --recipe recipe.toml --out again", "Make it again, from the recipe below"
    )
    sections.append(Section("Repeating it", (again, Code(recipe, _RECIPE, folded=True))))
    kind = f"continual learning, {result.modality}"
    return Part(f"{result.data}: {run.resolve().name}", kind, lede, tuple(sections))


def _glance(result: ContinualResult) -> list[Block]:
    values: dict[str, str] = {}
    distilled = {name: each for name, each in result.methods.items() if name.startswith("distilled")}
    real = {name: each for name, each in result.methods.items() if name not in distilled and each.memory}
    for found, said in ((distilled, "distilled memory"), (real, "real samples")):
        if found:
            name = max(found, key=lambda name: _held(found[name]))
            values[f"best of {said}: {name}"] = percent(found[name].final)
    for name, said in ((_LOWER, "no memory"), (_UPPER, "all data at once")):
        if name in result.methods:
            values[f"{said}: {name}"] = percent(result.methods[name].final)
    text = (
        "Accuracy on all test data after the last experience. The best is that on held-out data where there "
        "are such."
    )
    return [Facts(values, large=True), Told(text)]


def _held(each: MethodResult) -> float:
    return (each.validation or each.final).mean


def _table(caption: str, methods: Mapping[str, MethodResult]) -> Table:
    columns = (
        "method",
        "final, %",
        "average, %",
        "forgetting, points",
        "samples",
        "bytes",
        "CPU s",
        "of these distilling",
    )
    rows = tuple(
        (
            name,
            str(each.final),
            str(each.average),
            str(each.forgetting),
            f"{each.memory:,}" if each.memory else "",
            f"{each.bytes:,}" if each.bytes else "",
            f"{each.cpu:,.0f}",
            f"{100 * each.distilling:.0f} %" if each.distilling else "",
        )
        for name, each in methods.items()
    )
    made = tuple(name for name in methods if name.startswith("distilled"))
    return Table(caption, columns, rows, made=made)


def _pictures(result: ContinualResult) -> tuple[Picture, ...]:
    return (
        Picture(
            curves_plot(result, svg_of),
            alt="Accuracy on what was learned so far after each experience, for each method",
            caption="Accuracy on what was learned so far",
        ),
        Picture(
            forgetting_plot(result, svg_of),
            alt="Final and average accuracy and forgetting of each method; the table has the same figures",
        ),
    )

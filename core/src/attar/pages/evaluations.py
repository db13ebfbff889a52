"""What a page says of an evaluation: figures with baselines and error bars, and what they mean."""

from __future__ import annotations

from attar.pages.blocks import Block, Facts, Picture, Section, Table, Told
from attar.plots import ComparedLine, comparison_plot, confusion_plot, scores_plot, svg_of
from attar.reports import Report, Score

__all__ = ["accuracy_section", "classes_section", "headline", "percent", "verdict"]

_WHOLE = "whole"
_FEW_CLASSES = 20


def _best(report: Report) -> str | None:
    """Return the baseline that is hardest to beat: the one that the set is least ahead of."""
    if report.against:
        return min(report.against, key=lambda name: report.against[name].mean)
    real = [name for name in report.baselines if name != _WHOLE]
    return max(real, key=lambda name: report.baselines[name].mean, default=None)


def percent(score: Score) -> str:
    """Return an accuracy with its unit, which stay on one line."""
    return f"{score} %".replace(" ", "\N{NO-BREAK SPACE}")


def headline(report: Report) -> Facts:
    """Return the figures that are to be seen first."""
    values = {"test accuracy of networks trained on it": percent(report.accuracy)}
    best = _best(report)
    if best is not None:
        values[f"as many real samples ({best})"] = percent(report.baselines[best])
    if _WHOLE in report.baselines:
        values["all real samples"] = percent(report.baselines[_WHOLE])
    values["samples"] = f"{report.samples:,}"
    values["bytes"] = f"{report.bytes:,}"
    values["CPU seconds to make"] = f"{report.seconds.cpu / report.n_sets:,.0f}"
    return Facts(values, large=True)


def verdict(report: Report) -> list[Block]:
    """Return what the figures say of whether the set is worth its making."""
    said: list[Block] = []
    best = _best(report)
    if best is None:
        said.append(
            Told(
                "It was not evaluated beside as many real samples: nothing says whether it is worth making.",
                True,
            )
        )
    elif not report.against:
        said.append(
            Told(
                "Its labels are learned, which real samples do not have, so that its accuracy is not set off "
                "against theirs."
            )
        )
    else:
        found = report.against[best]
        interval = f"{found.low:+.1f} to {found.high:+.1f} with 95 % confidence"
        apart = f"{found.mean:+.1f} points beside {best} ({interval})"
        if found.low > 0:
            text = (
                f"It is better than as many real samples: {apart}, the best of those for which nothing is "
                f"learned."
            )
        elif found.high < 0:
            text = f"As many real samples are better: {apart}. Take those that {best} chooses."
        else:
            text = f"It cannot be told from as many real samples: {apart}."
        said.append(Told(text, found.low <= 0))
    if report.n_sets < 3:
        made = "one set was" if report.n_sets == 1 else "two sets were"
        said.append(Told(f"Only {made} made and evaluated; how much another seed would change is not known."))
    if report.data_changed:
        said.append(
            Told(
                "The evaluation was on other data than the set was made of: their fingerprints differ.", True
            )
        )
    return said


def _cells(name: str, samples: int, score: Score, report: Report) -> tuple[str, ...]:
    detail = report.details.get(name)
    apart = report.against.get(name)
    return (
        name,
        f"{samples:,}",
        str(score),
        str(score.n),
        "" if apart is None else str(apart),
        "" if detail is None or detail.space is None else detail.space,
    )


def accuracy_section(report: Report) -> Section:
    """Return the accuracy beside the baselines', as a plot and as a table, and by other architectures."""
    made = f"{report.method} (this set)"
    scores = {made: report.accuracy, **report.baselines}
    title = f"{report.data}, {report.architecture}, protocol {report.protocol.name}"
    columns = ("trained on", "samples", "test accuracy, %", "runs", "this set's lead, points", "features")
    rows = [_cells(made, report.samples, report.accuracy, report)]
    for name, score in report.baselines.items():
        detail = report.details.get(name)
        rows.append(_cells(name, report.samples if detail is None else detail.samples, score, report))
    blocks: list[Block] = [Told(f"{title}.")]
    if report.baselines:
        blocks.append(
            Picture(
                scores_plot(scores, made, svg_of),
                alt="Accuracies with their standard deviations; the table below has the same figures",
            )
        )
    blocks += [
        Table("Equal count: mean and standard deviation over runs", columns, tuple(rows), made=(made,)),
        Told(
            "A run is a pair of a set's seed and a network's seed. A lead is shown with the interval that "
            "holds it with 95 % confidence. Nothing was chosen by test data."
        ),
    ]
    if report.equal_bytes is not None:
        blocks += _equal_bytes(report, title)
    if report.architectures:
        cells = [(f"{report.architecture} (made for)", str(report.accuracy))]
        cells += [(name, str(score)) for name, score in report.architectures.items()]
        blocks.append(
            Table(
                "Networks of other architectures, trained on it",
                ("architecture", "accuracy, %"),
                tuple(cells),
            )
        )
    else:
        blocks.append(
            Told(
                "No other architecture was tried; 'attar evaluate' does it with --architecture. What is made "
                "for one network may serve another less."
            )
        )
    return Section("How well networks learn from it", tuple(blocks))


def _equal_bytes(report: Report, title: str) -> list[Block]:
    equal = report.equal_bytes
    if equal is None:
        return []
    rows = (
        ("this set", f"{report.samples:,}", f"{report.bytes:,}", str(report.accuracy)),
        ("random real samples", f"{equal.samples:,}", f"{equal.bytes:,}", str(equal.accuracy)),
    )
    caption = "Equal bytes, which is another question: real samples in their cheapest lossless form"
    # Random samples of the set's count, of its bytes, and all of them: what more bytes buy.
    each = equal.bytes / max(equal.samples, 1)
    real = {float(equal.bytes): equal.accuracy}
    for name in ("random", _WHOLE):
        if name in report.baselines and name in report.details:
            real[each * report.details[name].samples] = report.baselines[name]
    lines = (
        ComparedLine(report.method, ((report.bytes, report.accuracy),)),
        ComparedLine("random real samples", tuple(sorted(real.items())), made=False, style=1),
    )
    return [
        Table(caption, ("trained on", "samples", "bytes", "accuracy, %"), rows, made=("this set",)),
        Picture(
            comparison_plot(lines, "bytes of a set", title, report.baselines.get(_WHOLE), svg_of),
            alt="Accuracy against bytes; the tables have the same figures",
            caption="Accuracy against bytes",
        ),
    ]


def classes_section(report: Report, classes: tuple[str, ...]) -> Section | None:
    """Return the accuracy of each class, and what is taken for what; None where nothing is known."""
    blocks: list[Block] = []
    if report.per_class:
        rows = tuple((name, str(score)) for name, score in report.per_class.items())
        folded = len(rows) > _FEW_CLASSES
        blocks.append(Table("Test accuracy of each class, %", ("class", "accuracy, %"), rows, folded=folded))
    if report.confusion is not None:
        blocks.append(
            Picture(
                confusion_plot(report.confusion, classes, svg_of),
                alt="Confusion matrix: true classes down, answers across, in percent of each true class",
                caption="What is taken for what, in percent of each true class",
            )
        )
    return Section("Class by class", tuple(blocks)) if blocks else None

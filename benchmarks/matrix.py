"""Compare every method on data of every kind, and print one table of all.

    python benchmarks/matrix.py --out runs/matrix
    python benchmarks/matrix.py --out runs/real --data audio=DATA/fsdd --data graph=cora --root DATA

Each column is ``attar compare MODALITY --methods all --ipc 1``, whose command is printed; what is finished
in a folder is not done again. A cell is a test accuracy with its difference from random and from herded real
samples of the same count; where a method cannot be applied, a number leads to the reason.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attar.comparison import Comparison, Row
from attar.registry import Registry

PLAN = Path(__file__).with_name("matrix.toml")
QUICK = (
    "--ipc",
    "1",
    "--seeds",
    "2",
    "--set",
    "protocol.networks=2",
    "--baselines",
    "random,herding,k-center",
)


def command(modality: str, plan: Mapping[str, Any], given: argparse.Namespace) -> list[str]:
    """Return what compares all methods on data of a kind."""
    data = dict(each.split("=", 1) for each in given.data).get(modality, str(plan["data"]))
    words = ["compare", modality, "--data", data, "--methods", given.methods, *QUICK]
    words += ["--steps", str(given.steps or plan["steps"]), "--no-equal-bytes"]
    model = dict(each.split("=", 1) for each in given.model).get(modality, str(plan.get("model", "")))
    words += ["--model", model] if model and model != "auto" else []
    words += ["--root", given.root] if given.root else []
    own = [each.split(":", 1)[1] for each in given.set if each.startswith(f"{modality}:")]
    words += [word for each in (*plan.get("set", ()), *own) for word in ("--set", each)]
    return [*words, "--workers", str(given.workers), "--out", str(given.out / modality)]


def cell(row: Row, rows: Sequence[Row], data: str, reasons: list[str]) -> str:
    """Return what a table says of a method on data of one kind."""
    if row.accuracy is None:
        # Without names, so that methods that lack the same have the same reason.
        problem = row.problem.replace(f"the method {row.method!r}", "the method").replace(
            repr(row.method), "it"
        )
        problem = problem.replace(f"those of {data!r}", "these").replace(repr(data), "the data")
        reason = problem.partition("; choose")[0]
        if reason not in reasons:
            reasons.append(reason)
        return f"– [{reasons.index(reason) + 1}]"
    real = {each.method: each.accuracy.mean for each in rows if each.kind == "baseline" and each.accuracy}
    apart = ", ".join(
        f"{row.accuracy.mean - real[name]:+.1f}" for name in ("random", "herding") if name in real
    )
    learned = "" if row.labels == "hard" else " *"
    return f"{row.accuracy.mean:.1f}{learned} ({apart})"


def table(found: Mapping[str, Comparison]) -> str:
    """Return all comparisons as one table in Markdown."""
    sized = {name: [row for row in each.rows if row.ipc == 1] for name, each in found.items()}
    names = sorted({row.method for rows in sized.values() for row in rows if row.kind != "baseline"})
    reasons: list[str] = []
    lines = [
        ["method", *(f"{name}: {each.data}" for name, each in found.items())],
        ["---", *["---:"] * len(found)],
    ]
    for kind in ("random", "herding"):
        own = [next((str(row.accuracy) for row in rows if row.method == kind), "") for rows in sized.values()]
        lines.append([f"*{kind}*", *own])
    for name in names:
        cells = []
        for modality, rows in sized.items():
            row = next((row for row in rows if row.method == name), None)
            cells.append("" if row is None else cell(row, rows, found[modality].data, reasons))
        lines.append([f"`{name}`", *cells])
    said = "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{said}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/matrix"))
    parser.add_argument(
        "--only", action="append", default=[], help="a modality; default: all that are installed"
    )
    parser.add_argument("--data", action="append", default=[], metavar="MODALITY=DATA")
    parser.add_argument(
        "--model", action="append", default=[], metavar="MODALITY=MODEL", help="auto: the data's"
    )
    parser.add_argument("--set", action="append", default=[], metavar="MODALITY:KEY=VALUE")
    parser.add_argument("--methods", default="all")
    parser.add_argument("--steps", type=int, default=0, help="of every method; default: as in matrix.toml")
    parser.add_argument("--root")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    plans = tomllib.loads(PLAN.read_text("utf-8"))
    installed = Registry().names("modalities")
    found = {}
    for modality in given.only or [name for name in plans if name in installed]:
        words = command(modality, plans[modality], given)
        print("attar", shlex.join(words), flush=True)
        code = "from attar.cli import main; main()"
        subprocess.run([sys.executable, "-c", code, *words, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        text = (given.out / modality / "comparison.json").read_text("utf-8")
        found[modality] = Comparison.model_validate_json(text)
    print()
    print(table(found))


if __name__ == "__main__":
    main()

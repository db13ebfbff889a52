"""What benchmarks share: what is distilled, and how the sets are evaluated."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import attar
from attar.contracts import Task
from attar.protocols import Protocol


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark of a method is told."""
    found = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    found.add_argument("--modality", default="tensor")
    found.add_argument("--data", required=True)
    found.add_argument("--root")
    found.add_argument("--method", default="dm")
    found.add_argument("--ipc", type=int, default=1)
    found.add_argument("--seeds", type=int, default=1, help="sets of each row")
    found.add_argument("--networks", type=int, default=3, help="networks trained on a set")
    found.add_argument("--protocol", default="", help="how they are trained; default: as the data's")
    found.add_argument("--model", default="", help="what is trained, such as convnet,width=64")
    return found


def task(arguments: argparse.Namespace, options: dict[str, str] | None = None) -> Task:
    """Return the data with the options of a trial."""
    return attar.task(arguments.modality, data=arguments.data, root=arguments.root, **(options or {}))


def sets(arguments: argparse.Namespace, data: Task, settings: dict[str, Any]) -> list[attar.Artifact]:
    """Return as many distilled sets as were asked for."""
    return [
        attar.distill(data, method=arguments.method, ipc=arguments.ipc, seed=seed, **settings)
        for seed in range(arguments.seeds)
    ]


def report(arguments: argparse.Namespace, data: Task, made: Sequence[attar.Artifact]) -> attar.Report:
    """Return what networks trained on the sets reach."""
    chosen: Protocol = attar.protocol(arguments.protocol, {"networks": arguments.networks}, data.protocols)
    model = {"model": arguments.model} if arguments.model else {}
    return attar.evaluate(made, data, protocol=chosen, baselines=(), workers=1, **model)

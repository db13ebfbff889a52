"""Measure what one client of ten with wrong labels or noise for samples does, with and without judging.

    python benchmarks/federated_attacks.py --root DATA --attack flip --attack noise

MNIST, one-shot, Dirichlet shares; the client is the one with most samples. It distills like the others,
from labels that are turned around (``9 - y``) or from noise under its own labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import attar
import torch
from attar.tensor import TensorTask
from attar.tensor.items import ArrayItems, RelabeledItems
from attar_federated.flower import client_app
from attar_federated.grid import InProcessGrid
from attar_federated.partitions import partition
from attar_federated.server import ServerOptions, serve
from attar_federated.settings import FederatedRecipe


def flipped(task: TensorTask) -> TensorTask:
    """Return the samples with labels turned around."""
    n = len(task.classes)
    return replace(task, train=RelabeledItems(task.train, torch.arange(n - 1, -1, -1)))


def noise(task: TensorTask) -> TensorTask:
    """Return noise under the labels of the samples."""
    gen = torch.Generator().manual_seed(0)
    like = task.train.read(torch.arange(len(task.labels)))
    values = torch.randint(0, 256, like.shape, generator=gen, dtype=torch.uint8)
    return replace(task, train=ArrayItems(values.numpy(), task.labels.numpy(), "noise"))


ATTACKS: Mapping[str, Callable[[TensorTask], TensorTask]] = {
    "none": lambda task: task,
    "flip": flipped,
    "noise": noise,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--attack", action="append", choices=sorted(ATTACKS))
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--ipc", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="convnet,width=32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    task: Any = attar.task("image", data="mnist", root=given.root)
    text = f"dirichlet,alpha={given.alpha}"
    shares: Any = partition(task, text, 10, given.seed)
    worst = max(range(10), key=lambda number: len(shares[number].labels))
    for name in given.attack or sorted(ATTACKS):
        tasks = [ATTACKS[name](each) if number == worst else each for number, each in enumerate(shares)]
        app = client_app(lambda node, run, own=tasks: (own[node["partition-id"]], node["partition-id"]))
        for robust in (None, {}):
            recipe = FederatedRecipe.model_validate(
                {
                    "data": {"modality": "image", "name": "mnist"},
                    "partition": text,
                    "size": {"ipc": given.ipc},
                    "objective": {"steps": given.steps},
                    "model": given.model,
                    "wire": "uint8",
                    "robust": robust,
                    "run": {"seed": given.seed},
                }
            )
            found = serve(InProcessGrid(app, 10), recipe, task, ServerOptions(wait=1.0)).result
            dropped = [{"client": one.client - 1, "reason": one.reason} for one in found.dropped]
            line = {
                "attack": name,
                "client": worst,
                "samples": len(shares[worst].labels),
                "robust": robust is not None,
                "accuracy": found.accuracy.mean,
                "validation": None if found.validation is None else found.validation.mean,
                "dropped": dropped,
                "seconds": found.seconds,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

"""``attar train``: a network from a set, without the real data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from attar.allocator import keep_memory
from attar.artifact import Artifact, load
from attar.cli import tables
from attar.errors import UsageError
from attar.protocols import Protocol, changed, protocol
from attar.registry import Registry
from attar.settings import Record
from attar.trained import train as train_on

__all__ = ["TrainResult", "train"]


class TrainResult(Record):
    """What ``attar train --json`` prints.

    Attributes:
        model: The file of the network.
        architecture: Name and settings of its architecture.
        parameters: Number of its weights.
        bytes: Bytes of the file.
        protocol: Name of how it was trained.
        epochs: Passes over the set.
        loss: Mean training loss of the last pass.
        cpu: CPU seconds.
        wall: Wall seconds.
    """

    model: str
    architecture: str
    parameters: int
    bytes: int
    protocol: str
    epochs: int
    loss: float
    cpu: float
    wall: float


def _how(artifact: Artifact, name: str | None, changes: Mapping[str, str], registry: Registry) -> Protocol:
    odd = [key for key in changes if not key.startswith("protocol.")]
    if odd:
        raise UsageError(f"unknown setting {odd[0]!r}: training on a set has settings 'protocol.…'")
    given = {key.removeprefix("protocol."): value for key, value in changes.items()}
    if name is None:
        return changed(artifact.manifest.protocol, given)
    return protocol(name, given, artifact.domain(registry).protocols)


def train(
    run: str,
    *,
    out: Path,
    model: str | None,
    protocol_name: str | None,
    seed: int,
    changes: Mapping[str, str],
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a network on a set and write it."""
    keep_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    if out.suffix != ".safetensors":
        raise UsageError(f"{str(out)!r} is no name of a network; end it with .safetensors")
    if out.exists() and not force:
        raise UsageError(f"the file {str(out)!r} exists; choose another --out, or replace it with --force")
    registry = Registry()
    artifact = load(run, registry=registry)
    trained = train_on(
        artifact,
        model or "",
        protocol=_how(artifact, protocol_name, changes, registry),
        seed=seed,
        device=device,
        registry=registry,
    )
    record = trained.record
    result = TrainResult(
        model=str(trained.save(out, force=force)),
        architecture=record.architecture,
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        bytes=out.stat().st_size,
        protocol=record.protocol.name,
        epochs=record.epochs,
        loss=record.loss,
        cpu=record.cost.cpu,
        wall=record.cost.wall,
    )
    if as_json:
        tables.print_json(result)
        return
    rows = {
        "network": f"{result.architecture}, {result.parameters:,} weights",
        "training": f"{result.protocol}: {result.epochs} epochs, loss {result.loss:.4g}",
        "cost": f"{result.cpu:,.0f} CPU seconds, {result.wall:,.0f} s",
        "file": f"{result.model} ({result.bytes:,} bytes)",
    }
    tables.print_pairs(rows)

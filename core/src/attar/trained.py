"""A network trained on a set: what a set is made for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from attar import protocols
from attar.architectures import adopt, check_network, runs_code
from attar.artifact import Artifact, DataRecord
from attar.batch import map_inputs
from attar.contracts import Domain
from attar.cost import Cost, Meter
from attar.devices import find_device
from attar.errors import DivergenceError, UsageError
from attar.files import write_file
from attar.registry import Registry
from attar.rng import derive
from attar.settings import Record, parse
from attar.training import BatchEpochs, fit

__all__ = ["ModelRecord", "Trained", "load_model", "train"]

_KEY = "attar"
_ROWS = 512


class ModelRecord(Record):
    """What the file of a trained network says of it.

    Attributes:
        schema_version: Version of the form of this record.
        data: The real data behind the set.
        set: SHA-256 of the set's tensors; "" where it was trained on no set, as by averaging.
        method: What made the set.
        architecture: Name and settings of the architecture.
        protocol: How it was trained.
        seed: Seed of its initialization, order and augmentation.
        epochs: Passes over the set.
        loss: Mean training loss of the last pass.
        cost: What the training took.
    """

    schema_version: Literal[1] = 1
    data: DataRecord
    set: str = Field(pattern="^([0-9a-f]{64})?$")
    method: str
    architecture: str
    protocol: protocols.Protocol
    seed: int
    epochs: int
    loss: float
    cost: Cost


@dataclass(frozen=True)
class Trained:
    """A network with what is needed to use it on new inputs.

    Attributes:
        model: The network, in evaluation mode.
        record: What it is.
        domain: How inputs are prepared.
    """

    model: nn.Module
    record: ModelRecord
    domain: Domain

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.record.data.classes

    def predict(self, raw: Any) -> Tensor:
        """Return the probability of each class for new inputs, float32 ``(n, classes)``.

        Args:
            raw: Inputs in natural units, as the modality takes them: for images Pillow images,
                paths, or pixels.

        Raises:
            UsageError: If they are no inputs of this kind.
        """
        inputs = self.domain.preprocess(raw)
        place = next(self.model.parameters(), torch.empty(0)).device
        with torch.no_grad():
            if isinstance(inputs, Tensor):
                parts = [self.model(part.to(place)) for part in inputs.split(_ROWS)]
                logits = torch.cat(parts) if parts else torch.empty(0, len(self.classes))
            else:
                logits = self.model(map_inputs(lambda part: part.to(place), inputs))
        return logits.softmax(1).cpu()

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write weights and record as one safetensors file, whole or not at all.

        Args:
            path: The file.
            force: Replace a file that is there.

        Raises:
            UsageError: If the file exists and is not to be replaced, or the disk refuses.
        """
        target = Path(path)
        if target.exists() and not force:
            raise UsageError(
                f"the file {str(target)!r} exists; choose another, or replace it with --force (force=True in "
                f"Python)"
            )
        # Tied weights share memory, which the format does not allow.
        tensors = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        header = {_KEY: json.dumps(self.record.model_dump(mode="json"), sort_keys=True, allow_nan=False)}
        write_file(target, save({name: value.contiguous() for name, value in tensors.items()}, header))
        return target


def train(
    artifact: Artifact,
    model: str | Callable[..., nn.Module] = "",
    *,
    protocol: str | protocols.Protocol | None = None,
    seed: int = 0,
    device: str = "auto",
    registry: Registry | None = None,
) -> Trained:
    """Train a network on a set, without the real data.

    Args:
        artifact: The set.
        model: Text of an architecture, or a function called as ``model(feature, classes)`` that
            returns a fresh network; by default what the set was distilled on.
        protocol: How, by name or value; by default as the artifact says. Seeds alike, the network
            is the one that an evaluation trains.
        seed: Seed of initialization, order and augmentation.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:0``, ``mps``.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If the architecture is unknown, does not fit, or would run code that nobody
            named, or training diverges.

    Example:
        >>> import attar
        >>> artifact = attar.distill(attar.task("tensor", data="iris"), method="means", ipc=1)
        >>> trained = attar.train(artifact, "linear")
        >>> trained.classes[int(trained.predict([[5.1, 3.5, 1.4, 0.2]]).argmax())]
        'setosa'
    """
    known = artifact.domain(registry)
    how = protocols.as_protocol(protocol or artifact.manifest.protocol, known.protocols)
    if how.select == "validation":
        raise UsageError(
            f"the protocol {how.name!r} chooses the epoch on held-out real data, which are not at hand here; "
            f"choose protocol.select=last"
        )
    domain, arch = adopt(known, model)
    arch = (
        arch
        or _trusted(artifact.manifest.method.model, domain, "the set was distilled on")
        or domain.architecture
    )
    place = find_device(device)
    meter = Meter()
    batch = artifact.decode()
    ends = batch.take(torch.tensor([0, len(batch) - 1])).inputs
    check_network(domain, arch, ends, len(artifact.manifest.data.classes))
    network = domain.build(arch, derive(seed, "evaluate", "network", 0)).to(place)
    fitted = fit(
        network,
        BatchEpochs(batch, artifact.syn.label_kind),
        how,
        derive(seed, "evaluate", "fit", 0),
        domain.augment,
        device=place,
    )
    if not math.isfinite(fitted.loss):
        raise DivergenceError(
            f"training diverged after {fitted.steps} steps; lower the step size protocol.optimizer.lr "
            f"(now: {how.optimizer.lr:g})"
        )
    record = ModelRecord(
        data=artifact.manifest.data,
        set=artifact.manifest.sha256,
        method=artifact.manifest.method.name,
        architecture=arch,
        protocol=how,
        seed=seed,
        epochs=fitted.epochs,
        loss=fitted.loss,
        cost=meter.read(),
    )
    return Trained(model=network.eval(), record=record, domain=domain)


def _trusted(arch: str, domain: Domain, where: str) -> str:
    """Return an architecture that a file names, unless building it would run code."""
    if runs_code(arch, domain.architectures):
        raise UsageError(
            f"{where} {arch!r}, which is code and no registered architecture; if you trust that code, name "
            f"it yourself as the model, or choose another"
        )
    return arch


def load_model(
    path: str | Path, model: str | Callable[..., nn.Module] = "", *, registry: Registry | None = None
) -> Trained:
    """Read a trained network that :meth:`Trained.save` wrote.

    Args:
        path: The file.
        model: Text or function of the architecture, for code that the file only names: no file
            makes Attar run code.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If the file is missing, damaged, no trained network, or does not fit the model.
    """
    source = Path(path)
    if not source.is_file():
        raise UsageError(f"there is no file {str(path)!r}; give what 'attar train --out' wrote")
    try:
        with safe_open(source, framework="pt") as file:
            header = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise UsageError(f"{source.name} is damaged ({error}); restore it from where it came") from error
    if header is None:
        raise UsageError(
            f"{source.name} does not say what network it holds; give what 'attar train --out' wrote"
        )
    try:
        content = json.loads(header)
    except ValueError as error:
        raise UsageError(f"{source.name} is damaged ({error}); restore it from where it came") from error
    record = parse(ModelRecord, content, source.name)
    modality = (registry or Registry()).get("modalities", record.data.modality)
    domain, arch = adopt(modality.domain(record.data.info), model)
    arch = arch or _trusted(record.architecture, domain, f"{source.name} holds")
    network = domain.build(arch, derive(record.seed, "evaluate", "network", 0))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UsageError(
            f"the weights in {source.name} do not fit the model {arch!r}; name the model that was trained"
        ) from error
    return Trained(model=network.eval(), record=record, domain=domain)

"""What a client sent is checked before anything of it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from attar.batch import Batch, map_values
from attar.contracts import SyntheticSet, Task
from attar.errors import UsageError
from attar.plugins import Modality
from attar.unions import restore
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from attar_federated.records import Share, Wire, read_json
from attar_federated.wire import header, tensor_of

__all__ = ["Checked", "Expected", "checked_set", "checked_weights", "only", "record_of", "sender"]

_REAL = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
_WHOLE = (torch.uint8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Expected:
    """What an honest client's set looks like, known from a set that the server makes itself.

    Attributes:
        round: The round.
        wire: What real values are sent as.
        description: What rebuilds a set, beside its tensors.
        tensors: Type and largest shape of each tensor of a set of all classes.
        most: Stored samples of each class, at most.
        decoded: Samples that a set decodes to, at most.
        feature: Shape of a sample as models take it.
        bounds: Largest absolute value of each part of the inputs.
    """

    round: int
    wire: Wire
    description: Mapping[str, Any]
    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    most: tuple[int, ...]
    decoded: int
    feature: tuple[int, ...]
    bounds: tuple[float, ...]

    @classmethod
    def of(cls, syn: SyntheticSet, task: Task, round_: int, wire: Wire, *, slack: float) -> Expected:
        """Return what is expected where a client has all classes.

        Args:
            syn: A set that starts at samples of the server's own.
            task: The server's data.
            round_: The round.
            wire: What real values are sent as.
            slack: How much larger values may be than those of the server's samples.
        """
        with torch.no_grad():
            batch = syn.decode()
        most = torch.bincount(syn.labels, minlength=len(task.classes)).tolist()
        return cls(
            round=round_,
            wire=wire,
            description=json.loads(json.dumps(syn.description())),
            tensors={name: (each.dtype, tuple(each.shape)) for name, each in syn.stored().items()},
            most=tuple(most),
            decoded=len(batch),
            feature=tuple(task.feature),
            bounds=tuple(slack * _reach(part, place) for place, part in enumerate(_leaves(batch))),
        )


def _reach(part: Tensor, place: int) -> float:
    """Return how far the values of a part of the inputs reach; what joins samples may reach 1 at least."""
    largest = float(part.abs().max()) if part.numel() else 0.0
    return max(largest, 1.0 if place else 1e-6)


@dataclass(frozen=True)
class Checked:
    """A set that passed.

    Attributes:
        syn: The set.
        share: What its client says of it.
        digest: Hash of what was sent, which tells copies.
    """

    syn: SyntheticSet
    share: Share
    digest: str


def _leaves(batch: Batch) -> list[Tensor]:
    """Return the floating-point tensors of a batch's inputs."""
    found: list[Tensor] = []

    def note(part: Tensor) -> Tensor:
        found.append(part.detach())
        return part

    map_values(note, batch.inputs)
    return found


def sender(reply: Message, asked: Mapping[str, int]) -> int:
    """Return the node that a reply is from.

    An error that the SuperLink reports about a node names the SuperLink as its sender, so that
    the message that was replied to says whose it is.

    Args:
        reply: The reply.
        asked: The node that each message was sent to.
    """
    return asked.get(reply.metadata.reply_to_message_id, reply.metadata.src_node_id)


AnyRecord = TypeVar("AnyRecord", ArrayRecord, ConfigRecord, MetricRecord)


def record_of(content: RecordDict, name: str, kind: type[AnyRecord]) -> AnyRecord:
    """Return a record of what was sent.

    Raises:
        UsageError: If it is missing or of another kind.
    """
    if name not in content:
        raise UsageError(f"it lacks the record {name!r}")
    found = content[name]
    if not isinstance(found, kind):
        raise UsageError(f"its record {name!r} is a {type(found).__name__}")
    return found


def only(content: RecordDict, names: set[str]) -> None:
    """Refuse content that has other records than are expected.

    Raises:
        UsageError: Naming one that is strange.
    """
    strange = sorted(set(content) - names)
    if strange:
        raise UsageError(f"it has a record {strange[0][:60]!r} that nobody asked for")


def checked_set(content: RecordDict, expected: Expected, modality: Modality) -> Checked:
    """Return the set that a client sent.

    Args:
        content: What it sent, of which nothing was checked.
        expected: What an honest client would send.
        modality: What rebuilds the set.

    Raises:
        UsageError: Saying what is wrong.
    """
    only(content, {"set", "about"})
    arrays, about = record_of(content, "set", ArrayRecord), record_of(content, "about", ConfigRecord)
    if set(about) != {"share"}:
        raise UsageError(f"its description has the keys {sorted(about)[:4]}")
    share = read_json(Share, about["share"])
    if share.round != expected.round:
        raise UsageError(f"it answers round {share.round} and not {expected.round}")
    if share.set != dict(expected.description):
        raise UsageError("its set is stored in another way than was asked for")
    if len(share.counts) not in (0, len(expected.most)) or any(n < 0 for n in share.counts):
        raise UsageError("its counts are none of the classes")
    tensors = _tensors(arrays, share, expected)
    try:
        syn = restore(modality, share.set, tensors)
        with torch.no_grad():
            batch = syn.decode()
    except (UsageError, RuntimeError, IndexError, ValueError) as error:
        raise UsageError(f"its set cannot be rebuilt ({str(error).splitlines()[0][:200]})") from error
    _check_samples(syn, batch, expected)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + b"\0" + arrays[name].data)
    return Checked(syn=syn, share=share, digest=digest.hexdigest())


def _tensors(arrays: ArrayRecord, share: Share, expected: Expected) -> dict[str, Tensor]:
    """Return the tensors of a set, whose types and sizes were compared before they are read."""
    if set(arrays) != set(expected.tensors):
        odd = sorted(set(arrays) ^ set(expected.tensors))[0]
        raise UsageError(f"the array {odd[:60]!r} is {'strange' if odd in arrays else 'missing'}")
    rounded = {
        name
        for name, (dtype, _) in expected.tensors.items()
        if dtype.is_floating_point and expected.wire == "uint8"
    }
    if set(share.scales) != rounded:
        raise UsageError("its scales are not those of the arrays that were rounded")
    found = {}
    for name, (dtype, most) in expected.tensors.items():
        array = arrays[name]
        own, shape = header(array, name)
        allowed = (_REAL[expected.wire],) if dtype.is_floating_point else _WHOLE
        if getattr(torch, own.name, None) not in allowed:
            raise UsageError(f"the array {name!r} holds {own.name}")
        if len(shape) != len(most) or any(n > limit for n, limit in zip(shape, most, strict=True)):
            raise UsageError(f"the array {name!r} has the shape {shape}, larger than {most}")
        tensor = tensor_of(array, name, share.scales.get(name))
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UsageError(f"the array {name!r} holds NaN or infinite values")
        found[name] = tensor
    return found


def _check_samples(syn: SyntheticSet, batch: Batch, expected: Expected) -> None:
    labels, classes = syn.labels, len(expected.most)
    if not len(labels) or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UsageError("its labels are none of the classes")
    for label, (n, most) in enumerate(
        zip(torch.bincount(labels, minlength=classes).tolist(), expected.most, strict=True)
    ):
        if n > most:
            raise UsageError(f"it has {n} samples of class {label} where at most {most} were asked for")
    if len(batch) > expected.decoded:
        raise UsageError(f"it decodes to {len(batch)} samples, more than {expected.decoded}")
    parts = _leaves(batch)
    if len(parts) != len(expected.bounds):
        raise UsageError(f"its samples have {len(parts)} parts and not {len(expected.bounds)}")
    if tuple(parts[0].shape[1:]) != expected.feature:
        raise UsageError(f"its samples have the shape {tuple(parts[0].shape[1:])}, not {expected.feature}")
    for part, bound in zip(parts, expected.bounds, strict=True):
        if not bool(torch.isfinite(part).all()):
            raise UsageError("its samples hold NaN or infinite values")
        if part.numel() and float(part.abs().max()) > bound:
            raise UsageError(f"its samples reach {float(part.abs().max()):.3g}, beyond {bound:.3g}")
    if batch.targets is not None and not bool(torch.isfinite(batch.targets).all()):
        raise UsageError("its labels hold NaN or infinite values")


def checked_weights(
    content: RecordDict, like: Mapping[str, Tensor], wire: Wire, *, most: int
) -> tuple[dict[str, Tensor], int]:
    """Return the network that a client trained, and the samples that it was trained on.

    Args:
        content: What it sent, of which nothing was checked.
        like: The state of the global network.
        wire: What real values are sent as.
        most: Samples that a client may claim.

    Raises:
        UsageError: Saying what is wrong.
    """
    only(content, {"arrays", "metrics"})
    arrays, metrics = record_of(content, "arrays", ArrayRecord), record_of(content, "metrics", MetricRecord)
    examples = metrics.get("num-examples")
    if set(metrics) != {"num-examples"} or not isinstance(examples, int):
        raise UsageError("it does not say how many samples it was trained on")
    if not 1 <= examples <= most:
        raise UsageError(f"it claims to be trained on {examples:,} samples, where 1 to {most:,} can be")
    if set(arrays) != set(like):
        odd = sorted(set(arrays) ^ set(like))[0]
        raise UsageError(f"the array {odd[:60]!r} is {'strange' if odd in arrays else 'missing'}")
    found = {}
    for name, own in like.items():
        dtype, shape = header(arrays[name], name)
        wanted = _REAL[wire] if own.is_floating_point() else own.dtype
        if getattr(torch, dtype.name, None) != wanted or shape != tuple(own.shape):
            raise UsageError(
                f"the array {name!r} is {dtype.name} of shape {shape}, not {wanted} of {own.shape}"
            )
        tensor = tensor_of(arrays[name], name)
        if tensor.is_floating_point():
            tensor = tensor.to(torch.float32)
            if not bool(torch.isfinite(tensor).all()):
                raise UsageError(f"the array {name!r} holds NaN or infinite values")
        found[name] = tensor
    return found, examples

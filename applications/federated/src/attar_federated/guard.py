"""What a client sent is checked before anything of it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from attar.batch import Batch, map_values
from attar.contracts import SyntheticSet, Task
from attar.errors import UsageError
from attar.plugins import Modality
from attar.unions import restore
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from attar_federated.records import MOST, Share, Wire, read_json
from attar_federated.results import Dropped
from attar_federated.wire import header, tensor_of

__all__ = [
    "Checked",
    "Expected",
    "checked_set",
    "checked_weights",
    "only",
    "plain",
    "reaches_of",
    "received",
    "record_of",
    "sender",
]

_REAL = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
_WHOLE = (torch.uint8, torch.int16, torch.int32, torch.int64)
_MORE = 10
"""How many times the samples that can be the client of a set may tell of: under privacy they are noised, and
nothing is weighted by them."""


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
        targets: Largest absolute value of labels that are learned.
        samples: Samples that all clients may claim to have together.
    """

    round: int
    wire: Wire
    description: Mapping[str, Any]
    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    most: tuple[int, ...]
    decoded: int
    feature: tuple[int, ...]
    bounds: tuple[float, ...]
    targets: float
    samples: int

    @classmethod
    def of(
        cls, syn: SyntheticSet, task: Task, round_: int, wire: Wire, *, slack: float, samples: int
    ) -> Expected:
        """Return what is expected where a client has all classes.

        Args:
            syn: A set that starts at samples of the server's own.
            task: The server's data.
            round_: The round.
            wire: What real values are sent as.
            slack: How much larger values may be than those of the server's samples.
            samples: Samples that all clients may claim to have together.
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
            # What joins samples, and labels, may reach 1 at least.
            bounds=tuple(
                slack * max(_reach(part), 1.0 if place else 1e-6) for place, part in enumerate(_leaves(batch))
            ),
            targets=0.0 if batch.targets is None else slack * max(1.0, _reach(batch.targets)),
            samples=samples,
        )

    @property
    def longest(self) -> int:
        """Characters that what a client says of its set may have."""
        each = 64 * len(self.tensors) + 32 * len(self.most)
        return 2**14 + len(json.dumps(self.description)) + each


def _reach(part: Tensor) -> float:
    return float(part.abs().max()) if part.numel() else 0.0


def reaches_of(batch: Batch) -> list[float]:
    """Return the largest absolute value of each part of the inputs, and of the targets if there are any."""
    parts = [*_leaves(batch), *([] if batch.targets is None else [batch.targets.detach()])]
    return [_reach(part) for part in parts]


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


def plain(text: str, most: int = 300) -> str:
    """Return a text from elsewhere fit for a line of a log: escapes for what does not print, and cut."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


P = TypeVar("P")


def received(
    number: int,
    replies: Iterable[Message],
    asked: Mapping[str, int],
    check: Callable[[int, Message], P],
) -> tuple[dict[int, P], list[Dropped]]:
    """Return what passes of the replies of a round, by client, and the rest with the reasons.

    Nothing that a client sends ends a run: what is wrong in a way that no check foresaw is its
    sender's fault all the same.

    Args:
        number: The round.
        replies: The replies.
        asked: The node that each message was sent to.
        check: Returns what is used of a client's reply, or raises.
    """
    passed: dict[int, P] = {}
    dropped = []
    for reply in replies:
        client = sender(reply, asked)
        try:
            if reply.has_error():
                raise UsageError(f"it failed ({(reply.error.reason or 'no reason given')[:200]!r})")
            if client in passed:
                raise UsageError("it replied before in this round")
            passed[client] = check(client, reply)
        except UsageError as error:
            dropped.append(Dropped(round=number, client=client, reason=plain(str(error))))
        except Exception as error:
            reason = f"its reply cannot be read ({type(error).__name__}: {error})"
            dropped.append(Dropped(round=number, client=client, reason=plain(reason)))
    return passed, dropped


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
    only(content, {"set", "about", "metrics"})
    arrays, about = record_of(content, "set", ArrayRecord), record_of(content, "about", ConfigRecord)
    if set(about) != {"share"}:
        raise UsageError(f"its description has the keys {sorted(about)[:4]}")
    share = read_json(Share, about["share"], expected.longest)
    share = share.model_copy(update={"cpu": _seconds(record_of(content, "metrics", MetricRecord))})
    if share.round != expected.round:
        raise UsageError(f"it answers round {share.round} and not {expected.round}")
    if share.set != dict(expected.description):
        raise UsageError("its set is stored in another way than was asked for")
    if len(share.counts) not in (0, len(expected.most)):
        raise UsageError("its counts are none of the classes")
    if sum(share.counts) > _MORE * expected.samples:
        raise UsageError(f"it claims {sum(share.counts):,} samples, where {expected.samples:,} can be")
    tensors = _tensors(arrays, share, expected)
    try:
        syn = restore(modality, expected.description, tensors)
        with torch.no_grad():
            batch = syn.decode()
    except (UsageError, RuntimeError, IndexError, ValueError) as error:
        raise UsageError(f"its set cannot be rebuilt ({error})") from error
    _check_samples(syn, batch, expected)
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        # Of the values: the same may be sent in either order of bytes, or as wider numbers.
        wide = tensor.to(torch.float64 if tensor.is_floating_point() else torch.int64)
        digest.update(f"{name} {tuple(tensor.shape)}\0".encode() + wide.numpy().tobytes())
    return Checked(syn=syn, share=share, digest=digest.hexdigest())


def _seconds(metrics: MetricRecord) -> float:
    """Return the CPU seconds that a client says it took."""
    found = metrics.get("cpu")
    if set(metrics) != {"cpu"} or not isinstance(found, float) or not 0 <= found <= MOST:
        raise UsageError("it does not say how many CPU seconds it took")
    return found


def _same_names(arrays: ArrayRecord, names: Iterable[str]) -> None:
    odd = sorted(set(arrays) ^ set(names))
    if odd:
        raise UsageError(f"the array {odd[0][:60]!r} is {'strange' if odd[0] in arrays else 'missing'}")


def _checked_tensor(
    array: Array,
    name: str,
    allowed: Collection[torch.dtype],
    most: tuple[int, ...],
    scale: tuple[float, float] | None = None,
) -> Tensor:
    """Return a finite tensor that was sent; type and shape are compared before its values are read."""
    dtype, shape = header(array, name)
    if getattr(torch, dtype.name) not in allowed:
        raise UsageError(f"the array {name!r} holds {dtype.name}")
    if len(shape) != len(most) or any(n > limit for n, limit in zip(shape, most, strict=True)):
        raise UsageError(f"the array {name!r} has the shape {shape}, larger than {most}")
    tensor = tensor_of(array, name, scale)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise UsageError(f"the array {name!r} holds NaN or infinite values")
    return tensor


def _tensors(arrays: ArrayRecord, share: Share, expected: Expected) -> dict[str, Tensor]:
    """Return the tensors of a set."""
    _same_names(arrays, expected.tensors)
    rounded = {
        name
        for name, (dtype, _) in expected.tensors.items()
        if dtype.is_floating_point and expected.wire == "uint8"
    }
    if set(share.scales) != rounded:
        raise UsageError("its scales are not those of the arrays that were rounded")
    found = {}
    for name, (dtype, most) in expected.tensors.items():
        allowed = (_REAL[expected.wire],) if dtype.is_floating_point else _WHOLE
        found[name] = _checked_tensor(arrays[name], name, allowed, most, share.scales.get(name))
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
        if _reach(part) > bound:
            raise UsageError(f"its samples reach {_reach(part):.3g}, beyond {bound:.3g}")
    if batch.targets is not None:
        _check_targets(batch.targets, expected)


def _check_targets(targets: Tensor, expected: Expected) -> None:
    """Refuse learned labels that no honest client would come to."""
    if not bool(torch.isfinite(targets).all()):
        raise UsageError("its labels hold NaN or infinite values")
    reach = _reach(targets)
    if reach > expected.targets:
        raise UsageError(f"its labels reach {reach:.3g}, beyond {expected.targets:.3g}")


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
        raise UsageError(
            f"it claims to be trained on {examples:,} samples, where 1 to {most:,} can be (the server's, "
            f"claims=… or what it said at first)"
        )
    _same_names(arrays, like)
    found = {}
    for name, own in like.items():
        wanted = _REAL[wire] if own.is_floating_point() else own.dtype
        tensor = _checked_tensor(arrays[name], name, (wanted,), tuple(own.shape))
        if tensor.shape != own.shape:
            raise UsageError(
                f"the array {name!r} has the shape {tuple(tensor.shape)}, not {tuple(own.shape)}"
            )
        found[name] = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        _check_state(name, found[name], own)
    return found, examples


def _check_state(name: str, tensor: Tensor, own: Tensor) -> None:
    """Refuse what a network cannot have become by training: negative variances and counts."""
    if not tensor.numel() or tensor.dtype == torch.bool:
        return
    least = float(tensor.min())
    counts = not own.is_floating_point() and least < min(0, int(own.min()))
    if counts or (name.endswith("running_var") and least < 0):
        raise UsageError(f"the array {name!r} has {least:.3g} where nothing below 0 can be")

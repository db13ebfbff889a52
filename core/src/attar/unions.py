"""Several sets as one, each with its own way of being stored and decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from attar.batch import Batch
from attar.contracts import LabelKind, SyntheticSet
from attar.errors import UsageError
from attar.plugins import Modality
from attar.settings import Record, parse

__all__ = ["UnionSet", "restore"]


class _Description(Record):
    """What rebuilds a union: the descriptions of its parts."""

    union: tuple[dict[str, Any], ...] = Field(min_length=1)


def _kind(parts: Sequence[SyntheticSet]) -> LabelKind:
    kinds = {part.label_kind for part in parts}
    if len(kinds) != 1:
        raise UsageError(
            f"sets with labels of kinds {' and '.join(sorted(kinds))} cannot be one; distill them with the "
            f"same objective.labels"
        )
    return kinds.pop()


class UnionSet(SyntheticSet):
    """The samples of several sets, in their order.

    Args:
        parts: The sets: of one kind of data, with labels of one kind.

    Raises:
        UsageError: If there is none, or their labels are of different kinds.
    """

    labels: Tensor

    def __init__(self, parts: Sequence[SyntheticSet]) -> None:
        super().__init__()
        if not parts:
            raise UsageError("a union needs at least one set")
        self.label_kind = _kind(parts)
        # A union of unions is one of their parts.
        flat = [own for part in parts for own in (part._each() if isinstance(part, UnionSet) else [part])]
        self.parts = nn.ModuleList(flat)
        self.register_buffer("labels", torch.cat([part.labels for part in parts]))

    def _each(self) -> list[SyntheticSet]:
        return [part for part in self.parts if isinstance(part, SyntheticSet)]

    def decode(self, rows: Tensor | None = None) -> Batch:
        """Return the samples of all parts, or those meant by `rows`."""
        batch = Batch.cat([part.decode() for part in self._each()])
        return batch if rows is None else batch.take(rows)

    def keep(self, rows: Tensor) -> UnionSet:
        """Return some of the stored samples, part by part and in the order of `rows` within each.

        Raises:
            UsageError: If none is kept, or a part cannot give up samples.
        """
        bounds = torch.tensor([0, *(len(part.labels) for part in self._each())]).cumsum(0).tolist()
        own = [
            (part, rows[(rows >= first) & (rows < last)] - first)
            for part, first, last in zip(self._each(), bounds[:-1], bounds[1:], strict=True)
        ]
        return UnionSet([part.keep(mine) for part, mine in own if len(mine)])

    def softened(self, probabilities: Tensor) -> UnionSet:
        """Return the same samples with probabilities as labels, in all parts."""
        pieces = probabilities.split([len(part.decode()) for part in self._each()])
        return UnionSet([part.softened(own) for part, own in zip(self._each(), pieces, strict=True)])

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of all parts by role."""
        found: dict[str, list[nn.Parameter]] = {}
        for part in self._each():
            for role, parameters in part.groups().items():
                found.setdefault(role, []).extend(parameters)
        return found

    def stored(self) -> dict[str, Tensor]:
        """Return the tensors of all parts, each name led by the number of its part."""
        return {
            f"{number}.{name}": tensor
            for number, part in enumerate(self._each())
            for name, tensor in part.stored().items()
        }

    def description(self) -> dict[str, Any]:
        """Return the descriptions of the parts."""
        return {"union": [part.description() for part in self._each()]}

    def bake(self) -> UnionSet:
        """Return the union of the parts as they are stored."""
        return UnionSet([part.bake() for part in self._each()])


def restore(
    modality: Modality, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> SyntheticSet:
    """Rebuild a set, or a union of sets, from its description and stored tensors.

    Args:
        modality: What the sets are of.
        description: What :meth:`SyntheticSet.description` said.
        tensors: What :meth:`SyntheticSet.stored` gave.

    Raises:
        UsageError: If they do not fit.
    """
    if "union" not in description:
        return modality.restore(description, tensors)
    record = parse(_Description, description, "set")
    own: list[dict[str, Tensor]] = [{} for _ in record.union]
    for name, tensor in tensors.items():
        number, _, rest = name.partition(".")
        if not (number.isascii() and number.isdigit() and int(number) < len(own)):
            raise UsageError(f"the tensor {name!r} belongs to none of the {len(own)} sets of a union")
        own[int(number)][rest] = tensor
    return UnionSet([modality.restore(one, part) for one, part in zip(record.union, own, strict=True)])

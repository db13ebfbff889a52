"""What is known of tensor data without having them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from attar.architectures import Architecture, Family, build
from attar.contracts import Augment
from attar.errors import UsageError
from attar.protocols import PROTOCOLS, Protocol
from attar.tensor.given import as_array
from attar.tensor.preprocess import Standardize

__all__ = ["TensorDomain", "natural_values"]


def natural_values(raw: Any, feature: tuple[int, ...]) -> Tensor:
    """Return new samples in natural units, ``(n, *feature)``.

    Args:
        raw: One sample ``(*feature,)`` or several ``(n, *feature)``, as tensor or array.
        feature: Shape of one sample.

    Raises:
        UsageError: If the shape is another.
    """
    values = torch.from_numpy(as_array(raw, "the input").copy())
    if tuple(values.shape) == feature:
        values = values[None]
    if tuple(values.shape[1:]) != feature:
        raise UsageError(
            f"the input has shape {tuple(values.shape)}; give one sample of shape {feature}, or several "
            f"along a first axis"
        )
    return values


@dataclass(frozen=True)
class TensorDomain:
    """How tensors are prepared, and which models take them.

    Attributes:
        classes: Number of classes.
        feature: Shape of one sample.
        standardize: From natural units to what models take.
        architectures: Factories, and families of them, by name.
        architecture: The default architecture, with settings.
        read: Turns new inputs into natural units, ``(n, *feature)``.
        augment: The augmentation that suits the data, or None.
        protocols: How networks are trained, by name, the default first.
    """

    classes: int
    feature: tuple[int, ...]
    standardize: Standardize
    architectures: Mapping[str, Architecture | Family]
    architecture: str
    read: Callable[[Any], Tensor]
    augment: Augment | None = None
    protocols: Mapping[str, Protocol] = field(default_factory=lambda: PROTOCOLS)

    def preprocess(self, raw: Any) -> Tensor:
        """Return new inputs as models take them, float32 ``(n, *feature)``.

        Raises:
            UsageError: If they are no samples of this kind.
        """
        return self.standardize.encode(self.read(raw))

    def with_architecture(self, name: str, factory: Architecture) -> TensorDomain:
        """Return the domain with one more architecture."""
        return replace(self, architectures={**self.architectures, name: factory})

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model; "" means the default architecture."""
        return build(arch or self.architecture, self.architectures, self.feature, self.classes, gen)

"""Evaluation protocols: named values that say how a network is trained on a set.

A protocol is stored with every figure. It never selects on test data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from attar.errors import UsageError
from attar.optim import OptimSpec
from attar.settings import Settings, parse, unknown

__all__ = [
    "CPU_1",
    "FEATURE_TRAINING",
    "PROTOCOLS",
    "PUBLISHED",
    "Plateau",
    "Protocol",
    "as_protocol",
    "changed",
    "protocol",
]


class Plateau(Settings):
    """When the training loss counts as flat: means over windows, since augmentation makes it noisy.

    Attributes:
        window: Epochs that a mean is taken over.
        improvement: Fraction by which the mean must fall from one window to the next.
    """

    window: int = Field(default=50, ge=1)
    improvement: float = Field(default=0.01, ge=0, lt=1)


class Protocol(Settings):
    """How networks are trained and counted.

    Attributes:
        name: Name of the protocol.
        epochs: Passes over the set.
        steps: Most optimizer steps, which bounds training on whole data; None for no bound.
        batch: Samples per step.
        optimizer: Optimizer of the network.
        drop: Factor on the step size once half of the training is over.
        plateau: A plateau brings the drop forward, and after the drop ends training.
        augment: Whether the task's augmentation is applied, one draw per sample.
        networks: Networks per set, each with a seed of its own.
        select: ``last`` takes the network as training leaves it; ``validation`` takes the
            epoch that is best on held-out training data.
    """

    name: str
    epochs: int = Field(default=300, ge=1)
    steps: int | None = Field(default=1000, ge=1)
    batch: int = Field(default=256, ge=1)
    optimizer: OptimSpec = OptimSpec(name="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4)
    drop: float = Field(default=0.1, gt=0, le=1)
    plateau: Plateau | None = None
    augment: bool = True
    networks: int = Field(default=3, ge=1)
    select: Literal["last", "validation"] = "last"

    def digest(self) -> str:
        """Return a short hash of all settings, which names files of results."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


CPU_1 = Protocol(name="cpu-1", batch=64, steps=4000, plateau=Plateau())
"""300 epochs or a plateau of the training loss, three networks: affordable on a CPU.

Batches are smaller than the published 256: in as many epochs a network takes more steps, which
costs nothing, and brings it nearer to what 1,000 epochs reach.
"""

PUBLISHED = Protocol(name="published", epochs=1000, steps=None, networks=5)
"""The field's protocol with augmentation: DSA's 1,000 epochs, five networks."""

FEATURE_TRAINING = Protocol(name="features", epochs=300, steps=200, networks=1)
"""How the network of the feature space ``trained`` is made, but for the optimizer, which is the data's."""

PROTOCOLS: Mapping[str, Protocol] = {each.name: each for each in (CPU_1, PUBLISHED)}
"""Those of data whose samples are independent, the default first."""


def protocol(
    name: str, changes: Mapping[str, Any] | None = None, known: Mapping[str, Protocol] = PROTOCOLS
) -> Protocol:
    """Return a named protocol, with changes; see :func:`changed`.

    Args:
        name: Its name; "" is the first that is known.
        changes: Settings by name.
        known: Those that the data offer, as :attr:`attar.contracts.Task.protocols`.

    Raises:
        UsageError: If the name or a setting is unknown.
    """
    name = name or next(iter(known))
    if name not in known:
        raise UsageError(unknown("protocol", name, known))
    return changed(known[name], changes or {})


def as_protocol(asked: str | Protocol, known: Mapping[str, Protocol]) -> Protocol:
    """Return a protocol given as a name or as itself."""
    return protocol(asked, known=known) if isinstance(asked, str) else asked


def changed(known: Protocol, changes: Mapping[str, Any]) -> Protocol:
    """Return a protocol with changes; a changed one is called ``name*``.

    Changes may be nested, or name a nested key with a dot, such as ``optimizer.lr``.

    Raises:
        UsageError: If a setting is unknown or does not fit.
    """
    if not changes:
        return known
    values = known.model_dump()
    for key, value in changes.items():
        node, (*parents, last) = values, key.split(".")
        for parent in parents:
            node = node.get(parent) or {}
        old = node.get(last)
        node[last] = {**old, **value} if isinstance(old, dict) and isinstance(value, Mapping) else value
    return parse(Protocol, {**values, "name": f"{known.name.rstrip('*')}*"}, "protocol")

"""What server and clients tell each other beside arrays: JSON in a ``ConfigRecord``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from attar.errors import UsageError
from attar.recipe import Recipe
from attar.settings import Record, Settings
from pydantic import Field, ValidationError

__all__ = ["LONGEST_ASK", "MOST", "Ask", "LocalSettings", "Share", "Wire", "read_json", "to_text"]

Wire: TypeAlias = Literal["float32", "float16", "uint8"]
"""What real values cross the network as."""


MOST = 10**12
"""Samples or seconds that a client may claim: sums of them stay finite."""

LONGEST_ASK = 2**27
"""Characters that a client reads of what it is asked: it holds two numbers for each feature of a sample."""


class LocalSettings(Settings):
    """How a client trains the global network on what it has.

    Attributes:
        epochs: Passes over the client's data in a round.
        batch: Samples per step.
        lr: Step size of SGD; None takes the optimizer that networks on such data are trained with.
        momentum: Momentum of SGD, which starts anew each round.
        weight_decay: Weight decay of SGD.
        augment: Whether the augmentation of the data is applied.
        mu: Weight of FedProx's proximal term ``mu / 2 · ‖w − w_global‖²``; FedAvg has none.
    """

    epochs: int = Field(default=1, ge=1)
    batch: int = Field(default=64, ge=1)
    lr: float | None = Field(default=None, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    augment: bool = False
    mu: float = Field(default=0.01, ge=0)


class Ask(Record):
    """What the server asks of its clients in a round; the same for all.

    Attributes:
        round: Number of the round, from 1.
        recipe: How a client distills; its seed is that of the whole, from which each client derives
            its own. For averaging, only data and seed are read.
        classes: Names of all classes.
        preprocessing: How samples are prepared, the same everywhere.
        wire: What real values are sent as.
        model: Architecture of the global network.
        radius: How far from the global network those lie that a client matches on; None for
            networks of the method's own.
        local: How clients train, for averaging.
        privacy: What the clients must add, or None; see :mod:`attar_federated.privacy`.
    """

    round: int = Field(ge=1)
    recipe: Recipe
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]
    wire: Wire = "float32"
    model: str = ""
    radius: float | None = None
    local: LocalSettings = LocalSettings()
    privacy: dict[str, Any] | None = None


class Share(Record):
    """What a client says of what it sends.

    Attributes:
        round: The round that it answers.
        set: What rebuilds the set, beside its tensors.
        scales: Lowest value and step of each tensor that was sent as ``uint8``.
        counts: Training samples of each class that the client has, as far as it tells.
        cpu: CPU seconds that it took, which cross the network beside the text, as a number of fixed size:
            what is counted does not depend on them.
        privacy: What was added for privacy, or None.
    """

    round: int
    set: dict[str, Any]
    scales: dict[str, tuple[float, float]] = {}
    counts: tuple[Annotated[int, Field(ge=0, le=MOST)], ...] = ()
    cpu: float = Field(default=0.0, ge=0, le=MOST, exclude=True)
    privacy: dict[str, Any] | None = None


R = TypeVar("R", bound=Record)


def to_text(record: Record) -> str:
    """Return a record as JSON in as few bytes as can be."""
    return json.dumps(record.model_dump(mode="json", exclude_none=True), separators=(",", ":"))


def read_json(kind: type[R], text: Any, most: int) -> R:
    """Return the record that a text from elsewhere holds.

    Args:
        kind: Class of the record.
        text: The text, of which nothing was checked.
        most: Characters that it may have.

    Raises:
        UsageError: If it is none, too long or does not fit.
    """
    if not isinstance(text, str):
        raise UsageError(f"what should describe it is {type(text).__name__} and no text")
    if len(text) > most:
        raise UsageError(f"its description has {len(text):,} characters, more than {most:,}")
    try:
        return kind.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"its description cannot be read ({place!r}: {first['msg']})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"its description cannot be read ({error})") from error

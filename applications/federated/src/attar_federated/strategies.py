"""The strategy of each protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from attar.artifact import Artifact
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from attar_federated.averaging import Averaged, Proximal
from attar_federated.distilling import Distilling
from attar_federated.results import Dropped
from attar_federated.setting import Setting
from attar_federated.settings import ProtocolName

__all__ = ["Working", "strategy_for"]


class Working(Protocol):
    """What the server wants of a strategy: that of Flower's for a round of training, and who took part.

    Attributes:
        dropped: Replies that were not used.
        used: Clients whose replies were used in the last round.
        cpu: CPU seconds that these say they took.
        union: The union of the sets of the last round, if clients send sets.
    """

    dropped: list[Dropped]
    used: list[int]

    @property
    def cpu(self) -> float:
        """CPU seconds that the clients of the last round say they took."""

    @property
    def union(self) -> Artifact | None:
        """The union of the sets of the last round, if clients send sets."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return what is asked of each client."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the global network that comes of the replies."""


_MAKERS: Mapping[ProtocolName, Callable[[Setting], Working]] = {
    "one-shot": Distilling,
    "feddm": Distilling,
    "fedavg": Averaged,
    "fedprox": Proximal,
}


def strategy_for(setting: Setting) -> Working:
    """Return the strategy of a run's protocol."""
    return _MAKERS[setting.recipe.protocol](setting)

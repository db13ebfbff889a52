"""Flower's FedAvg and FedProx, with what clients send checked before it is averaged."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from attar.errors import UsageError
from attar.rng import derive, scoped
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedProx
from torch import Tensor

from attar_federated.grid import CountingGrid
from attar_federated.guard import checked_weights, sender
from attar_federated.records import to_text
from attar_federated.results import Dropped
from attar_federated.setting import Setting

__all__ = ["Averaged", "Proximal"]

logger = logging.getLogger(__name__)

_MORE = 10
"""How many times the server's training samples a client may claim to have."""


class _Checked(FedAvg):
    """What both share: every client is asked in every round, and what it sends is checked.

    Replies that fail are left out; those that pass reach Flower's strategy as float32, so that
    averages of float16 are not rounded once more.

    Attributes:
        dropped: Replies that were not used.
        used: Clients whose networks the last average is of.
        cpu: 0: clients that average do not tell.
        union: None: there is no set.
    """

    union = None
    cpu = 0.0

    def __init__(self, setting: Setting, **more: Any) -> None:
        # Flower would warn that clients test nothing, and say so once more in every round.
        super().__init__(min_train_nodes=1, min_available_nodes=1, configrecord_key="ask", **more)
        self.fraction_evaluate, self.min_evaluate_nodes = 0.0, 0
        self._setting = setting
        model = setting.task.build(setting.model, derive(setting.recipe.run.seed, "global"))
        self._like: Mapping[str, Tensor] = model.state_dict()
        self._asked: Mapping[str, int] = {}
        self.dropped: list[Dropped] = []
        self.used: list[int] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client to train the global network."""
        config["ask"] = to_text(self._setting.ask(server_round))
        if isinstance(grid, CountingGrid):
            self._asked = grid.asked
        # Flower draws the order of nodes from Python's global generator.
        with scoped(derive(self._setting.recipe.run.seed, "nodes", server_round)):
            return list(super().configure_train(server_round, arrays, config, grid))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average what passes.

        Raises:
            UsageError: If nothing passes.
        """
        passed = self._passed(server_round, replies)
        if not passed:
            reasons = "; ".join(f"client {one.client}: {one.reason}" for one in self.dropped[-3:])
            raise UsageError(
                f"no client sent a network that can be used ({reasons or 'none replied in time'})"
            )
        return super().aggregate_train(server_round, passed)

    def _passed(self, number: int, replies: Iterable[Message]) -> list[Message]:
        found: dict[int, tuple[str, Message]] = {}
        for reply in replies:
            client = sender(reply, self._asked)
            try:
                if client in found:
                    raise UsageError("it replied before in this round")
                found[client] = self._checked(reply)
            except UsageError as error:
                logger.warning("round %d: client %d is left out: %s", number, client, error)
                self.dropped.append(Dropped(round=number, client=client, reason=str(error)))
        self.used = sorted(found)
        # Sums depend on their order in the last bits, and names of nodes are drawn anew in every run.
        return [reply for _, reply in sorted(found.values(), key=lambda each: each[0])]

    def _checked(self, reply: Message) -> tuple[str, Message]:
        """Return a reply as float32, with a hash of what it holds."""
        if reply.has_error():
            raise UsageError(f"it failed ({(reply.error.reason or 'no reason given')[:200]})")
        most = max(1, _MORE * self._setting.task.size("train"))
        state, examples = checked_weights(reply.content, self._like, self._setting.recipe.wire, most=most)
        arrays = {name: Array(each.contiguous().numpy()) for name, each in state.items()}
        reply.content = RecordDict(
            {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": examples})}
        )
        return hashlib.sha256(b"".join(array.data for array in arrays.values())).hexdigest(), reply


class Averaged(_Checked):
    """Flower's FedAvg.

    Args:
        setting: What it works with.
    """


class Proximal(_Checked, FedProx):
    """Flower's FedProx.

    Args:
        setting: What it works with.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, proximal_mu=setting.recipe.local.mu)

"""Flower's FedAvg and FedProx, with what clients send checked and bounded before it is averaged."""

from __future__ import annotations

import hashlib
import logging
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from attar.errors import UsageError
from attar.rng import derive, scoped
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedProx
from torch import Tensor

from attar_federated.grid import CountingGrid
from attar_federated.guard import checked_weights, received
from attar_federated.records import to_text
from attar_federated.results import Dropped
from attar_federated.setting import Setting
from attar_federated.wire import unpacked

__all__ = ["Averaged", "Proximal", "shortened", "within"]

logger = logging.getLogger(__name__)

State = Mapping[str, Tensor]


def within(claims: Sequence[int], most: int) -> list[int]:
    """Return claims of which all together are at most `most`: the largest are cut to one size.

    Args:
        claims: Samples that each client says it has.
        most: Samples that all can have.
    """
    room = most
    for place, claim in enumerate(sorted(claims)):
        share = max(1, room // (len(claims) - place))
        if claim > share:
            return [min(own, share) for own in claims]
        room -= claim
    return list(claims)


def shortened(
    states: Sequence[State], sent: State, together: Collection[str], most: float
) -> tuple[list[dict[str, Tensor]], list[int]]:
    """Return networks none of which is much farther from what was sent than the median one.

    Updates that are longer keep their direction. What is learned by descent is one vector; each
    statistic, as of a normalization, is one of its own, since it may have another scale.

    Args:
        states: What each client made of the network.
        sent: The network that they were sent.
        together: Names of what is learned by descent.
        most: Largest norm of an update, in medians of all.

    Returns:
        The networks, and the places of those that were changed.
    """
    groups = [[name for name in sent if name in together]]
    groups += [[name] for name in sent if name not in together and sent[name].dtype != torch.bool]
    found, cut = [dict(state) for state in states], set()
    for group in groups:
        norms = [_distance(state, sent, group) for state in states]
        # Of two, the shorter: nobody can say which of them is wrong. Who sends back what it was sent counts
        # for nothing here, since the updates of all others would be shortened to nothing.
        limit = most * statistics.median_low([norm for norm in norms if norm > 0] or [0.0])
        for place, norm in enumerate(norms):
            if norm <= limit:
                continue
            if sent[group[0]].is_floating_point():
                # Counters of honest clients differ as their numbers of samples do: nothing to tell of.
                cut.add(place)
            for name in group:
                start = sent[name].double()
                value = start + (states[place][name].double() - start) * (limit / norm)
                own = states[place][name]
                found[place][name] = (value if own.is_floating_point() else value.round()).to(own.dtype)
    return found, sorted(cut)


def _distance(state: State, sent: State, names: Iterable[str]) -> float:
    squares = (float(((state[name].double() - sent[name].double()) ** 2).sum()) for name in names)
    return math.sqrt(sum(squares))


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
        self._like: State = model.state_dict()
        self._learned = {name for name, _ in model.named_parameters()}
        self._sent: State = self._like
        self._asked: Mapping[str, int] = {}
        self._said: dict[int, int] = {}
        self.dropped: list[Dropped] = []
        self.used: list[int] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client to train the global network."""
        config["ask"] = to_text(self._setting.ask(server_round))
        self._sent = unpacked(arrays, {})
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
        """Return what is averaged: as float32, of bounded length and weight, in an order of its own."""
        passed, dropped = received(number, replies, self._asked, self._checked)
        for one in dropped:
            logger.warning("round %d: client %d is left out: %s", number, one.client, one.reason)
        self.dropped += dropped
        self.used = sorted(passed)
        if not passed:
            return []
        recipe = self._setting.recipe
        clients, states = list(passed), [state for _, state, _ in passed.values()]
        states, cut = shortened(states, self._sent, self._learned, recipe.clip)
        if cut:
            long = ", ".join(str(clients[place]) for place in cut)
            logger.warning(
                "round %d: updates of more than %g times the median norm are shortened: client %s",
                number,
                recipe.clip,
                long,
            )
        claims = [examples for *_, examples in passed.values()]
        counted = within(claims, self._most)
        if counted != claims:
            logger.warning(
                "round %d: clients claim %d samples and can have %d, so that none counts for more than %d; "
                "if they are right, set claims=%d",
                number,
                sum(claims),
                self._most,
                max(counted),
                sum(claims),
            )
        own = [reply for reply, *_ in passed.values()]
        made = [_filled(*each) for each in zip(own, states, counted, strict=True)]
        # Sums depend on their order in the last bits, and names of nodes are drawn anew in every run.
        return [message for _, message in sorted(made, key=lambda each: each[0])]

    @property
    def _most(self) -> int:
        return self._setting.recipe.claims or max(1, self._setting.task.size("train"))

    def _checked(self, client: int, reply: Message) -> tuple[Message, dict[str, Tensor], int]:
        most = min(self._most, self._said.get(client, self._most))
        wire = self._setting.recipe.wire
        state, examples = checked_weights(reply.content, self._like, wire, most=most)
        self._said.setdefault(client, examples)
        return reply, state, examples


def _filled(reply: Message, state: State, examples: int) -> tuple[str, Message]:
    """Return a reply that holds a network, with a hash of it."""
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

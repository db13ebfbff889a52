"""The strategy whose clients send sets: one-shot and FedDM."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from attar.artifact import Artifact, MethodRecord, data_record
from attar.errors import DivergenceError, UsageError
from attar.recipe import resolve
from attar.sizing import start
from attar.unions import UnionSet
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import Tensor, nn

from attar_federated.grid import CountingGrid
from attar_federated.guard import Checked, Expected, checked_set, received
from attar_federated.judging import judge
from attar_federated.learning import farthest, learned, union_artifact
from attar_federated.privacy import check_claim, public_record
from attar_federated.records import to_text
from attar_federated.results import Dropped
from attar_federated.setting import Setting, state_arrays

__all__ = ["Distilling"]

logger = logging.getLogger(__name__)

_FAR = 2.0
"""How many times as far as the median client's the values of a set reach that training diverged by."""


def _messages(grid: Grid, content: RecordDict, kind: str) -> list[Message]:
    return [
        Message(content=content, message_type=kind, dst_node_id=node) for node in sorted(grid.get_node_ids())
    ]


class Distilling(Strategy):
    """One-shot and FedDM: clients send sets, and the server trains on their union.

    Args:
        setting: What it works with.

    Attributes:
        dropped: Replies that were not used.
        used: Clients whose sets the union holds.
        cpu: CPU seconds that they say they took.

    References:
        Zhou et al., "Distilled One-Shot Federated Learning", 2020; Xiong et al., "FedDM", CVPR 2023,
        algorithm 1.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._seen: dict[str, int] = {}
        self._parts: list[Checked] = []
        self.dropped: list[Dropped] = []
        self.used: list[int] = []
        self.cpu = 0.0
        self._weights: dict[str, Tensor] | None = None
        self._asked: Mapping[str, int] = {}

    def summary(self) -> None:
        """Say what it is."""
        logger.info("%s with %s", self._setting.recipe.protocol, self._setting.recipe.distiller)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client for a set, around the global network where the protocol sends it."""
        content: dict[str, Any] = {
            "ask": ConfigRecord({"ask": to_text(self._setting.ask(server_round)), **dict(config)})
        }
        if self._setting.recipe.protocol == "feddm":
            content["arrays"] = arrays
            self._weights = {name: torch.from_numpy(each.numpy().copy()) for name, each in arrays.items()}
        if isinstance(grid, CountingGrid):
            self._asked = grid.asked
        return _messages(grid, RecordDict(content), "train.distill")

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check what came, make a union of what passes, and train the global network on it.

        Raises:
            UsageError: If nothing passes.
        """
        passed = self._judged(server_round, self._checked(server_round, replies))
        if not passed:
            reasons = "; ".join(f"client {one.client}: {one.reason}" for one in self.dropped[-3:])
            raise UsageError(f"no client sent a set that can be used ({reasons or 'none replied in time'})")
        network = self._learned(server_round, passed)
        self.used, self._parts = sorted(passed), list(passed.values())
        self.cpu = sum(part.share.cpu for part in self._parts)
        return state_arrays(network, self._setting.recipe), None

    def _learned(self, number: int, passed: dict[int, Checked]) -> nn.Module:
        """Return a network trained on the union, without the sets that training diverges by."""
        setting = self._setting
        while True:
            try:
                return learned(
                    setting.task,
                    UnionSet([each.syn for each in passed.values()]),
                    setting.model,
                    setting.protocol,
                    setting.recipe.run.seed,
                    number,
                    start=self._weights,
                )
            except (DivergenceError, RuntimeError):  # the latter of networks that are solved for
                client, reach = farthest({own: each.syn.decode() for own, each in passed.items()})
                if not reach > _FAR:
                    raise
                reason = (
                    f"training on the union diverges with its values, which reach {reach:.3g} times as far "
                    f"as the median client's"
                )
                self._drop(number, client, reason)
                del passed[client]

    @property
    def union(self) -> Artifact | None:
        """What the clients of the last round sent, as one artifact."""
        return self._united(self._parts) if self._parts else None

    def _united(self, parts: list[Checked]) -> Artifact:
        recipe = self._setting.recipe
        resolved = resolve(recipe.recipe(), self._setting.registry)
        method = MethodRecord(
            name=recipe.distiller,
            reference=getattr(resolved.method, "reference", ""),
            settings={
                **resolved.recipe.objective,
                "federated": recipe.model_dump(mode="json", exclude_none=True),
            },
            model=self._setting.model,
        )
        record = public_record(
            data_record(self._setting.task, dict(self._setting.task.options)), recipe.privacy
        )
        record = record.model_copy(update={"name": f"{record.name} of {len(parts)} clients"})
        return union_artifact(
            parts, record, self._setting.modality, method, self._setting.protocol, recipe.run.seed
        )

    def _expected(self, number: int) -> Expected:
        resolved = resolve(self._setting.recipe.recipe(), self._setting.registry)
        syn, _ = start(self._setting.task, resolved, self._setting.registry)
        recipe = self._setting.recipe
        most = recipe.claims or max(1, self._setting.task.size("train"))
        return Expected.of(
            syn.bake(), self._setting.task, number, recipe.wire, slack=recipe.slack, samples=most
        )

    def _checked(self, number: int, replies: Iterable[Message]) -> dict[int, Checked]:
        expected = self._expected(number)

        def check(client: int, reply: Message) -> Checked:
            found = checked_set(reply.content, expected, self._setting.modality)
            check_claim(found.share, self._setting.recipe.privacy)
            if found.digest in self._seen:
                raise UsageError(f"it sent what client {self._seen[found.digest]} sent before")
            self._seen[found.digest] = client
            return found

        passed, dropped = received(number, replies, self._asked, check)
        for one in dropped:
            self._drop(number, one.client, one.reason)
        # Names of nodes are drawn anew in every run; what was sent is not.
        return dict(sorted(passed.items(), key=lambda each: each[1].digest))

    def _judged(self, number: int, passed: dict[int, Checked]) -> dict[int, Checked]:
        recipe = self._setting.recipe
        if recipe.robust is None or not passed:
            return passed
        sets = {client: each.syn.decode().constant() for client, each in passed.items()}
        kind = next(iter(passed.values())).syn.label_kind
        judged = judge(
            sets,
            kind,
            self._setting.task,
            self._setting.model,
            self._setting.protocol,
            recipe.robust,
            recipe.run.seed,
        )
        for client, reason in judged.dropped.items():
            self._drop(number, client, reason)
        return {client: each for client, each in passed.items() if client not in judged.dropped}

    def _drop(self, number: int, client: int, reason: str) -> None:
        logger.warning("round %d: client %d is left out: %s", number, client, reason)
        self.dropped.append(Dropped(round=number, client=client, reason=reason))

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nothing: the server tests."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing: the server tests."""
        return None

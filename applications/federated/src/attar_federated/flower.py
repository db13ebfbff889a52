"""The two apps of Flower: what runs at each client, and what runs at the server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from attar.contracts import SyntheticSet, Task
from attar.errors import UsageError
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from torch import Tensor

from attar_federated.clients import check_models, distill_share, one_thread, train_locally
from attar_federated.guard import record_of
from attar_federated.policy import NodePolicy
from attar_federated.records import LONGEST_ASK, Ask, Share, read_json, to_text
from attar_federated.wire import packed, unpacked

__all__ = ["client_app", "server_app"]

logger = logging.getLogger(__name__)

Locate = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[Task, int]]
"""Returns a client's data and number, from the configuration of its node and of the run."""


def _asked(message: Message) -> Ask:
    return read_json(Ask, record_of(message.content, "ask", ConfigRecord)["ask"], LONGEST_ASK)


def _weights(message: Message) -> dict[str, Tensor] | None:
    if "arrays" not in message.content:
        return None
    found = unpacked(record_of(message.content, "arrays", ArrayRecord), {})
    return {
        name: each.to(torch.float32) if each.is_floating_point() else each for name, each in found.items()
    }


def _trusted(node: Mapping[str, Any], models: Collection[str]) -> set[str]:
    """Return the architectures that are code and that the owner of a node named."""
    said = str(node.get("models") or "").split(";")
    return {text.partition(",")[0].strip() for text in (*said, *models)} - {""}


def _private(
    ask: Ask, policy: NodePolicy, locate: Callable[[], tuple[Task, int]]
) -> tuple[SyntheticSet, Share]:
    """Return a set with noise.

    Raises:
        UsageError: In the same words whatever went wrong with the data: the server sees them.
    """
    from attar_federated.privacy import asked_privacy, private_share

    policy.admit(*asked_privacy(ask))
    try:
        task, number = locate()
        return private_share(task, ask, number)
    except Exception as error:
        logger.warning("no set was made: %s", error)
    raise UsageError("the client could not make a set; its own log says why")


def client_app(locate: Locate, *, models: Collection[str] = ()) -> ClientApp:
    """Return the app of a client.

    Args:
        locate: Finds what the client has.
        models: Architectures that are code and may be built when the server asks for them, beside those
            that the node's configuration names as ``models``.
    """
    app = ClientApp()

    def found(ask: Ask, context: Context) -> tuple[Task, int]:
        task, number = locate(context.node_config, context.run_config)
        check_models(task, ask, _trusted(context.node_config, models))
        return task, number

    @app.train("distill")
    def distill(message: Message, context: Context) -> Message:
        """Send a set that stands for what the client has."""
        ask, policy = _asked(message), NodePolicy.of(context.node_config)
        with one_thread():
            if ask.privacy is None:
                policy.check_unprotected()
                task, number = found(ask, context)
                syn, share = distill_share(task, ask, number, _weights(message))
            else:
                syn, share = _private(ask, policy, lambda: found(ask, context))
        arrays, scales = packed(syn.stored(), ask.wire)
        about = share.model_copy(update={"scales": scales})
        content = RecordDict({"set": arrays, "about": ConfigRecord({"share": to_text(about)})})
        content["metrics"] = MetricRecord({"cpu": share.cpu})
        return Message(content=content, reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        """Send the global network after some training on what the client has."""
        ask, weights = _asked(message), _weights(message)
        NodePolicy.of(context.node_config).check_unprotected()
        if weights is None:
            raise UsageError("the server sent no network to train")
        task, number = found(ask, context)
        proximal = "proximal-mu" in record_of(message.content, "ask", ConfigRecord)
        with one_thread():
            state, examples = train_locally(task, ask, number, weights, proximal=proximal)
        arrays, _ = packed(state, "float16" if ask.wire == "float16" else "float32")
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": examples})})
        return Message(content=content, reply_to=message)

    return app


def server_app(work: Callable[[Grid, Mapping[str, Any]], None]) -> ServerApp:
    """Return the app of a server.

    Args:
        work: Carries out the run, on the grid that reaches the clients and with the configuration
            of the run.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        """Carry out the run."""
        work(grid, context.run_config)

    return app

"""The apps that a folder written by ``attar federated app`` holds."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attar.api import name_of
from attar.contracts import Task
from attar.errors import UsageError
from attar.registry import Registry
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from attar_federated.configure import Located, recipe_of
from attar_federated.flower import client_app, server_app
from attar_federated.server import ServerOptions, serve
from attar_federated.settings import FederatedRecipe
from attar_federated.simulation import shares_of

__all__ = ["client", "own_data", "server"]

logger = logging.getLogger("flwr")


def _recipe(config: Mapping[str, Any]) -> FederatedRecipe:
    modality = str(config.get("modality", ""))
    if not modality or not config.get("data"):
        raise UsageError("the app says neither modality nor data; write it with 'attar federated app'")
    known = Registry().get("modalities", modality).datasets()
    return recipe_of(config, name_of(str(config["data"]), known))


def _root(config: Mapping[str, Any], node: Mapping[str, Any]) -> str | None:
    return str(node.get("root") or config.get("root") or "") or None


def own_data(node: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Task, int]:
    """Return the data of a node: its own, or its share of the server's by name."""
    recipe = _recipe(config)
    number = int(node.get("partition-id", -1))
    own = str(node.get("data") or "")
    if own:
        return Located(recipe, own, _root(config, node))(), max(number, 0)
    if not 0 <= number < recipe.clients:
        raise UsageError(
            f"the node has neither data of its own nor a partition-id from 0 to {recipe.clients - 1}; give "
            f"it one with --node-config"
        )
    source = Located(recipe, str(config["data"]), _root(config, node))
    return shares_of(source, recipe.partition, recipe.clients, recipe.run.seed)[number], number


def client() -> ClientApp:
    """Return the app of a client."""
    return client_app(own_data)


def _work(grid: Grid, config: Mapping[str, Any]) -> None:
    recipe = _recipe(config)
    task = Located(recipe, str(config["data"]), _root(config, {}))()
    out = str(config.get("out") or "")
    options = ServerOptions(
        out=Path(out) if out else None,
        resume=True,
        timeout=float(config.get("timeout", 3600.0)),
        wait=float(config.get("wait", 60.0)),
        note=lambda each: logger.info("%s", each.model_dump_json()),
    )
    outcome = serve(grid, recipe, task, options)
    logger.info("%s", json.dumps(outcome.result.model_dump(mode="json")))


def server() -> ServerApp:
    """Return the app of a server."""
    return server_app(_work)

"""How networks are trained on small graphs."""

from __future__ import annotations

from collections.abc import Mapping

from attar.optim import OptimSpec
from attar.protocols import Protocol

__all__ = ["NODES_1", "PROTOCOLS", "PUBLISHED"]

_ADAM = OptimSpec(name="adam", lr=0.01, weight_decay=5e-4)
# A graph is never cut into batches; one step is one pass.
_WHOLE = 10**9

NODES_1 = Protocol(name="nodes-1", epochs=600, steps=600, batch=_WHOLE, optimizer=_ADAM, select="validation")
"""600 steps on the whole graph, three networks, each at its best step on held-out nodes where there are any.

On a few condensed nodes without edges, networks get worse by points in the last hundreds of steps.
"""

PUBLISHED = NODES_1.model_copy(update={"name": "published", "networks": 10})
"""The field's protocol for condensed graphs: as ``nodes-1``, with ten networks.

References:
    Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022.
"""

PROTOCOLS: Mapping[str, Protocol] = {each.name: each for each in (NODES_1, PUBLISHED)}
"""Protocols by name, the default first."""

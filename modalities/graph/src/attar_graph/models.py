"""The architectures of the modality, by name."""

from __future__ import annotations

from collections.abc import Mapping

from attar.architectures import Architecture

from attar_graph.attention import GAT
from attar_graph.nets import APPNP, GCN, GIN, MLP, SGC, ChebNet, GraphSAGE
from attar_graph.tangent import StructureNTK

__all__ = ["ARCHITECTURES"]

ARCHITECTURES: Mapping[str, Architecture] = {
    "gcn": GCN,
    "sgc": SGC,
    "sage": GraphSAGE,
    "gat": GAT,
    "appnp": APPNP,
    "cheb": ChebNet,
    "gin": GIN,
    "mlp": MLP,
    "sntk": StructureNTK,
}
"""Networks on graphs by name; the first is the default."""

"""Where graphs come from: known ones, the user's files, and what is given in Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attar.errors import UsageError
from attar.npz import read_npz
from attar.plugins import LoadRequest
from attar.settings import unknown

from attar_graph.given import ARRAYS, given_graph, graph_of_arrays
from attar_graph.papers import papers
from attar_graph.public import PUBLIC, karate, public_graph
from attar_graph.raw import RawGraph
from attar_graph.tables import read_tables

__all__ = ["graph_at", "known_graphs", "read_graph"]

_PAPERS = "1,000 generated papers of 5 fields, 3,000 citations; built in"
_KARATE = "34 members of a karate club, 78 friendships, 4 communities; built in"


def known_graphs() -> Mapping[str, str]:
    """Return a line about each graph that is known by name."""
    return {"karate": _KARATE, "papers": _PAPERS, **{name: known.summary for name, known in PUBLIC.items()}}


def read_graph(request: LoadRequest) -> RawGraph:
    """Return the graph that is asked for.

    Args:
        request: The request; its options say which column of a table holds the classes.

    Raises:
        UsageError: If the graph is unknown, missing or damaged, or does not fit.
    """
    if request.given is not None:
        return given_graph(request.given, request.data)
    if request.data == "karate":
        return karate()
    if request.data == "papers":
        return papers()
    if request.data in PUBLIC:
        return public_graph(request.data, request.root, request.download)
    path = Path(request.data)
    if path.exists():
        return graph_at(path, request.options.label_column)
    known = unknown("data", request.data, known_graphs())
    raise UsageError(f"{known}, or give the path of a folder with nodes.csv and edges.csv with --data")


def graph_at(path: Path, label_column: str) -> RawGraph:
    """Return the graph at a path: a folder with tables of nodes and edges, or an ``.npz`` file.

    Args:
        path: The folder or file.
        label_column: Column of the table of nodes that holds the classes.

    Raises:
        UsageError: If there is none, or it does not fit.
    """
    if path.is_dir():
        return read_tables(path, label_column)
    if path.suffix.lower() != ".npz":
        raise UsageError(
            f"{str(path)!r} is a file; give a folder with nodes.csv and edges.csv, or an .npz file"
        )
    arrays = read_npz(path, "numpy.savez(path, features=…, edges=…, labels=…)", ARRAYS)
    # Exported sets may have soft labels too, which are learned and no data.
    arrays.pop("targets", None)
    return graph_of_arrays(arrays, path.stem)

"""Public graphs by name: where their files lie, and how they are fetched."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from attar.errors import UsageError
from attar.files import disk_errors, move

from attar_graph.formats import read_benchmark, read_ogb, read_sage, read_saint
from attar_graph.planetoid import PARTS, PLANETOID, read_planetoid
from attar_graph.raw import RawGraph

__all__ = ["PUBLIC", "PublicGraph", "karate", "public_graph"]

_ARXIV = "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"


@dataclass(frozen=True, kw_only=True)
class PublicGraph:
    """How a graph is kept.

    Attributes:
        summary: A line about it.
        places: Folders below the root that its files may lie in; downloads go to the first.
        files: The files that are read, below one of the places.
        read: Reads the files, which it gets in this order, for a graph of a name.
        fetch: Downloads the files into an empty folder and returns the folder that has them.
    """

    summary: str
    places: tuple[str, ...]
    files: tuple[str, ...]
    read: Callable[[Sequence[Path], str], RawGraph]
    fetch: Callable[[Path], Path]


def _datasets() -> Any:
    with warnings.catch_warnings():
        # Importing the library compiles what is not used here, in a way that PyTorch gives up.
        warnings.simplefilter("ignore")
        from torch_geometric import datasets
    return datasets


def _from_pyg(kind: str, *given: str) -> Callable[[Path], Path]:
    """Return what downloads the raw files of a data set of PyTorch Geometric."""

    def fetch(folder: Path) -> Path:
        # Nothing is processed and nothing loaded: both would unpickle what was downloaded.
        raw_only = {"has_process": False, "load": lambda self, path: None}
        found = type(kind, (getattr(_datasets(), kind),), raw_only)(str(folder), *given)
        return Path(found.raw_dir).parent

    return fetch


def _from_ogb(folder: Path) -> Path:
    try:
        url = import_module("ogb.utils.url")
    except ImportError as error:
        raise UsageError("downloading ogbn-arxiv needs ogb: pip install 'attar-graph[ogb]'") from error
    packed = url.download_url(_ARXIV, str(folder))
    url.extract_zip(packed, str(folder))
    os.unlink(packed)
    return folder / "arxiv"


def _planetoid(name: str, summary: str) -> PublicGraph:
    folder = PLANETOID[name][0]
    return PublicGraph(
        summary=summary,
        places=(f"Planetoid/{folder}", folder),
        files=tuple(f"raw/ind.{name}.{part}" for part in PARTS),
        read=lambda paths, name: read_planetoid(paths[0].parent, name),
        fetch=_from_pyg("Planetoid", folder),
    )


def _benchmark(kind: str, folder: str, file: str, summary: str) -> PublicGraph:
    folders = dict.fromkeys((folder, folder.lower()))
    return PublicGraph(
        summary=summary,
        places=(*(f"{kind}/{each}" for each in folders), *folders),
        files=(f"raw/{file}.npz",),
        read=read_benchmark,
        fetch=_from_pyg(kind, folder),
    )


PUBLIC: Mapping[str, PublicGraph] = {
    "cora": _planetoid("cora", "2,708 articles, 5,278 citations, 7 classes; public split"),
    "citeseer": _planetoid("citeseer", "3,327 articles, 4,552 citations, 6 classes; public split"),
    "pubmed": _planetoid("pubmed", "19,717 articles, 44,324 citations, 3 classes; public split"),
    "amazon-computers": _benchmark(
        "Amazon",
        "Computers",
        "amazon_electronics_computers",
        "13,752 goods, 245,861 pairs bought together, 10 classes; no split",
    ),
    "amazon-photo": _benchmark(
        "Amazon",
        "Photo",
        "amazon_electronics_photo",
        "7,650 goods, 119,081 pairs bought together, 8 classes; no split",
    ),
    "coauthor-cs": _benchmark(
        "Coauthor", "CS", "ms_academic_cs", "18,333 authors, 81,894 pairs of coauthors, 15 classes; no split"
    ),
    "coauthor-physics": _benchmark(
        "Coauthor",
        "Physics",
        "ms_academic_phy",
        "34,493 authors, 247,962 pairs of coauthors, 5 classes; no split",
    ),
    "flickr": PublicGraph(
        summary="89,250 photos, 449,878 pairs that share properties, 7 classes; given split",
        places=("Flickr", "flickr"),
        files=("raw/adj_full.npz", "raw/feats.npy", "raw/class_map.json", "raw/role.json"),
        read=read_saint,
        fetch=_from_pyg("Flickr"),
    ),
    "reddit": PublicGraph(
        summary="232,965 posts, 57,307,946 pairs with a common commenter, 41 classes; given split",
        places=("Reddit", "reddit"),
        files=("raw/reddit_data.npz", "raw/reddit_graph.npz"),
        read=read_sage,
        fetch=_from_pyg("Reddit"),
    ),
    "ogbn-arxiv": PublicGraph(
        summary="169,343 articles, 1,166,243 citations, 40 classes; split by time (ogb)",
        places=("ogbn_arxiv", "ogbn-arxiv"),
        files=(
            *(f"raw/{part}.csv.gz" for part in ("edge", "node-feat", "node-label")),
            *(f"split/time/{part}.csv.gz" for part in ("train", "valid", "test")),
        ),
        read=read_ogb,
        fetch=_from_ogb,
    ),
}
"""The graphs known by name, besides the one that is built in."""


def public_graph(name: str, root: Path, download: bool) -> RawGraph:
    """Return a graph of :data:`PUBLIC`.

    Args:
        name: The graph.
        root: Folder that graphs are kept in, each in one of its own.
        download: Whether what is missing may be downloaded there.

    Raises:
        UsageError: If files are missing or damaged, or cannot be downloaded.
    """
    known = PUBLIC[name]
    there = [place for place in known.places if any((root / place / file).is_file() for file in known.files)]
    folder = root / (there or known.places)[0]
    missing = next((file for file in known.files if not (folder / file).is_file()), None)
    if missing is None:
        return known.read([folder / file for file in known.files], name)
    if download:
        return _downloaded(name, root, folder)
    places = " or ".join(there[:1] or known.places)
    raise UsageError(
        f"{missing!r} of {name} is missing, looked for in {places} below {str(root)!r}: give another folder "
        f"with --root, or fetch it with --download"
    )


def _downloaded(name: str, root: Path, folder: Path) -> RawGraph:
    """Download a graph aside, read it, and move its files into place once they are known to be good."""
    known = PUBLIC[name]
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=root) as aside:
            source = _fetch(name, Path(aside))
            try:
                graph = known.read([source / file for file in known.files], name)
            except UsageError as error:
                what = str(error).split(";", maxsplit=1)[0]
                raise UsageError(
                    f"what was downloaded as {name} cannot be used, so nothing is kept: {what}"
                ) from error
            for file in known.files:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                move(source / file, folder / file)
    return graph


def _fetch(name: str, folder: Path) -> Path:
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            # What other libraries warn of is not for our users, and output belongs to results.
            warnings.simplefilter("ignore")
            return PUBLIC[name].fetch(folder)
    except UsageError:
        raise
    except Exception as error:
        # The network, servers and archives fail in many ways.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(
            f"{name} cannot be downloaded ({reason}); check the network, or put its files below "
            f"--root yourself"
        ) from error


def karate() -> RawGraph:
    """Return Zachary's karate club: 34 members, their friendships, and four communities.

    References:
        Zachary, "An Information Flow Model for Conflict and Fission in Small Groups", 1977; the
        communities are those that maximize modularity.
    """
    data = _datasets().KarateClub()[0]
    return RawGraph(
        name="karate",
        features=data.x.to(torch.float32),
        edges=data.edge_index,
        labels=data.y.to(torch.int64),
        classes=("1", "2", "3", "4"),
    )

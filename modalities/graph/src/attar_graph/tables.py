"""Tables of nodes and edges, as CSV or Parquet, read by pyarrow."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.errors import UsageError
from attar.limits import check_columns, check_unpacked, first_line, lines_of
from attar.parquet import open_parquet, read_table
from attar.settings import unknown
from numpy.typing import NDArray
from torch import Tensor

from attar_graph.raw import SPLITS, RawGraph, node_classes

__all__ = ["read_numbers", "read_tables"]

_KINDS = ("csv", "parquet")
_ENDS = ("source", "target")
_BLOCK = 2**26
"""Bytes that are parsed at a time; a row must fit."""


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UsageError(
            "reading CSV and Parquet needs pyarrow: pip install 'attar-graph[tables]'"
        ) from error
    return pa


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a file raises that is no table into one sentence."""
    pa = _arrow()
    try:
        yield
    except (pa.ArrowException, csv.Error, UnicodeDecodeError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{str(path)!r} cannot be read as a table ({reason}); repair it") from error
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read ({error.strerror or error}); permit it") from error


@dataclass(frozen=True)
class _Table:
    """A table and the file that it came from.

    Attributes:
        file: Name of the file.
        columns: The columns by name, of pyarrow.
        rows: Number of rows.
    """

    file: str
    columns: dict[str, Any]
    rows: int

    def texts(self, name: str) -> Any:
        """Return a column as text of pyarrow; "" where it is empty."""
        import pyarrow as pa
        from pyarrow import compute

        column = self.columns[name]
        if pa.types.is_nested(column.type):
            raise UsageError(f"column {name!r} of {self.file} holds {column.type}; give text or numbers")
        if pa.types.is_floating(column.type):
            # What pandas has no value for is not a number.
            column = compute.if_else(compute.is_nan(column), None, column)
        return compute.fill_null(column.cast(pa.string()), "").combine_chunks()

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Return a column as numbers, NaN where it is empty."""
        import pyarrow as pa

        column, kinds = self.columns[name], pa.types
        known = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal, kinds.is_null)
        if not any(each(column.type) for each in known):
            row = next((row for row, valid in enumerate(column.is_valid()) if valid.as_py()), 0)
            raise UsageError(_no_number(name, self.file, column[row].as_py(), row))
        found: NDArray[np.float32] = column.cast(pa.float32(), safe=False).to_numpy()
        return found


def _no_number(column: str, file: str, value: Any, row: int) -> str:
    return (
        f"column {column!r} of {file} holds {value!r} in row {row}, which is no number; leave the column "
        f"out, or make numbers of it"
    )


def _names(path: Path) -> list[str]:
    """Return the names of the columns of a table."""
    with _reading(path):
        if path.suffix == ".csv":
            check_columns(first_line(path).count(",") + 1, repr(str(path)))
            with open(path, encoding="utf-8-sig", newline="") as file:
                names = next(csv.reader(lines_of(file, repr(str(path)))), [])
        else:
            names = open_parquet(path).schema_arrow.names
    # Such are the numbers of rows, which pandas writes unless it is told not to.
    if "" in names or any(name.startswith("__index_level_") for name in names):
        raise UsageError(
            f"{path.name} has a column without a name; name it, or write the table without its index"
        )
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UsageError(f"{path.name} has the column {twice!r} twice; leave one out")
    return names


def _read(path: Path, names: Sequence[str], texts: Sequence[str]) -> _Table:
    """Read a table whose columns are numbers, except for `texts`."""
    with _reading(path):
        if path.suffix == ".csv":
            table = _read_csv(path, names, texts)
        else:
            table = read_table(path)
    return _Table(path.name, {name: table.column(name) for name in names}, table.num_rows)


def _read_csv(path: Path, names: Sequence[str], texts: Sequence[str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    def read(types: Mapping[str, Any]) -> Any:
        convert = arrow_csv.ConvertOptions(column_types=types)
        return arrow_csv.read_csv(path, arrow_csv.ReadOptions(block_size=_BLOCK), convert_options=convert)

    try:
        # Types are said beforehand, since they would be guessed from the first block alone.
        return read({name: pa.string() if name in texts else pa.float32() for name in names})
    except pa.ArrowInvalid:
        table = read(dict.fromkeys(names, pa.string()))
        _refuse_text([name for name in names if name not in texts], table, path.name)
        raise


def _refuse_text(names: Sequence[str], table: Any, file: str) -> None:
    """Name the first cell that is no number."""
    from pyarrow import csv as arrow_csv

    empty = set(arrow_csv.ConvertOptions().null_values)
    for name in names:
        for row, value in enumerate(table.column(name).to_pylist()):
            try:
                float("0" if value in empty else value)
            except ValueError:
                raise UsageError(_no_number(name, file, value, row)) from None


def read_numbers(path: Path, kind: type[np.int64] | type[np.float32]) -> NDArray[Any]:
    """Return a CSV file of numbers without a header, ``(rows, columns)``.

    Args:
        path: The file, compressed by gzip.
        kind: Type of the numbers.

    Raises:
        UsageError: If pyarrow is missing.
        Exception: Of any kind, if the file is damaged.
    """
    pa = _arrow()
    from pyarrow import csv as arrow_csv

    with gzip.open(path, "rt", encoding="ascii") as file:
        width = file.readline().count(",") + 1
    types = {f"f{column}": pa.from_numpy_dtype(np.dtype(kind)) for column in range(width)}
    table = arrow_csv.read_csv(
        path,
        arrow_csv.ReadOptions(block_size=_BLOCK, autogenerate_column_names=True),
        convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=[]),
    )
    found = np.empty((table.num_rows, width), dtype=kind)
    for place, column in enumerate(table.columns):
        found[:, place] = column.to_numpy()
    return found


def read_tables(folder: Path, label_column: str) -> RawGraph:
    """Read a graph from a table of nodes and one of edges.

    Nodes are ``nodes.csv`` or ``nodes.parquet`` with a column of labels, empty where unknown;
    perhaps ``id``, any text or numbers, without which rows count from 0; perhaps ``split``, which
    says ``train``, ``validation``, ``test`` or nothing; all other columns are features. Edges are
    ``edges.csv`` or ``edges.parquet`` with ``source`` and ``target``, and perhaps ``weight``.

    Args:
        folder: Where the files are.
        label_column: Column that holds the labels.

    Raises:
        UsageError: If a file or a column is missing, or what is in them makes no graph.
    """
    places = [_place(folder, stem) for stem in ("nodes", "edges")]
    name = folder.resolve().name
    roles = ("id", label_column, "split")
    names = [_names(path) for path in places]
    _check_nodes(names[0], places[0].name, label_column)
    _check_edges(names[1], places[1].name)
    nodes, edges = _read(places[0], names[0], roles), _read(places[1], names[1], _ENDS)
    if not nodes.rows:
        raise UsageError(f"{nodes.file} of {name!r} has no rows; give at least one node of each class")
    titles = [column for column in nodes.columns if column not in roles]
    check_unpacked(4 * nodes.rows * len(titles), places[0].stat().st_size, repr(str(places[0])))
    features = np.empty((nodes.rows, len(titles)), dtype=np.float32)
    for place, title in enumerate(titles):
        features[:, place] = nodes.numbers(title)
    classes, labels = node_classes(nodes.texts(label_column).to_pylist(), name)
    return RawGraph(
        name=name,
        features=torch.from_numpy(features),
        edges=_edges(edges, nodes),
        weights=torch.from_numpy(edges.numbers("weight").copy()) if "weight" in edges.columns else None,
        labels=labels,
        classes=classes,
        splits=_splits(nodes) if "split" in nodes.columns else None,
    )


def _place(folder: Path, stem: str) -> Path:
    there = [path for kind in _KINDS if (path := folder / f"{stem}.{kind}").is_file()]
    if len(there) > 1:
        raise UsageError(f"{str(folder)!r} has both {there[0].name} and {there[1].name}; keep one of them")
    if not there:
        raise UsageError(
            f"{str(folder)!r} has no {stem}.csv and no {stem}.parquet; put the table of the {stem} there"
        )
    return there[0]


def _check_nodes(names: Sequence[str], file: str, label_column: str) -> None:
    if label_column not in names:
        sentence = unknown(f"column of {file}", label_column, names)
        raise UsageError(f"{sentence}; name that of the classes with --set data.label_column=NAME")


def _check_edges(names: Sequence[str], file: str) -> None:
    for end in _ENDS:
        if end not in names:
            raise UsageError(f"{file} has no column {end!r}; name its columns source and target")
    odd = next((name for name in names if name not in (*_ENDS, "weight")), None)
    if odd is not None:
        raise UsageError(
            f"{file} has the column {odd!r}, but edges have source, target and weight alone; leave it out"
        )


def _ids(nodes: _Table) -> Any:
    """Return the id of each node as text."""
    import pyarrow as pa
    from pyarrow import compute

    if "id" not in nodes.columns:
        return pa.array(np.arange(nodes.rows)).cast(pa.string())
    ids = nodes.texts("id")
    empty = compute.index(ids, "").as_py()
    if empty >= 0:
        raise UsageError(
            f"row {empty} of {nodes.file} has no id; give each node one, or leave the column out"
        )
    if compute.count_distinct(ids).as_py() < len(ids):
        counts = compute.value_counts(ids)
        many = counts.field("counts").to_numpy()
        twice = int((many > 1).argmax())
        found = counts.field("values")[twice].as_py()
        raise UsageError(f"{nodes.file} has the id {found!r} in {many[twice]} rows; give each node one row")
    return ids


def _edges(edges: _Table, nodes: _Table) -> Tensor:
    """Return the ends of the edges as numbers of nodes, int64 ``(2, E)``."""
    from pyarrow import compute

    ids = _ids(nodes)
    found = np.empty((2, edges.rows), dtype=np.int64)
    for place, end in enumerate(_ENDS):
        texts = edges.texts(end)
        numbers = compute.index_in(texts, value_set=ids)
        if numbers.null_count:
            row = compute.index(numbers.is_null(), True).as_py()
            named = "an id" if "id" in nodes.columns else "a number of a row, counted from 0,"
            raise UsageError(
                f"row {row} of {edges.file} has the {end} {texts[row].as_py()!r}, which is not {named} of "
                f"{nodes.file}; add the node, or leave the edge out"
            )
        found[place] = numbers.to_numpy()
    return torch.from_numpy(found)


def _splits(nodes: _Table) -> dict[str, Tensor] | None:
    """Return the nodes of each split, or None where none is named."""
    words = np.array(nodes.texts("split").to_pylist(), dtype=np.str_)
    odd = np.flatnonzero(~np.isin(words, ["", *SPLITS]))
    if len(odd):
        raise UsageError(
            unknown(f"split in row {odd[0]} of {nodes.file}", str(words[odd[0]]), SPLITS)
            + ", or leave it empty"
        )
    if not (words != "").any():
        return None
    return {split: torch.from_numpy(np.flatnonzero(words == split)) for split in SPLITS}

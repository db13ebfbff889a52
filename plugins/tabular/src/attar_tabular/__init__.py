"""Tables of numbers and categories, CSV or Parquet, for Attar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.batch import Batch
from attar.classes import find_classes
from attar.errors import UsageError
from attar.infinite import InfiniteMLP
from attar.limits import check_columns, first_line
from attar.nets import MLP, Linear
from attar.parquet import read_table
from attar.plugins import DataInfo, DemoSpec, LoadRequest
from attar.settings import parse, unknown
from attar.tensor import ArrayItems, Parts, SplitOptions, Standardize, TensorModality, TensorTask, split_rows

__all__ = ["TABULAR", "TabularModality", "TabularOptions", "encoded"]

Columns = Sequence[Mapping[str, Any]]
"""Of each column its name, and what missing numbers become (``fill``) or its categories (``values``)."""


class TabularOptions(SplitOptions):
    """How tables are loaded.

    Attributes:
        target: Column of the class; "" takes the last one.
    """

    target: str = ""


def _described(frame: Any) -> Columns:
    """Return what is to be known of columns, from training rows."""
    numbers = frame.select_dtypes("number").astype("float64")
    others = frame.drop(columns=list(numbers)).astype("string")
    return [
        *({"name": name, "fill": float(numbers[name].median())} for name in numbers),
        *({"name": name, "values": sorted(others[name].dropna().unique().tolist())} for name in others),
    ]


def encoded(frame: Any, columns: Columns) -> Any:
    """Return rows as numbers, float32 ``(n, d)``: numbers as they are, categories as zeros and a one.

    Raises:
        UsageError: If a column is missing, or a number is none.
    """
    from pandas import to_numeric
    from sklearn.preprocessing import OneHotEncoder

    missing = [each["name"] for each in columns if each["name"] not in frame]
    if missing:
        raise UsageError(f"the table has no column {missing[0]!r}; give one with the columns of the data")
    parts = []
    for each in columns:
        cells = frame[[each["name"]]]
        if "values" in each:
            one = OneHotEncoder(categories=[each["values"]], handle_unknown="ignore", sparse_output=False)
            parts.append(one.fit_transform(cells.astype("string").fillna("").to_numpy(object)))
            continue
        try:
            parts.append(cells.apply(to_numeric).fillna(each["fill"]).to_numpy("float32"))
        except ValueError as error:
            message = f"the column {each['name']!r} is of numbers, but not all are: {error}"
            raise UsageError(message) from error
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _read(path: Path) -> Any:
    import pandas

    if not path.is_file() or path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"there is no table {str(path)!r}; give a .csv or .parquet file with --data")
    if path.suffix == ".parquet":
        return read_table(path).to_pandas()
    try:
        header = first_line(path)
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path.name} cannot be read as a table: {str(error).splitlines()[0]}") from error
    check_columns(header.count(",") + 1, path.name)
    try:
        return pandas.read_csv(path)
    except (ValueError, OSError, OverflowError) as error:
        raise UsageError(f"{path.name} cannot be read as a table: {str(error).splitlines()[0]}") from error


class TabularModality(TensorModality):
    """Tables: known ones of scikit-learn, CSV and Parquet files, and data frames."""

    summary = "tables of numbers and categories: CSV, Parquet, scikit-learn's breast cancer and wine"
    Options = TabularOptions
    architectures = {"mlp": MLP, "linear": Linear, "ntk": InfiniteMLP}
    conformance_data = ("wine",)

    def datasets(self) -> Mapping[str, str]:
        """Return the tables that ship with scikit-learn."""
        return {
            "breast-cancer": "569 tumors, 30 measurements, 2 classes",
            "wine": "178 wines, 13 measurements, 3 classes",
        }

    def _frame(self, request: LoadRequest) -> Any:
        from sklearn import datasets

        if request.given is not None:
            return request.given.train
        if request.data not in self.datasets():
            return _read(Path(request.data))
        known = {"breast-cancer": datasets.load_breast_cancer, "wine": datasets.load_wine}
        bunch = known[request.data](as_frame=True)
        return bunch.data.assign(target=bunch.target_names[bunch.target])

    def load(self, request: LoadRequest) -> TensorTask:
        """Load a known table, a file or a data frame.

        Raises:
            UsageError: If it cannot be read, or has no such column, no class or no other column.
        """
        options: TabularOptions = request.options
        frame, name = self._frame(request), Path(request.data).stem
        target = options.target or str(frame.columns[-1])
        if target not in frame:
            raise UsageError(unknown("column", target, map(str, frame.columns)))
        if frame.shape[1] < 2:
            raise UsageError(f"{name!r} needs another column beside the classes in {target!r}")
        found = find_classes(frame[target], repr(name))
        labels, classes = found.numbers(frame[target], repr(name)), found.names
        places = split_rows(labels, len(classes), options)
        table = frame.drop(columns=target)
        columns = _described(table.iloc[places["train"]])
        # As a table stores them: a number takes four bytes, a category one.
        stored = sum(4 if "fill" in each else 1 for each in columns)
        items = {
            part: ArrayItems(encoded(table.iloc[rows], columns), labels[rows], name, stored)
            for part, rows in places.items()
        }
        about = {"columns": columns}
        parts = Parts(**items, drawn=tuple(part for part in places if part != "train"))
        return self.task("tabular", name, classes, parts, options, about=about)

    def read(self, raw: Any, info: DataInfo) -> torch.Tensor:
        """Return new rows, given as a data frame, as numbers."""
        if not hasattr(raw, "columns"):
            return super().read(raw, info)
        return torch.from_numpy(encoded(raw, info.about.get("columns", ())))

    def described(self, batch: Batch, info: DataInfo) -> list[str]:
        """Return each sample in words: its numbers, and of each category the likeliest."""
        natural = parse(Standardize, info.preprocessing, "preprocessing").decode(batch.inputs.detach().cpu())
        return [_worded(row, info.about.get("columns", ())) for row in natural]

    def demo(self, quick: bool) -> DemoSpec:
        """Return the tumors, distilled to one row per class."""
        return DemoSpec(
            data="breast-cancer",
            samples="tumors with 30 measurements (scikit-learn)",
            seeds=1 if quick else 3,
            settings={"steps": 50 if quick else 200, "per_class": 64},
            protocol={"networks": 1 if quick else 2},
            workers=1,
        )


def _worded(row: torch.Tensor, columns: Columns) -> str:
    cells = row.split([len(each.get("values", " ")) for each in columns])
    told = [
        each["values"][int(cell.argmax())] if "values" in each else f"{float(cell):.4g}"
        for each, cell in zip(columns, cells, strict=True)
    ]
    return ", ".join(f"{each['name']} {value}" for each, value in zip(columns, told, strict=True))


TABULAR = TabularModality()

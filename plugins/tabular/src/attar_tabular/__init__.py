"""Tables of numbers and categories, CSV or Parquet, for Attar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.infinite import InfiniteMLP
from attar.nets import MLP, Linear
from attar.plugins import DataInfo, DemoSpec, LoadRequest
from attar.settings import parse, unknown
from attar.tensor import ArrayItems, SplitOptions, Standardize, TensorModality, TensorTask, split

__all__ = ["TABULAR", "Rows", "TabularModality", "TabularOptions", "TabularTask", "encoded"]

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
    found = [{"name": name, "fill": float(numbers[name].median())} for name in numbers]
    others = frame.drop(columns=list(numbers)).astype("string")
    return [
        *found,
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
        try:
            if "fill" in each:
                cells = to_numeric(frame[each["name"]]).fillna(each["fill"]).to_numpy("float32")[:, None]
            else:
                encoder = OneHotEncoder(
                    categories=[each["values"]], handle_unknown="ignore", dtype=np.float32
                )
                cells = frame[[each["name"]]].astype("string").fillna("").to_numpy(object)
                cells = encoder.fit([[each["values"][0]]]).transform(cells).toarray()
        except ValueError as error:
            raise UsageError(
                f"the column {each['name']!r} is of numbers, but not all are: {error}"
            ) from error
        parts.append(cells)
    return np.concatenate(parts, axis=1)


class Rows(ArrayItems):
    """Encoded rows, counted as a table stores them: a number takes four bytes, a category one."""

    columns = 0

    def nbytes(self, rows: torch.Tensor) -> int:
        """Return the bytes of these rows."""
        return len(rows) * self.columns


@dataclass(frozen=True, kw_only=True)
class TabularTask(TensorTask):
    """Rows of a table.

    Attributes:
        columns: The columns, as the training rows have them.
    """

    columns: Columns

    @property
    def about(self) -> Mapping[str, Any]:
        """The columns, by which new rows are encoded and distilled ones told in words."""
        return {"columns": list(self.columns)}


def _read(path: Path) -> Any:
    import pandas

    if not path.is_file() or path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"there is no table {str(path)!r}; give a .csv or .parquet file with --data")
    try:
        return pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    except (ValueError, OSError) as error:
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
        from sklearn.datasets import load_breast_cancer, load_wine

        if request.given is not None:
            return request.given.train
        if request.data not in self.datasets():
            return _read(Path(request.data))
        bunch = {"breast-cancer": load_breast_cancer, "wine": load_wine}[request.data](as_frame=True)
        return bunch.data.assign(target=bunch.target_names[bunch.target])

    def load(self, request: LoadRequest) -> TabularTask:
        """Load a known table, a file or a data frame.

        Raises:
            UsageError: If it cannot be read, or has no such column, no class or no other column.
        """
        options: TabularOptions = request.options
        frame, name = self._frame(request), Path(request.data).stem
        target = options.target or str(frame.columns[-1])
        if target not in frame:
            raise UsageError(unknown("column", target, map(str, frame.columns)))
        if frame[target].isna().any() or frame.shape[1] < 2:
            raise UsageError(f"each row of {name!r} needs a class in {target!r} and another column beside it")
        given = frame[target].astype("string")
        classes = tuple(sorted(given.unique().tolist()))
        labels = given.map({each: label for label, each in enumerate(classes)}).to_numpy("int64")
        # Numbers of rows are split, so that columns are known from training rows alone.
        numbered = ArrayItems(np.arange(len(frame))[:, None], labels, name)
        parts = split(numbered, None, len(classes), options)
        own = [parts.train, parts.test, *([parts.validation] if parts.validation is not None else [])]
        places = [part.read(torch.arange(len(part.labels)))[:, 0].numpy() for part in own]
        table = frame.drop(columns=target)
        columns = _described(table.iloc[places[0]])
        items = [Rows(encoded(table.iloc[rows], columns), labels[rows], name) for rows in places]
        for each in items:
            each.columns = sum(4 if "fill" in column else 1 for column in columns)
        return TabularTask(
            modality="tabular",
            name=name,
            classes=classes,
            axes=("feature",),
            train=items[0],
            test=items[1],
            validation=items[2] if len(items) > 2 else None,
            preprocess=Standardize.fit(items[0]),
            architectures=self.architectures,
            architecture="mlp",
            options=options.model_dump(mode="json"),
            columns=columns,
        )

    def domain(self, info: DataInfo) -> Any:
        """Return what encodes new rows, given as a data frame, and builds models."""
        return replace(super().domain(info), read=partial(_rows, info.about.get("columns", ())))

    def described(self, batch: Batch, info: DataInfo) -> list[str]:
        """Return each sample in words: its numbers, and of each category the likeliest."""
        natural = parse(Standardize, info.preprocessing, "preprocessing").decode(batch.inputs.cpu())
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


def _rows(columns: Columns, raw: Any, feature: tuple[int, ...], preprocess: Standardize) -> torch.Tensor:
    values = encoded(raw, columns) if hasattr(raw, "columns") else np.atleast_2d(np.asarray(raw, np.float32))
    if values.shape[1:] != feature:
        raise UsageError(f"rows have {values.shape[1]} numbers, not {feature[0]}; give a data frame")
    return torch.from_numpy(values)


def _worded(row: torch.Tensor, columns: Columns) -> str:
    words, place = [], 0
    for each in columns:
        if "fill" in each:
            words.append(f"{each['name']} {row[place]:.4g}")
            place += 1
        else:
            likeliest = int(row[place : place + len(each["values"])].argmax())
            words.append(f"{each['name']} {each['values'][likeliest]}")
            place += len(each["values"])
    return ", ".join(words)


TABULAR = TabularModality()

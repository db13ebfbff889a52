"""Texts and labels as files hold them: CSV, TSV, JSON lines, Parquet."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from csv import QUOTE_MINIMAL, QUOTE_NONE
from csv import Error as CsvError
from csv import reader as csv_rows
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.classes import unlabeled
from attar.encoded.bad import Bad, refuse
from attar.errors import UsageError
from attar.limits import check_columns, first_line, lines_of
from attar.parquet import read_table
from attar.settings import unknown

from attar_text.form import TextOptions

__all__ = ["SUFFIXES", "Rows", "read_rows", "rows_of_columns"]

logger = logging.getLogger(__name__)

_TEXT_NAMES = ("text", "sentence", "content", "question", "review", "document", "body", "title")
_LABEL_NAMES = ("label", "labels", "class", "category", "target", "coarse_label", "sentiment")
_MOST_BLOCK = 2**28
_MOST_SHOWN = 60


@dataclass(frozen=True)
class Rows:
    """Texts with labels as they were read.

    Attributes:
        texts: The texts.
        labels: Words or numbers.
        where: What they are called in errors.
        names: Names of the classes that whole numbers mean, where the data say so.
        skipped: Rows that were left out, since they lack a text or a label.
    """

    texts: tuple[str, ...]
    labels: tuple[Any, ...]
    where: str
    names: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()


def rows_of_columns(
    columns: Mapping[str, Sequence[Any]],
    options: TextOptions,
    where: str,
    names: Mapping[str, Any] | None = None,
) -> Rows:
    """Return the texts and labels of a table.

    Args:
        columns: Values by column.
        options: Which columns hold what.
        where: What the table is called in errors.
        names: Names of the classes of columns that have them.

    Raises:
        UsageError: If a column is missing, or rows lack a text or a label and are not to be left out.
    """
    text = _column(columns, options.text_column, _TEXT_NAMES, "text", where)
    label = _column(columns, options.label_column, _LABEL_NAMES, "label", where)
    if text == label:
        raise UsageError(f"texts and labels of {where} are both column {text!r}; name two columns")
    texts, labels = list(columns[text]), list(columns[label])
    bad = [
        Bad(row, f"{where} has no {' and no '.join(lacks)} in row {row}")
        for row, (value, own) in enumerate(zip(texts, labels, strict=True))
        if (lacks := [*(["text"] * _textless(value, row, where)), *(["label"] * unlabeled(own))])
    ]
    if options.bad == "error":
        refuse(bad, "row")
    left_out = {each.row for each in bad}
    if left_out:
        logger.warning(
            "%s of the %s rows of %s lack a text or a label and are left out",
            len(bad),
            f"{len(texts):,}",
            where,
        )
    known = (names or {}).get(label)
    return Rows(
        tuple(value for row, value in enumerate(texts) if row not in left_out),
        tuple(value for row, value in enumerate(labels) if row not in left_out),
        where,
        None if known is None else tuple(map(str, known)),
        tuple(f"row {row}" for row in sorted(left_out)),
    )


def _column(columns: Mapping[str, Any], asked: str, usual: Sequence[str], role: str, where: str) -> str:
    wanted = (asked,) if asked else usual
    lower = {name.lower(): name for name in reversed(list(columns))}
    found = next((lower.get(name.lower()) for name in wanted if name.lower() in lower), None)
    if found is None:
        known = list(columns)
        if asked:
            raise UsageError(f"{where} lacks it: {unknown('column', asked, known)}, for data.{role}_column")
        raise UsageError(
            f"{where} has the columns {', '.join(known)}, of which none is called as {role}s are; name "
            f"it with --set data.{role}_column=NAME"
        )
    return found


def _textless(value: Any, row: int, where: str) -> bool:
    """Return whether a cell lacks a text.

    Raises:
        UsageError: If it holds something else.
    """
    # What tables of numbers and words have in empty cells.
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if not isinstance(value, str):
        raise UsageError(
            f"{where} has {type(value).__name__} instead of a text in row {row}; name another column"
        )
    return not value.strip()


def read_rows(path: Path, options: TextOptions) -> Rows:
    """Return the texts of a file, whose ending says what it is.

    Raises:
        UsageError: If the file is of another kind, damaged, no UTF-8, or lacks a column.
    """
    reader = SUFFIXES.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{str(path)!r} is no table; give a file that ends in {', '.join(SUFFIXES)}")
    try:
        rows = reader(path, options)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{str(path)!r} is not UTF-8 at byte {error.start}; convert it, as with iconv -t UTF-8"
        ) from error
    if not rows.texts:
        raise UsageError(f"{str(path)!r} is empty; give at least one text per class")
    return rows


def _delimited(delimiter: str, quoted: bool) -> Callable[[Path, TextOptions], Rows]:
    def read(path: Path, options: TextOptions) -> Rows:
        import pyarrow as pa
        from pyarrow import csv

        where = repr(str(path))
        first = first_line(path)
        if not first:
            return Rows((), (), where)
        size = path.stat().st_size
        check_columns(first.count(delimiter) + 1, where)
        try:
            cells = next(
                csv_rows([first], delimiter=delimiter, quoting=QUOTE_MINIMAL if quoted else QUOTE_NONE)
            )
        except CsvError as error:
            raise _not_a_table(path, error) from error
        header = _has_header(cells, options)
        names = cells if header else [str(number) for number in range(len(cells))]
        if len(set(names)) < len(names):
            raise UsageError(f"{where} has two columns of one name; rename one")
        try:
            table = csv.read_csv(
                path,
                read_options=csv.ReadOptions(
                    # A row has to fit into a block.
                    block_size=min(max(size + 1, 2**20), _MOST_BLOCK),
                    column_names=names,
                    skip_rows=1 if header else 0,
                ),
                parse_options=csv.ParseOptions(
                    delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
                ),
                convert_options=csv.ConvertOptions(column_types={name: pa.string() for name in names}),
            )
        except pa.ArrowInvalid as error:
            raise _not_a_table(path, error) from error
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        if not header and not (options.text_column and options.label_column):
            options = _placed(columns, options, where)
        return rows_of_columns(columns, options, where)

    return read


def _has_header(cells: Sequence[str], options: TextOptions) -> bool:
    """Return whether the first row names columns: one that is asked for, or a usual name."""
    asked = [name.lower() for name in (options.text_column, options.label_column) if name]
    if asked:
        return not all(name.isdigit() for name in asked)
    usual = {*_TEXT_NAMES, *_LABEL_NAMES}
    return any(cell.strip(' "').lower() in usual for cell in cells)


def _placed(columns: Mapping[str, Sequence[str]], options: TextOptions, where: str) -> TextOptions:
    """Return the options with the columns of a table without header: the longer cells are the texts."""
    if len(columns) < 2:
        raise UsageError(f"{where} has one column; give a text and a label in each row")
    lengths = {name: sum(map(len, cells)) for name, cells in columns.items()}
    text = options.text_column or max(lengths, key=lambda name: lengths[name])
    others = [name for name in columns if name != text]
    if len(others) > 1 and not options.label_column:
        raise UsageError(
            f"{where} has {len(columns)} columns without names; say which holds the labels, as in "
            f"--set data.label_column=1"
        )
    label = options.label_column or others[0]
    first, *more = columns[label]
    if more and first not in more and len(set(more)) < len(more):
        raise UsageError(
            f"the first row of {where} may be a header, since its label {first!r} is no other row's; name "
            f"the columns, as in --set data.text_column={columns[text][0][:_MOST_SHOWN]!r}, or say that they "
            f"have no names by --set data.text_column={text} --set data.label_column={label}"
        )
    return options.model_copy(update={"text_column": text, "label_column": label})


def _not_a_table(path: Path, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())
    if "utf8" in reason.lower().replace("-", ""):
        return UsageError(f"{str(path)!r} is not UTF-8; convert it, as with iconv -t UTF-8")
    return UsageError(f"{str(path)!r} cannot be read as a table ({reason[:200]}); repair it")


def _json_lines(path: Path, options: TextOptions) -> Rows:
    where = repr(str(path))
    found: list[Mapping[str, Any]] = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(lines_of(file, where)):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                # Numbers of thousands of digits, and brackets nested as deep, are no JSON for Python.
                shown = line.strip()[:_MOST_SHOWN]
                raise UsageError(f"line {number + 1} of {where} is no JSON ({shown!r}); repair it") from error
            if not isinstance(value, dict):
                raise UsageError(f"line {number + 1} of {where} is no JSON object; give one per line")
            found.append(value)
    if not found:
        return Rows((), (), where)
    return rows_of_columns(_Fields(found), options, where)


class _Fields(Mapping[str, list[Any]]):
    """Columns of JSON objects, each gathered when it is asked for: there may be as many as values."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows
        self._names = list(dict.fromkeys(name for row in rows for name in row))

    def __getitem__(self, name: str) -> list[Any]:
        return [row.get(name) for row in self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _parquet(path: Path, options: TextOptions) -> Rows:
    table = read_table(path)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return rows_of_columns(columns, options, repr(str(path)), _features(table.schema.metadata or {}))


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the names of classes that Hugging Face's metadata give columns."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if isinstance(kind.get("names"), list)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


SUFFIXES: Mapping[str, Callable[[Path, TextOptions], Rows]] = {
    ".csv": _delimited(",", quoted=True),
    ".tsv": _delimited("\t", quoted=False),
    ".tab": _delimited("\t", quoted=False),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
"""What reads a file, by its ending."""

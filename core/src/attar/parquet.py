"""Parquet files from outside: opened in one way, and never larger in memory than they may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attar.errors import UsageError
from attar.limits import check_columns, check_unpacked

__all__ = ["open_parquet", "parquet_batches", "read_table"]

_ROWS = 64
_LARGE = 2**26


def open_parquet(path: Path, install: str = "pyarrow") -> Any:
    """Return a Parquet file of pyarrow.

    Args:
        path: The file.
        install: What to install where pyarrow is missing.

    Raises:
        UsageError: If pyarrow is missing, the file is damaged, or it announces more columns or rows than it
            can hold.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(f"reading Parquet needs pyarrow: pip install {install}") from error
    where = repr(str(path))
    if not path.is_file():
        raise UsageError(f"{where} is no file; give a Parquet file")
    try:
        file = parquet.ParquetFile(path)
        columns = file.metadata.num_columns
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{where} cannot be read as Parquet; restore it") from error
    check_columns(columns, where)
    check_unpacked(8 * file.metadata.num_rows, path.stat().st_size, where)
    return file


def parquet_batches(file: Any, path: Path, columns: Sequence[str] | None, rows: int = _ROWS) -> Iterator[Any]:
    """Yield the rows of a Parquet file, some at a time.

    Args:
        file: The opened file.
        path: Where it is.
        columns: Columns that are read; None for all.
        rows: How many are read together, fewer where they may be large.

    Raises:
        UsageError: If they take much more than the file does, or it is damaged.
    """
    import pyarrow as pa

    size, taken, where = path.stat().st_size, 0, repr(str(path))
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    check_unpacked(sum(group.total_byte_size for group in groups), size, where)
    # A value that is stored once may be meant by every row.
    if max((group.total_byte_size for group in groups), default=0) > _LARGE:
        rows = min(rows, _ROWS)
    if _repeats(groups):
        rows = 1
    try:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            taken += batch.nbytes
            check_unpacked(taken, size, where)
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{where} cannot be read as Parquet; restore it") from error


def _repeats(groups: Sequence[Any]) -> bool:
    """Return whether a column is much smaller on the disk than what it unpacks to, as repeated values are."""
    return any(
        column.total_uncompressed_size > max(_LARGE // 8, 16 * column.total_compressed_size)
        for group in groups
        for column in (group.column(place) for place in range(group.num_columns))
    )


def read_table(path: Path, columns: Sequence[str] | None = None, install: str = "pyarrow") -> Any:
    """Return a Parquet file as a table of pyarrow.

    Args:
        path: The file.
        columns: Columns that are read; None for all.
        install: What to install where pyarrow is missing.

    Raises:
        UsageError: As :func:`open_parquet` and :func:`parquet_batches`.
    """
    file = open_parquet(path, install)
    import pyarrow as pa

    wanted = None if columns is None else list(columns)
    schema = file.schema_arrow if wanted is None else pa.schema([file.schema_arrow.field(n) for n in wanted])
    batches = list(parquet_batches(file, path, wanted, 2**14))
    return pa.Table.from_batches(batches, schema=schema)

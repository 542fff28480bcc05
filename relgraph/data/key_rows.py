"""Keys and times of a table's rows, read in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.arrays import Arrays
from relgraph.data.keys import Keys, TextColumn
from relgraph.data.schema import TableSchema
from relgraph.data.sql import WHOLE_NUMBERS, quote
from relgraph.data.stream import numbers, stream
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["Column", "Rows", "is_whole", "missing_time", "read_rows"]

_WHOLE = set(WHOLE_NUMBERS) - {"HUGEINT", "UHUGEINT", "UBIGINT"}  # those that fit int64


@dataclass(frozen=True)
class Column:
    """A column of whole numbers.

    Args:
        values: int64 ``[rows]``, 0 where there is none.
        given: Where there is one, ``[rows]``; ``None`` if everywhere.
    """

    values: Tensor
    given: NDArray[np.bool_] | None = None


@dataclass
class Rows:
    """What one pass over a table gives.

    Args:
        keys: The primary key of every row; ``None`` without one, or where a row has none.
        lacking: Rows without a primary key, if the table has one.
        time: The time of every row by the table's own time column.
        columns: The columns of whole numbers that keys refer to, by name.
    """

    keys: Keys | None = None
    lacking: int = 0
    time: Tensor | None = None
    columns: dict[str, Column] = field(default_factory=dict)


def is_whole(table: TableSchema, column: str) -> bool:
    """Whether a column holds whole numbers that fit int64."""
    return table.column(column).dtype.upper() in _WHOLE


def missing_time(null_time: str) -> int:
    """What stands for a time that is NULL."""
    return UNKNOWN if null_time == "unknown" else STATIC


def read_rows(
    db: Database,
    cursor: duckdb.DuckDBPyConnection,
    table: TableSchema,
    referred: set[str],
    null_time: str,
    arrays: Arrays,
) -> Rows:
    """Keys, times, and the columns that keys of other tables refer to.

    Args:
        db: The database.
        cursor: A connection to it.
        table: Which table.
        referred: Columns that a key of one column refers to.
        null_time: What a NULL time means, ``"unknown"`` or ``"static"``.
        arrays: Where the results lie.
    """
    num_rows, numbered = db.num_rows(table.name), f"({db.numbered(table.name)})"
    rows = Rows(lacking=_lacking(cursor, table, numbered))
    keyed = bool(table.primary_key) and not rows.lacking
    wanted = [
        name
        for name in table.column_names
        if is_whole(table, name) and (name in referred or (keyed and name in table.primary_key))
    ]
    terms = [f"CAST({quote(name)} AS BIGINT)" for name in wanted]
    values = {name: arrays.empty((num_rows,), torch.int64) for name in wanted}
    given: dict[str, NDArray[np.bool_]] = {}
    targets = [values[name].numpy() for name in wanted]
    if table.time_column is not None:
        rows.time = arrays.empty((num_rows,), torch.int64)
        targets.append(rows.time.numpy())
        terms.append(f"coalesce({db.time_sql(table.name)}, {missing_time(null_time)})")
    if terms:
        for places, batch in stream(cursor, f'SELECT "__row", {", ".join(terms)} FROM {numbered}'):
            for i, (target, column) in enumerate(zip(targets, batch, strict=True)):
                if column.null_count:
                    known = np.asarray(column.is_valid())
                    given.setdefault(wanted[i], np.ones(num_rows, dtype=np.bool_))[places] = known
                    column = column.fill_null(0)
                target[places] = numbers(column)
    rows.columns = {name: Column(values[name], given.get(name)) for name in wanted if name in referred}
    if keyed:
        parts = tuple(
            values[name] if name in values else _text(cursor, numbered, quote(name), num_rows, arrays)
            for name in table.primary_key
        )
        rows.keys = Keys(table.primary_key, parts)
    return rows


def _lacking(cursor: duckdb.DuckDBPyConnection, table: TableSchema, numbered: str) -> int:
    if not table.primary_key:
        return 0
    missing = " OR ".join(f"{quote(name)} IS NULL" for name in table.primary_key)
    return int(cursor.execute(f"SELECT count(*) FROM {numbered} WHERE {missing}").fetchall()[0][0])


def _text(cursor: duckdb.DuckDBPyConnection, numbered: str, name: str, num_rows: int, arrays: Arrays) -> TextColumn:
    """A column without NULLs as text, in the order of the rows."""
    import pyarrow

    term = f"CAST({name} AS VARCHAR)"
    size = cursor.execute(f"SELECT coalesce(sum(strlen({term})), 0) FROM {numbered}").fetchall()[0][0]
    offsets = arrays.empty((num_rows + 1,), torch.int64)
    data = arrays.empty((int(size),), torch.uint8)
    offsets[0] = 0
    # a scan mostly comes in order, and then needs no sorting
    for order in ("", ' ORDER BY "__row"'):
        row = end = 0
        for places, (column,) in stream(cursor, f'SELECT "__row", {term} FROM {numbered}{order}'):
            if not isinstance(places, slice) or places.start != row:
                break
            text = column.cast(pyarrow.large_string())
            _, bounds, content = text.buffers()
            ends = np.frombuffer(bounds, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
            first, last = int(ends[0]), int(ends[-1])
            offsets.numpy()[row + 1 : row + 1 + len(text)] = ends[1:] + (end - first)
            if last > first:
                data.numpy()[end : end + last - first] = np.frombuffer(content, dtype=np.uint8)[first:last]
            row, end = row + len(text), end + last - first
        if (row, end) == (num_rows, size):
            return TextColumn(offsets, data)
    raise AdapterError(f"{name}: expected {num_rows:,} keys of {size:,} bytes, got {row:,} of {end:,}")

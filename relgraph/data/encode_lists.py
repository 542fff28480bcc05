"""Columns of lists: numbers as embeddings, parts as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.arrays import Arrays
from relgraph.data.columns import MAX_CATEGORIES, ColumnMeaning
from relgraph.data.narrow import Source, narrowed
from relgraph.data.ragged import Ragged
from relgraph.data.reading import finite
from relgraph.data.sql import quote
from relgraph.data.stream import numbers, stream

if TYPE_CHECKING:
    import duckdb

__all__ = ["encode_embeddings", "encode_lists", "enter_codes"]

_PARTS = "temp.main.__relgraph_parts"
_LISTS = "temp.main.__relgraph_lists"


def encode_embeddings(
    connection: duckdb.DuckDBPyConnection,
    numbered: Source,
    fitted: Source,
    columns: Sequence[ColumnMeaning],
    num_rows: int,
    arrays: Arrays,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Tensor, dict[str, dict[str, Any]]]:
    """Encode columns of lists of numbers.

    Args:
        connection: Where the table is; used for nothing else meanwhile.
        numbered: All rows, with their number in ``"__row"``.
        fitted: The rows that statistics may see.
        columns: The columns.
        num_rows: Rows of the table.
        arrays: Where the result lies.
        given: Their statistics, where these are not to be fitted.

    Returns:
        float32 ``[num_rows, total width]``, the columns side by side; NaN for NULL, for a list of another length than
        the fitted one, and for an element that is NULL or infinite as float32. And per column ``emb_dim`` and
        ``scale``, the root of the mean square of the fitted numbers.
    """
    if given is None:
        stats = {m.name: _embedding_stats(connection, narrowed(fitted, [m.name]), m) for m in columns}
    else:
        stats = {m.name: dict(given[m.name]) for m in columns}
    widths = [stats[meaning.name]["emb_dim"] for meaning in columns]
    out = arrays.full((num_rows, sum(widths)), float("nan"), torch.float32)
    ends = np.cumsum([0, *widths])
    for meaning, start, end in zip(columns, ends, ends[1:], strict=False):
        fits = f"CASE WHEN len(v) = {end - start} THEN v END"
        rows = narrowed(numbered, [meaning.name])
        sql = f'SELECT "__row", {fits} FROM (SELECT "__row", CAST({meaning.sql} AS DOUBLE[]) AS v FROM {rows})'
        for places, (lists,) in stream(connection, sql):
            block = np.full((len(lists), end - start), np.nan, dtype=np.float32)
            with np.errstate(over="ignore"):
                values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
            values[np.isinf(values)] = np.nan
            block[lists.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, end - start)
            out.numpy()[places, start:end] = block
    return out, stats


def _embedding_stats(connection: duckdb.DuckDBPyConnection, fitted: str, meaning: ColumnMeaning) -> dict[str, Any]:
    vectors = f"(SELECT {meaning.sql} AS v FROM {fitted})"
    width = connection.execute(f"SELECT max(len(v)) FROM {vectors}").fetchall()[0][0]
    square = f"SELECT sqrt(avg(x * x)) FROM (SELECT {finite('x')} AS x FROM (SELECT unnest(v) AS x FROM {vectors}))"
    scale = connection.execute(square).fetchall()[0][0]
    # twelve digits: parallel sums differ in the last ones from run to run
    return {"emb_dim": width, "scale": float(f"{scale or 0.0:.12g}")}


def encode_lists(
    connection: duckdb.DuckDBPyConnection,
    numbered: Source,
    fitted: Source,
    columns: Sequence[ColumnMeaning],
    num_rows: int,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Ragged, dict[str, dict[str, Any]]]:
    """Encode columns of lists of parts.

    Args:
        connection: Where the table is; used for nothing else meanwhile.
        numbered: All rows, with their number in ``"__row"``.
        fitted: The rows that statistics may see.
        columns: The columns.
        num_rows: Rows of the table.
        given: Their statistics, where these are not to be fitted.

    Returns:
        The codes of each row, different and ascending. NULL, an empty list and a list of parts that are no category
        are all an empty cell. And per column ``categories``, by the number of fitted rows that have them, then by
        text, at most :data:`MAX_CATEGORIES`; and these numbers as ``counts``. Until the result stands, 24 bytes are
        used per part.
    """
    stats, cells = {}, []
    for meaning in columns:
        if given is None:
            stats[meaning.name] = _count_parts(connection, narrowed(fitted, [meaning.name]), meaning)
        else:
            stats[meaning.name] = dict(given[meaning.name])
            enter_codes(connection, "__relgraph_parts", stats[meaning.name]["categories"])
        found = stats[meaning.name]["categories"]
        cells.append(_codes(connection, narrowed(numbered, [meaning.name]), meaning, len(found), num_rows))
        connection.execute(f"DROP TABLE {_PARTS}")
    return Ragged.from_columns(num_rows, cells), stats


def _count_parts(connection: duckdb.DuckDBPyConnection, seen: str, meaning: ColumnMeaning) -> dict[str, Any]:
    """Statistics of a column of lists; makes the table of its codes."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __relgraph_parts AS "
        "SELECT value, n, row_number() OVER (ORDER BY n DESC, value) - 1 AS code FROM "
        f"(SELECT value, count(*) AS n FROM (SELECT unnest({meaning.sql}) AS value FROM {seen}) GROUP BY value) "
        f"ORDER BY n DESC, value LIMIT {MAX_CATEGORIES}"
    )
    found = connection.execute(f"SELECT value, n FROM {_PARTS} ORDER BY code").fetchall()
    return {"categories": [row[0] for row in found], "counts": [row[1] for row in found]}


def enter_codes(connection: duckdb.DuckDBPyConnection, table: str, values: Sequence[str]) -> None:
    """Make a temporary table with ``value`` and its ``code``, the place of each text in ``values``."""
    import pyarrow

    codes = pyarrow.table({"value": pyarrow.array(values, pyarrow.string()), "code": range(len(values))})
    connection.register("__relgraph_given", codes)
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT value, code FROM __relgraph_given")
    finally:
        connection.unregister("__relgraph_given")


def _codes(
    connection: duckdb.DuckDBPyConnection, numbered: str, meaning: ColumnMeaning, categories: int, num_rows: int
) -> tuple[Tensor, Tensor]:
    """All codes in the order of rows, and how many each row has."""
    column = quote(meaning.name)
    # every different list is taken apart once
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __relgraph_lists AS SELECT t.whole, list(c.code) AS codes FROM "
        f"(SELECT {column} AS whole, unnest({meaning.sql}) AS part FROM (SELECT DISTINCT {column} FROM {numbered})) t "
        f"JOIN {_PARTS} c ON t.part = c.value GROUP BY t.whole"
    )
    sql = f'SELECT t."__row", unnest(d.codes) FROM {numbered} t JOIN {_LISTS} d ON t.{column} = d.whole'
    pairs: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    for places, (code,) in stream(connection, sql):
        rows = np.arange(places.start, places.stop) if isinstance(places, slice) else places
        pairs.append(rows * max(categories, 1) + numbers(code))
    connection.execute(f"DROP TABLE {_LISTS}")
    ordered = np.concatenate(pairs)
    pairs.clear()
    ordered.sort()
    row, code = np.divmod(ordered, max(categories, 1))
    return torch.from_numpy(code), torch.from_numpy(np.bincount(row, minlength=num_rows))

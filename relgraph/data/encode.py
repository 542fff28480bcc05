"""Columns as tensors with statistics: whole columns at a time, computed inside DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.arrays import Arrays
from relgraph.data.columns import ENCODED, ColumnMeaning
from relgraph.data.encode_lists import encode_embeddings, encode_lists, enter_codes
from relgraph.data.encode_text import encode_texts
from relgraph.data.features import Features
from relgraph.data.narrow import Source, narrowed
from relgraph.data.number_stats import number_stats
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.stream import Places, numbers, stream
from relgraph.data.text import DEFAULT_TEXT, TextEncoder

if TYPE_CHECKING:
    import duckdb

__all__ = ["encode_columns"]

_HELD = 1 << 26  # values that exact quantiles may hold in memory at once
_TOGETHER = 32  # columns of one query


def encode_columns(
    connection: duckdb.DuckDBPyConnection,
    numbered: Source,
    fitted: Source,
    meanings: list[ColumnMeaning],
    num_rows: int,
    arrays: Arrays | None = None,
    text: TextEncoder = DEFAULT_TEXT,
    progress: bool = False,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> Features | None:
    """The feature columns as tensors.

    Args:
        connection: Where the table is.
        numbered: All rows, with their number in ``"__row"``.
        fitted: The rows that statistics may see.
        meanings: The columns; those left out are skipped.
        num_rows: Rows of the table.
        arrays: Where the tensors lie; memory by default.
        text: What encodes text.
        progress: Show on stderr how far the encoding of text is.
        given: Statistics of these columns that were fitted elsewhere and hold here; values of categorical columns are
            then compared as text.

    Returns:
        The features, or ``None`` when no column becomes one.
    """
    arrays = arrays or Arrays()
    used = {kind: [m for m in meanings if m.kind is kind and m.left_out is None] for kind in ENCODED}
    used = {kind: columns for kind, columns in used.items() if columns}
    if not used:
        return None
    categorical = used.get(SemanticType.CATEGORICAL, [])
    if given is None:
        tables = _count_categories(connection, fitted, categorical)
    else:
        tables = {m.name: _enter_categories(connection, i, given[m.name]) for i, m in enumerate(categorical)}
    try:
        stats = _column_stats(connection, fitted, used, tables, num_rows) if given is None else dict(given)
        encoders: dict[SemanticType, Callable[[Tensor, int, ColumnMeaning], _Column]] = {
            SemanticType.NUMERICAL: _number_column,
            SemanticType.CATEGORICAL: lambda out, i, meaning: _category_column(out, i, meaning, tables[meaning.name]),
            SemanticType.TIMESTAMP: lambda out, i, meaning: _timestamp_column(out, i, meaning, stats[meaning.name]),
        }
        shapes: dict[SemanticType, tuple[torch.dtype, tuple[int, ...]]] = {
            SemanticType.NUMERICAL: (torch.float32, ()),
            SemanticType.CATEGORICAL: (torch.int64, ()),
            SemanticType.TIMESTAMP: (torch.int16, (7,)),
        }
        tensors = {
            kind: arrays.empty((num_rows, len(used[kind]), *shape), dtype)
            for kind, (dtype, shape) in shapes.items()
            if kind in used
        }
        scanned = [encoders[kind](out, i, m) for kind, out in tensors.items() for i, m in enumerate(used[kind])]
        for start in range(0, len(scanned), _TOGETHER):
            _scan(connection, numbered, scanned[start : start + _TOGETHER])
    finally:
        for name in tables.values():
            connection.execute(f"DROP TABLE {name}")
    values: dict[SemanticType, Tensor | Ragged] = dict(tensors)
    found: tuple[Tensor | Ragged, dict[str, dict[str, Any]]]
    for kind in (kind for kind in used if kind not in tensors):
        if kind is SemanticType.MULTICATEGORICAL:
            found = encode_lists(connection, numbered, fitted, used[kind], num_rows, given)
        elif kind is SemanticType.EMBEDDING:
            found = encode_embeddings(connection, numbered, fitted, used[kind], num_rows, arrays, given)
        else:
            found = encode_texts(connection, numbered, used[kind], text, num_rows, arrays, progress, given)
        values[kind] = found[0]
        stats |= found[1]
    names = {kind: tuple(meaning.name for meaning in columns) for kind, columns in used.items()}
    return Features(num_rows, {kind: values[kind] for kind in used}, names, stats)


@dataclass(frozen=True)
class _Column:
    """How a column is read: what it is called ``x`` stands for, terms over it, and who takes their values.

    Args:
        name: The column.
        value: SQL over it, without NULLs to come.
        terms: SQL over ``{x}``; none of them NULL.
        write: Takes the rows of a batch, and one array per term.
        join: The table of codes that is joined where ``{x}`` is its ``value``; terms then see its ``{c}.code``.
    """

    name: str
    value: str
    terms: Sequence[str]
    write: Callable[[Places, list[NDArray[Any]]], None]
    join: str | None = None


def _scan(connection: duckdb.DuckDBPyConnection, numbered: Source, columns: Sequence[_Column]) -> None:
    """Read several columns in one pass."""
    inner = ", ".join(f"{column.value} AS x{i}" for i, column in enumerate(columns))
    terms = [term.format(x=f"t.x{i}", c=f"c{i}") for i, column in enumerate(columns) for term in column.terms]
    joins = [f"LEFT JOIN {c.join} c{i} ON t.x{i} = c{i}.value" for i, c in enumerate(columns) if c.join is not None]
    rows = f'(SELECT "__row", {inner} FROM {narrowed(numbered, [column.name for column in columns])})'
    sql = f'SELECT t."__row", {", ".join(terms)} FROM {rows} t {" ".join(joins)}'
    for places, batch in stream(connection, sql):
        at = 0
        for column in columns:
            column.write(places, [numbers(part) for part in batch[at : at + len(column.terms)]])
            at += len(column.terms)


def _column_stats(
    connection: duckdb.DuckDBPyConnection,
    fitted: Source,
    used: Mapping[SemanticType, list[ColumnMeaning]],
    tables: Mapping[str, str],
    num_rows: int,
) -> dict[str, dict[str, Any]]:
    stats: dict[str, dict[str, Any]] = {}
    for columns in _groups(used.get(SemanticType.NUMERICAL, []), num_rows):
        relation = narrowed(fitted, [meaning.name for meaning in columns])
        found = number_stats(connection, relation, [meaning.sql for meaning in columns], num_rows)
        stats |= {meaning.name: one for meaning, one in zip(columns, found, strict=True)}
    for meaning in used.get(SemanticType.CATEGORICAL, []):
        rows = connection.execute(f"SELECT CAST(value AS VARCHAR), n FROM {tables[meaning.name]} ORDER BY code")
        categories = rows.fetchall()
        stats[meaning.name] = {"categories": [row[0] for row in categories], "counts": [row[1] for row in categories]}
    for columns in _groups(used.get(SemanticType.TIMESTAMP, []), num_rows):
        stats |= _timestamp_stats(connection, fitted, columns)
    return stats


def _groups(columns: list[ColumnMeaning], num_rows: int) -> Iterator[list[ColumnMeaning]]:
    size = max(1, min(_TOGETHER, _HELD // max(num_rows, 1)))
    for start in range(0, len(columns), size):
        yield columns[start : start + size]


def _count_categories(
    connection: duckdb.DuckDBPyConnection, fitted: Source, columns: list[ColumnMeaning]
) -> dict[str, str]:
    """Per column a temporary table of its categories with ``value``, ``n`` and ``code``, by count, then value."""
    tables = {}
    for i, meaning in enumerate(columns):
        relation = narrowed(fitted, [meaning.name])
        value, table = meaning.sql, f"temp.main.__relgraph_categories_{i}"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE __relgraph_categories_{i} AS "
            "SELECT value, n, row_number() OVER (ORDER BY n DESC, value) - 1 AS code FROM "
            f"(SELECT {value} AS value, count(*) AS n FROM {relation} WHERE {value} IS NOT NULL GROUP BY {value})"
        )
        tables[meaning.name] = table
    return tables


def _enter_categories(connection: duckdb.DuckDBPyConnection, place: int, stats: Mapping[str, Any]) -> str:
    """The same table from categories that were found before, as text."""
    enter_codes(connection, f"__relgraph_categories_{place}", stats["categories"])
    return f"temp.main.__relgraph_categories_{place}"


def _timestamp_stats(
    connection: duckdb.DuckDBPyConnection, fitted: Source, columns: list[ColumnMeaning]
) -> dict[str, dict[str, Any]]:
    inner = ", ".join(f"{meaning.sql} AS t{i}" for i, meaning in enumerate(columns))
    moments = ", ".join(f"{f}(t{i}{more})" for i in range(len(columns)) for f, more in _MOMENTS)
    relation = narrowed(fitted, [meaning.name for meaning in columns])
    # one below the other, so that their parts are a few terms and not twenty per column
    found = f"SELECT unnest([{moments}]) AS m, generate_subscripts([{moments}], 1) AS j"
    sql = f"SELECT {', '.join(_stamp_parts('m'))} FROM ({found} FROM (SELECT {inner} FROM {relation})) ORDER BY j"
    row = [list(parts) for parts in connection.execute(sql).fetchall()]
    stats = {}
    for i, meaning in enumerate(columns):
        oldest, newest, median = row[3 * i : 3 * i + 3]
        if oldest[1] is None:  # only infinities
            oldest = newest = median = [1970, 0, 0, 3, 0, 0, 0]
        years = [oldest[0], newest[0]]
        stats[meaning.name] = {"year_range": years, "oldest": oldest, "newest": newest, "median": median}
    return stats


_MOMENTS = (("min", ""), ("max", ""), ("quantile_disc", ", 0.5"))


def _stamp_parts(t: str) -> list[str]:
    """Year, month - 1, day - 1, weekday from Monday, hour, minute, second: PyTorch Frame's order."""
    return [f"greatest(least(year({t}), 9999), 1)", f"month({t}) - 1", f"day({t}) - 1", f"isodow({t}) - 1"] + [
        f"{part}({t})" for part in ("hour", "minute", "second")
    ]


def _number_column(out: Tensor, i: int, meaning: ColumnMeaning) -> _Column:
    target = out.numpy()

    def write(places: Places, parts: list[NDArray[Any]]) -> None:
        with np.errstate(over="ignore"):
            values = parts[0].astype(np.float32)
        values[np.isinf(values)] = np.nan
        target[places, i] = values

    return _Column(meaning.name, meaning.sql, ["coalesce({x}, CAST('nan' AS DOUBLE))"], write)


def _category_column(out: Tensor, i: int, meaning: ColumnMeaning, table: str) -> _Column:
    target = out.numpy()

    def write(places: Places, parts: list[NDArray[Any]]) -> None:
        target[places, i] = parts[0]

    return _Column(meaning.name, meaning.sql, ["coalesce({c}.code, -1)"], write, table)


def _timestamp_column(out: Tensor, i: int, meaning: ColumnMeaning, stats: Mapping[str, Any]) -> _Column:
    target = out.numpy()
    year, *parts = _stamp_parts("{x}")
    # PyTorch Frame's encoder takes no year below the fitted range; one above was never seen in training either
    low, high = stats["year_range"]
    terms = [f"greatest(least({year}, {high}), {low})", *parts]

    def write(places: Places, parts: list[NDArray[Any]]) -> None:
        for j, part in enumerate(parts):
            target[places, i, j] = part

    # greatest() and least() pass over NULL
    terms = [f"CAST(CASE WHEN {{x}} IS NULL THEN -1 ELSE {term} END AS SMALLINT)" for term in terms]
    return _Column(meaning.name, meaning.sql, terms, write)

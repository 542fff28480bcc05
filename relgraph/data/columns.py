"""What each column of a table means, and its values as tensors with statistics; all of it computed inside DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.schema import ColumnSchema, SemanticType, TableSchema
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import duckdb

__all__ = ["ColumnMeaning", "encode_columns", "understand_columns"]

_FRACTIONAL = (*FRACTIONS, "DECIMAL")
_TIMES = ("DATE", "TIMESTAMP")
_MAX_CATEGORIES = 1000
_FEW_NUMBERS = 10
_ID_NAME = re.compile(r"(^|_)id$|[a-z]I[dD]$|ID$")
_ENCODED = (SemanticType.NUMERICAL, SemanticType.CATEGORICAL, SemanticType.TIMESTAMP)


@dataclass(frozen=True)
class ColumnMeaning:
    """A column with its semantic type and, where it becomes no feature, the reason."""

    name: str
    dtype: str
    kind: SemanticType
    left_out: str | None = None


@dataclass(frozen=True)
class _Profile:
    """What whole-column SQL says about a column: non-NULL rows, distinct values, and for text how long and wordy."""

    rows: int
    distinct: int
    length: float = 0.0
    words: float = 0.0
    dates: int = 0


def understand_columns(
    connection: duckdb.DuckDBPyConnection,
    table: TableSchema,
    fitted: str,
    types: Mapping[str, SemanticType],
) -> list[ColumnMeaning]:
    """The semantic type of every column that is part of no key.

    Args:
        connection: Where the table is.
        table: Its schema.
        fitted: SQL of the rows that may be looked at (those up to the fit time), to stand after FROM.
        types: Types given instead of found, by column name.

    Raises:
        SchemaError: If a given type does not fit the storage type or names no column.
    """
    for name in types:
        table.column(name)
    columns = [column for column in table.columns if column.name not in table.key_columns]
    profiles = _profile(connection, columns, fitted)
    meanings = []
    for column, profile in zip(columns, profiles, strict=True):
        kind = types.get(column.name) or _find_type(column, profile)
        meanings.append(_meaning(table.name, column, kind, profile))
    return meanings


def encode_columns(
    connection: duckdb.DuckDBPyConnection,
    numbered: str,
    fitted: str,
    meanings: list[ColumnMeaning],
    num_rows: int,
) -> Features | None:
    """The feature columns as tensors.

    Args:
        connection: Where the table is.
        numbered: SQL of all rows with their number in ``__row``, to stand after FROM.
        fitted: SQL of the rows that statistics may see.
        meanings: The columns; those left out are skipped.
        num_rows: Rows of the table.

    Returns:
        The features, or ``None`` when no column becomes one.
    """
    used = {kind: [m for m in meanings if m.kind is kind and m.left_out is None] for kind in _ENCODED}
    used = {kind: columns for kind, columns in used.items() if columns}
    if not used:
        return None
    stats: dict[str, dict[str, Any]] = {}
    for meaning in used.get(SemanticType.NUMERICAL, []):
        stats[meaning.name] = _numerical_stats(connection, fitted, meaning)
    for meaning in used.get(SemanticType.CATEGORICAL, []):
        stats[meaning.name] = _category_stats(connection, fitted, meaning)
    for meaning in used.get(SemanticType.TIMESTAMP, []):
        stats[meaning.name] = _timestamp_stats(connection, fitted, meaning)
    encoders = {
        SemanticType.NUMERICAL: _encode_numbers,
        SemanticType.CATEGORICAL: _encode_categories,
        SemanticType.TIMESTAMP: _encode_timestamps,
    }
    values = {kind: encoders[kind](connection, numbered, columns, stats, num_rows) for kind, columns in used.items()}
    names = {kind: tuple(meaning.name for meaning in columns) for kind, columns in used.items()}
    return Features(num_rows, values, names, stats)


def _profile(connection: duckdb.DuckDBPyConnection, columns: list[ColumnSchema], fitted: str) -> list[_Profile]:
    if not columns:
        return []
    terms: list[str] = []
    for column in columns:
        name = quote(column.name)
        terms += [f"count({name})", "0" if _unsupported(column.dtype) else f"count(DISTINCT {name})"]
        if column.dtype == "VARCHAR":
            terms += [
                f"coalesce(avg(length({name})), 0)",
                f"coalesce(avg(length({name}) - length(replace({name}, ' ', ''))), 0)",
                f"count(TRY_CAST({name} AS TIMESTAMP))",
            ]
        else:
            terms += ["0", "0", "0"]
    row = connection.execute(f"SELECT {', '.join(terms)} FROM {fitted}").fetchall()[0]
    return [_Profile(*row[i : i + 5]) for i in range(0, len(row), 5)]


def _find_type(column: ColumnSchema, profile: _Profile) -> SemanticType:
    dtype, name = column.dtype.upper(), column.name
    if _unsupported(dtype):
        return SemanticType.UNSUPPORTED
    if profile.distinct <= 1:
        return SemanticType.CONSTANT
    if dtype == "BOOLEAN" or dtype.startswith("ENUM"):
        return SemanticType.CATEGORICAL
    if dtype.startswith(_TIMES):
        return SemanticType.TIMESTAMP
    if dtype.startswith(WHOLE_NUMBERS):
        if _ID_NAME.search(name):
            few = profile.distinct <= min(_MAX_CATEGORIES, profile.rows // 2)
            return SemanticType.CATEGORICAL if few else SemanticType.IDENTIFIER
        return SemanticType.CATEGORICAL if profile.distinct <= _FEW_NUMBERS else SemanticType.NUMERICAL
    if dtype.startswith(_FRACTIONAL) or dtype.startswith("TIME"):
        return SemanticType.NUMERICAL
    return _find_text_type(profile)


def _find_text_type(profile: _Profile) -> SemanticType:
    if profile.dates == profile.rows:
        return SemanticType.TIMESTAMP
    if profile.distinct <= min(_MAX_CATEGORIES, max(profile.rows // 2, 2)) and profile.length <= 60:
        return SemanticType.CATEGORICAL
    if profile.words >= 1 or profile.length > 40:
        return SemanticType.TEXT
    return SemanticType.IDENTIFIER


def _meaning(table: str, column: ColumnSchema, kind: SemanticType, profile: _Profile) -> ColumnMeaning:
    dtype = column.dtype.upper()
    if kind is SemanticType.NUMERICAL and not dtype.startswith((*WHOLE_NUMBERS, *_FRACTIONAL, "BOOLEAN", "TIME")):
        raise SchemaError(f"{table}.{column.name} is {dtype} and cannot be numerical")
    if kind is SemanticType.TIMESTAMP and not (dtype.startswith(_TIMES) or profile.dates == profile.rows > 0):
        raise SchemaError(f"{table}.{column.name} is {dtype} and cannot be a timestamp")
    left_out = None
    if kind not in _ENCODED:
        left_out = kind.value
    elif profile.rows == 0:
        left_out = "no value up to the fit time"
    return ColumnMeaning(column.name, column.dtype, kind, left_out)


def _unsupported(dtype: str) -> bool:
    known = (*WHOLE_NUMBERS, *_FRACTIONAL, *_TIMES, "TIME", "BOOLEAN", "ENUM", "VARCHAR", "UUID")
    return not dtype.upper().startswith(known) or dtype.endswith("]")


def _number_sql(meaning: ColumnMeaning) -> str:
    name = quote(meaning.name)
    if meaning.dtype.upper().startswith("TIME"):
        return f"epoch({name})"
    return f"CAST({name} AS DOUBLE)"


def _numerical_stats(connection: duckdb.DuckDBPyConnection, fitted: str, meaning: ColumnMeaning) -> dict[str, Any]:
    sql = (
        "SELECT avg(x), stddev_pop(x), quantile_cont(x, [0, 0.25, 0.5, 0.75, 1]) "
        f"FROM (SELECT {_number_sql(meaning)} AS x FROM {fitted}) WHERE isfinite(x)"
    )
    mean, std, quantiles = connection.execute(sql).fetchall()[0]
    if mean is None:  # only infinities and NaN
        return {"mean": 0.0, "std": 0.0, "quantiles": [0.0] * 5}
    # twelve digits: parallel sums differ in the last ones from run to run
    return {"mean": _digits(mean), "std": _digits(std), "quantiles": [_digits(q) for q in quantiles]}


def _category_stats(connection: duckdb.DuckDBPyConnection, fitted: str, meaning: ColumnMeaning) -> dict[str, Any]:
    name = quote(meaning.name)
    sql = (
        f"SELECT CAST({name} AS VARCHAR), count(*) AS n FROM {fitted} WHERE {name} IS NOT NULL "
        f"GROUP BY {name} ORDER BY n DESC, {name}"
    )
    rows = connection.execute(sql).fetchall()
    return {"categories": [row[0] for row in rows], "counts": [row[1] for row in rows]}


def _timestamp_stats(connection: duckdb.DuckDBPyConnection, fitted: str, meaning: ColumnMeaning) -> dict[str, Any]:
    stamp = _stamp_sql(meaning)
    parts = ", ".join(f"[{', '.join(_stamp_parts(t))}]" for t in ("min(t)", "max(t)", "quantile_disc(t, 0.5)"))
    sql = f"SELECT {parts} FROM (SELECT {stamp} AS t FROM {fitted}) WHERE t IS NOT NULL"
    oldest, newest, median = connection.execute(sql).fetchall()[0]
    if oldest[1] is None:  # only infinities
        oldest = newest = median = [1970, 0, 0, 3, 0, 0, 0]
    return {"year_range": [oldest[0], newest[0]], "oldest": oldest, "newest": newest, "median": median}


def _stamp_sql(meaning: ColumnMeaning) -> str:
    stamp = f"TRY_CAST({quote(meaning.name)} AS TIMESTAMP)"
    return f"CASE WHEN isfinite({stamp}) THEN {stamp} END"


def _stamp_parts(t: str) -> list[str]:
    """Year, month - 1, day - 1, weekday from Monday, hour, minute, second: PyTorch Frame's order."""
    return [f"least(year({t}), 9999)", f"month({t}) - 1", f"day({t}) - 1", f"isodow({t}) - 1"] + [
        f"{part}({t})" for part in ("hour", "minute", "second")
    ]


def _encode_numbers(
    connection: duckdb.DuckDBPyConnection,
    numbered: str,
    columns: list[ColumnMeaning],
    stats: Mapping[str, Mapping[str, Any]],
    num_rows: int,
) -> Tensor:
    out = np.empty((num_rows, len(columns)), dtype=np.float32)
    terms = [f"CASE WHEN isfinite(x{i}) THEN x{i} ELSE 'nan' END AS x{i}" for i in range(len(columns))]
    inner = [f"{_number_sql(meaning)} AS x{i}" for i, meaning in enumerate(columns)]
    sql = f"SELECT __row, {', '.join(terms)} FROM (SELECT __row, {', '.join(inner)} FROM {numbered})"
    found = connection.execute(sql).fetchnumpy()
    row = np.asarray(found["__row"])
    for i in range(len(columns)):
        with np.errstate(over="ignore"):
            column = np.asarray(found[f"x{i}"]).astype(np.float32)
        column[np.isinf(column)] = np.nan
        out[row, i] = column
    return torch.from_numpy(out)


def _encode_categories(
    connection: duckdb.DuckDBPyConnection,
    numbered: str,
    columns: list[ColumnMeaning],
    stats: Mapping[str, Mapping[str, Any]],
    num_rows: int,
) -> Tensor:
    import pyarrow

    out = np.full((num_rows, len(columns)), -1, dtype=np.int64)
    for i, meaning in enumerate(columns):
        categories = pyarrow.array(stats[meaning.name]["categories"], type=pyarrow.string())
        connection.register("__categories", pyarrow.table({"value": categories, "code": np.arange(len(categories))}))
        sql = (
            f"SELECT t.__row, c.code FROM {numbered} t "
            f"JOIN __categories c ON CAST(t.{quote(meaning.name)} AS VARCHAR) = c.value"
        )
        found = connection.execute(sql).fetchnumpy()
        connection.unregister("__categories")
        out[np.asarray(found["__row"]), i] = np.asarray(found["code"])
    return torch.from_numpy(out)


def _encode_timestamps(
    connection: duckdb.DuckDBPyConnection,
    numbered: str,
    columns: list[ColumnMeaning],
    stats: Mapping[str, Mapping[str, Any]],
    num_rows: int,
) -> Tensor:
    out = np.full((num_rows, len(columns), 7), -1, dtype=np.int16)
    for i, meaning in enumerate(columns):
        parts = [f"CAST({part} AS SMALLINT) AS p{j}" for j, part in enumerate(_stamp_parts("t"))]
        sql = (
            f"SELECT __row, {', '.join(parts)} FROM (SELECT __row, {_stamp_sql(meaning)} AS t FROM {numbered}) "
            "WHERE t IS NOT NULL"
        )
        found = connection.execute(sql).fetchnumpy()
        row = np.asarray(found["__row"])
        for j in range(7):
            out[row, i, j] = np.asarray(found[f"p{j}"])
        # PyTorch Frame's encoder takes no year below the fitted range; one above was never seen in training either
        low, high = stats[meaning.name]["year_range"]
        out[row, i, 0] = np.clip(out[row, i, 0], low, high)
    return torch.from_numpy(out)


def _digits(value: float) -> float:
    return float(f"{value:.12g}")

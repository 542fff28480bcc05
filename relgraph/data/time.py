"""One meaning of time everywhere: int64 microseconds since 1970-01-01 UTC.

Two values at the ends are reserved: ``STATIC`` (always visible) and ``UNKNOWN`` (never visible). There is one rule for
what a value means, and it is SQL: :func:`time_sql` states it, :func:`time_expression` applies it to a column of a
database, :func:`to_microseconds` to Python values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, literal, quote
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import duckdb
    from torch import Tensor

__all__ = [
    "STATIC",
    "UNIT_NAMES",
    "UNKNOWN",
    "format_time",
    "time_expression",
    "time_sql",
    "to_microseconds",
    "to_moment",
]

STATIC = -(2**63)
UNKNOWN = 2**63 - 1

UNIT_NAMES = ("year", "yyyymmdd", "s", "ms", "us", "ns")
_FRACTIONAL = (*FRACTIONS, "DECIMAL")
_EARLIEST_DAY, _LATEST_DAY = 19_000_101, 21_001_231  # as seconds, a few weeks of 1970
_LATEST_SECONDS = 100_000_000_000  # year 5138; a larger number is milliseconds, and so on by thousands


def time_sql(expression: str, dtype: str, unit: str | None = None) -> str:
    """SQL that gives BIGINT microseconds since 1970-01-01 UTC, NULL where there is no time.

    Dates mean midnight, times without a zone mean UTC, text is read as ISO 8601, years mean their first moment.

    Args:
        expression: SQL of the value.
        dtype: Its DuckDB type.
        unit: For numbers (and text that holds numbers): ``year``, ``yyyymmdd``, ``s``, ``ms``, ``us``
            or ``ns``.

    Raises:
        SchemaError: If values of this type cannot be a time, or numbers come without a unit.
    """
    kind = dtype.upper()
    if kind == "TIMESTAMP_NS":
        return _floor_divide(f"epoch_ns({expression})", 1000)
    if kind.startswith("TIMESTAMP WITH"):
        return f"epoch_us({expression})"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"epoch_us(CAST({expression} AS TIMESTAMP))"
    if kind == "VARCHAR" and unit is None:
        return f"epoch_us(TRY_CAST(nullif(trim({expression}), '') AS TIMESTAMPTZ))"
    if kind == "VARCHAR":
        return _number_sql(f"TRY_CAST(nullif(trim({expression}), '') AS BIGINT)", unit, whole=True)
    if kind in WHOLE_NUMBERS:
        return _number_sql(f"TRY_CAST({expression} AS BIGINT)", unit, whole=True)
    if kind.startswith(_FRACTIONAL):
        return _number_sql(f"CAST({expression} AS DOUBLE)", unit, whole=False)
    raise SchemaError(f"a time cannot be read from type {dtype}; expected a date, timestamp, text or number")


def time_expression(
    connection: duckdb.DuckDBPyConnection, relation: str, column: str, dtype: str, where: str, unit: str | None = None
) -> str:
    """The SQL of :func:`time_sql` for a column, with the unit of numbers read off the whole column.

    Numbers up to 9999 are years; those that all read as days of 1900 to 2100, like 20240131, are days; larger ones are
    seconds, milliseconds, microseconds or nanoseconds by size.

    Args:
        connection: Where the column is.
        relation: SQL that can stand after FROM.
        column: The column's name.
        dtype: Its DuckDB type.
        where: How messages name it, ``table.column``.
        unit: Given instead of guessed.

    Raises:
        SchemaError: If the type cannot be a time, or a text is no date; the message shows one.
    """
    name = quote(column)
    kind = dtype.upper()
    try:
        if unit is None and (kind in WHOLE_NUMBERS or kind.startswith(_FRACTIONAL)):
            number = f"CAST({name} AS DOUBLE)"
            finite = name if kind in WHOLE_NUMBERS else f"CASE WHEN isfinite({number}) THEN {number} END"
            unit = _guess_unit(connection, relation, finite)
        elif unit is None and kind == "VARCHAR":
            digits = f"regexp_full_match(trim({name}), '-?[0-9]+')"
            row = connection.execute(
                f"SELECT count(*) FILTER (WHERE NOT {digits}), count(*) FROM {relation} WHERE trim({name}) <> ''"
            ).fetchone()
            if row is not None and row[0] == 0 and row[1] > 0:
                unit = _guess_unit(connection, relation, f"TRY_CAST(nullif(trim({name}), '') AS BIGINT)")
        sql = time_sql(name, dtype, unit)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from None
    if kind == "VARCHAR":
        bad = connection.execute(f"SELECT {name} FROM {relation} WHERE trim({name}) <> '' AND ({sql}) IS NULL LIMIT 1")
        found = bad.fetchone()
        if found is not None:
            raise SchemaError(
                f"{where} cannot be the time column: {found[0]!r} is no date; expected text like "
                "2024-01-31 or 2024-01-31 12:00:00"
            )
    return sql


def to_microseconds(values: Any, unit: str | None = None) -> Tensor:
    """Times of any usual kind as int64 microseconds since 1970-01-01 UTC.

    Args:
        values: One value or a sequence: ``datetime``, ``date``, text, numbers, ``numpy.datetime64``, pandas or Arrow
            arrays, tensors. Missing values become ``UNKNOWN``.
        unit: What numbers count, ``year``, ``yyyymmdd``, ``s``, ``ms``, ``us`` or ``ns``; guessed from their size by
            default.

    Returns:
        int64 ``[n]``; ``[]`` for a single value.

    Raises:
        SchemaError: If a value is no time.

    Example:
        >>> int(to_microseconds("1970-01-02"))
        86400000000
    """
    import duckdb
    import pyarrow
    import torch
    from torch import Tensor

    single = isinstance(values, str) or not hasattr(values, "__len__")
    if isinstance(values, Tensor):
        single = values.dim() == 0
        values = values.detach().cpu().numpy()
    if single:
        values = [values.item() if isinstance(values, np.ndarray) else values]
    try:
        array = values if isinstance(values, pyarrow.ChunkedArray) else pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise SchemaError(f"these values are no times: {error}") from None
    if pyarrow.types.is_null(array.type):
        array = array.cast(pyarrow.int64())
    table = pyarrow.table({"row": np.arange(len(array)), "value": array})
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given", table)
        dtype = (
            str(connection.execute("SELECT typeof(value) FROM given LIMIT 1").fetchall()[0][0]) if len(table) else ""
        )
        if not dtype:
            return torch.empty(0, dtype=torch.int64)
        sql = time_expression(connection, "given", "value", dtype, "the given times", unit)
        out = connection.execute(f"SELECT coalesce({sql}, {UNKNOWN}) AS t FROM given ORDER BY row").fetchnumpy()["t"]
    time = torch.from_numpy(np.array(out, dtype=np.int64))
    return time[0] if single else time


def to_moment(value: Any, what: str) -> int:
    """One moment that a person names, as int64 microseconds since 1970-01-01 UTC.

    Args:
        value: int means microseconds; else ISO text, ``datetime`` and what :func:`to_microseconds` takes.
        what: How messages name it.

    Raises:
        SchemaError: If it is no moment: missing, several, or digits whose meaning would have to be guessed.

    Example:
        >>> to_moment("1970-01-02", "fit_until")
        86400000000
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    several = not isinstance(value, str) and hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0
    guessed = isinstance(value, str) and value.strip().isdigit() and len(value.strip()) > 4
    if not several and not guessed and value is not None and bool(value == value):  # NaN and NaT equal nothing
        moment = int(to_microseconds(value))
        if moment != UNKNOWN:
            return moment
    raise SchemaError(f"{what}: expected one moment such as '2024-01-31' or '2024-01-31 12:00:00', got {value!r}")


def format_time(time: int) -> str:
    """Microseconds as ISO text, without what is zero: ``2010-01-01`` or ``2010-01-01 12:30:00``."""
    if time == STATIC:
        return "always"
    if time == UNKNOWN:
        return "unknown"
    text = str(np.datetime64(time, "us")).replace("T", " ")
    return text.removesuffix(".000000").removesuffix(" 00:00:00")


def _guess_unit(connection: duckdb.DuckDBPyConnection, relation: str, value: str) -> str:
    low, high = connection.execute(f"SELECT min({value}), max({value}) FROM {relation}").fetchall()[0]
    if low is None:
        return "s"
    if low >= 1 and high <= 9999:
        return "year"
    if (
        low >= _EARLIEST_DAY
        and high <= _LATEST_DAY
        and not connection.execute(
            f"SELECT 1 FROM {relation} WHERE {value} IS NOT NULL AND {_day_sql(value)} IS NULL LIMIT 1"
        ).fetchall()
    ):
        return "yyyymmdd"
    size = max(abs(low), abs(high))
    for power, unit in enumerate(("s", "ms", "us")):
        if size < _LATEST_SECONDS * 1000**power:
            return unit
    return "ns"


def _day_sql(value: str) -> str:
    return f"try_strptime(CAST(CAST({value} AS BIGINT) AS VARCHAR), '%Y%m%d')"


def _number_sql(value: str, unit: str | None, whole: bool) -> str:
    if unit == "year":
        return f"epoch_us(make_timestamp(TRY_CAST({value} AS BIGINT), 1, 1, 0, 0, 0))"
    if unit == "yyyymmdd":
        return f"epoch_us({_day_sql(value)})"
    if unit in ("s", "ms", "us"):
        factor = {"s": 1_000_000, "ms": 1000, "us": 1}[unit]
        return f"({value} * {factor})" if whole else f"TRY_CAST(round({value} * {factor}) AS BIGINT)"
    if unit == "ns":
        return _floor_divide(value if whole else f"TRY_CAST(round({value}) AS BIGINT)", 1000)
    raise SchemaError(f"numbers as times need a unit out of {', '.join(map(literal, UNIT_NAMES))}, got {unit!r}")


def _floor_divide(value: str, divisor: int) -> str:
    return f"CAST(({value} - ((({value}) % {divisor}) + {divisor}) % {divisor}) // {divisor} AS BIGINT)"

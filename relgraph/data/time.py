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

UNIT_NAMES = ("year", "yyyymmdd", "yyyymmddhhmmss", "julian", "s", "ms", "us", "ns", "us1601")
_FRACTIONAL = (*FRACTIONS, "DECIMAL")
_CALENDARS = (  # as seconds, a few weeks of 1970; as milliseconds, years around 2600
    (19_000_101, 21_001_231, "yyyymmdd", "%Y%m%d"),
    (19_000_101_000_000, 21_001_231_235_959, "yyyymmddhhmmss", "%Y%m%d%H%M%S"),
)
_EPOCH_1601 = 11_644_473_600_000_000
_EARLIEST_1601, _LATEST_1601 = 12_600_000_000_000_000, 14_200_000_000_000_000  # 2000 to 2050; since 1970, around 2390
_LEAST_BESIDE_ZERO = {"us1601": 1, "year": 1000, "yyyymmdd": 1, "yyyymmddhhmmss": 1} | {
    unit: 100_000_000 * 1000**power for power, unit in enumerate(("s", "ms", "us", "ns"))
}
_EARLIEST_JULIAN, _LATEST_JULIAN = 2_415_020, 2_488_434  # as seconds, two days of 1970
_EPOCH_JULIAN = 2_440_587.5
_LATEST_SECONDS = 100_000_000_000  # year 5138; a larger number is milliseconds, and so on by thousands


def time_sql(expression: str, dtype: str, unit: str | None = None) -> str:
    """SQL that gives BIGINT microseconds since 1970-01-01 UTC, NULL where there is no time.

    Dates mean midnight, times without a zone mean UTC, text is read as ISO 8601, years mean their first moment.

    Args:
        expression: SQL of the value.
        dtype: Its DuckDB type.
        unit: For numbers (and text that holds numbers): ``year``, ``yyyymmdd``, ``yyyymmddhhmmss``, ``julian`` (days,
            as SQLite counts them), ``s``, ``ms``, ``us``, ``ns`` or ``us1601`` (microseconds since 1601).

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

    Numbers up to 9999 are years; those that all read as days of 1900 to 2100, like 20240131 or Julian day 2460340.5,
    are days, 20240131235959 with the time of day; others are seconds, milliseconds, microseconds or nanoseconds by
    size. Microseconds that would be years around 2390 count from 1601, as WebKit does. A 0 is no time where all other
    numbers are years from 1000 on, days, or moments from 1973 on.

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
    unless_zero = ""
    try:
        if unit is None and (kind in WHOLE_NUMBERS or kind.startswith(_FRACTIONAL)):
            number = f"CAST({name} AS DOUBLE)"
            finite = name if kind in WHOLE_NUMBERS else f"CASE WHEN isfinite({number}) THEN {number} END"
            unit, unless_zero = _guess_unit_and_zero(connection, relation, finite)
        elif unit is None and kind == "VARCHAR":
            digits = f"regexp_full_match(trim({name}), '-?[0-9]+')"
            row = connection.execute(
                f"SELECT count(*) FILTER (WHERE NOT {digits}), count(*) FROM {relation} WHERE trim({name}) <> ''"
            ).fetchone()
            if row is not None and row[0] == 0 and row[1] > 0:
                value = f"TRY_CAST(nullif(trim({name}), '') AS BIGINT)"
                unit, unless_zero = _guess_unit_and_zero(connection, relation, value)
        sql = time_sql(name, dtype, unit)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from None
    if kind == "VARCHAR":
        given = f"trim({name}) <> ''" + (f" AND {unless_zero}" if unless_zero else "")
        bad = connection.execute(f"SELECT {name} FROM {relation} WHERE {given} AND ({sql}) IS NULL LIMIT 1")
        found = bad.fetchone()
        if found is not None:
            raise SchemaError(
                f"{where} cannot be the time column: {found[0]!r} is no date; expected text like "
                "2024-01-31 or 2024-01-31 12:00:00"
            )
    return f"CASE WHEN {unless_zero} THEN {sql} END" if unless_zero else sql


def to_microseconds(values: Any, unit: str | None = None) -> Tensor:
    """Times of any usual kind as int64 microseconds since 1970-01-01 UTC.

    Args:
        values: One value or a sequence: ``datetime``, ``date``, text, numbers, ``numpy.datetime64``, pandas or Arrow
            arrays, tensors. Missing values become ``UNKNOWN``.
        unit: What numbers count, one of ``UNIT_NAMES``; guessed from
            their size by default.

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
        sql = time_expression(connection, "given", "value", dtype, "the time that was given", unit)
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


def _guess_unit_and_zero(connection: duckdb.DuckDBPyConnection, relation: str, value: str) -> tuple[str, str]:
    """The unit, and SQL that is true for values that are times where a 0 among them stands for none, else empty."""
    rest = f"nullif({value}, 0)"
    low, least = connection.execute(f"SELECT min({value}), min({rest}) FROM {relation}").fetchall()[0]
    if low == 0 and least is not None:
        unit = _guess_unit(connection, relation, rest)
        if least >= _LEAST_BESIDE_ZERO.get(unit, float("inf")):
            return unit, f"{value} <> 0"
    return _guess_unit(connection, relation, value), ""


def _guess_unit(connection: duckdb.DuckDBPyConnection, relation: str, value: str) -> str:
    low, high = connection.execute(f"SELECT min({value}), max({value}) FROM {relation}").fetchall()[0]
    if low is None:
        return "s"
    if low >= 1 and high <= 9999:
        return "year"
    for first, last, unit, form in _CALENDARS:
        read = _day_sql(value, form)
        if (
            low >= first
            and high <= last
            and not connection.execute(
                f"SELECT 1 FROM {relation} WHERE {value} IS NOT NULL AND {read} IS NULL LIMIT 1"
            ).fetchall()
        ):
            return unit
    if low >= _EARLIEST_JULIAN and high <= _LATEST_JULIAN:
        return "julian"
    size = max(abs(low), abs(high))
    for power, unit in enumerate(("s", "ms", "us")):
        if size < _LATEST_SECONDS * 1000**power:
            since_1601 = unit == "us" and low >= _EARLIEST_1601 and high <= _LATEST_1601
            return "us1601" if since_1601 else unit
    return "ns"


def _day_sql(value: str, form: str) -> str:
    return f"try_strptime(CAST(CAST({value} AS BIGINT) AS VARCHAR), {literal(form)})"


def _number_sql(value: str, unit: str | None, whole: bool) -> str:
    if unit == "year":
        return f"epoch_us(make_timestamp(TRY_CAST({value} AS BIGINT), 1, 1, 0, 0, 0))"
    for *_, calendar, form in _CALENDARS:
        if unit == calendar:
            return f"epoch_us({_day_sql(value, form)})"
    if unit == "julian":  # to the millisecond: a float64 of this size knows no more
        days = f"(CAST({value} AS DOUBLE) - {_EPOCH_JULIAN})"
        return f"(TRY_CAST(round({days} * 86400000) AS BIGINT) * 1000)"
    if unit == "us1601":
        return f"({value} - {_EPOCH_1601})" if whole else f"TRY_CAST(round({value} - {_EPOCH_1601}) AS BIGINT)"
    if unit in ("s", "ms", "us"):
        factor = {"s": 1_000_000, "ms": 1000, "us": 1}[unit]
        return f"({value} * {factor})" if whole else f"TRY_CAST(round({value} * {factor}) AS BIGINT)"
    if unit == "ns":
        return _floor_divide(value if whole else f"TRY_CAST(round({value}) AS BIGINT)", 1000)
    raise SchemaError(f"numbers as times need a unit out of {', '.join(map(literal, UNIT_NAMES))}, got {unit!r}")


def _floor_divide(value: str, divisor: int) -> str:
    return f"CAST(({value} - ((({value}) % {divisor}) + {divisor}) % {divisor}) // {divisor} AS BIGINT)"

"""How values of PostgreSQL's types are selected and held in Arrow, the same whichever driver brings them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from relgraph.adapters.servers.postgresql_values import NO_NUMBER

__all__ = ["Cell", "ColumnType", "TypeRow", "cell", "check_sql", "column_type"]

_EARLIEST, _LATEST = "0001-01-01", "9999-12-31 23:59:59.999999"
_BEFORE, _AFTER = "0001-12-31 BC", "10000-01-01"  # stand for what is out of range
_TIMES = ("date", "timestamp", "timestamptz")
_LARGEST = "1.7976931348623157e308"
_SMALLEST = "2.5e-324"
_WHOLE = ("int2", "int4", "int8")


class TypeRow(NamedTuple):
    """A row of the catalogue of types."""

    name: str
    kind: str
    category: str
    base: int
    modifier: int
    element: int
    vector: bool


@dataclass(frozen=True)
class ColumnType:
    """A column's type, domains looked through.

    Args:
        name: As in the catalogue: ``int4``, ``numeric``; of an array that of its elements.
        array: Whether it is an array.
        precision: Of a numeric, None if it has none.
        scale: Of a numeric, None if it has none.
        vector: Whether it can be cast to ``real[]``.
    """

    name: str
    array: bool = False
    precision: int | None = None
    scale: int | None = None
    vector: bool = False


@dataclass(frozen=True)
class Cell:
    """How a column is read.

    Args:
        name: The column.
        sql: What is selected.
        kind: What it gives: int, whole (an int for which NaN was possible), float, rounded (a float that was exact),
            bool, text, bytes, date, timestamp, timestamptz, time, decimal, or ints, floats, texts (lists).
        note: What is said about the column in any case.
        raw: Whether text comes as bytes, of no declared encoding.
    """

    name: str
    sql: str
    kind: str
    note: str = ""
    raw: bool = False

    @property
    def plain_sql(self) -> str:
        """What is selected for a driver that has no dates beyond Python's: numbers instead of moments."""
        if self.kind == "date":
            return f"({_ranged(self.sql, self.kind)}) - DATE '1970-01-01'"
        if self.kind in (*_TIMES, "time"):
            moment = self.sql if self.kind == "time" else _ranged(self.sql, self.kind)
            return f"CAST(extract(epoch FROM {moment}) * 1000000 AS bigint)"
        return self.sql


def column_type(types: Mapping[int, TypeRow], oid: int, modifier: int) -> ColumnType:
    """The type of a column by the catalogue's number and modifier; of what is not in there, ``record``."""
    array = False
    while oid in types:
        found = types[oid]
        if found.kind == "d":
            oid, modifier = found.base, found.modifier if modifier < 0 else modifier
        elif found.category == "A" and found.element and not array and found.name not in ("int2vector", "oidvector"):
            oid, array = found.element, True
        else:
            precision, scale = _numeric(modifier) if found.name == "numeric" else (None, None)
            name = "enum" if found.kind == "e" else found.name
            return ColumnType(name, array, precision, scale, found.vector and found.name in ("vector", "halfvec"))
    return ColumnType("record", array)


def _numeric(modifier: int) -> tuple[int | None, int | None]:
    if modifier < 4:
        return None, None
    scale = (modifier - 4) & 0x7FF
    return (modifier - 4) >> 16, scale - 2048 if scale > 1024 else scale  # PostgreSQL 15 has negative ones


def check_sql(dtype: ColumnType, column: str, exact: bool) -> str | None:
    """SQL over all rows whose text :func:`cell` must know; None where the type alone says enough.

    Args:
        dtype: The column's type.
        column: The quoted column.
        exact: Whether the column is part of a key.
    """
    if dtype.array:
        return f"CAST(coalesce(max(array_ndims({column})), 1) AS text)"
    if exact and dtype.name == "numeric" and not (dtype.scale == 0 and (dtype.precision or 99) <= 18):
        whole = f"coalesce(bool_and({column} = trunc({column})), TRUE)"
        return f"CASE WHEN {whole} THEN CAST(trunc(coalesce(max(abs({column})), 0)) AS text) END"
    if exact and dtype.name in _TIMES:
        return f"CAST(coalesce(bool_and({_in_range(column)}), TRUE) AS text)"
    return None


def cell(name: str, column: str, dtype: ColumnType, exact: bool, checked: str | None) -> Cell:
    """How a column is read.

    Args:
        name: The column.
        column: The same as SQL.
        dtype: Its type.
        exact: Whether it is part of a key: then nothing is rounded.
        checked: What :func:`check_sql` gave.
    """
    text = Cell(name, f"CAST({column} AS text)", "text")
    if dtype.array:
        return _array(name, column, dtype, exact or checked != "1")
    if dtype.vector:
        return Cell(name, f"CAST({column} AS real[])", "floats") if not exact else text
    match dtype.name:
        case "int2" | "int4" | "int8":
            return Cell(name, column, "int")
        case "oid":
            return Cell(name, f"CAST({column} AS bigint)", "int")
        case "xid" | "cid":
            return Cell(name, f"CAST(CAST({column} AS text) AS bigint)", "int")
        case "float8":
            return Cell(name, column, "float")
        case "float4":
            return Cell(name, f"CAST({column} AS double precision)", "float")
        case "numeric":
            return _number(name, column, dtype, exact, checked)
        case "money" if not exact:
            return Cell(name, f"CAST(CAST({column} AS numeric) AS double precision)", "rounded")
        case "bool":
            return Cell(name, column, "bool")
        case "text" | "varchar":
            return Cell(name, column, "text")
        case "inet":
            return Cell(name, f"abbrev({column})", "text")
        case "bytea":
            return Cell(name, column, "bytes")
        case "date" | "timestamp" | "timestamptz" if not exact or checked == "true":
            return Cell(name, column, dtype.name)  # ADBC turns what does not fit into numbers far out of range
        case "time":
            return Cell(name, column, "time")
        case "interval" if not exact:
            seconds = f"CAST(extract(epoch FROM {column}) AS double precision)"
            return Cell(name, seconds, "float", "is an interval: it is read as seconds")
        case "interval":  # a month equals 30 days there
            return Cell(name, f"CAST(justify_interval({column}) AS text)", "text")
        case "citext" if exact:
            return Cell(
                name, f"lower(CAST({column} AS text))", "text", "is a key blind to case: it is read in lower case"
            )
    return text


def _number(name: str, column: str, dtype: ColumnType, exact: bool, checked: str | None) -> Cell:
    digits = dtype.precision or 0
    if dtype.scale == 0 and 0 < digits <= 18:
        return _whole(name, column)
    if not exact and dtype.scale == 0 and 18 < digits <= 38:
        return Cell(name, f"CAST({column} AS text)", "decimal")
    if not exact:
        return _double(name, column, dtype)
    largest = checked or ""
    if largest.isdigit() and int(largest) < 2**63:
        return _whole(name, column)
    if largest.isdigit() and len(largest) <= 38:
        return Cell(name, f"CAST(trunc({column}) AS text)", "decimal")
    return Cell(name, f"CAST(trim_scale({column}) AS text)", "text")


def _whole(name: str, column: str) -> Cell:
    value = f"CASE WHEN {column} = 'NaN' THEN {NO_NUMBER} ELSE CAST({column} AS bigint) END"
    return Cell(name, value, "whole")


def _double(name: str, column: str, dtype: ColumnType) -> Cell:
    value = f"CAST({column} AS double precision)"
    if (
        dtype.precision is None or dtype.precision > 300 or (dtype.scale or 0) > 300
    ):  # beyond a double is an error there
        value = (
            f"CASE WHEN {column} = 'NaN' THEN 'NaN' WHEN {column} > {_LARGEST} THEN 'Infinity' "
            f"WHEN {column} < -{_LARGEST} THEN '-Infinity' WHEN abs({column}) < {_SMALLEST} THEN 0 ELSE {value} END"
        )
    return Cell(name, value, "rounded")


def _array(name: str, column: str, dtype: ColumnType, as_text: bool) -> Cell:
    kind, element = "", ""
    if dtype.name in _WHOLE:
        kind, element = "ints", "bigint"
    elif dtype.name in ("float4", "float8", "numeric"):
        kind, element = "floats", "double precision"
    elif dtype.name in ("text", "varchar", "bpchar", "citext", "enum", "uuid", "name", "char"):
        kind, element = "texts", "text"
    if as_text or not kind:
        return Cell(name, f"CAST(to_json({column}) AS text)", "text")
    # the slice of all begins at 1, as ADBC wants it
    return Cell(name, f"(CAST({column} AS {element}[]))[:]", kind)


def _in_range(column: str) -> str:
    return f"{column} >= '{_EARLIEST}' AND {column} <= '{_LATEST}'"


def _ranged(column: str, dtype: str) -> str:
    last = "9999-12-31" if dtype == "date" else _LATEST
    return (
        f"CASE WHEN {column} < '{_EARLIEST}' THEN {dtype} '{_BEFORE}' WHEN {column} > '{last}' THEN {dtype} '{_AFTER}' "
        f"ELSE {column} END"
    )

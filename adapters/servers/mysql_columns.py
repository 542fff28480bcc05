"""How each type of MariaDB and MySQL is selected, so that every driver gives plain values, and what holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.mysql_values import SpelledKind, TextKind, moments, spans, years
from relgraph.adapters.servers.values import ValueKind
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    pass

__all__ = ["ColumnType", "Reading", "backticked", "held", "looked_at", "microseconds", "reading"]

_INT64_MAX = 2**63 - 1
_DAY = 86_400_000_000  # microseconds
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BYTES = ("binary", "varbinary")
_FEW_BYTES = 64  # so many are an identifier or a hash
_GEOMETRIES = ("geometry", "point", "linestring", "polygon", "geometrycollection", "geomcollection")
_UNICODE = (None, "utf8mb4", "utf8mb3", "utf8", "ascii")  # the bytes of these are UTF-8 as they lie


@dataclass(frozen=True)
class ColumnType:
    """The type of a column as the server's catalogue spells it.

    Args:
        name: ``bigint``.
        full: ``bigint(20) unsigned``.
        charset: Of text, else None.
        precision: Digits of a number, or bits.
        scale: Of these digits, those after the point.
        length: The most characters of text, or bytes.
    """

    name: str
    full: str
    charset: str | None = None
    precision: int = 0
    scale: int = 0
    length: int = 0

    @property
    def unsigned(self) -> bool:
        """Whether it has no sign."""
        return "unsigned" in self.full

    @property
    def text(self) -> bool:
        """Whether its values are text."""
        return self.name in _TEXTS or self.name in ("enum", "set")

    @property
    def collated(self) -> bool:
        """Whether values may be equal, by a collation, that are not the same."""
        return self.name in _TEXTS


@dataclass(frozen=True)
class Reading:
    """How a column is read.

    Args:
        sql: What is selected.
        kind: How its values are held.
        order: What its rows are ordered by where it is part of the primary key.
    """

    sql: str
    kind: ValueKind
    order: str


def backticked(*names: str | None) -> str:
    """An identifier in backticks, with what it lies in before it.

    Raises:
        SchemaError: If a name is empty or holds a NUL character.
    """
    for name in names:
        if name is not None and (not name or "\0" in name):
            raise SchemaError(f"{name!r} cannot name a table or column; expected text without NUL characters")
    return ".".join("`" + name.replace("`", "``") + "`" for name in names if name is not None)


def microseconds(column: str) -> str:
    """SQL of a TIME, which may be negative and longer than a day, in microseconds."""
    seconds = f"(HOUR({column}) * 3600 + MINUTE({column}) * 60 + SECOND({column}))"
    return f"(IF({column} < CAST('00:00:00' AS TIME), -1, 1) * ({seconds} * 1000000 + MICROSECOND({column})))"


def held(column: str, dtype: ColumnType) -> str:
    """SQL condition: a value that is not NULL can be held.

    Args:
        column: The column in backticks.
        dtype: Its type.
    """
    if dtype.name == "year":
        return f"{column} <> 0"
    if dtype.name in ("date", "datetime", "timestamp"):
        return f"(YEAR({column}) > 0 AND DAYOFMONTH({column}) BETWEEN 1 AND DAYOFMONTH(LAST_DAY({column})))"
    return "TRUE"


def looked_at(column: str, dtype: ColumnType, in_key: bool) -> str | None:
    """SQL of what is to be known of a column's values before it is read, as the smallest and greatest; None if nothing.

    Args:
        column: The column in backticks.
        dtype: Its type.
        in_key: Whether it is part of a key.
    """
    if (dtype.name == "tinyint" and dtype.full.startswith("tinyint(1)") and not in_key) or (
        dtype.name == "bigint" and dtype.unsigned
    ):
        return column
    if dtype.name == "bit" and dtype.precision == 64:
        return f"{column} + 0"
    if dtype.name == "decimal" and dtype.scale == 0 and dtype.precision > 18:
        return column
    if dtype.name in _BYTES:
        text = f"CONVERT({column} USING utf8mb4)"
        plain = f"COALESCE(CAST({text} AS BINARY) = {column} AND NOT {text} REGEXP '[[:cntrl:]]', FALSE)"
        return f"IF({column} IS NULL, NULL, {plain})"  # 1 if it is text after all
    return microseconds(column) if dtype.name == "time" else None


def reading(column: str, dtype: ColumnType, in_key: bool, low: Any = None, high: Any = None) -> Reading:
    """How to read a column without losing anything that its type can say; keys are never rounded.

    Args:
        column: The column in backticks.
        dtype: Its type.
        in_key: Whether it is part of a key.
        low: The smallest of :func:`looked_at`.
        high: The greatest of it.
    """
    import pyarrow

    name = dtype.name
    if dtype.text or name == "json":
        return _text(column, dtype, in_key)
    if name in ("tinyint", "smallint", "mediumint", "int", "bigint", "bit", "year"):
        return _whole(column, dtype, in_key, low, high)
    if name == "decimal":
        return _decimal(column, dtype, in_key, low, high)
    if name == "float":  # as text it would have six digits
        return Reading(f"{column} + 0e0", SpelledKind(pyarrow.float32), column)
    if name == "double":
        return Reading(column, SpelledKind(pyarrow.float64), column)
    if name in ("date", "datetime", "timestamp"):
        return Reading(f"CAST({column} AS CHAR)", moments(name), column)
    if name == "time":
        in_day = low is None or (low >= 0 and high < _DAY)
        return Reading(microseconds(column), spans(in_day), column)
    if name in _GEOMETRIES or name.startswith("multi"):
        return Reading(f"ST_AsBinary({column})", ValueKind(pyarrow.large_binary, bytes), column)
    if name in ("uuid", "inet4", "inet6"):
        return Reading(f"CAST({column} AS CHAR)", SpelledKind(pyarrow.large_string), column)
    if name in _BYTES and low == 1:
        return Reading(column, TextKind(pyarrow.large_string), column)
    if in_key or (name in _BYTES and dtype.length <= _FEW_BYTES):
        return Reading(f"LOWER(HEX({column}))", SpelledKind(pyarrow.large_string), column)
    return Reading(column, ValueKind(pyarrow.large_binary, bytes), column)


def _whole(column: str, dtype: ColumnType, in_key: bool, low: Any, high: Any) -> Reading:
    import pyarrow

    bits = dtype.name == "bit"
    selected = f"{column} + 0" if bits else column
    truth = dtype.full.startswith("tinyint(1)") and low is not None and low >= 0 and high <= 1
    if (truth or (bits and dtype.precision == 1)) and not in_key:
        return Reading(selected, SpelledKind(pyarrow.bool_), column)
    if dtype.name == "year" and not in_key:
        return Reading(column, years(), column)
    large = high is not None and int(high) > _INT64_MAX
    return Reading(selected, SpelledKind(pyarrow.uint64 if large else pyarrow.int64), column)


def _decimal(column: str, dtype: ColumnType, in_key: bool, low: Any, high: Any) -> Reading:
    import pyarrow

    fits = low is None or (int(low) >= -_INT64_MAX and int(high) <= _INT64_MAX)
    if dtype.scale == 0 and (dtype.precision <= 18 or fits):
        return Reading(column, SpelledKind(pyarrow.int64), column)
    if not in_key:
        return Reading(f"{column} + 0e0", SpelledKind(pyarrow.float64), column)
    if dtype.precision <= 38:
        return Reading(column, SpelledKind(lambda: pyarrow.decimal128(dtype.precision, dtype.scale)), column)
    return Reading(f"CAST({column} AS CHAR)", SpelledKind(pyarrow.large_string), column)


def _text(column: str, dtype: ColumnType, in_key: bool) -> Reading:
    """Text as bytes of UTF-8: no driver decodes it, so that what is none can be told."""
    import pyarrow

    unicode = f"CONVERT({column} USING utf8mb4)"
    sql = f"CAST({column if dtype.charset in _UNICODE and dtype.name != 'json' else unicode} AS BINARY)"
    lists = dtype.name == "set" and not in_key
    kind = TextKind(lambda: pyarrow.large_list(pyarrow.large_string()) if lists else pyarrow.large_string())
    return Reading(sql, kind, sql)

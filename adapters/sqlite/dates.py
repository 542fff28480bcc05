"""Dates that SQLite stores as text: it has no type for them, but text in one ISO spelling sorts as they do."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relgraph.adapters.sqlite.storage import StoredColumn, StoredTable
from relgraph.data.sql import literal, quote

if TYPE_CHECKING:
    import pyarrow

__all__ = ["newer", "read_dates"]

_ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:([ T])\d\d:\d\d:\d\d(?:\.(\d{1,6}))?(Z?))?")
_MIDNIGHT = re.compile(r"00:00:00(\.0+)?")


@dataclass(frozen=True)
class _Spelling:
    """``2024-01-31``, and with a separator ``2024-01-31 12:00:00`` and so many digits of a second, and ``Z``."""

    separator: str = ""
    digits: int = 0
    zone: str = ""

    @property
    def length(self) -> int:
        """Letters without the zone."""
        return (19 if self.separator else 10) + (self.digits + 1 if self.digits else 0)

    def holds(self, column: str) -> str:
        """SQL: whether a text is a moment from year 1 on in this spelling."""
        form = f"%Y-%m-%d{self.separator}%H:%M:%S" if self.separator else "%Y-%m-%d"
        rest = ("." + "[0-9]" * self.digits if self.digits else "") + self.zone
        whole = self.length - (self.digits + 1 if self.digits else 0)
        start = f"substr({column}, 1, {whole})" if rest else column
        # with a modifier, or the 30th of February would pass; '0001' alone would be taken for the number
        valid = f"strftime({literal(form)}, {start}, '+0 days') = {start} AND {column} >= '0001-'"
        return f"{valid} AND substr({column}, {whole + 1}) GLOB {literal(rest)}" if rest else valid

    def __call__(self, moment: datetime.date) -> str | None:
        """A moment in this spelling, or None if it is finer than that."""
        if not isinstance(moment, datetime.datetime):
            moment = datetime.datetime(moment.year, moment.month, moment.day)
        text = moment.replace(tzinfo=None).isoformat(self.separator or " ", "microseconds")
        lost = text[self.length :]
        if not self.separator:
            return text[:10] if _MIDNIGHT.fullmatch(text[11:]) else None
        return None if lost.strip(".0") else text[: self.length] + self.zone


def read_dates(table: StoredTable, name: str, declared: str, texts: int) -> StoredColumn | None:
    """Read a text column as dates or moments, if all its values are that in one spelling.

    Args:
        table: Its table.
        name: A column that holds nothing but text and NULL.
        declared: ``DATE`` or ``TIMESTAMP``.
        texts: How many values it has.

    Returns:
        The column, empty text as NULL; a ``DATE`` with times of day becomes a timestamp. None if it stays text.
    """
    import pyarrow

    column = quote(name)
    filled = f"trim({column}) <> ''"
    sample = table.rows(f"SELECT {column} FROM {table.relation} WHERE {filled} LIMIT 1")
    found = _ISO.fullmatch(sample[0][0]) if sample else None
    if found is None:
        return None
    separator, digits, zone = (part.decode() if part else "" for part in found.groups())
    spelling = _Spelling(separator, len(digits), zone)
    days = declared == "DATE"
    clock = f"substr({column}, 12, {max(spelling.length - 11, 0)})"
    midnight = "00:00:00" + ("." + "0" * len(digits) if digits else "")
    timed = f"{filled} AND {clock} <> {literal(midnight)}" if days and separator else "FALSE"
    good, late = table.one(f"{_count(spelling.holds(column))}, {_count(timed)}")
    empty = 0 if good == texts else table.one(_count(f"NOT {filled}"))[0]
    if good + empty < texts:
        return None
    day = days and not late
    arrow: pyarrow.DataType = pyarrow.date32() if day else pyarrow.timestamp("us")
    length = 10 if day else spelling.length
    sql = column if length == len(found[0]) else f"substr({column}, 1, {length})"
    if empty:
        sql = f"CASE WHEN {filled} THEN {sql} END"
    return StoredColumn(name, sql, arrow, via=pyarrow.large_string(), spelled=spelling)


def newer(column: StoredColumn, last: Any) -> str | None:
    """SQL: whether a row is at or after a moment, or has none; None where only reading the column tells that.

    Args:
        column: The column of the moments.
        last: One of its values as Python has it.
    """
    import pyarrow

    name = quote(column.name)
    if column.spelled is not None and isinstance(last, datetime.date):
        text = column.spelled(last)
        return None if text is None else f"({name} >= {literal(text)} OR {name} IS NULL OR trim({name}) = '')"
    number = pyarrow.types.is_integer(column.arrow) or pyarrow.types.is_floating(column.arrow)
    if number and isinstance(last, int | float):
        return f"({name} >= {literal(last)} OR {name} IS NULL)"  # empty text sorts after every number
    return None


def _count(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"

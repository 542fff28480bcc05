"""What a SQLite column holds, whatever it was declared as, and how it becomes Arrow without losing a value."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relgraph.data.sql import quote

if TYPE_CHECKING:
    import pyarrow

__all__ = ["STORED", "StoredColumn", "StoredTable", "count_stored", "read_as"]

STORED = ("integer", "real", "text", "blob")
"""SQLite's storage classes except NULL."""

_COLUMNS_AT_ONCE = 400  # SQLite allows 2000 result columns
_TRUTHS = {b"t": True, b"true": True, b"yes": True, b"y": True, b"1": True}
_TRUTHS |= {b"f": False, b"false": False, b"no": False, b"n": False, b"0": False}
_MOST = 2**53  # up to which every integer is a float64
_LARGEST = 2**63 - 1024  # the largest float64 that is an int64


@dataclass(frozen=True)
class StoredTable:
    """A table that questions are put to.

    Args:
        relation: Its quoted name.
        rows: Gives the rows of a query.
    """

    relation: str
    rows: Callable[[str], list[Any]]

    def one(self, terms: str) -> tuple[Any, ...]:
        """The row that aggregates give."""
        row: tuple[Any, ...] = self.rows(f"SELECT {terms} FROM {self.relation}")[0]
        return row

    def any(self, condition: str) -> bool:
        """Whether a row is so; nothing is read after it."""
        return bool(self.rows(f"SELECT 1 FROM {self.relation} WHERE {condition} LIMIT 1"))


@dataclass(frozen=True)
class StoredColumn:
    """How a column is read.

    Args:
        name: The column.
        sql: What to select.
        arrow: The type it becomes.
        note: What it holds other than declared, to stand after its name; or nothing.
        convert: Applied to each value that is not NULL, where Arrow does not take them as they come.
        via: The Arrow type it is read as before it is cast to ``arrow``.
        spelled: For dates stored as text that sorts as they do: how it spells a moment, or None where it cannot.
    """

    name: str
    sql: str
    arrow: pyarrow.DataType
    note: str = ""
    convert: Callable[[Any], Any] | None = None
    via: pyarrow.DataType | None = None
    spelled: Callable[[datetime.date], str | None] | None = None

    def array(self, values: Sequence[Any]) -> pyarrow.Array:
        """Values as SQLite gives them, text as bytes, as an Arrow array.

        Raises:
            pyarrow.ArrowException: If a value is not of the type it is read as, such as text that is no UTF-8.
        """
        import pyarrow

        if self.convert is not None:
            values = [None if value is None else self.convert(value) for value in values]
        if self.via is None:
            return pyarrow.array(values, self.arrow)
        return pyarrow.array(values, self.via).cast(self.arrow)


def count_stored(table: StoredTable, declared: Mapping[str, str]) -> tuple[int, dict[str, tuple[int, ...]]]:
    """Count the rows, and per column the values of each class of :data:`STORED`.

    Args:
        table: Where.
        declared: The declared type of each column, possibly empty.
    """
    total = int(table.one("count(*)")[0])
    found: dict[str, tuple[int, ...]] = {}
    mixed: list[str] = []
    for part in _parts(list(declared)):  # two counts per column are enough where all is as declared
        expected = [_expected(declared[name]) for name in part]
        terms = [f"{_count(n, 'null')}, {_count(n, stored)}" for n, stored in zip(part, expected, strict=True)]
        counts = table.one(", ".join(terms))
        for i, (name, stored) in enumerate(zip(part, expected, strict=True)):
            if counts[2 * i] + counts[2 * i + 1] == total:
                found[name] = tuple(counts[2 * i + 1] if stored == each else 0 for each in STORED)
            else:
                mixed.append(name)
    for part in _parts(mixed):
        counts = table.one(", ".join(_count(name, stored) for name in part for stored in STORED))
        for i, name in enumerate(part):
            found[name] = counts[i * len(STORED) : (i + 1) * len(STORED)]
    return total, {name: found[name] for name in declared}


def read_as(table: StoredTable, name: str, declared: str, counts: Sequence[int]) -> StoredColumn:
    """Choose how to read a column so that no value is lost.

    Args:
        table: Its table.
        name: The column.
        declared: Its declared type, possibly empty.
        counts: Values per class of :data:`STORED`.
    """
    import pyarrow

    integers, reals, texts, blobs = counts
    held = ", ".join(f"{count} {stored}" for stored, count in zip(STORED, counts, strict=True) if count)
    kind, column, numbers = _affinity(declared), quote(name), integers or reals
    if not held:
        return StoredColumn(name, column, _empty(kind))
    if blobs and not (numbers or texts):
        return StoredColumn(name, column, pyarrow.large_binary())
    if blobs:
        note = f"holds {held} values: all are read as bytes"
        return StoredColumn(name, column, pyarrow.large_binary(), note, _as_bytes)
    if texts and numbers and not table.any(f"typeof({column}) = 'text' AND trim({column}) <> ''"):
        rest = read_as(table, name, declared, (integers, reals, 0, 0))
        note = f"holds {texts} empty texts among its numbers: they are read as NULL"
        sql = f"CASE WHEN typeof({column}) <> 'text' THEN {rest.sql} END"
        return StoredColumn(name, sql, rest.arrow, note, rest.convert, rest.via)
    differs = f"is declared {declared or 'without a type'} but holds {held} values: "
    if texts and not numbers and _is_boolean(declared) and not table.any(_no_truth(column)):
        return StoredColumn(name, f"lower(trim({column}))", pyarrow.bool_(), convert=_TRUTHS.__getitem__)
    if texts:
        note = f"{differs}it is read as text" if numbers or kind in ("integer", "real") else ""
        return StoredColumn(name, column, pyarrow.large_string(), note, _as_bytes if numbers else None)
    if integers and reals and table.any(_inexact(column)):
        note = f"{differs}no real is exactly what some of the integers are, so it is read as text"
        return StoredColumn(name, column, pyarrow.large_string(), note, _as_bytes)
    if reals or kind == "real":
        note = f"{differs}it is read as real" if reals and kind == "integer" else ""
        return StoredColumn(name, f"CAST({column} AS REAL)" if integers else column, pyarrow.float64(), note)
    if _is_boolean(declared) and not table.any(f"{column} NOT IN (0, 1)"):
        return StoredColumn(name, column, pyarrow.bool_(), via=pyarrow.int64())
    return StoredColumn(name, column, pyarrow.int64())


def _affinity(declared: str) -> str:
    """SQLite's own rules (datatype3, section 3.1), with decimals that have a fraction as real."""
    declared = declared.upper()
    if "INT" in declared or _is_boolean(declared):
        return "integer"
    if any(part in declared for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if any(part in declared for part in ("REAL", "FLOA", "DOUB")) or re.search(r"\(\d+, *[1-9]", declared):
        return "real"
    if any(part in declared for part in ("NUMERIC", "DECIMAL")):
        return "numeric"
    return "blob" if "BLOB" in declared else ""


def _expected(declared: str) -> str:
    kind = _affinity(declared)
    return kind if kind in STORED else "integer" if kind == "numeric" else "text"


def _empty(kind: str) -> pyarrow.DataType:
    import pyarrow

    types = {"integer": pyarrow.int64(), "real": pyarrow.float64(), "numeric": pyarrow.float64()}
    return {**types, "blob": pyarrow.large_binary()}.get(kind, pyarrow.large_string())


def _is_boolean(declared: str) -> bool:
    return "BOOL" in declared.upper()


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _COLUMNS_AT_ONCE] for start in range(0, len(names), _COLUMNS_AT_ONCE)]


def _count(name: str, stored: str) -> str:
    return f"count(*) FILTER (WHERE typeof({quote(name)}) = '{stored}')"


def _no_truth(column: str) -> str:
    return f"lower(trim({column})) NOT IN ({', '.join(repr(word.decode()) for word in _TRUTHS)})"


def _inexact(column: str) -> str:
    large = f"typeof({column}) = 'integer' AND {column} NOT BETWEEN {-_MOST} AND {_MOST}"
    return f"{large} AND ({column} > {_LARGEST} OR CAST(CAST({column} AS REAL) AS INTEGER) <> {column})"


def _as_bytes(value: Any) -> bytes:
    # SQLite itself would write a real with 15 digits, and make two that differ one
    return value if isinstance(value, bytes) else str(value).encode()

"""What the values of a column say about keys: counted in SQL, one pass per table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from relgraph.data.schema import ColumnSchema, TableSchema
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote, quote_all

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["ColumnProfile", "Family", "profile_table"]

Family = Literal["number", "text", "time", "other"]
_AT_ONCE = 100  # columns per query
_SHAPE_ROWS = 100_000  # rows that the shape of texts is read off
_NEARLY_ALL = 0.4  # an estimate of distinct values may be off by half
_LONGEST_KEY = 80
_SMALL = 1_000_000  # rows of a table whose columns are counted together


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Args:
        name: The column.
        dtype: Its DuckDB type.
        family: What it can be compared with.
        position: Its place in the table.
        rows: Rows of the table.
        present: Rows with a value.
        distinct: Different values; an estimate where there are clearly fewer than rows.
        low: Smallest value, or None.
        high: Largest value, or None.
        whole: Whether all numbers are whole.
        unique: Whether no value stands twice.
        length: Mean length of texts.
        spaced: Share of texts with a space.
        digits: Share of texts that are whole numbers.
    """

    name: str
    dtype: str
    family: Family
    position: int
    rows: int
    present: int
    distinct: int = 0
    low: Any = None
    high: Any = None
    whole: bool = False
    unique: bool = False
    length: float = 0.0
    spaced: float = 0.0
    digits: float = 0.0

    @property
    def can_be_key(self) -> bool:
        """Whether values of this kind identify things: whole numbers and short texts."""
        if self.family == "number":
            return self.whole
        return self.family == "text" and self.length <= _LONGEST_KEY and self.spaced < 0.5

    @property
    def identifies(self) -> bool:
        """Whether every row has a value of its own."""
        return self.unique and self.present == self.rows and self.can_be_key

    def value(self, alias: str = "") -> str:
        """SQL of the value as it is compared with a column of the same family."""
        name = f"{alias}.{quote(self.name)}" if alias else quote(self.name)
        if self.dtype in FRACTIONS:
            return f"CAST({name} AS BIGINT)"
        return name if self.family == "number" or self.dtype == "VARCHAR" else f"CAST({name} AS VARCHAR)"


def profile_table(db: Database, table: TableSchema) -> tuple[ColumnProfile, ...]:
    """Profiles of all columns, in table order.

    Args:
        db: Where the table is.
        table: Its schema.
    """
    cursor, rows = db.cursor(), db.num_rows(table.name)
    found = [
        profile
        for start in range(0, len(table.columns), _AT_ONCE)
        for profile in _counted(cursor, table, rows, start, table.columns[start : start + _AT_ONCE])
    ]
    return tuple(_with_uniqueness(cursor, table.name, found))


def _family(dtype: str) -> Family:
    kind = dtype.upper()
    if kind.endswith("]"):
        return "other"
    if kind in WHOLE_NUMBERS or kind in FRACTIONS or kind.startswith("DECIMAL"):
        return "number"
    if kind in ("VARCHAR", "UUID") or kind.startswith("ENUM"):
        return "text"
    return "time" if kind == "DATE" or kind.startswith("TIMESTAMP") else "other"


def _counted(
    cursor: duckdb.DuckDBPyConnection, table: TableSchema, rows: int, start: int, columns: Sequence[ColumnSchema]
) -> Iterator[ColumnProfile]:
    name = quote(table.name)
    terms = ", ".join(term for column in columns for term in _terms(column))
    counts = cursor.execute(f"SELECT {terms} FROM {name}").fetchall()[0]
    terms = ", ".join(term for column in columns for term in _shape_terms(column))
    some = f"(SELECT {quote_all([column.name for column in columns])} FROM {name} LIMIT {_SHAPE_ROWS})"
    _, *shape = cursor.execute(f"SELECT count(*), {terms} FROM {some}").fetchall()[0]
    for i, column in enumerate(columns):
        present, distinct, low, high, whole = counts[5 * i : 5 * i + 5]
        length, spaced, digits = (float(value or 0) for value in shape[3 * i : 3 * i + 3])
        yield ColumnProfile(
            column.name,
            column.dtype,
            _family(column.dtype),
            start + i,
            rows,
            present,
            distinct=min(distinct, present),
            low=low,
            high=high,
            whole=bool(whole) and present > 0,
            length=length,
            spaced=spaced,
            digits=digits,
        )


def _terms(column: ColumnSchema) -> list[str]:
    """SQL of present, distinct, low, high, whole."""
    name, family = quote(column.name), _family(column.dtype)
    count, distinct = f"count({name})", f"approx_count_distinct({name})"
    if family == "other":
        return [count, "0", "NULL", "NULL", "FALSE"]
    if family == "time":
        return [count, distinct, "NULL", "NULL", "FALSE"]  # not every date is one in Python
    if family == "text":
        text = name if column.dtype == "VARCHAR" else f"CAST({name} AS VARCHAR)"
        return [count, f"approx_count_distinct({text})", f"min(left({text}, 64))", f"max(left({text}, 64))", "FALSE"]
    if column.dtype in WHOLE_NUMBERS:
        return [count, distinct, f"min({name})", f"max({name})", "TRUE"]
    if column.dtype in FRACTIONS:
        finite = f"CASE WHEN isfinite({name}) THEN {name} END"
        whole = f"bool_and(isfinite({name}) AND {name} = trunc({name}) AND abs({name}) <= 9007199254740992)"
        return [count, distinct, f"min({finite})", f"max({finite})", whole]
    return [count, distinct, f"min({name})", f"max({name})", f"bool_and({name} = trunc({name}))"]


def _shape_terms(column: ColumnSchema) -> list[str]:
    """SQL of length, spaced, digits."""
    if _family(column.dtype) != "text":
        return ["0", "0", "0"]
    text = f"CAST({quote(column.name)} AS VARCHAR)"
    return [
        f"avg(length({text}))",
        f"avg(CAST(contains(trim({text}), ' ') AS INTEGER))",
        f"avg(CAST(regexp_full_match({text}, '-?[0-9]+') AS INTEGER))",
    ]


def _with_uniqueness(
    cursor: duckdb.DuckDBPyConnection, table: str, profiles: Sequence[ColumnProfile]
) -> Iterator[ColumnProfile]:
    near = [p for p in profiles if p.can_be_key and p.present and p.distinct >= _NEARLY_ALL * p.present]
    at_once = _AT_ONCE if near and near[0].rows <= _SMALL else 1  # each count keeps all its values in memory
    exact: dict[str, int] = {}
    for start in range(0, len(near), at_once):
        some = near[start : start + at_once]
        terms = ", ".join(f"count(DISTINCT {profile.value()})" for profile in some)
        counts = cursor.execute(f"SELECT {terms} FROM {quote(table)}").fetchall()[0]
        exact |= {profile.name: count for profile, count in zip(some, counts, strict=True)}
    for profile in profiles:
        distinct = exact.get(profile.name)
        yield profile if distinct is None else replace(profile, distinct=distinct, unique=distinct == profile.present)

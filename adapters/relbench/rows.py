"""The rows of a database with row numbers for keys, as Parquet files; nothing of them passes through Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from relgraph.adapters.relbench.plan import PlannedTable, free
from relgraph.data.schema import ForeignKey, TableSchema
from relgraph.data.sql import WHOLE_NUMBERS, literal, quote

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["RowWriter"]

_IN_NANOSECONDS = "BETWEEN TIMESTAMP '1677-09-22' AND TIMESTAMP '2262-04-11'"  # what fits into int64

_AS_THEY_ARE = (
    *(set(WHOLE_NUMBERS) - {"HUGEINT", "UHUGEINT"}),
    *("BOOLEAN", "FLOAT", "DOUBLE", "VARCHAR", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
)


class RowWriter:
    """Writes tables one after the other.

    Args:
        db: Where the rows are.
        planned: What becomes of each table.
        folder: Gets the folders ``db`` and ``keys``.
    """

    def __init__(self, db: Database, planned: Mapping[str, PlannedTable], folder: Path) -> None:
        self._db = db
        self._planned = planned
        self._folder = folder
        self._cursor = db.cursor()
        self.renumbered: list[str] = []  # primary keys that are others now
        self._maps: dict[str, str] = {}  # table -> its temporary table of row numbers

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cursor.close()

    def write(self, name: str) -> list[str]:
        """Write one table, and what its keys were if they are others now.

        Returns:
            What could not be kept as it was.
        """
        table = self._planned[name]
        notes: list[str] = []
        parts, joins = [], []
        typed = self._typed(table, notes)
        for i, column in enumerate(table.columns):
            if column.key is not None:
                joins.append(f"LEFT JOIN {self._map(column.key.table)} f{i} ON {self._matches(column.key, f'f{i}')}")
                value = f"f{i}.k"
                lost = self._dangling(name, column.key)
                if lost:
                    notes.append(f"{table.file}.{column.name} is NULL for {lost:,} values that refer to no row")
            elif column.source is None:
                value = f"row_number() OVER (ORDER BY {self._order(name)}) - 1"
            else:
                value = typed[column.source]
            parts.append(f"{value} AS {quote(column.name)}")
        file = self._folder / "db" / f"{table.file}.parquet"
        self._copy(
            f"SELECT {', '.join(parts)} FROM ({self._rows(name)}) s {' '.join(joins)} ORDER BY {self._order(name)}",
            file,
        )
        self._write_keys(name)
        return notes

    def numbers(self, name: str) -> np.ndarray:
        """The number that each row of a table is written under, by its row number in the database; int64 ``[n]``."""
        rows = self._cursor.execute(f"SELECT k FROM {self._map(name)} ORDER BY r").fetchnumpy()
        return np.asarray(rows["k"], dtype=np.int64)

    def known_by(self, name: str, time: int) -> np.ndarray:
        """Whether a row's own time is there and no later than a moment, by row number in the database; bool ``[n]``."""
        if self._planned[name].time is None:
            return np.ones(self._db.num_rows(name), dtype=bool)
        seen = (
            f'SELECT coalesce({self._time(name)} <= {time}, FALSE) AS seen FROM ({self._rows(name)}) s ORDER BY "__row"'
        )
        return np.asarray(self._cursor.execute(seen).fetchnumpy()["seen"], dtype=bool)

    def _rows(self, name: str) -> str:
        time = "NULL" if self._planned[name].time is None else self._db.time_sql(name)
        return f"SELECT *, {time} AS {self._time(name)} FROM ({self._db.numbered(name)})"

    def _time(self, name: str) -> str:
        """What microseconds are called beside the table's own columns."""
        return quote(free("__time", self._db.schema[name].column_names))

    def _order(self, name: str) -> str:
        return 's."__row"' if self._planned[name].time is None else f's.{self._time(name)} NULLS LAST, s."__row"'

    def _map(self, name: str) -> str:
        """The temporary table ``r``, ``k`` and every column that a foreign key refers to."""
        if name not in self._maps:
            schema = self._db.schema
            referred = [schema.target_columns(key) for _, key in schema.foreign_keys if key.table == name]
            columns = dict.fromkeys(c for names in (*referred, schema[name].primary_key) for c in names)
            values = "".join(f", {quote(column)} AS {quote(f'c_{column}')}" for column in columns)
            number = f"row_number() OVER (ORDER BY {self._order(name)}) - 1"
            place = f'temp."relgraph_numbers_{len(self._maps)}"'
            self._cursor.execute(
                f'CREATE TEMP TABLE {place} AS SELECT "__row" AS r, {number} AS k{values} FROM ({self._rows(name)}) s'
            )
            self._maps[name] = place
        return self._maps[name]

    def _matches(self, key: ForeignKey, alias: str) -> str:
        targets = self._db.schema.target_columns(key)
        return " AND ".join(
            f"s.{quote(own)} = {alias}.{quote(f'c_{other}')}" for own, other in zip(key.columns, targets, strict=True)
        )

    def _dangling(self, name: str, key: ForeignKey) -> int:
        present = " AND ".join(f"s.{quote(column)} IS NOT NULL" for column in key.columns)
        found = self._cursor.execute(
            f"SELECT count(*) FROM ({self._db.numbered(name)}) s ANTI JOIN {self._map(key.table)} t "
            f"ON {self._matches(key, 't')} WHERE {present}"
        )
        return int(found.fetchall()[0][0])

    def _write_keys(self, name: str) -> None:
        table = self._planned[name]
        old = table.source.primary_key
        if not old or table.key is None:
            return
        values = ", ".join(f"{quote(f'c_{column}')} AS {quote(column)}" for column in old)
        same = "FALSE"  # for every row, but there may be none
        if len(old) == 1 and table.source.column(old[0]).dtype in WHOLE_NUMBERS:
            same = f"{quote(f'c_{old[0]}')} = k AND r = k"
        if self._cursor.execute(f"SELECT coalesce(bool_and({same}), TRUE) FROM {self._map(name)}").fetchall()[0][0]:
            return
        (self._folder / "keys").mkdir(exist_ok=True)
        place = self._folder / "keys" / f"{table.file}.parquet"
        self._copy(f'SELECT k AS "__key", r AS "__row", {values} FROM {self._map(name)} ORDER BY k', place)
        self.renumbered.append(f"{table.file}.{table.key}")

    def _copy(self, query: str, file: Path) -> None:
        self._cursor.execute(f"COPY ({query}) TO {literal(str(file))} (FORMAT parquet)")

    def _typed(self, table: PlannedTable, notes: list[str]) -> dict[str, str]:
        """SQL of each column in a type that Parquet, pandas and RelBench share; keys are none of its business."""
        plain = {c.source: c.name for c in table.columns if c.source is not None and c.key is None}
        found = {}
        for source, name in plain.items():
            found[source], note = self._value(table.source, source)
            notes += [f"{table.file}.{name} {note}"] if note else []
        time = table.source.time_column
        moments = [c for c in plain if c == time or table.source.column(c).dtype == "TIMESTAMP"]
        for source, late in zip(moments, self._outside(table, [found[c] for c in moments]), strict=True):
            if late:
                notes.append(
                    f"{table.file}.{plain[source]} has {late:,} values before 1678 or after 2261: it is written in "
                    "microseconds, which RelBench 3.0.2 reads as times 1000 times too small"
                )
            else:
                found[source] = f"CAST({found[source]} AS TIMESTAMP_NS)"
        return found

    def _outside(self, table: PlannedTable, values: list[str]) -> list[int]:
        if not values:
            return []
        counts = ", ".join(f"count(*) FILTER (WHERE {value} NOT {_IN_NANOSECONDS})" for value in values)
        return list(self._cursor.execute(f"SELECT {counts} FROM ({self._rows(table.source.name)}) s").fetchall()[0])

    def _value(self, table: TableSchema, column: str) -> tuple[str, str]:
        """SQL of a column over the rows ``s``, and what is to be said about it."""
        name, dtype = f"s.{quote(column)}", table.column(column).dtype
        if column == table.time_column:
            note = "" if dtype == "TIMESTAMP" else f"is {dtype} and written as a timestamp"
            return f"make_timestamp(s.{self._time(table.name)})", note + (", in UTC" if dtype.endswith("ZONE") else "")
        if dtype in _AS_THEY_ARE or dtype.endswith("]") or dtype.startswith(("STRUCT", "MAP")):
            return name, ""
        if dtype in ("HUGEINT", "UHUGEINT") or dtype.startswith("DECIMAL"):
            return f"CAST({name} AS DOUBLE)", f"is {dtype} and written as DOUBLE, with some 16 digits"
        return f"CAST({name} AS VARCHAR)", f"is {dtype} and written as text"

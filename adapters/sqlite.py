"""A SQLite file, read by Python's own module: SQLite's declared types may lie, its stored values do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as percent

from relgraph.adapters.reflection import reflect
from relgraph.adapters.storage import STORED, StoredColumn, count_stored, read_as
from relgraph.adapters.urls import as_path, existing, has_magic
from relgraph.data.schema import Schema, TableSchema
from relgraph.data.source import TableBatches, select_tables
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SQLiteSource"]

_BATCH_ROWS = 65_536
_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".db3")
_COLUMNS_AT_ONCE = 400  # SQLite allows 2000 result columns


class SQLiteSource:
    """Every table of a SQLite file, opened read-only, in the order of its rowid or primary key.

    Views and virtual tables are left out. A column takes the type of what it holds: int64 for integers, float64 as soon
    as one value is real, bytes as soon as one is a BLOB, text as soon as one is text. Text in a column declared as
    date or time becomes that if every value is one.

    Args:
        source: The file, or ``sqlite:///path``.
        tables: Names of the tables to read; all by default.

    Raises:
        AdapterError: If there is no such file or it is no SQLite database.
    """

    understands = "a SQLite file (*.sqlite, *.sqlite3, *.db) or sqlite:///path"

    def __init__(self, source: str | Path, tables: Sequence[str] | Mapping[str, str | None] | None) -> None:
        path = as_path(source, "sqlite")
        if path is None:
            raise AdapterError(f"{source} names no SQLite file; expected sqlite:///path")
        if isinstance(tables, Mapping):
            raise AdapterError(
                f"{path}: tables of a SQLite database are chosen by name, expected a list; SQL over tables works for "
                "files, frames and DuckDB"
            )
        self._path = existing(path, self.understands)
        self._tables = tables
        self.name = str(path)
        self.notes: list[str] = []
        if path.stat().st_size and not has_magic(path, b"SQLite format 3\0"):
            raise AdapterError(f"{path} is no SQLite database: its first bytes are not 'SQLite format 3'")

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is named like a SQLite file or is one."""
        if isinstance(source, str) and source.startswith("sqlite:"):
            return True
        path = as_path(source)
        if path is None:
            return False
        return path.suffix in _SUFFIXES or has_magic(path, b"SQLite format 3\0")

    def schema(self) -> tuple[TableSchema, ...]:
        """Tables, columns, primary and foreign keys as declared."""
        import sqlalchemy

        engine = sqlalchemy.create_engine("sqlite://", creator=lambda: self._open(), poolclass=sqlalchemy.NullPool)
        hidden: list[str] = []
        with closing(self._open()) as file:
            for name, kind in self._query(file, "SELECT name, type FROM pragma_table_list WHERE schema = 'main'"):
                if kind in ("virtual", "shadow"):
                    hidden.append(name)
        self.notes += [f"virtual table {name!r} left out" for name in sorted(hidden)]
        try:
            with engine.connect() as connection:
                found, notes = reflect(connection, hidden)
        except sqlalchemy.exc.DatabaseError as error:
            message = str(error.orig)
        else:
            chosen, dropped = select_tables(found, self._tables)
            self.notes += notes + dropped
            return chosen
        raise AdapterError(f"{self._path} cannot be read: {message}")

    def read(self, schema: Schema) -> Iterator[TableBatches]:
        """Every table as Arrow batches, within one read transaction."""
        import pyarrow

        with closing(self._open()) as file:
            file.execute("BEGIN")
            for table in schema:
                columns, total = self._columns(file, table)
                arrow = pyarrow.schema([(column.name, column.arrow) for column in columns])
                yield TableBatches(table.name, arrow, self._batches(file, table, columns, arrow), total)

    def fingerprint(self) -> str:
        """Size and time of change of the file and of its write-ahead log."""
        files = (self._path, Path(f"{self._path}-wal"))
        stats = [(f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file() and f.stat().st_size]
        return f"{self._tables} {stats}"

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _open(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(f"file:{percent(str(self._path))}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error as error:
            message = str(error)
        raise AdapterError(f"{self._path} cannot be opened: {message}")

    def _query(self, file: sqlite3.Connection, sql: str) -> list[Any]:
        try:
            return file.execute(sql).fetchall()
        except sqlite3.Error as error:
            message = str(error)
        raise AdapterError(f"{self._path} cannot be read: {message}")

    def _columns(self, file: sqlite3.Connection, table: TableSchema) -> tuple[list[StoredColumn], int]:
        file.text_factory = str
        found: list[int] = []
        total = 0
        for start in range(0, len(table.columns), _COLUMNS_AT_ONCE):
            names = table.column_names[start : start + _COLUMNS_AT_ONCE]
            total, *counts = self._query(file, f"SELECT {count_stored(names)} FROM {quote(table.name)}")[0]
            found += counts
        declared = dict(self._query(file, f"SELECT name, type FROM pragma_table_xinfo({literal(table.name)})"))
        columns = []
        for i, name in enumerate(table.column_names):
            stored = found[i * len(STORED) : (i + 1) * len(STORED)]
            column, note = read_as(name, declared.get(name, ""), stored)
            columns.append(self._boolean(file, table.name, column, declared.get(name, "")))
            if note:
                self.notes.append(f"column {table.name}.{name} {note}")
        return columns, int(total)

    def _boolean(self, file: sqlite3.Connection, table: str, column: StoredColumn, declared: str) -> StoredColumn:
        """The column as truth values, if it is declared so and holds only 0 and 1."""
        import pyarrow

        if "BOOL" not in declared.upper() or column.arrow != pyarrow.int64():
            return column
        others = self._query(file, f"SELECT 1 FROM {quote(table)} WHERE {quote(column.name)} NOT IN (0, 1) LIMIT 1")
        return column if others else replace(column, arrow=pyarrow.bool_())

    def _batches(
        self, file: sqlite3.Connection, table: TableSchema, columns: Sequence[StoredColumn], arrow: pyarrow.Schema
    ) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        file.text_factory = bytes  # Arrow checks the encoding of a whole batch at once
        order = self._order(file, table)
        sql = f"SELECT {', '.join(column.sql for column in columns)} FROM {quote(table.name)} ORDER BY {order}"
        try:
            cursor = file.execute(sql)
            while rows := cursor.fetchmany(_BATCH_ROWS):
                values = [
                    self._array(table.name, field, list(column))
                    for field, column in zip(arrow, zip(*rows, strict=True), strict=True)
                ]
                yield pyarrow.RecordBatch.from_arrays(values, schema=arrow)
        except sqlite3.Error as error:
            message = str(error)
        else:
            return
        raise AdapterError(f"{self._path}: table {table.name!r} cannot be read: {message}")

    def _array(self, table: str, field: pyarrow.Field, values: list[Any]) -> pyarrow.Array:
        import pyarrow

        if pyarrow.types.is_boolean(field.type):
            values = [None if value is None else bool(value) for value in values]
        try:
            return pyarrow.array(values, field.type)
        except pyarrow.ArrowInvalid:
            if not pyarrow.types.is_large_string(field.type):
                raise
        note = f"column {table}.{field.name} holds bytes that are no UTF-8 text: they are replaced by U+FFFD"
        if note not in self.notes:
            self.notes.append(note)
        return pyarrow.array([None if v is None else v.decode(errors="replace") for v in values], field.type)

    def _order(self, file: sqlite3.Connection, table: TableSchema) -> str:
        """The order rows lie in: of the rowid under a name that no column has, else of the primary key."""
        found = self._query(file, f"SELECT wr FROM pragma_table_list({literal(table.name)}) WHERE schema = 'main'")
        taken = {name.casefold() for name in table.column_names}
        free = [name for name in ("rowid", "_rowid_", "oid") if name not in taken]
        if found[0][0] or not free:
            return ", ".join(map(quote, table.primary_key)) or "1"
        return free[0]

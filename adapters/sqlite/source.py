"""A SQLite file, read by Python's own module: SQLite's declared types may lie, its stored values do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.adapters.sqlite.dates import newer, read_dates
from relgraph.adapters.sqlite.file import SQLiteFile
from relgraph.adapters.sqlite.schema import declared_time, describe
from relgraph.adapters.sqlite.storage import STORED, StoredColumn, StoredTable, count_stored, read_as
from relgraph.data.schema import Schema, TableSchema
from relgraph.data.source import Scan, Selection, TableBatches, Tail, select_tables
from relgraph.data.sql import literal, quote, quote_all
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SQLiteSource"]

_FETCHED = 512  # rows at a time: a cell may hold megabytes
_BATCH_ROWS = 65_536
_BATCH_BYTES = 64 * 2**20


class SQLiteSource:
    """Every table of a SQLite file, opened read-only, in the order of its rowid or primary key.

    Virtual tables are left out, and views unless they are asked for. A column takes the type of what it holds: int64
    for integers, float64 as soon as one value is real, bytes as soon as one is a BLOB, text as soon as one is text.
    Text in a column declared as date or time becomes that if every value is one.

    Args:
        source: The file, ``sqlite:///path`` or ``file:path``; see :class:`SQLiteFile` for what may stand after a ``?``.
        selection: What to read.

    Raises:
        AdapterError: If there is no such file or it is no SQLite database.
    """

    understands = "a SQLite file (*.sqlite, *.sqlite3, *.db) or sqlite:///path"

    def __init__(self, source: str | Path, selection: Selection) -> None:
        self._file = SQLiteFile(source, self.understands)
        self.name = str(self._file.path)
        selection.require_names(self.name)
        selection.require_no_schemas(self.name)
        self._selection = selection
        self.notes: list[str] = []

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is named like a SQLite file or is one."""
        return SQLiteFile.named_by(source)

    def schema(self) -> tuple[TableSchema, ...]:
        """Tables, columns, primary and foreign keys as declared."""
        with self._file.transaction() as connection:
            found, notes = describe(connection, self._selection)
        chosen, dropped = select_tables(found, self._selection)
        self.notes += notes + dropped
        return chosen

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """None: a SQLite file is copied."""
        return {}

    def unchanged(self) -> None:
        """Nothing is read in place."""

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table as Arrow batches, within one read transaction."""
        with self._file.transaction() as connection:
            connection.text_factory = bytes  # Arrow checks the encoding of a whole batch at once
            for table in schema:
                yield self._table(connection, table, (tails or {}).get(table.name))

    def fingerprint(self) -> str:
        """Size and time of change of the file and of its write-ahead log."""
        return f"{self._selection} {self._file.fingerprint()}"

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _table(self, connection: sqlite3.Connection, table: TableSchema, tail: Tail | None) -> TableBatches:
        import pyarrow

        stored = StoredTable(quote(table.name), lambda sql: self._rows(connection, table.name, sql))
        columns, total = self._columns(stored, table)
        where, older = None, None
        if tail is not None:
            where = newer(next(column for column in columns if column.name == tail.column), tail.last)
        if where is not None:
            recent = int(stored.one(f"count(*) FILTER (WHERE {where})")[0])
            total, older = recent, total - recent
        arrow = pyarrow.schema([(column.name, column.arrow) for column in columns])
        source, order = self._order(stored, table)
        query = f"SELECT {', '.join(column.sql for column in columns)} FROM {source}"
        query += (f" WHERE {where}" if where else "") + order
        return TableBatches(table.name, arrow, self._batches(connection, table.name, columns, query), total, older)

    def _columns(self, stored: StoredTable, table: TableSchema) -> tuple[list[StoredColumn], int]:
        rows = stored.rows(f"SELECT name, type FROM pragma_table_xinfo({literal(table.name)})")
        types = {name.decode(): declared.decode(errors="replace") for name, declared in rows}
        gone = [name for name in table.column_names if rows and name not in types]
        if gone:  # SQLite would take "name" for a text
            where = f"{self.name}: table {table.name!r}"
            raise AdapterError(f"{where} cannot be read: it has no column {gone[0]!r} any more; connect again")
        declared = {name: types.get(name, "") for name in table.column_names}
        total, counts = count_stored(stored, declared)
        columns = []
        for name, dtype in declared.items():
            column, texts, time = None, counts[name][STORED.index("text")], declared_time(dtype)
            if time and texts and texts == sum(counts[name]):
                column = read_dates(stored, name, time, texts)
            columns.append(column or read_as(stored, name, dtype, counts[name]))
            if columns[-1].note:
                self._note(f"column {table.name}.{name} {columns[-1].note}")
        return columns, total

    def _batches(
        self, connection: sqlite3.Connection, table: str, columns: Sequence[StoredColumn], query: str
    ) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        arrow = pyarrow.schema([(column.name, column.arrow) for column in columns])
        parts: list[pyarrow.RecordBatch] = []
        size = rows = 0
        for values in self._fetched(connection, table, query):
            arrays = [self._array(table, *pair) for pair in zip(columns, zip(*values, strict=True), strict=True)]
            parts.append(pyarrow.RecordBatch.from_arrays(arrays, schema=arrow))
            rows, size = rows + len(values), size + parts[-1].nbytes
            if rows >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield from _joined(parts)
                parts, size, rows = [], 0, 0
        yield from _joined(parts)

    def _fetched(self, connection: sqlite3.Connection, table: str, query: str) -> Iterator[list[Any]]:
        try:
            cursor = connection.execute(query)
            while rows := cursor.fetchmany(_FETCHED):
                yield rows
        except sqlite3.Error as error:
            failure = self._file.failure(error, f"table {table!r}")
        else:
            return
        raise failure

    def _rows(self, connection: sqlite3.Connection, table: str, query: str) -> list[Any]:
        return [row for rows in self._fetched(connection, table, query) for row in rows]

    def _array(self, table: str, column: StoredColumn, values: Sequence[Any]) -> pyarrow.Array:
        import pyarrow

        try:
            return column.array(values)
        except pyarrow.ArrowException as error:
            message = str(error)
        if not pyarrow.types.is_large_string(column.arrow):
            raise AdapterError(f"{self.name}: {table}.{column.name} cannot be read as {column.arrow}: {message}")
        self._note(f"column {table}.{column.name} holds bytes that are no UTF-8 text: each is written as \\xNN")
        plain = [value if value is None or column.convert is None else column.convert(value) for value in values]
        return pyarrow.array([v if v is None else v.decode(errors="backslashreplace") for v in plain], column.arrow)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _order(self, stored: StoredTable, table: TableSchema) -> tuple[str, str]:
        """What gives rows in the order they lie in: that of the rowid, or of the primary key where there is none."""
        found = stored.rows(f"SELECT type, wr FROM pragma_table_list({literal(table.name)}) WHERE schema = 'main'")
        if not found or found[0][0] == b"view":
            return stored.relation, ""  # a view has its own order
        if found[0][1]:
            return stored.relation, f" ORDER BY {quote_all(table.primary_key)}" if table.primary_key else ""
        taken = {name.lower() for name in table.column_names}
        free = [name for name in ("rowid", "_rowid_", "oid") if name not in taken]
        return (stored.relation, f" ORDER BY {free[0]}") if free else (f"{stored.relation} NOT INDEXED", "")


def _joined(parts: Sequence[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    if parts:
        yield from pyarrow.Table.from_batches(parts).combine_chunks().to_batches()

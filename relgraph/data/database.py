"""A database as relgraph sees it: a schema and a snapshot of the rows in DuckDB."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from relgraph.data.schema import Schema
from relgraph.data.source import Declaration, TableSource
from relgraph.data.sql import literal, quote, quote_all
from relgraph.errors import AdapterError, SchemaError

if TYPE_CHECKING:
    import duckdb
    import pyarrow

    from relgraph.data.report import Report

__all__ = ["Database"]

_CUTS = "relgraph_cuts"


class Database:
    """Schema and rows of a database, frozen at the moment it was read.

    Made by :func:`relgraph.connect`. Every table lies in DuckDB under its own name, its rows in the order of the
    source: row ``i`` of a table is node ``i`` of the graph.

    Args:
        connection: DuckDB with the tables in its current schema, and time zone UTC for every cursor.
        schema: What they look like.
        name: Where they come from, without a password.
        notes: What was changed or left out on the way in.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schema: Schema, name: str, notes: Sequence[str] = ()
    ) -> None:
        self._connection = connection
        self._closed = False
        self._whole: Database | None = None  # what this is a cut of
        self.schema = schema
        self.name = name
        self.notes = tuple(notes)
        catalog, main = connection.execute("SELECT current_database(), current_schema()").fetchall()[0]
        self._home = f"{quote(catalog)}.{quote(main)}"
        self._path = f"{catalog}.{main}"
        self._limit: int | None = None
        self._visible: dict[str, str] = {}  # table -> SQL condition, where a cut hides rows
        self._num_rows: dict[str, int] = {}
        self._times: dict[str, str] = {}  # table -> SQL of its time
        self._counter = itertools.count(1)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with the tables in its current schema.

        Raises:
            AdapterError: If the database, or the one this is a cut of, is closed.
        """
        opened: Database | None = self
        while opened is not None and not opened._closed:
            opened = opened._whole
        if opened is not None:
            raise AdapterError(f"{self.name}: this database is closed; connect to it again")
        return self._connection

    @classmethod
    def from_source(
        cls,
        source: TableSource,
        *,
        keys: Mapping[str, Declaration] | None = None,
        times: Mapping[str, str | None] | None = None,
        snapshot: str | Path | None = None,
        progress: bool = True,
    ) -> Database:
        """Read a source of tables; :func:`relgraph.connect` says what the arguments mean.

        Raises:
            AdapterError: If the source cannot be read, or ``snapshot`` is a file with something else in it.
            SchemaError: If a declaration names what does not exist.
        """
        from relgraph.data.snapshot import take

        return cls(*take(source, keys, times, snapshot, progress))

    def sql(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pyarrow.Table:
        """Run one reading query.

        Args:
            query: A single SELECT (or WITH, VALUES, FROM) in DuckDB's dialect.
            parameters: Values for ``?`` (a sequence) or ``$name`` (a mapping).

        Returns:
            The result as an Arrow table.

        Raises:
            SchemaError: If the query is another statement, or DuckDB cannot run it.
            AdapterError: If the database is closed.
        """
        import duckdb

        cursor = self.cursor()
        try:
            kinds = [statement.type for statement in cursor.extract_statements(query)]
            if kinds != [duckdb.StatementType.SELECT]:
                found = ", ".join(kind.name for kind in kinds) or "none"
                raise SchemaError(f"expected one SELECT statement, got {found}: {query.strip()[:200]}")
            self._require_reading(cursor, query)
            # a WITH may hold a DELETE: the transaction is what keeps the snapshot as it is
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return cursor.sql(query, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            message = str(error)
        finally:
            cursor.close()
        raise SchemaError(f"{self.name}: the query cannot run: {message}\nquery: {query.strip()[:2000]}")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own on the same tables (and the same cut), for another thread or a result kept open.

        ``connection.cursor()`` would find no table at all: DuckDB's cursors do not take over the current schema.
        """
        cursor = self.connection.cursor()
        cursor.execute(f"SET search_path = {literal(self._path)}")
        return cursor

    def num_rows(self, table: str) -> int:
        """Number of rows of a table.

        Raises:
            SchemaError: If there is no such table.
        """
        if table not in self._num_rows:
            rows = self.cursor().execute(f"SELECT count(*) FROM ({self.numbered(table)})").fetchall()
            self._num_rows[table] = int(rows[0][0])
        return self._num_rows[table]

    def numbered(self, table: str) -> str:
        """SQL of a SELECT with every column of a table and ``"__row"``, BIGINT 0..n-1 in the order of the source.

        Rows come in no particular order: order by ``"__row"`` where it matters.

        Raises:
            SchemaError: If there is no such table.
        """
        base = f"{self._home}.{quote(self.schema[table].name)}"
        columns = quote_all(self.schema[table].column_names)
        if table not in self._visible:
            return f'SELECT {columns}, rowid AS "__row" FROM {base}'
        row = "row_number() OVER (ORDER BY rowid) - 1"
        return f'SELECT {columns}, {row} AS "__row" FROM {base} WHERE {self._visible[table]}'

    def time_sql(self, table: str) -> str:
        """SQL over a table's columns that gives its time as BIGINT microseconds, NULL where a row has none.

        What numbers in the time column count is read off all rows, also where this is a cut of a database.

        Raises:
            SchemaError: If the table has no time column, or it cannot be read as a time.
        """
        if table not in self._times:
            from relgraph.data.time import time_expression

            column = self.schema[table].time_column
            if column is None:
                raise SchemaError(f"table {table!r} has no time column; declare one with times=")
            base, dtype = f"{self._home}.{quote(table)}", self.schema[table].column(column).dtype
            self._times[table] = time_expression(self.connection.cursor(), base, column, dtype, f"{table}.{column}")
        return self._times[table]

    def upto(self, time: int | str | datetime) -> Database:
        """The same database as it was known at a moment.

        Tables with a time column lose the rows that are later; rows at that moment, rows without a time and tables
        without a time column stay. Nothing is copied, and this database does not change.

        Args:
            time: Inclusive; int means microseconds since 1970-01-01 UTC, text is ISO 8601.

        Returns:
            A database on views of the same tables; it is usable while this one is open.

        Raises:
            SchemaError: If ``time`` or a time column cannot be read as a time.
        """
        from relgraph.data.time import format_time, to_moment

        limit = to_moment(time, "upto")
        if self._limit is not None:
            limit = min(limit, self._limit)
        cursor = self.connection.cursor()
        place = self._empty_schema(cursor)
        visible = {}
        for table in self.schema:
            base = f"{self._home}.{quote(table.name)}"
            where = ""
            if table.time_column is not None:
                visible[table.name] = f"coalesce({self.time_sql(table.name)} <= {limit}, TRUE)"
                where = f" WHERE {visible[table.name]}"
            cursor.execute(f"CREATE VIEW {place}.{quote(table.name)} AS SELECT * FROM {base}{where}")
        cursor.execute(f"SET search_path = {literal(place)}")
        cut = Database(cursor, self.schema, f"{self.name} up to {format_time(limit)}", self.notes)
        cut._home, cut._path, cut._limit, cut._visible = self._home, place, limit, visible
        cut._times, cut._counter = self._times, self._counter
        cut._whole = self
        return cut

    def check(self) -> Report:
        """The integrity of keys and times: duplicates, orphans, missing values, references to the future."""
        from relgraph.data.integrity import make_report

        return make_report(self)

    def validate_keys(self) -> None:
        """Check that what is referred to is unique. NULLs and dangling references are no error.

        Raises:
            SchemaError: At the first primary key, or column that a foreign key refers to, with a value standing twice.
        """
        for table in self.schema:
            if table.primary_key:
                self._require_unique(table.name, table.primary_key, "its primary key")
        for table, key in self.schema.foreign_keys:
            target = self.schema.target_columns(key)
            if set(target) != set(self.schema[key.table].primary_key):
                self._require_unique(key.table, target, f"{table.name}.{key.name} refers to it")

    def close(self) -> None:
        """Close the connection; views made by :meth:`upto` end with it."""
        self._closed = True
        self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        lines = [f"Database {self.name}: {len(self.schema)} tables, {len(self.schema.foreign_keys)} foreign keys"]
        for table in self.schema:
            line = f"  {table.name}: {self.num_rows(table.name):,} rows, {len(table.columns)} columns"
            if table.primary_key:
                line += f", key ({', '.join(table.primary_key)})"
            if table.time_column:
                line += f", time {table.time_column}"
            lines.append(line)
            lines += [f"    {key.name} -> {key.table}" for key in table.foreign_keys]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        text = f"<pre>{html.escape(repr(self))}</pre>"
        try:
            from relgraph.data.html import schema_svg
        except ModuleNotFoundError:
            return text
        return f"{schema_svg(self.schema)}{text}"

    @staticmethod
    def _require_reading(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
        # DuckDB calls a SELECT over WITH x AS (DELETE ...) a SELECT too: only its parts tell
        tree: str = cursor.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
        writing = re.search(r'"type":"([A-Z]+)_QUERY_NODE"', tree)
        if writing is not None:
            raise SchemaError(f"expected a query that only reads, got {writing[1]} in it: {query.strip()[:200]}")

    def _empty_schema(self, cursor: duckdb.DuckDBPyConnection) -> str:
        # in a catalog of its own, because a snapshot file is read-only
        cursor.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {_CUTS}")
        place = f"{_CUTS}.upto_{next(self._counter)}"
        cursor.execute(f"CREATE SCHEMA {place}")
        return place

    def _require_unique(self, table: str, columns: Sequence[str], why: str) -> None:
        names = quote_all(columns)
        present = " AND ".join(f"{quote(column)} IS NOT NULL" for column in columns)
        found = self.cursor().execute(
            f'SELECT {names}, count(*) AS "__n" FROM ({self.numbered(table)}) WHERE {present} GROUP BY {names} '
            'HAVING count(*) > 1 ORDER BY min("__row") LIMIT 1'
        )
        for *values, number in found.fetchall():
            value = ", ".join(map(repr, values))
            raise SchemaError(
                f"table {table!r}: ({', '.join(columns)}) = ({value}) stands {number} times, but {why}; "
                "remove the duplicates or declare another key with keys="
            )

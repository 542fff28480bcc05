"""A database as relgraph sees it: a schema and a snapshot of the rows in DuckDB."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.data.at_hand import HAND, at_hand, copies, worth_copying
from relgraph.data.declarations import Declaration, TimeDeclaration
from relgraph.data.relations import ROWS, View
from relgraph.data.schema import Schema
from relgraph.data.select import readable, run_select
from relgraph.data.source import TableSource
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError, SchemaError

if TYPE_CHECKING:
    import duckdb
    import pyarrow

    from relgraph.data.check.report import Report
    from relgraph.data.check.suspects import LabelledTask

__all__ = ["Database"]

_CUTS = "relgraph_cuts"
_OWN = "relgraph_own"  # what a table is called where rows of it are chosen


class Database:
    """Schema and rows of a database, frozen at the moment it was read.

    Made by :func:`relgraph.connect`. Every table lies in DuckDB under its own name, its rows in the order of the
    source: row ``i`` of a table is node ``i`` of the graph.

    Args:
        connection: DuckDB with the tables in its current schema, and time zone UTC for every cursor.
        schema: What they look like.
        name: Where they come from, without a password.
        notes: What was changed or left out on the way in.
        views: The tables that are read in place: they also stand in the schema ``relgraph_rows``, with ``"__row"``.
        changes: What a refresh did, a sentence per table.
        unchanged: Raises AdapterError if what is read in place is no longer what was connected.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: Schema,
        name: str,
        notes: Sequence[str] = (),
        *,
        views: Mapping[str, View] | None = None,
        changes: Sequence[str] = (),
        unchanged: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._closed = False
        self._whole: Database | None = None  # what this is a cut of
        self.schema = schema
        self.name = name
        self.notes = tuple(notes)
        self.changes = tuple(changes)
        self._views = dict(views or {})
        self._held = 0  # how many blocks have the costly views at hand
        self._copied: dict[str, str] = {}  # wide table -> where a copy of it is at hand
        self._unchanged = unchanged
        self._again: Callable[[], Database] | None = None  # reads the source once more
        catalog, main = connection.execute("SELECT current_database(), current_schema()").fetchall()[0]
        self._catalog = quote(catalog)
        self._home = f"{self._catalog}.{quote(main)}"
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
            AdapterError: If the database, or the one this is a cut of, is closed, or a file that is read in place has
                changed.
        """
        opened: Database | None = self
        while opened is not None and not opened._closed:
            opened = opened._whole
        if opened is not None:
            raise AdapterError(f"{self.name}: this database is closed; connect to it again")
        self.require_unchanged()
        return self._connection

    def require_unchanged(self) -> None:
        """Check that the files that are read in place are the ones that were connected.

        Raises:
            AdapterError: If one of them has another size or time of change, or is gone.
        """
        if self._unchanged is not None:
            self._unchanged()

    @classmethod
    def from_source(
        cls,
        source: TableSource,
        *,
        keys: Mapping[str, Declaration] | None = None,
        times: Mapping[str, TimeDeclaration] | None = None,
        snapshot: str | Path | None = None,
        refresh: bool = False,
        progress: bool = True,
    ) -> Database:
        """Read a source of tables; :func:`relgraph.connect` says what the arguments mean.

        Raises:
            AdapterError: If the source cannot be read, or ``snapshot`` is a file with something else in it.
            SchemaError: If a declaration names what does not exist.
        """
        from relgraph.data.snapshot import take

        taken = take(source, keys, times, snapshot, progress, refresh)
        watched = source.unchanged if taken.views else None
        return cls(
            taken.connection,
            taken.schema,
            taken.name,
            taken.notes,
            views=taken.views,
            changes=taken.changes,
            unchanged=watched,
        )

    def reads_again(self, again: Callable[[], Database]) -> None:
        """Say how :meth:`refresh` reads the source once more."""
        self._again = again

    def refresh(self) -> Database:
        """The same source as it is now, read again with the same declarations.

        With a snapshot file only rows that are new are read, where a table has a time column; :attr:`changes` of the
        result says what was done. This database stays as it is until it is closed.

        Raises:
            AdapterError: If this database was not made by :func:`relgraph.connect`, or the source cannot be read; a
                snapshot file is then as it was.
        """
        if self._again is None:
            raise AdapterError(f"{self.name}: only a database that relgraph.connect() gave can be refreshed")
        return self._again()

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
            rows = run_select(cursor, query, parameters)
            self.require_unchanged()
            return rows
        except duckdb.Error as error:
            message = str(error)
        finally:
            cursor.close()
        self.require_unchanged()  # which says better why
        raise SchemaError(f"{self.name}: the query cannot run: {message}\nquery: {query.strip()[:2000]}")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own on the same tables (and the same cut), for another thread or a result kept open.

        ``connection.cursor()`` would find no table at all: DuckDB's cursors do not take over the current schema.
        """
        cursor = self.connection.cursor()
        path = ",".join([*dict.fromkeys(self._copied.values()), self._path])
        cursor.execute(f"SET search_path = {literal(path)}")
        return cursor

    def reading(self) -> AbstractContextManager[None]:
        """A block in which tables are read; it ends with an AdapterError if they cannot be."""
        return readable(self.name, self.require_unchanged)

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """Within this block, text files that are read in place are read once, not by every query.

        Long work such as :func:`relgraph.build_graph` does so itself. DuckDB holds them, in memory or in its folder
        for temporary files, until the block ends; and views with more than a hundred columns if they are not large.
        """
        whole = self
        while whole._whole is not None:
            whole = whole._whole
        whole._held += 1
        try:
            with at_hand(whole.connection, self._catalog, whole._views if whole._held == 1 else {}):
                views = {} if self._copied else {**self._views, **self._visible}
                wide = [self.schema[name] for name in views if worth_copying(self.schema[name], self.num_rows)]
                queries = {table.name: self.numbered(table.name) for table in wide}
                with copies(whole.connection, f"{HAND}.wide_{next(self._counter)}", queries, self._copied):
                    yield
        finally:
            whole._held -= 1

    def num_rows(self, table: str) -> int:
        """Number of rows of a table.

        Raises:
            SchemaError: If there is no such table.
            AdapterError: If it cannot be read.
        """
        if table not in self._num_rows:
            with self.reading():
                rows = self.cursor().execute(f"SELECT count(*) FROM ({self.numbered(table)})").fetchall()
            self._num_rows[table] = int(rows[0][0])
        return self._num_rows[table]

    def numbered(self, table: str, columns: Sequence[str] | None = None) -> str:
        """SQL of a SELECT with columns of a table and ``"__row"``, BIGINT 0..n-1 in the order of the source.

        Rows come in no particular order: order by ``"__row"`` where it matters.

        Args:
            table: The table.
            columns: Which columns; all by default. A query of a wide table is planned faster if it names few.

        Raises:
            SchemaError: If there is no such table.
        """
        known = self.schema[table]
        wanted = known.column_names if columns is None else dict.fromkeys(columns)
        visible = None if table in self._copied else self._visible.get(table)
        if table in self._copied:
            base, row = f"{self._copied[table]}.{quote(table)}", "rowid"
        elif table in self._views:
            base, row = f"{self._catalog}.{ROWS}.{quote(table)}", '"__row"'
        else:
            base, row = f"{self._home}.{quote(table)}", "rowid"
        if visible is not None:
            row = f"row_number() OVER (ORDER BY {row}) - 1"
        terms = ", ".join([*map(quote, wanted), f'{row} AS "__row"'])
        return f"SELECT {terms} FROM {base} {_OWN}" + ("" if visible is None else f" WHERE {visible}")

    def time_sql(self, table: str) -> str:
        """SQL over a table's columns that gives its time as BIGINT microseconds, NULL where a row has none.

        What numbers in the time column count is read off all rows, also where this is a cut of a database.

        Raises:
            SchemaError: If the table has no time column, or it cannot be read as a time.
            AdapterError: If the table cannot be read.
        """
        if table not in self._times:
            from relgraph.data.time import time_expression

            column = self.schema[table].time_column
            if column is None:
                raise SchemaError(f"table {table!r} has no time column; declare one with times=")
            base, dtype = f"{self._home}.{quote(table)}", self.schema[table].column(column).dtype
            with self.reading():
                cursor = self.connection.cursor()
                self._times[table] = time_expression(cursor, base, column, dtype, f"{table}.{column}")
        return self._times[table]

    def upto(self, time: int | str | datetime) -> Database:
        """The same database as it was known at a moment.

        Tables lose the rows that are later; those without a time column lose the rows that refer to a later one, the
        lines of a later invoice. Rows at that moment and rows without a time stay. Nothing is copied, and this database
        does not change.

        Args:
            time: Inclusive; int means microseconds since 1970-01-01 UTC, text is ISO 8601.

        Returns:
            A database on views of the same tables; it is usable while this one is open.

        Raises:
            SchemaError: If ``time`` or a time column cannot be read as a time.
            AdapterError: If a table cannot be read.
        """
        from relgraph.data.known import known_sql
        from relgraph.data.time import format_time, to_moment

        limit = to_moment(time, "upto")
        if self._limit is not None:
            limit = min(limit, self._limit)
        cursor = self.connection.cursor()
        place = self._empty_schema(cursor)
        visible = {}
        for table in self.schema:
            known = known_sql(self, table.name, _OWN, home=f"{self._home}.")
            where = ""
            if known is not None:
                visible[table.name] = f"{known} <= {limit}"
                where = f" WHERE {visible[table.name]}"
            base = f"{self._home}.{quote(table.name)} {_OWN}"
            cursor.execute(f"CREATE VIEW {place}.{quote(table.name)} AS SELECT * FROM {base}{where}")
        cursor.execute(f"SET search_path = {literal(place)}")
        name = f"{self.name} up to {format_time(limit)}"
        cut = Database(cursor, self.schema, name, self.notes, views=self._views, unchanged=self._unchanged)
        cut._catalog, cut._home, cut._path = self._catalog, self._home, place
        cut._limit, cut._visible = limit, visible
        cut._times, cut._counter = self._times, self._counter
        cut._whole = self
        return cut

    def check(
        self,
        task: LabelledTask | None = None,
        *,
        propose: bool = True,
        now: int | str | datetime | None = None,
        progress: bool = True,
    ) -> Report:
        """The integrity of keys and times, and what is not declared but seems to hold.

        Args:
            task: An :class:`relgraph.EntityTask`: columns that are as good as its label are named.
            propose: Look for keys, times and validity intervals that are not declared.
            now: What rows in the future are later than; the present by default.
            progress: Show progress on stderr.

        Returns:
            A report to print, with ``problems``, ``proposed_keys`` and ``proposed_times`` to connect with.

        Raises:
            SchemaError: If ``now`` is no moment.
            AdapterError: If the tables cannot be read.
        """
        from relgraph.data.check.integrity import make_report

        with self.reading(), self.at_hand():
            return make_report(self, task, proposed=propose, now=now, progress=progress)

    def validate_keys(self) -> None:
        """Check that what is referred to is unique. NULLs and dangling references are no error.

        Raises:
            SchemaError: At the first primary key, or column that a foreign key refers to, with a value standing twice.
            AdapterError: If the tables cannot be read.
        """
        from relgraph.data.key_checks import require_unique_keys

        with self.reading():
            require_unique_keys(self)

    def close(self) -> None:
        """Close the connection; views made by :meth:`upto` end with it."""
        self._closed = True
        self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        head = f"Database {self.name}: {len(self.schema)} tables, {len(self.schema.foreign_keys)} foreign keys"
        return "\n".join([head, *(line for table in self.schema for line in table.lines(self.num_rows(table.name)))])

    def _repr_html_(self) -> str:
        counts = {table.name: self.num_rows(table.name) for table in self.schema}
        return f"{self.schema.picture(counts)}<pre>{html.escape(repr(self))}</pre>"

    def _empty_schema(self, cursor: duckdb.DuckDBPyConnection) -> str:
        # in a catalog of its own, because a snapshot file is read-only
        cursor.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {_CUTS}")
        place = f"{_CUTS}.upto_{next(self._counter)}"
        cursor.execute(f"CREATE SCHEMA {place}")
        return place

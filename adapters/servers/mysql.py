"""MariaDB and MySQL: one connection, one consistent snapshot, rows streamed by a cursor of the server."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.engines import dialect_of, knows
from relgraph.adapters.servers.mysql_catalog import reflect_catalog
from relgraph.adapters.servers.mysql_columns import Reading, backticked, held, looked_at, reading
from relgraph.adapters.servers.mysql_packing import Packing
from relgraph.adapters.servers.mysql_spelling import spelled_as_referred
from relgraph.adapters.servers.mysql_values import TextKind
from relgraph.adapters.servers.reflection import Place, Reflected
from relgraph.adapters.servers.sqlalchemy import SQLAlchemySource
from relgraph.data.schema import ForeignKey, TableSchema
from relgraph.data.source import Selection, TableBatches, Tail
from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow
    import sqlalchemy

__all__ = ["MySQLSource"]

_SESSION = (
    "SET SESSION sql_mode = '', time_zone = '+00:00', net_write_timeout = 3600",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_PLAIN = {"no_parameters": True}  # a % in a name is no placeholder
_TOO_LONG = 1301  # a value was longer than max_allowed_packet: the server put NULL in its place


class MySQLSource(SQLAlchemySource):
    """Every table of a database of MariaDB or MySQL, in the order of the bytes of its primary key.

    Other databases of the server are its ``schemas``. Types keep what they can say: ``BIGINT UNSIGNED`` above int64 is
    uint64, ``TINYINT(1)`` that holds only 0 and 1 and ``BIT(1)`` are truth values, ``TIMESTAMP`` is a moment (UTC),
    ``TIME`` a time of day if all of them are and else a duration, ``SET`` a list of texts, ``BINARY`` and
    ``VARBINARY`` text if all values are, else up to 64 bytes and in keys their hexadecimal digits, a geometry its WKB.
    A date that no calendar has (``0000-00-00``) is missing and counted in a note. A text key that is equal to the one
    it refers to only by its collation is spelled as that one. Settings of the server are not touched, only those of
    the connection.

    Args:
        source: ``mysql://user:password@host/database``, also ``mariadb://`` and with a driver, ``mysql+mysqldb://``.
        selection: What to read.

    Raises:
        AdapterError: If the driver is not installed or the URL is malformed.
    """

    understands = "MariaDB and MySQL: mysql://user@host/database"
    system_schemas = frozenset({"information_schema", "performance_schema", "mysql", "sys"})

    def __init__(self, source: str, selection: Selection) -> None:
        super().__init__(source, selection)
        self._in_keys: dict[str, set[str]] = {}
        self._keys: dict[str, list[ForeignKey]] = {}

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a URL of MariaDB or MySQL."""
        return dialect_of(source) in ("mysql", "mariadb") and knows(source)

    def begin(self, connection: sqlalchemy.Connection) -> None:
        """One moment for all tables; the server refuses to write in such a transaction."""
        for statement in _SESSION:
            connection.exec_driver_sql(statement)

    def reflected(self, connection: sqlalchemy.Connection) -> Reflected:
        """Tables and keys from the server's catalogue."""
        found = reflect_catalog(connection, self.selection, self.system_schemas)
        read = self.selection.names or tuple(table.name for table in found.tables)
        self._in_keys = {table.name: set(table.key_columns) for table in found.tables}
        for table in found.tables:
            self._keys[table.name] = [key for key in table.foreign_keys if key.table in read]
            for key in table.foreign_keys:
                self._in_keys[key.table].update(key.target_columns)
        return found

    def rows(self, connection: sqlalchemy.Connection, table: TableSchema, tail: Tail | None) -> TableBatches:
        """A table's batches, and how many rows come before its tail."""
        import pyarrow

        place = self.places[table.name]
        readings = self._readings(connection, table, place)
        relation = backticked(place.schema, place.name)
        newer, older = "", None
        if tail is not None:
            newer, older = self._tail(connection, relation, place, tail)
        order = ", ".join(readings[name].order for name in table.primary_key)
        limit = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
        packing = Packing(readings, {name: 4 * dtype.length for name, dtype in place.types.items()}, int(limit) // 2)
        query = f"SELECT {packing.sql} FROM {relation}"
        query += f" WHERE {newer}" * bool(newer) + f" ORDER BY {order}" * bool(order)
        arrow = pyarrow.schema([(name, each.kind.arrow()) for name, each in readings.items()])
        parts = self.guarded(table.name, lambda: self._streamed(connection, query, table.name))
        return TableBatches(table.name, arrow, self._batches(table.name, readings, packing, arrow, parts), older=older)

    def _batches(
        self,
        table: str,
        readings: Mapping[str, Reading],
        packing: Packing,
        arrow: pyarrow.Schema,
        parts: Iterable[Sequence[Sequence[Any]]],
    ) -> Iterator[pyarrow.RecordBatch]:
        """Rows as Arrow batches, and then a note for each column whose values could not all be held as they are."""
        import pyarrow

        lost = dict.fromkeys(readings, 0)
        for rows in parts:
            columns = self.tried(partial(packing.columns, rows), table)
            arrays = []
            for name, each in readings.items():
                array = self.tried(partial(each.kind.array, columns[name]), table, name)
                lost[name] += array.null_count - _nulls(columns[name])
                arrays.append(array)
            yield pyarrow.RecordBatch.from_arrays(arrays, schema=arrow)
        for name, each in readings.items():
            if lost[name]:
                self.notes.append(f"column {table}.{name}: {lost[name]:,} {each.kind.lost}")
            if isinstance(each.kind, TextKind) and each.kind.replaced[0]:
                charset = self.places[table].types[name].charset
                self.notes.append(
                    f"column {table}.{name}: {each.kind.replaced[0]:,} texts hold bytes that are no {charset}: U+FFFD "
                    "stands for them"
                )

    def _readings(self, connection: sqlalchemy.Connection, table: TableSchema, place: Place) -> dict[str, Reading]:
        """How each column is read, after a look at those whose type alone does not say it."""
        keys = table.key_columns | self._in_keys.get(table.name, set())
        looks = {
            name: sql
            for name in table.column_names
            if (sql := looked_at(backticked(name), place.types[name], name in keys)) is not None
        }
        ends: dict[str, Sequence[Any]] = {}
        if looks:
            terms = ", ".join(f"MIN({sql}), MAX({sql})" for sql in looks.values())
            query = f"SELECT {terms} FROM {backticked(place.schema, place.name)}"
            row = connection.exec_driver_sql(query, execution_options=_PLAIN).one()
            ends = {name: row[2 * i : 2 * i + 2] for i, name in enumerate(looks)}
        spelled = spelled_as_referred(connection, table.name, self._keys[table.name], self.places, self.notes)
        return {
            name: reading(spelled.get(name, backticked(name)), place.types[name], name in keys, *ends.get(name, ()))
            for name in table.column_names
        }

    def errors(self) -> tuple[type[Exception], ...]:
        """Also PyMySQL's RuntimeError about a package that some ways to log in need."""
        return (*super().errors(), RuntimeError)

    def _tail(self, connection: sqlalchemy.Connection, relation: str, place: Place, tail: Tail) -> tuple[str, int]:
        """SQL that tells the rows of a tail, and how many come before it."""
        last, column, dtype = tail.last, backticked(tail.column), place.types[tail.column]
        if isinstance(last, datetime.datetime) and last.tzinfo is not None:
            last = last.astimezone(datetime.UTC).replace(tzinfo=None)  # as is the time zone of the session
        before = f"{column} < {literal(str(last)) if isinstance(last, datetime.date) else repr(last)}"
        before = f"COALESCE({before} AND {held(column, dtype)}, FALSE)"
        count = connection.exec_driver_sql(
            f"SELECT COUNT(IF({before}, 1, NULL)) FROM {relation}", execution_options=_PLAIN
        )
        return f"NOT {before}", int(count.scalar_one())

    def _streamed(self, connection: sqlalchemy.Connection, query: str, table: str) -> Iterator[Sequence[Any]]:
        """Rows of a query, some at a time."""
        results: list[sqlalchemy.CursorResult[Any]] = []

        def execute(options: Mapping[str, Any]) -> sqlalchemy.CursorResult[Any]:
            results.append(connection.exec_driver_sql(query, execution_options={**options, **_PLAIN}))
            return results[0]

        whole = False
        try:
            yield from self.fetched(execute)
            whole = True
        finally:
            if results and not whole:
                _forget(results[0].cursor)
                if not connection.closed:
                    connection.invalidate()
        warnings = connection.exec_driver_sql("SHOW WARNINGS", execution_options=_PLAIN)
        if any(code == _TOO_LONG for _, code, _ in warnings):
            raise AdapterError(
                f"{self.name}: {table} cannot be read: a value is longer in UTF-8 than the server may send; raise the "
                f"server's max_allowed_packet, or leave {table!r} out by naming the others in tables=[...]"
            )


def _nulls(cells: pyarrow.Array | Sequence[Any]) -> int:
    if isinstance(cells, Sequence):
        return sum(cell is None for cell in cells)
    return int(cells.null_count)


def _forget(cursor: Any) -> None:
    """Keep PyMySQL from reading a result to its end, or from trying to on a connection that is gone."""
    pending: Any = getattr(cursor, "_result", None)
    if hasattr(pending, "unbuffered_active"):
        pending.unbuffered_active = False

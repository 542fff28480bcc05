"""Any database that SQLAlchemy has a dialect and a driver for."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.engines import knows, make_engine
from relgraph.adapters.servers.faults import explained, fault
from relgraph.adapters.servers.reflection import Place, Reflected, reflect_schemas
from relgraph.adapters.servers.values import ValueKind, value_kind
from relgraph.adapters.urls import masked
from relgraph.data.schema import Schema, TableSchema
from relgraph.data.source import Scan, Selection, TableBatches, Tail, select_tables
from relgraph.errors import AdapterError, RelGraphError

if TYPE_CHECKING:
    import pyarrow
    import sqlalchemy

__all__ = ["BATCH_ROWS", "ReadColumn", "SQLAlchemySource"]

BATCH_ROWS = 65_536
_FIRST_ROWS = 256
_BATCH_BYTES = 32 * 1024**2


@dataclass(frozen=True)
class ReadColumn:
    """How one column is read.

    Args:
        name: Its name in the table.
        expression: What is selected.
        kind: How its values are held.
    """

    name: str
    expression: sqlalchemy.ColumnElement[Any]
    kind: ValueKind


class SQLAlchemySource:
    """Every table of a server's default schema, or of the chosen ones, in the order of the primary key.

    All are read in one transaction; nothing is ever written. A subclass is one dialect: it says how a transaction is
    begun (:meth:`begin`), what there is (:meth:`reflected`), how the columns of a table are selected (:meth:`columns`)
    or its rows are read as a whole (:meth:`rows`), and adds to ``notes``.

    Args:
        source: ``dialect+driver://user:password@host/database``.
        selection: What to read.

    Raises:
        AdapterError: If the dialect is unknown, its driver is not installed, the URL is malformed, or names a SQLite
            file that does not exist.
    """

    understands = "a database URL such as postgresql://host/shop, mysql://host/shop or any other that SQLAlchemy knows"
    system_schemas: frozenset[str] = frozenset({"information_schema", "sys", "performance_schema"})
    """Schemas that ``schemas="*"`` does not mean."""

    def __init__(self, source: str, selection: Selection) -> None:
        self.name = masked(source)
        self.notes: list[str] = []
        self.selection = selection
        self.places: dict[str, Place] = {}
        selection.require_names(self.name)
        self._url = source
        self._engine = make_engine(source, self.engine_options)

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a URL of a dialect that is there."""
        return knows(source)

    def engine_options(self, url: sqlalchemy.URL) -> dict[str, Any]:
        """Further arguments of ``sqlalchemy.create_engine``."""
        return {}

    def begin(self, connection: sqlalchemy.Connection) -> None:
        """Begin a transaction that only reads and sees one moment, on a connection that is fresh."""
        levels = _isolation_levels(connection)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql("BEGIN")  # Python's module only begins one before it writes
        elif level := next((level for level in ("REPEATABLE READ", "SERIALIZABLE") if level in levels), ""):
            connection.execution_options(isolation_level=level)

    def reflected(self, connection: sqlalchemy.Connection) -> Reflected:
        """The tables and views that there are in the chosen schemas."""
        return reflect_schemas(connection, self.selection, self.system_schemas)

    def columns(self, connection: sqlalchemy.Connection, table: TableSchema, place: Place) -> list[ReadColumn]:
        """How each column of a table is read."""
        import sqlalchemy

        return [
            ReadColumn(name, sqlalchemy.column(name, place.types[name]), value_kind(place.types[name]))
            for name in table.column_names
        ]

    def rows(self, connection: sqlalchemy.Connection, table: TableSchema, tail: Tail | None) -> TableBatches:
        """A table's batches, and how many rows come before its tail."""
        import pyarrow
        import sqlalchemy

        place = self.places[table.name]
        columns = self.columns(connection, table, place)
        relation = sqlalchemy.table(place.name, schema=place.schema)
        query = sqlalchemy.select(*(column.expression for column in columns)).select_from(relation)
        query = query.order_by(*(sqlalchemy.column(name, place.types[name]) for name in table.primary_key))
        older = None
        if tail is not None and _comparable(place.types[tail.column], tail.last):
            column = sqlalchemy.column(tail.column, place.types[tail.column])
            before = column < tail.last
            older = connection.scalar(
                sqlalchemy.select(sqlalchemy.func.count(sqlalchemy.case((before, 1)))).select_from(relation)
            )
            query = query.where(sqlalchemy.or_(column.is_(None), sqlalchemy.not_(before)))
        arrow = pyarrow.schema([(column.name, column.kind.arrow()) for column in columns])
        batches = self.arrays(table.name, columns, arrow, lambda: self.fetched(partial(_run, connection, query)))
        return TableBatches(table.name, arrow, batches, older=older)

    def schema(self) -> tuple[TableSchema, ...]:
        """Tables, columns, primary and foreign keys by reflection."""
        with self._opened() as connection:
            found = self.tried(lambda: self.reflected(connection))
        self.places = found.places
        chosen, dropped = select_tables(found.tables, self.selection)
        self.notes += found.notes + dropped
        return chosen

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """None: a server's rows are copied."""
        return {}

    def unchanged(self) -> None:
        """Nothing is read in place."""

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table as Arrow batches, within one transaction and through server-side cursors."""
        with self._opened() as connection:
            try:
                for table in schema:
                    tail = (tails or {}).get(table.name)
                    yield self.tried(partial(self.rows, connection, table, tail), table.name)
            except BaseException:
                connection.invalidate()  # what may be lost cannot be rolled back; the server does that itself
                raise

    def fingerprint(self) -> str:
        """Only the chosen tables: a server's content cannot be told without reading it."""
        return repr(self.selection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def fetched(self, execute: Callable[[Mapping[str, Any]], sqlalchemy.CursorResult[Any]]) -> Iterator[Sequence[Any]]:
        """The rows of a query as the driver's Python values: some at a time, fewer where they are wide.

        Args:
            execute: Runs the query with the execution options that it is given.
        """
        result = execute({"stream_results": True, "max_row_buffer": _FIRST_ROWS})
        size = _FIRST_ROWS
        while rows := result.fetchmany(size):
            yield rows
            size = max(16, min(8 * size, BATCH_ROWS, _BATCH_BYTES // _width(rows)))

    def arrays(
        self,
        table: str,
        columns: Sequence[ReadColumn],
        arrow: pyarrow.Schema,
        rows: Callable[[], Iterable[Sequence[Any]]],
    ) -> Iterator[pyarrow.RecordBatch]:
        """Rows of Python values as Arrow batches; adds a note for each column whose values could not all be held.

        Raises:
            AdapterError: If the rows cannot be read, or a value is not what its column is declared as.
        """
        import pyarrow

        lost = dict.fromkeys((column.name for column in columns), 0)
        for values in self.guarded(table, rows):
            arrays = []
            for part, cells in zip(columns, zip(*values, strict=True), strict=True):
                array = self.tried(partial(part.kind.array, cells), table, part.name)
                lost[part.name] += array.null_count - sum(cell is None for cell in cells)
                arrays.append(array)
            yield pyarrow.RecordBatch.from_arrays(arrays, schema=arrow)
        self.notes += [
            f"column {table}.{part.name}: {lost[part.name]:,} {part.kind.lost}" for part in columns if lost[part.name]
        ]

    def guarded(self, table: str, parts: Callable[[], Iterable[Any]]) -> Iterator[Any]:
        """The parts of a table's rows; an error of the driver among them becomes ours and names the table."""
        try:
            yield from parts()
        except RelGraphError:
            raise
        except self.errors() as error:
            caught = error
        else:
            return
        raise fault(caught, self.name, self._url, table)

    def tried(self, action: Callable[[], Any], table: str | None = None, column: str = "") -> Any:
        """The result of an action, whose driver's errors become ours and name the table."""
        try:
            return action()
        except RelGraphError:
            raise
        except self.errors() as error:
            caught = error
        if column:
            said = explained(caught, self._url, table)
            raise AdapterError(f"{self.name}: {table}.{column} cannot be read as declared: {said}")
        raise fault(caught, self.name, self._url, table)

    def errors(self) -> tuple[type[Exception], ...]:
        """What a driver may raise, or a value that is not what it should be; none of them is ours."""
        import pyarrow
        import sqlalchemy

        driver = getattr(getattr(self._engine.dialect, "dbapi", None), "Error", sqlalchemy.exc.SQLAlchemyError)
        return (sqlalchemy.exc.SQLAlchemyError, driver, pyarrow.ArrowException, OSError, TypeError, ValueError)

    def _opened(self) -> sqlalchemy.Connection:
        """A connection within the transaction; to be closed."""
        connection: sqlalchemy.Connection = self.tried(self._engine.connect)
        try:
            self.tried(lambda: self.begin(connection))
        except BaseException:
            connection.close()
            raise
        return connection


def _isolation_levels(connection: sqlalchemy.Connection) -> Sequence[str]:
    raw: Any = connection.connection.dbapi_connection
    try:
        return connection.dialect.get_isolation_level_values(raw)
    except NotImplementedError:
        return ()


def _comparable(dtype: Any, last: Any) -> bool:
    """Whether a column can be compared with a value as its driver takes it."""
    try:
        python = dtype.python_type
    except NotImplementedError:
        return False
    if issubclass(python, int | float | decimal.Decimal):
        return isinstance(last, int | float)
    return type(last) is python


def _run(connection: sqlalchemy.Connection, query: Any, options: Mapping[str, Any]) -> sqlalchemy.CursorResult[Any]:
    return connection.execute(query, execution_options=options)


def _width(rows: Sequence[Any]) -> int:
    """Roughly the bytes of a row, by some of them; at least 1."""
    some = rows[:: max(1, len(rows) // 32)]
    size = sum(len(cell) if isinstance(cell, str | bytes | list) else 8 for row in some for cell in row)
    return max(1, size // len(some))

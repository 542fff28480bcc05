"""Any database that SQLAlchemy has a dialect and a driver for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from relgraph.adapters.reflection import reflect
from relgraph.adapters.urls import as_path, existing, is_url, masked, without_secrets
from relgraph.adapters.values import ValueKind, value_kind
from relgraph.data.schema import Schema, TableSchema
from relgraph.data.source import TableBatches, select_tables
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow
    import sqlalchemy

__all__ = ["SQLAlchemySource"]

_BATCH_ROWS = 65_536
_DRIVERS = {  # dialect named without a driver -> the one of our extra
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_EXTRAS = {"postgresql": "relgraph[postgres]", "mysql": "relgraph[mysql]", "mariadb": "relgraph[mysql]"}
_ISOLATION = {"postgresql": "REPEATABLE READ", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ"}


class SQLAlchemySource:
    """Every table of a server's default schema, read in one transaction, in the order of the primary key.

    Views are left out. Nothing is ever written.

    Args:
        source: ``dialect+driver://user:password@host/database``.
        tables: Names of the tables to read; all by default.

    Raises:
        AdapterError: If the dialect is unknown, its driver is not installed, the URL is malformed, or names a SQLite
            file that does not exist.
    """

    understands = "a database URL such as postgresql://host/shop, mysql://host/shop or any other that SQLAlchemy knows"

    def __init__(self, source: str, tables: Sequence[str] | Mapping[str, str | None] | None) -> None:
        self.name = masked(source)
        self.notes: list[str] = []
        if isinstance(tables, Mapping):
            raise AdapterError(
                f"{self.name}: tables of a database are chosen by name, expected a list; SQL over tables works for "
                "files, frames and DuckDB"
            )
        self._url = source
        self._tables = tables
        self._engine = _engine(source)

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a URL of a dialect that is there."""
        return isinstance(source, str) and is_url(source) and _knows(source)

    def schema(self) -> tuple[TableSchema, ...]:
        """Tables, columns, primary and foreign keys by reflection."""
        import sqlalchemy

        try:
            with self._engine.connect() as connection:
                found, notes = reflect(connection)
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            message = self._message(error)
        else:
            chosen, dropped = select_tables(found, self._tables)
            self.notes += notes + dropped
            return chosen
        raise AdapterError(f"{self.name} cannot be read: {message}")

    def read(self, schema: Schema) -> Iterator[TableBatches]:
        """Every table as Arrow batches, within one transaction and through server-side cursors."""
        import sqlalchemy

        options: dict[str, Any] = {"stream_results": True, "yield_per": _BATCH_ROWS}
        if self._engine.dialect.name in _ISOLATION:
            options["isolation_level"] = _ISOLATION[self._engine.dialect.name]
        try:
            connection = self._engine.connect().execution_options(**options)
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            message = self._message(error)
        else:
            with connection, connection.begin():
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN")  # Python's module only begins one before it writes
                for table in schema:
                    yield self._table(connection, table)
            return
        raise AdapterError(f"{self.name} cannot be read: {message}")

    def fingerprint(self) -> str:
        """Only the chosen tables: a server's content cannot be told without reading it."""
        return repr(None if self._tables is None else list(self._tables))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _table(self, connection: sqlalchemy.Connection, table: TableSchema) -> TableBatches:
        import pyarrow
        import sqlalchemy

        types = {column["name"]: column["type"] for column in sqlalchemy.inspect(connection).get_columns(table.name)}
        columns = [sqlalchemy.column(name, types[name]) for name in table.column_names]
        query = sqlalchemy.select(*columns).select_from(sqlalchemy.table(table.name))
        query = query.order_by(*(sqlalchemy.column(name) for name in table.primary_key))
        kinds = [value_kind(types[name]) for name in table.column_names]
        arrow = pyarrow.schema([(name, kind.arrow()) for name, kind in zip(table.column_names, kinds, strict=True)])
        return TableBatches(table.name, arrow, self._batches(connection, table, query, kinds, arrow))

    def _batches(
        self,
        connection: sqlalchemy.Connection,
        table: TableSchema,
        query: sqlalchemy.Select[Any],
        kinds: Sequence[ValueKind],
        arrow: pyarrow.Schema,
    ) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow
        import sqlalchemy

        column = ""
        try:
            for rows in connection.execute(query).partitions(_BATCH_ROWS):
                arrays = []
                for field, kind, values in zip(arrow, kinds, zip(*rows, strict=True), strict=True):
                    column = f".{field.name}"
                    arrays.append(kind.array(values))
                column = ""
                yield pyarrow.RecordBatch.from_arrays(arrays, schema=arrow)
        except (sqlalchemy.exc.SQLAlchemyError, pyarrow.ArrowException, OSError, TypeError, ValueError) as error:
            message = self._message(error)
        else:
            return
        raise AdapterError(f"{self.name}: {table.name}{column} cannot be read as declared: {message}")

    def _message(self, error: Exception) -> str:
        return without_secrets(str(getattr(error, "orig", None) or error), self._url)


def _knows(source: str) -> bool:
    import sqlalchemy

    dialect = source.partition("://")[0]
    try:
        sqlalchemy.dialects.registry.load(_DRIVERS.get(dialect, dialect).replace("+", ".").partition(".")[0])
    except sqlalchemy.exc.NoSuchModuleError:
        return False
    return True


def _require_file(url: sqlalchemy.URL, name: str) -> None:
    """Every driver of SQLite makes a file that is missing."""
    database = url.database or ":memory:"
    if "uri" in url.query and database.startswith("file:"):
        database = unquote(urlsplit(database).path)
    path = None if database == ":memory:" else as_path(Path(database))
    if path is None:
        raise AdapterError(f"{name} names no SQLite file; expected {url.drivername}:///path")
    existing(path, "a SQLite file")


def _engine(source: str) -> sqlalchemy.Engine:
    import sqlalchemy

    name = masked(source)
    try:
        url = sqlalchemy.make_url(source)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        dialect = url.get_backend_name()
        if dialect == "sqlite":
            _require_file(url, name)
        return sqlalchemy.create_engine(url)
    except ImportError as error:
        missing = error.name or str(error)
        extra = _EXTRAS.get(dialect)
        remedy = f"pip install '{extra or missing}'"
        if extra is not None and url.drivername not in _DRIVERS.values():
            remedy = f"install it, or {remedy} and write {dialect}://..."  # the extra brings another driver
        message = f"{name} needs the driver {missing!r}, which is not installed: {remedy}"
    except (sqlalchemy.exc.SQLAlchemyError, ValueError, TypeError) as error:
        message = (
            f"{name} is no URL that SQLAlchemy takes: {without_secrets(str(error), source)}; expected "
            "dialect+driver://user:password@host:port/database"
        )
    raise AdapterError(message)

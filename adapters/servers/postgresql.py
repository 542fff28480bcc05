"""PostgreSQL: every table in one snapshot, brought by ADBC where its driver is installed."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from relgraph.adapters.servers.engines import dialect_of
from relgraph.adapters.servers.faults import explained
from relgraph.adapters.servers.postgresql_adbc import ADBCReader, adbc_errors, has_adbc, side_by_side
from relgraph.adapters.servers.postgresql_catalog import Relation, reflect_postgresql
from relgraph.adapters.servers.postgresql_slices import slices
from relgraph.adapters.servers.postgresql_types import Cell, ColumnType, cell, check_sql
from relgraph.adapters.servers.postgresql_values import CHANGED, arrow_type, carrier_type, settled
from relgraph.adapters.servers.reflection import Reflected
from relgraph.adapters.servers.sqlalchemy import SQLAlchemySource
from relgraph.data.schema import Schema, TableSchema
from relgraph.data.source import Selection, TableBatches, Tail
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow
    import sqlalchemy

__all__ = ["PostgreSQLSource"]

_READERS = 2  # connections that read a large table side by side
_TIMEOUT = 15  # seconds to connect, where neither the URL nor the environment says
_SETTINGS = {
    # one spelling of values, whatever the user, the database or the server is set to
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    # a table without a key comes in the order it lies in: a sequential scan that begins at the beginning
    "synchronize_seqscans": "off",
    "enable_indexonlyscan": "off",
    "max_parallel_workers_per_gather": "0",
    # one connection waits while the other reads
    "idle_in_transaction_session_timeout": "0",
}
_SET = "SELECT " + ", ".join(f"set_config({literal(n)}, {literal(v)}, TRUE)" for n, v in _SETTINGS.items())


class PostgreSQLSource(SQLAlchemySource):
    """Every table of a PostgreSQL database's default schema, or of the chosen schemas, in the order of its primary key.

    A table without one comes in the order it lies in, a view in its own. What PostgreSQL calculates with that Arrow
    does not becomes text; decimals become whole numbers or doubles, but never in a key; intervals become seconds. Dates
    and times that are infinite or outside the years 1 to 9999 are missing. Partitions are read through their table.

    Args:
        source: ``postgresql://user:password@host/database``, ``postgres://...`` or ``postgresql+driver://...``; what
            libpq knows may follow as ``?sslmode=require&service=...``.
        selection: What to read.

    Raises:
        AdapterError: If the driver is not installed or the URL is malformed.
    """

    understands = "PostgreSQL: postgresql://user@host/database"
    adbc = True
    """Whether ADBC brings the rows where it is installed; the driver of the URL brings the same."""

    def __init__(self, source: str, selection: Selection) -> None:
        super().__init__(source, selection)
        self._beside: list[ADBCReader] = []  # of the transaction that is read
        self._try_adbc = False
        self._raw_text = False  # text of no declared encoding

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a URL of PostgreSQL."""
        return dialect_of(source) == "postgresql"

    def engine_options(self, url: sqlalchemy.URL) -> dict[str, Any]:
        """One encoding, a limit to waiting for a connection, and libpq's way to write a socket's folder as the host."""
        options: dict[str, Any] = {}
        if "connect_timeout" not in url.query and "PGCONNECT_TIMEOUT" not in os.environ:
            options["connect_timeout"] = _TIMEOUT
        if url.host is not None and "%2f" in url.host.lower():
            options["host"] = unquote(url.host)
        if url.get_driver_name() == "psycopg":
            options |= {"client_encoding": "utf8", "prepare_threshold": None}
        elif url.get_driver_name() != "psycopg2":
            options = {}  # a driver that is not libpq
        self._arguments = options
        return {"connect_args": options}

    def begin(self, connection: sqlalchemy.Connection) -> None:
        """A transaction that only reads and sees the moment of its first query."""
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        connection.exec_driver_sql(_SET)
        encoding = connection.exec_driver_sql("SELECT current_setting('server_encoding')").scalar_one()
        self._raw_text = encoding == "SQL_ASCII"

    def reflected(self, connection: sqlalchemy.Connection) -> Reflected:
        """What the catalogue has, with notes on what is left out."""
        try:
            found, self._relations = reflect_postgresql(connection, self.selection)
            return found
        except AdapterError as error:
            message = f"{self.name}: {error}"
        raise AdapterError(message)

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table, all in the state of one moment."""
        self._keys = _key_columns(schema)
        self._try_adbc = self.adbc and has_adbc(self._engine)
        try:
            yield from super().read(schema, tails)
        finally:
            readers, self._beside = self._beside, []
            for reader in readers:
                reader.close()

    def rows(self, connection: sqlalchemy.Connection, table: TableSchema, tail: Tail | None) -> TableBatches:
        """A table's batches by ADBC, or by the driver of the URL where ADBC is not there."""
        import pyarrow

        readers = self._readers(connection)
        relation = self._relations[table.name]
        cells = self._cells(connection, table, relation)
        self.notes += [f"column {table.name}.{part.name} {part.note}" for part in cells if part.note]
        where, older = "", None
        if tail is not None:
            before = _before(next(part for part in cells if part.name == tail.column), tail.last)
            if before:
                where = f" WHERE ({before}) IS NOT TRUE"
                older = int(_query(connection, f"SELECT count(*) FROM {relation.sql} WHERE {before}").scalar_one())
        order = _order(table, relation, cells)
        arrow = pyarrow.schema([(part.name, arrow_type(part.kind)) for part in cells])
        arrays: Callable[[], Iterable[Any]]
        if readers:
            chosen = f"SELECT {', '.join(part.sql for part in cells)} FROM {relation.sql}"
            parts = self._slices(connection, table, relation) if tail is None else []
            queries = [f"{chosen} WHERE {part}{order}" for part in parts] or [f"{chosen}{where}{order}"]
            if parts:
                readers = self._readers(connection, _READERS)
            arrays = partial(side_by_side, readers, queries, len(cells))
        else:
            query = f"SELECT {', '.join(part.plain_sql for part in cells)} FROM {relation.sql}{where}{order}"
            arrays = partial(self._plain_arrays, connection, query, cells)
        return TableBatches(table.name, arrow, self._settled(table.name, cells, arrow, arrays), older=older)

    def _cells(self, connection: sqlalchemy.Connection, table: TableSchema, relation: Relation) -> list[Cell]:
        keys = self._keys[table.name]
        columns = [(name, quote(name), relation.types[name], name in keys) for name in table.column_names]
        checks = {name: sql for name, column, dtype, key in columns if (sql := check_sql(dtype, column, key))}
        found: dict[str, str | None] = {}
        if checks:
            row = _query(connection, f"SELECT {', '.join(checks.values())} FROM {relation.sql}").one()
            found = dict(zip(checks, row, strict=True))
        return [self._cell(name, column, dtype, key, found.get(name)) for name, column, dtype, key in columns]

    def _cell(self, name: str, column: str, dtype: ColumnType, key: bool, checked: str | None) -> Cell:
        made = cell(name, column, dtype, key, checked)
        if self._raw_text and made.kind == "text":
            return replace(made, sql=f"convert_to({made.sql}, 'SQL_ASCII')", raw=True)
        return made

    def _slices(self, connection: sqlalchemy.Connection, table: TableSchema, relation: Relation) -> list[str]:
        """Conditions that cut a large table along its primary key; none where it is read as one."""
        # rows come in the order of the key that the schema names
        return slices(connection, relation) if tuple(table.primary_key) == relation.key else []

    def _readers(self, connection: sqlalchemy.Connection, number: int = 1) -> list[ADBCReader]:
        """So many connections by ADBC, or as many as the server gives; none where it cannot be used."""
        while len(self._beside) < number and self._try_adbc:
            snapshot = _query(connection, "SELECT pg_export_snapshot()").scalar_one()
            try:
                self._beside.append(ADBCReader(self._engine, self._arguments, snapshot, _SET))
            except adbc_errors() as error:
                self._try_adbc = False
                if not self._beside:
                    reason = explained(error, self._url)
                    self.notes.append(f"read by the slower driver, because ADBC cannot connect beside it: {reason}")
        return self._beside

    def _plain_arrays(
        self, connection: sqlalchemy.Connection, query: str, cells: Sequence[Cell]
    ) -> Iterator[list[pyarrow.Array]]:
        import pyarrow

        types = [carrier_type(part.kind, part.raw) for part in cells]
        for rows in self.fetched(partial(_query, connection, query)):
            columns = zip(*rows, strict=True)
            yield [pyarrow.array(values, dtype) for values, dtype in zip(columns, types, strict=True)]

    def _settled(
        self, table: str, cells: Sequence[Cell], arrow: pyarrow.Schema, batches: Callable[[], Iterable[Any]]
    ) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        changed = [0] * len(cells)

        def settle(arrays: Sequence[pyarrow.Array]) -> pyarrow.RecordBatch:
            out = []
            for i, (part, array) in enumerate(zip(cells, arrays, strict=True)):
                array, number = settled(array, part.kind)
                changed[i] += number
                out.append(array)
            return pyarrow.RecordBatch.from_arrays(out, schema=arrow)

        yield from self.guarded(table, lambda: map(settle, batches()))
        self.notes += [
            f"column {table}.{part.name}: {number:,} {CHANGED[part.kind]}"
            for part, number in zip(cells, changed, strict=True)
            if number
        ]

    def errors(self) -> tuple[type[Exception], ...]:
        """Those of ADBC too."""
        return (*super().errors(), *adbc_errors())


def _query(connection: sqlalchemy.Connection, sql: str, options: Mapping[str, Any] | None = None) -> Any:
    """Run SQL as it is: neither ``%`` nor ``:`` in a name means anything."""
    return connection.exec_driver_sql(sql, execution_options={"no_parameters": True, **(options or {})})


def _key_columns(schema: Schema) -> dict[str, set[str]]:
    """Per table the columns whose values must stay apart."""
    keys = {table.name: set(table.key_columns) for table in schema}
    for _, key in schema.foreign_keys:
        keys[key.table].update(schema.target_columns(key))
    return keys


def _order(table: TableSchema, relation: Relation, cells: Sequence[Cell]) -> str:
    """By primary key, the same on every server; then, if that is only declared here, by position."""
    by_name = {part.name: part for part in cells}
    terms = []
    for name in table.primary_key:
        part = by_name[name]
        if part.kind != "text":
            terms.append(quote(name))
        else:
            terms.append(part.sql if part.raw else f'({part.sql}) COLLATE "C"')
    if terms and tuple(table.primary_key) != relation.key and relation.kind in "rm":
        terms.append("ctid")
    return f" ORDER BY {', '.join(terms)}" if terms else ""


def _before(part: Cell, last: Any) -> str:
    """The rows before a tail, by a value that is never text; empty where they cannot be told.

    What comes before the year 1 is read as missing, so it is not before anything.
    """
    column = quote(part.name)
    if isinstance(last, datetime.datetime) and part.kind in ("timestamp", "timestamptz"):
        return f"{column} >= '0001-01-01' AND {column} < {part.kind} {literal(last.isoformat())}"
    if type(last) is datetime.date and part.kind == "date":
        return f"{column} >= '0001-01-01' AND {column} < date {literal(last.isoformat())}"
    if isinstance(last, int | float) and part.kind in ("int", "whole", "decimal"):
        return f"{column} < {_number(last)}"
    if isinstance(last, int | float) and part.kind in ("float", "rounded"):
        return f"({part.sql}) < {_number(last)}"
    return ""


def _number(value: float) -> str:
    return f"({value!r})" if isinstance(value, int) else f"CAST({literal(repr(value))} AS double precision)"

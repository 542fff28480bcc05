"""The tables of a snapshot while it is made: copies that are altered, and views on what is read in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.schema import TableSchema
from relgraph.data.source import Scan
from relgraph.data.sql import quote, quote_all
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["ROWS", "Relations", "View"]

ROWS = "relgraph_rows"
"""The schema, beside the tables, where the views on what is read in place also have ``"__row"``."""


@dataclass(frozen=True)
class View:
    """A table that is read in place.

    Args:
        sql: The query with its columns and ``"__row"``.
        costly: Whether each query reads and parses all of it.
    """

    sql: str
    costly: bool


class Relations:
    """Tables and views under one name each, whose columns can be given other types.

    Args:
        connection: DuckDB with the snapshot's place as its current schema.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._bodies: dict[str, str] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._costly: set[str] = set()

    @property
    def views(self) -> dict[str, View]:
        """The tables that are read in place."""
        return {table: View(sql, table in self._costly) for table, sql in self._bodies.items()}

    def add(self, table: TableSchema, scan: Scan) -> None:
        """Make a table of something that stays where it is.

        Raises:
            AdapterError: If it cannot be read.
        """
        if not self._bodies:
            self._connection.execute(f"CREATE SCHEMA {ROWS}")
        columns = ", ".join(
            f"{sql} AS {quote(name)}" for sql, name in zip(scan.columns, table.column_names, strict=True)
        )
        self._columns[table.name] = table.column_names
        if scan.costly:
            self._costly.add(table.name)
        self._bodies[table.name] = f'SELECT {columns}, CAST({scan.row} AS BIGINT) AS "__row" FROM {scan.relation}'
        self._create(table.name, scan.setup)

    def cast_all(self, table: str, types: Mapping[str, str]) -> None:
        """Give columns other types, with one change for all of them.

        Args:
            table: Their table.
            types: The DuckDB type per column.
        """
        if table not in self._bodies:
            for column, dtype in types.items():
                self.cast(table, column, dtype)
        elif types:
            self._replace(table, {name: f"CAST({quote(name)} AS {dtype})" for name, dtype in types.items()})

    def cast(self, table: str, column: str, dtype: str, using: str | None = None) -> None:
        """Give a column another type.

        Args:
            table: Its table.
            column: Its name.
            dtype: The DuckDB type.
            using: SQL over the table's columns that gives the new value; a cast of the column by default.
        """
        name = quote(column)
        value = using or f"CAST({name} AS {dtype})"
        if table not in self._bodies:
            self._connection.execute(
                f"ALTER TABLE {quote(table)} ALTER COLUMN {name} SET DATA TYPE {dtype} USING {value}"
            )
            return
        self._replace(table, {column: value})

    def _replace(self, table: str, values: Mapping[str, str]) -> None:
        # not * REPLACE, which takes DuckDB seconds where there are 2,000 columns
        columns = ", ".join(
            f"{values[name]} AS {quote(name)}" if name in values else quote(name) for name in self._columns[table]
        )
        self._bodies[table] = f'SELECT {columns}, "__row" FROM ({self._bodies[table]})'
        self._create(table)

    def _create(self, table: str, setup: tuple[str, ...] = ()) -> None:
        import duckdb

        name = quote(table)
        columns = quote_all(self._columns[table])
        try:
            for statement in setup:
                self._connection.execute(statement)
            self._connection.execute(f"CREATE OR REPLACE VIEW {ROWS}.{name} AS {self._bodies[table]}")
            self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {ROWS}.{name}")
        except duckdb.Error as error:
            message = str(error)
        else:
            return
        raise AdapterError(f"table {table!r} cannot be read where it lies: {message}")

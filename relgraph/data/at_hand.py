"""Tables that are slow to read in place, kept in DuckDB while much is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relgraph.data.relations import ROWS, View
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["HAND", "at_hand", "copies", "worth_copying"]

HAND = "relgraph_hand"
"""The catalog, in DuckDB's memory, where they lie."""

_WIDE = 100  # columns, above which planning a query of a view takes longer than running it
_MOST_CELLS = 50_000_000  # of a wide table; with more of them, it is the running that takes the time


@contextmanager
def at_hand(connection: duckdb.DuckDBPyConnection, catalog: str, views: Mapping[str, View]) -> Iterator[None]:
    """Read what is costly to read once, and let every query find it in DuckDB until the block ends.

    What does not fit in DuckDB's memory goes to its folder for temporary files.

    Args:
        connection: DuckDB with the views of what is read in place.
        catalog: Where they are, quoted.
        views: What they are, by table.
    """
    held = []
    try:
        for table, view in views.items():
            if view.costly:
                connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {HAND}")
                copy, name = f"{HAND}.main.{quote(table)}", f"{catalog}.{ROWS}.{quote(table)}"
                held.append((name, view.sql, copy))
                connection.execute(f"CREATE OR REPLACE TABLE {copy} AS SELECT * FROM {name}")
                connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {copy}")
        yield
    finally:
        for name, sql, copy in held:
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
            connection.execute(f"DROP TABLE IF EXISTS {copy}")


def worth_copying(table: TableSchema, num_rows: Callable[[str], int]) -> bool:
    """Whether DuckDB takes longer to plan queries of a view than a copy takes.

    Args:
        table: The table that is a view.
        num_rows: Gives the number of rows of a table.
    """
    columns = len(table.columns)
    return columns > _WIDE and columns * num_rows(table.name) <= _MOST_CELLS


@contextmanager
def copies(
    connection: duckdb.DuckDBPyConnection, place: str, queries: Mapping[str, str], made: dict[str, str]
) -> Iterator[None]:
    """Tables, until the block ends, of what queries give: each row's rowid is the ``"__row"`` it had.

    Args:
        connection: DuckDB with what the queries read.
        place: The schema to make, in :data:`HAND`.
        queries: Per table a SELECT with its columns and ``"__row"``.
        made: Says where each table is, until the block ends.
    """
    if not queries:
        yield
        return
    connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {HAND}")
    connection.execute(f"CREATE SCHEMA {place}")
    try:
        for table, query in queries.items():
            rows = f'SELECT * EXCLUDE ("__row") FROM ({query}) ORDER BY "__row"'
            connection.execute(f"CREATE TABLE {place}.{quote(table)} AS {rows}")
        made |= dict.fromkeys(queries, place)
        yield
    finally:
        for table in queries:
            made.pop(table, None)
        connection.execute(f"DROP SCHEMA {place} CASCADE")

"""Rows of a source into DuckDB: one table after the other, in order, with types that keys can be joined on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from relgraph.data.joinable import joinable
from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.source import TableBatches, TableSource, distinct_names
from relgraph.data.sql import quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

__all__ = ["load"]

_BATCH = "__relgraph_batch"
_PLAIN = {
    '"NULL"': "VARCHAR",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMPTZ_NS": "TIMESTAMPTZ",
    "JSON": "VARCHAR",
}


def load(
    connection: duckdb.DuckDBPyConnection, source: TableSource, schema: Schema, progress: bool = True
) -> tuple[Schema, list[str]]:
    """Create and fill every table of a schema, in one transaction on either side.

    Args:
        connection: An empty DuckDB database.
        source: Where the rows come from.
        schema: The source's schema with the declarations applied.
        progress: Show the rows read per table on stderr.

    Returns:
        The schema with DuckDB's types and the names used there, and notes on every change.

    Raises:
        AdapterError: If the source cannot be read or a table has columns that DuckDB cannot hold.
    """
    named, notes = distinct_names(schema)
    new_names = {old.name: new for old, new in zip(schema, named, strict=True)}
    read: dict[str, int] = {}
    connection.execute("BEGIN TRANSACTION")
    try:
        with _counter(len(schema), progress) as count:
            for table in source.read(schema):
                read[new_names[table.name].name] = _fill(connection, new_names[table.name], table, count)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    notes += source.notes
    loaded = Schema(tuple(_typed(connection, table, notes) for table in named))
    loaded = joinable(connection, loaded, notes)
    _verify(connection, read)
    return loaded, notes


def _fill(
    connection: duckdb.DuckDBPyConnection,
    table: TableSchema,
    rows: TableBatches,
    count: Callable[[str, int, int | None], None],
) -> int:
    import duckdb
    import pyarrow

    if len(rows.schema.names) != len(table.columns):
        raise AdapterError(
            f"table {table.name!r}: expected {len(table.columns)} columns, got {len(rows.schema.names)}: "
            + ", ".join(rows.schema.names)
        )
    arrow = pyarrow.schema([f.with_name(c.name) for f, c in zip(rows.schema, table.columns, strict=True)])
    name = quote(table.name)
    try:
        connection.register(_BATCH, arrow.empty_table())
        described = connection.execute(f"DESCRIBE SELECT * FROM {quote(_BATCH)}").fetchall()
        columns = ", ".join(f"{quote(column)} {_plain(dtype)}" for column, dtype, *_ in described)
        # not CREATE TABLE AS: DuckDB 2.0.0 loses rows put in later when that gave none and a batch fills a row group
        connection.execute(f"CREATE TABLE {name} ({columns})")
    except duckdb.Error as error:
        raise AdapterError(f"table {table.name!r} has a column that DuckDB cannot hold: {error}") from None
    num_rows = 0
    count(table.name, 0, rows.num_rows)
    for batch in rows.batches:
        connection.register(_BATCH, pyarrow.Table.from_batches([batch.rename_columns(arrow.names)]))
        try:
            connection.execute(f"INSERT INTO {name} SELECT * FROM {quote(_BATCH)}")
        except duckdb.Error as error:
            raise AdapterError(f"table {table.name!r}: a value does not fit its column: {error}") from None
        num_rows += batch.num_rows
        count(table.name, batch.num_rows, rows.num_rows)
    connection.unregister(_BATCH)
    return num_rows


def _verify(connection: duckdb.DuckDBPyConnection, read: Mapping[str, int]) -> None:
    """Everything else rests on it: each row is there, and its rowid is its position in the source."""
    for table, rows in read.items():
        found, last = connection.execute(f"SELECT count(*), max(rowid) FROM {quote(table)}").fetchall()[0]
        if (found, last) != (rows, rows - 1 if rows else None):
            raise AdapterError(f"table {table!r}: {rows} rows were read, but the snapshot holds {found} up to {last}")


def _plain(dtype: str) -> str:
    """The type kept in the snapshot: whole microseconds, text for enumerations, int64 for whole decimals that fit."""
    if dtype.startswith("ENUM"):
        return "VARCHAR"
    if dtype.startswith("DECIMAL(") and dtype.endswith(",0)") and int(dtype[8:-3]) <= 18:
        return "BIGINT"
    return _PLAIN.get(dtype, dtype)


def _typed(connection: duckdb.DuckDBPyConnection, table: TableSchema, notes: list[str]) -> TableSchema:
    """The table with its columns' real types, text read as dates where the source declares them and all of them are."""
    columns = []
    for column, dtype in zip(table.columns, _types(connection, table.name), strict=True):
        if dtype == "VARCHAR" and column.dtype in ("DATE", "TIMESTAMP"):
            dtype = _text_to_date(connection, table.name, column, notes)
        columns.append(ColumnSchema(column.name, dtype))
    return replace(table, columns=tuple(columns))


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"DESCRIBE {quote(table)}").fetchall()]


def _text_to_date(connection: duckdb.DuckDBPyConnection, table: str, column: ColumnSchema, notes: list[str]) -> str:
    text = f"nullif(trim({quote(column.name)}), '')"
    value = f"CAST(TRY_CAST({text} AS TIMESTAMPTZ) AS TIMESTAMP)"
    bad, days, example = connection.execute(
        f"SELECT count(*) FILTER (WHERE {text} IS NOT NULL AND {value} IS NULL), "
        f"coalesce(bool_and({value} = date_trunc('day', {value})), TRUE), "
        f"min({text}) FILTER (WHERE {value} IS NULL) FROM {quote(table)}"
    ).fetchall()[0]
    if bad:
        notes.append(
            f"column {table}.{column.name} is declared {column.dtype} but {bad} values are no date, such as "
            f"{example!r}: it stays text"
        )
        return "VARCHAR"
    dtype = "DATE" if column.dtype == "DATE" and days else "TIMESTAMP"
    connection.execute(
        f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column.name)} SET DATA TYPE {dtype} "
        f"USING CAST({value} AS {dtype})"
    )
    return dtype


@contextmanager
def _counter(num_tables: int, progress: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """A function that takes a table, rows just read and rows in all, and shows them."""
    if not progress:
        yield lambda table, rows, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("reading {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def count(table: str, rows: int, total: int | None) -> None:
            if table not in tasks:
                label = f"{table} ({len(tasks) + 1}/{num_tables})"
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[table] = bars.add_task(label, total=total)
            bars.update(tasks[table], advance=rows)

        yield count

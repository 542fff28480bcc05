"""Rows of a source into DuckDB: one table after the other, in order, with types that keys can be joined on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from relgraph.data.joinable import joinable
from relgraph.data.progress import count_rows
from relgraph.data.relations import Relations, View
from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.source import TableBatches, TableSource, Tail, distinct_names
from relgraph.data.sql import quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    import pyarrow

__all__ = ["Kept", "Loaded", "OutdatedError", "load", "no_room"]

_BATCH = f"__relgraph_batch_{uuid.uuid4().hex}"  # no table's name
_PLAIN = {
    '"NULL"': "VARCHAR",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMPTZ_NS": "TIMESTAMPTZ",
    "JSON": "VARCHAR",
}


@dataclass(frozen=True)
class Kept:
    """Rows of an earlier snapshot that need not be read again.

    Args:
        tail: What is read; the rows before it are kept.
        relation: SQL of the earlier table, to stand after FROM.
        column: The name there of the tail's column.
        types: The DuckDB types of its columns.
        rows: How many rows are kept.
    """

    tail: Tail
    relation: str
    column: str
    types: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Loaded:
    """What :func:`load` made.

    Args:
        schema: With DuckDB's types and the names used there.
        notes: Every change on the way in.
        views: The tables that are read in place.
        rows: Rows that were read, per copied table of the source.
    """

    schema: Schema
    notes: list[str]
    views: Mapping[str, View] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


class OutdatedError(Exception):
    """The kept rows of a table are no longer what the source has; ``table`` is to be read as a whole."""

    def __init__(self, table: str, why: str) -> None:
        super().__init__(f"{table}: {why}")
        self.table = table
        self.why = why


def no_room() -> tuple[type[Exception], ...]:
    """What DuckDB raises where a disk or the memory is full, whether it writes or ends a transaction."""
    import duckdb

    return (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.TransactionException)


def load(
    connection: duckdb.DuckDBPyConnection,
    source: TableSource,
    schema: Schema,
    progress: bool = True,
    *,
    in_place: bool = False,
    kept: Mapping[str, Kept] | None = None,
) -> Loaded:
    """Create and fill every table of a schema, in one transaction on either side; or nothing, if that fails.

    Args:
        connection: DuckDB whose current schema is empty.
        source: Where the rows come from.
        schema: The source's schema with the declarations applied.
        progress: Show the rows read per table on stderr.
        in_place: Leave what the source can scan where it is, and close the source.
        kept: Per table of the source, the rows that an earlier snapshot has.

    Raises:
        SourceUnavailableError: If the source went away; nothing is left behind.
        AdapterError: If the source cannot be read or a table has columns that DuckDB cannot hold.
        duckdb.Error: One of :func:`no_room`, if the rows find no room; only the caller knows where it looked for it.
        OutdatedError: If rows that were to be kept are not those of the source.
    """
    import duckdb

    named, notes = distinct_names(schema)
    new_names = {old.name: new for old, new in zip(schema, named, strict=True)}
    scans = source.scans(schema) if in_place else {}
    copied = [table for table in schema if table.name not in scans]
    known = len(source.notes)
    kept = kept or {}
    read: dict[str, int] = {}
    with nullcontext() if kept else _one_thread(connection):
        connection.execute("BEGIN TRANSACTION")
        try:
            if copied:
                tails = {name: entry.tail for name, entry in kept.items()}
                with count_rows(len(copied), progress) as count:
                    for table in source.read(_only(schema, copied), tails):
                        read[table.name] = _fill(connection, new_names[table.name], table, count, kept.get(table.name))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a COMMIT that failed has ended the transaction, and its own error says why
                connection.execute("ROLLBACK")
            del source.notes[known:]
            raise
    relations = Relations(connection)
    if in_place:
        source.close()  # one process cannot keep a file locked that it closes elsewhere
    for name, scan in scans.items():
        relations.add(new_names[name], scan)
    notes += source.notes
    room = () if scans else no_room()  # of a file that is scanned the same errors say something else
    try:
        loaded = Schema(tuple(_typed(connection, relations, table, notes) for table in named))
        loaded = joinable(connection, relations, loaded, notes)
    except room:
        raise
    except duckdb.Error as error:
        raise AdapterError(f"{source.name} cannot be read: {error}") from None
    rows = {name: number + (kept[name].rows if name in kept else 0) for name, number in read.items()}
    _verify(connection, {new_names[name].name: number for name, number in rows.items()})
    return Loaded(loaded, notes, relations.views, read)


@contextmanager
def _one_thread(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Batches put away one by one gain nothing from more threads, which take the processor from who brings them."""
    import duckdb

    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute("SET GLOBAL threads = 1")
    try:
        yield
    finally:
        with suppress(duckdb.Error):  # a database that can do nothing any more has failed with an error of its own
            connection.execute(f"SET GLOBAL threads = {threads}")


def _only(schema: Schema, tables: Sequence[TableSchema]) -> Schema:
    """These tables with the keys among them: a source must know them, to keep the values of keys apart."""
    names = {table.name for table in tables}
    return Schema(
        tuple(
            replace(table, foreign_keys=tuple(key for key in table.foreign_keys if key.table in names))
            for table in tables
        )
    )


def _fill(
    connection: duckdb.DuckDBPyConnection,
    table: TableSchema,
    rows: TableBatches,
    count: Callable[[str, int, int | None], None],
    kept: Kept | None,
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
    types = _create(connection, table.name, arrow)
    if kept is not None:
        _keep(connection, table.name, rows, types, kept)
    num_rows = 0
    count(table.name, 0, rows.num_rows)
    for batch in rows.batches:
        connection.register(_BATCH, pyarrow.Table.from_batches([batch.rename_columns(arrow.names)]))
        try:
            connection.execute(f"INSERT INTO {name} SELECT * FROM {quote(_BATCH)}")
        except no_room():
            raise
        except duckdb.Error as error:
            raise AdapterError(f"table {table.name!r}: a value does not fit its column: {error}") from None
        num_rows += batch.num_rows
        count(table.name, batch.num_rows, rows.num_rows)
    connection.unregister(_BATCH)
    return num_rows


def _create(connection: duckdb.DuckDBPyConnection, table: str, arrow: pyarrow.Schema) -> tuple[str, ...]:
    import duckdb
    import pyarrow

    try:
        connection.register(_BATCH, pyarrow.Table.from_batches([], arrow))
        described = connection.execute(f"DESCRIBE SELECT * FROM {quote(_BATCH)}").fetchall()
        types = tuple(_plain(row[1]) for row in described)
        columns = ", ".join(f"{quote(row[0])} {dtype}" for row, dtype in zip(described, types, strict=True))
        # not CREATE TABLE AS: DuckDB 2.0.0 loses rows put in later when that gave none and a batch fills a row group
        connection.execute(f"CREATE TABLE {quote(table)} ({columns})")
    except (duckdb.Error, pyarrow.ArrowException) as error:
        raise AdapterError(f"table {table!r} has a column that DuckDB cannot hold: {error}") from None
    return types


def _keep(
    connection: duckdb.DuckDBPyConnection, table: str, rows: TableBatches, types: tuple[str, ...], kept: Kept
) -> None:
    if rows.older is None:
        raise OutdatedError(rows.name, "the source cannot give only its newer rows")
    if rows.older != kept.rows:
        why = f"there are {rows.older:,} rows before {kept.tail.last}, the snapshot has {kept.rows:,}"
        raise OutdatedError(rows.name, why)
    if types != kept.types:
        raise OutdatedError(rows.name, "its columns are of other types than in the snapshot")
    older = f"{quote(kept.column)} < ?"
    connection.execute(
        f"INSERT INTO {quote(table)} SELECT * FROM {kept.relation} WHERE {older} ORDER BY rowid", [kept.tail.last]
    )


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


def _typed(
    connection: duckdb.DuckDBPyConnection, relations: Relations, table: TableSchema, notes: list[str]
) -> TableSchema:
    """The table with its columns' real types, text read as dates where the source declares them and all of them are."""
    columns = []
    types = [(found, _plain(found)) for found in _types(connection, table.name)]
    changed = zip(table.column_names, types, strict=True)
    relations.cast_all(table.name, {name: dtype for name, (found, dtype) in changed if found != dtype})
    for column, (_, dtype) in zip(table.columns, types, strict=True):
        if dtype == "VARCHAR" and column.dtype in ("DATE", "TIMESTAMP"):
            dtype = _text_to_date(connection, relations, table.name, column, notes)
        columns.append(ColumnSchema(column.name, dtype))
    return replace(table, columns=tuple(columns))


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"DESCRIBE {quote(table)}").fetchall()]


def _text_to_date(
    connection: duckdb.DuckDBPyConnection, relations: Relations, table: str, column: ColumnSchema, notes: list[str]
) -> str:
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
    relations.cast(table, column.name, dtype, f"CAST({value} AS {dtype})")
    return dtype

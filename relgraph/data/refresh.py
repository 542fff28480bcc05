"""A snapshot file brought up to the source's present state, reading as little as that takes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.data.loading import Kept, Loaded, OutdatedError, load
from relgraph.data.schema import Schema, TableSchema
from relgraph.data.snapshot import CATALOG, open_snapshot, read_meta, write_snapshot
from relgraph.data.source import TableSource, Tail, distinct_names
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, literal, quote
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["refreshed"]

_BEFORE = "relgraph_before"
_EPOCH = datetime.datetime(1970, 1, 1)


def refreshed(
    path: Path, source: TableSource, schema: Schema, request: Mapping[str, str], progress: bool
) -> tuple[str, ...]:
    """Replace a snapshot file by one of the source as it is now.

    Of a table with a time column only the rows at or after its last known moment, and those without a time, are read,
    if the source says that it has as many earlier rows as the snapshot. An earlier row that was changed in place, or
    replaced by another earlier one, is not noticed. Every other table is read again as a whole. All tables are read in
    one transaction of the source.

    Args:
        path: The snapshot file.
        source: The same source as it was taken from.
        schema: Its present schema with the declarations applied.
        request: As for :func:`~relgraph.data.snapshot.take`.
        progress: Show progress on stderr.

    Returns:
        A sentence per table that says what was done.

    Raises:
        AdapterError: If the file is no snapshot of this source, the source cannot be read or the file not be written;
            the old snapshot is then still whole.
    """
    before = open_snapshot(path, read_only=True)
    try:
        meta = read_meta(before, CATALOG)
        if meta is None or meta["source"] != request["source"]:
            what = "is no snapshot of relgraph" if meta is None else f"is a snapshot of {meta['source']}"
            raise AdapterError(f"snapshot {path} {what}, not of {request['source']}; delete it or name another file")
        reasons = _reasons(meta, schema, request)
        old = Schema.from_dict(meta["schema"]) if not reasons else Schema()
        kept = {} if reasons else _kept(before, schema, old, reasons)
        counts = {table.name: _count(before, table.name) for table in old}
    finally:
        before.close()

    def fill(connection: duckdb.DuckDBPyConnection) -> Loaded:
        connection.execute(f"ATTACH IF NOT EXISTS {literal(str(path))} AS {_BEFORE} (READ_ONLY)")
        while True:
            try:
                return load(connection, source, schema, progress, kept=kept)
            except OutdatedError as error:
                reasons[error.table] = error.why
                del kept[error.table]

    loaded = write_snapshot(path, request, schema, fill, progress)
    names = {table.name: new.name for table, new in zip(schema, distinct_names(schema)[0], strict=True)}
    return tuple(
        _sentence(name, loaded.rows[name], kept.get(name), counts.get(names[name]), reasons.get(name, ""))
        for name in schema.names
    )


def _reasons(meta: Mapping[str, Any], schema: Schema, request: Mapping[str, str]) -> dict[str, str]:
    """Why nothing can be kept, per table; empty where that is not so."""
    why = ""
    if Schema.from_dict(meta["declared_schema"]) != schema:
        why = "the source's tables, keys or columns have changed"
    if meta["declared"] != request["declared"]:
        why = "other keys or times are declared"
    return dict.fromkeys(schema.names, why) if why else {}


def _kept(before: duckdb.DuckDBPyConnection, schema: Schema, old: Schema, reasons: dict[str, str]) -> dict[str, Kept]:
    kept = {}
    for table, stored in zip(schema, old, strict=True):
        if table.time_column is None or stored.time_column is None:
            reasons[table.name] = "it has no time column"
            continue
        last = _last(before, stored, stored.time_column)
        if last is None:
            reasons[table.name] = "its last time is no moment to go on from"
            continue
        column, name = quote(stored.time_column), quote(stored.name)
        older = before.execute(f"SELECT count(*) FROM {name} WHERE {column} < ?", [last]).fetchall()
        kept[table.name] = Kept(
            Tail(table.time_column, last),
            f"{_BEFORE}.main.{name}",
            stored.time_column,
            tuple(c.dtype for c in stored.columns),
            int(older[0][0]),
        )
    return kept


def _last(before: duckdb.DuckDBPyConnection, table: TableSchema, column: str) -> Any:
    """The largest value of a time column as Python has it, or None."""
    dtype, name, relation = table.column(column).dtype, quote(column), quote(table.name)
    if dtype in WHOLE_NUMBERS or dtype in FRACTIONS:
        finite = f"isfinite(CAST({name} AS DOUBLE))"
        return before.execute(f"SELECT max({name}) FROM {relation} WHERE {finite}").fetchall()[0][0]
    if not dtype.startswith(("DATE", "TIMESTAMP")):
        return None
    micros = f"max(epoch_us(CAST({name} AS TIMESTAMP))) FILTER (WHERE isfinite({name}))"
    found = before.execute(f"SELECT {micros} FROM {relation}").fetchall()[0][0]
    if found is None:
        return None
    moment = _EPOCH + datetime.timedelta(microseconds=found)
    if dtype == "DATE":
        return moment.date()
    return moment.replace(tzinfo=datetime.UTC) if dtype.startswith("TIMESTAMP WITH") else moment


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {quote(table)}").fetchall()[0][0])


def _sentence(table: str, read: int, kept: Kept | None, before: int | None, why: str) -> str:
    if kept is None:
        had = "" if before is None else f" (before: {before:,})"
        return f"{table}: read again, {read:,} rows{had}, because {why}"
    new = read + kept.rows - (before or 0)
    return f"{table}: {new:,} new rows" if new else f"{table}: unchanged"

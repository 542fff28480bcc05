"""The DuckDB behind a Database: in memory, or in a file that is written once, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.data.loading import load
from relgraph.data.schema import Schema
from relgraph.data.source import Declaration, TableSource, apply_declarations
from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["open_engine", "read_meta", "take"]

_VERSION = 1
_CATALOG = "relgraph_snapshot"
_META = "relgraph.snapshot"  # in a schema of its own, beside the tables

Taken = tuple["duckdb.DuckDBPyConnection", Schema, str, list[str]]


def take(
    source: TableSource,
    keys: Mapping[str, Declaration] | None,
    times: Mapping[str, str | None] | None,
    snapshot: str | Path | None,
    progress: bool,
) -> Taken:
    """A snapshot of a source: connection, schema, name and notes.

    Args:
        source: What to read.
        keys: Declared keys.
        times: Declared time columns.
        snapshot: A file to write, or to reuse if it holds a snapshot of the same source with the same declarations.
        progress: Show progress on stderr.

    Raises:
        AdapterError: If the source cannot be read or the file holds something else.
        SchemaError: If a declaration names what does not exist.
    """
    path = None if snapshot is None else Path(snapshot)
    request = {
        "source": source.name,
        "fingerprint": "" if path is None else source.fingerprint(),
        "declared": repr((_plain(keys), _plain(times))),
    }
    if path is not None and path.exists():
        return _reuse(path, request)
    schema = apply_declarations(source.schema(), keys, times)
    if path is None:
        connection = _open(None)
        loaded, notes = load(connection, source, schema, progress)
        return connection, loaded, source.name, notes
    _write(path, source, schema, request, progress)
    return _reuse(path, request)


def open_engine() -> duckdb.DuckDBPyConnection:
    """An empty DuckDB in memory, with half of the memory, a folder to spill into, and time zone UTC."""
    import duckdb

    connection = duckdb.connect(":memory:")
    spill = Path(tempfile.gettempdir()) / f"relgraph-{uuid.uuid4().hex}"
    connection.execute(f"SET GLOBAL memory_limit = '{_half_of_memory()}B'")
    connection.execute(f"SET GLOBAL temp_directory = {literal(str(spill))}")
    # GLOBAL, because a cursor does not take over what is set for its connection
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _open(path: Path | None, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """An engine whose current schema is the snapshot's: a catalog of its own, so that no cursor sees it by accident."""
    import duckdb

    connection = open_engine()
    option = " (READ_ONLY)" if read_only else ""
    try:
        connection.execute(f"ATTACH {literal(str(path or ':memory:'))} AS {_CATALOG}{option}")
    except duckdb.Error as error:
        message = str(error)
    else:
        connection.execute(f"USE {_CATALOG}")
        return connection
    connection.close()
    raise AdapterError(f"snapshot {path} cannot be opened as a DuckDB file: {message}")


def read_meta(connection: duckdb.DuckDBPyConnection, catalog: str) -> dict[str, Any] | None:
    """What a snapshot file says about itself; None if the file is no snapshot of relgraph.

    Args:
        connection: With the file opened or attached.
        catalog: The name it is attached under.
    """
    import duckdb

    try:
        rows = connection.execute(f"SELECT value FROM {catalog}.{_META}").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    meta: dict[str, Any] = json.loads(rows[0][0])
    return meta


def _write(path: Path, source: TableSource, schema: Schema, request: dict[str, str], progress: bool) -> None:
    if not path.parent.is_dir():
        raise AdapterError(f"snapshot {path}: the folder {path.parent} does not exist")
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        connection = _open(temporary)
        try:
            loaded, notes = load(connection, source, schema, progress)
            meta = json.dumps({"version": _VERSION, **request, "schema": loaded.to_dict(), "notes": notes})
            connection.execute(f"CREATE SCHEMA {_CATALOG}.relgraph")
            connection.execute(f"CREATE TABLE {_CATALOG}.{_META} AS SELECT CAST(? AS VARCHAR) AS value", [meta])
            connection.execute(f"CHECKPOINT {_CATALOG}")
            connection.execute("USE memory")
            connection.execute(f"DETACH {_CATALOG}")
        finally:
            connection.close()
        os.replace(temporary, path)
    finally:
        for rest in (temporary, temporary.with_name(temporary.name + ".wal")):
            rest.unlink(missing_ok=True)


def _reuse(path: Path, request: dict[str, str]) -> Taken:
    remedy = "delete it or name another file"
    connection = _open(path, read_only=True)
    meta = read_meta(connection, _CATALOG)
    problem = ""
    if meta is None:
        problem = "is a DuckDB file but no snapshot of relgraph"
    elif meta["version"] != _VERSION:
        problem = f"has snapshot version {meta['version']}, expected {_VERSION}"
    elif meta["source"] != request["source"]:
        problem = f"is a snapshot of {meta['source']}, not of {request['source']}"
    elif meta["fingerprint"] != request["fingerprint"]:
        problem = f"is of other content: {request['source']} has changed, or other tables are asked for"
    elif meta["declared"] != request["declared"]:
        problem = f"was taken with other keys or times: {meta['declared']}"
    if meta is None or problem:
        connection.close()
        raise AdapterError(f"snapshot {path} {problem}; {remedy}")
    return connection, Schema.from_dict(meta["schema"]), meta["source"], meta["notes"]


def _plain(value: object) -> object:
    """Declarations in one spelling: lists and tuples alike, names in order."""
    if isinstance(value, Mapping):
        return sorted((repr(_plain(key)), _plain(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _half_of_memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total // 2

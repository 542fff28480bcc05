"""The DuckDB behind a Database: in memory, or in a file that is written once, whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.data.declarations import Declaration, TimeDeclaration, apply_declarations
from relgraph.data.loading import Loaded, load, no_room
from relgraph.data.relations import View
from relgraph.data.retry import retried
from relgraph.data.schema import Schema
from relgraph.data.source import TableSource
from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["CATALOG", "Taken", "open_engine", "open_snapshot", "read_meta", "reuse", "take", "write_snapshot"]

_VERSION = 2
CATALOG = "relgraph_snapshot"
"""What a snapshot file is attached as."""

_META = "relgraph.snapshot"  # in a schema of its own, beside the tables


@dataclass(frozen=True)
class Taken:
    """A snapshot as a :class:`~relgraph.data.database.Database` needs it.

    Args:
        connection: DuckDB whose current schema holds the tables.
        schema: What they look like.
        name: Where they come from.
        notes: What was changed or left out on the way in.
        views: The tables that are read in place.
        changes: What a refresh did, per table of the schema.
    """

    connection: duckdb.DuckDBPyConnection
    schema: Schema
    name: str
    notes: list[str]
    views: Mapping[str, View] = field(default_factory=dict)
    changes: tuple[str, ...] = ()


def take(
    source: TableSource,
    keys: Mapping[str, Declaration] | None,
    times: Mapping[str, TimeDeclaration] | None,
    snapshot: str | Path | None,
    progress: bool,
    refresh: bool = False,
) -> Taken:
    """A snapshot of a source.

    Args:
        source: What to read.
        keys: Declared keys.
        times: Declared time columns.
        snapshot: A file to write, or to reuse if it holds a snapshot of the same source with the same declarations.
        progress: Show progress on stderr.
        refresh: Bring a file that is there up to the source's present state.

    Raises:
        AdapterError: If the source cannot be read, its rows find no room, or the file holds something else.
        SchemaError: If a declaration names what does not exist.
    """
    path = None if snapshot is None else Path(snapshot)
    request = {
        "source": source.name,
        "fingerprint": "" if path is None else source.fingerprint(),
        "declared": repr((_plain(keys), _plain(times))),
    }
    if path is not None and path.exists() and not refresh:
        return reuse(path, request)
    schema = apply_declarations(retried(source.schema, progress), keys, times, source.notes)
    if path is None:
        connection = open_snapshot(None)
        try:
            loaded = retried(lambda: load(connection, source, schema, progress, in_place=True), progress)
            return Taken(connection, loaded.schema, source.name, loaded.notes, loaded.views)
        except no_room() as error:
            message = str(error).splitlines()[0]
        except BaseException:
            connection.close()
            raise
        connection.close()
        raise AdapterError(
            f"{source.name}: the tables find no room: {message}; free some disk in {tempfile.gettempdir()}, let TMPDIR "
            "name a folder with more, or keep them in a file with snapshot="
        )
    if not path.exists():
        write_snapshot(path, request, schema, lambda connection: load(connection, source, schema, progress), progress)
        return reuse(path, request)
    from relgraph.data.refresh import refreshed

    changes = refreshed(path, source, schema, request, progress)
    return replace(reuse(path, request), changes=changes)


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


def open_snapshot(path: Path | None, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """An engine whose current schema is the snapshot's: a catalog of its own, so that no cursor sees it by accident.

    Raises:
        AdapterError: If the file cannot be opened.
    """
    import duckdb

    try:
        return _attached(path, read_only)
    except duckdb.Error as error:
        message = str(error)
    raise AdapterError(f"snapshot {path} cannot be opened as a DuckDB file: {message}")


def _attached(path: Path | None, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    connection = open_engine()
    option = " (READ_ONLY)" if read_only else ""
    try:
        connection.execute(f"ATTACH {literal(str(path or ':memory:'))} AS {CATALOG}{option}")
        connection.execute(f"USE {CATALOG}")
    except BaseException:
        connection.close()
        raise
    return connection


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


def write_snapshot(
    path: Path,
    request: Mapping[str, str],
    declared: Schema,
    fill: Callable[[duckdb.DuckDBPyConnection], Loaded],
    progress: bool,
) -> Loaded:
    """Write a snapshot file as a whole, or leave what was there as it is.

    Args:
        path: The file.
        request: Name, fingerprint and declarations of the source.
        declared: The source's schema before it was loaded.
        fill: Loads the tables; called again from an empty file when the source was away.
        progress: Say on stderr what is waited for.

    Raises:
        AdapterError: If the source cannot be read, or the file cannot be written.
    """
    if not path.parent.is_dir():
        raise AdapterError(f"snapshot {path}: the folder {path.parent} does not exist")
    _clear_dead(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    full: tuple[type[Exception], ...] = (*no_room(), OSError)
    try:
        connection = _attached(temporary)
        try:
            loaded = retried(lambda: fill(connection), progress)
            meta = {"version": _VERSION, **request, "schema": loaded.schema.to_dict(), "notes": loaded.notes}
            text = json.dumps({**meta, "declared_schema": declared.to_dict()})
            connection.execute(f"CREATE SCHEMA {CATALOG}.relgraph")
            connection.execute(f"CREATE TABLE {CATALOG}.{_META} AS SELECT CAST(? AS VARCHAR) AS value", [text])
            connection.execute(f"CHECKPOINT {CATALOG}")
            connection.execute("USE memory")
            connection.execute(f"DETACH {CATALOG}")
        finally:
            connection.close()
        os.replace(temporary, path)
        return loaded
    except full as error:
        message = str(error).splitlines()[0]
    finally:
        for rest in (temporary, temporary.with_name(temporary.name + ".wal")):
            rest.unlink(missing_ok=True)
    raise AdapterError(
        f"snapshot {path} cannot be written: {message}; what was there before is still whole. Check that the folder "
        "can be written and has enough free space"
    )


def _clear_dead(path: Path) -> None:
    """Remove what killed writers of this snapshot left: DuckDB holds a lock on a file as long as its process lives."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*-????????"):
        if file.name.startswith(f".{path.name}.{os.getpid()}-"):
            continue  # of another thread, whose lock would end with ours
        with suppress(OSError), file.open("r+b") as opened:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
            file.with_name(file.name + ".wal").unlink(missing_ok=True)


def reuse(path: Path, request: Mapping[str, str]) -> Taken:
    """Open a snapshot file that was made by the same request.

    Raises:
        AdapterError: If it is of another source, other content or other declarations, or no snapshot at all.
    """
    connection = open_snapshot(path, read_only=True)
    meta = read_meta(connection, CATALOG)
    problem = _why_unfit(meta, request)
    if meta is None or problem:
        connection.close()
        raise AdapterError(f"snapshot {path} {problem}; delete it or name another file")
    return Taken(connection, Schema.from_dict(meta["schema"]), meta["source"], meta["notes"])


def _why_unfit(meta: Mapping[str, Any] | None, request: Mapping[str, str]) -> str:
    if meta is None:
        return "is a DuckDB file but no snapshot of relgraph"
    if meta["version"] != _VERSION:
        return f"has snapshot version {meta['version']}, expected {_VERSION}"
    if meta["source"] != request["source"]:
        return f"is a snapshot of {meta['source']}, not of {request['source']}"
    if meta["fingerprint"] != request["fingerprint"]:
        return (
            f"is of other content: {request['source']} has changed, or other tables are asked for; refresh=True brings "
            "it up to date"
        )
    if meta["declared"] != request["declared"]:
        return f"was taken with other keys or times: {meta['declared']}; refresh=True takes it again"
    return ""


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

"""One door to every source of tables: :func:`connect` looks at what it is given and picks the adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from relgraph.adapters.duckdb import DuckDBSource
from relgraph.adapters.folder import FolderSource
from relgraph.adapters.frames import FramesSource
from relgraph.adapters.sqlalchemy import SQLAlchemySource
from relgraph.adapters.sqlite import SQLiteSource
from relgraph.adapters.urls import as_path, masked
from relgraph.data.database import Database
from relgraph.data.source import Declaration, TableSource
from relgraph.errors import AdapterError, SchemaError

__all__ = ["ADAPTERS", "TableAdapter", "connect"]


class TableAdapter(Protocol):
    """A class of :data:`ADAPTERS`."""

    understands: str
    """What it reads, for the message that lists all of them."""

    @staticmethod
    def matches(source: object) -> bool:
        """Whether this adapter is the one for what was given; says nothing about whether it can be read."""

    def __call__(self, source: Any, tables: Sequence[str] | Mapping[str, str | None] | None) -> TableSource:
        """Open the source with only the given tables."""


ADAPTERS: tuple[TableAdapter, ...] = (FramesSource, DuckDBSource, SQLiteSource, FolderSource, SQLAlchemySource)
"""Every table adapter; the first that matches is taken."""


def connect(
    source: str | Path | Mapping[str, Any],
    *,
    tables: Sequence[str] | Mapping[str, str | None] | None = None,
    keys: Mapping[str, Declaration] | None = None,
    times: Mapping[str, str | None] | None = None,
    snapshot: str | Path | None = None,
    progress: bool = True,
) -> Database:
    """Read a relational database into a snapshot that graphs, tasks and statements are built from.

    The source is read once, in one transaction, and never written to.

    Args:
        source: A SQLAlchemy URL (``postgresql://host/shop``); a SQLite or DuckDB file; a folder of Parquet, CSV or TSV
            files (or one such file); a mapping from table names to pandas, Arrow or other frames.
        tables: Names of the tables to read; all by default. For files and frames also a mapping from table names to SQL
            over them (None: the file of that name), e.g. ``{"races": "SELECT *, date + time AS start FROM races"}``.
        keys: Keys the source does not declare. Per table its primary key (a column or several), or a mapping:
            ``{"primary_key": "resultId", "foreign_keys": {"raceId": "races", ("a", "b"): "t", "x": ("t", ("col",))}}``.
        times: Per table the column that says when a row happened: ``{"races": "date"}``.
        snapshot: A DuckDB file to keep the snapshot in; it is reused by the next call on the same, unchanged source.
            In memory by default.
        progress: Show progress on stderr.

    Returns:
        The database; a context manager.

    Raises:
        AdapterError: If nothing understands the source, it is missing or malformed, or its driver is not installed.
        SchemaError: If tables, keys or times name what does not exist, or ``tables`` names none.

    Example:
        >>> import pyarrow
        >>> db = connect({"city": pyarrow.table({"id": [1, 2]})}, keys={"city": "id"}, progress=False)
        >>> db.num_rows("city")
        2
    """
    _require_tables(tables)
    for adapter in ADAPTERS:
        if adapter.matches(source):
            opened = adapter(source, tables)
            break
    else:
        path = as_path(source)
        if path is not None and not path.exists():
            raise AdapterError(f"there is no file or folder {str(path)!r} (looked in {Path.cwd()})")
        raise AdapterError(f"nothing here reads {_shown(source)}; understood are: " + "; ".join(_understood()))
    try:
        return Database.from_source(opened, keys=keys, times=times, snapshot=snapshot, progress=progress)
    finally:
        opened.close()


def _require_tables(tables: object) -> None:
    if tables is not None and not isinstance(tables, str | Sequence | Mapping):
        raise SchemaError(f"tables: expected names or a mapping from names to SQL, got {tables!r}")
    if tables is not None and not tables:
        raise SchemaError("tables: expected at least one name, got none; leave it out to read all")


def _understood() -> list[str]:
    return [adapter.understands for adapter in ADAPTERS]


def _shown(source: object) -> str:
    if isinstance(source, str):
        return repr(masked(source))
    return repr(str(source)) if isinstance(source, Path) else f"a {type(source).__name__}"

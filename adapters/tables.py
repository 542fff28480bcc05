"""One door to every source of tables: :func:`connect` looks at what it is given and picks the adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from relgraph.adapters.files.duckdb import DuckDBSource
from relgraph.adapters.files.folder import FolderSource
from relgraph.adapters.files.frames import FramesSource
from relgraph.adapters.relbench.source import RelBenchSource
from relgraph.adapters.servers.mysql import MySQLSource
from relgraph.adapters.servers.postgresql import PostgreSQLSource
from relgraph.adapters.servers.sqlalchemy import SQLAlchemySource
from relgraph.adapters.sqlite.source import SQLiteSource
from relgraph.adapters.urls import as_path, masked
from relgraph.data.database import Database
from relgraph.data.declarations import Declaration, TimeDeclaration
from relgraph.data.source import Selection, TableSource
from relgraph.errors import AdapterError

__all__ = ["ADAPTERS", "TableAdapter", "connect"]


class TableAdapter(Protocol):
    """A class of :data:`ADAPTERS`."""

    understands: str
    """What it reads, for the message that lists all of them."""

    @staticmethod
    def matches(source: object) -> bool:
        """Whether this adapter is the one for what was given; says nothing about whether it can be read."""

    def __call__(self, source: Any, selection: Selection) -> TableSource:
        """Open the source with only the selected tables."""


ADAPTERS: tuple[TableAdapter, ...] = (
    FramesSource,
    DuckDBSource,
    SQLiteSource,
    RelBenchSource,
    FolderSource,
    PostgreSQLSource,
    MySQLSource,
    SQLAlchemySource,
)
"""Every table adapter; the first that matches is taken."""


def connect(
    source: str | Path | Mapping[str, Any],
    *,
    tables: Sequence[str] | Mapping[str, str | None] | None = None,
    schemas: Sequence[str] | None = None,
    views: bool = False,
    keys: Mapping[str, Declaration] | None = None,
    times: Mapping[str, TimeDeclaration] | None = None,
    snapshot: str | Path | None = None,
    refresh: bool = False,
    progress: bool = True,
) -> Database:
    """Read a relational database into a snapshot that graphs, tasks and statements are built from.

    A server or a SQLite file is read once, all tables in one transaction. DuckDB, Parquet and CSV files stay where they
    are and are read when a query needs them; once such a file has changed, every use of the database says so. Nothing
    is ever written to the source.

    Args:
        source: A SQLAlchemy URL (``postgresql://host/shop``); a SQLite or DuckDB file; a RelBench v3 folder; a folder
            of Parquet, CSV or TSV files, one such file, or a pattern (``data/**/*.parquet``), whose files are one
            table; a mapping from table names to pandas, Arrow or other frames.
        tables: Names of the tables to read; all by default. For files and frames also a mapping from table names to SQL
            over them (None: the file of that name; ``"*": None``: all others, too), e.g.
            ``{"*": None, "races": "SELECT *, date + time AS start FROM races"}``. Views are read where they are named
            here.
        schemas: Schemas of a server or DuckDB file to read, ``"*"`` for all; the default schema by default. Tables of
            other schemas are named ``schema.table``.
        views: Also read every view.
        keys: Keys the source does not declare. Per table its primary key (a column or several), or a mapping:
            ``{"primary_key": "resultId", "foreign_keys": {"raceId": "races", ("a", "b"): "t", "x": ("t", ("col",))}}``.
        times: Per table the column that says when a row happened, ``{"races": "date"}``, or the two columns from and
            until which it holds: ``{"salaries": ("from_date", "to_date")}``.
        snapshot: A DuckDB file to keep a copy in; it is reused by the next call on the same, unchanged source. Without
            it, what is read is kept in memory.
        refresh: Bring a snapshot file that is there up to the source's present state; see
            :meth:`~relgraph.data.database.Database.refresh`.
        progress: Show progress on stderr.

    Returns:
        The database; a context manager.

    Raises:
        AdapterError: If nothing understands the source, it is missing or malformed, may not be read, or its driver is
            not installed; if ``snapshot`` holds something else or cannot be written; if a disk is full. Nothing half
            done is left.
        SourceUnavailableError: If the source is away, at connecting or later, and was at each of a few attempts.
        SchemaError: If tables, keys or times name what does not exist, or ``tables`` names none.

    Example:
        >>> import pyarrow
        >>> db = connect({"city": pyarrow.table({"id": [1, 2]})}, keys={"city": "id"}, progress=False)
        >>> db.num_rows("city")
        2
    """
    adapter = _adapter(source)
    selection = Selection(tables, schemas, views)

    def read(refresh: bool) -> Database:
        opened = adapter(source, selection)
        try:
            db = Database.from_source(
                opened, keys=keys, times=times, snapshot=snapshot, refresh=refresh, progress=progress
            )
        finally:
            opened.close()
        db.reads_again(lambda: read(refresh=True))
        return db

    return read(refresh)


def _adapter(source: object) -> TableAdapter:
    for adapter in ADAPTERS:
        if adapter.matches(source):
            return adapter
    path = as_path(source)
    if path is not None and not path.exists():
        raise AdapterError(f"there is no file or folder {str(path)!r} (looked in {Path.cwd()})")
    raise AdapterError(f"nothing here reads {_shown(source)}; understood are: " + "; ".join(_understood()))


def _understood() -> list[str]:
    return [adapter.understands for adapter in ADAPTERS]


def _shown(source: object) -> str:
    if isinstance(source, str):
        return repr(masked(source))
    return repr(str(source)) if isinstance(source, Path) else f"a {type(source).__name__}"

"""A database of MariaDB through relgraph, whole or table by table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

import relgraph
from relgraph.adapters.servers.mysql import MySQLSource
from relgraph.data.database import Database
from relgraph.data.schema import Schema
from relgraph.data.source import Selection, Tail
from tests.adapters.servers import ServerDatabase


def connect(server: ServerDatabase, *tables: str, **given: Any) -> Database:
    return relgraph.connect(server.url, tables=tables or None, progress=False, **given)


def rows(server: ServerDatabase, table: str, tail: Tail | None = None) -> tuple[pa.Table, int | None, list[str]]:
    """One table as it comes from the source, how many rows are before its tail, and the notes."""
    source = MySQLSource(server.url, Selection(tables=[table]))
    schema = Schema(source.schema())
    found = [
        (pa.Table.from_batches(list(read.batches), read.schema), read.older)
        for read in source.read(schema, {} if tail is None else {table: tail})
    ]
    return *found[0], source.notes

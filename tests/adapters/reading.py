"""What an adapter reads, as Arrow tables, without a Database around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from relgraph.adapters.servers.postgresql import PostgreSQLSource
from relgraph.adapters.servers.sqlalchemy import SQLAlchemySource
from relgraph.data.schema import Schema
from relgraph.data.source import Selection, Tail


def read(source: SQLAlchemySource, tails: Mapping[str, Tail] | None = None) -> dict[str, pa.Table]:
    """Every table of a source, which is closed after."""
    tables = {}
    schema = Schema(source.schema())
    for table in source.read(schema, tails):
        tables[table.name] = pa.Table.from_batches(table.batches, schema=table.schema)
    source.close()
    return tables


def postgres(url: str, *, adbc: bool = True, **selection: Any) -> PostgreSQLSource:
    """A source that reads by ADBC or, as where that is not installed, by psycopg."""
    source = PostgreSQLSource(url, Selection(**selection))
    source.adbc = adbc
    return source


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows as Python values."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True)) if table.num_columns else []

"""Chinook as every kind of source, and what a graph says in words that do not depend on the order of its rows."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.sql import quote, quote_all
from tests.adapters.servers import ServerDatabase

SOURCES = (
    *("sqlalchemy", "postgresql", "postgresql+psycopg", "mysql", "mariadb", "mariadb-snapshot", "postgresql-snapshot"),
    *("duckdb", "parquet", "csv", "arrow", "pandas"),
)
TIMES = {"Invoice": "InvoiceDate", "Employee": "HireDate"}
FOREIGN_KEYS = {
    "Album": {"ArtistId": "Artist"},
    "Customer": {"SupportRepId": "Employee"},
    "Employee": {"ReportsTo": "Employee"},
    "Invoice": {"CustomerId": "Customer"},
    "InvoiceLine": {"InvoiceId": "Invoice", "TrackId": "Track"},
    "PlaylistTrack": {"PlaylistId": "Playlist", "TrackId": "Track"},
    "Track": {"AlbumId": "Album", "MediaTypeId": "MediaType", "GenreId": "Genre"},
}
TABLES = (
    "Album",
    "Artist",
    "Customer",
    "Employee",
    "Genre",
    "Invoice",
    "InvoiceLine",
    "MediaType",
    "Playlist",
    "Track",
)
ROWS = {
    "Album": 347,
    "Artist": 275,
    "Customer": 59,
    "Employee": 8,
    "Genre": 25,
    "Invoice": 412,
    "InvoiceLine": 2240,
    "MediaType": 5,
    "Playlist": 18,
    "PlaylistTrack": 8715,
    "Track": 3503,
}
PRIMARY_KEYS = {name: (f"{name}Id",) for name in TABLES} | {"PlaylistTrack": ("PlaylistId", "TrackId")}
PRICES = ("UnitPrice", "Total")


def camel(name: str) -> str:
    """The map of names: ``invoice_line_id`` of the PostgreSQL dump is ``InvoiceLineId`` elsewhere."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@contextmanager
def opened(kind: str, data: Path, folder: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """The database of one kind of source; what files are needed are made in ``folder``."""
    given: dict[str, Any] = {"times": TIMES, "progress": False}
    declared = {**given, "keys": _declared()}
    source: Any
    if kind.startswith("postgresql"):
        server: ServerDatabase = request.getfixturevalue("postgresql")
        if not server.query("SELECT 1 FROM pg_tables WHERE tablename = 'invoice_line'"):
            server.load(data / "chinook_postgresql.sql")
        given["times"] = {snake(table): snake(column) for table, column in TIMES.items()}
        source = server.url.replace("postgresql://", f"{kind.removesuffix('-snapshot')}://")
    elif kind.startswith(("mysql", "mariadb")):
        server = request.getfixturevalue("mariadb")
        if not server.query("SHOW TABLES LIKE 'InvoiceLine'"):
            # four names hold a backslash, which the dump does not double
            server.load(data / "chinook_mysql.sql", "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
        source = server.url.replace("mysql://", f"{kind.removesuffix('-snapshot')}://")
    elif kind in ("sqlite", "sqlalchemy"):
        source = f"{'sqlite' if kind == 'sqlite' else 'sqlite+pysqlite'}:///{data / 'chinook.sqlite'}"
    else:
        source, given = _made(kind, data / "chinook.sqlite", folder), given if kind == "duckdb" else declared
    if kind.endswith("-snapshot"):
        given["snapshot"] = folder / f"{kind}.duckdb"
        relgraph.connect(source, **given).close()
    with relgraph.connect(source, **given) as db:
        yield db


def _declared() -> dict[str, Any]:
    return {
        table: {"primary_key": key, "foreign_keys": FOREIGN_KEYS.get(table, {})} for table, key in PRIMARY_KEYS.items()
    }


def _made(kind: str, file: Path, folder: Path) -> Any:
    tables = _arrow(file, decimals=kind in ("parquet", "duckdb"))
    if kind == "arrow":
        return tables
    if kind == "pandas":
        return {name: table.to_pandas() for name, table in tables.items()}
    if kind == "duckdb":
        return _duckdb(tables, folder / "chinook.duckdb")
    (folder / kind).mkdir()
    for name, table in tables.items():
        if kind == "csv":
            pa.csv.write_csv(table, folder / kind / f"{name}.csv")
        else:
            pq.write_table(table, folder / kind / f"{name}.parquet")
    return folder / kind


def _duckdb(tables: Mapping[str, pa.Table], path: Path) -> Path:
    """With every key declared, the tables that others refer to first."""
    order = ("Artist", "Employee", "Genre", "MediaType", "Playlist", "Album", "Customer", "Invoice", "Track")
    with duckdb.connect(str(path)) as file:
        for name in (*order, "InvoiceLine", "PlaylistTrack"):
            file.register("rows", tables[name])
            described = file.execute("DESCRIBE SELECT * FROM rows").fetchall()
            parts = [f"{quote(column)} {dtype}" for column, dtype, *_ in described]
            parts.append(f"PRIMARY KEY ({quote_all(PRIMARY_KEYS[name])})")
            for column, target in FOREIGN_KEYS.get(name, {}).items():
                parts.append(f"FOREIGN KEY ({quote(column)}) REFERENCES {quote(target)} ({quote(target + 'Id')})")
            file.execute(f"CREATE TABLE {quote(name)} ({', '.join(parts)})")
            for row in tables[name].to_batches(max_chunksize=1) if name == "Employee" else [tables[name]]:
                file.register("rows", pa.table(row))  # a manager stands before those who report to him
                file.execute(f"INSERT INTO {quote(name)} SELECT * FROM rows")
            file.unregister("rows")
    return path


def _arrow(file: Path, decimals: bool) -> dict[str, pa.Table]:
    """Straight from the file, without relgraph."""
    tables = {}
    with closing(sqlite3.connect(file)) as source:
        for name in PRIMARY_KEYS:
            cursor = source.execute(f"SELECT * FROM {quote(name)}")
            names = [column[0] for column in cursor.description]
            columns = zip(*cursor.fetchall(), strict=True)
            tables[name] = pa.table(
                {column: _column(column, values, decimals) for column, values in zip(names, columns, strict=True)}
            )
    return tables


def _column(name: str, values: tuple[Any, ...], decimals: bool) -> pa.Array:
    if name.endswith("Date"):
        return pa.array([None if v is None else dt.datetime.fromisoformat(v) for v in values], pa.timestamp("us"))
    if name in PRICES and decimals:
        return pa.array([decimal.Decimal(str(v)) for v in values], pa.decimal128(10, 2))
    return pa.array(values)


def schema_of(db: Database) -> dict[str, Any]:
    """Tables with their columns, keys, references and times."""
    found = {}
    for table in db.schema:
        references = [
            (tuple(map(camel, key.columns)), camel(key.table), tuple(map(camel, db.schema.target_columns(key))))
            for key in table.foreign_keys
        ]
        found[camel(table.name)] = {
            "columns": tuple(map(camel, table.column_names)),
            "primary key": tuple(map(camel, table.primary_key)),
            "foreign keys": references,
            "time": table.time_column and camel(table.time_column),
            "rows": db.num_rows(table.name),
        }
    return found


def kinds_of(graph: HeteroGraph) -> dict[str, str]:
    """The semantic type of every column that is a feature, and why the others are none."""
    found = {}
    for table, store in graph.nodes.items():
        for column, reason in graph.report["left_out"][table].items():
            found[f"{camel(table)}.{camel(column)}"] = f"left out: {reason}"
        for kind, names in store.features.names.items() if store.features else ():
            found |= {f"{camel(table)}.{camel(column)}": kind.value for column in names}
    return found


def rows_of(graph: HeteroGraph) -> dict[str, dict[Any, dict[str, Any]]]:
    """Per table and key of a row its time and every feature; categories as what they are."""
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    for table, store in graph.nodes.items():
        assert store.keys is not None
        columns: dict[str, list[Any]] = {}
        if store.time is not None:
            columns["time"] = store.time.tolist()
        for column in store.features.column_names if store.features else ():
            values = store.features.column(column)
            columns[camel(column)] = _listed(values)
        cells = zip(*columns.values(), strict=True) if columns else [()] * store.num_nodes
        keys = store.keys.tolist()
        found[camel(table)] = {key: dict(zip(columns, row, strict=True)) for key, row in zip(keys, cells, strict=True)}
        assert len(found[camel(table)]) == store.num_nodes
    return found


def _listed(values: Any) -> list[Any]:
    """Numbers as they are; NaN as None, for it equals nothing."""
    numbers = values.tolist() if hasattr(values, "tolist") else list(values)
    return [None if isinstance(number, float) and math.isnan(number) else number for number in numbers]


def edges_of(graph: HeteroGraph) -> dict[tuple[str, str, str], list[tuple[Any, ...]]]:
    """Per edge type the pairs of keys, with the time of each."""
    found = {}
    for (source, key, target), edge in graph.edges.items():
        heads, tails = (graph.node_keys(name, edge.edge_index[row]) for name, row in ((source, 0), (target, 1)))
        time = graph.edge_time((source, key, target))
        times = [None] * edge.num_edges if time is None else time.tolist()
        found[camel(source), camel(key), camel(target)] = sorted(zip(heads, tails, times, strict=True))
    return found


def stats_of(graph: HeteroGraph) -> dict[str, dict[str, Any]]:
    """The statistics of every feature."""
    return {
        f"{camel(table)}.{camel(column)}": dict(stats)
        for table, store in graph.nodes.items()
        for column, stats in (store.features.stats.items() if store.features else ())
    }


def facts_of(graph: HeteroGraph) -> list[tuple[Any, ...]]:
    """Every statement in words: head, relation, tail, time and qualifiers."""
    facts = graph.statements(form="hyper")
    entities = [_renamed(label) for label in facts.vocabulary.entities]
    relations = [_renamed(label) for label in facts.vocabulary.relations]
    pairs: list[list[tuple[str, str]]] = [[] for _ in range(len(facts))]
    if facts.qualifiers is not None:
        qualifiers = facts.qualifiers
        for row, relation, entity in zip(
            qualifiers.statement.tolist(), qualifiers.relation.tolist(), qualifiers.entity.tolist(), strict=True
        ):
            pairs[row].append((relations[relation], entities[entity]))
    times = [None] * len(facts) if facts.time is None else facts.time.tolist()
    rows = zip(facts.head.tolist(), facts.relation.tolist(), facts.tail.tolist(), times, pairs, strict=True)
    return sorted((entities[h], relations[r], entities[t], time, tuple(sorted(q))) for h, r, t, time, q in rows)


def _renamed(label: str) -> str:
    """``invoice_line.unit_price=0.99`` as ``InvoiceLine.UnitPrice=0.99``; what follows ``:`` or ``=`` is the data's."""
    for mark in (":", "="):
        name, found, value = label.partition(mark)
        if found and name.replace(".", "").replace("_", "").isalpha():
            return ".".join(map(camel, name.split("."))) + mark + value
    return ".".join(map(camel, label.split(".")))

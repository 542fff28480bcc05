"""Arrow tables written as any kind of source, values as they are, and what every database must live through."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.sql import quote, quote_all
from tests.adapters.servers import ServerDatabase

KINDS = (
    *("sqlite", "duckdb", "parquet", "csv", "pandas", "arrow"),
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("snapshot", "pandas-arrow")),
    *(pytest.param(kind, marks=pytest.mark.servers) for kind in ("postgresql", "mariadb")),
)

Tables = Mapping[str, pa.Table]


def source_of(kind: str, tables: Tables, folder: Path, request: pytest.FixtureRequest) -> Any:
    """What to give to ``relgraph.connect`` for these tables."""
    match kind:
        case "sqlite":
            return _sqlite(tables, folder / "odd.sqlite")
        case "duckdb" | "snapshot":
            return _duckdb(tables, folder / "odd.duckdb")
        case "parquet" | "csv":
            (folder / kind).mkdir()
            for name, table in tables.items():
                path = folder / kind / f"{name}.{kind}"
                _csv(table, path) if kind == "csv" else pq.write_table(table, path)
            return folder / kind
        case "pandas":
            return {name: table.to_pandas(date_as_object=True) for name, table in tables.items()}
        case "pandas-arrow":
            return {name: table.to_pandas(types_mapper=pd.ArrowDtype) for name, table in tables.items()}
        case "arrow":
            return dict(tables)
    server: ServerDatabase = request.getfixturevalue(kind)
    return _server(server, tables)


def opened(kind: str, tables: Tables, folder: Path, request: pytest.FixtureRequest, **given: Any) -> Database:
    """The same, connected; keys and times are declared."""
    if kind == "snapshot":
        given["snapshot"] = folder / "kept.duckdb"
    return relgraph.connect(source_of(kind, tables, folder, request), progress=False, **given)


def survive(db: Database, folder: Path) -> HeteroGraph:
    """Everything a person does with a database: look, check, build, save, load, make statements."""
    assert repr(db)
    report = db.check()
    assert str(report)
    assert report._repr_html_()
    json.loads(report.to_json())
    graph = relgraph.build_graph(db, progress=False)
    graph.save(folder / "graph")
    loaded = HeteroGraph.load(folder / "graph")
    for name, store in graph.nodes.items():
        again = loaded.nodes[name]
        assert again.num_nodes == store.num_nodes == db.num_rows(name)
        assert (again.keys is None) == (store.keys is None)
        if store.keys is not None and again.keys is not None:
            assert again.keys.tolist() == store.keys.tolist()
            assert len(set(store.keys.tolist())) == store.num_nodes
    for edge_type, edges in graph.edges.items():
        assert loaded.edges[edge_type].edge_index.tolist() == edges.edge_index.tolist()
    for form in ("hyper", "triples"):
        statements = loaded.statements(form=form)
        names = list(statements.vocabulary.entities)
        assert len(set(names)) == len(names)
        for i in range(min(len(statements), 3)):
            assert statements.labels(i)
    return loaded


def values(db: Database, table: str, column: str, by: str | None = None) -> list[Any]:
    """A column in the order of the source, or of another column."""
    found = db.sql(f"SELECT {quote(column)} AS __v FROM ({db.numbered(table)}) ORDER BY {quote(by or '__row')}")
    result: list[Any] = found["__v"].to_pylist()
    return result


def linked(db: Database, graph: HeteroGraph, key: str = "ref") -> list[tuple[int, int]]:
    """The edges from ``child`` to ``parent`` as pairs of ``child.no`` and ``parent.v``, in whatever order rows come."""
    no, v = values(db, "child", "no"), values(db, "parent", "v")
    index = graph.edges["child", key, "parent"].edge_index.t().tolist()
    return sorted((no[child], v[parent]) for child, parent in index)


def keys_of(db: Database, graph: HeteroGraph) -> list[Any]:
    """The keys of ``parent`` in the order of ``parent.v``."""
    keys = graph.nodes["parent"].keys
    assert keys is not None
    return [key for _, key in sorted(zip(values(db, "parent", "v"), keys.tolist(), strict=True))]


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [column.to_pylist() for column in table.columns]  # names may stand twice in another case
    return list(zip(*columns, strict=True))


def _sqlite(tables: Tables, path: Path) -> Path:
    def declared(kind: pa.DataType) -> str:
        if pa.types.is_timestamp(kind):
            return "DATETIME"
        if pa.types.is_decimal(kind) or pa.types.is_uint64(kind):
            return "TEXT"  # SQLite has no such numbers
        kinds = {"bool": "BOOLEAN", "date32[day]": "DATE", "int64": "INTEGER", "double": "REAL", "binary": "BLOB"}
        return kinds.get(str(kind), "TEXT")

    def plain(value: Any, kind: pa.DataType) -> Any:
        if isinstance(value, dt.datetime):
            return value.isoformat(" ", "microseconds")
        text = isinstance(value, dt.date | decimal.Decimal) or (pa.types.is_uint64(kind) and value is not None)
        return str(value) if text else value

    with closing(sqlite3.connect(path)) as file:
        for name, table in tables.items():
            columns = ", ".join(f"{quote(field.name)} {declared(field.type)}" for field in table.schema)
            file.execute(f"CREATE TABLE {quote(name)} ({columns})")
            marks = ", ".join("?" * table.num_columns)
            rows = [tuple(plain(v, f.type) for v, f in zip(row, table.schema, strict=True)) for row in _rows(table)]
            file.executemany(f"INSERT INTO {quote(name)} VALUES ({marks})", rows)
        file.commit()
    return path


def _duckdb(tables: Tables, path: Path) -> Path:
    with duckdb.connect(str(path)) as file:
        for name, table in tables.items():
            file.register("__given", table)
            file.execute(f"CREATE TABLE {quote(name)} AS SELECT * FROM __given")
            file.unregister("__given")
    return path


def _csv(table: pa.Table, path: Path) -> None:
    def cell(value: Any) -> str:
        if value is None:
            return ""
        text = value.hex() if isinstance(value, bytes) else str(value)
        return '"' + text.replace('"', '""') + '"' if isinstance(value, str) else text

    lines = [",".join('"' + name.replace('"', '""') + '"' for name in table.column_names)]
    lines += [",".join(map(cell, row)) for row in _rows(table)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def _server(server: ServerDatabase, tables: Tables) -> str:
    mysql = server.kind == "mysql"

    def named(name: str) -> str:
        return "`" + name.replace("`", "``") + "`" if mysql else quote(name)

    def declared(kind: pa.DataType) -> str:
        types = pa.types
        if types.is_timestamp(kind):
            return "datetime(6)" if mysql else "timestamp"
        if types.is_decimal(kind):
            return f"decimal({kind.precision}, {kind.scale})"
        if types.is_string(kind):
            return "longtext CHARACTER SET utf8mb4" if mysql else "text"
        pairs = {"bool": ("boolean",) * 2, "date32[day]": ("date",) * 2, "int64": ("bigint",) * 2}
        pairs |= {"double": ("double", "double precision"), "binary": ("longblob", "bytea")}
        pairs |= {"uint64": ("bigint unsigned", "numeric(20, 0)")}
        return pairs[str(kind)][0 if mysql else 1]

    old = "SHOW TABLES" if mysql else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    for (name,) in server.query(old):
        server.run(f"DROP TABLE {named(name)}")
    with closing(server.open()) as connection, closing(connection.cursor()) as cursor:
        for name, table in tables.items():
            columns = ", ".join(f"{named(field.name)} {declared(field.type)}" for field in table.schema)
            cursor.execute(f"CREATE TABLE {named(name)} ({columns})")
            if table.num_rows:
                given = ", ".join(map(named, table.column_names)) if mysql else quote_all(table.column_names)
                marks = ", ".join(["%s"] * table.num_columns)
                insert = f"INSERT INTO {named(name)} ({given}) VALUES ".replace("%", "%%")  # the drivers format it
                cursor.executemany(f"{insert}({marks})", _rows(table))
    return server.url

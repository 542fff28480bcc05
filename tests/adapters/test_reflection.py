"""Reflection by SQLAlchemy's inspector, the way of every dialect without an adapter of its own."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from relgraph.adapters.servers.reflection import named, reflect_schemas, spelled
from relgraph.adapters.servers.sqlalchemy import SQLAlchemySource
from relgraph.data.schema import Schema
from relgraph.data.source import Selection, Tail
from relgraph.errors import AdapterError, SchemaError
from tests.adapters.reading import postgres, read, rows
from tests.adapters.servers import ServerDatabase


def make(path: Path, *statements: str) -> str:
    with closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()
    return f"sqlite+pysqlite:///{path}"


def test_names_of_tables_and_references() -> None:
    assert [named(None, "t", "main"), named("main", "t", "main"), named("x", "t", "main")] == ["t", "t", "x.t"]
    assert [spelled("A", ["a", "A"]), spelled("A", ["a"]), spelled("b", ["a"])] == ["A", "a", "b"]


def test_references_are_spelled_as_what_they_refer_to(tmp_path: Path) -> None:
    url = make(
        tmp_path / "x",
        'CREATE TABLE "Parent" ("Id" INTEGER PRIMARY KEY, "Day" DATE, "At" DATETIME)',
        "CREATE TABLE child (a INTEGER REFERENCES parent (id), b INTEGER REFERENCES nowhere (x))",
    )
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        reflected = reflect_schemas(connection, Selection(), ())
    found, notes = {table.name: table for table in reflected.tables}, reflected.notes
    assert [column.dtype for column in found["Parent"].columns] == ["", "DATE", "TIMESTAMP"]
    assert [(k.table, k.target_columns) for k in found["child"].foreign_keys] == [
        ("Parent", ("Id",)),
        ("nowhere", ("x",)),
    ]
    assert notes == []


def test_views_are_reflected_on_request(tmp_path: Path) -> None:
    url = make(
        tmp_path / "x",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE)",
        "INSERT INTO t VALUES (2, '2020-01-01'), (1, NULL)",
        "CREATE VIEW v AS SELECT d, id FROM t WHERE id > 1",
    )
    assert [t.name for t in SQLAlchemySource(url, Selection()).schema()] == ["t"]
    tables = read(SQLAlchemySource(url, Selection(views=True)))
    assert list(tables) == ["t", "v"]
    assert tables["v"].num_rows == 1
    assert list(read(SQLAlchemySource(url, Selection(["v"])))) == ["v"]
    with pytest.raises(SchemaError, match="no table 'w'"):
        SQLAlchemySource(url, Selection(["w"])).schema()


def test_attached_databases_are_schemas(tmp_path: Path) -> None:
    make(tmp_path / "other", "CREATE TABLE p (id INTEGER PRIMARY KEY)", "INSERT INTO p VALUES (7)")
    url = make(tmp_path / "x", "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    source = SQLAlchemySource(url, Selection(schemas="*"))
    sa.event.listen(
        source._engine, "connect", lambda raw, _: raw.execute(f"ATTACH '{tmp_path / 'other'}' AS extra").close()
    )
    tables = read(source)
    assert {name: rows(table) for name, table in tables.items()} == {"p": [], "extra.p": [(7,)]}
    make(tmp_path / "x", 'CREATE TABLE "extra.p" (id INTEGER PRIMARY KEY)')
    tables = read(source)
    assert {name: rows(table) for name, table in tables.items()} == {"p": [], "extra.p": [], '"extra"."p"': [(7,)]}


def test_a_schema_that_is_none(tmp_path: Path) -> None:
    url = make(tmp_path / "x", "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    with pytest.raises(SchemaError, match="no schema 'nowhere'; schemas: main"):
        SQLAlchemySource(url, Selection(schemas=["nowhere"])).schema()


def test_tails_of_the_generic_path(tmp_path: Path) -> None:
    url = make(
        tmp_path / "x",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, n NUMERIC(9, 2), free)",
        "INSERT INTO t VALUES (1, '2020-01-01', 1, 'a'), (2, '2021-01-01', 2, 'b'), (3, NULL, NULL, 'c')",
    )
    expected: list[tuple[Tail, int | None, list[int]]] = [
        (Tail("d", dt.date(2020, 6, 1)), 1, [2, 3]),
        (Tail("id", 3), 2, [3]),
        (Tail("n", 1.5), 1, [2, 3]),
        (Tail("free", 5), None, [1, 2, 3]),
        (Tail("d", dt.datetime(2020, 6, 1)), None, [1, 2, 3]),
    ]
    source = SQLAlchemySource(url, Selection())
    schema = Schema(source.schema())
    for tail, older, ids in expected:
        for table in source.read(schema, {"t": tail}):
            found = [value for batch in table.batches for value in batch["id"].to_pylist()]
            assert (table.older, found) == (older, ids)
    source.close()


def test_nothing_can_be_written_to_a_sqlite_file(tmp_path: Path) -> None:
    source = SQLAlchemySource(make(tmp_path / "x", "CREATE TABLE t (i INTEGER)"), Selection())
    with source._opened() as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")


@pytest.mark.slow
def test_batches_are_small_where_rows_are_wide(tmp_path: Path) -> None:
    url = make(
        tmp_path / "x",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 600) "
        "INSERT INTO t SELECT i, CAST(zeroblob(1000000 * (i > 256)) AS TEXT) || 'x' FROM n",
    )
    source = SQLAlchemySource(url, Selection())
    for table in source.read(Schema(source.schema())):
        sizes = [batch.num_rows for batch in table.batches]
    source.close()
    assert sum(sizes) == 600
    assert sizes[0] == 256


@pytest.mark.servers
def test_the_generic_path_reads_a_server_as_its_own_adapter_does(postgresql: ServerDatabase) -> None:
    """Schemas, views, keys and rows, of plain types, where both say the same."""
    postgresql.run(
        "CREATE SCHEMA hr",
        'CREATE TABLE hr."Per son" (id int PRIMARY KEY, born date, "up%s" int REFERENCES hr."Per son")',
        'CREATE TABLE bill (id int, line int, seller int REFERENCES hr."Per son", at timestamptz, v numeric(9, 2), '
        "PRIMARY KEY (id, line)); CREATE VIEW seen AS SELECT id FROM bill",
        "INSERT INTO hr.\"Per son\" VALUES (2, '1980-02-29', NULL), (1, NULL, 2)",
        "INSERT INTO bill VALUES (1, 2, 2, '2020-01-01 00:00+02', 1.25), (1, 1, NULL, NULL, NULL)",
    )
    for given in ({}, {"schemas": "*", "views": True}, {"schemas": ["hr"]}, {"tables": ["bill"]}):
        selection: dict[str, Any] = dict(given)
        generic = SQLAlchemySource(postgresql.url, Selection(**selection))
        own = postgres(postgresql.url, **selection)
        schemas = [Schema(source.schema()) for source in (generic, own)]
        assert set(schemas[0].names) == set(schemas[1].names)
        for table in schemas[1]:
            other = schemas[0][table.name]
            assert (other.column_names, other.primary_key, other.foreign_keys) == (
                table.column_names,
                table.primary_key,
                table.foreign_keys,
            )
        assert {n: rows(t) for n, t in read(generic).items()} == {n: rows(t) for n, t in read(own).items()}
    selection = {"tables": ["bill"]}
    source = SQLAlchemySource(postgresql.url, Selection(["bill"]))
    source.schema()
    assert source.notes == ["foreign key bill.seller left out: it leads to schema 'hr', which was not selected"]
    source.close()


@pytest.mark.servers
def test_the_generic_path_is_one_snapshot_where_the_dialect_has_one(postgresql: ServerDatabase) -> None:
    postgresql.run("CREATE TABLE a (i int); CREATE TABLE b (i int); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    source = SQLAlchemySource(postgresql.url, Selection(["a", "b"]))
    counts = {}
    for table in source.read(Schema(source.schema())):
        counts[table.name] = sum(batch.num_rows for batch in table.batches)
        postgresql.run("INSERT INTO b VALUES (2)")
    source.close()
    assert counts == {"a": 1, "b": 1}


def test_a_dialect_that_is_none_is_no_source() -> None:
    assert not SQLAlchemySource.matches("nonsense://host/db")
    assert not SQLAlchemySource.matches("/some/path")
    assert SQLAlchemySource.matches("sqlite+pysqlite:///x")
    with pytest.raises(AdapterError, match="needs the driver"):
        SQLAlchemySource("mssql+pymssql://host/db", Selection())


def test_system_schemas_are_not_meant_by_all(tmp_path: Path) -> None:
    with sa.create_engine(
        make(tmp_path / "x", "CREATE TABLE t (i INTEGER)"), poolclass=sa.NullPool
    ).connect() as connection:
        found = reflect_schemas(connection, Selection(schemas="*"), system=("main",))
        assert list(found.places) == ["t"]  # the default schema is always meant

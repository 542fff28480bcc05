"""Folders and DuckDB files: dialects, types by every line, constraints, locks, SQL over files."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.errors import AdapterError, SchemaError


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def rows(db: Database, table: str = "t") -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in db.sql(f'SELECT * FROM "{table}"').to_pylist()]


@pytest.mark.parametrize(
    ("text", "types", "expected"),
    [
        ("a,b\n1,x\n2,\\N\n3,\n", ["BIGINT", "VARCHAR"], [(1, "x"), (2, None), (3, None)]),
        ("a;b\n1;x,y\n", ["BIGINT", "VARCHAR"], [(1, "x,y")]),
        ("a|b\n1|x\n", ["BIGINT", "VARCHAR"], [(1, "x")]),
        ("a\tb\n1\tx\n", ["BIGINT", "VARCHAR"], [(1, "x")]),
        ('a,b\n1,"x\ny"\n2,"say ""hi"""\n', ["BIGINT", "VARCHAR"], [(1, "x\ny"), (2, 'say "hi"')]),
        ("a,b\n#1,x\n", ["VARCHAR", "VARCHAR"], [("#1", "x")]),
        ("a\n007\n042\n", ["VARCHAR"], [("007",), ("042",)]),
        ("a\n2020-01-01\n\\N\n", ["DATE"], [(dt.date(2020, 1, 1),), (None,)]),
        ("a\n31/12/2020\n", ["DATE"], [(dt.date(2020, 12, 31),)]),
        ("a\n2020-01-01 10:00:00\n", ["TIMESTAMP"], [(dt.datetime(2020, 1, 1, 10),)]),
        ("\ufeffa,b\n1,2\n", ["BIGINT", "BIGINT"], [(1, 2)]),
        ('"a, b",c\n1,2\n', ["BIGINT", "BIGINT"], [(1, 2)]),
        ("a,b\n", ["VARCHAR", "VARCHAR"], []),
        ("a,b\r\n1,2\r\n", ["BIGINT", "BIGINT"], [(1, 2)]),
    ],
)
def test_csv(tmp_path: Path, text: str, types: list[str], expected: list[tuple[Any, ...]]) -> None:
    (tmp_path / "t.csv").write_text(text, newline="")
    with connect(tmp_path) as db:
        assert [column.dtype for column in db.schema["t"].columns] == types
        assert rows(db) == expected


def test_types_are_those_of_every_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 100_000 + "x,2.5\n")
    with connect(tmp_path) as db:
        assert [column.dtype for column in db.schema["t"].columns] == ["VARCHAR", "DOUBLE"]
        assert db.num_rows("t") == 100_001
        last = db.sql(f'SELECT a, b FROM ({db.numbered("t")}) WHERE "__row" = 100000').to_pylist()
        assert last == [{"a": "x", "b": 2.5}]


def test_order_of_a_large_file(tmp_path: Path) -> None:
    numbers = [i * 7919 % 300_007 for i in range(300_000)]
    (tmp_path / "t.csv").write_text("a\n" + "\n".join(map(str, numbers)) + "\n")
    pq.write_table(pa.table({"a": numbers}), tmp_path / "u.parquet", row_group_size=10_000)
    with connect(tmp_path) as db:
        for table in ("t", "u"):
            assert db.sql(f'SELECT a FROM ({db.numbered(table)}) ORDER BY "__row"')["a"].to_pylist() == numbers


def test_a_single_file_compressed_and_names_in_capitals(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write("a\n1\n")
    (tmp_path / "U.CSV").write_text("a\n2\n")
    (tmp_path / ".hidden.csv").write_text("a\n2\n")
    with connect(tmp_path) as db:
        assert db.schema.names == ("U", "t")
    with connect(str(tmp_path / "t.csv.gz")) as db:
        assert rows(db) == [(1,)]


def test_columns_without_a_name_or_that_differ_in_case(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",a,A\n1,2,3\n")
    with connect(tmp_path) as db:
        assert db.schema["t"].column_names == ("column0", "a", "A_1")
        assert len(db.notes) == 2
    (tmp_path / "t.csv").unlink()
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], ["a", "A"]), tmp_path / "t.parquet")
    with connect(tmp_path) as db:
        assert db.schema["t"].column_names == ("a", "A_1")
        assert "column t.A is called 'A_1'" in db.notes


def test_sql_over_files(tmp_path: Path) -> None:
    (tmp_path / "races.csv").write_text("raceId,date,time\n1,2020-01-01,10:00:00\n2,2020-01-02,\\N\n")
    (tmp_path / "results.csv").write_text("id,raceId\n5,2\n6,1\n")
    with connect(
        tmp_path,
        tables={
            "races": "SELECT raceId, date + coalesce(time, TIME '00:00:00') AS date FROM races",
            "results": "SELECT r.*, races.date FROM results r LEFT JOIN races USING (raceId) ORDER BY id;",
        },
        keys={"races": "raceId", "results": {"primary_key": "id", "foreign_keys": {"raceId": "races"}}},
        times={"races": "date", "results": "date"},
    ) as db:
        assert rows(db, "races") == [(1, dt.datetime(2020, 1, 1, 10)), (2, dt.datetime(2020, 1, 2))]
        # SQL sees the files, not the other queries: result 6 has the bare date
        assert rows(db, "results") == [(5, 2, dt.date(2020, 1, 2)), (6, 1, dt.date(2020, 1, 1))]
        (key,) = db.check().foreign_keys
        assert key.future == 0  # a day is not before an hour of the same day


def test_a_star_among_the_queries_stands_for_every_other_table(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.csv").write_text("id\n1\n2\n")
    queries = {"*": None, "new": "SELECT id FROM a", "b": "SELECT id + 1 AS id FROM b"}
    with connect(tmp_path, tables=queries) as db:
        assert db.schema.names == ("a", "b", "c", "new")
        assert (rows(db, "b"), rows(db, "c")) == ([(2,), (3,)], [(1,), (2,)])


def test_constraints_of_a_duckdb_file(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
        file.execute("CREATE TABLE p (a INTEGER, b TEXT, c INTEGER UNIQUE, PRIMARY KEY (a, b))")
        file.execute(
            "CREATE TABLE k (x INTEGER, y TEXT, z INTEGER REFERENCES p (c), m mood, d DECIMAL(9, 2), h HUGEINT,"
            " FOREIGN KEY (x, y) REFERENCES p (a, b))"
        )
        file.execute("CREATE SCHEMA other")
        file.execute("CREATE TABLE other.p (i INTEGER PRIMARY KEY)")
        file.execute("INSERT INTO p VALUES (1, 'x', 7)")
        file.execute("INSERT INTO k VALUES (1, 'x', 7, 'bad', 1.5, 3)")
    with connect(path) as db:
        assert db.schema.names == ("p", "k")
    with connect(path, schemas="*") as db:
        assert db.schema.names == ("p", "k", "other.p")
        assert db.schema["p"].primary_key == ("a", "b")
        keys = {(key.name, db.schema.target_columns(key)) for key in db.schema["k"].foreign_keys}
        assert keys == {("x+y", ("a", "b")), ("z", ("c",))}
        assert db.schema["k"].column("m").dtype == "VARCHAR"
        assert db.num_rows("other.p") == 0
    with connect(f"duckdb:///{path}", tables={"big": "SELECT x * 10 AS x FROM k"}) as db:
        assert rows(db, "big") == [(10,)]


def test_a_duckdb_file_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE t (a INTEGER)")
        with pytest.raises(AdapterError, match=r"x\.duckdb cannot be read"):
            connect(path)
    with connect(path) as db:
        assert db.schema.names == ("t",)


def numbered(db: Database, table: str) -> list[tuple[Any, ...]]:
    found = db.sql(f'SELECT * FROM ({db.numbered(table)}) ORDER BY "__row"').to_pylist()
    return [tuple(row.values()) for row in found]


def test_rows_of_a_duckdb_file_are_numbered_without_gaps(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE whole AS SELECT range AS a FROM range(300000)")
        file.execute("CREATE TABLE gaps AS SELECT range AS a FROM range(300000)")
        file.execute("DELETE FROM gaps WHERE a % 7 = 3 OR a BETWEEN 100000 AND 250000")
        file.execute("CREATE TABLE hidden (rowid INTEGER, a INTEGER, b INTEGER GENERATED ALWAYS AS (a * 2))")
        file.execute("INSERT INTO hidden (rowid, a) VALUES (5, 1), (5, 2), (5, 3)")
        file.execute("DELETE FROM hidden WHERE a = 1")
        file.execute("CREATE TABLE none (a INTEGER)")
        file.execute("CREATE TABLE emptied AS SELECT 1 AS a")
        file.execute("DELETE FROM emptied")
    with connect(path) as db:
        db.connection.execute("SET threads = 8")
        assert db.sql(f'SELECT count(*) AS n FROM ({db.numbered("whole")}) WHERE a <> "__row"')["n"][0].as_py() == 0
        left = [a for a in range(300_000) if a % 7 != 3 and not 100_000 <= a <= 250_000]
        assert db.sql(f'SELECT a FROM ({db.numbered("gaps")}) ORDER BY "__row"')["a"].to_pylist() == left
        last = db.sql(f'SELECT "__row" AS r FROM ({db.numbered("gaps")}) WHERE a = 299999')["r"].to_pylist()
        assert last == [len(left) - 1]
        assert numbered(db, "hidden") == [(5, 2, 4, 0), (5, 3, 6, 1)]
        assert db.schema["hidden"].column_names == ("rowid_1", "a", "b")
        assert numbered(db, "none") == numbered(db, "emptied") == []


@pytest.mark.slow
def test_views_and_schemas_of_a_duckdb_file(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        file.execute("INSERT INTO t VALUES (1), (2)")
        file.execute("CREATE VIEW v AS SELECT a * 10 AS b FROM t ORDER BY a DESC")
        file.execute('CREATE SCHEMA "o.ther"')
        file.execute('CREATE TABLE "o.ther".u (a INTEGER PRIMARY KEY, up INTEGER REFERENCES "o.ther".u (a))')
    with connect(path) as db:
        assert db.schema.names == ("t",)
        assert any("views were left out: v; views=True" in note for note in db.notes)
    with connect(path, views=True) as db:
        assert db.schema.names == ("t", "v")
        assert rows(db, "v") == [(20,), (10,)]
        assert db.notes == ()
    with connect(path, tables=["v"]) as db:
        assert db.schema.names == ("v",)
    with connect(path, tables={"w": "SELECT b + 1 AS c FROM v", "t": None}) as db:
        assert rows(db, "w") == [(21,), (11,)]
        assert db.schema["t"].primary_key == ("a",)
    with connect(path, schemas=["o.ther"], tables=["o.ther.u"]) as db:
        assert db.schema.names == ("o.ther.u",)
        assert [key.table for key in db.schema["o.ther.u"].foreign_keys] == ["o.ther.u"]
    with connect(path, schemas="*", tables={"n": 'SELECT count(*) AS n FROM "o.ther.u"'}) as db:
        assert rows(db, "n") == [(0,)]
    with pytest.raises(SchemaError, match=r"has no schema 'other'; schemas: main, o\.ther"):
        connect(path, schemas=["other"])
    with pytest.raises(SchemaError, match=r"there is no table 'o\.ther\.u'; tables: t"):
        connect(path, tables=["o.ther.u"])


def test_nested_types_of_a_duckdb_file(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE t (l INTEGER[], s STRUCT(x INTEGER), m MAP(VARCHAR, INTEGER), e ENUM ('a', 'b'))")
        file.execute("INSERT INTO t VALUES ([1, 2], {'x': 3}, MAP {'k': 4}, 'b')")
    with connect(path) as db:
        assert [c.dtype for c in db.schema["t"].columns] == [
            "INTEGER[]",
            "STRUCT(x INTEGER)",
            "MAP(VARCHAR, INTEGER)",
            "VARCHAR",
        ]
        assert db.sql("SELECT l, s, e FROM t").to_pylist() == [{"l": [1, 2], "s": {"x": 3}, "e": "b"}]


def test_what_waits_beside_a_duckdb_file(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE t (a INTEGER)")
    with connect(path) as db:
        (tmp_path / "x.duckdb.wal").write_bytes(b"new rows")
        with pytest.raises(AdapterError, match=r"x\.duckdb\.wal was not there when it was connected"):
            db.sql("SELECT 1")


def test_a_snapshot_as_a_source_is_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,Id,since,until\n1,5,2020-01-01,2021-01-01\n")
    given: dict[str, Any] = {"keys": {"t": "id"}, "times": {"t": ("since", "until")}}
    with connect(tmp_path / "t.csv", **given, snapshot=tmp_path / "x.duckdb") as db:
        notes = db.notes
    with connect(tmp_path / "x.duckdb") as db:
        table = db.schema["t"]
        assert (table.primary_key, table.time_column, table.end_column) == (("id",), "since", "until")
        assert db.notes == notes != ()
        assert db.connection.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'main'").fetchall() == [
            (1,)  # the one in the file
        ]
    with pytest.raises(SchemaError, match="a snapshot of relgraph, has no schemas"):
        connect(tmp_path / "x.duckdb", schemas="main")


@pytest.mark.slow
def test_only_what_is_new_in_a_file_is_read_by_refresh(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,at\n1,2020-01-01\n2,\n3,2020-01-02\n")
    given: dict[str, Any] = {"times": {"t": "at"}, "snapshot": tmp_path / "x.duckdb"}
    connect(path, **given).close()
    path.write_text("id,at\n1,2020-01-01\n2,\n3,2020-01-02\n4,2020-01-03\n")
    with connect(path, **given, refresh=True) as db:
        assert db.changes == ("t: 1 new rows",)
        assert sorted(row[0] for row in rows(db)) == [1, 2, 3, 4]
    path.write_text("id,at\n1,2020-01-01\n4,2020-01-03\n")
    with connect(path, **given, refresh=True) as db:
        assert "read again, 2 rows" in db.changes[0]
        assert [row[0] for row in rows(db)] == [1, 4]


def test_a_duckdb_file_that_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute('CREATE TABLE t (a INT)'); print(1); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        with pytest.raises(AdapterError, match=r"x\.duckdb cannot be read.*open for writing is locked: close it there"):
            connect(path)
        writer.communicate("\n")
    with connect(path) as db:
        assert db.schema.names == ("t",)

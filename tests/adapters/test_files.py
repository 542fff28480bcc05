"""Folders and DuckDB files: dialects, types by every line, constraints, locks, SQL over files."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.errors import AdapterError


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
        assert [row[:2] for row in rows(db, "results")] == [(5, 2), (6, 1)]
        (key,) = db.check().foreign_keys
        assert key.future == 1  # SQL sees the files, not the other queries: result 6 has the bare date


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

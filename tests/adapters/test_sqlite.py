"""SQLite stores what it is given, whatever the column says: nothing may be lost or guessed from the first rows."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import relgraph
from relgraph.adapters.sqlite.source import SQLiteSource
from relgraph.data.database import Database
from relgraph.data.schema import Schema
from relgraph.data.source import Selection


def build(path: Path, *statements: str) -> Database:
    with closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()
    return relgraph.connect(path, progress=False)


def column(db: Database, name: str = "c", table: str = "t") -> list[Any]:
    values: list[Any] = db.sql(f'SELECT "{name}" AS v FROM "{table}"')["v"].to_pylist()
    return values


@pytest.mark.parametrize(
    ("declared", "values", "dtype", "expected", "note"),
    [
        ("INTEGER", "(1), (NULL), (-9223372036854775808)", "BIGINT", [1, None, -(2**63)], ""),
        ("INTEGER", "(1), (2.5)", "DOUBLE", [1.0, 2.5], "declared INTEGER but holds 1 integer, 1 real"),
        ("INTEGER", "(1), ('n/a')", "VARCHAR", ["1", "n/a"], "declared INTEGER but holds 1 integer, 1 text"),
        ("REAL", "(1), (2.5), ('?')", "VARCHAR", ["1.0", "2.5", "?"], "holds 2 real, 1 text"),
        ("NUMERIC", "(1), (2.5)", "DOUBLE", [1.0, 2.5], ""),
        ("NUMERIC(10,2)", "(1), (2)", "DOUBLE", [1.0, 2.0], ""),
        ("DECIMAL(8, 0)", "(1), (2)", "BIGINT", [1, 2], ""),
        (
            "INTEGER",
            "(1), (''), (' ')",
            "BIGINT",
            [1, None, None],
            "holds 2 empty texts among its numbers: they are re",
        ),
        ("REAL", "(1.5), ('')", "DOUBLE", [1.5, None], "holds 1 empty texts among its numbers"),
        ("INTEGER", "(''), (NULL)", "VARCHAR", ["", None], "declared INTEGER but holds 1 text"),
        ("NUMERIC", "(0.1), (9007199254740993)", "VARCHAR", ["0.1", "9007199254740993"], "no real is exactly what"),
        ("NUMERIC", "(0.5), (9007199254740992)", "DOUBLE", [0.5, 9007199254740992.0], ""),
        ("NUMERIC", "(0.5), (9223372036854775807)", "VARCHAR", ["0.5", "9223372036854775807"], "no real is exactly"),
        ("NUMERIC", "(0.5), (-9223372036854775808)", "DOUBLE", [0.5, -(2.0**63)], ""),
        ("", "(0.1 + 0.2), ('x')", "VARCHAR", ["0.30000000000000004", "x"], "1 real, 1 text"),  # not 15 digits
        ("", "(0.1 + 0.2), (x'00')", "BLOB", [b"0.30000000000000004", b"\0"], "1 real, 1 blob"),
        ("REAL", "(9e999), (-9e999), (NULL)", "DOUBLE", [float("inf"), float("-inf"), None], ""),
        ("TEXT", "('a' || char(0) || 'b'), ('a')", "VARCHAR", ["a\0b", "a"], ""),
        ("BOOLEAN", "('t'), ('f'), (NULL)", "BOOLEAN", [True, False, None], ""),
        ("BOOL", "('True'), ('false ')", "BOOLEAN", [True, False], ""),
        ("BOOLEAN", "('t'), ('maybe')", "VARCHAR", ["t", "maybe"], "declared BOOLEAN but holds 2 text"),
        ("BOOLEAN", "('t'), (1)", "VARCHAR", ["t", "1"], "declared BOOLEAN but holds 1 integer, 1 text"),
        ("TEXT", "('1'), ('')", "VARCHAR", ["1", ""], ""),
        ("TEXT", "('1'), (x'00ff')", "BLOB", [b"1", b"\x00\xff"], "1 text, 1 blob values: all are read as bytes"),
        ("BLOB", "(x'00ff'), (NULL)", "BLOB", [b"\x00\xff", None], ""),
        ("", "(1), (2)", "BIGINT", [1, 2], ""),
        ("", "(1), ('x')", "VARCHAR", ["1", "x"], "declared without a type"),
        ("BOOLEAN", "(1), (0), (NULL)", "BOOLEAN", [True, False, None], ""),
        ("BOOLEAN", "(1), (2)", "BIGINT", [1, 2], ""),
        ("INTEGER", "(NULL)", "BIGINT", [None], ""),
        ("VARCHAR(9)", "(NULL)", "VARCHAR", [None], ""),
        ("DOUBLE", "(NULL)", "DOUBLE", [None], ""),
        ("DECIMAL", "(NULL)", "DOUBLE", [None], ""),
        ("BLOB", "(NULL)", "BLOB", [None], ""),
        ("DATE", "('2020-02-29'), ('')", "DATE", [dt.date(2020, 2, 29), None], ""),
        ("DATE", "('2020-02-29 00:00:00.000')", "DATE", [dt.date(2020, 2, 29)], ""),
        ("DATE", "('2020-02-29 10:00:00')", "TIMESTAMP", [dt.datetime(2020, 2, 29, 10)], ""),
        ("DATETIME", "('2020-02-29'), (NULL)", "TIMESTAMP", [dt.datetime(2020, 2, 29), None], ""),
        ("TIMESTAMP", "('2020-02-29T10:00:00+02:00')", "TIMESTAMP", [dt.datetime(2020, 2, 29, 8)], ""),
        ("DATE", "('2020-02-29'), ('soon')", "VARCHAR", ["2020-02-29", "soon"], "1 values are no date, such as 'soon'"),
        ("DATETIME", "(1600000000)", "BIGINT", [1600000000], ""),
        ("TIMESTAMP", "(1600000000.5)", "DOUBLE", [1600000000.5], ""),
        ("WHATEVER", "('x')", "VARCHAR", ["x"], ""),
    ],
)
def test_columns_take_the_type_of_what_they_hold(
    tmp_path: Path, declared: str, values: str, dtype: str, expected: list[Any], note: str
) -> None:
    with build(tmp_path / "x.sqlite", f"CREATE TABLE t (c {declared})", f"INSERT INTO t VALUES {values}") as db:
        assert db.schema["t"].column("c").dtype == dtype
        assert column(db) == expected
        assert note in " ".join(db.notes)
        assert bool(db.notes) == bool(note)


def test_bytes_that_are_no_text_are_replaced_and_noted(tmp_path: Path) -> None:
    with build(
        tmp_path / "x.db", "CREATE TABLE t (c TEXT)", "INSERT INTO t VALUES ('é'), (CAST(x'61ff' AS TEXT))"
    ) as db:
        assert column(db) == ["é", "a\\xff"]
        assert "t.c holds bytes that are no UTF-8 text: each is written as \\xNN" in db.notes[0]


def test_order_is_that_of_the_rowid_and_not_of_an_index(tmp_path: Path) -> None:
    with build(
        tmp_path / "x.db",
        "CREATE TABLE t (c INTEGER)",
        "CREATE INDEX by_c ON t (c)",  # covers the query: SQLite would read it instead
        "INSERT INTO t VALUES (3), (1), (2)",
    ) as db:
        assert column(db) == [3, 1, 2]


def test_columns_called_rowid(tmp_path: Path) -> None:
    with build(
        tmp_path / "x.db",
        "CREATE TABLE t (c INTEGER, rowid TEXT)",
        "INSERT INTO t VALUES (3, 'b'), (1, 'a')",
    ) as db:
        assert db.schema["t"].column_names == ("c", "rowid_1")
        assert column(db) == [3, 1]
        assert "t.rowid is called 'rowid_1'" in db.notes[0]
        assert db.sql(f'SELECT "__row" FROM ({db.numbered("t")}) ORDER BY 1')["__row"].to_pylist() == [0, 1]


def test_without_rowid_generated_and_strict(tmp_path: Path) -> None:
    with build(
        tmp_path / "x.db",
        "CREATE TABLE t (k TEXT PRIMARY KEY, c INTEGER, twice INTEGER GENERATED ALWAYS AS (2 * c)) "
        "WITHOUT ROWID, STRICT",
        "INSERT INTO t (k, c) VALUES ('b', 1), ('a', 2)",
    ) as db:
        assert column(db, "k") == ["a", "b"]
        assert column(db, "twice") == [4, 2]
        assert db.schema["t"].primary_key == ("k",)


def test_more_columns_than_one_query_can_count(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(1000)]
    with build(
        tmp_path / "x.db",
        f"CREATE TABLE t ({', '.join(f'{name} INTEGER' for name in names)})",
        f"INSERT INTO t VALUES ({', '.join(map(str, range(1000)))})",
    ) as db:
        assert len(db.schema["t"].columns) == 1000
        assert column(db, "c999") == [999]


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").touch()
    with relgraph.connect(tmp_path / "x.sqlite", progress=False) as db:
        assert len(db.schema) == 0
        assert "0 tables" in repr(db)
        assert "0 tables" in str(db.check())


def test_the_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    build(path, "CREATE TABLE t (c INTEGER)", "INSERT INTO t VALUES (1)").close()
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.iterdir())
    path.chmod(0o444)
    relgraph.connect(path, progress=False).close()
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.iterdir())) == before


@pytest.mark.slow
def test_more_rows_than_one_batch_keep_their_order(tmp_path: Path) -> None:
    rows = 200_001
    with build(
        tmp_path / "x.sqlite",
        "CREATE TABLE t (c INTEGER, d TEXT)",
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {rows}) "
        "INSERT INTO t SELECT i * 7919 % 200003, 'x' || i FROM n",
    ) as db:
        wrong = db.sql(
            f"""SELECT count(*) AS n FROM ({db.numbered("t")})
                WHERE c <> "__row" * 7919 % 200003 OR d <> 'x' || "__row" """
        )
        assert wrong["n"].to_pylist() == [0]
        assert db.num_rows("t") == rows


stored = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)


@given(st.lists(stored, max_size=8), st.sampled_from(["", "INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB"]))
def test_no_value_is_lost(tmp_path_factory: pytest.TempPathFactory, values: list[Any], declared: str) -> None:
    path = tmp_path_factory.getbasetemp() / "values.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute(f"CREATE TABLE t (c {declared})")
        file.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        file.commit()
        kept = [row[0] for row in file.execute("SELECT c FROM t ORDER BY rowid")]  # after SQLite's own conversions
    source = SQLiteSource(path, Selection())
    found = []
    for table in source.read(Schema(source.schema())):
        found += [value for batch in table.batches for value in batch.column(0).to_pylist()]
    kinds = {type(value) for value in kept if value is not None}
    assert len(found) == len(kept)
    for value, expected in zip(found, kept, strict=True):
        if expected is None or len(kinds) == 1:
            assert value == expected
        elif bytes in kinds:
            assert isinstance(value, bytes)
            assert value == expected or not isinstance(expected, bytes)
        elif str in kinds:
            assert value == expected or not isinstance(expected, str)
        else:
            assert value == float(expected)

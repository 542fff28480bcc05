"""The snapshot: queries, row numbers, cuts in time, keys that join, files that are whole or absent."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.errors import AdapterError, SchemaError


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def day(number: int) -> dt.datetime:
    return dt.datetime(2020, 1, 1) + dt.timedelta(days=number)


FRAMES = {
    "person": pa.table({"id": [3, 1, 2], "name": ["c", "a", "b"]}),
    "visit": pa.table(
        {"person": [1, 1, 3, 9], "at": pa.array([day(3), day(1), None, day(2)], pa.timestamp("us")), "n": [1, 2, 3, 4]}
    ),
}
KEYS = {"person": "id", "visit": {"foreign_keys": {"person": "person"}}}


@pytest.fixture
def db() -> Iterator[Database]:
    with connect(FRAMES, keys=KEYS, times={"visit": "at"}) as opened:
        yield opened


def test_sql_reads(db: Database) -> None:
    assert db.sql("SELECT name FROM person WHERE id > ? ORDER BY id", [1])["name"].to_pylist() == ["b", "c"]
    assert db.sql("WITH p AS (FROM person) SELECT max(id) AS m FROM p WHERE id < $top", {"top": 3})[
        "m"
    ].to_pylist() == [2]
    assert db.sql("SELECT 1 AS one WHERE FALSE").num_rows == 0
    assert db.sql("SELECT current_setting('TimeZone') AS z")["z"].to_pylist() == ["UTC"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DELETE FROM person", "expected one SELECT statement, got DELETE"),
        ("DROP TABLE person", "got DROP"),
        ("SELECT 1; SELECT 2", "got SELECT, SELECT"),
        ("CREATE TABLE x (a INT)", "got CREATE"),
        ("", "got none"),
        ("SELECT nothing FROM person", "(?s)nothing.*query: SELECT nothing"),
        ("SELECT * FROM persn", "persn"),
        ("SELEC", "(?s)syntax error.*query: SELEC"),
        ("SELECT CAST(name AS INTEGER) FROM person", "Could not convert"),
        ("SELECT ? + 1", "parameter"),
        ("WITH x AS (DELETE FROM person RETURNING id) SELECT * FROM x", "only reads, got DELETE in it"),
        ("SELECT * FROM (WITH x AS (INSERT INTO person VALUES (9, 'z') RETURNING id) FROM x)", "got INSERT in it"),
        ("WITH x AS (COPY (SELECT 1) TO '/nonexistent/x.csv') SELECT 1", "got COPY in it"),
    ],
)
def test_sql_that_does_not_read(db: Database, query: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        db.sql(query)
    assert db.num_rows("person") == 3


@pytest.mark.parametrize("time", ["", "20200103", float("nan"), None, ["2020-01-03", "2020-01-04"]])
def test_upto_no_moment(db: Database, time: Any) -> None:
    with pytest.raises(SchemaError, match="upto: expected one moment such as '2024-01-31'"):
        db.upto(time)


def test_numbered_is_the_order_of_the_source(db: Database) -> None:
    rows = db.sql(db.numbered("person")).to_pylist()
    assert sorted((row["__row"], row["id"]) for row in rows) == [(0, 3), (1, 1), (2, 2)]
    with pytest.raises(SchemaError, match="there is no table 'nobody'"):
        db.numbered("nobody")
    with pytest.raises(SchemaError, match="there is no table 'nobody'"):
        db.num_rows("nobody")


@pytest.mark.parametrize(
    "time", ["2020-01-03", day(2), int((day(2) - dt.datetime(1970, 1, 1)).total_seconds()) * 1_000_000, day(2).date()]
)
def test_upto_keeps_that_moment_and_rows_without_time(db: Database, time: Any) -> None:
    cut = db.upto(time)
    assert cut.sql("SELECT n FROM visit ORDER BY n")["n"].to_pylist() == [2, 3, 4]
    assert cut.sql(f'SELECT n, "__row" AS r FROM ({cut.numbered("visit")}) ORDER BY r').to_pylist() == [
        {"n": 2, "r": 0},
        {"n": 3, "r": 1},
        {"n": 4, "r": 2},
    ]
    assert cut.num_rows("person") == 3
    assert db.num_rows("visit") == 4
    assert cut.name == "frames in memory up to 2020-01-03"
    assert "visit: 3 rows" in repr(cut)


def test_a_cut_of_a_cut_never_sees_more(db: Database) -> None:
    cut = db.upto("2020-01-03").upto("2021-01-01")
    assert cut.num_rows("visit") == 3
    assert cut.upto("2019-01-01").num_rows("visit") == 1
    assert cut.num_rows("visit") == 3


def test_no_cursor_of_a_cut_falls_back_to_all_rows(db: Database) -> None:
    cut = db.upto("2020-01-02")
    count = "SELECT count(*) FROM visit"
    assert cut.connection.execute(count).fetchall() == [(2,)]
    assert cut.cursor().execute(count).fetchall() == [(2,)]
    with pytest.raises(duckdb.CatalogException):
        cut.connection.cursor().execute(count)


def test_upto_without_any_time_and_with_one_that_is_none(db: Database) -> None:
    with connect({"t": FRAMES["person"]}) as timeless:
        assert timeless.upto("1900-01-01").num_rows("t") == 3
    with (
        connect({"t": FRAMES["person"]}, times={"t": "name"}) as wrong,
        pytest.raises(SchemaError, match=r"t\.name cannot be the time column"),
    ):
        wrong.upto("2020-01-01")
    with pytest.raises(SchemaError, match="soon"):
        db.upto("soon")
    with pytest.raises(SchemaError, match="has no time column"):
        db.time_sql("person")


def test_years_stay_years_in_a_cut() -> None:
    """What numbers count is read off all rows: without 12000 the rest would look like years."""
    with connect({"t": pa.table({"at": [1, 2, 12_000]})}, times={"t": "at"}) as db:
        assert db.upto(2_000_000).num_rows("t") == 2
        assert db.upto(2_000_000).check().tables[0].time_range == ("1970-01-01 00:00:01", "1970-01-01 00:00:02")


@pytest.mark.slow
def test_upto_equals_brute_force_for_every_pair_of_moments() -> None:
    numbers = [2, -3, None, 0, 0, 3, -1, None, 1, -3, 2, -2]
    times = pa.array([None if n is None else day(n) for n in numbers], pa.timestamp("us"))
    moments = {n: (day(n) - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1) for n in range(-4, 5)}
    with connect({"t": pa.table({"at": times, "n": numbers})}, times={"t": "at"}) as db:
        for first, second in itertools.product(moments, repeat=2):
            cut = db.upto(moments[first]).upto(moments[second])
            expected = [n for n in numbers if n is None or n <= min(first, second)]
            assert cut.sql(f'SELECT n FROM ({cut.numbered("t")}) ORDER BY "__row"')["n"].to_pylist() == expected
            assert cut.sql("SELECT count(*) AS c FROM t")["c"].to_pylist() == [len(expected)]


def test_validate_keys(db: Database) -> None:
    db.validate_keys()
    twice = {"t": pa.table({"a": [1, 2, 1, None, None], "b": ["x", "y", "x", None, None]})}
    with (
        connect(twice, keys={"t": ("a", "b")}) as wrong,
        pytest.raises(SchemaError, match=r"table 't': \(a, b\) = \(1, 'x'\) stands 2 times, but its primary key"),
    ):
        wrong.validate_keys()
    with connect({"t": pa.table({"a": [1, None, None]})}, keys={"t": "a"}) as nulls:
        nulls.validate_keys()  # a NULL is no duplicate
    to_other = {"p": pa.table({"id": [1, 2], "code": ["x", "x"]}), "c": pa.table({"code": ["x"]})}
    with (
        connect(to_other, keys={"p": "id", "c": {"foreign_keys": {"code": ("p", "code")}}}) as wrong,
        pytest.raises(SchemaError, match=r"table 'p': \(code\) = \('x'\) stands 2 times, but c\.code refers to it"),
    ):
        wrong.validate_keys()


@pytest.mark.parametrize(
    ("parent", "child", "dtype", "dangling", "noted"),
    [
        (pa.array([1, 2]), pa.array(["1", "3"]), "VARCHAR", 1, True),
        (pa.array(["1", "2"]), pa.array([1, 2]), "VARCHAR", 0, True),
        (pa.array([1, 2], pa.int8()), pa.array([1, 2], pa.uint64()), None, 0, False),
        (pa.array([1, 2]), pa.array([1.0, 2.0]), "BIGINT", 0, False),
        (pa.array(["1", "2"]), pa.array([1.0, None]), "VARCHAR", 0, True),
        (pa.array([1, 2]), pa.array([1.5, 2.0]), None, 1, False),
        (pa.array([1, 2]), pa.array([None, None], pa.string()), "BIGINT", 0, False),
        (pa.array([], pa.string()), pa.array([1, 2]), "BIGINT", 2, False),
        (pa.array([day(0)]), pa.array(["2020-01-01 00:00:00"]), "VARCHAR", 0, True),
        (pa.array([day(0)]), pa.array([day(0).date()]), None, 0, False),
        (pa.array([], pa.int32()), pa.array([], pa.string()), "INTEGER", 0, False),
    ],
)
def test_keys_of_different_types_join(
    parent: pa.Array, child: pa.Array, dtype: str | None, dangling: int, noted: bool
) -> None:
    frames = {"p": pa.table({"id": parent}), "c": pa.table({"p": child, "same": child})}
    keys = {"p": "id", "c": {"foreign_keys": {"p": "p"}}}
    with connect(frames, keys=keys) as db:
        (key,) = db.check().foreign_keys
        assert (key.null, key.dangling) == (child.null_count, dangling)
        if dtype is not None:
            assert {db.schema["p"].column("id").dtype, db.schema["c"].column("p").dtype} == {dtype}
        assert any("compared as text" in note for note in db.notes) == noted


def test_types_that_meet_through_a_third_table_agree() -> None:
    frames = {
        "a": pa.table({"id": [1, 2]}),
        "b": pa.table({"id": [1, 2]}),
        "c": pa.table({"x": ["1", "2"]}),
    }
    keys = {"a": "id", "b": {"primary_key": "id", "foreign_keys": {"id": "a"}}, "c": {"foreign_keys": {"x": "b"}}}
    with connect(frames, keys=keys) as db:
        assert [db.schema[t].columns[0].dtype for t in "abc"] == ["VARCHAR"] * 3
        assert [key.dangling for key in db.check().foreign_keys] == [0, 0]


def test_large_tables_keep_every_row_in_place_when_columns_change_type() -> None:
    rows = 3 * 122_880  # whole row groups of DuckDB
    keys = pa.array([i * 7919 % rows for i in range(rows)])
    frames = {"p": pa.table({"id": keys.cast(pa.string())}), "c": pa.table({"p": keys.cast(pa.float64())})}
    with connect(frames, keys={"p": "id", "c": {"foreign_keys": {"p": "p"}}}) as db:
        for table, column in (("p", "id"), ("c", "p")):
            found = db.sql(f'SELECT {column} AS k FROM ({db.numbered(table)}) ORDER BY "__row"')["k"]
            assert found.combine_chunks().cast(pa.int64()).equals(keys)


def test_representations(db: Database) -> None:
    assert repr(db).splitlines() == [
        "Database frames in memory: 2 tables, 1 foreign keys",
        "  person: 3 rows, 2 columns, key (id)",
        "  visit: 4 rows, 3 columns, time at",
        "    person -> person",
    ]
    html = db._repr_html_()
    assert "<svg" in html
    assert "person: 3 rows" in html
    with connect({"<b>": FRAMES["person"]}) as odd:
        assert "<b>" not in odd._repr_html_()


def test_progress_is_shown_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    relgraph.connect(FRAMES, progress=True).close()
    assert capsys.readouterr().out == ""
    relgraph.connect(FRAMES, progress=False).close()
    assert capsys.readouterr() == ("", "")


def test_a_select_that_would_delete_leaves_the_rows() -> None:
    with relgraph.connect({"t": pa.table({"a": [1, 2]})}, progress=False) as db:
        with pytest.raises(SchemaError, match="only reads"):
            db.sql("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone")
        assert db.sql("SELECT count(*) AS n FROM t")["n"].to_pylist() == [2]


def test_a_closed_database_says_so(db: Database) -> None:
    cut = db.upto(day(2))
    asks: list[Any] = [
        lambda: db.sql("SELECT 1"),
        lambda: db.num_rows("person"),
        lambda: db.upto(day(1)),
        lambda: db.time_sql("visit"),
        db.check,
        db.validate_keys,
        lambda: relgraph.build_graph(db, progress=False),
        lambda: repr(db),
        db.cursor,
        lambda: cut.sql("SELECT 1"),
    ]
    db.close()
    db.close()
    for ask in asks:
        db._num_rows.clear()
        db._times.clear()
        with pytest.raises(AdapterError, match=r"frames in memory.*: this database is closed; connect to it again"):
            ask()


def test_a_cut_of_a_cut_ends_with_either(db: Database) -> None:
    middle = db.upto(day(2))
    inner = middle.upto(day(1))
    middle.close()
    assert db.sql("SELECT 1 AS one").num_rows == 1
    for closed in (middle, inner):
        with pytest.raises(AdapterError, match="is closed"):
            closed.sql("SELECT 1")
    another = db.upto(day(2)).upto(day(1))
    db.close()
    with pytest.raises(AdapterError, match="is closed"):
        another.cursor()

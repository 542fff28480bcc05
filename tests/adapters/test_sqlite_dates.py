"""Dates that SQLite stores as text or numbers, and tables of which only the end is read."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relgraph
from relgraph.adapters.sqlite.source import SQLiteSource
from relgraph.data.schema import Schema
from relgraph.data.source import Selection, Tail

FORMS = {  # how Python writes a moment in it, and how many microseconds it can tell apart
    "day": ("{:%Y-%m-%d}", 86_400_000_000),
    "second": ("{:%Y-%m-%d %H:%M:%S}", 1_000_000),
    "iso": ("{:%Y-%m-%dT%H:%M:%S}", 1_000_000),
    "zulu": ("{:%Y-%m-%dT%H:%M:%S}Z", 1_000_000),
    "micro": ("{:%Y-%m-%d %H:%M:%S.%f}", 1),
    "micro zulu": ("{:%Y-%m-%dT%H:%M:%S.%f}Z", 1),
}


def write(path: Path, declared: str, values: list[Any]) -> Path:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute(f"CREATE TABLE t (c {declared}, n INTEGER)")
        file.executemany("INSERT INTO t VALUES (?, ?)", [(value, i) for i, value in enumerate(values)])
        file.commit()
    return path


def stream(path: Path, tail: Any = None) -> tuple[pa.Table, int | None]:
    source = SQLiteSource(path, Selection())
    schema = Schema(source.schema())
    for table in source.read(schema, {} if tail is None else {"t": Tail("c", tail)}):
        return pa.Table.from_batches(table.batches, table.schema), table.older
    raise AssertionError


def spelled(form: str, moment: dt.datetime) -> str:
    text = FORMS[form][0].format(moment)
    return f"{moment.year:04}{text[text.index('-') :]}"  # strftime writes year 5 without zeros


moments = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))


@given(st.sampled_from(sorted(FORMS)), st.lists(moments, min_size=1, max_size=6), st.sampled_from(["DATE", "DATETIME"]))
def test_one_spelling_is_read_as_the_moments_it_means(
    tmp_path_factory: pytest.TempPathFactory, form: str, values: list[dt.datetime], declared: str
) -> None:
    texts = [spelled(form, value) for value in values]
    path = write(tmp_path_factory.getbasetemp() / "one-spelling.sqlite", declared, [*texts, None, ""])
    column = stream(path)[0]["c"]
    step = FORMS[form][1]
    whole = [value - (value - dt.datetime(1, 1, 1)) % dt.timedelta(microseconds=step) for value in values]
    assert column.cast(pa.timestamp("us")).to_pylist() == [*whole, None, None]
    days = declared == "DATE" and all(value.time() == dt.time() for value in whole)
    assert column.type == (pa.date32() if days else pa.timestamp("us"))


@pytest.mark.parametrize(
    "odd",
    [
        "2020-02-30",
        "2020-2-3",
        "0000-01-01",
        "2020-01-01 24:00:00",
        "2020-01-01 10:00",
        "2020-01-01 10:00:60",
        "2020-01-01 10:00:00+02:00",
        "2020-01-01T10:00:00Z ",
        "20200101",
        "01/02/2020",
        "10000-01-01",
        "-2020-01-01",
        "2020-01-01 10:00:00.1234567",
        "now",
    ],
)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_another_spelling_leaves_the_column_as_text(tmp_path: Path, form: str, odd: str) -> None:
    usual = spelled(form, dt.datetime(2020, 5, 6, 7, 8, 9, 10))
    for values in ([usual, odd], [odd, usual]):
        table, _ = stream(write(tmp_path / "x.sqlite", "DATETIME", values))
        assert table["c"].to_pylist() == values


def test_several_spellings_are_read_by_their_meaning(tmp_path: Path) -> None:
    texts = ["2020-01-01", "2020-01-01 10:00", "2020-01-01T10:00:00.5", "2020-01-01T10:00:00+02:00", None, " "]
    with relgraph.connect(write(tmp_path / "x.sqlite", "DATETIME", texts), times={"t": "c"}, progress=False) as db:
        hour = [0, 10, 10, 8]
        expected = [dt.datetime(2020, 1, 1, h, 0, 0, 500_000 if i == 2 else 0) for i, h in enumerate(hour)]
        assert db.sql("SELECT c FROM t ORDER BY n")["c"].to_pylist() == [*expected, None, None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2458849.5, 2458850.0, None], ["2020-01-01", "2020-01-01 12:00:00", "unknown"]),  # julian days
        ([1577836800, 1577836801, ""], ["2020-01-01", "2020-01-01 00:00:01", "unknown"]),
        ([1577836800.25, None], ["2020-01-01 00:00:00.250000", "unknown"]),
        ([1577836800123, None], ["2020-01-01 00:00:00.123000", "unknown"]),
        ([20200101, 20200229], ["2020-01-01", "2020-02-29"]),
        ([1999, 2020], ["1999-01-01", "2020-01-01"]),
    ],
)
def test_numbers_as_times(tmp_path: Path, values: list[Any], expected: list[str]) -> None:
    from relgraph.data.time import format_time

    with relgraph.connect(write(tmp_path / "x.db", "DATETIME", values), times={"t": "c"}, progress=False) as db:
        time = relgraph.build_graph(db, progress=False).nodes["t"].time
        assert time is not None
        assert [format_time(value) for value in time.tolist()] == expected


@given(st.sampled_from(sorted(FORMS)), st.lists(moments, min_size=1, max_size=8), st.data())
def test_a_tail_is_the_rows_from_a_moment_on(
    tmp_path_factory: pytest.TempPathFactory, form: str, values: list[dt.datetime], data: st.DataObject
) -> None:
    texts: list[Any] = [spelled(form, value) for value in values]
    path = write(tmp_path_factory.getbasetemp() / "tail.sqlite", "DATETIME", [*texts, None, ""])
    whole = stream(path)[0]
    last = data.draw(st.sampled_from([value for value in whole["c"].to_pylist() if value is not None]))
    tail, older = stream(path, last)
    expected = [row for row in whole.to_pylist() if row["c"] is None or row["c"] >= last]
    assert tail.to_pylist() == expected
    assert older == whole.num_rows - len(expected)
    assert tail.schema == whole.schema


@pytest.mark.parametrize(
    ("declared", "values", "last", "rows", "older"),
    [
        ("INTEGER", [5, 7, None, -3, ""], 5, [0, 1, 2, 4], 1),
        ("REAL", [0.5, float("inf"), float("-inf"), 0.25], 0.5, [0, 1], 2),
        ("DATE", ["2020-01-01", "2021-01-01"], dt.date(2021, 1, 1), [1], 1),
        ("DATE", ["2020-01-01 00:00:00", "2021-01-01 00:00:00"], dt.date(2021, 1, 1), [1], 1),
        # what cannot be told from the text alone is read as a whole
        ("DATE", ["2020-01-01", "2021-01-01"], dt.datetime(2020, 1, 1, 5), [0, 1], None),
        ("DATETIME", ["2020-01-01 00:00:00"], dt.datetime(2020, 1, 1, 0, 0, 0, 1), [0], None),
        ("DATETIME", ["2020-01-01 00:00:00", "2020-01-02T00:00:00"], dt.datetime(2020, 1, 2), [0, 1], None),
        ("TEXT", ["2020-01-01", "2020-01-02"], dt.date(2020, 1, 2), [0, 1], None),
        ("DATETIME", [1577836800, "2020-01-02"], 1577836800, [0, 1], None),
    ],
)
def test_tails_of_every_kind(
    tmp_path: Path, declared: str, values: list[Any], last: Any, rows: list[int], older: int | None
) -> None:
    tail, found = stream(write(tmp_path / "x.db", declared, values), last)
    assert tail["n"].to_pylist() == rows
    assert found == older


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "old", "new"),
    [
        ("DATETIME", ["2020-01-01 10:00:00", "2020-01-02 10:00:00", None], "2020-01-03 00:00:00"),
        ("DATE", ["2020-01-01", "2020-01-02", ""], "2020-01-02"),
        ("INTEGER", [5, 7, 6], 7),
        ("REAL", [0.5, 1.5], 2.25),
    ],
)
def test_a_refresh_reads_only_what_is_new(tmp_path: Path, declared: str, old: list[Any], new: Any) -> None:
    path = write(tmp_path / "x.db", declared, old)
    given: dict[str, Any] = {"times": {"t": "c"}, "snapshot": tmp_path / "kept.duckdb", "progress": False}
    relgraph.connect(path, **given).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("INSERT INTO t VALUES (?, 99)", [new])
        file.commit()
    with relgraph.connect(path, **given, refresh=True) as db:
        assert db.changes == ("t: 1 new rows",)
        with relgraph.connect(path, times={"t": "c"}, progress=False) as fresh:
            rows = "SELECT * FROM t ORDER BY n"
            assert db.sql(rows) == fresh.sql(rows)
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM t WHERE n = 0")
        file.commit()
    with relgraph.connect(path, **given, refresh=True) as db:
        assert "t: read again" in db.changes[0]
        assert 0 not in db.sql("SELECT n FROM t")["n"].to_pylist()


def test_duckdb_reads_the_same_moments(tmp_path: Path) -> None:
    """What the loader would make of the same text."""
    texts = ["0001-01-01 00:00:00.000001", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"]
    table, _ = stream(write(tmp_path / "x.db", "TIMESTAMP", texts))
    for text, moment in zip(texts, table["c"].to_pylist(), strict=True):
        assert duckdb.execute("SELECT CAST(? AS TIMESTAMP)", [text]).fetchall() == [(moment,)]

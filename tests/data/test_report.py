"""The integrity report against hand-counted databases and brute force."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.data.database import Database


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def days(*numbers: int | None) -> pa.Array:
    moment = dt.datetime(2020, 1, 1)
    return pa.array([None if n is None else moment + dt.timedelta(days=n) for n in numbers], pa.timestamp("us"))


FRAMES = {
    "person": pa.table({"id": [1, 2, 2, None], "since": days(0, 5, 5, None), "born": days(0, 1, 2, 3)}),
    "order": pa.table(
        {"a": [1, 1, 2, None], "b": ["x", "y", None, "z"], "person": [1, 2, 9, None], "at": days(1, 2, 3, 4)}
    ),
    "note": pa.table(
        {
            "a": [1, 1, 1, None, 7],
            "b": ["x", "y", "q", "x", None],
            "text": ["2020-01-01", " 2020-01-02 10:00:00 ", "", None, "2020-01-03T00:00:00Z"],
            "word": ["2020-01-01", "x", None, None, None],
            "nothing": pa.nulls(5, pa.string()),
            "never": pa.nulls(5, pa.date32()),
            "day": pa.array([dt.date(2020, 1, 1)] * 5),
        }
    ),
    "loose": pa.table({"v": [1]}),
    "words": pa.table({"at": ["yesterday"]}),
}
KEYS = {
    "person": "id",
    "order": {"primary_key": ("a", "b"), "foreign_keys": {"person": "person"}},
    "note": {"foreign_keys": {("a", "b"): "order"}},
}
TIMES = {"person": "since", "order": "at", "words": "at"}


@pytest.fixture(scope="module")
def report() -> Any:
    with connect(FRAMES, keys=KEYS, times=TIMES) as db:
        yield db.check()


def test_tables(report: Any) -> None:
    person, order, note, loose, words = report.tables
    assert (person.rows, person.duplicate_keys, person.null_keys, person.without_time) == (4, 1, 1, 1)
    assert person.time_range == ("2020-01-01", "2020-01-06")
    assert person.time_candidates == ()
    assert (order.duplicate_keys, order.null_keys, order.without_time) == (0, 2, 0)
    assert note.time_candidates == ("text",)  # all days are the same
    assert (note.time_column, note.time_range, note.without_time) == (None, None, 0)
    assert [table.loose for table in report.tables] == [False, False, False, True, True]
    assert loose.time_candidates == ()
    assert "words.at cannot be the time column: 'yesterday' is no date" in words.time_problem
    assert words.time_range is None


def test_foreign_keys(report: Any) -> None:
    to_person, to_order = report.foreign_keys
    assert (to_person.table, to_person.key, to_person.target) == ("order", "person", "person")
    # person 2 stands twice, both later than the second order
    assert (to_person.rows, to_person.null, to_person.dangling, to_person.future) == (4, 1, 1, 2)
    assert (to_person.null_share, to_person.dangling_share) == (0.25, 0.25)
    # (1, q) dangles; (None, x) and (7, None) are NULL; notes have no time
    assert (to_order.key, to_order.rows, to_order.null, to_order.dangling, to_order.future) == ("a+b", 5, 2, 1, None)


def test_problems_name_what_to_look_at(report: Any) -> None:
    text = "\n".join(report.problems)
    for sentence in (
        "person: 1 values of the primary key (id) stand more than once",
        "order: 2 rows have no primary key",
        "person: 1 rows have no since",
        "note: no time is declared; candidates: text",
        "loose: hangs loose",
        "order.person -> person: 1 rows (25.0%) refer to a row that does not exist",
        "order.person -> person: 2 rows are earlier than the row they refer to",
        "words.at cannot be the time column",
        "note.a+b -> order: note has no time of its own, so a graph gives its rows that of the order",
    ):
        assert sentence in text
    assert len(report.problems) == 12


def test_text_json_and_html(report: Any) -> None:
    lines = str(report).splitlines()
    assert lines[0] == "frames in memory: 5 tables, 15 rows, 2 foreign keys"
    assert lines[2].split() == ["table", "rows", "primary", "key", "duplicate", "NULL", "no", "time", "time"]
    assert any(line.split()[:4] == ["person", "4", "id", "1"] for line in lines)
    value = report.to_dict()
    assert json.loads(json.dumps(value)) == value
    assert value["foreign_keys"][0]["dangling_share"] == 0.25
    assert value["tables"][0]["primary_key"] == ["id"]
    assert value["problems"] == list(report.problems)
    html = report._repr_html_()
    assert html.count("<table>") == 3  # tables, keys, and the times that are not declared
    assert "refer to a row that does not exist" in html
    assert "-&gt;" in html


def test_a_sound_database_has_no_problems() -> None:
    frames = {"p": pa.table({"id": [1], "at": days(0)}), "c": pa.table({"p": [1], "at": days(0)})}
    keys = {"p": "id", "c": {"foreign_keys": {"p": "p"}}}
    with connect(frames, keys=keys, times={"p": "at", "c": "at"}) as db:
        report = db.check()
        assert report.problems == ()
        assert "to look at" not in str(report)
        assert report.foreign_keys[0].future == 0


def test_notes_are_shown() -> None:
    with connect({"t": pa.table({"rowid": [1]})}) as db:
        assert db.check().notes == db.notes
        assert "notes:\n  - column t.rowid is called 'rowid_1'" in str(db.check())
        assert "rowid_1" in db.check()._repr_html_()


def test_a_long_text_column_that_ends_in_no_date() -> None:
    dates = [f"2020-01-{1 + i % 28:02}" for i in range(300)]
    with connect({"t": pa.table({"good": dates, "bad": [*dates[1:], "soon"]})}) as db:
        assert db.check().tables[0].time_candidates == ("good",)


def test_a_cut_is_reported_as_cut() -> None:
    frames = {"p": pa.table({"id": [1, 2], "at": days(0, 9)}), "c": pa.table({"p": [1, 2], "at": days(1, 2)})}
    keys = {"p": "id", "c": {"foreign_keys": {"p": "p"}}}
    with connect(frames, keys=keys, times={"p": "at", "c": "at"}) as db:
        assert (db.check().foreign_keys[0].dangling, db.check().foreign_keys[0].future) == (0, 1)
        report = db.upto("2020-01-05").check()
        assert (report.foreign_keys[0].dangling, report.foreign_keys[0].future) == (1, 0)
        assert report.tables[0].rows == 1


small = st.lists(st.tuples(st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, "x", "y"])), max_size=8)


@settings(max_examples=settings.default.max_examples // 8)  # a database each
@given(small, small)
def test_counts_equal_brute_force(parents: list[Any], children: list[Any]) -> None:
    def frame(rows: list[Any]) -> pa.Table:
        return pa.table(
            {"a": pa.array([r[0] for r in rows], pa.int64()), "b": pa.array([r[1] for r in rows], pa.string())}
        )

    keys = {"p": ("a", "b"), "c": {"foreign_keys": {("a", "b"): "p"}}}
    with connect({"p": frame(parents), "c": frame(children)}, keys=keys) as db:
        report = db.check()
    whole = [row for row in parents if None not in row]
    assert report.tables[0].duplicate_keys == sum(whole.count(row) > 1 for row in set(whole))
    assert report.tables[0].null_keys == len(parents) - len(whole)
    (key,) = report.foreign_keys
    assert key.null == sum(None in row for row in children)
    assert key.dangling == sum(None not in row and row not in whole for row in children)

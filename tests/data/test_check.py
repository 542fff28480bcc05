"""What the report says beyond keys and orphans: times that mislead, labels given away, rows that repeat."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
import torch

import relgraph
from relgraph.data.check.key_words import words
from relgraph.data.check.periods import end_of
from relgraph.data.check.report import Report
from relgraph.data.check.time_choice import name_says
from relgraph.data.check.time_columns import time_words
from relgraph.data.database import Database


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def check(frames: dict[str, Any], *, now: Any = "2024-01-01", **given: Any) -> Report:
    with connect({name: pa.table(columns) for name, columns in frames.items()}, **given) as db:
        return db.check(now=now)


def days(*numbers: int | None) -> pa.Array:
    moment = dt.datetime(2020, 1, 1)
    return pa.array([None if n is None else moment + dt.timedelta(days=n) for n in numbers], pa.timestamp("us"))


def said(report: Report, *parts: str) -> bool:
    return any(all(part in sentence for part in parts) for sentence in report.problems)


def test_rows_of_the_future_and_of_year_9999_are_counted() -> None:
    never = dt.datetime(9999, 12, 31)
    at = pa.array([dt.datetime(2020, 1, 1), dt.datetime(2024, 1, 2), never, never, None], pa.timestamp("us"))
    frames = {"t": {"id": range(5), "at": at}}
    table = check(frames, keys={"t": "id"}, times={"t": "at"}).tables[0]
    assert (table.future_rows, table.endless_rows, table.without_time) == (3, 2, 1)
    report = check(frames, keys={"t": "id"}, times={"t": "at"}, now="2024-06-01")
    assert report.tables[0].future_rows == 2
    assert said(report, "t: 2 rows have a at after 2024-06-01, 2 of them in year 9000 or later", "correct them")


def test_intervals_that_end_before_they_start_are_counted() -> None:
    frames = {"t": {"id": range(3), "a": days(0, 5, 9), "b": days(1, 2, None)}}
    report = check(frames, keys={"t": "id"}, times={"t": ("a", "b")})
    assert (report.tables[0].end_column, report.tables[0].backward_rows) == ("b", 1)
    assert said(report, "t: 1 rows have a b before their a")
    assert "a until b: 2020-01-01" in str(report)


def test_one_time_for_all_rows_says_nothing() -> None:
    report = check({"t": {"id": range(3), "at": days(4, 4, 4)}}, keys={"t": "id"}, times={"t": "at"})
    assert report.tables[0].same_time
    assert said(report, "t: all rows have one at", "times={'t': None}")
    assert not check({"t": {"id": [1], "at": days(4)}}, keys={"t": "id"}, times={"t": "at"}).tables[0].same_time


def test_columns_later_than_their_row_are_named_and_planned_ones_are_not() -> None:
    frames = {
        "orders": {
            "id": range(4),
            "ordered_at": days(0, 1, 2, 3),
            "shipped_at": days(1, 2, 3, None),
            "due_date": days(9, 9, 9, 9),
            "printed_at": days(0, 0, 0, 4),
        }
    }
    for times in ({"orders": "ordered_at"}, None):  # declared, or proposed
        report = check(frames, keys={"orders": "id"}, times=times)
        assert [(c.column, c.share) for c in report.tables[0].later_columns] == [("shipped_at", 1.0)]
        assert said(report, "orders.shipped_at is later than ordered_at in 100.0% of the rows", "tells the future")


def test_rows_that_repeat_are_counted_only_where_no_key_tells_them_apart() -> None:
    frames = {"t": {"a": [1, 1, 1, 2], "b": ["x", "x", "x", None]}, "u": {"u_id": [1, 2], "b": ["x", "x"]}}
    report = check(frames)
    assert [table.duplicate_rows for table in report.tables] == [2, None]
    assert report.tables[1].candidate_keys == ("u_id",)
    assert said(report, "t: 2 rows equal another row in every column")


def test_empty_tables_and_ambiguous_targets_are_named() -> None:
    frames = {
        "p": {"id": [1, 2, 3], "code": ["a", "a", "b"]},
        "c": {"id": [1], "code": ["a"]},
        "e": {"id": pa.array([], pa.int64())},
    }
    report = check(frames, keys={"p": "id", "c": {"primary_key": "id", "foreign_keys": {"code": ("p", ("code",))}}})
    assert report.foreign_keys[0].ambiguous == 1
    assert said(report, "c.code -> p: 1 values stand more than once in p")
    assert said(report, "e: has no rows")


def test_times_that_need_a_conversion_come_with_the_query_that_makes_it() -> None:
    columns = {"id": range(3), "date": [930705, 931107, 941231]}
    report = check({"loan": columns})
    (time,) = report.proposals.times  # type: ignore[union-attr]
    assert (time.chosen, time.conversion is not None, report.proposed_times) == (True, True, {})
    (sentence,) = [s for s in report.problems if "converted" in s or "convert" in s]
    query = sentence.partition("tables={'*': None, 'loan': '")[2].partition("'} or a view")[0].replace("\\'", "'")
    with connect({"loan": pa.table(columns)}, tables={"loan": query}, times={"loan": "date"}) as db:
        assert db.check().tables[0].time_range == ("1993-07-05", "1994-12-31")


def test_times_of_several_tables_are_made_readable_at_once() -> None:
    frames = {
        "loan": pa.table({"id": range(3), "date": [930705, 931107, 941231]}),
        "card": pa.table({"id": range(3), "issued": ["931107 00:00:00", "941201 00:00:00", "950315 00:00:00"]}),
        "sale": pa.table({"id": range(3), "sold_at": days(1, 2, 3)}),
    }
    with connect(frames) as db:
        report = db.check()
    assert said(report, "these 2 times at once", "tables=report.proposed_tables")
    with connect(frames, tables=report.proposed_tables) as db:
        again = db.check()
        assert again.proposed_tables is None
    assert again.proposed_times == {"loan": "date", "card": "issued", "sale": "sold_at"}


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["12/31/19 10:15", "02/01/20 00:00", None], "2019-12-31 10:15:00"),
        (["31.12.2019", "", "01.02.2020"], "2019-12-31"),
        (["12/31/2019 10:15", "02/01/2020 00:00", None], "2019-12-31 10:15:00"),
        (["931107 00:00:00", "941201 00:00:00", "950315 00:00:00"], "1993-11-07"),
        (["Mar 04, 2020", "Apr 05, 2020", "Dec 31, 2021"], "2020-03-04"),
    ],
)
def test_dates_in_other_spellings_are_read_after_the_conversion_that_is_proposed(values: list[Any], first: str) -> None:
    frame = pa.table({"id": range(3), "issued": values})
    with connect({"card": frame}) as db:
        (time,) = db.check().proposals.times  # type: ignore[union-attr]
    query = f"SELECT * REPLACE ({time.conversion} AS issued) FROM card"
    with connect({"card": frame}, tables={"card": query}, times={"card": "issued"}) as db:
        span = db.check().tables[0].time_range
    assert span is not None
    assert span[0] == first


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"birth_date": days(0, 1, 2), "hired": days(5, 6, 7)}, "hired"),
        ({"updated_at": days(5, 6, 7), "created_at": days(1, 2, 3)}, "created_at"),
        ({"dob": days(0, 1, 2)}, None),
        ({"last_update": days(0, 1, 2)}, None),
        ({"created_at": days(3, 3, 3), "date": days(1, 2, 3)}, "date"),
        ({"created_at": days(1, None, None), "logged_at": days(1, 2, 3)}, "logged_at"),
        ({"ts": [1_600_000_000, 1_600_000_100, 1_600_000_200]}, "ts"),
        ({"ts": [1_600_000_000_000, 1_600_000_000_100, 1_600_000_000_200]}, "ts"),
        ({"amount": [1_600_000_000, 1_600_000_100, 1_600_000_200]}, None),
        ({"day": [20240101, 20240131, 20240229]}, "day"),
        ({"code": [20240101, 20240132, 20240229]}, None),
        ({"when": ["2024-01-01", "", "2024-01-31 10:00"]}, "when"),
        ({"year": [1999, 2004, 2011]}, "year"),
        ({"valid_from": days(0, 1, 2), "valid_until": days(5, None, 7)}, ("valid_from", "valid_until")),
        ({"start_ts": days(0, 1, 2), "end_ts": days(5, 1, 7)}, ("start_ts", "end_ts")),
        ({"start_ts": days(5, 6, 7), "end_ts": days(0, 1, 2)}, "start_ts"),
    ],
)
def test_the_time_of_a_table(columns: dict[str, Any], chosen: Any) -> None:
    report = check({"entries": {"id": range(3), **columns}})
    assert report.proposed_times == ({} if chosen is None else {"entries": chosen})


def test_names_are_read_as_a_person_reads_them() -> None:
    assert words("HTTPServer_URLId") == ("http", "server", "url", "id")
    assert time_words("l_shipdate") == ("l", "ship", "date")
    assert time_words("last_update") == ("last", "update")
    assert end_of("hire_date", ["id", "termination_date"]) == ("termination_date", 0.1)
    assert end_of("created_at", ["ended_at"]) is None
    assert name_says("orders", "order_date")[0] > name_says("orders", "created_at")[0]
    assert name_says("returns", "returned_on")[0] == 1.0


@dataclass
class _Seeds:
    node: torch.Tensor
    time: torch.Tensor
    label: torch.Tensor


@dataclass
class _Task:
    entity_table: str
    found: _Seeds

    def seeds(self, db: Database, split: str) -> _Seeds:
        assert split == "train"
        return self.found


def test_columns_that_give_the_label_away_are_named() -> None:
    n = 40
    label = [i % 2 for i in range(n)]
    frames = {
        "person": {
            "id": range(100, 100 + n),
            "churned": [bool(x) for x in label],
            "status": ["left" if x else "here" for x in label],
            "city": ["a" if i % 3 else "b" for i in range(n)],
            "noise": [float(i * 7 % 11) for i in range(n)],
        },
        "event": {
            "id": range(n),
            "person_id": range(100, 100 + n),
            "flag": label,
            "later_flag": label,
            "at": days(*(i % 5 for i in range(n))),
        },
        "verdict": {"id": range(n), "person_id": range(100, 100 + n), "flag": label, "at": days(*([900] * n))},
    }
    keys = {
        "person": "id",
        "event": {"primary_key": "id", "foreign_keys": {"person_id": "person"}},
        "verdict": {"primary_key": "id", "foreign_keys": {"person_id": "person"}},
    }
    moment = 1_600_000_000_000_000  # after the events, before the verdicts
    seeds = _Seeds(torch.arange(n), torch.full((n,), moment), torch.tensor(label))
    tables = {name: pa.table(columns) for name, columns in frames.items()}
    with connect(tables, keys=keys, times={"event": "at", "verdict": "at"}) as db:
        report = db.check(_Task("person", seeds), propose=False)
    found = {(leak.table, leak.column): leak.how for leak in report.labels}
    assert found.pop(("person", "churned")) == "equal"
    assert found.pop(("person", "status")) == "one to one"
    assert set(found) == {
        ("event", f"{function}({name})") for function in ("min", "max", "sum", "avg") for name in ("flag", "later_flag")
    }
    assert said(report, "person.status is one to one to the label in 40 rows")


def test_a_number_that_is_the_label_in_another_unit_is_named() -> None:
    n = 30
    frames = {"house": pa.table({"id": range(n), "cents": [i * 100 + 7 for i in range(n)], "rooms": [3] * n})}
    seeds = _Seeds(torch.arange(n), torch.zeros(n, dtype=torch.int64), torch.arange(n).double() * 2.5)
    with connect(frames, keys={"house": "id"}) as db:
        (leak,) = db.check(_Task("house", seeds)).labels
    assert (leak.column, leak.how, leak.rows) == ("cents", "correlated", n)


def test_without_proposals_only_what_is_declared_is_checked() -> None:
    frames = {"p": pa.table({"id": [1, 2], "at": days(0, 1)}), "c": pa.table({"p_id": [1, 2]})}
    with connect(frames) as db:
        report = db.check(propose=False)
    assert (report.proposals, report.proposed_keys, report.proposed_times) == (None, {}, {})
    assert report.declarations() == ""
    assert "proposed" not in str(report)


def test_every_form_of_the_report_holds_the_same_and_no_name_escapes_into_the_page() -> None:
    evil = '<script>alert("x")</script>'
    frames = {evil: {"id": [1, 2], "at": days(0, 9)}, "other": {"id": [5, 6], "at": days(0, 9)}}
    report = check(frames)
    value = json.loads(report.to_json())
    assert value == report.to_dict()
    assert value["moment"] == "2024-01-01"
    assert [key["table"] for key in value["proposals"]["primary_keys"]] == list(frames)
    page = report.to_html()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 2  # as declared, and with the proposals
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    for sentence in report.problems:
        assert sentence in str(report)


def test_nothing_of_the_same_day_is_later_than_a_day() -> None:
    noon = [day + dt.timedelta(hours=12) for day in days(0, 1, 2, 3)]
    frames = {
        "stay": {"stay_id": range(4), "admitted_at": noon},
        "note": {"note_id": range(4), "stay_id": range(4), "noted_on": days(0, 1, 2, 2), "written_at": noon},
    }
    keys = {"stay": "stay_id", "note": {"primary_key": "note_id", "foreign_keys": {"stay_id": "stay"}}}
    report = check(frames, keys=keys, times={"stay": "admitted_at", "note": "noted_on"})
    assert report.foreign_keys[0].future == 1
    assert report.tables[1].later_columns == ()


def test_columns_later_than_their_row_stand_in_one_sentence() -> None:
    later = {"closed_at": days(5, 6, 7, 8), "updated_at": days(6, 7, 8, 9)}
    report = check(
        {"t": {"id": range(4), "opened_at": days(0, 1, 2, 3), **later}}, keys={"t": "id"}, times={"t": "opened_at"}
    )
    (sentence,) = [sentence for sentence in report.problems if "later than" in sentence]
    assert sentence == (
        "t: 2 columns are later than opened_at in most rows, closed_at (100.0%), updated_at (100.0%): as features they "
        "tell the future; leave them out, build_graph(db, types={'t.closed_at': 'identifier', 't.updated_at': "
        "'identifier'}), or declare closed_at as the end: times={'t': ('opened_at', 'closed_at')}"
    )


def test_a_zero_that_refers_to_nothing_is_named() -> None:
    frames = {"p": {"id": [1, 2]}, "c": {"id": range(5), "p": [0, 0, 1, 9, None]}}
    report = check(frames, keys={"p": "id", "c": {"primary_key": "id", "foreign_keys": {"p": "p"}}})
    assert (report.foreign_keys[0].dangling, report.foreign_keys[0].zeros) == (3, 2)
    assert said(report, "does not exist (2 of them hold 0, which mostly means none); they get no edge")


def test_the_times_that_rows_inherit_stand_in_one_sentence() -> None:
    frames = {
        "a": {"id": range(2), "at": days(0, 1)},
        "b": {"id": range(2), "at": days(0, 1)},
        "c": {"a": range(2), "b": range(2)},
    }
    keys = {"a": "id", "b": "id", "c": {"foreign_keys": {"a": "a", "b": "b"}}}
    report = check(frames, keys=keys, times={"a": "at", "b": "at"})
    assert said(
        report,
        "c: has no time of its own, so a graph gives its rows the latest time of those they refer to: a (a), b (b)",
    )

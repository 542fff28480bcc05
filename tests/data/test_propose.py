"""Proposed keys and times against what a person would declare, on public databases, look-alikes and invented ones."""

from __future__ import annotations

import importlib
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.data.check.proposals import Proposals
from relgraph.data.check.propose import propose
from relgraph.data.check.report import Report
from relgraph.data.database import Database
from tests.data.schemas_a import CASES

for part in "bcdefg":
    importlib.import_module(f"tests.data.schemas_{part}")


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def references(found: Proposals) -> set[str]:
    return {f"{key.table}.{key.name} -> {key.target}" for key in found.foreign_keys}


def declared(db: Database) -> set[str]:
    return {f"{table.name}.{key.name} -> {key.table}" for table, key in db.schema.foreign_keys}


def times(found: Proposals) -> dict[str, Any]:
    return {
        time.table: time.column if time.end_column is None else (time.column, time.end_column)
        for time in found.times
        if time.chosen
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_keys_and_times_are_those_a_person_would_declare(name: str) -> None:
    """Precision and recall are both 1 on these; a miss is a rule to think about, not a floor to lower."""
    case = CASES[name]()
    with connect(case.frames) as db:
        report = db.check()
        found = report.proposals
        assert found is not None
        assert references(found) - case.maybe == case.foreign - case.maybe
        assert {key.table: key.columns for key in found.primary_keys} == dict(case.primary)
        assert times(found) == dict(case.times)
        for key in found.foreign_keys:
            assert 0 < key.score < 1
            assert 0 <= key.matched <= key.distinct <= key.rows
            assert (key.dangling == 0) == (key.matched == key.distinct)
            assert key.reasons
    with connect(case.frames, keys=report.proposed_keys, times=report.proposed_times) as db:
        db.validate_keys()
        again = db.check()
        assert again.proposals is not None
        assert (again.proposed_keys, again.proposals.foreign_keys) == ({}, ())
        assert [key.dangling for key in again.foreign_keys] == [key.dangling for key in found.foreign_keys]
        assert set(again.proposed_times) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sakila", "web_shop", "tpch", "human_resources"])
def test_what_is_declared_already_is_not_proposed_and_the_rest_still_is(name: str) -> None:
    case = CASES[name]()
    with connect(case.frames) as db:
        keys = db.check().proposed_keys
    half: dict[str, Any] = {table: entry for i, (table, entry) in enumerate(keys.items()) if i % 2}
    for table, entry in half.items():
        if isinstance(entry, dict):
            known = {columns: target for columns, target in entry["foreign_keys"].items() if target in half}
            half[table] = {**entry, "foreign_keys": known}
    with connect(case.frames, keys=half) as db:
        known, found = declared(db), propose(db)
        assert {key.table for key in found.primary_keys}.isdisjoint(half)
        assert known.isdisjoint(references(found))
        assert known | references(found) == case.foreign | (known & case.maybe)


def from_sqlite(path: Path) -> dict[str, pd.DataFrame]:
    """The tables of a SQLite file without the keys it declares."""
    frames = {}
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (name,) in names.fetchall():
            columns = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
            dates = [column[1] for column in columns if column[2] in ("DATE", "DATETIME", "TIMESTAMP")]
            frames[name] = pd.read_sql(f'SELECT * FROM "{name}"', connection, parse_dates=dates)
    connection.close()
    return frames


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("chinook", {"Employee": "HireDate", "Invoice": "InvoiceDate"}),
        ("northwind", {"Employees": "HireDate", "Orders": "OrderDate"}),
    ],
)
def test_every_key_that_a_real_database_declares_is_found_without_it(
    data_dir: Path, name: str, time: dict[str, str]
) -> None:
    path = data_dir / "db" / f"{name}.sqlite"
    with connect(path) as db, connect(from_sqlite(path)) as bare:
        found = propose(bare)
        assert references(found) == declared(db)
        assert {key.table: set(key.columns) for key in found.primary_keys} == {
            table.name: set(table.primary_key) for table in db.schema
        }
        assert times(found) == time
        assert propose(db).foreign_keys == ()


@pytest.mark.data
def test_formula_1_files_have_thirteen_foreign_keys(data_dir: Path) -> None:
    with connect(data_dir / "db" / "f1") as db:
        report = db.check()
    assert report.proposals is not None
    results = {f"{t}.{k}Id -> {k}s" for t in ("results", "qualifying") for k in ("race", "driver", "constructor")}
    assert references(report.proposals) == results | {
        "races.circuitId -> circuits",
        "driver_standings.raceId -> races",
        "driver_standings.driverId -> drivers",
        *(f"constructor_{t}.{k}Id -> {k}s" for t in ("results", "standings") for k in ("race", "constructor")),
    }
    assert len(report.proposals.primary_keys) == len(db.schema) == 9
    assert report.proposed_times == {"races": "date"}
    assert report.proposed_keys["results"]["primary_key"] == "resultId"


@pytest.mark.slow
def test_the_same_database_gives_the_same_proposals() -> None:
    for name in ("web_shop", "soccer"):
        case = CASES[name]()
        with connect(case.frames) as db, connect(dict(case.frames)) as again:
            assert propose(db) == propose(again)


def test_small_numbers_that_lie_in_every_key_are_no_references() -> None:
    frames = {
        name: pa.table({"id": range(1, 501), "label": [f"x{i}" for i in range(500)]}) for name in ("teams", "cities")
    }
    numbers = {
        name: [1 + i * 7 % 90 for i in range(400)]
        for name in ("rating", "age", "quantity", "year", "rank", "orders", "num_teams", "size_code", "zone_id")
    }
    frames["people"] = pa.table({"id": range(1000, 1400), **numbers})
    with connect(frames) as db:
        assert propose(db).foreign_keys == ()


def test_an_accidentally_unique_column_is_no_key() -> None:
    frame = pa.table(
        {
            "price": [1.5, 2.5, 3.25, 9.0, 7.75],
            "happened": pa.array([86_400_000_000 * i for i in (3, 1, 4, 15, 9)], pa.timestamp("us")),
            "title": ["a b", "c d", "e f", "g h", "i j"],
            "population": [812, 99, 4, 17, 5],
        }
    )
    with connect({"towns": frame}) as db:
        assert propose(db).primary_keys == ()


def test_two_tables_never_refer_to_each_other_by_their_own_keys() -> None:
    frames = {name: pa.table({"id": range(1, 90), f"{name}_name": ["x"] * 89}) for name in ("a1", "b1", "c1")}
    frames["user_details"] = pa.table({"user_id": range(1, 81), "bio": ["y"] * 80})
    frames["users"] = pa.table({"user_id": range(1, 90), "login": [f"u{i}" for i in range(89)]})
    with connect(frames) as db:
        found = propose(db)
    assert references(found) == {"user_details.user_id -> users"}


def test_numbers_held_as_text_join_as_text_and_dangling_ones_are_counted() -> None:
    frames = {
        "person": pa.table({"person_id": range(100, 200)}),
        "visit": pa.table({"visit_id": range(300), "person_id": [str(100 + i % 110) for i in range(299)] + [None]}),
    }
    with connect(frames) as db:
        (key,) = propose(db).foreign_keys
        keys = db.check().proposed_keys
    assert (key.rows, key.distinct, key.matched, key.null) == (300, 110, 100, 1)
    assert key.dangling == sum(100 + i % 110 >= 200 for i in range(299))
    with connect(frames, keys=keys) as db:
        assert [(link.null, link.dangling) for link in db.check().foreign_keys] == [(1, key.dangling)]


@pytest.mark.slow
def test_declarations_are_a_file_for_the_shell(tmp_path: Path) -> None:
    from relgraph.cli.sources import open_database

    for name in ("web_shop", "employees"):
        case = CASES[name]()
        with connect(case.frames) as db:
            report: Report = db.check()
        folder = tmp_path / name
        folder.mkdir()
        for table, frame in case.frames.items():
            pq.write_table(frame, folder / f"{table}.parquet")
        file = tmp_path / f"{name}.toml"
        file.write_text(report.declarations(), encoding="utf-8")
        assert set(tomllib.loads(report.declarations())) == {"keys", "times"}
        with (
            open_database(str(folder), file, None, None, progress=False) as read,
            connect(case.frames, keys=report.proposed_keys, times=report.proposed_times) as given,
        ):
            assert {table.name: table for table in read.schema} == {table.name: table for table in given.schema}


def test_a_year_that_is_part_of_a_key_is_the_time_and_not_that_of_the_parent() -> None:
    players = [f"p{i:03}" for i in range(60)]
    seasons = [(player, 1990 + year) for player in players for year in range(10)]
    frames = {
        "players": pa.table({"playerID": players, "debut": pd.date_range("1989-05-01", periods=60)}),
        "batting": pa.table({"playerID": [p for p, _ in seasons], "yearid": [y for _, y in seasons]}),
    }
    with connect(frames) as db:
        found = propose(db)
    assert {key.table: key.columns for key in found.primary_keys}["batting"] == ("playerID", "yearid")
    assert times(found) == {"players": "debut", "batting": "yearid"}


def test_a_code_that_repeats_in_another_table_is_referred_to_wherever_it_stands() -> None:
    codes = [f"B{i:06}" for i in range(300)]
    frames = {
        "meta": pa.table({"title": [f"a title {i}" for i in range(300)], "parent_asin": codes}),
        "reviews": pa.table({"stars": [i % 5 for i in range(900)], "parent_asin": codes * 3}),
    }
    with connect(frames) as db:
        found = propose(db)
    assert references(found) == {"reviews.parent_asin -> meta"}
    assert [(key.table, key.columns) for key in found.primary_keys] == [("meta", ("parent_asin",))]


def test_a_role_with_a_few_values_that_are_missing_still_refers() -> None:
    codes = [f"{chr(65 + i % 26)}{chr(65 + i // 26)}X" for i in range(400)]
    here, missing = codes[:100], ["QQQ", "RRR", "SSS", "TTT"]
    frames = {
        "airports": pa.table({"faa": codes, "name": [f"Airport {i}" for i in range(400)]}),
        "flights": pa.table({"dest": (here + missing) * 5, "delay": [i % 7 for i in range(520)]}),
    }
    with connect(frames) as db:
        (link,) = propose(db).foreign_keys
    assert (link.name, link.target, link.distinct, link.matched) == ("dest", "airports", 104, 100)

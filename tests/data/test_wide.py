"""Tables of 2,000 columns: what a column becomes and what it costs does not depend on how many stand beside it."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

import relgraph
from relgraph.data import at_hand
from relgraph.data.database import Database
from relgraph.data.schema import SemanticType
from relgraph.data.sql import quote
from tests.data.fake import rows

ROWS = 60
START = datetime.date(2020, 1, 1)
KINDS: dict[str, tuple[SemanticType, str, Callable[[int, int], Any]]] = {
    "amount": (SemanticType.NUMERICAL, "REAL", lambda row, i: (row * (i + 7) % 997) / 8),
    "size": (SemanticType.NUMERICAL, "INTEGER", lambda row, i: row * row % (401 + i) * 100),
    "class": (SemanticType.CATEGORICAL, "TEXT", lambda row, i: f"kind {(row + i) % 4}"),
    "day": (SemanticType.TIMESTAMP, "DATE", lambda row, i: START + datetime.timedelta(days=(row * 31 + i) % 900)),
    "note": (
        SemanticType.TEXT,
        "TEXT",
        lambda row, i: "a few words " + " ".join("abcdef"[(row + i) % 6 :]) + "x" * row,
    ),
    "grade": (SemanticType.CATEGORICAL, "INTEGER", lambda row, i: (row + i) % 3),
    "same": (SemanticType.CONSTANT, "INTEGER", lambda row, i: i),
}


def wide(columns: int) -> pyarrow.Table:
    kinds = list(KINDS)
    names = [f"{kinds[i % len(kinds)]}{i}" for i in range(columns)]
    values = {name: [KINDS[kinds[i % len(kinds)]][2](row, i) for row in range(ROWS)] for i, name in enumerate(names)}
    return pyarrow.table({"id": list(range(ROWS)), **values})


def as_sqlite(table: pyarrow.Table, place: Path) -> Path:
    kinds = ["INTEGER", *(KINDS[name.rstrip("0123456789")][1] for name in table.column_names[1:])]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(table.column_names, kinds, strict=True))
    lists = [[str(v) if isinstance(v, datetime.date) else v for v in column.to_pylist()] for column in table.columns]
    with sqlite3.connect(place / "t.sqlite") as file:
        file.execute(f"CREATE TABLE t ({columns})")
        file.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(lists))})", zip(*lists, strict=True))
    file.close()
    return place / "t.sqlite"


def as_duckdb(table: pyarrow.Table, place: Path) -> Path:
    with duckdb.connect(str(place / "t.duckdb")) as file:
        file.register("given", table)
        file.execute("CREATE TABLE t AS SELECT * FROM given")
    return place / "t.duckdb"


def as_parquet(table: pyarrow.Table, place: Path) -> Path:
    pyarrow.parquet.write_table(table, place / "t.parquet")
    return place


def as_csv(table: pyarrow.Table, place: Path) -> Path:
    pyarrow.csv.write_csv(table, place / "t.csv")
    return place


@pytest.fixture(scope="module")
def expected() -> Mapping[str, tuple[torch.Tensor, Any]]:
    """Every feature and its statistics, out of tables of fifty columns."""
    table = wide(800)
    names = table.column_names
    found = {}
    for start in range(1, len(names), 50):
        with relgraph.connect({"t": table.select(names[start : start + 50]).to_pandas()}, progress=False) as db:
            features = relgraph.build_graph(db, progress=False).nodes["t"].features
            assert features is not None
            for names_of_kind in features.names.values():
                found |= {name: (features.column(name), features.stats[name]) for name in names_of_kind}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("write", "columns"), [(as_parquet, 800), (as_sqlite, 400), (as_duckdb, 400), (as_csv, 400)])
def test_many_columns_become_what_they_become_in_narrow_tables(
    write: Callable[[pyarrow.Table, Path], Path],
    columns: int,
    expected: Mapping[str, tuple[torch.Tensor, Any]],
    tmp_path: Path,
) -> None:
    (tmp_path / "source").mkdir()
    table = wide(columns)
    with relgraph.connect(write(table, tmp_path / "source"), keys={"t": "id"}, progress=False) as db:
        report = db.check(progress=False)
        graph = relgraph.build_graph(db, progress=False)
    assert (report.tables[0].rows, report.tables[0].primary_key, report.tables[0].duplicate_keys) == (ROWS, ("id",), 0)
    assert graph.report["left_out"]["t"] == {name: "constant" for name in table.column_names if name.startswith("same")}
    graph.save(tmp_path / "graph")
    features = relgraph.HeteroGraph.load(tmp_path / "graph").nodes["t"].features
    assert features is not None
    kinds = {name: kind for kind, names in features.names.items() for name in names}
    given = {name: KINDS[name.rstrip("0123456789")][0] for name in table.column_names[1:]}
    assert kinds == {name: kind for name, kind in given.items() if kind is not SemanticType.CONSTANT}
    for name in kinds:
        values, stats = expected[name]
        assert torch.equal(features.column(name).nan_to_num(7e7), values.nan_to_num(7e7)), name
        assert features.stats[name] == stats, name


class Recorder:
    """A cursor that notes the length of what it is asked."""

    def __init__(self, cursor: Any, lengths: list[int]) -> None:
        self._cursor, self._lengths = cursor, lengths

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cursor, name)
        if name not in ("execute", "sql"):
            return found

        def asked(query: str, *given: Any, **named: Any) -> Any:
            self._lengths.append(len(query))
            return found(query, *given, **named)

        return asked


@pytest.mark.slow
@pytest.mark.parametrize(("work", "limit"), [("build", None), ("build", "2021-06-01"), ("check", None)])
def test_what_duckdb_is_asked_grows_with_the_columns_and_not_with_their_square(
    work: str, limit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = Database.cursor
    asked: dict[int, tuple[int, int]] = {}
    for columns in (140, 280):
        lengths: list[int] = []
        monkeypatch.setattr(Database, "cursor", lambda db, lengths=lengths: Recorder(cursor(db), lengths))
        with relgraph.connect({"t": wide(columns).to_pandas()}, times={"t": "day3"}, progress=False) as db:
            if work == "build":
                relgraph.build_graph(db, limit, progress=False)
            else:
                db.check(progress=False)
        asked[columns] = len(lengths), sum(lengths)
    assert 0 < asked[140][0] < asked[280][0]
    assert asked[280][0] <= 2.2 * asked[140][0]  # queries
    # where every query names all columns, as it was, this is 3.2 for a graph
    assert asked[280][1] <= 2.4 * asked[140][1]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    table = wide(150)
    with duckdb.connect(str(tmp_path / "t.duckdb")) as file:
        file.register("given", table)
        file.execute("CREATE SCHEMA other")
        for place in ("main", "other"):
            file.execute(f"CREATE TABLE {place}.t AS SELECT * FROM given ORDER BY hash(id)")
            file.execute(f"CREATE TABLE {place}.narrow AS SELECT id FROM given")
    return relgraph.connect(tmp_path / "t.duckdb", schemas=["main", "other"], times={"t": "day3"}, progress=False)


def plan(db: Database, table: str) -> str:
    return str(db.cursor().execute(f"EXPLAIN SELECT grade5 FROM {quote(table)}").fetchall())


def held(db: Database) -> list[tuple[str, str]]:
    query = f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '{at_hand.HAND}' ORDER BY ALL"
    return [(place, table) for place, table in db.cursor().execute(query).fetchall()]


@pytest.mark.slow
def test_a_wide_view_is_a_table_while_much_is_asked_of_it(db: Database) -> None:
    tables = ["t", "other.t"]
    before = {table: rows(db, table) for table in tables}
    columns = db.sql("SELECT * FROM t").column_names
    with db.at_hand():
        assert {table for _, table in held(db)} == {"t", "other.t"}
        for table in tables:
            assert at_hand.HAND in plan(db, table)
            assert at_hand.HAND in db.numbered(table)
            assert rows(db, table) == before[table]
        assert db.sql("SELECT * FROM t").column_names == columns
        names = [name for _, name in held(db)]
        with db.at_hand():
            assert [name for _, name in held(db)] == names
        assert at_hand.HAND in plan(db, "t")  # an inner block ends nothing
    assert not held(db)
    assert at_hand.HAND not in plan(db, "t")
    assert {table: rows(db, table) for table in tables} == before
    with pytest.raises(KeyError), db.at_hand():
        raise KeyError
    assert not held(db)
    assert rows(db, "t") == before["t"]


@pytest.mark.slow
def test_a_cut_has_its_own_rows_at_hand(db: Database) -> None:
    cut = db.upto("2021-01-01")
    before = rows(cut, "t")
    assert 0 < len(before) < ROWS
    with db.at_hand(), cut.at_hand():
        assert rows(cut, "t") == before
        assert cut.num_rows("t") == len(before)
        assert len(rows(db, "t")) == ROWS
    assert rows(cut, "t") == before
    graph = relgraph.build_graph(cut, progress=False)
    assert graph.report["rows"]["t"] == len(before)


def test_a_wide_view_with_many_rows_stays_where_it_is(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_hand, "_MOST_CELLS", 151 * ROWS - 1)
    with db.at_hand():
        assert not held(db)
    monkeypatch.setattr(at_hand, "_MOST_CELLS", 151 * ROWS)
    with db.at_hand():
        assert len(held(db)) == 2


def test_numbered_names_only_what_is_asked_for(db: Database) -> None:
    found = db.sql(f'SELECT * FROM ({db.numbered("t", ["grade5", "id", "id"])}) ORDER BY "__row"')
    assert found.column_names == ["grade5", "id", "__row"]
    assert list(zip(*(found[name].to_pylist() for name in ("grade5", "id")), strict=True)) == [
        (row[6], row[0]) for row in rows(db, "t")
    ]
    assert db.sql(f"SELECT * FROM ({db.numbered('t', [])})").column_names == ["__row"]
    assert db.sql(db.numbered("t")).column_names == [*db.schema["t"].column_names, "__row"]

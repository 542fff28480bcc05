"""A refreshed snapshot equals a new one as a set of rows, and reads no more than it must."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.data import retry
from relgraph.data.database import Database
from relgraph.errors import AdapterError, SourceUnavailableError
from tests.adapters.chinook import edges_of, rows_of, stats_of
from tests.data.fake import FakeSource, rows

DAY = dt.datetime
CUSTOMERS = pa.table({"id": [1, 2]})
ORDERS = pa.table({"id": [1, 2, 3], "customer": [1, 2, 1], "at": [DAY(2024, 1, 1), None, DAY(2024, 1, 3)]})
KEYS = {"customer": "id", "order": {"primary_key": "id", "foreign_keys": {"customer": "customer"}}}
TIMES = {"order": "at"}


def take(source: FakeSource, path: Path, refresh: bool = False, **declared: Any) -> Database:
    declared = {"keys": KEYS, "times": TIMES, **declared}
    return Database.from_source(source, **declared, snapshot=path, refresh=refresh, progress=False)


def more_orders(*extra: tuple[int, int, dt.datetime | None]) -> pa.Table:
    columns = zip(*extra, strict=True)
    return pa.concat_tables([ORDERS, pa.table(dict(zip(ORDERS.column_names, map(list, columns), strict=True)))])


@pytest.fixture
def source() -> FakeSource:
    return FakeSource({"customer": CUSTOMERS, "order": ORDERS}, {"customer": "id", "order": "id"})


def test_only_newer_rows_are_read_where_there_is_a_time(source: FakeSource, tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    take(source, path).close()
    source.frames = {
        "customer": pa.table({"id": [1, 2, 3]}),
        "order": more_orders((4, 3, DAY(2024, 1, 3)), (5, 3, DAY(2024, 2, 1))),
    }
    with take(source, path, refresh=True) as db:
        # the last known moment is read once more, and the row without a time
        assert source.rows_read == {"customer": 3, "order": 4}
        order = [tuple(row.values()) for row in source.frames["order"].to_pylist()]
        assert sorted(rows(db, "order"), key=str) == sorted(order, key=str)
        assert db.num_rows("customer") == 3
        assert db.changes == (
            "customer: read again, 3 rows (before: 2), because it has no time column",
            "order: 2 new rows",
        )
        assert db.check().foreign_keys[0].dangling == 0
    with take(source, path) as reused:
        assert reused.num_rows("order") == 5
        assert reused.changes == ()


def test_nothing_new(source: FakeSource, tmp_path: Path) -> None:
    take(source, tmp_path / "x.duckdb").close()
    with take(source, tmp_path / "x.duckdb", refresh=True) as db:
        assert db.changes[1] == "order: unchanged"
        assert sorted(rows(db, "order"), key=str) == sorted((tuple(r.values()) for r in ORDERS.to_pylist()), key=str)


def test_a_table_that_lost_or_gained_earlier_rows_is_read_as_a_whole(source: FakeSource, tmp_path: Path) -> None:
    take(source, tmp_path / "x.duckdb").close()
    late = more_orders((0, 1, DAY(2023, 1, 1)))
    source.frames["order"] = late
    with take(source, tmp_path / "x.duckdb", refresh=True) as db:
        assert sorted(rows(db, "order"), key=str) == sorted((tuple(r.values()) for r in late.to_pylist()), key=str)
        assert db.changes[1] == (
            "order: read again, 4 rows (before: 3), because there are 2 rows before 2024-01-03 00:00:00, "
            "the snapshot has 1"
        )
    source.frames["order"] = ORDERS.slice(1)
    with take(source, tmp_path / "x.duckdb", refresh=True) as db:
        assert db.num_rows("order") == 2


def test_other_columns_or_declarations_rebuild_everything(source: FakeSource, tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    take(source, path).close()
    source.frames["order"] = ORDERS.append_column("paid", [[True, False, None]])
    with take(source, path, refresh=True) as db:
        assert db.schema["order"].column_names == ("id", "customer", "at", "paid")
        assert "because the source's tables, keys or columns have changed" in db.changes[1]
    with take(source, path, refresh=True, times={}) as db:
        assert "because other keys or times are declared" in db.changes[0]
        assert db.schema["order"].time_column is None


def test_a_column_of_another_type_rebuilds_its_table(source: FakeSource, tmp_path: Path) -> None:
    take(source, tmp_path / "x.duckdb").close()
    source.frames["order"] = ORDERS.set_column(0, "id", pa.array(["1", "2", "3"]))
    with take(source, tmp_path / "x.duckdb", refresh=True) as db:
        assert rows(db, "order")[0][0] == "1"
        assert "because its columns are of other types than in the snapshot" in db.changes[1]


def test_a_source_that_gives_no_tails_is_read_as_a_whole(source: FakeSource, tmp_path: Path) -> None:
    source.gives_tails = False
    take(source, tmp_path / "x.duckdb").close()
    source.frames["order"] = more_orders((4, 1, DAY(2025, 1, 1)))
    with take(source, tmp_path / "x.duckdb", refresh=True) as db:
        assert db.num_rows("order") == 4
        assert "because the source cannot give only its newer rows" in db.changes[1]


def test_a_failed_refresh_leaves_the_old_snapshot(source: FakeSource, tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    take(source, path).close()
    before = path.read_bytes()

    def breaks(table: str, attempt: int) -> None:
        if table == "order":
            raise AdapterError("the line went dead")

    source.fault = breaks
    with pytest.raises(AdapterError, match="the line went dead"):
        take(source, path, refresh=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.duckdb"]


def test_a_refresh_of_something_else_is_refused(source: FakeSource, tmp_path: Path) -> None:
    take(source, tmp_path / "x.duckdb").close()
    other = FakeSource(source.frames, source.keys)
    other.name = "another source"
    with pytest.raises(AdapterError, match=r"is a snapshot of a source of the test, not of another source"):
        take(other, tmp_path / "x.duckdb", refresh=True)


def test_a_refresh_without_a_file_takes_the_snapshot(source: FakeSource, tmp_path: Path) -> None:
    with take(source, tmp_path / "x.duckdb", refresh=True) as db:
        assert db.num_rows("order") == 3
        assert db.changes == ()


def test_an_old_handle_keeps_its_rows(source: FakeSource, tmp_path: Path) -> None:
    with take(source, tmp_path / "x.duckdb") as old:
        source.frames["order"] = more_orders((4, 1, DAY(2025, 1, 1)))
        with take(source, tmp_path / "x.duckdb", refresh=True) as new:
            assert (old.num_rows("order"), new.num_rows("order")) == (3, 4)
            assert len(rows(old, "order")) == 3


@pytest.mark.slow
def test_a_database_refreshes_itself(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,at\n1,2020-01-01\n")
    for snapshot in (None, tmp_path / "x.duckdb"):
        db = relgraph.connect(path, keys={"t": "id"}, times={"t": "at"}, snapshot=snapshot, progress=False)
        number = db.num_rows("t")
        with path.open("a") as file:
            file.write(f"{number + 1},2021-0{number}-01\n")
        with db.refresh() as again, again.refresh() as third:
            assert again.num_rows("t") == third.num_rows("t") == number + 1
            assert again.schema["t"].time_column == "at"
        db.close()
    with pytest.raises(AdapterError, match="only a database that relgraph"):
        Database.from_source(FakeSource({"customer": CUSTOMERS}), progress=False).refresh()


class Absence:
    """Away at the first reads, each time after a batch of the table of that name."""

    def __init__(self, table: str, times: int) -> None:
        self.table, self.times = table, times

    def __call__(self, table: str, attempt: int) -> None:
        if table == self.table and attempt <= self.times:
            raise SourceUnavailableError("the server is restarting")


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.001, 0.001))


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_source_that_comes_back_is_read_once(source: FakeSource, tmp_path: Path, snapshot: bool) -> None:
    source.fault = Absence("order", 2)
    path = tmp_path / "x.duckdb" if snapshot else None
    with Database.from_source(source, keys=KEYS, snapshot=path, progress=False) as db:
        assert rows(db, "order") == [tuple(row.values()) for row in ORDERS.to_pylist()]
        assert db.num_rows("customer") == 2
        assert [note for note in db.notes if note.startswith("read number")] == ["read number 3"]


@pytest.mark.usefixtures("_no_pauses")
def test_a_source_that_stays_away(source: FakeSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.fault = Absence("order", 99)
    with pytest.raises(SourceUnavailableError, match=r"the server is restarting \(tried 3 times in 0.002 s\)"):
        Database.from_source(source, keys=KEYS, snapshot=tmp_path / "x.duckdb", progress=True)
    assert "the server is restarting; trying again in 0.001 s" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


MOMENT = st.one_of(st.none(), st.integers(0, 5).map(lambda day: DAY(2024, 1, 1 + day)))


# two files per case: an eighth of the cases of other properties
@settings(max_examples=max(1, settings.default.max_examples // 8))
@given(before=st.lists(MOMENT, max_size=6), extra=st.lists(MOMENT, max_size=4), cut=st.integers(0, 2))
def test_a_refresh_gives_the_rows_of_a_new_snapshot(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[dt.datetime | None],
    extra: list[dt.datetime | None],
    cut: int,
) -> None:
    path = tmp_path_factory.mktemp("refresh") / "x.duckdb"
    at = pa.timestamp("us")
    frame = pa.table({"id": pa.array(range(len(before)), pa.int64()), "at": pa.array(before, at)})
    source = FakeSource({"t": frame})
    take(source, path, keys={"t": "id"}, times={"t": "at"}).close()
    # a late row that takes the place of a deleted one goes unnoticed, as the docstring says
    latest = max((moment for moment in before if moment is not None), default=DAY(2024, 1, 1))
    extra = [None if moment is None else max(moment, latest) for moment in extra]
    new = [*before[cut:], *extra]
    ids = [*range(cut, len(before)), *range(100, 100 + len(extra))]
    source.frames = {"t": pa.table({"id": pa.array(ids, pa.int64()), "at": pa.array(new, at)})}
    with take(source, path, refresh=True, keys={"t": "id"}, times={"t": "at"}) as db:
        assert sorted(rows(db, "t"), key=str) == sorted(zip(ids, new, strict=True), key=str)


def wares(orders: range, seed: int) -> dict[str, pa.Table]:
    """Orders with a time or without, what was ordered, and columns of many types."""
    words = ["red", "green", "blue", "old", "new"]
    order, line = [], []
    for i in orders:
        text = " ".join(words[(i * k) % 5] for k in range(1, 40)) + f" {i}"
        at = None if i % 11 == 10 else DAY(2024, 1, 1) + dt.timedelta(hours=5 * i)
        order.append(
            {"id": i, "customer": i % 3 + 1, "at": at, "text": text, "tags": words[: i % 4], "paid": i % 7 / 4}
        )
        line += [{"order": i, "no": k, "kind": words[(i + k) % 5]} for k in range(i % 3)]
    random.Random(seed).shuffle(order)
    random.Random(seed).shuffle(line)
    return {
        "customer": pa.table({"id": [1, 2, 3], "level": [0.5, 1.5, 0.5]}),
        "order": pa.Table.from_pylist(order),
        "line": pa.Table.from_pylist(line),
    }


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, "2024-01-15"])
def test_the_graph_of_a_refreshed_snapshot_is_that_of_a_new_one_by_key(tmp_path: Path, limit: str | None) -> None:
    keys: dict[str, Any] = {**KEYS, "line": {"primary_key": ("order", "no"), "foreign_keys": {"order": "order"}}}
    source = FakeSource(wares(range(60), seed=1))
    take(source, tmp_path / "x.duckdb", keys=keys).close()
    source.frames = wares(range(100), seed=2)
    with (
        take(source, tmp_path / "x.duckdb", refresh=True, keys=keys) as refreshed,
        take(source, tmp_path / "new.duckdb", keys=keys) as new,
    ):
        assert refreshed.changes[1] == "order: 40 new rows"
        found, expected = (relgraph.build_graph(db, limit, progress=False) for db in (refreshed, new))
    ours, theirs = found.nodes["order"].keys, expected.nodes["order"].keys
    assert ours is not None
    assert theirs is not None
    assert ours.tolist() != theirs.tolist()  # another order of rows
    assert rows_of(found) == rows_of(expected)
    assert edges_of(found) == edges_of(expected)
    assert stats_of(found) == stats_of(expected)

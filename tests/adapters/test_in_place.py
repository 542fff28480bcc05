"""What is read in place is not copied, gives the same graph as a copy, and is refused once it has changed."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import relgraph
from relgraph.adapters.files.watched import Watched
from relgraph.data.database import Database
from relgraph.errors import AdapterError, SchemaError
from tests.adapters import sources


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def copied(db: Database) -> list[tuple[str, str]]:
    """Every table that lies in the Database's own engine."""
    return db.connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name <> 'relgraph_source' AND NOT internal"
    ).fetchall()


def write(kind: str, folder: Path) -> Path:
    if kind == "duckdb":
        return sources.write_duckdb(folder / "shop.duckdb")
    return sources.write_parquet(folder / "shop") if kind == "parquet" else sources.write_csv(folder / "shop")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv", "duckdb"])
def test_nothing_is_copied_and_the_graph_equals_the_one_of_a_copy(kind: str, tmp_path: Path) -> None:
    source = write(kind, tmp_path)
    given: dict[str, Any] = {"keys": sources.declared_keys(), "times": sources.TIMES}
    with connect(source, **given) as db, connect(source, **given, snapshot=tmp_path / "copy.duckdb") as copy:
        assert copied(db) == []
        assert len(copied(copy)) == len(sources.TABLES) + 1  # and what the snapshot says of itself
        assert db.schema == copy.schema
        here, there = (relgraph.build_graph(d, fit_until="2020-06-01", progress=False) for d in (db, copy))
    assert here.node_types == there.node_types
    assert here.edge_types == there.edge_types
    for name in here.node_types:
        one, other = here.nodes[name], there.nodes[name]
        assert one.num_nodes == other.num_nodes
        assert (one.time is None) == (other.time is None)
        assert one.time is None or torch.equal(one.time, other.time)
        assert (one.features is None) == (other.features is None)
        if one.features is not None and other.features is not None:
            assert one.features.stats == other.features.stats
            assert one.features.names == other.features.names
            for meaning, values in one.features.values.items():
                assert torch.equal(values.nan_to_num(7.5), other.features.values[meaning].nan_to_num(7.5))
    for edge in here.edge_types:
        assert torch.equal(here.edges[edge].edge_index, there.edges[edge].edge_index)


def test_a_large_file_takes_no_memory(tmp_path: Path) -> None:
    rows = 400_000
    pq.write_table(pa.table({"a": np.arange(rows), "b": np.random.default_rng(0).random(rows)}), tmp_path / "t.parquet")
    with connect(tmp_path) as db:
        assert db.sql("SELECT sum(a) AS s FROM t")["s"][0].as_py() == rows * (rows - 1) // 2
        used = db.connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchall()[0][0]
        assert used < 2_000_000  # the columns are 6.4 MB


def test_results_of_sql_are_copied_and_files_beside_them_are_not(tmp_path: Path) -> None:
    sources.write_parquet(tmp_path / "shop")
    with connect(tmp_path / "shop", tables={"customer": None, "vip": "SELECT id FROM customer WHERE vip"}) as db:
        assert copied(db) == [("main", "vip")]
        assert db.num_rows("customer") == 3
        assert db.sql("SELECT id FROM vip").to_pylist() == [{"id": 1}]


def test_frames_are_copied() -> None:
    values = np.array([1, 2])
    with connect({"t": pa.table({"a": pa.array(values)})}) as db:
        values[:] = 0
        assert copied(db) == [("main", "t")]
        assert db.sql("SELECT a FROM t")["a"].to_pylist() == [1, 2]


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "longer": (grow, r"has changed since it was connected: [\d,]+ bytes then, [\d,]+ now"),
    "shorter": (lambda path: os.truncate(path, 5), "5 now"),
    "empty": (lambda path: path.write_bytes(b"") and None, " 0 now"),
    "touched": (lambda path: os.utime(path, (1, 1)), "it was written at another time"),
    "replaced": (replace, "it is another file of the same name"),
    "gone": (lambda path: path.unlink(), "is gone"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv", "duckdb"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_is_refused(kind: str, change: str, tmp_path: Path) -> None:
    source = write(kind, tmp_path)
    path = source if source.is_file() else next(source.glob("customer.*"))
    how, message = CHANGES[change]
    with connect(source, times=sources.TIMES) as db:
        cut = db.upto("2020-01-01")
        assert db.num_rows("customer") == 3
        how(path)
        for use in (
            lambda: db.sql('SELECT * FROM "order"'),
            lambda: db.cursor(),
            lambda: relgraph.build_graph(db, progress=False),
            lambda: cut.num_rows("customer"),
            db.check,
        ):
            with pytest.raises(AdapterError, match=f"{path.name}.*{message}.*; connect to it again"):
                use()


def test_refresh_connects_to_what_is_there_now(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    with connect(tmp_path) as db:
        path.write_text("a\n1\n2\n")
        with pytest.raises(AdapterError, match=r"6 now; connect to it again, or call refresh\(\)"):
            db.num_rows("t")
        with db.refresh() as again:
            assert again.num_rows("t") == 2


def test_a_change_is_seen_from_any_thread(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    caught: list[BaseException] = []
    with connect(tmp_path) as db:
        path.write_text("a\n1\n2\n")

        def use() -> None:
            try:
                db.sql("SELECT 1")
            except AdapterError as error:
                caught.append(error)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caught) == 4


def test_only_what_is_read_in_place_is_watched(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("x\n1\n")
    with connect(tmp_path, tables={"a": None, "c": "SELECT x FROM b"}) as db:
        (tmp_path / "b.csv").unlink()
        assert db.sql("SELECT x FROM c")["x"].to_pylist() == [1]
        (tmp_path / "a.csv").unlink()
        with pytest.raises(AdapterError, match=r"a\.csv is gone"):
            db.sql("SELECT x FROM c")


@pytest.mark.parametrize("source", ["events", "events/**/*.csv"])
def test_files_that_come_to_a_table_or_leave_it(source: str, tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"events/day={day}").mkdir(parents=True)
        (tmp_path / f"events/day={day}/part-0.csv").write_text("x\n1\n")
    with connect(str(tmp_path / source)) as db:
        (tmp_path / "events/day=1/_SUCCESS").touch()  # this is no part of the table
        (tmp_path / "events/day=1/.part-1.csv").touch()
        assert db.num_rows("events") == 2
        (tmp_path / "events/day=3").mkdir()
        assert db.num_rows("events") == 2
        new = tmp_path / "events/day=2/part-1.csv"
        new.write_text("x\n1\n")
        with pytest.raises(AdapterError, match=r"day=2/part-1\.csv was added to its table"):
            db.sql("SELECT 1")
        new.unlink()
        assert db.num_rows("events") == 2
        (tmp_path / "events/day=1/part-0.csv").unlink()
        with pytest.raises(AdapterError, match=r"day=1/part-0\.csv is gone"):
            db.sql("SELECT 1")


def test_a_file_that_changes_while_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    checked = Watched.check

    def late(self: Watched) -> None:
        path.write_text("a\n5\n6\n")
        checked(self)

    monkeypatch.setattr(Watched, "check", late)
    with pytest.raises(AdapterError, match="has changed"):
        connect(path, snapshot=tmp_path / "copy.duckdb")
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_query_that_fails_because_the_file_went_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    with connect(tmp_path) as db:
        looks = iter([None])
        whole = db._unchanged
        assert whole is not None
        monkeypatch.setattr(db, "_unchanged", lambda: next(looks, "again") and whole())
        path.unlink()
        with pytest.raises(AdapterError, match="is gone"):
            db.sql("SELECT a FROM t")


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    sources.write_parquet(tmp_path / "shop")
    path = tmp_path / "shop" / "customer.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(AdapterError, match=r"customer\.parquet cannot be read"):
        connect(tmp_path / "shop")
    with connect(tmp_path / "shop", tables=["order"]) as db:
        assert db.num_rows("order") == 3
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    for source in (tmp_path / "shop", path):
        with pytest.raises(AdapterError, match=r"customer\.parquet.*(No such file|link to nothing)"):
            connect(source)
    path.unlink()
    path.mkdir()  # an empty folder is no table
    with connect(tmp_path / "shop") as db:
        assert "customer" not in db.schema.names
    shutil.rmtree(path)
    if os.geteuid():
        path.write_bytes(whole)
        path.chmod(0)
        with pytest.raises(AdapterError, match="ermission"):
            connect(tmp_path / "shop")


def test_schemas_are_for_databases_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(SchemaError, match="has no schemas"):
        connect(tmp_path, schemas="main")
    with pytest.raises(SchemaError, match="has no schemas"):
        connect({"t": pa.table({"a": [1]})}, schemas="main")


@pytest.mark.slow
def test_two_databases_on_one_file_and_one_closed(tmp_path: Path) -> None:
    path = sources.write_duckdb(tmp_path / "shop.duckdb")
    with connect(path) as one:
        with connect(path) as other:
            assert other.num_rows("customer") == one.num_rows("customer") == 3
        assert one.sql("SELECT count(*) AS n FROM product")["n"].to_pylist() == [3]
    with duckdb.connect(str(path)) as file:  # nothing holds it any more
        file.execute("INSERT INTO product VALUES ('c', 1, 'x')")
    with connect(path) as db:
        assert db.num_rows("product") == 4

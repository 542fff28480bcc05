"""Tasks written into RelBench v3 folders: the same labels here, in the files, and as RelBench makes them again."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import relgraph
from relgraph.adapters import read_relbench_seeds, read_relbench_tasks, write_relbench
from relgraph.data.database import Database
from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.tasks import EntityTask, Seeds
from tests.adapters.relbench_folders import loaded, numbers

SPLITS = ("train", "val", "test")
CHURN = """
    SELECT t.timestamp, c.customer_id, CAST(NOT EXISTS (
        SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id
        AND o.ordered_at > t.timestamp AND o.ordered_at <= t.timestamp + {horizon}) AS INT) AS label
    FROM timestamps t, customer c WHERE c.joined <= t.timestamp
"""
SPENT = """
    SELECT t.timestamp, o.customer_id, sum(l.price * l.quantity) AS label
    FROM timestamps t JOIN orders o ON o.ordered_at > t.timestamp AND o.ordered_at <= t.timestamp + {horizon}
    JOIN customer c USING (customer_id)
    JOIN order_line l USING (order_id) WHERE c.joined <= least(t.timestamp, '2024-09-01') GROUP BY ALL
"""
WAREHOUSES = """
    SELECT t.timestamp, w.warehouse_id, least(count(l.order_id) // 20, 2) AS label
    FROM timestamps t CROSS JOIN warehouse w LEFT JOIN order_line l ON l.warehouse_id = w.warehouse_id
        AND l.shipped_at > t.timestamp AND l.shipped_at <= t.timestamp + {horizon} GROUP BY ALL
"""


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = tmp_path_factory.mktemp("shop")
    generate_shop(place / "shop.sqlite", customers=80, products=25)
    with relgraph.connect(place / "shop.sqlite", times=SHOP_TIMES, progress=False) as shop:
        yield shop


def tasks() -> dict[str, EntityTask]:
    times = {"val_time": "2024-07-01", "test_time": "2024-09-01"}
    return {
        "churn": EntityTask("customer", CHURN, "45 days", "binary", **times, metric="accuracy"),
        "spent": EntityTask("customer", SPENT, "20 days", "regression", **times, num_eval_times=3, regime="frozen"),
        "busy": EntityTask("warehouse", WAREHOUSES, "30.5 h", "multiclass", **times, num_eval_times=7),
    }


def write(db: Database, folder: Path, given: dict[str, EntityTask], **options: Any) -> tuple[str, ...]:
    return write_relbench(db, folder, given, progress=False, **options)


def kind(folder: Path, task: str) -> str:
    return str(yaml.safe_load((folder / "tasks" / task / "manifest.yaml").read_text())["kind"])


def as_rows(seeds: Seeds, place: np.ndarray | None = None) -> list[tuple[int, int, float]]:
    node = seeds.node.numpy() if place is None else place[seeds.node.numpy()]
    found = zip(seeds.time.tolist(), node.tolist(), seeds.label.double().round(decimals=6).tolist(), strict=True)
    return sorted(found)


@pytest.fixture(scope="module")
def folder(db: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out") / "rel-shop"
    notes = write(db, place, tasks())
    assert not [note for note in notes if note.startswith("task ")]
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name", ["churn", "spent", "busy"])
def test_a_task_comes_back_with_the_same_seeds(db: Database, folder: Path, name: str) -> None:
    ours, found = tasks()[name], read_relbench_tasks(folder)
    back = found[name]
    assert (back.kind, back.metric, back.regime) == (ours.kind, ours.metric, ours.regime)
    assert (back.horizon, back.num_eval_times) == (ours.horizon, ours.num_eval_times)
    assert (back.val_time, back.test_time) == (ours.val_time, ours.test_time)
    place = numbers(folder, db, ours.entity_table)
    with relgraph.connect(folder, progress=False) as written:
        for split in SPLITS:
            expected = as_rows(ours.seeds(db, split), place)
            assert len(expected) > 5
            assert as_rows(back.seeds(written, split)) == expected
            assert as_rows(read_relbench_seeds(written, folder, name, split)) == expected
            assert back.seeds(written, split).label.dtype == ours.seeds(db, split).label.dtype


@pytest.mark.slow
@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("name", ["churn", "spent", "busy"])
def test_relbench_reads_the_labels_and_makes_the_same(folder: Path, name: str, regenerate: bool) -> None:
    theirs = loaded(folder).load_task(name, regenerate=regenerate)
    with relgraph.connect(folder, progress=False) as written:
        for split in SPLITS:
            seeds = read_relbench_tasks(folder)[name].seeds(written, split)
            frame = theirs.get_table(split, mask_input_cols=False).df
            assert frame[theirs.entity_col].tolist() == seeds.node.tolist()
            assert frame[theirs.time_col].astype("datetime64[us]").astype("int64").tolist() == seeds.time.tolist()
            assert np.allclose(frame[theirs.target_col], seeds.label, rtol=1e-9)


@pytest.mark.slow
def test_a_folder_that_was_read_is_written_the_same(folder: Path, tmp_path: Path) -> None:
    with relgraph.connect(folder, progress=False) as db:
        write(db, tmp_path / "again", dict(read_relbench_tasks(folder)))
    for file in folder.rglob("*.parquet"):
        if "keys" not in file.parts:
            again = pd.read_parquet(tmp_path / "again" / file.relative_to(folder))
            pd.testing.assert_frame_equal(again, pd.read_parquet(file), rtol=1e-9)  # sums, in another order
    assert not (tmp_path / "again" / "keys").exists()
    first, second = read_relbench_tasks(folder), read_relbench_tasks(tmp_path / "again")
    assert {name: task.sql for name, task in first.items()} == {name: task.sql for name, task in second.items()}


def timed(num_rows: int) -> dict[str, Any]:
    return {"at": pd.date_range("2020-01-01", periods=num_rows, freq="D")}


@pytest.mark.slow
def test_a_query_that_names_keys_becomes_labels_without_a_query(tmp_path: Path) -> None:
    item = pa.table({"code": ["tea", "salt"]})
    sale = pa.table({"item": ["salt", "tea"] * 20, **timed(40)})
    keys = {"item": "code", "sale": {"foreign_keys": {"item": "item"}}}
    times = {"val_time": "2020-01-20", "test_time": "2020-01-30"}
    label = "SELECT code, timestamp, CAST(code {} AS INT) AS label FROM timestamps, item"
    by_key = EntityTask("item", label.format("= 'salt'"), "4 days", "binary", **times)
    by_join = EntityTask("item", label.format("IN (SELECT item FROM sale)"), "4 days", "binary", **times)
    out = tmp_path / "rel"
    with relgraph.connect({"item": item, "sale": sale}, keys=keys, times={"sale": "at"}, progress=False) as db:
        notes = write(db, out, {"by-key": by_key, "by-join": by_join})
    assert (kind(out, "by-key"), kind(out, "by-join")) == ("external", "forecast")
    (note,) = [note for note in notes if note.startswith("task ")]
    assert note.startswith("task 'by-key' is of kind external, labels without a query, because its query ")
    with relgraph.connect(out, progress=False) as back:
        seeds = read_relbench_seeds(back, out, "by-key", "test")
    assert (seeds.node.tolist(), seeds.label.tolist()) == ([0, 1], [0, 1])
    table = loaded(out).load_task("by-key").get_table("train", mask_input_cols=False).df
    assert table["code"].tolist() == [0, 1] * 4
    assert table["label"].tolist() == [0, 1] * 4
    assert "its labels come as files" in read_relbench_tasks(out, progress=False).left_out["by-key"]


@pytest.mark.slow
def test_an_entity_with_a_composite_key_is_named_by_its_number(tmp_path: Path) -> None:
    line = pa.table({"a": [2, 1, 1], "b": ["x", "x", "y"]})
    sql = "SELECT a, b, timestamp, a * 1.5 AS label FROM timestamps, line"
    task = EntityTask("line", sql, "4 days", "regression", val_time="2020-01-20", test_time="2020-01-30")
    out = tmp_path / "rel"
    tables = {"line": line, "sale": pa.table(timed(40))}
    with relgraph.connect(tables, keys={"line": ("a", "b")}, times={"sale": "at"}, progress=False) as db:
        (_, _, note) = write(db, out, {"t": task})
    assert "task 't' is of kind external" in note
    test = loaded(out).load_task("t").get_table("test", mask_input_cols=False).df
    assert test[["line_row", "label"]].values.tolist() == [[0, 3.0], [1, 1.5], [2, 1.5]]


@pytest.mark.slow
def test_labels_about_rows_of_the_future_are_left_out_and_counted(tmp_path: Path) -> None:
    item = pa.table({"id": range(40), **timed(40)})
    sql = "SELECT id, timestamp, id % 2 AS label FROM timestamps, item"
    task = EntityTask("item", sql, "3 days", "binary", val_time="2020-01-20", test_time="2020-01-30")
    out = tmp_path / "rel"
    with relgraph.connect({"item": item}, keys={"item": "id"}, times={"item": "at"}, progress=False) as db:
        notes = write(db, out, {"t": task})
    assert kind(out, "t") == "forecast"
    assert notes == (
        "task 't': 10 of 40 labels of test are about rows that do not exist by the test time, or have no time: left "
        "out, as RelBench does",
    )
    made = loaded(out).load_task("t", regenerate=True).get_table("test", mask_input_cols=False).df
    assert (
        made["id"].tolist() == list(range(30)) == pq.read_table(out / "tasks" / "t" / "test.parquet")["id"].to_pylist()
    )


@pytest.mark.slow
def test_all_tasks_share_the_times_of_the_folder(db: Database, tmp_path: Path) -> None:
    given = tasks()
    other = EntityTask("customer", CHURN, "45 days", "binary", val_time="2024-07-02", test_time="2024-09-01")
    with pytest.raises(ProtocolError, match=r"one val_time for all tasks, got churn 2024-07-01, .*other 2024-07-02"):
        write(db, tmp_path / "rel", {**given, "other": other})
    with pytest.raises(ProtocolError, match="one test_time for all tasks, got test_time= 2024-09-02, churn 2024-09-01"):
        write(db, tmp_path / "rel", given, test_time="2024-09-02")
    open_task = EntityTask("customer", CHURN, "45 days", "binary")
    write(db, tmp_path / "rel", {"open": open_task, "churn": given["churn"]})
    assert read_relbench_tasks(tmp_path / "rel")["open"].val_time == given["churn"].val_time


@pytest.mark.slow
def test_tasks_that_cannot_be_written(db: Database, tmp_path: Path) -> None:
    times = {"val_time": "2024-07-01", "test_time": "2024-09-01"}
    for name in ("", "..", "a/b"):
        with pytest.raises(AdapterError, match="this is no name of a folder; use letters, digits and dashes"):
            write(db, tmp_path / "rel", {name: tasks()["churn"]})
    broken = EntityTask("customer", "SELECT 1 AS label", "45 days", "binary", **times)
    with pytest.raises(SchemaError, match="task 'broken': the task's SQL must give the columns"):
        write(db, tmp_path / "rel", {"broken": broken})
    long = EntityTask("customer", CHURN, "100 days", "binary", **times)
    with pytest.raises(ProtocolError, match="task 'long': split 'val' has no seed time"):
        write(db, tmp_path / "rel", {"long": long})
    unknown = EntityTask("person", CHURN, "45 days", "binary", **times)
    with pytest.raises(SchemaError, match="task 'unknown': there is no table 'person'"):
        write(db, tmp_path / "rel", {"unknown": unknown})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
def test_formula_1_both_ways(data_dir: Path, tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "benchmarks" / "f1.py"
    spec = importlib.util.spec_from_file_location("f1", file)
    assert spec is not None
    assert spec.loader is not None
    f1 = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(f1)
    given = {"driver-dnf": f1.driver_dnf(), "driver-top3": f1.driver_top3(), "driver-position": f1.driver_position()}
    published = {"driver-dnf": (11411, 566, 702), "driver-top3": (1353, 588, 726), "driver-position": (7453, 499, 760)}
    out = tmp_path / "rel-f1"
    with f1.connect(data_dir / "db" / "f1", progress=False) as db:
        write(db, out, given)
    data = loaded(out)
    assert sum(len(table) for table in data.get_db().table_dict.values()) == 74_063
    for name, counts in published.items():
        for regenerate in (False, True):
            task = data.load_task(name, regenerate=regenerate)
            assert tuple(len(task.get_table(split, mask_input_cols=False)) for split in SPLITS) == counts
    with relgraph.connect(out, progress=False) as back:
        found = read_relbench_tasks(out)
        assert {
            name: tuple(len(task.seeds(back, split)) for split in SPLITS) for name, task in found.items()
        } == published


@pytest.mark.data
def test_chinook_both_ways(data_dir: Path, tmp_path: Path) -> None:
    times = {"Invoice": "InvoiceDate", "Employee": "HireDate"}
    with relgraph.connect(data_dir / "db" / "chinook.sqlite", times=times, progress=False) as db:
        write(db, tmp_path / "chinook", {})
        ours = relgraph.build_graph(db, progress=False)
        place = {name: numbers(tmp_path / "chinook", db, name) for name in db.schema.names}
    with relgraph.connect(tmp_path / "chinook", progress=False) as back:
        theirs = relgraph.build_graph(back, progress=False)
        assert theirs.num_nodes == 15_607
        assert theirs.num_edges == 33_244
        for kind, edges in ours.edges.items():
            pairs = zip(place[kind[0]][edges.edge_index[0]], place[kind[2]][edges.edge_index[1]], strict=True)
            found = zip(*theirs.edges[kind].edge_index.tolist(), strict=True)
            assert sorted(found) == sorted((int(a), int(b)) for a, b in pairs), kind
        for name, store in ours.nodes.items():
            other = theirs.nodes[name].time
            assert (store.time is None) == (other is None)
            if store.time is not None and other is not None:
                assert np.array_equal(other.numpy()[place[name]], store.time.numpy())
    whole = loaded(tmp_path / "chinook").get_db(upto_test_timestamp=False)
    assert sum(len(table) for table in whole.table_dict.values()) == 15_607

"""Recommendations and columns written into RelBench v3 folders: the same here, in the files, and made by RelBench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

import relgraph
from relgraph.adapters import read_relbench_seeds, read_relbench_tasks, write_relbench
from relgraph.data.database import Database
from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import ProtocolError
from relgraph.tasks import ColumnTask, EntityTask, LinkSeeds, LinkTask, Task
from tests.adapters.relbench_folders import loaded, numbers

SPLITS = ("train", "val", "test")
TIMES: dict[str, Any] = {"val_time": "2024-07-01", "test_time": "2024-09-01"}
LISTS = """
    SELECT t.timestamp, r.customer_id, list(DISTINCT r.product_id) AS product_id
    FROM timestamps t JOIN review r ON r.written_at > t.timestamp AND r.written_at <= t.timestamp + {horizon}
    GROUP BY ALL
"""


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = tmp_path_factory.mktemp("shop")
    generate_shop(place / "shop.sqlite", customers=80, products=25)
    with relgraph.connect(place / "shop.sqlite", times=SHOP_TIMES, progress=False) as shop:
        yield shop


@pytest.fixture(scope="module")
def given(db: Database) -> dict[str, Task]:
    next_review = {"via": "review", "horizon": "45 days", "progress": False, **TIMES}
    return {
        "reviews": LinkTask.next(db, "customer", "product", **next_review, k=5, metric="recall", regime="frozen"),
        "lists": LinkTask("customer", "product", LISTS, "45 days", **TIMES),
        "rating": ColumnTask("review", "rating", **TIMES, kind="regression", hide=["product.price"]),
    }


@pytest.fixture(scope="module")
def folder(db: Database, given: dict[str, Task], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out") / "rel-shop"
    notes = write_relbench(db, place, given, progress=False)
    assert [note for note in notes if "external" in note] == []
    return place


def as_links(seeds: Any, source: np.ndarray | None = None, target: np.ndarray | None = None) -> list[Any]:
    """Moment, source and targets of each seed, in the numbers of the folder."""
    assert isinstance(seeds, LinkSeeds)
    found = []
    for i, (time, node) in enumerate(zip(seeds.moments.tolist(), seeds.node.tolist(), strict=True)):
        ends = seeds.target[int(seeds.ptr[i]) : int(seeds.ptr[i + 1])].tolist()
        named = sorted(ends if target is None else target[ends].tolist())
        found.append((time, node if source is None else int(source[node]), named))
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reviews", "lists"])
def test_recommendations_come_back_with_the_same_links(
    db: Database, given: dict[str, Task], folder: Path, name: str
) -> None:
    ours, found = given[name], read_relbench_tasks(folder, progress=False)[name]
    assert isinstance(ours, LinkTask)
    assert isinstance(found, LinkTask)
    assert (found.k, found.metric, found.regime, found.horizon) == (ours.k, ours.metric, ours.regime, ours.horizon)
    source, target = numbers(folder, db, "customer"), numbers(folder, db, "product")
    with relgraph.connect(folder, progress=False) as written:
        query = "SELECT customer_id FROM customer WHERE joined <= '2024-09-01'"
        joined = set(written.sql(query)["customer_id"].to_pylist())
        for split in SPLITS:
            # as in RelBench, nobody is asked about who joined after the test time
            expected = [seed for seed in as_links(ours.seeds(db, split), source, target) if seed[1] in joined]
            assert len(expected) > 2
            assert as_links(found.seeds(written, split)) == expected
            assert as_links(read_relbench_seeds(written, folder, name, split)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize("name", ["reviews", "lists"])
def test_relbench_reads_the_links_and_makes_the_same(folder: Path, name: str, regenerate: bool) -> None:
    theirs = loaded(folder).load_task(name, regenerate=regenerate)
    with relgraph.connect(folder, progress=False) as written:
        for split in SPLITS:
            frame = theirs.get_table(split, mask_input_cols=False).df
            times = frame[theirs.time_col].astype("datetime64[us]").astype("int64").tolist()
            ends = [sorted(map(int, cell)) for cell in frame[theirs.dst_entity_col]]
            found = sorted(zip(times, frame[theirs.src_entity_col].tolist(), ends, strict=True))
            assert found == as_links(read_relbench_tasks(folder, progress=False)[name].seeds(written, split))
    assert theirs.eval_k == {"reviews": 5, "lists": 10}[name]


@pytest.mark.slow
def test_a_column_comes_back_and_relbench_hides_it(db: Database, given: dict[str, Task], folder: Path) -> None:
    ours, found = given["rating"], read_relbench_tasks(folder, progress=False)["rating"]
    assert isinstance(found, ColumnTask)
    assert found.hidden == ours.hidden == ("review.rating", "product.price")
    theirs, place = loaded(folder).load_task("rating"), numbers(folder, db, "review")
    assert not (folder / "tasks" / "rating" / "train.parquet").exists()
    assert "price" not in theirs.get_db().table_dict["product"].df
    with relgraph.connect(folder, progress=False) as written:
        for split in SPLITS:
            seeds, back = ours.seeds(db, split), found.seeds(written, split)
            expected = sorted(zip(place[seeds.node.numpy()].tolist(), seeds.label.tolist(), strict=True))
            assert sorted(zip(back.node.tolist(), back.label.tolist(), strict=True)) == expected
            frame = theirs.get_table(split, mask_input_cols=False).df
            assert sorted(zip(frame[theirs.entity_col], frame["rating"], strict=True)) == expected


@pytest.mark.slow
def test_a_folder_that_was_read_is_written_with_the_same_links(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    with relgraph.connect(folder, progress=False) as db:
        write_relbench(db, again, dict(read_relbench_tasks(folder, progress=False)), progress=False)
    with relgraph.connect(folder, progress=False) as one, relgraph.connect(again, progress=False) as two:
        for split in SPLITS:
            first = read_relbench_seeds(one, folder, "reviews", split)
            assert as_links(read_relbench_seeds(two, again, "reviews", split)) == as_links(first)


@pytest.mark.slow
def test_a_link_query_that_names_keys_becomes_links_without_a_query(db: Database, tmp_path: Path) -> None:
    some = int(db.sql("SELECT customer_id FROM review ORDER BY written_at LIMIT 1")["customer_id"][0].as_py())
    task = LinkTask(
        "customer", "product", LISTS.replace("GROUP", f"WHERE customer_id <> {some} GROUP"), "45 days", **TIMES
    )
    (note,) = [n for n in write_relbench(db, tmp_path / "rel", {"t": task}, progress=False) if "external" in n]
    assert "task 't' is of kind external, labels without a query, because its query gives other labels" in note
    assert yaml.safe_load((tmp_path / "rel" / "tasks" / "t" / "manifest.yaml").read_text())["kind"] == "external"
    frame = loaded(tmp_path / "rel").load_task("t").get_table("train", mask_input_cols=False).df
    source, target = numbers(tmp_path / "rel", db, "customer"), numbers(tmp_path / "rel", db, "product")
    expected = as_links(task.seeds(db, "train"), source, target)
    assert [sorted(map(int, cell)) for cell in frame["product_id"]] == [ends for _, _, ends in expected]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (LinkTask("customer", "product", LISTS, "45 days", **TIMES, num_eval_times=2), "num_eval_times must be 1"),
        (EntityTask("customer", "SELECT 1", None, "binary"), "RelBench has no tasks without time"),
        (ColumnTask("order_line", "price", **TIMES, regime="frozen"), "table 'order_line' has none"),
    ],
)
def test_what_relbench_does_not_have(db: Database, tmp_path: Path, task: Task, why: str) -> None:
    with (
        relgraph.connect(
            {
                "order_line": pa.table({"price": [1.0]}),
                "customer": pa.table({"id": [1]}),
                "product": pa.table({"id": [1]}),
            },
            progress=False,
        ) as small,
        pytest.raises(ProtocolError, match=f"task 't' cannot be written: .*{why}"),
    ):
        write_relbench(small, tmp_path / "rel", {"t": task}, **TIMES, progress=False)
    assert list(tmp_path.iterdir()) == []

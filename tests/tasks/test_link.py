"""Link tasks: which rows are linked when, what a wrong query is told, and metrics by hand and by RelBench's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.metrics import LINK_METRICS, link_metrics
from relgraph.tasks import LinkTask, task_from_dict
from tests.tasks.shop import day, days

LINKED = """
    SELECT t.timestamp, o.buyer, o.item FROM timestamps t
    JOIN orders o ON o.at > t.timestamp AND o.at <= t.timestamp + {horizon}
"""


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    rows = [
        (0, "ann", 0), (12, "ann", 1), (14, "ann", 1), (15, "ann", 0), (15, "bob", 2), (61, "bob", 0), (70, "bob", 1),
        (75, "cem", 2), (79, None, 1), (79, "dan", 1), (81, "bob", 2), (85, "ann", 3), (86, "ann", 9), (100, "ann", 0),
    ]  # fmt: skip
    orders = pd.DataFrame(
        {"at": [day(d) for d, *_ in rows], "buyer": [b for _, b, _ in rows], "item": [i for *_, i in rows]}
    )
    item = pd.DataFrame({"id": range(4), "listed": [day(0), day(0), day(13), day(88)]})
    with relgraph.connect(
        {"customer": pd.DataFrame({"name": ["ann", "bob", "cem"]}), "item": item, "orders": orders},
        keys={"customer": "name", "item": "id", "orders": {"foreign_keys": {"buyer": "customer", "item": "item"}}},
        times={"orders": "at", "item": "listed"},
        progress=False,
    ) as database:
        yield database


def task(**changes: Any) -> LinkTask:
    given: dict[str, Any] = {
        "entity_table": "customer",
        "target_table": "item",
        "sql": LINKED,
        "horizon": "10 days",
        "entity_column": "buyer",
        "target_column": "item",
        "val_time": str(day(60)),
        "test_time": str(day(80)),
        "num_eval_times": 2,
    }
    return LinkTask(**{**given, **changes})


def links(seeds: Any) -> list[tuple[float, int, list[int]]]:
    parts = [part.tolist() for part in seeds.target.tensor_split(seeds.ptr[1:-1])]
    return list(zip(days(seeds.time), seeds.node.tolist(), parts, strict=True))


def test_links_by_hand(db: Any) -> None:
    train = task().seeds(db, "train")
    assert links(train) == [(10, 0, [0, 1]), (10, 1, [2])]  # a repeated link counts once
    assert train.keys.to_pydict() == {"name": ["ann", "bob"]}
    (unborn,) = train.notes
    assert unborn.startswith("1 of 3 links lead to rows of table 'item' that come into being only after the timestamp")
    val = task().seeds(db, "val")
    assert links(val) == [(60, 1, [0, 1]), (70, 2, [2])]  # day 70 belongs to the first window
    assert val.notes == ("1 links of the task's SQL have a key that table 'customer' does not have: dropped",)
    test = task().seeds(db, "test")
    assert links(test) == [(80, 0, [3]), (80, 1, [2]), (90, 0, [0])]
    assert len(test) == 3
    assert any("have a key that table 'item' does not have" in note for note in test.notes)
    assert test.moments is test.time
    assert (test.node.dtype, test.ptr.dtype, test.target.dtype) == (torch.int64,) * 3


@pytest.mark.slow
def test_lists_are_the_same_as_rows(db: Any) -> None:
    listed = f"SELECT timestamp, buyer, list(item) AS items FROM ({LINKED}) GROUP BY ALL UNION ALL SELECT * FROM ("
    listed += (
        "SELECT timestamp, 'cem', []::INT[] FROM timestamps UNION ALL SELECT timestamp, 'cem', NULL FROM timestamps)"
    )
    for split in ("train", "val", "test"):
        rows, lists = task().seeds(db, split), task(sql=listed, target_column="items").seeds(db, split)
        assert links(lists) == links(rows)


def test_labels_of_train_see_nothing_after_the_test_time(db: Any) -> None:
    sql = "SELECT timestamp, buyer, item FROM timestamps, orders WHERE item < 4 AND buyer <> 'dan'"
    assert links(task(sql=sql).seeds(db, "val"))[0] == (60, 0, [0, 1])
    assert links(task(sql=sql).seeds(db, "test"))[0] == (80, 0, [0, 1, 3])


def test_links_without_time(db: Any) -> None:
    sql = "SELECT DISTINCT buyer, item FROM orders WHERE buyer IN (SELECT name FROM customer) AND item < 4"
    static = task(sql=sql, horizon=None, val_time=None, test_time=None, fractions=(0.4, 0.3, 0.3))
    assert (static.regime, static.until, static.val_time) == ("static", None, None)
    people = []
    for split in ("train", "val", "test"):
        try:
            seeds = static.seeds(db, split)
        except ProtocolError:  # three customers need not fill three splits
            continue
        assert seeds.time is None
        people += seeds.node.tolist()
    assert sorted(people) == [0, 1, 2]
    told = f"SELECT *, CASE buyer WHEN 'ann' THEN 'train' WHEN 'bob' THEN 'Val ' ELSE 'test' END AS part FROM ({sql})"
    seeds = task(sql=told, horizon=None, val_time=None, test_time=None, split_column="part").seeds(db, "val")
    assert (seeds.node.tolist(), seeds.target.tolist()) == ([1], [0, 1, 2])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sql": "SELECT 1 AS buyer FROM timestamps"}, SchemaError, "it lacks 'timestamp', 'item' and gives 'buyer'"),
        (
            {"sql": LINKED.replace("t.timestamp,", "t.timestamp + INTERVAL 1 DAY AS timestamp,")},
            SchemaError,
            "not in the",
        ),
        ({"sql": LINKED + "WHERE FALSE"}, ProtocolError, "split 'val' has no links: the task's SQL gives 0 rows"),
        ({"entity_column": "item"}, ProtocolError, "both be read from column 'item' of the task's SQL"),
        ({"target_table": "orders", "target_column": None}, SchemaError, "'orders' has no primary key"),
        ({"target_column": ["item", "at"]}, SchemaError, "target_column: expected 1 columns for key"),
        ({"entity_table": "nobody"}, SchemaError, "there is no table 'nobody'"),
    ],
)
def test_a_wrong_query(db: Any, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        task(**changes).seeds(db, "val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k: expected a whole number of at least 1, got 0"),
        ({"metric": "auroc"}, "metric: expected one of map, recall, ndcg, precision, got 'auroc'"),
        ({"metric": "map@5"}, "metric: expected one of map, .*got 'map@5'"),
        ({"horizon": None}, "a static task has no time, but got val_time="),
        ({"target_table": 3}, "target_table: expected text, got 3"),
        ({"fractions": (0.5, 0.25, 0.25)}, "fractions and split_column split a task without time"),
        ({"hide": ["price"]}, "hide: expected columns such as 'table.column', got 'price'"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        task(**changes)


def test_settings_survive_as_json() -> None:
    whole = task(k=5, metric="ndcg", regime="frozen", hide=["item.listed"])
    again = task_from_dict(whole.to_dict())
    assert isinstance(again, LinkTask)
    assert again.to_dict() == whole.to_dict()
    assert (again.metric, again.mode, again.kind, again.k) == ("ndcg@5", "max", "link", 5)
    assert again.until == again.test_time == whole.moments[1]
    assert again.hidden == ("item.listed",)
    assert "LinkTask('customer' to 'item', horizon 10 days" in repr(again)
    assert task(metric="map@10").metric == "map@10"


def test_metrics_by_hand() -> None:
    # first: hits at 1 and 3 of two targets; second: one hit at 2 of four targets; the third has no target
    ranked = [[7, 1, 3], [8, 5, 9], [1, 2, 3]]
    found = link_metrics(ranked, [0, 2, 6, 6], [3, 7, 0, 1, 2, 5], k=3)
    assert found["map@3"] == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2) / 3) / 2)
    assert found["recall@3"] == pytest.approx((1 + 1 / 4) / 2)
    assert found["precision@3"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    gain = [1, 1 / np.log2(3), 1 / 2]
    assert found["ndcg@3"] == pytest.approx(((gain[0] + gain[2]) / (gain[0] + gain[1]) + gain[1] / sum(gain)) / 2)
    narrow = link_metrics([[7], [5]], [0, 1, 2], [7, 4], k=3)
    assert narrow == pytest.approx({"map@3": 0.5, "recall@3": 0.5, "ndcg@3": 0.5, "precision@3": 1 / 6})
    padded = link_metrics([[7, -1, -1], [5, -1, -1]], [0, 1, 2], [7, 4], k=3)
    assert padded == narrow


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.permutations(range(7)), st.sets(st.integers(0, 6))), min_size=1, max_size=6),
)
def test_metrics_are_their_definitions(k: int, rows: list[tuple[list[int], set[int]]]) -> None:
    ptr = np.cumsum([0, *(len(targets) for _, targets in rows)])
    target = [number for _, targets in rows for number in sorted(targets)]
    ranked = np.array([order for order, _ in rows])
    asked = [(order, targets) for order, targets in rows if targets]
    if not asked:
        with pytest.raises(ProtocolError, match="no row has a target"):
            link_metrics(ranked, ptr, target, k)
        return
    sums = dict.fromkeys(LINK_METRICS, 0.0)
    for order, targets in asked:
        right = [number in targets for number in order[:k]]
        sums["map"] += sum(sum(right[: i + 1]) / (i + 1) for i, hit in enumerate(right) if hit) / min(k, len(targets))
        sums["recall"] += sum(right) / len(targets)
        sums["precision"] += sum(right) / k
        best = sum(1 / np.log2(i + 2) for i in range(min(k, len(targets))))
        sums["ndcg"] += sum(1 / np.log2(i + 2) for i, hit in enumerate(right) if hit) / best
    expected = {f"{name}@{k}": value / len(asked) for name, value in sums.items()}
    assert link_metrics(ranked, ptr, target, k) == pytest.approx(expected)


def test_the_task_asks_for_its_own_k(db: Any) -> None:
    seeds = task(k=1).seeds(db, "val")
    found = task(k=1).metrics(seeds, torch.tensor([[1, 0, 2], [3, 2, 0]]))
    assert found == pytest.approx({"map@1": 0.5, "recall@1": 0.25, "ndcg@1": 0.5, "precision@1": 0.5})
    with pytest.raises(ShapeError, match="expected LinkSeeds as the label, got list"):
        task().metrics([1], torch.zeros(1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranked", "ptr", "target", "message"),
    [
        ([[1, 1]], [0, 1], [1], "ranked: 1 rows stand twice for the same seed"),
        ([[1, 2]], [0, 2], [1, 1], "target: 1 rows stand twice"),
        ([[1, 2]], [0, 1, 2], [1, 1], r"in 1 steps \(the rows ranked\), got 2 steps from \[0\] to \[2\]"),
        ([[1, 2]], [0, 2], [1], r"ptr to rise from 0 to 1 \(the targets\)"),
        ([[1.0, 2.0]], [0, 1], [1], "ranked: expected whole numbers with 2 dimensions, got float64"),
        ([1, 2], [0, 1], [1], r"ranked: expected whole numbers with 2 dimensions, got int64 \[2\]"),
        ([[-2, 2]], [0, 1], [1], "expected numbers of rows from 0 on"),
        ([[0, 2]], [0, 1], [-1], "expected numbers of rows from 0 on"),
    ],
)
def test_refused_rankings(ranked: Any, ptr: Any, target: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        link_metrics(ranked, ptr, target, 2)
    with pytest.raises(ProtocolError, match="k: expected at least 1"):
        link_metrics([[1]], [0, 1], [1], 0)

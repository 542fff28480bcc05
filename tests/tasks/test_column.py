"""Columns to fill in: seeds, classes, splits, and that nobody sees what is to be filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.errors import LeakageError, ProtocolError, SchemaError
from relgraph.tasks import ColumnTask, task_from_dict
from tests.tasks.shop import connected, day, days, frames

TIMES = {"val_time": str(day(60)), "test_time": str(day(80))}


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    with connected() as database:
        yield database


def whole(task: ColumnTask, db: Any) -> dict[int, float]:
    """Label by row number over all splits, which are disjoint."""
    found: dict[int, float] = {}
    for split in ("train", "val", "test"):
        seeds = task.seeds(db, split)
        assert not found.keys() & set(seeds.node.tolist())
        found |= dict(zip(seeds.node.tolist(), seeds.label.tolist(), strict=True))
    return found


def test_rows_are_asked_about_at_their_own_time(db: Any) -> None:
    order = frames()["order"]
    task = ColumnTask("order", "paid", **TIMES)
    seen = []
    for split, low, high in (("train", -1.0, 60.0), ("val", 60.0, 80.0), ("test", 80.0, 1e9)):
        seeds = task.seeds(db, split)
        at = (order["at"] - day(0)) / pd.Timedelta(days=1)
        expected = order[(at > low) & (at <= high)].sort_values(["at", "order id"])
        assert seeds.node.tolist() == expected.index.tolist()
        assert days(seeds.time) == pytest.approx(at[expected.index].tolist())
        assert seeds.label.tolist() == expected["paid"].astype(float).tolist()
        assert seeds.keys.to_pydict() == {"order id": expected["order id"].tolist()}
        seen += seeds.node.tolist()
    assert set(seen) == set(order[order["at"].notna()].index)  # nobody knows when the others were


def test_a_table_without_time_takes_that_of_what_it_refers_to(db: Any) -> None:
    line, order = frames()["line"], frames()["order"].set_index("order id")
    task = ColumnTask("line", "quantity", **TIMES).with_times(db)
    assert (task.kind, task.regime, task.metric, task.mode) == ("regression", "seed-time", "mae", "min")
    at = line["order"].map(order["at"])
    known = line[at.notna() & line["quantity"].notna()]
    assert whole(task, db) == dict(zip(known.index, known["quantity"].astype(float), strict=True))
    train = task.seeds(db, "train")
    assert days(train.time) == pytest.approx(sorted((at[known.index] - day(0))[at <= day(60)] / pd.Timedelta(days=1)))
    assert train.keys.column_names == ["row"]


def test_times_that_are_not_given_are_quantiles_of_the_table(db: Any, capsys: pytest.CaptureFixture[str]) -> None:
    task = ColumnTask("order", "paid").with_times(db)
    at = np.sort(frames()["order"]["at"].dropna().to_numpy())
    expected = [at[int(np.ceil(share * len(at))) - 1].astype("datetime64[us]").astype(int) for share in (0.8, 0.9)]
    assert list(task.moments) == expected
    assert (task.kind, task.classes) == ("binary", ("false", "true"))
    shown = capsys.readouterr().err
    assert "order.paid is predicted as binary" in shown
    assert "quantiles of the rows of order" in shown
    sizes = [len(task.seeds(db, split)) for split in ("train", "val", "test")]
    assert sizes[0] > sizes[1] > 0


def test_classes_of_text_and_of_numbers(db: Any) -> None:
    segment = ColumnTask("customer", "segment", regime="static").with_times(db)
    assert (segment.kind, segment.classes, segment.metric) == ("multiclass", ("new", "old", "vip"), "accuracy")
    labels = {}
    for split in ("train", "val", "test"):
        try:
            seeds = segment.seeds(db, split)
        except ProtocolError:  # five rows need not fill three splits
            continue
        assert seeds.time is None
        assert seeds.label.dtype == torch.int64
        labels |= dict(zip(seeds.node.tolist(), seeds.label.tolist(), strict=True))
    assert labels == {0: 0, 1: 1, 3: 0, 4: 1, 5: 2}
    numbers = ColumnTask("line", "quantity", kind="multiclass", **TIMES).with_times(db)
    assert numbers.classes == tuple("0123456")  # whole numbers stand for themselves
    regression = ColumnTask("line", "quantity", kind="regression", **TIMES)
    assert whole(numbers, db) == whole(regression, db)


def test_a_class_that_training_never_saw_is_wrong_and_no_error(db: Any) -> None:
    task = ColumnTask("customer", "segment", kind="multiclass", regime="static", classes=["new", "old"])
    assert task.metrics(torch.tensor([0, 2]), torch.tensor([[0.9, 0.1], [0.4, 0.6]]))["accuracy"] == 0.5
    notes = [n for split in ("train", "val", "test") for n in _notes(task, db, split)]
    assert notes == ["1 values of customer.segment are none of the task's classes: class 2"]


def _notes(task: ColumnTask, db: Any, split: Any) -> tuple[str, ...]:
    try:
        return task.seeds(db, split).notes
    except ProtocolError:
        return ()


def test_a_static_split_stays_where_it_is_when_rows_come() -> None:
    def made(rows: int) -> dict[str, set[int]]:
        frame = pd.DataFrame({"id": range(rows), "x": np.arange(rows) * 1.5})
        with relgraph.connect({"t": frame}, keys={"t": "id"}, progress=False) as db:
            task = ColumnTask("t", "x", fractions=(0.7, 0.2, 0.1))
            assert task.with_times(db).regime == "static"
            return {split: set(task.seeds(db, split).node.tolist()) for split in ("train", "val", "test")}

    few, many = made(500), made(2000)
    assert all(few[split] == {node for node in many[split] if node < 500} for split in few)
    assert sum(map(len, many.values())) == 2000
    assert [len(part) for part in many.values()] == pytest.approx([1400, 400, 200], abs=60)


def test_the_column_is_hidden_from_features(db: Any) -> None:
    task = ColumnTask("line", "quantity", hide=["order.paid"], **TIMES)
    assert task.hidden == ("line.quantity", "order.paid")
    task = task.with_times(db)
    shown = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    with pytest.raises(LeakageError, match=r"shows line.quantity, order.paid, .* build_graph\(db, hide=task.hidden\)"):
        task.require_hidden(shown)
    half = relgraph.build_graph(db, fit_until=task.val_time, hide=["line.quantity"], progress=False)
    with pytest.raises(LeakageError, match=r"the graph shows order.paid, from"):
        task.require_hidden(half)
    graph = relgraph.build_graph(db, fit_until=task.val_time, hide=task.hidden, progress=False)
    task.require_hidden(graph)
    with pytest.raises(LeakageError, match="build_graph"):
        relgraph.fit(db, shown, task, epochs=1, channels=4, num_neighbors=(2, 2), progress=False)


def test_what_cannot_be_hidden(db: Any) -> None:
    for hide, message in [
        (["line.order"], "hide: line.order is part of a key"),
        (["quantity"], "hide: 'quantity' names no column; expected 'table.column'"),
        (["line.price"], "table 'line' has no column 'price'"),
    ]:
        with pytest.raises(SchemaError, match=message):
            relgraph.build_graph(db, hide=hide, progress=False)


@pytest.mark.parametrize(
    ("table", "column", "changes", "error", "message"),
    [
        ("order", "at", {}, SchemaError, "order.at is part of a time and cannot be filled in"),
        ("order", "buyer", {}, SchemaError, "order.buyer is part of a key and cannot be filled in; a LinkTask ranks"),
        ("order", "price", {}, SchemaError, "table 'order' has no column 'price'"),
        ("product", "gone", {}, SchemaError, "has no column 'gone'"),
        ("group", "name", {"regime": "seed-time"}, ProtocolError, "'group' has no time and refers to no row"),
        ("line", "quantity", {"kind": "binary"}, ProtocolError, "more than 2 different values"),
        ("group", "name", {"kind": "regression"}, ProtocolError, "values of group.name are no finite numbers"),
    ],
)
def test_columns_that_cannot_be_filled_in(
    db: Any, table: str, column: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ColumnTask(table, column, **changes).seeds(db, "train")


def test_values_of_other_kinds() -> None:
    frame = pd.DataFrame(
        {"id": range(4), "none": [None] * 4, "list": [[1], [2], [3], [4]], "x": [1.0, np.nan, 3.0, 1.0]}
    )
    with relgraph.connect({"t": frame}, keys={"t": "id"}, progress=False) as db:
        with pytest.raises(ProtocolError, match=r"t\.none has no values"):
            ColumnTask("t", "none").with_times(db)
        with pytest.raises(SchemaError, match=r"t\.list has values of type"):
            ColumnTask("t", "list").with_times(db)
        task = ColumnTask("t", "x", fractions=(0.98, 0.01, 0.01)).with_times(db, progress=False)
        assert (task.kind, task.classes) == ("binary", ("1", "3"))
        assert task.seeds(db, "train").label.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "link"}, "kind: expected one of binary, regression, multiclass, got 'link'"),
        ({"metric": "map"}, "metric: expected one of auroc"),
        ({"kind": "binary", "metric": "mae"}, "metric: expected one of auroc, average_precision, accuracy, got 'mae'"),
        ({"regime": "static", "val_time": 3}, "a static task has no time, but got val_time=3"),
        ({"fractions": (0.5, 0.5)}, "fractions: expected shares of train, val and test, adding up to 1"),
        ({"fractions": (0.5, 0.5, 0.5)}, "adding up to 1"),
        ({"column": None}, "column: expected text, got None"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        ColumnTask(**{"entity_table": "t", "column": "x", **changes})


def test_settings_survive_as_json(db: Any) -> None:
    open_task = ColumnTask("order", "paid", hide="customer.segment")
    for name in ("kind", "regime", "val_time"):
        with pytest.raises(ProtocolError, match=rf"{name} of the task is not set: .*task.with_times\(db\)"):
            getattr(open_task, name)
    assert "kind not set" in repr(open_task)
    for task in (open_task, open_task.with_times(db, progress=False)):
        again = task_from_dict(json.loads(json.dumps(task.to_dict())))
        assert isinstance(again, ColumnTask)
        assert again.to_dict() == task.to_dict()
        assert again.hidden == ("order.paid", "customer.segment")
    frozen = ColumnTask("order", "paid", regime="frozen", **TIMES)
    assert frozen.until == frozen.test_time

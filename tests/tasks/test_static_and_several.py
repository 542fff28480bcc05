"""Entity tasks without time, and with several labels per row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import torch

import relgraph
from relgraph.errors import ProtocolError, SchemaError
from relgraph.tasks import EntityTask, task_from_dict
from tests.tasks.shop import day

PLAIN = "SELECT id, (id % 2)::INT AS label FROM paper"


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    paper = pd.DataFrame({"id": range(300), "at": [day(i / 3) for i in range(300)]})
    with relgraph.connect({"paper": paper}, keys={"paper": "id"}, times={"paper": "at"}, progress=False) as database:
        yield database


def static(sql: str = PLAIN, kind: Any = "binary", **changes: Any) -> EntityTask:
    return EntityTask("paper", sql, None, kind, **changes)


def test_a_hash_of_the_key_splits(db: Any) -> None:
    task = static()
    assert task.with_times(db) is task
    assert (task.regime, task.until, task.val_time, task.test_time) == ("static", None, None, None)
    seeds = [task.seeds(db, split) for split in ("train", "val", "test")]
    assert all(part.time is None and part.notes == () for part in seeds)
    assert sorted(node for part in seeds for node in part.node.tolist()) == list(range(300))
    assert [len(part) for part in seeds] == pytest.approx([240, 30, 30], abs=18)
    assert all(part.label.tolist() == [node % 2 for node in part.node.tolist()] for part in seeds)
    assert [len(part) for part in seeds] == [len(task.seeds(db, split)) for split in ("train", "val", "test")]
    with pytest.raises(ProtocolError, match="this needs seed times, but the task has none"):
        _ = seeds[0].moments
    for attribute in ("horizon", "moments"):
        with pytest.raises(ProtocolError):
            getattr(task, attribute)


def test_a_column_splits(db: Any) -> None:
    parts = "CASE WHEN id < 5 THEN 'train' WHEN id < 7 THEN 'VAL' WHEN id < 8 THEN 'test' END"
    sql = f"SELECT *, {parts} AS part FROM ({PLAIN})"
    task = static(sql, split_column="part")
    assert [task.seeds(db, split).node.tolist() for split in ("train", "val", "test")] == [[0, 1, 2, 3, 4], [5, 6], [7]]
    again = task_from_dict(task.to_dict())
    assert again.to_dict() == task.to_dict()
    assert "static" in repr(again)
    with pytest.raises(SchemaError, match="gives the split 'dev' in column 'part'; expected train, val, test"):
        static(sql.replace("'VAL'", "'dev'"), split_column="part").seeds(db, "train")
    with pytest.raises(SchemaError, match="it lacks 'part'"):
        static(split_column="part").seeds(db, "train")
    with pytest.raises(ProtocolError, match="split 'test' has no rows"):
        static(sql.replace("'test'", "'train'"), split_column="part").seeds(db, "test")


def test_a_file_says_static_without_a_null() -> None:
    task = task_from_dict({"entity_table": "paper", "sql": PLAIN, "kind": "binary", "regime": "static"})
    assert task.regime == "static"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regime": "frozen"}, "regime: a task without a horizon is 'static', got 'frozen'; give horizon="),
        ({"test_time": "2020-01-01"}, "a static task has no time, but got test_time='2020-01-01'"),
        ({"horizon": "1 day", "regime": "static"}, "a static task has no time, but got horizon='1 day'"),
        ({"horizon": "1 day", "split_column": "part"}, "fractions and split_column split a task without time"),
        ({"kind": "multilabel", "metric": "auroc"}, "metric: expected one of macro_auroc"),
        ({"label_column": ["a", "b"]}, r"expected one column for a binary task, got \('a', 'b'\)"),
        ({"label_column": []}, "label_column: expected one column"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        EntityTask(**{"entity_table": "paper", "sql": PLAIN, "horizon": None, "kind": "binary", **changes})


def test_a_horizon_that_is_missing(db: Any) -> None:
    with pytest.raises(ProtocolError, match=r"the task's SQL has \{horizon\}, but the task has none; give horizon="):
        static(PLAIN + " WHERE at < at + {horizon}").seeds(db, "train")


def test_several_labels_as_columns_and_as_lists(db: Any) -> None:
    columns = "SELECT id, (id % 2)::INT AS odd, (id % 3 = 0) AS third FROM paper"
    lists = f"SELECT id, [odd, third::INT] AS label FROM ({columns})"
    arrays = f"SELECT id, [odd, third::INT]::DOUBLE[2] AS label FROM ({columns})"
    by_column = static(columns, "multilabel", label_column=["odd", "third"])
    for task in (by_column, static(lists, "multilabel"), static(arrays, "multilabel")):
        seeds = task.seeds(db, "val")
        assert seeds.label.dtype == torch.float64
        assert seeds.label.tolist() == [[node % 2, node % 3 == 0] for node in seeds.node.tolist()]
        assert task.metric == "macro_auroc"
    assert task_from_dict(by_column.to_dict()).to_dict() == by_column.to_dict()
    found = by_column.metrics(seeds.label, seeds.label * 0.8 + 0.1)
    assert found == {"macro_auroc": 1.0, "macro_average_precision": 1.0, "micro_f1": 1.0}


@pytest.mark.parametrize(
    ("sql", "kind", "error", "message"),
    [
        ("SELECT id, [1, 0] AS label FROM paper", "binary", ProtocolError, "got a list in column 'label'; lists make"),
        (PLAIN, "multilabel", ProtocolError, r"several labels per row, got one number .*label_column=\[...\]"),
        (
            "SELECT id, [1, 2] AS label FROM paper",
            "multilabel",
            ProtocolError,
            "multilabel labels must be 0 or 1; got 2",
        ),
        ("SELECT id, [1, NULL] AS label FROM paper", "multilabel", SchemaError, "with a NULL"),
        ("SELECT id, NULL::INT[] AS label FROM paper", "multilabel", SchemaError, "with a NULL"),
        (
            "SELECT id, CASE WHEN id > 9 THEN [1] ELSE [1, 0] END AS label FROM paper",
            "multilabel",
            ProtocolError,
            "must be lists of one length, got 1 to 2 numbers",
        ),
    ],
)
def test_labels_that_do_not_fit(db: Any, sql: str, kind: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        static(sql, kind).seeds(db, "train")

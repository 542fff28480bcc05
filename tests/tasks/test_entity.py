"""Tasks: which rows, which moments, which labels, and what a wrong query is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow
import pytest
import torch

import relgraph
from relgraph.data.interval import format_interval, interval_sql, parse_interval
from relgraph.errors import ProtocolError, SchemaError
from relgraph.tasks import EntityTask, LinkSeeds, Seeds, task_from_dict

DAY = 86_400_000_000
BOUGHT = """
    SELECT c.id, t.timestamp, (count(o.id) > 0)::INT AS label
    FROM timestamps t CROSS JOIN customer c
    LEFT JOIN orders o ON o.customer = c.id AND o.at > t.timestamp AND o.at <= t.timestamp + {horizon}
    WHERE c.since IS NULL OR c.since <= t.timestamp
    GROUP BY c.id, t.timestamp -- a comment at the end
"""


def day(number: float) -> pd.Timestamp:
    return pd.Timestamp("2020-01-01") + pd.Timedelta(days=number)


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    """Three customers with text keys; orders on days 0 to 100."""
    customer = pd.DataFrame({"id": ["ann", "bob", "cem"], "since": [day(0), day(0), day(55)]})
    at = [*range(0, 101, 10), 55.5, 75]
    orders = pd.DataFrame({"id": range(len(at)), "customer": ["ann"] * 11 + ["bob", "cem"], "at": [day(d) for d in at]})
    with relgraph.connect(
        {"customer": customer, "orders": orders},
        keys={"customer": "id", "orders": {"primary_key": "id", "foreign_keys": {"customer": "customer"}}},
        times={"orders": "at", "customer": "since"},
        progress=False,
    ) as database:
        yield database


def task(**changes: Any) -> EntityTask:
    settings: dict[str, Any] = {
        "entity_table": "customer",
        "sql": BOUGHT,
        "horizon": "10 days",
        "kind": "binary",
        "val_time": str(day(60)),
        "test_time": str(day(80)),
        "num_eval_times": 5,
    }
    return EntityTask(**{**settings, **changes})


def days(time: torch.Tensor) -> list[float]:
    zero = int(day(0).timestamp()) * 1_000_000
    return ((time - zero) / DAY).tolist()


@pytest.mark.slow
def test_seed_times(db: Any) -> None:
    # first row at day 0, last at day 100; windows of ten days
    assert days(task().times(db, "train")) == [0, 10, 20, 30, 40, 50]
    assert days(task().times(db, "val")) == [60, 70]  # the window ends by test_time
    assert days(task().times(db, "test")) == [80, 90]  # the window ends by the last row
    assert days(task(num_eval_times=1).times(db, "test")) == [80]
    assert days(task(horizon="25 days").times(db, "train")) == [10, 35]
    assert days(task(horizon="20 days").times(db, "val")) == [60]


def test_seeds_by_hand(db: Any) -> None:
    seeds = task().seeds(db, "val")
    # at day 60: (60, 70]: ann has 70; at day 70: (70, 80]: ann has 80, cem 75
    assert days(seeds.time) == [60, 60, 60, 70, 70, 70]
    assert seeds.node.tolist() == [0, 1, 2, 0, 1, 2]
    assert seeds.label.tolist() == [1, 0, 0, 1, 0, 1]
    assert seeds.label.dtype == torch.float64
    assert seeds.keys.to_pydict() == {"id": ["ann", "bob", "cem"] * 2}
    assert seeds.notes == ()
    train = task().seeds(db, "train")
    assert set(train.node.tolist()) == {0, 1}  # cem comes on day 55
    assert train.label[train.node == 1].tolist() == [0, 0, 0, 0, 0, 1]
    test = task().seeds(db, "test")
    assert test.label[test.node == 0].tolist() == [1, 1]


def test_labels_of_train_and_val_see_nothing_after_the_test_time(db: Any) -> None:
    sql = "SELECT c.id, timestamp, (SELECT count(*) FROM orders) AS label FROM timestamps, customer c"
    counting = task(sql=sql, kind="regression")
    assert counting.seeds(db, "train").label.unique().tolist() == [11]  # orders up to day 80, inclusive
    assert counting.seeds(db, "test").label.unique().tolist() == [13]


def test_row_numbers_are_those_of_the_whole_table(db: Any) -> None:
    # as known at day 20 only ann and bob are there; cem keeps number 2 anyway
    early = task(val_time=str(day(10)), test_time=str(day(60)), num_eval_times=1)
    late = early.seeds(db, "test")
    assert dict(zip(late.keys["id"].to_pylist(), late.node.tolist(), strict=True)) == {"ann": 0, "bob": 1, "cem": 2}


def test_default_times_are_quantiles(db: Any, capsys: pytest.CaptureFixture[str]) -> None:
    open_task = task(val_time=None, test_time=None)
    for name in ("val_time", "test_time"):
        with pytest.raises(ProtocolError, match=rf"{name} of the task is not set: .*task.with_times\(db\)"):
            getattr(open_task, name)
    timed = open_task.with_times(db)
    # sixteen row times: 0 0 0 10 .. 50 55 55.5 60 70 75 80 90 100 -> quantile_disc takes the 13th and the 15th
    assert days(torch.tensor([timed.val_time, timed.test_time])) == [75, 90]
    assert "val_time 2020-03-16, test_time 2020-03-31" in capsys.readouterr().err
    assert timed.with_times(db) is timed
    half = task(val_time=None).with_times(db, progress=False)
    assert days(torch.tensor([half.val_time, half.test_time])) == [75, 80]
    assert capsys.readouterr().err == ""


def test_a_database_without_times() -> None:
    db = relgraph.connect({"t": pd.DataFrame({"id": [1]})}, keys={"t": "id"}, progress=False)
    with db, pytest.raises(ProtocolError, match="no row has a time"):
        task(val_time=None).with_times(db)


@pytest.mark.parametrize(
    ("sql", "error", "message"),
    [
        (
            "SELECT c.id, timestamp AS t, 1 AS label FROM timestamps, customer c",
            SchemaError,
            "must give the columns 'id', 'timestamp', 'label'; it lacks 'timestamp' and gives 'id', 't', 'label'",
        ),
        (
            "SELECT 1 AS label FROM timestamps",
            SchemaError,
            "lacks 'id', 'timestamp' and gives 'label'",
        ),
        ("SELECT nothing FROM nowhere", SchemaError, "nowhere does not exist"),
        ("DROP TABLE customer", SchemaError, "the query cannot run"),
        (
            "SELECT c.id, timestamp, NULL AS label FROM timestamps, customer c",
            SchemaError,
            r"6 of 6 rows with a NULL \(or unreadable\) label in column 'label'",
        ),
        (
            "SELECT c.id, timestamp, 'yes' AS label FROM timestamps, customer c",
            SchemaError,
            r"6 of 6 rows with a NULL \(or unreadable\) label",
        ),
        (
            "SELECT c.id, NULL::TIMESTAMP AS timestamp, 1 AS label FROM timestamps, customer c",
            SchemaError,
            r"NULL \(or unreadable\) timestamp in column 'timestamp'",
        ),
        (
            "SELECT c.id, timestamp + INTERVAL 1 DAY AS timestamp, 1 AS label FROM timestamps, customer c",
            SchemaError,
            "6 of 6 rows whose time in column 'timestamp' is not in the table timestamps, such as 2020-03-02",
        ),
        (
            "SELECT c.id, timestamp, 2 AS label FROM timestamps, customer c",
            ProtocolError,
            "binary labels must be 0 or 1; got 2 and 5 more",
        ),
        (
            "SELECT c.id, timestamp, 1 AS label FROM timestamps, customer c WHERE false",
            ProtocolError,
            "split 'val' has no rows: the task's SQL gives 0 rows",
        ),
        (
            "SELECT c.id || '!' AS id, timestamp, 1 AS label FROM timestamps, customer c",
            ProtocolError,
            "gives 6 rows, none with a key of table 'customer'",
        ),
    ],
)
def test_a_wrong_query(db: Any, sql: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        task(sql=sql).seeds(db, "val")


def test_what_is_dropped_or_odd_is_noted(db: Any) -> None:
    sql = """
        SELECT id, timestamp, 1 AS label FROM timestamps, (SELECT id FROM customer UNION ALL SELECT 'dan')
        UNION ALL SELECT 'ann', timestamp, 0 FROM timestamps
    """
    seeds = task(sql=sql).seeds(db, "val")
    assert len(seeds) == 8
    assert seeds.notes == (
        "2 rows of the task's SQL have a key that table 'customer' does not have: dropped",
        "2 rows of the task's SQL repeat a key and timestamp: is a GROUP BY missing?",
    )


def test_own_column_names_and_several_classes(db: Any) -> None:
    sql = "SELECT c.id AS who, timestamp AS moment, length(c.id) - 3 AS y FROM timestamps, customer c;"
    named = task(sql=sql, kind="multiclass", entity_column="who", time_column="moment", label_column="Y")
    seeds = named.seeds(db, "val")
    assert seeds.label.dtype == torch.int64
    assert seeds.label.unique().tolist() == [0]
    assert seeds.keys.column_names == ["id"]
    with pytest.raises(ProtocolError, match=r"multiclass labels must be 0, 1, 2, \.\.\.; got -1"):
        task(sql=BOUGHT.replace("> 0)::INT", "> 0)::INT - 1"), kind="multiclass").seeds(db, "val")
    sql = "SELECT c.id, timestamp, 'inf'::DOUBLE AS label FROM timestamps, customer c"
    with pytest.raises(ProtocolError, match="labels must be finite; got 6 that are not"):
        task(sql=sql, kind="regression").seeds(db, "val")
    with pytest.raises(SchemaError, match=r"expected 1 columns for key .*'id'.*, got .*'a', 'b'"):
        task(entity_column=["a", "b"]).seeds(db, "val")


def test_composite_keys_of_mixed_types() -> None:
    frame = pd.DataFrame({"shop": [1, 1, 2], "code": ["a", "b", "a"], "at": [day(0), day(50), day(100)]})
    with relgraph.connect(
        {"item": frame}, keys={"item": {"primary_key": ("shop", "code")}}, times={"item": "at"}, progress=False
    ) as db:
        # the key's number comes as text
        sql = "SELECT shop::VARCHAR AS shop, code, timestamp, 1 AS label FROM timestamps, item"
        seeds = task(entity_table="item", sql=sql).seeds(db, "test")
        assert seeds.node.tolist() == [0, 1, 2, 0, 1, 2]
        assert seeds.keys.slice(0, 3).to_pydict() == {"shop": [1, 1, 2], "code": ["a", "b", "a"]}


def test_seeds_are_told_in_a_line(db: Any) -> None:
    assert repr(task().seeds(db, "train")).startswith("Seeds(")
    assert "\n" not in repr(task().seeds(db, "train"))
    one = Seeds(torch.arange(2), torch.tensor([0, 0]), torch.tensor([0.0, 1.0]).double(), pyarrow.table({"id": [1, 2]}))
    assert repr(one) == "Seeds(2 rows at 1970-01-01, mean label 0.5)"
    static = Seeds(torch.arange(2), None, torch.tensor([0, 1]), pyarrow.table({"id": [1, 2]}))
    assert repr(static) == "Seeds(2 rows)"
    days = torch.tensor([0, 86_400_000_000])
    links = LinkSeeds(torch.arange(2), days, torch.tensor([0, 2, 3]), torch.arange(3), pyarrow.table({"id": [1, 2]}))
    assert repr(links) == "LinkSeeds(2 rows at 2 moments from 1970-01-01 to 1970-01-02, 3 links)"


@pytest.mark.slow
def test_splits_without_room_or_table(db: Any) -> None:
    with pytest.raises(ProtocolError, match="split 'val' has no seed time: no label window of 30 days fits"):
        task(horizon="30 days").seeds(db, "val")
    with pytest.raises(
        ProtocolError, match=r"rows from .* to .*; choose a shorter horizon or other times such as val_time"
    ):
        task(horizon="25 days").seeds(db, "val")
    with pytest.raises(ProtocolError, match="split 'train' has no seed time"):
        task(horizon="30 days", val_time=str(day(20))).seeds(db, "train")
    with pytest.raises(ProtocolError, match="expected one of train, val, test, got 'valid'"):
        task().seeds(db, "valid")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="there is no table 'custmer'; tables: customer, orders"):
        task(entity_table="custmer").seeds(db, "val")
    other = relgraph.connect({"t": pd.DataFrame({"at": [day(0), day(100)]})}, times={"t": "at"}, progress=False)
    with other, pytest.raises(SchemaError, match="entity table 't' has no primary key"):
        task(entity_table="t").seeds(other, "val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_time": "2021-01-01"}, "val_time must be before test_time, got 2021-01-01 and 2020-03-21"),
        ({"kind": "ranking"}, "kind: expected one of binary, regression, multiclass, multilabel, got 'ranking'"),
        ({"regime": "future"}, "regime: expected one of seed-time, frozen"),
        ({"metric": "mae"}, "metric: expected one of auroc, .*, got 'mae'"),
        ({"num_eval_times": 0}, "num_eval_times: expected at least 1"),
        ({"horizon": "3 months"}, "horizon: .*got '3 months'"),
        ({"horizon": "soon"}, "horizon: expected a number and weeks"),
        ({"horizon": "0 days"}, "horizon: expected more than nothing"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        task(**changes)


def test_settings_survive_as_json(db: Any) -> None:
    whole = task(regime="frozen", metric="accuracy", entity_column="id")
    again = task_from_dict(whole.to_dict())
    assert again.to_dict() == whole.to_dict()
    assert again.horizon == whole.horizon == 10 * DAY
    assert again.until == whole.test_time
    assert task().until is None
    assert task(kind="regression").mode == "min"
    assert again.mode == "max"
    assert "horizon 10 days, val_time 2020-03-01, test_time 2020-03-21, frozen, accuracy" in repr(again)
    assert "val_time not set" in repr(task(val_time=None))
    assert task(val_time=datetime(2020, 3, 1)).val_time == task(val_time=1_583_020_800_000_000).val_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1 week", 604_800), ("2d", 172_800), ("1.5 hours", 5_400), ("3 min", 180), ("7 S", 7)],
)
def test_intervals(text: str, seconds: int) -> None:
    assert parse_interval(text) == seconds * 1_000_000
    assert parse_interval(timedelta(seconds=seconds)) == seconds * 1_000_000


def test_intervals_as_text() -> None:
    lengths = [30 * DAY, 5 * 3_600_000_000, 90_000_000, 7]
    assert [format_interval(n) for n in lengths] == ["30 days", "5 hours", "90 seconds", "7 microseconds"]
    assert interval_sql(30 * DAY) == "INTERVAL '30 days'"

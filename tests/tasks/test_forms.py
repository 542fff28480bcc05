"""Tasks without SQL: what the forms give, against loops over the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import relgraph
from relgraph.errors import ProtocolError, SchemaError
from relgraph.tasks import EntityTask, LinkTask, task_from_dict
from relgraph.tasks.from_dict import task_maker
from tests.tasks.shop import connected, day, frames

TIMES = {"val_time": str(day(60)), "test_time": str(day(80)), "num_eval_times": 3}
TEN = pd.Timedelta(days=10)
MOMENTS = {"train": [0, 10, 20, 30, 40, 50], "val": [60, 70], "test": [80]}


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    tables = frames()
    # so that windows are whole: first and last row of the data
    tables["order"].loc[0, "at"], tables["order"].loc[59, "at"] = day(0.5), day(99)
    with connected(tables) as database:
        database.tables = tables  # type: ignore[attr-defined]
        yield database


def related(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Lines with the customer and the time of their order."""
    line = tables["line"].merge(tables["order"], left_on="order", right_on="order id")
    return line.merge(tables["product"], left_on="product", right_on="pid")


def people(tables: dict[str, pd.DataFrame], time: pd.Timestamp) -> list[tuple[int, str]]:
    known = tables["customer"][tables["customer"]["since"] <= time]
    return list(zip(known["shop"], known["label"], strict=True))


def found(task: EntityTask, db: Any) -> dict[tuple[pd.Timestamp, tuple[int, str]], float]:
    out = {}
    for split in ("train", "val", "test"):
        seeds = task.seeds(db, split)
        assert not [note for note in seeds.notes if "before these exist" in note]
        stamps = pd.to_datetime(seeds.moments.numpy(), unit="us")
        keys = zip(*(column.to_pylist() for column in seeds.keys.columns), strict=True)
        out |= dict(zip(zip(stamps, keys, strict=True), seeds.label.tolist(), strict=True))
    return out


def expected(db: Any, rows: pd.DataFrame, label: Any, active: pd.Timedelta | None = None) -> dict[Any, float]:
    out = {}
    for numbers in MOMENTS.values():
        for time in map(day, numbers):
            for shop, name in people(db.tables, time):
                own = rows[(rows["shop"] == shop) & (rows["buyer"] == name)]
                if active is not None and not ((own["at"] > time - active) & (own["at"] <= time)).any():
                    continue
                value = label(own[(own["at"] > time) & (own["at"] <= time + TEN)])
                if value is not None:
                    out[time, (shop, name)] = float(value)
    return out


def last_of(rows: pd.DataFrame) -> float | None:
    rows = rows.sort_values(["at", "order id"])
    return None if rows.empty else float(rows["paid"].iloc[-1])


@pytest.mark.slow
def test_forms_are_loops_over_the_rows(db: Any) -> None:
    orders, lines = db.tables["order"], related(db.tables)
    count = EntityTask.count(db, "customer", of="order", horizon="10 days", **TIMES)
    assert found(count, db) == expected(db, orders, len)
    assert (count.kind, count.metric) == ("regression", "mae")
    lately = EntityTask.exists(db, "customer", of="order", horizon="10 days", active="25 days", **TIMES)
    assert found(lately, db) == expected(db, orders, lambda rows: len(rows) > 0, pd.Timedelta(days=25))
    assert lately.kind == "binary"
    total = EntityTask.sum(db, "customer", of="line.quantity", horizon="10 days", **TIMES)
    assert found(total, db) == expected(db, lines, lambda rows: rows["quantity"].sum())
    paid = EntityTask.last(db, "customer", of="order.paid", horizon="10 days", **TIMES)
    assert found(paid, db) == expected(db, orders, last_of)
    some = EntityTask.count(db, "customer", "line", "10 days", where="quantity > 2 -- more than two", **TIMES)
    assert found(some, db) == expected(db, lines[lines["quantity"] > 2], len)
    values = set(found(total, db).values())
    assert len(values) > 5
    assert min(values) == 0


@pytest.mark.slow
def test_next_is_a_loop_over_the_rows(db: Any) -> None:
    rows = related(db.tables)
    for target, column, keys in (("product", "product", None), ("group", "group", ["line.product"])):
        task = LinkTask.next(db, "customer", target, via="line", horizon="10 days", k=2, keys=keys, **TIMES)
        for split, numbers in MOMENTS.items():
            seeds = task.seeds(db, split)
            links = {
                (time, person): sorted(set(own[column]))
                for time in map(day, numbers)
                for person in people(db.tables, time)
                for own in [rows[(rows["shop"] == person[0]) & (rows["buyer"] == person[1])]]
                for own in [own[(own["at"] > time) & (own["at"] <= time + TEN)]]
                if len(own)
            }
            stamps = pd.to_datetime(seeds.moments.numpy(), unit="us")
            who = zip(*(column.to_pylist() for column in seeds.keys.columns), strict=True)
            parts = [part.tolist() for part in seeds.target.tensor_split(seeds.ptr[1:-1])]
            assert dict(zip(zip(stamps, who, strict=True), parts, strict=True)) == links


def test_an_entity_without_time_is_asked_about_once_it_is_known() -> None:
    tables = {
        "visit": pd.DataFrame({"id": [0, 1], "at": [day(0), day(50)]}),
        "sample": pd.DataFrame({"id": [0, 1, 2], "visit": [0, 1, 7]}),  # the last refers to nothing
        "measure": pd.DataFrame({"sample": [0, 0, 1, 2], "at": [day(d) for d in (15, 65, 70, 100)]}),
    }
    keys = {
        "visit": "id",
        "sample": {"primary_key": "id", "foreign_keys": {"visit": "visit"}},
        "measure": {"foreign_keys": {"sample": "sample"}},
    }
    with relgraph.connect(tables, keys=keys, times={"visit": "at", "measure": "at"}, progress=False) as db:
        task = EntityTask.count(db, "sample", of="measure", horizon="20 days", **TIMES)
        train, val = task.seeds(db, "train"), task.seeds(db, "val")
        assert train.node.tolist() == [0, 2] * 3  # sample 1 comes with its visit on day 50
        assert val.node.tolist() == [0, 1, 2]
        assert val.label.tolist() == [1, 1, 0]


def test_times_come_from_the_data_if_not_given(db: Any, capsys: pytest.CaptureFixture[str]) -> None:
    task = EntityTask.exists(db, "customer", of="order", horizon="10 days")
    assert task.moments == task.with_times(db).moments
    assert "val_time" in capsys.readouterr().err
    again = task_from_dict(task.to_dict())
    assert again.to_dict() == task.to_dict()
    assert "__related" in task.sql


def test_forms_from_the_words_of_a_file(db: Any) -> None:
    words = {"form": "count", "entity_table": "customer", "of": "order", "horizon": "10 days", **TIMES}
    same = EntityTask.count(db, "customer", of="order", horizon="10 days", **TIMES)
    assert task_maker(words)(db).to_dict() == same.to_dict()
    link = {"task": "link", "form": "next", "entity_table": "customer", "target_table": "product", "via": "line"}
    assert task_maker({**link, "horizon": "10 days", "k": 3, **TIMES})(db).metric == "map@3"
    for changes, message in [
        ({"form": "most"}, "form: a task of kind 'entity' has none called 'most'; forms: entity: count, sum, exists"),
        ({"task": "column"}, "form: a task of kind 'column' has none called 'count'"),
        ({"task": "edge"}, "task: expected one of entity, link, column, node, got 'edge'"),
        ({"sql": "SELECT 1"}, "has the unknown sql; EntityTask.count takes "),
    ]:
        with pytest.raises(ProtocolError, match=message):
            task_maker({**words, **changes})
    del words["of"]
    with pytest.raises(
        ProtocolError, match=r"the task lacks of; EntityTask\.count takes entity_table, of, horizon, where"
    ):
        task_maker(words)


TWICE = {
    "team": pd.DataFrame({"id": [0, 1], "town": [0, 0]}),
    "town": pd.DataFrame({"id": [0]}),
    "match": pd.DataFrame({"home": [None, 0, 1], "away": [None, 1, 0], "at": [day(0), day(5), day(99)]}),
}
TWICE_KEYS = {
    "town": "id",
    "team": {"primary_key": "id", "foreign_keys": {"town": "town"}},
    "match": {"foreign_keys": {"home": "team", "away": "team"}},
}


def test_several_ways_are_told_apart_with_via() -> None:
    with relgraph.connect(TWICE, keys=TWICE_KEYS, times={"match": "at"}, progress=False) as db:
        with pytest.raises(
            ProtocolError, match=r"'match' to 'team', found 2; ways: match.home; match.away; choose with"
        ):
            EntityTask.count(db, "team", "match", "10 days", **TIMES)
        for via, label in (("match.home", [1.0, 0.0]), ("match.away", [0.0, 1.0])):
            task = EntityTask.count(db, "team", "match", "10 days", via=via, **{**TIMES, "val_time": str(day(10))})
            assert task.seeds(db, "train").label.tolist() == label
        with pytest.raises(ProtocolError, match=r"match.home then team.town; match.away then team.town"):
            EntityTask.count(db, "town", "match", "10 days", **TIMES)
        with pytest.raises(ProtocolError, match=r"over match.referee, found none; ways: match.home; match.away"):
            EntityTask.count(db, "team", "match", "10 days", via="match.referee", **TIMES)
        task = LinkTask.next(
            db, "team", "town", "match", "10 days", keys="match.home", **{**TIMES, "val_time": str(day(10))}
        )
        assert task.seeds(db, "train").node.tolist() == [0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda db: EntityTask.count(db, "custmer", "order", "1 day"), SchemaError, "there is no table 'custmer'"),
        (lambda db: EntityTask.count(db, "customer", "oder", "1 day"), SchemaError, "there is no table 'oder'"),
        (lambda db: EntityTask.count(db, "customer", "group", "1 day"), ProtocolError, "found none; ways: none"),
        (lambda db: EntityTask.sum(db, "customer", "order", "1 day"), ProtocolError, "of: sum needs a column such as"),
        (lambda db: EntityTask.sum(db, "customer", "order.x", "1 day"), SchemaError, "'order' has no column 'x'"),
        (lambda db: EntityTask.sum(db, "customer", "order.buyer", "1 day"), ProtocolError, "order.buyer is VARCHAR"),
        (lambda db: EntityTask.count(db, "line", "order", "1 day"), ProtocolError, "from 'order' to 'line'"),
        (lambda db: EntityTask.count(db, "group", "product", "1 day"), ProtocolError, "'product' have no time"),
        (lambda db: EntityTask.count(db, "customer", "order", "soon", **TIMES), ProtocolError, "horizon: expected"),
        (lambda db: EntityTask.count(db, "customer", "order", "1 day", active="x"), ProtocolError, "active: expected"),
        (lambda db: LinkTask.next(db, "customer", "line", "order", "1 day"), ProtocolError, "'order' to 'line'"),
    ],
)
def test_bad_forms(db: Any, make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(db)


def test_a_wrong_condition_is_the_query_that_cannot_run(db: Any) -> None:
    task = EntityTask.count(db, "customer", "order", "10 days", where="nothing = 1", **TIMES)
    with pytest.raises(SchemaError, match=r"the query cannot run: .*nothing"):
        task.seeds(db, "val")

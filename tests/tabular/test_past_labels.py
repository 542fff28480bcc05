"""Past labels: only of windows that have closed, equal to plain Python."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.data.database import Database
from relgraph.errors import ProtocolError
from relgraph.tabular import PastLabels, seed_features_from_dict
from relgraph.tasks import EntityTask

DAY = 86_400_000_000
SQL = """
SELECT t.timestamp, v.who, {label} AS label FROM timestamps t JOIN visit v
ON v.day > t.timestamp AND v.day <= t.timestamp + {horizon} GROUP BY ALL
"""


def database(visits: list[tuple[int, int, float]]) -> Database:
    """Visits ``(person, day, price)``; the first and the last day stand in the table ``edge``."""
    frames = {
        "person": pd.DataFrame({"who": [0, 1, 2]}),
        "visit": pd.DataFrame(
            {
                "who": [who for who, *_ in visits],
                "day": pd.to_datetime([day * DAY * 1000 for _, day, _ in visits]),
                "price": [price for *_, price in visits],
            }
        ),
        "edge": pd.DataFrame({"day": pd.to_datetime([0, 100 * DAY * 1000])}),
    }
    keys: Any = {"person": "who", "visit": {"foreign_keys": {"who": "person"}}}
    return relgraph.connect(frames, keys=keys, times={"visit": "day", "edge": "day"}, progress=False)


def task(label: str = "sum(v.price)", kind: Any = "regression", **settings: Any) -> EntityTask:
    sql = SQL.replace("{label}", label)
    given = {"val_time": 60 * DAY, "test_time": 80 * DAY, "num_eval_times": 2, "entity_column": "who", **settings}
    return EntityTask("person", sql, "10 days", kind, **given)


def plain(visits: list[tuple[int, int, float]], person: int, now: int, step: int = 10) -> list[tuple[int, float]]:
    """The labels of a person's windows that closed by a day: ``(day of closing, sum)``."""
    found = []
    for begin in range(now - 10, -1, -step):
        prices = [price for who, day, price in visits if who == person and begin < day <= begin + 10]
        if prices:
            found.append((begin + 10, sum(prices)))
    return found[::-1]


visited = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 99), st.integers(1, 40).map(float)), min_size=1, max_size=40
)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(visited, st.sampled_from([10, 5]))
def test_equal_plain_python_and_see_no_open_window(visits: list[tuple[int, int, float]], step: int) -> None:
    visits = [*visits, (0, 5, 1.0), (1, 55, 2.0)]
    seeds = [(person, day) for person in range(3) for day in (20, 25, 60, 70, 80, 90)]
    node = torch.tensor([person for person, _ in seeds])
    time = torch.tensor([day * DAY for _, day in seeds])
    with database(visits) as db:
        source = PastLabels(task(), db, last=(1, 3), step=f"{step} days", half_life="20 days")
        found = source.matrix(node, time)
        for (person, day), values in zip(seeds, found, strict=True):
            known = plain(visits, person, day, step)
            labels = [label for _, label in known]
            everybody = [label for other in range(3) for _, label in plain(visits, other, day, step)]
            expected = [len(labels), *[np.nan] * 8, statistics.fmean(everybody) if everybody else np.nan]
            if labels:
                weights = [2 ** (-(day - closed) / 20) for closed, _ in known]
                mean = statistics.fmean(labels)
                expected[1:9] = [
                    day - known[-1][0],
                    mean,
                    statistics.median(labels),
                    labels[-1],
                    statistics.fmean(labels[-3:]),
                    sum(w * y for w, y in zip(weights, labels, strict=True)) / sum(weights),
                    statistics.pstdev(labels),
                    labels[-1] - mean,
                ]
            assert values == pytest.approx(expected, nan_ok=True, abs=1e-9), (person, day)
    # what happens later than the moment changes nothing
    later = [(who, day, price + 50 if day > 60 else price) for who, day, price in visits]
    early = time <= 60 * DAY
    with database(later) as db:
        again = PastLabels(task(), db, last=(1, 3), step=f"{step} days", half_life="20 days")
        np.testing.assert_array_equal(again.matrix(node[early], time[early]), found[early.numpy()])


def test_train_seeds_do_not_see_their_own_label() -> None:
    visits = [(0, 5, 1.0), (0, 15, 2.0), (0, 45, 4.0), (1, 55, 8.0), (0, 75, 16.0), (0, 95, 32.0)]
    with database(visits) as db:
        source = PastLabels(task(), db)
        train = task().seeds(db, "train")
        found = source.matrix(train.node, train.time)
        days = (train.moments // DAY).tolist()
        last = source.names.index("past labels: last")
        assert dict(zip(zip(train.node.tolist(), days, strict=True), found[:, last], strict=True)) == pytest.approx(
            {(0, 0): np.nan, (0, 10): 1.0, (0, 40): 2.0, (1, 50): np.nan}, nan_ok=True
        )
        # seed-time: the window up to day 90 counts at 90; frozen: nothing after 80 does
        late = (torch.tensor([0]), torch.tensor([100 * DAY]))
        assert source.matrix(*late)[0, last] == 32
        frozen = PastLabels(task(regime="frozen"), db)
        assert frozen.matrix(*late)[0, last] == 16


def test_many_phases_share_the_windows_of_the_validation() -> None:
    visits = [(0, day, float(day)) for day in range(1, 100)]
    time = torch.tensor([(30 + i) * DAY for i in range(10)])
    with database(visits) as db:
        found = PastLabels(task(), db).matrix(torch.zeros(10, dtype=torch.int64), time)
    assert found[:, 0].tolist() == [3] * 10
    assert found[:, 1].tolist() == list(range(10))


def test_classes_labels_and_errors() -> None:
    visits = [(0, 5, 1.0), (0, 15, 2.0), (1, 15, 0.0), (0, 65, 1.0), (0, 85, 1.0)]
    node, time = torch.tensor([0, 1]), torch.tensor([60 * DAY] * 2)
    with database(visits) as db:
        classes = PastLabels(task("CAST(max(v.price) AS INT)", "multiclass"), db, last=(1,))
        values = dict(zip(classes.names, classes.matrix(node, time).T, strict=True))
        assert values["past labels: class 1: mean, all"].tolist() == [0.5, 0]
        assert values["past labels: class 0: last"].tolist() == [0, 1]
        several = PastLabels(task("[CAST(max(v.price) > 1 AS INT), 1]", "multilabel"), db, last=(1,))
        values = dict(zip(several.names, several.matrix(node, time).T, strict=True))
        assert values["past labels: label 0: mean, all"].tolist() == [0.5, 0]
        assert values["past labels: label 1: mean of all entities"].tolist() == [1, 1]
        again = seed_features_from_dict(classes.describe(), relgraph.build_graph(db, progress=False), db, classes.task)
        np.testing.assert_array_equal(again.matrix(node, time), classes.matrix(node, time))
        with pytest.raises(ProtocolError, match="another task"):
            seed_features_from_dict(classes.describe(), relgraph.build_graph(db, progress=False), db, task())
        with pytest.raises(ProtocolError, match="seeds with a time"):
            classes.matrix(node, None)
        with pytest.raises(ProtocolError, match="more than 100,000"):
            PastLabels(task(), db, step="30 s").matrix(node, time)
        with pytest.raises(ProtocolError, match="can be asked at earlier moments"):
            PastLabels(relgraph.ColumnTask("visit", "price"), db)  # type: ignore[arg-type]

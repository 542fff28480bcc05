"""The comparison: every baseline by hand or against its definition, and one table that hides nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.baselines import Comparison, ModelResult, boosting, compare
from relgraph.baselines.bench import Bench
from relgraph.baselines.entity import constant, ensemble, history
from relgraph.baselines.links import past_visits, popularity
from relgraph.baselines.run import default_models
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.demo import generate_shop
from relgraph.demo.run import shop_task
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import ProtocolError
from relgraph.tasks import EntityTask, LinkTask, NodeTask

DAY = 86_400_000_000
FEW: dict[str, Any] = {
    "gnn": {"epochs": 1, "channels": 8, "num_neighbors": (4, 2), "encoder_layers": 1, "max_batches": 2},
    "boosting": {"search": ({"num_leaves": 8},)},
    "aggregates": {"hops": 1, "max_columns": 40},
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = generate_shop(tmp_path_factory.mktemp("shop") / "shop.sqlite", customers=150, products=30)
    with relgraph.connect(path, times=SHOP_TIMES, progress=False) as found:
        yield found


@pytest.fixture(scope="module")
def graph(db: Database) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=shop_task().val_time, text=None, progress=False)


@pytest.mark.slow
def test_all_models_of_a_task(db: Database, graph: HeteroGraph) -> None:
    task = shop_task()
    found = compare(db, graph, task, seeds=(0, 1), options=FEW, progress=False)
    assert [result.name for result in found.results] == default_models(task)
    assert {"constant", "boosting-past", "gnn", "hybrid", "ensemble"} <= {result.name for result in found.results}
    assert all(result.note == "" for result in found.results), str(found)
    assert found["constant"].mean("test", "auroc") == 0.5
    assert len(found["constant"].test) == 1
    assert len(found["gnn"].test) == 2
    best = found.best
    assert best is not None
    assert best.mean("val", "auroc") == max(result.mean("val", "auroc") or 0 for result in found.results)
    # weight 1 and 0 are tried, so on validation an ensemble is no worse than its parts
    for seed in range(2):
        parts = [found[name].val[seed]["auroc"] for name in ("gnn", "boosting-past")]
        assert found["ensemble"].val[seed]["auroc"] >= max(parts) - 1e-12
    document = json.loads(found.to_json())
    assert document["regime"] == "seed-time"
    assert document["models"][0]["model"] == "constant"
    assert set(document["models"][0]["test"][0]) == {"auroc", "average_precision", "accuracy"}
    text = str(found)
    assert "val auroc" in text
    assert "test auroc" in text
    assert "best on validation" in found.to_html()


def test_a_model_that_cannot_run_is_shown(db: Database, graph: HeteroGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "booster_name", lambda: "scikit-learn HistGradientBoosting")
    options = {"boosting": {"engine": "lightgbm"}}
    found = compare(db, graph, shop_task(), ["boosting-row", "ensemble", "constant"], options=options, progress=False)
    assert "relgraph[boosting]" in found["boosting-row"].note
    assert found["boosting-row"].mean("test", "auroc") is None
    assert "an ensemble joins" in found["ensemble"].note
    assert found.best is found["constant"]
    assert "relgraph[boosting]" in str(found)
    assert "relgraph[boosting]" in found.to_html()
    assert json.loads(found.to_json())["models"][0]["test"] == []


def test_errors(db: Database, graph: HeteroGraph) -> None:
    with pytest.raises(ProtocolError, match="'popularity' does not fit"):
        compare(db, graph, shop_task(), ["popularity"], progress=False)
    with pytest.raises(ProtocolError, match="at least one"):
        compare(db, graph, shop_task(), ["constant"], seeds=(), progress=False)
    with pytest.raises(ProtocolError, match="nothing called 'gnm' has settings; those that have: gnn, boosting"):
        compare(db, graph, shop_task(), ["constant"], options={"gnm": {"epochs": 1}}, progress=False)
    options = {"gnn": {"chanels": 3}, "boosting": {"search": 1}}
    found = compare(db, graph, shop_task(), ["gnn", "boosting-row"], options=options, progress=False)
    assert "no option 'chanels'" in found["gnn"].note
    assert "search: expected a list" in found["boosting-row"].note
    assert repr(found) == str(found)
    assert relgraph.compare is compare


def test_the_test_split_chooses_nothing() -> None:
    good, lucky = ([{"mae": 1.0}], [{"mae": 9.0}]), ([{"mae": 2.0}], [{"mae": 0.0}])
    results = tuple(ModelResult(name, (0,), *scores, 0.0) for name, scores in (("a", good), ("b", lucky)))
    found = Comparison({"entity_table": "t"}, "mae", "min", "frozen", {"train": 1, "val": 1, "test": 1}, results)
    assert found.best is results[0]
    assert "frozen" in str(found)
    with pytest.raises(KeyError, match="models: a, b"):
        found["c"]


def small(visits: list[tuple[int, int, int]], **settings: Any) -> tuple[Database, dict[str, Any]]:
    """Visits ``(person, day, place)`` up to day 100."""
    frames = {
        "person": pd.DataFrame({"who": [0, 1, 2]}),
        "place": pd.DataFrame({"place": [0, 1, 2, 3], "size": [1.0, 2.0, 5.0, 7.5]}),
        "visit": pd.DataFrame(
            {
                "who": [who for who, *_ in visits],
                "day": pd.to_datetime([day * DAY * 1000 for _, day, _ in visits]),
                "place": [place for *_, place in visits],
            }
        ),
        "edge": pd.DataFrame({"day": pd.to_datetime([0, 100 * DAY * 1000])}),
    }
    keys: Any = {"person": "who", "place": "place", "visit": {"foreign_keys": {"who": "person", "place": "place"}}}
    given = {"val_time": 60 * DAY, "test_time": 80 * DAY, **settings}
    return relgraph.connect(frames, keys=keys, times={"visit": "day", "edge": "day"}, progress=False), given


VISITS = [
    *[(0, 5, 1), (0, 15, 1), (0, 25, 2), (1, 5, 3), (1, 15, 3), (2, 35, 2), (2, 45, 2), (2, 46, 2)],
    *[(0, 65, 0), (1, 66, 3), (0, 85, 1), (1, 86, 0), (2, 87, 2)],
]


@pytest.mark.slow
def test_histories_and_constants_by_hand() -> None:
    db, given = small(VISITS)
    sql = """SELECT t.timestamp, v.who, count(*) AS label FROM timestamps t JOIN visit v
             ON v.day > t.timestamp AND v.day <= t.timestamp + {horizon} GROUP BY ALL"""
    with db:
        task = EntityTask("person", sql, "10 days", "regression", **given)
        bench = Bench(db, relgraph.build_graph(db, fit_until=60 * DAY, progress=False), task)
        # labels of train: 1 1 1 1 1 1 (days 0 to 30), then 2 (day 40)
        assert bench.labels("train").tolist() == [1, 1, 1, 1, 1, 1, 2]
        assert constant(bench, 0)["val"].tolist() == [1, 1]
        assert history(bench, 0, what="mean, all")["test"].tolist() == pytest.approx([1, 1, 1.5])
        assert history(bench, 0, what="last")["test"].tolist() == [1, 1, 2]
        rmse = EntityTask("person", sql, "10 days", "regression", metric="rmse", **given)
        assert constant(Bench(db, bench.graph, rmse), 0)["val"][0] == pytest.approx(8 / 7)


@pytest.mark.slow
def test_link_baselines_by_hand() -> None:
    db, given = small(VISITS)
    sql = """SELECT t.timestamp, v.who, v.place FROM timestamps t JOIN visit v
             ON v.day > t.timestamp AND v.day <= t.timestamp + {horizon}"""
    with db:
        task = LinkTask("person", "place", sql, "10 days", k=3, **given)
        graph = relgraph.build_graph(db, fit_until=60 * DAY, progress=False)
        bench = Bench(db, graph, task)
        # by day 80, a link per person, place and window of ten days: 1 twice, 2 three times, 3 three times, 0 once
        assert popularity(bench, 0)["test"].tolist() == [[2, 3, 1]] * 3
        # with a quarter per window of age: 3 and 0 of days 60 to 70 first, and of the two 3, which was there before
        assert popularity(bench, 0, half_life=0.5)["test"].tolist() == [[3, 0, 2]] * 3
        visits = past_visits(bench, 0)["test"].tolist()
        assert visits[1] == [3, 2, 1]
        assert visits[2] == [2, 3, 1]
        assert set(visits[0]) == {0, 1, 2}
        found = compare(db, graph, task, ["popularity", "past-visits"], progress=False)
        assert found["past-visits"].note == ""
        assert found.metric == "map@3"
        frozen = Bench(db, graph, LinkTask("person", "place", sql, "10 days", k=3, regime="frozen", **given))
        assert past_visits(frozen, 0)["test"].tolist() == visits
        assert default_models(task) == ["popularity", "popularity-recent", "past-visits", "gnn"]


@pytest.mark.slow
def test_no_link_is_seen_before_its_window_closed() -> None:
    sql = """SELECT t.timestamp, v.who, v.place FROM timestamps t JOIN visit v
             ON v.day > t.timestamp AND v.day <= t.timestamp + {horizon}"""
    found = []
    for place in (0, 3):
        db, given = small([*VISITS[:-3], (0, 85, place), (1, 88, place), (2, 90, 1)])
        with db:
            task = LinkTask("person", "place", sql, "10 days", k=3, **given)
            bench = Bench(db, relgraph.build_graph(db, fit_until=60 * DAY, progress=False), task)
            found.append([model(bench, 0)["test"].tolist() for model in (popularity, past_visits)])
    assert found[0] == found[1]


def test_an_ensemble_ranks_without_looking_at_other_test_rows() -> None:
    db, given = small(VISITS)
    sql = """SELECT t.timestamp, p.who, CAST(p.who = 0 AS INT) AS label FROM timestamps t, person p"""
    with db:
        task = EntityTask("person", sql, "10 days", "binary", num_eval_times=2, **given)
        bench = Bench(db, relgraph.build_graph(db, fit_until=60 * DAY, progress=False), task)
    label = bench.seeds["val"].label
    right = {"val": label * 0.8 + 0.1, "test": torch.tensor([0.05, 0.3, 0.31, 0.99, 0.5, 0.2])}
    wrong = {split: 1 - found for split, found in right.items()}
    both = ensemble(bench, 0, first=right, second=wrong)
    assert bench.score("val", both["val"]) == 1
    assert torch.equal(both["test"].argsort(), right["test"].argsort())
    fewer = ensemble(bench, 0, first={**right, "test": right["test"][:2]}, second={**wrong, "test": wrong["test"][:2]})
    assert torch.equal(fewer["test"], both["test"][:2])


def test_labels_in_a_graph() -> None:
    features = relgraph.data.features.Features(
        60,
        {relgraph.SemanticType.NUMERICAL: torch.arange(60.0)[:, None] % 7},
        {relgraph.SemanticType.NUMERICAL: ("x",)},
        {"x": {"mean": 3.0, "std": 2.0, "quantiles": [0.0, 1.0, 3.0, 5.0, 6.0]}},
    )
    store = relgraph.data.graph.NodeStore(60, features=features)
    index = torch.stack([torch.arange(59), torch.arange(1, 60)])
    graph = HeteroGraph({"n": store}, {("n", "next", "n"): relgraph.data.graph.EdgeStore(index)})
    task = NodeTask("n", (torch.arange(60) % 7 > 3).long(), kind="multiclass")
    found = compare(None, graph, task, ["constant", "boosting-row", "boosting-aggregates"], options=FEW, progress=False)
    assert all(result.note == "" for result in found.results), str(found)
    assert math.isclose(found["boosting-row"].mean("test", "accuracy") or 0, 1.0)
    assert "history-mean" not in default_models(task)
    assert found.regime == "static"
    assert np.isfinite(found["constant"].seconds)

"""Leaks beside the graph: columns for seeds that read another graph, or stop seeing where a prediction goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.baselines import Backtest, compare
from relgraph.data.database import Database
from relgraph.errors import LeakageError, SchemaError
from relgraph.sampling import TemporalSampler
from relgraph.tabular import Aggregates, PastLabels, RowFeatures
from relgraph.tasks import ColumnTask, EntityTask
from relgraph.training.predictor import EntityPredictor
from relgraph.training.seed_columns import SeedColumns

TINY: dict[str, Any] = {
    "channels": 8,
    "num_neighbors": [4, 2],
    "encoder_layers": 1,
    "epochs": 1,
    "max_batches": 1,
    "accelerator": "cpu",
    "progress": False,
    "audit": False,
}
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    """Twenty customers buy at random, one every day."""
    random = np.random.default_rng(0)
    sale = pd.DataFrame({"id": range(600), "customer": random.integers(0, 20, 600)})
    sale["paid"] = random.choice(["cash", "card"], 600)
    sale["price"] = random.normal(size=600)
    sale["at"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(600) // 2, unit="D")
    frames = {"customer": pd.DataFrame({"id": range(20)}), "sale": sale}
    keys = {"customer": "id", "sale": {"primary_key": "id", "foreign_keys": {"customer": "customer"}}}
    with relgraph.connect(frames, keys=keys, times={"sale": "at"}, progress=False) as database:
        yield database


def a_task(db: Database, **options: Any) -> EntityTask:
    times = {"val_time": "2021-07-01", "test_time": "2021-08-15", "num_eval_times": 2, **options}
    return EntityTask.exists(db, "customer", of="sale", horizon="20 days", **times)


def test_columns_for_seeds_may_not_come_from_a_graph_that_shows_what_is_hidden(db: Database) -> None:
    task = ColumnTask("sale", "paid").with_times(db, progress=False)
    graph = relgraph.build_graph(db, fit_until=task.val_time, hide=task.hidden, progress=False)
    whole = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    for source in (RowFeatures(whole, "sale"), Aggregates(whole, "sale", hops=1, windows=(30,))):
        with pytest.raises(LeakageError, match=r"the graph that .*'sale'.* reads shows sale\.paid"):
            relgraph.fit(db, graph, task, seed_features=[source], **TINY)
    left_out = RowFeatures(whole, "sale", hide=task.hidden)
    found = relgraph.fit(db, graph, task, seed_features=[left_out], **TINY)
    assert "paid" not in found.seed_columns.names  # type: ignore[union-attr]


def test_columns_for_seeds_may_not_have_statistics_of_the_future(db: Database) -> None:
    task = a_task(db)
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    with pytest.raises(LeakageError, match=r"the graph that Aggregates.* saw all rows"):
        relgraph.fit(db, graph, task, seed_features=[Aggregates(db, "customer")], **TINY)


def test_a_comparison_and_a_backtest_refuse_statistics_of_the_future(db: Database) -> None:
    task, graph = a_task(db), relgraph.build_graph(db, progress=False)
    with pytest.raises(LeakageError, match="fit_until=task"):
        compare(db, graph, task, models=["boosting-row"], progress=False)
    with pytest.raises(LeakageError, match="fit_until=task"):
        Backtest(db, graph, task)
    hiding = a_task(db, hide=["sale.price"])
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    with pytest.raises(LeakageError, match=r"shows sale\.price"):
        Backtest(db, graph, hiding)


@pytest.mark.slow
def test_a_prediction_by_key_sees_past_the_test_time_in_the_seeds_own_columns_too(db: Database) -> None:
    task = a_task(db, regime="frozen")
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    sources = [Aggregates(graph, "customer", hops=1, windows=(30,), until=task.until), PastLabels(task, db)]
    predictor = relgraph.fit(db, graph, task, seed_features=sources, **TINY)
    node, time = torch.tensor([3]), torch.tensor([task.test_time + 40 * DAY])  # type: ignore[operator]
    frozen = predictor.seed_matrix(node, time)
    assert torch.equal(frozen, predictor.seed_matrix(node, torch.tensor([task.test_time])))  # type: ignore[arg-type]
    with predictor.unfrozen():
        seen = [source.matrix(node, time)[0] for source in sources]
    after = [source.matrix(node, time)[0] for source in sources]
    counted = sources[0].names.index("<- sale[customer]: count, all")
    sql = f'SELECT count(*) FROM sale WHERE customer = 3 AND epoch_us("at") <= {int(time)}'
    assert seen[0][counted] == db.sql(sql).column(0)[0].as_py() > after[0][counted]
    assert seen[1][0] == after[1][0] + 2  # two more windows of 20 days have closed
    assert torch.equal(frozen, predictor.seed_matrix(node, time))  # type: ignore[arg-type]


def test_other_columns_than_in_training_are_named() -> None:
    class Named:
        categorical = ()

        def __init__(self, names: tuple[str, ...]) -> None:
            self.names = names

        def matrix(self, node: torch.Tensor, time: torch.Tensor | None) -> Any:
            return np.zeros((node.numel(), len(self.names)))

        def describe(self) -> dict[str, Any]:
            return {}

    def now(*names: str) -> Any:
        def make(values: Mapping[str, Any]) -> Named:
            return Named(names)

        return make

    node = torch.arange(2)
    saved = SeedColumns.fit([Named(("a", "b"))], node, None).describe()
    assert SeedColumns.from_dict(saved, now("a", "b")).names == ("a", "b")
    with pytest.raises(SchemaError, match="missing: b; new: c"):
        SeedColumns.from_dict(saved, now("a", "c"))
    with pytest.raises(SchemaError, match="another order"):
        SeedColumns.from_dict(saved, now("b", "a"))


def test_the_half_life_of_training_is_that_of_a_refreshed_database(db: Database, tmp_path: Path) -> None:
    task = a_task(db)
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    predictor = relgraph.fit(db, graph, task, strategy="decayed", **TINY)
    predictor.save(tmp_path / "model")
    early = db.upto("2021-03-01")
    assert TemporalSampler(relgraph.build_graph(early, like=graph, progress=False), [4, 2], "decayed").half_life != (
        predictor.sampler.half_life
    )
    for other in (predictor.on(early, progress=False), EntityPredictor.load(tmp_path / "model", db=early)):
        assert other.sampler.half_life == predictor.sampler.half_life


def test_the_default_half_life_is_no_matter_of_what_comes_after_the_statistics(db: Database) -> None:
    task = a_task(db)
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    known = relgraph.build_graph(db.upto(task.val_time), fit_until=task.val_time, progress=False)  # type: ignore[arg-type]
    first, second = (TemporalSampler(one, [4, 2], "decayed").half_life for one in (graph, known))
    assert first == second == TemporalSampler(graph, [4, 2], "decayed", until=task.val_time).half_life

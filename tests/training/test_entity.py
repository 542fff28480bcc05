"""Entity training end to end on a small database whose answer needs two hops and the right moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.data.time import to_microseconds
from relgraph.errors import AdapterError, LeakageError, ProtocolError, SchemaError
from relgraph.tasks import EntityTask
from relgraph.training.job import EntityJob
from relgraph.training.predictor import EntityPredictor

SMALL: dict[str, Any] = {
    "channels": 16,
    "num_neighbors": [8, 4],
    "encoder_layers": 1,
    "dropout": 0.0,
    "batch_size": 64,
    "epochs": 3,
    "lr": 0.01,
    "accelerator": "cpu",
    "progress": False,
}
LABEL = """
    SELECT c.code, t.timestamp, {value} AS label
    FROM timestamps t CROSS JOIN customer c
    LEFT JOIN purchase p ON p.customer = c.code AND p.at > t.timestamp AND p.at <= t.timestamp + {{horizon}}
    LEFT JOIN product d ON d.id = p.product
    GROUP BY c.code, t.timestamp HAVING count(p.id) > 0
"""


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    """Customers with text keys who always buy dear products (price 9) or cheap ones (price 1), a few a month."""
    random = np.random.default_rng(0)
    customers = [f"c{i:02d}" for i in range(40)]
    rows = []
    for day in range(0, 360, 5):
        for i in random.choice(40, 12, replace=False):
            dear = (i % 2 == 0) != (random.random() < 0.05)
            rows.append((customers[i], int(random.integers(10)) + (10 if dear else 0), day))
    purchase = pd.DataFrame(rows, columns=["customer", "product", "day"])
    purchase["id"] = range(len(purchase))
    purchase["at"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(purchase.pop("day"), unit="D")
    frames = {
        "customer": pd.DataFrame({"code": customers}),  # nothing but a key
        "product": pd.DataFrame({"id": range(20), "price": [1.0] * 10 + [9.0] * 10}),
        "purchase": purchase,
    }
    keys = {
        "customer": "code",
        "product": "id",
        "purchase": {"primary_key": "id", "foreign_keys": {"customer": "customer", "product": "product"}},
    }
    with relgraph.connect(frames, keys=keys, times={"purchase": "at"}, progress=False) as database:
        yield database


def make_task(value: str = "(avg(d.price) > 5)::INT", kind: Any = "binary", **changes: Any) -> EntityTask:
    settings = {"val_time": "2021-09-01", "test_time": "2021-10-15", "num_eval_times": 2, **changes}
    return EntityTask("customer", LABEL.format(value=value), "30 days", kind, **settings)


@pytest.fixture(scope="module")
def graph(db: Any) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=make_task().val_time, progress=False)


@pytest.fixture(scope="module")
def predictor(db: Any, graph: HeteroGraph) -> EntityPredictor:
    return relgraph.fit(db, graph, make_task(), **SMALL)


@pytest.mark.slow
def test_it_learns_and_reports(db: Any, predictor: EntityPredictor) -> None:
    found = predictor.evaluate(db, progress=False)
    assert found["auroc"] > 0.9
    assert found["regime"] == "seed-time"
    assert (found["split"], found["rows"]) == ("test", len(predictor.task.seeds(db, "test")))
    assert len(predictor.history) == 3
    assert set(predictor.history.epochs[0]["metrics"]) == {"auroc", "average_precision", "accuracy"}
    assert predictor.history.best == max(row["metrics"]["auroc"] for row in predictor.history.epochs)
    again = predictor.evaluate(predictor.task.seeds(db, "test"), progress=False)
    assert {**again, "split": "test"} == found


@pytest.mark.slow
def test_training_is_the_same_again(db: Any, graph: HeteroGraph, predictor: EntityPredictor) -> None:
    again = relgraph.fit(db, graph, make_task(), **SMALL)
    for name, value in predictor.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    other = relgraph.fit(db, graph, make_task(), **{**SMALL, "epochs": 1, "seed": 1})
    assert other.history.epochs[0]["loss"] != predictor.history.epochs[0]["loss"]


@pytest.mark.slow
def test_a_stopped_training_goes_on(db: Any, graph: HeteroGraph, predictor: EntityPredictor, tmp_path: Path) -> None:
    relgraph.fit(db, graph, make_task(), **{**SMALL, "epochs": 1}, checkpoint=tmp_path)
    whole = relgraph.fit(db, graph, make_task(), **SMALL, checkpoint=tmp_path)
    assert [row["loss"] for row in whole.history.epochs] == [row["loss"] for row in predictor.history.epochs]
    for name, value in predictor.model.state_dict().items():
        assert torch.equal(value, whole.model.state_dict()[name]), name


def test_predictions_carry_the_databases_keys(db: Any, predictor: EntityPredictor) -> None:
    table = predictor.predict(db, "val", progress=False)
    assert table.column_names == ["code", "timestamp", "prediction", "label"]
    seeds = predictor.task.seeds(db, "val")
    assert table["code"].to_pylist() == [f"c{i:02d}" for i in seeds.node.tolist()]
    assert predictor.predict(seeds, progress=False).equals(table)
    torch.testing.assert_close(
        torch.from_numpy(table["prediction"].to_numpy().copy()),
        predictor.scores(seeds.node, seeds.time),
    )
    asked = predictor.predict(keys=["c07", "c04"], time="2021-10-01", progress=False)
    assert asked.column_names == ["code", "timestamp", "prediction"]
    assert asked["code"].to_pylist() == ["c07", "c04"]
    assert str(asked["timestamp"][0]) == "2021-10-01 00:00:00"
    cheap, dear = asked["prediction"].to_pylist()
    assert cheap < 0.5 < dear
    one_each = predictor.predict(keys=["c07", "c04"], time=["2021-02-01", "2021-10-01"], progress=False)
    assert one_each["prediction"][1].as_py() == pytest.approx(dear, abs=1e-5)
    with pytest.raises(SchemaError, match="no row with code = 'nobody'"):
        predictor.predict(keys=["nobody"], time="2021-10-01")
    with pytest.raises(ProtocolError, match="keys need time="):
        predictor.predict(keys=["c07"])
    with pytest.raises(ProtocolError, match="expected a database and a split"):
        predictor.predict()


def test_a_prediction_sees_nothing_later(db: Any, graph: HeteroGraph, predictor: EntityPredictor) -> None:
    """Changing every price and customer after the moment changes no prediction."""
    moment = int(to_microseconds("2021-06-01"))
    task = predictor.task
    node = torch.arange(40)
    time = torch.full((40,), moment)
    edges = {}
    for kind, store in graph.edges.items():
        late = graph.nodes["purchase"].time[store.edge_index[0]] > moment
        index = store.edge_index.clone()
        index[1, late] = index[1, late].flip(0)
        edges[kind] = type(store)(index)
        assert not torch.equal(index, store.edge_index)
    sampling = {"num_neighbors": [8, 4], "strategy": "uniform", "seed": 0}
    other = EntityPredictor(predictor.model, graph.replace(edges=edges), task, predictor.settings, sampling)
    torch.testing.assert_close(other.scores(node, time), predictor.scores(node, time))
    assert not torch.allclose(
        other.scores(node, time + 100 * 86_400_000_000), predictor.scores(node, time + 100 * 86_400_000_000)
    )


def test_regimes_differ_only_after_the_test_time(db: Any, graph: HeteroGraph, predictor: EntityPredictor) -> None:
    frozen_task = make_task(regime="frozen")
    sampling = {"num_neighbors": [8, 4], "strategy": "uniform", "seed": 0}
    frozen = EntityPredictor(predictor.model, graph, frozen_task, predictor.settings, sampling)
    seeds = frozen_task.seeds(db, "test")
    first = seeds.time == seeds.time.min()
    ours, theirs = frozen.scores(seeds.node, seeds.time), predictor.scores(seeds.node, seeds.time)
    torch.testing.assert_close(ours[first], theirs[first])
    assert not torch.allclose(ours[~first], theirs[~first])
    assert frozen.evaluate(seeds, progress=False)["regime"] == "frozen"


def test_saved_and_loaded(db: Any, graph: HeteroGraph, predictor: EntityPredictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "churn")
    graph.save(tmp_path / "graph")
    loaded = EntityPredictor.load(tmp_path / "churn", HeteroGraph.load(tmp_path / "graph"))
    assert loaded.predict(db, progress=False).equals(predictor.predict(db, progress=False))
    assert loaded.history.epochs == predictor.history.epochs
    assert repr(loaded) == repr(predictor)
    later = relgraph.build_graph(db, fit_until="2021-12-01", progress=False)
    with pytest.raises(SchemaError, match=r"column purchase\.at has other statistics \(newest, median\)"):
        EntityPredictor.load(tmp_path / "churn", later)
    with pytest.raises(AdapterError, match="no folder"):
        EntityPredictor.load(tmp_path / "nothing", graph)


@pytest.mark.slow
def test_regression_in_the_units_of_the_label(db: Any, graph: HeteroGraph) -> None:
    task = make_task("1000 * avg(d.price)", "regression")
    found = relgraph.fit(db, graph, task, **{**SMALL, "epochs": 6, "lr": 0.02}).evaluate(db, progress=False)
    label = task.seeds(db, "test").label
    assert found["mae"] < 0.6 * float((label - label.median()).abs().mean())


@pytest.mark.slow
def test_several_classes(db: Any, graph: HeteroGraph) -> None:
    task = make_task("2 * (avg(d.price) > 5)::INT", "multiclass")
    predictor = relgraph.fit(db, graph, task, **{**SMALL, "epochs": 8, "lr": 0.02})
    assert predictor.evaluate(db, progress=False)["accuracy"] > 0.8
    table = predictor.predict(db, progress=False)
    assert table.column_names[2:] == ["prediction", "probability_0", "probability_1", "probability_2", "label"]
    total = sum(table[f"probability_{i}"].to_numpy() for i in range(3))
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)


def test_the_loss_is_the_written_one(db: Any, predictor: EntityPredictor) -> None:
    train = predictor.task.seeds(db, "train")
    job = EntityJob(predictor, train, train, seed=3)
    batch = next(iter(job.batches(0)))
    predictor.model.eval()
    with torch.no_grad():
        p = predictor.model(batch)[:, 0].double().sigmoid().tolist()
        loss = job.loss(batch).item()
    y = train.label[batch["customer"].input_id].tolist()
    expected = -sum(math.log(a if b == 1 else 1 - a) for a, b in zip(p, y, strict=True)) / len(y)
    assert loss == pytest.approx(expected, rel=1e-4)


def test_batches_depend_on_seed_and_epoch_only(db: Any, predictor: EntityPredictor) -> None:
    train = predictor.task.seeds(db, "train")

    def content(epoch: int, start: int = 0, seed: int = 0) -> list[list[int]]:
        job = EntityJob(predictor, train, train, seed=seed)
        return [[*b["customer"].input_id.tolist(), *b["purchase"].n_id.tolist()] for b in job.batches(epoch, start)]

    whole = content(1)
    assert len(whole) == EntityJob(predictor, train, train).num_batches() == math.ceil(len(train) / 64)
    assert content(1, start=2) == whole[2:]
    assert content(0) != whole
    assert content(1, seed=1) != whole
    ids = [i for b in EntityJob(predictor, train, train).batches(0) for i in b["customer"].input_id.tolist()]
    assert sorted(ids) == list(range(len(train)))
    short = EntityJob(predictor, train, train, max_batches=1)
    assert short.num_batches() == len(list(short.batches(0))) == 1


@pytest.mark.slow
def test_the_largest_seed(db: Any, graph: HeteroGraph) -> None:
    trained = relgraph.fit(db, graph, make_task(), **{**SMALL, "epochs": 1, "seed": 2**63 - 1})
    assert len(trained.history) == 1


@pytest.mark.slow
def test_statistics_from_the_future_are_refused(db: Any) -> None:
    message = r"saw {}, but validation begins at 2021-09-01; build .* build_graph\(db, fit_until=task.val_time\)"
    with pytest.raises(LeakageError, match=message.format("all rows, whatever their time")):
        relgraph.fit(db, relgraph.build_graph(db, progress=False), make_task())
    late = relgraph.build_graph(db, fit_until="2021-09-02", progress=False)
    with pytest.raises(LeakageError, match=message.format("rows up to 2021-09-02")):
        relgraph.fit(db, late, make_task())


@pytest.mark.slow
def test_what_does_not_fit_together_is_refused(db: Any, graph: HeteroGraph) -> None:
    with pytest.raises(ProtocolError, match=r"one fan-out for each of 3 layers, got \[2\]"):
        relgraph.fit(db, graph, make_task(), **{**SMALL, "layers": 3})
    with pytest.raises(ProtocolError, match=r"seed: expected a whole number from 0 to 2\*\*63 - 1, got -1"):
        relgraph.fit(db, graph, make_task(), **{**SMALL, "seed": -1})
    with pytest.raises(ProtocolError, match=r"val_time of the task is not set.*with_times"):
        relgraph.fit(db, graph, make_task(val_time=None), **SMALL)
    frames = {"customer": pd.DataFrame({"code": ["x"]}), "purchase": pd.DataFrame({"at": [pd.Timestamp("2021-01-01")]})}
    other = relgraph.connect(frames, keys={"customer": "code"}, times={"purchase": "at"}, progress=False)
    with other, pytest.raises(SchemaError, match="'customer' has 40 nodes and 1 rows"):
        relgraph.fit(other, graph, make_task(), **SMALL)


def test_arguments_of_fit_are_checked_first(db: Any, graph: HeteroGraph) -> None:
    with pytest.raises(
        ProtocolError, match=r"fit of a task of kind EntityTask: no option 'chanels'; options: gnn, .*channels"
    ):
        relgraph.fit(db, graph, make_task(), chanels=16)
    with pytest.raises(ProtocolError, match=r"fit\(db, graph, task\): db is a HeteroGraph; expected a Database"):
        relgraph.fit(graph, db, make_task())  # type: ignore[call-overload]
    with pytest.raises(ProtocolError, match="task is a str; expected an EntityTask"):
        relgraph.fit(db, graph, "churn")  # type: ignore[call-overload]

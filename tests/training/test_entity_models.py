"""Networks, seed features, losses and schedules through `fit`, saved and loaded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import relgraph
from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.errors import ProtocolError, ShapeError
from relgraph.nn import GNNS
from relgraph.tasks import EntityTask
from relgraph.training.predictor import EntityPredictor
from relgraph.training.seed_columns import SeedColumns

TINY: dict[str, Any] = {
    "channels": 8,
    "num_neighbors": [4, 2],
    "encoder_layers": 1,
    "batch_size": 64,
    "epochs": 1,
    "accelerator": "cpu",
    "progress": False,
    "audit": False,
}
TWICE = {**TINY, "epochs": 2, "max_batches": 2}
LABEL = """
    SELECT c.id AS id, t.timestamp, (c.id % 2)::INT AS label
    FROM timestamps t CROSS JOIN customer c JOIN sale s
      ON s.customer = c.id AND s.at > t.timestamp AND s.at <= t.timestamp + {horizon}
    GROUP BY c.id, t.timestamp"""


class Parity:
    """The label itself in the guise of a feature, and the time it was asked for."""

    names = ("parity", "asked")
    categorical = ()

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.times: list[Tensor | None] = []

    def matrix(self, node: Tensor, time: Tensor | None) -> NDArray[np.float64]:
        self.times.append(time)
        asked = np.zeros(node.numel()) if time is None else time.double().numpy()
        return np.stack([(node % 2).double().numpy() * self.scale, asked], axis=1)

    def describe(self) -> dict[str, Any]:
        return {"scale": self.scale}


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    """Thirty customers without any property buy at random."""
    random = np.random.default_rng(0)
    sale = pd.DataFrame({"customer": random.integers(0, 30, 600), "shop": random.integers(0, 4, 600)})
    sale["id"] = range(600)
    sale["at"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.sort(random.integers(0, 360, 600)), unit="D")
    frames = {"customer": pd.DataFrame({"id": range(30)}), "shop": pd.DataFrame({"id": range(4)}), "sale": sale}
    keys = {
        "customer": "id",
        "shop": "id",
        "sale": {"primary_key": "id", "foreign_keys": {"customer": "customer", "shop": "shop"}},
    }
    with relgraph.connect(frames, keys=keys, times={"sale": "at"}, progress=False) as database:
        yield database


def make_task(sql: str = LABEL, kind: Any = "binary", **changes: Any) -> EntityTask:
    times = {"val_time": "2021-08-01", "test_time": "2021-10-01", "num_eval_times": 2, **changes}
    return EntityTask("customer", sql, "30 days", kind, entity_column="id", **times)


@pytest.fixture(scope="module")
def graph(db: Any) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=make_task().val_time, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("gnn", GNNS)
def test_every_network_trains_saves_and_loads(db: Any, graph: HeteroGraph, gnn: str, tmp_path: Path) -> None:
    options = {"dropout": 0.1} if gnn in ("gcn", "ppr", "grand") else {"dropout": 0.1, "norm": "none"}
    predictor = relgraph.fit(db, graph, make_task(), gnn=gnn, gnn_options=options, max_batches=2, **TINY)
    assert type(predictor.model.gnn) is GNNS[gnn]
    seeds = make_task().seeds(db, "val")
    predictor.save(tmp_path / "model")
    loaded = EntityPredictor.load(tmp_path / "model", graph)
    assert torch.equal(loaded.scores(seeds.node, seeds.time), predictor.scores(seeds.node, seeds.time))
    vectors = loaded.embeddings(seeds.node, seeds.time)
    assert vectors.shape == (len(seeds), 8)
    with torch.no_grad():
        read = loaded.model.head(vectors)[:, 0].sigmoid()
    torch.testing.assert_close(read, predictor.scores(seeds.node, seeds.time))
    assert predictor.embeddings(seeds.node[:0], seeds.moments[:0]).shape == (0, 8)


@pytest.mark.slow
def test_seed_features_reach_the_head_in_every_call(
    db: Any, graph: HeteroGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    settings = {**TINY, "epochs": 8, "lr": 0.02, "dropout": 0.0, "seed_features": [Parity()]}
    without = relgraph.fit(db, graph, task, **{**settings, "seed_features": ()}).evaluate(db, progress=False)
    predictor = relgraph.fit(db, graph, task, **settings)
    assert without["auroc"] < 0.8  # nothing in the database tells
    assert predictor.evaluate(db, progress=False)["auroc"] > 0.99
    seeds = task.seeds(db, "test")
    ours = predictor.scores(seeds.node, seeds.time)
    assert predictor.predict(db, progress=False)["prediction"].to_pylist() == ours.tolist()
    assert predictor.seed_columns is not None
    predictor.seed_columns.sources[0].scale = -1.0  # type: ignore[attr-defined]
    assert not torch.allclose(predictor.scores(seeds.node, seeds.time), ours)
    predictor.seed_columns.sources[0].scale = 1.0  # type: ignore[attr-defined]

    def from_dict(values: Mapping[str, Any], *_: Any) -> Parity:
        return Parity(**values)

    monkeypatch.setattr("relgraph.tabular.seed_features_from_dict", from_dict)
    predictor.save(tmp_path / "model")
    loaded = EntityPredictor.load(tmp_path / "model", graph)
    assert torch.equal(loaded.scores(seeds.node, seeds.time), ours)


def test_in_the_frozen_regime_features_see_nothing_after_the_test_time(db: Any, graph: HeteroGraph) -> None:
    source = Parity()
    task = make_task(regime="frozen")
    predictor = relgraph.fit(db, graph, task, **TINY, seed_features=[source])
    source.times.clear()
    seeds = task.seeds(db, "test")
    assert task.until is not None
    assert int(seeds.moments.max()) > task.until
    predictor.scores(seeds.node, seeds.time)
    (asked,) = source.times
    assert asked is not None
    assert torch.equal(asked, seeds.moments.clamp(max=task.until))


def test_a_checkpoint_with_other_features_is_another_training(db: Any, graph: HeteroGraph, tmp_path: Path) -> None:
    relgraph.fit(db, graph, make_task(), **TINY, seed_features=[Parity()], checkpoint=tmp_path)
    with pytest.raises(ProtocolError, match="belongs to another training"):
        relgraph.fit(db, graph, make_task(), **TINY, seed_features=[Parity(2.0)], checkpoint=tmp_path)


def test_columns_that_the_model_was_not_built_for_are_refused(db: Any, graph: HeteroGraph) -> None:
    predictor = relgraph.fit(db, graph, make_task(), **TINY)
    node = torch.arange(3)
    columns = SeedColumns.fit([Parity()], node, None)
    with pytest.raises(ShapeError, match=r"seed_x: expected \[3, 0\], as seed_width says, got \[3, 2\]"):
        predictor.model.read(torch.zeros(3, 8), columns.matrix(node, None))


@pytest.fixture(scope="module")
def plain(db: Any, graph: HeteroGraph) -> EntityPredictor:
    return relgraph.fit(db, graph, make_task(), **TWICE)


@pytest.mark.parametrize(
    "options",
    [{"lr_schedule": "cosine"}, {"weight_decay": 0.1}, {"clip_norm": 1e-3}, {"pos_weight": "balanced"}],
)
def test_options_of_training_matter(
    db: Any, graph: HeteroGraph, plain: EntityPredictor, options: dict[str, Any]
) -> None:
    other = relgraph.fit(db, graph, make_task(), **TWICE, **options)
    ours, theirs = plain.model.state_dict(), other.model.state_dict()
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_several_labels_are_learned_together(db: Any, graph: HeteroGraph) -> None:
    sql = LABEL.replace("(c.id % 2)::INT", "[(c.id % 2)::DOUBLE, (c.id % 2 = 0)::INT::DOUBLE]")
    task = make_task(sql, "multilabel")
    settings = {**TINY, "epochs": 6, "lr": 0.02, "dropout": 0.0, "seed_features": [Parity()]}
    predictor = relgraph.fit(db, graph, task, **settings)
    seeds = task.seeds(db, "test")
    scores = predictor.scores(seeds.node, seeds.time)
    assert scores.shape == (len(seeds), 2)
    for label in range(2):  # each label's own ranking; they are opposites
        positive = seeds.label[:, label] == 1
        assert scores[positive, label].median() > scores[~positive, label].max()


def test_a_static_task_has_no_moments(db: Any, graph: HeteroGraph) -> None:
    sql = "SELECT id, (id % 2)::INT AS label FROM customer"
    task = EntityTask("customer", sql, None, "binary", entity_column="id", regime="static", fractions=(0.4, 0.3, 0.3))
    source = Parity()
    predictor = relgraph.fit(db, graph, task, **TINY, seed_features=[source])
    assert source.times == [None] * len(source.times)
    assert predictor.evaluate(db, progress=False)["regime"] == "static"


def test_nodes_of_a_graph_without_a_database() -> None:
    from relgraph.tasks.node import NodeTask

    label = torch.tensor([0, 1] * 20)
    edges = torch.stack([torch.arange(40), (torch.arange(40) + 2) % 40])  # nodes refer to those of their class
    graph = HeteroGraph({"paper": NodeStore(40)}, {("paper", "cites", "paper"): EdgeStore(edges)})
    task = NodeTask("paper", label, fractions=(0.5, 0.25, 0.25))
    predictor = relgraph.fit(None, graph, task, **TINY, seed_features=[Parity()])
    assert predictor.scores(torch.arange(4), None).shape == (4, 2)
    with pytest.raises(ProtocolError, match="EntityTask needs the database"):
        relgraph.fit(None, graph, make_task(), **TINY)


def test_a_network_that_looks_two_hops_far_may_have_more_hops(db: Any, graph: HeteroGraph) -> None:
    settings = {**TINY, "layers": 1}
    assert len(relgraph.fit(db, graph, make_task(), gnn="relgnn", **settings).history) == 1
    with pytest.raises(ProtocolError, match=r"one fan-out for each of 1 layers \(or up to 2 in all"):
        relgraph.fit(db, graph, make_task(), gnn="relgnn", **{**settings, "num_neighbors": [2, 2, 2]})
    with pytest.raises(ProtocolError, match=r"one fan-out for each of 1 layers, got \[2\]"):
        relgraph.fit(db, graph, make_task(), gnn="gat", **settings)


def test_unknown_options_are_refused(db: Any, graph: HeteroGraph) -> None:
    for name, message in (("loss", "loss: expected one of l1, mse, huber"), ("lr_schedule", "one of constant, cosine")):
        with pytest.raises(ProtocolError, match=message):
            relgraph.fit(db, graph, make_task(), **TINY, **{name: "odd"})

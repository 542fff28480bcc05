"""What moved a prediction: scores that add up, and name what the label hangs on."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from torch_geometric.explain import Explainer, GNNExplainer

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.nn import GNNS
from relgraph.nn.entity_model import EntityModel
from relgraph.nn.gated import AGE, ROW, GatedModel
from relgraph.training import IntegratedGradients, explained_row
from relgraph.training.predictor import EntityPredictor
from tests.training.planted import DEAR, SMALL, connect, frames, make_task

WHEN = "2021-06-15"


@pytest.fixture(scope="module")
def db() -> Any:
    return connect(frames())


@pytest.fixture(scope="module")
def graph(db: Any) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=make_task().val_time, progress=False)


@pytest.fixture(scope="module")
def predictor(db: Any, graph: HeteroGraph) -> EntityPredictor:
    return relgraph.fit(db, graph, make_task(), **SMALL)


class Formula(nn.Module):
    """3 a^2 + 2 b relu(c - 0.3), of the first row."""

    def forward(self, x: Any, edge_index: Any) -> torch.Tensor:
        a, b, c = x[0]
        return (3 * a**2 + 2 * b * torch.relu(c - 0.3)).reshape(1)


def test_integrated_gradients_of_a_formula() -> None:
    """By hand: a gets 3; b and c the integrals of 2 max(t - 0.3, 0) and 2 t [t > 0.3] over t in [0, 1]."""
    settings = {"mode": "regression", "task_level": "graph", "return_type": "raw"}
    explainer = Explainer(Formula(), IntegratedGradients(tolerance=1e-4), "model", settings, "attributes")
    found = explainer(torch.ones(1, 3), torch.zeros(2, 0, dtype=torch.int64)).node_mask[0].tolist()
    assert found == pytest.approx([3.0, 0.7**2, 1 - 0.3**2], abs=2e-3)
    assert sum(found) == pytest.approx(3 + 2 * 0.7, abs=2e-4 * 4.4)
    # from another baseline: 3 (1 - 0.25), and b alone moves nothing where c is 0.3
    low = torch.tensor([[0.5, 0.0, 1.0]])
    explainer = Explainer(Formula(), IntegratedGradients(low), "model", settings, "attributes")
    found = explainer(torch.ones(1, 3), torch.zeros(2, 0, dtype=torch.int64)).node_mask[0].tolist()
    assert found == pytest.approx([2.25, 1.4, 0.0], abs=1e-4)


def test_settings_that_integrated_gradients_do_not_take() -> None:
    for arguments in ({"tolerance": 0.0}, {"max_points": 0}):
        with pytest.raises(ShapeError, match="above 0"):
            IntegratedGradients(**arguments)  # type: ignore[arg-type]
    settings = {"mode": "regression", "task_level": "graph", "return_type": "raw"}
    with pytest.raises(ValueError, match="does not support"):
        Explainer(Formula(), IntegratedGradients(), "model", settings, "object")


@pytest.mark.parametrize(("gnn", "blocks"), [*((name, 2) for name in sorted(GNNS)), ("gcn", 0)])
def test_open_gates_give_the_prediction_with_every_network(graph: HeteroGraph, gnn: str, blocks: int) -> None:
    torch.manual_seed(0)
    settings = {"channels": 8, "layers": 2, "encoder_layers": blocks, "head_layers": 1, "gnn": gnn, "out_channels": 3}
    model = EntityModel(graph, "customer", **settings).eval()  # type: ignore[arg-type]
    task = make_task("count(*) % 3", "multiclass")
    made = EntityPredictor(model, graph, task, settings, {"num_neighbors": [8, 8], "strategy": "uniform", "seed": 0})
    node, time = made.rows(["c003"], WHEN)
    row = explained_row(made, "c003", WHEN)
    scores = made.scores(node, time)[0]
    assert row.output == int(scores.argmax())
    assert row.predict() == pytest.approx(float(scores.max()), abs=1e-5)
    shut = {name: torch.zeros_like(gate) for name, gate in row.x.items()}
    assert row.predict(shut) != pytest.approx(row.predict(), abs=1e-6)
    assert set(row.model.gates["purchase"]) == {ROW, "way", "at", AGE}
    assert row.model.gates["product"] == (ROW, "price", "colour")


@pytest.mark.slow
def test_a_shut_row_is_as_if_it_were_not_there(db: Any, predictor: EntityPredictor) -> None:
    """With GraphSAGE's sums: the prediction without a purchase, its row deleted, is the one with its gate shut."""
    row = explained_row(predictor, "c001", WHEN)
    (place,) = [i for i, n in enumerate(row.rows["purchase"].tolist()) if n == 5]
    x = {name: gate.clone() for name, gate in row.x.items()}
    x["purchase"][place, 0] = 0
    product = int(db.sql("SELECT product FROM purchase WHERE id = 1005")["product"][0].as_py())
    (bought,) = [i for i, n in enumerate(row.rows["product"].tolist()) if n == product]
    x["product"][bought, 0] = 0
    tables = frames()
    tables["purchase"] = tables["purchase"].drop(5)
    without = predictor.on(connect(tables), progress=False)
    expected = without.predict(keys=["c001"], time=WHEN, progress=False)["prediction"][0].as_py()
    assert row.predict(x) == pytest.approx(expected, abs=1e-5)
    assert row.predict() != pytest.approx(expected, abs=1e-4)


def test_a_shut_column_is_null(predictor: EntityPredictor) -> None:
    row = explained_row(predictor, "c001", WHEN)
    x = {name: gate.clone() for name, gate in row.x.items()}
    x["purchase"][:, 1 + ["way", "at"].index("way")] = 0
    x["customer"][0, row.model.gates["customer"].index("size")] = 0
    tables = frames()
    tables["purchase"].loc[tables["purchase"]["customer"] == "c001", "way"] = None
    tables["customer"].loc[1, "size"] = None
    assert row.model.gates["purchase"][1] == "way"
    expected = predictor.on(connect(tables), progress=False).predict(keys=["c001"], time=WHEN, progress=False)
    assert row.predict(x) == pytest.approx(expected["prediction"][0].as_py(), abs=1e-5)


@pytest.mark.slow
def test_it_names_what_the_label_hangs_on(db: Any, predictor: EntityPredictor) -> None:
    assert predictor.evaluate(db, "val", progress=False)["auroc"] > 0.95
    table = predictor.predict(keys=["c001", "c005", "c009"], time=WHEN, progress=False)
    for key, prediction in zip(table["code"].to_pylist(), table["prediction"].to_pylist(), strict=True):
        found = predictor.explain(key=key, time=WHEN)
        assert found.prediction == pytest.approx(prediction, abs=1e-5)
        query = f"SELECT id, product FROM purchase WHERE customer = '{key}' AND product >= {DEAR[0]}"
        bought, product = db.sql(query).to_pylist()[0].values()
        assert next(iter(found.columns)) == "product.price"
        first = found.cells[0]
        assert (first.table, first.key, first.column, first.value) == ("product", product, "price", "9")
        assert first.score > 0
        row = next(row for row in found.rows if row.table == "product")
        assert (row.key, [(s.via, s.table, s.key, s.forward) for s in row.path]) == (
            product,
            [("purchase.customer", "purchase", bought, False), ("purchase.product", "product", product, True)],
        )


@pytest.mark.slow
def test_scores_add_up(predictor: EntityPredictor) -> None:
    found = predictor.explain(key="c003", time=WHEN)
    change = found.prediction - found.baseline
    moved = sum(abs(row.score) for row in found.rows)
    assert abs(found.gap) < 0.04 * moved
    total = change - found.gap
    assert sum(t.score for t in found.tables) == pytest.approx(total, abs=1e-9)
    assert sum(r.score for r in found.rows) == pytest.approx(total, abs=1e-9)
    assert sum(found.paths.values()) == pytest.approx(total, abs=1e-9)
    assert sum(found.columns.values()) + sum(t.presence for t in found.tables) == pytest.approx(total, abs=1e-9)
    assert sum(t.share for t in found.tables) == pytest.approx(1)
    assert [t.table for t in found.tables] == sorted(
        (t.table for t in found.tables), key=lambda name: -next(t.share for t in found.tables if t.table == name)
    )
    assert "customer <- purchase (customer) -> product (product)" in found.paths


@pytest.mark.slow
def test_the_same_again_and_nothing_left_behind(predictor: EntityPredictor) -> None:
    before, slopes = copy.deepcopy(predictor.model.state_dict()), gradients(predictor)
    first = predictor.explain(key="c003", time=WHEN)
    assert predictor.explain(key="c003", time=WHEN).to_json() == first.to_json()
    assert gradients(predictor) == slopes
    assert all(torch.equal(value, before[name]) for name, value in predictor.model.state_dict().items())
    document = json.loads(first.to_json())
    assert document["rows"][0]["key"] == first.rows[0].key
    assert document["columns"] == dict(first.columns)
    text, page = repr(first), first._repr_html_()
    for shown in ("customer c003 at 2021-06-15: ", "product.price", "customer c003 <- purchase "):
        assert shown in text
    assert "<table" in page
    assert "product.price" in page


def gradients(predictor: EntityPredictor) -> list[float | None]:
    return [None if p.grad is None else float(p.grad.sum()) for p in predictor.model.parameters()]


def test_pygs_own_explainers(predictor: EntityPredictor) -> None:
    slopes = gradients(predictor)
    row = explained_row(predictor, "c001", WHEN)
    torch.manual_seed(0)
    explanation = Explainer(row.model, GNNExplainer(epochs=3), **row.settings)(row.x, row.edge_index)
    assert set(explanation.node_mask_dict) == {"customer", "product", "purchase"}
    for name, mask in explanation.node_mask_dict.items():
        assert mask.shape == row.x[name].shape
    explanation.validate()
    told = predictor.explain(key="c001", time=WHEN, algorithm=GNNExplainer(epochs=3))
    assert told.algorithm == "GNNExplainer"
    assert sum(row.score for row in told.rows) > 0
    assert gradients(predictor) == slopes


@pytest.mark.slow
def test_all_that_is_known_at_the_moment(graph: HeteroGraph, predictor: EntityPredictor) -> None:
    early = predictor.explain(key="c003", time="2020-12-31")
    assert {row.table for row in early.rows} == {"customer"}
    assert early.rows[0].path == ()
    assert math.isclose(early.prediction, early.baseline + sum(early.columns.values()), abs_tol=0.02)
    late = make_task(regime="frozen", val_time="2020-11-01", test_time="2020-12-01")
    frozen = EntityPredictor(
        predictor.model, graph, late, predictor.settings, {"num_neighbors": [8, 8], "strategy": "uniform", "seed": 0}
    )
    assert {row.table for row in frozen.explain(key="c003", time=WHEN).rows} == {"customer", "purchase", "product"}
    assert frozen.sampler.until == late.until


@pytest.mark.slow
def test_on_another_database(predictor: EntityPredictor) -> None:
    tables = frames()
    tables["customer"] = pd.concat([tables["customer"], pd.DataFrame([{"code": "new", "size": 0.5}])])
    more = pd.DataFrame(
        [{"id": 9999, "customer": "new", "product": 20, "way": "shop", "at": pd.Timestamp("2021-05-05")}]
    )
    tables["purchase"] = pd.concat([tables["purchase"], more])
    found = predictor.explain(connect(tables), key="new", time=WHEN)
    assert {(row.table, row.key) for row in found.rows} == {("customer", "new"), ("purchase", 9999), ("product", 20)}


@pytest.mark.slow
def test_a_value_that_is_read_twice_is_told_once(db: Any, graph: HeteroGraph) -> None:
    features = [relgraph.tabular.RowFeatures(graph, "customer")]
    twice = relgraph.fit(db, graph, make_task(), **{**SMALL, "epochs": 1}, seed_features=features)
    found = twice.explain(key="c003", time=WHEN)
    told = [(cell.table, cell.key, cell.column) for cell in found.cells]
    assert len(told) == len(set(told))
    own = sum(c.score for c in found.cells if (c.table, c.column) == ("customer", "size"))
    assert own == pytest.approx(found.columns["customer.size"], abs=1e-9)


@pytest.mark.slow
def test_what_cannot_be_explained(predictor: EntityPredictor, graph: HeteroGraph) -> None:
    with pytest.raises(SchemaError, match="no row with code = 'nobody'"):
        predictor.explain(key="nobody", time=WHEN)
    with pytest.raises(ProtocolError, match="need time="):
        predictor.explain(key="c001")
    with pytest.raises(ProtocolError, match="target: only a recommender has target rows, got 3"):
        relgraph.explain(predictor, key="c001", target=3, time=WHEN)
    with pytest.raises(ProtocolError, match="has one output, so leave output=1 out"):
        predictor.explain(key="c001", time=WHEN, output=1)
    model = EntityModel(graph, "customer", channels=8, out_channels=3).eval()
    settings: dict[str, Any] = {"channels": 8, "out_channels": 3}
    sampling = {"num_neighbors": [4, 4], "strategy": "uniform", "seed": 0}
    several = EntityPredictor(model, graph, make_task("count(*) % 3", "multiclass"), settings, sampling)
    with pytest.raises(ProtocolError, match=r"expected one of 0\.\.2, got 3"):
        several.explain(key="c001", time=WHEN, output=3)
    assert several.explain(key="c001", time=WHEN, output=2).output == 2
    node, time = several.rows(["c001", "c003"], WHEN)
    batch = next(iter(several.loader(node, time)))
    with pytest.raises(ShapeError, match="expected the subgraph of one seed, got 2"):
        GatedModel(model, batch, lambda out: out[:, 0])

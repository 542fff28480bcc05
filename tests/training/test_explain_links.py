"""What moved the score of a recommendation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.errors import ProtocolError, SchemaError
from relgraph.nn.link_model import LinkKind
from relgraph.training import explained_link
from relgraph.training.link_predictor import LinkPredictor
from tests.training.link_shop import SMALL, favourites, make_db, make_task
from tests.training.test_link import with_late_products

WHEN = "2021-10-01"


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    with make_db() as opened:
        yield opened


@pytest.fixture(scope="module")
def graph(db: Any) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=make_task().val_time, progress=False)


@pytest.fixture(scope="module")
def predictor(db: Any, graph: HeteroGraph) -> LinkPredictor:
    return relgraph.fit(db, graph, make_task(), model="hybrid", **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("kind", get_args(LinkKind))
def test_open_gates_give_the_score(db: Any, graph: HeteroGraph, kind: LinkKind) -> None:
    made = relgraph.fit(db, graph, make_task(), model=kind, **{**SMALL, "epochs": 1, "max_batches": 2})
    node, time = made.rows(["c03"], WHEN)
    bought = 100 + int(favourites()[3][0])  # in the subgraph of its customer
    unseen = next(100 + i for i in range(40) if i not in favourites()[3])
    for target in (bought, unseen):
        wanted = graph.node_index("product", [target])
        with made.unfrozen():
            expected = float(made.scores(node, time, wanted)[0])
        row = explained_link(made, "c03", target, WHEN)
        assert row.predict() == pytest.approx(expected, abs=1e-4)
        shut = {name: torch.zeros_like(gate) for name, gate in row.x.items()}
        if target == bought or kind != "idgnn":  # what is out of reach of an ID-GNN has its popularity alone
            assert row.predict(shut) != pytest.approx(row.predict(), abs=1e-6)
        else:
            assert row.predict(shut) == row.predict()


@pytest.mark.slow
def test_a_favourite_is_recommended_for_its_own_purchases(db: Any, predictor: LinkPredictor) -> None:
    bought = 100 + int(favourites()[3][0])
    found = predictor.explain(key="c03", target=bought, time=WHEN)
    assert found.target == ("product", bought)
    assert found.title.startswith(f"customer c03 at 2021-10-01, product {bought}: ")
    first = next(row for row in found.rows if row.table == "product")
    assert (first.key, first.path[-1].via) == (bought, "purchase.product")
    assert first.score > 0
    change = found.prediction - found.baseline
    assert sum(table.score for table in found.tables) == pytest.approx(change - found.gap, abs=1e-9)
    assert abs(found.gap) < 0.04 * sum(abs(row.score) for row in found.rows)
    document = json.loads(found.to_json())
    assert document["target"] == ["product", bought]
    assert repr(relgraph.explain(predictor, key="c03", target=bought, time=WHEN)) == repr(found)


def test_pygs_own_explainer(predictor: LinkPredictor) -> None:
    row = explained_link(predictor, "c03", 100, WHEN)
    explanation = Explainer(row.model, GNNExplainer(epochs=2), **row.settings)(row.x, row.edge_index)
    assert {name: mask.shape for name, mask in explanation.node_mask_dict.items()} == {
        name: gate.shape for name, gate in row.x.items()
    }


def test_what_cannot_be_explained(predictor: LinkPredictor) -> None:
    with pytest.raises(ProtocolError, match="needs target=, the key of the row of 'product'"):
        relgraph.explain(predictor, key="c03", time=WHEN)
    with pytest.raises(ProtocolError, match="has one output, so leave output=1 out"):
        relgraph.explain(predictor, key="c03", target=100, time=WHEN, output=1)
    with pytest.raises(SchemaError, match="no row with id = 7"):
        predictor.explain(key="c03", target=7, time=WHEN)
    with pytest.raises(ProtocolError, match="need time="):
        predictor.explain(key="c03", target=100)
    late = LinkPredictor(
        predictor.model,
        with_late_products(predictor.graph, [0]),
        predictor.task,
        predictor.settings,
        {"num_neighbors": [16, 8], "strategy": "uniform", "seed": 0},
    )
    with pytest.raises(ProtocolError, match="product 100 does not exist yet at 2021-05-01; it cannot be recommended"):
        late.explain(key="c03", target=100, time="2021-05-01")

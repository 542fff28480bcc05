"""Node classification on plain graphs goes the same way as rows of a database."""

from __future__ import annotations

from pathlib import Path

import networkx
import pytest
import torch
from torch_geometric.data import Data

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError
from relgraph.tasks.node import NodeTask

PLAIN = {"num_neighbors": None, "encoder_layers": 0, "channels": 16, "epochs": 60, "lr": 0.02, "progress": False}


def two_groups(size: int = 60) -> Data:
    """Two groups whose members mostly know each other; what a node is like says little, its neighbours say all."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(size) % 2
    pairs = torch.combinations(torch.arange(size))
    chance = torch.where(y[pairs[:, 0]] == y[pairs[:, 1]], 0.2, 0.01)
    chosen = pairs[torch.rand(len(pairs), generator=generator) < chance]
    x = torch.randn(size, 8, generator=generator)
    x[:, 0] += (2 * y - 1) * 0.7
    return Data(x=x, edge_index=torch.cat([chosen.t(), chosen.t().flip(0)], dim=1), y=y)


@pytest.mark.slow
@pytest.mark.parametrize("gnn", ["gcn", "ppr", "grand", "sage"])
def test_networks_learn_from_neighbours_on_the_whole_graph(gnn: str, tmp_path: Path) -> None:
    data = two_groups()
    graph, task = HeteroGraph.from_data(data), NodeTask.from_data(data, fractions=(0.3, 0.2, 0.5))
    options = {"gnn_options": {"dropout": 0.2}} if gnn != "sage" else {}
    model = relgraph.fit(None, graph, task, gnn=gnn, layers=2, **PLAIN, **options)
    found = model.evaluate()
    assert found["accuracy"] >= 0.9
    assert found["regime"] == "static"
    again = relgraph.EntityPredictor.load(model.save(tmp_path / "model"), graph)
    seeds = task.seeds(None, "test")
    torch.testing.assert_close(again.scores(seeds.node, None), model.scores(seeds.node, None))
    assert again.predict(keys=[3, 5]).num_rows == 2


@pytest.mark.slow
def test_the_same_task_trains_on_samples() -> None:
    data = two_groups()
    graph, task = HeteroGraph.from_data(data), NodeTask.from_data(data, fractions=(0.3, 0.2, 0.5))
    options = {**PLAIN, "num_neighbors": [10, 10], "epochs": 20}
    assert relgraph.fit(None, graph, task, **options).evaluate()["accuracy"] >= 0.85


@pytest.mark.slow
def test_a_networkx_graph_with_attributes() -> None:
    source = networkx.karate_club_graph()
    for node, degree in source.degree():
        source.nodes[node]["knows"] = degree
        source.nodes[node]["from_first"] = networkx.shortest_path_length(source, 0, node)
    graph = HeteroGraph.from_networkx(source, columns=["knows", "from_first"])
    assert graph.nodes["node"].features is not None
    task = NodeTask.from_networkx(source, graph, "club", fractions=(0.5, 0.25, 0.25))
    model = relgraph.fit(None, graph, task, gnn="gcn", layers=2, **PLAIN)
    table = model.predict(split="test")
    assert set(table["key"].to_pylist()) <= set(source)
    assert model.evaluate(split="train")["accuracy"] >= 0.8


@pytest.mark.slow
def test_facts_with_typed_entities() -> None:
    # who is born somewhere is a person, what lies somewhere a place: the relations tell
    entities = [f"p{i}" for i in range(20)] + [f"c{i}" for i in range(20)] + ["person", "place", "land"]
    facts = [(i, 0, 20 + i) for i in range(20)] + [(20 + i, 1, 42) for i in range(20)]
    facts += [(i, 2, 40) for i in range(20)] + [(20 + i, 2, 41) for i in range(20)]
    rows = torch.tensor(facts)
    vocabulary = Vocabulary(entities, ["born in", "lies in", "is a"])
    statements = Statements(rows[:, 0], rows[:, 1], rows[:, 2], vocabulary=vocabulary)
    graph, task = NodeTask.from_statements(statements, "is a", fractions=(0.4, 0.2, 0.4))
    model = relgraph.fit(None, graph, task, **{**PLAIN, "epochs": 15})
    assert model.evaluate()["accuracy"] == 1.0


def test_a_whole_graph_is_refused_where_rows_have_moments() -> None:
    data = two_groups()
    graph = HeteroGraph.from_data(data)
    task = relgraph.EntityTask("node", "SELECT 1", "1 day", "binary", val_time=10, test_time=20)
    with pytest.raises(ProtocolError, match="without time"):
        relgraph.fit(None, graph, task, num_neighbors=None)

"""PyG, NetworkX and the disk give the same graph back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx
import pandas
import pytest
import torch
from torch_geometric.data import HeteroData

import relgraph
from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.keys import Keys, TextColumn
from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.data.time import UNKNOWN, to_microseconds
from relgraph.errors import AdapterError, SchemaError, ShapeError
from tests.data.shop import shop


def database_graph() -> HeteroGraph:
    return relgraph.build_graph(shop(), fit_until="2020-01-31", progress=False)


def fact_graph() -> HeteroGraph:
    vocabulary = Vocabulary(["ann", "böb", "cup", "may"], ["likes", "when", "unused"], num_main_entities=3)
    pairs = Qualifiers(torch.tensor([0, 1, 3]), torch.tensor([1, 1, 2]), torch.tensor([3, 3, 2]))
    time = torch.tensor([5, UNKNOWN])
    return HeteroGraph.from_statements(
        Statements(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([1, 2]), vocabulary, time, pairs)
    )


GRAPHS = [database_graph, fact_graph]


def same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return torch.equal(a, b)


def assert_same_structure(a: HeteroGraph, b: HeteroGraph) -> None:
    assert a.node_types == b.node_types
    assert a.edge_types == b.edge_types
    assert a.relations == b.relations
    assert a.schema == b.schema
    assert a.num_main_entities == b.num_main_entities
    for name, node in a.nodes.items():
        other = b.nodes[name]
        assert node.num_nodes == other.num_nodes
        assert (node.keys is None) == (other.keys is None)
        if node.keys is not None and other.keys is not None:
            assert node.keys.names == other.keys.names
            assert node.keys.tolist() == other.keys.tolist()
        assert same(node.time, other.time)
    for edge_type, edge in a.edges.items():
        other_edge = b.edges[edge_type]
        assert torch.equal(edge.edge_index, other_edge.edge_index)
        assert same(edge.time, other_edge.time)
        assert (edge.qualifiers is None) == (other_edge.qualifiers is None)
        if edge.qualifiers is not None and other_edge.qualifiers is not None:
            for part in ("ptr", "relation", "entity"):
                assert torch.equal(getattr(edge.qualifiers, part), getattr(other_edge.qualifiers, part))


def assert_same_features(a: HeteroGraph, b: HeteroGraph) -> None:
    for name, node in a.nodes.items():
        first, second = node.features, b.nodes[name].features
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.names == second.names
            assert first.stats == second.stats
            for kind, value in first.values.items():
                assert torch.equal(value.nan_to_num(7e7), second.values[kind].nan_to_num(7e7))


@pytest.mark.parametrize("make", GRAPHS)
def test_hetero_data_round_trips_everything(make: Any) -> None:
    graph = make()
    data = graph.to_hetero_data()
    assert data.validate()
    back = HeteroGraph.from_hetero_data(data)
    assert_same_structure(graph, back)
    assert_same_features(graph, back)
    assert (back.fit_until, back.report) == (graph.fit_until, graph.report)


def test_hetero_data_shares_the_features_and_derives_the_reverse() -> None:
    graph = database_graph()
    data = graph.to_hetero_data()
    stored = graph.nodes["sale"].features
    assert stored is not None
    shared = {id_(value) for value in stored.values.values()}
    assert {id_(value) for value in data["sale"].tf.feat_dict.values()} == shared
    assert torch.equal(
        data["person", "rev_buyer", "sale"].edge_index, graph.edges["sale", "buyer", "person"].edge_index.flip(0)
    )
    bare = graph.to_hetero_data(features=False, reverse=False, times=False)
    assert ("time" in data["sale"], "time" in bare["sale"], "tf" in bare["sale"]) == (True, False, False)
    assert len(bare.edge_types) == len(graph.edges)


def id_(value: torch.Tensor) -> int:
    return value.data_ptr()


def test_a_foreign_hetero_data_comes_in_and_says_what_it_left_out() -> None:
    data = HeteroData()
    data["a"].x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    data["a"].y = torch.tensor([0, 1])
    data["b"].num_nodes = 3
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1], [2, 0]])
    data["b", "rev_to", "a"].edge_index = torch.tensor([[2, 0], [0, 1]])
    graph = HeteroGraph.from_hetero_data(data)
    assert graph.edge_types == [("a", "to", "b")]
    features = graph.nodes["a"].features
    assert features is not None
    assert features.column("x_1").tolist() == [2.0, 6.0]
    assert features.stats["x_1"] == {"mean": 4.0, "std": 2.0, "quantiles": [2, 3, 4, 5, 6]}
    assert graph.report["left_out"] == {"a": ["y"]}


@pytest.mark.parametrize("make", GRAPHS)
def test_networkx_round_trips_structure_keys_times_and_qualifiers(make: Any) -> None:
    graph = make()
    assert_same_structure(graph, HeteroGraph.from_networkx(graph.to_networkx()))


def test_networkx_nodes_and_edges_are_readable() -> None:
    graph = database_graph().to_networkx()
    assert graph.nodes["person", 10]["node_type"] == "person"
    relations = {d["relation"] for _, _, d in graph.out_edges(("sale", 0), data=True)}
    assert relations == {"buyer", "seller", "hall+slot"}
    (qualified,) = [d for _, _, d in fact_graph().to_networkx().in_edges(("entity", "cup"), data=True)]
    assert qualified["qualifiers"] == [("when", ("entity", "may")), ("unused", ("entity", "cup"))]


def test_a_plain_networkx_graph_comes_in() -> None:
    club = networkx.karate_club_graph()
    graph = HeteroGraph.from_networkx(club)
    assert (graph.num_nodes, graph.num_edges) == (34, 78)
    assert graph.edge_types == [("node", "edge", "node")]
    facts = networkx.DiGraph()
    facts.add_node("ann", node_type="person")
    facts.add_edge("ann", "paris", relation="lives_in", time="2020-01-01", qualifiers=[("since", "ann")])
    graph = HeteroGraph.from_networkx(facts)
    assert graph.edge_types == [("person", "lives_in", "node")]
    assert graph.edges["person", "lives_in", "node"].time.tolist() == [int(to_microseconds("2020-01-01"))]  # type: ignore[union-attr]
    assert graph.statements().labels(0) == ("person:ann", "lives_in", "node:paris", "since", "person:ann")
    facts.add_edge("ann", "rome", qualifiers=[("since", "nobody")])
    with pytest.raises(SchemaError, match="names 'nobody'"):
        HeteroGraph.from_networkx(facts)


@pytest.mark.parametrize("make", GRAPHS)
def test_saved_and_loaded_it_is_the_same(make: Any, tmp_path: Path) -> None:
    graph = make()
    back = HeteroGraph.load(graph.save(tmp_path / "graph"))
    assert_same_structure(graph, back)
    assert_same_features(graph, back)
    assert (back.fit_until, dict(back.report)) == (graph.fit_until, dict(graph.report))


def test_what_is_no_saved_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="nowhere"):
        HeteroGraph.load(tmp_path / "nowhere")
    with pytest.raises(AdapterError):
        HeteroGraph.load(tmp_path)


def test_to_data_is_for_one_node_type() -> None:
    with pytest.raises(SchemaError, match="one node type, this graph has 6"):
        database_graph().to_data()


@pytest.mark.parametrize(
    ("nodes", "edges", "error", "message"),
    [
        ({"a": NodeStore(2)}, {("a", "r", "b"): torch.zeros(2, 0)}, SchemaError, "no node type 'b'"),
        ({"a": NodeStore(2)}, {("a", "r", "a"): [[0], [2]]}, ShapeError, r"numbers in 0\.\.1 for 'a', got 2"),
        ({"a": NodeStore(2)}, {("a", "r", "a"): [0, 1]}, ShapeError, r"expected int64 \[2, E\]"),
        ({"a": NodeStore(2, time=torch.tensor([1]))}, {}, ShapeError, "a.time: expected length 2, got 1"),
        ({"a": NodeStore(2, Keys(("k",), (TextColumn.from_strings("x"),)))}, {}, ShapeError, "a.keys: expected length"),
    ],
)
def test_a_graph_that_does_not_hold_together_is_refused(
    nodes: Any, edges: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        HeteroGraph(nodes, {t: EdgeStore(torch.as_tensor(e, dtype=torch.int64)) for t, e in edges.items()})


def test_it_prints_itself() -> None:
    text = repr(database_graph())
    assert text.startswith("HeteroGraph(16 nodes, 17 edges)")
    assert "sale -> hall+slot -> shelf: 3" in text
    assert "1 unknown" in text


def test_networkx_nodes_that_only_differ_in_type() -> None:
    found = networkx.DiGraph()
    found.add_edge(1, "1")
    with pytest.raises(SchemaError, match="two nodes of type 'node' have the same key as text"):
        HeteroGraph.from_networkx(found)


@pytest.mark.parametrize("entry", ["nodes", "edges", "relations", "schema", "fit_until", "report"])
def test_a_saved_graph_whose_pointer_lacks_something(tmp_path: Path, entry: str) -> None:
    pointer = HeteroGraph.from_networkx(networkx.path_graph(3)).save(tmp_path / "g") / "graph.json"
    content = json.loads(pointer.read_text())
    del content["meta"][entry]
    pointer.write_text(json.dumps(content))
    with pytest.raises(AdapterError, match=rf"g is damaged: .*{entry}.*save the graph again"):
        HeteroGraph.load(tmp_path / "g")


def test_roles_as_a_list_are_those_as_a_tuple() -> None:
    frames = {"p": pandas.DataFrame({"id": [1, 2]}), "f": pandas.DataFrame({"a": [1], "b": [2]})}
    keys = {"p": "id", "f": {"foreign_keys": {"a": "p", "b": "p"}}}
    graph = relgraph.build_graph(relgraph.connect(frames, keys=keys, progress=False), progress=False)
    given: Any = {"f": ["b", "a"]}  # as a JSON file has it
    assert graph.statements(roles=given).labels(0) == ("p:2", "f", "p:1")
    assert graph.statements(roles=given) is graph.statements(roles={"f": ("b", "a")})


def test_an_edge_type_that_is_named_like_a_reverse_is_not_lost() -> None:
    index = torch.tensor([[0], [0]])
    both = {("a", "k", "b"): EdgeStore(index), ("b", "rev_k", "a"): EdgeStore(index)}
    graph = HeteroGraph({"a": NodeStore(1), "b": NodeStore(1)}, both)
    with pytest.raises(SchemaError, match="both stored"):
        graph.to_hetero_data()
    assert HeteroGraph.from_hetero_data(graph.to_hetero_data(reverse=False)).edge_types == list(both)

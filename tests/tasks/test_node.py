"""Tasks with given labels: from PyG, NetworkX, keys and facts."""

from __future__ import annotations

import networkx
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from relgraph.data.graph import HeteroGraph
from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.tasks import task_from_dict
from relgraph.tasks.node import NodeTask


def a_data() -> Data:
    mask = torch.zeros(6, dtype=torch.bool)
    train, val, test = mask.clone(), mask.clone(), mask.clone()
    train[:2], val[2], test[4:] = True, True, True
    return Data(
        x=torch.eye(6), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), y=torch.tensor([0, 1, 2, 0, 1, 2]),
        train_mask=train, val_mask=val, test_mask=test,
    )  # fmt: skip


def test_pyg_masks_become_splits() -> None:
    task = NodeTask.from_data(a_data())
    assert [task.seeds(None, split).node.tolist() for split in ("train", "val", "test")] == [[0, 1], [2], [4, 5]]
    test = task.seeds(None, "test")
    assert test.label.tolist() == [1, 2]
    assert test.time is None
    assert test.keys["row"].to_pylist() == [4, 5]
    assert (task.kind, task.regime, task.until, task.metric) == ("multiclass", "static", None, "accuracy")


def test_labels_without_masks_are_split_by_fractions_the_same_way_each_time() -> None:
    label = torch.arange(100) % 3
    label[::10] = -1
    task = NodeTask("node", label, fractions=(0.5, 0.25, 0.25))
    parts = [task.seeds(None, split).node for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [45, 22, 23]
    assert sorted(torch.cat(parts).tolist()) == [i for i in range(100) if i % 10]
    again = NodeTask("node", label, fractions=(0.5, 0.25, 0.25))
    assert torch.equal(parts[0], again.seeds(None, "train").node)
    assert not torch.equal(
        parts[0], NodeTask("node", label, fractions=(0.5, 0.25, 0.25), seed=1).seeds(None, "train").node
    )


def test_a_hetero_data_says_which_type_has_labels() -> None:
    data = HeteroData()
    data["paper"].x, data["paper"].y = torch.zeros(4, 2), torch.tensor([0.5, 1.5, float("nan"), 2.5])
    data["author"].num_nodes = 3
    task = NodeTask.from_data(data, fractions=(0.4, 0.3, 0.3))
    assert (task.entity_table, task.kind) == ("paper", "regression")
    assert sum(len(task.seeds(None, split)) for split in ("train", "val", "test")) == 3
    data["author"].y = torch.zeros(3)
    with pytest.raises(SchemaError, match=r"paper.*author.*node_type="):
        NodeTask.from_data(data)


def test_a_networkx_attribute_becomes_classes_with_names() -> None:
    source = networkx.karate_club_graph()
    graph = HeteroGraph.from_networkx(source)
    task = NodeTask.from_networkx(source, graph, "club", fractions=(0.5, 0.25, 0.25))
    assert task.classes == ("Mr. Hi", "Officer")
    for split in ("train", "val", "test"):
        seeds = task.seeds(None, split)
        clubs = [source.nodes[key]["club"] for key in seeds.keys["key"].to_pylist()]
        assert [task.classes[i] for i in seeds.label.tolist()] == clubs
    with pytest.raises(ProtocolError, match="'clubs'"):
        NodeTask.from_networkx(source, graph, "clubs")


def test_facts_of_one_relation_become_labels_and_leave_the_graph() -> None:
    vocabulary = Vocabulary(["rome", "paris", "italy", "city", "country"], ["is a", "lies in"])
    facts = torch.tensor([[0, 0, 3], [1, 0, 3], [2, 0, 4], [0, 1, 2], [0, 0, 4]])
    statements = Statements(facts[:, 0], facts[:, 1], facts[:, 2], vocabulary=vocabulary)
    graph, task = NodeTask.from_statements(statements, "is a", fractions=(0.34, 0.33, 0.33))
    assert graph.num_edges == 1
    assert task.classes == ("city", "country")
    found = {}
    for split in ("train", "val", "test"):
        seeds = task.seeds(None, split)
        found |= dict(zip(seeds.keys.column(0).to_pylist(), seeds.label.tolist(), strict=True))
    assert found == {"rome": 0, "paris": 0, "italy": 1}  # the first of Rome's two counts
    with pytest.raises(SchemaError, match="'was a'"):
        NodeTask.from_statements(statements, "was a")
    with pytest.raises(ProtocolError, match="no class"):
        NodeTask.from_statements(statements, "is a", least=3)


def test_a_task_from_json_predicts_but_has_no_labels() -> None:
    task = NodeTask.from_data(a_data())
    again = task_from_dict(task.to_dict())
    assert again.to_dict() == task.to_dict()
    with pytest.raises(ProtocolError, match="label="):
        again.seeds(None, "train")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train": [0, 1], "val": [1], "test": [2]}, ProtocolError, "every node once"),
        ({"train": [0]}, ProtocolError, "val, test is missing"),
        ({"train": [0], "val": [1], "test": [9]}, ShapeError, r"test: expected numbers in 0\.\.5"),
        ({"train": [0], "val": [3], "test": [1]}, ProtocolError, "val: 1 of 1 nodes have no label"),
        ({"kind": "binary"}, ProtocolError, "0 or 1"),
        ({"kind": "ranking"}, ProtocolError, "multiclass"),
        ({"metric": "mae"}, ProtocolError, "accuracy"),
        ({"fractions": (0.5, 0.5)}, ProtocolError, "fractions"),
    ],
)
def test_faulty_settings_are_refused(options: dict[str, object], error: type[Exception], message: str) -> None:
    given = {name: torch.tensor(v) if isinstance(v, list) else v for name, v in options.items()}
    with pytest.raises(error, match=message):
        NodeTask("node", torch.tensor([0, 1, 2, -1, 1, 2]), **given)  # type: ignore[arg-type]


def test_faulty_labels_are_refused() -> None:
    with pytest.raises(ShapeError, match="num_nodes"):
        NodeTask("node", torch.zeros(3, 2))
    with pytest.raises(ShapeError, match="regression"):
        NodeTask("node", torch.tensor([0.5, 1.0]))
    with pytest.raises(SchemaError, match="labels"):
        NodeTask.from_data(Data(x=torch.eye(2), edge_index=torch.zeros(2, 0, dtype=torch.int64)))

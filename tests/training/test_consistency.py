"""Training with consistency: the term by hand, and a network that learns by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.errors import ProtocolError
from relgraph.tasks.node import NodeTask
from relgraph.training.consistency import disagreement
from tests.training.test_nodes import PLAIN, two_groups


def test_the_disagreement_of_two_passes_by_hand() -> None:
    first, second = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.7, 0.3]])
    # the mean (0.8, 0.2), squared and normalised: 0.64 / 0.68
    sharp = 0.64 / 0.68
    expected = ((0.9 - sharp) ** 2 * 2 + (0.7 - sharp) ** 2 * 2) / 2
    outputs = [first.log().requires_grad_(), second.log()]
    found = disagreement(outputs, temperature=0.5)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    # the mean is taken as given: only the pass's own probability moves
    p = torch.tensor([0.9, 0.1])
    toward = (p - torch.tensor([sharp, 1 - sharp])) * 2 / 2
    torch.testing.assert_close(outputs[0].grad, (p * (toward - (p * toward).sum())).unsqueeze(0))


@pytest.mark.slow
def test_few_labels_and_many_nodes_train_with_consistency() -> None:
    data = two_groups()
    graph, task = HeteroGraph.from_data(data), NodeTask.from_data(data, fractions=(0.1, 0.2, 0.7), metric="log_loss")
    options: dict[str, Any] = {**PLAIN, "gnn": "grand", "consistency": 1.0, "encoder_l2": 1e-3}
    model = relgraph.fit(None, graph, task, **options)
    assert model.evaluate()["accuracy"] >= 0.85
    losses = [row["loss"] for row in model.history.epochs]
    plain = relgraph.fit(None, graph, task, **{**options, "consistency": 1e-9, "epochs": 1})
    assert losses[0] > plain.history.epochs[0]["loss"]


@pytest.mark.slow
def test_the_penalty_holds_the_encoders_small() -> None:
    data = two_groups()
    graph, task = HeteroGraph.from_data(data), NodeTask.from_data(data, fractions=(0.3, 0.2, 0.5))
    sizes = []
    for penalty in (0.0, 0.1):
        model = relgraph.fit(None, graph, task, gnn="gcn", **{**PLAIN, "epochs": 20, "encoder_l2": penalty})
        sizes.append(sum(p.square().sum().item() for p in model.model.encoder.parameters()))
    assert sizes[1] < sizes[0]


def test_a_sampled_graph_is_refused() -> None:
    data = two_groups()
    graph, task = HeteroGraph.from_data(data), NodeTask.from_data(data, fractions=(0.3, 0.2, 0.5))
    with pytest.raises(ProtocolError, match=r"num_neighbors=None .* got a multiclass task, a sampler"):
        relgraph.fit(None, graph, task, consistency=1.0, **{**PLAIN, "num_neighbors": [5, 5]})

"""The line of a future invoice is as invisible as the invoice, though the table of lines has no time."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.loader import NodeLoader

import relgraph
from relgraph.data.time import to_microseconds
from tests.data.test_build import lines


@pytest.mark.parametrize(("moment", "expected"), [("2019-12-31", []), ("2020-02-01", [0]), ("2020-03-01", [0, 1])])
def test_lines_of_later_invoices_are_not_sampled(moment: str, expected: list[int]) -> None:
    graph = relgraph.build_graph(lines(), progress=False)
    loader = NodeLoader(
        graph.to_hetero_data(features=False),
        node_sampler=relgraph.TemporalSampler(graph, num_neighbors=[-1, -1]),
        input_nodes=("person", torch.tensor([0])),
        input_time=to_microseconds([moment]),
        batch_size=1,
    )
    (batch,) = loader
    # person 1 has the lines of the invoices of January and March; friend 2 has one of no invoice, always visible
    own = batch["line", "person", "person"].edge_index
    mine = batch["line"].n_id[own[0][own[1] == 0]]
    assert sorted(mine.tolist()) == expected
    assert 2 not in batch["line"].n_id.tolist()  # its invoice has no known time

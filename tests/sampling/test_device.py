"""A graph that lives on a GPU gives the samples of the CPU, and all of a batch stays there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.loader import LinkLoader, NodeLoader

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.errors import BackendError
from relgraph.sampling import TemporalSampler

BUYS = ("customer", "buys", "product")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def graph() -> HeteroGraph:
    generator = torch.Generator().manual_seed(0)
    ends = torch.stack([torch.randint(0, size, (5000,), generator=generator) for size in (50, 200)])
    time = torch.randint(0, 1000, (5000,), generator=generator)
    return HeteroGraph({"customer": NodeStore(50), "product": NodeStore(200)}, {BUYS: EdgeStore(ends, time)})


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value, key=str)]
    return [tensor for part in value for tensor in tensors(part)] if isinstance(value, (list, tuple)) else []


@pytest.mark.parametrize("strategy", ["uniform", "last", "decayed"])
@pytest.mark.parametrize("mode", [None, "binary", "triplet"])
def test_the_same_batches_on_the_gpu(graph: HeteroGraph, strategy: Any, mode: str | None) -> None:
    batches = []
    for device in ("cpu", "cuda"):
        sampler = TemporalSampler(graph, [10, 5], strategy, device=device)
        data = graph.to_hetero_data().to(device)
        time = 500 + torch.arange(40)
        if mode is None:
            rows = ("customer", torch.arange(40))
            loader = NodeLoader(data, node_sampler=sampler, input_nodes=rows, input_time=time, batch_size=20)
        else:
            links = (BUYS, graph.edges[BUYS].edge_index[:, :40])
            loader = LinkLoader(
                data, link_sampler=sampler, neg_sampling=mode, edge_label_index=links, edge_label_time=time,
                batch_size=20,
            )  # fmt: skip
        batches.append([tensors(batch.to_dict()) for batch in loader])
    here, there = batches
    assert [[t.tolist() for t in batch] for batch in here] == [[t.tolist() for t in batch] for batch in there]
    assert all(t.is_cuda for batch in there for t in batch)


def test_workers_cannot_sample_on_the_gpu(graph: HeteroGraph) -> None:
    loader = NodeLoader(
        graph.to_hetero_data(), node_sampler=TemporalSampler(graph, [2], device="cuda"), num_workers=1,
        input_nodes=("customer", torch.arange(4)),
    )  # fmt: skip
    with pytest.raises(BackendError, match="cannot run in worker processes; use num_workers=0"):
        next(iter(loader))

"""What bench_sampling.py times: engines, pyg-lib where there is one, batches ready for training, training steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch_geometric.typing
from sampling_shop import Shop
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import BaseSampler, HeteroSamplerOutput, NeighborSampler, NodeSamplerInput

from relgraph import TemporalSampler
from relgraph.data.graph import HeteroGraph, NodeType
from relgraph.nn import encoders
from relgraph.nn.entity_model import EntityModel
from relgraph.ops import distinct

Batches = Sequence[tuple[Tensor, Tensor]]


def has_pyg_lib() -> bool:
    return bool(torch_geometric.typing.WITH_PYG_LIB)


def samplers(shop: Shop, fan_outs: Sequence[int], strategy: str) -> dict[str, BaseSampler]:
    """Both engines, and PyG's own sampler where pyg-lib carries it."""
    found: dict[str, BaseSampler] = {
        engine: TemporalSampler(shop.graph, list(fan_outs), strategy=strategy, engine=engine)  # type: ignore[arg-type]
        for engine in ("numba", "tensor")
    }
    if has_pyg_lib():
        found["pyg-lib"] = NeighborSampler(
            shop.graph.to_hetero_data(features=False),
            num_neighbors=list(fan_outs),
            time_attr="time",
            temporal_strategy=strategy,
        )
    return found


def draw(sampler: BaseSampler, batch: tuple[Tensor, Tensor], table: NodeType = "customer") -> HeteroSamplerOutput:
    node, moment = batch
    return sampler.sample_from_nodes(NodeSamplerInput(torch.arange(node.numel()), node, moment, table))


def require_same(one: HeteroSamplerOutput, other: HeteroSamplerOutput) -> None:
    """Both engines' samples, bit by bit.

    Raises:
        AssertionError: Naming what differs.
    """
    for field in ("node", "batch", "row", "col", "edge"):
        given, wanted = getattr(one, field), getattr(other, field)
        assert given.keys() == wanted.keys(), f"{field}: other types"
        for name in wanted:
            assert torch.equal(given[name], wanted[name]), f"{field} of {name} differ"
    assert one.num_sampled_nodes == other.num_sampled_nodes, "nodes per hop differ"
    assert one.num_sampled_edges == other.num_sampled_edges, "edges per hop differ"


def require_counted(out: HeteroSamplerOutput, counted: dict[str, list[int]]) -> None:
    """A sample's nodes and edges per hop are those counted by brute force.

    Raises:
        AssertionError: Naming what differs.
    """
    for name, per_hop in out.num_sampled_nodes.items():
        assert list(per_hop) == counted[name], f"nodes of {name}: {list(per_hop)}, brute force {counted[name]}"
    for (source, _, target), per_hop in out.num_sampled_edges.items():
        name = f"{target} found from" if source == "orders" else f"{source} of"
        assert list(per_hop) == counted[name], f"edges {name}: {list(per_hop)}, brute force {counted[name]}"


def totals(out: HeteroSamplerOutput) -> dict[str, int]:
    return {
        "nodes": sum(node.numel() for node in out.node.values()),
        "edges": sum(row.numel() for row in out.row.values()),
        "distinct_rows": sum(node.unique().numel() for node in out.node.values()),
    }


def alternate(work: dict[str, Callable[[Any], Any]], inputs: Sequence[Any], repeats: int) -> dict[str, list[float]]:
    """Seconds of every side on every input, in turn, so that other work on the machine meets all sides alike."""
    seconds: dict[str, list[float]] = {side: [] for side in work}
    for _ in range(repeats):
        for given in inputs:
            for side, run in work.items():
                start = time.perf_counter()
                run(given)
                seconds[side].append(time.perf_counter() - start)
    return seconds


def ready_batches(shop: Shop, fan_outs: Sequence[int]) -> dict[str, Callable[[Any], Any]]:
    """A batch ready for training: ours, with row numbers and each distinct row's features and time once, and PyG's."""
    graph = shop.graph
    ours = TemporalSampler(graph, list(fan_outs), engine="numba")
    bare, whole = graph.to_hetero_data(features=False, times=False), graph.to_hetero_data()
    peer = samplers(shop, fan_outs, "uniform").get("pyg-lib", ours)

    def load(data: Any, sampler: BaseSampler, batch: tuple[Tensor, Tensor]) -> Any:
        node, moment = batch
        loader = NodeLoader(
            data,
            node_sampler=sampler,
            input_nodes=("customer", node),
            input_time=moment,
            batch_size=node.numel(),
        )
        return next(iter(loader))

    def read_once(batch: tuple[Tensor, Tensor]) -> Any:
        made = load(bare, ours, batch)
        rows = {}
        for name, store in graph.nodes.items():
            number, position = distinct(made[name].n_id, store.num_nodes)
            assert store.features is not None
            moment = None if store.time is None else store.time.index_select(0, number)
            rows[name] = (store.features.select(number), moment, position)
        return made, rows

    name = "pyg-lib" if has_pyg_lib() else "our sampler"
    return {"ours": read_once, f"NodeLoader with TensorFrame, {name}": lambda batch: load(whole, peer, batch)}


def require_ready(sides: dict[str, Callable[[Any], Any]], batch: tuple[Tensor, Tensor]) -> bool:
    """Both ways give the same features for every sampled row; not comparable where the samplers differ.

    Raises:
        AssertionError: Naming the table that differs.
    """
    if has_pyg_lib():
        return False
    (made, rows), theirs = (work(batch) for work in sides.values())
    for name, (features, moment, position) in rows.items():
        assert torch.equal(made[name].n_id, theirs[name].n_id), f"{name}: other rows"
        if moment is not None:
            assert torch.equal(moment[position], theirs[name].time), f"{name}: other times"
        frame = features.to_tensor_frame()
        for kind, value in frame.feat_dict.items():
            same = torch.equal(value[position].nan_to_num(), theirs[name].tf.feat_dict[kind].nan_to_num())
            assert same, f"{name}: {kind} differs"
    return True


@contextmanager
def every_row() -> Iterator[None]:
    """Within this the table encoders encode every sampled row and its age: none are found to be the same."""

    def all_of_them(rows: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return rows, torch.arange(rows.numel())

    with patch.object(encoders, "distinct", all_of_them), patch.object(torch, "unique", all_of_them):
        yield


class Training:
    """One step of GraphSAGE as ``relgraph.fit`` takes it: sample, forward, backward, Adam."""

    def __init__(self, graph: HeteroGraph, table: NodeType, fan_outs: Sequence[int], dropout: float = 0.2) -> None:
        torch.manual_seed(0)
        self.table = table
        self.model = EntityModel(graph, table, layers=len(fan_outs), dropout=dropout)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.005)
        self.sampler = TemporalSampler(graph, list(fan_outs))
        self.data = graph.to_hetero_data(features=False, times=False)

    def loss(self, batch: tuple[Tensor, Tensor], once: bool) -> Tensor:
        """Sample and go forward; labels are the parity of the seeds' numbers."""
        node, moment = batch
        loader = NodeLoader(
            self.data,
            node_sampler=self.sampler,
            input_nodes=(self.table, node),
            input_time=moment,
            batch_size=node.numel(),
        )
        made = next(iter(loader))
        if once:
            out = self.model(made)
        else:
            with every_row():
                out = self.model(made)
        return F.binary_cross_entropy_with_logits(out[:, 0], (node % 2).to(out.dtype))

    def step(self, batch: tuple[Tensor, Tensor], once: bool) -> None:
        """One step of the optimizer."""
        self.optimizer.zero_grad()
        self.loss(batch, once).backward()
        self.optimizer.step()

    def require_equal(self, batch: tuple[Tensor, Tensor]) -> dict[str, float]:
        """The loss and every gradient are the same both ways, up to float32; the model must have no dropout.

        Returns:
            The largest differences, relative to the largest value of each.

        Raises:
            AssertionError: Naming what differs.
        """
        found = []
        for once in (True, False):
            self.model.zero_grad()
            loss = self.loss(batch, once)
            loss.backward()
            found.append(
                (float(loss.detach()), [None if p.grad is None else p.grad.clone() for p in self.model.parameters()])
            )
        (one, given_gradients), (other, expected) = found
        assert abs(one - other) <= 1e-5 * abs(other), f"losses differ: {one}, {other}"
        worst = 0.0
        for (name, _), given, wanted in zip(self.model.named_parameters(), given_gradients, expected, strict=True):
            assert (given is None) == (wanted is None), f"{name}: one has no gradient"
            if given is None or wanted is None:
                continue
            difference = float((given - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-6)
            assert difference < 1e-3, f"gradient of {name} differs by {difference}"
            worst = max(worst, difference)
        return {"loss": abs(one - other) / abs(other), "gradient": worst}

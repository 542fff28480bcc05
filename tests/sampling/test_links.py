"""Links under PyG's own LinkLoader: what it is told, the negatives, and what a link must not see of itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import EdgeSamplerInput, HeteroSamplerOutput, NegativeSampling, NodeSamplerInput
from torch_geometric.sampler.neighbor_sampler import edge_sample

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.time import UNKNOWN
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.sampling import TemporalSampler

BUYS = ("customer", "buys", "product")
KNOWS = ("customer", "knows", "customer")


@pytest.fixture(scope="module")
def graph() -> HeteroGraph:
    """Customers 0..9 who come at times 0..9 buy products 0..19 at times 10..49; product i comes at time i."""
    buy = torch.arange(40)
    nodes = {"customer": NodeStore(10, time=torch.arange(10)), "product": NodeStore(20, time=torch.arange(20))}
    edges = {
        BUYS: EdgeStore(torch.stack([buy % 10, buy % 7]), 10 + buy),
        KNOWS: EdgeStore(torch.tensor([[0, 1, 2, 1], [1, 2, 0, 0]])),
    }
    return HeteroGraph(nodes, edges)


def loader(graph: HeteroGraph, sampler: TemporalSampler, kind: Any = BUYS, **changes: Any) -> LinkLoader:
    edges = graph.edges[kind]
    settings = {"edge_label_index": (kind, edges.edge_index), "edge_label_time": edges.time, "batch_size": 16}
    return LinkLoader(graph.to_hetero_data(), link_sampler=sampler, **{**settings, **changes})


def content(batch: HeteroData) -> list[Any]:
    stores = [batch[name].n_id.tolist() for name in batch.node_types]
    return [*stores, *(batch[kind].e_id.tolist() for kind in batch.edge_types)]


@pytest.mark.parametrize(
    "neg_sampling",
    [None, NegativeSampling("binary", 1), NegativeSampling("binary", 1.5), NegativeSampling("triplet", 1),
     NegativeSampling("triplet", 3)],
)  # fmt: skip
@pytest.mark.parametrize("kind", [BUYS, KNOWS])
@pytest.mark.parametrize("timed", [True, False])
def test_the_loader_is_told_what_pygs_own_sampler_tells(
    graph: HeteroGraph, kind: Any, neg_sampling: NegativeSampling | None, timed: bool
) -> None:
    label = None if neg_sampling is not None and neg_sampling.is_triplet() else torch.tensor([3.0, 1.0, 2.0, 5.0])
    time = torch.tensor([30, 31, 12, 25]) if timed else None
    index = EdgeSamplerInput(torch.arange(4), torch.tensor([0, 1, 2, 1]), torch.tensor([1, 2, 0, 0]), label, time, kind)
    given: dict[str, Tensor] = {}

    def pyg_sample(seeds: dict[str, Tensor], times: dict[str, Tensor] | None) -> HeteroSamplerOutput:
        given.update(seeds)
        return HeteroSamplerOutput(seeds, {}, {}, {}, {name: torch.arange(len(s)) for name, s in seeds.items()})

    sizes = {name: store.num_nodes for name, store in graph.nodes.items()}
    theirs = edge_sample(index, pyg_sample, sizes, disjoint=True, neg_sampling=neg_sampling)
    ours = TemporalSampler(graph, [2]).sample_from_edges(index, neg_sampling)
    assert len(ours.metadata) == len(theirs.metadata)
    for mine, other in zip(ours.metadata, theirs.metadata, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert mine.dtype == other.dtype
            assert torch.equal(mine, other)
    for name, seeds in given.items():
        assert ours.num_sampled_nodes[name][0] == seeds.numel()
        assert torch.equal(ours.node[name][:4], seeds[:4])  # the positive ends come first
        assert int(ours.batch[name].max()) == 3
        if neg_sampling is None or float(neg_sampling.amount).is_integer():  # PyG's numbers are off for 1.5
            assert torch.equal(ours.batch[name][: seeds.numel()], theirs.batch[name])


def test_batches_of_binary_negatives(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, num_neighbors=[3, 2], strategy="last")
    batches = list(loader(graph, sampler, neg_sampling="binary"))
    assert [batch[BUYS].input_id.numel() for batch in batches] == [16, 16, 8]
    batch = batches[1]
    assert batch.validate()
    store = batch[BUYS]
    assert store.edge_label.tolist() == [1.0] * 16 + [0.0] * 16
    ends = [batch[kind].n_id[store.edge_label_index[i]] for i, kind in enumerate(("customer", "product"))]
    assert torch.equal(torch.stack(ends)[:, :16], graph.edges[BUYS].edge_index[:, 16:32])
    assert store.edge_label_time.tolist() == 2 * list(range(26, 42))
    for name in ("customer", "product"):
        assert (batch[name].time <= store.edge_label_time[batch[name].batch]).all()
    owner = batch["product"].batch[store.edge_index[1]]
    assert (store.time < store.edge_label_time[owner]).all()  # strictly: the link itself is not seen


def test_batches_of_triplets(graph: HeteroGraph) -> None:
    batch = next(iter(loader(graph, TemporalSampler(graph, [2]), neg_sampling=NegativeSampling("triplet", 4))))
    assert batch["product"].dst_neg_index.shape == (16, 4)
    assert torch.equal(batch["customer"].n_id[batch["customer"].src_index], graph.edges[BUYS].edge_index[0, :16])
    assert torch.equal(batch["product"].n_id[batch["product"].dst_pos_index], graph.edges[BUYS].edge_index[1, :16])
    negative = batch["product"].n_id[batch["product"].dst_neg_index]
    assert (negative <= batch["product"].seed_time.view(-1, 1)).all()  # product i comes at time i
    assert torch.equal(
        batch["product"].batch[batch["product"].dst_neg_index], torch.arange(16).view(-1, 1).repeat(1, 4)
    )


def test_links_are_cut_off_strictly_unless_asked(graph: HeteroGraph) -> None:
    link = EdgeSamplerInput(None, torch.tensor([4]), torch.tensor([3]), time=torch.tensor([34]), input_type=BUYS)
    seen = TemporalSampler(graph, {BUYS: [-1]}, cutoff="inclusive").sample_from_edges(link)
    assert 24 in seen.edge[BUYS].tolist()  # customer 4 buys product 3 at time 34
    unseen = TemporalSampler(graph, {BUYS: [-1]}).sample_from_edges(link)
    assert sorted({*seen.edge[BUYS].tolist()} - {*unseen.edge[BUYS].tolist()}) == [24]


def test_links_without_time_do_not_see_their_own_edge(graph: HeteroGraph) -> None:
    link = EdgeSamplerInput(None, torch.tensor([4]), torch.tensor([3]), input_type=BUYS)
    out = TemporalSampler(graph, [-1, -1]).sample_from_edges(link)
    for kind in (BUYS, ("product", "rev_buys", "customer")):
        assert 24 not in out.edge[kind].tolist()
        assert sum(out.num_sampled_edges[kind]) == out.edge[kind].numel() > 0
    back = EdgeSamplerInput(None, torch.tensor([0]), torch.tensor([2]), input_type=KNOWS)  # 2 knows 0
    out = TemporalSampler(graph, {KNOWS: [-1, -1]}).sample_from_edges(back)
    assert sorted(set(out.edge[KNOWS].tolist())) == [0, 1, 3]


def test_the_ends_of_a_link_sample_as_rows_do(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, [3, 2], cutoff="strict")
    time = torch.tensor([40])
    link = EdgeSamplerInput(None, torch.tensor([4]), torch.tensor([3]), time=time, input_type=BUYS)
    ends = sampler.sample_from_edges(link)
    rows = [
        sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([node]), time, name))
        for name, node in (("customer", 4), ("product", 3))
    ]
    for kind, edge in ends.edge.items():
        assert sorted(edge.tolist()) == sorted(torch.cat([row.edge[kind] for row in rows]).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["tensor", "numba"])
def test_workers_epochs_and_order_do_not_matter(graph: HeteroGraph, engine: Any) -> None:
    sampler = TemporalSampler(graph, [3, 2], seed=1, engine=engine)
    here = [content(batch) for batch in loader(graph, sampler, neg_sampling="binary")]
    lasting = loader(graph, sampler, neg_sampling="binary", num_workers=2, persistent_workers=True)
    assert [content(batch) for batch in lasting] == here
    sampler.set_epoch(1)
    later = [content(batch) for batch in loader(graph, sampler, neg_sampling="binary")]
    assert later != here
    assert [content(batch) for batch in lasting] == later  # workers that live on see the new epoch
    single = list(loader(graph, sampler, neg_sampling="binary", batch_size=1))
    together = next(iter(loader(graph, sampler, neg_sampling="binary")))
    for name in ("customer", "product"):
        firsts = torch.tensor([batch[name].n_id[1] for batch in single[:16]])  # a link's negative after its own end
        assert torch.equal(firsts, together[name].n_id[16:32])


def test_negatives_are_uniform_over_what_is_known(graph: HeteroGraph) -> None:
    number = 4000
    link = EdgeSamplerInput(
        None, torch.zeros(number, dtype=torch.int64), torch.zeros(number, dtype=torch.int64),
        time=9_000 + torch.arange(number), input_type=BUYS,
    )  # fmt: skip
    times = torch.arange(20) * 1000
    nodes = {**graph.nodes, "product": NodeStore(20, time=times)}
    sampler = TemporalSampler(HeteroGraph(nodes, graph.edges), [0])
    out = sampler.sample_from_edges(link, NegativeSampling("triplet"))
    negative = out.node["product"][out.metadata[3]]
    assert (times[negative] <= link.time).all()
    counts = torch.bincount(negative[:999], minlength=10).float()
    assert counts.numel() == 10
    assert float(((counts - 99.9) ** 2 / 99.9).sum()) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def test_weighted_negatives(graph: HeteroGraph) -> None:
    number = 3000
    source = torch.arange(number) % 10
    link = EdgeSamplerInput(None, source, torch.arange(number) % 20, time=None, input_type=BUYS)
    weight = torch.zeros(20)
    weight[[2, 5, 7]] = torch.tensor([1.0, 2.0, 1.0])
    timed = EdgeSamplerInput(None, source, source, time=10 + torch.arange(number), input_type=BUYS)
    for index in (link, timed):
        how = NegativeSampling("triplet", dst_weight=weight)
        out = TemporalSampler(graph, [0]).sample_from_edges(index, how)
        counts = torch.bincount(out.node["product"][out.metadata[3]], minlength=20)
        assert set(counts.nonzero().flatten().tolist()) == {2, 5, 7}
        if index is timed:
            assert abs(int(counts[5]) - 1500) < 110  # 4 standard deviations
    early = EdgeSamplerInput(None, source[:5], source[:5], time=torch.full((5,), 4), input_type=BUYS)
    out = TemporalSampler(graph, [0]).sample_from_edges(early, NegativeSampling("triplet", dst_weight=weight))
    assert set(out.node["product"][out.metadata[3]].tolist()) == {2}  # 5 and 7 come later


@pytest.mark.parametrize(
    ("changes", "neg_sampling", "error", "message"),
    [
        ({"row": torch.tensor([10])}, None, ShapeError, r"edge_label_index: expected numbers in 0\.\.9 for 'customer'"),
        ({"col": torch.tensor([-1])}, None, ShapeError, r"0\.\.19 for 'product', got -1\.\.-1"),
        ({"col": torch.tensor([1, 2])}, None, ShapeError, "as many sources as targets, got 1 and 2"),
        ({"row": torch.tensor([0.5])}, None, ShapeError, "expected integers"),
        ({"time": torch.tensor([UNKNOWN])}, None, ShapeError, "edge_label_time: a seed has an UNKNOWN time"),
        ({"time": torch.tensor([1, 2])}, None, ShapeError, r"edge_label_time: expected int64 \[1\]"),
        ({"label": torch.tensor([1, 2])}, None, ShapeError, "edge_label: expected one per link, 1, got 2"),
        ({"input_type": None}, None, SchemaError, "PyG's Data needs homogeneous=True"),
        ({"input_type": ("a", "b", "c")}, None, SchemaError, "between node types customer, product"),
        ({"time": torch.tensor([-1])}, NegativeSampling("binary"), ProtocolError, "no node of 'customer' is known at"),
        ({}, "binary", ProtocolError, "expected PyG's NegativeSampling or None, got 'binary'"),
        ({"label": torch.tensor([1])}, NegativeSampling("triplet"), ProtocolError, "have no labels"),
        ({}, NegativeSampling("triplet", dst_weight=torch.ones(3)), ShapeError, "each of the 20 nodes .* got 3"),
        ({}, NegativeSampling("triplet", dst_weight=-torch.ones(20)), ShapeError, "negative or not finite"),
        ({}, NegativeSampling("triplet", dst_weight=torch.zeros(20)), ProtocolError, "have weight 0"),
    ],
)
def test_bad_links(
    graph: HeteroGraph, changes: dict[str, Any], neg_sampling: Any, error: type[Exception], message: str
) -> None:
    given = {"row": torch.tensor([0]), "col": torch.tensor([1]), "time": torch.tensor([30]), "input_type": BUYS}
    index = EdgeSamplerInput(None, **{**given, **changes})
    with pytest.raises(error, match=message):
        TemporalSampler(graph, [2]).sample_from_edges(index, neg_sampling)

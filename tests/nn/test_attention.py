"""The attending networks against PyG's layers where these are the same, and against the formula in plain loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GATConv, HeteroConv, HGTConv

from relgraph.nn import HeteroAttention, HeteroGAT, RelGNN
from relgraph.nn.attend import attend
from relgraph.nn.relgnn import Route, atomic_routes
from tests.nn.graphs import SIZES, both_directions, ends, shop_graph, vectors

CHANNELS, HEADS = 6, 2


def dense_edges() -> dict[Any, Tensor]:
    """Several neighbours for most nodes, and none for some."""
    generator = torch.Generator().manual_seed(3)
    return {kind: ends(SIZES[kind[0]], SIZES[kind[2]], 30, generator) for kind in both_directions(shop_graph())}


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """Biases and priors other than 0 and 1, so that leaving one out shows."""
    torch.manual_seed(4)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.double()


@pytest.mark.slow
def test_attend_is_the_written_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    edges = [torch.tensor([[0, 1, 1], [0, 0, 2]]), torch.tensor([[0, 0], [0, 2]])]
    values = [torch.randn(2, 4, generator=generator), torch.randn(1, 4, generator=generator)]
    scores = [torch.randn(3, 2, generator=generator), torch.randn(2, 2, generator=generator)]
    found = attend(scores, values, edges, 3)
    for target in range(3):
        for head in range(2):
            terms = [
                (scores[r][e, head].item(), values[r][edges[r][0, e], 2 * head : 2 * head + 2])
                for r in range(2)
                for e in range(edges[r].size(1))
                if edges[r][1, e] == target
            ]
            total = sum(math.exp(s) for s, _ in terms)
            expected = sum((math.exp(s) / total * v for s, v in terms), torch.zeros(2))
            torch.testing.assert_close(found[target, 2 * head : 2 * head + 2], expected)


@pytest.mark.slow
def test_gat_is_pygs_own() -> None:
    x, edges = vectors(CHANNELS), dense_edges()
    gnn = randomized(HeteroGAT(list(x), list(edges), CHANNELS, 1, heads=HEADS))
    convs = {}
    for kind, ours in zip(edges, gnn.layers[0]["convs"], strict=True):
        conv = GATConv((CHANNELS, CHANNELS), CHANNELS // HEADS, HEADS, add_self_loops=False, residual=True).double()
        state = {
            "att_src": ours.source_attention[None],
            "att_dst": ours.target_attention[None],
            "bias": ours.bias,
            "lin_src.weight": ours.source,
            "lin_dst.weight": ours.target,
            "res.weight": ours.root,
        }
        conv.load_state_dict(state)
        convs[kind] = conv
    expected, found = HeteroConv(convs, aggr="sum")(x, edges), gnn(x, edges)
    for place, name in enumerate(x):
        if name != "alone":
            norm = gnn.layers[0]["norms"][place]
            torch.testing.assert_close(found[name], torch.relu(norm(expected[name])))


def test_hgt_is_pygs_own() -> None:
    x, edges = vectors(CHANNELS), dense_edges()
    del x["alone"]
    gnn = randomized(HeteroAttention(list(x), list(edges), CHANNELS, 1, heads=HEADS, norm="none"))
    conv = HGTConv(CHANNELS, CHANNELS, (list(x), list(edges)), heads=HEADS).double()
    layer, state = gnn.layers[0], {}
    for place, name in enumerate(x):
        parts = [layer[part][place] for part in ("key", "query", "value")]
        state[f"kqv_lin.lins.{name}.weight"] = torch.cat([part.weight for part in parts])
        state[f"kqv_lin.lins.{name}.bias"] = torch.cat([part.bias for part in parts])
        state[f"out_lin.lins.{name}.weight"] = layer["output"][place].weight
        state[f"out_lin.lins.{name}.bias"] = layer["output"][place].bias
        state[f"skip.{name}"] = layer["skips"][place].reshape(1)
    # PyG stacks the matrices of (head, edge type) in this order
    for ours, theirs in (("key", "k_rel"), ("value", "v_rel")):
        stacked = torch.stack([getattr(relation, ours) for relation in layer["relations"]], dim=1)
        state[f"{theirs}.weight"] = stacked.flatten(0, 1)
    for kind, relation in zip(edges, layer["relations"], strict=True):
        state["p_rel." + "__".join(kind)] = relation.prior[None]
    conv.load_state_dict({name: state[name].detach() for name in conv.state_dict()})
    expected, found = conv(x, edges), gnn(x, edges)
    for name in x:
        torch.testing.assert_close(found[name], expected[name])


def test_atomic_routes_of_a_bridge_a_single_key_and_a_self_reference() -> None:
    types = list(both_directions(shop_graph()))
    buyer, place, boss = ("sale", "buyer", "person"), ("sale", "place", "shop"), ("person", "boss", "person")
    assert atomic_routes(types) == [
        Route(buyer, ("shop", "rev_place", "sale")),
        Route(place, ("person", "rev_buyer", "sale")),
        Route(boss),
        Route(("person", "rev_boss", "person")),
    ]
    assert atomic_routes([buyer, place]) == []  # without the way into the bridge there is no way through it


def test_relgnn_is_the_written_formula() -> None:
    x, edges = vectors(CHANNELS), dense_edges()
    gnn = randomized(RelGNN(list(x), list(edges), CHANNELS, 1, heads=HEADS, norm="none"))
    layer, found, width = gnn.layers[0], gnn(x, edges), CHANNELS // HEADS
    h = {name: value.detach() for name, value in x.items()}

    def neighbours(kind: Any, target: int) -> list[int]:
        return [int(s) for s, t in edges[kind].t() if t == target]

    def fused(first: Any, row: int) -> Tensor:
        place, near = gnn.firsts.index(first), neighbours(first, row)
        mean = sum((h[first[0]][s] for s in near), torch.zeros(CHANNELS).double()) / max(len(near), 1)
        w1, w2 = layer["sources"][place], layer["bridges"][place]
        return w1.weight @ mean + w1.bias + w2.weight @ h[first[2]][row]

    for name, count in SIZES.items():
        if name == "alone":
            continue
        for v in range(count):
            total = sum((fused(first, v) for first in gnn.firsts if first[2] == name), torch.zeros(CHANNELS).double())
            for route, w in zip(gnn.routes, layer["routes"], strict=True):
                if route.last[2] != name:
                    continue
                total = total + w["skip"](h[name][v])
                rows = neighbours(route.last, v)
                f = [h[route.last[0]][r] if route.first is None else fused(route.first, r) for r in rows]
                heads = []
                for head in range(HEADS):
                    part = slice(head * width, (head + 1) * width)
                    q = w["query"](h[name][v])[part]
                    e = [(q @ w["key"](row)[part] / math.sqrt(width)).exp() for row in f]
                    mixed = [a / torch.stack(e).sum() * w["value"](row)[part] for a, row in zip(e, f, strict=True)]
                    heads.append(sum(mixed, torch.zeros(width).double()))
                total = total + w["output"].weight @ torch.cat(heads)
            torch.testing.assert_close(found[name][v], torch.relu(total))


@pytest.mark.parametrize("build", [HeteroGAT, HeteroAttention, RelGNN])
def test_half_precision_runs(build: Any) -> None:
    x, edges = {name: h.detach().float() for name, h in vectors(8).items()}, dense_edges()
    gnn = build(list(x), list(edges), 8, 2, heads=2)
    with torch.autocast("cpu", torch.bfloat16):
        out = gnn(x, edges)
    expected = gnn(x, edges)
    for name in x:
        torch.testing.assert_close(out[name].float(), expected[name], atol=0.2, rtol=0.2)

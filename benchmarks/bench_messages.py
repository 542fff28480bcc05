"""Message passing, there and back: gather_scale_scatter against PyG's layers and PyTorch: results/bench_messages.json.

    python benchmarks/bench_messages.py [--edges 1000000] [--dim 128]

A random graph whose edges lie in no order, and the same sorted by target as samplers give them. Values and gradients
of the sides are asserted to be equal before anything is timed; sides run in turn. ``pyg`` is PyG's MessagePassing as
its SAGEConv (sum, mean, max) and RGCN-like layers use it, with its own choice of scatter; ``torch_scatter`` is measured
where that package is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from measure import in_turn, merge
from torch import Tensor
from torch_geometric.nn import MessagePassing

from relgraph.ops import gather_scale_scatter, use_backend

RESULT = Path(__file__).parent / "results" / "bench_messages.json"
LIBRARIES = ("relgraph", "torch", "torch-geometric", "numba")


class Neighbours(MessagePassing):
    """PyG's way: messages of all edges, then an aggregation."""

    def forward(self, x: Tensor, edge_index: Tensor, scale: Tensor | None) -> Tensor:  # noqa: D102
        return self.propagate(edge_index, x=x, scale=scale)

    def message(self, x_j: Tensor, scale: Tensor | None) -> Tensor:  # noqa: D102
        return x_j if scale is None else x_j * scale


def sides(x: Tensor, edge_index: Tensor, relation: Tensor | None, kind: Tensor, reduce: Any) -> dict[str, Any]:
    """Calls that give the value and the gradients."""
    leaves = [x] if relation is None else [x, relation]
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    layer = Neighbours(aggr=reduce)

    def finished(work: Callable[[], Tensor]) -> Callable[[], list[Tensor]]:
        def whole() -> list[Tensor]:
            out = work()
            return [out.detach(), *torch.autograd.grad(out, leaves, slope)]

        return whole

    more = {} if relation is None else {"relation": relation, "edge_type": kind}

    def by(name: Any) -> Callable[[], Tensor]:
        def work() -> Tensor:
            with use_backend(name):
                return gather_scale_scatter(x, edge_index, len(x), reduce=reduce, **more)

        return work

    def pyg() -> Tensor:
        return layer(x, edge_index, None if relation is None else relation.index_select(0, kind))

    found = {"ours": finished(by(None)), "pyg": finished(pyg), "torch": finished(by("torch"))}
    if find_spec("torch_scatter"):
        found["torch_scatter"] = finished(by("torch_scatter"))
    return found


def section(nodes: int, edges: int, dim: int, relations: int, repeats: int, reduce: str, ordered: bool) -> Any:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    if ordered:
        edge_index = edge_index[:, edge_index[1].argsort(stable=True)].contiguous()
    kind = torch.randint(max(relations, 1), (edges,), generator=generator)
    x = torch.randn(nodes, dim, generator=generator, requires_grad=True)
    relation = torch.randn(relations, dim, generator=generator, requires_grad=True) if relations else None
    work = sides(x, edge_index, relation, kind, reduce)
    expected = work["pyg"]()
    for name, side in work.items():
        for one, other in zip(side(), expected, strict=True):
            differs = (one - other).abs() > 1e-5 * max(float(other.abs().max()), 1) * edges**0.5 / 30
            # where repeated edges share a maximum, one side gives the gradient to the first and another shares it out
            assert int(differs.sum()) <= (1e-6 * one.numel() if reduce == "max" else 0), name
    return {"nodes": nodes, "edges": edges, "dim": dim, "relations": relations, "equal": True} | in_turn(
        work, dict.fromkeys(work, repeats)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    runs = {}
    for name, reduce, relations, ordered in (
        ("sum", "sum", 0, False),
        ("sum, sorted", "sum", 0, True),
        ("mean, sorted", "mean", 0, True),
        ("max, sorted", "max", 0, True),
        ("relations, sum", "sum", 50, False),
        ("relations, sum, sorted", "sum", 50, True),
    ):
        runs[name] = section(args.nodes, args.edges, args.dim, relations, args.repeats, reduce, ordered)
        print(name, runs[name]["ratio"], flush=True)
    missing = {} if find_spec("torch_scatter") else {"torch_scatter": "not installed: it builds by hand only"}
    found = {"threads": args.threads, "runs": runs, **missing}
    merge(args.output, "there and back", found, "message passing, forward and backward", LIBRARIES)


if __name__ == "__main__":
    main()

"""HyperFormer's expert layer, forward and backward: against one dense network of equal FLOPs, and a loop over experts.

    python benchmarks/bench_experts.py

The sizes are the published ones. The dense network has one expert's weights and takes every token as often as experts
take it. The loop is a list of modules, each of which takes its tokens out by a mask. Outputs and gradients of the
layer and of the loop are asserted equal before anything is timed; the sides then take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from measure import in_turn, merge
from torch import Tensor, nn

from relgraph.data.statements import csr_ptr
from relgraph.kge.layers.experts import Experts

RESULT = Path(__file__).parent / "results" / "bench_experts.json"


class Loop(nn.Module):
    """The same layer as a list of modules."""

    def __init__(self, layer: Experts) -> None:
        super().__init__()
        self.gate, self.top = layer.gate, layer.top
        self.experts = nn.ModuleList()
        for up, a, down, b in zip(layer.up, layer.up_bias, layer.down, layer.down_bias, strict=True):
            parts = nn.Linear(*up.shape), nn.Linear(*down.shape)
            for linear, weight, bias in zip(parts, (up, down), (a, b), strict=True):
                linear.weight.data, linear.bias.data = weight.data.T.contiguous(), bias.data[0].clone()
            self.experts.append(nn.Sequential(parts[0], nn.ReLU(), parts[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``[T, dim]`` to ``[T, dim]``."""
        score, best = self.gate(x).topk(self.top, dim=1)
        share = score.softmax(1)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            token, place = (best == number).nonzero(as_tuple=True)
            y = y.index_add(0, token, expert(x[token]) * share[token, place, None])
        return y


class Padded(nn.Module):
    """The same layer as two batched products over groups that are padded to the largest."""

    def __init__(self, layer: Experts) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``[T, dim]`` to ``[T, dim]``."""
        layer = self.layer
        score, expert = layer.gate(x).topk(layer.top, dim=1)
        order = expert.flatten().argsort(stable=True)
        expert, token = expert.flatten()[order], order // layer.top
        counts = torch.bincount(expert, minlength=len(layer.up))
        place = torch.arange(len(order)) - csr_ptr(counts)[expert]
        group = x.new_zeros(len(layer.up), int(counts.max()), x.shape[1]).index_put((expert, place), x[token])
        hidden = torch.baddbmm(layer.up_bias, group, layer.up).relu()
        answer = torch.baddbmm(layer.down_bias, hidden, layer.down)[expert, place]
        return torch.zeros_like(x).index_add(0, token, answer * score.softmax(1).flatten()[order, None])


def step(run: Callable[[Tensor], Tensor], x: Tensor, slope: Tensor, module: nn.Module) -> list[Tensor]:
    """Forward and backward; the output and all gradients."""
    for parameter in module.parameters():
        parameter.grad = None
    x = x.clone().requires_grad_()
    y = run(x)
    y.backward(slope)
    return [y.detach(), *(g for g in (x.grad,) if g is not None)]


def assert_equal(layer: Experts, other: nn.Module, x: Tensor, slope: Tensor) -> None:
    mine, theirs = step(layer, x, slope, layer), step(other, x, slope, other)
    if isinstance(other, Loop):
        mine += [layer.up.grad, layer.down_bias.grad[:, 0]]
        theirs += [
            torch.stack([e[0].weight.grad.T for e in other.experts]),
            torch.stack([e[2].bias.grad for e in other.experts]),
        ]
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=400)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--top", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    layer = Experts(args.dim, args.hidden, args.experts, top=args.top)
    loop, padded = Loop(layer), Padded(layer)
    dense = nn.Sequential(nn.Linear(args.dim, args.hidden), nn.ReLU(), nn.Linear(args.hidden, args.dim))
    x, slope = torch.randn(2, args.tokens, args.dim)
    for other in (loop, padded):
        assert_equal(layer, other, x, slope)
    many, many_slope = x.repeat(args.top, 1), slope.repeat(args.top, 1)
    sides = {
        "ours": lambda: step(layer, x, slope, layer),
        "dense": lambda: step(dense, many, many_slope, dense),
        "loop": lambda: step(loop, x, slope, loop),
        "padded": lambda: step(padded, x, slope, padded),
    }
    sizes = {name: getattr(args, name) for name in ("tokens", "dim", "hidden", "experts", "top")}
    found = {"sizes": sizes, "equal": True, **in_turn(sides, dict.fromkeys(sides, args.repeats))}
    merge(args.output, "experts", found, "HyperFormer's expert layer, forward and backward", ("relgraph", "torch"))


if __name__ == "__main__":
    main()

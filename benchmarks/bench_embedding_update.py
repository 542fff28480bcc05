"""Row-sparse optimizer steps: compiled loops against PyTorch operations, and the bytes a second.

    python benchmarks/bench_embedding_update.py

A batch touches some rows of a table, a share of them several times. Tables and states after a step are asserted equal
before anything is timed; the sides then take turns. The bytes are those that must move: each touched row of table and
states read and written, each gradient read.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import in_turn, merge
from torch import Tensor

from relgraph.ops import embedding_update, use_backend

RESULT = Path(__file__).parent / "results" / "bench_embedding_update.json"
STATES = {"sgd": 0, "adagrad": 1, "adam": 2}
SIDES = ("numba", "torch")


def step(backend: str, rule: str, tables: list[Tensor], index: Tensor, gradient: Tensor) -> None:
    with use_backend(backend):  # type: ignore[arg-type]
        embedding_update(tables[0], index, gradient, rule=rule, lr=0.01, state=tables[1:])  # type: ignore[arg-type]


def measure(rule: str, args: argparse.Namespace) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    tables = [torch.rand(args.rows, args.dim, generator=generator) for _ in range(1 + STATES[rule])]
    # a power law, as entities of a graph have
    index = (args.rows * torch.rand(args.batch, generator=generator) ** args.skew).long()
    gradient = torch.randn(args.batch, args.dim, generator=generator)
    copies = [[x.clone() for x in tables] for _ in SIDES]
    for side, copy in zip(SIDES, copies, strict=True):
        step(side, rule, copy, index, gradient)
    for mine, theirs in zip(*copies, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    work = {
        "ours" if side == "numba" else side: partial(step, side, rule, copy, index, gradient)
        for side, copy in zip(SIDES, copies, strict=True)
    }
    found = in_turn(work, dict.fromkeys(work, args.repeats))
    touched = len(index.unique())
    moved = 4 * args.dim * (2 * touched * (1 + STATES[rule]) + args.batch)
    return {
        "touched_rows": touched,
        "equal": True,
        "bytes_per_second": moved / found["median_seconds"]["ours"],
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--skew", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sizes = {name: getattr(args, name) for name in ("rows", "dim", "batch", "skew")}
    for rule in STATES:
        found = {"sizes": sizes, **measure(rule, args)}
        merge(args.output, rule, found, "row-sparse optimizer step", ("relgraph", "torch", "numba"))


if __name__ == "__main__":
    main()

"""Steps on touched rows of a large table: compiled loops against PyTorch. Writes results/bench_embedding_update.json.

    python benchmarks/bench_embedding_update.py [--rows 1000000] [--dim 200] [--touched 20000]

``torch`` is the reference of embedding_update; ``sparse`` is torch.optim.SparseAdam on the same sparse gradient, where
the rule is Adam. Tables after a step are asserted to be equal before anything is timed; sides run in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_build import merge
from bench_kge import in_turn
from torch import Tensor

from relgraph.ops import embedding_update, use_backend

RESULT = Path(__file__).parent / "results" / "bench_embedding_update.json"


Side = tuple[Tensor, Callable[[], None]]


def sides(rule: Any, rows: int, dim: int, index: Tensor, gradient: Tensor) -> dict[str, Side]:
    """Tables of their own, and the step of each side on it."""

    def by(name: Any) -> Side:
        table = torch.ones(rows, dim)
        state = [torch.zeros(rows, dim) for _ in range({"adagrad": 1, "adam": 2}[rule])]

        def step() -> None:
            with use_backend(name):
                embedding_update(table, index, gradient, rule=rule, lr=0.1, state=state, eps=1e-8)

        return table, step

    found = {"ours": by(None), "torch": by("torch")}
    if rule == "adam":
        parameter = torch.nn.Parameter(torch.ones(rows, dim))
        optimizer = torch.optim.SparseAdam([parameter], lr=0.1)

        def step() -> None:
            parameter.grad = torch.sparse_coo_tensor(index[None], gradient, (rows, dim), check_invariants=False)
            optimizer.step()

        found["sparse"] = (parameter.detach(), step)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--touched", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(args.rows, (args.touched,), generator=generator)
    # none near 0, where a first step of Adam is the sign of what rounding has left
    gradient = torch.rand(args.touched, args.dim, generator=generator) + 0.5
    runs = {}
    for rule in ("adagrad", "adam"):
        work = sides(rule, args.rows, args.dim, index, gradient)
        for _, step in work.values():
            step()
        for table, _ in work.values():
            torch.testing.assert_close(table[index], work["torch"][0][index], rtol=1e-4, atol=1e-5)
        steps = {name: step for name, (_, step) in work.items()}
        runs[rule] = {"equal": True} | in_turn(steps, dict.fromkeys(steps, args.repeats))
        del work, steps
    sizes = {name: getattr(args, name) for name in ("rows", "dim", "touched", "threads")}
    merge(
        args.output, "cpu", sizes | {"runs": runs}, "steps on touched rows of a table", ("relgraph", "torch", "numba")
    )


if __name__ == "__main__":
    main()

"""Training steps and filtered ranking on FB15k-237 against PyTorch written out and PyKEEN: results/bench_kge.json.

    python benchmarks/bench_kge.py [--skip-pykeen]

Losses and metrics of the sides are asserted to be equal before anything is timed, and sides run in turn. A step is the
loss of one batch with all its gradients, without the optimizer. The sides are in kge_sides.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from kge_sides import (
    Work,
    lowfer_ours,
    lowfer_plain,
    lowfer_products,
    rank_ours,
    rank_products,
    rank_pykeen,
    step_dense,
    step_ours,
    step_products,
    step_pykeen,
)
from measure import in_turn, merge

RESULT = Path(__file__).parent / "results" / "bench_kge.json"
LIBRARIES = ("relgraph", "torch", "numpy", "numba", "pykeen")
BENCHMARK = "training steps and ranking of link predictors"


def step_section(repeats: int, pykeen: bool) -> dict[str, Any]:
    """DistMult, 512 questions, dim 200."""
    work = Work()
    sides = {"ours": step_ours(work), "dense": step_dense(work), "products": step_products(work)}
    counts = dict.fromkeys(sides, repeats)
    torch.testing.assert_close(sides["ours"](), sides["dense"](), rtol=1e-5, atol=1e-7)
    slopes = []
    for name in ("ours", "dense"):
        sides[name]()
        slopes.append([parameter.grad.clone() for parameter in work.distmult.parameters()])
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-9)
    if pykeen:
        sides["pykeen"], counts["pykeen"] = step_pykeen(work), 2
    return {"scorer": "DistMult", "dim": 200, "batch": 512, "equal": True, **in_turn(sides, counts)}


def lowfer_section(repeats: int) -> dict[str, Any]:
    """LowFER as published for FB15k-237: dim 200, rank 100, 128 questions."""
    work = Work()
    sides = {"ours": lowfer_ours(work), "plain": lowfer_plain(work), "products": lowfer_products(work)}
    still = ("input_dropout", "product_dropout", "output_dropout")
    shares = {name: getattr(work.lowfer, name).p for name in still}
    for name in still:
        getattr(work.lowfer, name).p = 0.0
    torch.testing.assert_close(sides["ours"](), sides["plain"](), rtol=1e-4, atol=1e-6)
    for name, share in shares.items():
        getattr(work.lowfer, name).p = share
    return {"scorer": "LowFER", "dim": 200, "rank": 100, "batch": 128, "equal": True} | in_turn(
        sides, dict.fromkeys(sides, repeats)
    )


def rank_section(repeats: int, pykeen: bool, triples: int) -> dict[str, Any]:
    """Test triples of FB15k-237, both directions, by DistMult of dim 200."""
    work, few = Work(triples), Work(64)
    sides = {"ours": lambda: rank_ours(work), "products": lambda: rank_products(work)}
    counts = dict.fromkeys(sides, repeats)
    result: dict[str, Any] = {"scorer": "DistMult", "dim": 200, "triples": triples}
    if pykeen:
        expected, found = rank_pykeen(few), rank_ours(few)["mrr"]
        assert abs(expected - found) <= 1e-6, f"MRR differs: {found}, {expected}"
        sides["pykeen"], counts["pykeen"] = lambda: rank_pykeen(work), 1
        result["equal"] = True
    return result | in_turn(sides, counts)


def memory_section(size: int) -> dict[str, Any]:
    """Peak memory above the parameters, each side in a process of its own, on a batch or test of that size."""
    found: dict[str, Any] = {"size": size}
    for what in ("step", "rank"):
        peaks = {}
        for side in ("ours", "pykeen"):
            command = [sys.executable, str(Path(__file__).with_name("kge_sides.py")), side, what, str(size)]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peaks[side] = json.loads(out.stdout.splitlines()[-1])["peak_above"]
        found[what] = {"peak_bytes_above": peaks, "share": peaks["ours"] / peaks["pykeen"]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--triples", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip-pykeen", action="store_true")
    parser.add_argument("--only", choices=["step", "lowfer", "rank", "memory"])
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sections = {
        "step": lambda: step_section(args.repeats, not args.skip_pykeen),
        "lowfer": lambda: lowfer_section(args.repeats),
        "rank": lambda: rank_section(args.repeats, not args.skip_pykeen, args.triples),
        "memory": lambda: memory_section(256),
    }
    for name, section in sections.items():
        if args.only in (None, name) and not (name == "memory" and args.skip_pykeen):
            merge(args.output, name, section(), BENCHMARK, LIBRARIES)


if __name__ == "__main__":
    main()

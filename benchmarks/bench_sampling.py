"""Temporal sampling, batches ready for training, and whole training steps. Writes results/bench_sampling.json.

    python benchmarks/bench_sampling.py [--f1 ../shared/data/db/f1] [--only sampling batches step]

100,000 customers (weight rank^-0.75), 20,000 products (rank^-0.9), 2 million orders at uniform times, both directions
of both keys; 512 seeds a batch drawn by popularity, with times in the second half; two threads. Before anything is
timed: both engines give the same sample bit by bit, the totals under "last" are those of a brute force count, batches
hold the same rows, and losses and gradients agree. pyg-lib is timed where it can be imported (it is not on PyPI); where
it cannot, that is in the result, and our own sampler stands in under PyG's loader. Every section replaces its own part
of the result file and leaves the others.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import f1
import torch
from measure import merge
from sampling_shop import Shop, count_last, make_batches, make_shop
from sampling_sides import (
    Training,
    alternate,
    draw,
    has_pyg_lib,
    ready_batches,
    require_counted,
    require_ready,
    require_same,
    samplers,
    totals,
)

import relgraph

RESULT = Path(__file__).parent / "results" / "bench_sampling.json"
BENCHMARK = "temporal sampling, batches and training steps"
FAN_OUTS = ((128, 64), (64, 32, 16))
STRATEGIES = ("uniform", "last")
STEP_FAN_OUT = (128, 64)
LIBRARIES = ("relgraph", "numba", "torch", "torch-geometric", "pyg-lib", "pytorch-frame", "numpy")


def _name(fan_outs: Sequence[int]) -> str:
    return str(list(fan_outs))


def sampling_section(shop: Shop, batches: int, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds a batch of each engine, and of pyg-lib where there is one."""
    given = make_batches(shop, batches, size)
    runs: dict[str, Any] = {}
    for fan_outs in FAN_OUTS:
        for strategy in STRATEGIES:
            sides = samplers(shop, fan_outs, strategy)
            for batch in given[:3]:
                ours = draw(sides["numba"], batch)
                require_same(ours, draw(sides["tensor"], batch))
                if strategy == "last":
                    counted = count_last(shop, *batch, fan_outs)
                    require_counted(ours, counted)
                    if "pyg-lib" in sides:
                        require_counted(draw(sides["pyg-lib"], batch), counted)
            work = {side: lambda batch, sampler=sampler: draw(sampler, batch) for side, sampler in sides.items()}
            fast = {side: run for side, run in work.items() if side != "tensor"}
            seconds = alternate(fast, given, repeats) | alternate({"tensor": work["tensor"]}, given[:5], 1)
            runs[f"{_name(fan_outs)} {strategy}"] = {
                **totals(draw(sides["numba"], given[0])),
                **_summary(seconds, "numba"),
            }
    return {"equal": True, "brute_force_equal": True, "batch_size": size, "runs": runs}


def batches_section(shop: Shop, batches: int, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds until a batch can be trained on."""
    given = make_batches(shop, batches, size)
    runs: dict[str, Any] = {}
    for fan_outs in FAN_OUTS:
        sides = ready_batches(shop, fan_outs)
        compared = require_ready(sides, given[0])
        runs[_name(fan_outs)] = {"same_rows_asserted": compared, **_summary(alternate(sides, given, repeats), "ours")}
    return {"equal": True, "batch_size": size, "runs": runs}


def step_section(shop: Shop, folder: str | None, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of a training step, each distinct row encoded once and every sampled row encoded."""
    runs = {"shop": _steps(shop.graph, "customer", make_batches(shop, 2, size), repeats)}
    if folder is not None:
        task = f1.driver_dnf(regime="seed-time")
        with f1.connect(folder, progress=False) as db:
            graph = relgraph.build_graph(db, fit_until=task.val_time, text=None, progress=False)
            seeds = task.seeds(db, "train")
        assert seeds.time is not None
        order = torch.randperm(len(seeds), generator=torch.Generator().manual_seed(0)).split(size)[:2]
        runs["rel-f1 driver-dnf"] = _steps(
            graph, task.entity_table, [(seeds.node[part], seeds.time[part]) for part in order], repeats
        )
    return {"equal": True, "batch_size": size, "fan_outs": list(STEP_FAN_OUT), "runs": runs}


def _steps(graph: relgraph.HeteroGraph, table: str, given: Any, repeats: int) -> dict[str, Any]:
    differences = Training(graph, table, STEP_FAN_OUT, dropout=0.0).require_equal(given[0])
    training = Training(graph, table, STEP_FAN_OUT)
    sides = {
        "distinct rows": lambda batch: training.step(batch, True),
        "every row": lambda batch: training.step(batch, False),
    }
    alternate(sides, given[:1], 1)
    return {
        "relative_difference": differences,
        **totals(draw(training.sampler, given[0], table)),
        **_summary(alternate(sides, given, repeats), "distinct rows"),
    }


def _summary(seconds: dict[str, list[float]], ours: str) -> dict[str, Any]:
    median = {side: 1e3 * statistics.median(times) for side, times in seconds.items()}
    return {
        "median_ms": median,
        "least_ms": {side: 1e3 * min(times) for side, times in seconds.items()},
        "timed": {side: len(times) for side, times in seconds.items()},
        "ratio": {side: value / median[ours] for side, value in median.items() if side != ours},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("sampling", "batches", "step"))
    parser.add_argument("--f1", metavar="FOLDER", help="the nine CSV files of rel-f1, for the training step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=20_000)
    parser.add_argument("--orders", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=512, help="a batch")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shop = make_shop(args.customers, args.products, args.orders)
    absent = "absent, it is not on PyPI: our two engines were measured, and ours under PyG's loader"
    peer = "timed" if has_pyg_lib() else absent
    about = {"threads": args.threads, "orders": args.orders, "pyg_lib": peer}
    sections = {
        "sampling": lambda: sampling_section(shop, args.batches, args.seeds, args.repeats),
        "batches": lambda: batches_section(shop, args.batches, args.seeds, args.repeats),
        "step": lambda: step_section(shop, args.f1, args.seeds, args.repeats),
    }
    for name in args.only or sections:
        merge(args.output, name, about | sections[name](), BENCHMARK, LIBRARIES)


if __name__ == "__main__":
    main()

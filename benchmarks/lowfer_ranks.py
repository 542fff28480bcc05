"""The rank k of LowFER: what it costs and what it brings, on two small data sets that PyKEEN brings along.

    python benchmarks/lowfer_ranks.py

For k in 1, 5, 30, 100: parameters, milliseconds per training step, and the best validation MRR of each seed. Times are
the process's own, on one thread, medians of steps in turn over all ranks: other work on the machine counts little and
meets all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from relgraph.adapters import from_pykeen
from relgraph.data.statements import Statements
from relgraph.kge import LowFER, fit
from relgraph.kge.training import LinkPredictionJob

RESULT = Path(__file__).parent / "results" / "lowfer_ranks.json"
RANKS = (1, 5, 30, 100)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["umls", "kinships"])
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def build(train: Statements, rank: int, args: argparse.Namespace, seed: int = 0) -> LowFER:
    sizes = (train.num_entities, train.num_relations)
    return LowFER(*sizes, dim=args.dim, rank=rank, output_dropout=0.2, seed=seed)


def valid_mrr(train: Statements, valid: Statements, rank: int, seed: int, args: argparse.Namespace) -> float:
    history = fit(
        build(train, rank, args, seed),
        train,
        valid=valid,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        seed=seed,
        accelerator="cpu",
    )
    assert history.best is not None
    return history.best


def step_of(train: Statements, rank: int, args: argparse.Namespace) -> Callable[[], object]:
    """One training step of a fresh scorer, the same batch every time."""
    scorer = build(train, rank, args).train()
    job = LinkPredictionJob(scorer, train, batch_size=args.batch_size)
    batch = next(iter(job.batches(0)))
    optimizer = torch.optim.Adam(scorer.parameters(), lr=args.lr)

    def step() -> None:
        optimizer.zero_grad()
        job.loss(batch).backward()
        optimizer.step()

    return step


def medians(calls: dict[Any, Callable[[], object]], rounds: int = 60) -> dict[Any, float]:
    """Milliseconds of each call, all taken in turn."""
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 5):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if number >= 5:
                seconds[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def measure(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    train, valid, _ = from_pykeen(name)
    step = medians({rank: step_of(train, rank, args) for rank in RANKS})
    rows = []
    for rank in RANKS:
        mrr = [valid_mrr(train, valid, rank, seed, args) for seed in range(args.seeds)]
        rows.append(
            {
                "data": name,
                "rank": rank,
                "parameters": sum(p.numel() for p in build(train, rank, args).parameters()),
                "table_bytes": 2 * train.num_relations * rank * args.dim * 4,
                "ms_per_step": step[rank],
                "valid_mrr": mrr,
                "valid_mrr_mean": statistics.mean(mrr),
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def main() -> None:
    args = parse()
    torch.set_num_threads(1)
    rows = [row for name in args.data for row in measure(name, args)]
    settings = {name: value for name, value in vars(args).items() if name not in ("data", "output")}
    result = {
        "benchmark": "LowFER by rank k: best filtered validation MRR, parameters, milliseconds of CPU",
        "command": " ".join(["python", *sys.argv]),
        "settings": settings,
        "protocol": "filtered, realistic, all entities, known: train and valid; best epoch by the same MRR",
        "rows": rows,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("torch", "relgraph", "pykeen")}},
        "machine": {"cpu_count": os.cpu_count(), "threads": 1, "load_average": os.getloadavg()},
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(args.output)


if __name__ == "__main__":
    main()

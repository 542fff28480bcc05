"""LowFER on FB15k-237: train for a wall-clock budget, rank the whole test set among all 14,541 entities.

    python benchmarks/fb15k237_lowfer.py --minutes 46 --checkpoint runs/fb15k237

Run again with the same arguments, it goes on from the checkpoint; the budget counts all runs. On a machine with other
work on it, set OMP_WAIT_POLICY=passive: threads that wait in a loop cost more than they bring there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from relgraph.adapters.statement_files import read_statements
from relgraph.kge import LowFER, evaluate, fit, save_scorer

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
RESULT = Path(__file__).parent / "results" / "fb15k237_lowfer.json"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "kg" / "fb15k-237")
    parser.add_argument("--minutes", type=float, default=45, help="wall-clock budget of training, validation included")
    parser.add_argument("--epochs", type=int, default=1000, help="largest number of epochs")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--save", type=Path, default=None, help="folder for the trained scorer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--decay", type=float, default=0.95)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument(
        "--dropout", type=float, nargs=3, default=(0.1, 0.1, 0.1), metavar=("INPUT", "PRODUCT", "OUTPUT")
    )
    parser.add_argument("--valid-size", type=int, default=3000)
    parser.add_argument("--validate-every", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--probe", action="store_true", help="print validation only; rank no test set, write nothing")
    return parser.parse_args()


def spent_seconds(checkpoint: Path | None) -> float:
    """Seconds of training in earlier runs, read from the history beside the checkpoint."""
    history = None if checkpoint is None else checkpoint / "history.jsonl"
    if history is None or not history.exists():
        return 0.0
    return sum(json.loads(line)["seconds"] for line in history.read_text().splitlines())


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    train, valid, test = read_statements(args.data)
    scorer = LowFER(
        train.num_entities,
        train.num_relations,
        dim=args.dim,
        rank=args.rank,
        input_dropout=args.dropout[0],
        product_dropout=args.dropout[1],
        output_dropout=args.dropout[2],
        seed=args.seed,
    )
    left = args.minutes * 60 - spent_seconds(args.checkpoint)
    history = fit(
        scorer,
        train,
        valid=valid,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        decay=args.decay,
        label_smoothing=args.label_smoothing,
        valid_size=args.valid_size,
        validate_every=args.validate_every,
        checkpoint=args.checkpoint,
        max_seconds=max(left, 1.0),
        seed=args.seed,
        accelerator="cpu",
    )
    print(history, file=sys.stderr)
    if args.probe:
        for epoch, mrr in zip(*history.curve("mrr"), strict=True):
            print(f"epoch {epoch} valid mrr {mrr:.4f}")
        return
    start = time.perf_counter()
    metrics = evaluate(scorer, test, known=[train, valid, test], candidates="all")
    seconds = time.perf_counter() - start
    if args.save is not None:
        save_scorer(scorer, train.vocabulary, args.save, {"metrics": dict(metrics), "protocol": metrics.protocol})
    names = ("python", "torch", "numpy", "relgraph")
    result = {
        "benchmark": "LowFER on FB15k-237, all entities as candidates, whole test set, both directions",
        "command": " ".join(["python", *sys.argv]),
        "seed": args.seed,
        "selection": "dim, batch size, lr and dropout by validation of earlier short runs; the test set was read once",
        "protocol": metrics.protocol | {"train_on": "train", "best_epoch_by": "filtered mrr on a part of valid"},
        "scorer": scorer.arguments | {"name": "LowFER"},
        "training": {
            "batch_size": args.batch_size,
            "lr": args.lr,
            "decay": args.decay,
            "label_smoothing": args.label_smoothing,
            "valid_size": args.valid_size,
            "epochs": len(history),
            "best_epoch": history.best_epoch,
            "best_valid_mrr": history.best,
            "stopped": history.stopped,
            "budget_minutes": args.minutes,
            "train_seconds": sum(row["seconds"] for row in history.epochs),
            "valid_curve": list(zip(*history.curve("mrr"), strict=True)),
        },
        "test": dict(metrics),
        "test_seconds": seconds,
        "published": {"mrr": 0.359, "hits@1": 0.266, "hits@3": 0.396, "hits@10": 0.544, "epochs": 500, "rank": 100},
        "versions": {n: platform.python_version() if n == "python" else version(n) for n in names},
        "machine": {
            "processor": processor(),
            "cpu_count": os.cpu_count(),
            "threads": args.threads,
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
            "load_average": os.getloadavg(),
        },
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: metrics[name] for name in ("mrr", "mr", "hits@1", "hits@3", "hits@10")}))


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()

"""HyperFormer on WD50K, WD50K_100 or JF17K: train for a wall-clock budget, rank the whole test set.

    python benchmarks/wd50k.py --data ../shared/data/kg/wd50k_100 --minutes 55 --checkpoint runs/wd50k_100

Every entity is a candidate, head and tail are asked for, and the ranks are taken under both filters: strict, where
qualifiers belong to a question, and loose, where they do not. JF17K has no validation set: a twentieth of its train
statements is held out. Run again with the same arguments, it goes on from the checkpoint; the budget counts all runs.
On a machine with other work on it, set OMP_WAIT_POLICY=passive.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from fb15k237_lowfer import processor, spent_seconds

from relgraph.adapters.statement_files import read_statements
from relgraph.data.statements import Statements
from relgraph.kge import HyperFormer, evaluate, fit, save_scorer

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"
METRICS = ("mrr", "mr", "hits@1", "hits@3", "hits@10")
PUBLISHED = {
    "wd50k": {"HyperFormer, re-run": 0.332, "StarE, re-run": 0.315, "best, strict filter (UniHR)": 0.348},
    "wd50k_100": {"StarE, as recalled": 0.654},
    "jf17k": {},
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "kg" / "wd50k_100", help="folder of statement files")
    parser.add_argument("--minutes", type=float, default=55, help="wall-clock budget of training, validation included")
    parser.add_argument("--epochs", type=int, default=1000, help="largest number of epochs")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--save", type=Path, default=None, help="folder for the trained scorer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--experts", type=int, default=0)
    parser.add_argument("--neighbors", type=int, default=0, help="3 for the paper's modules, which cost five passes")
    parser.add_argument("--no-roles", action="store_true")
    parser.add_argument("--loss", choices=("ce", "bce"), default="ce")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.97)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--input-dropout", type=float, default=0.2)
    parser.add_argument("--entity-dropout", type=float, default=0.2)
    parser.add_argument("--valid-size", type=int, default=2000)
    parser.add_argument("--validate-every", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--probe", action="store_true", help="print validation only; rank no test set, write nothing")
    return parser.parse_args()


def read(folder: Path, seed: int) -> tuple[Statements, Statements, Statements]:
    """Train, validation and test; without a validation file, from train."""
    parts = read_statements(folder)
    if len(parts) == 3:
        return parts
    whole, test = parts
    train, valid, _ = whole.split(fractions=(0.95, 0.05, 0.0), seed=seed)
    return train, valid, test


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    train, valid, test = read(args.data, args.seed)
    scorer = HyperFormer(
        train.num_entities,
        train.num_relations,
        dim=args.dim,
        layers=args.layers,
        heads=args.heads,
        hidden=args.hidden,
        experts=args.experts,
        neighbors=args.neighbors,
        roles=not args.no_roles,
        input_dropout=args.input_dropout,
        entity_dropout=args.entity_dropout,
        seed=args.seed,
    )
    left = args.minutes * 60 - spent_seconds(args.checkpoint)
    history = fit(
        scorer,
        train,
        valid=valid,
        epochs=args.epochs,
        batch_size=args.batch_size,
        loss=args.loss,
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
    ranked = {
        name: evaluate(scorer, test, known=[train, valid, test], candidates="all", filter=name)
        for name in ("strict", "loose")
    }
    seconds = time.perf_counter() - start
    if args.save is not None:
        save_scorer(scorer, train.vocabulary, args.save, {name: dict(metrics) for name, metrics in ranked.items()})
    output = args.output or RESULTS / f"{args.data.name}_hyperformer.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report(args, scorer, history, ranked, seconds), indent=1) + "\n")
    print(json.dumps({name: {metric: metrics[metric] for metric in METRICS} for name, metrics in ranked.items()}))


def report(args: argparse.Namespace, scorer: HyperFormer, history: Any, ranked: Any, seconds: float) -> dict[str, Any]:
    """What was run, under which protocol, and what came out."""
    names = ("python", "torch", "numpy", "relgraph")
    return {
        "benchmark": f"HyperFormer on {args.data.name}, all entities as candidates, whole test set, head and tail",
        "command": " ".join(["python", *sys.argv]),
        "seed": args.seed,
        "selection": "sizes, lr and dropout by validation of earlier short runs; the test set was read once",
        "protocol": {name: metrics.protocol for name, metrics in ranked.items()}
        | {"train_on": "train", "best_epoch_by": "filtered mrr on a part of valid"},
        "scorer": scorer.arguments | {"name": "HyperFormer"},
        "training": {
            "loss": args.loss,
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
        "test": {name: dict(metrics) for name, metrics in ranked.items()},
        "test_seconds": seconds,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "published": PUBLISHED.get(args.data.name, {}),
        "versions": {n: platform.python_version() if n == "python" else version(n) for n in names},
        "machine": {
            "processor": processor(),
            "cpu_count": os.cpu_count(),
            "threads": args.threads,
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
            "load_average": os.getloadavg(),
        },
    }


if __name__ == "__main__":
    main()

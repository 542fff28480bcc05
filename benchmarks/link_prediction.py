"""Any scorer on a knowledge graph: train for a wall-clock budget, rank the whole test set.

    python benchmarks/link_prediction.py wd50k_100 hyperformer --minutes 54 --checkpoint runs/wd50k_100

Every entity is a candidate, head and tail are asked for, ties count at their mean. Where statements have qualifiers the
ranks are taken under both filters: strict, where qualifiers belong to a question, and loose, where they do not. A data
set without validation part (JF17K) gives a twentieth of its train statements.

RECIPES has what the committed results were trained with; ``--set`` changes an argument of the scorer, ``--fit`` one of
``relgraph.kge.fit``, ``--loss`` and ``--loss-set`` the loss. Run again with the same arguments, it goes on from the
checkpoint; the budget counts all runs. On a machine with other work on it, set OMP_WAIT_POLICY=passive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch
from measure import machine, versions

from relgraph.adapters.statement_files import read_statements
from relgraph.data.statements import Statements
from relgraph.kge import BCE, CE, N3, SCORERS, Metrics, Sampled, Scorer, evaluate, fit, save_scorer
from relgraph.kge.losses import described
from relgraph.training import History

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"
METRICS = ("mrr", "mr", "hits@1", "hits@3", "hits@10")
LOSSES = {"bce": BCE, "ce": CE, "sampled": Sampled}

PUBLISHED: dict[str, dict[str, float]] = {
    "fb15k-237": {"LowFER": 0.359},
    "wn18rr": {"LowFER": 0.465},
    "wd50k": {"HyperFormer, re-run": 0.332, "StarE, re-run": 0.315, "best, strict filter (UniHR)": 0.348},
    "wd50k_100": {"StarE, as recalled": 0.654},
    "jf17k": {},
}

_TRANSFORMER = {
    "dim": 128, "layers": 2, "heads": 4, "hidden": 512, "experts": 0, "neighbors": 0, "roles": True,
    "input_dropout": 0.2, "entity_dropout": 0.2,
}  # fmt: skip
_FIT = {"epochs": 1000, "batch_size": 512, "lr": 1e-3, "decay": 0.97, "valid_size": 2000, "validate_every": 2}
RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("fb15k-237", "lowfer"): {
        "scorer": {
            "dim": 64, "rank": 10, "input_dropout": 0.1, "product_dropout": 0.1, "output_dropout": 0.1,
        },
        "loss": ("bce", {"label_smoothing": 0.1}),
        "fit": {"batch_size": 128, "lr": 1e-2, "decay": 0.95, "valid_size": 3000},
    },
    ("wd50k_100", "hyperformer"): {"scorer": _TRANSFORMER, "loss": ("ce", {"label_smoothing": 0.1})},
    ("wd50k", "hyperformer"): {
        "scorer": {**_TRANSFORMER, "input_dropout": 0.3, "attention_dropout": 0.0},
        "loss": ("ce", {"label_smoothing": 0.1, "answers": "all", "negatives": 4096}),
        "fit": {"lr": 1.5e-3},
    },
    ("jf17k", "hyperformer"): {
        "scorer": {**_TRANSFORMER, "attention_dropout": 0.0},
        "loss": ("ce", {"label_smoothing": 0.1, "answers": "all", "negatives": 4096}),
    },
    ("wn18rr", "complex"): {
        "scorer": {"dim": 64},
        "loss": ("ce", {"answers": "all", "negatives": 4096}),
        "n3": 0.05,
        "fit": {"optimizer": "adagrad", "lr": 0.1, "decay": 1.0, "batch_size": 256},
    },
}  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a folder of statement files, by its path or its name in the shared data")
    parser.add_argument("scorer", choices=sorted(SCORERS))
    parser.add_argument("--minutes", type=float, default=55, help="wall-clock budget of training, validation included")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the scorer")
    parser.add_argument("--fit", action="append", default=[], metavar="NAME=VALUE", help="of relgraph.kge.fit")
    parser.add_argument("--loss", choices=sorted(LOSSES), default=None)
    parser.add_argument("--loss-set", action="append", default=[], metavar="NAME=VALUE", help="of the loss")
    parser.add_argument("--n3", type=float, default=None, help="weight of the N3 regularizer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--save", type=Path, default=None, help="folder for the trained scorer")
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--probe", action="store_true", help="print validation only; rank no test set, write nothing")
    return parser.parse_args()


def settings(args: argparse.Namespace, name: str) -> tuple[dict[str, Any], Any, N3 | None, dict[str, Any]]:
    """Arguments of the scorer, the loss, the regularizer and arguments of the training."""
    recipe = RECIPES.get((name, args.scorer), {})
    loss, choices = recipe.get("loss", ("ce", {}))
    if args.loss not in (None, loss):
        loss, choices = args.loss, {}
    weight = recipe.get("n3") if args.n3 is None else args.n3
    return (
        {**recipe.get("scorer", {}), **pairs(args.set)},
        LOSSES[loss](**{**choices, **pairs(args.loss_set)}),
        N3(weight) if weight else None,
        {**_FIT, **recipe.get("fit", {}), **pairs(args.fit)},
    )


def pairs(given: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` as a mapping; a value that is no JSON is text."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def read(folder: Path, seed: int) -> tuple[Statements, Statements, Statements]:
    """Train, validation and test; without a validation file, from train."""
    parts = read_statements(folder)
    if len(parts) == 3:
        return parts
    whole, test = parts
    train, valid, _ = whole.split(fractions=(0.95, 0.05, 0.0), seed=seed)
    return train, valid, test


def spent_seconds(checkpoint: Path | None) -> float:
    """Seconds of training in earlier runs, read from the history beside the checkpoint."""
    history = None if checkpoint is None else checkpoint / "history.jsonl"
    if history is None or not history.exists():
        return 0.0
    return sum(json.loads(line)["seconds"] for line in history.read_text().splitlines())


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    folder = Path(args.data) if Path(args.data).is_dir() else DATA / "kg" / args.data
    train, valid, test = read(folder, args.seed)
    arguments, loss, regularizer, options = settings(args, folder.name)
    scorer = SCORERS[args.scorer](train.num_entities, train.num_relations, **{"seed": args.seed, **arguments})
    history = fit(
        scorer,
        train,
        valid=valid,
        loss=loss,
        regularizer=regularizer,
        checkpoint=args.checkpoint,
        max_seconds=max(args.minutes * 60 - spent_seconds(args.checkpoint), 1.0),
        seed=args.seed,
        accelerator="cpu",
        **options,
    )
    print(history, file=sys.stderr)
    if args.probe:
        for epoch, mrr in zip(*history.curve("mrr"), strict=True):
            print(f"epoch {epoch} valid mrr {mrr:.4f}")
        return
    start = time.perf_counter()
    filters = ("strict", "loose") if train.qualifiers is not None else ("loose",)
    known = [train, valid, test]
    ranked = {name: evaluate(scorer, test, known=known, candidates="all", filter=name) for name in filters}
    seconds = time.perf_counter() - start
    if args.save is not None:
        save_scorer(scorer, train.vocabulary, args.save, {name: dict(metrics) for name, metrics in ranked.items()})
    training = {"loss": described(loss), "regularizer": None if regularizer is None else regularizer.settings()}
    result = report(args, folder.name, scorer, {**training, **options}, history, ranked, seconds)
    output = args.output or RESULTS / f"{folder.name.replace('-', '')}_{args.scorer}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: {metric: metrics[metric] for metric in METRICS} for name, metrics in ranked.items()}))


def report(
    args: argparse.Namespace,
    data: str,
    scorer: Scorer,
    training: dict[str, Any],
    history: History,
    ranked: dict[str, Metrics],
    seconds: float,
) -> dict[str, Any]:
    """What was run, under which protocol, and what came out."""
    name = type(scorer).__name__
    return {
        "benchmark": f"{name} on {data}, all entities as candidates, whole test set, head and tail",
        "data": data,
        "command": "python " + shlex.join(sys.argv),
        "seed": args.seed,
        "selection": "sizes, lr and dropout by validation of earlier short runs; the test set was read once",
        "protocol": {name: metrics.protocol for name, metrics in ranked.items()}
        | {"train_on": "train", "best_epoch_by": "filtered mrr on a part of valid"},
        "scorer": scorer.arguments | {"name": name},
        "training": training
        | {
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
        "published": PUBLISHED.get(data, {}),
        "versions": versions(("relgraph", "torch", "numpy", "numba")),
        "machine": machine(),
    }


if __name__ == "__main__":
    main()

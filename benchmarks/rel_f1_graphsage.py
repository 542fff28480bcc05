"""GraphSAGE on a driver task of rel-f1, frozen regime: the recipe of Robinson et al. 2024 (arXiv 2407.20060).

    python benchmarks/rel_f1_graphsage.py ../shared/data/db/f1 --task top3

Every setting is the published one; the epoch is chosen on the validation split.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import f1
import torch

import relgraph

RESULTS = Path(__file__).parent / "results"
TASKS = {"dnf": f1.driver_dnf, "top3": f1.driver_top3, "position": f1.driver_position}
# test AUROC x 100 (dnf, top3) and MAE (position)
PUBLISHED = {
    "dnf": {"paper": 72.62, "independent re-run": 71.72},
    "top3": {"paper": 75.54, "independent re-run": 72.60},
    "position": {"paper": 4.022, "independent re-run": 4.011},
}
SETTINGS: dict[str, Any] = {
    "channels": 128,
    "layers": 2,
    "num_neighbors": [128, 64],
    "strategy": "uniform",
    "encoder_layers": 4,
    "dropout": 0.2,
    "aggr": "sum",
    "batch_size": 512,
    "epochs": 10,
    "lr": 0.005,
}
CLAMP = (0.02, 0.98)  # RelBench's script keeps predictions of a regression between these quantiles of its labels
PACKAGES = ("torch", "torch-geometric", "pytorch-frame", "duckdb", "lightning-fabric", "scikit-learn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the nine CSV files")
    parser.add_argument("--task", choices=TASKS, default="dnf")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--checkpoints", help="folder of checkpoints: a stopped run goes on, a finished one is only evaluated"
    )
    parser.add_argument("--output", type=Path, help="by default benchmarks/results/rel_f1_driver_TASK.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    db = f1.connect(arguments.folder, progress=False)
    name = arguments.task
    task = TASKS[name](regime="frozen")
    graph = relgraph.build_graph(db, fit_until=task.val_time, text=None, progress=False)
    folder = None if arguments.checkpoints is None else Path(arguments.checkpoints) / name
    runs = [run(db, graph, task, seed, folder) for seed in arguments.seeds]
    scores = [(1 if task.kind == "regression" else 100) * row["test"][task.metric] for row in runs]
    metric = "MAE" if task.kind == "regression" else "AUROC x 100"
    result = {
        "task": f"rel-f1 driver-{name}",
        "regime": task.regime,
        "metric": f"{metric} on test",
        "published": PUBLISHED[name],
        "mean": statistics.mean(scores),
        "sd": statistics.stdev(scores) if len(scores) > 1 else None,
        "rows": {split: len(task.seeds(db, split)) for split in ("train", "val", "test")},
        "runs": runs,
        "settings": settings(task),
        "selection": f"best validation {task.metric} of the epochs of each run",
        "command": f"python benchmarks/{Path(__file__).name} FOLDER --task {name} "
        f"--seeds {' '.join(map(str, arguments.seeds))} --threads {arguments.threads}",
        "threads": arguments.threads,
        "timing": "seconds of a run are those of its epochs, validation included; runs may have shared the machine",
        "machine": f"{platform.machine()}, {platform.system()}, CPU",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    output = arguments.output or RESULTS / f"rel_f1_driver_{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(f"{metric} {result['mean']:.3f} (sd {result['sd'] or 0:.3f}) over seeds {arguments.seeds}\n")


def settings(task: relgraph.EntityTask) -> dict[str, Any]:
    """The recipe for a task."""
    return SETTINGS | ({"clamp": CLAMP} if task.kind == "regression" else {})


def run(
    db: relgraph.Database, graph: relgraph.HeteroGraph, task: relgraph.EntityTask, seed: int, checkpoints: Path | None
) -> dict[str, Any]:
    """Train and test with one seed."""
    checkpoint = None if checkpoints is None else checkpoints / f"seed-{seed}"
    predictor = relgraph.fit(db, graph, task, seed=seed, checkpoint=checkpoint, **settings(task))
    row = {
        "seed": seed,
        "test": predictor.evaluate(db, "test", progress=False),
        "val": predictor.evaluate(db, "val", progress=False),
        "best_epoch": predictor.history.best_epoch,
        "seconds": round(sum(row["seconds"] for row in predictor.history.epochs), 1),
        "epochs": list(predictor.history.epochs),
    }
    sys.stderr.write(f"seed {seed}: {json.dumps(row)}\n")
    return row


if __name__ == "__main__":
    main()

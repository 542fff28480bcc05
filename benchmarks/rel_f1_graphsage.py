"""GraphSAGE on rel-f1 driver-dnf, frozen regime: the recipe of Robinson et al. 2024 (arXiv 2407.20060), several seeds.

    python benchmarks/rel_f1_graphsage.py ../shared/data/db/f1

Every setting is the published one; the epoch is chosen on the validation split. Published AUROC: 72.62 (paper), 71.72
(independent re-run).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path

import f1
import torch

import relgraph

RESULT = Path(__file__).parent / "results" / "rel_f1_driver_dnf.json"
SETTINGS = {
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
PACKAGES = ("torch", "torch-geometric", "pytorch-frame", "duckdb", "lightning-fabric", "scikit-learn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the nine CSV files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--checkpoints", help="folder of checkpoints: a stopped run goes on, a finished one is only evaluated"
    )
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    db = f1.connect(arguments.folder, progress=False)
    task = f1.driver_dnf(regime="frozen")
    graph = relgraph.build_graph(db, fit_until=task.val_time, text=None, progress=False)
    runs = [run(db, graph, task, seed, arguments.checkpoints) for seed in arguments.seeds]
    scores = [100 * row["test"]["auroc"] for row in runs]
    result = {
        "task": "rel-f1 driver-dnf",
        "regime": task.regime,
        "metric": "AUROC x 100 on test",
        "published": {"paper": 72.62, "independent re-run": 71.72},
        "mean": statistics.mean(scores),
        "sd": statistics.stdev(scores) if len(scores) > 1 else None,
        "rows": {split: len(task.seeds(db, split)) for split in ("train", "val", "test")},
        "runs": runs,
        "settings": SETTINGS,
        "selection": "best validation AUROC of the epochs of each run",
        "command": f"python benchmarks/{Path(__file__).name} FOLDER --seeds {' '.join(map(str, arguments.seeds))}",
        "threads": arguments.threads,
        "timing": "seconds of a run are those of its epochs, validation included; runs may have shared the machine",
        "machine": f"{platform.machine()}, {platform.system()}, CPU",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(f"AUROC {result['mean']:.2f} (sd {result['sd'] or 0:.2f}) over seeds {arguments.seeds}\n")


def run(
    db: relgraph.Database, graph: relgraph.HeteroGraph, task: relgraph.EntityTask, seed: int, checkpoints: str | None
) -> dict[str, object]:
    """Train and test with one seed."""
    checkpoint = None if checkpoints is None else Path(checkpoints) / f"seed-{seed}"
    predictor = relgraph.fit(db, graph, task, seed=seed, checkpoint=checkpoint, **SETTINGS)
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

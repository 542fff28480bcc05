"""Table models on the driver tasks of rel-f1: chosen by backtests before the test time, then asked the test once.

    python benchmarks/rel_f1_tables.py ../shared/data/db/f1 --task top3 --regime frozen

Columns are relgraph.tabular's for any database, and for the models named "asked" those of the questions themselves
(relgraph.baselines.asked); nothing is made for Formula 1 but the labels of the helper tasks, which
are means of columns over the task's own horizon. The score that chooses is the mean over the origins; each origin is
asked as the test is: the same regime, over as long a time.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import f1
import torch

import relgraph
from relgraph.baselines import Backtest, TableModel
from relgraph.baselines.backtest import Part
from relgraph.tasks import EntityTask

RESULTS = Path(__file__).parent / "results"
TASKS = {"dnf": f1.driver_dnf, "top3": f1.driver_top3, "position": f1.driver_position}
# qualifying begins in 1994, and only in 2003 without gaps
ORIGINS = {
    "dnf": ("1995-01-01", "2000-01-01", "2005-01-01"),
    "top3": ("2002-01-01", "2003-01-01", "2005-01-01"),
    "position": ("1995-01-01", "2000-01-01", "2005-01-01"),
}
HELPERS = ("mean(nullif(s.grid, 0))", "mean(s.positionOrder)", "mean(s.points)")
AGGREGATES = {"windows": (90, 365, 730), "last": (1, 3, 5, 10, 20), "max_columns": 300}
PARTS: tuple[tuple[Part, ...], ...] = (
    ("linear",),
    ("boosting",),
    ("forecasts",),
    ("linear", "boosting"),
    ("boosting", "forecasts"),
    ("linear", "boosting", "forecasts"),
)
CHANGES: dict[str, dict[str, Any]] = {
    "": {},
    ", penalty 300": {"penalty": 300.0},
    ", penalty 3000": {"penalty": 3000.0},
    ", half-life 5": {"half_life": 5.0},
    ", half-life 20": {"half_life": 20.0},
}
MODELS = {
    f"{' + '.join(parts)}{change}{', asked' if asked else ''}": TableModel(parts, asked=asked, **settings)
    for parts in PARTS
    for change, settings in CHANGES.items()
    for asked in (False, True)
}
# test AUROC x 100 (dnf, top3) and MAE (position)
PUBLISHED = {
    ("dnf", "frozen"): {"RelGT (paper)": 75.87, "best independent re-run": 73.22},
    ("top3", "frozen"): {"RelGNN (paper)": 85.69, "human": 82.40, "best independent re-run": 81.08},
    ("position", "frozen"): {"RelGNN (paper)": 3.798, "best independent re-run": 3.762},
    ("dnf", "seed-time"): {"KumoRFM-2": 84.59, "best leaderboard entry": 83.27, "Relational Transformer": 82.77},
    ("top3", "seed-time"): {"KumoRFM-2": 92.18, "best leaderboard entry": 93.57, "Relational Transformer": 91.71},
    ("position", "seed-time"): {"KumoRFM-2": 2.854, "best leaderboard entry": 2.417, "Relational Transformer": 2.646},
}
PACKAGES = ("torch", "duckdb", "lightgbm", "scikit-learn", "numpy")


def helper(task: EntityTask, label: str) -> EntityTask:
    """A regression about the same drivers, moments and horizon; all helpers ask about the same rows."""
    sql = f"""
    SELECT t.timestamp, s.driverId, {label} AS label
    FROM timestamps t JOIN results s ON s.date > t.timestamp AND s.date <= t.timestamp + {{horizon}}
    GROUP BY t.timestamp, s.driverId HAVING mean(nullif(s.grid, 0)) IS NOT NULL"""
    settings = {**task.to_dict(), "sql": sql, "kind": "regression", "metric": "mae"}
    settings.pop("task")
    return EntityTask(**settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the nine CSV files")
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--regime", choices=("frozen", "seed-time"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--reach", type=float, default=30.0, help="years of training rows before an origin")
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="which are tried", metavar="M"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scores", type=Path, help="file that keeps the backtests, so that a stopped run goes on")
    parser.add_argument("--no-test", action="store_true", help="only the backtests")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start = time.monotonic()
    db = f1.connect(arguments.folder, progress=False)
    task = TASKS[arguments.task](regime=arguments.regime)
    graph = relgraph.build_graph(db, fit_until=task.val_time, text=None, progress=False)
    helpers = [helper(task, label) for label in HELPERS]
    scale = 1 if task.kind == "regression" else 100
    backtest = Backtest(db, graph, task, helpers=helpers, copies=arguments.copies, aggregates=AGGREGATES)
    models = {name: replaced(model, arguments.reach) for name, model in MODELS.items() if name in arguments.models}
    tried = known_scores(arguments.scores, models)
    for name in [name for name in models if name not in tried]:
        scores = {o: scale * backtest.score(models[name], o)[task.metric] for o in ORIGINS[arguments.task]}
        tried[name] = {"mean": statistics.mean(scores.values()), "origins": scores, "settings": models[name].to_dict()}
        sys.stderr.write(
            f"{name:42s} {tried[name]['mean']:.3f} {list(scores.values())} {time.monotonic() - start:.0f} s\n"
        )
        if arguments.scores:
            arguments.scores.write_text(json.dumps({"tried": tried}))
    better = max if task.mode == "max" else min
    chosen = better(tried, key=lambda name: tried[name]["mean"])
    result: dict[str, Any] = {
        "task": f"rel-f1 driver-{arguments.task}",
        "regime": task.regime,
        "metric": f"{'MAE' if task.kind == 'regression' else 'AUROC x 100'} on test",
        "published": PUBLISHED[arguments.task, task.regime],
        "chosen": chosen,
        "tried": tried,
    }
    if not arguments.no_test:
        runs: list[dict[str, Any]] = []
        runs_seed = 0
        for seed in arguments.seeds:
            # only lags are drawn anew, and only the frozen regime has them
            if task.regime == "frozen" and seed != runs_seed:
                settings = {"copies": arguments.copies, "seed": seed, "aggregates": AGGREGATES}
                backtest, runs_seed = Backtest(db, graph, task, helpers=helpers, **settings), seed
            runs.append({"seed": seed, **backtest.score(models[chosen], task.test_time, seed)})
            sys.stderr.write(f"test, seed {seed}: {runs[-1]} {time.monotonic() - start:.0f} s\n")
        found = [scale * run[task.metric] for run in runs]
        result |= {
            "mean": statistics.mean(found),
            "sd": statistics.stdev(found) if len(found) > 1 else None,
            "runs": runs,
        }
    output = arguments.output or RESULTS / f"rel_f1_tables_{arguments.task}_{task.regime.replace('-', '_')}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result | about(arguments, task, db, time.monotonic() - start), indent=1) + "\n")
    sys.stdout.write(f"{result['task']} {task.regime}: {chosen}, backtests {tried[chosen]['mean']:.3f}, ")
    sys.stdout.write(f"test {result.get('mean', float('nan')):.3f} (sd {result.get('sd') or 0:.3f})\n")


def known_scores(path: Path | None, models: dict[str, TableModel]) -> dict[str, Any]:
    """Backtests of an earlier run that was stopped, as far as they are of the same models."""
    if path is None or not path.exists():
        return {}
    found = json.loads(path.read_text())["tried"]
    return {name: row for name, row in found.items() if name in models and row["settings"] == models[name].to_dict()}


def replaced(model: TableModel, reach: float) -> TableModel:
    """The model with training rows of so many years."""
    return TableModel(**{**model.to_dict(), "parts": model.parts, "reach": reach})


def about(arguments: argparse.Namespace, task: EntityTask, db: relgraph.Database, seconds: float) -> dict[str, Any]:
    """How it was measured."""
    return {
        "selection": "best mean over the origins, one seed; the test set was asked by the chosen model only, trained "
        "again at the test time on the labels of train and val",
        "seeds": "of the boosting and, in the frozen regime, of the lags of the training copies; the rest has no seed",
        "helpers": list(HELPERS),
        "aggregates": AGGREGATES,
        "copies": arguments.copies,
        "asked": "models so named read how many rows are asked about at the moment and how often the driver was; "
        "these seeds are chosen by the future, here as upstream, and the columns carry that choice",
        "rows": {split: len(task.seeds(db, split)) for split in ("train", "val", "test")},
        "command": f"python benchmarks/{Path(__file__).name} FOLDER --task {arguments.task} --regime {task.regime} "
        f"--reach {arguments.reach:g} --copies {arguments.copies} --seeds {' '.join(map(str, arguments.seeds))}"
        + ("" if len(arguments.models) == len(MODELS) else f" --models {shlex.join(arguments.models)}"),
        "seconds": round(seconds),
        "threads": arguments.threads,
        "machine": f"{platform.machine()}, {platform.system()}, CPU",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


if __name__ == "__main__":
    main()

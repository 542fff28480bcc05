"""One task each on Chinook and Northwind: will a customer order again? All baselines of relgraph.baselines.compare.

    python benchmarks/chinook_northwind.py ../shared/data/db

Both are small: 59 customers with 412 invoices, 93 customers with 830 orders. The figures are noisy; the files say on
how many rows they stand. Chinook's invoices were generated on a schedule, seven a customer with the same gaps, which
days since the last ones tell: its figures say that this is found, and nothing about customers.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import relgraph
from relgraph.baselines import compare
from relgraph.tasks import EntityTask

RESULTS = Path(__file__).parent / "results"
SHOPS: dict[str, dict[str, Any]] = {
    "chinook": {
        "note": "the invoices of this sample were generated on a schedule, which days since the last ones tell",
        "times": {"Invoice": "InvoiceDate"},
        "task": {
            "entity_table": "Customer",
            "of": "Invoice",
            "horizon": "90 days",
            "val_time": "2023-12-25",
            "test_time": "2024-12-20",
            "num_eval_times": 4,
        },
    },
    "northwind": {
        "note": "a small database: differences of a few points of AUROC are noise",
        "times": {"Orders": "OrderDate"},
        "task": {
            "entity_table": "Customers",
            "of": "Orders",
            "horizon": "30 days",
            "val_time": "1997-11-01",
            "test_time": "1998-02-01",
            "num_eval_times": 3,
        },
    },
}
GNN = {"channels": 32, "encoder_layers": 2, "epochs": 10, "batch_size": 128, "num_neighbors": (32, 16)}
SEARCH = ({"num_leaves": 4, "min_child_samples": 20, "learning_rate": 0.03, "feature_fraction": 0.3},)
OPTIONS: dict[str, dict[str, Any]] = {"gnn": GNN, "boosting": {"search": SEARCH}, "aggregates": {"max_columns": 150}}
PACKAGES = ("torch", "torch-geometric", "duckdb", "lightgbm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of chinook.sqlite and northwind.sqlite")
    parser.add_argument("--shops", nargs="+", choices=SHOPS, default=list(SHOPS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.shops:
        start = time.monotonic()
        found, share = measure(arguments.folder / f"{name}.sqlite", SHOPS[name], arguments.seeds)
        best = found.best
        result = {
            "database": name,
            "question": "will a customer order again within the horizon?",
            **json.loads(found.to_json()),
            "chosen": None if best is None else best.name,
            "share_of_positives": share,
            "settings": {"gnn": GNN, "boosting": list(SEARCH), "aggregates": OPTIONS["aggregates"]},
            "note": SHOPS[name]["note"],
            "command": f"python benchmarks/{Path(__file__).name} FOLDER --shops {name} "
            f"--seeds {' '.join(map(str, arguments.seeds))}",
            "seconds": round(time.monotonic() - start),
            "threads": arguments.threads,
            "machine": f"{platform.machine()}, {platform.system()}, CPU",
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        }
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        sys.stdout.write(f"{name}\n{found}\n")


def measure(path: Path, shop: dict[str, Any], seeds: list[int]) -> tuple[Any, dict[str, float]]:
    """The comparison, and how often customers do order again in each split."""
    with relgraph.connect(f"sqlite:///{path.resolve()}", times=shop["times"], progress=False) as db:
        task = EntityTask.exists(db, **shop["task"])
        graph = relgraph.build_graph(db, fit_until=task.val_time, text=None, progress=False)
        found = compare(db, graph, task, seeds=seeds, options=OPTIONS, progress=False)
        share = {split: float(task.seeds(db, split).label.mean()) for split in ("train", "val", "test")}
    return found, share


if __name__ == "__main__":
    main()

"""The demo as a person runs it: its figures and how long it takes. Writes benchmarks/results/demo.json.

python benchmarks/bench_demo.py [--out demo-out]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from relgraph.demo.run import run_demo

RESULT = Path(__file__).parent / "results" / "demo.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-out"))
    start = time.perf_counter()
    found = run_demo(out=parser.parse_args().out)
    seconds = time.perf_counter() - start
    print(found)
    assert found.links is not None
    result = {
        "benchmark": "relgraph demo on the generated shop",
        "command": "python benchmarks/bench_demo.py",
        "rows": found.graph.num_nodes,
        "churn": dict(found.entities.scores),
        "links": {name: dict(metrics) for name, metrics in found.links.scores},
        "link_test_statements": found.links.counts[3],
        "seconds": seconds,
        "seconds_by_step": found.seconds,
        "versions": {name: version(name) for name in ("relgraph", "torch", "torch-geometric", "duckdb", "lightgbm")},
        "machine": {
            "cpu_count": os.cpu_count(),
            "threads": 1,
            "load_average": os.getloadavg(),
            "system": platform.system(),
        },
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

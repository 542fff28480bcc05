"""The long proof: every property test with 10,000 cases and every kill test, summed up in results/soak.json.

python benchmarks/soak.py [--workers 2] [--cases 10000] [--only leaks]

``--only leaks`` runs the properties of sampling and time alone and writes results/soak_leaks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "soak.json"
SELECTIONS = {"properties": ["-m", "hypothesis"], "kills": ["-m", "slow", "-k", "kill"]}
LEAKS = {"leaks": ["tests/sampling/test_leaks.py", "-m", "hypothesis"]}


def run(selection: list[str], workers: int, cases: int) -> dict[str, object]:
    """One pytest run; returns its counts and duration."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", str(workers), "--timeout", "14400", f"--junitxml={report}"]
        environment = {**os.environ, "RELGRAPH_HYPOTHESIS": str(cases), "RELGRAPH_KILLS": "150"}
        start = time.perf_counter()
        code = subprocess.run([*command, *selection], cwd=ROOT, env=environment).returncode
        if code not in (0, 1) or not report.exists():  # 5: nothing was selected
            raise SystemExit(f"pytest {' '.join(selection)} ended with exit code {code}; nothing is written")
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314
    count = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")}
    return {**count, "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--only", choices=["leaks"])
    arguments = parser.parse_args()
    chosen, output = (LEAKS, RESULT.with_name("soak_leaks.json")) if arguments.only else (SELECTIONS, RESULT)
    runs = {name: run(selection, arguments.workers, arguments.cases) for name, selection in chosen.items()}
    failed = sum(int(str(r["failures"])) + int(str(r["errors"])) for r in runs.values())
    result = {
        "name": "soak",
        "command": f"python benchmarks/soak.py --only {arguments.only} --cases {arguments.cases}"
        if arguments.only
        else f"make soak ({arguments.cases:,} cases per property)",
        "cases_per_property": arguments.cases,
        "runs": runs,
        "passed": failed == 0,
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("relgraph", "torch", "hypothesis", "duckdb", "numpy")},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")
    print(output.relative_to(ROOT), "written:", f"{failed} failed" if failed else "all passed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()

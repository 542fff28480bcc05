"""The GPU benchmark runs, on the CPU at tiny sizes, and finds every kernel right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu" / "run.py"


@pytest.mark.slow
def test_every_section_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--out", tmp_path, "--interpret"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    result = json.loads((tmp_path / "gpu.json").read_text())
    checks = {name: section for name, section in result.items() if name.startswith("check ")}
    assert len(checks) == 10
    assert all(section["wrong"] == 0 for section in checks.values())
    assert result["one_to_n_loss"]["B 5"]["triton"]["ms"] > 0

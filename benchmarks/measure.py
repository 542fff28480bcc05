"""What every benchmark does alike: sides take turns, and a section of a result file says how it came about."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = ["in_turn", "machine", "merge", "processor", "versions"]


def in_turn(sides: Mapping[str, Callable[[], Any]], repeats: Mapping[str, int]) -> dict[str, Any]:
    """Seconds of every side, taken in turn after a run that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for name, side in sides.items():
        if repeats[name] > 2:
            side()
    for number in range(max(repeats.values())):
        for name, side in sides.items():
            if number < repeats[name]:
                start = time.perf_counter()
                side()
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = {name: value / median["ours"] for name, value in median.items() if name != "ours"}
    return {"median_seconds": median, "least_seconds": {n: min(t) for n, t in seconds.items()}, "ratio": ratio}


def machine() -> dict[str, Any]:
    """What it ran on, and what else ran there."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "memory_gib": round(memory / 2**30, 1),
        "load_average": os.getloadavg(),
        "system": platform.system(),
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """Of Python and of those libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the peer, where it is skipped
            continue
    return found


def merge(
    output: Path,
    name: str,
    section: dict[str, Any],
    benchmark: str,
    libraries: Sequence[str],
) -> None:
    """Replace one section of the result file."""
    result = json.loads(output.read_text()) if output.exists() else {"benchmark": benchmark}
    section |= {
        "command": " ".join(["python", *(_without_place(word) for word in sys.argv)]),
        "versions": versions(libraries),
        "machine": machine(),
    }
    result.setdefault("sections", {})[name] = section
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    fresh.write_text(json.dumps(result, indent=1) + "\n")
    fresh.replace(output)
    print(json.dumps({name: section}))


def _without_place(word: str) -> str:
    """A word of the command line without what tells where it ran."""
    if "://" in word:
        return f"{word.partition('://')[0]}://..."
    path = Path(word)
    return path.name if path.is_absolute() else word

"""From three tables to a graph: ours against RelBench's, in seconds and memory. Writes results/bench_build.json.

    python benchmarks/bench_build.py [--rows 1000000] [--skip-peer]
    python benchmarks/bench_build.py --large 100000000 --folder DIR
    python benchmarks/bench_build.py --postgres postgresql://user@host/database

Equality of edges, times, values and statistics is asserted before anything is timed, and both sides run in turn. Ours
counts everything from the Parquet files (or a DuckDB file) on: reading, finding what columns mean, checking keys, the
graph, and both directions of both keys sorted by time. RelBench's starts with pandas frames in memory whose keys are
row numbers already, is told what columns mean, and counts make_pkey_fkey_graph alone. Every kind of run replaces its
own section of the result file and leaves the others.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from build_large import build_large
from build_postgres import read_postgres
from build_shop import write_duckdb, write_parquet
from build_sides import ours, read_frames, require_equal, side_memory, theirs
from measure import merge

RESULT = Path(__file__).parent / "results" / "bench_build.json"
BENCHMARK = "tables to a temporal graph"
LIBRARIES = ("relgraph", "duckdb", "torch", "numpy", "pandas", "pyarrow", "relbench", "pytorch-frame")


def peer_section(rows: int, repeats: int, skip_peer: bool) -> dict[str, Any]:
    """Ours from Parquet and from DuckDB, RelBench's from frames; seconds, and memory in processes of their own."""
    sides = ("parquet", "duckdb") if skip_peer else ("parquet", "duckdb", "relbench")
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    with TemporaryDirectory() as place:
        folder, file = write_parquet(Path(place) / "shop", rows), write_duckdb(Path(place) / "shop.duckdb", rows)
        frames = {} if skip_peer else read_frames(folder)
        work = {"parquet": lambda: ours(folder), "duckdb": lambda: ours(file), "relbench": lambda: theirs(frames)}
        if not skip_peer:
            peer = theirs(frames)
            for source in (folder, file):
                require_equal(ours(source)[0], peer, frames)
            del peer
        # in turn, so that other work on the machine meets all sides alike
        for _ in range(repeats):
            for side in sides:
                start, used = time.perf_counter(), time.process_time()
                made = work[side]()
                seconds[side].append(time.perf_counter() - start)
                processor[side].append(time.process_time() - used)
                del made
        memory = {"parquet": side_memory("ours", folder), "duckdb": side_memory("ours", file)}
        if not skip_peer:
            memory["relbench"] = side_memory("theirs", folder)
    median = {side: statistics.median(times) for side, times in seconds.items()}
    result: dict[str, Any] = {
        "rows": rows,
        "seconds": seconds,
        "processor_seconds": processor,
        "median_seconds": median,
        "memory_bytes": memory,
    }
    if not skip_peer:
        peak = {side: found["peak_above_imports"] for side, found in memory.items()}
        result |= {
            "equal": True,
            "ratio": {side: median["relbench"] / median[side] for side in ("parquet", "duckdb")},
            "memory_share": {side: peak[side] / peak["relbench"] for side in ("parquet", "duckdb")},
        }
    return result


def growth_section(rows: int, repeats: int) -> dict[str, Any]:
    """Ours from Parquet at one size and at ten times that."""
    median = {}
    for size in (rows, 10 * rows):
        with TemporaryDirectory() as place:
            folder, times = write_parquet(Path(place), size), []
            for _ in range(repeats + 1):  # the first one warms up
                start = time.perf_counter()
                made = ours(folder)
                times.append(time.perf_counter() - start)
                del made
            median[size] = statistics.median(times[1:])
    return {"median_seconds": median, "rows_times": 10, "seconds_times": median[10 * rows] / median[rows]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="reviews")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-peer", action="store_true", help="ours alone")
    parser.add_argument("--skip-growth", action="store_true", help="not ten times the rows")
    parser.add_argument("--large", type=int, metavar="ROWS", help="build a saved graph of so many reviews")
    parser.add_argument("--folder", type=Path, help="where --large writes its tables, snapshot and graph")
    parser.add_argument("--keep", action="store_true", help="leave what --large wrote")
    parser.add_argument("--postgres", metavar="URL", help="a server on which a database can be made and dropped")
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    if args.large is not None:
        if args.folder is None:
            parser.error("--large needs --folder")
        folder = args.folder / "bench_build"
        try:
            merge(args.output, "large", build_large(folder, args.large), BENCHMARK, LIBRARIES)
        finally:
            if not args.keep:
                shutil.rmtree(folder, ignore_errors=True)
    elif args.postgres is not None:
        merge(args.output, "postgres", read_postgres(args.postgres, args.rows, args.repeats), BENCHMARK, LIBRARIES)
    else:
        merge(args.output, "peer", peer_section(args.rows, args.repeats, args.skip_peer), BENCHMARK, LIBRARIES)
        if not args.skip_growth:
            merge(args.output, "growth", growth_section(args.rows, args.repeats), BENCHMARK, LIBRARIES)


if __name__ == "__main__":
    main()

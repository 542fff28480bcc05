"""The large run of bench_build.py: Parquet to a saved graph, with a snapshot on disk and little memory."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import torch
from build_shop import BYTES_PER_ROW, KEYS, TIMES, counts_and_sums, rows_that_fit, write_parquet
from build_sides import resident, watched_memory

import relgraph
from relgraph.data import build, encode
from relgraph.data.graph import HeteroGraph
from relgraph.data.sql import literal

STAGES = {
    "keys and times": (build, "read_rows"),
    "keys checked": (build, "index_keys"),
    "keys to edges": (build, "read_links"),
    "types": (build, "understand_columns"),
    "categories": (encode, "_count_categories"),
    "statistics": (encode, "_column_stats"),
    "encoding": (encode, "_scan"),
    "save": (HeteroGraph, "save"),
    "load": (HeteroGraph, "load"),
}


@contextmanager
def stage_seconds() -> Iterator[dict[str, float]]:
    """The time that every stage of a build takes."""
    seconds = dict.fromkeys(STAGES, 0.0)

    def timed(name: str, work: Any) -> Any:
        @functools.wraps(work)
        def wrapper(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return work(*args, **options)
            finally:
                seconds[name] += time.perf_counter() - start

        return wrapper

    with ExitStack() as stack:
        for name, (place, function) in STAGES.items():
            stack.enter_context(patch.object(place, function, timed(name, getattr(place, function))))
        yield seconds


def build_large(folder: Path, asked: int) -> dict[str, Any]:
    """Write the tables, then build in a process of its own.

    Raises:
        SystemExit: If there is disk for less than a million reviews, or the folder is there already.
    """
    if folder.exists():
        raise SystemExit(f"{folder} exists: take it away first")
    folder.mkdir(parents=True)
    rows, scaled = rows_that_fit(folder, asked)
    if scaled:
        print(scaled, file=sys.stderr)
    if not rows:
        raise SystemExit("too little disk")
    start = time.perf_counter()
    parquet = write_parquet(folder / "parquet", rows)
    written = time.perf_counter() - start
    out = subprocess.run([sys.executable, __file__, str(folder)], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(out.stdout.splitlines()[-1])
    sizes = {"parquet": _size(parquet), "snapshot": _size(folder / "shop.duckdb"), "graph": _size(folder / "graph")}
    return {
        "asked_rows": asked,
        "rows": rows,
        "scaled_down": scaled or None,
        "expected_disk_bytes_per_row": BYTES_PER_ROW,
        "disk_bytes": sizes,
        "seconds_writing_parquet": written,
        **result,
    }


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))


def require_whole(graph: HeteroGraph, parquet: Path) -> None:
    """The graph adds up to what DuckDB finds in the files, and a thousand rows are the same.

    Raises:
        AssertionError: Naming what differs.
    """
    with duckdb.connect() as connection:
        expected = counts_and_sums(connection, parquet)
        store, features = graph.nodes["review"], graph.nodes["review"].features
        assert features is not None, "reviews have no features"
        assert store.time is not None, "reviews have no time"
        by = {edge[1]: edges.edge_index for edge, edges in graph.edges.items()}
        rating, votes, paid = (features.stats[name] for name in ("rating", "votes", "paid"))
        found = {
            "rows": store.num_nodes,
            "customers": by["customer_id"].size(1),
            "products": by["product_id"].size(1),
            "product_sum": int(by["product_id"][1].sum()),
            "rating": rating["mean"],
            "least": votes["quantiles"][0],
            "most": votes["quantiles"][4],
            "paid": paid["mean"],
            "first": int(store.time.min()),
        }
        for name, value in found.items():
            assert abs(value - expected[name]) <= 1e-9 * max(abs(expected[name]), 1), f"{name}: {value}"
        step = max(store.num_nodes // 1000, 1)
        rows = connection.execute(
            "SELECT review_id, customer_id, epoch_us(review_time), votes, condition FROM "
            f"read_parquet({literal(str(parquet / 'review.parquet'))}) WHERE review_id % {step} = 0 ORDER BY review_id"
        ).fetchall()
    index = torch.arange(0, store.num_nodes, step)
    kinds = [*features.stats["condition"]["categories"], None]
    same = zip(
        graph.node_keys("review", index),
        by["customer_id"][1][index].tolist(),
        store.time[index].tolist(),
        features.column("votes")[index].int().tolist(),
        [kinds[code] for code in features.column("condition")[index].tolist()],
        strict=True,
    )
    assert list(same) == rows, "rows differ"


def main() -> None:
    folder = Path(sys.argv[1])
    imports = resident()
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    with watched_memory() as connecting:
        source, snapshot = folder / "parquet", folder / "shop.duckdb"
        db = relgraph.connect(source, keys=KEYS, times=TIMES, snapshot=snapshot, progress=False)
    seconds["connect and snapshot"] = time.perf_counter() - start
    with db, watched_memory() as building, stage_seconds() as stages:
        start = time.perf_counter()
        graph = relgraph.build_graph(db, save_to=folder / "graph", progress=False)
        whole = time.perf_counter() - start
    seconds |= stages
    seconds["other"] = whole - sum(stages.values())
    require_whole(graph, source)
    rows = graph.nodes["review"].num_nodes
    result = {
        "equal": True,
        "seconds": seconds,
        "total_seconds": sum(seconds.values()),
        "rows_per_second": {name: rows / value for name, value in seconds.items() if value > 0},
        "anonymous_bytes": {
            "after_imports": imports["anonymous"],
            "connecting": connecting["anonymous"],
            "building": building["anonymous"],
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

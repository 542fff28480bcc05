"""The two sides of bench_build.py on the same three tables, and the proof that they say the same."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from build_shop import KEYS, KINDS, TABLES, TIMES, write_parquet

import relgraph
from relgraph.data.schema import SemanticType
from relgraph.sampling.adjacency import Adjacency

Peer = tuple[Any, dict[str, dict[str, dict[Any, Any]]]]


def ours(source: Path, **options: Any) -> tuple[relgraph.HeteroGraph, list[Adjacency]]:
    """Connect to the files, build the graph, and sort both directions of both keys by time."""
    with relgraph.connect(source, keys=KEYS, times=TIMES, progress=False) as db:
        graph = relgraph.build_graph(db, progress=False, **options)
    return graph, [Adjacency.from_graph(graph, edge, reverse) for edge in graph.edges for reverse in (False, True)]


def read_frames(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables as RelBench takes them: it reads times as nanoseconds."""
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    for frame in frames.values():
        for name in frame.select_dtypes("datetime").columns:
            frame[name] = frame[name].astype("datetime64[ns]")
    return frames


def theirs(frames: dict[str, pd.DataFrame]) -> Peer:
    """RelBench's graph of frames in memory whose keys are already row numbers; it is told what each column is."""
    from relbench.base import Database, Table
    from relbench.modeling.graph import make_pkey_fkey_graph
    from torch_frame import stype

    tables = {
        "customer": Table(frames["customer"], {}, "customer_id", None),
        "product": Table(frames["product"], {}, "product_id", None),
        "review": Table(
            frames["review"], {"customer_id": "customer", "product_id": "product"}, "review_id", "review_time"
        ),
    }
    kinds = {table: {name: stype(kind) for name, kind in columns.items()} for table, columns in KINDS.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Peer = make_pkey_fkey_graph(Database(tables), kinds, cache_dir=None)
    return made


def require_equal(graph: relgraph.HeteroGraph, peer: Peer, frames: dict[str, pd.DataFrame]) -> None:
    """The same edges, times, values and statistics.

    Raises:
        AssertionError: Naming what differs.
    """
    data, stats = peer
    for source, relation, target in graph.edges:
        mine = graph.edges[source, relation, target].edge_index
        order = torch.from_numpy(np.lexsort((mine[1].numpy(), mine[0].numpy())))
        same = torch.equal(mine[:, order], data[source, f"f2p_{relation}", target].edge_index)
        assert same, f"edges of {source}.{relation} differ"
    time = graph.nodes["review"].time
    assert time is not None, "reviews have no time"
    assert torch.equal(time // 1_000_000, data["review"].time), "times differ"
    for table, kinds in KINDS.items():
        features, frame = graph.nodes[table].features, data[table].tf
        assert features is not None, f"{table} has no features"
        assert set(features.column_names) == set(kinds), f"{table}: other columns are features"
        places = {name: (kind, i) for kind, names in frame.col_names_dict.items() for i, name in enumerate(names)}
        for name, kind in kinds.items():
            assert name in features.names[SemanticType(kind)], f"{table}.{name} is not {kind}"
            theirs_kind, i = places[name]
            values = frame.feat_dict[theirs_kind][:, i]
            _require_same_column(f"{table}.{name}", kind, features, name, values, stats[table][name])
            if kind == "timestamp":
                _require_same_median(f"{table}.{name}", frames[table][name], features.stats[name], stats[table][name])


def _require_same_column(where: str, kind: str, features: Any, name: str, values: Any, stats: dict[Any, Any]) -> None:
    mine, own = features.column(name), features.stats[name]
    found = {stat.name: value for stat, value in stats.items()}
    if kind == "numerical":
        assert torch.equal(mine.isnan(), values.isnan()), f"{where}: other values are missing"
        assert torch.equal(mine.nan_to_num(), values.nan_to_num()), f"{where}: values differ"
        expected = [found["MEAN"], found["STD"], *found["QUANTILES"]]
        assert np.allclose([own["mean"], own["std"], *own["quantiles"]], expected, rtol=1e-9, atol=1e-9), (
            f"{where}: statistics differ"
        )
    elif kind == "categorical":
        names, counts = found["COUNT"]
        assert dict(zip(own["categories"], own["counts"], strict=True)) == dict(zip(names, counts, strict=True)), (
            f"{where}: categories or their counts differ"
        )
        # categories of equal count may stand in another order
        number = {category: i for i, category in enumerate(own["categories"])}
        renumbered = torch.tensor([number[category] for category in names] + [-1])  # -1 is the last one
        assert torch.equal(mine, renumbered[values]), f"{where}: codes differ"
    else:
        assert torch.equal(mine.long(), values.long()), f"{where}: times differ"
        for stat in ("oldest", "newest"):
            assert list(own[stat]) == found[f"{stat.upper()}_TIME"].tolist(), f"{where}: {stat} differs"


def _require_same_median(where: str, column: pd.Series[Any], own: Any, stats: dict[Any, Any]) -> None:
    """Of the two in the middle of an even number, ours is the earlier and theirs the later."""
    ordered = column.dropna().sort_values()
    middle = {"ours": ordered.iloc[(len(ordered) - 1) // 2], "theirs": ordered.iloc[len(ordered) // 2]}
    parts = {
        side: [t.year, t.month - 1, t.day - 1, t.weekday(), t.hour, t.minute, t.second] for side, t in middle.items()
    }
    found = {stat.name: value for stat, value in stats.items()}
    assert {"ours": list(own["median"]), "theirs": found["MEDIAN_TIME"].tolist()} == parts, f"{where}: median differs"


def resident() -> dict[str, int]:
    """Bytes of this process that lie in memory now, at most, and those that no file stands behind."""
    names = {"VmRSS": "now", "VmHWM": "peak", "RssAnon": "anonymous"}
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {names[name]: int(lines[name].split()[0]) * 1024 for name in names}


def side_memory(side: str, source: Path) -> dict[str, int]:
    """Peak memory of one side in a process of its own."""
    command = [sys.executable, __file__, side, str(source)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, int] = json.loads(out.stdout.splitlines()[-1])
    return found


@contextmanager
def watched_memory(seconds: float = 0.02) -> Iterator[dict[str, int]]:
    """The largest anonymous memory while the block runs, looked at again and again by a thread."""
    found, over = {"anonymous": resident()["anonymous"]}, threading.Event()

    def watch() -> None:
        while not over.wait(seconds):
            found["anonymous"] = max(found["anonymous"], resident()["anonymous"])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found["anonymous"] = max(found["anonymous"], resident()["anonymous"])


def _warm(side: str) -> None:
    """Import whatever a side imports late, on tables of a few rows, so that only the tables count."""
    with TemporaryDirectory() as place:
        folder = write_parquet(Path(place), 2000)
        if side == "ours":
            ours(folder)
        else:
            theirs(read_frames(folder))


def main() -> None:
    side, source = sys.argv[1], Path(sys.argv[2])
    _warm(side)
    before = resident()["now"]
    frames = read_frames(source) if side == "theirs" else {}
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.perf_counter()
    kept = theirs(frames) if side == "theirs" else ours(source)
    seconds, peak = time.perf_counter() - start, resident()["peak"]
    print(json.dumps({"imports": before, "peak": peak, "peak_above_imports": peak - before, "seconds": seconds}))
    del kept


if __name__ == "__main__":
    main()

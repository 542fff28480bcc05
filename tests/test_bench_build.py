"""The benchmark of the build runs at a small size, and its proof of equality can fail."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.adapters.servers import ServerDatabase
from tests.adapters.servers import postgresql as postgresql

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ROWS = 2000


def run(output: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / "bench_build.py"), *options, "--repeats", "1", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert str(output.parent) not in output.read_text(), "a place on this machine is in the result"
    sections: dict[str, Any] = json.loads(output.read_text())["sections"]
    return sections


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import build_large
    import build_shop
    import build_sides

    yield SimpleNamespace(large=build_large, shop=build_shop, sides=build_sides)
    for name in ("build_large", "build_shop", "build_sides"):
        del sys.modules[name]


def test_both_sides_are_equal_timed_and_measured(tmp_path: Path) -> None:
    pytest.importorskip("relbench")
    sections = run(tmp_path / "result.json", "--rows", str(ROWS), "--skip-growth")
    assert sections["peer"]["equal"] is True
    assert sections["peer"]["ratio"].keys() == sections["peer"]["memory_share"].keys() == {"parquet", "duckdb"}
    assert all(found["peak_above_imports"] > 0 for found in sections["peer"]["memory_bytes"].values())


def test_sections_are_written_one_by_one(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    run(output, "--rows", str(ROWS), "--skip-peer")
    sections = run(output, "--large", str(ROWS), "--folder", str(tmp_path / "room"))
    assert sections.keys() == {"peer", "growth", "large"}
    large = sections["large"]
    assert (large["rows"], large["scaled_down"], large["equal"]) == (ROWS, None, True)
    stages = {"keys and times", "keys to edges", "types", "statistics", "encoding", "save"}
    assert all(large["seconds"][stage] > 0 for stage in stages)
    assert large["anonymous_bytes"]["building"] > 0
    assert not (tmp_path / "room" / "bench_build").exists()


@pytest.mark.servers
def test_postgresql_is_read_both_ways_and_nothing_stays(tmp_path: Path, postgresql: ServerDatabase) -> None:
    ours = "SELECT datname FROM pg_database WHERE datname LIKE 'relgraph_bench_%' ORDER BY 1"
    with postgresql.open() as connection:
        before = connection.execute(ours).fetchall()
    found = run(tmp_path / "result.json", "--rows", str(ROWS), "--postgres", postgresql.url)["postgres"]
    assert found["equal"] is True
    assert found["rows"] == ROWS + ROWS // 10 + ROWS // 50
    with postgresql.open() as connection:
        assert connection.execute(ours).fetchall() == before


def test_too_little_disk_takes_fewer_rows_and_says_so(benchmark: SimpleNamespace, tmp_path: Path) -> None:
    rows, why = benchmark.shop.rows_that_fit(tmp_path, 10**15)
    assert rows < 10**15
    assert rows % 1_000_000 == 0
    assert "are free" in why
    assert benchmark.shop.rows_that_fit(tmp_path, ROWS) == (ROWS, "")


Change = Callable[[Any, dict[str, Any]], None]


def later(data: Any, stats: dict[str, Any]) -> None:
    data["review"].time = data["review"].time + 1


def other_edge(data: Any, stats: dict[str, Any]) -> None:
    data["review", "f2p_product_id", "product"].edge_index[1, 5] ^= 1


def other_number(data: Any, stats: dict[str, Any]) -> None:
    next(iter(data["product"].tf.feat_dict.values()))[3, 0] += 1


def other_mean(data: Any, stats: dict[str, Any]) -> None:
    mean = next(stat for stat in stats["review"]["votes"] if stat.name == "MEAN")
    stats["review"]["votes"][mean] += 1e-3


def other_count(data: Any, stats: dict[str, Any]) -> None:
    next(iter(stats["review"]["condition"].values()))[1][0] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (later, "times differ"),
        (other_edge, "edges of review.product_id differ"),
        (other_number, r"product\.(price|brand)"),
        (other_mean, "review.votes: statistics differ"),
        (other_count, "review.condition: categories or their counts differ"),
    ],
)
def test_the_proof_of_equality_can_fail(
    benchmark: SimpleNamespace, tmp_path: Path, change: Change, message: str
) -> None:
    pytest.importorskip("relbench")
    folder = benchmark.shop.write_parquet(tmp_path, ROWS)
    graph, frames = benchmark.sides.ours(folder)[0], benchmark.sides.read_frames(folder)
    data, stats = benchmark.sides.theirs(frames)
    benchmark.sides.require_equal(graph, (data, stats), frames)
    stats = copy.deepcopy(stats)
    change(data, stats)
    with pytest.raises(AssertionError, match=message):
        benchmark.sides.require_equal(graph, (data, stats), frames)


def test_the_proof_of_the_large_run_can_fail(benchmark: SimpleNamespace, tmp_path: Path) -> None:
    folder = benchmark.shop.write_parquet(tmp_path, ROWS)
    graph = benchmark.sides.ours(folder)[0]
    benchmark.large.require_whole(graph, folder)
    time = graph.nodes["review"].time
    assert isinstance(time, torch.Tensor)
    time[10] += 1
    with pytest.raises(AssertionError, match="rows differ"):
        benchmark.large.require_whole(graph, folder)

"""A graph built into a folder: the same graph, nothing left behind, and the old one whole until the new one is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import relgraph
from relgraph.data import arrays
from relgraph.data.arrays import Arrays
from relgraph.errors import AdapterError
from tests.data.same_graph import require_same
from tests.data.shop import shop

ROOT = Path(__file__).parents[2]


@pytest.fixture
def always_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays lie in files too."""
    monkeypatch.setattr(arrays, "_SMALL", 1)


def contents(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("always_files")
@pytest.mark.parametrize("limit", [None, "2020-01-31"])
def test_the_graph_is_the_one_built_in_memory_and_lies_in_the_folder(tmp_path: Path, limit: str | None) -> None:
    expected = relgraph.build_graph(shop(), limit, progress=False)
    built = relgraph.build_graph(shop(), limit, save_to=tmp_path / "new" / "graph", progress=False)
    require_same(expected, built)
    require_same(expected, relgraph.HeteroGraph.load(tmp_path / "new" / "graph"))
    assert contents(tmp_path / "new" / "graph") == [".json", ".safetensors"]


@pytest.mark.slow
@pytest.mark.usefixtures("always_files")
def test_a_graph_replaces_the_one_that_was_there(tmp_path: Path) -> None:
    relgraph.build_graph(shop(), "2020-01-02", save_to=tmp_path, progress=False)
    built = relgraph.build_graph(shop(), save_to=tmp_path, progress=False)
    assert built.fit_until is None
    require_same(built, relgraph.HeteroGraph.load(tmp_path))
    assert contents(tmp_path) == [".json", ".safetensors"]


def test_large_arrays_are_mapped_files_without_a_name(tmp_path: Path) -> None:
    place = Arrays(tmp_path)
    large, small = place.empty((1 << 18, 2), torch.int64), place.full((3,), 5, torch.int16)
    large.fill_(7)
    assert large.shape == (1 << 18, 2)
    assert small.tolist() == [5, 5, 5]
    assert list(tmp_path.iterdir()) == []
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert len(mapped) == 1
    assert mapped[0].endswith("(deleted)")
    assert int(large.sum()) == 7 << 19
    del large
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdapterError, match="cannot make the folder"):
        relgraph.build_graph(shop(), save_to=tmp_path / "file" / "graph", progress=False)


CHILD = """
import os, resource, signal, sys
import relgraph
from relgraph.data import arrays, build
from tests.data.shop import shop

arrays._SMALL = 1
db, folder, fault = shop(), sys.argv[1], sys.argv[2]
if fault == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
else:
    module, name = (arrays.os, "posix_fallocate") if fault == "array" else (build, fault)
    before = getattr(module, name)

    def killed(*args, **options):
        before(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, killed)
try:
    relgraph.build_graph(db, save_to=folder, progress=False)
except relgraph.errors.AdapterError as error:
    print(error)
"""


def build_with(fault: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(folder), fault]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["read_rows", "read_links", "encode_columns", "array"])
def test_a_killed_build_leaves_the_old_graph_and_nothing_else(tmp_path: Path, fault: str) -> None:
    before = relgraph.build_graph(shop(), save_to=tmp_path, progress=False)
    assert build_with(fault, tmp_path).returncode == -signal.SIGKILL
    require_same(before, relgraph.HeteroGraph.load(tmp_path))
    if fault != "array":  # killed while a file had its name
        assert contents(tmp_path) == [".json", ".safetensors"]
    relgraph.build_graph(shop(), save_to=tmp_path, progress=False)
    assert contents(tmp_path) == [".json", ".safetensors"]


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_the_old_graph(tmp_path: Path) -> None:
    before = relgraph.build_graph(shop(), save_to=tmp_path, progress=False)
    out = build_with("full", tmp_path)
    assert out.returncode == 0, out.stderr
    assert "no room for" in out.stdout
    require_same(before, relgraph.HeteroGraph.load(tmp_path))
    assert contents(tmp_path) == [".json", ".safetensors"]

"""A snapshot file holds everything or nothing, and is only used for the source it was taken of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.data.schema import ColumnSchema, TableSchema
from relgraph.errors import AdapterError, SchemaError
from tests.data.fake import FakeSource, rows


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


FRAMES = {"t": pa.table({"id": [1, 2]})}


def snapshot_meta(path: Path) -> dict[str, Any]:
    with duckdb.connect(str(path), read_only=True) as file:
        meta: dict[str, Any] = json.loads(file.execute("SELECT value FROM relgraph.snapshot").fetchall()[0][0])
    return meta


def test_a_snapshot_file_is_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("id,at\n1,2020-01-01\n2,\n")
    given: dict[str, Any] = {"keys": {"t": "id"}, "times": {"t": "at"}, "snapshot": tmp_path / "x.duckdb"}
    with connect(tmp_path / "t.csv", **given) as db:
        schema = db.schema
        assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "x.duckdb"]
    before = (tmp_path / "x.duckdb").stat()
    monkeypatch.setattr("relgraph.data.snapshot.load", None)  # nothing is read again
    with connect(tmp_path / "t.csv", **given) as db, connect(tmp_path / "t.csv", **given) as again:
        assert db.schema == schema == again.schema
        assert db.num_rows("t") == again.num_rows("t") == 2
        assert db.upto("2019-01-01").num_rows("t") == 1
        assert again.upto("2020-01-01").num_rows("t") == 2
    assert (tmp_path / "x.duckdb").stat().st_mtime_ns == before.st_mtime_ns
    assert snapshot_meta(tmp_path / "x.duckdb")["version"] == 2


def test_a_snapshot_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    (tmp_path / "t.csv").write_text("id,at\n1,2020-01-01\n")
    connect(tmp_path / "t.csv", snapshot=path).close()
    with pytest.raises(AdapterError, match=r"is a snapshot of .*t\.csv, not of frames in memory; delete it"):
        connect(FRAMES, snapshot=path)
    with pytest.raises(AdapterError, match="was taken with other keys or times"):
        connect(tmp_path / "t.csv", keys={"t": "id"}, snapshot=path)
    with pytest.raises(AdapterError, match="other content"):
        connect(tmp_path / "t.csv", tables={"t": "SELECT id FROM t"}, snapshot=path)
    (tmp_path / "t.csv").write_text("id,at\n1,2020-01-01\n2,2020-01-01\n")
    with pytest.raises(AdapterError, match="other content"):
        connect(tmp_path / "t.csv", snapshot=path)


def test_frames_are_told_apart_by_every_value(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    connect({"t": pa.table({"a": [1, 2]})}, snapshot=path).close()
    connect({"t": pa.table({"a": pa.chunked_array([[1], [2]])})}, snapshot=path).close()
    with pytest.raises(AdapterError, match="other content"):
        connect({"t": pa.table({"a": [1, 3]})}, snapshot=path)


def test_a_file_that_is_no_snapshot_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    path.write_text("my notes" * 1000)
    with pytest.raises(AdapterError, match="cannot be opened as a DuckDB file"):
        connect(FRAMES, snapshot=path)
    assert path.read_text() == "my notes" * 1000
    path.unlink()
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(AdapterError, match="is a DuckDB file but no snapshot of relgraph"):
        connect(FRAMES, snapshot=path)
    with pytest.raises(AdapterError, match=r"the folder .*none does not exist"):
        connect(FRAMES, snapshot=tmp_path / "none" / "x.duckdb")


def test_a_failed_load_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.duckdb"
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(SchemaError, match="Could not convert"):
        connect(tmp_path / "a.csv", tables={"a": "SELECT CAST('x' || a AS INTEGER) AS b FROM a"}, snapshot=path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv"]


TWO = {"one": pa.table({"a": [1, 2]}), "two": pa.table({"a": [1, 2, 3]})}


def goes_dead(table: str, attempt: int) -> None:
    if table == "two":
        raise AdapterError("the line went dead")


def ends_the_process(table: str, attempt: int) -> None:
    if table == "two":
        os._exit(3)


def test_a_source_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="the line went dead"):
        Database.from_source(FakeSource(TWO, fault=goes_dead), snapshot=tmp_path / "x.duckdb", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_dies_leaves_no_half_snapshot(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            Database.from_source(
                FakeSource(TWO, fault=ends_the_process), snapshot=tmp_path / "x.duckdb", progress=False
            )
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert not (tmp_path / "x.duckdb").exists()


def test_a_source_with_other_columns_than_it_said() -> None:
    source = FakeSource({"one": pa.table({"a": [1], "b": [2]})})
    source.schema = lambda: (TableSchema("one", (ColumnSchema("a"),)),)  # type: ignore[method-assign]
    with pytest.raises(AdapterError, match="table 'one': expected 1 columns, got 2: a, b"):
        Database.from_source(source, progress=False)


def test_what_a_dead_writer_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    pid = os.fork()
    if pid == 0:
        try:
            Database.from_source(FakeSource(TWO, fault=ends_the_process), snapshot=path, progress=False)
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) >= 1  # the half written file of the dead process
    Database.from_source(FakeSource(TWO), snapshot=path, progress=False).close()
    assert [p.name for p in tmp_path.iterdir()] == ["x.duckdb"]


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    begun, go_on = os.pipe(), os.pipe()

    def waits(table: str, attempt: int) -> None:
        if table == "two" and not waited:
            waited.append(1)
            os.write(begun[1], b"1")
            os.read(go_on[0], 1)

    waited: list[int] = []
    pid = os.fork()
    if pid == 0:
        try:
            Database.from_source(FakeSource(TWO, fault=waits), snapshot=path, progress=False).close()
            os._exit(0)
        finally:
            os._exit(1)
    os.read(begun[0], 1)
    Database.from_source(FakeSource(TWO), snapshot=path, progress=False).close()
    os.write(go_on[1], b"1")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0  # both wrote the whole of it, the last one stays
    with Database.from_source(FakeSource(TWO), snapshot=path, progress=False) as db:
        assert rows(db, "two") == [(1,), (2,), (3,)]
    assert [p.name for p in tmp_path.iterdir()] == ["x.duckdb"]


DISK_FULL = """
import resource, signal, sys
import numpy, pyarrow
import relgraph
from relgraph.data import snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
numbers = numpy.random.default_rng(1).integers(0, 2**62, int(sys.argv[2]))
path, fault = sys.argv[1], relgraph.errors.AdapterError
if not path:
    snapshot._half_of_memory = lambda: 30_000_000
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        db = relgraph.connect({"t": pyarrow.table({"a": numbers})}, snapshot=path or None, refresh=True, progress=False)
    except fault as error:
        print(error)
"""


def disk_full(path: Path | str, rows: int, *limits: int) -> list[str]:
    """The errors where a file may have so many bytes."""
    command = [sys.executable, "-c", DISK_FULL, str(path), str(rows), *map(str, limits)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_snapshot_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    connect({"t": pa.table({"a": [1, 2]})}, snapshot=path).close()
    before = path.read_bytes()
    limits = range(1_000, 3_000_000, 250_000)  # found while rows are written, at their end, and after it
    errors = disk_full(path, 300_000, *limits)
    assert len(errors) == len(limits)
    for error in errors:
        assert error.startswith(f"snapshot {path} cannot be written: "), error
        assert "what was there before is still whole" in error
        assert "rollback" not in error  # which would hide why
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.duckdb"]


@pytest.mark.slow
def test_rows_that_fit_neither_memory_nor_disk_are_said() -> None:
    (error,) = disk_full("", 5_000_000, 1_000_000)
    assert "frames in memory: the tables find no room: " in error
    assert "let TMPDIR name a folder with more, or keep them in a file with snapshot=" in error

"""A snapshot file holds everything or nothing, and is only used for the source it was taken of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.source import TableBatches
from relgraph.errors import AdapterError, SchemaError


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
    assert snapshot_meta(tmp_path / "x.duckdb")["version"] == 1


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


class Breaking:
    """A source that ends the process, or fails, in the middle of its second table."""

    name = "breaking"

    def __init__(self, how: str) -> None:
        self.how = how
        self.notes: list[str] = []

    def schema(self) -> Schema:
        return Schema(tuple(TableSchema(name, (ColumnSchema("a"),)) for name in ("one", "two")))

    def read(self, schema: Schema) -> Iterator[TableBatches]:
        for table in schema:
            yield TableBatches(table.name, pa.schema([("a", pa.int64())]), self.batches(table.name))

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1, 2]})
        if name == "two":
            if self.how == "exit":
                os._exit(3)
            raise AdapterError("the line went dead")

    def fingerprint(self) -> str:
        return ""

    def close(self) -> None:
        pass


def test_a_source_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="the line went dead"):
        Database.from_source(Breaking("raise"), snapshot=tmp_path / "x.duckdb", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_dies_leaves_no_half_snapshot(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            Database.from_source(Breaking("exit"), snapshot=tmp_path / "x.duckdb", progress=False)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert not (tmp_path / "x.duckdb").exists()


def test_a_source_with_other_columns_than_it_said() -> None:
    source = Breaking("raise")
    source.batches = lambda name: iter([pa.record_batch({"a": [1], "b": [2]})])  # type: ignore[method-assign]
    source.read = lambda schema: iter(  # type: ignore[method-assign]
        [TableBatches("one", pa.schema([("a", pa.int64()), ("b", pa.int64())]), source.batches("one"))]
    )
    with pytest.raises(AdapterError, match="table 'one': expected 1 columns, got 2: a, b"):
        Database.from_source(source, progress=False)

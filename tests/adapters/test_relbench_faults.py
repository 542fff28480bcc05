"""Writing a RelBench v3 folder that goes wrong: nothing half is left, and nothing is written over."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import relgraph
from relgraph.adapters import write_relbench
from relgraph.data.database import Database
from relgraph.errors import AdapterError, ProtocolError, SchemaError

MOMENT = dt.datetime


def opened(source: Any, **options: Any) -> Any:
    return relgraph.connect(source, progress=False, **options)


def write(db: Database, folder: Path, **options: Any) -> tuple[str, ...]:
    return write_relbench(db, folder, progress=False, **options)


def small() -> Database:
    """One table with a time."""
    frame = {"id": range(5, 25), "at": [MOMENT(2020, 1, day + 1) for day in range(20)]}
    return opened({"t": pa.table(frame)}, keys={"t": "id"}, times={"t": "at"})


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    target = tmp_path / "rel"
    target.mkdir()
    with small() as db:
        write(db, target)  # an empty folder will do
        before = sorted(file.stat().st_mtime_ns for file in target.rglob("*"))
        with pytest.raises(AdapterError, match="is there already and not empty; name another folder, or remove it"):
            write(db, target)
        assert sorted(file.stat().st_mtime_ns for file in target.rglob("*")) == before
        with pytest.raises(AdapterError, match=r"the folder .*nowhere does not exist"):
            write(db, tmp_path / "nowhere" / "rel")
        with pytest.raises(ProtocolError, match="val_time must be before test_time, got 2020-02-01 and 2020-01-01"):
            write(db, tmp_path / "new", val_time="2020-02-01", test_time="2020-01-01")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rel"]


def test_a_key_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        opened({"t": pa.table({"id": [1, 1]})}, keys={"t": "id"}) as db,
        pytest.raises(SchemaError, match="stands 2 times"),
    ):
        write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
    with opened({"t": pa.table({"id": [1]})}) as db, pytest.raises(ProtocolError, match="no row has a time"):
        write(db, tmp_path / "rel")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from relgraph.adapters.relbench.rows import RowWriter

    def stop(self: RowWriter, name: str) -> None:
        (self._folder / "db" / f"{name}.parquet").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(RowWriter, "write", stop)
    with small() as db, pytest.raises(KeyboardInterrupt):
        write(db, tmp_path / "rel")
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_changes_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    with small() as db:
        write(db, tmp_path / "in")
    with opened(tmp_path / "in") as db:
        os.utime(tmp_path / "in" / "db" / "t.parquet", (1, 1))
        with pytest.raises(AdapterError, match=r"t\.parquet has changed"):
            write(db, tmp_path / "rel")
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


def test_of_two_writers_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from relgraph.adapters.relbench.rows import RowWriter

    whole = RowWriter.write

    def meet(self: RowWriter, name: str) -> list[str]:
        (tmp_path / "rel").mkdir()
        (tmp_path / "rel" / "manifest.yaml").write_text("of the other")
        return whole(self, name)

    monkeypatch.setattr(RowWriter, "write", meet)
    with small() as db, pytest.raises(AdapterError, match=r"rel cannot be written: .*not empty"):
        write(db, tmp_path / "rel")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["rel", "rel/manifest.yaml"]


KILLED = """
import os, pyarrow as pa, relgraph
from relgraph.adapters.relbench import write as relbench_write
db = relgraph.connect({"t": pa.table({"a": [1]})}, progress=False)
relbench_write.write_tasks = lambda *given: os._exit(9)
relgraph.adapters.write_relbench(db, "rel", val_time="2020-01-01", test_time="2021-01-01", progress=False)
"""


@pytest.mark.slow
def test_a_crash_leaves_no_folder_that_could_be_taken_for_one(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 9, done.stderr
    assert not (tmp_path / "rel").exists()
    (rest,) = tmp_path.iterdir()
    assert rest.name.startswith(".rel.")
    with small() as db:
        write(db, tmp_path / "rel")  # what was left is not in the way


FULL = """
import resource, sys, pyarrow as pa, relgraph, pathlib
db = relgraph.connect({"t": pa.table({"a": [str(i * 7919 % 100003) for i in range(200_000)]})}, progress=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    relgraph.adapters.write_relbench(db, "rel", val_time="2020-01-01", test_time="2021-01-01", progress=False)
except relgraph.errors.AdapterError as error:
    print(str(error).splitlines()[0], [path.name for path in pathlib.Path().iterdir()])
"""


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rel cannot be written: ")
    assert done.stdout.strip().endswith("nothing is left of it []")

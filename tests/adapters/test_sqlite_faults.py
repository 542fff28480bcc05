"""A SQLite file that is locked, written to, damaged or out of reach: the right rows, or an error with a way on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import relgraph
from relgraph.adapters.sqlite import source as sqlite_source
from relgraph.adapters.sqlite.source import SQLiteSource
from relgraph.data import retry
from relgraph.data.schema import Schema
from relgraph.data.source import Selection
from relgraph.errors import AdapterError, SourceUnavailableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two tables that belong together: every transaction of a writer puts one row into each."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as file:
        file.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT)")
        file.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a)")
        file.executemany("INSERT INTO a VALUES (?, ?)", [(i, "x" * 100) for i in range(2000)])
        file.executemany("INSERT INTO b VALUES (?, ?)", [(i, i) for i in range(2000)])
        file.commit()
    return tmp_path / "shop.db"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))


def run(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.executescript(sql)


def process(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


def beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


HOLD = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


def test_a_file_that_stays_locked_by_another_process(path: Path, at_once: None) -> None:
    with process(HOLD, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(SourceUnavailableError, match=r"database is locked; another process holds a lock \(0.01 s"):
            relgraph.connect(f"sqlite:///{path}?timeout=0.01", progress=False)
        with pytest.raises(SourceUnavailableError, match=r"tried 3 times"):
            relgraph.connect(f"sqlite:///{path}?timeout=0", progress=False)
        other.communicate("\n")
    with relgraph.connect(path, progress=False) as db:
        assert db.num_rows("a") == 2000


@pytest.mark.slow
@pytest.mark.parametrize("timeout", ["5", "0"])  # SQLite waits, or we try again
def test_a_lock_that_goes_away_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch, timeout: str) -> None:
    monkeypatch.setattr(retry, "PAUSES", (1.5, 1.5))
    with process(HOLD, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        threading.Timer(0.3, lambda: other.communicate("\n")).start()
        with relgraph.connect(f"sqlite:///{path}?timeout={timeout}", progress=False) as db:
            assert db.num_rows("b") == 2000


WRITE = """
import sqlite3, sys, time
file = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print("started", flush=True)
i = 2000
while True:
    file.execute("BEGIN IMMEDIATE")
    file.execute("INSERT INTO a VALUES (?, ?)", (i, "y" * 100))
    file.execute("INSERT INTO b VALUES (?, ?)", (i, i))
    file.execute("DELETE FROM a WHERE id = ?", (i - 2000,))
    file.execute("DELETE FROM b WHERE id = ?", (i - 2000,))
    file.execute("COMMIT")
    time.sleep(0.005)  # or no reader would ever find it unlocked
    i += 1
"""


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_writer_at_work_in_another_process_tears_nothing(path: Path, mode: str) -> None:
    run(path, f"PRAGMA journal_mode = {mode}")
    with process(WRITE, path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "started\n"
        try:
            for _ in range(5):
                with relgraph.connect(f"sqlite:///{path}?timeout=60", progress=False) as db:
                    same = db.sql("SELECT count(*) AS n FROM a FULL JOIN b USING (id) WHERE v IS NULL OR a IS NULL")
                    assert same["n"].to_pylist() == [0]
                    assert (db.num_rows("a"), db.num_rows("b")) == (2000, 2000)
        finally:
            writer.kill()


def read_with(path: Path, between: Any) -> dict[str, int]:
    """Rows per table, with something happening after the first batch of the first table."""
    source, found = SQLiteSource(path, Selection()), {}
    schema = Schema(source.schema())
    for number, table in enumerate(source.read(schema)):
        batches = iter(table.batches)
        first = next(batches, None)
        if number == 0:
            between()
        found[table.name] = sum(batch.num_rows for batch in (first, *batches) if batch is not None)
    return found


def test_rows_written_during_the_read_are_not_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_source, "_BATCH_ROWS", 512)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        change = "INSERT INTO b VALUES (9999, 1); DELETE FROM a WHERE id > 1000; DROP TABLE b;"
        assert read_with(path, lambda: writer.executescript(change)) == {"a": 2000, "b": 2000}
        assert writer.execute("SELECT count(*) FROM a").fetchall() == [(1001,)]


def test_a_log_that_nobody_has_open_is_read_without_making_files(path: Path) -> None:
    run(path, "PRAGMA journal_mode = wal; DELETE FROM a WHERE id = 7")
    assert beside(path) == ["shop.db"]
    with relgraph.connect(path, progress=False) as db:
        assert db.num_rows("a") == 1999
    assert beside(path) == ["shop.db"]
    change = "DELETE FROM b; PRAGMA wal_checkpoint(TRUNCATE)"
    with pytest.raises(SourceUnavailableError, match="was changed by another process while it was read"):
        read_with(path, lambda: run(path, change))
    with relgraph.connect(path, progress=False) as db:
        assert db.num_rows("b") == 0


def test_a_file_that_changes_once_is_read_again(path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run(path, "PRAGMA journal_mode = wal")
    reads = []
    original = SQLiteSource._table

    def table(self: Any, connection: Any, table: Any, tail: Any) -> Any:
        reads.append(table.name)
        if len(reads) == 2:
            run(path, "DELETE FROM a WHERE id < 500; DELETE FROM b WHERE id < 500; PRAGMA wal_checkpoint(TRUNCATE)")
        return original(self, connection, table, tail)

    monkeypatch.setattr(SQLiteSource, "_table", table)
    with relgraph.connect(path, progress=False) as db:
        assert (db.num_rows("a"), db.num_rows("b")) == (1500, 1500)
    assert reads == ["a", "b", "a", "b"]


CRASH = """
import os, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA cache_size = 5")
file.execute("PRAGMA cache_spill = 5")
file.execute("BEGIN")
file.execute("UPDATE a SET v = 'changed' || v")
os._exit(0)
"""


def test_a_journal_that_a_dead_writer_left(path: Path) -> None:
    subprocess.run([sys.executable, "-c", CRASH, str(path)], check=True)
    assert beside(path) == ["shop.db", "shop.db-journal"]
    with pytest.raises(AdapterError, match=r"left shop.db-journal: open the file once for writing"):
        relgraph.connect(path, progress=False)
    assert beside(path) == ["shop.db", "shop.db-journal"]
    run(path, "SELECT * FROM a")  # what the message asks for
    with relgraph.connect(path, progress=False) as db:
        assert db.sql("SELECT DISTINCT v FROM a")["v"].to_pylist() == ["x" * 100]


UNPRIVILEGED = """
import os, sys
import relgraph
from relgraph.errors import AdapterError
relgraph.connect(sys.argv[2], progress=False).close()  # another user may not be allowed to import
if os.geteuid() == 0:
    os.setuid(65534)
try:
    print(relgraph.connect(sys.argv[1], progress=False).num_rows("a"))
except AdapterError as error:
    print(error)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user may look into."""
    folder = Path(tempfile.mkdtemp(prefix="relgraph-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def unprivileged(path: Path, other: Path) -> str:
    """How many rows a user without rights to the file or folder reads, or the error."""
    command = [sys.executable, "-c", UNPRIVILEGED, str(path), str(other)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_a_log_in_a_folder_without_write_access(path: Path, shared: Path) -> None:
    shutil.copy(path, path.with_name("other.db"))
    run(path, "PRAGMA journal_mode = wal")
    shutil.copy(path, shared / "clean.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("DELETE FROM a WHERE id = 1")
        writer.commit()
        for name in ("shop.db", "shop.db-wal"):
            shutil.copy(path.with_name(name), shared / name)
    shared.chmod(0o555)
    assert unprivileged(shared / "clean.db", path.with_name("other.db")) == "2000"
    refused = unprivileged(shared / "shop.db", path.with_name("other.db"))
    assert "the latest changes are in shop.db-wal, which is only read where SQLite may make files" in refused
    shared.chmod(0o755)
    with relgraph.connect(shared / "shop.db", progress=False) as db:
        assert db.num_rows("a") == 1999


@pytest.mark.slow
def test_a_file_without_read_access(path: Path, shared: Path) -> None:
    shutil.copy(path, shared / "shop.db")
    (shared / "shop.db").chmod(0o000)
    assert "shop.db cannot be read: Permission denied" in unprivileged(shared / "shop.db", path)


def page_of(path: Path, table: str) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as file:
        pages = file.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (table,)).fetchall()
        return pages[-1][0], file.execute("PRAGMA page_size").fetchall()[0][0]


def test_a_damaged_table_is_named_and_the_others_can_be_read(path: Path, tmp_path: Path) -> None:
    page, size = page_of(path, "a")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xee" * size)
    with pytest.raises(AdapterError, match=r"table 'a' cannot be read: database disk image is malformed; .*\.recover"):
        relgraph.connect(path, snapshot=tmp_path / "kept.duckdb", progress=False)
    assert beside(path) == ["shop.db"]  # no half snapshot
    with relgraph.connect(path, tables=["b"], progress=False) as db:
        assert db.num_rows("b") == 2000


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_file_cut_short(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: max(int(len(content) * share), 40)])
    with pytest.raises(
        AdapterError, match=r"shop\.db.* cannot be read: (database disk image is malformed|file is not a)"
    ):
        relgraph.connect(path, progress=False)


def test_an_encrypted_file(tmp_path: Path) -> None:
    (tmp_path / "secret.db").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(AdapterError, match=r"secret\.db is no SQLite database: .* an encrypted one is to be decrypted"):
        relgraph.connect(tmp_path / "secret.db", progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP TABLE b", "table 'b' cannot be read: no such table: b"),
        (
            "ALTER TABLE b RENAME COLUMN a TO z",
            r"table 'b' cannot be read: it has no column 'a' any more; connect again",
        ),
        (None, r"shop\.db cannot be read: unable to open database file"),
    ],
)
def test_a_table_or_file_that_goes_away_between_looking_and_reading(path: Path, change: str, message: str) -> None:
    source = SQLiteSource(path, Selection())
    schema = Schema(source.schema())
    if change is None:
        path.unlink()
    else:
        run(path, change)
    with pytest.raises(AdapterError, match=message):
        [list(table.batches) for table in source.read(schema)]


def test_batches_are_small_whatever_the_cells_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as file:
        file.execute("CREATE TABLE t (c TEXT, d BLOB)")
        file.executemany("INSERT INTO t VALUES (?, ?)", [("é" * 500_000, os.urandom(1000))] * 3 + [("", b"")] * 3000)
        file.commit()
    monkeypatch.setattr(sqlite_source, "_BATCH_BYTES", 2**20)
    monkeypatch.setattr(sqlite_source, "_BATCH_ROWS", 1024)
    source = SQLiteSource(tmp_path / "x.db", Selection())
    for table in source.read(Schema(source.schema())):
        sizes = [batch.num_rows for batch in table.batches]
        assert sizes == [512, 1024, 1024, 443]
    with relgraph.connect(tmp_path / "x.db", progress=False) as db:
        assert db.sql("SELECT max(length(c)) AS n, count(*) AS m FROM t").to_pylist() == [{"n": 500_000, "m": 3003}]

"""Rows of a table and their Adagrad sums in memory-mapped files, with a journal that undoes what a kill cut off.

A folder holds ``rows.f32`` and ``sums.f32`` (float32 ``[num, dim]``, row by row), ``table.json`` (written last, so a
folder without it was never finished) and ``journal.bin``. Before a step changes rows, what they were is appended to the
journal; a *point* is a moment that a checkpoint refers to. What is promised:

- A process that is killed at any moment loses nothing: the rows go back to the last point, or to the one before it if
  the checkpoint of the last one was not written any more.
- After a crash of the machine (seen by its boot id) the files are right if no step came after the last point, whose
  rows were flushed to the disk; otherwise the store refuses to open.
- Two processes must not train one table at once; nothing watches over that.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from relgraph.errors import AdapterError, ShapeError
from relgraph.ops import embedding_update
from relgraph.ops.tiles import spans

__all__ = ["RowStore", "open_or_create", "write_whole"]

_HEAD = struct.Struct("<8sq36s")  # magic, the point the journal starts from, boot id
_RECORD = struct.Struct("<cqI")  # kind, number of rows or of the point, checksum of what follows
_MAGIC = b"relgraph"
_CHUNK = 2**20  # numbers written at once


class _Record(NamedTuple):
    kind: bytes
    number: int
    start: int  # of its content
    end: int


class RowStore:
    """An open table on disk.

    Args:
        path: The folder.

    Raises:
        AdapterError: If there is no whole table, or the machine crashed while it was trained.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            about = json.loads((path / "table.json").read_text(encoding="utf-8"))
            self.id, self.num, self.dim = str(about["id"]), int(about["num"]), int(about["dim"])
            sizes = [(path / name).stat().st_size for name in ("rows.f32", "sums.f32")]
            self._journal = path / "journal.bin"
            with self._journal.open("rb") as journal:
                magic, self._base, boot = _HEAD.unpack(journal.read(_HEAD.size))
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise AdapterError(f"{path} holds no whole table: {error}; remove the folder and create it again") from None
        expected = 4 * self.num * self.dim
        if magic != _MAGIC or sizes != [expected, expected]:
            raise AdapterError(
                f"{path} is damaged: expected two files of {expected} bytes for {self.num} rows of {self.dim}, "
                f"got {sizes}"
            )
        self._maps = [
            np.memmap(path / name, np.float32, "r+", shape=(self.num, self.dim)) for name in ("rows.f32", "sums.f32")
        ]
        self.rows, self.sums = (torch.from_numpy(part) for part in self._maps)
        self._point = self._base
        self._recover(boot.decode("ascii"))

    @classmethod
    def create(cls, path: Path, num: int, dim: int, fill: Callable[[Tensor], Any]) -> RowStore:
        """Write a new table, some rows at a time.

        Args:
            path: A folder that is not there yet, or is empty.
            num: Rows.
            dim: Length of a row.
            fill: Fills some rows, float32 ``[n, dim]``, in place.

        Raises:
            AdapterError: If the folder holds something, or cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise AdapterError(
                    f"{path} holds files but no whole table, as after a creation that was cut off; expected an empty "
                    "folder"
                )
            with (path / "rows.f32").open("wb") as rows, (path / "sums.f32").open("wb") as sums:
                for part in spans(num, max(_CHUNK // dim, 1)):
                    chunk = torch.zeros(part.stop - part.start, dim)
                    sums.write(chunk.numpy().tobytes())
                    fill(chunk)
                    rows.write(chunk.numpy().tobytes())
                for file in (rows, sums):
                    file.flush()
                    os.fsync(file.fileno())
            _start_journal(path, 0)
            about = {"id": os.urandom(8).hex(), "num": num, "dim": dim}
            write_whole(path / "table.json", json.dumps(about).encode())
        except OSError as error:
            raise AdapterError(f"cannot write a table to {path}: {error}") from None
        return cls(path)

    def update(self, index: Tensor, gradient: Tensor, lr: float, eps: float = 1e-10) -> None:
        """One step of Adagrad on some rows; see :func:`relgraph.ops.embedding_update`.

        Args:
            index: int64 ``[n]``, repeats are added up.
            gradient: float32 ``[n, dim]``.
            lr: Learning rate.
            eps: As there.
        """
        rows = torch.unique(index)
        before = [x.numpy().tobytes() for x in (rows, self.rows[rows], self.sums[rows])]
        self._append(b"R", len(rows), b"".join(before))
        embedding_update(self.rows, index, gradient, rule="adagrad", lr=lr, state=(self.sums,), eps=eps)

    def stage(self) -> dict[str, Any]:
        """Flush the rows and mark this moment, for a checkpoint that is about to be written."""
        for part in self._maps:
            part.flush()
        self._point += 1
        self._append(b"P", self._point, b"")
        with self._journal.open("rb") as journal:
            os.fsync(journal.fileno())
        return {"id": self.id, "point": self._point}

    def commit(self) -> None:
        """The checkpoint of the last point is written: what came before it needs no undoing any more."""
        _start_journal(self.path, self._point)
        self._base = self._point

    def restore(self, staged: dict[str, Any] | None) -> None:
        """Put the rows back to a point, that of a checkpoint, or begin a training with the rows as they are.

        Raises:
            AdapterError: If the files no longer reach back to that point, or it is of another table.
        """
        if staged is None:
            self.stage()
            self.commit()
            return
        points = [self._base, *(record.number for record in self._records() if record.kind == b"P")]
        if staged["id"] != self.id or staged["point"] not in points:
            raise AdapterError(
                f"the table in {self.path} is no longer what the checkpoint saw (expected point {staged['point']} of "
                f"table {staged['id']}, got {points} of {self.id}): it was trained on elsewhere or created anew. Use "
                "the folder that belongs to the checkpoint, or resume=False to train the rows as they are"
            )
        self._undo_to(int(staged["point"]))
        self._point = int(staged["point"])
        self.commit()

    def _recover(self, boot: str) -> None:
        """Undo the steps after the last point, and forget a record that was cut off."""
        records = list(self._records())
        os.truncate(self._journal, records[-1].end if records else _HEAD.size)
        points = [record.number for record in records if record.kind == b"P"]
        self._point = points[-1] if points else self._base
        if not records or records[-1].kind == b"P":
            return
        if boot != _boot_id():
            raise AdapterError(
                f"the table in {self.path} was being trained when the machine stopped, so its files may be a mixture "
                "of old and new rows; take a copy from before, or create it again"
            )
        self._undo_to(self._point)

    def _undo_to(self, point: int) -> None:
        records = list(self._records())
        start = next((i + 1 for i, r in enumerate(records) if r.kind == b"P" and r.number == point), 0)
        for record in reversed(records[start:]):
            if record.kind != b"R":
                continue
            with self._journal.open("rb") as journal:
                content = _content(journal, record)
            index = np.frombuffer(content, np.int64, record.number)
            values = np.frombuffer(content, np.float32, offset=8 * record.number).reshape(2, record.number, self.dim)
            for part, old in zip(self._maps, values, strict=True):
                part[index] = old
        end = records[start - 1].end if start else _HEAD.size
        os.truncate(self._journal, end)

    def _records(self) -> Iterator[_Record]:
        """The whole records of the journal; a torn one at its end came before its step and does not count."""
        size = self._journal.stat().st_size
        place = _HEAD.size
        with self._journal.open("rb") as journal:
            while place + _RECORD.size <= size:
                journal.seek(place)
                kind, number, checksum = _RECORD.unpack(journal.read(_RECORD.size))
                length = number * (8 + 8 * self.dim) if kind == b"R" else 0
                record = _Record(kind, number, place + _RECORD.size, place + _RECORD.size + length)
                if record.end > size or zlib.crc32(_content(journal, record)) != checksum:
                    return
                yield record
                place = record.end

    def _append(self, kind: bytes, number: int, content: bytes) -> None:
        before = self._journal.stat().st_size
        try:
            with self._journal.open("ab") as journal:
                journal.write(_RECORD.pack(kind, number, zlib.crc32(content)) + content)
        except OSError as error:
            os.truncate(self._journal, before)
            raise AdapterError(f"cannot write to {self._journal}: {error}") from None


def _content(journal: BinaryIO, record: _Record) -> bytes:
    journal.seek(record.start)
    return journal.read(record.end - record.start)


def open_or_create(path: Path, num: int, dim: int, fill: Callable[[Tensor], Any]) -> RowStore:
    """The table in a folder, a new one if there is none.

    Raises:
        ShapeError: If the one there has another size.
        AdapterError: If it cannot be opened or written.
    """
    store = RowStore(path) if (path / "table.json").exists() else RowStore.create(path, num, dim, fill)
    if (store.num, store.dim) != (num, dim):
        raise ShapeError(f"expected a table of {num} rows of length {dim}, {path} holds {store.num} of {store.dim}")
    return store


def _start_journal(path: Path, point: int) -> None:
    write_whole(path / "journal.bin", _HEAD.pack(_MAGIC, point, _boot_id().encode("ascii")))


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all, also after a crash."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _boot_id() -> str:
    """Which run of the machine this is; different every time where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.urandom(18).hex()

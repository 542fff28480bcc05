"""Tables that are larger than one process or one machine: each process keeps some of the rows, in its own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relgraph.errors import AdapterError, ShapeError
from relgraph.kge.embeddings import require_positive
from relgraph.kge.file_table import FileTable
from relgraph.kge.row_store import RowStore, open_or_create, write_whole
from relgraph.training.group import Exchange, launched

__all__ = ["ShardedEmbeddings"]


class ShardedEmbeddings(FileTable):
    """Rows in shards, each in files of the process that owns it; see :meth:`relgraph.kge.Embeddings.sharded`.

    Of ``s`` processes, shard ``i`` belongs to process ``i % s``. A process looks up the rows it needs from their owners
    and sends their gradients there; so all processes look up at the same places of the program, as often.

    Args:
        num: Rows ``N``.
        dim: Their length.
        path: A folder for the shards; on each machine those of its processes.
        shards: How many a new table has; the number of processes by default.
        seed: Seed of a new table, whose rows are Xavier normal.

    Raises:
        ShapeError: If a size is no whole number of at least 1, there are more shards than rows or fewer than processes,
            or the folder holds a table of another size.
        AdapterError: If the folder cannot be read or written, or cannot be recovered.
    """

    def __init__(self, num: int, dim: int, *, path: Path | str, shards: int | None = None, seed: int = 0) -> None:
        super().__init__(num, dim)
        rank, size = launched()
        count = _number_of_shards(Path(path), shards, size, rank == 0)
        if not size <= count <= num:
            raise ShapeError(
                f"shards: expected one a process or more and at most one a row, {size} to {num}, got {count}"
            )
        self.arguments: dict[str, Any] = {"dim": dim, "path": str(path), "shards": count}
        self.bounds = torch.tensor([i * num // count for i in range(count + 1)])
        self.stores: dict[int, RowStore] = {}
        for shard in range(rank, count, size):
            low, high = self.bounds[shard : shard + 2].tolist()
            place = Path(path) / f"rows-{low}-{high}"
            self.stores[shard] = open_or_create(place, high - low, dim, self.filler(seed + low))
        self._exchange = Exchange()

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """All rows, ``[N, dim]``, copied; asked of all processes at once."""
        every = torch.arange(self.num)
        return self._exchange.sum(self._own(every))

    def _shard_of(self, rows: Tensor) -> Tensor:
        return torch.searchsorted(self.bounds, rows, right=True) - 1

    def _own(self, rows: Tensor) -> Tensor:
        """Some rows, ``[n, dim]``; 0 where another process has them."""
        out = torch.zeros(len(rows), self.dim)
        owner = self._shard_of(rows)
        for shard, store in self.stores.items():
            mine = owner == shard
            out[mine] = store.rows[rows[mine] - self.bounds[shard]]
        return out

    def read(self, rows: Tensor) -> Tensor:
        """Rows, int64 ``[n]``, as ``[n, dim]``, from the processes that own them; asked of all at once."""
        asked, mine = self._exchange.cat(rows)
        return self._exchange.sum(self._own(asked))[mine]

    def step(self, lr: float, num_rows: int) -> None:
        """A step of Adagrad on the rows that any process looked up since the last one.

        Args:
            lr: Learning rate.
            num_rows: How many rows of the batch this process had; the loss was a mean over them.
        """
        rows, gradient = self.take_gradients()
        total = self._exchange.sum(torch.tensor([float(num_rows)]))
        every, _ = self._exchange.cat(rows)
        shared, _ = self._exchange.cat(gradient * (num_rows / total))
        owner = self._shard_of(every)
        for shard, store in self.stores.items():
            mine = owner == shard
            if bool(mine.any()):
                store.update(every[mine] - self.bounds[shard], shared[mine], lr)

    def stage(self) -> dict[str, Any]:
        """Flush the rows of all processes and mark this moment, for a checkpoint that is about to be written."""
        own = {str(shard): store.stage() for shard, store in self.stores.items()}
        return {name: point for part in self._exchange.objects(own) for name, point in part.items()}

    def commit(self) -> None:
        """The checkpoint is written."""
        for store in self.stores.values():
            store.commit()

    def restore(self, staged: dict[str, Any] | None) -> None:
        """Put the rows back to a checkpoint, or begin a training with the rows as they are."""
        for shard, store in self.stores.items():
            store.restore(None if staged is None else staged[str(shard)])


def _number_of_shards(path: Path, given: int | None, size: int, first: bool) -> int:
    """How many shards the table in a folder has, or a new one gets."""
    about = path / "shards.json"
    if given is not None:
        require_positive(shards=given)
    try:
        found: int | None = int(json.loads(about.read_text(encoding="utf-8"))["shards"])
    except FileNotFoundError:
        found = None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"{about} cannot be read: {error}; restore it, or create the table in a new folder"
        ) from None
    if found is None:
        found = size if given is None else given
        if first:
            try:
                path.mkdir(parents=True, exist_ok=True)
                write_whole(about, json.dumps({"shards": found}).encode())
            except OSError as error:
                raise AdapterError(f"cannot write a table to {path}: {error}") from None
    if given is not None and given != found:
        raise ShapeError(f"shards: expected {found}, as the table in {path} has, got {given}")
    return found

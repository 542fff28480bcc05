"""Tables that are larger than memory: rows in files, of which a step looks up and changes a few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from relgraph.kge.file_table import FileTable
from relgraph.kge.row_store import open_or_create

__all__ = ["MappedEmbeddings"]


class MappedEmbeddings(FileTable):
    """Rows in memory-mapped files, trained by Adagrad; see :meth:`relgraph.kge.Embeddings.mapped`.

    Args:
        num: Rows ``N``.
        dim: Their length.
        path: The folder; a table is created there if there is none.
        seed: Seed of a new table, whose rows are Xavier normal.

    Raises:
        ShapeError: If a size is no whole number of at least 1, or the folder holds a table of another size.
        AdapterError: If the folder cannot be read or written, or cannot be recovered.
    """

    def __init__(self, num: int, dim: int, *, path: Path | str, seed: int = 0) -> None:
        super().__init__(num, dim)
        self.arguments: dict[str, Any] = {"dim": dim, "path": str(path)}
        self.store = open_or_create(Path(path), num, dim, self.filler(seed))
        self.weight = self.store.rows  # in the file, on the CPU

    def read(self, rows: Tensor) -> Tensor:
        """Rows, int64 ``[n]``, as ``[n, dim]``."""
        return self.weight[rows]

    def step(self, lr: float, num_rows: int) -> None:
        """A step of Adagrad; ``num_rows`` is not needed, since the loss was that of the whole batch."""
        rows, gradient = self.take_gradients()
        if len(rows):
            self.store.update(rows, gradient, lr)

    def stage(self) -> dict[str, Any]:
        """Flush the rows and mark this moment, for a checkpoint that is about to be written."""
        return self.store.stage()

    def commit(self) -> None:
        """The checkpoint is written."""
        self.store.commit()

    def restore(self, staged: dict[str, Any] | None) -> None:
        """Put the rows back to a checkpoint, or begin a training with the rows as they are."""
        self.store.restore(staged)

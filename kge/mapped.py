"""Tables that are larger than memory: rows in files, of which a step looks up and changes a few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, require_positive
from relgraph.kge.row_store import open_or_create

__all__ = ["LookedUp", "MappedEmbeddings"]


class MappedEmbeddings(Embeddings):
    """Rows in memory-mapped files, trained by Adagrad; see :meth:`relgraph.kge.Embeddings.mapped`.

    The table is no parameter of the module and in no ``state_dict``: its files are its state.

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
        nn.Module.__init__(self)
        require_positive(num=num, dim=dim)
        self.num, self.dim, self.sparse, self.trainable = num, dim, True, True
        self.projection = None
        self.arguments: dict[str, Any] = {"dim": dim, "path": str(path)}
        generator = torch.Generator().manual_seed(seed)
        scale = (2 / (num + dim)) ** 0.5
        self.store = open_or_create(Path(path), num, dim, lambda rows: rows.normal_(0, scale, generator=generator))
        self.weight = self.store.rows  # in the file, on the CPU
        self._looked_up = LookedUp(dim)

    def forward(self, index: Tensor) -> Tensor:
        """The vectors ``index`` (int64 ``[...]``), ``[..., dim]`` on its device."""
        rows, place = torch.unique(index, return_inverse=True)
        values = self.weight[rows.cpu()].to(index.device)
        if self.training and torch.is_grad_enabled():
            self._looked_up.add(rows.cpu(), values)
        return values[place]

    def step(self, lr: float, num_rows: int) -> None:
        """A step of Adagrad on the rows that were looked up since the last one; ``num_rows`` is not needed here."""
        rows, gradient = self._looked_up.take()
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


class LookedUp:
    """Rows that a step looked up, whose gradients come by the backward pass.

    Args:
        dim: Length of a row.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._found: list[tuple[Tensor, Tensor]] = []

    def add(self, rows: Tensor, values: Tensor) -> None:
        """Remember rows, int64 ``[n]``, with their values ``[n, dim]``, which become a leaf of the graph."""
        values.requires_grad_()
        self._found.append((rows, values))

    def take(self) -> tuple[Tensor, Tensor]:
        """The rows that got gradients, int64 ``[n]`` with repeats, and these ``[n, dim]``; all are forgotten."""
        found = [(rows, values.grad.float().cpu()) for rows, values in self._found if values.grad is not None]
        self._found = []
        if not found:
            return torch.empty(0, dtype=torch.int64), torch.empty(0, self._dim)
        return torch.cat([rows for rows, _ in found]), torch.cat([gradient for _, gradient in found])

"""Tables that are larger than memory: rows in files, of which a step looks up and changes a few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, require_positive
from relgraph.kge.row_store import open_or_create

__all__ = ["MappedEmbeddings", "mapped_tables"]


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
        self._looked_up: list[tuple[Tensor, Tensor]] = []

    def forward(self, index: Tensor) -> Tensor:
        """The vectors ``index`` (int64 ``[...]``), ``[..., dim]`` on its device."""
        rows, place = torch.unique(index, return_inverse=True)
        values = self.weight[rows.cpu()].to(index.device)
        if self.training and torch.is_grad_enabled():
            values.requires_grad_()
            self._looked_up.append((rows, values))
        return values[place]

    def step(self, lr: float) -> None:
        """A step of Adagrad on the rows that were looked up since the last one, by their gradients."""
        found = [(rows.cpu(), values.grad.cpu()) for rows, values in self._looked_up if values.grad is not None]
        self._looked_up = []
        if found:
            self.store.update(torch.cat([rows for rows, _ in found]), torch.cat([grad for _, grad in found]), lr)


def mapped_tables(module: nn.Module) -> dict[str, MappedEmbeddings]:
    """The tables on disk of a scorer, by name."""
    return {name: part for name, part in module.named_modules() if isinstance(part, MappedEmbeddings)}

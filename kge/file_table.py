"""What tables in files have in common: rows are looked up, remembered, and stepped beside a scorer's parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, require_positive

__all__ = ["FileTable", "file_tables"]


class FileTable(Embeddings):
    """Rows in files, trained by Adagrad; no parameter of the module and in no ``state_dict``: the files are its state.

    Args:
        num: Rows ``N``.
        dim: Their length.

    Raises:
        ShapeError: If a size is no whole number of at least 1.
    """

    def __init__(self, num: int, dim: int) -> None:
        nn.Module.__init__(self)
        require_positive(num=num, dim=dim)
        self.num, self.dim, self.sparse, self.trainable = num, dim, True, True
        self.projection = None
        self._looked_up: list[tuple[Tensor, Tensor]] = []

    def filler(self, seed: int) -> Callable[[Tensor], Any]:
        """What fills new rows, some at a time and in place: Xavier normal."""
        std = (2 / (self.num + self.dim)) ** 0.5
        return partial(Tensor.normal_, mean=0.0, std=std, generator=torch.Generator().manual_seed(seed))

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """Distinct rows, int64 ``[n]`` on the CPU, as ``[n, dim]``."""

    @abstractmethod
    def step(self, lr: float, num_rows: int) -> None:
        """A step of Adagrad on the rows that were looked up since the last one.

        Args:
            lr: Learning rate.
            num_rows: How many rows of the batch this process had; the loss was a mean over them.
        """

    @abstractmethod
    def stage(self) -> dict[str, Any]:
        """Flush the rows and mark this moment, for a checkpoint that is about to be written."""

    @abstractmethod
    def commit(self) -> None:
        """The checkpoint is written."""

    @abstractmethod
    def restore(self, staged: dict[str, Any] | None) -> None:
        """Put the rows back to a checkpoint, or begin a training with the rows as they are."""

    def forward(self, index: Tensor) -> Tensor:
        """The vectors ``index`` (int64 ``[...]``), ``[..., dim]`` on its device."""
        rows, place = torch.unique(index, return_inverse=True)
        rows = rows.cpu()
        values = self.read(rows).to(index.device)
        if self.training and torch.is_grad_enabled():
            values.requires_grad_()
            self._looked_up.append((rows, values))
        return values[place]

    def take_gradients(self) -> tuple[Tensor, Tensor]:
        """The rows that got gradients, int64 ``[n]`` with repeats, and these ``[n, dim]``; all are forgotten."""
        found = [(rows, values.grad.float().cpu()) for rows, values in self._looked_up if values.grad is not None]
        self._looked_up = []
        if not found:
            return torch.empty(0, dtype=torch.int64), torch.empty(0, self.dim)
        return torch.cat([rows for rows, _ in found]), torch.cat([gradient for _, gradient in found])


def file_tables(module: nn.Module) -> dict[str, FileTable]:
    """The tables in files of a scorer, by name."""
    return {name: part for name, part in module.named_modules() if isinstance(part, FileTable)}

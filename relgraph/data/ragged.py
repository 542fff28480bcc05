"""Lists of codes of any length as two flat tensors: PyTorch Frame's ``MultiNestedTensor``, without needing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from relgraph.errors import ShapeError

__all__ = ["Ragged"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """A matrix whose cells are lists of codes, row by row.

    Cell ``(i, j)`` is ``values[offsets[i * C + j]:offsets[i * C + j + 1]]``.

    Args:
        num_rows: ``N``.
        num_columns: ``C``.
        values: int64 ``[M]``, all lists one after the other.
        offsets: int64 ``[N * C + 1]``, from 0 to ``M``.

    Raises:
        ShapeError: If the tensors have other shapes or dtypes, or the offsets do not run from 0 to ``M``.
    """

    num_rows: int
    num_columns: int
    values: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        for what, value in (("values", self.values), ("offsets", self.offsets)):
            if value.dtype != torch.int64 or value.dim() != 1:
                raise ShapeError(f"ragged {what}: expected int64 [n], got {value.dtype} {list(value.shape)}")
        cells = self.num_rows * self.num_columns
        if self.offsets.numel() != cells + 1:
            raise ShapeError(f"ragged offsets: expected {cells + 1} for {cells} cells, got {self.offsets.numel()}")
        ends = [int(self.offsets[0]), int(self.offsets[-1])]
        if ends != [0, self.values.numel()] or bool((self.lengths < 0).any()):
            raise ShapeError(f"ragged offsets: expected to rise from 0 to {self.values.numel()}, got {ends}")

    @property
    def lengths(self) -> Tensor:
        """How many codes each cell holds, int64 ``[N * C]``."""
        return self.offsets[1:] - self.offsets[:-1]

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: Tensor) -> Ragged:
        """The rows ``index`` (int64 ``[n]``), in that order."""
        cells = (index.unsqueeze(1) * self.num_columns + torch.arange(self.num_columns, device=index.device)).flatten()
        return self._cells(cells, index.numel(), self.num_columns)

    def column(self, number: int) -> Ragged:
        """One column, as a matrix of that column."""
        if self.num_columns == 1 and number == 0:
            return self
        cells = torch.arange(self.num_rows, device=self.offsets.device) * self.num_columns + number
        return self._cells(cells, self.num_rows, 1)

    def _cells(self, cells: Tensor, num_rows: int, num_columns: int) -> Ragged:
        lengths = self.lengths[cells]
        offsets = _offsets(lengths)
        shift = torch.repeat_interleave(self.offsets[:-1][cells] - offsets[:-1], lengths)
        values = self.values[torch.arange(shift.numel(), device=shift.device) + shift]
        return Ragged(num_rows, num_columns, values, offsets)

    def keep(self, mask: Tensor) -> Ragged:
        """The same cells with only the codes where ``mask`` (bool ``[M]``) is true."""
        if bool(mask.all()):
            return self
        before = torch.zeros(mask.numel() + 1, dtype=torch.int64, device=mask.device)
        before[1:] = mask.cumsum(0)
        return Ragged(self.num_rows, self.num_columns, self.values[mask], before[self.offsets])

    def column_of_values(self) -> Tensor:
        """The column each code stands in, int64 ``[M]``."""
        columns = torch.arange(self.num_columns, device=self.values.device).repeat(self.num_rows)
        return torch.repeat_interleave(columns, self.lengths)

    def to(self, device: torch.device | str) -> Ragged:
        """The same on a device."""
        return Ragged(self.num_rows, self.num_columns, self.values.to(device), self.offsets.to(device))

    def tolist(self) -> list[list[list[int]]]:
        """Per row and column the list of codes."""
        values, ends = self.values.tolist(), self.offsets.tolist()
        cells = [values[a:b] for a, b in pairwise(ends)]
        return [cells[i * self.num_columns : (i + 1) * self.num_columns] for i in range(self.num_rows)]

    @classmethod
    def from_columns(cls, num_rows: int, columns: Sequence[tuple[Tensor, Tensor]]) -> Ragged:
        """Put columns side by side.

        Args:
            num_rows: Rows of every column.
            columns: Per column the codes (int64) and how many of them belong to each row (int64 ``[num_rows]``).
        """
        lengths = torch.stack([count for _, count in columns], dim=1)  # [N, C]
        offsets = _offsets(lengths.flatten())
        out = torch.empty(int(offsets[-1]), dtype=torch.int64)
        starts = offsets[:-1].view(num_rows, len(columns))
        for number, (values, count) in enumerate(columns):
            shift = torch.repeat_interleave(starts[:, number] - _offsets(count)[:-1], count)
            out[torch.arange(values.numel()) + shift] = values
        return cls(num_rows, len(columns), out, offsets)

    def __repr__(self) -> str:
        return f"Ragged({self.num_rows:,} rows, {self.num_columns} columns, {self.values.numel():,} codes)"


def _offsets(lengths: Tensor) -> Tensor:
    out = torch.zeros(lengths.numel() + 1, dtype=torch.int64, device=lengths.device)
    out[1:] = lengths.cumsum(0)
    return out

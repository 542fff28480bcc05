"""The different rows of a batch, each to be read and encoded once."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.tiles import check_numbers

__all__ = ["distinct"]

_HAS_NUMBA = find_spec("numba") is not None
_WORDS_PER_ROW = 4  # of the bitmap: with more of them a sort of the rows is faster


def distinct(rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The different ones of some rows of a table, ascending, and where each row stands among them.

    What ``torch.unique(rows, return_inverse=True)`` gives. On the CPU, with Numba and a table that is not far larger
    than the batch, rows are marked in a bitmap of the table and counted in it instead of sorted.

    Args:
        rows: Row numbers, int64 ``[N]``, in any order.
        size: How many rows the table has.

    Returns:
        The different numbers, int64 ``[D]``, and the position of each row among them, int64 ``[N]``.

    Raises:
        ShapeError: If a row is out of range, or ``rows`` is not int64 ``[N]``.

    Example:
        >>> distinct(torch.tensor([7, 3, 7]), 10)
        (tensor([3, 7]), tensor([1, 0, 1]))
    """
    if rows.dtype != torch.int64 or rows.dim() != 1:
        raise ShapeError(f"rows: expected int64 [N], got {rows.dtype} {list(rows.shape)}")
    if rows.device.type == "cpu" and _HAS_NUMBA and size <= 64 * _WORDS_PER_ROW * rows.numel():
        from relgraph.ops.distinct_numba import distinct_in_bitmap  # loads Numba

        found = distinct_in_bitmap(rows, size)
        if found is not None:
            return found
    check_numbers("rows", rows, size)
    number, position = torch.unique(rows, return_inverse=True)
    return number, position

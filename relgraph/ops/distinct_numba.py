"""The compiled part of :mod:`relgraph.ops.distinct`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.ops.compiled import compiled

__all__ = ["distinct_in_bitmap"]


def distinct_in_bitmap(rows: Tensor, size: int) -> tuple[Tensor, Tensor] | None:
    """See :func:`relgraph.ops.distinct`; ``None`` where a row is out of range."""
    given = rows.contiguous().numpy()
    words = np.zeros((size + 63) // 64, np.uint64)
    before = np.empty(words.size, np.int64)
    count = _mark(given, size, words, before)
    if count < 0:
        return None
    number, position = (
        torch.empty(count, dtype=torch.int64),
        torch.empty_like(rows, memory_format=torch.contiguous_format),
    )
    _place(given, words, before, number.numpy(), position.numpy())
    return number, position


@compiled
def _mark(rows: Any, size: int, words: Any, before: Any) -> int:
    """Set the bits of rows in ``words`` and count those before each word; how many there are, or -1."""
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    limit = np.uint64(size)
    for row in rows:
        place = np.uint64(row)
        if place >= limit:  # a negative one is too, as a word without sign
            return -1
        words[place >> six] |= one << (place & low)
    total = 0
    for i in range(words.size):
        before[i] = total
        word = words[i]
        # the bits of a word by adding up pairs, fours and bytes
        word -= (word >> one) & np.uint64(0x5555555555555555)
        word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
        word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += int((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return total


@compiled
def _place(rows: Any, words: Any, before: Any, number: Any, position: Any) -> None:
    """Write the marked numbers in order, and where each row stands among them."""
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    for i in range(rows.size):
        place = np.uint64(rows[i])
        word = words[place >> six] & ((one << (place & low)) - one)
        word -= (word >> one) & np.uint64(0x5555555555555555)
        word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
        word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        at = before[place >> six] + np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
        position[i] = at
        number[at] = rows[i]

"""The entries of a CSR as bits, so that a tile of scores can look up each of its places."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.jit import kernel
from relgraph.ops.tiles import Csr

__all__ = ["bit_at", "bit_rows"]

_BLOCK = 256


def bit_rows(csr: Csr, num_columns: int) -> Tensor:
    """One bit per row and column, set where the CSR has an entry: int32 ``[rows, ceil(num_columns / 32)]``.

    Args:
        csr: ``(ptr, index)``; ``ptr`` may be part of a longer one. Entries in any order, repeats set their bit once.
        num_columns: Entries are below this number.
    """
    ptr, index = csr
    rows = ptr.numel() - 1
    words = torch.zeros(rows, -(-num_columns // 32), dtype=torch.int32, device=ptr.device)
    if words.numel() and index.numel():
        _set_bits[(rows,)](words, ptr.contiguous(), index.contiguous(), words.shape[1], BLOCK=_BLOCK, num_warps=4)
    return words


@kernel
def _set_bits(words: tl.tensor, ptr: tl.tensor, index: tl.tensor, width: tl.tensor, BLOCK: tl.constexpr) -> None:
    row = tl.program_id(0).to(tl.int64)
    last = tl.load(ptr + row + 1)
    for start in range(tl.load(ptr + row), last, BLOCK):
        entry = start + tl.arange(0, BLOCK)
        inside = entry < last
        column = tl.load(index + entry, mask=inside, other=0)
        bit = tl.full([BLOCK], 1, tl.int32) << (column % 32).to(tl.int32)
        tl.atomic_or(words + row * width + column // 32, bit, mask=inside)


@kernel
def bit_at(words: tl.tensor, width: tl.tensor, row: tl.tensor, column: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """The bits of some places: 0 or 1, int32, 0 where not ``inside``."""
    word = tl.load(words + row * width + column // 32, mask=inside, other=0)
    return (word >> (column % 32).to(tl.int32)) & 1

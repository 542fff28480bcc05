"""Row updates in Triton: entries sorted by row, and the program of a row's first entry does all of that row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.jit import kernel

__all__ = ["update_rows"]

_ENTRIES = 8  # of a row that are added up at once


def update_rows(
    weight: Tensor,
    index: Tensor,
    gradient: Tensor,
    rule: str,
    state: Sequence[Tensor],
    numbers: Sequence[float],
) -> None:
    """See :func:`relgraph.ops.embedding_update`; float32, float16 or bfloat16, computed in float32.

    The numbers are those of ``_update`` from ``lr`` to ``correction``.
    """
    n, d = gradient.shape
    if not n or not d:
        return
    rows, order = torch.sort(index, stable=True)  # equal input is added up in equal order
    given = [weight, *state]
    tables = [x.contiguous() for x in given]
    first, second = [*tables[1:], None, None][:2]
    columns = min(triton.next_power_of_2(d), 512)
    _update[n, -(-d // columns)](
        tables[0], first, second, rows, order, gradient.contiguous(), n, *numbers,
        D=d, RULE=rule, ENTRIES=_ENTRIES, COLUMNS=columns, num_warps=2 if columns <= 256 else 4,
    )  # fmt: skip
    for table, x in zip(tables, given, strict=True):
        if table is not x:
            x.copy_(table)


@kernel
def _update(
    weight: tl.tensor,  # [N, D]
    first: tl.tensor,  # [N, D]: squares of Adagrad, mean of Adam
    second: tl.tensor,  # [N, D]: squares of Adam
    rows: tl.tensor,  # int64 [n], sorted
    order: tl.tensor,  # int64 [n]: where the gradient of each stands
    gradient: tl.tensor,  # [n, D]
    n: tl.tensor,
    lr: tl.tensor,
    eps: tl.tensor,
    new_mean: tl.tensor,  # 1 - the first beta
    old_squares: tl.tensor,  # the second beta
    new_squares: tl.tensor,
    rate: tl.tensor,  # lr over the correction of the mean
    correction: tl.tensor,  # of the squares
    D: tl.constexpr,
    RULE: tl.constexpr,
    ENTRIES: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    start = tl.program_id(0)
    row = tl.load(rows + start)
    before = tl.load(rows + start - 1, mask=start > 0, other=-1)
    if row != before:
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        inside = columns < D
        total = tl.zeros([COLUMNS], tl.float32)
        found = ENTRIES
        while found == ENTRIES:
            entry = start + tl.arange(0, ENTRIES)
            same = tl.load(rows + entry, mask=entry < n, other=-1) == row
            source = tl.load(order + entry, mask=same, other=0)
            part = tl.load(
                gradient + source[:, None] * D + columns[None, :], mask=same[:, None] & inside[None, :], other=0.0
            )
            total += tl.sum(part.to(tl.float32), 0)
            found = tl.sum(same.to(tl.int32), 0)
            start += ENTRIES
        at = row * D + columns
        value = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
        if RULE == "sgd":
            value -= lr * total
        elif RULE == "adagrad":
            squares = tl.load(first + at, mask=inside, other=0.0).to(tl.float32) + total * total
            tl.store(first + at, squares.to(first.dtype.element_ty), mask=inside)
            value -= lr * total / (tl.sqrt(squares) + eps)
        else:
            mean = tl.load(first + at, mask=inside, other=0.0).to(tl.float32)
            mean += new_mean * (total - mean)
            squares = tl.load(second + at, mask=inside, other=0.0).to(tl.float32)
            squares = old_squares * squares + new_squares * total * total
            tl.store(first + at, mean.to(first.dtype.element_ty), mask=inside)
            tl.store(second + at, squares.to(second.dtype.element_ty), mask=inside)
            value -= rate * mean / (tl.sqrt(squares * correction) + eps)
        tl.store(weight + at, value.to(weight.dtype.element_ty), mask=inside)

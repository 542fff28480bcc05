"""What the operations on score matrices share: argument checks and the walk over tiles.

The score of query ``i`` and candidate ``j`` is
``alpha * query[i] . candidates[j] + query_bias[i] + candidate_bias[j]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from relgraph.data.statements import csr_ptr
from relgraph.errors import ProtocolError, ShapeError

__all__ = [
    "Csr",
    "RowBlock",
    "Scores",
    "check_csr",
    "check_numbers",
    "csr_rows",
    "csr_select",
    "distinct_csr",
    "full_precision",
    "nan_error",
    "refuse_nan",
    "spans",
]

Csr = tuple[Tensor, Tensor]
"""``(ptr, index)``: row ``i`` holds ``index[ptr[i]:ptr[i + 1]]``; both int64, ``ptr`` is ``[rows + 1]``."""


@dataclass(frozen=True)
class Scores:
    """The factors of a score matrix ``[B, N]`` that is only ever looked at tile by tile.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.

    Raises:
        ShapeError: If shapes, dtypes or devices do not fit together.
    """

    query: Tensor
    candidates: Tensor
    query_bias: Tensor | None = None
    candidate_bias: Tensor | None = None
    alpha: float = 1.0

    def __post_init__(self) -> None:
        query, candidates = self.query, self.candidates
        if query.dim() != 2 or candidates.dim() != 2 or query.shape[1] != candidates.shape[1]:
            raise ShapeError(
                f"expected query [B, K] and candidates [N, K], got {list(query.shape)} and {list(candidates.shape)}"
            )
        if not query.is_floating_point() or candidates.dtype != query.dtype or candidates.device != query.device:
            raise ShapeError(
                "expected query and candidates of one floating dtype on one device, got "
                f"{query.dtype} on {query.device} and {candidates.dtype} on {candidates.device}"
            )
        _check_bias("query_bias", self.query_bias, query)
        _check_bias("candidate_bias", self.candidate_bias, candidates)

    @property
    def num_queries(self) -> int:
        """``B``."""
        return self.query.shape[0]

    @property
    def num_candidates(self) -> int:
        """``N``."""
        return self.candidates.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the factors are."""
        return self.query.device

    @property
    def dtype(self) -> torch.dtype:
        """What the factors are."""
        return self.query.dtype

    def select(self, queries: Tensor | slice, candidates: Tensor | slice) -> Scores:
        """The factors of a part of the matrix."""
        return Scores(
            self.query[queries],
            self.candidates[candidates],
            None if self.query_bias is None else self.query_bias[queries],
            None if self.candidate_bias is None else self.candidate_bias[candidates],
            self.alpha,
        )

    def accurate(self) -> Scores:
        """The same factors, in float32 where they have less: ranks are never taken from half precision."""
        if self.query.dtype in (torch.float32, torch.float64):
            return self
        up = [None if x is None else x.float() for x in (self.query_bias, self.candidate_bias)]
        return Scores(self.query.float(), self.candidates.float(), up[0], up[1], self.alpha)

    def tile(self, rows: slice, columns: slice) -> Tensor:
        """The scores of a block of queries and a block of candidates, a new tensor ``[rows, columns]``.

        The same block has the same bits every time: the product has the same shape and the same operands.
        """
        score = self.query[rows] @ self.candidates[columns].T  # [rows, columns]
        if self.alpha != 1.0:
            score *= self.alpha
        if self.query_bias is not None:
            score += self.query_bias[rows, None]
        if self.candidate_bias is not None:
            score += self.candidate_bias[columns]
        return score


def spans(size: int, step: int) -> Iterator[slice]:
    """``0:step, step:2 step, ...`` up to ``size``."""
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def check_csr(name: str, csr: Csr, num_rows: int, num_columns: int) -> None:
    """Check that ``csr`` has ``num_rows`` rows of numbers below ``num_columns``.

    Raises:
        ShapeError: If it has not.
    """
    ptr, index = csr
    if ptr.dtype != torch.int64 or index.dtype != torch.int64 or ptr.dim() != 1 or index.dim() != 1:
        raise ShapeError(f"{name}: expected ptr and index as int64 vectors, got {ptr.dtype} and {index.dtype}")
    if ptr.numel() != num_rows + 1:
        raise ShapeError(f"{name}.ptr: expected {num_rows + 1} values for {num_rows} rows, got {ptr.numel()}")
    # one question to the device, not one per value
    ends = [ptr[0], ptr[-1], ptr.diff().amin() if num_rows else ptr[0], *(index.aminmax() if index.numel() else ())]
    first, last, least_step, *limits = torch.stack(ends).tolist()
    if first != 0 or last != index.numel() or least_step < 0:
        raise ShapeError(f"{name}.ptr: expected 0 .. {index.numel()} without a decrease, got {first} .. {last}")
    if limits and (limits[0] < 0 or limits[1] >= num_columns):
        raise ShapeError(f"{name}.index: expected numbers in 0..{num_columns - 1}, got {limits[0]}..{limits[1]}")


def check_numbers(name: str, numbers: Tensor, size: int, what: str = "numbers") -> None:
    """Check that whole numbers are in ``0..size-1``.

    Raises:
        ShapeError: If one is not.
    """
    if numbers.numel():
        least, most = torch.stack(numbers.aminmax()).tolist()  # one question to the device
        if least < 0 or most >= size:
            raise ShapeError(f"{name}: expected {what} in 0..{size - 1}, got {least}..{most}")


def csr_rows(ptr: Tensor) -> Tensor:
    """The row of every entry, int64 ``[nnz]``."""
    return torch.repeat_interleave(torch.arange(ptr.numel() - 1, device=ptr.device), ptr.diff())


def csr_select(csr: Csr, rows: Tensor) -> Csr:
    """Some rows of a CSR, in the order of ``rows`` (int64 ``[n]``)."""
    ptr, index = csr
    counts = ptr.diff()[rows]
    start = csr_ptr(counts)
    shift = torch.repeat_interleave(ptr[:-1][rows] - start[:-1], counts)
    return start, index[torch.arange(int(start[-1]), device=ptr.device) + shift]


def distinct_csr(csr: Csr, num_columns: int) -> Csr:
    """The same rows with sorted, distinct entries; ``csr`` itself if it is so already."""
    ptr, index = csr
    key = csr_rows(ptr) * num_columns + index
    if bool((key.diff() > 0).all()):
        return csr
    key = torch.unique(key)
    counts = torch.bincount(torch.div(key, max(num_columns, 1), rounding_mode="floor"), minlength=ptr.numel() - 1)
    return csr_ptr(counts), key % max(num_columns, 1)


class RowBlock:
    """The entries of some CSR rows, ordered by column: each tile of ``width`` columns finds its own as a slice."""

    bounds: list[int]

    def __init__(self, csr: Csr, rows: slice, num_columns: int, width: int) -> None:
        ptr = csr[0][rows.start : rows.stop + 1]
        index = csr[1][int(ptr[0]) : int(ptr[-1])]
        self.row, self.column = csr_rows(ptr), index
        if num_columns <= width:  # one tile has them all
            self.bounds = [0, len(index)]
            return
        order = index.argsort()
        self.row, self.column = self.row[order], index[order]
        edges = torch.arange(0, num_columns + width, width, device=index.device)
        self.bounds = torch.searchsorted(self.column, edges).tolist()

    def positions(self, number: int, columns: slice) -> tuple[Tensor, Tensor]:
        """Row and column, both counted inside the tile, of the entries in tile ``number``."""
        part = slice(self.bounds[number], self.bounds[number + 1])
        return self.row[part], self.column[part] - columns.start


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products in full float32: neither TF32 nor bfloat16, whatever the caller has set."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


def refuse_nan(score: Tensor) -> None:
    """Refuse scores that cannot be ordered.

    Raises:
        ProtocolError: If a score is NaN.
    """
    # amax hands NaN on, in one pass and without a mask
    if score.numel() and bool(score.amax().isnan()):
        raise nan_error(f"{int(score.isnan().sum())} in one tile of {score.numel()}")


def nan_error(found: str) -> ProtocolError:
    """What is raised for scores that cannot be ordered, with how many there are."""
    return ProtocolError(
        f"expected numbers as scores, got NaN ({found}): a NaN has no rank; look for a training that diverged, and "
        "lower its learning rate"
    )


def _check_bias(name: str, bias: Tensor | None, factor: Tensor) -> None:
    if bias is not None and (bias.shape != factor.shape[:1] or bias.dtype != factor.dtype):
        raise ShapeError(f"{name}: expected {factor.dtype} [{factor.shape[0]}], got {bias.dtype} {list(bias.shape)}")

"""How functions are compiled by Numba here, and how they use several cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import torch
from numba import njit

__all__ = ["compiled", "over_rows"]

Result = TypeVar("Result")


def compiled(function: Callable[..., Any] | None = None, *, any_order: bool = False) -> Any:
    """Compile on the first call, without the interpreter's lock, and keep it on disk where a folder can be written.

    Numba's cache notices a change only in the file of the function that is called: what it calls must be there too.

    Args:
        function: What to compile.
        any_order: Whether sums of floats may be taken in any order and a division by zero gives infinity, so that
            loops become vector instructions. NaN and infinity stay what they are.
    """
    if function is None:
        return lambda given: compiled(given, any_order=any_order)
    options: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"} if any_order else {}
    made = njit(nogil=True, **options)(function)
    try:
        made.enable_caching()
    except RuntimeError:  # neither the package's folder nor the user's can be written: each process compiles
        return made
    return made


def over_rows(work: Callable[[int, int], Result], num_rows: int, least: int = 1) -> list[Result]:
    """Call ``work(start, stop)`` for parts of some rows, in as many threads as PyTorch uses here.

    Args:
        work: Compiled, so that threads do not wait for each other; parts must not write to the same place.
        num_rows: How many rows there are; none is one empty part.
        least: The fewest rows worth a thread.

    Returns:
        What each part gave, in order.
    """
    number = max(min(torch.get_num_threads(), num_rows // max(least, 1)), 1)
    if number == 1:
        return [work(0, num_rows)]
    bounds = [num_rows * i // number for i in range(number + 1)]
    parts = [_threads(os.getpid()).submit(work, a, b) for a, b in pairwise(bounds[1:])]
    return [work(0, bounds[1]), *(part.result() for part in parts)]


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """Those of a process: a fork has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="relgraph")

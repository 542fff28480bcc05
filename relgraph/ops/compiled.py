"""How functions are compiled by Numba here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile on the first call, without the interpreter's lock, and keep it on disk where a folder can be written.

    Numba's cache notices a change only in the file of the function that is called: what it calls must be there too.
    """
    made = njit(nogil=True)(function)
    try:
        made.enable_caching()
    except RuntimeError:  # neither the package's folder nor the user's can be written: each process compiles
        return made
    return made

"""New memory of large tensors in pages of 2 MB."""

from __future__ import annotations

import ctypes
import sys

from torch import Tensor

__all__ = ["in_huge_pages"]

_LARGE, _PAGE, _ADVICE = 2**24, 2**21, 14  # bytes; MADV_HUGEPAGE of Linux


def in_huge_pages(new: Tensor) -> Tensor:
    """``new`` itself, contiguous memory that nothing has touched yet, with the advice to Linux to use huge pages.

    The first touch of a small page costs a microsecond: for the gradient of many experts as much as its products. A
    tensor that is not large or not on the CPU, another system, or one without huge pages: nothing happens.
    """
    size = new.nbytes
    if size >= _LARGE and new.device.type == "cpu" and sys.platform == "linux":
        first = -(-new.data_ptr() // _PAGE) * _PAGE
        last = (new.data_ptr() + size) // _PAGE * _PAGE
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _ADVICE)
    return new

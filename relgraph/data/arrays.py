"""Room for the arrays of a graph: memory, or files without a name that vanish with the last use of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from relgraph.data.folder import scratch_file
from relgraph.errors import AdapterError

__all__ = ["PIECE", "Arrays"]

PIECE = 1 << 20
"""Elements that long arrays are worked on at a time, so that no step needs a second array of full length."""

_SMALL = 1 << 20  # bytes that are not worth a file


class Arrays:
    """Gives out CPU tensors.

    Args:
        folder: Where the files lie, on a disk with room for the whole graph; memory is used without it. A file is
            mapped and has no name, so whatever happens to this process, nothing stays behind.
        kind: What is built, for the names that files have for a moment.

    Raises:
        AdapterError: If the folder cannot be made or written to.
    """

    def __init__(self, folder: Path | None = None, kind: str = "graph") -> None:
        self._folder, self._kind = folder, kind
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AdapterError(f"cannot make the folder {folder}: {error.strerror or error}") from None

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """An array of any content.

        Raises:
            AdapterError: If the disk has no room for it; the room is taken at once, because a full disk under mapped
                memory would end the process.
        """
        count = math.prod(shape)
        size = count * dtype.itemsize
        if self._folder is None or size < _SMALL:
            return torch.empty(tuple(shape), dtype=dtype)
        try:
            with scratch_file(self._folder, self._kind) as (handle, file):
                if hasattr(os, "posix_fallocate"):  # not on macOS
                    os.posix_fallocate(handle, 0, size)
                return torch.from_file(str(file), shared=True, size=count, dtype=dtype).view(tuple(shape))
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AdapterError(f"{self._folder}: no room for {size:,} bytes while building: {reason}; free some disk")

    def full(self, shape: Sequence[int], value: float, dtype: torch.dtype) -> Tensor:
        """An array of one value."""
        return self.empty(shape, dtype).fill_(value)

"""Kernels run in Triton's interpreter here, which has to be asked for before Triton is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def new_memory_is_nan() -> Iterator[None]:
    """``torch.empty`` gives NaN, so that a cell that no kernel writes shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)

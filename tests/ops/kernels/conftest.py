"""Kernels write all of their output; tests/conftest.py asks for Triton's interpreter where there is no GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def new_memory_is_nan() -> Iterator[None]:
    """``torch.empty`` gives NaN, so that a cell that no kernel writes shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)

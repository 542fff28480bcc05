"""How kernels are made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton

__all__ = ["kernel", "processors"]


def kernel(function: Callable[..., Any]) -> Any:
    """A kernel of Triton, or with ``TRITON_INTERPRET=1`` one that runs on the CPU; compiled on the first call."""
    return triton.jit(function)


def processors(device: torch.device) -> int:
    """How many programs run side by side; a few on the CPU, where they run one after another."""
    if device.type != "cuda":
        return 4
    return int(torch.cuda.get_device_properties(device).multi_processor_count)

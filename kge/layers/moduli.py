"""Complex numbers in rows of real and imaginary parts."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["moduli"]


def moduli(rows: Tensor) -> Tensor:
    """The moduli of complex rows that hold real, then imaginary parts: ``[B, dim]`` of ``[B, 2 * dim]``."""
    # a norm's gradient is zero where its vector is, a square root's is not
    result: Tensor = torch.linalg.vector_norm(rows.view(len(rows), 2, -1), dim=1)
    return result

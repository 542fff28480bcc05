"""Dropout with four keep-or-drop decisions per random number on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from relgraph.errors import ShapeError

__all__ = ["dropout"]

_LEVELS = 1 << 16


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    r"""Zero each element with probability :math:`p` and divide the others by :math:`1 - p` (Hinton et al. 2012).

    Off the CPU this is PyTorch's own. On the CPU PyTorch draws one Bernoulli variable per element from a serial
    generator, which takes twice the time of the matrix product before it; 16 of the generator's bits decide as well.
    There :math:`p` is rounded to a multiple of :math:`2^{-16}`, and the scale is that of the rounded one, so the
    expectation is exactly ``x``.

    Args:
        x: Any shape, floating point.
        p: From 0 to 1.
        training: ``False`` gives ``x`` itself.

    Raises:
        ShapeError: If ``p`` is not in 0..1.
    """
    if not 0 <= p <= 1:
        raise ShapeError(f"p: expected a probability from 0 to 1, got {p}")
    if not training or p == 0:
        return x
    limit = round(p * _LEVELS)
    if x.device.type != "cpu" or limit == _LEVELS:
        return F.dropout(x, p)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)  # uniform on -2^15 .. 2^15 - 1
    keep = bits >= limit - _LEVELS // 2
    return x * keep.to(x.dtype).mul_(_LEVELS / (_LEVELS - limit))

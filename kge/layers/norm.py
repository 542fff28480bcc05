"""Batch norm that takes any batch."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["BatchNorm"]


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that falls back on its running statistics where a batch has fewer than two rows.

    It takes ``[B, C]`` and ``[B, C, ...]``; the fallback is by ``B``, so one row never sees itself only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel, ``[B, C]`` or ``[B, C, ...]``."""
        if self.training and len(input) < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of places per channel."""

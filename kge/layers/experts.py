"""The feed-forward part of a transformer layer: one network for every token, or a few of many experts for each."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from relgraph.data.statements import csr_ptr
from relgraph.errors import ShapeError
from relgraph.kge.layers.dropout import Dropout
from relgraph.ops.grouped_matmul import grouped_matmul

__all__ = ["Experts", "feed_forward"]


class Experts(nn.Module):
    r"""Mixture of experts with a gate that takes the best few of them (Shazeer et al. 2017, arXiv 1701.06538).

    With gate scores :math:`g = x W_g + b_g` and the ``top`` largest of them :math:`T`,

    .. math:: y = \sum_{e \in T} \mathrm{softmax}(g_T)_e \;
              \big(\mathrm{dropout}(\mathrm{ReLU}(x A_e + a_e)) B_e + b_e\big)

    Tokens are ordered by expert, and each expert's products take its own tokens (:func:`relgraph.ops.grouped_matmul`).
    There is no term that balances the load, as in HyperFormer; nothing is padded, however uneven it is.

    Args:
        dim: Length of the tokens.
        hidden: Hidden units of each expert.
        experts: How many there are.
        top: How many each token asks.
        dropout: Share of the hidden units that training drops.

    Raises:
        ShapeError: If ``top`` is not in ``1..experts``.
    """

    def __init__(self, dim: int, hidden: int, experts: int, *, top: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        if not 1 <= top <= experts:
            raise ShapeError(f"top: expected a number in 1..{experts}, the experts there are, got {top}")
        self.top = top
        self.gate = nn.Linear(dim, experts)
        self.up = nn.Parameter(_uniform(experts, dim, hidden, fan_in=dim))
        self.up_bias = nn.Parameter(_uniform(experts, 1, hidden, fan_in=dim))
        self.down = nn.Parameter(_uniform(experts, hidden, dim, fan_in=hidden))
        self.down_bias = nn.Parameter(_uniform(experts, 1, dim, fan_in=hidden))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``[T, dim]`` to ``[T, dim]``."""
        if not len(x):
            return x
        score, expert = self.gate(x).topk(self.top, dim=1)  # [T, top]
        order = expert.flatten().argsort(stable=True)
        expert, token = expert.flatten()[order], order // self.top
        ptr = csr_ptr(torch.bincount(expert, minlength=len(self.up)))
        hidden = grouped_matmul(x.index_select(0, token), ptr, self.up, self.up_bias[:, 0])  # [T * top, hidden]
        answer = grouped_matmul(self.dropout(hidden.relu_()), ptr, self.down, self.down_bias[:, 0])  # [T * top, dim]
        share = score.softmax(1).flatten()[order, None]
        return torch.zeros_like(x).index_add(0, token, (answer * share).to(x.dtype))


def feed_forward(dim: int, hidden: int, experts: int, top: int, dropout: float) -> nn.Module:
    """:class:`Experts`, or where there are fewer than two, one network ``dim -> hidden -> dim`` with ReLU."""
    if experts < 2:
        return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), Dropout(dropout), nn.Linear(hidden, dim))
    return Experts(dim, hidden, experts, top=top, dropout=dropout)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """As :class:`torch.nn.Linear` starts."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(*shape).uniform_(-bound, bound)

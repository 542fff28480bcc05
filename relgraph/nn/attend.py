"""Attention over the edges of a target, the one step that all attending networks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from relgraph.ops.dropout import dropout
from relgraph.ops.gather_scale_scatter import gather_scale_scatter
from relgraph.ops.segment_softmax import segment_softmax

__all__ = ["attend"]


def attend(
    scores: Sequence[Tensor],
    values: Sequence[Tensor],
    edges: Sequence[Tensor],
    num_targets: int,
    p: float = 0.0,
    training: bool = False,
) -> Tensor:
    r"""The mean of the sources of each target, weighed by attention, for each head.

    .. math:: y_{ih} = \sum_r \sum_{(j, i) \in E_r} \alpha_{jih}\, v_{rjh}, \qquad
        \alpha_{jih} = \frac{\exp s_{jih}}{\sum_{r'} \sum_{(k, i) \in E_{r'}} \exp s_{kih}}

    Args:
        scores: Per edge type :math:`r` the scores :math:`s`, ``[E_r, heads]``.
        values: Per edge type the values :math:`v` of its sources, ``[N_r, heads * width]``.
        edges: Per edge type its edges, int64 ``[2, E_r]``.
        num_targets: How many targets there are.
        p: Probability of dropping an attention weight.
        training: Whether to drop.

    Returns:
        ``[num_targets, heads * width]``; 0 for a target without edges.
    """
    weight = segment_softmax(torch.cat(list(scores)), torch.cat([index[1] for index in edges]), num_targets)
    weight = dropout(weight, p, training)
    parts = torch.split(weight, [s.size(0) for s in scores])
    kind = torch.promote_types(values[0].dtype, weight.dtype)
    out = values[0].new_zeros(num_targets, values[0].size(1), dtype=kind)
    for value, edge_index, part in zip(values, edges, parts, strict=True):
        out = out + gather_scale_scatter(value.to(kind), edge_index, num_targets, edge_weight=part.to(kind))
    return out

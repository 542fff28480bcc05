"""Message passing over statements whose qualifiers have a say in every message."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from relgraph.errors import ShapeError
from relgraph.kge.facts import Facts
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.norm import BatchNorm

__all__ = ["COMPOSITIONS", "Composition", "StatementConv", "compose"]

Composition = Literal["rotate", "mult", "ccorr"]
COMPOSITIONS: tuple[Composition, ...] = ("rotate", "mult", "ccorr")


def compose(composition: Composition, entity: Tensor, relation: Tensor) -> Tensor:
    r"""An entity and a relation as one vector, ``[..., dim]`` each.

    ``"rotate"`` is the product of complex numbers whose real parts are the first half of the coordinates, ``"mult"``
    that of coordinates, ``"ccorr"`` circular correlation, :math:`\sum_i e_i r_{(i + j) \bmod d}`.
    """
    if composition == "mult":
        return entity * relation
    if composition == "ccorr":
        spectrum = torch.fft.rfft(entity).conj() * torch.fft.rfft(relation)
        correlation: Tensor = torch.fft.irfft(spectrum, n=entity.shape[-1])
        return correlation
    (a, b), (c, d) = entity.chunk(2, -1), relation.chunk(2, -1)
    return torch.cat([a * c - b * d, a * d + b * c], -1)


class StatementConv(nn.Module):
    r"""A layer of StarE's encoder (Galkin et al. 2020, EMNLP, arXiv 2009.10847, equations 5 to 7).

    With :math:`\phi` a :func:`composition <compose>`, an edge with qualifiers :math:`(q, v)` has the relation

    .. math:: \gamma = \beta\, h_r + (1 - \beta)\, W_q \sum_{(q, v)} \phi(h_v, h_q)

    and every entity becomes, with its degree :math:`c` in each of the two directions apart,

    .. math:: h_u' = \tanh BN \frac{1}{3} \Big( W_{loop}\, \phi(h_u, h_{loop}) + \sum_{\lambda \in \{in, out\}}
              D\big(W_\lambda \sum_{(u, r, w)} (c_u c_w)^{-1/2}\, \phi(h_w, \gamma)\big) \Big), \quad h_r' = W_{rel} h_r

    Messages are summed before they are multiplied by :math:`W_\lambda`, which is the same and costs a product per
    entity, not per edge. The published normalisation gives an edge to an entity without edges of that direction the
    weight 0; here the degree counts as at least 1.

    Args:
        dim: Length of all vectors.
        composition: :math:`\phi`.
        share: :math:`\beta`, how much a relation counts beside its qualifiers.
        dropout: Share of the messages' coordinates that training drops.

    Raises:
        ShapeError: If the composition is unknown, or needs an even ``dim``.
    """

    def __init__(self, dim: int, composition: Composition, share: float, dropout: float) -> None:
        super().__init__()
        if composition not in COMPOSITIONS:
            raise ShapeError(f"composition: expected one of {', '.join(COMPOSITIONS)}, got {composition!r}")
        if composition == "rotate" and dim % 2:
            raise ShapeError(f"dim: composition='rotate' takes an even number of coordinates, got {dim}")
        self.composition, self.share = composition, share
        self.forth, self.back, self.loop, self.relation, self.qualifier = (
            nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, dim))) for _ in range(5)
        )
        self.loop_relation = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, dim)))
        self.norm = BatchNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, entity: Tensor, relation: Tensor, facts: Facts) -> tuple[Tensor, Tensor]:
        """New entities ``[N, dim]`` and relations ``[2 R, dim]`` from those before."""
        half = facts.num_statements
        qualifier = self._qualifiers(entity, relation, facts)
        total = compose(self.composition, entity, self.loop_relation) @ self.loop
        for weight, edges in ((self.forth, slice(0, half)), (self.back, slice(half, 2 * half))):
            target, source = facts.entity[edges], facts.answer[edges]
            message = compose(
                self.composition, entity[source], self.share * relation[facts.relation[edges]] + qualifier
            )
            scale = torch.bincount(target, minlength=len(entity)).clamp(min=1).to(entity.dtype).rsqrt()
            message = message * (scale[target] * scale[source])[:, None]
            total = total + self.dropout(torch.zeros_like(entity).index_add(0, target, message) @ weight)
        changed: Tensor = self.norm(total / 3)
        return changed.tanh(), relation @ self.relation

    def _qualifiers(self, entity: Tensor, relation: Tensor, facts: Facts) -> Tensor:
        """What the qualifiers add to the relation of each statement, ``[S, dim]``."""
        pairs = facts.qualifiers
        product = compose(self.composition, entity[pairs.entity], relation[pairs.relation])
        total = entity.new_zeros(len(pairs), entity.shape[1]).index_add(0, pairs.statement, product)
        return (1 - self.share) * (total @ self.qualifier)

"""A pre-LN transformer encoder over padded sequences of tokens."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.errors import ShapeError
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.experts import feed_forward

__all__ = ["TransformerEncoder"]


class TransformerEncoder(nn.Module):
    r"""Layers of self-attention and feed-forward, each normalised before and added to its input (Xiong et al. 2020).

    .. math:: x \leftarrow x + \mathrm{attention}(\mathrm{LN}(x)), \quad
              x \leftarrow x + \mathrm{dropout}(\mathrm{feedforward}(\mathrm{LN}(x)))

    and a last layer norm. Padding is neither attended to nor given to the feed-forward part.

    Args:
        dim: Length of the tokens.
        layers: How many layers.
        heads: Heads of the attention; they divide ``dim``.
        hidden: Hidden units of the feed-forward part, or of each expert.
        experts: Experts of the feed-forward part; fewer than two are one network for every token.
        top: Experts that each token asks.
        attention_dropout: Share of the attention weights that training drops.
        dropout: Share of hidden units, and of what the feed-forward part gives, that training drops.

    Raises:
        ShapeError: If ``heads`` does not divide ``dim``.
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        heads: int,
        hidden: int,
        *,
        experts: int = 0,
        top: int = 2,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ShapeError(f"heads: expected a divisor of dim, got {heads} heads for {dim} coordinates")
        parts = (_Layer(dim, heads, hidden, experts, top, attention_dropout, dropout) for _ in range(layers))
        self.layers = nn.ModuleList(parts)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Encode sequences.

        Args:
            x: Tokens ``[B, L, dim]``.
            real: Which of them are no padding, bool ``[B, L]``; at least one in each sequence.

        Returns:
            ``[B, L, dim]``; padding comes out as something without meaning.
        """
        mask = None if bool(real.all()) else real
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.norm(x)
        return out


class _Layer(nn.Module):
    def __init__(
        self, dim: int, heads: int, hidden: int, experts: int, top: int, attention_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.first_norm, self.second_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.project, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed_forward = feed_forward(dim, hidden, experts, top, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        x = x + self._attend(self.first_norm(x), real)
        tokens = self.second_norm(x)
        if real is None:
            whole: Tensor = self.dropout(self.feed_forward(tokens.flatten(0, 1)))
            return x + whole.view_as(x)
        change: Tensor = self.dropout(self.feed_forward(tokens[real]))
        return x.index_put(real.nonzero(as_tuple=True), change.to(x.dtype), accumulate=True)

    def _attend(self, x: Tensor, real: Tensor | None) -> Tensor:
        query, key, value = self.project(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, L, d]
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if real is None else real[:, None, None, :],
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        answer: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return answer

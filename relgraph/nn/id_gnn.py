"""The two parts of an ID-GNN: edges that let a message come back from the seed, and a vector per known row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from relgraph.data.graph import EdgeType, NodeStore, NodeType, reverse_type

__all__ = ["RowEmbedding", "both_ways", "row_codes"]


def both_ways(
    edge_index: Mapping[EdgeType, Tensor], num_nodes: Mapping[NodeType, int], stored: list[EdgeType]
) -> dict[EdgeType, Tensor]:
    """Every sampled edge in both directions, once.

    A sampler's edges point to the seed, so nothing that the seed knows reaches the other rows of its subgraph; ID-GNN
    (You et al. 2021, arXiv 2101.10320) needs that way too.

    Args:
        edge_index: Sampled edges per type, ``rev_`` types among them, int64 ``[2, E]``.
        num_nodes: Rows of the sample per node type.
        stored: The edge types without ``rev_``.

    Returns:
        The same types, an edge type and its ``rev_`` holding the same pairs, ascending.
    """
    out = {}
    for edge_type in stored:
        back = reverse_type(edge_type)
        parts = [edge_index[edge_type]] if edge_type in edge_index else []
        parts += [edge_index[back].flip(0)] if back in edge_index else []
        if not parts:
            continue
        row, col = torch.cat(parts, dim=1)
        size = max(num_nodes[edge_type[2]], 1)
        pairs = torch.unique(row * size + col)
        index = torch.stack([pairs // size, pairs % size])
        out[edge_type], out[back] = index, index.flip(0)
    return out


def row_codes(store: NodeStore) -> Tensor:
    """A number per row that depends on the row's key alone, int64 ``[N]``; the row number where there is no key."""
    if store.keys is None:
        return torch.arange(store.num_nodes)
    digests = (hashlib.blake2b(label.encode(), digest_size=8).digest() for label in store.keys.labels())
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=torch.int64)


class RowEmbedding(nn.Module):
    """A learned vector per row of a table, found by the row's key: a row that came after the training has zeros.

    Args:
        store: The table as it is now.
        width: Length of the vectors.
        trained: Codes of the rows that have a vector, ascending, int64 ``[M]``; by default all of ``store``.
    """

    trained: Tensor
    _code: Tensor

    def __init__(self, store: NodeStore, width: int, trained: Tensor | None = None) -> None:
        super().__init__()
        code = row_codes(store)
        self.register_buffer("_code", code, persistent=False)
        self.register_buffer("trained", torch.unique(code) if trained is None else trained.clone())
        self.weight = nn.Parameter(torch.empty(self.trained.numel(), width).normal_(std=0.02))

    def forward(self, rows: Tensor) -> Tensor:
        """The vectors of rows, int64 ``[n]``, as ``[n, width]``."""
        code = self._code[rows]
        if not self.trained.numel():
            return self.weight.new_zeros(code.numel(), self.weight.size(1))
        place = torch.searchsorted(self.trained, code).clamp(max=self.trained.numel() - 1)
        known = self.trained[place] == code
        return self.weight[place] * known.unsqueeze(1)

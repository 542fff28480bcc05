"""The score of one target row for one source row as a function of gates."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from relgraph.data.graph import EdgeType, NodeType
from relgraph.nn.gated import GatedGraph
from relgraph.nn.id_gnn import both_ways
from relgraph.nn.link_model import LinkModel

__all__ = ["GatedLink"]


class GatedLink(GatedGraph):
    """The score that a :class:`LinkModel` gives a target row, by the gates of the source row's subgraph.

    What the model knows of the target row by itself, its vector and its bias, is taken as it is. A target row that is
    in the subgraph counts there as much as its row gate is open.

    Args:
        model: The model, in evaluation mode.
        batch: The subgraph of one source row, from PyG's ``NodeLoader``.
        target: The number of the target row.
        vector: Its vector, ``[1, K]``.
        bias: Its bias, ``[1]``.

    Raises:
        ShapeError: If the batch has several seeds.
    """

    vector: Tensor
    bias: Tensor

    def __init__(self, model: LinkModel, batch: HeteroData, target: int, vector: Tensor, bias: Tensor) -> None:
        edges = batch.edge_index_dict
        if model.inside:
            edges = both_ways(edges, {name: batch[name].n_id.numel() for name in batch.node_types}, model._stored)
        channels = model.mark.numel() if model.inside else model.query.in_features
        super().__init__(model.encoder, model.gnn, channels, model.source_table, batch, edges)
        self.target_table = model.target_table
        self.query = copy.deepcopy(model.query) if model.towers else None
        self.pair = copy.deepcopy(model.pair) if model.inside else None
        self.mark = copy.deepcopy(model.mark) if model.inside else None
        reached = batch[model.target_table].n_id == target if model.inside else torch.zeros(0, dtype=torch.bool)
        self.places: list[int] = reached.nonzero().flatten().tolist()  # of the target row in the subgraph
        self.register_buffer("vector", vector.detach(), persistent=False)
        self.register_buffer("bias", bias.detach(), persistent=False)
        self.freeze()

    def forward(self, x_dict: Mapping[NodeType, Tensor], edge_index_dict: Mapping[EdgeType, Tensor]) -> Tensor:
        """The score, ``[1]``; arguments as of :meth:`GatedGraph.vectors`."""
        h = self.vectors(x_dict, edge_index_dict, self.mark)
        score = self.bias + 0 * h[self.entity_table][0, 0]
        if self.query is not None:
            score = score + (self.query(h[self.entity_table][:1]) * self.vector).sum(1)
        if self.pair is not None and self.places:
            here = x_dict[self.target_table][self.places, 0]
            score = score + (here * self.pair(h[self.target_table][self.places]).squeeze(1)).sum().view(1)
        return score

"""A prediction per row of one table: encode, pass messages, read the row's own vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import MLP

from relgraph.data.graph import HeteroGraph, NodeType, reverse_type
from relgraph.errors import SchemaError, ShapeError
from relgraph.nn.encoders import HeteroEncoder
from relgraph.nn.gnns import make_gnn

__all__ = ["EntityModel"]


class EntityModel(nn.Module):
    """A tabular ResNet per table, the age of each row, message passing, and a head on the seed rows.

    With the defaults the GraphSAGE baseline of RelBench (Robinson et al. 2024, arXiv 2407.20060).

    Args:
        graph: The graph whose rows are encoded; its statistics set the encoders up.
        entity_table: Node type of the seeds.
        channels: Width of everything.
        layers: Rounds of message passing.
        out_channels: Outputs per seed.
        encoder_layers: Residual blocks of each table encoder.
        head_layers: Linear layers of the head; with more than one, batch norm and ReLU between them.
        dropout: In the table encoders, and on the seeds' own columns.
        aggr: How messages of one edge type meet; read by GraphSAGE alone.
        gnn: The message passing, a name of :data:`relgraph.nn.GNNS`.
        gnn_options: Its own options.
        seed_width: Columns that are given with each seed (:meth:`forward`, ``seed_x``); two layers make ``channels``
            of them, which the head reads beside the seed's vector.

    Raises:
        SchemaError: If the graph has no such table.
        ShapeError: If the message passing or one of its options is unknown.
    """

    def __init__(
        self,
        graph: HeteroGraph,
        entity_table: NodeType,
        channels: int = 128,
        layers: int = 2,
        out_channels: int = 1,
        encoder_layers: int = 4,
        head_layers: int = 1,
        dropout: float = 0.2,
        aggr: str = "sum",
        gnn: str = "sage",
        gnn_options: Mapping[str, Any] | None = None,
        seed_width: int = 0,
    ) -> None:
        super().__init__()
        if entity_table not in graph.nodes:
            raise SchemaError(f"entity_table: there is no table {entity_table!r}; tables: {', '.join(graph.nodes)}")
        self.entity_table = entity_table
        self.seed_width = seed_width
        edge_types = [direction for edge_type in graph.edges for direction in (edge_type, reverse_type(edge_type))]
        options = {"aggr": aggr, **(gnn_options or {})} if gnn == "sage" else dict(gnn_options or {})
        self.encoder = HeteroEncoder(graph.nodes, channels, encoder_layers, dropout)
        self.gnn = make_gnn(gnn, graph.node_types, edge_types, channels, layers, options)
        self.head = MLP(
            in_channels=2 * channels if seed_width else channels,
            hidden_channels=channels,
            out_channels=out_channels,
            num_layers=head_layers,
            norm="batch_norm",
        )
        self.seed_encoder = None
        if seed_width:
            self.seed_encoder = nn.Sequential(
                nn.Linear(seed_width, channels),
                nn.LayerNorm(channels),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(channels, channels),
                nn.ReLU(),
            )

    def forward(self, batch: HeteroData, seed_x: Tensor | None = None) -> Tensor:
        """Predict for the seeds of a batch from PyG's ``NodeLoader`` over a :class:`TemporalSampler`.

        Args:
            batch: With ``n_id``, ``batch`` and the sampled numbers per type, ``batch_size`` and, for a task with time,
                ``seed_time`` at the entity table.
            seed_x: The seeds' own columns, float ``[batch_size, seed_width]``, standardised, without NaN; needed where
                ``seed_width`` is not 0.

        Returns:
            ``[batch_size, out_channels]``.

        Raises:
            ShapeError: If ``seed_x`` has another shape than the model was built for.
        """
        return self.read(self.embed(batch), seed_x)

    def embed(self, batch: HeteroData) -> Tensor:
        """The vectors of the seeds before the head, ``[batch_size, channels]``; ``batch`` as in :meth:`forward`."""
        seeds = batch[self.entity_table]
        x = self.encoder(
            {name: batch[name].n_id for name in batch.node_types},
            {name: batch[name].batch for name in batch.node_types},
            seeds.seed_time if "seed_time" in seeds else None,
        )
        x = self.gnn(
            x,
            batch.edge_index_dict,
            {name: batch[name].num_sampled_nodes for name in batch.node_types},
            {name: batch[name].num_sampled_edges for name in batch.edge_types if "num_sampled_edges" in batch[name]},
        )
        out: Tensor = x[self.entity_table][: seeds.batch_size]
        return out

    def read(self, h: Tensor, seed_x: Tensor | None = None) -> Tensor:
        """The head: predictions ``[B, out_channels]`` from the seeds' vectors ``[B, channels]`` and their columns."""
        expected, given = (h.size(0), self.seed_width), (h.size(0), 0) if seed_x is None else tuple(seed_x.shape)
        if expected != given:
            raise ShapeError(f"seed_x: expected {list(expected)}, as seed_width says, got {list(given)}")
        if self.seed_encoder is not None and seed_x is not None:
            h = torch.cat([h, self.seed_encoder(seed_x.to(h))], dim=1)
        out: Tensor = self.head(h)
        return out

"""A prediction per row of one table: encode, pass messages, read the row's own vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import MLP

from relgraph.data.graph import EdgeType, HeteroGraph, NodeType, reverse_type
from relgraph.errors import SchemaError
from relgraph.nn.encoders import HeteroEncoder
from relgraph.nn.sage import Aggregation, HeteroGraphSAGE

__all__ = ["EntityModel"]


class EntityModel(nn.Module):
    """The GraphSAGE baseline of RelBench (Robinson et al. 2024, arXiv 2407.20060).

    A tabular ResNet per table, the age of each row, heterogeneous GraphSAGE, and a head on the seed rows.

    Args:
        graph: The graph whose rows are encoded; its statistics set the encoders up.
        entity_table: Node type of the seeds.
        channels: Width of everything.
        layers: Rounds of message passing.
        out_channels: Outputs per seed.
        encoder_layers: Residual blocks of each table encoder.
        head_layers: Linear layers of the head; with more than one, batch norm and ReLU between them.
        dropout: In the table encoders.
        aggr: How messages of one edge type meet.

    Raises:
        SchemaError: If the graph has no such table.
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
        aggr: Aggregation = "sum",
    ) -> None:
        super().__init__()
        if entity_table not in graph.nodes:
            raise SchemaError(f"entity_table: there is no table {entity_table!r}; tables: {', '.join(graph.nodes)}")
        self.entity_table = entity_table
        edge_types = [direction for edge_type in graph.edges for direction in (edge_type, reverse_type(edge_type))]
        self.encoder = HeteroEncoder(graph.nodes, channels, encoder_layers, dropout)
        self.gnn = HeteroGraphSAGE(graph.node_types, edge_types, channels, layers, aggr)
        self.head = MLP(
            in_channels=channels,
            hidden_channels=channels,
            out_channels=out_channels,
            num_layers=head_layers,
            norm="batch_norm",
        )

    def forward(self, batch: HeteroData) -> Tensor:
        """Predict for the seeds of a batch from PyG's ``NodeLoader`` over a :class:`TemporalSampler`.

        Args:
            batch: With ``n_id``, ``batch`` and the sampled numbers per type, and ``seed_time`` and ``batch_size`` at
                the entity table.

        Returns:
            ``[batch_size, out_channels]``.
        """
        seeds = batch[self.entity_table]
        return self.predict(
            {name: batch[name].n_id for name in batch.node_types},
            {name: batch[name].batch for name in batch.node_types},
            seeds.seed_time,
            batch.edge_index_dict,
            {name: batch[name].num_sampled_nodes for name in batch.node_types},
            {name: batch[name].num_sampled_edges for name in batch.edge_types if "num_sampled_edges" in batch[name]},
        )[: seeds.batch_size]

    def predict(
        self,
        n_id: Mapping[NodeType, Tensor],
        batch: Mapping[NodeType, Tensor],
        seed_time: Tensor | None,
        edge_index: Mapping[EdgeType, Tensor],
        num_sampled_nodes: Mapping[NodeType, Sequence[int]],
        num_sampled_edges: Mapping[EdgeType, Sequence[int]],
    ) -> Tensor:
        """The same from the parts of a batch.

        Returns:
            ``[seeds, out_channels]``.
        """
        x = self.encoder(n_id, batch, seed_time)
        x = self.gnn(x, edge_index, num_sampled_nodes, num_sampled_edges)
        out: Tensor = self.head(x[self.entity_table])
        return out

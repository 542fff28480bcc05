"""Scores of source and target rows: two towers, the pair's own subgraph, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from relgraph.data.graph import HeteroGraph, NodeType, reverse_type
from relgraph.errors import SchemaError, ShapeError
from relgraph.nn.encoders import HeteroEncoder
from relgraph.nn.gnns import make_gnn
from relgraph.nn.id_gnn import RowEmbedding, both_ways

__all__ = ["LinkKind", "LinkModel", "Sources"]

LinkKind = Literal["two_tower", "idgnn", "hybrid"]


@dataclass(frozen=True, eq=False)
class Sources:
    """What a model says about source rows.

    Args:
        query: float ``[B, K]``.
        batch: Of each target row reached in a subgraph the source it was reached from, int64 ``[P]``, ``0..B - 1``.
        target: The reached row's number in the target table, int64 ``[P]``; distinct within a source.
        extra: What is added to the score of that pair, float ``[P]``.
    """

    query: Tensor
    batch: Tensor
    target: Tensor
    extra: Tensor


class LinkModel(nn.Module):
    r"""The score of a source row :math:`s` and a target row :math:`t` at a moment.

    .. math::
        f(s, t) = q_s \cdot k_t + b_t + [t \in G_s] \, m(h_t^{(s)})

    - ``"two_tower"``, the GraphSAGE recommender of RelBench (Robinson et al. 2024, arXiv 2407.20060): the first two
      terms. :math:`q_s` is read from the source's subgraph :math:`G_s`, :math:`k_t` and :math:`b_t` from the target's
      own subgraph at the same moment plus a learned vector per target row.
    - ``"idgnn"`` (You et al. 2021, arXiv 2101.10320): the last two terms. The source is marked in its subgraph, and
      each target row that is in it, after messages went both ways, has a vector :math:`h_t^{(s)}` of the pair;
      :math:`b_t` is one learned number per target row, so that rows out of reach are ranked by popularity.
    - ``"hybrid"``: all terms, the pair inside the subgraph and two towers outside, as in ContextGNN (Yuan et al. 2024,
      arXiv 2411.19513).

    Args:
        graph: The graph whose rows are encoded; its statistics set the encoders up.
        source_table: Node type of the rows that are asked for.
        target_table: Node type of the rows that are ranked.
        kind: Which terms.
        channels: Width of everything, :math:`K` too.
        layers: Rounds of message passing.
        encoder_layers: Residual blocks of each table encoder.
        dropout: In the table encoders.
        aggr: How messages of one edge type meet; read by GraphSAGE alone.
        gnn: The message passing, a name of :data:`relgraph.nn.GNNS`.
        gnn_options: Its own options.
        row_vectors: Whether target rows have learned vectors in their tower.
        trained: Codes of the target rows that have learned vectors; see :class:`~relgraph.nn.id_gnn.RowEmbedding`.

    Raises:
        SchemaError: If the graph has no such table.
        ShapeError: If ``kind``, the message passing or one of its options is unknown.
    """

    def __init__(
        self,
        graph: HeteroGraph,
        source_table: NodeType,
        target_table: NodeType,
        kind: LinkKind = "hybrid",
        channels: int = 64,
        layers: int = 2,
        encoder_layers: int = 2,
        dropout: float = 0.1,
        aggr: str = "sum",
        gnn: str = "sage",
        gnn_options: Mapping[str, Any] | None = None,
        row_vectors: bool = True,
        trained: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, table in (("source_table", source_table), ("target_table", target_table)):
            if table not in graph.nodes:
                raise SchemaError(f"{name}: there is no table {table!r}; tables: {', '.join(graph.nodes)}")
        if kind not in get_args(LinkKind):
            raise ShapeError(f"model: expected one of {', '.join(get_args(LinkKind))}, got {kind!r}")
        self.source_table, self.target_table = source_table, target_table
        self.inside, self.towers = kind != "two_tower", kind != "idgnn"
        self._stored = list(graph.edges)
        edge_types = [direction for edge_type in graph.edges for direction in (edge_type, reverse_type(edge_type))]
        options = {"aggr": aggr, **(gnn_options or {})} if gnn == "sage" else dict(gnn_options or {})
        self.encoder = HeteroEncoder(graph.nodes, channels, encoder_layers, dropout)
        self.gnn = make_gnn(gnn, graph.node_types, edge_types, channels, layers, options)
        self.width = channels if self.towers else 0
        if self.towers:
            self.query = nn.Linear(channels, channels)
            self.key = nn.Linear(channels, channels + 1)
        if self.inside:
            self.mark = nn.Parameter(torch.empty(channels).normal_(std=channels**-0.5))
            self.pair = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1))
        learned = row_vectors or not self.towers
        self.rows = RowEmbedding(graph.nodes[target_table], self.width + 1, trained) if learned else None

    def sources(self, batch: HeteroData) -> Sources:
        """Read the source rows of a batch from PyG's ``NodeLoader`` over a :class:`TemporalSampler`.

        Args:
            batch: With ``n_id``, ``batch`` and the sampled numbers per type, ``batch_size`` and, for a task with time,
                ``seed_time`` at the source table.
        """
        size = batch[self.source_table].batch_size
        x = self._encode(batch, self.source_table)
        if not self.inside:
            h = self._pass(batch, x)[self.source_table][:size]
            none = torch.empty(0, dtype=torch.int64, device=h.device)
            return Sources(self.query(h), none, none, h.new_empty(0))
        marked = x[self.source_table].clone()
        marked[:size] += self.mark
        x[self.source_table] = marked
        edges = both_ways(batch.edge_index_dict, {name: h.size(0) for name, h in x.items()}, self._stored)
        out = self.gnn(x, edges)
        h, target = out[self.source_table][:size], batch[self.target_table]
        query = self.query(h) if self.towers else h.new_empty(size, 0)
        return Sources(query, target.batch, target.n_id, self.pair(out[self.target_table]).squeeze(1))

    def targets(self, rows: Tensor, batch: HeteroData | None = None) -> tuple[Tensor, Tensor]:
        """Read target rows.

        Args:
            rows: Their numbers, int64 ``[T]``.
            batch: Their subgraphs at the moment, with the rows as seeds in this order; needed with towers only.

        Returns:
            Vectors ``[T, K]`` and biases ``[T]``.

        Raises:
            ShapeError: If there are towers and no subgraphs.
        """
        own = None if self.rows is None else self.rows(rows)
        if own is not None and not self.towers:
            return own.new_empty(rows.numel(), 0), own[:, 0]
        if batch is None:
            raise ShapeError("batch: a model with towers needs the subgraphs of the target rows")
        h = self._pass(batch, self._encode(batch, self.target_table))[self.target_table][: rows.numel()]
        key = self.key(h) if own is None else self.key(h) + own
        return key[:, :-1], key[:, -1]

    def _encode(self, batch: HeteroData, table: NodeType) -> dict[NodeType, Tensor]:
        seeds = batch[table]
        x: dict[NodeType, Tensor] = self.encoder(
            {name: batch[name].n_id for name in batch.node_types},
            {name: batch[name].batch for name in batch.node_types},
            seeds.seed_time if "seed_time" in seeds else None,
        )
        return x

    def _pass(self, batch: HeteroData, x: Mapping[NodeType, Tensor]) -> dict[NodeType, Tensor]:
        out: dict[NodeType, Tensor] = self.gnn(
            x,
            batch.edge_index_dict,
            {name: batch[name].num_sampled_nodes for name in batch.node_types},
            {name: batch[name].num_sampled_edges for name in batch.edge_types if "num_sampled_edges" in batch[name]},
        )
        return out

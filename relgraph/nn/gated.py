"""One prediction as a function of gates: which rows, and which values of them, it may see."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from relgraph.data.features import Features
from relgraph.data.graph import EdgeType, NodeType
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.tensor_frames import to_tensor_frame
from relgraph.errors import ShapeError
from relgraph.nn.encoders import HeteroEncoder, TableEncoder, days_between
from relgraph.nn.entity_model import EntityModel

__all__ = ["AGE", "ROW", "GatedGraph", "GatedModel"]

ROW = "(row)"
"""The gate of a row: shut, it sends nothing in any round, as if it were not there."""

AGE = "(age)"
"""The gate of how long before the seed time a row happened."""


class GatedGraph(nn.Module):
    """The subgraph of one seed under a network, as PyG's explainers call it; subclasses read the prediction off it.

    ``x_dict`` holds gates, float ``[rows, gates]`` per table, named by :attr:`gates`: 1 is the row as it is, 0 is a row
    that sends no messages (its first gate), or a value replaced by NULL (one gate per column), in between they are
    mixed. The seed itself stays, so the first gate of row 0 of its table does nothing. With all gates open
    (:meth:`open_gates`) the output is the prediction. The parameters are frozen copies: nothing that an explainer does
    comes back to the model.

    Args:
        encoder: Encodes the rows of each table.
        gnn: Passes their messages.
        width: Length of its vectors.
        table: The table of the seed.
        batch: The subgraph of one seed, from PyG's ``NodeLoader``.
        edge_index: The edges that messages go along; those of the batch by default.

    Raises:
        ShapeError: If the batch has several seeds.
    """

    def __init__(
        self,
        encoder: HeteroEncoder,
        gnn: nn.Module,
        width: int,
        table: NodeType,
        batch: HeteroData,
        edge_index: Mapping[EdgeType, Tensor] | None = None,
    ) -> None:
        super().__init__()
        seeds = batch[table]
        if seeds.batch_size != 1:
            raise ShapeError(f"batch: expected the subgraph of one seed, got {seeds.batch_size}; use batch_size=1")
        self.entity_table = table
        self.node_types = [name for name in batch.node_types if batch[name].n_id.numel()]
        edges = dict(batch.edge_index_dict if edge_index is None else edge_index)
        self.edge_index_dict: dict[EdgeType, Tensor] = {kind: index for kind, index in edges.items() if index.numel()}
        # explainers fail where no gradient comes, but networks may tell a type without rows from one that is not there
        self._no_edges = {kind: index for kind, index in edges.items() if not index.numel()}
        self._no_rows = {
            name: torch.zeros(0, width, device=batch[name].n_id.device)
            for name in batch.node_types
            if name not in self.node_types
        }
        self.gates: dict[NodeType, tuple[str, ...]] = {}
        self._rows = {name: batch[name].n_id.numel() for name in self.node_types}
        # table names may hold a dot, which names of modules may not
        self.tables = nn.ModuleList()
        time = seeds.seed_time if "seed_time" in seeds else None
        for name in self.node_types:
            gated = _gated_table(encoder, name, batch[name].n_id, time)
            self.tables.append(gated)
            self.gates[name] = (ROW, *gated.names)
        self.rounds = nn.ModuleList(_rounds(gnn))

    def freeze(self) -> None:
        """Evaluation mode, and no gradients of the parameters; for the end of a constructor."""
        self.requires_grad_(False)
        self.eval()

    def open_gates(self) -> dict[NodeType, Tensor]:
        """Gates that let everything through: ones, float32 ``[rows, gates]`` per table."""
        device = next(self.tables.buffers()).device
        return {name: torch.ones(self._rows[name], len(self.gates[name]), device=device) for name in self.node_types}

    def vectors(
        self,
        x_dict: Mapping[NodeType, Tensor],
        edge_index_dict: Mapping[EdgeType, Tensor],
        mark: Tensor | None = None,
    ) -> dict[NodeType, Tensor]:
        """What the network gives for every row of the subgraph.

        Args:
            x_dict: Gates; see the class.
            edge_index_dict: :attr:`edge_index_dict`, or less of it.
            mark: Added to the seed before the first round, ``[width]``.
        """
        here, x = {}, dict(self._no_rows)
        for name, table in zip(self.node_types, self.tables, strict=True):
            gate = x_dict[name]
            here[name] = gate[:, :1]
            if name == self.entity_table:  # the seed is there, whatever its gate says
                here[name] = torch.cat([0 * gate[:1, :1] + 1, gate[1:, :1]])
            x[name] = table(gate[:, 1:])
        if mark is not None:
            seed = x[self.entity_table]
            x[self.entity_table] = torch.cat([seed[:1] + mark, seed[1:]])
        edges = {**self._no_edges, **edge_index_dict}
        for layer in self.rounds:
            x = layer({name: h * here[name] if name in here else h for name, h in x.items()}, edges)
        return x


class GatedModel(GatedGraph):
    """The prediction of an :class:`EntityModel` for one seed.

    Args:
        model: The model, in evaluation mode.
        batch: The subgraph of one seed, from PyG's ``NodeLoader``.
        output: Of the raw output ``[1, out_channels]`` the number to explain, ``[1]``.
        seed_x: The seed's own columns, ``[1, seed_width]``.
        seed_names: What each of them is called; gates of the seed's table.

    Raises:
        ShapeError: If the batch has several seeds.
    """

    seed_x: Tensor | None

    def __init__(
        self,
        model: EntityModel,
        batch: HeteroData,
        output: Callable[[Tensor], Tensor],
        seed_x: Tensor | None = None,
        seed_names: tuple[str, ...] = (),
    ) -> None:
        width = model.head.in_channels // 2 if model.seed_encoder is not None else model.head.in_channels
        super().__init__(model.encoder, model.gnn, width, model.entity_table, batch)
        self.gates[self.entity_table] += seed_names
        self.head = copy.deepcopy(model.head)
        self.seed_encoder = copy.deepcopy(model.seed_encoder)
        self.register_buffer("seed_x", seed_x, persistent=False)
        self._output = output
        self.freeze()

    def forward(self, x_dict: Mapping[NodeType, Tensor], edge_index_dict: Mapping[EdgeType, Tensor]) -> Tensor:
        """The prediction for the seed, ``[1]``; arguments as of :meth:`GatedGraph.vectors`."""
        h = self.vectors(x_dict, edge_index_dict)[self.entity_table][:1]
        if self.seed_encoder is not None and self.seed_x is not None:
            gate = x_dict[self.entity_table][:1, -self.seed_x.size(1) :]
            h = torch.cat([h, self.seed_encoder(self.seed_x * gate)], dim=1)
        return self._output(self.head(h))


class _GatedTable(nn.Module):
    """The rows of a table, encoded with gates: column embeddings between the NULL's and their own."""

    value: Tensor
    null: Tensor
    age: Tensor | None

    def __init__(
        self,
        names: tuple[str, ...],
        value: Tensor,
        null: Tensor,
        age: Tensor | None,
        network: nn.Module | None,
    ) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("value", value, persistent=False)  # [rows, columns, channels]; [rows, channels] without
        self.register_buffer("null", null, persistent=False)  # [columns, channels]
        self.register_buffer("age", age, persistent=False)  # [rows, channels]
        self.network = network

    def forward(self, gate: Tensor) -> Tensor:
        x, count = self.value, self.null.size(0)
        if self.network is not None:
            x = self.network((self.null + gate[:, :count].unsqueeze(-1) * (x - self.null)).flatten(1))
        return x if self.age is None else x + gate[:, count : count + 1] * self.age


class _Summed(nn.Module):
    """What a :class:`TableEncoder` without residual blocks does with the column embeddings, side by side."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x.view(x.size(0), self.columns, -1).sum(1) / self.columns**0.5
        return out


@torch.no_grad()
def _gated_table(encoder: HeteroEncoder, name: NodeType, n_id: Tensor, seed_time: Tensor | None) -> _GatedTable:
    store, place = encoder._nodes[name], encoder._place[name]
    table: Any = encoder.tables[place]
    rows = n_id.cpu()
    age = None
    if store.time is not None and seed_time is not None:
        time = store.time[rows].to(n_id.device)
        days, known = days_between(seed_time.expand(rows.numel()), time)
        age = encoder.times[str(place)](days) * known.unsqueeze(-1)
    ages = () if age is None else (AGE,)
    if table.names is None or store.features is None:
        value = table(None, rows.numel())
        return _GatedTable(ages, value, value.new_zeros(0, value.size(1)), age, None)
    value, names = _column_vectors(table, store.features.select(rows))
    null, _ = _column_vectors(table, _null_row(store.features))
    network: nn.Module = _Summed(null.size(1))
    if table.num_layers:
        network = nn.Sequential(copy.deepcopy(table.network.backbone), copy.deepcopy(table.network.decoder))
    return _GatedTable((*names, *ages), value, null[0], age, network)


def _column_vectors(table: TableEncoder, features: Features) -> tuple[Tensor, tuple[str, ...]]:
    """The embedding of every column of every row, ``[rows, columns, channels]``, and the columns' names."""
    device = table._years.device
    names = {kind: columns for kind, columns in features.names.items() if columns}
    values = {kind: table._clean(kind, features.values[kind].to(device)) for kind in names}
    embed = table.network.encoder if table.num_layers else table.network
    x, columns = embed(to_tensor_frame(values, names, features.widths, features.num_rows))
    return x, tuple(columns)


def _null_row(features: Features) -> Features:
    """One row with a NULL in every column."""
    values: dict[SemanticType, Tensor | Ragged] = {}
    for kind, value in features.values.items():
        if isinstance(value, Ragged):
            none = torch.zeros(0, dtype=torch.int64)
            values[kind] = Ragged.from_columns(1, [(none, torch.zeros(1, dtype=torch.int64))] * value.num_columns)
        else:
            filled = {SemanticType.NUMERICAL: torch.nan, SemanticType.EMBEDDING: torch.nan, SemanticType.TEXT: 0.0}
            values[kind] = torch.full((1, *value.shape[1:]), filled.get(kind, -1), dtype=value.dtype)
    return Features(1, values, features.names, features.stats)


def _rounds(gnn: Any) -> list[nn.Module]:
    """Copies of a network with one of its layers each, if it has some: after another they are the network."""
    found: list[nn.Module] = []
    if not hasattr(gnn, "layers"):  # one without parameters of its own cannot be taken apart
        return [copy.deepcopy(gnn)]
    for place in range(len(gnn.layers)):
        layer = copy.deepcopy(gnn)
        layer.layers = layer.layers[place : place + 1]
        found.append(layer)
    return found

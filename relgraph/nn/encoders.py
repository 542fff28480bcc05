"""From table rows to vectors: one tabular network per table, plus how long ago a row happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_frame import stype
from torch_frame.data.stats import StatType
from torch_frame.nn import (
    EmbeddingEncoder,
    LinearEmbeddingEncoder,
    LinearEncoder,
    MultiCategoricalEmbeddingEncoder,
    ResNet,
    StypeWiseFeatureEncoder,
    TimestampEncoder,
)

from relgraph.data.features import Features
from relgraph.data.graph import NodeStore, NodeType
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.tensor_frames import frame_names, to_tensor_frame
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ShapeError
from relgraph.nn.fused import run_resnet, sum_columns
from relgraph.ops.distinct import distinct
from relgraph.ops.dropout import dropout

__all__ = ["HeteroEncoder", "RelativeTimeEncoder", "TableEncoder", "days_between"]

_DAY = 86_400_000_000


class TableEncoder(nn.Module):
    """The rows of one table as vectors: PyTorch Frame's tabular ResNet (Gorishniy et al. 2021, arXiv 2106.11959).

    Numbers, embeddings and texts pass a linear layer per column, categories an embedding table, lists the mean of
    their categories' embeddings, timestamps sines and cosines. Holds for any value that a row may have: a NULL or not
    finite number, an embedding with one in it, a category without statistics and an empty list give a zero column
    embedding, a NULL timestamp the fitted median, a year outside the fitted range the nearest one inside. A number
    that was constant when fitted is not blown up, an embedding is divided by its fitted scale (but not with
    one linear layer, whose penalty means something for vectors as they are). A table without features gets one learned
    vector.

    Args:
        features: The table's features, for their columns and statistics; ``None`` for a table without.
        channels: Width of the result and of the network.
        num_layers: Residual blocks; 0 makes one linear layer, for plain graphs with few labels. There, vectors that
            are mostly zeros, as bags of words are, are multiplied as a sparse matrix; the weights of
            vectors begin as Glorot and Bengio's.
        dropout: Inside the blocks; without blocks, of the numbers and embeddings that come in.
    """

    _categories: Tensor
    _parts: Tensor
    _years: Tensor
    _scales: Tensor

    def __init__(
        self, features: Features | None, channels: int = 128, num_layers: int = 4, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.channels = channels
        if features is None or not features.column_names:
            self.constant = nn.Parameter(torch.empty(channels).normal_(std=channels**-0.5))
            self.names: dict[SemanticType, tuple[str, ...]] | None = None
            return
        self.names = {kind: names for kind, names in features.names.items() if names}
        stats = features.to_col_stats()
        for column in stats.values():
            if StatType.STD in column and not column[StatType.STD] > 0:
                column[StatType.STD] = 1.0
        self._widths = features.widths
        for buffer, kind in (("_categories", SemanticType.CATEGORICAL), ("_parts", SemanticType.MULTICATEGORICAL)):
            counts = [len(features.stats[name]["categories"]) for name in self._columns(kind)]
            self.register_buffer(buffer, torch.tensor(counts, dtype=torch.int64), persistent=False)
        years = [features.stats[name]["year_range"] for name in self._columns(SemanticType.TIMESTAMP)]
        self.register_buffer("_years", torch.tensor(years, dtype=torch.int64).reshape(-1, 2), persistent=False)
        scales = [
            float(features.stats[name].get("scale") or 1.0) if num_layers else 1.0
            for name in self._columns(SemanticType.EMBEDDING)
            for _ in range(self._widths[name])
        ]
        self.register_buffer("_scales", torch.tensor(scales), persistent=False)
        encoders = {
            stype.categorical: EmbeddingEncoder(),
            stype.numerical: LinearEncoder(),
            stype.multicategorical: MultiCategoricalEmbeddingEncoder(),
            stype.timestamp: TimestampEncoder(),
            stype.embedding: LinearEmbeddingEncoder(),
        }
        columns = frame_names(self.names)
        chosen = {kind: encoders[kind] for kind in columns}
        self.dropout, self.num_layers = dropout, num_layers
        if num_layers == 0:
            self.network: Any = StypeWiseFeatureEncoder(channels, stats, columns, chosen)
            if stype.embedding in columns:
                for weight in self.network.encoder_dict[stype.embedding.value].weight_list:
                    nn.init.xavier_uniform_(weight)
            return
        self.network = ResNet(
            channels=channels,
            out_channels=channels,
            num_layers=num_layers,
            col_stats=stats,
            col_names_dict=columns,
            stype_encoder_dict=chosen,
            normalization="layer_norm",
            dropout_prob=dropout,
        )

    def _columns(self, kind: SemanticType) -> tuple[str, ...]:
        return () if self.names is None else self.names.get(kind, ())

    def forward(self, features: Features | None, num_rows: int) -> Tensor:
        """Encode rows.

        Args:
            features: The rows; ignored by a table without features.
            num_rows: How many there are.

        Returns:
            ``[num_rows, channels]``.

        Raises:
            ShapeError: If the columns are others than those the encoder was built for.
        """
        if self.names is None:
            return self.constant.expand(num_rows, -1)
        given = {} if features is None else {kind: names for kind, names in features.names.items() if names}
        if features is None or given != self.names:
            raise ShapeError(f"features: expected columns {self.names}, got {given}")
        device = self._years.device
        words = features.bag_of_words if self.num_layers == 0 else None
        if words is not None:
            return self._linear(words.to(device))
        values = {kind: self._clean(kind, features.values[kind].to(device)) for kind in self.names}
        frame = to_tensor_frame(values, self.names, self._widths, num_rows)
        if self.num_layers:
            return run_resnet(self.network, frame)
        for kind in (stype.numerical, stype.embedding):
            if kind in frame.feat_dict and self.training:
                frame.feat_dict[kind] = self._dropped(frame.feat_dict[kind])
        return sum_columns(self.network, frame, self.channels) / math.sqrt(len(features.column_names))

    def _linear(self, words: Tensor) -> Tensor:
        """What :func:`sum_columns` gives for embeddings without NULL, from their sparse CSR matrix."""
        encoder = self.network.encoder_dict[stype.embedding.value]
        values = dropout(words.values(), self.dropout, self.training)
        words = torch.sparse_csr_tensor(
            words.crow_indices(), words.col_indices(), values, words.shape, check_invariants=False
        )
        out: Tensor = torch.sparse.mm(words, torch.cat(list(encoder.weight_list))) + sum(encoder.biases)
        return out / math.sqrt(len(encoder.weight_list))

    def _dropped(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return dropout(value, self.dropout, True)
        return type(value)(value.num_rows, value.num_cols, dropout(value.values, self.dropout, True), value.offset)

    def _clean(self, kind: SemanticType, value: Tensor | Ragged) -> Tensor | Ragged:
        """Bring values into the range that PyTorch Frame's encoders take."""
        if isinstance(value, Ragged):
            return value.keep((value.values >= 0) & (value.values < self._parts[value.column_of_values()]))
        if kind in (SemanticType.EMBEDDING, SemanticType.TEXT):
            value = value / self._scales if kind is SemanticType.EMBEDDING else value
            columns = torch.split(value, [self._widths[name] for name in self._columns(kind)], dim=1)
            return torch.cat([torch.where(c.isfinite().all(1, keepdim=True), c, torch.nan) for c in columns], dim=1)
        if kind is SemanticType.NUMERICAL:
            return torch.where(value.isfinite(), value, torch.nan)
        if kind is SemanticType.CATEGORICAL:
            return torch.where((value >= 0) & (value < self._categories), value, -1)
        value = value.long()  # the medians that stand in for NULL are int64
        year = value[..., 0].clamp(self._years[:, 0], self._years[:, 1])
        null = (value < 0).any(-1, keepdim=True)
        return torch.where(null, -1, torch.cat([year.unsqueeze(-1), value[..., 1:]], dim=-1))


class RelativeTimeEncoder(nn.Module):
    r"""How long before the seed time a row happened (Robinson et al. 2024, arXiv 2407.20060, section 3).

    .. math:: W [\sin(d\,\omega_j); \cos(d\,\omega_j)] + b, \qquad \omega_j = 10000^{-2j/c}, \quad j = 0, \dots, c/2 - 1

    with :math:`d` in days and :math:`c` channels: the positional encoding of Vaswani et al. 2017 and a linear layer.

    Args:
        channels: Width of the result; even.

    Raises:
        ShapeError: If ``channels`` is odd.
    """

    frequency: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % 2:
            raise ShapeError(f"channels: expected an even number for sine and cosine, got {channels}")
        exponent = torch.arange(0, channels, 2) / channels
        self.register_buffer("frequency", torch.exp(-math.log(10_000.0) * exponent), persistent=False)
        self.linear = nn.Linear(channels, channels)

    def forward(self, days: Tensor) -> Tensor:
        """Encode ages in days, float ``[N]``, as ``[N, channels]``."""
        angle = days.unsqueeze(-1) * self.frequency  # [N, channels / 2]
        out: Tensor = self.linear(torch.cat([angle.sin(), angle.cos()], dim=-1))
        return out


def days_between(seed_time: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Days from each row to its seed, the difference taken in int64.

    Args:
        seed_time: Int64 ``[N]`` microseconds.
        time: Of the rows, int64 ``[N]`` microseconds.

    Returns:
        Days, float32 ``[N]`` (0 where there is no answer), and whether the row has a time at all, bool ``[N]``.
    """
    known = (time != STATIC) & (time != UNKNOWN) & (seed_time != STATIC)
    difference = torch.where(known, seed_time - time, 0)
    return (difference.double() / _DAY).float(), known


class HeteroEncoder(nn.Module):
    """A :class:`TableEncoder` per node type, and a :class:`RelativeTimeEncoder` per node type that has times.

    Each distinct row is encoded once, however many subgraphs it is in; its age is added after, per subgraph.

    Args:
        nodes: The node stores of a graph, which rows are read from.
        channels: Width of the result.
        num_layers: Residual blocks of the table encoders.
        dropout: In the table encoders.
    """

    def __init__(
        self,
        nodes: Mapping[NodeType, NodeStore],
        channels: int = 128,
        num_layers: int = 4,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self._nodes = dict(nodes)
        # module names may hold no dot, table names may: modules are numbered, in the order of the node types
        self._place = {name: i for i, name in enumerate(nodes)}
        self.tables = nn.ModuleList(
            TableEncoder(store.features, channels, num_layers, dropout) for store in nodes.values()
        )
        self.times = nn.ModuleDict(
            {str(i): RelativeTimeEncoder(channels) for i, store in enumerate(nodes.values()) if store.time is not None}
        )

    def forward(
        self,
        n_id: Mapping[NodeType, Tensor],
        batch: Mapping[NodeType, Tensor] | None = None,
        seed_time: Tensor | None = None,
    ) -> dict[NodeType, Tensor]:
        """Encode the rows of a batch.

        Args:
            n_id: Row numbers per node type, int64 ``[N]``.
            batch: The seed each row belongs to, int64 ``[N]``; needed where ``seed_time`` is given.
            seed_time: Int64 ``[B]`` microseconds, or ``None`` to leave ages out.

        Returns:
            ``[N, channels]`` per node type.
        """
        out = {}
        for name, rows in n_id.items():
            store, place = self._nodes[name], self._place[name]
            different, position = distinct(rows, store.num_nodes)
            chosen, features = different.to("cpu"), store.features
            if features is not None and chosen.numel() != store.num_nodes:
                features = features.select(chosen)
            x = self.tables[place](features, different.numel()).index_select(0, position)
            if store.time is not None and seed_time is not None and batch is not None:
                time = store.time[chosen].to(rows.device)[position]
                days, known = days_between(seed_time[batch[name]], time)
                # rows share their ages: those of a race do, and daily data has as many as days
                ages, which = torch.unique(days, return_inverse=True)
                x = x + self.times[str(place)](ages).index_select(0, which) * known.unsqueeze(-1)
            out[name] = x
        return out

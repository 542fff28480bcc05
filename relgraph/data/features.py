"""Encoded columns of one table with their statistics: PyTorch Frame's layout, without needing PyTorch Frame."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.errors import ShapeError

__all__ = ["Features"]

_LAYOUT = {  # semantic type -> dtype and what follows [N, C]
    SemanticType.NUMERICAL: (torch.float32, ()),
    SemanticType.CATEGORICAL: (torch.int64, ()),
    SemanticType.TIMESTAMP: (torch.int16, (7,)),
}
_VECTORS = (SemanticType.EMBEDDING, SemanticType.TEXT)


@dataclass(frozen=True, eq=False, repr=False)
class Features:
    """The feature columns of a table, grouped by semantic type.

    ========================  ==================================  =================================================
    type                      values, for N rows and C columns    statistics of a column
    ========================  ==================================  =================================================
    numerical                 float32 ``[N, C]``; NULL is NaN     ``mean``, ``std`` (population), ``quantiles`` (5)
    categorical               int64 ``[N, C]``; NULL and a value  ``categories`` by count, then value; ``counts``
                              unseen up to the fit time are -1
    multicategorical          :class:`Ragged` int64 codes, C      the same, a count being the rows that have it
                              lists per row, different and
                              ascending; NULL, no part and only
                              unseen parts are an empty list
    timestamp                 int16 ``[N, C, 7]``: year,          ``year_range``, ``oldest``, ``newest``,
                              month - 1, day - 1, weekday, hour,  ``median`` (7 numbers each)
                              minute, second; NULL is all -1
    embedding                 float32 ``[N, sum of emb_dim]``,    ``emb_dim``; ``scale``, the root of the mean square
                              the columns side by side; NULL is
                              all NaN
    text                      the same as encoded; NULL is zero   ``emb_dim``, ``encoder``
    ========================  ==================================  =================================================

    Args:
        num_rows: Rows of the table.
        values: Per semantic type what the table above says.
        names: Column names per semantic type, in the order of the values.
        stats: Per column the fitted statistics as JSON values.

    Raises:
        ShapeError: If values have another shape or dtype than said above.
    """

    num_rows: int
    values: Mapping[SemanticType, Tensor | Ragged]
    names: Mapping[SemanticType, tuple[str, ...]]
    stats: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        if self.values.keys() != self.names.keys():
            raise ShapeError(f"features: types of values {list(self.values)} and names {list(self.names)} differ")
        for name in self.column_names:
            if name not in self.stats:
                raise ShapeError(f"features: column {name!r} has no statistics")
        for kind, value in self.values.items():
            self._validate(kind, value)

    def _validate(self, kind: SemanticType, value: Tensor | Ragged) -> None:
        columns = len(self.names[kind])
        if kind is SemanticType.MULTICATEGORICAL:
            got = [value.num_rows, value.num_columns] if isinstance(value, Ragged) else type(value).__name__
            if got != [self.num_rows, columns]:
                raise ShapeError(f"features[{kind}]: expected Ragged {[self.num_rows, columns]}, got {got}")
            return
        if kind in _VECTORS:
            dtype, shape = torch.float32, [self.num_rows, sum(self.widths[name] for name in self.names[kind])]
        elif kind in _LAYOUT:
            dtype, rest = _LAYOUT[kind]
            shape = [self.num_rows, columns, *rest]
        else:
            raise ShapeError(f"features: {kind} columns are no features")
        if not isinstance(value, Tensor) or value.dtype != dtype or list(value.shape) != shape:
            found = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise ShapeError(f"features[{kind}]: expected {dtype} {shape}, got {found}")

    @property
    def widths(self) -> dict[str, int]:
        """Dimensions of the columns of embeddings and texts."""
        return {name: int(self.stats[name]["emb_dim"]) for kind in _VECTORS for name in self.names.get(kind, ())}

    @property
    def column_names(self) -> tuple[str, ...]:
        """All feature columns, by type."""
        return tuple(name for names in self.names.values() for name in names)

    @property
    def num_columns(self) -> int:
        """How many feature columns there are."""
        return len(self.column_names)

    def kind(self, name: str) -> SemanticType:
        """The semantic type of a column.

        Raises:
            ShapeError: If there is no such column.
        """
        for kind, names in self.names.items():
            if name in names:
                return kind
        raise ShapeError(f"there is no feature column {name!r}; columns: {', '.join(self.column_names)}")

    def column(self, name: str) -> Tensor | Ragged:
        """The encoded values of one column.

        Returns:
            ``[num_rows]``; ``[num_rows, 7]`` for a timestamp, ``[num_rows, emb_dim]`` for an embedding or text, a
            :class:`Ragged` of one column for lists.

        Raises:
            ShapeError: If there is no such column.
        """
        kind = self.kind(name)
        value, place = self.values[kind], self.names[kind].index(name)
        if isinstance(value, Ragged):
            return value.column(place)
        if kind in _VECTORS:
            ends = list(accumulate((self.widths[other] for other in self.names[kind]), initial=0))
            return value[:, ends[place] : ends[place + 1]]
        return value[:, place]

    def tensor(self, kind: SemanticType) -> Tensor:
        """All values of a type as one tensor.

        Raises:
            ShapeError: If there is no column of that type, or the type is multicategorical, whose values are lists.
        """
        value = self.values.get(kind)
        if not isinstance(value, Tensor):
            raise ShapeError(f"there is no tensor of {kind} columns; types: {', '.join(self.values)}")
        return value

    @cached_property
    def bag_of_words(self) -> Tensor | None:
        """All features as one sparse CSR matrix ``[num_rows, sum of emb_dim]``, made once.

        ``None`` where there are other columns than embeddings, a value is not finite, or more than a tenth is not 0,
        so that the matrix would not pay.
        """
        vectors = self.values.get(SemanticType.EMBEDDING)
        if len(self.values) != 1 or not isinstance(vectors, Tensor):
            return None
        if not bool(vectors.isfinite().all()) or int(vectors.count_nonzero()) > vectors.numel() / 10:
            return None
        row, column = vectors.nonzero(as_tuple=True)
        start = torch.searchsorted(row, torch.arange(vectors.size(0) + 1))
        return _csr(start, column, vectors[row, column], list(vectors.shape))

    def select(self, index: Tensor) -> Features:
        """The rows ``index`` (int64 ``[n]``), in that order."""
        values = {k: v[index] if isinstance(v, Ragged) else v.index_select(0, index) for k, v in self.values.items()}
        return Features(index.numel(), values, self.names, self.stats)

    @staticmethod
    def numerical_stats(values: Tensor) -> dict[str, Any]:
        """Mean, population standard deviation and five quantiles of the finite ones of ``values`` ``[n]``."""
        finite = values[values.isfinite()].to(torch.float64)
        if not finite.numel():
            return {"mean": 0.0, "std": 0.0, "quantiles": [0.0] * 5}
        ordered = finite.sort().values
        places = torch.linspace(0, 1, 5, dtype=torch.float64) * (ordered.numel() - 1)
        low, high = ordered[places.floor().long()], ordered[places.ceil().long()]
        quantiles = torch.lerp(low, high, places.frac())
        return {
            "mean": float(finite.mean()),
            "std": float(finite.std(correction=0)),
            "quantiles": quantiles.tolist(),
        }

    @classmethod
    def from_tensor_frame(
        cls,
        frame: Any,
        col_stats: Mapping[str, Mapping[Any, Any]] | None = None,
        texts: tuple[str, ...] = (),
        stats: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Features | None:
        """The inverse of :meth:`to_tensor_frame` and :meth:`to_col_stats`.

        Args:
            frame: A PyTorch Frame ``TensorFrame``; columns of types that are not in the table above are left out.
            col_stats: Its statistics; computed from the values where absent.
            texts: Which of its embedding columns are encoded text; a ``TensorFrame`` does not say.
            stats: Statistics of columns as this class has them, where known; they come before ``col_stats``.

        Returns:
            The features, or ``None`` when no column can be taken.
        """
        from relgraph.data.tensor_frames import from_tensor_frame

        return from_tensor_frame(frame, col_stats, texts, stats)

    def to_tensor_frame(self) -> Any:
        """A PyTorch Frame ``TensorFrame`` over the same tensors; embeddings and texts are both its ``embedding``."""
        from relgraph.data.tensor_frames import to_tensor_frame

        return to_tensor_frame(self.values, self.names, self.widths, self.num_rows)

    def to_col_stats(self) -> dict[str, dict[Any, Any]]:
        """The statistics as PyTorch Frame's encoders take them: ``{column: {StatType: value}}``."""
        from relgraph.data.tensor_frames import to_col_stats

        return to_col_stats(self.stats, self.names.get(SemanticType.MULTICATEGORICAL, ()))

    def __repr__(self) -> str:
        lines = [f"Features({self.num_rows:,} rows, {self.num_columns} columns)"]
        return "\n".join([*lines, *(f"  {' '.join(filter(None, row))}" for row in self._rows())])

    def _repr_html_(self) -> str:
        from relgraph.data.html import table_html

        return table_html(("column", "type", "fitted"), self._rows(), f"{self.num_rows:,} rows")

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(name, kind.value, _fitted(self.stats[name])) for kind, names in self.names.items() for name in names]


def _fitted(stats: Mapping[str, Any]) -> str:
    """The statistics of a column in a few words."""
    if "categories" in stats:
        return f"{len(stats['categories']):,} categories"
    if "emb_dim" in stats:
        return f"{stats['emb_dim']} numbers" + (f" of {stats['encoder']}" if "encoder" in stats else "")
    if "year_range" in stats:
        return "years {} to {}".format(*stats["year_range"])
    return f"mean {stats['mean']:.4g}, std {stats['std']:.4g}" if "mean" in stats else ""


def _csr(start: Tensor, column: Tensor, value: Tensor, shape: Sequence[int]) -> Tensor:
    with warnings.catch_warnings():
        # PyTorch calls its CSR tensors a beta once per process
        warnings.filterwarnings("ignore", "Sparse", UserWarning)
        return torch.sparse_csr_tensor(start, column, value, list(shape), check_invariants=False)

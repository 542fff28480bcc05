"""Encoded columns of one table with their statistics: PyTorch Frame's layout, without needing PyTorch Frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relgraph.data.schema import SemanticType
from relgraph.errors import ShapeError

__all__ = ["Features"]

_LAYOUT = {  # semantic type -> (dtype, dimensions): [N, C] or [N, C, 7]
    SemanticType.NUMERICAL: (torch.float32, 2),
    SemanticType.CATEGORICAL: (torch.int64, 2),
    SemanticType.TIMESTAMP: (torch.int16, 3),
}


@dataclass(frozen=True, eq=False)
class Features:
    """The feature columns of a table, grouped by semantic type.

    Args:
        num_rows: Rows of the table.
        values: Per semantic type a tensor ``[num_rows, columns]``: numerical float32 (NULL is NaN), categorical int64
            (NULL and unseen are -1); timestamp int16 ``[num_rows, columns, 7]`` with year, month - 1, day - 1, weekday,
            hour, minute, second (NULL is all -1).
        names: Column names per semantic type, in the order of the tensor.
        stats: Per column the fitted statistics as JSON values: numerical ``mean``, ``std`` (population),
            ``quantiles`` (5); categorical ``categories``, ``counts``; timestamp ``year_range``, ``oldest``, ``newest``,
            ``median`` (7 numbers each).

    Raises:
        ShapeError: If a tensor has another shape or dtype than said above.
    """

    num_rows: int
    values: Mapping[SemanticType, Tensor]
    names: Mapping[SemanticType, tuple[str, ...]]
    stats: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        if self.values.keys() != self.names.keys():
            raise ShapeError(f"features: types of values {list(self.values)} and names {list(self.names)} differ")
        for kind, value in self.values.items():
            dtype, dim = _LAYOUT[kind]
            shape = [self.num_rows, len(self.names[kind])] + [7] * (dim - 2)
            if value.dtype != dtype or list(value.shape) != shape:
                raise ShapeError(f"features[{kind}]: expected {dtype} {shape}, got {value.dtype} {list(value.shape)}")
        for name in self.column_names:
            if name not in self.stats:
                raise ShapeError(f"features: column {name!r} has no statistics")

    @property
    def column_names(self) -> tuple[str, ...]:
        """All feature columns, by type."""
        return tuple(name for names in self.names.values() for name in names)

    @property
    def num_columns(self) -> int:
        """How many feature columns there are."""
        return len(self.column_names)

    def column(self, name: str) -> Tensor:
        """The encoded values of one column, ``[num_rows]`` or ``[num_rows, 7]``."""
        for kind, names in self.names.items():
            if name in names:
                return self.values[kind][:, names.index(name)]
        raise ShapeError(f"there is no feature column {name!r}; columns: {', '.join(self.column_names)}")

    def select(self, index: Tensor) -> Features:
        """The rows ``index`` (int64 ``[n]``), in that order."""
        values = {kind: value[index] for kind, value in self.values.items()}
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
    def from_tensor_frame(cls, frame: Any, col_stats: Mapping[str, Mapping[Any, Any]] | None = None) -> Features | None:
        """The inverse of :meth:`to_tensor_frame` and :meth:`to_col_stats`.

        Args:
            frame: A PyTorch Frame ``TensorFrame``; columns of other types than numerical, categorical and timestamp
                are left out.
            col_stats: Its statistics; computed from the values where absent.

        Returns:
            The features, or ``None`` when no column can be taken.
        """
        values: dict[SemanticType, Tensor] = {}
        names: dict[SemanticType, tuple[str, ...]] = {}
        stats: dict[str, Mapping[str, Any]] = {}
        for kind, (dtype, _) in _LAYOUT.items():
            for stype, value in frame.feat_dict.items():
                if stype.value == kind.value:
                    values[kind] = value.to(dtype)
                    names[kind] = tuple(frame.col_names_dict[stype])
        for kind, columns in names.items():
            for i, name in enumerate(columns):
                given = None if col_stats is None else col_stats.get(name)
                stats[name] = _stats_of(kind, values[kind][:, i]) if given is None else _from_col_stats(given)
        return cls(frame.num_rows, values, names, stats) if values else None

    def to_tensor_frame(self) -> Any:
        """A PyTorch Frame ``TensorFrame`` over the same tensors."""
        from torch_frame import stype
        from torch_frame.data import TensorFrame

        return TensorFrame(
            {stype(kind.value): value for kind, value in self.values.items()},
            {stype(kind.value): list(names) for kind, names in self.names.items()},
            num_rows=self.num_rows,
        )

    def to_col_stats(self) -> dict[str, dict[Any, Any]]:
        """The statistics as PyTorch Frame's encoders take them: ``{column: {StatType: value}}``."""
        from torch_frame.data.stats import StatType

        translate: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "mean": (StatType.MEAN, float),
            "std": (StatType.STD, float),
            "quantiles": (StatType.QUANTILES, list),
            "year_range": (StatType.YEAR_RANGE, list),
            "oldest": (StatType.OLDEST_TIME, torch.tensor),
            "newest": (StatType.NEWEST_TIME, torch.tensor),
            "median": (StatType.MEDIAN_TIME, torch.tensor),
        }
        out: dict[str, dict[Any, Any]] = {}
        for column, stats in self.stats.items():
            row: dict[Any, Any] = {translate[k][0]: translate[k][1](v) for k, v in stats.items() if k in translate}
            if "categories" in stats:
                row[StatType.COUNT] = (list(stats["categories"]), list(stats["counts"]))
            out[column] = row
        return out


def _from_col_stats(given: Mapping[Any, Any]) -> dict[str, Any]:
    rename = {"YEAR_RANGE": "year_range", "OLDEST_TIME": "oldest", "NEWEST_TIME": "newest", "MEDIAN_TIME": "median"}
    out: dict[str, Any] = {}
    for stat, value in given.items():
        if stat.name == "COUNT":
            out["categories"], out["counts"] = list(value[0]), list(value[1])
        else:
            plain = value.tolist() if isinstance(value, Tensor) else value
            out[rename.get(stat.name, stat.name.lower())] = plain
    return out


def _stats_of(kind: SemanticType, values: Tensor) -> dict[str, Any]:
    if kind is SemanticType.NUMERICAL:
        return Features.numerical_stats(values)
    if kind is SemanticType.CATEGORICAL:
        counts = values[values >= 0].bincount()
        return {"categories": [str(i) for i in range(counts.numel())], "counts": counts.tolist()}
    known = values[values[:, 0] >= 0].to(torch.int64)
    if not known.numel():
        known = torch.tensor([[1970, 0, 0, 3, 0, 0, 0]])
    place = torch.tensor([13 * 32 * 86_400, 32 * 86_400, 86_400, 0, 3600, 60, 1])
    ordered = known[(known * place).sum(1).argsort(stable=True)]
    oldest, newest, median = ordered[0], ordered[-1], ordered[(ordered.size(0) - 1) // 2]
    years = [int(oldest[0]), int(newest[0])]
    return {"year_range": years, "oldest": oldest.tolist(), "newest": newest.tolist(), "median": median.tolist()}

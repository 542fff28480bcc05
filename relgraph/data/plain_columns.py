"""Columns that are there as Python values, such as a NetworkX graph's node attributes, as features."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.schema import SemanticType
from relgraph.errors import SchemaError

__all__ = ["features_of"]


def features_of(columns: Mapping[str, Sequence[Any]]) -> Features | None:
    """Features of a table given as lists of values.

    Numbers and truth values are numerical, lists and arrays of numbers of one length an embedding, anything else is
    categorical by its text; ``None`` is NULL.

    Args:
        columns: Values by column name, all of one length.

    Returns:
        The features, or ``None`` where there is no column.

    Raises:
        SchemaError: If a column mixes these, or its vectors differ in length.
    """
    if not columns:
        return None
    groups: dict[SemanticType, list[tuple[str, Tensor, dict[str, Any]]]] = {}
    for name, values in columns.items():
        kind, value, stats = _column(name, values)
        groups.setdefault(kind, []).append((name, value, stats))
    order = [k for k in (SemanticType.NUMERICAL, SemanticType.CATEGORICAL, SemanticType.EMBEDDING) if k in groups]
    return Features(
        len(next(iter(columns.values()))),
        {k: torch.cat([value for _, value, _ in groups[k]], dim=1) for k in order},
        {k: tuple(name for name, _, _ in groups[k]) for k in order},
        {name: stats for k in order for name, _, stats in groups[k]},
    )


def _column(name: str, values: Sequence[Any]) -> tuple[SemanticType, Tensor, dict[str, Any]]:
    given = [value for value in values if value is not None]
    vectors = [value for value in given if _is_vector(value)]
    if given and len(vectors) == len(given):
        return _vectors(name, values)
    if vectors:
        raise SchemaError(f"{name!r}: {len(vectors)} of {len(given)} values are vectors, the others are not")
    if given and all(isinstance(value, Real) for value in given):
        numbers = torch.tensor([math.nan if v is None else float(v) for v in values], dtype=torch.float32)
        return SemanticType.NUMERICAL, numbers.unsqueeze(1), Features.numerical_stats(numbers)
    counts = sorted(Counter(map(str, given)).items(), key=lambda pair: (-pair[1], pair[0]))
    place = {value: i for i, (value, _) in enumerate(counts)}
    codes = torch.tensor([-1 if v is None else place[str(v)] for v in values], dtype=torch.int64)
    stats = {"categories": [value for value, _ in counts], "counts": [count for _, count in counts]}
    return SemanticType.CATEGORICAL, codes.unsqueeze(1), stats


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) or (hasattr(value, "__array__") and getattr(value, "ndim", 0) == 1)


def _vectors(name: str, values: Sequence[Any]) -> tuple[SemanticType, Tensor, dict[str, Any]]:
    widths = sorted({len(value) for value in values if value is not None})
    if len(widths) != 1 or widths == [0]:
        raise SchemaError(f"{name!r}: expected vectors of one length, got lengths {widths}")
    try:
        rows = [[math.nan] * widths[0] if v is None else [float(part) for part in v] for v in values]
    except (TypeError, ValueError):
        raise SchemaError(f"{name!r}: expected vectors of numbers") from None
    matrix = torch.tensor(rows, dtype=torch.float32)
    known = matrix[~matrix.isnan().any(1)]
    scale = float(known.square().mean().sqrt()) if known.numel() else 0.0
    return SemanticType.EMBEDDING, matrix, {"emb_dim": widths[0], "scale": scale}

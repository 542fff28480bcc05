"""An encoded value as a person would write it."""

from __future__ import annotations

import math

from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType

__all__ = ["shown_value"]

_NULL = "NULL"


def shown_value(features: Features, column: str, row: int) -> str | None:
    """One value of a table as text.

    Args:
        features: The table's columns.
        column: Which one; of a name that is no feature nothing is shown.
        row: Its row number.

    Returns:
        The number, category, categories or moment; ``"NULL"``; or ``None`` for texts and embeddings, which are kept as
        vectors only.
    """
    if column not in features.column_names:
        return None
    kind, values = features.kind(column), features.column(column)
    if isinstance(values, Ragged):
        codes = values.values[values.offsets[row] : values.offsets[row + 1]].tolist()
        return ", ".join(features.stats[column]["categories"][code] for code in codes) or _NULL
    value = values[row]
    if kind is SemanticType.NUMERICAL:
        number = float(value)
        return _NULL if math.isnan(number) else f"{number:.6g}"
    if kind is SemanticType.CATEGORICAL:
        code = int(value)
        return features.stats[column]["categories"][code] if code >= 0 else f"{_NULL} or unseen"
    return _moment(value) if kind is SemanticType.TIMESTAMP else None


def _moment(value: Tensor) -> str:
    year, month, day, _, hour, minute, second = value.tolist()
    if year < 0:
        return _NULL
    date = f"{year:04d}-{month + 1:02d}-{day + 1:02d}"
    return date if not (hour or minute or second) else f"{date} {hour:02d}:{minute:02d}:{second:02d}"

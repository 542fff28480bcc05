"""PyTorch Frame's ``TensorFrame`` and column statistics as views of features, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType

__all__ = ["frame_names", "from_tensor_frame", "to_col_stats", "to_tensor_frame"]

_DTYPES = {
    SemanticType.NUMERICAL: torch.float32,
    SemanticType.CATEGORICAL: torch.int64,
    SemanticType.MULTICATEGORICAL: torch.int64,
    SemanticType.TIMESTAMP: torch.int16,
    SemanticType.EMBEDDING: torch.float32,
}


_VECTORS = (SemanticType.EMBEDDING, SemanticType.TEXT)  # the order within PyTorch Frame's embedding type


def frame_names(names: Mapping[SemanticType, tuple[str, ...]]) -> dict[Any, list[str]]:
    """Column names by PyTorch Frame's ``stype``; texts stand behind the embeddings."""
    from torch_frame import stype

    out = {stype(kind.value): list(columns) for kind, columns in names.items() if kind not in _VECTORS}
    vectors = [name for kind in _VECTORS for name in names.get(kind, ())]
    return out | ({stype.embedding: vectors} if vectors else {})


def to_tensor_frame(
    values: Mapping[SemanticType, Tensor | Ragged],
    names: Mapping[SemanticType, tuple[str, ...]],
    widths: Mapping[str, int],
    num_rows: int,
) -> Any:
    """A ``TensorFrame`` over the same tensors.

    Lists become a ``MultiNestedTensor``; embeddings and, behind them, texts become one ``MultiEmbeddingTensor``, which
    is a copy only where a table has both.

    Args:
        values: As :class:`Features` has them.
        names: Columns by type.
        widths: Dimensions of the columns of embeddings and texts.
        num_rows: Rows.
    """
    from torch_frame import stype
    from torch_frame.data import MultiEmbeddingTensor, MultiNestedTensor, TensorFrame

    given: dict[Any, Any] = {}
    vectors: list[Tensor] = []
    for kind in [kind for kind in values if kind not in _VECTORS] + [kind for kind in _VECTORS if kind in values]:
        value = values[kind]
        if isinstance(value, Ragged):
            given[stype(kind.value)] = MultiNestedTensor(num_rows, value.num_columns, value.values, value.offsets)
        elif kind in _VECTORS:
            vectors.append(value)
        else:
            given[stype(kind.value)] = value
    columns = frame_names(names)
    if vectors:
        joined = vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=1)
        ends = torch.tensor([0, *(widths[name] for name in columns[stype.embedding])], device=joined.device).cumsum(0)
        given[stype.embedding] = MultiEmbeddingTensor(num_rows, ends.numel() - 1, joined, ends)
    return TensorFrame(given, columns, num_rows=num_rows)


def to_col_stats(stats: Mapping[str, Mapping[str, Any]], lists: Iterable[str]) -> dict[str, dict[Any, Any]]:
    """Statistics as PyTorch Frame's encoders take them.

    Args:
        stats: Statistics of columns.
        lists: The multicategorical ones among them.

    Returns:
        ``{column: {StatType: value}}``.
    """
    from torch_frame.data.stats import StatType

    translate: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "mean": (StatType.MEAN, float),
        "std": (StatType.STD, float),
        "quantiles": (StatType.QUANTILES, list),
        "year_range": (StatType.YEAR_RANGE, list),
        "oldest": (StatType.OLDEST_TIME, torch.tensor),
        "newest": (StatType.NEWEST_TIME, torch.tensor),
        "median": (StatType.MEDIAN_TIME, torch.tensor),
        "emb_dim": (StatType.EMB_DIM, int),
    }
    multiple = set(lists)
    out: dict[str, dict[Any, Any]] = {}
    for column, given in stats.items():
        row: dict[Any, Any] = {translate[k][0]: translate[k][1](v) for k, v in given.items() if k in translate}
        if "categories" in given:
            count = StatType.MULTI_COUNT if column in multiple else StatType.COUNT
            row[count] = (list(given["categories"]), list(given["counts"]))
        out[column] = row
    return out


def from_tensor_frame(
    frame: Any,
    col_stats: Mapping[str, Mapping[Any, Any]] | None = None,
    texts: Iterable[str] = (),
    stats: Mapping[str, Mapping[str, Any]] | None = None,
) -> Features | None:
    """The inverse of :func:`to_tensor_frame`; see :meth:`Features.from_tensor_frame`."""
    values: dict[SemanticType, Tensor | Ragged] = {}
    names: dict[SemanticType, tuple[str, ...]] = {}
    for kind, dtype in _DTYPES.items():
        for stype, value in frame.feat_dict.items():
            if stype.value != kind.value:
                continue
            columns = tuple(frame.col_names_dict[stype])
            if kind is SemanticType.MULTICATEGORICAL:
                values[kind] = _codes(value)
                names[kind] = columns
            elif kind is SemanticType.EMBEDDING:
                _split_texts(values, names, value, columns, set(texts))
            else:
                values[kind], names[kind] = value.to(dtype), columns
    if not values:
        return None
    found: dict[str, Mapping[str, Any]] = {}
    for kind, columns in names.items():
        for i, name in enumerate(columns):
            if stats is not None and name in stats:
                found[name] = stats[name]
            elif col_stats is not None and name in col_stats:
                found[name] = _from_col_stats(col_stats[name])
            elif kind in (SemanticType.EMBEDDING, SemanticType.TEXT):
                found[name] = {"emb_dim": frame.get_col_feat(name).values.size(1)}
            else:
                found[name] = _stats_of(kind, values[kind], i)
    return Features(frame.num_rows, values, names, found)


def _codes(value: Any) -> Ragged:
    """PyTorch Frame stores -1 for a NULL and an unseen category; here they are left out."""
    codes = Ragged(value.num_rows, value.num_cols, value.values.to(torch.int64), value.offset.to(torch.int64))
    return codes.keep(codes.values >= 0)


def _split_texts(
    values: dict[SemanticType, Tensor | Ragged],
    names: dict[SemanticType, tuple[str, ...]],
    value: Any,
    columns: tuple[str, ...],
    texts: set[str],
) -> None:
    ends = value.offset.tolist()
    for kind, wanted in ((SemanticType.EMBEDDING, False), (SemanticType.TEXT, True)):
        chosen = [i for i, name in enumerate(columns) if (name in texts) is wanted]
        if chosen:
            parts = [value.values[:, ends[i] : ends[i + 1]] for i in chosen]
            values[kind] = (value.values if len(chosen) == len(columns) else torch.cat(parts, dim=1)).float()
            names[kind] = tuple(columns[i] for i in chosen)


def _from_col_stats(given: Mapping[Any, Any]) -> dict[str, Any]:
    rename = {"YEAR_RANGE": "year_range", "OLDEST_TIME": "oldest", "NEWEST_TIME": "newest", "MEDIAN_TIME": "median"}
    out: dict[str, Any] = {}
    for stat, value in given.items():
        if stat.name in ("COUNT", "MULTI_COUNT"):
            out["categories"], out["counts"] = list(value[0]), list(value[1])
        else:
            plain = value.tolist() if isinstance(value, Tensor) else value
            out[rename.get(stat.name, stat.name.lower())] = plain
    return out


def _stats_of(kind: SemanticType, value: Tensor | Ragged, column: int) -> dict[str, Any]:
    if isinstance(value, Ragged):
        return _counts(value.column(column).values)
    values = value[:, column]
    if kind is SemanticType.NUMERICAL:
        return Features.numerical_stats(values)
    if kind is SemanticType.CATEGORICAL:
        return _counts(values[values >= 0])
    known = values[values[:, 0] >= 0].to(torch.int64)
    if not known.numel():
        known = torch.tensor([[1970, 0, 0, 3, 0, 0, 0]])
    place = torch.tensor([13 * 32 * 86_400, 32 * 86_400, 86_400, 0, 3600, 60, 1])
    ordered = known[(known * place).sum(1).argsort(stable=True)]
    oldest, newest, median = ordered[0], ordered[-1], ordered[(ordered.size(0) - 1) // 2]
    years = [int(oldest[0]), int(newest[0])]
    return {"year_range": years, "oldest": oldest.tolist(), "newest": newest.tolist(), "median": median.tolist()}


def _counts(codes: Tensor) -> dict[str, Any]:
    counts = codes.bincount()
    return {"categories": [str(i) for i in range(counts.numel())], "counts": counts.tolist()}

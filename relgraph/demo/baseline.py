"""What a graph has to beat: a constant, and gradient boosting on the entity's own row and on its own history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.graph import EdgeType, HeteroGraph
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC, UNKNOWN

__all__ = ["booster_name", "boosting", "constant", "history_features", "row_features"]

Matrix = NDArray[np.float64]
DAY = 86_400_000_000


def row_features(graph: HeteroGraph, table: str, node: Tensor, time: Tensor) -> tuple[Matrix, list[int]]:
    """The columns of the entity's own row, and its age, as a matrix for gradient boosting.

    Args:
        graph: Where the rows are.
        table: The entity table.
        node: Row numbers, int64 ``[n]``.
        time: Moment of prediction of each, int64 ``[n]`` microseconds.

    Returns:
        ``[n, columns]`` with NaN for NULL, and which columns are categorical (codes, NULL is NaN).
    """
    store = graph.nodes[table]
    columns: list[Matrix] = []
    categorical: list[int] = []
    if store.features is not None:
        chosen = store.features.select(node)
        for kind, names in chosen.names.items():
            for name in names:
                column = chosen.column(name)
                if isinstance(column, Ragged):
                    columns += _holds(column, len(chosen.stats[name]["categories"]))
                    continue
                value = column.double().numpy()
                if kind in (SemanticType.EMBEDDING, SemanticType.TEXT):
                    columns += list(value.T)
                elif kind is SemanticType.TIMESTAMP:
                    year, month, day = value[:, 0], value[:, 1], value[:, 2]
                    columns.append(np.where(year < 0, np.nan, 372 * year + 31 * month + day))
                elif kind is SemanticType.CATEGORICAL:
                    categorical.append(len(columns))
                    columns.append(np.where(value < 0, np.nan, value))
                else:
                    columns.append(value)
    if store.time is not None:
        columns.append(_days(time - store.time[node], store.time[node]))
    return np.stack(columns, axis=1) if columns else np.zeros((node.numel(), 1)), categorical


def _holds(lists: Ragged, categories: int, most: int = 32) -> list[Matrix]:
    """For each of the commonest categories whether the row has it."""
    row = torch.repeat_interleave(torch.arange(lists.num_rows), lists.lengths)
    out = np.zeros((lists.num_rows, min(most, categories)))
    common = lists.values < out.shape[1]
    out[row[common].numpy(), lists.values[common].numpy()] = 1.0
    return list(out.T)


def history_features(
    graph: HeteroGraph, table: str, node: Tensor, time: Tensor, windows: Sequence[int] = (30, 90)
) -> Matrix:
    """What refers to the entity: how many rows in all and lately, and how long since the first and the last.

    Args:
        graph: Where the rows are.
        table: The entity table.
        node: Row numbers, int64 ``[n]``.
        time: Moment of prediction of each, int64 ``[n]`` microseconds; nothing later is counted.
        windows: What "lately" means, in days.

    Returns:
        ``[n, columns]``: per edge type into the table the counts, days since the last and since the first row (NaN
        where there is none).
    """
    columns = [
        part
        for edge_type in graph.edges
        if edge_type[2] == table
        for part in _history(graph, edge_type, node, time, windows)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((node.numel(), 0))


def _history(
    graph: HeteroGraph, edge_type: EdgeType, node: Tensor, time: Tensor, windows: Sequence[int]
) -> list[Matrix]:
    target = graph.edges[edge_type].edge_index[1]
    known = graph.edge_time(edge_type)
    if known is None:
        return [torch.bincount(target, minlength=graph.nodes[edge_type[2]].num_nodes)[node].double().numpy()]
    seen = known != UNKNOWN
    target, known = target[seen], known[seen]
    order = known.argsort(stable=True)
    order = order[target[order].argsort(stable=True)]
    target, known = target[order], known[order]
    moments = torch.unique(known)
    # one number per (entity, moment), so that one binary search finds how much an entity has seen by then
    position = target * (moments.numel() + 1) + torch.searchsorted(moments, known)

    def count(until: Tensor) -> Tensor:
        return torch.searchsorted(
            position, node * (moments.numel() + 1) + torch.searchsorted(moments, until, right=True)
        )

    begin, end = torch.searchsorted(position, node * (moments.numel() + 1)), count(time)
    some = (end > begin).numpy()
    padded = torch.cat([known, known.new_zeros(1)])
    first, last = padded[begin.clamp(max=known.numel())], padded[(end - 1).clamp(min=0)]
    return [
        (end - begin).double().numpy(),
        *((end - count(time - days * DAY)).double().numpy() for days in windows),
        np.where(some, _days(time - last, last), np.nan),
        np.where(some, _days(time - first, first), np.nan),
    ]


def _days(difference: Tensor, time: Tensor) -> Matrix:
    days: Matrix = (difference.double() / DAY).numpy()
    return np.where(((time == STATIC) | (time == UNKNOWN)).numpy(), np.nan, days)


def constant(kind: str, label: Tensor, size: int) -> Matrix:
    """The same answer for all: share of positives, share of each class, or the median.

    Args:
        kind: ``"binary"``, ``"multiclass"`` or ``"regression"``.
        label: Training labels ``[n]``.
        size: How many answers to give.

    Returns:
        ``[size]``, or ``[size, classes]`` for multiclass.
    """
    if kind == "multiclass":
        share = torch.bincount(label.long()).double() / label.numel()
        return np.tile(share.numpy(), (size, 1))
    value = label.double().median() if kind == "regression" else label.double().mean()
    return np.full(size, float(value))


def booster_name() -> str:
    """``"LightGBM"`` where it is installed, else scikit-learn's implementation of the same method."""
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        return "scikit-learn HistGradientBoosting"
    return "LightGBM"


def boosting(
    kind: str,
    data: Mapping[Any, tuple[Matrix, Matrix]],
    categorical: Sequence[int] = (),
    seed: int = 0,
    threads: int | None = None,
) -> Matrix:
    """Train gradient boosting, stopped early on validation, and predict the test rows.

    Args:
        kind: ``"binary"``, ``"multiclass"`` or ``"regression"``.
        data: Features and labels of ``"train"``, ``"val"`` and ``"test"``.
        categorical: Columns that hold codes.
        seed: Seed of the booster.
        threads: How many to use; all of torch's by default.

    Returns:
        Probability of the positive class ``[n]``, of each class ``[n, classes]``, or the value ``[n]``.
    """
    found = _lightgbm if booster_name() == "LightGBM" else _histogram
    return found(kind, data, categorical, seed, threads or torch.get_num_threads())


def _lightgbm(
    kind: str, data: Mapping[Any, tuple[Matrix, Matrix]], categorical: Sequence[int], seed: int, threads: int
) -> Matrix:
    import lightgbm

    options = {
        "objective": {"binary": "binary", "multiclass": "multiclass", "regression": "regression_l1"}[kind],
        "num_class": int(max(label.max() for _, label in data.values())) + 1 if kind == "multiclass" else 1,
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_child_samples": 20,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    (x, y), (val_x, val_y), (test_x, _) = data["train"], data["val"], data["test"]
    train = lightgbm.Dataset(x, y, categorical_feature=list(categorical))
    stop = lightgbm.early_stopping(30, verbose=False)
    model = lightgbm.train(options, train, 400, [lightgbm.Dataset(val_x, val_y, reference=train)], callbacks=[stop])
    return np.asarray(model.predict(test_x), dtype=np.float64)


def _histogram(
    kind: str, data: Mapping[Any, tuple[Matrix, Matrix]], categorical: Sequence[int], seed: int, threads: int
) -> Matrix:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    (x, y), (val_x, val_y), (test_x, _) = data["train"], data["val"], data["test"]
    few = [column for column in categorical if np.nanmax(x[:, column], initial=0) < 255]
    options = {"max_iter": 400, "learning_rate": 0.05, "early_stopping": True, "random_state": seed}
    model: Any
    if kind == "regression":
        model = HistGradientBoostingRegressor(loss="absolute_error", categorical_features=few or None, **options)
    else:
        model = HistGradientBoostingClassifier(categorical_features=few or None, **options)
    model.fit(x, y, X_val=val_x, y_val=val_y)
    if kind == "regression":
        return np.asarray(model.predict(test_x), dtype=np.float64)
    known = np.asarray(model.predict_proba(test_x), dtype=np.float64)
    if kind == "binary":
        return known[:, 1]
    # a class that training lacks has no column of its own
    out = np.zeros((len(test_x), int(max(label.max() for _, label in data.values())) + 1))
    out[:, model.classes_.astype(int)] = known
    return out

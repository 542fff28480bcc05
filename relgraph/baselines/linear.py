"""A linear model on columns: ridge or logistic regression on robustly scaled numbers, for tasks with few rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from relgraph.baselines.boosting import Rows
from relgraph.errors import ProtocolError
from relgraph.tabular.block import Matrix
from relgraph.training.seed_columns import ColumnScale, fit_column, scale_column

__all__ = ["fit_linear", "fit_scales", "leave_out", "scaled", "solve"]

_ITERATIONS = 300


def fit_linear(
    kind: str,
    train: Rows,
    *,
    penalty: float = 1000.0,
    weight: NDArray[np.float64] | None = None,
    categorical: Sequence[int] = (),
) -> Callable[[Matrix], Matrix]:
    r"""Fit a linear model with a squared penalty.

    .. math:: \min_{w, b} \sum_i a_i \, \ell(y_i, w \cdot z_i + b) + \tfrac{\lambda}{2} \lVert w \rVert^2

    with the squared error (halved) for regression and the logistic loss for two classes. Columns are scaled and flagged
    as for networks (:mod:`relgraph.training.seed_columns`): an outlier moves little and a missing value is seen.

    Args:
        kind: ``"binary"`` or ``"regression"``.
        train: Columns and labels.
        penalty: :math:`\lambda`.
        weight: :math:`a_i`, float64 ``[n]``; 1 by default.
        categorical: Columns that hold codes.

    Returns:
        A function from columns ``[n, F]`` to the log-odds of 1, or the value, ``[n]``.

    Raises:
        ProtocolError: If the kind is another, there are no rows, or the penalty is not positive.
    """
    if not len(train.x):
        raise ProtocolError("a linear model needs rows to train on, got none")
    scales = fit_scales(train.x, categorical)
    answer = solve(kind, scaled(train.x, scales), train.y, penalty=penalty, weight=weight)
    return lambda x: answer(scaled(x, scales))


def fit_scales(x: Matrix, categorical: Sequence[int] = ()) -> list[ColumnScale]:
    """The scale of every column of ``[n, F]``; ``categorical`` tells which hold codes."""
    codes = set(categorical)
    return [fit_column(column, i in codes) for i, column in enumerate(x.T)]


def solve(
    kind: str, z: Matrix, y: NDArray[np.float64], *, penalty: float, weight: NDArray[np.float64] | None = None
) -> Callable[[Matrix], Matrix]:
    """:func:`fit_linear` for columns that are scaled already.

    Raises:
        ProtocolError: If the kind is neither binary nor a regression, or the penalty is not positive.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    if kind not in ("binary", "regression"):
        raise ProtocolError(f"a linear model is for 'binary' and 'regression' tasks, got kind {kind!r}")
    if not penalty > 0:
        raise ProtocolError(f"penalty: expected more than 0, got {penalty!r}")
    if kind == "binary" and len(np.unique(y)) == 1:  # nothing to tell apart
        return lambda x: np.zeros(len(x))
    if kind == "binary":
        model = LogisticRegression(C=1 / penalty, max_iter=_ITERATIONS)
        model.fit(z, y, sample_weight=weight)
        return lambda x: np.asarray(model.decision_function(x), dtype=np.float64)
    ridge = Ridge(penalty)
    ridge.fit(z, y, sample_weight=weight)
    return lambda x: np.asarray(ridge.predict(x), dtype=np.float64)


def leave_out(
    z: Matrix,
    y: NDArray[np.float64],
    fold: NDArray[np.int64],
    folds: int,
    *,
    penalty: float,
    weight: NDArray[np.float64],
) -> list[Callable[[Matrix], Matrix]]:
    """A ridge regression without each fold: :func:`solve` of the other rows, from sums that are taken once.

    Args:
        z: Scaled columns, ``[n, F]``.
        y: Values, ``[n]``.
        fold: Of every row, from 0 to ``folds - 1``.
        folds: How many.
        penalty: As in :func:`solve`.
        weight: As there.
    """
    width = z.shape[1]
    square, cross = np.zeros((folds, width + 1, width + 1)), np.zeros((folds, width + 1))
    for number in range(folds):
        mine = fold == number
        root = np.sqrt(weight[mine])
        rows = np.concatenate([z[mine], np.ones((len(root), 1))], axis=1) * root[:, None]
        square[number], cross[number] = rows.T @ rows, rows.T @ (y[mine] * root)
    # the intercept is hardly held, so that a fold without others has an answer too
    every, answer = square.sum(0) + np.diag(np.append(np.full(width, penalty), 1e-9)), cross.sum(0)
    found = [np.linalg.solve(every - square[n], answer - cross[n]) for n in range(folds)]
    return [lambda x, w=w: np.asarray(x @ w[:-1] + w[-1]) for w in found]  # type: ignore[misc]


def scaled(x: Matrix, scales: Sequence[ColumnScale]) -> Matrix:
    """Columns ``[n, F]`` as finite numbers of one scale, at least one column."""
    if not scales:
        return np.zeros((len(x), 1))
    return np.concatenate([scale_column(column, scale) for column, scale in zip(x.T, scales, strict=True)], axis=1)

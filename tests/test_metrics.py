"""Metrics against hand-worked numbers and their definitions."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph import metrics
from relgraph.errors import ProtocolError, ShapeError

LABEL = [0, 0, 1, 1, 1]
SCORE = [0.1, 0.6, 0.6, 0.2, 0.9]


def test_binary_by_hand() -> None:
    # pairs: (0.6, 0.2, 0.9) against 0.1: 3 wins; against 0.6: a tie, a loss, a win
    assert metrics.auroc(LABEL, SCORE) == pytest.approx((3 + 0.5 + 0 + 1) / 6)
    # thresholds 0.9: recall 1/3, precision 1; 0.6: 2/3, 2/3; 0.2: 1, 3/4
    assert metrics.average_precision(LABEL, SCORE) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    found = metrics.entity_metrics("binary", LABEL, SCORE)
    assert found == pytest.approx({"auroc": 0.75, "average_precision": 29 / 36, "accuracy": 3 / 5})


def test_one_half_is_not_class_one() -> None:
    assert metrics.entity_metrics("binary", [0, 1], [0.5, 0.6])["accuracy"] == 1.0


def test_multiclass_by_hand() -> None:
    prediction = np.eye(4)[[0, 1, 1, 2, 0]]
    found = metrics.entity_metrics("multiclass", [0, 1, 2, 2, 1], prediction)
    # F1: class 0 of precision 1/2, recall 1; class 1 of 1/2, 1/2; class 2 of 1, 1/2; class 3 does not occur
    assert found.pop("log_loss") == pytest.approx(2 / 5 * 12 * np.log(10))  # two answers were given no chance
    assert found == pytest.approx({"accuracy": 3 / 5, "macro_f1": (2 / 3 + 1 / 2 + 2 / 3) / 3})


def test_log_loss_by_hand() -> None:
    assert metrics.log_loss([0, 1], [[0.5, 0.5], [0.75, 0.25]]) == pytest.approx((np.log(2) + np.log(4)) / 2)
    with pytest.raises(ShapeError, match="expected labels in"):
        metrics.log_loss([2], [[0.5, 0.5]])


def test_multilabel_by_hand() -> None:
    label = [[0, 1, 0], [0, 1, 1], [1, 1, 1]]
    score = [[0.2, 0.9, 0.6], [0.4, 0.8, 0.7], [0.3, 0.1, 0.5]]
    found = metrics.entity_metrics("multilabel", label, score)
    # the second label is always 1 and left out; first: 1 of 2 pairs, third: 1 of 2 pairs
    assert found["macro_auroc"] == pytest.approx(0.5)
    # first: its 1 comes second, 1/2; third: 1 at first place, then at the third, 2/3
    assert found["macro_average_precision"] == pytest.approx((1 / 2 + (1 + 2 / 3) / 2) / 2)
    # above one half: the second label of two rows and the third of two, of which three are right; six are 1
    assert found["micro_f1"] == pytest.approx(2 * 3 / (6 + 4))


def test_regression_by_hand() -> None:
    found = metrics.entity_metrics("regression", [1.0, 2.0, 6.0], [2.0, 2.0, 3.0])
    assert found == pytest.approx({"mae": 4 / 3, "rmse": (10 / 3) ** 0.5, "r2": 1 - 10 / 14})


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-5, 5)), min_size=2, max_size=12))
def test_auroc_is_the_share_of_ordered_pairs(rows: list[tuple[int, int]]) -> None:
    positive = [score for label, score in rows if label]
    negative = [score for label, score in rows if not label]
    if not positive or not negative:
        with pytest.raises(ProtocolError, match="needs both classes"):
            metrics.auroc(*zip(*rows, strict=True))
        return
    wins = sum((p > n) + 0.5 * (p == n) for p, n in product(positive, negative))
    assert metrics.auroc(*zip(*rows, strict=True)) == pytest.approx(wins / len(positive) / len(negative))


def test_the_names_are_those_that_come_back() -> None:
    examples: dict[str, tuple[Any, Any]] = {
        "binary": (LABEL, SCORE),
        "multiclass": ([0, 1], np.eye(2)),
        "regression": ([0.0, 1.0], [0.0, 1.0]),
        "multilabel": ([[0, 1], [1, 0]], [[0.2, 0.9], [0.8, 0.3]]),
    }
    assert examples.keys() == metrics.ENTITY_METRICS.keys()
    for kind, names in metrics.ENTITY_METRICS.items():
        assert tuple(metrics.entity_metrics(kind, *examples[kind])) == names


def test_tensors_are_welcome() -> None:
    found = metrics.entity_metrics("binary", torch.tensor(LABEL), torch.tensor(SCORE))
    assert found["auroc"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("kind", "label", "prediction", "error", "message"),
    [
        ("binary", [1, 1], [0.1, 0.2], ProtocolError, "auroc needs both classes, got 2 positive of 2 labels"),
        ("binary", [0, 2], [0.1, 0.2], ShapeError, r"labels must be 0 or 1, got \[0.0, 2.0\]"),
        ("binary", [0, 1], [0.1, 3.0], ShapeError, r"probabilities in 0..1, got 0.1..3; apply a sigmoid"),
        ("binary", [0, 1], [0.1, np.nan], ProtocolError, "1 of 2 predictions are NaN or infinite"),
        ("binary", [0, np.nan], [0.1, 0.2], ProtocolError, "1 of 2 labels are NaN"),
        ("binary", [], [], ProtocolError, "no rows to evaluate"),
        ("binary", [0, 1], [0.5], ShapeError, r"one length, got \[2\] and \[1\]"),
        ("multiclass", [0, 1], [0.5, 0.5], ShapeError, r"must be \[rows, classes\], got \[2\]"),
        ("multiclass", [0, 2], np.eye(2), ShapeError, r"expected labels in 0..1, .*got 0..2"),
        ("multiclass", [0, 1], [[np.nan, 1], [0, 1]], ProtocolError, "hold NaN"),
        ("multilabel", [0, 1], [0.5, 0.5], ShapeError, r"one shape \[rows, labels\], got \[2\] and \[2\]"),
        ("multilabel", [[0, 1]], [[0.5, 0.5]], ProtocolError, "none of 2 labels has both classes among 1 rows"),
        ("multilabel", [[0, 3]], [[0.5, 0.5]], ShapeError, r"multilabel: labels must be 0 or 1, got \[0.0, 3.0\]"),
        ("multilabel", [[0, 1]], [[np.nan, 0.5]], ProtocolError, "1 of 2 predictions are NaN"),
        ("multilabel", np.empty((0, 2)), np.empty((0, 2)), ProtocolError, "no rows to evaluate"),
        ("regression", [1.0, np.inf], [1.0, 1.0], ProtocolError, "1 of 2 labels are NaN or infinite"),
        ("regression", [2.0, 2.0], [1.0, 1.0], ProtocolError, "r2 needs labels that differ, all 2 are 2"),
        (
            "ranking",
            [0, 1],
            [0.1, 0.2],
            ProtocolError,
            "kind must be one of binary, regression, multiclass, multilabel, got 'ranking'",
        ),
    ],
)
def test_refused(kind: Any, label: Any, prediction: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metrics.entity_metrics(kind, label, prediction)


def test_importing_metrics_is_light() -> None:
    program = "import sys, relgraph.metrics; sys.exit('sklearn' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Losses and predictions of each kind of task, worked out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from relgraph.errors import ProtocolError
from relgraph.tasks import Seeds
from relgraph.training.outputs import LabelScale, label_scale, num_outputs, positive_weight, to_loss, to_prediction


def seeds(label: Any) -> Seeds:
    value = torch.tensor(label)
    return Seeds(torch.arange(len(value)), None, value, None)  # type: ignore[arg-type]


def test_how_many_outputs() -> None:
    assert num_outputs("binary", seeds([0.0, 1.0])) == 1
    assert num_outputs("multiclass", seeds([0, 2]), seeds([3])) == 4
    assert num_outputs("multilabel", seeds([[0.0, 1.0, 1.0]])) == 3


def test_regression_in_standard_deviations() -> None:
    scale = label_scale("regression", seeds([1.0, 3.0]))
    assert scale == LabelScale(2.0, 1.0)
    assert label_scale("regression", seeds([5.0, 5.0])) == LabelScale(5.0, 1.0)
    assert label_scale("binary", seeds([0.0, 1.0])) == LabelScale()
    out, label, scale = torch.tensor([[0.5], [-2.0]]), torch.tensor([4.0, 6.0]), LabelScale(4.0, 2.0)  # targets 0, 1
    assert to_loss("regression", out, label, scale).item() == pytest.approx((0.5 + 3) / 2)
    assert to_loss("regression", out, label, scale, "mse").item() == pytest.approx((0.25 + 9) / 2)
    assert to_loss("regression", out, label, scale, "huber").item() == pytest.approx((0.125 + 2.5) / 2)
    assert to_prediction("regression", out, scale).tolist() == [5.0, 0.0]


def test_predictions_between_quantiles_of_the_labels() -> None:
    label = [float(i) for i in range(101)]
    scale = label_scale("regression", seeds(label), (0.02, 0.98))
    assert (scale.low, scale.high) == (2.0, 98.0)
    out = torch.tensor([[-9.0], [0.0], [9.0]])
    assert to_prediction("regression", out, scale).tolist() == [2.0, 50.0, 98.0]
    with pytest.raises(ProtocolError, match="clamp is for regression tasks, this one is binary"):
        label_scale("binary", seeds([0.0, 1.0]), (0.02, 0.98))
    for bad in ((0.98, 0.02), (0.1, 1.1), (0.5,)):
        with pytest.raises(ProtocolError, match="clamp: expected two ascending shares"):
            label_scale("regression", seeds(label), bad)  # type: ignore[arg-type]


def test_binary_with_and_without_a_weight() -> None:
    out, label = torch.tensor([[0.3], [-1.2]]), torch.tensor([1.0, 0.0])
    p = [1 / (1 + math.exp(-0.3)), 1 / (1 + math.exp(1.2))]
    assert to_loss("binary", out, label).item() == pytest.approx(-(math.log(p[0]) + math.log(1 - p[1])) / 2)
    weight = positive_weight("binary", seeds([1.0, 0.0, 0.0, 0.0]), "balanced")
    assert weight is not None
    assert weight.tolist() == [3.0]
    weighed = to_loss("binary", out, label, weight=weight).item()
    assert weighed == pytest.approx(-(3 * math.log(p[0]) + math.log(1 - p[1])) / 2)
    assert to_prediction("binary", out).tolist() == pytest.approx(p)


def test_several_labels_each_with_its_own_cross_entropy() -> None:
    out, label = torch.tensor([[0.3, -1.2]]), torch.tensor([[0.0, 1.0]])
    p = to_prediction("multilabel", out)
    assert p.shape == (1, 2)
    expected = -(math.log(1 - p[0, 0]) + math.log(p[0, 1])) / 2
    assert to_loss("multilabel", out, label).item() == pytest.approx(expected)
    weight = positive_weight("multilabel", seeds([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), "balanced")
    assert weight is not None
    assert weight.tolist() == [0.5, 3.0]


def test_classes() -> None:
    out, label = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([1])
    p = to_prediction("multiclass", out)
    assert float(p.sum()) == pytest.approx(1)
    assert to_loss("multiclass", out, label).item() == pytest.approx(-math.log(p[0, 1]))


def test_a_weight_that_makes_no_sense_is_refused() -> None:
    assert positive_weight("regression", seeds([1.0]), None) is None
    with pytest.raises(ProtocolError, match="pos_weight is for binary and multilabel tasks, this one is regression"):
        positive_weight("regression", seeds([1.0]), 2.0)
    for wrong in (0, -1.0, "half"):
        with pytest.raises(ProtocolError, match="expected a number above 0 or 'balanced'"):
            positive_weight("binary", seeds([1.0]), wrong)  # type: ignore[arg-type]

"""What the outputs of a network mean for each kind of task: the loss that trains them and the prediction they give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from relgraph.errors import ProtocolError
from relgraph.tasks import Seeds

__all__ = ["LabelScale", "RegressionLoss", "label_scale", "num_outputs", "positive_weight", "to_loss", "to_prediction"]

RegressionLoss = Literal["l1", "mse", "huber"]
_REGRESSION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss, "huber": F.huber_loss}


def num_outputs(kind: str, *splits: Seeds) -> int:
    """Outputs per seed: one per class, one per label, or one."""
    if kind == "multiclass":
        return max(int(seeds.label.max()) for seeds in splits) + 1
    return int(splits[0].label.size(1)) if kind == "multilabel" else 1


class LabelScale(NamedTuple):
    """How the outputs of a regression become values.

    Args:
        mean: Of the training labels.
        std: Of the training labels; what labels are divided by once ``mean`` is subtracted.
        low: Nothing lower is predicted.
        high: Nothing higher is predicted.
    """

    mean: float = 0.0
    std: float = 1.0
    low: float | None = None
    high: float | None = None


def label_scale(kind: str, train: Seeds, clamp: tuple[float, float] | None = None) -> LabelScale:
    """The scale of the training labels.

    Args:
        kind: Of the task.
        train: The training seeds.
        clamp: Shares of the training labels between whose quantiles predictions are kept.

    Raises:
        ProtocolError: If the task is no regression but ``clamp`` is given, or it is no ascending pair of shares.
    """
    if clamp is not None:
        if kind != "regression":
            raise ProtocolError(f"clamp is for regression tasks, this one is {kind}")
        if len(clamp) != 2 or not 0 <= clamp[0] < clamp[1] <= 1:
            raise ProtocolError(f"clamp: expected two ascending shares such as (0.02, 0.98), got {clamp!r}")
    if kind != "regression":
        return LabelScale()
    label = train.label.double()
    std = float(label.std(unbiased=False))
    ends = (None, None) if clamp is None else tuple(np.quantile(label.numpy(), clamp).tolist())
    return LabelScale(float(label.mean()), std if std > 0 else 1.0, *ends)


_PLAIN = LabelScale()


def positive_weight(kind: str, train: Seeds, weight: float | Literal["balanced"] | None) -> Tensor | None:
    """How much more a positive label counts, float64 ``[labels]``; ``"balanced"`` is negatives over positives.

    Raises:
        ProtocolError: If the task has no positive labels to weigh, or the weight is not positive.
    """
    if weight is None:
        return None
    if kind not in ("binary", "multilabel"):
        raise ProtocolError(f"pos_weight is for binary and multilabel tasks, this one is {kind}")
    label = train.label.double().reshape(len(train), -1)
    if weight == "balanced":
        positive = label.sum(0).clamp(min=1)
        return (label.size(0) - label.sum(0)).clamp(min=1) / positive
    if not isinstance(weight, (int, float)) or not weight > 0:
        raise ProtocolError(f"pos_weight: expected a number above 0 or 'balanced', got {weight!r}")
    return torch.full((label.size(1),), float(weight), dtype=torch.float64)


def to_loss(
    kind: str,
    out: Tensor,
    label: Tensor,
    scale: LabelScale = _PLAIN,
    loss: RegressionLoss = "l1",
    weight: Tensor | None = None,
) -> Tensor:
    """The mean loss of a batch.

    Class cross entropy; binary cross entropy, of each label where there are several; or the absolute error (``"l1"``),
    its square (``"mse"``) or Huber's mixture (``"huber"``, changing over at 1) in standard deviations of the training
    labels.

    Args:
        kind: Of the task.
        out: Raw outputs, ``[B, outputs]``.
        label: ``[B]``, or ``[B, labels]``.
        scale: Of a regression.
        loss: Of a regression.
        weight: From :func:`positive_weight`.
    """
    label = label.to(out.device)
    if kind == "multiclass":
        return F.cross_entropy(out, label)
    if kind == "regression":
        found: Tensor = _REGRESSION[loss](out[:, 0], ((label - scale.mean) / scale.std).to(out.dtype))
        return found
    weight = None if weight is None else weight.to(out.device, out.dtype)
    return F.binary_cross_entropy_with_logits(out, label.to(out.dtype).view_as(out), pos_weight=weight)


def to_prediction(kind: str, out: Tensor, scale: LabelScale = _PLAIN) -> Tensor:
    """Probability of 1 ``[B]``, value ``[B]``, or probabilities of classes or labels, ``[B, classes or labels]``."""
    if kind == "multiclass":
        return out.softmax(1)
    if kind == "multilabel":
        return out.sigmoid()
    if kind == "binary":
        return out[:, 0].sigmoid()
    value = out[:, 0] * scale.std + scale.mean
    return value if scale.low is None and scale.high is None else value.clamp(scale.low, scale.high)

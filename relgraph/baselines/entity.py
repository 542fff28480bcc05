"""Baselines and models for labels of rows: from a constant to networks with boosting on top."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.baselines.bench import Bench, Predictions
from relgraph.baselines.boosting import Rows, fit_boosting
from relgraph.errors import ProtocolError
from relgraph.tasks.seeds import Split

__all__ = ["boosted", "constant", "ensemble", "history", "network"]

_ASKED: tuple[Split, ...] = ("val", "test")
_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def constant(bench: Bench, seed: int) -> Predictions:
    """The same answer for all, from training labels.

    Share of positives, of each class or of each label; the median where the metric is the absolute error, else the
    mean.
    """
    label = bench.seeds["train"].label
    if bench.task.kind == "multiclass":
        value = torch.bincount(label, minlength=bench.classes).double() / label.numel()
    elif bench.task.kind == "regression" and bench.task.metric == "mae":
        value = label.double().quantile(0.5)
    else:
        value = label.double().mean(0)
    return {split: value.expand(len(bench.seeds[split]), *value.shape).clone() for split in _ASKED}


def history(bench: Bench, seed: int, *, what: str) -> Predictions:
    """The entity's own past labels: their mean, median or the last one; without any, the constant.

    Args:
        bench: The task.
        seed: Of no effect.
        what: ``"mean, all"``, ``"median, all"`` or ``"last"``, as :class:`~relgraph.tabular.PastLabels` names it.
    """
    names = bench.source("past").names
    chosen = [i for i, name in enumerate(names) if name.endswith(f": {what}")]
    otherwise = constant(bench, seed)
    out: dict[Split, Tensor] = {}
    for split in _ASKED:
        found = torch.from_numpy(bench.matrix("past", split)[:, chosen]).reshape(len(bench.seeds[split]), -1)
        found = found[:, 0] if otherwise[split].dim() == 1 else _padded(found, otherwise[split].size(1))
        out[split] = torch.where(found.isnan(), otherwise[split], found)
    return out


def _padded(shares: Tensor, width: int) -> Tensor:
    """Past labels know no more classes than training has."""
    missing = width - shares.size(1)
    return torch.cat([shares, shares.new_zeros(len(shares), missing)], 1) if missing > 0 else shares[:, :width]


def boosted(bench: Bench, seed: int, *, sources: tuple[str, ...], name: str) -> Predictions:
    """Gradient boosting on columns.

    Args:
        bench: The task; ``options["boosting"]`` and those of ``name`` go to
            :func:`~relgraph.baselines.boosting.fit_boosting`.
        seed: Of the booster; with ``bag`` in the options so many from there on are averaged.
        sources: ``"row"``, ``"aggregates"``, ``"past"``, ``"gnn"``.
        name: The model's.

    Raises:
        ProtocolError: If the sources have no column.
    """
    sources = tuple(f"gnn {seed}" if source == "gnn" else source for source in sources)
    given: dict[str, Any] = {**bench.options.get("boosting", {}), **bench.options.get(name, {})}
    bag = given.pop("bag", 1)
    train, val = (Rows(bench.columns(sources, split), bench.labels(split)) for split in ("train", "val"))
    if not train.x.shape[1]:
        raise ProtocolError(f"table {bench.task.entity_table!r} gives no column to learn from ({', '.join(sources)})")
    model = fit_boosting(
        bench.task.kind,
        train,
        val,
        lambda prediction: bench.score("val", prediction),
        metric=bench.task.metric,
        categorical=bench.categorical(sources),
        classes=bench.classes,
        seeds=range(seed, seed + bag),
        **given,
    )
    return {split: torch.from_numpy(model.predict(bench.columns(sources, split))) for split in _ASKED}


def network(bench: Bench, seed: int) -> Predictions:
    """The GNN of :func:`relgraph.fit`; ``options["gnn"]`` are its settings."""
    return {split: bench.network_scores(seed, split) for split in _ASKED}


def ensemble(bench: Bench, seed: int, *, first: Predictions, second: Predictions) -> Predictions:
    """Two models together, with the weights 0, 1/4, 1/2, 3/4 or 1 that are best on validation.

    Where the metric asks for order alone (``auroc``, ``average_precision``) predictions become their rank among the
    validation predictions of the same model, so that no test row depends on another; else they are averaged as they
    are.
    """
    if bench.task.metric in ("auroc", "average_precision") and first["val"].dim() == 1:
        first, second = _ranked(first), _ranked(second)

    def mixed(weight: float, split: Split) -> Tensor:
        return weight * first[split] + (1 - weight) * second[split]

    best = max(_WEIGHTS, key=lambda weight: bench.score("val", mixed(weight, "val")))
    return {split: mixed(best, split) for split in _ASKED}


def _ranked(predictions: Predictions) -> Predictions:
    value, count = np.unique(predictions["val"].numpy(), return_counts=True)
    middle = (np.cumsum(count) - count / 2) / count.sum()
    # probabilities: in between and beyond, order is kept
    place, rank = np.r_[-1e-9, value, 1 + 1e-9], np.r_[0.0, middle, 1.0]
    return {split: torch.from_numpy(np.interp(found.numpy(), place, rank)) for split, found in predictions.items()}

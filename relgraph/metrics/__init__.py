"""Metrics of predictions about rows and of recommendations: scikit-learn's where it has them, our checks in front."""

from __future__ import annotations

from relgraph.metrics.entity import (
    ENTITY_METRICS,
    LOWER_IS_BETTER,
    accuracy,
    auroc,
    average_precision,
    entity_metrics,
    log_loss,
    macro_f1,
    mae,
    r2,
    rmse,
)
from relgraph.metrics.links import LINK_METRICS, link_hits, link_metrics
from relgraph.metrics.multilabel import multilabel_metrics

__all__ = [
    "ENTITY_METRICS",
    "LINK_METRICS",
    "LOWER_IS_BETTER",
    "accuracy",
    "auroc",
    "average_precision",
    "entity_metrics",
    "link_hits",
    "link_metrics",
    "log_loss",
    "macro_f1",
    "mae",
    "multilabel_metrics",
    "r2",
    "rmse",
]

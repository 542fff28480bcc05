"""Columns for seeds: what a table model, or the head of a network, sees of a row at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.tabular.aggregates import Aggregates as Aggregates
    from relgraph.tabular.block import SeedFeatures as SeedFeatures
    from relgraph.tabular.from_dict import seed_features_from_dict as seed_features_from_dict
    from relgraph.tabular.past_labels import PastLabels as PastLabels
    from relgraph.tabular.row import RowFeatures as RowFeatures

_HOMES = {
    "Aggregates": "relgraph.tabular.aggregates",
    "PastLabels": "relgraph.tabular.past_labels",
    "RowFeatures": "relgraph.tabular.row",
    "SeedFeatures": "relgraph.tabular.block",
    "seed_features_from_dict": "relgraph.tabular.from_dict",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

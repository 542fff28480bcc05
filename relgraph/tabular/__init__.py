"""Columns for seeds: what a table model, or the head of a network, sees of a row at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.tabular.block import SeedFeatures as SeedFeatures

_HOMES = {"SeedFeatures": "relgraph.tabular.block"}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

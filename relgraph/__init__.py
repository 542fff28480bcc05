"""Relational databases and knowledge graphs become one graph; GNNs and link predictors learn on it.

The public names load on first use, so ``import relgraph`` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Database": "relgraph.data.database",
    "EntityPredictor": "relgraph.training.predictor",
    "EntityTask": "relgraph.tasks",
    "HeteroGraph": "relgraph.data.graph",
    "Schema": "relgraph.data.schema",
    "SemanticType": "relgraph.data.schema",
    "Statements": "relgraph.data.statements",
    "TemporalSampler": "relgraph.sampling",
    "Vocabulary": "relgraph.data.statements",
    "build_graph": "relgraph.data.build",
    "connect": "relgraph.adapters",
    "fit": "relgraph.training.entity",
    "read_statements": "relgraph.adapters",
}
_MODULES = {"adapters", "data", "errors", "kge", "nn", "ops", "sampling", "tasks", "training"}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"relgraph.{name}")
    raise AttributeError(f"module 'relgraph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])

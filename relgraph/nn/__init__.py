"""Networks on a :class:`~relgraph.data.graph.HeteroGraph`: table encoders, message passing, entity models."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "EntityModel": "relgraph.nn.entity_model",
    "HeteroEncoder": "relgraph.nn.encoders",
    "HeteroGraphSAGE": "relgraph.nn.sage",
    "RelativeTimeEncoder": "relgraph.nn.encoders",
    "TableEncoder": "relgraph.nn.encoders",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'relgraph.nn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

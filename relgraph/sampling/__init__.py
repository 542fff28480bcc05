"""Temporal neighbour sampling: what a prediction may see, and no more.

``adjacency``, ``hashing`` and ``engine_tensor`` need torch only; ``TemporalSampler`` adds PyG's interface and loads on
first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "Adjacency": "relgraph.sampling.adjacency",
    "Sample": "relgraph.sampling.engine_tensor",
    "TemporalSampler": "relgraph.sampling.sampler",
    "sample": "relgraph.sampling.engine_tensor",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'relgraph.sampling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

"""One training loop for everything that learns here: entity models and link predictors alike."""

import importlib
from typing import Any

from relgraph.training.engine import Job, fit
from relgraph.training.history import History

# these need PyTorch Geometric and PyTorch Frame, which link predictors do not
_ENTITY = {"EntityJob": "relgraph.training.entity", "EntityPredictor": "relgraph.training.predictor"}

__all__ = ["EntityJob", "EntityPredictor", "History", "Job", "fit"]


def __getattr__(name: str) -> Any:
    if name in _ENTITY:
        return getattr(importlib.import_module(_ENTITY[name]), name)
    raise AttributeError(f"module 'relgraph.training' has no attribute {name!r}")

"""Link prediction on statements: scorers, training, ranking, prediction (installed as ``relgraph.kge``)."""

if __name__ != "relgraph.kge":
    raise ImportError(f"this folder is the package relgraph.kge, not {__name__}: use 'import relgraph.kge'")

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relgraph.kge.evaluation import Metrics, evaluate
    from relgraph.kge.prediction import Prediction, predict
    from relgraph.kge.scorers import SCORERS, DistMult, LowFER, Scorer
    from relgraph.kge.storage import load_scorer, save_scorer
    from relgraph.kge.training import fit

_PUBLIC = {
    "SCORERS": "scorers",
    "DistMult": "scorers",
    "LowFER": "scorers",
    "Metrics": "evaluation",
    "Prediction": "prediction",
    "Scorer": "scorers",
    "evaluate": "evaluation",
    "fit": "training",
    "load_scorer": "storage",
    "predict": "prediction",
    "save_scorer": "storage",
}

__all__ = [
    "SCORERS",
    "DistMult",
    "LowFER",
    "Metrics",
    "Prediction",
    "Scorer",
    "evaluate",
    "fit",
    "load_scorer",
    "predict",
    "save_scorer",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"relgraph.kge.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'relgraph.kge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

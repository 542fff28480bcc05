"""One training loop for everything that learns here: entity models and link predictors alike."""

from typing import TYPE_CHECKING

from relgraph.lazy import lazy
from relgraph.training.engine import Job, fit
from relgraph.training.history import History

if TYPE_CHECKING:
    from relgraph.training.entity import EntityJob
    from relgraph.training.predictor import EntityPredictor

__all__ = ["EntityJob", "EntityPredictor", "History", "Job", "fit"]

# these need PyTorch Geometric and PyTorch Frame, which link predictors do not
_HOMES = {"EntityJob": "relgraph.training.entity", "EntityPredictor": "relgraph.training.predictor"}
__getattr__, __dir__ = lazy(__name__, _HOMES)

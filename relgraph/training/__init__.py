"""One training loop for everything that learns here: entity models and link predictors alike."""

from typing import TYPE_CHECKING

from relgraph.lazy import lazy
from relgraph.training.engine import Job, fit
from relgraph.training.history import History

if TYPE_CHECKING:
    from relgraph.training.explainer import ExplainedRow, explain, explained_link, explained_row
    from relgraph.training.explanation import PredictionExplanation
    from relgraph.training.integrated_gradients import IntegratedGradients
    from relgraph.training.job import EntityJob
    from relgraph.training.link import LinkJob
    from relgraph.training.link_predictor import LinkPredictor
    from relgraph.training.predictions import write_predictions
    from relgraph.training.predictor import EntityPredictor

__all__ = [
    "EntityJob",
    "EntityPredictor",
    "ExplainedRow",
    "History",
    "IntegratedGradients",
    "Job",
    "LinkJob",
    "LinkPredictor",
    "PredictionExplanation",
    "explain",
    "explained_link",
    "explained_row",
    "fit",
    "write_predictions",
]

# these need PyTorch Geometric and PyTorch Frame, which link predictors do not
_HOMES = {
    "EntityJob": "relgraph.training.job",
    "EntityPredictor": "relgraph.training.predictor",
    "ExplainedRow": "relgraph.training.explainer",
    "IntegratedGradients": "relgraph.training.integrated_gradients",
    "LinkJob": "relgraph.training.link",
    "LinkPredictor": "relgraph.training.link_predictor",
    "PredictionExplanation": "relgraph.training.explanation",
    "explain": "relgraph.training.explainer",
    "explained_link": "relgraph.training.explainer",
    "explained_row": "relgraph.training.explainer",
    "write_predictions": "relgraph.training.predictions",
}
__getattr__, __dir__ = lazy(__name__, _HOMES)

"""What a network has to beat, and one call that compares all of it on a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.baselines.backtest import Backtest as Backtest
    from relgraph.baselines.backtest import TableModel as TableModel
    from relgraph.baselines.boosting import Boosted as Boosted
    from relgraph.baselines.boosting import fit_boosting as fit_boosting
    from relgraph.baselines.comparison import Comparison as Comparison
    from relgraph.baselines.comparison import ModelResult as ModelResult
    from relgraph.baselines.run import compare as compare

_HOMES = {
    "Backtest": "relgraph.baselines.backtest",
    "Boosted": "relgraph.baselines.boosting",
    "Comparison": "relgraph.baselines.comparison",
    "ModelResult": "relgraph.baselines.comparison",
    "TableModel": "relgraph.baselines.backtest",
    "compare": "relgraph.baselines.run",
    "fit_boosting": "relgraph.baselines.boosting",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

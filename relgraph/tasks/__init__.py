"""What to predict: rows, links or columns; SQL or a form gives the labels, time splits train from test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.tasks.entity import EntityTask as EntityTask
    from relgraph.tasks.seeds import LinkSeeds as LinkSeeds
    from relgraph.tasks.seeds import Regime as Regime
    from relgraph.tasks.seeds import Seeds as Seeds
    from relgraph.tasks.seeds import Split as Split

_HOMES = {
    "EntityTask": "relgraph.tasks.entity",
    "LinkSeeds": "relgraph.tasks.seeds",
    "Regime": "relgraph.tasks.seeds",
    "Seeds": "relgraph.tasks.seeds",
    "Split": "relgraph.tasks.seeds",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

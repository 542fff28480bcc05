"""What to predict: rows, links or columns; SQL or a form gives the labels, time splits train from test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.tasks.base import Task as Task
    from relgraph.tasks.column import ColumnTask as ColumnTask
    from relgraph.tasks.entity import EntityTask as EntityTask
    from relgraph.tasks.from_dict import task_from_dict as task_from_dict
    from relgraph.tasks.leakage import Audit as Audit
    from relgraph.tasks.leakage import Finding as Finding
    from relgraph.tasks.leakage import audit as audit
    from relgraph.tasks.link import LinkTask as LinkTask
    from relgraph.tasks.node import NodeTask as NodeTask
    from relgraph.tasks.seeds import LinkSeeds as LinkSeeds
    from relgraph.tasks.seeds import Regime as Regime
    from relgraph.tasks.seeds import Seeds as Seeds
    from relgraph.tasks.seeds import Split as Split

_HOMES = {
    "Audit": "relgraph.tasks.leakage",
    "Finding": "relgraph.tasks.leakage",
    "audit": "relgraph.tasks.leakage",
    "NodeTask": "relgraph.tasks.node",
    "ColumnTask": "relgraph.tasks.column",
    "EntityTask": "relgraph.tasks.entity",
    "LinkSeeds": "relgraph.tasks.seeds",
    "LinkTask": "relgraph.tasks.link",
    "Regime": "relgraph.tasks.seeds",
    "Seeds": "relgraph.tasks.seeds",
    "Split": "relgraph.tasks.seeds",
    "Task": "relgraph.tasks.base",
    "task_from_dict": "relgraph.tasks.from_dict",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

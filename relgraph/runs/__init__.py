"""Finished trainings as folders: :func:`load` opens one, and it evaluates, predicts, explains and reports itself."""

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.runs.links import LinkRun as LinkRun
    from relgraph.runs.opening import load as load
    from relgraph.runs.rows import RowRun as RowRun

_HOMES = {
    "LinkRun": "relgraph.runs.links",
    "RowRun": "relgraph.runs.rows",
    "load": "relgraph.runs.opening",
}
__all__ = [*_HOMES]
__getattr__, __dir__ = lazy(__name__, _HOMES)

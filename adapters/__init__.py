"""Sources of tables and facts, one folder or file per kind (installed as ``relgraph.adapters``)."""

if __name__ != "relgraph.adapters":
    raise ImportError(f"this folder is the package relgraph.adapters, not {__name__}: use 'import relgraph.adapters'")

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.adapters.libkge import read_libkge as read_libkge
    from relgraph.adapters.networkx import from_networkx as from_networkx
    from relgraph.adapters.pykeen import from_pykeen as from_pykeen
    from relgraph.adapters.pykeen import to_pykeen as to_pykeen
    from relgraph.adapters.rdf import read_rdf as read_rdf
    from relgraph.adapters.relbench.tasks import read_relbench_seeds as read_relbench_seeds
    from relgraph.adapters.relbench.tasks import read_relbench_tasks as read_relbench_tasks
    from relgraph.adapters.relbench.write import write_relbench as write_relbench
    from relgraph.adapters.statement_files import read_statements as read_statements
    from relgraph.adapters.statement_files import write_statements as write_statements
    from relgraph.adapters.tables import ADAPTERS as ADAPTERS
    from relgraph.adapters.tables import connect as connect

_HOMES = {
    "ADAPTERS": "relgraph.adapters.tables",
    "connect": "relgraph.adapters.tables",
    "from_networkx": "relgraph.adapters.networkx",
    "from_pykeen": "relgraph.adapters.pykeen",
    "read_libkge": "relgraph.adapters.libkge",
    "read_rdf": "relgraph.adapters.rdf",
    "read_relbench_seeds": "relgraph.adapters.relbench.tasks",
    "read_relbench_tasks": "relgraph.adapters.relbench.tasks",
    "read_statements": "relgraph.adapters.statement_files",
    "to_pykeen": "relgraph.adapters.pykeen",
    "write_relbench": "relgraph.adapters.relbench.write",
    "write_statements": "relgraph.adapters.statement_files",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

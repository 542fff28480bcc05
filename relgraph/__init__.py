"""Relational databases and knowledge graphs become one graph; GNNs and link predictors learn on it.

The public names load on first use, so ``import relgraph`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph import adapters as adapters
    from relgraph import data as data
    from relgraph import errors as errors
    from relgraph import kge as kge
    from relgraph import nn as nn
    from relgraph import ops as ops
    from relgraph import sampling as sampling
    from relgraph import tasks as tasks
    from relgraph import training as training
    from relgraph.adapters.statement_files import read_statements as read_statements
    from relgraph.adapters.tables import connect as connect
    from relgraph.data.build import build_graph as build_graph
    from relgraph.data.database import Database as Database
    from relgraph.data.graph import HeteroGraph as HeteroGraph
    from relgraph.data.schema import Schema as Schema
    from relgraph.data.schema import SemanticType as SemanticType
    from relgraph.data.statements import Statements as Statements
    from relgraph.data.statements import Vocabulary as Vocabulary
    from relgraph.sampling.sampler import TemporalSampler as TemporalSampler
    from relgraph.tasks import EntityTask as EntityTask
    from relgraph.training.entity import fit as fit
    from relgraph.training.predictor import EntityPredictor as EntityPredictor

__version__ = "0.1.0"

_HOMES = {
    "Database": "relgraph.data.database",
    "EntityPredictor": "relgraph.training.predictor",
    "EntityTask": "relgraph.tasks",
    "HeteroGraph": "relgraph.data.graph",
    "Schema": "relgraph.data.schema",
    "SemanticType": "relgraph.data.schema",
    "Statements": "relgraph.data.statements",
    "TemporalSampler": "relgraph.sampling.sampler",
    "Vocabulary": "relgraph.data.statements",
    "build_graph": "relgraph.data.build",
    "connect": "relgraph.adapters.tables",
    "fit": "relgraph.training.entity",
    "read_statements": "relgraph.adapters.statement_files",
    # submodules
    "adapters": "",
    "data": "",
    "errors": "",
    "kge": "",
    "nn": "",
    "ops": "",
    "sampling": "",
    "tasks": "",
    "training": "",
}
__all__ = ["__version__", *(name for name, home in _HOMES.items() if home)]
__getattr__, __dir__ = lazy(__name__, _HOMES)

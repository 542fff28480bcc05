"""Relational databases and knowledge graphs become one graph; GNNs and link predictors learn on it.

The public names load on first use, so ``import relgraph`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph import adapters as adapters
    from relgraph import baselines as baselines
    from relgraph import data as data
    from relgraph import errors as errors
    from relgraph import kge as kge
    from relgraph import nn as nn
    from relgraph import ops as ops
    from relgraph import pictures as pictures
    from relgraph import runs as runs
    from relgraph import sampling as sampling
    from relgraph import tabular as tabular
    from relgraph import tasks as tasks
    from relgraph import training as training
    from relgraph.adapters.statement_files import read_statements as read_statements
    from relgraph.adapters.tables import connect as connect
    from relgraph.baselines.run import compare as compare
    from relgraph.data.build import build_graph as build_graph
    from relgraph.data.database import Database as Database
    from relgraph.data.graph import HeteroGraph as HeteroGraph
    from relgraph.data.schema import Schema as Schema
    from relgraph.data.schema import SemanticType as SemanticType
    from relgraph.data.statements import Statements as Statements
    from relgraph.data.statements import Vocabulary as Vocabulary
    from relgraph.runs.links import LinkRun as LinkRun
    from relgraph.runs.opening import load as load
    from relgraph.runs.rows import RowRun as RowRun
    from relgraph.sampling.sampler import TemporalSampler as TemporalSampler
    from relgraph.tasks import ColumnTask as ColumnTask
    from relgraph.tasks import EntityTask as EntityTask
    from relgraph.tasks import LinkTask as LinkTask
    from relgraph.tasks import NodeTask as NodeTask
    from relgraph.tasks import audit as audit
    from relgraph.training.entity import fit as fit
    from relgraph.training.explainer import explain as explain
    from relgraph.training.link_predictor import LinkPredictor as LinkPredictor
    from relgraph.training.predictions import write_predictions as write_predictions
    from relgraph.training.predictor import EntityPredictor as EntityPredictor

__version__ = "0.1.0"

_HOMES = {
    "ColumnTask": "relgraph.tasks",
    "Database": "relgraph.data.database",
    "EntityPredictor": "relgraph.training.predictor",
    "EntityTask": "relgraph.tasks",
    "HeteroGraph": "relgraph.data.graph",
    "LinkPredictor": "relgraph.training.link_predictor",
    "LinkRun": "relgraph.runs.links",
    "LinkTask": "relgraph.tasks",
    "NodeTask": "relgraph.tasks",
    "RowRun": "relgraph.runs.rows",
    "Schema": "relgraph.data.schema",
    "SemanticType": "relgraph.data.schema",
    "Statements": "relgraph.data.statements",
    "TemporalSampler": "relgraph.sampling.sampler",
    "Vocabulary": "relgraph.data.statements",
    "audit": "relgraph.tasks",
    "build_graph": "relgraph.data.build",
    "compare": "relgraph.baselines.run",
    "connect": "relgraph.adapters.tables",
    "explain": "relgraph.training.explainer",
    "fit": "relgraph.training.entity",
    "load": "relgraph.runs.opening",
    "read_statements": "relgraph.adapters.statement_files",
    "write_predictions": "relgraph.training.predictions",
    # submodules
    "adapters": "",
    "baselines": "",
    "data": "",
    "errors": "",
    "kge": "",
    "nn": "",
    "ops": "",
    "pictures": "",
    "runs": "",
    "sampling": "",
    "tabular": "",
    "tasks": "",
    "training": "",
}
__all__ = ["__version__", *(name for name, home in _HOMES.items() if home)]
__getattr__, __dir__ = lazy(__name__, _HOMES)

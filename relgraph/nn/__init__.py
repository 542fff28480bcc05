"""Networks on a :class:`~relgraph.data.graph.HeteroGraph`: table encoders, message passing, entity models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.nn.encoders import HeteroEncoder as HeteroEncoder
    from relgraph.nn.encoders import RelativeTimeEncoder as RelativeTimeEncoder
    from relgraph.nn.encoders import TableEncoder as TableEncoder
    from relgraph.nn.entity_model import EntityModel as EntityModel
    from relgraph.nn.gat import HeteroGAT as HeteroGAT
    from relgraph.nn.gnns import GNNS as GNNS
    from relgraph.nn.hgt import HeteroAttention as HeteroAttention
    from relgraph.nn.link_model import LinkModel as LinkModel
    from relgraph.nn.pyg_layers import fuse_layers as fuse_layers
    from relgraph.nn.relgnn import RelGNN as RelGNN
    from relgraph.nn.sage import HeteroGraphSAGE as HeteroGraphSAGE

_HOMES = {
    "EntityModel": "relgraph.nn.entity_model",
    "GNNS": "relgraph.nn.gnns",
    "HeteroAttention": "relgraph.nn.hgt",
    "HeteroEncoder": "relgraph.nn.encoders",
    "HeteroGAT": "relgraph.nn.gat",
    "HeteroGraphSAGE": "relgraph.nn.sage",
    "LinkModel": "relgraph.nn.link_model",
    "RelGNN": "relgraph.nn.relgnn",
    "RelativeTimeEncoder": "relgraph.nn.encoders",
    "TableEncoder": "relgraph.nn.encoders",
    "fuse_layers": "relgraph.nn.pyg_layers",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)

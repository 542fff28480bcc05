"""PyG's own layers with the fused aggregation of :func:`relgraph.ops.gather_scale_scatter`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv, GraphConv, MessagePassing, SAGEConv

from relgraph.errors import BackendError
from relgraph.ops.gather_scale_scatter import gather_scale_scatter

__all__ = ["fuse_layers"]

# the layers whose message is the source row, times the weight of the edge where there is one
_FUSIBLE = (SAGEConv, GraphConv, GCNConv, GINConv)
_REDUCES = {"add": "sum", "sum": "sum", "mean": "mean", "max": "max"}


def fuse_layers(module: nn.Module) -> nn.Module:
    """Let the layers of a PyG model gather and reduce in one operation, without messages; parameters stay as they are.

    ``SAGEConv``, ``GraphConv``, ``GCNConv`` and ``GINConv`` that sum, average or take the maximum are changed, also
    inside ``HeteroConv`` and what ``to_hetero`` made; other layers, and edges that are no index tensor, go PyG's way.

    Args:
        module: A layer or a model, changed in place.

    Returns:
        The module itself.

    Raises:
        BackendError: If no layer of it can be changed.

    Example:
        >>> from torch_geometric.nn import GraphSAGE
        >>> model = fuse_layers(GraphSAGE(16, 32, num_layers=2))
    """
    fused = 0
    for layer in module.modules():
        if isinstance(layer, _FUSIBLE) and not isinstance(layer, _Fused) and _can_fuse(layer):
            layer.__class__ = type(f"Fused{type(layer).__name__}", (_Fused, type(layer)), {})
        fused += isinstance(layer, _Fused)
    if not fused:
        known = ", ".join(kind.__name__ for kind in _FUSIBLE)
        raise BackendError(f"fuse_layers: {type(module).__name__} has no {known} that sums, averages or takes maxima")
    return module


def _can_fuse(layer: MessagePassing) -> bool:
    # a subclass with messages of its own is another layer
    own = next(kind for kind in _FUSIBLE if isinstance(layer, kind))
    plain = type(layer).message is own.message and layer.flow == "source_to_target"
    return plain and isinstance(layer.aggr, str) and layer.aggr in _REDUCES


class _Fused(MessagePassing):  # type: ignore[misc]
    """Stands before a layer's class, so that this ``propagate`` is taken."""

    def propagate(self, edge_index: Any, size: Any = None, **arguments: Any) -> Tensor:
        """What PyG's gives, by one operation."""
        x, weight = arguments["x"], arguments.get("edge_weight")
        source, target = x if isinstance(x, tuple) else (x, x)
        if not isinstance(edge_index, Tensor) or edge_index.is_sparse or source.dim() != 2 or self.explain:
            found: Tensor = super().propagate(edge_index, size=size, **arguments)
            return found
        num_targets = size[1] if size is not None else None
        if num_targets is None:
            num_targets = len(source if target is None else target)
        reduce: Any = _REDUCES[self.aggr]
        return gather_scale_scatter(
            source, edge_index.as_subclass(Tensor), num_targets, edge_weight=weight, reduce=reduce
        )

"""What a loader hands to the sampler, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import EdgeSamplerInput, NegativeSampling

from relgraph.data.graph import EdgeType, NodeType
from relgraph.data.time import UNKNOWN
from relgraph.errors import ProtocolError, SchemaError, ShapeError

__all__ = ["check_links", "check_seeds", "link_type", "node_type"]


def node_type(given: NodeType | None, num_nodes: Mapping[NodeType, int], homogeneous: bool) -> NodeType:
    """The node type of seeds.

    Raises:
        SchemaError: If it does not exist, or the loader's data is not of the sampler's form.
    """
    if homogeneous and given is None:
        return next(iter(num_nodes))
    if given is None or homogeneous or given not in num_nodes:
        raise SchemaError(
            f"input_nodes: expected (node type, index) with one of {', '.join(num_nodes)}, "
            f"got {given!r}{_hint(given, homogeneous)}"
        )
    return given


def link_type(given: EdgeType | None, num_nodes: Mapping[NodeType, int], homogeneous: bool) -> EdgeType:
    """The type of links: the node types of their ends must exist, the relation need not.

    Raises:
        SchemaError: If a node type does not exist, or the loader's data is not of the sampler's form.
    """
    if homogeneous and given is None:
        name = next(iter(num_nodes))
        return name, "edge", name
    if given is None or homogeneous or given[0] not in num_nodes or given[2] not in num_nodes:
        raise SchemaError(
            f"edge_label_index: expected (edge type, index) between node types {', '.join(num_nodes)}, "
            f"got {given!r}{_hint(given, homogeneous)}"
        )
    return given


def _hint(given: Any, homogeneous: bool) -> str:
    if homogeneous:
        return "; a sampler with homogeneous=True is for PyG's Data, leave it out for HeteroData"
    return "; a sampler for PyG's Data needs homogeneous=True" if given is None else ""


def check_seeds(name: NodeType, size: int, node: Tensor, time: Tensor | None, what: tuple[str, str]) -> None:
    """Seeds and their times.

    Args:
        name: Their node type.
        size: How many nodes it has.
        node: Seeds, ``[B]``.
        time: Seed times, or ``None``.
        what: How messages name seeds and times.

    Raises:
        ShapeError: If a seed is out of range, times and seeds differ in number, or a seed time is ``UNKNOWN``.
    """
    if node.dim() != 1 or node.is_floating_point() or node.dtype == torch.bool:
        raise ShapeError(f"{what[0]}: expected integers [B] for {name!r}, got {node.dtype} {list(node.shape)}")
    if node.numel() and (int(node.min()) < 0 or int(node.max()) >= size):
        raise ShapeError(
            f"{what[0]}: expected numbers in 0..{size - 1} for {name!r}, got {int(node.min())}..{int(node.max())}"
        )
    if time is None:
        return
    if time.dtype != torch.int64 or time.shape != node.shape:
        raise ShapeError(
            f"{what[1]}: expected int64 {list(node.shape)} in microseconds, got {time.dtype} {list(time.shape)}"
        )
    if bool((time == UNKNOWN).any()):
        raise ShapeError(f"{what[1]}: a seed has an UNKNOWN time; leave such rows out")


def check_links(
    kind: EdgeType, num_nodes: Mapping[NodeType, int], index: EdgeSamplerInput, neg_sampling: NegativeSampling | None
) -> None:
    """Links with their times, labels and kind of negatives.

    Raises:
        ShapeError: If an end is out of range, ends, times or labels differ in number, or a time is ``UNKNOWN``.
        ProtocolError: If the negatives are described by something else, or ``"triplet"`` meets labels.
    """
    if index.row.numel() != index.col.numel():
        raise ShapeError(
            f"edge_label_index: expected as many sources as targets, got {index.row.numel()} and {index.col.numel()}"
        )
    for name, node in ((kind[0], index.row), (kind[2], index.col)):
        check_seeds(name, num_nodes[name], node, index.time, ("edge_label_index", "edge_label_time"))
    if index.label is not None and len(index.label) != index.row.numel():
        raise ShapeError(f"edge_label: expected one per link, {index.row.numel()}, got {len(index.label)}")
    if neg_sampling is None:
        return
    if not isinstance(neg_sampling, NegativeSampling):
        raise ProtocolError(f"neg_sampling: expected PyG's NegativeSampling or None, got {neg_sampling!r}")
    if neg_sampling.is_triplet() and index.label is not None:
        raise ProtocolError("edge_label: links with 'triplet' negatives have no labels; leave it out")

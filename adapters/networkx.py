"""NetworkX graphs as statements: an edge is a fact, its relation an attribute or its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from relgraph.adapters.statement_files import number_statements
from relgraph.data.statements import Statements
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import networkx

__all__ = ["from_networkx"]


def from_networkx(
    graph: networkx.DiGraph, *, relation: str | None = "relation", qualifiers: str = "qualifiers"
) -> Statements:
    """Statements of the edges of a directed graph, in their order; nodes are numbered in theirs.

    Nodes and relations are labelled by their ``str``. :meth:`relgraph.HeteroGraph.from_networkx` is the way for
    graphs with node types, times and features.

    Args:
        graph: A ``DiGraph`` or ``MultiDiGraph``.
        relation: The edge attribute that is the relation; ``None`` takes the key of each edge of a ``MultiDiGraph``.
        qualifiers: The edge attribute with qualifiers, where there are any: a mapping from relations to nodes, or a
            list of pairs. Values need not be nodes of the graph.

    Raises:
        AdapterError: If the graph is undirected or no graph, an edge has no relation, qualifiers are no pairs, or two
            nodes have the same text.
    """
    import networkx

    if not isinstance(graph, networkx.Graph):
        raise AdapterError(f"expected a NetworkX graph, got {type(graph).__name__}")
    if not graph.is_directed():
        raise AdapterError("an undirected edge has no head and no tail; pass graph.to_directed() for both directions")
    if relation is None and not graph.is_multigraph():
        raise AdapterError("relation=None takes the keys of a MultiDiGraph, got a DiGraph, whose edges have none")
    names = [str(node) for node in graph.nodes]
    if len(set(names)) < len(names):
        raise AdapterError("two nodes have the same text, such as 1 and '1'; relabel them")
    rows = []
    edges = graph.edges(keys=True, data=True) if graph.is_multigraph() else graph.edges(data=True)
    for head, tail, *key, attributes in edges:
        kind = key[0] if relation is None else attributes.get(relation)
        if kind is None:
            raise AdapterError(
                f"the edge {head!r} -> {tail!r} has no attribute {relation!r}; name it with relation=, or pass "
                "relation=None to take the keys of edges"
            )
        pairs = _pairs(attributes.get(qualifiers, ()), head, tail)
        rows.append([str(head), str(kind), str(tail), *(str(word) for pair in pairs for word in pair)])
    return number_statements([rows], names)[0]


def _pairs(value: Any, head: object, tail: object) -> Iterable[tuple[Any, Any]]:
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        return pairs
    raise AdapterError(
        f"qualifiers of the edge {head!r} -> {tail!r}: expected a mapping or a list of (relation, value), got {value!r}"
    )

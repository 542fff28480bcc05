"""What a NetworkX graph may not hold."""

from __future__ import annotations

import re
from typing import Any

import networkx
import pytest

from relgraph.data.graph import HeteroGraph
from relgraph.errors import SchemaError


@pytest.mark.parametrize("qualifiers", [5, "ab", None, ["ab"], [("r", 1, 2)], [5], {"r": "x"}])
def test_qualifiers_that_are_no_pairs(qualifiers: Any) -> None:
    facts = networkx.DiGraph()
    facts.add_edge("a", "b", relation="won", qualifiers=qualifiers)
    message = f"qualifiers of the 'won' edge 'a' -> 'b': expected a list of (relation, node) pairs, got {qualifiers!r}"
    with pytest.raises(SchemaError, match=re.escape(message)):
        HeteroGraph.from_networkx(facts)


def test_a_qualifier_whose_node_cannot_be_one() -> None:
    facts = networkx.DiGraph()
    facts.add_edge("a", "b", relation="won", qualifiers=[("at", ["b"])])
    with pytest.raises(SchemaError, match=r"names \['b'\], which is no node"):
        HeteroGraph.from_networkx(facts)


@pytest.mark.parametrize("graph", [5, None, {"a": "b"}])
def test_no_networkx_graph(graph: Any) -> None:
    with pytest.raises(SchemaError, match=r"expected a NetworkX graph, got a (int|NoneType|dict)"):
        HeteroGraph.from_networkx(graph)

"""Whatever the keys are, the edges equal a join worked out row by row in Python."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relgraph
from relgraph.data.time import UNKNOWN

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)
KEY = st.one_of(st.integers(-(2**40), 2**40).map(lambda i: ("int", i)), TEXT.map(lambda s: ("text", s)))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Any], list[Any], list[Any], list[int | None]]:
    """Unique parent keys of one type, two child columns that may be NULL or dangle, and times that may be NULL."""
    kind = draw(st.sampled_from(["int", "text"]))
    values = st.integers(-(2**40), 2**40) if kind == "int" else TEXT
    parents = draw(st.lists(values, max_size=6, unique=True))
    reference = st.one_of(st.none(), values, *([st.sampled_from(parents)] * 3 if parents else []))
    size = draw(st.integers(0, 8))
    columns = [draw(st.lists(reference, min_size=size, max_size=size)) for _ in range(2)]
    times = draw(st.lists(st.one_of(st.none(), st.integers(0, 10**9)), min_size=size, max_size=size))
    return parents, columns[0], columns[1], times


@pytest.mark.slow
@given(tables())
def test_edges_equal_a_join_by_hand(given_tables: tuple[list[Any], list[Any], list[Any], list[int | None]]) -> None:
    parents, first, second, times = given_tables
    kind = "Int64" if all(isinstance(v, int) for v in [*parents, *first, *second] if v is not None) else "object"
    frames = {
        "parent": pd.DataFrame({"key": pd.array(parents, dtype=kind)}),
        "child": pd.DataFrame(
            {
                "a": pd.array(first, dtype=kind),
                "b": pd.array(second, dtype=kind),
                "day": pd.to_datetime(pd.Series(times, dtype="Int64"), unit="s"),
            }
        ),
    }
    keys = {"parent": "key", "child": {"foreign_keys": {"a": "parent", "b": "parent"}}}
    with relgraph.connect(frames, keys=keys, times={"child": "day"}, progress=False) as db:
        graph = relgraph.build_graph(db, progress=False)
    place = {key: i for i, key in enumerate(parents)}
    for name, column in (("a", first), ("b", second)):
        expected = [(i, place[value]) for i, value in enumerate(column) if value is not None and value in place]
        assert list(zip(*graph.edges["child", name, "parent"].edge_index.tolist(), strict=True)) == expected
        counts = graph.report["foreign_keys"][f"child.{name} -> parent"]
        assert counts["null"] == sum(value is None for value in column)
        assert counts["dangling"] == len(column) - counts["null"] - len(expected)
    if parents:
        assert graph.nodes["parent"].keys is not None
        assert graph.nodes["parent"].keys.tolist() == parents
    assert graph.nodes["child"].time is not None
    assert graph.nodes["child"].time.tolist() == [UNKNOWN if t is None else t * 1_000_000 for t in times]

"""Keys as tensors: text of any kind, composite keys, look-up."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.graph import HeteroGraph, NodeStore
from relgraph.data.keys import Key, Keys, TextColumn, key_table
from relgraph.errors import SchemaError, ShapeError


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_text_round_trips(values: list[str]) -> None:
    column = TextColumn.from_strings(values)
    assert column.tolist() == values
    assert [column[i] for i in range(len(column))] == values
    assert list(column) == values


def test_composite_keys_are_tuples_and_labels_cannot_collide() -> None:
    keys = Keys(("a", "b"), (TextColumn.from_strings(["x", "x, y"]), torch.tensor([1, 2])))
    assert keys[1] == ("x, y", 2)
    assert keys.labels() == ['["x", 1]', '["x, y", 2]']
    assert keys.index([("x, y", 2), ("x", 1)]).tolist() == [1, 0]
    with pytest.raises(SchemaError, match=r"no row with a\+b = \('x', 2\)"):
        keys.index([("x", 2)])


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ShapeError, match="one length"):
        Keys(("a", "b"), (torch.tensor([1]), torch.tensor([1, 2])))


@pytest.mark.parametrize("key", ["abc", "1", 1.5, None, (1, 2), [1], True])
def test_rows_without_a_key_are_asked_for_by_number(key: Any) -> None:
    graph = HeteroGraph({"a": NodeStore(3)}, {})
    assert graph.node_index("a", [2, 0]).tolist() == [2, 0]
    assert graph.node_index("a", []).tolist() == []
    message = f"'a' has no key of its own: expected row numbers 0..2, got {key!r}"
    with pytest.raises(SchemaError, match=re.escape(message)):
        graph.node_index("a", [0, key])


@pytest.mark.parametrize("number", [-1, 3, 2**70])
def test_row_numbers_out_of_range(number: int) -> None:
    with pytest.raises(SchemaError, match=rf"expected row numbers 0\.\.2, got {number}"):
        HeteroGraph({"a": NodeStore(3)}, {}).node_index("a", [0, number])


def test_a_key_that_cannot_be_one() -> None:
    keys = Keys(("a", "b"), (TextColumn.from_strings(["x"]), torch.tensor([1])))
    with pytest.raises(SchemaError, match=r"no row with a\+b = \['x', 1\].*a key of several columns is a tuple"):
        keys.index([["x", 1]])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("names", "rows", "expected"),
    [
        (None, [3, 0], {"row": [3, 0]}),
        (("id",), ["a", "b"], {"id": ["a", "b"]}),
        (("a", "b"), [("x", 1), ("y", 2)], {"a": ["x", "y"], "b": [1, 2]}),
        (("a", "b"), [], {"a": [], "b": []}),
    ],
)
def test_keys_as_a_table(names: tuple[str, ...] | None, rows: list[Key], expected: dict[str, list[Any]]) -> None:
    keys = None if names is None else Keys(names, tuple(torch.arange(1) for _ in names))
    assert key_table(keys, rows).to_pydict() == expected

"""Keys as tensors: text of any kind, composite keys, look-up."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.keys import Keys, TextColumn
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

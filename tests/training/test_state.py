"""State as JSON and tensors: everything comes back as it was, and random numbers stay where they belong."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.errors import ProtocolError
from relgraph.training.state import copy_state, decode, encode, isolated_rng, load_module_state, module_state
from tests.training.toy_job import ToyJob, same

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
KEYS = st.integers() | st.text(max_size=3) | st.sampled_from(["$tensor", "$dict"]) | st.tuples(st.integers())
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(st.integers(), st.integers(0, 9), max_size=3).map(Counter)
    ),
    max_leaves=12,
)


@given(TREES)
def test_trees_come_back(tree: Any) -> None:
    text = json.dumps(encode(tree, "tree", {}))
    found = decode(json.loads(text), {})
    assert found == tree
    assert repr(found) == repr(tree)  # equality alone would let 1, 1.0 and True pass for each other


def test_tensors_come_back_under_names_of_their_own() -> None:
    tree = {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}, 1: [torch.full((1,), 2.0)], "x": math.inf}
    tensors: dict[str, torch.Tensor] = {}
    found = decode(json.loads(json.dumps(encode(tree, "t", tensors))), tensors)
    assert len(tensors) == 3
    assert (found["a/b"].item(), found["a"]["b"].item(), found[1][0].item(), found["x"]) == (0, 1, 2, math.inf)


def test_strangers_are_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match=r"scheduler/hooks/1 holds a set, which a checkpoint cannot store"):
        encode({"hooks": [1, {2}]}, "scheduler", {})


def test_module_state_holds_every_buffer_and_copies_are_free() -> None:
    first, second = ToyJob().model, ToyJob().model
    first(torch.randn(4, 8))
    state = copy_state(module_state(first))
    first(torch.randn(4, 8))
    load_module_state(second, state)
    assert second.calls == 1
    assert second.layers[1].num_batches_tracked == 1
    assert not same(first, second)
    load_module_state(second, module_state(first))
    assert same(first, second)


def test_isolated_rng_depends_on_its_position_only() -> None:
    cpu = torch.device("cpu")

    def draw(*position: int) -> float:
        with isolated_rng(cpu, *position):
            return float(torch.rand(()))

    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    values = {position: draw(*position) for position in ((0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 1), (0, 0, -1))}
    assert torch.equal(torch.rand(2), expected)
    assert len(set(values.values())) == len(values)
    assert all(draw(*position) == value for position, value in values.items())

"""The baselines: what they see is counted by hand, nothing is from the future, and they learn what can be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.features import Features
from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.demo import baseline
from relgraph.demo.baseline import boosting, constant, history_features, row_features

DAY = 86_400_000_000


def graph(events: list[tuple[int, int]], customers: int = 3) -> HeteroGraph:
    """Events ``(customer, day)`` that refer to customers; -1 is a time that is not known."""
    time = torch.tensor([UNKNOWN if day < 0 else day * DAY for _, day in events], dtype=torch.int64)
    target = torch.tensor([customer for customer, _ in events], dtype=torch.int64)
    index = torch.stack([torch.arange(len(events)), target])
    nodes = {"customer": NodeStore(customers), "event": NodeStore(len(events), time=time)}
    return HeteroGraph(nodes, {("event", "customer_id", "customer"): EdgeStore(index)})


def test_history_by_hand() -> None:
    found = history_features(
        graph([(0, 10), (0, 50), (0, 55), (1, 20), (0, 60), (2, -1)]),
        "customer",
        torch.tensor([0, 1, 2]),
        torch.tensor([55 * DAY] * 3),
    )
    # all, of the last 30 days, of the last 90 days, days since the last, days since the first
    np.testing.assert_array_equal(found[0], [3, 2, 3, 0, 45])
    np.testing.assert_array_equal(found[1], [1, 0, 1, 35, 35])
    np.testing.assert_array_equal(found[2], [0, 0, 0, np.nan, np.nan])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 40)), max_size=30),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 45)), min_size=1, max_size=8),
)
def test_history_equals_brute_force(events: list[tuple[int, int]], seeds: list[tuple[int, int]]) -> None:
    node = torch.tensor([n for n, _ in seeds])
    time = torch.tensor([day * DAY for _, day in seeds])
    found = history_features(graph(events, 4), "customer", node, time, windows=(7,))
    for row, (customer, now) in zip(found, seeds, strict=True):
        days = [day for who, day in events if who == customer and 0 <= day <= now]
        expected = [len(days), sum(day > now - 7 for day in days)]
        expected += [now - max(days), now - min(days)] if days else [np.nan, np.nan]
        np.testing.assert_array_equal(row, expected)


def test_history_without_times_counts_all() -> None:
    edges = {("event", "customer_id", "customer"): EdgeStore(torch.tensor([[0, 1, 2], [1, 1, 0]]))}
    static = HeteroGraph({"customer": NodeStore(2), "event": NodeStore(3)}, edges)
    found = history_features(static, "customer", torch.tensor([0, 1]), torch.zeros(2, dtype=torch.int64))
    np.testing.assert_array_equal(found, [[1], [2]])
    assert history_features(static, "event", torch.tensor([0]), torch.zeros(1, dtype=torch.int64)).shape == (1, 0)


def test_row_features_by_hand() -> None:
    features = Features(
        2,
        {
            SemanticType.NUMERICAL: torch.tensor([[1.5], [float("nan")]]),
            SemanticType.CATEGORICAL: torch.tensor([[2], [-1]]),
            SemanticType.TIMESTAMP: torch.tensor([[[2020, 1, 3, 0, 0, 0, 0]], [[-1] * 7]], dtype=torch.int16),
        },
        {
            SemanticType.NUMERICAL: ("x",),
            SemanticType.CATEGORICAL: ("c",),
            SemanticType.TIMESTAMP: ("t",),
        },
        {"x": {}, "c": {}, "t": {}},
    )
    store = NodeStore(2, time=torch.tensor([2 * DAY, STATIC]), features=features)
    found, categorical = row_features(
        HeteroGraph({"row": store}, {}), "row", torch.tensor([1, 0]), torch.tensor([5 * DAY, 5 * DAY])
    )
    assert categorical == [1]
    np.testing.assert_array_equal(found[0], [np.nan] * 4)
    np.testing.assert_array_equal(found[1], [1.5, 2, 372 * 2020 + 31 + 3, 3])
    bare, none = row_features(HeteroGraph({"row": NodeStore(2)}, {}), "row", torch.tensor([0]), torch.tensor([0]))
    assert bare.shape == (1, 1)
    assert none == []


def test_row_features_of_lists_and_vectors() -> None:
    lists = Ragged.from_columns(2, [(torch.tensor([0, 2, 40]), torch.tensor([3, 0]))])
    features = Features(
        2,
        {
            SemanticType.MULTICATEGORICAL: lists,
            SemanticType.EMBEDDING: torch.tensor([[1.0, 2.0], [float("nan")] * 2]),
            SemanticType.TEXT: torch.tensor([[5.0], [0.0]]),
        },
        {SemanticType.MULTICATEGORICAL: ("m",), SemanticType.EMBEDDING: ("e",), SemanticType.TEXT: ("t",)},
        {"m": {"categories": [str(i) for i in range(50)]}, "e": {"emb_dim": 2}, "t": {"emb_dim": 1}},
    )
    graph = HeteroGraph({"row": NodeStore(2, features=features)}, {})
    found, categorical = row_features(graph, "row", torch.tensor([1, 0]), torch.tensor([0, 0]))
    assert categorical == []
    # the 32 commonest categories
    np.testing.assert_array_equal(found[1], [1, 0, 1, *[0] * 29, 1, 2, 5])
    np.testing.assert_array_equal(found[0], [*[0] * 32, np.nan, np.nan, 0])


def test_constants() -> None:
    np.testing.assert_allclose(constant("binary", torch.tensor([1.0, 0.0, 0.0, 0.0]), 2), [0.25, 0.25])
    np.testing.assert_allclose(constant("regression", torch.tensor([1.0, 2.0, 9.0]), 1), [2.0])
    np.testing.assert_allclose(constant("multiclass", torch.tensor([0, 2, 2, 2]), 1), [[0.25, 0, 0.75]])


@pytest.mark.parametrize("engine", ["LightGBM", "scikit-learn"])
@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass"])
def test_boosting_learns_a_rule(kind: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "LightGBM":
        pytest.importorskip("lightgbm")
    monkeypatch.setattr(baseline, "booster_name", lambda: engine)
    random = np.random.default_rng(0)
    data = {}
    for split, size in (("train", 600), ("val", 200), ("test", 200)):
        x = np.stack([random.normal(size=size), random.integers(0, 4, size)], axis=1).astype(np.float64)
        x[random.random(size) < 0.05, 0] = np.nan
        label = np.where(x[:, 1] == 2, 2, np.nan_to_num(x[:, 0]) > 0).astype(np.float64)
        data[split] = (x, label == 2 if kind == "binary" else label)
    found = boosting(kind, data, categorical=[1], threads=1)
    label = data["test"][1].astype(np.float64)
    if kind == "multiclass":
        assert found.shape == (200, 3)
        assert (found.argmax(1) == label).mean() > 0.95
    else:
        # boosting on the absolute error stands still where most labels equal the median
        assert np.abs(found - label).mean() < (0.2 if kind == "regression" else 0.1)
    np.testing.assert_array_equal(boosting(kind, data, categorical=[1], threads=1), found)

"""The entity's own row as columns, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relgraph.data.features import Features
from relgraph.data.graph import HeteroGraph, NodeStore
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC
from relgraph.errors import SchemaError
from relgraph.tabular import RowFeatures, seed_features_from_dict

DAY = 86_400_000_000


def graph() -> HeteroGraph:
    features = Features(
        2,
        {
            SemanticType.NUMERICAL: torch.tensor([[1.5], [float("nan")]]),
            SemanticType.CATEGORICAL: torch.tensor([[2], [-1]]),
            SemanticType.TIMESTAMP: torch.tensor([[[1970, 1, 0, 0, 12, 0, 0]], [[-1] * 7]], dtype=torch.int16),
        },
        {SemanticType.NUMERICAL: ("x",), SemanticType.CATEGORICAL: ("c",), SemanticType.TIMESTAMP: ("t",)},
        {"x": {}, "c": {}, "t": {}},
    )
    store = NodeStore(2, time=torch.tensor([2 * DAY, STATIC]), features=features)
    return HeteroGraph({"row": store, "bare": NodeStore(2)}, {})


def test_by_hand() -> None:
    source = RowFeatures(graph(), "row")
    assert source.names == ("x", "c", "days since t", "days since the row")
    assert source.categorical == (1,)
    found = source.matrix(torch.tensor([1, 0]), torch.tensor([40 * DAY, 40 * DAY]))
    np.testing.assert_array_equal(found[0], [np.nan] * 4)
    np.testing.assert_array_equal(found[1], [1.5, 2, 40 - 31.5, 38])
    static = source.matrix(torch.tensor([0]), None)
    np.testing.assert_array_equal(static[0], [1.5, 2, -31.5, np.nan])


def test_hidden_bare_and_unknown() -> None:
    source = RowFeatures(graph(), "row", hide=("row.c",))
    assert source.names == ("x", "days since t", "days since the row")
    assert seed_features_from_dict(source.describe(), graph()).names == source.names
    assert RowFeatures(graph(), "bare").matrix(torch.tensor([0]), None).shape == (1, 0)
    with pytest.raises(SchemaError, match="no table 'other'"):
        RowFeatures(graph(), "other")


def test_lists_and_vectors() -> None:
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
    source = RowFeatures(HeteroGraph({"row": NodeStore(2, features=features)}, {}), "row")
    assert source.names[:2] == ("m has 0", "m has 1")
    assert source.names[32:] == ("e 0", "e 1", "t 0")
    found = source.matrix(torch.tensor([1, 0]), torch.tensor([0, 0]))
    # the 32 commonest categories
    np.testing.assert_array_equal(found[1], [1, 0, 1, *[0] * 29, 1, 2, 5])
    np.testing.assert_array_equal(found[0], [*[0] * 32, np.nan, np.nan, 0])

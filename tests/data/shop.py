"""A small database by hand, with every kind of key the build must take."""

from __future__ import annotations

from typing import Any

import pandas as pd

import relgraph
from relgraph.data.database import Database


def shop_frames() -> dict[str, Any]:
    """Text, composite, gappy and missing keys; a self reference; two keys to one table; NULL and dangling keys."""
    return {
        "country": pd.DataFrame({"code": ["DE", "FR"], "size": [83.2, 68.1]}),
        "person": pd.DataFrame(
            {
                "id": pd.array([10, 20, 40, 70], dtype="Int64"),
                "country": ["FR", "DE", None, "XX"],
                "boss": pd.array([None, 10, 10, 99], dtype="Int64"),
                "age": [30.0, None, 50.0, 70.0],
                "level": ["junior", "senior", "junior", "junior"],
            }
        ),
        "shelf": pd.DataFrame({"hall": ["a", "a", "b"], "slot": [1, 2, 1]}),
        "sale": pd.DataFrame(
            {
                "buyer": pd.array([20, 10, 40, None, 20], dtype="Int64"),
                "seller": pd.array([10, 40, 10, 10, 99], dtype="Int64"),
                "hall": ["a", "b", "b", "a", "a"],
                "slot": pd.array([2, 1, 2, 1, None], dtype="Int64"),
                "kind": ["cash", "card", "cash", None, "cash"],
                "price": [1.0, 3.0, 5.0, 100.0, 7.0],
                "day": pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-02", "2020-02-01", None]),
            }
        ),
        "log": pd.DataFrame({"person": pd.array([10, 10], dtype="Int64")}),
        "empty": pd.DataFrame({"id": pd.array([], dtype="Int64"), "person": pd.array([], dtype="Int64")}),
    }


KEYS: dict[str, Any] = {
    "country": "code",
    "person": {"primary_key": "id", "foreign_keys": {"country": "country", "boss": "person"}},
    "shelf": ("hall", "slot"),
    "sale": {"foreign_keys": {"buyer": "person", "seller": "person", ("hall", "slot"): "shelf"}},
    "log": {"foreign_keys": {"person": "person"}},
    "empty": {"primary_key": "id", "foreign_keys": {"person": "person"}},
}


def shop() -> Database:
    """The database of :func:`shop_frames` with its keys and times."""
    return relgraph.connect(shop_frames(), keys=KEYS, times={"sale": "day"}, progress=False)

"""A database whose label hangs on one column of one row, two foreign keys away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import relgraph
from relgraph.data.database import Database
from relgraph.tasks import EntityTask

KEYS: dict[str, Any] = {
    "customer": "code",
    "product": "id",
    "purchase": {"primary_key": "id", "foreign_keys": {"customer": "customer", "product": "product"}},
}
SMALL: dict[str, Any] = {
    "channels": 16,
    "num_neighbors": [8, 8],
    "encoder_layers": 1,
    "dropout": 0.0,
    "batch_size": 256,
    "epochs": 20,
    "lr": 0.02,
    "accelerator": "cpu",
    "progress": False,
}
DEAR = range(20, 24)
"""The products with a high price; a customer who bought one is a 1."""


def frames(customers: int = 160, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Customers with four purchases each, of which half of the customers have one of a dear product."""
    random = np.random.default_rng(seed)
    codes = [f"c{i:03d}" for i in range(customers)]
    rows = []
    for i, code in enumerate(codes):
        bought = [int(product) for product in random.choice(20, 4, replace=False)]
        if i % 2:
            bought[int(random.integers(4))] = int(random.choice(DEAR))
        rows += [(code, product) for product in bought]
    purchase = pd.DataFrame(rows, columns=["customer", "product"])
    purchase.insert(0, "id", 1000 + np.arange(len(purchase)))
    purchase["way"] = random.choice(["shop", "web", "phone"], len(purchase))
    purchase["at"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(random.integers(0, 48, len(purchase)), unit="h")
    purchase.loc[0, "at"] = pd.Timestamp("2021-12-01")
    return {
        "customer": pd.DataFrame({"code": codes, "size": random.normal(size=customers).round(3)}),
        "product": pd.DataFrame(
            {"id": range(24), "price": [5.0 + i % 3 / 10 for i in range(20)] + [9.0] * 4, "colour": list("rgb") * 8}
        ),
        "purchase": purchase,
    }


def connect(tables: dict[str, pd.DataFrame]) -> Database:
    """The tables as a database."""
    return relgraph.connect(tables, keys=KEYS, times={"purchase": "at"}, progress=False)


def label(value: str) -> str:
    """SQL of a label per customer, of what was bought by ``timestamp``."""
    return f"""
        SELECT c.code, t.timestamp, {value} AS label FROM timestamps t CROSS JOIN customer c
        JOIN purchase p ON p.customer = c.code JOIN product d ON d.id = p.product GROUP BY c.code, t.timestamp
    """


def make_task(value: str = "(max(d.price) > 8)::INT", kind: Any = "binary", **changes: Any) -> EntityTask:
    """A task whose label is known from what the customer bought."""
    times = {"val_time": "2021-06-01", "test_time": "2021-08-01", **changes}
    return EntityTask("customer", label(value), "45 days", kind, **times)

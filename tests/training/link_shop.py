"""A small shop for tests of recommendation: customers come back to their own few products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import relgraph
from relgraph.tasks import LinkTask

CUSTOMERS, PRODUCTS, FAVOURITES = 30, 40, 3
SMALL: dict[str, Any] = {
    "channels": 16,
    "num_neighbors": [16, 8],
    "encoder_layers": 1,
    "dropout": 0.0,
    "batch_size": 16,
    "epochs": 4,
    "lr": 0.02,
    "accelerator": "cpu",
    "progress": False,
}
LINKS = """
    SELECT t.timestamp, p.customer AS code, p.product AS id
    FROM timestamps t JOIN purchase p ON p.at > t.timestamp AND p.at <= t.timestamp + {horizon}
    GROUP BY ALL
"""


def favourites() -> np.ndarray:
    """The products that each customer comes back to, int ``[CUSTOMERS, FAVOURITES]``."""
    random = np.random.default_rng(1)
    return np.stack([random.choice(PRODUCTS, FAVOURITES, replace=False) for _ in range(CUSTOMERS)])


def make_db(taste: bool = False) -> Any:
    """Customers with text keys, products with numbers from 100 on; eight purchases every few days.

    A customer buys favourites again and again; with ``taste`` anything that is dear (even customers) or cheap (odd).
    """
    random = np.random.default_rng(0)
    price = np.where(np.arange(PRODUCTS) % 2, 9.0, 1.0)
    chosen = [np.flatnonzero((price > 5) == (i % 2 == 0)) for i in range(CUSTOMERS)] if taste else favourites()
    rows = [
        (f"c{i:02d}", 100 + int(random.choice(chosen[i])), day)
        for day in range(0, 360, 4)
        for i in random.choice(CUSTOMERS, 8, replace=False)
    ]
    purchase = pd.DataFrame(rows, columns=["customer", "product", "day"])
    purchase["pid"] = range(len(purchase))
    purchase["at"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(purchase.pop("day"), unit="D")
    frames = {
        "customer": pd.DataFrame({"code": [f"c{i:02d}" for i in range(CUSTOMERS)]}),
        "product": pd.DataFrame({"id": range(100, 100 + PRODUCTS), "price": price}),
        "purchase": purchase,
    }
    keys = {
        "customer": "code",
        "product": "id",
        "purchase": {"primary_key": "pid", "foreign_keys": {"customer": "customer", "product": "product"}},
    }
    return relgraph.connect(frames, keys=keys, times={"purchase": "at"}, progress=False)


def make_task(**changes: Any) -> LinkTask:
    """Which products a customer buys in the next 40 days; three of them are asked for."""
    settings: dict[str, Any] = {"val_time": "2021-08-15", "test_time": "2021-10-15", "regime": "seed-time", "k": 3}
    return LinkTask("customer", "product", LINKS, "40 days", **{**settings, **changes})

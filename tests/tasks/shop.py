"""A small shop for tests of tasks: customers, orders with lines, products in groups, and odd names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import relgraph

DAY = 86_400_000_000
ZERO = pd.Timestamp("2020-01-01")


def day(number: float) -> pd.Timestamp:
    return (ZERO + pd.Timedelta(days=number)).round("s")


def days(time: Any) -> list[float]:
    return [(int(t) - int(ZERO.timestamp()) * 1_000_000) / DAY for t in time]


def frames(seed: int = 0, orders: int = 60) -> dict[str, pd.DataFrame]:
    """Six customers over 100 days, of whom one joins late and one nobody knows when; lines have no time."""
    rng = np.random.default_rng(seed)
    customer = pd.DataFrame(
        {
            "shop": [1, 1, 1, 2, 2, 2],
            "label": list("abcabc"),  # a name that a query needs for itself
            "since": [day(0), day(0), day(55), day(0), pd.NaT, day(0)],
            "segment": ["new", "old", None, "new", "old", "vip"],
        }
    )
    who = rng.integers(0, 6, orders)
    at = [day(round(float(number), 3)) for number in np.sort(rng.uniform(0, 100, orders))]
    order = pd.DataFrame(
        {
            "order id": range(orders),
            "shop": customer["shop"].to_numpy()[who],
            "buyer": customer["label"].to_numpy()[who],
            "at": [pd.NaT if i % 19 == 5 else time for i, time in enumerate(at)],
            "paid": rng.integers(0, 2, orders).astype(bool),
        }
    )
    lines = 2 * orders
    line = pd.DataFrame(
        {
            "order": np.where(np.arange(lines) % 17 == 3, 999, rng.integers(0, orders, lines)),  # some lead nowhere
            "product": rng.integers(0, 5, lines),
            "quantity": pd.array([None if i % 13 == 2 else i % 7 for i in range(lines)], dtype="Int64"),
        }
    )
    product = pd.DataFrame({"pid": range(5), "group": [0, 0, 1, 1, 2]})
    group = pd.DataFrame({"gid": range(3), "name": ["x", "y", "z"]})
    return {"customer": customer, "order": order, "line": line, "product": product, "group": group}


KEYS: dict[str, Any] = {
    "customer": {"primary_key": ("shop", "label")},
    "order": {"primary_key": "order id", "foreign_keys": {("shop", "buyer"): "customer"}},
    "line": {"foreign_keys": {"order": "order", "product": "product"}},
    "product": {"primary_key": "pid", "foreign_keys": {"group": "group"}},
    "group": "gid",
}
TIMES: dict[str, Any] = {"customer": "since", "order": "at"}


def connected(tables: dict[str, pd.DataFrame] | None = None) -> relgraph.Database:
    return relgraph.connect(frames() if tables is None else tables, keys=KEYS, times=TIMES, progress=False)

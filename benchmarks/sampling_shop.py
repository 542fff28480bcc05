"""The graph of bench_sampling.py, its seeds, and what they may see counted once more in plain Python."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.data.time import to_microseconds

START, END = "2020-01-01", "2025-01-01"


@dataclass(frozen=True)
class Shop:
    """The graph, and the arrays that it was made of."""

    graph: HeteroGraph
    customer: NDArray[np.int64]
    product: NDArray[np.int64]
    time: NDArray[np.int64]
    popularity: NDArray[np.float64]


def make_shop(customers: int, products: int, orders: int, seed: int = 0) -> Shop:
    """Orders of customers (weight rank^-0.75) for products (rank^-0.9) at uniform times, with a few columns each."""
    rng = np.random.default_rng(seed)
    first, last = (int(to_microseconds(moment)) for moment in (START, END))
    popularity = np.arange(1, customers + 1) ** -0.75
    popularity /= popularity.sum()
    liking = np.arange(1, products + 1) ** -0.9
    customer = rng.choice(customers, orders, p=popularity)
    product = rng.choice(products, orders, p=liking / liking.sum())
    time = rng.integers(first, last, orders)
    frames = {
        "customer": pd.DataFrame(
            {
                "customer_id": np.arange(customers),
                "region": rng.choice(["north", "east", "south", "west"], customers),
                "age": rng.normal(45, 15, customers).round(1),
            }
        ),
        "product": pd.DataFrame(
            {
                "product_id": np.arange(products),
                "brand": rng.choice([f"brand {i}" for i in range(40)], products),
                "price": rng.gamma(2, 20, products).round(2),
            }
        ),
        "orders": pd.DataFrame(
            {
                "order_id": np.arange(orders),
                "customer_id": customer,
                "product_id": product,
                "ordered": time.astype("datetime64[us]"),
                "paid": rng.gamma(2, 15, orders).round(2),
                "discount": rng.normal(0, 1, orders).round(3),
                "weight": rng.gamma(3, 1, orders).round(3),
                "channel": rng.choice(["web", "phone", "shop"], orders),
            }
        ),
    }
    foreign = {"customer_id": "customer", "product_id": "product"}
    keys = {
        "customer": "customer_id",
        "product": "product_id",
        "orders": {"primary_key": "order_id", "foreign_keys": foreign},
    }
    with relgraph.connect(
        frames, keys=keys, times={"customer": None, "product": None, "orders": "ordered"}, progress=False
    ) as db:
        graph = relgraph.build_graph(db, progress=False)
    return Shop(graph, customer, product, time, popularity)


def make_batches(shop: Shop, count: int, size: int, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    """Batches of customers drawn by popularity, with seed times in the second half."""
    rng = np.random.default_rng(seed)
    low, high = (int(to_microseconds(moment)) for moment in (START, END))
    return [
        (
            torch.from_numpy(rng.choice(shop.popularity.size, size, p=shop.popularity)),
            torch.from_numpy(rng.integers((low + high) // 2, high, size)),
        )
        for _ in range(count)
    ]


def count_last(shop: Shop, node: Tensor, time: Tensor, fan_outs: Sequence[int]) -> dict[str, list[int]]:
    """Nodes of each table and edges of each key and direction per hop when the latest are taken, seed by seed.

    Plain Python over lists and sets; it knows nothing of adjacencies, hashing or engines.
    """
    rows = {"customer": _rows(shop.customer, shop.time), "product": _rows(shop.product, shop.time)}
    ends = {"customer": shop.customer, "product": shop.product}
    tables = ("customer", "product", "orders")
    nodes = {name: [0] * (len(fan_outs) + 1) for name in tables}
    edges = {f"{name} {way}": [0] * len(fan_outs) for name in ends for way in ("found from", "of")}
    for seed, moment in zip(node.tolist(), time.tolist(), strict=True):
        found: dict[str, set[int]] = {"customer": {seed}, "product": set(), "orders": set()}
        frontier = {name: set(members) for name, members in found.items()}
        nodes["customer"][0] += 1
        for hop, k in enumerate(fan_outs):
            reached: dict[str, set[int]] = {name: set() for name in tables}
            for name, (orders_of, times_of) in rows.items():
                for one in frontier[name]:
                    visible = bisect_right(times_of.get(one, ()), moment)
                    taken = orders_of.get(one, [])[max(visible - k, 0) : visible]
                    edges[f"{name} found from"][hop] += len(taken)
                    reached["orders"].update(taken)
                if k > 0:
                    seen = [order for order in frontier["orders"] if shop.time[order] <= moment]
                    edges[f"{name} of"][hop] += len(seen)
                    reached[name].update(ends[name][seen].tolist())
            for name in tables:
                frontier[name] = reached[name] - found[name]
                found[name] |= frontier[name]
                nodes[name][hop + 1] += len(frontier[name])
    return nodes | edges


def _rows(owner: NDArray[np.int64], time: NDArray[np.int64]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Per owner its orders and their times, earliest first, of equal times the lower number first."""
    order = np.lexsort((np.arange(owner.size), time, owner))
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    names = owner[order][np.concatenate([[0], cuts])].tolist()
    orders = (part.tolist() for part in np.split(order, cuts))
    times = (part.tolist() for part in np.split(time[order], cuts))
    return dict(zip(names, orders, strict=True)), dict(zip(names, times, strict=True))

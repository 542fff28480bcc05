"""The process behind the generated shop: who buys what when, what they say about it, and when they leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shop", "simulate_shop"]

CATEGORIES = {
    "drinks": None, "tea": "drinks", "coffee": "drinks", "juice": "drinks",
    "kitchen": None, "knives": "kitchen", "pans": "kitchen", "glass": "kitchen",
    "outdoor": None, "tents": "outdoor", "lamps": "outdoor", "boots": "outdoor",
    "paper": None, "books": "paper", "maps": "paper", "games": "paper",
}  # fmt: skip
LEAVES = tuple(name for name, parent in CATEGORIES.items() if parent is not None)
STYLES = 3
REGIONS = ("north", "east", "south", "west", "islands")
CITIES = ("Aalborg", "Brno", "Cork", "Delft", "Evora", "Faro")
DAMAGE = (0.04, 0.03, 0.16, 0.04, 0.1, 0.03)  # share of lines each warehouse spoils
MATERIALS = ("oak", "linen", "copper", "slate", "wool", "amber", "cedar", "tin", "silk", "clay")

Row = tuple[Any, ...]


@dataclass
class Shop:
    """The rows of every table, in key order; times are seconds since 1970-01-01 UTC."""

    category: list[Row] = field(default_factory=list)
    warehouse: list[Row] = field(default_factory=list)
    product: list[Row] = field(default_factory=list)
    customer: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    order_line: list[Row] = field(default_factory=list)
    review: list[Row] = field(default_factory=list)


@dataclass
class _Catalogue:
    """What can be bought; ``bad`` is the hidden quality that no column tells."""

    key: NDArray[np.int64]
    price: NDArray[np.float64]
    bad: NDArray[np.bool_]
    popularity: NDArray[np.float64]
    group: NDArray[np.int64]  # category * STYLES + style

    def __post_init__(self) -> None:
        members = [np.flatnonzero(self.group == g) for g in range(len(LEAVES) * STYLES)]
        self.members = members
        self.ladder = [np.cumsum(self.popularity[m]) for m in members]

    def pick(self, rng: np.random.Generator, tastes: NDArray[np.int64], style: int) -> int:
        """One product: nearly always of the two favourite categories, mostly of the own style."""
        luck = rng.random(4)
        category = int(tastes[int(luck[1] > 0.65)]) if luck[0] < 0.94 else int(luck[1] * len(LEAVES))
        chosen = style if luck[2] < 0.88 else int((luck[2] - 0.88) / 0.12 * STYLES)
        ladder = self.ladder[category * STYLES + chosen]
        if ladder.size == 0:
            return int(luck[3] * len(self.key))
        return int(self.members[category * STYLES + chosen][np.searchsorted(ladder, luck[3] * ladder[-1])])


def _gappy_keys(rng: np.random.Generator, count: int, first: int) -> NDArray[np.int64]:
    return first + np.cumsum(rng.integers(1, 4, size=count))


def _catalogue(rng: np.random.Generator, shop: Shop, products: int, bad_share: float, start: int) -> _Catalogue:
    key = _gappy_keys(rng, products, 100)
    group = np.arange(products) % (len(LEAVES) * STYLES)
    price = np.asarray(np.round(np.exp(rng.normal(3.0, 0.7, products)), 2), dtype=np.float64)
    weight = np.round(rng.gamma(2.0, 0.6, products), 3)
    launched = start - rng.integers(100, 1500, products) * 86_400
    popularity = np.exp(rng.normal(0.0, 0.6, products))
    bad = rng.random(products) < bad_share
    for i in range(products):
        category = LEAVES[group[i] // STYLES]
        name = f"{MATERIALS[int(rng.integers(len(MATERIALS)))]} {category} {i:03d}"
        shop.product.append((int(key[i]), category, name, float(price[i]), float(weight[i]), int(launched[i])))
    return _Catalogue(key, price, bad, popularity, group)


@dataclass
class _Order:
    customer: int
    time: float
    channel: str
    lines: list[Row] = field(default_factory=list)
    trouble: set[int] = field(default_factory=set)
    content: float = 0.985  # probability of coming back


class _Simulation:
    """One pass over the customers; all randomness comes from one generator, in one order."""

    def __init__(self, rng: np.random.Generator, catalogue: _Catalogue, start: int, days: int) -> None:
        self.rng = rng
        self.catalogue = catalogue
        self.start, self.end = start, start + days * 86_400
        # operational time: how much of the yearly season has passed, so that gaps are plain exponentials in it
        self.grid = start + 86_400.0 * np.arange(-400, days + 400)
        year = 2 * np.pi * (self.grid / 86_400 - 350) / 365.25  # the peak is in the middle of December
        self.season = np.cumsum(1 + 0.35 * np.cos(year))
        self.orders: list[_Order] = []
        self.reviews: list[Row] = []
        self.reviewed: set[tuple[int, int]] = set()

    def next_time(self, time: float, rate: float) -> float:
        """The next order of someone who places ``rate`` orders a day on average."""
        passed = np.interp(time, self.grid, self.season) + self.rng.exponential(1 / rate)
        return float(np.interp(passed, self.season, self.grid, right=np.inf))

    def run(self, customer: int, joined: float, region: int) -> None:
        """The orders and reviews of one customer, until they leave or the simulation ends."""
        rng = self.rng
        rate = min(max(rng.gamma(3.0, 1 / 3.0) / 15, 1 / 60), 1 / 5)
        tastes = rng.choice(len(LEAVES), size=2, replace=False)
        style = int(rng.integers(STYLES))
        talkative = rng.random() < 0.8
        time = joined + rng.exponential(5) * 86_400
        while time < self.end:
            order = _Order(customer, time, ("web", "app", "phone")[int(rng.choice(3, p=(0.55, 0.38, 0.07)))])
            self.fill(order, tastes, style, region)
            leaves = rng.random() < 1 - order.content
            if time >= self.start:
                self.orders.append(order)
                if talkative:
                    # who leaves does not say why: the reason is in what others write about the same products
                    self.talk(order, order.trouble if leaves else set())
            if leaves:
                return
            time = self.next_time(time, rate)

    def fill(self, order: _Order, tastes: NDArray[np.int64], style: int, region: int) -> None:
        """Choose the lines of an order, and which of them disappoint."""
        rng, catalogue = self.rng, self.catalogue
        picks = {catalogue.pick(rng, tastes, style) for _ in range(1 + int(rng.poisson(1.6)))}
        for product in sorted(picks):
            luck = rng.random(6)
            warehouse = region if luck[0] < 0.75 else int(luck[1] * len(CITIES))
            damaged = luck[2] < DAMAGE[warehouse]
            condition = "damaged" if damaged else ("opened" if luck[2] > 0.9 else "sealed")
            direct = luck[3] < 0.05  # sent by the maker: no warehouse
            quantity = int(rng.geometric(0.7))
            price = round(float(catalogue.price[product]) * (0.9 if luck[4] > 0.8 else 1.0), 2)
            shipped = order.time + (0.2 + 1.6 * luck[5]) * 86_400
            order.lines.append((product, None if direct else warehouse, condition, quantity, price, int(shipped)))
            if catalogue.bad[product] or damaged:
                order.trouble.add(product)
                order.content *= (0.55 if catalogue.bad[product] else 1.0) * (0.3 if damaged else 1.0)

    def talk(self, order: _Order, silent_about: set[int]) -> None:
        """Honest but noisy reviews of some lines, a few days later; nobody reviews a product twice."""
        for product, *_, shipped in order.lines:
            luck = self.rng.random(2)
            if luck[0] < 0.75 and product not in silent_about and (order.customer, product) not in self.reviewed:
                self.reviewed.add((order.customer, product))
                mood = self.rng.normal(1.9 if self.catalogue.bad[product] else 4.3, 0.8)
                written = shipped + (1 + 12 * luck[1]) * 86_400
                self.reviews.append((order.customer, product, int(np.clip(round(mood), 1, 5)), int(written)))


def simulate_shop(seed: int, customers: int, products: int, start: int, days: int, bad_share: float) -> Shop:
    """Run the process that :func:`relgraph.demo.generate_shop` describes.

    Args:
        seed: Seed of the one generator everything is drawn from.
        customers: How many customers join in the whole time.
        products: How many products there are.
        start: First moment, seconds since 1970-01-01 UTC.
        days: Length of the time that is kept.
        bad_share: Share of products with hidden bad quality.

    Returns:
        The rows of all tables; nothing is ordered or written before ``start`` or after the last day, and the last
        orders are shipped up to two days later.
    """
    rng = np.random.default_rng(seed)
    shop = Shop()
    shop.category = [(name, name.capitalize(), parent) for name, parent in CATEGORIES.items()]
    sites = [10 * (i + 1) for i in range(len(CITIES))]
    shop.warehouse = [(sites[i], city, int(rng.integers(20, 400))) for i, city in enumerate(CITIES)]
    catalogue = _catalogue(rng, shop, products, bad_share, start)
    world = _Simulation(rng, catalogue, start, days)

    joined = np.sort(rng.integers(start - 120 * 86_400, world.end - 20 * 86_400, customers))
    keys = _gappy_keys(rng, customers, 1000)
    for i in range(customers):
        region = int(rng.integers(len(REGIONS)))
        friend = int(keys[int(rng.integers(i))]) if i and rng.random() < 0.15 else None
        birth = int(rng.normal(1983, 13)) if rng.random() > 0.04 else None
        row = (int(keys[i]), int(joined[i]), REGIONS[region], birth, int(rng.random() < 0.4), friend)
        shop.customer.append(row)
        world.run(i, float(joined[i]), region)

    world.orders.sort(key=lambda order: order.time)
    order_keys = _gappy_keys(rng, len(world.orders), 50_000)
    for number, order in zip(order_keys.tolist(), world.orders, strict=True):
        shop.orders.append((number, int(keys[order.customer]), int(order.time), order.channel))
        for position, (product, warehouse, *rest) in enumerate(order.lines, start=1):
            site = None if warehouse is None else sites[warehouse]
            shop.order_line.append((number, position, int(catalogue.key[product]), site, *rest))
    written = sorted((row for row in world.reviews if row[3] < world.end), key=lambda row: (row[3], row[0], row[1]))
    shop.review = [
        (number, int(keys[customer]), int(catalogue.key[product]), rating, time)
        for number, (customer, product, rating, time) in enumerate(written, start=1)
    ]
    return shop

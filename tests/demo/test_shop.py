"""The generated shop: the same for the same seed, sound, of the promised size, and with the promised signals."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import AdapterError, ProtocolError

TABLES = ("category", "warehouse", "product", "customer", "orders", "order_line", "review")


def digest(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> sqlite3.Connection:
    return sqlite3.connect(generate_shop(tmp_path_factory.mktemp("shop") / "shop.sqlite"))


def one(connection: sqlite3.Connection, sql: str) -> float:
    return connection.execute(sql).fetchone()[0]


def test_same_seed_same_rows_and_other_seed_other_rows(tmp_path: Path) -> None:
    first = digest(generate_shop(tmp_path / "a.sqlite", customers=60))
    assert digest(generate_shop(tmp_path / "b.sqlite", customers=60)) == first
    assert digest(generate_shop(tmp_path / "c.sqlite", customers=60, seed=1)) != first


@pytest.mark.slow
def test_about_100_000_rows(shop: sqlite3.Connection) -> None:
    rows = {table: one(shop, f"SELECT count(*) FROM {table}") for table in TABLES}
    assert 90_000 < sum(rows.values()) < 110_000
    assert rows["category"] == 16
    assert rows["warehouse"] == 6


def test_every_declared_key_holds(shop: sqlite3.Connection) -> None:
    assert shop.execute("PRAGMA foreign_key_check").fetchall() == []
    declared = sum(len(shop.execute(f"PRAGMA foreign_key_list({table})").fetchall()) for table in TABLES)
    assert declared == 9


def test_shapes_that_converters_trip_over(shop: sqlite3.Connection) -> None:
    assert one(shop, "SELECT max(customer_id) - min(customer_id) - count(*) FROM customer") > 1000, "keys have gaps"
    assert one(shop, "SELECT typeof(category_id) FROM category") == "text"
    assert one(shop, "SELECT count(*) FROM order_line WHERE warehouse_id IS NULL") > 1000
    assert one(shop, "SELECT count(*) FROM customer WHERE referred_by IS NOT NULL") > 100
    assert one(shop, "SELECT count(DISTINCT condition) FROM order_line") == 3


@pytest.mark.slow
def test_times_lie_in_the_two_years_and_in_order(shop: sqlite3.Connection) -> None:
    for table in ("orders", "review"):
        low, high = shop.execute(f"SELECT min({SHOP_TIMES[table]}), max({SHOP_TIMES[table]}) FROM {table}").fetchone()
        assert low >= "2023-01-01", table
        assert high < "2024-12-31", table
    early = "SELECT count(*) FROM order_line JOIN orders USING (order_id) WHERE shipped_at < ordered_at"
    assert one(shop, early) == 0
    before = "SELECT count(*) FROM orders JOIN customer USING (customer_id) WHERE ordered_at < joined"
    assert one(shop, before) == 0
    early_review = """SELECT count(*) FROM review r WHERE NOT EXISTS (
        SELECT 1 FROM orders o JOIN order_line l USING (order_id)
        WHERE o.customer_id = r.customer_id AND l.product_id = r.product_id AND l.shipped_at < r.written_at)"""
    assert one(shop, early_review) == 0, "a review comes after a purchase"


def test_december_is_the_season(shop: sqlite3.Connection) -> None:
    by_month = dict(shop.execute("SELECT strftime('%m', ordered_at), count(*) FROM orders GROUP BY 1"))
    assert by_month["12"] > 1.3 * by_month["06"]


def last_orders(shop: sqlite3.Connection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each order well before the end: whether a line was damaged, the worst mean rating others gave, and whether
    it was the customer's last."""
    rows = shop.execute("""
        WITH rated AS (SELECT product_id, customer_id, rating, sum(rating) OVER (PARTITION BY product_id) AS total,
                       count(*) OVER (PARTITION BY product_id) AS n FROM review),
        quality AS (SELECT product_id, 1.0 * max(total) / max(n) AS mean FROM rated GROUP BY product_id)
        SELECT max(l.condition = 'damaged'), min(coalesce(q.mean, 4)),
               NOT EXISTS (SELECT 1 FROM orders n WHERE n.customer_id = o.customer_id AND n.ordered_at > o.ordered_at)
        FROM orders o JOIN order_line l USING (order_id) LEFT JOIN quality q USING (product_id)
        WHERE o.ordered_at < '2024-09-01' GROUP BY o.order_id""").fetchall()
    damaged, worst, last = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return damaged, worst, last


def test_leaving_follows_the_documented_probability(shop: sqlite3.Connection) -> None:
    damaged, worst, last = last_orders(shop)
    content = (damaged == 0) & (worst > 3.3)
    disappointed = (damaged == 0) & (worst < 2.6)
    # a customer may also be away for the four months that are left, hence the room above 1.5 %
    assert last[content].mean() < 0.12
    assert 0.4 < last[disappointed].mean() < 0.6, "1 - 0.985 * 0.55 = 46 % and a few more"
    assert 0.65 < last[(damaged == 1) & (worst > 3.3)].mean() < 0.85, "1 - 0.985 * 0.3 = 70 % and a few more"


def test_who_leaves_does_not_say_why(shop: sqlite3.Connection) -> None:
    """Damaged lines of the order after which someone left are not reviewed by them; others are."""
    rows = shop.execute("""
        WITH last AS (SELECT customer_id, max(ordered_at) AS at FROM orders GROUP BY customer_id)
        SELECT o.ordered_at = last.at, avg(EXISTS (SELECT 1 FROM review r WHERE r.customer_id = o.customer_id
                                                   AND r.product_id = l.product_id AND r.written_at > o.ordered_at))
        FROM orders o JOIN order_line l USING (order_id) JOIN last USING (customer_id)
        WHERE l.condition = 'damaged' AND last.at < '2024-06-01' GROUP BY 1""").fetchall()
    reviewed = dict(rows)
    assert reviewed[0] > 0.4
    assert reviewed[1] < 0.1


def test_taste_concentrates_purchases(shop: sqlite3.Connection) -> None:
    """The two favourite categories of a customer take far more than the 2 of 12 that chance would give."""
    share = one(
        shop,
        """WITH bought AS (SELECT o.customer_id, p.category_id, count(*) AS n FROM orders o
                           JOIN order_line l USING (order_id) JOIN product p USING (product_id) GROUP BY 1, 2),
        ranked AS (SELECT customer_id, n, row_number() OVER (PARTITION BY customer_id ORDER BY n DESC) AS place,
                   sum(n) OVER (PARTITION BY customer_id) AS total FROM bought)
        SELECT 1.0 * sum(CASE WHEN place <= 2 THEN n END) / sum(n) FROM ranked WHERE total >= 20""",
    )
    assert share > 0.75


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = generate_shop(tmp_path / "shop.sqlite", customers=5)
    before = digest(path)
    with pytest.raises(ProtocolError, match="customers, products and days of at least 1"):
        generate_shop(path, customers=0)
    assert digest(path) == before
    with pytest.raises(AdapterError, match="choose a writable file"):
        generate_shop(tmp_path / "shop.sqlite" / "below.sqlite", customers=5)

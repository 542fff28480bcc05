"""A shop database that never was, written as SQLite with declared keys."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from relgraph.demo.simulate import Row, simulate_shop
from relgraph.errors import AdapterError, ProtocolError

__all__ = ["SHOP_TIMES", "generate_shop"]

# which column says when a row happened; declared keys SQLite knows, this it cannot
SHOP_TIMES = {
    "customer": "joined",
    "product": "launched",
    "orders": "ordered_at",
    "order_line": "shipped_at",
    "review": "written_at",
}

_TABLES = """
CREATE TABLE category (
    category_id TEXT PRIMARY KEY, title TEXT NOT NULL, parent_id TEXT REFERENCES category (category_id));
CREATE TABLE warehouse (
    warehouse_id INTEGER PRIMARY KEY, city TEXT NOT NULL, staff INTEGER NOT NULL);
CREATE TABLE product (
    product_id INTEGER PRIMARY KEY, category_id TEXT NOT NULL REFERENCES category (category_id), name TEXT NOT NULL,
    price REAL NOT NULL, weight REAL NOT NULL, launched DATE NOT NULL);
CREATE TABLE customer (
    customer_id INTEGER PRIMARY KEY, joined DATE NOT NULL, region TEXT NOT NULL, birth_year INTEGER,
    newsletter BOOLEAN NOT NULL, referred_by INTEGER REFERENCES customer (customer_id));
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (customer_id),
    ordered_at TIMESTAMP NOT NULL, channel TEXT NOT NULL);
CREATE TABLE order_line (
    order_id INTEGER NOT NULL REFERENCES orders (order_id), position INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES product (product_id),
    warehouse_id INTEGER REFERENCES warehouse (warehouse_id), condition TEXT NOT NULL, quantity INTEGER NOT NULL,
    price REAL NOT NULL, shipped_at TIMESTAMP NOT NULL, PRIMARY KEY (order_id, position));
CREATE TABLE review (
    review_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (customer_id),
    product_id INTEGER NOT NULL REFERENCES product (product_id), rating INTEGER NOT NULL,
    written_at TIMESTAMP NOT NULL);
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX order_line_product ON order_line (product_id);
CREATE INDEX review_customer ON review (customer_id);
CREATE INDEX review_product ON review (product_id);
"""
# position of the time in a row, and whether only its day is kept
_TIME_AT = {
    "product": (5, True),
    "customer": (1, True),
    "orders": (2, False),
    "order_line": (7, False),
    "review": (4, False),
}


def generate_shop(
    path: str | Path,
    seed: int = 0,
    *,
    customers: int = 4550,
    products: int = 324,
    start: str = "2023-01-01",
    days: int = 730,
    bad_share: float = 0.06,
) -> Path:
    """Write a generated shop, about 100,000 rows, as an SQLite file; the same arguments give the same rows.

    Customers join all the time. Each has two favourite categories and one of three styles (no column tells the
    style), buys at a rate of their own, more in December, and mostly from the warehouse of their region. Products
    differ in popularity, and some are of bad quality, which no column tells either. Talkative customers review much
    of what they buy and rate bad products low.

    After each order a customer leaves for good with probability ``1 - 0.985 * 0.3 ** d * 0.55 ** b``, where ``d``
    counts the lines of that order that arrived damaged and ``b`` those of bad quality. Who leaves reviews none of
    these lines. So the customer's own row says nearly nothing about leaving; how often and how lately they ordered
    (one step away) says something; the condition of their last lines (two steps away) says more, and what *others*
    wrote about the same products (four steps away) the rest.

    The tables have a text key with a self reference (``category``), keys with gaps, a composite key
    (``order_line``), optional references (``customer.referred_by``, ``order_line.warehouse_id``), two fact tables
    (``order_line`` with a third key and the categorical column ``condition``, and ``review``), and times in all but
    ``category`` and ``warehouse``; :data:`SHOP_TIMES` names the columns.

    Args:
        path: The file to write; a file that is there is replaced, once the new one is whole.
        seed: Seed of the one generator that everything is drawn from.
        customers: How many customers join in the whole time; rows grow with it.
        products: How many products there are.
        start: First day, ISO date, UTC.
        days: How many days are kept.
        bad_share: Share of products with hidden bad quality, 0 to 1.

    Returns:
        ``path``.

    Raises:
        ProtocolError: If a count is not positive or the share is outside 0..1.
        AdapterError: If the file cannot be written.
    """
    if customers < 1 or products < 1 or days < 1 or not 0 <= bad_share <= 1:
        raise ProtocolError(
            "a shop needs customers, products and days of at least 1 and bad_share in 0..1; "
            f"got {customers}, {products}, {days} and {bad_share}"
        )
    first = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp())
    shop = simulate_shop(seed, customers, products, first, days, bad_share)
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        _write(partial, vars(shop))
        partial.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise AdapterError(f"the shop could not be written to {path}: {error}; choose a writable file") from error
    return path


def _write(path: Path, tables: dict[str, list[Row]]) -> None:
    connection = sqlite3.connect(path)
    try:
        connection.executescript(_TABLES)
        with connection:
            for name, rows in tables.items():
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT INTO {name} VALUES ({marks})", _with_dates(name, rows))
    finally:
        connection.close()


def _with_dates(table: str, rows: list[Row]) -> list[Row]:
    if table not in _TIME_AT:
        return rows
    at, day_only = _TIME_AT[table]
    form = "%Y-%m-%d" if day_only else "%Y-%m-%d %H:%M:%S"
    return [(*row[:at], datetime.fromtimestamp(row[at], UTC).strftime(form), *row[at + 1 :]) for row in rows]

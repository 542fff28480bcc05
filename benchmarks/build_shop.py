"""The three tables of bench_build.py: customers, products, and a fact table of reviews with keys to both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from relgraph.data.sql import literal, quote

TABLES = ("customer", "product", "review")
KEYS: dict[str, Any] = {
    "customer": "customer_id",
    "product": "product_id",
    "review": {
        "primary_key": "review_id",
        "foreign_keys": {"customer_id": "customer", "product_id": "product"},
    },
}
TIMES = {"customer": None, "product": None, "review": "review_time"}
KINDS = {
    "customer": {"region": "categorical", "age": "numerical", "joined": "timestamp"},
    "product": {"brand": "categorical", "price": "numerical"},
    "review": {
        "review_time": "timestamp",
        "rating": "numerical",
        "votes": "numerical",
        "paid": "numerical",
        "condition": "categorical",
    },
}
"""What each column is; RelBench is told, relgraph finds it out."""

BYTES_PER_ROW = {"parquet": 45, "snapshot": 40, "building": 100, "saved": 100}
"""Disk per review, with its share of the other tables; 38, 20, 86 and 86 were measured at twenty million reviews."""


def _draw(salt: int) -> str:
    # the same table on every machine and with any number of threads
    return f"CAST(hash(i * 32 + {salt}) >> 12 AS BIGINT)"


def queries(rows: int) -> dict[str, str]:
    """SQL of each table, for a number of reviews; numbers of rows have NULLs, as real tables do."""
    customers, products = max(rows // 10, 1), max(rows // 50, 1)
    brands = max(min(products // 4, 200), 2)
    return {
        "customer": f"""
            SELECT i AS customer_id,
                   ['north', 'south', 'east', 'west', 'centre'][1 + {_draw(1)} % 5] AS region,
                   CAST(18 + {_draw(2)} % 70 AS INTEGER) AS age,
                   TIMESTAMP '2010-01-01' + to_seconds({_draw(3)} % 100000000) AS joined
            FROM range({customers}) t(i)""",
        "product": f"""
            SELECT i AS product_id,
                   'brand ' || {_draw(4)} % {brands} AS brand,
                   {_draw(5)} % 100000 / 100 AS price
            FROM range({products}) t(i)""",
        "review": f"""
            SELECT i AS review_id,
                   {_draw(6)} % {customers} AS customer_id,
                   CASE WHEN {_draw(7)} % 50 > 0 THEN {_draw(8)} % {products} END AS product_id,
                   TIMESTAMP '2015-01-01' + to_seconds({_draw(9)} % 250000000) AS review_time,
                   CASE WHEN {_draw(10)} % 20 > 0 THEN {_draw(11)} % 1000000 / 1000000 END AS rating,
                   CAST({_draw(12)} % 5000 AS INTEGER) AS votes,
                   {_draw(13)} % 100000 / 100 AS paid,
                   CASE WHEN {_draw(14)} % 30 > 0
                        THEN ['new', 'used', 'refurbished', 'damaged'][1 + {_draw(15)} % 10 // 3] END AS condition
            FROM range({rows}) t(i)""",
    }


def write_parquet(folder: Path, rows: int) -> Path:
    """The tables as one Parquet file each."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, sql in queries(rows).items():
            connection.execute(f"COPY ({sql}) TO {literal(str(folder / f'{name}.parquet'))} (FORMAT parquet)")
    return folder


def write_duckdb(file: Path, rows: int) -> Path:
    """The tables in a DuckDB file."""
    with duckdb.connect(str(file)) as connection:
        for name, sql in queries(rows).items():
            connection.execute(f"CREATE TABLE {quote(name)} AS {sql}")
    return file


def counts_and_sums(connection: DuckDBPyConnection, folder: Path) -> dict[str, float]:
    """What a graph of the Parquet files must add up to."""
    row = connection.execute(
        "SELECT count(*), count(customer_id), count(product_id), sum(product_id), "
        "count(rating), avg(rating), min(votes), max(votes), avg(paid), min(epoch_us(review_time)) "
        f"FROM read_parquet({literal(str(folder / 'review.parquet'))})"
    ).fetchall()[0]
    names = ("rows", "customers", "products", "product_sum", "ratings", "rating", "least", "most", "paid", "first")
    return dict(zip(names, map(float, row), strict=True))


def rows_that_fit(folder: Path, rows: int) -> tuple[int, str]:
    """How many reviews there is disk for, and a sentence where that is fewer than asked for."""
    spare = 2 << 30
    need = sum(BYTES_PER_ROW.values())
    free = shutil.disk_usage(folder).free
    fit = max((free - spare) // need, 0)
    if fit >= rows:
        return rows, ""
    fit = fit // 1_000_000 * 1_000_000
    return fit, (
        f"{rows:,} reviews need {need * rows + spare:,} bytes of disk in {folder.name}/ "
        f"(Parquet, snapshot, arrays while building, graph), but {free:,} are free: {fit:,} reviews are taken"
    )

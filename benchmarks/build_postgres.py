"""The PostgreSQL part of bench_build.py: relgraph.connect against pandas.read_sql on the same tables."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import psycopg
import sqlalchemy
from build_shop import KEYS, TABLES, TIMES, queries
from psycopg import sql

import relgraph
from relgraph.data.sql import literal, quote

TYPES = {"BIGINT": "bigint", "INTEGER": "integer", "DOUBLE": "double precision", "VARCHAR": "text"}


@contextmanager
def filled_database(url: str, rows: int) -> Iterator[sqlalchemy.URL]:
    """A database of its own on a server, with the tables and their keys; dropped at the end."""
    server = sqlalchemy.make_url(url).set(drivername="postgresql")
    name = f"relgraph_bench_{os.getpid()}"
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            place = server.set(database=name)
            with psycopg.connect(place.render_as_string(hide_password=False)) as connection:
                for table in TABLES:
                    _fill(connection, table, queries(rows)[table])
                _add_keys(connection)
                connection.commit()
                connection.autocommit = True
                connection.execute("VACUUM ANALYZE")
            yield place
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _fill(connection: psycopg.Connection[Any], table: str, query: str) -> None:
    with duckdb.connect() as engine, tempfile.TemporaryDirectory() as place:
        file = Path(place) / "rows.csv"
        engine.execute(f"COPY ({query}) TO {literal(str(file))} (HEADER FALSE)")
        columns = engine.execute(f"DESCRIBE {query}").fetchall()
        declared = [
            sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(TYPES.get(dtype, "timestamp")))
            for column, dtype, *_ in columns
        ]
        named = sql.Identifier(table)
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(named, sql.SQL(", ").join(declared)))
        load = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(named)
        with connection.cursor() as cursor, file.open("rb") as rows, cursor.copy(load) as copy:
            while part := rows.read(1 << 20):
                copy.write(part)


def _add_keys(connection: psycopg.Connection[Any]) -> None:
    for table in TABLES:
        key = sql.Identifier(f"{table}_id")
        connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(sql.Identifier(table), key))
    for table in ("customer", "product"):
        add = "ALTER TABLE review ADD FOREIGN KEY ({}) REFERENCES {}"
        connection.execute(sql.SQL(add).format(sql.Identifier(f"{table}_id"), sql.Identifier(table)))


def read_postgres(url: str, rows: int, repeats: int) -> dict[str, Any]:
    """Rows per second of both ways, in turn, after their counts and sums were found equal."""
    seconds: dict[str, list[float]] = {"relgraph": [], "pandas": []}
    with filled_database(url, rows) as place:
        plain = place.render_as_string(hide_password=False)
        engine = sqlalchemy.create_engine(place.set(drivername="postgresql+psycopg"))

        def read_frames() -> dict[str, pd.DataFrame]:
            with engine.connect() as connection:
                return {table: pd.read_sql(f"SELECT * FROM {quote(table)}", connection) for table in TABLES}

        def read_ours() -> relgraph.Database:
            return relgraph.connect(plain, times=TIMES, progress=False)

        with read_ours() as db:
            total = sum(db.num_rows(table) for table in TABLES)
            keys = {table.name: (table.primary_key, len(table.foreign_keys)) for table in db.schema}
            require_equal(db, read_frames())
        assert keys == {
            "customer": (("customer_id",), 0),
            "product": (("product_id",), 0),
            "review": (("review_id",), 2),
        }
        for _ in range(repeats):
            start = time.perf_counter()
            with read_ours():
                seconds["relgraph"].append(time.perf_counter() - start)
            start = time.perf_counter()
            frames = read_frames()
            seconds["pandas"].append(time.perf_counter() - start)
            del frames
        engine.dispose()
    median = {side: statistics.median(times) for side, times in seconds.items()}
    return {
        "rows": total,
        "equal": True,
        "seconds": seconds,
        "median_seconds": median,
        "rows_per_second": {side: total / value for side, value in median.items()},
        "ratio": median["pandas"] / median["relgraph"],
        "peer_versions": {"sqlalchemy": sqlalchemy.__version__, "psycopg": psycopg.__version__},
        "keys": {table: str(KEYS[table]) for table in TABLES},
    }


def require_equal(db: relgraph.Database, frames: dict[str, pd.DataFrame]) -> None:
    """Every column has the same number of values, and numbers and times the same sum.

    Raises:
        AssertionError: Naming the column that differs.
    """
    for table, frame in frames.items():
        for column in frame.columns:
            name, dtype = quote(column), db.schema[table].column(column).dtype
            value = f"epoch_us({name})" if dtype.startswith("TIMESTAMP") else name
            total = f"sum(CAST({value} AS DOUBLE))" if dtype != "VARCHAR" else f"sum(length({name}))"
            count, found = (
                db.sql(f"SELECT count({name}) AS n, {total} AS s FROM {quote(table)}").to_pylist()[0].values()
            )
            values = frame[column].dropna()
            if dtype == "VARCHAR":
                expected = float(values.str.len().sum())
            elif dtype.startswith("TIMESTAMP"):
                expected = float(values.astype("datetime64[us]").astype("int64").astype("float64").sum())
            else:
                expected = float(values.astype("float64").sum())
            assert count == len(values), f"{table}.{column}: {count} values, not {len(values)}"
            assert abs(float(found) - expected) <= 1e-9 * max(abs(expected), 1), f"{table}.{column}: sums differ"

"""The same small database written as every kind of source; ``EXPECTED`` is what must be read back from each."""

from __future__ import annotations

import csv
import datetime as dt
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from relgraph.data.sql import quote, quote_all
from tests.adapters.servers import ServerDatabase

ARROW = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Table:
    columns: dict[str, str]  # name -> DuckDB type
    rows: list[tuple[Any, ...]]
    primary_key: tuple[str, ...] = ()
    foreign_keys: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = field(default_factory=list)


DAY = dt.date
MOMENT = dt.datetime

TABLES = {
    "customer": Table(  # a gappy key, a reference to itself with NULL, and one to nothing
        {"id": "BIGINT", "name": "VARCHAR", "referrer": "BIGINT", "born": "DATE", "vip": "BOOLEAN"},
        [
            (1, "Ann", None, DAY(1980, 2, 29), True),
            (5, 'O\'Hara "the" buyer', 1, None, False),
            (900, None, 77, DAY(2001, 1, 1), None),
        ],
        ("id",),
        [(("referrer",), "customer", ("id",))],
    ),
    "product": Table(  # a text key, non-ASCII names
        {"code": "VARCHAR", "größe": "DOUBLE", "名前": "VARCHAR"},
        [("a", 1.5, "éclair"), ("b", None, "茶"), ("b-2", -2.25, None)],
        ("code",),
    ),
    "order": Table(  # a reserved name, two keys to one table, a time with NULL
        {"id": "BIGINT", "customer": "BIGINT", "gift for": "BIGINT", "placed": "TIMESTAMP"},
        [
            (10, 1, 5, MOMENT(2020, 1, 1, 12, 30)),
            (11, 5, None, None),
            (12, None, 5, MOMENT(2021, 6, 1, 0, 0, 0, 250000)),
        ],
        ("id",),
        [(("customer",), "customer", ("id",)), (("gift for",), "customer", ("id",))],
    ),
    "order line": Table(  # a composite key, a reserved column, text keys with NULL and one to nothing
        {"order": "BIGINT", "no": "BIGINT", "product": "VARCHAR", "amount": "BIGINT"},
        [(10, 1, "a", 3), (10, 2, "b-2", 1), (11, 1, None, 2), (99, 1, "zz", 4)],
        ("order", "no"),
        [(("order",), "order", ("id",)), (("product",), "product", ("code",))],
    ),
    "line note": Table(  # no key of its own, a composite reference, partly NULL
        {"order": "BIGINT", "line": "BIGINT", "text": "VARCHAR"},
        [(10, 2, "late"), (10, None, "lost"), (10, 2, "late")],
        (),
        [(("order", "line"), "order line", ("order", "no"))],
    ),
    "favourite": Table(  # keys only
        {"customer": "BIGINT", "product": "VARCHAR"},
        [(1, "a"), (5, "b"), (1, "b-2")],
        (),
        [(("customer",), "customer", ("id",)), (("product",), "product", ("code",))],
    ),
    "visit": Table(
        {"page": "VARCHAR", "at": "TIMESTAMP"}, [("home", MOMENT(2020, 5, 5)), ("shop", MOMENT(2019, 1, 1))]
    ),
    "refund": Table(  # empty
        {"id": "BIGINT", "order": "BIGINT", "why": "VARCHAR"},
        [],
        ("id",),
        [(("order",), "order", ("id",))],
    ),
}
TIMES = {"order": "placed", "visit": "at"}


def declared_keys() -> dict[str, Any]:
    """What ``keys=`` must say for a source that declares none."""
    keys: dict[str, Any] = {}
    for name, table in TABLES.items():
        foreign = {
            columns if len(columns) > 1 else columns[0]: (t, target) for columns, t, target in table.foreign_keys
        }
        keys[name] = {"primary_key": table.primary_key, "foreign_keys": foreign}
    return keys


def ddl(name: str, types: dict[str, str], foreign: bool = True) -> str:
    table = TABLES[name]
    parts = [f"{quote(column)} {types[dtype]}" for column, dtype in table.columns.items()]
    if table.primary_key:
        parts.append(f"PRIMARY KEY ({quote_all(table.primary_key)})")
    for columns, target, referred in table.foreign_keys if foreign else []:
        parts.append(f"FOREIGN KEY ({quote_all(columns)}) REFERENCES {quote(target)} ({quote_all(referred)})")
    return f"CREATE TABLE {quote(name)} ({', '.join(parts)})"


def arrow_table(name: str) -> pa.Table:
    table = TABLES[name]
    values = {
        column: pa.array([row[i] for row in table.rows], ARROW[dtype])
        for i, (column, dtype) in enumerate(table.columns.items())
    }
    return pa.table(values)


def write_sqlite(path: Path) -> Path:
    types = {"BIGINT": "INTEGER", "VARCHAR": "TEXT", "DOUBLE": "REAL", "TIMESTAMP": "DATETIME"}
    types |= {"DATE": "DATE", "BOOLEAN": "BOOLEAN"}
    with sqlite3.connect(path) as file:
        for name, table in TABLES.items():
            file.execute(ddl(name, types))
            marks = ", ".join("?" * len(table.columns))
            rows = [tuple(_sqlite(value) for value in row) for row in table.rows]
            file.executemany(f"INSERT INTO {quote(name)} VALUES ({marks})", rows)
        file.execute("CREATE VIEW everything AS SELECT * FROM customer")
    file.close()
    return path


def write_duckdb(path: Path) -> Path:
    """A file whose keys are declared; DuckDB enforces foreign keys, so those that dangle are left to ``keys=``."""
    with duckdb.connect(str(path)) as file:
        for name, table in TABLES.items():
            file.execute(ddl(name, {dtype: dtype for dtype in ARROW}, foreign=False))
            if table.rows:
                marks = ", ".join("?" * len(table.columns))
                file.executemany(f"INSERT INTO {quote(name)} VALUES ({marks})", table.rows)
        file.execute("CREATE VIEW everything AS SELECT * FROM customer")
    return path


def write_postgresql(database: ServerDatabase) -> str:
    """A database of a server; references that dangle are declared after the rows are in, as not valid."""
    types = {dtype: dtype for dtype in ARROW} | {"VARCHAR": "text", "DOUBLE": "double precision"}
    with database.open() as connection, connection.cursor() as cursor:
        for name, table in TABLES.items():
            cursor.execute(ddl(name, types, foreign=False))
            marks = ", ".join(["%s"] * len(table.columns))
            cursor.executemany(f"INSERT INTO {quote(name)} VALUES ({marks})", table.rows)
        for name, table in TABLES.items():
            for columns, target, referred in table.foreign_keys:
                key = f"FOREIGN KEY ({quote_all(columns)}) REFERENCES {quote(target)} ({quote_all(referred)})"
                cursor.execute(f"ALTER TABLE {quote(name)} ADD {key} NOT VALID")
        cursor.execute("CREATE VIEW everything AS SELECT * FROM customer")
    return database.url


def write_parquet(folder: Path) -> Path:
    folder.mkdir()
    for name in TABLES:
        pq.write_table(arrow_table(name), folder / f"{name}.parquet")
    return folder


def write_csv(folder: Path, null: str = "", suffix: str = ".csv") -> Path:
    folder.mkdir()
    for name, table in TABLES.items():
        with (folder / f"{name}{suffix}").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerow(table.columns)
            for row in table.rows:
                writer.writerow([null if value is None else value for value in row])
    return folder


def pandas_frames() -> dict[str, pd.DataFrame]:
    frames = {}
    for name in TABLES:
        frame = arrow_table(name).to_pandas(date_as_object=True)
        frames[name] = frame
    return frames


def arrow_frames() -> dict[str, pa.Table]:
    return {name: arrow_table(name) for name in TABLES}


def _sqlite(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "microseconds")
    return value.isoformat() if isinstance(value, dt.date) else value

"""The generic SQL path, on SQLite through SQLAlchemy: types as declared, one transaction, composite and odd keys."""

from __future__ import annotations

import datetime as dt
import decimal
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

import relgraph
from relgraph.adapters.servers.sqlalchemy import SQLAlchemySource
from relgraph.adapters.servers.values import value_kind
from relgraph.data.database import Database
from relgraph.data.schema import Schema
from relgraph.data.source import Selection
from relgraph.errors import AdapterError


def connect(path: Path, **given: Any) -> Database:
    return relgraph.connect(f"sqlite+pysqlite:///{path}", progress=False, **given)


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()


@pytest.mark.parametrize(
    ("dtype", "values", "arrow", "expected"),
    [
        (sa.Integer(), (1, None), pa.int64(), [1, None]),
        (sa.BigInteger(), (2**62,), pa.int64(), [2**62]),
        (sa.Boolean(), (1, False, None), pa.bool_(), [True, False, None]),
        (sa.Float(), (1, 2.5), pa.float64(), [1.0, 2.5]),
        (sa.Numeric(10, 2), (decimal.Decimal("1.25"), None), pa.float64(), [1.25, None]),
        (sa.Numeric(18, 0), (decimal.Decimal(10**17), 3), pa.int64(), [10**17, 3]),
        (sa.Numeric(38, 0), (decimal.Decimal(10**30),), pa.float64(), [1e30]),
        (sa.Numeric(), (decimal.Decimal("0.1"),), pa.float64(), [0.1]),
        (sa.String(5), ("a", None), pa.large_string(), ["a", None]),
        (sa.Enum("a", "b"), ("a",), pa.large_string(), ["a"]),
        (sa.Uuid(), (uuid.UUID(int=1),), pa.large_string(), [str(uuid.UUID(int=1))]),
        (sa.JSON(), ({"ü": [1]}, [1], "x"), pa.large_string(), ['{"ü": [1]}', "[1]", "x"]),
        (sa.ARRAY(sa.Integer()), ([1, 2],), pa.large_string(), ["[1, 2]"]),
        (sa.LargeBinary(), (b"a", memoryview(b"b")), pa.large_binary(), [b"a", b"b"]),
        (sa.Date(), (dt.date(2020, 1, 1),), pa.date32(), [dt.date(2020, 1, 1)]),
        (sa.Time(), (dt.time(1, 2),), pa.time64("us"), [dt.time(1, 2)]),
        (sa.DateTime(), (dt.datetime(2020, 1, 1, 5),), pa.timestamp("us"), [dt.datetime(2020, 1, 1, 5)]),
        (sa.Interval(), (dt.timedelta(hours=1),), pa.duration("us"), [dt.timedelta(hours=1)]),
        (sa.types.NullType(), (dt.timedelta(0), 5), pa.large_string(), ["0:00:00", "5"]),
    ],
)
def test_values_of_drivers(dtype: Any, values: tuple[Any, ...], arrow: pa.DataType, expected: list[Any]) -> None:
    array = value_kind(dtype).array(values)
    assert array.type == arrow
    assert array.to_pylist() == expected


def test_times_with_a_zone_are_kept_as_moments() -> None:
    moment = dt.datetime(2020, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    array = value_kind(sa.DateTime(timezone=True)).array([moment])
    assert array.type == pa.timestamp("us", "UTC")
    assert array.to_pylist()[0] == moment


def test_mysql_years_are_numbers() -> None:
    from sqlalchemy.dialects.mysql import YEAR

    assert value_kind(YEAR()).array([1999]).to_pylist() == [1999]


def test_declared_types_and_odd_keys(tmp_path: Path) -> None:
    path = tmp_path / "x"
    run(
        path,
        "CREATE TABLE t (a INTEGER, b TEXT, c NUMERIC(10, 2), d BOOLEAN, e DATE, PRIMARY KEY (a, b), UNIQUE (b))",
        "INSERT INTO t VALUES (2, 'x', 1.5, 1, '2020-01-01'), (1, 'y', NULL, 0, NULL)",
        'CREATE TABLE "from" (a INTEGER, "b c" TEXT REFERENCES t (b), FOREIGN KEY (a, "b c") REFERENCES t (a, b))',
        "INSERT INTO \"from\" VALUES (1, 'y'), (1, 'x')",
    )
    with connect(path) as db:
        assert {c.name: c.dtype for c in db.schema["t"].columns} == {
            "a": "BIGINT",
            "b": "VARCHAR",
            "c": "DOUBLE",
            "d": "BOOLEAN",
            "e": "DATE",
        }
        rows = db.sql(f'SELECT * FROM ({db.numbered("t")}) ORDER BY "__row"').to_pylist()
        assert [row["a"] for row in rows] == [1, 2]  # by primary key
        report = {key.key: (key.null, key.dangling) for key in db.check().foreign_keys}
        assert report == {"b c": (0, 0), "a+b c": (0, 1)}


def test_values_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run(tmp_path / "x", "CREATE TABLE t (a INTEGER, b INTEGER)", "INSERT INTO t VALUES (1, 'n/a')")
    with pytest.raises(AdapterError, match=r"t\.b cannot be read as declared"):
        connect(tmp_path / "x")


@pytest.mark.slow
def test_more_rows_than_one_batch(tmp_path: Path) -> None:
    rows = 150_000
    run(
        tmp_path / "x",
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)",
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {rows}) "
        "INSERT INTO t SELECT i, 'x' || i FROM n",
    )
    with connect(tmp_path / "x") as db:
        wrong = f"""SELECT count(*) AS n FROM ({db.numbered("t")}) WHERE a <> "__row" OR b <> 'x' || "__row" """
        assert db.sql(wrong)["n"].to_pylist() == [0]
        assert db.num_rows("t") == rows


def test_one_transaction(tmp_path: Path) -> None:
    """What another connection writes between two tables is not seen: keys agree."""
    path = tmp_path / "x"
    run(path, "PRAGMA journal_mode = WAL", "CREATE TABLE a (i INTEGER)", "CREATE TABLE b (i INTEGER)")
    run(path, "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)")
    for source in (SQLAlchemySource(f"sqlite+pysqlite:///{path}", Selection()),):
        counts: dict[str, int] = {}
        for table in source.read(Schema(source.schema())):
            counts[table.name] = sum(batch.num_rows for batch in table.batches)
            run(path, "INSERT INTO b VALUES (2)")
        source.close()
        run(path, "DELETE FROM b WHERE i = 2")
        assert counts == {"a": 1, "b": 1}

"""Frames: every Arrow-speaking kind, indices, categories, odd types, SQL over them."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import relgraph
from relgraph.data.database import Database


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


@pytest.mark.parametrize(
    ("array", "dtype", "expected"),
    [
        (pa.array(["x", None]).dictionary_encode(), "VARCHAR", ["x", None]),
        (pa.array([1.5], pa.float16()), "FLOAT", [1.5]),
        (pa.array([decimal.Decimal("1.5")], pa.decimal256(50, 2)), "DOUBLE", [1.5]),
        (pa.array([decimal.Decimal(5)], pa.decimal128(10, 0)), "BIGINT", [5]),
        (pa.nulls(2), "VARCHAR", [None, None]),
        (pa.array([1, None], pa.timestamp("ns")), "TIMESTAMP", [dt.datetime(1970, 1, 1), None]),
        (pa.array([1], pa.timestamp("s")), "TIMESTAMP", [dt.datetime(1970, 1, 1, 0, 0, 1)]),
        (pa.array([1], pa.timestamp("ms")), "TIMESTAMP", [dt.datetime(1970, 1, 1, 0, 0, 0, 1000)]),
        (pa.array([1], pa.date64()), "DATE", [dt.date(1970, 1, 1)]),
        (pa.array([[1, 2], None]), "BIGINT[]", [[1, 2], None]),
        (pa.array([b"x"], pa.binary(1)), "BLOB", [b"x"]),
        (pa.array([2**63], pa.uint64()), "UBIGINT", [2**63]),
        (pa.array(["x"], pa.large_string()), "VARCHAR", ["x"]),
        (pa.array(["x"], pa.string_view()), "VARCHAR", ["x"]),
    ],
)
def test_arrow_types(array: pa.Array, dtype: str, expected: list[Any]) -> None:
    with connect({"t": pa.table({"c": array})}) as db:
        assert db.schema["t"].column("c").dtype == dtype
        assert db.sql("SELECT c FROM t")["c"].to_pylist() == expected


def test_moments_with_a_zone() -> None:
    for unit in ("s", "ms", "us", "ns"):
        with connect({"t": pa.table({"c": pa.array([0], pa.timestamp(unit, "Europe/Berlin"))})}) as db:
            assert db.schema["t"].column("c").dtype.startswith("TIMESTAMP WITH")
            assert db.sql("SELECT epoch_us(c) AS c FROM t")["c"].to_pylist() == [0]


def test_pandas_indices_categories_and_missing_values() -> None:
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(["a", "b", None]),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "price": [1.5, np.nan, 2.0],
            "when": pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
            "flag": [True, False, None],
        },
        index=pd.Index([7, 8, 9], name="id"),
    )
    with connect({"t": frame, "u": frame.reset_index(drop=True)}, keys={"t": "id"}) as db:
        assert db.schema["t"].column_names == ("id", "kind", "count", "price", "when", "flag")
        assert db.schema["u"].column_names == ("kind", "count", "price", "when", "flag")
        assert db.sql("SELECT * FROM t").to_pylist()[1] == {
            "id": 8,
            "kind": "b",
            "count": None,
            "price": None,
            "when": None,
            "flag": False,
        }


def test_a_key_with_gaps_that_pandas_made_float_joins_whole_numbers() -> None:
    parent = pd.DataFrame({"id": [1, 2]})
    child = pd.DataFrame({"parent": [2.0, np.nan, 3.0]})
    with connect({"p": parent, "c": child}, keys={"p": "id", "c": {"foreign_keys": {"parent": "p"}}}) as db:
        assert db.schema["c"].column("parent").dtype == "BIGINT"
        (key,) = db.check().foreign_keys
        assert (key.null, key.dangling) == (1, 1)
        assert db.notes == ()


def test_other_frames_speak_arrow() -> None:
    with duckdb.connect() as other:
        relation = other.sql("SELECT range AS i FROM range(5)")
        with connect({"t": relation, "r": pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int8())]), [])}) as db:
            assert db.num_rows("t") == 5
            assert db.num_rows("r") == 0


def test_sql_over_frames_and_chosen_frames() -> None:
    frames = {"a": pa.table({"i": [1, 2]}), "b": pa.table({"j": [3]})}
    with connect(frames, tables={"c": "SELECT i * 10 AS k FROM a, b", "b": None}, keys={"c": "k"}) as db:
        assert db.schema.names == ("c", "b")
        assert db.sql("SELECT k FROM c ORDER BY k")["k"].to_pylist() == [10, 20]


def test_names_that_differ_only_in_case() -> None:
    frames = {"T": pa.table({"id": [1], "ID": [2]})}
    with connect(frames) as db:
        assert db.schema["T"].column_names == ("id", "ID_1")
        assert "ID_1" in db.notes[0]


def test_the_frames_are_not_changed() -> None:
    frame = pd.DataFrame({"a": [1]}, index=pd.Index([5], name="id"))
    before = frame.copy()
    connect({"t": frame}).close()
    pd.testing.assert_frame_equal(frame, before)

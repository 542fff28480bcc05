"""Time of every usual kind is one int64 of microseconds."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from relgraph.data.time import STATIC, UNKNOWN, format_time, time_expression, to_microseconds
from relgraph.errors import SchemaError

MOMENT = 1_577_836_800_123_456  # 2020-01-01 00:00:00.123456 UTC
DAY = 86_400_000_000


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_resolution_mean_the_same_moment(unit: str) -> None:
    values = np.array(["2020-01-01T00:00:00", "1969-12-31T23:59:59"], dtype=f"datetime64[{unit}]")
    assert to_microseconds(values).tolist() == [1_577_836_800_000_000, -1_000_000]
    assert to_microseconds(pd.Series(values)).tolist() == [1_577_836_800_000_000, -1_000_000]


def test_nanoseconds_round_down_also_before_1970() -> None:
    assert to_microseconds(np.array([1_999, -1], dtype="datetime64[ns]")).tolist() == [1, -1]


def test_a_zone_is_taken_into_account() -> None:
    berlin = pd.Series(pd.to_datetime(["2020-01-01 01:00:00"]).tz_localize("Europe/Berlin"))
    assert to_microseconds(berlin).tolist() == [1_577_836_800_000_000]
    aware = dt.datetime(2020, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert int(to_microseconds(aware)) == 1_577_836_800_000_000
    assert int(to_microseconds("2020-01-01T02:00:00+02:00")) == 1_577_836_800_000_000


def test_dates_texts_and_fractions() -> None:
    assert int(to_microseconds(dt.date(1970, 1, 2))) == DAY
    assert int(to_microseconds("2020-01-01 00:00:00.123456")) == MOMENT
    assert to_microseconds(["1970-01-02", None, ""]).tolist() == [DAY, UNKNOWN, UNKNOWN]
    assert int(to_microseconds(1_577_836_800.5)) == 1_577_836_800_500_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2020, 1_577_836_800_000_000),
        (1_577_836_800, 1_577_836_800_000_000),
        (1_577_836_800_123, 1_577_836_800_123_000),
        (MOMENT, MOMENT),
        (MOMENT * 1000 + 999, MOMENT),
        ("2020", 1_577_836_800_000_000),
        ("1577836800", 1_577_836_800_000_000),
        (20200101, 1_577_836_800_000_000),
        ("20200101", 1_577_836_800_000_000),
        (20_201_301, 20_201_301_000_000),  # no day: seconds
        (2_458_849.5, 1_577_836_800_000_000),  # a Julian day
        (20_200_101_000_000, 1_577_836_800_000_000),  # with the time of day
        ("20200101000000", 1_577_836_800_000_000),
        (13_222_310_400_123_456, MOMENT),  # microseconds since 1601
        (20_201_301_000_000, 20_201_301_000_000_000),  # no day: milliseconds
    ],
)
def test_numbers_are_read_by_their_size(value: int | str, expected: int) -> None:
    assert int(to_microseconds(value)) == expected


def test_the_unit_is_that_of_the_whole_column_and_can_be_given() -> None:
    # 5000 alone would be a year; beside a large number it is a second
    assert to_microseconds([5000, 1_577_836_800]).tolist() == [5_000_000_000, 1_577_836_800_000_000]
    assert int(to_microseconds(5, unit="ms")) == 5000
    assert int(to_microseconds(-1, unit="ns")) == -1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1_577_836_800], [UNKNOWN, 1_577_836_800_000_000]),
        ([0.0, 1_577_836_800_000.0, None], [UNKNOWN, 1_577_836_800_000_000, UNKNOWN]),
        (["0", "1577836800"], [UNKNOWN, 1_577_836_800_000_000]),
        (["00000000", "20200101"], [UNKNOWN, 1_577_836_800_000_000]),
        ([0, 20_200_101_000_000], [UNKNOWN, 1_577_836_800_000_000]),
        ([0, 2020], [UNKNOWN, 1_577_836_800_000_000]),
        ([0, 60, 2020], [0, 60_000_000, 2_020_000_000]),  # a clock that starts at 0
        ([-60, 0, 1_577_836_800], [-60_000_000, 0, 1_577_836_800_000_000]),
        ([0], [0]),
    ],
)
def test_a_zero_beside_moments_is_no_time(values: list[Any], expected: list[int]) -> None:
    assert to_microseconds(values).tolist() == expected


def test_years_1_and_9999_fit() -> None:
    assert format_time(int(to_microseconds("0001-01-01"))) == "0001-01-01"
    assert format_time(int(to_microseconds("9999-12-31 23:59:59"))) == "9999-12-31 23:59:59"


def test_missing_and_infinite_times_are_unknown() -> None:
    assert to_microseconds(pd.Series([pd.NaT, pd.Timestamp("1970-01-02")])).tolist() == [UNKNOWN, DAY]
    assert to_microseconds([None, None]).tolist() == [UNKNOWN, UNKNOWN]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 'infinity'::TIMESTAMP AS moment")
        sql = time_expression(connection, "t", "moment", "TIMESTAMP", "t.moment")
        assert connection.execute(f"SELECT {sql} FROM t").fetchall() == [(None,)]


def test_tensors_arrow_and_empty_input() -> None:
    assert to_microseconds(torch.tensor([1_577_836_800])).tolist() == [1_577_836_800_000_000]
    assert int(to_microseconds(torch.tensor(2020))) == 1_577_836_800_000_000
    assert to_microseconds(pa.chunked_array([pa.array(["1970-01-02"])])).tolist() == [DAY]
    assert to_microseconds([]).tolist() == []


@pytest.mark.parametrize("value", ["no date", "2020-13-01", True, dt.time(1)])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(SchemaError):
        to_microseconds(value)


def test_a_text_column_that_is_no_date_names_itself_and_shows_the_value() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 'yesterday' AS moment")
        with pytest.raises(SchemaError, match=r"shop\.moment .*'yesterday' is no date"):
            time_expression(connection, "t", "moment", "VARCHAR", "shop.moment")


def test_format_shows_the_reserved_values() -> None:
    assert [format_time(t) for t in (STATIC, UNKNOWN, 0, MOMENT)] == [
        "always",
        "unknown",
        "1970-01-01",
        "2020-01-01 00:00:00.123456",
    ]


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 1e300])
def test_numbers_that_are_no_time_are_unknown_and_do_not_change_the_unit(bad: float) -> None:
    found = to_microseconds([1e9, bad, 2e9], "s").tolist()
    assert found == [10**15, UNKNOWN, 2 * 10**15]
    if bad != 1e300:  # a finite one counts for the unit
        assert to_microseconds([1e9, bad, 2e9]).tolist() == found


def test_digits_longer_than_any_number() -> None:
    with pytest.raises(SchemaError, match="'1111111111111111111111111' is no date"):
        to_microseconds(["1" * 25, "2020"])

"""Chinook, Northwind and the Formula 1 files as they are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import relgraph
from tests.adapters import chinook

pytestmark = pytest.mark.data


@pytest.mark.parametrize("url", ["{}", "sqlite:///{}", "sqlite+pysqlite:///{}"])
def test_chinook(data_dir: Path, url: str) -> None:
    times = {"Invoice": "InvoiceDate", "Employee": "HireDate"}
    with relgraph.connect(url.format(data_dir / "db" / "chinook.sqlite"), times=times, progress=False) as db:
        assert {name: db.num_rows(name) for name in db.schema.names} == chinook.ROWS
        assert sum(chinook.ROWS.values()) == 15_607
        assert [(table.name, key.name, key.table) for table, key in db.schema.foreign_keys] == [
            ("Album", "ArtistId", "Artist"),
            ("Customer", "SupportRepId", "Employee"),
            ("Employee", "ReportsTo", "Employee"),
            ("Invoice", "CustomerId", "Customer"),
            ("InvoiceLine", "InvoiceId", "Invoice"),
            ("InvoiceLine", "TrackId", "Track"),
            ("PlaylistTrack", "PlaylistId", "Playlist"),
            ("PlaylistTrack", "TrackId", "Track"),
            ("Track", "AlbumId", "Album"),
            ("Track", "MediaTypeId", "MediaType"),
            ("Track", "GenreId", "Genre"),
        ]
        assert db.schema["PlaylistTrack"].primary_key == ("PlaylistId", "TrackId")
        assert db.schema["Invoice"].column("InvoiceDate").dtype == "TIMESTAMP"
        assert db.schema["Track"].column("UnitPrice").dtype == "DOUBLE"
        db.validate_keys()
        report = db.check()
        assert [key.dangling for key in report.foreign_keys] == [0] * 11
        nulls = {f"{key.table}.{key.key}": key.null for key in report.foreign_keys if key.null}
        assert nulls == {"Employee.ReportsTo": 1}
        assert report.tables[5].time_range == ("2021-01-01", "2025-12-22")
        assert db.notes == ()


def test_northwind(data_dir: Path) -> None:
    times = {"Orders": "OrderDate", "Employees": "HireDate"}
    with relgraph.connect(data_dir / "db" / "northwind.sqlite", times=times, progress=False) as db:
        assert len(db.schema) == 13
        assert sum(db.num_rows(name) for name in db.schema.names) == 3310
        assert len(db.schema.foreign_keys) == 13
        assert [name for name in db.schema.names if db.num_rows(name) == 0] == [
            "CustomerCustomerDemo",
            "CustomerDemographics",
        ]
        assert db.schema["Customers"].column("CustomerID").dtype == "VARCHAR"
        assert db.schema["Employees"].column("Photo").dtype == "BLOB"
        assert db.schema["Employees"].column("BirthDate").dtype == "DATE"
        assert db.schema["Orders"].column("ShippedDate").dtype in ("DATE", "TIMESTAMP")
        assert db.sql("SELECT count(*) - count(ShippedDate) AS n FROM Orders")["n"].to_pylist() == [21]
        assert db.num_rows("Order Details") == 2155
        db.validate_keys()
        report = db.check()
        assert [key.dangling for key in report.foreign_keys] == [0] * 13
        nulls = {f"{key.table}.{key.key}": key.null for key in report.foreign_keys if key.null}
        assert nulls == {"Employees.ReportsTo": 1}


def test_formula_1(data_dir: Path) -> None:
    keys = {
        "races": {"primary_key": "raceId", "foreign_keys": {"circuitId": "circuits"}},
        "circuits": "circuitId",
        "drivers": "driverId",
        "results": {"primary_key": "resultId", "foreign_keys": {"raceId": "races", "driverId": "drivers"}},
    }
    tables = {
        "races": "SELECT * EXCLUDE (date, time), date + coalesce(time, TIME '00:00:00') AS date FROM races",
        "circuits": None,
        "drivers": "SELECT * EXCLUDE (number, url) FROM drivers",
        "results": "SELECT results.*, races.date FROM results JOIN races USING (raceId) ORDER BY resultId",
    }
    with relgraph.connect(
        data_dir / "db" / "f1", tables=tables, keys=keys, times={"races": "date", "results": "date"}, progress=False
    ) as db:
        assert db.schema.names == tuple(tables)
        assert db.schema["races"].column("date").dtype == "TIMESTAMP"
        assert db.schema["drivers"].column("dob").dtype == "DATE"
        assert db.schema["results"].column("milliseconds").dtype == "BIGINT"
        assert [key.dangling for key in db.check().foreign_keys] == [0, 0, 0]
        first = db.sql("SELECT min(date) AS d FROM races")["d"].to_pylist()
        assert first == [dt.datetime(1950, 5, 13)]
        assert db.upto("2010-01-01").num_rows("results") < db.num_rows("results")

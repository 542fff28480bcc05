"""More databases of a few rows; see ``schemas_f``."""

from __future__ import annotations

import datetime as dt

import numpy as np

from tests.data.schemas_a import CASES, Case, case
from tests.data.schemas_f import dd, ts

__all__ = ["CASES"]

D = dt.date


@case
def warehouse_dim(_: np.random.Generator) -> Case:
    return Case(
        {
            "dim_date": {
                "date_key": [20220101, 20220102, 20220103, 20220104],
                "full_date": dd(0, 1, 2, 3),
                "month": [1, 1, 1, 1],
                "weekday": ["Sat", "Sun", "Mon", "Tue"],
            },
            "dim_customer": {
                "customer_key": [1, 2, 3],
                "customer_id": ["C-9", "C-7", "C-5"],
                "segment": ["a", "b", "a"],
                "valid_from": dd(0, 0, 1),
                "valid_to": [D(9999, 12, 31)] * 3,
            },
            "dim_product": {
                "product_key": [1, 2, 3, 4],
                "product_name": list("abcd"),
                "unit_price": [1.0, 2.0, 3.0, 4.0],
            },
            "dim_store": {"store_key": [1, 2], "city": ["X", "Y"]},
            "fact_sales": {
                "order_date_key": [20220101, 20220101, 20220102, 20220103, 20220104, 20220104],
                "ship_date_key": [20220102, 20220102, 20220103, 20220104, 20220104, None],
                "customer_key": [1, 2, 3, 1, 2, 2],
                "product_key": [1, 2, 3, 4, 1, 2],
                "store_key": [1, 1, 2, 2, 1, 1],
                "quantity": [1, 2, 1, 3, 1, 2],
                "revenue": [1.0, 4.0, 3.0, 12.0, 1.0, 4.0],
            },
        },
        {
            "dim_date": ("date_key",),
            "dim_customer": ("customer_key",),
            "dim_product": ("product_key",),
            "dim_store": ("store_key",),
        },
        {
            "fact_sales.order_date_key -> dim_date",
            "fact_sales.ship_date_key -> dim_date",
            "fact_sales.customer_key -> dim_customer",
            "fact_sales.product_key -> dim_product",
            "fact_sales.store_key -> dim_store",
        },
        {"dim_date": "full_date", "dim_customer": ("valid_from", "valid_to")},
    )


@case
def german(_: np.random.Generator) -> Case:
    return Case(
        {
            "kunde": {
                "kunden_nr": [1001, 1002, 1003],
                "name": ["a", "b", "c"],
                "geburtsdatum": dd(-9000, -8000, -7000),
                "plz": ["10115", "20095", "80331"],
                "angelegt_am": ts(1, 2, 3),
            },
            "artikel": {"artikel_nr": ["A1", "A2", "A3"], "bezeichnung": ["x", "y", "z"], "preis": [1.0, 2.0, 3.5]},
            "bestellung": {
                "bestell_nr": [1, 2, 3, 4],
                "kunden_nr": [1001, 1001, 1002, 1003],
                "bestelldatum": dd(1, 2, 3, 4),
                "lieferdatum": dd(3, 4, 5, None),
            },
            "bestellposition": {
                "bestell_nr": [1, 1, 2, 3, 4],
                "pos": [1, 2, 1, 1, 1],
                "artikel_nr": ["A1", "A2", "A1", "A3", "A2"],
                "menge": [1, 2, 3, 1, 1],
            },
        },
        {
            "kunde": ("kunden_nr",),
            "artikel": ("artikel_nr",),
            "bestellung": ("bestell_nr",),
            "bestellposition": ("bestell_nr", "artikel_nr"),
        },
        {
            "bestellung.kunden_nr -> kunde",
            "bestellposition.bestell_nr -> bestellung",
            "bestellposition.artikel_nr -> artikel",
        },
        {"kunde": "angelegt_am", "bestellung": "bestelldatum"},
    )


@case
def streaming(_: np.random.Generator) -> Case:
    return Case(
        {
            "users": {
                "uid": [501, 502, 503, 504],
                "country": ["DE", "US", "FR", "DE"],
                "signup_ts": [1640995200, 1641081600, 1641168000, 1641254400],
            },
            "artists": {"artist_uri": ["ar:1", "ar:2", "ar:3"], "name": ["a", "b", "c"]},
            "albums": {
                "album_uri": ["al:1", "al:2", "al:3"],
                "artist_uri": ["ar:1", "ar:2", "ar:2"],
                "release_date": ["2001-01-01", "2010-05-05", "2020-02-02"],
            },
            "tracks": {
                "track_uri": ["t:1", "t:2", "t:3", "t:4"],
                "album_uri": ["al:1", "al:1", "al:2", "al:3"],
                "duration_ms": [200000, 210000, 180000, 240000],
                "track_number": [1, 2, 1, 1],
            },
            "plays": {
                "uid": [501, 501, 502, 503, 504, 501],
                "track_uri": ["t:1", "t:2", "t:1", "t:3", "t:4", "t:1"],
                "played_at": [1641340800000, 1641340900000, 1641427200000, 1641513600000, 1641600000000, 1641686400000],
                "ms_played": [1000, 2000, 3000, 4000, 5000, 6000],
            },
            "playlists": {"playlist_id": [1, 2], "owner_uid": [501, 503], "title": ["p", "q"], "created": ts(1, 2)},
            "playlist_tracks": {
                "playlist_id": [1, 1, 2],
                "position": [1, 2, 1],
                "track_uri": ["t:1", "t:2", "t:3"],
                "added_at": ts(3, 4, 5),
            },
        },
        {
            "users": ("uid",),
            "artists": ("artist_uri",),
            "albums": ("album_uri",),
            "tracks": ("track_uri",),
            "playlists": ("playlist_id",),
            "playlist_tracks": ("playlist_id", "track_uri"),
        },
        {
            "albums.artist_uri -> artists",
            "tracks.album_uri -> albums",
            "plays.uid -> users",
            "plays.track_uri -> tracks",
            "playlists.owner_uid -> users",
            "playlist_tracks.playlist_id -> playlists",
            "playlist_tracks.track_uri -> tracks",
        },
        {
            "users": "signup_ts",
            "albums": "release_date",
            "plays": "played_at",
            "playlists": "created",
            "playlist_tracks": "added_at",
        },
    )


@case
def tickets(_: np.random.Generator) -> Case:
    return Case(
        {
            "team": {"id": [1, 2], "name": ["core", "web"]},
            "staff": {
                "id": [1, 2, 3],
                "full_name": ["a", "b", "c"],
                "team": [1, 1, 2],
                "manager": [None, 1, 1],
                "start_date": dd(0, 1, 2),
                "end_date": dd(None, None, 200),
            },
            "client": {
                "id": [1, 2, 3],
                "company": ["x", "y", "z"],
                "account_manager": [1, 2, 1],
                "created_on": dd(1, 2, 3),
            },
            "ticket": {
                "id": [10, 11, 12, 13],
                "client": [1, 2, 2, 3],
                "opened_by": [1, 2, 2, 3],
                "assigned_to": [1, None, 3, 2],
                "severity": [1, 2, 3, 1],
                "opened": ts(1, 2, 3, 4),
                "resolved": ts(10, 20, None, 40),
                "duplicate_of": [None, 10, None, None],
            },
            "worklog": {
                "ticket": [10, 10, 11, 12, 13],
                "staff": [1, 2, 2, 3, 1],
                "hours": [1.5, 2.0, 1.0, 0.5, 3.0],
                "logged_on": dd(5, 6, 7, 8, 9),
            },
            "sla": {"severity": [1, 2, 3], "hours": [4, 24, 72]},
        },
        {
            "team": ("id",),
            "staff": ("id",),
            "client": ("id",),
            "ticket": ("id",),
            "sla": ("severity",),
            "worklog": ("ticket", "staff"),
        },
        {
            "staff.team -> team",
            "staff.manager -> staff",
            "client.account_manager -> staff",
            "ticket.client -> client",
            "ticket.opened_by -> staff",
            "ticket.assigned_to -> staff",
            "ticket.duplicate_of -> ticket",
            "worklog.ticket -> ticket",
            "worklog.staff -> staff",
            "ticket.severity -> sla",
        },
        {"staff": ("start_date", "end_date"), "client": "created_on", "ticket": "opened", "worklog": "logged_on"},
    )


@case
def iot(_: np.random.Generator) -> Case:
    return Case(
        {
            "sites": {"site_code": ["S1", "S2"], "lat": [1.0, 2.0], "lon": [3.0, 4.0]},
            "devices": {
                "mac": ["aa:bb", "cc:dd", "ee:ff"],
                "site_code": ["S1", "S1", "S2"],
                "firmware": ["1.0", "1.1", "1.0"],
                "installed_at": ts(0, 1, 2),
            },
            "sensors": {
                "sensor_id": [1, 2, 3, 4],
                "device_mac": ["aa:bb", "aa:bb", "cc:dd", "ee:ff"],
                "kind": ["t", "h", "t", "t"],
            },
            "readings": {
                "sensor_id": [1, 1, 2, 3, 4, 4],
                "ts": ts(5, 6, 5, 5, 5, 6),
                "value": [1.0, 1.5, 40.0, 2.0, 3.0, 3.5],
                "quality": [1, 1, 0, 1, 1, 1],
            },
            "alerts": {
                "alert_id": [1, 2],
                "sensor_id": [1, 4],
                "raised": ts(6, 7),
                "cleared": ts(8, None),
                "level": [1, 2],
            },
        },
        {"sites": ("site_code",), "devices": ("mac",), "sensors": ("sensor_id",), "alerts": ("alert_id",)},
        {
            "devices.site_code -> sites",
            "sensors.device_mac -> devices",
            "readings.sensor_id -> sensors",
            "alerts.sensor_id -> sensors",
        },
        {"devices": "installed_at", "readings": "ts", "alerts": "raised"},
    )

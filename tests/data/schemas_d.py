"""Databases that the rules were tried on only after they stood; see ``schemas_a``."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np

from tests.data.schemas_a import CASES, Case, case, days, later, moments, pick

__all__ = ["CASES"]


def texts(word: str, count: int) -> list[str]:
    """Different texts with a space."""
    return [f"{word} {i}" for i in range(count)]


@case
def flights13(r: np.random.Generator) -> Case:
    car = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]
    faa = sorted({"".join(r.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 3)) for _ in range(600)} | {"EWR", "JFK", "LGA"})
    tail = [f"N{i}" for i in r.permutation(90000)[:400]]
    n = 5000
    d = days(r, n, "2013-01-01", 365)
    return Case(
        {
            "airlines": {"carrier": car, "name": texts("Air", 16)},
            "airports": {
                "faa": faa,
                "name": texts("Field", len(faa)),
                "lat": r.normal(40, 9, len(faa)),
                "lon": r.normal(-90, 9, len(faa)),
                "alt": r.integers(0, 9000, len(faa)),
                "tz": r.integers(-10, -4, len(faa)),
            },
            "planes": {
                "tailnum": tail,
                "year": r.integers(1960, 2013, 400),
                "type": ["Fixed wing"] * 400,
                "manufacturer": r.choice(["BOEING", "AIRBUS"], 400),
                "engines": r.integers(1, 5, 400),
                "seats": r.integers(2, 400, 400),
            },
            "flights": {
                "year": [2013] * n,
                "month": [x.month for x in d],
                "day": [x.day for x in d],
                "dep_time": r.integers(1, 2400, n),
                "sched_dep_time": r.integers(1, 2400, n),
                "dep_delay": r.normal(10, 30, n).round(),
                "carrier": pick(r, car, n),
                "flight": r.integers(1, 8000, n),
                "tailnum": pick(r, tail, n),
                "origin": r.choice(["EWR", "JFK", "LGA"], n),
                "dest": r.choice(faa[:100], n),
                "air_time": r.integers(20, 600, n),
                "distance": r.integers(80, 4900, n),
                "time_hour": [dt.datetime(x.year, x.month, x.day, 5) for x in d],
            },
            "weather": {
                "origin": r.choice(["EWR", "JFK", "LGA"], 3000),
                "year": [2013] * 3000,
                "month": r.integers(1, 13, 3000),
                "day": r.integers(1, 29, 3000),
                "hour": r.integers(0, 24, 3000),
                "temp": r.normal(50, 20, 3000),
                "time_hour": moments(r, 3000, "2013-01-01", 364),
            },
        },
        {"airlines": ("carrier",), "airports": ("faa",), "planes": ("tailnum",)},
        {
            "flights.carrier -> airlines",
            "flights.tailnum -> planes",
            "flights.origin -> airports",
            "flights.dest -> airports",
            "weather.origin -> airports",
        },
        {"flights": "time_hour", "weather": "time_hour", "planes": "year"},
    )


@case
def gtfs(r: np.random.Generator) -> Case:
    stops = [f"S{i}" for i in range(1, 301)]
    routes = [f"R{i}" for i in range(1, 31)]
    trips = [f"T{i}" for i in r.permutation(9000)[:500]]
    st = [(t, i) for t in trips for i in range(1, 9)]
    return Case(
        {
            "agency": {"agency_id": ["A1", "A2"], "agency_name": ["x", "y"], "agency_url": ["u1", "u2"]},
            "stops": {
                "stop_id": stops,
                "stop_name": texts("Stop", 300),
                "stop_lat": r.normal(48, 1, 300),
                "stop_lon": r.normal(2, 1, 300),
                "parent_station": [None if i % 3 else stops[(i // 10) * 3] for i in range(300)],
            },
            "routes": {
                "route_id": routes,
                "agency_id": r.choice(["A1", "A2"], 30),
                "route_short_name": [str(i) for i in range(30)],
                "route_type": r.integers(0, 4, 30),
            },
            "calendar": {
                "service_id": ["WK", "WE", "HOL"],
                "monday": [1, 0, 0],
                "sunday": [0, 1, 1],
                "start_date": [20240101] * 3,
                "end_date": [20241231] * 3,
            },
            "calendar_dates": {
                "service_id": r.choice(["WK", "WE"], 40),
                "date": [int(d.strftime("%Y%m%d")) for d in days(r, 40, "2024-01-01", 360)],
                "exception_type": r.integers(1, 3, 40),
            },
            "trips": {
                "route_id": pick(r, routes, 500),
                "service_id": pick(r, ["WK", "WE", "HOL"], 500),
                "trip_id": trips,
                "direction_id": r.integers(0, 2, 500),
                "shape_id": r.integers(1, 40, 500),
            },
            "stop_times": {
                "trip_id": [t for t, _ in st],
                "arrival_time": ["25:10:00"] * len(st),
                "departure_time": ["08:10:00"] * len(st),
                "stop_id": pick(r, stops, len(st)),
                "stop_sequence": [i for _, i in st],
            },
            "shapes": {
                "shape_id": np.repeat(np.arange(1, 41), 5),
                "shape_pt_lat": r.normal(48, 1, 200),
                "shape_pt_lon": r.normal(2, 1, 200),
                "shape_pt_sequence": np.tile(np.arange(1, 6), 40),
            },
        },
        {
            "agency": ("agency_id",),
            "stops": ("stop_id",),
            "routes": ("route_id",),
            "calendar": ("service_id",),
            "trips": ("trip_id",),
            "stop_times": ("trip_id", "stop_sequence"),
            "shapes": ("shape_id", "shape_pt_sequence"),
        },
        {
            "routes.agency_id -> agency",
            "stops.parent_station -> stops",
            "calendar_dates.service_id -> calendar",
            "trips.route_id -> routes",
            "trips.service_id -> calendar",
            "stop_times.trip_id -> trips",
            "stop_times.stop_id -> stops",
        },
        {"calendar_dates": "date"},
    )


@case
def synthea(r: np.random.Generator) -> Case:

    def ids(n: int) -> list[str]:
        return [str(uuid.UUID(bytes=r.bytes(16))) for _ in range(n)]

    p, o, pr, pay, e = ids(120), ids(30), ids(60), ids(8), ids(900)
    s = moments(r, 900, "2009-01-01", 4000)
    c = moments(r, 400, "2009-01-01", 4000)
    return Case(
        {
            "patients": {
                "Id": p,
                "BIRTHDATE": days(r, 120, "1930-01-01", 20000),
                "DEATHDATE": [None] * 100 + days(r, 20, "2015-01-01", 900),
                "SSN": [f"999-{i:06}" for i in range(120)],
                "MARITAL": r.choice(["M", "S"], 120),
                "CITY": r.choice(["Boston", "Salem"], 120),
            },
            "organizations": {
                "Id": o,
                "NAME": texts("Org", 30),
                "CITY": r.choice(["Boston", "Salem"], 30),
                "REVENUE": r.normal(9, 1, 30),
            },
            "providers": {"Id": pr, "ORGANIZATION": pick(r, o, 60), "NAME": texts("Dr", 60), "SPECIALITY": ["GP"] * 60},
            "payers": {"Id": pay, "NAME": texts("Pay", 8)},
            "encounters": {
                "Id": e,
                "START": s,
                "STOP": later(s, r, 2),
                "PATIENT": pick(r, p, 900),
                "ORGANIZATION": pick(r, o, 900),
                "PROVIDER": pick(r, pr, 900),
                "PAYER": pick(r, pay, 900),
                "ENCOUNTERCLASS": r.choice(["wellness", "urgent"], 900),
                "CODE": r.choice([185345009, 162673000], 900),
                "BASE_ENCOUNTER_COST": [129.16] * 900,
            },
            "conditions": {
                "START": c,
                "STOP": [None if i % 2 else t for i, t in enumerate(later(c, r, 90))],
                "PATIENT": pick(r, p, 400),
                "ENCOUNTER": r.choice(e, 400),
                "CODE": r.choice([444814009, 195662009, 10509002], 400),
                "DESCRIPTION": r.choice(["Viral sinusitis", "Bronchitis"], 400),
            },
            "observations": {
                "DATE": moments(r, 2000, "2009-01-01", 4000),
                "PATIENT": pick(r, p, 2000),
                "ENCOUNTER": r.choice(e, 2000),
                "CODE": r.choice(["8302-2", "72514-3"], 2000),
                "VALUE": [str(x) for x in r.integers(0, 200, 2000)],
                "UNITS": r.choice(["cm", "kg"], 2000),
            },
        },
        dict.fromkeys(("patients", "organizations", "providers", "payers", "encounters"), ("Id",)),
        {
            "providers.ORGANIZATION -> organizations",
            "encounters.PATIENT -> patients",
            "encounters.ORGANIZATION -> organizations",
            "encounters.PROVIDER -> providers",
            "encounters.PAYER -> payers",
            "conditions.PATIENT -> patients",
            "conditions.ENCOUNTER -> encounters",
            "observations.PATIENT -> patients",
            "observations.ENCOUNTER -> encounters",
        },
        {"encounters": ("START", "STOP"), "conditions": ("START", "STOP"), "observations": "DATE"},
    )


@case
def lahman(r: np.random.Generator) -> Case:
    pl = [f"plyr{i:03}01" for i in range(300)]
    tm = ["NYA", "BOS", "CHN", "SLN", "LAN"]
    fr = ["NYY", "BOS", "CHC", "STL", "LAD"]
    who, when = r.integers(0, 300, 1500).tolist(), r.integers(1950, 2015, 1500).tolist()
    bat = sorted({(pl[a], y) for a, y in zip(who, when, strict=True)})
    ty = [(y, t) for y in range(1950, 2015) for t in tm]
    return Case(
        {
            "People": {
                "playerID": pl,
                "birthYear": r.integers(1920, 1995, 300),
                "nameFirst": r.choice(["Al", "Bo"], 300),
                "debut": days(r, 300, "1950-04-01", 20000),
                "finalGame": days(r, 300, "1980-04-01", 9000),
                "retroID": [f"r{i:04}" for i in r.permutation(9999)[:300]],
            },
            "Batting": {
                "playerID": [a for a, _ in bat],
                "yearID": [y for _, y in bat],
                "stint": [1] * len(bat),
                "teamID": r.choice(tm, len(bat)),
                "lgID": r.choice(["AL", "NL"], len(bat)),
                "G": r.integers(1, 163, len(bat)),
                "AB": r.integers(0, 700, len(bat)),
            },
            "Teams": {
                "yearID": [y for y, _ in ty],
                "lgID": r.choice(["AL", "NL"], len(ty)),
                "teamID": [t for _, t in ty],
                "franchID": [fr[tm.index(t)] for _, t in ty],
                "W": r.integers(40, 116, len(ty)),
            },
            "TeamsFranchises": {"franchID": fr, "franchName": texts("F", 5), "active": ["Y"] * 5},
            "Salaries": {
                "yearID": [y for _, y in bat[:500]],
                "teamID": r.choice(tm, 500),
                "lgID": r.choice(["AL", "NL"], 500),
                "playerID": [a for a, _ in bat[:500]],
                "salary": r.integers(60000, 9e6, 500),
            },
        },
        {
            "People": ("playerID",),
            "TeamsFranchises": ("franchID",),
            "Batting": ("playerID", "yearID"),
            "Teams": ("yearID", "teamID"),
            "Salaries": ("yearID", "playerID"),
        },
        {"Batting.playerID -> People", "Salaries.playerID -> People", "Teams.franchID -> TeamsFranchises"},
        {"People": "debut", "Batting": "yearID", "Teams": "yearID", "Salaries": "yearID"},
        {"Batting.yearID+teamID -> Teams", "Salaries.yearID+teamID -> Teams"},  # true too
    )

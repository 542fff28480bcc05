"""The Formula 1 database of RelBench (rel-f1) and its four tasks, rebuilt from the nine Ergast CSV files.

Robinson et al. 2024, *RelBench* (arXiv 2407.20060). The whole recipe is the mapping below: SQL per table over the
files, keys, times.
"""

from __future__ import annotations

from pathlib import Path

import relgraph
from relgraph.data.database import Database
from relgraph.tasks import EntityTask, LinkTask

__all__ = [
    "QUALIFIERS",
    "TEST_TIME",
    "VAL_TIME",
    "connect",
    "driver_circuit_compete",
    "driver_dnf",
    "driver_position",
    "driver_top3",
]

VAL_TIME, TEST_TIME = "2005-01-01", "2010-01-01"

_RACES = """
    SELECT raceId, year, round, circuitId, name, date + coalesce(time, TIME '00:00:00') AS date,
           coalesce(time, TIME '00:00:00') AS time
    FROM races"""
_DATED = "SELECT t.* EXCLUDE ({drop}), r.date{shift} AS date FROM {table} t LEFT JOIN ({races}) r USING (raceId)"


def _dated(table: str, drop: str, shift: str = "") -> str:
    """A table with the date of its race."""
    return _DATED.format(table=table, drop=drop, shift=shift, races=_RACES)


TABLES = {
    "races": _RACES,
    "circuits": "SELECT * EXCLUDE (url) FROM circuits",
    "drivers": "SELECT * EXCLUDE (number, url) FROM drivers",
    "results": _dated("results", "positionText, time, fastestLapTime, fastestLapSpeed"),
    "standings": _dated("driver_standings", "positionText"),
    "constructors": "SELECT * EXCLUDE (url) FROM constructors",
    "constructor_results": _dated("constructor_results", "status"),
    "constructor_standings": _dated("constructor_standings", "positionText"),
    "qualifying": _dated("qualifying", "q1, q2, q3", " - INTERVAL '1 day'"),
}
_RACE, _DRIVER, _CONSTRUCTOR = {"raceId": "races"}, {"driverId": "drivers"}, {"constructorId": "constructors"}
KEYS = {
    "races": {"primary_key": "raceId", "foreign_keys": {"circuitId": "circuits"}},
    "circuits": "circuitId",
    "drivers": "driverId",
    "constructors": "constructorId",
    "results": {"primary_key": "resultId", "foreign_keys": {**_RACE, **_DRIVER, **_CONSTRUCTOR}},
    "standings": {"primary_key": "driverStandingsId", "foreign_keys": {**_RACE, **_DRIVER}},
    "constructor_results": {"primary_key": "constructorResultsId", "foreign_keys": {**_RACE, **_CONSTRUCTOR}},
    "constructor_standings": {"primary_key": "constructorStandingsId", "foreign_keys": {**_RACE, **_CONSTRUCTOR}},
    "qualifying": {"primary_key": "qualifyId", "foreign_keys": {**_RACE, **_DRIVER, **_CONSTRUCTOR}},
}
# a small HyperFormer that learns constructor and status of a result from race and driver, in a CPU minute;
# the smoothing keeps entities that are never an answer apart, which the softmax would push in one direction
QUALIFIERS = {
    "scorer": {"dim": 32, "layers": 1, "hidden": 64, "experts": 0, "neighbors": 0}
    | {"input_dropout": 0.1, "entity_dropout": 0.1},
    "fit": {
        "positions": ("qualifier",),
        "loss": "ce",
        "label_smoothing": 0.9,
        "epochs": 2,
        "batch_size": 256,
        "lr": 2e-3,
    },
}
TIMES = dict.fromkeys(
    ["races", "results", "standings", "constructor_results", "constructor_standings", "qualifying"], "date"
)

# every driver of the label window is a seed: the seeds themselves come from the future, as upstream documents
_LABELS = """
    SELECT t.timestamp, s.driverId, {label} AS label
    FROM timestamps t JOIN {source} s ON s.date > t.timestamp AND s.date <= t.timestamp + {{horizon}}
    WHERE EXISTS (SELECT 1 FROM {source} a WHERE a.driverId = s.driverId AND a.date > t.timestamp - INTERVAL '1 year')
    GROUP BY t.timestamp, s.driverId"""

_CIRCUITS = """
    SELECT DISTINCT t.timestamp, s.driverId, r.circuitId
    FROM timestamps t JOIN results s ON s.date > t.timestamp AND s.date <= t.timestamp + {horizon}
    JOIN races r ON r.raceId = s.raceId
    WHERE EXISTS (SELECT 1 FROM results a WHERE a.driverId = s.driverId AND a.date > t.timestamp - INTERVAL '1 year')"""


def connect(folder: str | Path, progress: bool = True) -> Database:
    r"""The database from a folder with the nine CSV files; ``\N`` is NULL."""
    return relgraph.connect(folder, tables=TABLES, keys=KEYS, times=TIMES, progress=progress)


def driver_position(regime: str = "frozen") -> EntityTask:
    """Mean finishing position over the next 60 days."""
    sql = _LABELS.format(source="results", label="mean(s.positionOrder)")
    return _task(sql, "60 days", "regression", regime)


def driver_dnf(regime: str = "frozen") -> EntityTask:
    """Whether a driver fails to finish a race (any status but 1) in the next 30 days."""
    sql = _LABELS.format(source="results", label="max(CASE WHEN s.statusId != 1 THEN 1 ELSE 0 END)")
    return _task(sql, "30 days", "binary", regime)


def driver_top3(regime: str = "frozen") -> EntityTask:
    """Whether a driver qualifies among the first three in the next 30 days."""
    sql = _LABELS.format(source="qualifying", label="CASE WHEN min(s.position) <= 3 THEN 1 ELSE 0 END")
    return _task(sql, "30 days", "binary", regime)


def driver_circuit_compete(regime: str = "frozen") -> LinkTask:
    """The circuits that a driver will race at in the next 365 days; MAP@10."""
    times = {"val_time": VAL_TIME, "test_time": TEST_TIME}
    return LinkTask("drivers", "circuits", _CIRCUITS, "365 days", k=10, regime=regime, **times)


def _task(sql: str, horizon: str, kind: str, regime: str) -> EntityTask:
    return EntityTask(
        "drivers", sql, horizon, kind, val_time=VAL_TIME, test_time=TEST_TIME, num_eval_times=40, regime=regime
    )

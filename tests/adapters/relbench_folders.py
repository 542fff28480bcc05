"""RelBench folders for tests, and RelBench itself to read them, where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from relgraph.data.database import Database

CHURN = """
SELECT t.timestamp AS asked_at, p.person_id,
       CAST(NOT EXISTS (SELECT 1 FROM sale s WHERE s.buyer = p.person_id
            AND s.at > t.timestamp AND s.at <= t.timestamp + INTERVAL '{timedelta}') AS INTEGER) AS churned
FROM timestamps t CROSS JOIN person p
"""


def relbench(module: str = "load") -> Any:
    """A module of RelBench 3; skips the test where it is not installed."""
    return pytest.importorskip(f"relbench.{module}", reason="relbench 3 is not installed; it is only compared with")


def loaded(folder: Path) -> Any:
    """The folder as RelBench's own loader reads it."""
    load = relbench()
    if importlib.util.find_spec("huggingface_hub") is not None:
        return load.load_dataset(folder)
    with mock.patch.object(load, "_in_hf_cache", return_value=False):  # asks the hub's package where its cache is
        return load.load_dataset(folder)


def day(number: float) -> pd.Timestamp:
    return (pd.Timestamp("2020-01-01") + pd.Timedelta(days=number)).round("s")


def frames(unit: str = "ns") -> dict[str, pd.DataFrame]:
    """Ten people who join over time, and 200 sales, of which some have no buyer; sorted by time, NaT last."""
    rng = np.random.default_rng(3)
    joined = [day(i * 12) for i in range(9)] + [pd.NaT]
    at = sorted(rng.uniform(0, 120, 197).round(3))
    person = pd.DataFrame(
        {"person_id": range(10), "joined": pd.Series(joined).astype(f"datetime64[{unit}]"), "town": list("abcabcabca")}
    )
    sale = pd.DataFrame(
        {
            "sale_id": range(200),
            "buyer": pd.array([None if i % 20 == 7 else int(rng.integers(0, 10)) for i in range(200)], dtype="Int64"),
            "at": pd.Series([*(day(d) for d in at), pd.NaT, pd.NaT, pd.NaT]).astype(f"datetime64[{unit}]"),
            "price": [None if i % 11 == 0 else round(float(rng.normal(10, 2)), 2) for i in range(200)],
        }
    )
    return {"person": person, "sale": sale}


TABLES: dict[str, Any] = {
    "person": {"pkey": "person_id", "time_col": "joined", "fkeys": {}},
    "sale": {"pkey": "sale_id", "time_col": "at", "fkeys": {"buyer": "person"}},
}


def churn(**changes: Any) -> dict[str, Any]:
    """The manifest of a task."""
    spec = {
        "name": "churn",
        "kind": "forecast",
        "task_type": "binary_classification",
        "entity_table": "person",
        "entity_col": "person_id",
        "target_col": "churned",
        "time_col": "asked_at",
        "timedelta": "10 days",
        "num_eval_timestamps": 2,
        "sql": CHURN,
        "manifest_version": 1,
        **changes,
    }
    return {name: value for name, value in spec.items() if value is not None}


def write_folder(
    folder: Path,
    tables: Mapping[str, Any] | None = None,
    data: Mapping[str, pd.DataFrame] | None = None,
    tasks: Mapping[str, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """A folder written by hand."""
    (folder / "db").mkdir(parents=True)
    for name, frame in (frames() if data is None else data).items():
        frame.to_parquet(folder / "db" / f"{name}.parquet", index=False)
    manifest = {"name": "rel-shop", "manifest_version": 1, "val_timestamp": "2020-03-01"}
    manifest |= {"test_timestamp": "2020-03-31", "tables": TABLES if tables is None else tables, **changes}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    for name, task in (tasks or {}).items():
        (folder / "tasks" / name).mkdir(parents=True)
        (folder / "tasks" / name / "manifest.yaml").write_text(yaml.safe_dump(dict(task), sort_keys=False))
    return folder


def numbers(folder: Path, db: Database, table: str) -> np.ndarray:
    """Under which number each row of a database stands in a folder that was written from it."""
    file = folder / "keys" / f"{table}.parquet"
    if not file.exists():
        return np.arange(db.num_rows(table))
    keys = pq.read_table(file)
    return keys["__key"].to_numpy()[np.argsort(keys["__row"].to_numpy())]


def rows(db: Database, table: str) -> list[tuple[Any, ...]]:
    found = db.sql(f'SELECT * EXCLUDE ("__row") FROM ({db.numbered(table)}) ORDER BY "__row"')
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

"""Predictions as tables and files: every format gives the same rows, and nothing is ever overwritten or half there."""

from __future__ import annotations

import csv
import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
import torch

from relgraph.errors import AdapterError, SchemaError
from relgraph.training import write_predictions
from relgraph.training.predictions import prediction_table

TIME = torch.tensor([1_704_067_200_000_000, 1_704_067_200_500_000])


def keys() -> pyarrow.Table:
    return pyarrow.table({"hall": ["a", "b'"], "slot": [1, 2**40]})


def table() -> pyarrow.Table:
    return prediction_table("binary", keys(), TIME, torch.tensor([0.25, 0.5]), torch.tensor([0.0, 1.0]).double())


def test_the_columns_of_each_kind() -> None:
    assert table().column_names == ["hall", "slot", "timestamp", "prediction", "label"]
    classes = prediction_table("multiclass", keys(), None, torch.tensor([[0.2, 0.8], [0.75, 0.25]]))
    assert classes.column_names == ["hall", "slot", "prediction", "probability_0", "probability_1"]
    assert classes["prediction"].to_pylist() == [1, 0]
    labels = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).double()
    several = prediction_table("multilabel", keys(), None, torch.tensor([[0.2, 0.8], [0.75, 0.25]]), labels)
    assert several.column_names == ["hall", "slot", "probability_0", "probability_1", "label_0", "label_1"]
    assert several["label_0"].to_pylist() == [0.0, 1.0]
    value = prediction_table("regression", keys(), None, torch.tensor([3.5, -1.0]))
    assert value["prediction"].to_pylist() == [3.5, -1.0]


def test_classes_and_labels_are_called_by_their_names() -> None:
    scores = torch.tensor([[0.2, 0.5, 0.3], [0.75, 0.15, 0.1]])
    found = prediction_table("multiclass", keys(), None, scores, torch.tensor([2, 0]), ["web", "shop"])
    assert found.column_names[2:] == [
        "prediction", "probability_web", "probability_shop", "probability_(none)", "label",
    ]  # fmt: skip
    assert found["prediction"].to_pylist() == ["shop", "web"]
    assert found["label"].to_pylist() == [None, "web"]
    whole = prediction_table("multiclass", keys(), None, scores, torch.tensor([2, 0]), ["0", "1", "2"])
    assert whole["prediction"].to_pylist() == [1, 0]
    assert whole["label"].to_pylist() == [2, 0]
    several = prediction_table("multilabel", keys(), None, scores[:, :2], scores[:, :2], ["buys", "writes"])
    assert several.column_names[2:] == ["probability_buys", "probability_writes", "label_buys", "label_writes"]


def test_a_key_called_label_stays_beside_the_label(tmp_path: Path) -> None:
    named = pyarrow.table({"label": ["ann", "bob"]})
    found = prediction_table("binary", named, TIME, torch.tensor([0.25, 0.5]), torch.tensor([0.0, 1.0]).double())
    assert found.column_names == ["key.label", "timestamp", "prediction", "label"]
    write_predictions(found, tmp_path / "out.sqlite")
    assert rows_of(tmp_path / "out.sqlite", "predictions")[0][0] == "ann"


def test_every_format_gives_the_rows_back(tmp_path: Path) -> None:
    rows = table().to_pylist()
    assert pyarrow.parquet.read_table(write_predictions(table(), tmp_path / "p.parquet")).to_pylist() == rows
    found = json.loads(write_predictions(table(), tmp_path / "deep" / "er" / "p.json").read_text())
    assert [row["hall"] for row in found] == ["a", "b'"]
    assert found[1]["timestamp"] == "2024-01-01 00:00:00.500000"
    with write_predictions(table(), tmp_path / "p.CSV").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["hall"], int(line["slot"]), float(line["prediction"])) for line in lines] == [
        ("a", 1, 0.25),
        ("b'", 2**40, 0.5),
    ]
    file = write_predictions(table(), f"{tmp_path}/p.duckdb::odd \"name'; DROP")
    with duckdb.connect(str(file)) as connection:
        found = connection.execute('SELECT * FROM "odd ""name\'; DROP"').fetchall()
    assert found == [tuple(row.values()) for row in rows]
    for suffix in ("sqlite", "db"):
        write_predictions(table(), tmp_path / f"p.{suffix}", 'a "table"')
        with sqlite3.connect(tmp_path / f"p.{suffix}") as lite:
            found = lite.execute('SELECT * FROM "a ""table"""').fetchall()
            kinds = [row[2] for row in lite.execute('PRAGMA table_info("a ""table""")')]
        assert kinds == ["TEXT", "INTEGER", "TIMESTAMP", "REAL", "REAL"]
        assert found[0] == ("a", 1, "2024-01-01 00:00:00", 0.25, 0.0)
        assert datetime.fromisoformat(found[1][2]) == rows[1]["timestamp"]


@pytest.mark.parametrize("suffix", ["duckdb", "sqlite", "db"])
def test_a_table_that_is_there_stays(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out.{suffix}"
    write_predictions(table(), file)
    before = rows_of(file, "predictions")
    for name in ("predictions", "PREDICTIONS"):
        with pytest.raises(SchemaError, match=r"already has a table .* stays as it is; name another"):
            write_predictions(table().slice(0, 1), file, name)
    assert rows_of(file, "predictions") == before
    write_predictions(table().slice(0, 1), file, "second")
    assert rows_of(file, "predictions") == before
    assert len(rows_of(file, "second")) == 1


def rows_of(file: Path, name: str) -> list[Any]:
    if file.suffix == ".duckdb":
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute(f"SELECT * FROM {name}").fetchall()
    with sqlite3.connect(file) as lite:
        return lite.execute(f"SELECT * FROM {name}").fetchall()


def test_the_source_is_never_written(tmp_path: Path) -> None:
    source = tmp_path / "shop.sqlite"
    with sqlite3.connect(source) as lite:
        lite.execute("CREATE TABLE a (x)")
    content = source.read_bytes()
    (tmp_path / "link.sqlite").symlink_to(source)
    for place in (source, tmp_path / "link.sqlite", tmp_path / "." / "shop.sqlite"):
        with pytest.raises(SchemaError, match="belongs to the source"):
            write_predictions(table(), place, source=source)
    with pytest.raises(SchemaError, match="belongs to the source"):
        write_predictions(table(), tmp_path / "p.csv", source=tmp_path)  # a folder of files
    assert source.read_bytes() == content
    write_predictions(table(), tmp_path / "p.csv", source=tmp_path / "gone.sqlite")


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_predictions(table(), tmp_path / f"p.{suffix}")
    before = file.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("relgraph.training.predictions.os.fsync", full)
    with pytest.raises(AdapterError, match="No space left"):
        write_predictions(table().slice(0, 1), file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_failed_table_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(value: Any) -> Any:
        if value == "b'":
            raise sqlite3.OperationalError("disk I/O error")
        return value

    monkeypatch.setattr("relgraph.training.predictions._sqlite_value", broken)
    with pytest.raises(AdapterError, match="disk I/O error"):
        write_predictions(table(), tmp_path / "new.sqlite")
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(tmp_path / "old.sqlite") as lite:
        lite.execute("CREATE TABLE a (x)")
    with pytest.raises(AdapterError, match="disk I/O error"):
        write_predictions(table(), tmp_path / "old.sqlite")
    with sqlite3.connect(tmp_path / "old.sqlite") as lite:
        assert lite.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"ends in \.csv, .*, got .*p\.xlsx"):
        write_predictions(table(), tmp_path / "p.xlsx")
    with pytest.raises(SchemaError, match="has no tables"):
        write_predictions(table(), tmp_path / "p.csv", "name")
    with pytest.raises(SchemaError, match="named twice"):
        write_predictions(table(), f"{tmp_path}/p.duckdb::one", "two")
    with pytest.raises(SchemaError, match="expected a table's name"):
        write_predictions(table(), f"{tmp_path}/p.duckdb::")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(AdapterError, match="it is a folder"):
        write_predictions(table(), tmp_path / "folder.csv")
    (tmp_path / "no.duckdb").write_text("no database")
    (tmp_path / "no.sqlite").write_text("no database, and long enough to be looked at" * 9)
    for name in ("no.duckdb", "no.sqlite"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(AdapterError, match="cannot write"):
            write_predictions(table(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == before

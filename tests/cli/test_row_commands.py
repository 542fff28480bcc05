"""Train, evaluate and predict on rows of a table."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from pathlib import Path

import pyarrow.parquet
import pytest
import torch

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import AdapterError
from relgraph.training.predictor import EntityPredictor
from tests.cli.tools import TASK, document, run


def test_evaluate(churn: Path, shop: Path) -> None:
    predictor = EntityPredictor.load(churn / "model", HeteroGraph.load(churn / "graph"))
    found = document("evaluate", churn, "-q")
    with relgraph.connect(shop / "shop.sqlite", times=SHOP_TIMES, progress=False) as db:
        expected = predictor.evaluate(db, "test", progress=False)
        assert found["metrics"] == {name: expected[name] for name in ("auroc", "average_precision", "accuracy")}
        assert found["rows"] == expected["rows"]
        seeds = predictor.task.seeds(db, "test")
    assert document("evaluate", churn, "--split", "valid", "-q")["split"] == "val"
    assert "has no split 'train'" in run("evaluate", churn, "--split", "train", code=1).stderr
    assert "auroc" in run("evaluate", churn).stdout
    rows = document("predict", churn, "-q")["predictions"]
    assert [row["customer_id"] for row in rows] == seeds.keys["customer_id"].to_pylist()
    assert [row["label"] for row in rows] == seeds.label.tolist()
    scores = predictor.scores(seeds.node, seeds.time)
    assert torch.tensor([row["prediction"] for row in rows]) == pytest.approx(scores)


def test_predictions_in_every_format(churn: Path, tmp_path: Path) -> None:
    rows = document("predict", churn, "-q")["predictions"]
    for suffix in ("csv", "json", "parquet"):
        file = tmp_path / "deep" / f"p.{suffix}"
        result = run("predict", churn, "-o", file)
        assert result.stdout == ""
        assert f"{len(rows)} predictions in {file}" in result.stderr
        assert document("predict", churn, "-o", file, "-q")["file"] == str(file)
    folder = tmp_path / "deep"
    assert json.loads((folder / "p.json").read_text()) == rows
    table = pyarrow.parquet.read_table(folder / "p.parquet").to_pylist()
    assert [row["prediction"] for row in table] == [row["prediction"] for row in rows]
    with (folder / "p.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["customer_id"]) for line in lines] == [row["customer_id"] for row in rows]
    assert [float(line["prediction"]) for line in lines] == pytest.approx([row["prediction"] for row in rows])
    run("predict", churn, "-o", tmp_path / "p.xlsx", code=2)
    (tmp_path / "file").write_text("")
    assert "cannot write" in run("predict", churn, "-o", tmp_path / "file" / "p.csv", code=1).stderr


def test_at_a_moment(churn: Path, shop: Path) -> None:
    with sqlite3.connect(shop / "shop.sqlite") as connection:
        query = "SELECT customer_id FROM customer WHERE joined <= '2024-03-01' ORDER BY rowid"
        expected = [row[0] for row in connection.execute(query)]
    rows = document("predict", churn, "--time", "2024-03-01", "-q")["predictions"]
    assert [row["customer_id"] for row in rows] == expected
    some = ["--key", str(expected[3]), "--key", str(expected[0])]
    two = document("predict", churn, "--time", "2024-03-01", *some, "-q")["predictions"]
    assert [row["customer_id"] for row in two] == [expected[3], expected[0]]
    assert {row["timestamp"] for row in two} == {"2024-03-01 00:00:00"}
    newer = document("predict", churn, "--time", "2024-03-01", *some, "--graph", churn / "graph", "-q")
    assert newer["predictions"] == two
    shown = run("predict", churn, "--time", "2024-03-01").stdout
    assert re.search(rf"^ +{expected[0]} +2024-03-01", shown, re.MULTILINE)


def test_refuses(churn: Path) -> None:
    run("predict", churn, "--head", "x", code=2)
    run("predict", churn, "--key", "1", code=2)
    assert "whole numbers" in run("predict", churn, "--time", "2024-03-01", "--key", "x", code=2).stderr
    assert "there is no row" in run("predict", churn, "--time", "2024-03-01", "--key", "1", code=1).stderr


def test_a_damaged_predictor_says_so(churn: Path, tmp_path: Path) -> None:
    graph = HeteroGraph.load(churn / "graph")
    shutil.copytree(churn / "model", tmp_path / "model")
    pointer = tmp_path / "model" / "entity_predictor.json"
    content = json.loads(pointer.read_text())
    message = r"model is damaged: entity_predictor\.json .* save the predictor again"
    mistyped = [{**content["meta"], name: 5} for name in ("task", "num_neighbors", "scale", "statistics", "settings")]
    missing = [{n: v for n, v in content["meta"].items() if n != name} for name in content["meta"]]
    for meta in mistyped + missing:
        pointer.write_text(json.dumps({**content, "meta": meta}))
        with pytest.raises(AdapterError, match=message):
            EntityPredictor.load(tmp_path / "model", graph)


def test_bad_tasks(shop: Path, tmp_path: Path) -> None:
    def attempt(text: str, source: Path = shop / "shop.sqlite") -> str:
        (tmp_path / "task.toml").write_text(text)
        words = ["train", source, "-o", tmp_path / "run", "--task", tmp_path / "task.toml", "-q"]
        return run(*words, "--keys", shop / "shop.toml", code=1).stderr

    assert "lacks sql, horizon and has the unknown horizn" in attempt('entity_table="a"\nkind="binary"\nhorizn="1 day"')
    assert "kind: expected one of" in attempt(TASK.replace("binary", "ternary"))
    assert "lacks 'label'" in attempt(TASK.replace("AS label", "AS lable"))
    run("convert", shop / "shop.sqlite", "-o", tmp_path / "graph", "-q")
    assert "--task needs a database" in attempt(TASK, tmp_path / "graph")

"""Train, evaluate and predict on rows of a table."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest
import torch

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import AdapterError
from relgraph.training.predictor import EntityPredictor
from tests.cli.tools import TASK, document, run


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.fixture
def later(shop: Path, tmp_path: Path) -> Path:
    """The shop with a new customer who has ordered once."""
    source = tmp_path / "later.sqlite"
    shutil.copy(shop / "shop.sqlite", source)
    with sqlite3.connect(source) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(customer)")]
        old = dict(zip(columns, connection.execute("SELECT * FROM customer LIMIT 1").fetchone(), strict=True))
        old |= {"customer_id": 424242, "joined": "2024-05-01"}
        connection.execute(f"INSERT INTO customer VALUES ({', '.join('?' for _ in old)})", list(old.values()))
        order = connection.execute("SELECT * FROM orders LIMIT 1").fetchone()
        columns = [row[1] for row in connection.execute("PRAGMA table_info(orders)")]
        new = dict(zip(columns, order, strict=True)) | {"order_id": 999_999, "customer_id": 424242}
        new["ordered_at"] = "2024-12-30"
        connection.execute(f"INSERT INTO orders VALUES ({', '.join('?' for _ in new)})", list(new.values()))
    return source


@pytest.mark.slow
def test_on_the_source_as_it_is_now(churn: Path, later: Path, tmp_path: Path) -> None:
    asked = ["--time", "2024-06-01", "-q"]
    before = {row["customer_id"]: row["prediction"] for row in document("predict", churn, *asked)["predictions"]}
    rows = document("predict", churn, "--source", later, *asked)["predictions"]
    now = {row["customer_id"]: row["prediction"] for row in rows}
    assert set(now) == {*before, 424242}
    assert {key: now[key] for key in before} == pytest.approx(before, abs=1e-6)
    result = run("predict", churn, "--source", later, "-o", f"{tmp_path / 'out.duckdb'}::churn_today", "-q")
    last = re.search(r"predicting at (\S+).*the last moment in the data; --time names another", result.stderr)
    assert last is not None
    with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT customer_id, timestamp FROM churn_today ORDER BY 1 DESC").fetchall()
    assert found[0][0] == 424242
    assert str(found[0][1]).startswith(last[1])
    again = ["predict", churn, "--source", later, "-q", "-o", tmp_path / "out.duckdb", "--table", "churn_today"]
    assert "already has a table 'churn_today'" in run(*again, code=1).stderr
    run("predict", churn, "-o", tmp_path / "out.sqlite", "-q")
    with sqlite3.connect(tmp_path / "out.sqlite") as lite:
        assert len(lite.execute("SELECT * FROM predictions").fetchall()) == len(
            document("predict", churn)["predictions"]
        )
    content = later.read_bytes()
    for source in (later, f"sqlite:///{later}"):
        into = ["predict", churn, "--source", source, "-o", f"{later}::predictions", "-q"]
        assert "belongs to the source" in run(*into, code=1).stderr
    assert later.read_bytes() == content
    run("predict", churn, "--source", later, "--graph", churn / "graph", code=2)
    run("predict", churn, "--table", "x", code=2)
    run("predict", churn, "-o", tmp_path / "p.csv", "--table", "x", code=2)


@pytest.mark.slow
def test_a_source_with_another_schema(churn: Path, later: Path) -> None:
    with sqlite3.connect(later) as connection:
        connection.execute("ALTER TABLE product RENAME COLUMN price TO cost")
    message = run("predict", churn, "--source", later, "-q", code=1).stderr
    assert "the schema changed in 1 place" in message
    assert "column product.price" in message
    assert "column product.cost" not in message.split("columns:")[0]
    assert "predictions" not in document("predict", churn, "--source", later, "-q", code=1)


@pytest.mark.slow
def test_explain(churn: Path, later: Path, shop: Path, tmp_path: Path) -> None:
    with sqlite3.connect(shop / "shop.sqlite") as connection:
        key = connection.execute("SELECT customer_id FROM orders WHERE ordered_at < '2024-05-01' LIMIT 1").fetchone()[0]
    asked = ["--key", str(key), "--time", "2024-06-01", "-q"]
    found = document("explain", churn, *asked)
    (row,) = document("predict", churn, *asked)["predictions"]
    assert found["prediction"] == pytest.approx(row["prediction"], abs=1e-5)
    assert (found["table"], found["key"]) == ("customer", key)
    assert {part["table"] for part in found["tables"]} >= {"customer", "orders"}
    assert sum(part["score"] for part in found["rows"]) == pytest.approx(
        found["prediction"] - found["baseline"] - found["gap"]
    )
    text = run("explain", churn, "--source", later, "--key", "424242", "--top", "3", "-q").stdout
    assert text.startswith("customer 424242 at 2024-")
    assert "by being there" in text
    run("explain", churn, *asked, "-o", tmp_path / "why.txt", code=2)
    assert "there is no row" in run("explain", churn, "--key", "1", "--time", "2024-06-01", code=1).stderr


def test_explain_is_for_rows(links: Path) -> None:
    assert "explanations are for predictions about rows" in run("explain", links, "--key", "1", code=1).stderr


@pytest.mark.slow
def test_refuses(churn: Path) -> None:
    run("predict", churn, "--head", "x", code=2)
    run("predict", churn, "--key", "1", code=2)
    assert "whole numbers" in run("predict", churn, "--time", "2024-03-01", "--key", "x", code=2).stderr
    assert "there is no row" in run("predict", churn, "--time", "2024-03-01", "--key", "1", code=1).stderr


@pytest.mark.slow
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


@pytest.mark.slow
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

"""Options of the commands that read a database: schemas, views, snapshot files, two processes at once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import relgraph
from tests.cli.tools import run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, city TEXT)")
        file.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer, at TEXT)")
        file.executemany("INSERT INTO customer VALUES (?, ?)", [(1, "Bonn"), (2, "Ulm")])
        file.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(1, 1, "2024-01-01"), (2, 2, "2024-01-02")])
        file.execute("CREATE VIEW big AS SELECT id FROM orders")
    file.close()
    return path


def test_views_are_read_on_request(shop: Path) -> None:
    without = json.loads(run("inspect", shop, "--json").stdout)
    with_views = json.loads(run("inspect", shop, "--views", "--json").stdout)
    assert {table["table"] for table in without["tables"]} == {"customer", "orders"}
    assert {table["table"] for table in with_views["tables"]} == {"customer", "orders", "big"}


@pytest.mark.slow
def test_schemas_are_chosen(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as file:
        file.execute("CREATE TABLE t (a INTEGER)")
        file.execute("CREATE SCHEMA sales")
        file.execute("CREATE TABLE sales.u (a INTEGER)")
    for options, expected in (((), {"t"}), (("--schema", "sales"), {"sales.u"}), (("--schema", "*"), {"t", "sales.u"})):
        found = json.loads(run("inspect", tmp_path / "a.duckdb", *options, "--json").stdout)
        assert {table["table"] for table in found["tables"]} == expected


@pytest.mark.slow
def test_a_snapshot_is_kept_and_refreshed(shop: Path, tmp_path: Path) -> None:
    kept = ("--snapshot", tmp_path / "x.duckdb", "--times", "orders=at", "--json")
    run("inspect", shop, *kept)
    with sqlite3.connect(shop) as file:
        file.execute("INSERT INTO orders VALUES (3, 1, '2024-02-01')")
    file.close()
    refused = run("inspect", shop, *kept, code=1)
    assert "refresh=True" in refused.stderr or "--refresh" in refused.stderr
    done = run("inspect", shop, *kept, "--refresh")
    assert {t["table"]: t["rows"] for t in json.loads(done.stdout)["tables"]} == {"customer": 2, "orders": 3}
    assert "customer: read again, 2 rows (before: 2), because it has no time column" in done.stderr
    assert "needs --snapshot" in run("inspect", shop, "--refresh", code=2).stderr


def test_two_columns_say_from_when_until_when(shop: Path) -> None:
    with sqlite3.connect(shop) as file:
        file.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, begins TEXT, ends TEXT)")
        file.execute("INSERT INTO job VALUES (1, '2024-01-01', '9999-01-01')")
    file.close()
    found = json.loads(run("inspect", shop, "--times", "job=begins,ends", "--json").stdout)
    job = next(table for table in found["schema"]["tables"] if table["name"] == "job")
    assert (job["time_column"], job["end_column"]) == ("begins", "ends")


@pytest.mark.slow
def test_two_processes_convert_into_one_folder(shop: Path, tmp_path: Path) -> None:
    """Whichever comes last stays, whole; nothing of the other is left."""
    command = [sys.executable, "-m", "relgraph", "convert", str(shop), "-o", str(tmp_path / "graph"), "--quiet"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0], [process.communicate() for process in both]
    for process in both:
        process.communicate()
    assert relgraph.HeteroGraph.load(tmp_path / "graph").num_nodes == 4
    assert sorted(p.suffix for p in (tmp_path / "graph").iterdir()) == [".json", ".safetensors"]


@pytest.mark.slow
def test_what_is_proposed_can_be_written_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "customer.csv").write_text("customer_id,city\n" + "".join(f"{i},c{i % 7}\n" for i in range(1, 41)))
    (folder / "orders.csv").write_text(
        "order_id,customer_id,ordered_at\n" + "".join(f"{i},{i % 40 + 1},2024-01-{i % 28 + 1:02d}\n" for i in range(90))
    )
    text = run("inspect", folder, "--declare", tmp_path / "d.toml", "--html", tmp_path / "page.html").stdout
    assert "proposed foreign keys" in text
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert "orders.customer_id" in page
    found = json.loads(run("inspect", folder, "--keys", tmp_path / "d.toml", "--json").stdout)
    assert [(key["table"], key["key"], key["target"]) for key in found["foreign_keys"]] == [
        ("orders", "customer_id", "customer")
    ]
    assert {t["table"]: t["time_column"] for t in found["tables"]} == {"customer": None, "orders": "ordered_at"}
    assert found["proposals"]["foreign_keys"] == []
    assert json.loads(run("inspect", folder, "--fast", "--json").stdout)["proposals"] is None


def test_text_becomes_vectors_on_request(shop: Path, tmp_path: Path) -> None:
    with sqlite3.connect(shop) as file:
        file.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)")
        file.executemany("INSERT INTO note VALUES (?, ?)", [(i, f"a long remark number {i} here") for i in range(50)])
    file.close()
    run("convert", shop, "-o", tmp_path / "a")
    run("convert", shop, "-o", tmp_path / "b", "--text", "none")
    hashed = relgraph.HeteroGraph.load(tmp_path / "a").nodes["note"].features
    assert hashed is not None
    assert hashed.column("body").shape == (50, 64)
    assert relgraph.HeteroGraph.load(tmp_path / "b").nodes["note"].features is None

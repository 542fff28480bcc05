"""Inspect and convert."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from relgraph.data.graph import HeteroGraph
from tests.cli.tools import document, run


@pytest.mark.slow
def test_inspect(shop: Path) -> None:
    found = document("inspect", shop / "shop.sqlite", "--times", "orders=ordered_at", "-q")
    with sqlite3.connect(shop / "shop.sqlite") as connection:
        rows = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    orders = next(table for table in found["tables"] if table["table"] == "orders")
    assert (orders["rows"], orders["time_column"]) == (rows, "ordered_at")
    assert [table["name"] for table in found["schema"]["tables"]] == [table["table"] for table in found["tables"]]
    text = run("inspect", shop / "shop.sqlite").stdout
    assert f"orders      {rows}" in re.sub(r",(?=\d)", "", text).replace("   ", "  ") or str(rows) in text.replace(
        ",", ""
    )
    assert "order_line.warehouse_id" in text
    assert "no time is declared, but there is one: " in text
    assert "orders (ordered_at)" in text


def test_only_some_tables(shop: Path) -> None:
    found = document("inspect", shop / "shop.sqlite", "--table", "orders", "--table", "customer", "-q")
    assert {table["table"] for table in found["tables"]} == {"orders", "customer"}


@pytest.mark.slow
def test_convert(shop: Path, tmp_path: Path) -> None:
    words = ["convert", shop / "shop.sqlite", "-o", tmp_path / "graph", "--keys", shop / "shop.toml"]
    found = document(*words, "--fit-until", "2024-06-01", "-q")
    graph = HeteroGraph.load(tmp_path / "graph")
    assert (found["num_nodes"], found["num_edges"]) == (graph.num_nodes, graph.num_edges)
    assert found["fit_until"] == "2024-06-01"
    assert graph.nodes["orders"].time is not None
    again = document("inspect", tmp_path / "graph")
    assert again == {name: value for name, value in found.items() if name != "folder"}
    assert run("inspect", tmp_path / "graph").stdout == f"{graph!r}\n"
    result = run(*words)
    assert result.stdout == f"{HeteroGraph.load(tmp_path / 'graph')!r}\n"
    assert result.stderr == f"saved in {tmp_path / 'graph'}\n"


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_declarations_in_a_file(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "part.csv").write_text("x,y,weight\n1,1,5\n1,2,6\n")
    (tmp_path / "data" / "sale.csv").write_text("px,py,day\n1,2,2024-01-02\n1,1,2024-01-03\n")
    declared = {
        "keys": {"part": ["x", "y"], "sold": {"foreign_keys": {"px+py": ["part", ["x", "y"]]}}},
        "times": {"sold": "day"},
        "tables": {"part": "SELECT * FROM part", "sold": "SELECT * FROM sale WHERE py = 2"},
    }
    text = json.dumps(declared)
    if suffix == "toml":
        text = (
            '[keys]\npart = ["x", "y"]\n[keys.sold.foreign_keys]\n"px+py" = ["part", ["x", "y"]]\n'
            '[times]\nsold = "day"\n[tables]\npart = "SELECT * FROM part"\n'
            'sold = "SELECT * FROM sale WHERE py = 2"\n'
        )
    (tmp_path / f"keys.{suffix}").write_text(text)
    found = document("inspect", tmp_path / "data", "--keys", tmp_path / f"keys.{suffix}", "-q")
    assert {table["table"]: table["rows"] for table in found["tables"]} == {"part": 2, "sold": 1}
    (key,) = found["foreign_keys"]
    assert (key["table"], key["key"], key["target"], key["dangling"]) == ("sold", "px+py", "part", 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "x = ", "a.toml is no TOML"),
        ("a.json", "{", "a.json is no JSON"),
        ("a.json", "[]", "expected declarations as a mapping, got a list"),
        ("a.toml", "[kyes]\n", "expected the sections keys, times, tables, each a mapping .* got kyes"),
        ("a.toml", "times = 3\n", "got times"),
        ("a.toml", b"\xff", "is no UTF-8 text"),
        ("a.toml", None, "cannot read .*a.toml: No such file"),
    ],
)
def test_bad_declarations(name: str, content: Any, message: str, shop: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run("inspect", shop / "shop.sqlite", "--keys", tmp_path / name, code=1)
    assert re.search(message, result.stderr)

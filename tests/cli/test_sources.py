"""What the command line names, in words of its own: keys of rows, declarations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer

from relgraph.cli.rows import parse_key
from relgraph.cli.sources import is_statements, open_database, open_statements
from relgraph.data.folder import write_folder
from relgraph.data.graph import HeteroGraph, NodeStore
from relgraph.data.keys import Keys, TextColumn
from relgraph.errors import AdapterError, SchemaError
from relgraph.runs.folder import read_run


def test_a_composite_key_on_the_command_line() -> None:
    keys = Keys(("a", "b"), (torch.tensor([1]), TextColumn.from_strings(["x"])))
    graph = HeteroGraph({"t": NodeStore(1, keys)}, {})
    assert parse_key(graph, "t", '[1, "x"]') == (1, "x")
    for text in ('["x", "x"]', '[null, "x"]', '[1.5, "x"]'):
        with pytest.raises(typer.BadParameter, match="whole numbers"):
            parse_key(graph, "t", text)


def test_a_key_declared_to_refer_to_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,b\n1,1\n")
    declared = tmp_path / "keys.json"
    declared.write_text(json.dumps({"keys": {"a": {"primary_key": "id", "foreign_keys": {"b": ["a", 5]}}}}))
    with pytest.raises(SchemaError, match="expected a table name or"):
        open_database(str(tmp_path / "a.csv"), declared, None, None, progress=False)
    declared.write_text(json.dumps({"keys": {"a": {"primary_key": "id", "foreign_keys": {"b": ["a", "id"]}}}}))
    with open_database(str(tmp_path / "a.csv"), declared, None, None, progress=False) as db:
        assert db.schema["a"].foreign_keys[0].target_columns == ("id",)


@pytest.mark.parametrize(
    "meta", [{}, {"kind": "links"}, {"kind": "other", "splits": []}, {"kind": "rows", "splits": []}]
)
def test_a_damaged_run(tmp_path: Path, meta: dict[str, object]) -> None:
    write_folder(tmp_path, "run", meta, {})
    with pytest.raises(AdapterError, match=r"is damaged: run.json lacks its kind, splits or task; train it again"):
        read_run(tmp_path)


def test_libkge_folders_and_rdf_are_statements(tmp_path: Path) -> None:
    for name in ("train.del", "test.del"):
        (tmp_path / name).write_text("0\t0\t1\n1\t0\t0\n")
    (tmp_path / "entity_ids.del").write_text("0\ta\n1\tb\n")
    (tmp_path / "relation_ids.del").write_text("0\tr\n")
    assert is_statements(str(tmp_path))
    assert is_statements(str(tmp_path / "facts.ttl"))
    assert not is_statements(str(tmp_path / "shop.sqlite"))
    train, valid, test = open_statements(str(tmp_path), "hyper", "auto", 0, {})
    assert (len(train), valid, len(test)) == (2, None, 2)

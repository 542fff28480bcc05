"""What comes after the fit time, or after a cut, changes nothing that a model sees of the rows before it."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import relgraph
from relgraph.data.graph import HeteroGraph

LIMIT = dt.datetime(2020, 6, 1)
MICROS = int((LIMIT - dt.datetime(1970, 1, 1)).total_seconds()) * 1_000_000
KEYS: dict[str, Any] = {
    "owner": "id",
    "case": {"primary_key": "id", "foreign_keys": {"owner": "owner"}},
    "line": {"primary_key": "id", "foreign_keys": {"case": "case"}},
    "note": {"foreign_keys": {"line": "line"}},
}
TIMES: dict[str, Any] = {"case": ("at", "until")}


def early(i: int) -> dict[str, Any]:
    words = " ".join(random.Random(i).choices(["red", "green", "blue", "old"], k=30))
    return {
        "id": i,
        "owner": i % 7,
        "at": LIMIT - dt.timedelta(days=i),
        "until": LIMIT - dt.timedelta(days=i - 3),
        "number": float(i),
        "whole": i % 5,
        "text": f"{words} w{i}",
        "kind": "ab"[i % 2],
        "money": f"${i}.50",
        "moment": f"2020-01-{i % 28 + 1:02d}",
        "tags": ["x|y", "y|z", "x|z|y"][i % 3],
        "vector": [float(i), 1.0, 2.0],
        "written": json.dumps([i, 1.5, 2]),
        "parts": ["p", "q"] if i % 2 else ["q"],
        "flag": None if i % 4 else "yes",
        "constant": "same",
        "code": f"AB-{i:05d}",
        "day": 20200101 + i % 28,
        "listed": '["k", "l"]' if i % 2 else '["l"]',
    }


def late(i: int) -> dict[str, Any]:
    """A row that would make another type, another statistic or another category of every column."""
    later = LIMIT + dt.timedelta(days=i + 1)
    other = {"id": 1000 + i, "at": later, "until": later, "number": 1e9 * i, "whole": 1000 + i, "text": f"future {i}"}
    other |= {"kind": "new", "money": "unknown", "moment": "never", "tags": f"new|x{i}", "vector": [1.0] * 5}
    other |= {"written": "none", "parts": ["new", "p"], "flag": f"no {i}", "constant": f"other {i}", "code": "word"}
    return {**early(i), **other, "day": 5, "listed": '{"a": 1}'}


def tables(*, with_late: bool) -> dict[str, pa.Table]:
    cases = [early(i) for i in range(60)] + [late(i) for i in range(40)]
    random.Random(1).shuffle(cases)
    arrow = pa.Table.from_pylist(cases).schema
    cases = [case for case in cases if with_late or case["at"] <= LIMIT]
    ids = [case["id"] for case in cases]
    return {
        "owner": pa.table({"id": range(7), "level": [float(i % 3) / 4 for i in range(7)]}),
        "case": pa.Table.from_pylist(cases, schema=arrow),
        "line": pa.table({"id": ids, "case": ids, "what": ["future" if i >= 1000 else f"past {i % 2}" for i in ids]}),
        "note": pa.table({"line": ids, "size": [float(i) for i in ids]}),
    }


def connected(where: str, folder: Path, *, with_late: bool) -> relgraph.Database:
    found = tables(with_late=with_late)
    if where == "frames":
        return relgraph.connect(found, keys=KEYS, times=TIMES, progress=False)
    folder.mkdir()
    for name, table in found.items():
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=7)
    return relgraph.connect(folder, keys=KEYS, times=TIMES, progress=False)


def seen(graph: HeteroGraph) -> dict[str, Any]:
    """Types, statistics and the features of the rows up to the limit."""
    found: dict[str, Any] = {}
    for name, store in graph.nodes.items():
        features = store.features
        assert features is not None, name
        time = torch.zeros(store.num_nodes) if store.time is None else store.time
        rows = (time <= MICROS).nonzero().flatten()
        values = {column: features.select(rows).column(column) for column in features.column_names}
        found[name] = {
            "kinds": {kind.value: names for kind, names in features.names.items()},
            "stats": features.stats,
            "left out": graph.report["left_out"][name],
            "values": {
                column: value.nan_to_num(7e7).tolist() if isinstance(value, torch.Tensor) else value.tolist()
                for column, value in values.items()
            },
        }
    return found


@pytest.mark.slow
@pytest.mark.parametrize("where", ["frames", "files"])
def test_rows_after_the_fit_time_change_no_type_statistic_or_feature(where: str, tmp_path: Path) -> None:
    with connected(where, tmp_path / "all", with_late=True) as db:
        found = seen(relgraph.build_graph(db, LIMIT, progress=False))
    with connected(where, tmp_path / "early", with_late=False) as db:
        expected = seen(relgraph.build_graph(db, LIMIT, progress=False))
        assert expected == seen(relgraph.build_graph(db, progress=False))
    kinds = expected["case"]["kinds"]
    assert kinds.keys() == {"numerical", "categorical", "multicategorical", "timestamp", "embedding", "text"}
    assert expected["case"]["left out"] == {"until": "end of validity", "constant": "constant", "code": "identifier"}
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("where", ["frames", "files"])
@pytest.mark.parametrize("limit", [None, LIMIT])
def test_a_cut_shows_no_line_of_a_row_that_it_hides(where: str, limit: dt.datetime | None, tmp_path: Path) -> None:
    with connected(where, tmp_path / "early", with_late=False) as db:
        expected = seen(relgraph.build_graph(db, limit, progress=False))
    with connected(where, tmp_path / "all", with_late=True) as db:
        graph = relgraph.build_graph(db.upto(LIMIT), limit, progress=False)
        shown = relgraph.build_graph(db.upto(LIMIT), limit, inherit_times=False, progress=False)
    assert seen(graph) == expected
    for name in ("line", "note"):  # the lines, and what refers to them
        time = graph.nodes[name].time
        assert time is not None
        assert (time <= MICROS).all()
        assert graph.nodes[name].num_nodes == shown.nodes[name].num_nodes == tables(with_late=False)[name].num_rows
        assert shown.nodes[name].time is None


@pytest.mark.parametrize("where", ["frames", "files"])
def test_a_cut_hides_from_sql_what_refers_to_a_later_row(where: str, tmp_path: Path) -> None:
    with connected(where, tmp_path / "all", with_late=True) as db:
        cut, early = db.upto(LIMIT), tables(with_late=False)
        for name in ("owner", "case", "line", "note"):
            found = cut.sql(f'SELECT * FROM "{name}"')
            assert found.num_rows == cut.num_rows(name) == early[name].num_rows
        lines = cut.sql(f"SELECT id FROM ({cut.numbered('line', ['id'])}) ORDER BY __row")["id"].to_pylist()
        assert lines == [i for i in db.sql("SELECT id FROM line")["id"].to_pylist() if i < 1000]
        assert cut.upto(LIMIT - dt.timedelta(days=30)).num_rows("note") == 30


def test_a_line_of_what_has_no_time_stays() -> None:
    found = {
        "case": pa.table({"id": [1, 2, 3], "at": [LIMIT, None, LIMIT + dt.timedelta(days=1)]}),
        "line": pa.table({"id": range(5), "case": [1, 2, 3, None, 77], "other": [3, 1, 1, 1, 1]}),
    }
    keys: dict[str, Any] = {"case": "id", "line": {"primary_key": "id", "foreign_keys": {"case": "case"}}}
    with relgraph.connect(found, keys=keys, times={"case": "at"}, progress=False) as db:
        assert db.upto(LIMIT).sql("SELECT id FROM line ORDER BY id")["id"].to_pylist() == [0, 1, 3, 4]
    keys["line"]["foreign_keys"]["other"] = "case"
    with relgraph.connect(found, keys=keys, times={"case": "at"}, progress=False) as db:
        assert db.upto(LIMIT).sql("SELECT id FROM line ORDER BY id")["id"].to_pylist() == [1, 3, 4]


def test_tables_that_refer_to_each_other_and_to_themselves() -> None:
    found = {
        "case": pa.table({"id": [1, 2], "at": [LIMIT, LIMIT + dt.timedelta(days=1)]}),
        "line": pa.table({"id": [0, 1, 2], "case": [1, 2, 1], "before": [None, 0, 1], "note": [0, 1, None]}),
        "note": pa.table({"id": [0, 1], "line": [0, 1]}),
    }
    keys: dict[str, Any] = {
        "case": "id",
        "line": {"primary_key": "id", "foreign_keys": {"case": "case", "before": "line", "note": "note"}},
        "note": {"primary_key": "id", "foreign_keys": {"line": "line"}},
    }
    with relgraph.connect(found, keys=keys, times={"case": "at"}, progress=False) as db:
        cut = db.upto(LIMIT)
        assert cut.sql("SELECT id FROM line ORDER BY id")["id"].to_pylist() == [0, 2]
        assert cut.sql("SELECT id FROM note")["id"].to_pylist() == [0]

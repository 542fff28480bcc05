"""Keys of every kind of number: looked up or joined, the edges are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import relgraph
from relgraph.data import links, stream
from relgraph.data.database import Database
from relgraph.errors import SchemaError
from tests.data.same_graph import require_same
from tests.data.shop import KEYS, shop, shop_frames

KINDS: dict[str, tuple[list[Any], list[Any], pa.DataType]] = {
    "from zero": ([0, 1, 2, 3], [3, 0, None, 4, -1, 0], pa.int64()),
    "in a row": ([5, 6, 7, 8], [8, 5, None, 9, 4, 5], pa.int32()),
    "shuffled": ([8, 5, 7, 6], [8, 5, None, 9, 4, 5], pa.int64()),
    "gappy": ([-100, 3, 77, 12], [77, -100, None, 4, -100, 12], pa.int16()),
    "far apart": ([-(2**63), 0, 2**63 - 1, 10**15], [2**63 - 1, -(2**63), None, 7, 10**15, 0], pa.int64()),
    "unsigned": ([2**64 - 1, 1, 2**63, 5], [2**63, 2**64 - 1, None, 2, 5, 5], pa.uint64()),
    "text": (["b", "a", "ä", ""], ["ä", "b", None, "c", "", "a"], pa.string()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("primary", [True, False])
def test_edges_are_those_a_dictionary_gives(kind: str, primary: bool) -> None:
    parents, children, dtype = KINDS[kind]
    # where the key is not the primary one, it may be missing
    keys = parents if primary else [None, *parents, None]
    frames = {
        "parent": pa.table({"key": pa.array(keys, dtype), "size": [float(i) for i in range(len(keys))]}),
        "child": pa.table({"parent": pa.array(children, dtype), "same": pa.array(children, dtype)}),
    }
    target: Any = "parent" if primary else ("parent", "key")
    declared = {"parent": "key" if primary else (), "child": {"foreign_keys": {"parent": target, "same": target}}}
    with relgraph.connect(frames, keys=declared, progress=False) as db:
        graph = relgraph.build_graph(db, progress=False)
    place = {key: row for row, key in enumerate(keys) if key is not None}
    expected = [(row, place[key]) for row, key in enumerate(children) if key in place]
    for name in ("parent", "same"):
        assert list(zip(*graph.edges["child", name, "parent"].edge_index.tolist(), strict=True)) == expected
        counts = graph.report["foreign_keys"][f"child.{name} -> parent"]
        assert (counts["null"], counts["edges"], counts["dangling"]) == (1, len(expected), 5 - len(expected))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("primary", [True, False])
def test_what_is_referred_to_twice_is_refused(kind: str, primary: bool) -> None:
    parents, _, dtype = KINDS[kind]
    frames = {
        "parent": pa.table({"key": pa.array([*parents, parents[1]], dtype)}),
        "child": pa.table({"p": pa.array(parents[:1], dtype)}),
    }
    target: Any = "parent" if primary else ("parent", "key")
    keys = {"parent": "key" if primary else (), "child": {"foreign_keys": {"p": target}}}
    with (
        relgraph.connect(frames, keys=keys, progress=False) as db,
        pytest.raises(SchemaError, match=r"parent.*key.* stands 2 times"),
    ):
        relgraph.build_graph(db, progress=False)


def test_text_keys_stand_in_the_order_of_rows_whatever_order_they_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"key {i * 7919 % 4096}" for i in range(4096)]
    numbered = Database.numbered
    # whole batches change places: each is in order by itself
    monkeypatch.setattr(stream, "_BATCH", 2048)
    monkeypatch.setattr(
        Database,
        "numbered",
        lambda db, table, columns=None: (
            f'SELECT * FROM ({numbered(db, table, columns)}) ORDER BY "__row" < 2048, "__row"'
        ),
    )
    with relgraph.connect({"t": pa.table({"key": keys})}, keys={"t": "key"}, progress=False) as db:
        found = relgraph.build_graph(db, progress=False).nodes["t"].keys
    assert found is not None
    assert found.tolist() == keys


@pytest.mark.slow
def test_looking_up_gives_what_joining_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = relgraph.build_graph(shop(), progress=False)
    monkeypatch.setattr(links, "is_whole", lambda table, column: False)
    require_same(expected, relgraph.build_graph(shop(), progress=False))


@pytest.mark.slow
def test_files_scanned_in_place_give_the_graph_of_frames(tmp_path: Path) -> None:
    for name, frame in shop_frames().items():
        pyarrow.parquet.write_table(pa.Table.from_pandas(frame), tmp_path / f"{name}.parquet", row_group_size=2)
    with relgraph.connect(tmp_path, keys=KEYS, times={"sale": "day"}, progress=False) as db:
        built = relgraph.build_graph(db, "2020-01-31", progress=False)
    expected = relgraph.build_graph(shop(), "2020-01-31", progress=False)
    for name, store in expected.nodes.items():
        keys, other = store.keys, built.nodes[name].keys
        assert (keys is None and other is None) or (keys is not None and other is not None)
        if keys is not None and other is not None:
            assert keys.tolist() == other.tolist()
        features, found = store.features, built.nodes[name].features
        assert (None if features is None else features.stats) == (None if found is None else found.stats)
    for edge_type, edges in expected.edges.items():
        assert edges.edge_index.tolist() == built.edges[edge_type].edge_index.tolist()


@pytest.mark.slow
def test_a_cut_is_built_as_the_rows_it_shows() -> None:
    frames = shop_frames()
    shown = frames["sale"]["day"].isna() | (frames["sale"]["day"] <= pd.Timestamp("2020-01-02"))
    frames["sale"] = frames["sale"][shown].reset_index(drop=True)
    expected = relgraph.build_graph(
        relgraph.connect(frames, keys=KEYS, times={"sale": "day"}, progress=False), progress=False
    )
    built = relgraph.build_graph(shop().upto("2020-01-02"), progress=False)
    assert built.nodes["sale"].num_nodes == int(shown.sum()) == 3
    for edge_type, edges in expected.edges.items():
        assert edges.edge_index.tolist() == built.edges[edge_type].edge_index.tolist(), edge_type
    first, second = expected.nodes["sale"].features, built.nodes["sale"].features
    assert first is not None
    assert second is not None
    assert first.stats == second.stats
    assert expected.nodes["sale"].time is not None
    assert built.nodes["sale"].time is not None
    assert expected.nodes["sale"].time.tolist() == built.nodes["sale"].time.tolist()


def test_what_a_key_refers_to_is_no_feature() -> None:
    frames = {
        "work": pa.table({"id": [1, 2, 3], "accession": ["1901.5", "1902.5", "1903.5"], "height": [1.5, 2.5, 4.0]}),
        "loan": pa.table({"work": ["1901.5", "1901.5", "1903.5"], "days": [1.5, 2.5, 4.0]}),
    }
    keys = {"work": "id", "loan": {"foreign_keys": {"work": ("work", ("accession",))}}}
    with relgraph.connect(frames, keys=keys, progress=False) as db:
        features = relgraph.build_graph(db, progress=False).nodes["work"].features
        assert features is not None
        assert features.column_names == ("height",)
        with pytest.raises(SchemaError, match="part of a key"):
            relgraph.build_graph(db, types={"work.accession": "numerical"}, progress=False)

"""Databases written as RelBench v3 folders: what comes back, what RelBench makes of it, and nothing half."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import relgraph
from relgraph.adapters import write_relbench
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.schema import ForeignKey
from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from tests.adapters import sources
from tests.adapters.relbench_folders import loaded, numbers, relbench, rows

MOMENT = dt.datetime


def opened(source: Any, **options: Any) -> Any:
    return relgraph.connect(source, progress=False, **options)


def write(db: Database, folder: Path, **options: Any) -> tuple[str, ...]:
    return write_relbench(db, folder, progress=False, **options)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Path, tuple[str, ...]]]:
    place = tmp_path_factory.mktemp("shop")
    generate_shop(place / "shop.sqlite", customers=80, products=25)
    with opened(place / "shop.sqlite", times=SHOP_TIMES) as db:
        yield db, place / "rel-shop", write(db, place / "rel-shop", description="A shop.")


def assert_same_graph(db: Database, ours: HeteroGraph, folder: Path, theirs: HeteroGraph) -> None:
    """Equal but for the order of rows: nodes, times, edges."""
    place = {name: torch.from_numpy(numbers(folder, db, name)) for name in ours.nodes}
    assert set(theirs.nodes) == set(ours.nodes)
    for name, store in ours.nodes.items():
        other = theirs.nodes[name]
        assert other.num_nodes == store.num_nodes
        assert (store.time is None) == (other.time is None), name
        if store.time is not None and other.time is not None:
            assert torch.equal(other.time[place[name]], store.time), name
    assert set(theirs.edges) == set(ours.edges)
    for kind, edges in ours.edges.items():
        moved = torch.stack([place[kind[0]][edges.edge_index[0]], place[kind[2]][edges.edge_index[1]]])
        pairs = sorted(map(tuple, moved.T.tolist()))
        assert sorted(map(tuple, theirs.edges[kind].edge_index.T.tolist())) == pairs, kind


@pytest.mark.slow
def test_a_shop_comes_back_as_it_was(shop: tuple[Database, Path, tuple[str, ...]]) -> None:
    db, folder, notes = shop
    with opened(folder) as back:
        assert back.schema.names == db.schema.names
        for table in db.schema:
            other = back.schema[table.name]
            keys = [(key.columns, key.table, db.schema.target_columns(key)) for key in table.foreign_keys]
            assert [(key.columns, key.table, back.schema.target_columns(key)) for key in other.foreign_keys] == keys
            assert other.time_column == table.time_column
            if len(table.primary_key) == 1:
                assert other.primary_key == table.primary_key
                assert other.column_names == table.column_names
        assert back.schema["order_line"].primary_key == ("order_line_row",)
        assert back.schema["order_line"].column_names[1:] == db.schema["order_line"].column_names
        assert_same_graph(
            db,
            relgraph.build_graph(db, progress=False),
            folder,
            relgraph.build_graph(back, progress=False),
        )
        for table in db.schema:
            plain = [c for c in table.column_names if c not in table.key_columns]
            where = [back.schema[table.name].column_names.index(c) for c in plain]
            ours = [table.column_names.index(c) for c in plain]
            there = rows(back, table.name)
            for number, row in zip(numbers(folder, db, table.name), rows(db, table.name), strict=True):
                expected = [_moment(row[i]) if plain[k] == table.time_column else row[i] for k, i in enumerate(ours)]
                assert [there[number][i] for i in where] == expected
    assert "order_line.order_line_row is added as its primary key: (order_id, position) cannot be row numbers" in notes
    assert "customer.joined is DATE and written as a timestamp" in notes
    assert any(note.startswith("primary keys are row numbers; the folder keys has what they were") for note in notes)
    assert all(f"- {note}\n" in (folder / "README.md").read_text() for note in notes)


def _moment(value: Any) -> Any:
    return MOMENT(value.year, value.month, value.day) if type(value) is dt.date else value


def test_the_keys_are_kept_beside_the_tables(shop: tuple[Database, Path, tuple[str, ...]]) -> None:
    db, folder, _ = shop
    kept = pq.read_table(folder / "keys" / "customer.parquet").to_pylist()
    assert [row["__key"] for row in kept] == list(range(80))
    assert {row["__row"]: row["customer_id"] for row in kept} == {
        i: row[0] for i, row in enumerate(rows(db, "customer"))
    }


@pytest.mark.slow
def test_relbench_reads_the_shop(shop: tuple[Database, Path, tuple[str, ...]]) -> None:
    _, folder, _ = shop
    manifest = relbench("manifest")
    data = loaded(folder)
    manifest.validate_dataset_manifest(data.manifest, data.db_dir)
    whole = data.get_db(upto_test_timestamp=False)  # checks that keys are 0..n-1
    with opened(folder) as back:
        assert set(whole.table_dict) == set(back.schema.names)
        for name, table in whole.table_dict.items():
            expected = [tuple(None if pd.isna(v) else v for v in row) for row in table.df.itertuples(index=False)]
            assert rows(back, name) == expected
        cut = data.get_db()
        assert 0 < len(cut.table_dict["orders"]) < len(whole.table_dict["orders"])
        assert len(cut.table_dict["orders"]) == back.upto(str(data.test_timestamp)).num_rows("orders")
        seconds = relbench("modeling.utils").to_unix_time(whole.table_dict["orders"].df["ordered_at"])
        time = relgraph.build_graph(back, progress=False).nodes["orders"].time
        assert time is not None
        assert np.array_equal(seconds, time.numpy() // 1_000_000)
    assert data.manifest.description == "A shop."
    assert data.manifest.name == "rel-shop"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
def test_relbench_makes_the_same_graph(shop: tuple[Database, Path, tuple[str, ...]]) -> None:
    _, folder, _ = shop
    graph, numerical = relbench("modeling.graph"), importlib.import_module("torch_frame").numerical
    columns = {"warehouse": "staff", "product": "price", "customer": "birth_year", "order_line": "quantity"}
    kinds = {name: {column: numerical} for name, column in {**columns, "review": "rating"}.items()}
    theirs, _ = graph.make_pkey_fkey_graph(
        loaded(folder).get_db(upto_test_timestamp=False), {"category": {}, "orders": {}, **kinds}
    )
    with opened(folder) as back:
        ours = relgraph.build_graph(back, progress=False)
    assert len(ours.edges) == 9
    for (source, key, target), store in ours.edges.items():
        other = theirs[source, f"f2p_{key}", target].edge_index
        assert sorted(zip(*store.edge_index.tolist(), strict=True)) == sorted(zip(*other.tolist(), strict=True)), key
    for name, node in ours.nodes.items():
        if back.schema[name].time_column is not None and node.time is not None:
            assert torch.equal(theirs[name].time, node.time // 1_000_000)


@pytest.mark.slow
def test_every_kind_of_key_becomes_row_numbers(tmp_path: Path) -> None:
    given = {"keys": sources.declared_keys(), "times": sources.TIMES}
    with opened(sources.arrow_frames(), **given) as db:
        notes = write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
        graph = relgraph.build_graph(db, progress=False)
    with opened(tmp_path / "rel") as back:
        # a gappy key, a reference to itself, one to nothing
        assert [row[:3] for row in rows(back, "customer")] == [
            (0, "Ann", None),
            (1, 'O\'Hara "the" buyer', 0),
            (2, None, None),
        ]
        # sorted by time, the one without a time last; two keys to one table
        assert [row[:3] for row in rows(back, "order")] == [(0, 0, 1), (1, None, 1), (2, 1, None)]
        # a composite key gets a column, text keys become numbers, one leads nowhere
        assert [row[:4] for row in rows(back, "order line")] == [
            (0, 0, 1, 0),
            (1, 0, 2, 2),
            (2, 2, 1, None),
            (3, None, 1, None),
        ]
        # a composite reference gets a column, its own stay
        assert rows(back, "line note") == [(10, 2, "late", 1), (10, None, "lost", None), (10, 2, "late", 1)]
        assert rows(back, "refund") == []
        assert back.schema["line note"].primary_key == ()
        assert back.schema["line note"].foreign_keys == (ForeignKey("order_line", "order line"),)
        other = relgraph.build_graph(back, progress=False)
        assert {kind: e.num_edges for kind, e in other.edges.items()} == {
            ("line note", "order_line", "order line") if kind[0] == "line note" else kind: e.num_edges
            for kind, e in graph.edges.items()
        }
    assert "customer.referrer is NULL for 1 values that refer to no row" in notes
    assert (
        "line note.order_line is added for the foreign key order+line to order line, which is of several columns"
        in notes
    )
    loaded(tmp_path / "rel").get_db()


def test_a_key_that_is_one_already_is_left_as_it_is(tmp_path: Path) -> None:
    with opened(
        {"t": pa.table({"id": [0, 1]}), "e": pa.table({"id": pa.array([], pa.int64())})}, keys={"t": "id", "e": "id"}
    ) as db:
        assert write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01") == ()
    assert not (tmp_path / "rel" / "keys").exists()


def test_keys_that_share_columns_and_targets_that_are_no_primary_keys(tmp_path: Path) -> None:
    tables = {
        "person": pa.table({"id": [10, 20], "mail": ["b", "a"]}),
        "boss": pa.table({"id": [20, 10], "car": [1, 2]}),
        "letter": pa.table({"to": ["a", "b", "x"], "log": ["one", "two", "two"]}),
        "log": pa.table({"name": ["two", "one"]}),
    }
    letter = {"to": ("person", "mail"), "log": ("log", "name")}
    keys = {
        "person": "id",
        "boss": {"primary_key": "id", "foreign_keys": {"id": "person"}},
        "letter": {"foreign_keys": letter},
    }
    with opened(tables, keys=keys) as db:
        notes = write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
    with opened(tmp_path / "rel") as back:
        assert rows(back, "boss") == [(0, 1, 1), (1, 2, 0)]
        assert back.schema["boss"].column_names == ("id", "car", "id_person")
        assert rows(back, "letter") == [(1, 1), (0, 0), (None, 0)]
        assert rows(back, "log") == [(0, "two"), (1, "one")]
        assert back.schema["log"].primary_key == ("log_row",)
    assert (
        "boss.id_person is added for the foreign key id to person, which shares its column with another key or the time"
        in notes
    )
    assert "letter.to refers to rows of person, no longer to its column mail" in notes
    assert "log.log_row is added as its primary key: it has none" in notes


def test_columns_that_are_named_like_what_the_writer_adds(tmp_path: Path) -> None:
    at = [MOMENT(2020, 1, 2), MOMENT(2020, 1, 1)]
    frame = {"__time": [1, 2], "k": ["b", "a"], "r": [0, 1], "t_row": [7, 8], "s": ["a", "x"], "f5": at}
    keys = {"t": {"primary_key": ("k", "r"), "foreign_keys": {"s": ("t", "k")}}}
    with opened({"t": pa.table(frame)}, keys=keys, times={"t": "f5"}) as db:
        write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
    with opened(tmp_path / "rel") as back:
        assert back.schema["t"].primary_key == ("t_row_1",)
        assert rows(back, "t") == [(0, 2, "a", 1, 8, None, at[1]), (1, 1, "b", 0, 7, 0, at[0])]


@pytest.mark.slow
def test_names_that_are_no_files_or_no_words(tmp_path: Path) -> None:
    one = pa.table({"id": [3], "from": [MOMENT(2020, 1, 1)]})
    names = ["a/b", "a_b", "../etc/x", ".hidden", "sales.order", "größe", "x" * 300]
    tables = dict.fromkeys(names, one) | {"trip": pa.table({"at the end": [MOMENT(2020, 1, 1)], "at_the_end": [1]})}
    times = dict.fromkeys(names, "from") | {"trip": "at the end"}
    with opened(tables, keys=dict.fromkeys(names, "id"), times=times) as db:
        notes = write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
    files = {"a_b_1", "a_b", "_.._etc_x", "_.hidden", "sales.order", "größe", "x" * 200, "trip"}
    assert {
        file.stem if file.suffix == ".parquet" else file.name for file in (tmp_path / "rel" / "db").iterdir()
    } == files
    with opened(tmp_path / "rel") as back:
        assert set(back.schema.names) == files
        assert {table.time_column for table in back.schema} == {"time_from", "at_the_end_1"}
    assert "table 'a/b' is called 'a_b_1': its name is no name of a file" in notes
    assert "sales.order.from is called 'time_from': RelBench takes only a word for a time" in notes
    assert len(loaded(tmp_path / "rel").get_db().table_dict) == len(files)  # cuts every table by its time


def test_types_that_parquet_or_pandas_do_not_share(tmp_path: Path) -> None:
    query = """
        SELECT 1 AS id, TIMESTAMPTZ '2020-01-01 12:00:00+02' AS at, 1.25::DECIMAL(9, 2) AS price,
            10::HUGEINT ** 20 AS huge, 170141183460469231731687303715884105727 AS big, uuid() AS code, [1, 2] AS list,
            INTERVAL 3 DAYS AS span, DATE '0001-01-01' AS born, TIMESTAMP '9999-12-31 23:59:59' AS until,
            TIME '12:30:00' AS clock, 'a'::BLOB AS bytes, {'a': 1} AS parts"""
    with opened({"x": pa.table({"a": [1]})}, tables={"t": query}, keys={"t": "id"}, times={"t": "at"}) as db:
        notes = write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
        code = rows(db, "t")[0][5]
    with opened(tmp_path / "rel") as back:
        (row,) = rows(back, "t")
        assert row[:4] == (0, MOMENT(2020, 1, 1, 10), 1.25, 1e20)
        assert row[4] == pytest.approx(1.7014118346046923e38)
        assert row[5] == str(code)
        assert row[6:] == (
            [1, 2],
            "3 days",
            dt.date(1, 1, 1),
            MOMENT(9999, 12, 31, 23, 59, 59),
            dt.time(12, 30),
            b"a",
            {"a": 1},
        )
    assert "t.at is TIMESTAMP WITH TIME ZONE and written as a timestamp, in UTC" in notes
    assert "t.price is DECIMAL(9,2) and written as DOUBLE, with some 16 digits" in notes
    assert "t.span is INTERVAL and written as text" in notes
    assert any(
        note.startswith("t.until has 1 values before 1678 or after 2261: it is written in micro") for note in notes
    )
    schema = pq.read_schema(tmp_path / "rel" / "db" / "t.parquet")
    assert (schema.field("at").type, schema.field("until").type) == (pa.timestamp("ns"), pa.timestamp("us"))
    loaded(tmp_path / "rel").get_db()


def test_the_end_of_an_interval_is_said_to_be_known_too_early(tmp_path: Path) -> None:
    frame = pa.table({"start": [MOMENT(2020, 1, 1)], "until": [MOMENT(2021, 1, 1)]})
    with opened({"pay": frame}, times={"pay": ("start", "until")}) as db:
        notes = write(db, tmp_path / "rel", val_time="2020-01-01", test_time="2021-01-01")
    assert any(note.startswith("pay.until says until when a row holds, which is known only then") for note in notes)


def test_times_by_default_are_quantiles(tmp_path: Path) -> None:
    at = [MOMENT(2020, 1, day + 1) for day in range(20)]
    with opened({"t": pa.table({"at": at})}, times={"t": "at"}) as db:
        write(db, tmp_path / "rel", name="other")
        write(db, tmp_path / "late", test_time="2020-02-01")
    assert (
        (tmp_path / "rel" / "manifest.yaml")
        .read_text()
        .startswith("name: other\nmanifest_version: 1\nval_timestamp: '2020-01-16'\ntest_timestamp: '2020-01-18'\n")
    )
    assert "test_timestamp: '2020-02-01'\n" in (tmp_path / "late" / "manifest.yaml").read_text()

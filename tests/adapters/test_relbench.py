"""A RelBench v3 folder as a source: keys and times of the manifest, tables read where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.data.schema import ForeignKey
from relgraph.data.time import UNKNOWN
from relgraph.errors import AdapterError, SchemaError
from tests.adapters.relbench_folders import TABLES, day, frames, loaded, relbench, rows, write_folder
from tests.cli.tools import document, run

UNITS = ("s", "ms", "us", "ns")


def opened(folder: Path, **options: Any) -> Any:
    return relgraph.connect(folder, progress=False, **options)


def test_the_manifest_gives_keys_and_times(tmp_path: Path) -> None:
    with opened(write_folder(tmp_path / "rel-shop")) as db:
        assert db.schema.names == ("person", "sale")
        assert db.schema["person"].primary_key == ("person_id",)
        assert db.schema["person"].foreign_keys == ()
        assert db.schema["person"].time_column == "joined"
        assert db.schema["sale"].foreign_keys == (ForeignKey("buyer", "person"),)
        assert db.schema["sale"].time_column == "at"
        assert [column.dtype for column in db.schema["sale"].columns] == ["BIGINT", "BIGINT", "TIMESTAMP", "DOUBLE"]
        assert db.notes == ()
        assert "person: 10 rows, 3 columns, key (person_id), time joined" in repr(db)


@pytest.mark.parametrize("unit", UNITS)
def test_a_folder_that_relbench_wrote_reads_as_relbench_reads_it(tmp_path: Path, unit: str) -> None:
    manifest = relbench("manifest")
    folder = tmp_path / "rel-shop"
    specs = {name: manifest.TableSpec.from_dict(spec) for name, spec in TABLES.items()}
    (folder / "db").mkdir(parents=True)
    for name, frame in frames(unit).items():
        frame.to_parquet(folder / "db" / f"{name}.parquet", index=False)
    manifest.DatasetManifest("rel-shop", "2020-03-01", "2020-03-31", tables=specs).save(folder / "manifest.yaml")
    theirs = loaded(folder).make_db()
    with opened(folder) as db:
        assert set(db.schema.names) == set(theirs.table_dict)
        for name, table in theirs.table_dict.items():
            ours = db.schema[name]
            assert ours.primary_key == (table.pkey_col,)
            assert {key.name: key.table for key in ours.foreign_keys} == table.fkey_col_to_pkey_table
            assert ours.time_column == table.time_col
            assert ours.column_names == tuple(table.df.columns)
            expected = [tuple(None if pd.isna(v) else v for v in row) for row in table.df.itertuples(index=False)]
            assert rows(db, name) == expected


@pytest.mark.parametrize("unit", UNITS)
def test_times_of_every_unit_are_microseconds(tmp_path: Path, unit: str) -> None:
    person = frames(unit)["person"]
    assert str(person["joined"].dtype) == f"datetime64[{unit}]"
    folder = write_folder(tmp_path / "rel", {"person": TABLES["person"]}, {"person": person})
    with opened(folder) as db:
        time = relgraph.build_graph(db, progress=False).nodes["person"].time
    first = 1_577_836_800_000_000  # 2020-01-01
    assert time is not None
    assert time.tolist() == [*(first + i * 12 * 86_400_000_000 for i in range(9)), UNKNOWN]


def test_keys_that_lead_nowhere_give_no_edge(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    sale = pa.table({"sale_id": [0, 1, 2, 3], "buyer": [2.0, float("nan"), None, 77.0]})
    pq.write_table(sale.append_column("at", pa.array([day(1)] * 4)), folder / "db" / "sale.parquet")
    with opened(folder) as db:
        assert db.schema["sale"].column("buyer").dtype == "BIGINT"
        assert [row[1] for row in rows(db, "sale")] == [2, None, None, 77]
        (key,) = db.check().foreign_keys
        assert (key.null, key.dangling) == (2, 1)
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges["sale", "buyer", "person"].edge_index.tolist() == [[0], [2]]


def test_tables_are_read_in_place_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    with opened(folder) as db:
        assert db.connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
        assert db.num_rows("sale") == 200
        frames()["sale"].head(3).to_parquet(folder / "db" / "sale.parquet", index=False)
        with pytest.raises(
            AdapterError, match=r"sale\.parquet has changed since it was connected: .*; connect to it again"
        ):
            db.sql("SELECT count(*) FROM sale")
    with opened(folder) as db:
        assert db.num_rows("sale") == 3
        (folder / "manifest.yaml").unlink()
        with pytest.raises(AdapterError, match=r"manifest\.yaml is gone since it was connected"):
            db.sql("SELECT 1")


def test_a_snapshot_copies_and_is_taken_up_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    for _ in range(2):
        with opened(folder, snapshot=tmp_path / "rel.duckdb") as db:
            assert db.num_rows("sale") == 200
            assert db.schema["sale"].foreign_keys == (ForeignKey("buyer", "person"),)
    frames()["sale"].head(3).to_parquet(folder / "db" / "sale.parquet", index=False)
    with pytest.raises(AdapterError, match="is of other content"):
        opened(folder, snapshot=tmp_path / "rel.duckdb")


def test_chosen_tables_and_sql_over_the_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    with opened(folder, tables=["sale"]) as db:
        assert db.schema.names == ("sale",)
        assert db.notes == ("foreign key sale.buyer left out: its table 'person' was not selected",)
    cheap = {"person": None, "cheap": "SELECT * FROM sale WHERE price < 9 ORDER BY sale_id"}
    keys = {"cheap": {"primary_key": "sale_id", "foreign_keys": {"buyer": "person"}}}
    with opened(folder, tables=cheap, keys=keys) as db:
        assert db.schema["person"].primary_key == ("person_id",)
        assert 0 < db.num_rows("cheap") < 100
    with pytest.raises(SchemaError, match="has no schemas"):
        opened(folder, schemas=["db"])


def test_what_is_not_of_the_data_set_is_left_out_and_noted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    frames()["person"].iloc[[1, 0, *range(2, 10)]].to_parquet(
        folder / "db" / "person.parquet"
    )  # keeps the row index as a column
    frames()["sale"].to_parquet(folder / "db" / "old.parquet")
    with opened(folder) as db:
        assert db.schema["person"].column_names == ("person_id", "joined", "town")
        assert set(db.notes) == {
            "left out, because the manifest does not list them: old.parquet",
            "left out of table 'person': __index_level_0__, the row index of a pandas frame",
        }


def test_a_column_named_like_the_row_number_of_the_reader_is_read(tmp_path: Path) -> None:
    person = frames()["person"].rename(columns={"town": "file_row_number"})
    with opened(write_folder(tmp_path / "rel", {"person": TABLES["person"]}, {"person": person})) as db:
        assert [row[2] for row in rows(db, "person")] == list("abcabcabca")


MALFORMED = {
    "tables: [": "is no YAML",
    "tables: {a: 2020-13-45}": "is no YAML",
    "- a\n- b\n": "expected a manifest, which is a mapping; got a list",
    "": "expected a manifest, which is a mapping; got a NoneType",
    "name: x\n": "expected 'tables', a mapping from table names; got None",
    "manifest_version: 7\ntables: {}\n": "expected manifest_version 1, got 7",
    "tables: {person: [1]}": r"table 'person': expected a mapping with pkey, time_col and fkeys, got \[1\]",
    "tables: {no: {pkey: a}}": "table False: expected a name that is text; put it in quotes",
    "tables: {../person: {}}": r"table '\.\./person': this is no name of a file",
    "tables: {person: {pkey: 3}}": "pkey: expected a name that is text, got 3",
    "tables: {person: {fkeys: [a]}}": "fkeys: expected a mapping from columns to tables",
    "tables: {person: {fkeys: {a: }}}": "fkeys: expected a name that is text, got None",
    "tables: {shop: {}}": r"lists table 'shop', but there is no .*db/shop\.parquet",
    "tables: {person: {pkey: id}}": r"pkey of table 'person' is 'id', which is no column of .*person\.parquet; columns",
    "tables: {sale: {fkeys: {who: sale}}}": "fkeys of table 'sale' is 'who', which is no column",
    "tables: {sale: {time_col: when}}": "time_col of table 'sale' is 'when', which is no column",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_manifest_is_named(tmp_path: Path, text: str) -> None:
    folder = write_folder(tmp_path / "rel")
    (folder / "manifest.yaml").write_text(text)
    with pytest.raises((AdapterError, SchemaError), match=MALFORMED[text]):
        opened(folder)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    (folder / "db" / "sale.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(AdapterError, match=r"sale\.parquet cannot be read as a Parquet file"):
        opened(folder)


def test_a_folder_without_a_manifest_is_a_folder_of_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    with opened(folder / "db") as db:
        assert db.schema["sale"].primary_key == ()


@pytest.mark.slow
def test_the_shell_reads_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "rel")
    found = document("inspect", folder, "-q")
    assert [table["name"] for table in found["schema"]["tables"]] == ["person", "sale"]
    assert "buyer" in run("inspect", folder, "-q").stdout
    run("convert", folder, "-o", tmp_path / "graph", "-q")
    graph = relgraph.HeteroGraph.load(tmp_path / "graph")
    assert graph.edges["sale", "buyer", "person"].num_edges == 190

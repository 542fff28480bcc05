"""Parquet files in place: row numbers over many files, columns that differ, types that DuckDB must bend."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.data.database import Database
from relgraph.errors import AdapterError


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def rows(db: Database, table: str = "t") -> list[tuple[Any, ...]]:
    columns = ", ".join(f'"{name}"' for name in db.schema[table].column_names)
    found = db.sql(f'SELECT {columns} FROM ({db.numbered(table)}) ORDER BY "__row"').to_pylist()
    return [tuple(row.values()) for row in found]


def parts(folder: Path, *tables: pa.Table | dict[str, Any], **options: Any) -> Path:
    """One table of these files."""
    (folder / "t").mkdir()
    for place, table in enumerate(tables):
        table = table if isinstance(table, pa.Table) else pa.table(table)
        pq.write_table(table, folder / "t" / f"part-{place:05}.parquet", **options)
    return folder / "t"


@pytest.mark.slow
@settings(deadline=None, max_examples=max(25, settings.default.max_examples // 8))
@given(
    files=st.lists(
        st.tuples(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=7), st.integers(0, 3), st.integers(1, 3)),
        min_size=1,
        max_size=6,
    )
)
def test_any_files_and_row_groups_are_the_concatenation(files: list[tuple[list[int | None], int, int]]) -> None:
    shapes = [
        lambda a: {"a": a, "b": pa.array([str(v) for v in a], pa.string())},
        lambda a: {"b": pa.array([str(v) for v in a], pa.string()), "a": a},
        lambda a: {"a": a.cast(pa.float64())},
        lambda a: {"a": a.cast(pa.int8()), "file_row_number": a, "file_index": a},
    ]
    expected, named = [], False
    for values, shape, _ in files:
        named |= shape == 3
        expected += [(v, None if shape > 1 else str(v), v if shape == 3 else None) for v in values]
    with tempfile.TemporaryDirectory() as folder:
        for place, (values, shape, size) in enumerate(files):
            table = pa.table(shapes[shape](pa.array(values, pa.int64())))
            pq.write_table(table, f"{folder}/part-{place}.parquet", row_group_size=size)
        with connect(folder) as db:
            (name,) = db.schema.names
            has = db.schema[name].column_names
            columns = ", ".join(c if c in has else f"NULL AS {c}" for c in ("a", "b", "file_row_number"))
            numbered = db.sql(f'SELECT {columns}, "__row" AS r FROM ({db.numbered(name)}) ORDER BY r')
            found = [tuple(row.values()) for row in numbered.to_pylist()]
            plain = db.sql(f'SELECT {columns} FROM "{name}"').to_pylist()
            assert found == [(*row, place) for place, row in enumerate(expected)]
            assert [tuple(row.values()) for row in plain] == expected
            kept = db.sql(f'SELECT "__row" AS r FROM ({db.numbered(name)}) WHERE a > 0 ORDER BY r')["r"].to_pylist()
            assert kept == [place for place, row in enumerate(expected) if row[0] is not None and row[0] > 0]


@pytest.mark.slow
def test_row_numbers_in_many_files_with_many_threads(tmp_path: Path) -> None:
    sizes = np.random.default_rng(0).integers(0, 3000, 200)
    ends = sizes.cumsum()
    folder = parts(
        tmp_path,
        *({"a": np.arange(end - size, end)} for size, end in zip(sizes, ends, strict=True)),
        row_group_size=700,
    )
    with connect(folder) as db:
        db.connection.execute("SET threads = 8")
        wrong = db.sql(f'SELECT count(*) AS n FROM ({db.numbered("t")}) WHERE a <> "__row"')["n"][0].as_py()
        assert wrong == 0
        assert db.num_rows("t") == ends[-1]
        one = db.sql(f'SELECT a FROM ({db.numbered("t")}) WHERE "__row" = 12345')["a"].to_pylist()
        assert one == [12345]


def test_columns_named_like_what_duckdb_adds(tmp_path: Path) -> None:
    names = ["file_row_number", "file_index", "filename", "rowid", "__row", "a", "A"]
    folder = parts(tmp_path, *(pa.table([pa.array([i, i])] * 7, names) for i in (1, 2)))
    with connect(folder) as db:
        assert db.schema["t"].column_names == (*names[:3], "rowid_1", "__row_1", "a", "A_1")
        assert rows(db) == [(i,) * 7 for i in (1, 1, 2, 2)]
        assert (
            db.notes[0] == "column t.rowid is called 'rowid_1': its name is taken, upper and lower case being the same"
        )
        assert "column t.A is called 'A_1'" in db.notes


def test_columns_that_differ_only_in_case_in_two_files(tmp_path: Path) -> None:
    with connect(parts(tmp_path, {"Id": [1]}, {"ID": [2]})) as db:
        assert db.schema["t"].column_names == ("Id",)
        assert rows(db) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (pa.array([1], pa.int8()), pa.array([300], pa.int64()), "BIGINT"),
        (pa.array([1], pa.int64()), pa.array([0.5]), "DOUBLE"),
        (pa.array([1], pa.int64()), pa.array([2**63], pa.uint64()), "HUGEINT"),
        (pa.array([dt.date(2020, 1, 1)]), pa.array([dt.datetime(2020, 1, 1, 5)]), "TIMESTAMP"),
        (pa.array(["x"]).dictionary_encode(), pa.array(["y"]), "VARCHAR"),
        (pa.nulls(1), pa.array([5]), "BIGINT"),
        (pa.array([5]), pa.nulls(1), "BIGINT"),
        (pa.nulls(1), pa.nulls(1), "VARCHAR"),
        (pa.array([[1]]), pa.array([[0.5]]), "DOUBLE[]"),
    ],
)
def test_types_that_differ_are_widened(tmp_path: Path, one: pa.Array, other: pa.Array, dtype: str) -> None:
    with connect(parts(tmp_path, pa.table({"a": one}), pa.table({"b": [0], "a": other}))) as db:
        assert db.schema["t"].column("a").dtype == dtype
        values = db.sql(f'SELECT CAST(a AS VARCHAR) AS a FROM ({db.numbered("t")}) ORDER BY "__row"')["a"].to_pylist()
        kept = [value for value in (one[0].as_py(), other[0].as_py()) if value is not None]
        assert sum(value is not None for value in values) == len(kept)


def test_types_that_no_type_holds(tmp_path: Path) -> None:
    folder = parts(tmp_path, {"a": [1]}, {"a": ["x"]})
    message = r"column t\.a is BIGINT in .*part-00000\.parquet and VARCHAR in .*part-00001\.parquet; expected one kind"
    with pytest.raises(AdapterError, match=message):
        connect(folder)
    with connect(str(folder / "part-00001*")) as db:
        assert rows(db, "part-00001") == [("x",)]


def test_files_that_are_no_parts_of_one_table(tmp_path: Path) -> None:
    folder = parts(tmp_path, {"a": [1]}, {"b": [1]})
    with pytest.raises(AdapterError, match=r"part-00001\.parquet and .* can hardly be parts .*\(b\) and \(a\)"):
        connect(folder)
    pq.write_table(pa.table({"a": [1], "b": [1], "c": [1]}), folder / "part-00000.parquet")
    pq.write_table(pa.table({"a": [1], "x": [1], "y": [1]}), folder / "part-00001.parquet")
    with pytest.raises(AdapterError, match=r"they share 1\. If they are different tables, connect to their folder"):
        connect(tmp_path)


def test_parts_that_are_empty(tmp_path: Path) -> None:
    folder = parts(tmp_path, {"a": pa.array([], pa.int64())}, {"a": [1]}, {"a": pa.array([], pa.int64())}, {"a": [2]})
    (folder / "part-00009.parquet").touch()
    with connect(folder) as db:
        assert rows(db) == [(1,), (2,)]
        assert any("1 files of" in note and "are empty" in note for note in db.notes)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(AdapterError, match=r"every file in .* is empty"):
        connect(folder)


def test_types_of_parquet(tmp_path: Path) -> None:
    moment = dt.datetime(2020, 1, 1, 0, 0, 0, 5)
    table = pa.table(
        {
            "ns": pa.array([moment], pa.timestamp("ns")),
            "u64": pa.array([2**63], pa.uint64()),
            "list": pa.array([[1, 2]]),
            "struct": pa.array([{"x": 1}]),
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "big": pa.array([decimal.Decimal("1.5")], pa.decimal256(50, 2)),
            "whole": pa.array([decimal.Decimal(7)], pa.decimal128(12, 0)),
            "kind": pa.array(["a"]).dictionary_encode(),
            "zone": pa.array([moment], pa.timestamp("us", "Europe/Berlin")),
            "empty": pa.nulls(1),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", version="2.6")
    with connect(tmp_path) as db:
        types = {column.name: column.dtype for column in db.schema["t"].columns}
        assert types == {
            "ns": "TIMESTAMP",
            "u64": "UBIGINT",
            "list": "BIGINT[]",
            "struct": "STRUCT(x BIGINT)",
            "map": "MAP(VARCHAR, BIGINT)",
            "big": "DOUBLE",
            "whole": "BIGINT",
            "kind": "VARCHAR",
            "zone": "TIMESTAMP WITH TIME ZONE",
            "empty": "VARCHAR",
        }
        (row,) = db.sql("SELECT ns, u64, list, struct, whole, kind, big FROM t").to_pylist()
        assert tuple(row.values()) == (moment, 2**63, [1, 2], {"x": 1}, 7, "a", 1.5)
    pq.write_table(pa.table({"a": pa.array([moment])}), tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    with connect(tmp_path) as db:
        assert db.schema["t"].column("a").dtype == "TIMESTAMP"
        assert rows(db) == [(moment,)]


@pytest.mark.slow
def test_two_thousand_columns_that_all_need_a_cast(tmp_path: Path) -> None:
    column = pa.array([1_000], pa.timestamp("ns"))
    pq.write_table(pa.table({f"c{i}": column for i in range(2000)}), tmp_path / "t.parquet")
    with connect(tmp_path) as db:
        assert {column.dtype for column in db.schema["t"].columns} == {"TIMESTAMP"}
        assert db.sql("SELECT epoch_us(c1999) AS a FROM t")["a"].to_pylist() == [1]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 30 + b"PAR1", b"PARE" + b"\0" * 30 + b"PARE"])
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(AdapterError, match=r"t\.parquet cannot be read as a Parquet file"):
        connect(tmp_path)


class Keys(encryption.KmsClient):  # type: ignore[misc]
    def wrap_key(self, key: bytes, name: str) -> str:
        return base64.b64encode(key).decode()

    def unwrap_key(self, wrapped: str, name: str) -> bytes:
        return base64.b64decode(wrapped)


@pytest.mark.parametrize("plain", [True, False])
def test_an_encrypted_file(tmp_path: Path, plain: bool) -> None:
    asked = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=plain)
    factory = encryption.CryptoFactory(lambda config: Keys())
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), asked)
    table = pa.table({"a": [1], "b": [2]})
    with pq.ParquetWriter(tmp_path / "t.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(AdapterError, match=r"t\.parquet cannot be read.*(?i:encrypted)"):
        connect(tmp_path)


def test_a_damaged_page_is_said_where_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"a": np.random.default_rng(0).integers(0, 1 << 40, 300_000)}), path, row_group_size=100_000
    )
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100_000] = b"\xff" * 100_000
    path.write_bytes(bytes(content))
    said = r"the tables cannot be read: .*t\.parquet.*; check that the files are whole"
    with connect(tmp_path, keys={"t": "a"}) as db:
        uses: dict[str, Any] = {
            "build": lambda: relgraph.build_graph(db, progress=False),
            "check": lambda: db.check(progress=False),
            "keys": db.validate_keys,
            "RelBench": lambda: relgraph.adapters.write_relbench(
                db, tmp_path / "out", val_time="2020", test_time="2021"
            ),
        }
        for use in uses.values():
            with pytest.raises(AdapterError, match=said):
                use()
    with pytest.raises(AdapterError, match=r"t\.parquet"):
        connect(tmp_path, snapshot=tmp_path / "copy.duckdb")
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]

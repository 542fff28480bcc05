"""Which files of a folder are which table, and what the names of folders say."""

from __future__ import annotations

import ast
import datetime as dt
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.adapters.files.layout import find_tables
from relgraph.data.database import Database
from relgraph.errors import AdapterError


def connect(source: Any, **given: Any) -> Database:
    return relgraph.connect(source, progress=False, **given)


def rows(db: Database, table: str) -> list[dict[str, Any]]:
    columns = ", ".join(f'"{name}"' for name in db.schema[table].column_names)
    return db.sql(f'SELECT {columns} FROM ({db.numbered(table)}) ORDER BY "__row"').to_pylist()


def put(folder: Path, *names: str) -> Path:
    """Empty files; a name that ends in / is a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()
    return folder


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("names", "tables"),
    [
        (["a.csv", "B.TSV", "c.parquet", "readme.txt", ".d.csv"], {"B": 1, "a": 1, "c": 1}),
        (["a.parq", "b.pq", "c.csv.gz", "d.tsv.zst"], {"a": 1, "b": 1, "c": 1, "d": 1}),
        (["a.snappy.parquet", "b.gz.parquet", "c.d.parquet"], {"a": 1, "b": 1, "c.d": 1}),
        (["a.csv", "events/x.csv", "events/deep/er/y.csv", "empty/", "docs/readme.md"], {"a": 1, "events": 2}),
        (["a.csv", "events.parquet/part-0.parquet", "events.parquet/_SUCCESS"], {"a": 1, "events": 1}),
        (["day=1/a.csv", "day=2/b.csv"], {"it": 2}),
        (["x.parquet", "y.parquet", "_SUCCESS"], {"it": 2}),
        (["x.parquet", "_metadata"], {"it": 1}),
        (["part-00000-5af.c000.snappy.parquet", "part-00001-5af.c000.snappy.parquet", ".part-0.crc"], {"it": 2}),
        (["data_0.parquet", "data_1.parquet"], {"it": 2}),
        (["part-0.parquet", "other.parquet"], {"other": 1, "part-0": 1}),
        (["part.csv", "parts.csv"], {"part": 1, "parts": 1}),
        (["t/_temporary/0/x.csv", "t/.hidden/x.csv", "t/_x.csv", "t/x.csv", "_u.csv"], {"_u": 1, "t": 1}),
        (["_y=1/x.csv"], {"it": 1}),
    ],
)
def test_the_rule(tmp_path: Path, names: list[str], tables: dict[str, int]) -> None:
    found = find_tables(put(tmp_path / "it", *names))
    assert {table.name: len(table.files) for table in found} == tables
    assert [table.name for table in find_tables(tmp_path / "it")] == [table.name for table in found]


def test_a_folder_named_like_a_file_is_a_table(tmp_path: Path) -> None:
    put(tmp_path, "events.snappy.parquet/a.parquet", "events.snappy.parquet/b.parquet")
    (table,) = find_tables(tmp_path / "events.snappy.parquet")
    assert (table.name, len(table.files)) == ("events", 2)


@pytest.mark.parametrize(
    ("pattern", "name", "files"),
    [
        ("*.csv", "it", ["a-1.csv", "a-2.csv", "b.csv"]),
        ("a-*.csv", "a", ["a-1.csv", "a-2.csv"]),
        ("a-[2-9].csv", "a", ["a-2.csv"]),
        ("**/*.csv", "it", ["a-1.csv", "a-2.csv", "b.csv", "sub/a-3.csv"]),
        ("sub/*.csv", "sub", ["sub/a-3.csv"]),
        ("*/a-?.csv", "it", ["sub/a-3.csv"]),
        ("*", "it", ["a-1.csv", "a-2.csv", "b.csv"]),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, name: str, files: list[str]) -> None:
    folder = put(tmp_path / "it", "a-1.csv", "a-2.csv", "b.csv", "c.txt", "sub/a-3.csv")
    (table,) = find_tables(folder / pattern)
    assert table.name == name
    assert [str(file.relative_to(folder)) for file in table.files] == files


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"no file matches .*\*\.csv; expected files ending in \.parquet, \.csv"):
        connect(str(tmp_path / "*.csv"))


def test_a_name_with_wildcards_is_that_file(tmp_path: Path) -> None:
    for name in ("a[1].csv", "a1.csv", "*.csv", "q?.csv"):
        (tmp_path / name).write_text(f"x\n{name}\n")
    parquet(tmp_path / "b[1]*/part-0.parquet", x=["b"])
    with connect(tmp_path) as db:
        assert db.schema.names == ("*", "a1", "a[1]", "b[1]*", "q?")
        assert [rows(db, name)[0]["x"] for name in db.schema.names] == ["*.csv", "a1.csv", "a[1].csv", "b", "q?.csv"]
    with connect(str(tmp_path / "a[1].csv")) as db:
        assert rows(db, "a[1]") == [{"x": "a[1].csv"}]


def test_two_spellings_of_one_table(tmp_path: Path) -> None:
    put(tmp_path, "Race.csv", "race/part-0.csv")
    with pytest.raises(AdapterError, match=r"Race\.csv and race in .* would both be table 'race'.*rename one"):
        connect(tmp_path)


def test_a_delta_table_is_refused_and_two_kinds_of_files(tmp_path: Path) -> None:
    put(tmp_path, "t/_delta_log/0.json", "t/x.parquet")
    for source in (tmp_path, tmp_path / "t"):
        with pytest.raises(AdapterError, match="is a Delta table"):
            connect(source)
    both = put(tmp_path / "both", "u/x.parquet", "u/x.csv")
    with pytest.raises(AdapterError, match=r"x\.csv and .*x\.parquet would be parts of one table, 'u'.*\*\.parquet"):
        connect(both)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "t/deep").mkdir(parents=True)
    (tmp_path / "t/x.csv").write_text("a\n1\n")
    os.symlink(tmp_path / "t", tmp_path / "t/deep/up")
    with connect(tmp_path) as db:
        assert rows(db, "t") == [{"a": 1}]


def test_partitions_are_typed_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "e/year=2024/month=05/day=2024-05-01/at=2024-05-01 10%3A30%3A00/k=a%2Fb/part-0.parquet", x=[1])
    parquet(tmp_path / "e/year=2023/month=11/day=2023-11-02/at=2023-11-02 00%3A00%3A00/k=7/part-0.parquet", x=[2, 3])
    null = "__HIVE_DEFAULT_PARTITION__"
    parquet(tmp_path / f"e/year=2025/month={null}/day={null}/at={null}/k={null}/part-0.parquet", x=[4])
    with connect(tmp_path / "e", times={"e": "at"}) as db:
        types = {column.name: column.dtype for column in db.schema["e"].columns}
        assert types == {
            "x": "BIGINT",
            "year": "BIGINT",
            "month": "BIGINT",
            "day": "DATE",
            "at": "TIMESTAMP",
            "k": "VARCHAR",
        }
        assert [tuple(row.values()) for row in rows(db, "e")] == [
            (2, 2023, 11, dt.date(2023, 11, 2), dt.datetime(2023, 11, 2), "7"),
            (3, 2023, 11, dt.date(2023, 11, 2), dt.datetime(2023, 11, 2), "7"),
            (1, 2024, 5, dt.date(2024, 5, 1), dt.datetime(2024, 5, 1, 10, 30), "a/b"),
            (4, 2025, None, None, None, None),
        ]
        # a filter on a partition must not move the row numbers of the files that are left
        found = db.sql(f'SELECT x, "__row" AS r FROM ({db.numbered("e")}) WHERE year = 2024').to_pylist()
        assert found == [{"x": 1, "r": 2}]
        assert db.upto("2023-12-31").num_rows("e") == 3  # the two, and the one without a time
        assert any("the 3 files of" in note for note in db.notes)


def test_folders_above_the_table_give_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "run=5"
    parquet(folder / "t.parquet", x=[1])
    parquet(folder / "e/day=1/x.parquet", x=[1])
    for source in (folder / "e", str(folder / "e/**/*.parquet"), str(folder / "e/day=*/x.parquet")):
        with connect(source) as db:
            assert rows(db, "e") == [{"x": 1, "day": 1}]
    with connect(str(folder / "e/day=1/*.parquet")) as db:
        assert rows(db, "day=1") == [{"x": 1}]


def test_a_partition_wins_over_a_column_of_its_name(tmp_path: Path) -> None:
    parquet(tmp_path / "e/Day=2/x.parquet", x=[1], day=[99])
    with connect(tmp_path) as db:
        assert rows(db, "e") == [{"x": 1, "Day": 2}]
        assert "column e.day is taken from the names of the folders, not from the files" in db.notes
    (tmp_path / "c/day=2").mkdir(parents=True)
    (tmp_path / "c/day=2/x.csv").write_text("x,DAY\n1,99\n")
    with connect(tmp_path / "c") as db:
        assert rows(db, "c") == [{"x": 1, "day": 2}]


def test_files_of_different_partitions(tmp_path: Path) -> None:
    parquet(tmp_path / "e/year=1/x.parquet", x=[1])
    parquet(tmp_path / "e/y.parquet", x=[1])
    with pytest.raises(AdapterError, match=r"x\.parquet lies in partitions \(year\), but .*y\.parquet in \(\)"):
        connect(tmp_path)


def test_a_text_file_is_a_table_if_its_lines_have_one_number_of_a_separator(tmp_path: Path) -> None:
    (tmp_path / "stops.txt").write_text('stop_id,stop_name\r\n1,"Main, 1st"\r\n2,High St\r\n')
    (tmp_path / "README.txt").write_text("A feed, as it is.\nNothing else\n")
    (tmp_path / "license.txt").write_text("free, for all\n")
    with connect(tmp_path) as db:
        assert db.schema.names == ("stops",)
        assert rows(db, "stops") == [{"stop_id": 1, "stop_name": "Main, 1st"}, {"stop_id": 2, "stop_name": "High St"}]
    assert [table.name for table in find_tables(tmp_path / "stops*.txt")] == ["stops"]


def test_a_folder_of_other_files_says_how_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").write_text('{"id": 1, "stars": 5}\n{"id": 2, "stars": 4}\n')
    with pytest.raises(AdapterError, match="read_json") as caught:
        connect(tmp_path)
    remedy = ast.literal_eval(str(caught.value).partition("tables=")[2])
    with connect(tmp_path, tables=remedy) as db:
        assert rows(db, "reviews") == [{"id": 1, "stars": 5}, {"id": 2, "stars": 4}]

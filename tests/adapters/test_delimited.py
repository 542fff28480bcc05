"""CSV and TSV in place: dialects, encodings, broken lines, several files as one table."""

from __future__ import annotations

import ast
import datetime as dt
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
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


def text_file(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        ('"id";"kind";"amount"\n1;"a;b";2.5\n', ("id", "kind", "amount"), [(1, "a;b", 2.5)]),  # as Berka's are
        ('"a,b,c";d\n1;2\n', ("a,b,c", "d"), [(1, 2)]),
        ('a,b\r\n1,"x\r\ny"\r\n2,z\r\n', ("a", "b"), [(1, "x\r\ny"), (2, "z")]),
        ("a,b\r1,x\r2,y\r", ("a", "b"), [(1, "x"), (2, "y")]),
        ("a,b\n1,x\r\n2,y\n", ("a", "b"), [(1, "x"), (2, "y")]),
        ("a,b\n1,x\n2,y", ("a", "b"), [(1, "x"), (2, "y")]),
        (b"a,b\n1,x\0y\n", ("a", "b"), [(1, "x\0y")]),
        ("a\n1\n\n2\n", ("a",), [(1,), (None,), (2,)]),
        ("a,b\n1,x\n\n\n2,y\n\n", ("a", "b"), [(1, "x"), (2, "y")]),
        (",a,A,\n1,2,3,4\n", ("column0", "a", "A_1", "column3"), [(1, 2, 3, 4)]),
        ("rowid,__row\n1,2\n", ("rowid_1", "__row_1"), [(1, 2)]),
        ("file_index,file_row_number\n1,2\n", ("file_index", "file_row_number"), [(1, 2)]),
        ("a,b\n1,é\n".encode("utf-16"), ("a", "b"), [(1, "é")]),
        ("name,b\nlong,é\n".encode("utf-16-le"), ("name", "b"), [("long", "é")]),
        ("\ufeffa,b\n1,é\n".encode(), ("a", "b"), [(1, "é")]),
        ("a,b\n,\n,\n", ("a", "b"), [(None, None), (None, None)]),
        ("a,b\n", ("a", "b"), []),
        ("a,b", ("a", "b"), []),
    ],
)
def test_what_is_read(tmp_path: Path, content: str | bytes, columns: tuple[str, ...], expected: list[Any]) -> None:
    with connect(text_file(tmp_path, content)) as db:
        assert db.schema["t"].column_names == columns
        assert rows(db) == expected


@pytest.mark.parametrize("tail", ["\x1a", "\0\0\0\0", "   \n", "\t \n", ";;\n", " \n \n\x1a"])
def test_a_last_line_that_holds_nothing_is_left_out(tmp_path: Path, tail: str) -> None:
    path = text_file(tmp_path, "a;b;c;d\n1;x;1;2\n2;y;3;4\n" + tail)
    with connect(path) as db:
        assert rows(db) == [(1, "x", 1, 2), (2, "y", 3, 4)]
        assert db.num_rows("t") == 2
        assert db.sql('SELECT max("__row") AS r FROM relgraph_rows.t')["r"].to_pylist() == [1]
        (note,) = db.notes
        assert note.startswith(f"{path}: lines without any value were left out: 4")


@pytest.mark.parametrize("tail", ["3;z", '"', "3;z;1;", '3;"z', "(1056320 rows)", "3;z;1;2;5"])
def test_a_last_line_that_is_cut_off(tmp_path: Path, tail: str) -> None:
    path = text_file(tmp_path, "a;b;c;d;e;f\n1;x;1;2;0;0\n2;y;3;4;0;0\n" + tail)
    with pytest.raises(AdapterError, match=r"t\.csv:4: .*the last of the file, which seems to be cut off") as caught:
        connect(path)
    remedy = re.search(r"by tables=(\{.*\})$", str(caught.value))
    assert remedy is not None
    with connect(path, tables=ast.literal_eval(remedy[1])) as db:  # what the message says helps
        assert rows(db) == [(1, "x", 1, 2, 0, 0), (2, "y", 3, 4, 0, 0)]


def test_a_blank_line_does_not_hide_a_broken_one(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a,b\n1,x\n  \n2,y,z\n3,q\n")
    with pytest.raises(AdapterError, match=r"t\.csv:(3|4): "):
        connect(path)
    text_file(tmp_path, "a,b\n" + "".join(f"{i},x\n" for i in range(30_000)) + "u,v\n  \n")
    with connect(path) as db:
        assert db.num_rows("t") == 30_001
        assert db.schema["t"].column("a").dtype == "VARCHAR"


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a,b\n1,é\n".encode("latin-1"))
    with pytest.raises(AdapterError, match=r"t\.csv:2: .*not utf-8.*encoding = 'latin-1'") as caught:
        connect(path)
    remedy = re.search(r"by tables=(\{.*\})$", str(caught.value))
    assert remedy is not None
    with connect(path, tables=ast.literal_eval(remedy[1])) as db:
        assert rows(db) == [(1, "é")]
    for encoding in ("utf-16-be", "utf-32"):
        text_file(tmp_path, "\ufeffa,b\n1,é\n".encode(encoding))
        with pytest.raises(AdapterError, match=r"big-endian UTF-16 or in UTF-32.*write it anew as UTF-8"):
            connect(path)


def test_only_files_that_are_asked_for_are_looked_at(tmp_path: Path) -> None:
    text_file(tmp_path, "a\n1\n", "good.csv")
    text_file(tmp_path, "a,b\n1\n", "bad.csv")
    with connect(tmp_path, tables=["good"]) as db:
        assert db.schema.names == ("good",)
    with connect(tmp_path, tables={"good": None, "more": "SELECT a + 1 AS b FROM GOOD"}) as db:
        assert rows(db, "more") == [(2,)]
    with pytest.raises(AdapterError, match=r"bad\.csv:2"):
        connect(tmp_path, tables={"x": "SELECT * FROM bad"})


@pytest.mark.slow
def test_zstd_and_many_columns_and_long_lines(tmp_path: Path) -> None:
    with pa.output_stream(str(tmp_path / "z.csv.zst"), compression="zstd") as file:
        file.write(b"a,b\n1,x\n")
    names = [f"c{i}" for i in range(2000)]
    text_file(tmp_path, ",".join(names) + "\n" + ",".join(["1.5"] * 2000) + "\n", "wide.csv")
    text_file(tmp_path, "a,b\n1," + "x" * 1_000_000 + "\n2," + "y" * 5_000_000 + "\n3,z\n", "long.csv")
    with connect(tmp_path) as db:
        assert rows(db, "z") == [(1, "x")]
        assert len(db.schema["wide"].columns) == 2000
        assert {column.dtype for column in db.schema["wide"].columns} == {"DOUBLE"}
        lengths = db.sql("SELECT length(b) AS n FROM long ORDER BY a")["n"].to_pylist()
        assert lengths == [1_000_000, 5_000_000, 1]


@pytest.mark.slow
def test_order_with_many_threads(tmp_path: Path) -> None:
    number = 400_000
    text_file(tmp_path, "a,b\n" + "".join(f"{i},some text to make the file longer\n" for i in range(number)))
    with connect(tmp_path) as db:
        db.connection.execute("SET threads = 8")
        found = db.sql(f'SELECT count(*) AS n, sum(CAST(a <> "__row" AS INT)) AS bad FROM ({db.numbered("t")})')
        assert found.to_pylist() == [{"n": number, "bad": 0}]
        kept = db.sql(f'SELECT "__row" AS r FROM ({db.numbered("t")}) WHERE a IN (7, 250000, 399999) ORDER BY r')
        assert kept["r"].to_pylist() == [7, 250_000, 399_999]


def test_parts_with_other_columns_without_a_header_and_empty(tmp_path: Path) -> None:
    text_file(tmp_path, "a,b\n1,x\n2,\n", "t/part-0.csv")
    text_file(tmp_path, "3,z\n", "t/part-1.csv")
    text_file(tmp_path, "b;A;c\nq;4;2020-01-01\n", "t/part-2.csv")
    text_file(tmp_path, "", "t/part-3.csv")
    text_file(tmp_path, "a,b\n", "t/part-4.csv")
    text_file(tmp_path, "a,b\n5.5,\n", "t/part-5.csv")
    with connect(tmp_path) as db:
        assert {column.name: column.dtype for column in db.schema["t"].columns} == {
            "a": "DOUBLE",
            "b": "VARCHAR",
            "c": "DATE",
        }
        day = dt.date(2020, 1, 1)
        expected = [(1, "x", None), (2, None, None), (3, "z", None), (4, "q", day), (5.5, None, None)]
        assert rows(db) == expected
        assert db.sql("SELECT count(*) AS n FROM relgraph_rows.t WHERE __row = 3 AND a = 4")["n"].to_pylist() == [1]
        notes = "\n".join(db.notes)
        assert "part-3.csv is empty" in notes
        assert "part-1.csv has no header: its first line is a row, and its columns are (a, b)" in notes
        assert "column t.a is BIGINT in" in notes


@pytest.mark.parametrize(
    ("files", "dtype", "expected"),
    [
        (["1", "2.5"], "DOUBLE", [1.0, 2.5]),
        (["1", "18446744073709551615"], "HUGEINT", [1, 2**64 - 1]),
        (["1", "x"], "VARCHAR", ["1", "x"]),
        (["007", "8"], "VARCHAR", ["007", "8"]),
        (["\\N", "8"], "BIGINT", [None, 8]),
        (["\\N", "\\N"], "VARCHAR", [None, None]),
        (["true", "8"], "VARCHAR", ["true", "8"]),
        (["2020-01-01", "2020-01-01 10:00:00"], "TIMESTAMP", [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 10)]),
        (["01/02/2020", "31/12/2020"], "DATE", [dt.date(2020, 2, 1), dt.date(2020, 12, 31)]),  # one way for both
        (["12/31/2020", "01/02/2020"], "DATE", [dt.date(2020, 12, 31), dt.date(2020, 1, 2)]),
    ],
)
def test_one_type_for_all_files(tmp_path: Path, files: list[str], dtype: str, expected: list[Any]) -> None:
    for place, value in enumerate(files):
        text_file(tmp_path, f"k,v\n1,{value}\n", f"t/part-{place}.csv")
    with connect(tmp_path) as db:
        assert db.schema["t"].column("v").dtype == dtype
        assert [row[1] for row in rows(db)] == expected


def test_parts_that_do_not_fit_together(tmp_path: Path) -> None:
    text_file(tmp_path, "k,v\n1,12/31/2020\n", "t/part-0.csv")
    text_file(tmp_path, "k,v\n1,31/12/2020\n", "t/part-1.csv")
    with pytest.raises(AdapterError, match="table 't': its files write dates in several ways"):
        connect(tmp_path)
    text_file(tmp_path, "x,y,z\n1,2,3\n", "t/part-1.csv")
    with pytest.raises(AdapterError, match=r"part-1\.csv and .*can hardly be parts of one table.*tables="):
        connect(tmp_path)
    text_file(tmp_path, "key,what\n1,2\n", "t/part-1.csv")  # a header that shares no name is no row either
    with pytest.raises(AdapterError, match=r"part-1\.csv:1: expected a header .*got \(key, what\), and 'k' is BIGINT"):
        connect(tmp_path)
    text_file(tmp_path, "k,v\n1,2\n3\n", "t/part-1.csv")
    with pytest.raises(AdapterError, match=r"part-1\.csv:3: "):
        connect(tmp_path)


CELL = st.one_of(
    st.just(""), st.integers(-99, 99).map(str), st.text('ab",;\n ', max_size=4), st.sampled_from(["2020-01-01", "1.5"])
)


def test_excel_names_the_separator_in_a_line_of_its_own(tmp_path: Path) -> None:
    text_file(tmp_path, "\ufeffsep=;\r\nid;name\r\n1;a,b\r\n2;c\r\n")
    with connect(tmp_path) as db:
        assert (db.schema["t"].column_names, rows(db)) == (("id", "name"), [(1, "a,b"), (2, "c")])


def test_quotes_in_a_tsv_that_enclose_nothing_are_read_as_they_stand(tmp_path: Path) -> None:
    text_file(tmp_path, 'id\ttitle\n1\t"Unbalanced\n2\t5" disk\n3\t\\N\n', "t.tsv")
    with connect(tmp_path) as db:
        assert rows(db) == [(1, '"Unbalanced'), (2, '5" disk'), (3, None)]
        assert any("quotes" in note for note in db.notes)


def test_the_remedy_for_windows_1252_makes_a_file_that_can_be_read(tmp_path: Path) -> None:
    path = text_file(tmp_path, "id,price\n1,5 \u20ac\n2,7 \u20ac\n".encode("cp1252"))
    with pytest.raises(AdapterError, match="Windows-1252") as caught:
        connect(tmp_path)
    command = "iconv" + str(caught.value).partition("iconv")[2]
    text_file(tmp_path, subprocess.run(shlex.split(command), check=True, capture_output=True).stdout, "new.csv")
    path.unlink()
    with connect(tmp_path) as db:
        assert rows(db, "new") == [(1, "5 \u20ac"), (2, "7 \u20ac")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id;x\n1;2,5\n2;-10,25\n3;\n", [(1, 2.5), (2, -10.25), (3, None)]),
        ("id;x;y\n1;2,5;0.5\n2;3,5;1.5\n", [(1, "2,5", 0.5), (2, "3,5", 1.5)]),  # one file, one way
        ("id;x\n1;2,5\n2;a\n", [(1, "2,5"), (2, "a")]),
    ],
)
def test_a_decimal_comma_is_read_where_no_other_column_minds(tmp_path: Path, content: str, expected: list[Any]) -> None:
    text_file(tmp_path, content)
    with connect(tmp_path) as db:
        assert rows(db) == expected


@pytest.mark.parametrize("broken", ["id,value\n1,2\n3\n", "id,value,value\n1,2,3\n"])
def test_the_remedy_for_one_file_leaves_the_other_tables_in_place(tmp_path: Path, broken: str) -> None:
    text_file(tmp_path, broken)
    text_file(tmp_path, "id\n7\n", "other.csv")
    with pytest.raises(AdapterError) as caught:
        connect(tmp_path)
    remedy = ast.literal_eval(str(caught.value).partition("tables=")[2])
    with connect(tmp_path, tables=remedy) as db:
        assert db.schema.names == ("other", "t")
        assert (rows(db, "other"), db.num_rows("t")) == ([(7,)], 1)


@pytest.mark.slow
@settings(deadline=None, max_examples=max(25, settings.default.max_examples // 8))
@given(files=st.lists(st.lists(st.tuples(st.integers(0, 9), CELL), max_size=5), min_size=1, max_size=4))
def test_any_files_are_the_concatenation(files: list[list[tuple[int, str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for place, lines in enumerate(files):
            quoted = "".join(f'{key},"{cell.replace(chr(34), chr(34) * 2)}"\n' for key, cell in lines)
            Path(folder, f"part-{place}.csv").write_text("key,cell\n" + quoted)
        with connect(folder) as db:
            (name,) = db.schema.names
            values = [row[1] for row in rows(db, name)]
            keys = [row[0] for row in rows(db, name)]
        expected = [line for lines in files for line in lines]
        assert [None if key is None else int(key) for key in keys] == [key for key, _ in expected]
        for value, (_, cell) in zip(values, expected, strict=True):
            if cell == "":
                assert value is None
            elif isinstance(value, str):
                assert value == cell
            elif isinstance(value, int | float):
                assert value == float(cell)
            else:
                assert str(value)[:10] == cell[:10]

"""Everything that can be wrong with a source raises one of our errors, names what is wrong, and shows no password."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import relgraph
from relgraph.adapters.urls import masked, without_secrets
from relgraph.errors import AdapterError, RelGraphError, SchemaError


def connect(source: Any, **given: Any) -> Any:
    return relgraph.connect(source, progress=False, **given)


def csv_file(tmp_path: Path, content: bytes | str, name: str = "race.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["no.sqlite", "no.db", "no.duckdb", "no.csv", "no.parquet", "no", "sqlite:///no.db"])
def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdapterError, match="there is no file"):
        connect(name)


@pytest.mark.parametrize("name", ["folder.sqlite", "folder.duckdb"])
def test_a_folder_is_no_database_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(AdapterError, match="is a folder, expected a"):
        connect(tmp_path / name)


@pytest.mark.parametrize("source", ["mongodb://me:secret@host/db", 7, None, "sqlite://", "duckdb://"])
def test_nothing_reads_it(source: Any) -> None:
    message = r"understood are: .*\.duckdb.*postgresql|expected (sqlite|duckdb):///path"
    with pytest.raises(AdapterError, match=message) as caught:
        connect(source)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("oracle://user:s3cret@host/db", "pip install 'oracledb'"),
        ("mssql+pyodbc://user:s3cret@host/db", "pip install 'pyodbc'"),
        ("oracle://user:s3cret%40%2F@host/db?password=s3cret", "pip install 'oracledb'"),
    ],
)
def test_driver_that_is_not_installed(url: str, remedy: str) -> None:
    with pytest.raises(AdapterError, match="which is not installed") as caught:
        connect(url)
    error = caught.value
    assert remedy in str(error)
    assert error.__context__ is None
    assert error.__cause__ is None
    text = "".join(traceback.format_exception(error)) + repr(error)
    assert "s3cret" not in text
    assert "user:***@host" in text


def test_missing_driver_with_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy

    def without_driver(*args: object, **kwargs: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(sqlalchemy, "create_engine", without_driver)
    for url, extra in (("postgresql://me:s3cret@h/d", "postgres"), ("mariadb://me:s3cret@h/d", "mysql")):
        with pytest.raises(AdapterError, match=rf"pip install 'relgraph\[{extra}\]'") as caught:
            connect(url)
        assert "s3cret" not in str(caught.value)


def test_malformed_url() -> None:
    with pytest.raises(AdapterError, match="expected dialect"):
        connect("postgresql://me:s3cret@host:port/db")


def test_a_server_that_says_the_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sqlalchemy

    class Refusing:
        dialect = None

        def connect(self) -> None:
            raise OSError("no login for me with s3cret/ or s3cret%2F")

        def dispose(self) -> None:
            pass

    monkeypatch.setattr(sqlalchemy, "create_engine", lambda url, **options: Refusing())
    url = "postgresql://me:s3cret%2F@host/db"
    with pytest.raises(AdapterError, match=r"no login for me with \*\*\* or \*\*\*") as caught:
        connect(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_masking() -> None:
    assert masked("a://u:p@ss:w/rd@h/d") == "a://u:***@h/d"
    assert masked("a://u@h/d") == "a://u@h/d"
    assert masked("a://h:1/d") == "a://h:1/d"
    assert masked("a://h/d?user=u&sslpassword=x;y&b=1") == "a://h/d?user=u&sslpassword=***;y&b=1"
    assert masked("a://?odbc_connect=PWD%3Dx") == "a://?odbc_connect=***"
    assert without_secrets("x p%40 p@ y", "a://u:p%40@h/d") == "x *** *** y"
    assert without_secrets("nothing", "a://h/d") == "nothing"


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("a,b\n1,x\n2,y,z\n", 3, "Found: 3"),
        ("a,b\n1,2,3\n", 2, "Found: 3"),
        ("a,b\n1,x\n2\n3,z\n", 3, "Found: 1"),
        ('a,b\n1,x\n2,"y\n3,z\n', 3, "unterminated quote"),
        (b"a,b\n1,x\n2,\xff\n", 3, "not utf-8"),
    ],
)
def test_broken_csv_line(tmp_path: Path, content: bytes | str, line: int, what: str) -> None:
    path = csv_file(tmp_path, content)
    with pytest.raises(AdapterError, match=f"{path}:{line}: .*{what}"):
        connect(tmp_path)


def test_broken_csv_line_far_down(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a,b\n" + "1,x\n" * 50_000 + "1,x,y\n" + "1,x\n" * 10)
    with pytest.raises(AdapterError, match=f"{path}:50002: "):
        connect(tmp_path)


def test_header_trouble(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="two columns are named 'a'"):
        connect(csv_file(tmp_path, "a,a\n1,2\n"))
    with pytest.raises(AdapterError, match="is empty; expected a header"):
        connect(csv_file(tmp_path, ""))
    with pytest.raises(AdapterError, match="header line cannot be read"):
        connect(csv_file(tmp_path, "no gzip", "race.csv.gz"))


def test_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="there is no table in"):
        connect(tmp_path)
    (tmp_path / "readme.txt").write_text("a,b")
    with pytest.raises(AdapterError, match=r"expected files ending in \.parquet, \.csv"):
        connect(tmp_path)


def test_two_files_for_one_table(tmp_path: Path) -> None:
    csv_file(tmp_path, "a\n1\n", "race.csv")
    csv_file(tmp_path, "a\n1\n", "race.tsv")
    with pytest.raises(AdapterError, match=r"race\.csv and race\.tsv"):
        connect(tmp_path)


@pytest.mark.parametrize("name", ["x.parquet", "x.sqlite", "x.duckdb"])
def test_file_with_other_content(tmp_path: Path, name: str) -> None:
    csv_file(tmp_path, "this is text" * 100, name)
    with pytest.raises(AdapterError, match="x\\."):
        connect(tmp_path / name)


def test_sqlite_file_cut_short(tmp_path: Path) -> None:
    csv_file(tmp_path, b"SQLite format 3\0" + b"\1" * 3000, "x.sqlite")
    with pytest.raises(AdapterError, match=r"x\.sqlite"):
        connect(tmp_path / "x.sqlite")


FRAME = {"race": pa.table({"id": [1], "year": [2020]})}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keys": {"rice": "id"}}, "keys names table 'rice', which does not exist; tables: race"),
        ({"keys": {"race": "ID"}}, r"keys\['race'\] names column 'ID'.*columns: id, year"),
        ({"keys": {"race": ("id", "no")}}, r"names column 'no'"),
        ({"keys": {"race": 5}}, "expected a column name or several"),
        ({"keys": {"race": {"primary": "id"}}}, "'primary'; expected 'primary_key' and 'foreign_keys'"),
        ({"keys": {"race": {"foreign_keys": {"id": "place"}}}}, "race.id refers to table 'place'.*tables: race"),
        ({"keys": {"race": {"foreign_keys": {"place": "race"}}}}, "names column 'place'"),
        ({"keys": {"race": {"foreign_keys": {"year": ("race", "no")}}}}, "refers to race.no, which does not exist"),
        ({"keys": {"race": {"foreign_keys": {"year": "race"}}}}, "has no primary key"),
        ({"keys": {"race": {"foreign_keys": {"year": 3}}}}, r"expected a table name or \(table, columns\)"),
        ({"keys": {"race": {"foreign_keys": ["year"]}}}, "expected a mapping"),
        ({"keys": ["race"]}, "keys: expected a mapping"),
        ({"times": {"rice": "year"}}, "times names table 'rice'"),
        ({"times": {"race": "date"}}, r"times\['race'\] names column 'date'.*columns: id, year"),
        ({"tables": ["rice"]}, "there is no table 'rice'; tables: race"),
        ({"tables": {"rice": None}}, r"tables\['rice'\] is None.*there are: race"),
        ({"tables": {"r": "SELECT nope FROM race"}}, r"tables\['r'\]: the query cannot run.*nope"),
        ({"tables": {"r": "SELEC 1"}}, r"tables\['r'\]: the query cannot run"),
    ],
)
def test_declarations_that_name_nothing(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=f"(?s){message}"):
        connect(FRAME, **given)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({}, "mapping of frames is empty"),
        ({1: FRAME["race"]}, "1 cannot name a table"),
        ({"t": [1, 2]}, "table 't' is a list"),
        ({"t": pa.table([pa.array([1]), pa.array([2])], ["a", "a"])}, "two columns named 'a'"),
        ({"t": pd.DataFrame([[1, 2]], columns=["a", "a"])}, "two columns named 'a'"),
        ({"t": pd.DataFrame({0: [1]})}, r"column named 0 \(int\).*rename"),
        ({"t": pd.DataFrame({"": [1]})}, "a column without a name"),
        ({"t": pd.DataFrame()}, "has no columns"),
        ({"t": pd.DataFrame({"a": [1, "x", None]}, dtype=object)}, r"t\.a holds values of type int, str together"),
        ({"t": pd.DataFrame({"a": [object()]})}, r"t\.a holds values of type object"),
    ],
)
def test_frames_that_are_no_tables(frames: dict[Any, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        connect(frames)


def test_sql_over_tables_of_a_server(tmp_path: Path) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "x.sqlite").close()
    for source in (tmp_path / "x.sqlite", f"sqlite+pysqlite:///{tmp_path}/x.sqlite"):
        with pytest.raises(SchemaError, match="chosen by name"):
            connect(source, tables={"a": "SELECT 1"})


def test_every_error_is_ours() -> None:
    assert issubclass(AdapterError, RelGraphError)
    assert issubclass(SchemaError, RelGraphError)


@pytest.mark.parametrize("target", [("p", 5), ("p", None), ("p", [1])])
def test_a_key_that_refers_to_no_column_name(target: Any) -> None:
    frames = {"p": pd.DataFrame({"id": [1]}), "c": pd.DataFrame({"k": [1]})}
    with pytest.raises(SchemaError, match=r"keys\['c'\]\['foreign_keys'\]\['k'\] is .*expected a table name or"):
        connect(frames, keys={"p": "id", "c": {"foreign_keys": {"k": target}}})


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (5, r"tables: expected names \(for tables also a mapping to SQL\), got 5"),
        ({"a": "SELECT 1; SELECT 2"}, "expected one SELECT, got 2 statements"),
        ({"a": ""}, "expected one SELECT, got 0 statements"),
    ],
)
def test_tables_that_are_none(tables: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        connect({"p": pd.DataFrame({"id": [1]})}, tables=tables)


@pytest.mark.parametrize("url", ["sqlite:///shop", "duckdb:///shop", "sqlite:///"])
def test_a_missing_file_without_suffix_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdapterError, match=r"there is no file|is a folder"):
        connect(url)
    assert not list(tmp_path.iterdir())


def test_another_driver_than_the_one_of_our_extra() -> None:
    pytest.importorskip("sqlalchemy")
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        with pytest.raises(
            AdapterError, match=r"'MySQLdb', which is not installed: install it, or pip install .*mysql"
        ):
            connect("mysql+mysqldb://me:secret@host/shop")


def test_tables_whose_names_differ_only_in_case(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1]})
    with pytest.raises(AdapterError, match="differ only in case: P, p; rename one"):
        connect({"P": frame, "p": frame})
    csv_file(tmp_path, "x\n1\n", "P.csv")
    csv_file(tmp_path, "y\n2\n", "p.csv")
    with pytest.raises(AdapterError, match=r"P\.csv and p\.csv .* rename one"):
        connect(tmp_path)


@pytest.mark.parametrize("start", ["", "sqlite:///", "duckdb:///", "sqlite+pysqlite:///", "/"])
def test_a_name_that_no_file_can_have(start: str) -> None:
    for name, why in (("x" * 5000, "name too long"), ("a\0b", "NUL")):
        with pytest.raises(AdapterError, match=why) as caught:
            connect(start + name)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("tables", [[], (), {}, ""])
def test_no_table_is_asked_for(tables: Any) -> None:
    with pytest.raises(SchemaError, match="tables: expected at least one name, got none; leave it out to read all"):
        connect({"p": pd.DataFrame({"id": [1]})}, tables=tables)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+pysqlite:///no.db",
        "sqlite+pysqlite:///deep/no.db",
        "sqlite+pysqlite:///file:no.db?uri=true",
        "sqlite+pysqlite:///file:no.db?mode=rwc&uri=true",
    ],
)
def test_no_sqlite_driver_makes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdapterError, match=r"there is no file (deep/)?no\.db; expected a SQLite file"):
        connect(url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["sqlite+pysqlite://", "sqlite+pysqlite:///:memory:"])
def test_a_sqlite_in_memory_is_empty(url: str) -> None:
    with pytest.raises(AdapterError, match=r"names no SQLite file; expected sqlite\+pysqlite:///path"):
        connect(url)

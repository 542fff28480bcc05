"""What columns mean: every line of the table in ``relgraph.data.columns``, whatever the row order or the storage."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.data import type_profile as profile
from relgraph.data.columns import ColumnMeaning, understand_columns
from relgraph.data.encode import encode_columns
from relgraph.data.schema import ColumnSchema, ForeignKey, SemanticType, TableSchema
from relgraph.data.sql import quote
from relgraph.errors import SchemaError

ROWS = 400
CASES: list[tuple[str, str, str]] = [  # name, SQL over i = 0..399, expected type
    ("photo", "'a'::BLOB", "unsupported"),
    ("thing", "{'a': i}", "unsupported"),
    ("lookup", "MAP {'a': i}", "unsupported"),
    ("nested", "[[1.5], [i]]", "unsupported"),
    ("same", "7", "constant"),
    ("empty text", "''", "constant"),
    ("nothing", "NULL::VARCHAR", "constant"),
    ("all nan", "'nan'::DOUBLE", "constant"),
    ("one flag", "CASE WHEN i % 7 = 0 THEN 'Y' END", "categorical"),
    ("one flag as a number", "CASE WHEN i % 7 = 0 THEN 1.0::DOUBLE END", "categorical"),
    ("born", "DATE '1990-01-01' + i::INT", "timestamp"),
    ("extreme", "[DATE '0001-01-01', DATE '9999-12-31', 'infinity'::DATE][i % 3 + 1]", "timestamp"),
    ("zoned", "TIMESTAMPTZ '2020-01-01 10:00:00+02' + INTERVAL (i) HOUR", "timestamp"),
    ("active", "i % 2 = 0", "categorical"),
    ("color", "(['r', 'g'][i % 2 + 1])::ENUM('r', 'g')", "categorical"),
    ("opens", "TIME '00:00:00' + INTERVAL (i) MINUTE", "numerical"),
    ("duration", "INTERVAL (i) MINUTE", "numerical"),
    ("tenant", "uuid()", "identifier"),
    ("bits", "[BIT '101', BIT '011'][i % 2 + 1]", "categorical"),
    ("day number", "strftime(DATE '2020-01-01' + i::INT, '%Y%m%d')::INT", "timestamp"),
    ("no days", "20200101 + i * 31", "numerical"),
    ("statusId", "i % 15", "categorical"),
    ("customerid", "i % 300", "identifier"),
    ("customer as fraction id", "(i * 37)::DOUBLE", "identifier"),
    ("zip_code_prefix", "10000 + i * 31", "identifier"),
    ("country code", "i % 40", "categorical"),
    ("year", "1700 + i", "numerical"),
    ("units", "i % 4", "categorical"),
    ("running", "1000 + i", "identifier"),
    ("running with gaps", "i * 13", "identifier"),
    ("inhabitants", "(i * 7919 % 40009) * 13 + i", "numerical"),
    ("doors", "i % 4", "categorical"),
    ("floors", "i % 11", "numerical"),
    ("huge", "i::HUGEINT * 170141183460469231731687303715884", "numerical"),
    ("unsigned", "18446744073709551615::UBIGINT - (i * i * 1000003)::UBIGINT", "numerical"),
    ("wide decimal", "(i * 1.37)::DECIMAL(38, 10)", "numerical"),
    ("whole decimal", "(i % 4)::DECIMAL(10, 0)", "categorical"),
    ("holes", "['nan'::DOUBLE, 'inf'::DOUBLE, i][i % 3 + 1]", "numerical"),
    ("vector", "[i, i + 0.5]::FLOAT[2]", "embedding"),
    ("vector text", "'[0.5, ' || i || ']'", "embedding"),
    ("vector json", "('[1, ' || i || ']')::JSON", "embedding"),
    ("whole vector", "[i, i + 1, i + 2]", "embedding"),
    ("fractions of any length", "[i * 0.5] || CASE WHEN i % 2 = 0 THEN [7.5] ELSE [] END", "unsupported"),
    ("codes", "[i % 5] || CASE WHEN i % 2 = 0 THEN [7] ELSE []::INT[] END", "multicategorical"),
    ("words", "['a' || i % 5, 'b']", "multicategorical"),
    ("friends", "['a' || i, 'b' || i]", "identifier"),
    ("json words", """'["a' || i % 5 || '", "b"]'""", "multicategorical"),
    ("python words", "'[''a' || i % 5 || ''', ''b'']'", "multicategorical"),
    ("text date", "(DATE '1990-01-01' + i::INT)::VARCHAR", "timestamp"),
    ("text moment", "'2020-01-01T10:00:' || lpad((i % 60)::VARCHAR, 2, '0') || '+02:00'", "timestamp"),
    ("money", "'$' || (1 + i % 9) || ',' || (100 + i) || '.50'", "numerical"),
    ("share", "(i % 90) || ' %'", "numerical"),
    ("comma", "(i % 50) || ',5'", "numerical"),
    ("fee", "(i % 50) || '.90 EUR'", "numerical"),
    ("Betrag", "'1.' || (100 + i % 800) || ',50 €'", "numerical"),
    ("result", "i % 5 || ':' || i % 3", "categorical"),
    ("lap", "(1 + i % 3) || ':' || lpad((i % 60)::VARCHAR, 2, '0') || '.' || i % 10", "numerical"),
    ("number text", "(i * 0.37)::VARCHAR", "numerical"),
    ("number text with gaps", "CASE WHEN i % 5 = 0 THEN 'N/A' ELSE (i * 1.5)::VARCHAR END", "numerical"),
    ("few numbers as text", "(i % 4)::VARCHAR", "categorical"),
    ("leading zeros", "lpad((i * 7919 % 10000)::VARCHAR, 6, '0')", "identifier"),
    ("long digits", "(5550000000 + i * 7919)::VARCHAR", "identifier"),
    ("PostalCode", "(10000 + i * 7)::VARCHAR", "identifier"),
    ("document", """'{"a": ' || i || '}'""", "unsupported"),
    ("genres", "['Action|Comedy', 'Comedy|Drama|War', 'Drama', 'Action|War', 'War|Comedy'][i % 5 + 1]", "categorical"),
    (
        "many genres",
        "array_to_string(list_filter(['Action', 'Comedy', 'War', 'Crime'], lambda g: hash(g || i) % 2 = 0), '|')",
        "multicategorical",
    ),
    ("tags", "'<' || ['x', 'y', 'z'][i % 3 + 1] || '><' || ['a', 'b', 'c', 'd'][i % 4 + 1] || '>'", "multicategorical"),
    ("comma words", "['x', 'y', 'z', 'u'][i % 4 + 1] || ', ' || ['a', 'b', 'c'][i % 3 + 1]", "multicategorical"),
    ("contact", "'u' || i || '@mail.org'", "identifier"),
    ("contact again", "'u' || i % 30 || '@mail.org'", "identifier"),
    ("link", "'https://x.org/' || i", "identifier"),
    ("uuid text", "uuid()::VARCHAR", "identifier"),
    ("digest", "md5(i::VARCHAR)", "identifier"),
    ("call", "'+49 30 ' || (1000000 + i * 7919)", "identifier"),
    ("machine", "'10.0.' || i % 9 || '.' || i % 250", "identifier"),
    ("yes or no", "['yes', 'no'][i % 2 + 1]", "categorical"),
    ("blank or word", "['', 'word'][i % 2 + 1]", "categorical"),
    ("few versions", "'1.' || i % 7 || '.' || i % 3", "categorical"),
    ("versions", "'1.' || i || '.0'", "identifier"),
    ("file", "'my photo ' || i || '.jpg'", "identifier"),
    ("driverRef", "'hamil' || chr((97 + i % 26)::INT) || chr((97 + i // 26)::INT)", "identifier"),
    ("title", "'the tale of ' || i || ' cities'", "text"),
    ("surname", "'hamil' || chr((97 + i % 26)::INT) || chr((97 + i // 26)::INT)", "text"),
    ("town", "'san ' || chr((97 + i % 26)::INT)", "categorical"),
]


def table(columns: dict[str, str], rows: int = ROWS) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    terms = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
    connection.execute(f"CREATE TABLE t AS SELECT {terms} FROM range({rows}) r(i)")
    return connection


def understand(
    connection: duckdb.DuckDBPyConnection, types: dict[str, SemanticType] | None = None, **schema: Any
) -> dict[str, ColumnMeaning]:
    found = connection.execute("DESCRIBE t").fetchall()
    described = TableSchema("t", tuple(ColumnSchema(row[0], row[1]) for row in found), **schema)
    return {m.name: m for m in understand_columns(connection, described, "t", types or {})}


@pytest.fixture(scope="module")
def meanings() -> dict[str, ColumnMeaning]:
    return understand(table({name: sql for name, sql, _ in CASES}))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [(name, kind) for name, _, kind in CASES], ids=[c[0] for c in CASES])
def test_a_column_is_found_to_be(meanings: dict[str, ColumnMeaning], name: str, expected: str) -> None:
    assert meanings[name].kind.value == expected


def test_what_is_read_is_the_value_and_not_how_it_is_written() -> None:
    wanted = {name: sql for name, sql, _ in CASES}
    names = (
        "money",
        "share",
        "comma",
        "lap",
        "number text with gaps",
        "opens",
        "duration",
        "text moment",
        "day number",
    )
    connection = table({name: wanted[name] for name in names}, 62)
    terms = ", ".join(m.sql for m in understand(connection).values())
    rows = connection.execute(f"SELECT {terms} FROM t").fetchall()
    assert [float(value) if value is not None else None for value in rows[61][:7]] == [
        8161.50,
        61.0,
        11.5,
        (1 + 61 % 3) * 60 + 1.1,
        91.5,
        61 * 60.0,
        61 * 60.0,
    ]
    assert [str(value) for value in rows[61][7:]] == ["2020-01-01 08:00:01", "2020-03-02 00:00:00"]
    assert rows[60][4] is None


def test_the_time_column_is_a_timestamp_however_it_is_stored() -> None:
    connection = table({"at": "1600000000 + i * 86400", "other": "1600000000 + i * 86400"})
    found = understand(connection, time_column="at")
    assert [found[name].kind.value for name in ("at", "other")] == ["timestamp", "numerical"]
    assert str(connection.execute(f"SELECT {found['at'].sql} FROM t LIMIT 1").fetchall()[0][0]) == "2020-09-13 12:26:40"
    given = understand(connection, {"other": SemanticType.TIMESTAMP}, time_column="at")["other"]
    assert given.sql.replace("other", "at") == found["at"].sql


def test_keys_ids_and_the_end_of_validity_become_no_feature_unless_a_type_is_given() -> None:
    columns = {
        "id": "i",
        "parent": "i // 2",
        "since": "DATE '2020-01-01' + i::INT",
        "until": "DATE '2021-01-01' + i::INT",
        "session_id": "i * 3",
        "number of row": "i",
        "price": "i * 0.5",
    }
    schema: dict[str, Any] = {
        "primary_key": ("id",),
        "foreign_keys": (ForeignKey(("parent",), "t"),),
        "time_column": "since",
        "end_column": "until",
    }
    found = understand(table(columns), **schema)
    assert {name: m.left_out for name, m in found.items()} == {
        "since": None,
        "until": "end of validity",
        "session_id": "identifier",
        "number of row": "identifier",
        "price": None,
    }
    types = {"until": SemanticType.TIMESTAMP, "session_id": SemanticType.CATEGORICAL, "id": SemanticType.NUMERICAL}
    given = understand(table(columns), types, **schema)
    assert "id" not in given
    assert (given["until"].left_out, given["session_id"].left_out) == (None, None)


@pytest.mark.parametrize(
    ("sql", "kind", "message"),
    [
        ("'red' || i", "numerical", r"t\.x is VARCHAR and cannot be numerical; expected numbers"),
        ("'red' || i", "timestamp", r"cannot be a timestamp; expected dates"),
        ("[i * 0.5] || CASE WHEN i = 3 THEN [1.5] ELSE [] END", "embedding", "one length, got lengths 1 to 2"),
        ("i", "multicategorical", "BIGINT and cannot be multicategorical; expected lists"),
        ("{'a': i}", "text", r"STRUCT\(a BIGINT\) and cannot be a text"),
    ],
)
def test_a_given_type_that_does_not_fit_is_refused(sql: str, kind: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        understand(table({"x": sql}), {"x": SemanticType(kind)})


def test_a_given_type_is_taken_where_it_is_possible() -> None:
    columns = {"few": "i % 4", "parts": "'a' || i || ';b'", "digits": "lpad(i::VARCHAR, 6, '0')", "ids": "[i, i + 1]"}
    types = {
        "few": SemanticType.TEXT,
        "parts": SemanticType.MULTICATEGORICAL,
        "digits": SemanticType.NUMERICAL,
        "ids": SemanticType.MULTICATEGORICAL,
    }
    connection = table(columns)
    found = understand(connection, types)
    terms = ", ".join(m.sql for m in found.values())
    few, parts, digits, ids = connection.execute(f"SELECT {terms} FROM t OFFSET 12 LIMIT 1").fetchall()[0]
    assert (few, sorted(parts), digits, sorted(ids)) == ("0", ["a12", "b"], 12.0, ["12", "13"])


@pytest.mark.slow
@pytest.mark.parametrize("limit", [3, 0])
def test_every_type_that_duckdb_has_is_understood_and_encoded(limit: int) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE t AS SELECT * FROM test_all_types() LIMIT {limit}")
    found = understand(connection)
    numbered = '(SELECT *, rowid AS "__row" FROM t)'
    for meaning in found.values():
        features = encode_columns(connection, numbered, numbered, [meaning], limit)
        assert (features is None) == (meaning.left_out is not None), meaning.name
    if limit:
        kinds = {name: found[name].kind.value for name in ("int", "date", "timestamp", "blob", "map", "varchar_array")}
        assert kinds == {
            "int": "categorical",
            "date": "constant",  # the years 5,877,642 BC and 5,881,580 are no timestamps
            "timestamp": "timestamp",
            "blob": "unsupported",
            "map": "unsupported",
            "varchar_array": "multicategorical",
        }
    else:
        assert {m.left_out for m in found.values()} == {"constant", "unsupported"}


@pytest.mark.slow
def test_columns_are_the_same_whether_their_values_are_grouped_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {name: sql for name, sql, _ in CASES if "uuid" not in sql} | {
        "long prose": "repeat('the tale of cities ', 20) || i"
    }
    connection = table(columns)
    grouped = understand(connection)
    assert grouped["long prose"].kind is SemanticType.TEXT
    monkeypatch.setattr(profile, "_GROUPED", 0)
    assert understand(connection) == grouped


ANY_NAME = (
    "n",
    "part",
    "value",
    "code",
    "whole",
    "v",
    "x",
    "t",
    "c",
    "d",
    "row",
    "sum",
    'the "big" one',
    "from",
    "é",
    "{x}",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ANY_NAME)
def test_columns_may_have_any_name(name: str) -> None:
    genres = next(sql for other, sql, _ in CASES if other == "many genres")
    forms = {
        "multicategorical": genres,
        "categorical": "['a', 'b'][i % 2 + 1]",
        "text": "'the tale of ' || i || ' cities'",
        "embedding": "[i, 0.5]",
        "numerical": "(i * 0.37)::VARCHAR",
        "timestamp": "DATE '2020-01-01' + i::INT",
    }
    for kind, sql in forms.items():
        connection = table({name: sql})
        (meaning,) = understand(connection, {name: SemanticType(kind)}).values()
        numbered = '(SELECT *, rowid AS "__row" FROM t)'
        named = encode_columns(connection, numbered, numbered, [meaning], ROWS)
        connection = table({"plain": sql})
        plain = encode_columns(connection, numbered, numbered, list(understand(connection).values()), ROWS)
        assert named is not None
        assert plain is not None
        assert named.stats[name] == plain.stats["plain"]
        assert str(named.column(name).tolist()) == str(plain.column("plain").tolist())


def test_a_time_column_of_numbers_and_huge_numbers_are_encoded() -> None:
    connection = table({"at": "20200101 + i % 28", "x": "[1e300, -1e300, 1, 3][i % 4 + 1]"}, 40)
    found = understand(connection, time_column="at")
    numbered = '(SELECT *, rowid AS "__row" FROM t)'
    features = encode_columns(connection, numbered, numbered, list(found.values()), 40)
    assert features is not None
    assert features.column("at").tolist()[3] == [2020, 0, 3, 5, 0, 0, 0]
    # what float32 cannot hold is missing, in the values and in the statistics
    assert features.stats["x"]["mean"] == 2.0
    assert features.column("x")[:4].isnan().tolist() == [True, True, False, False]  # type: ignore[index]


VALUES = st.one_of(
    st.none(),
    st.integers(-20, 40).map(str),
    st.sampled_from(
        ["a|b", "b|c", "a", "c|a", "", "N/A", "2020-01-01", "x y", "mail@x.org", "[1, 2]", "7,5", "$3", "é"]
    ),
)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.tuples(VALUES, st.one_of(st.none(), st.integers(0, 60)), st.floats()), min_size=1), st.randoms())
def test_the_order_of_rows_changes_no_type_and_no_statistic(rows: list[tuple[Any, Any, Any]], random: Any) -> None:
    def fitted(given: list[tuple[Any, Any, Any]]) -> tuple[Any, Any]:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE t (word VARCHAR, number BIGINT, price DOUBLE, words VARCHAR[])")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, [?, ?])", [(*row, row[0], "z") for row in given])
        found = understand(connection)
        numbered = '(SELECT *, rowid AS "__row" FROM t)'
        features = encode_columns(connection, numbered, numbered, list(found.values()), len(given))
        kinds = {name: (m.kind, m.left_out) for name, m in found.items()}
        return kinds, None if features is None else features.stats

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert fitted(rows) == fitted(shuffled)


@pytest.mark.slow
def test_parquet_and_sqlite_give_the_same_types_and_statistics(tmp_path: Path) -> None:
    names = ("statusId", "year", "running", "inhabitants", "money", "lap", "many genres", "contact", "title", "surname")
    wanted = {name: sql for name, sql, _ in CASES}
    connection = table({name: wanted[name] for name in names} | {"price": "i * 0.37", "flag": "['a', 'b'][i % 2 + 1]"})
    (tmp_path / "parquet").mkdir()
    connection.execute(f"COPY t TO '{tmp_path / 'parquet' / 't.parquet'}' (FORMAT parquet)")
    described = connection.execute("DESCRIBE t").fetchall()
    with sqlite3.connect(tmp_path / "t.sqlite") as file:
        kinds = {"VARCHAR": "TEXT", "BIGINT": "INTEGER"}
        columns = [f"{quote(name)} {kinds.get(dtype, 'REAL')}" for name, dtype, *_ in described]
        file.execute(f"CREATE TABLE t ({', '.join(columns)})")
        rows = connection.execute("SELECT * REPLACE (CAST(price AS DOUBLE) AS price) FROM t").fetchall()
        file.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(described))})", rows)
    file.close()
    graphs = []
    for source in (tmp_path / "parquet", tmp_path / "t.sqlite"):
        with relgraph.connect(source, keys={"t": ()}, progress=False) as db:
            graphs.append(relgraph.build_graph(db, progress=False))
    first, second = (graph.nodes["t"].features for graph in graphs)
    assert first is not None
    assert second is not None
    assert first.names == second.names
    assert first.stats == second.stats
    assert graphs[0].report["left_out"] == graphs[1].report["left_out"]

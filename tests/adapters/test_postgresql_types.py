"""Every type of PostgreSQL, by ADBC and by psycopg: the same rows and Arrow types, and what each value becomes."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import pyarrow as pa
import pytest

from relgraph.data.schema import ForeignKey, Schema
from tests.adapters.reading import postgres, read, rows
from tests.adapters.servers import ServerDatabase, fresh

pytestmark = pytest.mark.servers

TEXT, WHOLE, FLOAT = pa.large_string(), pa.int64(), pa.float64()
MOMENT, ZONED = pa.timestamp("us"), pa.timestamp("us", "UTC")
NAN = float("nan")
LATER = "values are infinite or outside the years 1 to 9999 and are missing"
NEAREST = "values are 2^53 or more and are held as the nearest double"

# type, values as PostgreSQL writes them, the Arrow type, the values held, and what the notes say after the column
CASES: list[tuple[str, list[str], pa.DataType, list[Any], str]] = [
    ("smallint", ["-32768"], WHOLE, [-32768], ""),
    ("bigint", ["9223372036854775807"], WHOLE, [2**63 - 1], ""),
    ("oid", ["4294967295"], WHOLE, [2**32 - 1], ""),
    ("xid", ["4294967295"], WHOLE, [2**32 - 1], ""),
    ("xid8", ["18446744073709551615"], TEXT, ["18446744073709551615"], ""),
    ("real", ["0.5", "NaN", "-Infinity"], FLOAT, [0.5, NAN, -math.inf], ""),
    ("double precision", ["5e-324", "1e308"], FLOAT, [5e-324, 1e308], ""),
    ("numeric(18, 0)", ["999999999999999999", "-1"], WHOLE, [10**18 - 1, -1], ""),
    ("numeric(18, 0) ", ["NaN", "7"], WHOLE, [None, 7], ": 1 values are NaN and are missing"),
    ("numeric(20, 0)", ["18446744073709551615"], pa.decimal128(38, 0), [decimal.Decimal(2**64 - 1)], ""),
    ("numeric(38, 0)", ["NaN", "3"], pa.decimal128(38, 0), [None, decimal.Decimal(3)], ": 1 values are NaN and are"),
    ("numeric(10, 2)", ["12.34", "NaN"], FLOAT, [12.34, NAN], ""),
    ("numeric(5, -3)", ["5000"], FLOAT, [5000.0], ""),
    ("numeric(40, 0)", ["1e30", "1"], FLOAT, [1e30, 1.0], f": 1 {NEAREST}"),
    ("numeric", ["0.1", "Infinity", "NaN", "1e-400"], FLOAT, [0.1, math.inf, NAN, 0.0], f": 1 {NEAREST}"),
    ("numeric ", ["1e400", "-1e400", "9007199254740993"], FLOAT, [math.inf, -math.inf, 2.0**53], f": 3 {NEAREST}"),
    ("money", ["12.50", "-0.01"], FLOAT, [12.5, -0.01], ""),
    ("boolean", ["t", "f"], pa.bool_(), [True, False], ""),
    ("text", ["", "it's \\ 茶"], TEXT, ["", "it's \\ 茶"], ""),
    ("char(5)", ["ab"], TEXT, ["ab"], ""),
    ("name", ["n"], TEXT, ["n"], ""),
    ('"char"', ["x"], TEXT, ["x"], ""),
    ("citext", ["CiText"], TEXT, ["CiText"], ""),
    ("bytea", [r"\x00ff"], pa.large_binary(), [b"\x00\xff"], ""),
    ("date", ["0001-01-01", "9999-12-31"], pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], ""),
    ("date ", ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"], pa.date32(), [None] * 4, f": 4 {LATER}"),
    ("timestamp", ["2020-02-29 12:34:56.789012"], MOMENT, [dt.datetime(2020, 2, 29, 12, 34, 56, 789012)], ""),
    ("timestamp ", ["0001-01-01", "9999-12-31 23:59:59.999999"], MOMENT, [dt.datetime.min, dt.datetime.max], ""),
    ("timestamp  ", ["infinity", "-infinity", "294276-12-31", "4713-01-01 BC"], MOMENT, [None] * 4, f": 4 {LATER}"),
    ("timestamptz", ["2020-01-01 00:00+02"], ZONED, [dt.datetime(2019, 12, 31, 22, tzinfo=dt.UTC)], ""),
    ("timestamptz ", ["infinity", "10000-01-01 00:00+00"], ZONED, [None, None], f": 2 {LATER}"),
    ("time", ["23:59:59.999999", "00:00"], pa.time64("us"), [dt.time.max, dt.time.min], ""),
    ("timetz", ["12:34:56+02"], TEXT, ["12:34:56+02"], ""),
    ("interval", ["1 day 00:00:01.5", "-1 hour"], FLOAT, [86401.5, -3600.0], " is an interval: it is read as seconds"),
    ("uuid", ["00000000-0000-0000-0000-00000000000A"], TEXT, ["00000000-0000-0000-0000-00000000000a"], ""),
    ("json", ['{"a": [1, 2]}'], TEXT, ['{"a": [1, 2]}'], ""),
    ("jsonb", ['{"ü":  null}', "null"], TEXT, ['{"ü": null}', "null"], ""),
    ("xml", ["<a>x</a>"], TEXT, ["<a>x</a>"], ""),
    ("hstore", ["a=>1"], TEXT, ['"a"=>"1"'], ""),
    ("inet", ["127.0.0.1", "10.1.2.3/16", "::1"], TEXT, ["127.0.0.1", "10.1.2.3/16", "::1"], ""),
    ("cidr", ["10.1.0.0/16"], TEXT, ["10.1.0.0/16"], ""),
    ("macaddr", ["08-00-2b-01-02-03"], TEXT, ["08:00:2b:01:02:03"], ""),
    ("bit(4)", ["0101"], TEXT, ["0101"], ""),
    ("varbit", ["1"], TEXT, ["1"], ""),
    ("tsvector", ["fat cat"], TEXT, ["'cat' 'fat'"], ""),
    ("int4range", ["[1,4]"], TEXT, ["[1,5)"], ""),
    ("int4multirange", ["{[1,2),[5,9)}"], TEXT, ["{[1,2),[5,9)}"], ""),
    ("tstzrange", ["[2020-01-01 00:00+01,)"], TEXT, ['["2019-12-31 23:00:00+00",)'], ""),
    ("mood", ["happy", "sad"], TEXT, ["happy", "sad"], ""),
    ("pair", ['(1,"x y")'], TEXT, ['(1,"x y")'], ""),
    ("positive", ["5"], WHOLE, [5], ""),
    ("dearer", ["99.99"], FLOAT, [99.99], ""),
    ("tags", ["{a,b}"], pa.list_(pa.string()), [["a", "b"]], ""),
    ("text[]", ["{a,NULL}", "{}", "[0:1]={x,y}"], pa.list_(pa.string()), [["a", None], [], ["x", "y"]], ""),
    ("mood[]", ["{sad,ok}"], pa.list_(pa.string()), [["sad", "ok"]], ""),
    ("bigint[]", ["{9007199254740993}", "[5:5]={1}"], pa.list_(WHOLE), [[2**53 + 1], [1]], ""),
    ("real[]", ["{0.5,NULL}"], pa.list_(FLOAT), [[0.5, None]], ""),
    ("numeric[]", ["{1.5,2}"], pa.list_(FLOAT), [[1.5, 2.0]], ""),
    ("int[]", ["{{1,2},{3,4}}", "{5}"], TEXT, ["[[1,2],[3,4]]", "[5]"], ""),
    ("boolean[]", ["{t,NULL}"], TEXT, ["[true,null]"], ""),
    ("pair[]", ['{"(1,a)"}'], TEXT, ['[{"a":1,"b":"a"}]'], ""),
    ("point", ["(1,2)"], TEXT, ["(1,2)"], ""),
    ("polygon", ["((0,0),(1,1))"], TEXT, ["((0,0),(1,1))"], ""),
    ("pg_lsn", ["16/B374D848"], TEXT, ["16/B374D848"], ""),
    ("int2vector", ["1 2"], TEXT, ["1 2"], ""),
    ("vector", ["(2)"], pa.list_(FLOAT), [[2.0, 0.5]], ""),
]
TYPES = """
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN dear AS numeric(12, 2);
CREATE DOMAIN dearer AS dear;
CREATE DOMAIN tags AS text[];
CREATE TYPE vector AS (length int);  -- in place of the extension's: it too has a cast to real[]
CREATE FUNCTION as_real(vector) RETURNS real[] LANGUAGE sql IMMUTABLE STRICT AS 'SELECT ARRAY[$1.length, 0.5]::real[]';
CREATE CAST (vector AS real[]) WITH FUNCTION as_real(vector);
"""


@pytest.fixture(scope="module")
def typed(postgresql: ServerDatabase) -> ServerDatabase:
    """A table per case, its first row all NULL."""
    postgresql.run(TYPES)
    for i, (dtype, values, *_) in enumerate(CASES):
        quoted = ", ".join("(DEFAULT, '" + value.replace("'", "''") + "')" for value in values)
        postgresql.run(
            f"CREATE TABLE c{i} (id serial PRIMARY KEY, v {dtype.strip()}); "
            f"INSERT INTO c{i} VALUES (DEFAULT, NULL), {quoted}"
        )
    return postgresql


@pytest.mark.parametrize("adbc", [True, False], ids=["adbc", "psycopg"])
def test_what_the_values_of_every_type_become(typed: ServerDatabase, adbc: bool) -> None:
    source = postgres(typed.url, adbc=adbc)
    tables = read(source)
    for i, (dtype, _, arrow, expected, note) in enumerate(CASES):
        values = tables[f"c{i}"]["v"]
        assert values.type == arrow, dtype
        assert repr(values.to_pylist()[1:]) == repr(expected) or values.to_pylist()[1:] == expected, dtype
        assert values.to_pylist()[0] is None, dtype
        said = [text.removeprefix(f"column c{i}.v") for text in source.notes if text.startswith(f"column c{i}.v")]
        assert (said[0][: len(note)] if said else "") == note, dtype
        assert len(said) == bool(note)


def test_whole_days_of_24_hours_are_kept(postgresql: ServerDatabase) -> None:
    postgresql.run("CREATE TABLE shift (v time); INSERT INTO shift VALUES ('24:00')")
    for adbc in (True, False):
        values = read(postgres(postgresql.url, adbc=adbc, tables=["shift"]))["shift"]["v"]
        assert values.cast(pa.int64()).to_pylist() == [86_400_000_000]
    postgresql.run("DROP TABLE shift")


KEYS = [  # type, keys, as they are held where they are part of a key
    ("numeric(20, 0)", ["18446744073709551615", "18446744073709551614"], None),
    ("numeric", ["1", "2"], [1, 2]),
    ("numeric", [], []),
    ("numeric", ["9007199254740993", "9007199254740992"], [2**53, 2**53 + 1]),
    ("numeric", [str(10**37), str(10**37 + 1)], None),
    ("numeric", ["1.50", "2"], ["1.5", "2"]),
    ("numeric", [str(10**60), str(10**60 + 1)], [str(10**60), str(10**60 + 1)]),
    ("numeric(12, 2)", ["1.25", "1.26"], ["1.25", "1.26"]),
    ("date", ["infinity", "2020-01-01"], ["2020-01-01", "infinity"]),
    ("date", ["2020-01-01"], [dt.date(2020, 1, 1)]),
    ("timestamptz", ["infinity", "2020-01-01 00:00+01"], ["2019-12-31 23:00:00+00", "infinity"]),
    ("interval", ["1 month", "25 hours"], ["P1DT1H", "P1M"]),
    ("citext", ["Ann", "bob"], ["ann", "bob"]),
    ("money", ["0.01", "92233720368547758.07"], None),
    ("char(3)", ["b", "B"], ["B", "b"]),
    ("uuid", ["00000000-0000-0000-0000-00000000000A"], ["00000000-0000-0000-0000-00000000000a"]),
    ("mood", ["ok", "happy"], ["happy", "ok"]),
    ("bytea", [r"\x01", r"\x00"], [b"\0", b"\1"]),
    ("boolean", ["t", "f"], [False, True]),
]


@pytest.mark.parametrize("adbc", [True, False], ids=["adbc", "psycopg"])
@pytest.mark.parametrize(("dtype", "values", "expected"), KEYS)
def test_keys_are_never_rounded(
    typed: ServerDatabase, dtype: str, values: list[str], expected: list[Any] | None, adbc: bool
) -> None:
    quoted = ", ".join(f"('{value}')" for value in values)
    typed.run(
        "DROP TABLE IF EXISTS child, parent",
        f"CREATE TABLE parent (k {dtype} PRIMARY KEY); CREATE TABLE child (k {dtype} REFERENCES parent)",
        *([f"INSERT INTO parent VALUES {quoted}", "INSERT INTO child SELECT * FROM parent"] if values else []),
    )
    tables = read(postgres(typed.url, adbc=adbc, tables=["parent", "child"]))
    found = tables["parent"]["k"].to_pylist()
    assert len(set(found)) == len(values)
    assert set(tables["child"]["k"].to_pylist()) == set(found)
    assert tables["child"]["k"].type == tables["parent"]["k"].type
    assert expected is None or found == expected


def test_keys_that_postgresql_holds_equal_join(typed: ServerDatabase) -> None:
    """Though they are written differently: the reference would dangle if their text were compared as it is."""
    same = [
        ("citext", "Ann", "aNN"),
        ("interval", "1 month", "30 days"),
        ("numeric", "1.50", "1.5"),
        ("char(9)", "a", "a "),
    ]
    for dtype, key, reference in same:
        typed.run(
            "DROP TABLE IF EXISTS child, parent",
            f"CREATE TABLE parent (k {dtype} PRIMARY KEY); CREATE TABLE child (k {dtype} REFERENCES parent)",
            f"INSERT INTO parent VALUES ('{key}'); INSERT INTO child VALUES ('{reference}')",
        )
        tables = read(postgres(typed.url, tables=["parent", "child"]))
        assert tables["parent"]["k"].to_pylist() == tables["child"]["k"].to_pylist(), dtype


def test_a_column_becomes_exact_when_a_key_is_declared_on_it(typed: ServerDatabase) -> None:
    typed.run(
        "DROP TABLE IF EXISTS child, parent",
        "CREATE TABLE parent (k numeric); INSERT INTO parent VALUES (9007199254740993), (9007199254740992)",
        "CREATE TABLE child (k numeric); INSERT INTO child VALUES (9007199254740993)",
    )
    source = postgres(typed.url, tables=["parent", "child"])
    child, parent = sorted(source.schema(), key=lambda table: table.name)
    declared = type(child)(child.name, child.columns, (), (ForeignKey(("k",), "parent", ("k",)),))
    found = {}
    for table in source.read(Schema((child, parent))):
        found[table.name] = pa.Table.from_batches(table.batches)["k"].to_pylist()
    assert found == {"child": [2.0**53], "parent": [2.0**53, 2.0**53]}
    for table in source.read(Schema((declared, parent))):
        found[table.name] = pa.Table.from_batches(table.batches)["k"].to_pylist()
    source.close()
    assert found == {"child": [2**53 + 1], "parent": [2**53 + 1, 2**53]}


def test_text_of_no_encoding_is_read_with_what_is_not_utf8_replaced(postgresql: ServerDatabase) -> None:
    for ascii_only in fresh("postgresql", postgresql.server, "ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"):
        ascii_only.run(
            "CREATE TABLE t (id text PRIMARY KEY, v text[])",
            r"INSERT INTO t VALUES ('ok', '{a}'), (convert_from('\xe9', 'SQL_ASCII'), NULL)",
            "INSERT INTO t VALUES ('caf' || chr(195) || chr(169), NULL)",
        )
        for adbc in (True, False):
            source = postgres(ascii_only.url, adbc=adbc)
            assert rows(read(source)["t"]) == [("café", None), ("ok", ["a"]), ("\ufffd", None)]
            assert source.notes == ["column t.id: 1 values are no UTF-8 text: what is not is replaced by U+FFFD"]


def test_text_of_another_encoding_is_converted(postgresql: ServerDatabase) -> None:
    for latin in fresh("postgresql", postgresql.server, "ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'"):
        latin.run('CREATE TABLE "größe" (v text)', "INSERT INTO \"größe\" VALUES ('café')")
        for adbc in (True, False):
            assert rows(read(postgres(latin.url, adbc=adbc))["größe"]) == [("café",)]

"""Tables and names that sources have and examples do not: each is kept, or refused with table, column and remedy."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relgraph
from relgraph.errors import AdapterError, RelGraphError
from tests.adapters.odd_sources import KINDS, linked, opened, survive, values

INTEGER, TEXT = pa.int64(), pa.string()
INJECTIONS = [
    'x"; DROP TABLE kept; --',
    "y'); DELETE FROM kept; --",
    "z`; DROP TABLE kept",
    "100%s %(a)s {b} :c ?",
    "$1",
]
OURS = ["relgraph_rows", "__row", "rowid", "timestamps", "relgraph_snapshot", "relgraph_cuts", "main", "memory", "time"]
OURS += [
    "information_schema",
    "__relgraph_batch",
    "order",
    "table",
    "child",
    "parent",
    "c",
    "p",
    "given",
    "t",
    "row",
    "v",
]
COLUMNS = [
    "rowid",
    "__row",
    "__time",
    "__v",
    "v",
    "n",
    "c",
    "p",
    "t",
    "row",
    "k0",
    "x0",
    "time",
    "value",
    "code",
    "select",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_names_are_data_and_never_sql(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    names = [name for name in INJECTIONS if kind not in ("parquet", "csv") or "/" not in name]
    columns = {"id": pa.array([1, 2]), **{name: pa.array([7, 8]) for name in names}}
    tables = {"kept": pa.table({"id": [1, 2, 3]}), **{name: pa.table(columns) for name in names}}
    keys: dict[str, Any] = {"kept": "id"}
    for i, name in enumerate(names):
        keys[name] = {"primary_key": "id", "foreign_keys": {name: "kept", names[i - 1]: (names[i - 2], "id")}}
    with opened(kind, tables, tmp_path, request, keys=keys) as db:
        assert set(db.schema.names) == set(tables)
        survive(db, tmp_path)
        for name in names:
            assert values(db, name, name, "id") == [7, 8]
        assert db.num_rows("kept") == 3
        assert all(key.dangling == 2 for key in db.check().foreign_keys)
        cut = db.upto("2020-01-01")
        assert [cut.num_rows(name) for name in names] == [2] * len(names)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "pandas", "sqlite", "duckdb", "postgresql", "mariadb"])
def test_tables_and_columns_named_like_ours(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    columns = [{name: pa.array([5, 6]) for name in COLUMNS[i::4]} for i in range(4)]  # each name in some of the tables
    days = pa.array([dt.datetime(2020, 1, 1), dt.datetime(2021, 1, 1)], pa.timestamp("us"))
    tables = {
        name: pa.table({"id": [1, 2], "ref": [2, None], "day": days, "v": [5, 6], **columns[i % 4]})
        for i, name in enumerate(OURS)
    }
    keys = {
        name: {"primary_key": "id", "foreign_keys": {"ref": OURS[i - 1], "v": OURS[i - 2]}}
        for i, name in enumerate(OURS)
    }
    given: dict[str, Any] = {"keys": keys, "times": dict.fromkeys(OURS, "day")}
    with opened(kind, tables, tmp_path, request, **given) as db:
        graph = survive(db, tmp_path)
        for i, name in enumerate(OURS):
            called = [column for column in db.schema[name].column_names if column not in ("id", "ref", "day")]
            assert len(called) == len({"v", *columns[i % 4]})
            for column in called:
                assert values(db, name, column, "id") == [5, 6]
            assert graph.edges[name, "ref", OURS[i - 1]].edge_index.tolist() == [[0], [1]]
            assert graph.edges[name, "v", OURS[i - 2]].num_edges == 0
            assert db.upto("2020-06-01").num_rows(name) == 1


@pytest.mark.parametrize("kind", ["parquet", "csv", "pandas", "pandas-arrow", "arrow", KINDS[-2]])  # PostgreSQL
def test_columns_that_differ_in_case(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    given = pa.table({"Id": [1, 2], "ID": [3, 4], "id": [5, 6], "É": ["a", "b"], "é": ["c", "d"]})
    with opened(kind, {"t": given}, tmp_path, request, keys={"t": "Id"}) as db:
        names = db.schema["t"].column_names
        assert len({name.casefold() for name in names}) == 5
        assert [values(db, "t", name) for name in names] == [given.column(i).to_pylist() for i in range(5)]
        assert db.schema["t"].primary_key == (names[0],) == ("Id",)
        assert sum("called" in note for note in db.notes) == 3
        survive(db, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pandas", "sqlite", "postgresql", "mariadb"])  # tests/data/test_wide.py has the files
def test_two_thousand_columns(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    count = 900 if kind in ("mariadb", "postgresql") else 2000  # as many as fit into a row of the server
    columns = {f"c{i}": pa.array([i, None]) for i in range(count - 1)}
    with opened(kind, {"wide": pa.table({"id": [1, 2], **columns})}, tmp_path, request, keys={"wide": "id"}) as db:
        assert len(db.schema["wide"].columns) == count
        found = db.sql("SELECT * FROM wide ORDER BY id").to_pylist()
        assert [list(row.values()) for row in found] == [[1, *range(count - 1)], [2, *[None] * (count - 1)]]
        assert db.check().tables[0].rows == 2


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_blank_tables(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tables = {
        "empty": pa.table({"id": pa.array([], INTEGER), "w": pa.array([], INTEGER), "s": pa.array([], TEXT)}),
        "blank": pa.table({"id": [1], "a": pa.array([None], INTEGER), "b": pa.array([None], TEXT)}),
        "narrow": pa.table({"id": [1, 2, 3]}),
    }
    keys: dict[str, Any] = {"empty": {"primary_key": "id", "foreign_keys": {"w": "narrow"}}, "narrow": "id"}
    with opened(kind, tables, tmp_path, request, keys={**keys, "blank": {"foreign_keys": {"a": "narrow"}}}) as db:
        assert {name: db.num_rows(name) for name in tables} == {"empty": 0, "blank": 1, "narrow": 3}
        graph = survive(db, tmp_path)
        assert graph.num_edges == 0
        assert graph.nodes["empty"].num_nodes == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_primary_key_that_also_refers(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tables = {
        "parent": pa.table({"id": [3, 1, 2], "v": [0, 1, 2]}),
        "child": pa.table({"no": [0, 1, 2], "ref": [2, 3, 9]}),
        "loop": pa.table({"id": [1, 2, 3]}),
    }
    keys: dict[str, Any] = {"parent": "id", "child": {"primary_key": "ref", "foreign_keys": {"ref": "parent"}}}
    with opened(
        kind, tables, tmp_path, request, keys={**keys, "loop": {"primary_key": "id", "foreign_keys": {"id": "loop"}}}
    ) as db:
        graph = survive(db, tmp_path)
        assert linked(db, graph) == [(0, 2), (1, 0)]
        assert graph.edges["loop", "id", "loop"].num_edges == 3


UUIDS = [uuid.UUID(int=i * 2**96 + 7) for i in range(3)]
ODD_TYPES = """
    SELECT i AS id, CASE i WHEN 0 THEN UUID '00000000-0000-0000-0000-000000000007'
                           WHEN 1 THEN UUID '00000001-0000-0000-0000-000000000007'
                           ELSE UUID '00000002-0000-0000-0000-000000000007' END AS u,
        [i, NULL, 3] AS l, [[i]] AS ll, [1.5, i]::DOUBLE[2] AS fixed, {'a': i, 'b': {'c': 'x'}} AS s,
        MAP {'k': i} AS m, CAST('{"a": ' || i || '}' AS JSON) AS j, CAST('b' AS ENUM ('a', 'b')) AS e,
        TIME '23:59:59.999999' AS tm, INTERVAL 3 MONTHS AS iv, TIMESTAMPTZ '2020-01-01 00:00:00+02' AS z,
        TIMESTAMP_NS '2020-01-01 00:00:00.123456789' AS ns, TIMESTAMP_S '2020-01-01 00:00:00' AS sec,
        (-170141183460469231731687303715884105727)::HUGEINT + i AS h, 1e30::DECIMAL(38, 5) AS d, 'x'::BLOB AS b,
        '101'::BIT AS bits, i % 2 = 0 AS flag, (i - 1)::TINYINT AS tiny, 1.5::FLOAT AS f, NULL AS nothing,
        union_value(num := i) AS un, '2020-01-01'::DATE AS day, 'infinity'::DATE AS never, 'infinity'::TIMESTAMP AS nevr
    FROM range(3) r(i)
"""


@pytest.mark.parametrize("kind", ["duckdb", "snapshot", "parquet", "arrow", "pandas-arrow"])
def test_every_type_of_the_engine(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("SET TimeZone = 'UTC'")
        file.execute(f"CREATE TABLE t AS {ODD_TYPES}")
        file.execute("CREATE TABLE child AS SELECT u AS ref, id FROM t")
        left_out = {"parquet": "bits, un, never, nevr, h", "duckdb": "", "snapshot": ""}.get(
            kind, "bits, un, never, nevr"
        )
        excluded = f"EXCLUDE ({left_out})" if left_out else ""
        frames = {}
        if not kind.startswith(("duckdb", "snapshot")):
            for name, select in (("t", f"SELECT * {excluded} FROM t"), ("child", "SELECT * FROM child")):
                frames[name] = file.sql(select).to_arrow_table()
                if kind == "parquet":
                    file.execute(f"COPY ({select}) TO '{tmp_path / name}.parquet'")
    source: Any = path
    given: dict[str, Any] = {"keys": {"t": "u", "child": {"primary_key": "id", "foreign_keys": {"ref": "t"}}}}
    if kind == "parquet":
        path.unlink()
        source = tmp_path
    elif kind == "arrow":
        source = frames
    elif kind == "pandas-arrow":
        source = {name: frame.to_pandas(types_mapper=pd.ArrowDtype) for name, frame in frames.items()}
    elif kind == "snapshot":
        given["snapshot"] = tmp_path / "kept.duckdb"
    with relgraph.connect(source, progress=False, **given) as db:
        graph = survive(db, tmp_path)
        assert graph.nodes["t"].keys is not None
        assert graph.nodes["t"].keys.tolist() == list(map(str, UUIDS))
        assert graph.edges["child", "ref", "t"].edge_index.tolist() == [[0, 1, 2], [0, 1, 2]]
        assert values(db, "t", "l")[1] == [1, None, 3]
        assert values(db, "t", "e") == ["b"] * 3
        assert [value.utctimetuple()[:4] for value in values(db, "t", "z")] == [(2019, 12, 31, 22)] * 3
        assert values(db, "t", "flag") == [True, False, True]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_text_that_is_no_utf8_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    table = pa.table({"id": [1, 2], "word": broken})
    source: Any = {"race": table}
    if kind == "parquet":
        pq.write_table(table, tmp_path / "race.parquet")
        source = tmp_path
    with pytest.raises(RelGraphError, match="race") as caught:
        relgraph.build_graph(relgraph.connect(source, progress=False), progress=False)
    assert isinstance(caught.value, AdapterError)


def test_a_table_without_columns_is_left_out_or_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with pytest.raises(AdapterError, match="'t' has no columns"):
        relgraph.connect({"t": pa.table({})}, progress=False)
    pq.write_table(pa.table({}), tmp_path / "t.parquet")
    with pytest.raises(AdapterError, match="t"):
        relgraph.connect(tmp_path, progress=False)

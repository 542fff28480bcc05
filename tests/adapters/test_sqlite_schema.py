"""What a SQLite file declares: keys in any spelling, views, and things that SQLite allows and no other database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.errors import AdapterError, SchemaError


def build(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()
    return path


def opened(path: Path, *statements: str, **given: Any) -> Database:
    return relgraph.connect(build(path, *statements), progress=False, **given)


def rows(db: Database, table: str) -> list[tuple[Any, ...]]:
    found = db.sql(f'SELECT * EXCLUDE "__row" FROM ({db.numbered(table)}) ORDER BY "__row"')
    return [tuple(row.values()) for row in found.to_pylist()]


def references(db: Database) -> set[tuple[str, tuple[str, ...], str, tuple[str, ...]]]:
    return {(t.name, key.columns, key.table, db.schema.target_columns(key)) for t, key in db.schema.foreign_keys}


def test_implicit_composite_self_and_circular_keys(tmp_path: Path) -> None:
    with opened(
        tmp_path / "x.db",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b, boss INTEGER REFERENCES a, y, x, "
        "FOREIGN KEY (x, y) REFERENCES pair)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE pair (y TEXT, n INT, x TEXT, PRIMARY KEY (x, y))",
        "INSERT INTO pair VALUES ('y1', 1, 'x1'), ('x1', 2, 'y1')",
        "INSERT INTO a VALUES (1, 1, NULL, 'y1', 'x1'), (2, 1, 1, 'x1', 'y1')",
        "INSERT INTO b VALUES (1, 2)",
    ) as db:
        assert references(db) == {
            ("a", ("b",), "b", ("id",)),
            ("a", ("boss",), "a", ("id",)),
            ("a", ("x", "y"), "pair", ("x", "y")),
            ("b", ("a",), "a", ("id",)),
        }
        assert db.schema["pair"].primary_key == ("x", "y")
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges["a", "x+y", "pair"].edge_index.tolist() == [[0, 1], [0, 1]]
        assert graph.edges["a", "boss", "a"].edge_index.tolist() == [[1], [0]]
        assert graph.edges["b", "a", "a"].edge_index.tolist() == [[0], [1]]


def test_a_key_to_a_unique_column_and_one_column_with_two_keys(tmp_path: Path) -> None:
    with opened(
        tmp_path / "x.db",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE)",
        "CREATE TABLE q (code TEXT PRIMARY KEY)",
        "CREATE TABLE c (code TEXT REFERENCES p (code) REFERENCES q)",
        "INSERT INTO p VALUES (5, 'a'), (6, 'b')",
        "INSERT INTO q VALUES ('b')",
        "INSERT INTO c VALUES ('b'), ('a'), (NULL)",
    ) as db:
        assert references(db) == {("c", ("code",), "p", ("code",)), ("c", ("code",), "q", ("code",))}
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges["c", "code", "p"].edge_index.tolist() == [[0, 1], [1, 0]]
        assert graph.edges["c", "code", "q"].edge_index.tolist() == [[0], [0]]


def test_a_key_of_another_length_than_what_it_means_is_left_out(tmp_path: Path) -> None:
    with opened(
        tmp_path / "x.db",
        "CREATE TABLE p (a INT, b INT, PRIMARY KEY (a, b))",
        "CREATE TABLE c (x INT REFERENCES p)",
        "INSERT INTO c VALUES (1)",
    ) as db:
        assert references(db) == set()
        assert "foreign key c.x left out: it has 1 columns but refers to 2 of 'p'" in db.notes


NAMES = [
    "select",
    "größe",
    "名前",
    'the "big" %s',
    "it's",
    "a;b--",
    "x]y",
    "[x]",
    "`",
    " ",
    "\t\n",
    "1",
    "%d",
    "?1",
    "é",
]


@pytest.mark.slow
def test_names_of_any_kind(tmp_path: Path) -> None:
    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    columns = ", ".join(f"{quoted(name)} INTEGER" for name in NAMES)
    tables = [f"CREATE TABLE {quoted(name)} (id INTEGER PRIMARY KEY, {columns})" for name in NAMES]
    keys = ", ".join(f"FOREIGN KEY ({quoted(name)}) REFERENCES {quoted(name)} (id)" for name in NAMES)
    filled = [
        f"INSERT INTO {quoted(name)} VALUES (7, {', '.join(str(i) for i in range(len(NAMES)))})" for name in NAMES
    ]
    with opened(
        tmp_path / "it's 100%? #1.db",
        *tables,
        f"CREATE TABLE child ({columns}, {keys})",
        f"INSERT INTO child VALUES ({', '.join('7' for _ in NAMES)})",
        *filled,
    ) as db:
        assert set(db.schema.names) == {*NAMES, "child"}
        for name in NAMES:
            assert rows(db, name) == [(7, *range(len(NAMES)))]
        assert references(db) == {("child", (name,), name, ("id",)) for name in NAMES}
        assert all(key.dangling == 0 for key in db.check().foreign_keys)
        graph = relgraph.build_graph(db, progress=False)
        graph.save(tmp_path / "saved")
        assert relgraph.HeteroGraph.load(tmp_path / "saved").num_edges == len(NAMES)


def test_names_that_inject_nothing(tmp_path: Path) -> None:
    table, column = 'x"; DROP TABLE "kept"; --', "y'); DELETE FROM kept; --"
    with opened(
        tmp_path / "x.db",
        "CREATE TABLE kept (a INTEGER)",
        "INSERT INTO kept VALUES (1)",
        f'''CREATE TABLE "{table.replace('"', '""')}" ("{column}" DATE, b BOOLEAN)''',
        f'''INSERT INTO "{table.replace('"', '""')}" VALUES ('2020-01-01', 1), ('', 0)''',
        times={table: column},
    ) as db:
        assert rows(db, "kept") == [(1,)]
        assert len(rows(db, table)) == 2
        assert table in str(db.check())
        assert relgraph.build_graph(db, progress=False).num_nodes == 3
    with closing(sqlite3.connect(tmp_path / "x.db")) as file:
        assert file.execute("SELECT count(*) FROM kept").fetchall() == [(1,)]


def test_what_has_no_name_is_left_out(tmp_path: Path) -> None:
    with opened(
        tmp_path / "x.db",
        'CREATE TABLE "" (a)',
        'CREATE TABLE t (a INTEGER PRIMARY KEY, "" TEXT)',
        'CREATE TABLE u ("" INTEGER REFERENCES t)',
        'CREATE TABLE v (a INTEGER, "" INTEGER REFERENCES t)',
        "INSERT INTO t VALUES (1, 'x')",
    ) as db:
        assert rows(db, "t") == [(1,)]
        assert db.schema.names == ("t", "v")
        assert set(db.notes) == {
            "a table without a name left out",
            "table 't': a column without a name left out",
            "table 'u': a column without a name left out",
            "table 'u' left out: it has no columns",
            "table 'v': a column without a name left out",
            "foreign key v. left out: it has a column without a name",
        }


def test_system_virtual_and_shadow_tables_are_left_out(tmp_path: Path) -> None:
    path = build(
        tmp_path / "x.db",
        "CREATE TABLE t (c INTEGER PRIMARY KEY AUTOINCREMENT, d INT)",
        "CREATE INDEX i ON t (d)",
        "INSERT INTO t VALUES (1, 2)",
        "ANALYZE",
        "CREATE TABLE sqlitemap (a REFERENCES words (word))",
        "CREATE VIRTUAL TABLE place USING rtree(id, low, high)",
        "CREATE VIRTUAL TABLE words USING fts5(word)",
        "PRAGMA writable_schema = ON",
        "INSERT INTO sqlite_master VALUES ('table', 'geo', 'geo', 0, 'CREATE VIRTUAL TABLE geo USING no_such(a)')",
    )
    with relgraph.connect(path, progress=False) as db:
        assert db.schema.names == ("sqlitemap", "t")
        assert [note for note in db.notes if "virtual" in note] == [
            "virtual table 'geo' left out",
            "virtual table 'place' left out",
            "virtual table 'words' left out",
        ]
        assert "foreign key sqlitemap.a left out: 'words' is left out" in db.notes
    with pytest.raises(SchemaError, match="'words' is a virtual table, which is not read"):
        relgraph.connect(path, tables=["words"], progress=False)
    with pytest.raises(SchemaError, match="there is no table 'sqlite_sequence'; tables: sqlitemap, t"):
        relgraph.connect(path, tables=["sqlite_sequence"], progress=False)


def test_views_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    path = build(
        tmp_path / "x.db",
        "CREATE TABLE t (c INTEGER, d DATE)",
        "CREATE TABLE gone (c INTEGER)",
        "CREATE VIEW v AS SELECT d, c * 2 AS twice, c AS c, c FROM t ORDER BY c DESC",
        "CREATE VIEW broken AS SELECT * FROM gone",
        "DROP TABLE gone",
        "INSERT INTO t VALUES (1, '2020-01-01'), (3, NULL), (2, '2020-01-03')",
    )
    with relgraph.connect(path, progress=False) as db:
        assert db.schema.names == ("t",)
    with relgraph.connect(path, tables=["v"], keys={"v": "c"}, times={"v": "d"}, progress=False) as db:
        assert db.schema["v"].column_names == ("d", "twice", "c", "c:1")
        assert [row[1:] for row in rows(db, "v")] == [(6, 3, 3), (4, 2, 2), (2, 1, 1)]
        assert db.schema["v"].column("d").dtype == "DATE"
        assert relgraph.build_graph(db, progress=False).nodes["v"].keys.tolist() == [3, 2, 1]  # type: ignore[union-attr]
    with relgraph.connect(path, views=True, progress=False) as db:
        assert db.schema.names == ("t", "v")
        assert db.notes == ("view 'broken' cannot be read: no such table: main.gone; left out",)
    with pytest.raises(SchemaError, match=r"view 'broken' cannot be read: no such table: main\.gone"):
        relgraph.connect(path, tables=["broken"], progress=False)


def test_every_name_of_the_rowid_is_a_column(tmp_path: Path) -> None:
    with opened(
        tmp_path / "x.db",
        "CREATE TABLE t (rowid INTEGER, _rowid_ INTEGER, OID INTEGER)",
        "CREATE INDEX i ON t (rowid, _rowid_, OID)",
        "INSERT INTO t VALUES (3, 1, 1), (1, 2, 2), (2, 3, 3)",
    ) as db:
        assert [row[0] for row in rows(db, "t")] == [3, 1, 2]


@pytest.mark.slow
def test_more_columns_than_any_query_may_have(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(2000)]
    with opened(
        tmp_path / "x.db",
        f"CREATE TABLE t ({', '.join(f'{name} INTEGER' for name in names)})",
        f"INSERT INTO t VALUES ({', '.join(map(str, range(2000)))})",
        f"INSERT INTO t VALUES ({', '.join(repr(str(i)) if i % 2 else 'NULL' for i in range(2000))})",
    ) as db:
        first, second = rows(db, "t")
        assert first == tuple(range(2000))
        assert second == tuple(i if i % 2 else None for i in range(2000))


@pytest.mark.parametrize("form", ["sqlite:///{}", "file:{}", "file://{}", "file://localhost{}", "sqlite:///file:{}"])
def test_urls_with_options(tmp_path: Path, form: str) -> None:
    path = build(tmp_path / "a b%.file", "CREATE TABLE t (c INTEGER)", "INSERT INTO t VALUES (1)")
    url = form.format(str(path).replace("%", "%25"))
    for options in ("", "?mode=ro", "?timeout=0.1&cache=shared", "?mode=rwc&uri=true&nolock=1", "?immutable=1"):
        with relgraph.connect(url + options, progress=False) as db:
            assert rows(db, "t") == [(1,)]
    with pytest.raises(
        AdapterError, match=r"unknown option 'pasword'; understood are timeout, immutable, nolock, vfs$"
    ):
        relgraph.connect(f"{url}?pasword=secret", progress=False)
    with pytest.raises(AdapterError, match="timeout is 'soon', expected seconds"):
        relgraph.connect(f"{url}?timeout=soon", progress=False)
    with pytest.raises(AdapterError, match="no such vfs: none"):
        relgraph.connect(f"{url}?vfs=none", progress=False)


def test_foreign_keys_in_any_spelling(tmp_path: Path) -> None:
    with opened(
        tmp_path / "x.db",
        "CREATE TABLE Parent (Id INTEGER PRIMARY KEY, Code TEXT UNIQUE)",
        "CREATE TABLE child (a INTEGER REFERENCES parent, b TEXT REFERENCES PARENT(CODE), c INTEGER, "
        "FOREIGN KEY (C) REFERENCES Parent (id), FOREIGN KEY (a) REFERENCES Parent (Id))",
        "INSERT INTO Parent VALUES (1, 'x')",
        "INSERT INTO child VALUES (1, 'x', 1)",
    ) as db:
        keys = {key.columns: (key.table, db.schema.target_columns(key)) for key in db.schema["child"].foreign_keys}
        assert keys == {("a",): ("Parent", ("Id",)), ("b",): ("Parent", ("Code",)), ("c",): ("Parent", ("Id",))}
        assert any("child.a to Parent is declared twice" in note for note in db.notes)
        assert [key.dangling for key in db.check().foreign_keys] == [0, 0, 0]


def test_a_foreign_key_to_nothing_is_left_out(tmp_path: Path) -> None:
    with opened(tmp_path / "x.db", "CREATE TABLE child (a INTEGER REFERENCES gone (id))") as db:
        assert db.schema["child"].foreign_keys == ()
        assert any("child.a left out: it refers to table 'gone', which does not exist" in note for note in db.notes)
    with opened(
        tmp_path / "y.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (a INTEGER REFERENCES t (nope))",
    ) as db:
        assert any("it refers to t.nope, which does not exist" in note for note in db.check().notes)


@pytest.mark.parametrize("driver", ["", "+pysqlite"])
@pytest.mark.parametrize(
    ("reference", "missing"),
    [("b INT REFERENCES gone", "table 'gone', which"), ("b INT REFERENCES other (gone)", "other.gone, which")],
)
def test_a_foreign_key_to_nothing_can_be_left_out(tmp_path: Path, driver: str, reference: str, missing: str) -> None:
    build(
        tmp_path / "x.db",
        f"CREATE TABLE a ({reference})",
        "CREATE TABLE other (id INTEGER PRIMARY KEY, x INT)",
        "INSERT INTO a VALUES (7)",
    )
    url = f"sqlite{driver}:///{tmp_path / 'x.db'}"
    noted = relgraph.connect(url, progress=False)
    assert noted.schema["a"].foreign_keys == ()
    assert f"foreign key a.b left out: it refers to {missing} does not exist" in noted.notes[0]
    without = relgraph.connect(url, keys={"a": {"foreign_keys": {"b": None}}}, progress=False)
    assert without.schema["a"].foreign_keys == ()
    assert without.notes == ()
    assert rows(without, "a") == [(7,)]
    assert relgraph.connect(url, tables=["other"], progress=False).schema.names == ("other",)
    elsewhere = relgraph.connect(url, keys={"a": {"foreign_keys": {"b": ("other", "id")}}}, progress=False)
    assert [key.table for key in elsewhere.schema["a"].foreign_keys] == ["other"]


def test_a_missing_target_is_noted_where_only_its_table_is_read(tmp_path: Path) -> None:
    db = opened(tmp_path / "x.db", "CREATE TABLE a (b INT REFERENCES gone)", tables=["a"])
    assert db.schema["a"].foreign_keys == ()
    assert db.notes == ("foreign key a.b left out: its table 'gone' was not selected",)


def test_a_parent_without_a_primary_key_is_given_one(tmp_path: Path) -> None:
    noted = opened(tmp_path / "x.db", "CREATE TABLE p (id INT)", "CREATE TABLE a (b INT REFERENCES p)")
    assert "a.b left out: it refers to table 'p', which has no primary key" in noted.notes[0]
    db = relgraph.connect(tmp_path / "x.db", keys={"p": "id"}, progress=False)
    assert db.schema.target_columns(db.schema["a"].foreign_keys[0]) == ("id",)

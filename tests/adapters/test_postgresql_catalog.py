"""What is found in a PostgreSQL database: schemas, views, keys, names, and what is left out with a note."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from relgraph.data.schema import Schema, TableSchema
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError, SchemaError
from tests.adapters.reading import postgres, read, rows
from tests.adapters.servers import ServerDatabase

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _empty(postgresql: ServerDatabase) -> Iterator[None]:
    yield
    schemas = postgresql.query(
        "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg!_%' ESCAPE '!' AND nspname <> 'information_schema'"
    )
    dropped = [f"DROP SCHEMA {quote(name)} CASCADE" for (name,) in schemas]
    postgresql.run("DROP EXTENSION IF EXISTS file_fdw CASCADE", *dropped, "CREATE SCHEMA public")


def keys(table: TableSchema) -> set[tuple[tuple[str, ...], str, tuple[str, ...]]]:
    return {(key.columns, key.table, key.target_columns) for key in table.foreign_keys}


def test_keys_of_every_form(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE a (x int, y text, u int UNIQUE, up int, PRIMARY KEY (y, x), UNIQUE (x, u))",
        "ALTER TABLE a ADD CONSTRAINT same FOREIGN KEY (up) REFERENCES a (u)",  # to itself, not to its primary key
        "CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ay text, ax int, c int, "
        "twice int GENERATED ALWAYS AS (ax * 2) STORED, CONSTRAINT same FOREIGN KEY (ay, ax) REFERENCES a (y, x), "
        "CONSTRAINT other FOREIGN KEY (ax) REFERENCES a (u), CONSTRAINT another FOREIGN KEY (ax) REFERENCES a (u))",
        "CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b)",
        "ALTER TABLE b ADD FOREIGN KEY (c) REFERENCES c NOT VALID",  # round in a circle
        "ALTER TABLE b DISABLE TRIGGER ALL",
        "INSERT INTO a VALUES (1, 'z', 7, NULL), (2, 'Z', 8, 7)",
        "INSERT INTO b (ay, ax, c) VALUES ('z', 1, 99)",
    )
    source = postgres(postgresql.url)
    schema = Schema(source.schema())
    assert schema["a"].primary_key == ("y", "x")  # in the order of the key
    assert keys(schema["a"]) == {(("up",), "a", ("u",))}
    assert keys(schema["b"]) == {
        (("ay", "ax"), "a", ("y", "x")),
        (("ax",), "a", ("u",)),
        (("c",), "c", ("id",)),
    }
    assert source.notes == ["foreign key b.ax to a is declared twice; the first is used"]
    tables = read(postgres(postgresql.url))
    assert rows(tables["a"]) == [(2, "Z", 8, 7), (1, "z", 7, None)]  # text by its bytes
    assert rows(tables["b"]) == [(1, "z", 1, 99, 2)]


NAMES = [
    "select",
    "größe 名前",
    'the "big" one',
    "it's",
    "a%s%(x)s%%",
    "a:b ::int :name",
    'x"; DROP TABLE victim; --',
    "x'); DROP TABLE victim; --",
    "back\\slash",
    "a) REFERENCES b (c",
    "a, b",
    "a.b",
    "n" * 63,
    "{x}",
    "$1",
    "Case",
    "case",
    "?",
]


@pytest.mark.parametrize("adbc", [True, False], ids=["adbc", "psycopg"])
def test_names_that_hold_anything(postgresql: ServerDatabase, adbc: bool) -> None:
    postgresql.run("CREATE TABLE victim (id int)")
    for name in NAMES:
        column, other = quote(name), quote(name[:60] + "fk")
        postgresql.run(
            f"CREATE TABLE {quote(name)} ({column} int PRIMARY KEY, {other} int REFERENCES {quote(name)} ({column}), "
            f"v text[], CONSTRAINT {quote(name[:60] + 'c')} CHECK (TRUE))",
            f"INSERT INTO {quote(name)} VALUES (2, 1, ARRAY[{literal(name)}]), (1, NULL, NULL)",
        )
    source = postgres(postgresql.url, adbc=adbc)
    schema = {table.name: table for table in source.schema()}
    tables = read(source)
    assert set(tables) == {*NAMES, "victim"}
    for name in NAMES:
        assert tables[name].column_names == [name, name[:60] + "fk", "v"]
        assert rows(tables[name]) == [(1, None, None), (2, 1, [name])]
        assert keys(schema[name]) == {((name[:60] + "fk",), name, (name,))}


def test_columns_that_differ_only_in_case(postgresql: ServerDatabase) -> None:
    postgresql.run('CREATE TABLE t ("Id" int PRIMARY KEY, id int REFERENCES t, "ID" text); INSERT INTO t VALUES (1, 1)')
    table = read(postgres(postgresql.url))["t"]
    assert (table.column_names, rows(table)) == (["Id", "id", "ID"], [(1, 1, None)])


def test_schemas_are_chosen_and_keys_across_them_kept(postgresql: ServerDatabase) -> None:
    postgresql.run(
        'CREATE SCHEMA "Sales"; CREATE SCHEMA hr; CREATE SCHEMA empty',
        "CREATE TABLE hr.person (id int PRIMARY KEY); CREATE TABLE person (id int PRIMARY KEY)",
        'CREATE TABLE "Sales".bill (id int PRIMARY KEY, seller int REFERENCES hr.person, buyer int REFERENCES person)',
        'INSERT INTO hr.person VALUES (1); INSERT INTO person VALUES (2); INSERT INTO "Sales".bill VALUES (3, 1, 2)',
    )
    source = postgres(postgresql.url, schemas="*")
    schema = Schema(source.schema())
    assert schema.names == ("person", "Sales.bill", "hr.person")
    assert keys(schema["Sales.bill"]) == {(("seller",), "hr.person", ("id",)), (("buyer",), "person", ("id",))}
    assert {name: rows(table) for name, table in read(source).items()} == {
        "person": [(2,)],
        "Sales.bill": [(3, 1, 2)],
        "hr.person": [(1,)],
    }

    assert [table.name for table in postgres(postgresql.url).schema()] == ["person"]
    source = postgres(postgresql.url, schemas=["Sales", "public"])
    schema = Schema(source.schema())
    assert schema.names == ("person", "Sales.bill")
    assert source.notes == [
        "foreign key Sales.bill.seller left out: its table 'hr.person' is not read",
    ]
    assert [t.name for t in postgres(postgresql.url, tables=["hr.person", "person"]).schema()] == [
        "person",
        "hr.person",
    ]
    with pytest.raises(SchemaError, match="no schema 'nowhere' with tables; schemas: Sales, hr, public"):
        postgres(postgresql.url, schemas=["hr", "nowhere"]).schema()
    with pytest.raises(SchemaError, match=r"no table 'persn'; tables: Sales\.bill, hr\.person, person"):
        postgres(postgresql.url, tables=["persn"]).schema()


def test_the_default_schema_is_that_of_the_user_and_an_empty_one_names_the_others(postgresql: ServerDatabase) -> None:
    postgresql.run("CREATE SCHEMA shop; CREATE TABLE shop.item (id int PRIMARY KEY)")
    with pytest.raises(AdapterError, match=r"'public' has no tables; there are some in 'shop': choose with schemas"):
        postgres(postgresql.url).schema()
    assert [t.name for t in postgres(postgresql.url, schemas="shop").schema()] == ["shop.item"]
    source = postgres(postgresql.url_of(options="-csearch_path=shop"))
    assert [t.name for t in source.schema()] == ["item"]


def test_views_are_read_on_request(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE t (id int PRIMARY KEY, v numeric(9, 1)); INSERT INTO t VALUES (2, 1.5), (1, 2.5)",
        "CREATE VIEW plain AS SELECT v, id, now() AS at, NULL AS nothing FROM t ORDER BY v",
        "CREATE MATERIALIZED VIEW kept AS SELECT id FROM t",
        "CREATE MATERIALIZED VIEW never AS SELECT id FROM t WITH NO DATA",
    )
    assert [t.name for t in postgres(postgresql.url).schema()] == ["t"]
    assert [t.name for t in postgres(postgresql.url, tables=["kept", "t"]).schema()] == ["kept", "t"]
    for adbc in (True, False):
        source = postgres(postgresql.url, adbc=adbc, views=True)
        tables = read(source)
        assert source.notes == ["view 'never' left out: it was never refreshed"]
        assert list(tables) == ["kept", "plain", "t"]
        assert rows(tables["plain"].select(["v", "id", "nothing"])) == [(1.5, 2, None), (2.5, 1, None)]
        assert rows(tables["kept"]) == [(2,), (1,)]


def test_partitions_are_read_once_through_their_table(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE sensor (id int PRIMARY KEY)",
        "CREATE TABLE reading (id int, day date, sensor int REFERENCES sensor, PRIMARY KEY (id, day)) "
        "PARTITION BY RANGE (day)",
        "CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') "
        "PARTITION BY LIST (id)",
        "CREATE TABLE reading_1_1 PARTITION OF reading_1 DEFAULT",
        "CREATE TABLE reading_2 PARTITION OF reading FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
        "CREATE TABLE alarm (id int, day date, FOREIGN KEY (id, day) REFERENCES reading)",
        "INSERT INTO sensor VALUES (1); INSERT INTO reading VALUES (2, '2021-05-01', 1), (1, '2020-05-01', 1)",
        "INSERT INTO alarm VALUES (2, '2021-05-01')",
    )
    source = postgres(postgresql.url)
    schema = Schema(source.schema())
    assert schema.names == ("alarm", "reading", "sensor")
    assert keys(schema["alarm"]) == {(("id", "day"), "reading", ("id", "day"))}
    assert keys(schema["reading"]) == {(("sensor",), "sensor", ("id",))}
    assert source.notes == ["'reading' is read with its 3 partitions"]
    assert [row[0] for row in rows(read(source)["reading"])] == [1, 2]

    named = postgres(postgresql.url, tables=["reading_2", "sensor"])
    schema = Schema(named.schema())
    assert keys(schema["reading_2"]) == {(("sensor",), "sensor", ("id",))}
    assert schema["reading_2"].primary_key == ("id", "day")
    assert [row[0] for row in rows(read(named)["reading_2"])] == [2]


def test_rows_of_tables_that_inherit_are_read_once(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE city (name text); CREATE TABLE capital (country text) INHERITS (city)",
        "CREATE SCHEMA chunks; CREATE TABLE town (name text); CREATE TABLE chunks.village () INHERITS (town)",
        "INSERT INTO city VALUES ('Lyon'); INSERT INTO capital VALUES ('Paris', 'FR')",
        "INSERT INTO chunks.village VALUES ('Giverny')",
    )
    source = postgres(postgresql.url)
    tables = read(source)
    assert rows(tables["city"]) == [("Lyon",)]
    assert rows(tables["capital"]) == [("Paris", "FR")]
    assert rows(tables["town"]) == [("Giverny",)]  # what inherits from it is not read by itself
    assert source.notes == ["table 'capital' inherits from 'city': its rows are read as its own"]
    tables = read(postgres(postgresql.url, schemas="*"))
    assert (rows(tables["town"]), rows(tables["chunks.village"])) == ([], [("Giverny",)])
    assert rows(read(postgres(postgresql.url, tables=["city"]))["city"]) == [("Lyon",), ("Paris",)]


def test_tables_of_two_schemas_that_would_be_called_the_same(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE SCHEMA a; CREATE TABLE a.b (id int PRIMARY KEY); INSERT INTO a.b VALUES (1)",
        'CREATE TABLE "a.b" (id int PRIMARY KEY REFERENCES a.b); INSERT INTO "a.b" VALUES (1)',
    )
    source = postgres(postgresql.url, schemas="*")
    schema = Schema(source.schema())
    assert schema.names == ("a.b", '"a"."b"')
    assert keys(schema["a.b"]) == {(("id",), '"a"."b"', ("id",))}
    assert [table.num_rows for table in read(source).values()] == [1, 1]


def test_what_is_none_of_the_users_is_left_out(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION file_fdw",
        "CREATE TABLE spatial_ref_sys (id int); ALTER EXTENSION file_fdw ADD TABLE spatial_ref_sys",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
        "CREATE FOREIGN TABLE far (line text) SERVER files OPTIONS (program 'echo over there')",
        "CREATE TABLE nothing (); CREATE UNLOGGED TABLE mine (id int)",
    )
    with postgresql.open() as other:
        other.execute("CREATE TEMPORARY TABLE passing (id int)")
        source = postgres(postgresql.url, views=True)
        assert [table.name for table in source.schema()] == ["mine"]
    assert set(source.notes) == {
        "table 'far' left out: its rows lie on another server; name it in tables=[...] to read it",
        "table 'nothing' left out: it has no columns",
        "table 'pg_stat_statements' left out: it belongs to the extension 'pg_stat_statements'",
        "table 'pg_stat_statements_info' left out: it belongs to the extension 'pg_stat_statements'",
        "table 'spatial_ref_sys' left out: it belongs to the extension 'file_fdw'",
    }
    assert rows(read(postgres(postgresql.url, tables=["far"]))["far"]) == [("over there",)]
    postgresql.run("DROP EXTENSION pg_stat_statements")


def test_tables_that_may_not_be_read_are_named_with_the_remedy(postgresql: ServerDatabase) -> None:
    postgresql.run(
        'CREATE TABLE open (id int PRIMARY KEY); CREATE TABLE "se cret" (id int PRIMARY KEY, o int REFERENCES open)',
        "CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int); CREATE SCHEMA shown; CREATE TABLE shown.t (id int)",
    )
    user = postgresql.user()
    postgresql.run(f"GRANT USAGE ON SCHEMA public, shown TO {user}; GRANT SELECT ON open, shown.t TO {user}")
    url = postgresql.url_of(user)
    with pytest.raises(AdapterError) as caught:
        postgres(url).schema()
    assert f'user \'{user}\' may not read \'se cret\'; GRANT SELECT ON "public"."se cret" TO "{user}"' in str(
        caught.value
    )
    assert "or name the others: tables=['open']" in str(caught.value)
    assert [t.name for t in postgres(url, tables=["open"]).schema()] == ["open"]
    source = postgres(url, schemas=["shown"])
    assert rows(read(source)["shown.t"]) == []
    with pytest.raises(AdapterError, match='GRANT USAGE ON SCHEMA "hidden"'):
        postgres(url, schemas=["hidden"]).schema()
    postgresql.run(f'GRANT SELECT ON "se cret" TO {user}')
    source = postgres(url, schemas="*")
    assert [t.name for t in source.schema()] == ["open", "se cret", "shown.t"]
    assert source.notes == ["schema 'hidden' left out: the user may not use it"]


def test_columns_that_may_not_be_read_are_left_out(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE person (id int PRIMARY KEY, name text, salary int); INSERT INTO person VALUES (1, 'Ann', 7)",
        "CREATE TABLE pay (person int REFERENCES person, secret int, amount int, PRIMARY KEY (secret, person)); "
        "INSERT INTO pay VALUES (1, 2, 3)",
    )
    user = postgresql.user()
    postgresql.run(f"GRANT USAGE ON SCHEMA public TO {user}; GRANT SELECT (name) ON person TO {user}")
    postgresql.run(f"GRANT SELECT (person, amount) ON pay TO {user}")
    source = postgres(postgresql.url_of(user))
    schema = Schema(source.schema())
    assert (schema["person"].column_names, schema["person"].primary_key) == (("name",), ())
    assert (schema["pay"].column_names, schema["pay"].primary_key, schema["pay"].foreign_keys) == (
        ("person", "amount"),
        (),
        (),
    )
    assert set(source.notes) == {
        f"columns person.(id, salary) left out: user '{user}' may not read them",
        f"columns pay.(secret) left out: user '{user}' may not read them",
        "foreign key pay.person to person left out: the user may not read all of its columns",
    }
    assert {name: rows(table) for name, table in read(source).items()} == {"person": [("Ann",)], "pay": [(1, 3)]}


def test_row_level_security_is_noted(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "CREATE TABLE t (id int, owner text); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON t USING (owner = 'b')",
    )
    user = postgresql.user()
    postgresql.run(f"GRANT USAGE ON SCHEMA public TO {user}; GRANT SELECT ON t TO {user}")
    source = postgres(postgresql.url_of(user))
    assert rows(read(source)["t"]) == [(2, "b")]
    assert source.notes == [f"table 't' has row-level security: only the rows that user '{user}' may see are read"]
    source = postgres(postgresql.url)
    assert len(rows(read(source)["t"])) == 2
    assert source.notes == []


def test_as_many_columns_as_there_may_be(postgresql: ServerDatabase) -> None:
    columns = ", ".join(f"c{i} int DEFAULT {i}" for i in range(1599))
    postgresql.run(f"CREATE TABLE wide (id int PRIMARY KEY, {columns}); INSERT INTO wide (id) VALUES (1)")
    for adbc in (True, False):
        assert rows(read(postgres(postgresql.url, adbc=adbc))["wide"]) == [(1, *range(1599))]


def test_many_tables_take_no_more_queries_than_one(postgresql: ServerDatabase) -> None:
    postgresql.run(
        "DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format("
        "'CREATE TABLE t%s (id int PRIMARY KEY, up int REFERENCES t%s, a text, b numeric, c date)', i, i); "
        "END LOOP; END $$"
    )
    source = postgres(postgresql.url)
    queries: list[str] = []
    sa.event.listen(source._engine, "before_cursor_execute", lambda *given: queries.append(given[2]))
    tables = source.schema()
    assert len(tables) == 100
    assert all(keys(table) == {(("up",), table.name, ("id",))} for table in tables)
    assert len(queries) < 15

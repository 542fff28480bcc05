"""Declarations and names: what ``keys=`` and ``times=`` add, replace and take away, and names an engine confuses."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.declarations import apply_declarations
from relgraph.data.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from relgraph.data.source import Selection, distinct_names, select_tables
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, literal, quote, quote_all
from relgraph.errors import SchemaError


def table(name: str, *columns: str, **given: object) -> TableSchema:
    return replace(TableSchema(name, tuple(ColumnSchema(column) for column in columns)), **given)  # type: ignore[arg-type]


SCHEMA = Schema(
    (
        table("race", "raceId", "circuitId", "date", primary_key=("raceId",)),
        table("circuit", "circuitId", "code"),
        table("result", "raceId", "no", "a", "b", foreign_keys=(ForeignKey(("raceId",), "race"),)),
    )
)


def test_keys_as_a_column_several_or_a_mapping() -> None:
    schema = apply_declarations(
        SCHEMA,
        {
            "circuit": "circuitId",
            "result": {
                "primary_key": ("raceId", "no"),
                "foreign_keys": {
                    "a": "circuit",
                    ("raceId", "b"): ("result", ("raceId", "no")),
                    "b": ("circuit", "code"),
                },
            },
            "race": {"foreign_keys": {"circuitId": "circuit"}},
        },
        {"race": "date"},
    )
    assert schema["circuit"].primary_key == ("circuitId",)
    assert schema["race"].primary_key == ("raceId",)  # as the source says
    assert schema["race"].time_column == "date"
    keys = {(key.columns, key.table, schema.target_columns(key)) for key in schema["result"].foreign_keys}
    assert keys == {
        (("raceId",), "race", ("raceId",)),  # as the source says
        (("a",), "circuit", ("circuitId",)),
        (("raceId", "b"), "result", ("raceId", "no")),
        (("b",), "circuit", ("code",)),
    }


def test_declarations_replace_and_take_away() -> None:
    schema = apply_declarations(
        SCHEMA, {"result": {"foreign_keys": {"raceId": ("circuit", "circuitId")}}, "race": ("raceId", "date")}
    )
    (key,) = schema["result"].foreign_keys
    assert (key.table, key.target_columns) == ("circuit", ("circuitId",))
    assert schema["race"].primary_key == ("raceId", "date")
    without = apply_declarations(SCHEMA, {"result": {"foreign_keys": {"raceId": None}}, "race": None}, {"race": None})
    assert without["result"].foreign_keys == ()
    assert without["race"].primary_key == ()
    assert without["race"].time_column is None
    assert apply_declarations(SCHEMA) == SCHEMA


def test_one_column_with_two_reflected_keys() -> None:
    both = (ForeignKey(("a",), "race", ("raceId",)), ForeignKey(("a",), "circuit", ("circuitId",)))
    schema = Schema(tuple(replace(t, foreign_keys=both) if t.name == "result" else t for t in SCHEMA))
    assert set(apply_declarations(schema, {"result": "no"})["result"].foreign_keys) == set(both)
    one = apply_declarations(schema, {"result": {"foreign_keys": {"a": "race"}}})
    assert [key.table for key in one["result"].foreign_keys] == ["race"]


def test_taking_the_key_away_that_others_need() -> None:
    notes: list[str] = []
    assert apply_declarations(SCHEMA, {"race": ()}, notes=notes)["result"].foreign_keys == ()
    assert "refers to table 'race', which has no primary key" in notes[0]


def test_select_tables() -> None:
    assert select_tables(SCHEMA, Selection()) == (SCHEMA.tables, [])
    chosen, notes = select_tables(SCHEMA, Selection(["result", "circuit"]))
    assert [found.name for found in chosen] == ["circuit", "result"]
    assert chosen[1].foreign_keys == ()
    assert notes == ["foreign key result.raceId left out: its table 'race' was not selected"]
    assert select_tables(SCHEMA, Selection("race"))[0] == (SCHEMA["race"],)
    with pytest.raises(SchemaError, match="there is no table 'rase'; tables: race, circuit, result"):
        select_tables(SCHEMA, Selection(["rase"]))


def test_names_that_an_engine_confuses() -> None:
    keys: object = (ForeignKey(("x",), "T"), ForeignKey(("RowId",), "T", ("Id_1",)))
    schema = Schema(
        (
            table("T", "id", "ID", "Id_1", "iD", primary_key=("ID",), time_column="iD"),
            table(
                "t",
                "RowId",
                "__row",
                "x",
                foreign_keys=keys,
            ),
        )
    )
    named, notes = distinct_names(schema)
    assert named.names == ("T", "t_1")
    assert named["T"].column_names == ("id", "ID_2", "Id_1", "iD_3")
    assert named["T"].primary_key == ("ID_2",)
    assert named["T"].time_column == "iD_3"
    assert named["t_1"].column_names == ("RowId_1", "__row_1", "x")
    found = {(key.columns, key.table, named.target_columns(key)) for key in named["t_1"].foreign_keys}
    assert found == {(("x",), "T", ("ID_2",)), (("RowId_1",), "T", ("Id_1",))}
    assert len(notes) == 5
    assert distinct_names(SCHEMA) == (SCHEMA, [])


@given(st.lists(st.text("aA1_", min_size=1, max_size=4), min_size=1, max_size=8, unique=True))
def test_distinct_names_are_distinct_in_any_case_and_keep_what_is_free(names: list[str]) -> None:
    named, notes = distinct_names(Schema((table("t", *names),)))
    found = named["t"].column_names
    assert len({name.casefold() for name in found}) == len(names)
    assert len(notes) == sum(a != b for a, b in zip(found, names, strict=True))
    folded = [name.casefold() for name in names]
    for old, new in zip(names, found, strict=True):
        if folded.count(old.casefold()) == 1:
            assert old == new


@given(st.text(min_size=1).filter(lambda name: "\0" not in name))
def test_any_name_and_text_survives_quoting(text: str) -> None:
    import duckdb

    try:
        text.encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair is no text to any engine
    assert duckdb.execute(f"SELECT {literal(text)} AS {quote(text)}").fetchall() == [(text,)]
    assert duckdb.execute(f"SELECT 1 AS {quote(text)}").description[0][0] == text  # type: ignore[index]


def test_quoting_refuses_what_no_engine_takes() -> None:
    assert quote_all(["a", 'b"']) == '"a", "b"""'
    for bad in ("", "a\0b"):
        with pytest.raises(SchemaError, match="cannot name a table or column"):
            quote(bad)
    with pytest.raises(SchemaError, match="NUL"):
        literal("a\0")
    assert [literal(v) for v in (None, True, False, 3, "x'y")] == ["NULL", "TRUE", "FALSE", "3", "'x''y'"]
    assert literal(0.1) == "CAST('0.1' AS DOUBLE)"


def test_the_number_types_are_those_of_the_engine() -> None:
    rows = duckdb.execute("SELECT DISTINCT logical_type FROM duckdb_types() WHERE type_category = 'NUMERIC'").fetchall()
    assert {name for (name,) in rows} == {*WHOLE_NUMBERS, *FRACTIONS, "DECIMAL"}


def test_a_key_of_the_source_that_leads_nowhere_is_left_out() -> None:
    keys = (ForeignKey(("a", "b"), "gone"), ForeignKey(("raceId",), "race", ("no",)), ForeignKey(("a",), "circuit"))
    plain = TableSchema("circuit", (ColumnSchema("x"),))
    found = [plain, SCHEMA["race"], replace(SCHEMA["result"], foreign_keys=keys)]
    notes: list[str] = []
    assert apply_declarations(found, notes=notes)["result"].foreign_keys == ()
    remedy = "; declare it with keys= if it leads elsewhere"
    assert sorted(notes) == [
        f"foreign key result.a left out: it refers to table 'circuit', which has no primary key{remedy}",
        f"foreign key result.a+b left out: it refers to table 'gone', which does not exist{remedy}",
        f"foreign key result.raceId left out: it refers to race.no, which does not exist{remedy}",
    ]
    notes.clear()
    schema = apply_declarations(found, {"result": {"foreign_keys": {("a", "b"): None, "raceId": "race"}}}, notes=notes)
    assert [key.name for key in schema["result"].foreign_keys] == ["raceId"]
    assert len(notes) == 1


def test_a_key_that_a_person_declares_must_lead_somewhere() -> None:
    with pytest.raises(SchemaError, match=r"result\.raceId refers to table 'gone', which does not exist; tables: race"):
        apply_declarations(SCHEMA, {"result": {"foreign_keys": {"raceId": "gone"}}})

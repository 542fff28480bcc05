"""A schema that does not hold together is refused with the name of what is wrong."""

from __future__ import annotations

import pytest

from relgraph.data.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from relgraph.errors import SchemaError


def table(name: str, columns: str, **options: object) -> TableSchema:
    return TableSchema(name, tuple(ColumnSchema(c) for c in columns.split()), **options)  # type: ignore[arg-type]


PERSON = table("person", "id name", primary_key="id")


def test_keys_are_tuples_and_ordered_by_their_first_column() -> None:
    sale = table("sale", "buyer seller", foreign_keys=(ForeignKey("seller", "person"), ForeignKey("buyer", "person")))
    assert [key.columns for key in sale.foreign_keys] == [("buyer",), ("seller",)]
    assert Schema((PERSON, sale)).target_columns(sale.foreign_keys[0]) == ("id",)


def test_round_trip_through_plain_values() -> None:
    sale = table("sale", "a b day", foreign_keys=(ForeignKey(("a", "b"), "pair", ("x", "y")),), time_column="day")
    schema = Schema((table("pair", "x y", primary_key=("x", "y")), sale))
    assert Schema.from_dict(schema.to_dict()) == schema


@pytest.mark.parametrize(
    ("sale", "message"),
    [
        (table("sale", "buyer", foreign_keys=(ForeignKey("buyer", "persn"),)), r"sale\.buyer refers to table 'persn'"),
        (table("sale", "buyer", foreign_keys=(ForeignKey("byer", "person"),)), "'sale' has no column 'byer'"),
        (table("sale", "buyer", foreign_keys=(ForeignKey("buyer", "person", "nr"),)), r"person\.nr, which does not"),
        (table("sale", "a b", foreign_keys=(ForeignKey(("a", "b"), "person"),)), "has 2 columns but refers to 1"),
        (table("sale", "buyer", primary_key="nr"), "no column 'nr'"),
        (table("sale", "buyer", time_column="day"), "no column 'day'"),
        (table("sale", "buyer buyer"), "column 'buyer' stands twice"),
        (table("person", "id"), "table 'person' stands twice"),
        (table("sale", "a", foreign_keys=(ForeignKey("a", "sale"),)), "has no primary key; name target_columns"),
    ],
)
def test_what_does_not_hold_is_named(sale: TableSchema, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema((PERSON, sale))


def test_an_unknown_table_lists_the_known_ones() -> None:
    with pytest.raises(SchemaError, match="no table 'x'; tables: person"):
        Schema((PERSON,))["x"]

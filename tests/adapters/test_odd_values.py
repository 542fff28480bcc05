"""Values that sources hold and examples do not: each is kept exactly, or refused with table, column and remedy."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import relgraph
from relgraph.data.time import UNKNOWN, to_microseconds
from tests.adapters.odd_sources import KINDS, keys_of, linked, opened, survive, values


def table(**columns: tuple[pa.DataType, list[Any]]) -> pa.Table:
    return pa.table({name: pa.array(given, kind) for name, (kind, given) in columns.items()})


def referring(keys: list[Any], references: list[Any], kind: pa.DataType, other: pa.DataType | None = None) -> Any:
    """A parent with these keys and a child that refers to them."""
    parent = table(id=(kind, keys), v=(pa.int64(), list(range(len(keys)))))
    child = table(no=(pa.int64(), list(range(len(references)))), ref=(other or kind, references))
    return {"child": child, "parent": parent}


KEYS = {"parent": "id", "child": {"primary_key": "no", "foreign_keys": {"ref": "parent"}}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_and_the_last_day(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    days = [dt.date(1, 1, 1), dt.date(9999, 12, 31), None, dt.date(1969, 12, 31)]
    moments = [
        dt.datetime(1, 1, 1),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        None,
        dt.datetime(1970, 1, 1, 0, 0, 1),
    ]
    given = table(id=(pa.int64(), [1, 2, 3, 4]), d=(pa.date32(), days), t=(pa.timestamp("us"), moments))
    with opened(kind, {"e": given}, tmp_path, request, keys={"e": "id"}, times={"e": "t"}) as db:
        assert values(db, "e", "d", "id") == days
        assert values(db, "e", "t", "id") == moments
        time = survive(db, tmp_path).nodes["e"].time
        assert time is not None
        assert time.tolist() == [int(to_microseconds(m)) if m else UNKNOWN for m in moments]
        assert db.upto("0001-01-01").num_rows("e") == 2
        assert db.upto("9999-12-31 23:59:59.999998").num_rows("e") == 3
    (tmp_path / "again").mkdir()
    with opened(kind, {"e": given}, tmp_path / "again", request, keys={"e": "id"}, times={"e": "d"}) as db:
        time = relgraph.build_graph(db, progress=False).nodes["e"].time
        assert time is not None
        assert time.tolist() == [int(to_microseconds(str(d))) if d else UNKNOWN for d in days]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_numbers_at_the_ends(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    numbers = [math.inf, -math.inf, math.nan, 1.7976931348623157e308, 5e-324, -0.0, None, 0.1 + 0.2]
    if kind in ("mariadb", "csv"):  # the one has none of these, in the other they are words
        numbers = [0.0, 0.5, 0.25, *numbers[3:]]
    if kind == "mariadb":
        numbers[5] = 0.0
    given = table(id=(pa.int64(), list(range(len(numbers)))), x=(pa.float64(), numbers))
    with opened(kind, {"t": given}, tmp_path, request, keys={"t": "id"}) as db:
        found = values(db, "t", "x", "id")
        assert [repr(value) for value in found] == [
            "None" if kind == "pandas" and v is not None and math.isnan(v) else repr(v) for v in numbers
        ]
        features = survive(db, tmp_path).nodes["t"].features
        assert features is not None
        column = features.column("x").tolist()
        assert [math.isfinite(v) for v in column] == [
            v is not None and math.isfinite(v) and abs(v) < 3.4e38 for v in numbers
        ]
        assert math.isfinite(features.stats["x"]["mean"])


@pytest.mark.parametrize("kind", KINDS)
def test_decimals_of_31_digits_as_keys(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keys = [Decimal(10**30), Decimal(10**30 + 1), Decimal(-(10**30)), Decimal(7)]
    tables = referring(keys, [keys[1], keys[0], None, Decimal(10**30 + 2), keys[2]], pa.decimal128(38, 0))
    with opened(kind, tables, tmp_path, request, keys=KEYS) as db:
        graph = survive(db, tmp_path)
        assert linked(db, graph) == [(0, 1), (1, 0), (4, 2)]
        assert list(map(str, keys_of(db, graph))) == list(map(str, keys))


@pytest.mark.parametrize("kind", KINDS)
def test_unsigned_keys_beyond_int64(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keys = [2**63 + 1, 2**63 + 2, 2**64 - 1, 5, 2**53 + 1]
    tables = referring(keys, [2**63 + 2, 2**63 + 1, None, 2**63 + 3, 5, 2**53 + 1], pa.uint64())
    if kind == "pandas":  # NULL makes its numbers floats
        tables["child"] = tables["child"].filter(tables["child"]["ref"].is_valid())
    with opened(kind, tables, tmp_path, request, keys=KEYS) as db:
        graph = survive(db, tmp_path)
        assert list(map(str, keys_of(db, graph))) == list(map(str, keys))
        assert linked(db, graph) == [(0, 1), (1, 0), (4, 3), (5, 4)]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_as_keys(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keys = [b"\x00\xff", b"\x00", b"\\x00", bytes(range(256)), b"a", b"A"]
    references = [b"\\x00", b"\x00", None, b"A", b"\xff", bytes(range(256))]
    expected = [(0, 2), (1, 1), (3, 5), (5, 3)]
    if kind not in ("csv", "mariadb"):  # which do not tell no bytes from NULL
        keys, references, expected = [*keys, b""], [*references, b""], [*expected, (6, 6)]
    with opened(kind, referring(keys, references, pa.binary()), tmp_path, request, keys=KEYS) as db:
        assert linked(db, survive(db, tmp_path)) == expected


LONG = "x" * 2**20
TEXTS = [
    "a",
    "A",
    "a ",
    " a",
    "é",
    "e\u0301",
    "É",
    "ß",
    "ss",
    "İ",
    "i",
    "",
    "\uff41",
    "1",
    "01",
    "1.0",
    "NULL",
    "null",
    "nan",
]
TEXTS += [
    "\u200b",
    "😀",
    "%s",
    "'",
    '"',
    "\\",
    "\\N",
    "a\tb",
    "a\nb",
    "a,b",
    "ﬁ",
    "fi",
    LONG + "1",
    LONG + "2",
    "true",
    "t",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_text_keys_are_never_merged(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keys = [text for text in TEXTS if kind != "csv" or text not in ("", "\\N")]  # both are NULL there
    tables = referring(keys, [*reversed(keys), "b", None], pa.string())
    with opened(kind, tables, tmp_path, request, keys=KEYS) as db:
        assert values(db, "parent", "id", "v") == keys
        graph = survive(db, tmp_path)
        assert linked(db, graph) == [(i, len(keys) - 1 - i) for i in range(len(keys))]
        assert [(k.null, k.dangling) for k in db.check().foreign_keys] == [(1, 1)]
        assert keys_of(db, graph) == keys


@pytest.mark.parametrize("kind", KINDS)
def test_empty_text_is_not_null(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    texts = ["", None, " ", "x", ""]
    given = table(id=(pa.int64(), list(range(5))), c=(pa.string(), texts))
    with opened(kind, {"t": given}, tmp_path, request, keys={"t": "id"}) as db:
        assert values(db, "t", "c", "id") == ([None, None, " ", "x", None] if kind == "csv" else texts)
        survive(db, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_negative_keys_and_floats_that_are_whole(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tables = referring([-1, 0, -(2**63), 2**63 - 1], [-1.0, None, 0.0, 0.5], pa.int64(), pa.float64())
    with opened(kind, tables, tmp_path, request, keys=KEYS) as db:
        graph = survive(db, tmp_path)
        assert linked(db, graph) == [(0, 0), (2, 1)]
        # a float knows no number near 2**63, so both are compared as text
        assert keys_of(db, graph) == ["-1", "0", str(-(2**63)), str(2**63 - 1)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_float_is_no_integer_that_it_only_resembles(
    kind: str, turned: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole, real = [2**53 + 1, 1, 2**53 + 2], [float(2**53), 1.0, 0.5]
    sides = [(whole, pa.int64()), (real, pa.float64())]
    (keys, kept), (references, other) = reversed(sides) if turned else sides
    tables = referring(keys, references, kept, other)
    with opened(kind, tables, tmp_path, request, keys=KEYS) as db:
        assert linked(db, survive(db, tmp_path)) == [(1, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_different_types(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tables = referring([1, 2, -3], ["1", "-3", "x", None, "01"], pa.int64(), pa.string())
    with opened(kind, tables, tmp_path, request, keys=KEYS) as db:
        assert linked(db, survive(db, tmp_path)) == [(0, 0), (1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_null_in_a_composite_key(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    parent = table(a=(pa.int64(), [1, 1, 2]), b=(pa.string(), ["x", None, "x"]), v=(pa.int64(), [0, 1, 2]))
    no = (pa.int64(), [0, 1, 2, 3])
    child = table(a=(pa.int64(), [1, 1, 2, None]), b=(pa.string(), ["x", None, "x", None]), no=no)
    keys = {"parent": ("a", "b"), "child": {"foreign_keys": {("a", "b"): "parent"}}}
    with opened(kind, {"parent": parent, "child": child}, tmp_path, request, keys=keys) as db:
        graph = survive(db, tmp_path)
        assert graph.nodes["parent"].keys is None
        assert graph.nodes["parent"].num_nodes == 3
        assert linked(db, graph, "a+b") == [(0, 0), (2, 2)]
        assert [(k.null, k.dangling) for k in db.check().foreign_keys] == [(2, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_of_a_megabyte(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    texts = ["short", "word " * 209_715 + "é" * 4, None, "last"]  # more than 2^20 bytes
    given = table(id=(pa.int64(), [1, 2, 3, 4]), t=(pa.string(), texts))
    with opened(kind, {"t": given}, tmp_path, request, keys={"t": "id"}) as db:
        assert values(db, "t", "t", "id") == texts
        assert survive(db, tmp_path).nodes["t"].num_nodes == 4

"""Keys of different number types are equal exactly when the numbers are, whatever DuckDB would round them to."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import relgraph

HUGE = 10**30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "keys", "other", "references", "expected", "dtype"),
    [
        ("BIGINT", [1, 2], "DOUBLE", [2.0, 0.5], [(0, 1)], "BIGINT"),
        ("BIGINT", [2**53 + 1, 1], "DOUBLE", [2.0**53, 1.0, 0.5], [(1, 1)], "VARCHAR"),
        ("BIGINT", [2**53, 1], "DOUBLE", [2.0**53, 0.5], [(0, 0)], "BIGINT"),
        ("INTEGER", [2**24 + 1, 2**24], "FLOAT", [2.0**24, 0.5], [(0, 1)], "VARCHAR"),
        ("UHUGEINT", [HUGE, HUGE + 1], "HUGEINT", [HUGE + 1, HUGE + 2], [(0, 1)], "VARCHAR"),
        ("HUGEINT", [HUGE, HUGE + 1], "DECIMAL(38, 0)", [HUGE + 1, HUGE + 2], [(0, 1)], "HUGEINT"),
        ("UBIGINT", [2**63, 5], "BIGINT", [2**63 - 1, 5], [(1, 1)], "UBIGINT"),
        ("DECIMAL(38, 0)", [HUGE, 2, 10], "DECIMAL(38, 10)", [2, "10.0", "2.5"], [(0, 1), (1, 2)], "VARCHAR"),
        ("DECIMAL(9, 2)", ["1.10", "2.00", "0.00"], "DOUBLE", [1.1, 2.0, -0.0], [(0, 0), (1, 1), (2, 2)], "VARCHAR"),
        ("DECIMAL(9, 2)", ["100.00", "1.50"], "INTEGER", [100, 1], [(0, 0)], "VARCHAR"),
        ("DOUBLE", [0.5, 1e300], "BIGINT", [2**62, 1], [], "VARCHAR"),
    ],
)
def test_numbers_of_two_types(
    tmp_path: Path,
    kind: str,
    keys: list[object],
    other: str,
    references: list[object],
    expected: list[tuple[int, int]],
    dtype: str,
) -> None:
    with duckdb.connect(str(tmp_path / "x.duckdb")) as file:
        file.execute(f"CREATE TABLE p (id {kind})")
        file.execute(f"CREATE TABLE c (ref {other})")
        for table, values in (("p", keys), ("c", references)):
            for value in values:
                file.execute(f"INSERT INTO {table} VALUES (CAST(? AS {kind if table == 'p' else other}))", [value])
    given = {"p": "id", "c": {"foreign_keys": {"ref": "p"}}}
    for snapshot in (None, tmp_path / "kept.duckdb"):  # as a view, and as a copy
        with relgraph.connect(tmp_path / "x.duckdb", keys=given, snapshot=snapshot, progress=False) as db:
            index = relgraph.build_graph(db, progress=False).edges["c", "ref", "p"].edge_index
            assert sorted(map(tuple, index.t().tolist())) == expected
            dangling = len(references) - len(expected)
            assert [(k.null, k.dangling) for k in db.check().foreign_keys] == [(0, dangling)]
            if snapshot is None:  # Arrow has no 128-bit integers
                assert db.schema["p"].column("id").dtype == dtype
                assert any("compared as text" in note for note in db.notes) == (dtype == "VARCHAR")

"""Text files are read once while much is asked of them, and are left where they are otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

import relgraph
from relgraph.data.database import Database
from tests.data.fake import rows


@pytest.fixture
def db(tmp_path: Path) -> Database:
    (tmp_path / "t.csv").write_text("id,word\n1,a\n2,\n3,c\n")
    return relgraph.connect(tmp_path, keys={"t": "id"}, progress=False)


def plan(db: Database) -> str:
    return str(db.cursor().execute(f"EXPLAIN {db.numbered('t')}").fetchall())


def held(db: Database) -> int:
    return int(db.cursor().execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'").fetchall()[0][0])


def test_within_the_block_no_query_reads_the_file(db: Database) -> None:
    expected = [(1, "a"), (2, None), (3, "c")]
    assert "READ_CSV" in plan(db)
    with db.at_hand():
        assert "READ_CSV" not in plan(db)
        assert rows(db, "t") == expected
        with db.at_hand(), db.upto("2024-01-01").at_hand():
            assert rows(db, "t") == expected
        assert "READ_CSV" not in plan(db)  # an inner block ends nothing
    assert "READ_CSV" in plan(db)
    assert held(db) == 0
    assert rows(db, "t") == expected


def test_an_error_within_the_block_lets_go_too(db: Database) -> None:
    with pytest.raises(KeyError), db.at_hand():
        raise KeyError
    assert held(db) == 0
    assert "READ_CSV" in plan(db)


def test_what_is_cheap_to_read_stays_where_it_is(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"id": [1]}), tmp_path / "t.parquet")
    with relgraph.connect(tmp_path, progress=False) as db, db.at_hand():
        assert held(db) == 0


def test_a_graph_reads_the_file_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = Database.num_rows
    monkeypatch.setattr(Database, "num_rows", lambda self, table: seen.append(plan(self)) or original(self, table))
    graph = relgraph.build_graph(db, progress=False)
    assert graph.num_nodes == 3
    assert seen
    assert not any("READ_CSV" in text for text in seen)

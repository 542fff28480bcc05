"""Servers that are away, go away or refuse: tried again where that helps, else a clear error and nothing half done."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import relgraph
from relgraph.adapters import ADAPTERS
from relgraph.data import retry
from relgraph.data.database import Database
from relgraph.data.schema import Schema
from relgraph.data.source import Selection
from relgraph.errors import AdapterError, SourceUnavailableError
from tests.adapters.proxy import Proxy, closed_port, mariadb_says, postgresql_says
from tests.adapters.servers import ServerDatabase

pytestmark = pytest.mark.servers

ROWS = 30_000
USER = "me:s3cr%40t%2Fpw"
SECRETS = ("s3cr@t/pw", "s3cr%40t%2Fpw")
AWAY = {"postgresql": 5432, "mysql": 3306}


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> ServerDatabase:
    database: ServerDatabase = request.getfixturevalue("postgresql" if request.param == "postgresql" else "mariadb")
    numbers = f"generate_series(1, {ROWS}) AS n (id)" if request.param == "postgresql" else f"seq_1_to_{ROWS} AS n"
    column = "id" if request.param == "postgresql" else "seq"
    database.run(
        "CREATE TABLE small (id INT PRIMARY KEY); INSERT INTO small VALUES (1), (2)",
        "CREATE TABLE wide (id INT PRIMARY KEY, t VARCHAR(1000))",
        f"INSERT INTO wide SELECT {column}, repeat('x', 1000) FROM {numbers}",
    )
    return database


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.01, 0.01, 0.01))


def port_of(server: ServerDatabase) -> int:
    found = server.url.rpartition("@")[2].partition("/")[0].partition(":")[2]
    return int(found) if found else AWAY[server.kind]


def through(server: ServerDatabase, port: int) -> str:
    """The same database behind another port."""
    scheme, _, rest = server.url.partition("://")
    return f"{scheme}://{rest.partition('@')[0]}@127.0.0.1:{port}/{server.name}"


def connect(url: str, *tables: str, **given: Any) -> Database:
    return relgraph.connect(url, tables=tables or None, progress=False, **given)


def opened(url: str, *tables: str) -> Any:
    adapter = next(adapter for adapter in ADAPTERS if adapter.matches(url))
    return adapter(url, Selection(tables or None))


def test_a_server_that_is_down_is_tried_again_and_then_named(
    server: ServerDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{server.kind}://{USER}@127.0.0.1:{closed_port()}/shop"
    with pytest.raises(SourceUnavailableError) as caught:
        relgraph.connect(url, progress=True)
    message = str(caught.value)
    assert "the server is not there" in message
    assert "check that it is running and that host and port are right" in message
    assert "(tried 4 times in 0.03 s)" in message
    shown = message + repr(caught.value) + "".join(traceback.format_exception(caught.value)) + capsys.readouterr().err
    assert "trying again in 0.01 s" in shown
    for secret in SECRETS:
        assert secret not in shown


def test_a_server_that_starts_up_is_waited_for(server: ServerDatabase) -> None:
    refuse = (
        postgresql_says("57P03", "the database system is starting up")
        if server.kind == "postgresql"
        else mariadb_says(1040, "Too many connections")
    )
    with Proxy(port_of(server), refuse=refuse, refusals=3) as proxy:
        with connect(through(server, proxy.port), "small") as db:
            assert db.num_rows("small") == 2
        assert proxy.connections > 3


def test_a_connection_cut_in_the_middle_leaves_nothing(server: ServerDatabase, tmp_path: Path) -> None:
    with Proxy(port_of(server), cut_after=2_000_000) as proxy:
        with pytest.raises(
            SourceUnavailableError, match=r"wide cannot be read: the connection was lost.*tried 4 times"
        ):
            connect(through(server, proxy.port), "small", "wide", snapshot=tmp_path / "new.duckdb")
        assert proxy.done_cuts == 4
        assert list(tmp_path.iterdir()) == []


def test_a_cut_connection_leaves_an_old_snapshot_as_it_was(server: ServerDatabase, tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with Proxy(port_of(server), cut_after=2_000_000, cuts=4) as proxy:
        connect(through(server, proxy.port), "small", snapshot=path).close()
        before = path.read_bytes()
        with pytest.raises(SourceUnavailableError, match="wide cannot be read"):
            connect(through(server, proxy.port), "small", "wide", snapshot=path, refresh=True)
        assert os.listdir(tmp_path) == ["old.duckdb"]
        assert path.read_bytes() == before


def test_a_cut_connection_is_healed_and_every_row_is_there_once(server: ServerDatabase, tmp_path: Path) -> None:
    path = tmp_path / "new.duckdb"
    with Proxy(port_of(server), cut_after=2_000_000, cuts=2) as proxy:
        with connect(through(server, proxy.port), "small", "wide", snapshot=path) as db:
            counts = db.sql("SELECT count(*) AS n, count(DISTINCT id) AS d, sum(length(t)) AS t FROM wide").to_pylist()
            assert counts == [{"n": ROWS, "d": ROWS, "t": 1000 * ROWS}]
            assert db.num_rows("small") == 2
        assert proxy.done_cuts == 2
        assert os.listdir(tmp_path) == ["new.duckdb"]


def test_a_backend_that_is_ended_is_a_lost_connection(server: ServerDatabase) -> None:
    source = opened(server.url, "wide")
    seen: list[int] = []
    with pytest.raises(SourceUnavailableError, match="wide cannot be read: the connection was lost"):
        read(source, seen, lambda: end_others(server))
    assert 0 < sum(seen) < ROWS
    del seen[:]
    read(source, seen, lambda: None)
    assert sum(seen) == ROWS


def read(source: Any, seen: list[int], after_first: Callable[[], None]) -> None:
    for table in source.read(Schema(source.schema())):
        for batch in table.batches:
            seen.append(batch.num_rows)
            if len(seen) == 1:
                after_first()


def end_others(server: ServerDatabase) -> None:
    """End every other connection to this test's own database."""
    if server.kind == "postgresql":
        server.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    else:
        listed = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        for (number,) in server.query(listed):
            server.run(f"KILL {number}")


def test_a_time_limit_is_named_with_the_table(server: ServerDatabase, tmp_path: Path) -> None:
    if server.kind == "postgresql":
        server.run("CREATE VIEW slow AS SELECT 1 AS a, pg_sleep(30) IS NULL AS b")
        url = server.url_of(options="-c statement_timeout=700")
    else:
        server.run(
            "CREATE VIEW slow AS SELECT COUNT(*) AS n FROM wide a, wide b WHERE a.t LIKE CONCAT('%y', b.t, 'z%')"
        )
        url = server.url_of(init_command="SET SESSION max_statement_time = 0.7")
    with pytest.raises(
        AdapterError, match=r"slow cannot be read: the server ended it at a time limit: .*raise the"
    ) as e:
        connect(url, "slow", snapshot=tmp_path / "new.duckdb")
    assert not isinstance(e.value, SourceUnavailableError)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_password_is_refused_at_once_and_never_shown(server: ServerDatabase) -> None:
    if server.kind == "postgresql":
        says = postgresql_says("28P01", 'password authentication failed for user "me"', ask_password=True)
        proxy, user = Proxy(port_of(server), refuse=says, refusals=9), "me"
    else:
        proxy, user = Proxy(port_of(server)), server.user("the right one")
    with proxy:
        url = f"{server.kind}://{USER.replace('me', user)}@127.0.0.1:{proxy.port}/{server.name}"
        with pytest.raises(
            AdapterError, match=r"refuses this user, password or client: .*check user and password"
        ) as e:
            connect(url)
        assert proxy.connections == 1
    assert not isinstance(e.value, SourceUnavailableError)
    shown = repr(e.value) + "".join(traceback.format_exception(e.value))
    assert user in shown
    for secret in SECRETS:
        assert secret not in shown


def test_a_database_that_does_not_exist_is_refused_at_once(server: ServerDatabase) -> None:
    url = server.url.replace(server.name, "relgraph_nowhere")
    with pytest.raises(AdapterError, match=r"cannot be opened: .*relgraph_nowhere.*check the name after the last") as e:
        connect(url)
    assert not isinstance(e.value, SourceUnavailableError)


def test_a_host_that_cannot_be_resolved_is_refused_at_once(server: ServerDatabase) -> None:
    with pytest.raises(AdapterError, match=r"host.* cannot be resolved: .*check the host in the URL") as e:
        connect(f"{server.kind}://{USER}@nowhere.invalid/shop")
    assert not isinstance(e.value, SourceUnavailableError)


def test_a_table_without_permission_is_named_and_can_be_left_out(server: ServerDatabase) -> None:
    server.run("CREATE TABLE secret (id INT PRIMARY KEY)")
    user = server.user()
    if server.kind == "postgresql":
        server.run(f"GRANT SELECT ON small TO {user}")
    else:  # a table without any right is not even seen
        server.run(f"GRANT SELECT ON small TO {user}@'%'; GRANT INSERT ON secret TO {user}@'%'")
    url = server.url_of(user)
    with pytest.raises(AdapterError, match=r"may not read.*secret.*GRANT SELECT (?i:on).*tables=\[") as e:
        connect(url, "small", "secret")
    assert not isinstance(e.value, SourceUnavailableError)
    with connect(url, "small") as db:
        assert db.num_rows("small") == 2


@pytest.mark.parametrize(
    "change", ["DROP TABLE fleeting", "ALTER TABLE fleeting DROP COLUMN b", "ALTER TABLE fleeting RENAME COLUMN b TO c"]
)
def test_a_table_changed_between_reflection_and_read_is_named(
    server: ServerDatabase, change: str, tmp_path: Path
) -> None:
    server.run("DROP TABLE IF EXISTS fleeting; CREATE TABLE fleeting (id INT PRIMARY KEY, b INT)")
    source = changed_before_read(server, lambda: server.run(change), "small", "fleeting")
    with pytest.raises(AdapterError, match=r"fleeting cannot be read: it is no longer what it was a moment ago") as e:
        Database.from_source(source, snapshot=tmp_path / "new.duckdb", progress=False)
    assert "connect again" in str(e.value)
    assert not isinstance(e.value, SourceUnavailableError)
    assert list(tmp_path.iterdir()) == []


def test_a_type_changed_between_reflection_and_read_gives_no_wrong_values(server: ServerDatabase) -> None:
    text = "TYPE text" if server.kind == "postgresql" else "TEXT"
    verb = "ALTER COLUMN" if server.kind == "postgresql" else "MODIFY"
    server.run("DROP TABLE IF EXISTS fleeting; CREATE TABLE fleeting (id INT PRIMARY KEY, b INT)")
    change = f"ALTER TABLE fleeting {verb} b {text}"
    source = changed_before_read(
        server, lambda: server.run(change, "INSERT INTO fleeting VALUES (1, 'one')"), "fleeting"
    )
    with pytest.raises(AdapterError, match="fleeting"):
        Database.from_source(source, progress=False)


def changed_before_read(server: ServerDatabase, change: Callable[[], None], *tables: str) -> Any:
    source = opened(server.url, *tables)
    read = source.read

    def changed(*given: Any) -> Iterator[Any]:
        change()
        return read(*given)  # type: ignore[no-any-return]

    source.read = changed
    return source


def test_a_locked_table_is_named_after_the_time_that_the_user_waits(server: ServerDatabase) -> None:
    server.run("CREATE TABLE held (id INT PRIMARY KEY)")
    with closing(server.open()) as other, closing(other.cursor()) as cursor:
        if server.kind == "postgresql":
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            url = server.url_of(options="-c lock_timeout=300")
        else:
            cursor.execute("LOCK TABLES held WRITE")
            url = server.url_of(init_command="SET SESSION lock_wait_timeout = 1")
        with pytest.raises(AdapterError, match="held cannot be read: another transaction holds a lock on it") as e:
            connect(url, "held")
        assert not isinstance(e.value, SourceUnavailableError)


def test_too_many_connections_are_tried_again(server: ServerDatabase) -> None:
    user = server.user()
    if server.kind == "postgresql":
        server.run(f"GRANT SELECT ON small TO {user}; ALTER ROLE {user} CONNECTION LIMIT 0")
    else:
        server.run(f"GRANT SELECT ON small TO {user}@'%' WITH MAX_USER_CONNECTIONS 1")
    held = [] if server.kind == "postgresql" else [as_user(server, user)]
    with pytest.raises(SourceUnavailableError, match=r"takes no more connections: .*raise the limit.*tried 4 times"):
        connect(server.url_of(user), "small")
    for connection in held:
        connection.close()


def test_one_connection_is_enough(server: ServerDatabase) -> None:
    user = server.user()
    if server.kind == "postgresql":
        server.run(f"GRANT SELECT ON small TO {user}; ALTER ROLE {user} CONNECTION LIMIT 1")
    else:
        server.run(f"GRANT SELECT ON small TO {user}@'%' WITH MAX_USER_CONNECTIONS 1")
    with connect(server.url_of(user), "small") as db:
        assert db.num_rows("small") == 2


def as_user(server: ServerDatabase, user: str) -> Any:
    import pymysql

    return pymysql.connect(host="127.0.0.1", port=port_of(server), user=user, database=server.name)

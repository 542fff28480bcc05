"""A fresh database on PostgreSQL and one on MariaDB for every test module that asks, dropped after it.

``RELGRAPH_POSTGRESQL`` and ``RELGRAPH_MARIADB`` are URLs of a superuser, by default of servers on this machine. Where
one is absent its tests are skipped with the reason, or fail if ``RELGRAPH_REQUIRE_SERVERS`` is set. A test that uses
them is marked ``servers``.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from relgraph.adapters.urls import masked

POSTGRESQL = os.environ.get("RELGRAPH_POSTGRESQL", "postgresql://root@127.0.0.1:5432/postgres")
MARIADB = os.environ.get("RELGRAPH_MARIADB", "mysql://root@127.0.0.1:3306/mysql")
# lines of a dump that make and choose its own database
_ELSEWHERE = re.compile(r"^\s*(?:(?:DROP|CREATE)\s+DATABASE\b|USE\b|\\c\b)[^\n]*$", re.IGNORECASE | re.MULTILINE)


@dataclass
class ServerDatabase:
    """One database that a test module may do anything to.

    Args:
        kind: ``postgresql`` or ``mysql``.
        server: The URL of the superuser.
        name: The database.
    """

    kind: str
    server: str
    name: str
    users: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What to give to ``relgraph.connect``."""
        return self.url_of()

    def url_of(self, user: str | None = None, password: str | None = None, **query: str) -> str:
        """The same with another user or with options."""
        url = sa.make_url(self.server).set(database=self.name).update_query_dict(query)
        if user is not None:
            url = url.set(username=user, password=password)
        return url.render_as_string(hide_password=False)

    def open(self) -> Any:
        """A connection of the driver, each statement committed at once."""
        return _open(self.kind, sa.make_url(self.url))

    def run(self, *statements: str) -> None:
        """Run statements, each of which may be several with ``;`` between."""
        with closing(self.open()) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
                while cursor.nextset():  # an error of a later part shows only here
                    pass

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one query."""
        with closing(self.open()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def load(self, dump: Path, *before: str) -> None:
        """Run a dump file in this database instead of the one it makes, after other statements."""
        self.run(*before, _ELSEWHERE.sub("", dump.read_text(encoding="utf-8")))

    def user(self, password: str | None = None) -> str:
        """A new user without any right in this database but to connect; dropped with it."""
        name = f"relgraph_{uuid.uuid4().hex[:12]}"
        self.users.append(name)
        if self.kind == "postgresql":
            self.run(f"CREATE ROLE {name} LOGIN" + (f" PASSWORD '{password}'" if password else ""))
        else:
            self.run(f"CREATE USER {name}@'%'" + (f" IDENTIFIED BY '{password}'" if password else ""))
            self.run(f"GRANT USAGE ON *.* TO {name}@'%'")
        return name


def _open(kind: str, url: sa.URL) -> Any:
    if kind == "postgresql":
        import psycopg

        return psycopg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            dbname=url.database,
            autocommit=True,
            options="-clock_timeout=30s",  # a transaction that a failed test left open must not hold up the next
        )
    import pymysql
    from pymysql.constants import CLIENT

    return pymysql.connect(
        host=url.host or "127.0.0.1",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )


def fresh(kind: str, server: str, options: str = "") -> Iterator[ServerDatabase]:
    """A database that is there until the generator goes on.

    Args:
        kind: ``postgresql`` or ``mysql``.
        server: The URL of the superuser.
        options: To stand after ``CREATE DATABASE name``.
    """
    try:
        administrator = _open(kind, sa.make_url(server))
    except Exception as error:  # whatever the driver raises
        message = f"no {kind} at {masked(server)}: {error}"
        if os.environ.get("RELGRAPH_REQUIRE_SERVERS"):
            pytest.fail(message)
        pytest.skip(message)
    database = ServerDatabase(kind, server, f"relgraph_{uuid.uuid4().hex[:16]}")
    with closing(administrator), closing(administrator.cursor()) as cursor:
        charset = " CHARACTER SET utf8mb4" if kind == "mysql" and not options else ""
        cursor.execute(f"CREATE DATABASE {database.name}{charset} {options}")
        try:
            yield database
        finally:
            if kind == "postgresql":
                for name in database.users:
                    database.run(f"DROP OWNED BY {name}")
            cursor.execute(f"DROP DATABASE {database.name}" + (" WITH (FORCE)" if kind == "postgresql" else ""))
            for name in database.users:
                cursor.execute(f"DROP ROLE {name}" if kind == "postgresql" else f"DROP USER {name}@'%'")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[ServerDatabase]:
    """An empty PostgreSQL database of the test module's own."""
    yield from fresh("postgresql", POSTGRESQL)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[ServerDatabase]:
    """An empty MariaDB database of the test module's own."""
    yield from fresh("mysql", MARIADB)

"""What errors of drivers mean, for the codes that no server can be made to give here."""

from __future__ import annotations

from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

import relgraph
from relgraph.adapters.servers.faults import explained, fault, sqlstate, unavailable
from relgraph.errors import AdapterError, SourceUnavailableError
from tests.adapters.servers import MARIADB, POSTGRESQL, ServerDatabase

URL = "mysql://me:s3cr%40t@host/shop?ssl_key=hidden"


def postgresql(state: str) -> Exception:
    return psycopg.errors.lookup(state)("as the server says it")


def mysql(number: int, text: str = "as the server says it") -> Exception:
    return pymysql.err.OperationalError(number, text)


def around(error: Exception, invalidated: bool = False) -> Exception:
    return sa.exc.OperationalError("SELECT 1", None, error, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("error", "passing", "says"),
    [
        (postgresql("57P01"), True, "the connection was lost"),
        (postgresql("08006"), True, "the connection was lost"),
        (postgresql("57P03"), True, "the server is not there"),
        (postgresql("53300"), True, "takes no more connections"),
        (postgresql("40P01"), True, "in favour of another"),
        (postgresql("40001"), True, "in favour of another"),
        (postgresql("28P01"), False, "refuses this user"),
        (postgresql("3D000"), False, "the database cannot be opened"),
        (postgresql("42501"), False, "the user may not read it"),
        (postgresql("57014"), False, "at a time limit"),
        (postgresql("25P03"), False, "at a time limit"),
        (postgresql("55P03"), False, "holds a lock"),
        (postgresql("42P01"), False, "no longer what it was"),
        (postgresql("42703"), False, "no longer what it was"),
        (postgresql("XX001"), False, "the server cannot read it"),
        (postgresql("22012"), False, "as the server says it"),
        (psycopg.OperationalError("FATAL:  remaining connection slots are reserved"), True, "no more connections"),
        (psycopg.OperationalError("SSL SYSCALL error: EOF detected"), True, "the connection was lost"),
        (psycopg.OperationalError("server does not support SSL, but SSL was required"), False, "no encrypted"),
        (psycopg.OperationalError("failed to resolve host: Temporary failure in name resolution"), True, "not there"),
        (OSError("canceling statement due to statement timeout"), False, "at a time limit"),
        (OSError("[libpq] ERROR: gone. SQLSTATE: 42P01"), False, "no longer what it was"),
        (mysql(2003, "Can't connect to MySQL server on 'x' (timed out)"), True, "the server is not there"),
        (mysql(2003, "Can't connect (Name or service not known)"), False, "the name of the host"),
        (mysql(2013), True, "the connection was lost"),
        (mysql(1927), True, "the connection was lost"),
        (mysql(1053), True, "the server is not there"),
        (mysql(1040), True, "takes no more connections"),
        (mysql(1226), True, "takes no more connections"),
        (mysql(1213), True, "in favour of another"),
        (mysql(1045), False, "refuses this user"),
        (mysql(1044), False, "the database cannot be opened"),
        (mysql(1142), False, "the user may not read it"),
        (mysql(1969), False, "at a time limit"),
        (mysql(3024), False, "at a time limit"),
        (mysql(1205), False, "holds a lock"),
        (mysql(1412), False, "no longer what it was"),
        (mysql(1194), False, "the server cannot read it"),
        (mysql(1292, "Incorrect value: 'Connection refused by SSL'"), False, "Incorrect value"),
        (RuntimeError("'cryptography' package is required for sha256_password"), False, "pip install cryptography"),
        (ConnectionResetError(104, "Connection reset by peer"), True, "the connection was lost"),
        (TimeoutError("timed out"), True, "the server is not there"),
        (ValueError("no number: 'SSL timed out'"), False, "no number"),
    ],
)
def test_codes_of_drivers(error: Exception, passing: bool, says: str) -> None:
    for each in (error, around(error)):
        assert unavailable(each) is passing
        assert says in explained(each, URL, "t")
        found = fault(each, "shop", URL, "t", "c")
        assert type(found) is (SourceUnavailableError if passing else AdapterError)
        assert str(found).startswith("shop: t.c cannot be read: ")


def test_a_connection_that_sqlalchemy_gave_up_is_lost() -> None:
    assert unavailable(around(psycopg.InterfaceError("odd"), invalidated=True))
    assert not unavailable(around(psycopg.InterfaceError("odd")))
    assert not unavailable(around(postgresql("57P04"), invalidated=True))  # the database was dropped


def test_messages_are_one_line_that_names_table_and_remedy_and_no_secret() -> None:
    found = explained(mysql(1142, "SELECT denied\n to\t'me' with s3cr@t and hidden."), URL, "orders")
    assert found == (
        "the user may not read it: SELECT denied to 'me' with *** and *** (1142); GRANT SELECT on 'orders' to the "
        "user, or leave it out by naming the others in tables=[...]"
    )


def test_the_sqlstate_is_found_wherever_it_stands() -> None:
    assert sqlstate(postgresql("42P01")) == "42P01"
    assert sqlstate(around(postgresql("42P01"))) == "42P01"
    assert sqlstate(OSError("anything. SQLSTATE: 57P01")) == "57P01"
    assert sqlstate(OSError("anything")) == ""


@pytest.mark.servers
@pytest.mark.parametrize(
    ("server", "option", "says"),
    [
        (POSTGRESQL, "sslmode=require", "no encrypted connection could be made: .*check the ssl settings"),
        (POSTGRESQL, "nonsense=1", "a setting in the URL is not understood: .*check what follows"),
        (MARIADB, "nonsense=1", "a setting in the URL is not understood: .*check what follows"),
        (MARIADB, "ssl_ca=/nowhere.pem", "a file that the URL names cannot be read: .*No such file"),
    ],
)
def test_settings_in_the_url_that_cannot_be_met(
    postgresql: ServerDatabase, mariadb: ServerDatabase, server: str, option: str, says: str
) -> None:
    url = (postgresql if server == POSTGRESQL else mariadb).url
    with pytest.raises(AdapterError, match=says) as caught:
        relgraph.connect(f"{url}?{option}", progress=False)
    assert type(caught.value) is AdapterError


def test_unknown_errors_say_what_they_say() -> None:
    class OddError(Exception):
        pass

    empty: Any = OddError()
    assert explained(empty) == "OddError"
    assert explained(OddError(3, "three")) == "three (3)"
    left_out = "three (3); mend it there, or leave 'sale' out by naming the others in tables=[...]"
    assert explained(OddError(3, "three"), table="sale") == left_out

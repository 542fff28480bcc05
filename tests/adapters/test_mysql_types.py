"""What MariaDB can hold comes through as it is, and what cannot is counted."""

from __future__ import annotations

import datetime as dt
import decimal
import random
import struct
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

import relgraph
from relgraph.errors import AdapterError
from tests.adapters.mysql_tools import connect, rows
from tests.adapters.servers import ServerDatabase

pytestmark = pytest.mark.servers
UTC = dt.UTC

GUID = "123e4567-e89b-12d3-a456-426655440000"
TYPES: dict[str, tuple[str, str, pa.DataType, Any]] = {  # column -> its type, an SQL value, what is read
    "tiny": ("TINYINT", "-128", pa.int64(), -128),
    "truth": ("BOOLEAN", "TRUE", pa.bool_(), True),
    "half truth": ("TINYINT(1)", "5", pa.int64(), 5),
    "zeros": ("INT(8) UNSIGNED ZEROFILL", "42", pa.int64(), 42),
    "big": ("BIGINT", "-9223372036854775808", pa.int64(), -(2**63)),
    "unsigned": ("BIGINT UNSIGNED", "18446744073709551615", pa.uint64(), 2**64 - 1),
    "unsigned, small": ("BIGINT UNSIGNED", "9223372036854775807", pa.int64(), 2**63 - 1),
    "bit": ("BIT(1)", "b'1'", pa.bool_(), True),
    "bits": ("BIT(9)", "b'101010101'", pa.int64(), 0b101010101),
    "all bits": ("BIT(64)", "0xFFFFFFFFFFFFFFFF", pa.uint64(), 2**64 - 1),
    "money": ("DECIMAL(18,2)", "1234567890123456.25", pa.float64(), 1234567890123456.25),
    "whole": ("DECIMAL(18,0)", "999999999999999999", pa.int64(), 10**18 - 1),
    "whole, fits": ("DECIMAL(38,0)", "9007199254740993", pa.int64(), 2**53 + 1),
    "huge": ("DECIMAL(38,0)", "1000000000000000000000000000000", pa.float64(), 1e30),
    "long": ("DECIMAL(65,30)", "12345678901234567890123456789012345.5", pa.float64(), 1.2345678901234568e34),
    "single": ("FLOAT", "16777215", pa.float32(), 16777215.0),
    "double": ("DOUBLE", "0.1", pa.float64(), 0.1),
    "first day": ("DATE", "'0001-01-01'", pa.date32(), dt.date(1, 1, 1)),
    "last moment": ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", pa.timestamp("us"), dt.datetime.max),
    "moment": ("TIMESTAMP NULL", "'2020-06-01'", pa.timestamp("us", "UTC"), dt.datetime(2020, 6, 1, tzinfo=UTC)),
    "clock": ("TIME(6)", "'23:59:59.5'", pa.time64("us"), dt.time(23, 59, 59, 500000)),
    "span": ("TIME(1)", "'-838:59:58.5'", pa.duration("us"), -dt.timedelta(hours=838, minutes=59, seconds=58.5)),
    "year": ("YEAR", "1999", pa.int64(), 1999),
    "enum": ("ENUM('a', 'ü')", "'ü'", pa.large_string(), "ü"),
    "set": ("SET('red', 'blue green', 'x')", "'x,red'", pa.large_list(pa.large_string()), ["red", "x"]),
    "empty set": ("SET('red')", "''", pa.large_list(pa.large_string()), []),
    "json": ("JSON", """'{"ü": [1]}'""", pa.large_string(), '{"ü": [1]}'),
    "uuid": ("UUID", f"'{GUID}'", pa.large_string(), GUID),
    "ip": ("INET6", "'::ffff:1.2.3.4'", pa.large_string(), "::ffff:1.2.3.4"),
    "text": ("TEXT", "'日本 🐘 \\\\ \\''", pa.large_string(), "日本 🐘 \\ '"),
    "latin": ("VARCHAR(9) CHARACTER SET latin1", "'é€'", pa.large_string(), "é€"),
    "older unicode": ("VARCHAR(9) CHARACTER SET utf8mb3", "'日'", pa.large_string(), "日"),
    "wide": ("CHAR(9) CHARACTER SET utf16", "'日🐘'", pa.large_string(), "日🐘"),
    "megabyte": ("MEDIUMTEXT", "REPEAT('ü', 524288)", pa.large_string(), "ü" * 524288),
    "binary": ("BINARY(3)", "X'00FF'", pa.large_string(), "00ff00"),
    "text after all": ("VARBINARY(99)", "'größe'", pa.large_string(), "größe"),
    "many bytes": ("VARBINARY(99)", "X'0041'", pa.large_binary(), b"\x00A"),
    "blob": ("BLOB", "X'00FF'", pa.large_binary(), b"\x00\xff"),
    "point": ("POINT", "POINT(1, 2)", pa.large_binary(), bytes.fromhex("0101000000000000000000f03f0000000000000040")),
    "made": ("INT AS (1 + 1)", "DEFAULT", pa.int64(), 2),
    "unseen": ("INT INVISIBLE", "3", pa.int64(), 3),
}  # fmt: skip


def test_every_type_keeps_what_it_says(mariadb: ServerDatabase) -> None:
    columns = ", ".join(f"`{name}` {dtype}" for name, (dtype, *_) in TYPES.items())
    names = ", ".join(f"`{name}`" for name in TYPES)
    values = ", ".join(value for _, value, *_ in TYPES.values())
    mariadb.run(
        f"CREATE TABLE types (id INT PRIMARY KEY, {columns})",
        f"SET time_zone = '+00:00'; INSERT INTO types (id, {names}) VALUES (1, {values})",
        "INSERT INTO types (id) VALUES (2)",
    )
    found, _, notes = rows(mariadb, "types")
    first, second = found.to_pylist()
    assert found.schema.types[1:] == [arrow for _, _, arrow, _ in TYPES.values()]
    assert {name: first[name] for name in TYPES} == {name: value for name, (*_, value) in TYPES.items()}
    assert {name for name in TYPES if second[name] is not None} == {"made"}
    assert notes == []
    with connect(mariadb, "types") as db:  # all of it fits into the snapshot
        assert db.num_rows("types") == 2


def test_every_text_and_number_comes_back_as_it_went(mariadb: ServerDatabase) -> None:
    """Whatever stands in it; in columns that share a cell on the way, and in those that do not."""
    chance = random.Random(0)
    letters = ["a", '"', ",", "\n", "\r", "\\", "'", "\0", "\t", " ", "é", "🐘", "%", "\\N", "NULL"]
    values: list[tuple[Any, ...]] = [
        (
            number,
            chance.choice([None, "", "".join(chance.choices(letters, k=chance.randrange(9)))]),
            chance.choice([None, struct.unpack("d", struct.pack("q", chance.getrandbits(62)))[0], chance.random()]),
            chance.choice([None, chance.randrange(-(2**63), 2**63)]),
            "".join(chance.choices(letters, k=chance.randrange(9))),
            chance.choice([None, chance.randbytes(5)]),
            chance.choice([None, chance.randrange(10**30)]),
        )
        for number in range(3000)
    ]
    mariadb.run(
        "CREATE TABLE chance (id INT, t VARCHAR(99), f DOUBLE, i BIGINT, l LONGTEXT, b VARBINARY(99), d DECIMAL(30,0),"
        "PRIMARY KEY (id), KEY (d)); CREATE TABLE lucky (d DECIMAL(30,0), FOREIGN KEY (d) REFERENCES chance (d))"
    )
    with closing(mariadb.open()) as connection, closing(connection.cursor()) as cursor:
        cursor.executemany("INSERT INTO chance VALUES (%s, %s, %s, %s, %s, %s, %s)", values)
    assert [tuple(row.values()) for row in rows(mariadb, "chance")[0].to_pylist()] == values


def test_dates_that_no_calendar_has_are_missing_and_counted(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE zeros (id INT PRIMARY KEY, d DATE, m DATETIME, y YEAR);"
        "INSERT INTO zeros VALUES (1, '0000-00-00', '2024-00-00 10:00:00', 0), (2, '2024-02-31', '2024-01-31', 1999),"
        "(3, '2024-02-29', '0000-00-00', 2000), (4, NULL, NULL, NULL), (5, '2024-05-00', '2024-02-30 00:00:01', 2001)"
    )
    found, _, notes = rows(mariadb, "zeros")
    assert found["d"].to_pylist() == [None, None, dt.date(2024, 2, 29), None, None]
    assert found["m"].to_pylist() == [None, dt.datetime(2024, 1, 31), None, None, None]
    assert found["y"].to_pylist() == [None, 1999, 2000, None, 2001]
    missing = "dates that no calendar has, such as 0000-00-00, are missing"
    assert notes == [
        f"column zeros.d: 3 {missing}",
        f"column zeros.m: 3 {missing}",
        "column zeros.y: 1 years 0000 are missing",
    ]


def test_bytes_that_are_no_text_are_replaced_and_counted(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE damaged (id INT PRIMARY KEY, t VARCHAR(9) CHARACTER SET ascii);"
        "SET sql_mode = ''; INSERT INTO damaged VALUES (1, 'fine'), (2, _binary X'61FF62')"
    )
    found, _, notes = rows(mariadb, "damaged")
    assert found["t"].to_pylist() == ["fine", "a\ufffdb"]
    assert notes == ["column damaged.t: 1 texts hold bytes that are no ascii: U+FFFD stands for them"]


def test_a_value_longer_than_the_server_may_send_is_an_error_and_not_null(mariadb: ServerDatabase) -> None:
    ((limit,),) = mariadb.query("SELECT @@max_allowed_packet")
    mariadb.run(
        "CREATE TABLE lengthy (id INT PRIMARY KEY, t LONGTEXT CHARACTER SET latin1);"
        f"INSERT INTO lengthy VALUES (1, REPEAT(_latin1 X'E9', {limit // 2 + 9}))"
    )
    with pytest.raises(AdapterError, match=r"lengthy cannot be read: .*raise the server's max_allowed_packet"):
        connect(mariadb, "lengthy")


def test_keys_are_never_rounded(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE parent (a BIGINT UNSIGNED, b DECIMAL(38,0), c DECIMAL(20,3), d BINARY(2), e YEAR, f TINYINT(1),"
        "g DECIMAL(65,1), PRIMARY KEY (a, b, c, d, e, f, g));"
        "CREATE TABLE child (a BIGINT UNSIGNED, b DECIMAL(38,0), c DECIMAL(20,3), d BINARY(2), e YEAR, f TINYINT(1),"
        "g DECIMAL(65,1), FOREIGN KEY (a, b, c, d, e, f, g) REFERENCES parent (a, b, c, d, e, f, g));"
    )
    key = "18446744073709551615, 1{0:029}, 99999999999999999.00{0}, X'FF0{0}', 0, 1, 1{0:063}.5"
    mariadb.run(*(f"INSERT INTO parent VALUES ({key.format(i)})" for i in (1, 2, 3)))
    mariadb.run(*(f"INSERT INTO child VALUES ({key.format(i)})" for i in (3, 1)))
    found, _, notes = rows(mariadb, "parent")
    assert found.to_pylist()[1] == {
        "a": 2**64 - 1,
        "b": decimal.Decimal(10**29 + 2),
        "c": decimal.Decimal("99999999999999999.002"),
        "d": "ff02",
        "e": 0,
        "f": 1,
        "g": f"1{2:063}.5",
    }
    assert notes == []
    with connect(mariadb, "parent", "child") as db:
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges["child", "a+b+c+d+e+f+g", "parent"].edge_index.tolist() == [[0, 1], [0, 2]]


def test_bytes_join_where_no_key_is_declared(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE thing (id BINARY(16) PRIMARY KEY); INSERT INTO thing SELECT UNHEX(MD5(seq)) FROM seq_1_to_9;"
        "CREATE TABLE part (thing BINARY(16)); INSERT INTO part SELECT UNHEX(MD5(seq)) FROM seq_2_to_3"
    )
    with connect(mariadb, "thing", "part", keys={"part": {"foreign_keys": {"thing": "thing"}}}) as db:
        graph = relgraph.build_graph(db, progress=False)
        assert graph.edges["part", "thing", "thing"].num_edges == 2
        assert "c81e728d9d4c2f636f067f89cc14862c" in graph.nodes["thing"].keys.tolist()  # MD5 of 2


def test_unsigned_keys_that_fit_are_plain_numbers(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE users (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY); INSERT INTO users VALUES (7), (9);"
        "CREATE TABLE posts (id SERIAL PRIMARY KEY, user BIGINT UNSIGNED REFERENCES users (id));"
        "INSERT INTO posts VALUES (1, 9), (2, NULL)"
    )
    with connect(mariadb, "users", "posts") as db:
        assert db.schema["users"].column("id").dtype == "BIGINT"
        graph = relgraph.build_graph(db, progress=False)
        assert graph.nodes["users"].keys.tolist() == [7, 9]
        assert graph.edges["posts", "user", "users"].edge_index.tolist() == [[0], [1]]


def test_sets_are_categories_of_which_a_row_has_several(mariadb: ServerDatabase) -> None:
    mariadb.run(
        "CREATE TABLE shirts (id INT PRIMARY KEY, colours SET('red','green'));"
        "INSERT INTO shirts SELECT seq, seq % 4 FROM seq_1_to_40"
    )
    with connect(mariadb, "shirts") as db:
        features = relgraph.build_graph(db, progress=False).nodes["shirts"].features
        assert {kind.value: names for kind, names in features.names.items()} == {"multicategorical": ("colours",)}
        assert features.stats["colours"] == {"categories": ["green", "red"], "counts": [20, 20]}


def test_a_thousand_columns(mariadb: ServerDatabase) -> None:
    types = ("TINYINT(1)", "TIME", "VARCHAR(3)")
    columns = ", ".join(f"c{i} {types[i % 3]}" for i in range(1000))
    mariadb.run(f"CREATE TABLE broad (id INT PRIMARY KEY, {columns})")
    mariadb.run("INSERT INTO broad (id, c0, c1, c2, c999) VALUES (1, 1, '10:00', 'x', 1), (2, NULL, '24:00', '', 0)")
    first, second = rows(mariadb, "broad")[0].to_pylist()
    hour = dt.timedelta(hours=1)
    assert [first[name] for name in ("c0", "c1", "c2", "c3", "c999")] == [True, 10 * hour, "x", None, True]
    assert [second[name] for name in ("c0", "c1", "c2", "c3", "c999")] == [None, 24 * hour, "", None, False]
    assert len(first) == 1001

"""Habits of published files: dates of mails, years as numbers, markers for no key, keys that are texts or nearly so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import relgraph
from tests.data.test_propose_apps import ROWS, numbered, proposals, references, some

HOURS = np.sort(some(1, 9_000))
MOMENTS = (np.datetime64("2015-03-02") + HOURS.astype("m8[h]")).astype("M8[us]")


def written(form: str) -> list[str]:
    return [moment.strftime(form) for moment in MOMENTS.tolist()]


def time_of(**columns: Any) -> tuple[str, Any]:
    """The column chosen as time of one table, and its conversion."""
    return next(((t.column, t.conversion) for t in proposals({"rows": columns}).times if t.chosen), ("", None))


@pytest.mark.parametrize(
    "form",
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%a, %d %b %Y %H:%M:%S -0700",
        "%a %b %d %H:%M:%S +0000 %Y",
        "%a %b %d %H:%M:%S %Y",
        "%d/%b/%Y:%H:%M:%S +0100",
    ],
)
def test_dates_as_mails_and_servers_write_them(form: str) -> None:
    column, conversion = time_of(row_no=HOURS, submitted=written(form))
    assert column == "submitted"
    assert conversion is not None


def test_year_month_and_day_in_columns_of_their_own_are_one_date() -> None:
    parts = {"YEAR": [2015] * ROWS, "MONTH": some(1, 12), "DAY": some(1, 28)}
    column, conversion = time_of(**parts)
    assert column == "YEAR"
    assert "make_date" in str(conversion)
    assert time_of(**parts, time_hour=MOMENTS) == ("time_hour", None)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"year_of_publication": np.where(HOURS % 9, 1950 + HOURS % 50, 0)}, "year_of_publication"),  # 0 is none
        ({"founded": 1950 + HOURS % 50, "reg_date": MOMENTS}, "reg_date"),  # a year is coarse
        ({"incorporation_date": MOMENTS, "struck_off_date": MOMENTS[::-1]}, "incorporation_date"),
        ({"commissioned": 1990 + HOURS % 20}, "commissioned"),
    ],
)
def test_which_time_is_the_row_s_own(columns: dict[str, Any], chosen: str) -> None:
    assert time_of(**columns) == (chosen, None)


def test_the_death_of_a_death_is_when_it_happened() -> None:
    found = proposals({"death": {"death_date": MOMENTS}, "person": {"death_date": MOMENTS}}).times
    assert [time.table for time in found if time.chosen] == ["death"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "marker", "reason"),
    [
        (np.arange(1, 6), -1, "-1 is not, which mostly means none"),
        (np.array([f"{i:06}" for i in range(1, 6)]), "N/A", "N/A is not, which mostly means none"),
        (np.array([f"{i:06}" for i in range(1, 6)]), "0", "0 is not, which mostly means none"),
    ],
)
def test_a_marker_for_no_reference_is_no_reason_against_one(keys: np.ndarray, marker: Any, reason: str) -> None:
    named = keys.astype(object)[some(0, 4)]
    named[::10] = marker
    tables = {
        "sales_reps": {"rep_id": keys, "name": [f"R {i}" for i in range(5)]},
        "orders": numbered(ROWS, sales_rep=list(named)),
    }
    (link,) = proposals(tables).foreign_keys
    assert (link.name, link.target, link.matched, link.dangling) == ("sales_rep", "sales_reps", 5, 40)
    assert reason in link.reasons
    # a value that means nothing speaks against it: a measure may be named like a table
    assert references(tables | {"orders": numbered(ROWS, sales_rep=[*range(900, 900 + ROWS)])}) == set()


def keys(tables: dict[str, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {key.table: key.columns for key in proposals(tables).primary_keys}


def test_a_reference_and_a_kind_are_a_key_where_chance_would_have_repeated_them() -> None:
    goods = {"sku": [f"M{i:04}" for i in range(100)]}
    texts = {"sku": np.repeat(goods["sku"], 2), "spras": ["D", "E"] * 100, "text": [f"a text {i}" for i in range(200)]}
    assert keys({"goods": goods, "goods_texts": texts})["goods_texts"] == ("sku", "spras")
    few = {"sku": [*goods["sku"], *goods["sku"][:3]], "grade": [1, 2, 3, 4] * 25 + [2, 3, 4]}
    assert "checks" not in keys({"goods": goods, "checks": few})  # three repetitions prove nothing
    logged = {"sku": np.array(goods["sku"])[some(0, 99)], "ts": 1_650_000_000_000 + np.cumsum(some(0, 900))}
    assert "logged" not in keys({"goods": goods, "logged": logged})  # times hardly ever repeat


def test_columns_that_refer_to_nothing_here_are_no_key_by_accident() -> None:
    count = 900
    draw = np.random.default_rng(4).integers
    visits = {"user_id": draw(1, 601, count), "ip_id": draw(1, 5000, count), "ad_id": draw(1, 901, count)}
    visits["user_id"][:2] = visits["ad_id"][:2] = 7  # user and ad repeat, user and address do not
    assert len(set(zip(visits["user_id"].tolist(), visits["ip_id"].tolist(), strict=True))) == count
    tables = {"users": numbered(600), "ads": numbered(900), "visits": visits}
    assert keys(tables) == {"users": ("id",), "ads": ("id",)}


def test_a_text_refers_to_the_column_that_holds_it_where_the_key_is_a_number() -> None:
    logins = np.array([f"dev-{i}" for i in range(60)])
    full = np.array([f"{logins[i]}/repo-{i}" for i in range(40)])
    tables = {
        "actors": {"id": np.arange(60) * 977 + 5, "login": logins, "followers": np.arange(60)},
        "repos": {"id": np.arange(40) * 31 + 9, "full_name": full, "owner": logins[np.arange(40) // 2]},
        "issues": {"repo": full[some(0, 39)], "user": logins[some(0, 59)], "state": ["open"] * ROWS},
    }
    found = {
        f"{key.table}.{key.name} -> {key.target}.{key.target_columns[0]}" for key in proposals(tables).foreign_keys
    }
    assert found == {
        "repos.owner -> actors.login",
        "issues.repo -> repos.full_name",
        "issues.user -> actors.login",
    }


def test_what_is_nearly_a_key_is_said_with_counts_and_a_remedy() -> None:
    codes = [f"{i:06}" for i in range(100)]
    tables = {
        "clients": {"cust_no": [*codes, codes[3], None], "town": ["x"] * 102},
        "orders": {"order_id": np.arange(ROWS), "cust_no": np.array(codes)[some(0, 99)]},
    }
    with relgraph.connect({n: pa.table(t) for n, t in tables.items()}, progress=False) as db:
        (note,) = [problem for problem in db.check().problems if problem.startswith("clients.cust_no: ")]
    assert (
        "1 of its 100 values stands more than once and 1 row has none, so it is no key, though orders.cust_no" in note
    )
    mended = {"*": None, "clients": 'SELECT DISTINCT ON ("cust_no") * FROM "clients" WHERE "cust_no" IS NOT NULL'}
    assert repr(mended) in note
    with relgraph.connect({n: pa.table(t) for n, t in tables.items()}, progress=False, tables=mended) as db:
        assert db.check().proposed_keys["orders"]["foreign_keys"] == {"cust_no": "clients"}


def test_a_number_within_something_is_not_nearly_a_key() -> None:
    numbers = {"number": [*range(1, ROWS - 29), *range(1, 31)], "repo": ["x"] * ROWS}
    assert proposals({"issues": numbers}).spoiled == ()


def test_a_column_that_refers_to_several_tables_is_said_to() -> None:
    kinds = {name: start + 7 * np.arange(60) for name, start in (("officers", 5_000), ("entities", 90_000))}
    both = np.concatenate(list(kinds.values()))
    tables: dict[str, dict[str, Any]] = {f"nodes-{name}": {"node_id": ids} for name, ids in kinds.items()}
    tables["links"] = {"node_id_start": both[some(0, 119)], "node_id_end": kinds["entities"][some(0, 59)]}
    found = proposals(tables)
    assert [f"{key.table}.{key.name} -> {key.target}" for key in found.foreign_keys] == [
        "links.node_id_end -> nodes-entities"
    ]
    (note,) = found.notes
    assert note.startswith("links.node_id_start is named like a reference, but of its")
    assert "it refers to several tables" in note
    same = {name: {"node_id": 5_000 + 7 * np.arange(70)} for name in ("node-a", "node-b")}  # each has the same values
    found = proposals(same | {"links": {"node_id_start": (5_000 + 7 * np.arange(100))[some(0, 99)]}})
    assert "several" not in "".join(found.notes)
    assert len([key for key in found.foreign_keys if key.table == "links"]) == 1


def test_a_role_may_stand_behind_the_key_and_a_key_may_end_in_any_word() -> None:
    teams = {"team_id": 11 * np.arange(1, 31)}
    games = {"game_id": np.arange(ROWS), "team_id_home": 11 * some(1, 30), "team_id_visitor": 11 * some(2, 30)}
    loans = {"sk_id_curr": 100_000 + 3 * np.arange(200)}
    parts = {"part_no": np.arange(ROWS), "sk_id_curr": loans["sk_id_curr"][some(0, 199)]}
    assert references({"teams": teams, "games": games, "loans": loans, "parts": parts}) == {
        "games.team_id_home -> teams",
        "games.team_id_visitor -> teams",
        "parts.sk_id_curr -> loans",
    }

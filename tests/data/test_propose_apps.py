"""Names that programs give to the columns of their databases: keys and times that hang on one rule each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import relgraph
from relgraph.data.check.periods import end_of
from relgraph.data.check.proposals import Proposals
from relgraph.data.check.time_columns import time_words

ROWS = 400


def proposals(tables: dict[str, dict[str, Any]], **given: Any) -> Proposals:
    with relgraph.connect({n: pa.table(t) for n, t in tables.items()}, progress=False, **given) as db:
        found = db.check().proposals
    assert found is not None
    return found


def references(tables: dict[str, dict[str, Any]], **given: Any) -> set[str]:
    return {f"{key.table}.{key.name} -> {key.target}" for key in proposals(tables, **given).foreign_keys}


def numbered(count: int, **columns: Any) -> dict[str, Any]:
    return {"id": np.arange(1, count + 1), **columns}


def some(low: int, high: int) -> np.ndarray:
    return np.random.default_rng(low + high).integers(low, high + 1, ROWS)


@pytest.mark.parametrize(
    ("table", "column", "target"),
    [
        ("course", "category", "course_categories"),  # named next to its own table
        ("forum_posts", "topic", "forum_topics"),  # named within one family of tables
        ("orders", "status", "order_status"),
        ("log", "relateduserid", "users"),
        ("topics", "featured_user_1_id", "users"),
        ("topics", "create_uid", "res_users"),
        ("visits", "url", "urls"),
        ("tracks", "modifierid", "users"),
    ],
)
def test_a_column_is_read_in_the_light_of_its_own_table(table: str, column: str, target: str) -> None:
    tables = {table: numbered(ROWS, **{column: some(1, 30)}), target: numbered(30)}
    assert references(tables) == {f"{table}.{column} -> {target}"}


def test_a_key_written_as_one_word_behind_another() -> None:
    address = {"addressid": np.arange(1, 31), "city": ["x"] * 30}
    orders = {"salesorderid": np.arange(1, ROWS + 1), "billtoaddressid": some(1, 30)}
    assert references({"address": address, "salesorder": orders}) == {"salesorder.billtoaddressid -> address"}


def test_a_zero_that_is_no_key_is_no_reason_against_a_reference() -> None:
    parent = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    found = proposals({"groups": numbered(8, parent=parent)}).foreign_keys
    assert [(key.name, key.target, key.distinct, key.matched, key.dangling) for key in found] == [
        ("parent", "groups", 4, 3, 3)
    ]
    assert "0 is not, which mostly means none" in found[0].reasons


def test_two_meta_tables_with_keys_of_one_name_do_not_refer_to_each_other() -> None:
    tables: dict[str, dict[str, Any]] = {"posts": numbered(90), "comments": numbered(90)}
    tables |= {
        f"{name}meta": {"meta_id": np.arange(1, count + 1), f"{name}_id": np.arange(count) % 90 + 1}
        for name, count in (("post", 400), ("comment", 300))
    }
    keys = {"postmeta": "meta_id", "commentmeta": "meta_id"}
    assert references(tables, keys=keys) == {
        "postmeta.post_id -> posts",
        "commentmeta.comment_id -> comments",
    }
    core_data = {
        name: {"Z_PK": np.arange(1, n + 1), "Z_OPT": [1] * n} for name, n in (("ZEVENT", 300), ("ZDEVICE", 250))
    }
    assert references(core_data, keys={"ZEVENT": "Z_PK", "ZDEVICE": "Z_PK"}) == set()


def test_row_numbers_of_one_name_in_many_tables_refer_to_nothing() -> None:
    def own(count: int, **columns: Any) -> dict[str, Any]:
        return {"entity_id": np.arange(1, count + 1), **columns}

    tables = {
        "catalog_category_product": own(ROWS, product_id=some(1, 30)),
        "catalog_product_entity": own(60),
        "sales_order": own(900),
    }
    keys = dict.fromkeys(tables, "entity_id")
    assert references(tables, keys=keys) == {"catalog_category_product.product_id -> catalog_product_entity"}
    people = {"person": {"personid": np.arange(1, 91)}, "employee": {"personid": np.arange(1, 31)}}
    assert references(people, keys=dict.fromkeys(people, "personid")) == {"employee.personid -> person"}


def test_a_role_leads_to_the_home_of_a_key_and_not_to_a_table_with_one_row_each() -> None:
    emails = numbered(30, user_id=np.arange(1, 31), email=[f"{i}@x.org" for i in range(30)])
    tables = {"user_emails": emails, "users": numbered(30), "posts": numbered(ROWS, reply_to_user_id=some(1, 30))}
    assert references(tables) == {"user_emails.user_id -> users", "posts.reply_to_user_id -> users"}


def test_a_flag_held_as_text_is_no_person() -> None:
    tables = {"users": numbered(30), "comments": numbered(ROWS, comment_approved=["1"] * ROWS)}
    assert references(tables) == set()


def test_numbers_so_large_that_no_accident_explains_them_need_no_name() -> None:
    made = 1_600_000_000_000 + np.cumsum(some(1, 90_000_000))
    notes = {"id": made, "flds": [f"a {i}" for i in range(ROWS)]}
    assert references({"notes": notes, "cards": numbered(ROWS, nid=made[some(0, ROWS - 1)])}) == {"cards.nid -> notes"}


def test_words_of_a_time_written_as_one() -> None:
    assert time_words("timecreated") == ("time", "created")
    assert time_words("dateofbirth") == ("date", "of", "birth")
    assert time_words("sellstartdate") == ("sell", "start", "date")
    assert end_of("sellstartdate", ["name", "sellenddate"]) == ("sellenddate", 0.1)
    for whole in ("timezone", "timer", "database", "datetime"):
        assert time_words(whole)[0] in (whole, "date")
    assert time_words("attenddate") == ("attend", "date")


HOURS = np.sort(some(1, 9_000)) * 3600


@pytest.mark.parametrize(
    ("columns", "first"),
    [
        ({"timestart": 1_500_000_000 + HOURS, "timefinish": np.where(HOURS % 7, 1_500_003_000 + HOURS, 0)}, "2017"),
        ({"rev_timestamp": [f"2015{1 + i // 31 % 12:02}{1 + i % 28:02}101500" for i in range(ROWS)]}, "2015"),
        ({"rev_timestamp": [20150101000000 + i for i in range(59)] * 6 + [20151231235959] * 46}, "2015-01-01"),
        ({"visit_time": 13_320_000_000_000_000 + HOURS * 10**6}, "2023"),
        ({"admittime": (np.datetime64("2150-01-01") + HOURS.astype("m8[s]")).astype("M8[us]")}, "2150"),
        ({"expyear": some(2020, 2030)}, ""),
        ({"visit_julian": 2_459_000.5 + HOURS / 86_400}, "2020"),
    ],
)
def test_times_as_programs_keep_them(columns: dict[str, Any], first: str) -> None:
    with relgraph.connect({"t": pa.table(numbered(ROWS, **columns))}, progress=False) as db:
        report = db.check()
    found = [time for time in report.proposals.times if time.chosen] if report.proposals else []
    assert [time.column for time in found] == ([next(iter(columns))] if first else [])
    for time in found:
        assert time.conversion is None
        assert time.span is not None
        assert time.span[0].startswith(first)


@pytest.mark.parametrize(
    ("start", "end"), [("gueltig_ab", "gueltig_bis"), ("von", "bis"), ("fecha_inicio", "fecha_fin"), ("debut", "fin")]
)
def test_intervals_in_other_languages(start: str, end: str) -> None:
    begins = np.datetime64("2019-01-01") + some(0, 900)
    found = proposals({"contract": numbered(ROWS, **{start: begins, end: begins + 30, "geboren": begins - 9000})})
    assert [(time.column, time.end_column) for time in found.times if time.chosen] == [(start, end)]


def test_a_few_texts_among_dates_are_named_and_left_out() -> None:
    run = [f"2021-0{1 + i % 9}-0{1 + i % 9} 08:30" if i % 50 else "n/a" for i in range(ROWS)]
    frame = numbered(ROWS, run_on=run)
    with relgraph.connect({"assay": pa.table(frame)}, progress=False) as db:
        report = db.check()
    assert any("text dates, but also texts such as 'n/a'" in sentence for sentence in report.problems)
    with relgraph.connect({"assay": pa.table(frame)}, tables=report.proposed_tables, progress=False) as db:
        assert db.check().proposed_times == {"assay": "run_on"}
        assert db.sql("SELECT count(run_on), min(run_on) FROM assay").to_pylist()[0]["count(run_on)"] == ROWS - 8


def test_texts_of_zeros_are_no_day() -> None:
    made = [f"2021{1 + i // 28 % 12:02}{1 + i % 28:02}" if i % 9 else "00000000" for i in range(ROWS)]
    (time,) = proposals({"material": numbered(ROWS, created_on=made)}).times
    assert (time.chosen, time.null, time.conversion) == (True, 45, None)


def test_the_year_of_a_key_is_that_of_the_row_referred_to() -> None:
    year, number = 2020 + np.arange(60) % 2, 1000 + np.arange(60) // 2
    posted = np.datetime64("2020-01-10") + np.arange(60) * 7
    child = some(0, 59)
    tables = {
        "invoice": {"invoice_no": number, "fiscal_year": year, "posted_on": posted},
        "invoice_item": numbered(ROWS, invoice_no=number[child], fiscal_year=year[child]),
    }
    keys: dict[str, Any] = {"invoice": ["invoice_no", "fiscal_year"], "invoice_item": "id"}
    found = proposals(tables, keys=keys)
    assert [key.name for key in found.foreign_keys] == ["invoice_no+fiscal_year"]
    assert [(time.table, time.column) for time in found.times if time.chosen] == [("invoice", "posted_on")]

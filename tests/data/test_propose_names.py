"""What a column's name means in the light of all other tables, and what no column may refer to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import relgraph
from tests.data.test_propose_apps import ROWS, numbered, proposals, references, some

DAYS = np.array([f"{2018 + i // 336}{1 + i // 28 % 12:02}{1 + i % 28:02}" for i in range(ROWS)])


@pytest.mark.parametrize(
    ("column", "others", "target"),
    [
        ("user_id", ("auth_user_groups", "auth_group"), "auth_user"),  # the shortest name that ends so
        ("content_type_id", ("auth_user",), "django_content_type"),
        ("event_type_id", ("auth_user",), "order_paymenteventtype"),  # written as one word
    ],
)
def test_a_table_named_after_its_part_of_a_program(column: str, others: tuple[str, ...], target: str) -> None:
    tables = {"shop_cart": numbered(ROWS, **{column: some(1, 60)}), target: numbered(60 if "event" in column else 900)}
    tables |= {name: numbered(70) for name in others}
    assert references(tables) == {f"shop_cart.{column} -> {target}"}


def test_two_tables_that_end_alike_leave_it_to_the_values() -> None:
    tables = {"cart": numbered(ROWS, user_id=some(1, 60)), "auth_user": numbered(900), "shop_user": numbered(900)}
    assert references(tables) == set()


def test_a_reference_that_happens_to_be_unique_is_no_home_of_a_key() -> None:
    tables = {
        "order_order": numbered(300),
        "order_payment": numbered(300, order_id=np.arange(300, 0, -1)),
        "order_line": numbered(ROWS, order_id=some(1, 300)),
    }
    assert references(tables) == {"order_payment.order_id -> order_order", "order_line.order_id -> order_order"}
    gaps = np.random.default_rng(0).permutation(9000)[:300]
    tables = {"entries": numbered(300, issue_id=gaps), "versions": numbered(200, item_id=gaps[:200])}
    assert references(tables) == set()


def test_a_column_next_to_the_key_of_its_table_refers_though_few_rows_do() -> None:
    tables = {"comments": numbered(900), "commentmeta": {"meta_id": np.arange(1, 31), "comment_id": np.arange(1, 31)}}
    keys = {"comments": "id", "commentmeta": "meta_id"}
    assert references(tables, keys=keys) == {"commentmeta.comment_id -> comments"}


@pytest.mark.slow
def test_a_reference_whose_target_a_second_column_names() -> None:
    def tables(*kinds: str) -> dict[str, Any]:
        said = [kinds[i % len(kinds)] for i in range(ROWS)]
        notes = numbered(ROWS, subject_id=some(1, 60), subject_type=said)
        return {"notes": notes, "issues": numbered(60), "projects": numbered(70), "subjects": numbered(80)}

    several = proposals(tables("Issue", "App::Project"))
    assert several.foreign_keys == ()
    assert several.notes == (
        "notes.subject_id refers to rows of several tables, as subject_type says: 'App::Project' means projects, "
        "'Issue' means issues; one foreign key has one target, so it needs a column per table, made in a view or by "
        "tables=",
    )
    known = {"notes": {"foreign_keys": {"subject_id": "subjects"}}, "subjects": "id"}
    assert proposals(tables("Issue", "App::Project"), keys=known).notes == ()
    one = proposals(tables("Issue")).foreign_keys
    assert [(key.name, key.target) for key in one] == [("subject_id", "issues")]
    assert one[0].reasons[0] == "its name goes with subject_type, which says issues in every row"
    assert references(tables("new", "old")) == {"notes.subject_id -> subjects"}  # names no table


def test_a_key_of_several_columns_leaves_nothing_for_one_of_them() -> None:
    bank, number = np.repeat([1, 2], 30), np.arange(1000, 1060)
    child = some(0, 59)
    tables = {
        "account": {"bank": bank, "account_no": number},
        "payment": numbered(ROWS, bank=bank[child], account_no=number[child]),
    }
    keys: dict[str, Any] = {"account": ["bank", "account_no"], "payment": "id"}
    assert references(tables, keys=keys) == {"payment.bank+account_no -> account"}
    keys["payment"] = {"primary_key": "id", "foreign_keys": {("bank", "account_no"): "account"}}
    assert references(tables, keys=keys) == set()


def test_a_part_of_a_key_that_is_unique_alone_is_found_by_its_values() -> None:
    docs = [f"{50_000_000 + i * 3:010}" for i in range(300)]
    came = (docs * 2)[:ROWS]
    tables = {
        "header": {"client": [100] * 300, "doc": docs},
        "item": numbered(ROWS, doc=came),
        "delivery": numbered(ROWS, came=came),
    }
    keys = {"header": ["client", "doc"], "item": "id", "delivery": "id"}
    assert references(tables, keys=keys) == {"item.doc -> header", "delivery.came -> header"}


def test_a_day_is_no_key() -> None:
    tables = {"customer": numbered(ROWS, created_on=DAYS), "vendor": numbered(200, created_on=DAYS[:200])}
    tables["note"] = numbered(ROWS, created_on=DAYS[np.arange(ROWS) % 90])
    found = proposals(tables)
    assert found.foreign_keys == ()
    assert {time.table for time in found.times if time.chosen} == set(tables)
    dates = {"date_key": DAYS.astype(int), "weekday": [f"d{i % 7}" for i in range(ROWS)]}
    sales = numbered(ROWS, date_key=DAYS.astype(int)[some(0, 300)])
    assert references({"dim_date": dates, "fact_sales": sales}) == {"fact_sales.date_key -> dim_date"}


def test_a_table_between_two_others_is_named_after_both() -> None:
    tables = {
        "books": numbered(300),
        "series": numbered(40),
        "ratings": numbered(5),
        "books_series_link": numbered(ROWS, book=some(1, 300), series=some(1, 20)),
        "books_ratings_link": numbered(ROWS, book=some(1, 300), rating=some(1, 5)),
    }
    assert references(tables) == {
        "books_series_link.book -> books",
        "books_series_link.series -> series",
        "books_ratings_link.book -> books",
        "books_ratings_link.rating -> ratings",
    }


def test_a_key_that_a_few_rows_spoil_is_named() -> None:
    people = np.append(np.arange(10, 310), 17)
    tables = {
        "patients": {"row_id": np.arange(1, 302), "subject_id": people},
        "admissions": {"row_id": np.arange(1, ROWS + 1), "subject_id": some(10, 309)},
        "labs": {"row_id": np.arange(1, ROWS + 1), "subject_id": some(10, 300)},
    }
    with relgraph.connect({name: pa.table(table) for name, table in tables.items()}, progress=False) as db:
        report = db.check()
    assert report.proposals is not None
    assert report.proposals.foreign_keys == ()
    said = (
        "patients.subject_id: 1 of its 300 values stands more than once, so it is no key, though admissions.subject_id "
        "and labs.subject_id seem to refer to it; correct these rows and check again, or keep one per value: "
    )
    assert any(problem.startswith(said) for problem in report.problems)
    clients: dict[str, Any] = {"client_id": pa.array([*range(1, 300), None, None], pa.int64())}
    with relgraph.connect({"client": pa.table(clients)}, progress=False) as db:
        problems = db.check().problems
    assert "client.client_id: 2 rows have none, so it is no key, though it is named like one; " in " ".join(problems)

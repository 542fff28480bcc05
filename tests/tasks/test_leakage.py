"""The leakage audit: each kind of leak planted, and a sound task of which nothing is said."""

from __future__ import annotations

import pandas
import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.tasks.column import ColumnTask
from relgraph.tasks.entity import EntityTask
from relgraph.tasks.leakage import audit
from relgraph.tasks.link import LinkTask

DAYS = pandas.date_range("2024-01-01", "2024-12-31", freq="D")


def a_shop(**customer: object) -> Database:
    """24 customers and four products; an order a day, at midnight, by customers and products in turn."""
    numbers = range(1, 25)
    orders = pandas.DataFrame(
        {
            "order_id": range(len(DAYS)),
            "customer_id": [1 + (i * 5) % 12 for i in range(len(DAYS))],
            "product_id": [1 + i % 4 for i in range(len(DAYS))],
            "price": [10.0 + (i * 7) % 13 for i in range(len(DAYS))],
            "ordered_at": DAYS,
        }
    )
    columns = {"joined_at": [pandas.Timestamp("2023-12-01")] * 24, **customer}
    return relgraph.connect(
        {
            "customer": pandas.DataFrame({"customer_id": numbers, **columns}),
            "product": pandas.DataFrame({"product_id": range(1, 5), "name": list("abcd")}),
            "orders": orders,
        },
        keys={
            "customer": "customer_id",
            "product": "product_id",
            "orders": {
                "primary_key": "order_id",
                "foreign_keys": {"customer_id": "customer", "product_id": "product"},
            },
        },
        times={"orders": "ordered_at", "customer": "joined_at"},
        progress=False,
    )


LEFT = """
    SELECT t.timestamp, c.customer_id, CAST(count(o.order_id) > {least} AS INT) AS label
    FROM timestamps t JOIN customer c ON TRUE LEFT JOIN orders o ON o.customer_id = c.customer_id
      AND o.ordered_at {first} t.timestamp AND o.ordered_at {last} t.timestamp + {{horizon}}
    GROUP BY ALL"""
SOUND = LEFT.format(first=">", last="<=", least=2)
TIMES: dict[str, object] = {"val_time": "2024-08-01", "test_time": "2024-10-01"}


def a_task(sql: str = SOUND, **options: object) -> EntityTask:
    settings = {**TIMES, **options}
    return EntityTask("customer", sql, "30 days", "binary", **settings)  # type: ignore[arg-type]


def kinds(db: Database, task: object, graph: object = None) -> list[str]:
    return [finding.kind for finding in audit(db, task, graph).findings]  # type: ignore[arg-type]


@pytest.mark.slow
def test_nothing_is_said_of_a_sound_task() -> None:
    db, task = a_shop(), a_task()
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    found = audit(db, task, graph)
    assert found.findings == ()
    assert "0 leaks, 0 cautions" in str(found)
    assert set(found.looked_at) >= {"seeds from the future", "statistics", "label in a column"}


@pytest.mark.slow
def test_a_form_is_sound() -> None:
    db = a_shop()
    task = EntityTask.exists(
        db, "customer", of="orders", horizon="30 days", val_time="2024-08-01", test_time="2024-10-01"
    )
    assert kinds(db, task) == []


@pytest.mark.slow
def test_seeds_that_only_the_future_chooses() -> None:
    sql = SOUND.replace("LEFT JOIN", "JOIN")
    (finding,) = audit(a_shop(), a_task(sql)).findings
    assert (finding.kind, finding.severity) == ("seeds from the future", "leak")
    assert finding.count == finding.total > 0
    assert "LEFT JOIN" in finding.remedy


@pytest.mark.slow
def test_a_window_that_holds_the_moment_itself() -> None:
    closed = LEFT.format(first=">=", last="<", least=0)
    (finding,) = audit(a_shop(), a_task(closed)).findings
    assert finding.kind == "window not open"
    assert finding.count > 0
    assert ">=" in finding.remedy


@pytest.mark.slow
def test_a_label_that_depends_on_the_past_is_no_open_window() -> None:
    more_than_before = """
        SELECT t.timestamp, c.customer_id,
          CAST((SELECT count(*) FROM orders o WHERE o.customer_id = c.customer_id AND o.ordered_at > t.timestamp
                AND o.ordered_at <= t.timestamp + {horizon})
             > (SELECT count(*) FROM orders o WHERE o.customer_id = c.customer_id AND o.ordered_at <= t.timestamp
                AND o.ordered_at > t.timestamp - {horizon}) AS INT) AS label
        FROM timestamps t JOIN customer c ON TRUE"""
    assert "window not open" not in kinds(a_shop(), a_task(more_than_before))


@pytest.mark.slow
def test_a_column_that_holds_the_label() -> None:
    # who is even has the label 1, whatever the orders
    sql = "SELECT t.timestamp, c.customer_id, CAST(c.customer_id % 2 = 0 AS INT) AS label FROM timestamps t, customer c"
    db = a_shop(churned=[i % 2 == 0 for i in range(1, 25)])
    assert kinds(db, a_task(sql)) == ["label in a column"]
    assert kinds(db, a_task(sql, hide=["customer.churned"])) == []
    graph = relgraph.build_graph(db, fit_until=a_task().val_time, progress=False)
    assert kinds(db, a_task(sql, hide=["customer.churned"]), graph) == ["hidden column shown"]


@pytest.mark.slow
def test_rows_that_are_asked_about_before_they_exist() -> None:
    joined = [pandas.Timestamp("2023-12-01")] * 23 + [pandas.Timestamp("2024-11-01")]
    assert sorted(kinds(a_shop(joined_at=joined), a_task())) == ["seeds from the future", "unborn rows"]


@pytest.mark.slow
def test_a_table_without_time_whose_rows_come_later() -> None:
    db = a_shop()
    late = db.sql("SELECT * FROM orders").to_pandas()
    late.loc[late["ordered_at"] < "2024-11-01", "product_id"] = late["product_id"].clip(upper=2)
    parts = {name: db.sql(f'SELECT * FROM "{name}"').to_pandas() for name in ("customer", "product")}
    keys = {"customer": "customer_id", "product": "product_id", "orders": {
        "primary_key": "order_id", "foreign_keys": {"customer_id": "customer", "product_id": "product"}}}  # fmt: skip
    times = {"orders": "ordered_at", "customer": "joined_at"}
    changed = relgraph.connect({**parts, "orders": late}, keys=keys, times=times, progress=False)
    (finding,) = audit(changed, a_task()).findings
    assert (finding.kind, finding.where, finding.count, finding.total) == ("static table", "product", 2, 4)
    assert finding.severity == "caution"


@pytest.mark.slow
def test_statistics_fitted_on_the_future() -> None:
    db = a_shop()
    assert kinds(db, a_task(), relgraph.build_graph(db, progress=False)) == ["statistics"]
    assert kinds(db, a_task(), relgraph.build_graph(db, fit_until="2024-09-01", progress=False)) == ["statistics"]


@pytest.mark.slow
def test_links_are_asked_about_by_their_future_which_is_said_but_no_leak() -> None:
    sql = """SELECT t.timestamp, o.customer_id, o.product_id FROM timestamps t JOIN orders o
             ON o.ordered_at > t.timestamp AND o.ordered_at <= t.timestamp + {horizon}"""
    task = LinkTask("customer", "product", sql, "30 days", val_time="2024-08-01", test_time="2024-10-01")
    found = audit(a_shop(), task)
    assert [(f.kind, f.severity) for f in found.findings] == [("seeds from the future", "caution")]
    closed = LinkTask("customer", "product", sql.replace("> t.time", ">= t.time"), "30 days",
                      val_time="2024-08-01", test_time="2024-10-01")  # fmt: skip
    assert "window not open" in kinds(a_shop(), closed)


def test_a_column_task_and_a_static_one_are_audited_too() -> None:
    db = a_shop(vip=[i % 3 == 0 for i in range(1, 25)])
    task = ColumnTask("orders", "price").with_times(db, progress=False)
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    assert kinds(db, task, graph) == ["hidden column shown"]
    sql = "SELECT customer_id, CAST(customer_id % 3 = 0 AS INT) AS label FROM customer"
    static = EntityTask("customer", sql, None, "binary")
    assert kinds(db, static) == ["label in a column"]


@pytest.mark.slow
def test_the_report_is_text_and_json() -> None:
    found = audit(a_shop(), a_task(SOUND.replace("LEFT JOIN", "JOIN")))
    assert "1 leak, 0 cautions" in str(found)
    assert '"seeds from the future"' in found.to_json()
    assert found.leaks == found.findings


@pytest.mark.slow
@pytest.mark.parametrize("first", ["customer", "product"])
def test_nothing_is_changed_by_an_audit(first: str) -> None:
    db = a_shop()
    before = db.sql(f"SELECT * FROM {first} ORDER BY ALL").to_pylist()
    audit(db, a_task())
    assert db.sql(f"SELECT * FROM {first} ORDER BY ALL").to_pylist() == before


def test_columns_that_tell_the_column_to_fill_in() -> None:
    numbers = range(24)
    db = a_shop(level=[f"l{i % 3}" for i in numbers], level_text=[f"level {i % 3}" for i in numbers])
    task = ColumnTask("customer", "level", regime="static").with_times(db, progress=False)
    (finding,) = audit(db, task).findings
    assert (finding.kind, finding.where) == ("label in a column", "customer.level_text")
    assert "hide=['customer.level_text']" in finding.remedy
    assert kinds(db, ColumnTask("customer", "level", regime="static", hide=["customer.level_text"])) == []


@pytest.mark.slow
def test_a_column_that_holds_one_of_several_labels() -> None:
    sql = """SELECT t.timestamp, c.customer_id, CAST(c.customer_id % 2 = 0 AS INT) AS a,
             CAST(c.customer_id % 3 = 0 AS INT) AS b FROM timestamps t, customer c"""
    task = EntityTask("customer", sql, "30 days", "multilabel", label_column=["a", "b"], **TIMES)  # type: ignore[arg-type]
    (finding,) = audit(a_shop(third=[i % 3 == 0 for i in range(1, 25)]), task).findings
    assert (finding.kind, finding.where) == ("label in a column", "customer.third")
    assert "label 1" in finding.explanation


@pytest.mark.slow
def test_several_labels_that_only_the_future_chooses_and_a_window_that_holds_the_moment() -> None:
    sql = """SELECT t.timestamp, o.customer_id, [1, CAST(count(*) > 3 AS INT)] AS label FROM timestamps t JOIN orders o
             ON o.ordered_at >= t.timestamp AND o.ordered_at < t.timestamp + {horizon} GROUP BY ALL"""
    task = EntityTask("customer", sql, "30 days", "multilabel", **TIMES)  # type: ignore[arg-type]
    assert {"seeds from the future", "window not open"} <= set(kinds(a_shop(), task))


@pytest.mark.slow
def test_a_check_that_cannot_run_is_named_and_training_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    # a query that cannot answer on a database without late orders
    sql = SOUND.replace("INT) AS label", "INT) + any_value(f.zero) AS label").replace(
        "LEFT JOIN",
        "CROSS JOIN (SELECT CAST(CASE WHEN count(*) < 300 THEN 'x' ELSE '0' END AS INT) AS zero FROM orders) f "
        "LEFT JOIN",
    )
    db, task = a_shop(), a_task(sql, test_time="2024-11-20")
    found = audit(db, task)
    assert found.findings == ()
    (reason,) = found.failed
    assert reason.startswith("seeds from the future, window not open, unborn rows: ")
    assert "SchemaError" in reason
    assert "label in a column" in found.looked_at
    assert f"not checked: {reason}" in str(found)
    assert found.to_dict()["failed"] == [reason]
    graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
    relgraph.fit(db, graph, task, epochs=1, channels=8, num_neighbors=(2, 2), accelerator="cpu", progress=False)
    assert "not checked: seeds from the future" in capsys.readouterr().err

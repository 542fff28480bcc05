"""Tasks of a RelBench v3 folder: the labels that RelBench makes, and a clear word about what cannot be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.adapters import read_relbench_seeds, read_relbench_tasks
from relgraph.data.time import to_moment
from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.tasks import ColumnTask, LinkSeeds, LinkTask, Seeds
from tests.adapters.relbench_folders import CHURN, TABLES, churn, day, frames, loaded, write_folder

SPLITS = ("train", "val", "test")
SPENT = """
    SELECT s.buyer AS person_id, t.timestamp AS asked_at, count(*) AS churned
    FROM timestamps t LEFT JOIN sale s ON s.at > t.timestamp and s.at <= t.timestamp + interval '{timedelta}'
    WHERE s.buyer IS NOT NULL
    GROUP BY ALL
    ;
"""


def opened(folder: Path) -> Any:
    return relgraph.connect(folder, progress=False)


def with_tasks(folder: Path, **tasks: dict[str, Any]) -> Path:
    return write_folder(folder, tasks=tasks)


def as_frame(seeds: Seeds) -> pd.DataFrame:
    """As RelBench's label tables are: keys are row numbers, times timestamps."""
    time = pd.to_datetime(seeds.time.numpy(), unit="us")
    return pd.DataFrame({"asked_at": time, "person_id": seeds.node.numpy(), "churned": seeds.label.numpy()})


def assert_same_labels(ours: Seeds, theirs: pd.DataFrame) -> None:
    found = theirs[["asked_at", "person_id", "churned"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(as_frame(ours), found, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timedelta": "36h", "num_eval_timestamps": 100},
        {"timedelta": "1 days 06:30:00", "num_eval_timestamps": None},
        {"sql": CHURN.replace("INTERVAL '{timedelta}'", "CAST('{timedelta}' AS INTERVAL)")},
        {"sql": CHURN.replace("INTERVAL", "interval")},
        {"sql": SPENT, "task_type": "regression"},
    ],
)
def test_labels_are_those_that_relbench_makes(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = with_tasks(tmp_path / "rel", churn=churn(**changes))
    theirs = loaded(folder).load_task("churn", regenerate=True)
    task = read_relbench_tasks(folder)["churn"]
    with opened(folder) as db:
        for split in SPLITS:
            assert_same_labels(task.seeds(db, split), theirs.get_table(split, mask_input_cols=False).df)


def test_a_task_by_hand(tmp_path: Path) -> None:
    sale = pd.DataFrame({"sale_id": range(3), "buyer": [0, 1, 0], "at": [day(61), day(70), day(90)]})
    folder = write_folder(tmp_path / "rel", data={**frames(), "sale": sale}, tasks={"churn": churn(sql=SPENT)})
    task = read_relbench_tasks(folder)["churn"]
    assert (task.val_time, task.test_time) == (to_moment("2020-03-01", "a"), to_moment("2020-03-31", "b"))  # 60, 90
    assert (task.horizon, task.num_eval_times) == (10 * 86_400_000_000, 2)
    assert (task.regime, task.metric, task.kind) == ("frozen", "auroc", "binary")
    assert task.entity_columns == ("person_id",)
    with opened(folder) as db:
        # at day 60 the window (60, 70]; at 70 and later nobody buys: day 70 belongs to the first, 90 to (80, 90]
        assert as_frame(task.seeds(db, "val")).values.tolist() == [[day(60), 0, 1.0], [day(60), 1, 1.0]]


def test_rows_that_come_after_the_test_time_are_not_asked_about(tmp_path: Path) -> None:
    folder = with_tasks(tmp_path / "rel", churn=churn())
    with opened(folder) as db:
        test = read_relbench_tasks(folder)["churn"].seeds(db, "test")
    # people join every twelve days: eight by day 90, one later, one nobody knows when
    assert sorted(set(test.node.tolist())) == list(range(8))
    assert test.notes == ()


LEFT_OUT = {
    "buys": ({"task_type": "recommendation"}, "its manifest does not fit: .*src_entity_table: expected text, got None"),
    "odd": ({"task_type": "ranking"}, "its task_type is 'ranking'; known are binary_classification, regression"),
    "lists": (
        {"kind": "autocomplete", "task_type": "multilabel_classification", "entity_table": "sale", "target_col": "x"},
        "it fills in a column of lists, sale.x; read_relbench_seeds reads its label files",
    ),
    "shipped": ({"kind": "external"}, "its labels come as files, no SQL gives them; read_relbench_seeds reads"),
    "ranked": ({"kind": "external", "evaluator": "tgb"}, r"no SQL gives them \(scored by 'tgb'\)"),
    "new": ({"kind": "guess"}, "its kind is 'guess'; known are forecast, autocomplete and external"),
    "lost": (
        {"entity_table": "people"},
        "its manifest does not fit: .*entity_table 'people' is no table: person, sale",
    ),
    "empty": ({"sql": None}, "its manifest does not fit: .*sql: expected text, got None"),
    "long": ({"timedelta": "a month"}, "timedelta: expected a length of time such as '60 days', got 'a month'"),
    "never": ({"timedelta": "NaT"}, "timedelta: expected a length of time such as '60 days', got 'NaT': it is not"),
    "back": ({"timedelta": "-3 days"}, "horizon: expected more than nothing"),
    "horizon": ({"sql": "SELECT '{horizon}'"}, "its SQL has {horizon}, which means something else here"),
    "pairs": ({"remove_columns": ["a"]}, "remove_columns: expected pairs of table and column, got"),
    "evals": ({"num_eval_timestamps": "two"}, "num_eval_times: expected at least 1"),
}


def test_what_cannot_be_taken_is_named_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = {name: churn(name=name, **changes) for name, (changes, _) in LEFT_OUT.items()}
    folder = with_tasks(tmp_path / "rel", churn=churn(), **specs)
    (folder / "tasks" / "broken").mkdir()
    (folder / "tasks" / "broken" / "manifest.yaml").write_text("sql: [")
    tasks = read_relbench_tasks(folder)
    assert list(tasks) == ["churn"]
    assert set(tasks.left_out) == {*LEFT_OUT, "broken"}
    assert "is no YAML" in tasks.left_out["broken"]
    shown = capsys.readouterr().err
    for name, (_, reason) in LEFT_OUT.items():
        with pytest.raises(ProtocolError, match=f"task '{name}' cannot be taken: .*{reason}"):
            _ = tasks[name]
        assert f"task {name!r} left out: " in shown
    with pytest.raises(KeyError):
        _ = tasks["unheard of"]
    assert "buys" not in tasks
    read_relbench_tasks(folder, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("given", [None, 2005, "soon"])
def test_times_that_are_no_times(tmp_path: Path, given: Any) -> None:
    folder = write_folder(tmp_path / "rel", tasks={"churn": churn()}, test_timestamp=given)
    with pytest.raises(AdapterError, match=rf"test_timestamp: expected a date such as '2005-01-01', got {given!r}"):
        read_relbench_tasks(folder)


def test_times_as_yaml_dates(tmp_path: Path) -> None:
    folder = with_tasks(tmp_path / "rel", churn=churn())
    text = (folder / "manifest.yaml").read_text().replace("'2020-03-01'", "2020-03-01")
    (folder / "manifest.yaml").write_text(text.replace("'2020-03-31'", "2020-03-31 06:00:00"))
    task = read_relbench_tasks(folder)["churn"]
    assert task.val_time == to_moment("2020-03-01", "a")
    assert task.test_time == to_moment("2020-03-31 06:00:00", "b")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"there is no folder .*; expected a RelBench v3 folder"):
        read_relbench_tasks(tmp_path / "nothing")
    with pytest.raises(AdapterError, match=r"cannot read .*manifest\.yaml"):
        read_relbench_tasks(tmp_path)


def test_columns_that_tell_the_label_are_named_and_can_be_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hiding = churn(remove_columns=[["sale", "price"], ["person", "town"]])
    folder = with_tasks(tmp_path / "rel", churn=churn(), hiding=hiding)
    tasks = read_relbench_tasks(folder)
    assert list(tasks) == ["churn", "hiding"]
    assert tasks["hiding"].hidden == ("sale.price", "person.town")
    assert tasks["churn"].hidden == ()
    assert "task 'hiding': its label can be told from sale.price, person.town" in capsys.readouterr().err
    with opened(folder) as db:
        graph = relgraph.build_graph(db, hide=tasks["hiding"].hidden, progress=False)
    for store in graph.nodes.values():
        names = set() if store.features is None else {name for names in store.features.names.values() for name in names}
        assert names.isdisjoint({"price", "town"})


def test_shipped_labels_are_seeds(tmp_path: Path) -> None:
    shipped = pd.DataFrame({"when": [day(3), day(1), day(1)], "who": [2, 9, 4], "y": [1.5, -2.0, 0.25]})
    spec = churn(kind="external", task_type="regression", entity_col="who", time_col="when", target_col="y", sql=None)
    folder = with_tasks(tmp_path / "rel", shipped=spec)
    shipped.to_parquet(folder / "tasks" / "shipped" / "train.parquet")
    with opened(folder) as db:
        seeds = read_relbench_seeds(db, folder, "shipped", "train")
        assert seeds.node.tolist() == [4, 9, 2]
        assert seeds.label.tolist() == [0.25, -2.0, 1.5]
        assert seeds.time.tolist() == [to_moment(day(d), "t") for d in (1, 1, 3)]
        assert seeds.keys.to_pydict() == {"person_id": [4, 9, 2]}
        (note,) = seeds.notes  # persons 4 and 9 join later
        assert "2 rows of " in note
        assert "before these exist" in note
        with pytest.raises(AdapterError, match=r"there is no .*val\.parquet; the labels of task 'shipped' are not"):
            read_relbench_seeds(db, folder, "shipped", "val")


def test_labels_of_a_column_to_fill_in(tmp_path: Path) -> None:
    spec = {"name": "town", "kind": "autocomplete", "task_type": "multiclass_classification"}
    folder = with_tasks(tmp_path / "rel", town={**spec, "entity_table": "person", "target_col": "town_number"})
    labels = pd.DataFrame({"joined": [day(0), day(12)], "person_id": [0, 1], "town_number": [2, 0]})
    labels.to_parquet(folder / "tasks" / "town" / "train.parquet")
    with opened(folder) as db:
        seeds = read_relbench_seeds(db, folder, "town", "train")
    assert seeds.label.tolist() == [2, 0]
    assert seeds.label.dtype == torch.int64
    (note,) = seeds.notes
    assert "the label can be told from person.town_number" in note


@pytest.mark.parametrize(
    ("labels", "error", "matches"),
    [
        ({"churned": ["a", "b"]}, SchemaError, r"2 of 2 rows with a NULL \(or unreadable\) label in column 'churned'"),
        ({"asked_at": [day(1), pd.NaT]}, SchemaError, r"1 of 2 rows with a NULL \(or unreadable\) timestamp"),
        ({"person_id": [77, 78]}, ProtocolError, "gives 2 rows, none with a key of table 'person'"),
        ({"churned": None}, SchemaError, "it lacks 'churned'"),
    ],
)
def test_shipped_labels_that_do_not_fit(tmp_path: Path, labels: dict[str, Any], error: type, matches: str) -> None:
    frame = pd.DataFrame({"asked_at": [day(1)] * 2, "person_id": [1, 2], "churned": [0, 1], **labels})
    folder = with_tasks(tmp_path / "rel", churn=churn())
    frame.dropna(axis="columns", how="all").to_parquet(folder / "tasks" / "churn" / "val.parquet")
    with opened(folder) as db, pytest.raises(error, match=matches):
        read_relbench_seeds(db, folder, "churn", "val")


BOUGHT = """
    SELECT t.timestamp AS asked_at, s.buyer AS who, list(DISTINCT s.kind) AS what
    FROM timestamps t JOIN sale s ON s.at > t.timestamp AND s.at <= t.timestamp + INTERVAL '{timedelta}'
    WHERE s.buyer IS NOT NULL AND s.kind IS NOT NULL
    GROUP BY t.timestamp, s.buyer
"""
LINKS = {
    "task_type": "recommendation",
    "src_entity_table": "person",
    "src_entity_col": "who",
    "dst_entity_table": "kind",
    "dst_entity_col": "what",
    "eval_k": 3,
    "num_eval_timestamps": 1,
    "sql": BOUGHT,
}


def shop_with_kinds(folder: Path, **tasks: dict[str, Any]) -> Path:
    """Kinds of things sold; the last of them are offered only after the test time."""
    found = frames()
    rng = np.random.default_rng(5)
    found["kind"] = pd.DataFrame({"kind_id": range(8), "offered": [day(i * 14) for i in range(8)]})
    found["sale"]["kind"] = rng.integers(0, 8, 200)
    found["sale"]["big"] = (found["sale"]["price"].fillna(0) > 10).astype("int64")
    tables = {**TABLES, "kind": {"pkey": "kind_id", "time_col": "offered", "fkeys": {}}}
    tables["sale"] = {**tables["sale"], "fkeys": {"buyer": "person", "kind": "kind"}}
    return write_folder(folder, tables, found, tasks)


@pytest.mark.slow
def test_links_are_those_that_relbench_makes(tmp_path: Path) -> None:
    folder = shop_with_kinds(tmp_path / "rel", buys=churn(**LINKS))
    theirs = loaded(folder).load_task("buys", regenerate=True)
    task = read_relbench_tasks(folder)["buys"]
    assert isinstance(task, LinkTask)
    assert (task.target_table, task.k, task.metric, task.regime) == ("kind", 3, "map@3", "frozen")
    with opened(folder) as db:
        for split in SPLITS:
            ours, frame = task.seeds(db, split), theirs.get_table(split, mask_input_cols=False).df
            assert len(ours) > 0
            assert pd.to_datetime(ours.moments.numpy(), unit="us").tolist() == frame["asked_at"].tolist()
            assert ours.node.tolist() == frame["who"].tolist()
            parts = ours.target.tensor_split(ours.ptr[1:-1])
            assert [part.tolist() for part in parts] == [sorted(int(i) for i in row) for row in frame["what"]]
            ranked = torch.stack(
                [torch.randperm(8, generator=torch.Generator().manual_seed(i))[:3] for i in ours.node.tolist()]
            )
            table = theirs.get_table(split, mask_input_cols=False)
            assert task.metrics(ours, ranked)["map@3"] == pytest.approx(theirs.evaluate(ranked.numpy(), table)["map"])
            frame.to_parquet(folder / "tasks" / "buys" / f"{split}.parquet")
            shipped = read_relbench_seeds(db, folder, "buys", split)
            assert isinstance(shipped, LinkSeeds)
            for name in ("node", "time", "ptr", "target"):
                assert torch.equal(getattr(shipped, name), getattr(ours, name))


@pytest.mark.parametrize(
    ("column", "kind", "task_type"),
    [("price", "regression", "regression"), ("big", "binary", "binary_classification")],
)
def test_columns_to_fill_in_are_those_of_relbench(tmp_path: Path, column: str, kind: str, task_type: str) -> None:
    spec = {"name": column, "kind": "autocomplete", "task_type": task_type, "entity_table": "sale"}
    folder = shop_with_kinds(
        tmp_path / "rel", fill={**spec, "target_col": column, "remove_columns": [["sale", "kind"]]}
    )
    theirs = loaded(folder).load_task("fill")
    task = read_relbench_tasks(folder)["fill"]
    assert isinstance(task, ColumnTask)
    assert (task.kind, task.hidden) == (kind, (f"sale.{column}", "sale.kind"))
    with opened(folder) as db:
        for split in SPLITS:
            ours, frame = task.seeds(db, split), theirs.get_table(split, mask_input_cols=False).df
            assert len(ours) > 0
            assert pd.to_datetime(ours.moments.numpy(), unit="us").tolist() == frame["at"].tolist()
            assert ours.node.tolist() == frame["sale_id"].tolist()
            assert ours.label.tolist() == frame[column].tolist()


def test_several_labels_per_row(tmp_path: Path) -> None:
    sql = CHURN.replace("AS INTEGER) AS churned", "AS INTEGER) AS one").replace(
        "FROM timestamps", ", 1 AS two\nFROM timestamps"
    )
    sql = f"SELECT asked_at, person_id, [one, two] AS churned FROM ({sql})"
    folder = with_tasks(tmp_path / "rel", both=churn(sql=sql, task_type="multilabel_classification"))
    theirs = loaded(folder).load_task("both", regenerate=True)
    task = read_relbench_tasks(folder)["both"]
    with opened(folder) as db:
        ours, frame = task.seeds(db, "val"), theirs.get_table("val", mask_input_cols=False).df
    assert (task.kind, task.metric) == ("multilabel", "macro_auroc")
    assert ours.node.tolist() == frame["person_id"].tolist()
    assert ours.label.tolist() == [list(row) for row in frame["churned"]]


@pytest.mark.slow
def test_labels_that_relbench_wrote_are_those_that_the_query_gives(tmp_path: Path) -> None:
    folder = with_tasks(tmp_path / "rel", churn=churn())
    theirs = loaded(folder).load_task("churn", regenerate=True)
    for split in SPLITS:
        theirs.get_table(split, mask_input_cols=False).df.to_parquet(folder / "tasks" / "churn" / f"{split}.parquet")
    task = read_relbench_tasks(folder)["churn"]
    with opened(folder) as db:
        for split in SPLITS:
            made, shipped = task.seeds(db, split), read_relbench_seeds(db, folder, "churn", split)
            assert len(made) > 0
            assert np.array_equal(made.node, shipped.node)
            assert np.array_equal(made.time, shipped.time)
            assert np.array_equal(made.label, shipped.label)
    assert TABLES["person"]["time_col"] == "joined"  # so that rows after the test time are dropped on both sides

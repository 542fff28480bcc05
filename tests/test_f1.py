"""The Formula 1 database of RelBench and its labels, against published counts and check digits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.tasks import EntityTask, LinkTask, Seeds

pytestmark = pytest.mark.data


def _recipe() -> Any:
    spec = importlib.util.spec_from_file_location("f1", Path(__file__).parents[1] / "benchmarks" / "f1.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


f1 = _recipe()


@pytest.fixture(scope="module")
def db(data_dir: Path) -> Iterator[Any]:
    with f1.connect(data_dir / "db" / "f1", progress=False) as database:
        yield database


def arrays(seeds: Seeds) -> tuple[np.ndarray, np.ndarray]:
    return seeds.node.numpy(), seeds.label.numpy()


def test_tables_and_keys(db: Any) -> None:
    assert len(db.schema) == 9
    assert len(db.schema.foreign_keys) == 13
    cut = db.upto(f1.TEST_TIME)
    assert sum(cut.num_rows(table.name) for table in db.schema) == 74_063


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (f1.driver_position, (7453, 499, 760)),
        (f1.driver_dnf, (11411, 566, 702)),
        (f1.driver_top3, (1353, 588, 726)),
    ],
)
def test_label_rows(db: Any, make: Callable[[], EntityTask], rows: tuple[int, int, int]) -> None:
    task = make()
    seeds = [task.seeds(db, split) for split in ("train", "val", "test")]
    assert tuple(len(s) for s in seeds) == rows
    assert all(s.notes == () for s in seeds)


def test_links_of_driver_circuit_compete(db: Any, data_dir: Path) -> None:
    """Against the CSV files, read with pandas."""
    folder = data_dir / "db" / "f1"
    races = pd.read_csv(folder / "races.csv", na_values=[r"\N"])
    clock = pd.to_timedelta(races["time"].fillna("00:00:00"))
    races["at"] = pd.to_datetime(races["date"]) + clock
    raced = pd.read_csv(folder / "results.csv", na_values=[r"\N"])[["raceId", "driverId"]].merge(races, on="raceId")
    year, val, test = pd.Timedelta(days=365), pd.Timestamp(f1.VAL_TIME), pd.Timestamp(f1.TEST_TIME)
    first = min(races["at"].min(), (raced["at"].min()))
    moments = {"train": [val - i * year for i in range((val - first) // year, 0, -1)], "val": [val], "test": [test]}
    task = f1.driver_circuit_compete()
    assert (task.metric, task.num_eval_times, task.until) == ("map@10", 1, task.test_time)
    sizes = {}
    for split, times in moments.items():
        seeds = task.seeds(db, split)
        circuits = db.sql("SELECT circuitId FROM circuits")["circuitId"].to_pylist()
        targets = [[circuits[i] for i in part] for part in seeds.target.tensor_split(seeds.ptr[1:-1])]
        stamps = pd.to_datetime(seeds.moments.numpy(), unit="us").tolist()
        found = dict(zip(zip(stamps, seeds.keys["driverId"].to_pylist(), strict=True), map(set, targets), strict=True))
        expected: dict[Any, set[int]] = {}
        for time in times:
            some = raced[(raced["at"] > time) & (raced["at"] <= time + year)]
            some = some if split == "test" else some[some["at"] <= test]
            for driver, circuit in zip(some["driverId"], some["circuitId"], strict=True):
                expected.setdefault((time, driver), set()).add(circuit)
        assert found == expected
        assert len(found) == len(seeds)
        sizes[split] = (len(seeds), len(seeds.target))
    assert sizes == {"train": (2649, 18212), "val": (27, 376), "test": (27, 456)}
    form = LinkTask.next(
        db, "drivers", "circuits", "results", "365 days", val_time=f1.VAL_TIME, test_time=f1.TEST_TIME, regime="frozen"
    )
    for split in moments:
        ours, same = task.seeds(db, split), form.seeds(db, split)
        assert all(torch.equal(getattr(ours, name), getattr(same, name)) for name in ("node", "time", "ptr", "target"))


def entity_mean(db: Any, task: EntityTask) -> tuple[np.ndarray, np.ndarray]:
    """Per test row the mean label of its driver over train and val, 0 if unseen; and the row's label."""
    train, val, test = (arrays(task.seeds(db, split)) for split in ("train", "val", "test"))
    node, label = np.concatenate([train[0], val[0]]), np.concatenate([train[1], val[1]])
    count = np.bincount(node, minlength=db.num_rows("drivers"))
    mean = np.bincount(node, label, minlength=len(count)) / np.maximum(count, 1)
    return mean[test[0]], test[1]


def test_check_digits_of_driver_position(db: Any) -> None:
    task = f1.driver_position()
    train, val, test = (task.seeds(db, split).label.numpy() for split in ("train", "val", "test"))
    std = train.std(ddof=1)
    assert std == pytest.approx(7.025733902396073, abs=1e-9)
    assert np.abs(test).mean() / std == pytest.approx(1.69750325105303, abs=1e-9)
    median = np.median(np.concatenate([train, val]))
    assert np.abs(test - median).mean() / std == pytest.approx(0.6261411175411443, abs=1e-9)
    mean, label = entity_mean(db, task)
    assert np.abs(label - mean).mean() / std == pytest.approx(1.2100312405289475, abs=1e-9)


@pytest.mark.parametrize(("make", "auroc"), [(f1.driver_dnf, 0.4466549553506075), (f1.driver_top3, 0.7037063649665551)])
def test_check_digits_of_binary_tasks(db: Any, make: Callable[[], EntityTask], auroc: float) -> None:
    from sklearn.metrics import roc_auc_score

    mean, label = entity_mean(db, make())
    assert roc_auc_score(label, mean) == pytest.approx(auroc, abs=1e-9)


def test_a_new_user_ranks_held_out_qualifiers_of_results(db: Any) -> None:
    from relgraph.kge import Frequency

    facts = relgraph.build_graph(db, progress=False).statements()
    train, valid, test = facts.select(facts.relation == facts.vocabulary.relation("results")).split()
    scorer = relgraph.kge.HyperFormer(train.num_entities, train.num_relations, **f1.QUALIFIERS["scorer"])
    relgraph.kge.fit(scorer, train, **f1.QUALIFIERS["fit"], progress=False)
    ranks = {"candidates": "all", "positions": ("qualifier",), "progress": False}
    found = relgraph.kge.evaluate(scorer, test, [train, valid, test], **ranks)["mrr"]
    baseline = relgraph.kge.evaluate(Frequency.of(train), test, [train, valid, test], **ranks)["mrr"]
    assert baseline == pytest.approx(0.314, abs=0.01)
    assert found > baseline + 0.08

"""A run on statements and runs on rows, saved once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import relgraph
from relgraph import kge
from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from relgraph.runs import LinkRun, RowRun

SMALL = {"channels": 8, "num_neighbors": (4, 2), "epochs": 1, "max_batches": 3, "progress": False}


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[relgraph.Statements]:
    """Facts with qualifiers: a person works at a place, since a year."""
    folder = tmp_path_factory.mktemp("facts")
    rows = [f"p{i},works at,f{i % 6},since,y{i % 4}" for i in range(40)]
    rows += [f"f{i % 6},in,c{i % 2}" for i in range(6)]
    for name, chosen in (("train", rows[8:]), ("valid", rows[:4]), ("test", rows[4:8])):
        (folder / f"{name}.txt").write_text("\n".join(chosen) + "\n")
    return list(relgraph.read_statements(folder))


@pytest.fixture(scope="session")
def link_run(parts: list[relgraph.Statements], tmp_path_factory: pytest.TempPathFactory) -> Path:
    train, valid, test = parts
    scorer = kge.DistMult(train.num_entities, train.num_relations, dim=8)
    history = kge.fit(scorer, train, valid=valid, epochs=4, validate_every=2, lr=0.05, progress=False)
    run = LinkRun(
        scorer, train.vocabulary, {"train": train, "valid": valid, "test": test}, history, {"source": "works"}
    )
    return run.save(tmp_path_factory.mktemp("runs") / "works")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    generate_shop(path, customers=80, products=20)
    return path


@pytest.fixture(scope="session")
def row_runs(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run for every kind of task."""
    folder = tmp_path_factory.mktemp("runs")
    with relgraph.connect(shop, times=SHOP_TIMES, progress=False) as db:
        window = {"horizon": "30 days"}
        tasks = {
            "binary": relgraph.EntityTask.exists(db, "customer", of="orders", **window),
            "regression": relgraph.EntityTask.count(db, "customer", of="orders", **window),
            "multiclass": relgraph.ColumnTask("orders", "channel").with_times(db, progress=False),
            "links": relgraph.LinkTask.next(db, "customer", "product", via="review", k=3, **window),
        }
        for name, task in tasks.items():
            graph = relgraph.build_graph(db, fit_until=task.val_time, hide=task.hidden, progress=False)
            predictor = relgraph.fit(db, graph, task, **SMALL, logger=f"csv:{folder / name / 'logs'}")
            RowRun.of(predictor, db).save(folder / name)
    return {name: folder / name for name in tasks}

"""A saved model used on a database that has changed: new rows and entities yes, another schema no."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import relgraph
from relgraph.data.graph import HeteroGraph
from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.tasks import ColumnTask
from relgraph.training.predictor import EntityPredictor
from tests.training.planted import KEYS, SMALL, connect, frames, make_task

QUICK = {**SMALL, "epochs": 1, "max_batches": 2, "num_neighbors": [4, 4], "channels": 8}
WHEN = "2021-06-15"


@pytest.fixture(scope="module")
def db() -> Any:
    return connect(frames())


@pytest.fixture(scope="module")
def predictor(db: Any) -> EntityPredictor:
    graph = relgraph.build_graph(db, fit_until=make_task().val_time, progress=False)
    return relgraph.fit(db, graph, make_task(), **QUICK)


@pytest.fixture(scope="module")
def folder(predictor: EntityPredictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return predictor.save(tmp_path_factory.mktemp("saved") / "model")


def later() -> dict[str, pd.DataFrame]:
    """The tables some time later: a new customer who bought a new product in a new way, and old rows."""
    tables = frames()
    customer = pd.DataFrame([{"code": "c999", "size": 40.0}])
    product = pd.DataFrame([{"id": 77, "price": 1e4, "colour": "violet"}])
    bought = pd.DataFrame(
        [{"id": 5000, "customer": "c999", "product": 77, "way": "drone", "at": pd.Timestamp("2021-06-10")}]
    )
    more = {"customer": customer, "product": product, "purchase": bought}
    return {name: pd.concat([tables[name], more[name]], ignore_index=True) for name in tables}


def values(table: Any) -> list[float]:
    return [float(value) for value in table["prediction"].to_pylist()]


@pytest.mark.slow
def test_without_a_graph_it_predicts_on_a_database(db: Any, predictor: EntityPredictor, folder: Path) -> None:
    asked: dict[str, Any] = {"keys": ["c003", "c000"], "time": WHEN, "progress": False}
    expected = predictor.predict(**asked)
    loaded = EntityPredictor.load(folder)
    assert loaded.has_no_rows
    assert loaded.graph.num_nodes == 0
    assert loaded.predict(db, **asked).equals(expected)
    assert loaded.on(db, progress=False).predict(**asked).equals(expected)
    assert EntityPredictor.load(folder, db=db).predict(**asked).equals(expected)
    assert loaded.predict(db, "val", progress=False).equals(predictor.predict(db, "val", progress=False))
    assert loaded.evaluate(db, "val", progress=False) == predictor.evaluate(db, "val", progress=False)
    for attempt in (lambda: loaded.predict(**asked), lambda: loaded.explain(key="c003", time=WHEN)):
        with pytest.raises(ProtocolError, match=r"has no rows: give the database.*predictor\.on\(db\)"):
            attempt()
    # saved again without ever having had rows
    again = EntityPredictor.load(loaded.save(folder.parent / "again"))
    assert again.predict(db, **asked).equals(expected)


@pytest.mark.slow
def test_new_rows_and_new_entities(predictor: EntityPredictor, folder: Path) -> None:
    new = connect(later())
    loaded = EntityPredictor.load(folder).on(new, progress=False)
    table = loaded.predict(keys=["c999", "c003"], time=WHEN, progress=False)
    assert table["code"].to_pylist() == ["c999", "c003"]
    assert all(0 < value < 1 for value in values(table))
    # who has nothing new is predicted as before: nothing was fitted again
    assert values(table)[1] == pytest.approx(
        values(predictor.predict(keys=["c003"], time=WHEN, progress=False))[0], abs=1e-6
    )
    features = loaded.graph.nodes["product"].features
    old = predictor.graph.nodes["product"].features
    assert features is not None
    assert old is not None
    assert dict(features.stats) == dict(old.stats)
    assert int(features.column("colour")[-1]) == -1  # type: ignore[index]
    everybody = loaded.predict(time=WHEN, progress=False)
    assert everybody["code"].to_pylist() == [f"c{i:03d}" for i in range(160)] + ["c999"]
    assert loaded.predict(keys="all", time=WHEN, progress=False).equals(everybody)
    with pytest.raises(SchemaError, match=r"'customer' has 161 rows there and 160 here; use predictor\.on\(db\)"):
        predictor.evaluate(new, progress=False)


def test_a_changed_schema_is_refused_by_name(folder: Path) -> None:
    tables = frames()
    tables["product"] = tables["product"].drop(columns="colour").assign(price="high")
    tables["customer"]["phone"] = "1"
    with pytest.raises(SchemaError) as raised:
        EntityPredictor.load(folder).predict(connect(tables), keys=["c003"], time=WHEN, progress=False)
    message = str(raised.value)
    assert "the schema changed in 2 places" in message
    assert "column product.colour (VARCHAR) is missing; columns: id, price" in message
    assert "column product.price was DOUBLE, is VARCHAR" in message
    assert "phone" not in message
    grown = {**frames(), "shelf": pd.DataFrame({"id": [1]})}
    more = relgraph.connect(grown, keys={**KEYS, "shelf": "id"}, times={"purchase": "at"}, progress=False)
    found = EntityPredictor.load(folder).on(more, progress=False)
    assert found.graph.report["notes"] == ["table 'shelf' is new: the model does not know it"]


def test_a_graph_that_is_not_like_the_trained_one(db: Any, predictor: EntityPredictor, folder: Path) -> None:
    other = relgraph.build_graph(db, types={"product.price": "categorical"}, progress=False)
    with pytest.raises(SchemaError) as raised:
        EntityPredictor.load(folder, other)
    message = str(raised.value)
    assert "column product.price was numerical, is categorical" in message
    assert "column purchase.at has other statistics (newest" in message
    assert "build_graph(db, like=...)" in message
    hidden = relgraph.build_graph(db, hide=["customer.size"], progress=False)
    with pytest.raises(SchemaError, match=r"column customer\.size \(numerical\) is missing"):
        EntityPredictor.load(folder, hidden)
    untimed = relgraph.build_graph(relgraph.connect(frames(), keys=KEYS, progress=False), progress=False)
    with pytest.raises(SchemaError, match="table 'purchase' had a time, has no time"):
        EntityPredictor.load(folder, untimed)
    few = predictor.graph.replace(edges=dict(list(predictor.graph.edges.items())[:1]))
    with pytest.raises(SchemaError, match="edge type purchase/product/product is missing"):
        EntityPredictor.load(folder, few)


def test_a_damaged_folder(folder: Path, tmp_path: Path) -> None:
    pointer = shutil.copytree(folder, tmp_path / "model") / "entity_predictor.json"
    content = json.loads(pointer.read_text())
    for graph in (None, 3, {**content["meta"]["graph"], "nodes": [{}]}):
        pointer.write_text(json.dumps({**content, "meta": {**content["meta"], "graph": graph}}))
        with pytest.raises(AdapterError, match="is damaged: entity_predictor"):
            EntityPredictor.load(tmp_path / "model")
    with pytest.raises(AdapterError, match="there is no folder"):
        EntityPredictor.load(tmp_path / "nowhere")


def test_the_frozen_regime_is_for_test_rows_only(db: Any, predictor: EntityPredictor) -> None:
    task = make_task(regime="frozen", val_time="2020-11-01", test_time="2020-12-01")
    sampling = {"num_neighbors": [4, 4], "strategy": "uniform", "seed": 0}
    frozen = EntityPredictor(predictor.model, predictor.graph, task, predictor.settings, sampling)
    asked: dict[str, Any] = {"keys": ["c003"], "time": WHEN, "progress": False}
    assert values(frozen.predict(**asked)) == values(predictor.predict(**asked))
    node, time = frozen.rows(["c003"], WHEN)
    early = predictor.predict(keys=["c003"], time="2020-12-01", progress=False)
    # as of 2020-12-01 there is no purchase, so only the customer's own row is seen
    assert float(frozen.scores(node, time)[0]) == pytest.approx(values(early)[0], abs=1e-6)
    assert values(frozen.predict(**asked)) != pytest.approx(values(early), abs=1e-6)


@pytest.mark.slow
def test_a_column_without_time(tmp_path: Path) -> None:
    tables = frames()
    customer = tables["customer"].assign(group=[("x", "y", "z")[i % 3] for i in range(160)])
    db = relgraph.connect({**tables, "customer": customer}, keys=KEYS, progress=False)
    task = ColumnTask("customer", "group", regime="static").with_times(db, progress=False)
    graph = relgraph.build_graph(db, hide=task.hidden, progress=False)
    trained = relgraph.fit(db, graph, task, **QUICK)  # type: ignore[arg-type]
    loaded = EntityPredictor.load(trained.save(tmp_path))
    table = loaded.predict(db, keys=["c000", "c001"], progress=False)
    assert table.column_names == ["code", "prediction", "probability_x", "probability_y", "probability_z"]
    assert table.equals(trained.predict(keys=["c000", "c001"], progress=False))
    assert set(table["prediction"].to_pylist()) <= set("xyz")
    probabilities = torch.tensor([[row[f"probability_{name}"] for name in "xyz"] for row in table.to_pylist()])
    assert torch.allclose(probabilities.sum(1), torch.ones(2))
    assert len(loaded.predict(db, keys="all", progress=False)) == 160
    features = loaded.on(db, progress=False).graph.nodes["customer"].features
    assert features is not None
    assert features.column_names == ("size",)
    with pytest.raises(ProtocolError, match="has no time; leave time= out"):
        loaded.predict(db, keys=["c000"], time=WHEN, progress=False)
    explanation = loaded.explain(db, key="c000")
    assert explanation.time is None
    assert explanation.output in (0, 1, 2)


def test_keys_that_are_no_list(predictor: EntityPredictor) -> None:
    for keys in (1, "ann"):
        with pytest.raises(ProtocolError, match=r"keys: expected a list of keys such as \["):
            predictor.predict(keys=keys, time="2024-01-01")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="'soon' is no date"):
        predictor.predict(keys="all", time="soon")


def test_moments_that_do_not_fit(predictor: EntityPredictor) -> None:
    with pytest.raises(ProtocolError, match="expected one moment for all rows, got several"):
        predictor.predict(keys="all", time=[WHEN, "2021-07-01"], progress=False)
    one_each = predictor.predict(keys=["c003", "c003"], time=[WHEN, "2020-01-01"], progress=False)
    assert [str(moment) for moment in one_each["timestamp"]] == ["2021-06-15 00:00:00", "2020-01-01 00:00:00"]


def test_a_graph_without_a_database(tmp_path: Path, predictor: EntityPredictor, db: Any) -> None:
    graph: HeteroGraph = predictor.graph.replace(schema=None, report={})
    made = EntityPredictor(
        predictor.model,
        graph,
        make_task(),
        predictor.settings,
        {"num_neighbors": [4, 4], "strategy": "uniform", "seed": 0},
    )
    loaded = EntityPredictor.load(made.save(tmp_path), graph)
    asked: dict[str, Any] = {"keys": ["c003"], "time": WHEN, "progress": False}
    assert loaded.predict(**asked).equals(predictor.predict(**asked))
    with pytest.raises(SchemaError, match="does not say how its columns were read"):
        loaded.on(db)

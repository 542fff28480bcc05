"""One call opens whatever a training left on disk, and it predicts what it predicted before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import relgraph
from relgraph import kge
from relgraph.demo.shop import SHOP_TIMES
from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.runs import LinkRun, RowRun


def test_a_link_run_comes_back_whole(link_run: Path, parts: list[relgraph.Statements]) -> None:
    run = relgraph.load(link_run)
    assert isinstance(run, LinkRun)
    assert run.vocabulary == parts[0].vocabulary
    assert list(run.statements) == ["train", "valid", "test"]
    for name, part in zip(run.statements, parts, strict=True):
        assert [run.statements[name].labels(i) for i in range(len(part))] == [part.labels(i) for i in range(len(part))]
    assert len(run.history) == 4
    assert run.meta["source"] == "works"
    expected = kge.evaluate(run.scorer, parts[2], parts, train=parts[0], progress=False)
    assert run.evaluate(progress=False).to_dict() == expected.to_dict()
    strict = run.evaluate("valid", filter="strict", progress=False)
    assert strict.protocol["filter"] == "strict"
    assert strict.protocol["num_statements"] == 4
    answers = run.predict(head="p9", relation="works at", k=50)
    assert answers == kge.predict(run.scorer, run.vocabulary, "p9", "works at", k=50)
    new = run.predict(head="p9", relation="works at", k=50, new=True)
    assert {a.label for a in answers} - {a.label for a in new} == {"f3"}
    assert "DistMult" in repr(run)
    assert run._repr_html_().count("<svg") == 2


def test_saving_again_changes_nothing(link_run: Path, tmp_path: Path) -> None:
    run = relgraph.load(link_run)
    again = relgraph.load(run.save(tmp_path / "again"))
    assert isinstance(again, LinkRun)
    assert again.describe() == run.describe()
    assert again.history == run.history
    assert all(torch.equal(a, b) for a, b in zip(run.scorer.parameters(), again.scorer.parameters(), strict=True))


def test_a_scorer_alone_is_opened(link_run: Path) -> None:
    run = relgraph.load(link_run / "model")
    assert isinstance(run, LinkRun)
    assert run.predict(head="p9", relation="works at", k=1)
    with pytest.raises(ProtocolError, match="has no split 'test'; it has none"):
        run.evaluate()


def test_parts_of_another_vocabulary_are_refused(link_run: Path, parts: list[relgraph.Statements]) -> None:
    run = relgraph.load(link_run)
    other, _, _ = relgraph.adapters.from_pykeen("nations")
    with pytest.raises(SchemaError, match="'test' are not over the vocabulary"):
        LinkRun(run.scorer, run.vocabulary, {"test": other})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass", "links"])
def test_a_row_run_comes_back_whole(kind: str, row_runs: dict[str, Path], shop: Path) -> None:
    run = relgraph.load(row_runs[kind])
    assert isinstance(run, RowRun)
    assert run.schema is not None
    (log,) = (row_runs[kind] / "logs").rglob("metrics.csv")
    assert f"valid/{run.task.metric}" in log.read_text().partition("\n")[0]
    assert set(run.seeds) <= {"val", "test"}
    assert run.recommends == (kind == "links")
    found = run.evaluate(progress=False)
    assert found["rows"] == len(run.seeds["test"])
    assert run.task.metric in found
    first = run.predict(progress=False)
    with relgraph.connect(shop, times=SHOP_TIMES, progress=False) as db:
        assert first.equals(run.predictor.predict(db, progress=False))
        if kind != "multiclass":
            keys = [first["customer_id"][0].as_py()]
            now = run.predict(db, keys=keys, time="2025-01-01", progress=False)
            later = relgraph.load(row_runs[kind], db=db, progress=False)
            assert isinstance(later, RowRun)
            assert later.predict(keys=keys, time="2025-01-01", progress=False).equals(now)
            assert not later.seeds
            alone = relgraph.load(row_runs[kind] / "model", db=db, progress=False)
            assert alone.predict(keys=keys, time="2025-01-01", progress=False).equals(now)  # type: ignore[call-arg, union-attr]


def test_what_is_no_run_is_named(link_run: Path, row_runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="there is no folder"):
        relgraph.load(tmp_path / "nowhere")
    with pytest.raises(AdapterError, match="relgraph saved nothing in it"):
        relgraph.load(tmp_path)
    with pytest.raises(AdapterError, match=r"read it with relgraph\.HeteroGraph\.load"):
        relgraph.load(row_runs["binary"] / "graph")
    (tmp_path / "half" / "checkpoint").mkdir(parents=True)
    with pytest.raises(AdapterError, match="is not finished"):
        relgraph.load(tmp_path / "half")
    shutil.copytree(link_run, tmp_path / "bad")
    (tmp_path / "bad" / "run.json").write_text("{")
    with pytest.raises(AdapterError):
        relgraph.load(tmp_path / "bad")
    graph = relgraph.HeteroGraph.load(row_runs["binary"] / "graph")
    with pytest.raises(ProtocolError, match="reads no graph"):
        relgraph.load(link_run, graph=graph)

"""The demo from end to end, small: on the generated shop, and on a database of one's own."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.demo.run import run_demo, shop_task
from relgraph.errors import ProtocolError
from relgraph.tasks import EntityTask


@pytest.mark.slow
def test_generated_shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_demo(out=tmp_path, customers=300, epochs=1, link_epochs=2, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line[:5] for line in captured.err.splitlines() if line.startswith("[")] == [f"[{i}/6]" for i in range(1, 7)]
    names = [name for name, _ in result.entities.scores]
    assert names[0] == "constant"
    assert names[-2:] == ["GNN, 2 steps of neighbours", "GNN, 4 steps of neighbours"]
    assert len(names) == 5
    best = {name: history.best or 0 for name, history in result.entities.histories.items()}
    assert best[result.entities.chosen] == max(best.values())
    assert result.entities.scores[0][1]["auroc"] == 0.5
    text = str(result)
    for name, metrics in result.entities.scores:
        assert f"{metrics['auroc']:.4f}" in text, name
    assert HeteroGraph.load(tmp_path / "graph").num_nodes == result.graph.num_nodes
    json.dumps(result.to_dict())

    html = result.page.read_text(encoding="utf-8")
    root = ElementTree.fromstring(html.partition("\n")[2])
    whole = "".join(root.itertext())
    for heading in (
        "The database",
        "Integrity",
        "The graph",
        "Predicting rows of customer",
        "Predicting the next review",
    ):
        assert heading in whole
    assert len(list(root.iter("{http://www.w3.org/2000/svg}svg"))) == 7
    assert str(result.entities.top[0][0]) in whole
    assert result.links is not None
    assert result.links.top[0][0] in whole


@pytest.mark.slow
def test_own_database_with_a_regression_task(small_shop: Database, tmp_path: Path) -> None:
    task = EntityTask(
        "product",
        """SELECT t.timestamp, p.product_id, count(r.review_id) AS label FROM timestamps t CROSS JOIN product p
           LEFT JOIN review r ON r.product_id = p.product_id
             AND r.written_at > t.timestamp AND r.written_at <= t.timestamp + {horizon} GROUP BY ALL""",
        "30 days",
        "regression",
    )
    result = run_demo(small_shop, task=task, out=tmp_path, epochs=1, link_epochs=1, progress=False)
    assert {"mae", "rmse", "r2"} == set(result.entities.scores[-1][1])
    assert "Predicting rows of product" in result.page.read_text(encoding="utf-8")
    assert not (tmp_path / "shop.sqlite").exists()
    assert small_shop.num_rows("product") == 40, "a database that was handed in stays open"


def test_task_and_source_belong_together(small_shop: Database, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="expected a task for this database"):
        run_demo(small_shop, out=tmp_path, progress=False)
    with pytest.raises(ProtocolError, match="a task was given without a database"):
        run_demo(task=shop_task(), out=tmp_path, progress=False)

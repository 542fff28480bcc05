"""A recommender in the shell, from a form in a task file to ranked targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.tools import ROWS, document, run

NEXT = """
task = "link"
form = "next"
entity_table = "customer"
target_table = "product"
via = "review"
horizon = "30 days"
"""


@pytest.fixture(scope="module")
def recommender(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "next"
    (shop / "next.toml").write_text(NEXT)
    words = ["train", shop / "shop.sqlite", "-o", out, "--task", shop / "next.toml", "--keys", shop / "shop.toml"]
    told = run(*words, *ROWS, "--epochs", "1", "--set", "model=two_tower", "-q").stderr
    assert "val_time" not in told  # progress
    assert "caution" not in told
    return out


@pytest.mark.slow
def test_ranked_targets(recommender: Path) -> None:
    found = document("evaluate", recommender, "-q")
    assert found["regime"] == "seed-time"
    assert {"map@10", "recall@10", "ndcg@10", "precision@10"} == set(found["metrics"])
    rows = document("predict", recommender, "-q")["predictions"]
    assert max(row["rank"] for row in rows) == 10
    customer = rows[0]["customer_id"]
    some = document("predict", recommender, "--key", str(customer), "--time", "2024-11-01", "-k", "3", "-q")
    assert [row["rank"] for row in some["predictions"]] == [1, 2, 3]
    assert {row["customer_id"] for row in some["predictions"]} == {customer}


@pytest.mark.slow
def test_options_that_do_not_fit(recommender: Path, churn: Path, shop: Path, tmp_path: Path) -> None:
    assert "Invalid value for -k" in run("predict", churn, "-k", "3", code=2).stderr
    words = ["train", shop / "shop.sqlite", "-o", tmp_path / "bad", "--task", shop / "churn.toml"]
    refused = run(*words, "--keys", shop / "shop.toml", "--set", "model=idgnn", "-q", code=1).stderr
    assert "no option 'model'; options: gnn, " in refused
    assert "Invalid value for --target" in run("explain", recommender, "--key", "1", code=2).stderr
    assert "Invalid value for --target" in run("explain", churn, "--key", "1", "--target", "1", code=2).stderr


@pytest.mark.slow
def test_why_a_row_is_recommended(recommender: Path) -> None:
    best = document("predict", recommender, "-k", "1", "-q")["predictions"][0]
    words = ["--key", str(best["customer_id"]), "--target", str(best["product_id"]), "--time", best["timestamp"]]
    found = document("explain", recommender, *words, "-q")
    assert found["target"] == ["product", best["product_id"]]
    assert found["rows"]

"""Compare models in the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.tools import document, run


@pytest.mark.slow
def test_compare(shop: Path, tmp_path: Path) -> None:
    words = ["compare", shop / "shop.sqlite", "--task", shop / "churn.toml", "--keys", shop / "shop.toml", "-q"]
    some = ["--model", "constant", "--model", "boosting-row", "--set", 'boosting.search=[{"num_leaves": 4}]']
    found = document(*words, *some, "--html", tmp_path / "deep" / "table.html")
    assert [row["model"] for row in found["models"]] == ["constant", "boosting-row"]
    assert found["regime"] == "seed-time"
    assert found["models"][0]["test"][0]["auroc"] == 0.5
    assert "<table" in (tmp_path / "deep" / "table.html").read_text()
    text = run(*words, "--model", "constant").stdout
    assert "val auroc" in text
    assert "0.5000" in text
    assert "does not fit" in run(*words, "--model", "popularity", code=1).stderr
    assert "expected MODEL.NAME=VALUE" in run(*words, "--set", "epochs", code=2).stderr

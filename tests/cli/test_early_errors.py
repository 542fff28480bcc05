"""What can be refused before the work starts is refused then, and --json says it in JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.tools import run


@pytest.fixture
def nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to begin the work fails the test."""

    def started(*args: Any, **given: Any) -> None:
        raise AssertionError("the work was started")

    names = [("convert", "open_database"), ("train", "open_database"), ("train", "open_statements")]
    for module, name in (*names, ("demo", "open_database"), ("predict", "_predict_rows")):
        monkeypatch.setattr(sys.modules[f"relgraph.cli.{module}"], name, started)
    monkeypatch.setattr("relgraph.demo.run.run_demo", started)


COMMANDS: list[list[str]] = [
    ["convert", "x.sqlite"],
    ["train", "x.txt"],
    ["train", "x.sqlite", "--task", "t.toml"],
    ["demo"],
    ["demo", "--url", "x.sqlite", "--task", "t.toml"],
]


@pytest.mark.usefixtures("nothing_reads")
@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_that_cannot_be_written(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deep", Path("/proc/no/such"), tmp_path / ("x" * 300)):
        result = run(*words, "-o", out, code=1)
        assert "error: cannot write to " in result.stderr
        assert "expected a folder" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    run("convert", tmp_path / "none.sqlite", "-o", tmp_path / "deep" / "graph", code=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_reads")
def test_a_file_of_predictions_that_cannot_be_written(churn: Path, tmp_path: Path) -> None:
    assert "a name that ends in" in run("predict", churn, "-o", tmp_path / "p.xlsx", code=2).stderr
    (tmp_path / "file").write_text("")
    (tmp_path / "p.csv").mkdir()
    for out in (tmp_path / "file" / "p.csv", Path("/proc/no/p.csv")):
        assert "error: cannot write to " in run("predict", churn, "-o", out, code=1).stderr
    assert "is a folder, expected a file" in run("predict", churn, "-o", tmp_path / "p.csv", code=1).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["inspect", "x", "--times", "orders"],
            "Invalid value for --times: expected TABLE=COLUMN or TABLE=FROM,UNTIL, got 'orders'",
        ),
        (["train", "x.txt", "-o", "y", "--channels", "3"], "Invalid value for --channels: needs --task"),
        (["demo", "--task", "t.toml"], "Invalid value for --task: needs --url"),
    ],
)
def test_wrong_usage_in_json(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words, "--json", code=2)
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "UsageError"
    assert error["message"].startswith(message)
    assert "Usage:" in result.stderr


@pytest.mark.parametrize("words", [["inspect"], ["train", "-o", "out"], ["convert", "-o", "out"]])
def test_a_source_that_no_file_can_be_named(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "name too long" in run(*words, "x" * 5000, code=1).stderr

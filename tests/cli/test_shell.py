"""What the shell prints where, how it ends, and that every documented example runs."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import relgraph
from relgraph.cli import app, output
from tests.cli.tools import COMMANDS, examples, run


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["--version"], [], *([name, "--help"] for name in COMMANDS)])
def test_help_is_light(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from relgraph.cli import main\n"
        f"sys.argv = ['relgraph', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'torch_geometric', 'duckdb', 'pykeen', 'pyarrow', 'pandas', 'lightning_fabric'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "relgraph" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "offered"), [("relgraph re", {"report"}), ("relgraph report RUN --li", {"--licence"})]
)
def test_completion(typed: str, offered: set[str]) -> None:
    place = str(len(typed.split()) - 1)
    asked = {"_RELGRAPH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": place}
    words = [sys.executable, "-c", "from relgraph.cli import main; main()"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, **asked})
    assert set(done.stdout.split()) == offered


def test_module_and_version() -> None:
    done = subprocess.run([sys.executable, "-m", "relgraph", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"relgraph {relgraph.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_all_are_known(name: str) -> None:
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == set(COMMANDS)
    assert examples(name)


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "x.sqlite"],
        ["inspect"],
        ["inspect", "x", "--nonsense"],
        ["inspect", "x", "--times", "orders"],
        ["train", "x.txt", "-o", "y", "--scorer", "nonsense"],
        ["train", "x.txt", "-o", "y", "--channels", "3"],
        ["train", "x.txt", "-o", "y", "--set", "dim"],
        ["train", "x.txt", "-o", "y", "--task", "t.toml", "--decay", "0.5"],
        ["train", "x.txt", "-o", "y", "--task", "t.toml", "--num-neighbors", "a,b"],
        ["train", "x.txt", "-o", "y", "--epochs", "0"],
        ["demo", "--task", "t.toml"],
        ["demo", "--url", "x.sqlite"],
        ["demo", "--url", "x.sqlite", "--task", "t.toml", "--customers", "3"],
    ],
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    result = run(*words, code=2)
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_errors_end_with_1_without_traceback(tmp_path: Path) -> None:
    result = run("inspect", tmp_path / "none.sqlite", code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "none.sqlite" in result.stderr
    result = run("inspect", tmp_path / "none.sqlite", "--json", code=1)
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "AdapterError"
    assert f"error: {error['message']}\n" == result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("url", ["postgresql://me:geheim@localhost:1/x", "nonsense://me:geheim@h/x?password=geheim"])
def test_passwords_stay_unseen(url: str) -> None:
    result = run("inspect", url, "--json", code=1)
    assert "geheim" not in result.output
    assert "***" in result.output


def test_tables_on_a_terminal_take_data_as_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    output.show_table("[bold]a[/bold]", ["name", "n"], [["[red]x[/red]", 1234], ["y", None]])
    shown = capsys.readouterr().out
    assert "[bold]a[/bold]" in shown
    assert "[red]x[/red]" in shown
    assert "1,234" in shown


# what would take minutes is asked for less
SMALL = {
    "relgraph train wn18rr -o runs/complex --scorer complex --loss ce --n3 0.1 --fit optimizer=adagrad": [
        "--epochs",
        "2",
    ],
    "relgraph train fb15k-237 -o runs/lowfer --set dim=200 --set rank=30": ["--epochs", "2"],
    "relgraph train shop.sqlite -o runs/churn --task churn.toml --keys shop.toml": [
        "--epochs",
        "1",
        "--max-batches",
        "3",
    ],
    "relgraph demo": ["--customers", "150", "--epochs", "1", "--link-epochs", "1"],
    "relgraph compare shop.sqlite --task churn.toml --keys shop.toml": [
        *("--set", "gnn.epochs=1", "--set", "gnn.channels=8", "--set", "gnn.max_batches=2"),
        *("--set", "gnn.num_neighbors=[4,2]"),
    ],
}


@pytest.mark.slow
def test_documented_examples_run(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the commands, in one folder, as someone who types them in; only the server is stood in for."""
    monkeypatch.chdir(tmp_path)
    for file in ("shop.sqlite", "churn.toml", "shop.toml"):
        os.link(shop / file, tmp_path / file)
    people = [(f"/m/0{i}mjmr", "/people/person/profession", f"/m/job{i % 3}") for i in range(9)]
    for folder in ("fb15k-237", "wn18rr"):
        (tmp_path / folder).mkdir()
        for name, rows in (("train", people), ("valid", people[:2]), ("test", people[2:4])):
            (tmp_path / folder / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    with sqlite3.connect("shop.sqlite") as connection:
        customer = connection.execute("SELECT min(customer_id) FROM customer").fetchone()[0]
    for name in COMMANDS:
        for line in examples(name):
            words = line.replace("postgresql://localhost/shop", "sqlite:///shop.sqlite").replace("1023", str(customer))
            result = run(*shlex.split(words)[1:], *SMALL.get(line, []))
            assert result.stdout or " -o " in words, words
    assert (tmp_path / "demo-out" / "index.html").exists()
    assert (tmp_path / "my-demo" / "index.html").exists()

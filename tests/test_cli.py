"""The shell: what it prints where, how it ends, and that every documented example runs."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from typer.testing import CliRunner, Result

import relgraph
from relgraph import kge
from relgraph.cli import app, output
from relgraph.cli.runs import read_run, read_statement_parts
from relgraph.data.graph import HeteroGraph
from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from relgraph.training.predictor import EntityPredictor

COMMANDS = ("inspect", "convert", "train", "evaluate", "predict", "demo")
TASK = """
entity_table = "customer"
kind = "binary"
horizon = "60 days"
val_time = 2024-07-01
test_time = "2024-09-01"
sql = '''
SELECT customer_id, timestamp, CAST(NOT EXISTS (
    SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id
    AND o.ordered_at > timestamp AND o.ordered_at <= timestamp + {horizon}) AS INT) AS label
FROM timestamps, customer c WHERE c.joined <= timestamp
'''
"""
ROWS = ["--channels", "8", "--num-neighbors", "4,4", "--max-batches", "2", "--batch-size", "32"]


def run(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def document(*words: str | Path, code: int = 0) -> Any:
    return json.loads(run(*words, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    generate_shop(folder / "shop.sqlite", customers=60, products=20)
    (folder / "churn.toml").write_text(TASK)
    times = "\n".join(f'{table} = "{column}"' for table, column in SHOP_TIMES.items())
    (folder / "shop.toml").write_text(f"[times]\n{times}\n")
    return folder


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facts")
    rows = [(f"city{i}", "in", f"land{i % 8}") for i in range(40)] + [
        (f"land{i % 8}", "has", f"city{i}") for i in range(40)
    ]
    for name, part in (("train", rows[8:]), ("valid", rows[:4]), ("test", rows[4:8])):
        (folder / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in part))
    return folder


@pytest.fixture(scope="module")
def links(facts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "links"
    run(
        "train",
        facts,
        "-o",
        out,
        "--scorer",
        "distmult",
        "--set",
        "dim=16",
        "--epochs",
        "60",
        "--lr",
        "0.1",
        "--label-smoothing",
        "0",
        "-q",
    )
    return out


@pytest.fixture(scope="module")
def churn(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "churn"
    task = ["--task", shop / "churn.toml", "--keys", shop / "shop.toml"]
    run("train", shop / "shop.sqlite", "-o", out, *task, *ROWS, "--epochs", "2", "-q")
    return out


class TestShell:
    @pytest.mark.parametrize("words", [["--help"], ["--version"], [], *([name, "--help"] for name in COMMANDS)])
    def test_help_is_light(self, words: list[str]) -> None:
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

    def test_module_and_version(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "relgraph", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"relgraph {relgraph.__version__}\n"

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_examples_and_all_are_known(self, name: str) -> None:
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
    def test_wrong_usage_ends_with_2(self, words: list[str]) -> None:
        result = run(*words, code=2)
        assert result.stdout == ""
        assert "Usage:" in result.stderr

    def test_errors_end_with_1_without_traceback(self, tmp_path: Path) -> None:
        result = run("inspect", tmp_path / "none.sqlite", code=1)
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert "none.sqlite" in result.stderr
        result = run("inspect", tmp_path / "none.sqlite", "--json", code=1)
        error = json.loads(result.stdout)["error"]
        assert error["type"] == "AdapterError"
        assert f"error: {error['message']}\n" == result.stderr

    @pytest.mark.parametrize(
        "url", ["postgresql://me:geheim@localhost:1/x", "nonsense://me:geheim@h/x?password=geheim"]
    )
    def test_passwords_stay_unseen(self, url: str) -> None:
        result = run("inspect", url, "--json", code=1)
        assert "geheim" not in result.output
        assert "***" in result.output

    def test_tables_on_a_terminal_take_data_as_data(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        output.show_table("[bold]a[/bold]", ["name", "n"], [["[red]x[/red]", 1234], ["y", None]])
        shown = capsys.readouterr().out
        assert "[bold]a[/bold]" in shown
        assert "[red]x[/red]" in shown
        assert "1,234" in shown


class TestInspectAndConvert:
    def test_inspect(self, shop: Path) -> None:
        found = document("inspect", shop / "shop.sqlite", "--times", "orders=ordered_at", "-q")
        with sqlite3.connect(shop / "shop.sqlite") as connection:
            rows = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
        orders = next(table for table in found["tables"] if table["table"] == "orders")
        assert (orders["rows"], orders["time_column"]) == (rows, "ordered_at")
        assert [table["name"] for table in found["schema"]["tables"]] == [table["table"] for table in found["tables"]]
        text = run("inspect", shop / "shop.sqlite").stdout
        assert f"orders      {rows}" in re.sub(r",(?=\d)", "", text).replace("   ", "  ") or str(rows) in text.replace(
            ",", ""
        )
        assert "order_line.warehouse_id" in text
        assert "no time is declared; candidates: ordered_at" in text

    def test_only_some_tables(self, shop: Path) -> None:
        found = document("inspect", shop / "shop.sqlite", "--table", "orders", "--table", "customer", "-q")
        assert {table["table"] for table in found["tables"]} == {"orders", "customer"}

    def test_convert(self, shop: Path, tmp_path: Path) -> None:
        words = ["convert", shop / "shop.sqlite", "-o", tmp_path / "graph", "--keys", shop / "shop.toml"]
        found = document(*words, "--fit-until", "2024-06-01", "-q")
        graph = HeteroGraph.load(tmp_path / "graph")
        assert (found["num_nodes"], found["num_edges"]) == (graph.num_nodes, graph.num_edges)
        assert found["fit_until"] == "2024-06-01"
        assert graph.nodes["orders"].time is not None
        again = document("inspect", tmp_path / "graph")
        assert again == {name: value for name, value in found.items() if name != "folder"}
        assert run("inspect", tmp_path / "graph").stdout == f"{graph!r}\n"
        result = run(*words)
        assert result.stdout == f"{HeteroGraph.load(tmp_path / 'graph')!r}\n"
        assert result.stderr == f"saved in {tmp_path / 'graph'}\n"

    @pytest.mark.parametrize("suffix", ["toml", "json"])
    def test_declarations_in_a_file(self, suffix: str, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "part.csv").write_text("x,y,weight\n1,1,5\n1,2,6\n")
        (tmp_path / "data" / "sale.csv").write_text("px,py,day\n1,2,2024-01-02\n1,1,2024-01-03\n")
        declared = {
            "keys": {"part": ["x", "y"], "sold": {"foreign_keys": {"px+py": ["part", ["x", "y"]]}}},
            "times": {"sold": "day"},
            "tables": {"part": "SELECT * FROM part", "sold": "SELECT * FROM sale WHERE py = 2"},
        }
        text = json.dumps(declared)
        if suffix == "toml":
            text = (
                '[keys]\npart = ["x", "y"]\n[keys.sold.foreign_keys]\n"px+py" = ["part", ["x", "y"]]\n'
                '[times]\nsold = "day"\n[tables]\npart = "SELECT * FROM part"\n'
                'sold = "SELECT * FROM sale WHERE py = 2"\n'
            )
        (tmp_path / f"keys.{suffix}").write_text(text)
        found = document("inspect", tmp_path / "data", "--keys", tmp_path / f"keys.{suffix}", "-q")
        assert {table["table"]: table["rows"] for table in found["tables"]} == {"part": 2, "sold": 1}
        (key,) = found["foreign_keys"]
        assert (key["table"], key["key"], key["target"], key["dangling"]) == ("sold", "px+py", "part", 0)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.toml", "x = ", "a.toml is no TOML"),
            ("a.json", "{", "a.json is no JSON"),
            ("a.json", "[]", "expected declarations as a mapping, got a list"),
            ("a.toml", "[kyes]\n", "expected the sections keys, times, tables, each a mapping .* got kyes"),
            ("a.toml", "times = 3\n", "got times"),
            ("a.toml", b"\xff", "is no UTF-8 text"),
            ("a.toml", None, "cannot read .*a.toml: No such file"),
        ],
    )
    def test_bad_declarations(self, name: str, content: Any, message: str, shop: Path, tmp_path: Path) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        result = run("inspect", shop / "shop.sqlite", "--keys", tmp_path / name, code=1)
        assert re.search(message, result.stderr)


class TestLinks:
    def test_a_run_has_all_it_was_trained_with(self, links: Path, facts: Path) -> None:
        scorer, vocabulary, _ = kge.load_scorer(links / "model")
        parts = read_statement_parts(read_run(links), vocabulary)
        train, valid, test = relgraph.read_statements(facts)
        for name, expected in (("train", train), ("valid", valid), ("test", test)):
            assert [parts[name].labels(i) for i in range(len(expected))] == [
                expected.labels(i) for i in range(len(expected))
            ]
        found = document("evaluate", links, "-q")
        expected = kge.evaluate(scorer, test, [train, valid, test], progress=False)
        assert found["metrics"] == dict(expected)
        assert found["protocol"] == expected.protocol
        assert found["metrics"]["hits@10"] >= 0.5
        assert document("evaluate", links, "--split", "val", "-q")["protocol"]["num_statements"] == 4

    def test_evaluate_text(self, links: Path) -> None:
        lines = run("evaluate", links).stdout.splitlines()
        head = next(line for line in lines if "optimistic" in line)
        assert head.split() == ["realistic", "optimistic", "pessimistic", "head", "tail"]
        assert any(line.split()[0] == "mrr" and len(line.split()) == 6 for line in lines if line.strip())

    def test_predict(self, links: Path, facts: Path) -> None:
        scorer, vocabulary, _ = kge.load_scorer(links / "model")
        found = document("predict", links, "--head", "city12", "--relation", "in", "-k", "3")
        expected = kge.predict(scorer, vocabulary, head="city12", relation="in", k=3)
        assert [(a["label"], a["score"]) for a in found["answers"]] == [tuple(answer) for answer in expected]
        assert found["answers"][0]["label"] == "land4"
        new = document("predict", links, "--head", "city12", "--relation", "in", "-k", "3", "--new")
        assert "land4" not in [a["label"] for a in new["answers"]]
        asked = document("predict", links, "--head", "city12", "--tail", "land4")
        assert {a["label"] for a in asked["answers"]} == {"in", "has"}
        text = run("predict", links, "--relation", "in", "--tail", "land4", "-k", "2").stdout.splitlines()
        assert text[0] == "?  in  land4"
        assert len(text) == 4

    def test_predict_refuses(self, links: Path) -> None:
        assert "give exactly two" in run("predict", links, "--head", "city1", code=2).stderr
        run("predict", links, "--time", "2024-01-01", code=2)
        result = run("predict", links, "--head", "cty1", "--relation", "in", code=1)
        assert "'cty1' is not in the vocabulary" in result.stderr
        assert "has no split" in run("evaluate", without_valid(links), "--split", "valid", code=1).stderr

    def test_from_a_graph_and_from_a_database(self, shop: Path, tmp_path: Path) -> None:
        options = ["--scorer", "distmult", "--set", "dim=4", "--epochs", "1", "-q", "--keys", shop / "shop.toml"]
        first = document("train", shop / "shop.sqlite", "-o", tmp_path / "a", *options)
        run("convert", shop / "shop.sqlite", "-o", tmp_path / "graph", "--keys", shop / "shop.toml", "-q")
        second = document("train", tmp_path / "graph", "-o", tmp_path / "b", *options)
        for report in (first, second):
            report.pop("seconds")
        assert first == second
        parts = read_run(tmp_path / "a").tensors
        assert parts["train.time"].max() <= parts["valid.time"].min() <= parts["test.time"].max()
        assert parts["train.qualifiers.ptr"][-1] > 0
        triples = document("train", shop / "shop.sqlite", "-o", tmp_path / "c", *options, "--form", "triples")
        assert triples["relations"] == 9

    def test_other_settings_are_refused_until_restart(self, facts: Path, links: Path, tmp_path: Path) -> None:
        words = ["train", facts, "-o", tmp_path / "run", "--scorer", "distmult", "--epochs", "1", "-q", "--set"]
        run(*words, "dim=4")
        result = run(*words, "dim=8", code=1)
        assert "--restart" in result.stderr
        run(*words, "dim=8", "--restart")
        assert "'dims'" in run(*words, "dims=8", "--restart", code=2).stderr

    @pytest.mark.slow
    def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(self, facts: Path, tmp_path: Path) -> None:
        words = [
            sys.executable,
            "-m",
            "relgraph",
            "train",
            str(facts),
            "-o",
            str(tmp_path / "run"),
            "--scorer",
            "distmult",
        ]
        words += ["--set", "dim=64", "--epochs", "100000"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 120
            while not (tmp_path / "run" / "checkpoint" / "history.jsonl").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert out == ""
        assert "the same command goes on" in err
        assert "Traceback" not in err
        assert "is not finished" in run("evaluate", tmp_path / "run", code=1).stderr
        done = (tmp_path / "run" / "checkpoint" / "history.jsonl").read_text().count("\n")
        again = document(*words[3:-1], str(done + 1), "-q")
        assert again["epochs"] == done + 1


def without_valid(links: Path) -> Path:
    """A run like ``links`` on a folder without a validation file."""
    facts = links.parent / "two"
    if not facts.exists():
        facts.mkdir()
        for name in ("train", "test"):
            (facts / f"{name}.txt").write_text("a\tr\tb\nb\tr\tc\n")
        run("train", facts, "-o", links.parent / "two-run", "--set", "dim=4", "--set", "rank=2", "--epochs", "1", "-q")
    return links.parent / "two-run"


class TestRows:
    def test_evaluate(self, churn: Path, shop: Path) -> None:
        predictor = EntityPredictor.load(churn / "model", HeteroGraph.load(churn / "graph"))
        found = document("evaluate", churn, "-q")
        with relgraph.connect(shop / "shop.sqlite", times=SHOP_TIMES, progress=False) as db:
            expected = predictor.evaluate(db, "test", progress=False)
            assert found["metrics"] == {name: expected[name] for name in ("auroc", "average_precision", "accuracy")}
            assert found["rows"] == expected["rows"]
            seeds = predictor.task.seeds(db, "test")
        assert document("evaluate", churn, "--split", "valid", "-q")["split"] == "val"
        assert "has no split 'train'" in run("evaluate", churn, "--split", "train", code=1).stderr
        assert "auroc" in run("evaluate", churn).stdout
        rows = document("predict", churn, "-q")["predictions"]
        assert [row["customer_id"] for row in rows] == seeds.keys["customer_id"].to_pylist()
        assert [row["label"] for row in rows] == seeds.label.tolist()
        scores = predictor.scores(seeds.node, seeds.time)
        assert torch.tensor([row["prediction"] for row in rows]) == pytest.approx(scores)

    def test_predictions_in_every_format(self, churn: Path, tmp_path: Path) -> None:
        rows = document("predict", churn, "-q")["predictions"]
        for suffix in ("csv", "json", "parquet"):
            file = tmp_path / "deep" / f"p.{suffix}"
            result = run("predict", churn, "-o", file)
            assert result.stdout == ""
            assert f"{len(rows)} predictions in {file}" in result.stderr
            assert document("predict", churn, "-o", file, "-q")["file"] == str(file)
        folder = tmp_path / "deep"
        assert json.loads((folder / "p.json").read_text()) == rows
        table = pyarrow.parquet.read_table(folder / "p.parquet").to_pylist()
        assert [row["prediction"] for row in table] == [row["prediction"] for row in rows]
        with (folder / "p.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert [int(line["customer_id"]) for line in lines] == [row["customer_id"] for row in rows]
        assert [float(line["prediction"]) for line in lines] == pytest.approx([row["prediction"] for row in rows])
        run("predict", churn, "-o", tmp_path / "p.xlsx", code=2)
        (tmp_path / "file").write_text("")
        assert "cannot write" in run("predict", churn, "-o", tmp_path / "file" / "p.csv", code=1).stderr

    def test_at_a_moment(self, churn: Path, shop: Path) -> None:
        with sqlite3.connect(shop / "shop.sqlite") as connection:
            query = "SELECT customer_id FROM customer WHERE joined <= '2024-03-01' ORDER BY rowid"
            expected = [row[0] for row in connection.execute(query)]
        rows = document("predict", churn, "--time", "2024-03-01", "-q")["predictions"]
        assert [row["customer_id"] for row in rows] == expected
        some = ["--key", str(expected[3]), "--key", str(expected[0])]
        two = document("predict", churn, "--time", "2024-03-01", *some, "-q")["predictions"]
        assert [row["customer_id"] for row in two] == [expected[3], expected[0]]
        assert {row["timestamp"] for row in two} == {"2024-03-01 00:00:00"}
        newer = document("predict", churn, "--time", "2024-03-01", *some, "--graph", churn / "graph", "-q")
        assert newer["predictions"] == two
        shown = run("predict", churn, "--time", "2024-03-01").stdout
        assert re.search(rf"^ +{expected[0]} +2024-03-01", shown, re.MULTILINE)

    def test_refuses(self, churn: Path) -> None:
        run("predict", churn, "--head", "x", code=2)
        run("predict", churn, "--key", "1", code=2)
        assert "whole numbers" in run("predict", churn, "--time", "2024-03-01", "--key", "x", code=2).stderr
        assert "there is no row" in run("predict", churn, "--time", "2024-03-01", "--key", "1", code=1).stderr

    def test_bad_tasks(self, shop: Path, tmp_path: Path) -> None:
        def attempt(text: str, source: Path = shop / "shop.sqlite") -> str:
            (tmp_path / "task.toml").write_text(text)
            words = ["train", source, "-o", tmp_path / "run", "--task", tmp_path / "task.toml", "-q"]
            return run(*words, "--keys", shop / "shop.toml", code=1).stderr

        assert "lacks sql, horizon and has the unknown horizn" in attempt(
            'entity_table="a"\nkind="binary"\nhorizn="1 day"'
        )
        assert "kind: expected one of" in attempt(TASK.replace("binary", "ternary"))
        assert "lacks 'label'" in attempt(TASK.replace("AS label", "AS lable"))
        run("convert", shop / "shop.sqlite", "-o", tmp_path / "graph", "-q")
        assert "--task needs a database" in attempt(TASK, tmp_path / "graph")


def examples(name: str) -> list[str]:
    """The example lines in the help of a command."""
    (command,) = [c.callback for c in app.registered_commands if c.callback and c.callback.__name__ == name]
    return re.findall(r"^ {4,}(relgraph .+)$", command.__doc__ or "", re.MULTILINE)


@pytest.mark.slow
def test_documented_examples_run(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the commands, in one folder, as someone who types them in; only the server is stood in for."""
    monkeypatch.chdir(tmp_path)
    for file in ("shop.sqlite", "churn.toml", "shop.toml"):
        os.link(shop / file, tmp_path / file)
    people = [(f"/m/0{i}mjmr", "/people/person/profession", f"/m/job{i % 3}") for i in range(9)]
    (tmp_path / "fb15k-237").mkdir()
    for name, rows in (("train", people), ("valid", people[:2]), ("test", people[2:4])):
        (tmp_path / "fb15k-237" / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    with sqlite3.connect("shop.sqlite") as connection:
        customer = connection.execute("SELECT min(customer_id) FROM customer").fetchone()[0]
    for name in COMMANDS:
        for line in examples(name):
            words = line.replace("postgresql://localhost/shop", "sqlite:///shop.sqlite").replace("1023", str(customer))
            small = ["--customers", "150", "--epochs", "1", "--link-epochs", "1"] if line == "relgraph demo" else []
            result = run(*shlex.split(words)[1:], *small)
            assert result.stdout or " -o " in words, words
    assert (tmp_path / "demo-out" / "index.html").exists()
    assert (tmp_path / "my-demo" / "index.html").exists()

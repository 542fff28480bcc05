"""Train, evaluate and predict on statements."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import relgraph
from relgraph import kge
from relgraph.runs.folder import read_run
from tests.cli.tools import document, run


@pytest.mark.slow
def test_a_run_has_all_it_was_trained_with(links: Path, facts: Path) -> None:
    found_run = relgraph.load(links)
    scorer, parts = found_run.scorer, found_run.statements
    train, valid, test = relgraph.read_statements(facts)
    for name, expected in (("train", train), ("valid", valid), ("test", test)):
        assert [parts[name].labels(i) for i in range(len(expected))] == [
            expected.labels(i) for i in range(len(expected))
        ]
    found = document("evaluate", links, "-q")
    expected = kge.evaluate(scorer, test, [train, valid, test], train=train, progress=False)
    assert found["metrics"] == dict(expected)
    assert found["protocol"] == expected.protocol
    assert found["metrics"]["hits@10"] >= 0.5
    assert document("evaluate", links, "--split", "val", "-q")["protocol"]["num_statements"] == 4


def test_a_scorer_by_its_name(facts: Path, tmp_path: Path) -> None:
    out = tmp_path / "nfe"
    run("train", facts, "-o", out, "--scorer", "nfe1", "--set", "dim=8", "--set", "gamma=2", "--epochs", "1", "-q")
    assert document("predict", out, "--head", "city12", "--relation", "in", "-k", "1")["answers"]
    assert isinstance(kge.load_scorer(out / "model")[0], kge.NFE1)
    unknown = run("train", facts, "-o", tmp_path / "no", "--scorer", "nfe9", code=2).stderr
    assert all(name in unknown for name in kge.SCORERS)


def test_every_choice_of_the_training(facts: Path, tmp_path: Path) -> None:
    out, sizes = tmp_path / "run", ["--scorer", "complex", "--set", "dim=4", "--epochs", "2", "--lr", "0.1"]
    words = ["--loss", "ce", "--loss-set", "answers=all", "--loss-set", "negatives=3", "--label-smoothing", "0.1"]
    words += ["--n3", "0.01", "--fit", "optimizer=adagrad", "--fit", "warmup=1", "--fit", 'positions=["tail"]']
    run("train", facts, "-o", out, *sizes, *words, "-q")
    train, valid, _ = relgraph.read_statements(facts)
    expected = kge.ComplEx(train.num_entities, train.num_relations, dim=4)
    kge.fit(
        expected, train, valid=valid, epochs=2, lr=0.1, loss=kge.CE(0.1, "all", 3), regularizer=kge.N3(0.01),
        optimizer="adagrad", warmup=1, positions=("tail",), progress=False,
    )  # fmt: skip
    found = kge.load_scorer(out / "model")[0]
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--loss", "hinge"], "'hinge' is not one of"),
        (["--loss", "ce", "--loss-set", "margin=1"], "CE has the choices label_smoothing, answers, negatives"),
        (["--loss", "ce", "--loss-set", "answers=some"], "answers: expected 'all' or 'one', got 'some'"),
        (["--loss-set", "answers"], "expected NAME=VALUE"),
        (["--n3", "0"], "expected a weight above 0"),
        (["--fit", "lrr=1"], "'lrr' is none of optimizer, weight_decay, schedule"),
        (["--fit", "seed=1"], "'seed' is none of"),
        (["--task", "task.toml", "--n3", "1"], "is for link prediction"),
    ],
)
def test_choices_that_there_are_not(facts: Path, tmp_path: Path, words: list[str], said: str) -> None:
    error = run("train", facts, "-o", tmp_path / "run", *words, code=2).stderr
    assert said in " ".join(error.replace("│", " ").split())


def test_evaluate_text(links: Path) -> None:
    lines = run("evaluate", links).stdout.splitlines()
    head = next(line for line in lines if "optimistic" in line)
    assert head.split() == ["realistic", "optimistic", "pessimistic", "head", "tail"]
    assert any(line.split()[0] == "mrr" and len(line.split()) == 6 for line in lines if line.strip())


def test_evaluate_by_groups(links: Path) -> None:
    words = ["--filter", "strict", "--positions", "all", "--ties", "pessimistic", "--unseen", "drop"]
    found = document("evaluate", links, *words, "--by", "relation", "-q")
    assert found["protocol"]["filter"] == "strict"
    assert found["metrics"]["mrr"] == found["metrics"]["tail.mrr"] / 2 + found["metrics"]["head.mrr"] / 2
    assert found["by"] == "relation"
    assert found["groups"] == {"in": {"num_statements": 4, **found["metrics"]}}
    lines = run("evaluate", links, "--by", "category").stdout.splitlines()
    assert next(line for line in lines if line.split()[:1] == ["N-1"]).split()[1] == "4"
    raw = document("evaluate", links, "--filter", "none", "-q")
    assert raw["protocol"]["num_known"] == []


def test_predict(links: Path, facts: Path) -> None:
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


@pytest.mark.slow
def test_predict_refuses(links: Path) -> None:
    assert "give exactly two" in run("predict", links, "--head", "city1", code=2).stderr
    run("predict", links, "--time", "2024-01-01", code=2)
    asked = ["--head", "city1", "--relation", "in"]
    assert "expected REL=VALUE" in run("predict", links, *asked, "--qualifier", "in", code=2).stderr
    assert "give exactly two" in run("predict", links, *asked, "--qualifier", "in=?", code=2).stderr
    assert "sees the main triple only" in run("predict", links, *asked, "--qualifier", "in=city2", code=1).stderr
    result = run("predict", links, "--head", "cty1", "--relation", "in", code=1)
    assert "'cty1' is not in the vocabulary" in result.stderr
    assert "has no split" in run("evaluate", without_valid(links), "--split", "valid", code=1).stderr


@pytest.mark.slow
def test_from_a_graph_and_from_a_database(shop: Path, tmp_path: Path) -> None:
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


def test_other_settings_are_refused_until_restart(facts: Path, links: Path, tmp_path: Path) -> None:
    words = ["train", facts, "-o", tmp_path / "run", "--scorer", "distmult", "--epochs", "1", "-q", "--set"]
    run(*words, "dim=4")
    result = run(*words, "dim=8", code=1)
    assert "--restart" in result.stderr
    run(*words, "dim=8", "--restart")
    assert "'dims'" in run(*words, "dims=8", "--restart", code=2).stderr


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(facts: Path, tmp_path: Path) -> None:
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

"""A small shop, a few facts, and a run on each; trained once for all tests of the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES
from tests.cli.tools import ROWS, TASK, run


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    generate_shop(folder / "shop.sqlite", customers=60, products=20)
    (folder / "churn.toml").write_text(TASK)
    times = "\n".join(f'{table} = "{column}"' for table, column in SHOP_TIMES.items())
    (folder / "shop.toml").write_text(f"[times]\n{times}\n")
    return folder


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facts")
    rows = [(f"city{i}", "in", f"land{i % 8}") for i in range(40)] + [
        (f"land{i % 8}", "has", f"city{i}") for i in range(40)
    ]
    for name, part in (("train", rows[8:]), ("valid", rows[:4]), ("test", rows[4:8])):
        (folder / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in part))
    return folder


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def churn(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "churn"
    task = ["--task", shop / "churn.toml", "--keys", shop / "shop.toml"]
    run("train", shop / "shop.sqlite", "-o", out, *task, *ROWS, "--epochs", "2", "-q")
    return out

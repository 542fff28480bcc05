"""Two processes that train one model together end where one alone does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from relgraph.errors import BackendError
from relgraph.kge import Embeddings
from relgraph.training.engine import _divide
from relgraph.training.group import Group
from tests.training.toy_job import ToyJob

ROOT = Path(__file__).resolve().parents[2]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


# added to every target alike they move no softmax: their gradient is rounding alone, which Adam makes steps of
SHIFTS = ("key.bias", "gnn.layers.1.norms.1.bias")


def run(launcher: list[str], folder: Path, *which: str) -> str:
    command = [*launcher, "-m", "tests.training.together", str(folder), *which]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    """Also where the last batch has a row for one of them only, with clipping, a penalty and validation; and resumed.

    That the resumed training ends as the other does is asserted in both processes.
    """
    which = ["links", "sampled", "softmax", "rows", "towers", "inside", "sharded"]
    run([sys.executable], tmp_path, *which)
    said = run(TOGETHER, tmp_path, *which, "resume")
    for name in which:
        one, two, other = (json.loads((tmp_path / f"{name}-{rank}").read_text()) for rank in ("alone", "0", "1"))
        assert two == other
        for parameter, value in one["parameters"].items():
            if name in ("towers", "inside") and parameter in SHIFTS:
                continue
            found = torch.tensor(two["parameters"][parameter])
            torch.testing.assert_close(found, torch.tensor(value), rtol=1e-3, atol=1e-4)
        assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
        if name == "sharded":  # rows in files keep the last epoch, not the best
            assert one["best"] is two["best"] is None
        else:
            assert two["best"] == pytest.approx(one["best"], rel=1e-3)
    assert said.count("epoch 4/4") == 3, "links, sampled and softmax, reported by one process each"
    assert (tmp_path / "run" / "checkpoint.json").exists()
    # what two processes keep in two shards, one opens alone
    rows = Embeddings.sharded(tmp_path / "shards-2" / "whole" / "rows", 30, 8)
    two = json.loads((tmp_path / "sharded-0").read_text())["parameters"]
    assert torch.equal(rows.weight, torch.tensor(two["entity"]))


def test_a_job_without_shares_is_refused() -> None:
    with pytest.raises(BackendError, match="ToyJob trains in one process: start it with python instead of torchrun"):
        _divide(ToyJob(), Group(0, 2, torch.device("cpu")))


def test_sparse_gradients_are_refused() -> None:
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(BackendError, match="train this model in one process"):
        Group(0, 2, torch.device("cpu")).mean(list(table.parameters()), torch.zeros(()), 1)

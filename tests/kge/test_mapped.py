"""Tables on disk: the same training as in memory, crash safe, and without memory of the table's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.errors import AdapterError, ProtocolError, ShapeError
from relgraph.kge import CE, DistMult, Embeddings, Sampled, evaluate, extend, fit, load_scorer, save_scorer
from relgraph.kge.row_store import RowStore
from tests.kge.test_kge_training import N, ring, twins

OPTIONS: dict[str, Any] = {
    "epochs": 3, "batch_size": 8, "loss": Sampled(6, temperature=1.0), "optimizer": "adagrad", "lr": 0.1, "decay": 0.9,
    "progress": False,
}  # fmt: skip


def on_disk(folder: Path, num: int = N) -> DistMult:
    return DistMult(num, 2, dim=4, entities=Embeddings.mapped(folder / "table", num, 4, seed=1))


def state(scorer: DistMult) -> list[Tensor]:
    return [scorer.entity.weight.detach().clone(), scorer.entity.store.sums.clone(), scorer.relation.detach().clone()]  # type: ignore[operator, union-attr]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("loss", [OPTIONS["loss"], CE(answers="all", negatives=3)])
def test_the_result_is_that_of_a_table_in_memory(tmp_path: Path, loss: Any) -> None:
    options = {**OPTIONS, "loss": loss}
    mapped = on_disk(tmp_path)
    memory = DistMult(N, 2, dim=4, entities=Embeddings(N, 4, weight=mapped.entity.weight.clone(), sparse=True))
    dense = DistMult(N, 2, dim=4, entities=Embeddings(N, 4, weight=mapped.entity.weight.clone()))
    before = mapped.entity.weight.clone()
    fit(mapped, ring(), checkpoint=tmp_path / "checkpoint", valid=ring(), **options)
    fit(memory, ring(), **options)
    fit(dense, ring(), **options)
    assert not torch.equal(before, mapped.entity.weight)
    for other in (memory, dense):
        torch.testing.assert_close(mapped.entity.weight, other.entity.weight.detach())
        torch.testing.assert_close(mapped.relation, other.relation)
    again = Embeddings.mapped(tmp_path / "table", N, 4)
    assert torch.equal(again.weight, mapped.entity.weight)


@pytest.mark.slow
def test_it_learns_and_is_saved_by_its_path(tmp_path: Path) -> None:
    train = twins()
    scorer = on_disk(tmp_path, 16)
    fit(scorer, train, checkpoint=tmp_path / "checkpoint", **{**OPTIONS, "epochs": 40, "lr": 0.3, "decay": 1.0})
    metrics = evaluate(scorer, train, [train], progress=False)
    assert metrics["mrr"] > 0.7
    save_scorer(scorer, train.vocabulary, tmp_path / "model")
    loaded, _, _ = load_scorer(tmp_path / "model")
    assert evaluate(loaded, train, [train], progress=False)["mrr"] == metrics["mrr"]


class CrashError(Exception):
    pass


class Crashing(Sampled):
    """Stops the training in a batch, as a kill would: nothing is written afterwards."""

    left = 0

    def __call__(self, scorer: Any, batch: Any) -> Tensor:
        Crashing.left -= 1
        if Crashing.left < 0:
            raise CrashError
        return super().__call__(scorer, batch)


@pytest.mark.parametrize("crashes", [[0], [5], [6], [7, 9], [2, 3, 6, 1]])
@pytest.mark.parametrize("every", [None, 2])
def test_an_interrupted_training_ends_like_an_undisturbed_one(
    crashes: list[int], every: int | None, tmp_path: Path
) -> None:
    whole = on_disk(tmp_path / "whole")
    options = {**OPTIONS, "loss": Crashing(6, temperature=1.0), "checkpoint_every": every}
    Crashing.left = 10**6
    fit(whole, ring(), checkpoint=tmp_path / "whole" / "checkpoint", **options)
    folder = tmp_path / "parts"
    for steps in crashes:
        Crashing.left = steps
        with pytest.raises(CrashError):
            fit(on_disk(folder), ring(), checkpoint=folder / "checkpoint", **options)
    Crashing.left = 10**6
    again = on_disk(folder)
    fit(again, ring(), checkpoint=folder / "checkpoint", **options)
    assert same(state(again), state(whole))


def fill(rows: Tensor) -> None:
    rows.copy_(torch.arange(rows.numel()).view_as(rows))


def changed(store: RowStore, *rows: int) -> None:
    index = torch.tensor(rows)
    store.update(index, torch.ones(len(rows), store.dim), 0.5)


def contents(store: RowStore) -> list[Tensor]:
    return [store.rows.clone(), store.sums.clone()]


class TestStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> RowStore:
        return RowStore.create(tmp_path / "t", 7, 3, fill)

    def test_opening_undoes_what_came_after_the_last_point(self, store: RowStore) -> None:
        start = contents(store)
        changed(store, 1, 4, 1)
        changed(store, 4)
        assert same(contents(RowStore(store.path)), start)
        changed(store := RowStore(store.path), 2)
        store.stage()
        point = contents(store)
        changed(store, 2, 6)
        assert same(contents(RowStore(store.path)), point)

    def test_a_point_that_no_checkpoint_got_can_be_undone(self, store: RowStore) -> None:
        changed(store, 1)
        first = store.stage()
        store.commit()
        kept = contents(store)
        changed(store, 1, 2)
        second = store.stage()
        later = contents(store)
        one = RowStore(store.path)
        assert same(contents(one), later)
        one.restore(first)
        assert same(contents(one), kept)
        with pytest.raises(AdapterError, match=r"no longer what the checkpoint saw \(expected point 2"):
            one.restore(second)

    def test_a_committed_point_is_the_only_one(self, store: RowStore) -> None:
        first = store.stage()
        store.commit()
        changed(store, 1)
        second = store.stage()
        store.commit()
        kept = contents(store)
        changed(store, 5)
        again = RowStore(store.path)
        again.restore(second)
        assert same(contents(again), kept)
        with pytest.raises(AdapterError, match="trained on elsewhere or created anew"):
            again.restore(first)

    @pytest.mark.parametrize("cut", range(1, 40, 5))
    def test_a_torn_record_is_one_whose_step_never_came(self, store: RowStore, cut: int) -> None:
        changed(store, 3)
        whole = contents(store)
        journal = store.path / "journal.bin"
        length = journal.stat().st_size
        changed(store, 4, 5)
        torn = journal.read_bytes()[: length + cut]
        for part, values in zip((store.rows, store.sums), whole, strict=True):
            part.copy_(values)
        journal.write_bytes(torn)
        expected = torch.arange(21.0).view(7, 3)
        again = RowStore(store.path)
        assert torch.equal(again.rows, expected)
        changed(again, 6)
        assert torch.equal(RowStore(store.path).rows, expected)

    def test_another_boot_is_refused_unless_all_was_flushed(
        self, store: RowStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = sys.modules[RowStore.__module__]
        changed(store, 3)
        store.stage()
        point = contents(store)
        monkeypatch.setattr(module, "_boot_id", lambda: "x" * 36)
        assert same(contents(RowStore(store.path)), point)
        monkeypatch.undo()
        changed(store, 3)
        monkeypatch.setattr(module, "_boot_id", lambda: "x" * 36)
        with pytest.raises(AdapterError, match="was being trained when the machine stopped"):
            RowStore(store.path)

    def test_damage_is_said(self, store: RowStore, tmp_path: Path) -> None:
        other = RowStore.create(tmp_path / "other", 7, 3, fill)
        with pytest.raises(AdapterError, match="trained on elsewhere or created anew"):
            other.restore(store.stage())
        with pytest.raises(ShapeError, match=r"expected a table of 8 rows of length 3, .* holds 7 of 3"):
            Embeddings.mapped(store.path, 8, 3)
        os.truncate(store.path / "rows.f32", 80)
        with pytest.raises(AdapterError, match=r"is damaged: expected two files of 84 bytes.*got \[80, 84\]"):
            RowStore(store.path)
        (other.path / "table.json").unlink()
        with pytest.raises(AdapterError, match="holds files but no whole table"):
            Embeddings.mapped(other.path, 7, 3)
        (other.path / "table.json").write_text(json.dumps({"num": 7}))
        with pytest.raises(AdapterError, match="holds no whole table"):
            RowStore(other.path)


def test_what_does_not_go_with_a_table_on_disk(tmp_path: Path) -> None:
    scorer = on_disk(tmp_path)
    where = {"checkpoint": tmp_path / "checkpoint"}
    with pytest.raises(ProtocolError, match="loss: sparse tables are trained by sampled negatives"):
        fit(scorer, ring(), **where, **{**OPTIONS, "loss": "ce"})
    with pytest.raises(ProtocolError, match="is trained with optimizer='adagrad'"):
        fit(scorer, ring(), **where, **{**OPTIONS, "optimizer": "adam"})
    with pytest.raises(ProtocolError, match="is trained with a folder to resume from"):
        fit(scorer, ring(), **OPTIONS)
    with pytest.raises(ProtocolError, match=r"got clip_norm=1\.0"):
        fit(scorer, ring(), clip_norm=1.0, **where, **OPTIONS)
    with pytest.raises(ProtocolError, match="patience needs monitor"):
        fit(scorer, ring(), valid=ring(), patience=1, **where, **OPTIONS)
    with pytest.raises(ProtocolError, match="a sparse table has gradients of looked-up rows only"):
        scorer.candidates()
    with pytest.raises(ProtocolError, match="a table on disk does not grow"):
        extend(scorer, ring().vocabulary, ring().vocabulary)


_PROGRAM = """
import sys, torch
from relgraph.data.statements import Statements, Vocabulary
from relgraph.kge import CE, DistMult, Embeddings, Sampled, fit

class Numbers:
    def __init__(self, num): self.num = num
    def __len__(self): return self.num
    def __getitem__(self, i): return str(range(self.num)[i])

def anonymous():
    status = open("/proc/self/status").read()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024

class Watch:
    most = 0
    def __call__(self, scorer, batch):
        Watch.most = max(Watch.most, anonymous())
        return torch.zeros(())
    def settings(self): return {}

def train(folder, num):
    g = torch.Generator().manual_seed(0)
    head, tail = torch.randint(num, (2, 2000), generator=g)
    train = Statements(head, head % 2, tail, Vocabulary(Numbers(num), ["a", "b"]))
    scorer = DistMult(num, 2, dim=64, entities=Embeddings.mapped(folder + "/table", num, 64))
    fit(scorer, train, epochs=1, batch_size=500, loss=Sampled(50), optimizer="adagrad", regularizer=Watch(),
        checkpoint=folder + "/checkpoint", progress=False)

for name, num in (("small", 5000), ("middle", 400_000)):  # whatever is imported or compiled on the way
    train(sys.argv[1] + "/" + name, num)
before, Watch.most = anonymous(), 0
train(sys.argv[1] + "/large", 800_000)
print(max(Watch.most, anonymous()) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 800_000 * 64 * 4 / 5  # a fifth of the rows alone, which are 205 MB

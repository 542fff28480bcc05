"""Rows shared among processes: here of one process that owns all shards; several are in tests/training/together.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from relgraph.errors import AdapterError, ProtocolError, ShapeError
from relgraph.kge import DistMult, Embeddings, Sampled, evaluate, extend, fit, load_scorer, save_scorer
from tests.kge.test_mapped import OPTIONS, N, ring


def on_shards(path: Path, shards: int = 3) -> DistMult:
    return DistMult(N, 2, dim=4, entities=Embeddings.sharded(path, N, 4, shards=shards))


def test_the_result_is_that_of_a_table_in_memory(tmp_path: Path) -> None:
    sharded = on_shards(tmp_path / "rows")
    start = sharded.entity.weight.clone()
    memory = DistMult(N, 2, dim=4, entities=Embeddings(N, 4, weight=start.clone(), sparse=True))
    fit(sharded, ring(), checkpoint=tmp_path / "checkpoint", valid=ring(), **OPTIONS)
    fit(memory, ring(), **OPTIONS)
    assert not torch.equal(start, sharded.entity.weight)
    torch.testing.assert_close(sharded.entity.weight, memory.entity.weight.detach())
    torch.testing.assert_close(sharded.relation, memory.relation)
    index = torch.tensor([[3, 0], [N - 1, 3]])
    assert torch.equal(sharded.entity(index), sharded.entity.weight[index])


def test_shards_are_as_even_as_can_be_and_stay_as_they_are(tmp_path: Path) -> None:
    table = Embeddings.sharded(tmp_path, 10, 2, shards=4, seed=3)
    names = sorted(path.name for path in tmp_path.glob("rows-*"))
    assert names == ["rows-0-2", "rows-2-5", "rows-5-7", "rows-7-10"]
    assert torch.equal(Embeddings.sharded(tmp_path, 10, 2).weight, table.weight)
    assert 0.2 < table.weight.std() < 0.9, "Xavier normal: (2 / 12) ** 0.5"
    assert torch.unique(table.weight).numel() == 20, "no shard repeats another"
    with pytest.raises(ShapeError, match=r"expected 4, as the table .* has, got 2"):
        Embeddings.sharded(tmp_path, 10, 2, shards=2)
    with pytest.raises(ShapeError, match="expected a table of"):
        Embeddings.sharded(tmp_path, 10, 3)


def test_a_scorer_is_saved_by_the_folder(tmp_path: Path) -> None:
    train = ring()
    scorer = on_shards(tmp_path / "rows")
    fit(scorer, train, checkpoint=tmp_path / "checkpoint", **OPTIONS)
    save_scorer(scorer, train.vocabulary, tmp_path / "model")
    loaded, _, _ = load_scorer(tmp_path / "model")
    found, expected = (evaluate(s, train, [train], progress=False) for s in (loaded, scorer))
    assert dict(found) == dict(expected)


@pytest.mark.parametrize("shards", [0, -1, 1.5, True, N + 1])
def test_impossible_numbers_of_shards(tmp_path: Path, shards: Any) -> None:
    with pytest.raises(ShapeError, match="shards: expected"):
        Embeddings.sharded(tmp_path / "new", N, 4, shards=shards)
    assert not any(tmp_path.glob("new/rows-*"))


def test_fewer_shards_than_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "1"), ("WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ShapeError, match="one a process or more"):
        Embeddings.sharded(tmp_path / "two", N, 4, shards=2)
    table = Embeddings.sharded(tmp_path / "five", N, 4, shards=5)
    assert [*table.stores] == [1, 4], "shard i belongs to process i % 3"


def test_what_does_not_go_with_shards(tmp_path: Path) -> None:
    scorer = on_shards(tmp_path / "rows")
    with pytest.raises(ProtocolError, match="sampled negatives"):
        fit(scorer, ring(), loss="ce", optimizer="adagrad", checkpoint=tmp_path / "c", epochs=1, progress=False)
    with pytest.raises(ProtocolError, match="a folder to resume from"):
        fit(scorer, ring(), loss=Sampled(2), optimizer="adagrad", epochs=1, progress=False)
    with pytest.raises(ProtocolError, match="gradients of looked-up rows only"):
        scorer.candidates()
    with pytest.raises(ProtocolError):
        extend(scorer, ring().vocabulary, ring())
    (tmp_path / "rows" / "shards.json").write_text("{")
    with pytest.raises(AdapterError, match=r"shards\.json cannot be read"):
        on_shards(tmp_path / "rows")

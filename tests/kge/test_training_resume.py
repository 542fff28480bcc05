"""Every way of training a scorer, stopped and gone on with, ends bit by bit like one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import StepLR

from relgraph.errors import ProtocolError
from relgraph.kge import BCE, CE, N3, DistMult, Embeddings, LowFER, Sampled, Scorer, fit
from tests.kge.test_kge_training import N, ring

WAYS: dict[str, dict[str, Any]] = {
    "ce": {"loss": CE(0.1), "regularizer": N3(0.01), "optimizer": "adagrad"},
    "ce, all answers": {"loss": CE(answers="all"), "optimizer": "adamw", "warmup": 2, "schedule": "cosine"},
    "1-vs-all": {"loss": "1-vs-all", "optimizer": "sgd", "schedule": "exponential", "decay": 0.9, "clip_norm": 0.5},
    "bce": {"loss": BCE(0.1, "eps/N"), "schedule": "plateau", "decay": 0.5, "valid": ring(), "validate_every": 1},
    "sampled": {"loss": Sampled(5, "bernoulli", 1.0, shared=False, mask_known=True), "decay": 0.9, "warmup": 1},
    "sparse Adagrad": {"loss": Sampled(5), "optimizer": "adagrad", "sparse": True, "regularizer": N3(0.01)},
    "sparse Adam": {"loss": Sampled(5), "optimizer": "adam", "sparse": True, "decay": 0.9},
    "own": {"optimizer": lambda p: torch.optim.RMSprop(p, 0.01), "schedule": lambda made: StepLR(made, 2)},
    "bf16": {"loss": "ce", "precision": "bf16-mixed"},
}


class CrashError(Exception):
    pass


class Crash:
    """A regularizer that adds another one, and fails in one batch."""

    def __init__(self, other: N3 | None, left: int) -> None:
        self.other, self.left = other, left

    def __call__(self, scorer: Scorer, batch: Any) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise CrashError
        return torch.zeros(()) if self.other is None else self.other(scorer, batch)

    def settings(self) -> dict[str, Any]:
        return {"other": None if self.other is None else self.other.settings()}


def train(way: dict[str, Any], left: int, **more: Any) -> tuple[Scorer, Any]:
    options = {"epochs": 4, "batch_size": 8, "lr": 0.05, "progress": False, **way, **more}
    sparse = options.pop("sparse", False)
    scorer: Scorer = LowFER(N, 2, dim=8, rank=2)
    if sparse:
        scorer = DistMult(N, 2, dim=4, dropout=0.2, entities=Embeddings(N, 4, sparse=True))
    options["regularizer"] = Crash(options.get("regularizer"), left)
    return scorer, fit(scorer, ring(), **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_resumed_is_undisturbed(name: str, tmp_path: Path) -> None:
    whole, expected = train(WAYS[name], 10**6)
    for left in (4, 7):
        with pytest.raises(CrashError):
            train(WAYS[name], left, checkpoint=tmp_path, checkpoint_every=3)
    again, history = train(WAYS[name], 10**6, checkpoint=tmp_path, checkpoint_every=3)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert history.curve("loss") == expected.curve("loss")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": CE()}, "settings.loss.label_smoothing was 0.1, now 0.0"),
        ({"loss": BCE(0.1)}, 'settings.loss.kind was "CE", now "BCE"'),
        ({"regularizer": None}, "settings.regularizer"),
        ({"optimizer": "adam"}, 'optimizer.name was "Adagrad", now "Adam"'),
        ({"warmup": 1}, "scheduler was null"),
    ],
)
def test_another_way_is_another_training(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "checkpoint": tmp_path, "progress": False}
    fit(DistMult(N, 2, dim=4), ring(), **WAYS["ce"], **options)
    with pytest.raises(ProtocolError, match=message):
        fit(DistMult(N, 2, dim=4), ring(), **{**WAYS["ce"], **change}, **options)


def test_a_sparse_table_trains_like_a_dense_one() -> None:
    options: dict[str, Any] = {"loss": Sampled(5), "optimizer": "adagrad", "epochs": 3, "progress": False, "lr": 0.1}
    tables = [Embeddings(N, 4, sparse=sparse) for sparse in (False, True)]
    for table in tables:
        fit(DistMult(N, 2, dim=4, entities=table), ring(), batch_size=8, **options)
    torch.testing.assert_close(tables[0].weight, tables[1].weight)


def test_what_does_not_go_with_sparse_tables() -> None:
    scorer = DistMult(N, 2, dim=4, entities=Embeddings(N, 4, sparse=True))
    with pytest.raises(ProtocolError, match=r"loss: sparse tables are trained by sampled negatives, .* got BCE"):
        fit(scorer, ring(), progress=False)
    with pytest.raises(ProtocolError, match="'adamw' has no form that steps touched rows only"):
        fit(scorer, ring(), loss="sampled", optimizer="adamw", progress=False)

    class Whole(DistMult):
        candidates_at = Scorer.candidates_at

    with pytest.raises(ProtocolError, match="Whole has no candidates_at of its own"):
        fit(Whole(N, 2, dim=4, entities=Embeddings(N, 4, sparse=True)), ring(), loss="sampled", progress=False)


def test_clipping_reaches_sparse_gradients() -> None:
    moved = []
    for clip in (None, 1e-3):
        scorer = DistMult(N, 2, dim=4, entities=Embeddings(N, 4, sparse=True))
        before = scorer.entity.weight.detach().clone()
        options: dict[str, Any] = {"loss": Sampled(5), "optimizer": "sgd", "lr": 1.0, "clip_norm": clip}
        fit(scorer, ring(), epochs=1, batch_size=1000, progress=False, **options)
        moved.append(float((scorer.entity.weight.detach() - before).norm()))
    assert moved[1] <= 1e-3 < moved[0]

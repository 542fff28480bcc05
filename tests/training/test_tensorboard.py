"""What a training writes for TensorBoard, and what it says without it."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from relgraph.errors import BackendError
from relgraph.training import fit
from tests.training.toy_job import ToyJob


class Writer:
    """Takes the place of ``SummaryWriter``, as it is documented."""

    made: list[Writer] = []  # noqa: RUF012

    def __init__(self, log_dir: str, purge_step: int) -> None:
        self.log_dir, self.purge_step, self.closed = log_dir, purge_step, False
        self.scalars: dict[str, dict[int, float]] = defaultdict(dict)
        Writer.made.append(self)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag][step] = value

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def train(**more: Any) -> Any:
    return fit(ToyJob(), lr=0.01, monitor="accuracy", validate_every=2, progress=False, accelerator="cpu", **more)


def test_every_epoch_is_written_and_a_resumed_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    Writer.made = []
    board, checkpoint = tmp_path / "board", tmp_path / "checkpoint"
    train(epochs=2, checkpoint=checkpoint, tensorboard=board)
    history = train(epochs=4, checkpoint=checkpoint, tensorboard=board)
    assert [(w.log_dir, w.purge_step, w.closed) for w in Writer.made] == [(str(board), 1, True), (str(board), 3, True)]
    for name in ("loss", "lr", "seconds"):
        written = {**Writer.made[0].scalars[f"train/{name}"], **Writer.made[1].scalars[f"train/{name}"]}
        assert written == dict(zip(*history.curve(name), strict=True))
    assert dict(Writer.made[1].scalars["valid/accuracy"]) == {4: history.epochs[3]["metrics"]["accuracy"]}


def test_missing_tensorboard_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BackendError, match=r"cannot be imported .*pip install 'relgraph\[tensorboard\]'"):
        train(epochs=1, tensorboard=tmp_path)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = train(epochs=3, tensorboard=tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(history.curve("loss")[1])

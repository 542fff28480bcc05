"""What a training tells TensorBoard and other loggers, and what it says without them."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lightning_fabric.loggers import Logger

from relgraph.errors import BackendError, ProtocolError
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


class Recorder(Logger):
    """A logger as lightning.fabric wants one."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        self.settings: dict[str, Any] = {}
        self.ended: list[str] = []

    @property
    def name(self) -> str:
        return "recorder"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows[step or 0] = metrics

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.settings = dict(params)

    def finalize(self, status: str) -> None:
        self.ended.append(status)


def test_any_logger_of_fabric_is_told(tmp_path: Path) -> None:
    recorder = Recorder()
    history = train(epochs=3, logger=[recorder, f"csv:{tmp_path}"], settings={"batch": 7})
    assert recorder.settings["batch"] == 7
    assert recorder.settings["name"] == "Adam"
    assert recorder.ended == ["success"]
    for row in history.epochs:
        told = recorder.rows[row["epoch"]]
        assert told["train/loss"] == row["loss"]
        assert {n: v for n, v in told.items() if n.startswith("valid/")} == {
            f"valid/{n}": v for n, v in row["metrics"].items()
        }
    (file,) = tmp_path.rglob("metrics.csv")
    with file.open() as source:
        rows = list(csv.DictReader(source))
    assert [float(row["train/loss"]) for row in rows] == history.curve("loss")[1]
    assert [float(row["valid/accuracy"]) for row in rows if row["valid/accuracy"]] == history.curve("accuracy")[1]


@pytest.mark.parametrize("wrong", ["csv", "csv:", "nonsense:x", 3, ["csv:x", None]])
def test_what_is_no_logger_is_refused(wrong: Any) -> None:
    with pytest.raises(ProtocolError, match="expected a logger of lightning"):
        train(epochs=1, logger=wrong)


@pytest.mark.parametrize(("text", "package"), [("mlflow:test", "mlflow"), ("wandb:test", "wandb")])
def test_missing_loggers_name_what_to_install(text: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "lightning",
        "lightning.pytorch",
        "lightning.pytorch.loggers",
        "pytorch_lightning",
        "pytorch_lightning.loggers",
    ):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=f"pip install lightning {package}"):
        train(epochs=1, logger=text)


def test_mlflow_and_wandb_are_made_by_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}

    def maker(name: str) -> Any:
        def make(**options: Any) -> Recorder:
            made[name] = options
            return Recorder()

        return make

    loggers = ModuleType("lightning.pytorch.loggers")
    loggers.MLFlowLogger, loggers.WandbLogger = maker("mlflow"), maker("wandb")  # type: ignore[attr-defined]
    for name in ("lightning", "lightning.pytorch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "lightning.pytorch.loggers", loggers)
    train(epochs=1, logger=["mlflow:first", "wandb:second"])
    assert made == {"mlflow": {"experiment_name": "first"}, "wandb": {"project": "second"}}

"""A training that was stopped, interrupted or killed ends bit by bit as one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from relgraph.data.folder import read_folder
from relgraph.errors import AdapterError, ProtocolError
from relgraph.training import History, fit
from tests.training.toy_job import ToyJob, same

EPOCHS = 5


class CrashError(Exception):
    """Thrown by a job in the middle of an epoch, as a crash."""


class Crashing(ToyJob):
    """Fails in one step of one epoch, in the loss."""

    def __init__(self, crash: tuple[int, int]) -> None:
        super().__init__()
        self.crash = crash
        self.seen = 0

    def loss(self, batch: Any) -> torch.Tensor:
        epoch, start = self.started[-1]
        self.seen = start if self.seen_epoch != epoch else self.seen
        self.seen_epoch = epoch
        if (epoch, self.seen) == self.crash:
            raise CrashError
        self.seen += 1
        return super().loss(batch)

    seen_epoch = -1


def train(job: ToyJob, **arguments: Any) -> History:
    defaults = {"epochs": EPOCHS, "lr": 0.01, "monitor": "accuracy", "progress": False, "accelerator": "cpu"}
    return fit(job, **(defaults | arguments))


def rows(history: History) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.epochs]


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, 0.01),
    "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, 0.01),
    "fused": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
    "Adamax": lambda p: torch.optim.Adamax(p, 0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, 0.01),
    "RAdam": lambda p: torch.optim.RAdam(p, 0.01),
    "ASGD": lambda p: torch.optim.ASGD(p, 0.01, t0=3),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 0.01, centered=True, momentum=0.5),
    "Rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "groups": lambda p: torch.optim.Adam([{"params": [q], "lr": 0.01 / (i + 1)} for i, q in enumerate(p)]),
}

lr = torch.optim.lr_scheduler
SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], lr.LRScheduler]] = {
    "StepLR": lambda o: lr.StepLR(o, 2),
    "MultiStepLR": lambda o: lr.MultiStepLR(o, [1, 3, 3]),
    "LambdaLR": lambda o: lr.LambdaLR(o, lambda epoch: 0.8**epoch),
    "Cosine": lambda o: lr.CosineAnnealingLR(o, EPOCHS),
    "OneCycle": lambda o: lr.OneCycleLR(o, 0.05, total_steps=2 * EPOCHS),
    "Plateau": lambda o: lr.ReduceLROnPlateau(o, patience=0),
    "Sequential": lambda o: lr.SequentialLR(o, [lr.LinearLR(o), lr.ExponentialLR(o, 0.5)], [2]),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes(name: str, tmp_path: Path) -> None:
    resumes(tmp_path, optimizer=OPTIMIZERS[name])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_resumes(name: str, tmp_path: Path) -> None:
    resumes(tmp_path, scheduler=SCHEDULERS[name])


def resumes(folder: Path, **arguments: Any) -> None:
    undisturbed = ToyJob()
    expected = train(undisturbed, **arguments)
    for crash in ((0, 1), (1, 3), (3, 0)):
        with pytest.raises(CrashError):
            train(Crashing(crash), checkpoint=folder, checkpoint_every=2, **arguments)
    job = ToyJob()
    history = train(job, checkpoint=folder, checkpoint_every=2, **arguments)
    assert same(job.model, undisturbed.model)
    assert rows(history) == rows(expected)
    assert history.best_epoch == expected.best_epoch


@pytest.mark.parametrize("crash", [(epoch, step) for epoch in (0, 2) for step in range(6)])
@pytest.mark.parametrize("every", [None, 1, 4])
def test_every_place_resumes(crash: tuple[int, int], every: int | None, tmp_path: Path) -> None:
    undisturbed = ToyJob()
    train(undisturbed, epochs=4)
    with pytest.raises(CrashError):
        train(Crashing(crash), epochs=4, checkpoint=tmp_path, checkpoint_every=every)
    job = ToyJob()
    history = train(job, epochs=4, checkpoint=tmp_path, checkpoint_every=every)
    assert same(job.model, undisturbed.model)
    assert len(history) == 4
    step = 0 if every is None else crash[1] // every * every
    assert job.started[0] == (crash[0], step)  # nothing is done twice that the checkpoint holds


def test_checkpoints_do_not_change_the_training(tmp_path: Path) -> None:
    first, second = ToyJob(), ToyJob()
    train(first)
    train(second, checkpoint=tmp_path, checkpoint_every=1)
    assert same(first.model, second.model)


def test_more_epochs_later(tmp_path: Path) -> None:
    whole, parts = ToyJob(), ToyJob()
    expected = train(whole, epochs=6)
    for epochs in (1, 4, 4, 6):
        history = train(parts, epochs=epochs, checkpoint=tmp_path)
        assert len(history) == epochs
    assert same(whole.model, parts.model)
    assert rows(history) == rows(expected)
    again = ToyJob()
    assert rows(train(again, epochs=6, checkpoint=tmp_path)) == rows(expected)
    assert same(whole.model, again.model)
    assert again.started == []
    written = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert written == list(history.epochs)


def test_patience_survives_a_resume(tmp_path: Path) -> None:
    class Worse(ToyJob):
        def validate(self) -> dict[str, float]:
            return {"accuracy": 1.0 / (1 + self.started[-1][0])}

    for epochs, stopped in ((2, "epochs"), (10, "patience"), (10, "patience")):
        history = train(Worse(), epochs=epochs, patience=3, checkpoint=tmp_path)
        assert (history.stopped, history.best_epoch) == (stopped, 1)
    assert len(history) == 4
    assert len(train(Worse(), epochs=10, patience=5, checkpoint=tmp_path)) == 6


def test_resume_false_starts_anew(tmp_path: Path) -> None:
    train(ToyJob(), seed=1, checkpoint=tmp_path)
    job, undisturbed = ToyJob(), ToyJob()
    train(job, seed=2, checkpoint=tmp_path, resume=False)
    train(undisturbed, seed=2)
    assert same(job.model, undisturbed.model)
    assert job.started[0] == (0, 0)


@pytest.mark.parametrize("where", ["loss", "validate", "batches"])
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(
    where: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ToyJob):
        def press(self, place: str) -> None:
            if place == where and self.started[-1][0] == 2:
                os.kill(os.getpid(), signal.SIGINT)

        def loss(self, batch: Any) -> torch.Tensor:
            self.press("loss")
            return super().loss(batch)

        def validate(self) -> dict[str, float]:
            self.press("validate")
            return super().validate()

        def batches(self, epoch: int, start: int = 0) -> Any:
            for number, batch in enumerate(super().batches(epoch, start)):
                if number == 3:
                    self.press("batches")
                    if where == "batches" and epoch == 2:
                        raise RuntimeError("DataLoader worker exited")
                yield batch

    place = {"loss": "after 1 batches", "validate": "after 6 batches", "batches": "after 3 batches"}[where]
    with pytest.raises(KeyboardInterrupt, match=f"in epoch 3 {place}; call fit again with checkpoint="):
        train(Interrupted(), checkpoint=tmp_path, progress=True)
    assert f"interrupted in epoch 3 {place}" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    job, undisturbed = ToyJob(), ToyJob()
    train(job, checkpoint=tmp_path)
    train(undisturbed)
    assert same(job.model, undisturbed.model)


def test_ctrl_c_without_checkpoint_and_twice() -> None:
    class Interrupted(ToyJob):
        presses = 1

        def loss(self, batch: Any) -> torch.Tensor:
            for _ in range(self.presses):
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(batch)

    with pytest.raises(KeyboardInterrupt, match="in epoch 1 after 1 batches; nothing was saved"):
        train(Interrupted())
    job = Interrupted()
    job.presses = 2
    with pytest.raises(KeyboardInterrupt) as caught:
        train(job)
    assert not caught.value.args


def test_training_in_a_thread_leaves_signals_alone(tmp_path: Path) -> None:
    found: list[History] = []
    thread = threading.Thread(target=lambda: found.append(train(ToyJob(), epochs=1)))
    thread.start()
    thread.join()
    assert len(found[0]) == 1


class TestRefused:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        train(ToyJob(), epochs=1, checkpoint=tmp_path)
        return tmp_path

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"seed": 1}, "seed was 0, now 1"),
            ({"lr": 0.02}, r"optimizer.groups.0.lr was 0.01, now 0.02\."),
            ({"clip_norm": 1.0}, "clip_norm was null, now 1.0"),
            (
                {"monitor": "mistakes", "mode": "min"},
                'monitor was "accuracy", now "mistakes"; mode was "max", now "min"',
            ),
            ({"monitor": None}, 'monitor was "accuracy", now null'),
            ({"validate_every": 2}, "validate_every was 1, now 2"),
            ({"precision": "bf16-mixed"}, 'precision was "32-true", now "bf16-mixed"'),
            ({"settings": {"batch_size": 2}}, "settings was {}, now absent; settings.batch_size was absent, now 2"),
            ({"optimizer": OPTIMIZERS["SGD"]}, 'optimizer.name was "Adam", now "SGD"'),
            ({"scheduler": SCHEDULERS["StepLR"]}, "scheduler was null"),
        ],
    )
    def test_other_settings(self, folder: Path, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(
            ProtocolError, match=f"belongs to another training: {message}.*resume=False .* to start anew"
        ):
            train(ToyJob(), checkpoint=folder, **arguments)

    def test_other_model_and_data(self, folder: Path) -> None:
        with pytest.raises(ProtocolError, match="num_batches was 6, now 4"):
            train(ToyJob(num_batches=4), checkpoint=folder)
        job = ToyJob()
        job.model.layers[4] = nn.Linear(16, 1, bias=False)
        job.model.layers[0] = nn.Linear(8, 16, dtype=torch.float64)
        job.model.more = nn.Parameter(torch.zeros(2))
        with pytest.raises(ProtocolError) as caught:
            train(job, checkpoint=folder)
        assert 'layers.0.weight was "torch.float32 [16, 8]", now "torch.float64 [16, 8]"' in str(caught.value)
        assert 'layers.4.bias was "torch.float32 [1]", now absent' in str(caught.value)
        assert 'more was absent, now "torch.float32 [2]"' in str(caught.value)

    def test_damaged_checkpoint(self, folder: Path) -> None:
        (file,) = folder.glob("*.safetensors")
        os.truncate(file, 100)
        with pytest.raises(AdapterError, match="is damaged"):
            train(ToyJob(), checkpoint=folder)
        assert len(train(ToyJob(), checkpoint=folder, resume=False)) == EPOCHS


def test_a_checkpoint_is_safetensors_and_json_only(tmp_path: Path) -> None:
    train(ToyJob(), epochs=1, checkpoint=tmp_path)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".jsonl", ".safetensors"]
    meta, tensors = read_folder(tmp_path, "checkpoint")
    assert meta["cursor"]["epoch"] == 1
    assert "model/saved/layers.1.num_batches_tracked" in tensors
    assert "optimizer/state/0/exp_avg" in tensors


def run_killed(folder: Path, mode: str, kills: int) -> dict[str, Any]:
    program = Path(__file__).with_name("killed.py")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(folder), mode, str(kills)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["random", "points"])
def test_killed_trainings_resume(mode: str, tmp_path: Path) -> None:
    found = run_killed(tmp_path, mode, kills=10)
    assert found["equal"]
    assert found["kills"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["random", "points"])
def test_many_killed_trainings_resume(mode: str, tmp_path: Path) -> None:
    assert run_killed(tmp_path, mode, kills=int(os.environ.get("RELGRAPH_KILLS", "50")))["equal"]

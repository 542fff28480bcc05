"""The training loop on undisturbed runs: arithmetic, stopping, monitoring, and everything it refuses."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relgraph.errors import AdapterError, BackendError, ProtocolError
from relgraph.training import History, fit
from tests.training.toy_job import ToyJob, same


class LineJob:
    """One weight, loss ``weight * batch``: every update is known by hand."""

    def __init__(self, batches: tuple[float, ...] = (1.0, 2.0), metrics: tuple[float, ...] = ()) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.model.weight, 10.0)
        self.values = batches
        self.metrics = list(metrics)
        self.validated_at: list[float] = []

    def num_batches(self) -> int:
        return len(self.values)

    def batches(self, epoch: int, start: int = 0) -> list[Tensor]:
        return [torch.tensor([[value]]) for value in self.values[start:]]

    def loss(self, batch: Tensor) -> Tensor:
        assert self.model.training
        return self.model(batch).sum()

    def validate(self) -> dict[str, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        self.validated_at.append(self.weight)
        return {"score": self.metrics[len(self.validated_at) - 1]} if self.metrics else {}

    @property
    def weight(self) -> float:
        return float(self.model.weight.detach())


def sgd(lr: float) -> Any:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


def quick(job: Any, **arguments: Any) -> History:
    return fit(job, **({"epochs": 2, "progress": False, "accelerator": "cpu", "optimizer": sgd(0.1)} | arguments))


def test_steps_losses_and_schedule_by_hand() -> None:
    job = LineJob()
    halve = lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)  # noqa: E731
    history = quick(job, scheduler=halve)
    # epoch 1, lr 0.1: 10 -> 9.9 -> 9.7; epoch 2, lr 0.05: 9.7 -> 9.65 -> 9.55
    assert job.weight == pytest.approx(9.55)
    assert [row["loss"] for row in history.epochs] == pytest.approx([(10 + 2 * 9.9) / 2, (9.7 + 2 * 9.65) / 2])
    assert [row["epoch"] for row in history.epochs] == [1, 2]
    assert all(row["seconds"] > 0 for row in history.epochs)
    assert (history.best_epoch, history.best, history.stopped) == (None, None, "epochs")
    assert not job.model.training


def test_clipping_by_hand() -> None:
    job = LineJob(batches=(0.5, 8.0))
    quick(job, epochs=1, clip_norm=2.0)
    assert job.weight == pytest.approx(10 - 0.1 * 0.5 - 0.1 * 2.0)


@pytest.mark.parametrize(("mode", "best_epoch", "best"), [("max", 3, 0.7), ("min", 2, 0.1)])
def test_best_parameters_come_back(mode: Any, best_epoch: int, best: float) -> None:
    job = LineJob(metrics=(0.5, 0.1, 0.7, 0.7, 0.2))
    history = quick(job, epochs=5, monitor="score", mode=mode)
    assert (history.best_epoch, history.best) == (best_epoch, best)
    assert job.weight == pytest.approx(10 - 0.3 * best_epoch)
    assert history.curve("score") == ([1, 2, 3, 4, 5], [0.5, 0.1, 0.7, 0.7, 0.2])


def test_without_monitor_the_last_parameters_stay() -> None:
    job = LineJob(metrics=(0.9, 0.1))
    history = quick(job)
    assert job.weight == pytest.approx(10 - 0.6)
    assert history.best_epoch is None
    assert [row["metrics"] for row in history.epochs] == [{"score": 0.9}, {"score": 0.1}]


def test_patience_counts_validations_without_a_better_value() -> None:
    job = LineJob(metrics=(0.1, 0.5, 0.5, 0.2, 0.9))
    history = quick(job, epochs=50, monitor="score", patience=2)
    assert (len(history), history.stopped, history.best_epoch) == (4, "patience", 2)


def test_validate_every_and_the_last_epoch() -> None:
    job = LineJob(metrics=(1, 2, 3))
    history = quick(job, epochs=5, validate_every=2, monitor="score")
    assert job.validated_at == pytest.approx([10 - 0.6, 10 - 1.2, 10 - 1.5])
    assert [row["metrics"] for row in history.epochs] == [{}, {"score": 1}, {}, {"score": 2}, {"score": 3}]
    assert history.curve("score") == ([2, 4, 5], [1, 2, 3])


@pytest.mark.parametrize(("monitor", "weight"), [(None, 10 - 3 * 0.3), ("score", 10 - 0.3 - 0.3 - 0.03)])
def test_plateau_scheduler_watches_the_monitored_value(monitor: str | None, weight: float) -> None:
    job = LineJob(metrics=(0.5, 0.5, 0.9))
    plateau = lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, mode="min", factor=0.1, patience=0)  # noqa: E731
    quick(job, epochs=3, monitor=monitor, mode="max", scheduler=plateau)
    assert job.weight == pytest.approx(weight)  # the loss falls in every epoch, the score does not


def test_the_global_generator_is_seeded_inside_and_put_back() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, second, third = ToyJob(), ToyJob(), ToyJob()
    quick(first, seed=5)
    assert torch.equal(torch.rand(3), expected)
    torch.rand(7)
    quick(second, seed=5)
    quick(third, seed=6)
    assert same(first.model, second.model)
    assert not same(first.model, third.model)


def test_validation_does_not_change_the_training() -> None:
    first, second = ToyJob(), ToyJob()
    quick(first, epochs=4)
    quick(second, epochs=4, validate_every=3)
    assert same(first.model, second.model)


@pytest.mark.slow
def test_time_budget_ends_after_a_step(tmp_path: Path) -> None:
    class Slow(ToyJob):
        def loss(self, batch: Any) -> Tensor:
            time.sleep(0.05)
            return super().loss(batch)

    job = Slow()
    history = quick(job, epochs=1000, max_seconds=0.4, checkpoint=tmp_path)
    assert history.stopped == "seconds"
    assert 0 < len(history) < 5
    undisturbed, resumed = ToyJob(), ToyJob()
    quick(undisturbed, epochs=5)
    assert len(quick(resumed, epochs=5, checkpoint=tmp_path)) == 5
    assert same(undisturbed.model, resumed.model)


def test_bf16_autocast_reaches_the_loss() -> None:
    seen = []

    class Spy(ToyJob):
        def loss(self, batch: Any) -> Tensor:
            seen.append(self.model.layers[0](batch[0]).dtype)
            return super().loss(batch)

    quick(Spy(), epochs=1, precision="bf16-mixed")
    assert set(seen) == {torch.bfloat16}


def test_progress_goes_to_stderr_and_can_be_switched_off(capfd: pytest.CaptureFixture[str]) -> None:
    quick(LineJob(metrics=(0.25, 0.5)))
    assert capfd.readouterr() == ("", "")
    quick(LineJob(metrics=(0.25, 0.5)), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 2/2  loss 14.4500  score 0.5000" in err


def test_terminal_progress(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    quick(LineJob(metrics=(0.25, 0.5)), progress=True)
    assert "epoch 2/2" in capfd.readouterr().err


def test_history_prints_itself() -> None:
    rows = [{"epoch": 1, "loss": 0.5, "seconds": 1.0, "metrics": {"mrr": 0.3}}]
    assert repr(History(rows, 1, 0.3, "patience")) == (
        "History(1 epochs, loss 0.5, stopped by patience, best 0.3 in epoch 1)"
    )
    assert repr(History()) == "History(0 epochs, stopped by epochs)"


class TestRefused:
    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_loss_that_is_not_finite(self, value: float, tmp_path: Path) -> None:
        job = LineJob(batches=(1.0, 1.0, value))
        with pytest.raises(ProtocolError, match=r"the loss is (nan|inf) in epoch 1, step 3; no checkpoint was written"):
            quick(job)
        job = LineJob(batches=(1.0, 1.0, value))
        message = r"in epoch 1, step 3; the checkpoint of epoch 1 after 2 batches is kept in "
        with pytest.raises(ProtocolError, match=message):
            quick(job, checkpoint=tmp_path, checkpoint_every=2)
        assert json.loads((tmp_path / "checkpoint.json").read_text())["meta"]["cursor"]["step"] == 2

    def test_parameters_that_are_not_finite_never_reach_a_checkpoint(self, tmp_path: Path) -> None:
        class Broken(LineJob):
            def loss(self, batch: Tensor) -> Tensor:
                loss = self.model(batch).sum()
                return loss if self.weight > 9.65 else torch.sqrt(loss - loss)  # 0, with gradient inf * 0

        with pytest.raises(ProtocolError, match=r"parameter weight is no longer finite in epoch 3 after 0 batches"):
            quick(Broken(), epochs=3, checkpoint=tmp_path)

    def test_monitored_nan(self) -> None:
        with pytest.raises(ProtocolError, match="score is NaN in epoch 2"):
            quick(LineJob(metrics=(0.5, math.nan)), monitor="score")

    def test_unknown_monitor(self) -> None:
        with pytest.raises(ProtocolError, match="monitor is 'mrr', but the validation gives score"):
            quick(LineJob(metrics=(0.5, 0.5)), monitor="mrr")
        with pytest.raises(ProtocolError, match="monitor is 'mrr', but the validation gives no metrics"):
            quick(LineJob(), monitor="mrr")

    def test_nothing_to_train(self) -> None:
        with pytest.raises(ProtocolError, match="is its training set empty"):
            quick(LineJob(batches=()))
        frozen = LineJob()
        frozen.model.requires_grad_(False)
        with pytest.raises(ProtocolError, match="no parameter that learns"):
            quick(frozen)
        lazy = LineJob()
        lazy.model = nn.LazyLinear(1)  # type: ignore[assignment]
        with pytest.raises(ProtocolError, match="call it once on a batch"):
            quick(lazy)

    @pytest.mark.parametrize(("given", "message"), [(3, "epoch 1 gave 2"), (1, "epoch 1 gives more")])
    def test_wrong_number_of_batches(self, given: int, message: str) -> None:
        job = LineJob()
        job.num_batches = lambda: given  # type: ignore[method-assign]
        with pytest.raises(ProtocolError, match=message):
            quick(job)

    def test_loss_that_is_no_scalar(self) -> None:
        job = LineJob()
        job.loss = lambda batch: job.model(batch)  # type: ignore[method-assign]
        with pytest.raises(ProtocolError, match=r"a scalar with a gradient, got shape \[1, 1\]"):
            quick(job)
        job.loss = lambda batch: torch.zeros(())  # type: ignore[method-assign]
        with pytest.raises(ProtocolError, match="requires_grad=False"):
            quick(job)

    @pytest.mark.parametrize(
        "name", ["epochs", "validate_every", "patience", "checkpoint_every", "clip_norm", "max_seconds", "lr"]
    )
    def test_arguments_that_must_be_positive(self, name: str) -> None:
        with pytest.raises(ProtocolError, match=f"{name} must be greater than 0, got 0"):
            quick(LineJob(), **{name: 0})

    @pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "x", None])
    def test_seed(self, seed: Any) -> None:
        with pytest.raises(ProtocolError, match=rf"seed: expected a whole number from 0 to .*, got {seed!r}"):
            quick(LineJob(), seed=seed)

    def test_devices_and_precisions_that_are_not_there(self) -> None:
        with pytest.raises(BackendError, match=r"accelerator='foo'.*names are: auto, .*cpu"):
            quick(LineJob(), accelerator="foo")
        with pytest.raises(BackendError, match=r"precision='foo'.*32-true"):
            quick(LineJob(), precision="foo")
        if not torch.cuda.is_available():
            with pytest.raises(BackendError, match=r"accelerator='cuda'.*\['cpu'\]"):
                quick(LineJob(), accelerator="cuda")

    def test_arguments_that_need_others(self) -> None:
        with pytest.raises(ProtocolError, match="mode must be 'max' or 'min'"):
            quick(LineJob(), mode="best")
        with pytest.raises(ProtocolError, match="patience needs monitor"):
            quick(LineJob(), patience=2)
        with pytest.raises(ProtocolError, match="checkpoint_every needs checkpoint"):
            quick(LineJob(), checkpoint_every=2)

    def test_state_that_no_json_holds(self, tmp_path: Path) -> None:
        class Odd(torch.optim.SGD):
            def state_dict(self) -> dict[str, Any]:
                return super().state_dict() | {"extra": object()}

        with pytest.raises(ProtocolError, match=r"optimizer/extra holds a object, which a checkpoint cannot store"):
            quick(LineJob(), optimizer=lambda p: Odd(p, lr=0.1), checkpoint=tmp_path)

    def test_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(AdapterError, match="cannot write checkpoint"):
            quick(LineJob(), checkpoint=tmp_path / "file")

    def test_an_error_of_the_job_passes_through(self) -> None:
        job = LineJob()

        def broken(batch: Tensor) -> Tensor:
            raise RuntimeError("mine")

        job.loss = broken  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="mine"):
            quick(job)

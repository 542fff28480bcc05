"""Trains the toy job in children that are killed, until one finishes; run as a program by the resume tests.

Arguments: folder, mode (``random`` or ``points``), number of kills. Prints JSON: kills, and whether the final
parameters and history equal those of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from relgraph.data import folder as store
from relgraph.training import History, fit
from tests.training.toy_job import ToyJob

EPOCHS = 12


def train(checkpoint: Path | None) -> tuple[ToyJob, History]:
    job = ToyJob()
    scheduler = lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)  # noqa: E731
    every = None if checkpoint is None else 2
    history = fit(
        job, epochs=EPOCHS, lr=0.01, scheduler=scheduler, monitor="accuracy", validate_every=2, clip_norm=1.0,
        checkpoint=checkpoint, checkpoint_every=every, progress=False, accelerator="cpu", seed=4,
    )  # fmt: skip
    return job, history


def result(job: ToyJob, history: History) -> dict[str, Any]:
    tensors = {**dict(job.model.named_parameters()), **dict(job.model.named_buffers())}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.epochs]
    return {"model": {n: t.tolist() for n, t in tensors.items()}, "rows": rows, "best": history.best_epoch}


def die_at(point: int) -> None:
    """Kill this process just before or just after its ``point``-th change to the file system."""
    left = [point]

    def deadly(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            for moment in ("before", "after"):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                if moment == "before":
                    value = change(*args, **kwargs)
            return value

        return wrapped

    for owner, name in ((os, "open"), (os, "fsync"), (pathlib.Path, "replace"), (pathlib.Path, "unlink")):
        setattr(owner, name, deadly(getattr(owner, name)))
    pieces = store._pieces
    store._pieces = lambda tensor: (deadly(lambda piece: piece)(piece) for piece in pieces(tensor))


def child(folder: Path, die: Callable[[], None]) -> int:
    number = os.fork()
    if number == 0:
        try:
            die()
            found = result(*train(folder))
            (folder / "part").write_text(json.dumps(found))
            os.rename(folder / "part", folder / "result")  # whole or not there: a kill may come between any two lines
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(repr(error))
            os._exit(1)
    return number


def main() -> None:
    torch.set_num_threads(1)
    folder, mode, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    expected = json.dumps(result(*train(None)))
    chance = random.Random(7)
    rounds = killed = 0
    while killed < kills or not rounds:
        run = folder / str(rounds)
        run.mkdir(parents=True)
        while not (run / "result").exists():
            if mode == "points":
                point = chance.randrange(150)
                process = child(run, lambda point=point: die_at(point))  # type: ignore[misc]
            else:
                process = child(run, lambda: None)
                time.sleep(chance.random() * 0.15)
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            killed += os.WIFSIGNALED(status)
            if os.WIFEXITED(status) and os.WEXITSTATUS(status):
                sys.exit(f"a resumed training failed in round {rounds}")
        if (run / "result").read_text() != expected:
            sys.exit(f"round {rounds} ended with other parameters or another history")
        rounds += 1
    sys.stdout.write(json.dumps({"kills": killed, "rounds": rounds, "equal": True}))


if __name__ == "__main__":
    main()

"""A small job with everything that is hard to resume: dropout, batch norm, a buffer that is not saved, Adam."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Toy(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1)
        )
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)
        self.calls: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return self.layers(x)[:, 0] * (1 + 1e-3 * torch.sin(self.calls.float()))


class ToyJob:
    """Is the product of two inputs positive?"""

    def __init__(self, dropout: float = 0.3, num_batches: int = 6) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(120, 8, generator=generator)
        self.y = (self.x[:, 0] * self.x[:, 1] > 0).float()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.model = Toy(dropout)
        self._num_batches = num_batches
        self.started: list[tuple[int, int]] = []

    def num_batches(self) -> int:
        return self._num_batches

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        self.started.append((epoch, start))
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(epoch))
        size = len(self.x) // self._num_batches
        for number in range(start, self._num_batches):
            rows = order[number * size : (number + 1) * size]
            noise = torch.randn(1) * 1e-3  # a job that uses the global generator for its batches resumes all the same
            yield self.x[rows] + noise, self.y[rows]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.binary_cross_entropy_with_logits(self.model(x), y)

    def validate(self) -> dict[str, float]:
        torch.rand(3)  # draws of a validation must not reach the training
        right = (self.model(self.x) > 0) == (self.y > 0.5)
        return {"accuracy": float(right.float().mean()), "mistakes": float((~right).sum())}


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether two modules are equal bit by bit, buffers included."""
    pairs = [(*m.named_parameters(), *m.named_buffers()) for m in (first, second)]
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in zip(*pairs, strict=True))

"""Several processes that train one model: each takes a share of every batch, and all take the same step."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from relgraph.errors import BackendError

__all__ = ["Divisible", "Exchange", "Group", "join", "launched"]


@runtime_checkable
class Divisible(Protocol):
    """A job whose batches several processes can share."""

    def divide(self, rank: int, size: int) -> None:
        """From now on give of every batch the share of one process; ``None``, or no batch, where it is empty.

        All shares of a batch together are the batch that one process alone would train on.
        """
        ...

    def num_rows(self, batch: Any) -> int:
        """How many rows of a batch the loss is a mean of."""
        ...


class Group:
    """The processes of a training; a process alone is a group of one, in which nothing is exchanged.

    Args:
        rank: The number of this process, from 0.
        size: How many there are.
        device: Where the model is.
    """

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device

    @property
    def first(self) -> bool:
        """Whether this process reports and writes checkpoints."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()

    def share_state(self, model: nn.Module) -> None:
        """Give all processes the parameters and buffers of the first."""
        for tensor in [*model.parameters(), *model.buffers()] if self.size > 1 else []:
            torch.distributed.broadcast(tensor.data, 0)

    def share_numbers(self, numbers: dict[str, float]) -> dict[str, float]:
        """The numbers of the first process; all have the same names."""
        if self.size == 1 or not numbers:
            return numbers
        values = torch.tensor(list(numbers.values()), dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(values, 0)
        return dict(zip(numbers, values.tolist(), strict=True))

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in one process at least."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32, device=self.device)
        torch.distributed.all_reduce(raised, torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def mean(self, parameters: Sequence[nn.Parameter], loss: Tensor | None, num_rows: int) -> Tensor:
        """Replace gradients by their means over all rows of the batch, and give that mean of the loss.

        A parameter without a gradient in any process keeps none.

        Args:
            parameters: Those of the model, in the same order everywhere.
            loss: The mean over the rows of this process; ``None`` if it has none.
            num_rows: How many they are.

        Raises:
            BackendError: If a gradient is sparse.
        """
        if any(p.grad is not None and p.grad.is_sparse for p in parameters):
            raise BackendError("sparse gradients are not exchanged between processes: train this model in one process")
        learned = [p for p in parameters if p.requires_grad]
        has = torch.tensor([float(p.grad is not None) for p in learned], device=self.device)
        ours = [torch.zeros((), device=self.device) if loss is None else loss, *(_gradient(p) for p in learned)]
        # one exchange: the rows, who has which gradient, and everything that is a mean over rows, as a sum
        total = torch.cat([has.new_tensor([num_rows]), has, *(num_rows * x.detach().float().flatten() for x in ours)])
        torch.distributed.all_reduce(total)
        rows, has, sums = torch.split(total, [1, len(learned), len(total) - 1 - len(learned)])
        mean, *gradients = torch.split(sums / rows.clamp(min=1), [x.numel() for x in ours])
        for parameter, found, gradient in zip(learned, has.tolist(), gradients, strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if found else None
        return mean.squeeze(0)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def join(device: torch.device) -> Group:
    """The processes that ``torchrun`` started, or this one alone.

    They meet once, by NCCL on CUDA and by Gloo elsewhere, and part when the process ends; if they have met already, it
    is as they did.

    Args:
        device: Where this process trains.
    """
    if launched()[1] == 1:
        return Group(0, 1, device)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    return Group(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)


def launched() -> tuple[int, int]:
    """The number of this process and how many ``torchrun`` started; ``(0, 1)`` without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


class Exchange:
    """What processes give each other beside gradients; every call is one of all processes. Tensors are on the CPU.

    A process alone gets back what it gave.
    """

    def __init__(self) -> None:
        _, self._size = launched()

    def _device(self) -> torch.device:
        """Where the processes meet."""
        cuda = torch.cuda.is_available()
        join(torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu"))
        return torch.device("cuda" if torch.distributed.get_backend() == "nccl" else "cpu")

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes of tensors of one shape."""
        if self._size == 1:
            return value
        total = value.to(self._device(), copy=True)
        torch.distributed.all_reduce(total)
        return total.cpu()

    def cat(self, value: Tensor) -> tuple[Tensor, slice]:
        """The tensors ``[n, ...]`` of all processes one after another, and where that of this process stands."""
        if self._size == 1:
            return value, slice(0, len(value))
        device = self._device()
        count = torch.tensor([len(value)], device=device)
        counts = [torch.zeros_like(count) for _ in range(self._size)]
        torch.distributed.all_gather(counts, count)
        sizes = [int(c) for c in counts]
        padded = value.new_zeros(max(sizes), *value.shape[1:]).to(device)
        padded[: len(value)] = value.to(device)
        parts = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(parts, padded)
        rank = torch.distributed.get_rank()
        start = sum(sizes[:rank])
        found = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return found.cpu(), slice(start, start + sizes[rank])

    def objects(self, value: Any) -> list[Any]:
        """A small value of every process."""
        if self._size == 1:
            return [value]
        self._device()
        found: list[Any] = [None] * self._size
        torch.distributed.all_gather_object(found, value)
        return found

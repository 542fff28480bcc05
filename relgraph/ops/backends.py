"""Which implementation of an operation runs: the one that was asked for, or the fastest that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Literal, get_args

import torch

from relgraph.errors import BackendError

__all__ = ["Backend", "backend", "choose", "use_backend"]

Backend = Literal["torch", "numba", "triton", "torch_scatter"]
"""``torch``: PyTorch alone, on any device, the specification of the others; ``numba``: compiled loops on the CPU;
``triton``: kernels on CUDA, or on the CPU in Triton's interpreter (``TRITON_INTERPRET=1``); ``torch_scatter``: the
package of that name, where it is installed."""

_asked: ContextVar[Backend | None] = ContextVar("relgraph_backend", default=None)


@contextmanager
def use_backend(name: Backend | None) -> Iterator[None]:
    """Run every operation within by one backend, or raise: nothing falls back silently.

    Args:
        name: The backend; ``None`` picks per call, as without this: Triton on CUDA, Numba on the CPU, PyTorch where
            an operation has no faster implementation for its arguments.

    Raises:
        BackendError: If there is no such backend, or it is not installed. An operation within raises it too, if it
            has no implementation there, or none for the device or the dtype of its arguments.

    Example:
        >>> from relgraph.ops import embedding_update, use_backend
        >>> with use_backend("torch"):
        ...     embedding_update(torch.ones(3, 2), torch.tensor([1]), torch.ones(1, 2), rule="sgd", lr=0.1)
    """
    if name is not None:
        if name not in get_args(Backend):
            raise BackendError(f"expected a backend of {', '.join(get_args(Backend))}, or None, got {name!r}")
        _require_installed(name)
    token = _asked.set(name)
    try:
        yield
    finally:
        _asked.reset(token)


def backend() -> Backend | None:
    """The backend that is asked for here; ``None`` if the choice is left to each operation."""
    return _asked.get()


def choose(
    operation: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    numba: Sequence[torch.dtype] = (),
    triton: Sequence[torch.dtype] = (),
    torch_scatter: Sequence[torch.dtype] = (),
) -> Backend:
    """The backend of one call.

    Args:
        operation: Its name, for the message.
        device: Where its tensors are.
        dtype: The dtype of its values.
        numba: The dtypes its compiled loops take; empty if it has none. So for the others; PyTorch takes all.
        triton: The dtypes its kernel takes.
        torch_scatter: The dtypes it takes by torch-scatter.

    Raises:
        BackendError: If the backend that was asked for cannot run this.
    """
    offers: dict[Backend, Sequence[torch.dtype]] = {"numba": numba, "triton": triton, "torch_scatter": torch_scatter}
    asked = _asked.get()
    if asked is None:
        if device.type == "cuda" and dtype in triton and find_spec("triton"):
            return "triton"
        if device.type == "cpu" and dtype in numba and find_spec("numba"):
            return "numba"
        return "torch"
    if asked == "torch":
        return asked
    has = offers[asked]
    if not has:
        others = ", ".join(["torch", *(name for name, dtypes in offers.items() if dtypes)])
        raise BackendError(f"{operation} has no implementation by {asked}; it runs by {others}")
    if dtype not in has:
        raise BackendError(f"{operation} by {asked} takes {', '.join(map(str, has))}, got {dtype}")
    if asked == "numba" and device.type != "cpu":
        raise BackendError(f"{operation} by numba runs on the CPU, got tensors on {device}")
    if asked == "triton" and device.type != "cuda" and not _interpreted():
        raise BackendError(
            f"{operation} by triton runs on CUDA, got tensors on {device}: move them there, or set TRITON_INTERPRET=1 "
            "before triton is imported, to try kernels without a GPU"
        )
    return asked


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET", "") == "1"


def _require_installed(name: Backend) -> None:
    if find_spec(name) is None:  # a backend has the name of its package
        extra = {"triton": "pip install 'relgraph[triton]'", "torch_scatter": "pip install 'relgraph[scatter]'"}
        raise BackendError(f"backend {name!r} needs {name}: {extra.get(name, f'pip install {name}')}")

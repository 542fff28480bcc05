"""What the tests of kernels share: the error against float64, the kernel's and the reference's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from relgraph.ops import use_backend

Run = Callable[..., Tensor | Sequence[Tensor]]


def outputs_and_gradients(run: Run, inputs: list[Tensor], backend: str) -> list[Tensor]:
    """What ``run`` gives, and the gradient of its first output's weighted sum by every floating input."""
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    with use_backend(backend):  # type: ignore[arg-type]
        found = run(*leaves)
    outputs = [found] if isinstance(found, Tensor) else list(found)
    first = outputs[0]
    if not first.requires_grad:
        return outputs
    weight = torch.randn(first.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = [x for x in leaves if x.requires_grad]
    gradients = torch.autograd.grad((first.double() * weight).sum(), wanted, allow_unused=True)
    return [
        *(x.detach() for x in outputs),
        *(torch.zeros_like(x) if g is None else g for g, x in zip(gradients, wanted, strict=True)),
    ]


def assert_exact(run: Run, inputs: list[Tensor], slack: float = 3e-7) -> None:
    """The kernel's error against float64 is at most twice the PyTorch reference's, values and all gradients.

    Args:
        run: The operation, of the tensors in ``inputs``.
        inputs: Float32 or float16.
        slack: What is allowed on top, as a share of the largest number of all outputs and gradients:
            some roundings of the dtype.
    """
    small = [x.dtype for x in inputs if x.is_floating_point()]
    slack *= 1 if torch.float32 in small else 2**13
    exact = outputs_and_gradients(run, [x.double() if x.is_floating_point() else x for x in inputs], "torch")
    plain = outputs_and_gradients(run, inputs, "torch")
    mine = outputs_and_gradients(run, inputs, "triton")
    slack *= max((float(x.abs().max()) for x in exact if x.numel()), default=0.0)
    for number, (true, reference, kernel) in enumerate(zip(exact, plain, mine, strict=True)):
        assert kernel.shape == reference.shape, number
        assert kernel.dtype == reference.dtype, number
        if not true.numel():
            continue
        allowed = 2 * (reference - true).abs().max() + slack
        error = (kernel - true).abs().max()
        assert error <= allowed, f"output {number}: error {error:.3g}, allowed {allowed:.3g}"

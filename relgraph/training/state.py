"""State as JSON plus tensors: modules, optimizers, schedulers and random generators, without pickle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.errors import ProtocolError

__all__ = [
    "copy_state",
    "decode",
    "encode",
    "isolated_rng",
    "load_module_state",
    "load_rng_state",
    "module_state",
    "rng_state",
]

_PLAIN = (bool, int, float, str, type(None))


def encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Turn nested dicts, lists, tuples, counters, scalars and tensors into JSON.

    Args:
        value: What to encode.
        name: Where it stands; tensors are named by their place.
        tensors: Receives the tensors.

    Returns:
        JSON that :func:`decode` turns back.

    Raises:
        ProtocolError: If something else is inside; the message says where.
    """
    if isinstance(value, Tensor):
        unique = name
        while unique in tensors:
            unique += "'"
        tensors[unique] = value.detach()
        return {"$tensor": unique}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [encode(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        if not isinstance(value, Counter) and all(isinstance(key, str) and key[:1] != "$" for key in value):
            return {key: encode(item, f"{name}/{key}", tensors) for key, item in value.items()}
        pairs = [[encode(key, name, tensors), encode(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        return {"$counter" if isinstance(value, Counter) else "$dict": pairs}
    raise ProtocolError(
        f"{name} holds a {type(value).__name__}, which a checkpoint cannot store; "
        "expected tensors, numbers, strings, lists, tuples and dicts"
    )


def decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`encode`."""
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$tensor": name}:
            return tensors[name]
        case {"$tuple": items}:
            return tuple(decode(item, tensors) for item in items)
        case {"$dict": pairs}:
            return {decode(key, tensors): decode(item, tensors) for key, item in pairs}
        case {"$counter": pairs}:
            return Counter({decode(key, tensors): item for key, item in pairs})
    return {key: decode(item, tensors) for key, item in value.items()}


def module_state(module: nn.Module) -> dict[str, Any]:
    """Parameters and every buffer of a module, also the buffers that its ``state_dict`` leaves out; not copied."""
    saved = module.state_dict()
    rest = {name: buffer.detach() for name, buffer in module.named_buffers() if name not in saved}
    return {"saved": dict(saved), "rest": rest}


def copy_state(state: Mapping[str, Any], device: torch.device | None = None) -> dict[str, Any]:
    """A copy of what :func:`module_state` gave, on a device or where it is."""
    return {
        part: {
            name: value.to(device, copy=True) if isinstance(value, Tensor) else value for name, value in rows.items()
        }
        for part, rows in state.items()
    }


def load_module_state(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Copy what :func:`module_state` gave into a module of the same shape."""
    module.load_state_dict(state["saved"], strict=True)
    buffers = dict(module.named_buffers())
    with torch.no_grad():
        for name, value in state["rest"].items():
            buffers[name].copy_(value)


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The global generators of the CPU and, on CUDA, of the device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def load_rng_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the global generators; one that the state lacks stays as it is."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def isolated_rng(device: torch.device, seed: int, *position: int) -> Iterator[None]:
    """Seed the global generators by a position in the training, and put them back afterwards.

    What runs inside neither sees how the training got here nor changes how it goes on, so that a resumed training
    meets the same random numbers as an undisturbed one.
    """
    before = rng_state(device)
    for number in position:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % (1 << 63)
    # torch.manual_seed would also seed every other device, and write down a stack trace for those that are not in use
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    try:
        yield
    finally:
        load_rng_state(before, device)

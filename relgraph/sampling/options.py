"""What a user may say to the sampler, checked and brought into the engines' form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from relgraph.data.graph import EdgeType, HeteroGraph, reverse_type
from relgraph.data.interval import parse_interval
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import BackendError, SchemaError, ShapeError
from relgraph.sampling.decay import LONGEST_HALF_LIFE

__all__ = [
    "CUTOFFS",
    "ENGINES",
    "STRATEGIES",
    "directions",
    "fan_outs",
    "one_of",
    "pick_device",
    "pick_engine",
    "pick_half_life",
    "whole",
]

STRATEGIES = ("uniform", "last", "decayed")
CUTOFFS = ("inclusive", "strict")
ENGINES = ("auto", "tensor", "numba")
_HALF_LIVES = 10  # in the middle 80 % of the edges' times, by default


def one_of(what: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse what is not allowed.

    Raises:
        ShapeError: If ``value`` is none of ``allowed``.
    """
    if value not in tuple(allowed):
        raise ShapeError(f"{what}: expected one of {', '.join(map(str, allowed))}, got {value!r}")


def whole(what: str, value: Any) -> int:
    """A whole number.

    Raises:
        ShapeError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not -(2**63) <= int(value) < 2**63:
        raise ShapeError(f"{what}: expected a whole number of at most 64 bits, got {value!r}")
    return int(value)


def directions(graph: HeteroGraph, reverse: bool) -> list[EdgeType]:
    """The stored edge types, each followed by its ``rev_`` direction if that is wanted.

    Raises:
        SchemaError: If a stored one has the name of another's reverse.
    """
    if not reverse:
        return list(graph.edges)
    twice = next((kind for kind in graph.edges if reverse_type(kind) in graph.edges), None)
    if twice is not None:
        raise SchemaError(
            f"edge types {twice} and {reverse_type(twice)} are both stored, so the second cannot also name the "
            "reverse of the first; use reverse=False to follow what is stored only"
        )
    return [direction for kind in graph.edges for direction in (kind, reverse_type(kind))]


def fan_outs(
    known: Sequence[EdgeType], num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]]
) -> dict[EdgeType, tuple[int, ...]]:
    """The fan-outs of each direction.

    Args:
        known: The directions there are.
        num_neighbors: Per hop, or per direction and hop.

    Raises:
        ShapeError: If a fan-out is below -1 or no integer, or the lists differ in length.
        SchemaError: If there is no such direction.
    """
    given = num_neighbors if isinstance(num_neighbors, Mapping) else dict.fromkeys(known, num_neighbors)
    out = {}
    for edge_type, value in given.items():
        if edge_type not in known:
            raise SchemaError(
                f"num_neighbors: there is no edge type {edge_type!r}; edge types: {', '.join(map(str, known))}"
            )
        numbers: list[Any] = list(value) if isinstance(value, Iterable) else [None]
        if any(isinstance(k, bool) or not isinstance(k, Integral) or int(k) < -1 for k in numbers):
            shown = numbers if isinstance(value, Iterable) else value
            raise ShapeError(f"num_neighbors: expected integers of at least -1 for {edge_type!r}, got {shown}")
        out[edge_type] = tuple(int(k) for k in numbers)
    if len({len(value) for value in out.values()}) > 1:
        raise ShapeError(
            f"num_neighbors: expected as many hops for every edge type, got "
            f"{ {edge_type: len(value) for edge_type, value in out.items()} }"
        )
    return out


def pick_device(device: torch.device | str) -> torch.device:
    """A device that is there.

    Raises:
        BackendError: If it is not.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise BackendError(f"device: expected one that torch can use here, got {device!r}: {error}") from None


def pick_engine(engine: str, device: torch.device) -> str:
    """``"tensor"`` or ``"numba"``; ``"auto"`` is Numba on the CPU where Numba is installed. Both give the same sample.

    Raises:
        ShapeError: If there is no such engine.
        BackendError: If Numba was asked for and cannot run.
    """
    one_of("engine", engine, ENGINES)
    if engine == "auto":
        return "numba" if device.type == "cpu" and find_spec("numba") is not None else "tensor"
    if engine == "numba" and device.type != "cpu":
        raise BackendError(f"engine='numba' samples on the CPU only, and device is {device}; use engine='tensor'")
    if engine == "numba" and find_spec("numba") is None:
        raise BackendError("engine='numba' needs Numba, which is not installed: pip install numba, or engine='tensor'")
    return engine


def pick_half_life(half_life: str | timedelta | int | None, graph: HeteroGraph, until: int | None) -> int:
    """A half-life in microseconds.

    Args:
        half_life: ``"30 days"``, a ``timedelta`` or microseconds. By default a tenth of the time in which the middle
            80 % of all dated edges up to ``until`` lie, so that weights differ a thousandfold over it.
        graph: The graph; edges later than its statistics (``fit_until``) do not count either.
        until: No later edge counts.

    Raises:
        ProtocolError: If a text cannot be read.
        ShapeError: If it is out of range.
    """
    if half_life is None:
        return _half_life_of(graph, until)
    length = parse_interval(half_life, "half_life") if isinstance(half_life, (str, timedelta)) else half_life
    if not 1 <= whole("half_life", length) <= LONGEST_HALF_LIFE:
        raise ShapeError(f"half_life: expected 1 to {LONGEST_HALF_LIFE} microseconds, got {half_life!r}")
    return int(length)


def _half_life_of(graph: HeteroGraph, until: int | None) -> int:
    last = min(UNKNOWN - 1 if moment is None else moment for moment in (until, graph.fit_until))
    times: list[Tensor] = []
    for edge_type in graph.edges:
        time = graph.edge_time(edge_type)
        if time is not None:
            times.append(time[(time > STATIC) & (time <= last)])
    dated = torch.cat(times) if times else torch.empty(0, dtype=torch.int64)
    if dated.numel() == 0:
        return 1
    low, high = (int(dated.kthvalue(1 + (dated.numel() - 1) * tenths // 10).values) for tenths in (1, 9))
    return min(max((high - low) // _HALF_LIVES, 1), LONGEST_HALF_LIFE)

"""The sampler on the CPU, compiled by Numba: the same samples as :mod:`relgraph.sampling.engine_tensor`, bit by bit.

One pass per seed, seeds side by side in as many threads as ``torch.get_num_threads()`` says (one in a loader's worker)
and NUMBA_NUM_THREADS allows. A thread keeps the subgraph it is at in a hash table that fits into its cache, and what it
has found in buffers that grow. When all seeds are done, every subgraph's place is known and is written to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numba import config
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.graph import EdgeType, NodeType
from relgraph.errors import BackendError, ShapeError
from relgraph.sampling import numba_kernel as kernel
from relgraph.sampling.adjacency import Adjacency
from relgraph.sampling.engine_tensor import Sample

__all__ = ["prepare", "sample"]

_STRATEGIES = {"uniform": kernel.UNIFORM, "last": kernel.LAST, "decayed": kernel.DECAYED}
_MOST_THREADS: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
_SEEDS_PER_THREAD = 8  # fewer are not worth another thread
_KEEP = 2**28  # bytes: larger memory is not kept for the next batch


class _Memory:
    """What one thread works in."""

    def __init__(self) -> None:
        self.state = np.zeros(kernel.STATE, np.int64)
        self._scratch = self._table = self._nodes = self._sources = self._targets = self._edges = np.empty(0, np.int64)
        self.state[[kernel.NEED_ROOM, kernel.NEED_NODES, kernel.NEED_EDGES]] = 2**11, 2**16, 2**16
        self.grow()

    def begin(self) -> _Memory:
        """Forget what was found."""
        self.state[[kernel.NUM_NODES, kernel.NUM_EDGES]] = 0
        self.state[kernel.PENDING] = -1
        return self

    def grow(self) -> None:
        """Make room for what is needed, and as much again."""
        state = self.state
        room, nodes, edges = (int(state[i]) for i in (kernel.NEED_ROOM, kernel.NEED_NODES, kernel.NEED_EDGES))
        if room > state[kernel.ROOM]:
            room = 1 << room.bit_length()
            # parts a power of two apart would fall upon the same lines of the cache
            state[kernel.ROOM], state[kernel.STRIDE] = room, room + 40
            self._scratch = np.empty(kernel.PARTS * (room + 40), np.int64)
            self._table = np.zeros(2 * room, np.int64)
            state[kernel.STAMP] = 1
        if nodes >= state[kernel.MAX_NODES]:
            state[kernel.MAX_NODES] = 2 * nodes
            self._nodes = _longer(self._nodes, 2 * nodes, np.int64)
        if edges > state[kernel.MAX_EDGES]:
            state[kernel.MAX_EDGES] = 2 * edges
            self._sources = _longer(self._sources, 2 * edges, np.int32)
            self._targets = _longer(self._targets, 2 * edges, np.int32)
            self._edges = _longer(self._edges, 2 * edges, np.int64)
        arrays = (self._scratch, self._table, self._nodes, self._sources, self._targets, self._edges)
        places = (kernel.SCRATCH, kernel.HASH, kernel.NODES, kernel.SOURCES, kernel.TARGETS, kernel.EDGES)
        state[list(places)] = [array.ctypes.data for array in arrays]
        self.bytes = sum(array.nbytes for array in arrays)


def _longer(array: NDArray[Any], size: int, dtype: Any) -> NDArray[Any]:
    out = np.empty(size, dtype)
    out[: array.size] = array
    return out


_Read = tuple[Tensor | None, ...]
_read: WeakKeyDictionary[Adjacency, _Read] = WeakKeyDictionary()
_idle: list[_Memory] = []  # of threads that are not at work


def sample(
    adjacencies: Sequence[Adjacency],
    num_nodes: Mapping[NodeType, int],
    seeds: Mapping[NodeType, Tensor],
    visible: Tensor,
    state: Tensor,
    num_neighbors: Mapping[EdgeType, Sequence[int]],
    strategy: str = "uniform",
    half_life: int = 1,
) -> Sample:
    """Sample the subgraphs of a batch of seeds; see :func:`relgraph.sampling.engine_tensor.sample`.

    Args:
        adjacencies: The edge types to follow, each in one direction, on the CPU.
        num_nodes: Nodes of the graph per type.
        seeds: Seeds per node type, int64 ``[B_type]``, :math:`B` in all.
        visible: The latest moment each seed may see, inclusive, int64 ``[B]``.
        state: Where each seed's random numbers start, int64 ``[B]``.
        num_neighbors: Per edge type the fan-out of each hop; -1 takes all that is visible.
        strategy: ``"uniform"``, ``"last"`` or ``"decayed"``.
        half_life: For ``"decayed"``, in microseconds.

    Returns:
        The sample, on the CPU.

    Raises:
        BackendError: If something is not on the CPU.
        ShapeError: If the graph has :math:`2^{63}` nodes or more, or an adjacency's tensors have gaps.
    """
    _require_cpu(visible, state, *seeds.values())
    names, hops = list(num_nodes), max((len(fan_out) for fan_out in num_neighbors.values()), default=0)
    first = [0]
    for size in num_nodes.values():
        first.append(first[-1] + size)
    if first[-1] >= 2**63:
        raise ShapeError(f"num_nodes: expected fewer than 2^63 nodes in all, got {first[-1]:,}; use engine='tensor'")
    table = np.empty((len(adjacencies), 9), np.int64)
    for row, adjacency in zip(table, adjacencies, strict=True):
        source_type, _, target_type = adjacency.edge_type
        row[:6] = _columns_of(adjacency)
        row[6:] = names.index(source_type), names.index(target_type), adjacency.number
    fan_out = [[num_neighbors[adjacency.edge_type][hop] for adjacency in adjacencies] for hop in range(hops)]
    batch = visible.numel()
    place = np.empty((batch, 3), np.int64)
    node_count = np.zeros((batch, hops + 1, len(names)), np.int64)
    edge_count = np.zeros((batch, hops, len(adjacencies)), np.int64)
    kinds = [names.index(name) for name in seeds]
    types = np.repeat(np.array(kinds, np.int64), [node.numel() for node in seeds.values()])
    starts, next_seed = np.array(first, np.int64), np.zeros(1, np.int64)
    fans = np.array(fan_out, np.int64).reshape(hops, len(adjacencies))
    numbers, moments = torch.cat([visible[:0], *seeds.values()]).numpy(), visible.contiguous().numpy()
    states, code = state.contiguous().numpy().view(np.uint64), _STRATEGIES[strategy]

    def work(i: int) -> None:
        mine, reach = memory[i], np.empty_like(starts)
        while not kernel.sample_seeds(
            i, next_seed.ctypes.data, table, fans, starts, reach, types, numbers, moments, states, code, half_life,
            place, node_count, edge_count, mine.state,
        ):  # fmt: skip
            mine.grow()

    def write(i: int) -> None:
        kernel.write_seeds(
            i, place, starts, node_count, node_start, edge_count, edge_start, node_out, edge_out, memory[i].state
        )

    threads = max(1, min(torch.get_num_threads(), _MOST_THREADS, batch // _SEEDS_PER_THREAD))
    memory = [(_idle.pop() if _idle else _Memory()).begin() for _ in range(threads)]
    _side_by_side(work, threads)
    node_start, node_total = _lay_out(node_count)
    edge_start, edge_total = _lay_out(edge_count)
    node, node_out = _tensors(node_total, 2)
    edge, edge_out = _tensors(edge_total, 3)
    _side_by_side(write, threads)
    _idle.extend(part for part in memory if part.bytes <= _KEEP)
    edge_types = [adjacency.edge_type for adjacency in adjacencies]
    return Sample(
        node={name: columns[0] for name, columns in zip(names, node, strict=True)},
        batch={name: columns[1] for name, columns in zip(names, node, strict=True)},
        row={name: columns[0] for name, columns in zip(edge_types, edge, strict=True)},
        col={name: columns[1] for name, columns in zip(edge_types, edge, strict=True)},
        edge={name: columns[2] for name, columns in zip(edge_types, edge, strict=True)},
        num_nodes=dict(zip(names, node_total.T.tolist(), strict=True)),
        num_edges=dict(zip(edge_types, edge_total.T.tolist(), strict=True)),
    )


@lru_cache(maxsize=1)
def prepare() -> None:
    """Compile now, once in a process: workers forked later need not."""
    one = torch.zeros(1, dtype=torch.int64)
    sample([], {"": 1}, {"": one}, one, one, {})


def _require_cpu(*tensors: Tensor) -> None:
    device = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), None)
    if device is not None:
        raise BackendError(f"the Numba engine samples on the CPU, got a tensor on {device}; use engine='tensor'")


def _columns_of(adjacency: Adjacency) -> tuple[int, ...]:
    """What the kernel's table says of an adjacency, but for its types and number.

    Addresses are asked for every time: pickling tensors for a worker moves them to shared memory.
    """
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in _read_of(adjacency)]
    return (*addresses, int(adjacency.settled))


def _read_of(adjacency: Adjacency) -> _Read:
    """What is read of an adjacency: ``ptr``, ``source``, ``edge``, ``time`` and the first time of each block."""
    if adjacency not in _read:
        given = (adjacency.ptr, adjacency.source, adjacency.edge, adjacency.time)
        _require_cpu(*(tensor for tensor in given if tensor is not None))
        if any(tensor is not None and not tensor.is_contiguous() for tensor in given):
            raise ShapeError(f"adjacency {adjacency.edge_type}: expected contiguous tensors; copy them first")
        ptr, source, edge, time = given
        blocks = None if time is None else time[:: kernel.BLOCK].clone()
        _read[adjacency] = (None if _counts(ptr) else ptr, source, None if _counts(edge) else edge, time, blocks)
    return _read[adjacency]


def _counts(values: Tensor) -> bool:
    """Whether they are 0, 1, 2, ..."""
    size = values.numel()
    return bool(size) and int(values[-1]) == size - 1 and torch.equal(values, torch.arange(size))


def _tensors(total: NDArray[np.int64], columns: int) -> tuple[list[list[Tensor]], NDArray[np.int64]]:
    """Empty tensors for what was counted of each type, and their addresses."""
    out = [[torch.empty(size, dtype=torch.int64) for _ in range(columns)] for size in total.sum(0).tolist()]
    addresses = [[tensor.data_ptr() for tensor in row] for row in out]
    return out, np.array(addresses, np.int64).reshape(len(out), columns)


def _lay_out(count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    start, total = np.empty_like(count), np.empty(count.shape[1:], np.int64)
    kernel.lay_out(count, start, total)
    return start, total


def _side_by_side(work: Callable[[int], None], threads: int) -> None:
    """Do the work of every thread, the first one's in this one."""
    others = [_threads(os.getpid()).submit(work, i) for i in range(1, threads)]
    try:
        work(0)
    finally:
        wait(others)
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Threads of this process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(max_workers=_MOST_THREADS, thread_name_prefix="relgraph-sampling")

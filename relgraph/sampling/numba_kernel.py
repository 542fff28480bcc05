"""The compiled part of :mod:`relgraph.sampling.engine_numba`; tensors and buffers come as addresses.

Every compiled function is in this one file, since Numba's cache notices a change only in the file of the function that
is called. None holds the interpreter lock, so plain threads run them side by side: no threading layer is needed that
would die in a forked worker. None allocates or takes slices: that would more than double the time it takes to compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from relgraph.data.time import STATIC
from relgraph.ops.compiled import compiled
from relgraph.sampling.decay import REACH

__all__ = ["BLOCK", "DECAYED", "LAST", "PARTS", "STATE", "TABLE", "UNIFORM", "lay_out", "sample_seeds", "write_seeds"]

UNIFORM, LAST, DECAYED = range(3)
# columns of the table of edge types: five addresses, whether no edge is later than its target, two node types, the
# number of the edge type; without PTR there is one edge per target, in their order; without EDGE an edge's number is
# its slot; without TIME all are static; BLOCKS has the first of every BLOCK times
PTR, SOURCE, EDGE, TIME, BLOCKS, SETTLED, SOURCE_TYPE, TARGET_TYPE, NUMBER = range(9)
BLOCK = 32
# what a thread knows of its memory: addresses, sizes, how much is used, and what was missing
SCRATCH, STRIDE, ROOM, HASH, NODES, MAX_NODES, SOURCES, TARGETS, EDGES, MAX_EDGES = range(10)
STAMP, NUM_NODES, NUM_EDGES, PENDING, NEED_ROOM, NEED_NODES, NEED_EDGES = range(10, 17)
STATE = 17
PARTS = 13  # of the scratch memory
TABLE = 1024  # places of the hash table that a seed starts with, a power of two
_SMALL = 40  # so many values are sorted by insertion
_POSITIVE = np.uint64(2**63 - 1)
_FARTHEST = 2**63 - 1

_inlined: Callable[[Callable[..., Any]], Any] = njit(nogil=True)
_intrinsic: Callable[[Callable[..., Any]], Any] = intrinsic


def _reader(kind: Any, width: Any) -> Any:
    @_intrinsic
    def read(typing: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.gep(builder.inttoptr(args[0], width.as_pointer()), [args[1]])
            return builder.load(place)

        return kind(types.int64, types.int64), generate

    return read


def _writer(kind: Any, width: Any) -> Any:
    @_intrinsic
    def write(typing: Any, address: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.gep(builder.inttoptr(args[0], width.as_pointer()), [args[1]])
            builder.store(args[2], place)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, kind), generate

    return write


@_intrinsic
def _take_next(typing: Any, address: Any) -> Any:
    """Count up the int64 at an address for all threads; what it was."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.int64), generate


@_intrinsic
def _bits(typing: Any, value: Any) -> Any:
    """The bits of a float64 as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@_intrinsic
def _from_bits(typing: Any, value: Any) -> Any:
    """The float64 with these bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@_intrinsic
def prefetch(typing: Any, address: Any, index: Any) -> Any:
    """Ask for the int64 at an address to be brought into the cache."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), [args[1]])
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(function, [place, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


# get(address, index) and put(address, index, value): the int64 there; 32 is for int32, real for float64
get, put = _reader(types.int64, ir.IntType(64)), _writer(types.int64, ir.IntType(64))
get32, put32 = _reader(types.int32, ir.IntType(32)), _writer(types.int32, ir.IntType(32))
get_real, put_real = _reader(types.float64, ir.DoubleType()), _writer(types.float64, ir.DoubleType())


@_inlined
def _fold(state: Any, value: Any) -> Any:
    x = (state ^ np.uint64(value)) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_inlined
def _insert(table: int, mask: int, stamp: int, keys: int, found: int, key: int) -> Any:
    """Which of the ``found`` keys this one is; ``found`` where it is new, which makes it the next one.

    A place below the stamp is empty: raising the stamp empties the table.
    """
    place = np.int64(((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & np.uint64(mask))
    while True:
        which = get(table, place) - stamp
        if which < 0:
            put(table, place, stamp + found)
            put(keys, found, key)
            return found
        if get(keys, which) == key:
            return which
        place = (place + 1) & mask


@_inlined
def _visible(
    ptr: int, time: int, blocks: int, targets: int, size: int, base: int, moment: int, start: int, known: int, end: int
) -> None:
    """Where the neighbours of each target start and how many are known.

    First a search among the blocks, whose first times stay in the cache, then within the one block that is left: all of
    the former before the latter, so that reads of far blocks need not wait for each other.
    """
    for i in range(size):
        low = get(targets, i) - base
        high = low + 1
        if ptr:
            low, high = get(ptr, low), get(ptr, high)
        put(start, i, low)
        if time and high - low > BLOCK:
            # blocks[first:first + left] begin within the row; how many of them do so by the moment
            first = (low + BLOCK - 1) // BLOCK
            left = (high + BLOCK - 1) // BLOCK - first
            while left > 0:
                half = left >> 1
                seen = get(blocks, first + half) <= moment
                first = first + half + 1 if seen else first
                left = left - half - 1 if seen else half
            low, high = max(low, (first - 1) * BLOCK), min(high, first * BLOCK)
            for line in range(0, BLOCK, 8):
                prefetch(time, low + line)
        put(known, i, low)
        put(end, i, high)
    for i in range(size):
        low, high = get(known, i), get(end, i)
        if time:
            while low < high:
                middle = (low + high) >> 1
                seen = get(time, middle) <= moment
                low = middle + 1 if seen else low
                high = high if seen else middle
        put(known, i, high - get(start, i))


@_inlined
def _sort(keys: int, order: int, size: int, other_keys: int, other_order: int, count: int) -> None:
    """Sort keys, in place, and int32 with them: by insertion, or by the bytes in which they differ."""
    if size <= _SMALL:
        for i in range(1, size):
            key, which = get(keys, i), get32(order, i)
            j = i
            while j > 0 and get(keys, j - 1) > key:
                put(keys, j, get(keys, j - 1))
                put32(order, j, get32(order, j - 1))
                j -= 1
            put(keys, j, key)
            put32(order, j, which)
        return
    least, most = get(keys, 0), get(keys, 0)
    for i in range(1, size):
        least, most = min(least, get(keys, i)), max(most, get(keys, i))
    shift, given, given_order, out, out_order = 0, keys, order, other_keys, other_order
    while (most - least) >> shift:
        for digit in range(256):
            put(count, digit, 0)
        for i in range(size):
            digit = ((get(given, i) - least) >> shift) & 255
            put(count, digit, get(count, digit) + 1)
        total = 0
        for digit in range(256):
            here = get(count, digit)
            put(count, digit, total)
            total += here
        for i in range(size):
            key = get(given, i)
            digit = ((key - least) >> shift) & 255
            at = get(count, digit)
            put(out, at, key)
            put32(out_order, at, get32(given_order, i))
            put(count, digit, at + 1)
        shift += 8
        given, given_order, out, out_order = out, out_order, given, given_order
    if given != keys:
        for i in range(size):
            put(keys, i, get(given, i))
            put32(order, i, get32(given_order, i))


@_inlined
def _log2(x: Any) -> Any:
    """The logarithm of :mod:`relgraph.sampling.decay`."""
    bits = _bits(x)
    exponent = (bits >> 52) - 1023
    m = _from_bits((bits & (2**52 - 1)) | (1023 << 52))
    if m > 1.4142135623730951:
        m *= 0.5
        exponent += 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1 / 21
    for i in range(9, -1, -1):
        p = p * z + 1 / (2 * i + 1)
    return np.float64(exponent) + (s * p) * 2.8853900817779268


@_inlined
def _prefix(time: int, low: int, high: int, moment: int) -> Any:
    """How many slots from ``low`` on, below ``high``, have at most this time."""
    start = low
    while low < high:
        middle = (low + high) >> 1
        if get(time, middle) <= moment:
            low = middle + 1
        else:
            high = middle
    return low - start


@_inlined
def _worse(key: Any, position: Any, other_key: Any, other_position: Any) -> Any:
    return key > other_key or (key == other_key and position < other_position)


@_inlined
def _decayed(time: int, start: int, known: int, k: int, base: Any, half_life: int, race: int, won: int) -> None:
    """The ``k`` winners of the race of :mod:`relgraph.sampling.decay`, as a heap with the worst on top.

    Newest first: once age alone keeps a candidate from winning, so does that of all before it. Of equal keys the one
    that is there already stays.
    """
    first, statics, newest, oldest = 0, known, STATIC, STATIC
    if time:
        newest, edge = get(time, start + known - 1), get(time, start + known - k)
        statics = _prefix(time, start, start + known, STATIC)
        if statics < known:
            oldest = get(time, start + statics)
        if edge >= STATIC + REACH * half_life:
            first = _prefix(time, start, start + known, edge - REACH * half_life - 1)
            if first <= statics:
                first = 0
    size = 0
    for position in range(known - 1, first - 1, -1):
        age = 0
        if newest != STATIC:
            age = newest - (oldest if position < statics else get(time, start + position))
            if age < 0:
                age = _FARTHEST
        aged = np.float64(age) / np.float64(half_life)
        if size == k and aged - 53.0 >= get_real(race, 0):  # log2(-log2(u)) is above -53
            break
        word = _fold(base, position)
        u = np.float64(np.int64((word >> np.uint64(12)) & np.uint64(2**52 - 1)) * 2 + 1) * 2.0**-53
        if size == k:
            # -log2(u) is above (1 - u) / ln 2, whose exponent alone mostly says that this one is too late
            exponent = (_bits((1.0 - u) * 1.442695040888963) >> 52) - 1023
            if np.float64(exponent) - 0.001 + aged >= get_real(race, 0):
                continue
        key = _log2(-_log2(u)) + aged
        if size < k:
            i = size
            size += 1
            while i > 0:
                up = (i - 1) >> 1
                if not _worse(key, position, get_real(race, up), get(won, up)):
                    break
                put_real(race, i, get_real(race, up))
                put(won, i, get(won, up))
                i = up
        elif _worse(get_real(race, 0), get(won, 0), key, position):
            i = 0
            while 2 * i + 1 < k:
                down = 2 * i + 1
                if down + 1 < k and _worse(
                    get_real(race, down + 1), get(won, down + 1), get_real(race, down), get(won, down)
                ):
                    down += 1
                if not _worse(get_real(race, down), get(won, down), key, position):
                    break
                put_real(race, i, get_real(race, down))
                put(won, i, get(won, down))
                i = down
        else:
            continue
        put_real(race, i, key)
        put(won, i, position)


@_inlined
def _uniform(base: Any, start: int, known: int, k: int, slot: int) -> None:
    """The slots ``start + floor((draw mod known + j known) / k)``, counted on without a division."""
    draw = np.int64(base) % known
    place, over = start + draw // k, draw % k
    whole, rest = known // k, known % k
    for j in range(k):
        put(slot, j, place)
        over += rest
        carry = over >= k
        over -= k if carry else 0
        place += whole + carry


@compiled
def sample_seeds(
    worker: int,
    next_seed: int,
    adjacencies: Any,
    fan_out: Any,
    first: Any,
    reach: Any,
    seed_type: Any,
    node: Any,
    visible: Any,
    state: Any,
    strategy: int,
    half_life: int,
    place: Any,
    node_count: Any,
    edge_count: Any,
    memory: Any,
) -> bool:
    """Sample seeds that no other thread has taken, until none is left.

    A node is the one number ``first[type] + node``. Within a seed's subgraph nodes are numbered by hop, then by this
    number.

    Args:
        worker: Number of this thread.
        next_seed: Address of the count of seeds taken.
        adjacencies: A row per edge type, int64; see the columns above.
        fan_out: int64 ``[hops, edge types]``.
        first: Nodes of the types before each type, int64 ``[types + 1]``.
        reach: Room for where the nodes of each type start among those of the last hop, int64 ``[types + 1]``.
        seed_type: Types of the seeds, int64 ``[B]``.
        node: Seeds, int64 ``[B]``.
        visible: The latest moment each may see, int64 ``[B]``.
        state: Where their random numbers start, uint64 ``[B]``.
        strategy: UNIFORM, LAST or DECAYED.
        half_life: For DECAYED.
        place: Written: per seed the thread, and where its nodes and edges start in the memory of it, int64 ``[B, 3]``.
        node_count: Written: nodes per seed, hop and type, int64 ``[B, hops + 1, types]``; starts as zeros.
        edge_count: Written: edges per seed, hop and edge type, int64 ``[B, hops, edge types]``; starts as zeros.
        memory: Of this thread, int64 ``[STATE]``.

    Returns:
        Whether that is done. If not, memory is missing, and there is a seed to begin again.
    """
    scratch, stride, nodes = memory[SCRATCH], 8 * memory[STRIDE], memory[NODES]
    source, target, edge = memory[SOURCES], memory[TARGETS], memory[EDGES]
    start, known, left = scratch, scratch + stride, scratch + 2 * stride
    keys, rank, order, reached = (
        scratch + 4 * stride,
        scratch + 5 * stride,
        scratch + 6 * stride,
        scratch + 7 * stride,
    )
    other_keys, other_order, race, digits = (
        scratch + 8 * stride,
        scratch + 9 * stride,
        scratch + 10 * stride,
        scratch + 11 * stride,
    )
    num_types = first.size - 1
    while True:
        seed = memory[PENDING]
        if seed < 0:
            seed = _take_next(next_seed)
        if seed >= node.size:
            return True
        memory[PENDING] = seed
        num_nodes, num_edges = memory[NUM_NODES], memory[NUM_EDGES]
        if num_nodes + 1 >= memory[MAX_NODES]:
            memory[NEED_NODES] = num_nodes + 1
            return False
        place[seed, 0], place[seed, 1], place[seed, 2] = worker, num_nodes, num_edges
        table, mask, stamp, found, enough = memory[HASH], TABLE - 1, memory[STAMP], 1, True
        seed_key, moment, kind = first[seed_type[seed]] + node[seed], visible[seed], seed_type[seed]
        _insert(table, mask, stamp, keys, 0, seed_key)
        put(nodes, num_nodes, seed_key)
        put32(rank, 0, 0)
        node_count[seed, 0, kind] = 1
        for t in range(num_types + 1):
            reach[t] = t > kind
        for hop in range(fan_out.shape[0]):
            before, hop_edges = found, num_edges
            hop_state = _fold(state[seed], hop)
            for a in range(adjacencies.shape[0]):
                fan, t = fan_out[hop, a], adjacencies[a, TARGET_TYPE]
                low, size = reach[t], reach[t + 1] - reach[t]
                if fan == 0 or size == 0:
                    continue
                time, targets, base = adjacencies[a, TIME], nodes + 8 * (num_nodes + low), first[t]
                # whatever was reached is known by the moment itself, and so are its edges if none is later
                searched = 0 if hop > 0 and adjacencies[a, SETTLED] else time
                blocks = adjacencies[a, BLOCKS]
                _visible(adjacencies[a, PTR], searched, blocks, targets, size, base, moment, start, known, left)
                total = 0
                for i in range(size):
                    k = get(known, i)
                    if fan >= 0:
                        k = min(k, fan)
                    put(left, i, k)
                    total += k
                if total == 0:
                    continue
                t = adjacencies[a, SOURCE_TYPE]
                bound = found + min(total, first[t + 1] - first[t])
                memory[NEED_ROOM] = max(memory[NEED_ROOM], bound, total)
                memory[NEED_NODES] = max(memory[NEED_NODES], num_nodes + bound)
                memory[NEED_EDGES] = max(memory[NEED_EDGES], num_edges + total)
                enough = (
                    memory[NEED_ROOM] <= memory[ROOM]
                    and memory[NEED_NODES] < memory[MAX_NODES]
                    and memory[NEED_EDGES] <= memory[MAX_EDGES]
                )
                if not enough:
                    break
                edge_count[seed, hop, a] = total
                type_state, slot = _fold(hop_state, adjacencies[a, NUMBER]), edge + 8 * num_edges
                for i in range(size):
                    k, n, row = get(left, i), get(known, i), get(start, i)
                    if k == n or strategy == LAST:
                        for j in range(k):
                            put(slot, j, row + n - k + j)
                    elif k > 0:
                        drawn = _fold(type_state, get(targets, i) - base) & _POSITIVE
                        if strategy == DECAYED:
                            _decayed(time, row, n, k, drawn, half_life, race, slot)
                            _sort(slot, other_order, k, other_keys, order, digits)
                            for j in range(k):
                                put(slot, j, get(slot, j) + row)
                        else:
                            _uniform(drawn, row, n, k, slot)
                    for j in range(k):
                        put32(target, num_edges + j, low + i)
                    num_edges += k
                    slot += 8 * k
                # reads that need not wait for each other, then the table, which is in the cache
                base, slot, at = first[t], slot - 8 * total, num_edges - total
                sources, numbers = adjacencies[a, SOURCE], adjacencies[a, EDGE]
                if numbers == sources:
                    for j in range(total):
                        number = get(sources, get(slot, j))
                        put(reached, j, base + number)
                        put(slot, j, number)
                else:
                    for j in range(total):
                        put(reached, j, base + get(sources, get(slot, j)))
                    if numbers:
                        for j in range(total):
                            put(slot, j, get(numbers, get(slot, j)))
                if 2 * bound > mask + 1:
                    while 2 * bound > mask + 1:
                        mask = 2 * mask + 1
                    stamp += found
                    for i in range(found):
                        _insert(table, mask, stamp, keys, i, get(keys, i))
                for j in range(total):
                    which = _insert(table, mask, stamp, keys, found, get(reached, j))
                    put32(source, at + j, which)
                    found += which == found
            if not enough:
                break
            # the new nodes are numbered in their order
            new, fresh = found - before, nodes + 8 * (num_nodes + before)
            for i in range(new):
                put(fresh, i, get(keys, before + i))
                put32(order, i, before + i)
            _sort(fresh, order, new, other_keys, other_order, digits)
            i = 0
            for t in range(num_types):
                reach[t] = before + i
                while i < new and get(fresh, i) < first[t + 1]:
                    put32(rank, get32(order, i), before + i)
                    i += 1
                node_count[seed, hop + 1, t] = before + i - reach[t]
            reach[num_types] = found
            for j in range(hop_edges, num_edges):
                put32(source, j, get32(rank, get32(source, j)))
        memory[STAMP] = stamp + found
        if not enough:
            return False
        memory[NUM_NODES], memory[NUM_EDGES], memory[PENDING] = num_nodes + found, num_edges, -1


@compiled
def lay_out(count: Any, start: Any, total: Any) -> None:
    """Where what was counted goes, and how much there is in all.

    Args:
        count: Per seed, hop and type, int64 ``[B, hops, types]``.
        start: Written: where that of each seed starts when all of a type is listed by hop, then seed; like ``count``.
        total: Written: the sums over seeds, int64 ``[hops, types]``.
    """
    for t in range(count.shape[2]):
        at = 0
        for hop in range(count.shape[1]):
            before = at
            for seed in range(count.shape[0]):
                start[seed, hop, t] = at
                at += count[seed, hop, t]
            total[hop, t] = at - before


@compiled
def write_seeds(
    worker: int,
    place: Any,
    first: Any,
    node_count: Any,
    node_start: Any,
    edge_count: Any,
    edge_start: Any,
    node_out: Any,
    edge_out: Any,
    memory: Any,
) -> None:
    """Write the subgraphs that a thread has sampled to where they belong.

    Args:
        worker: Number of this thread.
        place: As :func:`sample_seeds` left it; likewise the counts and the memory.
        first: Nodes of the types before each type.
        node_count: Nodes per seed, hop and type.
        node_start: Where they go.
        edge_count: Edges per seed, hop and edge type.
        edge_start: Where they go.
        node_out: Per type the addresses of node numbers and seeds, int64 ``[types, 2]``.
        edge_out: Per edge type the addresses of sources, targets and stored edges, int64 ``[edge types, 3]``.
        memory: Of this thread.
    """
    final = memory[SCRATCH]  # numbers in the sample
    for seed in range(place.shape[0]):
        if place[seed, 0] != worker:
            continue
        at, found = memory[NODES] + 8 * place[seed, 1], 0
        for hop in range(node_count.shape[1]):
            for t in range(node_count.shape[2]):
                start, base = node_start[seed, hop, t], first[t]
                numbers, batch = node_out[t, 0], node_out[t, 1]
                for i in range(start, start + node_count[seed, hop, t]):
                    put(numbers, i, get(at, found) - base)
                    put(batch, i, seed)
                    put(final, found, i)
                    found += 1
        j = place[seed, 2]
        for hop in range(edge_count.shape[1]):
            for a in range(edge_count.shape[2]):
                start, count = edge_start[seed, hop, a], edge_count[seed, hop, a]
                row, col, number = edge_out[a, 0], edge_out[a, 1], edge_out[a, 2]
                for i in range(start, start + count):
                    put(row, i, get(final, get32(memory[SOURCES], j)))
                    put(col, i, get(final, get32(memory[TARGETS], j)))
                    put(number, i, get(memory[EDGES], j))
                    j += 1

r"""Random numbers without a generator: each is a hash of what it is for.

A draw depends on nothing but the sampler's seed, the epoch, the seed row and the place in its subgraph, so neither the
order of a batch nor workers, ranks or a resumed run can change a sample. All arithmetic is on 64-bit words modulo
:math:`2^{64}` (two's complement int64 here, ``uint64`` elsewhere: the same bits):

.. math::
    \mathrm{mix}(x) &: x \leftarrow (x \oplus (x \gg 30)) \cdot \mathtt{BF58476D1CE4E5B9};\;
    x \leftarrow (x \oplus (x \gg 27)) \cdot \mathtt{94D049BB133111EB};\; x \oplus (x \gg 31) \\
    \mathrm{fold}(h, v) &= \mathrm{mix}((h \oplus v) + \mathtt{9E3779B97F4A7C15})

with logical shifts: the finaliser of SplitMix64 (Steele, Lea and Flood 2014). A seed row is identified by its node type
(position in ``HeteroGraph.nodes``), node number and seed time, not by its place in a batch, so two equal rows draw the
same sample:

.. math::
    s &= \mathrm{fold}(\mathrm{fold}(\mathrm{fold}(\mathrm{fold}(\mathrm{fold}(0, \text{seed}), \text{epoch}),
         \text{type}), \text{node}), \text{time}) \\
    \text{draw} &= \mathrm{fold}(\mathrm{fold}(\mathrm{fold}(s, \text{hop}), \text{edge type}), \text{target node})
                   \bmod 2^{63}

where hops count from 0, and the edge type at position ``i`` of ``HeteroGraph.edges`` has the number ``2 i``, its
``rev_`` direction ``2 i + 1``. Sampling without a seed time folds ``UNKNOWN`` as the time.

Both ends of a link are seeds like any other row. Its negatives are drawn with

.. math::
    \ell &= \mathrm{fold}(\mathrm{fold}(\mathrm{fold}(s, -1), \text{target type}), \text{target node}) \\
    \text{draw} &= \mathrm{fold}(\mathrm{fold}(\ell, \text{end}), i) \bmod 2^{63}

where :math:`s` is the state of its source, the end 0 for a negative source and 1 for a negative target, and :math:`i`
counts the negatives of the link from 0. So two equal links have equal negatives in an epoch.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw", "fold", "link_state", "mix", "negative_draw", "seed_state"]


def _signed(word: int) -> int:
    return (word + 2**63) % 2**64 - 2**63


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)
_POSITIVE = 2**63 - 1


def _shift(x: Tensor, bits: int) -> Tensor:
    # torch shifts int64 arithmetically: clear the copies of the sign bit
    return (x >> bits).bitwise_and((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64, int64 in and out."""
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def fold(state: Tensor, value: Tensor | int) -> Tensor:
    """Take one more value into a state.

    Args:
        state: int64, any shape.
        value: int64 tensor that broadcasts with ``state``, or a Python integer (taken modulo 2^64).
    """
    word = _signed(value) if isinstance(value, int) else value
    return mix((state ^ word) + _GOLDEN)


def seed_state(seed: int, epoch: Tensor | int, node_type: int, node: Tensor, time: Tensor) -> Tensor:
    """The state that a seed row's draws start from.

    Args:
        seed: The sampler's seed.
        epoch: The epoch.
        node_type: Position of the seeds' node type in the graph.
        node: Node numbers, int64 ``[B]``.
        time: Seed times in microseconds, int64 ``[B]``.

    Returns:
        int64 ``[B]``.
    """
    state = torch.zeros((), dtype=torch.int64, device=node.device)
    for value in (seed, epoch, node_type, node, time):
        state = fold(state, value)
    return state


def draw(state: Tensor, hop: int, edge_type: int, node: Tensor) -> Tensor:
    """One number in ``[0, 2^63)`` per target node.

    Args:
        state: State of the seed each node belongs to, int64 ``[F]``.
        hop: Counts from 0.
        edge_type: Number of the edge type.
        node: Target node numbers, int64 ``[F]``.
    """
    return fold(fold(fold(state, hop), edge_type), node) & _POSITIVE


def link_state(source: Tensor, target_type: int, target: Tensor) -> Tensor:
    """The state that the negatives of a link are drawn from.

    Args:
        source: State of the source row, int64 ``[B]``, from :func:`seed_state`.
        target_type: Position of the target's node type in the graph.
        target: Node numbers, int64 ``[B]``.
    """
    return fold(fold(fold(source, -1), target_type), target)


def negative_draw(state: Tensor, end: int, number: Tensor) -> Tensor:
    """One number in ``[0, 2^63)`` per negative.

    Args:
        state: State of the link each belongs to, int64 ``[N]``, from :func:`link_state`.
        end: 0 for a negative source, 1 for a negative target.
        number: Which negative of its link it is, int64 ``[N]``.
    """
    return fold(fold(state, end), number) & _POSITIVE

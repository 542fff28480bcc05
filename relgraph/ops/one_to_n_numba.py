"""The compiled part of :mod:`relgraph.ops.one_to_n_loss`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from relgraph.ops.compiled import compiled, over_rows

__all__ = ["softplus_and_slope"]

_ONE, _TWO, _ZERO, _HALF = np.float32(1), np.float32(2), np.float32(0), np.float32(0.5)
# exp(x) = 2^n exp(r) with n the nearest whole number to x / ln 2, which is taken off in two parts
_PER_LN2, _LN2_HIGH, _LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST = np.float32(-87.0)  # exp of less is no normal number
_E2, _E3, _E4 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
_E5, _E6, _E7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_THIRD, _FIFTH, _SEVENTH = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7)
_NINTH, _ELEVENTH = np.float32(1 / 9), np.float32(1 / 11)
_EXPONENT, _BIAS = np.int32(23), np.int32(127)


def softplus_and_slope(score: Tensor, uniform: float) -> float:
    """``sum(softplus(s) - uniform s)`` of a tile, which becomes its derivative ``sigmoid(s) - uniform``.

    One pass with one exponential and two divisions for each score, within 2 units of the last place.

    Args:
        score: float32 ``[rows, width]``, contiguous; changed in place.
        uniform: What smoothing adds to every target.
    """
    array, shift = score.numpy(), np.float32(uniform)
    return float(sum(over_rows(lambda a, b: _tile(array[a:b], shift), len(array))))


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _tile(score: Any, uniform: Any) -> Any:
    total: Any = 0.0
    for i in range(score.shape[0]):
        row = _ZERO
        for j in range(score.shape[1]):
            s = score[i, j]
            x = max(-abs(s), _LEAST)
            n = np.floor(x * _PER_LN2 + _HALF)
            r = x - n * _LN2_HIGH - n * _LN2_LOW
            p = ((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _E2
            power = np.int32((np.int32(n) + _BIAS) << _EXPONENT).view(np.float32)  # the bits of 2^n
            e = (p * r * r + r + _ONE) * power  # exp(-|s|)
            # log(1 + e) = 2 artanh(z), by its series: z is at most a third
            z = e / (_TWO + e)
            q = z * z
            series = ((((_ELEVENTH * q + _NINTH) * q + _SEVENTH) * q + _FIFTH) * q + _THIRD) * q + _ONE
            row += max(s, _ZERO) + _TWO * z * series - uniform * s
            w = _ONE / (_ONE + e)
            score[i, j] = (w if s >= _ZERO else e * w) - uniform
        total += row
    return total

"""The compiled sums of `qtorque.quadrature`: both rules, the spread of the integrand and its size in one pass."""

import math

import numpy as np
from numba import njit

LANES = 64
"""Intervals worked on together: their scratch arrays stay in the first-level cache."""


@njit(cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def gauss_kronrod(f, half, kronrod_weights, gauss_weights, rounding, noise, value, error, floor):
    """Kronrod value, QUADPACK's error estimate, and the rounding it is limited by, of every column and interval.

    With K and G the two rules, S = sum of weights |f| and D = sum of weights |f - K/2|, the error is
    D min(1, (200 |K - G|/D)^1.5). Where |K - G| is below the rounding of the sum, it counts as such.

    Parameters
    ----------
    f
        shape (columns, nodes, intervals)
    half
        Half the length of the intervals.
    rounding, noise
        Relative to S, and absolute.
    value, error, floor
        Results, shape (columns, intervals).
    """
    columns, nodes, intervals = f.shape
    w = np.empty(4 * LANES)
    K, G, S, D = 0, LANES, 2 * LANES, 3 * LANES
    for c in range(columns):
        for start in range(0, intervals, LANES):
            count = min(LANES, intervals - start)
            for j in range(count):
                w[K + j], w[G + j], w[S + j], w[D + j] = 0.0, 0.0, 0.0, 0.0
            for node in range(nodes):
                a, b, row = kronrod_weights[node], gauss_weights[node], f[c, node]
                for j in range(count):
                    x = row[start + j]
                    w[K + j] += a * x
                    w[G + j] += b * x
                    w[S + j] += a * abs(x)
            for node in range(nodes):
                a, row = kronrod_weights[node], f[c, node]
                for j in range(count):
                    w[D + j] += a * abs(row[start + j] - 0.5 * w[K + j])
            for j in range(count):
                length = half[start + j]
                difference, spread, size = abs(w[K + j] - w[G + j]), w[D + j], w[S + j]
                limit = max(rounding * size, noise)
                value[c, start + j] = w[K + j] * length
                if difference <= limit:
                    error[c, start + j] = 0.0
                    floor[c, start + j] = min(limit, size) * length
                else:
                    ratio = 200.0 * difference / spread if spread > 0.0 else 0.0
                    share = spread * ratio * math.sqrt(ratio) if ratio < 1.0 else spread
                    error[c, start + j] = (share if spread > 0.0 else difference) * length
                    floor[c, start + j] = 0.0

"""Compiled kernel of the chain of cells in `qtorque.llg.fokker_planck`."""

import numpy as np
from numba import njit


@njit(cache=True)
def resolvent(left, right, loss, decay, scale, b):
    """x of (decay - scale Q) x = b >= 0, where dp/dt = Q p moves probability between neighbouring cells.

    The elimination is that of W. K. Grassmann, M. I. Taksar and D. P. Heyman, Oper. Res. 33, 1107 (1985; from memory):
    the diagonal, decay + scale (left + right + loss), is never formed. What an eliminated cell takes from its
    neighbour's outflow is either returned, and cancels, or lost, and is added. Nothing is subtracted, so every x_i has
    a small relative error, however small it is, and the sum of x is that of b to rounding.

    Parameters
    ----------
    left, right, loss : (n,), >= 0
        Rates from a cell to the ones before and behind it, and out of the chain; left[0] = right[-1] = 0.
    decay, scale : >= 0
    b : (n,), >= 0; of any sign by linearity
    """
    n = b.size
    inverse, reduced, x = np.empty(n), np.empty(n), np.empty(n)
    excess = decay + scale * loss[0]
    source = b[0]
    for i in range(n - 1):
        outflow = scale * right[i]
        inverse[i] = 1 / (excess + outflow)
        reduced[i] = source
        source = b[i + 1] + source * (outflow * inverse[i])
        excess = decay + scale * loss[i + 1] + scale * left[i + 1] * (excess * inverse[i])
    x[n - 1] = source / excess
    for i in range(n - 2, -1, -1):
        x[i] = (reduced[i] + scale * left[i + 1] * x[i + 1]) * inverse[i]
    return x

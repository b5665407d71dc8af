"""Adaptive Gauss-Kronrod quadrature of many integrals at once, for sums over k of integrals over energy.

Every momentum has its own thresholds and resonances, so every momentum gets its own intervals; but they share one error
budget, because only their weighted sum matters. All active intervals are evaluated in one call of the integrand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque._quadrature_kernels import gauss_kronrod

_KRONROD_HALF = np.array([
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851, 0.864864423359769072789712788640926,
    0.741531185599394439863864773280788, 0.586087235467691130294144691693013, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245, 0.0,
])  # fmt: skip
_KRONROD_WEIGHTS_HALF = np.array([
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204, 0.104790010322250183839876322541518,
    0.140653259715525918745189590510238, 0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649, 0.209482141084727828012999174891714,
])  # fmt: skip
_GAUSS_WEIGHTS_HALF = np.array([
    0.129484966168869693270611432679082, 0.279705391489276667901467771423780,
    0.381830050505118944950369775488975, 0.417959183673469387755102040816327,
])  # fmt: skip
# R. Piessens et al., QUADPACK, Springer 1983, rule QK15: 15 Kronrod nodes, 7 of them Gauss nodes.
NODES = np.concatenate([-_KRONROD_HALF, _KRONROD_HALF[-2::-1]])
KRONROD_WEIGHTS = np.concatenate([_KRONROD_WEIGHTS_HALF, _KRONROD_WEIGHTS_HALF[-2::-1]])
GAUSS_WEIGHTS = np.zeros(15)
GAUSS_WEIGHTS[1::2] = np.concatenate([_GAUSS_WEIGHTS_HALF, _GAUSS_WEIGHTS_HALF[-2::-1]])

SMALLEST_INTERVAL = 2.0**-44
"""Share of the whole interval below which nothing is bisected any more: nodes would coincide in rounding."""
ROUNDING = 50 * np.finfo(float).eps
"""An error below this share of the integral of |f| is rounding, and no bisection lowers it (as in QUADPACK)."""
MOST_INTERVALS = 400
"""Intervals for each k on average at which bisection ends: a few thresholds take less, noise would take any number."""
BLOCK_VALUES = 2**17
"""Values of the integrand in one call of it: they stay in the cache, and bound the memory."""


@dataclass(frozen=True, eq=False)
class Integral:
    """`value` and `error` (an estimate, an upper bound in practice) of every column; `evaluations` of the integrand."""

    value: np.ndarray
    error: np.ndarray
    evaluations: int


def integrate(
    integrand: Callable[[np.ndarray, np.ndarray], np.ndarray],
    start: float,
    stop: float,
    weights: np.ndarray,
    *,
    tolerance: float,
    reference: np.ndarray,
    breakpoints: Sequence[np.ndarray] | None = None,
    absolute: float = 0.0,
    noise: float = 0.0,
) -> Integral:
    """sum_k weights[k] Int_start^stop dx f_k(x), to a relative tolerance.

    Parameters
    ----------
    integrand
        Function (number of k, shape (m,); nodes x, shape (m, 15)) -> real values, shape (m, 15, columns).
    start, stop
        Limits, the same for every k.
    weights
        shape (nk,)
    tolerance
        The error of every column, as estimated by the rule, stays below `tolerance` times the largest reference column
        of the result.
    reference
        Which columns set the scale, boolean, shape (columns,).
    breakpoints
        For every k the places where its first intervals are to end; those outside the limits are left out.
    absolute
        An error of this size is accepted whatever the result: rounding of the whole integral.
    noise
        Rounding of the integrand itself, absolute: where it is a difference of larger numbers.

    Notes
    -----
    Each round parks the intervals with the smallest errors, as many as fit into half of what is left of the error
    budget, and bisects the others. The order of all sums is fixed: the result is reproducible to the last bit. Where
    rounding or the limits on bisection stand against the tolerance, `error` says what was achieved.
    """
    places = [np.empty(0)] * len(weights) if breakpoints is None else breakpoints
    # Most often all k share one array of breakpoints.
    different = {id(b): b for b in places}
    known = {key: np.unique([start, *b[(b > start) & (b < stop)], stop]) for key, b in different.items()}
    edges = [known[id(b)] for b in places]
    index = np.repeat(np.arange(len(weights)), [len(e) - 1 for e in edges])
    low, high = np.concatenate([e[:-1] for e in edges]), np.concatenate([e[1:] for e in edges])
    value: np.ndarray | float = 0.0
    error: np.ndarray | float = 0.0
    rounding: np.ndarray | float = 0.0
    evaluations = 0
    block = max(1, BLOCK_VALUES // (len(NODES) * reference.size))
    while len(index):
        parts = [
            _rule(integrand, index[i : i + block], low[i : i + block], high[i : i + block], noise)
            for i in range(0, len(index), block)
        ]
        share = weights[index][:, None]
        integral = np.concatenate([p[0] for p in parts]) * share
        estimate = np.concatenate([p[1] for p in parts]) * np.abs(share)
        limit = np.concatenate([p[2] for p in parts]) * np.abs(share)
        evaluations += 15 * len(index)
        total = value + integral.sum(axis=0)
        goal = max(absolute, tolerance * float(np.abs(total[reference]).max(initial=0.0)))
        budget = goal - float(np.max(error))
        worst = estimate.max(axis=1)
        order = np.argsort(worst, kind="stable")
        cumulated = np.cumsum(worst[order])
        fits = len(index) if cumulated[-1] <= budget else np.searchsorted(cumulated, 0.5 * budget, side="right")
        parked = np.zeros(len(index), dtype=bool)
        parked[order[:fits]] = True
        exhausted = evaluations > 15 * MOST_INTERVALS * len(weights)
        parked |= exhausted | (high - low <= SMALLEST_INTERVAL * (stop - start))
        value = value + integral[parked].sum(axis=0)
        error = error + estimate[parked].sum(axis=0)
        rounding = rounding + limit[parked].sum(axis=0)
        index, low, high = index[~parked], low[~parked], high[~parked]
        middle = 0.5 * (low + high)
        index = np.repeat(index, 2)
        low, high = np.stack([low, middle], axis=1).ravel(), np.stack([middle, high], axis=1).ravel()
    return Integral(np.asarray(value), np.asarray(error + rounding), evaluations)


def _rule(integrand, index, low, high, noise) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On each interval the Kronrod value, QUADPACK's error estimate, and the rounding it is limited by: (m, columns).

    Where the difference of the two rules is rounding, it counts as such: no bisection lowers it.
    """
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    f = integrand(index, centre[:, None] + half[:, None] * NODES)
    by_column = np.ascontiguousarray(f.transpose(2, 1, 0))
    value, error, floor = (np.empty((f.shape[2], len(index))) for _ in range(3))
    gauss_kronrod(by_column, half, KRONROD_WEIGHTS, GAUSS_WEIGHTS, ROUNDING, noise, value, error, floor)
    return value.T, error.T, floor.T

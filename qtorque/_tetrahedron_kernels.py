"""The compiled sums of `qtorque.tetrahedra`, tetrahedron by tetrahedron: each band is linear within one."""

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def tetrahedron_sums(levels, shares, tetrahedra, weights, energies, density, number):
    """Add the states below every energy and the density of states.

    Parameters
    ----------
    levels
        Band energies at the points. shape (points, bands)
    shares
        What every state counts for in each channel, shape (channels, points, bands); the mean of the corners is taken.
    tetrahedra
        Numbers of the four corner points. shape (tetrahedra, 4)
    weights
        Share of the zone in each tetrahedron. shape (tetrahedra,)
    energies
        Ascending.
    density, number
        Results that are added to, shape (channels, energies).
    """
    channels, size, bands = shares.shape[0], len(energies), levels.shape[1]
    full = np.zeros((channels, size + 1))
    share = np.empty(channels)
    for t in range(len(tetrahedra)):
        a, b, c, d = tetrahedra[t, 0], tetrahedra[t, 1], tetrahedra[t, 2], tetrahedra[t, 3]
        for n in range(bands):
            e1, e2, e3, e4 = _ascending(levels[a, n], levels[b, n], levels[c, n], levels[d, n])
            if e1 > energies[size - 1]:
                continue
            for s in range(channels):
                share[s] = 0.25 * weights[t] * (shares[s, a, n] + shares[s, b, n] + shares[s, c, n] + shares[s, d, n])
            i = 0 if e1 <= energies[0] else np.searchsorted(energies, e1)
            while i < size and energies[i] < e4:
                states, slope = _filled(energies[i], e1, e2, e3, e4)
                for s in range(channels):
                    number[s, i] += share[s] * states
                    density[s, i] += share[s] * slope
                i += 1
            for s in range(channels):
                full[s, i] += share[s]
    for s in range(channels):
        total = 0.0
        for i in range(size):
            total += full[s, i]
            number[s, i] += total


@njit(cache=True, error_model="numpy", inline="always")
def _ascending(a, b, c, d):
    if a > b:
        a, b = b, a
    if c > d:
        c, d = d, c
    if a > c:
        a, c = c, a
    if b > d:
        b, d = d, b
    if b > c:
        b, c = c, b
    return a, b, c, d


@njit(cache=True, error_model="numpy", inline="always")
def _filled(e, e1, e2, e3, e4):
    """Share of a tetrahedron with corner energies e1 <= e2 <= e3 <= e4 below e in [e1, e4), and its derivative.

    Every region is entered only where its denominators are positive.
    """
    if e < e2:
        x = e - e1
        volume = (e2 - e1) * (e3 - e1) * (e4 - e1)
        return x**3 / volume, 3 * x**2 / volume
    if e < e3:
        x, y = e - e2, e2 - e1
        area = (e3 - e1) * (e4 - e1)
        bend = (e3 - e1 + e4 - e2) / ((e3 - e2) * (e4 - e2))
        return (y**2 + 3 * y * x + 3 * x**2 - bend * x**3) / area, (3 * y + 6 * x - 3 * bend * x**2) / area
    x = e4 - e
    volume = (e4 - e1) * (e4 - e2) * (e4 - e3)
    return 1 - x**3 / volume, 3 * x**2 / volume

"""Sums over the zone of the square lattice for single-band stacks, which know of k only by the in-plane energy."""

import numpy as np
from scipy.special import ellipkm1

import qtorque as qt


def in_plane_energies(thresholds, nodes):
    """Momenta and weights for sums over the zone of f(w), w = -2 (cos k1 + cos k2), between thresholds of f.

    `nodes` of each piece: Gauss-Legendre in u with w = middle - half cos u, which removes square roots at both ends,
    times the density of states K(1 - (w/4)^2)/(2 pi^2).
    """
    w, weights = [], []
    for low, high, number in zip(thresholds[:-1], thresholds[1:], nodes, strict=True):
        x, weight = np.polynomial.legendre.leggauss(number)
        u = 0.5 * np.pi * (x + 1)
        w.append(0.5 * (low + high) - 0.5 * (high - low) * np.cos(u))
        weights.append(0.25 * np.pi * (high - low) * np.sin(u) * weight * ellipkm1((w[-1] / 4) ** 2) / (2 * np.pi**2))
    k = np.arccos(-np.concatenate(w) / 4)
    return qt.kpoints(np.stack([k, k], axis=1), np.concatenate(weights))

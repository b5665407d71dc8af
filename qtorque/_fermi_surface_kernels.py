"""The compiled count of bands below an energy of `qtorque.fermi_surface`, by Sylvester's law of inertia."""

import numpy as np
from numba import njit

LANES = 32
"""Momenta that are factorised together, innermost in memory."""
NO_PIVOT = 1e-200
"""In place of zero: as good as any small number, and its inverse is finite."""


@njit(cache=True, error_model="numpy")
def channels_along_lines(blocks, energy, count, channels):
    """Half the changes of the number of bands below an energy along closed lines of k_z.

    H(k_z) = blocks[0] + sum_m (blocks[m] exp(i m k_z) + adjoint). H - E = L D L^dagger has as many negative eigenvalues
    as D has negative elements.

    Parameters
    ----------
    blocks
        shape (lines, reach + 1, n, n); blocks[:, 0] Hermitian.
    energy
        In the unit of the blocks.
    count
        Momenta of a line, a multiple of `LANES`.
    channels
        Result, shape (lines,).
    """
    lines, terms, n, _ = blocks.shape
    re, im = np.empty((n, n, LANES)), np.empty((n, n, LANES))
    below = np.empty(count, dtype=np.int64)
    for line in range(lines):
        for start in range(0, count, LANES):
            _lower_triangle(blocks[line], energy, start, count, re, im)
            _count_negative(re, im, below[start : start + LANES])
        changes = 0
        for i in range(count):
            changes += abs(below[i] - below[i - 1])
        channels[line] = changes // 2


@njit(cache=True, error_model="numpy")
def _lower_triangle(blocks, energy, start, count, re, im):
    """H(k_z) - E for some momenta from number `start`: its lower triangle."""
    terms, n, _ = blocks.shape
    for i in range(n):
        for j in range(i + 1):
            home = blocks[0, i, j]
            re[i, j, :] = home.real - (energy if i == j else 0.0)
            im[i, j, :] = home.imag
    for m in range(1, terms):
        cosine, sine = np.empty(LANES), np.empty(LANES)
        for c in range(LANES):
            phase = 2 * np.pi * m * (start + c) / count
            cosine[c], sine[c] = np.cos(phase), np.sin(phase)
        for i in range(n):
            for j in range(i + 1):
                # b e^{ix} + conj(b') e^{-ix}, b' the transposed element.
                b, other = blocks[m, i, j], blocks[m, j, i]
                even, odd = b.real + other.real, b.real - other.real
                crossed, straight = b.imag + other.imag, b.imag - other.imag
                for c in range(LANES):
                    re[i, j, c] += even * cosine[c] - crossed * sine[c]
                    im[i, j, c] += straight * cosine[c] + odd * sine[c]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _count_negative(re, im, below):
    """Negative pivots of Hermitian matrices, whose lower triangles are overwritten."""
    n = len(re)
    inverse, factor_re, factor_im = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    below[:] = 0
    for p in range(n):
        for c in range(LANES):
            pivot = re[p, p, c]
            below[c] += 1 if pivot < 0.0 else 0
            # A level that is E to the last digit counts as above.
            inverse[c] = 1.0 / (pivot if pivot != 0.0 else NO_PIVOT)
        for i in range(p + 1, n):
            for c in range(LANES):
                factor_re[c] = re[i, p, c] * inverse[c]
                factor_im[c] = im[i, p, c] * inverse[c]
            for j in range(p + 1, i + 1):
                for c in range(LANES):
                    x, y = re[j, p, c], im[j, p, c]
                    re[i, j, c] -= factor_re[c] * x + factor_im[c] * y
                    im[i, j, c] -= factor_im[c] * x - factor_re[c] * y

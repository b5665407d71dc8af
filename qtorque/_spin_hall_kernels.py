"""The compiled sum over pairs of bands of `qtorque.spin_hall`."""

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def pair_sums(energies, current, velocity, fermi_energies, kT, degenerate, result, size):
    """-2 sum over n < m of (f_n - f_m) Im(<n|J_c|m> <m|v_j|n>)/(E_n - E_m)^2, at every momentum.

    It equals sum_n f_n sum_{m != n}: two bands that are both occupied cancel, and are never computed.

    Parameters
    ----------
    energies
        Ascending, shape (nk, N).
    current
        J_c is the Hermitian part of current[:, c], shape (nk, C, N, N).
    velocity
        shape (nk, 3, N, N)
    fermi_energies
        shape (e,)
    kT
        Of the Fermi function f; 0 is a step.
    degenerate
        Pairs closer than this are left out.
    result
        shape (nk, e, C, 3)
    size
        Sum of what each pair could contribute at most, the scale of rounding errors, shape (nk, e).
    """
    count, N = energies.shape
    C = current.shape[1]
    occupied = np.empty((fermi_energies.size, N))
    weight = np.empty(fermi_energies.size)
    term = np.empty((C, 3))
    for k in range(count):
        result[k] = 0.0
        size[k] = 0.0
        for e in range(fermi_energies.size):
            for n in range(N):
                x = energies[k, n] - fermi_energies[e]
                if kT == 0.0:
                    occupied[e, n] = 1.0 if x < 0.0 else 0.0
                else:
                    # The hyperbolic tangent neither overflows nor loses digits of f_n - f_m in the middle.
                    occupied[e, n] = 0.5 - 0.5 * math.tanh(0.5 * x / kT)
        for n in range(N):
            for m in range(n + 1, N):
                gap = energies[k, m] - energies[k, n]
                if gap < degenerate:
                    continue
                counts = False
                for e in range(fermi_energies.size):
                    weight[e] = occupied[e, n] - occupied[e, m]
                    counts = counts or weight[e] != 0.0
                if not counts:
                    continue
                largest_current, largest_velocity = 0.0, 0.0
                for c in range(C):
                    z = current[k, c, n, m] + current[k, c, m, n].conjugate()
                    largest_current = max(largest_current, abs(z))
                    for j in range(3):
                        # -2 Im(z/2 v*), with v_mn = v_nm*.
                        v = velocity[k, j, n, m]
                        term[c, j] = (z.real * v.imag - z.imag * v.real) / (gap * gap)
                for j in range(3):
                    largest_velocity = max(largest_velocity, abs(velocity[k, j, n, m]))
                for e in range(fermi_energies.size):
                    if weight[e] != 0.0:
                        size[k, e] += abs(weight[e]) * largest_current * largest_velocity / (gap * gap)
                        for c in range(C):
                            for j in range(3):
                                result[k, e, c, j] += weight[e] * term[c, j]

"""Compiled kernels of the macrospin equation of motion; `qtorque.llg.dynamics` prepares their arguments.

All fields are in tesla. With tau/(Ms Vol) written as a field b, every non-damping term is a cross product with m,

    T = gamma m x W,    W = -B - b_FL p + b_DL (p x m),    dm/dt = (T + alpha m x T)/(1 + alpha^2).

The coefficients b_DL and b_FL arrive in the spin frame. Here, and nowhere else, they act on a moment, m = -s: the
field-like one enters W with the sign of a field +b_FL along p.
"""

import math

import numpy as np
from numba import njit


# Inlined by numba: as a call, its twenty scalars would travel through the stack twice a step.
@njit(inline="always")
def _reduced_rate(mx, my, mz, bx, by, bz, xx, yy, zz, xy, xz, yz, px, py, pz, alpha, angles, b_dl, b_fl, piece):
    """(1 + alpha^2)/gamma dm/dt in T as three scalars, and the spline interval of the angle.

    The angle moves little in a step, so the interval is sought from the last one, `piece`, not by bisection. arccos
    loses half the digits near 0 and pi; the coefficients have no slope there, so theirs keep all.
    """
    cosine = mx * px + my * py + mz * pz
    if cosine > 1.0:
        cosine = 1.0
    elif cosine < -1.0:
        cosine = -1.0
    angle = math.acos(cosine)
    while piece > 0 and angle < angles[piece]:
        piece -= 1
    while piece < angles.size - 2 and angle >= angles[piece + 1]:
        piece += 1
    s = angle - angles[piece]
    dl = ((b_dl[0, piece] * s + b_dl[1, piece]) * s + b_dl[2, piece]) * s + b_dl[3, piece]
    fl = ((b_fl[0, piece] * s + b_fl[1, piece]) * s + b_fl[2, piece]) * s + b_fl[3, piece]
    wx = dl * (py * mz - pz * my) - fl * px - bx - (xx * mx + xy * my + xz * mz)
    wy = dl * (pz * mx - px * mz) - fl * py - by - (xy * mx + yy * my + yz * mz)
    wz = dl * (px * my - py * mx) - fl * pz - bz - (xz * mx + yz * my + zz * mz)
    tx, ty, tz = my * wz - mz * wy, mz * wx - mx * wz, mx * wy - my * wx
    rx = tx + alpha * (my * tz - mz * ty)
    ry = ty + alpha * (mz * tx - mx * tz)
    rz = tz + alpha * (mx * ty - my * tx)
    return rx, ry, rz, piece


@njit(cache=True)
def reduced_rate(m, field, tensor, fixed, alpha, angles, b_dl, b_fl):
    """(1 + alpha^2)/gamma dm/dt in T of one moment m, (3,) -> (3,). Other arguments as in `heun`."""
    rate = np.empty(3)
    rate[0], rate[1], rate[2], _ = _reduced_rate(
        m[0], m[1], m[2], field[0], field[1], field[2],
        tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2],
        fixed[0], fixed[1], fixed[2], alpha, angles, b_dl, b_fl, 0,
    )  # fmt: skip
    return rate


@njit(cache=True)
def heun(
    m, normals, steps, step, thermal_field, field, tensor, fixed, alpha, angles, b_dl, b_fl, sample_steps, samples
):
    """Advance independent moments by Heun steps, in place, and record them after some of the steps.

    The same thermal field serves predictor and corrector: that makes the scheme converge to the Stratonovich solution.
    |m| is renormalised each step; the exact motion keeps it, and the correction is of the order of the scheme's error.

    Step by step the moments take turns. They share nothing, so a processor overlaps the long chain of dependent
    operations of one with the next one's, which is a fifth faster than one after the other.

    Parameters
    ----------
    m : (n, 3), unit vectors, changed in place
    normals : (n, at least `steps`, 3), standard normal numbers
    steps : how many steps to take
    step : gamma dt/(1 + alpha^2), 1/T
    thermal_field : standard deviation of each component of the thermal field, T
    field, tensor : (3,) and symmetric (3, 3), T; B = field + tensor m
    fixed : (3,), p
    alpha : Gilbert damping
    angles, b_dl, b_fl : (k + 1,), (4, k), (4, k), rad and T; piecewise cubics in the layout of scipy's PPoly
    sample_steps : (s,), ascending within 1 .. steps
    samples : (s, n, 3), written
    """
    bx, by, bz = field[0], field[1], field[2]
    xx, yy, zz, xy, xz, yz = tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2]
    px, py, pz = fixed[0], fixed[1], fixed[2]
    pieces = np.zeros(m.shape[0], dtype=np.int64)
    taken = 0
    for i in range(steps):
        for n in range(m.shape[0]):
            mx, my, mz = m[n, 0], m[n, 1], m[n, 2]
            hx = bx + thermal_field * normals[n, i, 0]
            hy = by + thermal_field * normals[n, i, 1]
            hz = bz + thermal_field * normals[n, i, 2]
            rx, ry, rz, piece = _reduced_rate(
                mx, my, mz,
                hx, hy, hz, xx, yy, zz, xy, xz, yz, px, py, pz, alpha, angles, b_dl, b_fl, pieces[n],
            )  # fmt: skip
            qx, qy, qz, piece = _reduced_rate(
                mx + step * rx, my + step * ry, mz + step * rz,
                hx, hy, hz, xx, yy, zz, xy, xz, yz, px, py, pz, alpha, angles, b_dl, b_fl, piece,
            )  # fmt: skip
            pieces[n] = piece
            mx += 0.5 * step * (rx + qx)
            my += 0.5 * step * (ry + qy)
            mz += 0.5 * step * (rz + qz)
            scale = 1.0 / math.sqrt(mx * mx + my * my + mz * mz)
            m[n, 0], m[n, 1], m[n, 2] = mx * scale, my * scale, mz * scale
        if taken < sample_steps.size and sample_steps[taken] == i + 1:
            samples[taken] = m
            taken += 1

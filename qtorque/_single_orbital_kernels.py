"""Compiled kernels for chains with one orbital and two spins per element, for `qtorque.joins` and `qtorque.amplitudes`.

Arrays run over points, a momentum or a pair of momentum and energy each, with the points as the last, contiguous axis.
Blocks of `LANES` points are copied into one scratch array `w`, in which number `SLOT + j` belongs to point j: only with
one array does the compiler see that the innermost loops may work on eight points in one instruction. A real function of
the points is given as a constant and a row of `shapes`, row 0 of which is zero.

A 2 x 2 matrix in spin space is a_0 + a.sigma with four complex numbers. Its inverse is (a_0 - a.sigma)/(a_0^2 - a.a),
and its trace with sigma_a is 2 a_a, which is what spin currents and torques are made of. In scratch it takes eight
slots, a Hermitian one four.

All of them stand in one file: numba's cache on disk notices a change of the file a kernel stands in, and not one of a
function that it inlines from another.
"""

import math

import numpy as np
from numba import njit

LANES = 64
"""Points worked on together: their scratch stays in the first-level cache."""
FAST = {"contract", "nsz", "arcp"}
"""Licence to fuse products and sums. Not to reorder sums, and infinities and not-a-numbers keep their meaning."""
MATRIX, HERMITIAN = 8 * LANES, 4 * LANES
"""Scratch of one matrix."""


@njit(inline="always")
def _fill(row, start, count, w, slot):
    for j in range(count):
        w[slot + j] = row[start + j]


@njit(inline="always")
def _get(w, slot, j):
    """The four components of a matrix."""
    return (
        complex(w[slot + j], w[slot + LANES + j]),
        complex(w[slot + 2 * LANES + j], w[slot + 3 * LANES + j]),
        complex(w[slot + 4 * LANES + j], w[slot + 5 * LANES + j]),
        complex(w[slot + 6 * LANES + j], w[slot + 7 * LANES + j]),
    )


@njit(inline="always")
def _put(w, slot, j, a0, ax, ay, az):
    w[slot + j], w[slot + LANES + j] = a0.real, a0.imag
    w[slot + 2 * LANES + j], w[slot + 3 * LANES + j] = ax.real, ax.imag
    w[slot + 4 * LANES + j], w[slot + 5 * LANES + j] = ay.real, ay.imag
    w[slot + 6 * LANES + j], w[slot + 7 * LANES + j] = az.real, az.imag


@njit(inline="always")
def _get_hermitian(w, slot, j):
    return w[slot + j], w[slot + LANES + j], w[slot + 2 * LANES + j], w[slot + 3 * LANES + j]


@njit(inline="always")
def _larger(a, b):
    """The larger of two numbers, not a number if one of them is none."""
    return b if a == a and not b <= a else a


@njit(inline="always")
def _inverse(z):
    return z.conjugate() * (1.0 / (z.real * z.real + z.imag * z.imag))


@njit(inline="always")
def _product(a0, ax, ay, az, b0, bx, by, bz):
    """(a_0 + a.sigma)(b_0 + b.sigma)."""
    x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return (
        a0 * b0 + ax * bx + ay * by + az * bz,
        a0 * bx + b0 * ax + complex(-x.imag, x.real),
        a0 * by + b0 * ay + complex(-y.imag, y.real),
        a0 * bz + b0 * az + complex(-z.imag, z.real),
    )


@njit(inline="always")
def _sandwich(d0, dx, dy, dz, a0, ax, ay, az):
    """D a D^dagger for a Hermitian a: four real numbers."""
    x, y, z = dy * az - dz * ay, dz * ax - dx * az, dx * ay - dy * ax
    m0 = d0 * a0 + dx * ax + dy * ay + dz * az
    mx = d0 * ax + dx * a0 + complex(-x.imag, x.real)
    my = d0 * ay + dy * a0 + complex(-y.imag, y.real)
    mz = d0 * az + dz * a0 + complex(-z.imag, z.real)
    c0, cx, cy, cz = d0.conjugate(), dx.conjugate(), dy.conjugate(), dz.conjugate()
    return (
        (m0 * c0 + mx * cx + my * cy + mz * cz).real,
        (m0 * cx + c0 * mx).real - (my * cz - mz * cy).imag,
        (m0 * cy + c0 * my).real - (mz * cx - mx * cz).imag,
        (m0 * cz + c0 * mz).real - (mx * cy - my * cx).imag,
    )


@njit(inline="always")
def _lead(y, v2):
    """Surface Green function 1/(y + w), w = sqrt(y^2 - v^2) with Im w >= 0, for E - H = 2 y, real, and hopping v.

    In the band it is (y - i sqrt(v^2 - y^2))/v^2; outside of it the imaginary part is exactly zero. It holds for v = 0.
    """
    v = math.sqrt(v2)
    below = (v - y) * (v + y)
    root = math.sqrt(abs(below))
    scale = 1.0 / (v2 if below > 0.0 else y + math.copysign(root, y))
    return (y if below > 0.0 else 1.0) * scale, (-root if below > 0.0 else 0.0) * scale


@njit(inline="always")
def _complex_lead(yr, yi, v2):
    """The same for energies in the upper half plane, those on the real axis included."""
    v = math.sqrt(v2)
    a = (yr - v) * (yr + v) - yi * yi
    b = 2.0 * yr * yi
    larger = math.sqrt(0.5 * (math.sqrt(a * a + b * b) + abs(a)))
    smaller = b / (2.0 * larger)
    smaller = smaller if larger > 0.0 else 0.0
    re = yr + (math.copysign(larger, yr) if a >= 0.0 else smaller)
    im = yi + (abs(smaller) if a >= 0.0 else larger)
    scale = 1.0 / (re * re + im * im)
    return re * scale, -im * scale


# Scratch of `surface` and `add_element`.
_ZR, _ZI, _H, _V, _GR, _GI, _A = (i * LANES for i in range(7))


@njit(cache=True, fastmath=FAST, error_model="numpy")
def surface(z, constant, row, v2_constant, v2_row, g, a):
    """Surface Green function g of a lead, and a = i (g - g^*), of one spin: z, g (2, points), real, imaginary part."""
    w = np.empty(7 * LANES)
    for start in range(0, row.size, LANES):
        count = min(LANES, row.size - start)
        _fill(z[0], start, count, w, _ZR)
        _fill(z[1], start, count, w, _ZI)
        _fill(row, start, count, w, _H)
        _fill(v2_row, start, count, w, _V)
        for j in range(count):
            w[_GR + j], w[_GI + j] = _complex_lead(
                0.5 * (w[_ZR + j] - constant - w[_H + j]), 0.5 * w[_ZI + j], v2_constant + w[_V + j]
            )
        for j in range(count):
            g[0, start + j] = w[_GR + j]
        for j in range(count):
            g[1, start + j] = w[_GI + j]
        for j in range(count):
            a[start + j] = -2.0 * w[_GI + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def add_element(z, constant, row, v2_constant, v2_row, g, a, new_g, new_a):
    """One more element in front of a half, of one spin: g -> 1/(z - h - v^2 g), a -> v^2 |g|^2 a."""
    w = np.empty(7 * LANES)
    for start in range(0, row.size, LANES):
        count = min(LANES, row.size - start)
        _fill(z[0], start, count, w, _ZR)
        _fill(z[1], start, count, w, _ZI)
        _fill(row, start, count, w, _H)
        _fill(v2_row, start, count, w, _V)
        _fill(g[0], start, count, w, _GR)
        _fill(g[1], start, count, w, _GI)
        _fill(a, start, count, w, _A)
        for j in range(count):
            v2 = v2_constant + w[_V + j]
            value = complex(w[_ZR + j] - constant - w[_H + j] - v2 * w[_GR + j], w[_ZI + j] - v2 * w[_GI + j])
            size = 1.0 / (value.real * value.real + value.imag * value.imag)
            w[_GR + j], w[_GI + j] = value.real * size, -value.imag * size
            w[_A + j] = v2 * size * w[_A + j]
        for j in range(count):
            new_g[0, start + j] = w[_GR + j]
        for j in range(count):
            new_g[1, start + j] = w[_GI + j]
        for j in range(count):
            new_a[start + j] = w[_A + j]


# Scratch of the kernels with matrices.
_HOP, _UP, _DOWN, _RE, _IM = (i * LANES for i in range(5))
_L = 5 * LANES
_R = _L + MATRIX
_AL = _R + MATRIX
_AR = _AL + HERMITIAN
_OUT = _AR + HERMITIAN
_SCRATCH = _OUT + MATRIX


@njit(cache=True, fastmath=FAST, error_model="numpy")
def add_turned_element(z, constants, up_row, down_row, axis, v2_constant, v2_row, g, a, new_g, new_a):
    """The same for both spins at once where half and element have different axes: g (4, 2, points), a (4, points)."""
    w = np.empty(_SCRATCH)
    nx, ny, nz = axis[0], axis[1], axis[2]
    up_h, down_h = constants[0], constants[1]
    for start in range(0, up_row.size, LANES):
        count = min(LANES, up_row.size - start)
        _fill(z[0], start, count, w, _RE)
        _fill(z[1], start, count, w, _IM)
        _fill(up_row, start, count, w, _UP)
        _fill(down_row, start, count, w, _DOWN)
        _fill(v2_row, start, count, w, _HOP)
        for c in range(4):
            _fill(g[c, 0], start, count, w, _L + 2 * c * LANES)
            _fill(g[c, 1], start, count, w, _L + (2 * c + 1) * LANES)
            _fill(a[c], start, count, w, _AL + c * LANES)
        for j in range(count):
            v2 = v2_constant + w[_HOP + j]
            up, down = up_h + w[_UP + j], down_h + w[_DOWN + j]
            field = 0.5 * (up - down)
            s0, sx, sy, sz = _get(w, _L, j)
            y0 = complex(w[_RE + j] - 0.5 * (up + down), w[_IM + j]) - v2 * s0
            yx, yy, yz = -field * nx - v2 * sx, -field * ny - v2 * sy, -field * nz - v2 * sz
            scale = _inverse(y0 * y0 - yx * yx - yy * yy - yz * yz)
            g0, gx, gy, gz = y0 * scale, -yx * scale, -yy * scale, -yz * scale
            a0, ax, ay, az = _get_hermitian(w, _AL, j)
            b0, bx, by, bz = _sandwich(g0, gx, gy, gz, a0, ax, ay, az)
            _put(w, _OUT, j, g0, gx, gy, gz)
            w[_AR + j], w[_AR + LANES + j] = v2 * b0, v2 * bx
            w[_AR + 2 * LANES + j], w[_AR + 3 * LANES + j] = v2 * by, v2 * bz
        for c in range(4):
            for j in range(count):
                new_g[c, 0, start + j] = w[_OUT + 2 * c * LANES + j]
            for j in range(count):
                new_g[c, 1, start + j] = w[_OUT + (2 * c + 1) * LANES + j]
            for j in range(count):
                new_a[c, start + j] = w[_AR + c * LANES + j]


@njit(inline="always")
def _load(g, axis, start, count, w, slot):
    """Points start ... start + count of (up, down) along `axis`, or of four components, as four components."""
    for part in range(2):
        own = slot + part * LANES
        if g.shape[0] == 2:
            ax, ay, az = axis[0], axis[1], axis[2]
            _fill(g[0, part], start, count, w, _UP)
            _fill(g[1, part], start, count, w, _DOWN)
            for j in range(count):
                half = 0.5 * (w[_UP + j] - w[_DOWN + j])
                w[own + j] = 0.5 * (w[_UP + j] + w[_DOWN + j])
                w[own + 2 * LANES + j] = half * ax
                w[own + 4 * LANES + j] = half * ay
                w[own + 6 * LANES + j] = half * az
        else:
            for c in range(4):
                _fill(g[c, part], start, count, w, own + 2 * c * LANES)


@njit(inline="always")
def _load_hermitian(a, axis, start, count, w, slot):
    if a.shape[0] == 2:
        ax, ay, az = axis[0], axis[1], axis[2]
        _fill(a[0], start, count, w, _UP)
        _fill(a[1], start, count, w, _DOWN)
        for j in range(count):
            half = 0.5 * (w[_UP + j] - w[_DOWN + j])
            w[slot + j] = 0.5 * (w[_UP + j] + w[_DOWN + j])
            w[slot + LANES + j] = half * ax
            w[slot + 2 * LANES + j] = half * ay
            w[slot + 3 * LANES + j] = half * az
    else:
        for c in range(4):
            _fill(a[c], start, count, w, slot + c * LANES)


@njit(inline="always")
def _load_sides(angle, left, left_axes, right, right_axes, start, count, w):
    """Both sides of a cut at one angle; a half with one axis for all chains is loaded once."""
    if angle < left_axes.shape[0]:
        _load(left, left_axes[angle], start, count, w, _L)
    if angle < right_axes.shape[0]:
        _load(right, right_axes[angle], start, count, w, _R)


@njit(inline="always")
def _load_spectral_sides(angle, left, left_axes, right, right_axes, start, count, w):
    """The same for their spectral functions."""
    if angle < left_axes.shape[0]:
        _load_hermitian(left, left_axes[angle], start, count, w, _AL)
    if angle < right_axes.shape[0]:
        _load_hermitian(right, right_axes[angle], start, count, w, _AR)


@njit(inline="always")
def _scatter(w, j, v2):
    """X = v^2 g_left g_right as X_0, the part of its vector that stays when left and right change places, and the part
    i v^2 g_left x g_right that changes sign; and 1/det(1 - X)."""
    l0, lx, ly, lz = _get(w, _L, j)
    r0, rx, ry, rz = _get(w, _R, j)
    x0 = v2 * (l0 * r0 + lx * rx + ly * ry + lz * rz)
    sx, sy, sz = v2 * (l0 * rx + r0 * lx), v2 * (l0 * ry + r0 * ly), v2 * (l0 * rz + r0 * lz)
    x, y, z = v2 * (ly * rz - lz * ry), v2 * (lz * rx - lx * rz), v2 * (lx * ry - ly * rx)
    cx, cy, cz = complex(-x.imag, x.real), complex(-y.imag, y.real), complex(-z.imag, z.real)
    d0, dx, dy, dz = 1.0 - x0, sx + cx, sy + cy, sz + cz
    return x0, sx, sy, sz, cx, cy, cz, _inverse(d0 * d0 - dx * dx - dy * dy - dz * dz)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def window_currents(left, left_a, left_axes, right, right_a, right_axes, v2_constant, v2_row, numbers, column, out):
    """Im Tr[V^dagger sigma_a (A_L - A_R)/2] across a cut, a = 0 (charge), x, y, z.

    Of chain numbers[i], whose halves have the axes number i, in out[numbers[i], column ... column + 4, points].

    With D = (1 - X)^-1, X = v^2 g_left g_right, the spectral function on the left is B_L = D a_left D^dagger, the one
    on the right is B_R = D' a_right D'^dagger, D' with left and right exchanged, and

        Q_L = v^2 Im Tr[sigma B_L g_right^dagger],    Q_R = v^2 Im Tr[sigma g_left B_R].

    Imaginary parts of g are taken from a, which keeps its relative accuracy behind thick barriers.
    """
    w = np.empty(_SCRATCH)
    for start in range(0, v2_row.size, LANES):
        count = min(LANES, v2_row.size - start)
        _fill(v2_row, start, count, w, _HOP)
        for angle in range(numbers.size):
            _load_sides(angle, left, left_axes, right, right_axes, start, count, w)
            _load_spectral_sides(angle, left_a, left_axes, right_a, right_axes, start, count, w)
            for j in range(count):
                v2 = v2_constant + w[_HOP + j]
                x0, sx, sy, sz, cx, cy, cz, scale = _scatter(w, j, v2)
                d0 = (1.0 - x0) * scale
                sx, sy, sz, cx, cy, cz = sx * scale, sy * scale, sz * scale, cx * scale, cy * scale, cz * scale
                a0, ax, ay, az = _get_hermitian(w, _AL, j)
                b0, bx, by, bz = _get_hermitian(w, _AR, j)
                p0, px, py, pz = _sandwich(d0, sx + cx, sy + cy, sz + cz, a0, ax, ay, az)
                q0, qx, qy, qz = _sandwich(d0, sx - cx, sy - cy, sz - cz, b0, bx, by, bz)
                lx, ly, lz = w[_L + 2 * LANES + j], w[_L + 4 * LANES + j], w[_L + 6 * LANES + j]
                rx, ry, rz = w[_R + 2 * LANES + j], w[_R + 4 * LANES + j], w[_R + 6 * LANES + j]
                # Q_L = v^2 (p_0 a_right + a_right,0 p + 2 p x Re g_right), Q_R = -v^2 (q_0 a_left + ...) + ...
                w[_OUT + j] = 0.5 * v2 * (p0 * b0 + px * bx + py * by + pz * bz + q0 * a0 + qx * ax + qy * ay + qz * az)
                x = 0.5 * (p0 * bx + b0 * px + q0 * ax + a0 * qx) + (py * rz - pz * ry) - (ly * qz - lz * qy)
                y = 0.5 * (p0 * by + b0 * py + q0 * ay + a0 * qy) + (pz * rx - px * rz) - (lz * qx - lx * qz)
                z = 0.5 * (p0 * bz + b0 * pz + q0 * az + a0 * qz) + (px * ry - py * rx) - (lx * qy - ly * qx)
                w[_OUT + LANES + j], w[_OUT + 2 * LANES + j], w[_OUT + 3 * LANES + j] = v2 * x, v2 * y, v2 * z
            for c in range(4):
                for j in range(count):
                    out[numbers[angle], column + c, start + j] = w[_OUT + c * LANES + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def window_spins(left, left_a, left_axes, right, right_a, right_axes, v2_constant, v2_row, numbers, column, out):
    """Components x, y, z of (A_L - A_R)/2 on the element left of a cut; results as in `window_currents`.

    A_L = B_L and A_R = v^2 g_left B_R g_left^dagger there (see `window_currents`).
    """
    w = np.empty(_SCRATCH)
    for start in range(0, v2_row.size, LANES):
        count = min(LANES, v2_row.size - start)
        _fill(v2_row, start, count, w, _HOP)
        for angle in range(numbers.size):
            _load_sides(angle, left, left_axes, right, right_axes, start, count, w)
            _load_spectral_sides(angle, left_a, left_axes, right_a, right_axes, start, count, w)
            for j in range(count):
                v2 = v2_constant + w[_HOP + j]
                x0, sx, sy, sz, cx, cy, cz, scale = _scatter(w, j, v2)
                d0, dx, dy, dz = (1.0 - x0) * scale, (sx + cx) * scale, (sy + cy) * scale, (sz + cz) * scale
                l0, lx, ly, lz = _get(w, _L, j)
                g0, gx, gy, gz = _product(d0, dx, dy, dz, l0, lx, ly, lz)
                a0, ax, ay, az = _get_hermitian(w, _AL, j)
                b0, bx, by, bz = _get_hermitian(w, _AR, j)
                _, px, py, pz = _sandwich(d0, dx, dy, dz, a0, ax, ay, az)
                _, qx, qy, qz = _sandwich(g0, gx, gy, gz, b0, bx, by, bz)
                w[_OUT + j], w[_OUT + LANES + j] = 0.5 * (px - v2 * qx), 0.5 * (py - v2 * qy)
                w[_OUT + 2 * LANES + j] = 0.5 * (pz - v2 * qz)
            for c in range(3):
                for j in range(count):
                    out[numbers[angle], column + c, start + j] = w[_OUT + c * LANES + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def sea_currents(left, left_axes, right, right_axes, v2_constant, v2_row, step, numbers, column, out):
    """Re{step Tr[sigma_a (G(l, l+1) V^dagger - V G(l+1, l))]} across a cut, a = 0, x, y, z; results as above.

    The two terms are (1 - X)^-1 and (1 - X')^-1, which differ by 2 i v^2 (g_left x g_right).sigma/det(1 - X). No charge
    flows. step: (2, points), real and imaginary part.
    """
    w = np.empty(_SCRATCH)
    for start in range(0, v2_row.size, LANES):
        count = min(LANES, v2_row.size - start)
        _fill(v2_row, start, count, w, _HOP)
        _fill(step[0], start, count, w, _RE)
        _fill(step[1], start, count, w, _IM)
        for angle in range(numbers.size):
            _load_sides(angle, left, left_axes, right, right_axes, start, count, w)
            for j in range(count):
                _, _, _, _, cx, cy, cz, scale = _scatter(w, j, v2_constant + w[_HOP + j])
                scale = 4.0 * scale * complex(w[_RE + j], w[_IM + j])
                w[_OUT + j], w[_OUT + LANES + j] = 0.0, (cx * scale).real
                w[_OUT + 2 * LANES + j], w[_OUT + 3 * LANES + j] = (cy * scale).real, (cz * scale).real
            for c in range(4):
                for j in range(count):
                    out[numbers[angle], column + c, start + j] = w[_OUT + c * LANES + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def sea_spins(left, left_axes, right, right_axes, v2_constant, v2_row, step, numbers, column, out):
    """Im{step G_a} on the element left of a cut, a = x, y, z; arguments as for `sea_currents`."""
    w = np.empty(_SCRATCH)
    for start in range(0, v2_row.size, LANES):
        count = min(LANES, v2_row.size - start)
        _fill(v2_row, start, count, w, _HOP)
        _fill(step[0], start, count, w, _RE)
        _fill(step[1], start, count, w, _IM)
        for angle in range(numbers.size):
            _load_sides(angle, left, left_axes, right, right_axes, start, count, w)
            for j in range(count):
                x0, sx, sy, sz, cx, cy, cz, scale = _scatter(w, j, v2_constant + w[_HOP + j])
                l0, lx, ly, lz = _get(w, _L, j)
                g0, gx, gy, gz = _product(1.0 - x0, sx + cx, sy + cy, sz + cz, l0, lx, ly, lz)
                scale = scale * complex(w[_RE + j], w[_IM + j])
                w[_OUT + j], w[_OUT + LANES + j] = (gx * scale).imag, (gy * scale).imag
                w[_OUT + 2 * LANES + j] = (gz * scale).imag
            for c in range(3):
                for j in range(count):
                    out[numbers[angle], column + c, start + j] = w[_OUT + c * LANES + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def scatter_eigenvalues(left, left_axes, right, right_axes, v2_constant, v2_row, out):
    """mean and square of X = v^2 g_left g_right, whose eigenvalues are mean +- sqrt(square).

    out: (angles, 2, 2, points), after the angles mean and square, then real and imaginary part.
    """
    w = np.empty(_SCRATCH)
    for start in range(0, v2_row.size, LANES):
        count = min(LANES, v2_row.size - start)
        _fill(v2_row, start, count, w, _HOP)
        for angle in range(out.shape[0]):
            _load_sides(angle, left, left_axes, right, right_axes, start, count, w)
            for j in range(count):
                x0, sx, sy, sz, cx, cy, cz, _ = _scatter(w, j, v2_constant + w[_HOP + j])
                dx, dy, dz = sx + cx, sy + cy, sz + cz
                square = dx * dx + dy * dy + dz * dz
                _put(w, _OUT, j, x0, square, x0, square)
            for c in range(2):
                for part in range(2):
                    for j in range(count):
                        out[angle, c, part, start + j] = w[_OUT + (2 * c + part) * LANES + j]


# Scratch of `collinear_scattering`; the polynomials of the runs follow.
_SR, _SI, _PR, _PI, _ROW, _ROW2, _ROW3, _X, _TR, _TI, _RR, _RI, _LR, _LI, _WI, _ERR = (i * LANES for i in range(16))
_LEAD = 16 * LANES
_POLYNOMIALS = _LEAD + 8 * LANES


@njit(inline="always")
def _polynomials(energy, h, row, v, length, start, count, w, slot):
    """U_n, U_(n-1), U_(n-2) of x = (E - h)/v in three slots, U_n = x U_(n-1) - U_(n-2), n = length >= 2."""
    high, middle, low = slot, slot + LANES, slot + 2 * LANES
    scale = 1.0 / v
    _fill(row, start, count, w, _ROW)
    for j in range(count):
        x = (energy - h - w[_ROW + j]) * scale
        w[_X + j] = x
        w[high + j], w[middle + j], w[low + j] = x * x - 1.0, x, 1.0
    for _ in range(length - 2):
        for j in range(count):
            u1, u2 = w[middle + j], w[high + j]
            w[low + j], w[middle + j], w[high + j] = u1, u2, w[_X + j] * u2 - u1


@njit(cache=True, fastmath=FAST, error_model="numpy")
def collinear_scattering(
    energy, shapes, constants, rows, v2_constants, v2_rows, leads, materials, runs, offset, t, t_offset, r, r_offset,
    open_channels, error,
):  # fmt: skip
    """Transmission amplitude t and reflection amplitude r of electrons from the left lead, both spins apart.

    Elements 0 ... N + 1 have on-site energies constants[e, s] + shapes[rows[e, s]], bonds 0 ... N squared hoppings
    v2_constants[b] + shapes[v2_rows[b]], of which the last two entries belong to the leads themselves. The sweep runs
    from the right lead to element 1. A run of n equal elements with constant hopping v takes gamma = sigma/v, sigma the
    self-energy of all that lies beyond, to

        gamma' = (U_(n-1) - U_(n-2) gamma)/(U_n - U_(n-1) gamma),

    U_n the Chebyshev polynomials of the second kind of (E - h)/2v; the product of Green functions through it is
    1/(U_n - U_(n-1) gamma), and Im gamma' = Im gamma over the square of that denominator.

    Parameters
    ----------
    leads
        leads[lead, s]: the first of (left up, left down, right up, right down) whose self-energy is the same.
    materials
        The different runs of more than one element, (an element of it, its spin, its length): shape (materials, 3).
    runs
        The runs among the elements N ... 2, from the right: (an element, material of spin up, of spin down), the
        materials -1 for a single element; shape (runs, 3).
    offset, t_offset, r_offset
        Where in the arrays of results, in t and in r the points of `shapes` begin.
    t, r
        complex, (2, points)
    open_channels
        (points, 2, 2): lead, spin.
    error
        ||r|^2 + |t|^2 - 1| where the left lead is open, largest of both spins; not a number at a band edge.
    """
    points, last = shapes.shape[1], constants.shape[0] - 1
    w = np.empty(_POLYNOMIALS + 3 * LANES * materials.shape[0])
    for start in range(0, points, LANES):
        count, at = min(LANES, points - start), offset + start
        for number in range(materials.shape[0]):
            e, spin, length = materials[number, 0], materials[number, 1], materials[number, 2]
            _polynomials(
                energy, constants[e, spin], shapes[rows[e, spin]], math.sqrt(v2_constants[e - 1]), length, start, count,
                w, _POLYNOMIALS + 3 * number * LANES,
            )  # fmt: skip
        for number in range(4):
            lead, spin = number // 2, number % 2
            if leads[lead, spin] < number:
                continue
            e, bond, outward = (0, 0, last) if lead == 0 else (last, last - 1, last + 1)
            _fill(shapes[rows[e, spin]], start, count, w, _ROW)
            _fill(shapes[v2_rows[bond]], start, count, w, _ROW2)
            _fill(shapes[v2_rows[outward]], start, count, w, _ROW3)
            h, v2, w2, slot = constants[e, spin], v2_constants[bond], v2_constants[outward], _LEAD + 2 * number * LANES
            for j in range(count):
                gr, gi = _lead(0.5 * (energy - h - w[_ROW + j]), w2 + w[_ROW3 + j])
                squared = v2 + w[_ROW2 + j]
                w[slot + j], w[slot + LANES + j] = squared * gr, squared * gi
        for j in range(count):
            w[_ERR + j] = 0.0
        for spin in range(2):
            left, right = _LEAD + 2 * leads[0, spin] * LANES, _LEAD + 2 * leads[1, spin] * LANES
            # At places that the compiler knows: it could not tell `left` and `right` from what is written to.
            for lead, slot in ((left, _LR), (left + LANES, _LI), (right, _SR), (right + LANES, _SI)):
                for j in range(count):
                    w[slot + j] = w[lead + j]
            for j in range(count):
                w[_PR + j], w[_PI + j], w[_WI + j] = 1.0, 0.0, w[_SI + j]
            for number in range(runs.shape[0]):
                e, material = runs[number, 0], runs[number, 1 + spin]
                if material < 0:
                    _fill(shapes[rows[e, spin]], start, count, w, _ROW)
                    _fill(shapes[v2_rows[e - 1]], start, count, w, _ROW2)
                    h, v2 = constants[e, spin], v2_constants[e - 1]
                    for j in range(count):
                        squared = v2 + w[_ROW2 + j]
                        v = math.sqrt(squared)
                        dr, di = energy - h - w[_ROW + j] - w[_SR + j], -w[_SI + j]
                        scale = 1.0 / (dr * dr + di * di)
                        gr, gi, pr, pi = dr * scale, -di * scale, w[_PR + j], w[_PI + j]
                        w[_PR + j], w[_PI + j] = v * (pr * gr - pi * gi), v * (pr * gi + pi * gr)
                        w[_SR + j], w[_SI + j] = squared * gr, squared * gi
                else:
                    slot, v = _POLYNOMIALS + 3 * material * LANES, math.sqrt(v2_constants[e - 1])
                    per_v = 1.0 / v
                    for j in range(count):
                        u2, u1, u0 = w[slot + j], w[slot + LANES + j], w[slot + 2 * LANES + j]
                        gr, gi, pr, pi = w[_SR + j] * per_v, w[_SI + j] * per_v, w[_PR + j], w[_PI + j]
                        dr, di = u2 - u1 * gr, -u1 * gi
                        scale = 1.0 / (dr * dr + di * di)
                        w[_SR + j] = v * ((u1 - u0 * gr) * dr - u0 * gi * di) * scale
                        w[_SI + j] = v * gi * scale
                        w[_PR + j], w[_PI + j] = (pr * dr + pi * di) * scale, (pi * dr - pr * di) * scale
            _fill(shapes[rows[1, spin]], start, count, w, _ROW)
            h = constants[1, spin]
            for j in range(count):
                lr, li = w[_LR + j], w[_LI + j]
                gamma, is_open = -2.0 * li, 1.0 if li < 0.0 else 0.0
                dr, di = energy - h - w[_ROW + j] - w[_SR + j] - lr, -w[_SI + j] - li
                scale = 1.0 / (dr * dr + di * di)
                gr, gi = dr * scale, -di * scale
                mixed = math.sqrt(-2.0 * gamma * w[_WI + j])
                tr = -mixed * (w[_PR + j] * gi + w[_PI + j] * gr)
                ti = mixed * (w[_PR + j] * gr - w[_PI + j] * gi)
                # i Gamma G - 1
                rr, ri = -gamma * gi - is_open, gamma * gr
                w[_TR + j], w[_TI + j], w[_RR + j], w[_RI + j] = tr, ti, rr, ri
                excess = abs(rr * rr + ri * ri + tr * tr + ti * ti - is_open)
                w[_ERR + j] = _larger(w[_ERR + j], excess)
            for j in range(count):
                t[spin, t_offset + start + j] = complex(w[_TR + j], w[_TI + j])
            for j in range(count):
                r[spin, r_offset + start + j] = complex(w[_RR + j], w[_RI + j])
            for j in range(count):
                open_channels[at + j, 0, spin] = w[_LI + j] < 0.0
                open_channels[at + j, 1, spin] = w[_WI + j] < 0.0
        for j in range(count):
            error[at + j] = w[_ERR + j]


# Scratch of `noncollinear_scattering`. Matrices are (uu, ud, du, dd) here.
_N_ROW, _N_ROW2, _N_ROW3, _N_ERR = (i * LANES for i in range(4))
_S = 4 * LANES
_P = _S + MATRIX
_LEADS = _P + MATRIX
_WIDTHS = _LEADS + 8 * LANES
_ELEMENTS = _WIDTHS + 4 * LANES
_N_SCRATCH = _ELEMENTS + 16 * LANES


@njit(inline="always")
def _times(a_uu, a_ud, a_du, a_dd, b_uu, b_ud, b_du, b_dd):
    return a_uu * b_uu + a_ud * b_du, a_uu * b_ud + a_ud * b_dd, a_du * b_uu + a_dd * b_du, a_du * b_ud + a_dd * b_dd


@njit(inline="always")
def _turn(w, turn, count):
    """S -> U^dagger S U and P -> P U, unless U is the unit matrix."""
    uu, ud, du, dd = turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1]
    if uu != 1.0 or ud != 0.0:
        for j in range(count):
            s_uu, s_ud, s_du, s_dd = _get(w, _S, j)
            s_uu, s_ud, s_du, s_dd = _times(s_uu, s_ud, s_du, s_dd, uu, ud, du, dd)
            s_uu, s_ud, s_du, s_dd = _times(
                uu.conjugate(), du.conjugate(), ud.conjugate(), dd.conjugate(), s_uu, s_ud, s_du, s_dd
            )
            _put(w, _S, j, s_uu, s_ud, s_du, s_dd)
        for j in range(count):
            p_uu, p_ud, p_du, p_dd = _get(w, _P, j)
            p_uu, p_ud, p_du, p_dd = _times(p_uu, p_ud, p_du, p_dd, uu, ud, du, dd)
            _put(w, _P, j, p_uu, p_ud, p_du, p_dd)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def noncollinear_scattering(
    energy, shapes, constants, rows, v2_constants, v2_rows, turns, offset, t, t_offset, r, r_offset, open_channels,
    error,
):  # fmt: skip
    """The same where the magnets have several axes, element by element; arguments as for `collinear_scattering`.

    Self-energy and product of Green functions are kept in the frame of the element reached: behind an element that lets
    one spin through, the other keeps its relative accuracy.

    Parameters
    ----------
    turns
        turns[e] = U_(e + 1)^dagger U_e, from the frame of element e to that of the next; the last element is the right
        lead, and turns[last] = U_left^dagger U_1, the left lead being no. 0. shape (elements, 2, 2)
    t, r
        complex, (points, 2, 2): spin out, spin in, in the frames of the leads.
    error
        Largest element of |r^dagger r + t^dagger t - 1| over the open channels of the left lead.
    """
    points, last = shapes.shape[1], constants.shape[0] - 1
    to_left = turns[last]
    w = np.empty(_N_SCRATCH)
    for start in range(0, points, LANES):
        count, at = min(LANES, points - start), offset + start
        for number in range(4):
            lead, spin = number // 2, number % 2
            e, bond, outward = (0, 0, last) if lead == 0 else (last, last - 1, last + 1)
            _fill(shapes[rows[e, spin]], start, count, w, _N_ROW)
            _fill(shapes[v2_rows[bond]], start, count, w, _N_ROW2)
            _fill(shapes[v2_rows[outward]], start, count, w, _N_ROW3)
            h, v2, w2, slot = constants[e, spin], v2_constants[bond], v2_constants[outward], _LEADS + 2 * number * LANES
            for j in range(count):
                gr, gi = _lead(0.5 * (energy - h - w[_N_ROW + j]), w2 + w[_N_ROW3 + j])
                squared = v2 + w[_N_ROW2 + j]
                w[slot + j], w[slot + LANES + j] = squared * gr, squared * gi
                w[_WIDTHS + number * LANES + j] = math.sqrt(-2.0 * squared * gi)
            for j in range(count):
                open_channels[at + j, lead, spin] = w[slot + LANES + j] < 0.0
        for j in range(count):
            up = complex(w[_LEADS + 4 * LANES + j], w[_LEADS + 5 * LANES + j])
            down = complex(w[_LEADS + 6 * LANES + j], w[_LEADS + 7 * LANES + j])
            _put(w, _S, j, up, 0j, 0j, down)
            _put(w, _P, j, 1.0 + 0j, 0j, 0j, 1.0 + 0j)
        for e in range(last - 1, 0, -1):
            _turn(w, turns[e], count)
            if e == 1:
                # The self-energy of the left lead, diagonal in its own frame, in the frame of element 1.
                uu, ud, du, dd = to_left[0, 0], to_left[0, 1], to_left[1, 0], to_left[1, 1]
                for j in range(count):
                    up = complex(w[_LEADS + j], w[_LEADS + LANES + j])
                    down = complex(w[_LEADS + 2 * LANES + j], w[_LEADS + 3 * LANES + j])
                    s_uu, s_ud, s_du, s_dd = _get(w, _S, j)
                    s_uu += uu.conjugate() * up * uu + du.conjugate() * down * du
                    s_ud += uu.conjugate() * up * ud + du.conjugate() * down * dd
                    s_du += ud.conjugate() * up * uu + dd.conjugate() * down * du
                    s_dd += ud.conjugate() * up * ud + dd.conjugate() * down * dd
                    _put(w, _S, j, s_uu, s_ud, s_du, s_dd)
            _fill(shapes[rows[e, 0]], start, count, w, _N_ROW)
            _fill(shapes[rows[e, 1]], start, count, w, _N_ROW2)
            _fill(shapes[v2_rows[e - 1]], start, count, w, _N_ROW3)
            up_h, down_h, v2 = constants[e, 0], constants[e, 1], v2_constants[e - 1]
            # The last of these Green functions stands alone, without the hopping to the next element.
            to_next = 0.0 if e == 1 else 1.0
            for j in range(count):
                s_uu, s_ud, s_du, s_dd = _get(w, _S, j)
                y_up, y_down = energy - up_h - w[_N_ROW + j] - s_uu, energy - down_h - w[_N_ROW2 + j] - s_dd
                squared = to_next * (v2 + w[_N_ROW3 + j]) + (1.0 - to_next)
                v = math.sqrt(squared)
                scale = v * _inverse(y_up * y_down - s_ud * s_du)
                g_uu, g_ud, g_du, g_dd = y_down * scale, s_ud * scale, s_du * scale, y_up * scale
                _put(w, _S, j, v * g_uu, v * g_ud, v * g_du, v * g_dd)
                p_uu, p_ud, p_du, p_dd = _get(w, _P, j)
                p_uu, p_ud, p_du, p_dd = _times(p_uu, p_ud, p_du, p_dd, g_uu, g_ud, g_du, g_dd)
                _put(w, _P, j, p_uu, p_ud, p_du, p_dd)
        _turn(w, to_left.conj().T, count)
        for row in range(4):
            for into in range(2):
                target, out = row // 2, row % 2
                place, slot = _ELEMENTS + 2 * (2 * row + into) * LANES, 2 * (2 * out + into) * LANES
                matrix = _S + slot if target == 0 else _P + slot
                one = 1.0 if row == into else 0.0
                for j in range(count):
                    weight = w[_WIDTHS + row * LANES + j] * w[_WIDTHS + into * LANES + j]
                    w[place + j] = -weight * w[matrix + LANES + j] - (one if weight > 0.0 else 0.0)
                    w[place + LANES + j] = weight * w[matrix + j]
                found, place_in_found = (r, r_offset + start) if target == 0 else (t, t_offset + start)
                for j in range(count):
                    found[place_in_found + j, out, into] = complex(w[place + j], w[place + LANES + j])
        for j in range(count):
            w[_N_ERR + j] = 0.0
        for a in range(2):
            for b in range(a + 1):
                one = 1.0 if a == b else 0.0
                for j in range(count):
                    total = complex(-one if w[_WIDTHS + a * LANES + j] > 0.0 else 0.0, 0.0)
                    for row in range(4):
                        first, second = _ELEMENTS + 2 * (2 * row + a) * LANES, _ELEMENTS + 2 * (2 * row + b) * LANES
                        u = complex(w[first + j], -w[first + LANES + j])
                        total += u * complex(w[second + j], w[second + LANES + j])
                    w[_N_ERR + j] = _larger(w[_N_ERR + j], abs(total.real) + abs(total.imag))
        for j in range(count):
            error[at + j] = w[_N_ERR + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def spin_diagonal_probabilities(amplitudes, out, into, found):
    """|S|^2 of both spins, (2, points), in (points, spin in, spin out): spin s is s ^ into of the one lead, s ^ out of
    the other, the rest zero."""
    for j in range(amplitudes.shape[1]):
        up, down = amplitudes[0, j], amplitudes[1, j]
        found[j, into, 1 - out] = 0.0
        found[j, 1 - into, out] = 0.0
        found[j, into, out] = up.real * up.real + up.imag * up.imag
        found[j, 1 - into, 1 - out] = down.real * down.real + down.imag * down.imag


@njit(cache=True, fastmath=FAST, error_model="numpy")
def spin_probabilities(amplitudes, found):
    """|S|^2: amplitudes (points, spin out, spin in) -> (points, spin in, spin out)."""
    for j in range(amplitudes.shape[0]):
        for s in range(2):
            for u in range(2):
                value = amplitudes[j, s, u]
                found[j, u, s] = value.real * value.real + value.imag * value.imag

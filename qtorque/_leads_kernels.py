"""Compiled kernels for the modes of leads: eigenvalues and null vectors of many small matrices, a group at a time.

As in `_linalg_kernels`: LANES matrices in step, one in each lane of the innermost index, real and imaginary parts kept
apart. What happens in one lane depends on that lane alone.
"""

import numpy as np
from numba import njit

from qtorque._linalg_kernels import LANES

EPSILON = float(np.finfo(float).eps)
MAX_SWEEPS = 40
"""QR sweeps allowed for one eigenvalue; two or three are the rule."""
EXCEPTIONAL = 10
"""Sweeps without success after which the shift is taken off its cycle."""
TINY = 1e-300
"""Added where a norm of zero would divide zero by zero."""


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def eigenvalues(matrices):
    """Eigenvalues of complex matrices (points, m, m): (points, m); not a number where the QR iteration fails.

    Householder reduction to Hessenberg form, then the QR algorithm with Wilkinson's shift (G. H. Golub and C. F. Van
    Loan, Matrix Computations, chapter 7, cited from memory). No Schur vectors are made, a third of the work with them.
    """
    points, m, _ = matrices.shape
    result = np.empty((points, m), np.complex128)
    real, imag = np.empty((m, m, LANES)), np.empty((m, m, LANES))
    for start in range(0, points, LANES):
        for lane in range(LANES):
            point = min(start + lane, points - 1)
            for i in range(m):
                for j in range(m):
                    real[i, j, lane] = matrices[point, i, j].real
                    imag[i, j, lane] = matrices[point, i, j].imag
        _reduce_to_hessenberg(real, imag)
        failed = _qr_iterations(real, imag)
        for lane in range(min(LANES, points - start)):
            for i in range(m):
                value = complex(real[i, i, lane], imag[i, i, lane])
                result[start + lane, i] = complex(np.nan, np.nan) if failed[lane] else value
    return result


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _reduce_to_hessenberg(real, imag):
    """Householder reflections 1 - 2 v v^dagger from both sides, with v of length one."""
    m = real.shape[0]
    v_real, v_imag = np.empty((m, LANES)), np.empty((m, LANES))
    dot_real, dot_imag = np.empty(LANES), np.empty(LANES)
    norm = np.empty(LANES)
    for column in range(m - 2):
        norm[:] = 0.0
        for i in range(column + 1, m):
            for lane in range(LANES):
                v_real[i, lane] = real[i, column, lane]
                v_imag[i, lane] = imag[i, column, lane]
                norm[lane] += v_real[i, lane] ** 2 + v_imag[i, lane] ** 2
        _reflector(v_real, v_imag, norm, column + 1, m)
        for j in range(column, m):
            dot_real[:] = 0.0
            dot_imag[:] = 0.0
            for i in range(column + 1, m):
                for lane in range(LANES):
                    dot_real[lane] += v_real[i, lane] * real[i, j, lane] + v_imag[i, lane] * imag[i, j, lane]
                    dot_imag[lane] += v_real[i, lane] * imag[i, j, lane] - v_imag[i, lane] * real[i, j, lane]
            for i in range(column + 1, m):
                for lane in range(LANES):
                    real[i, j, lane] -= 2 * (v_real[i, lane] * dot_real[lane] - v_imag[i, lane] * dot_imag[lane])
                    imag[i, j, lane] -= 2 * (v_real[i, lane] * dot_imag[lane] + v_imag[i, lane] * dot_real[lane])
        for i in range(m):
            dot_real[:] = 0.0
            dot_imag[:] = 0.0
            for j in range(column + 1, m):
                for lane in range(LANES):
                    dot_real[lane] += real[i, j, lane] * v_real[j, lane] - imag[i, j, lane] * v_imag[j, lane]
                    dot_imag[lane] += real[i, j, lane] * v_imag[j, lane] + imag[i, j, lane] * v_real[j, lane]
            for j in range(column + 1, m):
                for lane in range(LANES):
                    real[i, j, lane] -= 2 * (dot_real[lane] * v_real[j, lane] + dot_imag[lane] * v_imag[j, lane])
                    imag[i, j, lane] -= 2 * (dot_imag[lane] * v_real[j, lane] - dot_real[lane] * v_imag[j, lane])


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _reflector(v_real, v_imag, norm, first, m):
    """From a column x in v, with |x|^2 in norm, the vector v/|v| that reflects x onto its first component."""
    for lane in range(LANES):
        head = np.sqrt(v_real[first, lane] ** 2 + v_imag[first, lane] ** 2)
        length = np.sqrt(norm[lane])
        # v = x + (x_0/|x_0|) |x| e_0; |v|^2 = 2 |x| (|x| + |x_0|)
        phase_real = v_real[first, lane] / head if head > 0 else 1.0
        phase_imag = v_imag[first, lane] / head if head > 0 else 0.0
        v_real[first, lane] += phase_real * length
        v_imag[first, lane] += phase_imag * length
        norm[lane] = 1 / np.sqrt(2 * length * (length + head)) if length > 0 else 0.0
    for i in range(first, m):
        for lane in range(LANES):
            v_real[i, lane] *= norm[lane]
            v_imag[i, lane] *= norm[lane]


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _qr_iterations(real, imag):
    """The QR algorithm on upper Hessenberg matrices: their diagonals become the eigenvalues. Returns failed lanes."""
    m = real.shape[0]
    high = np.full(LANES, m - 1)
    low = np.zeros(LANES, np.int64)
    sweeps = np.zeros(LANES, np.int64)
    failed = np.zeros(LANES, np.bool_)
    shift_real, shift_imag = np.zeros(LANES), np.zeros(LANES)
    while True:
        first, last = m, 0
        for lane in range(LANES):
            _deflate(real, imag, lane, low, high, sweeps)
            if high[lane] > 0 and sweeps[lane] >= MAX_SWEEPS:
                failed[lane] = True
                high[lane] = 0
            if high[lane] <= 0:
                low[lane] = high[lane] = 0
                continue
            first, last = min(first, low[lane]), max(last, high[lane])
            shift = _wilkinson(real, imag, lane, high[lane])
            if sweeps[lane] % EXCEPTIONAL == EXCEPTIONAL - 1:
                k = high[lane]
                shift = complex(real[k, k, lane] + 0.75 * abs(real[k, k - 1, lane]), imag[k, k, lane])
            shift_real[lane], shift_imag[lane] = shift.real, shift.imag
            sweeps[lane] += 1
        if last == 0:
            return failed
        _chase(real, imag, low, high, shift_real, shift_imag, first, last)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _deflate(real, imag, lane, low, high, sweeps):
    """Split off converged eigenvalues of one lane and find the block [low, high] that is left."""
    k = high[lane]
    while k > 0:
        size = abs(real[k, k - 1, lane]) + abs(imag[k, k - 1, lane])
        near = abs(real[k, k, lane]) + abs(imag[k, k, lane]) + abs(real[k - 1, k - 1, lane])
        if size <= EPSILON * (near + abs(imag[k - 1, k - 1, lane])):
            real[k, k - 1, lane] = 0.0
            imag[k, k - 1, lane] = 0.0
            if k == high[lane]:
                high[lane] = k - 1
                sweeps[lane] = 0
            else:
                break
        k -= 1
    low[lane] = k


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _wilkinson(real, imag, lane, k):
    """The eigenvalue of the last 2 x 2 block nearer to its last element."""
    a = complex(real[k - 1, k - 1, lane], imag[k - 1, k - 1, lane])
    d = complex(real[k, k, lane], imag[k, k, lane])
    bc = complex(real[k - 1, k, lane], imag[k - 1, k, lane]) * complex(real[k, k - 1, lane], imag[k, k - 1, lane])
    half = (a - d) / 2
    root = np.sqrt(half * half + bc)
    if (half.conjugate() * root).real < 0:
        root = -root
    far = half + root
    return d - bc / far if abs(far) > 0 else d


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _chase(real, imag, low, high, shift_real, shift_imag, first, last):
    """One implicitly shifted QR sweep over the block of every lane; outside of it a lane is turned by nothing."""
    c, s_real, s_imag = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for k in range(first, last):
        for lane in range(LANES):
            inside = (k >= low[lane]) & (k < high[lane])
            start = k == low[lane]
            before = max(k - 1, 0)
            x_real = real[k, k, lane] - shift_real[lane] if start else real[k, before, lane]
            x_imag = imag[k, k, lane] - shift_imag[lane] if start else imag[k, before, lane]
            y_real = real[k + 1, k, lane] if start else real[k + 1, before, lane]
            y_imag = imag[k + 1, k, lane] if start else imag[k + 1, before, lane]
            size = np.sqrt(x_real * x_real + x_imag * x_imag)
            norm = np.sqrt(x_real * x_real + x_imag * x_imag + y_real * y_real + y_imag * y_imag)
            inside = inside & (norm > 0)
            scale = 1 / (norm if inside else 1.0)
            phase_real = x_real / size if size > 0 else 1.0
            phase_imag = x_imag / size if size > 0 else 0.0
            # s = (x/|x|) conj(y)/r
            c[lane] = size * scale if inside else 1.0
            s_real[lane] = (phase_real * y_real + phase_imag * y_imag) * scale if inside else 0.0
            s_imag[lane] = (phase_imag * y_real - phase_real * y_imag) * scale if inside else 0.0
        for j in range(max(k - 1, first), last + 1):
            for lane in range(LANES):
                a_real, a_imag = real[k, j, lane], imag[k, j, lane]
                b_real, b_imag = real[k + 1, j, lane], imag[k + 1, j, lane]
                real[k, j, lane] = c[lane] * a_real + (s_real[lane] * b_real - s_imag[lane] * b_imag)
                imag[k, j, lane] = c[lane] * a_imag + (s_real[lane] * b_imag + s_imag[lane] * b_real)
                real[k + 1, j, lane] = c[lane] * b_real - (s_real[lane] * a_real + s_imag[lane] * a_imag)
                imag[k + 1, j, lane] = c[lane] * b_imag - (s_real[lane] * a_imag - s_imag[lane] * a_real)
        for i in range(first, min(k + 2, last) + 1):
            for lane in range(LANES):
                a_real, a_imag = real[i, k, lane], imag[i, k, lane]
                b_real, b_imag = real[i, k + 1, lane], imag[i, k + 1, lane]
                real[i, k, lane] = c[lane] * a_real + (s_real[lane] * b_real + s_imag[lane] * b_imag)
                imag[i, k, lane] = c[lane] * a_imag + (s_real[lane] * b_imag - s_imag[lane] * b_real)
                real[i, k + 1, lane] = c[lane] * b_real - (s_real[lane] * a_real - s_imag[lane] * a_imag)
                imag[i, k + 1, lane] = c[lane] * b_imag - (s_real[lane] * a_imag + s_imag[lane] * a_real)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def smallest_distance(values, wanted):
    """Smallest |a - b|/|a| of any other value b from a wanted value a, for every row of values (points, m)."""
    points, m = values.shape
    result = np.empty(points)
    for point in range(points):
        smallest = np.inf
        for i in range(m):
            if not wanted[point, i]:
                continue
            a = values[point, i]
            size = a.real**2 + a.imag**2
            for j in range(m):
                if j != i:
                    d = a - values[point, j]
                    distance = (d.real**2 + d.imag**2) / size
                    # Not a number counts as no distance.
                    smallest = distance if not distance > smallest else smallest
        result[point] = np.sqrt(smallest)
    return result


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def null_vectors(points, guesses, D, V, rounds):
    """Solutions of P(lambda) phi = 0 with P = V^dagger - lambda D + lambda^2 V, refined from guesses of lambda.

    Each round factorises P = Q R, takes two steps of inverse iteration with P^dagger P for phi and its partner y, and
    one Newton step lambda -= y^dagger P phi / y^dagger P' phi.

    Parameters
    ----------
    points
        Which of the matrices D, V (points, n, n) a guess belongs to. shape (pairs,)
    guesses
        lambda, shape (pairs,)

    Returns
    -------
    factors, vectors
        lambda (pairs,) and phi (pairs, n), normalised.
    """
    pairs, n = len(points), D.shape[1]
    factors, vectors = guesses.copy(), np.empty((pairs, n), np.complex128)
    real, imag = np.empty((n, n, LANES)), np.empty((n, n, LANES))
    v_real, v_imag = np.empty((n, n, LANES)), np.empty((n, n, LANES))
    x_real, x_imag = np.empty((n, LANES)), np.empty((n, LANES))
    norm = np.empty(LANES)
    scale = np.empty(LANES)
    length, grown = np.empty(LANES), np.empty(LANES)
    y = np.empty(n, np.complex128)
    for start in range(0, pairs, LANES):
        for turn in range(rounds):
            for lane in range(LANES):
                pair = min(start + lane, pairs - 1)
                d, v, factor = D[points[pair]], V[points[pair]], factors[pair]
                square = factor * factor
                for i in range(n):
                    for j in range(n):
                        value = v[j, i].conjugate() - factor * d[i, j] + square * v[i, j]
                        real[i, j, lane] = value.real
                        imag[i, j, lane] = value.imag
            _factorise(real, imag, v_real, v_imag, norm, scale)
            if turn == 0:
                for i in range(n):
                    for lane in range(LANES):
                        x_real[i, lane] = np.cos(1.0 + i * i)
                        x_imag[i, lane] = np.sin(1.0 + i * i)
                _normalise(x_real, x_imag, length)
            _solve_adjoint(real, imag, x_real, x_imag)
            _solve(real, imag, x_real, x_imag)
            _normalise(x_real, x_imag, grown)
            _solve_adjoint(real, imag, x_real, x_imag)
            _normalise(x_real, x_imag, length)
            left_real, left_imag = x_real.copy(), x_imag.copy()
            _reflect_back(v_real, v_imag, left_real, left_imag)
            _solve(real, imag, x_real, x_imag)
            _normalise(x_real, x_imag, grown)
            for lane in range(min(LANES, pairs - start)):
                pair = start + lane
                for i in range(n):
                    vectors[pair, i] = complex(x_real[i, lane], x_imag[i, lane])
                    y[i] = complex(left_real[i, lane], left_imag[i, lane])
                d, v = D[points[pair]], V[points[pair]]
                slope = 0j
                for i in range(n):
                    row = 0j
                    for j in range(n):
                        row += (2 * factors[pair] * v[i, j] - d[i, j]) * vectors[pair, j]
                    slope += y[i].conjugate() * row
                # y^dagger P phi = 1/|R^-1 w| with w = Q^dagger y of length one
                if abs(slope) > 0:
                    factors[pair] -= 1 / (grown[lane] * slope)
    return factors, vectors


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _factorise(real, imag, v_real, v_imag, norm, scale):
    """P = Q R by Householder reflections: R in place, the reflection vectors in v[column]; no zero on the diagonal."""
    n = real.shape[0]
    dot_real, dot_imag = np.empty(LANES), np.empty(LANES)
    scale[:] = TINY
    for column in range(n):
        w_real, w_imag = v_real[column], v_imag[column]
        norm[:] = 0.0
        for i in range(column, n):
            for lane in range(LANES):
                w_real[i, lane] = real[i, column, lane]
                w_imag[i, lane] = imag[i, column, lane]
                norm[lane] += w_real[i, lane] ** 2 + w_imag[i, lane] ** 2
        for lane in range(LANES):
            scale[lane] = max(scale[lane], np.sqrt(norm[lane]))
        _reflector(w_real, w_imag, norm, column, n)
        for j in range(column, n):
            dot_real[:] = 0.0
            dot_imag[:] = 0.0
            for i in range(column, n):
                for lane in range(LANES):
                    dot_real[lane] += w_real[i, lane] * real[i, j, lane] + w_imag[i, lane] * imag[i, j, lane]
                    dot_imag[lane] += w_real[i, lane] * imag[i, j, lane] - w_imag[i, lane] * real[i, j, lane]
            for i in range(column, n):
                for lane in range(LANES):
                    real[i, j, lane] -= 2 * (w_real[i, lane] * dot_real[lane] - w_imag[i, lane] * dot_imag[lane])
                    imag[i, j, lane] -= 2 * (w_real[i, lane] * dot_imag[lane] + w_imag[i, lane] * dot_real[lane])
    for i in range(n):
        for lane in range(LANES):
            small = EPSILON * scale[lane]
            if real[i, i, lane] ** 2 + imag[i, i, lane] ** 2 < small * small:
                real[i, i, lane] = small
                imag[i, i, lane] = 0.0


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _solve(real, imag, x_real, x_imag):
    """x -> R^-1 x."""
    n = real.shape[0]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            for lane in range(LANES):
                x_real[i, lane] -= real[i, j, lane] * x_real[j, lane] - imag[i, j, lane] * x_imag[j, lane]
                x_imag[i, lane] -= real[i, j, lane] * x_imag[j, lane] + imag[i, j, lane] * x_real[j, lane]
        for lane in range(LANES):
            scale = 1 / (real[i, i, lane] ** 2 + imag[i, i, lane] ** 2)
            a, b = x_real[i, lane], x_imag[i, lane]
            x_real[i, lane] = (a * real[i, i, lane] + b * imag[i, i, lane]) * scale
            x_imag[i, lane] = (b * real[i, i, lane] - a * imag[i, i, lane]) * scale


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _solve_adjoint(real, imag, x_real, x_imag):
    """x -> (R^dagger)^-1 x."""
    n = real.shape[0]
    for i in range(n):
        for j in range(i):
            for lane in range(LANES):
                x_real[i, lane] -= real[j, i, lane] * x_real[j, lane] + imag[j, i, lane] * x_imag[j, lane]
                x_imag[i, lane] -= real[j, i, lane] * x_imag[j, lane] - imag[j, i, lane] * x_real[j, lane]
        for lane in range(LANES):
            scale = 1 / (real[i, i, lane] ** 2 + imag[i, i, lane] ** 2)
            a, b = x_real[i, lane], x_imag[i, lane]
            x_real[i, lane] = (a * real[i, i, lane] - b * imag[i, i, lane]) * scale
            x_imag[i, lane] = (b * real[i, i, lane] + a * imag[i, i, lane]) * scale


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _reflect_back(v_real, v_imag, x_real, x_imag):
    """x -> Q x, the reflections in reverse order."""
    n = len(x_real)
    for column in range(n - 1, -1, -1):
        for lane in range(LANES):
            dot_real, dot_imag = 0.0, 0.0
            for i in range(column, n):
                a, b = v_real[column, i, lane], v_imag[column, i, lane]
                dot_real += a * x_real[i, lane] + b * x_imag[i, lane]
                dot_imag += a * x_imag[i, lane] - b * x_real[i, lane]
            for i in range(column, n):
                a, b = v_real[column, i, lane], v_imag[column, i, lane]
                x_real[i, lane] -= 2 * (a * dot_real - b * dot_imag)
                x_imag[i, lane] -= 2 * (a * dot_imag + b * dot_real)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _normalise(x_real, x_imag, length):
    """x -> x/|x|, with |x| in `length`."""
    length[:] = 0.0
    for i in range(len(x_real)):
        for lane in range(LANES):
            length[lane] += x_real[i, lane] ** 2 + x_imag[i, lane] ** 2
    for lane in range(LANES):
        length[lane] = np.sqrt(length[lane])
    for i in range(len(x_real)):
        for lane in range(LANES):
            x_real[i, lane] /= length[lane]
            x_imag[i, lane] /= length[lane]

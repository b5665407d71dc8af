"""Compiled kernels of the equation of motion; `qtorque.llg.lanes` prepares their arguments.

All fields are in tesla. With tau/(Ms Vol) written as a field b, every non-damping term is a cross product with m,

    T = gamma m x W,    W = -B - b_FL p + b_DL (p x m),    dm/dt = (T + alpha m x T)/(1 + alpha^2).

The coefficients b_DL and b_FL arrive in the spin frame. Here, and nowhere else, they act on a moment, m = -s: the
field-like one enters W with the sign of a field +b_FL along p.

A block holds up to `LANES` moments. Every moment is a lane with parameters of its own, and every quantity a row of
`LANES` numbers in one flat array: rows at constant places in one array are what LLVM needs to prove that loads and
stores do not meet, and without that proof nothing is vectorised. A lane never looks at another one (but at its partner,
where two magnets are coupled), so what happens to a moment does not depend on which others share its block.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 64
"""Moments of a block. The rows that a step touches then fill the first-level cache and no more."""

KNOTS_UNROLLED = 4
"""Knots of a torque table that one pass over a block adds; a table has a multiple of these."""

# Rows of the block, in units of LANES numbers. M: moments at the last step. X: where the rate is wanted. R: the rate.
M, X, R, A, H, B, B0, FIELD_AXIS, W, NORMALS = (3 * i * LANES for i in range(10))  # NORMALS has two times three rows
(TENSOR_XX, TENSOR_YY, TENSOR_ZZ, TENSOR_XY, TENSOR_XZ, TENSOR_YZ,
 ALPHA, STEP, SIGMA, DRIVE, FIELD, ANGLE, PULL, PUSH, SIDE, CROSSED,
) = ((33 + i) * LANES for i in range(16))  # fmt: skip
POLARIZERS = (49 * LANES, 55 * LANES)  # each: direction (3), damping-like, field-like, asymmetry
QUARTICS = (61 * LANES, 65 * LANES, 69 * LANES, 73 * LANES)  # each: axis (3), field
VOLTAGE_AXIS = 77 * LANES  # axis (3), field per unit of the drive
TABLE_AXIS, PARTNER, WATCH = 81 * LANES, 84 * LANES, 87 * LANES
COUPLING = 90 * LANES  # symmetric tensor: xx, yy, zz, xy, xz, yz
STAGES = 96 * LANES  # seven stages of three rows, of the adaptive integrator
LENGTH, CLOCK = (96 + 21) * LANES, (96 + 22) * LANES
ROWS = 96 + 23

# What is present in a block: entries of `layout`. A term that no lane has is not evaluated.
LAYOUT_SIZE = 9
MOMENTS, POLARIZER_COUNT, QUARTIC_COUNT, VOLTAGE_TERM, TABULATED, COUPLED, FIELD_VARIES, DRIVE_VARIES, WATCHED = range(
    LAYOUT_SIZE
)

ARCSINE = (
    1.0000000000000004, 0.1666666666661266, 0.07500000010326971, 0.044642849352792925, 0.03038225261078325,
    0.02236479278135831, 0.017468338476864537, 0.01271115458012856, 0.021272381973439548, -0.045216406151762055,
    0.23748842691861086, -0.6963313293396542, 1.582877152468858, -2.5068911979542188, 2.7170663464162557,
    -1.7870148645071302, 0.5621827313559765,
)  # fmt: skip
"""asin(s)/s in powers of s^2, s^2 within 0 .. 1/2: Chebyshev interpolation, relative error 8e-16."""
LOGARITHM = (
    1.0000000006010195, -0.49999999414017127, 0.3333330266101698, -0.2500006237443588, 0.20002535640193383,
    -0.16666555575670008, 0.1421229125042129, -0.12420821262732773, 0.11945878227356821, -0.11620648400270368,
    0.06572327158522023,
)  # fmt: skip
"""ln(1 + f)/f in powers of f, 1 + f within sqrt(1/2) .. sqrt(2); relative error 7e-10, nothing that a sample shows."""
SINE = (3.141592653536132, -5.167712764593, 2.550163317938427, -0.599252186531583, 0.08205035020147247,
        -0.007028303855203096)  # fmt: skip
COSINE = (0.9999999999970073, -0.9348021996826648, 0.3195032839807326, -0.05724878378454218, 0.006327418758889172,
          -0.0004568714690031206)  # fmt: skip
"""sin(pi x)/x and cos(pi x)/(1 - 4 x^2) in powers of x^2, |x| <= 1/2; relative errors 3e-11 and 4e-12."""

ONE_BITS = np.uint64(0x3FF0000000000000)
RADIUS_BITS, ANGLE_MASK, SIGN_MASK = np.uint64(24), np.uint64((1 << 23) - 1), np.uint64(1 << 23)
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
ROTATE_23, ROTATE_41, ROTATE_45, ROTATE_19 = np.uint64(23), np.uint64(41), np.uint64(45), np.uint64(19)
SHIFT_12, SHIFT_17, SHIFT_29, SHIFT_40 = np.uint64(12), np.uint64(17), np.uint64(29), np.uint64(40)
HALF_OF_40, HALF_OF_23 = np.uint64(1 << 11), np.uint64(1 << 28)
GOLDEN, MIX_1, MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFT_30, SHIFT_27, SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)

JUMP_MARGIN = 1e-7
"""Of a step: drives are evaluated this much inside it, so that a jump between two steps belongs to neither's inside.
Beyond 10^9 steps it is lost in rounding."""
LARGEST_SQUARE = 4.0
"""|m|^2 after a step of the adaptive integrator that was far too long."""
CLOCK_ROUNDING = 1e-12
"""Of the interval: what is left of it is then rounding."""

DORMAND_PRINCE = np.array([
    [0, 0, 0, 0, 0, 0],
    [1 / 5, 0, 0, 0, 0, 0],
    [3 / 40, 9 / 40, 0, 0, 0, 0],
    [44 / 45, -56 / 15, 32 / 9, 0, 0, 0],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
])  # fmt: skip
DORMAND_PRINCE_TIMES = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1])
DORMAND_PRINCE_ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])

# Contraction (fused multiply-add) and division by a reciprocal are allowed; no reordering of sums.
FAST: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}


@intrinsic
def _as_float(typing_context, bits):
    """The 64 bits of an integer read as a floating-point number."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@intrinsic
def _as_integer(typing_context, number):
    """The 64 bits of a floating-point number read as an integer."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


# --- random numbers ---------------------------------------------------------------------------------------------------


@njit(cache=True)
def _mixed(x):
    """The finaliser of SplitMix64 (G. L. Steele et al., OOPSLA 2014), a bijection of 64-bit numbers."""
    x = (x ^ (x >> SHIFT_30)) * MIX_1
    x = (x ^ (x >> SHIFT_27)) * MIX_2
    return x ^ (x >> SHIFT_31)


@njit(cache=True)
def seed_streams(state, addresses):
    """Begin the stream of each lane at its address (seed, point, trajectory), `addresses` (n, 3) of uint64.

    The state of xoshiro256++ is a hash chain of the address. Its first two words are bijections of the trajectory for
    one seed and point, so no two trajectories of a point begin alike.
    """
    for lane in range(addresses.shape[0]):
        for word in range(4):
            x = _mixed(addresses[lane, 0] + GOLDEN * np.uint64(word + 1))
            x = _mixed(x + GOLDEN + addresses[lane, 1])
            state[word * LANES + lane] = _mixed(x + GOLDEN + addresses[lane, 2])


@njit(inline="always")
def _normal_pairs(state, w, n, row):
    """Two independent standard normal numbers for every lane, to the rows `row` and `row` + LANES.

    One number of xoshiro256++ (D. Blackman, S. Vigna, ACM Trans. Math. Softw. 47, 36 (2021)) makes a pair by the method
    of Box and Muller: 40 bits the radius, which reaches to 7.5, 24 bits the angle.
    """
    for j in range(n):
        s0, s1, s2, s3 = state[j], state[LANES + j], state[2 * LANES + j], state[3 * LANES + j]
        mixed = s0 + s3
        random = ((mixed << ROTATE_23) | (mixed >> ROTATE_41)) + s0
        shifted = s1 << SHIFT_17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = (s3 << ROTATE_45) | (s3 >> ROTATE_19)
        state[j], state[LANES + j], state[2 * LANES + j], state[3 * LANES + j] = s0, s1, s2, s3

        radius_bits = ((random >> RADIUS_BITS) << SHIFT_12) | HALF_OF_40 | ONE_BITS
        uniform = _as_float(radius_bits) - 1.0  # type: ignore[call-arg]  # (k + 1/2)/2^40
        bits = _as_integer(uniform)
        exponent = (bits - SQRT_HALF_BITS) >> 52
        f = _as_float(np.uint64(bits - (exponent << 52))) - 1.0
        p = LOGARITHM[10]
        p = p * f + LOGARITHM[9]
        p = p * f + LOGARITHM[8]
        p = p * f + LOGARITHM[7]
        p = p * f + LOGARITHM[6]
        p = p * f + LOGARITHM[5]
        p = p * f + LOGARITHM[4]
        p = p * f + LOGARITHM[3]
        p = p * f + LOGARITHM[2]
        p = p * f + LOGARITHM[1]
        p = p * f + LOGARITHM[0]
        radius = math.sqrt(-2.0 * (p * f + exponent * math.log(2.0)))

        # An angle on the right half circle, and a sign that takes it to the left one.
        x = _as_float(((random & ANGLE_MASK) << SHIFT_29) | HALF_OF_23 | ONE_BITS) - 1.5
        z = x * x
        s = SINE[5]
        c = COSINE[5]
        s = s * z + SINE[4]
        c = c * z + COSINE[4]
        s = s * z + SINE[3]
        c = c * z + COSINE[3]
        s = s * z + SINE[2]
        c = c * z + COSINE[2]
        s = s * z + SINE[1]
        c = c * z + COSINE[1]
        s = s * z + SINE[0]
        c = c * z + COSINE[0]
        right = radius * (1.0 - 4.0 * z) * c
        w[row + j] = _as_float(np.uint64(_as_integer(right)) ^ ((random & SIGN_MASK) << SHIFT_40))
        w[row + LANES + j] = radius * x * s


# --- drives -----------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _waveform(nodes, first, stop, tone, time):
    """One value of `qtorque.llg.drive.Waveform`: nodes (2, :), its own being first .. stop; tone (5,)."""
    low, high = first, stop  # nodes before `low` are at or before the time, those from `high` on are later
    while low < high:
        middle = (low + high) // 2
        if nodes[0, middle] <= time:
            low = middle + 1
        else:
            high = middle
    if low == first:
        value = nodes[1, first]
    elif low == stop:
        value = nodes[1, stop - 1]
    else:
        share = (time - nodes[0, low - 1]) / (nodes[0, low] - nodes[0, low - 1])
        value = nodes[1, low - 1] + share * (nodes[1, low] - nodes[1, low - 1])
    if tone[0] != 0.0 and time < tone[4]:
        value += tone[0] * math.sin(tone[3] + 2 * math.pi * (tone[1] + 0.5 * tone[2] * time) * time)
    return value


@njit(cache=True)
def waveform_values(nodes, tone, times):
    """Values of one waveform at times (n,)."""
    values = np.empty(times.size)
    for i in range(times.size):
        values[i] = _waveform(nodes, 0, nodes.shape[1], tone, times[i])
    return values


@njit(cache=True)
def _set_row(w, row, n, nodes, ends, tones, wave_of_lane):
    """A row of values of waveforms at the times of the lanes; neighbours that agree in both share the work."""
    for j in range(n):
        wave = wave_of_lane[j]
        if j > 0 and wave == wave_of_lane[j - 1] and w[CLOCK + j] == w[CLOCK + j - 1]:
            w[row + j] = w[row + j - 1]
        else:
            w[row + j] = _waveform(nodes, ends[wave], ends[wave + 1], tones[wave], w[CLOCK + j])


@njit(cache=True)
def set_table(w, n, coefficients, table):
    """The polynomials in the angle at the drive of each lane, from those in angle and drive.

    coefficients : (2 x (4 + k) x LANES,), written: for the damping-like and then the field-like torque the cubic and
        the k jumps of its third derivative at the knots
    table : breaks (v + 1,), polynomials (tables, v, 4, 2, 4 + k), table_of_lane, origin, knots
    """
    breaks, polynomials, table_of_lane = table[0], table[1], table[2]
    rows = polynomials.shape[4]
    for j in range(n):
        own = table_of_lane[j]
        drive = w[DRIVE + j]
        if j > 0 and own == table_of_lane[j - 1] and drive == w[DRIVE + j - 1]:
            for row in range(2 * rows):
                coefficients[row * LANES + j] = coefficients[row * LANES + j - 1]
            continue
        interval = min(max(np.searchsorted(breaks, drive, side="right") - 1, 0), breaks.size - 2)
        s = drive - breaks[interval]
        for kind in range(2):
            for row in range(rows):
                value = polynomials[own, interval, 0, kind, row]
                for power in range(1, 4):
                    value = value * s + polynomials[own, interval, power, kind, row]
                coefficients[(kind * rows + row) * LANES + j] = value


@njit(cache=True)
def _set_drives(w, layout, coefficients, waves, table):
    """Drive and field of every lane at its time in the row CLOCK, and what follows from them."""
    nodes, ends, tones, drive_of_lane, field_of_lane = waves
    n = layout[MOMENTS]
    if layout[DRIVE_VARIES]:
        _set_row(w, DRIVE, n, nodes, ends, tones, drive_of_lane)
        if layout[TABULATED]:
            set_table(w, n, coefficients, table)
    if layout[FIELD_VARIES]:
        _set_row(w, FIELD, n, nodes, ends, tones, field_of_lane)
        for axis in range(3):
            for j in range(n):
                w[B + axis * LANES + j] = w[B0 + axis * LANES + j] + w[FIELD + j] * w[FIELD_AXIS + axis * LANES + j]


@njit(cache=True)
def begin(w, layout, coefficients, waves, table, time=0.0):
    """Set what depends on the drives at a time (s), and the fields H = B, X = M."""
    nodes, ends, tones, drive_of_lane, field_of_lane = waves
    n = layout[MOMENTS]
    _set_clock(w, n, time)
    _set_row(w, DRIVE, n, nodes, ends, tones, drive_of_lane)
    _set_row(w, FIELD, n, nodes, ends, tones, field_of_lane)
    if layout[TABULATED]:
        set_table(w, n, coefficients, table)
    for axis in range(3):
        for j in range(n):
            field = w[B0 + axis * LANES + j] + w[FIELD + j] * w[FIELD_AXIS + axis * LANES + j]
            w[B + axis * LANES + j] = field
            w[H + axis * LANES + j] = field
            w[X + axis * LANES + j] = w[M + axis * LANES + j]


# --- the right side ---------------------------------------------------------------------------------------------------


@njit(inline="always")
def _projection(w, j, axis, m):
    """Scalar product of the vectors of lane j at two rows."""
    return (
        w[axis + j] * w[m + j] + w[axis + LANES + j] * w[m + LANES + j] + w[axis + 2 * LANES + j] * w[m + 2 * LANES + j]
    )


@njit(inline="always")
def _torque(w, j, axis, pull, push):
    """pull p x m - push p at the axis p of the row `axis`."""
    x, y, z = w[X + j], w[X + LANES + j], w[X + 2 * LANES + j]
    px, py, pz = w[axis + j], w[axis + LANES + j], w[axis + 2 * LANES + j]
    return (
        pull * (py * z - pz * y) - push * px,
        pull * (pz * x - px * z) - push * py,
        pull * (px * y - py * x) - push * pz,
    )


@njit(inline="always")
def _polarizer_torque(w, j, row):
    """Of a closed form: b_DL = drive a/(1 + q p.m), b_FL = drive c."""
    pull = w[DRIVE + j] * w[row + 3 * LANES + j] / (1.0 + w[row + 5 * LANES + j] * _projection(w, j, row, X))
    return _torque(w, j, row, pull, w[DRIVE + j] * w[row + 4 * LANES + j])


@njit(inline="always")
def _polarizer(w, n, row):
    for j in range(n):
        ax, ay, az = _polarizer_torque(w, j, row)
        w[W + j] += ax
        w[W + LANES + j] += ay
        w[W + 2 * LANES + j] += az


@njit(inline="always")
def _quartic(w, n, row):
    """The field b (m.u)^3 u of the energy -Ms b (m.u)^4/4."""
    for j in range(n):
        ux, uy, uz = w[row + j], w[row + LANES + j], w[row + 2 * LANES + j]
        cosine = _projection(w, j, row, X)
        field = w[row + 3 * LANES + j] * cosine * cosine * cosine
        w[W + j] -= field * ux
        w[W + LANES + j] -= field * uy
        w[W + 2 * LANES + j] -= field * uz


@njit(inline="always")
def _voltage_anisotropy(w, n):
    """The field b drive (m.u) u of an anisotropy that is linear in the drive."""
    for j in range(n):
        ux, uy, uz = w[VOLTAGE_AXIS + j], w[VOLTAGE_AXIS + LANES + j], w[VOLTAGE_AXIS + 2 * LANES + j]
        cosine = _projection(w, j, VOLTAGE_AXIS, X)
        field = w[VOLTAGE_AXIS + 3 * LANES + j] * w[DRIVE + j] * cosine
        w[W + j] -= field * ux
        w[W + LANES + j] -= field * uy
        w[W + 2 * LANES + j] -= field * uz


@njit(inline="always")
def _tabulated(w, n, coefficients, origin, knots):
    """The torque of a table: a cubic in the angle, and (angle - knot)^3 beyond every knot.

    A spline is written in truncated powers because that has no branch and no look-up: all lanes do the same.
    """
    rows = 4 + knots.size
    for j in range(n):
        cosine = _projection(w, j, TABLE_AXIS, X)
        size = min(abs(cosine), 1.0)
        # arccos = 2 arcsin sqrt((1 - c)/2). It loses half the digits near 0 and pi; the coefficients have no slope
        # there, so theirs keep all.
        z = 0.5 * (1.0 - size)
        s = ARCSINE[16]
        s = s * z + ARCSINE[15]
        s = s * z + ARCSINE[14]
        s = s * z + ARCSINE[13]
        s = s * z + ARCSINE[12]
        s = s * z + ARCSINE[11]
        s = s * z + ARCSINE[10]
        s = s * z + ARCSINE[9]
        s = s * z + ARCSINE[8]
        s = s * z + ARCSINE[7]
        s = s * z + ARCSINE[6]
        s = s * z + ARCSINE[5]
        s = s * z + ARCSINE[4]
        s = s * z + ARCSINE[3]
        s = s * z + ARCSINE[2]
        s = s * z + ARCSINE[1]
        s = s * z + ARCSINE[0]
        acute = 2.0 * math.sqrt(z) * s
        w[ANGLE + j] = (acute if cosine >= 0.0 else math.pi - acute) - origin
    # Views: an index that begins at a variable place could be negative to numba, and would not be vectorised.
    own, other = coefficients[: 4 * LANES], coefficients[rows * LANES : (rows + 4) * LANES]
    for j in range(n):
        t = w[ANGLE + j]
        pull, push = own[j], other[j]
        pull = pull * t + own[LANES + j]
        push = push * t + other[LANES + j]
        pull = pull * t + own[2 * LANES + j]
        push = push * t + other[2 * LANES + j]
        w[PULL + j] = pull * t + own[3 * LANES + j]
        w[PUSH + j] = push * t + other[3 * LANES + j]
    for k in range(0, knots.size, KNOTS_UNROLLED):
        knot_0, knot_1, knot_2, knot_3 = knots[k], knots[k + 1], knots[k + 2], knots[k + 3]
        own = coefficients[(4 + k) * LANES : (8 + k) * LANES]
        other = coefficients[(rows + 4 + k) * LANES : (rows + 8 + k) * LANES]
        for j in range(n):
            t_0 = max(w[ANGLE + j] - knot_0, 0.0)
            t_1 = max(w[ANGLE + j] - knot_1, 0.0)
            t_2 = max(w[ANGLE + j] - knot_2, 0.0)
            t_3 = max(w[ANGLE + j] - knot_3, 0.0)
            t_0, t_1, t_2, t_3 = t_0 * t_0 * t_0, t_1 * t_1 * t_1, t_2 * t_2 * t_2, t_3 * t_3 * t_3
            pull = w[PULL + j] + t_0 * own[j]
            push = w[PUSH + j] + t_0 * other[j]
            pull += t_1 * own[LANES + j]
            push += t_1 * other[LANES + j]
            pull += t_2 * own[2 * LANES + j]
            push += t_2 * other[2 * LANES + j]
            w[PULL + j] = pull + t_3 * own[3 * LANES + j]
            w[PUSH + j] = push + t_3 * other[3 * LANES + j]
    for j in range(n):
        ax, ay, az = _torque(w, j, TABLE_AXIS, w[PULL + j], w[PUSH + j])
        w[W + j] += ax
        w[W + LANES + j] += ay
        w[W + 2 * LANES + j] += az


@njit(**FAST)
def _face_partners(w, layout):
    """Where two magnets are coupled each is the other's polariser: rows that hold directions of the partner."""
    n = layout[MOMENTS]
    half = n // 2
    for axis in range(3):
        for j in range(half):
            w[PARTNER + axis * LANES + j] = w[X + axis * LANES + half + j]
            w[PARTNER + axis * LANES + half + j] = w[X + axis * LANES + j]
        for j in range(n):
            w[TABLE_AXIS + axis * LANES + j] = w[PARTNER + axis * LANES + j]
            w[POLARIZERS[0] + axis * LANES + j] = w[PARTNER + axis * LANES + j]


@njit(inline="always")
def _coupling(w, n):
    """The field of the partner, coupling tensor times its direction."""
    for j in range(n):
        x, y, z = w[PARTNER + j], w[PARTNER + LANES + j], w[PARTNER + 2 * LANES + j]
        xx, yy, zz = w[COUPLING + j], w[COUPLING + LANES + j], w[COUPLING + 2 * LANES + j]
        xy, xz, yz = w[COUPLING + 3 * LANES + j], w[COUPLING + 4 * LANES + j], w[COUPLING + 5 * LANES + j]
        w[W + j] -= xx * x + xy * y + xz * z
        w[W + LANES + j] -= xy * x + yy * y + yz * z
        w[W + 2 * LANES + j] -= xz * x + yz * y + zz * z


@njit(inline="always")
def _minus_field(w, j):
    """-(H + tensor X) of lane j."""
    x, y, z = w[X + j], w[X + LANES + j], w[X + 2 * LANES + j]
    return (
        -(w[H + j] + w[TENSOR_XX + j] * x + w[TENSOR_XY + j] * y + w[TENSOR_XZ + j] * z),
        -(w[H + LANES + j] + w[TENSOR_XY + j] * x + w[TENSOR_YY + j] * y + w[TENSOR_YZ + j] * z),
        -(w[H + 2 * LANES + j] + w[TENSOR_XZ + j] * x + w[TENSOR_YZ + j] * y + w[TENSOR_ZZ + j] * z),
    )


@njit(inline="always")
def _turn(w, j, wx, wy, wz):
    """R = T + alpha X x T, T = X x W, of lane j."""
    x, y, z = w[X + j], w[X + LANES + j], w[X + 2 * LANES + j]
    tx, ty, tz = y * wz - z * wy, z * wx - x * wz, x * wy - y * wx
    alpha = w[ALPHA + j]
    w[R + j] = tx + alpha * (y * tz - z * ty)
    w[R + LANES + j] = ty + alpha * (z * tx - x * tz)
    w[R + 2 * LANES + j] = tz + alpha * (x * ty - y * tx)


@njit(**FAST)
def set_rates(w, layout, coefficients, origin, knots):
    """R = (1 + alpha^2)/gamma dm/dt, in T, at the directions X in the fields H."""
    n = layout[MOMENTS]
    others = layout[QUARTIC_COUNT] + layout[VOLTAGE_TERM] + layout[COUPLED] + layout[TABULATED]
    if layout[POLARIZER_COUNT] == 1 and others == 0:
        # The common case in one pass, without a way through the memory for W.
        for j in range(n):
            wx, wy, wz = _minus_field(w, j)
            ax, ay, az = _polarizer_torque(w, j, POLARIZERS[0])
            _turn(w, j, wx + ax, wy + ay, wz + az)
        return
    for j in range(n):
        w[W + j], w[W + LANES + j], w[W + 2 * LANES + j] = _minus_field(w, j)
    if layout[QUARTIC_COUNT] > 0:
        _quartic(w, n, QUARTICS[0])
    if layout[QUARTIC_COUNT] > 1:
        _quartic(w, n, QUARTICS[1])
    if layout[QUARTIC_COUNT] > 2:
        _quartic(w, n, QUARTICS[2])
    if layout[QUARTIC_COUNT] > 3:
        _quartic(w, n, QUARTICS[3])
    if layout[VOLTAGE_TERM]:
        _voltage_anisotropy(w, n)
    if layout[COUPLED]:
        _face_partners(w, layout)
        _coupling(w, n)
    if layout[POLARIZER_COUNT] > 0:
        _polarizer(w, n, POLARIZERS[0])
    if layout[POLARIZER_COUNT] > 1:
        _polarizer(w, n, POLARIZERS[1])
    if layout[TABULATED]:
        _tabulated(w, n, coefficients, origin, knots)
    for j in range(n):
        _turn(w, j, w[W + j], w[W + LANES + j], w[W + 2 * LANES + j])


# --- integrators ------------------------------------------------------------------------------------------------------


@njit(inline="always")
def _arrive(w, n):
    """M = X = the directions X, of length one again. The exact motion keeps the length.

    Three steps of Newton's method from 1: the longest steps that are accepted leave |m|^2 - 1 below 10^-3, of which
    these leave nothing.
    """
    for j in range(n):
        x, y, z = w[X + j], w[X + LANES + j], w[X + 2 * LANES + j]
        square = x * x + y * y + z * z
        scale = 1.5 - 0.5 * square
        scale *= 1.5 - 0.5 * square * scale * scale
        scale *= 1.5 - 0.5 * square * scale * scale
        x, y, z = x * scale, y * scale, z * scale
        w[X + j], w[X + LANES + j], w[X + 2 * LANES + j] = x, y, z
        w[M + j], w[M + LANES + j], w[M + 2 * LANES + j] = x, y, z


# A function of its own: inlined into its callers it would be compiled by their rules, with other roundings in each.
@njit(**FAST)
def _shake(w, n, row):
    """H = B + the thermal field, from the normal numbers of a row and the two after it."""
    for j in range(n):
        w[H + j] = w[B + j] + w[SIGMA + j] * w[row + j]
        w[H + LANES + j] = w[B + LANES + j] + w[SIGMA + j] * w[row + LANES + j]
        w[H + 2 * LANES + j] = w[B + 2 * LANES + j] + w[SIGMA + j] * w[row + 2 * LANES + j]


@njit(inline="always")
def _calm(w, n):
    """H = B."""
    for j in range(3 * LANES):
        w[H + j] = w[B + j]


@njit(**FAST)
def _watch(w, n, step):
    """Note the number of the first step after which m.p has the sign opposite to SIDE."""
    for j in range(n):
        if w[CROSSED + j] < 0.0 and _projection(w, j, WATCH, M) * w[SIDE + j] < 0.0:
            w[CROSSED + j] = step


@njit(cache=True)
def _record(w, n, sample):
    """The directions of the lanes into (n, 3)."""
    for j in range(n):
        for axis in range(3):
            sample[j, axis] = w[M + axis * LANES + j]


@njit(cache=True)
def _set_clock(w, n, time):
    for j in range(n):
        w[CLOCK + j] = time


@njit(**FAST)
def _heun_predictor(w, n):
    """A = the first rate, X = M + step A."""
    for j in range(n):
        h = w[STEP + j]
        rx, ry, rz = w[R + j], w[R + LANES + j], w[R + 2 * LANES + j]
        w[A + j], w[A + LANES + j], w[A + 2 * LANES + j] = rx, ry, rz
        w[X + j] = w[M + j] + h * rx
        w[X + LANES + j] = w[M + LANES + j] + h * ry
        w[X + 2 * LANES + j] = w[M + 2 * LANES + j] + h * rz


@njit(**FAST)
def _heun_corrector(w, n):
    """X = M + step/2 (A + R), of length one; also M."""
    for j in range(n):
        h = 0.5 * w[STEP + j]
        w[X + j] = w[M + j] + h * (w[A + j] + w[R + j])
        w[X + LANES + j] = w[M + LANES + j] + h * (w[A + LANES + j] + w[R + LANES + j])
        w[X + 2 * LANES + j] = w[M + 2 * LANES + j] + h * (w[A + 2 * LANES + j] + w[R + 2 * LANES + j])
    _arrive(w, n)


@njit(**FAST)
def _thermal_field(state, w, n, odd):
    """New thermal fields. Pairs of normal numbers: two for an even step, which leaves one number to the next."""
    if odd:
        _normal_pairs(state, w, n, NORMALS + 4 * LANES)
        _shake(w, n, NORMALS + 3 * LANES)
    else:
        _normal_pairs(state, w, n, NORMALS)
        _normal_pairs(state, w, n, NORMALS + 2 * LANES)
        _shake(w, n, NORMALS)


@njit(cache=True)
def heun(w, state, layout, coefficients, waves, table, first, begun, steps, dt, sample_steps, samples):
    """Advance a block by Heun steps with a thermal field, and record it after some of them.

    The same thermal field serves predictor and corrector: that makes the scheme converge to the Stratonovich solution.

    Parameters
    ----------
    w, state : (ROWS x LANES,) and (4 x LANES,), the block and its streams of random numbers, changed in place
    layout, coefficients, waves, table
        What is present, and what it depends on; see `qtorque.llg.lanes`.
    first : number of the first step on the clock of the drives
    begun : steps taken since the streams began
    steps, dt : how many, and s
    sample_steps : (s,), ascending within 1 .. steps
    samples : (s, n, 3), written
    """
    n = layout[MOMENTS]
    origin, knots = table[3], table[4]
    varies = layout[DRIVE_VARIES] or layout[FIELD_VARIES]
    taken = 0
    for i in range(steps):
        _thermal_field(state, w, n, (begun + i) % 2 == 1)
        if varies:
            _set_clock(w, n, (first + i + JUMP_MARGIN) * dt)
            _set_drives(w, layout, coefficients, waves, table)
            _shake(w, n, NORMALS + 3 * LANES * ((begun + i) % 2))
        set_rates(w, layout, coefficients, origin, knots)
        _heun_predictor(w, n)
        if varies:
            _set_clock(w, n, (first + i + 1 - JUMP_MARGIN) * dt)
            _set_drives(w, layout, coefficients, waves, table)
            _shake(w, n, NORMALS + 3 * LANES * ((begun + i) % 2))
        set_rates(w, layout, coefficients, origin, knots)
        _heun_corrector(w, n)
        if layout[WATCHED]:
            _watch(w, n, first + i + 1)
        if taken < sample_steps.size and sample_steps[taken] == i + 1:
            _record(w, n, samples[taken])
            taken += 1


@njit(**FAST)
def _runge_kutta_stage(w, n, weight, reach):
    """A += weight R, X = M + reach step R."""
    for j in range(n):
        h = reach * w[STEP + j]
        rx, ry, rz = w[R + j], w[R + LANES + j], w[R + 2 * LANES + j]
        w[A + j] += weight * rx
        w[A + LANES + j] += weight * ry
        w[A + 2 * LANES + j] += weight * rz
        w[X + j] = w[M + j] + h * rx
        w[X + LANES + j] = w[M + LANES + j] + h * ry
        w[X + 2 * LANES + j] = w[M + 2 * LANES + j] + h * rz


@njit(**FAST)
def _runge_kutta_end(w, n):
    """X = M + step/6 (A + R), of length one; also M. A = 0."""
    for j in range(n):
        h = w[STEP + j] / 6.0
        w[X + j] = w[M + j] + h * (w[A + j] + w[R + j])
        w[X + LANES + j] = w[M + LANES + j] + h * (w[A + LANES + j] + w[R + LANES + j])
        w[X + 2 * LANES + j] = w[M + 2 * LANES + j] + h * (w[A + 2 * LANES + j] + w[R + 2 * LANES + j])
        w[A + j], w[A + LANES + j], w[A + 2 * LANES + j] = 0.0, 0.0, 0.0
    _arrive(w, n)


@njit(cache=True)
def runge_kutta(w, layout, coefficients, waves, table, first, steps, dt, sample_steps, samples):
    """Advance a block by the classical Runge-Kutta method of fourth order; parameters as in `heun`."""
    n = layout[MOMENTS]
    origin, knots = table[3], table[4]
    varies = layout[DRIVE_VARIES] or layout[FIELD_VARIES]
    _calm(w, n)
    w[A : A + 3 * LANES] = 0.0
    taken = 0
    for i in range(steps):
        for stage in range(4):
            if varies and stage != 2:
                _set_clock(w, n, (first + i + (JUMP_MARGIN, 0.5, 0.5, 1 - JUMP_MARGIN)[stage]) * dt)
                _set_drives(w, layout, coefficients, waves, table)
                _calm(w, n)
            set_rates(w, layout, coefficients, origin, knots)
            if stage < 3:
                _runge_kutta_stage(w, n, (1.0, 2.0, 2.0)[stage], (0.5, 0.5, 1.0)[stage])
        _runge_kutta_end(w, n)
        if layout[WATCHED]:
            _watch(w, n, first + i + 1)
        if taken < sample_steps.size and sample_steps[taken] == i + 1:
            _record(w, n, samples[taken])
            taken += 1


@njit(**FAST)
def _combine(w, n, weights, scale):
    """X = M + scale length (sum of weights times stages); `scale` is per row (1 + alpha^2)."""
    for j in range(n):
        h = w[LENGTH + j] * scale[j]
        for axis in range(3):
            total = 0.0
            for stage in range(weights.size):
                total += weights[stage] * w[STAGES + (3 * stage + axis) * LANES + j]
            w[X + axis * LANES + j] = w[M + axis * LANES + j] + h * total


@njit(cache=True)
def dormand_prince(w, layout, coefficients, waves, table, time, end, length, tolerance, scale, inside):
    """Advance a block from `time` to `end` (s) by steps of their own for each lane; J. R. Dormand, P. J. Prince (1980).

    The error of a step, the largest component of the difference between the solutions of orders 5 and 4, is kept below
    the tolerance. Coefficients as in E. Hairer et al., Solving Ordinary Differential Equations I (1993), table II.5.2.

    Parameters
    ----------
    length : (n,), s; first tries, returned as the lengths with which to go on
    scale : (n,), gamma/(1 + alpha^2), 1/(s T)
    inside : (2,), s; drives are evaluated within, so that a jump at an end of the interval stays outside

    Returns
    -------
    Whether all lanes have arrived; one whose steps shrink to nothing ends the work.
    """
    n = layout[MOMENTS]
    origin, knots = table[3], table[4]
    varies = layout[DRIVE_VARIES] or layout[FIELD_VARIES]
    clock, error, square = np.full(n, time), np.empty(n), np.empty(n)
    _calm(w, n)
    while True:
        going = False
        for j in range(n):
            left = end - clock[j]
            if left <= CLOCK_ROUNDING * (end - time):
                left = 0.0
            w[LENGTH + j] = min(length[j], left)
            going |= left > 0.0
        if not going:
            return True
        for stage in range(7):
            _combine(w, n, DORMAND_PRINCE[stage, :stage], scale)
            if varies:
                for j in range(n):
                    stage_time = clock[j] + DORMAND_PRINCE_TIMES[stage] * w[LENGTH + j]
                    w[CLOCK + j] = min(max(stage_time, inside[0]), inside[1])
                _set_drives(w, layout, coefficients, waves, table)
                _calm(w, n)
            set_rates(w, layout, coefficients, origin, knots)
            for j in range(3 * LANES):
                w[STAGES + 3 * stage * LANES + j] = w[R + j]
        # X holds the solution of order 5, at which the last stage was evaluated.
        for j in range(n):
            error[j], square[j] = 0.0, 0.0
            for axis in range(3):
                total = 0.0
                for stage in range(7):
                    total += DORMAND_PRINCE_ERROR[stage] * w[STAGES + (3 * stage + axis) * LANES + j]
                error[j] = max(error[j], abs(w[LENGTH + j] * scale[j] * total))
                square[j] += w[X + axis * LANES + j] ** 2
        if layout[COUPLED]:
            _agree(error, n)
            _agree(square, n)
        for j in range(n):
            tried = w[LENGTH + j]
            if tried == 0.0:
                continue
            if not square[j] < LARGEST_SQUARE:  # a step so long that it ends anywhere, or nowhere
                length[j] = 0.2 * tried
                if not length[j] >= CLOCK_ROUNDING * (end - time):
                    return False
                continue
            grown = tried * min(max(0.9 * (tolerance / max(error[j], 1e-300)) ** 0.2, 0.2), 5.0)
            if error[j] > tolerance:
                length[j] = grown
                if grown < CLOCK_ROUNDING * (end - time):
                    return False
                continue
            clock[j] += tried
            own = math.sqrt(w[X + j] ** 2 + w[X + LANES + j] ** 2 + w[X + 2 * LANES + j] ** 2)
            for axis in range(3):
                w[M + axis * LANES + j] = w[X + axis * LANES + j] / own
            # A step cut short by the end says little about the next one.
            length[j] = max(grown, length[j]) if tried < length[j] else grown


@njit(cache=True)
def _agree(numbers, n):
    """Partners take the larger one of their two numbers: they step together."""
    for j in range(n // 2):
        larger = max(numbers[j], numbers[n // 2 + j])
        if not (numbers[j] <= larger and numbers[n // 2 + j] <= larger):
            larger = np.inf
        numbers[j], numbers[n // 2 + j] = larger, larger

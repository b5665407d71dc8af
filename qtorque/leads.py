"""Surface Green functions of semi-infinite leads, by decimation or by the eigenproblem of the lead.

With psi_(l+1) = lambda psi_l, V psi_(l+1) + V^dagger psi_(l-1) = (E - H) psi_l has 2n solutions, of which n decay or
flow outwards. With these as columns of Phi, psi_(l+1) = F psi_l with F = Phi Lambda Phi^-1, the lead's self-energy is
V F and its surface Green function [E - H - V F]^-1. V is the hopping block from the next cell outwards to the cell
before it, so that one function serves the left and the right lead.

The construction is that of T. Ando, Phys. Rev. B 44, 8017 (1991) (cited from memory).

Far from the real axis, as on the contour of a Fermi sea, all modes decay and decimation doubles the solved part of the
lead in every step: M. P. Lopez Sancho et al., J. Phys. F 15, 851 (1985) (cited from memory). On the real axis
eigenvalues and eigenvectors come from compiled kernels, for many leads at once. What they cannot tell apart (band
edges, degenerate modes) is recognised, and solved with care by LAPACK, lead by lead if need be.
"""

import numpy as np
import scipy.linalg

from qtorque._leads_kernels import eigenvalues, null_vectors, smallest_distance
from qtorque._linalg import adjoint, identity_minus, inverse, multiply
from qtorque.compiling import announced

UNIT_CIRCLE = 1e-6
"""| |lambda| - 1 | below which a mode may be propagating: near a band edge, lambda has the square root of rounding."""
NO_VELOCITY = 1e-10
"""A propagating mode flows with more than this share of the hopping; evanescent ones flow only by rounding."""
DEGENERATE = 1e-8
"""Propagating modes closer than this are taken as one space, in which the velocity is made diagonal."""
WELL_CONDITIONED = 1e4
"""Largest condition number of V for which V is inverted without a second look at the modes it gives."""
INVERTIBLE = 1e8
"""Largest condition number of V for which V is inverted at all: half of all digits, which a Newton step restores."""
POLISHING = 3
"""Turns of Dyson's equation that take the rounding of an ill-conditioned V out of g: it sits in waves that decay, and
one more cell of the lead leaves |lambda|^2 of it. Without them it may look like an open channel."""
VANISHING = 1e-13
"""Singular values of V below this share of the largest are zero: a hopping that is not there, up to rounding."""
NEARLY_REAL = 1e-12
"""eV; below this distance from the real axis |lambda| = 1 up to rounding, and velocities tell the modes apart."""
BAND_EDGE_BROADENING = 1e-10
"""eV; where the modes cannot be told apart at a band edge, the energy moves this far into the upper half plane."""
CLOSE = 1e-5
"""Relative distance of two lambda below which eigenvectors taken one by one lose the digits asked for."""
SLOW = 1e-5
"""A velocity below this share of the hopping is that of a band edge, where lambda is a double root."""
FAR = 0.02
"""Im E over the hopping from which on decimation needs some ten steps and loses no digits."""
DECIMATIONS = 14
"""Doublings after which decimation gives up; |lambda|^(2^14) vanishes unless |lambda| > 0.998."""
DECIMATED = 1e-18
"""Where the square of the remaining hopping over that of the lead is below this, nothing changes any more."""
CERTIFIED = 1e-11
"""Residual of the Dyson equation, relative to the terms that cancel in it, with which a fast solution is accepted."""
ADMITTED = 1e-7
"""The same for a careful solution: taking waves at a distance of DEGENERATE as one space leaves about as much."""
NEGATIVE = 1e-7
"""Share of g by which i (g - g^dagger) may have a negative eigenvalue: rounding over the distance of two lambda."""
DEPENDENT = 1e-6
"""Singular values below which waves of one lambda are one wave: at a band edge they meet as the root of rounding."""
SEPARATE = 0.1
"""Singular values above which waves of one lambda are taken as they are; below, they lose more than a digit."""


def surface_green(energy: np.ndarray, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Retarded surface Green function of a semi-infinite lead.

    Parameters
    ----------
    energy
        eV, real (approached from above) or in the upper half plane; its shape broadcasts against the batch of H and V.
    H, V
        Blocks of one cell and of the hopping from the next cell outwards, eV. shape (..., n, n)

    Returns
    -------
    ndarray
        shape (..., n, n), 1/eV

    Notes
    -----
    Valid for any V, singular ones included. At a band edge, where no mode is either incoming or outgoing, and on a flat
    band, where g diverges, the result is that of an energy 1e-10 eV above the real axis.
    """
    energy = np.asarray(energy)
    size = H.shape[-1]
    if size == 1:
        return _single_band(energy[..., None, None], H, V)
    batch = np.broadcast_shapes(energy.shape, H.shape[:-2], V.shape[:-2])
    z = np.broadcast_to(energy, batch).reshape(-1).astype(complex)
    H = np.broadcast_to(H, (*batch, size, size)).reshape(-1, size, size)
    V = np.broadcast_to(V, (*batch, size, size)).reshape(-1, size, size).astype(complex)
    # What is not finite fails the check that follows, and is solved by another route.
    with np.errstate(all="ignore"):
        return _many(z, H, V).reshape(*batch, size, size)


def _many(z: np.ndarray, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """g at many points, by the fastest route that passes the Dyson equation: shapes (points,), (points, n, n)."""
    D = z[:, None, None] * np.eye(H.shape[-1]) - H
    g = np.full_like(D, np.nan)
    far = z.imag > FAR * np.linalg.norm(V, axis=(1, 2))
    if far.any():
        g[far] = _decimated(D[far], V[far])
    near = ~_solved(g, D, V) if far.any() else np.ones(len(z), dtype=bool)
    if near.any():
        g[near] = _from_modes(z[near], D[near], V[near])
        left = np.flatnonzero(near)[~_solved(g[near], D[near], V[near])]
        if len(left):
            g[left] = _careful(z[left], H[left], V[left])
            # At a band edge rounding may keep a wave twice or an incoming one: that solves Dyson's equation, or nearly
            # so, and is not retarded.
            lost = left[~(_solved(g[left], D[left], V[left], ADMITTED) & _retarded(g[left]))]
            if len(lost):
                g[lost] = _careful(z[lost] + 1j * BAND_EDGE_BROADENING, H[lost], V[lost])
    return g


def _solved(g: np.ndarray, D: np.ndarray, V: np.ndarray, largest: float = CERTIFIED) -> np.ndarray:
    """Where the Dyson equation (D - V g V^dagger) g = 1, D = E - H, holds; False where g is not a number."""
    left = D - multiply(V, g, adjoint(V))
    residual = np.abs(identity_minus(multiply(left, g))).max(axis=(1, 2))
    terms = np.abs(g).max(axis=(1, 2)) * (np.abs(D).max(axis=(1, 2)) + np.abs(left).max(axis=(1, 2)))
    return residual < largest * np.maximum(1, terms)


def _retarded(g: np.ndarray) -> np.ndarray:
    """Where the spectral function i (g - g^dagger) is positive up to rounding; False where g is not a number."""
    positive = np.isfinite(g).all(axis=(1, 2))
    finite = g[positive]
    lowest = np.linalg.eigvalsh(1j * (finite - adjoint(finite)))[:, 0]
    positive[positive] = lowest > -NEGATIVE * np.abs(finite).max(axis=(1, 2))
    return positive


def _decimated(D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """g by decimation, D = E - H: every step takes every other cell out of the lead."""
    surface, bulk, out, back = D.copy(), D.copy(), V, adjoint(V)
    left = np.arange(len(D))
    scale = np.linalg.norm(V, axis=(1, 2)) ** 2
    for _ in range(DECIMATIONS):
        g = inverse(bulk)
        further, nearer = multiply(out, g), multiply(back, g)
        inward = multiply(further, back)
        surface[left] -= inward
        bulk = bulk - inward - multiply(nearer, out)
        out, back = multiply(further, out), multiply(nearer, back)
        rest = np.linalg.norm(out, axis=(1, 2)) * np.linalg.norm(back, axis=(1, 2)) > DECIMATED * scale[left]
        if not rest.any():
            break
        bulk, out, back, left = bulk[rest], out[rest], back[rest], left[rest]
    return inverse(surface)


def _single_band(energy: np.ndarray, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """The closed form: V lambda = |V| mu with mu + 1/mu = (E - H)/|V| =: 2x and mu = 1/(x + sqrt(x^2 - 1)).

    sqrt(x - 1) sqrt(x + 1) is the branch that grows as x, so that |mu| <= 1, and mu = x - i sqrt(1 - x^2) in the band.
    """
    size = np.abs(V)
    coupled = size > 0
    x = (energy - H).astype(complex) / np.where(coupled, 2 * size, 1)
    # A negative zero as imaginary part would pick the advanced branch.
    x = x.real + 1j * (np.abs(x.imag))
    mu = 1 / (x + np.sqrt(x - 1) * np.sqrt(x + 1))
    return 1 / (energy - H - np.where(coupled, size * mu, 0))


def _from_modes(z: np.ndarray, D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """g from the modes by compiled kernels, D = E - H; not a number where these cannot tell the modes apart."""
    points, n, _ = D.shape
    g = np.full_like(D, np.nan)
    back = inverse(V)
    # Not a number fails the comparison.
    condition = np.linalg.norm(V, axis=(1, 2)) * np.linalg.norm(back, axis=(1, 2))
    regular = condition < INVERTIBLE
    if regular.any():
        D1, V1, back = D[regular], V[regular], back[regular]
        transfer = np.zeros((len(D1), 2 * n, 2 * n), dtype=complex)
        transfer[:, :n, n:] = np.eye(n)
        transfer[:, n:, :n] = -multiply(back, adjoint(V1))
        transfer[:, n:, n:] = multiply(back, D1)
        g[regular] = _green_of_modes(z[regular], D1, V1, transfer, np.empty((len(D1), n, 0)))
        ill = np.flatnonzero(regular & (condition > WELL_CONDITIONED))
        for _ in range(POLISHING if len(ill) else 0):
            g[ill] = inverse(D[ill] - multiply(V[ill], g[ill], adjoint(V[ill])))
    singular = np.flatnonzero(~regular)
    if len(singular):
        left, values, right = np.linalg.svd(V[singular])
        largest = values[:, :1]
        ranks = np.count_nonzero(values > VANISHING * largest, axis=1)
        smallest = np.where(ranks > 0, np.take_along_axis(values, np.maximum(ranks - 1, 0)[:, None], axis=1)[:, 0], 0)
        clear = smallest * INVERTIBLE >= largest[:, 0]
        for rank in np.unique(ranks[clear]).tolist():
            own = clear & (ranks == rank)
            i = singular[own]
            g[i] = _deflated(z[i], D[i], V[i], left[own], values[own][:, :rank], adjoint(right[own])[:, :, :rank])
    return g


def _deflated(
    z: np.ndarray, D: np.ndarray, V: np.ndarray, left: np.ndarray, values: np.ndarray, W: np.ndarray
) -> np.ndarray:
    """g for V = U S W^dagger of rank r < n: 2r modes with lambda finite and not zero, n - r with V^dagger phi = 0.

    With a_l = W^dagger psi_l and b_l = U^dagger psi_l the equation of a cell is D psi_l = U S a_(l+1) + W S b_(l-1).
    Adding i s (U U^dagger + W W^dagger) psi_l on both sides, s = max S, makes the left side invertible at any real
    energy; psi_l = lambda^l psi_0 leaves a pencil of size 2r for (a_l, b_(l-1)).
    """
    points, n, rank = W.shape
    if rank == 0:
        return inverse(D)
    U, silent = left[:, :, :rank], left[:, :, rank:]
    s = 1j * values[:, :1, None]
    ports = np.concatenate([W, U], axis=2)
    inner = inverse(D + s * (multiply(U, adjoint(U)) + multiply(W, adjoint(W))))
    cell = multiply(adjoint(ports), inner, ports)
    # (a_l, b_l) = cell (S b_(l-1) + i s a_l, S a_(l+1) + i s b_l), with b_l = lambda b_(l-1), a_(l+1) = lambda a_l.
    S, unit = values[:, None, :] * np.eye(rank), np.broadcast_to(np.eye(rank), (points, rank, rank))
    entering, leaving = np.concatenate([s * unit, S], axis=2), np.concatenate([S, s * unit], axis=2)
    A, B = -multiply(cell[:, :, :rank], entering), multiply(cell[:, :, rank:], leaving)
    A[:, :rank, :rank] += unit
    B[:, rank:, rank:] -= unit
    return _green_of_modes(z, D, V, multiply(inverse(B), A), silent)


def _green_of_modes(
    z: np.ndarray, D: np.ndarray, V: np.ndarray, transfer: np.ndarray, silent: np.ndarray
) -> np.ndarray:
    """g from the outgoing half of the eigenvalues of `transfer` (2r of them) and the `silent` modes, lambda = 0.

    Not a number where the eigenvalues leave any doubt: too close to each other, at a band edge, not r of each kind.
    """
    points, n, _ = D.shape
    wanted = transfer.shape[-1] // 2
    g = np.full_like(D, np.nan)
    guesses = np.full((points, 2 * wanted), np.nan, dtype=complex)
    finite = np.isfinite(transfer).all(axis=(1, 2))
    with announced(eigenvalues, null_vectors):
        guesses[finite] = eigenvalues(transfer[finite])
    sizes = np.abs(guesses)
    on_circle = (z.imag < NEARLY_REAL)[:, None] & (np.abs(sizes - 1) < UNIT_CIRCLE)
    candidates = on_circle | (sizes < 1)
    balanced = 2 * np.count_nonzero(candidates, axis=1) - np.count_nonzero(on_circle, axis=1) == 2 * wanted
    apart = smallest_distance(guesses, candidates) > CLOSE
    if silent.shape[2]:
        apart &= sizes.min(axis=1) > CLOSE**2
    point, column = np.nonzero(candidates & (balanced & apart)[:, None])
    if not len(point):
        return g
    factors, modes = null_vectors(point, guesses[point, column], D, V, 2 if silent.shape[2] else 1)
    circling = np.flatnonzero(on_circle[point, column])
    around, own = modes[circling], point[circling]
    flow = np.sum(around.conj() * multiply(V[own], around[:, :, None])[:, :, 0], axis=1)
    share = -2 * (factors[circling] * flow).imag / np.linalg.norm(V[own], axis=(1, 2))
    outgoing = np.ones(len(point), dtype=bool)
    outgoing[circling] = share > SLOW
    doubtful = own[np.abs(share) < SLOW]
    count = np.bincount(point[outgoing], minlength=points)
    sure = (count == wanted) & (np.bincount(doubtful, minlength=points) == 0)
    if not sure.any():
        return g
    kept = outgoing & sure[point]
    heads = modes[kept].reshape(-1, wanted, n)
    # The rows are the modes: F^T = Phi^-T Lambda Phi^T.
    scaled = heads * factors[kept].reshape(-1, wanted, 1)
    if silent.shape[2]:
        heads = np.concatenate([heads, silent[sure].swapaxes(1, 2)], axis=1)
        scaled = np.concatenate([scaled, np.zeros((len(heads), n - wanted, n))], axis=1)
    F = multiply(inverse(heads), scaled).swapaxes(1, 2)
    g[sure] = inverse(D[sure] - multiply(V[sure], F))
    return g


def _careful(z: np.ndarray, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """g where modes are degenerate, at a band edge, or V is close to singular: by LAPACK, choosing mode by mode."""
    F = np.empty_like(V)
    values = np.linalg.svd(V, compute_uv=False)
    regular = values[:, -1] * WELL_CONDITIONED > values[:, 0]
    if regular.any():
        F[regular] = _regular_transfer(z[regular], H[regular], V[regular])
    for i in np.flatnonzero(~regular):
        F[i] = _general_transfer(z[i], H[i], V[i])
    return inverse(z[:, None, None] * np.eye(H.shape[-1]) - H - multiply(V, F))


def _regular_transfer(z: np.ndarray, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """F for invertible V, from the eigenvectors of the transfer matrix, all points at once.

    Not a number where the modes chosen are not independent, as may be at a band edge.
    """
    points, n, _ = H.shape
    unit = np.eye(n)
    right = np.concatenate([-V.conj().swapaxes(1, 2), z[:, None, None] * unit - H], axis=2)
    transfer = np.zeros((points, 2 * n, 2 * n), dtype=complex)
    transfer[:, :n, n:] = unit
    transfer[:, n:] = np.linalg.solve(V, right)
    factors, vectors = np.linalg.eig(transfer)
    # (phi, lambda phi): the half that is not small gives the mode.
    heads = np.where((np.abs(factors) > 1)[:, None, :], vectors[:, n:] / factors[:, None, :], vectors[:, :n])
    heads = heads / np.linalg.norm(heads, axis=1, keepdims=True)
    order = np.abs(factors)
    for i in np.flatnonzero((z.imag < NEARLY_REAL) & np.any(np.abs(order - 1) < UNIT_CIRCLE, axis=1)):
        columns = np.flatnonzero(np.abs(order[i] - 1) < UNIT_CIRCLE)
        modes, velocity = _flow(factors[i, columns], heads[i][:, columns], V[i])
        heads[i][:, columns] = modes
        flows = np.abs(velocity) > NO_VELOCITY * np.linalg.norm(V[i], 2)
        order[i, columns] = np.where(flows, 1 - np.sign(velocity) * UNIT_CIRCLE, order[i, columns])
    kept = np.argsort(order, axis=1, kind="stable")[:, :n]
    heads = np.take_along_axis(heads, kept[:, None, :], axis=2)
    independent = np.linalg.svd(heads, compute_uv=False)[:, -1] > VANISHING
    rows = heads[independent].swapaxes(1, 2)
    factors = np.take_along_axis(factors, kept, axis=1)[independent]
    F = np.full_like(V, np.nan)
    # F = Phi Lambda Phi^-1, solved from the right.
    F[independent] = np.linalg.solve(rows, factors[:, :, None] * rows).swapaxes(1, 2)
    return F


def _flow(factors: np.ndarray, modes: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modes on the unit circle and their outward velocities dE/dk = -2 Im(lambda phi^dagger V phi).

    Modes with nearly one lambda are turned, where they flow both ways, so that the velocity is diagonal among them;
    turned modes are off by the distance of their lambda, and so are not turned without need. Those that depend on the
    others, as may be at a band edge, stand still.
    """
    modes = modes.copy()
    velocity = np.zeros(len(factors))
    left = np.arange(len(factors))
    while len(left):
        group = left[np.abs(factors[left] - factors[left[0]]) < DEGENERATE]
        left = np.setdiff1d(left, group)
        waves, values, _ = np.linalg.svd(modes[:, group], full_matrices=False)
        basis = waves[:, values > DEPENDENT]
        half = 1j * np.mean(factors[group]) * (basis.conj().T @ V @ basis)
        speeds, turn = np.linalg.eigh(half + half.conj().T)
        velocity[group[: len(speeds)]] = speeds
        if speeds[0] < 0 < speeds[-1] or values[-1] < SEPARATE:
            modes[:, group[: len(speeds)]] = basis @ turn
    return modes, velocity


def _general_transfer(z: complex, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """F for any V: deflating subspaces of the pencil A x = lambda B x with x = (psi_l, psi_(l+1)).

    The decaying space comes from an ordered QZ decomposition, which needs no eigenvectors and so bears the defective
    lambda = 0 of a singular V; the propagating modes are eigenvectors, chosen by their velocity.
    """
    n = len(H)
    unit, zero = np.eye(n), np.zeros((n, n))
    A = np.block([[zero, unit], [-V.conj().T, z * unit - H]])
    B = np.block([[unit, zero], [zero, V]])
    margin = UNIT_CIRCLE if z.imag < NEARLY_REAL else 0.0

    def decays(alpha, beta):
        return np.abs(alpha) < (1 - margin) * np.abs(beta)

    _, _, alpha, beta, _, Z = scipy.linalg.ordqz(A, B, sort=decays, output="complex")
    space = Z[:, : int(np.count_nonzero(decays(alpha, beta)))]
    if z.imag < NEARLY_REAL:
        factors, vectors = scipy.linalg.eig(A, B)
        on_circle = np.isfinite(factors) & (np.abs(np.abs(factors) - 1) < UNIT_CIRCLE)
        factors, heads = factors[on_circle], vectors[:n, on_circle]
        modes, velocity = _flow(factors, heads / np.linalg.norm(heads, axis=0), V)
        outward = velocity > NO_VELOCITY * np.linalg.norm(V, 2)
        space = np.hstack([space, np.vstack([modes[:, outward], modes[:, outward] * factors[outward]])])
    if space.shape[1] != n:
        return _general_transfer(z + 1j * BAND_EDGE_BROADENING, H, V)
    return np.linalg.solve(space[:n].T, space[n:].T).T

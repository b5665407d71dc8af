"""Surface Green functions of semi-infinite leads, by the eigenproblem of the lead.

With psi_(l+1) = lambda psi_l, V psi_(l+1) + V^dagger psi_(l-1) = (E - H) psi_l has 2n solutions, of which n decay or
flow outwards. With these as columns of Phi, psi_(l+1) = F psi_l with F = Phi Lambda Phi^-1, the lead's self-energy is
V F and its surface Green function [E - H - V F]^-1. V is the hopping block from the next cell outwards to the cell
before it, so that one function serves the left and the right lead.

The construction is that of T. Ando, Phys. Rev. B 44, 8017 (1991) (cited from memory).
"""

import numpy as np
import scipy.linalg

from qtorque._linalg import inverse, multiply

UNIT_CIRCLE = 1e-6
"""| |lambda| - 1 | below which a mode may be propagating: near a band edge, lambda has the square root of rounding."""
NO_VELOCITY = 1e-10
"""A propagating mode flows with more than this share of the hopping; evanescent ones flow only by rounding."""
DEGENERATE = 1e-8
"""Propagating modes closer than this are taken as one space, in which the velocity is made diagonal."""
WELL_CONDITIONED = 1e4
"""Largest condition number of V for which V is inverted; beyond it the generalised eigenproblem is solved."""
NEARLY_REAL = 1e-12
"""eV; below this distance from the real axis |lambda| = 1 up to rounding, and velocities tell the modes apart."""
BAND_EDGE_BROADENING = 1e-10
"""eV; where the modes cannot be told apart at a band edge, the energy moves this far into the upper half plane."""


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
    Valid for any V, singular ones included. At a band edge, where no mode is either incoming or outgoing, the result
    is that of an energy 1e-10 eV above the real axis.
    """
    energy = np.asarray(energy)
    size = H.shape[-1]
    if size == 1:
        return _single_band(energy[..., None, None], H, V)
    batch = np.broadcast_shapes(energy.shape, H.shape[:-2], V.shape[:-2])
    z = np.broadcast_to(energy, batch).reshape(-1).astype(complex)
    H = np.broadcast_to(H, (*batch, size, size)).reshape(-1, size, size)
    V = np.broadcast_to(V, (*batch, size, size)).reshape(-1, size, size)
    F = np.empty_like(V, dtype=complex)
    singular = np.linalg.svd(V, compute_uv=False)
    regular = singular[:, -1] * WELL_CONDITIONED > singular[:, 0]
    if regular.any():
        F[regular] = _regular_transfer(z[regular], H[regular], V[regular])
    for i in np.flatnonzero(~regular):
        F[i] = _general_transfer(z[i], H[i], V[i])
    diagonal = z[:, None, None] * np.eye(size)
    return inverse(diagonal - H - multiply(V, F)).reshape(*batch, size, size)


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


def _regular_transfer(z: np.ndarray, H: np.ndarray, V: np.ndarray) -> np.ndarray:
    """F for invertible V, from the eigenvectors of the transfer matrix, all points at once."""
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
    factors = np.take_along_axis(factors, kept, axis=1)
    # F = Phi Lambda Phi^-1, solved from the right.
    return np.linalg.solve(heads.swapaxes(1, 2), (heads * factors[:, None, :]).swapaxes(1, 2)).swapaxes(1, 2)


def _flow(factors: np.ndarray, modes: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modes on the unit circle and their outward velocities dE/dk = -2 Im(lambda phi^dagger V phi).

    Modes with one lambda are turned so that the velocity is diagonal among them.
    """
    modes = modes.copy()
    velocity = np.empty(len(factors))
    left = np.arange(len(factors))
    while len(left):
        group = left[np.abs(factors[left] - factors[left[0]]) < DEGENERATE]
        left = np.setdiff1d(left, group)
        basis = np.linalg.qr(modes[:, group])[0] if len(group) > 1 else modes[:, group]
        half = 1j * np.mean(factors[group]) * (basis.conj().T @ V @ basis)
        velocity[group], turn = np.linalg.eigh(half + half.conj().T)
        modes[:, group] = basis @ turn
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

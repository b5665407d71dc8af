"""Pauli matrices, rotations of spin one half, unit vectors.

The spin index is always the last, fastest tensor factor: kron(orbital matrix, spin matrix).
"""

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError

PAULI = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=complex)
"""sigma_0 (the unit matrix), sigma_x, sigma_y, sigma_z."""

UNIT_LENGTH_TOLERANCE = 1e-6
"""A direction typed with six digits counts as a unit vector; it is then normalised."""


def unit_vector(direction: ArrayLike, name: str = "magnetization") -> np.ndarray:
    """The direction as an array of length one; InputError unless it is a finite vector of three with |m| = 1."""
    try:
        m = np.asarray(direction, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name}={direction!r} is not a vector; give three numbers") from None
    if m.shape != (3,) or not np.all(np.isfinite(m)):
        raise InputError(f"{name}={direction!r} is not a direction; give three finite numbers")
    length = float(np.linalg.norm(m))
    if abs(length - 1) > UNIT_LENGTH_TOLERANCE:
        raise InputError(f"{name}={direction!r} has length {length:.6g}; give a unit vector (divide by its length)")
    return m / length


def polar_angles(m: ArrayLike) -> tuple[float, float]:
    """Polar and azimuthal angle of a vector, radians; arctan2 keeps full accuracy at the poles."""
    x, y, z = np.asarray(m, dtype=float)
    return float(np.arctan2(np.hypot(x, y), z)), float(np.arctan2(y, x))


def su2(m: ArrayLike) -> np.ndarray:
    """The spin rotation U = exp(-i phi sigma_z/2) exp(-i theta sigma_y/2), so that U sigma_z U^dagger = m.sigma."""
    theta, phi = polar_angles(m)
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    half = np.exp(-0.5j * phi)
    return np.array([[half * c, -half * s], [half.conjugate() * s, half.conjugate() * c]])


def rotation(m: ArrayLike) -> np.ndarray:
    """The rotation matrix R = R_z(phi) R_y(theta) that takes z to m; the vector form of `su2`."""
    theta, phi = polar_angles(m)
    ct, st, cp, sp = np.cos(theta), np.sin(theta), np.cos(phi), np.sin(phi)
    return np.array([[cp * ct, -sp, cp * st], [sp * ct, cp, sp * st], [-st, 0.0, ct]])


def direction_at(angle: float, reference: ArrayLike) -> np.ndarray:
    """m = (sin, 0, cos) of `angle` (rad) in the frame where `reference` is z."""
    return rotation(reference) @ np.array([np.sin(angle), 0.0, np.cos(angle)])


def pauli_components(matrix: np.ndarray) -> np.ndarray:
    """Orbital matrices M_a of sum_a kron(M_a, sigma_a), a = 0, x, y, z, first axis a; leading axes are batches.

    shape (..., 2n, 2m) -> (4, ..., n, m)
    """
    *batch, rows, columns = matrix.shape
    split = matrix.reshape(*batch, rows // 2, 2, columns // 2, 2)
    return 0.5 * np.einsum("ats,...isjt->a...ij", PAULI, split)


def join_spin(up: np.ndarray, down: np.ndarray, U: np.ndarray) -> np.ndarray:
    """kron(up, P_up) + kron(down, P_down) with the projectors of the frame U: (..., n, m) twice -> (..., 2n, 2m)."""
    blocks = np.stack([up, down])
    full = np.einsum("as,s...ij,bs->...iajb", U, blocks, U.conj())
    *batch, n, _, m, _ = full.shape
    return full.reshape(*batch, 2 * n, 2 * m)

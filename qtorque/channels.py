"""Channels of leads, and the amplitudes between them.

    S_pq = -delta_pq + i W_p^dagger G_pq W_q,    Gamma_p = i (Sigma_p - Sigma_p^dagger) = W_p W_p^dagger

(D. S. Fisher and P. A. Lee, Phys. Rev. B 23, 6851 (1981), cited from memory). The channels are the eigenvectors of
Gamma, normalised to unit flux; those of a normal lead are the same for both spins. A lead that conserves no spin has
channels without a spin: its index of spin has length one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque._linalg import adjoint
from qtorque.chain import Z_AXIS, Axis, Chain, SpinPart
from qtorque.spin import su2

OPEN_CHANNEL = 1e-9
"""A channel is open if its eigenvalue of Gamma exceeds this share of |Sigma|; rounding leaves closed ones at 1e-15."""
SpinBlocks = dict[tuple[int, int], np.ndarray]
"""(spin out, spin in) -> matrices (nk, n, m); blocks that are zero are left out. A lead that conserves no spin has one
spin, 0, with all orbitals of both."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Amplitudes at some momenta, before they are put together."""

    amplitudes: dict[tuple[int, int], np.ndarray]
    open_channels: np.ndarray
    unitarity_error: np.ndarray
    lead_parts: tuple[SpinPart, ...]
    magnet_axes: tuple[Axis, ...]
    shifted: np.ndarray


def chain_axes(chain: Chain) -> tuple[Axis, ...]:
    """The majority direction nearest to either lead, z if nothing is magnetic; None if there are several axes.

    It is that of the exchange: spin-orbit coupling beside it has no direction, and does not count.
    """
    hoppings = [*chain.bond, chain.left_outward, chain.right_outward] if chain.exchange is None else []
    exchange = [chain.exchange_of(e) for e in range(len(chain.onsite))]
    axes = []
    for blocks in (exchange, exchange[::-1]):
        found = (f.spin_part.axis for f in (*blocks, *hoppings) if f.spin_part.axis is not None)
        axes.append(next(found, Z_AXIS))
    collinear = all(f.spin_part.diagonal_along(axes[0]) for f in (*exchange, *hoppings))
    return tuple(axes) if collinear else (None, None)


def full_spin_blocks(matrix: np.ndarray, row_axis: Axis, column_axis: Axis) -> SpinBlocks:
    """Full matrices (nk, 2n, 2m) as spin blocks in the frames of two axes; undivided on the side of None."""
    points, rows, columns = matrix.shape
    out, into = (np.ones((1, 1)) if axis is None else su2(axis) for axis in (row_axis, column_axis))
    split = matrix.reshape(points, rows // len(out), len(out), columns // len(into), len(into))
    blocks = np.einsum("as,kiajb,bt->stkij", out.conj(), split, into, optimize=True)
    return {(s, t): blocks[s, t] for s in range(len(out)) for t in range(len(into))}


def amplitudes_of(
    corners: Mapping[tuple[int, int], SpinBlocks],
    sigma: Sequence[np.ndarray],
    parts: tuple[SpinPart, ...],
    magnet_axes: tuple[Axis, ...],
) -> Piece:
    """Amplitudes from Green functions between the leads and self-energies (spin, nk, n, n), in the leads' frames."""
    channels, opened = [], []
    for part, matrix in zip(parts, sigma, strict=True):
        factor, is_open = open_channels_of(part, matrix)
        channels.append(factor)
        opened.append(is_open)
    parts_of_S: dict[tuple[int, int], SpinBlocks] = {}
    result = {}
    for (p, q), blocks in corners.items():
        out, into = channels[p], channels[q]
        S = np.zeros((out.shape[1], len(out), len(into), out.shape[-1], into.shape[-1]), dtype=complex)
        parts_of_S[p, q] = {}
        for (s, t), block in blocks.items():
            element = 1j * (adjoint(out[s]) @ block @ into[t])
            if p == q and s == t:
                element -= opened[p][s][:, :, None] * np.eye(element.shape[-1])
            S[:, s, t] = parts_of_S[p, q][s, t] = element
        result[p, q] = S
    count = np.zeros((opened[0].shape[1], len(opened), 2), dtype=int)
    for p, is_open in enumerate(opened):
        count[:, p, : len(is_open)] = is_open.sum(axis=2).T
    error = _unitarity_error(parts_of_S, opened)
    return Piece(result, count, error, parts, magnet_axes, np.zeros(len(error), dtype=bool))


def open_channels_of(part: SpinPart, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W (spin, nk, n, n) with Gamma = W W^dagger, and which columns are open (spin, nk, n).

    Both spins of a normal lead have one W; a lead that conserves no spin has one of all orbitals.
    """
    gamma = 1j * (sigma - adjoint(sigma))
    scale = np.abs(sigma).max(axis=(0, 2, 3))
    if not part.independent:
        return _channels(gamma, scale)
    factor, is_open = _channels(gamma.mean(axis=0, keepdims=True), scale)
    return np.repeat(factor, 2, axis=0), np.repeat(is_open, 2, axis=0)


def _channels(gamma: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W with Gamma = W W^dagger, most open channel first, closed columns zero; and which are open: (spin, nk, n)."""
    if gamma.shape[-1] == 1:
        value, vector = gamma[..., 0].real, np.ones_like(gamma)
    else:
        value, vector = np.linalg.eigh(gamma)
        value, vector = value[..., ::-1], vector[..., ::-1]
    is_open = value > OPEN_CHANNEL * scale[None, :, None]
    return vector * np.sqrt(np.where(is_open, value, 0.0))[..., None, :], is_open


def _unitarity_error(amplitudes: Mapping[tuple[int, int], SpinBlocks], opened: Sequence[np.ndarray]) -> np.ndarray:
    """max |S^dagger S - 1| over the open channels."""
    columns: dict[tuple[int, int], SpinBlocks] = {(q, t): {} for q, own in enumerate(opened) for t in range(len(own))}
    for (p, q), blocks in amplitudes.items():
        for (s, t), block in blocks.items():
            columns[q, t][p, s] = block
    error = np.zeros(opened[0].shape[1])
    for first, (own, left) in enumerate(columns.items()):
        for other, right in list(columns.items())[first:]:
            # Only rows that both columns have; spins that stay apart have none in common.
            products = [adjoint(left[row]) @ right[row] for row in left if row in right]
            if products:
                excess = sum(products[1:], products[0])
                if own == other:
                    excess -= opened[own[0]][own[1]][:, :, None] * np.eye(excess.shape[-1])
                error = np.maximum(error, np.abs(excess).max(axis=(1, 2)))
    return error

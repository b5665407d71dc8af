"""The blocks of a stack as finite Fourier sums over in-plane vectors, and what they say about spin.

    H_l(k) = sum_R H_l(R) exp(i k.R),    V_l(k) = sum_R V_l(R) exp(i k.R)

V_l is the hopping block from layer l + 1 to layer l.
"""

import functools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qtorque.spin import pauli_components

SPIN_TOLERANCE = 1e-13
"""Spin-dependent parts below this share of a block are rounding errors; smaller splittings than that do not exist."""
SAME_BLOCK = 1e-14
"""Relative difference of two blocks that are one: turning a magnet and back costs a few rounding errors."""
PARALLEL_TOLERANCE = 1e-12
"""Sine of the angle below which two spin axes are one: the error made is second order, far below rounding."""

Z_AXIS = (0.0, 0.0, 1.0)
SPINS = ("up", "down")
BOTH_SPINS = ("both",)
"""Label of the channels and waves of what conserves no spin: none of them is up or down."""

Axis = tuple[float, float, float] | None
"""A spin axis; None where there is none."""


@dataclass(frozen=True, eq=False)
class Fourier:
    """sum_R matrices[R] exp(i k.R): vectors (nR, 2) integers, matrices (nR, rows, columns)."""

    vectors: np.ndarray
    matrices: np.ndarray

    def at(self, k: np.ndarray) -> np.ndarray:
        """The blocks at phases k, shape (nk, 2): (nk, rows, columns), or (1, rows, columns) if independent of k."""
        if len(self.vectors) == 1 and not self.vectors.any():
            return self.matrices
        phases = np.exp(1j * (k @ self.vectors.T))
        return np.tensordot(phases, self.matrices, axes=(1, 0))

    @property
    def adjoint(self) -> "Fourier":
        """The Hermitian conjugate."""
        return Fourier(-self.vectors, self.matrices.conj().swapaxes(1, 2))

    @cached_property
    def norm(self) -> float:
        """A bound on the spectral norm at any k."""
        return float(np.linalg.norm(self.matrices, 2, axis=(1, 2)).sum())

    @cached_property
    def hermitian_error(self) -> float:
        """max |H(R) - H(-R)^dagger|, zero if the block is Hermitian at all k."""
        lookup = {tuple(v): m for v, m in zip(self.vectors.tolist(), self.matrices, strict=True)}
        opposite = [lookup.get((-x, -y), np.zeros_like(m)).conj().T for (x, y), m in lookup.items()]
        return float(np.abs(self.matrices - opposite).max())

    @cached_property
    def spin_part(self) -> "SpinPart":
        """How the block depends on spin."""
        components = pauli_components(self.matrices)
        vector = components[1:].reshape(3, -1)
        scale = float(np.abs(self.matrices).max(initial=0.0))
        if np.abs(vector).max(initial=0.0) <= SPIN_TOLERANCE * scale:
            return SpinPart(None, True)
        left, singular, _ = np.linalg.svd(vector, full_matrices=False)
        axis = left[:, 0] * np.exp(-1j * np.angle(left[np.argmax(np.abs(left[:, 0])), 0]))
        limit = SPIN_TOLERANCE * scale * np.sqrt(vector.shape[1]) * 10
        if np.any(singular[1:] > limit) or np.abs(axis.imag).max() * singular[0] > limit:
            return SpinPart(None, False)
        axis = axis.real / np.linalg.norm(axis.real)
        home = ~self.vectors.any(axis=1)
        rows, columns = self.matrices.shape[1:]
        majority = 0.0
        if rows == columns and home.any():
            majority = -float(np.einsum("a,aii->", axis, components[1:, home][:, 0]).real)
        if abs(majority) <= SPIN_TOLERANCE * scale:
            majority = axis[np.argmax(np.abs(axis) > PARALLEL_TOLERANCE)]
        return SpinPart(tuple((np.sign(majority) * axis).tolist()), True)

    def in_frame(self, axis: Axis) -> np.ndarray:
        """The matrices of spin up and down along `axis`, shape (nR, 2, n, m), or full ones for None, (nR, 1, 2n, 2m).

        The spin-flip part, which an axis is only given to if it is a rounding error, is dropped.
        """
        if axis not in self._frames:
            if axis is None:
                self._frames[axis] = self.matrices[:, None]
            else:
                scalar, *vector = pauli_components(self.matrices)
                along = np.einsum("a,aRij->Rij", axis, np.array(vector))
                self._frames[axis] = np.stack([scalar + along, scalar - along], axis=1)
        return self._frames[axis]

    def equals(self, axis: Axis, other: "Fourier", other_axis: Axis) -> bool:
        """Whether this block, seen from `axis`, is another one seen from its axis."""
        if self is other and axis == other_axis:
            return True
        mine, theirs = self.in_frame(axis), other.in_frame(other_axis)
        if mine.shape != theirs.shape or not np.array_equal(self.vectors, other.vectors):
            return False
        return bool(np.abs(mine - theirs).max() <= SAME_BLOCK * np.abs(mine).max())

    @cached_property
    def _frames(self) -> dict:
        return {}


def shared_fourier(vectors: np.ndarray, matrices: np.ndarray) -> Fourier:
    """A `Fourier`, the same object for the same content: what is known of a block serves all chains that hold it."""
    return _fourier(vectors.shape, vectors.tobytes(), matrices.shape, matrices.tobytes())


@functools.lru_cache(maxsize=4096)
def _fourier(vectors_shape: tuple, vectors: bytes, matrices_shape: tuple, matrices: bytes) -> Fourier:
    return Fourier(
        np.frombuffer(vectors, dtype=int).reshape(vectors_shape),
        np.frombuffer(matrices, dtype=complex).reshape(matrices_shape),
    )


def _differ_in_spin(first: Fourier, second: Fourier) -> bool:
    """Whether the difference of two blocks depends on spin, in measures of the first."""
    parts: dict[tuple[int, ...], np.ndarray] = {}
    for block, sign in ((first, 1), (second, -1)):
        for vector, matrix in zip(block.vectors.tolist(), block.matrices, strict=True):
            parts[tuple(vector)] = parts.get(tuple(vector), 0) + sign * matrix
    difference = pauli_components(np.array(list(parts.values())))[1:]
    scale = float(np.abs(first.matrices).max(initial=0.0))
    return bool(np.abs(difference).max() > SPIN_TOLERANCE * scale)


@dataclass(frozen=True)
class SpinPart:
    """`axis`: the majority direction of a block, None where there is none. `collinear`: False if it has no single
    axis."""

    axis: Axis
    collinear: bool

    @property
    def independent(self) -> bool:
        return self.collinear and self.axis is None

    def diagonal_along(self, axis: Axis) -> bool:
        """Whether the block conserves the spin along `axis`."""
        if not self.collinear or self.axis is None or axis is None:
            return self.collinear
        return bool(np.linalg.norm(np.cross(self.axis, axis)) < PARALLEL_TOLERANCE)


@dataclass(frozen=True, eq=False)
class Chain:
    """The blocks of one stack at given parameters, from lead to lead.

    Element 0 is the cell of the left lead next to the region, elements 1 ... N are the (principal) layers, element N
    + 1 is the cell of the right lead next to the region.

    Parameters
    ----------
    onsite
        H of every element.
    bond
        bond[b] is the hopping block from element b + 1 to element b.
    left_outward, right_outward
        Hopping block from the lead's next cell outwards to its cell next to the region.
    exchange
        The part -(1/2) D m.sigma of every on-site block; None: all that depends on spin in them is exchange. Where
        there is spin-orbit coupling, the directions of magnets cannot be read from the on-site blocks themselves.
    """

    onsite: tuple[Fourier, ...]
    bond: tuple[Fourier, ...]
    left_outward: Fourier
    right_outward: Fourier
    exchange: tuple[Fourier, ...] | None = None

    def exchange_of(self, element: int) -> Fourier:
        """The block whose spin part is the exchange of an element: its directions are those of a magnet."""
        return self.onsite[element] if self.exchange is None else self.exchange[element]

    @cached_property
    def spin_orbit_coupled(self) -> tuple[bool, ...]:
        """For every element whether its on-site block depends on spin by more than its exchange, or a hopping to it
        depends on spin."""
        hops = [not v.spin_part.independent for v in (self.left_outward, *self.bond, self.right_outward)]
        own = [False] * len(self.onsite)
        if self.exchange is not None:
            own = [_differ_in_spin(h, part) for h, part in zip(self.onsite, self.exchange, strict=True)]
        return tuple(inside or hops[e] or hops[e + 1] for e, inside in enumerate(own))

    @cached_property
    def lowest_energy(self) -> float:
        """A lower bound on the spectrum, eV: Gershgorin's theorem for blocks."""
        reach = [self.left_outward.norm, *(b.norm for b in self.bond), self.right_outward.norm]
        return min(-h.norm - reach[e] - reach[e + 1] for e, h in enumerate(self.onsite))


def lead_parts(chain: Chain) -> tuple[SpinPart, ...]:
    """How the two leads depend on spin; not collinear where they conserve none."""
    parts = []
    for lead, hopping in ((chain.onsite[0], chain.left_outward), (chain.onsite[-1], chain.right_outward)):
        part = lead.spin_part
        if not (part.collinear and hopping.spin_part.diagonal_along(part.axis)):
            part = SpinPart(None, False)
        elif part.independent:
            part = hopping.spin_part
        parts.append(part)
    return tuple(parts)


def lead_axis(part: SpinPart) -> Axis:
    """The axis along which the spins of a lead are counted: its majority, z if it is normal; None if it conserves
    none."""
    return (part.axis or Z_AXIS) if part.collinear else None


def magnetic_leads(chain: Chain) -> tuple[bool, ...]:
    """Whether each lead has an exchange; where that is not known apart, whether it depends on spin."""
    if chain.exchange is None:
        return tuple(not part.independent for part in lead_parts(chain))
    return tuple(not chain.exchange_of(e).spin_part.independent for e in (0, -1))

"""Recursive Green functions of a chain of layers, for many (k, E) at once.

Two sweeps give, for every cut between elements b and b + 1 of the chain, the Green function g_left of everything up
to b and g_right of everything from b + 1 on, each without the other. A `Join` puts the two together: it holds all
that flows through the cut. Spins are kept apart as long as the swept part has one spin axis; where two axes meet, the
blocks are turned by SU(2) and joined as matrices in spin space.

Arrays have the shape (spin, k, E, n, n): spin has length 2 where spins are apart (up, down along an axis), or 1 for
full matrices in the laboratory frame (axis None), with n twice as large.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qtorque._linalg import adjoint, identity_minus, inverse, multiply
from qtorque.chain import PARALLEL_TOLERANCE, Axis, Chain, Fourier
from qtorque.leads import surface_green
from qtorque.spin import PAULI, join_spin, su2


@dataclass(frozen=True, eq=False)
class SpinMatrix:
    """Matrices with spins apart along `axis`, or full ones (`axis` None)."""

    data: np.ndarray
    axis: Axis

    @property
    def full(self) -> np.ndarray:
        """The full matrices, shape (1, ..., 2n, 2n)."""
        if self.axis is None:
            return self.data
        return join_spin(self.data[0], self.data[1], su2(self.axis))[None]

    def along(self, axis: Axis) -> np.ndarray:
        """The blocks in the frame of an axis parallel or antiparallel to the own one, or full ones for None."""
        if axis is None:
            return self.full
        assert self.axis is not None, "full matrices cannot be split again"
        return self.data if np.dot(axis, self.axis) > 0 else self.data[::-1]


def blocks(fourier: Fourier, axis: Axis, phases: "Phases") -> np.ndarray:
    """A block at all momenta, shape (2 or 1, nk or 1, 1, n, n); one momentum if it does not depend on k."""
    matrices = fourier.in_frame(axis)
    if len(matrices) == 1 and not fourier.vectors.any():
        return matrices[0][:, None, None]
    size = matrices.shape
    values = phases.of(fourier.vectors) @ matrices.reshape(size[0], -1)
    return values.reshape(-1, *size[1:]).swapaxes(0, 1)[:, :, None]


class Phases:
    """exp(i k.R) at phases k, shape (nk, 2), made once for every set of vectors R."""

    def __init__(self, k: np.ndarray) -> None:
        self.k = k
        self._known: dict[bytes, np.ndarray] = {}

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """shape (nk, nR)"""
        key = vectors.tobytes()
        if key not in self._known:
            self._known[key] = np.exp(1j * (self.k @ vectors.T))
        return self._known[key]


@dataclass(frozen=True, eq=False)
class Half:
    """One side of a cut: Green function g, and spectral function a = i (g - g^dagger) (None at complex energy).

    a is carried along as g V^dagger a V g^dagger, a product of positive factors, and so keeps its relative accuracy
    behind thick barriers, where the difference of g and its conjugate has lost all digits.
    """

    g: SpinMatrix
    a: SpinMatrix | None


class Sweeps:
    """The two sweeps over a chain at the momenta of `k` and energies `energy`, shape (nk or 1, nE).

    Energies are real (approached from above) or in the upper half plane. `like`: sweeps at the same momenta and
    energies over a chain that may differ in the directions of its magnets. A half that is the same, each seen from its
    own spin axis, is taken from there: when a magnet turns rigidly, only the joins are new.
    """

    def __init__(self, chain: Chain, k: Phases, energy: np.ndarray, like: "Sweeps | None" = None) -> None:
        self.chain, self.k, self.like = chain, k, like
        self.energy = np.asarray(energy)[None, :, :]
        self.real = not np.iscomplexobj(self.energy)
        self._left_blocks = tuple(zip(chain.onsite, (chain.left_outward, *chain.bond), strict=True))
        self._right_blocks = tuple(zip(chain.onsite, (*chain.bond, chain.right_outward), strict=True))
        self._left_axes = _axes(self._left_blocks)
        self._right_axes = _axes(self._right_blocks[::-1])[::-1]

    @cached_property
    def left(self) -> list[Half]:
        """left[b]: everything up to and including element b, b = 0 ... N."""
        halves = self._known("left", range(len(self.chain.onsite) - 1))
        for e in range(len(halves), len(self.chain.onsite) - 1):
            axis, V = self._left_axes[e], self._left_blocks[e][1]
            if e == 0:
                halves.append(self.surface(0))
            else:
                halves.append(self._add(e, axis, adjoint(blocks(V, axis, self.k)), halves[-1]))
        return halves

    @cached_property
    def right(self) -> list[Half]:
        """right[b]: everything from element b + 1 on, b = 0 ... N."""
        last = len(self.chain.onsite) - 1
        halves = self._known("right", range(last, 0, -1))
        for e in range(last - len(halves), 0, -1):
            axis, V = self._right_axes[e], self._right_blocks[e][1]
            if e == last:
                halves.append(self.surface(1))
            else:
                halves.append(self._add(e, axis, blocks(V, axis, self.k), halves[-1]))
        return halves[::-1]

    def _known(self, side: str, elements: range) -> list[Half]:
        """The halves, in the order of the sweep, that `like` has already."""
        if self.like is None:
            return []
        mine, axes = getattr(self, f"_{side}_blocks"), getattr(self, f"_{side}_axes")
        other, other_axes = getattr(self.like, f"_{side}_blocks"), getattr(self.like, f"_{side}_axes")
        halves = getattr(self.like, side)[:: elements.step]
        found: list[Half] = []
        unturned = True
        for e, half in zip(elements, halves, strict=True):
            pairs = list(zip(mine[e], other[e], strict=True))
            # A full half is in the laboratory frame, where whatever turned further out is turned in it too.
            unturned = unturned and all(a.equals(None, b, None) for a, b in pairs)
            if axes[e] is None and not unturned:
                break
            if not all(a.equals(axes[e], b, other_axes[e]) for a, b in pairs):
                break
            spectral = SpinMatrix(half.a.data, axes[e]) if half.a else None
            found.append(Half(SpinMatrix(half.g.data, axes[e]), spectral))
        return found

    def join(self, bond: int) -> "Join":
        """Both halves of the chain at the cut between elements `bond` and `bond` + 1."""
        left, right = self.left[bond], self.right[bond]
        axis = common_axis(left.g.axis, right.g.axis)
        if not self.chain.bond[bond].spin_part.diagonal_along(axis):
            axis = None
        return Join(
            axis=axis,
            V=blocks(self.chain.bond[bond], axis, self.k),
            scalar=self.chain.bond[bond].spin_part.independent,
            left=left.g.along(axis),
            right=right.g.along(axis),
            left_spectral=left.a.along(axis) if left.a else None,
            right_spectral=right.a.along(axis) if right.a else None,
        )

    def surface(self, lead: int) -> Half:
        """The surface of lead 0 (left) or 1 (right), without the region."""
        element = -lead
        outward = self.chain.left_outward if lead == 0 else self.chain.right_outward
        axis = (self._left_axes if lead == 0 else self._right_axes)[element]
        H, V = blocks(self.chain.onsite[element], axis, self.k), blocks(outward, axis, self.k)
        g = surface_green(self.energy, H, V)
        return Half(SpinMatrix(g, axis), SpinMatrix(1j * (g - adjoint(g)), axis) if self.real else None)

    def _add(self, element: int, axis: Axis, V: np.ndarray, half: Half) -> Half:
        """One more element; V is the block from the half's last element to the new one."""
        before = half.g.along(axis)
        g = inverse(self._denominator(element, axis) - multiply(V, before, adjoint(V)))
        if half.a is None:
            return Half(SpinMatrix(g, axis), None)
        gV = multiply(g, V)
        return Half(SpinMatrix(g, axis), SpinMatrix(multiply(gV, half.a.along(axis), adjoint(gV)), axis))

    def _denominator(self, element: int, axis: Axis) -> np.ndarray:
        """E - H of an element."""
        H = blocks(self.chain.onsite[element], axis, self.k)
        return self.energy[..., None, None] * np.eye(H.shape[-1]) - H

    def corners(self) -> dict[tuple[int, int], SpinMatrix]:
        """Green function between the first (0) and the last (1) layer of the region, at key (row, column).

        Spins stay apart if the whole chain has one axis.
        """
        count, axis = len(self.chain.onsite) - 2, self._one_axis()
        beyond = [half.g.along(axis) for half in self.right]
        V = [blocks(b, axis, self.k) for b in self.chain.bond]
        inner = self._denominator(1, axis) - multiply(adjoint(V[0]), self.left[0].g.along(axis), V[0])
        diagonal = inverse(inner - multiply(V[1], beyond[1], adjoint(V[1])))
        first = down = up = diagonal
        for e in range(1, count):
            step, back = multiply(beyond[e], adjoint(V[e])), multiply(V[e], beyond[e])
            diagonal = beyond[e] + multiply(step, diagonal, back)
            down, up = multiply(step, down), multiply(up, back)
        found = {(0, 0): first, (1, 0): down, (0, 1): up, (1, 1): diagonal}
        return {pair: SpinMatrix(matrix, axis) for pair, matrix in found.items()}

    def _one_axis(self) -> Axis:
        """The axis along which all of the chain conserves spin; None if there is none."""
        axis = self.left[0].g.axis
        swept = all(common_axis(axis, half.g.axis) for half in self.right)
        return axis if swept and all(b.spin_part.diagonal_along(axis) for b in self.chain.bond) else None

    def self_energy(self, lead: int) -> SpinMatrix:
        """Sigma of lead 0 (left) or 1 (right) on the first or the last layer of the region."""
        g, bond = self.surface(lead).g, self.chain.bond[-lead]
        axis = g.axis if bond.spin_part.diagonal_along(g.axis) else None
        V = blocks(bond, axis, self.k)
        inward = adjoint(V) if lead == 0 else V
        return SpinMatrix(multiply(inward, g.along(axis), adjoint(inward)), axis)

    def resonances(self) -> np.ndarray:
        """Complex energies of the open region, shape (k, n): eigenvalues of H + Sigma_L + Sigma_R, Sigma at `energy`.

        A long-lived state at E_r with the width Gamma has the eigenvalue E_r - i Gamma/2. One energy only.
        """
        sizes = np.array([h.matrices.shape[1] for h in self.chain.onsite[1:-1]])
        ends = np.cumsum(sizes)
        points = len(self.k.k)
        H = np.zeros((points, ends[-1], ends[-1]), dtype=complex)
        for e, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            own = slice(end - size, end)
            H[:, own, own] = blocks(self.chain.onsite[e + 1], None, self.k)[0, :, 0]
            if e + 1 < len(sizes):
                beyond = slice(end, end + sizes[e + 1])
                V = blocks(self.chain.bond[e + 1], None, self.k)[0, :, 0]
                H[:, own, beyond], H[:, beyond, own] = V, adjoint(V)
        first, last = slice(0, sizes[0]), slice(ends[-1] - sizes[-1], ends[-1])
        H[:, first, first] += self.self_energy(0).full[0, :, 0]
        H[:, last, last] += self.self_energy(1).full[0, :, 0]
        return np.linalg.eigvals(H)


@dataclass(frozen=True, eq=False)
class Join:
    """All that flows through one cut. V is the hopping block from right to left of the cut.

    With D = [1 - g_left V g_right V^dagger]^-1 the Green function on the left of the cut is G = D g_left, the one
    across it D g_left V g_right; the spectral function of states from the left lead is A_L = D a_left D^dagger there.
    """

    axis: Axis
    V: np.ndarray
    scalar: bool
    left: np.ndarray
    right: np.ndarray
    left_spectral: np.ndarray | None
    right_spectral: np.ndarray | None

    @cached_property
    def _scatter(self) -> np.ndarray:
        """X = g_left V g_right V^dagger."""
        return multiply(self.left, self.V, self.right, adjoint(self.V))

    @cached_property
    def _dress(self) -> np.ndarray:
        """D."""
        return inverse(identity_minus(self._scatter))

    @cached_property
    def green(self) -> np.ndarray:
        """G on the element left of the cut."""
        return multiply(self._dress, self.left)

    @cached_property
    def spectral(self) -> tuple[np.ndarray, np.ndarray]:
        """(A_L, A_R) on the element left of the cut."""
        assert self.left_spectral is not None, "spectral functions exist at real energies"
        assert self.right_spectral is not None
        from_left = multiply(self._dress, self.left_spectral, adjoint(self._dress))
        hop = multiply(self.green, self.V)
        return from_left, multiply(hop, self.right_spectral, adjoint(hop))

    def window_currents(self) -> tuple[np.ndarray, np.ndarray]:
        """Im Tr[(1/2){V^dagger, sigma_a} A] across the cut, for A_L and A_R: (4, k, E) each, a = 0 (charge), x, y, z.

        A_L(l, l+1) = A_L(l, l) V g_right^dagger, and A_R(l, l+1) = G V a_right (1 + g_right V^dagger G V)^dagger with
        G = G(l, l).
        """
        assert self.right_spectral is not None, "spectral functions exist at real energies"
        across_left = multiply(self.spectral[0], self.V, adjoint(self.right))
        hop = multiply(self.green, self.V)
        dressed = identity_minus(-multiply(self.right, adjoint(self.V), hop))
        across_right = multiply(hop, self.right_spectral, adjoint(dressed))
        return self._currents(across_left).imag, self._currents(across_right).imag

    def sea_currents(self) -> np.ndarray:
        """Tr[W_a G(l, l+1)] - Tr[W_a^dagger G(l+1, l)] with W_a = (1/2){V^dagger, sigma_a}; analytic in E, (4, k,
        E)."""
        across = multiply(self.green, self.V, self.right)
        back = multiply(self.right, adjoint(self.V), self.green)
        return self._currents(across) - self._back_currents(back)

    def _currents(self, across: np.ndarray) -> np.ndarray:
        """Tr[(1/2){V^dagger, sigma_a} across]."""
        trace = self._spin_trace(multiply(across, adjoint(self.V)))
        if not self.scalar:
            trace = 0.5 * (trace + self._spin_trace(multiply(adjoint(self.V), across)))
        return trace

    def _back_currents(self, back: np.ndarray) -> np.ndarray:
        """Tr[(1/2){V, sigma_a} back]."""
        trace = self._spin_trace(multiply(self.V, back))
        if not self.scalar:
            trace = 0.5 * (trace + self._spin_trace(multiply(back, self.V)))
        return trace

    def _spin_trace(self, matrix: np.ndarray) -> np.ndarray:
        return spin_trace(matrix, self.axis)

    def window_torques(self, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(i/2) Tr([sigma_a, H] A) on the element left of the cut, for A_L and A_R: (3, k, E) each.

        With H = -(1/2) D m.sigma this is (1/2) m x Tr[D sigma A]. H: full matrices (1, k, 1, 2n, 2n).
        """
        left, right = (self._torque(H, a) for a in self.spectral)
        return left.real, right.real

    def sea_torques(self, H: np.ndarray) -> np.ndarray:
        """(i/2) Tr([sigma_a, H] G) on the element left of the cut; analytic in E, (3, k, E)."""
        return self._torque(H, self.green)

    def _torque(self, H: np.ndarray, operator: np.ndarray) -> np.ndarray:
        full = SpinMatrix(operator, self.axis).full
        return 0.5j * spin_trace(multiply(H, full) - multiply(full, H), None)[1:]

    def log_determinant_ratio(self, reference: "Join") -> np.ndarray:
        """ln det(1 - X) of this join over that of `reference`, (k, E): the angle-dependent part of -ln det G."""
        return _log_determinant(self._full_scatter) - _log_determinant(reference._full_scatter)

    @property
    def _full_scatter(self) -> np.ndarray:
        return SpinMatrix(self._scatter, self.axis).full[0]


def _log_determinant(scatter: np.ndarray) -> np.ndarray:
    """ln det(1 - X) from the eigenvalues of X, which keeps the digits of a small X."""
    return np.log1p(-np.linalg.eigvals(scatter)).sum(axis=-1)


def spin_trace(matrix: np.ndarray, axis: Axis) -> np.ndarray:
    """Tr[sigma_a M], a = 0, x, y, z, in the laboratory frame: (spin, k, E, n, n) -> (4, k, E)."""
    if axis is not None:
        up, down = np.trace(matrix, axis1=-2, axis2=-1)
        difference = up - down
        return np.stack([up + down, *(component * difference for component in axis)])
    *batch, n, _ = matrix[0].shape
    spins = np.einsum("...isit->...st", matrix[0].reshape(*batch, n // 2, 2, n // 2, 2))
    return np.einsum("ats,...st->a...", PAULI, spins)


def common_axis(first: Axis, second: Axis) -> Axis:
    """The first axis if both lie on one line, else None."""
    if first is None or second is None or np.linalg.norm(np.cross(first, second)) > PARALLEL_TOLERANCE:
        return None
    return first


def _axes(swept: tuple[tuple[Fourier, Fourier], ...]) -> list[Axis]:
    """The spin axis in which a sweep over these blocks, in this order, keeps spins apart; None from where it cannot."""
    found = (h.spin_part.axis for h, _ in swept if h.spin_part.axis is not None)
    axis: Axis = next(found, (0.0, 0.0, 1.0))
    axes: list[Axis] = []
    for h, v in swept:
        if not (h.spin_part.diagonal_along(axis) and v.spin_part.diagonal_along(axis)):
            axis = None
        axes.append(axis)
    return axes

"""The cuts of single-orbital chains: currents, torques and determinants, by compiled kernels.

The halves on both sides of a cut are pairs of complex numbers along an axis, or four where axes differ. Halves that are
the same in several chains, each seen from its own axis, are solved once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque import _single_orbital_kernels as kernels
from qtorque.chain import Axis
from qtorque.compiling import announced
from qtorque.single_orbital import Z_AXIS, Group, SingleOrbitalChain, SingleOrbitalChains


@dataclass(frozen=True, eq=False)
class _Half:
    """Everything on one side of a cut: g and a = i (g - g^dagger) at every point.

    Spin up and down along the axis of its `Place`, or four components in the laboratory frame: g (2 or 4, 2, points),
    real and imaginary part; a (2 or 4, points).
    """

    g: np.ndarray
    a: np.ndarray

    def components(self, axis: Axis) -> "_Half":
        """With four components; `axis` is that of spin up and down."""
        if axis is None:
            return self
        parts = []
        for up, down in (self.g, self.a):
            difference = 0.5 * (up - down)
            parts.append(np.stack([0.5 * (up + down), *(component * difference for component in axis)]))
        return _Half(parts[0], parts[1])


class Joins:
    """The cuts of several chains that differ in the directions of their magnets, at points (momentum, energy).

    A half that is the same in two chains, each seen from its own spin axis, is solved once; a join costs a few
    nanoseconds for each angle and point.

    Parameters
    ----------
    chains
        What `single_orbital_chains` made.
    k, z
        Phases (m, 2); energies (m or 1, n), real (approached from above) or in the upper half plane.
    """

    def __init__(self, chains: SingleOrbitalChains, k: np.ndarray, z: np.ndarray) -> None:
        z = np.broadcast_to(z, (len(k), z.shape[1]))
        self.set, self.chains, self.shape = chains, chains.chains, z.shape
        # Momenta run fastest, so that a sum over nodes adds contiguous arrays.
        self.z = _two_parts(z)
        self.shapes = np.tile(chains.catalogue.shapes(k), z.shape[1])
        self._known: dict[int, _Half] = {}

    def _function(self, number: int) -> tuple[float, np.ndarray]:
        function = self.set.catalogue.function(number)
        return function.constant, self.shapes[function.row]

    def _half(self, c: SingleOrbitalChain, side: int, bond: int) -> _Half:
        """The half of chain c on side 0 (left) or 1 (right) of a bond."""
        places, lead = c.halves[side], 0 if side == 0 else len(c.onsite) - 1
        end = bond + side
        swept = list(range(lead, end + 1) if side == 0 else range(lead, end - 1, -1))
        known = len(swept)
        while known and places[swept[known - 1]].number not in self._known:
            known -= 1
        half = self._known[places[swept[known - 1]].number] if known else None
        for e in swept[known:]:
            half = self._surface(c, e, side) if half is None else self._add(c, e, side, half)
            self._known[places[e].number] = half
        assert half is not None, "a half holds its lead at least"
        return half

    def _surface(self, c: SingleOrbitalChain, e: int, side: int) -> _Half:
        axis = c.halves[side][e].axis
        outward = self._function(c.hopping[len(c.onsite) - 1 + side])
        g, a = self._empty(2)
        for s, number in enumerate(c.seen_from(e, axis)):
            kernels.surface(self.z, *self._function(number), *outward, g[s], a[s])
        return _Half(g, a)

    def _add(self, c: SingleOrbitalChain, e: int, side: int, before: _Half) -> _Half:
        """One more element in front of a half."""
        axis, hop = c.halves[side][e].axis, self._function(c.hopping[e - 1 + side])
        if axis is not None:
            g, a = self._empty(2)
            for s, number in enumerate(c.seen_from(e, axis)):
                kernels.add_element(self.z, *self._function(number), *hop, before.g[s], before.a[s], g[s], a[s])
            return _Half(g, a)
        before = before.components(c.halves[side][e - 1 + 2 * side].axis)
        g, a = self._empty(4)
        (up, up_row), (down, down_row) = (self._function(number) for number in c.onsite[e])
        own = np.array(c.axes[e] or Z_AXIS)
        kernels.add_turned_element(self.z, np.array([up, down]), up_row, down_row, own, *hop, before.g, before.a, g, a)
        return _Half(g, a)

    def _empty(self, components: int) -> tuple[np.ndarray, np.ndarray]:
        points = self.z.shape[1]
        return np.empty((components, 2, points)), np.empty((components, points))

    def _at_cut(self, bond: int) -> Iterator[tuple[_Half, _Half, Group]]:
        """Left and right half of every group of chains."""
        for group in self.set.groups(bond):
            first = self.chains[group.numbers[0]]
            yield self._half(first, 0, bond), self._half(first, 1, bond), group

    def window(self, bonds: Sequence[int], elements: Sequence[int]) -> np.ndarray:
        """The symmetric window (A_L - A_R)/2: real, (chains, columns, m, n).

        For every bond Im Tr[V^dagger sigma_a (A_L - A_R)/2] across it, a = 0 (charge), x, y, z; then for every element
        (i/2) Tr([sigma_a, H] (A_L - A_R)/2), a = x, y, z: with H = h_0 + h.sigma and A = A_0 + A.sigma it is -2 h x A.
        """
        return self._columns(bonds, elements, (kernels.window_currents, kernels.window_spins), ())

    def sea(self, bonds: Sequence[int], elements: Sequence[int], step: np.ndarray) -> np.ndarray:
        """The sea with a complex factor `step` (m, n) at every point: real, (chains, columns, m, n).

        For every bond Re{step Tr[sigma_a (G(l, l+1) V^dagger - V G(l+1, l))]}, of which the charge is zero; then for
        every element Im{step (i/2) Tr([sigma_a, H] G)}.
        """
        step = np.broadcast_to(step, self.shape)
        return self._columns(bonds, elements, (kernels.sea_currents, kernels.sea_spins), (_two_parts(step),))

    def _columns(self, bonds: Sequence[int], elements: Sequence[int], pair, extra: tuple) -> np.ndarray:
        count, currents = len(self.chains), 4 * len(bonds)
        found = np.empty((count, currents + 3 * len(elements), self.z.shape[1]))
        spectral = not extra
        # An element's column is that of the cut to its right.
        cuts = [(bond, pair[0], 4 * i) for i, bond in enumerate(bonds)]
        cuts += [(element, pair[1], currents + 3 * i) for i, element in enumerate(elements)]
        with announced(*pair):
            for bond, kernel, column in cuts:
                hop = self._function(self.chains[0].hopping[bond])
                for left, right, group in self._at_cut(bond):
                    halves = (
                        (left.g, left.a, group.left, right.g, right.a, group.right)
                        if spectral
                        else (left.g, group.left, right.g, group.right)
                    )
                    kernel(*halves, *hop, *extra, group.numbers, column, found)
        for i, element in enumerate(elements):
            for number, c in enumerate(self.chains):
                self._turn(c, element, found[number, currents + 3 * i : currents + 3 * i + 3])
        n, m = self.shape[::-1]
        return found.reshape(count, -1, n, m).swapaxes(2, 3)

    def _turn(self, c: SingleOrbitalChain, element: int, spins: np.ndarray) -> None:
        """Spins s become -2 h x s, in place."""
        (up, up_row), (down, down_row) = (self._function(n) for n in c.onsite[element])
        axis = np.array(c.axes[element] or Z_AXIS)
        spins[:] = -(up - down + up_row - down_row) * np.cross(axis[:, None], spins, axis=0)

    def log_determinant(self, bond: int) -> np.ndarray:
        """ln det(1 - g_left V g_right V^dagger) at a cut, (chains, m, n); the eigenvalues keep the digits of a small
        one."""
        found = np.empty((len(self.chains), 2, 2, self.z.shape[1]))
        hop = self._function(self.chains[0].hopping[bond])
        for left, right, group in self._at_cut(bond):
            out = np.empty((len(group.numbers), 2, 2, self.z.shape[1]))
            kernels.scatter_eigenvalues(left.g, group.left, right.g, group.right, *hop, out)
            found[group.numbers] = out
        mean, root = found[:, 0, 0] + 1j * found[:, 0, 1], np.sqrt(found[:, 1, 0] + 1j * found[:, 1, 1])
        logarithm = np.log1p(-(mean + root)) + np.log1p(-(mean - root))
        return logarithm.reshape(-1, *self.shape[::-1]).swapaxes(1, 2)


def _two_parts(values: np.ndarray) -> np.ndarray:
    """Real and imaginary part of (m, n) at the points, the first axis fastest."""
    return np.stack([np.real(values).T.ravel(), np.imag(values).T.ravel()])

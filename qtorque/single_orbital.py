"""Stacks with one orbital and two spins on every element of the chain, by compiled kernels.

They are served here where hoppings leave spin alone and every element has one spin axis; `Sweeps` in `qtorque.green`
serves all others. On-site energies and squared hoppings are then real functions of k, most often one and the same
in-plane band energy apart from constants, and Green functions are pairs of complex numbers along an axis, or four
where axes differ.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qtorque import _single_orbital_kernels as kernels
from qtorque.brillouin import KMesh, KSet
from qtorque.chain import PARALLEL_TOLERANCE, SAME_BLOCK, Axis, Chain, Fourier
from qtorque.compiling import announced
from qtorque.spin import PAULI, su2

Z_AXIS = (0.0, 0.0, 1.0)
LARGEST_POLYNOMIAL = 1e140
"""Runs of equal elements are cut where a Chebyshev polynomial could exceed it: its square is still a number."""
CHUNK = 16384
"""Momenta that a kernel is given at once: their arrays stay in the second-level cache."""


@dataclass(frozen=True)
class RealFunction:
    """constant + shape number `row` (0: none) of a `Catalogue`, a real function of k."""

    constant: float
    row: int


class Catalogue:
    """The functions of k that the chains of one calculation consist of, each kept once.

    Constants that differ by rounding (a magnet turned by another angle) are one.
    """

    def __init__(self) -> None:
        self._shapes: list[tuple[np.ndarray, np.ndarray]] = []
        self._functions: list[RealFunction] = []
        self._numbers: dict[tuple, int] = {}
        self._known: dict[tuple[Fourier, Axis], tuple[int, ...]] = {}

    def add_onsite(self, block: Fourier, axis: Axis) -> tuple[int, ...]:
        """The numbers of spin up and down along an axis of an on-site block of one orbital."""
        key = (block, axis)
        if key not in self._known:
            up, down = block.in_frame(axis)[:, :, 0, 0].T
            self._known[key] = self.add(block.vectors, up), self.add(block.vectors, down)
        return self._known[key]

    def add_square(self, v: Fourier) -> int:
        """The number of |v(k)|^2, v between one orbital and the next."""
        key = (v, None)
        if key not in self._known:
            self._known[key] = (self.add(*_square(v)),)
        return self._known[key][0]

    def add(self, vectors: np.ndarray, coefficients: np.ndarray) -> int:
        """The number of the function sum_R c_R exp(i k.R) with c_(-R) = c_R^*."""
        home = ~vectors.any(axis=1)
        constant = float(coefficients[home].real.sum())
        moving = ~home & (coefficients != 0)
        # Of R and -R one is enough.
        first = moving & ((vectors[:, 0] > 0) | ((vectors[:, 0] == 0) & (vectors[:, 1] > 0)))
        order = np.lexsort(vectors[first].T)
        row = self._row(vectors[first][order], coefficients[first][order])
        scale = abs(constant) + float(np.abs(coefficients).max(initial=0.0))
        for number, known in enumerate(self._functions):
            if known.row == row and abs(known.constant - constant) <= SAME_BLOCK * scale:
                return number
        self._functions.append(RealFunction(constant, row))
        return len(self._functions) - 1

    def _row(self, vectors: np.ndarray, coefficients: np.ndarray) -> int:
        if not len(vectors):
            return 0
        for row, (known, values) in enumerate(self._shapes, start=1):
            limit = SAME_BLOCK * np.abs(values).max()
            if np.array_equal(known, vectors) and np.abs(values - coefficients).max() <= limit:
                return row
        self._shapes.append((vectors, coefficients))
        return len(self._shapes)

    def number(self, description: tuple) -> int:
        """The same number for the same description."""
        return self._numbers.setdefault(description, len(self._numbers))

    def function(self, number: int) -> RealFunction:
        """The function with this number."""
        return self._functions[number]

    def bounds(self, number: int) -> tuple[float, float]:
        """Two numbers between which the function lies at all k."""
        function = self._functions[number]
        reach = 2 * float(np.abs(self._shapes[function.row - 1][1]).sum()) if function.row else 0.0
        return function.constant - reach, function.constant + reach

    def shapes(self, k: np.ndarray) -> np.ndarray:
        """All shapes at phases k (points, 2): (shapes + 1, points), row 0 of which is zero."""
        found = np.zeros((len(self._shapes) + 1, len(k)))
        first, second = np.ascontiguousarray(k.T)
        for row, (vectors, coefficients) in zip(found[1:], self._shapes, strict=True):
            for (n1, n2), c in zip(vectors.tolist(), coefficients.tolist(), strict=True):
                phase = n1 * first if n2 == 0 else n2 * second if n1 == 0 else n1 * first + n2 * second
                row += 2 * c.real * np.cos(phase)
                if c.imag != 0:
                    row -= 2 * c.imag * np.sin(phase)
        return found


    def shapes_of_rows(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The same on the mesh first x second of phases, the second index running fastest, by products of their
        exponentials."""
        found = np.zeros((len(self._shapes) + 1, len(first), len(second)))
        for row, (vectors, coefficients) in zip(found[1:], self._shapes, strict=True):
            a = 2 * coefficients * np.exp(1j * np.outer(first, vectors[:, 0]))
            b = np.exp(1j * np.outer(vectors[:, 1], second))
            np.matmul(np.hstack([a.real, -a.imag]), np.vstack([b.real, b.imag]), out=row)
        return found.reshape(len(found), -1)


@dataclass(frozen=True, eq=False)
class SingleOrbitalChain:
    """A `Chain` in terms of the functions of a `Catalogue`.

    Attributes
    ----------
    onsite
        Function numbers of spin up and down along `axes`, for every element.
    hopping
        Function numbers of the squared hoppings: of the bonds, then of the left and the right lead.
    axes
        Majority direction of every element, None where it does not depend on spin.
    catalogue
        Where the numbers come from.
    chain
        What it was made of.
    """

    onsite: tuple[tuple[int, int], ...]
    hopping: tuple[int, ...]
    axes: tuple[Axis, ...]
    catalogue: Catalogue
    chain: Chain

    @cached_property
    def halves(self) -> tuple[tuple["_Place", ...], tuple["_Place", ...]]:
        """For both sides, what a half that ends in an element is known by: entry e belongs to element e."""
        count = len(self.onsite)
        left = self._places(range(count))
        return left, self._places(range(count - 1, -1, -1))[::-1]

    def may_have_states(self, low: float, high: float) -> bool:
        """False if no state of the open region lies between two energies, by Gershgorin's theorem.

        Elements like the lead's own cells belong to the lead. Its self-energy is at most v^2/v_lead.
        """
        last = len(self.onsite) - 1
        first, final = 1, last - 1
        while first < last and self._like_lead(first, 0, self.hopping[first - 1], self.hopping[last]):
            first += 1
        while final > first and self._like_lead(final, last, self.hopping[final], self.hopping[last + 1]):
            final -= 1
        if first > final:
            return False
        sizes = [np.sqrt(max(self.catalogue.bounds(number)[1], 0.0)) for number in self.hopping]
        sizes[first - 1] *= self._ratio(first - 1, last)
        sizes[final] *= self._ratio(final, last + 1)
        for e in range(first, final + 1):
            ranges = [self.catalogue.bounds(number) for number in self.onsite[e]]
            reach = sizes[e - 1] + sizes[e]
            if min(r[0] for r in ranges) - reach <= high and max(r[1] for r in ranges) + reach >= low:
                return True
        return False

    def _like_lead(self, e: int, lead: int, hop: int, outward: int) -> bool:
        same_axis = self.axes[e] == self.axes[lead] and self.onsite[e] == self.onsite[lead]
        return same_axis and hop == outward

    def _ratio(self, bond: int, outward: int) -> float:
        """A bound on the hopping of a bond over that in the lead."""
        own, lead = self.catalogue.bounds(self.hopping[bond])[1], self.catalogue.bounds(self.hopping[outward])[0]
        return float(np.sqrt(own / lead)) if lead > 0 else np.inf

    @property
    def mirror(self) -> "SingleOrbitalChain":
        """The chain seen from the right lead."""
        *bonds, left, right = self.hopping
        chain = Chain(
            self.chain.onsite[::-1],
            tuple(bond.adjoint for bond in self.chain.bond[::-1]),
            self.chain.right_outward,
            self.chain.left_outward,
        )
        return SingleOrbitalChain(
            self.onsite[::-1], (*bonds[::-1], right, left), self.axes[::-1], self.catalogue, chain
        )

    def seen_from(self, e: int, axis: Axis) -> tuple[int, int]:
        """Function numbers of spin up and down of element e along an axis on the line of its own."""
        own, (up, down) = self.axes[e], self.onsite[e]
        return (up, down) if own is None or axis is None or np.dot(own, axis) > 0 else (down, up)

    def _places(self, order: range) -> tuple["_Place", ...]:
        places: list[_Place] = []
        axis, collinear, number = None, True, -1
        for e, before in zip(order, [None, *order], strict=False):
            own = self.axes[e]
            # From the lead the hopping comes that leads outwards, later the one that leads back.
            hop = self.hopping[min(e, before)] if before is not None else self.hopping[-2 if order.step > 0 else -1]
            if collinear and own is not None and axis is not None and not _on_one_line(own, axis):
                # From here on directions count; until here a half may turn as a whole.
                number, collinear = self.catalogue.number((number, axis)), False
            axis = axis or own
            if collinear:
                number = self.catalogue.number((order.step, number, hop, self.seen_from(e, axis)))
            else:
                number = self.catalogue.number((order.step, number, hop, self.onsite[e], own))
            places.append(_Place(number, (axis or Z_AXIS) if collinear else None))
        return tuple(places)

    @property
    def one_axis(self) -> Axis:
        """The first axis of the chain if all lie on its line (z if there are none), else None."""
        found = [axis for axis in self.axes if axis is not None]
        if not all(_on_one_line(found[0], axis) for axis in found):
            return None
        return found[0] if found else Z_AXIS

    def along(self, axis: Axis) -> "SingleOrbitalChain":
        """The same with up and down of every element counted along an axis that all of them share."""
        assert axis is not None
        onsite = tuple(self.seen_from(e, axis) for e in range(len(self.onsite)))
        return SingleOrbitalChain(onsite, self.hopping, (axis,) * len(onsite), self.catalogue, self.chain)


@dataclass(frozen=True)
class _Place:
    """Number of a half: equal ones are the same, each seen from its `axis` (None: directions differ within it)."""

    number: int
    axis: Axis


def single_orbital(chain: Chain, catalogue: Catalogue) -> SingleOrbitalChain | None:
    """The chain for the kernels of this module, None if it is not of their kind."""
    hoppings = (*chain.bond, chain.left_outward, chain.right_outward)
    if any(h.matrices.shape[1:] != (2, 2) for h in (*chain.onsite, *hoppings)):
        return None
    if not all(h.spin_part.collinear for h in chain.onsite) or not all(v.spin_part.independent for v in hoppings):
        return None
    onsite, axes = [], []
    for block in chain.onsite:
        axes.append(block.spin_part.axis)
        up, down = catalogue.add_onsite(block, axes[-1] or Z_AXIS)
        onsite.append((up, down))
    squares = tuple(catalogue.add_square(v) for v in hoppings)
    return SingleOrbitalChain(tuple(onsite), squares, tuple(axes), catalogue, chain)


@dataclass(frozen=True, eq=False)
class _Group:
    """Chains of a set that have the same halves at a cut, but for the directions these are seen from.

    `numbers` of the chains; `left`, `right`: axes of their halves, (number, 3), or (1, 3) where all have one.
    """

    numbers: np.ndarray
    left: np.ndarray
    right: np.ndarray


class SingleOrbitalChains:
    """Chains over one catalogue that differ in the directions of their magnets."""

    def __init__(self, chains: Sequence[SingleOrbitalChain]) -> None:
        self.chains = tuple(chains)
        self.catalogue = chains[0].catalogue
        self._groups: dict[int, list[_Group]] = {}

    def groups(self, bond: int) -> list[_Group]:
        """The chains sorted by their halves at a cut."""
        if bond not in self._groups:
            members: dict[tuple[int, int], list[tuple]] = {}
            for number, c in enumerate(self.chains):
                left, right = c.halves[0][bond], c.halves[1][bond + 1]
                members.setdefault((left.number, right.number), []).append((number, left.axis, right.axis))
            self._groups[bond] = [
                _Group(np.array(numbers), _directions(left), _directions(right))
                for numbers, left, right in (zip(*own, strict=True) for own in members.values())
            ]
        return self._groups[bond]


def _directions(axes: Sequence[Axis]) -> np.ndarray:
    """Axes (number, 3), or (1, 3) where all are one; z stands for none."""
    found = np.array([axis or Z_AXIS for axis in axes])
    return found[:1] if np.all(found == found[0]) else found


def single_orbital_chains(chains: Sequence[Chain]) -> SingleOrbitalChains | None:
    """All of them over one catalogue, None if one is not of this kind."""
    catalogue = Catalogue()
    found = [c for chain in chains if (c := single_orbital(chain, catalogue)) is not None]
    return SingleOrbitalChains(found) if len(found) == len(chains) else None


def _square(v: Fourier) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and coefficients of |v(k)|^2."""
    c = v.in_frame(Z_AXIS)[:, 0, 0, 0]
    if len(c) == 1:
        return np.zeros((1, 2), dtype=int), np.abs(c) ** 2 + 0j
    differences = (v.vectors[:, None] - v.vectors[None]).reshape(-1, 2)
    products = np.outer(c, c.conj()).ravel()
    vectors, place = np.unique(differences, axis=0, return_inverse=True)
    sums = np.zeros(len(vectors), dtype=complex)
    np.add.at(sums, place.ravel(), products)
    return vectors, sums


def _on_one_line(first: Axis, second: Axis) -> bool:
    if first is None or second is None:
        return False
    return first == second or bool(np.linalg.norm(np.cross(first, second)) < PARALLEL_TOLERANCE)


@dataclass(frozen=True, eq=False)
class _Half:
    """Everything on one side of a cut: g and a = i (g - g^dagger) at every point.

    Spin up and down along the axis of its `_Place`, or four components in the laboratory frame: g (2 or 4, 2, points),
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

    def _at_cut(self, bond: int) -> Iterator[tuple[_Half, _Half, _Group]]:
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


@dataclass(frozen=True, eq=False)
class Transmitted:
    """Transmission of electrons that come from the left lead of a chain.

    Attributes
    ----------
    t
        Amplitudes, (2, points), spins apart along the one axis of the chain; or (points, 2, 2), spin out and in, in
        the frames of the leads.
    open_channels
        (points, lead, spin)
    error
        Violation of unitarity, not a number where there is no solution: (points,).
    """

    t: np.ndarray
    open_channels: np.ndarray
    error: np.ndarray


def transmitted(
    c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis]
) -> Transmitted:
    """Amplitudes t from left to right at every momentum. Those from right to left are these of the `mirror` image.

    Parameters
    ----------
    axis
        One on whose line all axes of the chain lie; None if there is none, or to have the spins in the frames of the
        leads.
    lead_axes
        Those of the frames of the two leads.
    """
    t = _empty_amplitudes(kset.size, axis)
    found = Transmitted(t, np.empty((kset.size, 2, 2), dtype=np.int8), np.empty(kset.size))
    _solve(c, kset, energy, axis, lead_axes, t, None, found.open_channels, found.error)
    phase = _phase(c.chain, kset)
    if phase is not None:
        t *= phase if axis is not None else phase[:, None, None]
    return found


def reflected(
    c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis]
) -> np.ndarray:
    """Amplitudes r of the left lead, in the shape of those of `transmitted`.

    Solving once more for them costs less than the memory for both where only one is asked for.
    """
    r = _empty_amplitudes(kset.size, axis)
    rest = np.empty((kset.size, 2, 2), dtype=np.int8), np.empty(kset.size)
    _solve(c, kset, energy, axis, lead_axes, None, r, *rest)
    return r


def _empty_amplitudes(points: int, axis: Axis) -> np.ndarray:
    return np.empty((points, 2, 2) if axis is None else (2, points), dtype=complex)


def _solve(c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes, t, r, *rest: np.ndarray) -> None:
    """Fill t or r, and open channels and errors; the other amplitudes go to a scratch array."""
    if axis is None:
        frames = [su2(own or Z_AXIS) for own in lead_axes]
        products = np.array([[U.conj().T @ sigma @ frames[0] for sigma in PAULI] for U in frames])
        axes = np.array([own or Z_AXIS for own in c.axes])
        arguments = [*_tables(c), axes, products]
        kernel: Callable = kernels.noncollinear_scattering
    else:
        aligned = c.along(axis)
        arguments = [*_tables(aligned), _equal_leads(aligned), *_runs(aligned, energy)]
        kernel = kernels.collinear_scattering
    scratch = np.empty(0)
    with announced(kernel):
        for start, shapes in _blocks(c, kset):
            if scratch.size < 2 * shapes.shape[1]:
                scratch = _empty_amplitudes(shapes.shape[1], axis)
            out = (scratch, 0, r, start) if t is None else (t, start, scratch, 0)
            kernel(energy, shapes, *arguments, start, *out, *rest)


def open_channels(c: SingleOrbitalChain, k: np.ndarray, energy: float) -> np.ndarray:
    """Whether the energy lies in the band of a lead: (points, lead, spin), spins along the lead's own axis."""
    shapes, last = c.catalogue.shapes(k), len(c.onsite) - 1

    def value(number: int) -> np.ndarray:
        function = c.catalogue.function(number)
        return function.constant + shapes[function.row]

    bands = [[4 * value(c.hopping[last + p]) > (energy - value(n)) ** 2 for n in c.onsite[-p]] for p in range(2)]
    return np.moveaxis(np.array(bands), -1, 0)


def _tables(c: SingleOrbitalChain) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Constants and rows of on-site energies (elements, 2) and of squared hoppings."""
    onsite = [[c.catalogue.function(n) for n in pair] for pair in c.onsite]
    hopping = [c.catalogue.function(n) for n in c.hopping]
    return (
        np.array([[f.constant for f in pair] for pair in onsite]),
        np.array([[f.row for f in pair] for pair in onsite]),
        np.array([f.constant for f in hopping]),
        np.array([f.row for f in hopping]),
    )


def _runs(c: SingleOrbitalChain, energy: float) -> tuple[np.ndarray, np.ndarray]:
    """`materials` and `runs` of `collinear_scattering`."""
    runs: list[list[int]] = []
    for e in range(len(c.onsite) - 2, 1, -1):
        same = runs and c.onsite[e] == c.onsite[e + 1] and c.hopping[e - 1] == c.hopping[e]
        if same and runs[-1][1] < _longest(c, e, energy):
            runs[-1][1] += 1
        else:
            runs.append([e, 1])
    known: dict[tuple[int, int, int], int] = {}
    materials: list[tuple[int, int, int]] = []
    table = []
    for e, length in runs:
        numbers = [-1, -1]
        for spin in range(2) if length > 1 else ():
            key = (c.onsite[e][spin], c.hopping[e - 1], length)
            if key not in known:
                known[key] = len(materials)
                materials.append((e, spin, length))
            numbers[spin] = known[key]
        # The elements of a run of one are all that have no polynomials.
        table.append((e, *numbers))
    return np.array(materials, dtype=int).reshape(-1, 3), np.array(table, dtype=int).reshape(-1, 3)


def _longest(c: SingleOrbitalChain, e: int, energy: float) -> float:
    """Elements in a run whose polynomials stay below `LARGEST_POLYNOMIAL`; 1 where the hopping is not constant."""
    hop = c.catalogue.function(c.hopping[e - 1])
    if hop.row or hop.constant <= 0:
        return 1
    largest = 1 + (abs(energy) + c.chain.onsite[e].norm) / np.sqrt(hop.constant)
    return np.log(LARGEST_POLYNOMIAL) / np.log(largest)


def _equal_leads(c: SingleOrbitalChain) -> np.ndarray:
    """`leads` of `collinear_scattering`."""
    last = len(c.onsite) - 1
    known = [(c.onsite[0][s], c.hopping[0], c.hopping[last]) for s in range(2)]
    known += [(c.onsite[last][s], c.hopping[last - 1], c.hopping[last + 1]) for s in range(2)]
    return np.array([known.index(lead) for lead in known]).reshape(2, 2)


def _blocks(c: SingleOrbitalChain, kset: KSet) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first point, shapes) of blocks of momenta; whole rows of a full mesh."""
    if isinstance(kset, KMesh) and kset.symmetry is None:
        first, second = kset.take(np.arange(kset.n1) * kset.n2)[0][:, 0], kset.take(np.arange(kset.n2))[0][:, 1]
        rows = max(1, CHUNK // kset.n2)
        for row in range(0, kset.n1, rows):
            yield row * kset.n2, c.catalogue.shapes_of_rows(first[row : row + rows], second)
        return
    for start in range(0, kset.size, CHUNK):
        yield start, c.catalogue.shapes(kset.take(np.arange(start, min(start + CHUNK, kset.size)))[0])


def _phase(chain: Chain, kset: KSet) -> np.ndarray | None:
    """Phase of the hoppings on the way from the first to the last layer, which the kernels leave out; None if it is 1.

    The Green function from the first to the last layer holds V^dagger of every bond between them.
    """
    phase = np.ones(1, dtype=complex)
    constant = all(len(bond.vectors) == 1 and not bond.vectors.any() for bond in chain.bond[1:-1])
    k = np.zeros((1, 2)) if constant else kset.points
    for bond in chain.bond[1:-1]:
        value = bond.at(k)[:, 0, 0].conj()
        size = np.abs(value)
        phase = phase * np.divide(value, size, out=np.ones_like(value), where=size > 0)
    return None if np.all(phase == 1) else phase

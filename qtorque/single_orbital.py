"""Stacks with one orbital and two spins on every element of the chain, as the compiled kernels take them.

`qtorque.joins` and `qtorque.amplitudes` serve them where hoppings leave spin alone and every element has one spin axis;
`Sweeps` in `qtorque.green` serves all others. On-site energies and squared hoppings are then real functions of k, most
often one and the same in-plane band energy apart from constants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qtorque.chain import PARALLEL_TOLERANCE, SAME_BLOCK, Axis, Chain, Fourier

Z_AXIS = (0.0, 0.0, 1.0)

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
    def halves(self) -> tuple[tuple["Place", ...], tuple["Place", ...]]:
        """For both sides, what a half that ends in an element is known by: entry e belongs to element e."""
        count = len(self.onsite)
        left = self._places(range(count))
        return left, self._places(range(count - 1, -1, -1))[::-1]

    @property
    def inner_elements(self) -> tuple[int, int]:
        """The first and the last element that are not like a lead's own cells next to it; first > last if all are."""
        last = len(self.onsite) - 1
        first, final = 1, last - 1
        while first < last and self._like_lead(first, 0, self.hopping[first - 1], self.hopping[last]):
            first += 1
        while final > first and self._like_lead(final, last, self.hopping[final], self.hopping[last + 1]):
            final -= 1
        return first, final

    def may_have_states(self, low: float, high: float) -> bool:
        """False if no state of the open region lies between two energies, by Gershgorin's theorem.

        The self-energy of a lead is at most v^2/v_lead.
        """
        last, (first, final) = len(self.onsite) - 1, self.inner_elements
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

    def _places(self, order: range) -> tuple["Place", ...]:
        places: list[Place] = []
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
            places.append(Place(number, (axis or Z_AXIS) if collinear else None))
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
class Place:
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
class Group:
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
        self._groups: dict[int, list[Group]] = {}

    def groups(self, bond: int) -> list[Group]:
        """The chains sorted by their halves at a cut."""
        if bond not in self._groups:
            members: dict[tuple[int, int], list[tuple]] = {}
            for number, c in enumerate(self.chains):
                left, right = c.halves[0][bond], c.halves[1][bond + 1]
                members.setdefault((left.number, right.number), []).append((number, left.axis, right.axis))
            self._groups[bond] = [
                Group(np.array(numbers), _directions(left), _directions(right))
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

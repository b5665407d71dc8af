"""From Kwant builders to the Bloch blocks of a chain of layers.

`layered` reads sites, hoppings and symmetry of a region that is periodic in the plane and of its two leads, sorts the
sites into layers along the transport direction, and keeps every block as a finite Fourier sum

    H_l(k) = sum_R H_l(R) exp(i k.R),    V_l(k) = sum_R V_l(R) exp(i k.R),

which is then evaluated for many k at once. V_l is the hopping block from layer l + 1 to layer l. Monolayers are
grouped into principal layers wherever a hopping reaches further than the next one.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import kwant
import numpy as np
import tinyarray

from qtorque.chain import PARALLEL_TOLERANCE, Chain, Fourier, shared_fourier
from qtorque.errors import InputError
from qtorque.stack import Stack, wrap

SAME_HEIGHT = 1e-6
"""Sites closer than this (in units of the lead's period along the transport direction) lie in one monolayer."""
SAME_PERIOD = 1e-8
"""Relative tolerance on the equality of the in-plane vectors of region and leads."""
HERMITICITY_TOLERANCE = 1e-12
"""Relative to the largest matrix element."""
PROBE_ANGLE = 1.0
"""rad; a general position, at which no two magnets that can turn against each other are parallel."""


@dataclass(frozen=True, eq=False)
class _Term:
    """One matrix element of the builders: value(*sites, parameters) adds to a block.

    `row` and `column` are (element of the chain, first index in its block), `vector` is the in-plane R.
    """

    value: object
    sites: tuple
    names: tuple[str, ...]
    row: tuple[int, int]
    column: tuple[int, int]
    vector: tuple[int, int]

    def evaluate(self, params: Mapping) -> np.ndarray:
        """The matrix at these parameters."""
        if not callable(self.value):
            return np.atleast_2d(np.asarray(self.value, dtype=complex))
        missing = [name for name in self.names if name not in params]
        if missing:
            raise InputError(f"params lacks {', '.join(missing)}, asked for by a value function; give params=")
        return np.atleast_2d(np.asarray(self.value(*self.sites, *(params[n] for n in self.names)), dtype=complex))


@dataclass(frozen=True, eq=False)
class LayeredSystem:
    """A stack of layers between two leads, ready to be evaluated at many k.

    Made by `layered`; stands wherever a `Stack` does.

    Attributes
    ----------
    builders
        (region, left lead, right lead), the Kwant builders it was read from.
    params
        Function (angle, voltage) -> dict of Kwant parameters.
    layer_names
        Label of every layer of the region.
    area
        In-plane cell, nm^2.
    has_barrier
        False if the bias drops nowhere, None if that is not known.
    fixed_index, free_index
        Which of `magnets` are the fixed and the free one.
    dimensions
        Orbitals times two of every element of the chain.
    terms
        The matrix elements of the builders, sorted into blocks.
    probe
        Parameters at which touching magnets point in different directions.
    magnetizations
        Names of the parameters that hold the directions of magnets: what changes sign with all of them is the exchange.
        Needed where spin-orbit coupling hides it; None: it is the part of H that depends on spin.
    reach
        Monolayers that a layer holds at least, so that hoppings reach the next one at most.
    """

    builders: tuple[kwant.Builder, kwant.Builder, kwant.Builder]
    params: Callable[[float | None, float], Mapping]
    layer_names: tuple[str, ...]
    area: float
    has_barrier: bool | None
    fixed_index: int
    free_index: int
    dimensions: tuple[int, ...]
    terms: tuple[_Term, ...]
    probe: Mapping
    magnetizations: tuple[str, ...] | None = None
    reach: int = 1

    def __repr__(self) -> str:
        return f"LayeredSystem({self.layers} layers, {len(self.terms)} matrix elements)"

    @property
    def layers(self) -> int:
        """Number of layers of the region."""
        return len(self.dimensions) - 2

    def chain(self, angle: float | None = None, voltage: float = 0.0) -> Chain:
        """The blocks with the free magnet at `angle` (rad; None: as declared) and the bias `voltage` (V)."""
        return self._evaluate(self.params(angle, voltage))

    def wrapped(self) -> kwant.system.FiniteSystem:
        """The finalised Kwant system with in-plane phases as parameters k_x, k_y."""
        return wrap(*self.builders)

    @cached_property
    def magnets(self) -> tuple[range, ...]:
        """The elements of every magnet, from left to right: maximal runs of magnetic elements with one direction.

        Refused for an element without a single direction: it holds two magnets, or spin-orbit coupling.
        """
        runs: list[range] = []
        previous = None
        chain = self._evaluate(self.probe)
        for e in range(len(chain.onsite)):
            part = chain.exchange_of(e).spin_part
            axis = part.axis
            if not part.collinear:
                raise InputError(
                    f"{self._place(e)} has no single direction of its exchange: it holds two magnets; hoppings reach "
                    f"{self.reach} monolayer(s) further, so a magnet between two others needs {self.reach} of them, as "
                    "do layers of a lead at the ends of the region; of a lattice with spin-orbit coupling name the "
                    "parameters of the magnets, magnetizations="
                )
            if axis is not None and previous is not None and np.dot(axis, previous) > 1 - PARALLEL_TOLERANCE:
                runs[-1] = range(runs[-1].start, e + 1)
            elif axis is not None:
                runs.append(range(e, e + 1))
            previous = axis
        return tuple(runs)

    @property
    def fixed(self) -> range:
        """Elements of the fixed magnet."""
        return self._magnet(self.fixed_index)

    @property
    def free(self) -> range:
        """Elements of the free magnet."""
        return self._magnet(self.free_index)

    def _magnet(self, index: int) -> range:
        if len(self.magnets) < 2:
            raise InputError(
                f"the stack has {len(self.magnets)} magnet(s); a torque between magnets needs two, "
                "parted by a non-magnetic layer or by magnet= names"
            )
        return self.magnets[index]

    def _evaluate(self, params: Mapping) -> Chain:
        chain = self._blocks(params)
        if self.magnetizations is None:
            return chain
        opposite = {name: -np.asarray(params[name], dtype=float) for name in self.magnetizations}
        reversed_chain = self._blocks({**params, **opposite})
        return replace(chain, exchange=tuple(map(_odd_part, chain.onsite, reversed_chain.onsite)))

    def _blocks(self, params: Mapping) -> Chain:
        """The blocks without a separate exchange."""
        blocks: dict[tuple[int, int], dict[tuple[int, int], np.ndarray]] = {}
        for term in self.terms:
            value = term.evaluate(params)
            if not np.all(np.isfinite(value)):
                raise InputError(f"a value in {self._place(term.row[0])} is not finite; check the builder and params")
            (e, i), (f, j) = term.row, term.column
            rows, columns = value.shape
            block = blocks.setdefault((e, f), {})
            size = (self._size(e), self._size(f))
            target = block.setdefault(term.vector, np.zeros(size, dtype=complex))
            target[i : i + rows, j : j + columns] += value
        count = len(self.dimensions)

        def fourier(e: int, f: int) -> Fourier:
            parts = blocks.get((e, f)) or {(0, 0): np.zeros((self._size(e), self._size(f)), dtype=complex)}
            return shared_fourier(np.array(list(parts)), np.array(list(parts.values())))

        chain = Chain(
            tuple(fourier(e, e) for e in range(count)),
            (*(fourier(b, b + 1) for b in range(count - 2)), fourier(count - 1, count - 2).adjoint),
            fourier(0, -1),
            fourier(count - 1, count),
        )
        for e, onsite in enumerate(chain.onsite):
            _check_hermitian(onsite, self._place(e))
        return chain

    def _size(self, element: int) -> int:
        return self.dimensions[min(max(element, 0), len(self.dimensions) - 1)]

    def _place(self, element: int) -> str:
        if element == 0:
            return "the left lead"
        return "the right lead" if element > self.layers else f"the layer '{self.layer_names[element - 1]}'"


def layered(
    region: kwant.Builder,
    left: kwant.Builder,
    right: kwant.Builder,
    params: Callable[[float | None, float], Mapping] | None = None,
    *,
    fixed: int = 0,
    free: int = -1,
    layer_names: tuple[str, ...] | None = None,
    magnetizations: tuple[str, ...] | None = None,
    layer_magnets: tuple[str | None, ...] | None = None,
) -> LayeredSystem:
    """Read the layers of a stack written in plain Kwant.

    Parameters
    ----------
    region
        Scattering region with `TranslationalSymmetry(a1, a2)`; lengths in nm, energies in eV, spin as the last tensor
        factor on each site.
    left, right
        Leads with a third vector besides a1, a2, at the lower and the upper end of the region along +z. The region
        must end in full cells of the leads, as for `kwant.Builder.attach_lead`.
    params
        Function (angle, voltage) -> dict of the parameters of the value functions; called with angle None for the
        system as it stands.
    fixed, free
        Numbers of the fixed and the free magnet, counted from the left (negative: from the right).
    layer_names
        Labels of the monolayers of the region.
    magnetizations
        Of a lattice with spin-orbit coupling, the names of the parameters that are directions of magnets, () if there
        are none; the exchange is what changes sign with all of them. None: all that depends on spin is exchange.
    layer_magnets
        The magnet that every monolayer of the region belongs to, None for one without. Where hoppings reach further
        than the next monolayer, layers are then grouped such that no group holds two magnets, if that can be.

    Raises
    ------
    InputError
        For a missing or unlike in-plane symmetry, a region that does not end in a cell of the lead, an odd number of
        orbitals on a site, values that are not finite or not Hermitian (region and leads), missing parameters.
    """
    plane = _in_plane_vectors(region)
    normal = np.cross(*plane)
    area = float(np.linalg.norm(normal))
    up = normal / area * (1 if normal[2] >= 0 else -1)
    monolayers = _monolayers(region, up)
    names = layer_names or tuple(str(i + 1) for i in range(len(monolayers)))
    if len(names) != len(monolayers):
        raise InputError(f"layer_names has {len(names)} names for the {len(monolayers)} monolayers of the region")
    magnets = layer_magnets or (None,) * len(monolayers)
    if len(magnets) != len(monolayers):
        raise InputError(f"layer_magnets has {len(magnets)} names for the {len(monolayers)} monolayers of the region")
    below = _lead_cells(left, plane, -up, monolayers[0], "left")
    above = _lead_cells(right, plane, up, monolayers[-1], "right")
    reach = _reach(region, monolayers, (left, below[0]), (right, above[0]))
    sizes = _group_sizes(magnets, reach)
    ends = np.cumsum(sizes)
    groups = [[s for m in monolayers[end - size : end] for s in m] for size, end in zip(sizes, ends, strict=True)]
    labels = tuple(" + ".join(names[end - size : end]) for size, end in zip(sizes, ends, strict=True))
    cells = {-1: below[1], 0: below[0], len(groups) + 1: above[0], len(groups) + 2: above[1]}
    cells |= {e + 1: group for e, group in enumerate(groups)}
    places, dimensions = _places(region, cells)
    terms = _terms(region, left, right, cells, places)
    get = params or (lambda angle, voltage: {})
    system = LayeredSystem(
        builders=(region, left, right),
        params=get,
        layer_names=labels,
        area=area,
        has_barrier=None,
        fixed_index=fixed,
        free_index=free,
        dimensions=tuple(dimensions[e] for e in range(len(groups) + 2)),
        terms=terms,
        probe=get(PROBE_ANGLE, 0.0),
        magnetizations=None if magnetizations is None else tuple(magnetizations),
        reach=reach,
    )
    system.chain()
    return system


def as_layered(system) -> LayeredSystem:
    """A `Stack` or what `layered` made, as a `LayeredSystem`."""
    if isinstance(system, LayeredSystem):
        return system
    if not isinstance(system, Stack):
        raise InputError(f"{type(system).__name__} is no stack; give a qt.Stack or the result of qt.layered(...)")
    names = list(system.magnets)
    coupled = any(m.piece.material.spin_orbit_coupled for m in system.monolayers)
    made = layered(
        *system.builders(),
        params=system.params,
        layer_names=tuple(m.label for m in system.monolayers),
        magnetizations=tuple(f"m_{name}" for name in names) if coupled else None,
        layer_magnets=tuple(m.magnet for m in system.monolayers),
    )
    roles = [names.index(n) if n in names else i for n, i in ((system.fixed_magnet, 0), (system.free_magnet, -1))]
    # Every magnet in a direction of its own, so that touching magnets are told apart.
    directions = {f"m_{n}": (np.sin(i + 0.5), 0.0, np.cos(i + 0.5)) for i, n in enumerate(names)}
    return replace(
        made,
        has_barrier=system.has_barrier,
        fixed_index=roles[0],
        free_index=roles[1],
        probe={**system.params(), **directions},
    )


def _in_plane_vectors(region: kwant.Builder) -> np.ndarray:
    """The two in-plane vectors of the region as rows of three components."""
    periods = _periods(region)
    if periods.shape != (2, 3):
        raise InputError(
            f"the region has periods {periods.tolist()}; give it kwant.TranslationalSymmetry(a1, a2) with two vectors "
            "of three components, transport along z"
        )
    return periods


def _periods(builder: kwant.Builder) -> np.ndarray:
    return np.array([list(p) for p in getattr(builder.symmetry, "periods", ())], dtype=float)


def _monolayers(region: kwant.Builder, up: np.ndarray) -> list[list]:
    """The sites of the region, sorted by height and gathered where the height is the same."""
    sites = sorted(region.sites(), key=lambda s: (round(_height(s, up) / SAME_HEIGHT), s))
    if not sites:
        raise InputError("the region has no sites; add at least one layer")
    layers = [[sites[0]]]
    for site in sites[1:]:
        if _height(site, up) - _height(layers[-1][0], up) > SAME_HEIGHT:
            layers.append([])
        layers[-1].append(site)
    return layers


def _lead_cells(
    lead: kwant.Builder, plane: np.ndarray, outward: np.ndarray, edge: list, name: str
) -> tuple[list, list]:
    """The sites of a lead in the cell next to the region, and in the cell beyond it, in the same order.

    The cell holds as many periods as the longest hopping reaches, so that only neighbouring cells are coupled.
    """
    periods = _periods(lead)
    scale = np.linalg.norm(plane, axis=1).max()
    whole = periods.shape == (3, 3)
    planar = [
        i for i, p in enumerate(periods) if whole and np.linalg.norm(plane - p, axis=1).min() < SAME_PERIOD * scale
    ]
    if len(planar) != 2:
        raise InputError(
            f"the {name} lead has the periods {periods.tolist()}; it needs three, two of them the region's "
            f"in-plane vectors {plane.tolist()}"
        )
    position = ({0, 1, 2} - set(planar)).pop()
    rise = float(periods[position] @ outward)
    if abs(rise) < SAME_HEIGHT * scale:
        raise InputError(f"the third period of the {name} lead lies in the plane of the layers; it must leave it")

    def move(site, steps: int):
        vector = [0, 0, 0]
        vector[position] = steps * int(np.sign(rise))
        return lead.symmetry.act(tinyarray.array(vector), site)

    period, start = abs(rise), max(_height(s, outward) for s in edge)
    longest = max((abs(_height(a, outward) - _height(b, outward)) for a, b in lead.hoppings()), default=0.0)
    count = max(1, int(np.ceil((longest - SAME_HEIGHT) / period)))
    cell = []
    for site in lead.sites():
        first = int(np.floor((start + SAME_HEIGHT - _height(site, outward)) / period)) + 1
        cell += [move(site, first + i) for i in range(count)]
    cell.sort(key=lambda s: (round(_height(s, outward) / SAME_HEIGHT), s))
    return cell, [move(site, count) for site in cell]


def _reach(region: kwant.Builder, monolayers: list[list], *leads: tuple[kwant.Builder, list]) -> int:
    """How many monolayers a principal layer needs at least, so that hoppings reach the next one at most."""
    home = _home(region)
    number = {home(site)[0]: m for m, layer in enumerate(monolayers) for site in layer}
    reach = max([1, *(abs(number[home(a)[0]] - number[home(b)[0]]) for a, b in region.hoppings())])
    for lead, cell in leads:
        hit = {number[home(b)[0]] for a in cell for b in lead.neighbors(a) if home(b)[0] in number}
        if hit:
            depth = max(hit) + 1 if lead is leads[0][0] else len(monolayers) - min(hit)
            reach = max(reach, depth)
    return reach


def _group_sizes(magnets: Sequence[str | None], reach: int) -> list[int]:
    """Monolayers of each principal layer: as many layers as can be, none with two magnets if possible."""
    count = len(magnets)
    # The best grouping of what is left from a monolayer on; a group of 2 reach or more could be split.
    best: dict[int, list[int]] = {count: []}
    for start in range(count - reach, -1, -1):
        for size in range(reach, min(2 * reach - 1, count - start) + 1):
            rest = best.get(start + size)
            single = len(set(magnets[start : start + size]) - {None}) <= 1
            if rest is not None and single and len(rest) + 1 > len(best.get(start, [])):
                best[start] = [size, *rest]
    if 0 in best:
        return best[0]
    return [count] if count < reach else _group_sizes((None,) * count, reach)


def _places(region: kwant.Builder, cells: Mapping[int, list]) -> tuple[dict, dict[int, int]]:
    """Where each site (by its representative in the plane) stands: (element, first index); and each element's size."""
    home = _home(region)
    places, dimensions = {}, {}
    for element, cell in cells.items():
        size = 0
        for site in cell:
            if site.family.norbs is None or site.family.norbs % 2:
                raise InputError(
                    f"the site family {site.family.name or site.family!r} has norbs={site.family.norbs}; give an even "
                    "number, with spin as the last tensor factor"
                )
            places[home(site)[0]] = (element, size)
            size += site.family.norbs
        dimensions[element] = size
    return places, dimensions


def _terms(region, left, right, cells: Mapping[int, list], places: Mapping) -> tuple[_Term, ...]:
    """The matrix elements in the rows of every element, towards itself and the next element (leads: outwards too).

    Hoppings between a lead and the region are the lead's, as in `kwant.Builder.attach_lead`.
    """
    home = _home(region)
    last = max(cells) - 1
    builders = {0: (left, (0, -1, 1), "left"), last: (right, (last, last + 1, last - 1), "right")}
    terms = []
    for element in range(last + 1):
        builder, kept, name = builders.get(element, (region, (element, element + 1), ""))
        for a in cells[element]:
            row, shift = home(a)
            fundamental = builder.symmetry.to_fd(a)
            onsite = builder[a]
            terms.append(_Term(onsite, (fundamental,), _parameters(onsite, 1), places[row], places[row], (0, 0)))
            for b in builder.neighbors(a):
                column, other = home(b)
                reached = places[column][0] if column in places else None
                if name and reached not in kept:
                    raise InputError(
                        f"a hopping of the {name} lead reaches a site at {tuple(b.pos)} that the region lacks; end the "
                        f"region in a full cell of that lead"
                    )
                if reached in kept:
                    hopping = builder[a, b]
                    vector = (other[0] - shift[0], other[1] - shift[1])
                    sites = builder.symmetry.to_fd(a, b)
                    terms.append(_Term(hopping, sites, _parameters(hopping, 2), places[row], places[column], vector))
    return tuple(terms)


def _home(region: kwant.Builder) -> Callable:
    """site -> (its representative in the plane, the lattice vector that leads from there to the site)."""

    def home(site):
        vector = region.symmetry.which(site)
        return region.symmetry.act(-vector, site), (int(vector[0]), int(vector[1]))

    return home


def _height(site, up: np.ndarray) -> float:
    return float(np.asarray(site.pos) @ up)


def _parameters(value, sites: int) -> tuple[str, ...]:
    """Names of the Kwant parameters of a value function, after its sites."""
    return tuple(inspect.signature(value).parameters)[sites:] if callable(value) else ()


def _odd_part(block: Fourier, opposite: Fourier) -> Fourier:
    """Half the difference of a block and the one with all magnets reversed: the exchange."""
    difference = 0.5 * (block.matrices - opposite.matrices)
    kept = difference.any(axis=(1, 2))
    if not kept.any():
        return shared_fourier(np.zeros((1, 2), dtype=int), np.zeros_like(difference[:1]))
    return shared_fourier(block.vectors[kept], difference[kept])


def _check_hermitian(block: Fourier, place: str) -> None:
    """H(R) = H(-R)^dagger, or the block is refused."""
    difference = block.hermitian_error
    if difference > HERMITICITY_TOLERANCE * max(1.0, float(np.abs(block.matrices).max(initial=0.0))):
        raise InputError(f"H of {place} is not Hermitian (off by {difference:.3g} eV); mend its on-site values")

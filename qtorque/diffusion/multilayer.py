"""Stacks of layers with the current perpendicular to them: Valet-Fert, collinear or not, without a mesh.

The accumulation in every layer is a sum of exponentials that is known from the potentials at its faces; the faces are
the nodes of a network (`qtorque.diffusion.network`). For collinear magnets this is the model of T. Valet and A. Fert,
Phys. Rev. B 48, 7099 (1993); else that of circuit theory with diffusion in the layers (both from memory). SI, per area,
spin frame.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qtorque.diffusion.circuit import (
    axes_or_default,
    is_magnetic,
    require_transverse_laws,
    terminal_condition,
    torque_of,
    typical,
)
from qtorque.diffusion.elements import Element, Interface, Layer, Lead, Reservoir, Terminal, Vector
from qtorque.diffusion.network import COMPONENTS, NetworkSolution, admittances, at_node, solve_network, wave_number
from qtorque.errors import InputError, finite_number
from qtorque.spin import unit_vector

PARALLEL_COSINE = 1 - 1e-12
"""Adjacent layers whose directions agree this well are one magnet."""
EDGE_TOLERANCE = 1e-9
"""Relative to the thickness of the stack: a position this close outside counts as its edge."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Magnet:
    """A maximal run of magnetic elements with one direction; `elements` are numbers in the stack.

    `left_lead` and `right_lead` tell whether a magnetic lead goes on with it. Layers and leads of different names are
    different magnets even where they touch and are parallel; one without a name goes on with its neighbour. An
    interface between two such magnets counts with the left one.
    """

    name: str
    elements: range
    direction: tuple[float, float, float]
    left_lead: bool = False
    right_lead: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multilayer:
    """Layers and interfaces from left to right between two ends. Neighbours without an interface touch transparently.

    Parameters
    ----------
    left, right
        A `Lead` (semi-infinite) or `Reservoir`.
    elements
        `Layer`s and `Interface`s. An interface without magnetisation of its own belongs to the magnetic layer or lead
        beside it; between two that are not parallel it is refused. Between two interfaces is a node of normal metal.

    Raises
    ------
    InputError
        For an empty stack, what is no element or end, an interface between unlike magnets, one with an asymmetry far
        from all magnets.
    """

    left: Terminal
    elements: Sequence[Element]
    right: Terminal

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(self.elements))
        if not self.elements:
            raise InputError("elements=[]: give at least one Layer or Interface")
        for n, element in enumerate(self.elements):
            if not isinstance(element, Element):
                raise InputError(f"elements[{n}]={element!r} is a {type(element).__name__}; give a Layer or Interface")
        for side in ("left", "right"):
            end = getattr(self, side)
            if not isinstance(end, Terminal):
                raise InputError(f"{side}={end!r} is a {type(end).__name__}; give a Lead or Reservoir")
            if end.voltage is None:
                raise InputError(f"{side}: voltage=None; the current flows between the ends, give both a voltage")
            if isinstance(end, Lead) and end.area is not None:
                raise InputError(f"{side}: area={end.area!r}; a multilayer is per area, leave it out")
        self.axes  # noqa: B018 -- refuses interfaces without direction

    @functools.cached_property
    def axes(self) -> tuple[Vector | None, ...]:
        """The magnetisation of every element, None of a normal one."""
        found = [element.magnetization for element in self.elements]
        for n, element in enumerate(self.elements):
            beside = [axis for axis in self._neighbours(n) if axis is not None]
            if isinstance(element, Interface) and element.magnetization is not None:
                if not all(_parallel(element.magnetization, axis) for axis in beside):
                    raise InputError(
                        f"{self._name(n)} has a magnetization of its own beside a magnet of another direction; put a "
                        "normal layer between, a magnet lumped into an interface lies between normal metals"
                    )
            elif isinstance(element, Interface):
                if len(beside) == 2 and not _parallel(*beside):
                    raise InputError(
                        f"{self._name(n)} lies between two magnets of different directions; put a normal layer between"
                    )
                if not beside and is_magnetic(element):
                    raise InputError(f"{self._name(n)}: a magnetic interface far from magnets; give it magnetization=")
                found[n] = beside[0] if beside else None
        return tuple(found)

    @functools.cached_property
    def magnets(self) -> tuple[Magnet, ...]:
        """From left to right; named by their layers, else their lead, else their interfaces, else by number from 1."""
        items = [self.left, *self.elements, self.right]
        everything = [_metal_axis(self.left), *self.axes, _metal_axis(self.right)]
        runs: list[list[int]] = []
        called = ""
        for n, axis in enumerate(everything):
            if axis is None:
                continue
            name = _metal_name(items[n])
            before = everything[n - 1] if n else None
            # Two lumped magnets that share a node are two, however they point.
            lumped = isinstance(items[n], Interface) and isinstance(items[n - 1], Interface)
            renamed = bool(name and called and name != called)
            if before is None or lumped or renamed or not _parallel(before, axis):
                runs.append([])
                called = ""
            runs[-1].append(n)
            called = called or name
        found = []
        for number, run in enumerate(runs, start=1):
            inside = [n - 1 for n in run if 0 < n <= len(self.elements)]
            # A lead alone has no element; the empty range lies where it touches the stack.
            start = inside[0] if inside else min(run[0], len(self.elements))
            found.append(
                Magnet(
                    name=_name_of([items[n] for n in run]) or str(number),
                    elements=range(start, start + len(inside)),
                    direction=tuple(np.asarray(everything[run[0]], dtype=float).tolist()),
                    left_lead=run[0] == 0,
                    right_lead=run[-1] == len(items) - 1,
                )
            )
        for name, count in Counter(magnet.name for magnet in found).items():
            if count > 1:
                raise InputError(f"two magnets are called {name!r}; give one layer of each a name= of its own")
        return tuple(found)

    def magnet(self, name: str | None, default: int) -> Magnet:
        """The magnet of a name, or number `default` in order."""
        if name is None:
            if len(self.magnets) < 2:
                raise InputError(f"{len(self.magnets)} magnet(s) in the stack; an angle needs two")
            return self.magnets[default]
        for magnet in self.magnets:
            if magnet.name == name:
                return magnet
        raise InputError(f"magnet {name!r} is unknown; they are {', '.join(m.name for m in self.magnets)}")

    def turned(self, name: str, direction: Vector) -> Multilayer:
        """The same stack with one magnet in another direction (unit vector).

        Magnetic layers and leads without a name take that of their magnet, so that two that touch stay two where they
        become parallel.
        """
        chosen = self.magnet(name, 0)
        m = tuple(unit_vector(direction).tolist())
        items: list = [self.left, *self.elements, self.right]
        for magnet in self.magnets:
            run = [n + 1 for n in magnet.elements]
            run += [0] * magnet.left_lead + [len(items) - 1] * magnet.right_lead
            for n in run:
                # An interface takes the direction of its magnet, unless it holds one of its own.
                changes: dict = {"magnetization": m} if magnet is chosen and items[n].magnetization is not None else {}
                if not isinstance(items[n], Interface) and not items[n].name:
                    changes["name"] = magnet.name
                if changes:
                    items[n] = dataclasses.replace(items[n], **changes)
        return Multilayer(left=items[0], elements=items[1:-1], right=items[-1])

    @functools.cached_property
    def positions(self) -> np.ndarray:
        """z of the node before every element and after the last, m; interfaces have no thickness."""
        thickness = [element.thickness if isinstance(element, Layer) else 0.0 for element in self.elements]
        return np.concatenate([[0.0], np.cumsum(thickness)])

    def _neighbours(self, n: int) -> tuple[Vector | None, Vector | None]:
        """Magnetisations of the metals on both sides."""
        before = self.elements[n - 1] if n else self.left
        after = self.elements[n + 1] if n + 1 < len(self.elements) else self.right
        return _metal_axis(before), _metal_axis(after)

    def _name(self, n: int) -> str:
        name = self.elements[n].name
        return f"element {n}" + (f" ({name!r})" if name else "")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SpinResolved:
    """mu_up, mu_down in V, j_up, j_down in A/m^2 of electrons to the right, each of the shape of the positions."""

    mu_up: np.ndarray
    mu_down: np.ndarray
    j_up: np.ndarray
    j_down: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MultilayerSolution:
    """Currents, potentials and torques of a stack under a voltage. Per area, SI.

    Attributes
    ----------
    multilayer : Multilayer
    voltage : V
        Between the ends, those of their own included.
    network : NetworkSolution
        Potentials of the faces, currents into the elements.
    """

    multilayer: Multilayer
    voltage: float
    network: NetworkSolution

    @property
    def current_density(self) -> float:
        """A/m^2, positive where electrons flow from left to right."""
        # The same everywhere but for rounding, which is small where the voltage falls and cancels in the sum of it.
        resistances = [element.resistance * (1 - element.asymmetry**2) for element in self.multilayer.elements]
        return float(np.average(self.network.currents[:, 0, 0], weights=resistances))

    @property
    def resistance_area(self) -> float:
        """Voltage over current density, Ohm m^2; between leads the excess over their bulk.

        InputError at no voltage, and where an end is a source of spins, which drive a current too.
        """
        require_no_spin_source(self.multilayer)
        if self.voltage == 0:
            raise InputError("voltage=0: the resistance is a ratio to it; solve with a voltage")
        return self.voltage / self.current_density

    def potential(self, z: ArrayLike, *, side: str = "right") -> np.ndarray:
        """mu_0 at positions z (m), V. On an interface what stands on that side of it."""
        return self._profile(z, side)[0][..., 0]

    def spin_accumulation(self, z: ArrayLike, *, side: str = "right") -> np.ndarray:
        """mu_s at positions z (m), V: (..., 3). On an interface what stands on that side of it."""
        return self._profile(z, side)[0][..., 1:]

    def spin_current(self, z: ArrayLike, *, side: str = "right") -> np.ndarray:
        """j_s = j_up - j_down at positions z (m), A/m^2 of electrons to the right: (..., 3). `side` as above."""
        return self._profile(z, side)[1][..., 1:]

    def spin_resolved(self, z: ArrayLike, *, axis: Vector | None = None, side: str = "right") -> SpinResolved:
        """Potentials and currents of both spins at positions z (m), along an axis.

        mu_up,down = mu_0 +- mu_s.a/2 and j_up,down = (j +- j_s.a)/2.

        Parameters
        ----------
        axis : unit vector a or None
            None takes the magnetisation of the metal at each position, z in normal metals.
        side : "left" or "right"
            Of the interface, where one lies at z.
        """
        potentials, currents = self._profile(z, side)
        if axis is None:
            multilayer = self.multilayer
            metals = [multilayer.left, *multilayer.elements, multilayer.right]
            place = self._place(z, side)[1]
            axes = axes_or_default([_metal_axis(metal) for metal in metals])[place + 1].reshape(*np.shape(z), 3)
        else:
            axes = unit_vector(axis, "axis")
        mu_s, j_s = (np.sum(field[..., 1:] * axes, axis=-1) for field in (potentials, currents))
        return SpinResolved(
            mu_up=potentials[..., 0] + mu_s / 2,
            mu_down=potentials[..., 0] - mu_s / 2,
            j_up=(currents[..., 0] + j_s) / 2,
            j_down=(currents[..., 0] - j_s) / 2,
        )

    def spin_currents_at_ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Spin currents that enter at the left end and leave at the right one, A/m^2."""
        return self.network.currents[0, 0, 1:].copy(), -self.network.currents[-1, 1, 1:]

    def torque(self, name: str) -> np.ndarray:
        """The torque on a magnet: hbar/2e times the spin current across m that it takes up, J/m^2.

        All of the transverse part counts, that which a finite decay length takes to the lattice too. A magnetic lead
        takes what flows into it.
        """
        magnet = self.multilayer.magnet(name, 0)
        into = self.network.currents
        absorbed = np.zeros(3)
        if magnet.elements:
            absorbed = into[magnet.elements[0], 0, 1:] + into[magnet.elements[-1], 1, 1:]
        # What leaves the last element flows on into the lead and never comes back.
        if magnet.left_lead:
            absorbed = absorbed - into[0, 0, 1:]
        if magnet.right_lead:
            absorbed = absorbed - into[-1, 1, 1:]
        return torque_of(absorbed, np.array(magnet.direction))

    def _place(self, z: ArrayLike, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Positions, flat, and the layer that each is in: -1 and the number of elements are the ends beyond the stack.

        An end is met only on the far side of an interface at the edge; a layer there reaches up to it.
        """
        elements, edges = self.multilayer.elements, self.multilayer.positions
        if side not in ("left", "right"):
            raise InputError(f"side={side!r}; give 'left' or 'right'")
        flat = np.asarray(z, dtype=float).ravel()
        slack = EDGE_TOLERANCE * edges[-1]
        if not np.all((flat >= -slack) & (flat <= edges[-1] + slack)):
            raise InputError(f"z={z!r} leaves the stack; give positions from 0 to {edges[-1]:.6g} m")
        if edges[-1] == 0:
            raise InputError("the stack has interfaces only; there is no position inside it")
        flat = np.clip(flat, 0.0, edges[-1])
        # Right of a position: what follows the last node there; left of it: what lies before the first.
        place = np.searchsorted(edges, flat, side="right" if side == "right" else "left") - 1
        first, last = (int(isinstance(elements[n], Layer)) for n in (0, -1))
        return flat, np.clip(place, first - 1, len(elements) - last)

    def _profile(self, z: ArrayLike, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Potentials and currents at positions, (..., 4) each."""
        multilayer, network = self.multilayer, self.network
        flat, place = self._place(z, side)
        potentials, currents = np.empty((flat.size, 4)), np.empty((flat.size, 4))
        for n in np.unique(place):
            number, here = int(n), place == n
            if number < 0:
                potentials[here], currents[here] = network.potentials[0], network.currents[0, 0]
            elif number == len(multilayer.elements):
                potentials[here], currents[here] = network.potentials[-1], -network.currents[-1, 1]
            else:
                layer = multilayer.elements[number]
                assert isinstance(layer, Layer), "interfaces have no thickness"
                share = np.clip((flat[here] - multilayer.positions[number]) / layer.thickness, 0.0, 1.0)
                potentials[here], currents[here] = _inside(layer, network.potentials[[number, number + 1]], share)
        return potentials.reshape(*np.shape(z), 4), currents.reshape(*np.shape(z), 4)


def solve_multilayer(
    multilayer: Multilayer, *, voltage: float | None = None, current_density: float | None = None
) -> MultilayerSolution:
    """Potentials and currents of a stack at a voltage, or at the voltage that drives a current density.

    Parameters
    ----------
    voltage : V
        mu_L - mu_R over e, half of it at either end, on top of the voltages that the ends have themselves.
    current_density : A/m^2
        Of electrons from left to right. Give one of the two.

    Raises
    ------
    InputError
        Where magnets are not collinear and an interface has no mixing conductance, or a magnet no transverse length.
    """
    if (voltage is None) == (current_density is None):
        raise InputError(f"voltage={voltage!r}, current_density={current_density!r}; give one of the two")
    if voltage is not None:
        return _solved(multilayer, finite_number("voltage", voltage, "V"))
    wanted = finite_number("current_density", current_density, "A/m^2")
    rest, driven = _solved(multilayer, 0.0), _solved(multilayer, 1.0)
    volts = (wanted - rest.current_density) / (driven.current_density - rest.current_density)
    network = NetworkSolution(
        potentials=rest.network.potentials + volts * (driven.network.potentials - rest.network.potentials),
        currents=rest.network.currents + volts * (driven.network.currents - rest.network.currents),
    )
    return dataclasses.replace(driven, voltage=rest.voltage + volts * (driven.voltage - rest.voltage), network=network)


def _solved(multilayer: Multilayer, voltage: float) -> MultilayerSolution:
    elements, axes = multilayer.elements, multilayer.axes
    count = len(elements)
    pairs = np.arange(count)[:, None] + np.arange(2)
    left, right = multilayer.left, multilayer.right
    given = [(end.voltage or 0.0) + share * voltage for end, share in ((left, 0.5), (right, -0.5))]
    held = [dataclasses.replace(end, voltage=volts) for end, volts in zip((left, right), given, strict=True)]
    names = [multilayer._name(n) for n in range(count)]
    at_rest = np.zeros((count, 3))
    ends = {0: left, count: right}
    across = require_transverse_laws(elements, axes, pairs, ends, names, fed={}, precession=at_rest)
    first = [_normal_first(multilayer, n) for n in range(count)]
    Y = admittances(elements, axes_or_default(axes), first, across=across)
    scale = typical(Y)
    inner = at_node(0.0, np.zeros(COMPONENTS))
    conditions = [terminal_condition(held[0], scale), *[inner] * (count - 1), terminal_condition(held[1], scale)]
    return MultilayerSolution(
        multilayer=multilayer, voltage=given[0] - given[1], network=solve_network(pairs, Y, conditions)
    )


def _normal_first(multilayer: Multilayer, n: int) -> bool:
    """Whether the normal side of an interface is on the left; the left side where both are alike."""
    before, after = multilayer._neighbours(n)
    return before is None or after is not None


def require_no_spin_source(multilayer: Multilayer) -> None:
    """InputError where an end holds a spin accumulation: nothing is proportional to the voltage then."""
    if any(isinstance(end, Reservoir) and any(end.spin_accumulation) for end in (multilayer.left, multilayer.right)):
        raise InputError(
            "spin_accumulation of an end: it drives currents and torques too, they are not per volt; use "
            "solve_multilayer, and current_density and torque of its solution"
        )


def _metal_axis(item: Element | Terminal) -> Vector | None:
    return item.magnetization if isinstance(item, Layer | Lead) else None


def _metal_name(item: Element | Terminal) -> str:
    return item.name if isinstance(item, Layer | Lead) else ""


def _name_of(items: Sequence[Element | Terminal]) -> str:
    """The first name among the layers of a magnet, else its lead, else its interfaces."""
    for kind in (Layer, Lead, Interface):
        for item in items:
            if isinstance(item, kind) and item.name:
                return item.name
    return ""


def _parallel(a: Vector, b: Vector) -> bool:
    return float(np.dot(a, b)) > PARALLEL_COSINE


def _inside(layer: Layer, faces: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Potentials and currents at parts `share` (0 to 1) of a layer with given potentials at its faces, (..., 4)."""
    m = np.array(layer.magnetization or (0.0, 0.0, 1.0))
    R, beta = layer.resistance, layer.beta
    s = faces[:, 1:] @ m
    c = faces[:, 0] + beta / 2 * s
    c_inside = c[0] + (c[1] - c[0]) * share
    charge = np.full(share.shape, (c[0] - c[1]) / (R * (1 - beta**2)))
    s_inside, s_current = _exponentials(layer.decay, s, share, R)
    x = complex(layer.decay) if layer.transverse_decay_length is None else wave_number(layer) * layer.thickness
    across = faces[:, 1:] - s[:, None] * m
    # Multiplying mu_x + i mu_y by i turns it by a right angle about m.
    turned = np.cross(m, across)
    potentials, currents = np.empty((share.size, 4)), np.empty((share.size, 4))
    potentials[:, 0] = c_inside - beta / 2 * s_inside
    currents[:, 0] = charge
    potentials[:, 1:] = s_inside[:, None] * m
    currents[:, 1:] = (s_current + beta * charge)[:, None] * m
    for face in range(2):
        unit = np.array([1.0, 0.0]) if face == 0 else np.array([0.0, 1.0])
        weight, flow = _exponentials(x, unit, share, R)
        potentials[:, 1:] += weight.real[:, None] * across[face] + weight.imag[:, None] * turned[face]
        currents[:, 1:] += flow.real[:, None] * across[face] + flow.imag[:, None] * turned[face]
    return potentials, currents


def _exponentials(x, ends: np.ndarray, share: np.ndarray, R: float) -> tuple[np.ndarray, np.ndarray]:
    """s and -(1/2 rho*) ds/dz between its values at the faces, for a thickness of x decay lengths; no overflow."""
    if x == 0:
        return ends[0] + (ends[1] - ends[0]) * share, np.full(share.shape, (ends[0] - ends[1]) / (2 * R))
    whole = -np.expm1(-2 * x)

    def sinh(part):
        return np.exp(-x * (1 - part)) * -np.expm1(-2 * x * part) / whole

    def cosh(part):
        return np.exp(-x * (1 - part)) * (1 + np.exp(-2 * x * part)) / whole

    value = ends[0] * sinh(1 - share) + ends[1] * sinh(share)
    flow = x / (2 * R) * (ends[0] * cosh(1 - share) - ends[1] * cosh(share))
    return value, flow

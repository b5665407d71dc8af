"""Magnetoelectronic circuit theory on a graph: nodes, reservoirs, and resistors, normal or magnetic, between them.

A node is a piece of normal metal small against its spin-diffusion length and large against its mean free path, with one
distribution matrix; wires longer than that are `Layer`s with a cross-section. Spins may point anywhere at every node.
A. Brataas, Yu. V. Nazarov, G. E. W. Bauer, Phys. Rev. Lett. 84, 2481 (2000); Eur. Phys. J. B 22, 99 (2001) (from
memory). All in SI, spin frame; see `qtorque.diffusion.elements`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from qtorque.diffusion.elements import (
    NOT_MAGNETIC,
    Element,
    Interface,
    Layer,
    Lead,
    Reservoir,
    Terminal,
    Vector,
    finite_vector,
)
from qtorque.diffusion.network import (
    Condition,
    NetworkSolution,
    admittances,
    at_lead,
    at_node,
    at_reservoir,
    solve_network,
)
from qtorque.errors import InputError, finite_number
from qtorque.units import ELEMENTARY_CHARGE, HBAR

COLLINEAR_TOLERANCE = 1e-12
"""Sine of the angle below which two directions are one axis: what rounding leaves of an antiparallel pair."""
SPIN_CURRENT_TO_TORQUE = HBAR / (2 * ELEMENTARY_CHARGE)
"""J per A of spin current."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A piece of normal metal with one potential and one spin accumulation.

    Parameters
    ----------
    spin_flip_conductance : S
        The spin current lost is this times mu_s. Of a piece of volume v, resistivity rho and spin-diffusion length l it
        is v/(2 rho l^2).
    charge_current, spin_current : A
        Fed in from outside, the spin current as j_up - j_down along each axis.
    """

    spin_flip_conductance: float = 0.0
    charge_current: float = 0.0
    spin_current: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not finite_number("spin_flip_conductance", self.spin_flip_conductance, "S") >= 0:
            raise InputError(f"spin_flip_conductance={self.spin_flip_conductance!r} is negative; give one from 0 on")
        finite_number("charge_current", self.charge_current, "A")
        object.__setattr__(self, "spin_current", finite_vector("spin_current", self.spin_current, "A"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connection:
    """A resistor between two nodes or terminals.

    Parameters
    ----------
    source, target : str
        Names; an electron current from source to target counts as positive. The mixing conductance that an interface
        names is that of the source side.
    element : Layer or Interface
        A magnetic interface has a magnetization of its own here.
    area : m^2
        Cross-section.
    precession : vector, rad/s
        Angular velocity of the magnetisation: the magnet pumps spins, a spin battery. Its part along m pumps nothing.
    name : str
        To find it by in the solution; "source-target" if empty.
    """

    source: str
    target: str
    element: Element
    area: float
    precession: Vector = (0.0, 0.0, 0.0)
    name: str = ""

    def __post_init__(self) -> None:
        if not finite_number("area", self.area, "m^2") > 0:
            raise InputError(f"area={self.area!r} is out of range; give a positive number in m^2")
        object.__setattr__(self, "precession", finite_vector("precession", self.precession, "rad/s"))
        if not isinstance(self.element, Element):
            raise InputError(f"element={self.element!r} joins nothing; give a Layer or an Interface")
        if self.source == self.target:
            raise InputError(f"source=target={self.source!r}: a connection joins two nodes")
        if not self.name:
            object.__setattr__(self, "name", f"{self.source}-{self.target}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Circuit:
    """Nodes and terminals by name, and the connections between them.

    Raises
    ------
    InputError
        For names that are unknown or given twice, parts of the circuit without a voltage, a magnetic interface without
        direction.
    """

    nodes: Mapping[str, Node]
    terminals: Mapping[str, Terminal]
    connections: Sequence[Connection]

    def __post_init__(self) -> None:
        object.__setattr__(self, "connections", tuple(self.connections))
        for name in ("nodes", "terminals"):
            if not isinstance(getattr(self, name), Mapping):
                raise InputError(f"{name}={getattr(self, name)!r} has no names; give a dict of them by name")
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name, node in self.nodes.items():
            if not isinstance(node, Node):
                raise InputError(f"node {name!r} is {node!r}; give a Node")
        for name, terminal in self.terminals.items():
            if not isinstance(terminal, Terminal):
                raise InputError(f"terminal {name!r} is {terminal!r}; give a Lead or a Reservoir")
            if isinstance(terminal, Lead) and terminal.area is None:
                raise InputError(f"lead {name!r}: area=None; give its cross-section in m^2")
        twice = [name for name in self.nodes if name in self.terminals]
        if twice:
            raise InputError(f"{twice[0]!r} is both a node and a terminal; give them different names")
        if not any(terminal.voltage is not None for terminal in self.terminals.values()):
            raise InputError("no terminal has a voltage; give at least one Reservoir or Lead that does")
        if not self.connections:
            raise InputError("connections=[]: give at least one Connection")
        names = Counter(connection.name for connection in self.connections)
        for connection in self.connections:
            for end in (connection.source, connection.target):
                if end not in self.nodes and end not in self.terminals:
                    known = ", ".join([*self.nodes, *self.terminals])
                    raise InputError(f"connection {connection.name!r}: {end!r} is unknown; the nodes are {known}")
            if names[connection.name] > 1:
                raise InputError(f"connection {connection.name!r} is there twice; give each a name= of its own")
            element = connection.element
            if element.magnetization is None and is_magnetic(element):
                raise InputError(f"connection {connection.name!r}: a magnetic interface; give it a magnetization=")
            if element.magnetization is None and any(connection.precession):
                raise InputError(f"connection {connection.name!r}: precession= without magnetization=; give both")
        floating = self._floating()
        if floating:
            raise InputError(f"node {floating[0]!r} is joined to no terminal with a voltage; connect it to one")

    def _floating(self) -> list[str]:
        """Nodes and terminals from which no terminal with a voltage is reached."""
        pairs = np.array([[self.places[c.source], self.places[c.target]] for c in self.connections])
        count = len(self.places)
        graph = scipy.sparse.coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
        _, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
        held = {part[self.places[name]] for name, end in self.terminals.items() if end.voltage is not None}
        return [name for name, place in self.places.items() if part[place] not in held]

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """The number of every node and terminal."""
        return {name: number for number, name in enumerate([*self.nodes, *self.terminals])}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CircuitSolution:
    """Potentials at nodes and terminals, currents through connections."""

    circuit: Circuit
    network: NetworkSolution

    def potential(self, name: str) -> float:
        """mu_0 of a node or terminal, V; of a lead what stands at its face."""
        return float(self._at(name)[0])

    def voltage(self, name: str) -> float:
        """What a terminal reads, V: that of a lead is extrapolated to its face, mu_0 + beta s/2 there."""
        terminal = self.circuit.terminals.get(name)
        if terminal is None:
            raise InputError(f"{name!r} is no terminal; they are {', '.join(self.circuit.terminals)}")
        if not isinstance(terminal, Lead) or terminal.magnetization is None:
            return self.potential(name)
        return self.potential(name) + terminal.beta / 2 * float(self.spin_accumulation(name) @ terminal.magnetization)

    def spin_accumulation(self, name: str) -> np.ndarray:
        """mu_s of a node or terminal, V."""
        return self._at(name)[1:].copy()

    def current(self, name: str) -> float:
        """Charge current through a connection, A, positive where electrons flow from source to target."""
        return float(self._into(name)[0, 0])

    def spin_currents(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Spin currents that enter a connection at its source and leave it at its target, A."""
        into = self._into(name)
        return into[0, 1:].copy(), -into[1, 1:]

    def torque(self, name: str) -> np.ndarray:
        """The torque on the magnet of a connection, J: what the spin current loses across it. Or on a magnetic lead."""
        if name in self.circuit.terminals:
            return self._torque_on_lead(name)
        element = self.circuit.connections[self._number(name)].element
        if element.magnetization is None:
            raise InputError(f"connection {name!r} is not magnetic; torques act on magnets")
        return torque_of(self._into(name).sum(axis=0)[1:], np.array(element.magnetization))

    def terminal_current(self, name: str) -> float:
        """Charge current that a terminal feeds into the circuit, A of electrons."""
        if name not in self.circuit.terminals:
            raise InputError(f"{name!r} is no terminal; they are {', '.join(self.circuit.terminals)}")
        return float(self._out_of(name)[0])

    def _out_of(self, name: str) -> np.ndarray:
        """The four currents from a node or terminal into its connections, A."""
        ends = np.array([[end == name for end in (c.source, c.target)] for c in self.circuit.connections])
        return self.network.currents[ends].sum(axis=0)

    def _torque_on_lead(self, name: str) -> np.ndarray:
        terminal = self.circuit.terminals[name]
        if not isinstance(terminal, Lead) or terminal.magnetization is None:
            raise InputError(f"terminal {name!r} is not magnetic; torques act on magnets")
        return torque_of(-self._out_of(name)[1:], np.array(terminal.magnetization))

    def _at(self, name: str) -> np.ndarray:
        if name not in self.circuit.places:
            raise InputError(f"{name!r} is unknown; the nodes are {', '.join(self.circuit.places)}")
        return self.network.potentials[self.circuit.places[name]]

    def _number(self, name: str) -> int:
        names = [connection.name for connection in self.circuit.connections]
        if name not in names:
            raise InputError(f"connection {name!r} is unknown; they are {', '.join(names)}")
        return names.index(name)

    def _into(self, name: str) -> np.ndarray:
        return self.network.currents[self._number(name)]


def solve_circuit(circuit: Circuit) -> CircuitSolution:
    """Kirchhoff's laws for charge and spin at every node of a circuit.

    Raises
    ------
    InputError
        Where spins across a magnetisation have no law (no mixing conductance, no decay length), or a part of the
        circuit hangs in the air.
    """
    connections = circuit.connections
    elements = [connection.element for connection in connections]
    places = circuit.places
    pairs = np.array([[places[c.source], places[c.target]] for c in connections]).reshape(-1, 2)
    area = np.array([connection.area for connection in connections])
    terminals = {places[name]: terminal for name, terminal in circuit.terminals.items()}
    axes = [element.magnetization for element in elements]
    names = [f"connection {connection.name!r}" for connection in connections]
    m = axes_or_default(axes)
    precession = np.array([_across(c.precession, axis) for c, axis in zip(connections, m, strict=True)])
    fed = {places[name]: node.spin_current for name, node in circuit.nodes.items()}
    across = require_transverse_laws(elements, axes, pairs, terminals, names, fed=fed, precession=precession)
    Y = admittances(elements, m, [True] * len(elements), across=across) * area[:, None, None, None, None]
    conditions = [
        at_node(node.spin_flip_conductance, np.array([node.charge_current, *node.spin_current]))
        for node in circuit.nodes.values()
    ] + [terminal_condition(terminal, typical(Y)) for terminal in circuit.terminals.values()]
    pumping = HBAR / ELEMENTARY_CHARGE * precession
    return CircuitSolution(circuit=circuit, network=solve_network(pairs, Y, conditions, pumping))


def is_magnetic(element: Element) -> bool:
    """Whether an element treats spins unlike, so that it needs a direction."""
    return isinstance(element, Interface) and (element.gamma != 0 or element.mixing_conductance is not None)


def _across(omega: Vector, m: np.ndarray) -> np.ndarray:
    """The part of an angular velocity that pumps; nothing, not even rounding, of one along m."""
    return np.zeros(3) if one_axis(omega, m) else np.asarray(omega) - np.dot(omega, m) * m


def torque_of(lost: np.ndarray, m: np.ndarray) -> np.ndarray:
    """hbar/2e times the part of a lost spin current across m; J of A, J/m^2 of A/m^2."""
    return SPIN_CURRENT_TO_TORQUE * (lost - (lost @ m) * m)


def terminal_condition(terminal: Terminal, scale: float) -> Condition:
    """The condition at a reservoir or lead; `scale` keeps its rows comparable to those of the elements."""
    return at_lead(terminal, scale) if isinstance(terminal, Lead) else at_reservoir(terminal, scale)


def typical(Y: np.ndarray) -> float:
    """A conductance of the middle size."""
    return float(np.median(Y[:, 0, 0, 0, 0])) if len(Y) else 1.0


def axes_or_default(axes: Sequence[Vector | None]) -> np.ndarray:
    """The directions as an array (n, 3), with any where there is none."""
    return np.array([NOT_MAGNETIC if axis is None else axis for axis in axes], dtype=float).reshape(-1, 3)


def one_axis(a: Vector | None, b: Vector | None) -> bool:
    """Whether two vectors are both there and parallel, antiparallel or zero."""
    if a is None or b is None:
        return False
    # Written out: numpy's cross takes longer for one pair than the solution of its layer.
    (ax, ay, az), (bx, by, bz) = a, b
    sine = math.hypot(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return sine <= COLLINEAR_TOLERANCE * math.hypot(ax, ay, az) * math.hypot(bx, by, bz)


def require_transverse_laws(
    elements: Sequence[Element],
    axes: Sequence[Vector | None],
    pairs: np.ndarray,
    terminals: Mapping[int, Terminal],
    names: Sequence[str],
    *,
    fed: Mapping[int, Vector],
    precession: np.ndarray,
) -> bool:
    """InputError where spin across a magnetisation can arise and an element does not say what becomes of it.

    Where all magnetisations and sources lie on one axis there is none. Otherwise a magnetic interface needs a mixing
    conductance, and a magnet without decay length needs interfaces at its faces that let no transverse spin in.

    Parameters
    ----------
    fed
        Spin currents from outside, by place.
    precession : (elements, 3)
        Of each element across its axis, rad/s.

    Returns
    -------
    Whether there can be spin across the one axis; where there cannot, no mixing conductance matters.
    """
    ends = terminals.values()
    vectors = [axis for axis in axes if axis is not None]
    vectors += [end.magnetization for end in ends if isinstance(end, Lead) and end.magnetization is not None]
    vectors += [end.spin_accumulation for end in ends if isinstance(end, Reservoir) and any(end.spin_accumulation)]
    vectors += [source for source in [*fed.values(), *precession] if np.any(source)]
    if all(one_axis(vectors[0], vector) for vector in vectors):
        return False
    at: dict[int, list[int]] = {}
    for number, pair in enumerate(pairs):
        for place in pair:
            at.setdefault(int(place), []).append(number)

    def closed(number: int, place: int) -> bool:
        """Whether nothing but the element's own magnet is at that node, so that no transverse spin comes in there."""
        axis = axes[number]
        terminal = terminals.get(place)
        if not one_axis(axis, fed.get(place, (0.0, 0.0, 0.0))) or (terminal and np.any(precession[number])):
            return False
        if isinstance(terminal, Lead) and not one_axis(axis, terminal.magnetization):
            return False
        if isinstance(terminal, Reservoir) and not one_axis(axis, terminal.spin_accumulation):
            return False
        return all(
            one_axis(axis, axes[other])
            and _lets_nothing_in(elements[other])
            and np.array_equal(precession[other], precession[number])
            for other in at[place]
            if other != number
        )

    for place, end in terminals.items():
        if not isinstance(end, Lead) or end.magnetization is None or end.transverse_decay_length is not None:
            continue
        closed_off = (
            one_axis(end.magnetization, axes[n]) and _lets_nothing_in(elements[n]) and not np.any(precession[n])
            for n in at.get(place, [])
        )
        if not all(closed_off):
            raise InputError(
                "a magnetic lead across other magnets or sources needs transverse_decay_length=, or an interface with "
                "mixing_conductance= and none transmitted at its face"
            )
    for number, element in enumerate(elements):
        if axes[number] is None:
            continue
        inside = all(closed(number, int(place)) for place in pairs[number])
        if isinstance(element, Layer) and element.transverse_decay_length is None and not inside:
            raise InputError(
                f"{names[number]}: a magnet across other magnets or sources needs transverse_decay_length=, or "
                "interfaces with mixing_conductance= and none transmitted at its faces"
            )
        if isinstance(element, Interface) and element.mixing_conductance is None and not inside:
            raise InputError(f"{names[number]}: mixing_conductance=None across other magnets or sources; give one")
    return True


def _lets_nothing_in(element: Element) -> bool:
    if isinstance(element, Layer):
        return element.transverse_decay_length is None
    return not element.mixing_transmitted and not element.mixing_transmitted_back

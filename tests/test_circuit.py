"""Circuits: lateral spin valves, spin batteries and pumping, agreement with multilayers, laws at nodes, refusals."""

import dataclasses
import time

import numpy as np
import pytest

from qtorque import llg
from qtorque.diffusion import (
    Circuit,
    Connection,
    Interface,
    Layer,
    Lead,
    Multilayer,
    Node,
    Reservoir,
    solve_circuit,
    solve_multilayer,
)
from qtorque.errors import InputError
from qtorque.spin import direction_at
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, HBAR

CLOSED_FORM = 1e-10
"""Closed forms of linear systems of a handful of unknowns."""
ROUNDING = 1e-12
"""Formulas of a single element, and identities, relative to the largest number in them."""
CONTRAST = 1e-7
"""A signal of some 1e-5 of the potentials it is a difference of, through resistances that differ by a million."""
X, Y, Z = np.eye(3)
PER_FREQUENCY = HBAR / ELEMENTARY_CHARGE

WIRE = {"rho_star": 3e-8, "spin_diffusion_length": 400e-9}
AREA_WIRE, AREA_CONTACT = 5e-15, 1e-14
MAGNET = {"rho_star": 2.5e-7, "beta": 0.35, "spin_diffusion_length": 5e-9}


def approx(expected, *, rel=CLOSED_FORM, abs=None):
    """pytest.approx without its own absolute tolerance of 1e-12, which is more than most numbers in SI."""
    return pytest.approx(expected, rel=rel, abs=0.0) if abs is None else pytest.approx(expected, rel=0.0, abs=abs)


def lateral_valve(distance, AR_star, gamma, detector=Z):
    """Electrons from a magnet into one arm of a wire; the other arm and the other magnet are voltage probes."""
    axes = {"injector": Z, "detector": detector}
    voltages = {"injector": 1.0, "detector": None}
    magnets = {
        name: Lead(magnetization=m, voltage=voltages[name], area=AREA_CONTACT, **MAGNET) for name, m in axes.items()
    }
    arms = {name: Lead(voltage=V, area=AREA_WIRE, **WIRE) for name, V in (("drain", 0.0), ("probe", None))}
    contact = {name: Interface(AR_star=AR_star, gamma=gamma, magnetization=m) for name, m in axes.items()}
    piece, between = (Layer(thickness=length, **WIRE) for length in (100e-9, distance))
    return Circuit(
        nodes={"here": Node(), "there": Node()},
        terminals=magnets | arms,
        connections=[
            Connection(source="injector", target="here", element=contact["injector"], area=AREA_CONTACT),
            Connection(source="there", target="detector", element=contact["detector"], area=AREA_CONTACT),
            Connection(source="here", target="drain", element=piece, area=AREA_WIRE),
            Connection(source="there", target="probe", element=piece, area=AREA_WIRE),
            Connection(source="here", target="there", element=between, area=AREA_WIRE, name="wire"),
        ],
    )


def nonlocal_resistance(circuit):
    """What the magnetic probe shows more than the arm beside it, over the current of the injector.

    A lead shows the voltage that it extrapolates to: mu_0 + beta s/2 along its magnetisation.
    """
    found = solve_circuit(circuit)
    return (found.voltage("detector") - found.voltage("probe")) / found.terminal_current("injector")


@pytest.mark.parametrize("AR_star", [1e-18, 1e-15, 1e-11])
@pytest.mark.parametrize("distance", [50e-9, 600e-9])
def test_the_nonlocal_signal_is_that_of_takahashi_and_maekawa(AR_star, distance):
    # S. Takahashi and S. Maekawa, Phys. Rev. B 67, 052409 (2003) (from memory), ohmic to tunnel contacts. Their R_i and
    # R_F over 1 - P^2 are our AR* and rho* l_F per contact area.
    gamma = 0.6
    R_N = WIRE["rho_star"] * WIRE["spin_diffusion_length"] / AREA_WIRE
    R_F = MAGNET["rho_star"] * MAGNET["spin_diffusion_length"] / AREA_CONTACT
    R_b = AR_star / AREA_CONTACT
    decay = np.exp(-distance / WIRE["spin_diffusion_length"])
    signal = 2 * R_N * decay * ((gamma * R_b + MAGNET["beta"] * R_F) / R_N) ** 2
    signal /= (1 + 2 * (R_b + R_F) / R_N) ** 2 - decay**2
    for sign in (1, -1):
        circuit = lateral_valve(distance, AR_star, gamma, detector=sign * Z)
        assert nonlocal_resistance(circuit) == approx(sign * signal, rel=CONTRAST)
    if AR_star == 1e-11:
        assert signal == approx(gamma**2 / 2 * R_N * decay, rel=0.01)


def test_the_wire_to_the_detector_carries_spins_and_no_charge():
    circuit = lateral_valve(200e-9, 1e-15, 0.6)
    found = solve_circuit(circuit)
    enter, leave = found.spin_currents("wire")
    driven = found.terminal_current("injector")
    assert driven > 0
    assert found.terminal_current("drain") == approx(-driven, rel=CLOSED_FORM)
    assert abs(found.current("wire")) < CLOSED_FORM * driven
    assert abs(found.terminal_current("detector")) < CLOSED_FORM * driven
    assert 0 < leave[2] < enter[2] < driven
    assert found.spin_accumulation("here")[2] > found.spin_accumulation("there")[2] > 0


# --- Pumping ---

MIXING = (0.6 + 0.11j) * 1e15
OMEGA = 2 * np.pi * 1e10


def insulator(m, mixing=MIXING, **changes):
    """A magnet that hardly conducts, with one face."""
    given = {"mixing_conductance": mixing, "mixing_conductance_opposite": 0.0, "magnetization": m}
    return Interface(**{"AR_star": 1e-12, **given} | changes)


def pumped_into(node, *, m, omega, area=2e-14, mixing=MIXING, connections=(), nodes=None):
    """A node with a precessing magnet at it, the other side of which is held."""
    pump = Connection(source="n", target="sink", element=insulator(m, mixing), area=area, precession=omega, name="pump")
    return solve_circuit(
        Circuit(nodes={"n": node} | (nodes or {}), terminals={"sink": Reservoir()}, connections=[pump, *connections])
    )


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_precessing_magnet_pumps_spins_into_normal_metals(side):
    m, omega, area = direction_at(0.7, X), OMEGA * np.array([0.3, -0.2, 0.9]), 2e-14
    sides = {"mixing_conductance": MIXING, "mixing_conductance_opposite": 1e14, "spin_memory_loss": 0.5}
    if side == "target":
        sides |= {"mixing_conductance": 1e14, "mixing_conductance_opposite": MIXING}
    wall = insulator(m, **sides)
    link = Connection(source="a", target="b", element=wall, area=area, precession=omega)
    found = solve_circuit(Circuit(nodes={}, terminals={"a": Reservoir(), "b": Reservoir()}, connections=[link]))
    turning = np.cross(omega, m)
    into = PER_FREQUENCY * area * (MIXING.real * np.cross(m, turning) + MIXING.imag * turning)
    enter, leave = found.spin_currents("a-b")
    pumped = -enter if side == "source" else leave
    assert pumped == approx(into, abs=ROUNDING * np.max(np.abs(into)))


def test_what_is_pumped_damps_as_the_dynamics_say():
    m, omega, area = direction_at(0.7, X), OMEGA * Z, 1.0
    link = Connection(source="a", target="b", element=insulator(m, MIXING.real), area=area, precession=omega)
    found = solve_circuit(Circuit(nodes={}, terminals={"a": Reservoir(), "b": Reservoir()}, connections=[link]))
    Ms, thickness = 8e5, 3e-9
    gamma = 1.76085963e11
    # The moment is -s: dm/dt = -gamma tau/(Ms d) there, and alpha m x dm/dt is the same of s and of m.
    turning = np.cross(omega, m)
    change = -gamma / (Ms * thickness) * found.torque("a-b")
    alpha = change @ np.cross(m, turning) / (turning @ turning)
    per_area = MIXING.real / CONDUCTANCE_QUANTUM_PER_SPIN
    assert alpha == approx(llg.spin_pumping_damping(per_area, Ms=Ms, thickness=thickness), rel=1e-7)


def test_a_node_that_loses_no_spins_takes_the_accumulation_of_the_rotating_frame():
    m, omega = direction_at(0.7, X), OMEGA * np.array([0.3, -0.2, 0.9])
    found = pumped_into(Node(), m=m, omega=omega)
    across = omega - (omega @ m) * m
    assert found.spin_accumulation("n") == approx(PER_FREQUENCY * across, rel=CLOSED_FORM)
    scale = HBAR / (2 * ELEMENTARY_CHARGE) * PER_FREQUENCY * OMEGA * abs(MIXING) * 2e-14
    assert np.max(np.abs(found.torque("pump"))) < CLOSED_FORM * scale


@pytest.mark.parametrize("cone", [0.3, np.pi / 2, 2.5])
def test_a_spin_battery_has_the_voltage_of_its_cone(cone):
    # A. Brataas et al., Phys. Rev. B 66, 060404 (2002) (from memory): averaged over a turn mu_s is along omega and
    # hbar omega sin^2/(sin^2 + eta), eta what is lost otherwise over Re G. Four instants in one circuit are that mean.
    lost = 3e-1
    links = [
        Connection(
            source="n", target="sink", element=insulator([np.sin(cone) * c, np.sin(cone) * s, np.cos(cone)]),
            area=2.5e-16, precession=OMEGA * Z, name=f"{n}",
        )
        for n, (c, s) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)])
    ]  # fmt: skip
    circuit = Circuit(nodes={"n": Node(spin_flip_conductance=lost)}, terminals={"sink": Reservoir()}, connections=links)
    eta = lost / (1e-15 * MIXING.real) + np.cos(cone) ** 2 / (2 * 1e-12 * MIXING.real)
    mu = PER_FREQUENCY * OMEGA * np.sin(cone) ** 2 / (np.sin(cone) ** 2 + eta)
    found = solve_circuit(circuit).spin_accumulation("n")
    assert found == approx([0, 0, mu], abs=CLOSED_FORM * mu)


def test_backflow_puts_the_spin_resistance_of_the_metal_in_series_with_the_mixing_conductance():
    # Y. Tserkovnyak et al., Rev. Mod. Phys. 77, 1375 (2005) (from memory): 1/G_eff = 1/G + 2 rho l coth(d/l).
    m, omega, area, d = direction_at(0.7, X), OMEGA * Z, 2e-14, 300e-9
    metal = Connection(source="n", target="end", element=Layer(thickness=d, **WIRE), area=area)
    found = pumped_into(Node(), m=m, omega=omega, area=area, connections=[metal], nodes={"end": Node()})
    length = WIRE["spin_diffusion_length"]
    G = 1 / (1 / MIXING + 2 * WIRE["rho_star"] * length / np.tanh(d / length))
    assert abs(G / MIXING) < 0.1
    turning = np.cross(omega, m)
    into = PER_FREQUENCY * area * (G.real * np.cross(m, turning) + G.imag * turning)
    assert -found.spin_currents("pump")[0] == approx(into, abs=CLOSED_FORM * np.max(np.abs(into)))
    assert -found.torque("pump") / HBAR * 2 * ELEMENTARY_CHARGE == approx(into, abs=CLOSED_FORM * np.max(np.abs(into)))


def test_a_magnet_that_precesses_as_a_whole_carries_nothing_inside():
    m, omega = X, OMEGA * Z
    walls = [insulator(m, mixing_conductance_opposite=MIXING) for _ in range(2)]
    core = Layer(thickness=5e-9, magnetization=m, rho_star=1e-7)
    links = [
        Connection(source="a", target="1", element=walls[0], precession=omega, area=1.0),
        Connection(source="1", target="2", element=core, precession=omega, name="core", area=1.0),
        Connection(source="b", target="2", element=walls[1], precession=omega, area=1.0),
    ]
    found = solve_circuit(
        Circuit(nodes={"1": Node(), "2": Node()}, terminals={"a": Reservoir(), "b": Reservoir()}, connections=links)
    )
    size = np.max(np.abs(found.spin_currents("a-1")))
    assert size == approx(PER_FREQUENCY * OMEGA * MIXING.real, rel=CLOSED_FORM)
    assert np.max(np.abs(found.spin_currents("core"))) < ROUNDING * size
    assert found.spin_accumulation("1") == approx(PER_FREQUENCY * omega, abs=CLOSED_FORM * PER_FREQUENCY * OMEGA)


# --- Laws at nodes ---


def test_a_node_loses_the_spins_that_a_short_piece_of_metal_loses():
    area, thickness = 3e-14, 4e-10
    l_sf = WIRE["spin_diffusion_length"]
    feed = {"spin_current": (1e-6, 2e-6, -3e-6)}
    held = Connection(source="n", target="t", element=Interface(AR_star=1e-12, spin_memory_loss=0.5), area=area)
    stub = Connection(source="n", target="end", element=Layer(thickness=thickness, **WIRE), area=area)
    rate = area * thickness / (2 * WIRE["rho_star"] * l_sf**2)
    a, b = (
        solve_circuit(Circuit(nodes=nodes, terminals={"t": Reservoir()}, connections=connections))
        for nodes, connections in (
            ({"n": Node(**feed), "end": Node()}, [held, stub]),
            ({"n": Node(spin_flip_conductance=rate, **feed)}, [held]),
        )
    )
    bare = solve_circuit(Circuit(nodes={"n": Node(**feed)}, terminals={"t": Reservoir()}, connections=[held]))
    assert a.spin_accumulation("n") == approx(b.spin_accumulation("n"), rel=(thickness / l_sf) ** 2)
    assert abs(bare.spin_accumulation("n")[0] / b.spin_accumulation("n")[0] - 1) > 10 * (thickness / l_sf) ** 2


def test_currents_fed_into_a_node_leave_through_its_resistors():
    resistor = Connection(source="n", target="t", element=Interface(AR_star=2e-15), area=1e-14)
    node = Node(charge_current=1e-3, spin_current=(1e-4, 0, -2e-4))
    found = solve_circuit(Circuit(nodes={"n": node}, terminals={"t": Reservoir(voltage=0.2)}, connections=[resistor]))
    assert found.potential("n") == approx(0.2 + 1e-3 * 0.2)
    assert found.spin_accumulation("n") == approx(2 * 0.2 * np.array([1e-4, 0, -2e-4]))
    assert found.current("n-t") == approx(1e-3)
    assert found.terminal_current("t") == approx(-1e-3)


def test_a_floating_reservoir_shows_the_voltage_and_takes_the_spins():
    # Of two equal resistors in series; a magnetic contact shows mu_0 + gamma mu_s/2 of the node, mu_s fed into it.
    terminals = {"a": Reservoir(voltage=1.0), "b": Reservoir(), "probe": Reservoir(voltage=None)}
    resistor = Interface(AR_star=1e-15)
    links = [link("a", "n", resistor), link("n", "b", resistor), link("n", "probe", FERRO)]
    found = solve_circuit(circuit_of(*links, terminals=terminals, spin_current=(0, 0, 3e14)))
    # 1/(2 AR*) each of three ways out, the probe's along the magnetisation only.
    mu = 3e14 / (3 / 2e-15)
    assert found.spin_accumulation("n") == approx([0, 0, mu])
    assert found.potential("n") == approx(0.5)
    assert found.potential("probe") == approx(0.5 + FERRO.gamma * mu / 2)
    assert found.terminal_current("probe") == approx(0, abs=ROUNDING * found.terminal_current("a"))
    assert found.spin_accumulation("probe") == approx([0, 0, 0], abs=ROUNDING)


def test_connections_side_by_side_are_one_of_the_whole_area():
    def torque(areas):
        links = [
            Connection(source="n", target="b", area=area, name=str(n),
                       element=Interface(AR_star=1e-15, gamma=0.5, mixing_conductance=MIXING, magnetization=X))
            for n, area in enumerate(areas)
        ]  # fmt: skip
        first = Interface(AR_star=1e-15, gamma=0.5, mixing_conductance=MIXING, magnetization=Z)
        links.append(Connection(source="a", target="n", element=first, area=1e-14))
        terminals = {"a": Reservoir(voltage=1.0), "b": Reservoir()}
        found = solve_circuit(Circuit(nodes={"n": Node()}, terminals=terminals, connections=links))
        return sum(found.torque(str(n)) for n in range(len(areas)))

    assert torque([2e-14, 1e-14]) == approx(torque([3e-14]), rel=CLOSED_FORM)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_chain_of_connections_is_the_multilayer(reverse):
    area = 3e-14
    inside = {"transverse_decay_length": 1.2e-9, "precession_length": 0.8e-9}
    wall = Interface(AR_star=1e-15, gamma=0.4, spin_memory_loss=0.3, mixing_conductance=MIXING,
                     mixing_conductance_opposite=2 * MIXING, mixing_transmitted=1e14 + 5e13j,
                     mixing_transmitted_back=2e14)  # fmt: skip
    tilted, third = direction_at(1.2, X), direction_at(0.4, Y)
    spacer = Layer(thickness=20e-9, **WIRE)
    layers = [Layer(thickness=3e-9, magnetization=tilted, **MAGNET, **inside), spacer,
              dataclasses.replace(wall, magnetization=third, name="lumped"), spacer]  # fmt: skip
    left = Lead(magnetization=Z, voltage=0.2, **MAGNET, **inside)
    right = Reservoir(spin_accumulation=(0.01, 0.02, 0.03))
    stack = Multilayer(left=left, elements=[wall, spacer, wall, *layers], right=right)
    a = solve_multilayer(stack, voltage=0.0)
    axes = stack.axes
    links = []
    for n, (element, axis) in enumerate(zip(stack.elements, axes, strict=True)):
        bound = element if isinstance(element, Layer) else dataclasses.replace(element, magnetization=axis)
        # The normal side is the second one where a magnet comes first.
        swapped = n == 0 or (reverse and isinstance(element, Layer))
        ends = (f"{n}", f"{n + 1}")
        source, target = ends[::-1] if swapped else ends
        links.append(Connection(source=source, target=target, element=bound, area=area, name=f"c{n}"))
    count = len(links)
    terminals = {"0": dataclasses.replace(left, area=area), f"{count}": right}
    b = solve_circuit(Circuit(nodes={f"{n}": Node() for n in range(1, count)}, terminals=terminals, connections=links))
    assert b.terminal_current("0") == approx(area * a.current_density, rel=CLOSED_FORM)
    for n in range(count + 1):
        assert b.spin_accumulation(f"{n}") == approx(a.network.potentials[n, 1:], abs=ROUNDING)
        assert b.potential(f"{n}") == approx(a.network.potentials[n, 0], abs=ROUNDING)
    torque = a.torque("lumped")
    assert b.torque(f"c{count - 2}") / area == approx(torque, abs=CLOSED_FORM * np.max(np.abs(torque)))


def test_what_terminals_feed_in_is_what_nodes_take_out():
    circuit = lateral_valve(200e-9, 1e-15, 0.6)
    drained = dataclasses.replace(circuit, nodes={"here": Node(), "there": Node(charge_current=-1e-6)})
    found = solve_circuit(drained)
    currents = [found.terminal_current(name) for name in circuit.terminals]
    assert sum(currents) == approx(1e-6, abs=CLOSED_FORM * max(currents))


# --- Refusals ---

FERRO = Interface(AR_star=1e-15, gamma=0.5, magnetization=Z)
NORMAL = Layer(thickness=1e-8, **WIRE)


def circuit_of(*connections, nodes=("n",), terminals=None, **node):
    return Circuit(
        nodes={name: Node(**node) for name in nodes},
        terminals=terminals if terminals is not None else {"a": Reservoir(voltage=1.0), "b": Reservoir()},
        connections=connections,
    )


def link(source, target, element=NORMAL, **given):
    return Connection(source=source, target=target, element=element, **{"area": 1.0, **given})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Node(spin_flip_conductance=-1.0), r"spin_flip_conductance=-1\.0 is negative; give one from 0"),
        (lambda: Node(charge_current=np.nan), "charge_current=nan is not a finite number; give one number in A"),
        (lambda: Node(spin_current=(1, 2)), r"spin_current=\(1, 2\) is not a vector; give three"),
        (lambda: link("a", "b", area=0.0), r"area=0\.0 is out of range; give a positive"),
        (lambda: link("a", "b", precession=1e9), "precession=1000000000.0 is not a vector; give three"),
        (lambda: link("a", "a"), "source=target='a': a connection joins two nodes"),
        (lambda: circuit_of(link("a", "b"), nodes=["a"]), "'a' is both a node and a terminal; give them different"),
        (lambda: circuit_of(terminals={"a": Reservoir(voltage=None)}), "no terminal has a voltage; give at least one"),
        (lambda: circuit_of(link("a", "c")), "connection 'a-c': 'c' is unknown; the nodes are n, a, b"),
        (lambda: circuit_of(link("a", "b"), link("a", "b")), "connection 'a-b' is there twice; give each a name="),
        (
            lambda: circuit_of(link("a", "b", dataclasses.replace(FERRO, magnetization=None))),
            "connection 'a-b': a magnetic interface; give it a magnetization=",
        ),
        (
            lambda: circuit_of(link("a", "b", precession=(1e9, 0, 0))),
            "connection 'a-b': precession= without magnetization=; give both",
        ),
        (lambda: circuit_of(nodes=[]), r"connections=\[\]: give at least one"),
        (lambda: circuit_of(link("a", "b")), "node 'n' is joined to no terminal with a voltage; connect it"),
        (
            lambda: circuit_of(link("x", "y"), link("y", "z"), link("a", "b"), nodes="xyz"),
            "node 'x' is joined to no terminal with a voltage; connect it",
        ),
        (lambda: solved().potential("c"), "'c' is unknown; the nodes are n, a, b"),
        (lambda: solved().current("a-b"), "connection 'a-b' is unknown; they are a-n, n-b"),
        (lambda: solved().torque("a-n"), "connection 'a-n' is not magnetic; torques act on magnets"),
        (lambda: solved().terminal_current("n"), "'n' is no terminal; they are a, b"),
    ],
)
def test_what_is_no_circuit_is_refused_with_its_mend(make, message):
    with pytest.raises(InputError, match=message):
        make()


OBLIQUE = np.array([0.36, 0.48, 0.8])


@pytest.mark.parametrize(("first", "second"), [(Z, X), (OBLIQUE, (0.8, -0.6, 0.0)), ((0.6, 0.0, 0.8), OBLIQUE)])
def test_spins_that_have_no_way_out_of_a_node_are_refused(first, second):
    closed = dataclasses.replace(FERRO, mixing_conductance=0.0)
    walls = [
        link("a", "n", dataclasses.replace(closed, magnetization=first)),
        link("n", "b", dataclasses.replace(closed, magnetization=second)),
    ]
    with pytest.raises(InputError, match=r"not determined: spins .* mixing_conductance= above 0 or spin_flip"):
        solve_circuit(circuit_of(*walls))
    open_ = solve_circuit(circuit_of(*walls, spin_flip_conductance=1e10))
    assert np.isfinite(open_.spin_accumulation("n")).all()


def solved():
    return solve_circuit(circuit_of(link("a", "n"), link("n", "b", FERRO)))


MIXED = dataclasses.replace(FERRO, mixing_conductance=MIXING)
MAGNETIC = Layer(thickness=3e-9, magnetization=Z, **MAGNET)
BOTH_SIDES = {"a": Reservoir(voltage=1.0), "b": Reservoir(spin_accumulation=(0.1, 0, 0))}


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (circuit_of(link("a", "n", FERRO), link("n", "b", dataclasses.replace(MIXED, magnetization=X))),
         "connection 'a-n': mixing_conductance=None across other magnets or sources; give one"),
        (circuit_of(link("a", "n", FERRO), link("n", "b"), spin_current=(1e-6, 0, 0)),
         "mixing_conductance=None across"),
        (circuit_of(link("a", "n", MAGNETIC), link("n", "b", MAGNETIC), spin_current=(1e-6, 0, 0)),
         "connection 'a-n': a magnet across other magnets or sources needs transverse_decay_length=, or interfaces"),
        (circuit_of(link("a", "b", FERRO, precession=(1e9, 0, 0)), nodes=[]), "mixing_conductance=None across"),
        (circuit_of(link("a", "b", MAGNETIC, precession=(1e9, 0, 0)), nodes=[]), "needs transverse_decay_length="),
        (circuit_of(link("a", "n", MIXED, precession=(1e9, 0, 0)), link("n", "b", MAGNETIC)),
         "transverse_decay_length="),
        (circuit_of(link("a", "b", FERRO), nodes=[], terminals=BOTH_SIDES), "mixing_conductance=None across"),
        (circuit_of(link("a", "b", MAGNETIC), nodes=[], terminals=BOTH_SIDES), "transverse_decay_length="),
        (circuit_of(link("a", "n", dataclasses.replace(MIXED, mixing_transmitted=1e14)), link("n", "b", MAGNETIC),
                    terminals={"a": Reservoir(spin_accumulation=(0.1, 0, 0)), "b": Reservoir()}),
         "transverse_decay_length="),
        (circuit_of(link("a", "n", dataclasses.replace(MIXED, mixing_transmitted_back=1e14)), link("n", "b", MAGNETIC),
                    terminals={"a": Reservoir(spin_accumulation=(0.1, 0, 0)), "b": Reservoir()}),
         "transverse_decay_length="),
        (circuit_of(link("a", "n", dataclasses.replace(MAGNETIC, transverse_decay_length=1e-9)),
                    link("n", "b", MAGNETIC),
                    terminals={"a": Reservoir(spin_accumulation=(0.1, 0, 0)), "b": Reservoir()}),
         "connection 'n-b': .*transverse_decay_length="),
        (circuit_of(link("a", "b", MAGNETIC), nodes=[],
                    terminals={"a": Lead(magnetization=X, area=1.0, **MAGNET), "b": Reservoir()}),
         "transverse_decay_length="),
    ],
)  # fmt: skip
def test_spins_across_a_magnet_need_a_law(circuit, message):
    with pytest.raises(InputError, match=message):
        solve_circuit(circuit)


def test_spins_along_the_magnets_need_none():
    solve_circuit(circuit_of(link("a", "n", FERRO), link("n", "b", MAGNETIC), spin_current=(0, 0, 1e-6)))
    for angle in np.linspace(0.1, 3, 9):
        tilted = direction_at(angle, direction_at(0.7, X))
        turning = link("a", "b", dataclasses.replace(FERRO, magnetization=tilted), precession=1.1e10 * tilted)
        assert np.max(np.abs(solve_circuit(circuit_of(turning, nodes=[])).torque("a-b"))) < ROUNDING * HBAR / 1e-15
    # Inside a magnet whose faces let nothing else in.
    source = {"a": Reservoir(spin_accumulation=(0.1, 0, 0)), "b": Reservoir()}
    solve_circuit(circuit_of(link("a", "n", MIXED), link("n", "b", MAGNETIC), terminals=source))


def test_a_magnetic_lead_without_decay_length_takes_no_transverse_spin_in():
    lead = Lead(magnetization=X, area=1.0, **MAGNET)
    through = dataclasses.replace(MIXED, magnetization=X, mixing_transmitted=1e14)
    ends = {"a": Lead(magnetization=Z, area=1.0, voltage=1.0, **MAGNET), "b": lead}
    for element in (NORMAL, through):
        with pytest.raises(InputError, match="magnetic lead .* transverse_decay_length="):
            solve_circuit(
                Circuit(
                    nodes={"n": Node()}, terminals=ends,
                    connections=[link("a", "n", dataclasses.replace(MIXED, magnetization=Z)), link("n", "b", element)],
                )
            )  # fmt: skip
    # An interface that lets none in is its face.
    walls = [link(end, "n", dataclasses.replace(MIXED, magnetization=m)) for end, m in (("a", Z), ("b", X))]
    found = solve_circuit(Circuit(nodes={"n": Node()}, terminals=ends, connections=walls))
    assert abs(found.spin_accumulation("b") @ np.array([0.0, 1.0, 1.0])) < CLOSED_FORM * abs(found.potential("a"))


def test_a_precessing_interface_on_a_magnetic_lead_needs_a_law_for_what_it_pumps():
    wall = dataclasses.replace(MIXED, magnetization=Z)
    lead = Lead(magnetization=Z, area=1.0, **MAGNET)
    for precession, refused in (((1e10, 0.0, 0.0), True), ((0.0, 0.0, 1e10), False)):
        pumping = Circuit(
            nodes={}, terminals={"a": Reservoir(voltage=1.0), "b": lead},
            connections=[link("a", "b", wall, precession=precession)],
        )  # fmt: skip
        if refused:
            with pytest.raises(InputError, match="magnetic lead"):
                solve_circuit(pumping)
        else:
            assert solve_circuit(pumping).current("a-b") > 0


def test_along_one_axis_no_mixing_conductance_matters_not_even_none():
    def current(mixing):
        wall = dataclasses.replace(FERRO, mixing_conductance=mixing, magnetization=OBLIQUE)
        ends = {"a": Reservoir(voltage=1.0), "b": Reservoir()}
        chain = circuit_of(link("a", "n", wall), link("n", "b", wall), terminals=ends)
        return solve_circuit(chain).current("a-n")

    assert current(0.0) == approx(current(None), rel=CLOSED_FORM)
    assert current(3e14) == approx(current(None), rel=CLOSED_FORM)


def test_a_magnetic_lead_takes_up_the_torque_of_what_flows_into_it():
    inside = {"transverse_decay_length": 2e-9, "precession_length": 3e-9, "area": 1.0}
    ends = {"a": Lead(magnetization=Z, voltage=1.0, **MAGNET, **inside), "b": Lead(magnetization=X, **MAGNET, **inside)}
    found = solve_circuit(Circuit(nodes={}, terminals=ends, connections=[link("a", "b", NORMAL, name="spacer")]))
    enter, leave = found.spin_currents("spacer")
    half = 1.054571817e-34 / (2 * 1.602176634e-19)
    assert found.torque("b") == approx(half * leave * np.array([0.0, 1.0, 1.0]), rel=1e-8)
    assert found.torque("a") == approx(-half * enter * np.array([1.0, 1.0, 0.0]), rel=1e-8)
    with pytest.raises(InputError, match="not magnetic"):
        solve_circuit(circuit_of(link("a", "n"), link("n", "b"))).torque("a")


def test_conductances_that_would_create_spin_are_refused():
    with pytest.raises(InputError, match="source of spin"):
        dataclasses.replace(MIXED, mixing_conductance=1e14, mixing_transmitted=1e15)
    with pytest.raises(InputError, match="source of spin"):
        dataclasses.replace(MIXED, mixing_conductance=5e14, mixing_transmitted=6e14j, mixing_transmitted_back=-6e14j)
    # A phase that is the same both ways only turns.
    dataclasses.replace(MIXED, mixing_conductance=6e14, mixing_transmitted=6e14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lead(transverse_decay_length=1e-9, **WIRE), "normal metal"),
        (lambda: Circuit(nodes=["n"], terminals={"a": Reservoir()}, connections=[]), "dict"),
        (lambda: Circuit(nodes={"n": {}}, terminals={"a": Reservoir()}, connections=[]), "give a Node"),
        (lambda: Circuit(nodes={}, terminals={"a": NORMAL}, connections=[]), "Lead or a Reservoir"),
        (lambda: Circuit(nodes={}, terminals={"a": Lead(**WIRE)}, connections=[]), "area=None"),
        (lambda: link("a", "n", Lead(**WIRE)), "give a Layer or an Interface"),
        (lambda: solved().voltage("n"), "no terminal"),
    ],
)
def test_what_is_no_part_of_a_circuit_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_long_chain_in_any_order_is_built_at_once():
    order = np.random.default_rng(3).permutation(4000)
    connections = [link(f"n{i}", f"n{i + 1}", name=str(i)) for i in order]
    nodes = {f"n{i}": Node() for i in range(4001)}
    begin = time.perf_counter()
    Circuit(nodes=nodes, terminals={"end": Reservoir()}, connections=[*connections, link("n0", "end")])
    assert time.perf_counter() - begin < 1.0

"""Multilayers: closed forms, an independent solver by mode amplitudes, symmetries, torque identities, refusals."""

import dataclasses

import numpy as np
import pytest

from qtorque import diffusion, llg
from qtorque.diffusion import (
    Interface,
    Layer,
    Lead,
    Multilayer,
    Reservoir,
    angular_dependence,
    magnetoresistance,
    solve_multilayer,
)
from qtorque.errors import InputError
from qtorque.spin import PAULI, direction_at, rotation, su2
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, HBAR

HBAR_OVER_2E = HBAR / (2 * ELEMENTARY_CHARGE)
CLOSED_FORM = 1e-10
"""Closed forms of linear systems of a handful of unknowns, whose coefficients span some digits."""
PRINTED = 5e-7
"""Half a unit in the last of the digits that the reference prints."""
SAME_MODEL = 1e-11
"""Two solvers of one model: rounding times the condition of the dense one."""
COLLINEAR = 1e-12
"""The same where the dense one has fewer modes that grow."""
ROUNDING = 1e-12
"""Identities between numbers of one solution, relative to the largest of them."""
CONTRAST = 1e-7
"""The polarisation of a current, 1e-6, through an interface a million times and more less resistive than the stack."""
EVEN = 1e-9
"""Coefficients at nearly 0 and 180 degrees, relative to the largest, and their limits, which agree so well."""
LIMIT = 1e-4
"""Asymptotic formulas, at ratios of 1e5 and more of the lengths that they take to be far apart."""
X, Y, Z = np.eye(3)
ANGLES = np.array([0.0, 0.4, 1.1, np.pi / 2, 2.2, 3.0, np.pi])

BETA, RHO_F, L_F, GAMMA, R_B = 0.46, 75e-9, 60e-9, 0.77, 0.51e-15
RHO_N, L_N, T_N = 6e-9, 450e-9, 5e-9
"""Co and Cu of section 5 of the reference."""
G_UP, G_DOWN, G_MIX = 0.42e15, 0.38e15, (0.546 + 0.015j) * 1e15
"""The interface of section 4 of the reference, S/m^2."""
G_TOTAL, P = G_UP + G_DOWN, (G_UP - G_DOWN) / (G_UP + G_DOWN)


def approx(expected, *, rel=CLOSED_FORM, abs=None):
    """pytest.approx without its own absolute tolerance of 1e-12, which is more than most numbers in SI."""
    return pytest.approx(expected, rel=rel, abs=0.0) if abs is None else pytest.approx(expected, rel=0.0, abs=abs)


def ferromagnet(m, **changes):
    return Lead(**{"rho_star": RHO_F, "beta": BETA, "spin_diffusion_length": L_F, "magnetization": m} | changes)


def normal(thickness=T_N, **changes):
    return Layer(**{"thickness": thickness, "rho_star": RHO_N, "spin_diffusion_length": L_N} | changes)


def magnet(m, thickness=4e-9, **changes):
    given = {"rho_star": RHO_F, "beta": BETA, "spin_diffusion_length": L_F, "magnetization": m}
    return Layer(thickness=thickness, **given | changes)


def interface(G=(G_UP, G_DOWN), mixing=G_MIX, **changes):
    total, polarization = sum(G), (G[0] - G[1]) / sum(G)
    given = {"AR_star": 1 / (total * (1 - polarization**2)), "gamma": polarization, "mixing_conductance": mixing}
    return Interface(**given | changes)


def lumped_valve(mixing=G_MIX, last=Z, G=(G_UP, G_DOWN), **changes):
    """Two magnets, each one interface, that share the node between them."""
    a = interface(G, mixing=mixing, magnetization=Z, name="fixed", **changes)
    b = interface(G, mixing=mixing, magnetization=last, name="free", **changes)
    return Multilayer(left=Reservoir(), elements=[a, b], right=Reservoir())


# --- An independent solver: amplitudes of the modes, distribution matrices mu_0 + mu_s.sigma/2, one dense system. ---

NANOMETRE, FEMTO = 1e-9, 1e-15
"""Scales that make its numbers of order one: lengths in nm, resistances in 1e-15 Ohm m^2, currents in 1e15 A/m^2."""


def hermitian(up, down, transverse):
    """The matrix in the frame of m of mu_up, mu_down and (mu_x + i mu_y)/2 = its element (down, up)."""
    return np.array([[up, np.conj(transverse)], [transverse, down]], dtype=complex)


def shapes_of(length, kappa, z):
    """(value, slope) at z of the two solutions of f'' = kappa^2 f, neither of which grows inside the length."""
    if kappa == 0:
        return [(1.0, 0.0), (z, 1.0)]
    falling, rising = np.exp(-kappa * z), np.exp(kappa * (z - length))
    return [(falling, -kappa * falling), (rising, kappa * rising)]


def collinear_modes(length, rho, beta, kappa, z):
    """Four modes in a metal at z, (potential, current) matrices each: two of the charge, two of spins along m."""
    G = np.array([1 / (2 * rho * (1 - beta)), 1 / (2 * rho * (1 + beta))])
    found = [(hermitian(1, 1, 0), hermitian(0, 0, 0)), (hermitian(z, z, 0), hermitian(*-G, 0))]
    for value, slope in shapes_of(length, kappa, z):
        # No net charge: mu_up and mu_down are as rho_up to -rho_down.
        potential = hermitian((1 - beta) * value, -(1 + beta) * value, 0)
        found.append((potential, hermitian(-slope / (2 * rho), slope / (2 * rho), 0)))
    return found


def transverse_wave_number(metal):
    """1/nm; in a magnet that no transverse spin enters any will do."""
    if metal.magnetization is None:
        return NANOMETRE / metal.spin_diffusion_length
    if metal.transverse_decay_length is None:
        return 1.0
    return np.sqrt((NANOMETRE / metal.transverse_decay_length) ** 2 + 1j * (NANOMETRE / metal.precession_length) ** 2)


def scaled(rho):
    """1e-15 Ohm m^2/nm of Ohm m."""
    return rho * NANOMETRE / FEMTO


def potentials(matrix):
    """mu_0 and mu_s."""
    return np.array([np.trace(matrix).real / 2, *(np.trace(matrix @ sigma).real for sigma in PAULI[1:])])


def currents(matrix):
    """j and j_s."""
    return np.array([np.trace(matrix @ sigma).real for sigma in PAULI])


class ModeSolution:
    """Amplitudes in every element of a stack at a voltage; everything by matching distribution matrices."""

    def __init__(self, stack, voltage):
        self.stack, self.columns = stack, {}
        items = ["left", *range(len(stack.elements)), "right"]
        size = 0
        for item in items:
            count = len(self.faces(item)[0])
            self.columns[item] = range(size, size + count)
            size += count
        rows, given = [], []
        for before, after in zip(items[:-1], items[1:], strict=True):
            for kind, read in enumerate((potentials, currents)):
                block, known = np.zeros((4, size)), np.zeros(4)
                for item, side, sign in ((before, 1, 1), (after, 0, -1)):
                    block[:, self.columns[item]] = sign * np.array([read(m[kind]) for m in self.faces(item)[side]]).T
                    if item in ("left", "right") and kind == 0:
                        known -= sign * self.held(item, voltage)
                rows.append(block)
                given.append(known)
        self.amplitudes = np.linalg.solve(np.vstack(rows), np.concatenate(given))

    def held(self, item, voltage):
        end = getattr(self.stack, item)
        volts = end.voltage + (voltage / 2 if item == "left" else -voltage / 2)
        return np.array([volts, *(end.spin_accumulation if isinstance(end, Reservoir) else np.zeros(3))])

    def faces(self, item):
        """Modes at the left and the right face of an element, or at that of an end (same on both sides)."""
        if item in ("left", "right"):
            modes = self.end_modes(getattr(self.stack, item), 1 if item == "right" else -1)
            return modes, modes
        return self.at(item, 0.0), self.at(item, self.thickness(item))

    def thickness(self, item):
        element = self.stack.elements[item]
        return element.thickness if isinstance(element, Layer) else 1.0

    def end_modes(self, end, outward):
        if isinstance(end, Reservoir):
            # Any current at the given potentials.
            return [(np.zeros((2, 2)), sigma) for sigma in PAULI]
        beta, flow = end.beta, outward / (2 * scaled(end.rho_star))
        along = flow * NANOMETRE / end.spin_diffusion_length
        found = [
            (hermitian(0, 0, 0), hermitian((1 + beta) / 2, (1 - beta) / 2, 0)),
            (hermitian(1 - beta, -1 - beta, 0), hermitian(along, -along, 0)),
        ]
        found += [(hermitian(0, 0, f), hermitian(0, 0, f * flow * transverse_wave_number(end))) for f in (1, 1j)]
        return self.turned(found, end.magnetization)

    @staticmethod
    def turned(modes, axis):
        frame = su2(Z if axis is None else axis)
        return [tuple(frame @ matrix @ frame.conj().T for matrix in mode) for mode in modes]

    def at(self, item, z):
        """The modes of an element at z (m) from its left face; of an interface at its faces z = 0 and 1."""
        element, axis = self.stack.elements[item], self.stack.axes[item]
        if isinstance(element, Interface):
            rho, kappa = element.AR_star / FEMTO, element.spin_memory_loss
            found = collinear_modes(1.0, rho, element.gamma, kappa, z)
            return self.turned(found + self.across_interface(item, int(z)), axis)
        rho, kappa = scaled(element.rho_star), transverse_wave_number(element)
        length, z = element.thickness / NANOMETRE, z / NANOMETRE
        found = collinear_modes(length, rho, element.beta, NANOMETRE / element.spin_diffusion_length, z)
        for value, slope in shapes_of(length, kappa, z):
            found += [(hermitian(0, 0, f * value), hermitian(0, 0, -f * slope / (2 * rho))) for f in (1, 1j)]
        return self.turned(found, axis)

    def across_interface(self, item, side):
        """Four modes of what lies across m at the faces: the law of Brataas, Nazarov and Bauer between them.

        Their law is I_(up, down) = G f_(up, down); ours is of the element (down, up), its conjugate.
        """
        element = self.stack.elements[item]
        if self.stack.axes[item] is None:
            shapes = shapes_of(1.0, element.spin_memory_loss, side)
            flow = -FEMTO / (2 * element.AR_star)
            return [(hermitian(0, 0, f * v), hermitian(0, 0, f * flow * s)) for v, s in shapes for f in (1, 1j)]
        reflected, transmitted = element.mixing_conductance or 0, element.mixing_transmitted
        opposite, back = element.mixing_conductance_opposite, element.mixing_transmitted_back
        G = np.array([[reflected, -(transmitted if back is None else back)],
                      [transmitted, -(reflected if opposite is None else opposite)]])  # fmt: skip
        if not self.named_first(item):
            G = -G[::-1, ::-1]
        flows = FEMTO * G.conj()[side]
        return [
            (hermitian(0, 0, f * (face == side)), hermitian(0, 0, f * flows[face])) for face in (0, 1) for f in (1, 1j)
        ]

    def named_first(self, item):
        """Whether the left side is the normal one, or both are normal."""
        beside = [self.stack.left, *self.stack.elements, self.stack.right][item : item + 3 : 2]
        left, right = (isinstance(x, Layer | Lead) and x.magnetization is not None for x in beside)
        return not left or right

    def fields(self, item, z):
        """(mu_0, mu_s) in V and (j, j_s) in A/m^2 at z from the left face of an element."""
        amplitudes = self.amplitudes[self.columns[item]]
        potential, current = (np.tensordot(amplitudes, np.array(m), 1) for m in zip(*self.at(item, z), strict=True))
        return potentials(potential), currents(current) / FEMTO

    def torque(self, elements, m):
        """On the magnet of these elements: what the spin current across m loses between its faces."""
        lost = self.fields(elements[0], 0.0)[1][1:] - self.fields(elements[-1], self.thickness(elements[-1]))[1][1:]
        return HBAR_OVER_2E * (lost - (lost @ m) * m)


def random_direction(random):
    m = random.normal(size=3)
    return m / np.linalg.norm(m)


def random_mixing(random, G, transmitted):
    """Reflected on both sides and transmitted both ways, S/m^2; nothing absorbs less than nothing."""
    size = sum(G) / 2
    here, there = size * (1 + random.random(2)) + 0.5j * size * random.normal(size=2)
    on, back = 0.3 * size * (random.normal(size=2) + 1j * random.normal(size=2)) * transmitted
    return {"mixing": here, "mixing_conductance_opposite": there, "mixing_transmitted": on,
            "mixing_transmitted_back": back}  # fmt: skip


def random_stack(seed, directions, *, transmitted=True, loss=True, infinite=False, leads=None):
    """Magnets in these directions with interfaces between normal layers: layers that let spin in, and lumped ones."""
    random = np.random.default_rng(seed)

    def decay(size):
        return np.inf if infinite else size * (0.2 + random.random())

    def metal(magnetic):
        return {"rho_star": 1e-7 * (0.1 + random.random()), "spin_diffusion_length": decay(2e-8),
                **({"beta": random.uniform(-0.8, 0.8)} if magnetic else {})}  # fmt: skip

    def wall(**changes):
        G = 1e15 * (0.2 + random.random(2))
        delta = {"spin_memory_loss": random.random() * loss}
        return interface(G, **random_mixing(random, G, transmitted), **delta, **changes)

    elements = [Layer(thickness=1e-8 * (0.1 + random.random()), **metal(False))]
    for number, m in enumerate(directions):
        if number % 3 == 2:
            elements.append(wall(magnetization=m, name=f"m{number}"))
        else:
            inside = {}
            if transmitted:
                lengths = 1e-9 * (0.5 + random.random(2))
                inside = {"transverse_decay_length": lengths[0], "precession_length": lengths[1]}
            thickness = 6e-9 * (0.1 + random.random())
            layer = Layer(thickness=thickness, magnetization=m, name=f"m{number}", **metal(True), **inside)
            elements += [wall(), layer, wall()]
        elements.append(Layer(thickness=1e-8 * (0.1 + random.random()), **metal(False)))
        if random.random() < 0.5:
            elements.append(Interface(AR_star=1e-15 * (0.1 + random.random()), spin_memory_loss=random.random() * loss))
            elements.append(Layer(thickness=1e-8 * (0.1 + random.random()), **metal(False)))
    if leads is None:
        left, right = Reservoir(voltage=0.1), Reservoir(spin_accumulation=random.normal(size=3) * 0.1)
        if infinite:
            right = Reservoir()
    else:
        left, right = (
            Lead(magnetization=m, transverse_decay_length=2e-9, precession_length=3e-9, **metal(True)) for m in leads
        )
        elements = [wall(), *elements, wall()]
    return Multilayer(left=left, elements=elements, right=right)


# --- Collinear stacks ---


def test_two_magnetic_leads_have_the_magnetoresistance_of_valet_and_fert():
    # Section 5 of the reference; R_P is that of Valet and Fert for an odd accumulation, where sinh and cosh swap.
    wall = Interface(AR_star=R_B, gamma=GAMMA)
    parallel, antiparallel = (
        solve_multilayer(
            Multilayer(left=ferromagnet(Z), elements=[wall, normal(), wall], right=ferromagnet(m)), voltage=0.3
        ).resistance_area
        for m in (Z, -Z)
    )
    r_F, r_N, y = RHO_F * L_F, RHO_N * L_N, T_N / L_N
    both = R_B + r_F
    difference = 2 * (BETA * r_F + GAMMA * R_B) ** 2
    difference /= both * np.cosh(y) + r_N / 2 * (1 + (both / r_N) ** 2) * np.sinh(y)
    spacer = r_N * np.tanh(y / 2)
    excess = 2 * (1 - GAMMA**2) * R_B + RHO_N * T_N
    excess += 2 * ((BETA - GAMMA) ** 2 * r_F * R_B + spacer * (BETA**2 * r_F + GAMMA**2 * R_B)) / (both + spacer)
    assert antiparallel - parallel == approx(difference, rel=CLOSED_FORM)
    assert parallel == approx(excess, rel=CLOSED_FORM)
    assert difference == approx(2.389184e-15, rel=PRINTED)
    assert excess == approx(5.405128e-16, rel=PRINTED)
    # No mixing conductance is there, and none needed.
    stack = Multilayer(left=ferromagnet(X, name="a"), elements=[wall, normal(), wall], right=ferromagnet(Z, name="b"))
    for names in ({}, {"free": "a", "fixed": "b"}):
        found = magnetoresistance(stack, **names)
        assert [found.parallel, found.antiparallel] == approx([parallel, antiparallel], rel=CLOSED_FORM)
        assert found.ratio == approx(difference / excess, rel=CLOSED_FORM)


def test_magnetoresistance_turns_the_named_magnet_and_leaves_the_others():
    wall = Interface(AR_star=R_B, gamma=GAMMA)
    magnets = [magnet(m, t, name=n) for m, t, n in ((Z, 4e-9, "a"), (-Z, 9e-9, "b"), (Z, 2e-9, "c"))]
    elements = [item for m in magnets for item in (normal(), wall, m, wall)]
    stack = Multilayer(left=Reservoir(voltage=0.3), elements=elements, right=Reservoir())
    found = magnetoresistance(stack, free="b", fixed="c")
    for resistance, m in ((found.parallel, Z), (found.antiparallel, -Z)):
        assert resistance == approx(solve_multilayer(stack.turned("b", m), voltage=1.0).resistance_area)
    assert found.antiparallel > found.parallel


@pytest.mark.parametrize("sign", [1, -1])
def test_without_spin_flips_the_channels_are_resistors_in_series(sign):
    gamma, AR = -0.3, 2e-15
    wall = Interface(AR_star=AR, gamma=gamma)
    layers = [{"spin_diffusion_length": np.inf}] * 2
    elements = [
        magnet(Z, 3e-9, **layers[0]), wall, normal(spin_diffusion_length=np.inf), magnet(sign * Z, 7e-9, **layers[1]),
    ]  # fmt: skip
    found = solve_multilayer(Multilayer(left=Reservoir(), elements=elements, right=Reservoir()), voltage=0.1)
    channels = [
        2 * (RHO_F * (1 - s * BETA) * 3e-9 + AR * (1 - s * gamma) + RHO_N * T_N + RHO_F * (1 - s * sign * BETA) * 7e-9)
        for s in (1, -1)
    ]
    assert found.resistance_area == approx(1 / sum(1 / r for r in channels), rel=CLOSED_FORM)
    j_s = 0.1 * (1 / channels[0] - 1 / channels[1])
    # What falls over a tunnel barrier leaves few digits to the metals beside it.
    barrier = Multilayer(left=Reservoir(), elements=[*elements, Interface(AR_star=1e-9)], right=Reservoir())
    high = 1 / sum(1 / (r + 2e-9) for r in channels)
    assert solve_multilayer(barrier, voltage=0.1).resistance_area == approx(high, rel=ROUNDING)
    for z in (0.0, 5e-9, 1.2e-8):
        assert found.spin_current(z) == approx([0, 0, j_s], rel=CLOSED_FORM, abs=abs(j_s) * ROUNDING)


@pytest.mark.parametrize("r_b", [1e-18, 1e-12, 1e-6])
def test_injection_needs_an_interface_as_resistive_as_the_semiconductor(r_b):
    # A. Fert and H. Jaffres, Phys. Rev. B 64, 184420 (2001) (from memory): the polarisation of the current at the
    # interface of a ferromagnet with a semiconductor is (beta r_F + gamma r_b)/(r_F + r_N + r_b).
    rho, l_sf = 2e-3, 2e-6
    semiconductor = {"rho_star": rho, "spin_diffusion_length": l_sf}
    elements = [Interface(AR_star=r_b, gamma=GAMMA), Layer(thickness=1e-7, **semiconductor)]
    stack = Multilayer(left=ferromagnet(Z), elements=elements, right=Lead(**semiconductor))
    found = solve_multilayer(stack, current_density=1e6)
    r_F, r_N = RHO_F * L_F, rho * l_sf
    injected = (BETA * r_F + GAMMA * r_b) / (r_F + r_N + r_b)
    assert found.spin_current(0.0)[2] / found.current_density == approx(injected, rel=CONTRAST)
    # Electrons that leave the majority pile it up; the accumulation then decays into the semiconductor.
    assert found.spin_accumulation(0.0)[2] == approx(2e6 * injected * r_N, rel=CONTRAST)
    assert found.spin_accumulation(1e-7)[2] / found.spin_accumulation(0.0)[2] == approx(np.exp(-1e-7 / l_sf))


def test_magnetoresistance_has_the_window_of_fert_and_jaffres():
    rho, l_sf, thickness = 2e-3, 2e-6, 2e-11
    r_N = rho * l_sf

    def ratio(r_b):
        wall = Interface(AR_star=r_b, gamma=GAMMA)
        middle = Layer(thickness=thickness, rho_star=rho, spin_diffusion_length=l_sf)
        P_, AP = (
            solve_multilayer(
                Multilayer(left=ferromagnet(Z), elements=[wall, middle, wall], right=ferromagnet(m)), voltage=1
            ).resistance_area
            for m in (Z, -Z)
        )
        return (AP - P_) / P_

    assert ratio(r_N) == approx(GAMMA**2 / (1 - GAMMA**2), rel=LIMIT)
    for outside in (r_N * (thickness / l_sf) ** 1.2, r_N * (l_sf / thickness) ** 1.2):
        assert ratio(outside) < 0.2 * ratio(r_N)


@pytest.mark.parametrize("seed", range(3))
def test_collinear_stacks_are_those_of_an_independent_solver(seed):
    random = np.random.default_rng(100 + seed)
    axis = random_direction(random)
    leads = [axis, -axis] if seed % 2 else None
    stack = random_stack(seed, [axis, -axis, axis, axis], leads=leads)
    if leads is None:
        stack = dataclasses.replace(stack, right=Reservoir(spin_accumulation=0.2 * axis))
    assert_same(stack, random, COLLINEAR)


@pytest.mark.parametrize("seed", range(4))
def test_noncollinear_stacks_are_those_of_an_independent_solver(seed):
    random = np.random.default_rng(200 + seed)
    directions = [random_direction(random) for _ in range(4)]
    leads = [random_direction(random) for _ in range(2)] if seed % 2 else None
    assert_same(random_stack(seed, directions, transmitted=seed != 2, leads=leads), random, SAME_MODEL)


def assert_same(stack, random, tolerance):
    """Resistance, profiles at random positions and torques of a stack against the solver by modes."""
    found, expected = solve_multilayer(stack, voltage=0.7), ModeSolution(stack, 0.7)
    layers = [n for n, element in enumerate(stack.elements) if isinstance(element, Layer)]
    j = expected.fields(0, 0.0)[1][0]
    assert found.current_density == approx(j, rel=tolerance)
    size = np.max(np.abs(found.network.potentials))
    for n in random.choice(layers, 5):
        inside = random.random() * stack.elements[n].thickness
        z = stack.positions[n] + inside
        potential, current = expected.fields(int(n), inside)
        assert found.potential(z) == approx(potential[0], abs=tolerance * size)
        assert found.spin_accumulation(z) == approx(potential[1:], abs=tolerance * size)
        assert found.spin_current(z) == approx(current[1:], abs=tolerance * np.max(np.abs(current)))
    for m in stack.magnets:
        if not (m.left_lead or m.right_lead):
            torque = expected.torque(m.elements, np.array(m.direction))
            assert found.torque(m.name) == approx(torque, abs=tolerance * HBAR_OVER_2E * abs(j))


def test_an_interface_inside_a_magnet_names_its_left_side():
    inside = {"transverse_decay_length": 2e-9, "precession_length": 1e-9}
    m = direction_at(1.0, Y)
    between = interface(mixing=3e15, mixing_conductance_opposite=1e15 + 1e15j, mixing_transmitted=5e14)
    free = [magnet(m, 1e-9, name="free", **inside), between, magnet(m, 2e-9, **inside)]
    outside = interface(mixing_transmitted=3e14)
    elements = [interface(magnetization=Z, name="other"), normal(), outside, *free, interface(), normal()]
    stack = Multilayer(left=Reservoir(), elements=elements, right=Reservoir())
    assert [magnet.elements for magnet in stack.magnets] == [range(0, 1), range(2, 7)]
    assert_same(stack, np.random.default_rng(5), SAME_MODEL)


def test_a_magnetic_lead_turns_with_its_magnet():
    inside = {"transverse_decay_length": 2e-9, "precession_length": 1e-9}
    d = direction_at(1.1, Z)

    def valve(first, last):
        ends = {"left": ferromagnet(first, **inside), "right": ferromagnet(last, **inside)}
        return Multilayer(elements=[interface(), normal(), interface(), magnet(last, **inside, name="free")], **ends)

    for turned, expected in (
        (valve(Z, X).turned("free", d), valve(Z, d)),
        (valve(Z, X).turned("1", d), valve(d, X)),
    ):
        assert turned.magnets == expected.magnets
        a, b = (solve_multilayer(stack, voltage=1.0) for stack in (turned, expected))
        assert a.torque("free") == approx(b.torque("free"), rel=ROUNDING)
        assert a.current_density == approx(b.current_density, rel=ROUNDING)


# --- Which elements are a magnet, and what it is called ---


def test_a_magnet_is_called_by_its_layer_then_its_lead_then_its_interface_then_its_number():
    wall = interface(name="Co|Cu")
    both = [wall, magnet(Z, name="fixed"), wall, normal(), wall, magnet(Z, name="free"), wall]
    named = Multilayer(left=Reservoir(), elements=both, right=Reservoir())
    assert [m.name for m in named.magnets] == ["fixed", "free"]
    leads = Multilayer(
        left=ferromagnet(Z, name="a"), elements=[wall, normal(), dataclasses.replace(wall, name="b")],
        right=ferromagnet(Z),
    )  # fmt: skip
    assert [m.name for m in leads.magnets] == ["a", "b"]
    inside = Multilayer(left=ferromagnet(Z, name="a"), elements=[magnet(Z), normal(), interface(), magnet(Z)],
                        right=ferromagnet(Z))  # fmt: skip
    assert [(m.name, m.left_lead, m.right_lead) for m in inside.magnets] == [("a", True, False), ("2", False, True)]
    assert [m.elements for m in inside.magnets] == [range(1), range(2, 4)]


def test_a_magnet_ends_where_the_direction_changes_by_one_degree():
    def count(angle):
        return len(stack_of(magnet(Z), magnet(direction_at(angle, Z))).magnets)

    assert [count(angle) for angle in (0.0, np.radians(1.0), 1e-3)] == [1, 2, 2]


def test_touching_magnets_stay_two_when_they_are_parallel():
    inside = {"transverse_decay_length": 2e-9, "precession_length": 3e-9}
    for left, names in (
        ([magnet(X, name="a", **inside), magnet(Z, name="b", **inside)], ["a", "b"]),
        ([magnet(X, **inside), magnet(Z, **inside)], ["1", "2"]),
        ([magnet(X, **inside), magnet(Z, name="b", **inside)], ["1", "b"]),
    ):
        stack = stack_of(*left, normal())
        first, second = names
        parallel = stack.turned(second, X)
        assert [m.name for m in parallel.magnets] == names
        assert [m.elements for m in parallel.magnets] == [range(1), range(1, 2)]
        # Away again, and the other one.
        again = parallel.turned(second, Z).turned(first, Z).turned(first, X)
        a, b = (solve_multilayer(s, voltage=1.0) for s in (stack, again))
        for name in names:
            assert b.torque(name) == approx(a.torque(name), rel=ROUNDING)
        d = angular_dependence(stack, angle=[0.0, 1e-3])
        assert d.damping_like.values[0] == approx(d.damping_like.values[1], rel=1e-5)
        assert abs(d.damping_like.values[0]) > 1e-3 * HBAR_OVER_2E / d.resistance_area.values[0]


def test_named_parallel_layers_and_leads_are_magnets_of_their_own_and_a_nameless_one_joins():
    stack = Multilayer(
        left=ferromagnet(Z, name="pinned"),
        elements=[magnet(Z, name="a"), magnet(Z), interface(), magnet(Z, name="b"), magnet(Z, name="b")],
        right=ferromagnet(Z, name="b"),
    )
    assert [(m.name, m.elements) for m in stack.magnets] == [
        ("pinned", range(0)), ("a", range(3)), ("b", range(3, 5))
    ]  # fmt: skip
    assert [m.left_lead for m in stack.magnets] == [True, False, False]
    assert [m.right_lead for m in stack.magnets] == [False, False, True]


def test_nothing_changes_at_0_and_180_degrees_where_noncollinear_parameters_are_given():
    for angle in (0.0, np.pi):
        bare, given = (
            Multilayer(
                left=ferromagnet(Z),
                elements=[
                    Interface(AR_star=R_B, gamma=GAMMA, **mixing), normal(),
                    Interface(AR_star=R_B, gamma=GAMMA, **mixing), magnet(direction_at(angle, Z), **decay), normal(),
                ],
                right=Reservoir(),
            )
            for mixing, decay in (
                ({}, {}),
                ({"mixing_conductance": G_MIX, "mixing_transmitted": 1e14j},
                 {"transverse_decay_length": 1e-9, "precession_length": 2e-9}),
            )
        )  # fmt: skip
        a, b = (solve_multilayer(stack, voltage=1.0) for stack in (bare, given))
        assert b.resistance_area == approx(a.resistance_area, rel=COLLINEAR)
        z = np.linspace(0, a.multilayer.positions[-1], 20)
        assert b.spin_accumulation(z) == approx(a.spin_accumulation(z), abs=COLLINEAR)
        assert np.max(np.abs(b.torque("2"))) < COLLINEAR * HBAR_OVER_2E * b.current_density


# --- Circuit theory, and two magnets at an angle ---


def test_lumped_magnets_have_the_conductance_and_torque_of_circuit_theory():
    # Section 4 of the reference; Slonczewski 2002 writes the torque with the same Lambda.
    assert interface().conductance == approx(G_TOTAL)
    for mixing in (G_MIX, G_MIX.conjugate(), 2 * G_MIX.real - 0.3j * G_TOTAL):
        d = angular_dependence(lumped_valve(mixing), angle=ANGLES)
        eta = 2 * mixing / G_TOTAL
        share = np.sin(ANGLES / 2) ** 2
        G = G_TOTAL / 2 * (1 - P**2 * share / (share + np.cos(ANGLES / 2) ** 2 * abs(eta) ** 2 / eta.real))
        assert 1 / d.resistance_area.values == approx(G, rel=CLOSED_FORM)
        square = abs(eta) ** 2 / (eta.real * (1 - P**2))
        tau = HBAR_OVER_2E * G * P * square / ((square + 1) + (square - 1) * np.cos(ANGLES))
        assert d.damping_like.values == approx(tau, rel=CLOSED_FORM)
        assert d.damping_like_fixed.values == approx(-tau, rel=CLOSED_FORM)
        assert np.max(np.abs([d.field_like, d.field_like_fixed])) < CLOSED_FORM * np.max(tau)
    at_right_angle = angular_dependence(lumped_valve(), angle=np.pi / 2)
    per_current = (at_right_angle.damping_like * at_right_angle.resistance_area).item() / HBAR_OVER_2E
    assert per_current == approx(0.02889809, abs=5e-9)


@pytest.mark.parametrize("resistance", [2e-12, 2e-11, 2e-10, 2e-9])
def test_coefficients_near_180_degrees_are_the_closed_form_however_narrow_their_peak(resistance):
    # The same form with cos(angle) = -1 + 2 sin(distance/2)^2 put in, of all digits; the peak is 2/Lambda wide.
    polarization, distance = 0.5, np.array([9e-3, 2e-3, 9e-5, 1e-5, 2e-6, 0.0])
    G_each = 2 / resistance
    stack = lumped_valve(G=(G_each * (1 + polarization) / 2, G_each * (1 - polarization) / 2))
    d = angular_dependence(stack, angle=np.pi - distance)
    eta = 2 * G_MIX / G_each
    ratio = abs(eta) ** 2 / eta.real
    square = ratio / (1 - polarization**2)
    share, rest = np.cos(distance / 2) ** 2, np.sin(distance / 2) ** 2
    G = G_each / 2 * (1 - polarization**2 * share / (share + rest * ratio))
    tau = HBAR_OVER_2E * G * polarization * square / (2 * share + 2 * square * rest)
    assert resistance < 1e-9 or tau[-1] > 10 * tau[0]
    assert d.damping_like.values == approx(tau, rel=EVEN)
    assert d.damping_like_fixed.values == approx(-tau, rel=EVEN)


def test_the_closed_form_of_the_dynamics_is_this_torque_with_half_the_polarization():
    # Its P is that of a whole spin current, as in OOMMF and mumax3; each of two equal interfaces absorbs half of it.
    d = angular_dependence(lumped_valve(), angle=ANGLES)
    eta = 2 * G_MIX / G_TOTAL
    Lambda = np.sqrt(abs(eta) ** 2 / (eta.real * (1 - P**2)))
    free = llg.Macrospin(Ms=1e6, thickness=2e-9, area=1e-15, alpha=0.01, fixed=(0, 0, 1))
    (term,) = llg.Slonczewski(polarization=P / 2, Lambda=Lambda).terms(free)
    form = term.damping_like / (1 + term.asymmetry * np.cos(ANGLES)) * free.Ms * free.thickness
    assert (d.damping_like * d.resistance_area).values == approx(form, rel=CLOSED_FORM)


def test_thin_spacers_come_linearly_to_circuit_theory():
    def torques(thickness):
        stack = lumped_valve(last=X)
        if thickness:
            spacer = normal(thickness, spin_diffusion_length=1e-8)
            stack = dataclasses.replace(stack, elements=[stack.elements[0], spacer, stack.elements[1]])
        found = solve_multilayer(stack, current_density=1.0)
        return np.array([*found.torque("free"), *found.torque("fixed"), HBAR_OVER_2E * found.resistance_area * 1e15])

    lumped = torques(0)
    thick, thin = (np.linalg.norm(torques(t) - lumped) / np.linalg.norm(lumped) for t in (1e-11, 1e-13))
    assert thin == approx(thick / 100, rel=0.01)
    assert thin < 1e-5


def test_majority_electrons_from_the_fixed_magnet_pull_the_free_one_to_it():
    found = solve_multilayer(lumped_valve(last=X), voltage=1.0)
    assert found.current_density > 0
    assert found.torque("free")[2] > 0
    assert found.torque("fixed")[0] < 0


def test_a_magnet_takes_the_accumulation_as_circuit_theory_says_without_a_factor():
    # tau = (hbar/2e) [Re G m x (mu_s x m) + Im G mu_s x m]; the normal side is named, the other one lets nothing in.
    m, mu = Y, np.array([0.2, 0.3, -0.1])
    wall = interface(mixing=G_MIX * (1 + 0.4j), mixing_conductance_opposite=9e15)
    for flipped in (False, True):
        elements = [wall, magnet(m)]
        ends = {"left": Reservoir(spin_accumulation=mu), "right": Reservoir()}
        if flipped:
            elements, ends = elements[::-1], {"right": ends["left"], "left": ends["right"]}
        found = solve_multilayer(Multilayer(elements=elements, **ends), voltage=0.0)
        G = wall.mixing_conductance
        torque = HBAR_OVER_2E * (G.real * np.cross(m, np.cross(mu, m)) + G.imag * np.cross(mu, m))
        assert found.torque("1") == approx(torque, abs=ROUNDING * np.max(np.abs(torque)))


def test_a_lumped_magnet_names_its_left_side_and_transmits_to_the_right():
    m, mu = Z, np.array([0.2, 0.3, -0.1])
    here, there, on, back = 1e15 + 2e14j, 2e15 - 1e14j, 3e14 + 1e14j, 2e14 - 2e14j
    wall = interface(mixing=here, mixing_conductance_opposite=there, mixing_transmitted=on,
                     mixing_transmitted_back=back, magnetization=m)  # fmt: skip

    def across(G):
        return G.real * np.cross(m, np.cross(mu, m)) + G.imag * np.cross(mu, m)

    for source, reflected, passed in (("left", here, on), ("right", there, back)):
        ends = {"left": Reservoir(), "right": Reservoir()} | {source: Reservoir(spin_accumulation=mu)}
        # A second lumped magnet or a normal resistor beside it shares a normal node with it.
        enter, leave = solve_multilayer(Multilayer(elements=[wall], **ends), voltage=0.0).spin_currents_at_ends()
        into, through = (enter, leave) if source == "left" else (-leave, -enter)
        assert into[:2] == approx(across(reflected)[:2], rel=ROUNDING)
        assert through[:2] == approx(across(passed)[:2], rel=ROUNDING)


def test_interfaces_that_share_a_node_keep_their_named_side_and_no_axis_of_the_other():
    # The same with a spacer so thin and conductive that nothing happens in it.
    one_sided = {"mixing_conductance_opposite": 3e15 + 5e14j, "mixing_transmitted": 2e14}
    a = interface(magnetization=Z, name="a", **one_sided)
    b = interface(magnetization=X, name="b", **one_sided)
    barrier, spacer = Interface(AR_star=1e-15, spin_memory_loss=0.2), Layer(thickness=1e-12, rho_star=1e-9)
    for middle in ([a, b], [a, barrier, b]):
        apart = [element for item in middle for element in (item, spacer)]
        shared, separate = (
            solve_multilayer(Multilayer(left=Reservoir(), elements=elements, right=Reservoir()), voltage=1.0)
            for elements in (middle, apart)
        )
        for name in "ab":
            size = np.max(np.abs(separate.torque(name)))
            assert shared.torque(name) == approx(separate.torque(name), abs=1e-5 * size)


def test_a_thick_diffusive_magnet_has_the_mixing_conductance_of_its_wave_number():
    # G = conj(kappa)/(2 rho*), kappa^2 = 1/l_t^2 + i/l_J^2: d sigma/dt = (Delta/hbar) sigma x m turns what enters along
    # x towards -y, so that a source along x pulls with a torque of negative y component.
    l_t, l_J = 1e-9, 0.7e-9
    kappa = np.sqrt(1 / l_t**2 + 1j / l_J**2)
    G = np.conj(kappa) / (2 * RHO_F)
    assert G.imag < 0
    thick = magnet(Z, 60 * l_t, transverse_decay_length=l_t, precession_length=l_J, name="F")
    semi_infinite = ferromagnet(Z, transverse_decay_length=l_t, precession_length=l_J, name="F")
    thin = dataclasses.replace(thick, thickness=l_t)
    source = Reservoir(spin_accumulation=X)
    for stack, name in (
        (Multilayer(left=source, elements=[thick], right=Reservoir()), "F"),
        (Multilayer(left=Reservoir(), elements=[thick], right=source), "F"),
        (Multilayer(left=source, elements=[thin], right=semi_infinite), "F"),
        (Multilayer(left=semi_infinite, elements=[thin], right=source), "F"),
    ):
        torque = solve_multilayer(stack, voltage=0.0).torque(name) / HBAR_OVER_2E
        assert torque == approx([G.real, -G.imag, 0], abs=1e-10 * abs(G))
        assert torque @ np.cross(X, Z) == approx(G.imag, rel=1e-10)
    inside = solve_multilayer(Multilayer(left=source, elements=[thick], right=Reservoir()), voltage=0.0)
    u = inside.spin_accumulation(1e-9) @ np.array([1, 1j, 0])
    assert u == approx(np.exp(-kappa * 1e-9), rel=CLOSED_FORM)


def test_a_finite_magnet_is_one_interface_with_reflected_and_transmitted_mixing_conductance():
    layer = magnet(direction_at(1.0, X), 1.5e-9, transverse_decay_length=1e-9, precession_length=1.3e-9, name="free")
    x = np.sqrt(1 / 1e-18 + 1j / 1.3e-9**2) * 1.5e-9
    scale = 2 * RHO_F * 1.5e-9
    lumped = Interface(
        AR_star=RHO_F * 1.5e-9, gamma=BETA, spin_memory_loss=1.5e-9 / L_F, magnetization=layer.magnetization,
        name="free", mixing_conductance=np.conj(x / np.tanh(x)) / scale,
        mixing_transmitted=np.conj(x / np.sinh(x)) / scale,
    )  # fmt: skip
    fixed = interface(magnetization=Y, name="fixed")
    a, b = (
        solve_multilayer(
            Multilayer(left=Reservoir(), elements=[fixed, normal(), free, normal()], right=Reservoir()), voltage=1.0
        )
        for free in (layer, lumped)
    )
    assert a.resistance_area == approx(b.resistance_area, rel=CLOSED_FORM)
    for name in ("free", "fixed"):
        assert a.torque(name) == approx(b.torque(name), rel=CLOSED_FORM)


@pytest.mark.parametrize("sign", [1, -1])
def test_field_like_torque_follows_the_imaginary_mixing_conductance_of_the_free_magnet(sign):
    # With |Im G| of one magnet only, first order: mu_s x m with mu_s along p is -Im G m x p.
    fixed = interface(mixing=G_MIX.real, magnetization=Z, name="fixed")
    free = interface(mixing=G_MIX.real * (1 + 0.2j * sign), magnetization=X, name="free")
    found = solve_multilayer(Multilayer(left=Reservoir(), elements=[fixed, free], right=Reservoir()), voltage=1.0)
    assert found.torque("free") @ np.cross(X, Z) * sign < 0
    mu = found.network.potentials[1, 1:]
    assert mu @ Z > 0
    expected = free.mixing_conductance.imag * np.cross(mu, X) + G_MIX.real * mu
    assert found.torque("free") @ Y == approx(HBAR_OVER_2E * expected @ Y, rel=CLOSED_FORM)


# --- Symmetries and conservation ---


@pytest.mark.parametrize("leads", [False, True])
def test_turning_all_vectors_turns_all_torques(leads):
    random = np.random.default_rng(7)
    directions = [random_direction(random) for _ in range(5)]
    R = rotation(random_direction(random)) @ rotation(random_direction(random))
    first, turned = (
        random_stack(3, turned[:3], leads=turned[3:] if leads else None)
        for turned in (directions, [R @ m for m in directions])
    )
    if not leads:
        turned = dataclasses.replace(
            turned, right=Reservoir(spin_accumulation=R @ np.array(first.right.spin_accumulation))
        )
    a, b = (solve_multilayer(stack, voltage=1.0) for stack in (first, turned))
    assert b.current_density == approx(a.current_density, rel=SAME_MODEL)
    assert len(first.magnets) == (5 if leads else 3)
    for one, other in zip(first.magnets, turned.magnets, strict=True):
        torque = a.torque(one.name)
        assert b.torque(other.name) == approx(R @ torque, abs=SAME_MODEL * np.max(np.abs(torque)))


def test_without_spin_flips_the_torques_are_all_the_spin_current_that_is_lost():
    # Along m nothing is lost then, but in a magnet that turns nothing else can be.
    random = np.random.default_rng(11)
    stack = random_stack(5, [random_direction(random) for _ in range(4)], loss=False, infinite=True)
    found = solve_multilayer(stack, voltage=1.0)
    enter, leave = found.spin_currents_at_ends()
    total = sum(found.torque(m.name) for m in stack.magnets)
    sizes = [np.max(np.abs(found.torque(m.name))) for m in stack.magnets]
    assert min(sizes) > 1e-6 * max(sizes)
    assert total == approx(HBAR_OVER_2E * (enter - leave), abs=ROUNDING * max(sizes))


def test_the_torque_is_the_integral_of_precession_and_decay_in_the_magnet():
    # d j_s/dz across m is -(1/2 rho*) kappa^2 u: what is lost by decay, mu/l_t^2, and by precession, m x mu/l_J^2.
    m = direction_at(1.0, X)
    l_t, l_J, thickness = 1.5e-9, 0.9e-9, 3e-9
    free = magnet(m, thickness, transverse_decay_length=l_t, precession_length=l_J, name="free")
    elements = [interface(magnetization=Z, name="fixed"), normal(), free, normal()]
    stack = Multilayer(left=Reservoir(), elements=elements, right=Reservoir())
    found = solve_multilayer(stack, voltage=1.0)
    points, weights = np.polynomial.legendre.leggauss(30)
    z = stack.positions[2] + thickness * (points + 1) / 2
    mu = found.spin_accumulation(z)
    across = mu - (mu @ m)[:, None] * m
    density = (across / l_t**2 + np.cross(m, across) / l_J**2) / (2 * RHO_F)
    torque = HBAR_OVER_2E * thickness / 2 * weights @ density
    assert found.torque("free") == approx(torque, abs=ROUNDING * np.max(np.abs(torque)))


def test_profiles_are_continuous_and_carry_the_currents_of_the_ends():
    random = np.random.default_rng(13)
    stack = random_stack(6, [random_direction(random) for _ in range(3)])
    found = solve_multilayer(stack, voltage=1.0)
    enter, leave = found.spin_currents_at_ends()
    size = np.max(np.abs([enter, leave]))
    end = stack.positions[-1]
    assert found.spin_current(0.0) == approx(enter, abs=ROUNDING * size)
    assert found.spin_current(end) == approx(leave, abs=ROUNDING * size)
    assert found.spin_accumulation(end) == approx(stack.right.spin_accumulation, abs=ROUNDING)
    assert found.potential([0.0, end]) == approx([0.6, -0.5], abs=ROUNDING)
    # An interface has no thickness: at it, what stands to its right.
    (step,) = [n for n, e in enumerate(stack.elements) if isinstance(e, Interface) and e.name == "m2"]
    z = stack.positions[step]
    assert found.spin_accumulation(z) == approx(found.network.potentials[step + 1, 1:], abs=ROUNDING)
    assert found.spin_accumulation(z * (1 - 1e-14)) == approx(found.network.potentials[step, 1:], abs=1e-9)
    before, after = found.network.potentials[[step, step + 1]]
    assert found.spin_accumulation(z, side="left") == approx(before[1:], abs=ROUNDING)
    assert found.potential([z, z / 2], side="left")[0] == approx(before[0], abs=ROUNDING)
    assert abs(before[0] - after[0]) > 1e-3
    assert found.potential(z / 2, side="left") == found.potential(z / 2)


def test_interfaces_at_the_edges_have_the_ends_on_their_far_side_and_the_stack_on_the_near_one():
    wall = interface(magnetization=Z)
    stack = Multilayer(left=Reservoir(), elements=[wall, normal(), wall, wall], right=Reservoir())
    found = solve_multilayer(stack, voltage=1.0)
    assert found.potential([0.0, T_N], side="left") == approx(found.network.potentials[[0, 2], 0], abs=ROUNDING)
    assert found.potential([0.0, T_N]) == approx(found.network.potentials[[1, 4], 0], abs=ROUNDING)
    assert found.potential(0.0, side="left") == approx(0.5, abs=ROUNDING)
    assert found.potential(T_N) == approx(-0.5, abs=ROUNDING)
    enter, leave = found.spin_currents_at_ends()
    assert found.spin_current(0.0, side="left") == approx(enter, rel=ROUNDING)
    assert found.spin_current(T_N) == approx(leave, rel=ROUNDING)
    # A hair outside, as positions that were added up in another order are, is the edge.
    hair = 1e-12 * T_N
    assert found.potential([-hair, T_N + hair]).tolist() == found.potential([0.0, T_N]).tolist()
    assert found.potential([-hair, T_N + hair], side="left") == approx(found.potential([0.0, T_N], side="left"))


def test_each_spin_obeys_ohms_law_in_every_layer_and_at_every_interface():
    # Along the magnetisation of each metal; where no spin flips each current is the same all along.
    wall = Interface(AR_star=R_B, gamma=GAMMA)
    long = {"spin_diffusion_length": np.inf}
    elements = [magnet(Z, 3e-9, **long), wall, normal(**long), wall, magnet(-Z, 7e-9, **long)]
    stack = Multilayer(left=Reservoir(), elements=elements, right=Reservoir())
    found = solve_multilayer(stack, voltage=1.0)
    for n, sign, beta in ((0, 1, BETA), (2, 1, 0.0), (4, -1, BETA)):
        edges = stack.positions[[n, n + 1]]
        both = found.spin_resolved(edges, side="right"), found.spin_resolved(edges, side="left")
        along_z = found.spin_resolved(edges[0], axis=Z)
        for spin, own in (("up", 1), ("down", -1)):
            mu = [getattr(both[face], f"mu_{spin}")[face] for face in (0, 1)]
            j = getattr(both[0], f"j_{spin}")[0]
            rho = 2 * stack.elements[n].rho_star * (1 - own * beta)
            assert mu[0] - mu[1] == approx(rho * (edges[1] - edges[0]) * j, rel=CLOSED_FORM)
            other = {1: spin, -1: {"up": "down", "down": "up"}[spin]}[sign]
            assert getattr(along_z, f"j_{other}") == approx(j, rel=ROUNDING)
            assert getattr(along_z, f"mu_{other}") == approx(mu[0], abs=ROUNDING)
    for n, sign in ((1, 1), (3, -1)):
        z = stack.positions[n]
        left, right = (found.spin_resolved(z, axis=sign * Z, side=side) for side in ("left", "right"))
        for spin, own in (("up", 1), ("down", -1)):
            drop = getattr(left, f"mu_{spin}") - getattr(right, f"mu_{spin}")
            assert drop == approx(2 * R_B * (1 - own * GAMMA) * getattr(left, f"j_{spin}"), rel=CLOSED_FORM)
    z = np.linspace(0, stack.positions[-1], 6).reshape(2, 3)
    resolved = found.spin_resolved(z)
    assert resolved.j_up + resolved.j_down == approx(np.full((2, 3), found.current_density), rel=ROUNDING)
    assert (resolved.mu_up + resolved.mu_down) / 2 == approx(found.potential(z), abs=ROUNDING)
    # The majority of the thin first magnet is the minority of the thick last one, and the smaller current.
    assert resolved.j_up[0, 0] < resolved.j_down[0, 0]
    assert resolved.j_up[1, 2] > resolved.j_down[1, 2]


def responses(stack):
    """(8, 8): charge and spin currents into a stack at both ends, per mu_0 and mu_s/2 there, the conjugate of j_s."""
    columns = []
    for end in ("left", "right"):
        for component in range(4):
            ends = {side: Reservoir() for side in ("left", "right")}
            vector = 2 * np.eye(3)[component - 1] if component else np.zeros(3)
            ends[end] = Reservoir(voltage=0.0 if component else 1.0, spin_accumulation=vector)
            found = solve_multilayer(dataclasses.replace(stack, **ends), voltage=0.0)
            columns.append(found.network.currents[[0, -1], [0, 1]].ravel())
    return np.array(columns).T


def test_responses_at_the_ends_obey_onsager():
    # Spins and magnetisations change sign with time: L_ij(m) = e_i e_j L_ji(-m), e = 1 for charge and -1 for spin.
    random = np.random.default_rng(17)
    directions = np.array([random_direction(random) for _ in range(3)])
    layers = {"transverse_decay_length": 1e-9, "precession_length": 0.8e-9}

    def stack(sign):
        G = {"mixing": (0.6 + 0.3j) * 1e15, "mixing_transmitted": (1 + 2j) * 1e14}
        walls = [interface(magnetization=sign * m, name=n, **G) for m, n in zip(directions, "abc", strict=True)]
        elements = [walls[0], normal(), walls[1], normal(), magnet(sign * directions[2], name="F", **layers), normal()]
        return Multilayer(left=Reservoir(), elements=elements, right=Reservoir())

    here, reversed_ = responses(stack(1)), responses(stack(-1))
    parity = np.array([1, -1, -1, -1] * 2)
    size = np.max(np.abs(here))
    assert here == approx(parity[:, None] * parity * reversed_.T, abs=SAME_MODEL * size)
    assert np.max(np.abs(here - here.T)) > 0.01 * size
    assert np.min(np.linalg.eigvalsh(here + here.T)) > -ROUNDING * size  # nothing but heat comes out


def symmetric_valve():
    fixed = [interface(mixing=G_MIX * (1 + 0.3j)), magnet(Z, name="left")]
    free = [magnet(X, name="right"), interface(mixing=G_MIX * (1 + 0.3j))]
    outside = interface(mixing=G_MIX)
    elements = [normal(), outside, *fixed[::-1], normal(2e-8), *free[::-1], outside, normal()]
    return Multilayer(left=Reservoir(), elements=elements, right=Reservoir())


def test_both_senses_of_the_angle_and_both_magnets_of_a_symmetric_valve_are_alike():
    d = angular_dependence(symmetric_valve(), angle=[*ANGLES, *-ANGLES])
    n = len(ANGLES)
    for name in d.data_vars:
        size = np.max(np.abs(d[name].values))
        assert d[name].values[n:] == approx(d[name].values[:n], abs=EVEN * size)
    # tau_R(V) = tau_L(-V), and all of it is linear in V.
    for name in ("damping_like", "field_like"):
        size = np.max(np.abs(d[name].values))
        assert size > 1e-3 * np.max(np.abs(d.damping_like.values))
        assert d[name].values == approx(-d[name + "_fixed"].values, abs=EVEN * size)


def test_coefficients_are_smooth_through_0_and_180_degrees():
    for middle in (0.0, np.pi):
        near = np.array([0.0, 3e-7, 9.9e-7, 1.01e-6, 2e-6])
        d = angular_dependence(symmetric_valve(), angle=middle + np.concatenate([near, -near]))
        for name in ("damping_like", "field_like", "damping_like_fixed"):
            size = np.max(np.abs(d[name].values))
            assert np.ptp(d[name].values) < 5e-8 * size
            # On both sides of where the limit ends.
            assert d[name].values[2] == approx(d[name].values[3], abs=EVEN * size)
        one, two = angular_dependence(symmetric_valve(), angle=middle + np.array([0.005, 0.01]))["damping_like"].values
        assert d["damping_like"].values[0] == approx((4 * one - two) / 3, rel=1e-8)


def test_coefficients_are_those_of_the_torque_vectors():
    stack, angle = symmetric_valve(), 1.1
    d = angular_dependence(stack, angle=angle)
    found = solve_multilayer(stack.turned("right", direction_at(angle, Z)), voltage=1.0)
    p, m = Z, direction_at(angle, Z)
    for name, own, other, suffix in (("right", m, p, ""), ("left", p, m, "_fixed")):
        torque = d["damping_like" + suffix].item() * np.cross(own, np.cross(other, own))
        torque = torque + d["field_like" + suffix].item() * np.cross(own, other)
        assert torque == approx(found.torque(name), abs=ROUNDING * np.max(np.abs(torque)))
    swapped = angular_dependence(stack, angle=angle, free="left", fixed="right")
    assert swapped.damping_like.item() == approx(d.damping_like_fixed.item(), rel=1e-10)
    assert (swapped.attrs["free"], swapped.attrs["fixed"]) == ("left", "right")
    assert all(d[v].attrs["units"] and d[v].attrs["long_name"] for v in d.variables)


def test_of_three_magnets_the_first_is_fixed_and_the_last_free_unless_named():
    third = interface(magnetization=Y, name="third")
    stack = Multilayer(left=Reservoir(), elements=[*symmetric_valve().elements, third], right=Reservoir())
    assert angular_dependence(stack, angle=1.0).attrs == {"free": "third", "fixed": "left"}
    d = angular_dependence(stack, angle=1.0, free="right")
    m = direction_at(1.0, Z)
    torque = solve_multilayer(stack.turned("right", m), voltage=1.0).torque("right")
    assert d.damping_like.item() * np.sin(1.0) ** 2 == approx(torque @ np.cross(m, np.cross(Z, m)), rel=EVEN)
    assert d.field_like.item() * np.sin(1.0) ** 2 == approx(torque @ np.cross(m, Z), rel=EVEN)


def test_coefficients_are_per_volt_between_the_ends_whatever_they_are_held_at():
    stack = symmetric_valve()
    a = angular_dependence(stack, angle=[0.0, 1.0])
    b = angular_dependence(
        dataclasses.replace(stack, left=Reservoir(voltage=0.7), right=Reservoir(voltage=0.1)), angle=[0.0, 1.0]
    )
    for name in a.data_vars:
        assert b[name].values == approx(a[name].values, rel=1e-9)


def test_a_torque_map_holds_the_torques_per_cell_and_the_currents():
    stack, angle, voltage, area = symmetric_valve(), np.array([0.0, 0.8, np.pi]), np.array([-0.2, 0.1, 0.3]), 0.25
    found = diffusion.torque_map(stack, angle=angle, voltage=voltage, area=area, mixing_conductance=G_MIX)
    at = solve_multilayer(stack.turned("right", direction_at(0.8, Z)), voltage=0.3)
    joules = ELEMENTARY_CHARGE / (area * 1e-18)
    m = direction_at(0.8, Z)
    torque = found.damping_like[1, 2] * np.cross(m, np.cross(Z, m)) + found.field_like[1, 2] * np.cross(m, Z)
    assert joules * torque == approx(at.torque("right"), rel=1e-9)
    torque = found.damping_like_fixed[1, 2] * np.cross(Z, np.cross(m, Z))
    torque = torque + found.field_like_fixed[1, 2] * np.cross(Z, m)
    assert joules * torque == approx(at.torque("left"), rel=1e-9)
    assert found.charge_current[1, 2] == approx(at.current_density * area * 1e-18, rel=1e-9)
    assert found.mixing_conductance == approx(G_MIX * area * 1e-18 / CONDUCTANCE_QUANTUM_PER_SPIN)
    assert found.damping_like[:, 0] == approx(-2 * found.damping_like[:, 1])


# --- Leads and drives ---


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_lead_is_a_layer_of_forty_decay_lengths(side):
    lengths = {"spin_diffusion_length": 2e-9, "transverse_decay_length": 1e-9, "precession_length": 2e-9}
    thickness, m = 80e-9, direction_at(2.0, X)
    given = {"rho_star": RHO_F, "beta": BETA, "magnetization": m, "name": "thick", **lengths}
    layer = Layer(thickness=thickness, **given)
    inner = [
        interface(mixing=G_MIX, mixing_transmitted=1e14),
        normal(),
        interface(magnetization=Z, name="other"),
        normal(),
    ]
    held = {"left": 0.25, "right": -0.25}
    ends = {end: Reservoir() for end in held}
    elements = inner if side == "left" else inner[::-1]
    with_lead = Multilayer(elements=elements, **(ends | {side: Lead(**given)}))
    with_layer = Multilayer(elements=[layer, *elements] if side == "left" else [*elements, layer], **ends)
    a, b = (solve_multilayer(stack, current_density=1e12) for stack in (with_lead, with_layer))
    bulk = RHO_F * (1 - BETA**2) * thickness
    assert a.resistance_area == approx(b.resistance_area - bulk, rel=SAME_MODEL)
    name = next(magnet.name for magnet in with_lead.magnets if magnet.left_lead or magnet.right_lead)
    size = np.max(np.abs(b.torque("thick")))
    assert a.torque(name) == approx(b.torque("thick"), abs=SAME_MODEL * size)
    assert a.torque("other") == approx(b.torque("other"), abs=SAME_MODEL * size)


def test_a_stack_is_driven_by_a_current_as_by_the_voltage_it_takes():
    stack = dataclasses.replace(symmetric_valve(), left=Reservoir(voltage=0.3, spin_accumulation=(0.1, 0.2, 0.3)))
    a = solve_multilayer(stack, current_density=-2e13)
    assert a.current_density == approx(-2e13, rel=CLOSED_FORM)
    b = solve_multilayer(stack, voltage=a.voltage - 0.3)
    assert b.voltage == approx(a.voltage, rel=CLOSED_FORM)
    assert b.current_density == approx(-2e13, rel=CLOSED_FORM)
    assert b.torque("left") == approx(a.torque("left"), rel=CLOSED_FORM)
    assert b.network.potentials[0, 0] - b.network.potentials[-1, 0] == approx(b.voltage, rel=CLOSED_FORM)


# --- Superlattices ---


def superlattice(periods, *, random=None, thick=1.0):
    """F | N periods, every second magnet reversed."""
    size = random.uniform(0.2, 2.0, 2 * periods) if random is not None else np.ones(2 * periods)
    elements = []
    for n in range(periods):
        elements.append(magnet((-1) ** n * Z, 3e-9 * thick * size[2 * n]))
        elements.append(normal(4e-9 * thick * size[2 * n + 1]))
    return Multilayer(left=Reservoir(), elements=elements, right=Reservoir())


def resistance_by_elimination(stack):
    """Of layers between reservoirs: at unit current only the accumulation is unknown, one per contact, in long double.

    mu_0 + beta s/2 falls by rho* (1 - beta^2) t in a layer and jumps where beta changes; j_s = beta j - s'/(2 rho*) is
    continuous. Thomas' algorithm.
    """
    real = np.longdouble
    layers = stack.elements
    x = np.array([layer.thickness / layer.spin_diffusion_length for layer in layers], dtype=real)
    R = np.array([layer.rho_star * layer.thickness for layer in layers], dtype=real)
    signed = np.array(
        [0.0 if m is None else layer.beta * m[2] for layer, m in zip(layers, stack.axes, strict=True)], real
    )
    gone = np.exp(-x)
    own, other = x * (1 + gone**2) / (1 - gone**2) / (2 * R), 2 * x * gone / (1 - gone**2) / (2 * R)
    diagonal, given = own[:-1] + own[1:], signed[:-1] - signed[1:]
    for n in range(1, len(diagonal)):
        share = other[n] / diagonal[n - 1]
        diagonal[n] -= share * other[n]
        given[n] += share * given[n - 1]
    s = np.empty_like(given)
    s[-1] = given[-1] / diagonal[-1]
    for n in range(len(s) - 2, -1, -1):
        s[n] = (given[n] + other[n + 1] * s[n + 1]) / diagonal[n]
    return float(np.sum(R * (1 - signed**2)) + np.sum((signed[:-1] - signed[1:]) * s) / 2)


@pytest.mark.parametrize("thick", [1.0, 3e5])
def test_a_superlattice_of_a_thousand_layers_is_exact(thick):
    for random in (None, np.random.default_rng(3)):
        stack = superlattice(500, random=random, thick=thick)
        found = solve_multilayer(stack, voltage=1.0)
        assert len(stack.elements) == 1000
        assert found.resistance_area == approx(resistance_by_elimination(stack), rel=COLLINEAR)
        assert np.all(np.isfinite(found.spin_accumulation(np.linspace(0, stack.positions[-1], 500))))


def test_a_spiral_of_magnets_takes_the_same_resistance_per_period_everywhere():
    def resistance(periods):
        inside = {"transverse_decay_length": 1e-9, "precession_length": 1e-9}
        elements = []
        for n in range(periods):
            for m in (X, Y, -X, -Y):
                elements += [magnet(m, 2e-9, name=f"{n}{m}", **inside), normal(1e-8, spin_diffusion_length=1e-8)]
        stack = Multilayer(left=Reservoir(), elements=elements, right=Reservoir())
        return solve_multilayer(stack, voltage=1.0).resistance_area, ModeSolution(stack, 1.0) if periods < 10 else None

    (few, modes), (more, _), (most, _) = (resistance(n) for n in (8, 16, 125))
    assert few == approx(1 / modes.fields(0, 0.0)[1][0], rel=SAME_MODEL)
    # Beyond the ends, whose influence decays within a few periods.
    assert (most - more) / 109 == approx((more - few) / 8, rel=1e-9)


# --- Refusals ---

LUMPED = interface(magnetization=Z)
BARE = dataclasses.replace(LUMPED, mixing_conductance=None)


def stack_of(*elements, **ends):
    return Multilayer(**({"left": Reservoir(), "right": Reservoir()} | ends), elements=elements)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: normal(-1e-9), "thickness=-1e-09 is out of range; give a positive number in m"),
        (lambda: normal(np.inf), "thickness=inf is out of range"),
        (lambda: normal(rho_star=True), "rho_star=True is out of range; give a positive number in Ohm m"),
        (lambda: normal(spin_diffusion_length=0.0), "spin_diffusion_length=0.0 is out of range; give a positive"),
        (lambda: normal(spin_diffusion_length=np.nan), "spin_diffusion_length=nan is out of range"),
        (lambda: magnet(Z, beta=1.0), "beta=1.0 is out of range; give a number between -1 and 1"),
        (lambda: magnet(Z, beta="a"), "beta='a' is not a finite number; give one"),
        (lambda: magnet((0, 0, 2)), r"magnetization=\(0, 0, 2\) has length 2; give a unit vector"),
        (lambda: magnet(Z, transverse_decay_length=0.0),
         "transverse_decay_length=0.0 is out of range; give a positive"),
        (lambda: magnet(Z, precession_length=-1.0), "precession_length=-1.0 is out of range; give a positive"),
        (lambda: normal(beta=0.2), "beta=0.2 of a layer without magnetization; give magnetization= or beta=0"),
        (lambda: normal(transverse_decay_length=1e-9), "of a normal metal; only magnets"),
        (lambda: normal(precession_length=1e-9), "of a normal metal; only magnets"),
        (lambda: Interface(AR_star=0.0), "AR_star=0.0 is out of range; give a positive number in Ohm m"),
        (lambda: Interface(AR_star=1e-15, gamma=-1), "gamma=-1 is out of range; give a number between"),
        (lambda: Interface(AR_star=1e-15, spin_memory_loss=-0.1), "spin_memory_loss=-0.1 is negative; give a number"),
        (lambda: Interface(AR_star=1e-15, mixing_conductance=np.nan),
         "mixing_conductance=nan is not a finite number; give"),
        (lambda: Interface(AR_star=1e-15, mixing_conductance="1"),
         "mixing_conductance='1' is not a finite number; give"),
        (lambda: Interface(AR_star=1e-15, mixing_conductance=-1 + 1j),
         "its real part is negative, a source of spin; give"),
        (lambda: interface(mixing_conductance_opposite=-1.0), "mixing_conductance_opposite=.* is negative, a source"),
        (lambda: Interface(AR_star=1e-15, mixing_transmitted=1.0), "mixing_conductance=None beside other mixing"),
        (lambda: Interface(AR_star=1e-15, mixing_conductance_opposite=1.0), "give the reflected one too"),
        (lambda: Interface(AR_star=1e-15, mixing_transmitted_back=1.0), "give the reflected one too"),
        (lambda: Interface(AR_star=1e-15, magnetization=(1, 1, 0)), "give a unit vector"),
        (lambda: ferromagnet(Z, spin_diffusion_length=np.inf),
         "spin_diffusion_length=inf of a lead; give a finite one"),
        (lambda: ferromagnet(Z, voltage=np.inf), r"voltage=inf is not a finite number; give one number in V \(or None"),
        (lambda: ferromagnet(Z, area=-1.0), "area=-1.0 is out of range; give a positive"),
        (lambda: Reservoir(voltage="1"), "voltage='1' is not a finite number; give one"),
        (lambda: Reservoir(spin_accumulation=0.1),
         "spin_accumulation=0.1 is not a vector; give three finite numbers in V"),
        (lambda: Reservoir(spin_accumulation="xyz"), "spin_accumulation='xyz' is not a vector; give three"),
        (lambda: stack_of(), r"elements=\[\]: give at least one Layer or Interface"),
        (lambda: stack_of(normal(), ferromagnet(Z)), r"elements\[1\]=Lead.* is a Lead; give a Layer or Interface"),
        (lambda: stack_of(normal(), left=magnet(Z)), "left=Layer.* is a Layer; give a Lead or Reservoir"),
        (lambda: stack_of(normal(), left=Reservoir(voltage=None)), "left: voltage=None; .* give both a voltage"),
        (lambda: stack_of(normal(), right=ferromagnet(Z, area=2.0)),
         "right: area=2.0; a multilayer is per area, leave it"),
        (lambda: stack_of(magnet(Z), Interface(AR_star=1e-15, name="x"), magnet(X)),
         r"element 1 \('x'\) lies between two magnets of different directions; put a normal layer between"),
        (lambda: stack_of(normal(), interface()),
         "element 1: a magnetic interface far from magnets; give it magnetization="),
        (lambda: stack_of(LUMPED, interface()), "element 1: a magnetic interface far from magnets"),
        (lambda: stack_of(magnet(Z, name="a"), normal(), magnet(Z, name="a")).magnets,
         "two magnets are called 'a'; give"),
        (lambda: symmetric_valve().turned("middle", Z), "magnet 'middle' is unknown; they are left, right"),
        (lambda: symmetric_valve().turned("left", (0, 1, 1)), "give a unit vector"),
        (lambda: solve_multilayer(symmetric_valve()), "voltage=None, current_density=None; give one of the two"),
        (lambda: solve_multilayer(symmetric_valve(), voltage=1, current_density=1), "give one of the two"),
        (lambda: solve_multilayer(symmetric_valve(), voltage=np.nan), "voltage=nan is not a finite number; give one"),
        (lambda: solve_multilayer(symmetric_valve(), current_density="x"),
         "current_density='x' is not a finite number"),
        (lambda: solve_multilayer(stack_of(normal()), voltage=0).resistance_area,
         "voltage=0: the resistance is a ratio"),
        (lambda: solve_multilayer(stack_of(normal(), left=Reservoir(spin_accumulation=X)), voltage=1).resistance_area,
         "spin_accumulation of an end: it drives currents and torques too, they are not per volt; use"),
        (lambda: magnetoresistance(stack_of(*symmetric_valve().elements, left=Reservoir(spin_accumulation=X))),
         "spin_accumulation of an end: it drives currents and torques too, they are not per volt; use"),
        (lambda: magnetoresistance(stack_of(LUMPED)), r"1 magnet\(s\) in the stack; an angle needs two"),
        (lambda: magnetoresistance(symmetric_valve(), fixed="right"),
         "free and fixed are both magnet 'right'; name two"),
        (lambda: solve_multilayer(stack_of(normal()), voltage=1).potential(0.0, side="up"),
         "side='up'; give 'left' or 'right'"),
        (lambda: solve_multilayer(stack_of(normal()), voltage=1).spin_resolved(0.0, axis=(1, 1, 0)),
         "axis=.* has length 1.41.*; give a unit vector"),
        (lambda: solve_multilayer(stack_of(normal()), voltage=1).potential([0, 6e-9]),
         "leaves the stack; give positions"),
        (lambda: solve_multilayer(stack_of(normal()), voltage=1).spin_current(np.nan),
         "leaves the stack; give positions"),
        (lambda: solve_multilayer(stack_of(LUMPED), voltage=1).potential(0.0),
         "the stack has interfaces only; there is no"),
        (lambda: solve_multilayer(stack_of(LUMPED), voltage=1).torque("x"), "magnet 'x' is unknown; they are 1"),
        (lambda: solve_multilayer(stack_of(BARE, dataclasses.replace(LUMPED, magnetization=X)), voltage=1),
         "element 0: mixing_conductance=None across other magnets or sources; give one"),
        (lambda: solve_multilayer(stack_of(magnet(Z, name="F"), normal(), magnet(X)), voltage=1),
         r"element 0 \('F'\): a magnet across other magnets or sources needs transverse_decay_length=, or interfaces"),
        (lambda: solve_multilayer(stack_of(BARE, right=Reservoir(spin_accumulation=X)), voltage=1),
         "mixing_conductance=None"),
        (lambda: solve_multilayer(stack_of(magnet(Z), right=ferromagnet(X)), voltage=1),
         "needs transverse_decay_length="),
        (lambda: angular_dependence(stack_of(LUMPED), angle=1.0), r"1 magnet\(s\) in the stack; an angle needs two"),
        (lambda: angular_dependence(symmetric_valve(), angle=1.0, free="left"),
         "free and fixed are both magnet 'left'; name two"),
        (lambda: angular_dependence(symmetric_valve(), angle=[0.0, np.inf]),
         "angle=.*inf.* is not a finite number; give one"),
        (lambda: angular_dependence(symmetric_valve(), angle=[]), r"angle=\[\]: give at least one angle in rad"),
        (lambda: angular_dependence(
            dataclasses.replace(symmetric_valve(), left=Reservoir(spin_accumulation=X)), angle=1.0),
         "spin_accumulation of an end: it drives currents and torques too, they are not per volt; use"),
        (lambda: angular_dependence(stack_of(*symmetric_valve().elements, interface(magnetization=Y, name="third")),
                                    angle=np.pi, free="right"),
         "angle=3.14159: the coefficients have no limit there, magnet 'third' is not along 'left'; leave the"),
        (lambda: diffusion.torque_map(symmetric_valve(), angle=[0, 1], voltage=[0, 1], area=0.0),
         "area=0.0 is not an area; give"),
        (lambda: diffusion.torque_map(symmetric_valve(), angle=[0, 1], voltage=[0, np.nan], area=1.0),
         "voltage=.*nan.* is not a"),
        (lambda: diffusion.torque_map(symmetric_valve(), angle=[0, 1], voltage=[0, 1], area=1.0,
                                      mixing_conductance="x"),
         "mixing_conductance='x' is not a finite number; give one in S"),
        (lambda: diffusion.torque_map(symmetric_valve(), angle=[0, 1], voltage=[0, 1], area=1.0,
                                      mixing_conductance=1j * np.inf),
         "mixing_conductance=.*inf.* is not a finite number; give one in S"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_mend(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_lumped_magnet_beside_a_magnet_of_another_direction_is_refused():
    magnet = Layer(thickness=2e-9, rho_star=7.5e-8, beta=0.4, spin_diffusion_length=6e-8, magnetization=(0, 0, 1))
    face = Interface(AR_star=1e-15, gamma=0.5, mixing_conductance=5e14, magnetization=(1, 0, 0))
    with pytest.raises(InputError, match="lumped into an interface lies between normal metals"):
        Multilayer(left=Reservoir(), elements=[magnet, face], right=Reservoir())
    along = dataclasses.replace(face, magnetization=(0, 0, 1))
    assert len(Multilayer(left=Reservoir(), elements=[magnet, along], right=Reservoir()).magnets) == 1

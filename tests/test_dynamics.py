"""Integrators, energy terms, torque sources and drives against solutions of the implicit Gilbert equation."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from qtorque import llg
from qtorque.errors import InputError
from qtorque.llg import _dynamics_kernels as kernels
from qtorque.llg import dynamics, lanes
from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.pair import pair_equation
from qtorque.llg.trajectories import addresses
from qtorque.torquemap import TorqueMap
from qtorque.units import BOLTZMANN, ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, HBAR, VACUUM_PERMEABILITY

TRAJECTORY_ERROR = 1e-9
"""Asked of a trajectory of a nanosecond at 0 K."""
ORDER_ERROR = 0.15
"""Of a fitted order of convergence."""
EQUAL_TERMS = 1e-9
"""Relative: two ways to write one field, or a numerical gradient of an energy of tens of millitesla."""
BY_ROUNDING = 1e-12
"""Sums of a few terms of order one."""
GRADIENT_STEP = 0.1
"""Of a direction. Differences over four points are exact for an energy of fourth degree, whatever the step."""

AREA, THICKNESS, MS = 1.26e-15, 1.5e-9, 1.0e6
TESLA = MS * THICKNESS * AREA
"""J: the torque that weighs as much as a field of one tesla."""


def tilted(polar, azimuth=0.0):
    return np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)


def magnet(**changes):
    """Every energy term there is, tens of millitesla each, and no symmetry."""
    shape = np.diag([0.1, 0.2, 0.7])
    shape[0, 1] = shape[1, 0] = 0.05
    values = {
        "Ms": MS, "thickness": THICKNESS, "area": AREA, "alpha": 0.05, "anisotropy": 1.0e5, "easy_axis": tilted(0.3),
        "second_order_anisotropy": 2.0e4, "cubic_anisotropy": 3.0e4, "cubic_axes": (tilted(np.pi / 2, 0.3), (0, 0, 1)),
        "demag": shape, "field": (0.05, 0.1, -0.02), "exchange_bias": (-0.02, 0.0, 0.03), "fixed": tilted(0.2, 0.5),
        "voltage_anisotropy": 4.0e4,
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


def torque_map(damping_like, field_like, *, fixed=(None, None)):
    """A map of functions (angle, voltage) in tesla of `magnet()`."""
    angle, voltages = np.linspace(0, np.pi, 13), np.linspace(-1, 1, 7)
    grid = np.meshgrid(angle, voltages, indexing="ij")
    to_cell = TESLA * 0.09e-18 / AREA / ELEMENTARY_CHARGE
    functions = [damping_like, field_like, *(function or (lambda a, v: 0 * a) for function in fixed)]
    values = [to_cell * (function(*grid) + np.zeros(grid[0].shape)) for function in functions]
    names = ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed")
    return TorqueMap(
        angle=angle, voltage=voltages, area=0.09, charge_current=np.zeros(grid[0].shape),
        **dict(zip(names, values, strict=True)),
    )  # fmt: skip


def rich_map():
    return torque_map(
        lambda a, v: 0.03 * v * (1 + 0.4 * np.cos(a)) + 0.01 * v**2,
        lambda a, v: (0.01 + 0.02 * v**2) * (1 - 0.3 * np.cos(a)),
        fixed=(lambda a, v: -0.02 * v * (1 - 0.2 * np.cos(a)), lambda a, v: 0.01 + 0.01 * v * np.cos(a)),
    )


def gradient_field(free, m):
    """-dE/dm/(Ms Vol) by central differences of `free.energy`, as a function of three free components."""
    one, two = GRADIENT_STEP * np.eye(3), 2 * GRADIENT_STEP * np.eye(3)
    near, far = free.energy(m + one) - free.energy(m - one), free.energy(m + two) - free.energy(m - two)
    return -(8 * near - far) / (12 * GRADIENT_STEP * free.moment)


def gilbert_rate(m, field, alpha, pull, push, p):
    """dm/dt of the implicit Gilbert form, solved as three linear equations: no algebra in common with the kernels."""
    torque = -np.cross(m, field) + pull * np.cross(m, np.cross(p, m)) - push * np.cross(m, p)
    x, y, z = m
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return GYROMAGNETIC_RATIO * np.linalg.solve(np.eye(3) - alpha * cross, torque)


def reference(rate, start, duration, kinks=()):
    """m at the end by an independent method of order 8, piece by piece between kinks of the drive."""
    m, edges = np.asarray(start, dtype=float).ravel(), [0.0, *kinks, duration]
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        inside = 1e-12 * (end - begin)
        solution = solve_ivp(
            lambda t, y: rate(min(max(t, begin + inside), end - inside), y), (begin, end), m,  # noqa: B023
            method="DOP853", rtol=1e-12, atol=1e-13,
        )  # fmt: skip
        m = solution.y[:, -1]
    return m


def map_rate(free, tmap, voltage, field=lambda t: np.zeros(3)):
    p = np.array(free.fixed)
    u = np.array(free.easy_axis)

    def rate(t, m):
        V = float(voltage(t))
        unit = m / np.linalg.norm(m)
        angle = np.arccos(np.clip(unit @ p, -1, 1))
        pull, push = (x / free.moment for x in tmap.torque(angle, V, area_si=free.area))
        B = gradient_field(free, m) + 2 * free.voltage_anisotropy * V / free.Ms * (u @ m) * u + field(t)
        return gilbert_rate(m, B, free.alpha, pull, push, p)

    return rate


# --- trajectories -----------------------------------------------------------------------------------------------------

DRIVES = {
    "constant": (llg.constant(0.8), ()),
    "pulse": (llg.pulse(0.9, 3e-10, rise=1e-10, fall=2e-10, start=1e-10, base=-0.1), (1e-10, 2e-10, 5e-10, 7e-10)),
    "sine": (llg.sine(0.5, 4e9, phase=0.3, offset=0.2), ()),
    "chirp": (llg.chirp(0.5, 1e9, 8e9, 8e-10, offset=0.1), (8e-10,)),
    "sampled": (llg.sampled([0, 2e-10, 5e-10, 1e-9], [0.0, 0.9, -0.5, 0.4]), (2e-10, 5e-10)),
}


@pytest.mark.parametrize("name", ["constant", "pulse", "chirp"])
def test_trajectory_of_a_map_is_that_of_the_implicit_gilbert_equation(name):
    """All energy terms, both torques, under every kind of drive; by both integrators."""
    drive, kinks = DRIVES[name]
    free, tmap = magnet(), rich_map()
    start = tilted(2.0, 1.0)
    swing = llg.FieldDrive(direction=tilted(1.0, 2.0), waveform=llg.sine(0.02, 3e9))

    def field(t):
        return 0.02 * np.sin(2 * np.pi * 3e9 * t) * np.array(swing.direction)

    expected = reference(map_rate(free, tmap, drive, field), start, 1e-9, kinks)
    options = {"voltage": drive, "field": swing, "initial": start, "duration": 1e-9, "samples": 10}
    adaptive = llg.run(free, tmap, tolerance=1e-12, **options)["m"].values[-1]
    np.testing.assert_allclose(adaptive, expected, rtol=0, atol=TRAJECTORY_ERROR)
    fixed_step = llg.run(free, tmap, dt=1e-13, **options)["m"].values[-1]
    np.testing.assert_allclose(fixed_step, expected, rtol=0, atol=TRAJECTORY_ERROR)


CLOSED_FORMS = {
    "slonczewski": llg.Slonczewski(polarization=0.6, Lambda=1.5, epsilon_prime=0.2),
    "spin_orbit": llg.SpinOrbitTorque(damping_like=0.3, field_like=-0.1, direction=(0, 1, 0)),
    "two_polarizers": llg.TwoPolarizers(
        first=llg.Slonczewski(polarization=0.6, Lambda=1.5),
        second=llg.Slonczewski(polarization=0.4, epsilon_prime=0.3),
        second_direction=tilted(2.5, 0.3),
    ),
}  # fmt: skip


def closed_form_torque(name, free, m, J):
    """(pull, push, p) of each polariser, written out from the literature's formulas."""
    beta = HBAR * J / (ELEMENTARY_CHARGE * free.Ms * free.thickness)
    p, q = np.array(free.fixed), np.array(tilted(2.5, 0.3))

    def epsilon(P, Lambda, c):
        return P * Lambda**2 / ((Lambda**2 + 1) + (Lambda**2 - 1) * c)

    return {
        "slonczewski": [(beta * epsilon(0.6, 1.5, m @ p), 0.2 * beta, p)],
        "spin_orbit": [(0.3 * beta / 2, -0.1 * beta / 2, np.array([0, 1.0, 0]))],
        "two_polarizers": [(beta * epsilon(0.6, 1.5, m @ p), 0, p), (-beta * 0.4 / 2, -0.3 * beta, q)],
    }[name]


@pytest.mark.parametrize(("name", "shape"), list(zip(CLOSED_FORMS, ("sine", "sampled", "pulse"), strict=True)))
def test_trajectory_of_a_closed_form_is_that_of_the_implicit_gilbert_equation(name, shape):
    free = magnet(voltage_anisotropy=0.0)
    drive, kinks = DRIVES[shape]
    current = dataclasses.replace(
        drive, value=tuple(2e11 * v for v in drive.value), amplitude=2e11 * drive.amplitude
    )  # fmt: skip
    start = tilted(2.0, 1.0)

    def rate(t, m):
        terms = closed_form_torque(name, free, m, float(current(t)))
        x = sum(pull * np.cross(p, m) - push * p for pull, push, p in terms)
        # The sum of polarisers as one torque m x x: a field -x.
        return gilbert_rate(m, gradient_field(free, m) - x, free.alpha, 0.0, 0.0, np.zeros(3))

    expected = reference(rate, start, 1e-9, kinks)
    options = {"current_density": current, "initial": start, "duration": 1e-9, "samples": 10}
    found = llg.run(free, CLOSED_FORMS[name], tolerance=1e-12, **options)["m"].values[-1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TRAJECTORY_ERROR)
    found = llg.run(free, CLOSED_FORMS[name], dt=1e-13, **options)["m"].values[-1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TRAJECTORY_ERROR)


def test_two_free_layers_follow_the_implicit_gilbert_equations_of_both():
    """Each feels its own torque of the map at the angle between them, exchange and stray field."""
    first = magnet(alpha=0.03, voltage_anisotropy=0.0)
    second = magnet(Ms=0.8e6, thickness=2e-9, easy_axis=(0, 0, 1), field=(0, 0.03, 0.05))
    dipolar = np.array([[-0.03, 0.01, 0], [0.01, -0.03, 0], [0, 0, 0.06]])
    pair = llg.CoupledMacrospins(first=first, second=second, interlayer_coupling=4e-5, dipolar=dipolar)
    tmap = rich_map()
    start = np.array([tilted(1.0, 0.5), tilted(2.2, 2.0)])
    drive = llg.sine(0.6, 2e9)

    def rate(t, both):
        both = both.reshape(2, 3)
        V = float(drive(t))
        units = both / np.linalg.norm(both, axis=1)[:, np.newaxis]
        angle = np.arccos(np.clip(units[0] @ units[1], -1, 1))
        on_second = np.array(tmap.torque(angle, V, area_si=AREA)) / second.moment
        swapped = dataclasses.replace(tmap, damping_like=tmap.damping_like_fixed, field_like=tmap.field_like_fixed)
        on_first = np.array(swapped.torque(angle, V, area_si=AREA)) / first.moment
        found = []
        for i, (free, torque) in enumerate(((first, on_first), (second, on_second))):
            m, other = both[i], both[1 - i]
            # Mutual energy: -J m1.m2 A + mu_0 Ms1 Ms2 V1 m1.N m2, differentiated by hand.
            mutual = 4e-5 * AREA * other - VACUUM_PERMEABILITY * first.Ms * second.Ms * first.volume * dipolar @ other
            axis = np.array(free.easy_axis)
            B = (
                gradient_field(free, m)
                + mutual / free.moment
                + 2 * free.voltage_anisotropy * V / free.Ms * (axis @ m) * axis
            )
            found.append(gilbert_rate(m, B, free.alpha, torque[0], torque[1], other))
        return np.concatenate(found)

    expected = reference(rate, start, 2e-10).reshape(2, 3)
    options = {"voltage": drive, "initial": start, "duration": 2e-10, "samples": 5}
    adaptive = llg.run(pair, tmap, tolerance=1e-14, **options)
    assert adaptive["m"].dims == ("time", "magnet", "xyz")
    np.testing.assert_allclose(adaptive["m"].values[-1], expected, rtol=0, atol=TRAJECTORY_ERROR)
    np.testing.assert_allclose(
        llg.run(pair, tmap, dt=4e-14, **options)["m"].values[-1], expected, rtol=0, atol=TRAJECTORY_ERROR
    )


def test_the_watch_of_pairs_tells_of_both_magnets():
    bare = {"anisotropy": 0.0, "demag": (1 / 3,) * 3, "alpha": 0.0, "Ms": MS, "thickness": THICKNESS, "area": AREA}
    first, second = llg.Macrospin(**bare, field=(0.1, 0, 0)), llg.Macrospin(**bare)
    pair = llg.CoupledMacrospins(first=first, second=second)
    period = 2 * np.pi / (GYROMAGNETIC_RATIO * 0.1)
    start = np.tile([0, 0, 1.0], (40, 2, 1))
    moments = Moments(pair_equation(pair, None), start, period / 1002, watch=(0, 0, 1))
    moments.advance(300)
    np.testing.assert_array_equal(moments.crossed, np.tile([251, -1], (40, 1)))


def test_results_say_what_drove_them():
    free, tmap = magnet(), rich_map()
    swing = llg.FieldDrive(direction=(0, 0, 1), waveform=0.01)
    options = {"initial": "antiparallel", "duration": 1e-11, "dt": 1e-13, "field": swing}
    one = llg.run(free, tmap, voltage=llg.pulse(0.3, 1e-12), **options)
    many = llg.ensemble(free, tmap, voltage=[llg.pulse(0.3, 1e-12), llg.pulse(0.3, 2e-12)], trajectories=1, **options)
    for d in (one, many):
        assert "1e-12" in d.attrs["drive"]
        assert "FieldDrive" in d.attrs["field_drive"]
        assert d.attrs["torque"] == "torque map"
        assert d.attrs["duration"] == 1e-11
    source = CLOSED_FORMS["slonczewski"]
    closed = llg.run(magnet(voltage_anisotropy=0.0), source, current_density=1e10, **options)
    assert closed.attrs["torque"] == repr(source)


def test_a_pair_without_damping_keeps_its_energy_and_exchange_alone_its_total_moment():
    bare = {"alpha": 0.0, "voltage_anisotropy": 0.0}
    first, second = magnet(**bare), magnet(Ms=0.7e6, thickness=2.5e-9, **bare)
    dipolar = np.array([[-0.03, 0.01, 0], [0.01, -0.03, 0], [0, 0, 0.06]])
    pair = llg.CoupledMacrospins(first=first, second=second, interlayer_coupling=4e-5, dipolar=dipolar)
    start = np.array([tilted(1.0, 0.5), tilted(2.2, 2.0)])
    m = llg.run(pair, None, initial=start, duration=1e-9, tolerance=1e-12)["m"].values
    energy = pair.energy(m)
    np.testing.assert_allclose(energy, energy[0], atol=1e-8 * np.ptp(first.energy(np.eye(3))))
    nothing = {
        "anisotropy": 0.0, "second_order_anisotropy": 0.0, "cubic_anisotropy": 0.0, "demag": (1 / 3,) * 3,
        "field": (0, 0, 0), "exchange_bias": (0, 0, 0),
    }  # fmt: skip
    free_pair = llg.CoupledMacrospins(
        first=dataclasses.replace(first, **nothing), second=dataclasses.replace(second, **nothing),
        interlayer_coupling=4e-5,
    )  # fmt: skip
    m = llg.run(free_pair, None, initial=start, duration=1e-9, tolerance=1e-12)["m"].values
    total = first.moment * m[:, 0] + second.moment * m[:, 1]
    np.testing.assert_allclose(total, total[:1].repeat(len(total), 0), atol=1e-9 * first.moment)
    assert np.ptp(m[:, 0, 0]) > 0.5


def test_exchange_of_positive_sign_aligns_two_layers():
    bare = {"anisotropy": 0.0, "demag": (1 / 3,) * 3, "alpha": 0.5, "Ms": MS, "thickness": THICKNESS, "area": AREA}
    for J, product in ((2e-4, 1.0), (-2e-4, -1.0)):
        pair = llg.CoupledMacrospins(first=llg.Macrospin(**bare), second=llg.Macrospin(**bare), interlayer_coupling=J)
        m = llg.run(pair, None, initial=[tilted(0.5), tilted(1.8, 1.0)], duration=5e-9, dt=1e-12)["m"].values[-1]
        assert m[0] @ m[1] == pytest.approx(product, abs=1e-6)


def test_equilibrium_of_a_coupled_pair_is_the_boltzmann_distribution():
    """<m1.m2> = coth x - 1/x for E = -x kT m1.m2: each of the two has a thermal field of its own."""
    x = 2.0
    coupling = x * BOLTZMANN * 300 / AREA
    bare = {"anisotropy": 0.0, "demag": (1 / 3,) * 3, "alpha": 0.4, "area": AREA}
    first = llg.Macrospin(Ms=MS, thickness=THICKNESS, **bare)
    second = llg.Macrospin(Ms=0.6e6, thickness=2e-9, **bare)
    pair = llg.CoupledMacrospins(first=first, second=second, interlayer_coupling=coupling)
    pairs = 2048
    start = np.tile([tilted(0.3), tilted(0.9, 1.0)], (pairs, 1, 1))
    moments = Moments(pair_equation(pair, None, temperature=300), start, 2e-12, streams=addresses(9, 0, 0, pairs))
    moments.advance(1500)
    samples = moments.advance(2000, every=500)
    products = np.sum(samples[:, :, 0] * samples[:, :, 1], axis=-1)
    error = products.std() / products[0].size ** 0.5
    assert abs(products.mean() - (1 / np.tanh(x) - 1 / x)) < 4.5 * error
    assert error < 0.02


def test_current_from_the_first_layer_pulls_the_second_to_it_and_pushes_the_first_away():
    bare = {"anisotropy": 0.0, "demag": (1 / 3,) * 3, "alpha": 0.1, "Ms": MS, "thickness": THICKNESS, "area": AREA}
    pair = llg.CoupledMacrospins(first=llg.Macrospin(**bare), second=llg.Macrospin(**bare))
    source = llg.Slonczewski(polarization=0.5)
    start = np.array([tilted(0.0), tilted(np.pi / 2)])
    equation = pair_equation(pair, source, current_density=1e11)
    moments = Moments(equation, start[np.newaxis], 1e-13)
    moments.advance(10)
    change = moments.m[0] - start
    assert change[1, 2] > 0
    assert change[0, 0] < 0
    assert change[1, 2] == pytest.approx(-change[0, 0], rel=1e-4)


# --- orders -----------------------------------------------------------------------------------------------------------


SWING = llg.FieldDrive(direction=tilted(1.0, 2.0), waveform=llg.sine(0.05, 8e9, phase=0.4))
TONE = llg.sine(0.6, 5e9, offset=0.3)


def ends(steps, temperature):
    """m after 0.1 ns for several lengths of a step; at 10^-18 K Heun's method runs, and its noise is nothing."""
    equation = equation_of_motion(magnet(), rich_map(), TONE, field=SWING, temperature=temperature)
    found = []
    for dt in steps:
        moments = Moments(equation, np.array([tilted(2.0, 1.0)]), dt, streams=addresses(1, 0, 0, 1))
        moments.advance(round(1e-10 / dt))
        found.append(moments.m[0])
    return np.array(found)


@pytest.mark.parametrize(("temperature", "order"), [(1e-18, 2), (0.0, 4)], ids=["heun", "runge_kutta"])
def test_integrators_have_their_order_under_drives_that_change(temperature, order):
    steps = 1e-12 / 2.0 ** np.arange(4)
    exact = llg.run(
        magnet(), rich_map(), voltage=TONE, field=SWING, initial=tilted(2.0, 1.0), duration=1e-10, tolerance=1e-13,
        samples=1,
    )["m"].values[-1]  # fmt: skip
    errors = np.linalg.norm(ends(steps, temperature) - exact, axis=1)
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=ORDER_ERROR)


def test_adaptive_integrator_has_order_five_in_its_tolerance():
    """The error of a step is of order 6 in its length and kept at the tolerance, so lengths follow tolerance^(1/5)
    of the estimate (order 5) and the error of the solution follows the tolerance."""
    options = {"voltage": 0.8, "initial": tilted(2.0, 1.0), "duration": 3e-10, "samples": 1}
    exact = llg.run(magnet(), rich_map(), tolerance=1e-14, **options)["m"].values[-1]
    tolerances = np.array([1e-5, 1e-6, 1e-7, 1e-8, 1e-9])
    errors = [
        np.linalg.norm(llg.run(magnet(), rich_map(), tolerance=t, **options)["m"].values[-1] - exact)
        for t in tolerances
    ]
    slope = np.polyfit(np.log(tolerances), np.log(errors), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.2)
    assert np.all(np.array(errors) < 100 * tolerances)


def test_a_finer_tolerance_is_kept_at_jumps_of_the_drive():
    """A pulse without edges between two samples: the integrator ends a step there."""
    drive = llg.pulse(0.9, 1.37e-10, start=1.23e-10)
    free, tmap = magnet(), rich_map()
    start = tilted(2.0, 1.0)
    expected = reference(map_rate(free, tmap, drive), start, 5e-10, (1.23e-10, 2.6e-10))
    found = llg.run(free, tmap, voltage=drive, initial=start, duration=5e-10, tolerance=1e-12, samples=2)
    np.testing.assert_allclose(found["m"].values[-1], expected, rtol=0, atol=TRAJECTORY_ERROR)


# --- terms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", [
    {"anisotropy": 1e5}, {"second_order_anisotropy": 5e4}, {"cubic_anisotropy": 5e4}, {"cubic_anisotropy": -5e4},
    {"demag": ((0.1, 0.05, 0), (0.05, 0.2, 0.02), (0, 0.02, 0.7))}, {"field": (0.1, 0.2, -0.3)},
    {"exchange_bias": (0.1, -0.2, 0.3)},
])  # fmt: skip
def test_every_field_is_minus_the_gradient_of_its_energy(term):
    bare = {
        "Ms": MS, "thickness": THICKNESS, "area": AREA, "alpha": 0.0, "demag": (1 / 3,) * 3,
        "easy_axis": tilted(0.4, 1.1), "cubic_axes": (tilted(np.pi / 2, 0.7), (0, 0, 1)),
    }  # fmt: skip
    free = llg.Macrospin(**(bare | term))
    equation = equation_of_motion(free, None)
    for m in (np.array(tilted(1.0, 0.4)), np.array(tilted(2.2, 4.0))):
        expected = -GYROMAGNETIC_RATIO * np.cross(m, gradient_field(free, m))
        assert np.linalg.norm(expected) > 1e6
        np.testing.assert_allclose(equation.rate(m), expected, rtol=EQUAL_TERMS, atol=1e-12 * GYROMAGNETIC_RATIO)


def test_cubic_anisotropy_has_its_textbook_energy():
    free = magnet(anisotropy=0, second_order_anisotropy=0, cubic_axes=((1, 0, 0), (0, 1, 0)), demag=(1 / 3,) * 3,
                  field=(0, 0, 0), exchange_bias=(0, 0, 0))  # fmt: skip
    along, face, body = np.array([1, 0, 0]), np.array([1, 1, 0]) / 2**0.5, np.array([1, 1, 1]) / 3**0.5
    energies = free.energy(np.array([along, face, body])) / free.volume
    np.testing.assert_allclose(energies - energies[0], 3e4 * np.array([0, 1 / 4, 1 / 3]), rtol=BY_ROUNDING)


def test_voltage_adds_to_the_anisotropy():
    tmap = torque_map(lambda a, v: 0 * a, lambda a, v: 0 * a)
    free = magnet()
    changed = dataclasses.replace(free, anisotropy=free.anisotropy + 0.7 * free.voltage_anisotropy)
    m = np.array(tilted(1.0, 2.0))
    at_voltage = equation_of_motion(free, tmap, 0.7).rate(m)
    np.testing.assert_allclose(at_voltage, equation_of_motion(changed, tmap, 0.0).rate(m), rtol=EQUAL_TERMS)
    assert np.linalg.norm(at_voltage - equation_of_motion(free, tmap, 0.0).rate(m)) > 1e8


def test_a_voltage_on_a_closed_form_is_a_current_through_its_resistance():
    free = magnet()
    source = llg.Slonczewski(polarization=0.6, Lambda=1.5, epsilon_prime=0.2, resistance_area=5e-12)
    m = np.array(tilted(1.0, 2.0))
    by_voltage = equation_of_motion(free, source, 0.5).rate(m)
    by_current = equation_of_motion(free, source, current_density=0.5 / 5e-12).rate(m)
    np.testing.assert_allclose(by_voltage, by_current, rtol=EQUAL_TERMS)


def test_electrons_from_the_fixed_magnet_pull_towards_it():
    free = magnet(anisotropy=0, second_order_anisotropy=0, cubic_anisotropy=0, demag=(1 / 3,) * 3, field=(0, 0, 0),
                  exchange_bias=(0, 0, 0), alpha=0.0, voltage_anisotropy=0.0)  # fmt: skip
    m = np.array(tilted(1.5, 2.0))
    towards = np.array(free.fixed) - (np.array(free.fixed) @ m) * m
    rate = equation_of_motion(free, llg.Slonczewski(polarization=0.6), current_density=1e11).rate(m)
    assert rate @ towards > 0
    beta = HBAR * 1e11 / (ELEMENTARY_CHARGE * MS * THICKNESS)
    np.testing.assert_allclose(rate, GYROMAGNETIC_RATIO * beta * 0.3 * towards, rtol=EQUAL_TERMS)
    # The field-like part is a field along p: counterclockwise about it.
    rate = equation_of_motion(
        free, llg.Slonczewski(polarization=0.0, epsilon_prime=0.2), current_density=1e11
    ).rate(m)  # fmt: skip
    np.testing.assert_allclose(
        rate, -GYROMAGNETIC_RATIO * beta * 0.2 * np.cross(m, free.fixed), rtol=EQUAL_TERMS
    )  # fmt: skip


def test_the_table_of_a_map_is_its_interpolation_at_any_angle_and_voltage():
    free, tmap = magnet(), rich_map()
    p = np.array(free.fixed)
    quiet = dataclasses.replace(
        free, anisotropy=0, second_order_anisotropy=0, cubic_anisotropy=0, demag=(1 / 3,) * 3, field=(0, 0, 0),
        exchange_bias=(0, 0, 0), voltage_anisotropy=0, alpha=0,
    )  # fmt: skip
    across = np.cross(p, (0, 1, 0)) / np.linalg.norm(np.cross(p, (0, 1, 0)))
    for V in (-1.0, -0.31, 0.0, 0.77, 1.0):
        equation = equation_of_motion(quiet, tmap, V)
        for angle in (1e-4, 0.4, 1.5, 2.9, np.pi - 1e-4):
            m = np.cos(angle) * p + np.sin(angle) * across
            pull, push = (x / free.moment for x in tmap.torque(angle, V, area_si=AREA))
            expected = pull * np.cross(m, np.cross(p, m)) - push * np.cross(m, p)
            np.testing.assert_allclose(equation.rate(m), GYROMAGNETIC_RATIO * expected, atol=1e-11 * GYROMAGNETIC_RATIO)


def test_spin_pumping_adds_the_damping_of_its_mixing_conductance(tmp_path):
    """g mu_B g_mix/(4 pi Ms d): 10 per nm^2, 3 nm and 8e5 A/m give 0.00615 for g = 2; that of gamma is 2.0023."""
    added = llg.spin_pumping_damping(1e19, Ms=8e5, thickness=3e-9)
    assert added == pytest.approx(0.00615 * 2.0023 / 2, rel=1e-4)
    tmap = dataclasses.replace(rich_map(), mixing_conductance=0.9 - 0.05j)
    tmap.save(tmp_path / "map.nc")
    loaded = TorqueMap.load(tmp_path / "map.nc")
    assert loaded.mixing_conductance == tmap.mixing_conductance
    assert TorqueMap.from_dataset(tmap.to_dataset(), mixing_conductance=0.5).mixing_conductance == 0.5
    free = llg.Macrospin(Ms=8e5, thickness=3e-9, area=AREA, alpha=0.01)
    assert llg.with_spin_pumping(free, loaded).alpha == pytest.approx(0.01 + 0.00615 * (0.9 / 0.09) / 10, rel=1e-3)
    with pytest.raises(InputError, match="no mixing conductance"):
        llg.with_spin_pumping(free, rich_map())
    with pytest.raises(InputError, match="^mixing_conductance=-1.0"):
        llg.spin_pumping_damping(-1.0, Ms=8e5, thickness=3e-9)


# --- drives -----------------------------------------------------------------------------------------------------------


def test_waveforms_have_their_values():
    t = np.array([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0])
    trapezoid = llg.pulse(2.0, 1.0, rise=1.0, fall=2.0, start=0.0, base=1.0)
    np.testing.assert_allclose(trapezoid(t), [1, 1, 1.5, 2, 2, 2, 1.5, 1, 1])
    np.testing.assert_allclose(llg.pulse(2.0, 1.0)(t), [0, 2, 2, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(llg.sine(2.0, 0.25, phase=0.1, offset=3.0)(t), 3 + 2 * np.sin(0.1 + np.pi / 2 * t))
    np.testing.assert_allclose(llg.sampled([0, 1, 3], [1, 2, 0])(t), [1, 1, 1.5, 2, 1.5, 1, 0, 0, 0])
    chirp = llg.chirp(1.0, 2.0, 6.0, 4.0)
    times = np.linspace(0, 3.9, 50)
    np.testing.assert_allclose(chirp(times), np.sin(2 * np.pi * (2 * times + times**2 / 2)), atol=BY_ROUNDING)
    assert chirp(4.5) == 0.0
    assert trapezoid.extremes == (1.0, 2.0)
    assert llg.sine(2.0, 1.0, offset=-3.0).extremes == (-5.0, -1.0)
    assert llg.sine(2.0, 1.0, offset=-3.0).peak == -5.0


def test_bad_waveforms_are_refused_in_one_line():
    for call, message in (
        (lambda: llg.Waveform(time=(0.0,), value=(np.nan,)), "not finite"),
        (lambda: llg.Waveform(time=(0.0,), value=(0.0,), amplitude=np.inf), "not finite"),
        (lambda: llg.Waveform(time=(), value=()), "two lists of one length"),
        (lambda: llg.Waveform(time=(1e-9, 0), value=(0, 1)), "time falls"),
        (lambda: llg.FieldDrive(direction=(0, 0, 1), waveform="0.1"), "^waveform='0.1' is no drive"),
        (lambda: equation_of_motion(magnet(), None, np.nan), "^voltage=nan is no drive"),
        (lambda: equation_of_motion(magnet(), None, "a"), "^voltage='a' is no drive"),
        (lambda: equation_of_motion(magnet(), None, True), "^voltage=True is no drive"),
        (lambda: equation_of_motion(magnet(), None, field=(0, 0, 0.1)), r"^field=\(0, 0, 0.1\) is no FieldDrive"),
        (lambda: llg.ensemble(magnet(), None, voltage=["a"], trajectories=1, duration=1e-10, dt=1e-13), "^voltage='a'"),
    ):
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
    assert llg.Waveform(time=[0, 1], value=[1, 2]) == llg.sampled([0, 1], [1, 2])
    assert llg.FieldDrive(direction=(0, 0, 1), waveform=0.1).waveform == llg.constant(0.1)


def test_a_tolerance_that_cannot_be_kept_ends_with_one_line():
    options = {"initial": tilted(2.0, 1.0), "duration": 1e-9}
    with pytest.raises(InputError, match="^tolerance=1e-30 is out of range"):
        llg.run(magnet(), None, tolerance=1e-30, **options)
    equation = equation_of_motion(magnet(), None)
    moments = Moments(dataclasses.replace(equation, field=np.array([np.nan, 0, 0])), np.array([tilted(2.0)]), 1e-12)
    with pytest.raises(InputError, match="^tolerance=1e-08 cannot be kept"):
        moments.advance_adaptively(0.0, 1e-9, 1e-8)
    steep = llg.Slonczewski(polarization=0.5, Lambda=1e6)
    free = magnet(voltage_anisotropy=0.0)
    end = llg.run(free, steep, current_density=1e9, tolerance=1e-8, initial="antiparallel", duration=1e-10)
    assert np.all(np.isfinite(end["m"].values))
    with pytest.raises(InputError, match="^Lambda=1000000000.0"):
        llg.Slonczewski(polarization=0.5, Lambda=1e9)


@pytest.mark.parametrize("Lambda", [1.0, 3.0, 30.0])
def test_the_bound_of_the_torque_is_no_looser_than_twice_its_largest_value(Lambda):
    bare = {"anisotropy": 0.0, "demag": (1 / 3,) * 3, "alpha": 0.0, "Ms": MS, "thickness": THICKNESS, "area": AREA}
    free = llg.Macrospin(**bare)
    equation = equation_of_motion(free, llg.Slonczewski(polarization=0.5, Lambda=Lambda), current_density=1e11)
    polar = np.linspace(0, np.pi, 20001)
    m = np.stack([np.sin(polar), 0 * polar, np.cos(polar)], axis=-1)
    largest = np.linalg.norm(equation.rate(m), axis=1).max() / GYROMAGNETIC_RATIO
    assert largest <= equation.largest_field() * (1 + 1e-9) <= 2 * largest


def test_a_map_of_scattered_torques_at_crowded_angles_is_refused():
    rng = np.random.default_rng(1)
    angle = np.sort(np.append(np.linspace(0, np.pi, 13), 1e-5))
    values = 1e-6 * (1 + 1e-3 * rng.normal(size=(14, 1)))
    zeros = np.zeros((14, 1))
    tmap = TorqueMap(
        angle=angle, voltage=[0.0], area=0.09, charge_current=zeros, damping_like=values, field_like=zeros,
        damping_like_fixed=zeros, field_like_fixed=zeros,
    )  # fmt: skip
    with pytest.raises(InputError, match="too close together"):
        equation_of_motion(magnet(voltage_anisotropy=0.0), tmap, 0.0)


def test_a_waveform_is_read_from_a_file(tmp_path):
    path = tmp_path / "pulse.csv"
    path.write_text("# time (s), V\n0, 0\n1e-9 0.5  # the top\n\n2e-9, 0.1\n")
    assert llg.read_waveform(path) == llg.sampled([0, 1e-9, 2e-9], [0, 0.5, 0.1])
    for text, message in (
        ("1 2 3\n", "two columns"),
        ("a b\n", "no number"),
        ("", "two columns"),
        ("1 0\n0 1\n", "falls"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            llg.read_waveform(path)
    with pytest.raises(InputError, match="cannot be read"):
        llg.read_waveform(tmp_path / "absent.csv")


# --- random numbers, lanes --------------------------------------------------------------------------------------------


def normal_numbers(streams, steps):
    """The normal numbers of some streams, (steps, streams, 3)."""
    n = len(streams)
    state, w = np.zeros(4 * kernels.LANES, dtype=np.uint64), np.zeros(kernels.ROWS * kernels.LANES)
    kernels.seed_streams(state, streams)
    w[kernels.SIGMA : kernels.SIGMA + n] = 1.0
    found = np.empty((steps, n, 3))
    for i in range(steps):
        kernels._thermal_field(state, w, n, i % 2 == 1)
        found[i] = w[kernels.H : kernels.H + 3 * kernels.LANES].reshape(3, -1)[:, :n].T
    return found


def test_thermal_field_is_normal_and_white():
    x = normal_numbers(addresses(5, 2, 0, 64), 6000)
    flat = x.ravel()
    assert kstest(flat, "norm").pvalue > 1e-3
    count = flat.size
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0), (6, 15.0)):
        spread = np.std(flat**power) / count**0.5
        assert np.mean(flat**power) == pytest.approx(expected, abs=4.5 * spread)
    # Between components, between steps (those that share a pair of Box and Muller included), between trajectories.
    pairs = [(x[..., a], x[..., b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    pairs += [(x[:-1, :, a], x[1:, :, b]) for a in range(3) for b in range(3)]
    pairs += [(x[:, :-1, a], x[:, 1:, a]) for a in range(3)]
    for a, b in pairs:
        for u, v in ((a, b), (a**2 - 1, b**2 - 1)):
            assert abs(np.mean(u * v)) < 4.5 * np.std(u * v) / u.size**0.5
    assert np.max(np.abs(flat)) > 4.5


def test_streams_depend_on_every_part_of_their_address():
    ways = [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 0), (0, 0, 1), (2**63, 0, 0)]
    x = normal_numbers(np.array(ways, dtype=np.uint64), 4)
    assert len(np.unique(x.reshape(4, len(ways), 3)[0], axis=0)) == len(ways)


@pytest.mark.parametrize("source", [None, "map", "closed"])
def test_a_moment_does_not_know_which_others_share_its_block(source):
    """Blocks of 1, 3, 8, 64 and 65 lanes: the same bits, whatever vector instructions served them."""
    torque = {"map": rich_map(), "closed": CLOSED_FORMS["two_polarizers"], None: None}[source]
    drive = (
        {"current_density": llg.sine(1e11, 3e9)} if source == "closed" else {"voltage": llg.sine(0.5, 3e9, offset=0.1)}
    )
    for temperature in (0.0, 300.0):
        equation = equation_of_motion(magnet(voltage_anisotropy=0.0), torque, **drive, temperature=temperature)
        finals = {}
        for n in (1, 3, 8, 64, 65):
            moments = Moments(equation, np.tile(tilted(2.0, 1.0), (n, 1)), 5e-13, streams=addresses(3, 1, 0, n))
            moments.advance(101)
            finals[n] = moments.m
        for n, m in finals.items():
            np.testing.assert_array_equal(m, finals[65][:n])


@pytest.mark.slow
def test_blocks_of_another_width_give_the_same_trajectories(tmp_path, monkeypatch):
    """The kernels compiled anew for blocks of 16 lanes."""
    narrow = tmp_path / "narrow_kernels.py"
    source = Path(kernels.__file__).read_text()
    assert source.count("\nLANES = 64\n") == 1
    narrow.write_text(source.replace("\nLANES = 64\n", "\nLANES = 16\n"))
    spec = importlib.util.spec_from_file_location("narrow_kernels", narrow)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "narrow_kernels", module)
    spec.loader.exec_module(module)
    equation = equation_of_motion(magnet(), rich_map(), llg.sine(0.5, 3e9), temperature=300)

    def finals():
        moments = Moments(equation, np.tile(tilted(2.0, 1.0), (70, 1)), 5e-13, streams=addresses(3, 1, 0, 70))
        moments.advance(51)
        return moments.m

    wide = finals()
    monkeypatch.setattr(lanes, "kernels", module)
    monkeypatch.setattr(lanes, "LANES", 16)
    monkeypatch.setattr(dynamics, "LANES", 16)
    np.testing.assert_array_equal(finals(), wide)


def test_steps_may_be_taken_in_any_portions():
    equation = equation_of_motion(magnet(), rich_map(), llg.sine(0.5, 3e9), temperature=300)
    start = np.tile(tilted(2.0, 1.0), (5, 1))
    whole, parts = (Moments(equation, start, 5e-13, streams=addresses(3, 1, 0, 5)) for _ in range(2))
    samples = whole.advance(60, every=3)
    pieces = [parts.advance(n, every=3) for n in (3, 9, 27, 21)]
    np.testing.assert_array_equal(np.concatenate(pieces), samples)
    np.testing.assert_array_equal(whole.m, parts.m)
    np.testing.assert_array_equal(samples[-1], whole.m)
    assert whole.time == pytest.approx(60 * 5e-13)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_moments_with_different_equations_go_their_own_ways(temperature):
    """To the last bit, with and without torque, with drives that vary and not, in one block."""
    free, tmap = magnet(voltage_anisotropy=0.0), rich_map()
    swing = llg.FieldDrive(direction=tilted(1.0, 2.0), waveform=llg.sine(0.02, 3e9))
    hot = {"temperature": temperature}
    equations = [
        equation_of_motion(free, tmap, 0.3, **hot),
        equation_of_motion(dataclasses.replace(free, alpha=0.2), tmap, -0.5, **hot),
        equation_of_motion(free, None, **hot), equation_of_motion(free, None, field=swing, **hot),
        equation_of_motion(free, CLOSED_FORMS["slonczewski"], current_density=1e11, **hot),
        equation_of_motion(free, tmap, llg.sine(0.5, 3e9), **hot),
    ]  # fmt: skip
    streams = addresses(3, 1, 0, len(equations))
    together = Moments(equations, np.array(tilted(2.0, 1.0)), 5e-13, streams=streams)
    together.advance(500)
    for i, (equation, m) in enumerate(zip(equations, together.m, strict=True)):
        alone = Moments(equation, np.array([tilted(2.0, 1.0)]), 5e-13, streams=streams[i : i + 1])
        alone.advance(500)
        np.testing.assert_array_equal(m, alone.m[0])


def test_moments_of_different_integrators_are_kept_apart():
    free = magnet()
    mixed = [equation_of_motion(free, None), equation_of_motion(free, None, temperature=300)]
    with pytest.raises(ValueError, match="different integrators"):
        Moments(mixed, np.array(tilted(2.0, 1.0)), 5e-13, streams=addresses(1, 0, 0, 2))


def test_the_first_crossing_is_noted():
    """A moment that precesses about x crosses the plane z = 0 after a quarter of a turn."""
    free = magnet(
        alpha=0.0, anisotropy=0, second_order_anisotropy=0, cubic_anisotropy=0, demag=(1 / 3,) * 3, field=(0.1, 0, 0),
        exchange_bias=(0, 0, 0), voltage_anisotropy=0,
    )  # fmt: skip
    period = 2 * np.pi / (GYROMAGNETIC_RATIO * 0.1)
    moments = Moments(
        equation_of_motion(free, None), np.array([[0, 0, 1.0], [1.0, 0, 0]]), period / 1002, watch=(0, 0, 1)
    )
    moments.advance(200)
    np.testing.assert_array_equal(moments.crossed, [-1, -1])
    moments.advance(1000)
    np.testing.assert_array_equal(moments.crossed, [251, -1])
    moments.set_equations([equation_of_motion(free, None)])
    np.testing.assert_array_equal(moments.crossed, [-1, -1])
    # It stands 198 steps beyond a whole turn: at 251 of the next one the projection is negative again.
    moments.advance(60)
    np.testing.assert_array_equal(moments.crossed, [251 - 198, -1])


def test_equilibrium_of_a_cubic_magnet_is_the_boltzmann_distribution():
    """<sum m_i^4> of exp(-E/kT) on the sphere: quartic fields and noise together."""
    Kc = 4 * BOLTZMANN * 300 / (AREA * THICKNESS)
    free = llg.Macrospin(Ms=MS, thickness=THICKNESS, area=AREA, alpha=0.3, cubic_anisotropy=Kc, demag=(1 / 3,) * 3)
    z = np.linspace(-1, 1, 401)[:, np.newaxis]
    phi = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    rho = np.sqrt(np.maximum(1 - z**2, 0))
    fourth = (rho * np.cos(phi)) ** 4 + (rho * np.sin(phi)) ** 4 + z**4
    weight = np.exp(2 * fourth)  # E/kT = -(Kc V/2 kT) sum m_i^4 = -2 sum m_i^4
    expected = np.trapezoid((fourth * weight).mean(axis=1), z[:, 0]) / np.trapezoid(weight.mean(axis=1), z[:, 0])
    r = llg.ensemble(
        free, None, voltage=0.0, trajectories=8192, duration=4e-9, dt=1e-12, temperature=300, thermalisation=0.0,
        seed=4,
        initial=(0, 0, 1),
    )  # fmt: skip
    found = np.sum(r["m_final"].values[0] ** 4, axis=1)
    assert abs(found.mean() - expected) < 4.5 * found.std() / len(found) ** 0.5
    assert abs(expected - 0.6) > 0.05


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"second_order_anisotropy": np.nan}, "^second_order.*J/m"), ({"cubic_anisotropy": np.inf}, "^cubic"),
    ({"cubic_axes": ((1, 0, 0), (0.8, 0.6, 0))}, "not orthogonal"), ({"cubic_axes": ((1, 0, 0),)}, "no pair"),
    ({"voltage_anisotropy": np.nan}, "^voltage_an"), ({"exchange_bias": (0, np.nan, 0)}, "^exchange"),
    ({"demag": ((0.2, 0.1, 0), (0, 0.3, 0), (0, 0, 0.5))}, "not symmetric"), ({"demag": np.eye(3)}, "sums to 3"),
])  # fmt: skip
def test_bad_energy_terms_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        magnet(**changes)
    assert "\n" not in str(refusal.value)


def test_bad_sources_and_drives_are_refused_in_one_line():
    free, tmap, source = magnet(), rich_map(), CLOSED_FORMS["slonczewski"]
    for call, message in (
        (lambda: llg.Slonczewski(polarization=1.2), "^polarization=1.2"),
        (lambda: llg.Slonczewski(polarization=0.5, Lambda=0.0), "^Lambda=0.0"),
        (lambda: llg.Slonczewski(polarization=0.5, epsilon_prime=np.nan), "^epsilon_prime=nan"),
        (lambda: llg.Slonczewski(polarization=0.5, resistance_area=0.0), "^resistance_area=0.0"),
        (lambda: llg.SpinOrbitTorque(damping_like=0.1, direction=(0, 0, 2)), "^direction=.*length 2"),
        (lambda: llg.pulse(1.0, -1e-9), "^length=-1e-09"),
        (lambda: llg.sine(np.nan, 1e9), "^amplitude=nan"),
        (lambda: llg.chirp(1.0, 1e9, 2e9, 0.0), "^duration=0.0"),
        (lambda: llg.sampled([0, 1], [1.0]), "^time and value have shapes"),
        (lambda: equation_of_motion(free, tmap, current_density=1e10), "^current_density drives no torque map"),
        (lambda: equation_of_motion(free, source, 0.5), "resistance_area="),
        (lambda: equation_of_motion(free, source, current_density=1e10), "^voltage_anisotropy needs"),
        (lambda: equation_of_motion(free, None, current_density=1e10), "^current_density drives nothing"),
        (lambda: equation_of_motion(free, tmap, 0.1, current_density=1e10), "two drives"),
        (lambda: equation_of_motion(free, tmap, llg.sine(0.9, 1e9, offset=0.3)), "^voltage=1.2 V is outside"),
        (lambda: equation_of_motion(free, tmap, 0.1, temperature=-1.0), "^temperature=-1.0"),
        (lambda: llg.run(free, tmap, initial="parallel", duration=1e-9), "^give a step dt="),
        (lambda: llg.run(free, tmap, initial="parallel", duration=1e-9, dt=1e-13, tolerance=1e-9), "^give a"),
        (lambda: llg.run(free, tmap, initial="parallel", duration=1e-9, tolerance=2.0), "^tolerance=2.0"),
        (lambda: llg.run(free, tmap, initial="parallel", duration=1e-9, tolerance=1e-9, temperature=9), "^temp"),
        (lambda: llg.CoupledMacrospins(first=free, second=magnet(area=2e-15)), "^area=2e-15"),
        (lambda: pair_equation(llg.CoupledMacrospins(first=free, second=free), CLOSED_FORMS["spin_orbit"],
                               current_density=1e10), "not one of a layer on another"),
        (lambda: llg.ensemble(llg.CoupledMacrospins(first=free, second=free), None, voltage=0.0, trajectories=1,
                              duration=1e-10, dt=1e-13), "^free is no Macrospin"),
        (lambda: llg.CoupledMacrospins(first=free, second=free, dipolar=np.ones((2, 2))), "^dipolar="),
        (lambda: llg.CoupledMacrospins(first=free, second=free, interlayer_coupling=np.nan), "^interlayer"),
        (lambda: llg.CoupledMacrospins(first=free, second=free).initial_direction("parallel"), "^initial='parallel'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_thermal_turns_too_large_for_a_step_are_refused():
    tiny = magnet(area=1e-17, alpha=0.5)
    with pytest.raises(InputError, match="too long for thermal turns"):
        llg.run(tiny, None, initial="parallel", duration=1e-10, dt=5e-13, temperature=300)

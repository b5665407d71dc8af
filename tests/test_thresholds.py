"""Critical voltages and currents: simulation, eigenvalues and the formulas of the two limits agree within 1 %."""

import numpy as np
import pytest

import qtorque as qt
from qtorque import llg
from qtorque.errors import InputError
from qtorque.units import ELEMENTARY_CHARGE, HBAR, VACUUM_PERMEABILITY

THRESHOLD_ERROR = 0.01
"""Asked of every pair of routes; the duration of the simulation leaves 1e-3."""
FORMULA_ERROR = 1e-6
"""Of eigenvalues by central differences, bisected to rounding: the formulas are exact where p is the easy axis."""
SOURCE = llg.Slonczewski(polarization=0.5, Lambda=1.5)
EFFICIENCY = {"antiparallel": 0.5 * 1.5**2, "parallel": 0.5}
"""eta of tau_DL = (hbar/2e) eta I at m = -p and at m = p: P Lambda^2 and P, from the formula of Slonczewski."""
SIDE = {"antiparallel": 1, "parallel": -1}
"""Sign of the critical current: positive current pulls m towards p."""


def in_plane(**changes):
    values = {
        "Ms": 8e5, "thickness": 2e-9, "area": 4e-15, "alpha": 0.03, "anisotropy": 8e3, "easy_axis": (1, 0, 0),
        "fixed": (1, 0, 0), "demag": (0, 0, 1),
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


def perpendicular(**changes):
    values = {
        "Ms": 1e6, "thickness": 1.5e-9, "area": 1.26e-15, "alpha": 0.03, "anisotropy": 8e5, "demag": (0.05, 0.05, 0.9),
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


PERPENDICULAR_RELAXATION = 3.56e-10
"""s, of `perpendicular()` without drive, rounded: 1/(alpha gamma B) of its effective field B."""


def assert_both_routes_give(free, state, current_density):
    bracket = (-3 * abs(current_density), 3 * abs(current_density))
    eigenvalue = llg.critical_current_density(free, SOURCE, state, bracket=bracket).current_density
    assert eigenvalue == pytest.approx(current_density, rel=FORMULA_ERROR)
    found = llg.critical_current_density_by_simulation(free, SOURCE, state, bracket=bracket)
    assert found == pytest.approx(current_density, rel=THRESHOLD_ERROR)


@pytest.mark.parametrize("state", ["antiparallel", "parallel"])
@pytest.mark.parametrize("along", [0.0, 0.004])
def test_the_in_plane_formula_holds_for_eigenvalues_and_simulation(state, along):
    """I_c = (2e/hbar)(alpha/eta) Vol mu0 Ms (H + H_k + Ms/2), H along the state, all H in A/m."""
    direction = -1 if state == "antiparallel" else 1
    free = in_plane(field=(direction * along, 0, 0))
    H, H_k = along / VACUUM_PERMEABILITY, 2 * free.anisotropy / (VACUUM_PERMEABILITY * free.Ms)
    damping = free.alpha / EFFICIENCY[state] * free.volume * VACUUM_PERMEABILITY * free.Ms
    current = 2 * ELEMENTARY_CHARGE / HBAR * damping * (H + H_k + free.Ms / 2)
    assert_both_routes_give(free, state, SIDE[state] * current / free.area)


@pytest.mark.parametrize("state", ["antiparallel", "parallel"])
@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_the_perpendicular_formula_holds_for_eigenvalues_and_simulation(state, alpha):
    """I_c = (4e/hbar)(alpha/eta) E_b."""
    free = perpendicular(alpha=alpha)
    current = 4 * ELEMENTARY_CHARGE / HBAR * alpha / EFFICIENCY[state] * llg.energy_barrier(free, state)
    assert_both_routes_give(free, state, SIDE[state] * current / free.area)


def torque_map():
    """Damping-like torque that is asymmetric in the angle and bent in the voltage, and a field-like one."""
    angle, voltage = np.linspace(0, np.pi, 13), np.linspace(-1, 1, 9)
    theta, v = np.meshgrid(angle, voltage, indexing="ij")
    zeros = np.zeros(theta.shape)
    return qt.TorqueMap(
        angle=angle, voltage=voltage, area=0.09, charge_current=zeros,
        damping_like=2.5e-5 * (v + 0.2 * v**2) * (1 - 0.3 * np.cos(theta)), field_like=2e-6 * v**2 + zeros,
        damping_like_fixed=zeros, field_like_fixed=zeros,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("free", "state"),
    [
        (perpendicular(), "antiparallel"),
        (perpendicular(), "parallel"),
        (in_plane(alpha=0.01, field=(0, 0.003, 0.01)), "antiparallel"),
    ],
)
def test_simulation_and_eigenvalues_agree_for_a_torque_map(free, state):
    expected = llg.critical_voltage(free, torque_map(), state)
    assert expected is not None
    found = llg.critical_voltage_by_simulation(free, torque_map(), state, bracket=(-1, 1))
    assert found == pytest.approx(expected.voltage, rel=THRESHOLD_ERROR)


@pytest.mark.parametrize(
    ("free", "state"),
    [
        (perpendicular(alpha=0.3), "parallel"),
        (perpendicular(alpha=1.0), "antiparallel"),
        (in_plane(), "antiparallel"),
        (in_plane(alpha=0.3), "antiparallel"),
    ],
)
def test_the_shortest_duration_that_is_accepted_tells_growth_from_decay(free, state):
    relaxation = -1 / llg.growth_rate(free, SOURCE, state=state).real
    expected = llg.critical_current_density(free, SOURCE, state, bracket=(-1e13, 1e13)).current_density
    search = {"state": state, "bracket": (-3 * abs(expected), 3 * abs(expected))}
    found = llg.critical_current_density_by_simulation(free, SOURCE, duration=10.01 * relaxation, **search)
    assert found == pytest.approx(expected, rel=THRESHOLD_ERROR)
    with pytest.raises(InputError, match="duration"):
        llg.critical_current_density_by_simulation(free, SOURCE, duration=9.99 * relaxation, **search)


def test_a_state_that_nothing_destabilises_has_no_threshold():
    free = perpendicular()
    assert llg.critical_voltage_by_simulation(free, torque_map(), bracket=(-1.0, 0.01)) is None


@pytest.mark.parametrize(
    ("changes", "arguments", "word"),
    [
        ({}, {"bracket": (1.0, -1.0)}, "bracket"),
        ({}, {"bracket": (0.0, np.inf)}, "bracket"),
        ({}, {"bracket": (-2.0, 2.0)}, "voltage"),
        ({}, {"tilt": 0.0}, "tilt"),
        ({}, {"tilt": 1.0}, "tilt"),
        ({}, {"duration": -1.0}, "duration"),
        ({}, {"duration": 1e-12}, "duration"),
        ({}, {"duration": 9.9 * PERPENDICULAR_RELAXATION}, "duration"),
        ({"field": (2.0, 0, 0.5)}, {}, "duration"),
        ({}, {"state": "up"}, "state"),
        ({"alpha": 0.0}, {}, "alpha"),
        ({"field": (0, 0, 2.0)}, {"duration": 1e-9}, "lost already"),
    ],
)
def test_bad_input_is_refused_in_one_line_that_names_it(changes, arguments, word):
    with pytest.raises(InputError, match=word) as refusal:
        llg.critical_voltage_by_simulation(
            perpendicular(**changes), torque_map(), **{"bracket": (-1.0, 1.0)} | arguments
        )
    assert "\n" not in str(refusal.value)

"""Spin Hall bilayer: against a dense solution of the diffusion equation, closed forms, Onsager's relations, signs."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

from qtorque import InputError, diffusion, llg, plot, store
from qtorque.diffusion.spin_hall import (
    SpinHallBilayer,
    effective_mixing_conductance,
    equivalent_fields,
    inverse_spin_hall_field,
    pumping_damping,
    solve_spin_hall,
    spin_hall_efficiency,
    spin_hall_resistivity,
)
from qtorque.diffusion.spin_hall_mechanisms import spin_hall_angle
from qtorque.diffusion.spin_hall_sweep import spin_hall_versus_thickness
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, HBAR

REFERENCE = SpinHallBilayer(
    spin_hall_angle=0.05, spin_diffusion_length=1.5e-9, thickness=3e-9, resistivity=8.6e-7,
    mixing_conductance=5e14 + 5e13j,
)  # fmt: skip
LOSSY = dataclasses.replace(
    REFERENCE, longitudinal_conductance=2e14, spin_memory_loss=0.7, spin_memory_loss_resistance=0.4e-15,
    mixing_conductance=4e14 - 2e14j,
)  # fmt: skip
DIRECTION = np.array([0.36, -0.48, 0.8])
ROUNDING = 1e-12
"""Of closed forms, and of small dense solves in scaled unknowns."""
REFERENCE_DIGITS = 1e-8
"""Digits of the cited value."""
CANCELLATION = 1e-9
"""Of the difference of two resistivities that agree in four digits."""
DIFFERENCE = 1e-6
"""Central differences over 1e-4 of a decay length: 1e-8, and rounding."""


def absorption(b, m, longitudinal=True):
    """The 3 x 3 matrix that takes mu_s at the magnet to the spin current into it."""
    cross = np.array([[0, m[2], -m[1]], [-m[2], 0, m[0]], [m[1], -m[0], 0]])  # v -> v x m
    along = np.outer(m, m)
    G = b.mixing_conductance
    return longitudinal * b.longitudinal_conductance * along + G.real * (np.eye(3) - along) + G.imag * cross


def dense_solution(b, m, E, rate, interface_thickness=1e-9):
    """mu_s on both sides of the interface layer and the current into the magnet, from amplitudes of exponentials."""
    sigma, l, d = b.conductivity, b.spin_diffusion_length, b.thickness
    t = interface_thickness
    sigma_i, l_i = t / b.spin_memory_loss_resistance, t / b.spin_memory_loss
    one, zero = np.eye(3), np.zeros((3, 3))
    grow, fall = np.exp(d / l), np.exp(-d / l)
    grow_i, fall_i = np.exp(t / l_i), np.exp(-t / l_i)
    u, v = sigma / (2 * l), sigma_i / (2 * l_i)
    G = absorption(b, m)
    s = np.array([-E[1], E[0], 0.0])
    source = b.spin_hall_angle * sigma * s
    pumped = (HBAR / ELEMENTARY_CHARGE) * (
        b.mixing_conductance.real * np.cross(m, rate) + b.mixing_conductance.imag * np.asarray(rate)
    )
    # mu = A e^{z/l} + B e^{-z/l} below, C and D above; j = -(sigma/2) mu' + source. Rows in units of u or 1.
    matrix = np.block([
        [-one, one, zero, zero],
        [grow * one, fall * one, -one, -one],
        [-grow * one, fall * one, v / u * one, -v / u * one],
        [zero, zero, -v / u * grow_i * one - grow_i * G / u, v / u * fall_i * one - fall_i * G / u],
    ])
    right = np.concatenate([-source / u, np.zeros(3), -source / u, -pumped / u])
    A, B, C, D = np.linalg.solve(matrix, right).reshape(4, 3)
    behind = C * grow_i + D * fall_i
    return A * grow + B * fall, behind, G @ behind - pumped


def test_the_efficiency_is_the_reference_value():
    xi = complex(spin_hall_efficiency(REFERENCE)) / 0.05
    assert xi == pytest.approx(0.42121305 + 0.01791239j, abs=REFERENCE_DIGITS)


@pytest.mark.parametrize("rate", [(0, 0, 0), (2e11, -1e10, -9.6e10)])
def test_torque_and_accumulation_with_memory_loss_are_those_of_the_three_layer_diffusion_equation(rate):
    m, E = DIRECTION, (3e4, -7e4)
    rate = np.asarray(rate) - (m @ rate) * m
    solution = solve_spin_hall(LOSSY, magnetization=m, electric_field=E, precession=rate)
    front, _, current = dense_solution(LOSSY, m, E, rate)
    np.testing.assert_allclose(solution.accumulation, front, atol=ROUNDING * np.abs(front).max())
    np.testing.assert_allclose(solution.absorbed_spin_current, current, atol=ROUNDING * np.abs(current).max())
    across = current - (m @ current) * m
    np.testing.assert_allclose(solution.torque, HBAR / (2 * ELEMENTARY_CHARGE) * across, rtol=1e-9)


def test_circuit_theory_fed_with_the_spin_hall_current_gives_the_same_torque():
    # A uniform spin Hall current along z is one taken out at the lower face and put in at the upper one.
    m, E, omega = DIRECTION, (1e5, -4e4), np.array([2e11, 1e11, -3e11])
    # Along m the lumped magnet has 2 AR* for each spin, and beyond it there is a sink.
    b = dataclasses.replace(LOSSY, longitudinal_conductance=1 / (2 * 0.6e-15))
    current = b.spin_hall_angle * b.conductivity * np.array([-E[1], E[0], 0])
    metal = diffusion.Layer(
        thickness=b.thickness, rho_star=b.resistivity, spin_diffusion_length=b.spin_diffusion_length
    )
    layer = diffusion.Interface(AR_star=b.spin_memory_loss_resistance, spin_memory_loss=b.spin_memory_loss)
    magnet = diffusion.Interface(AR_star=0.6e-15, mixing_conductance=b.mixing_conductance, magnetization=tuple(m))
    circuit = diffusion.Circuit(
        nodes={
            "bottom": diffusion.Node(spin_current=tuple(-current)),
            "top": diffusion.Node(spin_current=tuple(current)),
            "behind": diffusion.Node(),
        },
        terminals={"far": diffusion.Reservoir()},
        connections=[
            diffusion.Connection(source="bottom", target="top", element=metal, area=1.0),
            diffusion.Connection(source="top", target="behind", element=layer, area=1.0),
            diffusion.Connection(source="behind", target="far", element=magnet, precession=tuple(omega), area=1.0),
        ],
    )
    other = diffusion.solve_circuit(circuit)
    s = solve_spin_hall(b, magnetization=m, electric_field=E, precession=np.cross(omega, m))
    np.testing.assert_allclose(other.spin_accumulation("top"), s.accumulation, rtol=1e-9)
    np.testing.assert_allclose(other.spin_currents("behind-far")[0], s.absorbed_spin_current, rtol=1e-9)


def test_the_interface_layer_passes_the_accumulation_by_the_factor_eta():
    # eta = 1/(cosh delta + (g l_I/sigma_I) sinh delta), and g is twice the conductance of the sink.
    b = dataclasses.replace(LOSSY, mixing_conductance=4e14)
    front, behind, _ = dense_solution(b, np.array([0, 0, 1.0]), (1e5, 0), np.zeros(3))
    sink = 2 * 4e14 * b.spin_memory_loss_resistance / b.spin_memory_loss
    eta = 1 / (np.cosh(0.7) + sink * np.sinh(0.7))
    np.testing.assert_allclose(behind[1] / front[1], eta, rtol=ROUNDING)
    j_conductance = 4e14 * behind[1]
    xi = complex(spin_hall_efficiency(b))
    np.testing.assert_allclose(xi.real * b.conductivity * 1e5, j_conductance, rtol=ROUNDING)


def test_a_layer_without_loss_is_a_resistance_in_series_and_a_thin_lossy_one_tends_to_it():
    bare = dataclasses.replace(REFERENCE, spin_memory_loss_resistance=1e-15)
    series = 1 / (1 / REFERENCE.mixing_conductance + 2e-15)
    merged = dataclasses.replace(REFERENCE, mixing_conductance=series)
    np.testing.assert_allclose(spin_hall_efficiency(bare), spin_hall_efficiency(merged), rtol=ROUNDING)
    thin = dataclasses.replace(bare, spin_memory_loss=1e-6)
    np.testing.assert_allclose(spin_hall_efficiency(thin), spin_hall_efficiency(bare), rtol=1e-10)


def test_the_profile_obeys_the_diffusion_equation_and_its_boundary_conditions():
    b, m, E = dataclasses.replace(LOSSY, spin_memory_loss=0.0, spin_memory_loss_resistance=0.0), DIRECTION, (1e5, 2e4)
    s = solve_spin_hall(b, magnetization=m, electric_field=E)
    z = np.linspace(0.2e-9, 2.8e-9, 7)
    step = 1e-4 * b.spin_diffusion_length
    slope = (s.accumulation_at(z + step) - s.accumulation_at(z - step)) / (2 * step)
    hall = 0.05 * b.conductivity * np.array([-2e4, 1e5, 0])
    scale = np.abs(hall).max()
    np.testing.assert_allclose(s.spin_current_at(z), hall - 0.5 * b.conductivity * slope, atol=DIFFERENCE * scale)
    loss = -(s.spin_current_at(z + step) - s.spin_current_at(z - step)) / (2 * step)
    relaxed = 0.5 * b.conductivity * s.accumulation_at(z) / b.spin_diffusion_length**2
    np.testing.assert_allclose(loss, relaxed, atol=DIFFERENCE * scale / b.spin_diffusion_length)
    np.testing.assert_allclose(s.spin_current_at(0.0), 0, atol=ROUNDING * scale)
    np.testing.assert_allclose(s.spin_current_at(b.thickness), absorption(b, m) @ s.accumulation, atol=ROUNDING * scale)
    np.testing.assert_allclose(s.absorbed_spin_current, s.spin_current_at(b.thickness), atol=ROUNDING * scale)


def test_the_sheet_current_is_the_integral_of_the_current_density():
    rate = 1e11 * np.cross(DIRECTION, [0, 0, 1])
    s = solve_spin_hall(LOSSY, magnetization=DIRECTION, electric_field=(2.0, -1.0), precession=rate)
    x, w = np.polynomial.legendre.leggauss(24)
    d = LOSSY.thickness
    integral = 0.5 * d * w @ s.current_density_at(0.5 * d * (1 + x))
    np.testing.assert_allclose(s.sheet_current, integral, rtol=1e-11)


def test_a_charge_current_along_x_pulls_a_magnet_above_towards_plus_y_and_a_magnet_is_driven_by_no_other_spin():
    # Spin frame and positive angle: flow = charge current x spin, z = x x y.
    b = dataclasses.replace(REFERENCE, mixing_conductance=5e14)
    s = solve_spin_hall(b, magnetization=(1, 0, 0), electric_field=(1e5, 0))
    assert s.accumulation[1] > 0
    assert s.torque[1] > 0
    np.testing.assert_allclose(s.torque[[0, 2]], 0, atol=1e-25)
    along = solve_spin_hall(REFERENCE, magnetization=(0, 1, 0), electric_field=(1e5, 0))
    np.testing.assert_allclose(along.torque, 0, atol=1e-25)


def test_the_torque_is_the_efficiency_in_damping_like_and_field_like_products():
    m, s = DIRECTION, np.array([0, 1.0, 0])
    current = LOSSY.conductivity * 1e5
    xi = complex(spin_hall_efficiency(LOSSY))
    expected = xi.real * np.cross(m, np.cross(s, m)) + xi.imag * np.cross(s, m)
    found = solve_spin_hall(LOSSY, magnetization=m, electric_field=(1e5, 0)).torque
    np.testing.assert_allclose(found, HBAR / (2 * ELEMENTARY_CHARGE) * current * expected, rtol=1e-10)


def test_efficiencies_taken_over_to_the_closed_form_of_the_dynamics_give_the_same_motion():
    free = llg.Macrospin(Ms=1e6, thickness=1.2e-9, area=1e-15, alpha=0.01, anisotropy=1e5)
    current, moment = 3e11, -DIRECTION
    xi = complex(spin_hall_efficiency(LOSSY))
    term = llg.SpinOrbitTorque(damping_like=xi.real, field_like=-xi.imag, direction=(0, -1, 0)).terms(free)[0]
    p = np.array(term.direction)
    rate = GYROMAGNETIC_RATIO * current * (
        term.damping_like * np.cross(moment, np.cross(p, moment)) - term.field_like * np.cross(moment, p)
    )
    E = (current / LOSSY.conductivity, 0)
    torque = solve_spin_hall(LOSSY, magnetization=DIRECTION, electric_field=E).torque
    # Angular momentum per area Ms t/gamma along the spin; the moment points the other way.
    np.testing.assert_allclose(rate, -torque * GYROMAGNETIC_RATIO / (free.Ms * free.thickness), rtol=1e-10)
    fields = equivalent_fields(LOSSY, current, Ms=free.Ms, magnet_thickness=free.thickness)
    np.testing.assert_allclose(fields, [current * term.damping_like, current * term.field_like], rtol=ROUNDING)


@pytest.mark.parametrize("m", [(1, 0, 0), (0, 1, 0), (0, 0, 1), DIRECTION, -DIRECTION])
def test_the_magnetoresistance_is_that_of_chen_and_others(m):
    # rho = (1 + theta^2 r)^-1 sigma^-1, so that the conductivity is linear in theta^2 and equals the expansion.
    b = REFERENCE
    l, d, G = b.spin_diffusion_length, b.thickness, b.mixing_conductance
    X = l / d * 2 * l * G * np.tanh(d / (2 * l)) ** 2 / (b.conductivity + 2 * l * G / np.tanh(d / l))
    base = -2 * l / d * np.tanh(d / (2 * l))
    r = np.array([
        [base + X.real * (1 - m[1] ** 2), X.real * m[0] * m[1] + X.imag * m[2]],
        [X.real * m[0] * m[1] - X.imag * m[2], base + X.real * (1 - m[0] ** 2)],
    ])
    found = np.linalg.inv(spin_hall_resistivity(b, m)) * b.resistivity
    np.testing.assert_allclose((np.eye(2) - found) / 0.05**2, r, atol=1e-10)


def test_the_resistance_is_lowest_with_the_magnet_along_the_spins_and_bulk_for_a_thick_metal():
    tensors = [spin_hall_resistivity(REFERENCE, m) for m in np.eye(3)]
    across, along, upright = (rho[0, 0] for rho in tensors)
    assert along < upright < across
    # A magnet along z gives a Hall current; without it both metals conduct alike.
    conducts = [np.linalg.inv(rho)[0, 0] for rho in tensors]
    assert conducts[0] == pytest.approx(conducts[2], rel=ROUNDING, abs=0)
    thick = dataclasses.replace(LOSSY, thickness=1.0)
    np.testing.assert_allclose(spin_hall_resistivity(thick, DIRECTION), 8.6e-7 * np.eye(2), atol=1e-16)
    s = solve_spin_hall(thick, magnetization=DIRECTION, electric_field=(1, 0))
    assert np.isfinite(s.accumulation_at([0.5, 1.0])).all()


def response(b, m):
    """(5, 5): I and minus the absorbed spin current, per driving field and half the pumping accumulation."""
    matrix = np.zeros((5, 5))
    for i, force in enumerate(np.eye(5)):
        # dm/dt = omega x m gives m x dm/dt = omega across m; along m precession is no motion.
        omega = 2 * force[2:] * ELEMENTARY_CHARGE / HBAR
        s = solve_spin_hall(b, magnetization=m, electric_field=force[:2], precession=np.cross(omega, m))
        matrix[:, i] = [*s.sheet_current, *(m @ s.absorbed_spin_current * m - s.absorbed_spin_current)]
    return matrix


@pytest.mark.parametrize("b", [REFERENCE, LOSSY])
def test_inverse_and_direct_effect_are_reciprocal_and_all_entropy_production_is_positive(b):
    M, reversed_M = response(b, DIRECTION), response(b, -DIRECTION)
    parity = np.array([1, 1, -1, -1, -1])  # charge currents change sign under time reversal, spin currents do not
    expected = parity[:, None] * parity * reversed_M.T
    scale = np.sqrt(np.outer(np.diag(M), np.diag(M)))
    np.testing.assert_allclose(M / scale, expected / scale, atol=1e-10)
    assert np.abs(M[:2, 2:] / scale[:2, 2:]).max() > 1e-4
    eigenvalues = np.linalg.eigvalsh((M + M.T) / scale)
    assert eigenvalues.min() > -ROUNDING


def test_the_open_circuit_field_stops_the_pumped_current():
    rate = 1e11 * np.cross(DIRECTION, [0, 0, 1])
    E = inverse_spin_hall_field(LOSSY, magnetization=DIRECTION, precession=rate)
    assert np.linalg.norm(E) > 0
    s = solve_spin_hall(LOSSY, magnetization=DIRECTION, precession=rate, electric_field=E)
    closed = solve_spin_hall(LOSSY, magnetization=DIRECTION, precession=rate)
    assert np.abs(s.sheet_current).max() < ROUNDING * np.abs(closed.sheet_current).max()


def test_precession_about_y_pumps_spins_of_plus_y_and_a_charge_current_towards_plus_x():
    b = dataclasses.replace(REFERENCE, mixing_conductance=5e14)
    s = solve_spin_hall(b, magnetization=(0, 0, 1), precession=np.cross([0, 1e11, 0], [0, 0, 1]))
    assert s.accumulation[1] > 0
    # Spins of +y flow down, and the inverse effect is flow of spins x spin: -z x y = x.
    assert s.sheet_current[0] > 0
    assert s.absorbed_spin_current[1] < 0
    # Open, charge piles up at +x: the field points back, and phi is lower at the first contact than at +x.
    assert inverse_spin_hall_field(b, magnetization=(0, 0, 1), precession=np.cross([0, 1e11, 0], [0, 0, 1]))[0] < 0


def test_pumping_damps_by_the_effective_conductance_and_a_perfect_sink_by_the_bare_one():
    rate = 1e11 * np.cross(DIRECTION, [0, 0, 1])
    torque = solve_spin_hall(LOSSY, magnetization=DIRECTION, precession=rate).torque
    # Landau-Lifshitz-Gilbert of the spin: dm/dt = ... - alpha m x dm/dt.
    direction = np.cross(DIRECTION, rate)
    alpha = -torque @ direction / (direction @ direction) * GYROMAGNETIC_RATIO / (1e6 * 2e-9)
    assert pumping_damping(LOSSY, Ms=1e6, magnet_thickness=2e-9) == pytest.approx(alpha, rel=1e-10, abs=0)
    sink = dataclasses.replace(REFERENCE, resistivity=1e-22)
    g = 5e14 / CONDUCTANCE_QUANTUM_PER_SPIN
    bare = llg.spin_pumping_damping(g, Ms=1e6, thickness=2e-9)
    assert pumping_damping(sink, Ms=1e6, magnet_thickness=2e-9) == pytest.approx(bare, rel=1e-9, abs=0)
    assert 0 < effective_mixing_conductance(LOSSY).real < LOSSY.mixing_conductance.real


def test_intrinsic_angles_grow_with_the_resistivity_and_skew_scattering_stays_while_impurities_change():
    d = spin_hall_angle(
        [1e-7, 2e-7, 4e-7], intrinsic_conductivity=1.6e5, side_jump_conductivity=2e4, skew_scattering_angle=0.01
    )
    np.testing.assert_allclose(d["intrinsic"], [0.016, 0.032, 0.064], rtol=ROUNDING)
    np.testing.assert_allclose(d["side_jump"], [0.002, 0.004, 0.008], rtol=ROUNDING)
    np.testing.assert_allclose(d["skew_scattering"], 0.01, rtol=ROUNDING)
    np.testing.assert_allclose(d["total"], [0.028, 0.046, 0.082], rtol=ROUNDING)


def test_phonons_raise_the_intrinsic_angle_alone():
    d = spin_hall_angle(
        [1e-7, 2e-7], intrinsic_conductivity=1.6e5, side_jump_conductivity=2e4, skew_scattering_angle=0.01,
        residual_resistivity=1e-7,
    )  # fmt: skip
    np.testing.assert_allclose(d["intrinsic"], [0.016, 0.032], rtol=ROUNDING)
    np.testing.assert_allclose(d["side_jump"], [0.002, 0.001], rtol=ROUNDING)
    np.testing.assert_allclose(d["skew_scattering"], [0.01, 0.005], rtol=ROUNDING)


def test_a_sweep_holds_what_single_solves_say_and_units():
    thickness = [1e-9, 3e-9]
    d = spin_hall_versus_thickness(LOSSY, thickness=thickness)
    assert all("units" in v.attrs and "long_name" in v.attrs for v in d.variables.values())
    compared = set()
    for at, each in zip((d.isel(thickness=i) for i in range(2)), thickness, strict=True):
        b = dataclasses.replace(LOSSY, thickness=each)
        xi, rho = complex(spin_hall_efficiency(b)), [spin_hall_resistivity(b, m) for m in np.eye(3)]
        expected = {
            "damping_like": (xi.real, ROUNDING),
            "field_like": (-xi.imag, ROUNDING),
            "effective_mixing_conductance": (complex(effective_mixing_conductance(b)), ROUNDING),
            "resistivity": (rho[1][0, 0], ROUNDING),
            "magnetoresistance": ((rho[0] - rho[1])[0, 0] / 8.6e-7, CANCELLATION),
            "hall_ratio": (rho[2][0, 1] / 8.6e-7, ROUNDING),
        }
        for name, (value, tolerance) in expected.items():
            assert at[name].item() == pytest.approx(value, rel=tolerance, abs=0), name
        compared |= set(expected)
    assert compared == set(d.data_vars)


@pytest.mark.parametrize("theta", [1e-4, 1e-8])
def test_magnetoresistance_and_hall_ratio_keep_their_digits_for_small_angles(theta):
    b = dataclasses.replace(REFERENCE, spin_hall_angle=theta)
    l, d, G = b.spin_diffusion_length, b.thickness, b.mixing_conductance
    X = l / d * 2 * l * G * np.tanh(d / (2 * l)) ** 2 / (b.conductivity + 2 * l * G / np.tanh(d / l))
    found = spin_hall_versus_thickness(b, thickness=[d]).isel(thickness=0)
    # The expansion of Chen and others leaves out theta^4.
    assert float(found["magnetoresistance"]) / theta**2 == pytest.approx(X.real, rel=10 * theta**2 + ROUNDING, abs=0)
    assert float(found["hall_ratio"]) / theta**2 == pytest.approx(X.imag, rel=10 * theta**2 + ROUNDING, abs=0)


def test_without_loss_backflow_and_transfer_are_the_conductances_in_series():
    # 1/G_eff = 1/G + 2 r + 2 l/(sigma tanh(d/l)): a conductance of a spin current per mu_s is 1/2 sigma over length.
    b = dataclasses.replace(REFERENCE, spin_memory_loss_resistance=1e-15)
    metal = 2 * 1.5e-9 * 8.6e-7 / np.tanh(2)
    expected = 1 / (1 / b.mixing_conductance + 2e-15 + metal)
    assert complex(effective_mixing_conductance(b)) == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"spin_hall_angle": 5.0}, "percent"),
        ({"spin_diffusion_length": -1e-9}, "spin_diffusion_length"),
        ({"thickness": 0.0}, "thickness"),
        ({"resistivity": np.nan}, "resistivity"),
        ({"mixing_conductance": -1e14 + 1e13j}, "negative real part"),
        ({"mixing_conductance": np.inf}, "mixing_conductance"),
        ({"spin_memory_loss": -0.1}, "spin_memory_loss"),
        ({"spin_memory_loss": 0.1, "spin_memory_loss_resistance": 0.0}, "spin_memory_loss_resistance"),
        ({"longitudinal_conductance": -1.0}, "longitudinal_conductance"),
    ],
)
def test_impossible_bilayers_are_refused(change, word):
    with pytest.raises(InputError, match=word):
        dataclasses.replace(REFERENCE, **change)


def test_impossible_questions_are_refused():
    with pytest.raises(InputError, match="along the magnetization"):
        solve_spin_hall(REFERENCE, magnetization=(0, 0, 1), precession=(0, 0, 1e9))
    with pytest.raises(InputError, match="electric_field"):
        solve_spin_hall(REFERENCE, magnetization=(0, 0, 1), electric_field=(1, 0, 0))
    with pytest.raises(InputError, match="leaves the metal"):
        solve_spin_hall(REFERENCE, magnetization=(0, 0, 1)).accumulation_at(4e-9)
    with pytest.raises(InputError, match="thickness"):
        spin_hall_efficiency(REFERENCE, [1e-9, 0.0])
    with pytest.raises(InputError, match="residual_resistivity"):
        spin_hall_angle(1e-7, residual_resistivity=2e-7)
    with pytest.raises(InputError, match="make an angle of 5"):
        spin_hall_angle(1e-7, skew_scattering_angle=5)


NO_NUMBERS = ["x", 1j, np.array([1j, 0.0]), None, abs, True, [[1.0], [1.0, 2.0]], np.nan]


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("electric_field", lambda v: solve_spin_hall(REFERENCE, magnetization=(0, 0, 1), electric_field=v)),
        ("precession", lambda v: solve_spin_hall(REFERENCE, magnetization=(0, 0, 1), precession=v)),
        ("z", lambda v: solve_spin_hall(REFERENCE, magnetization=(0, 0, 1)).accumulation_at(v)),
        ("thickness", lambda v: spin_hall_efficiency(REFERENCE, "x" if v is None else v)),
        ("thickness", lambda v: spin_hall_versus_thickness(REFERENCE, thickness="x" if v is None else v)),
        ("resistivity", spin_hall_angle),
    ],
)
def test_what_holds_no_numbers_is_refused_in_one_line(name, ask):
    for value in [*NO_NUMBERS, np.full((9, 9, 9), np.inf)]:
        with pytest.raises(InputError, match=f"^{name}=") as refused:
            ask(value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("thickness", lambda v: dataclasses.replace(REFERENCE, thickness=v)),
        ("Ms", lambda v: pumping_damping(REFERENCE, Ms=v, magnet_thickness=1e-9)),
        ("magnet_thickness", lambda v: equivalent_fields(REFERENCE, 1e11, Ms=1e6, magnet_thickness=v)),
        ("current_density", lambda v: equivalent_fields(REFERENCE, v, Ms=1e6, magnet_thickness=1e-9)),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(name, ask):
    for value in NO_NUMBERS:
        with pytest.raises(InputError, match=f"^{name}=") as refused:
            ask(value)
        assert "\n" not in str(refused.value)


def test_the_driver_prints_the_reference_efficiency_and_writes_its_files(within, tmp_path, monkeypatch):
    stages = importlib.import_module("_stages")
    monkeypatch.setattr(stages, "seconds_of", lambda work: pytest.fail("only a dry run measures times"))
    run = within("spin_hall_bilayer", "--at", "3e-9", "--thicknesses", "1e-9:9e-9:5", "-o", tmp_path / "pt", "--quiet")
    assert run.returncode == 0, run.stderr
    assert "0.02106" in run.stdout  # theta Re(xi/theta) of the reference, 0.05 x 0.42121305
    d = store.load_dataset(tmp_path / "pt_spin_hall.nc")
    assert d.sizes == {"thickness": 5}
    assert json.loads(d.attrs["configuration"])["mixing"] == [5e14, 5e13]
    assert (tmp_path / "pt_spin_hall.png").read_bytes().startswith(b"\x89PNG")
    again = within("spin_hall_bilayer", "--thicknesses=-1e-9", "-o", tmp_path / "x", "--quiet")
    assert again.returncode == 2
    assert "thickness" in again.stderr


def test_the_figure_shows_efficiencies_and_magnetoresistance():
    d = spin_hall_versus_thickness(REFERENCE, thickness=np.linspace(1e-9, 9e-9, 9))
    left, right = plot.spin_hall_bilayer(d).axes
    drawn = {(panel, line.get_label()): line for panel in (left, right) for line in panel.lines}
    expected = [
        (left, "damping-like", d["damping_like"]),
        (left, "field-like", d["field_like"]),
        (right, r"\rho_{xx}", 1e4 * d["magnetoresistance"]),
        (right, r"$\rho_{xy}", 1e4 * d["hall_ratio"]),
    ]
    for panel, label, values in expected:
        (line,) = [line for (where, text), line in drawn.items() if where is panel and label in text]
        np.testing.assert_allclose(line.get_xdata(), 1e9 * d["thickness"], rtol=ROUNDING)
        np.testing.assert_allclose(line.get_ydata(), values, rtol=ROUNDING)
    assert "10^{-4}" in right.get_ylabel()
    (level,) = [line for (where, text), line in drawn.items() if where is left and "theta" in text]
    assert set(level.get_ydata()) == {0.05}

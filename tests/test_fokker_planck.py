"""Fokker-Planck of the axial magnet, lifetimes: against closed forms, a spectral method and the LLG equation."""

import math

import numpy as np
import pytest
from numpy.polynomial import legendre
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm
from scipy.special import sph_harm_y

from qtorque import llg, store
from qtorque.errors import InputError
from qtorque.llg.axial_walk import smallest_eigenvalue
from qtorque.llg.closed_forms import Slonczewski
from qtorque.llg.drive import pulse, sampled, sine
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.fokker_planck import (
    _walk,
    diffusion_constant,
    escape_rate,
    fokker_planck,
    mean_switching_time,
    switching_rate,
)
from qtorque.llg.landscape import landscape
from qtorque.llg.lifetime import brown_rate, kramers_langer_rate, lifetime, retention
from qtorque.torquemap import TorqueMap
from qtorque.units import BOLTZMANN, ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, HBAR, joule

TEMPERATURE = 300.0
KT = BOLTZMANN * TEMPERATURE
AREA, THICKNESS, MS = 1.26e-15, 1.5e-9, 1.0e6
VOLUME = AREA * THICKNESS
SPHERE = (1 / 3, 1 / 3, 1 / 3)

ROUNDING = 1e-11
"""Of a thousand operations in a row."""
CONSERVATION = 1e-12
"""Asked of the sum of probabilities; a few thousand steps leave 1e-13."""
GRID_ERROR = 1e-3
"""Of results on the default grid, relative; what is measured is 1e-4 to 5e-4."""
FINE_GRID_ERROR = 1e-4
"""Of a grid twice as fine as needed, where the other route is a spectral one."""
WRITE_ERROR_ACCURACY = 0.01
"""Asked of write error rates down to 1e-12."""
STEP_ERROR = 1e-5
"""Of the steps in time, relative: a thousand of 1e-8."""
STATIONARY_ERROR = 1e-7
"""Of a density after 30 relaxation times, relative: `STEP_TOLERANCE` of the last steps; 1e-8 is measured."""
TABLE_ERROR = 1e-11
"""Of a potential by cubics through four values of the drive, where it is one; 1e-15 of the largest is measured."""
HARMONICS_ERROR = 0.004
"""Of excesses that are given to three digits; more harmonics change the eigenvalues by 0.001."""
CURVATURE_ERROR = 1e-6
"""Asked of rates by curvatures from central differences; 1e-9 is measured."""


def magnet(barrier, **changes):
    """A uniaxial perpendicular magnet with a barrier K Vol in kT at 300 K, without shape anisotropy."""
    values = {
        "Ms": MS, "thickness": THICKNESS, "area": AREA, "alpha": 0.01, "anisotropy": barrier * KT / VOLUME,
        "demag": SPHERE,
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


TORQUE = Slonczewski(polarization=0.6)
"""b_DL = beta P/2 at any angle."""


def current_density(free, field):
    """At which the damping-like field of `TORQUE` is `field`, T."""
    return field * 2 * ELEMENTARY_CHARGE * MS * THICKNESS / (HBAR * TORQUE.polarization)


def overdrive(free, i):
    """Current density at i times the critical one, where b_DL = alpha B_k."""
    return current_density(free, i * free.alpha * free.stiffness)


def torque_map(free, shape, voltages, harmonic=0.0):
    """A map whose damping-like torque is shape(V) (1 + harmonic cos(angle)) times the critical one."""
    angle, voltage = np.linspace(0, math.pi, 13), np.linspace(-1, 1, voltages)
    per_cell = free.alpha * free.stiffness * free.moment / joule(free.area / 0.09e-18)
    damping_like = per_cell * np.outer(1 + harmonic * np.cos(angle), shape(voltage))
    none = np.zeros_like(damping_like)
    return TorqueMap(
        angle=angle, voltage=voltage, damping_like=damping_like, field_like=none, damping_like_fixed=none,
        field_like_fixed=none, charge_current=none, area=0.09,
    )  # fmt: skip


def last(d, name):
    return float(d[name][-1])


# --- an independent discretisation: Legendre-Galerkin ---------------------------------------------------------------


def spectral(barrier, size):
    """For U' = -2 barrier c - push: matrices of dP/dt over D_0, static and per push; share at c < 0; the well."""
    nodes, weights = legendre.leggauss(2 * size)
    values = legendre.legvander(nodes, size - 1)
    slopes = np.stack([legendre.legval(nodes, legendre.legder(row)) for row in np.eye(size)], axis=1)
    norm = (np.arange(size) + 0.5)[:, np.newaxis]
    flow = slopes.T * (weights * (1 - nodes**2))
    static = -norm * (flow @ (slopes - 2 * barrier * nodes[:, np.newaxis] * values))
    pushed = norm * (flow @ values)
    half, half_weights = (nodes - 1) / 2, weights / 2
    below = half_weights @ legendre.legvander(half, size - 1)
    well = np.exp(barrier * (half**2 - 1))
    start = norm[:, 0] * (legendre.legvander(half, size - 1).T @ (half_weights * well)) / (half_weights @ well)
    return static, pushed, below, start


@pytest.mark.parametrize(("barrier", "i"), [(20, 1.5), (30, 6.0)])
def test_write_error_rates_down_to_1e_12_equal_those_of_a_spectral_method(barrier, i):
    free = magnet(barrier)
    diffusion = diffusion_constant(free, TEMPERATURE)
    static, pushed, below, start = spectral(barrier, 140)
    growth = 4 * barrier * (i - 1) * diffusion
    times = np.array([6, 12, 18, 24, 30]) / growth
    d = fokker_planck(
        free, TORQUE, current_density=overdrive(free, i), temperature=TEMPERATURE, duration=times[-1], times=times
    )
    generator = (static + 2 * barrier * i * pushed) * diffusion
    step = expm(generator * times[0])
    expected = [below @ np.linalg.matrix_power(step, n) @ start for n in (1, 2, 3)]
    # Rounding of the spectral method is 1e-12 of all probability. From here on there is but one mode.
    slowest = np.sort(-np.linalg.eigvals(generator).real)[1]
    expected += [expected[-1] * math.exp(-slowest * (t - times[2])) for t in times[3:]]
    assert expected[-1] < 1e-11
    np.testing.assert_allclose(d["not_switched"], expected, rtol=WRITE_ERROR_ACCURACY)
    np.testing.assert_allclose(d["not_switched"], expected, rtol=2 * GRID_ERROR)
    eigenvalue = escape_rate(free, TORQUE, current_density=overdrive(free, i), temperature=TEMPERATURE)
    assert eigenvalue == pytest.approx(slowest, rel=GRID_ERROR)


def test_write_error_rates_converge_with_the_square_of_the_cell():
    free = magnet(40)
    growth = 4 * 40 * 2 * diffusion_constant(free, TEMPERATURE)
    end = 30 / growth
    drive = {"current_density": overdrive(free, 3.0), "temperature": TEMPERATURE}
    rates = np.array([
        last(fokker_planck(free, TORQUE, duration=end, times=[end], cells=cells, **drive), "not_switched")
        for cells in (300, 600, 1200)
    ])  # fmt: skip
    assert rates[-1] < 1e-11
    assert (rates[0] - rates[1]) / (rates[1] - rates[2]) == pytest.approx(4, rel=0.1)
    assert rates[1] == pytest.approx(rates[2], rel=GRID_ERROR)


def test_a_drive_that_changes_all_the_time_follows_a_spectral_method():
    free = magnet(5)
    diffusion = diffusion_constant(free, TEMPERATURE)
    static, pushed, below, start = spectral(5, 40)
    period = 0.3 / diffusion
    drive = sine(overdrive(free, 0.8), 1 / period, offset=overdrive(free, 0.4))
    times = np.linspace(0.1, 2.0, 5) * period

    def rate(t, a):
        strength = float(drive(t)) / overdrive(free, 1.0)
        return diffusion * (static @ a + 10 * strength * (pushed @ a))

    end = solve_ivp(rate, (0, times[-1]), start, method="Radau", t_eval=times, rtol=1e-9, atol=1e-12)
    d = fokker_planck(
        free, TORQUE, current_density=drive, temperature=TEMPERATURE, duration=times[-1], times=times, cells=1000
    )
    np.testing.assert_allclose(d["not_switched"], below @ end.y, rtol=FINE_GRID_ERROR)


# --- closed forms ---------------------------------------------------------------------------------------------------


def test_boltzmann_is_stationary_to_rounding_and_where_any_density_goes():
    free = magnet(2, field=(0, 0, 0.01), second_order_anisotropy=KT / VOLUME, exchange_bias=(0, 0, 0.004))
    duration = 30 / escape_rate(free, None, temperature=TEMPERATURE)
    d = fokker_planck(free, None, temperature=TEMPERATURE, duration=duration, times=[duration], cells=400)
    c = d["projection"].values
    m = np.stack([np.sqrt(1 - c**2), 0 * c, c], axis=1)
    ratio = d["probability_density"][-1].values / np.exp(-free.energy(m) / KT)
    assert np.ptp(ratio) / ratio.mean() < STATIONARY_ERROR
    walk = _walk(free, None, None, None, TEMPERATURE, "antiparallel", 400)
    rates = walk.rates(walk.steps(0.0))
    balance = d["width"].values * np.exp(-free.energy(m) / KT)
    np.testing.assert_allclose(rates.right[:-1] * balance[:-1], rates.left[1:] * balance[1:], rtol=ROUNDING)
    assert 1 - last(d, "not_switched") > last(d, "not_switched")  # the field is along p


def test_free_diffusion_forgets_the_direction_at_twice_the_diffusion_constant():
    free = magnet(0)
    diffusion = diffusion_constant(free, TEMPERATURE)
    assert diffusion == pytest.approx(
        GYROMAGNETIC_RATIO * 0.01 * KT / ((1 + 0.01**2) * MS * VOLUME), rel=ROUNDING
    )  # fmt: skip
    d = fokker_planck(free, None, temperature=TEMPERATURE, duration=2 / diffusion, cells=100)
    expected = -0.5 * np.exp(-2 * diffusion * d["time"].values)
    np.testing.assert_allclose(d["mean_projection"], expected, atol=STEP_ERROR)
    assert escape_rate(free, None, temperature=TEMPERATURE, cells=100) == pytest.approx(2 * diffusion, rel=ROUNDING)


def test_probability_is_conserved():
    free = magnet(30)
    drive = pulse(overdrive(free, 5.0), 5e-9, rise=1e-9, fall=2e-9, start=1e-9)
    d = fokker_planck(free, TORQUE, current_density=drive, temperature=TEMPERATURE, duration=20e-9, cells=400)
    np.testing.assert_allclose(d["switched"] + d["not_switched"], 1, atol=CONSERVATION)
    total = (d["probability_density"] * d["width"]).sum("projection")
    np.testing.assert_allclose(total, 1, atol=CONSERVATION)
    assert 0.9 < last(d, "switched") < 1


@pytest.mark.parametrize(("barrier", "excess", "within"), [(8, 0.16, 0.005), (30, 0.0355, 0.0005), (60, 0.017, 0.0005)])
def test_brown_exceeds_the_eigenvalue_by_16_percent_at_8_kt_and_less_than_4_at_30(barrier, excess, within):
    free = magnet(barrier)
    eigenvalue = escape_rate(free, None, temperature=TEMPERATURE)
    asymptote = 2 * brown_rate(free, temperature=TEMPERATURE)
    assert asymptote / eigenvalue - 1 == pytest.approx(excess, abs=within)
    assert switching_rate(free, None, temperature=TEMPERATURE) == pytest.approx(eigenvalue / 2, rel=1e-4)


def test_eigenvalues_equal_those_of_a_spectral_method():
    free = magnet(12, field=(0, 0, 0.01))
    h = MS * VOLUME * 0.01 / KT
    static, pushed, _, _ = spectral(12, 80)
    smallest = np.sort(-np.linalg.eigvals(static + h * pushed).real)[1]
    found = escape_rate(free, None, temperature=TEMPERATURE, cells=4000) / diffusion_constant(free, TEMPERATURE)
    assert found == pytest.approx(smallest, rel=FINE_GRID_ERROR)


def test_mean_switching_time_equals_the_double_integral():
    """T(c) = int_c^0 dy exp(U)/D int_-1^y exp(-U), averaged over the well; here with a torque below the threshold."""
    free = magnet(10)
    i = 0.4

    def potential(c):
        return -10 * c**2 - 20 * i * c

    below = np.vectorize(lambda y: quad(lambda x: math.exp(potential(y) - potential(x)), -1, y)[0])
    y = (1 + np.polynomial.legendre.leggauss(80)[0]) / 2 - 1
    weights = np.polynomial.legendre.leggauss(80)[1] / 2
    well = quad(lambda c: math.exp(10 * c**2 - 10), -1, 0)[0]
    inside = np.array([quad(lambda c: math.exp(10 * c**2 - 10), -1, x)[0] for x in y]) / well
    expected = weights @ (below(y) / (1 - y**2) * inside) / diffusion_constant(free, TEMPERATURE)
    drive = {"current_density": overdrive(free, i), "temperature": TEMPERATURE}
    found = mean_switching_time(free, TORQUE, cells=2000, **drive)
    assert found == pytest.approx(expected, rel=FINE_GRID_ERROR)
    coarse, finer = (mean_switching_time(free, TORQUE, cells=n, **drive) - expected for n in (100, 200))
    assert coarse / finer == pytest.approx(4, rel=0.05)
    d = fokker_planck(free, TORQUE, duration=10 * found, times=np.linspace(0, 10, 1001) * found, **drive)
    assert float(d["survival"].integrate("time")) + last(d, "survival") * found == pytest.approx(found, rel=GRID_ERROR)
    slope = -np.gradient(d["survival"].values, d["time"].values)
    np.testing.assert_allclose(d["first_passage_density"][500:-1], slope[500:-1], rtol=GRID_ERROR)


def test_write_errors_of_a_strong_drive_follow_the_linear_growth_of_thermal_fluctuations():
    """1 - exp(-C 2 Delta (i - 1)/(i exp(a t) - 1)), a = 4 Delta D_0 (i - 1), to order 1/Delta.

    Near the pole s = 1 + c grows as a s + 2 D_0 on average and stays exponentially distributed; from there the way to
    the equator takes ln(C/s)/a, C = 2^((i - 1)/(i + 1)) ((i - 1)/i)^(2/(i + 1)).
    """
    i = 4.0
    scale = 2 ** ((i - 1) / (i + 1)) * ((i - 1) / i) ** (2 / (i + 1))
    errors = []
    for barrier in (30, 60):
        free = magnet(barrier)
        growth = 4 * barrier * (i - 1) * diffusion_constant(free, TEMPERATURE)
        times = np.linspace(4, 14, 6) / growth
        d = fokker_planck(
            free, TORQUE, current_density=overdrive(free, i), temperature=TEMPERATURE, duration=times[-1], times=times
        )
        expected = -np.expm1(-scale * 2 * barrier * (i - 1) / (i * np.exp(growth * times) - 1))
        errors.append((d["survival"] / expected - 1).values)
    assert np.abs(errors[1]).max() < 0.5 / 60
    assert errors[0][-1] / errors[1][-1] == pytest.approx(2, rel=0.1)


def test_a_cold_distribution_moves_as_the_llg_equation_says():
    free = magnet(800, alpha=0.1)
    drive = {"current_density": overdrive(free, 2.0)}
    times = np.array([46, 60]) * 1e-12
    d = fokker_planck(free, TORQUE, temperature=TEMPERATURE, duration=times[-1], times=times, cells=2000, **drive)
    upper = d["projection"].values + d["width"].values / 2
    medians = [np.interp(0.5, np.cumsum(p * d["width"].values), upper) for p in d["probability_density"].values]
    assert medians[0] < -0.5 < 0.5 < medians[1]
    start = (math.sqrt(1 - medians[0] ** 2), 0.0, medians[0])
    path = llg.run(free, TORQUE, initial=start, duration=times[1] - times[0], dt=1e-14, **drive)
    assert float(path["m"][-1, 2]) == pytest.approx(medians[1], abs=0.01)


# --- signs ----------------------------------------------------------------------------------------------------------


def test_field_like_torque_acts_as_a_field_and_damping_like_torque_as_one_over_alpha():
    """Both along p: U' = -[B + b_FL + b_DL/alpha] Ms Vol/kT."""
    free = magnet(12)
    field = 0.008
    expected = switching_rate(magnet(12, field=(0, 0, field)), None, temperature=TEMPERATURE)
    assert expected > 3 * switching_rate(free, None, temperature=TEMPERATURE)
    damping_like = current_density(free, field * free.alpha)
    both = {
        "damping-like": (TORQUE, damping_like),
        "field-like": (Slonczewski(polarization=0.0, epsilon_prime=TORQUE.polarization / 2), damping_like / free.alpha),
    }
    for source, drive in both.values():
        found = switching_rate(free, source, current_density=drive, temperature=TEMPERATURE)
        assert found == pytest.approx(expected, rel=1e-6)


def test_parallel_and_antiparallel_mirror_each_other():
    options = {"temperature": TEMPERATURE, "duration": 3e-9, "times": [1e-9, 3e-9], "cells": 600}
    up, down = magnet(10, field=(0, 0, 0.01)), magnet(10, field=(0, 0, -0.01))
    drive = overdrive(up, 1.5)
    one = fokker_planck(up, TORQUE, current_density=drive, initial="antiparallel", **options)
    other = fokker_planck(down, TORQUE, current_density=-drive, initial="parallel", **options)
    for name in ("switched", "not_switched", "survival", "first_passage_density"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9)
    np.testing.assert_allclose(one["mean_projection"], -other["mean_projection"], rtol=1e-9)
    np.testing.assert_allclose(
        one["probability_density"], other["probability_density"].values[:, ::-1], rtol=1e-7, atol=1e-12
    )  # fmt: skip
    assert np.all(np.diff(one["projection"]) > 0)
    assert np.all(np.diff(other["projection"]) > 0)
    assert last(one, "mean_projection") > float(one["mean_projection"][0])


def test_rates_to_and_fro_add_up_and_are_in_detailed_balance():
    free = magnet(12, field=(0, 0, 0.01))
    there, back = (switching_rate(free, None, state=s, temperature=TEMPERATURE) for s in ("antiparallel", "parallel"))
    assert there + back == pytest.approx(escape_rate(free, None, temperature=TEMPERATURE), rel=1e-7)
    assert there > back
    for state, rate in (("antiparallel", there), ("parallel", back)):
        assert brown_rate(free, state=state, temperature=TEMPERATURE) == pytest.approx(rate, rel=0.2)


# --- drives ---------------------------------------------------------------------------------------------------------


def test_a_pulse_is_a_constant_drive_while_it_lasts():
    free = magnet(10)
    strong = overdrive(free, 2.0)
    options = {"temperature": TEMPERATURE, "duration": 4e-9, "cells": 600}
    constant = fokker_planck(free, TORQUE, current_density=strong, times=[2e-9], **options)
    drives = pulse(strong, 2e-9), sampled([0, 2e-9, 2e-9, 4e-9], [strong, strong, 0, 0])
    for drive in drives:
        d = fokker_planck(free, TORQUE, current_density=drive, times=[2e-9, 4e-9], **options)
        assert float(d["not_switched"][0]) == pytest.approx(last(constant, "not_switched"), rel=STEP_ERROR)
    delayed = pulse(strong, 2e-9, start=1.5e-9)
    late = fokker_planck(free, TORQUE, current_density=delayed, times=[3.5e-9], **options)
    # Before the pulse the well is in equilibrium but for what has crossed the equator.
    assert last(late, "not_switched") == pytest.approx(last(constant, "not_switched"), rel=1e-3)


def test_voltage_and_current_density_are_the_same_drive_through_the_resistance_area():
    free = magnet(10)
    resistive = Slonczewski(polarization=TORQUE.polarization, resistance_area=5e-12)
    strong = overdrive(free, 0.5)
    by_voltage = escape_rate(free, resistive, voltage=strong * 5e-12, temperature=TEMPERATURE)
    assert by_voltage == pytest.approx(
        escape_rate(free, TORQUE, current_density=strong, temperature=TEMPERATURE), rel=1e-9
    )  # fmt: skip


def test_a_torque_map_linear_in_the_voltage_acts_as_the_closed_form():
    free = magnet(12)
    tmap = torque_map(free, lambda v: v, 5)
    by_map, by_form = {"voltage": 0.5}, {"current_density": overdrive(free, 0.5)}
    for rate in (escape_rate, switching_rate, mean_switching_time):
        found = rate(free, tmap, temperature=TEMPERATURE, **by_map)
        assert found == pytest.approx(rate(free, TORQUE, temperature=TEMPERATURE, **by_form), rel=1e-9)
    options = {"temperature": TEMPERATURE, "duration": 4e-9, "times": [2e-9, 4e-9], "cells": 400}
    of_map = fokker_planck(free, tmap, voltage=sine(0.9, 2e8), **options)
    of_form = fokker_planck(free, TORQUE, current_density=sine(overdrive(free, 0.9), 2e8), **options)
    np.testing.assert_allclose(of_map["switched"], of_form["switched"], rtol=STEP_ERROR)


def test_a_changing_voltage_has_the_potential_of_each_of_its_values_however_fine_the_map():
    free = magnet(30)
    tmap = torque_map(free, lambda v: 2 * v + 0.6 * np.tanh((v - 0.5) / 0.02), 101, harmonic=0.4)
    drive = sampled([0, 2e-9, 2e-9, 3e-9], [-1, 1, 0.487, 0.52])
    walk = _walk(free, tmap, drive, None, TEMPERATURE, "antiparallel", 200)
    steps = walk.steps_over_time()
    for t in (0.0, 0.123e-9, 1e-9, 1.487e-9, 1.5e-9, 1.51e-9, 2e-9, 2.7e-9, 5e-9):
        exact = walk.steps(float(drive(t)))
        np.testing.assert_allclose(steps(t), exact, rtol=0, atol=TABLE_ERROR * np.abs(exact).max())


def test_what_the_drive_does_later_changes_nothing():
    free = magnet(30)
    tmap = torque_map(free, lambda v: 2 * v + 0.6 * np.tanh((v - 0.5) / 0.02), 101)
    options = {"temperature": TEMPERATURE, "duration": 4e-9, "times": [3.9e-9], "cells": 600}
    later = sampled([0, 3.95e-9, 3.95e-9, 4e-9], [0.487, 0.487, -1, 1])
    ahead, constant = (last(fokker_planck(free, tmap, voltage=v, **options), "switched") for v in (later, 0.487))
    assert ahead == pytest.approx(constant, rel=STEP_ERROR)


@pytest.mark.parametrize("rate", [escape_rate, switching_rate, mean_switching_time])
def test_a_rate_refuses_a_drive_that_varies_and_takes_a_waveform_that_does_not(rate):
    free = magnet(12)
    half = overdrive(free, 0.5)
    with pytest.raises(InputError, match="varies .* use fokker_planck") as refusal:
        rate(free, TORQUE, current_density=pulse(half, 1e-9, start=1e-9), temperature=TEMPERATURE)
    assert "\n" not in str(refusal.value)
    still = pulse(half, 1e-9, base=half)
    numbers = [rate(free, TORQUE, current_density=x, temperature=TEMPERATURE) for x in (still, half)]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    ("changes", "arguments", "word"),
    [
        ({"easy_axis": (1, 0, 0)}, {}, "azimuth"),
        ({"field": (0.01, 0, 0.1)}, {}, "azimuth"),
        ({"demag": (0.3, 0.4, 0.3)}, {}, "azimuth"),
        ({"cubic_anisotropy": 1e4}, {}, "azimuth"),
        ({"alpha": 0.0}, {}, "alpha"),
        ({}, {"temperature": 0.0}, "temperature"),
        ({}, {"initial": "up"}, "initial"),
        ({"field": (0, 0, 0.2)}, {}, "no well"),
        ({}, {"times": [0, 2.0]}, "times"),
        ({}, {"times": [1e-10, 0]}, "times"),
        ({}, {"times": [0, math.nan, 1e-9]}, "times"),
        ({}, {"duration": -1.0}, "duration"),
        ({}, {"cells": 301}, "cells"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(changes, arguments, word):
    options = {"temperature": TEMPERATURE, "duration": 1e-9, **arguments}
    with pytest.raises(InputError, match=word) as refusal:
        fokker_planck(magnet(20, **changes), None, **options)
    assert "\n" not in str(refusal.value)


# --- lifetimes ------------------------------------------------------------------------------------------------------


def test_the_boundary_of_first_passages_lies_on_a_face_and_not_in_a_cell():
    """Against a torque that holds the state the last half of a cell costs most: its sign is worth 6 % at 100 cells."""
    free = magnet(10)
    drive = {"current_density": overdrive(free, -0.8), "temperature": TEMPERATURE}
    coarse, fine = (mean_switching_time(free, TORQUE, cells=n, **drive) for n in (100, 2000))
    assert coarse == pytest.approx(fine, rel=0.01)


def three_wells(first_order, second_order):
    """U = -(K1 c^2 + K2 c^4) with K1 < 0 < K2, in kT: wells at the poles and at the equator."""
    return magnet(first_order, second_order_anisotropy=second_order * KT / VOLUME)


def test_a_dimple_on_the_barrier_is_part_of_it():
    """1/rate = int dy exp(U(y))/(D_0 (1 - y^2)) int_-1^y exp(-U), from pole to pole; the dimple has 0.6 kT."""
    free = three_wells(-10, 40)

    def potential(c):
        return 10 * c**2 - 40 * c**4

    def passage(y):
        return quad(lambda x: math.exp(potential(y) - potential(x)), -1, y)[0] / (1 - y**2)

    time = quad(passage, -0.9, 0.9, epsrel=1e-6)[0] / diffusion_constant(free, TEMPERATURE)
    assert switching_rate(free, None, temperature=TEMPERATURE) == pytest.approx(1 / time, rel=GRID_ERROR)
    with pytest.raises(InputError, match="three minima"):
        brown_rate(free, temperature=TEMPERATURE)


def test_three_wells_have_not_one_rate():
    free = three_wells(-40, 80)
    with pytest.raises(InputError, match="3 wells"):
        switching_rate(free, None, temperature=TEMPERATURE)
    with pytest.raises(InputError, match="three minima"):
        lifetime(free, temperature=TEMPERATURE)


def test_a_state_without_a_well_under_the_drive_is_refused_at_that_drive():
    free = magnet(12)
    drive = overdrive(free, 2.0)
    with pytest.raises(InputError, match=rf"no barrier .* at drive {drive:g}".replace("+", r"\+")):
        switching_rate(free, TORQUE, current_density=drive, temperature=TEMPERATURE)


def test_eigenvalues_converge_behind_any_barrier_and_under_any_drive():
    free = magnet(200, field=(0, 0, 0.003))
    rates = [switching_rate(free, None, state=s, temperature=TEMPERATURE) for s in ("antiparallel", "parallel")]
    assert escape_rate(free, None, temperature=TEMPERATURE, cells=10000) == pytest.approx(sum(rates), rel=GRID_ERROR)
    # Both poles of a strong drive have 4 Delta D_0 (i - 1), that of the growth and that of the decay, but for 2/i.
    growth = 4 * 30 * 999 * diffusion_constant(magnet(30), TEMPERATURE)
    found = escape_rate(magnet(30), TORQUE, current_density=overdrive(magnet(30), 1000.0), temperature=TEMPERATURE)
    assert found == pytest.approx(growth, rel=FINE_GRID_ERROR)


def test_bisection_and_inverse_iteration_find_the_same_eigenvalue(monkeypatch):
    walk = _walk(magnet(5), TORQUE, None, overdrive(magnet(5), 0.5), TEMPERATURE, "antiparallel", 400)
    rates = walk.rates(walk.steps(walk.drive.peak))
    by_iteration = smallest_eigenvalue(rates, TEMPERATURE)
    monkeypatch.setattr("qtorque.llg.axial_walk.ITERATIONS", 0)
    assert smallest_eigenvalue(rates, TEMPERATURE) == pytest.approx(by_iteration, rel=1e-9)


@pytest.mark.parametrize("angle", [1e-8, 1e-3, 0.5])
def test_without_torque_the_fixed_moment_only_names_the_states(angle):
    axis = (math.sin(angle), 0, math.cos(angle))
    for field in (0.0, 0.02):
        along = lifetime(magnet(30, field=(0, 0, field)), temperature=TEMPERATURE)
        tilted = magnet(30, easy_axis=axis, field=tuple(field * x for x in axis))
        found = lifetime(tilted, temperature=TEMPERATURE)
        assert found.formula == "Brown"
        assert found.rate == pytest.approx(along.rate, rel=CURVATURE_ERROR)
        assert brown_rate(tilted, temperature=TEMPERATURE) == found.rate
    exact = retention(tilted, state="parallel", temperature=300)["fokker_planck_rate"]
    expected = switching_rate(magnet(30, field=(0, 0, 0.02)), None, state="parallel", temperature=300)
    assert float(exact[0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("excess", [1e-9, 1e-7])
def test_a_magnet_that_is_nearly_axial_is_sent_to_be_made_so(excess):
    with pytest.raises(InputError, match="make it exactly axial"):
        lifetime(magnet(30, demag=(1 / 3 + excess, 1 / 3 - excess, 1 / 3)), temperature=TEMPERATURE)


def test_an_easy_cone_is_named_and_has_a_rate_by_fokker_planck():
    cone = magnet(60, second_order_anisotropy=-45 * KT / VOLUME)
    with pytest.raises(InputError, match="circle of directions at m.p = -0.8"):
        lifetime(cone, temperature=TEMPERATURE)
    assert switching_rate(cone, None, temperature=TEMPERATURE) == pytest.approx(
        escape_rate(cone, None, temperature=TEMPERATURE) / 2, rel=1e-6
    )


def test_a_landscape_with_one_minimum_has_no_saddle():
    found = landscape(magnet(20, demag=(0.3, 0.4, 0.3), field=(0.5, 0, 0)))
    assert found.minima.shape == (1, 3)
    assert found.saddles.shape == (0, 3)
    assert found.losses.shape == (0, 2)


@pytest.mark.parametrize("state", ["antiparallel", "parallel"])
def test_browns_rate_of_the_uniaxial_magnet_in_a_field_is_the_textbook_formula(state):
    delta, field = 50.0, 0.04
    free = magnet(delta, field=(0, 0, field), alpha=0.02)
    h = field / free.stiffness * (1 if state == "antiparallel" else -1)
    alpha = 0.02
    expected = (
        alpha * GYROMAGNETIC_RATIO / (1 + alpha**2) * free.stiffness * math.sqrt(delta / math.pi)
        * (1 - h**2) * (1 - h) * math.exp(-delta * (1 - h) ** 2)
    )  # fmt: skip
    found = lifetime(free, state=state, temperature=TEMPERATURE)
    assert found.formula == "Brown"
    assert found.rate == pytest.approx(expected, rel=CURVATURE_ERROR)
    assert found.rate == pytest.approx(brown_rate(free, state=state, temperature=TEMPERATURE), rel=ROUNDING)
    assert found.barrier == pytest.approx(delta * KT * (1 - h) ** 2, rel=ROUNDING)
    assert found.rate == pytest.approx(switching_rate(free, None, state=state, temperature=TEMPERATURE), rel=0.05)


def test_browns_rate_knows_a_second_order_anisotropy():
    free = magnet(30, second_order_anisotropy=20 * KT / VOLUME)
    exact = switching_rate(free, None, temperature=TEMPERATURE)
    found = lifetime(free, temperature=TEMPERATURE)
    assert found.barrier_kT == pytest.approx(50, rel=ROUNDING)
    assert found.rate == pytest.approx(exact, rel=0.06)


def biaxial(delta, hard, alpha):
    """Of easy axis z with a barrier `delta` (kT), and a hard axis x: a field `hard` (T) from y to x by its shape."""
    excess = hard / (4e-7 * math.pi * MS)
    return magnet(delta, demag=((1 + 2 * excess) / 3, (1 - excess) / 3, (1 - excess) / 3), alpha=alpha)


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_kramers_langer_of_a_biaxial_magnet_is_the_closed_form(alpha):
    """Of E/Vol = -K mz^2 + H mx^2 (D. A. Smith and F. A. de Rozario, J. Magn. Magn. Mater. 3, 219 (1976); from memory).

    Two saddles at +-y with curvatures -2K and 2H, a well with 2K and 2(K + H); all over Ms as fields.
    """
    delta, h = 40.0, 0.6
    free = biaxial(delta, h, alpha)
    k = 2 * free.anisotropy / MS
    growth = alpha * (k - h) + math.sqrt(alpha**2 * (k - h) ** 2 + 4 * (1 + alpha**2) * k * h)
    growth *= GYROMAGNETIC_RATIO / (2 * (1 + alpha**2))
    expected = 2 * growth / (2 * math.pi) * math.sqrt(k * (k + h) / (k * h)) * math.exp(-delta)
    assert kramers_langer_rate(free, temperature=TEMPERATURE) == pytest.approx(expected, rel=CURVATURE_ERROR)
    found = lifetime(free, temperature=TEMPERATURE)
    assert found.formula == "Kramers-Langer-Mel'nikov"
    assert found.barrier_kT == pytest.approx(delta, rel=ROUNDING)
    # The orbit through the saddles is a great circle, on which |B_across| = sqrt(k h) sin(its angle from y).
    np.testing.assert_allclose(landscape(free).losses, 2 * free.moment * math.sqrt(k * h), rtol=GRID_ERROR)
    # Depletion costs a well-damped magnet nothing.
    assert found.rate == pytest.approx(expected, rel=CURVATURE_ERROR) if alpha == 1 else found.rate < expected
    assert found.attempt_frequency * math.exp(-found.barrier_kT) == pytest.approx(found.rate, rel=ROUNDING)


def test_at_vanishing_damping_the_rate_is_the_loss_of_energy_on_half_an_orbit_in_kt():
    """Moments diffuse in energy: rate = S f_0 exp(-E_b/kT), f_0 the frequency in the well."""
    delta, h, alpha = 20.0, 0.6, 1e-8
    free = biaxial(delta, h, alpha)
    k = 2 * free.anisotropy / MS
    loss = alpha * 2 * free.moment * math.sqrt(k * h) / KT
    frequency = GYROMAGNETIC_RATIO * math.sqrt(k * (k + h)) / (2 * math.pi)
    found = lifetime(free, temperature=TEMPERATURE)
    # The next order is the square root of the loss.
    assert found.rate == pytest.approx(loss * frequency * math.exp(-delta), rel=3 * math.sqrt(loss))


@pytest.mark.parametrize(
    ("barrier", "hard", "alpha", "order", "excess"),
    [(5, 10, 0.3, 18, 1.110), (8, 10, 3.0, 22, 1.030), (8, 6, 0.1, 22, 1.029)],
)
def test_lifetime_of_a_biaxial_magnet_is_that_of_fokker_planck_on_the_whole_sphere(barrier, hard, alpha, order, excess):
    """Galerkin in spherical harmonics: da_j/dt = int grad Y_j . v P - D_0 l (l + 1) a_j.

    The slowest mode is even under half a turn about the easy axis z, so m is even, and odd under one about x: cosines
    of odd degree, sines of even degree.
    """
    free = biaxial(barrier, hard * KT / VOLUME / MS, alpha)
    nodes, weights = legendre.leggauss(order + 3)
    turns = 2 * order + 6
    polar, azimuth = np.meshgrid(np.arccos(nodes), np.arange(turns) * 2 * math.pi / turns, indexing="ij")
    polar, azimuth = polar.ravel(), azimuth.ravel()
    weights = np.repeat(weights, turns) * 2 * math.pi / turns
    functions, degrees = [], []
    for degree in range(order + 1):
        # From m = -degree to -2 the sines, from 0 to degree - 1 the cosines.
        for m in range(0, degree, 2) if degree % 2 else range(-degree, 0, 2):
            degrees.append(degree)
            y, gradient = sph_harm_y(degree, abs(m), polar, azimuth, diff_n=1)
            part = math.sqrt(2 - (m == 0)) * np.stack([y, gradient[:, 0], gradient[:, 1] / np.sin(polar)])
            functions.append(part.imag if m < 0 else part.real)
    y, along_polar, along_azimuth = np.array(functions).transpose(1, 0, 2)
    degrees = np.array(degrees)
    c, s = np.cos(polar), np.sin(polar)
    ca, sa = np.cos(azimuth), np.sin(azimuth)
    rate = equation_of_motion(free, None).rate(np.stack([s * ca, s * sa, c], axis=1))
    drift = along_polar * (weights * np.sum(rate * np.stack([c * ca, c * sa, -s], axis=1), axis=1))
    drift += along_azimuth * (weights * np.sum(rate * np.stack([-sa, ca, 0 * c], axis=1), axis=1))
    matrix = drift @ y.T - np.diag(diffusion_constant(free, TEMPERATURE) * degrees * (degrees + 1.0))
    eigenvalue = np.sort(-np.linalg.eigvals(matrix).real)[0]
    # Two equal wells: twice the rate. Without depletion the first would be 31 % high.
    found = 2 * lifetime(free, temperature=TEMPERATURE).rate
    assert found == pytest.approx(excess * eigenvalue, rel=HARMONICS_ERROR)


def test_a_soft_saddle_is_refused():
    free = biaxial(8.0, 4.9 * KT / VOLUME / MS, 0.1)
    for rate in (lifetime, kramers_langer_rate):
        with pytest.raises(InputError, match="softest curvature"):
            rate(free, temperature=TEMPERATURE)
        rate(free, temperature=0.9 * TEMPERATURE)


def test_kramers_langer_goes_over_into_brown_nowhere_and_refuses_a_flat_saddle():
    nearly = [magnet(40, demag=(1 / 3 + x, 1 / 3 - x, 1 / 3)) for x in (1e-1, 1e-2, 1e-4)]
    with pytest.raises(InputError, match="softest"):
        kramers_langer_rate(nearly[-1], temperature=TEMPERATURE)
    with pytest.raises(InputError, match="isolated"):
        kramers_langer_rate(magnet(40), temperature=TEMPERATURE)
    with pytest.raises(InputError, match="axially"):
        brown_rate(nearly[-1], temperature=TEMPERATURE)
    rates = [kramers_langer_rate(x, temperature=TEMPERATURE) for x in nearly[:2]]
    barriers = [lifetime(x, temperature=TEMPERATURE).barrier_kT for x in nearly[:2]]
    attempts = [rate * math.exp(barrier) for rate, barrier in zip(rates, barriers, strict=True)]
    assert attempts[1] > attempts[0]
    assert attempts[1] > 4 * brown_rate(magnet(40), temperature=TEMPERATURE) * math.exp(40)


def test_landscape_of_a_cubic_magnet_has_six_wells_and_twelve_saddles():
    free = magnet(0, cubic_anisotropy=1e5)
    found = landscape(free)
    assert len(found.minima) == 6
    assert len(found.saddles) == 12
    np.testing.assert_allclose(np.sort(np.abs(found.minima), axis=1), [[0, 0, 1]] * 6, atol=1e-9)
    np.testing.assert_allclose(found.saddle_energies - found.minimum_energies[0], 0.25e5 * VOLUME, rtol=1e-9)
    np.testing.assert_allclose(found.minimum_curvatures, 2e5 / MS, rtol=CURVATURE_ERROR)
    np.testing.assert_allclose(found.saddle_curvatures, [[-2e5 / MS, 1e5 / MS]] * 12, rtol=CURVATURE_ERROR)
    for (one, other), saddle in zip(found.ends, found.saddles, strict=True):
        np.testing.assert_allclose((found.minima[one] + found.minima[other]) / math.sqrt(2), saddle, atol=1e-6)


def test_barrier_of_a_tilted_magnet_is_that_of_the_stability_analysis():
    free = magnet(60, demag=(0.25, 0.35, 0.4), field=(0.01, 0.005, -0.01), easy_axis=(0.6, 0, 0.8))
    for state in ("antiparallel", "parallel"):
        found = lifetime(free, state=state, temperature=TEMPERATURE)
        assert found.barrier == pytest.approx(llg.energy_barrier(free, state), rel=1e-6)


def test_failure_probability_is_accurate_when_tiny_and_inverts_time_to_failure():
    found = lifetime(magnet(60), temperature=TEMPERATURE)
    assert found.lifetime == pytest.approx(1 / found.rate, rel=ROUNDING)
    assert float(found.failure_probability(1.0)) == pytest.approx(found.rate, rel=1e-9)
    times = found.time_to_failure([1e-12, 1e-9, 0.5])
    np.testing.assert_allclose(found.failure_probability(times), [1e-12, 1e-9, 0.5], rtol=ROUNDING)
    for impossible in ([1.5, 0.5], -1, 1, math.nan):
        with pytest.raises(InputError, match="probability"):
            found.time_to_failure(impossible)


def test_retention_puts_the_eigenvalue_beside_the_asymptote():
    r = retention(magnet(30), temperature=[200, 300, 400])
    np.testing.assert_allclose(r["barrier_kT"], [45, 30, 22.5], rtol=ROUNDING)
    assert np.all(np.diff(r["rate"] / r["fokker_planck_rate"]) > 0)
    np.testing.assert_allclose(r["rate"], r["fokker_planck_rate"], rtol=0.06)
    np.testing.assert_allclose(r["time_to_failure"], 1e-9 * r["lifetime"], rtol=1e-8)
    for name in r.data_vars:
        assert {"units", "long_name"} <= set(r[name].attrs)
    cold = retention(magnet(30), temperature=[10, 300, 30000])["fokker_planck_rate"]
    np.testing.assert_array_equal(np.isfinite(cold), [False, True, False])
    flat = retention(magnet(30, demag=(0.4, 0.3, 0.3)), temperature=300)
    assert flat.attrs["formula"] == "Kramers-Langer-Mel'nikov"
    assert np.isnan(flat["fokker_planck_rate"]).all()


@pytest.mark.parametrize(
    ("changes", "arguments", "word"),
    [
        ({}, {"state": "up"}, "state"),
        ({"field": (0, 0, 0.5)}, {}, "minimum"),
        ({"anisotropy": -1e5}, {}, "minimum"),
        ({"demag": (0.2, 0.3, 0.5), "anisotropy": 0.0}, {}, "minimum"),
        ({}, {"temperature": -1.0}, "temperature"),
        ({"alpha": 0.0}, {}, "alpha"),
    ],
)
def test_a_state_without_a_lifetime_is_refused(changes, arguments, word):
    with pytest.raises(InputError, match=word):
        lifetime(magnet(20, **changes), **{"temperature": TEMPERATURE, **arguments})


# --- the driver -----------------------------------------------------------------------------------------------------


def test_the_driver_writes_what_retention_returns(within, tmp_path):
    run = within("lifetime", "--temperatures", "300,400", "--initial", "parallel", "-o", tmp_path / "disc", "--quiet")
    assert run.returncode == 0, run.stderr
    for words in ("energy barrier", "= 30 kT at 300 K", "attempt frequency", "years", "Fokker-Planck"):
        assert words in run.stdout
    r = store.load_dataset(tmp_path / "disc_lifetime.nc")
    assert r.attrs["state"] == "parallel"
    np.testing.assert_allclose(r["barrier_kT"], [30, 22.5], rtol=1e-5)
    assert (tmp_path / "disc_lifetime.png").stat().st_size > 10000
    again = within("lifetime", "--temperatures", "300,400", "-o", tmp_path / "disc", "--quiet")
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_the_driver_refuses_and_reports_without_writing(within, tmp_path):
    run = within("lifetime", "--demag", "0.03,0.01,0.96", "--dry-run", "-o", tmp_path / "x", "--quiet")
    assert run.returncode == 0, run.stderr
    assert "9 temperatures" in run.stdout
    run = within("lifetime", "--anisotropy", "1e4", "-o", tmp_path / "x", "--quiet")
    assert run.returncode == 2
    assert "minimum" in run.stderr
    for dry in ((), ("--dry-run",)):
        run = within("lifetime", "--temperatures", "300,0", *dry, "-o", tmp_path / "x", "--quiet")
        assert run.returncode == 2
        assert "temperature=0" in run.stderr
    assert not list(tmp_path.iterdir())


def test_the_driver_takes_a_temperature_twice_and_one_beyond_the_eigenvalue(within, tmp_path):
    run = within("lifetime", "--temperatures", "300,300,10", "-o", tmp_path / "x", "--quiet")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len([line for line in lines if line.split()[:2] == ["300", "30"]]) == 2
    assert any("none" in line for line in lines)

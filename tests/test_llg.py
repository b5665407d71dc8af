"""Magnetisation dynamics against closed forms, statistical mechanics and linear stability."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.stats import binomtest

from qtorque import llg
from qtorque.errors import InputError
from qtorque.llg.dynamics import equation_of_motion
from qtorque.llg.ensemble import CHUNK_TRAJECTORIES, wilson_interval
from qtorque.torquemap import TorqueMap
from qtorque.units import (
    BOLTZMANN,
    ELEMENTARY_CHARGE,
    GYROMAGNETIC_RATIO,
    VACUUM_PERMEABILITY,
)

SIGMAS = 4.5
"""Statistical tests use a fixed seed; this many standard errors fail once in 10^5 seeds."""
PHASE_ERROR = 1e-4
"""Relative error of Heun's method, x^2/6 at x = 0.02 rad a step, is 7e-5."""
STABILITY_ERROR = 1e-6
"""Of an eigenvalue by central differences, relative; what is measured is 1e-9."""
THRESHOLD_ERROR = 0.02
"""Asked of a threshold extrapolated from simulated growth rates; nonlinearity and dt leave about 1e-3."""

SPHERE = (1 / 3, 1 / 3, 1 / 3)
VOLUME = 1.26e-15 * 1.5e-9


def magnet(**changes):
    """A uniaxial magnet with perpendicular easy axis and 0.2 T of anisotropy field, without shape anisotropy."""
    values = {
        "Ms": 1.0e6, "thickness": 1.5e-9, "area": 1.26e-15, "alpha": 0.01, "anisotropy": 1.0e5, "demag": SPHERE,
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


def torque_map(damping_like, field_like, voltages=(-1.0, -0.5, 0.0, 0.5, 1.0), angles=13):
    """A map of functions (angle, voltage) in J per whole layer of `magnet()`, with 9 x 10^-20 m^2 a cell."""
    angle = np.linspace(0, np.pi, angles)
    grid = np.meshgrid(angle, voltages, indexing="ij")
    to_cell = 0.09e-18 / 1.26e-15 / ELEMENTARY_CHARGE
    zeros = np.zeros(grid[0].shape)
    return TorqueMap(
        angle=angle, voltage=voltages, area=0.09, charge_current=zeros,
        damping_like=damping_like(*grid) * to_cell + zeros, field_like=field_like(*grid) * to_cell + zeros,
        damping_like_fixed=zeros, field_like_fixed=zeros,
    )  # fmt: skip


def none(angle, voltage):
    return 0 * angle


def tilted(polar, azimuth=0.0):
    return np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)


TESLA = 1.0e6 * VOLUME
"""J: the torque on `magnet()` that weighs as much as a field of one tesla."""


def rich_map():
    """Both torques, angle and voltage dependent, of tens of millitesla."""
    return torque_map(
        lambda a, v: 0.03 * TESLA * v * (1 + 0.4 * np.cos(a)),
        lambda a, v: TESLA * (0.01 + 0.02 * v**2) * (1 - 0.3 * np.cos(a)),
    )


RICH = {
    "anisotropy": 1.0e5, "easy_axis": tilted(0.3), "demag": (0.1, 0.2, 0.7), "field": (0.05, 0.1, -0.02),
    "fixed": tilted(0.2, 0.5),
}  # fmt: skip


# --- the equation of motion -----------------------------------------------------------------------------------------


def test_moment_precesses_counterclockwise_at_the_larmor_frequency():
    field = 0.5
    free = magnet(alpha=0.0, anisotropy=0.0, field=(0, 0, field))
    dt = 0.02 / (GYROMAGNETIC_RATIO * field)
    path = llg.run(free, None, initial=tilted(1.0), duration=2000 * dt, dt=dt, samples=2000)
    m = path["m"].values
    phase = np.unwrap(np.arctan2(m[:, 1], m[:, 0]))
    assert phase[-1] == pytest.approx(GYROMAGNETIC_RATIO * field * float(path["time"][-1]), rel=PHASE_ERROR)
    np.testing.assert_allclose(m[:, 2], np.cos(1.0), atol=2000 * 0.02**4)


@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_gilbert_damping_in_a_field_follows_the_half_angle_law(alpha):
    """tan(theta/2) falls as exp(-alpha gamma B t/(1 + alpha^2))."""
    field = 0.5
    free = magnet(alpha=alpha, anisotropy=0.0, field=(0, 0, field))
    dt = 0.02 / (GYROMAGNETIC_RATIO * field)
    path = llg.run(free, None, initial=tilted(2.5), duration=4000 * dt * (0.01 / alpha) ** 0.5, dt=dt)
    decay = alpha * GYROMAGNETIC_RATIO * field * path["time"].values / (1 + alpha**2)
    expected = 2 * np.arctan(np.tan(1.25) * np.exp(-decay))
    np.testing.assert_allclose(np.arccos(path["m"].values[:, 2]), expected, atol=1e-3 * alpha**0.5)


def test_gilbert_damping_of_a_uniaxial_magnet_follows_the_tangent_law():
    """tan(theta) falls as exp(-alpha gamma B_k t/(1 + alpha^2)), B_k with the shape anisotropy."""
    free = magnet(alpha=0.1, anisotropy=1.0e6, demag=(0.01, 0.01, 0.98))
    B_k = 2 * 1.0e6 / 1.0e6 - VACUUM_PERMEABILITY * 1.0e6 * 0.97
    assert free.stiffness == pytest.approx(B_k, rel=1e-12)
    dt = 0.02 / (GYROMAGNETIC_RATIO * B_k)
    path = llg.run(free, None, initial=tilted(1.4), duration=2000 * dt, dt=dt)
    decay = 0.1 * GYROMAGNETIC_RATIO * B_k * path["time"].values / 1.01
    expected = np.arctan(np.tan(1.4) * np.exp(-decay))
    np.testing.assert_allclose(np.arccos(path["m"].values[:, 2]), expected, atol=3e-4)


def test_energy_is_kept_without_damping_and_falls_with_it():
    """The field in the equation of motion is -grad E of the energy, all terms of it."""
    options = {"initial": tilted(1.0, 2.0), "duration": 2e-9, "dt": 2e-14}
    for alpha in (0.0, 0.02):
        free = magnet(alpha=alpha, **RICH)
        energy = free.energy(llg.run(free, None, **options)["m"].values)
        spread = np.ptp(free.energy(np.eye(3)))
        if alpha == 0:
            np.testing.assert_allclose(energy, energy[0], atol=1e-6 * spread)
        else:
            assert np.all(np.diff(energy) < 0)


def test_heun_converges_with_order_two():
    free = magnet(alpha=0.1, **RICH)
    tmap = rich_map()

    def end(dt):
        options = {"voltage": 0.8, "initial": tilted(2.0, 1.0), "duration": 1e-10, "dt": dt}
        return llg.run(free, tmap, **options)["m"].values[-1]

    steps = 5e-13 / 2.0 ** np.arange(5)
    exact = end(steps[-1] / 16)
    errors = [np.linalg.norm(end(dt) - exact) for dt in steps]
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert order == pytest.approx(2.0, abs=0.1)


def test_length_of_the_moment_stays_one():
    free = magnet(**RICH)
    options = {"voltage": 0.8, "initial": tilted(2.0), "duration": 2e-8, "dt": 2e-13, "temperature": 300.0, "seed": 1}
    m = llg.run(free, rich_map(), **options)["m"].values
    np.testing.assert_allclose(np.linalg.norm(m, axis=1), 1.0, atol=1e-12)


# --- signs and sizes of the torques -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_positive_damping_like_torque_pulls_the_moment_towards_the_fixed_one(sign):
    """Without any field, tan(theta/2) falls as exp(-a t/(1 + alpha^2)), a = gamma tau_DL/(Ms Vol)."""
    tmap = torque_map(lambda a, v: sign * 0.1 * TESLA, none)
    free = magnet(anisotropy=0.0, fixed=tilted(0.7, 0.3))
    path = llg.run(free, tmap, initial=tilted(1.9, 0.3), duration=1e-10, dt=1e-13)
    decay = sign * GYROMAGNETIC_RATIO * 0.1 * path["time"].values / (1 + free.alpha**2)
    expected = 2 * np.arctan(np.tan(0.6) * np.exp(-decay))
    angle = np.arccos(path["m"].values @ np.array(free.fixed))
    np.testing.assert_allclose(angle, expected, atol=1e-4)


def test_positive_voltage_switches_antiparallel_to_parallel_and_negative_back():
    tmap = torque_map(lambda a, v: 0.03 * TESLA * v, none)
    free = magnet(anisotropy=3e5, alpha=0.02)
    options = {"voltage": [-1.0, 0.0, 1.0], "trajectories": 20, "duration": 6e-9, "dt": 5e-13, "temperature": 300}
    up = llg.ensemble(free, tmap, initial="antiparallel", **options)
    down = llg.ensemble(free, tmap, initial="parallel", **options)
    np.testing.assert_array_equal(up["switching_probability"], [0, 0, 1])
    np.testing.assert_array_equal(down["switching_probability"], [1, 0, 0])
    assert np.all(up["m_final"].sel(voltage=1.0, xyz="z") > 0.7)


@pytest.mark.parametrize(("sign", "projection"), [(-1, -1.0), (1, 1.0)])
def test_field_like_torque_is_a_coupling_that_relaxes_antiparallel_if_negative(sign, projection):
    """The sign of the three-layer junction of the reference, tau_FL(V = 0) = -4.13e-7 eV per cell, is sign = -1."""
    tmap = torque_map(none, lambda a, v: sign * 0.1 * TESLA)
    free = magnet(anisotropy=0.0, alpha=0.3, fixed=tilted(0.4, 1.0))
    m = llg.run(free, tmap, voltage=0.0, initial=tilted(1.6, 2.0), duration=3e-9, dt=5e-13)["m"].values[-1]
    assert m @ np.array(free.fixed) == pytest.approx(projection, abs=1e-6)


def test_field_like_torque_acts_as_a_field_along_the_fixed_moment():
    coupling = 0.03
    tmap = torque_map(none, lambda a, v: coupling * TESLA)
    with_torque = magnet(**RICH)
    field = np.array(with_torque.field) + coupling * np.array(with_torque.fixed)
    with_field = dataclasses.replace(with_torque, field=field)
    options = {"initial": tilted(1.0), "duration": 5e-10, "dt": 2e-13}
    np.testing.assert_allclose(
        llg.run(with_torque, tmap, **options)["m"], llg.run(with_field, None, **options)["m"], atol=1e-11
    )


def test_torque_scales_with_the_number_of_cells_of_the_layer():
    tmap = rich_map()
    free = magnet(area=2.52e-15, **RICH)
    tau = tmap.torque(1.0, 0.8, area_si=free.area)
    at_voltage = equation_of_motion(free, tmap, 0.8)
    assert np.array(tau) / free.moment == pytest.approx(
        np.array(equation_of_motion(magnet(**RICH), tmap, 0.8).damping_like)[3, :0].tolist()
        or [value / VOLUME / 1e6 for value in np.array(tau) / 2]
    )
    assert at_voltage.rate(np.array(tilted(1.0))) == pytest.approx(
        equation_of_motion(magnet(**RICH), tmap, 0.8).rate(np.array(tilted(1.0)))
    )

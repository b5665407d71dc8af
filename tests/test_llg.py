"""Magnetisation dynamics against closed forms, statistical mechanics and linear stability."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.stats import binomtest

from qtorque import llg
from qtorque.errors import InputError
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.trajectories import CHUNK_TRAJECTORIES, wilson_interval
from qtorque.torquemap import TorqueMap
from qtorque.units import BOLTZMANN, ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, VACUUM_PERMEABILITY

SIGMAS = 4.5
"""Statistical tests use a fixed seed; this many standard errors fail once in 10^5 seeds."""
PHASE_ERROR = 1e-4
"""Relative error of Heun's method, x^2/6 at x = 0.02 rad a step, is 7e-5."""
DAMPING_ERROR = 4e-4
"""Heun's method errs on the rate of damping by about x^2 at x = 0.02 rad a step; so do angles after a decay time."""
STABILITY_ERROR = 1e-6
"""Of an eigenvalue by central differences, relative; what is measured is 1e-9."""
LINEAR_REGIME = 0.03
"""rad: deviations up to here grow exponentially, their nonlinear part is of the order of the square, 1e-3."""
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
    np.testing.assert_allclose(np.arccos(path["m"].values[:, 2]), expected, atol=DAMPING_ERROR)


def test_gilbert_damping_of_a_uniaxial_magnet_follows_the_tangent_law():
    """tan(theta) falls as exp(-alpha gamma B_k t/(1 + alpha^2)), B_k with the shape anisotropy."""
    free = magnet(alpha=0.1, anisotropy=1.0e6, demag=(0.01, 0.01, 0.98))
    B_k = 2 * 1.0e6 / 1.0e6 - VACUUM_PERMEABILITY * 1.0e6 * 0.97
    assert free.stiffness == pytest.approx(B_k, rel=1e-12)
    dt = 0.02 / (GYROMAGNETIC_RATIO * B_k)
    path = llg.run(free, None, initial=tilted(1.4), duration=2000 * dt, dt=dt)
    decay = 0.1 * GYROMAGNETIC_RATIO * B_k * path["time"].values / 1.01
    expected = np.arctan(np.tan(1.4) * np.exp(-decay))
    np.testing.assert_allclose(np.arccos(path["m"].values[:, 2]), expected, atol=DAMPING_ERROR)


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


def test_length_of_the_moment_stays_one():
    free = magnet(**RICH)
    options = {"voltage": 0.8, "initial": tilted(2.0), "duration": 4e-9, "dt": 2e-13, "seed": 1}
    for temperature in (0.0, 300.0):
        m = llg.run(free, rich_map(), temperature=temperature, **options)["m"].values
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
    for area in (1.26e-15, 2.52e-15):
        free = magnet(**RICH, area=area)
        damping_like, field_like = tmap.torque(0.0, 0.8, area_si=area)
        equation = equation_of_motion(free, tmap, 0.8)
        interval = np.searchsorted(equation.table.breaks, 0.8) - 1
        powers = (0.8 - equation.table.breaks[interval]) ** np.arange(3, -1, -1)
        pull, push = powers @ equation.table.polynomials[interval, :, :, 3]
        assert pull == pytest.approx(damping_like / (1e6 * area * 1.5e-9), rel=1e-12)
        assert push == pytest.approx(field_like / (1e6 * area * 1.5e-9), rel=1e-12)
        assert pull == pytest.approx(0.03 * 0.8 * 1.4, rel=1e-12)


# --- temperature ------------------------------------------------------------------------------------------------------


def test_free_moment_forgets_its_direction_at_the_rate_of_brown():
    """Without a field <m> falls as exp(-2 D t), D = alpha gamma kT/((1 + alpha^2) Ms Vol): pins the thermal field."""
    free = magnet(anisotropy=0.0, alpha=0.5)
    D = 0.5 * GYROMAGNETIC_RATIO * BOLTZMANN * 300 / (1.25 * free.moment)
    dt, trajectories = 1 / (2 * D) / 500, 4096
    r = llg.ensemble(
        free, None, voltage=0.0, initial=(0, 0, 1), trajectories=trajectories, duration=500 * dt, dt=dt,
        temperature=300, thermalisation=0.0, seed=3,
    )  # fmt: skip
    m = r["m_final"].values[0]
    error = m[:, 2].std() / trajectories**0.5
    expected = np.exp(-1)
    assert abs(m[:, 2].mean() - expected) < SIGMAS * error
    # A variance wrong by a factor of two would give exp(-1/2) or exp(-2).
    assert SIGMAS * error < 0.2 * abs(np.exp(-2) - expected)
    assert abs(m[:, 0].mean()) < SIGMAS * m[:, 0].std() / trajectories**0.5


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_equilibrium_is_the_boltzmann_distribution(alpha):
    """Uniaxial magnet with a barrier of 5 kT: <mz^2> = 0.7643, whatever the damping."""

    def weight(z):
        return np.exp(5 * (z**2 - 1))

    expected = quad(lambda z: z**2 * weight(z), -1, 1)[0] / quad(weight, -1, 1)[0]
    assert expected == pytest.approx(0.7643, abs=5e-5)
    free = magnet(alpha=alpha, anisotropy=5 * BOLTZMANN * 300 / VOLUME)
    trajectories = 8192
    # The first-order error of the distribution in the step, about alpha gamma B_k dt, is below half a standard error.
    dt = 0.02 / (GYROMAGNETIC_RATIO * free.stiffness)
    duration = 6 * (1 + alpha**2) / (alpha * GYROMAGNETIC_RATIO * free.stiffness)
    r = llg.ensemble(
        free, None, voltage=0.0, trajectories=trajectories, duration=duration, dt=dt, temperature=300,
        thermalisation=0.0, seed=11,
    )  # fmt: skip
    z2 = r["m_final"].values[0, :, 2] ** 2
    error = z2.std() / trajectories**0.5
    assert abs(z2.mean() - expected) < SIGMAS * error
    assert error < 0.004


def test_ensemble_starts_thermalised():
    free = magnet(alpha=0.2, anisotropy=20 * BOLTZMANN * 300 / VOLUME)
    options = {"voltage": 0.0, "trajectories": 512, "duration": 2e-10, "dt": 1e-12, "temperature": 300, "seed": 5}
    z = llg.ensemble(free, None, **options)["m_mean"].sel(xyz="z").values[0]
    assert -0.99 < z[0] < -0.95
    assert z == pytest.approx(z[0], abs=0.01)
    cold = llg.ensemble(free, None, **options, thermalisation=0.0)["m_mean"].sel(xyz="z").values[0]
    assert cold[0] == -1


def test_at_zero_temperature_all_trajectories_are_the_single_one():
    free, tmap = magnet(**RICH), rich_map()
    options = {"initial": tilted(2.8), "duration": 1e-9, "dt": 5e-13}
    r = llg.ensemble(free, tmap, voltage=[0.7], trajectories=3, **options)
    single = llg.run(free, tmap, voltage=0.7, samples=200, **options)
    for m in r["m_final"].values[0]:
        np.testing.assert_array_equal(m, single["m"].values[-1])
    np.testing.assert_allclose(r["m_mean"].values[0], single["m"].values, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(r["time"], single["time"])


# --- random numbers, chunks, ranks ------------------------------------------------------------------------------------

NOISY = {"trajectories": 64, "duration": 3e-10, "dt": 5e-13, "temperature": 300, "thermalisation": 0.0, "seed": 7}


def test_random_numbers_differ_between_trajectories_voltages_and_seeds():
    free = magnet(alpha=0.1)
    m = llg.ensemble(free, None, voltage=[0.0, 0.0], **NOISY)["m_final"].values
    other_seed = llg.ensemble(free, None, voltage=[0.0], **(NOISY | {"seed": 8}))["m_final"].values
    everything = np.concatenate([m.reshape(-1, 3), other_seed.reshape(-1, 3)])
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_a_trajectory_is_the_same_in_an_ensemble_of_any_size():
    free, tmap = magnet(**RICH), rich_map()
    ends = {}
    for trajectories in (1, 64, 300):
        r = llg.ensemble(free, tmap, voltage=[0.3, 0.9], **(NOISY | {"trajectories": trajectories}))
        ends[trajectories] = r["m_final"].values
        np.testing.assert_allclose(r["m_mean"].values[:, -1], r["m_final"].values.mean(axis=1), atol=1e-14)
    assert CHUNK_TRAJECTORIES < 300
    np.testing.assert_array_equal(ends[300][:, :64], ends[64])
    np.testing.assert_array_equal(ends[64][:, :1], ends[1])


def test_single_run_is_the_first_trajectory_of_an_ensemble():
    free, tmap = magnet(**RICH), rich_map()
    r = llg.ensemble(free, tmap, voltage=[0.3], initial="parallel", **(NOISY | {"trajectories": 1}))
    options = {name: NOISY[name] for name in ("duration", "dt", "temperature", "seed")}
    single = llg.run(free, tmap, voltage=0.3, initial="parallel", **options)
    np.testing.assert_array_equal(single["m"].values[-1], r["m_final"].values[0, 0])


@pytest.mark.mpi
def test_ensemble_on_two_ranks_gives_the_same_bits(mpirun, tmp_path):
    script = f"""
from qtorque import llg, parallel
from qtorque.store import save_dataset
free = llg.Macrospin(Ms=1e6, thickness=1.5e-9, area=1.26e-15, alpha=0.1, anisotropy=1e5, demag=(0.1, 0.2, 0.7))
comm = parallel.world()
r = llg.ensemble(free, None, voltage=[0.0, 0.1], comm=comm, **{NOISY | {"trajectories": 200}!r})
if comm is None or comm.rank == 0:
    save_dataset(r, r"{tmp_path}/" + ("1.nc" if comm is None else str(comm.size) + ".nc"), force=True)
"""
    exec(script, {})
    result = mpirun(2, script)
    assert result.returncode == 0, result.stderr
    serial, shared = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf") for n in (1, 2))
    xr.testing.assert_identical(serial, shared)


def test_results_describe_themselves(tmp_path):
    free = magnet()
    for r in (
        llg.ensemble(free, None, voltage=[0.0], **NOISY),
        llg.run(free, None, initial="parallel", duration=1e-11, dt=1e-12),
    ):
        for variable in (*r.data_vars.values(), r["time"]):
            assert {"units", "long_name"} <= variable.attrs.keys()
        r.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
        assert r.attrs["free_Ms"] == 1e6


@pytest.mark.parametrize(("successes", "trials"), [(0, 50), (1, 50), (25, 50), (50, 50), (0, 1), (1, 1)])
def test_interval_is_the_one_of_wilson(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, trials), expected, atol=1e-12)


# --- stability --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "sign"), [("antiparallel", 1), ("parallel", -1)])
def test_critical_voltage_of_a_perpendicular_magnet(state, sign):
    """tau_DL = c V switches where tau_DL/Vol = 2 alpha K_eff, K_eff = K - mu_0 Ms^2 (N_z - N_x)/2.

    Near -p the two terms T/gamma are i B_k psi and b_DL psi (psi the complex deviation), so (1 + alpha^2)/gamma
    dpsi/dt = (1 + i alpha)(i B_k + b_DL) psi: no growth at b_DL = alpha B_k, and the frequency there is gamma B_k/2 pi.
    """
    free = magnet(anisotropy=1.0e6, demag=(0.02, 0.02, 0.96))
    K_eff = 1.0e6 - VACUUM_PERMEABILITY * 1.0e6**2 * 0.94 / 2
    c = 0.03 * TESLA
    critical = llg.critical_voltage(free, torque_map(lambda a, v: c * v, none), state)
    assert critical.voltage == pytest.approx(sign * 2 * free.alpha * K_eff * VOLUME / c, rel=STABILITY_ERROR)
    assert critical.frequency == pytest.approx(
        GYROMAGNETIC_RATIO * 2 * K_eff / 1.0e6 / (2 * np.pi), rel=STABILITY_ERROR
    )
    assert critical.magnetization == pytest.approx((0, 0, -sign), abs=1e-9)


def test_frequency_of_an_in_plane_magnet_is_kittels():
    """gamma sqrt(B (B + mu_0 Ms)) in a thin film magnetised by an in-plane field B."""
    field = 0.3
    free = magnet(alpha=1e-4, anisotropy=0.0, demag=(0, 0, 1), field=(field, 0, 0), fixed=(1, 0, 0))
    eigenvalue = llg.growth_rate(free, None, 0.0, "parallel")
    expected = GYROMAGNETIC_RATIO * np.sqrt(field * (field + VACUUM_PERMEABILITY * 1e6))
    assert eigenvalue.imag == pytest.approx(expected, rel=STABILITY_ERROR)
    linewidth = 1e-4 * GYROMAGNETIC_RATIO * (field + VACUUM_PERMEABILITY * 1e6 / 2)
    assert eigenvalue.real == pytest.approx(-linewidth, rel=1e-4)


def test_threshold_of_simulated_growth_is_the_linear_one():
    """A biaxial magnet under both torques: rates of growth fitted to runs at 0 K, extrapolated to zero."""
    free = magnet(anisotropy=1e6, demag=(0.02, 0.10, 0.88))
    tmap = torque_map(
        lambda a, v: 0.03 * TESLA * v * (1 + 0.4 * np.cos(a)), lambda a, v: TESLA * 0.03 * v**2 * (1 - 0.3 * np.cos(a))
    )
    critical = llg.critical_voltage(free, tmap).voltage
    voltages = critical * np.array([1.1, 1.2, 1.3, 1.4])
    rates = []
    for voltage in voltages:
        path = llg.run(free, tmap, voltage=voltage, initial=tilted(np.pi - 1e-4), duration=2e-8, dt=1e-13)
        deviation = np.hypot(*path["m"].values[:, :2].T)
        small = np.cumsum(deviation > LINEAR_REGIME) == 0
        rates.append(np.polyfit(path["time"].values[small], np.log(deviation[small]), 1)[0])
        assert rates[-1] == pytest.approx(llg.growth_rate(free, tmap, voltage).real, rel=0.03)
    slope, offset = np.polyfit(voltages, rates, 1)
    assert -offset / slope == pytest.approx(critical, rel=THRESHOLD_ERROR)


def test_state_that_vanishes_is_critical_too():
    """A field-like torque against the state ends it at B_k as a field does, without precession at alpha > 0."""
    free = magnet(alpha=0.02)
    tmap = torque_map(none, lambda a, v: 0.5 * TESLA * v)
    assert llg.critical_voltage(free, tmap).voltage == pytest.approx(free.stiffness / 0.5, rel=STABILITY_ERROR)


def test_critical_voltage_keeps_to_the_bracket_and_is_none_without_a_loss():
    free, tmap = magnet(), torque_map(lambda a, v: 0.03 * TESLA * v, none)
    critical = llg.critical_voltage(free, tmap)
    assert 0 < critical.voltage < 0.2
    assert llg.critical_voltage(free, tmap, bracket=(-1.0, critical.voltage * 0.9)) is None
    inside = llg.critical_voltage(free, tmap, bracket=(critical.voltage * 0.9, 0.5))
    assert inside.voltage == pytest.approx(critical.voltage, rel=STABILITY_ERROR)


@pytest.mark.parametrize("fraction", [0.0, 0.4])
def test_barrier_of_a_uniaxial_magnet_in_a_field_is_that_of_stoner_and_wohlfarth(fraction):
    """K_eff Vol (1 +- B/B_k)^2 along the easy axis."""
    free = magnet(anisotropy=3e5)
    free = dataclasses.replace(free, field=(0, 0, fraction * free.stiffness))
    assert llg.energy_barrier(free, "parallel") == pytest.approx(3e5 * VOLUME * (1 + fraction) ** 2, rel=1e-9)
    assert llg.energy_barrier(free) == pytest.approx(3e5 * VOLUME * (1 - fraction) ** 2, rel=1e-9)


def test_barrier_leads_over_the_lower_of_two_saddles():
    """In-plane: over the in-plane hard axis, not out of the plane. A field across lowers it by (1 - B/B_k)^2."""
    free = magnet(anisotropy=0.0, demag=(0.05, 0.15, 0.8), fixed=(1, 0, 0))
    expected = VACUUM_PERMEABILITY * 1e12 / 2 * 0.1 * VOLUME
    assert llg.energy_barrier(free) == pytest.approx(expected, rel=1e-9)
    B_k = VACUUM_PERMEABILITY * 1e6 * 0.1
    across = dataclasses.replace(free, field=(0, 0.3 * B_k, 0))
    assert llg.energy_barrier(across) == pytest.approx(expected * 0.7**2, rel=1e-8)


@pytest.mark.parametrize("sign", [1, -1])
def test_barrier_of_a_cubic_magnet_leads_to_the_next_of_its_minima(sign):
    """Kc/4 over a face diagonal between two of six axes; |Kc|/12 over one between two of eight body diagonals."""
    fixed = (0, 0, 1) if sign > 0 else tuple(np.ones(3) / 3**0.5)
    free = magnet(anisotropy=0.0, cubic_anisotropy=sign * 3e4, fixed=fixed)
    expected = (1 / 4 if sign > 0 else 1 / 12) * 3e4 * VOLUME
    assert llg.energy_barrier(free) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(InputError, match="^state='up'"):
        llg.energy_barrier(free, "up")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"Ms": 0.0}, "^Ms=0.0"), ({"Ms": np.nan}, "^Ms=nan"), ({"thickness": -1e-9}, "^thickness=-1e-09"),
    ({"area": np.inf}, "^area=inf"), ({"alpha": -0.1}, "^alpha=-0.1"), ({"anisotropy": np.nan}, "^anisotropy=nan"),
    ({"easy_axis": (0, 0, 2)}, "^easy_axis=.*length 2"), ({"fixed": (1, 1, 0)}, "^fixed=.*length 1.41421"),
    ({"demag": (0, 0, 0.9)}, "^demag=.*sums to 0.9"), ({"demag": (0, 1)}, "^demag="),
    ({"field": (0, np.nan, 0)}, "^field="),
])  # fmt: skip
def test_bad_magnets_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        magnet(**changes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("changes", "message"), [
    ({"voltage": [0.0, 1.2]}, "^voltage=1.2 V is outside"), ({"voltage": []}, "^voltage has shape"),
    ({"trajectories": 0}, "^trajectories=0"), ({"trajectories": 2.5}, "^trajectories=2.5"),
    ({"duration": 0.0}, "^duration=0.0"), ({"dt": -1e-12}, "^dt=-1e-12"), ({"dt": 1e-11}, "^dt=1e-11 s is too long"),
    ({"temperature": -1}, "^temperature=-1"), ({"temperature": np.nan}, "^temperature=nan"),
    ({"seed": -1}, "^seed=-1"), ({"seed": 0.5}, "^seed=0.5"), ({"thermalisation": -1.0}, "^thermalisation=-1.0"),
    ({"initial": "up"}, "^initial='up'"), ({"initial": (0, 0, 0.5)}, "^initial=.*length 0.5"),
    ({"initial": (1, 0, 0)}, r"^initial=\(1, 0, 0\) is across p"),
])  # fmt: skip
def test_bad_ensembles_are_refused_in_one_line_before_the_first_step(changes, message, monkeypatch):
    monkeypatch.setattr("qtorque.parallel.map_chunks", lambda *_, **__: pytest.fail("the run has begun"))
    options = {"voltage": [0.0], "trajectories": 4, "duration": 1e-10, "dt": 1e-12, "temperature": 300}
    with pytest.raises(InputError, match=message) as refusal:
        llg.ensemble(magnet(), rich_map(), **(options | changes))
    assert "\n" not in str(refusal.value)


def test_thermalising_needs_zero_voltage_in_the_map_and_a_time_scale():
    options = {"voltage": [0.6], "trajectories": 4, "duration": 1e-11, "dt": 1e-12, "temperature": 300}
    tmap = torque_map(none, none, voltages=[0.5, 0.7])
    with pytest.raises(InputError, match="voltage=0 V is outside"):
        llg.ensemble(magnet(), tmap, **options)
    llg.ensemble(magnet(), tmap, **options, thermalisation=0.0)
    with pytest.raises(InputError, match="thermalisation has no default"):
        llg.ensemble(magnet(alpha=0.0), None, **options)


@pytest.mark.parametrize(("changes", "message"), [
    ({"voltage": 2.0}, "^voltage=2 V is outside"), ({"samples": 0}, "^samples=0"), ({"dt": 1e-11}, "^dt=1e-11 s"),
    ({"duration": np.nan}, "^duration=nan"), ({"seed": -3}, "^seed=-3"), ({"temperature": np.inf}, "^temperature=inf"),
])  # fmt: skip
def test_bad_runs_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        llg.run(magnet(), rich_map(), **({"initial": "parallel", "duration": 1e-10, "dt": 1e-12} | changes))


def test_a_map_of_some_angles_cannot_drive_dynamics():
    grid = np.zeros((5, 1))
    values = dict.fromkeys(
        ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed", "charge_current"), grid
    )
    partial = TorqueMap(angle=np.linspace(0, 3, 5), voltage=[0.0], area=0.09, **values)
    with pytest.raises(InputError, match="^angle of the torque map runs from 0 to 3 rad"):
        llg.run(magnet(), partial, initial="parallel", duration=1e-10, dt=1e-12)


def test_bad_questions_about_stability_are_refused():
    free, tmap = magnet(), rich_map()
    with pytest.raises(InputError, match="^state='up'"):
        llg.growth_rate(free, tmap, 0.0, "up")
    with pytest.raises(InputError, match="^state='up'"):
        llg.energy_barrier(free, "up")
    with pytest.raises(InputError, match=r"^bracket=\(-2.0, -1.5\)"):
        llg.critical_voltage(free, tmap, bracket=(-2.0, -1.5))
    with pytest.raises(InputError, match=r"^bracket=\(0.5, 0.1\) is no interval"):
        llg.critical_voltage(free, tmap, bracket=(0.5, 0.1))
    with pytest.raises(InputError, match="^alpha=0"):
        llg.critical_voltage(magnet(alpha=0.0), tmap)
    against = magnet(field=(0, 0, 1.5 * free.stiffness))
    with pytest.raises(InputError, match="^state='antiparallel' is unstable already"):
        llg.critical_voltage(against, tmap)
    with pytest.raises(InputError, match="^state='antiparallel' is no minimum"):
        llg.energy_barrier(against)
    across = magnet(field=(1.5 * free.stiffness, 0, 0.01))
    with pytest.raises(InputError, match="^state='antiparallel' does not exist"):
        llg.growth_rate(across, None, 0.0)


def test_thermalisation_happens_without_voltage():
    """At time 0 the ensembles of all voltages have thermalised at V = 0: a strong torque must not show yet."""
    tmap = torque_map(lambda angle, voltage: 5e-19 * voltage + 0 * angle, none)
    options = {"trajectories": 64, "duration": 1e-12, "dt": 1e-12, "temperature": 300, "seed": 1}
    r = llg.ensemble(magnet(), tmap, voltage=[-1.0, 0.0, 1.0], thermalisation=2e-9, **options)
    start = r["m_mean"].isel(time=0, xyz=2).values
    # A voltage during thermalisation would turn one of them over, and pull another one onto the axis.
    assert np.all(start < -0.9)
    assert np.ptp(start) < 0.03


def test_default_thermalisation_is_five_times_of_the_slowest_mode():
    """In-plane easy axis: the soft mode relaxes much slower than the shape field says."""
    free = llg.Macrospin(
        Ms=1.2e6, thickness=1.5e-9, area=1.26e-15, alpha=0.02, anisotropy=5e4,
        easy_axis=(1, 0, 0), demag=(0.01, 0.01, 0.98), fixed=(1, 0, 0),
    )  # fmt: skip
    options = {"trajectories": 1, "duration": 2e-13, "dt": 2e-13, "temperature": 300}
    r = llg.ensemble(free, None, voltage=[0.0], **options)
    rate = -llg.growth_rate(free, None, 0.0, "antiparallel").real
    assert r.attrs["thermalisation"] == pytest.approx(5 / rate, rel=1e-6)

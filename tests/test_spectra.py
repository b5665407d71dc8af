"""Spectra of a moment against closed forms and the fluctuation-dissipation theorem; resistances; their driver."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import scipy.signal

from qtorque import llg, plot, store
from qtorque.errors import InputError
from qtorque.llg import spectra
from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.spectra import CHUNK_TRAJECTORIES, line
from qtorque.llg.trajectories import addresses
from qtorque.torquemap import TorqueMap
from qtorque.units import BOLTZMANN, ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, HBAR, VACUUM_PERMEABILITY

ROUNDING = 1e-12
STEADY = 1e-6
"""Relative error of a frequency at 0 K from the phase: RK4 at 0.1 rad a step has 1e-7, an incomplete round 1e-6."""
LINE_ERROR = 1e-3
"""Asked of the frequency of a line; a 1 % of the width of the window is what its fit at 0 K leaves."""
FOLDING = 0.01
"""Share of the wings of a thermal line that folds back from beyond half the rate of sampling, with Heun's error."""
SCALING = 0.02
"""Asked of the ratio of two widths, whose runs have common random numbers."""
SIGMAS = 4.5
"""Statistical tests use a fixed seed; this many standard errors fail once in 10^5 seeds."""


def easy_plane(**changes):
    """A magnet with an axial easy plane of 0.66 T across z, fixed moment along z."""
    values = {"Ms": 1e6, "thickness": 3e-9, "area": 1e-14, "alpha": 0.02, "anisotropy": 3e5}
    return llg.Macrospin(**(values | changes))


def plane_field(free):
    """Size of the field that keeps the moment in the plane, T."""
    return VACUUM_PERMEABILITY * free.Ms - 2 * free.anisotropy / free.Ms


def damping_like_field(free, torque, current_density):
    """b_DL of a torque without asymmetry, T."""
    return torque.polarization / 2 * HBAR * current_density / (ELEMENTARY_CHARGE * free.Ms * free.thickness)


def junction(curvature=0.3):
    """A map with I = 1e-9 (1 + 0.4 cos) (V + curvature V^3) A per cell, and a torque linear in V."""
    angle, voltage = np.linspace(0, np.pi, 13), np.linspace(-1, 1, 9)
    grid = np.meshgrid(angle, voltage, indexing="ij")
    zeros = np.zeros(grid[0].shape)
    return TorqueMap(
        angle=angle, voltage=voltage, area=0.09, damping_like=1e-6 * grid[1], field_like=zeros,
        damping_like_fixed=zeros, field_like_fixed=zeros,
        charge_current=1e-9 * (1 + 0.4 * np.cos(grid[0])) * (grid[1] + curvature * grid[1] ** 3),
    )  # fmt: skip


SPLINE_ERROR = 1e-4
"""Of a cosine by cubic splines with knots 15 degrees apart; (pi/12)^4/384 = 1e-5 of the fourth derivative."""


def test_conductance_of_a_map_is_current_over_voltage_and_its_slope_at_zero():
    tmap, area = junction(), 1e-14
    cells = area / 0.09e-18
    exact = cells * 1e-9 * (1 + 0.4 * np.cos(1.1))
    assert llg.junction_conductance(tmap, area, 1.1, 0.0) == pytest.approx(exact, rel=SPLINE_ERROR)
    assert llg.junction_conductance(tmap, area, 1.1, 0.6) == pytest.approx(exact * (1 + 0.3 * 0.36), rel=SPLINE_ERROR)
    both = llg.junction_resistance(tmap, area, 1.1, [0.0, 0.6])
    np.testing.assert_allclose(both, 1 / llg.junction_conductance(tmap, area, 1.1, [0.0, 0.6]), rtol=ROUNDING)
    # Current and voltage have the same sign: the resistance is positive on both sides.
    assert llg.junction_resistance(tmap, area, 1.1, -0.6) == pytest.approx(both[1], rel=SPLINE_ERROR)
    on_grid = llg.junction_current(tmap, area, tmap.angle[:, None], tmap.voltage)
    np.testing.assert_allclose(on_grid, cells * tmap.charge_current, rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(llg.resistance_area_product(tmap, 1.1, 0.6), area * both[1], rtol=ROUNDING)


def test_the_voltage_of_a_current_carries_that_current():
    tmap, area = junction(), 1e-14
    angle, current = np.linspace(0, np.pi, 7), np.array([-4e-5, 0.0, 3e-5, 6e-5])[:, None]
    voltage = llg.junction_voltage(tmap, area, angle, current)
    np.testing.assert_allclose(llg.junction_current(tmap, area, angle, voltage), current + 0 * angle, atol=1e-17)
    with pytest.raises(InputError, match="current=.* is beyond"):
        llg.junction_voltage(tmap, area, 0.0, 1.0)


def test_model_resistances_have_their_two_values():
    p = np.array([0.6, 0.0, 0.8])
    model = llg.AngularResistance(parallel=100.0, antiparallel=250.0)
    np.testing.assert_allclose(model.resistance([p, -p], p), [100.0, 250.0], rtol=ROUNDING)
    assert 1 / model.resistance([0.0, 1.0, 0.0], p) == pytest.approx((1 / 100 + 1 / 250) / 2, rel=ROUNDING)
    film = llg.AnisotropicResistance(along=102.0, across=100.0, direction=(0, 1, 0))
    np.testing.assert_allclose(film.resistance([[0, 1, 0], [0, -1, 0], [0, 0, 1]], p), [102.0, 102.0, 100.0])
    with pytest.raises(InputError, match="antiparallel=0"):
        llg.AngularResistance(parallel=1.0, antiparallel=0.0)


def test_the_integral_of_a_spectral_density_is_the_variance():
    random = np.random.default_rng(3)
    for samples in (400, 401):
        x = random.normal(size=(samples, 2)).cumsum(axis=0) + 5
        density = llg.spectral_density(x, 2e-12)
        spacing = 1 / (samples * 2e-12)
        window = scipy.signal.get_window("hann", samples)[:, None]
        deviation = x - x.mean(axis=0)
        parseval = np.sum((window * deviation) ** 2, axis=0) / np.sum(window**2)
        np.testing.assert_allclose(density.sum(axis=0) * spacing, parseval, rtol=ROUNDING)
        _, other = scipy.signal.periodogram(x, 1 / 2e-12, window="hann", detrend="constant", axis=0)
        np.testing.assert_allclose(density[1:], other[1:], rtol=1e-9)
    tone = 0.3 * np.sin(2 * np.pi * 40 * np.arange(800) / 800)
    assert llg.spectral_density(tone, 1e-12).sum() / (800 * 1e-12) == pytest.approx(0.3**2 / 2, rel=ROUNDING)


def test_streamed_spectra_are_those_of_the_recorded_trajectory():
    free, torque = easy_plane(fixed=(0.6, 0, 0.8)), llg.Slonczewski(polarization=0.5, resistance_area=1e-12)
    resistance = llg.AngularResistance(parallel=100.0, antiparallel=150.0)
    start = (0.8, 0.0, 0.6)
    ramp = llg.sampled([0, 6e-9], [0.01, 0.03])
    d = llg.oscillator(
        free, torque, voltage=ramp, initial=start, duration=6e-9, settle=1e-10, dt=5e-13, segment=1e-9,
        temperature=100, seed=9, resistance=resistance,
    )  # fmt: skip
    equation = equation_of_motion(free, torque, ramp, temperature=100)
    moments = Moments(equation, np.array([start]), 5e-13, streams=addresses(9, 0, 0, 1))
    moments.advance(round(1e-10 / 5e-13))
    every = round(d.attrs["sampling"] / 5e-13)
    m = moments.advance(round(d.attrs["duration"] / 5e-13), every=every)[:, 0]
    samples = round(d.attrs["segment"] / d.attrs["sampling"])
    voltage = ramp(moments.time - d.attrs["duration"] + d.attrs["sampling"] * np.arange(1, m.shape[0] + 1))
    current = voltage / resistance.resistance(m, free.fixed)
    along = m @ np.array(free.fixed)
    welch = [
        scipy.signal.welch(x, 1 / d.attrs["sampling"], "hann", samples, samples // 2, detrend="constant")
        for x in (*m.T, along, current)
    ]
    np.testing.assert_allclose(d["frequency"], welch[0][0], rtol=ROUNDING)
    for component, (_, density) in zip(("x", "y", "z", "fixed"), welch, strict=False):
        found = d["spectral_density"].isel(voltage=0).sel(component=component)
        np.testing.assert_allclose(found[1:], density[1:], rtol=1e-8)
    np.testing.assert_allclose(d["signal_spectral_density"][0][1:], welch[4][1][1:], rtol=1e-8)
    np.testing.assert_allclose(d["m_mean"][0], m.mean(axis=0), rtol=1e-10)
    assert float(d["signal_mean"][0]) == pytest.approx(current.mean(), rel=1e-10, abs=0)
    # Available power of a source of current with the mean resistance beside it.
    share = np.mean(voltage**2) / np.mean(voltage * current) / 4
    np.testing.assert_allclose(d["power_spectral_density"], share * d["signal_spectral_density"], rtol=ROUNDING)
    variance = float(d["signal_spectral_density"].sum() * d["frequency"][1])
    assert float(d["power"][0]) == pytest.approx(share * variance, rel=ROUNDING, abs=0)


def test_a_perpendicular_polariser_drives_precession_at_the_rate_of_torque_over_damping():
    # dm_z/dt = gamma (1 - m_z^2) (b - alpha B m_z)/(1 + alpha^2), and then the azimuth turns at gamma b/alpha exactly.
    free, torque = easy_plane(), llg.Slonczewski(polarization=0.5)
    current = np.array([-3e10, 2e10, 4e10])
    d = llg.oscillator(
        free, torque, current_density=current, initial=(0.8, 0.0, 0.6), duration=30e-9, settle=15e-9, dt=7e-13,
        segment=10e-9,
    )  # fmt: skip
    b = damping_like_field(free, torque, current)
    frequency = GYROMAGNETIC_RATIO * np.abs(b) / (2 * np.pi * free.alpha)
    np.testing.assert_allclose(d["phase_frequency"], frequency, rtol=STEADY)
    np.testing.assert_allclose(d["peak_frequency"], frequency, rtol=LINE_ERROR)
    np.testing.assert_allclose(d["m_mean"].sel(xyz="z"), b / (free.alpha * plane_field(free)), rtol=1e-5)
    np.testing.assert_allclose(d["amplitude"], np.sqrt(1 - d["m_mean"].sel(xyz="z") ** 2), rtol=1e-3)
    # Nothing but the window gives these lines a width.
    assert np.all(d["linewidth"] < 0.01 * d.attrs["resolution"])
    assert np.all(d["phase_linewidth"] < 1e-3 * d.attrs["resolution"])
    assert np.all(d["spectral_density"].sel(component="fixed").max("frequency") < 1e-12 / d["frequency"][1])


def test_noise_of_a_uniaxial_magnet_obeys_the_fluctuation_dissipation_theorem():
    # One-sided S = (4 kT/(omega Ms Vol)) Im chi of a magnet in a field B: a Lorentzian at +- gamma B/(1 + alpha^2).
    free = easy_plane(alpha=0.05, anisotropy=0.0, demag=(1 / 3, 1 / 3, 1 / 3), field=(0, 0, 0.2), area=1e-13)
    temperature, trajectories = 300.0, 192
    d = llg.oscillator(
        free, None, voltage=0.0, initial="parallel", duration=100e-9, settle=4e-9, dt=1.2e-12, segment=20e-9,
        temperature=temperature, trajectories=trajectories, seed=2,
    )  # fmt: skip
    turn = GYROMAGNETIC_RATIO * 0.2 / (1 + free.alpha**2)
    decay = free.alpha * turn
    omega = 2 * np.pi * d["frequency"].values[1:]
    variance = BOLTZMANN * temperature / (free.moment * 0.2)
    lorentzians = decay / (decay**2 + (omega - turn) ** 2) + decay / (decay**2 + (omega + turn) ** 2)
    exact = 2 * variance * lorentzians
    shown = (omega > 0.5 * turn) & (omega < 1.5 * turn)
    # 9 half-overlapping segments under a Hann window are worth 9/1.06 independent ones.
    error = np.sqrt(1.06 / (9 * trajectories))
    for component in "xy":
        ratio = d["spectral_density"][0].sel(component=component).values[1:] / exact
        # The window smears a line of width 2 decay; the third term of its kernel is a share 0.25 of a squared bin.
        bias = FOLDING + (2 * np.pi * d.attrs["resolution"] / (2 * decay)) ** 2 / 4
        assert np.max(np.abs(ratio[shown] - 1)) < SIGMAS * error + bias
        assert abs(ratio[shown].mean() - 1) < SIGMAS * error / np.sqrt(shown.sum() / 2) + FOLDING
    assert float(d["peak_frequency"][0]) == pytest.approx(turn / (2 * np.pi), rel=0.005)
    spread = np.sqrt(2 * decay / (d.attrs["duration"] * trajectories)) / decay
    assert float(d["linewidth"][0]) == pytest.approx(2 * decay / (2 * np.pi), rel=SIGMAS * spread)


def test_two_linewidths_agree_with_the_diffusion_of_the_phase_of_an_axial_oscillator():
    # delta m_z relaxes at alpha gamma B (1 - m_z^2) and turns the phase at gamma B delta m_z: with Einstein's relation
    # the full width is gamma kT/(pi Ms Vol alpha (1 - m_z^2)), the direct diffusion of the phase included.
    free, torque = easy_plane(), llg.Slonczewski(polarization=0.5)
    temperature, trajectories = 30.0, 64
    d = llg.oscillator(
        free, torque, current_density=2e10, initial=(0.8, 0.0, 0.6), duration=240e-9, settle=5e-9, dt=8e-13,
        segment=60e-9, temperature=temperature, trajectories=trajectories,
    )  # fmt: skip
    slope = 1 - float(d["m_mean"].sel(xyz="z")[0]) ** 2
    width = GYROMAGNETIC_RATIO * BOLTZMANN * temperature / (np.pi * free.moment * free.alpha * slope)
    growths = trajectories * d.attrs["duration"] / (d.attrs["segment"] / 2)
    # Of a variance plus two covariances: 2/n + 4/n.
    assert float(d["phase_linewidth"][0]) == pytest.approx(width, rel=SIGMAS * np.sqrt(6 / growths))
    # In times as short as the amplitude takes to relax neighbouring growths are correlated, and the slope is the same.
    short = llg.oscillator(
        free, torque, current_density=2e10, initial=(0.8, 0.0, 0.6), duration=60e-9, settle=5e-9, dt=8e-13,
        segment=3e-9, temperature=temperature, trajectories=trajectories,
    )  # fmt: skip
    growths = trajectories * short.attrs["duration"] / (short.attrs["segment"] / 2)
    assert float(short["phase_linewidth"][0]) == pytest.approx(width, rel=SIGMAS * np.sqrt(6 / growths))
    lifetimes = np.pi * width * d.attrs["duration"] * trajectories
    assert float(d["linewidth"][0]) == pytest.approx(width, rel=SIGMAS * np.sqrt(4 / lifetimes) + 0.05)


def test_the_width_of_an_axial_oscillator_is_inverse_to_damping():
    # As above. The moment starts on its orbit, which is that of both dampings where the current is proportional to it.
    torque, temperature, trajectories, m_z = llg.Slonczewski(polarization=0.5), 5.0, 384, 0.5
    widths = []
    for alpha in (0.2, 0.4):
        free = easy_plane(alpha=alpha)
        current = alpha * plane_field(free) * m_z / damping_like_field(free, torque, 1.0)
        d = llg.oscillator(
            free, torque, current_density=current, initial=(np.sqrt(1 - m_z**2), 0, m_z), duration=50e-9, settle=0.0,
            dt=7e-13, segment=6e-10, temperature=temperature, trajectories=trajectories,
        )  # fmt: skip
        width = GYROMAGNETIC_RATIO * BOLTZMANN * temperature / (np.pi * free.moment * alpha * (1 - m_z**2))
        sigma = np.sqrt(6 * d.attrs["segment"] / 2 / (trajectories * d.attrs["duration"]))
        assert sigma < 0.01
        assert float(d["phase_linewidth"][0]) == pytest.approx(width, rel=SIGMAS * sigma)
        widths.append(float(d["phase_linewidth"][0]))
    assert widths[0] / widths[1] == pytest.approx(2, rel=SCALING)


def test_the_width_of_a_thermal_line_is_proportional_to_damping():
    trajectories, widths = 256, []
    for alpha in (0.1, 0.2):
        free = easy_plane(alpha=alpha, anisotropy=0.0, demag=(1 / 3, 1 / 3, 1 / 3), field=(0, 0, 0.2), area=1e-13)
        d = llg.oscillator(
            free, None, voltage=0.0, initial="parallel", duration=100e-9, settle=4e-9, dt=1.2e-12, segment=12e-9,
            temperature=300.0, trajectories=trajectories,
        )  # fmt: skip
        decay = alpha * GYROMAGNETIC_RATIO * 0.2 / (1 + alpha**2)
        sigma = np.sqrt(2 / (decay * d.attrs["duration"] * trajectories))
        assert sigma < 0.01
        widths.append(float(d["linewidth"][0]) * np.pi / decay)
        assert widths[-1] == pytest.approx(1, rel=SIGMAS * sigma)
    assert widths[0] / widths[1] == pytest.approx(1, rel=SCALING)


def test_a_spectrum_without_a_line_has_no_frequency_and_no_width():
    frequency = np.fft.rfftfreq(2048, 1e-12)
    within = np.arange(3, frequency.size - 1)
    random = np.random.default_rng(0)
    for scatter in [1, 30] * 5:
        noise = random.gamma(scatter, 1 / scatter, frequency.size) / np.maximum(frequency, frequency[1])
        # A single periodogram has lines of its own.
        assert scatter == 1 or np.all(np.isnan(line(frequency, noise, within)))
        # Where the noise is in the way of a line the fit goes to the line or to the end of the range, never beyond.
        bump = noise * (1 + 5 / (1 + ((frequency - 8e9) / 2e9) ** 2))
        peak, width = line(frequency, bump, within)
        assert np.isnan(peak) == np.isnan(width)
        assert np.isnan(peak) or frequency[3] < peak < frequency[-2]
    lorentzian = 1 / (1 + ((frequency - 40e9) / 3e9) ** 2)
    np.testing.assert_allclose(line(frequency, lorentzian, within), [40e9, 6e9], rtol=0.02)
    assert np.all(np.isnan(line(frequency, lorentzian, within[frequency[within] < 36e9])))
    assert np.all(np.isnan(line(frequency, 0 * lorentzian, within)))


def test_a_soft_film_gives_a_line_or_nothing():
    # Thermal motion over the barrier has a spectrum like 1/f, in which a fit goes beyond the axis.
    free = llg.Macrospin(Ms=0.8e6, thickness=1.5e-9, area=1.26e-15, alpha=0.02, anisotropy=1.25e4, fixed=(1, 0, 0))
    resistance = llg.AngularResistance(parallel=100.0, antiparallel=150.0)
    d = llg.oscillator(
        free, llg.Slonczewski(polarization=0.5, resistance_area=1e-12), voltage=0.02,
        initial=(-0.99, 0.0, np.sqrt(1 - 0.99**2)), duration=20e-9, settle=1e-9, dt=5e-13,
        segment=5e-9, temperature=300, trajectories=64, resistance=resistance,
    )  # fmt: skip
    for peak, width in (("peak_frequency", "linewidth"), ("signal_peak_frequency", "signal_linewidth")):
        assert np.isnan(d[peak][0]) or 0 < float(d[peak][0]) < float(d["frequency"][-1])
        assert np.isnan(d[peak][0]) == np.isnan(d[width][0])
    nothing = d.assign({name: d[name] * np.nan for name in ("peak_frequency", "linewidth")})
    assert len(plot.oscillator_spectrum(nothing).subfigs) == 2
    assert len(plot.noise_spectrum(nothing).axes) == 1


def test_memory_grows_neither_with_trajectories_nor_with_time(monkeypatch):
    monkeypatch.setattr(spectra, "LARGEST_DEFAULT_SEGMENT", 256)
    free, dt = easy_plane(), 5e-13

    def peak(trajectories, duration, segment=None):
        tracemalloc.start()
        llg.oscillator(
            free, None, voltage=0.0, initial=(0.8, 0, 0.6), duration=duration, settle=0.0, dt=dt, temperature=300,
            trajectories=trajectories, segment=segment,
        )  # fmt: skip
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # In samples of nine steps.
    segment, eighth = 1024 * 9 * dt, 256 * 9 * dt
    few, many = (peak(chunks * CHUNK_TRAJECTORIES, segment, segment) for chunks in (2, 14))
    short, long = (peak(8, duration, None) for duration in (8 * eighth, 32 * eighth))
    # The spectra of a chunk are 16 kB; segments four times as long would be a MB more.
    assert many < few + 6 * 16_000
    assert long < short + 100_000


@pytest.mark.parametrize("alternating", [llg.sine(0.02, 3e9), llg.sine(0.02, 3e9, offset=1e-12)])
def test_the_power_of_an_alternating_drive_is_that_of_its_resistance(alternating):
    free, torque = easy_plane(fixed=(0.6, 0, 0.8)), llg.Slonczewski(polarization=0.5, resistance_area=1e-12)
    common = {
        "initial": (0.8, 0, 0.6), "duration": 4e-9, "settle": 1e-9, "dt": 7e-13,
        "resistance": llg.AngularResistance(parallel=100.0, antiparallel=100.2),
    }  # fmt: skip
    d = llg.oscillator(free, torque, voltage=alternating, **common)
    assert float(d["power"][0]) == pytest.approx(100.1 / 4 * float(d["signal_rms"][0]) ** 2, rel=2e-3, abs=0)
    section = 1e-14
    current = llg.sine(0.02 / 100.1 / section, 3e9)
    d = llg.oscillator(free, torque, current_density=current, cross_section=section, **common)
    assert float(d["power"][0]) == pytest.approx(float(d["signal_rms"][0]) ** 2 / (4 * 100.1), rel=2e-3, abs=0)


def test_a_current_in_the_plane_has_no_default_cross_section():
    film = llg.AnisotropicResistance(along=102.0, across=100.0)
    junction_above = llg.AngularResistance(parallel=100.0, antiparallel=150.0)
    given = {"initial": (0.8, 0, 0.6), "duration": 2e-9, "settle": 0.0, "dt": 5e-13, "segment": 5e-10}
    for torque, resistance in (
        (llg.Slonczewski(polarization=0.5), film),
        (llg.SpinOrbitTorque(damping_like=0.1), film),
        (llg.SpinOrbitTorque(damping_like=0.1), junction_above),
    ):
        with pytest.raises(InputError, match="cross_section=None"):
            llg.oscillator(easy_plane(), torque, current_density=1e10, resistance=resistance, **given)
    d = llg.oscillator(
        easy_plane(), llg.SpinOrbitTorque(damping_like=0.1), current_density=1e10, resistance=film,
        cross_section=2e-15, **given,
    )  # fmt: skip
    assert 100 < float(d["signal_mean"][0]) / (1e10 * 2e-15) < 102


def test_a_given_voltage_and_a_given_current_emit_the_same_power_where_the_resistance_hardly_changes():
    free, torque = easy_plane(fixed=(0.6, 0, 0.8)), llg.Slonczewski(polarization=0.5, resistance_area=1e-12)
    resistance = llg.AngularResistance(parallel=100.0, antiparallel=100.2)
    common = {"initial": (0.8, 0, 0.6), "duration": 4e-9, "settle": 1e-9, "dt": 7e-13, "resistance": resistance}
    by_voltage = llg.oscillator(free, torque, voltage=0.02, **common)
    by_current = llg.oscillator(free, torque, current_density=2e10, cross_section=0.02 / 100.1 / 2e10, **common)
    assert by_voltage["signal_rms"].attrs["units"] == "A"
    assert by_current["signal_rms"].attrs["units"] == "V"
    assert float(by_voltage["power"][0]) > 0
    assert float(by_voltage["power"][0]) == pytest.approx(float(by_current["power"][0]), rel=5e-3, abs=0)


RANKS = """
from qtorque import llg, parallel, store


def spectra(comm):
    free = llg.Macrospin(Ms=1e6, thickness=3e-9, area=1e-14, alpha=0.05, anisotropy=3e5, fixed=(0.6, 0, 0.8))
    torque = llg.Slonczewski(polarization=0.5, resistance_area=1e-12)
    given = {"resistance": llg.AngularResistance(parallel=100.0, antiparallel=150.0), "comm": comm}
    noise = llg.oscillator(
        free, torque, voltage=[0.01, 0.02], initial=(0.8, 0, 0.6), duration=1e-9, settle=1e-10, dt=8e-13,
        segment=3e-10, temperature=300, trajectories=130, **given,
    )
    rectified = llg.spin_torque_resonance(
        free, torque, frequency=[4e9, 5e9, 7e9, 9e9], amplitude=1e-3, voltage=[0.0, 1e-3], field=[0.1, 0.2],
        field_direction=(0, 1, 0), dt=5e-13, settle=1e-9, **given,
    )
    return noise, rectified


if __name__ == "__main__":
    comm = parallel.world()
    results = spectra(comm)
    if comm.rank == 0:
        for name, result in zip(("noise", "rectified"), results):
            store.save_dataset(result, f"{folder}/{name}.nc")
"""


@pytest.mark.slow
@pytest.mark.mpi
def test_spectra_and_rectified_voltages_do_not_depend_on_the_number_of_ranks(mpirun, tmp_path):
    assert CHUNK_TRAJECTORIES < 130
    run = mpirun(3, RANKS.replace("{folder}", str(tmp_path)))
    assert run.returncode == 0, run.stderr
    names = {}
    exec(RANKS, names)
    for name, serial in zip(("noise", "rectified"), names["spectra"](None), strict=True):
        shared = store.load_dataset(tmp_path / f"{name}.nc")
        for variable in serial.data_vars:
            assert shared[variable].values.tobytes() == serial[variable].values.tobytes(), variable


def test_every_variable_has_units_and_a_name():
    free = easy_plane(fixed=(0.6, 0, 0.8))
    d = llg.oscillator(
        free, junction(), voltage=[0.0, 0.4], initial=(0.8, 0, 0.6), duration=2e-9, settle=0.0, dt=5e-13, segment=5e-10
    )
    for variable in [*d.data_vars.values(), d["frequency"], d["voltage"]]:
        assert variable.attrs["units"]
        assert variable.attrs["long_name"]
    # Without bias there is no current to modulate.
    assert float(d["power"][0]) == 0
    assert len(plot.oscillator_spectrum(d).subfigs) == 2
    assert len(plot.oscillator_spectrum(d.isel(voltage=[1])).subfigs) == 2
    assert [panel.get_title() for panel in plot.noise_spectrum(d).axes] == ["0 mV", "400 mV"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segment": 1e-12}, "segment=1e-12 s is too short"),
        ({"segment": 9e-9}, "segment=9e-09 s is longer"),
        ({"settle": -1.0}, "settle=-1.0"),
        ({"duration": 0.0}, "duration=0.0"),
        ({"trajectories": 0}, "trajectories=0"),
        ({"dt": 1e-10}, "dt=1e-10"),
        ({"voltage": 2.0}, "voltage=2"),
        ({"band": (1.0, 2.0)}, "band=.* holds too few"),
        ({"band": (5e9,)}, "band=.* is no range"),
        ({"band": (1e9, 2e10, 5e10)}, "band=.* is no range"),
        ({"band": (2e10, 1e9)}, "band=.* is no range"),
        ({"band": (1e9, np.inf)}, "band=.* is no range"),
        ({"band": (np.nan, 2e10)}, "band=.* is no range"),
        ({"initial": (1, 1, 0)}, "initial"),
    ],
)
def test_bad_input_is_refused_before_any_step(changes, words):
    given = {"voltage": 0.1, "initial": (0.8, 0, 0.6), "duration": 2e-9, "settle": 0.0, "dt": 5e-13, "segment": 5e-10}
    with pytest.raises(InputError, match=words):
        llg.oscillator(easy_plane(), junction(), **(given | changes))


def test_the_oscillator_driver_writes_spectra_and_figures(within, tmp_path):
    junction().save(tmp_path / "map.nc")
    tiny = ["--voltage", "0.2,0.4", "--trajectories", "2", "--duration", "2e-9", "--settle", "0", "--segment", "5e-10"]
    arguments = ["oscillator", tmp_path / "map.nc", *tiny, "--quiet", "-o", tmp_path / "x"]
    dry = within(*arguments, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "trajectory-steps" in dry.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"map.nc"}
    run = within(*arguments)
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "x_oscillator.nc")
    assert d["power"].shape == (2,)
    assert f"{float(d['peak_frequency'][1]) / 1e9:.4f}" in run.stdout
    for name in ("x_oscillator.png", "x_oscillator_spectra.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert within(*arguments).returncode == 2


def test_the_oscillator_driver_finds_the_rate_of_torque_over_damping(within, tmp_path):
    junction().save(tmp_path / "map.nc")
    given = [
        "--voltage",
        "0.5,1",
        "--fixed",
        "0,0,1",
        "--start",
        "0.6,0,0.8",
        "--temperature",
        "0",
        "--trajectories",
        "1",
    ]
    times = ["--duration", "20e-9", "--settle", "20e-9", "--segment", "10e-9", "--dt", "1e-12", "--alpha", "0.01"]
    arguments = ["oscillator", tmp_path / "map.nc", *given, *times, "--Ms", "1.2e6", "--thickness", "1.5e-9", "--quiet"]
    refused = within(*arguments, "--band", "1e9", "-o", tmp_path / "x")
    assert refused.returncode == 2
    assert "band=[1000000000.0] is no range" in refused.stderr
    run = within(*arguments, "--band", "5e8,1e10", "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "x_oscillator.nc")
    b = 1e-6 * d["voltage"] * ELEMENTARY_CHARGE / (1.2e6 * 0.09e-18 * 1.5e-9)
    np.testing.assert_allclose(d["peak_frequency"], GYROMAGNETIC_RATIO * b / (2 * np.pi * 0.01), rtol=LINE_ERROR)


@pytest.mark.parametrize("shape", [[], ["--pulse", "1e-10,2e-11"], ["--sine", "2e9"], ["--chirp", "1e9,5e9"]])
def test_the_trajectory_driver_draws_any_drive(within, tmp_path, shape):
    tmap = junction()
    tmap.save(tmp_path / "map.nc")
    run = within(
        "trajectory", tmp_path / "map.nc", "--voltage", "0.5", "--duration", "4e-10", "--samples", "50", *shape,
        "--quiet", "-o", tmp_path / "x",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "x_trajectory.nc")
    angle = np.arccos(d["m"].values[:, 2])
    np.testing.assert_allclose(
        d["current"], llg.junction_current(tmap, 1.26e-15, angle, d["drive"]), rtol=1e-6, atol=1e-18
    )
    assert float(abs(d["drive"]).max()) == pytest.approx(0.5, rel=0.05)
    assert (tmp_path / "x_trajectory.png").exists()


def test_the_trajectory_driver_takes_a_waveform_from_a_file(within, tmp_path):
    junction().save(tmp_path / "map.nc")
    (tmp_path / "wave.txt").write_text("0 0\n1e-10 0.3\n2e-10 -0.1\n")
    arguments = ["trajectory", tmp_path / "map.nc", "--duration", "3e-10", "--temperature", "0", "--start", "0.6,0,0.8"]
    run = within(*arguments, "--waveform", tmp_path / "wave.txt", "--quiet", "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "x_trajectory.nc")
    np.testing.assert_allclose(np.interp(1e-10, d["time"], d["drive"]), 0.3, atol=1e-9)
    assert float(d["drive"][-1]) == pytest.approx(-0.1)
    refused = within(*arguments, "--sine", "1e9,2e9", "--quiet", "-o", tmp_path / "y")
    assert refused.returncode == 2
    assert "--sine" in refused.stderr


def test_the_spectrum_has_the_period_of_a_locked_drive():
    # Where the voltage has a tone the signal follows it, whatever the moment does.
    free = dataclasses.replace(easy_plane(), field=(0, 0, 2.0), area=1e-11)
    d = llg.oscillator(
        free, junction(), voltage=llg.sine(0.1, 5e9), initial="parallel", duration=4e-9, settle=0.0, dt=2e-13,
        segment=2e-9,
    )  # fmt: skip
    assert float(d["signal_peak_frequency"][0]) == pytest.approx(5e9, rel=1e-3)
    mean = llg.junction_conductance(junction(), 1e-11, 0.0, 0.1 / np.sqrt(2))
    assert float(d["signal_rms"][0]) == pytest.approx(0.1 / np.sqrt(2) * mean, rel=1e-2)

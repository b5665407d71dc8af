"""Spin-torque ferromagnetic resonance: two routes, Kittel's formula, symmetric and antisymmetric parts, its driver."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import brentq

from qtorque import llg, plot, store
from qtorque.errors import InputError
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.resistance import readout
from qtorque.llg.rest_states import rest_states
from qtorque.torquemap import TorqueMap
from qtorque.units import ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, VACUUM_PERMEABILITY

TWO_ROUTES = 1e-4
"""Of the largest rectified voltage: the amplitude is not infinitely small, 0.01 rad squared."""
LINE_ERROR = 1e-3
"""Of a fitted resonance frequency, of a narrow line."""
WING_SHIFT = 2.0
"""Times alpha^2: shift of a fitted line by wings that are not Lorentzian, as measured of antisymmetric ones."""
FIT_RANGE = 5.0
"""Half widths on both sides of a line that a fit sees."""
WIDTH_ERROR = 0.015
"""Of a fitted half width, for the same reason; asked are 2 %."""
ROUNDING = 1e-9
FIELDS = [0.06, 0.15]
FILM = VACUUM_PERMEABILITY * 1e6
"""mu_0 Ms of `film`, T."""
KITTEL = GYROMAGNETIC_RATIO * np.sqrt(np.array(FIELDS) * (np.array(FIELDS) + FILM)) / (2 * np.pi)
RESISTANCE = llg.AngularResistance(parallel=100.0, antiparallel=150.0)


def film(**changes):
    """A film in the plane across z, fixed moment in the plane at 53 degrees to x."""
    values = {"Ms": 1e6, "thickness": 3e-9, "area": 1e-14, "alpha": 0.02, "fixed": (0.6, 0.8, 0.0)}
    return llg.Macrospin(**(values | changes))


def damping_like(strength=0.5):
    return llg.Slonczewski(polarization=strength, resistance_area=1e-12)


def field_like(strength=0.25):
    return llg.Slonczewski(polarization=0.0, epsilon_prime=strength, resistance_area=1e-12)


def along_x(**changes):
    """Arguments of both routes: fields along x, a small voltage."""
    return {
        "amplitude": 3e-4, "voltage": 0.0, "field": FIELDS, "field_direction": (1, 0, 0), "resistance": RESISTANCE,
        "frequency": np.linspace(4e9, 17e9, 131),
    } | changes  # fmt: skip


def test_simulation_and_linear_response_agree_at_any_bias():
    torque = llg.Slonczewski(polarization=0.5, Lambda=1.4, epsilon_prime=0.1, resistance_area=1e-12)
    given = along_x(voltage=[-2e-3, 0.0, 2e-3], frequency=[5.5e9, 7.7e9, 8.4e9, 13e9])
    simulated = llg.spin_torque_resonance(film(), torque, dt=4e-13, **given)
    linear = llg.linear_spin_torque_resonance(film(), torque, **given)
    largest = float(abs(linear["rectified_voltage"]).max())
    difference = abs(simulated["rectified_voltage"] - linear["rectified_voltage"])
    assert float(difference.max()) < TWO_ROUTES * largest
    assert float(abs(simulated["settling_error"]).max()) < 1e-6 * largest
    # Bias matters: it moves the resonance and rectifies by the shift of the mean direction.
    apart = abs(linear["rectified_voltage"].isel(voltage=0) - linear["rectified_voltage"].isel(voltage=2))
    assert float(apart.max()) > 0.01 * largest


def map_of(free):
    """A map whose current bends in voltage and angle and whose torques are not linear in the voltage."""
    angle, voltage = np.linspace(0, np.pi, 13), np.linspace(-0.5, 0.5, 9)
    grid = np.meshgrid(angle, voltage, indexing="ij")
    zeros = np.zeros(grid[0].shape)
    return TorqueMap(
        angle=angle, voltage=voltage, area=0.09, damping_like=2e-6 * (grid[1] + grid[1] ** 2),
        field_like=1e-6 * (0.2 + grid[1] ** 2), damping_like_fixed=zeros, field_like_fixed=zeros,
        charge_current=1e-9 * (1 + 0.4 * np.cos(grid[0])) * (grid[1] + 0.5 * grid[1] ** 2 + grid[1] ** 3),
    )  # fmt: skip


def test_both_routes_agree_under_a_torque_map_with_its_own_resistance():
    free = film()
    given = along_x(amplitude=2e-3, voltage=[0.1], frequency=[7.0e9, 7.9e9, 12.8e9], resistance=None)
    simulated = llg.spin_torque_resonance(free, map_of(free), dt=4e-13, **given)["rectified_voltage"]
    linear = llg.linear_spin_torque_resonance(free, map_of(free), **given)["rectified_voltage"]
    assert float(abs(simulated - linear).max()) < 10 * TWO_ROUTES * float(abs(linear).max())


def test_far_below_resonance_the_drive_only_moves_the_rest_state():
    free, bias, amplitude = film(), 8e-3, 2e-4
    torque = llg.Slonczewski(polarization=0.5, Lambda=1.4, epsilon_prime=0.4, resistance_area=1e-12)
    given = along_x(voltage=bias, amplitude=amplitude, frequency=[1e3], field=0.06)
    found = float(llg.linear_spin_torque_resonance(free, torque, **given)["rectified_voltage"].item())
    magnet = dataclasses.replace(free, field=(0.06, 0, 0))
    instrument = readout(magnet, torque, "voltage", RESISTANCE)

    def current(voltages):
        equations = [equation_of_motion(magnet, torque, voltage) for voltage in voltages.tolist()]
        return instrument.signal(rest_states(equations, np.tile([1.0, 0, 0], (voltages.size, 1))), voltages).mean()

    # The direct circuit is open: the voltage shifts until the mean current is what it was, and the moment follows it.
    tone, before = amplitude * np.cos(2 * np.pi * np.arange(8) / 8), current(np.array([bias]))
    shift = brentq(lambda x: current(bias + amplitude * x + tone) - before, -0.1, 0.1, xtol=1e-11)
    assert found == pytest.approx(amplitude * shift, rel=1e-5, abs=0)


@pytest.mark.parametrize("torque", [damping_like(), field_like()], ids=["damping-like", "field-like"])
def test_the_fitted_line_is_kittels_and_its_width_is_that_of_gilbert_damping(torque):
    for alpha in (0.01, 0.02, 0.03):
        for field, kittel in zip(FIELDS, KITTEL, strict=True):
            width = alpha * GYROMAGNETIC_RATIO * (2 * field + FILM) / (4 * np.pi)
            around = kittel + width * np.linspace(-FIT_RANGE, FIT_RANGE, 81)
            d = llg.linear_spin_torque_resonance(film(alpha=alpha), torque, **along_x(field=field, frequency=around))
            fit = llg.fit_resonances(d)
            damped = np.sqrt(kittel**2 / (1 + alpha**2) - width**2)
            assert d["resonance_frequency"].item() == pytest.approx(damped, rel=1e-4)
            assert d["half_width"].item() == pytest.approx(width, rel=2 * alpha**2)
            assert fit["resonance"].item() == pytest.approx(damped, rel=LINE_ERROR + WING_SHIFT * alpha**2)
            assert fit["half_width"].item() == pytest.approx(width, rel=WIDTH_ERROR)


def test_the_simulated_line_has_kittels_frequency_and_a_width_proportional_to_damping():
    widths = []
    for alpha in (0.02, 0.04):
        d = llg.spin_torque_resonance(
            film(alpha=alpha), damping_like(), dt=4e-13, periods=1,
            **along_x(field=0.06, frequency=np.linspace(6e9, 10e9, 15)),
        )  # fmt: skip
        fits = llg.fit_resonances(d)
        width = alpha * GYROMAGNETIC_RATIO * (2 * 0.06 + FILM) / (4 * np.pi)
        assert fits["resonance"].item() == pytest.approx(np.sqrt(KITTEL[0] ** 2 - width**2), rel=LINE_ERROR)
        assert fits["half_width"].item() == pytest.approx(width, rel=WIDTH_ERROR)
        widths.append(fits["half_width"].item())
    assert widths[1] / widths[0] == pytest.approx(2, rel=WIDTH_ERROR)


def test_a_damping_like_torque_makes_a_symmetric_line_and_a_field_like_one_an_antisymmetric_line():
    for sign in (1, -1):
        fits = llg.fit_resonances(llg.linear_spin_torque_resonance(film(), damping_like(0.5 * sign), **along_x()))
        # tau_DL > 0 pulls m to p while V > 0: the resistance is low then, and the mean of I R is negative.
        assert np.all(sign * fits["symmetric"] < 0)
        assert np.all(abs(fits["antisymmetric"]) < 0.1 * abs(fits["symmetric"]))
        fits = llg.fit_resonances(llg.linear_spin_torque_resonance(film(), field_like(0.25 * sign), **along_x()))
        # A field along p while V > 0: below resonance m follows it to p, so V < 0 there and A > 0.
        assert np.all(sign * fits["antisymmetric"] > 0)
        assert np.all(abs(fits["symmetric"]) < 0.1 * abs(fits["antisymmetric"]))


def test_of_a_circular_precession_the_two_parts_have_the_ratio_of_the_torques():
    # m along z, p along x: b_DL x and b_FL y drive the same circle a quarter of a period apart.
    free = film(demag=(1 / 3, 1 / 3, 1 / 3), fixed=(1.0, 0.0, 0.0), alpha=0.005)
    torque = llg.Slonczewski(polarization=0.4, epsilon_prime=0.1, resistance_area=1e-12)
    frequency = np.linspace(7e9, 10e9, 201)
    given = along_x(field=0.3, field_direction=(0, 0, 1), frequency=frequency)
    fits = llg.fit_resonances(llg.linear_spin_torque_resonance(free, torque, **given))
    # b_DL/b_FL = P/2 / epsilon' = 2, up to alpha.
    assert fits["symmetric"].item() / fits["antisymmetric"].item() == pytest.approx(-2, rel=5 * free.alpha)


def test_a_given_current_and_a_given_voltage_rectify_the_same():
    by_voltage = llg.linear_spin_torque_resonance(film(), damping_like(), **along_x())
    rest = RESISTANCE.resistance(by_voltage["rest"].values[0], film().fixed)
    voltage = 3e-4
    for i, resistance in enumerate(rest):
        given = along_x(amplitude=voltage / 1e-12, field=FIELDS[i]) | {"voltage": None, "current_density": 0.0}
        section = voltage / resistance / (voltage / 1e-12)
        by_current = llg.linear_spin_torque_resonance(film(), damping_like(), cross_section=section, **given)
        expected = by_voltage["rectified_voltage"][0, i]
        largest = float(abs(expected).max())
        np.testing.assert_allclose(by_current["rectified_voltage"][0, 0], expected, atol=1e-6 * largest)


def test_a_film_on_a_heavy_metal_is_seen_by_its_anisotropic_magnetoresistance():
    # Current along x, spins along y, field at 45 degrees.
    free = film(field=(0.1 / np.sqrt(2), 0.1 / np.sqrt(2), 0))
    model = llg.AnisotropicResistance(along=100.5, across=100.0)
    given = {
        "frequency": np.linspace(6e9, 14e9, 101), "amplitude": 1e9, "current_density": 0.0, "resistance": model,
        "cross_section": 1e-14,
    }  # fmt: skip
    for torque, large, small in (
        (llg.SpinOrbitTorque(damping_like=0.1), "symmetric", "antisymmetric"),
        (llg.SpinOrbitTorque(damping_like=0.0, field_like=0.1), "antisymmetric", "symmetric"),
    ):
        fits = llg.fit_resonances(llg.linear_spin_torque_resonance(free, torque, **given))
        assert abs(fits[small].item()) < 0.1 * abs(fits[large].item())
    # The other way round m.x and m.y change sign: so does the torque times the slope of (m.x)^2, and with it the line.
    reversed_field = dataclasses.replace(free, field=(-0.1 / np.sqrt(2), -0.1 / np.sqrt(2), 0))
    lines = [
        llg.fit_resonances(llg.linear_spin_torque_resonance(f, llg.SpinOrbitTorque(damping_like=0.1), **given))
        for f in (free, reversed_field)
    ]
    assert lines[0]["symmetric"].item() == pytest.approx(-lines[1]["symmetric"].item(), rel=1e-6, abs=0)


def test_the_rectified_voltage_is_quadratic_in_the_amplitude():
    frequency = [7.5e9, 8e9]
    small, large = (
        llg.linear_spin_torque_resonance(film(), damping_like(), **along_x(amplitude=a, frequency=frequency))
        for a in (1e-4, 1e-2)
    )
    np.testing.assert_allclose(large["rectified_voltage"], 1e4 * small["rectified_voltage"], rtol=1e-4)


def test_tiny_amplitudes_and_the_end_of_a_map_change_nothing_but_the_scale():
    free = film()
    given = along_x(voltage=0.1, field=0.1, frequency=[7e9, 8e9], resistance=None)
    scaled = [
        llg.linear_spin_torque_resonance(free, map_of(free), **(given | {"amplitude": a}))["rectified_voltage"] / a**2
        for a in (1e-3, 1e-10)
    ]
    np.testing.assert_allclose(scaled[1], scaled[0], rtol=1e-6)
    # 0.2 mV at 0.3 mV from the end of the map: half a millivolt more would be outside.
    near = given | {"voltage": 0.4997, "amplitude": 2e-4, "frequency": [7.5e9]}
    linear = llg.linear_spin_torque_resonance(free, map_of(free), **near)["rectified_voltage"]
    simulated = llg.spin_torque_resonance(free, map_of(free), dt=4e-13, **near)["rectified_voltage"]
    assert linear.item() == pytest.approx(simulated.item(), rel=10 * TWO_ROUTES, abs=0)
    at_end = near | {"voltage": 0.5 - 1e-6, "amplitude": 1e-6}
    found = llg.linear_spin_torque_resonance(free, map_of(free), **at_end)["rectified_voltage"].item() / 1e-12
    assert found == pytest.approx(linear.item() / 4e-8, rel=5e-3)


def test_a_curve_without_a_resonance_is_no_fit():
    f = np.linspace(3e9, 9e9, 61)
    away = 1 / (1 + ((f - 12e9) / 1e9) ** 2)
    straight = f / 1e9
    for curve in (away, straight, 2.0 + 0 * f):
        with pytest.raises(InputError):
            llg.fit_lorentzian(f, curve)
    # The other points of a sweep are not lost.
    d = llg.linear_spin_torque_resonance(film(), damping_like(), **along_x(frequency=np.linspace(5e9, 10e9, 61)))
    assert np.all(d["resonance_frequency"][0] < [9e9, np.inf])
    fits = llg.fit_resonances(d)
    assert np.isfinite(fits["resonance"][0, 0])
    for variable in fits.data_vars.values():
        assert np.all(np.isnan(variable[0, 1]))
    assert len(plot.spin_torque_resonance(d, d, fits).subfigs) == 2
    few = llg.fit_resonances(d.isel(frequency=slice(0, 5)))
    assert np.all(np.isnan(few["resonance"]))
    assert len(plot.spin_torque_resonance(d, d, few).subfigs) == 2


def test_a_fit_finds_both_parts_with_honest_errors():
    random = np.random.default_rng(11)
    f = np.linspace(3e9, 9e9, 121)
    x = (f - 5.7e9) / 0.4e9
    noise = 2e-8
    pulls = []
    for _ in range(40):
        v = 2e-6 / (1 + x**2) - 1e-6 * x / (1 + x**2) + 3e-7 + noise * random.normal(size=f.size)
        fit = llg.fit_lorentzian(f, v)
        pulls += [
            (fit.symmetric - 2e-6) / fit.symmetric_error,
            (fit.antisymmetric + 1e-6) / fit.antisymmetric_error,
            (fit.resonance - 5.7e9) / fit.resonance_error,
            (fit.half_width - 0.4e9) / fit.half_width_error,
        ]
    # 160 numbers of variance 1: their mean square is 1 +- 0.11.
    assert 0.6 < np.mean(np.square(pulls)) < 1.5
    np.testing.assert_allclose(fit(f), v, atol=5 * noise)
    with pytest.raises(InputError, match="the same at all points"):
        llg.fit_lorentzian(f, 0 * f)
    with pytest.raises(InputError, match="six or more"):
        llg.fit_lorentzian(f[:4], f[:4])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frequency": [0.0]}, "frequency"),
        ({"amplitude": 0.0}, "amplitude=0.0"),
        ({"resistance": None}, "no resistance"),
        ({"field_direction": None}, "field_direction"),
        ({"field": [0.0]}, "initial has no default"),
        ({"voltage": llg.sine(1e-3, 1e9)}, "waveform"),
        ({"field": [0.1], "initial": (-1.0, 0.0, 0.0)}, "unstable"),
    ],
)
def test_bad_input_is_refused_before_any_step(changes, words):
    given = along_x(frequency=[8e9]) | changes
    with pytest.raises(InputError, match=words):
        llg.spin_torque_resonance(film(), damping_like(), dt=1e-13, **given)


def test_every_variable_has_units_and_a_name_and_the_figure_has_a_curve_for_every_field():
    linear = llg.linear_spin_torque_resonance(film(), damping_like(), **along_x())
    fits = llg.fit_resonances(linear)
    for d in (linear, fits):
        for variable in d.data_vars.values():
            assert variable.attrs["units"]
            assert variable.attrs["long_name"]
    figure = plot.spin_torque_resonance(linear, linear, fits)
    labels = [text.get_text() for legend in figure.subfigs[0].legends for text in legend.get_texts()]
    assert {"60 mT", "150 mT", "Lorentzian fits", "linear response"} <= set(labels)


def test_the_resonance_driver_writes_both_routes_and_their_fits(within, tmp_path):
    map_of(film()).save(tmp_path / "map.nc")
    tiny = ["--frequency", "5e9:9e9:9", "--applied-field", "0.1,0.15", "--amplitude", "1e-2", "--settle", "1e-9"]
    arguments = ["resonance", tmp_path / "map.nc", *tiny, "--alpha", "0.1", "--quiet", "-o", tmp_path / "x"]
    dry = within(*arguments, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "18 points" in dry.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"map.nc"}
    run = within(*arguments)
    assert run.returncode == 0, run.stderr
    simulated, linear, fits = (
        store.load_dataset(tmp_path / f"x_{name}.nc") for name in ("resonance", "resonance_linear", "resonance_fits")
    )
    assert simulated["rectified_voltage"].shape == (1, 2, 9)
    assert linear["rectified_voltage"].shape == (1, 2, 41)
    assert f"{float(fits['resonance'][0, 0]) / 1e9:.5f}" in run.stdout
    assert (tmp_path / "x_resonance.png").read_bytes().startswith(b"\x89PNG")
    refused = within("resonance", tmp_path / "map.nc", "--bias", "0.6", "--quiet", "-o", tmp_path / "y")
    assert refused.returncode == 2
    assert "voltage" in refused.stderr
    few = within("resonance", tmp_path / "map.nc", "--frequency", "5e9:9e9:5", "--quiet", "-o", tmp_path / "y")
    assert few.returncode == 2
    assert "--frequency" in few.stderr
    away = ["--frequency", "30e9:40e9:6", "--applied-field", "0.1", "--settle", "0", "--alpha", "0.1", "--quiet"]
    run = within("resonance", tmp_path / "map.nc", *away, "-o", tmp_path / "away")
    assert run.returncode == 0, run.stderr
    assert np.all(np.isfinite(store.load_dataset(tmp_path / "away_resonance.nc")["rectified_voltage"]))
    assert np.all(np.isnan(store.load_dataset(tmp_path / "away_resonance_fits.nc")["resonance"]))


def test_the_resonance_driver_finds_the_line_of_a_circular_precession(within, tmp_path):
    # m along z, p along x: m.p has the amplitude b/(2 alpha B) in phase with the voltage a, and V = -0.4 a m.p/2.
    angle, voltage = np.linspace(0, np.pi, 13), np.linspace(-0.5, 0.5, 5)
    grid = np.meshgrid(angle, voltage, indexing="ij")
    zeros = np.zeros(grid[0].shape)
    TorqueMap(
        angle=angle, voltage=voltage, area=0.09, damping_like=2e-6 * grid[1], field_like=zeros,
        damping_like_fixed=zeros, field_like_fixed=zeros, charge_current=1e-9 * (1 + 0.4 * np.cos(grid[0])) * grid[1],
    ).save(tmp_path / "map.nc")  # fmt: skip
    alpha, field, amplitude, third = 0.02, 0.2, 0.01, "0.3333333333333333"
    sphere = ["--anisotropy", "0", "--demag", f"{third},{third},{third}", "--Ms", "1.2e6", "--thickness", "1.5e-9"]
    scan = ["--frequency", "5e9:6.2e9:25", "--applied-field", field, "--amplitude", amplitude, "--alpha", alpha]
    run = within("resonance", tmp_path / "map.nc", *sphere, *scan, "--fixed", "1,0,0", "--quiet", "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    fits = store.load_dataset(tmp_path / "x_resonance_fits.nc")
    frequency = GYROMAGNETIC_RATIO * field / (2 * np.pi * (1 + alpha**2))
    b = 2e-6 * amplitude * ELEMENTARY_CHARGE / (1.2e6 * 0.09e-18 * 1.5e-9)
    assert fits["resonance"].item() == pytest.approx(frequency, rel=2 * LINE_ERROR)
    assert fits["half_width"].item() == pytest.approx(alpha * frequency, rel=WIDTH_ERROR)
    assert fits["symmetric"].item() == pytest.approx(-0.1 * amplitude * b / (alpha * field), rel=WIDTH_ERROR, abs=0)

"""Phase diagrams and hysteresis loops against closed forms, eigenvalues and an independent count of windings."""

import contextlib
import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qtorque import llg, plot, store
from qtorque.errors import InputError
from qtorque.llg import phases
from qtorque.llg.phases import ABOUT, ACROSS, ANTIPARALLEL, CANTED, PARALLEL, STARTS, UNSETTLED
from qtorque.torquemap import TorqueMap
from qtorque.units import ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, HBAR

ROOT = Path(__file__).parents[1]
SPHERE = (1 / 3, 1 / 3, 1 / 3)
ROUNDING = 1e-9
"""Of eigenvalues by central differences at rest states that two iterations have found, relative."""
CLOSED_FORM_ERROR = 1e-4
"""Of a growth rate by central differences, and of mz and the frequency of a limit cycle after 30 ns, relative."""
WHOLE_PERIODS = 3
"""By so many turns may windings in a time that is cut at no whole period differ from frequency times time."""


def perpendicular(**changes):
    """A uniaxial magnet with perpendicular easy axis and 0.2 T of anisotropy field, without shape anisotropy."""
    values = {
        "Ms": 1.0e6, "thickness": 1.5e-9, "area": 1.26e-15, "alpha": 0.05, "anisotropy": 1.0e5, "demag": SPHERE,
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


def in_plane(**changes):
    """A thin film with 31 mT of anisotropy field in its plane and 1.005 T of demagnetising field."""
    values = {
        "Ms": 0.8e6, "thickness": 3e-9, "area": 1e-14, "alpha": 0.02, "anisotropy": 1.25e4,
        "easy_axis": (1, 0, 0), "fixed": (1, 0, 0),
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


def damping_like_field(free, polarization):
    """T per A/m^2, of a torque without asymmetry: hbar P/(2 e Ms d)."""
    return HBAR * polarization / (2 * ELEMENTARY_CHARGE * free.Ms * free.thickness)


FILM_TORQUE = llg.Slonczewski(polarization=0.4)
FILM = {
    "current_density": [-6e11, -3e11, 0.0, 3e11, 6e11], "field": [-0.1, 0.0, 0.1], "duration": 12e-9, "dt": 0.4e-12,
}  # fmt: skip


@pytest.fixture(scope="module")
def film():
    """A diagram of the thin film that shows every state at rest and in motion."""
    return llg.phase_diagram(in_plane(), FILM_TORQUE, **FILM)


def states(d, start):
    return d[f"state_from_{start}"].values


def test_a_film_is_parallel_antiparallel_both_or_precesses_in_two_ways(film):
    # As S. I. Kiselev et al., Nature 425, 380 (2003), found: precession where field and current oppose each other.
    state = film["state"]
    at = {(j, b): int(state.sel(current_density=j, field=b)) for j in (-6e11, -3e11, 0, 6e11) for b in (0, 0.1)}
    assert at[0, 0] == PARALLEL | ANTIPARALLEL
    assert at[0, 0.1] == at[6e11, 0] == at[6e11, 0.1] == PARALLEL
    assert at[-6e11, 0] == ANTIPARALLEL
    assert at[-3e11, 0.1] == ACROSS
    assert at[-6e11, 0.1] == ABOUT
    assert film["state"].attrs["flag_meanings"].split() == [
        "parallel", "antiparallel", "canted", "in_plane_precession", "out_of_plane_precession", "unsettled",
    ]  # fmt: skip
    assert film["state"].attrs["flag_masks"].tolist() == [1, 2, 4, 8, 16, 32]
    np.testing.assert_allclose(np.abs(film.attrs["precession_axis"]), [0, 0, 1], atol=ROUNDING)


def test_turning_field_current_and_start_round_turns_the_state_round(film):
    # Without asymmetry the equation of motion is even under m -> -m, B -> -B, J -> -J.
    turned = {PARALLEL: ANTIPARALLEL, ANTIPARALLEL: PARALLEL}
    other = np.vectorize(lambda code: turned.get(code, code))(states(film, "antiparallel"))
    np.testing.assert_array_equal(states(film, "parallel"), other[::-1, ::-1])
    rates = film["growth_rate"].values
    np.testing.assert_allclose(rates[0], rates[1, ::-1, ::-1], rtol=1e-6)


@pytest.mark.parametrize(("current_density", "turns"), [(-3e11, False), (-6e11, True)])
def test_only_out_of_plane_precession_winds_about_the_normal_of_the_film(film, current_density, turns):
    at = film.sel(current_density=current_density, field=0.1, start="parallel")
    r = llg.run(
        in_plane(field=(0.1, 0, 0)), FILM_TORQUE, current_density=current_density, initial=(0.6, 0.0, 0.8),
        duration=12e-9, dt=0.4e-12, samples=6000,
    )  # fmt: skip
    m = r["m"].values[4000:]
    elapsed = float(r["time"][-1] - r["time"][4000])
    windings = np.diff(np.unwrap(np.arctan2(m[:, 1], m[:, 0]))).sum() / (2 * np.pi)
    # Round the easy axis instead: the orbit lies on one side of it, seen from its centre.
    y, z = m[:, 1] - m[:, 1].mean(), m[:, 2] - m[:, 2].mean()
    easy = np.diff(np.unwrap(np.arctan2(z, y))).sum() / (2 * np.pi)
    counted = abs(windings if turns else easy) / elapsed
    assert counted == pytest.approx(float(at["frequency"]), abs=WHOLE_PERIODS / elapsed)
    assert (abs(windings) > 10) == turns
    assert float(at["precession_amplitude"]) > 0.3


def test_a_film_in_a_strong_field_along_its_normal_is_canted():
    d = llg.phase_diagram(
        in_plane(), FILM_TORQUE, current_density=0.0, field=[0.0, 0.3, 0.9], field_direction=(0, 0, 1),
        duration=10e-9, dt=0.2e-12,
    )  # fmt: skip
    assert states(d, "parallel").ravel().tolist() == [PARALLEL, PARALLEL, CANTED]
    hard = 0.8e6 * 4e-7 * np.pi + 2 * 1.25e4 / 0.8e6
    mz = d["m_mean"].sel(start="parallel", xyz="z").values[0]
    np.testing.assert_allclose(mz, np.array([0, 0.3, 0.9]) / hard, atol=1e-3)
    assert np.isnan(d["frequency"].values).all()


def test_an_easy_cone_precesses_about_its_axis_as_the_balance_of_torques_says():
    # On the axis: alpha B(mz) + b = 0 with B = Bk mz + B4 mz^3, and the rate of the azimuth is then gamma B.
    free = perpendicular(second_order_anisotropy=-1.0e5)
    torque = llg.Slonczewski(polarization=0.5)
    current_density = 2e10
    d = llg.phase_diagram(free, torque, current_density=current_density, field=0.0, duration=60e-9, dt=0.8e-12)
    b = damping_like_field(free, 0.5) * current_density
    roots = np.roots([-0.4, 0, 0.2, b / free.alpha])
    (mz,) = [root.real for root in roots if abs(root.imag) < ROUNDING and 0.4 < root.real < 1]
    at = d.sel(start="parallel").isel(current_density=0, field=0)
    assert d["state_from_parallel"].item() == ABOUT
    assert d["state"].attrs["flag_meanings"].split()[4] == "precession_about_easy_axis"
    assert at["m_mean"].values[2] == pytest.approx(mz, rel=CLOSED_FORM_ERROR)
    assert float(at["frequency"]) == pytest.approx(GYROMAGNETIC_RATIO * abs(b) / free.alpha / (2 * np.pi), rel=1e-3)
    assert float(at["precession_amplitude"]) == pytest.approx(np.sqrt(1 - mz**2), rel=1e-2)


@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (0.0, 0.6, 0.8)])
def test_the_axis_of_a_sphere_is_that_of_its_anisotropy_of_fourth_degree(axis):
    # An easy plane of fourth degree alone: alpha B4 mz^3 + b = 0 is where the moment circles about its hard axis.
    free = perpendicular(anisotropy=0.0, second_order_anisotropy=-1.0e5, easy_axis=axis, fixed=axis)
    torque = llg.Slonczewski(polarization=0.5)
    d = llg.phase_diagram(free, torque, current_density=2e10, field=0.0, duration=30e-9, dt=1e-12)
    assert d["state_from_antiparallel"].item() == ABOUT
    np.testing.assert_array_equal(d.attrs["precession_axis"], axis)
    assert d["state"].attrs["flag_meanings"].split()[4] == "out_of_plane_precession"
    mz = np.cbrt(damping_like_field(free, 0.5) * 2e10 / (free.alpha * 0.4))
    m = d["m_mean"].sel(start="antiparallel").values.ravel() @ np.array(axis)
    assert m == pytest.approx(mz, rel=1e-3)


def test_precession_of_a_sphere_without_easy_axis_is_named_by_the_fixed_moment():
    free = perpendicular(anisotropy=0.0, cubic_anisotropy=1.0e5, fixed=(0.0, 1.0, 0.0))
    torque = llg.Slonczewski(polarization=0.5)
    d = llg.phase_diagram(free, torque, current_density=0.0, field=0.1, duration=10e-9, dt=5e-13)
    assert d.attrs["precession_axis"] == [0.0, 1.0, 0.0]
    assert d["state"].attrs["flag_meanings"].split()[3:5] == [
        "precession_across_fixed_moment", "precession_about_fixed_moment",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uniaxial():
    """A diagram of the perpendicular magnet; its states lose their stability on straight lines."""
    return llg.phase_diagram(
        perpendicular(), llg.Slonczewski(polarization=0.5), current_density=np.linspace(-3e11, 3e11, 13),
        field=np.linspace(-0.3, 0.3, 11), duration=20e-9, dt=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize(("start", "side"), [("parallel", 1), ("antiparallel", -1)])
def test_growth_rates_of_a_uniaxial_magnet_are_those_of_the_closed_form(uniaxial, start, side):
    # dm/dt across the axis: -[alpha (Bk + s B) + s b] gamma/(1 + alpha^2), s = +1 at p and -1 at -p.
    free = perpendicular()
    b = damping_like_field(free, 0.5) * uniaxial["current_density"]
    rate = -(free.alpha * (0.2 + side * uniaxial["field"]) + side * b) * GYROMAGNETIC_RATIO / (1 + free.alpha**2)
    found = uniaxial["growth_rate"].sel(start=start)
    largest = float(abs(rate).max())
    np.testing.assert_allclose(found, rate.transpose(*found.dims), atol=CLOSED_FORM_ERROR * largest)
    np.testing.assert_array_equal(uniaxial[f"stable_{start}"], found < 0)


@pytest.mark.parametrize(("start", "code"), [("parallel", PARALLEL), ("antiparallel", ANTIPARALLEL)])
def test_trajectories_and_eigenvalues_agree_within_one_cell(uniaxial, film, start, code):
    for d in (uniaxial, film):
        stable = d[f"stable_{start}"].values
        kept = states(d, start) == code
        assert stable.any()
        assert not stable.all()
        wide = np.pad(stable, 1, mode="edge")
        around = np.stack([wide[i : i + stable.shape[0], j : j + stable.shape[1]] for i in range(3) for j in range(3)])
        inside = around.all(axis=0) | ~around.any(axis=0)
        np.testing.assert_array_equal(kept[inside], stable[inside])
        assert np.count_nonzero(kept != stable) <= 0.05 * stable.size


def test_growth_rates_are_those_of_single_states(film):
    free, source = in_plane(field=(0.1, 0, 0)), FILM_TORQUE
    for start in STARTS:
        at = film.sel(field=0.1, current_density=-3e11, start=start)["growth_rate"].item()
        if np.isnan(at):
            with pytest.raises(InputError, match="does not exist"):
                llg.growth_rate(free, source, state=start, current_density=-3e11)
        else:
            one = llg.growth_rate(free, source, state=start, current_density=-3e11).real
            assert at == pytest.approx(one, rel=1e-6)


def test_a_state_that_is_no_longer_there_has_no_growth_rate():
    # Beyond the astroid at 45 degrees, half the anisotropy field.
    d = llg.phase_diagram(
        perpendicular(alpha=0.5), llg.Slonczewski(polarization=0.5), current_density=0.0,
        field=[-0.12, -0.09, 0.09, 0.12], field_direction=(np.sqrt(0.5), 0, np.sqrt(0.5)), duration=10e-9, dt=1e-12,
    )  # fmt: skip
    rates = d["growth_rate"].values[:, 0]
    np.testing.assert_array_equal(np.isnan(rates), [[True, False, False, False], [False, False, False, True]])
    np.testing.assert_array_equal(d["stable_parallel"].values[0], [False, True, True, True])
    assert states(d, "parallel")[0].tolist() == [ANTIPARALLEL, PARALLEL, PARALLEL, PARALLEL]
    assert states(d, "antiparallel")[0].tolist() == [ANTIPARALLEL, ANTIPARALLEL, ANTIPARALLEL, PARALLEL]


@pytest.mark.parametrize(
    "others",
    [
        {"current_density": [-6e11, 3e11, 6e11], "field": [-0.1, 0.1]},
        {"current_density": [-3e11, 0.0], "field": [0.1]},
    ],
)
def test_what_happens_at_a_point_does_not_depend_on_the_other_points(film, others):
    d = llg.phase_diagram(in_plane(), FILM_TORQUE, **(FILM | others))
    same = film.sel(current_density=d["current_density"], field=d["field"])
    for name in d.data_vars:
        assert d[name].values.tobytes() == same[name].values.tobytes(), name


def test_what_grows_slowly_is_followed_longer_and_not_taken_for_a_precession():
    # A growth rate of 1 % of gamma alpha Bk, e in 57 ns: after four times 25 ns the amplitude is 0.1, and grows on.
    free, torque = perpendicular(), llg.Slonczewski(polarization=0.5)
    critical = free.alpha * 0.2 / damping_like_field(free, 0.5)
    given = {"current_density": -1.01 * critical, "field": 0.0, "dt": 1e-12}
    short, long = (llg.phase_diagram(free, torque, duration=duration, **given) for duration in (25e-9, 75e-9))
    assert short["state_from_parallel"].item() == UNSETTLED
    assert 0.05 < short["precession_amplitude"].sel(start="parallel").item() < 0.2
    assert long["state_from_parallel"].item() == ANTIPARALLEL
    for d in (short, long):
        assert not d["stable_parallel"].item()
        assert d["state_from_antiparallel"].item() == ANTIPARALLEL


def test_a_stronger_field_beside_it_does_not_change_when_a_point_is_looked_at():
    # 0.25 T at the one point and 0.5 T at the other, so that the other is looked at twice as often.
    given = {"current_density": 2e10, "duration": 5e-9, "dt": 1e-12}
    alone, beside = (
        llg.phase_diagram(perpendicular(), llg.Slonczewski(polarization=0.5), field=field, **given)
        for field in ([0.05], [0.05, 0.3])
    )
    for name in alone.data_vars:
        assert alone[name].values.tobytes() == beside.sel(field=[0.05])[name].values.tobytes(), name


@pytest.mark.parametrize(("current_density", "field"), [(-2.0769e11, 0.25385), (2.3077e10, -0.25385)])
def test_a_moment_that_leaves_an_unstable_state_slowly_is_not_at_rest(current_density, field):
    # Growth rates of 1 to 3e7 1/s: in 10 ns the amplitude of the start grows by less than 5 % while it is looked at.
    free, torque = perpendicular(), llg.Slonczewski(polarization=0.5)
    given = {"current_density": current_density, "field": field, "dt": 1e-12}
    short, long = (llg.phase_diagram(free, torque, duration=duration, **given) for duration in (10e-9, 200e-9))
    assert short["precession_amplitude"].sel(start="parallel").item() < 0.1
    assert not short["stable_parallel"].item()
    assert short["state_from_parallel"].item() == UNSETTLED
    assert long["state_from_parallel"].item() == ANTIPARALLEL


def test_a_state_at_rest_beside_an_unstable_one_is_at_rest():
    # The energy of an easy cone has its maximum at p, and its minimum at cos^2 = 0.75, 30 degrees from it.
    free = perpendicular(anisotropy=1.5e5, second_order_anisotropy=-1.0e5)
    torque = llg.Slonczewski(polarization=0.5)
    d = llg.phase_diagram(free, torque, current_density=0.0, field=0.0, duration=30e-9, dt=5e-13)
    assert not d["stable_parallel"].item()
    assert d["state_from_parallel"].item() == PARALLEL
    assert d["state_from_antiparallel"].item() == ANTIPARALLEL
    assert d["m_mean"].sel(start="parallel", xyz="z").item() == pytest.approx(np.sqrt(0.75), abs=1e-6)


@pytest.mark.parametrize(
    ("free", "torque", "current_density", "field", "dt", "start", "end"),
    [
        (in_plane(), llg.Slonczewski(polarization=0.4, Lambda=1.2), -2.4e11, 0.15, 0.4e-12, "antiparallel", PARALLEL),
        (
            perpendicular(alpha=0.02, fixed=(1, 0, 0)), llg.Slonczewski(polarization=0.5), 2.3077e10, -0.16154, 1e-12,
            "parallel", ANTIPARALLEL,
        ),
    ],
)  # fmt: skip
def test_a_moment_that_still_rings_does_not_precess(free, torque, current_density, field, dt, start, end):
    # In the last quarter of 10 ns the amplitude, of 0.8 and 0.5, falls by less than 5 %.
    given = {"current_density": current_density, "field": field, "dt": dt}
    short, long = (llg.phase_diagram(free, torque, duration=duration, **given) for duration in (10e-9, 200e-9))
    assert short[f"state_from_{start}"].item() in (UNSETTLED, end)
    assert np.isnan(short["frequency"].sel(start=start).item())
    assert long[f"state_from_{start}"].item() == end


@pytest.mark.parametrize(("lost", "expected"), [(1 / 400, (True, False)), (1 / 20, (True, True))])
def test_an_orbit_is_told_from_one_that_decays_by_the_rate_of_the_decay(lost, expected):
    # 12.3 periods in each of three parts; the amplitude falls by exp(-lost), all in all, and about the axis z.
    time = np.linspace(0, 1, 3 * 400)
    amplitude = 0.4 * np.exp(-lost * time)
    phase = 2 * np.pi * 36.9 * time
    m = np.stack([amplitude * np.cos(phase), amplitude * np.sin(phase), np.sqrt(1 - amplitude**2)], axis=1)
    nothing = np.full((1, 2, 3), np.nan)
    found = phases._end_of(m[:, np.newaxis], 1e-12, np.array([0, 0, 1.0]), np.array([0, 0, 1.0]), nothing)
    assert (found["orbit"].item() == ABOUT, found["state"].item() == UNSETTLED) == expected


def test_a_resumed_diagram_equals_an_uninterrupted_one(film):
    class Kept:
        """A checkpoint in memory."""

        def __init__(self):
            self.parts, self.results, self.saved = {}, {}, 0

        def load(self, index):
            return self.results.get(index)

        def save(self, index, result):
            self.results[index] = result
            self.saved += 1

        def part(self, name):
            return self.parts.setdefault(name, Kept())

        def stop_reason(self):
            return None

    kept = Kept()
    first = llg.phase_diagram(in_plane(), FILM_TORQUE, **FILM, checkpoint=kept)
    saved = {name: part.saved for name, part in kept.parts.items()}
    again = llg.phase_diagram(in_plane(), FILM_TORQUE, **FILM, checkpoint=kept)
    assert {name: part.saved for name, part in kept.parts.items()} == saved
    assert first.identical(again)
    assert first.identical(film)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"field": []}, "field"),
        ({"field": [0.0, np.nan]}, "field"),
        ({"field_direction": (1, 1, 0)}, "field_direction"),
        ({"duration": 1e-12}, "duration=1e-12 s is too short"),
        ({"duration": -1.0}, "duration"),
        ({"dt": 1e-10}, "dt=1e-10"),
        ({"current_density": [llg.pulse(1e11, 1e-9)]}, "current_density varies"),
        ({"voltage": 0.1}, "one of the two"),
        ({"current_density": None, "voltage": [0.1]}, "resistance_area"),
    ],
)
def test_bad_input_to_a_diagram_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        llg.phase_diagram(in_plane(), FILM_TORQUE, **(FILM | changes))


def test_a_magnet_without_damping_has_no_diagram():
    with pytest.raises(InputError, match="alpha=0"):
        llg.phase_diagram(in_plane(alpha=0.0), FILM_TORQUE, **FILM)


@pytest.mark.parametrize("degrees", [10, 45, 80])
def test_fields_of_switching_are_those_of_stoner_and_wohlfarth(degrees):
    angle = np.deg2rad(degrees)
    field = np.linspace(-0.22, 0.22, 89)
    loop = llg.field_hysteresis(
        perpendicular(alpha=0.5), None, field=field, field_direction=(np.sin(angle), 0, np.cos(angle)), dwell=2e-9,
        dt=1e-12,
    )  # fmt: skip
    astroid = 0.2 * (np.cos(angle) ** (2 / 3) + np.sin(angle) ** (2 / 3)) ** -1.5
    up, down = loop["switching_field"].isel(voltage=0, trajectory=0).values
    assert astroid - 0.5 * (field[1] - field[0]) < up < astroid + 2 * (field[1] - field[0])
    assert down == pytest.approx(-up, abs=ROUNDING)


def test_a_field_across_the_easy_axis_turns_the_moment_without_hysteresis():
    field = np.linspace(-0.16, 0.16, 9)
    loop = llg.field_hysteresis(
        perpendicular(alpha=0.5), None, field=field, field_direction=(1, 0, 0), dwell=4e-9, dt=1e-12, initial="parallel"
    )
    m = loop["m"].isel(voltage=0, trajectory=0)
    np.testing.assert_allclose(m.sel(xyz="x"), [field / 0.2] * 2, atol=1e-5)
    np.testing.assert_allclose(m.sel(sweep="up"), m.sel(sweep="down"), atol=1e-5)
    assert np.isnan(loop["switching_field"]).all()


def test_a_current_loop_switches_at_the_critical_current_with_its_sign():
    free, torque = perpendicular(), llg.Slonczewski(polarization=0.5)
    critical = free.alpha * 0.2 / damping_like_field(free, 0.5)
    density = critical * np.linspace(-1.6, 1.6, 17)
    loop = llg.voltage_hysteresis(
        free, torque, current_density=density, field=[-0.05, 0.0, 0.05], dwell=20e-9, dt=1e-12
    )
    # From -p a current > 0 at (1 - B/Bk) of the critical one; growth takes part of the next steps of 0.2.
    up, down = loop["switching_current_density"].isel(trajectory=0).values.T / critical
    threshold = 1 - np.array([-0.05, 0.0, 0.05]) / 0.2
    assert np.all((up > threshold) & (up < threshold + 0.45))
    assert np.all((-down > threshold[::-1]) & (-down < threshold[::-1] + 0.45))
    assert loop["m_parallel"].dims == ("field", "sweep", "current_density")
    assert np.all(loop["m_parallel"].isel(current_density=-1) > 0.99)


def test_heat_narrows_the_loop_and_its_trajectories_differ():
    given = {"field": np.linspace(-0.3, 0.3, 31), "dwell": 1e-9, "dt": 1e-12}
    thermal = given | {"temperature": 300.0, "seed": 3}
    free = perpendicular(alpha=0.5)
    cold = llg.field_hysteresis(free, None, **given)["switching_field"]
    hot = llg.field_hysteresis(free, None, **thermal, trajectories=8)["switching_field"]
    fewer = llg.field_hysteresis(free, None, **thermal, trajectories=2)
    assert float(hot.sel(sweep="up").mean()) < float(cold.sel(sweep="up").mean())
    assert float(hot.sel(sweep="down").mean()) > float(cold.sel(sweep="down").mean())
    assert len(np.unique(hot.sel(sweep="up"))) > 1
    np.testing.assert_array_equal(fewer["switching_field"], hot.isel(trajectory=[0, 1]))


def test_loops_of_two_seeds_beyond_the_digits_of_a_float_differ():
    given = {"field": [-0.1, 0.1], "dwell": 1e-11, "dt": 1e-12, "temperature": 300.0}
    one, other = (llg.field_hysteresis(perpendicular(), None, seed=2**63 + i, **given)["m"] for i in (0, 1))
    assert not np.array_equal(one, other)
    largest = llg.field_hysteresis(perpendicular(), None, seed=2**64 - 1, **given)
    assert largest.attrs["seed"] == 2**64 - 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"field": [0.1, 0.0]}, "field does not ascend"),
        ({"dwell": 0.0}, "dwell=0.0"),
        ({"trajectories": 0}, "trajectories"),
        ({"seed": -1}, "seed"),
        ({"initial": "upwards"}, "initial"),
        ({"dt": 1e-10}, "dt=1e-10"),
        ({"voltage": llg.sine(0.1, 1e9)}, "voltage varies"),
    ],
)
def test_bad_input_to_a_loop_is_refused(changes, words):
    given = {"field": [-0.1, 0.1], "dwell": 1e-10, "dt": 1e-12}
    with pytest.raises(InputError, match=words):
        llg.field_hysteresis(perpendicular(), None, **(given | changes))


def test_a_loop_in_voltage_needs_voltages_that_ascend():
    torque = llg.Slonczewski(polarization=0.5, resistance_area=1e-12)
    with pytest.raises(InputError, match="voltage does not ascend"):
        llg.voltage_hysteresis(perpendicular(), torque, voltage=[0.1, 0.1], dwell=1e-10, dt=1e-12)


def small_map():
    """tau_DL = 0.6 ueV per cell and volt, tau_FL = 0: about twice the critical voltage at 1 V and alpha 0.02."""
    angle, voltage = np.linspace(0, np.pi, 5), np.array([-1.0, 0.0, 1.0])
    zeros = np.zeros((angle.size, voltage.size))
    return TorqueMap(
        angle=angle, voltage=voltage, area=0.09, charge_current=zeros, damping_like=zeros + 4e-6 * voltage,
        field_like=zeros, damping_like_fixed=zeros, field_like_fixed=zeros,
    )  # fmt: skip


TINY = ["--alpha", "0.05", "--duration", "6e-9", "--dwell", "1e-9", "--voltage=-1:1:3", "--applied-field=-0.15:0.15:3"]
FILES = {
    "x_phase_diagram.nc", "x_phase_diagram.png", "x_field_hysteresis.nc", "x_voltage_hysteresis.nc", "x_hysteresis.png",
}  # fmt: skip


@pytest.fixture
def map_file(tmp_path):
    path = tmp_path / "map.nc"
    small_map().save(path)
    return path


def test_the_driver_writes_diagram_and_loops(within, map_file, tmp_path):
    run = within("phase_diagram", map_file, *TINY, "-o", tmp_path / "out" / "x")
    assert run.returncode == 0, run.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert "share of the diagram" in run.stdout
    d = store.load_dataset(tmp_path / "out" / "x_phase_diagram.nc")
    assert dict(d["state"].sizes) == {"voltage": 3, "field": 3}
    assert d["state"].attrs["flag_masks"].tolist() == [1, 2, 4, 8, 16, 32]
    assert all(d[name].attrs["units"] and d[name].attrs["long_name"] for name in d.data_vars)
    loop = store.load_dataset(tmp_path / "out" / "x_field_hysteresis.nc")
    assert all(loop[name].attrs["units"] and loop[name].attrs["long_name"] for name in loop.data_vars)


def test_a_dry_run_of_the_driver_writes_nothing(within, map_file, tmp_path):
    run = within("phase_diagram", map_file, *TINY, "--dry-run", "-o", tmp_path / "new" / "x")
    assert run.returncode == 0, run.stderr
    assert "time: about" in run.stdout
    assert list(tmp_path.iterdir()) == [map_file]


def test_the_driver_computes_no_point_of_the_diagram_twice(within, map_file, tmp_path, monkeypatch):
    calls = []
    diagram = llg.phase_diagram
    monkeypatch.setattr(llg, "phase_diagram", lambda *free, **given: calls.append(given) or diagram(*free, **given))
    run = within("phase_diagram", map_file, *TINY, "-o", tmp_path / "out" / "x")
    assert run.returncode == 0, run.stderr
    assert [len(given["voltage"]) for given in calls] == [3]


@pytest.mark.parametrize(
    "arguments", [["--voltage=-2:2:3"], ["--dwell", "-1"], ["--duration", "1e-12"], ["--dt", "1e-9"]]
)
def test_the_driver_refuses_bad_input_with_one_line_and_nothing_written(within, map_file, tmp_path, arguments):
    run = within("phase_diagram", map_file, *TINY, *arguments, "-o", tmp_path / "new" / "x")
    assert run.returncode == 2, run.stdout
    (line,) = run.stderr.splitlines()
    assert line.startswith("qtorque: ")
    assert list(tmp_path.iterdir()) == [map_file]


@pytest.mark.slow
@pytest.mark.mpi
def test_two_ranks_write_the_same_bits_as_one(within, map_file, mpirun, tmp_path):
    more = ["--applied-field=-0.15:0.15:13"]
    assert within("phase_diagram", map_file, *TINY, *more, "-o", tmp_path / "one" / "x").returncode == 0
    run = mpirun(2, [ROOT / "drivers/phase_diagram.py", map_file, *TINY, *more, "-o", tmp_path / "two" / "x"])
    assert run.returncode == 0, run.stderr
    for name in sorted(file for file in FILES if file.endswith(".nc")):
        one, two = (store.load_dataset(tmp_path / folder / name) for folder in ("one", "two"))
        assert set(one.variables) == set(two.variables)
        for variable in one.variables:
            assert one[variable].values.tobytes() == two[variable].values.tobytes(), f"{variable} in {name}"


def test_figures_name_every_state_and_both_axes(film):
    figure = plot.phase_diagram(film)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert "parallel or antiparallel" in labels
    assert "out-of-plane precession" in labels
    assert "parallel loses stability" in labels
    (panel,) = figure.axes
    assert "mT" in panel.get_xlabel()
    assert "10$^{11}$ A m" in panel.get_ylabel()
    loops = llg.field_hysteresis(perpendicular(), None, field=[-0.3, 0.0, 0.3], dwell=1e-10, dt=1e-12)
    figure = plot.hysteresis(loops, loops)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["0, up", "0, down"]


@pytest.mark.slow
@pytest.mark.mpi
def test_the_benchmark_runs_at_a_small_size():
    command = [sys.executable, ROOT / "benchmarks" / "phase_diagram.py", "--points", "3", "--duration", "4e-9"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("phase diagram | 3 x 3, 4 ns from both states") == 2
    assert "at most" not in run.stdout


@pytest.mark.parametrize(("points", "seconds", "fails"), [(41, 19.0, False), (41, 21.0, True), (7, 21.0, False)])
def test_the_benchmark_fails_beyond_its_limit_at_full_size_only(monkeypatch, capsys, points, seconds, fails):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "phase_diagram.py"))
    with pytest.raises(SystemExit, match="more than 20 s") if fails else contextlib.nullcontext():
        benchmark["require_speed"](points, 100e-9, "size", seconds)
    assert ("at most 20 s" in capsys.readouterr().out) == (points == 41)


def test_no_public_function_has_the_name_of_its_module():
    for name in ("phase_diagram", "field_hysteresis", "voltage_hysteresis"):
        assert callable(getattr(llg, name))
        with pytest.raises(ImportError):
            importlib.import_module(f"qtorque.llg.{name}")

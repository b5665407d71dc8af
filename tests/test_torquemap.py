"""The torque map: what it refuses, how it interpolates, what it writes."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from qtorque.errors import InputError
from qtorque.torquemap import VARIABLES, TorqueMap
from qtorque.units import ELEMENTARY_CHARGE

ANGLES = np.linspace(0, np.pi, 13)
VOLTAGES = np.linspace(-0.6, 0.6, 7)
AREA = 0.09

SPLINE_ERROR = 2e-4
"""Bound of a complete cubic spline: 5/384 h^4 max|f''''| (C. A. Hall, J. Approx. Theory 1, 209 (1968)). 15 degrees and
f = 1 + 0.3 cos + 0.1 cos 2x, max|f''''| = 1.9, give 1.2e-4."""
ROUNDING = 1e-13
"""Cubics in the voltage are in the spline space: only rounding is left."""


def damping_like(angle, voltage):
    return (1 + 0.3 * np.cos(angle) + 0.1 * np.cos(2 * angle)) * (voltage + 0.4 * voltage**3)


def field_like(angle, voltage):
    return (0.2 - 0.1 * np.cos(angle)) * (0.3 + voltage**2)


def make_map(angles=ANGLES, voltages=VOLTAGES, **changes):
    angles, voltages = np.asarray(angles, dtype=float), np.asarray(voltages, dtype=float)
    grid = np.meshgrid(angles, voltages, indexing="ij")
    dl, fl = damping_like(*grid), field_like(*grid)
    values = {
        "angle": angles, "voltage": voltages, "damping_like": dl, "field_like": fl, "damping_like_fixed": -dl,
        "field_like_fixed": fl**2, "charge_current": 1e-6 * grid[1], "area": AREA,
        "attributes": {"k": 64, "model": "x"},
    }  # fmt: skip
    return TorqueMap(**(values | changes))


def test_interpolation_in_the_angle_is_a_complete_spline():
    angles = np.linspace(0, np.pi, 200)
    dl, fl = make_map().coefficients(angles, 0.6)
    assert np.max(np.abs(dl - damping_like(angles, 0.6))) < SPLINE_ERROR * np.max(np.abs(0.6 + 0.4 * 0.6**3))
    assert np.max(np.abs(fl - field_like(angles, 0.6))) < SPLINE_ERROR


def test_interpolation_error_falls_with_the_fourth_power_of_the_angle_step():
    fine = np.linspace(0, np.pi, 333)
    errors = [
        np.max(np.abs(make_map(np.linspace(0, np.pi, n + 1)).coefficients(fine, 0.6)[0] - damping_like(fine, 0.6)))
        for n in (12, 24)
    ]
    assert 14 < errors[0] / errors[1] < 18


def test_cubics_of_the_voltage_are_reproduced():
    voltages = np.linspace(-0.6, 0.6, 50)
    dl, fl = make_map().coefficients(ANGLES[:, np.newaxis], voltages)
    np.testing.assert_allclose(dl, damping_like(ANGLES[:, np.newaxis], voltages), atol=ROUNDING)
    np.testing.assert_allclose(fl, field_like(ANGLES[:, np.newaxis], voltages), atol=ROUNDING)


def at_voltage(tmap, voltage):
    """The cubics in the angle, (2, 4, intervals), from the polynomials in angle and voltage."""
    splines = tmap.splines
    i = np.searchsorted(splines.voltage_breaks, voltage, side="right") - 1
    powers = (voltage - splines.voltage_breaks[i]) ** np.arange(3, -1, -1)
    return np.einsum("i,icja->cja", powers, splines.coefficients[:, i])


def test_slope_vanishes_at_0_and_pi_where_the_grid_contains_them():
    tmap = make_map()
    for c in at_voltage(tmap, 0.5):
        width = np.diff(tmap.splines.angle_breaks)[-1]
        assert abs(c[2, 0]) < ROUNDING
        assert abs(3 * c[0, -1] * width**2 + 2 * c[1, -1] * width + c[2, -1]) < ROUNDING


def test_slope_is_free_where_the_grid_ends_elsewhere():
    partial = make_map(np.linspace(0.5, 2.5, 30))
    dl, _ = partial.coefficients([0.5, 0.501], 0.6)
    exact = damping_like(np.array([0.5, 0.501]), 0.6)
    np.testing.assert_allclose(np.diff(dl), np.diff(exact), rtol=1e-3)


def test_splines_are_the_coefficients():
    tmap = make_map()
    breaks = tmap.splines.angle_breaks
    angles = np.linspace(0, np.pi, 77)
    i = np.clip(np.searchsorted(breaks, angles, side="right") - 1, 0, ANGLES.size - 2)
    powers = (angles - breaks[i]) ** np.arange(3, -1, -1)[:, np.newaxis]
    found = np.sum(at_voltage(tmap, 0.37)[:, :, i] * powers, axis=1)
    np.testing.assert_allclose(found, tmap.coefficients(angles, 0.37), atol=ROUNDING)


def test_splines_of_the_fixed_magnet_are_those_of_a_map_with_the_magnets_exchanged():
    tmap = make_map()
    other = dataclasses.replace(
        tmap, damping_like=tmap.damping_like_fixed, field_like=tmap.field_like_fixed,
        damping_like_fixed=tmap.damping_like, field_like_fixed=tmap.field_like,
    )  # fmt: skip
    np.testing.assert_array_equal(tmap.splines_fixed.coefficients, other.splines.coefficients)
    assert np.max(np.abs(tmap.splines_fixed.coefficients - tmap.splines.coefficients)) > ROUNDING


@pytest.mark.parametrize("voltages", [[-0.3, 0.3], [-0.3, 0.1, 0.3]])
def test_two_voltages_give_a_line_and_three_a_parabola(voltages):
    degree = len(voltages) - 1
    expected = np.polyval(np.polyfit(voltages, damping_like(0.0, np.array(voltages)), degree), 0.2)
    assert make_map(voltages=voltages).coefficients(0.0, 0.2)[0] == pytest.approx(expected, abs=ROUNDING)


def test_one_voltage_serves_itself_only():
    single = make_map(voltages=[0.2])
    assert single.coefficients(ANGLES[3], 0.2)[0] == pytest.approx(damping_like(ANGLES[3], 0.2), abs=ROUNDING)
    with pytest.raises(InputError, match=r"^voltage=0.21 V is outside the torque map, 0.2 to 0.2 V"):
        single.coefficients(0.0, 0.21)


@pytest.mark.parametrize(("angle", "voltage", "name"), [
    (-0.01, 0.0, "angle=-0.01"), (3.2, 0.0, "angle=3.2"), (np.nan, 0.0, "angle=nan"),
    (1.0, 0.61, "voltage=0.61"), (1.0, [0.0, -1.0], "voltage=-1"), (1.0, np.nan, "voltage=nan"),
])  # fmt: skip
def test_outside_the_map_is_refused(angle, voltage, name):
    with pytest.raises(InputError, match=name) as refusal:
        make_map().coefficients(angle, voltage)
    assert "\n" not in str(refusal.value)


def test_si_values_follow_from_the_area():
    tmap = make_map()
    dl, fl = tmap.coefficients(1.0, 0.3)
    per_area = tmap.per_area(1.0, 0.3)
    np.testing.assert_allclose(per_area, np.array([dl, fl]) * ELEMENTARY_CHARGE / (AREA * 1e-18), rtol=ROUNDING)
    layer = 1.3e-15
    np.testing.assert_allclose(tmap.torque(1.0, 0.3, area_si=layer), np.array(per_area) * layer, rtol=ROUNDING)


SHAPE = (ANGLES.size, VOLTAGES.size)


@pytest.mark.parametrize(("changes", "message"), [
    ({"angle": ANGLES[::-1]}, "^angle does not ascend"),
    ({"voltage": np.r_[VOLTAGES[:-1], VOLTAGES[-2]]}, "^voltage does not ascend"),
    ({"angle": ANGLES + 0.1}, "^angle runs from"),
    ({"angle": ANGLES - 0.1}, "^angle runs from"),
    ({"voltage": np.r_[VOLTAGES[:-1], np.nan]}, "^voltage holds nan"),
    ({"voltage": 0.3}, r"^voltage has shape \(\)"),
    ({"field_like": np.full(SHAPE, np.inf)}, "^field_like holds inf"),
    ({"charge_current": np.zeros(SHAPE[::-1])}, r"^charge_current has shape \(7, 13\)"),
    ({"damping_like_fixed": np.zeros(SHAPE[0])}, r"^damping_like_fixed has shape \(13,\)"),
    ({"area": 0.0}, "^area=0.0"),
    ({"area": "big"}, "^area='big'"),
    ({"attributes": {"mesh": [1, 2]}}, r"^attributes\['mesh'\]"),
])  # fmt: skip
def test_bad_maps_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        make_map(**changes)
    assert "\n" not in str(refusal.value)


def test_map_cannot_be_changed():
    tmap = make_map()
    with pytest.raises(dataclasses.FrozenInstanceError):
        tmap.area = 1.0
    with pytest.raises(ValueError, match="read-only"):
        tmap.damping_like[0, 0] = 1.0


def test_file_gives_the_same_bits_back(tmp_path):
    tmap = make_map()
    tmap.save(tmp_path / "map.nc")
    loaded = TorqueMap.load(tmp_path / "map.nc")
    for name in ("angle", "voltage", *VARIABLES):
        assert getattr(loaded, name).tobytes() == getattr(tmap, name).tobytes()
    assert loaded.area == tmap.area
    assert tmap.attributes.items() <= loaded.attributes.items()
    loaded.save(tmp_path / "again.nc")
    assert TorqueMap.load(tmp_path / "again.nc").attributes == loaded.attributes


def test_file_is_replaced_only_by_force(tmp_path):
    path = tmp_path / "map.nc"
    make_map().save(path)
    with pytest.raises(InputError, match="force"):
        make_map(area=0.1).save(path)
    assert TorqueMap.load(path).area == AREA
    make_map(area=0.1).save(path, force=True)
    assert TorqueMap.load(path).area == 0.1


def test_file_describes_itself(tmp_path):
    make_map().save(tmp_path / "map.nc")
    with xr.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as stored:
        for name in ("angle", "voltage", *VARIABLES):
            assert stored[name].attrs["units"]
            assert stored[name].attrs["long_name"]
        assert stored.attrs["cell_area_units"] == "nm^2"
        assert "spin frame" in stored.attrs["convention"]


def test_dataset_of_spin_torque_becomes_a_map():
    dataset = make_map().to_dataset().transpose("voltage", "angle")
    dataset["torque"] = (("angle", "voltage", "xyz"), np.zeros((*SHAPE, 3)))
    dataset.attrs |= {"kmesh": (64, 64), "temperature": np.float64(300), "converged": True}
    tmap = TorqueMap.from_dataset(dataset)
    np.testing.assert_array_equal(tmap.damping_like, make_map().damping_like)
    assert tmap.attributes == {"k": 64, "model": "x", "kmesh": "(64, 64)", "temperature": 300.0, "converged": "True"}


@pytest.mark.parametrize(("change", "message"), [
    (lambda d: d.drop_vars("field_like_fixed"), "no variable 'field_like_fixed'"),
    (lambda d: d.drop_vars("voltage"), "no coordinate 'voltage'"),
    (lambda d: d.assign_attrs(cell_area=-1.0), "area=-1.0"),
    (lambda d: d.drop_attrs(), "no attribute 'cell_area'"),
    (lambda d: d.assign(field_like=d["field_like"].isel(voltage=0, drop=True)), "field_like has dimensions"),
])  # fmt: skip
def test_incomplete_datasets_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        TorqueMap.from_dataset(change(make_map().to_dataset()))

"""Bridges to other codes: the fit, the scripts of mumax3, OOMMF and cmtj against their own formulas, ODT and OVF."""

import dataclasses
import math
import re
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import command_line, export, llg, store, units
from qtorque.errors import InputError
from qtorque.llg.equation import equation_of_motion

ROOT = Path(__file__).parents[1]
AREA = 0.09
"""nm^2, of the in-plane cell."""
FINE, COARSE = np.linspace(0, np.pi, 1001), np.linspace(0, np.pi, 25)
"""Angles: fine enough for a spline of the closed form to be all but exact, and those of a usual map."""
VOLTAGES = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
RESISTANCE_AREA = 4e-12
"""Ohm m^2, of the parallel state."""

FIT_ACCURACY = 1e-10
"""Least squares of data of that form leave rounding of the data, 1e-16, times the condition of the fit."""
MIRROR = 1e-6
"""Of a mirror-symmetric junction: the accuracy of its energy integrals."""
SAME_EQUATION = 1e-12
"""Of dm/dt, relative to the largest: a spline through 1001 angles is off by 5/384 h^4 max|d4f| = 2e-12 of f, and the
torque is a hundredth of dm/dt."""
ROUNDING = 1e-14
"""Of some fifty products and sums."""
CMTJ_CONSTANTS = 1e-3
"""Of dm/dt, relative: mu_0 is 12.57e-7 there, and a step of 1e-16 s leaves 1e-5 of rounding."""
SWITCHING_TIME = 0.01
"""Of cmtj against qtorque, relative: its gyromagnetic ratio is 0.18 % smaller, and the times grow with it."""


def free_layer(**changes):
    values = {
        "Ms": 1.1e6, "thickness": 1.4e-9, "area": 1.3e-15, "alpha": 0.02, "anisotropy": 0.95e6,
        "demag": (0.03, 0.01, 0.96), "easy_axis": (0, 0, 1), "field": (0.004, -0.002, 0.01), "fixed": (0, 0, 1),
    }  # fmt: skip
    return llg.Macrospin(**(values | changes))


def rich_layer():
    """Every energy term, every axis elsewhere."""
    return free_layer(
        alpha=0.3, fixed=(0.48, 0.6, 0.64), easy_axis=(0.6, 0.0, 0.8), anisotropy=3e5, second_order_anisotropy=2e5,
        cubic_anisotropy=1e5, cubic_axes=((0.8, 0.6, 0.0), (-0.6, 0.8, 0.0)), voltage_anisotropy=4e4,
        exchange_bias=(0.01, 0.02, -0.03),
    )  # fmt: skip


def closed_form_map(parameters, angle=FINE, voltages=VOLTAGES, resistance_area=RESISTANCE_AREA, amplitude=0.0):
    """A torque map that is exactly of the form, with J = V/(resistance_area (1 + amplitude (1 - cos))).

    `parameters(voltage, current_density)` gives the `SlonczewskiParameters`, with the current of 90 degrees.
    """
    to_cell = AREA * units.NM2 / units.ELEMENTARY_CHARGE
    current = voltages / (resistance_area * (1 + amplitude * (1 - np.cos(angle[:, np.newaxis]))))
    nominal = voltages / (resistance_area * (1 + amplitude))
    torques = [parameters(v, j).per_area(angle) for v, j in zip(voltages, nominal, strict=True)]
    damping_like, field_like = (np.stack(part, axis=1) * to_cell for part in zip(*torques, strict=True))
    return qt.TorqueMap(
        angle=angle, voltage=voltages, damping_like=damping_like, field_like=field_like,
        damping_like_fixed=-damping_like, field_like_fixed=field_like, area=AREA,
        charge_current=current * AREA * units.NM2,
    )  # fmt: skip


def form(voltage, current_density, **changes):
    values = {"polarization": 0.55, "Lambda": 1.7, "epsilon_prime": 0.12, "coupling": 3e-6}
    return export.SlonczewskiParameters(current_density=current_density, voltage=voltage, **(values | changes))


def directions(count=40, seed=3):
    m = np.random.default_rng(seed).normal(size=(count, 3))
    return m / np.linalg.norm(m, axis=1, keepdims=True)


# The fit.


@pytest.mark.parametrize("Lambda", [0.4, 1.0, 1.7, 12.0])
@pytest.mark.parametrize("polarization", [0.55, -0.3])
def test_the_fit_gives_back_the_parameters_of_a_map_of_that_form(Lambda, polarization):
    changes = {"Lambda": Lambda, "polarization": polarization}
    fit = export.fit_slonczewski(closed_form_map(lambda v, j: form(v, j, **changes), angle=COARSE, amplitude=0.4))
    assert fit.voltage.tolist() == [-0.4, -0.2, 0.2, 0.4]
    assert fit.reference_angle == pytest.approx(math.pi / 2)
    np.testing.assert_allclose(fit.resistance_area, 1.4 * RESISTANCE_AREA, rtol=FIT_ACCURACY)
    assert fit.coupling == pytest.approx(3e-6, rel=FIT_ACCURACY)
    for found in (*fit.forms, fit.overall):
        assert found.polarization == pytest.approx(polarization, rel=FIT_ACCURACY)
        assert found.Lambda == pytest.approx(Lambda, rel=FIT_ACCURACY)
        assert found.epsilon_prime == pytest.approx(0.12, rel=FIT_ACCURACY)
        assert found.damping_like_residual < FIT_ACCURACY
        assert found.field_like_residual < FIT_ACCURACY


def test_parameters_that_change_with_the_voltage_are_found_at_each_voltage_and_missed_by_one_form_for_all():
    def bending(voltage, current_density):
        return form(voltage, current_density, polarization=0.5 - 0.3 * voltage, epsilon_prime=0.4 * voltage)

    fit = export.fit_slonczewski(closed_form_map(bending, angle=COARSE))
    np.testing.assert_allclose([f.polarization for f in fit.forms], 0.5 - 0.3 * fit.voltage, rtol=FIT_ACCURACY)
    np.testing.assert_allclose([f.epsilon_prime for f in fit.forms], 0.4 * fit.voltage, rtol=FIT_ACCURACY)
    assert max(f.damping_like_residual for f in fit.forms) < FIT_ACCURACY
    assert 0.1 < fit.overall.damping_like_residual < 0.5
    assert fit.overall.field_like_residual > 0.1


def test_the_nominal_current_is_that_of_the_reference_angle():
    tmap = closed_form_map(form, angle=COARSE, amplitude=0.4)
    products = [export.fit_slonczewski(tmap, reference_angle=x).resistance_area[0] for x in (0.0, math.pi)]
    np.testing.assert_allclose(products, [RESISTANCE_AREA, 1.8 * RESISTANCE_AREA])
    # The torque stays what it is: another current, another polarisation.
    pair = [export.fit_slonczewski(tmap, reference_angle=x).at_voltage(0.2) for x in (0.0, math.pi)]
    np.testing.assert_allclose(pair[0].per_area(COARSE)[0], pair[1].per_area(COARSE)[0], rtol=FIT_ACCURACY)
    assert pair[1].polarization == pytest.approx(1.8 * pair[0].polarization)


def test_a_fitted_polarization_may_exceed_one_which_scripts_take_and_the_closed_form_refuses():
    tmap = closed_form_map(lambda v, j: form(v, j, polarization=0.99), angle=COARSE, amplitude=0.4)
    parameters = export.fit_slonczewski(tmap, reference_angle=math.pi).at_voltage(0.4)
    assert parameters.polarization == pytest.approx(0.99 * 1.8 / 1.4)
    text = export.mumax3_snippet(free_layer(), parameters, initial=(0, 0.6, -0.8), duration=1e-9)
    assert mumax3_values(text)["pol"][0] == parameters.polarization
    with pytest.raises(InputError, match="polarization"):
        llg.Slonczewski(polarization=parameters.polarization)


def test_a_voltage_between_those_of_the_map_is_fitted_to_its_interpolation():
    fit = export.fit_slonczewski(closed_form_map(form, angle=COARSE), voltage=0.313)
    parameters = fit.at_voltage(0.313)
    assert parameters.polarization == pytest.approx(0.55, rel=FIT_ACCURACY)
    assert parameters.current_density == pytest.approx(0.313 / RESISTANCE_AREA, rel=FIT_ACCURACY)


def test_the_residual_is_the_misfit_over_the_largest_torque():
    tmap = closed_form_map(lambda v, j: form(v, j, Lambda=1.0, coupling=0.0), angle=COARSE)
    ripple = 0.05 * np.cos(2 * COARSE)[:, np.newaxis]
    d = tmap.to_dataset()
    rippled = d.assign(damping_like=d["damping_like"] * (1 + ripple), field_like=d["field_like"] * (1 + ripple))
    tmap = qt.TorqueMap.from_dataset(rippled)
    fit = export.fit_slonczewski(tmap)
    models = fit.at_voltage(0.4).per_area(COARSE)
    parts = zip(("damping_like", "field_like"), tmap.per_area(COARSE, 0.4), models, strict=True)
    for name, value, model in parts:
        error = (model - value) / np.max(np.abs(value))
        assert getattr(fit.forms[-1], f"{name}_residual") == pytest.approx(np.max(np.abs(error)))
        assert getattr(fit.forms[-1], f"{name}_rms") == pytest.approx(math.sqrt(np.mean(error**2)))
        # cos(2 angle) is nothing the form knows: about its own amplitude is left.
        assert 0.03 < getattr(fit.forms[-1], f"{name}_residual") < 0.07


def test_no_other_parameters_fit_better():
    d = closed_form_map(form, angle=COARSE).to_dataset()
    d["damping_like"] = d["damping_like"] * (1 + 0.2 * np.cos(3 * d["angle"]))
    tmap = qt.TorqueMap.from_dataset(d)
    best = export.fit_slonczewski(tmap).at_voltage(0.4)
    wanted, _ = tmap.per_area(COARSE, 0.4)

    def misfit(polarization, Lambda):
        near = form(0.4, best.current_density, polarization=polarization, Lambda=Lambda)
        return np.sum((near.per_area(COARSE)[0] - wanted) ** 2)

    least = misfit(best.polarization, best.Lambda)
    for factor in (0.999, 1.001):
        assert misfit(best.polarization * factor, best.Lambda) > least
        assert misfit(best.polarization, best.Lambda * factor) > least


@pytest.mark.parametrize("voltages", [[0.2, 0.4], [-0.4, 0.4], [-0.4, -0.1, 0.2], [0.4]])
def test_without_zero_voltage_on_the_grid_the_coupling_is_in_epsilon_prime(voltages):
    fit = export.fit_slonczewski(closed_form_map(form, angle=COARSE, voltages=np.array(voltages)))
    assert (fit.coupling, fit.coupling_known) == (0, False)
    assert "not known" in fit.to_dataset()["coupling"].attrs["long_name"]
    scale = units.HBAR / units.ELEMENTARY_CHARGE * fit.current_density
    np.testing.assert_allclose([f.epsilon_prime for f in fit.forms], 0.12 + 3e-6 / scale, rtol=FIT_ACCURACY)


@pytest.mark.parametrize("voltages", [[-0.4, 0.4], [-0.4, 0.0, 0.4]])
def test_a_torque_even_in_the_voltage_is_no_coupling(voltages):
    def even(voltage, current_density):
        return form(voltage, current_density, coupling=0.0, epsilon_prime=0.5 * voltage)

    fit = export.fit_slonczewski(closed_form_map(even, angle=COARSE, voltages=np.array(voltages)))
    assert abs(fit.coupling) < FIT_ACCURACY * 1e-5
    assert fit.coupling_known is (0.0 in voltages)
    np.testing.assert_allclose([f.epsilon_prime for f in fit.forms], 0.5 * fit.voltage, rtol=FIT_ACCURACY)


def map_of_two_magnets(free, fixed, voltages):
    """The torque map of a mirror-symmetric junction of the magnets "left" and "right"."""
    metal = qt.single_band(onsite=4.3, exchange=2.6, hopping=-1.0, lattice_constant=0.3)
    oxide = qt.single_band(onsite=9.0, hopping=-1.0, lattice_constant=0.3)
    stack = qt.Stack(
        left=qt.Lead(metal, magnetization=(0, 0, 1), magnet="left"), layers=[qt.Layer(oxide, 3, barrier=True)],
        right=qt.Lead(metal, magnetization=(0, 0, 1), magnet="right"), free=free, fixed=fixed,
    )  # fmt: skip
    angle = np.linspace(0, np.pi, 7)
    return qt.TorqueMap.from_dataset(qt.spin_torque(stack, angle=angle, voltage=voltages, kmesh=qt.kmesh(6)))


@pytest.fixture(scope="module")
def mirrored_fits():
    """Fits with the fixed magnet on the left, as usual, and on the right."""
    pairs = (("right", "left"), ("left", "right"))
    return [export.fit_slonczewski(map_of_two_magnets(*names, [-0.4, 0.0, 0.4])) for names in pairs]


def test_with_the_fixed_magnet_on_the_right_the_current_is_still_that_from_left_to_right(mirrored_fits):
    usual, turned = mirrored_fits
    # The mirror turns the voltage and the current round and leaves both torques.
    np.testing.assert_allclose(turned.current_density, -usual.current_density[::-1], rtol=MIRROR)
    assert usual.at_voltage(0.4).current_density > 0
    assert usual.at_voltage(0.4).polarization > 0.1
    assert turned.at_voltage(0.4).polarization < -0.1
    for name in ("polarization", "epsilon_prime"):
        expected = [-getattr(form, name) for form in usual.forms[::-1]]
        np.testing.assert_allclose([getattr(form, name) for form in turned.forms], expected, rtol=MIRROR)


WRITERS = [export.mumax3_snippet, export.oommf_snippet, export.cmtj_snippet]


@pytest.mark.parametrize("writer", WRITERS)
def test_scripts_say_which_way_the_electrons_flow_on_either_side_of_the_fixed_magnet(mirrored_fits, writer):
    for fit, pushed in zip(mirrored_fits, (False, True), strict=True):
        parameters = fit.at_voltage(0.4)
        text = writer(free_layer(), parameters, initial=(0, 0.6, -0.8), duration=1e-9)
        assert f"{parameters.current_density:.6g} A/m2, > 0: electrons flow from left to right" in text
        assert ("pushes the free moment away from the fixed one" in text) is pushed
        assert not re.search("flow from the fixed|come from the fixed|# J > 0 pulls", text)


def test_scripts_have_the_torque_of_the_map_with_the_fixed_magnet_on_the_right(mirrored_fits):
    free, parameters = free_layer(), mirrored_fits[1].at_voltage(0.4)
    arguments = {"initial": (0, 0.6, -0.8), "duration": 1e-9}
    turned = dataclasses.replace(parameters, polarization=-parameters.polarization)
    m = np.array([0.6, 0.0, 0.8])
    for rate in (
        lambda p: mumax3_rate(export.mumax3_snippet(free, p, **arguments), free.thickness),
        lambda p: oommf_rate(export.oommf_snippet(free, p, **arguments)),
    ):
        # What the damping-like torque does to m.p: at V > 0 it pushes a free magnet on the left away.
        assert (rate(parameters)(m) - rate(turned)(m))[2] < 0


def test_the_dataset_of_a_fit_has_units_and_comes_back_from_a_file(tmp_path):
    d = export.fit_slonczewski(closed_form_map(form, angle=COARSE)).to_dataset()
    assert all({"units", "long_name"} <= set(v.attrs) for v in d.variables.values())
    store.save_dataset(d, tmp_path / "fit.nc")
    xr.testing.assert_identical(store.load_dataset(tmp_path / "fit.nc"), d)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"voltage": 0.0}, "voltage=0"),
        ({"voltage": 0.5}, "outside the torque map"),
        ({"voltage": []}, "voltage has shape"),
        ({"voltage": "x"}, "voltage='x'"),
        ({"voltage": [0.2, None]}, "voltage=None"),
        ({"voltage": [[0.2], [0.4]]}, "voltage has shape"),
        ({"reference_angle": 4.0}, "reference_angle"),
        ({"reference_angle": "x"}, "reference_angle"),
    ],
)
def test_the_fit_refuses_what_the_map_does_not_hold(arguments, words):
    with pytest.raises(InputError, match=words):
        export.fit_slonczewski(closed_form_map(form, angle=COARSE), **arguments)


def test_the_fit_refuses_maps_without_current_or_with_two_angles():
    with pytest.raises(InputError, match="at least 3"):
        export.fit_slonczewski(closed_form_map(form, angle=np.array([0.0, np.pi])))
    d = closed_form_map(form, angle=COARSE).to_dataset()
    with pytest.raises(InputError, match="no charge current"):
        export.fit_slonczewski(qt.TorqueMap.from_dataset(d.assign(charge_current=0 * d["charge_current"])))
    with pytest.raises(InputError, match="V = 0 only"):
        export.fit_slonczewski(qt.TorqueMap.from_dataset(d.sel(voltage=[0.0])))
    with pytest.raises(InputError, match="was not fitted"):
        export.fit_slonczewski(qt.TorqueMap.from_dataset(d)).at_voltage(0.3)
    with pytest.raises(InputError, match="Lambda"):
        form(0.1, 1e10, Lambda=0.0)
    with pytest.raises(InputError, match="current_density"):
        form(0.1, math.nan)


# The scripts, against the formula in the source of the other code.


def explicit_rate(m, field, alpha, gamma, pull, push, p):
    """gamma/(1 + alpha^2) [-m x B - alpha m x (m x B) + (A + alpha A') m x (p x m) + (A' - alpha A) p x m]."""
    turn = -np.cross(m, field) - alpha * np.cross(m, np.cross(m, field))
    torque = (pull + alpha * push) * np.cross(m, np.cross(p, m)) + (push - alpha * pull) * np.cross(p, m)
    return gamma / (1 + alpha**2) * (turn + torque)


def same_equation(free, parameters, rate, count=40):
    """Largest difference of rate(m) to the equation of motion with a map of that form, over the largest rate."""
    tmap = closed_form_map(lambda v, j: form(v, j, Lambda=parameters.Lambda, polarization=parameters.polarization))
    return largest_difference(equation_of_motion(free, tmap, parameters.voltage), rate, count)


def largest_difference(equation, rate, count=40):
    pairs = [(equation.rate(m), rate(m)) for m in directions(count)]
    return max(np.max(np.abs(a - b)) for a, b in pairs) / max(np.max(np.abs(a)) for a, _ in pairs)


def mumax3_values(text):
    """Assignments of a mumax3 script: name in lower case -> numbers, or text."""
    values = {}
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)\s*:?=\s*(.*)", line.split("//")[0].strip())
        if found:
            numbers = re.findall(r"(?<![\w.])[-+]?\d[\d.]*(?:e[-+]?\d+)?", found[2])
            values[found[1].lower()] = np.array(numbers, dtype=float) if numbers else found[2]
    return values


def mumax3_rate(text, thickness):
    """dm/dt as mumax3 3.10 computes it: cuda/slonczewski2.cu, uniaxialanisotropy2.cu; engine/torque.go."""
    v = mumax3_values(text)
    Ms, alpha, Lambda = v["msat"][0], v["alpha"][0], v["lambda"][0]
    sign = {"FIXEDLAYER_TOP": 1.0, "FIXEDLAYER_BOTTOM": -1.0}[v["fixedlayerposition"]]
    p = v["fixedlayer"]
    beta = sign * units.HBAR / units.ELEMENTARY_CHARGE * v["j"][2] / (v["freelayerthickness"][0] * Ms)
    assert v["freelayerthickness"][0] == thickness
    c1, c2 = v.get("anisc1", np.eye(3)[0]), v.get("anisc2", np.eye(3)[1])
    axes = np.array([c1, c2, np.cross(c1, c2)])
    kc1 = v.get("kc1", np.zeros(1))[0]

    def rate(m):
        u = v["anisu"]
        field = v["b_ext"] + 2 * v["ku1"][0] / Ms * (u @ m) * u + 4 * v["ku2"][0] / Ms * (u @ m) ** 3 * u
        a = axes @ m
        field = field - 2 * kc1 / Ms * (a * (a @ a - a**2)) @ axes
        field = field + v["shape_field"].reshape(3, 3) @ m
        epsilon = v["pol"][0] * Lambda**2 / ((Lambda**2 + 1) + (Lambda**2 - 1) * (p @ m))
        return explicit_rate(m, field, alpha, v["gammall"][0], beta * epsilon, beta * v["epsilonprime"][0], p)

    return rate


@pytest.mark.parametrize("layer", [free_layer, rich_layer])
@pytest.mark.parametrize("voltage", [0.4, -0.2])
def test_the_mumax3_script_is_the_equation_of_motion_of_the_map(layer, voltage):
    free = layer()
    parameters = export.fit_slonczewski(closed_form_map(form, angle=COARSE)).at_voltage(voltage)
    initial = export.tilted_direction(free, "antiparallel", 0.1)
    text = export.mumax3_snippet(free, parameters, initial=initial, duration=1e-8)
    assert same_equation(free, parameters, mumax3_rate(text, free.thickness)) < SAME_EQUATION


@pytest.mark.parametrize("writer", ["mumax3", "oommf"])
def test_scripts_are_the_closed_form_of_the_dynamics_to_rounding(writer):
    free = rich_layer() if writer == "mumax3" else without_second_order()
    parameters = form(-2e11 * RESISTANCE_AREA, -2e11, coupling=0.0)
    arguments = {"initial": (0, 0.6, -0.8), "duration": 1e-8}
    rate = (
        mumax3_rate(export.mumax3_snippet(free, parameters, **arguments), free.thickness)
        if writer == "mumax3"
        else oommf_rate(export.oommf_snippet(free, parameters, **arguments))
    )
    source = llg.Slonczewski(polarization=0.55, Lambda=1.7, epsilon_prime=0.12, resistance_area=RESISTANCE_AREA)
    assert largest_difference(equation_of_motion(free, source, current_density=-2e11), rate) < ROUNDING


def test_mumax3_electrons_come_from_the_fixed_layer_below():
    free = free_layer()
    text = export.mumax3_snippet(free, form(0.4, 2e11), initial=(0, 0.6, -0.8), duration=1e-8)
    values = mumax3_values(text)
    # Positive charge flows down where electrons flow up, from a fixed layer at the bottom.
    assert values["j"].tolist() == [0, 0, -2e11]
    assert values["fixedlayerposition"] == "FIXEDLAYER_BOTTOM"
    assert values["disablezhanglitorque"] == "true"
    assert values["enabledemag"] == "false"
    assert "Run(1e-08)" in text


def test_a_mumax3_grid_has_the_area_of_the_free_layer_and_demagnetises_itself():
    free = free_layer()
    text = export.mumax3_grid_snippet(
        free, form(0.4, 2e11), initial=(0, 0.6, -0.8), duration=1e-8, exchange_stiffness=1.5e-11
    )
    cells = [int(n) for n in re.search(r"SetGridSize\((\d+), (\d+), (\d+)\)", text).groups()]
    edges = [float(x) for x in re.search(r"SetCellSize\((.*)\)", text)[1].split(",")]
    diameter = float(re.search(r"Circle\((.*?)\)", text)[1])
    assert math.pi / 4 * diameter**2 == pytest.approx(free.area)
    assert cells[0] * edges[0] == pytest.approx(diameter)
    assert max(edges[:2]) <= 2e-9
    assert (cells[2], edges[2]) == (1, free.thickness)
    values = mumax3_values(text)
    assert values["enabledemag"] == "true"
    assert "shape_field" not in values
    assert values["aex"].tolist() == [1.5e-11]
    # The torque is that of the macrospin script.
    lines = export.mumax3_snippet(free, form(0.4, 2e11), initial=(0, 0.6, -0.8), duration=1e-8).splitlines()
    assert [x for x in lines if re.match("J|Pol|Lambda|Eps|Fixed|B_ext|Ku|Free", x)] == [
        x for x in text.splitlines() if re.match("J|Pol|Lambda|Eps|Fixed|B_ext|Ku|Free", x)
    ]


def oommf_blocks(text):
    """Specify blocks of a MIF file: class:name -> {key: numbers or text}."""
    blocks = {}
    for name, body in re.findall(r"^Specify Oxs_(\S+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        values = {}
        for line in body.splitlines():
            key, _, value = line.strip().partition(" ")
            try:
                values[key] = np.array(value.strip("{}").split(), dtype=float)
            except ValueError:
                values[key] = value
        blocks[name] = values
    return blocks


def oommf_rate(text):
    """dm/dt as OOMMF computes it: spinxferevolve.cc (UpdateMeshArrays, Calculate_dm_dt), uniaxialanisotropy.cc."""
    b = oommf_blocks(text)
    e, Ms = b["SpinXferEvolve:evolver"], b["TimeDriver:driver"]["Ms"][0]
    mu0, p, alpha = units.VACUUM_PERMEABILITY, e["mp"], e["alpha"][0]
    fixed, free = (e[f"Lambda_{x}" if f"Lambda_{x}" in e else "Lambda"][0] ** 2 for x in ("fixed", "free"))
    P_fixed, P_free = (e[f"P_{x}" if f"P_{x}" in e else "P"][0] for x in ("fixed", "free"))
    assert fixed >= 1
    assert free > 1 or fixed == 1
    thickness = b["RectangularMesh:mesh"]["cellsize"][2]
    beta = e["J"][0] * units.HBAR / (mu0 * units.ELEMENTARY_CHARGE * thickness * Ms)
    plus_ratio = math.sqrt((free + 1) / (fixed + 1))
    minus_ratio = math.sqrt((fixed - 1) / (free - 1)) if free > 1 else 1.0
    first, second = 0.5 * beta * fixed * plus_ratio * P_fixed, 0.5 * beta * free * minus_ratio * P_free
    a, c = math.sqrt((fixed + 1) * (free + 1)), math.sqrt((fixed - 1) * (free - 1))

    def rate(m):
        field = b["FixedZeeman:field"]["field"] * b["FixedZeeman:field"]["multiplier"][0]
        for name, values in b.items():
            if name.startswith("Uniaxial"):
                u = values["axis"]
                field = field + 2 * values["K1"][0] / (mu0 * Ms) * (u @ m) * u
            elif name.startswith("Cubic"):
                axes = np.array([values["axis1"], values["axis2"], np.cross(values["axis1"], values["axis2"])])
                x = axes @ m
                field = field - 2 * values["K1"][0] / (mu0 * Ms) * (x * (x @ x - x**2)) @ axes
        pull = (first + second) / (a + c * (m @ p)) + (first - second) / (a - c * (m @ p))
        return explicit_rate(m, field, alpha, e["gamma_G"][0], pull, beta * e["eps_prime"][0], p)

    return rate


def without_second_order():
    return llg.Macrospin(**(vars(rich_layer()) | {"second_order_anisotropy": 0.0}))


@pytest.mark.parametrize("layer", [free_layer, without_second_order])
@pytest.mark.parametrize("Lambda", [0.6, 1.0, 1.7])
def test_the_oommf_script_is_the_equation_of_motion_of_the_map(layer, Lambda):
    free = layer()
    parameters = form(0.2, 0.2 / RESISTANCE_AREA, Lambda=Lambda)
    initial = export.tilted_direction(free, "antiparallel", 0.1)
    text = export.oommf_snippet(free, parameters, initial=initial, duration=1e-8)
    assert text.startswith("# MIF 2.1\n")
    assert same_equation(free, parameters, oommf_rate(text)) < SAME_EQUATION


def test_a_demagnetising_tensor_in_other_axes_reaches_every_script():
    tilt = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    free = free_layer(demag=(tilt @ np.diag([0.1, 0.2, 0.7]) @ tilt.T).tolist())
    parameters = form(0.2, 0.2 / RESISTANCE_AREA)
    arguments = {"initial": (0, 0.6, -0.8), "duration": 1e-8}
    for rate in (
        mumax3_rate(export.mumax3_snippet(free, parameters, **arguments), free.thickness),
        oommf_rate(export.oommf_snippet(free, parameters, **arguments)),
    ):
        assert same_equation(free, parameters, rate) < SAME_EQUATION


def crossing_time(time, m, fixed):
    """When m.p first changes its sign."""
    side = m @ np.asarray(fixed)
    i = int(np.argmax(side * side[0] < 0))
    assert i > 0, "no switching"
    return time[i - 1] + (time[i] - time[i - 1]) * side[i - 1] / (side[i - 1] - side[i])


def switching_times(free, tmap, voltage, folder, duration, tilt=0.05):
    """Of cmtj, running the exported script, and of the dynamics here under the map itself; s."""
    initial = export.tilted_direction(free, "antiparallel", tilt)
    parameters = export.fit_slonczewski(tmap, voltage=voltage).at_voltage(voltage)
    text = export.cmtj_snippet(free, parameters, initial=initial, duration=duration, dt=2e-13)
    export.save_script(text, folder / "script.py", force=True)
    time, m = runpy.run_path(str(folder / "script.py"))["trajectory"]()
    own = llg.run(free, tmap, voltage=voltage, initial=initial, duration=duration, dt=2e-13, samples=20000)
    return crossing_time(time, m, free.fixed), crossing_time(own["time"].values, own["m"].values, free.fixed)


@pytest.mark.parametrize("changes", [{}, {"fixed": (0.48, 0.6, 0.64), "easy_axis": (0.48, 0.6, 0.64), "alpha": 0.1}])
def test_cmtj_with_the_exported_parameters_switches_when_the_map_does(tmp_path, changes):
    pytest.importorskip("cmtj")
    free = free_layer(**({"demag": (1 / 3, 1 / 3, 1 / 3), "anisotropy": 1.5e5, "field": (0, 0, 0)} | changes))
    tmap = closed_form_map(lambda v, j: form(v, j, epsilon_prime=0.4), angle=np.linspace(0, np.pi, 181))
    theirs, ours = switching_times(free, tmap, 0.4, tmp_path, 4e-9)
    assert theirs == pytest.approx(ours, rel=SWITCHING_TIME)


def test_cmtj_feels_every_energy_term_it_has(tmp_path):
    pytest.importorskip("cmtj")
    tilt = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    changes = {"cubic_anisotropy": 0.0, "demag": (tilt @ np.diag([0.1, 0.2, 0.7]) @ tilt.T).tolist()}
    free = llg.Macrospin(**(vars(rich_layer()) | changes))
    parameters = form(0.2, 0.2 / RESISTANCE_AREA)
    step = 1e-16

    def rate(m):
        text = export.cmtj_snippet(free, parameters, initial=m, duration=3 * step, dt=step)
        script = {"__name__": "script"}
        exec(compile(text, "script", "exec"), script)
        time, path = script["trajectory"]()
        # cmtj's own gamma mu_0 in A/m against ours.
        scale = units.GYROMAGNETIC_RATIO * units.VACUUM_PERMEABILITY / 220880.0
        return scale * (path[-1] - path[0]) / (time[-1] - time[0])

    assert same_equation(free, parameters, rate, count=6) < CMTJ_CONSTANTS


def test_cmtj_and_a_map_of_the_transport_theory_switch_at_the_same_time(tmp_path):
    pytest.importorskip("cmtj")
    d = qt.spin_torque(
        command_line.load_system(ROOT / "systems" / "mtj.py"),
        angle=np.linspace(0, np.pi, 7), voltage=[-0.4, 0.0, 0.4], kmesh=qt.kmesh(8), tolerance=1e-5,
    )  # fmt: skip
    tmap = qt.TorqueMap.from_dataset(d)
    fit = export.fit_slonczewski(tmap)
    assert max(f.damping_like_residual for f in fit.forms) < 0.05
    free = free_layer(Ms=1e6, thickness=1e-9, anisotropy=2e3, alpha=0.01, demag=(1 / 3, 1 / 3, 1 / 3), field=(0, 0, 0))
    theirs, ours = switching_times(free, tmap, 0.4, tmp_path, 60e-9)
    assert theirs == pytest.approx(ours, rel=SWITCHING_TIME)


@pytest.mark.parametrize("writer", WRITERS)
def test_scripts_refuse_a_start_that_never_moves_and_a_run_without_length(writer):
    with pytest.raises(InputError, match="lies along p"):
        writer(free_layer(), form(0.4, 2e11), initial="antiparallel", duration=1e-8)
    for duration in (0.0, "x", None):
        with pytest.raises(InputError, match="duration"):
            writer(free_layer(), form(0.4, 2e11), initial=(0, 0.6, -0.8), duration=duration)


def test_scripts_refuse_steps_and_cells_that_are_none():
    arguments = {"initial": (0, 0.6, -0.8), "duration": 1e-9}
    with pytest.raises(InputError, match="dt=1e-08 s is longer"):
        export.cmtj_snippet(free_layer(), form(0.4, 2e11), dt=1e-8, **arguments)
    with pytest.raises(InputError, match="dt='x'"):
        export.cmtj_snippet(free_layer(), form(0.4, 2e11), dt="x", **arguments)
    with pytest.raises(InputError, match="exchange_stiffness='x'"):
        export.mumax3_grid_snippet(free_layer(), form(0.4, 2e11), exchange_stiffness="x", **arguments)


def test_scripts_refuse_what_the_other_code_does_not_have():
    arguments = {"initial": (0, 0.6, -0.8), "duration": 1e-8}
    with pytest.raises(InputError, match="cubic_anisotropy"):
        export.cmtj_snippet(free_layer(cubic_anisotropy=1.0), form(0.4, 2e11), **arguments)
    with pytest.raises(InputError, match="second_order_anisotropy"):
        export.oommf_snippet(free_layer(second_order_anisotropy=1.0), form(0.4, 2e11), **arguments)
    with pytest.raises(InputError, match="polarization=0"):
        export.mumax3_snippet(free_layer(), form(0.4, 2e11, polarization=0.0), **arguments)
    assert "Pol = 0.0" in export.mumax3_snippet(free_layer(), form(0.4, 0.0, polarization=0.0), **arguments)


def test_an_existing_script_is_replaced_only_by_force(tmp_path):
    export.save_script("a", tmp_path / "x.mx3")
    with pytest.raises(InputError, match="exists"):
        export.save_script("b", tmp_path / "x.mx3")
    export.save_script("b", tmp_path / "x.mx3", force=True)
    assert (tmp_path / "x.mx3").read_text() == "b"


def test_the_start_is_tilted_by_the_angle_asked_for():
    free = rich_layer()
    for initial, side in (("parallel", 1), ("antiparallel", -1)):
        m = export.tilted_direction(free, initial, 0.1)
        assert m @ np.asarray(free.fixed) == pytest.approx(side * math.cos(0.1))
        assert np.linalg.norm(m) == pytest.approx(1)
    for tilt in (0.0, 1.6, math.nan):
        with pytest.raises(InputError, match="tilt"):
            export.tilted_direction(free, "parallel", tilt)


@pytest.fixture
def map_file(tmp_path):
    """A map whose damping-like torque is of the form at each voltage, with a polarisation that depends on it."""
    tmap = closed_form_map(lambda v, j: form(v, j, polarization=0.5 - 0.4 * v), angle=COARSE)
    tmap.save(tmp_path / "map.nc")
    return tmp_path / "map.nc"


def test_the_driver_writes_every_script_and_says_what_the_closed_form_misses(within, tmp_path, map_file):
    run = within("export", map_file, "--voltage", "0.3", "-o", tmp_path / "x", "--quiet", "--duration", "1e-9")
    assert run.returncode == 0, run.stderr
    endings = ("slonczewski.nc", "slonczewski.png", "mumax3.mx3", "mumax3_grid.mx3", "oommf.mif", "cmtj.py")
    assert {path.name for path in tmp_path.glob("x_*")} == {f"x_{ending}" for ending in endings}
    assert "the closed form describes both torques at 0.3 V" in run.stdout
    assert "does NOT describe the damping-like torque at all voltages together" in run.stdout
    assert mumax3_values((tmp_path / "x_mumax3.mx3").read_text())["pol"][0] == pytest.approx(0.38)
    d = store.load_dataset(tmp_path / "x_slonczewski.nc")
    np.testing.assert_allclose(d["polarization"], 0.5 - 0.4 * d["voltage"])
    assert '"voltage": 0.3' in d.attrs["configuration"]
    again = within("export", map_file, "-o", tmp_path / "x", "--quiet")
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_the_driver_says_where_a_map_does_not_tell_the_coupling(within, tmp_path):
    tmap = closed_form_map(form, angle=COARSE, voltages=np.array([-0.4, 0.4]))
    tmap.save(tmp_path / "map.nc")
    run = within("export", tmp_path / "map.nc", "-o", tmp_path / "x", "--quiet", "--dry-run")
    assert run.returncode == 0, run.stderr
    assert "interlayer coupling  not known: the map has no V = 0" in run.stdout
    assert "electrons flow from left to right" in run.stdout


def test_the_driver_has_no_options_that_it_does_not_use(within, tmp_path, map_file):
    for option in ("--temperature", "--trajectories", "--seed"):
        run = within("export", map_file, option, "1", "-o", tmp_path / "x", "--dry-run")
        assert run.returncode == 2
        assert option in run.stderr
    run = within("export", map_file, "--initial", "parallel", "--dt", "1e-8", "--duration", "1e-9", "--dry-run")
    assert run.returncode == 2
    assert "dt=1e-08 s is longer" in run.stderr


def test_a_dry_run_of_the_driver_writes_nothing(within, tmp_path, map_file):
    run = within("export", map_file, "-o", tmp_path / "x", "--quiet", "--dry-run")
    assert run.returncode == 0, run.stderr
    assert "misfit DL" in run.stdout
    assert not list(tmp_path.glob("x_*"))


# The formats.


def trajectory(rows=5):
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "m": (("time", "xyz"), rng.normal(size=(rows, 3)), {"units": "1"}),
            "energy": ("time", rng.normal(size=rows) * 1e-19, {"units": "J"}),
            "left_behind": ((), 1.0),
        },
        {"time": ("time", np.arange(rows) * 1e-11, {"units": "s"}), "xyz": ["x", "y", "z"]},
    )


def test_an_odt_table_keeps_every_bit_and_is_read_by_numpy(tmp_path):
    d = trajectory()
    export.save_odt(d, tmp_path / "run.odt")
    lines = (tmp_path / "run.odt").read_text().splitlines()
    assert lines[0] == "# ODT 1.0"
    names = ["TimeDriver::Simulation time", *(f"TimeDriver::m{axis}" for axis in "xyz"), "qtorque::energy"]
    names = [f"Oxs_{name}" for name in names]
    assert lines[3] == "# Columns: " + " ".join(f"{{{name}}}" for name in names)
    assert lines[4] == "# Units: {s} {} {} {} {J}"
    expected = np.column_stack([d["time"], d["m"], d["energy"]])
    np.testing.assert_array_equal(np.genfromtxt(tmp_path / "run.odt"), expected)
    back = export.read_odt(tmp_path / "run.odt")
    np.testing.assert_array_equal(np.column_stack([back[name] for name in back]), expected)
    assert list(back) == names
    assert [back[name].attrs["units"] for name in back] == ["s", "1", "1", "1", "J"]


def test_ubermagtable_reads_a_table_with_its_names_and_units(tmp_path):
    ubermagtable = pytest.importorskip("ubermagtable")
    d = trajectory()
    d["current_density"] = ("time", np.arange(5.0), {"units": "A m-2"})
    export.save_odt(d, tmp_path / "run.odt")
    table = ubermagtable.Table.fromfile(str(tmp_path / "run.odt"), x="t")
    assert list(table.data.columns) == ["t", "mx", "my", "mz", "qtorque::energy", "qtorque::current_density"]
    assert list(table.units.values()) == ["s", "", "", "", "J", "A.m-2"]
    np.testing.assert_array_equal(table.data["t"], d["time"])
    np.testing.assert_array_equal(table.data[["mx", "my", "mz"]], d["m"])
    np.testing.assert_array_equal(table.data["qtorque::energy"], d["energy"])


def test_units_of_a_table_are_words_without_blanks(tmp_path):
    d = trajectory()
    d["energy"].attrs["units"] = "A m-2"
    export.save_odt(d, tmp_path / "run.odt")
    units_line = (tmp_path / "run.odt").read_text().splitlines()[4]
    assert units_line.split() == ["#", "Units:", "{s}", "{}", "{}", "{}", "{A.m-2}"]
    assert export.read_odt(tmp_path / "run.odt")["Oxs_qtorque::energy"].attrs["units"] == "A.m-2"


def test_a_run_of_the_dynamics_fits_into_a_table(tmp_path):
    r = llg.run(free_layer(), None, initial=(0, 0.6, -0.8), duration=1e-11, dt=1e-13, samples=10)
    export.save_odt(r, tmp_path / "run.odt")
    table = np.genfromtxt(tmp_path / "run.odt")
    np.testing.assert_array_equal(table[:, 0], r["time"])
    np.testing.assert_array_equal(table[:, 1:], r["m"])


def test_the_example_of_the_odt_specification_is_read(tmp_path):
    (tmp_path / "x.odt").write_text(
        "# ODT 1.0\n# Table Start\n# Title: This is a small sample ODT file.\n#\n## This is a sample comment.\n#\n"
        '# Columns: Iteration "Applied Field" {Total Energy} Mx\n# Units: {} "mT" "J/m^3" "A/m"\n'
        "  103 50 0.00636 787840\n 1000 32 {} \\\n 781120\n10300 -5000 0.00640 -800e3\n# Table End\n1 2 3 4\n"
    )
    d = export.read_odt(tmp_path / "x.odt")
    assert list(d) == ["Iteration", "Applied Field", "Total Energy", "Mx"]
    np.testing.assert_array_equal(d["Mx"], [787840, 781120, -8e5])
    np.testing.assert_array_equal(d["Total Energy"], [0.00636, np.nan, 0.0064])
    assert d["Applied Field"].attrs["units"] == "mT"


def test_a_table_with_line_ends_of_windows_may_continue_its_lines(tmp_path):
    (tmp_path / "x.odt").write_bytes(b"# ODT 1.0\r\n# Columns: a b\r\n# Units: s m\r\n1 \\\r\n2\r\n3 4\r\n")
    d = export.read_odt(tmp_path / "x.odt")
    assert (d["a"].values.tolist(), d["b"].values.tolist()) == ([1, 3], [2, 4])


def test_tables_that_odt_cannot_hold_or_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="no coordinate 'time'"):
        export.save_odt(trajectory().drop_vars("time"), tmp_path / "x.odt")
    with pytest.raises(InputError, match="dimensions"):
        export.save_odt(trajectory().expand_dims(voltage=[1.0]).drop_vars("energy"), tmp_path / "x.odt")
    with pytest.raises(InputError, match="ODT label"):
        export.save_odt(trajectory().rename(energy="a}b"), tmp_path / "x.odt")
    (tmp_path / "y.odt").write_text("# ODT 1.0\n# Columns: a b\n1 2 3\n")
    with pytest.raises(InputError, match="do not fit"):
        export.read_odt(tmp_path / "y.odt")
    (tmp_path / "y.odt").write_text("# ODT 1.0\n# Columns: a b\n1 2\n3 oops\n")
    with pytest.raises(InputError, match=r"row 2: .*oops"):
        export.read_odt(tmp_path / "y.odt")
    (tmp_path / "z.odt").write_text("time 1\n")
    with pytest.raises(InputError, match="first line"):
        export.read_odt(tmp_path / "z.odt")
    with pytest.raises(InputError, match="is no file"):
        export.read_odt(tmp_path / "none.odt")


def field():
    values = np.random.default_rng(2).normal(size=(4, 3, 2, 3))
    return export.VectorField(values=values, cell=(1e-9, 2e-9, 3e-9), corner=(5e-9, 0.0, -1e-9))


def parsed_ovf(content):
    """Header and numbers of an OVF 2.0 file, from its specification: no part of the reader under test."""
    head, rest = content.split(b"# Begin: Data ", 1)
    kind, data = rest.split(b"\n", 1)
    header = dict(line[2:].split(": ", 1) for line in head.decode().splitlines()[1:] if ": " in line)
    count = int(header["valuedim"]) * math.prod(int(header[f"{axis}nodes"]) for axis in "xyz")
    if kind == b"Text":
        return header, [float(x) for x in data.split(b"#")[0].split()]
    letter, size, check = {b"Binary 4": ("f", 4, 1234567.0), b"Binary 8": ("d", 8, 123456789012345.0)}[kind]
    numbers = struct.unpack(f"<{count + 1}{letter}", data[: size * (count + 1)])
    assert numbers[0] == check
    assert data[size * (count + 1) :] == b"\n# End: Data " + kind + b"\n# End: Segment\n"
    return header, list(numbers[1:])


@pytest.mark.parametrize(("representation", "tolerance"), [("Text", 0.0), ("Binary 8", 0.0), ("Binary 4", 1e-6)])
def test_an_ovf_file_follows_the_specification_and_comes_back(tmp_path, representation, tolerance):
    f = field()
    export.save_ovf(f, tmp_path / "m.ovf", representation=representation)
    content = (tmp_path / "m.ovf").read_bytes()
    assert content.startswith(b"# OOMMF OVF 2.0\n")
    header, numbers = parsed_ovf(content)
    assert [header[name] for name in ("meshtype", "meshunit", "valuedim")] == ["rectangular", "m", "3"]
    assert [float(header[f"{axis}base"]) for axis in "xyz"] == pytest.approx([5.5e-9, 1e-9, 0.5e-9])
    assert [float(header[f"{axis}max"]) for axis in "xyz"] == pytest.approx([9e-9, 6e-9, 5e-9])
    # x runs fastest, z slowest; the components of a node stand together.
    expected = [f.values[i, j, k, c] for k in range(2) for j in range(3) for i in range(4) for c in range(3)]
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=tolerance)
    back = export.read_ovf(tmp_path / "m.ovf")
    np.testing.assert_allclose(back.values, f.values, rtol=0, atol=tolerance)
    assert (back.cell, back.corner, back.labels, back.units) == (f.cell, f.corner, f.labels, f.units)


def test_a_file_as_mumax3_writes_it_is_read(tmp_path):
    head = (
        "# OOMMF OVF 2.0\n# Segment count: 1\n# Begin: Segment\n# Begin: Header\n# Title: m\n# meshtype: rectangular\n"
        "# meshunit: m\n# xmin: 0\n# ymin: 0\n# zmin: 0\n# xmax: 4e-09\n# ymax: 2e-09\n# zmax: 1e-09\n# valuedim: 3\n"
        "# valuelabels: m_x m_y m_z\n# valueunits: 1 1 1\n# Desc: Total simulation time:  0  s\n# xbase: 1e-09\n"
        "# ybase: 1e-09\n# zbase: 5e-10\n# xnodes: 2\n# ynodes: 1\n# znodes: 1\n# xstepsize: 2e-09\n"
        "# ystepsize: 2e-09\n# zstepsize: 1e-09\n# End: Header\n# Begin: Data Binary 4\n"
    )
    data = struct.pack("<7f", 1234567.0, 1, 0, 0, 0, 0.5, -1)
    (tmp_path / "m.ovf").write_bytes(head.encode() + data + b"# End: Data Binary 4\n# End: Segment\n")
    back = export.read_ovf(tmp_path / "m.ovf")
    np.testing.assert_array_equal(back.values[:, 0, 0], [[1, 0, 0], [0, 0.5, -1]])
    assert back.cell == (2e-9, 2e-9, 1e-9)


@pytest.mark.parametrize("written", ["{} {} {}", "", "{}", "1", "1 1 1"])
def test_a_field_without_units_is_read_as_a_number(tmp_path, written):
    export.save_ovf(field(), tmp_path / "m.ovf")
    content = (tmp_path / "m.ovf").read_bytes()
    (tmp_path / "m.ovf").write_bytes(content.replace(b"valueunits: 1 1 1", b"valueunits: " + written.encode()))
    back = export.read_ovf(tmp_path / "m.ovf")
    assert back.units == "1"
    np.testing.assert_array_equal(back.values, field().values)


@pytest.mark.parametrize("representation", ["Text", "Binary 8"])
def test_discretisedfield_reads_a_field_and_its_files_are_read(tmp_path, representation):
    discretisedfield = pytest.importorskip("discretisedfield")
    f = field()
    export.save_ovf(f, tmp_path / "m.ovf", representation=representation)
    theirs = discretisedfield.Field.from_file(str(tmp_path / "m.ovf"))
    np.testing.assert_allclose(theirs.mesh.cell, f.cell)
    np.testing.assert_allclose(theirs.mesh.region.pmin, f.corner)
    assert theirs.vdims == ["x", "y", "z"]
    np.testing.assert_array_equal(theirs.array, f.values)
    theirs.to_file(str(tmp_path / "back.ovf"), representation={"Text": "txt", "Binary 8": "bin8"}[representation])
    back = export.read_ovf(tmp_path / "back.ovf")
    np.testing.assert_array_equal(back.values, f.values)
    np.testing.assert_allclose(back.cell, f.cell)


def test_text_that_is_no_number_is_refused(tmp_path):
    export.save_ovf(field(), tmp_path / "m.ovf", representation="Text")
    content = (tmp_path / "m.ovf").read_bytes()
    first = repr(float(field().values[0, 0, 0, 0])).encode()
    for word, words in ((b"0.1x", "0.1x"), (b"nan", "values holds nan")):
        (tmp_path / "x.ovf").write_bytes(content.replace(first, word, 1))
        with pytest.raises(InputError, match=f"x.ovf.*{words}"):
            export.read_ovf(tmp_path / "x.ovf")


def test_damaged_and_foreign_fields_are_refused(tmp_path):
    export.save_ovf(field(), tmp_path / "m.ovf")
    content = (tmp_path / "m.ovf").read_bytes()
    begin = content.index(b"Binary 8\n") + len(b"Binary 8\n")
    for changed, words in (
        (b"# OOMMF OVF 1.0" + content[15:], "no OVF 2.0"),
        (content[: begin + 80], "cut off"),
        (content[: begin - 20], "no data block"),
        (content[:begin] + bytes(8) + content[begin + 8 :], "damaged"),
        (content.replace(b"# xnodes: 4\n", b""), "xnodes"),
        (content.replace(b"# xnodes: 4\n", b"# xnodes: -4\n"), r"\[-4, 3, 2\] nodes"),
        (content.replace(b"# xnodes: 4\n", b"# xnodes: 4.5\n"), "4.5"),
        (content.replace(b"valuedim: 3", b"valuedim: 0"), "of 0 components"),
        (content.replace(b"meshunit: m", b"meshunit: nm"), "meshunit 'nm'"),
        (content.replace(b"valueunits: 1 1 1", b"valueunits: T J J"), "components in J, T"),
        (content.replace(b"xstepsize: 1e-09", b"xstepsize: 0"), r"x\.ovf.*cell"),
        (content.replace(b"rectangular", b"irregular"), "irregular"),
    ):
        (tmp_path / "x.ovf").write_bytes(changed)
        with pytest.raises(InputError, match=words):
            export.read_ovf(tmp_path / "x.ovf")
    with pytest.raises(InputError, match="representation"):
        export.save_ovf(field(), tmp_path / "y.ovf", representation="Binary 2")
    with pytest.raises(InputError, match="values holds nan"):
        export.VectorField(values=np.full((1, 1, 1, 3), np.nan), cell=(1, 1, 1))
    with pytest.raises(InputError, match="values has shape"):
        export.VectorField(values=np.ones((2, 3)), cell=(1, 1, 1))
    with pytest.raises(InputError, match="labels"):
        export.VectorField(values=np.ones((1, 1, 1, 2)), cell=(1, 1, 1))
    with pytest.raises(InputError, match="cell"):
        export.VectorField(values=np.ones((1, 1, 1, 3)), cell=(1, 0, 1))

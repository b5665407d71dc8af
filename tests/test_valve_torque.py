"""Spin valves of real metals: circuit theory at every momentum, its signs and identities, and the driver."""

import contextlib
import csv
import dataclasses
import importlib
import io
import math
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line, plot, store, validation
from qtorque.brillouin import SYMMETRIES
from qtorque.spin import direction_at
from qtorque.units import conductance_per_area, torkance_per_area
from qtorque.validation.incoherent import incoherent_currents
from qtorque.validation.models import QUANTITIES, predictions
from qtorque.validation.specular import NO_ISOTROPY, smooth_weights
from qtorque.validation.studies import NO_CORRECTION

ROOT = Path(__file__).parents[1]
VALVE = ROOT / "systems" / "co_cu_co_valve.py"
EXIT_INTERRUPTED = 75
ROUNDING = 1e-10
"""Two algebraic routes through matrices of order one; relative to the largest value."""
ROUTES = 1e-9
"""Two routes through stacks of nine orbitals, relative to the largest value; rounding is below 1e-12."""
HARDLY = 1e-5
"""Relative; what is left of digits where a spin passes with a probability of some 1e-7."""
THICKNESSES = 30
PHASES = 0.02
"""What smooth weights over these thicknesses leave of the interference in a valve of one band, relative."""
NOT_MIXED = 0.05
"""Relative; circuit theory of three unlike momenta together differs by more from that of each."""
ANGLES = [0.4, 1.3, 2.6]
MODELS = [validation.PER_MOMENTUM, validation.CIRCUIT, validation.UNCORRECTED]
N = qt.single_band(onsite=2.5, hopping=-1.0, lattice_constant=0.3)
F = qt.single_band(onsite=2.75, exchange=2.5, hopping=-1.0, lattice_constant=0.3)
G = qt.single_band(onsite=2.2, exchange=1.0, hopping=-1.0, lattice_constant=0.3)
GENERIC = qt.kpoints([[0.2, -0.9]])
"""Where the phase of a round trip through the spacer repeats with no small number of layers."""
MOMENTA = qt.kpoints([[0.2, -0.9], [1.0, 1.2], [2.0, 0.1]])
SMALL = ["fixed_layers=3", "free_layers=2"]
COUNTS = [4, 5, 6, 7]
SYSTEM = """
import qtorque as qt

def build(*, fixed_layers=2, spacer_layers=3, free_layers=2, onsite=2.5, half=0.0, other=0.0, sheet=0, wide=0):
    N, F, G, S = (
        qt.single_band(onsite=e, exchange=d, hopping=-1.0, lattice_constant=0.3)
        for e, d in ((onsite, 0), (onsite + 0.25 + half / 2, 2.5 + half), (onsite - 0.3, 1.0), (onsite - other, 0))
    )
    parts = [("fixed", F, fixed_layers), ("fixed", G, fixed_layers and 1), ("spacer", S, spacer_layers)]
    if sheet and fixed_layers and free_layers:
        parts.append(("sheet", qt.single_band(onsite=onsite + 3, hopping=-1.0, lattice_constant=0.3), 1))
    parts.append(("free", F, free_layers))
    def cell(m):
        return qt.in_plane_supercell([[m, m], [m, m]]) if wide else m
    layers = [qt.Layer(cell(m), n, name=x, magnet=x if m.magnetic else None) for x, m, n in parts if n]
    return qt.Stack(left=qt.Lead(cell(N)), layers=layers, right=qt.Lead(cell(N)))
"""
TINY = ["--symmetry", "square", "--kmesh", "6", "--layers", "4:7", "--angle", "0,pi/4,pi/2,3*pi/4,pi", "--quiet"]
WIDE = ["--set", "wide=1", "--symmetry", "none", "--kmesh", "3", "--layers", "4:7", "--angle", "0,1,2,3", "--quiet"]
ENDS = 1e-6
"""Relative; the driver takes the conductance at 0 and pi 2e-4 beside them."""


def toy(fixed, spacer, free):
    """A valve of one band, or a part of it where the others are 0. The fixed magnet is not the same from both sides."""
    parts = [("fixed", F, fixed), ("fixed", G, fixed and 1), ("spacer", N, spacer), ("free", F, free)]
    layers = [qt.Layer(m, n, name=name, magnet=name if m.magnetic else None) for name, m, n in parts if n]
    return qt.Stack(left=qt.Lead(N), layers=layers, right=qt.Lead(N))


def slabs(momenta):
    """Both magnets of the toy alone."""
    return [qt.solve(stack, kmesh=momenta) for stack in (toy(2, 0, 0), toy(0, 0, 2))]


def valve(**parameters):
    """The valve of the driver's small run, other parameters by name."""
    return command_line.load_system(VALVE, [*SMALL, *(f"{name}={value}" for name, value in parameters.items())])


def circuit(parts, **corrected):
    return validation.clean_valve(*(qt.interface_parameters(s, sharvin_corrected=False) for s in parts), **corrected)


def assert_rows_close(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < tolerance * np.abs(other).max()


def drive(*arguments):
    """What the driver prints, run in this process."""
    script = str(ROOT / "drivers" / "valve_torque.py")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.syspath_prepend(ROOT / "drivers")
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(script, run_name="__main__")
    return printed.getvalue()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """The toy as a file of the driver."""
    path = tmp_path_factory.mktemp("system") / "toy_valve.py"
    path.write_text(SYSTEM)
    return path


@pytest.fixture(scope="module")
def small_run(system, tmp_path_factory):
    """A small run of the driver: what it printed, its numbers, the prefix of its files."""
    prefix = tmp_path_factory.mktemp("valve") / "x"
    printed = drive(system, *TINY, "-o", prefix)
    return printed, store.load_dataset(f"{prefix}_valve_torque.nc"), prefix


def test_the_theory_of_intensities_is_corrected_circuit_theory_at_one_momentum():
    parts = slabs(GENERIC)
    expected = predictions(circuit(parts), ANGLES)
    assert np.abs(expected).min() > 0
    np.testing.assert_allclose(validation.incoherent_quantities(*parts, ANGLES), expected, rtol=ROUNDING)


def test_it_sums_circuits_of_momenta_and_is_not_the_circuit_of_their_sum():
    found = validation.incoherent_quantities(*slabs(MOMENTA), ANGLES)
    momenta = [qt.kpoints(MOMENTA.points[i : i + 1]) for i in range(MOMENTA.size)]
    one_by_one = np.mean([predictions(circuit(slabs(k)), ANGLES) for k in momenta], axis=0)
    assert_rows_close(found, one_by_one, ROUNDING)
    mixed = predictions(circuit(slabs(MOMENTA)), ANGLES)
    assert np.abs(mixed[0] / found[0] - 1).max() > NOT_MIXED


def test_the_contact_resistance_of_the_spacer_is_taken_off_once_for_each_magnet():
    parts = slabs(GENERIC)
    p, q = (qt.interface_parameters(s, sharvin_corrected=False) for s in parts)
    # Collinear magnets conduct spin by spin, one after the other; each counts half a contact to the spacer.
    bare = [
        1 / (1 / getattr(p, name) + 1 / getattr(q, name)) for name in ("conductance_up", "conductance_down")
    ]  # fmt: skip
    corrected = [1 / (1 / g - 1 / p.sharvin_left[0]) for g in bare]
    for kind, expected in ((False, bare), (True, corrected)):
        (found,) = predictions(circuit(parts, sharvin_corrected=kind), [0.0])[0]
        assert found == pytest.approx(conductance_per_area(sum(expected), p.area), rel=ROUNDING)


def test_the_mean_over_thicknesses_of_a_clean_spacer_tends_to_the_theory_of_intensities():
    total = np.zeros((len(QUANTITIES), len(ANGLES)))
    for weight, count in zip(smooth_weights(THICKNESSES), range(4, 4 + THICKNESSES), strict=True):
        stack = toy(2, count, 2)
        d = qt.linear_torkance(stack, angle=ANGLES, kmesh=GENERIC)
        torques = [torkance_per_area(d[name].values, stack.area) for name in QUANTITIES[1:]]
        total += weight * np.array([conductance_per_area(d["conductance"].values, stack.area), *torques])
    assert_rows_close(total, validation.incoherent_quantities(*slabs(GENERIC), ANGLES), PHASES)


def test_charge_flows_on_and_each_magnet_takes_up_spin_across_itself_alone():
    left, spacer, right = incoherent_currents(*slabs(MOMENTA), 1.1)
    np.testing.assert_allclose(left[0], spacer[0], rtol=ROUNDING)
    np.testing.assert_allclose(right[0], spacer[0], rtol=ROUNDING)
    p, m = np.array([0.0, 0.0, 1.0]), direction_at(1.1, [0.0, 0.0, 1.0])
    scale = np.abs(spacer).max()
    assert np.abs(p @ (left - spacer)[1:]).max() < ROUNDING * scale
    assert np.abs(m @ (spacer - right)[1:]).max() < ROUNDING * scale
    assert np.abs((spacer - right)[1:]).max() > NOT_MIXED * scale


def test_momenta_without_channel_carry_nothing():
    closed = qt.kpoints([[0.2, -0.9], [math.pi, math.pi]], [1.0, 1.0])
    parts = slabs(closed)
    assert parts[0].open_channels[1].max() == 0
    assert np.abs(incoherent_currents(*parts, 1.1)[..., 1]).max() == 0
    expected = validation.incoherent_quantities(*slabs(GENERIC), ANGLES)
    np.testing.assert_allclose(validation.incoherent_quantities(*parts, ANGLES), expected, rtol=ROUNDING)


def test_several_channels_and_turned_magnets_are_refused():
    cell = qt.in_plane_supercell([[N, N], [N, N]])
    two = qt.kpoints([[2.0, 0.0]])
    wide = qt.solve(qt.Stack(left=qt.Lead(cell), layers=[], right=qt.Lead(cell)), kmesh=two)
    with pytest.raises(qt.InputError, match="one normal channel"):
        incoherent_currents(wide, wide, 1.0)
    along_x = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F, 2, magnetization=(1, 0, 0))], right=qt.Lead(N))
    turned = qt.solve(along_x, kmesh=GENERIC)
    with pytest.raises(qt.InputError, match="along z"):
        incoherent_currents(turned, turned, 1.0)


def test_both_routes_to_the_torque_on_cobalt_layers_agree():
    k = qt.kpoints(np.random.default_rng(3).uniform(0, 2 * math.pi, (2, 2)))
    d = qt.layer_torque(valve(spacer_layers=2), angle=1.0, voltage=0.02, kmesh=k, tolerance=1e-2)
    largest = float(np.abs(d["torque"]).max())
    assert largest > 0
    assert float(np.abs(d["torque"] - d["torque_exchange"]).max()) < ROUTES * largest


def test_currents_of_either_sign_push_the_equal_magnets_of_a_valve_alike():
    # Inversion takes k to -k and left to right: tau_R(V) = tau_L(-V) of the sum over both momenta, not of each.
    stack = valve(free_layers=3, spacer_layers=3)
    pair = qt.linear_torkance(stack, angle=ANGLES, kmesh=qt.kpoints([[1.3, 2.1], [-1.3, -2.1]]))
    for part in ("damping_like", "field_like"):
        assert_rows_close([pair[part].values], [-pair[f"{part}_fixed"].values], ROUTES)


def response(stack, angle, mesh):
    """`QUANTITIES` of a stack, SI."""
    d = qt.linear_torkance(stack, angle=angle, kmesh=mesh)
    torques = [torkance_per_area(d[name].values, stack.area) for name in QUANTITIES[1:]]
    return np.array([conductance_per_area(d["conductance"].values, stack.area), *torques])


def test_the_driver_averages_what_the_library_finds_and_its_error_is_how_the_mean_changes(small_run):
    _, d, _ = small_run
    assert d["route"].values.tolist() == ["quantum transport", *MODELS]
    angle, inside = d["angle"].values, slice(1, -1)
    fine, coarse = (
        np.array([response(toy(2, n, 2), angle, qt.kmesh(side)) for n in COUNTS]) for side in (6, 4)
    )  # fmt: skip
    # Four thicknesses weigh sin^2(pi/8), sin^2(3 pi/8), ...; three 1/6, 2/3, 1/6.
    root = math.sqrt(0.5)
    four, three = np.array([1 - root, 1 + root, 1 + root, 1 - root]) / 4, np.array([1, 4, 1]) / 6
    mean, rough = np.tensordot(four, fine, axes=1), np.tensordot(four, coarse, axes=1)
    windows = [np.tensordot(three, fine[i : i + 3], axes=1) for i in range(2)]
    own = d.sel(route="quantum transport")

    def error(function):
        changes = [np.abs(function(window) - function(mean)) for window in windows]
        return np.hypot(np.max(changes, axis=0), np.abs(function(rough) - function(mean)))

    for row, name in enumerate(QUANTITIES):
        np.testing.assert_allclose(d[f"{name}_of_layers"][:, inside], fine[:, row, inside], rtol=ROUTES)
        np.testing.assert_allclose(own[name][inside], mean[row, inside], rtol=ROUTES)
        expected = error(lambda curve, row=row: curve[row])
        np.testing.assert_allclose(own[f"{name}_error"][inside], expected[inside], rtol=ENDS)
    np.testing.assert_allclose(own["conductance"], mean[0], rtol=ENDS)
    expected = error(lambda curve: curve[1] / curve[0])[inside]
    np.testing.assert_allclose(own["damping_like_per_current_error"][inside], expected, rtol=ENDS)
    # Of a model only the mesh changes; in its difference from transport what both have in common is left out.
    slabs_of = [[qt.solve(x, kmesh=qt.kmesh(n)) for x in (toy(2, 0, 0), toy(0, 0, 2))] for n in (6, 4)]
    each = [validation.incoherent_quantities(*x, angle[inside])[0] for x in slabs_of]
    model = d.sel(route=validation.PER_MOMENTUM)
    np.testing.assert_allclose(model["conductance_error"][inside], np.abs(each[0] - each[1]), rtol=ENDS)
    spread = np.max([np.abs(window - mean)[0] for window in windows], axis=0)[inside]
    common = (each[0] - mean[0, inside]) - (each[1] - rough[0, inside])
    found = d["conductance_difference_error"].sel(model=validation.PER_MOMENTUM)[inside]
    np.testing.assert_allclose(found, np.hypot(spread, common), rtol=ENDS)


def test_the_models_of_the_driver_are_those_of_the_magnets_it_saves(small_run):
    _, d, prefix = small_run
    fixed, free = (qt.InterfaceParameters.load(f"{prefix}_{name}.nc") for name in ("fixed", "free"))
    angle = d["angle"].values[1:-1]
    inside = {model: np.array([d[x].sel(route=model).values[1:-1] for x in QUANTITIES]) for model in MODELS}
    for model, corrected in ((validation.CIRCUIT, True), (validation.UNCORRECTED, False)):
        expected = predictions(validation.clean_valve(fixed, free, sharvin_corrected=corrected), angle)
        np.testing.assert_allclose(inside[model], expected, rtol=ROUTES)
    alone = slabs(qt.kmesh(6))
    for saved, s in zip((fixed, free), alone, strict=True):
        own = qt.interface_parameters(s, sharvin_corrected=False)
        assert saved.mixing_conductance == pytest.approx(own.mixing_conductance, rel=ROUTES)
        assert saved.conductance_down == pytest.approx(own.conductance_down, rel=ROUTES)
        assert '"kmesh": 6' in saved.attributes["configuration"]
    assert_rows_close(inside[validation.PER_MOMENTUM], validation.incoherent_quantities(*alone, angle), ROUTES)
    # The lines of the figure pass through the models.
    middle = float(d["angle"][2])
    for name in ("conductance", "damping_like", "field_like_per_current"):
        lines = d[f"{name}_curve"].sel(curve_angle=middle, method="nearest")
        np.testing.assert_allclose(lines, d[name].sel(route=MODELS).isel(angle=2), rtol=ROUTES)


def test_lambda_and_p_are_those_of_the_torque_per_current(small_run):
    _, d, _ = small_run
    # Slonczewski: tau = (hbar I/2e) 2 epsilon, epsilon = P Lambda^2/((Lambda^2 + 1) + (Lambda^2 - 1) cos(angle)).
    inside = d.isel(angle=slice(1, -1))
    square = inside["Lambda"] ** 2
    epsilon = inside["polarization"] * square / ((square + 1) + (square - 1) * np.cos(inside["angle"]))
    expected = inside["damping_like"] / inside["conductance"]
    np.testing.assert_allclose(inside["damping_like_per_current"], expected, rtol=ROUNDING)
    at_each = inside["damping_like_of_layers"] / inside["conductance_of_layers"]
    np.testing.assert_allclose(inside["damping_like_per_current_of_layers"], at_each, rtol=ROUNDING)
    largest = np.abs(expected).max("angle")
    assert float((np.abs(2 * epsilon - expected) - (inside["misfit"] + ROUTES) * largest).max()) < 0
    np.testing.assert_allclose(2 * d["epsilon_prime"], inside["field_like_per_current"].mean("angle"), rtol=ROUTES)
    for name in ("polarization", "Lambda", "epsilon_prime"):
        assert (d[f"{name}_error"] > 0).all(), name


def test_every_number_of_the_driver_has_a_unit_and_a_name_and_there_is_no_torque_at_the_ends(small_run):
    printed, d, prefix = small_run
    for name, variable in d.data_vars.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
    assert np.isnan(d["damping_like"].isel(angle=[0, -1])).all()
    assert np.isfinite(d["damping_like"].isel(angle=slice(1, -1))).all()
    assert np.isfinite(d["conductance"]).all()
    assert d.attrs["shifted_weight"] == 0
    text = Path(f"{prefix}_valve_torque.md").read_text()
    assert text.strip() in printed
    assert f"| {valve_module().number(float(d['Lambda'][0]), float(d['Lambda_error'][0]))} |" in text
    assert Path(f"{prefix}_valve_torque.png").stat().st_size > 0


def test_every_verdict_is_of_its_own_model_and_its_error_and_reason_are_told(small_run):
    printed, d, prefix = small_run
    with open(f"{prefix}_valve_torque.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # Three models of the conductance at five angles, of four torques at three.
    assert len(rows) == 3 * (5 + 4 * 3)
    conductance = [row for row in rows if row["quantity"] == "conductance"]
    for row in conductance:
        at = d.sel(angle=math.radians(float(row["at"])), method="nearest")
        quantum, model = (at.sel(route=name) for name in ("quantum transport", row["model"]))
        for name, expected in (
            ("quantum", quantum["conductance"]), ("quantum_error", quantum["conductance_error"]),
            ("found", model["conductance"]), ("found_error", model["conductance_error"]),
            ("deviation", model["conductance"] / quantum["conductance"] - 1),
            ("deviation_error", at["conductance_difference_error"].sel(model=row["model"]) / quantum["conductance"]),
        ):  # fmt: skip
            assert float(row[name]) == pytest.approx(float(expected), rel=ROUTES, abs=ROUNDING), name


def test_a_failure_is_explained_by_the_model_without_its_assumption(small_run):
    _, d, _ = small_run
    certain = d.assign({name: 0 * d[name] for name in d.data_vars if name.endswith("_error")})

    def lines_of(d):
        found = {m: np.array([d[x].sel(route=m).values for x in QUANTITIES]) for m in d["model"].values}
        section = validation.Section(title="", text="", comparisons=valve_module().comparisons_of(d, [found, found]))
        return [line for line in validation.as_text([section]) if line.startswith("  conductance ")]

    _, of_circuit, of_uncorrected = lines_of(certain)
    share = {m: d["conductance"].sel(route=m) / d["conductance"].sel(route="quantum transport") - 1 for m in MODELS}
    for line, reason, better in (
        (of_circuit, NO_ISOTROPY, validation.PER_MOMENTUM), (of_uncorrected, NO_CORRECTION, validation.CIRCUIT),
    ):  # fmt: skip
        place = math.radians(float(re.search(r" at (\S+) deg", line)[1]))
        assert reason in line
        assert f"without it {100 * float(share[better].sel(angle=place, method='nearest')):+.2g} %" in line
    # Without circuit theory at every momentum nothing tells whether momenta are the reason.
    untested, of_uncorrected = lines_of(certain.sel(route=["quantum transport", *MODELS[1:]], model=MODELS[1:]))
    assert f": not tested here: {NO_ISOTROPY}" in untested
    assert "not tested" not in of_uncorrected


def test_the_figure_shows_torques_with_sin_angle(small_run):
    _, d, _ = small_run
    panel = plot.spin_valve_torque(d).axes[1]
    line = panel.get_lines()[0].get_ydata()
    expected = d["damping_like_curve"][0] * np.sin(d["curve_angle"]) / 1e15
    np.testing.assert_allclose(line[1:-1], expected[1:-1], rtol=ROUNDING)
    assert line[0] == line[-1] == 0


def test_several_channels_and_momenta_on_a_band_edge_are_told(system, tmp_path):
    # The bands of the wider cell meet at the edges of its smaller zone.
    with pytest.raises(SystemExit) as ended:
        drive(system, *WIDE, "-o", tmp_path / "x")
    assert ended.value.code == 3
    d = store.load_dataset(tmp_path / "x_valve_torque.nc")
    assert d["model"].values.tolist() == MODELS[1:]
    text = (tmp_path / "x_valve_torque.md").read_text()
    assert "Circuit theory at every momentum is left out: a momentum has 2 channels" in text
    assert d.attrs["shifted_weight"] > 0.01
    assert "band edges" in text
    leads = qt.InterfaceParameters.load(tmp_path / "x_fixed.nc")
    most = conductance_per_area(sum(leads.sharvin_left), leads.area)
    assert float(d["conductance_of_layers"].min()) > 0
    assert float(d["conductance_of_layers"].max()) < most


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--set", "other=0.5"], "one metal"),
        (["--set", "sheet=1"], "one after the other"),
        (["--set", "half=60.0", "--set", "fixed_layers=9"], "both spins"),
        (["--layers", "4,6,8,10"], "--layers 4,6,8,10"),
        (["--kmesh", "2"], "--kmesh 2"),
        (["--symmetry", "trigonal"], "--symmetry trigonal"),
        (["--symmetry", "cubic"], "--symmetry"),
    ],
)
def test_what_makes_no_comparison_is_refused_before_a_sweep(system, tmp_path, capsys, changed, named):
    with pytest.raises(SystemExit) as refused:
        drive(system, *TINY, *changed, "--dry-run", "-o", tmp_path / "x")
    assert refused.value.code == 2
    assert named in capsys.readouterr().err


def test_a_dry_run_counts_both_meshes_and_all_thicknesses(system, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "drivers")
    monkeypatch.setattr(importlib.import_module("_stages"), "seconds_of", lambda work: 1.0)
    printed = drive(system, *TINY, "--dry-run", "-o", tmp_path / "x")
    # 6 momenta of the full square symmetry on the mesh of 6, on which it is measured, and 3 on that of 4.
    assert "4 thicknesses x 9 k-points on two meshes x 5 angles, about 6 s on one core" in printed


def test_numbers_are_printed_to_two_digits_of_their_error(monkeypatch):
    number = valve_module().number
    assert [number(0.56901, 0.0014), number(0.5, 0.0314), number(12.3, 4.0)] == [
        "0.5690 +- 0.0014", "0.500 +- 0.031", "12.3 +- 4.0",
    ]  # fmt: skip
    assert [number(math.nan, 1.0), number(0.5, 0.0)] == ["", "0.5000"]


def test_the_driver_offers_the_symmetries_of_the_library():
    script = ROOT / "drivers" / "valve_torque.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "drivers")
        assert runpy.run_path(str(script))["SYMMETRIES"] == ("none", *SYMMETRIES)


def valve_module():
    """The tables of the driver."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "drivers")
        return importlib.import_module("_valve")


def test_slabs_that_do_not_belong_together_are_refused():
    fixed, free = slabs(MOMENTA)
    elsewhere = slabs(qt.kpoints(MOMENTA.points, [1.0, 2.0, 3.0]))[1]
    with pytest.raises(qt.InputError, match="at the same momenta"):
        incoherent_currents(fixed, elsewhere, 1.0)
    with pytest.raises(qt.InputError, match="at the same momenta"):
        incoherent_currents(fixed, qt.solve(toy(0, 0, 2), energy=0.1, kmesh=MOMENTA), 1.0)
    with pytest.raises(qt.InputError, match="angle"):
        incoherent_currents(fixed, free, math.nan)
    with pytest.raises(qt.InputError, match="angle"):
        validation.incoherent_quantities(fixed, free, [])
    p, q = (qt.interface_parameters(s, sharvin_corrected=False) for s in (fixed, free))
    with pytest.raises(qt.InputError, match="scattering values"):
        validation.clean_valve(qt.without_sharvin_resistance(p), q)
    with pytest.raises(qt.InputError, match="in-plane cell"):
        validation.clean_valve(p, dataclasses.replace(q, area=2 * q.area))


def test_a_spin_that_hardly_passes_counts_all_the_same():
    barrier = qt.single_band(onsite=8.0, exchange=11.0, hopping=-1.0, lattice_constant=0.3)
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(barrier, 4)], right=qt.Lead(N))
    s = qt.solve(stack, kmesh=GENERIC)
    p = qt.interface_parameters(s, sharvin_corrected=False)
    assert 1e-9 < p.conductance_down < 1e-5
    found = validation.incoherent_quantities(s, s, [math.pi - 0.01])
    # Of an antiparallel valve the spin that hardly passes decides.
    np.testing.assert_allclose(found, predictions(circuit([s, s]), [math.pi - 0.01]), rtol=HARDLY)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(small_run, system, within, tmp_path):
    _, d, _ = small_run
    arguments = ["valve_torque", system, *TINY, "-o", tmp_path / "x"]
    assert within(*arguments, "--max-seconds", "1e-3").returncode == EXIT_INTERRUPTED
    assert not list(tmp_path.glob("*.nc"))
    run = within(*arguments)
    assert run.returncode == 0, run.stderr
    again = store.load_dataset(tmp_path / "x_valve_torque.nc")
    for name in d.variables:
        assert again[name].values.tobytes() == d[name].values.tobytes(), name

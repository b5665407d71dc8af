"""Spin valves of real metals: circuit theory at every momentum, its signs and identities, and the driver."""

import contextlib
import io
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line, store, validation
from qtorque.spin import direction_at
from qtorque.units import conductance_per_area, torkance_per_area
from qtorque.validation.incoherent import incoherent_currents
from qtorque.validation.models import QUANTITIES, predictions
from qtorque.validation.specular import smooth_weights

ROOT = Path(__file__).parents[1]
VALVE = ROOT / "systems" / "co_cu_co_valve.py"
EXIT_INTERRUPTED = 75
ROUNDING = 1e-10
"""Two algebraic routes through matrices of order one; relative to the largest value."""
ROUTES = 1e-9
"""Two routes through stacks of nine orbitals, relative to the largest value; rounding is below 1e-12."""
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
TINY = [
    VALVE, *(text for setting in SMALL for text in ("--set", setting)), "--kmesh", "2", "--layers", "2:4",
    "--angle", "0,pi/4,pi/2,3*pi/4,pi",
]  # fmt: skip


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


def cobalt_slabs(momenta):
    """Both magnets of `valve` alone."""
    return [qt.solve(valve(spacer_layers=0, **{name: 0}), kmesh=momenta) for name in ("free_layers", "fixed_layers")]


def circuit(parts, **corrected):
    return validation.clean_valve(*(qt.interface_parameters(s, sharvin_corrected=False) for s in parts), **corrected)


def assert_rows_close(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < tolerance * np.abs(other).max()


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A small run of the driver: what it printed, its numbers, the prefix of its files."""
    prefix = tmp_path_factory.mktemp("valve") / "x"
    script = str(ROOT / "drivers" / "valve_torque.py")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.syspath_prepend(ROOT / "drivers")
        patch.setattr(sys, "argv", [script, *map(str, TINY), "-o", str(prefix), "--quiet"])
        runpy.run_path(script, run_name="__main__")
    return printed.getvalue(), store.load_dataset(f"{prefix}_valve_torque.nc"), prefix


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


def test_the_driver_averages_what_the_library_finds_at_every_thickness(small_run):
    _, d, _ = small_run
    assert d["route"].values.tolist() == ["quantum transport", *MODELS]
    stack = valve(spacer_layers=3)
    own = qt.linear_torkance(stack, angle=[math.pi / 4, math.pi / 2], kmesh=qt.kmesh(2))
    middle = d.sel(layers=3).isel(angle=[1, 2])
    for name in QUANTITIES[1:]:
        expected = torkance_per_area(own[name].values, stack.area)
        assert_rows_close([middle[f"{name}_of_layers"].values], [expected], ROUTES)
    conductance = conductance_per_area(own["conductance"].values, stack.area)
    np.testing.assert_allclose(middle["conductance_of_layers"], conductance, rtol=ROUTES)
    for name in QUANTITIES:
        mean = np.tensordot(smooth_weights(3), d[f"{name}_of_layers"].values, axes=1)
        np.testing.assert_allclose(d[name].sel(route="quantum transport"), mean, rtol=ROUNDING)
    # The error is the change from the thinner half, here 2 and 3 layers, which smooth weights count alike.
    thinner = d["conductance_of_layers"].sel(layers=[2, 3]).mean("layers")
    expected = np.abs(d["conductance"].sel(route="quantum transport") - thinner)
    np.testing.assert_allclose(d["conductance_error"], expected, rtol=ROUTES)


def test_the_models_of_the_driver_are_those_of_the_magnets_it_saves(small_run):
    _, d, prefix = small_run
    fixed, free = (qt.InterfaceParameters.load(f"{prefix}_{name}.nc") for name in ("fixed", "free"))
    angle = d["angle"].values[1:-1]
    inside = {model: np.array([d[x].sel(route=model).values[1:-1] for x in QUANTITIES]) for model in MODELS}
    for model, corrected in ((validation.CIRCUIT, True), (validation.UNCORRECTED, False)):
        expected = predictions(validation.clean_valve(fixed, free, sharvin_corrected=corrected), angle)
        np.testing.assert_allclose(inside[model], expected, rtol=ROUTES)
    alone = cobalt_slabs(qt.kmesh(2))
    for saved, s in zip((fixed, free), alone, strict=True):
        own = qt.interface_parameters(s, sharvin_corrected=False)
        assert saved.mixing_conductance == pytest.approx(own.mixing_conductance, rel=ROUTES)
        assert saved.conductance_down == pytest.approx(own.conductance_down, rel=ROUTES)
    assert_rows_close(inside[validation.PER_MOMENTUM], validation.incoherent_quantities(*alone, angle), ROUTES)


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
    # A symmetric circuit has this form. These magnets are unlike, and all but have it.
    assert float(inside["misfit"].sel(route=validation.CIRCUIT)) < NOT_MIXED


def test_every_number_of_the_driver_has_a_unit_and_a_name_and_there_is_no_torque_at_the_ends(small_run):
    printed, d, prefix = small_run
    for name, variable in d.data_vars.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
    assert np.isnan(d["damping_like"].isel(angle=[0, -1])).all()
    assert np.isfinite(d["damping_like"].isel(angle=slice(1, -1))).all()
    assert np.isfinite(d["conductance"]).all()
    text = Path(f"{prefix}_valve_torque.md").read_text()
    assert text.strip() in printed
    assert f"{float(d['Lambda'][0]):.4f}" in text
    lines = Path(f"{prefix}_valve_torque.csv").read_text().splitlines()
    # Three models of the conductance at five angles, of four torques at three.
    assert len(lines) == 1 + 3 * (5 + 4 * 3)
    assert Path(f"{prefix}_valve_torque.png").stat().st_size > 0


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(small_run, within, tmp_path):
    _, d, _ = small_run
    arguments = ["valve_torque", *TINY, "--quiet", "-o", tmp_path / "x"]
    assert within(*arguments, "--max-seconds", "1e-3").returncode == EXIT_INTERRUPTED
    assert not list(tmp_path.glob("*.nc"))
    run = within(*arguments)
    assert run.returncode == 0, run.stderr
    again = store.load_dataset(tmp_path / "x_valve_torque.nc")
    for name in d.variables:
        assert again[name].values.tobytes() == d[name].values.tobytes(), name

"""Transverse spin in a magnet: wave lengths at one momentum and after the sum over k, dephasing; two drivers."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from cubic_zone import in_plane_energies

import qtorque as qt
from qtorque import store
from qtorque.bloch import as_layered

ROOT = Path(__file__).parents[1]
PERIOD = 0.02
"""Relative, of a period read off a finite depth."""
ROUTES = 1e-8
"""eV/V per cell: differences of spin currents of 1e-3 eV/V per cell, with energy integrals good to 1e-6 of them."""
FINE_MESH = 2e-3
"""Relative, of what meshes of 600 and 1200 miss, where a channel closes or a thick film has narrow resonances."""
PLANE = 5e-3
"""Relative to the largest spin current: 48 nodes in pieces that end at the bands of zero voltage, not of 10 mV."""
REFINED_OR_32 = [((), 1e-5), ((qt.kmesh(32),), None)]
"""Momenta and tolerance of a refined sum and of one over the mesh that was once the default."""
PRINTED = 1e-5
"""Relative, of a printed number of seven digits and energy integrals good to 1e-6 of the largest spin current."""
MAGNET = {"onsite": 4.3, "exchange": 2.6}
"""Majority 3.0, minority 5.6 eV: at k = 0 both spins are open, and k_up - k_dn is stationary there."""


@pytest.fixture(scope="module")
def drivers():
    """The modules drivers/layer_profile.py, drivers/transmitted_mixing.py and drivers/coupling.py by name."""
    sys.path.insert(0, str(ROOT / "drivers"))
    try:
        import coupling
        import layer_profile
        import transmitted_mixing
    finally:
        sys.path.remove(str(ROOT / "drivers"))
    return {"coupling": coupling, "layer_profile": layer_profile, "transmitted_mixing": transmitted_mixing}


def wave_numbers(k=(0.0, 0.0)):
    """(k_up, k_dn) in the magnet at the Fermi energy, rad per layer, of the waves that run towards +z."""
    d = qt.complex_bands(qt.single_band(**MAGNET), energy=0.0, k=k).isel(energy=0, k=0)
    return [d["q"].sel(spin=s).values[d["velocity"].sel(spin=s).values > 0].item().real for s in ("up", "down")]


def thick_magnet(depth):
    """F | N N | F(depth) and on: nothing comes back from the end of the free magnet."""
    magnet, normal = qt.single_band(**MAGNET), qt.single_band(onsite=2.5)
    return as_layered(
        qt.Stack(
            left=qt.Lead(magnet),
            layers=[qt.Layer(normal, 2, name="N"), qt.Layer(magnet, depth, name="F", magnet="free")],
            right=qt.Lead(magnet, magnet="free"),
        )
    )


def film(layers):
    """N | F(layers) | N."""
    normal = qt.single_band(onsite=2.5)
    return qt.Stack(
        left=qt.Lead(normal), layers=[qt.Layer(qt.single_band(**MAGNET), layers)], right=qt.Lead(normal)
    )  # fmt: skip


def open_zone(nodes):
    """The zone where a majority exists, w < -1; the minority closes at w = -3.6. `nodes` in either piece."""
    return in_plane_energies([-4.0, -3.6, -1.0], [nodes, nodes])


def inside(d):
    """Complex transverse spin current DL + i FL at the cuts within the free magnet."""
    free = np.flatnonzero(d["magnet"].values == "free")
    parts = d["spin_current_response"].values[:, free[0] + 1 : free[-1] + 2]
    return parts[0] + 1j * parts[1]


def wave_number_of(values, power=0):
    """rad per layer, with its sign: the peak of the Fourier transform of n^power values under a Hann window."""
    n = np.arange(1, len(values) + 1)
    wave_number = np.linspace(-np.pi, np.pi, 20001)
    window = np.hanning(len(n) + 2)[1:-1] * n**power
    return wave_number[np.argmax(np.abs(np.exp(-1j * np.outer(wave_number, n)) @ (window * values)))]


OPTIONS = {"angle": np.pi / 2, "voltage": 1e-3, "tolerance": 1e-4}


def test_the_wave_numbers_are_those_of_the_bands():
    # cos q = (onsite - 4)/2 at k = 0; a hole-like and an electron-like band run with q > 0 both, as t < 0.
    up, down = wave_numbers()
    assert up == pytest.approx(np.arccos(-0.5))
    assert down == pytest.approx(np.arccos(0.8))


@pytest.mark.parametrize("k", [(0.0, 0.0), (0.35, 0.2)])
def test_transverse_spin_at_one_momentum_turns_with_the_difference_of_the_wave_numbers(k, drivers):
    d = drivers["layer_profile"].profile(thick_magnet(50), qt.kpoints([k]), **OPTIONS)
    up, down = wave_numbers(k)
    found = wave_number_of(inside(d))
    assert 2 * np.pi / abs(found) == pytest.approx(2 * np.pi / abs(up - down), rel=PERIOD)
    # It does not fall off at one momentum.
    size = np.abs(inside(d))
    assert size[-12:].max() > 0.9 * size[:12].max()


def test_after_the_sum_over_k_it_turns_with_the_stationary_point_and_falls_off(drivers):
    d = drivers["layer_profile"].profile(thick_magnet(48), open_zone(24), **OPTIONS)
    flow = inside(d)
    up, down = wave_numbers()
    assert abs(wave_number_of(flow[8:], power=1)) == pytest.approx(abs(up - down), rel=PERIOD)
    sizes = [np.sqrt(np.mean(np.abs(part) ** 2)) for part in np.array_split(flow, 4)]
    assert np.all(np.diff(sizes) < 0)
    assert sizes[-1] < 0.25 * sizes[0]


def test_the_spin_turns_about_the_magnetization_in_the_sense_of_the_wave_numbers(drivers):
    # Of a exp(i k_up l) up + b exp(i k_dn l) down, along m, <sigma_1 + i sigma_2> = 2 a* b exp(-i (k_up - k_dn) l) in
    # the right-handed frame (m x (p x m), m x p, m). The majority, lower in energy, has the larger k where hopping < 0.
    flow = inside(drivers["layer_profile"].profile(thick_magnet(30), qt.kpoints([[0.0, 0.0]]), **OPTIONS))
    up, down = wave_numbers()
    assert up > down
    assert wave_number_of(flow) == pytest.approx(-(up - down), rel=PERIOD)


def test_layer_torques_add_up_to_the_torkance_of_the_magnet(drivers):
    magnet, normal = qt.single_band(onsite=2.7, exchange=0.8), qt.single_band(onsite=2.5)
    stack = qt.Stack(
        left=qt.Lead(normal),
        layers=[qt.Layer(magnet, 2, magnet="a"), qt.Layer(normal, 2), qt.Layer(magnet, 3, magnet="b")],
        right=qt.Lead(normal),
    )
    angle, options = 1.1, {"kmesh": qt.kmesh(4), "tolerance": 1e-6}
    d = drivers["layer_profile"].profile(as_layered(stack), qt.kmesh(4), angle=angle, voltage=1e-2, tolerance=1e-6)
    sweep = qt.spin_torque(stack, angle=angle, voltage=[-1e-2, 1e-2], **options)
    total = d["torque_response"].isel(layer=(d["magnet"] == "free").values).sum("layer") / np.sin(angle)
    for part, name in (("damping-like", "damping_like"), ("field-like", "field_like")):
        minus, plus = sweep[name].values[0]
        assert abs(float(total.sel(part=part)) - (plus - minus) / 2e-2) < ROUTES
    assert abs(float(total.sel(part="damping-like"))) > 1e3 * ROUTES
    np.testing.assert_array_equal(np.flatnonzero(d["magnet"] == "fixed"), [1, 2])
    # Nothing without exchange takes a torque.
    assert np.abs(d["torque_response"].isel(layer=(d["magnet"] == "").values)).max() < ROUTES


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_table_adds_up_to_the_torkance_of_a_magnet_that_goes_on_in_a_lead(drivers, mirrored):
    magnet, normal = qt.single_band(onsite=2.7, exchange=0.8), qt.single_band(onsite=2.5)
    layers = [qt.Layer(magnet, 1, magnet="a"), qt.Layer(normal, 2), qt.Layer(magnet, 2, magnet="b")]
    ends = qt.Lead(normal), qt.Lead(magnet, magnet="b")
    left, right = reversed(ends) if mirrored else ends
    stack = qt.Stack(left=left, layers=layers[::-1] if mirrored else layers, right=right, free="b", fixed="a")
    angle, options = 1.1, {"kmesh": qt.kmesh(4), "tolerance": 1e-6}
    d = drivers["layer_profile"].profile(as_layered(stack), qt.kmesh(4), angle=angle, voltage=1e-2, tolerance=1e-6)
    sweep = qt.spin_torque(stack, angle=angle, voltage=[-1e-2, 1e-2], **options)
    (*_, rest, _) = drivers["layer_profile"].table(d)
    assert rest.startswith("rest, in the lead")
    # What is taken by the lead and all of it, of both parts.
    numbers = [float(x) for x in rest.removeprefix("rest, in the lead").split()]
    for (taken, total), name in zip((numbers[:2], numbers[2:]), ("damping_like", "field_like"), strict=True):
        minus, plus = sweep[name].values[0]
        assert total == pytest.approx(np.sin(angle) * (plus - minus) / 2e-2, rel=PRINTED)
        assert abs(taken) > 1e-2 * abs(total)


def test_the_table_of_a_magnet_between_layers_has_no_rest(drivers):
    d = drivers["layer_profile"].profile(as_layered(film_and_magnet()), qt.kmesh(4), **OPTIONS)
    assert not any(line.startswith("rest") for line in drivers["layer_profile"].table(d))


def film_and_magnet():
    magnet, normal = qt.single_band(onsite=2.7, exchange=0.8), qt.single_band(onsite=2.5)
    layers = [qt.Layer(magnet, 1), qt.Layer(normal, 2), qt.Layer(magnet, 2)]
    return qt.Stack(left=qt.Lead(normal), layers=layers, right=qt.Lead(normal))


def test_the_torkance_of_a_thick_magnet_is_that_of_a_semi_infinite_one(drivers):
    magnet, normal, oxide = qt.single_band(**MAGNET), qt.single_band(onsite=2.5), qt.single_band(onsite=9.0)
    fixed, barrier = qt.Lead(magnet), qt.Layer(oxide, 2, barrier=True)

    def torkances(layers, right):
        stack = qt.Stack(left=fixed, layers=[barrier, *layers], right=right)
        d = drivers["coupling"].at_one_thickness(
            stack, open_zone(16), voltage=0.01, temperature=0.0, tolerance=1e-4
        )  # fmt: skip
        return float(d["damping_like_torkance"]), float(d["field_like_torkance"])

    whole, none = torkances([], qt.Lead(magnet))
    (thin, thin_field), (thick, thick_field) = (torkances([qt.Layer(magnet, n)], qt.Lead(normal)) for n in (1, 12))
    assert thick == pytest.approx(whole, rel=0.05)
    assert thin < 0.85 * whole
    # A thin magnet between unlike leads breaks the mirror symmetry, and the spin that leaves it has turned.
    assert abs(none) < 1e-6 * whole
    assert abs(thin_field) > 0.5 * whole
    assert abs(thick_field) < 0.1 * whole


def transmitted(layers, kset):
    return complex(qt.k_average(qt.transmitted_mixing_conductance(qt.solve(film(layers), energy=0.0, kmesh=kset))))


@pytest.mark.parametrize("k", [(0.0, 0.0), (0.35, 0.2)])
def test_the_transmitted_mixing_conductance_winds_with_the_difference_of_the_wave_numbers(k):
    layers = np.arange(1, 37)
    values = np.array([transmitted(int(n), qt.kpoints([k])) for n in layers])
    up, down = wave_numbers(k)
    winding = np.polyfit(layers, np.unwrap(np.angle(values)), 1)[0]
    assert winding == pytest.approx(up - down, rel=PERIOD)
    assert wave_number_of(values) == pytest.approx(up - down, rel=PERIOD)
    # Perfect at one momentum: standing waves change its size, the thickness does not.
    assert np.abs(values[18:]).max() > 0.9 * np.abs(values[:18]).max()


def test_the_driver_averages_both_mixing_conductances_over_the_mesh(drivers):
    mesh = qt.kmesh(6)
    d = drivers["transmitted_mixing"].at_one_thickness(as_layered(film(3)), mesh)
    s = qt.solve(film(3), energy=0.0, kmesh=mesh)
    # Written out: sum over k of t_up t_dn^* and of 1 - r_up r_dn^*, one channel each; closed ones are zero.
    t, r = s.transmission_amplitudes("left", "right"), s.reflection("left")
    channels = s.open_channels[:, 0, 0]
    assert complex(d["transmitted_mixing_conductance"]) == pytest.approx(
        np.sum(mesh.weights * t[:, 0, 0, 0, 0] * t[:, 1, 1, 0, 0].conj()), abs=1e-13
    )
    assert complex(d["mixing_conductance"]) == pytest.approx(
        np.sum(mesh.weights * (channels - r[:, 0, 0, 0, 0] * r[:, 1, 1, 0, 0].conj())), abs=1e-13
    )


def test_the_transmitted_mixing_conductance_dephases_in_the_sum_over_k():
    layers, kset = np.arange(1, 43), open_zone(48)
    values = np.array([transmitted(int(n), kset) for n in layers])
    up, down = wave_numbers()
    assert wave_number_of(values, power=1) == pytest.approx(up - down, rel=PERIOD)
    sizes = [np.sqrt(np.mean(np.abs(part) ** 2)) for part in np.array_split(values[3:], 3)]
    assert np.all(np.diff(sizes) < 0)
    # A stationary point in the plane: 1/n.
    assert 0.5 < 40 * abs(values[39]) / (20 * abs(values[19])) < 2.0


TINY = {
    "layer_profile": ["--set", "free_layers=2", "--kmesh", "4", "--tolerance", "1e-2"],
    "transmitted_mixing": ["--layers", "1:4", "--kmesh", "4"],
}
FILES = {
    "layer_profile": {"x_profile.nc", "x_profile.png"},
    "transmitted_mixing": {"x_transmitted.nc", "x_transmitted.png"},
}


@pytest.mark.parametrize("name", TINY)
def test_the_drivers_write_data_and_figures_and_where_they_come_from(within, name, tmp_path):
    done = within(name, *TINY[name], "-o", tmp_path / "new" / "x")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "new").iterdir()} == FILES[name]
    (path,) = (tmp_path / "new").glob("*.nc")
    d = store.load_dataset(path)
    assert all(d[variable].attrs["units"] and d[variable].attrs["long_name"] for variable in d.data_vars)
    assert json.loads(d.attrs["configuration"])["kmesh"] == int(TINY[name][TINY[name].index("--kmesh") + 1])


SYSTEM = {
    "layer_profile": ROOT / "systems" / "spin_valve.py",
    "transmitted_mixing": ROOT / "systems" / "magnetic_film.py",
}
REFINED = {
    "layer_profile": ["--set", "free_layers=1", "--set", "spacer_layers=1", "--tolerance", "0.1"],
    "transmitted_mixing": ["--layers", "1:2"],
}


def test_without_a_mesh_the_mixing_conductances_are_those_of_a_fine_mesh_within_the_tolerance(drivers):
    work, system = drivers["transmitted_mixing"].at_one_thickness, as_layered(film(3))
    refined, mesh = work(system, tolerance=1e-5), work(system, qt.kmesh(600))
    for name in ("transmitted_mixing_conductance", "mixing_conductance"):
        assert 0 < float(refined[f"{name}_k_error"]) < 1e-5 * abs(complex(refined[name]))
        assert complex(refined[name]) == pytest.approx(complex(mesh[name]), rel=FINE_MESH)
    assert "mixing_conductance_k_error" not in mesh


def test_without_a_mesh_a_thick_film_is_that_of_a_very_fine_mesh(drivers):
    # A mesh of 32 is off by most of it there.
    work, system = drivers["transmitted_mixing"].at_one_thickness, as_layered(film(22))
    found, coarse = (complex(work(system, *m, tolerance=t)["transmitted_mixing_conductance"]) for m, t in REFINED_OR_32)
    true = complex(work(system, qt.kmesh(1200, symmetry="square"))["transmitted_mixing_conductance"])
    assert found == pytest.approx(true, rel=FINE_MESH)
    assert abs(coarse - true) > 0.5 * abs(true)


def test_without_a_mesh_a_profile_is_that_of_the_integral_over_the_plane(drivers):
    system, options = thick_magnet(3), {"angle": 1.1, "voltage": 1e-2}
    refined = drivers["layer_profile"].profile(system, tolerance=1e-3, **options)
    plane = drivers["layer_profile"].profile(system, open_zone(48), tolerance=1e-4, **options)
    size = float(np.abs(plane["spin_current_response"]).max())
    assert np.abs(refined["spin_current_response"] - plane["spin_current_response"]).max() < PLANE * size
    assert float(refined["spin_current_k_error"] + refined["spin_current_energy_error"]) > 0
    assert "spin_current_k_error" not in plane


@pytest.mark.parametrize("name", REFINED)
def test_without_a_mesh_the_drivers_print_and_keep_the_errors_of_the_sums(within, name, tmp_path):
    done = within(name, *REFINED[name], "-o", tmp_path / "x")
    assert done.returncode == 0, done.stderr
    assert "largest estimated errors: " in done.stdout
    (path,) = tmp_path.glob("*.nc")
    d = store.load_dataset(path)
    assert any(variable.endswith("_k_error") for variable in d.data_vars)
    known = json.loads(d.attrs["configuration"])
    assert known["kmesh"] is None
    assert known["tolerance"] > 0


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("name", REFINED)
def test_without_a_mesh_two_ranks_give_the_same_bits(within, mpirun, name, tmp_path):
    assert within(name, *REFINED[name], "-o", tmp_path / "one").returncode == 0
    two = mpirun(2, [ROOT / "drivers" / f"{name}.py", SYSTEM[name], *REFINED[name], "-o", tmp_path / "two"])
    assert two.returncode == 0, two.stderr
    first, second = (store.load_dataset(next(tmp_path.glob(f"{prefix}_*.nc"))) for prefix in ("one", "two"))
    for variable in first.variables:
        assert first[variable].values.tobytes() == second[variable].values.tobytes(), variable


@pytest.mark.parametrize("name", REFINED)
def test_without_a_mesh_a_dry_run_says_what_it_would_do(within, name, tmp_path):
    done = within(name, *REFINED[name], "--dry-run", "-o", tmp_path / "new" / "x")
    assert done.returncode == 0, done.stderr
    assert "k refined to" in done.stdout
    assert re.search(r"time: about [\d.e+-]+ s", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TINY)
def test_a_dry_run_of_the_drivers_writes_nothing(within, name, tmp_path):
    done = within(name, *TINY[name], "--dry-run", "-o", tmp_path / "new" / "x")
    assert done.returncode == 0, done.stderr
    assert re.search(r"time: about [\d.e+-]+ s", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("layer_profile", ["--angle", "pi"], "angle"),
        ("layer_profile", ["--voltage", "-1"], "voltage"),
        ("layer_profile", ["systems/nf_interface.py"], "magnet"),
        ("transmitted_mixing", ["--layers", "0:3"], "thicknesses"),
        ("transmitted_mixing", ["--kmesh", "4", "--tolerance", "1e-3"], "--kmesh 4"),
        ("transmitted_mixing", ["--tolerance", "0"], "tolerance"),
        ("layer_profile", ["--tolerance", "2"], "tolerance"),
        ("transmitted_mixing", ["systems/mtj.py", "--parameter", "barrier_layers"], "magnetic"),
    ],
)
def test_bad_input_to_the_drivers_ends_with_one_line(within, name, arguments, word, tmp_path):
    done = within(name, *arguments, "--quiet", "-o", tmp_path / "x")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("qtorque: ")
    assert word in line
    assert list(tmp_path.iterdir()) == []

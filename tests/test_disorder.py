"""Supercells and disorder: a folded clean interface is the primitive one, a configuration is one whatever the order."""

import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque import command_line, store

ROOT = Path(__file__).parents[1]
SYSTEM = str(ROOT / "systems" / "disordered_interface.py")
DRIVER = str(ROOT / "drivers" / "disorder.py")
FOLDED = 1e-10
"""Rounding of the Green functions of some ten sites at once against those of one."""
EXACT = 1e-12
"""The same matrix elements, added in another order."""
TINY = ["--kmesh", "2", "--values", "0.5,2", "--configurations", "3", "--set", "m=1"]


def interface(**parameters):
    return command_line.load_system(SYSTEM, [f"{name}={value!r}" for name, value in parameters.items()])


def per_cell(system, mesh, cells):
    """G_up, G_down and g_mix per primitive cell."""
    s = qt.solve(system, energy=0.0, kmesh=mesh)
    up, down = qt.conductance(s).sum("spin_in", skipna=False).values
    return np.array([up, down, complex(qt.k_average(qt.mixing_conductance(s)))]) / cells


def two_orbital_metal(seed, *, exchange=0.0):
    """Random Hermitian on-site energies and complex hoppings, in the plane, along the diagonals and obliquely up."""
    random = np.random.default_rng(seed)

    def matrix():
        return random.normal(size=(2, 2)) + 1j * random.normal(size=(2, 2))

    onsite = matrix()
    vectors = ((1, 0, 0), (0, 1, 0), (1, -1, 0), (2, 1, 0), (0, 0, 1), (1, 0, 1), (-1, 2, 1))
    return qt.Material(
        name="metal",
        lattice=0.3 * np.array([[1.0, 0, 0], [0.2, 1.1, 0], [0.4, 0.1, 0.9]]),
        onsite=0.3 * (onsite + onsite.conj().T),
        exchange=exchange * np.diag([1.0, 0.6]).astype(complex),
        hoppings=tuple((vector, 0.4 * matrix()) for vector in vectors),
    )


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 1), (1, 2)])
def test_a_clean_supercell_on_the_folded_mesh_is_the_primitive_cell_on_the_unfolded_one(n, m):
    primitive, folded = interface(n=1, m=1, disorder=0.0), interface(n=n, m=m, disorder=0.0)
    expected = per_cell(primitive, qt.kmesh(3 * n, 4 * m), 1)
    np.testing.assert_allclose(per_cell(folded, qt.kmesh(3, 4), n * m), expected, atol=FOLDED, rtol=0)
    assert folded.area == pytest.approx(n * m * primitive.area)
    assert abs(expected[2].imag) > 1e-3


def test_per_area_needs_no_division_by_the_number_of_cells():
    primitive, folded = interface(n=1, m=1, disorder=0.0), interface(n=2, m=3, disorder=0.0)
    G = [
        qt.per_area(qt.conductance(system, energy=0.0, kmesh=mesh), system).values
        for system, mesh in ((primitive, qt.kmesh(4, 6)), (folded, qt.kmesh(2, 2)))
    ]
    np.testing.assert_allclose(G[0], G[1], rtol=FOLDED)


def test_oblique_lattices_with_complex_hoppings_fold_too():
    # A hopping taken for its opposite, or a phase of the wrong sign, would be seen here and not in a cubic band.
    normal, magnet = two_orbital_metal(3), replace(two_orbital_metal(3, exchange=1.5), name="magnet")
    folded = [qt.in_plane_supercell([[metal] * 2] * 3) for metal in (normal, magnet)]
    primitive = qt.Stack(left=qt.Lead(normal), right=qt.Lead(magnet))
    supercell = qt.Stack(left=qt.Lead(folded[0]), right=qt.Lead(folded[1]))
    expected = per_cell(primitive, qt.kmesh(9, 4), 1)
    np.testing.assert_allclose(per_cell(supercell, qt.kmesh(3, 2), 6), expected, atol=FOLDED, rtol=0)
    assert expected[0].real > 0.1


def test_a_disordered_cell_repeated_in_a_larger_one_is_the_same_system():
    metals = [qt.single_band(onsite=x, exchange=1.5) for x in (1.8, 2.3, 3.1)]
    normal = qt.single_band(onsite=2.5)

    def stack(copies):
        def wide(rows):
            return qt.in_plane_supercell([row * copies for row in rows])

        layer = qt.Layer(wide([[metals[0], metals[1]], [metals[2], normal]]))
        clean = wide([[normal, normal]] * 2)
        return qt.Stack(left=qt.Lead(clean), layers=[layer], right=qt.Lead(clean))

    once, twice = per_cell(stack(1), qt.kmesh(3, 4), 4), per_cell(stack(2), qt.kmesh(3, 2), 8)
    np.testing.assert_allclose(twice, once, atol=FOLDED, rtol=0)


@pytest.mark.kwant
def test_a_configuration_is_the_same_written_site_by_site_in_plain_kwant():
    n, m, W, a = 2, 3, 1.5, 0.3
    stack = interface(n=n, m=m, disorder=W, configuration=4, seed=9, normal_layers=2)
    cubic = kwant.lattice.cubic(a, norbs=2)
    metals = [np.diag([2.5, 2.5])] * 3 + [np.diag([1.5, 4.0])] * 2
    plane = [(n * a, 0, 0), (0, m * a, 0)]

    def fill(builder, height, onsite):
        for i, j in np.ndindex(n, m):
            builder[cubic(i, j, height)] = onsite(i, j)

    region = kwant.Builder(kwant.TranslationalSymmetry(*plane))
    for height, metal in enumerate(metals):

        def onsite(i, j, height=height, metal=metal):
            # Heights 0 and 4 are contact layers of the leads.
            if height in (0, len(metals) - 1):
                return metal
            site = qt.site_generator(seed=9, configuration=4, layer=height - 1, site=(i, j))
            return metal + W * (site.random() - 0.5) * np.eye(2)

        fill(region, height, onsite)
    region[cubic.neighbors()] = -np.eye(2)
    leads = []
    for sign, metal in ((-1, metals[0]), (1, metals[-1])):
        lead = kwant.Builder(kwant.TranslationalSymmetry(*plane, (0, 0, sign * a)))
        fill(lead, 0, lambda i, j, metal=metal: metal)
        lead[cubic.neighbors()] = -np.eye(2)
        leads.append(lead)
    by_hand = qt.layered(region, *leads)
    mesh = qt.kmesh(2, 2)
    # Two disordered normal layers and one of the ferromagnet, between the contact layers of both leads.
    assert len(stack.monolayers) == len(metals)
    np.testing.assert_allclose(per_cell(by_hand, mesh, 6), per_cell(stack, mesh, 6), atol=FOLDED, rtol=0)


def test_a_configuration_does_not_depend_on_what_was_drawn_before_or_on_the_size_of_the_supercell():
    def energies(configuration, number=0, **parameters):
        layer = interface(configuration=configuration, onsite_up=2.5, onsite_down=2.5, **parameters).layers[number]
        n, m = parameters.get("n", 2), parameters.get("m", 2)
        return np.diag(layer.material.onsite).real.reshape(n, m)

    third = energies(3)
    energies(7)
    np.testing.assert_array_equal(energies(3), third)
    wide = energies(3, n=3, m=4)
    np.testing.assert_array_equal(wide[:2, :2], third)
    assert len(np.unique(wide)) == wide.size
    for other in (energies(2), energies(3, seed=2), energies(3, number=1)):
        assert np.abs(other - third).min() > EXACT


def test_anderson_disorder_fills_a_box_of_the_stated_width():
    W = 3.0
    layers = [interface(n=5, m=5, disorder=W, configuration=c).layers[0] for c in range(20)]
    energy = np.array([np.diag(layer.material.onsite).real for layer in layers]).ravel() - 2.5
    deviation = W / np.sqrt(12)
    # 500 numbers: their mean is known to 0.045, their standard deviation to 0.02 of the width of the distribution.
    assert np.abs(energy).max() < W / 2
    assert abs(energy.mean()) < 4 * 0.045 * deviation
    assert abs(energy.std() / deviation - 1) < 4 * 0.02
    assert np.abs(energy).max() > 0.48 * W


def test_mixing_gives_the_stated_share_of_the_other_metal_and_all_of_it_at_one():
    layers = [interface(n=5, m=5, disorder=0.0, mixing=0.3, configuration=c).layers[0] for c in range(20)]
    share = np.mean([np.diag(layer.material.exchange) != 0 for layer in layers])
    # 500 sites: a standard deviation of 0.02.
    assert abs(share - 0.3) < 0.08
    normal, magnet = qt.single_band(onsite=2.5), qt.single_band(onsite=2.75, exchange=2.5)
    swapped = qt.Stack(left=qt.Lead(normal), layers=[qt.Layer(magnet), qt.Layer(normal)], right=qt.Lead(magnet))
    expected = per_cell(swapped, qt.kmesh(4, 6), 1)
    alloy = interface(n=2, m=3, disorder=0.0, mixing=1.0)
    np.testing.assert_allclose(per_cell(alloy, qt.kmesh(2, 2), 6), expected, atol=FOLDED, rtol=0)


def test_the_hopping_between_unlike_sites_is_the_mean_of_both_materials():
    a, b = qt.single_band(onsite=1.0, hopping=-1.0), qt.single_band(onsite=2.0, hopping=-2.0)
    cell = qt.in_plane_supercell([[a, b]])
    blocks = dict(cell.hoppings)
    np.testing.assert_allclose(cell.onsite, [[1.0, -1.5], [-1.5, 2.0]], atol=EXACT)
    np.testing.assert_allclose(blocks[0, 1, 0], [[0, 0], [-1.5, 0]], atol=EXACT)
    np.testing.assert_allclose(blocks[1, 0, 0], np.diag([-1.0, -2.0]), atol=EXACT)
    np.testing.assert_allclose(blocks[0, 0, 1], np.diag([-1.0, -2.0]), atol=EXACT)


def test_disordered_scattering_is_unitary_and_the_mixing_conductance_keeps_its_bound():
    # 2 Re g_mix - g_up - g_down = Tr|r_up - r_down|^2, at every momentum.
    s = qt.solve(interface(n=3, m=2, disorder=2.0, mixing=0.4), energy=0.0, kmesh=qt.kmesh(3))
    assert s.unitarity_error.max() < FOLDED
    g_mix = qt.mixing_conductance(s).values
    transmitted = qt.transmission(s).sum(["spin_in", "spin_out"], skipna=False).values
    assert (2 * g_mix.real - transmitted).min() > -FOLDED


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"disorder": -1.0}, "disorder"),
        ({"mixing": 1.5}, "mixing"),
        ({"n": 0}, "sites"),
        ({"configuration": -1}, "configuration"),
        ({"seed": -1}, "seed"),
        ({"normal_layers": -1}, "normal_layers"),
    ],
)
def test_bad_disorder_is_refused(parameters, word):
    with pytest.raises(qt.InputError, match=word):
        interface(**parameters)


def test_sites_of_unlike_kind_are_refused():
    one, two = qt.single_band(onsite=1.0), two_orbital_metal(1)
    with pytest.raises(qt.InputError, match="orbitals"):
        qt.in_plane_supercell([[one, two]])
    with pytest.raises(qt.InputError, match="lattices"):
        qt.in_plane_supercell([[one, qt.single_band(onsite=1.0, lattice_constant=0.4)]])
    with pytest.raises(qt.InputError, match="rows"):
        qt.in_plane_supercell([[one, one], [one]])
    with pytest.raises(qt.InputError, match="material"):
        qt.in_plane_supercell([["iron"]])


@pytest.fixture
def within(monkeypatch, capsys):
    """within(*arguments) runs the driver in this process, which has imported all it needs."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "drivers")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [DRIVER, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(DRIVER, run_name="__main__")
        except SystemExit as end:
            code = end.code
        output = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, code, output.out, output.err)

    return run


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A tiny run of the driver: the CompletedProcess and its data set."""
    folder = tmp_path_factory.mktemp("disorder")
    command = [sys.executable, DRIVER, *TINY, "-o", folder / "x"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stderr
    assert (folder / "x_disorder.png").read_bytes().startswith(b"\x89PNG")
    return run, store.load_dataset(folder / "x_disorder.nc")


def test_the_driver_averages_the_configurations_it_names(averaged):
    _, d = averaged
    for v, W in enumerate((0.5, 2.0)):
        for c in range(3):
            expected = per_cell(interface(n=2, m=1, disorder=W, configuration=c), qt.kmesh(2), 2)
            np.testing.assert_allclose(d["conductance_sample"][v, c], expected[:2].real, atol=EXACT)
            np.testing.assert_allclose(d["g_mix_sample"][v, c], expected[2], atol=EXACT)
    samples = d["g_mix_sample"].values
    np.testing.assert_allclose(d["g_mix"], samples.mean(axis=1), atol=EXACT)
    # Of three numbers: sqrt(sum of squared deviations / 2) / sqrt(3).
    deviation = samples.imag - samples.imag.mean(axis=1)[:, None]
    np.testing.assert_allclose(d["g_mix_error"].values.imag, np.sqrt((deviation**2).sum(axis=1) / 6), atol=EXACT)
    assert d["g_mix_error"].values.real[1] > d["g_mix_error"].values.real[0] > 0


def test_the_driver_puts_the_clean_interface_beside_them(averaged):
    run, d = averaged
    expected = per_cell(interface(n=1, m=1, disorder=0.0), qt.kmesh(4, 2), 1)
    np.testing.assert_allclose(d["clean_conductance"], expected[:2].real, atol=EXACT)
    assert complex(d["clean_g_mix"]) == pytest.approx(expected[2], abs=EXACT)
    assert f"{expected[2].real:.5f}" in run.stdout
    assert d.attrs["cell_area"] == pytest.approx(interface(n=1, m=1).area)
    assert d.attrs["cell_area_units"] == "nm^2"


@pytest.mark.slow
@pytest.mark.mpi
def test_two_ranks_write_the_same_bits(averaged, mpirun, tmp_path):
    run = mpirun(2, [DRIVER, SYSTEM, *TINY, "-o", tmp_path / "x"])
    assert run.returncode == 0, run.stderr
    two = store.load_dataset(tmp_path / "x_disorder.nc")
    for name, variable in averaged[1].variables.items():
        assert variable.values.tobytes() == two[name].values.tobytes(), name


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--configurations", "1"], "configurations"),
        (["--vary", "mixing", "--values", "0.5,1.5"], "mixing=1.5"),
        (["systems/nf_interface.py"], "'n'"),
        (["--energy", "50"], "energy"),
        (["--values", "1,0.5,1"], "--values 1,0.5,1"),
        (["--set", "configuration=2"], "--set configuration="),
        (["--set", "disorder=2"], "--set disorder="),
        (["--vary", "mixing", "--values", "0.1,0.5", "--set", "mixing=0.2"], "--set mixing="),
    ],
)
def test_the_driver_refuses_bad_input_in_one_line(within, arguments, word, tmp_path):
    run = within(*arguments, "-o", tmp_path / "x")
    assert run.returncode == 2, run.stderr
    (line,) = run.stderr.splitlines()
    assert word in line
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_the_driver_reports_the_work_and_writes_nothing(within, tmp_path):
    run = within(*TINY, "--dry-run", "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    assert "6 configurations of 2 cells x 4 k-points" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_driver_counts_the_momenta_on_a_band_edge_and_ends_with_a_code_of_its_own(within, tmp_path):
    # One metal throughout, at an energy where the band of some momenta ends: the Green function diverges there.
    metal = {"n": 1, "m": 1, "disorder": 0.0, "onsite_normal": 2.0, "onsite_up": 2.0, "onsite_down": 2.0}
    settings = [word for name, x in metal.items() for word in ("--set", f"{name}={x}")]
    run = within(
        "--vary", "mixing", "--values", "0.2,0.5", "--configurations", 2, "--kmesh", 8, *settings, "-o", tmp_path / "x"
    )
    s = qt.solve(interface(**metal), energy=0.0, kmesh=qt.kmesh(8))
    weight = float(s.shifted.mean())
    assert weight > 0.01
    assert run.returncode == 3, run.stderr
    assert f"band edges           weight {weight:.3g} of k" in run.stdout
    d = store.load_dataset(tmp_path / "x_disorder.nc")
    np.testing.assert_allclose(d["shifted_weight"], weight)
    assert float(d["clean_shifted_weight"]) == pytest.approx(weight)


@pytest.mark.parametrize("disorder", [0.0, 2.0])
def test_the_driver_refuses_a_result_that_is_no_number_and_names_it(within, monkeypatch, disorder, tmp_path):
    conductance = qt.conductance

    def broken(s, **leads):
        found = conductance(s, **leads).copy()
        is_clean = s.area == pytest.approx(interface(n=1, m=1).area)
        if is_clean == (disorder == 0):
            found[{"spin_in": 0, "spin_out": 1}] = np.nan
        return found

    monkeypatch.setattr(qt, "conductance", broken)
    run = within(*TINY, "-o", tmp_path / "x")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert ("the clean interface" if disorder == 0 else "disorder=0.5, configuration=0") in line
    assert not (tmp_path / "x_disorder.nc").exists()


def test_the_driver_says_when_unitarity_is_lost(within, monkeypatch, tmp_path):
    solve = qt.solve
    monkeypatch.setattr(
        qt, "solve", lambda *a, **b: replace(s := solve(*a, **b), unitarity_error=s.unitarity_error + 1e-4)
    )
    run = within(*TINY, "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    assert "largest unitarity error 0.0001, more than 1e-06" in run.stdout

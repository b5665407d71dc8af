"""Bulk materials: bands, density of states, Fermi energy, moment, Sharvin conductance, strain."""

import dataclasses
import runpy

import numpy as np
import pytest
from scipy.integrate import quad

import qtorque as qt
from qtorque import plot, store
from qtorque.bulk import bulk
from qtorque.density_of_states import TwoHoppings
from qtorque.fermi_surface import LINE_POINTS
from qtorque.materials import material_names, read_parameters
from qtorque.tetrahedra import zone_mesh

MESH = 28
"""Points along each reciprocal vector: the error of E_F is 15 meV in copper, less in all other metals."""
STATED = 0.02
"""eV and Bohr magnetons: what the parameter file promises of its Fermi energies and moments."""
SHARVIN = 0.01
"""Relative: what the parameter file promises of its Sharvin conductances."""
ROUNDING = 1e-10
"""eV; eigenvalues of one matrix in two bases."""
CENTRE = 1e-3
"""eV, of the mean energy of a band: the sum of density times energy on a grid of 5 meV."""
SECOND_MOMENT = 0.02
"""Relative: bands that are linear between the points of the mesh are a little narrower."""
NARROW = 0.1
"""Electrons: tetrahedra of a coarse mesh whose band fits between two energies of the grid are lost to its integral."""
CONTOUR = 0.02
"""eV, of contours through bands that are linear between 81 momenta a side."""
PAPER = 0.03
"""eV; levels are quoted with two digits."""
LINE_TURNS = 2 * np.pi * np.arange(LINE_POINTS) / LINE_POINTS
"""k.a3 of the momenta of a line."""
WEAK = 1e-9
"""eV of a spin-orbit coupling that splits and mixes nothing, but makes H a matrix in orbitals and spin."""
COPPER = qt.slater_koster("Cu", facet="111")
IRON = qt.slater_koster("Fe", facet="001")


def levels_at(material, point, spin="up"):
    """Band energies at one point of the zone."""
    return qt.bands(material, [point, ("off", (0.1, 0.2, 0.3))], points=4)["energy"].sel(spin=spin).values[0]


@pytest.mark.parametrize("name", material_names())
def test_fermi_energy_and_moment_are_those_the_file_states(name):
    parameters = read_parameters(name)
    for magnetic in {False, parameters.splitting > 0}:
        material = qt.slater_koster(name, facet=parameters.facets[0], magnetic=magnetic)
        assert qt.fermi_energy(material, mesh=MESH) == pytest.approx(0, abs=STATED)
        stated = parameters.moment if magnetic else 0
        assert qt.magnetic_moment(material, mesh=MESH) == pytest.approx(stated, abs=STATED)


@pytest.mark.parametrize(("name", "facet", "symmetry"), [("Cu", "111", "hexagonal"), ("Nb", "001", "square")])
def test_sharvin_conductance_of_the_paramagnet_is_that_of_the_file(name, facet, symmetry):
    material = qt.slater_koster(name, facet=facet, magnetic=False)
    d = qt.bulk_sharvin_conductance(material, kmesh=qt.kmesh(64, symmetry=symmetry))
    stated = 1e15 * read_parameters(name).sharvin[facet]
    np.testing.assert_allclose(d["conductance"], stated, rtol=SHARVIN)


def test_channels_counted_from_bands_are_those_of_the_leads():
    points = np.random.default_rng(2).uniform(0, 2 * np.pi, (4, 2))
    for material in (
        qt.slater_koster("Co", facet="111"),
        qt.single_band(onsite=2.0, exchange=1.5, hopping=-1.0),
    ):
        counted = qt.bulk_sharvin_conductance(material, kmesh=qt.kpoints(points))["open_channels"]
        assert counted.sel(spin="up").values.tolist() != counted.sel(spin="down").values.tolist()
        wire = qt.Stack(left=qt.Lead(material), layers=[], right=qt.Lead(material))
        for own, point in zip(counted.values, points, strict=True):
            lead = qt.sharvin_conductance(qt.solve(wire, kmesh=qt.kpoints(point)), lead="left")
            np.testing.assert_allclose(own, lead, atol=ROUNDING)


@pytest.mark.parametrize("energy", [-1.0, 0.3])
def test_channels_counted_by_inertia_are_those_of_the_eigenvalues(energy):
    material = qt.slater_koster("W", facet="110")
    points = np.random.default_rng(4).uniform(0, 2 * np.pi, (3, 2))
    d = qt.bulk_sharvin_conductance(material, energy=energy, kmesh=qt.kpoints(points))
    for point, counted in zip(points, d["open_channels"].sel(spin="up").values, strict=True):
        line = np.stack([*np.repeat(point[:, None], LINE_POINTS, axis=1), LINE_TURNS], axis=-1)
        below = np.count_nonzero(bulk(material).levels(line)[0] < energy, axis=-1)
        assert counted == np.abs(below - np.roll(below, 1)).sum() // 2


def test_channels_with_spin_orbit_coupling_are_those_of_both_spins():
    coupled = qt.slater_koster("Fe", facet="001", spin_orbit={"d": WEAK})
    apart, together = (qt.bulk_sharvin_conductance(m, kmesh=4) for m in (IRON, coupled))
    assert together["open_channels"].dims == ("k",)
    np.testing.assert_array_equal(together["open_channels"], apart["open_channels"].sum("spin"))


def test_a_symmetry_that_the_facet_lacks_is_refused():
    with pytest.raises(qt.InputError, match="symmetry"):
        qt.bulk_sharvin_conductance(COPPER, kmesh=qt.kmesh(12, symmetry="square"))
    # Spin-orbit coupling ties the spin to the lattice: a magnetisation along x leaves no fourfold axis along z.
    coupled = qt.slater_koster("Fe", facet="001", spin_orbit=True)
    square = qt.kmesh(2, symmetry="square")
    qt.bulk_sharvin_conductance(coupled, kmesh=square)
    for m in ((1, 0, 0), (0.6, 0, 0.8)):
        with pytest.raises(qt.InputError, match="symmetry"):
            qt.bulk_sharvin_conductance(coupled, kmesh=square, magnetization=m)


def test_simple_cubic_density_of_states_is_that_of_the_square_lattice_averaged_over_k_z():
    plane = TwoHoppings(1.0, 1.0, ((1, 0), (0, 1)))

    def layered(energy):
        low, high = (np.arccos(np.clip((energy + edge) / 2, -1, 1)) for edge in (4, -4))
        break_ = np.arccos(energy / 2) if abs(energy) < 2 else None
        inside = [break_] if break_ is not None else None
        # D2 lives within -4 ... 4 and has a logarithm at its centre.
        return quad(lambda k: plane.density(np.array(energy - 2 * np.cos(k))) / np.pi, low, high, points=inside)[0]

    energies = [-4.5, -3.0, -1.0, 0.5, 3.3]
    d = qt.bulk_density_of_states(qt.single_band(onsite=0.0, hopping=1.0), energies, mesh=48)
    np.testing.assert_allclose(d["density_of_states"].sel(spin="up"), [layered(e) for e in energies], rtol=4e-3)


def test_moments_of_the_density_of_states_are_traces_of_the_hamiltonian():
    material = qt.single_band(onsite=0.5, hopping=1.0, exchange=0.6)
    energies = np.linspace(-6.5, 7.5, 4001)
    d = qt.bulk_density_of_states(material, energies, mesh=40)
    for spin, centre in (("up", 0.2), ("down", 0.8)):
        density = d["density_of_states"].sel(spin=spin)
        first, second = (float((density * energies**p).integrate("energy")) for p in (1, 2))
        assert first == pytest.approx(centre, abs=CENTRE)
        # Each of six neighbours adds t^2.
        assert second - first**2 == pytest.approx(6, rel=SECOND_MOMENT)


@pytest.mark.parametrize("spin_orbit", [False, {"d": 0.06}])
def test_number_of_states_is_the_integral_of_their_density_and_ends_with_all_orbitals(spin_orbit):
    material = qt.slater_koster("Fe", facet="001", spin_orbit=spin_orbit)
    energies = np.linspace(-9, 60, 3451)
    d = qt.bulk_density_of_states(material, energies, mesh=8)
    integral = d["density_of_states"].cumulative_integrate("energy")
    np.testing.assert_allclose(integral, d["number_of_states"], atol=NARROW)
    np.testing.assert_allclose(d["number_of_states"].isel(energy=-1), 9, rtol=ROUNDING)
    np.testing.assert_array_equal(d["number_of_states"].isel(energy=0), 0)


def test_number_of_states_is_that_of_counting_bands():
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (4096, 3))
    energies = [-4.0, -2.0, 0.0, 2.0]
    below = [np.count_nonzero(bulk(COPPER).levels(phases) < e) / len(phases) for e in energies]
    d = qt.bulk_density_of_states(COPPER, energies, mesh=24)
    for spin in ("up", "down"):
        # Three standard deviations of 4096 random momenta.
        np.testing.assert_allclose(d["number_of_states"].sel(spin=spin), below, atol=0.06)


def test_reduced_and_whole_mesh_have_the_same_sums():
    states = bulk(IRON)
    reduced = zone_mesh(IRON, states, 6)
    assert len(reduced.phases) == 16
    assert reduced.weights.sum() == pytest.approx(1, rel=ROUNDING)
    # A field that breaks all rotations but keeps the mirrors, too weak to move a level.
    broken = np.diag(np.arange(9.0)) * 1e-6
    field = dataclasses.replace(IRON, onsite=IRON.onsite + broken)
    assert len(zone_mesh(field, bulk(field), 6).phases) > 2 * 16
    # The cut along one diagonal is no more symmetric than that, and the same in both.
    one, other = (qt.bulk_density_of_states(m, [-2.0, 0.0, 1.0], mesh=6) for m in (IRON, field))
    np.testing.assert_allclose(one["number_of_states"], other["number_of_states"], atol=1e-4)


def test_magnetic_spin_orbit_coupling_leaves_fewer_symmetries():
    sizes = []
    for m in ((0, 0, 1), np.array([1, 2, 3]) / np.sqrt(14)):
        material = qt.slater_koster("Fe", facet="001", spin_orbit=True)
        sizes.append(len(zone_mesh(material, bulk(material, m), 6).phases))
    assert 16 < sizes[0] < sizes[1]


@pytest.mark.parametrize("facet", ["111", "110"])
def test_bands_at_symmetry_points_do_not_depend_on_the_facet(facet):
    one, other = (qt.bands(qt.slater_koster("Cu", facet=f), points=30) for f in ("001", facet))
    np.testing.assert_allclose(one["energy"], other["energy"], atol=ROUNDING)
    np.testing.assert_allclose(one["distance"], other["distance"], rtol=ROUNDING)
    assert one["corner_label"].values.tolist() == ["G", "X", "W", "L", "G", "K"]


def test_copper_has_its_d_bands_at_x_and_its_neck_at_l():
    d = levels_at(COPPER, "X")
    assert d[4] == pytest.approx(-1.50, abs=PAPER)
    assert d[0] == pytest.approx(-4.9, abs=PAPER)
    assert levels_at(COPPER, "L")[5] == pytest.approx(-0.96, abs=PAPER)
    # X and W, K and U lie on the surface of the zone: K and U are one point up to a reciprocal vector.
    np.testing.assert_allclose(levels_at(COPPER, "K"), levels_at(COPPER, "U"), atol=ROUNDING)


def test_distance_along_a_path_is_the_length_of_its_lines():
    a = read_parameters("Cu").lattice_constant
    d = qt.bands(COPPER, "G-X-W", points=20)
    np.testing.assert_allclose(d["corner_distance"], 2 * np.pi / a * np.array([0, 1, 1.5]), rtol=ROUNDING)
    assert d.sizes["k"] == 20


def test_a_hopping_leads_from_a_site_to_the_one_at_its_vector():
    # <r|H|r + a> = i t with H(k) = sum <r|H|r + v> exp(i k.v): a band 2 t cos(k a + pi/2).
    box = qt.single_band(onsite=0.0)
    turned = ((vector, 1j * matrix if vector == (1, 0, 0) else matrix) for vector, matrix in box.hoppings)
    material = dataclasses.replace(box, hoppings=tuple(turned))
    levels = qt.bands(material, [(0.0, 0.25, 0.25), (0.25, 0.25, 0.25)], points=4)["energy"].sel(spin="up")
    np.testing.assert_allclose(levels.values[[0, -1], 0], [0, 2], atol=ROUNDING)


def test_majority_lies_below_minority_with_and_without_spin_orbit_coupling():
    up, down = (levels_at(IRON, "H", spin) for spin in ("up", "down"))
    assert np.all(up <= down + ROUNDING)
    assert (down - up).max() == pytest.approx(read_parameters("Fe").splitting, rel=ROUNDING)
    direction = np.array([2, -1, 2]) / 3
    coupled = qt.slater_koster("Fe", facet="001", spin_orbit={"d": WEAK})
    path = [(0.1, 0.2, 0.05), (0.3, 0.2, 0.15)]
    d, apart = qt.bands(coupled, path, points=5, magnetization=direction), qt.bands(IRON, path, points=5)
    both = np.sort(np.concatenate([apart["energy"].sel(spin=s) for s in ("up", "down")], axis=1), axis=1)
    np.testing.assert_allclose(d["energy"], both, atol=10 * WEAK)
    for i in range(5):
        for spin, sign in (("up", 1), ("down", -1)):
            levels = d["energy"].values[i][d["spin"].values[i] * sign > 0.9]
            np.testing.assert_allclose(levels, apart["energy"].sel(spin=spin).values[i], atol=10 * WEAK)


def test_spin_orbit_coupling_leaves_kramers_pairs_without_spin_in_a_normal_metal():
    d = qt.bands(qt.slater_koster("Pt", facet="111", spin_orbit=True), points=24)
    np.testing.assert_allclose(d["energy"][:, ::2], d["energy"][:, 1::2], atol=ROUNDING)
    np.testing.assert_allclose(d["spin"], 0, atol=1e-6)
    # Gamma 25' splits into Gamma 8+ and Gamma 7+ by 3/2 xi.
    bare = qt.bands(qt.slater_koster("Pt", facet="111"), "G-X", points=4)["energy"].values[0, 0]
    at_centre = d["energy"].values[0]
    xi = read_parameters("Pt").spin_orbit["d"]
    triplet = bare[1]
    assert bare[3] == pytest.approx(triplet, abs=ROUNDING)
    # Second order in xi over the distance to the e_g levels moves the quartet.
    assert np.abs(at_centre - (triplet + xi)).min() < ROUNDING
    assert np.abs(at_centre - (triplet - xi / 2)).min() < xi**2


def test_spin_orbit_coupling_moves_the_moment_of_iron_little():
    coupled = qt.slater_koster("Fe", facet="001", spin_orbit=True)
    apart = qt.magnetic_moment(IRON, mesh=16)
    for m in ((0, 0, 1), (0, 0, -1)):
        assert qt.magnetic_moment(coupled, mesh=12, magnetization=m) == pytest.approx(apart, abs=0.05)


def test_fermi_energy_of_half_filling_and_in_a_gap():
    assert qt.fermi_energy(qt.single_band(onsite=0.3), electrons=1.0, mesh=12) == pytest.approx(0.3, abs=1e-6)
    split = qt.single_band(onsite=0.0, exchange=20.0)
    # Majority from -16 to -4, minority from 4 to 16 eV.
    assert qt.fermi_energy(split, electrons=1.0, mesh=8) == pytest.approx(0, abs=1e-3)
    assert qt.magnetic_moment(split, mesh=8) == pytest.approx(1, rel=ROUNDING)


def test_a_cut_holds_the_bands_of_its_momenta_and_the_zone_boundary():
    d = qt.fermi_surface_cut(COPPER, normal=(0, 0, 2), points=3, extent=2 * np.pi / 0.3615)
    np.testing.assert_allclose(d["energy"].sel(spin="up").values[1, 1], levels_at(COPPER, "G"), atol=ROUNDING)
    np.testing.assert_allclose(d["energy"].sel(spin="up").values[1, 2], levels_at(COPPER, "X"), atol=ROUNDING)
    np.testing.assert_allclose(d["zone"].values[1], [0, -0.5, 0], atol=ROUNDING)
    through_l = qt.fermi_surface_cut(COPPER, normal=(1, 1, 1), through="L", points=3)
    np.testing.assert_allclose(through_l["energy"].sel(spin="up").values[1, 1], levels_at(COPPER, "L"), atol=ROUNDING)
    box = qt.single_band(onsite=0.0, hopping=-1.0, lattice_constant=0.3)
    d = qt.fermi_surface_cut(box, normal=(0, 1, 0), points=5, extent=10.0)
    kx = np.sqrt(d["u"] ** 2 + 0 * d["v"])
    expected = -2 * (np.cos(0.3 * kx) + 1 + np.cos(0.3 * d["v"]))
    np.testing.assert_allclose(d["energy"].sel(spin="up").isel(band=0), expected.transpose("v", "u"), atol=ROUNDING)
    assert np.cross(d.attrs["u_axis"], d.attrs["v_axis"]) @ d.attrs["normal"] == pytest.approx(1, rel=ROUNDING)


def test_strain_to_the_own_lattice_constant_changes_nothing():
    material = qt.slater_koster("Co", facet="111", spin_orbit=True)
    same = qt.strained(material, read_parameters("Co").lattice_constant)
    shift = (same.onsite - material.onsite).diagonal().real
    np.testing.assert_allclose(shift, 0, atol=ROUNDING)
    np.testing.assert_allclose(same.lattice, material.lattice, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_array_equal(same.exchange, material.exchange)
    np.testing.assert_array_equal(same.spin_orbit, material.spin_orbit)
    for (vector, one), (other_vector, other) in zip(same.hoppings, material.hoppings, strict=True):
        assert vector == other_vector
        np.testing.assert_allclose(one, other, atol=ROUNDING)


def test_strained_integrals_fall_with_their_own_powers_and_the_fermi_energy_is_zero_again():
    stretched = qt.strained(COPPER, 1.05 * read_parameters("Cu").lattice_constant)
    np.testing.assert_allclose(stretched.lattice, 1.05 * COPPER.lattice, rtol=ROUNDING, atol=ROUNDING)
    shells = {"s": slice(0, 1), "p": slice(1, 4), "d": slice(4, 9)}
    powers = {"ss": 1, "sp": 2, "pp": 3, "sd": 3, "pd": 4, "dd": 5}
    for (_, new), (_, old) in zip(stretched.hoppings, COPPER.hoppings, strict=True):
        for pair, power in powers.items():
            block = shells[pair[0]], shells[pair[1]]
            np.testing.assert_allclose(new[block], old[block] / 1.05**power, atol=ROUNDING)
    assert qt.fermi_energy(stretched) == pytest.approx(qt.fermi_energy(COPPER), abs=1e-6)
    # The d bands at X narrow with their own power, but for what hybridisation does.
    new, old = (np.ptp(levels_at(material, "X")[:5]) for material in (stretched, COPPER))
    assert new / old == pytest.approx(1.05**-5, rel=0.03)


def test_strained_metal_says_at_which_lattice_constant_and_refuses_one_that_was_changed():
    assert "0.37 nm" in qt.strained(COPPER, 0.37).name
    for changed in (dataclasses.replace(IRON, exchange=0.5 * IRON.exchange),
                    dataclasses.replace(IRON, onsite=IRON.onsite + 0.3 * np.eye(9))):  # fmt: skip
        with pytest.raises(qt.InputError, match="changed"):
            qt.strained(changed, 0.28)


BOX = qt.single_band(onsite=0.0)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: qt.bands("Cu"), "material"),
        (lambda: qt.bands(BOX), "path"),
        (lambda: qt.bands(BOX, "G-X"), "fractions"),
        (lambda: qt.bands(COPPER, "G-H"), "'H'"),
        (lambda: qt.bands(COPPER, "G"), "two points"),
        (lambda: qt.bands(COPPER, "G-G-X"), "one momentum"),
        (lambda: qt.bands(COPPER, ["G", (0, np.nan, 0)]), "finite fractions"),
        (lambda: qt.bands(COPPER, ["G", ("far", 3)]), "finite fractions"),
        (lambda: qt.bands(COPPER, points=3), "points"),
        (lambda: qt.bands(COPPER, magnetization=(0, 0, 2)), "magnetization"),
        (lambda: qt.bulk_density_of_states(BOX, [1, 0]), "energies"),
        (lambda: qt.bulk_density_of_states(BOX, []), "energies"),
        (lambda: qt.bulk_density_of_states(BOX, [0.0], mesh=1), "mesh"),
        (lambda: qt.fermi_energy(BOX), "electrons"),
        (lambda: qt.fermi_energy(BOX, electrons=2), "electrons"),
        (lambda: qt.fermi_energy(BOX, electrons=np.nan), "electrons"),
        (lambda: qt.magnetic_moment(BOX, energy=np.inf), "energy"),
        (lambda: qt.bulk_sharvin_conductance(BOX, kmesh="fine"), "kmesh"),
        (lambda: qt.bulk_sharvin_conductance(BOX, energy="E_F", kmesh=2), "energy"),
        (lambda: qt.fermi_surface_cut(BOX, normal=(0, 0, 0)), "normal"),
        (lambda: qt.fermi_surface_cut(BOX, normal=(0, 0, 1), points=1), "points"),
        (lambda: qt.fermi_surface_cut(BOX, normal=(0, 0, 1), extent=-1), "extent"),
        (lambda: qt.strained(BOX, 0.31), "Slater-Koster"),
        (lambda: qt.bands(COPPER, 5), "path"),
        (lambda: qt.bands(COPPER, points=10**7), "points"),
        (lambda: qt.bulk_density_of_states(BOX, "abc"), "energies"),
        (lambda: qt.bulk_density_of_states(BOX, [[0, 1], [1]]), "energies"),
        (lambda: qt.bulk_density_of_states(BOX, [0.0], mesh=500), "mesh"),
        (lambda: qt.fermi_energy("Cu"), "material"),
        (lambda: qt.fermi_energy(None, electrons=3), "material"),
        (lambda: qt.fermi_surface_cut(None, normal=(0, 0, 1)), "material"),
        (lambda: qt.fermi_surface_cut(BOX, normal=(0, 0, 1), points=10**5), "points"),
        (lambda: qt.strained(COPPER, 0.6), "lattice_constant"),
        (lambda: qt.strained(COPPER, "wide"), "lattice_constant"),
    ],
)
def test_bad_input_is_refused_with_one_line_that_names_it(call, word):
    with pytest.raises(qt.InputError, match=word) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_the_driver_prints_its_numbers_beside_those_of_the_file_and_refuses_to_run_over_its_output(within, tmp_path):
    sizes = ["--mesh", "4", "--kmesh", "4", "--points", "20", "--energies", "-9:5:15", "--plane-points", "9"]
    arguments = ["bulk", "Fe", *sizes, "-o", tmp_path / "fe", "--quiet"]
    run = within(*arguments)
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "fe_states.nc")
    assert f"{float(d['moment']):12.4f}{read_parameters('Fe').moment:12.4f}" in run.stdout
    assert d["facet"].values.tolist() == ["001", "110"]
    assert np.all(d["sharvin_up"] != d["sharvin_down"])
    assert all("long_name" in d[name].attrs and "units" in d[name].attrs for name in d.data_vars)
    assert len(list(tmp_path.glob("fe_*.png"))) == len(list(tmp_path.glob("fe_*.nc"))) == 3
    assert "exists" in within(*arguments).stderr


def test_the_driver_with_spin_orbit_coupling_puts_all_at_its_own_fermi_energy(within, tmp_path):
    sizes = ["--mesh", "4", "--kmesh", "2", "--points", "20", "--energies", "-9:5:15", "--plane-points", "9"]
    run = within("bulk", "Fe", "--spin-orbit", *sizes, "-o", tmp_path / "fe", "--quiet")
    assert run.returncode == 0, run.stderr
    d = store.load_dataset(tmp_path / "fe_states.nc")
    level = float(d["fermi_energy"])
    material = qt.slater_koster("Fe", facet="001", spin_orbit=True)
    assert level == pytest.approx(qt.fermi_energy(material, mesh=4), abs=ROUNDING)
    assert float(d["moment"]) == pytest.approx(qt.magnetic_moment(material, energy=level, mesh=4), abs=ROUNDING)
    bands = store.load_dataset(tmp_path / "fe_bands.nc")
    np.testing.assert_allclose(bands["energy"], qt.bands(material, points=20)["energy"] - level, atol=ROUNDING)
    mesh = qt.kmesh(2, symmetry="inversion")
    channels = qt.bulk_sharvin_conductance(material, energy=level, kmesh=mesh)["conductance"]
    assert float(d["sharvin_both"].sel(facet="001")) == pytest.approx(float(channels), rel=ROUNDING)
    assert "sharvin_up" not in d
    assert "file\n" not in run.stdout


def test_the_driver_compares_all_metals_with_the_file_and_its_exit_code_tells(within, tmp_path):
    run = within("bulk", "all", "--mesh", "4", "--kmesh", "2", "-o", tmp_path / "all", "--quiet")
    assert run.returncode == 4, run.stderr
    d = store.load_dataset(tmp_path / "all_check.nc")
    assert d["metal"].values.tolist() == list(material_names())
    # On so few momenta no magnet keeps its promise; what is checked is that the verdict is that of the numbers.
    wrong = (abs(d["fermi_energy"]) > STATED) | (abs(d["fermi_energy_paramagnet"]) > STATED)
    np.testing.assert_array_equal(d["outside"], wrong | (abs(d["moment"] - d["moment_file"]) > STATED))
    np.testing.assert_array_equal(d["outside_cut"], abs(d["sharvin"] / d["sharvin_file"] - 1) > SHARVIN)
    assert run.stdout.count("FAIL") == int(d["outside"].sum() + d["outside_cut"].sum()) > 0
    assert "beside 'all'" in within("bulk", "all", "--facet", "001", "-o", tmp_path / "other").stderr


@pytest.mark.parametrize(
    ("bare", "level", "moment", "sharvin", "outside"),
    [
        (0.019, -0.019, 0.019, 1.009, (False, False)),
        (0.021, 0.0, 0.0, 1.0, (True, False)),
        (0.0, -0.021, 0.0, 1.0, (True, False)),
        (0.0, 0.0, -0.021, 1.0, (True, False)),
        (0.0, 0.0, 0.0, 0.989, (False, True)),
        (0.0, np.nan, 0.0, np.nan, (True, True)),
    ],
)
def test_a_metal_is_outside_when_one_of_its_numbers_is(within, bare, level, moment, sharvin, outside):
    driver = runpy.run_path("drivers/bulk.py")
    iron = read_parameters("Fe")
    found = [np.array([bare, level, iron.moment + moment]), np.array([sharvin * iron.sharvin["110"] * 1e15, 0.0, 0.0])]
    d = driver["comparison"]([iron], [(driver["LEVELS"], "Fe"), ("110", "Fe")], found)
    assert (bool(d["outside"][0]), bool(d["outside_cut"][0])) == outside


def test_figures_show_both_spins_or_their_mixture():
    coupled = qt.slater_koster("Fe", facet="001", spin_orbit=True)
    apart = plot.band_structure(qt.bands(IRON, points=30)).axes[0]
    assert len(apart.lines) == 2 * 9 + 4 + 1
    together = plot.band_structure(qt.bands(coupled, points=30)).axes[0]
    assert len(together.collections[0].get_segments()) == 18 * 29
    paired = plot.band_structure(qt.bands(qt.slater_koster("Pt", facet="111", spin_orbit=True), points=12)).axes[0]
    assert len(paired.lines) == 18 + 4 + 1
    states = plot.density_of_states(qt.bulk_density_of_states(IRON, np.linspace(-2, 2, 9), mesh=4)).axes[0]
    up, down = (line.get_ydata() for line in states.lines[:2])
    assert np.all(up >= 0)
    assert np.all(down <= 0)
    for material in (IRON, coupled):
        d = qt.fermi_surface_cut(material, normal=(0, 0, 1), points=12)
        assert len(plot.fermi_surface(d).axes[0].collections) > 2


def test_the_contour_of_a_cut_lies_at_its_energy():
    a, energy = 0.3, -3.0
    box = qt.single_band(onsite=0.0, hopping=-1.0, lattice_constant=a)
    d = qt.fermi_surface_cut(box, normal=(0, 0, 1), points=81)
    for e in (energy, 0.5):
        drawn = plot.fermi_surface(d, energy=e).axes[0].collections[-1]
        corners = np.concatenate([path.vertices for path in drawn.get_paths()])
        found = -2 * (np.cos(a * corners[:, 0]) + np.cos(a * corners[:, 1]) + 1)
        np.testing.assert_allclose(found, e, atol=CONTOUR)

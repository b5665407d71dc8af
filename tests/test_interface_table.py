"""The table of interfaces between real metals: an independent code, errors, films, alloys, figures, the driver."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import interface_table as table
from qtorque import store
from qtorque.brillouin import operations
from qtorque.metal_interfaces import (
    FACET_SYMMETRY,
    Interface,
    alloy_sites,
    clean_stack,
    film_stack,
    padded_stack,
    published,
    read_interfaces,
    rough_stack,
)
from qtorque.plot.interface_table import zone_image
from qtorque.units import conductance_per_area

CHECK_ROW = tomllib.loads((Path(__file__).parent / "data" / "cu_co_111.toml").read_text())
AGAINST_THE_OTHER_CODE = 0.02
"""Relative; both sums over k are good to better than 1 %."""
IMAGINARY = 1e13
"""Ohm^-1 m^-2, of a number of 9e12 that cancels in the zone."""
ROUNDING = 1e-9
"""Sums over the same momenta in other blocks, or through more layers of the same metal."""
CU_CO = Interface("Cu", "Co", "111")
PLACES = [(0, 0), (0, 1), (1, 0), (1, 1)]
"""Sites of a supercell of 2 x 2 in the order of their orbitals."""
SMALL = ["--interfaces", "Cu/Co:111", "--coarsest", "4", "--finest", "8", "--quiet"]
TINY = [*SMALL, "--films", "1,2", "--film-kmesh", "4", "--zone-kmesh", "6"]
TINIEST = [*SMALL, "--films", "none", "--zone-kmesh", "0"]


@pytest.fixture(scope="module")
def cu_co():
    return table.converged_interface(clean_stack(CU_CO), sizes=(36, 48, 72), tolerance=0.05)


def per_area(d, name):
    return d[name].values / 1e15


def test_the_row_of_an_independent_code_is_reproduced(cu_co):
    d = cu_co.columns
    for name in ("sharvin_normal", "sharvin_magnet", "conductance"):
        np.testing.assert_allclose(per_area(d, name), CHECK_ROW[name], rtol=AGAINST_THE_OTHER_CODE)
    g = complex(d["g_mix"])
    assert g.real / 1e15 == pytest.approx(CHECK_ROW["g_mix"][0], rel=AGAINST_THE_OTHER_CODE)
    assert abs(g.imag - 1e15 * CHECK_ROW["g_mix"][1]) < IMAGINARY


def test_three_lines_give_the_mixing_conductance_of_copper_and_cobalt():
    leads = (qt.Lead(qt.slater_koster(name, facet="111")) for name in ("Cu", "Co"))
    stack = qt.Stack(left=next(leads), right=next(leads))
    mesh = qt.kmesh(36, symmetry=qt.mesh_symmetry(stack))
    g = complex(qt.per_area(qt.mixing_conductance(stack, energy=0.0, kmesh=mesh), stack))
    assert g.real == pytest.approx(1e15 * CHECK_ROW["g_mix"][0], rel=AGAINST_THE_OTHER_CODE)
    assert abs(g.imag - 1e15 * CHECK_ROW["g_mix"][1]) < IMAGINARY


def test_the_stated_error_covers_what_a_finer_mesh_changes(cu_co):
    finer = table.columns(table.on_mesh(clean_stack(CU_CO), qt.kmesh(96, symmetry="hexagonal")).parameters)
    for name in ("conductance", "g_mix", "sharvin_normal"):
        error, change = cu_co.columns[f"{name}_k_error"].values, finer[name].values - cu_co.columns[name].values
        assert np.all(np.abs(change.real) <= error.real)
        assert np.all(np.abs(change.imag) <= error.imag)


def test_meshes_grow_until_the_last_three_agree():
    sizes = table.mesh_sizes(4, 12)
    assert sizes == [4, 6, 8, 12]
    loose = table.converged_interface(clean_stack(CU_CO), sizes=sizes, tolerance=0.99, imaginary_tolerance=1e16)
    strict = table.converged_interface(clean_stack(CU_CO), sizes=sizes, tolerance=1e-9)
    assert (loose.mesh.n1, loose.converged) == (8, True)
    assert (strict.mesh.n1, strict.converged) == (12, False)
    # Im g_mix alone may keep it going.
    imaginary = table.converged_interface(clean_stack(CU_CO), sizes=sizes, tolerance=0.99, imaginary_tolerance=1.0)
    assert (imaginary.mesh.n1, imaginary.converged) == (12, False)


def test_sums_over_a_mesh_are_those_of_the_public_functions():
    stack, mesh = film_stack(CU_CO, 2), qt.kmesh(6, symmetry="hexagonal")
    found = table.on_mesh(stack, mesh).parameters
    expected = qt.interface_parameters(qt.solve(stack, kmesh=mesh), sharvin_corrected=False)
    for name, value in expected.to_dataset().items():
        np.testing.assert_allclose(found.to_dataset()[name], value, rtol=ROUNDING)


def test_columns_are_the_formulas_of_schep_and_valet_and_fert(cu_co):
    p, d = cu_co.parameters, cu_co.columns
    sharvin, magnet = (conductance_per_area(np.array(p.sharvin(side)), p.area) for side in ("left", "right"))
    bare = 1 / (1 / d["conductance"].values - 0.5 / sharvin - 0.5 / magnet)
    np.testing.assert_allclose(d["conductance_corrected"], bare, rtol=ROUNDING)
    assert complex(d["g_mix_corrected"]) == pytest.approx(
        1 / (1 / complex(d["g_mix"]) - 0.5 / sharvin[0]), rel=ROUNDING
    )
    up, down = 1 / bare
    assert float(d["AR_star"]) == pytest.approx((up + down) / 4, rel=ROUNDING, abs=0)
    # r_up = 2 AR* (1 - gamma): the spin that conducts better has a positive gamma.
    assert up == pytest.approx(2 * float(d["AR_star"]) * (1 - float(d["gamma"])), rel=ROUNDING, abs=0)
    assert float(d["gamma"]) > 0


@pytest.mark.parametrize(("structure", "facet"), FACET_SYMMETRY)
def test_the_symmetry_of_a_facet_holds_at_random_momenta_and_a_larger_one_does_not(structure, facet):
    names = {"fcc": ("Cu", "Co"), "bcc": ("Cr", "Fe"), "rocksalt": ("Fe", "MgO")}[structure]
    first, second = (qt.slater_koster(name, facet=facet) for name in names)
    layers, right = ((qt.Layer(second, 1),), first) if structure == "rocksalt" else ((), second)
    stack = qt.Stack(left=qt.Lead(first), layers=layers, right=qt.Lead(right))
    symmetry = qt.mesh_symmetry(stack)
    assert symmetry == FACET_SYMMETRY[structure, facet]
    points = np.random.default_rng(5).uniform(-np.pi, np.pi, (3, 2))

    def spread(group):
        images = np.concatenate([points @ np.array(matrix, dtype=float).T for matrix in operations(group)])
        s = qt.solve(stack, kmesh=qt.kpoints(images))
        values = qt.transmission(s).values.reshape(-1, len(points), 4)
        if structure != "rocksalt":
            g = qt.mixing_conductance(s).values.reshape(-1, len(points), 1)
            values = np.concatenate([values, g.real, g.imag], axis=-1)
        return np.abs(values - values[0]).max(), np.ptp(values, axis=1).max()

    within_orbits, between_orbits = spread(symmetry)
    assert within_orbits < ROUNDING * max(1, between_orbits)
    assert between_orbits > 0
    if symmetry in ("rectangular", "rhombic"):
        assert spread("square")[0] > 1e-3


def test_spin_orbit_coupling_and_other_materials_have_less_symmetry():
    coupled = qt.slater_koster("Pt", facet="111", spin_orbit=True)
    plain = qt.slater_koster("Pt", facet="111")
    assert qt.mesh_symmetry(qt.Stack(left=qt.Lead(plain), layers=[qt.Layer(coupled)], right=qt.Lead(plain))) is None
    simple = qt.single_band(onsite=2.0)
    assert qt.mesh_symmetry(qt.Stack(left=qt.Lead(simple), right=qt.Lead(simple))) is None


def test_layers_of_the_leads_own_metals_change_nothing():
    mesh = qt.kmesh(6, symmetry="hexagonal")
    clean, padded = (table.on_mesh(stack, mesh).parameters for stack in (clean_stack(CU_CO), padded_stack(CU_CO, 2)))
    assert padded.mixing_conductance == pytest.approx(clean.mixing_conductance, rel=ROUNDING)
    assert padded.conductance_down == pytest.approx(clean.conductance_down, rel=ROUNDING)


def test_the_transmitted_mixing_conductance_of_a_film_dies_with_its_thickness():
    d = table.film_columns(CU_CO, [1, 8], size=30)
    thin, thick = np.abs(d["film_t_mix"].values)
    assert thick < thin / 5
    assert np.all(np.abs(d["film_t_mix_k_error"].values) > 0)
    # A thick film reflects like a semi-infinite magnet, to 10 %.
    clean = table.columns(table.on_mesh(clean_stack(CU_CO), qt.kmesh(30, symmetry="hexagonal")).parameters)
    assert d["film_g_mix"].values[1].real == pytest.approx(complex(clean["g_mix"]).real, rel=0.1)


def test_neutral_layers_are_shifted_and_change_the_mixing_conductance_little():
    mesh = qt.kmesh(8, symmetry="hexagonal")
    with pytest.warns(UserWarning, match="neutral"):
        d = table.neutral_columns(CU_CO, mesh, layers=1, size=4)
    clean = table.columns(table.on_mesh(clean_stack(CU_CO), mesh).parameters)
    assert d.sizes["monolayer"] == 2
    assert np.all(np.abs(d["neutral_shift"]) > 1e-4)
    change = abs(complex(d["neutral_g_mix"]) / complex(clean["g_mix"]) - 1)
    assert 1e-6 < change < 0.05


def test_half_of_an_alloyed_layer_is_the_magnet_as_seed_and_configuration_say():
    assert [len(alloy_sites(4, layer, configuration=0)) for layer in (0, 1)] == [8, 8]
    assert [len(alloy_sites(3, layer, configuration=0)) for layer in (0, 1)] == [4, 5]
    assert alloy_sites(4, 0, configuration=3) == alloy_sites(4, 0, configuration=3)
    others = [{"configuration": 4}, {"configuration": 3, "seed": 2}]
    assert all(alloy_sites(4, 0, **other) != alloy_sites(4, 0, configuration=3) for other in others)
    assert alloy_sites(4, 0, configuration=3) != alloy_sites(4, 1, configuration=3)


def test_a_rough_interface_has_two_layers_of_half_and_half_and_scatters_unitarily():
    stack = rough_stack(CU_CO, 2, configuration=1)
    metals = [[atom.crystal.parameters.name for atom in layer.material.atoms] for layer in stack.layers]
    assert [names.count("Co") for names in metals] == [2, 2]
    assert [{place for place, name in zip(PLACES, names, strict=True) if name == "Co"} for names in metals] == [
        alloy_sites(2, layer, configuration=1) for layer in (0, 1)
    ]
    assert qt.mesh_symmetry(stack) == "inversion"
    s = qt.solve(stack, kmesh=qt.kpoints([[0.3, 0.4]]))
    assert s.unitarity_error.max() < ROUNDING


def test_rough_columns_are_mean_and_standard_error_beside_the_clean_interface(monkeypatch):
    # Padded interfaces of unlike thickness in place of supercells: their values are known and cheap.
    stands_in = {0: film_stack(CU_CO, 1), 1: film_stack(CU_CO, 2)}
    monkeypatch.setattr(table, "rough_stack", lambda interface, cells, configuration, seed: stands_in[configuration])
    d = table.rough_columns(CU_CO, 2, configurations=2, size=3)
    mesh = qt.kmesh(3, symmetry="inversion")
    samples = [table.columns(table.on_mesh(stack, mesh).parameters) for stack in stands_in.values()]
    g = np.array([complex(sample["g_mix"]) for sample in samples])
    G = np.array([sample["conductance"].values for sample in samples])
    assert complex(d["rough_g_mix"]) == pytest.approx(g.mean(), rel=ROUNDING)
    # The standard error of two samples is half their difference.
    error = complex(d["rough_g_mix_error"])
    half = np.ptp(g.real) / 2, np.ptp(g.imag) / 2
    np.testing.assert_allclose((error.real, error.imag), half, rtol=ROUNDING)
    np.testing.assert_allclose(d["rough_conductance_error"], np.abs(G[0] - G[1]) / 2, rtol=ROUNDING)
    folded = table.on_mesh(clean_stack(CU_CO), qt.kmesh(6, symmetry="inversion")).parameters
    assert complex(d["rough_g_mix_clean"]) == pytest.approx(folded.mixing_conductance_per_area, rel=ROUNDING)


def test_the_rule_for_unlike_integrals_reaches_the_interface():
    (other,) = read_interfaces("Cu/Co:111", unlike_hopping=qt.arithmetic_mean)
    mesh = qt.kmesh(6, symmetry="hexagonal")
    ours, theirs = (table.on_mesh(clean_stack(i), mesh).parameters.conductance_up for i in (CU_CO, other))
    assert ours != pytest.approx(theirs, rel=1e-4)


def test_published_ranges_are_ordered_and_those_of_known_interfaces_only():
    entry = published(CU_CO)
    assert entry["g_mix_re"] == [0.41, 0.55]
    assert "not checked" in entry["trust"]
    assert all(entry[key][0] <= entry[key][1] for key in ("G_up", "G_dn", "g_mix_re", "g_mix_im"))
    assert published(Interface("Cu", "Co", "001")) == {}


@pytest.mark.parametrize(
    ("text", "word"),
    [("Cu-Co", "normal/magnet:facet"), ("Cu/Co", "normal/magnet:facet"), ("Cu/Co:111,Cu/Co:111", "twice"),
     ("Co/Cu:111", "magnetic"), ("Cu/Ag:111", "not magnetic"), ("Cu/Xx:111", "Xx"), ("Cu/Co:210", "facet"),
     ("Al/Ni:111", "mismatch"), ("Cu/Fe:110", "net")],
)  # fmt: skip
def test_interfaces_that_cannot_be_are_refused(text, word):
    with pytest.raises(qt.InputError, match=word):
        read_interfaces(text)


def test_meshes_and_tolerances_that_make_no_sense_are_refused():
    for coarsest, finest in ((5, 20), (0, 4), (8, 12)):
        with pytest.raises(qt.InputError, match="points a side"):
            table.mesh_sizes(coarsest, finest)
    for bad in ({"sizes": (4, 6)}, {"sizes": (2, 3, 4), "tolerance": 0.0}):
        with pytest.raises(qt.InputError):
            table.converged_interface(clean_stack(CU_CO), **bad)
    with pytest.raises(qt.InputError, match="alloy"):
        table.rough_columns(CU_CO, 1, configurations=2, size=2)


def test_an_image_of_the_zone_shows_the_momenta_where_they_are():
    plane = np.array([[0.25, 0.0], [0.125, 0.125 * 3**0.5]])
    n = 120
    phases = 2 * np.pi * np.arange(n) / n

    def function(first, second):
        # No symmetry: a momentum that is mirrored, or exchanges its components, shows.
        return np.cos(first) + 0.5 * np.sin(second) + 0.25 * np.sin(first - 2 * second)

    x, y, image, corners = zone_image(function(*np.meshgrid(phases, phases, indexing="ij")), phases, plane)
    # A regular hexagon with a corner along a1.
    np.testing.assert_allclose(np.linalg.norm(corners, axis=1), 6 * [4 * np.pi / (3 * 0.25)], rtol=ROUNDING)
    assert np.abs(corners[:, 1]).min() < ROUNDING
    k = np.stack(np.meshgrid(x, y), axis=-1)
    expected = function(*np.moveaxis(k @ plane.T, -1, 0))
    inside = ~np.isnan(image)
    # Half a step of the mesh in both phases, times the steepest slope.
    assert np.abs(image - expected)[inside].max() < 2 * np.pi / n * 2
    step = (x[1] - x[0]) * (y[1] - y[0])
    assert inside.sum() * step == pytest.approx((2 * np.pi) ** 2 / np.linalg.det(plane), rel=0.02)
    with pytest.raises(qt.InputError, match="do not fit"):
        zone_image(np.zeros((3, 3)), phases, plane)


def test_the_driver_writes_the_table_in_every_form(within, tmp_path):
    more = ["--hopping", "arithmetic"]
    run = within("interface_table", *TINY, *more, "-o", tmp_path / "x")
    assert run.returncode == 0, run.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"x_table.md", "x_table.csv", "x_table.nc", "x_table.png", "x_films.png", "x_zone.png"}
    d = store.load_dataset(tmp_path / "x_table.nc")
    assert all(d[name].attrs["units"] and d[name].attrs["long_name"] for name in d)
    assert d.attrs["hopping"] == "arithmetic"
    (row,) = csv.DictReader((tmp_path / "x_table.csv").open())
    assert all("(" in name for name in row if name not in ("interface", "trust N", "trust F"))
    assert float(row["G up (1e15 Ohm^-1 m^-2)"]) == pytest.approx(float(d["conductance"][0, 0]) / 1e15, rel=1e-6)
    assert float(row["Im g_mix (1e15 Ohm^-1 m^-2)"]) == pytest.approx(complex(d["g_mix"][0]).imag / 1e15, rel=1e-6)
    assert float(row["AR* (fOhm m^2)"]) == pytest.approx(float(d["AR_star"][0]) * 1e15, rel=1e-6)
    text = (tmp_path / "x_table.md").read_text()
    assert text in run.stdout
    assert "NOT CONVERGED" in text
    assert "0.41 to 0.55" in text
    assert "with neutral" not in text.lower()
    assert "tabulated/tabulated" in text
    assert "exists" in within("interface_table", *TINY, *more, "-o", tmp_path / "x").stderr


def test_a_table_that_is_stopped_again_and_again_has_the_same_bits(within, tmp_path):
    assert within("interface_table", *TINIEST, "-o", tmp_path / "at_once").returncode == 0
    codes = []
    while not codes or codes[-1] == 75:
        codes.append(
            within("interface_table", *TINIEST, "-o", tmp_path / "in_parts", "--max-seconds", "1e-3").returncode
        )
        assert len(codes) < 40
    assert codes[-1] == 0
    assert len(codes) > 1
    whole, parts = (store.load_dataset(tmp_path / f"{prefix}_table.nc") for prefix in ("at_once", "in_parts"))
    xr.testing.assert_equal(whole, parts)


ROWS = """
import sys

from mpi4py import MPI

from qtorque import interface_table as table, store
from qtorque.metal_interfaces import Interface, clean_stack

interface = Interface("Cu", "Co", "111")
comm = MPI.COMM_WORLD
found = table.converged_interface(clean_stack(interface), sizes=(20, 24, 30), comm=comm)
films = table.film_columns(interface, [2], size=24, comm=comm)
zone = table.zone_columns(clean_stack(interface), size=24, comm=comm)
if comm.rank == 0:
    store.save_dataset(films.merge(zone).merge(found.columns), {path!r})
"""


@pytest.mark.mpi
def test_a_row_does_not_depend_on_the_number_of_ranks(mpirun, tmp_path):
    run = mpirun(2, ROWS.format(path=str(tmp_path / "two.nc")))
    assert run.returncode == 0, run.stderr
    two = store.load_dataset(tmp_path / "two.nc")
    found = table.converged_interface(clean_stack(CU_CO), sizes=(20, 24, 30))
    one = table.film_columns(CU_CO, [2], size=24).merge(table.zone_columns(clean_stack(CU_CO), size=24))
    one = one.merge(found.columns)
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        assert one[name].values.tobytes() == two[name].values.tobytes(), name


def test_a_map_of_the_zone_has_the_mean_of_the_streamed_sum():
    stack, mesh = clean_stack(CU_CO), qt.kmesh(12, symmetry="hexagonal")
    zone = table.zone_columns(stack, size=12)
    g = complex(qt.mixing_conductance(stack, energy=0.0, kmesh=mesh))
    assert complex(zone["zone_g_mix"].mean()) == pytest.approx(g, rel=ROUNDING)
    here = qt.kpoints([zone["zone_phase"].values[[3, 5]]])
    assert complex(zone["zone_g_mix"][3, 5]) == pytest.approx(
        complex(qt.mixing_conductance(qt.solve(stack, kmesh=here))[0]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--interfaces", "Co/Cu:111"], "magnetic"), (["--coarsest", "5"], "5"), (["--rough", "1"], "--rough"),
     (["--films", "3:1"], "films"), (["--tolerance", "0"], "tolerance"), (["--file", "absent.toml"], "absent.toml"),
     (["--configurations", "1"], "configurations"), (["--neutral", "-1"], "neutral")],
)  # fmt: skip
def test_the_driver_refuses_bad_options_with_one_line_and_writes_nothing(within, arguments, word, tmp_path):
    run = within("interface_table", *arguments, "-o", tmp_path / "new" / "x")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert word in line
    assert list(tmp_path.iterdir()) == []

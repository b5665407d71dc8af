"""The table of interfaces between real metals: an independent code, errors, films, alloys, figures, the driver."""

import csv
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import interface_table as table
from qtorque import interface_variants as variants
from qtorque import plot, store
from qtorque.brillouin import operations
from qtorque.magnetic_films import film_conductances
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
TINY = [*SMALL, "--films", "1,2", "--film-kmesh", "4"]
TINIEST = [*SMALL, "--films", "none", "--no-zone"]
AG_FE = {
    96: (0.33481, 0.06578, 0.41084 - 0.014794j, 0.4256132, 0.84277, 0.47214, 0.82054, 0.07712, 0.7923 - 0.0552j),
    144: (0.33468, 0.06622, 0.41167 - 0.014721j, 0.4261279, 0.84124, 0.47196, 0.81951, 0.07771, 0.7945 - 0.055j),
    192: (0.33463, 0.06628, 0.41132 - 0.015091j, 0.4265196, 0.84146, 0.47083, 0.81843, 0.07781, 0.7924 - 0.0562j),
    384: (0.33586, 0.06619, 0.41119 - 0.01538j, 0.4262552, 0.84391, 0.47119, 0.82509, 0.07768, 0.7923 - 0.0573j),
}
"""Ag/Fe(001) on meshes of so many points a side, in 1e15 Ohm^-1 m^-2: G up, G down, g_mix, Sharvin N, F up, F down, and
the first three corrected. G up agrees to 0.05 % on the first three meshes and changes by 0.4 % on the fourth."""


@pytest.fixture(scope="module")
def driver():
    """The module drivers/interface_table.py."""
    folder = str(Path(__file__).parents[1] / "drivers")
    sys.path.insert(0, folder)
    try:
        import interface_table
    finally:
        sys.path.remove(folder)
    return interface_table


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


def of_ag_fe(n):
    """Columns of the row of Ag/Fe(001) on a mesh, without those that are not independent."""
    up, down, g, normal, magnet_up, magnet_down, *bare = (1e15 * x for x in AG_FE[n])
    values = {
        "conductance": (("spin",), [up, down]), "g_mix": ((), g), "sharvin_normal": ((), normal),
        "sharvin_magnet": (("spin",), [magnet_up, magnet_down]),
        "conductance_corrected": (("spin",), bare[:2]), "g_mix_corrected": ((), bare[2]),
        "gamma": ((), 0.82), "polarization": ((), 0.67),
    }  # fmt: skip
    return table.dataset_of({name: (*value, table.UNIT, name) for name, value in values.items()})


def test_a_column_on_which_three_meshes_agree_by_accident_has_an_honest_error():
    found = table._with_errors(of_ag_fe(192), [of_ag_fe(96), of_ag_fe(144)])
    finer = of_ag_fe(384)
    for name in finer:
        error, change = found[f"{name}_k_error"].values, (finer[name] - found[name]).values
        assert np.all(np.abs(change.real) <= error.real), name
        assert np.all(np.abs(change.imag) <= error.imag), name
    own = abs(found["conductance"].values[0] - of_ag_fe(96)["conductance"].values[0])
    assert abs(float((finer["conductance"] - found["conductance"])[0])) > 5 * own


def test_errors_are_the_largest_difference_and_no_less_than_that_of_the_group():
    def columns(up, down, g, bare, gamma):
        values = {
            "conductance": (("spin",), [up, down]), "g_mix": ((), g), "sharvin_normal": ((), bare), "gamma": ((), gamma)
        }  # fmt: skip
        return table.dataset_of({name: (*value, "1", name) for name, value in values.items()})

    before = [columns(2.0, 5.0, 3 + 0.3j, 10.0, 0.03), columns(2.0, 4.9, 3 + 0.2j, 10.0, 0.02)]
    found = table._with_errors(columns(2.0, 5.0, 3 + 0.1j, 12.0, 0.01), before)
    # G down differs by 0.1 of 5; g by 0.2j in its modulus; Sharvin N by 2 of 12; gamma by 0.02.
    assert found["g_mix_k_error"].item() == pytest.approx(0.2 + 0.2j)
    # 0.2/3 of Re g is the largest of the scattering values.
    np.testing.assert_allclose(found["conductance_k_error"], [2 * 0.2 / 3, 5 * 0.2 / 3])
    assert found["sharvin_normal_k_error"].item() == pytest.approx(2.0)
    assert found["gamma_k_error"].item() == pytest.approx(0.02)
    assert table.relative_error(found, ("sharvin_normal", "g_mix")) == pytest.approx(2 / 12)


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
    stack, mesh = film_stack(CU_CO, 2), qt.kmesh(4)
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
    mesh = qt.kmesh(4)
    clean, padded = (table.on_mesh(stack, mesh).parameters for stack in (clean_stack(CU_CO), padded_stack(CU_CO, 2)))
    assert padded.mixing_conductance == pytest.approx(clean.mixing_conductance, rel=ROUNDING)
    assert padded.conductance_down == pytest.approx(clean.conductance_down, rel=ROUNDING)


@pytest.mark.parametrize("interface", [CU_CO, Interface("Ag", "Fe", "001")], ids=lambda i: i.label)
def test_films_between_shared_leads_are_those_of_the_scattering_matrix(interface):
    # All of the mesh without a symmetry, at the momenta that it has with one.
    stacks = [film_stack(interface, n) for n in (1, 2, 3)]
    mesh = qt.kmesh(3, symmetry=qt.mesh_symmetry(stacks[0]))
    phases = 2 * np.pi * (np.arange(3) + mesh.shift) / 3
    points = qt.kpoints(np.stack(np.meshgrid(phases, phases, indexing="ij"), axis=-1).reshape(-1, 2))
    (found,) = film_conductances(stacks, [mesh])
    for stack, (g, t) in zip(stacks, found, strict=True):
        s = qt.solve(stack, kmesh=points)
        assert g == pytest.approx(complex(qt.k_average(qt.mixing_conductance(s))), rel=ROUNDING)
        expected = complex(qt.k_average(qt.transmitted_mixing_conductance(s)))
        assert t == pytest.approx(expected, rel=ROUNDING)
        assert abs(expected.imag) > 0.01


def test_film_columns_are_the_sums_per_area_and_their_errors_the_differences_of_three_meshes():
    d = variants.film_columns(CU_CO, [1, 8], size=16)
    stacks = [film_stack(CU_CO, n) for n in (1, 8)]
    area = qt.solve(stacks[0], kmesh=qt.kpoints([[1.0, 2.0]])).area
    meshes = [qt.kmesh(n, symmetry="hexagonal") for n in (8, 12, 16)]
    each = conductance_per_area(film_conductances(stacks, meshes), area)
    for column, name in enumerate(("film_g_mix", "film_t_mix")):
        np.testing.assert_allclose(d[name], each[2][:, column], rtol=ROUNDING)
        error = np.maximum(*(abs(each[2] - other)[:, column] for other in each[:2]))
        np.testing.assert_allclose(d[f"{name}_k_error"], error * (1 + 1j), rtol=1e-6)
    thin, thick = np.abs(d["film_t_mix"].values)
    assert thick < thin / 3
    # A thick film reflects like a semi-infinite magnet, to 10 %.
    clean = table.columns(table.on_mesh(clean_stack(CU_CO), qt.kmesh(16, symmetry="hexagonal")).parameters)
    assert d["film_g_mix"].values[1].real == pytest.approx(complex(clean["g_mix"]).real, rel=0.1)


def test_films_and_meshes_that_do_not_fit_are_refused():
    with pytest.raises(qt.InputError, match="three meshes"):
        variants.film_columns(CU_CO, [1], size=2)
    with pytest.raises(qt.InputError, match="unlike leads"):
        film_conductances([film_stack(Interface(name, "Fe", "001"), 1) for name in ("Ag", "Au")], [qt.kmesh(3)])
    with pytest.raises(qt.InputError, match="depends on spin"):
        film_conductances([clean_stack(CU_CO)], [qt.kmesh(3)])
    with pytest.raises(qt.InputError, match="one symmetry"):
        film_conductances([film_stack(CU_CO, 1)], [qt.kmesh(3), qt.kmesh(3, symmetry="hexagonal")])
    # Cr/Fe(110) is rhombic, and Cu/Co films transmit another number at -k, which no interface does.
    with pytest.raises(qt.InputError, match="does not hold"):
        table.on_mesh(clean_stack(Interface("Cr", "Fe", "110")), qt.kmesh(4, symmetry="square"))
    with pytest.raises(qt.InputError, match="does not hold"):
        table.on_mesh(film_stack(CU_CO, 2), qt.kmesh(4, symmetry="hexagonal"))


@pytest.mark.slow
def test_neutral_layers_are_shifted_and_change_the_mixing_conductance_little(monkeypatch):
    mesh = qt.kmesh(8, symmetry="hexagonal")
    records = []

    def recorded(*args, **kwargs):
        found = qt.neutral(*args, **kwargs)
        records.append(found[1])
        return found

    monkeypatch.setattr(variants, "neutral", recorded)
    with pytest.warns(UserWarning, match="neutral"):
        d = variants.neutral_columns(CU_CO, mesh, layers=1, size=4)
    clean = table.columns(table.on_mesh(clean_stack(CU_CO), mesh).parameters)
    assert d.sizes["monolayer"] == 2
    assert (int(d["neutral_layers"]), int(d["neutral_mesh"])) == (1, 4)
    (record,) = records
    # Normal metal's layer, shifted ones, magnet's layer.
    assert float(d["neutral_lead_excess"]) == pytest.approx(np.abs(record["excess_electrons"].values[[0, -1]]).max())
    for name in ("residual", "mesh_error", "converged"):
        assert float(d[f"neutral_{name}"]) == record.attrs[name]
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
    # Interfaces of other metals in place of supercells: their values are known and cheap.
    stands_in = {0: clean_stack(Interface("Cu", "Ni", "111")), 1: clean_stack(Interface("Cu", "Co", "111"))}
    monkeypatch.setattr(variants, "rough_stack", lambda interface, cells, configuration, seed: stands_in[configuration])
    d = variants.rough_columns(CU_CO, 3, configurations=2, size=2)
    mesh = qt.kmesh(2, symmetry="inversion")
    samples = [table.columns(table.on_mesh(stack, mesh).parameters) for stack in stands_in.values()]
    g = np.array([complex(sample["g_mix"]) for sample in samples])
    G = np.array([sample["conductance"].values for sample in samples])
    assert complex(d["rough_g_mix"]) == pytest.approx(g.mean(), rel=ROUNDING)
    # The standard error of two samples is half their difference.
    error = complex(d["rough_g_mix_error"])
    half = np.ptp(g.real) / 2, np.ptp(g.imag) / 2
    assert [int(d[f"rough_{name}"]) for name in ("cells", "configurations", "mesh")] == [3, 2, 2]
    np.testing.assert_allclose((error.real, error.imag), half, rtol=ROUNDING)
    np.testing.assert_allclose(d["rough_conductance_error"], np.abs(G[0] - G[1]) / 2, rtol=ROUNDING)
    folded = table.on_mesh(clean_stack(CU_CO), qt.kmesh(6, symmetry="inversion")).parameters
    assert complex(d["rough_g_mix_clean"]) == pytest.approx(folded.mixing_conductance_per_area, rel=ROUNDING)


def test_the_rule_for_unlike_integrals_reaches_the_interface():
    (other,) = read_interfaces("Cu/Co:111", unlike_hopping=qt.arithmetic_mean)
    mesh = qt.kmesh(4)
    ours, theirs = (table.on_mesh(clean_stack(i), mesh).parameters.conductance_up for i in (CU_CO, other))
    assert ours != pytest.approx(theirs, rel=1e-4)


def test_published_ranges_are_ordered_and_those_of_known_interfaces_only():
    entry = published(CU_CO)
    assert entry["g_mix_re"] == [0.41, 0.55]
    assert "not checked" in entry["source"]
    assert all(entry[key][0] <= entry[key][1] for key in ("G_up", "G_dn", "g_mix_re", "g_mix_im"))
    assert published(Interface("Cu", "Co", "001")) == {}


def test_published_ranges_are_not_those_of_a_users_own_metal(tmp_path):
    package = Path(qt.__file__).parent / "materials" / "data" / "slater_koster.toml"
    whole = tomllib.loads(package.read_text(encoding="utf-8"))["material"]
    text = package.read_text(encoding="utf-8")
    starts = {name: text.index(f"[material.{name}]") for name in whole}
    ends = sorted(starts.values()) + [len(text)]
    for name, left in (("Cu", {}), ("Ag", published(CU_CO))):
        own = tmp_path / f"{name}.toml"
        own.write_text("schema = 1\n" + text[starts[name] : ends[ends.index(starts[name]) + 1]], encoding="utf-8")
        assert published(Interface("Cu", "Co", "111", file=str(own))) == left


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
    for bad, word in (
        ({"sizes": (4, 6)}, "3 meshes"),
        ({"sizes": (2, 3, 4), "tolerance": 0.0}, "tolerance"),
        ({"sizes": (8, 6, 4)}, "ascending"),
        ({"sizes": (4, 4, 4)}, "ascending"),
    ):
        with pytest.raises(qt.InputError, match=word):
            table.converged_interface(clean_stack(CU_CO), **bad)
    for cells, configurations in ((2, 2), (3, 1)):
        with pytest.raises(qt.InputError, match="alloy"):
            variants.rough_columns(CU_CO, cells, configurations=configurations, size=2)
    with pytest.raises(qt.InputError, match="cells=1"):
        rough_stack(CU_CO, 1, configuration=0)
    with pytest.raises(qt.InputError, match="left lead has no open channel"):
        table.converged_interface(clean_stack(Interface("MgO", "Fe", "001")), sizes=(2, 3, 4))


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


def synthetic():
    """A table of two interfaces with another number in every place; published ranges of the first one alone."""
    numbers = iter(range(101, 1000))

    def of(shape, unit, part=1e-3):
        count = int(np.prod(shape, dtype=int)) * (2 if part is None else 1)
        x = np.array([next(numbers) for _ in range(count)]) * 1e-3
        return (x[::2] + 1j * x[1::2] if part is None else x).reshape(shape) * unit

    spin, flat, G, g = ("interface", "spin"), ("interface",), (2, 2), (2,)
    d = {}
    for ending in ("", "_k_error"):
        d |= {f"sharvin_normal{ending}": (flat, of(g, 1e15)), f"sharvin_magnet{ending}": (spin, of(G, 1e15))}
        for kind in ("", "_corrected"):
            d |= {f"conductance{kind}{ending}": (spin, of(G, 1e15)), f"g_mix{kind}{ending}": (flat, of(g, 1e15, None))}
        d |= {f"AR_star{ending}": (flat, of(g, 1e-15))}
        d |= {f"{name}{ending}": (flat, of(g, 1.0)) for name in ("gamma", "polarization")}
    for name in ("neutral_{}", "rough_{}", "rough_{}_error", "rough_{}_clean"):
        d |= {name.format("conductance"): (spin, of(G, 1e15)), name.format("g_mix"): (flat, of(g, 1e15, None))}
    # They are printed with one digit: a decade each.
    excesses = {"residual": 1e-3, "mesh_error": 1e-2, "lead_excess": 1e-1}
    d |= {f"neutral_{name}": (flat, of(g, size)) for name, size in excesses.items()}
    whole = {"mesh": [96, 192], "converged": [1, 0], "neutral_layers": [3, 3], "neutral_mesh": [16, 16],
             "neutral_converged": [1, 0], "rough_cells": [4, 4], "rough_configurations": [7, 7], "rough_mesh": [12, 12],
             "trust_normal": ["fitted", "low"], "trust_magnet": ["tabulated", "user"],
             "published_source": ["some notes", ""]}  # fmt: skip
    d |= {name: (flat, values) for name, values in whole.items()}
    nothing = [np.nan, np.nan]
    d["published_conductance"] = (
        (*spin, "bound"), 1e15 * np.array([[[0.11, 0.12], [0.13, 0.13]], [nothing, nothing]])
    )  # fmt: skip
    d["published_g_mix_real"] = ((*flat, "bound"), 1e15 * np.array([[0.14, 0.15], nothing]))
    d["published_g_mix_imag_size"] = ((*flat, "bound"), 1e15 * np.array([[0.016, 0.017], nothing]))
    return xr.Dataset(d, {"interface": ["A/B(111)", "C/D(001)"], "spin": ["up", "down"]})


def numbers_of(d, row, name):
    """Numbers of a variable in the unit of the tables: of both spins, or of both parts of a complex one."""
    x = d[name].values[row] * (1e15 if name.startswith("AR") else 1 if d[name].values.max() < 2 else 1e-15)
    return [x.real, x.imag] if np.iscomplexobj(x) else np.atleast_1d(x).tolist()


def test_every_cell_of_the_csv_file_is_the_number_of_its_heading(driver):
    d, unit = synthetic(), "(1e15 Ohm^-1 m^-2)"
    four = ("G up", "G down", "Re g_mix", "Im g_mix")
    for row, cells in enumerate(csv.DictReader(driver.csv_text(d).splitlines())):
        expected = {}
        for ending, before in (("", ""), ("_k_error", "k error of ")):
            magnet = numbers_of(d, row, f"sharvin_magnet{ending}")
            expected |= {f"{before}Sharvin N {unit}": numbers_of(d, row, f"sharvin_normal{ending}")[0]}
            expected |= {f"{before}Sharvin F {spin} {unit}": x for spin, x in zip(("up", "down"), magnet, strict=True)}
            for kind, word in (("", ""), ("_corrected", " corrected")):
                values = [x for name in ("conductance", "g_mix") for x in numbers_of(d, row, f"{name}{kind}{ending}")]
                expected |= {f"{before}{n}{word} {unit}": x for n, x in zip(four, values, strict=True)}
            expected |= {f"{before}AR* (fOhm m^2)": numbers_of(d, row, f"AR_star{ending}")[0]}
            expected |= {f"{before}{n} (1)": d[f"{n}{ending}"].values[row] for n in ("gamma", "polarization")}
        for name, heading in (("neutral_{}", "{}, neutral"), ("rough_{}", "{}, rough"),
                              ("rough_{}_error", "standard error of {}, rough"),
                              ("rough_{}_clean", "{}, clean on the mesh of rough")):  # fmt: skip
            values = [x for n in ("conductance", "g_mix") for x in numbers_of(d, row, name.format(n))]
            expected |= {f"{heading.format(n)} {unit}": x for n, x in zip(four, values, strict=True)}
        for name, heading in (("residual", "residual"), ("mesh_error", "mesh error"),
                              ("lead_excess", "excess in the leads")):  # fmt: skip
            expected[f"neutral: {heading} (electrons per cell)"] = d[f"neutral_{name}"].values[row]
        whole = {"mesh (points a side)": "mesh", "converged (1 or 0)": "converged",
                 "neutral: layers of each metal (monolayers)": "neutral_layers",
                 "neutral: mesh of the count (points a side)": "neutral_mesh",
                 "neutral: converged (1 or 0)": "neutral_converged", "rough: cell (sites a side)": "rough_cells",
                 "rough: configurations (1)": "rough_configurations", "rough: mesh (points a side)": "rough_mesh",
                 }  # fmt: skip
        expected |= {heading: d[name].values[row] for heading, name in whole.items()}
        ranges = ((0.11, 0.12), (0.13, 0.13), (0.14, 0.15), (0.016, 0.017))
        for name, bounds in zip((*four[:3], "|Im g_mix|"), ranges, strict=True):
            for which, x in zip(("lowest", "highest"), bounds, strict=True):
                expected[f"published {name}, {which} {unit}"] = "" if row else x
        expected |= {"interface": ("A/B(111)", "C/D(001)")[row], "trust N": ("fitted", "low")[row],
                     "trust F": ("tabulated", "user")[row]}  # fmt: skip
        assert cells.keys() == expected.keys()
        for name, x in expected.items():
            assert cells[name] == x if isinstance(x, str) else float(cells[name]) == pytest.approx(float(x)), name


def test_every_cell_of_the_markdown_tables_is_the_number_of_its_heading(driver):
    d = synthetic()
    lines = driver.markdown(d)
    tables = [line for line in lines if line.startswith("|")]
    heads, first, second = ([[cell.strip() for cell in line.split("|")[1:-1]] for line in tables[i::4]]
                            for i in (0, 2, 3))  # fmt: skip
    assert [len(cells) for cells in heads] == [9, 11, 8, 5]

    def four(prefix="", ending=""):
        return [x for n in ("conductance", "g_mix") for x in numbers_of(d, 0, f"{prefix}{n}{ending}")]

    def worst(*names):
        errors = [(numbers_of(d, 0, f"{n}_k_error"), numbers_of(d, 0, n)) for n in names]
        own = [e / x for error, x_ in errors for e, x in zip(error, x_, strict=True)]
        return f"{100 * max(own):.2g} %"

    published = ("(0.11 to 0.12)", "(0.13)", "(0.14 to 0.15)", "(size 0.016 to 0.017)")
    normal, magnet = numbers_of(d, 0, "sharvin_normal"), numbers_of(d, 0, "sharvin_magnet")
    g_error = numbers_of(d, 0, "g_mix_k_error")
    up_and_down = [e / x for e, x in zip(numbers_of(d, 0, "conductance_k_error"), four()[:2], strict=True)]
    relative = max(*up_and_down, g_error[0] / four()[2])
    assert dict(zip(heads[0], first[0], strict=True)) == {
        "interface": "A/B(111)", "Sharvin N": f"{normal[0]:.3f}",
        **{n: f"{x:.3f} {p}" for n, x, p in zip(heads[0][2:6], four(), published, strict=True)},
        "error": f"{100 * relative:.2g} %; Im {g_error[1]:.1g}", "mesh": "96", "parameters": "fitted/tabulated",
    }  # fmt: skip
    assert heads[0][2:6] == ["G_up", "G_dn", "Re g_mix", "Im g_mix"]
    bare = four(ending="_corrected")
    bare_error = four(ending="_corrected_k_error")
    relative = max(*(e / x for e, x in zip(bare_error[:3], bare[:3], strict=True)),
                   numbers_of(d, 0, "AR_star_k_error")[0] / numbers_of(d, 0, "AR_star")[0])  # fmt: skip
    rest = [numbers_of(d, 0, "AR_star")[0], d["gamma"].values[0], d["polarization"].values[0]]
    assert dict(zip(heads[1], first[1], strict=True)) == {
        "interface": "A/B(111)",
        **{n: f"{x:.3f}" for n, x in zip(("Sharvin F up", "Sharvin F dn"), magnet, strict=True)},
        **{n: f"{x:.3f}" for n, x in zip(heads[0][2:6], bare, strict=True)},
        **{n: f"{x:.3f}" for n, x in zip(("AR* (fOhm m^2)", "gamma", "P"), rest, strict=True)},
        "error": f"{100 * relative:.2g} %",
    }  # fmt: skip
    excess = [f"{d[f'neutral_{n}'].values[0]:.1g}" for n in ("residual", "mesh_error", "lead_excess")]
    shown = [f"{x:.3f} ({y:.3f})" for x, y in zip(four("neutral_"), four(), strict=True)]
    assert first[2] == ["A/B(111)", *shown, *excess]
    columns = (four("rough_", ending) for ending in ("", "_error", "_clean"))
    assert first[3][1:] == [f"{x:.3f} +- {e:.3f} ({y:.3f})" for x, e, y in zip(*columns, strict=True)]
    assert (second[0][0], second[0][2]) == ("C/D(001)", f"{numbers_of(d, 1, 'conductance')[0]:.3f}")
    assert "NOT CONVERGED" in second[0][6]
    assert "NOT NEUTRAL" in second[2][5]
    text = "\n".join(lines)
    for words in ("With 3 neutral layers", "16 x 16", "7 configurations of 4 x 4 sites on a mesh of 12 x 12"):
        assert words in text
    assert text.endswith("Published: some notes.")


def test_the_figure_of_the_table_shows_every_number_and_range():
    d = synthetic()
    panels = plot.interface_conductances(d).axes
    parts = (lambda G, g: G[:, 0], lambda G, g: G[:, 1], lambda G, g: g.real, lambda G, g: np.abs(g.imag))
    bounds = ([0.11, 0.12], [0.13, 0.13], [0.14, 0.15], [0.016, 0.017])
    for panel, part, (low, high) in zip(panels, parts, bounds, strict=True):
        for drawn, prefix, error in zip(panel.containers[1:], ("", "neutral_", "rough_"), ("k_error", None, "error"),
                                        strict=True):  # fmt: skip
            x = part(d[f"{prefix}conductance"].values, d[f"{prefix}g_mix"].values) / 1e15
            np.testing.assert_allclose(drawn.lines[0].get_xdata(), x)
            assert np.all(np.diff(drawn.lines[0].get_ydata()) < 0)
            if error:
                e = part(d[f"{prefix}conductance_{error}"].values, d[f"{prefix}g_mix_{error}"].values) / 1e15
                (bars,) = drawn.lines[2]
                np.testing.assert_allclose([np.ptp(b[:, 0]) for b in bars.get_segments()], 2 * e)
        bar = panel.containers[0][0]
        np.testing.assert_allclose((bar.get_x(), bar.get_x() + bar.get_width()), (low, high))


def test_the_figure_of_films_shows_every_point_and_its_error():
    g, t = np.array([[0.5 - 0.1j, 0.6 + 0.2j]]), np.array([[0.03 + 0.04j, 3e-6 - 4e-6j]])
    error = np.array([[0.01 + 0.01j, 0.02 + 0.02j]])
    at = ("interface", "layers")
    d = xr.Dataset(
        {"film_g_mix": (at, 1e15 * g), "film_t_mix": (at, 1e15 * t), "film_g_mix_k_error": (at, 1e15 * error),
         "film_t_mix_k_error": (at, 1e14 * error), "g_mix": ("interface", [1e15 * (0.55 + 0j)])},
        {"interface": ["A/B(111)"], "layers": [1, 4]},
    )  # fmt: skip
    left, right = plot.film_mixing(d).axes
    reflected, transmitted = left.containers[0], right.containers[0]
    np.testing.assert_allclose(reflected.lines[0].get_ydata(), [0.5, 0.6])
    np.testing.assert_allclose([np.ptp(b[:, 1]) for b in reflected.lines[2][0].get_segments()], [0.02, 0.04])
    np.testing.assert_allclose(transmitted.lines[0].get_ydata(), [0.05, 5e-6])
    # A bar that reaches below zero ends off the axis.
    drawn = transmitted.lines[2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose(np.sort(drawn), [0.05 - 1e-3, 0.05 + 1e-3])
    assert right.get_ylim()[0] < 5e-6
    faces = {tuple(line.get_xdata()): line.get_markerfacecolor() for line in right.lines if line.get_marker() != "None"}
    assert faces[(4,)] == "white"
    assert faces[(1,)] != "white"
    assert [line.get_ydata()[0] for line in left.lines if line.get_linestyle() == "--" and len(line.get_ydata())] == [
        0.55
    ]


@pytest.mark.slow
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

from qtorque import interface_table as table, interface_variants as variants, store
from qtorque.metal_interfaces import Interface, clean_stack

interface = Interface("Cu", "Co", "111")
comm = MPI.COMM_WORLD
found = table.converged_interface(clean_stack(interface), sizes=(4, 6, 30), comm=comm)
films = variants.film_columns(interface, [2], size=30, comm=comm)
zone = variants.zone_columns(clean_stack(interface), found.zone_mesh, found.zone_mixing)
if comm.rank == 0:
    store.save_dataset(films.merge(zone).merge(found.columns), {path!r})
"""


@pytest.mark.slow
@pytest.mark.mpi
def test_a_row_does_not_depend_on_the_number_of_ranks(mpirun, tmp_path):
    run = mpirun(2, ROWS.format(path=str(tmp_path / "two.nc")))
    assert run.returncode == 0, run.stderr
    two = store.load_dataset(tmp_path / "two.nc")
    found = table.converged_interface(clean_stack(CU_CO), sizes=(4, 6, 30))
    zone = variants.zone_columns(clean_stack(CU_CO), found.zone_mesh, found.zone_mixing)
    one = variants.film_columns(CU_CO, [2], size=30).merge(zone).merge(found.columns)
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        assert one[name].values.tobytes() == two[name].values.tobytes(), name


def test_a_map_of_the_zone_has_the_mean_of_the_streamed_sum():
    stack, mesh = clean_stack(CU_CO), qt.kmesh(12, symmetry="hexagonal")
    found = table.converged_interface(stack, sizes=(4, 6, 12, 16), tolerance=1e-9)
    assert (found.zone_mesh.n1, found.mesh.n1) == (12, 16)
    zone = variants.zone_columns(stack, found.zone_mesh, found.zone_mixing)
    g = complex(qt.mixing_conductance(stack, energy=0.0, kmesh=mesh))
    assert complex(zone["zone_g_mix"].mean()) == pytest.approx(g, rel=ROUNDING)
    here = qt.kpoints([zone["zone_phase"].values[[3, 5]]])
    assert complex(zone["zone_g_mix"][3, 5]) == pytest.approx(
        complex(qt.mixing_conductance(qt.solve(stack, kmesh=here))[0]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--interfaces", "Co/Cu:111"], "magnetic"), (["--coarsest", "5"], "5"), (["--rough", "2"], "--rough"),
     (["--films", "3:1"], "films"), (["--tolerance", "0"], "tolerance"), (["--file", "absent.toml"], "absent.toml"),
     (["--configurations", "1"], "configurations"), (["--neutral", "-1"], "neutral"),
     (["--film-kmesh", "2"], "film-kmesh"), (["--interfaces", "MgO/Fe:001"], "MgO/Fe(001)")],
)  # fmt: skip
def test_the_driver_refuses_bad_options_with_one_line_and_writes_nothing(within, arguments, word, tmp_path):
    run = within("interface_table", *arguments, "-o", tmp_path / "new" / "x")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert word in line
    assert list(tmp_path.iterdir()) == []

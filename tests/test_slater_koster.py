"""Slater-Koster metals: integrals, rotations, facets, bonds between unlike metals, alloys, the library, its files."""

import dataclasses
import itertools

import numpy as np
import pytest

import qtorque as qt
from qtorque.__main__ import main
from qtorque.bloch import as_layered
from qtorque.materials import (
    ANGULAR_MOMENTUM,
    hopping_between,
    material_names,
    read_parameters,
    rotation_of_orbitals,
    slater_koster_material,
)
from qtorque.materials.two_centre import ORDER, bond_matrix
from qtorque.spin import PAULI

ROUNDING = 1e-12
"""eV; integrals are of the order of one, matrices are made of a few products of them."""
SAME_TRANSMISSION = 1e-9
"""Two engines, of which Kwant's own modes leave about 1e-10."""
SQRT3 = 3**0.5


def direction(rng):
    v = rng.normal(size=3)
    return v / np.linalg.norm(v)


def table(l, m, n, V):
    """The table of Slater and Koster as printed in textbooks, bond from the first orbital to the second."""
    d2 = l * l - m * m
    z2 = n * n - (l * l + m * m) / 2
    return {
        ("s", "s"): V["sss"],
        ("s", "x"): l * V["sps"],
        ("x", "x"): l * l * V["pps"] + (1 - l * l) * V["ppp"],
        ("x", "y"): l * m * (V["pps"] - V["ppp"]),
        ("x", "z"): l * n * (V["pps"] - V["ppp"]),
        ("s", "xy"): SQRT3 * l * m * V["sds"],
        ("s", "x2-y2"): SQRT3 / 2 * d2 * V["sds"],
        ("s", "3z2-r2"): z2 * V["sds"],
        ("x", "xy"): SQRT3 * l * l * m * V["pds"] + m * (1 - 2 * l * l) * V["pdp"],
        ("x", "yz"): l * m * n * (SQRT3 * V["pds"] - 2 * V["pdp"]),
        ("x", "zx"): SQRT3 * l * l * n * V["pds"] + n * (1 - 2 * l * l) * V["pdp"],
        ("x", "x2-y2"): SQRT3 / 2 * l * d2 * V["pds"] + l * (1 - d2) * V["pdp"],
        ("y", "x2-y2"): SQRT3 / 2 * m * d2 * V["pds"] - m * (1 + d2) * V["pdp"],
        ("z", "x2-y2"): SQRT3 / 2 * n * d2 * V["pds"] - n * d2 * V["pdp"],
        ("x", "3z2-r2"): l * z2 * V["pds"] - SQRT3 * l * n * n * V["pdp"],
        ("z", "3z2-r2"): n * z2 * V["pds"] + SQRT3 * n * (l * l + m * m) * V["pdp"],
        ("xy", "xy"): 3 * l * l * m * m * V["dds"]
        + (l * l + m * m - 4 * l * l * m * m) * V["ddp"]
        + (n * n + l * l * m * m) * V["ddd"],
        ("xy", "yz"): 3 * l * m * m * n * V["dds"]
        + l * n * (1 - 4 * m * m) * V["ddp"]
        + l * n * (m * m - 1) * V["ddd"],
        ("xy", "x2-y2"): l * m * d2 * (1.5 * V["dds"] - 2 * V["ddp"] + 0.5 * V["ddd"]),
        ("yz", "x2-y2"): m * n * (1.5 * d2 * V["dds"] - (1 + 2 * d2) * V["ddp"] + (1 + d2 / 2) * V["ddd"]),
        ("xy", "3z2-r2"): SQRT3 * l * m * (z2 * V["dds"] - 2 * n * n * V["ddp"] + (1 + n * n) / 2 * V["ddd"]),
        ("x2-y2", "x2-y2"): 0.75 * d2 * d2 * V["dds"]
        + (l * l + m * m - d2 * d2) * V["ddp"]
        + (n * n + d2 * d2 / 4) * V["ddd"],
        ("x2-y2", "3z2-r2"): SQRT3 * d2 * (z2 / 2 * V["dds"] - n * n * V["ddp"] + (1 + n * n) / 4 * V["ddd"]),
        ("3z2-r2", "3z2-r2"): z2 * z2 * V["dds"]
        + 3 * n * n * (l * l + m * m) * V["ddp"]
        + 0.75 * (l * l + m * m) ** 2 * V["ddd"],
    }


def test_a_bond_is_that_of_the_printed_table():
    rng = np.random.default_rng(3)
    V = {name: rng.normal() for name in ("sss", "sps", "pps", "ppp", "sds", "pds", "pdp", "dds", "ddp", "ddd")}
    both = V | {"pss": V["sps"], "dss": V["sds"], "dps": V["pds"], "dpp": V["pdp"]}
    for _ in range(5):
        e = direction(rng)
        found = bond_matrix(e, both)
        parity = np.diag([1] + 3 * [-1] + 5 * [1])
        for (row, column), value in table(*e, V).items():
            i, j = ORDER.index(row), ORDER.index(column)
            assert found[i, j] == pytest.approx(value, abs=ROUNDING)
            # Seen from the other atom the bond points back, and odd orbitals change sign.
            assert found[j, i] == pytest.approx(parity[i, i] * parity[j, j] * value, abs=ROUNDING)
    along = bond_matrix(np.array([1.0, 0, 0]), {"sps": 1.0, "pss": 0.25})
    assert (along[0, 1], along[1, 0]) == pytest.approx((1.0, -0.25))


def test_orbitals_rotate_as_a_group_and_bonds_with_them():
    rng = np.random.default_rng(4)
    A, B = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    np.testing.assert_allclose(
        rotation_of_orbitals(A) @ rotation_of_orbitals(B), rotation_of_orbitals(A @ B), atol=ROUNDING
    )
    V = {name: rng.normal() for name in ("sss", "sps", "pss", "pds", "dps", "pdp", "dpp", "dds", "ddp", "ddd", "pps")}
    e = direction(rng)
    D = rotation_of_orbitals(A)
    np.testing.assert_allclose(bond_matrix(A @ e, V), D @ bond_matrix(e, V) @ D.T, atol=ROUNDING)


def test_angular_momentum_has_its_algebra_its_size_and_its_sign():
    Lx, Ly, Lz = ANGULAR_MOMENTUM
    np.testing.assert_allclose(Lx @ Ly - Ly @ Lx, 1j * Lz, atol=ROUNDING)
    square = sum(L @ L for L in ANGULAR_MOMENTUM)
    np.testing.assert_allclose(square, np.diag([0] + 3 * [2] + 5 * [6]), atol=ROUNDING)
    # x + iy turns counter-clockwise: L_z = +1; so does (x + iy)^2 = x2-y2 + 2i xy with +2.
    around = np.zeros(9, dtype=complex)
    around[1], around[2] = 1, 1j
    np.testing.assert_allclose(Lz @ around, around, atol=ROUNDING)
    twice = np.zeros(9, dtype=complex)
    twice[ORDER.index("x2-y2")], twice[ORDER.index("xy")] = 1, 1j
    np.testing.assert_allclose(Lz @ twice, 2 * twice, atol=ROUNDING)
    # A finite rotation is the exponential of the generator.
    angle = 0.3
    R = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    values, vectors = np.linalg.eigh(Lz)
    turned = vectors * np.exp(-1j * angle * values) @ vectors.conj().T
    np.testing.assert_allclose(turned, rotation_of_orbitals(R), atol=ROUNDING)


def test_spin_orbit_coupling_splits_shells_by_total_angular_momentum():
    xi = {"p": 0.3, "d": 0.7}
    flat = dataclasses.replace(
        read_parameters("Cu"), onsite={"Cu": {"s": -50.0, "p": 0.0, "d": 100.0}}, fermi_energy=0.0
    )
    atom = slater_koster_material(flat, facet="111", spin_orbit=xi)
    H = np.kron(atom.onsite, PAULI[0]) + sum(np.kron(atom.spin_orbit[a], PAULI[a + 1]) for a in range(3))
    levels = np.linalg.eigvalsh(H)[2:]
    expected = [-xi["p"]] * 2 + [xi["p"] / 2] * 4 + [100 - 1.5 * xi["d"]] * 4 + [100 + xi["d"]] * 6
    np.testing.assert_allclose(levels, expected, atol=1e-10)


def bands(material, k_crystal):
    """Eigenvalues at a momentum given in the axes of the cubic crystal, 1/nm, spin up along z."""
    k = material.atoms[0].crystal.axes @ k_crystal
    H = material.onsite - 0.5 * material.exchange
    for vector, matrix in material.hoppings:
        term = np.exp(1j * k @ (np.array(vector) @ material.lattice)) * matrix
        H = H + term + term.conj().T
    if material.spin_orbit is None:
        return np.linalg.eigvalsh(H)
    full = np.kron(H, PAULI[0]) + sum(np.kron(material.spin_orbit[a], PAULI[a + 1]) for a in range(3))
    return np.linalg.eigvalsh(full)


@pytest.mark.parametrize(("name", "spin_orbit"), [("Co", False), ("Fe", False), ("MgO", False), ("Au", True)])
def test_all_facets_are_cuts_of_one_crystal(name, spin_orbit):
    rng = np.random.default_rng(5)
    facets = read_parameters(name).facets
    for k in rng.normal(size=(2, 3)) * 10:
        cut = [bands(qt.slater_koster(name, facet=f, spin_orbit=spin_orbit, magnetic=False), k) for f in facets]
        for other in cut[1:]:
            np.testing.assert_allclose(other, cut[0], atol=1e-10)
        # Cubic symmetry of the crystal itself.
        for facet in facets[:1]:
            material = qt.slater_koster(name, facet=facet, spin_orbit=spin_orbit, magnetic=False)
            np.testing.assert_allclose(bands(material, k[[1, 2, 0]] * [1, -1, 1]), cut[0], atol=1e-10)


@pytest.mark.parametrize(
    ("name", "facet", "reach", "shells"),
    [
        ("Cu", "111", 1, {0.5**0.5: 12, 1.0: 6}),
        ("Cu", "001", 2, {0.5**0.5: 12, 1.0: 6}),
        ("Cu", "110", 2, {0.5**0.5: 12, 1.0: 6}),
        ("Fe", "001", 2, {0.75**0.5: 8, 1.0: 6, 2**0.5: 12}),
        ("Fe", "110", 2, {0.75**0.5: 8, 1.0: 6, 2**0.5: 12}),
        ("Fe_wood", "110", 1, {0.75**0.5: 8, 1.0: 6}),
    ],
)
def test_a_cut_has_the_neighbours_of_the_crystal(name, facet, reach, shells):
    material = qt.slater_koster(name, facet=facet)
    a = read_parameters(name).lattice_constant
    lengths = np.array([np.linalg.norm(np.array(v) @ material.lattice) / a for v, _ in material.hoppings])
    assert {s: 2 * np.count_nonzero(np.abs(lengths - s) < 1e-9) for s in shells} == shells
    assert 2 * len(lengths) == sum(shells.values())
    assert material.reach == reach
    a1, a2, a3 = material.lattice
    assert np.cross(a1, a2)[2] > 0
    assert a3[2] > 0
    atoms_per_cube = {"fcc": 4, "bcc": 2}[read_parameters(name).structure]
    assert np.linalg.det(material.lattice) == pytest.approx(a**3 / atoms_per_cube)


def test_the_levels_of_an_atom_are_those_of_the_file_in_any_frame():
    p = read_parameters("Fe")
    iron = qt.slater_koster("Fe", facet="110")
    levels = p.onsite["Fe"]
    expected = [levels["s"], *(3 * [levels["p"]]), *(3 * [levels["t2g"]]), *(2 * [levels["eg"]])]
    np.testing.assert_allclose(
        np.linalg.eigvalsh(iron.onsite), np.sort(np.array(expected) - p.fermi_energy_magnetic), atol=1e-10
    )
    np.testing.assert_allclose(np.diag(iron.exchange), [0] * 4 + [p.splitting] * 5)
    assert np.count_nonzero(iron.exchange) == 5
    plain = qt.slater_koster("Fe", facet="110", magnetic=False)
    assert not plain.magnetic
    np.testing.assert_allclose(
        plain.onsite - iron.onsite, (p.fermi_energy_magnetic - p.fermi_energy) * np.eye(9), atol=ROUNDING
    )
    assert qt.slater_koster("Au", facet="111", spin_orbit=True).spin_orbit_coupled
    assert not qt.slater_koster("Au", facet="111").spin_orbit_coupled


def test_unlike_metals_hop_by_the_mean_of_their_integrals():
    Cu, Co = (qt.slater_koster(name, facet="111") for name in ("Cu", "Co"))
    a, b = (read_parameters(name) for name in ("Cu", "Co"))
    for mean in (qt.geometric_mean, qt.arithmetic_mean):
        for vector in [(0, 0, 1), (1, 0, 1), (-1, 0, 1), (0, 1, 1)]:
            there = hopping_between(Cu, Co, vector, mean)
            back = hopping_between(Co, Cu, tuple(-x for x in vector), mean)
            np.testing.assert_allclose(there, back.T, atol=ROUNDING)
        # The first vector is a bond of the first shell: s to s is the mean of both sss.
        sss = mean(a.bonds["Cu", "Cu", 1]["sss"], b.bonds["Co", "Co", 1]["sss"])
        assert hopping_between(Cu, Co, (0, 0, 1), mean)[0, 0] == pytest.approx(sss)
    assert qt.geometric_mean(-4.0, -9.0) == -6.0
    assert qt.geometric_mean(1.0, -4.0) == -2.0
    assert qt.arithmetic_mean(1.0, -4.0) == -1.5
    own = dict(Cu.hoppings)
    np.testing.assert_allclose(hopping_between(Cu, Cu, (0, 0, 1), qt.geometric_mean), own[0, 0, 1], atol=ROUNDING)
    stacks = [
        as_layered(qt.Stack(left=qt.Lead(Cu), right=qt.Lead(Co), **given))
        for given in ({}, {"unlike_hopping": qt.arithmetic_mean})
    ]
    bonds = [stack.chain().bond[1].at(np.zeros((1, 2)))[0] for stack in stacks]
    assert np.abs(bonds[0] - bonds[1]).max() > 1e-3


def test_a_face_centred_layer_on_a_body_centred_one_bonds_shell_by_shell():
    # Straight up from the hollow: shell 1 of both, though their lengths differ; two layers up: shell 2 of both.
    Au, Fe = qt.slater_koster("Au", facet="001"), qt.slater_koster("Fe", facet="001")
    a, b = (read_parameters(name).bonds for name in ("Au", "Fe"))
    vectors = [(n1, n2, 1) for n1, n2 in itertools.product(range(-2, 2), repeat=2)]
    s_to_s = {v: hopping_between(Au, Fe, v, qt.geometric_mean)[0, 0] for v in vectors}
    first = qt.geometric_mean(a["Au", "Au", 1]["sss"], b["Fe", "Fe", 1]["sss"])
    assert sorted(v for v, value in s_to_s.items() if value) == [(-1, -1, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 1)]
    assert s_to_s[0, 0, 1] == pytest.approx(first)
    second = qt.geometric_mean(a["Au", "Au", 2]["sss"], b["Fe", "Fe", 2]["sss"])
    assert hopping_between(Au, Fe, (-1, -1, 2), qt.geometric_mean)[0, 0] == pytest.approx(second)
    # Third neighbours exist in iron alone.
    assert not np.any(hopping_between(Au, Fe, (0, -1, 2), qt.geometric_mean))


def test_oxygen_sits_on_top_of_iron():
    Fe, MgO = qt.slater_koster("Fe", facet="001"), qt.slater_koster("MgO", facet="001")
    kinds = [atom.kind for atom in MgO.atoms]
    oxygen = slice(0, 4) if kinds[0] == "O" else slice(4, 8)
    magnesium = slice(4, 8) if kinds[0] == "O" else slice(0, 4)
    bonds = {v: hopping_between(Fe, MgO, (*v, 1), qt.geometric_mean) for v in itertools.product(range(-2, 2), repeat=2)}
    on_top = [v for v, matrix in bonds.items() if np.any(matrix[:, oxygen])]
    hollow = [v for v, matrix in bonds.items() if np.any(matrix[:, magnesium])]
    assert (len(on_top), len(hollow)) == (1, 4)
    straight = bonds[on_top[0]][:, oxygen]
    # A bond along z: s and 3z2-r2 of iron couple to s and z of oxygen, x to x, zx to x; nothing else.
    rows = [ORDER.index(o) for o in ("xy", "x2-y2")]
    assert not np.any(np.abs(straight[rows]) > ROUNDING)
    assert straight[ORDER.index("3z2-r2"), 3] != 0
    back = hopping_between(MgO, Fe, (*(-np.array(on_top[0])).tolist(), -1), qt.geometric_mean)
    np.testing.assert_allclose(back[oxygen].T, straight, atol=ROUNDING)


@pytest.mark.kwant
@pytest.mark.parametrize(
    ("metals", "facet", "spin_orbit"),
    [
        (("Co", "Cu"), "111", False),
        (("Co", "Cu"), "111", True),
        (("Co", "Cu"), "110", False),
        (("Fe", "Cr"), "001", False),
    ],
)
def test_layered_engine_equals_kwant_on_real_metals(metals, facet, spin_orbit):
    F, N = (qt.slater_koster(name, facet=facet) for name in metals)
    inner = [qt.slater_koster(name, facet=facet, spin_orbit=spin_orbit) for name in metals]
    stack = qt.Stack(
        left=qt.Lead(N),
        layers=[qt.Layer(inner[0], 2, magnet="fixed"), qt.Layer(inner[1], 3), qt.Layer(F, 2, magnet="free")],
        right=qt.Lead(N),
    )
    k = qt.kpoints(np.random.default_rng(8).uniform(0, 2 * np.pi, (2, 2)))
    layered, kwant = (qt.solve(stack, kmesh=k, engine=engine, angle=1.1) for engine in ("layered", "kwant"))
    assert layered.probabilities("left", "right").max() > 1e-3
    for pair in itertools.product(("left", "right"), repeat=2):
        np.testing.assert_allclose(layered.probabilities(*pair), kwant.probabilities(*pair), atol=SAME_TRANSMISSION)
    assert layered.unitarity_error.max() < SAME_TRANSMISSION


def test_two_engines_agree_on_a_junction_of_unlike_orbitals():
    Fe, MgO = qt.slater_koster("Fe", facet="001"), qt.slater_koster("MgO", facet="001")
    stack = qt.Stack(left=qt.Lead(Fe), layers=[qt.Layer(MgO, 1, barrier=True)], right=qt.Lead(Fe))
    k = qt.kpoints([[0.3, 0.7]])
    layered, kwant = (
        qt.solve(stack, kmesh=k, engine=engine, angle=0.8).probabilities("left", "right")
        for engine in ("layered", "kwant")
    )
    assert layered.max() > 1e-4
    np.testing.assert_allclose(layered, kwant, atol=SAME_TRANSMISSION)


def test_a_lead_in_front_of_itself_transmits_all_channels():
    for facet in ("111", "001", "110"):
        Cu = qt.slater_koster("Cu", facet=facet)
        s = qt.solve(qt.Stack(left=qt.Lead(Cu), layers=[qt.Layer(Cu, 3)], right=qt.Lead(Cu)), kmesh=4)
        np.testing.assert_allclose(np.trace(qt.conductance(s).values), qt.sharvin_conductance(s).sum(), atol=1e-9)


def test_a_supercell_of_metals_folds_the_primitive_one():
    Cu, Co = (qt.slater_koster(name, facet="111") for name in ("Cu", "Co"))
    wide = [qt.in_plane_supercell([[metal, metal]]) for metal in (Cu, Co)]
    small = qt.solve(qt.Stack(left=qt.Lead(Cu), right=qt.Lead(Co)), kmesh=qt.kmesh(2, 4))
    large = qt.solve(qt.Stack(left=qt.Lead(wide[0]), right=qt.Lead(wide[1])), kmesh=qt.kmesh(2, 2))
    np.testing.assert_allclose(qt.conductance(large) / 2, qt.conductance(small), atol=1e-9)
    g = [complex(qt.k_average(qt.mixing_conductance(s))) for s in (small, large)]
    assert g[1] / 2 == pytest.approx(g[0], abs=1e-9)
    assert wide[0].electrons == 2 * Cu.electrons
    np.testing.assert_allclose(wide[0].positions[9:] - wide[0].positions[:9], np.tile(Cu.lattice[1], (9, 1)))


def test_an_alloyed_layer_bonds_every_pair_by_the_rule():
    Cu, Co = (qt.slater_koster(name, facet="111") for name in ("Cu", "Co"))
    alloy = qt.in_plane_supercell([[Cu, Co]])
    assert alloy.cells == (1, 2)
    np.testing.assert_allclose(alloy.onsite[:9, :9], Cu.onsite, atol=ROUNDING)
    np.testing.assert_allclose(alloy.exchange[9:, 9:], Co.exchange)
    unlike = hopping_between(Cu, Co, (0, 1, 0), qt.geometric_mean)
    np.testing.assert_allclose(alloy.onsite[:9, 9:], unlike, atol=ROUNDING)
    np.testing.assert_allclose(dict(alloy.hoppings)[1, 0, 0][:9, :9], dict(Cu.hoppings)[1, 0, 0], atol=ROUNDING)
    pure = qt.in_plane_supercell([[Co, Co]])
    up = hopping_between(alloy, pure, (0, 0, 1), qt.geometric_mean)
    np.testing.assert_allclose(up[:9, :9], hopping_between(Cu, Co, (0, 0, 1), qt.geometric_mean), atol=ROUNDING)
    np.testing.assert_allclose(up[9:, 9:], dict(Co.hoppings)[0, 0, 1], atol=ROUNDING)
    # A disordered level of a site is kept.
    changed = dataclasses.replace(Cu, onsite=Cu.onsite + 0.2 * np.eye(9))
    np.testing.assert_allclose(qt.in_plane_supercell([[changed, Co]]).onsite[:9, :9], changed.onsite, atol=ROUNDING)
    half = qt.in_plane_supercell(
        [[qt.slater_koster("Pt", facet="111", spin_orbit=True), qt.slater_koster("Pd", facet="111")]]
    )
    assert np.any(half.spin_orbit[:, :9, :9])
    assert not np.any(half.spin_orbit[:, 9:])


def test_a_shifted_layer_is_shifted():
    Cu = qt.slater_koster("Cu", facet="111")
    stack = qt.Stack(left=qt.Lead(Cu), layers=[qt.Layer(Cu, 1, shift=0.25), qt.Layer(Cu)], right=qt.Lead(Cu))
    onsite = [block.at(np.zeros((1, 2)))[0] for block in as_layered(stack).chain().onsite]
    np.testing.assert_allclose(onsite[2] - onsite[3], 0.25 * np.eye(18), atol=ROUNDING)


def test_the_region_ends_in_as_many_layers_of_a_lead_as_it_hops():
    Fe = qt.slater_koster("Fe", facet="001")
    labels = [
        m.label for m in qt.Stack(left=qt.Lead(Fe), layers=[qt.Layer(Fe, name="spacer")], right=qt.Lead(Fe)).monolayers
    ]
    assert labels == ["left lead 1", "left lead 2", "spacer", "right lead 1", "right lead 2"]
    assert len(qt.Stack(left=qt.Lead(Fe), right=qt.Lead(Fe)).builders()[1].symmetry.periods) == 3


def test_every_metal_of_the_library_has_a_source_and_a_level_of_trust():
    names = material_names()
    assert {"Cu", "Co", "Ni", "Fe", "Cr", "Pt", "Au", "MgO"} <= set(names)
    for name in names:
        p = read_parameters(name)
        assert p.source
        assert p.trust in ("tabulated", "fitted", "low")
        for facet in p.facets:
            assert qt.slater_koster(name, facet=facet).electrons == p.electrons
    assert read_parameters("MgO").trust == "low"
    assert read_parameters("MgO").caution


USER = """
[material.Xx]
structure = "fcc"
lattice_constant_angstrom = 4.0
valence_electrons = 1
source = "a test"
fermi_level_eV = 0.5
onsite_eV = { s = 1.0 }
shell1_eV = { sss = -0.8 }
"""


def test_a_file_of_ones_own_adds_a_metal(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(USER)
    metal = qt.slater_koster("Xx", facet="001", file=path)
    assert metal.orbitals == 1
    assert metal.onsite[0, 0] == pytest.approx(0.5)
    k = np.array([3.0, 5.0, 7.0])
    x, y, z = np.cos(0.2 * k)
    assert bands(metal, k)[0] == pytest.approx(0.5 - 0.8 * 4 * (x * y + y * z + z * x))
    assert qt.slater_koster("Cu", facet="111", file=path).orbitals == 9
    assert material_names(path)[0] == "Xx"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("shell1_eV = { sss = -0.8 }", ""), "no bonds"),
        (("sss = -0.8", "sts = 1.0"), "no two-centre integral"),
        (('source = "a test"', ""), "lacks source"),
        (('"fcc"', '"hcp"'), "structure='hcp'"),
        (("4.0", "-4.0"), "positive"),
        (("fermi_level_eV = 0.5", 'fermi_level_eV = "0.5"'), "finite number"),
        (("{ s = 1.0 }", "{ f = 1.0 }"), "onsite_eV"),
        (("[material.Xx]", "[material.Xx"), "TOML"),
        (("material.Xx", "metal.Xx"), "no tables"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, change, words):
    path = tmp_path / "own.toml"
    path.write_text(USER.replace(*change))
    with pytest.raises(qt.InputError, match=words) as refused:
        qt.slater_koster("Xx", facet="001", file=path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "Unobtainium", "facet": "111"}, "unknown; use one of Cu"),
        ({"name": "Cu", "facet": "123"}, "use one of 111, 001, 110"),
        ({"name": "Cu", "facet": 111}, "no text"),
        ({"name": "W", "facet": "110", "spin_orbit": True}, "no spin-orbit coupling in the file"),
        ({"name": "Cu", "facet": "111", "spin_orbit": {"f": 1.0}}, "give xi of 'p' or 'd'"),
        ({"name": "Cu", "facet": "111", "spin_orbit": 0.1}, "give True, False or a dictionary"),
        ({"name": "Cu", "facet": "111", "file": "nowhere.toml"}, "cannot be read"),
    ],
)
def test_bad_input_is_refused_with_the_mend(given, words):
    with pytest.raises(qt.InputError, match=words):
        qt.slater_koster(given.pop("name"), **given)


def test_metals_that_cannot_be_stacked_are_refused():
    Cu, Fe = qt.slater_koster("Cu", facet="111"), qt.slater_koster("Fe", facet="110")
    with pytest.raises(qt.InputError, match="differ in shape"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(Fe))
    with pytest.raises(qt.InputError, match=r"mismatch by 8.5 %"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(qt.slater_koster("Pt", facet="111")))
    with pytest.raises(qt.InputError, match="no rule gives the hopping"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(qt.single_band(onsite=0.0, lattice_constant=0.25)))
    with pytest.raises(qt.InputError, match="supercells"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(qt.in_plane_supercell([[Cu, Cu]])))
    with pytest.raises(qt.InputError, match="no rule"):
        qt.in_plane_supercell([[Cu, qt.single_band(onsite=0.0)]])


def test_the_library_is_listed_from_the_command_line(capsys):
    assert main(["materials"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in material_names())
    assert main(["materials", "MgO"]) == 0
    assert "caution" in capsys.readouterr().out
    assert main(["materials", "Unobtainium"]) == 2
    assert "unknown" in capsys.readouterr().err

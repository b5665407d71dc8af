"""Slater-Koster metals: integrals, rotations, facets, bonds between unlike metals, alloys, the library, its files."""

import dataclasses
import functools
import itertools

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque.__main__ import main
from qtorque.bloch import as_layered
from qtorque.channels import OPEN_CHANNEL
from qtorque.green import Phases, Sweeps
from qtorque.materials import (
    ANGULAR_MOMENTUM,
    hoppings_between,
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
POINT = np.array([[0.3, 0.7]])


@functools.cache
def metal(name, facet, spin_orbit=False, magnetic=True):
    """A material of the library, made once for all tests."""
    return qt.slater_koster(name, facet=facet, spin_orbit=spin_orbit, magnetic=magnetic)


def hopping_between(below, above, vector, mean):
    found = hoppings_between(below, above, vector[2], mean)
    return found.get(tuple(vector), np.zeros((below.orbitals, above.orbitals)))


def blocks(stack):
    """On-site blocks and bonds of the chain of a stack at one momentum."""
    chain = as_layered(stack).chain()
    return [block.at(POINT)[0] for block in (*chain.onsite, *chain.bond)]


def interface(first, second, **given):
    return qt.Stack(left=qt.Lead(first), right=qt.Lead(second), **given)


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
        cut = [bands(metal(name, facet=f, spin_orbit=spin_orbit, magnetic=False), k) for f in facets]
        for other in cut[1:]:
            np.testing.assert_allclose(other, cut[0], atol=1e-10)
        # Cubic symmetry of the crystal itself.
        for facet in facets[:1]:
            material = metal(name, facet=facet, spin_orbit=spin_orbit, magnetic=False)
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
    material = metal(name, facet=facet)
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
    iron = metal("Fe", facet="110")
    levels = p.onsite["Fe"]
    expected = [levels["s"], *(3 * [levels["p"]]), *(3 * [levels["t2g"]]), *(2 * [levels["eg"]])]
    np.testing.assert_allclose(
        np.linalg.eigvalsh(iron.onsite), np.sort(np.array(expected) - p.fermi_energy_magnetic), atol=1e-10
    )
    np.testing.assert_allclose(np.diag(iron.exchange), [0] * 4 + [p.splitting] * 5)
    assert np.count_nonzero(iron.exchange) == 5
    plain = metal("Fe", facet="110", magnetic=False)
    assert not plain.magnetic
    np.testing.assert_allclose(
        plain.onsite - iron.onsite, (p.fermi_energy_magnetic - p.fermi_energy) * np.eye(9), atol=ROUNDING
    )
    assert metal("Au", facet="111", spin_orbit=True).spin_orbit_coupled
    assert not metal("Au", facet="111").spin_orbit_coupled


def test_unlike_metals_hop_by_the_mean_of_their_integrals():
    Cu, Co = (metal(name, facet="111") for name in ("Cu", "Co"))
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
    Au, Fe = metal("Au", facet="001"), metal("Fe", facet="001")
    a, b = (read_parameters(name).bonds for name in ("Au", "Fe"))
    vectors = [(n1, n2, 1) for n1, n2 in itertools.product(range(-2, 2), repeat=2)]
    s_to_s = {v: hopping_between(Au, Fe, v, qt.geometric_mean)[0, 0] for v in vectors}
    first = qt.geometric_mean(a["Au", "Au", 1]["sss"], b["Fe", "Fe", 1]["sss"])
    assert sorted(v for v, value in s_to_s.items() if value) == [(-1, -1, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 1)]
    assert s_to_s[0, 0, 1] == pytest.approx(first)
    second = qt.geometric_mean(a["Au", "Au", 2]["sss"], b["Fe", "Fe", 2]["sss"])
    assert hopping_between(Au, Fe, (-1, -1, 2), qt.geometric_mean)[0, 0] == pytest.approx(second)
    # Every orbital, from either end, along the mean of both directions, scaled to one net.
    integrals = {n: qt.geometric_mean(a["Au", "Au", 1][n], b["Fe", "Fe", 1][n]) for n in b["Fe", "Fe", 1]}
    integrals |= {f"{n[1]}{n[0]}{n[2]}": value for n, value in integrals.items() if n[0] != n[1]}
    along = Au.lattice[2] / np.linalg.norm(Au.lattice[0]) + Fe.lattice[2] / np.linalg.norm(Fe.lattice[0])
    up = hopping_between(Au, Fe, (0, 0, 1), qt.geometric_mean)
    np.testing.assert_allclose(up, bond_matrix(along / np.linalg.norm(along), integrals), atol=ROUNDING)
    for v in vectors:
        there = hopping_between(Au, Fe, v, qt.geometric_mean)
        back = hopping_between(Fe, Au, (-v[0], -v[1], -1), qt.geometric_mean)
        np.testing.assert_allclose(there, back.T, atol=ROUNDING)
    # Third neighbours exist in iron alone.
    assert not np.any(hopping_between(Au, Fe, (0, -1, 2), qt.geometric_mean))


def test_oxygen_sits_on_top_of_iron():
    Fe, MgO = metal("Fe", facet="001"), metal("MgO", facet="001")
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
    # s of iron to z of oxygen, of opposite signs at either end: pss of O-Mg is that of an s of the metal.
    a, b = (read_parameters(name).bonds for name in ("Fe", "MgO"))
    mean = qt.geometric_mean(a["Fe", "Fe", 1]["sps"], b["O", "Mg", 1]["pss"])
    assert straight[0, 3] == pytest.approx(mean, abs=ROUNDING)
    # d of iron to s of oxygen: magnesium has no d, so that of iron stands.
    assert straight[ORDER.index("3z2-r2"), 0] == pytest.approx(a["Fe", "Fe", 1]["sds"], abs=ROUNDING)
    back = hopping_between(MgO, Fe, (*(-np.array(on_top[0])).tolist(), -1), qt.geometric_mean)
    np.testing.assert_allclose(back[oxygen].T, straight, atol=ROUNDING)


def bond_by_gradients(e, V):
    """A bond from harmonic polynomials: sigma along it, pi by their gradients across it, delta by what is left."""
    s3, (x, y, z) = SQRT3, e
    value = np.array([s3 * x * y, s3 * y * z, s3 * z * x, s3 / 2 * (x * x - y * y), z * z - (x * x + y * y) / 2])
    slope = s3 * np.array([[y, x, 0], [0, z, y], [z, 0, x], [x, -y, 0], [-x / s3, -y / s3, 2 * z / s3]])
    across = slope - 2 * np.outer(value, e)
    M = np.zeros((9, 9))
    M[0, 0] = V["sss"]
    M[0, 1:4], M[0, 4:] = e * V["sps"], value * V["sds"]
    M[1:4, 1:4] = np.outer(e, e) * (V["pps"] - V["ppp"]) + np.eye(3) * V["ppp"]
    M[1:4, 4:] = np.outer(e, value) * V["pds"] + across.T / s3 * V["pdp"]
    M[1:4, 0], M[4:, 0], M[4:, 1:4] = -M[0, 1:4], M[0, 4:], -M[1:4, 4:].T
    M[4:, 4:] = np.outer(value, value) * (V["dds"] - V["ddd"]) + np.eye(5) * V["ddd"]
    M[4:, 4:] += across @ across.T / 3 * (V["ddp"] - V["ddd"])
    return M


@pytest.mark.kwant
@pytest.mark.parametrize(
    ("names", "vectors", "lengths"),
    [
        (["Cu", "Co", "Co", "Cu"], ((0.5, -0.5, 0), (0.5, 0, -0.5), (0.5, 0.5, 0)), (0.5**0.5, 1.0)),
        (["Cr"] * 2 + ["Fe"] + ["Cr"] * 2, ((1, 0, 0), (0, 1, 0), (0.5, 0.5, 0.5)), (0.75**0.5, 1.0, 2**0.5)),
    ],
)
def test_a_slab_has_the_levels_of_one_summed_by_hand_in_crystal_axes(names, vectors, lengths):
    """Unlike metals, exchange along a tilted direction and spin-orbit coupling, at a momentum without symmetry."""
    facet, n, xi = ("111" if len(lengths) == 2 else "001"), len(names), 0.3
    tables = [read_parameters(name) for name in names]
    made = [metal(name, facet=facet) for name in names]
    lab = np.array([0.48, 0.6, 0.64])
    coupled = {name: qt.slater_koster(name, facet=facet, spin_orbit={"d": xi}) for name in names}
    reach = made[0].reach
    pieces = [qt.Layer(coupled[name], magnetization=lab) for name in names[reach:-reach]]
    ends = {side: qt.Lead(coupled[names[0]]) for side in ("left", "right")}
    region = qt.Stack(layers=pieces, **ends)
    params = {**region.params(), "k_x": 0.4, "k_y": 1.9}
    levels = kwant.wraparound.wraparound(region.builders()[0]).finalized().hamiltonian_submatrix(params=params)
    m = made[0].atoms[0].crystal.axes.T @ lab
    H = np.zeros((n, 18, n, 18), dtype=complex)
    for i, p in enumerate(tables):
        (onsite,) = p.onsite.values()
        level = p.fermi_energy_magnetic if p.splitting else p.fermi_energy
        energies = np.array([onsite["s"]] + 3 * [onsite["p"]] + 3 * [onsite["t2g"]] + 2 * [onsite["eg"]]) - level
        H[i, :, i] += np.kron(np.diag(energies), PAULI[0])
        H[i, :, i] -= 0.5 * p.splitting * np.kron(np.diag([0] * 4 + [1] * 5), np.einsum("a,ast->st", m, PAULI[1:]))
        for a, L in enumerate(ANGULAR_MOMENTUM):
            H[i, 8:, i, 8:] += 0.5 * xi * np.kron(L[4:, 4:], PAULI[a + 1])
        for j, (n1, n2) in itertools.product(range(n), itertools.product(range(-3, 4), repeat=2)):
            R = np.array([n1, n2, j - i]) @ np.array(vectors)
            shell = [number for number, length in enumerate(lengths, 1) if abs(np.linalg.norm(R) - length) < 1e-6]
            if shell:
                own, other = (t.bonds[t.name, t.name, shell[0]] for t in (p, tables[j]))
                V = {key: np.sign(own[key] + other[key]) * abs(own[key] * other[key]) ** 0.5 for key in own}
                bond = bond_by_gradients(R / np.linalg.norm(R), V)
                H[i, :, j] += np.exp(1j * (0.4 * n1 + 1.9 * n2)) * np.kron(bond, PAULI[0])
    expected = np.linalg.eigvalsh(H.reshape(18 * n, 18 * n))
    np.testing.assert_allclose(np.linalg.eigvalsh(levels), expected, atol=1e-10)


@pytest.mark.kwant
@pytest.mark.parametrize(
    ("metals", "facet", "spin_orbit"),
    [
        (("Co", "Cu"), "111", True),
        (("Fe", "Cr"), "001", False),
    ],
)
def test_layered_engine_equals_kwant_on_real_metals(metals, facet, spin_orbit):
    F, N = (metal(name, facet=facet) for name in metals)
    inner = [metal(name, facet=facet, spin_orbit=spin_orbit) for name in metals]
    stack = qt.Stack(
        left=qt.Lead(N),
        layers=[qt.Layer(inner[0], 1, magnet="fixed"), qt.Layer(inner[1], 1), qt.Layer(F, 1, magnet="free")],
        right=qt.Lead(N),
    )
    k = qt.kpoints(np.random.default_rng(8).uniform(0, 2 * np.pi, (1, 2)))
    layered, kwant = (qt.solve(stack, kmesh=k, engine=engine, angle=1.1) for engine in ("layered", "kwant"))
    assert layered.probabilities("left", "right").max() > 1e-3
    for pair in itertools.product(("left", "right"), repeat=2):
        np.testing.assert_allclose(layered.probabilities(*pair), kwant.probabilities(*pair), atol=SAME_TRANSMISSION)
    assert layered.unitarity_error.max() < SAME_TRANSMISSION


def test_two_engines_agree_on_a_junction_of_unlike_orbitals():
    Fe, MgO = metal("Fe", facet="001"), metal("MgO", facet="001")
    stack = qt.Stack(left=qt.Lead(Fe), layers=[qt.Layer(MgO, 1, barrier=True)], right=qt.Lead(Fe))
    k = qt.kpoints([[0.3, 0.7]])
    layered, kwant = (
        qt.solve(stack, kmesh=k, engine=engine, angle=0.8).probabilities("left", "right")
        for engine in ("layered", "kwant")
    )
    assert layered.max() > 1e-4
    np.testing.assert_allclose(layered, kwant, atol=SAME_TRANSMISSION)


def test_a_lead_in_front_of_itself_changes_nothing_whatever_the_others_reach():
    """Also where a layer hops further than the leads do: into their second monolayer."""
    Cu = metal("Cu", facet="001")
    s = qt.solve(qt.Stack(left=qt.Lead(Cu), layers=[qt.Layer(Cu, 3)], right=qt.Lead(Cu)), kmesh=2)
    np.testing.assert_allclose(np.trace(qt.conductance(s).values), qt.sharvin_conductance(s).sum(), atol=1e-9)
    near = qt.single_band(onsite=0.0)
    far = dataclasses.replace(near, hoppings=(*near.hoppings, ((0, 0, 2), np.array([[-0.8 + 0j]]))))
    both = {"left": qt.Lead(near), "right": qt.Lead(near)}
    bare = qt.Stack(layers=[qt.Layer(far, 2)], **both)
    assert [m.label for m in bare.monolayers][:2] == ["left lead 1", "left lead 2"]
    padded = qt.Stack(layers=[qt.Layer(near, 3), qt.Layer(far, 2), qt.Layer(near, 2)], **both)
    k = qt.kpoints([[1.3, 1.1]])
    runs = itertools.product((bare, padded), ("layered", "kwant"))
    found = [qt.solve(s, kmesh=k, engine=engine).probabilities("left", "right") for s, engine in runs]
    assert found[0].max() > 0.01
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=SAME_TRANSMISSION)


def test_a_supercell_of_metals_folds_the_primitive_one():
    Cu, Co = (metal(name, facet="111") for name in ("Cu", "Co"))
    wide = [qt.in_plane_supercell([[each, each]]) for each in (Cu, Co)]
    small = qt.solve(qt.Stack(left=qt.Lead(Cu), right=qt.Lead(Co)), kmesh=qt.kmesh(2, 4))
    large = qt.solve(qt.Stack(left=qt.Lead(wide[0]), right=qt.Lead(wide[1])), kmesh=qt.kmesh(2, 2))
    np.testing.assert_allclose(qt.conductance(large) / 2, qt.conductance(small), atol=1e-9)
    g = [complex(qt.k_average(qt.mixing_conductance(s))) for s in (small, large)]
    assert g[1] / 2 == pytest.approx(g[0], abs=1e-9)
    assert wide[0].electrons == 2 * Cu.electrons
    np.testing.assert_allclose(wide[0].positions[9:] - wide[0].positions[:9], np.tile(Cu.lattice[1], (9, 1)))


def test_an_alloyed_layer_bonds_every_pair_by_the_rule():
    Cu, Co = (metal(name, facet="111") for name in ("Cu", "Co"))
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
    Pt = metal("Pt", facet="111", spin_orbit=True)
    half = qt.in_plane_supercell([[Pt, metal("Pd", facet="111")]])
    np.testing.assert_array_equal(half.spin_orbit[:, :9, :9], Pt.spin_orbit)
    assert not np.any(half.spin_orbit[:, 9:])


def test_a_shifted_layer_is_shifted():
    Cu = metal("Cu", facet="111")
    stack = qt.Stack(left=qt.Lead(Cu), layers=[qt.Layer(Cu, 1, shift=0.25), qt.Layer(Cu)], right=qt.Lead(Cu))
    onsite = [block.at(np.zeros((1, 2)))[0] for block in as_layered(stack).chain().onsite]
    np.testing.assert_allclose(onsite[2] - onsite[3], 0.25 * np.eye(18), atol=ROUNDING)


def test_the_region_ends_in_as_many_layers_of_a_lead_as_it_hops():
    Fe = metal("Fe", facet="001")
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
        assert metal(name, facet=p.facets[-1]).electrons == p.electrons
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
    own = qt.slater_koster("Xx", facet="001", file=path)
    assert own.orbitals == 1
    assert own.onsite[0, 0] == pytest.approx(0.5)
    k = np.array([3.0, 5.0, 7.0])
    x, y, z = np.cos(0.2 * k)
    assert bands(own, k)[0] == pytest.approx(0.5 - 0.8 * 4 * (x * y + y * z + z * x))
    assert qt.slater_koster("Cu", facet="111", file=path).orbitals == 9
    assert material_names(path)[0] == "Xx"


BONDS, LEVELS, PLACE = "shell1_eV = { sss = -0.8 }", "{ s = 1.0 }", "fermi_level_eV = 0.5"
MAGNET = "splitting_eV = 1.0, fermi_level_eV = 0.1, moment_bohr_magnetons = 1.0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((BONDS, ""), "no bonds"),
        (("sss = -0.8", "sts = 1.0"), "no two-centre integral"),
        (("sss = -0.8", "sps = 1.0"), "shells that onsite_eV does not have"),
        (("sss = -0.8", ""), "is empty"),
        (("{ sss = -0.8 }", "3.0"), "no table"),
        (("{ sss = -0.8 }", '"sss"'), "no table"),
        (("shell1_eV", "shell4_eV"), "unknown shell4_eV"),
        (("shell1_eV", "shellx_eV"), "unknown shellx_eV"),
        (('source = "a test"', ""), "lacks source"),
        (('"a test"', "3"), "no text"),
        (('"fcc"', '"hcp"'), "structure='hcp'"),
        (('"fcc"', '["fcc"]'), "structure=.*no text"),
        (("4.0", "-4.0"), "positive"),
        (("4.0", "[4.0]"), "finite number"),
        (("valence_electrons = 1", "valence_electrons = 3"), "up to 2"),
        (("valence_electrons = 1", "valence_electrons = 0"), "above 0"),
        (("fermi_level_eV = 0.5", 'fermi_level_eV = "0.5"'), "finite number"),
        ((LEVELS, "{ f = 1.0 }"), "onsite_eV"),
        ((LEVELS, '"s"'), "no table"),
        ((LEVELS, "{ }"), "no levels"),
        ((PLACE, PLACE + "\nspin_orbit_eV = 0.1"), "no table"),
        ((PLACE, PLACE + "\nspin_orbit_eV = { d = 0.1 }"), "a shell p or d it has"),
        ((PLACE, PLACE + "\nsharvin = 0.1"), "no table"),
        ((PLACE, PLACE + "\nferromagnet = 5"), "no table"),
        ((PLACE, PLACE + "\nferromagnet = { splitting_eV = 1.0 }"), "lacks fermi_level_eV"),
        ((PLACE, PLACE + f"\nferromagnet = {{ {MAGNET} }}"), "none"),
        ((PLACE, PLACE + "\ntrust = [1]"), "no text"),
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


ROCKSALT = """
[material.Xx]
structure = "rocksalt"
lattice_constant_angstrom = 4.0
valence_electrons = 2
source = "a test"
on_top_of_metal = "A"
fermi_level_eV = 0.5
onsite_eV = { A_s = 1.0, B_s = 3.0 }
bonds_eV = { A_B_1 = { sss = -0.8 }, A_A_2 = { sss = 0.1 } }
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('on_top_of_metal = "A"', ""), "on_top_of_metal=None"),
        (('"A"', '"C"'), "A or B"),
        (("A_B_1", "A_B_2"), "joins equal kinds"),
        (("A_B_1 = { sss = -0.8 }, ", ""), "lacks the bond A_B_1"),
        (("A_A_2", "B_A_1"), "both ends"),
        (("A_A_2", "A_C_1"), "no bond"),
        ((", B_s = 3.0", ""), "rocksalt has two"),
    ],
)
def test_mistakes_in_a_rocksalt_are_named(tmp_path, change, words):
    path = tmp_path / "own.toml"
    path.write_text(ROCKSALT)
    assert qt.slater_koster("Xx", facet="001", file=path).orbitals == 2
    path.write_text(ROCKSALT.replace(*change))
    with pytest.raises(qt.InputError, match=words):
        qt.slater_koster("Xx", facet="001", file=path)


def test_the_order_of_kinds_in_a_file_means_nothing(tmp_path):
    path = tmp_path / "own.toml"
    found = []
    for levels in ("A_s = 1.0, B_s = 3.0", "B_s = 3.0, A_s = 1.0"):
        path.write_text(ROCKSALT.replace("A_s = 1.0, B_s = 3.0", levels))
        oxide = qt.slater_koster("Xx", facet="001", file=path)
        place = {atom.kind: i for i, atom in enumerate(oxide.atoms)}
        up = hoppings_between(metal("Fe", facet="001"), oxide, 1, qt.geometric_mean)
        found.append({v: matrix[:, [place["A"], place["B"]]] for v, matrix in up.items()})
    assert found[0].keys() == found[1].keys()
    assert all(np.array_equal(found[0][v], found[1][v]) for v in found[0])


def test_an_integral_left_out_of_a_file_is_zero_next_to_another_metal(tmp_path):
    path = tmp_path / "own.toml"
    text = USER.replace("{ s = 1.0 }", "{ s = 1.0, p = 3.0, d = -2.0 }")
    found = []
    for integrals in ("sss = -0.8, dds = -0.3", "sss = -0.8, dds = -0.3, ddp = 0.0, sps = 0.0, pds = 0.0"):
        path.write_text(text.replace("sss = -0.8", integrals))
        own = qt.slater_koster("Xx", facet="111", file=path)
        found.append(hopping_between(metal("Ag", facet="111"), own, (0, 0, 1), qt.geometric_mean))
    np.testing.assert_array_equal(*found)
    assert np.linalg.matrix_rank(found[0]) == 2
    path.write_text(text.replace("sss = -0.8", "sss = -0.8, pss = 0.3"))
    with pytest.raises(qt.InputError, match="give sps alone"):
        qt.slater_koster("Xx", facet="111", file=path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": ["Cu"], "facet": "111"}, "no text"),
        ({"name": "Cu", "facet": "111", "file": 3}, "no path"),
        ({"name": "Co", "facet": "111", "magnetic": "no"}, "True or False"),
        ({"name": "MgO", "facet": "001", "spin_orbit": {"d": 0.1}}, "has the shells s, p only"),
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
        qt.slater_koster(**given)


def test_metals_that_cannot_be_stacked_are_refused():
    Cu, Fe = metal("Cu", facet="111"), metal("Fe", facet="110")
    with pytest.raises(qt.InputError, match="differ in shape"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(Fe))
    with pytest.raises(qt.InputError, match=r"mismatch by 8.5 %"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(metal("Pt", facet="111")))
    with pytest.raises(qt.InputError, match="no rule gives the hopping"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(qt.single_band(onsite=0.0, lattice_constant=0.25)))
    with pytest.raises(qt.InputError, match="supercells"):
        qt.Stack(left=qt.Lead(Cu), right=qt.Lead(qt.in_plane_supercell([[Cu, Cu]])))
    with pytest.raises(qt.InputError, match="no rule"):
        qt.in_plane_supercell([[Cu, qt.single_band(onsite=0.0)]])
    with pytest.raises(qt.InputError, match="no rows"):
        qt.in_plane_supercell([Cu, Cu])
    with pytest.raises(qt.InputError, match="different layers only"):
        qt.in_plane_supercell([[metal("Fe", facet="001"), metal("MgO", facet="001")]])
    with pytest.raises(qt.InputError, match="magnet=3 is no name"):
        qt.Layer(metal("Co", facet="111"), 1, magnet=3)
    # Both fit to the left lead, but not to each other.
    Ru, neighbours = metal("Ru_fcc", facet="111"), [qt.Layer(Cu), qt.Layer(metal("Pt", facet="111"))]
    with pytest.raises(qt.InputError, match=r"Pt\(111\) and Cu\(111\) mismatch"):
        qt.Stack(left=qt.Lead(Ru), layers=neighbours, right=qt.Lead(Ru))
    # Two monolayers apart, and bcc(001) hops by two.
    Fe, MgO = metal("Fe", facet="001"), metal("MgO", facet="001")
    imported = dataclasses.replace(Fe, atoms=())
    pieces = [qt.Layer(each) for each in (MgO, Fe, imported)]
    with pytest.raises(qt.InputError, match="no rule gives the hopping"):
        qt.Stack(left=qt.Lead(Fe), layers=pieces, right=qt.Lead(Fe))


def test_a_metal_is_left_alone_by_any_rule():
    """Two pieces of one metal are one metal: as another object, with spin-orbit coupling, without its magnetism."""
    Co = metal("Co", facet="111")
    copy, oxide = qt.slater_koster("Co", facet="111"), metal("MgO", facet="001")
    expected = blocks(interface(Co, Co))
    for found in (blocks(interface(Co, other, unlike_hopping=lambda a, b: 0.25 * (a + b))) for other in (Co, copy)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    # Also bond by bond, and where a bond differs from that seen from its other end.
    for first, second in ((Co, copy), (oxide, oxide)):
        found = hoppings_between(first, second, 1, lambda a, b: 0.0)
        for vector, matrix in first.hoppings:
            if vector[2] == 1:
                np.testing.assert_allclose(found[vector], matrix, atol=ROUNDING)


def test_hoppings_changed_by_hand_are_kept_or_refused():
    Cu, Co = metal("Cu", facet="111"), metal("Co", facet="111")
    half = dataclasses.replace(Cu, hoppings=tuple((v, 0.5 * matrix) for v, matrix in Cu.hoppings))
    copy = dataclasses.replace(half, onsite=half.onsite + 0.1 * np.eye(9))
    kept = [blocks(interface(half, other))[-2] for other in (half, copy)]
    np.testing.assert_array_equal(*kept)
    np.testing.assert_allclose(kept[0], 0.5 * blocks(interface(Cu, Cu))[-2], atol=ROUNDING)
    MgO = metal("MgO", facet="001")
    oxide = dataclasses.replace(MgO, onsite=np.diag(np.diag(MgO.onsite)))
    for refused in (
        lambda: interface(half, Co),
        lambda: interface(half, Cu),
        lambda: qt.in_plane_supercell([[half, Cu]]),
        lambda: qt.in_plane_supercell([[oxide, oxide]]),
    ):
        with pytest.raises(qt.InputError, match="hoppings were changed.*qt.strained"):
            refused()
    for name, value in {"onsite": copy.onsite, "hoppings": half.hoppings}.items():
        with pytest.raises(qt.InputError, match=f"{name} of Cu"):
            qt.strained(dataclasses.replace(Cu, **{name: value}), 0.36)
    alloy = qt.in_plane_supercell([[Cu, Co]], unlike_hopping=qt.arithmetic_mean)
    with pytest.raises(qt.InputError, match="another unlike_hopping"):
        qt.in_plane_supercell([[alloy], [alloy]])
    again = qt.in_plane_supercell([[alloy], [alloy]], unlike_hopping=qt.arithmetic_mean)
    np.testing.assert_allclose(again.onsite[:18, :18], alloy.onsite, atol=ROUNDING)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("geometric", "is no rule"),
        (lambda a, b: float("nan"), "one finite number"),
        (lambda a, b: None, "one finite number"),
        (lambda a, b: a * b / 0.0, "fails for"),
        (lambda a, b: a, "not depend on the order"),
    ],
)
def test_a_rule_for_unlike_metals_is_a_symmetric_function(rule, words):
    Cu, Co = metal("Cu", facet="111"), metal("Co", facet="111")
    with pytest.raises(qt.InputError, match=words):
        interface(Cu, Co, unlike_hopping=rule)
    with pytest.raises(qt.InputError, match=words):
        qt.in_plane_supercell([[Cu, Co]], unlike_hopping=rule)


def test_a_matrix_that_is_not_hermitian_is_refused_with_the_deviation():
    Cu = metal("Cu", facet="111")
    broken = Cu.onsite.copy()
    broken[2, 5] += 0.25
    with pytest.raises(qt.InputError, match=r"onsite is not Hermitian: .* differ by 0.25 eV") as refused:
        dataclasses.replace(Cu, onsite=broken)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_touching_magnets_are_told_apart_whatever_their_thickness(layers):
    """Hoppings reach two monolayers, and no principal layer holds two magnets."""
    Au, Fe = metal("Au", facet="001"), metal("Fe", facet="001")
    films = [qt.Layer(Fe, layers, magnet="a", name="a"), qt.Layer(Fe, 3, magnet="b", name="b")]
    stack = qt.Stack(left=qt.Lead(Au), layers=films, right=qt.Lead(Au))
    found = as_layered(stack)
    assert len(found.magnets) == 2
    assert [sum(name in found.layer_names[e - 1] for e in found.fixed) for name in ("a", "b")] == [len(found.fixed), 0]
    thin = [qt.Layer(Fe, n, magnet=name) for n, name in ((2, "a"), (1, "b"), (2, "c"))]
    refused = as_layered(qt.Stack(left=qt.Lead(Au), layers=thin, right=qt.Lead(Au)))
    with pytest.raises(qt.InputError, match="a magnet between two others needs 2"):
        refused.magnets  # noqa: B018 -- refused there


def test_equal_pairs_of_layers_share_their_matrices():
    Cu, Co = metal("Cu", facet="111"), metal("Co", facet="111")
    values = []
    for layers in (3, 9):
        region, _, _ = qt.Stack(left=qt.Lead(Cu), layers=[qt.Layer(Co, layers)], right=qt.Lead(Cu)).builders()
        values.append([value for _, value in region.hopping_value_pairs()])
    assert len(values[1]) > len(values[0])
    assert len({id(value) for value in values[1]}) == len({id(value) for value in values[0]})


def test_the_library_is_listed_from_the_command_line(capsys):
    assert main(["materials"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in material_names())
    assert main(["materials", "MgO"]) == 0
    assert "caution" in capsys.readouterr().out
    assert main(["materials", "Pt"]) == 0
    out = capsys.readouterr().out
    assert all(key in out for key in ("read from", "spin orbit read from", "spin orbit alternatives", "2.241"))
    assert main(["materials", "W"]) == 0
    assert "fit rms near fermi level eV: 0.032" in capsys.readouterr().out
    assert main(["materials", "Unobtainium"]) == 2
    assert "unknown" in capsys.readouterr().err


def test_an_ill_conditioned_hopping_between_cells_makes_no_channel_of_rounding():
    # Chromium (001): the smallest singular value of V is 1e-8 of the largest here, and no band is near E = 0.
    Cr = metal("Cr", "001")
    k = 2 * np.pi * (np.array([[25, 31]]) + 0.5) / 96
    chain = as_layered(qt.Stack(left=qt.Lead(Cr), right=qt.Lead(Cr))).chain()
    sweeps = Sweeps(chain, Phases(k), np.zeros((1, 1)))
    for lead in range(2):
        sigma = sweeps.self_energy(lead).data[0, 0, 0]
        gamma = 1j * (sigma - sigma.conj().T)
        assert np.abs(np.linalg.eigvalsh(gamma)).max() < 1e-2 * OPEN_CHANNEL * np.abs(sigma).max()

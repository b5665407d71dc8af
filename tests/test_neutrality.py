"""Electrons and moments of layers against diagonalisation and band sums; shifts that keep layers neutral."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import qtorque as qt
from qtorque import electron_counts, neutrality
from qtorque.bloch import as_layered
from qtorque.units import BOLTZMANN_EV

SLAB = 1e-7
"""Slabs with 12 cells of each lead, at a temperature whose coherence length is a layer."""
QUADRATURE = 1e-5
"""The accuracy asked of the energy quadrature where two routes are compared."""
HOT = 6000.0
"""K; smooths the occupation over 0.5 eV, so that slabs of some tens of layers and sums over some tens of momenta
converge."""
K = qt.kmesh(3)
FEW = qt.kpoints([[0.4, 1.1], [2.0, -0.7]], [0.3, 0.7])

N = qt.single_band(onsite=0.4)
F = qt.single_band(onsite=1.0, exchange=1.5)
TILTED = (0.6, 0.0, 0.8)


def two_orbitals(reach=2):
    """Two orbitals, exchange on one, hoppings over two monolayers, one of them oblique and complex."""
    up = np.array([[-1.0, 0.3j], [0.2, -0.4]])
    hoppings = [((0, 0, 1), up), ((1, 0, 0), -0.5 * np.eye(2)), ((0, 1, 1), 0.2 * up)]
    if reach == 2:
        hoppings.append(((1, 0, 2), np.array([[0.3, 0.1], [-0.1, 0.2]])))
    return qt.Material(
        name="two orbitals",
        lattice=0.3 * np.eye(3),
        onsite=np.array([[0.2, 0.1j], [-0.1j, -0.7]]),
        exchange=np.diag([0.0, 1.2]).astype(complex),
        hoppings=tuple((v, m.astype(complex)) for v, m in hoppings),
    )


def slab_density(stack, k, temperature, lead_layers=12):
    """Blocks of the density matrix on every element of the region, from a slab with many layers of both leads."""
    chain = as_layered(stack).chain()

    def at(block):
        return block.at(k[None])[0]

    left, right = at(chain.onsite[0]), at(chain.onsite[-1])
    onsite = [left] * lead_layers + [at(h) for h in chain.onsite[1:-1]] + [right] * lead_layers
    inner = [at(v) for v in chain.bond]
    bonds = (
        [at(chain.left_outward).conj().T] * (lead_layers - 1) + inner + [at(chain.right_outward)] * (lead_layers - 1)
    )
    ends = np.cumsum([0, *map(len, onsite)])
    H = np.zeros((ends[-1], ends[-1]), dtype=complex)
    for i, h in enumerate(onsite):
        H[ends[i] : ends[i + 1], ends[i] : ends[i + 1]] = h
    for i, v in enumerate(bonds):
        H[ends[i] : ends[i + 1], ends[i + 1] : ends[i + 2]] = v
        H[ends[i + 1] : ends[i + 2], ends[i] : ends[i + 1]] = v.conj().T
    energies, states = np.linalg.eigh(H)
    rho = (states / (np.exp(energies / (BOLTZMANN_EV * temperature)) + 1)) @ states.conj().T
    first, last = ends[lead_layers], ends[-1 - lead_layers]
    return rho[first:last, first:last]


def slab_layers(stack, temperature):
    """(electrons, moments) of every monolayer, summed over FEW, from slabs."""
    sizes = [2 * m.piece.material.orbitals for m in stack.monolayers]
    ends = np.cumsum([0, *sizes])
    pauli = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    found = np.zeros((len(sizes), 4))
    for k, weight in zip(FEW.points, FEW.weights, strict=True):
        rho = slab_density(stack, k, temperature)
        for i, size in enumerate(sizes):
            own = rho[ends[i] : ends[i + 1], ends[i] : ends[i + 1]]
            operators = [np.kron(np.eye(size // 2), s) for s in pauli]
            found[i] += weight * np.array([np.trace(s @ own).real for s in operators])
    return found[:, 0], found[:, 1:]


@pytest.mark.parametrize(
    "stack",
    [
        qt.Stack(left=qt.Lead(F), layers=[qt.Layer(N, 2, shift=0.3), qt.Layer(F, 1, TILTED)], right=qt.Lead(N)),
        qt.Stack(left=qt.Lead(two_orbitals()), layers=[qt.Layer(two_orbitals(), 3, shift=-0.4)],
                 right=qt.Lead(two_orbitals())),
    ],
    ids=["noncollinear", "several monolayers in a principal layer"],
)  # fmt: skip
def test_electrons_and_moments_are_those_of_a_diagonalised_slab(stack):
    d = qt.layer_charges(stack, kmesh=FEW, temperature=HOT, tolerance=QUADRATURE)
    electrons, moments = slab_layers(stack, HOT)
    np.testing.assert_allclose(d["electrons"], electrons, rtol=0, atol=SLAB + QUADRATURE)
    np.testing.assert_allclose(d["spin_moment"], moments, rtol=0, atol=SLAB + QUADRATURE)
    assert np.abs(moments).max() > 0.1


def test_a_layer_of_the_bulk_holds_what_the_bands_hold():
    # 2/pi arccos((e + w - E_F)/(2t)) is the filled share of a chain's band, for t = -1.
    d = qt.layer_charges(qt.Stack(left=qt.Lead(N), right=qt.Lead(N)), kmesh=K, tolerance=QUADRATURE)
    w = -2 * np.cos(K.points).sum(axis=1)
    expected = float(K.weights @ (2 / np.pi * np.arccos(np.clip((0.4 + w) / 2, -1, 1))))
    for name in ("electrons", "bulk_electrons", "lead_electrons"):
        np.testing.assert_allclose(d[name], expected, rtol=0, atol=2 * QUADRATURE)
    np.testing.assert_allclose(d["excess_electrons"], 0, atol=2 * QUADRATURE)


def test_a_real_metal_holds_what_its_bands_hold_with_spin_orbit_too():
    copper = qt.slater_koster("Cu", facet="111", spin_orbit=True)
    k = qt.kpoints([[0.4, 1.1]])
    d = qt.layer_charges(qt.Stack(left=qt.Lead(copper), right=qt.Lead(copper)), kmesh=k, temperature=HOT)
    pauli = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    home = np.kron(copper.onsite, np.eye(2)) + sum(np.kron(copper.spin_orbit[a], pauli[a]) for a in range(3))
    expected = 0.0
    for point, weight in zip(k.points, k.weights, strict=True):
        for k3 in 2 * np.pi * (np.arange(24) + 0.5) / 24:
            phases = [*point, k3]
            hop = sum(np.kron(matrix, np.eye(2)) * np.exp(1j * np.dot(v, phases)) for v, matrix in copper.hoppings)
            energies = np.linalg.eigvalsh(home + hop + hop.conj().T)
            expected += weight / 24 * np.sum(1 / (np.exp(energies / (BOLTZMANN_EV * HOT)) + 1))
    np.testing.assert_allclose(d["electrons"], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(d["spin_moment"], 0, atol=1e-6)


def test_the_moment_points_along_the_majority_and_turns_with_it():
    def moments(m):
        d = qt.layer_charges(qt.Stack(left=qt.Lead(F, m), right=qt.Lead(F, m)), kmesh=K)
        return d["electrons"].values, d["spin_moment"].values

    electrons, along_z = moments((0, 0, 1))
    turned_electrons, turned = moments(TILTED)
    assert (along_z[:, 2] > 0.1).all()
    np.testing.assert_allclose(turned, along_z[:, 2:] * np.array(TILTED), atol=1e-9)
    np.testing.assert_allclose(turned_electrons, electrons, atol=1e-9)


@pytest.mark.parametrize("metal", [F, two_orbitals(1)], ids=["one orbital", "two orbitals"])
def test_the_response_is_what_a_small_shift_does_and_it_drives_electrons_out(metal):
    step = 1e-3

    def stack(shift):
        return qt.Stack(left=qt.Lead(metal), layers=[qt.Layer(metal, shift=shift)], right=qt.Lead(metal))

    up, down, at = (
        qt.layer_charges(stack(s), kmesh=FEW, temperature=HOT, tolerance=QUADRATURE) for s in (step, -step, 0.0)
    )
    slope = ((up["electrons"] - down["electrons"]) / (2 * step)).values
    assert slope[1] == pytest.approx(float(at["response"][1]), abs=1e-4)
    assert slope[1] < -0.1
    assert (at["response"] < 0).all()


def test_a_system_in_plain_kwant_is_counted_by_principal_layers():
    stack = qt.Stack(left=qt.Lead(F), layers=[qt.Layer(N, 2)], right=qt.Lead(F))
    plain = qt.layered(*stack.builders(), params=stack.params)
    d, e = (qt.layer_charges(s, kmesh=K) for s in (stack, plain))
    np.testing.assert_allclose(e["electrons"], d["electrons"], atol=1e-12)
    np.testing.assert_allclose(e["lead_electrons"], d["lead_electrons"], atol=1e-12)
    assert "bulk_electrons" not in e
    for dataset in (d, e):
        assert all({"units", "long_name"} <= variable.attrs.keys() for variable in dataset.values())


def test_shifted_layers_of_one_metal_find_back_to_no_shift():
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N, shift=0.3), qt.Layer(N, 2, shift=-0.1)], right=qt.Lead(N))
    found, record = qt.neutral(stack, kmesh=K, temperature=300.0, tolerance=1e-5)
    assert len(found.layers) == 3
    assert max(abs(layer.shift) for layer in found.layers) < 2e-4
    assert np.abs(record["excess_before"]).max() > 0.02
    assert np.abs(record["excess_electrons"]).max() < 2e-5
    np.testing.assert_allclose(record["layer_shift"], [0, *(layer.shift for layer in found.layers), 0])
    assert record["shifted"].values.tolist() == [0, 1, 1, 1, 0]
    assert record.attrs["converged"] == 1
    assert record.attrs["residual"] <= 1e-5
    assert float(record["energy_error"]) <= 1e-6
    # The same metal throughout is neutral on every mesh.
    assert record.attrs["mesh_error"] < 2e-4


def test_the_search_starts_from_the_shifts_that_layers_have():
    def evaluations(shift):
        stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N, shift=shift)], right=qt.Lead(N))
        record = qt.neutral(stack, kmesh=K, temperature=300.0)[1]
        return record.attrs["evaluations"], float(np.abs(record["excess_before"]).max())

    assert evaluations(0.0)[0] == 1
    assert evaluations(0.0)[1] < 1e-3
    assert evaluations(0.4)[0] > 1
    assert evaluations(0.4)[1] > 0.05


def test_barriers_and_layers_that_do_not_answer_keep_their_shift():
    oxide = qt.single_band(onsite=9.0)
    barrier = qt.Layer(oxide, 2, barrier=True, shift=0.2, name="oxide")
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N), qt.Layer(oxide), barrier, qt.Layer(N)], right=qt.Lead(N))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, record = qt.neutral(stack, kmesh=K, temperature=1000.0)
    assert [layer.shift for layer in found.layers[1:4]] == [0.0, 0.2, 0.2]
    assert [layer.barrier for layer in found.layers] == [False, False, True, True, False]
    assert record["shifted"].values.tolist() == [0, 1, 0, 0, 0, 1, 0]
    texts = [str(w.message) for w in caught]
    assert any("'layer 2' hardly answers" in text for text in texts)
    assert any("of the left lead keeps" in text for text in texts)
    assert not any("oxide" in text for text in texts)
    assert all(w.filename == __file__ for w in caught)
    assert np.abs(record["excess_electrons"][[1, 5]]).max() <= 1e-3
    for layers, message in (([barrier], "all layers are barriers"), ([qt.Layer(oxide)], "no layer answers")):
        with pytest.raises(qt.InputError, match=message):
            qt.neutral(replace(stack, layers=layers), kmesh=K)


def search(excess, most_counts=20):
    """(shift, excess, counts, all shifts) of a search over one layer whose excess is a given function."""
    tried = []

    def counted(shifts):
        tried.append(float(shifts[0]))
        return neutrality._Count(shifts, np.zeros((1, 5)), 0.0, np.array([excess(shifts[0])]))

    first = counted(np.zeros(1))
    best, counts = neutrality._neutralised(counted, first, np.array([True]), np.ones(1), 1e-9, most_counts)
    return float(best.shifts[0]), float(best.excess[0]), counts, tried


def test_steps_and_shifts_are_bounded_and_the_best_count_is_kept():
    shift, excess, counts, _ = search(lambda x: 0.3 - x - 0.1 * x**2)
    assert excess == pytest.approx(0, abs=1e-9)
    assert shift > 0.28
    assert counts < 8
    # The first step leads the wrong way.
    assert search(lambda x: 0.5 + 0.8 * x, 2)[:3] == (0.0, 0.5, 2)
    # What answers too little walks to the bound, and no further count is made there.
    shift, _, counts, tried = search(lambda x: 5 - 1e-3 * x)
    assert shift == 3.0
    assert counts == len(tried) == 8
    assert np.abs(np.diff(tried)).max() <= 0.5
    assert search(lambda _: 1.0)[2] == 2


def test_what_a_finer_mesh_finds_is_stated():
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N), qt.Layer(F), qt.Layer(F)], right=qt.Lead(F))
    with pytest.warns(UserWarning, match="on a mesh finer by 1.5"):
        found, record = qt.neutral(stack, kmesh=qt.kmesh(4), temperature=1000.0)
    again = qt.layer_charges(found, kmesh=qt.kmesh(6), temperature=1000.0)["excess_electrons"].values[1:-1]
    assert record.attrs["mesh_error"] == pytest.approx(np.abs(again).max(), abs=2e-4)
    assert record.attrs["mesh_error"] > 10 * record.attrs["residual"]
    with pytest.warns(UserWarning, match="lead"):
        record = qt.neutral(stack, kmesh=FEW, temperature=1000.0)[1]
    assert np.isnan(record.attrs["mesh_error"])


def test_a_supercell_gets_the_shifts_of_its_primitive_cell():
    def found(a, b, mesh):
        stack = qt.Stack(left=qt.Lead(a), layers=[qt.Layer(a), qt.Layer(b)], right=qt.Lead(b))
        with pytest.warns(UserWarning, match="mesh finer"):
            return qt.neutral(stack, kmesh=mesh, temperature=1000.0)[1]

    B = qt.single_band(onsite=1.0)
    one = found(N, B, qt.kmesh(4))
    two = found(*(qt.in_plane_supercell([[m, m]]) for m in (N, B)), qt.kmesh(4, 2))
    np.testing.assert_allclose(two["layer_shift"], one["layer_shift"], atol=1e-4)
    np.testing.assert_allclose(two["electrons"], 2 * one["electrons"], atol=1e-3)
    assert two.attrs["residual"] == pytest.approx(one.attrs["residual"], abs=2e-4)
    assert two.attrs["evaluations"] == one.attrs["evaluations"]


def test_the_bulk_of_a_material_is_counted_once(monkeypatch):
    counted = []
    of = electron_counts.LayerSums.of
    monkeypatch.setattr(electron_counts.LayerSums, "of", lambda *a: counted.append(1) or of(*a))
    qt.layer_charges(qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F), qt.Layer(N)], right=qt.Lead(N)), kmesh=2)
    assert len(counted) == 3


def test_a_symmetry_that_does_not_hold_is_refused():
    def refused(material, symmetry):
        stack = qt.Stack(left=qt.Lead(material), layers=[qt.Layer(material)], right=qt.Lead(material))
        for count in (qt.layer_charges, qt.neutral):
            with pytest.raises(qt.InputError, match=f"symmetry='{symmetry}' does not hold"):
                count(stack, kmesh=qt.kmesh(4, symmetry=symmetry))

    refused(two_orbitals(1), "square")


def test_the_layers_of_an_interface_of_real_metals_become_neutral():
    copper, cobalt = (qt.slater_koster(name, facet="111") for name in ("Cu", "Co"))
    stack = qt.Stack(
        left=qt.Lead(copper),
        layers=[qt.Layer(copper), qt.Layer(cobalt, magnet="Co")],
        right=qt.Lead(cobalt, magnet="Co"),
    )
    mesh = qt.kmesh(4, symmetry="hexagonal")
    with pytest.warns(UserWarning, match="put more layers"):
        found, record = qt.neutral(
            stack, kmesh=qt.kpoints(mesh.points, mesh.weights), temperature=1000.0, tolerance=2e-3
        )
    own = slice(1, -1)
    assert np.abs(record["excess_before"][own]).max() > 0.02
    assert np.abs(record["excess_electrons"][own]).max() < 2e-3
    # Copper lacks electrons at the interface; a potential holds them back.
    assert float(record["excess_before"][1]) < -0.02
    assert -0.3 < float(record["layer_shift"][1]) < -0.05
    np.testing.assert_allclose(record["bulk_electrons"], [11, 11, 9, 9], atol=0.05)
    np.testing.assert_allclose(record["spin_moment"][2:, 2], 1.65, atol=0.1)
    assert [layer.name for layer in found.layers] == ["layer 1", "layer 2"]
    assert set(found.magnets) == {"Co"}


def test_an_alloyed_layer_is_to_hold_what_its_metals_hold(tmp_path):
    text = """[material.{}]
structure = "fcc"
lattice_constant_angstrom = 3.6
valence_electrons = 1
source = "made up"
fermi_level_eV = 0.0
onsite_eV = {{s = {}}}
shell1_eV = {{sss = -1.0}}
"""
    (tmp_path / "own.toml").write_text(text.format("A", 0.5) + text.format("B", -1.0))
    a, b = (qt.slater_koster(name, facet="111", file=tmp_path / "own.toml") for name in "AB")
    alloy, pure = qt.in_plane_supercell([[a], [b]]), qt.in_plane_supercell([[a], [a]])

    def bulk(material, mesh):
        stack = qt.Stack(left=qt.Lead(material), right=qt.Lead(material))
        return qt.layer_charges(stack, kmesh=mesh, tolerance=QUADRATURE)["bulk_electrons"]

    k, folded = qt.kmesh(2, 4), qt.kmesh(4)
    counts = [float(bulk(metal, folded)[0]) for metal in (a, b)]
    assert counts[1] - counts[0] > 0.1
    np.testing.assert_allclose(bulk(pure, k), 2 * counts[0], atol=4 * QUADRATURE)
    np.testing.assert_allclose(bulk(alloy, k), sum(counts), atol=4 * QUADRATURE)
    # Refused before the work: this would sum over a million momenta first.
    coupled = replace(alloy, spin_orbit=np.zeros((3, 2, 2)) + np.eye(2))
    with pytest.raises(qt.InputError, match="alloy with spin-orbit"):
        bulk(coupled, qt.kmesh(1000))
    with pytest.raises(qt.InputError, match="unlike sites without Slater-Koster atoms"):
        bulk(qt.in_plane_supercell([[N, qt.single_band(onsite=1.0)]]), qt.kmesh(1000))


def test_what_is_left_over_is_said():
    thin = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F)], right=qt.Lead(N))
    with pytest.warns(UserWarning, match="put more layers of that lead's metal"):
        qt.neutral(thin, kmesh=K, temperature=300.0)
    long = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N, shift=1.5), qt.Layer(N)], right=qt.Lead(N))
    with pytest.warns(UserWarning, match="after 2 counts"), pytest.warns(UserWarning, match="put more layers"):
        _, record = qt.neutral(long, kmesh=K, temperature=300.0, tolerance=1e-7, most_steps=2)
    assert record.attrs["converged"] == 0
    assert record.attrs["residual"] > 1e-7
    with pytest.warns(UserWarning, match="'layer 1' is shifted by 1.5 eV, more than a metal takes"):
        qt.neutral(long, kmesh=K, temperature=300.0, most_steps=1)
    doped = replace(N, electrons=1.9)
    with pytest.warns(UserWarning, match=r"should hold 1\.9"):
        qt.neutral(qt.Stack(left=qt.Lead(doped), layers=[qt.Layer(doped)], right=qt.Lead(doped)), kmesh=K)


def test_bad_input_is_refused():
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F)], right=qt.Lead(N))
    bare = replace(stack, layers=())
    for call, message in (
        (lambda: qt.neutral(bare, kmesh=K), "no layers to shift"),
        (lambda: qt.neutral(as_layered(stack), kmesh=K), "no qt.Stack"),
        (lambda: qt.neutral(stack, kmesh=K, most_steps=0), "most_steps=0"),
        (lambda: qt.neutral(stack, kmesh=K, tolerance=0.0), "tolerance=0.0"),
        (lambda: qt.layer_charges(stack, kmesh=K, temperature=-1.0), "temperature=-1.0"),
        (lambda: qt.layer_charges(stack, kmesh=None), "kmesh=None"),
        (lambda: qt.layer_charges(N, kmesh=K), "no stack"),
    ):
        with pytest.raises(qt.InputError, match=message):
            call()


class Memory:
    """A checkpoint in memory."""

    def __init__(self):
        self.kept, self.loaded = {}, 0

    def part(self, name):
        part = Memory.__new__(Memory)
        part.whole, part.name = getattr(self, "whole", self), name
        return part

    def load(self, index):
        found = self.whole.kept.get((self.name, index))
        self.whole.loaded += found is not None
        return found

    def save(self, index, result):
        self.whole.kept[self.name, index] = result

    def stop_reason(self):
        return None


def test_a_continued_search_finds_the_chunks_of_its_steps():
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(N, shift=0.3)], right=qt.Lead(N))
    memory = Memory()
    first, again = (qt.neutral(stack, kmesh=K, temperature=300.0, checkpoint=memory) for _ in range(2))
    assert memory.loaded == len(memory.kept) > 1
    assert first[0].layers[0].shift == again[0].layers[0].shift

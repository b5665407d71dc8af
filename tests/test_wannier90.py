"""Wannier90's `_hr.dat` becomes the material that it was written from: same bands, same transmission.

The reading itself needs sisl (`pip install qtorque[wannier90]`); what is done with what was read does not.
"""

import builtins
import itertools

import numpy as np
import pytest

import qtorque as qt
from qtorque.wannier90 import _unit_cell, wannier_material

SIX_DECIMALS = 2e-5
"""eV; `_hr.dat` has six decimals, and some tens of elements add up to a band."""
EXACT = 1e-12
"""eV; a relabelled Hamiltonian has the same bands up to rounding."""
FERMI = 2.5
"""eV, on the scale of the files written here."""


def two_orbitals(exchange=0.0):
    """Two orbitals with complex hoppings, some of them oblique, on an oblique lattice."""
    up = np.array([[-1.0, 0.3j], [0.2, -0.4]])
    hoppings = [((0, 0, 1), up), ((1, 0, 0), np.array([[-0.5, 0.1j], [0.25, 0.3]])), ((0, 1, -1), 0.2 * up)]
    return qt.Material(
        name="two orbitals",
        lattice=np.array([[0.3, 0.0, 0.0], [0.1, 0.4, 0.0], [0.05, -0.1, 0.25]]),
        onsite=np.array([[0.2, 0.1j], [-0.1j, -0.7]]),
        exchange=exchange * np.array([[0.2, 0.1], [0.1, 1.0]], dtype=complex),
        hoppings=tuple((v, m.astype(complex)) for v, m in hoppings),
    )


def blocks_of(material, spin=0, energy=FERMI):
    """R -> H(R) of one spin (+1 up, -1 down, 0 their mean), with the Fermi level at `energy`."""
    n = material.orbitals
    found = {(0, 0, 0): material.onsite - 0.5 * spin * material.exchange + energy * np.eye(n)}
    for (i, j, k), matrix in material.hoppings:
        found[i, j, k], found[-i, -j, -k] = matrix, matrix.conj().T
    return found


def write_hr(path, blocks, degeneracies=None):
    """A file as Wannier90 writes it: every R in a box, m fastest, H(R) times its degeneracy."""
    n = len(next(iter(blocks.values())))
    reach = np.abs(list(blocks)).max(axis=0)
    box = list(itertools.product(*(range(-r, r + 1) for r in reach)))
    weights = {R: (degeneracies or {}).get(R, 1) for R in box}
    numbers = [f"{weights[R]:5d}" for R in box]
    lines = [" written on 21Nov2026 at 12:00:00", f"{n:12d}", f"{len(box):12d}"]
    lines += ["".join(numbers[i : i + 15]) for i in range(0, len(numbers), 15)]
    for R in box:
        matrix = blocks.get(R, np.zeros((n, n))) * weights[R]
        for column, row in itertools.product(range(n), repeat=2):
            x = complex(matrix[row, column])
            lines.append("".join(f"{i:5d}" for i in (*R, row + 1, column + 1)) + f"{x.real:12.6f}{x.imag:12.6f}")
    path.write_text("\n".join(lines) + "\n")


def write_win(path, lattice, extra=""):
    rows = "\n".join(" ".join(f"{10 * x:.10f}" for x in row) for row in lattice)
    path.write_text(f"num_wann = 2\n{extra}begin unit_cell_cart\nAng\n{rows}\nend unit_cell_cart\n")


def write_centres(path, centres):
    rows = "\n".join("X " + " ".join(f"{10 * x:.8f}" for x in row) for row in centres)
    path.write_text(f"{len(centres) + 1}\nWannier centres\n{rows}\nCo 0.0 0.0 0.0\n")


def bands(material, k):
    """Energies at phases k.a1, k.a2, k.a3 of the material's own lattice, mean of the spins."""
    H = material.onsite.astype(complex)
    for vector, matrix in material.hoppings:
        hop = matrix * np.exp(1j * np.dot(vector, k))
        H = H + hop + hop.conj().T
    return np.linalg.eigvalsh(H)


def phases(count=5):
    return np.random.default_rng(4).uniform(-np.pi, np.pi, (count, 3))


def transmission(material):
    stack = qt.Stack(left=qt.Lead(material), layers=[qt.Layer(material, shift=0.3)], right=qt.Lead(material))
    return qt.transmission(qt.solve(stack, energy=0.1, kmesh=qt.kpoints(phases()[:, :2])))


def test_the_blocks_of_a_material_give_it_back():
    material = two_orbitals(exchange=0.8)
    found = wannier_material(
        blocks_of(material, 1), down=blocks_of(material, -1), lattice=material.lattice, fermi_energy=FERMI, electrons=3,
        centres=np.zeros((2, 3)),
    )  # fmt: skip
    np.testing.assert_allclose(found.onsite, material.onsite, atol=EXACT)
    np.testing.assert_allclose(found.exchange, material.exchange, atol=EXACT)
    np.testing.assert_allclose(found.lattice, material.lattice, atol=EXACT)
    assert found.electrons == 3
    np.testing.assert_allclose(transmission(found), transmission(material), atol=1e-10)
    assert float(transmission(found)[:, 0, 0].max()) > 0.1
    for k in phases():
        np.testing.assert_allclose(bands(found, k), bands(material, k), atol=EXACT)


def test_another_choice_of_layers_has_the_same_bands_and_lies_in_the_plane():
    material = two_orbitals()
    turn = np.array([[0, 1, 1], [0, 0, 1], [1, 0, -1]])
    centres = np.array([[0.0, 0.0, 0.0], [0.05, 0.1, 0.05]])
    found = wannier_material(
        blocks_of(material), lattice=material.lattice, fermi_energy=FERMI, layers=turn, centres=centres
    )
    for k in phases():
        np.testing.assert_allclose(bands(found, turn @ k), bands(material, k), atol=EXACT)
    # A rotation of the chosen vectors: a1 along x, a1 x a2 along z.
    chosen = turn @ material.lattice
    np.testing.assert_allclose(found.lattice @ found.lattice.T, chosen @ chosen.T, atol=EXACT)
    assert np.linalg.det(found.lattice) == pytest.approx(np.linalg.det(chosen))
    np.testing.assert_allclose([*found.lattice[0, 1:], found.lattice[1, 2]], 0, atol=EXACT)
    assert found.lattice[2, 2] > 0
    # Positions turn with the lattice: their coordinates along the chosen vectors stay, up to whole cells.
    cells = (found.positions @ np.linalg.inv(found.lattice)) - centres @ np.linalg.inv(chosen)
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-9)


def test_centres_outside_the_home_cell_are_brought_back_with_their_hoppings():
    material = two_orbitals()
    inside = np.array([[0.0, 0.0, 0.0], [0.05, 0.1, 0.05]])
    # The second orbital is named by the cell at a1 + 2 a3 from here: H_mn(R) of the file has n two layers further up.
    away = np.array([[0, 0, 0], [1, 0, 2]])
    moved = {}
    for R, matrix in blocks_of(material).items():
        for m, n in itertools.product(range(2), repeat=2):
            target = tuple((np.array(R) - away[n] + away[m]).tolist())
            moved.setdefault(target, np.zeros((2, 2), dtype=complex))[m, n] += matrix[m, n]
    found = wannier_material(
        moved, lattice=material.lattice, fermi_energy=FERMI, centres=inside + away @ material.lattice
    )
    with pytest.warns(UserWarning, match="no centres") as caught:
        far = wannier_material(moved, lattice=material.lattice, fermi_energy=FERMI)
    assert caught[0].filename == __file__
    assert (found.reach, far.reach) == (1, 3)
    np.testing.assert_allclose(found.positions, inside, atol=EXACT)
    np.testing.assert_allclose(found.onsite, material.onsite, atol=EXACT)
    for k in phases():
        np.testing.assert_allclose(bands(found, k), bands(material, k), atol=EXACT)


def test_noise_of_a_centre_does_not_decide_its_cell():
    cobalt = qt.slater_koster("Co", facet="111")
    for seed in range(3):
        centres = np.random.default_rng(seed).normal(0, 1e-3, (9, 3))
        found = wannier_material(
            blocks_of(cobalt, 1), down=blocks_of(cobalt, -1), lattice=cobalt.lattice, fermi_energy=FERMI,
            centres=centres,
        )  # fmt: skip
        assert found.reach == 1
        np.testing.assert_allclose(found.positions, centres, atol=EXACT)


def test_noise_between_the_spins_is_no_magnet_and_swapped_files_are_named():
    material = two_orbitals(exchange=0.8)
    options = {"lattice": material.lattice, "fermi_energy": FERMI, "centres": np.zeros((2, 3))}
    for sign in (1, -1):
        noisy = blocks_of(two_orbitals(), energy=FERMI + sign * 1e-6)
        assert not wannier_material(blocks_of(two_orbitals()), down=noisy, **options).magnetic
    with pytest.raises(qt.InputError, match="holds the majority; exchange the two files"):
        wannier_material(blocks_of(material, -1), down=blocks_of(material, 1), **options)


def test_what_is_dropped_moves_no_band_further_than_the_warning_says():
    material = two_orbitals()
    blocks = {**blocks_of(material), (0, 0, 2): 0.01 * np.eye(2), (0, 0, -2): 0.01 * np.eye(2)}
    given = {"lattice": material.lattice, "fermi_energy": FERMI, "centres": np.zeros((2, 3))}
    whole = wannier_material(blocks, **given)
    for options, count in (({"reach": 1}, 4), ({"cutoff": 0.03}, 4), ({"cutoff": 0.15}, 14)):
        with pytest.warns(UserWarning, match=f"{count} matrix elements dropped") as caught:
            cut = wannier_material(blocks, **given, **options)
        assert caught[0].filename == __file__
        bound = float(str(caught[0].message).split()[-2])
        moved = max(np.abs(bands(cut, k) - bands(whole, k)).max() for k in phases(20))
        assert 0 < moved <= 1.01 * bound
        assert cut.reach == 1


def test_what_fits_no_material_is_refused():
    material = two_orbitals(exchange=0.8)
    up, down = blocks_of(material, 1), blocks_of(material, -1)
    lattice = material.lattice

    def make(blocks, **options):
        return wannier_material(
            blocks, **{"lattice": lattice, "fermi_energy": FERMI, "centres": np.zeros((2, 3)), **options}
        )

    split = {R: 1.1 * matrix if any(R) else matrix for R, matrix in down.items()}
    lone = {R: matrix for R, matrix in up.items() if R != (0, 0, -1)}
    for call, message in (
        (lambda: make(up, down=split), "hoppings are split by up to 0.1 eV"),
        (lambda: make(lone), "not Hermitian"),
        (lambda: make({}), "holds no matrix elements"),
        (lambda: make(up, down={(0, 0, 0): np.eye(3)}), "another number of Wannier functions"),
        (lambda: make(up, layers=[[1, 0, 0], [0, 1, 0], [0, 0, 2]]), "determinant"),
        (lambda: make(up, layers=[[0, 1, 0], [1, 0, 0], [0, 0, 1]]), "points away from a3"),
        (lambda: make(up, lattice=np.ones((3, 3))), "three independent vectors"),
        (lambda: make(up, lattice=[[1, 0, 0], [0, 1, 0], [1, 1, 1e-17]]), "three independent vectors"),
        (lambda: make(up, lattice=[[1, 2], [3]]), "lattice=.*shape .3, 3."),
        (lambda: make(up, layers="abc"), "layers='abc' is no array"),
        (lambda: make(up, layers=[[1, 0, 0], [0, 1, 0], [np.nan, 0, 1]]), "layers has shape .* not finite"),
        (lambda: make(up, layers=np.eye(3) / 2), "matrix of integers"),
        (lambda: make(up, centres=np.zeros((3, 3))), "centres has shape .3, 3.*shape .2, 3."),
        (lambda: make(up, centres="x.xyz"), "centres='x.xyz'"),
        (lambda: make({**up, (5, 0, 0): np.eye(3)}), "unlike shapes"),
        (lambda: make(up, electrons=-3), "electrons=-3"),
        (lambda: make(up, name=3), "name=3"),
        (lambda: make(up, cutoff=-1.0), "cutoff=-1.0"),
        (lambda: make(up, reach=0), "reach=0"),
        (lambda: make(up, fermi_energy=np.nan), "fermi_energy"),
    ):
        with pytest.raises(qt.InputError, match=message):
            call()
    with pytest.warns(UserWarning, match="averaged over spin"):
        averaged = make(up, down=split, splitting_cutoff=0.06)
    np.testing.assert_allclose(averaged.exchange, material.exchange, atol=EXACT)


def test_without_sisl_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x_hr.dat"
    write_hr(path, blocks_of(two_orbitals()))
    real = builtins.__import__

    def none(name, *arguments):
        if name.partition(".")[0] == "sisl":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(qt.InputError, match=r"install qtorque\[wannier90\]"):
        qt.read_wannier90(path, fermi_energy=0.0, lattice=np.eye(3))


def test_files_that_cannot_serve_are_refused_before_they_are_read(tmp_path):
    path, win = tmp_path / "x_hr.dat", tmp_path / "x.win"
    write_hr(path, blocks_of(two_orbitals()))
    with pytest.raises(qt.InputError, match="no lattice vectors"):
        qt.read_wannier90(path, fermi_energy=0.0)
    with pytest.raises(qt.InputError, match="down=.*is no file"):
        qt.read_wannier90(path, fermi_energy=0.0, down=tmp_path / "y_hr.dat", lattice=np.eye(3))
    write_win(win, two_orbitals().lattice, "spinors = .true. ! with spin-orbit\n")
    with pytest.raises(qt.InputError, match="spinors = true"):
        qt.read_wannier90(path, fermi_energy=0.0)
    write_win(win, two_orbitals().lattice, "TRANSLATE_HOME_CELL : T\n")
    with pytest.raises(qt.InputError, match="translate_home_cell = true"):
        qt.read_wannier90(path, fermi_energy=0.0, centres=win)
    whole = path.read_text().splitlines()
    for lines, message in ((60, "elements, and 2 functions"), (4, "degeneracies; give a whole"), (2, "give a whole")):
        path.write_text("\n".join(whole[:lines]) + "\n")
        with pytest.raises(qt.InputError, match=message):
            qt.read_wannier90(path, fermi_energy=0.0, lattice=np.eye(3))


ROWS = "3.0 0 0\n1.0 4.0d0 0\n0.5 -1 2.5\n"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (f"begin unit_cell_cart\n{ROWS}end unit_cell_cart\n", 0.1),
        (f"! unit_cell_cart\n BEGIN UNIT_CELL_CART\nANG ! unit\n{ROWS}END UNIT_CELL_CART\n", 0.1),
        (f"Begin Unit_Cell_Cart\nBohr\n{ROWS}End Unit_Cell_Cart", 0.0529177),
        (f"begin unit_cell_cart\n{ROWS}", None),
        ("num_wann = 2\n", None),
        (f"begin unit_cell_cart\nang\n{ROWS[:12]}\nend unit_cell_cart", None),
        ("begin unit_cell_cart\nend unit_cell_cart", None),
    ],
)
def test_the_unit_cell_is_read_however_it_is_written(tmp_path, text, unit):
    win = tmp_path / "x.win"
    win.write_text(text)
    if unit is None:
        with pytest.raises(qt.InputError, match="unit_cell_cart"):
            _unit_cell(win)
    else:
        np.testing.assert_allclose(_unit_cell(win), unit * np.array([[3, 0, 0], [1, 4, 0], [0.5, -1, 2.5]]), rtol=1e-6)


def test_a_written_file_is_read_back_with_its_degeneracies(tmp_path):
    pytest.importorskip("sisl")
    material = two_orbitals(exchange=0.8)
    for name, spin in (("up", 1), ("down", -1)):
        write_hr(tmp_path / f"{name}_hr.dat", blocks_of(material, spin), {(0, 0, 1): 2, (0, 0, -1): 2, (1, 0, 0): 3,
                                                                          (-1, 0, 0): 3})  # fmt: skip
    write_win(tmp_path / "up.win", material.lattice)
    centres = np.array([[0.0, 0.0, 0.0], [0.05, 0.1, 0.05]])
    write_centres(tmp_path / "up_centres.xyz", centres)
    found = qt.read_wannier90(
        tmp_path / "up_hr.dat",
        down=tmp_path / "down_hr.dat",
        centres=tmp_path / "up_centres.xyz",
        fermi_energy=FERMI,
    )
    assert found.name == "up"
    assert found.reach == 1
    np.testing.assert_allclose(found.lattice, material.lattice, atol=1e-9)
    np.testing.assert_allclose(found.positions, centres, atol=1e-8)
    np.testing.assert_allclose(found.onsite, material.onsite, atol=SIX_DECIMALS)
    np.testing.assert_allclose(found.exchange, material.exchange, atol=SIX_DECIMALS)
    for k in phases():
        np.testing.assert_allclose(bands(found, k), bands(material, k), atol=SIX_DECIMALS)
    np.testing.assert_allclose(transmission(found), transmission(material), atol=1e-4)


def test_a_real_metal_comes_back_from_its_file(tmp_path):
    pytest.importorskip("sisl")
    copper = qt.slater_koster("Cu", facet="111")
    write_hr(tmp_path / "Cu_hr.dat", blocks_of(copper))
    with pytest.warns(UserWarning, match="Cu: no centres") as caught:
        found = qt.read_wannier90(tmp_path / "Cu_hr.dat", fermi_energy=FERMI, lattice=copper.lattice)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(found.lattice, copper.lattice, atol=1e-12)
    for k in phases():
        np.testing.assert_allclose(bands(found, k), bands(copper, k), atol=SIX_DECIMALS)


def test_a_file_that_is_no_hr_file_is_refused(tmp_path):
    pytest.importorskip("sisl")
    path = tmp_path / "x_hr.dat"
    write_hr(path, blocks_of(two_orbitals()))
    path.write_text(path.read_text().replace("0.2", "x.2"))
    with pytest.raises(qt.InputError, match="cannot be read by sisl"):
        qt.read_wannier90(path, fermi_energy=0.0, lattice=np.eye(3))

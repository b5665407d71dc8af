"""In-plane supercells: several primitive cells side by side, each site a material of its own.

A supercell of n x m sites is again a `Material`, whose orbitals are those of all its sites; it stands in a `Layer` or a
`Lead` like any other. Results are then per supercell: divide by n m to compare with a primitive cell. A supercell mesh
of N1 x N2 momenta folds the primitive mesh of n N1 x m N2.
"""

from collections.abc import Sequence

import numpy as np

from qtorque.errors import InputError
from qtorque.materials import (
    Atom,
    Material,
    Mean,
    bonds_of_atoms,
    geometric_mean,
    positions_of,
    require_match,
    require_mean,
    require_own_bonds,
    same_hoppings,
    slices,
)

SAME_LATTICE = 1e-9
"""Relative; the sites of one supercell share one lattice, and vectors that differ by more are another."""


def in_plane_supercell(sites: Sequence[Sequence[Material]], *, unlike_hopping: Mean = geometric_mean) -> Material:
    """The material whose cell holds n x m sites; `sites[i][j]` stands at i a1 + j a2.

    On-site energies, exchange and spin-orbit coupling are those of each site. The hopping between two sites is made of
    those of their two materials as between the layers of a `Stack`.

    Parameters
    ----------
    sites
        n rows of m materials each, with one lattice and one number of orbitals; or Slater-Koster metals of one facet,
        which may differ in both, on the lattice of the first (an alloy, or a rough interface).
    unlike_hopping
        Rule for a two-centre integral between two different Slater-Koster metals of this supercell. Between two layers
        of a `Stack` the stack's own rule holds: give both the same.

    Returns
    -------
    Material
        Lattice vectors n a1, m a2, a3; orbitals of site (i, j) before those of (i, j + 1).

    Raises
    ------
    InputError
        For rows of different length, other lattices or other numbers of orbitals, a metal beside a rocksalt, a metal
        whose own hoppings were changed, a rule that depends on the order of its arguments.

    Notes
    -----
    Slater-Koster metals hop bond by bond, also between two layers of a `Stack`. Else, between two layers
    of a `Stack` the hopping is the mean of both layers' own. That is the mean of the two
    sites' materials wherever all hoppings are equal, or the hopping leads straight up to the same site of the cell; an
    oblique hopping between alloyed layers of different hoppings also takes in the sites next to both.
    """
    if not isinstance(sites, Sequence) or not all(isinstance(row, Sequence) for row in sites):
        raise InputError(f"sites={sites!r} are no rows; give n rows of m materials, such as [[Cu, Co], [Co, Cu]]")
    require_mean(unlike_hopping)
    rows = [list(row) for row in sites]
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"sites has rows of {[len(row) for row in rows]} materials; give n rows of m each, not empty")
    shape = len(rows), len(rows[0])
    first = rows[0][0]
    for row in rows:
        for material in row:
            _check_site(first, material)
    if first.atoms:
        for material in {id(material): material for row in rows for material in row}.values():
            _check_bonds(material, unlike_hopping)
        return _alloy(rows, unlike_hopping)
    orbitals = first.orbitals
    size = shape[0] * shape[1] * orbitals
    onsite, exchange = np.zeros((2, size, size), dtype=complex)
    blocks: dict[tuple[int, int, int], np.ndarray] = {(0, 0, 0): onsite}

    def place(i: int, j: int) -> slice:
        start = (i * shape[1] + j) * orbitals
        return slice(start, start + orbitals)

    for i, row in enumerate(rows):
        for j, material in enumerate(row):
            own = place(i, j)
            onsite[own, own] += material.onsite
            exchange[own, own] += material.exchange
            for (v1, v2, v3), matrix in material.hoppings:
                # Half from the site a hopping starts at and half from the one it leads to make the mean.
                half = 0.5 * matrix
                (row_across, i_to), (column_across, j_to) = divmod(i + v1, shape[0]), divmod(j + v2, shape[1])
                _add(blocks, (row_across, column_across, v3), own, place(i_to, j_to), half)
                (row_across, i_from), (column_across, j_from) = divmod(i - v1, shape[0]), divmod(j - v2, shape[1])
                _add(blocks, (-row_across, -column_across, v3), place(i_from, j_from), own, half)
    del blocks[0, 0, 0]
    corners = [i * first.lattice[0] + j * first.lattice[1] for i in range(shape[0]) for j in range(shape[1])]
    return Material(
        name=_name(rows),
        lattice=_lattice(rows),
        onsite=onsite,
        exchange=exchange,
        hoppings=tuple(sorted(blocks.items(), key=lambda item: item[0])),
        spin_orbit=_spin_orbit(rows),
        electrons=_electrons(rows),
        positions=np.concatenate(
            [
                corner + (np.zeros((orbitals, 3)) if material.positions is None else material.positions)
                for corner, material in zip(corners, (m for row in rows for m in row), strict=True)
            ]
        ),
        cells=(shape[0] * first.cells[0], shape[1] * first.cells[1]),
    )


def _alloy(rows: list[list[Material]], mean: Mean) -> Material:
    """The supercell of Slater-Koster metals, bond by bond."""
    first = rows[0][0]
    cells = len(rows) * first.cells[0], len(rows[0]) * first.cells[1]
    atoms, levels = [], []
    for i, row in enumerate(rows):
        for j, material in enumerate(row):
            corner = np.array([i * first.cells[0], j * first.cells[1], 0])
            atoms += [Atom(atom.crystal, atom.kind, corner + atom.place) for atom in material.atoms]
            levels += [(material.onsite[own, own], material.exchange[own, own]) for own in slices(material.atoms)]
    inside, hoppings = bonds_of_atoms(atoms, cells, mean)
    onsite, exchange = inside.copy(), np.zeros_like(inside)
    for own, (energies, splitting) in zip(slices(atoms), levels, strict=True):
        onsite[own, own] += energies
        exchange[own, own] = splitting
    lattice = _lattice(rows)
    return Material(
        name=_name(rows),
        lattice=lattice,
        onsite=onsite,
        exchange=exchange,
        hoppings=hoppings,
        spin_orbit=_spin_orbit(rows),
        electrons=_electrons(rows),
        positions=positions_of(atoms, cells, lattice),
        atoms=tuple(atoms),
        cells=cells,
        atom_bonds=(inside, hoppings),
    )


def _name(rows: list[list[Material]]) -> str:
    names = "/".join(sorted({material.name for row in rows for material in row}))
    return f"{names}, {len(rows)} x {len(rows[0])} cells"


def _lattice(rows: list[list[Material]]) -> np.ndarray:
    return rows[0][0].lattice * np.array([[len(rows)], [len(rows[0])], [1]])


def _electrons(rows: list[list[Material]]) -> float | None:
    """Of the whole cell; None if those of a site are not known."""
    each = [material.electrons for row in rows for material in row]
    known = [n for n in each if n is not None]
    return sum(known) if len(known) == len(each) else None


def _spin_orbit(rows: list[list[Material]]) -> np.ndarray | None:
    """The matrices of all sites along the diagonal; None if no site has any."""
    sites = [material for row in rows for material in row]
    if not any(material.spin_orbit_coupled for material in sites):
        return None
    whole = np.zeros((3, sum(m.orbitals for m in sites), sum(m.orbitals for m in sites)), dtype=complex)
    start = 0
    for material in sites:
        own = slice(start, start + material.orbitals)
        if material.spin_orbit is not None:
            whole[:, own, own] = material.spin_orbit
        start = own.stop
    return whole


def site_generator(*, seed: int, configuration: int, layer: int, site: tuple[int, int]) -> np.random.Generator:
    """The random numbers of one site of one configuration of the disorder.

    They depend on these four alone: a configuration is the same whatever was drawn before, on any number of ranks, and
    a wider supercell only adds sites.

    Parameters
    ----------
    seed, configuration, layer
        Integers, not negative.
    site
        (i, j), position in the supercell.

    Raises
    ------
    InputError
        For anything but integers that are not negative.
    """
    numbers = {"seed": seed, "configuration": configuration, "layer": layer, "site[0]": site[0], "site[1]": site[1]}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise InputError(f"{name}={value!r} addresses no random numbers; give an integer from 0 on")
    address = np.random.SeedSequence(int(seed), spawn_key=(int(configuration), int(layer), int(site[0]), int(site[1])))
    return np.random.Generator(np.random.Philox(address))


def _add(blocks: dict, across: tuple[int, int, int], row: slice, column: slice, matrix: np.ndarray) -> None:
    """Add <row|H|column, `across` supercells away>, kept with its adjoint as one of each pair of opposite vectors."""
    size = len(blocks[0, 0, 0])
    if across < (0, 0, 0):
        across, row, column, matrix = (-across[0], -across[1], -across[2]), column, row, matrix.conj().T
    block = blocks.setdefault(across, np.zeros((size, size), dtype=complex))
    block[row, column] += matrix
    if across == (0, 0, 0):
        block[column, row] += matrix.conj().T


def _check_site(first: Material, material: Material) -> None:
    if not isinstance(material, Material):
        raise InputError(f"sites: {material!r} is no material; make one with qt.single_band(...)")
    if bool(first.atoms) != bool(material.atoms):
        raise InputError(
            f"sites: no rule gives the hopping between {material.name} and {first.name}; take all sites from "
            "qt.slater_koster, of one facet, or none"
        )
    if first.atoms:
        structures = [found.atoms[0].crystal.parameters.structure for found in (first, material)]
        if structures[0] != structures[1] and "rocksalt" in structures:
            raise InputError(
                f"sites: no rule gives the hopping within a layer between {material.name} and {first.name}; a metal "
                "and a rocksalt stand in different layers only"
            )
        require_match(first, material)
        return
    if material.orbitals != first.orbitals:
        raise InputError(
            f"sites: {material.name} has {material.orbitals} orbitals and {first.name} {first.orbitals}; "
            "one supercell needs equal numbers"
        )
    if np.abs(material.lattice - first.lattice).max() > SAME_LATTICE * np.abs(first.lattice).max():
        raise InputError(f"sites: the lattices of {material.name} and {first.name} differ; give both the same one")


def _check_bonds(material: Material, mean: Mean) -> None:
    """Refuse a site whose own bonds would be lost: hoppings changed by hand, or a supercell made by another rule."""
    require_own_bonds(material)
    if material.cells == (1, 1):
        return
    inside, hoppings = bonds_of_atoms(material.atoms, material.cells, mean)
    if material.atom_bonds is not None and not (
        np.array_equal(inside, material.atom_bonds[0]) and same_hoppings(hoppings, material.atom_bonds[1])
    ):
        raise InputError(f"sites: {material.name} was made with another unlike_hopping; give the same one")

"""In-plane supercells: several primitive cells side by side, each site a material of its own.

A supercell of n x m sites is again a `Material`, whose orbitals are those of all its sites; it stands in a `Layer` or a
`Lead` like any other. Results are then per supercell: divide by n m to compare with a primitive cell. A supercell mesh
of N1 x N2 momenta folds the primitive mesh of n N1 x m N2.
"""

from collections.abc import Sequence

import numpy as np

from qtorque.errors import InputError
from qtorque.materials import Material

SAME_LATTICE = 1e-9
"""Relative; the sites of one supercell share one lattice, and vectors that differ by more are another."""


def in_plane_supercell(sites: Sequence[Sequence[Material]]) -> Material:
    """The material whose cell holds n x m sites; `sites[i][j]` stands at i a1 + j a2.

    On-site energies and exchange are those of each site. The hopping between two sites is the mean of the hoppings of
    their two materials, as between the layers of a `Stack`.

    Parameters
    ----------
    sites
        n rows of m materials each, with one lattice and one number of orbitals.

    Returns
    -------
    Material
        Lattice vectors n a1, m a2, a3; orbital index ((i m + j) orbitals + orbital).

    Raises
    ------
    InputError
        For rows of different length, other lattices or other numbers of orbitals.

    Notes
    -----
    Between two different layers of a `Stack` the hopping is the mean of both layers' own. That is the mean of the two
    sites' materials wherever all hoppings are equal, or the hopping leads straight up to the same site of the cell; an
    oblique hopping between alloyed layers of different hoppings also takes in the sites next to both.
    """
    rows = [list(row) for row in sites]
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"sites has rows of {[len(row) for row in rows]} materials; give n rows of m each, not empty")
    shape = len(rows), len(rows[0])
    first = rows[0][0]
    for row in rows:
        for material in row:
            _check_site(first, material)
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
    names = "/".join(sorted({material.name for row in rows for material in row}))
    return Material(
        name=f"{names}, {shape[0]} x {shape[1]} cells",
        lattice=first.lattice * np.array([[shape[0]], [shape[1]], [1]]),
        onsite=onsite,
        exchange=exchange,
        hoppings=tuple(sorted(blocks.items(), key=lambda item: item[0])),
    )


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
    if material.orbitals != first.orbitals:
        raise InputError(
            f"sites: {material.name} has {material.orbitals} orbitals and {first.name} {first.orbitals}; "
            "one supercell needs equal numbers"
        )
    if np.abs(material.lattice - first.lattice).max() > SAME_LATTICE * np.abs(first.lattice).max():
        raise InputError(f"sites: the lattices of {material.name} and {first.name} differ; give both the same one")

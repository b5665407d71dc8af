"""Sums over the Brillouin zone of a bulk material by linear tetrahedra: density of states, Fermi energy, moment.

The zone is cut into tetrahedra whose corners are the points of a uniform mesh that contains k = 0; each band is linear
in each of them, and what lies below an energy is known in closed form. Only one point of every orbit of the crystal's
symmetry is diagonalised. Which rotations of the lattice leave the bands unchanged is found out by trying, so that
nothing has to be declared.

G. Lehmann and M. Taut, Phys. Status Solidi B 54, 469 (1972); cut as by P. E. Bloechl, O. Jepsen and O. K. Andersen,
Phys. Rev. B 49, 16223 (1994) (both from memory). The error of a smooth band falls as the square of the mesh spacing.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque._tetrahedron_kernels import tetrahedron_sums
from qtorque.bulk import SPINS, Bulk, bulk, require_material
from qtorque.compiling import announced
from qtorque.errors import InputError, finite_number, whole_number
from qtorque.materials import Material

DEFAULT_MESH = 48
"""Points along each reciprocal vector. Fermi energies of the library's metals are within 6 meV of those of twice as
many, moments within 0.003 Bohr magnetons."""
SAME_METRIC = 1e-9
"""Relative to the largest scalar product of lattice vectors: a rotation of the lattice keeps all of them."""
SAME_LEVEL = 1e-8
"""eV; a symmetry of the bands holds up to rounding, one that is broken by a parameter is off by more."""
SAMPLES = 4
"""Momenta at which a symmetry is tried; at one random momentum no broken symmetry holds by accident."""
VECTOR_RANGE = range(-2, 3)
"""Coefficients of the images of a lattice vector: the vectors of a facet are short, none takes more."""
KEPT_MESHES = 4
"""Meshes kept for further calls: all metals of one structure and facet share them."""
GRID = 65
"""Energies of one step of the search for the Fermi energy: the bracket shrinks to a 64th."""
BRACKET = 1e-3
"""eV; within so little the number of states is linear in energy to 1e-6 eV, far below the error of any mesh."""
ELECTRON_ROUNDING = 1e-9
"""Electrons; in a gap the count is the whole number up to the rounding of the sum."""
FEWEST_POINTS = 2
"""A mesh of one point has no tetrahedra that are not empty."""
MOST_POINTS = 128
"""Points along each reciprocal vector: tables of the tetrahedra of 1.3 GB while they are made."""


@dataclass(frozen=True, eq=False)
class ZoneMesh:
    """The irreducible points of a mesh and its tetrahedra.

    Attributes
    ----------
    phases
        Irreducible points, rad. shape (points, 3)
    tetrahedra
        Numbers of the corner points. shape (tetrahedra, 4)
    weights
        Share of the zone in all tetrahedra with these corners. shape (tetrahedra,)
    """

    phases: np.ndarray
    tetrahedra: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class _ZoneBands:
    """Bands at the points of a mesh, and what a state counts for in each spin channel.

    Attributes
    ----------
    levels
        eV. shape (sums, points, bands)
    shares
        shape (sums, channels, points, bands); channels are up and down.
    """

    mesh: ZoneMesh
    levels: np.ndarray
    shares: np.ndarray

    def sums(self, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Density of states (1/eV) and number of states below ascending energies, per cell: both (2, energies)."""
        density, number = np.zeros((2, len(SPINS), len(energies)))
        with announced(tetrahedron_sums):
            for levels, shares in zip(self.levels, self.shares, strict=True):
                tetrahedron_sums(levels, shares, self.mesh.tetrahedra, self.mesh.weights, energies, density, number)
        return density, number


def bulk_density_of_states(
    material: Material, energies: ArrayLike, *, mesh: int = DEFAULT_MESH, magnetization: ArrayLike = (0, 0, 1)
) -> xr.Dataset:
    """Density of states of a bulk material per spin, and the number of states below each energy.

    D_s(E) = Int d^3k/Omega sum_n |<s|n k>|^2 delta(E - E_n(k)) by linear tetrahedra, Omega the volume of the zone.

    Parameters
    ----------
    energies
        eV, ascending.
    mesh
        Points along each reciprocal vector.
    magnetization
        m, unit vector in the lab frame: the axis of the spins up (along m) and down.

    Returns
    -------
    Dataset
        `density_of_states` (spin, energy), 1/eV per cell; `number_of_states` (spin, energy), per cell.

    Raises
    ------
    InputError
        For bad arguments.

    Notes
    -----
    With spin-orbit coupling spin is not conserved, and a state counts for both spins with its projections. These are
    averaged over the corners of a tetrahedron; their sum is as exact as without.
    """
    try:
        grid = np.atleast_1d(np.asarray(energies, dtype=float))
    except (TypeError, ValueError):
        grid = np.empty(0)
    if grid.ndim != 1 or not len(grid) or not np.all(np.isfinite(grid)) or np.any(np.diff(grid) <= 0):
        raise InputError(f"energies={energies!r}: give finite numbers in eV, ascending")
    density, number = _zone_bands(material, mesh, magnetization).sums(grid)
    return xr.Dataset(
        {
            "density_of_states": (
                ("spin", "energy"), density, {"units": "1/eV", "long_name": "density of states per cell"}
            ),
            "number_of_states": (
                ("spin", "energy"), number, {"units": "1", "long_name": "states per cell below the energy"}
            ),
        },
        {"spin": list(SPINS), "energy": ("energy", grid, {"units": "eV", "long_name": "energy"})},
        {"material": material.name, "mesh": mesh},
    )  # fmt: skip


def fermi_energy(
    material: Material,
    *,
    electrons: float | None = None,
    mesh: int = DEFAULT_MESH,
    magnetization: ArrayLike = (0, 0, 1),
) -> float:
    """The energy (eV) below which a bulk material has so many states per cell, at 0 K.

    Parameters
    ----------
    electrons
        Per cell, both spins; default those of the material.
    mesh
        Points along each reciprocal vector.
    magnetization
        Unit vector in the lab frame; matters with spin-orbit coupling only.

    Returns
    -------
    float
        0 up to the error of the mesh for a material of the library. The middle of the gap of an insulator.

    Raises
    ------
    InputError
        Where the number of electrons is not known, or does not lie between none and full bands.
    """
    known = require_material(material).electrons
    wanted = known if electrons is None else finite_number("electrons", electrons, "electrons per cell")
    if wanted is None:
        raise InputError(f"electrons=None: {material.name} does not say how many it has; give electrons=")
    if not 0 < wanted < 2 * material.orbitals:
        raise InputError(
            f"electrons={wanted:g}: the {material.orbitals} orbitals of {material.name} hold more than 0 and fewer "
            f"than {2 * material.orbitals}"
        )
    zone = _zone_bands(material, mesh, magnetization)
    level = _crossing(zone, wanted - ELECTRON_ROUNDING)
    beyond = zone.sums(np.array([level + BRACKET]))[1].sum()
    if beyond > wanted + ELECTRON_ROUNDING:
        return level
    return 0.5 * (level + _crossing(zone, wanted + ELECTRON_ROUNDING))


def magnetic_moment(
    material: Material, *, energy: float = 0.0, mesh: int = DEFAULT_MESH, magnetization: ArrayLike = (0, 0, 1)
) -> float:
    """The spin moment of a bulk material along m, Bohr magnetons per cell: states of up less those of down below E.

    Parameters
    ----------
    energy
        eV; 0 is the Fermi energy of a material of the library, `qtorque.fermi_energy` gives any other's.
    mesh
        Points along each reciprocal vector.
    magnetization
        m, unit vector in the lab frame.

    Raises
    ------
    InputError
        For bad arguments.
    """
    level = finite_number("energy", energy, "eV")
    _, number = _zone_bands(material, mesh, magnetization).sums(np.array([level]))
    return float(number[0, 0] - number[1, 0])


def zone_mesh(material: Material, states: Bulk, n: int) -> ZoneMesh:
    """The mesh of n^3 points reduced by the rotations that leave the bands and their spins unchanged."""
    size = whole_number("mesh", n, FEWEST_POINTS, "points along each reciprocal vector", most=MOST_POINTS)
    return _reduced(size, _symmetries(material, states), _shortest_diagonal(material.lattice))


def _zone_bands(material: Material, mesh: int, magnetization: ArrayLike) -> _ZoneBands:
    states = bulk(material, magnetization)
    reduced = zone_mesh(material, states, mesh)
    if states.coupled and material.magnetic:
        levels, spin = states.levels_and_spin(reduced.phases)
        return _ZoneBands(reduced, levels[None], 0.5 * np.stack([1 + spin, 1 - spin])[None])
    levels = states.levels(reduced.phases)
    shares = np.zeros((len(levels), len(SPINS), *levels.shape[1:]))
    if len(levels) == len(SPINS):
        shares[0, 0] = shares[1, 1] = 1
    else:
        # Time reversal: what up has at k, down has at -k. With spin-orbit coupling each level is one state.
        shares[:] = 0.5 * states.states_per_level
    return _ZoneBands(reduced, levels, shares)


def _crossing(zone: _ZoneBands, wanted: float) -> float:
    """Where the number of states reaches a value, eV."""
    low, high = float(zone.levels.min()), float(zone.levels.max())
    while True:
        grid = np.linspace(low, high, GRID)
        count = zone.sums(grid)[1].sum(axis=0)
        i = int(np.clip(np.searchsorted(count, wanted), 1, GRID - 1))
        low, high = float(grid[i - 1]), float(grid[i])
        if high - low < BRACKET:
            return float(np.interp(wanted, count[i - 1 : i + 1], grid[i - 1 : i + 1]))


def _symmetries(material: Material, states: Bulk) -> tuple[tuple[int, ...], ...]:
    """Integer matrices, row by row, that act on the phases and leave the bands (and their spins) unchanged."""
    rng = np.random.default_rng(0)
    samples = rng.uniform(0, 2 * np.pi, (SAMPLES, 3))

    def signature(phases: np.ndarray) -> np.ndarray:
        if states.coupled and material.magnetic:
            return np.stack(states.levels_and_spin(phases))
        return states.levels(phases)

    rotations = _lattice_rotations(material.lattice)
    found = signature(np.concatenate([samples @ matrix.T for matrix in rotations]))
    found = found.reshape(len(found), len(rotations), -1).swapaxes(0, 1).reshape(len(rotations), -1)
    kept = np.abs(found - signature(samples).reshape(1, -1)).max(axis=1) < SAME_LEVEL
    return tuple(tuple(int(x) for x in matrix.ravel()) for matrix in rotations[kept])


def _lattice_rotations(lattice: np.ndarray) -> np.ndarray:
    """Integer matrices M with M G M^T = G, G the scalar products of the lattice vectors: shape (operations, 3, 3)."""
    metric = lattice @ lattice.T
    tolerance = SAME_METRIC * np.abs(metric).max()
    vectors = np.array(list(itertools.product(VECTOR_RANGE, repeat=3)))
    lengths = np.einsum("vi,ij,vj->v", vectors, metric, vectors)
    images = [vectors[np.abs(lengths - metric[i, i]) < tolerance] for i in range(3)]
    candidates = np.array([np.stack(rows) for rows in itertools.product(*images)])
    scalar = candidates @ metric @ candidates.swapaxes(1, 2)
    return candidates[np.abs(scalar - metric).max(axis=(1, 2)) < tolerance]


def _shortest_diagonal(lattice: np.ndarray) -> tuple[int, int, int]:
    """The signs s of the shortest of the diagonals s1 b1 + s2 b2 + s3 b3 of the reciprocal cell."""
    reciprocal = np.linalg.inv(lattice).T
    diagonals = [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)]
    return min(diagonals, key=lambda signs: np.linalg.norm(np.array(signs) @ reciprocal))


@functools.lru_cache(maxsize=KEPT_MESHES)
def _reduced(n: int, operations: tuple[tuple[int, ...], ...], diagonal: tuple[int, int, int]) -> ZoneMesh:
    """The points 2 pi i/n, one of every orbit, and the tetrahedra around one diagonal of each cell of the mesh."""
    axes = np.indices((n, n, n)).reshape(3, -1)
    own = np.arange(n**3)
    representative = own.copy()
    for operation in operations:
        image = np.array(operation).reshape(3, 3) @ axes % n
        np.minimum(representative, (image[0] * n + image[1]) * n + image[2], out=representative)
    irreducible, number = np.unique(representative, return_inverse=True)
    # From one end of the diagonal to the other along the three axes in every order.
    start = np.array([0 if sign > 0 else 1 for sign in diagonal])
    paths = []
    for order in itertools.permutations(range(3)):
        path = [start]
        for axis in order:
            path.append(path[-1] + diagonal[axis] * np.eye(3, dtype=int)[axis])
        paths.append(path)
    # One order at a time bounds the memory.
    parts = []
    for path in paths:
        places = ((axes + step[:, None]) % n for step in path)
        columns = [number[(i * n + j) * n + k] for i, j, k in places]
        parts.append(_distinct(np.sort(np.stack(columns, axis=-1), axis=-1), np.ones(n**3)))
    tetrahedra, counts = _distinct(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    phases = 2 * np.pi * axes.T[irreducible] / n
    return ZoneMesh(phases, tetrahedra, counts / (len(paths) * n**3))


def _distinct(rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of four numbers, and the sum of the counts of each."""
    size = int(rows.max()) + 1
    pairs = [np.unique(rows[:, i] * size + rows[:, i + 1], return_inverse=True)[1] for i in (0, 2)]
    keys = pairs[0].astype(np.int64) * (int(pairs[1].max()) + 1) + pairs[1]
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], np.bincount(group, counts)

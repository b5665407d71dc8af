"""Bands of a bulk material: the Bloch sum in three dimensions, symmetry points, and bands along a path.

H(k) = onsite + sum_v (hopping_v exp(i k.v) + Hermitian conjugate). A momentum is given by its three phases k.a1, k.a2,
k.a3. Without spin-orbit coupling the spins along and against m are independent, with H -/+ exchange/2; with it H is a
matrix in orbitals and spin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.errors import InputError, whole_number
from qtorque.materials import Material
from qtorque.spin import PAULI, unit_vector

SPINS = ("up", "down")
"""Along and against m: majority and minority."""
ELEMENTS_AT_ONCE = 2_000_000
"""Complex matrix elements of a batch of Hamiltonians: 32 MB."""
DEGENERATE = 1e-9
"""eV; levels closer than this are one: rounding of an eigenvalue. Their spin is that of their mean, since a basis of
the space they share is arbitrary."""

SYMMETRY_POINTS: dict[str, dict[str, tuple[float, float, float]]] = {
    "fcc": {
        "G": (0, 0, 0), "X": (0, 1, 0), "W": (0.5, 1, 0), "L": (0.5, 0.5, 0.5), "K": (0.75, 0.75, 0),
        "U": (0.25, 1, 0.25),
    },
    "bcc": {"G": (0, 0, 0), "H": (0, 1, 0), "N": (0.5, 0.5, 0), "P": (0.5, 0.5, 0.5)},
}  # fmt: skip
"""Symmetry points of the Brillouin zone in the axes of the cube, units of 2 pi/a: C. J. Bradley and A. P. Cracknell,
The Mathematical Theory of Symmetry in Solids, Oxford 1972 (from memory)."""
SYMMETRY_POINTS["rocksalt"] = SYMMETRY_POINTS["fcc"]
STANDARD_PATHS = {"fcc": "G-X-W-L-G-K", "bcc": "G-H-N-G-P-N", "rocksalt": "G-X-W-L-G-K"}
"""Through all symmetry points (U is K up to a reciprocal vector); every piece is a straight line of the zone."""
MOST_PATH_POINTS = 100_000
"""Momenta along a path: 30 MB of bands with spin-orbit coupling."""

PathPoint = str | tuple[str, Sequence[float]] | Sequence[float]
"""A label of `SYMMETRY_POINTS`, (label, fractions) or fractions."""


@dataclass(frozen=True, eq=False)
class BlochSum:
    """H(k) = onsite + sum_v (hopping_v exp(i k.v) + h.c.).

    Attributes
    ----------
    onsite
        eV. shape (n, n)
    vectors
        In units of a1, a2, a3. shape (vectors, 3)
    hoppings
        eV. shape (vectors, n, n)
    """

    onsite: np.ndarray
    vectors: np.ndarray
    hoppings: np.ndarray

    def at(self, phases: np.ndarray) -> np.ndarray:
        """H at phases (points, 3): shape (points, n, n), eV."""
        n = len(self.onsite)
        factors = np.exp(1j * (phases @ self.vectors.T))
        half = (factors @ self.hoppings.reshape(-1, n * n)).reshape(-1, n, n) + 0.5 * self.onsite
        return half + half.conj().transpose(0, 2, 1)

    def levels(self, phases: np.ndarray) -> np.ndarray:
        """Ascending eigenvalues at phases (points, 3): shape (points, n), eV."""
        found = [np.linalg.eigvalsh(self.at(part)) for part in _parts(phases, len(self.onsite))]
        return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Bulk:
    """The Bloch sums of a material: one for both spins, one for each, or one with spin-orbit coupling.

    Attributes
    ----------
    sums
        One (all spins equal, or coupled), or those of up and of down.
    coupled
        Whether the sum holds both spins.
    direction
        m, the axis of spin. shape (3,)
    """

    sums: tuple[BlochSum, ...]
    coupled: bool
    direction: np.ndarray

    @property
    def states_per_level(self) -> int:
        """2 where the bands of `sums` are those of both spins."""
        return 1 if self.coupled or len(self.sums) == 2 else 2

    def levels(self, phases: np.ndarray) -> np.ndarray:
        """Ascending band energies at phases (points, 3): shape (sums, points, bands), eV."""
        return np.stack([own.levels(phases) for own in self.sums])

    def levels_and_spin(self, phases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bands with spin-orbit coupling at phases (points, 3) and <m.sigma> in each: both (points, bands)."""
        (own,) = self.sums
        spin = np.einsum("a,ast->st", self.direction, PAULI[1:])
        levels, spins = [], []
        for part in _parts(phases, len(own.onsite)):
            energies, states = np.linalg.eigh(own.at(part))
            points, size, bands = states.shape
            split = states.reshape(points, size // 2, 2, bands)
            levels.append(energies)
            spins.append(np.einsum("kosn,st,kotn->kn", split.conj(), spin, split, optimize=True).real)
        together = np.concatenate(levels)
        return together, _shared_by_degenerate(together, np.concatenate(spins))


def bulk(material: Material, magnetization: ArrayLike = (0, 0, 1)) -> Bulk:
    """The Bloch sums of a material magnetised along a unit vector of the lab frame."""
    m = unit_vector(magnetization)
    if require_material(material).spin_orbit_coupled:
        return Bulk((coupled_sum(material, m),), True, m)
    vectors, hoppings = _hoppings(material)
    signs = (-0.5, 0.5) if material.magnetic else (0.0,)
    sums = tuple(BlochSum(material.onsite + sign * material.exchange, vectors, hoppings) for sign in signs)
    return Bulk(sums, False, m)


def coupled_sum(material: Material, m: np.ndarray) -> BlochSum:
    """The Bloch sum of orbitals and spin of a material magnetised along m, whether they are coupled or not."""
    vectors, hoppings = _hoppings(material)
    onsite = np.kron(material.onsite, PAULI[0])
    for a, sigma in enumerate(PAULI[1:]):
        part = -0.5 * m[a] * material.exchange
        onsite = onsite + np.kron(part if material.spin_orbit is None else part + material.spin_orbit[a], sigma)
    return BlochSum(onsite, vectors, np.kron(hoppings, PAULI[0]))


def require_material(material: Material) -> Material:
    """The material; InputError for anything else."""
    if not isinstance(material, Material):
        raise InputError(
            f"material={material!r} is no qt.Material; give one such as qt.slater_koster('Cu', facet='111')"
        )
    return material


def _hoppings(material: Material) -> tuple[np.ndarray, np.ndarray]:
    """Lattice vectors (vectors, 3) and matrices (vectors, n, n) of the hoppings."""
    n = material.orbitals
    vectors = np.array([vector for vector, _ in material.hoppings], dtype=float).reshape(-1, 3)
    return vectors, np.array([matrix for _, matrix in material.hoppings], dtype=complex).reshape(-1, n, n)


def bands(
    material: Material,
    path: str | Sequence[PathPoint] | None = None,
    *,
    points: int = 200,
    magnetization: ArrayLike = (0, 0, 1),
) -> xr.Dataset:
    """Energy bands along a path of straight lines through the Brillouin zone.

    Parameters
    ----------
    path
        Labels joined by dashes such as "G-X-W-L-G-K", or a list of which each element is a label, (label, fractions) or
        three fractions of the reciprocal lattice vectors (k.a_i = 2 pi f_i). Labels are those of the cubic crystal
        (fcc: G, X, W, L, K, U; bcc: G, H, N, P), whatever its facet. Default: through all of them.
    points
        Momenta on the whole path, shared by length.
    magnetization
        Unit vector in the lab frame; changes bands with spin-orbit coupling only.

    Returns
    -------
    Dataset
        `energy` (spin, k, band), eV, bands ascending at every k; both spins are there in a material that is not
        magnetic too. With spin-orbit coupling there is no dimension spin; `energy` and `spin`, the mean of m.sigma in
        the state, have (k, band). Coordinates: `distance` along the path, 1/nm; `corner_distance` and the labels of
        the corners, `corner_label`.

    Raises
    ------
    InputError
        For labels that the material does not have, a path of fewer than two points, a number of points too small.

    Notes
    -----
    In bands that spin-orbit coupling leaves degenerate the spin is the mean over the degenerate states: 0 in a crystal
    with inversion that is not magnetic.
    """
    states = bulk(material, magnetization)
    corners = _path_corners(material, path)
    what = f"momenta of a path of {len(corners)} corners"
    points = whole_number("points", points, 2 * len(corners), what, most=MOST_PATH_POINTS)
    phases, distances, corner_distances = _along([phase for _, phase in corners], material, points)
    coordinates = {
        "distance": ("k", distances, {"units": "1/nm", "long_name": "distance along the path"}),
        "corner_distance": ("corner", corner_distances, {"units": "1/nm", "long_name": "symmetry points on the path"}),
        "corner_label": ("corner", [label for label, _ in corners]),
    }
    energy_attributes = {"units": "eV", "long_name": "band energy"}
    if states.coupled:
        levels, spin = states.levels_and_spin(phases)
        coupled = {
            "energy": (("k", "band"), levels, energy_attributes),
            "spin": (("k", "band"), spin, {"units": "1", "long_name": "mean of m.sigma"}),
        }
        return xr.Dataset(coupled, coordinates, {"material": material.name})
    levels = states.levels(phases)
    both = np.broadcast_to(levels, (len(SPINS), *levels.shape[1:])).copy()
    separate = {"energy": (("spin", "k", "band"), both, energy_attributes)}
    return xr.Dataset(separate, {**coordinates, "spin": list(SPINS)}, {"material": material.name})


def momentum_phases(material: Material, point: PathPoint) -> tuple[str, np.ndarray]:
    """Label and phases k.a1, k.a2, k.a3 (rad) of a symmetry point, of (label, fractions) or of fractions.

    Raises
    ------
    InputError
        For a label that the material does not have, or what is no three finite numbers.
    """
    if isinstance(point, str):
        return point, _symmetry_point(material, point)
    label, triple = "", np.empty(0)
    # What cannot be read as numbers has no shape (3,).
    with contextlib.suppress(TypeError, ValueError):
        match point:
            case (str() as label, fractions):
                triple = np.asarray(fractions, dtype=float)
            case _:
                triple = np.asarray(point, dtype=float)
    if triple.shape != (3,) or not np.all(np.isfinite(triple)):
        raise InputError(f"point {point!r} of the zone: give a label, (label, fractions) or three finite fractions")
    return label or "(" + " ".join(f"{x:.3g}" for x in triple) + ")", 2 * np.pi * triple


def crystal_axes(material: Material) -> np.ndarray:
    """Rows are the lab axes x, y, z in the axes of the cubic crystal; the unit matrix without such a crystal."""
    return material.atoms[0].crystal.axes if material.atoms else np.eye(3)


def _symmetry_point(material: Material, label: str) -> np.ndarray:
    if not material.atoms or material.cells != (1, 1):
        raise InputError(
            f"point {label!r}: {material.name} has no symmetry points of its own; give (label, fractions), three "
            "fractions of the reciprocal lattice vectors"
        )
    crystal = material.atoms[0].crystal
    known = SYMMETRY_POINTS[crystal.parameters.structure]
    if label not in known:
        raise InputError(
            f"point {label!r} is none of {material.name} ({crystal.parameters.structure}); use {', '.join(known)}"
        )
    k = 2 * np.pi / crystal.parameters.lattice_constant * np.array(known[label])
    return material.lattice @ crystal.axes @ k


def _path_corners(material: Material, path: str | Sequence[PathPoint] | None) -> list[tuple[str, np.ndarray]]:
    if path is None:
        if not material.atoms:
            raise InputError(f"bands: {material.name} has no path of its own; give path=[(label, fractions), ...]")
        path = STANDARD_PATHS[material.atoms[0].crystal.parameters.structure]
    if not isinstance(path, (str, Sequence, np.ndarray)):
        raise InputError(f"path={path!r} is no path; give labels joined by dashes or a list of points")
    elements = path.split("-") if isinstance(path, str) else list(path)
    corners = [momentum_phases(material, element) for element in elements]
    for (first, start), (second, stop) in zip(corners, corners[1:], strict=False):
        if not np.any(start - stop):
            raise InputError(f"path={path!r}: the corners {first} and {second} are one momentum; give each once")
    if len(corners) < 2:
        raise InputError(f"path={path!r} has no line; give at least two points")
    return corners


def _along(corners: Sequence[np.ndarray], material: Material, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phases (points, 3) along the lines, distances (points,) and distances of the corners, 1/nm; corners included."""
    k = np.array(corners) @ np.linalg.inv(material.lattice).T
    lengths = np.linalg.norm(np.diff(k, axis=0), axis=1)
    steps = np.maximum(1, np.round((points - 1) * lengths / lengths.sum()).astype(int))
    steps[np.argmax(steps)] += points - 1 - steps.sum()
    places = np.concatenate([i + np.arange(n) / n for i, n in enumerate(steps)] + [[len(steps)]])
    numbers = np.arange(len(corners))
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    phases = np.stack([np.interp(places, numbers, np.array(corners)[:, i]) for i in range(3)], axis=-1)
    return phases, np.interp(places, numbers, at), at


def _parts(phases: np.ndarray, size: int) -> list[np.ndarray]:
    """The phases in batches that bound the memory."""
    return np.array_split(phases, max(1, -(-len(phases) * size**2 // ELEMENTS_AT_ONCE)))


def _shared_by_degenerate(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (points, bands) with those of degenerate levels replaced by their mean."""
    starts = np.diff(levels, axis=-1, prepend=-np.inf) > DEGENERATE
    group = np.cumsum(starts.ravel()) - 1
    return (np.bincount(group, values.ravel()) / np.bincount(group))[group].reshape(values.shape)

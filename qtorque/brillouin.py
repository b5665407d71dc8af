"""Meshes of in-plane momenta and their weights.

A momentum is given by its two phases k.a1 and k.a2, in radians. A mesh is lazy: blocks of points are made on demand,
so a mesh of any size costs nothing until its points are used. With a declared symmetry only one point of every orbit
is kept, with the weight of its orbit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError

SYMMETRY_TOLERANCE = 1e-9
"""Relative difference between a momentum and its images that is still rounding: a broken symmetry differs by far
more."""
SYMMETRY_SAMPLES = 32
"""Momenta at which a declared symmetry is verified; a pocket of a few percent of the zone is met with certainty."""

Operation = tuple[tuple[int, int], tuple[int, int]]
"""An integer matrix that acts on the phases (k.a1, k.a2)."""

_SWAP: Operation = ((0, 1), (1, 0))
_GENERATORS: dict[str, tuple[Operation, ...]] = {
    "inversion": (((-1, 0), (0, -1)),),
    "rectangular": (((-1, 0), (0, 1)), ((1, 0), (0, -1))),
    "rhombic": (((-1, 0), (0, -1)), _SWAP),
    "square": (((-1, 0), (0, 1)), _SWAP),
    "trigonal": (((-1, 1), (-1, 0)), _SWAP),
    "hexagonal": (((0, 1), (-1, 1)), _SWAP),
    "hexagonal-120": (((1, 1), (-1, 0)), _SWAP),
}
SYMMETRIES = tuple(_GENERATORS)
"""Names of the point groups: 2, 4, 4, 8, 6, 12 and 12 operations. "rhombic" is for a1, a2 of one length, "trigonal" and
"hexagonal" for a1, a2 at 60 degrees, "hexagonal-120" for 120 degrees."""
_THREEFOLD = ("trigonal", "hexagonal", "hexagonal-120")


def operations(symmetry: str | None) -> tuple[Operation, ...]:
    """The integer matrices of a point group, the identity first."""
    group: list[Operation] = [((1, 0), (0, 1))]
    for own in group:
        for generator in _GENERATORS[symmetry] if symmetry else ():
            product = np.array(generator) @ np.array(own)
            image: Operation = ((int(product[0, 0]), int(product[0, 1])), (int(product[1, 0]), int(product[1, 1])))
            if image not in group:
                group.append(image)
    return tuple(group)


@dataclass(frozen=True)
class KMesh:
    """A uniform mesh: the phases are 2 pi (i + 1/2)/n1 and 2 pi (j + 1/2)/n2, every weight 1/(n1 n2).

    Point number i n2 + j has indices (i, j). With a `symmetry` the mesh consists of one point of every orbit, the one
    with the smallest number in the full mesh, and its weight is that of the orbit; `size`, `points` and `weights` are
    those of the irreducible points, `shape` is that of the full mesh. The midpoints of a hexagonal net are not
    invariant under its twelve operations; with a hexagonal or trigonal symmetry the mesh contains k = 0 instead, at
    2 pi i/n.

    Notes
    -----
    The irreducible points are found row by row when they are first used, and their numbers and weights are kept: about
    16 bytes for each of them, 34 MB for a square mesh of 4096 x 4096.
    """

    n1: int
    n2: int
    symmetry: str | None = None

    @property
    def size(self) -> int:
        return self.n1 * self.n2 if self.symmetry is None else len(self._irreducible[0])

    @property
    def shape(self) -> tuple[int, int]:
        return self.n1, self.n2

    def take(self, index: np.ndarray | range) -> tuple[np.ndarray, np.ndarray]:
        """The phases, shape (n, 2), and the weights, shape (n,), of the points with these numbers."""
        index, total = np.asarray(index), self.n1 * self.n2
        weights = np.full(len(index), 1.0 / total)
        if self.symmetry is not None:
            numbers, orbits = self._irreducible
            index, weights = numbers[index], orbits[index] / total
        i, j = np.divmod(index, self.n2)
        return 2 * np.pi * np.stack([(i + self.shift) / self.n1, (j + self.shift) / self.n2], axis=-1), weights

    @property
    def points(self) -> np.ndarray:
        """All phases, shape (size, 2), radians."""
        if self.symmetry is not None:
            return self.take(np.arange(self.size))[0]
        # Row by row: ten times faster than by the numbers of the points.
        whole = np.empty((self.n1, self.n2, 2))
        for axis, n in enumerate(self.shape):
            phases = 2 * np.pi * ((np.arange(n) + self.shift) / n)
            whole[:, :, axis] = phases[:, None] if axis == 0 else phases
        return whole.reshape(-1, 2)

    @property
    def weights(self) -> np.ndarray:
        """All weights, shape (size,); they sum to one."""
        if self.symmetry is not None:
            return self.take(np.arange(self.size))[1]
        return np.full(self.size, 1.0 / self.size)

    def unfold(self, values: np.ndarray) -> np.ndarray:
        """Values at the points, shape (size,), over the full mesh, shape (n1, n2); for what the symmetry leaves
        unchanged."""
        if self.symmetry is None:
            return values.reshape(self.shape)
        numbers = self._irreducible[0]
        rows = [values[np.searchsorted(numbers, self._images(i).min(axis=0))] for i in range(self.n1)]
        return np.stack(rows)

    def __repr__(self) -> str:
        declared = "" if self.symmetry is None else f", symmetry={self.symmetry!r}"
        return f"kmesh({self.n1}, {self.n2}{declared})"

    @property
    def shift(self) -> float:
        """The phases are 2 pi (i + shift)/n."""
        return 0.0 if self.symmetry in _THREEFOLD else 0.5

    @cached_property
    def _irreducible(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers in the full mesh, ascending, and sizes of the orbits."""
        count = len(operations(self.symmetry))
        numbers, orbits = [], []
        for i in range(self.n1):
            images = self._images(i)
            own = images[0]
            chosen = own == images.min(axis=0)
            fixed = np.count_nonzero(images[:, chosen] == own[chosen], axis=0)
            numbers.append(own[chosen])
            orbits.append(count // fixed)
        return np.concatenate(numbers), np.concatenate(orbits)

    def _images(self, i: int) -> np.ndarray:
        """Numbers of the images of row i under all operations, shape (operations, n2)."""
        odd = int(2 * self.shift)
        x, y = 2 * i + odd, 2 * np.arange(self.n2) + odd
        return np.stack(
            [
                ((a * x + b * y) % (2 * self.n1) - odd) // 2 * self.n2 + ((c * x + d * y) % (2 * self.n2) - odd) // 2
                for (a, b), (c, d) in operations(self.symmetry)
            ]
        )


@dataclass(frozen=True, eq=False)
class KPoints:
    """Points of the user's own choice, in place of a mesh: phases (nk, 2) in radians and weights (nk,)."""

    points: np.ndarray
    weights: np.ndarray

    def __repr__(self) -> str:
        return f"kpoints({self.size})"

    @property
    def size(self) -> int:
        return len(self.points)

    @property
    def shape(self) -> tuple[int]:
        return (self.size,)

    def take(self, index: np.ndarray | range) -> tuple[np.ndarray, np.ndarray]:
        """The phases and the weights of the points with these numbers."""
        index = np.asarray(index)
        return self.points[index], self.weights[index]


KSet = KMesh | KPoints


def kmesh(n1: int, n2: int | None = None, symmetry: str | None = None) -> KMesh:
    """A uniform mesh of n1 x n2 points (n2 = n1 unless given) over the in-plane Brillouin zone.

    Parameters
    ----------
    n1, n2
        Points along the two phases k.a1 and k.a2.
    symmetry
        Point group of the layers: "inversion" (2 operations, k and -k), "rectangular" (4), "rhombic" (4, a1 and a2 of
        one length), "square" (8), "trigonal" (6, a1 and a2 at 60 degrees: layers of fcc (111)), "hexagonal" (12, the
        same with k and -k equal, as for conductances), "hexagonal-120" (12, at 120 degrees).
        Only one point of every orbit is computed then, with the weight of the orbit, and sums over k are those of the
        full mesh. A call that sums over k verifies the symmetry on random momenta before use: the requested quantity
        must be the same at every image.
        Spin is not turned: with spin-orbit coupling a torque turns with the crystal and is refused.

    Raises
    ------
    InputError
        If a number is not a positive integer, the symmetry is unknown or the mesh does not have it.
    """
    n2 = n1 if n2 is None else n2
    for n in (n1, n2):
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise InputError(f"kmesh({n1!r}, {n2!r}): {n!r} is not a number of points; give a positive integer")
    if symmetry is not None and symmetry not in SYMMETRIES:
        raise InputError(f"kmesh: symmetry={symmetry!r} is unknown; use one of {', '.join(SYMMETRIES)}")
    if n1 != n2 and any(m[0][1] or m[1][0] for m in operations(symmetry)):
        raise InputError(f"kmesh({n1}, {n2}): a mesh of symmetry {symmetry!r} needs n1 = n2; use 'rectangular'")
    return KMesh(int(n1), int(n2), symmetry)


def require_symmetry(kset: "KSet", quantity: Callable[[np.ndarray], np.ndarray], noise: float = 0.0) -> None:
    """Refuse a mesh whose declared symmetry the quantity does not have, looked at on random momenta.

    Parameters
    ----------
    kset
        Anything but a mesh with a symmetry passes.
    quantity
        Function phases (n, 2) -> values (n, columns), real or complex.
    noise
        Rounding of the values, absolute.

    Raises
    ------
    InputError
        Where the quantity at a momentum and at one of its images differ by more than 1e-9 of its largest value.
    """
    if not isinstance(kset, KMesh) or kset.symmetry is None:
        return
    group = operations(kset.symmetry)
    samples = np.random.default_rng(0).uniform(0, 2 * np.pi, (SYMMETRY_SAMPLES, 2))
    images = np.concatenate([samples @ np.array(matrix, dtype=float).T for matrix in group])
    values = quantity(images).reshape(len(group), SYMMETRY_SAMPLES, -1)
    difference = np.abs(values - values[0]).max(axis=(1, 2))
    largest = float(np.abs(values).max())
    worst = int(np.argmax(difference))
    if not difference[worst] <= SYMMETRY_TOLERANCE * largest + noise:
        raise InputError(
            f"kmesh: symmetry={kset.symmetry!r} does not hold: under {_describe(group[worst])} the quantity changes by "
            f"{difference[worst] / largest:.2g} of its largest value; declare a lower symmetry or none"
        )


def _describe(operation: Operation) -> str:
    """k.a1, k.a2 -> ... as text."""
    terms = []
    for row in operation:
        text = " ".join(f"{'-' if c < 0 else '+'} k.a{i + 1}" for i, c in enumerate(row) if c)
        terms.append(text.removeprefix("+ ") if text.startswith("+") else "-" + text.removeprefix("- "))
    return f"(k.a1, k.a2) -> ({terms[0]}, {terms[1]})"


def kpoints(points: ArrayLike, weights: ArrayLike | None = None) -> KPoints:
    """Points given one by one: phases (nk, 2) in radians; equal weights that sum to one unless given.

    Raises
    ------
    InputError
        If the shapes do not fit or a number is not finite.
    """
    array = np.atleast_2d(np.asarray(points, dtype=float))
    if array.ndim != 2 or array.shape[1] != 2 or not np.all(np.isfinite(array)):
        raise InputError(f"points of shape {np.shape(points)}: give finite phases k.a1, k.a2, shape (number, 2)")
    if weights is None:
        weight = np.full(len(array), 1.0 / len(array))
    else:
        weight = np.asarray(weights, dtype=float)
        if weight.shape != (len(array),) or not np.all(np.isfinite(weight)):
            raise InputError(f"weights of shape {weight.shape}: give one finite weight for each of {len(array)} points")
    return KPoints(array, weight)


def as_kset(kmesh_or_points) -> KSet:
    """The mesh or point set itself, or a mesh made of an integer; InputError for anything else."""
    if isinstance(kmesh_or_points, (KMesh, KPoints)):
        return kmesh_or_points
    if isinstance(kmesh_or_points, (int, np.integer)):
        return kmesh(int(kmesh_or_points))
    raise InputError(f"kmesh={kmesh_or_points!r} is no set of momenta; give qt.kmesh(n) or qt.kpoints(points)")


def interleaved_chunks(size: int, chunk: int) -> list[range]:
    """Numbers of the points of each chunk: chunk c of n takes c, c + n, c + 2n, ...

    The chunk size comes from the problem and never from the number of ranks. Interleaving makes every chunk a sample
    of the whole zone: each knows the scale of the sum it belongs to, and all take about the same time.
    """
    number = max(1, -(-size // chunk))
    return [range(c, size, number) for c in range(number)]

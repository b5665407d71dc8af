"""Meshes of in-plane momenta and their weights.

A momentum is given by its two phases k.a1 and k.a2, in radians. A mesh is lazy: blocks of points are made on demand,
so a mesh of any size costs nothing until its points are used.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError


@dataclass(frozen=True)
class KMesh:
    """A midpoint mesh: the phases are 2 pi (i + 1/2)/n1 and 2 pi (j + 1/2)/n2, every weight 1/(n1 n2).

    Point number i n2 + j has indices (i, j).
    """

    n1: int
    n2: int

    @property
    def size(self) -> int:
        return self.n1 * self.n2

    @property
    def shape(self) -> tuple[int, int]:
        return self.n1, self.n2

    def take(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The phases, shape (n, 2), and the weights, shape (n,), of the points with these numbers."""
        i, j = np.divmod(index, self.n2)
        points = 2 * np.pi * np.stack([(i + 0.5) / self.n1, (j + 0.5) / self.n2], axis=-1)
        return points, np.full(len(index), 1.0 / self.size)

    @property
    def points(self) -> np.ndarray:
        """All phases, shape (n1 n2, 2), radians."""
        return self.take(np.arange(self.size))[0]

    @property
    def weights(self) -> np.ndarray:
        """All weights, shape (n1 n2,); they sum to one."""
        return self.take(np.arange(self.size))[1]

    def __repr__(self) -> str:
        return f"kmesh({self.n1}, {self.n2})"


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

    def take(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The phases and the weights of the points with these numbers."""
        return self.points[index], self.weights[index]


KSet = KMesh | KPoints


def kmesh(n1: int, n2: int | None = None) -> KMesh:
    """A midpoint mesh of n1 x n2 points (n2 = n1 unless given) over the in-plane Brillouin zone.

    Raises
    ------
    InputError
        If a number is not a positive integer.
    """
    n2 = n1 if n2 is None else n2
    for n in (n1, n2):
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise InputError(f"kmesh({n1!r}, {n2!r}): {n!r} is not a number of points; give a positive integer")
    return KMesh(int(n1), int(n2))


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


def interleaved_chunks(size: int, chunk: int) -> list[np.ndarray]:
    """Numbers of the points of each chunk: chunk c of n takes c, c + n, c + 2n, ...

    The chunk size comes from the problem and never from the number of ranks. Interleaving makes every chunk a sample
    of the whole zone: each knows the scale of the sum it belongs to, and all take about the same time.
    """
    number = max(1, -(-size // chunk))
    return [np.arange(c, size, number) for c in range(number)]

"""Sums over the in-plane Brillouin zone to a requested tolerance.

Two ways. `climb` sums over a ladder of growing sets of momenta until two of them agree: nested midpoint meshes of 3, 9,
27, ... points a side, each with the points of the one before, converge faster than any power of their size where the
quantity is smooth in k. `qtorque.cells.refine` halves cells where errors are large. Torques are known as sums over many
momenta, whose integrals over energy share one error budget, and climb.
"""

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qtorque.brillouin import KPoints, KSet, as_kset
from qtorque.errors import InputError

NEST = 3
"""Midpoint meshes nest by odd factors; the shift 1/2 does so on every net, a hexagonal one included."""
LARGEST_NESTED = 729
"""Points a side of the finest nested mesh."""
FEWEST_NESTED = 4
"""Nested meshes before which no agreement is believed: up to 81 points a side. Coarser ones miss narrow lines."""
INNER_SHARE = 0.1
"""Share of the tolerance that integrals over energy are given inside a refined sum over k."""

@dataclass(frozen=True, eq=False)
class Refined:
    """A sum over k.

    Attributes
    ----------
    value
        shape (columns,)
    error
        Estimated error of the sum over k, shape (columns,).
    noise
        Error of what was summed, such as an integral over energy, shape (columns,).
    points
        Momenta evaluated.
    converged
        Whether the error of every reference column meets the tolerance.
    name
        What was summed over, in words.
    """

    value: np.ndarray
    error: np.ndarray
    noise: np.ndarray
    points: int
    converged: bool
    name: str


class Ladder(Protocol):
    """Sums over k of growing accuracy, each made of a set of momenta and a share of the sum before."""

    @property
    def name(self) -> str:
        """What is summed over, in words."""

    @property
    def rungs(self) -> int:
        """How many there are."""

    @property
    def fewest(self) -> int:
        """Rungs before which no agreement is believed."""

    @property
    def kept(self) -> float:
        """Share of the last rung's sum in the next."""

    def rung(self, number: int) -> KPoints:
        """The momenta that a rung adds, with their weights."""


@dataclass(frozen=True)
class NestedMeshes:
    """Midpoint meshes of 3, 9, 27, ... points a side, each with the points of the one before. A `Ladder`."""

    largest: int = LARGEST_NESTED
    name: str = "nested meshes"
    kept: float = 1 / NEST**2
    fewest: int = FEWEST_NESTED

    @property
    def rungs(self) -> int:
        return round(np.log(self.largest) / np.log(NEST))

    def rung(self, number: int) -> KPoints:
        n = NEST ** (number + 1)
        index = np.arange(n * n)
        i, j = np.divmod(index, n)
        # The middle one of every three points belongs to the mesh before.
        new = (i % NEST != NEST // 2) | (j % NEST != NEST // 2) | (number == 0)
        points = 2 * np.pi * (np.stack([i, j], axis=-1)[new] + 0.5) / n
        return KPoints(points, np.full(len(points), 1 / n**2))


def climb(
    ladders: Sequence[Ladder],
    evaluate: Callable[[Sequence[tuple[int, KPoints]], str], Sequence[tuple[np.ndarray, np.ndarray]]],
    *,
    tolerance: float,
    reference: np.ndarray | None = None,
) -> list[Refined]:
    """Several sums over k at once, each taken up its ladder until its error is below the tolerance.

    Parameters
    ----------
    ladders
        One for each sum.
    evaluate
        ([(number of the sum, momenta), ...], name of the stage) -> their weighted sums and the errors of these
        themselves, each of shape (columns,).
    tolerance, reference
        As for `refine`.

    Notes
    -----
    The error of a rung is its difference to the one before, an upper bound where the differences fall by more than a
    half each time. Nested meshes go up to 81 points a side at least, and the error is no less than 1/81 of the
    difference before, lest the last be small by chance. Where a sum was zero (or below its noise) on one of the last
    three and is not on another, lines so narrow that most momenta miss them make all of it, and it goes on. A
    difference below the errors of the evaluations counts as none. No peak is seen that no momentum meets.
    """
    climbers = [_Climber(ladder, 0, 0, np.zeros(0), np.zeros(0), None, None, ()) for ladder in ladders]
    finished: dict[int, Refined] = {}
    for number in itertools.count():
        sets = [(i, ladder.rung(number)) for i, ladder in enumerate(ladders) if i not in finished]
        for (i, added), (value, noise) in zip(sets, evaluate(sets, f"rung {number}"), strict=True):
            climbers[i] = climbers[i].up(added.size, value, noise)
            result = climbers[i].result(tolerance, reference)
            if result is not None:
                finished[i] = result
        if len(finished) == len(ladders):
            break
    return [finished[i] for i in range(len(ladders))]


def _above(value: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.where(np.abs(value) > noise, value, 0.0)


@dataclass(frozen=True, eq=False)
class _Climber:
    """A sum on its way: points so far, the last sum, its noise, the last two differences; sums above their noise."""

    ladder: Ladder
    steps: int
    points: int
    value: np.ndarray
    noise: np.ndarray
    difference: np.ndarray | None
    before: np.ndarray | None
    sums: tuple[np.ndarray, ...]

    def up(self, points: int, value: np.ndarray, noise: np.ndarray) -> "_Climber":
        """One rung higher."""
        if self.steps == 0:
            return _Climber(self.ladder, 1, points, value, noise, None, None, (_above(value, noise),))
        value, noise = value + self.ladder.kept * self.value, noise + self.ladder.kept * self.noise
        difference = np.abs(value - self.value)
        difference = np.where(difference <= noise + self.noise, 0.0, difference)
        return _Climber(
            self.ladder, self.steps + 1, self.points + points, value, noise, difference, self.difference,
            (*self.sums, _above(value, noise)),
        )  # fmt: skip

    def result(self, tolerance: float, reference: np.ndarray | None) -> Refined | None:
        """The result, None while it is worth going on."""
        if self.difference is None or self.steps < min(self.ladder.fewest, self.ladder.rungs):
            return None
        error = self.difference
        if self.before is not None:
            error = np.maximum(error, self.ladder.kept**2 * self.before)
        chosen = slice(None) if reference is None else reference
        goal = tolerance * float(np.abs(self.value[chosen]).max(initial=0.0))
        vanishing = [not x[chosen].any() for x in self.sums[-3:]]
        converged = float(error[chosen].max(initial=0.0)) <= goal and any(vanishing) == all(vanishing)
        if not converged and self.steps < self.ladder.rungs:
            return None
        return Refined(self.value, error, self.noise, self.points, converged, self.ladder.name)


def kset_or_none(kmesh, tolerance: float | None) -> KSet | None:
    """The given momenta, or None where the sum over k is to be refined to the tolerance.

    Raises
    ------
    InputError
        If neither is given, or the tolerance does not lie between 0 and 1.
    """
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"tolerance={tolerance!r} must lie between 0 and 1")
    if kmesh is not None:
        return as_kset(kmesh)
    if tolerance is None:
        raise InputError(
            "kmesh= and tolerance= are both missing; give kmesh=qt.kmesh(n), or tolerance= to have the sum refined"
        )
    return None


def describe(results: Sequence[Refined]) -> str:
    """What refined sums used, for the attribute `kmesh`: "density of states, 180 points", a range of points for
    several."""
    names = " or ".join(dict.fromkeys(result.name for result in results))
    fewest, most = (f(result.points for result in results) for f in (min, max))
    return f"{names}, {most} points" if fewest == most else f"{names}, {fewest} to {most} points"


def warn_if_short(result: Refined, tolerance: float, what: str, comm, stacklevel: int) -> None:
    """Warn, on the first rank, that a refined sum ended short of its tolerance."""
    if not result.converged and (comm is None or comm.rank == 0):
        warnings.warn(
            f"{what}: the sum over k ends at {result.points} momenta, off by {result.error.max():.2g} of "
            f"{np.abs(result.value).max():.2g}, more than the tolerance {tolerance:g}; see k_error",
            stacklevel=stacklevel,
        )

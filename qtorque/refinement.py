"""Sums over the in-plane Brillouin zone to a requested tolerance.

Two ways. `climb` sums over a ladder of growing sets of momenta until two of them agree: nested midpoint meshes of 3, 9,
27, ... points a side, each with the points of the one before, converge faster than any power of their size where the
quantity is smooth in k. `refine` cuts the domain into cells, each with a Gauss rule, and halves the cells with the
largest errors: it brings the momenta to where a Fermi surface ends or a resonance is sharp. It needs the sums over
single cells, which are at hand where a quantity is known at every momentum. Torques are known as sums over many
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
LARGEST_BEFORE_CELLS = 81
"""The same where cells come next: a mesh that has not converged by then converges slowly."""
MOST_POINTS = 2_000_000
"""Momenta at which refinement ends, short of the tolerance, with a warning."""
SMALLEST_CELL = 2.0**-40
"""Width, in units of the domain, of a cell that is not halved any more: its points would coincide in rounding."""
LEFT_OVER = 0.5
"""Share of the difference between a cell and its halves that is left as error of the halves: half of it for a step."""
DEVIATIONS = 3.0
"""Standard deviations of a sum of errors with random signs that count as its error."""
INHERITED = 4.0
"""A half of a cell is not taken for better than the cell by more than this factor before it is halved itself: it may
have missed a sliver."""
PLANE_ORDER = 4
"""Gauss points a side of a cell of the zone: few, as most cells lie along lines where only their size counts."""
PLANE_CELLS = 9
"""Cells a side that the zone is cut into first."""
ORIGIN = (0.1131, 0.2718)
"""Corner of the first cell, in units of the zone: away from symmetry lines, so that cells that are images of each other
are cut differently and their errors have independent signs."""
INNER_SHARE = 0.1
"""Share of the tolerance that integrals over energy are given inside a refined sum over k."""

Evaluate = Callable[[np.ndarray, np.ndarray, str], tuple[np.ndarray, np.ndarray]]
"""(phases (blocks, points, 2), weights (blocks, points), name of the stage) -> weighted sums (blocks, columns) and the
errors of these themselves (blocks, columns), which no refinement over k lowers."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Boxes within the pieces of a domain, each piece a unit box: piece (c,), low corner (c, d), width (c,)."""

    piece: np.ndarray
    low: np.ndarray
    width: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> "Cells":
        return Cells(self.piece[chosen], self.low[chosen], self.width[chosen])

    def halved(self) -> "Cells":
        """The 2^d halves of every cell, those of one cell next to each other."""
        corners = np.array(list(itertools.product((0.0, 0.5), repeat=self.low.shape[1])))
        low = self.low[:, None] + corners * self.width[:, None, None]
        count = len(corners)
        return Cells(
            np.repeat(self.piece, count), low.reshape(-1, self.low.shape[1]), np.repeat(0.5 * self.width, count)
        )


class Domain(Protocol):
    """What is integrated over: pieces, each mapped from a unit box."""

    @property
    def name(self) -> str:
        """What is summed over, in words."""

    @property
    def order(self) -> int:
        """Gauss points a side of a cell."""

    @property
    def cells(self) -> Cells:
        """The first cells."""

    def place(self, piece: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Phases (c, p, 2) and densities (c, p) at places x, shape (c, p, d), in pieces, shape (c,)."""


@dataclass(frozen=True)
class Zone:
    """The whole Brillouin zone, one piece of two dimensions."""

    order: int = PLANE_ORDER
    name: str = "adaptive cells"

    @property
    def cells(self) -> Cells:
        edges = np.arange(PLANE_CELLS) / PLANE_CELLS
        low = np.stack(np.meshgrid(edges, edges, indexing="ij"), axis=-1).reshape(-1, 2)
        return Cells(np.zeros(len(low), dtype=int), low, np.full(len(low), 1 / PLANE_CELLS))

    def place(self, piece: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * np.pi * (x + ORIGIN), np.ones(x.shape[:2])


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


def refine(
    domain: Domain,
    evaluate: Evaluate,
    *,
    tolerance: float,
    reference: np.ndarray | None = None,
    most_points: int = MOST_POINTS,
) -> Refined:
    """The integral over a domain by halving cells, to a tolerance relative to the largest reference column.

    Parameters
    ----------
    domain
        `Zone()`, or a line of `qtorque.density_of_states`.
    evaluate
        The weighted sums over blocks of momenta; see `Evaluate`.
    tolerance
        The estimated error of every reference column stays below `tolerance` times the largest of them.
    reference
        Which columns count, boolean, shape (columns,); all if None.
    most_points
        Limit at which refinement ends short of the tolerance.

    Notes
    -----
    The value is the sum over the halves of the cells. With D the difference between that and the Gauss rule on the
    whole cell, the error left is taken as d = D/2: so it is for a step, and far less for a kink or a smooth quantity.
    Cells that a line of singularities cuts have errors of either sign, so all errors together are |sum d| + 3 sqrt(sum
    d^2), but never more than sum |d|. That is an upper bound in practice; it is none for a peak so narrow that no
    point meets it. Each round parks the cells with the smallest errors, as many as fit into half of the error budget,
    and halves the others. A cell beside one with a large error is not taken for better than a share of that, and in
    the first round, where nothing is known about the neighbours, either all cells are parked or none. A difference
    below the errors of the evaluations themselves counts as none. The order of all sums is fixed.
    """
    cells = domain.cells
    points_each = domain.order ** cells.low.shape[1]
    value, noise = _integrals(domain, evaluate, cells, "round 0")
    points = len(cells.piece) * points_each
    columns = value.shape[1]
    chosen = np.ones(columns, dtype=bool) if reference is None else reference
    inherited = np.full(len(value), np.inf)
    done, done_noise, done_errors = np.zeros(columns), np.zeros(columns), _Errors.none(columns)
    for stage in itertools.count(1):
        halves = cells.halved()
        count = len(halves.piece) // len(cells.piece)
        half_value, half_noise = _integrals(domain, evaluate, halves, f"round {stage}")
        points += len(halves.piece) * points_each
        family_value = half_value.reshape(-1, count, columns).sum(axis=1)
        family_noise = half_noise.reshape(-1, count, columns).sum(axis=1)
        difference = family_value - value
        difference = LEFT_OVER * np.where(np.abs(difference) <= noise + family_noise, 0.0, difference)
        goal = tolerance * float(np.abs(done + family_value.sum(axis=0))[chosen].max(initial=0.0))
        own = np.abs(difference[:, chosen]).max(axis=1, initial=0.0)
        parked = _affordable(difference[:, chosen], np.maximum(own, inherited), done_errors[chosen], goal)
        parked |= cells.width <= SMALLEST_CELL
        parked |= points + np.count_nonzero(~parked) * count**2 * points_each > most_points
        done, done_noise = done + family_value[parked].sum(axis=0), done_noise + family_noise[parked].sum(axis=0)
        done_errors = done_errors.plus(_Errors.of(difference[parked]))
        if parked.all():
            break
        kept = np.repeat(~parked, count)
        cells, value, noise = halves[kept], half_value[kept], half_noise[kept]
        inherited = np.repeat(own[~parked] / INHERITED, count)
    achieved = float(done_errors.bound[chosen].max(initial=0.0))
    converged = achieved <= tolerance * float(np.abs(done[chosen]).max(initial=0.0))
    return Refined(done, done_errors.bound, done_noise, points, converged, domain.name)


@dataclass(frozen=True, eq=False)
class _Errors:
    """Sums over cells of d, |d| and d^2, shape (..., columns)."""

    signed: np.ndarray
    absolute: np.ndarray
    squared: np.ndarray

    @classmethod
    def none(cls, columns: int) -> "_Errors":
        return cls(np.zeros(columns), np.zeros(columns), np.zeros(columns))

    @classmethod
    def of(cls, d: np.ndarray) -> "_Errors":
        return cls(d.sum(axis=0), np.abs(d).sum(axis=0), (d * d).sum(axis=0))

    @classmethod
    def cumulated(cls, d: np.ndarray) -> "_Errors":
        return cls(d.cumsum(axis=0), np.abs(d).cumsum(axis=0), (d * d).cumsum(axis=0))

    def __getitem__(self, chosen: np.ndarray) -> "_Errors":
        return _Errors(self.signed[chosen], self.absolute[chosen], self.squared[chosen])

    def plus(self, other: "_Errors") -> "_Errors":
        return _Errors(self.signed + other.signed, self.absolute + other.absolute, self.squared + other.squared)

    @property
    def bound(self) -> np.ndarray:
        return np.minimum(self.absolute, np.abs(self.signed) + DEVIATIONS * np.sqrt(self.squared))


def _affordable(difference: np.ndarray, worst: np.ndarray, done: _Errors, goal: float) -> np.ndarray:
    """Which cells to park: all if the goal bears them, else those with the smallest errors within half of what is left.

    Parameters
    ----------
    difference
        shape (cells, reference columns)
    worst
        What the cells are ordered by, shape (cells,).
    done
        Errors of the cells that are parked already.
    goal
        Largest error of a column.
    """
    if done.plus(_Errors.of(difference)).bound.max(initial=0.0) <= goal:
        return np.ones(len(worst), dtype=bool)
    order = np.argsort(worst, kind="stable")
    bound = done.plus(_Errors.cumulated(difference[order])).bound.max(axis=1, initial=0.0)
    limit = 0.5 * (goal + float(done.bound.max(initial=0.0)))
    within = (bound <= limit) & (worst[order] <= limit)
    parked = np.zeros(len(worst), dtype=bool)
    # The bound may fall again where signs cancel: what is parked ends where it first exceeds the limit.
    parked[order[: len(within) if within.all() else int(np.argmin(within))]] = True
    return parked


def _integrals(domain: Domain, evaluate: Evaluate, cells: Cells, stage: str) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss rule on every cell: values and their own errors, (c, columns)."""
    dimension = cells.low.shape[1]
    nodes, gauss = np.polynomial.legendre.leggauss(domain.order)
    grid = np.array(list(itertools.product(0.5 * (nodes + 1), repeat=dimension)))
    weight = np.prod(list(itertools.product(0.5 * gauss, repeat=dimension)), axis=1)
    x = cells.low[:, None] + cells.width[:, None, None] * grid
    phases, density = domain.place(cells.piece, x)
    return evaluate(phases, density * weight * cells.width[:, None] ** dimension, stage)


class Ladder(Protocol):
    """Sums over k of growing accuracy, each made of a set of momenta and a share of the sum before."""

    @property
    def name(self) -> str:
        """What is summed over, in words."""

    @property
    def rungs(self) -> int:
        """How many there are."""

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
    half each time. For nested meshes two differences must be known, and the error is no less than 1/81 of the one
    before, lest the last be small by chance. A difference below the errors of the evaluations counts as none. No peak
    is seen that no momentum meets.
    """
    climbers = [_Climber(ladder, 0, 0, np.zeros(0), np.zeros(0), None, None) for ladder in ladders]
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


@dataclass(frozen=True, eq=False)
class _Climber:
    """A sum on its way: points so far, the last sum, its noise, and the last two differences."""

    ladder: Ladder
    steps: int
    points: int
    value: np.ndarray
    noise: np.ndarray
    difference: np.ndarray | None
    before: np.ndarray | None

    def up(self, points: int, value: np.ndarray, noise: np.ndarray) -> "_Climber":
        """One rung higher."""
        if self.steps == 0:
            return _Climber(self.ladder, 1, points, value, noise, None, None)
        value, noise = value + self.ladder.kept * self.value, noise + self.ladder.kept * self.noise
        difference = np.abs(value - self.value)
        difference = np.where(difference <= noise + self.noise, 0.0, difference)
        return _Climber(self.ladder, self.steps + 1, self.points + points, value, noise, difference, self.difference)

    def result(self, tolerance: float, reference: np.ndarray | None) -> Refined | None:
        """The result, None while it is worth going on."""
        if self.difference is None or (self.before is None and self.ladder.kept > 0):
            return None
        error = self.difference
        if self.before is not None:
            error = np.maximum(error, self.ladder.kept**2 * self.before)
        chosen = slice(None) if reference is None else reference
        goal = tolerance * float(np.abs(self.value[chosen]).max(initial=0.0))
        converged = float(error[chosen].max(initial=0.0)) <= goal
        if not converged and self.steps < self.ladder.rungs:
            return None
        return Refined(self.value, error, self.noise, self.points, converged, self.ladder.name)


def refine_zone(
    evaluate: Evaluate,
    *,
    tolerance: float,
    reference: np.ndarray | None = None,
    most_points: int = MOST_POINTS,
) -> Refined:
    """The sum over the whole zone: nested meshes where these converge, cells where they do not.

    Arguments as for `refine`.
    """

    def on_meshes(sets: Sequence[tuple[int, KPoints]], stage: str) -> list[tuple[np.ndarray, np.ndarray]]:
        values = [evaluate(k.points[:, None], k.weights[:, None], stage) for _, k in sets]
        return [(value.sum(axis=0), noise.sum(axis=0)) for value, noise in values]

    ladder = NestedMeshes(LARGEST_BEFORE_CELLS)
    (result,) = climb([ladder], on_meshes, tolerance=tolerance, reference=reference)
    if result.converged:
        return result
    return refine(Zone(), evaluate, tolerance=tolerance, reference=reference, most_points=most_points)


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

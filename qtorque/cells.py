"""Sums over k by halving cells, each with a Gauss rule, where the errors are largest.

The momenta go to where a Fermi surface ends or a resonance is sharp. It needs the sums over single cells, which are at
hand where a quantity is known at every momentum. What no point meets is not seen, and lines of narrow resonances
are easily missed: a domain may know of these itself (`Peaks`), and they count as errors until the points meet them.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qtorque.brillouin import KPoints
from qtorque.refinement import NEST, NestedMeshes, Refined, climb

MOST_POINTS = 2_000_000
"""Momenta at which refinement ends, short of the tolerance, with a warning."""
SMALLEST_CELL = 2.0**-40
"""Width, in units of the domain, of a cell that is not halved any more: its points would coincide in rounding."""
LEFT_OVER = 0.5
"""Share of the difference between a cell and its halves that is left as error of the halves: half of it for a step."""
DEVIATIONS = 3.0
"""Standard deviations of a sum of errors with random signs that count as its error."""
ONE_SIGN = 0.1
"""Share of the sum of all errors that counts besides: cells along one line may have errors of one sign."""
PARKED_SHARE = 0.5
"""Share of the error budget that cells may have which are not halved in a round."""
INHERITED = 4.0
"""A half of a cell is not taken for better than the cell by more than this factor before it is halved itself: it may
have missed a sliver."""
PLANE_ORDER = 4
"""Gauss points a side of a cell of the zone: few, as most cells lie along lines where only their size counts."""
PLANE_CELLS = 9
"""Cells a side that the zone is cut into first."""
PLANE_FULL_ROUNDS = 2
"""Rounds in which every cell of the zone is halved: two rules that agree may both have missed a sliver."""
ORIGIN = (0.1131, 0.2718)
"""Corner of the first cell, in units of the zone: away from symmetry lines, so that cells that are images of each other
are cut differently and their errors have independent signs."""
LARGEST_BEFORE_CELLS = 81
"""The same where cells come next: a mesh that has not converged by then converges slowly."""

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

    def plus(self, other: "Cells") -> "Cells":
        """These and others."""
        return Cells(
            np.concatenate([self.piece, other.piece]),
            np.concatenate([self.low, other.low]),
            np.concatenate([self.width, other.width]),
        )

    def halved(self) -> "Cells":
        """The 2^d halves of every cell, those of one cell next to each other."""
        corners = np.array(list(itertools.product((0.0, 0.5), repeat=self.low.shape[1])))
        low = self.low[:, None] + corners * self.width[:, None, None]
        count = len(corners)
        return Cells(
            np.repeat(self.piece, count), low.reshape(-1, self.low.shape[1]), np.repeat(0.5 * self.width, count)
        )


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks that the points of cells may miss.

    Attributes
    ----------
    cell
        Numbers of the cells they lie in, shape (m,).
    phases
        A point on each, shape (m, 2).
    share
        Volume that each fills at most, as a share of the domain, shape (m,).
    suspect
        Whether peaks are to be looked for in the halves of a cell, shape (cells,).
    """

    cell: np.ndarray
    phases: np.ndarray
    share: np.ndarray
    suspect: np.ndarray

    @classmethod
    def none(cls, cells: int) -> "Peaks":
        return cls(np.empty(0, dtype=int), np.empty((0, 2)), np.empty(0), np.zeros(cells, dtype=bool))


FindPeaks = Callable[[np.ndarray, np.ndarray], Peaks]
"""(phases of the centres of cells (c, 2), widths of the cells in phases (c,)) -> peaks that 4 x 4 points may miss."""


class Domain(Protocol):
    """What is integrated over: pieces, each mapped from a unit box."""

    @property
    def name(self) -> str:
        """What is summed over, in words."""

    @property
    def order(self) -> int:
        """Gauss points a side of a cell."""

    @property
    def full_rounds(self) -> int:
        """Rounds in which all cells are halved."""

    @property
    def cells(self) -> Cells:
        """The first cells."""

    def peaks(self, cells: Cells) -> Peaks:
        """Peaks that the points of these cells may miss."""

    def place(self, piece: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Phases (c, p, 2) and densities (c, p) at places x, shape (c, p, d), in pieces, shape (c,)."""


@dataclass(frozen=True)
class Zone:
    """The whole Brillouin zone, one piece of two dimensions."""

    order: int = PLANE_ORDER
    name: str = "adaptive cells"
    full_rounds: int = PLANE_FULL_ROUNDS
    find_peaks: FindPeaks | None = None

    @property
    def cells(self) -> Cells:
        edges = np.arange(PLANE_CELLS) / PLANE_CELLS
        low = np.stack(np.meshgrid(edges, edges, indexing="ij"), axis=-1).reshape(-1, 2)
        return Cells(np.zeros(len(low), dtype=int), low, np.full(len(low), 1 / PLANE_CELLS))

    def place(self, piece: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * np.pi * (x + ORIGIN), np.ones(x.shape[:2])

    def peaks(self, cells: Cells) -> Peaks:
        if self.find_peaks is None:
            return Peaks.none(len(cells.piece))
        centres, _ = self.place(cells.piece, cells.low[:, None] + 0.5 * cells.width[:, None, None])
        return self.find_peaks(centres[:, 0], 2 * np.pi * cells.width)


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
    d^2) + sum |d|/10, but never more than sum |d|. What a domain knows to lie between the points of a cell is added
    with its full size. In the first rounds, `Domain.full_rounds`, all cells are halved; later the cells with the
    smallest errors, as many as fit into half of the error budget, are left as they are for that round, and the others
    are halved. A half of a cell with a large error is not taken for better than a share of that. A difference below the
    errors of the evaluations themselves counts as none. The order of all sums is fixed.

    The error is an estimate. It is no bound for a peak that no point meets and the domain does not know of. The zone
    knows of resonances of regions up to a size (`qtorque.ridges`); with larger ones only the full rounds guard against
    lines narrower than 1/144 of the zone.
    """
    cells = domain.cells
    points_each = domain.order ** cells.low.shape[1]
    value, noise = _integrals(domain, evaluate, cells, "round 0")
    columns, points = value.shape[1], len(cells.piece) * points_each
    chosen = np.ones(columns, dtype=bool) if reference is None else reference
    new = _Start(cells, value, noise, np.full(len(value), np.inf), np.ones(len(value), dtype=bool))
    kept: list[_Families] = []
    for stage in itertools.count(1):
        found, probes = _families(domain, evaluate, new, chosen, f"round {stage}")
        families = functools.reduce(_Families.plus, kept, found)
        count = found.half_value.shape[1]
        points += len(found.worst) * count * points_each + probes
        total, error = families.value.sum(axis=0), families.errors.bound
        achieved = float(error[chosen].max(initial=0.0))
        goal = tolerance * float(np.abs(total[chosen]).max(initial=0.0))
        opened = families.cells.width > SMALLEST_CELL
        if stage > domain.full_rounds:
            if achieved <= goal:
                break
            opened &= ~families.affordable(chosen, PARKED_SHARE * goal)
        room = max(0, (most_points - points) // (count**2 * points_each))
        opened[np.argsort(np.where(opened, -families.worst, 0.0), kind="stable")[room:]] = False
        if not opened.any():
            break
        new, kept = families[opened].halves(chosen), [families[~opened]]
    return Refined(total, error, families.noise.sum(axis=0), points, achieved <= goal, domain.name)


@dataclass(frozen=True, eq=False)
class _Start:
    """Cells with the Gauss rule on them, what their parents say of their errors, and whether to look for peaks."""

    cells: Cells
    value: np.ndarray
    noise: np.ndarray
    inherited: np.ndarray
    suspect: np.ndarray


@dataclass(frozen=True, eq=False)
class _Errors:
    """Sums over cells of d, |d|, d^2 and of what lies hidden between points, shape (..., columns)."""

    signed: np.ndarray
    absolute: np.ndarray
    squared: np.ndarray
    hidden: np.ndarray

    @property
    def bound(self) -> np.ndarray:
        random = np.abs(self.signed) + DEVIATIONS * np.sqrt(self.squared) + ONE_SIGN * self.absolute
        return np.minimum(self.absolute, random) + self.hidden


@dataclass(frozen=True, eq=False)
class _Families:
    """Cells and their halves: sums over the halves and their noise, errors d and hidden peaks, each (c, columns); what
    the cells are ordered by, (c,); whether peaks are looked for in the halves, (c,); the halves, (c, count, columns).
    """

    cells: Cells
    value: np.ndarray
    noise: np.ndarray
    difference: np.ndarray
    hidden: np.ndarray
    worst: np.ndarray
    suspect: np.ndarray
    half_value: np.ndarray
    half_noise: np.ndarray

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return (
            self.value, self.noise, self.difference, self.hidden, self.worst, self.suspect, self.half_value,
            self.half_noise,
        )  # fmt: skip

    def __getitem__(self, chosen: np.ndarray) -> "_Families":
        return _Families(self.cells[chosen], *(x[chosen] for x in self._arrays))

    def plus(self, other: "_Families") -> "_Families":
        joined = (np.concatenate(pair) for pair in zip(self._arrays, other._arrays, strict=True))
        return _Families(self.cells.plus(other.cells), *joined)

    @property
    def errors(self) -> _Errors:
        d = self.difference
        return _Errors(d.sum(axis=0), np.abs(d).sum(axis=0), (d * d).sum(axis=0), self.hidden.sum(axis=0))

    def affordable(self, chosen: np.ndarray, limit: float) -> np.ndarray:
        """The cells with the smallest errors in the chosen columns, as many as stay within a limit together."""
        order = np.argsort(self.worst, kind="stable")
        d, hidden = self.difference[order][:, chosen], self.hidden[order][:, chosen]
        bound = _Errors(*(x.cumsum(axis=0) for x in (d, np.abs(d), d * d, hidden))).bound.max(axis=1, initial=0.0)
        within = (bound <= limit) & (self.worst[order] <= limit)
        parked = np.zeros(len(order), dtype=bool)
        # The bound may fall again where signs cancel: what is parked ends where it first exceeds the limit.
        parked[order[: len(within) if within.all() else int(np.argmin(within))]] = True
        return parked

    def halves(self, chosen: np.ndarray) -> _Start:
        """The halves as cells of their own."""
        count, columns = self.half_value.shape[1:]
        own = np.abs(self.difference[:, chosen]).max(axis=1, initial=0.0) / INHERITED
        return _Start(
            self.cells.halved(), self.half_value.reshape(-1, columns), self.half_noise.reshape(-1, columns),
            np.repeat(own, count), np.repeat(self.suspect, count),
        )  # fmt: skip


def _families(
    domain: Domain, evaluate: Evaluate, new: _Start, chosen: np.ndarray, stage: str
) -> tuple[_Families, int]:
    """Cells with their halves, and at how many momenta peaks between the points were looked at."""
    columns = new.value.shape[1]
    half_value, half_noise = (
        x.reshape(len(new.value), -1, columns) for x in _integrals(domain, evaluate, new.cells.halved(), stage)
    )
    value, noise = half_value.sum(axis=1), half_noise.sum(axis=1)
    difference = value - new.value
    difference = LEFT_OVER * np.where(np.abs(difference) <= noise + new.noise, 0.0, difference)
    hidden, suspect, looked = np.zeros_like(value), new.suspect.copy(), np.flatnonzero(new.suspect)
    peaks = domain.peaks(new.cells[looked])
    suspect[looked] = peaks.suspect
    if len(peaks.cell):
        heights, _ = evaluate(peaks.phases[:, None], peaks.share[:, None], f"{stage}, peaks")
        np.add.at(hidden, looked[peaks.cell], np.abs(heights))
    worst = (np.abs(difference) + hidden)[:, chosen].max(axis=1, initial=0.0)
    worst = np.maximum(worst, new.inherited)
    return _Families(
        new.cells, value, noise, difference, hidden, worst, suspect, half_value, half_noise
    ), len(peaks.cell)


def _integrals(domain: Domain, evaluate: Evaluate, cells: Cells, stage: str) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss rule on every cell: values and their own errors, (c, columns)."""
    dimension = cells.low.shape[1]
    nodes, gauss = np.polynomial.legendre.leggauss(domain.order)
    grid = np.array(list(itertools.product(0.5 * (nodes + 1), repeat=dimension)))
    weight = np.prod(list(itertools.product(0.5 * gauss, repeat=dimension)), axis=1)
    x = cells.low[:, None] + cells.width[:, None, None] * grid
    phases, density = domain.place(cells.piece, x)
    return evaluate(phases, density * weight * cells.width[:, None] ** dimension, stage)


def refine_zone(
    evaluate: Evaluate,
    *,
    tolerance: float,
    reference: np.ndarray | None = None,
    most_points: int = MOST_POINTS,
    find_peaks: FindPeaks | None = None,
) -> Refined:
    """The sum over the whole zone: nested meshes where these converge, cells where they do not or all is zero.

    Arguments as for `refine`; `find_peaks` tells what the points of a cell may miss, and where it knows of a peak that
    those of the finest mesh may miss there are cells too.
    """

    def on_meshes(sets: Sequence[tuple[int, KPoints]], stage: str) -> list[tuple[np.ndarray, np.ndarray]]:
        values = [evaluate(k.points[:, None], k.weights[:, None], stage) for _, k in sets]
        return [(value.sum(axis=0), noise.sum(axis=0)) for value, noise in values]

    ladder = NestedMeshes(LARGEST_BEFORE_CELLS)
    (result,) = climb([ladder], on_meshes, tolerance=tolerance, reference=reference)
    chosen = slice(None) if reference is None else reference
    if result.converged and result.value[chosen].any():
        result = _with_missed_peaks(result, evaluate, find_peaks, tolerance, chosen)
        if result.converged:
            return result
    domain = Zone(find_peaks=find_peaks)
    return refine(domain, evaluate, tolerance=tolerance, reference=reference, most_points=most_points)


def _with_missed_peaks(
    result: Refined, evaluate: Evaluate, find_peaks: FindPeaks | None, tolerance: float, chosen
) -> Refined:
    """The same with the peaks that the finest mesh may have missed counted as errors, looked for in cells of 3 x 3 of
    its points."""
    if find_peaks is None:
        return result
    number = LARGEST_BEFORE_CELLS // NEST
    centres = 2 * np.pi * (np.stack(np.divmod(np.arange(number**2), number), axis=-1) + 0.5) / number
    peaks = find_peaks(centres, np.full(number**2, 2 * np.pi / number))
    if not len(peaks.cell):
        return result
    heights, _ = evaluate(peaks.phases[:, None], peaks.share[:, None], "peaks")
    error = result.error + np.abs(heights).sum(axis=0)
    converged = bool(error[chosen].max() <= tolerance * np.abs(result.value[chosen]).max())
    return Refined(result.value, error, result.noise, result.points + len(peaks.cell), converged, result.name)

"""The axially symmetric magnet as a random walk of m.p between cells; `qtorque.llg.fokker_planck` has the equations."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh_tridiagonal

from qtorque.errors import InputError
from qtorque.llg._fokker_planck_kernels import resolvent
from qtorque.llg.drive import Waveform
from qtorque.llg.equation import EquationOfMotion
from qtorque.spin import rotation

LEVEL = 1e-12
"""kT; a potential that falls by less from one cell to the next is level, but for rounding."""

SHALLOWEST_WELL = 1.0
"""kT; a shallower dip of the potential holds nothing: a dimple on a barrier delays a passage and is no state."""

ITERATIONS = 2000
"""Of the inverse iteration: enough for eigenvalues 1 % apart. Those behind a barrier need five."""

EIGENVALUE_TOLERANCE = 1e-12
"""Relative change of the eigenvalue in one iteration at which it has converged; rounding changes it by up to 1e-13."""

BISECTION_TOLERANCE = 1e-8
"""Asked of the relative error of an eigenvalue by bisection; what a grid of 10000 cells leaves is larger."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """The finite volumes: faces (n + 1,), centres (n,), widths (n,) in c; conductance (n - 1,) = (1 - c^2)/distance
    at the inner faces; points (n - 1, 2), where the slope of the potential is taken between neighbours."""

    faces: np.ndarray
    centres: np.ndarray
    widths: np.ndarray
    conductance: np.ndarray
    points: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rates:
    """Rates of a cell to its neighbours and out of the chain, (n,) each, 1/s."""

    left: np.ndarray
    right: np.ndarray
    loss: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """A magnet, a source and a drive as a random walk of c = m.axis, with c = -1 in the initial state.

    diffusion : D_0, 1/s
    drive : V or A/m^2, by what the source is driven
    equation : drive at one value -> equation of motion
    """

    axis: np.ndarray
    diffusion: float
    drive: Waveform
    equation: Callable[[float], EquationOfMotion]
    cells: Cells

    def slope(self, level: float, c: np.ndarray) -> np.ndarray:
        """dU/dc of the effective potential in kT at one value of the drive; c of any shape."""
        return effective_slope(self.equation(level), self.axis, self.diffusion, c)

    def steps(self, level: float) -> np.ndarray:
        """Differences of U between neighbouring cells, (n - 1,): Gauss's rule of two points."""
        return np.diff(self.cells.centres) * self.slope(level, self.cells.points).mean(axis=1)

    def steps_over_time(self) -> Callable[[float], np.ndarray]:
        """Time (s) -> `steps`. Of a changing drive by cubics through four values in every interval of `drive_breaks`.

        That is exact. An interval of a map is tabulated when the drive comes to it, so what the drive does later
        changes nothing.
        """
        if not self.drive.varies:
            constant = self.steps(float(self.drive(0.0)))
            return lambda time: constant
        breaks = drive_breaks(self.drive, self.equation)

        @functools.cache
        def table(interval: int) -> np.ndarray:
            return np.stack([self.steps(level) for level in np.linspace(breaks[interval], breaks[interval + 1], 4)])

        def steps_at(time: float) -> np.ndarray:
            level = float(self.drive(time))
            interval = int(np.clip(np.searchsorted(breaks, level, side="right") - 1, 0, breaks.size - 2))
            x = 3 * (level - breaks[interval]) / (breaks[interval + 1] - breaks[interval])
            # Lagrange's polynomials of the values at x = 0, 1, 2, 3.
            weights = np.array([
                -(x - 1) * (x - 2) * (x - 3) / 6, x * (x - 2) * (x - 3) / 2, -x * (x - 1) * (x - 3) / 2,
                x * (x - 1) * (x - 2) / 6,
            ])  # fmt: skip
            return weights @ table(interval)

        return steps_at

    def potential(self, level: float) -> np.ndarray:
        """U in kT at the centres of the cells, 0 at the first."""
        return np.concatenate([[0.0], np.cumsum(self.steps(level))])

    def rates(self, steps: np.ndarray) -> Rates:
        """On the whole sphere; detailed balance with widths exp(-U) holds to rounding."""
        n = self.cells.centres.size
        flow = self.diffusion * self.cells.conductance
        left, right = np.zeros(n), np.zeros(n)
        right[:-1] = flow / self.cells.widths[:-1] * _bernoulli(steps)
        left[1:] = flow / self.cells.widths[1:] * _bernoulli(-steps)
        return Rates(left=left, right=right, loss=np.zeros(n))

    def absorbing_rates(self, steps: np.ndarray) -> Rates:
        """On the initial side, with an absorbing boundary at the face c = 0."""
        whole = self.rates(steps)
        half = self.cells.centres.size // 2
        left, right, loss = whole.left[:half], whole.right[:half].copy(), np.zeros(half)
        right[-1] = 0.0
        # The face lies half-way to the next cell: half the distance, half the step.
        flow = 2 * self.diffusion * self.cells.conductance[half - 1] / self.cells.widths[half - 1]
        loss[-1] = flow * float(_bernoulli(steps[half - 1] / 2))
        return Rates(left=left, right=right, loss=loss)

    def equilibrium_in_well(self) -> np.ndarray:
        """Probabilities of the cells in equilibrium at drive 0, confined to the initial well and to c < 0."""
        half = self.cells.centres.size // 2
        potential = self.potential(0.0)[:half]
        end = well_end(potential)
        if end == 0:
            raise InputError(
                "the initial state has no well at drive 0: the potential falls from the pole to the equator"
            )
        weights = np.zeros(2 * half)
        weights[:end] = self.cells.widths[:end] * np.exp(potential[:end].min() - potential[:end])
        return weights / weights.sum()


def cells_of_sphere(n: int) -> Cells:
    """n cells, equally wide in the polar angle: c is resolved best near the poles, where the wells are."""
    faces = -np.cos(np.pi * np.arange(n + 1) / n)
    faces[n // 2] = 0.0
    widths = np.diff(faces)
    centres = (faces[1:] + faces[:-1]) / 2
    distances = np.diff(centres)
    middles = (centres[1:] + centres[:-1]) / 2
    offsets = distances / math.sqrt(12)  # Gauss's points of two: 1/sqrt(3) of half the distance
    return Cells(
        faces=faces,
        centres=centres,
        widths=widths,
        conductance=(1 - faces[1:-1] ** 2) / distances,
        points=np.stack([middles - offsets, middles + offsets], axis=1),
    )


def drive_breaks(drive: Waveform, equation: Callable[[float], EquationOfMotion]) -> np.ndarray:
    """Ascending values of the drive between which U is a cubic of it: the voltages of a map, else the extremes.

    A drive that varies stays between the first and the last. Closed forms and anisotropies are linear in the drive.
    """
    table = equation(drive.extremes[0]).table
    return np.array(drive.extremes) if table is None else table.breaks


def effective_slope(equation: EquationOfMotion, axis: np.ndarray, diffusion: float, c: np.ndarray) -> np.ndarray:
    return -rate_along(equation, rotation(axis), c, 0.0) / (diffusion * (1 - c**2))


def rate_along(equation: EquationOfMotion, frame: np.ndarray, c: np.ndarray, azimuth: float) -> np.ndarray:
    """d(m.axis)/dt at m.axis = c, of the shape of c; the axis is the last column of the frame."""
    across = np.sqrt(1 - c**2)
    m = np.stack([across * math.cos(azimuth), across * math.sin(azimuth), c], axis=-1) @ frame.T
    return equation.rate(m) @ frame[:, 2]


def _bernoulli(x: ArrayLike) -> np.ndarray:
    """x/(exp(x) - 1), 1 at 0."""
    x = np.asarray(x, dtype=float)
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, safe / np.expm1(safe))


def well_end(potential: np.ndarray) -> int:
    """Number of cells from the first to the top of the barrier: downhill to the first minimum, then up to a maximum.

    All cells where there is no barrier, 0 where the potential falls all the way. A level stretch counts as uphill.
    """
    rises = np.diff(potential) >= -LEVEL
    if not rises.any():
        return 0
    bottom = int(np.argmax(rises))
    falls = ~rises[bottom:]
    return bottom + int(np.argmax(falls)) + 1 if falls.any() else potential.size


def wells_and_barriers(potential: np.ndarray) -> tuple[list[int], list[int]]:
    """Cells of the minima and of the maxima between them; dips and bumps below `SHALLOWEST_WELL` do not count."""
    wells: list[int] = []
    barriers: list[int] = []
    lowest = highest = 0
    for cell, height in enumerate(potential):
        if len(wells) == len(barriers):
            if height < potential[lowest]:
                lowest = cell
            elif height > potential[lowest] + SHALLOWEST_WELL:
                wells.append(lowest)
                highest = cell
        elif height > potential[highest]:
            highest = cell
        elif height < potential[highest] - SHALLOWEST_WELL:
            barriers.append(highest)
            lowest = cell
    if len(wells) == len(barriers):
        wells.append(lowest)
    return wells, barriers


def smallest_eigenvalue(rates: Rates, temperature: float) -> float:
    """The smallest but zero of -Q, dp/dt = Q p, 1/s. On the whole sphere, so that nothing is lost.

    Inverse iteration on the dual chain, whose states are the inner faces: its matrix has the same eigenvalues without
    the zero, and a positive inverse. Face e of it moves left with the rate right[e] and right with left[e + 1]. Under a
    strong drive the slowest modes of both poles decay so much alike that it does not converge. Then no eigenvalue is
    small, and bisection of the symmetric matrix, whose error is rounding of the largest rate, has digits enough.
    """
    left, right = rates.right[:-1].copy(), rates.left[1:].copy()
    outflow = left + right
    loss = np.zeros(left.size)
    loss[0], loss[-1] = left[0], right[-1]
    left[0] = right[-1] = 0.0
    v, eigenvalue = np.full(left.size, 1 / left.size), math.inf
    for _ in range(ITERATIONS):
        v = resolvent(left, right, loss, 0.0, 1.0, v)
        total = finite_sum(v, temperature)
        previous, eigenvalue = eigenvalue, 1 / total
        v /= total
        if abs(eigenvalue - previous) <= EIGENVALUE_TOLERANCE * eigenvalue:
            return eigenvalue
    across = -np.sqrt(right[:-1] * left[1:])
    smallest = float(eigh_tridiagonal(outflow, across, eigvals_only=True, select="i", select_range=(0, 0))[0])
    if np.finfo(float).eps * outflow.max() > BISECTION_TOLERANCE * smallest:
        raise InputError("the two slowest modes decay too much alike to be told apart; use fokker_planck over time")
    return smallest


def finite_sum(x: np.ndarray, temperature: float) -> float:
    """The sum; InputError where a barrier makes it overflow."""
    total = float(x.sum())
    if not math.isfinite(total):
        raise InputError(f"temperature={temperature:g} K makes the barrier higher than 700 kT; give a higher one")
    return total

"""The axially symmetric magnet as a random walk of m.p between cells; `qtorque.llg.fokker_planck` has the equations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.llg.drive import Waveform
from qtorque.llg.equation import EquationOfMotion
from qtorque.spin import rotation

LEVEL = 1e-12
"""kT; a potential that falls by less from one cell to the next is level, but for rounding."""


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

    All cells where there is no barrier. A level stretch counts as uphill.
    """
    rises = np.diff(potential) >= -LEVEL
    bottom = int(np.argmax(rises)) if rises.any() else rises.size
    falls = ~rises[bottom:]
    if not rises.any():
        raise InputError("the initial state has no well at drive 0: the potential falls from the pole to the equator")
    return bottom + int(np.argmax(falls)) + 1 if falls.any() else potential.size

"""The energy landscape of a magnet without torque: minima, saddles, and the orbits through saddles."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import EquationOfMotion, equation_of_motion
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.rest_states import DIFFERENCE_STEP, tangents_of
from qtorque.units import GYROMAGNETIC_RATIO

STARTS = (256, 1024, 4096)
"""Points on the sphere from which rest states are sought, until minima - saddles + maxima = 2, as on every sphere."""

NEWTON_STEPS = 30
"""Half of them may be needed to come near, at the length below; then the error is squared in each."""

LARGEST_NEWTON_STEP = 0.2
"""rad."""

AT_REST = 1e-10
"""Residual field over the largest one at a rest state; rounding leaves 1e-15."""

SAME_STATE = 1e-5
"""Distance below which two rest states are one; Newton's method finds each to 1e-9."""

FLAT = 1e-5
"""Curvature over the largest field below which a rest state is a point of a valley: along it nothing holds the moment
at any temperature, and an orbit would take longer than `MOST_ORBIT_STEPS`."""

SINGULAR = 1e-10
"""Curvature over the largest one that Newton's method takes for none: the error of differences."""

MOST_STATES = 64
"""That are kept: twice the 26 of a cubic magnet and more; a circle of rest states would give hundreds."""

LEAVING_SADDLE = 1e-3
"""rad from a saddle at which an orbit begins; what it loses nearer to it is 1e-6 of the whole."""

RETURNED = 2.0
"""Fields across m, over that at the beginning, below which an orbit has come to a saddle again."""

ORBIT_ANGLE = 0.02
"""Fastest turn in a step of an orbit, rad: Runge and Kutta keep the energy to 1e-9."""

ORBIT_STEPS, MOST_ORBIT_STEPS = 4000, 400000
"""Steps of an orbit that are taken at once, and at most: it is slow near flat saddles only."""

DESCENT_STEP = 0.5
"""Share of the inverse of the largest curvature by which the way down follows the slope; beyond 2 it diverges."""

DESCENT_STEPS = 200000
"""Enough for curvatures that differ by 10^4."""

ARRIVED = 0.02
"""rad from a minimum at which the way down ends."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Landscape:
    """Isolated rest states of the energy of a magnet without torque.

    minima, saddles : (n, 3) and (s, 3), unit vectors, by ascending energy
    minimum_energies, saddle_energies : (n,) and (s,), J
    minimum_curvatures, saddle_curvatures : (n, 2) and (s, 2), T
        Eigenvalues of the Hessian of the energy on the sphere over Ms Vol, ascending; the first of a saddle is < 0.
    ends : (s, 2) int
        The minima in whose wells the two orbits run that leave a saddle without damping.
    losses : (s, 2), J
        gamma Ms Vol int |B_across|^2 dt along these orbits to the next saddle at that height: what is lost over alpha.
    """

    minima: np.ndarray
    saddles: np.ndarray
    minimum_energies: np.ndarray
    saddle_energies: np.ndarray
    minimum_curvatures: np.ndarray
    saddle_curvatures: np.ndarray
    ends: np.ndarray
    losses: np.ndarray

    def nearest_minimum(self, m: ArrayLike) -> int:
        """Number of the minimum nearest to a direction."""
        return int(np.argmax(self.minima @ np.asarray(m, dtype=float)))


def landscape(free: Macrospin) -> Landscape:
    """All minima and saddles of the energy of a magnet on the sphere, and which minima a saddle connects.

    Newton's method for a vanishing field across m, from points all over the sphere. Minima - saddles + maxima = 2 on a
    sphere, so a state that was missed does not pass unnoticed.

    Raises
    ------
    InputError
        Where rest states are not isolated, as on the circles of an axially symmetric magnet.
    """
    equation = equation_of_motion(dataclasses.replace(free, alpha=0.0), None)
    largest = equation.largest_field()
    if largest == 0:
        raise InputError("the energy is the same in every direction; give the magnet an anisotropy or a field")
    for count in STARTS:
        states, curvatures = _rest_states(equation, _spread(count), largest)
        falling = np.sum(curvatures < 0, axis=1)
        # A sphere has a minimum and a maximum too.
        if {0, 2} <= set(falling.tolist()) and np.sum(np.where(falling == 1, -1, 1)) == 2:
            break
    else:
        raise InputError(f"{STARTS[-1]} starts do not find all rest states of the energy; change a field a little")
    energies = free.energy(states)
    minima, saddles = (np.flatnonzero(falling == n) for n in (0, 1))
    minima, saddles = minima[np.argsort(energies[minima])], saddles[np.argsort(energies[saddles])]
    ends, losses = _orbits(free, equation, states[saddles], states[minima], float(np.abs(curvatures).max()))
    return Landscape(
        minima=states[minima],
        saddles=states[saddles],
        minimum_energies=energies[minima],
        saddle_energies=energies[saddles],
        minimum_curvatures=curvatures[minima],
        saddle_curvatures=curvatures[saddles],
        ends=ends,
        losses=losses,
    )


def _spread(count: int) -> np.ndarray:
    """Points all over the sphere, (count, 3): a spiral with the golden angle."""
    i = np.arange(count)
    z = 1 - (2 * i + 1) / count
    azimuth = i * math.pi * (3 - math.sqrt(5))
    return np.stack([np.sqrt(1 - z**2) * np.cos(azimuth), np.sqrt(1 - z**2) * np.sin(azimuth), z], axis=-1)


def _field_across(equation: EquationOfMotion, m: np.ndarray) -> np.ndarray:
    """The field across m in T, (..., 3) -> (..., 3): minus the slope of the energy over Ms Vol. Needs alpha = 0."""
    return np.cross(m, equation.rate(m)) / GYROMAGNETIC_RATIO


def _hessians(equation: EquationOfMotion, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hessians of the energy over Ms Vol on the sphere, (n, 2, 2) in T, and the tangents they refer to, (n, 2, 3)."""
    tangents = tangents_of(m)
    ahead, behind = (m[:, np.newaxis] + shift * tangents for shift in (DIFFERENCE_STEP, -DIFFERENCE_STEP))
    length = math.sqrt(1 + DIFFERENCE_STEP**2)
    change = _field_across(equation, ahead / length) - _field_across(equation, behind / length)
    hessians = -np.einsum("nbx,nax->nab", change, tangents) / (2 * DIFFERENCE_STEP)
    return (hessians + hessians.transpose(0, 2, 1)) / 2, tangents


def _rest_states(equation: EquationOfMotion, m: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Different rest states that Newton's method finds from starts m, (n, 3), and their curvatures in T, (n, 2)."""
    for _ in range(NEWTON_STEPS):
        hessians, tangents = _hessians(equation, m)
        across = np.einsum("nax,nx->na", tangents, _field_across(equation, m))
        # Least squares: on a circle of rest states the Hessian is singular, and any point of it will do.
        shift = np.einsum("nab,nb->na", np.linalg.pinv(hessians, rcond=SINGULAR), across)
        shift *= np.minimum(1, LARGEST_NEWTON_STEP / np.maximum(np.linalg.norm(shift, axis=1), 1e-300))[:, np.newaxis]
        m = m + np.einsum("na,nax->nx", shift, tangents)
        m /= np.linalg.norm(m, axis=1)[:, np.newaxis]
    m = m[np.linalg.norm(_field_across(equation, m), axis=1) <= AT_REST * largest]
    states: list[np.ndarray] = []
    for x in m:
        if len(states) < MOST_STATES and all(np.linalg.norm(x - other) > SAME_STATE for other in states):
            states.append(x)
    if not states:
        return np.empty((0, 3)), np.empty((0, 2))
    different = np.array(states)
    curvatures = np.linalg.eigvalsh(_hessians(equation, different)[0])
    if np.abs(curvatures).min() < FLAT * largest:
        raise InputError(
            "the energy has rest states that are not isolated, as an axially symmetric one has: make it exactly axial "
            "(demag= with two equal factors, easy_axis= and field= along the third) or break the symmetry further"
        )
    return different, curvatures


def _orbits(
    free: Macrospin, equation: EquationOfMotion, saddles: np.ndarray, minima: np.ndarray, steepest: float
) -> tuple[np.ndarray, np.ndarray]:
    """`ends` and `losses` of a `Landscape`: both orbits without damping that leave a saddle, to the next saddle."""
    if not len(saddles):
        return np.empty((0, 2), dtype=int), np.empty((0, 2))
    hessians, tangents = _hessians(equation, saddles)
    # dm/dt = gamma m x H m' for a deviation m' in the tangent plane: (a, b) -> gamma (-H b, H a).
    turned = np.stack([-hessians[:, 1], hessians[:, 0]], axis=1)
    growth, directions = np.linalg.eig(turned)
    leaving = np.take_along_axis(directions.real, np.argmax(growth.real, axis=1)[:, np.newaxis, np.newaxis], axis=2)
    shift = LEAVING_SADDLE * np.einsum("nax,na->nx", tangents, leaving[:, :, 0])
    starts = np.stack([saddles + shift, saddles - shift], axis=1).reshape(-1, 3)
    starts /= np.linalg.norm(starts, axis=1)[:, np.newaxis]
    dt = ORBIT_ANGLE / (GYROMAGNETIC_RATIO * equation.largest_field())
    beginning = np.linalg.norm(_field_across(equation, starts), axis=1)
    squares, path = [beginning[np.newaxis] ** 2], [starts[np.newaxis]]
    moments = Moments(equation, starts, dt)
    for _ in range(0, MOST_ORBIT_STEPS, ORBIT_STEPS):
        path.append(moments.advance(ORBIT_STEPS, every=1))
        squares.append(np.sum(_field_across(equation, path[-1]) ** 2, axis=-1))
        over = np.concatenate(squares) > (RETURNED * beginning) ** 2
        # Slow at the saddle, fast, slow again: the first change back.
        back = ~over & np.logical_or.accumulate(over, axis=0)
        if back.any(axis=0).all():
            break
    else:
        raise InputError("an orbit through a saddle of the energy does not come back to one; change a field a little")
    lengths = np.argmax(back, axis=0)
    before = np.arange(len(back))[:, np.newaxis] < lengths
    losses = GYROMAGNETIC_RATIO * free.moment * dt * np.sum(np.concatenate(squares) * before, axis=0)
    middle = np.concatenate(path)[lengths // 2, np.arange(lengths.size)]
    ends = [_minimum_below(equation, m, minima, steepest) for m in middle]
    return np.array(ends, dtype=int).reshape(-1, 2), losses.reshape(-1, 2)


def _minimum_below(equation: EquationOfMotion, m: np.ndarray, minima: np.ndarray, steepest: float) -> int:
    """The minimum to which steepest descent leads from m."""
    for _ in range(DESCENT_STEPS):
        m = m + DESCENT_STEP / steepest * _field_across(equation, m)
        m /= np.linalg.norm(m)
        cosines = minima @ m
        if cosines.max() > math.cos(ARRIVED):
            break
    return int(np.argmax(cosines))

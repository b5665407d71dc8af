"""Rest states of equations of motion, many at once, and how deviations from them grow. SI."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import EquationOfMotion
from qtorque.llg.lanes import LANES, Block
from qtorque.units import GYROMAGNETIC_RATIO

DIFFERENCE_STEP = 1e-5
"""rad, of the central differences in the Jacobian: truncation (1e-10) and rounding (1e-11) are about equal."""

RELAXATION_ANGLE = 0.05
"""Largest rotation in a step towards rest, rad; the path does not matter, only that it stays in the basin."""

RELAXATION_STEPS = 20000
"""Steps towards rest: 1000 rad of the fastest precession at alpha = 1, so that Newton's method starts in its basin even
where the weakest restoring field is a hundredth of the strongest."""

NEWTON_STEPS = 30
NEWTON_TOLERANCE = 1e-11
"""Residual |dm/dt| of a rest state over the fastest rate; rounding leaves about 1e-15."""


def rest_states(
    equations: Sequence[EquationOfMotion], starts: np.ndarray, largest_field: float | None = None
) -> np.ndarray:
    """Where dm/dt = 0 near each start, (n, 3) -> (n, 3): down with much damping, then Newton's method. NaN without one.

    The zeros of dm/dt = (T + alpha m x T)/(1 + alpha^2) are those of T and do not depend on alpha. At alpha = 1 the
    moment comes to rest where at the true damping a torque would drive it away, so unstable rest states are found too.
    Drives are those at time 0. `largest_field` (T) bounds those of all equations, which by default bound themselves.
    """
    if largest_field is None:
        largest_field = max(equation.largest_field() for equation in equations)
    if largest_field == 0:
        return np.full(starts.shape, np.nan)
    fastest = GYROMAGNETIC_RATIO * largest_field
    damped = [dataclasses.replace(equation, alpha=1.0) for equation in equations]
    moments = Moments(damped, starts, RELAXATION_ANGLE / fastest)
    moments.advance(RELAXATION_STEPS)
    m, missing = moments.m, np.arange(len(equations))
    for _ in range(NEWTON_STEPS):
        rates = _rates(chosen(equations, missing), m[missing])
        moving = np.linalg.norm(rates, axis=1) > NEWTON_TOLERANCE * fastest
        missing, rates = missing[moving], rates[moving]
        if missing.size == 0:
            break
        tangents, jacobian = jacobians(chosen(equations, missing), m[missing])
        # The pseudoinverse serves a valley of equal energy, where the Jacobian is singular and any point will do.
        shift = np.linalg.pinv(jacobian) @ -(tangents @ rates[:, :, np.newaxis])
        moved = m[missing] + np.squeeze(np.swapaxes(shift, 1, 2) @ tangents, axis=1)
        m[missing] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    m[missing] = np.nan
    return m


def slowest_modes(
    equations: Sequence[EquationOfMotion], starts: np.ndarray, largest_field: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rest states on the side of each start, (n, 3), and the eigenvalue of the least damped mode of each, (n,), 1/s.

    Re > 0 is a deviation that grows, Im >= 0 its angular frequency. NaN without a rest state on this side.
    """
    m = rest_states(equations, starts, largest_field)
    m[~(np.sum(m * starts, axis=1) > 0)] = np.nan
    found = np.flatnonzero(np.isfinite(m[:, 0]))
    growth = np.full(len(equations), complex(np.nan, np.nan))
    if found.size:
        _, jacobian = jacobians(chosen(equations, found), m[found])
        eigenvalues = np.linalg.eigvals(jacobian)
        slowest = np.take_along_axis(eigenvalues, np.argmax(eigenvalues.real, axis=1)[:, np.newaxis], axis=1)[:, 0]
        growth[found] = slowest.real + 1j * np.abs(slowest.imag)
    return m, growth


def chosen(equations: Sequence[EquationOfMotion], numbers: np.ndarray) -> list[EquationOfMotion]:
    """The equations of these numbers."""
    return [equations[i] for i in numbers.tolist()]


def tangents_of(m: np.ndarray) -> np.ndarray:
    """Two unit vectors across each direction and each other, (n, 3) -> (n, 2, 3)."""
    aside = np.eye(3)[np.argmin(np.abs(m), axis=1)]
    first = np.cross(m, aside)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(m, first)], axis=1)


def jacobians(equations: Sequence[EquationOfMotion], m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tangents (n, 2, 3) at directions (n, 3), and d(dm/dt)/dm in them, (n, 2, 2), 1/s, by central differences."""
    tangents = tangents_of(m)
    shifts = DIFFERENCE_STEP * np.concatenate([tangents, -tangents], axis=1)
    shifted = (m[:, np.newaxis] + shifts) / np.sqrt(1 + DIFFERENCE_STEP**2)
    repeated = [equation for equation in equations for _ in range(shifts.shape[1])]
    rates = _rates(repeated, shifted.reshape(-1, 3)).reshape(shifted.shape)
    change = (rates[:, :2] - rates[:, 2:]) / (2 * DIFFERENCE_STEP)
    return tangents, tangents @ np.swapaxes(change, 1, 2)


def _rates(equations: Sequence[EquationOfMotion], m: np.ndarray) -> np.ndarray:
    """dm/dt (1/s) of directions (n, 3), each under an equation of its own."""
    found = []
    for first in range(0, len(equations), LANES):
        lanes = slice(first, first + LANES)
        block = Block(m[lanes, np.newaxis], None, None)
        block.set_equations(equations[lanes], 1.0)
        found.append(block.rates(0.0))
    return np.concatenate(found)

"""Rest states of many equations of motion at once, and the growth rates of deviations from them. SI."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import EquationOfMotion
from qtorque.llg.lanes import LANES, Block
from qtorque.llg.stability import (
    DIFFERENCE_STEP,
    NEWTON_STEPS,
    NEWTON_TOLERANCE,
    RELAXATION_ANGLE,
    RELAXATION_STEPS,
)
from qtorque.units import GYROMAGNETIC_RATIO


def growth_rates(equations: Sequence[EquationOfMotion], starts: np.ndarray, largest_field: float) -> np.ndarray:
    """Largest real part of the eigenvalues (1/s) at the rest state on the side of each start, (n, 3) -> (n,).

    As `stability.growth_rate`, for many equations at once; NaN where a moment with much damping finds no rest state on
    this side. Drives are those at time 0. `largest_field` (T) bounds those of all equations.
    """
    if largest_field == 0:
        return np.full(len(equations), np.nan)
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
        own = chosen(equations, missing)
        tangents, jacobian = _jacobians(own, m[missing])
        # The pseudoinverse serves a valley of equal energy, where the Jacobian is singular and any point will do.
        shift = np.linalg.pinv(jacobian) @ -(tangents @ rates[:, :, np.newaxis])
        moved = m[missing] + np.squeeze(np.swapaxes(shift, 1, 2) @ tangents, axis=1)
        m[missing] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    _, jacobian = _jacobians(equations, m)
    growth = np.max(np.linalg.eigvals(jacobian).real, axis=1)
    growth[missing] = np.nan
    growth[np.sum(m * starts, axis=1) <= 0] = np.nan
    return growth


def chosen(equations: Sequence[EquationOfMotion], numbers: np.ndarray) -> list[EquationOfMotion]:
    """The equations of these numbers."""
    return [equations[i] for i in numbers.tolist()]


def tangents_of(m: np.ndarray) -> np.ndarray:
    """Two unit vectors across each direction and each other, (n, 3) -> (n, 2, 3)."""
    aside = np.eye(3)[np.argmin(np.abs(m), axis=1)]
    first = np.cross(m, aside)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(m, first)], axis=1)


def _jacobians(equations: Sequence[EquationOfMotion], m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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

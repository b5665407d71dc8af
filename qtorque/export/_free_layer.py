"""What the scripts for other codes share: the free layer at one voltage, and its fields."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError, finite_number
from qtorque.export.slonczewski_fit import SlonczewskiParameters
from qtorque.llg.macrospin import Macrospin, require_positive

SMALLEST_TILT = 1e-9
"""|m x p| of an initial direction below which the torque, and with it a switching at 0 K, has no beginning."""


def initial_direction(free: Macrospin, initial: str | ArrayLike) -> np.ndarray:
    """The direction to start from; InputError where it lies along p, since nothing would move at 0 K."""
    m = free.initial_direction(initial)
    if np.linalg.norm(np.cross(m, free.fixed)) < SMALLEST_TILT:
        raise InputError(f"initial={initial!r} lies along p, where no torque acts at 0 K; give a unit vector beside p")
    return m


def tilted_direction(free: Macrospin, initial: str | ArrayLike, tilt: float) -> np.ndarray:
    """A direction to start from, beside an axis where nothing would move at 0 K.

    Parameters
    ----------
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
    tilt : rad, above 0 and below pi/2
        Angle to that direction, towards the one of the axes x, y, z that is most across it.

    Raises
    ------
    InputError
        For a tilt out of range, or an unknown direction.
    """
    tilt = finite_number("tilt", tilt, "rad")
    if not 0 < tilt < math.pi / 2:
        raise InputError(f"tilt={tilt!r} is out of range; give an angle above 0 and below pi/2")
    axis = free.initial_direction(initial)
    across = np.eye(3)[np.argmin(np.abs(axis))]
    across = across - (across @ axis) * axis
    return math.cos(tilt) * axis + math.sin(tilt) * across / np.linalg.norm(across)


def anisotropy(free: Macrospin, parameters: SlonczewskiParameters) -> float:
    """K of -K (m.u)^2 at the voltage of the parameters, J/m^3."""
    return free.anisotropy + free.voltage_anisotropy * parameters.voltage


def constant_field(free: Macrospin, parameters: SlonczewskiParameters) -> np.ndarray:
    """Applied field + exchange bias + the interlayer coupling, which is a field coupling/(Ms d) along p; (3,), T."""
    coupling = parameters.coupling / (free.Ms * free.thickness) * np.asarray(free.fixed)
    return free.constant_field + coupling


def shape_tensor(free: Macrospin) -> np.ndarray:
    """mu_0 Ms N, (3, 3), T: the demagnetising field is minus this times m."""
    return -dataclasses.replace(free, anisotropy=0.0).field_tensor


def numbers(values: ArrayLike, separator: str = ", ") -> str:
    """Numbers with all their digits; without the sign of a zero, which reads like a mistake."""
    return separator.join(repr(float(value) + 0.0) for value in np.ravel(values))


def description(free: Macrospin, parameters: SlonczewskiParameters) -> list[str]:
    """Lines about where the numbers come from, for the head of a script."""
    lines = [
        f"Free layer: Ms = {free.Ms:.6g} A/m, thickness = {free.thickness:.6g} m, area = {free.area:.6g} m2.",
        f"Current density {parameters.current_density:.6g} A/m2, > 0: electrons flow from left to right.",
    ]
    if parameters.current_density * parameters.polarization < 0:
        lines.append("Current density times P is below 0: the current pushes the free moment away from the fixed one.")
    if parameters.voltage != 0:
        lines.append(
            f"It stands for {parameters.voltage:.6g} V: a junction has a voltage, and its current depends on the angle."
        )
    if parameters.coupling != 0:
        lines.append(f"The field holds the interlayer coupling of {parameters.coupling:.6g} J/m2.")
    return lines


def positive_number(name: str, value: float, unit: str) -> float:
    """The value as a float; InputError unless it is one finite number above 0."""
    number = finite_number(name, value, unit)
    require_positive(name, number)
    return number

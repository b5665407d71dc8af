"""Linear stability of the parallel and antiparallel states under a torque map, and the energy barrier between them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from qtorque.errors import InputError
from qtorque.llg.closed_forms import ClosedForm
from qtorque.llg.dynamics import Moments
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.macrospin import Macrospin
from qtorque.spin import rotation
from qtorque.torquemap import TorqueMap
from qtorque.units import GYROMAGNETIC_RATIO

DIFFERENCE_STEP = 1e-5
"""rad, of the central differences in the Jacobian: truncation (1e-10) and rounding (1e-11) are about equal."""

Mode = tuple[np.ndarray, complex]
"""A rest state and the eigenvalue of its least damped mode."""

RELAXATION_ANGLE = 0.05
"""Largest rotation in a step towards rest, rad; the path does not matter, only that it stays in the basin."""

RELAXATION_STEPS = 20000
"""Steps towards rest: 1000 rad of the fastest precession at alpha = 1, so that Newton's method starts in its basin even
where the weakest restoring field is a hundredth of the strongest."""

NEWTON_STEPS = 30
NEWTON_TOLERANCE = 1e-11
"""Residual |dm/dt| of a rest state over the fastest rate; rounding leaves about 1e-15."""

SCAN_POINTS = 64
"""Voltages tried from V = 0 to each end of the map; a state lost and regained between two of them is not noticed."""

BISECTIONS = 50
"""Halvings of one interval of the scan: down to rounding."""

LANDSCAPE_POINTS = 181
"""Polar angles, and azimuths, on which the landscape is searched before the best point is refined: steps of 1 and 2
degrees, far below the width of any structure of an energy of second degree in m."""

RIDGE_ACCURACY, SADDLE_ACCURACY = {"xatol": 1e-8}, {"xatol": 1e-6}
"""rad. At an extremum the energy is exact to the square; the ridge is found finer, to be smooth along its length."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CriticalVoltage:
    """Where a state loses its stability.

    voltage : V
    frequency : Hz, of the precession that grows there; 0 where the state goes over without precession
    magnetization : the rest state at that voltage, a unit vector
    """

    voltage: float
    frequency: float
    magnetization: tuple[float, float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CriticalCurrentDensity:
    """Where a state loses its stability.

    current_density : A/m^2
    frequency, magnetization : as in `CriticalVoltage`
    """

    current_density: float
    frequency: float
    magnetization: tuple[float, float, float]


def growth_rate(
    free: Macrospin,
    source: TorqueSource | None,
    voltage: float | None = None,
    state: str = "antiparallel",
    *,
    current_density: float | None = None,
) -> complex:
    """Rate (1/s) at which a small deviation from a rest state grows: Re > 0 is unstable, Im >= 0 the angular frequency.

    The eigenvalue with the largest real part of the Jacobian of dm/dt in the tangent plane at the rest state near p
    ("parallel") or -p ("antiparallel") at this voltage (V) or current density (A/m^2); without a drive it is 0.

    Raises
    ------
    InputError
        For a voltage outside the map, an unknown state, and where there is no rest state on this side of the equator.
    """
    mode = _slowest_mode(free, equation_of_motion(free, source, voltage, current_density=current_density), state)
    if mode is None:
        drive = f"voltage={voltage!r} V" if current_density is None else f"current_density={current_density!r} A/m^2"
        raise InputError(f"state={state!r} does not exist at {drive}: the moment relaxes to elsewhere")
    return mode[1]


def critical_voltage(
    free: Macrospin,
    source: TorqueSource,
    state: str = "antiparallel",
    bracket: tuple[float, float] | None = None,
) -> CriticalVoltage | None:
    """The smallest |voltage| at which the state near p or -p loses its stability at 0 K, and None if it never does.

    From the voltage nearest to 0 the map is scanned to both sides; the first loss is bisected. Bisection serves the two
    ways in which a state ends, a growing precession and a rest state that vanishes, where an eigenvalue ends with it.

    Parameters
    ----------
    source : torque map, or a closed form with its resistance_area
    state : "parallel" or "antiparallel"
    bracket : V, lowest and highest
        Search there only. By default the whole map; a closed form needs a bracket.

    Raises
    ------
    InputError
        For a bracket outside the map, an unknown state, alpha = 0 (nothing is stable), and a state that is unstable
        already at the voltage nearest to 0.
    """
    if isinstance(source, TorqueMap):
        ends = float(source.voltage[0]), float(source.voltage[-1])
        bracket = bracket or ends
        if not ends[0] <= bracket[0] <= bracket[1] <= ends[1]:
            raise InputError(
                f"bracket={bracket!r} is no interval of the torque map, {ends[0]:.6g} to {ends[1]:.6g} V; "
                "give the lowest voltage first"
            )
    loss = _first_loss(free, lambda v: equation_of_motion(free, source, v), "voltage", state, bracket)
    if loss is None:
        return None
    voltage, mode = loss
    return CriticalVoltage(voltage=voltage, **_mode_record(mode))


def critical_current_density(
    free: Macrospin, source: ClosedForm, state: str = "antiparallel", *, bracket: tuple[float, float]
) -> CriticalCurrentDensity | None:
    """The smallest |current density| within a bracket (A/m^2) at which a state loses its stability at 0 K.

    As `critical_voltage`, under a torque in closed form.
    """

    def equation(current_density: float) -> EquationOfMotion:
        return equation_of_motion(free, source, current_density=current_density)

    loss = _first_loss(free, equation, "current_density", state, bracket)
    if loss is None:
        return None
    current_density, mode = loss
    return CriticalCurrentDensity(current_density=current_density, **_mode_record(mode))


def _first_loss(
    free: Macrospin,
    equation: Callable[[float], EquationOfMotion],
    drive: str,
    state: str,
    bracket: tuple[float, float] | None,
) -> tuple[float, Mode] | None:
    """The drive of smallest size within a bracket at which a state ends, and its last mode there."""
    if bracket is None or not -math.inf < bracket[0] <= bracket[1] < math.inf:
        raise InputError(f"bracket={bracket!r} is no interval; give the lowest {drive} and the highest")
    if free.alpha == 0:
        raise InputError("alpha=0 leaves no state stable; give a damping > 0")
    low, high = bracket

    def stable_mode(value: float) -> Mode | None:
        mode = _slowest_mode(free, equation(value), state)
        return mode if mode is not None and mode[1].real < 0 else None

    origin = min(max(0.0, low), high)
    start = stable_mode(origin)
    if start is None:
        raise InputError(f"state={state!r} is unstable already at {drive}={origin:.6g}; there is nothing to lose")
    losses = []
    for end in [end for end in (low, high) if end != origin]:
        stable, mode = origin, start
        for value in np.linspace(origin, end, SCAN_POINTS + 1)[1:]:
            reached = stable_mode(value)
            if reached is None:
                losses.append(_bisect(stable_mode, stable, value, mode))
                break
            stable, mode = value, reached
    return min(losses, key=lambda loss: abs(loss[0]), default=None)


def _mode_record(mode: Mode) -> dict[str, Any]:
    m, eigenvalue = mode
    return {"frequency": eigenvalue.imag / (2 * np.pi), "magnetization": tuple(m.tolist())}


def energy_barrier(free: Macrospin, state: str = "antiparallel") -> float:
    """Energy (J) from the minimum near p or -p to the lowest saddle; the applied field counts, the torque does not.

    From the minimum every meridian climbs to a ridge; the lowest point of the ridge is the saddle.

    Raises
    ------
    InputError
        For an unknown state, and where the energy has not one minimum on the side of p and one on that of -p.
    """
    equation = dataclasses.replace(equation_of_motion(free, None), alpha=1.0)
    minima = {}
    for name in ("parallel", "antiparallel"):
        mode = _slowest_mode(free, equation, name)
        if mode is None or mode[1].real > 0:
            raise InputError(f"state={name!r} is no minimum of the energy; a barrier is between two minima")
        minima[name] = mode[0]
    if state not in minima:
        raise InputError(f"state={state!r} is unknown; give 'parallel' or 'antiparallel'")
    frame = rotation(minima[state])

    def energy(polar: np.ndarray | float, azimuth: np.ndarray | float) -> np.ndarray:
        directions = [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar) + 0 * azimuth]
        return free.energy(np.stack(directions, axis=-1) @ frame.T)

    def ridge(azimuth: float) -> float:
        along = energy(polar, azimuth)
        top = polar[np.argmax(along)]
        around = (max(top - spacing, 0.0), min(top + spacing, np.pi))
        depth = minimize_scalar(lambda x: -energy(x, azimuth), bounds=around, method="bounded", options=RIDGE_ACCURACY)
        return -float(depth.fun)

    polar = np.linspace(0, np.pi, LANDSCAPE_POINTS)
    spacing = polar[1]
    azimuths = 2 * polar
    heights = np.max(energy(polar[:, np.newaxis], azimuths), axis=0)
    lowest = azimuths[np.argmin(heights)]
    around = (lowest - 2 * spacing, lowest + 2 * spacing)
    saddle = minimize_scalar(ridge, bounds=around, method="bounded", options=SADDLE_ACCURACY)
    return float(saddle.fun) - float(energy(0.0, 0.0))


def _slowest_mode(free: Macrospin, equation: EquationOfMotion, state: str) -> Mode | None:
    """The rest state on the side of `state` and the eigenvalue of its least damped mode; None if there is none."""
    if state not in ("parallel", "antiparallel"):
        raise InputError(f"state={state!r} is unknown; give 'parallel' or 'antiparallel'")
    start = free.initial_direction(state)
    m = _rest_state(equation, start)
    if m is None or m @ start <= 0:
        return None
    eigenvalues = np.linalg.eigvals(_jacobian(equation, m, _tangents(m)))
    slowest = eigenvalues[np.argmax(eigenvalues.real)]
    return m, complex(slowest.real, abs(slowest.imag))


def _rest_state(equation: EquationOfMotion, start: np.ndarray) -> np.ndarray | None:
    """Where dm/dt = 0, near `start`: down with much damping, then Newton's method. None if that does not converge.

    The zeros of dm/dt = (T + alpha m x T)/(1 + alpha^2) are those of T and do not depend on alpha. At alpha = 1 the
    moment comes to rest where at the true damping a torque would drive it away, so unstable rest states are found too.
    """
    fastest = GYROMAGNETIC_RATIO * equation.largest_field()
    if fastest == 0:
        return None
    moments = Moments(dataclasses.replace(equation, alpha=1.0), start[np.newaxis], RELAXATION_ANGLE / fastest)
    moments.advance(RELAXATION_STEPS)
    m = moments.m[0]
    for _ in range(NEWTON_STEPS):
        rate = equation.rate(m)
        if np.linalg.norm(rate) <= NEWTON_TOLERANCE * fastest:
            return m
        tangents = _tangents(m)
        # Least squares: where the energy has a valley of equal height the Jacobian is singular, and any point will do.
        shift = np.linalg.lstsq(_jacobian(equation, m, tangents), -tangents @ rate, rcond=None)[0]
        m = m + shift @ tangents
        m /= np.linalg.norm(m)
    return None


def _tangents(m: np.ndarray) -> np.ndarray:
    """Two unit vectors across m and each other, (2, 3)."""
    return rotation(m)[:, :2].T


def _jacobian(equation: EquationOfMotion, m: np.ndarray, tangents: np.ndarray) -> np.ndarray:
    """d(dm/dt)/dm within the tangent plane at m, (2, 2), 1/s: column b is the change along tangent b."""
    shifts = DIFFERENCE_STEP * np.stack([tangents, -tangents])
    ahead, behind = equation.rate((m + shifts) / np.sqrt(1 + DIFFERENCE_STEP**2))
    return tangents @ (ahead - behind).T / (2 * DIFFERENCE_STEP)


def _bisect(
    stable_mode: Callable[[float], Mode | None], stable: float, unstable: float, mode: Mode
) -> tuple[float, Mode]:
    """Where stable_mode(drive) turns None, between a stable one with `mode` and an unstable one, and the mode there."""
    for _ in range(BISECTIONS):
        middle = (stable + unstable) / 2
        reached = stable_mode(middle)
        if reached is None:
            unstable = middle
        else:
            stable, mode = middle, reached
    return float(stable), mode

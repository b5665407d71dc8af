"""Linear stability of the parallel and antiparallel states under a torque map, and the energy barrier between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

from qtorque.errors import InputError
from qtorque.llg.dynamics import EquationOfMotion, equation_of_motion
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


def growth_rate(free: Macrospin, tmap: TorqueMap | None, voltage: float, state: str = "antiparallel") -> complex:
    """Rate (1/s) at which a small deviation from a rest state grows: Re > 0 is unstable, Im >= 0 the angular frequency.

    The eigenvalue with the largest real part of the Jacobian of dm/dt in the tangent plane at the rest state near p
    ("parallel") or -p ("antiparallel") at this voltage (V).

    Raises
    ------
    InputError
        For a voltage outside the map, an unknown state, and where there is no rest state on this side of the equator.
    """
    mode = _slowest_mode(free, equation_of_motion(free, tmap, voltage), state)
    if mode is None:
        raise InputError(f"state={state!r} does not exist at voltage={voltage!r} V: the moment relaxes to elsewhere")
    return mode[1]


def critical_voltage(
    free: Macrospin,
    tmap: TorqueMap,
    state: str = "antiparallel",
    bracket: tuple[float, float] | None = None,
) -> CriticalVoltage | None:
    """The smallest |voltage| at which the state near p or -p loses its stability at 0 K, and None if it never does.

    From the voltage nearest to 0 the map is scanned to both sides; the first loss is bisected. Bisection serves the two
    ways in which a state ends, a growing precession and a rest state that vanishes, where an eigenvalue ends with it.

    Parameters
    ----------
    state : "parallel" or "antiparallel"
    bracket : V, lowest and highest
        Search there only; the whole map by default.

    Raises
    ------
    InputError
        For a bracket outside the map, an unknown state, alpha = 0 (nothing is stable), and a state that is unstable
        already at the voltage nearest to 0.
    """
    low, high = (float(tmap.voltage[0]), float(tmap.voltage[-1])) if bracket is None else bracket
    if not tmap.voltage[0] <= low <= high <= tmap.voltage[-1]:
        raise InputError(
            f"bracket={bracket!r} is no interval of the torque map, {tmap.voltage[0]:.6g} to {tmap.voltage[-1]:.6g} V; "
            "give the lowest voltage first"
        )
    if free.alpha == 0:
        raise InputError("alpha=0 leaves no state stable; give a damping > 0")

    def stable_mode(voltage: float) -> Mode | None:
        mode = _slowest_mode(free, equation_of_motion(free, tmap, voltage), state)
        return mode if mode is not None and mode[1].real < 0 else None

    origin = min(max(0.0, low), high)
    start = stable_mode(origin)
    if start is None:
        raise InputError(f"state={state!r} is unstable already at voltage={origin:.6g} V; there is nothing to lose")
    losses = []
    for end in [end for end in (low, high) if end != origin]:
        stable, mode = origin, start
        for voltage in np.linspace(origin, end, SCAN_POINTS + 1)[1:]:
            reached = stable_mode(voltage)
            if reached is None:
                losses.append(_bisect(stable_mode, stable, voltage, mode))
                break
            stable, mode = voltage, reached
    return min(losses, key=lambda loss: abs(loss.voltage), default=None)


def energy_barrier(free: Macrospin, state: str = "antiparallel") -> float:
    """Energy (J) from the minimum near p or -p to the lowest saddle; the applied field counts, the torque does not.

    From the minimum every meridian climbs to a ridge; the lowest point of the ridge is the saddle.

    Raises
    ------
    InputError
        For an unknown state, and where the energy has not one minimum on the side of p and one on that of -p.
    """
    equation = dataclasses.replace(equation_of_motion(free, None, 0.0), alpha=1.0)
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
    moments = start[np.newaxis].copy()
    dataclasses.replace(equation, alpha=1.0).advance(moments, RELAXATION_STEPS, RELAXATION_ANGLE / fastest)
    m = moments[0]
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
    columns = []
    for tangent in tangents:
        ahead, behind = m + DIFFERENCE_STEP * tangent, m - DIFFERENCE_STEP * tangent
        length = np.linalg.norm(ahead)
        change = equation.rate(ahead / length) - equation.rate(behind / length)
        columns.append(tangents @ change / (2 * DIFFERENCE_STEP))
    return np.stack(columns, axis=1)


def _bisect(stable_mode: Callable[[float], Mode | None], stable: float, unstable: float, mode: Mode) -> CriticalVoltage:
    """The voltage at which stable_mode(voltage) turns None, between a stable one with `mode` and an unstable one."""
    for _ in range(BISECTIONS):
        middle = (stable + unstable) / 2
        reached = stable_mode(middle)
        if reached is None:
            unstable = middle
        else:
            stable, mode = middle, reached
    m, eigenvalue = mode
    return CriticalVoltage(
        voltage=float(stable), frequency=eigenvalue.imag / (2 * np.pi), magnetization=tuple(m.tolist())
    )

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
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.landscape import landscape
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.rest_states import slowest_modes
from qtorque.spin import rotation
from qtorque.torquemap import TorqueMap

Mode = tuple[np.ndarray, complex]
"""A rest state and the eigenvalue of its least damped mode."""

SCAN_POINTS = 64
"""Voltages tried from V = 0 to each end of the map; a state lost and regained between two of them is not noticed."""

REFINEMENTS = 9
"""Times an interval between two of these points is scanned again: 64^9 parts of the first one, which is rounding."""

LANDSCAPE_POINTS = 181
"""Polar angles, and azimuths, on which the landscape is searched before the best point is refined: steps of 1 and 2
degrees, far below the width of any structure of an energy of fourth degree in m."""

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
    origin = min(max(0.0, low), high)
    start = _slowest_mode(free, equation(origin), state)
    if start is None or start[1].real >= 0:
        raise InputError(f"state={state!r} is unstable already at {drive}={origin:.6g}; there is nothing to lose")
    losses = []
    for end in [end for end in (low, high) if end != origin]:
        stable, unstable, mode = origin, end, start
        for _ in range(REFINEMENTS):
            between = np.linspace(stable, unstable, SCAN_POINTS + 1)[1:]
            rests, growth = slowest_modes([equation(x) for x in between], np.tile(_side(free, state), (SCAN_POINTS, 1)))
            lost = np.flatnonzero(~(growth.real < 0))
            last = int(lost[0]) - 1 if lost.size else SCAN_POINTS - 1
            if last >= 0:
                stable, mode = float(between[last]), (rests[last], complex(growth[last]))
            if not lost.size:
                break
            unstable = float(between[lost[0]])
        else:
            losses.append((stable, mode))
    return min(losses, key=lambda loss: abs(loss[0]), default=None)


def _mode_record(mode: Mode) -> dict[str, Any]:
    m, eigenvalue = mode
    return {"frequency": eigenvalue.imag / (2 * np.pi), "magnetization": tuple(m.tolist())}


def energy_barrier(free: Macrospin, state: str = "antiparallel") -> float:
    """Energy (J) from the minimum near p or -p to the lowest saddle; the applied field counts, the torque does not.

    From the minimum every meridian climbs to a ridge; the lowest point of the ridge is the saddle. A cubic magnet has
    more minima: its saddles are those of `landscape`, next to the minimum nearest to p or -p.

    Raises
    ------
    InputError
        For an unknown state, and where the energy has not one minimum on the side of p and one on that of -p.
    """
    if free.cubic_anisotropy != 0:
        return _barrier_of_landscape(free, state)
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


def _barrier_of_landscape(free: Macrospin, state: str) -> float:
    """`energy_barrier` where there may be more minima than two, J."""
    found, direction = landscape(free), _side(free, state)
    well = int(np.argmax(found.minima @ direction))
    rim = [saddle for saddle, ends in enumerate(found.ends) if well in ends]
    if found.minima[well] @ direction <= 0 or not rim:
        raise InputError(f"state={state!r} is no minimum of the energy; a barrier is between two minima")
    return float(found.saddle_energies[rim].min() - found.minimum_energies[well])


def _side(free: Macrospin, state: str) -> np.ndarray:
    """p or -p; InputError for another state."""
    if state not in ("parallel", "antiparallel"):
        raise InputError(f"state={state!r} is unknown; give 'parallel' or 'antiparallel'")
    return free.initial_direction(state)


def _slowest_mode(free: Macrospin, equation: EquationOfMotion, state: str) -> Mode | None:
    """The rest state on the side of `state` and the eigenvalue of its least damped mode; None if there is none."""
    rests, growth = slowest_modes([equation], _side(free, state)[np.newaxis])
    return None if np.isnan(growth[0]) else (rests[0], complex(growth[0]))

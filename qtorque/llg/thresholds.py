"""Where a state is lost at 0 K, by integrating the equation of motion: the second route beside linear stability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qtorque.errors import InputError
from qtorque.llg.drive import constant
from qtorque.llg.dynamics import LARGEST_PRECESSION_ANGLE, Moments
from qtorque.llg.equation import EquationOfMotion, TorqueSource
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.trajectories import THERMALISATION_TIMES, driven_equation, thermalisation_time
from qtorque.spin import rotation
from qtorque.units import GYROMAGNETIC_RATIO

POINTS = 64
"""Drives that run together: as many as the kernels have lanes."""

RELAXATION_TIMES = 20.0
"""Default duration in relaxation times without drive. A motion whose amplitude is known to 1 % then tells growth from
decay by rates of 1e-3 of the relaxation, which is the relative accuracy of the threshold."""

FEWEST_RELAXATION_TIMES = 10.0
"""Shortest duration in relaxation times without drive. Alpha from 0.01 to 1, in the plane and across it: the threshold
is within 0.2 % from here on, up to 10 % off at 4 to 7 of them and meaningless below."""

ACCURACY = 1e-4
"""Of the threshold, relative: where the refinement ends. Below what the duration allows."""

WINDOW = 0.25
"""Share of the duration at its begin, and at its end, in which the size of the motion is looked at."""

WINDOW_SAMPLES = 256
"""In a window; a peak between samples is missed by (pi periods/samples)^2/2 at worst, alike in both windows."""

LARGEST_TILT = 0.2
"""rad. What a threshold is off by is of the order of the square of the tilt, here 4 %."""


class _Search(NamedTuple):
    """How a simulation looks for a threshold: the state as p or -p (3,), tilt in rad, steps and their length in s."""

    axis: np.ndarray
    tilt: float
    steps: int
    dt: float


def critical_voltage_by_simulation(
    free: Macrospin,
    source: TorqueSource,
    state: str = "antiparallel",
    *,
    bracket: tuple[float, float],
    tilt: float = 0.01,
    duration: float | None = None,
) -> float | None:
    """The smallest |voltage| (V) within a bracket at which a state at 0 K is lost in a simulation; None if none is.

    At many voltages together moments come to rest from p or -p with alpha = 1, where a torque drives nothing away,
    are tilted, and run for a time with the true damping. The state is lost where m.p changes sign, or where the motion
    in the last quarter of the time is larger than in the first. The first loss, from the voltage nearest to 0, is
    refined. Unlike `critical_voltage` this linearises nothing.

    Parameters
    ----------
    free, source
    state : "parallel" or "antiparallel"
    bracket : V, lowest and highest
    tilt : rad
        Of the start. The threshold is off by the order of its square. Where a steady precession exists beside a stable
        state, a tilt that reaches its basin loses the state at a smaller voltage.
    duration : s
        By default `RELAXATION_TIMES` times the relaxation time without drive, and at least `FEWEST_RELAXATION_TIMES`
        of them. The relative error of the threshold is about 0.01 relaxation times over it.

    Raises
    ------
    InputError
        For a bracket that is no interval or outside the map, an unknown state, alpha = 0, a tilt out of range, a
        duration too short to tell growth from decay, and a state that is lost already at the voltage nearest to 0.
    """
    return _threshold(free, source, state, "voltage", bracket, tilt, duration)


def critical_current_density_by_simulation(
    free: Macrospin,
    source: TorqueSource,
    state: str = "antiparallel",
    *,
    bracket: tuple[float, float],
    tilt: float = 0.01,
    duration: float | None = None,
) -> float | None:
    """The smallest |current density| (A/m^2) within a bracket at which a state at 0 K is lost in a simulation.

    As `critical_voltage_by_simulation`, under a torque in closed form.
    """
    return _threshold(free, source, state, "current_density", bracket, tilt, duration)


def _threshold(
    free: Macrospin,
    source: TorqueSource,
    state: str,
    label: str,
    bracket: tuple[float, float],
    tilt: float,
    duration: float | None,
) -> float | None:
    if len(bracket) != 2 or not -math.inf < bracket[0] < bracket[1] < math.inf:
        raise InputError(f"bracket={bracket!r} is no interval; give the lowest {label} and the highest")
    if free.alpha == 0:
        raise InputError("alpha=0 leaves no state stable; give a damping > 0")
    if state not in ("parallel", "antiparallel"):
        raise InputError(f"state={state!r} is unknown; give 'parallel' or 'antiparallel'")
    if not 0 < tilt <= LARGEST_TILT:
        raise InputError(f"tilt={tilt!r} rad is out of range; give an angle within 0 .. {LARGEST_TILT}")
    axis = free.initial_direction(state)
    if duration is not None:
        require_positive("duration", duration)
    low, high = (float(end) for end in bracket)
    fastest = max(driven_equation(free, source, label, constant(end)).largest_field() for end in (low, high))
    if fastest == 0:
        raise InputError("nothing acts on the moment, so no state is stable; give an anisotropy or a field")
    relaxation = _relaxation_time(free, source, axis)
    if duration is None:
        if relaxation is None:
            raise InputError(f"duration has no default, state={state!r} does not exist without drive; give seconds")
        duration = RELAXATION_TIMES * relaxation
    elif relaxation is not None and duration < FEWEST_RELAXATION_TIMES * relaxation:
        least = FEWEST_RELAXATION_TIMES * relaxation
        raise InputError(f"duration={duration!r} s does not tell growth from decay; give at least {least:.2g} s")
    dt = min(LARGEST_PRECESSION_ANGLE / (GYROMAGNETIC_RATIO * fastest), WINDOW * duration / WINDOW_SAMPLES)
    search = _Search(axis, tilt, math.ceil(duration / dt), dt)

    def lost(drives: np.ndarray) -> np.ndarray:
        equations = [driven_equation(free, source, label, constant(drive)) for drive in drives.tolist()]
        return _lost(equations, search)

    origin = min(max(0.0, low), high)
    if lost(np.array([origin]))[0]:
        raise InputError(f"state={state!r} is lost already at {label}={origin:.6g}; there is nothing to lose")
    found = [_first_loss(lost, origin, end) for end in (low, high) if end != origin]
    return min((drive for drive in found if drive is not None), key=abs, default=None)


def _relaxation_time(free: Macrospin, source: TorqueSource, axis: np.ndarray) -> float | None:
    """Of the state without drive, s; None where it does not exist then."""
    try:
        return thermalisation_time(free, source, axis) / THERMALISATION_TIMES
    except InputError:
        return None


def _first_loss(lost: Callable[[np.ndarray], np.ndarray], kept: float, end: float) -> float | None:
    """Drive nearest to `kept`, where the state is kept, at which it is lost; None if there is none up to `end`."""
    while True:
        drives = np.linspace(kept, end, POINTS + 1)[1:]
        first = np.flatnonzero(lost(drives))
        if first.size == 0:
            return None
        i = int(first[0])
        kept, end = (float(drives[i - 1]) if i else kept), float(drives[i])
        if abs(end - kept) <= ACCURACY * abs(end):
            return (kept + end) / 2


def _lost(equations: list[EquationOfMotion], search: _Search) -> np.ndarray:
    """Whether a moment that starts near a state leaves it, (n,)."""
    window = max(1, int(WINDOW * search.steps))
    relaxing = Moments([dataclasses.replace(equation, alpha=1.0) for equation in equations], search.axis, search.dt)
    relaxing.advance(window)
    rest = relaxing.m
    across = np.array([rotation(m)[:, 0] for m in rest])
    start = math.cos(search.tilt) * rest + math.sin(search.tilt) * across
    moments = Moments(equations, start, search.dt, watch=search.axis)
    samples = np.unique(np.linspace(1, window, WINDOW_SAMPLES).astype(np.int64))
    # Largest component of the peak-to-peak motion, which is about no point in particular.
    early = np.ptp(moments.advance(window, sample_steps=samples), axis=0).max(axis=-1)
    moments.advance(search.steps - 2 * window)
    late = np.ptp(moments.advance(window, sample_steps=samples), axis=0).max(axis=-1)
    return (start @ search.axis <= 0) | (moments.crossed >= 0) | (late > early)

r"""Fokker-Planck equation of the axially symmetric magnet: switching times, write errors, escape rates, no sampling.

Where easy axis, field, shape and torque have p as an axis of symmetry, c = m.p moves by itself. The equation of motion
gives, with fields B along p and b = tau/(Ms Vol) of a source,

    dc/dt = A(c) = gamma (1 - c^2)/(1 + alpha^2) [alpha (B(c) + b_FL(c)) + b_DL(c)],

and the thermal field makes a random walk on the sphere of it (W. F. Brown, Phys. Rev. 130, 1677 (1963)), whose density
P(c, t), per unit of c, obeys

    dP/dt = -d/dc [A P - D dP/dc],    D = D_0 (1 - c^2),    D_0 = gamma alpha kT/((1 + alpha^2) Ms Vol).

The noise adds no drift of its own here: D stands between the derivatives. In one dimension the drift always has a
potential, dU/dc = -A/D, also under a torque: exp(-U) is stationary. Without torque U = E/kT.

Method. Finite volumes between the faces c_k = -cos(pi k/n), with exponentially fitted fluxes (D. L. Scharfetter and
H. K. Gummel, IEEE Trans. Electron Devices 16, 64 (1969; from memory)): a chain of cells with rates between neighbours.
exp(-U) is stationary and <c> of free diffusion decays as exp(-2 D_0 t) to rounding; everything else converges as n^-2.
Between two voltages of a torque map U is a cubic of the voltage, by which a changing drive is followed without error.
Time steps are backward Euler steps extrapolated to fifth order, with a step that adapts to the error on either side of
the equator relative to the probability there. Linear equations are solved without a subtraction (`resolvent`), so
that probabilities of 1e-15 have the same relative accuracy as others: about 1e-3 with the default number of cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from qtorque.errors import InputError
from qtorque.llg._fokker_planck_kernels import resolvent
from qtorque.llg.axial_walk import (
    SHALLOWEST_WELL,
    Rates,
    Walk,
    cells_of_sphere,
    drive_breaks,
    effective_slope,
    finite_sum,
    rate_along,
    smallest_eigenvalue,
    wells_and_barriers,
)
from qtorque.llg.drive import Waveform, as_waveform
from qtorque.llg.dynamics import magnet_attributes
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.spin import rotation
from qtorque.units import BOLTZMANN, GYROMAGNETIC_RATIO

AZIMUTHS = (0.0, 0.7, 1.9, 3.3, 4.6)
"""rad, at which the motion of c is compared: no anisotropy of two-, three- or fourfold symmetry is the same at all."""

SYMMETRY_TOLERANCE = 1e-9
"""Share of the largest field by which the motion may depend on the azimuth; rounding gives 1e-15."""

PROBES = 65
"""Values of c at which symmetry and steepness are looked at."""

STEEPEST_STEP = 1.0
"""Of the potential between two cells, kT, that the default grid keeps below: exponential fitting then adds at most 1/12
to the diffusion where the potential is steepest and diffusion matters least. Error rates of 1e-13 are off by 5e-4."""

FEWEST_CELLS, MOST_CELLS = 1000, 10000
"""Of the default grid. 1000 resolve the well of 60 kT to 2e-4; with 10000 a call takes some ten seconds."""

ORDER = 5
"""Of the extrapolation in time."""

STEP_TOLERANCE = 1e-7
"""Estimated error of a time step relative to the probability on either side. The fifth order is better than its
estimate: after a thousand steps rates of 1e-13 have changed by 1e-6."""

SMALLEST_SHARE = 1e-25
"""Probability on one side below which its error is no longer relative: nobody can count that few failures."""

FIRST_STEP = 1e-6
"""First time step over the duration; the error control takes over from there."""

STEPS_A_PERIOD = 16
"""Least number of time steps in a period of a tone."""

OUTPUT_TIMES = 200
"""Number of times after 0 in a result, unless they are given."""


def fokker_planck(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: float | Waveform | None = None,
    current_density: float | Waveform | None = None,
    temperature: float,
    initial: str = "antiparallel",
    duration: float,
    times: ArrayLike | None = None,
    cells: int | None = None,
) -> xr.Dataset:
    """Distribution of c = m.p versus time, with the write error and the distribution of switching times.

    Parameters
    ----------
    free, source
        Axially symmetric about p. A source is a `TorqueMap`, a closed form or None.
    voltage, current_density : V or A/m^2
        A number or a `Waveform`. A current density takes the place of the voltage for a source that is driven by it.
    temperature : K, > 0
    initial : "antiparallel" or "parallel"
        At time 0 the magnet is in thermal equilibrium at drive 0, confined to the well of -p or of p.
    duration : s
    times : s, ascending within 0 .. duration
        Of the results; by default `OUTPUT_TIMES` evenly spread ones and 0.
    cells : even number
        Of the grid. The error falls with its square. By default from the steepest potential.

    Returns
    -------
    Dataset
        Over time: probability_density (time, projection) over m.p; switched and not_switched, the probabilities of the
        two signs of m.p (summed, never 1 minus the other, so accurate when tiny: not_switched is the write error rate);
        survival, the probability that m.p has never reached 0; first_passage_density = -d survival/dt; mean_projection.

    Raises
    ------
    InputError
        For what is not axially symmetric, an initial state without a well, values out of range, a drive outside the
        torque map (0 included).
    """
    require_positive("duration", duration)
    moments = _output_times(times, duration)
    walk = _walk(free, source, voltage, current_density, temperature, initial, cells)
    steps = walk.steps_over_time()
    start = walk.equilibrium_in_well()
    half = start.size // 2
    whole = _propagate(lambda t: walk.rates(steps(t)), start, moments, walk.drive, (slice(half), slice(half, None)))
    p = np.array(list(whole))
    inside = np.array(
        list(_propagate(lambda t: walk.absorbing_rates(steps(t)), start[:half], moments, walk.drive, (slice(None),)))
    )
    leak = np.array([walk.absorbing_rates(steps(t)).loss[-1] for t in moments])
    sign = walk.axis @ np.asarray(free.fixed)
    order = slice(None) if sign > 0 else slice(None, None, -1)

    def series(values: np.ndarray, long_name: str, units: str = "1") -> tuple[str, np.ndarray, dict[str, str]]:
        return "time", values, {"units": units, "long_name": long_name}

    return xr.Dataset(
        {
            "probability_density": (
                ("time", "projection"), (p / walk.cells.widths)[:, order],
                {"units": "1", "long_name": "probability per unit of m.p"},
            ),
            "switched": series(p[:, half:].sum(axis=1), "probability that m.p has the other sign"),
            "not_switched": series(p[:, :half].sum(axis=1), "probability that m.p has the initial sign"),
            "survival": series(inside.sum(axis=1), "probability that m.p has never reached 0"),
            "first_passage_density": series(leak * inside[:, -1], "density of the times when m.p first is 0", "1/s"),
            "mean_projection": series(sign * (p @ walk.cells.centres), "mean of m.p"),
        },
        {
            "time": ("time", moments, {"units": "s", "long_name": "time"}),
            "projection": (
                "projection", (sign * walk.cells.centres)[order],
                {"units": "1", "long_name": "m.p at the middle of a cell"},
            ),
            "width": ("projection", walk.cells.widths[order], {"units": "1", "long_name": "width of a cell in m.p"}),
        },
        attrs={
            "initial": initial, "temperature": float(temperature), "duration": float(duration), "cells": start.size,
            "voltage" if current_density is None else "current_density": walk.drive.peak, **magnet_attributes(free),
        },
    )  # fmt: skip


def mean_switching_time(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: float | None = None,
    current_density: float | None = None,
    temperature: float,
    initial: str = "antiparallel",
    cells: int | None = None,
) -> float:
    """Mean time until m.p first is 0 at a constant drive, from the equilibrium in a well at drive 0.

    The mean of the distribution whose `survival` is in `fokker_planck`. Behind a high barrier it is half the lifetime
    of a state if the barrier is at m.p = 0, since from there every second magnet returns; it is the whole lifetime if
    the barrier is passed before, and tells little of a state whose barrier lies beyond.

    Parameters
    ----------
    free, source, temperature, initial, cells
        As in `fokker_planck`.
    voltage, current_density : float, V or A/m^2
        Constant; a `Waveform` only if it does not vary.

    Returns
    -------
    float, s

    Raises
    ------
    InputError
        As `fokker_planck` does, for a drive that varies, and for a barrier over 700 kT.
    """
    walk = _walk(free, source, voltage, current_density, temperature, initial, cells)
    rates = walk.absorbing_rates(walk.steps(_constant_level(walk.drive)))
    start = walk.equilibrium_in_well()
    return finite_sum(resolvent(rates.left, rates.right, rates.loss, 0.0, 1.0, start[: rates.loss.size]), temperature)


def escape_rate(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: float | None = None,
    current_density: float | None = None,
    temperature: float,
    cells: int | None = None,
) -> float:
    """Smallest rate at which a distribution of m.p relaxes: the smallest nonzero eigenvalue of Fokker-Planck.

    With two wells the difference of their populations from equilibrium decays with it, so it is the sum of the rates
    out of either, and twice each for equal wells; `switching_rate` tells them apart. The relative error of the solver
    is rounding at any height of the barrier.

    Parameters
    ----------
    free, source, temperature, cells
        As in `fokker_planck`.
    voltage, current_density : float, V or A/m^2
        Constant; a `Waveform` only if it does not vary.

    Returns
    -------
    float, 1/s

    Raises
    ------
    InputError
        As `fokker_planck` does but for the well, for a drive that varies, and for a barrier over 700 kT.
    """
    walk = _walk(free, source, voltage, current_density, temperature, "antiparallel", cells)
    return smallest_eigenvalue(walk.rates(walk.steps(_constant_level(walk.drive))), temperature)


def switching_rate(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    state: str = "antiparallel",
    voltage: float | None = None,
    current_density: float | None = None,
    temperature: float,
    cells: int | None = None,
) -> float:
    """Rate from one of two wells to the other: `escape_rate` times the share of the equilibrium beyond the barrier.

    Rates to and fro add up to the eigenvalue and are in detailed balance under the effective potential U. That is exact
    but for terms of the order exp(-barrier/kT), of any shape of the barrier. A dip of U by less than `SHALLOWEST_WELL`
    on its way up or down is no well.

    Parameters
    ----------
    free, source, temperature, cells
        As in `fokker_planck`.
    state : "antiparallel" or "parallel"
        The well on the side of -p or of p.
    voltage, current_density : float, V or A/m^2
        Constant; a `Waveform` only if it does not vary.

    Returns
    -------
    float, 1/s

    Raises
    ------
    InputError
        As `fokker_planck` does but for the well at drive 0; where U has not two wells at this drive: with one there is
        nowhere to go, and with three the relaxation is no matter of one rate. For a drive that varies, and for a
        barrier over 700 kT.
    """
    walk = _walk(free, source, voltage, current_density, temperature, state, cells)
    level = _constant_level(walk.drive)
    potential = walk.potential(level)
    wells, barriers = wells_and_barriers(potential)
    if len(wells) == 1:
        raise InputError(
            f"state={state!r} has no barrier of {SHALLOWEST_WELL:g} kT to another well at drive {level:g}; "
            "use fokker_planck for times to switch"
        )
    if len(wells) > 2:
        raise InputError(
            f"the potential has {len(wells)} wells at drive {level:g}, so relaxation has not one rate; use "
            "fokker_planck over time, or escape_rate for the slowest"
        )
    log_weights = np.log(walk.cells.widths) - potential
    beyond = math.exp(logsumexp(log_weights[barriers[0] + 1 :]) - logsumexp(log_weights))
    return beyond * smallest_eigenvalue(walk.rates(walk.steps(level)), temperature)


def is_axially_symmetric(free: Macrospin, equation: EquationOfMotion) -> bool:
    """Whether the motion of m.p depends on m.p alone, as seen at some azimuths.

    Parameters
    ----------
    free
        Its fixed moment is p.
    equation
        Of this magnet; its drive counts as at time 0.

    Returns
    -------
    bool
        Whether d(m.p)/dt agrees at `AZIMUTHS` to `SYMMETRY_TOLERANCE`.
    """
    frame = rotation(free.fixed)
    c = np.linspace(-1, 1, PROBES + 2)[1:-1]
    rates = np.array([rate_along(equation, frame, c, azimuth) for azimuth in AZIMUTHS])
    scale = GYROMAGNETIC_RATIO * (equation.largest_field() + float(np.abs(equation.tensor).max()))
    return bool(np.ptp(rates, axis=0).max() <= SYMMETRY_TOLERANCE * scale)


def potential_slope(free: Macrospin, equation: EquationOfMotion, temperature: float, c: ArrayLike) -> np.ndarray:
    """Slope dU/dc = -A/D of the effective potential of m.p, in kT; without torque U = E/kT.

    Parameters
    ----------
    free, equation
        Axially symmetric about p (`is_axially_symmetric`); elsewhere the answer is that of one azimuth.
    temperature : K, > 0
    c : any shape, |c| < 1
        m.p.

    Returns
    -------
    array of the shape of c, kT

    Raises
    ------
    InputError
        Unless temperature and alpha are positive.
    """
    diffusion = diffusion_constant(free, temperature)
    return effective_slope(equation, np.asarray(free.fixed), diffusion, np.asarray(c, dtype=float))


def diffusion_constant(free: Macrospin, temperature: float) -> float:
    """D_0 = gamma alpha kT/((1 + alpha^2) Ms Vol) in 1/s; InputError unless temperature (K) and alpha are positive."""
    require_positive("temperature", temperature)
    require_positive("alpha", free.alpha)
    return GYROMAGNETIC_RATIO * free.alpha * BOLTZMANN * temperature / ((1 + free.alpha**2) * free.moment)


def _walk(
    free: Macrospin,
    source: TorqueSource | None,
    voltage: float | Waveform | None,
    current_density: float | Waveform | None,
    temperature: float,
    initial: str,
    cells: int | None,
) -> Walk:
    """The random walk of a magnet; everything that can be wrong with it is refused here."""
    diffusion = diffusion_constant(free, temperature)
    if initial not in ("antiparallel", "parallel"):
        raise InputError(f"initial={initial!r} is no well; give 'antiparallel' or 'parallel'")
    axis = -free.initial_direction(initial)

    label, given = ("voltage", voltage) if current_density is None else ("current_density", current_density)
    drive = as_waveform(0.0 if given is None else given, label)

    def equation(level: float) -> EquationOfMotion:
        return equation_of_motion(
            free, source, None if voltage is None else level, current_density=None if current_density is None else level
        )

    for level in {0.0, *drive.extremes}:
        if not is_axially_symmetric(free, equation(level)):
            raise InputError(
                f"the motion about fixed={free.fixed!r} depends on the azimuth; Fokker-Planck needs easy axis, field "
                "and polariser along it and equal demagnetising factors across it"
            )
    if cells is None:
        c = np.linspace(-1, 1, PROBES + 2)[1:-1]
        low, high = drive.extremes
        levels = {0.0, low, high, *(x for x in drive_breaks(drive, equation).tolist() if low < x < high)}
        steepest = max(float(np.abs(effective_slope(equation(x), axis, diffusion, c)).max()) for x in levels)
        # The widest cells, pi/n in c, are at the equator.
        wanted = math.pi * steepest / STEEPEST_STEP
        cells = 2 * math.ceil(min(max(wanted, FEWEST_CELLS), MOST_CELLS) / 2)
    if not isinstance(cells, (int, np.integer)) or cells < 4 or cells % 2:
        raise InputError(f"cells={cells!r} is no grid; give an even whole number >= 4")
    return Walk(axis=axis, diffusion=diffusion, drive=drive, equation=equation, cells=cells_of_sphere(int(cells)))


def _constant_level(drive: Waveform) -> float:
    """The value of a drive; InputError for one that varies."""
    if drive.varies:
        low, high = drive.extremes
        raise InputError(
            f"the drive varies between {low:g} and {high:g}, and a rate or a mean time is one of a constant drive; "
            "use fokker_planck"
        )
    return float(drive(0.0))


def _output_times(times: ArrayLike | None, duration: float) -> np.ndarray:
    if times is None:
        return np.linspace(0, duration, OUTPUT_TIMES + 1)
    moments = np.atleast_1d(np.asarray(times, dtype=float))
    if moments.ndim != 1 or moments.size == 0 or np.any(np.diff(moments) <= 0):
        raise InputError(f"times has shape {moments.shape} or does not ascend; give a sorted list of seconds")
    if not (np.all(np.isfinite(moments)) and moments[0] >= 0 and moments[-1] <= duration):
        raise InputError(f"times run from {moments[0]:g} to {moments[-1]:g} s; keep them within 0 to {duration:g} s")
    return moments


def _propagate(
    rates_at: Callable[[float], Rates],
    p: np.ndarray,
    moments: np.ndarray,
    drive: Waveform,
    sides: tuple[slice, ...],
) -> Iterator[np.ndarray]:
    """Probabilities of the cells at each of the times `moments`, from p at time 0."""
    longest = math.inf
    if drive.amplitude:
        largest = max(abs(drive.frequency + drive.frequency_rate * t) for t in (0.0, min(moments[-1], drive.tone_end)))
        longest = 1 / (STEPS_A_PERIOD * largest) if largest else math.inf
    ends = sorted({*moments.tolist(), *(t for t in drive.kinks if 0 < t < moments[-1])} - {0.0})
    now, step = 0.0, FIRST_STEP * float(moments[-1])
    if moments[0] == 0:
        yield p
    for end in ends:
        while now < end:
            step = min(step, longest)
            taken = min(step, end - now)
            # A drive that jumps at the end of a stretch has its old value up to there.
            last = np.nextafter(end, 0.0)
            ahead, error = _extrapolated_euler(rates_at, p, now, taken, last)
            wrong = max(
                float(error[side].sum()) / max(float(np.abs(ahead[side]).sum()), SMALLEST_SHARE) for side in sides
            )
            if wrong <= STEP_TOLERANCE:
                p, now = ahead, end if taken == end - now else now + taken
            if wrong > STEP_TOLERANCE or taken == step:
                step = taken * min(5.0, max(0.2, 0.9 * (STEP_TOLERANCE / max(wrong, 1e-300)) ** (1 / ORDER)))
        if end in moments:
            yield p


def _extrapolated_euler(
    rates_at: Callable[[float], Rates], p: np.ndarray, start: float, step: float, last: float
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities after one step and an estimate of their error.

    1, 2, ... `ORDER` backward Euler steps and polynomial extrapolation (Aitken and Neville) of their results to steps
    of length 0 (P. Deuflhard, SIAM Rev. 27, 505 (1985; from memory)). Fast modes are damped out, as by backward Euler.
    """
    previous: list[np.ndarray] = []
    for substeps in range(1, ORDER + 1):
        x = p
        for i in range(1, substeps + 1):
            rates = rates_at(min(start + i * step / substeps, last))
            x = resolvent(rates.left, rates.right, rates.loss, 1.0, step / substeps, x)
        row = [x]
        for k, coarser in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (substeps / (substeps - k) - 1))
        previous = row
    return previous[-1], np.abs(previous[-1] - previous[-2])

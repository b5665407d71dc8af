r"""Lifetime of a state against thermal activation: barrier, attempt frequency, rate.

Rates follow Neel and Brown, f_0 exp(-E_b/kT) with E_b >> kT, and the prefactor f_0 is that of the magnet at hand.

Where the energy is axially symmetric about p, the saddle is a circle. Brown's asymptote of the Fokker-Planck equation
(W. F. Brown, Phys. Rev. 130, 1677 (1963)), for a well at the pole c = -1, or mirrored at c = 1, and the top of the
barrier at c_s, with U(c) = E/kT and D_0 of `qtorque.llg.fokker_planck`, is

    rate = D_0 (1 - c_s^2) |U'(-1)| sqrt(|U''(c_s)|/(2 pi)) exp(-[U(c_s) - U(-1)]).

Of the uniaxial magnet with Delta = K Vol/kT in a field h = B/B_k from the well to the other one that is
alpha gamma/(1 + alpha^2) B_k sqrt(Delta/pi) (1 - h^2)(1 - h) exp(-Delta (1 - h)^2). It exceeds the exact rate by about
1/Delta: 16 % at 8 kT, 3.5 % at 30 kT (`qtorque.llg.switching_rate` is exact). It holds at any damping. The top of the
barrier must be a parabola on the scale of kT: where the anisotropies of first and second order nearly make it flat, or
a dimple, the exact rate is another. Without torque p only tells the two poles apart, so `lifetime` uses the axis of
symmetry of the energy wherever it is.

Elsewhere wells and saddles are points. The formula of Kramers and Langer, for magnets by W. F. Brown, IEEE Trans.
Magn. 15, 1196 (1979), sums over the saddles on the rim of the well

    rate = (Omega/(2 pi)) sqrt(det H_well/|det H_saddle|) exp(-(E_saddle - E_well)/kT),

with the Hessians H of the energy over Ms Vol on the sphere (T, eigenvalues h_1, h_2) and the growth rate of the
noiseless motion at the saddle,

    Omega = gamma/(2 (1 + alpha^2)) [-alpha (h_1 + h_2) + sqrt(alpha^2 (h_1 + h_2)^2 - 4 (1 + alpha^2) h_1 h_2)].

It wants a barrier of several kT, and a saddle that is not soft: its curvature across the way, X = Ms Vol h_2/kT, must
be several too (so it does not go over into Brown's formula: it grows without bound as the magnet becomes axial).

At low damping a moment that has crossed a saddle crosses others before it is caught, and the well is depleted near its
rim: the true rate is smaller, ten times at alpha E_b = 0.1 kT. The factor of V. I. Mel'nikov and S. V. Meshkov, J.
Chem. Phys. 85, 1018 (1986), for magnets by P.-M. Dejardin et al., Phys. Rev. E 63, 021102 (2001), both from memory, is
for a saddle between wells 1 and 2

    A(S_1) A(S_2)/A(S_1 + S_2),    ln A(S) = (1/pi) int_0^oo ln(1 - exp(-S (x^2 + 1/4))) dx/(x^2 + 1/4),

S_i kT = alpha gamma Ms Vol int |B_across|^2 dt the energy lost in well i on the way from a saddle to the next at its
height, along the orbit without damping. `lifetime` has this factor, `kramers_langer_rate` has not; it is 1 at high
damping. Beside eigenvalues of the Fokker-Planck equation on the whole sphere of a biaxial magnet (dampings 0.01 to 3)
`lifetime` is, in per cent,

    barrier 5 kT:    2 to 11 high at X = 5,    8 to 12 high at X = 10
    barrier 8 kT:    5 low to 8 high at X = 5,    3 to 8 high at X = 10,    6 to 10 high at X = 20.

A softer saddle makes it err low at low damping: by 12 at X = 3.3 and by 25 to 30 at X = 1.2 to 1.7 (8 kT, damping
0.01). Below X = `SOFTEST` rates are refused.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.optimize import brentq

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.dynamics import magnet_attributes
from qtorque.llg.equation import equation_of_motion
from qtorque.llg.fokker_planck import diffusion_constant, is_axially_symmetric, potential_slope, switching_rate
from qtorque.llg.landscape import landscape
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.trajectories import SMALLEST_PROJECTION
from qtorque.spin import rotation
from qtorque.units import BOLTZMANN, GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

DIFFERENCE_STEP = 1e-5
"""Of c, in the central difference of a slope: truncation (1e-10) and rounding (1e-11) are about equal."""

POLE_DISTANCE = 1e-7
"""1 - |c| at which the slope of the potential at a pole is taken; it is smooth there."""

SOFTEST = 5.0
"""kT/rad^2, the least curvature of a well and of a saddle: fluctuations of half a radian along it, errors of 10 %."""

SCAN_POINTS = 2001
"""Values of c among which the top of the barrier of an axial magnet is sought, before it is refined."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lifetime:
    """How a state decays by thermal activation.

    barrier : J, to the lowest saddle; barrier_kT : the same over kT
    attempt_frequency : 1/s, rate exp(barrier/kT)
    rate : 1/s, out of the state
    lifetime : s, 1/rate
    formula : "Brown" or "Kramers-Langer-Mel'nikov"
    """

    barrier: float
    barrier_kT: float
    attempt_frequency: float
    rate: float
    lifetime: float
    formula: str

    def failure_probability(self, time: ArrayLike) -> np.ndarray:
        """1 - exp(-rate time): that the state is lost within a time (s)."""
        return -np.expm1(-self.rate * np.asarray(time, dtype=float))

    def time_to_failure(self, probability: ArrayLike) -> np.ndarray:
        """Time (s) within which the state is lost with a probability, 0 <= p < 1; InputError for another."""
        p = np.asarray(probability, dtype=float)
        if not np.all((p >= 0) & (p < 1)):
            wrong = p[~((p >= 0) & (p < 1))].flat[0]
            raise InputError(f"probability={wrong:g} is lost within no time; give numbers from 0 to below 1")
        return -np.log1p(-p) * self.lifetime


def lifetime(free: Macrospin, *, state: str = "antiparallel", temperature: float) -> Lifetime:
    """Barrier, attempt frequency and lifetime of a state without torque; see the module for formulas and errors.

    By Brown's formula where the energy is axially symmetric (`brown_rate`), else by that of Kramers and Langer
    (`kramers_langer_rate`) with the factor of Mel'nikov and Meshkov for low damping.

    Parameters
    ----------
    free
        The torque of a source has no part in this, so `fixed` only says which state is which.
    state : "antiparallel" or "parallel"
        The minimum nearest to -p or p.
    temperature : K, > 0

    Returns
    -------
    Lifetime

    Raises
    ------
    InputError
        For an unknown state, a state that is no point or has no barrier, alpha or temperature not positive, and where
        neither formula holds: three wells along an axis of symmetry, or a saddle or well softer than `SOFTEST`.
    """
    return _lifetimes(free, state, [temperature])[0]


def brown_rate(free: Macrospin, *, state: str = "antiparallel", temperature: float) -> float:
    """Rate out of a well over a circular barrier, by Brown's asymptote for E_b >> kT; see the module.

    Parameters
    ----------
    free
        Of axially symmetric energy. The axis need not be p, which only says which state is which.
    state : "antiparallel" or "parallel"
        The well at the pole of the axis on the side of -p or p.
    temperature : K, > 0

    Returns
    -------
    float, 1/s

    Raises
    ------
    InputError
        For a magnet that is not axially symmetric, a state that is no well or has no barrier, more wells than two,
        alpha or temperature not positive.
    """
    axial = _along_its_axis(free, _known(state))
    if axial is None:
        raise InputError("the energy of the magnet is not axially symmetric; use kramers_langer_rate")
    barrier, attempts = _brown(axial, state, temperature)
    return attempts * math.exp(-barrier / (BOLTZMANN * temperature))


def kramers_langer_rate(free: Macrospin, *, state: str = "antiparallel", temperature: float) -> float:
    """Rate out of a well over saddles that are points, for E_b >> kT and alpha E_b > kT; see the module.

    Parameters
    ----------
    free, state, temperature
        As in `lifetime`.

    Returns
    -------
    float, 1/s
        Of all saddles on the rim of the well.

    Raises
    ------
    InputError
        For rest states that are not isolated, as of an axially symmetric magnet, or softer than `SOFTEST`, for a magnet
        with one minimum, alpha or temperature not positive.
    """
    routes = _routes(free, state)
    _require_narrow(routes, free, temperature)
    return float(np.sum(routes.attempts * np.exp(-routes.barriers / (BOLTZMANN * temperature))))


def retention(
    free: Macrospin,
    *,
    state: str = "antiparallel",
    temperature: ArrayLike,
    failure_probability: float = 1e-9,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Lifetime of a state versus temperature, with the exact rate beside the asymptote where the magnet is axial.

    Parameters
    ----------
    free, state
        As in `lifetime`.
    temperature : K, a number or a list
    failure_probability
        At which `time_to_failure` is taken.
    comm, checkpoint, progress
        As in `parallel.map_chunks`.

    Returns
    -------
    Dataset
        Over temperature: barrier_kT, attempt_frequency, rate, lifetime, time_to_failure, and fokker_planck_rate, the
        `switching_rate` out of the same state; not a number where the magnet is not axially symmetric, or where that
        has no answer: beyond 700 kT, and where a well is shallower than kT. Attributes: barrier (J) and formula.

    Raises
    ------
    InputError
        As `lifetime` does, and for a probability out of range.
    """
    temperatures = np.atleast_1d(np.asarray(temperature, dtype=float))
    if temperatures.ndim != 1 or temperatures.size == 0:
        raise InputError(f"temperature has shape {temperatures.shape}; give a list of at least one number")
    if not 0 < failure_probability < 1:
        raise InputError(f"failure_probability={failure_probability!r} is out of range; give a number within 0 .. 1")
    found = _lifetimes(free, state, temperatures.tolist())
    axial = _along_its_axis(free, state)

    def work(t: float) -> np.ndarray:
        if axial is None:
            return np.array(math.nan)
        try:
            return np.array(switching_rate(axial, None, state=state, temperature=t))
        except InputError:  # All arguments have been looked at: the barrier is too high or too low.
            return np.array(math.nan)

    part = parallel.checkpoint_part(checkpoint, "retention", free, state, temperatures)
    exact = parallel.map_chunks(work, temperatures.tolist(), comm=comm, checkpoint=part, progress=progress)
    values = {
        "barrier_kT": ([x.barrier_kT for x in found], "1", "energy barrier over kT"),
        "attempt_frequency": ([x.attempt_frequency for x in found], "1/s", "attempt frequency"),
        "rate": ([x.rate for x in found], "1/s", f"rate out of the state, {found[0].formula}"),
        "lifetime": ([x.lifetime for x in found], "s", "lifetime of the state"),
        "time_to_failure": (
            [float(x.time_to_failure(failure_probability)) for x in found],
            "s", f"time to a failure probability of {failure_probability:g}",
        ),
        "fokker_planck_rate": (np.array(exact), "1/s", "rate out of the state, Fokker-Planck eigenvalue"),
    }  # fmt: skip
    return xr.Dataset(
        {name: ("temperature", x, {"units": u, "long_name": text}) for name, (x, u, text) in values.items()},
        {"temperature": ("temperature", temperatures, {"units": "K", "long_name": "temperature"})},
        attrs={
            "state": state, "barrier": found[0].barrier, "barrier_units": "J", "formula": found[0].formula,
            "failure_probability": failure_probability, **magnet_attributes(free),
        },
    )  # fmt: skip


def _lifetimes(free: Macrospin, state: str, temperatures: Sequence[float]) -> list[Lifetime]:
    """At several temperatures; the landscape is explored once."""
    axial = _along_its_axis(free, _known(state))
    if axial is not None:
        formula, found = "Brown", [_brown(axial, state, t) for t in temperatures]
    else:
        routes = _routes(free, state)
        formula, found = "Kramers-Langer-Mel'nikov", [_with_depletion(routes, free, t) for t in temperatures]
    lifetimes = []
    for (barrier, attempts), temperature in zip(found, temperatures, strict=True):
        barrier_kT = barrier / (BOLTZMANN * temperature)
        rate = attempts * math.exp(-barrier_kT)
        lifetimes.append(
            Lifetime(
                barrier=barrier,
                barrier_kT=barrier_kT,
                attempt_frequency=attempts,
                rate=rate,
                lifetime=1 / rate if rate > 0 else math.inf,
                formula=formula,
            )
        )
    return lifetimes


def _along_its_axis(free: Macrospin, state: str) -> Macrospin | None:
    """The magnet with p turned into the nearer end of the axis of symmetry of its energy; None without such an axis."""
    fixed = np.asarray(free.fixed)
    for axis in (fixed, np.asarray(free.easy_axis), *np.linalg.eigh(free.field_tensor)[1].T):
        turned = dataclasses.replace(free, fixed=axis if axis @ fixed > 0 else -axis)
        if is_axially_symmetric(turned, equation_of_motion(turned, None)):
            if abs(axis @ fixed) < SMALLEST_PROJECTION:
                raise InputError(
                    f"state={state!r} is no minimum of the energy: fixed= is across the axis of symmetry; turn fixed= "
                    "towards one end of it"
                )
            return turned
    return None


def _brown(free: Macrospin, state: str, temperature: float) -> tuple[float, float]:
    """Barrier in J and attempt frequency in 1/s of a magnet that is axially symmetric about p."""
    side = float(free.initial_direction(state) @ np.asarray(free.fixed))
    diffusion = diffusion_constant(free, temperature)
    equation = equation_of_motion(free, None)

    def climb(x: float | np.ndarray) -> np.ndarray:
        """dU/dx where x runs from -1 in the well to 1."""
        return -side * potential_slope(free, equation, temperature, -side * np.asarray(x))

    x = np.linspace(-1 + POLE_DISTANCE, 1 - POLE_DISTANCE, SCAN_POINTS)
    slopes = climb(x)
    circles = np.flatnonzero((slopes[:-1] < 0) & (slopes[1:] >= 0))
    if slopes[0] <= 0 and circles.size:
        raise InputError(
            f"state={state!r} is no minimum of the energy: the nearest one is a circle of directions at m.p = "
            f"{-side * x[circles[0]]:.3g}; if there is another beyond a barrier use switching_rate"
        )
    if slopes[0] <= 0:
        raise InputError(f"state={state!r} is no minimum of the energy; a barrier is between two minima")
    falls = np.flatnonzero(slopes < 0)
    if falls.size == 0:
        raise InputError(f"state={state!r} is the only minimum of the energy; a barrier is between two minima")
    if circles.size and slopes[-1] < 0:
        raise InputError(
            "the energy has three minima along its axis of symmetry, and Brown's formula is of two; use "
            "switching_rate, which takes a shallow one for part of the barrier, or escape_rate"
        )
    top = float(brentq(climb, x[falls[0] - 1], x[falls[0]]))
    around = np.array([top - DIFFERENCE_STEP, top + DIFFERENCE_STEP])
    curvature = abs(float(np.diff(climb(around))[0])) / (2 * DIFFERENCE_STEP)
    axis = rotation(free.fixed)
    heights = [free.energy(axis @ np.array([math.sqrt(1 - c**2), 0.0, c])) for c in (-side * top, side)]
    barrier = float(heights[0] - heights[1])
    return barrier, diffusion * (1 - top**2) * float(slopes[0]) * math.sqrt(curvature / (2 * math.pi))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Routes:
    """Ways out of a well, one over each saddle.

    barriers : (s,), J
    attempts : (s,), 1/s, of Kramers and Langer
    losses : (s, 2), J, of energy in the wells on both sides
    softest : T, the smallest curvature
    """

    barriers: np.ndarray
    attempts: np.ndarray
    losses: np.ndarray
    softest: float


def _routes(free: Macrospin, state: str) -> _Routes:
    direction = free.initial_direction(_known(state))
    require_positive("alpha", free.alpha)
    found = landscape(free)
    well = found.nearest_minimum(direction)
    rim = [s for s, (one, other) in enumerate(found.ends) if (one == well) != (other == well)]
    if found.minima[well] @ direction < SMALLEST_PROJECTION or not rim:
        raise InputError(f"state={state!r} is no minimum with a barrier around it; a barrier is between two minima")
    inside, above = found.minimum_curvatures[well], found.saddle_curvatures[rim]
    ratio = np.sqrt(inside.prod() / np.abs(above.prod(axis=1)))
    return _Routes(
        barriers=found.saddle_energies[rim] - found.minimum_energies[well],
        attempts=_growth(above, free.alpha) / (2 * math.pi) * ratio,
        losses=free.alpha * found.losses[rim],
        softest=min(float(np.abs(above).min()), float(inside.min())),
    )


def _require_narrow(routes: _Routes, free: Macrospin, temperature: float) -> None:
    """InputError where m fluctuates too much for energies of second order."""
    require_positive("temperature", temperature)
    stiffness = routes.softest * free.moment / (BOLTZMANN * temperature)
    if stiffness < SOFTEST:
        raise InputError(
            f"temperature={temperature:g} K is too high for the softest curvature, {routes.softest:.3g} T or "
            f"{stiffness:.2g} kT where {SOFTEST:g} are needed; lower it, or make the magnet axially symmetric"
        )


def _with_depletion(routes: _Routes, free: Macrospin, temperature: float) -> tuple[float, float]:
    """Barrier in J, to the lowest saddle on the rim of the well, and rate exp(barrier/kT) in 1/s."""
    _require_narrow(routes, free, temperature)
    thermal = BOLTZMANN * temperature
    lowest = float(routes.barriers.min())
    factors = [
        math.exp(_log_depletion(one) + _log_depletion(other) - _log_depletion(one + other))
        for one, other in (routes.losses / thermal).tolist()
    ]
    return lowest, float(np.sum(routes.attempts * factors * np.exp((lowest - routes.barriers) / thermal)))


def _log_depletion(loss: float) -> float:
    """ln A of Mel'nikov and Meshkov at an energy loss in kT; x = tan(u)/2 makes the range finite."""
    return 2 / math.pi * quad(lambda u: math.log(-math.expm1(-loss / (4 * math.cos(u) ** 2))), 0, math.pi / 2)[0]


def _growth(curvatures: np.ndarray, alpha: float) -> np.ndarray:
    """Omega (1/s) at saddles with Hessians of eigenvalues (..., 2) in T."""
    total, product = alpha * curvatures.sum(axis=-1), (1 + alpha**2) * curvatures.prod(axis=-1)
    return GYROMAGNETIC_RATIO / (2 * (1 + alpha**2)) * (-total + np.sqrt(total**2 - 4 * product))


def _known(state: str) -> str:
    if state not in ("parallel", "antiparallel"):
        raise InputError(f"state={state!r} is unknown; give 'parallel' or 'antiparallel'")
    return state

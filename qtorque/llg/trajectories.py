"""What all ensembles of trajectories share: drives, addresses of random numbers, beginnings, counts and intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import Waveform, as_waveform
from qtorque.llg.dynamics import Moments, number_of_steps
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.stability import growth_rate
from qtorque.units import GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

CHUNK_TRAJECTORIES = 256
"""Trajectories of a chunk of work. Never a function of the number of ranks: sums run over chunks in order."""

THERMALISATION_TIMES = 5.0
"""Default thermalisation in relaxation times: fluctuations are then off their equilibrium by exp(-10)."""

SLOWEST_SHARE = 1e-3
"""Of the fastest relaxation: a slower one is a direction without a barrier, along which nothing thermalises in time."""

NORMAL_QUANTILE_95 = 1.959963984540054
"""A normal number is within +- this with probability 0.95."""

SMALLEST_PROJECTION = 1e-6
"""|m.p| of an initial direction below which its sign, by which switching is counted, is an accident of rounding."""

Drives = float | Waveform | Sequence[float | Waveform] | np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Beginning:
    """What all trajectories have in common before their drive.

    start : (3,), direction `initial`
    fixed : (3,), p
    side : m.p at the start
    at_rest : equation of motion without drive, None where nothing is thermalised
    thermalisation : s
    """

    start: np.ndarray
    fixed: np.ndarray
    side: float
    at_rest: EquationOfMotion | None
    thermalisation: float

    def not_switched(self, m: np.ndarray) -> np.ndarray:
        """Whether m.p has the initial sign, or none: (..., 3) -> (...)."""
        return m @ self.fixed * self.side >= 0

    def all_equations(self, driven: Sequence[EquationOfMotion]) -> list[EquationOfMotion]:
        """The equations under which trajectories go: without drive, if they thermalise, and the driven ones."""
        return [*([] if self.at_rest is None else [self.at_rest]), *driven]

    def moments(self, driven: EquationOfMotion, dt: float, streams: np.ndarray, *, watch: bool = False) -> Moments:
        """Moments at time 0 of their drive, one for each stream; a watch is for m.p of another sign than initially."""
        m = np.tile(self.start, (streams.shape[0], 1))
        first = driven if self.at_rest is None else self.at_rest
        moments = Moments(first, m, dt, streams=streams, watch=self.fixed if watch else None)
        if self.at_rest is not None:
            moments.advance(number_of_steps(self.thermalisation, dt))
            moments.set_equations([driven])
        return moments


def as_drives(voltage: Drives | None, current_density: Drives | None) -> tuple[str, list[Waveform]]:
    """Name of the drive, and its list; InputError unless just one is given."""
    if (voltage is None) == (current_density is None):
        raise InputError("give voltage= (V) or current_density= (A/m^2), one of the two")
    label = "voltage" if current_density is None else "current_density"
    given: Any = voltage if current_density is None else current_density
    if isinstance(given, Waveform) or np.ndim(given) == 0:
        return label, [as_waveform(given, label)]
    if np.ndim(given) > 1 or len(given) == 0:
        raise InputError(f"{label} has shape {np.shape(given)}; give a list of at least one number")
    return label, [as_waveform(one.item() if isinstance(one, np.generic) else one, label) for one in given]


def drive_coordinate(label: str, drives: Sequence[Waveform]) -> tuple[str, list[float], dict[str, str]]:
    """The coordinate of a list of drives: their peaks."""
    units = {"voltage": "V", "current_density": "A m^-2"}[label]
    return label, [drive.peak for drive in drives], {"units": units, "long_name": label.replace("_", " ")}


def driven_equation(
    free: Macrospin, source: TorqueSource | None, label: str, drive: Waveform, **named: Any
) -> EquationOfMotion:
    """`equation_of_motion` under a drive that is named "voltage" or "current_density"."""
    named[label] = drive
    return equation_of_motion(free, source, **named)


def common_beginning(
    free: Macrospin,
    source: TorqueSource | None,
    initial: str | ArrayLike,
    temperature: float,
    thermalisation: float | None,
) -> Beginning:
    """InputError for an initial direction across p, and for a thermalisation out of range."""
    start = free.initial_direction(initial)
    side = require_side(free, initial)
    if thermalisation is None:
        thermalisation = thermalisation_time(free, source, start) if temperature > 0 else 0.0
    if not 0 <= thermalisation < math.inf:
        raise InputError(f"thermalisation={thermalisation!r} is out of range; give seconds >= 0")
    at_rest = equation_of_motion(free, source, temperature=temperature) if thermalisation > 0 else None
    return Beginning(
        start=start, fixed=np.array(free.fixed), side=side, at_rest=at_rest, thermalisation=float(thermalisation)
    )


def thermalisation_time(free: Macrospin, source: TorqueSource | None, start: np.ndarray) -> float:
    """The default of `ensemble`, s: deviations from the rest state near `start` without drive are down by exp(-5)."""
    state = "parallel" if start @ np.asarray(free.fixed) > 0 else "antiparallel"
    if free.alpha == 0:
        raise InputError(
            "alpha=0 damps no deviation, so thermalisation has no default; give thermalisation= in seconds"
        )
    try:
        rate = -growth_rate(free, source, state=state).real
    except InputError as error:
        raise InputError(f"thermalisation has no default ({error}); give thermalisation= in seconds") from None
    # Without a barrier there is no rest state to come to; the fastest relaxation is then the only time there is.
    fastest = free.alpha * GYROMAGNETIC_RATIO * max(free.stiffness, float(np.linalg.norm(free.constant_field)))
    if max(rate, fastest) <= 0:
        raise InputError("thermalisation has no default without a field; give thermalisation= in seconds")
    return THERMALISATION_TIMES / (rate if rate > SLOWEST_SHARE * fastest else fastest)


def require_side(free: Macrospin, initial: str | ArrayLike) -> float:
    """m.p of the initial direction; InputError where it has no sign that could change."""
    side = float(free.initial_direction(initial) @ np.asarray(free.fixed))
    if abs(side) < SMALLEST_PROJECTION:
        raise InputError(f"initial={initial!r} is across p, so m.p has no sign to switch; give another direction")
    return side


def addresses(seed: int, point: int, first: int, stop: int) -> np.ndarray:
    """Where the random numbers of some trajectories of a point begin, (stop - first, 3)."""
    found = np.empty((stop - first, 3), dtype=np.uint64)
    found[:, 0], found[:, 1], found[:, 2] = seed, point, np.arange(first, stop)
    return found


def totals_over_trajectories(
    work: Callable[[int, int, int], np.ndarray],
    points: int,
    trajectories: int,
    numbers: int,
    comm: Intracomm | None,
    checkpoint: parallel.Checkpoint | None,
    progress: str | None,
) -> np.ndarray:
    """Sums of work(point, first, stop) -> counts over the trajectories of every point, (points, numbers)."""
    shares = -(-trajectories // CHUNK_TRAJECTORIES)
    totals = np.zeros((points, numbers), dtype=np.int64)
    received = 0

    def count(chunk: int) -> np.ndarray:
        point, share = divmod(chunk, shares)
        first = share * CHUNK_TRAJECTORIES
        return work(point, first, min(first + CHUNK_TRAJECTORIES, trajectories))

    def add(counts: np.ndarray) -> None:
        nonlocal received
        totals[received // shares] += counts
        received += 1

    parallel.each_chunk(count, range(points * shares), add, comm, checkpoint, progress)
    return totals if comm is None else comm.bcast(totals)


def switching_variables(dims: tuple[str, ...], switched: ArrayLike, trajectories: int) -> dict[str, tuple]:
    """Variables of the share of trajectories that switched, and of its 95 % interval."""
    switched = np.asarray(switched)
    return {
        "switching_probability": (
            dims, switched / trajectories,
            {"units": "1", "long_name": "share of trajectories whose m.p changed sign"},
        ),
        "switching_probability_interval": (
            (*dims, "bound"), wilson_interval(switched, trajectories),
            {"units": "1", "long_name": "95 % Wilson interval of the switching probability"},
        ),
    }  # fmt: skip


def wilson_interval(successes: ArrayLike, trials: int) -> np.ndarray:
    """95 % confidence interval of a probability, (...) -> (..., 2); E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).

    Unlike the normal approximation it has the right width near 0 and 1, where most voltages are.
    """
    successes = np.asarray(successes, dtype=float)
    z2 = NORMAL_QUANTILE_95**2
    centre = (successes + z2 / 2) / (trials + z2)
    half_width = np.sqrt(z2 * (successes * (trials - successes) / trials + z2 / 4)) / (trials + z2)
    # The interval of none or all ends at 0 or 1 exactly; rounding must not carry it beyond.
    return np.clip(np.stack([centre - half_width, centre + half_width], axis=-1), 0.0, 1.0)

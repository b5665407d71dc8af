"""Ensembles of thermal trajectories: switching probability against voltage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import FieldDrive, Waveform, as_waveform
from qtorque.llg.dynamics import (
    Moments,
    number_of_steps,
    output_steps,
    require_count,
    require_fine_step,
    require_seed,
    run_attributes,
    time_coordinate,
)
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.stability import growth_rate
from qtorque.units import GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

CHUNK_TRAJECTORIES = 256
"""Trajectories of a chunk of work. Never a function of the number of ranks: sums run over chunks in order."""

OUTPUT_TIMES = 200
"""Number of times after 0 at which the mean moment is recorded."""

THERMALISATION_TIMES = 5.0
"""Default thermalisation in relaxation times: fluctuations are then off their equilibrium by exp(-10)."""

SLOWEST_SHARE = 1e-3
"""Of the fastest relaxation: a slower one is a direction without a barrier, along which nothing thermalises in time."""

NORMAL_QUANTILE_95 = 1.959963984540054
"""A normal number is within +- this with probability 0.95."""

Drives = float | Waveform | Sequence[float | Waveform] | np.ndarray

SMALLEST_PROJECTION = 1e-6
"""|m.p| of an initial direction below which its sign, by which switching is counted, is an accident of rounding."""


def ensemble(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: Drives | None = None,
    current_density: Drives | None = None,
    field: FieldDrive | None = None,
    initial: str | ArrayLike = "antiparallel",
    trajectories: int,
    duration: float,
    dt: float,
    temperature: float = 0.0,
    seed: int = 0,
    thermalisation: float | None = None,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Independent trajectories at each voltage, with the share of them that switched.

    Trajectory i at voltage number j has its own random numbers, addressed by (seed, j, i): the same in an ensemble of
    any size and on any number of ranks, different at every voltage. At 0 K all trajectories of a voltage are the same,
    and a moment that starts along an axis of symmetry stays there.

    Parameters
    ----------
    free, source
        The free layer, and the torque on it: a torque map, a closed form, or None.
    voltage, current_density : V or A/m^2, one of the two
        A number, a `Waveform`, or a list of them. The result is labelled by the peak of a waveform.
    field : FieldDrive
        A field that changes with time, from time 0.
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
    trajectories : at each voltage
    duration, dt : s
    temperature : K
    seed
        Whole number >= 0.
    thermalisation : s
        Time without drive from `initial` before the voltage is set at time 0; 0 for none. By default, at T > 0,
        `THERMALISATION_TIMES` times the relaxation time of the slowest mode of the rest state without drive
        (`growth_rate`); at T = 0 none.
    comm
        MPI communicator, collective on it; None is serial.
    checkpoint, progress
        As in `parallel.map_chunks`.

    Returns
    -------
    Dataset
        switching_probability (voltage): the share of trajectories whose m.p has, at the end, the other sign than in the
        direction `initial`. switching_probability_interval (voltage, bound): its 95 % Wilson interval. m_mean
        (voltage, time, xyz): mean moment. m_final (voltage, trajectory, xyz). The dimension is current_density where
        that is the drive.

    Raises
    ------
    InputError
        Before any step, for a value out of range, a voltage outside the map (V = 0 too where there is thermalisation),
        a map that does not cover 0 to pi, a dt too long for the precession, an initial direction across p.
    """
    label, drives = as_drives(voltage, current_density)
    steps = number_of_steps(duration, dt)
    recorded = output_steps(steps, OUTPUT_TIMES)
    require_count("trajectories", trajectories)
    require_seed(seed)
    common: dict[str, Any] = {"field": field, "temperature": temperature}
    equations = [equation_of_motion(free, source, **(common | {label: drive})) for drive in drives]
    start = free.initial_direction(initial)
    if thermalisation is None:
        thermalisation = thermalisation_time(free, source, start) if temperature > 0 else 0.0
    if not 0 <= thermalisation < math.inf:
        raise InputError(f"thermalisation={thermalisation!r} is out of range; give seconds >= 0")
    side = require_side(free, initial)
    at_rest = equation_of_motion(free, source, temperature=temperature) if thermalisation > 0 else None
    for equation in equations if at_rest is None else [at_rest, *equations]:
        require_fine_step(equation, dt)

    def work(chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the moments at the recorded times (time, xyz), and each one's last (trajectory, xyz)."""
        point, first = chunk
        streams = addresses(seed, point, first, min(first + CHUNK_TRAJECTORIES, trajectories))
        moments = thermalised(at_rest, equations[point], start, thermalisation, dt, streams)
        before = moments.m.sum(axis=0, keepdims=True)
        after = moments.advance(steps, sample_steps=recorded[1:])
        return np.concatenate([before, after.sum(axis=1)]), moments.m

    firsts = range(0, trajectories, CHUNK_TRAJECTORIES)
    chunks = [(point, first) for point in range(len(drives)) for first in firsts]
    times = (dt, steps, thermalisation)
    part = parallel.checkpoint_part(checkpoint, "ensemble", equations, at_rest, start, trajectories, times, seed)
    results = parallel.map_chunks(work, chunks, comm=comm, checkpoint=part, progress=progress)
    by_voltage = [results[i : i + len(firsts)] for i in range(0, len(results), len(firsts))]
    m_mean = np.array([parallel.sum_in_order([total for total, _ in share]) for share in by_voltage]) / trajectories
    m_final = np.array([np.concatenate([last for _, last in share]) for share in by_voltage])
    switched = np.count_nonzero((m_final @ np.asarray(free.fixed)) * side < 0, axis=1)

    return xr.Dataset(
        {
            **switching_variables((label,), switched, trajectories),
            "m_mean": ((label, "time", "xyz"), m_mean, {"units": "1", "long_name": "mean free moment"}),
            "m_final": ((label, "trajectory", "xyz"), m_final, {"units": "1", "long_name": "last free moment"}),
        },
        {
            label: drive_coordinate(label, drives),
            "time": time_coordinate(recorded * dt),
            "bound": ["lower", "upper"],
            "xyz": ["x", "y", "z"],
        },
        attrs={
            "trajectories": trajectories,
            "thermalisation": thermalisation,
            "dt": dt,
            **run_attributes(free, initial, temperature, seed),
        },
    )


def as_drives(voltage: Drives | None, current_density: Drives | None) -> tuple[str, list[Waveform]]:
    """Name of the drive, and its list; InputError unless just one is given."""
    if (voltage is None) == (current_density is None):
        raise InputError("give voltage= (V) or current_density= (A/m^2), one of the two")
    label = "voltage" if current_density is None else "current_density"
    given: Any = voltage if current_density is None else current_density
    if isinstance(given, Waveform) or np.ndim(given) == 0:
        return label, [as_waveform(given)]
    if np.ndim(given) > 1 or len(given) == 0:
        raise InputError(f"{label} has shape {np.shape(given)}; give a list of at least one number")
    return label, [as_waveform(one if isinstance(one, Waveform) else float(one)) for one in given]


def drive_coordinate(label: str, drives: Sequence[Waveform]) -> tuple[str, list[float], dict[str, str]]:
    """The coordinate of a list of drives: their peaks."""
    units = {"voltage": "V", "current_density": "A m^-2"}[label]
    return label, [drive.peak for drive in drives], {"units": units, "long_name": label.replace("_", " ")}


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


def thermalised(
    at_rest: EquationOfMotion | None,
    driven: EquationOfMotion,
    start: np.ndarray,
    thermalisation: float,
    dt: float,
    streams: np.ndarray,
    watch: ArrayLike | None = None,
) -> Moments:
    """Moments at time 0 of their drive, one for each stream; after a time (s) without drive if `at_rest` is given."""
    m = np.tile(start, (streams.shape[0], 1))
    moments = Moments(driven if at_rest is None else at_rest, m, dt, streams=streams, watch=watch)
    if at_rest is not None:
        moments.advance(number_of_steps(thermalisation, dt))
        moments.set_equations([driven])
    return moments


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

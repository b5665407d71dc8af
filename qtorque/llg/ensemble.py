"""Ensembles of thermal trajectories: switching probability against voltage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.dynamics import (
    equation_of_motion,
    normal_numbers,
    number_of_steps,
    output_steps,
    require_count,
    require_fine_step,
    require_seed,
    run_attributes,
    thermal_field,
    time_coordinate,
)
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.stability import growth_rate
from qtorque.torquemap import TorqueMap
from qtorque.units import GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

CHUNK_TRAJECTORIES = 64
"""Trajectories of a chunk of work. Never a function of the number of ranks: sums run over chunks in order."""

OUTPUT_TIMES = 200
"""Number of times after 0 at which the mean moment is recorded."""

THERMALISATION_TIMES = 5.0
"""Default thermalisation in relaxation times: fluctuations are then off their equilibrium by exp(-10)."""

SLOWEST_SHARE = 1e-3
"""Of the fastest relaxation: a slower one is a direction without a barrier, along which nothing thermalises in time."""

NORMAL_QUANTILE_95 = 1.959963984540054
"""A normal number is within +- this with probability 0.95."""

SMALLEST_PROJECTION = 1e-6
"""|m.p| of an initial direction below which its sign, by which switching is counted, is an accident of rounding."""


def ensemble(
    free: Macrospin,
    tmap: TorqueMap | None,
    *,
    voltage: ArrayLike,
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
    free, tmap
        The free layer, and the torque on it; None is no torque.
    voltage : V, a number or a list
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
    trajectories : at each voltage
    duration, dt : s
    temperature : K
    seed
        Whole number >= 0.
    thermalisation : s
        Time at V = 0 from `initial` before the voltage is set at time 0; 0 for none. By default, at T > 0,
        `THERMALISATION_TIMES` times the relaxation time of the slowest mode of the rest state at V = 0
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
        (voltage, time, xyz): mean moment. m_final (voltage, trajectory, xyz).

    Raises
    ------
    InputError
        Before any step, for a value out of range, a voltage outside the map (V = 0 too where there is thermalisation),
        a map that does not cover 0 to pi, a dt too long for the precession, an initial direction across p.
    """
    voltages = np.atleast_1d(np.asarray(voltage, dtype=float))
    if voltages.ndim != 1 or voltages.size == 0:
        raise InputError(f"voltage has shape {voltages.shape}; give a list of at least one number")
    steps = number_of_steps(duration, dt)
    recorded = output_steps(steps, OUTPUT_TIMES)
    require_count("trajectories", trajectories)
    require_seed(seed)
    fluctuation = thermal_field(free, temperature, dt)
    if thermalisation is None:
        thermalisation = _thermalisation_time(free, tmap, free.initial_direction(initial)) if temperature > 0 else 0.0
    if not 0 <= thermalisation < math.inf:
        raise InputError(f"thermalisation={thermalisation!r} is out of range; give seconds >= 0")
    start = free.initial_direction(initial)
    side = float(start @ np.asarray(free.fixed))
    if abs(side) < SMALLEST_PROJECTION:
        raise InputError(f"initial={initial!r} is across p, so m.p has no sign to switch; give another direction")
    equations = [equation_of_motion(free, tmap, v) for v in voltages]
    at_rest = equation_of_motion(free, tmap, 0.0) if thermalisation > 0 else None
    for equation in equations if at_rest is None else [at_rest, *equations]:
        require_fine_step(equation, dt)

    def work(chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the moments at the recorded times (time, xyz), and each one's last (trajectory, xyz)."""
        point, first = chunk
        indices = range(first, min(first + CHUNK_TRAJECTORIES, trajectories))
        generators = [normal_numbers(seed, point, i) for i in indices] if fluctuation else []
        m = np.tile(start, (len(indices), 1))
        if at_rest is not None:
            before_zero = number_of_steps(thermalisation, dt)
            at_rest.advance(m, before_zero, dt, thermal_field=fluctuation, generators=generators)
        before = m.sum(axis=0, keepdims=True)
        after = equations[point].advance(
            m, steps, dt, sample_steps=recorded[1:], thermal_field=fluctuation, generators=generators
        )
        return np.concatenate([before, after.sum(axis=1)]), m

    firsts = range(0, trajectories, CHUNK_TRAJECTORIES)
    chunks = [(point, first) for point in range(voltages.size) for first in firsts]
    times = (dt, steps, thermalisation)
    part = parallel.checkpoint_part(
        checkpoint, "ensemble", equations, at_rest, start, trajectories, times, fluctuation, seed
    )
    results = parallel.map_chunks(work, chunks, comm=comm, checkpoint=part, progress=progress)
    by_voltage = [results[i : i + len(firsts)] for i in range(0, len(results), len(firsts))]
    m_mean = np.array([parallel.sum_in_order([total for total, _ in share]) for share in by_voltage]) / trajectories
    m_final = np.array([np.concatenate([last for _, last in share]) for share in by_voltage])
    switched = np.count_nonzero((m_final @ np.asarray(free.fixed)) * side < 0, axis=1)

    return xr.Dataset(
        {
            "switching_probability": (
                "voltage", switched / trajectories,
                {"units": "1", "long_name": "share of trajectories whose m.p changed sign"},
            ),
            "switching_probability_interval": (
                ("voltage", "bound"), wilson_interval(switched, trajectories),
                {"units": "1", "long_name": "95 % Wilson interval of the switching probability"},
            ),
            "m_mean": (("voltage", "time", "xyz"), m_mean, {"units": "1", "long_name": "mean free moment"}),
            "m_final": (("voltage", "trajectory", "xyz"), m_final, {"units": "1", "long_name": "last free moment"}),
        },
        {
            "voltage": ("voltage", voltages, {"units": "V", "long_name": "voltage"}),
            "time": time_coordinate(recorded, dt),
            "bound": ["lower", "upper"],
            "xyz": ["x", "y", "z"],
        },
        attrs={
            "trajectories": trajectories,
            "thermalisation": thermalisation,
            **run_attributes(free, initial, dt, temperature, seed),
        },
    )  # fmt: skip


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


def _thermalisation_time(free: Macrospin, tmap: TorqueMap | None, start: np.ndarray) -> float:
    """The default of `ensemble`, s: deviations from the rest state of V = 0 near `start` have decayed by exp(-5)."""
    state = "parallel" if start @ np.asarray(free.fixed) > 0 else "antiparallel"
    if free.alpha == 0:
        raise InputError(
            "alpha=0 damps no deviation, so thermalisation has no default; give thermalisation= in seconds"
        )
    try:
        rate = -growth_rate(free, tmap, 0.0, state).real
    except InputError as error:
        raise InputError(f"thermalisation has no default ({error}); give thermalisation= in seconds") from None
    # Without a barrier there is no rest state to come to; the fastest relaxation is then the only time there is.
    fastest = free.alpha * GYROMAGNETIC_RATIO * max(free.stiffness, float(np.linalg.norm(free.field)))
    if max(rate, fastest) <= 0:
        raise InputError("thermalisation has no default without a field; give thermalisation= in seconds")
    return THERMALISATION_TIMES / (rate if rate > SLOWEST_SHARE * fastest else fastest)

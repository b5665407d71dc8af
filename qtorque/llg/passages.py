"""When trajectories switch: times of first passage and share of the other state versus time, by counting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import FieldDrive
from qtorque.llg.dynamics import (
    drive_attributes,
    number_of_steps,
    output_steps,
    require_count,
    require_fine_step,
    require_seed,
    run_attributes,
    source_attributes,
    time_coordinate,
)
from qtorque.llg.equation import TorqueSource
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.trajectories import (
    Drives,
    addresses,
    as_drives,
    common_beginning,
    drive_coordinate,
    driven_equation,
    totals_over_trajectories,
    wilson_interval,
)

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

OUTPUT_TIMES = 200
"""Number of times after 0 at which trajectories are counted, unless times are given."""

SQUARES_UNIT = 2**32
"""Squares of steps are summed as a multiple of this and a rest: one 64-bit integer overflows at 10^5 passages after
10^7 steps, these two at 10^9."""

PHYSICS = ("free_", "map_", "torque", "drive", "field_drive", "temperature", "initial", "thermalisation")
"""How attributes begin in which two results must agree to be of the same process, whatever their step."""


def switching_times(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: Drives | None = None,
    current_density: Drives | None = None,
    field: FieldDrive | None = None,
    initial: str | ArrayLike = "antiparallel",
    trajectories: int,
    duration: float,
    times: ArrayLike | None = None,
    dt: float,
    temperature: float = 0.0,
    seed: int = 0,
    thermalisation: float | None = None,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Distribution of the times when m.p first is 0, and the share with m.p of the other sign, versus time.

    A trajectory in steps misses passages between two steps, as if the threshold lay 0.58 standard deviations of a step
    beyond 0 (M. Broadie, P. Glasserman and S. Kou, Math. Finance 7, 325 (1997); from memory): first passages come late
    by a term in sqrt(dt), which `extrapolated_passages` removes. The share with the other sign has an error in dt only.

    Parameters
    ----------
    free, source, voltage, current_density, field, initial, trajectories, duration, dt, temperature, seed
    thermalisation, comm, checkpoint, progress
        As in `ensemble`, whose trajectories they are.
    times : s, ascending within 0 .. duration
        At which trajectories are counted, rounded to whole steps; by default `OUTPUT_TIMES` evenly spread ones and 0.

    Returns
    -------
    Dataset
        Over (voltage or current_density, time), names as in `fokker_planck`: switched, the share with m.p of the other
        sign; survival, the share whose m.p has never had it; both with 95 % Wilson intervals, <name>_interval. Over
        the drive: passed, the share that has by the end; mean_switching_time and its standard error
        mean_switching_time_error (s), NaN where some have not, since the mean of those that have would be too short;
        median_switching_time (s), on a straight line between two times, NaN where fewer than half have.

    Raises
    ------
    InputError
        As `ensemble`, and for times out of range.
    """
    label, drives = as_drives(voltage, current_density)
    steps = number_of_steps(duration, dt)
    recorded = output_steps(steps, OUTPUT_TIMES) if times is None else _steps_of(times, duration, dt)
    require_count("trajectories", trajectories)
    require_seed(seed)
    equations = [driven_equation(free, source, label, one, field=field, temperature=temperature) for one in drives]
    beginning = common_beginning(free, source, initial, temperature, thermalisation)
    for equation in beginning.all_equations(equations):
        require_fine_step(equation, dt)

    def work(point: int, first: int, stop: int) -> np.ndarray:
        """Switched and surviving at each time; how many have passed, and their `power_sums`."""
        moments = beginning.moments(equations[point], dt, addresses(seed, point, first, stop), watch=True)
        m = moments.m
        path = moments.advance(steps, sample_steps=recorded[recorded > 0])
        if recorded[0] == 0:
            path = np.concatenate([m[np.newaxis], path])
        passage = np.where(beginning.not_switched(m), moments.crossed, 0)
        passed = passage[passage >= 0]
        surviving = (passage < 0) | (passage > recorded[:, np.newaxis])
        switched = ~beginning.not_switched(path)
        return np.concatenate([switched.sum(axis=1), surviving.sum(axis=1), [passed.size], power_sums(passed)])

    part = parallel.checkpoint_part(
        checkpoint, "switching_times", equations, beginning, recorded, steps, dt, trajectories, seed
    )
    totals = totals_over_trajectories(work, len(drives), trajectories, 2 * recorded.size + 4, comm, part, progress)
    switched, surviving = totals[:, : recorded.size], totals[:, recorded.size : -4]
    passed = totals[:, -4].astype(float)
    all_passed = passed == trajectories
    mean, variance = np.where(all_passed, mean_and_variance(totals[:, -3:], trajectories), np.nan)
    clock = recorded * dt
    survival = surviving / trajectories
    dims = (label, "time")

    def over_drive(values: np.ndarray, units: str, long_name: str) -> tuple[str, np.ndarray, dict[str, str]]:
        return label, values, {"units": units, "long_name": long_name}

    return xr.Dataset(
        {
            "switched": (
                dims, switched / trajectories, {"units": "1", "long_name": "share with m.p of the other sign"},
            ),
            "switched_interval": (
                (*dims, "bound"), wilson_interval(switched, trajectories),
                {"units": "1", "long_name": "95 % Wilson interval of the share with m.p of the other sign"},
            ),
            "survival": (dims, survival, {"units": "1", "long_name": "share whose m.p has never reached 0"}),
            "survival_interval": (
                (*dims, "bound"), wilson_interval(surviving, trajectories),
                {"units": "1", "long_name": "95 % Wilson interval of the share whose m.p has never reached 0"},
            ),
            "passed": over_drive(passed / trajectories, "1", "share whose m.p has reached 0 by the end"),
            "mean_switching_time": over_drive(mean * dt, "s", "mean time until m.p first is 0"),
            "mean_switching_time_error": over_drive(
                np.sqrt(variance / trajectories) * dt, "s", "standard error of the mean time until m.p first is 0"
            ),
            "median_switching_time": over_drive(
                np.array([_first_below(0.5, clock, one) for one in survival]), "s", "median time until m.p first is 0"
            ),
        },
        {
            label: drive_coordinate(label, drives),
            "time": time_coordinate(clock),
            "bound": ["lower", "upper"],
        },
        attrs={
            "trajectories": trajectories, "dt": dt, "duration": float(duration),
            "thermalisation": beginning.thermalisation, **drive_attributes(drives, field), **source_attributes(source),
            **run_attributes(free, initial, temperature, seed),
        },
    )  # fmt: skip


def extrapolated_passages(coarse: xr.Dataset, fine: xr.Dataset) -> xr.Dataset:
    """First passages of continuous time from two results of `switching_times` with steps dt and dt/4, or any two.

    A straight line in sqrt(dt) through survival and mean_switching_time is followed to dt = 0. What is left is of the
    order dt. The two must have different seeds: the intervals take them for independent.

    Returns
    -------
    Dataset
        survival, within 0 .. 1, with its 95 % interval survival_interval; mean_switching_time and its standard error
        mean_switching_time_error. Each half of the interval is the root of the sum of squares of the two halves of
        Wilson intervals that count to this side (R. G. Newcombe, Stat. Med. 17, 873 (1998); from memory), so it has a
        width where all or none have passed too.

    Raises
    ------
    InputError
        Where drives, times, magnet, torque, temperature or beginning of the two differ, their seed does not, or the
        second has not the smaller step.
    """
    if not fine.attrs["dt"] < coarse.attrs["dt"]:
        raise InputError(f"fine has dt={fine.attrs['dt']!r} s, not less than coarse; give the smaller step second")
    same = coarse["survival"].dims == fine["survival"].dims and coarse["survival"].shape == fine["survival"].shape
    if not same or any(not np.allclose(coarse[dim], fine[dim], rtol=1e-9, atol=0) for dim in fine["survival"].dims):
        raise InputError("coarse and fine have other drives or times; give times that are whole steps of both")
    for name in sorted({name for d in (coarse, fine) for name in d.attrs if name.startswith(PHYSICS)}):
        first, second = (d.attrs.get(name, "not there") for d in (coarse, fine))
        if not np.array_equal(np.atleast_1d(first), np.atleast_1d(second)):
            raise InputError(f"{name} is {first!r} in coarse and {second!r} in fine; give other dt and seed alone")
    if coarse.attrs["seed"] == fine.attrs["seed"]:
        raise InputError(f"seed={fine.attrs['seed']!r} in both, so they are not independent; compute one with another")
    weight = 1 / (math.sqrt(coarse.attrs["dt"] / fine.attrs["dt"]) - 1)

    def at_zero(name: str) -> np.ndarray:
        return (1 + weight) * fine[name].values - weight * coarse[name].values

    def combined(fine_error: np.ndarray, coarse_error: np.ndarray) -> np.ndarray:
        return np.hypot((1 + weight) * fine_error, weight * coarse_error)

    def halves(d: xr.Dataset) -> np.ndarray:
        return np.abs(d["survival_interval"].values - d["survival"].values[..., np.newaxis])

    survival = np.clip(at_zero("survival"), 0.0, 1.0)
    # What lowers the result is less survival in the fine steps and more in the coarse ones, whose weight is negative.
    down, up = np.moveaxis(combined(halves(fine), halves(coarse)[..., ::-1]), -1, 0)
    mean_error = combined(fine["mean_switching_time_error"].values, coarse["mean_switching_time_error"].values)
    values = {
        "survival": survival,
        "survival_interval": np.clip(np.stack([survival - down, survival + up], axis=-1), 0.0, 1.0),
        "mean_switching_time": at_zero("mean_switching_time"),
        "mean_switching_time_error": mean_error,
    }
    variables = {name: (fine[name].dims, value, fine[name].attrs) for name, value in values.items()}
    attributes = {name: value for name, value in fine.attrs.items() if name not in ("dt", "seed")}
    steps = {"coarse_dt": coarse.attrs["dt"], "fine_dt": fine.attrs["dt"]}
    return xr.Dataset(variables, fine.coords, attrs={**attributes, **steps})


def power_sums(steps: np.ndarray) -> np.ndarray:
    """Sum of whole numbers, and of their squares as a multiple of `SQUARES_UNIT` and a rest, (n,) -> (3,)."""
    multiples, rests = np.divmod(steps**2, SQUARES_UNIT)
    return np.array([steps.sum(), multiples.sum(), rests.sum()])


def mean_and_variance(sums: np.ndarray, count: int) -> np.ndarray:
    """Of numbers whose `power_sums` are given, (..., 3) -> (2, ...)."""
    first, multiples, rests = np.moveaxis(sums.astype(float), -1, 0)
    mean = first / count
    return np.stack([mean, np.maximum((multiples * SQUARES_UNIT + rests) / count - mean**2, 0.0)])


def _steps_of(times: ArrayLike, duration: float, dt: float) -> np.ndarray:
    """Different steps nearest to given times, ascending; InputError for times out of range."""
    seconds = np.atleast_1d(np.asarray(times, dtype=float))
    if seconds.ndim != 1 or seconds.size == 0 or np.any(np.diff(seconds) <= 0):
        raise InputError(f"times has shape {seconds.shape} or does not ascend; give a sorted list of seconds")
    if not (seconds[0] >= 0 and seconds[-1] <= duration):
        raise InputError(f"times run from {seconds[0]:g} to {seconds[-1]:g} s; keep them within 0 to {duration:g} s")
    return np.minimum(np.unique(np.rint(seconds / dt).astype(np.int64)), number_of_steps(duration, dt))


def _first_below(level: float, time: np.ndarray, falling: np.ndarray) -> float:
    """Where straight lines through (time, falling) first reach a level; NaN where they do not."""
    below = np.flatnonzero(falling <= level)
    if below.size == 0:
        return math.nan
    i = int(below[0])
    if i == 0:
        return float(time[0])
    share = (falling[i - 1] - level) / (falling[i - 1] - falling[i])
    return float(time[i - 1] + share * (time[i] - time[i - 1]))

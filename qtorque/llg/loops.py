"""Hysteresis loops: a field or a voltage swept up and down in steps, the moment followed from step to step. SI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import Vector, Waveform
from qtorque.llg.dynamics import (
    Moments,
    number_of_steps,
    output_steps,
    require_count,
    require_fine_step,
    require_seed,
    run_attributes,
)
from qtorque.llg.equation import EquationOfMotion, TorqueSource
from qtorque.llg.lanes import LANES
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.phases import field_values, tilted, with_field
from qtorque.llg.trajectories import addresses, as_drives, drive_coordinate, driven_equation
from qtorque.spin import unit_vector

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

SWEEPS = ("up", "down")

AVERAGE_SAMPLES = 64
"""Directions of which the mean at a step is made."""

Numbers = Sequence[float] | np.ndarray | float


def field_hysteresis(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    field: Sequence[float] | np.ndarray,
    field_direction: Vector | None = None,
    voltage: Numbers | None = None,
    current_density: Numbers | None = None,
    dwell: float,
    dt: float,
    initial: str | ArrayLike = "antiparallel",
    temperature: float = 0.0,
    trajectories: int = 1,
    seed: int = 0,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """m.p against a field that is swept up and down in steps, at constant drives.

    At every field the moment goes on for the dwell time from where it was at the last one; what is returned is its mean
    over the second half of that time. At 0 K it is tilted by `phases.START_TILT` at the begin of each step, in place of
    the thermal motion without which an axis of symmetry would hold it fast beyond its stability. A state whose growth
    rate is below about 2/dwell may outlive its step, so a loop of fewer and longer steps is the narrower one.

    Parameters
    ----------
    free, source
        The free layer, and the torque on it: a torque map, a closed form, or None.
    field : T, ascending
        mu_0 H along the field direction, added to the field of the free layer.
    field_direction : unit vector
        By default p.
    voltage, current_density : V or A/m^2, one of the two or none
        Numbers, constant in time; one loop each. None is 0 V.
    dwell, dt : s, time at each field, and step
    initial : "parallel", "antiparallel" or a unit vector
        Before the first step, at the lowest field.
    temperature : K
    trajectories
        Loops at each drive, with random numbers of their own.
    seed
        Whole number >= 0.
    comm
        MPI communicator, collective on it; None is serial.
    checkpoint, progress
        As in `parallel.map_chunks`.

    Returns
    -------
    Dataset
        m (voltage, trajectory, sweep, field, xyz): mean moment of the second half of each step, sweep "up" or "down".
        m_parallel (voltage, sweep, field): m.p, mean of the trajectories. switching_field (voltage, trajectory, sweep;
        T): the first field of a sweep at which m.p has another sign than at its begin, NaN where it keeps it.

    Raises
    ------
    InputError
        Before any step, for a value out of range, fields that do not ascend, and as `equation_of_motion` and
        `require_fine_step` do.
    """
    fields = _ascending("field", field_values(field))
    if voltage is None and current_density is None:
        voltage = 0.0
    label, drives = as_drives(voltage, current_density)
    direction = unit_vector(free.fixed if field_direction is None else field_direction, "field_direction")
    equations = _equations(free, source, label, drives, temperature)
    grid = [[with_field(equation, b * direction) for b in fields] for equation in equations]
    swept = ("field", fields, {"units": "T", "long_name": "applied field mu_0 H"})
    loops = _loops(
        free, grid, drive_coordinate(label, drives), swept, dwell=dwell, dt=dt, initial=initial,
        temperature=temperature, trajectories=trajectories, seed=seed, comm=comm, checkpoint=checkpoint,
        progress=progress,
    )  # fmt: skip
    return loops.assign_attrs(field_direction=direction.tolist())


def voltage_hysteresis(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: Numbers | None = None,
    current_density: Numbers | None = None,
    field: Numbers = 0.0,
    field_direction: Vector | None = None,
    dwell: float,
    dt: float,
    initial: str | ArrayLike = "antiparallel",
    temperature: float = 0.0,
    trajectories: int = 1,
    seed: int = 0,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """m.p against a voltage or current density that is swept up and down in steps, at constant fields.

    As `field_hysteresis` with field and drive exchanged: the drive ascends, `field` is a number or a list, one loop
    each.

    Returns
    -------
    Dataset
        m (field, trajectory, sweep, voltage, xyz), m_parallel (field, sweep, voltage), switching_voltage (field,
        trajectory, sweep; V); current_density in place of voltage where that is the drive.
    """
    label, drives = as_drives(voltage, current_density)
    _ascending(label, np.array([drive.peak for drive in drives]))
    fields = field_values(field)
    direction = unit_vector(free.fixed if field_direction is None else field_direction, "field_direction")
    equations = _equations(free, source, label, drives, temperature)
    grid = [[with_field(equation, b * direction) for equation in equations] for b in fields]
    outer = ("field", fields, {"units": "T", "long_name": "applied field mu_0 H"})
    loops = _loops(
        free, grid, outer, drive_coordinate(label, drives), dwell=dwell, dt=dt, initial=initial,
        temperature=temperature, trajectories=trajectories, seed=seed, comm=comm, checkpoint=checkpoint,
        progress=progress,
    )  # fmt: skip
    return loops.assign_attrs(field_direction=direction.tolist())


def _equations(
    free: Macrospin, source: TorqueSource | None, label: str, drives: Sequence[Waveform], temperature: float
) -> list[EquationOfMotion]:
    if any(drive.varies for drive in drives):
        raise InputError(f"{label} varies with time; a loop goes through constant drives, give numbers")
    return [driven_equation(free, source, label, drive, temperature=temperature) for drive in drives]


def _loops(
    free: Macrospin,
    grid: list[list[EquationOfMotion]],
    outer: tuple,
    swept: tuple,
    *,
    dwell: float,
    dt: float,
    initial: str | ArrayLike,
    temperature: float,
    trajectories: int,
    seed: int,
    comm: Intracomm | None,
    checkpoint: parallel.Checkpoint | None,
    progress: str | None,
) -> xr.Dataset:
    """The loops of equations [outer][swept]; `outer` and `swept` are coordinates (name, values, attributes)."""
    require_count("trajectories", trajectories)
    require_seed(seed)
    require_positive("dwell", dwell)
    start = free.initial_direction(initial)
    steps = number_of_steps(dwell, dt)
    for equation in (equation for row in grid for equation in row):
        require_fine_step(equation, dt)
    count = len(swept[1])
    path = [*range(count), *reversed(range(count))]
    settled = steps - max(1, steps // 2)
    recorded = settled + output_steps(steps - settled, AVERAGE_SAMPLES)[1:]

    def work(lanes: range) -> np.ndarray:
        """Mean moments (lane, sweep, swept, xyz); lane i is trajectory i % trajectories of loop i // trajectories."""
        m, means = np.tile(start, (len(lanes), 1)), []
        for step, index in enumerate(path):
            equations = [grid[lane // trajectories][index] for lane in lanes]
            # Every step is a point of its own: random numbers do not come back in the next one.
            places = [(lane // trajectories * len(path) + step, lane % trajectories) for lane in lanes]
            streams = np.concatenate([addresses(seed, point, own, own + 1) for point, own in places])
            begin = m if temperature > 0 else tilted(m)
            moments = Moments(equations, begin, dt, streams=streams)
            means.append(moments.advance(steps, sample_steps=recorded).mean(axis=0))
            m = moments.m
        return np.stack([means[:count], means[count:][::-1]]).transpose(2, 0, 1, 3)

    lanes = range(len(grid) * trajectories)
    chunks = [lanes[first : first + LANES] for first in range(0, len(lanes), LANES)]
    part = parallel.checkpoint_part(checkpoint, "hysteresis", grid, start, trajectories, (dt, steps, temperature), seed)
    results = parallel.map_chunks(work, chunks, comm=comm, checkpoint=part, progress=progress)
    m = np.concatenate(results).reshape(len(grid), trajectories, len(SWEEPS), count, 3)
    projection = m @ np.asarray(free.fixed)
    name, values, attributes = swept
    label = attributes["long_name"]
    switching = {"units": attributes["units"], "long_name": f"{label} at which m.p first has the other sign"}
    return xr.Dataset(
        {
            "m": (
                (outer[0], "trajectory", "sweep", name, "xyz"), m, {"units": "1", "long_name": "mean free moment"},
            ),
            "m_parallel": (
                (outer[0], "sweep", name), projection.mean(axis=1), {"units": "1", "long_name": "mean m.p"},
            ),
            f"switching_{name}": (
                (outer[0], "trajectory", "sweep"), _switching(projection, np.asarray(values)), switching,
            ),
        },
        {outer[0]: outer, name: swept, "sweep": list(SWEEPS), "xyz": ["x", "y", "z"]},
        attrs={"dwell": dwell, "dt": dt, **run_attributes(free, initial, temperature, seed)},
    )  # fmt: skip


def _switching(projection: np.ndarray, values: np.ndarray) -> np.ndarray:
    """First value of each sweep at which m.p, (..., sweep, swept), has another sign than at its begin; NaN for none."""
    found = np.full(projection.shape[:-1], np.nan)
    for i, order in enumerate((slice(None), slice(None, None, -1))):
        along = projection[..., i, order]
        other = along * along[..., :1] < 0
        found[..., i] = np.where(other.any(axis=-1), values[order][np.argmax(other, axis=-1)], np.nan)
    return found


def _ascending(name: str, values: np.ndarray) -> np.ndarray:
    falls = np.flatnonzero(np.diff(values) <= 0)
    if falls.size:
        i = falls[0]
        raise InputError(f"{name} does not ascend: {values[i + 1]:.6g} follows {values[i]:.6g}; sort it")
    return values

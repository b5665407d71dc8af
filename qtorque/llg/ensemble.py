"""Ensembles of thermal trajectories: switching probability against voltage."""

from __future__ import annotations

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
    CHUNK_TRAJECTORIES,
    Drives,
    addresses,
    as_drives,
    common_beginning,
    drive_coordinate,
    driven_equation,
    switching_variables,
)

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

OUTPUT_TIMES = 200
"""Number of times after 0 at which the mean moment is recorded."""


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
        A number, a `Waveform`, or a list of them. The result is labelled by the peak of a waveform. Edges of pulses
        should fall between two steps, see `run`.
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
    if not isinstance(free, Macrospin):
        raise InputError("free is no Macrospin; an ensemble is of one free layer, use llg.run for two coupled ones")
    label, drives = as_drives(voltage, current_density)
    steps = number_of_steps(duration, dt)
    recorded = output_steps(steps, OUTPUT_TIMES)
    require_count("trajectories", trajectories)
    require_seed(seed)
    equations = [driven_equation(free, source, label, one, field=field, temperature=temperature) for one in drives]
    beginning = common_beginning(free, source, initial, temperature, thermalisation)
    for equation in beginning.all_equations(equations):
        require_fine_step(equation, dt)

    def work(chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the moments at the recorded times (time, xyz), and each one's last (trajectory, xyz)."""
        point, first = chunk
        streams = addresses(seed, point, first, min(first + CHUNK_TRAJECTORIES, trajectories))
        moments = beginning.moments(equations[point], dt, streams)
        before = moments.m.sum(axis=0, keepdims=True)
        after = moments.advance(steps, sample_steps=recorded[1:])
        return np.concatenate([before, after.sum(axis=1)]), moments.m

    firsts = range(0, trajectories, CHUNK_TRAJECTORIES)
    chunks = [(point, first) for point in range(len(drives)) for first in firsts]
    part = parallel.checkpoint_part(checkpoint, "ensemble", equations, beginning, trajectories, dt, steps, seed)
    results = parallel.map_chunks(work, chunks, comm=comm, checkpoint=part, progress=progress)
    by_voltage = [results[i : i + len(firsts)] for i in range(0, len(results), len(firsts))]
    m_mean = np.array([parallel.sum_in_order([total for total, _ in share]) for share in by_voltage]) / trajectories
    m_final = np.array([np.concatenate([last for _, last in share]) for share in by_voltage])
    switched = np.count_nonzero(~beginning.not_switched(m_final), axis=1)

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
            "thermalisation": beginning.thermalisation,
            "dt": dt,
            "duration": duration,
            **drive_attributes(drives, field),
            **source_attributes(source),
            **run_attributes(free, initial, temperature, seed),
        },
    )

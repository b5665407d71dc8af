"""Switching by pulses: probability and write error rate versus amplitude and length, by counting and by Fokker-Planck.

Counts are summed while trajectories run, none is kept: memory does not grow with their number. `fokker_planck` is the
independent route for the axially symmetric magnet, and the only one to rare errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import Waveform, constant, pulse, sampled
from qtorque.llg.dynamics import (
    require_count,
    require_fine_step,
    require_seed,
    run_attributes,
)
from qtorque.llg.equation import EquationOfMotion, TorqueSource
from qtorque.llg.fokker_planck import fokker_planck, magnet_attributes
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.trajectories import (
    addresses,
    as_drives,
    common_beginning,
    drive_coordinate,
    driven_equation,
    switching_variables,
    totals_over_trajectories,
    wilson_interval,
)

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

ROUNDING = 1e-9
"""Relative: what a time of whole steps may be off by because its quotient with dt is rounded."""


def switching_map(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: Sequence[float] | float | None = None,
    current_density: Sequence[float] | float | None = None,
    length: Sequence[float] | float,
    rise: float = 0.0,
    fall: float = 0.0,
    relaxation: float,
    initial: str | ArrayLike = "antiparallel",
    trajectories: int,
    dt: float,
    temperature: float = 0.0,
    seed: int = 0,
    thermalisation: float | None = None,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Switching probability and write error rate of pulses versus amplitude and length.

    Each point is an ensemble of its own: trajectory i of pulse number j (lengths run fastest) has random numbers
    addressed by (seed, j, i). Edges, plateau and relaxation are rounded to whole steps; coordinate and attributes are
    the times that were simulated.

    Parameters
    ----------
    free, source
        The free layer, and the torque on it: a torque map, a closed form, or None.
    voltage, current_density : V or A/m^2, one of the two
        Amplitudes.
    length, rise, fall : s
        Of the plateau and of its linear edges, which come on top, as in `pulse`.
    relaxation : s
        Time without drive after the pulse, before the sign of m.p is read.
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
    trajectories : of each pulse
    dt : s
    temperature : K
    seed
        Whole number >= 0.
    thermalisation : s
        As in `ensemble`.
    comm
        MPI communicator, collective on it; None is serial.
    checkpoint, progress
        As in `parallel.map_chunks`.

    Returns
    -------
    Dataset
        Over (voltage or current_density, length): switching_probability; write_error_rate, the share that did not
        switch; both with 95 % Wilson intervals, <name>_interval (..., bound).

    Raises
    ------
    InputError
        As `ensemble`, and for a length that is no step long or another time that is negative.
    """
    label, drives = as_drives(voltage, current_density)
    amplitudes = _amplitudes(label, drives)
    lengths = simulated_lengths(length, dt)
    _require_times(rise=rise, fall=fall, relaxation=relaxation)
    rise, fall, relaxation = _whole_steps([rise, fall, relaxation], dt).tolist()
    require_count("trajectories", trajectories)
    require_seed(seed)

    def equation(drive: Waveform) -> EquationOfMotion:
        return driven_equation(free, source, label, drive, temperature=temperature)

    # Stages of constant drive run at twice the speed of a pulse that is evaluated in every step.
    undriven = equation(constant(0.0))
    stages = [
        (
            equation(sampled([0.0, rise], [0.0, amplitude])),
            equation(constant(amplitude)),
            equation(sampled([0.0, fall], [amplitude, 0.0])),
            undriven,
        )
        for amplitude in amplitudes
    ]
    steps = [[round(seconds / dt) for seconds in (rise, plateau, fall, relaxation)] for plateau in lengths]
    beginning = common_beginning(free, source, initial, temperature, thermalisation)
    for driven in (undriven, *(plateau for _, plateau, _, _ in stages)):
        require_fine_step(driven, dt)

    def work(point: int, first: int, stop: int) -> np.ndarray:
        """How many have not switched, (1,)."""
        streams = addresses(seed, point, first, stop)
        moments = beginning.moments(undriven, dt, streams)
        for driven, count in zip(stages[point // lengths.size], steps[point % lengths.size], strict=True):
            if count:
                moments.set_equations([driven])
                moments.advance(count)
        return np.array([np.count_nonzero(beginning.not_switched(moments.m))])

    part = parallel.checkpoint_part(checkpoint, "switching_map", stages, beginning, steps, dt, trajectories, seed)
    failed = totals_over_trajectories(work, len(stages) * lengths.size, trajectories, 1, comm, part, progress)
    failed = failed.reshape(len(stages), lengths.size)
    dims = (label, "length")
    return xr.Dataset(
        {
            **switching_variables(dims, trajectories - failed, trajectories),
            "write_error_rate": (
                dims, failed / trajectories,
                {"units": "1", "long_name": "share of trajectories whose m.p kept its sign"},
            ),
            "write_error_rate_interval": (
                (*dims, "bound"), wilson_interval(failed, trajectories),
                {"units": "1", "long_name": "95 % Wilson interval of the write error rate"},
            ),
        },
        {
            label: drive_coordinate(label, drives),
            "length": _length_coordinate(lengths),
            "bound": ["lower", "upper"],
        },
        attrs={
            "rise": rise, "fall": fall, "relaxation": relaxation, "trajectories": trajectories, "dt": dt,
            "thermalisation": beginning.thermalisation, **run_attributes(free, initial, temperature, seed),
        },
    )  # fmt: skip


def fokker_planck_switching_map(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: Sequence[float] | float | None = None,
    current_density: Sequence[float] | float | None = None,
    length: Sequence[float] | float,
    rise: float = 0.0,
    fall: float = 0.0,
    relaxation: float,
    initial: str = "antiparallel",
    temperature: float,
    cells: int | None = None,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """The probabilities of `switching_map` without sampling, for an axially symmetric magnet, at any write error rate.

    Parameters as there; `initial` and `cells` as in `fokker_planck`, which is called for every pulse.

    Returns
    -------
    Dataset
        switching_probability and write_error_rate over (voltage or current_density, length).

    Raises
    ------
    InputError
        As `fokker_planck`, and for a length that is not positive or another time that is negative.
    """
    label, drives = as_drives(voltage, current_density)
    amplitudes = _amplitudes(label, drives)
    lengths = pulse_lengths(length)
    _require_times(rise=rise, fall=fall, relaxation=relaxation)
    pulses = [pulse(amplitude, plateau, rise=rise, fall=fall) for amplitude in amplitudes for plateau in lengths]
    # With the refusals of a run, before the first chunk; and they tell chunks of other amplitudes and torques apart.
    equations = [driven_equation(free, source, label, driven) for driven in pulses[:: lengths.size]]

    def work(driven: Waveform) -> np.ndarray:
        """(2,): switched and not switched."""
        end = driven.time[-1] + relaxation
        drive: dict[str, Any] = {label: driven}
        d = fokker_planck(
            free, source, **drive, temperature=temperature, initial=initial, duration=end, times=[end], cells=cells
        )
        return np.array([float(d["switched"][0]), float(d["not_switched"][0])])

    part = parallel.checkpoint_part(
        checkpoint, "fokker_planck_switching_map", free, equations, pulses, relaxation, initial, temperature, cells
    )  # fmt: skip
    found = np.array(parallel.map_chunks(work, pulses, comm, part, progress))
    switched, failed = np.moveaxis(found.reshape(len(amplitudes), lengths.size, 2), -1, 0)
    dims = (label, "length")
    return xr.Dataset(
        {
            "switching_probability": (dims, switched, {"units": "1", "long_name": "probability that m.p changes sign"}),
            "write_error_rate": (dims, failed, {"units": "1", "long_name": "probability that m.p keeps its sign"}),
        },
        {label: drive_coordinate(label, drives), "length": _length_coordinate(lengths)},
        attrs={
            "rise": rise, "fall": fall, "relaxation": relaxation, "temperature": float(temperature),
            "initial": initial, **magnet_attributes(free),
        },
    )  # fmt: skip


def _amplitudes(label: str, drives: Sequence[Waveform]) -> list[float]:
    for drive in drives:
        if drive.varies:
            raise InputError(f"{label}={drive!r} changes with time; give the amplitudes of the pulses as numbers")
    return [drive.peak for drive in drives]


def pulse_lengths(length: Sequence[float] | float) -> np.ndarray:
    """Lengths of pulses, (n,), s; InputError unless they are positive."""
    lengths = np.atleast_1d(np.asarray(length, dtype=float))
    if lengths.ndim != 1 or lengths.size == 0:
        raise InputError(f"length has shape {lengths.shape}; give a list of at least one number of seconds")
    for seconds in lengths.tolist():
        require_positive("length", seconds)
    return lengths


def simulated_lengths(length: Sequence[float] | float, dt: float) -> np.ndarray:
    """Lengths of pulses in whole steps, (n,), s; InputError for one that is nearer to no step."""
    require_positive("dt", dt)
    lengths = pulse_lengths(length)
    found = _whole_steps(lengths, dt)
    if not found.all():
        raise InputError(f"length={lengths.min():.3g} s is no step of dt={dt:g} s long; give a smaller dt")
    return found


def _whole_steps(seconds: ArrayLike, dt: float) -> np.ndarray:
    """Times rounded to whole steps, s.

    A time of whole steps stays the number that was given, so that results over the same times find each other.
    """
    given = np.asarray(seconds, dtype=float)
    nearest = np.rint(given / dt) * dt
    return np.where(np.isclose(given, nearest, rtol=ROUNDING, atol=0), given, nearest)


def _require_times(**times: float) -> None:
    for name, seconds in times.items():
        if not 0 <= seconds < math.inf:
            raise InputError(f"{name}={seconds!r} is out of range; give seconds >= 0")


def _length_coordinate(lengths: np.ndarray) -> tuple[str, np.ndarray, dict[str, str]]:
    return "length", lengths, {"units": "s", "long_name": "length of the pulse at full amplitude"}

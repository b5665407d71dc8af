"""Phase diagrams at 0 K: where a free layer ends under a drive and a field, and which states are stable there. SI.

Every point is answered by two routes. Two trajectories, one from p and one from -p, are followed to their end and what
they do there is named. The rest states near p and -p are found by themselves, and the eigenvalues of the equation of
motion linearised there tell whether they are stable. The equation of motion of one constant drive is an autonomous flow
on a sphere, so by the theorem of Poincare and Bendixson a trajectory ends at a rest state or on one closed orbit that
does not cross itself; chaos is not to be sought here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import Vector
from qtorque.llg.dynamics import Moments, number_of_steps, require_fine_step, run_attributes
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.lanes import LANES
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.rest_states import chosen, slowest_modes, tangents_of
from qtorque.llg.trajectories import as_drives, drive_coordinate
from qtorque.spin import unit_vector
from qtorque.units import GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

STARTS = ("parallel", "antiparallel")
PARALLEL, ANTIPARALLEL, CANTED, ACROSS, ABOUT, UNSETTLED = (np.int8(1 << bit) for bit in range(6))
"""States at the end of a trajectory, one bit each: see `phase_diagram`."""
EASY_PLANE_NAMES = ("in_plane_precession", "out_of_plane_precession")
EASY_AXIS_NAMES = ("precession_across_easy_axis", "precession_about_easy_axis")
"""Names of ACROSS and ABOUT, by the kind of magnet."""

START_TILT = 0.02
"""rad, of a start from p or -p, so that an axis of symmetry holds nothing fast. Out of the plane of a film it costs so
much energy that a state whose barrier is nearly gone is left: within 5 % of the field at which it ends."""

NEAR = np.sqrt(0.5)
"""|m.p| from which a rest state counts as parallel or antiparallel, and |n.d| from which a precession is about d: 45
degrees, the border between two axes at right angles."""

REST_AMPLITUDE = 0.05
"""A smaller amplitude that does not grow is rest. Twice the tilt of the start, so that a stable state may still
ring."""

LEAST_AMPLITUDE = 1e-3
"""A smaller amplitude is not said to grow. A twentieth of the tilt of the start, which grows where a state is
unstable."""

STEADY = 0.95
"""Amplitudes of three consecutive times are changing if they rise, or fall, all the way, and the smallest is below this
share of the largest. Orbits of a limit cycle, cut at no whole period, vary less if a time has some ten of them."""

LARGEST_SHIFT = 0.2
"""Of the mean moment from the first part to the last: a precession on its way from one state to another moves by more,
the mean of a limit cycle by less if a part has some five periods."""

EARLY_SHARE, MOTIONLESS = 1 / 3, 1e-6
"""Share of the duration after which trajectories end that are at rest, and their largest amplitude. The later part of
that time is then looked at, and the amplitude of a moment at rest is a rounding error of 1e-8."""

LONGEST = 4
"""Times the duration that trajectories are followed which are unsettled before. Next to the border of a state they need
it: its growth rate is small there."""

WATCHED_SHARE = 0.25
"""Of the duration, at its end: there trajectories are looked at."""

SAMPLE_ANGLE = 1.0
"""rad of the fastest precession there can be, between two samples: six samples a period, many more of what occurs."""

MOST_SAMPLES, LEAST_SAMPLES = 8190, 60
"""Samples of a trajectory, multiples of the three parts it is looked at in: the first bounds the memory of a chunk to
some ten megabytes, the second leaves 20 for an amplitude."""

LEAST_CYCLES = 2
"""Whole periods that make a precession."""

SMALLEST = 1e-12
"""Vectors, areas and means, shorter than this are rounding and have no direction."""


def phase_diagram(
    free: Macrospin,
    source: TorqueSource,
    *,
    voltage: Sequence[float] | np.ndarray | float | None = None,
    current_density: Sequence[float] | np.ndarray | float | None = None,
    field: Sequence[float] | np.ndarray | float,
    field_direction: Vector | None = None,
    duration: float,
    dt: float,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Where a free layer ends at each voltage and field, from p and from -p, at 0 K.

    From p ("parallel") and -p ("antiparallel"), tilted by `START_TILT`, the moment moves for the duration, by the
    classical Runge-Kutta method of order 4. Its state is told from the last quarter of the duration, in three equal
    parts. The amplitude of a part is sqrt(1 - |<m>|^2), the root of the mean square of the deviation from the mean: 0
    at rest, sin of the cone angle of a circular precession, near 1 on a great circle. What is unsettled then goes on,
    up to `LONGEST` times the duration; what does not move any more after a third of the duration ends there.

    1 parallel, 2 antiparallel, 4 canted
        At rest: the last amplitude is below `REST_AMPLITUDE` and they do not rise, or they fall and the exponential
        through them ends below half of the last. <m> is within 45 degrees of p, of -p, or of neither.
    8, 16 precession
        The amplitude neither rises nor falls, and the moment crosses its mean, along the direction in which it moves
        most, at least thrice upwards. The orbit winds about the direction n of its vector area, (1/2) sum of m x dm.
        The magnet's own axis d is that eigenvector of the field tensor, without drive and without terms of fourth
        degree, whose eigenvalue is farther from the middle one. In a magnet with an easy plane, such as a thin film
        magnetised in it, d is the hard axis: 8 is in-plane precession, n more than 45 degrees from d, and 16
        out-of-plane precession, n nearer to d, where the moment encircles the hard axis. In one with an easy axis, such
        as a perpendicular one, d is that axis: 16 is precession about it, 8 precession about an axis across it.
    32 unsettled
        In motion and none of these: the duration is too short.

    Parameters
    ----------
    free, source
        The free layer, and the torque on it: a torque map or a closed form.
    voltage, current_density : V or A/m^2, one of the two
        Numbers, constant in time.
    field : T
        mu_0 H along the field direction, added to the field of the free layer.
    field_direction : unit vector
        By default p.
    duration, dt : s
    comm
        MPI communicator, collective on it; None is serial.
    checkpoint, progress
        As in `parallel.map_chunks`.

    Returns
    -------
    Dataset over (voltage, field), the first named current_density where that is the drive.
        state_from_parallel, state_from_antiparallel: the numbers above. state: both joined bit by bit, so that 3 is
        both parallel and antiparallel, a bistable point. m_mean (start, voltage, field, xyz), precession_amplitude and
        frequency (start, voltage, field; Hz; NaN at rest): of the end of the trajectories. growth_rate (start, voltage,
        field): of the rest state on the side of p or -p, the largest real part of the eigenvalues (1/s; NaN where there
        is no such state); stable_parallel, stable_antiparallel: whether it is below 0.

    Raises
    ------
    InputError
        Before any step, for a value out of range, a voltage outside the map, a map that does not cover 0 to pi, a drive
        that varies with time, alpha = 0 (nothing comes to an end), a dt too long for the precession, a duration too
        short to tell states apart.

    Notes
    -----
    There is no temperature: a thermal moment visits several states, and what it does is a probability (`ensemble`,
    `field_hysteresis`).
    """
    label, drives = as_drives(voltage, current_density)
    if any(drive.varies for drive in drives):
        raise InputError(f"{label} varies with time; a phase diagram is of constant drives, give numbers")
    fields = field_values(field)
    direction = unit_vector(free.fixed if field_direction is None else field_direction, "field_direction")
    if free.alpha == 0:
        raise InputError("alpha=0 damps nothing, and no state is an end; give a damping > 0")
    steps = number_of_steps(duration, dt)
    given: list[dict[str, Any]] = [{label: drive} for drive in drives]
    by_drive = [equation_of_motion(free, source, **one) for one in given]
    # A norm is largest at an end of a line.
    corners = [with_field(equation, b * direction) for equation in by_drive for b in (fields.min(), fields.max())]
    for equation in corners:
        require_fine_step(equation, dt)
    largest = max(equation.largest_field() for equation in corners)
    every, samples = _sampling(steps, dt, largest, duration)
    axis, names = _own_axis(free)
    points = [with_field(equation, b * direction) for equation in by_drive for b in fields]
    equations = points * len(STARTS)
    starts = np.repeat([free.initial_direction(start) for start in STARTS], len(points), axis=0)
    settings = (points, axis, tuple(free.fixed), dt, every, samples)

    def followed(lanes: np.ndarray, begin: np.ndarray, steps: int) -> dict[str, np.ndarray]:
        """What the trajectories of some equations do at the end of so many steps, each array (lane, ...)."""

        def work(first: int) -> dict[str, np.ndarray]:
            chunk = slice(first, first + LANES)
            moments = Moments(chosen(equations, lanes[chunk]), begin[chunk], dt)
            moments.advance(steps - every * samples)
            found = _end_of(moments.advance(every * samples, every=every), every * dt, np.asarray(free.fixed), axis)
            return {**found, "m": moments.m}

        part = parallel.checkpoint_part(checkpoint, "phase_diagram", lanes, begin, steps, settings)
        chunks = range(0, len(lanes), LANES)
        return _joined(parallel.map_chunks(work, chunks, comm=comm, checkpoint=part, progress=progress))

    def stability(first: int) -> dict[str, np.ndarray]:
        chunk = slice(first, first + LANES)
        return {"growth_rate": slowest_modes(equations[chunk], starts[chunk], largest)[1].real}

    early = int(EARLY_SHARE * steps)
    found = followed(np.arange(len(equations)), tilted(starts), early)
    for finished, more in ((_motionless, steps - early), (_recognised, (LONGEST - 1) * steps)):
        lanes = np.flatnonzero(~finished(found))
        if lanes.size:
            for name, values in followed(lanes, found["m"][lanes], more).items():
                found[name][lanes] = values
    part = parallel.checkpoint_part(checkpoint, "phase_diagram_stability", settings)
    chunks = range(0, len(equations), LANES)
    found |= _joined(parallel.map_chunks(stability, chunks, comm=comm, checkpoint=part))
    shape = (len(STARTS), len(drives), len(fields))
    found = {name: values.reshape(*shape, *values.shape[1:]) for name, values in found.items()}
    attributes = {
        "duration": duration,
        "dt": dt,
        "field_direction": direction.tolist(),
        "precession_axis": axis.tolist(),
        "start_tilt": START_TILT,
        **run_attributes(free, "parallel and antiparallel", 0.0, 0),
    }
    coordinates = {
        label: drive_coordinate(label, drives),
        "field": ("field", fields, {"units": "T", "long_name": "applied field mu_0 H"}),
        "start": list(STARTS),
        "xyz": ["x", "y", "z"],
    }
    return xr.Dataset(_variables(found, (label, "field"), names), coordinates, attrs=attributes)


def _variables(found: dict[str, np.ndarray], plane: tuple[str, str], names: tuple[str, str]) -> dict[str, tuple]:
    """Variables of a phase diagram from arrays (start, drive, field, ...)."""
    flags = {
        "units": "1",
        "flag_masks": np.array([PARALLEL, ANTIPARALLEL, CANTED, ACROSS, ABOUT, UNSETTLED]),
        "flag_meanings": " ".join(("parallel", "antiparallel", "canted", *names, "unsettled")),
    }
    state, rates = found["state"], found["growth_rate"]
    by_start = ("start", *plane)
    return {
        "state": (plane, np.bitwise_or(*state), {**flags, "long_name": "states reached from both starts"}),
        **{
            f"state_from_{start}": (plane, state[i], {**flags, "long_name": f"state reached from {start}"})
            for i, start in enumerate(STARTS)
        },
        **{
            f"stable_{start}": (plane, rates[i] < 0, {"units": "1", "long_name": f"{start} state is linearly stable"})
            for i, start in enumerate(STARTS)
        },
        "growth_rate": (by_start, rates, {"units": "s^-1", "long_name": "growth rate of deviations from rest"}),
        "m_mean": ((*by_start, "xyz"), found["m_mean"], {"units": "1", "long_name": "mean free moment at the end"}),
        "precession_amplitude": (
            by_start, found["precession_amplitude"],
            {"units": "1", "long_name": "root mean square deviation from the mean moment at the end"},
        ),
        "frequency": (by_start, found["frequency"], {"units": "Hz", "long_name": "frequency of the precession"}),
    }  # fmt: skip


def _joined(results: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


def field_values(field: ArrayLike) -> np.ndarray:
    """Applied fields as an array; InputError unless they are a number or a list of finite ones."""
    values = np.atleast_1d(np.asarray(field, dtype=float))
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise InputError(f"field={field!r} is no list of fields; give at least one finite number of tesla")
    return values


def with_field(equation: EquationOfMotion, field: np.ndarray) -> EquationOfMotion:
    """The equation with a further constant field, (3,), T."""
    return dataclasses.replace(equation, field=equation.field + field)


def tilted(m: np.ndarray) -> np.ndarray:
    """Directions turned by `START_TILT`, (n, 3), half-way between two tangents: along no axis of symmetry."""
    across = tangents_of(m).sum(axis=1) / np.sqrt(2)
    return np.cos(START_TILT) * m + np.sin(START_TILT) * across


def _own_axis(free: Macrospin) -> tuple[np.ndarray, tuple[str, str]]:
    """The axis d that classifies precession, and the names of precession across it and about it."""
    (low, middle, high), axes = np.linalg.eigh(free.field_tensor)
    if high - middle > middle - low:
        return axes[:, 2], EASY_AXIS_NAMES
    return axes[:, 0], EASY_PLANE_NAMES


def _sampling(steps: int, dt: float, largest: float, duration: float) -> tuple[int, int]:
    """Steps between two samples, and how many samples, a multiple of 3; InputError if the duration has too few."""
    turn = GYROMAGNETIC_RATIO * largest * dt
    every = max(1, int(SAMPLE_ANGLE / turn)) if turn > 0 else 1
    samples = min(int(WATCHED_SHARE * steps) // every, MOST_SAMPLES) // 3 * 3
    if samples < LEAST_SAMPLES:
        least = (LEAST_SAMPLES + 1) * every * dt / WATCHED_SHARE
        raise InputError(f"duration={duration!r} s is too short to tell states apart; give at least {least:.2g} s")
    return every, samples


def _end_of(samples: np.ndarray, interval: float, fixed: np.ndarray, axis: np.ndarray) -> dict[str, np.ndarray]:
    """What trajectories (time, n, 3) do, each array (n, ...); `interval` (s) lies between two samples."""
    parts = samples.reshape(3, -1, *samples.shape[1:]).mean(axis=1)
    amplitudes = np.sqrt(np.maximum(0.0, 1 - np.sum(parts**2, axis=2)))
    mean = parts[2]
    deviation = samples - mean
    cycles, frequency = _oscillation(deviation, interval)
    area = np.cross(deviation[:-1], deviation[1:]).sum(axis=0)
    size = np.linalg.norm(area, axis=1)
    about = np.abs(area @ axis) > NEAR * np.maximum(size, SMALLEST)
    along = mean @ fixed / np.maximum(np.linalg.norm(mean, axis=1), SMALLEST)
    rest, steady = _settled(amplitudes, np.linalg.norm(parts[2] - parts[0], axis=1))
    precesses = steady & ~rest & (cycles >= LEAST_CYCLES)
    state = np.select(
        [rest & (along > NEAR), rest & (along < -NEAR), rest, precesses & about, precesses],
        [PARALLEL, ANTIPARALLEL, CANTED, ABOUT, ACROSS],
        UNSETTLED,
    )
    return {
        "state": state,
        "m_mean": mean,
        "precession_amplitude": amplitudes[2],
        "frequency": np.where(precesses, frequency, np.nan),
    }


def _motionless(found: dict[str, np.ndarray]) -> np.ndarray:
    """Which trajectories are at rest, by their states and amplitudes, to the last digits that matter."""
    return (found["state"] <= CANTED) & (found["precession_amplitude"] < MOTIONLESS)


def _recognised(found: dict[str, np.ndarray]) -> np.ndarray:
    return found["state"] != UNSETTLED


def _settled(amplitudes: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether amplitudes of three consecutive times, (3, n), are those of rest, and whether they are steady.

    `shift` (n,) is that of the mean moment, which must stay where it is. Amplitudes that fall are those of rest where
    they fall to nothing. Aitken's formula is the limit of the exponential through the three.
    """
    first, second, last = amplitudes
    rises = (first < second) & (second < last) & (first < STEADY * last) & (last > LEAST_AMPLITUDE)
    falls = (first > second) & (second > last) & (last < STEADY * first)
    curvature = (last - second) - (second - first)
    to_nothing = falls & (curvature > 0)
    limit = last - (last - second) ** 2 / np.where(to_nothing, curvature, 1.0)
    stays = shift < LARGEST_SHIFT
    rest = ((np.maximum(last, shift) < REST_AMPLITUDE) & ~rises) | (stays & to_nothing & (limit < last / 2))
    return rest, stays & ~rises & ~falls


def _oscillation(deviation: np.ndarray, interval: float) -> tuple[np.ndarray, np.ndarray]:
    """Whole periods and frequency (Hz) of deviations (time, n, 3): between the first and the last upward crossing of 0.

    Along the direction in which the deviation is largest; crossings are interpolated linearly.
    """
    directions = np.linalg.eigh(np.einsum("tni,tnj->nij", deviation, deviation))[1][:, :, 2]
    x = np.einsum("tni,ni->tn", deviation, directions)
    upward = (x[:-1] < 0) & (x[1:] >= 0)
    crossings = np.count_nonzero(upward, axis=0)
    lanes = np.arange(x.shape[1])
    times = []
    for index in (np.argmax(upward, axis=0), upward.shape[0] - 1 - np.argmax(upward[::-1], axis=0)):
        before, after = x[index, lanes], x[index + 1, lanes]
        times.append(index + np.where(crossings > 0, before / np.where(crossings > 0, before - after, 1.0), 0.0))
    cycles = np.maximum(crossings - 1, 0)
    return cycles, np.where(cycles > 0, cycles / np.where(cycles > 0, (times[1] - times[0]) * interval, 1.0), np.nan)

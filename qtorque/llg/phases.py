"""Phase diagrams at 0 K: where a free layer ends under a drive and a field, and which states are stable there. SI.

Every point is answered by two routes. Two trajectories, one from p and one from -p, are followed to their end and what
they do there is named. The rest states near p and -p are found by themselves, and the eigenvalues of the equation of
motion linearised there tell whether they are stable. The equation of motion of one constant drive is an autonomous flow
on a sphere, so by the theorem of Poincare and Bendixson a trajectory ends at a rest state or on one closed orbit that
does not cross itself; chaos is not to be sought here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import Vector, Waveform
from qtorque.llg.dynamics import Moments, number_of_steps, require_fine_step, run_attributes
from qtorque.llg.equation import EquationOfMotion, TorqueSource
from qtorque.llg.lanes import LANES
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.rest_states import chosen, slowest_modes, tangents_of
from qtorque.llg.trajectories import as_drives, drive_coordinate, driven_equation
from qtorque.spin import unit_vector
from qtorque.units import GYROMAGNETIC_RATIO, VACUUM_PERMEABILITY

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

STARTS = ("parallel", "antiparallel")
PARALLEL, ANTIPARALLEL, CANTED, ACROSS, ABOUT, UNSETTLED = (np.int8(1 << bit) for bit in range(6))
"""States at the end of a trajectory, one bit each: see `phase_diagram`."""
EASY_PLANE_NAMES = ("in_plane_precession", "out_of_plane_precession")
EASY_AXIS_NAMES = ("precession_across_easy_axis", "precession_about_easy_axis")
FIXED_MOMENT_NAMES = ("precession_across_fixed_moment", "precession_about_fixed_moment")
"""Names of ACROSS and ABOUT, by the kind of magnet."""

ISOTROPIC = 1e-9
"""Difference of the eigenvalues of the field tensor, over mu_0 Ms, below which it has no axis: rounding of its sums."""

START_TILT = 0.02
"""rad, of a start from p or -p, so that an axis of symmetry holds nothing fast. Out of the plane of a film it costs so
much energy that a state whose barrier is nearly gone is left: within 5 % of the field at which it ends."""

NEAR = np.sqrt(0.5)
"""|m.p| from which a rest state counts as parallel or antiparallel, and |n.d| from which a precession is about d: 45
degrees, the border between two axes at right angles."""

REST_AMPLITUDE = 0.05
"""A smaller amplitude that does not grow is rest. Twice the tilt of the start, so that a stable state may still
ring."""

BESIDE = 0.1
"""A moment is beside a rest state if it is nearer. What grows too slowly to be seen, by less than 1/`STEADY` in a sixth
of the duration, comes from the tilt of the start to 0.07 in `LONGEST` durations."""

LEAST_AMPLITUDE = 1e-3
"""A smaller amplitude is not said to grow. A twentieth of the tilt of the start, which grows where a state is
unstable."""

STEADY = 0.95
"""Amplitudes near rest are changing if they rise, or fall, all the way through three consecutive times, and the
smallest is below this share of the largest. Less may be what is left of a period at the ends of a time."""

LARGEST_DRIFT = 2e-3
"""A precession drifts if its amplitude, or its mean moment, goes one way through the three times and changes by more,
relative and absolute. What rings down as exp(-t/tau) is told from a limit cycle if tau is below 60 durations."""

LARGEST_SHIFT = 0.2
"""Of the mean moment from the first part to the last: a precession on its way from one state to another moves by more,
the mean of a limit cycle by less if a part has some five periods."""

LEAST_GROWTH = 1e-8
"""Growth rates below this share of the fastest precession rate count as 0: central differences leave 1e-10."""

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
        through them ends below half of the last. <m> is within 45 degrees of p, of -p, or of neither. A moment beside
        a rest state whose growth rate is positive is not at rest, however slowly it leaves.
    8, 16 precession
        Neither the amplitude nor <m> goes one way by more than `LARGEST_DRIFT`, or after `LONGEST` durations they are
        as after one, within `STEADY`: what rings while it comes to rest is none. The moment crosses its mean, along the
        direction in which it moves most, at least thrice upwards. The orbit winds about the direction n of its vector
        area, (1/2) sum of m x dm. The magnet's own axis d is that eigenvector of the field tensor, without drive and
        without terms of fourth degree, whose eigenvalue is farther from the middle one; where they are all equal it is
        the easy axis of `second_order_anisotropy`, and without that p. In a magnet with an easy plane, such as a thin
        film magnetised in it, d is the hard axis: 8 is in-plane precession, n more than 45 degrees from d, and 16
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
    A point depends on nothing but itself: the times at which its trajectories are looked at follow from its own
    fields. There is no temperature: a thermal moment visits several states, and what it does is a probability
    (`ensemble`, `field_hysteresis`).
    """
    grid = diagram_grid(
        free, source, voltage=voltage, current_density=current_density, field=field, field_direction=field_direction,
        duration=duration, dt=dt,
    )  # fmt: skip
    points, steps = grid.equations, grid.steps
    axis, names = _own_axis(free)
    equations = points * len(STARTS)
    every = np.tile(grid.every, len(STARTS))
    starts = np.repeat([free.initial_direction(start) for start in STARTS], len(points), axis=0)
    settings = (points, axis, tuple(free.fixed), dt, steps)

    def by_interval(
        work: Callable[[np.ndarray, int], dict[str, np.ndarray]],
        lanes: np.ndarray,
        part: parallel.Checkpoint | None,
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """work(lanes, every) in chunks of lanes with the same sampling, each array in the order of the lanes."""
        same = [np.flatnonzero(every[lanes] == value) for value in np.unique(every[lanes])]
        places = [group[first : first + LANES] for group in same for first in range(0, len(group), LANES)]
        chunks = [lanes[place] for place in places]
        results = parallel.map_chunks(
            lambda chunk: work(chunk, int(every[chunk[0]])), chunks, comm=comm, checkpoint=part, progress=label
        )
        order = np.argsort(np.concatenate(places))
        return {name: np.concatenate([result[name] for result in results])[order] for name in results[0]}

    def stability(chunk: np.ndarray, every: int) -> dict[str, np.ndarray]:
        largest = _bound_of(every, dt)
        rests, growth = slowest_modes(chosen(equations, chunk), starts[chunk], largest)
        unstable = growth.real > LEAST_GROWTH * GYROMAGNETIC_RATIO * largest
        return {"growth_rate": growth.real, "unstable": np.where(unstable[:, np.newaxis], rests, np.nan)}

    def followed(lanes: np.ndarray, begin: np.ndarray, steps: int) -> dict[str, np.ndarray]:
        """What the trajectories of some equations do at the end of so many steps, each array (lane, ...)."""
        begins = np.empty((len(equations), 3))
        begins[lanes] = begin

        def work(chunk: np.ndarray, every: int) -> dict[str, np.ndarray]:
            samples = _samples(grid.steps, every)
            moments = Moments(chosen(equations, chunk), begins[chunk], dt)
            moments.advance(steps - every * samples)
            path = moments.advance(every * samples, every=every)
            found = _end_of(path, every * dt, np.asarray(free.fixed), axis, unstable[chunk])
            return {**found, "m": moments.m}

        part = parallel.checkpoint_part(checkpoint, "phase_diagram", lanes, begin, steps, settings)
        return by_interval(work, lanes, part, progress)

    everything = np.arange(len(equations))
    part = parallel.checkpoint_part(checkpoint, "phase_diagram_stability", settings)
    found = by_interval(stability, everything, part)
    # Of a point both rest states count: a trajectory may end beside the other one.
    unstable = np.tile(found.pop("unstable").reshape(len(STARTS), -1, 3).swapaxes(0, 1), (len(STARTS), 1, 1))
    early = int(EARLY_SHARE * steps)
    found |= followed(everything, tilted(starts), early)
    lanes = np.flatnonzero(_moving(found))
    if lanes.size:
        _replace(found, lanes, followed(lanes, found["m"][lanes], steps - early))
    lanes = np.flatnonzero(found["state"] == UNSETTLED)
    if lanes.size:
        later = followed(lanes, found["m"][lanes], (LONGEST - 1) * steps)
        same = _on_the_same_orbit({name: values[lanes] for name, values in found.items()}, later)
        later["state"] = np.where(same, later["orbit"], later["state"])
        _replace(found, lanes, later)
    found["frequency"][(found["state"] & (ACROSS | ABOUT)) == 0] = np.nan
    shape = (len(STARTS), len(grid.drives), len(grid.fields))
    found = {name: values.reshape(*shape, *values.shape[1:]) for name, values in found.items()}
    attributes = {
        "duration": duration,
        "dt": dt,
        "field_direction": grid.direction.tolist(),
        "precession_axis": axis.tolist(),
        "start_tilt": START_TILT,
        **run_attributes(free, "parallel and antiparallel", 0.0, 0),
    }
    coordinates = {
        grid.label: drive_coordinate(grid.label, grid.drives),
        "field": ("field", grid.fields, {"units": "T", "long_name": "applied field mu_0 H"}),
        "start": list(STARTS),
        "xyz": ["x", "y", "z"],
    }
    return xr.Dataset(_variables(found, (grid.label, "field"), names), coordinates, attrs=attributes)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DiagramGrid:
    """The points of a phase diagram.

    label : "voltage" or "current_density"
    drives, fields : V or A/m^2, and T
    direction : (3,), of the fields
    equations : of every point, the field fastest
    steps : whole steps in the duration
    every : (points,), steps between two samples of each, by its own fields
    """

    label: str
    drives: list[Waveform]
    fields: np.ndarray
    direction: np.ndarray
    equations: list[EquationOfMotion]
    steps: int
    every: np.ndarray


def diagram_grid(
    free: Macrospin,
    source: TorqueSource,
    *,
    voltage: Sequence[float] | np.ndarray | float | None = None,
    current_density: Sequence[float] | np.ndarray | float | None = None,
    field: Sequence[float] | np.ndarray | float,
    field_direction: Vector | None = None,
    duration: float,
    dt: float,
) -> DiagramGrid:
    """The points of a `phase_diagram` and how they are sampled, without a step; its arguments, and its errors."""
    label, drives = as_drives(voltage, current_density)
    if any(drive.varies for drive in drives):
        raise InputError(f"{label} varies with time; a phase diagram is of constant drives, give numbers")
    fields = field_values(field)
    direction = unit_vector(free.fixed if field_direction is None else field_direction, "field_direction")
    if free.alpha == 0:
        raise InputError("alpha=0 damps nothing, and no state is an end; give a damping > 0")
    steps = number_of_steps(duration, dt)
    by_drive = [driven_equation(free, source, label, drive) for drive in drives]
    equations = [with_field(equation, b * direction) for equation in by_drive for b in fields]
    for equation in equations:
        require_fine_step(equation, dt)
    every = [_sampling_interval(equation.largest_field(), dt) for equation in equations]
    most = int(WATCHED_SHARE * steps) // LEAST_SAMPLES
    if min(every) > most:
        least = (LEAST_SAMPLES + 1) * min(every) * dt / WATCHED_SHARE
        raise InputError(f"duration={duration!r} s is too short to tell states apart; give at least {least:.2g} s")
    # Where the fields are weak the samples are closer than they need be, and their number is enough.
    every = [min(one, _power_of_two(most)) for one in every]
    return DiagramGrid(
        label=label, drives=drives, fields=fields, direction=direction, equations=equations, steps=steps,
        every=np.array(every),
    )  # fmt: skip


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
    if free.stiffness < ISOTROPIC * VACUUM_PERMEABILITY * free.Ms:
        if free.second_order_anisotropy == 0:
            return np.asarray(free.fixed), FIXED_MOMENT_NAMES
        return np.asarray(free.easy_axis), EASY_AXIS_NAMES if free.second_order_anisotropy > 0 else EASY_PLANE_NAMES
    (low, middle, high), axes = np.linalg.eigh(free.field_tensor)
    if high - middle > middle - low:
        return axes[:, 2], EASY_AXIS_NAMES
    return axes[:, 0], EASY_PLANE_NAMES


def _sampling_interval(largest: float, dt: float) -> int:
    """Steps between two samples under a field (T): a power of two, so that many points of a diagram have the same."""
    turn = GYROMAGNETIC_RATIO * largest * dt
    return _power_of_two(int(SAMPLE_ANGLE / turn)) if turn > 0 else 1


def _power_of_two(number: int) -> int:
    """The largest one that is not above a number >= 1."""
    return 1 << (number.bit_length() - 1)


def _bound_of(every: int, dt: float) -> float:
    """A bound of the fields (T) of all points with these steps between two samples."""
    return SAMPLE_ANGLE / (GYROMAGNETIC_RATIO * every * dt)


def _samples(steps: int, every: int) -> int:
    """How many samples are looked at, a multiple of 3."""
    return min(int(WATCHED_SHARE * steps) // every, MOST_SAMPLES) // 3 * 3


def _end_of(
    samples: np.ndarray, interval: float, fixed: np.ndarray, axis: np.ndarray, unstable: np.ndarray
) -> dict[str, np.ndarray]:
    """What trajectories (time, n, 3) do, each array (n, ...).

    `interval` (s) lies between two samples; `unstable` (n, rest states, 3) are those that no moment ends at, or NaN.
    """
    parts = samples.reshape(3, -1, *samples.shape[1:])
    # A window that goes to 0 at the ends of a part: what is left there of a period would count as a drift.
    window = np.hanning(parts.shape[1] + 2)[1:-1]
    means = np.einsum("ptni,t->pni", parts, window / window.sum())
    amplitudes = np.sqrt(np.maximum(0.0, 1 - np.sum(means**2, axis=2)))
    mean = means[2]
    deviation = samples - mean
    cycles, frequency = _oscillation(deviation, interval)
    area = np.cross(deviation[:-1], deviation[1:]).sum(axis=0)
    size = np.linalg.norm(area, axis=1)
    about = np.abs(area @ axis) > NEAR * np.maximum(size, SMALLEST)
    along = mean @ fixed / np.maximum(np.linalg.norm(mean, axis=1), SMALLEST)
    rest, steady, drifts = _settled(amplitudes, means)
    rest &= ~_beside(mean, amplitudes[2], unstable)
    orbits = steady & ~rest & (cycles >= LEAST_CYCLES)
    orbit = np.select([orbits & about, orbits], [ABOUT, ACROSS], UNSETTLED)
    at_rest = [rest & (along > NEAR), rest & (along < -NEAR), rest]
    return {
        "state": np.select([*at_rest, ~drifts], [PARALLEL, ANTIPARALLEL, CANTED, orbit], UNSETTLED),
        "orbit": orbit,
        "m_mean": mean,
        "precession_amplitude": amplitudes[2],
        "frequency": frequency,
    }


def _moving(found: dict[str, np.ndarray]) -> np.ndarray:
    """Which trajectories are not at rest, by their states and amplitudes, to the last digits that matter."""
    return (found["state"] > CANTED) | (found["precession_amplitude"] >= MOTIONLESS)


def _replace(found: dict[str, np.ndarray], lanes: np.ndarray, later: dict[str, np.ndarray]) -> None:
    for name, values in later.items():
        found[name][lanes] = values


def _on_the_same_orbit(before: dict[str, np.ndarray], later: dict[str, np.ndarray]) -> np.ndarray:
    """Whether what seemed to drift is a limit cycle of few periods: after `LONGEST` durations it is where it was."""
    first, last = before["precession_amplitude"], later["precession_amplitude"]
    shift = np.linalg.norm(later["m_mean"] - before["m_mean"], axis=1)
    same = (np.minimum(first, last) > STEADY * np.maximum(first, last)) & (shift < REST_AMPLITUDE)
    return same & (later["orbit"] == before["orbit"]) & (later["state"] == UNSETTLED)


def _settled(amplitudes: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether amplitudes (3, n) of consecutive times are those of rest, are steady to some percent, and drift.

    The mean moments (3, n, 3) must stay where they are. Amplitudes that fall are those of rest where they fall to
    nothing. Aitken's formula is the limit of the exponential through the three.
    """
    first, second, last = amplitudes
    way = means[2] - means[0]
    shift = np.linalg.norm(way, axis=1)
    rises, falls = (first < second) & (second < last), (first > second) & (second > last)
    grows = rises & (first < STEADY * last) & (last > LEAST_AMPLITUDE)
    decays = falls & (last < STEADY * first)
    curvature = (last - second) - (second - first)
    to_nothing = decays & (curvature > 0)
    limit = last - (last - second) ** 2 / np.where(to_nothing, curvature, 1.0)
    stays = shift < LARGEST_SHIFT
    rest = ((np.maximum(last, shift) < REST_AMPLITUDE) & ~grows) | (stays & to_nothing & (limit < last / 2))
    fades = (rises | falls) & (np.abs(last - first) > LARGEST_DRIFT * np.maximum(first, last))
    along = np.sum((means[1] - means[0]) * way, axis=1)
    moves = (along > 0) & (along < shift**2) & (shift > LARGEST_DRIFT)
    return rest, stays & ~grows & ~decays, fades | moves


def _beside(mean: np.ndarray, amplitude: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Whether mean moments (n, 3) lie within the amplitude of one of the states (n, rest states, 3), NaN for none."""
    direction = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), SMALLEST)
    distance = np.linalg.norm(states - direction[:, np.newaxis], axis=2)
    return np.any(distance < np.maximum(amplitude, BESIDE)[:, np.newaxis], axis=1)


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

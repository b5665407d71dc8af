"""Moments in motion: many at once, each under an equation of its own, and single trajectories."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.llg.drive import FieldDrive, Waveform
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.lanes import LANES, Block
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.pair import CoupledMacrospins, PairEquation, pair_equation
from qtorque.torquemap import TorqueMap
from qtorque.units import GYROMAGNETIC_RATIO

LARGEST_PRECESSION_ANGLE = 0.1
"""rad a step. Heun's method blows up a precession by a factor 1 + x^4/8 a step of x rad, a damping of -x^3/8: at 0.1 it
takes 1.2 % from a Gilbert damping of 0.01, at 0.2 already 10 %."""

NO_STEPS = np.empty(0, dtype=np.int64)


LEAST_TOLERANCE = 1e-14
"""Of a step of the adaptive integrator; below it rounding decides."""


class Moments:
    """Moments advanced together; the state of an integration, changed by `advance`.

    Parameters
    ----------
    equations
        One for all moments, or one for each. `EquationOfMotion` of single moments, or `PairEquation` of pairs.
    m : (n, 3), (n, 2, 3) of pairs, or one direction for all
        Unit vectors.
    dt : s
        Length of a step. Thermal fluctuations are those of a field that is constant over it.
    streams : (n, 3) of whole numbers
        Address (seed, point, trajectory) of the random numbers of each moment or pair; needed at temperatures > 0.
    watch : (3,)
        `crossed` then tells the first step under the present equations after which m.watch has another sign than
        in `m`.

    Notes
    -----
    With a thermal field steps are Heun's (Stratonovich), without the classical ones of Runge and Kutta, order 4. What
    happens to a moment depends on its equation, start and address alone, not on the others.
    """

    def __init__(
        self,
        equations: EquationOfMotion | PairEquation | Sequence[EquationOfMotion] | Sequence[PairEquation],
        m: ArrayLike,
        dt: float,
        *,
        streams: np.ndarray | None = None,
        watch: ArrayLike | None = None,
    ):
        given: list[Any] = list(equations) if isinstance(equations, (list, tuple)) else [equations]
        start = np.asarray(m, dtype=float)
        self._pairs = isinstance(given[0], PairEquation)
        single = 2 if self._pairs else 1
        if start.ndim == single:
            start = np.broadcast_to(start, (len(given), *start.shape))
        self.size, self.dt, self._steps = start.shape[0], dt, 0
        lanes = LANES // single
        self._blocks = [
            Block(
                start[i : i + lanes].reshape(-1, single, 3), None if streams is None else streams[i : i + lanes], watch
            )
            for i in range(0, self.size, lanes)
        ]
        self._lanes = lanes
        self.set_equations(given)

    def set_equations(self, equations: Sequence[EquationOfMotion] | Sequence[PairEquation]) -> None:
        """Go on under other equations, with their drives at time 0."""
        of_each: list[Any] = list(equations) * (self.size if len(equations) == 1 else 1)
        if len(of_each) != self.size:
            raise ValueError(f"{len(of_each)} equations for {self.size} moments")
        self._steps = 0
        for i, block in enumerate(self._blocks):
            block.set_equations(of_each[i * self._lanes : (i + 1) * self._lanes], self.dt)

    @property
    def m(self) -> np.ndarray:
        """Present directions, (n, 3) or (n, 2, 3)."""
        return self._shaped(np.concatenate([block.directions() for block in self._blocks]))

    @property
    def time(self) -> float:
        """s since the present equations were set."""
        return self._steps * self.dt

    @property
    def crossed(self) -> np.ndarray:
        """Number of the first step after which m.watch had another sign than at first, (n,) or (n, 2); -1: none."""
        found = np.concatenate([block.crossed() for block in self._blocks])
        return found if self._pairs else found[:, 0]

    def advance(self, steps: int, *, sample_steps: np.ndarray = NO_STEPS, every: int | None = None) -> np.ndarray:
        """Take steps, and return the directions after some of them.

        Parameters
        ----------
        steps : how many
        sample_steps : (s,), ascending within 1 .. steps
        every : record after each so many steps instead

        Returns
        -------
        (s, n, 3), or (s, n, 2, 3) of pairs
        """
        if every is not None:
            sample_steps = np.arange(every, steps + 1, every)
        samples = [
            block.advance(self._steps, steps, self.dt, np.asarray(sample_steps, dtype=np.int64))
            for block in self._blocks
        ]
        self._steps += steps
        return self._shaped(np.concatenate(samples, axis=1))

    def advance_adaptively(self, start: float, end: float, tolerance: float) -> None:
        """From time `start` to `end` (s) without thermal field, by the Dormand-Prince method of order 5(4).

        The largest component of the estimated error of a step is kept below the tolerance. Drives should be smooth
        within the interval.
        """
        for block in self._blocks:
            block.advance_adaptively(start, end, tolerance)

    def _shaped(self, directions: np.ndarray) -> np.ndarray:
        return directions if self._pairs else directions[..., 0, :]


def number_of_steps(duration: float, dt: float) -> int:
    """Whole steps nearest to a duration (s), at least one; InputError unless duration and dt are positive."""
    require_positive("dt", dt)
    require_positive("duration", duration)
    return max(1, round(duration / dt))


def output_steps(steps: int, samples: int) -> np.ndarray:
    """At most `samples` + 1 evenly spread steps from 0 to `steps`, both included; InputError if samples < 1."""
    require_count("samples", samples)
    return np.unique(np.rint(np.linspace(0, steps, samples + 1)).astype(np.int64))


def require_count(name: str, value: int) -> None:
    """InputError unless the value is a whole number >= 1."""
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}={value!r} is no count; give a whole number >= 1")


def require_seed(seed: int) -> None:
    """InputError unless the seed is a whole number >= 0."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InputError(f"seed={seed!r} is no seed; give a whole number >= 0 and below 2^64")


def require_fine_step(equation: EquationOfMotion | PairEquation, dt: float) -> None:
    """InputError if a moment can turn by more than `LARGEST_PRECESSION_ANGLE` in a step dt (s).

    By precession, or by a thermal field of one standard deviation.
    """
    largest = equation.largest_field()
    if GYROMAGNETIC_RATIO * largest * dt > LARGEST_PRECESSION_ANGLE:
        limit = LARGEST_PRECESSION_ANGLE / (GYROMAGNETIC_RATIO * largest)
        raise InputError(f"dt={dt!r} s is too long for fields of up to {largest:.3g} T; give at most {limit:.2g} s")
    kick = GYROMAGNETIC_RATIO * equation.fluctuation * math.sqrt(dt)
    if kick > LARGEST_PRECESSION_ANGLE:
        limit = dt * (LARGEST_PRECESSION_ANGLE / kick) ** 2
        raise InputError(f"dt={dt!r} s is too long for thermal turns of {kick:.2g} rad; give at most {limit:.2g} s")


def run(
    free: Macrospin | CoupledMacrospins,
    source: TorqueSource | None,
    *,
    voltage: float | Waveform | None = None,
    current_density: float | Waveform | None = None,
    field: FieldDrive | None = None,
    initial: str | ArrayLike,
    duration: float,
    dt: float | None = None,
    tolerance: float | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    samples: int = 1000,
) -> xr.Dataset:
    """One trajectory, from exactly the given direction (at 0 K a moment along an axis of symmetry stays there).

    At T > 0 by Heun's method (Stratonovich), at T = 0 by the classical Runge-Kutta method of order 4 in steps of `dt`,
    or with `tolerance` in steps of its own by the method of Dormand and Prince of order 5(4).

    Parameters
    ----------
    free, source
        The free layer or two coupled ones, and the torque: a torque map, a closed form, or None.
    voltage, current_density : V or A/m^2
        A number or a `Waveform`, one of the two. With dt, edges of a pulse should fall between two steps: an edge
        inside one is seen up to a step early or late, and errors are of first order in dt then.
    field : FieldDrive
        A field that changes with time, added to that of the free layer.
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector; two unit vectors for a pair
    duration, dt : s
    tolerance
        Largest error of a step, at T = 0 in place of dt.
    temperature : K
    seed
        Of the thermal field.
    samples
        The trajectory is recorded at about this many evenly spread times, and at 0.

    Returns
    -------
    Dataset with m (time, xyz), of a pair (time, magnet, xyz).

    Raises
    ------
    InputError
        For a value out of range, a voltage outside the map, a map that does not cover 0 to pi, a dt too long for the
        precession, dt and tolerance both or neither.
    """
    require_seed(seed)
    require_count("samples", samples)
    if (dt is None) == (tolerance is None):
        raise InputError("give a step dt= (s), or at temperature 0 a tolerance= in its place")
    build: Any = pair_equation if isinstance(free, CoupledMacrospins) else equation_of_motion
    equation = build(free, source, voltage, current_density=current_density, field=field, temperature=temperature)
    start = free.initial_direction(initial)
    if dt is None:
        if temperature > 0:
            raise InputError(f"temperature={temperature!r} has no smooth trajectory; give dt= in place of tolerance=")
        times, m = _adaptive_path(equation, start, duration, tolerance or 0.0, samples)
    else:
        steps = number_of_steps(duration, dt)
        recorded = output_steps(steps, samples)
        require_fine_step(equation, dt)
        moments = Moments(equation, start[np.newaxis], dt, streams=np.array([[seed, 0, 0]], dtype=np.uint64))
        path = moments.advance(steps, sample_steps=recorded[1:])
        times, m = recorded * dt, np.concatenate([start[np.newaxis], path[:, 0]])
    dims = ("time", "xyz") if m.ndim == 2 else ("time", "magnet", "xyz")
    integration = {"dt": dt} if dt is not None else {"tolerance": tolerance}
    return xr.Dataset(
        {"m": (dims, m, {"units": "1", "long_name": "direction of the free moment"})},
        {"time": time_coordinate(times), "xyz": ["x", "y", "z"]},
        attrs={
            "current_density" if current_density is not None else "voltage": equation.drive.peak,
            "duration": duration,
            **integration,
            **drive_attributes([equation.drive], field),
            **source_attributes(source),
            **run_attributes(free, initial, temperature, seed),
        },
    )


def _adaptive_path(
    equation: EquationOfMotion | PairEquation, start: np.ndarray, duration: float, tolerance: float, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Times and directions of one moment; steps end at every sample and at every kink of the drives."""
    require_positive("duration", duration)
    if not LEAST_TOLERANCE <= tolerance < 1:
        raise InputError(f"tolerance={tolerance!r} is out of range; give a number within {LEAST_TOLERANCE:g} .. 1")
    times = np.linspace(0, duration, samples + 1)
    kinks = [kink for kink in equation.kinks if 0 < kink < duration]
    stops = np.union1d(times, kinks)
    moments = Moments(equation, start[np.newaxis], dt=duration)
    path = [start]
    for begin, end in zip(stops[:-1], stops[1:], strict=True):
        moments.advance_adaptively(begin, end, tolerance)
        if end in times:
            path.append(moments.m[0])
    return times, np.array(path)


def time_coordinate(times: np.ndarray) -> tuple[str, np.ndarray, dict[str, str]]:
    """The coordinate time (s)."""
    return "time", times, {"units": "s", "long_name": "time"}


def run_attributes(
    free: Macrospin | CoupledMacrospins, initial: str | ArrayLike, temperature: float, seed: int
) -> dict[str, str | float | tuple[float, ...]]:
    """Start, temperature, seed and free layer of a result as attributes; the layer as free_<name>, SI."""
    return {
        "initial": initial if isinstance(initial, str) else str(np.asarray(initial).tolist()),
        "temperature": temperature,
        "seed": seed,
        **magnet_attributes(free),
    }


def magnet_attributes(free: Macrospin | CoupledMacrospins) -> dict[str, str | float | tuple[float, ...]]:
    """The parameters of a free layer as attributes, free_<name> in SI."""
    return _attributes("free", free)


def source_attributes(source: TorqueSource | None) -> dict[str, str | float | int]:
    """The torque of a result as attributes: a closed form in words, of a map where it comes from."""
    if source is None:
        return {"torque": "none"}
    if not isinstance(source, TorqueMap):
        return {"torque": repr(source)}
    return {"torque": "torque map", **{f"map_{name}": value for name, value in source.attributes.items()}}


def drive_attributes(drives: Sequence[Waveform], field: FieldDrive | None) -> dict[str, str]:
    """Drives that change with time as attributes, in words."""
    shapes = [repr(drive) for drive in drives if drive.varies]
    found = {"drive": "; ".join(shapes)} if shapes else {}
    return found if field is None else found | {"field_drive": repr(field)}


def _attributes(prefix: str, record: object) -> dict[str, str | float | tuple[float, ...]]:
    """The fields of a record as attributes that NetCDF can hold: numbers, flat tuples, else text."""
    found: dict[str, str | float | tuple[float, ...]] = {}
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            found |= _attributes(f"{prefix}_{field.name}", value)
        else:
            flat = isinstance(value, (float, int)) or np.asarray(value).ndim == 1
            found[f"{prefix}_{field.name}"] = value if flat else str(value)
    return found

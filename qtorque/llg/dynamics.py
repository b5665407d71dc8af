r"""Equation of motion of one moment under a torque map, with thermal field: integrator and single trajectories.

    dm/dt = -gamma m x (B + B_th) + alpha m x dm/dt + gamma/(Ms Vol) [tau_DL m x (p x m) - tau_FL m x p]

with tau in J for the whole free layer, in the spin frame of the map (hence the minus sign: m is the moment, m = -s), so
that tau_FL acts as a field +tau_FL/(Ms Vol) along p. With T all terms but the damping one,
dm/dt = (T + alpha m x T)/(1 + alpha^2), integrated by Heun's method in the sense of Stratonovich.

The thermal field (W. F. Brown, Phys. Rev. 130, 1677 (1963)) stands in T beside B, so it is turned and scaled like B.
Its three components are independent Gaussian numbers, constant over a step dt, of variance

    sigma^2 = 2 alpha kT/(gamma Ms Vol dt).

The transverse part h of it moves m at the rate gamma (h + alpha m x h)/(1 + alpha^2), up to a right angle, and
|h + alpha m x h|^2 = (1 + alpha^2) |h|^2: each tangent component of m diffuses by gamma^2 sigma^2 dt/(1 + alpha^2) per
time. The damping moves m downhill with the mobility alpha gamma/((1 + alpha^2) Ms Vol). Einstein's relation, diffusion
= 2 kT mobility, is the variance above, and the Boltzmann distribution the equilibrium.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.interpolate import PPoly

from qtorque.errors import InputError
from qtorque.llg._dynamics_kernels import heun, reduced_rate
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.torquemap import GRID_TOLERANCE, TorqueMap
from qtorque.units import BOLTZMANN, GYROMAGNETIC_RATIO, joule

LARGEST_PRECESSION_ANGLE = 0.1
"""rad a step. Heun's method blows up a precession by a factor 1 + x^4/8 a step of x rad, a damping of -x^3/8: at 0.1 it
takes 1.2 % from a Gilbert damping of 0.01, at 0.2 already 10 %."""

BLOCK_STEPS = 250
"""Steps for which random numbers are held at once: 6 kB a trajectory, so that those of 64 stay in the nearer caches."""


NO_STEPS = np.empty(0, dtype=np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EquationOfMotion:
    """Deterministic equation of motion of one magnet under one torque; fields in T.

    field : (3,); tensor : (3, 3), B = field + tensor m; fixed : (3,), p
    angles, damping_like, field_like : (k + 1,), (4, k), (4, k)
        tau/(Ms Vol) as piecewise cubics of the angle (scipy's PPoly layout), spin frame.
    """

    alpha: float
    field: np.ndarray
    tensor: np.ndarray
    fixed: np.ndarray
    angles: np.ndarray
    damping_like: np.ndarray
    field_like: np.ndarray

    def rate(self, m: np.ndarray) -> np.ndarray:
        """dm/dt in 1/s at one direction m, (3,) -> (3,)."""
        return GYROMAGNETIC_RATIO / (1 + self.alpha**2) * reduced_rate(m, *self._kernel_arguments())

    def advance(
        self,
        m: np.ndarray,
        steps: int,
        dt: float,
        *,
        sample_steps: np.ndarray = NO_STEPS,
        thermal_field: float = 0.0,
        generators: Sequence[np.random.Generator] = (),
    ) -> np.ndarray:
        """Advance independent moments in place and return them after the steps `sample_steps`.

        Parameters
        ----------
        m : (n, 3), unit vectors, changed in place
        steps, dt : number of steps and length of a step in s
        sample_steps : (s,) int, ascending within 1 .. steps
        thermal_field : standard deviation of each component, T
        generators : one source of standard normal numbers for each moment; none without thermal field

        Returns
        -------
        (s, n, 3)
        """
        samples = np.empty((sample_steps.size, *m.shape))
        normals = np.zeros((m.shape[0], BLOCK_STEPS, 3))
        step = GYROMAGNETIC_RATIO * dt / (1 + self.alpha**2)
        for first in range(0, steps, BLOCK_STEPS):
            count = min(BLOCK_STEPS, steps - first)
            for block, generator in zip(normals, generators, strict=False):
                generator.standard_normal(out=block[:count])
            begin, end = np.searchsorted(sample_steps, [first, first + count], side="right")
            heun(m, normals, count, step, thermal_field, *self._kernel_arguments(),
                 sample_steps[begin:end] - first, samples[begin:end])  # fmt: skip
        return samples

    def largest_field(self) -> float:
        """An upper bound of |dm/dt|/gamma at small damping, T."""
        pull, push = (PPoly(c, self.angles)(self.angles) for c in (self.damping_like, self.field_like))
        eigenvalues = np.linalg.eigvalsh(self.tensor)
        internal = eigenvalues[-1] - eigenvalues[0]
        return float(np.linalg.norm(self.field) + internal + np.max(np.abs(pull) + np.abs(push)))

    def _kernel_arguments(
        self,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
        return self.field, self.tensor, self.fixed, self.alpha, self.angles, self.damping_like, self.field_like


def equation_of_motion(free: Macrospin, tmap: TorqueMap | None, voltage: float) -> EquationOfMotion:
    """The equation of motion at one voltage (V); without a map there is no torque and the voltage means nothing.

    Raises
    ------
    InputError
        For a voltage outside the map, or a map that does not reach from 0 to pi: a trajectory may visit any angle.
    """
    if tmap is None:
        angles, damping_like, field_like = np.array([0.0, math.pi]), np.zeros((4, 1)), np.zeros((4, 1))
    else:
        if tmap.angle[0] > GRID_TOLERANCE or tmap.angle[-1] < math.pi - GRID_TOLERANCE:
            raise InputError(
                f"angle of the torque map runs from {tmap.angle[0]:.6g} to {tmap.angle[-1]:.6g} rad; "
                "dynamics needs all angles, compute the map from 0 to pi"
            )
        at_voltage = tmap.at_voltage(voltage)
        to_tesla = joule(tmap.cells(free.area)) / free.moment
        angles = np.array(at_voltage.breakpoints)
        damping_like, field_like = to_tesla * at_voltage.damping_like, to_tesla * at_voltage.field_like
    return EquationOfMotion(
        alpha=float(free.alpha),
        field=np.array(free.field),
        tensor=free.field_tensor,
        fixed=np.array(free.fixed),
        angles=angles,
        damping_like=np.ascontiguousarray(damping_like),
        field_like=np.ascontiguousarray(field_like),
    )


def thermal_field(free: Macrospin, temperature: float, dt: float) -> float:
    """Standard deviation sqrt(2 alpha kT/(gamma Ms Vol dt)) of each component of the thermal field in a step dt (s), T.

    InputError unless the temperature (K) is finite and not negative.
    """
    if not 0 <= temperature < math.inf:
        raise InputError(f"temperature={temperature!r} is out of range; give a number of kelvin >= 0")
    return math.sqrt(2 * free.alpha * BOLTZMANN * temperature / (GYROMAGNETIC_RATIO * free.moment * dt))


def normal_numbers(seed: int, point: int, trajectory: int) -> np.random.Generator:
    """The stream of random numbers at the address (seed, point, trajectory), whoever asks for it and when."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(point, trajectory))))


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
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed={seed!r} is no seed; give a whole number >= 0")


def require_fine_step(equation: EquationOfMotion, dt: float) -> None:
    """InputError if the moment can precess by more than `LARGEST_PRECESSION_ANGLE` in a step dt (s)."""
    largest = equation.largest_field()
    if GYROMAGNETIC_RATIO * largest * dt > LARGEST_PRECESSION_ANGLE:
        limit = LARGEST_PRECESSION_ANGLE / (GYROMAGNETIC_RATIO * largest)
        raise InputError(f"dt={dt!r} s is too long for fields of up to {largest:.3g} T; give at most {limit:.2g} s")


def run(
    free: Macrospin,
    tmap: TorqueMap | None,
    *,
    voltage: float = 0.0,
    initial: str | ArrayLike,
    duration: float,
    dt: float,
    temperature: float = 0.0,
    seed: int = 0,
    samples: int = 1000,
) -> xr.Dataset:
    """One trajectory, from exactly the given direction (at 0 K a moment along an axis of symmetry stays there).

    Parameters
    ----------
    free, tmap
        The free layer, and the torque on it; None is no torque.
    voltage : V
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
    duration, dt : s
    temperature : K
    seed
        Of the thermal field.
    samples
        The trajectory is recorded at about this many evenly spread times, and at 0.

    Returns
    -------
    Dataset with m (time, xyz).

    Raises
    ------
    InputError
        For a value out of range, a voltage outside the map, a map that does not cover 0 to pi, a dt too long for the
        precession.
    """
    steps = number_of_steps(duration, dt)
    recorded = output_steps(steps, samples)
    require_seed(seed)
    fluctuation = thermal_field(free, temperature, dt)
    equation = equation_of_motion(free, tmap, voltage)
    require_fine_step(equation, dt)
    start = free.initial_direction(initial)
    generators = [normal_numbers(seed, 0, 0)] if fluctuation else []
    path = equation.advance(
        start[np.newaxis].copy(), steps, dt,
        sample_steps=recorded[1:], thermal_field=fluctuation, generators=generators,
    )  # fmt: skip
    m = np.concatenate([start[np.newaxis], path[:, 0]])
    return xr.Dataset(
        {"m": (("time", "xyz"), m, {"units": "1", "long_name": "direction of the free moment"})},
        {"time": time_coordinate(recorded, dt), "xyz": ["x", "y", "z"]},
        attrs={"voltage": float(voltage), **run_attributes(free, initial, dt, temperature, seed)},
    )


def time_coordinate(steps: np.ndarray, dt: float) -> tuple[str, np.ndarray, dict[str, str]]:
    """The coordinate time (s) of recorded steps."""
    return "time", steps * dt, {"units": "s", "long_name": "time"}


def run_attributes(
    free: Macrospin, initial: str | ArrayLike, dt: float, temperature: float, seed: int
) -> dict[str, str | float | tuple[float, ...]]:
    """What a result depends on, as attributes; the free layer as free_<name>, SI."""
    return {
        "initial": initial if isinstance(initial, str) else str(np.asarray(initial).tolist()),
        "dt": dt,
        "temperature": temperature,
        "seed": seed,
        **{f"free_{name}": value for name, value in dataclasses.asdict(free).items()},
    }

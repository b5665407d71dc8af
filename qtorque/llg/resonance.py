r"""Spin-torque ferromagnetic resonance: the direct voltage that a junction makes of an alternating drive. SI.

A drive b + a sin(2 pi f t) turns the moment, and with it the resistance, at its own frequency: current times resistance
has a mean. Measured is

    V = <I R> - I_0 R_0                at a given current I(t),
    V = -(<I> - I_0)/(dI_0/dV)         at a given voltage, with the direct circuit open,

where 0 is the state without alternating drive, and dI_0/dV that of the junction whose moment comes to rest anew at each
direct voltage: with i(x, V) the current at the coordinates x of m across its rest state, and dx/dt = F(x, V),
dI_0/dV = di/dV - (di/dx) (dF/dx)^-1 dF/dV. With small amplitudes both are a^2 times a function of the frequency,
whose resonant part is a sum of a symmetric and an antisymmetric Lorentzian (A. A. Tulapurkar et al., Nature 438, 339
(2005); J. C. Sankey et al., Nat. Phys. 4, 67 (2008); from memory). A voltage of that sign opposes what flows: a torque
tau_DL > 0 of a tunnel junction lowers R while V > 0, and the symmetric part is negative.

Near a rest state in which the stiffness fields across m are B_1 and B_2, dm/dt has the eigenvalues -Gamma +- i omega
with omega^2 + Gamma^2 = gamma^2 B_1 B_2/(1 + alpha^2) and Gamma = alpha gamma (B_1 + B_2)/(2 (1 + alpha^2)): the
resonance of C. Kittel, and a half width at half maximum of Gamma/(2 pi) in frequency. In a film magnetised in its plane
by a field B, B_1 = B and B_2 = B + mu_0 Ms.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import Vector, Waveform, sine
from qtorque.llg.dynamics import Moments, require_count, require_fine_step, run_attributes
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion
from qtorque.llg.lanes import LANES
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.resistance import AngularResistance, AnisotropicResistance, Readout, readout
from qtorque.llg.rest_states import DIFFERENCE_STEP, rest_states
from qtorque.llg.trajectories import as_drives, drive_coordinate
from qtorque.spin import rotation, unit_vector
from qtorque.torquemap import TorqueMap

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

SETTLING_TIMES = 16.0
"""Default settling time in relaxation times: what is left of the start is exp(-16), 1e-7."""

PHASES = 16
"""Samples of a period: a mean over them is exact up to the 15th harmonic."""

SMALL_DEVIATION = 1e-3
"""rad, of the moment in the linear route: corrections of fourth order are then 1e-6 of the result."""

SMALL_VOLTAGE = 1e-3
"""V, of the drive in the linear route under a torque map, for the same reason."""

SMALLEST_STEP = {"voltage": 1e-6, "current_density": 1e6}
"""V and A/m^2, of differences in the drive, however small its amplitude: its field, some 1e-7 T, is seen in one of 1 T
to nine digits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Point:
    """A magnet at rest under one bias and one field.

    m : rest state; tangents : (2, 3); jacobian : (2, 2), 1/s; force : (2,), change of the rate per unit of the drive
    step : of the drive in differences
    room : distance of the bias from the nearest end of a torque map; infinite without one
    """

    free: Macrospin
    bias: float
    equation: EquationOfMotion
    instrument: Readout
    m: np.ndarray
    tangents: np.ndarray
    jacobian: np.ndarray
    force: np.ndarray
    step: float
    room: float

    @property
    def mode(self) -> complex:
        """The eigenvalue of the least damped mode with Im >= 0, 1/s."""
        eigenvalues = np.linalg.eigvals(self.jacobian)
        slowest = eigenvalues[np.argmax(eigenvalues.real)]
        return complex(slowest.real, abs(slowest.imag))

    @property
    def key(self) -> tuple:
        """All that the rectified voltage depends on, for a checkpoint."""
        return (self.free, self.bias, self.equation, self.m, *self.instrument.key)

    def rectified(self, signal: np.ndarray) -> np.ndarray:
        """Voltage (V) of mean signals (...), A or V."""
        change = signal - self.instrument.signal(self.m, self.bias)
        if self.instrument.drive != "voltage":
            return change
        ends = self.bias + self.step * np.array([1.0, -1.0])
        at_rest = self.instrument.signal(np.broadcast_to(self.m, (2, 3)), ends)
        aside = DIFFERENCE_STEP * np.concatenate([self.tangents, -self.tangents])
        beside = self.instrument.signal((self.m + aside) / math.sqrt(1 + DIFFERENCE_STEP**2), np.full(4, self.bias))
        # The direct voltage moves the rest state, too.
        following = -np.linalg.solve(self.jacobian, self.force)
        slope = (at_rest[0] - at_rest[1]) / (ends[0] - ends[1])
        return -change / (slope + (beside[:2] - beside[2:]) / (2 * DIFFERENCE_STEP) @ following)


def spin_torque_resonance(
    free: Macrospin,
    source: TorqueSource,
    *,
    frequency: ArrayLike,
    amplitude: float,
    voltage: float | Sequence[float] | None = None,
    current_density: float | Sequence[float] | None = None,
    field: float | Sequence[float] | None = None,
    field_direction: Vector | None = None,
    initial: str | ArrayLike | None = None,
    resistance: AngularResistance | AnisotropicResistance | None = None,
    cross_section: float | None = None,
    dt: float,
    periods: int = 4,
    settle: float | None = None,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Rectified voltage versus frequency, field and bias, by simulation at 0 K with the amplitude as it is.

    Every point starts at rest and is averaged over whole periods after it has settled.

    Parameters
    ----------
    free, source
        The free layer, and the torque on it: a torque map or a closed form.
    frequency : Hz, (f,)
    amplitude : V or A/m^2
        Of the alternating drive, a sine.
    voltage, current_density : V or A/m^2, one of the two
        Bias, a number or a list; 0 for none.
    field : T
        Applied fields along `field_direction`, in place of that of the free layer, which is the default.
    field_direction : unit vector; by default that of the field of the free layer
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
        From where the moment relaxes to its rest state; by default along the applied field.
    resistance
        Model of the resistance; by default the charge current of a torque map.
    cross_section : m^2
        Through which the current density flows where that is the drive; by default the area of the layer. A current
        in the plane of a film has no default.
    dt : s
        Longest step; a frequency gets one of which its period is a multiple.
    periods : to average over
    settle : s
        By default `SETTLING_TIMES` relaxation times of the point that relaxes most slowly.
    comm, checkpoint, progress
        As in `parallel.map_chunks`.

    Returns
    -------
    Dataset
        rectified_voltage (bias, field, frequency), V; settling_error, V: how much the first half of the periods differs
        from the second. resonance_frequency and half_width (bias, field), Hz: of the eigenvalue at the rest
        state. rest (bias, field, xyz): the rest state. The bias is called voltage or current_density.

    Raises
    ------
    InputError
        Before any step, for a value out of range, a torque without resistance, a rest state that is unstable.
    """
    frequencies = _frequencies(frequency)
    require_count("periods", periods)
    require_positive("dt", dt)
    label, points, fields = _points(
        free, source, voltage, current_density, field, field_direction, initial, resistance, cross_section, amplitude
    )
    flat = [point for row in points for point in row]
    relaxation = max(-1 / point.mode.real for point in flat)
    settle = SETTLING_TIMES * relaxation if settle is None else settle
    if not 0 <= settle < math.inf:
        raise InputError(f"settle={settle!r} is out of range; give seconds >= 0")

    def driven(point: _Point, drive: Waveform) -> EquationOfMotion:
        return equation_of_motion(point.free, source, **{label: drive})  # type: ignore[arg-type]

    for point in flat:
        for bound in (point.bias - amplitude, point.bias + amplitude):
            require_fine_step(driven(point, sine(0.0, 0.0, offset=bound)), dt)

    def work(chunk: tuple[int, int]) -> np.ndarray:
        """Rectified voltage of some points at one frequency, of the first and of the second half, (2, points)."""
        number, first = chunk
        lanes, f = flat[first : first + LANES], frequencies[number]
        drives = [sine(amplitude, f, offset=point.bias) for point in lanes]
        every = math.ceil(1 / (f * PHASES * dt))
        step = 1 / (f * PHASES * every)
        equations = [driven(point, drive) for point, drive in zip(lanes, drives, strict=True)]
        moments = Moments(equations, np.array([point.m for point in lanes]), step)
        moments.advance(math.ceil(settle * f) * PHASES * every)
        halves = []
        for count in (periods - periods // 2, max(periods // 2, 1)):
            begin = moments.time
            m = moments.advance(count * PHASES * every, every=every)
            times = begin + every * step * np.arange(1, m.shape[0] + 1)
            signals = [
                point.instrument.signal(m[:, i], drive(times)).mean()
                for i, (point, drive) in enumerate(zip(lanes, drives, strict=True))
            ]
            halves.append([point.rectified(s) for point, s in zip(lanes, signals, strict=True)])
        return np.array(halves)

    firsts = range(0, len(flat), LANES)
    chunks = [(number, first) for number in range(frequencies.size) for first in firsts]
    keys = [point.key for point in flat]
    torques = [driven(point, sine(amplitude, 0.0, offset=point.bias)) for point in flat]
    numbers = (frequencies, amplitude, dt, periods, settle)
    part = parallel.checkpoint_part(checkpoint, "spin_torque_resonance", keys, torques, numbers)
    results = parallel.map_chunks(work, chunks, comm=comm, checkpoint=part, progress=progress)
    per_frequency = [np.concatenate(results[i : i + len(firsts)], axis=1) for i in range(0, len(results), len(firsts))]
    halves = np.array(per_frequency).transpose(1, 2, 0).reshape(2, len(points), len(fields), -1)
    found = _dataset(label, points, fields, frequencies, halves.mean(axis=0))
    dims = found["rectified_voltage"].dims
    words = "difference between the two halves of the averaging time"
    found["settling_error"] = (dims, halves[1] - halves[0], {"units": "V", "long_name": words})
    return found.assign_attrs(
        amplitude=amplitude, dt=dt, periods=periods, settle=settle, **run_attributes(free, str(initial), 0.0, 0)
    )


def linear_spin_torque_resonance(
    free: Macrospin,
    source: TorqueSource,
    *,
    frequency: ArrayLike,
    amplitude: float,
    voltage: float | Sequence[float] | None = None,
    current_density: float | Sequence[float] | None = None,
    field: float | Sequence[float] | None = None,
    field_direction: Vector | None = None,
    initial: str | ArrayLike | None = None,
    resistance: AngularResistance | AnisotropicResistance | None = None,
    cross_section: float | None = None,
) -> xr.Dataset:
    r"""Rectified voltage versus frequency, field and bias to second order in the amplitude, without simulation.

    In coordinates x of the tangent plane at the rest state dx/dt = F(x, drive). To first order x_1 = Re X exp(i w t)
    with (i w - dF/dx) X = a dF/d(drive). The mean of F over a period under x_1 moves the mean of x by
    x_2 = -(dF/dx)^-1 <F(x_1, drive)>, of second order, and the signal is averaged along x_1 + x_2: mixing, the shift of
    the mean direction and the curvature of resistance and current are all there. Exact for small amplitudes at any
    bias.

    Parameters and errors are those of `spin_torque_resonance`.

    Returns
    -------
    Dataset
        rectified_voltage (bias, field, frequency), V, scaled to the amplitude; resonance_frequency, half_width and
        rest as in `spin_torque_resonance`.
    """
    frequencies = _frequencies(frequency)
    label, points, fields = _points(
        free, source, voltage, current_density, field, field_direction, initial, resistance, cross_section, amplitude
    )
    values = [[_second_order(point, source, label, frequencies, amplitude) for point in row] for row in points]
    found = _dataset(label, points, fields, frequencies, np.array(values))
    return found.assign_attrs(amplitude=amplitude, **run_attributes(free, str(initial), 0.0, 0))


def _frequencies(frequency: ArrayLike) -> np.ndarray:
    frequencies = np.atleast_1d(np.asarray(frequency, dtype=float))
    if frequencies.ndim != 1 or frequencies.size == 0 or not np.all((frequencies > 0) & np.isfinite(frequencies)):
        raise InputError(f"frequency={frequency!r} is out of range; give a list of positive numbers of Hz")
    return frequencies


def _points(
    free: Macrospin,
    source: TorqueSource,
    voltage: float | Sequence[float] | None,
    current_density: float | Sequence[float] | None,
    field: float | Sequence[float] | None,
    field_direction: Vector | None,
    initial: str | ArrayLike | None,
    resistance: AngularResistance | AnisotropicResistance | None,
    cross_section: float | None,
    amplitude: float,
) -> tuple[str, list[list[_Point]], np.ndarray]:
    """Name of the drive, the points at rest [bias][field], and the fields (T)."""
    label, drives = as_drives(voltage, current_density)
    if any(drive.varies for drive in drives):
        raise InputError(f"{label} is a waveform; give the bias as a number, and the alternating drive as amplitude")
    require_positive("amplitude", amplitude)
    strength = float(np.linalg.norm(free.field))
    if field_direction is None:
        if field is not None and strength == 0:
            raise InputError("field has no direction; give field_direction=")
        direction = np.asarray(free.field) / strength if strength > 0 else np.zeros(3)
    else:
        direction = unit_vector(field_direction, "field_direction")
    if field is None and field_direction is not None:
        raise InputError("field_direction is that of no field; give field= (T)")
    fields = np.atleast_1d(np.asarray(strength if field is None else field, dtype=float))
    if fields.ndim != 1 or not np.all(np.isfinite(fields)):
        raise InputError(f"field={field!r} is no list of fields; give finite numbers of tesla")
    points = []
    for drive in drives:
        row = []
        for size in fields.tolist():
            magnet = dataclasses.replace(free, field=tuple((size * direction).tolist()))
            instrument = readout(magnet, source, label, resistance, cross_section)
            if instrument is None:
                raise InputError("the torque has no resistance; give resistance=, such as llg.AngularResistance")
            if initial is None and size == 0:
                raise InputError("initial has no default without a field; give 'parallel', 'antiparallel' or a vector")
            start = np.sign(size) * direction if initial is None else magnet.initial_direction(initial)
            row.append(_at_rest(magnet, source, label, drive.peak, instrument, start, amplitude))
        points.append(row)
    return label, points, fields


def _at_rest(
    free: Macrospin,
    source: TorqueSource,
    label: str,
    bias: float,
    instrument: Readout,
    start: np.ndarray,
    amplitude: float,
) -> _Point:
    """The point near `start`; InputError where the rest state is unstable or absent."""

    def equation(drive: float) -> EquationOfMotion:
        return equation_of_motion(free, source, **{label: drive})  # type: ignore[arg-type]

    here = equation(bias)
    m = rest_states([here], start[np.newaxis])[0]
    where = f"{label}={bias:.6g} and field={np.linalg.norm(free.field):.6g} T"
    if np.isnan(m[0]):
        raise InputError(f"the moment has no rest state at {where}; give another field or initial direction")
    tangents = rotation(m)[:, :2].T
    steps = DIFFERENCE_STEP * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    ahead_x, behind_x, ahead_y, behind_y = _tangent_rate(here, m, tangents, steps)
    jacobian = np.stack([ahead_x - behind_x, ahead_y - behind_y], axis=-1) / (2 * DIFFERENCE_STEP)
    ends = (bias - amplitude, bias + amplitude)
    for end in ends:
        equation(end)  # outside the map it is refused here, before any work
    # The ends of the drive are inside the map up to rounding, as was seen above.
    room = max(_room(bias, source, instrument.conductor), amplitude)
    step = min(max(DIFFERENCE_STEP * amplitude, SMALLEST_STEP[label]), room)
    ahead, behind = (_tangent_rate(equation(bias + s), m, tangents, np.zeros((1, 2)))[0] for s in (step, -step))
    point = _Point(
        free=free, bias=bias, equation=here, instrument=instrument, m=m, tangents=tangents, jacobian=jacobian,
        force=(ahead - behind) / (2 * step), step=step, room=room,
    )  # fmt: skip
    if not point.mode.real < 0:
        raise InputError(f"the rest state at {where} is unstable, so nothing settles; give another field or bias")
    return point


def _room(bias: float, *sources: object) -> float:
    """Distance of a bias (V) from the nearest end of the torque maps among the sources; infinite without one."""
    ends = [
        end for source in sources if isinstance(source, TorqueMap) for end in (source.voltage[0], source.voltage[-1])
    ]
    return min((abs(float(end) - bias) for end in ends), default=math.inf)


def _tangent_rate(equation: EquationOfMotion, m: np.ndarray, tangents: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx/dt of coordinates x (..., 2) on the tangent plane at a rest state m: directions are (m + x.tangents)/|...|.

    To second order in x: the rate is itself of first order, so what a change of length adds is of third.
    """
    directions = (m + x @ tangents) / np.sqrt(1 + np.sum(x**2, axis=-1, keepdims=True))
    return equation.rate(directions) @ tangents.T


def _second_order(
    point: _Point, source: TorqueSource, label: str, frequencies: np.ndarray, amplitude: float
) -> np.ndarray:
    """Rectified voltage (f,) to second order in the amplitude."""
    angular = 2j * math.pi * frequencies[:, np.newaxis, np.newaxis]
    force = np.broadcast_to(point.force, (frequencies.size, 2))[..., np.newaxis]
    response = amplitude * np.linalg.solve(angular * np.eye(2) - point.jacobian, force)[..., 0]
    share = SMALL_DEVIATION / float(np.abs(response).max()) if np.any(response) else 1.0
    if point.room < math.inf:
        share = min(share, SMALL_VOLTAGE / amplitude, point.room / amplitude)
    turns = np.exp(2j * math.pi * np.arange(PHASES) / PHASES)
    drives = point.bias + share * amplitude * turns.real
    x = share * (response * turns[:, np.newaxis, np.newaxis]).real  # (phase, f, 2)
    equations = [
        equation_of_motion(point.free, source, **{label: float(drive)})  # type: ignore[arg-type]
        for drive in drives
    ]
    rates = [_tangent_rate(e, point.m, point.tangents, at) for e, at in zip(equations, x, strict=True)]
    x = x - np.linalg.solve(point.jacobian, np.mean(rates, axis=0)[..., np.newaxis])[..., 0]
    m = point.m + x @ point.tangents
    m /= np.linalg.norm(m, axis=-1, keepdims=True)
    signal = point.instrument.signal(m, drives[:, np.newaxis]).mean(axis=0)
    return point.rectified(signal) / share**2


def _dataset(
    label: str, points: list[list[_Point]], fields: np.ndarray, frequencies: np.ndarray, values: np.ndarray
) -> xr.Dataset:
    """The result of both routes; values (bias, field, frequency) in V."""
    modes = np.array([[point.mode for point in row] for row in points])
    rest = np.array([[point.m for point in row] for row in points])
    biases = [sine(0.0, 0.0, offset=row[0].bias) for row in points]
    two = (label, "field")
    words = {
        "resonance_frequency": "frequency of the least damped mode at rest",
        "half_width": "damping rate of that mode over 2 pi: half width at half maximum of its line",
    }
    return xr.Dataset(
        {
            "rectified_voltage": (
                (*two, "frequency"), values, {"units": "V", "long_name": "rectified voltage"},
            ),
            "resonance_frequency": (
                two, modes.imag / (2 * math.pi), {"units": "Hz", "long_name": words["resonance_frequency"]}
            ),
            "half_width": (two, -modes.real / (2 * math.pi), {"units": "Hz", "long_name": words["half_width"]}),
            "rest": ((*two, "xyz"), rest, {"units": "1", "long_name": "free moment at rest"}),
        },
        {
            label: drive_coordinate(label, biases),
            "field": ("field", fields, {"units": "T", "long_name": "applied field"}),
            "frequency": ("frequency", frequencies, {"units": "Hz", "long_name": "frequency"}),
            "xyz": ["x", "y", "z"],
        },
    )  # fmt: skip

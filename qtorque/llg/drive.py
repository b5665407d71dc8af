"""How a voltage, a current density or a field changes with time. SI.

A `Waveform` is a piecewise linear function of time plus one tone, which is all that constant, pulsed, sinusoidal,
chirped and sampled drives need. The kernels of the equation of motion evaluate the same function.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.llg._dynamics_kernels import waveform_values
from qtorque.spin import unit_vector

Vector = Sequence[float] | np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waveform:
    """w(t) = the line through (time, value), constant beyond its ends, + the tone until `tone_end`.

    The tone is amplitude sin(phase + 2 pi (frequency t + frequency_rate t^2/2)). Where a time stands twice the waveform
    jumps, and has its later value at that time.

    Parameters
    ----------
    time : s, ascending
    value : as many numbers
    amplitude : of the tone
    frequency, frequency_rate : Hz and Hz/s
    phase : rad
    tone_end : s

    Raises
    ------
    InputError
        For numbers that are not finite, times that fall, lists of different lengths.
    """

    time: tuple[float, ...]
    value: tuple[float, ...]
    amplitude: float = 0.0
    frequency: float = 0.0
    frequency_rate: float = 0.0
    phase: float = 0.0
    tone_end: float = math.inf

    def __post_init__(self) -> None:
        times, values = np.asarray(self.time, dtype=float), np.asarray(self.value, dtype=float)
        if times.ndim != 1 or times.size == 0 or times.shape != values.shape:
            raise InputError(f"time and value have shapes {times.shape}, {values.shape}; give two lists of one length")
        tone = (self.amplitude, self.frequency, self.frequency_rate, self.phase)
        if not (np.all(np.isfinite(times)) and np.all(np.isfinite(values)) and np.all(np.isfinite(tone))):
            raise InputError("the waveform holds a number that is not finite; give finite numbers")
        falls = np.flatnonzero(np.diff(times) < 0)
        if falls.size:
            raise InputError(f"time falls from {times[falls[0]]:.6g} to {times[falls[0] + 1]:.6g} s; sort the samples")
        # Tuples keep a frozen record comparable and hashable.
        object.__setattr__(self, "time", tuple(times.tolist()))
        object.__setattr__(self, "value", tuple(values.tolist()))

    def __call__(self, time: ArrayLike) -> np.ndarray:
        """Values at times (s), any shape."""
        time = np.asarray(time, dtype=float)
        return waveform_values(self.nodes, self.tone, time.ravel()).reshape(time.shape)

    @property
    def nodes(self) -> np.ndarray:
        """(2, n): times and values of the line."""
        return np.array([self.time, self.value])

    @property
    def tone(self) -> np.ndarray:
        """Amplitude, frequency, its rate, phase and end of the tone."""
        return np.array([self.amplitude, self.frequency, self.frequency_rate, self.phase, self.tone_end])

    @property
    def varies(self) -> bool:
        """Whether it is anything but a constant."""
        return self.amplitude != 0 or len(set(self.value)) > 1

    @property
    def extremes(self) -> tuple[float, float]:
        """A lower and an upper bound of all values."""
        return min(self.value) - abs(self.amplitude), max(self.value) + abs(self.amplitude)

    @property
    def peak(self) -> float:
        """The bound that is larger in size, with its sign: what a sweep calls the voltage of a pulse."""
        low, high = self.extremes
        return high if abs(high) >= abs(low) else low

    @property
    def kinks(self) -> tuple[float, ...]:
        """Times (s) at which it is not smooth, ascending; an integrator of high order ends a step there."""
        ends = () if self.amplitude == 0 or math.isinf(self.tone_end) else (self.tone_end,)
        return tuple(sorted({*(self.time if len(self.time) > 1 else ()), *ends}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldDrive:
    """A field mu_0 H(t) in T along a unit vector, added to the constant field of a magnet."""

    direction: Vector
    waveform: Waveform

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", tuple(unit_vector(self.direction, "direction").tolist()))
        object.__setattr__(self, "waveform", as_waveform(self.waveform, "waveform"))


def constant(value: float) -> Waveform:
    """The same value at all times."""
    return as_waveform(value, "value")


def as_waveform(value: float | Waveform, name: str) -> Waveform:
    """A number as a constant; a waveform as it is. InputError for anything else, which bears the name."""
    if isinstance(value, Waveform):
        return value
    value = value.item() if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0 else value
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InputError(f"{name}={value!r} is no drive; give a finite number or a Waveform such as llg.pulse(...)")
    return Waveform(time=(0.0,), value=(float(value),))


def pulse(
    amplitude: float, length: float, *, rise: float = 0.0, fall: float = 0.0, start: float = 0.0, base: float = 0.0
) -> Waveform:
    """A trapezoid: `base` until `start`, then `amplitude` for `length` (s) between linear edges, and `base` again.

    `length` is the time at full amplitude; the edges `rise` and `fall` (s) come on top. InputError for a negative time.
    """
    _require_finite(amplitude=amplitude, length=length, rise=rise, fall=fall, start=start, base=base)
    for name, seconds in (("length", length), ("rise", rise), ("fall", fall)):
        if seconds < 0:
            raise InputError(f"{name}={seconds!r} is no duration; give seconds >= 0")
    times = np.cumsum([start, rise, length, fall]).tolist()
    return Waveform(time=tuple(times), value=(float(base), float(amplitude), float(amplitude), float(base)))


def sine(amplitude: float, frequency: float, *, phase: float = 0.0, offset: float = 0.0) -> Waveform:
    """offset + amplitude sin(2 pi frequency t + phase); frequency in Hz, phase in rad."""
    _require_finite(amplitude=amplitude, frequency=frequency, phase=phase, offset=offset)
    return Waveform(
        time=(0.0,), value=(float(offset),), amplitude=float(amplitude), frequency=float(frequency), phase=float(phase)
    )


def chirp(
    amplitude: float, start_frequency: float, stop_frequency: float, duration: float, *, offset: float = 0.0
) -> Waveform:
    """offset + a tone whose frequency (Hz) runs linearly between two values in `duration` (s); offset afterwards."""
    _require_finite(
        amplitude=amplitude, start_frequency=start_frequency, stop_frequency=stop_frequency, offset=offset
    )  # fmt: skip
    if not 0 < duration < math.inf:
        raise InputError(f"duration={duration!r} is out of range; give a positive number of seconds")
    return Waveform(
        time=(0.0,), value=(float(offset),), amplitude=float(amplitude), frequency=float(start_frequency),
        frequency_rate=(stop_frequency - start_frequency) / duration, tone_end=float(duration),
    )  # fmt: skip


def sampled(time: ArrayLike, value: ArrayLike) -> Waveform:
    """Straight lines through samples; time in s, ascending (a time that stands twice is a jump).

    InputError for times that fall, and for numbers that are not finite.
    """
    return Waveform(time=tuple(np.ravel(time).tolist()), value=tuple(np.ravel(value).tolist()))


def read_waveform(path: str | os.PathLike[str]) -> Waveform:
    """The waveform in a text file of two columns, time in s and value; commas or blanks, # begins a comment.

    InputError for a file that is missing or holds anything else.
    """
    rows = []
    try:
        with open(path, newline="") as file:
            lines = [line.partition("#")[0].replace(",", " ").split() for line in file]
        rows = [[float(cell) for cell in cells] for cells in lines if cells]
    except OSError as error:
        raise InputError(f"waveform {os.fspath(path)!r} cannot be read ({error.strerror}); give a text file") from None
    except ValueError:
        raise InputError(f"waveform {os.fspath(path)!r} holds text that is no number; give two columns") from None
    if not rows or any(len(row) != 2 for row in rows):
        raise InputError(f"waveform {os.fspath(path)!r} has not two columns in every line; give time and value")
    return sampled(*np.array(rows).T)


def _require_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise InputError(f"{name}={value!r} is not finite; give a number")

r"""Noise and auto-oscillation of a moment: power spectra, line widths, emitted power. SI.

Spectral densities are one-sided, per Hz: their integral over frequencies > 0 is the variance. They are means of
periodograms over segments that overlap by half, under a Hann window w and with the mean of the segment taken away
(P. D. Welch, IEEE Trans. Audio Electroacoust. 15, 70 (1967)): with f_s samples a second

    S(f) = 2 |sum_n w_n (x_n - <x>) exp(-2 pi i f n/f_s)|^2 / (f_s sum_n w_n^2).

The width of a line is found twice: as that of a Lorentzian fitted to the spectrum, and from the diffusion of the phase
of the precession. Where the phase does a random walk, <(phi(t) - phi(0) - 2 pi f t)^2> = 2 D t at long times, the line
is a Lorentzian of full width D/pi.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import fft
from scipy.optimize import least_squares
from scipy.signal import get_window

from qtorque import parallel
from qtorque.errors import InputError
from qtorque.llg.drive import FieldDrive, Waveform
from qtorque.llg.dynamics import (
    Moments,
    number_of_steps,
    require_count,
    require_fine_step,
    require_seed,
    run_attributes,
)
from qtorque.llg.equation import TorqueSource, equation_of_motion
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.llg.resistance import AngularResistance, AnisotropicResistance, Readout, readout
from qtorque.llg.trajectories import Drives, addresses, as_drives, drive_coordinate
from qtorque.units import GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

CHUNK_TRAJECTORIES = 64
"""Trajectories of a chunk of work: a block of lanes, whose running segments are all that is held. Never a function of
the number of ranks."""

SAMPLES_PER_PERIOD = 12
"""Of the fastest precession that the field allows. The tails of a thermal line beyond half this rate fold back: at half
and at one and a half times the frequency of the line they add half a percent to its own wings."""

SEGMENTS = 8
"""Default number, not counting the overlapping ones between."""

SMALLEST_SEGMENT = 32
"""Samples; fewer leave no frequencies beside the window's own width."""

LARGEST_DEFAULT_SEGMENT = 2**14
"""Samples, so that the memory of 64 running segments, some 100 MB, does not grow with the duration. Who needs lines
narrower than their inverse gives `segment`."""

WINDOW_BINS = 3
"""Lowest frequencies, which a slow drift fills through the window: no line is looked for there."""

HANN_WIDTH = 1.4414
"""Full width at half maximum of a line without width under the Hann window, in units of 1/segment."""

LOWEST = 1e-14
"""Share of the height of a line below which a spectrum is rounding."""

CORE = 1.0
"""Half the range of a fit, in widths of the line and its window together. Farther out the wings of an oscillator whose
amplitude relaxes at a finite rate fall faster than those of a Lorentzian."""

CORE_BINS = 3
"""Half the range of a fit is at least so many frequencies."""

FEWEST_POINTS = 4
"""Frequencies of a fit: one more than it has parameters."""

CORE_FITS = 4
"""Fits, each on the core of the line that the one before has found."""

FIT_BOUNDS = ([-3, -3, -9], [3, 3, 5])
"""Of the logarithm of the height, the centre in widths, the logarithm of the width: any line in the range of a fit."""

COMPONENTS = ("x", "y", "z", "fixed")


def oscillator(
    free: Macrospin,
    source: TorqueSource | None,
    *,
    voltage: Drives | None = None,
    current_density: Drives | None = None,
    field: FieldDrive | None = None,
    initial: str | ArrayLike,
    duration: float,
    settle: float,
    dt: float,
    segment: float | None = None,
    temperature: float = 0.0,
    trajectories: int = 1,
    seed: int = 0,
    resistance: AngularResistance | AnisotropicResistance | None = None,
    cross_section: float | None = None,
    band: Sequence[float] | None = None,
    comm: Intracomm | None = None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Power spectra of a driven moment and of the signal it makes, with frequency, width and power of the line.

    Trajectory i at drive number j has its own random numbers, addressed by (seed, j, i). Memory does not grow with the
    duration or the trajectories: only sums of periodograms and the running segments of 64 trajectories are held.

    Parameters
    ----------
    free, source
        The free layer, and the torque on it: a torque map, a closed form, or None.
    voltage, current_density : V or A/m^2, one of the two
        A number, a `Waveform`, or a list of them. The result is labelled by the peak of a waveform.
    field : FieldDrive
        A field that changes with time.
    initial : "parallel" (p), "antiparallel" (-p) or a unit vector
        At 0 K a moment along an axis of symmetry stays there: give a direction beside it.
    duration, settle : s
        Time that is recorded, after a time under the drive that is not.
    dt : s
    segment : s
        Its inverse is the distance of frequencies; by default an eighth of the duration, up to
        `LARGEST_DEFAULT_SEGMENT` samples.
    temperature : K
    trajectories : at each drive
    seed : whole number >= 0
    resistance
        Model of the resistance; by default the charge current of a torque map. Without either there is no signal.
    cross_section : m^2
        Through which the current density flows where that is the drive; by default the area of the layer. A current
        in the plane of a film has no default.
    band : Hz, lowest and highest
        Where the line is looked for; by default from the third frequency up.
    comm : MPI communicator, collective on it; None is serial
    checkpoint, progress : as in `parallel.map_chunks`

    Returns
    -------
    Dataset
        spectral_density (drive, component, frequency), 1/Hz: of m_x, m_y, m_z and m.p. Of the line in
        S_x + S_y + S_z: peak_frequency and linewidth (full width at half maximum) of the Lorentzian fitted around its
        maximum (see `line`; the attribute `resolution` is the width of the window, and widths far below it are not
        resolved; NaN where the spectrum has no line in the band), amplitude (rms deviation of m from its mean within a
        segment). From the phase: phase_frequency and phase_linewidth; they have a meaning where m goes round an orbit,
        not below the threshold of auto-oscillation. m_mean (drive, xyz).

        With a resistance, signal_spectral_density (drive, frequency) of the current (A^2/Hz) at a given voltage or of
        the voltage (V^2/Hz) at a given current, signal_peak_frequency, signal_linewidth, signal_mean, signal_rms, and
        power_spectral_density (W/Hz) and power (W) that a matched load takes: S_V/(4 R) of a voltage,
        S_I R/4 of a current, with R = <V^2>/<V I> of a given voltage V(t) and <V I>/<I^2> of a given current I(t), of
        a constant drive the mean voltage over the mean current; no losses, and R without the curvature of I(V).

    Raises
    ------
    InputError
        Before any step, for a value out of range, a voltage outside the map, a dt too long for the precession, a
        segment too short or longer than the duration.
    """
    label, drives = as_drives(voltage, current_density)
    require_count("trajectories", trajectories)
    require_seed(seed)
    start = free.initial_direction(initial)
    if not 0 <= settle < math.inf:
        raise InputError(f"settle={settle!r} is out of range; give seconds >= 0")
    equations = [
        equation_of_motion(free, source, **{label: drive}, field=field, temperature=temperature) for drive in drives
    ]
    for equation in equations:
        require_fine_step(equation, dt)
    largest = max(equation.largest_field() for equation in equations)
    require_positive("duration", duration)
    every = _steps_between_samples(largest, dt)
    sampling = every * dt
    segment = min(duration / SEGMENTS, LARGEST_DEFAULT_SEGMENT * sampling) if segment is None else segment
    require_positive("segment", segment)
    half = _half_segment(segment, sampling)
    halves = round(duration / (half * sampling))
    if halves < 2:
        raise InputError(f"segment={segment!r} s is longer than duration={duration!r} s; give a shorter segment")
    frequency = np.fft.rfftfreq(2 * half, sampling)
    lines = _band(frequency, band)
    instrument = readout(free, source, label, resistance, cross_section)

    def work(chunk: tuple[int, int]) -> dict[str, np.ndarray]:
        point, first = chunk
        streams = addresses(seed, point, first, min(first + CHUNK_TRAJECTORIES, trajectories))
        moments = Moments(equations[point], np.tile(start, (streams.shape[0], 1)), dt, streams=streams)
        if settle > 0:
            moments.advance(number_of_steps(settle, dt))
        return _sums(moments, drives[point], instrument, free.fixed, half, halves, every)

    firsts = range(0, trajectories, CHUNK_TRAJECTORIES)
    chunks = [(point, first) for point in range(len(drives)) for first in firsts]
    totals: list[dict[str, np.ndarray]] = []
    received = 0

    def add(sums: dict[str, np.ndarray]) -> None:
        """In the order of the chunks, so that rounding does not depend on the ranks."""
        nonlocal received
        if received % len(firsts) == 0:
            totals.append(sums)
        else:
            totals[-1] = parallel.sum_in_order([totals[-1], sums])
        received += 1

    key = None if instrument is None else instrument.key
    numbers = (duration, settle, dt, segment, trajectories, seed)
    part = parallel.checkpoint_part(checkpoint, "oscillator", equations, start, free, key, numbers)
    parallel.each_chunk(work, chunks, add, comm, part, progress)
    totals = totals if comm is None else comm.bcast(totals)
    per_drive = [_point(each, instrument, frequency, lines, half * sampling) for each in totals]
    return xr.Dataset(
        {
            name: ((label, *dims), np.array([found[name] for found in per_drive]), {"units": units, "long_name": words})
            for name, (dims, units, words) in _variables(instrument).items()
        },
        {
            label: drive_coordinate(label, drives),
            "frequency": ("frequency", frequency, {"units": "Hz", "long_name": "frequency"}),
            "component": list(COMPONENTS),
            "xyz": ["x", "y", "z"],
        },
        attrs={
            "duration": halves * half * sampling,
            "settle": settle,
            "dt": dt,
            "sampling": sampling,
            "segment": 2 * half * sampling,
            "resolution": HANN_WIDTH / (2 * half * sampling),
            "trajectories": trajectories,
            **run_attributes(free, initial, temperature, seed),
        },
    )


def spectral_density(samples: np.ndarray, sampling: float) -> np.ndarray:
    """One-sided spectral densities of real samples (n, ...) at times `sampling` (s) apart, (n // 2 + 1, ...), per Hz.

    A periodogram under a Hann window, without the mean: at the frequencies of `numpy.fft.rfftfreq`, unit that of the
    samples squared per Hz.
    """
    return _squared(_transform(samples), samples.shape[0], sampling)


def _transform(samples: np.ndarray) -> np.ndarray:
    window = get_window("hann", samples.shape[0]).reshape(-1, *(1,) * (samples.ndim - 1))
    return fft.rfft(window * (samples - samples.mean(axis=0)), axis=0)


def _squared(transform: np.ndarray, samples: int, sampling: float) -> np.ndarray:
    window = get_window("hann", samples)
    density = np.abs(transform) ** 2 * (2 * sampling / np.sum(window**2))
    # Frequency 0 and the highest one of an even number of samples have no partner at negative frequencies.
    density[0] /= 2
    if samples % 2 == 0:
        density[-1] /= 2
    return density


def _steps_between_samples(largest_field: float, dt: float) -> int:
    fastest = GYROMAGNETIC_RATIO * largest_field / (2 * math.pi)
    return 1 if fastest == 0 else max(1, int(1 / (SAMPLES_PER_PERIOD * fastest * dt)))


def _half_segment(segment: float, sampling: float) -> int:
    """Samples in half a segment."""
    half = fft.next_fast_len(round(segment / (2 * sampling)), real=True)
    if 2 * half < SMALLEST_SEGMENT:
        raise InputError(f"segment={segment!r} s is too short; give at least {SMALLEST_SEGMENT * sampling:.2g} s")
    return half


def _band(frequency: np.ndarray, band: Sequence[float] | None) -> np.ndarray:
    """The numbers of the frequencies at which a line is looked for; InputError for too few."""
    if band is None:
        return np.arange(WINDOW_BINS, frequency.size - 1)
    if len(band) != 2 or not -math.inf < band[0] < band[1] < math.inf:
        raise InputError(f"band={band!r} is no range; give the lowest and the highest frequency, two numbers of Hz")
    inside = np.flatnonzero((frequency >= band[0]) & (frequency <= band[1]))
    inside = inside[(inside > 0) & (inside < frequency.size - 1)]
    if inside.size < FEWEST_POINTS:
        raise InputError(f"band={band!r} Hz holds too few frequencies of 0 to {frequency[-1]:.4g} Hz; give a wider one")
    return inside


def _sums(
    moments: Moments, drive: Waveform, instrument: Readout | None, fixed: ArrayLike, half: int, halves: int, every: int
) -> dict[str, np.ndarray]:
    """Sums over trajectories and overlapping segments; each half segment is integrated once and held for two."""
    p, sampling = np.asarray(fixed), every * moments.dt
    density = np.zeros((len(COMPONENTS), half + 1))
    signal_density = np.zeros(half + 1 if instrument else 0)
    m_sum, signal_sum = np.zeros(3), np.zeros(3)
    phase = _PhaseSums()
    before: tuple[np.ndarray, np.ndarray | None] | None = None
    for _ in range(halves):
        begin = moments.time
        m = moments.advance(half * every, every=every)
        values, signal = drive(begin + sampling * np.arange(1, half + 1)), None
        m_sum += m.sum(axis=(0, 1))
        if instrument is not None:
            signal = instrument.signal(m, values[:, np.newaxis])
            products = values[:, np.newaxis] * signal
            signal_sum += [signal.sum(), products.sum(), np.sum(values**2) * m.shape[1]]
        if before is not None:
            whole = np.concatenate([before[0], m])
            transform = _transform(whole)
            density[:3] += _squared(transform, 2 * half, sampling).sum(axis=1).T
            density[3] += _squared(transform @ p, 2 * half, sampling).sum(axis=1)
            if signal is not None and before[1] is not None:
                signal_density += spectral_density(np.concatenate([before[1], signal]), sampling).sum(axis=1)
            if not phase.begun:
                phase.begin(whole)
        if phase.begun:
            phase.add(m)
        before = m, signal
    return {
        "density": density,
        "signal_density": signal_density,
        "segments": np.array(float((halves - 1) * m.shape[1])),
        "samples": np.array(float(halves * half * m.shape[1])),
        "m": m_sum,
        "signal": signal_sum,
        "phase": phase.sums,
    }


class _PhaseSums:
    """Growth of the phase of every moment from the end of one half segment to that of the next, and its squares.

    The phase is the angle round the axis of the orbit that the first segment shows, about the middle of that orbit.
    """

    def __init__(self) -> None:
        self.begun = False
        # Number, sum and sum of squares of growths; of pairs of neighbours: number, sums of both, sum of the products.
        self.sums = np.zeros(7)

    def begin(self, m: np.ndarray) -> None:
        """m : (samples, n, 3), a segment."""
        self.begun = True
        # A mean without a window would contain what is left of an incomplete round.
        self.middle = np.average(m, axis=0, weights=get_window("hann", m.shape[0]))
        deviation = m - self.middle
        axis = np.cross(deviation[:-1], deviation[1:]).sum(axis=0)
        length = np.linalg.norm(axis, axis=1, keepdims=True)
        axis = np.where(length > 0, axis / np.where(length > 0, length, 1.0), [0.0, 0.0, 1.0])
        across = np.eye(3)[np.argmin(np.abs(axis), axis=1)]
        first = np.cross(across, axis)
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        self.plane = np.stack([first, np.cross(axis, first)])
        self.last: np.ndarray | None = None
        self.growth: np.ndarray | None = None

    def add(self, m: np.ndarray) -> None:
        """m : (samples, n, 3), the half segment that follows."""
        u, v = np.einsum("ank,snk->asn", self.plane, m - self.middle)
        phase = np.arctan2(v, u)
        if self.last is None:
            self.last = phase[-1]
            return
        steps = np.diff(phase, axis=0, prepend=self.last[np.newaxis])
        growth = np.sum(np.remainder(steps + math.pi, 2 * math.pi) - math.pi, axis=0)
        self.sums[:3] += [growth.size, growth.sum(), np.sum(growth**2)]
        if self.growth is not None:
            self.sums[3:] += [growth.size, self.growth.sum(), growth.sum(), np.sum(growth * self.growth)]
        self.last, self.growth = phase[-1], growth


def _point(
    sums: dict[str, np.ndarray], instrument: Readout | None, frequency: np.ndarray, lines: np.ndarray, step: float
) -> dict[str, Any]:
    """The variables of the result at one drive; `step` (s) is half a segment."""
    density = sums["density"] / sums["segments"]
    peak, width = line(frequency, density[:3].sum(axis=0), lines)
    phase_frequency, phase_linewidth = _phase_line(sums["phase"], step)
    found: dict[str, Any] = {
        "spectral_density": density,
        "peak_frequency": peak,
        "linewidth": width,
        "phase_frequency": phase_frequency,
        "phase_linewidth": phase_linewidth,
        "amplitude": math.sqrt(density[:3].sum() * frequency[1]),
        "m_mean": sums["m"] / sums["samples"],
    }
    if instrument is None:
        return found
    density = sums["signal_density"] / sums["segments"]
    mean, product, square = sums["signal"] / sums["samples"]
    # Slope of the response on the drive: means alone are leftovers where the drive alternates.
    slope = abs(product / square) if square != 0 else 0.0
    # Without drive there is no signal, and the resistance in front of it does not matter.
    share = 0.0 if slope == 0 else 1 / (4 * slope)
    if instrument.drive != "voltage":
        share *= instrument.cross_section
    peak, width = line(frequency, density, lines)
    rms = math.sqrt(density.sum() * frequency[1])
    return found | {
        "signal_spectral_density": density,
        "signal_peak_frequency": peak,
        "signal_linewidth": width,
        "signal_mean": mean,
        "signal_rms": rms,
        "power_spectral_density": share * density,
        "power": share * rms**2,
    }


def _phase_line(sums: np.ndarray, step: float) -> tuple[float, float]:
    """Frequency (Hz) and full width (Hz) from the growths of the phase in times `step`; NaN from too few of them.

    Growths are a random walk at long times only: fluctuations of the amplitude that relax add to the variance of a
    single growth what the covariance of neighbouring ones takes away. Their sum is the slope, 2 D step.
    """
    count, total, squares, pairs, former, latter, products = sums
    mean = total / count if count > 0 else math.nan
    if pairs < 2:
        return abs(mean) / (2 * math.pi * step), math.nan
    variance, covariance = squares / count - mean**2, products / pairs - former * latter / pairs**2
    return abs(mean) / (2 * math.pi * step), max(variance + 2 * covariance, 0.0) / (2 * math.pi * step)


def line(frequency: np.ndarray, density: np.ndarray, within: np.ndarray) -> tuple[float, float]:
    """Frequency and full width at half maximum (Hz) of the Lorentzian line at the largest maximum of a spectrum.

    Parameters
    ----------
    frequency, density : (n,), all frequencies of a segment of an even number of samples, and its spectral density
    within : numbers of the frequencies to look at, neither the first nor the last of all

    Returns
    -------
    Two numbers; NaN of a spectrum without a line in the range: 0 throughout, or one whose fitted centre comes to an end
    of the range (a spectrum like 1/f, a line outside) or whose fitted width exceeds it, and of fewer than
    `FEWEST_POINTS` frequencies.

    Notes
    -----
    What is fitted is the expected periodogram of a line whose correlations are exp(-pi width |t|) cos(2 pi f t), so the
    window's own width is not part of the result. Likelihood: a periodogram scatters by its own height (P. Whittle,
    Ark. Mat. 2, 423 (1953), from memory).
    """
    top = int(within[np.argmax(density[within])])
    if density[top] <= 0 or within.size < FEWEST_POINTS:
        return math.nan, math.nan
    spacing = frequency[1] - frequency[0]
    left, middle, right = np.log(np.maximum(density[top - 1 : top + 2], np.finfo(float).tiny))
    bend = left - 2 * middle + right
    centre = float(frequency[top] + spacing * (0.5 * (left - right) / bend if bend < 0 else 0.0))
    # A first width from the area of the line, pi/2 height width.
    window = HANN_WIDTH * spacing
    width = max(float(np.sum(density[within]) * spacing / (density[top] * math.pi / 2)) - window, spacing)
    low, high = float(frequency[within[0]]), float(frequency[within[-1]])
    for _ in range(CORE_FITS):
        # A fit may leave the range; there the core would be empty.
        centre = min(max(centre, low), high)
        near = within[np.abs(frequency[within] - centre) <= max(CORE * (width + window), CORE_BINS * spacing)]
        centre, width = _fit(frequency, density, near, centre, max(width, spacing))
    return (centre, width) if low < centre < high and width < high - low else (math.nan, math.nan)


def _fit(
    frequency: np.ndarray, density: np.ndarray, near: np.ndarray, peak: float, scale: float
) -> tuple[float, float]:
    """Centre and full width of the likeliest line, from a first centre and width, Hz."""
    samples, spacing = 2 * (frequency.size - 1), frequency[1] - frequency[0]
    window = get_window("hann", samples)
    # Sums of w_n w_(n + j), of a window with as many zeros behind it.
    overlap = fft.irfft(np.abs(fft.rfft(window, 2 * samples)) ** 2)[:samples] / np.sum(window**2)
    time = np.arange(samples) / (samples * spacing)
    measured = density[near] / density[near].max()

    def shape(centre: float, width: float) -> np.ndarray:
        correlations = overlap * np.exp(-math.pi * width * time) * np.cos(2 * math.pi * centre * time)
        expected = 2 * fft.rfft(correlations).real[near] - 1
        return expected / expected.max()

    def residual(x: np.ndarray) -> np.ndarray:
        # Its square is twice the loss in the logarithm of the likelihood of exponentially distributed numbers.
        model = np.exp(x[0]) * np.maximum(shape(peak + scale * x[1], scale * np.exp(x[2])), LOWEST)
        ratio = np.log(np.maximum(measured, LOWEST) / model)
        return np.sign(ratio) * np.sqrt(2 * np.maximum(np.expm1(ratio) - ratio, 0))

    found = least_squares(residual, [0.0, 0.0, 0.0], bounds=FIT_BOUNDS, x_scale=[1, 0.3, 1])
    return peak + scale * float(found.x[1]), scale * math.exp(found.x[2])


def _variables(instrument: Readout | None) -> dict[str, tuple[tuple[str, ...], str, str]]:
    """Dimensions, units and long name of each variable of the result."""
    found: dict[str, tuple[tuple[str, ...], str, str]] = {
        "spectral_density": (("component", "frequency"), "Hz^-1", "one-sided spectral density of the moment"),
        "peak_frequency": ((), "Hz", "frequency of the line in S_x + S_y + S_z"),
        "linewidth": ((), "Hz", "full width at half maximum of that line, fitted"),
        "phase_frequency": ((), "Hz", "mean rate of the phase of the precession over 2 pi"),
        "phase_linewidth": ((), "Hz", "full width at half maximum from the diffusion of the phase"),
        "amplitude": ((), "1", "rms deviation of the moment from its mean within a segment"),
        "m_mean": (("xyz",), "1", "mean free moment"),
    }
    if instrument is None:
        return found
    name, units = instrument.quantity, instrument.units
    return found | {
        "signal_spectral_density": (("frequency",), f"{units}^2 Hz^-1", f"one-sided spectral density of the {name}"),
        "signal_peak_frequency": ((), "Hz", f"frequency of the line in the {name}"),
        "signal_linewidth": ((), "Hz", "full width at half maximum of that line, fitted"),
        "signal_mean": ((), units, f"mean {name}"),
        "signal_rms": ((), units, f"rms deviation of the {name} from its mean within a segment"),
        "power_spectral_density": (("frequency",), "W Hz^-1", "spectral density of the power into a matched load"),
        "power": ((), "W", "power of all frequencies into a matched load"),
    }

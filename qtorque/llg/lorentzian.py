"""Lines of a resonance: fits of symmetric and antisymmetric Lorentzians."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeWarning, curve_fit

from qtorque.errors import InputError

FEWEST_POINTS = 6
"""Of a curve: one more than the parameters of a fit."""

FIT_CENTRES, FIT_SCALES = 101, 12
"""Centres and half widths on which the best start of a fit is searched."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LorentzianFit:
    """V(f) = S w^2/((f - f0)^2 + w^2) + A w (f - f0)/((f - f0)^2 + w^2) + offset, with standard errors.

    symmetric, antisymmetric, offset : S, A and the offset, in the units of V
    resonance, half_width : f0 and w > 0, Hz (or in the units of the abscissa)
    """

    symmetric: float
    antisymmetric: float
    resonance: float
    half_width: float
    offset: float
    symmetric_error: float
    antisymmetric_error: float
    resonance_error: float
    half_width_error: float
    offset_error: float

    def __call__(self, frequency: ArrayLike) -> np.ndarray:
        """The fitted curve."""
        return _lorentzians(
            np.asarray(frequency, dtype=float), self.symmetric, self.antisymmetric, self.resonance, self.half_width,
            self.offset,
        )  # fmt: skip


def fit_lorentzian(frequency: ArrayLike, voltage: ArrayLike) -> LorentzianFit:
    """Symmetric and antisymmetric Lorentzian parts of a resonance, by least squares.

    Give a range of some five half widths on both sides. The wings of an antisymmetric line fall otherwise than those of
    a Lorentzian, which makes its width wrong by some (half width/frequency)^2: 1 % at a width of a tenth, as measured.

    Parameters
    ----------
    frequency : (n,), Hz
        Or any other abscissa, such as a field.
    voltage : (n,)

    Raises
    ------
    InputError
        For fewer than six points, numbers that are not finite, and a curve without a resonance: the fit does not
        converge, its centre is outside the range, or its half width exceeds the range.
    """
    f, v = np.asarray(frequency, dtype=float), np.asarray(voltage, dtype=float)
    if f.ndim != 1 or f.shape != v.shape or f.size < FEWEST_POINTS:
        raise InputError(f"frequency and voltage have shapes {f.shape} and {v.shape}; give two lists of six or more")
    if not (np.all(np.isfinite(f)) and np.all(np.isfinite(v))):
        raise InputError("frequency or voltage holds a number that is not finite; leave such points out")
    scale, span = float(np.ptp(v)), float(np.ptp(f))
    if scale == 0 or span == 0:
        raise InputError("frequency or voltage is the same at all points; give a resonance")
    # Units of the range make all five parameters numbers of order 1.
    x, y = (f - f.min()) / span, v / scale
    try:
        with warnings.catch_warnings():
            # A curve that does not determine its parameters is one without a resonance, not a warning.
            warnings.simplefilter("error", OptimizeWarning)
            best, covariance = curve_fit(_lorentzians, x, y, _start_of_fit(x, y))
    except (RuntimeError, OptimizeWarning):
        raise InputError("no Lorentzian fits the curve; give a narrower range around one resonance") from None
    if not (0 < best[2] < 1 and abs(best[3]) < 1):
        raise InputError("the curve has no resonance in its range; give a range around one resonance")
    # A negative width is the same curve with the antisymmetric part of the other sign.
    if best[3] < 0:
        best[1], best[3] = -best[1], -best[3]
    units = np.array([scale, scale, span, span, scale])
    values, errors = best * units, np.sqrt(np.diag(covariance)) * units
    names = ("symmetric", "antisymmetric", "resonance", "half_width", "offset")
    values[2] += f.min()
    record = dict(zip(names, values.tolist(), strict=True))
    return LorentzianFit(**record, **{f"{n}_error": e for n, e in zip(names, errors.tolist(), strict=True)})


def fit_resonances(d: xr.Dataset) -> xr.Dataset:
    """`fit_lorentzian` of the rectified voltage versus frequency at every bias and field.

    Parameters
    ----------
    d : result of `spin_torque_resonance` or `linear_spin_torque_resonance`

    Returns
    -------
    Dataset of the parameters of `LorentzianFit` over bias and field, as <name> and <name>_error, with `fit`
    (bias, field, frequency), the fitted curves. NaN where `fit_lorentzian` finds no resonance.
    """
    curves = d["rectified_voltage"]
    dims = curves.dims[:-1]
    frequency = d["frequency"].values
    fits = [_fit_or_nan(frequency, curve) for curve in curves.values.reshape(-1, frequency.size)]
    shape = curves.shape[:-1]
    words = {
        "symmetric": ("V", "symmetric Lorentzian part"),
        "antisymmetric": ("V", "antisymmetric Lorentzian part"),
        "resonance": ("Hz", "fitted resonance frequency"),
        "half_width": ("Hz", "fitted half width at half maximum"),
        "offset": ("V", "fitted offset"),
    }
    variables: dict[str, Any] = {
        f"{name}{ending}": (
            dims,
            np.reshape([getattr(fit, name + ending) for fit in fits], shape),
            {"units": units, "long_name": ("standard error: " if ending else "") + long_name},
        )
        for name, (units, long_name) in words.items()
        for ending in ("", "_error")
    }
    drawn = np.reshape([fit(frequency) for fit in fits], curves.shape)
    variables["fit"] = (curves.dims, drawn, {"units": "V", "long_name": "fitted rectified voltage"})
    return xr.Dataset(variables, d.coords)


def _fit_or_nan(frequency: np.ndarray, voltage: np.ndarray) -> LorentzianFit:
    """One curve of a sweep, whose others are not lost for the sake of one that holds no resonance."""
    try:
        return fit_lorentzian(frequency, voltage)
    except InputError:
        return LorentzianFit(**{field.name: math.nan for field in dataclasses.fields(LorentzianFit)})


def _lorentzians(
    f: np.ndarray, symmetric: float, antisymmetric: float, resonance: float, half_width: float, offset: float
) -> np.ndarray:
    x = (f - resonance) / half_width
    return (symmetric + antisymmetric * x) / (1 + x**2) + offset


def _start_of_fit(x: np.ndarray, y: np.ndarray) -> list[float]:
    """The best of many centres and widths, with the other three parameters, in which the curve is linear."""
    grid = np.meshgrid(np.linspace(0, 1, FIT_CENTRES), np.geomspace(1 / x.size, 1, FIT_SCALES))
    centre, width = (values.ravel() for values in grid)
    u = (x - centre[:, np.newaxis]) / width[:, np.newaxis]
    columns = np.stack([1 / (1 + u**2), u / (1 + u**2), np.ones_like(u)], axis=-1)
    # Normal equations are accurate enough for a start.
    transposed = columns.transpose(0, 2, 1)
    parts = (np.linalg.pinv(transposed @ columns, hermitian=True) @ (transposed @ y)[..., np.newaxis])[..., 0]
    best = int(np.argmin(np.sum(((columns @ parts[..., np.newaxis])[..., 0] - y) ** 2, axis=1)))
    symmetric, antisymmetric, offset = parts[best].tolist()
    return [symmetric, antisymmetric, float(centre[best]), float(width[best]), offset]

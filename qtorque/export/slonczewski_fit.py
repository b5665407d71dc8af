r"""The closed form of J. C. Slonczewski that comes nearest to a torque map, and how far it is off.

In the spin frame, per area, with a charge current density J (> 0: electrons flow from left to right, as in the map),

    tau_DL = (hbar J/e) epsilon(angle),   epsilon = P Lambda^2/((Lambda^2 + 1) + (Lambda^2 - 1) cos(angle)),
    tau_FL = (hbar J/e) epsilon' + coupling,

which is what mumax3 and OOMMF call Pol, Lambda and EpsilonPrime (eps_prime). A map knows voltages, and at one voltage
its current depends on the angle. J is therefore nominal: the current of the map at that voltage and at one angle, which
is recorded together with the resistance-area product V/J. `coupling` is the torque of the map at V = 0, which no
current drives: the interlayer exchange coupling of Omega = -coupling cos(angle), a field +coupling/(Ms d) along p. Only
a grid point at V = 0 tells it from a torque that is even in the voltage.

A map does not say on which side its magnets stand. From left to right is from the fixed to the free magnet where the
fixed one stands on the left, as it does unless a stack names its magnets otherwise. With the fixed magnet on the right
J > 0 comes from the free one, and P and epsilon' have the sign opposite to the usual one. The torques are the same:
they hold the products J P and J epsilon' only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from qtorque.errors import InputError, finite_number
from qtorque.torquemap import GRID_TOLERANCE, TorqueMap
from qtorque.units import ELEMENTARY_CHARGE, HBAR, NM2

LARGEST_ASYMMETRY = 0.999
"""Bound of |Lambda^2 - 1|/(Lambda^2 + 1): Lambda between 1/45 and 45. Beyond, the form all but has a pole at 0 or pi,
which no grid of angles resolves."""
SCANNED_ASYMMETRIES = 201
"""Values tried before the best is refined: the sum of squares of a rational function may have two minima."""
ASYMMETRY_ACCURACY = 1e-15
"""Of (Lambda^2 - 1)/(Lambda^2 + 1), at which its refinement ends: rounding."""
NEGLIGIBLE = 1e-6
"""A part of the torque below this share of the other one is rounding of the transport calculation; it has no shape."""
FEWEST_ANGLES = 3
"""P and Lambda take two; with a third a residual means something."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlonczewskiParameters:
    """The numbers that a micromagnetic code asks for, at one voltage.

    current_density : A/m^2, > 0 where electrons flow from left to right
        From the fixed to the free magnet if the fixed one stands on the left.
    polarization, Lambda, epsilon_prime : dimensionless
        P and epsilon' belong to this current: with the fixed magnet on the right both have the sign opposite to that
        for a current from fixed to free. Only J P and J epsilon' count, so that scripts, and `llg.Slonczewski` with
        these numbers, have the torque of the map in both cases.
    coupling : J/m^2, the part of the field-like torque that no current drives; > 0 favours parallel moments
    voltage : V, at which a voltage-controlled anisotropy is taken
    """

    current_density: float
    polarization: float
    Lambda: float = 1.0
    epsilon_prime: float = 0.0
    coupling: float = 0.0
    voltage: float = 0.0

    def __post_init__(self) -> None:
        units = {"current_density": "A/m^2", "coupling": "J/m^2", "voltage": "V"}
        for name in (field.name for field in dataclasses.fields(self)):
            object.__setattr__(self, name, finite_number(name, getattr(self, name), units.get(name, "its own unit, 1")))
        if self.Lambda <= 0:
            raise InputError(f"Lambda={self.Lambda!r} is out of range; give a number > 0 (1 is a sine)")

    def per_area(self, angle: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (tau_DL, tau_FL) of the torque on the free magnet in J/m^2, as `TorqueMap.per_area`."""
        angle = np.asarray(angle, dtype=float)
        scale = spin_current_scale(self.current_density)
        square = self.Lambda**2
        epsilon = self.polarization * square / ((square + 1) + (square - 1) * np.cos(angle))
        return scale * epsilon, np.full(angle.shape, scale * self.epsilon_prime + self.coupling)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlonczewskiForm:
    """A fitted closed form. Residuals are differences to the map over the largest torque of that part in the map.

    damping_like_residual, field_like_residual : the largest one over the angles
    damping_like_rms, field_like_rms : root of the mean square over the angles

    polarization is the parameter of a curve, not that of an electrode. |P| may exceed 1: by the misfit where electrons
    are all but fully polarised, and by more where the current at the reference angle is a small one.
    `llg.Slonczewski` refuses that; a script takes it.
    """

    polarization: float
    Lambda: float
    epsilon_prime: float
    damping_like_residual: float
    damping_like_rms: float
    field_like_residual: float
    field_like_rms: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SlonczewskiFit:
    """Result of `fit_slonczewski`.

    voltage : (n,), V
    current_density : (n,), A/m^2, nominal: that of the map at `reference_angle`
    forms : one closed form for each voltage
    overall : one closed form for all voltages, linear in the nominal current
    coupling : J/m^2, mean over the angles of the field-like torque at V = 0; 0 where the map has no grid point there
    coupling_known : whether the map has a grid point at V = 0. Without one epsilon_prime holds all of the field-like
        torque: an interpolated V = 0 would take a torque even in the voltage for a coupling.
    coupling_residual : largest difference to that mean over the largest field-like torque at V = 0
    reference_angle : rad
    """

    voltage: np.ndarray
    current_density: np.ndarray
    forms: tuple[SlonczewskiForm, ...]
    overall: SlonczewskiForm
    coupling: float
    coupling_known: bool
    coupling_residual: float
    reference_angle: float

    @property
    def resistance_area(self) -> np.ndarray:
        """V/J at the reference angle, (n,), Ohm m^2."""
        return self.voltage / self.current_density

    def at_voltage(self, voltage: float) -> SlonczewskiParameters:
        """The parameters at one of the fitted voltages (V); InputError for another: fit at that voltage."""
        voltage = finite_number("voltage", voltage, "V")
        found = np.flatnonzero(np.abs(self.voltage - voltage) <= GRID_TOLERANCE)
        if not found.size:
            known = ", ".join(f"{v:.6g}" for v in self.voltage)
            raise InputError(f"voltage={voltage!r} V was not fitted; give one of {known}, or fit there")
        form = self.forms[found[0]]
        return SlonczewskiParameters(
            current_density=float(self.current_density[found[0]]),
            polarization=form.polarization,
            Lambda=form.Lambda,
            epsilon_prime=form.epsilon_prime,
            coupling=self.coupling,
            voltage=float(self.voltage[found[0]]),
        )

    def to_dataset(self) -> xr.Dataset:
        """All numbers with units and long_name; those of `overall` as overall_<name>."""
        texts = {
            "polarization": "spin polarisation P of the Slonczewski form",
            "Lambda": "asymmetry Lambda of the Slonczewski form",
            "epsilon_prime": "field-like coefficient epsilon' of the Slonczewski form",
            "damping_like_residual": "largest misfit of the damping-like torque over its largest value",
            "damping_like_rms": "root mean square misfit of the damping-like torque over its largest value",
            "field_like_residual": "largest misfit of the field-like torque over its largest value",
            "field_like_rms": "root mean square misfit of the field-like torque over its largest value",
        }
        coupling_text = (
            "field-like torque at V = 0: J of Omega = -J cos(angle)"
            if self.coupling_known
            else "not known: no V = 0 in the map; the field-like torque is all in epsilon'"
        )
        rows: list[tuple[str, np.ndarray, str, str]] = [
            (
                "current_density",
                self.current_density,
                "A m-2",
                "nominal current density, > 0 for electrons from left to right",
            ),
            ("resistance_area", self.resistance_area, "Ohm m2", "resistance-area product at the reference angle"),
            ("coupling", np.array(self.coupling), "J m-2", coupling_text),
            ("coupling_residual", np.array(self.coupling_residual), "1", "largest misfit of the coupling, relative"),
            ("reference_angle", np.array(self.reference_angle), "rad", "angle of the nominal current"),
        ]
        for name, text in texts.items():
            rows.append((name, np.array([getattr(form, name) for form in self.forms]), "1", text))
            overall = np.array(getattr(self.overall, name))
            rows.append((f"overall_{name}", overall, "1", f"{text}, one form for all voltages"))
        variables = {
            name: (("voltage",) if values.ndim else (), values, {"units": units, "long_name": text})
            for name, values, units, text in rows
        }
        voltage = ("voltage", self.voltage, {"units": "V", "long_name": "voltage, (mu_L - mu_R)/e"})
        return xr.Dataset(variables, {"voltage": voltage})


def spin_current_scale(current_density: ArrayLike) -> np.ndarray:
    """hbar J/e in J/m^2 of a charge current density J in A/m^2: twice the spin current of full polarisation."""
    return HBAR / ELEMENTARY_CHARGE * np.asarray(current_density, dtype=float)


def fit_slonczewski(
    tmap: TorqueMap, *, voltage: float | Sequence[float] | None = None, reference_angle: float = math.pi / 2
) -> SlonczewskiFit:
    """The closed form nearest to a torque map, at each voltage and for all voltages together.

    Least squares of the coefficients tau_DL and tau_FL (not of tau sin(angle)), in which every angle of the map counts
    alike: what decides stability are the coefficients at 0 and pi. P, Lambda and epsilon' may depend on the voltage.
    One form for all voltages is what a code with constant parameters has when its current is changed.

    Parameters
    ----------
    tmap : the map; at least three angles
    voltage : V
        Within the map and not 0. By default all those of the map but 0.
    reference_angle : rad
        The nominal current density is the charge current at the nearest angle of the map.

    Raises
    ------
    InputError
        For too few angles, an angle or voltage outside the map, V = 0, a voltage that is no number or drives no
        current.
    """
    if tmap.angle.size < FEWEST_ANGLES:
        raise InputError(f"angle has {tmap.angle.size} points; a fit needs a map of at least {FEWEST_ANGLES}")
    reference_angle = finite_number("reference_angle", reference_angle, "rad")
    if not tmap.angle[0] - GRID_TOLERANCE <= reference_angle <= tmap.angle[-1] + GRID_TOLERANCE:
        raise InputError(
            f"reference_angle={reference_angle:.6g} rad is outside the torque map, {tmap.angle[0]:.6g} to "
            f"{tmap.angle[-1]:.6g} rad; give an angle within"
        )
    voltages = _driven_voltages(tmap, voltage)
    damping_like, field_like = tmap.per_area(tmap.angle[:, np.newaxis], voltages)
    reference = int(np.argmin(np.abs(tmap.angle - reference_angle)))
    current = _current_density(tmap, reference, voltages)
    coupling, coupling_residual = 0.0, 0.0
    coupling_known = bool(np.any(np.abs(tmap.voltage) <= GRID_TOLERANCE))
    if coupling_known:
        _, equilibrium = tmap.per_area(tmap.angle, 0.0)
        coupling = float(np.mean(equilibrium))
        coupling_residual, _ = _residuals(equilibrium - coupling, equilibrium, float(np.max(np.abs(damping_like))))

    def form(columns: slice) -> SlonczewskiForm:
        return _fit(np.cos(tmap.angle), current[columns], damping_like[:, columns], field_like[:, columns], coupling)

    return SlonczewskiFit(
        voltage=voltages,
        current_density=current,
        forms=tuple(form(slice(i, i + 1)) for i in range(voltages.size)),
        overall=form(slice(None)),
        coupling=coupling,
        coupling_known=coupling_known,
        coupling_residual=coupling_residual,
        reference_angle=float(tmap.angle[reference]),
    )


def _driven_voltages(tmap: TorqueMap, voltage: float | Sequence[float] | None) -> np.ndarray:
    """The voltages to fit at, (n,); InputError for V = 0, where the current of the closed form is 0."""
    if voltage is None:
        driven = tmap.voltage[np.abs(tmap.voltage) > GRID_TOLERANCE]
        if not driven.size:
            raise InputError("voltage: the torque map has V = 0 only, where no current drives a torque; map a voltage")
        return np.array(driven)
    given = np.atleast_1d(np.asarray(voltage, dtype=object))
    if given.ndim != 1 or given.size == 0:
        raise InputError(f"voltage has shape {given.shape}; give a number or a list of at least one")
    voltages = np.array([finite_number("voltage", value, "V") for value in given])
    if np.any(np.abs(voltages) <= GRID_TOLERANCE):
        raise InputError("voltage=0 drives no current, so the closed form has no torque there; give another voltage")
    return voltages


def _current_density(tmap: TorqueMap, angle_index: int, voltages: np.ndarray) -> np.ndarray:
    """Charge current density at one angle of the map, (n,), A/m^2, by a spline in the voltage as the torques have."""
    per_cell = tmap.charge_current[angle_index]
    spline = CubicSpline(tmap.voltage, per_cell) if tmap.voltage.size > 1 else lambda v: np.full(v.shape, per_cell[0])
    current = spline(voltages) / (tmap.area * NM2)
    for v, density in zip(voltages, current, strict=True):
        if density == 0:
            raise InputError(f"voltage={v:.6g} V drives no charge current in this map; give a voltage that does")
    return current


def _fit(
    cosine: np.ndarray, current: np.ndarray, damping_like: np.ndarray, field_like: np.ndarray, coupling: float
) -> SlonczewskiForm:
    """One form for all columns (voltages) of the torques, (angles, n) in J/m^2, at the currents (n,).

    epsilon = c/(1 + s cos(angle)) with s = (Lambda^2 - 1)/(Lambda^2 + 1) and c = P (1 + s)/2. For a given s the best c
    is a projection, which leaves a search in one bounded variable.
    """
    scale = spin_current_scale(current)
    projected = damping_like @ scale / (scale @ scale)
    s = _asymmetry(cosine, projected)
    shape = 1 / (1 + s * cosine)
    strength = float(shape @ projected / (shape @ shape))
    epsilon_prime = float(np.mean((field_like - coupling) @ scale) / (scale @ scale))
    damping_like_error = damping_like - np.outer(strength * shape, scale)
    field_like_error = field_like - coupling - epsilon_prime * scale
    largest, rms = _residuals(damping_like_error, damping_like, float(np.max(np.abs(field_like))))
    field_largest, field_rms = _residuals(field_like_error, field_like, float(np.max(np.abs(damping_like))))
    return SlonczewskiForm(
        polarization=2 * strength / (1 + s),
        Lambda=math.sqrt((1 + s) / (1 - s)),
        epsilon_prime=epsilon_prime,
        damping_like_residual=largest,
        damping_like_rms=rms,
        field_like_residual=field_largest,
        field_like_rms=field_rms,
    )


def _asymmetry(cosine: np.ndarray, torque: np.ndarray) -> float:
    """The s for which f = 1/(1 + s cos) is most parallel to the torque over the angles: largest (f.y)^2/(f.f).

    There d/ds of it vanishes, (f'.y)(f.f) = (f.y)(f.f'), which is solved between the neighbours of the best of a scan.
    """

    def parts(s: float) -> tuple[float, float, float, float]:
        f = 1 / (1 + s * cosine)
        derivative = -cosine * f**2
        return float(f @ torque), float(f @ f), float(derivative @ torque), float(f @ derivative)

    def slope(s: float) -> float:
        fy, ff, dy, fd = parts(s)
        return dy * ff - fy * fd

    scanned = np.linspace(-LARGEST_ASYMMETRY, LARGEST_ASYMMETRY, SCANNED_ASYMMETRIES)
    overlaps = [fy**2 / ff for fy, ff, _, _ in map(parts, scanned)]
    best = int(np.argmax(overlaps))
    low, high = scanned[max(best - 1, 0)], scanned[min(best + 1, scanned.size - 1)]
    # No sign change: no torque at all, or the best is a bound.
    if slope(low) * slope(high) >= 0:
        return float(scanned[best]) if overlaps[best] > 0 else 0.0
    return float(brentq(slope, low, high, xtol=ASYMMETRY_ACCURACY))


def _residuals(error: np.ndarray, torque: np.ndarray, other: float) -> tuple[float, float]:
    """Largest and root mean square error over the largest torque; 0 where that is negligible against `other`."""
    size = float(np.max(np.abs(torque)))
    if size <= NEGLIGIBLE * other:
        return 0.0, 0.0
    return float(np.max(np.abs(error))) / size, math.sqrt(float(np.mean(error**2))) / size

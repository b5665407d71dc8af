r"""The equation of motion of a moment: magnet, torque source, drive and temperature brought to fields in tesla.

    dm/dt = -gamma m x (B + B_th) + alpha m x dm/dt + gamma/(Ms Vol) [tau_DL m x (p x m) - tau_FL m x p]

with tau in J for the whole free layer, in the spin frame of its source (hence the minus sign: m is the moment, m = -s),
so that tau_FL acts as a field +tau_FL/(Ms Vol) along p. With T all terms but the damping one,
dm/dt = (T + alpha m x T)/(1 + alpha^2): every torque also appears turned by a right angle and multiplied by alpha.

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

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.llg._dynamics_kernels import KNOTS_UNROLLED
from qtorque.llg.closed_forms import ClosedForm, PolarizerTerm
from qtorque.llg.drive import FieldDrive, Waveform, as_waveform
from qtorque.llg.lanes import rates
from qtorque.llg.macrospin import Macrospin
from qtorque.torquemap import GRID_TOLERANCE, TorqueMap, TorqueSplines
from qtorque.units import BOLTZMANN, GYROMAGNETIC_RATIO, joule

TorqueSource = TorqueMap | ClosedForm
"""What exerts a torque on a free layer; None in its place is no torque."""

BEYOND_ALL_ANGLES = 10.0
"""rad: a knot here is never reached, and pads the knots of a table."""

TABLE_ERROR = 1e-9
"""Of the largest torque: what truncated powers may lose of a spline."""

BOUND_POINTS = 17
"""Drives at which the torque of a table is looked at for its largest value."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TorqueTable:
    """tau/(Ms Vol) in T as a spline of the angle whose coefficients are splines of the drive.

    In drive interval v, with s = drive - breaks[v] and t = angle - origin, the torque number c is
    C_0 t^3 + C_1 t^2 + C_2 t + C_3 + sum_k C_(4 + k) max(t - knots[k], 0)^3,
    C_r = sum_i polynomials[v, i, c, r] s^(3 - i).

    direction : (3,), unit vector from which the angle is counted
    breaks : (v + 1,); origin : rad; knots : (k,), rad from the origin
    polynomials : (v, 4, 2, 4 + k); first the damping-like, then the field-like torque
    """

    direction: np.ndarray
    breaks: np.ndarray
    polynomials: np.ndarray
    origin: float
    knots: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EquationOfMotion:
    """Equation of motion of one magnet under one torque and one drive; fields in T.

    alpha : Gilbert damping
    field, tensor : (3,) and (3, 3), B = field + tensor m
    quartic_terms : (terms, 4), axes u and fields b; B = b (m.u)^3 u
    voltage_axis, voltage_field : (3,), unit vector u, and T per unit of the drive; B = voltage_field drive (m.u) u
    polarizers : terms of closed forms, per unit of the drive
    table : torque of a map
    drive : V or A/m^2
    field_drive : a field that changes with time
    fluctuation : sqrt(2 alpha kT/(gamma Ms Vol)), T s^(1/2); sigma sqrt(dt) of the thermal field
    """

    alpha: float
    field: np.ndarray
    tensor: np.ndarray
    quartic_terms: np.ndarray
    voltage_axis: np.ndarray
    voltage_field: float
    polarizers: tuple[PolarizerTerm, ...]
    table: TorqueTable | None
    drive: Waveform
    field_drive: FieldDrive | None
    fluctuation: float

    def rate(self, m: ArrayLike, time: float = 0.0) -> np.ndarray:
        """dm/dt in 1/s without thermal field at directions m and a time (s), (..., 3) -> (..., 3)."""
        return rates(self, np.asarray(m, dtype=float), time)

    @property
    def kinks(self) -> tuple[float, ...]:
        """Times (s) at which a drive is not smooth, ascending."""
        field = () if self.field_drive is None else self.field_drive.waveform.kinks
        return tuple(sorted({*self.drive.kinks, *field}))

    def largest_field(self) -> float:
        """An upper bound of |dm/dt|/gamma at small damping, T."""
        eigenvalues = np.linalg.eigvalsh(self.tensor)
        extremes = self.drive.extremes
        strongest = max(map(abs, extremes))
        bound = float(np.linalg.norm(self.field) + eigenvalues[-1] - eigenvalues[0])
        bound += float(np.sum(np.abs(self.quartic_terms[:, 3]))) + abs(self.voltage_field) * strongest
        if self.field_drive is not None:
            bound += max(map(abs, self.field_drive.waveform.extremes))
        for term in self.polarizers:
            # sin(angle)/(1 + q cos(angle)) is at most 1/sqrt(1 - q^2).
            bound += strongest * (abs(term.damping_like) / math.sqrt(1 - term.asymmetry**2) + abs(term.field_like))
        return bound if self.table is None else bound + _largest_torque(self.table, extremes)


def equation_of_motion(
    free: Macrospin,
    source: TorqueSource | None,
    voltage: float | Waveform | None = None,
    *,
    current_density: float | Waveform | None = None,
    field: FieldDrive | None = None,
    temperature: float = 0.0,
) -> EquationOfMotion:
    """The equation of motion of a free layer under a torque, driven by a voltage (V) or a current density (A/m^2).

    Without a torque the voltage acts on the voltage-controlled anisotropy alone; without a drive it is 0.

    Raises
    ------
    InputError
        For a voltage outside the map, a map that does not reach from 0 to pi (a trajectory may visit any angle), both
        drives at once, a drive that the source does not know, a temperature that is negative.
    """
    if voltage is not None and current_density is not None:
        raise InputError("voltage and current_density are two drives; give one of them")
    if not 0 <= temperature < math.inf:
        raise InputError(f"temperature={temperature!r} is out of range; give a number of kelvin >= 0")
    table = None
    terms: tuple[PolarizerTerm, ...] = ()
    name, given = ("voltage", voltage) if current_density is None else ("current_density", current_density)
    drive = as_waveform(0.0 if given is None else given, name)
    if not (field is None or isinstance(field, FieldDrive)):
        raise InputError(f"field={field!r} is no FieldDrive; a constant field belongs into Macrospin(field=)")
    per_volt = 1.0
    if isinstance(source, TorqueMap):
        if current_density is not None:
            raise InputError("current_density drives no torque map; give voltage= (V)")
        table = table_of(source.splines, source, free)
        source.within("voltage", drive.extremes)
    elif source is not None:
        terms = source.terms(free)
        if current_density is None and source.resistance_area is not None:
            terms = tuple(term.scaled(1 / source.resistance_area) for term in terms)
        elif current_density is None and voltage is not None and drive.extremes != (0.0, 0.0):
            raise InputError("voltage needs resistance_area= of the torque (Ohm m^2); give it or current_density=")
        elif current_density is not None:
            per_volt = source.resistance_area or 0.0
            if free.voltage_anisotropy != 0 and not per_volt:
                raise InputError("voltage_anisotropy needs resistance_area= of the torque (Ohm m^2) or voltage=")
    elif current_density is not None:
        raise InputError("current_density drives nothing without a torque; give a closed form such as llg.Slonczewski")
    return EquationOfMotion(
        alpha=float(free.alpha),
        field=free.constant_field,
        tensor=free.field_tensor,
        quartic_terms=free.quartic_terms,
        voltage_axis=np.array(free.easy_axis),
        voltage_field=2 * free.voltage_anisotropy / free.Ms * per_volt,
        polarizers=terms,
        table=table,
        drive=drive,
        field_drive=field,
        fluctuation=fluctuation(free, temperature),
    )


def fluctuation(free: Macrospin, temperature: float) -> float:
    """sqrt(2 alpha kT/(gamma Ms Vol)), T s^(1/2): sigma sqrt(dt) of a component of the thermal field."""
    return math.sqrt(2 * free.alpha * BOLTZMANN * temperature / (GYROMAGNETIC_RATIO * free.moment))


def table_of(splines: TorqueSplines, tmap: TorqueMap, free: Macrospin) -> TorqueTable:
    """The torque that one of the splines of a map exerts on a magnet; InputError unless the map has all angles."""
    if tmap.angle[0] > GRID_TOLERANCE or tmap.angle[-1] < math.pi - GRID_TOLERANCE:
        raise InputError(
            f"angle of the torque map runs from {tmap.angle[0]:.6g} to {tmap.angle[-1]:.6g} rad; "
            "dynamics needs all angles, compute the map from 0 to pi"
        )
    breaks, knots, polynomials = _truncated_powers(splines)
    _require_smooth(splines, knots, polynomials)
    return TorqueTable(
        direction=np.array(free.fixed),
        breaks=breaks,
        polynomials=polynomials * (joule(tmap.cells(free.area)) / free.moment),
        origin=float(splines.angle_breaks[0]),
        knots=knots,
    )


def _truncated_powers(splines: TorqueSplines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Breaks in the voltage, knots, and polynomials (v, 4, 2, 4 + k): the first cubic, and jumps of the next ones.

    Neighbouring cubics of a spline have value, slope and curvature in common where they meet, so they differ by
    (change of the first coefficient) (angle - knot)^3.
    """
    c = splines.coefficients.transpose(1, 0, 2, 3, 4)  # (v, 4, 2, power, angle interval)
    jumps = np.diff(c[..., 0, :], axis=-1)
    knots = splines.angle_breaks[1:-1] - splines.angle_breaks[0]
    missing = -knots.size % KNOTS_UNROLLED
    knots = np.append(knots, np.full(missing, BEYOND_ALL_ANGLES))
    jumps = np.concatenate([jumps, np.zeros((*jumps.shape[:-1], missing))], axis=-1)
    polynomials = np.ascontiguousarray(np.concatenate([c[..., 0], jumps], axis=-1))
    return splines.voltage_breaks, knots, polynomials


def _require_smooth(splines: TorqueSplines, knots: np.ndarray, polynomials: np.ndarray) -> None:
    """InputError where truncated powers lose the digits of the spline: angles much closer than the torque is smooth.

    Both forms are compared in the middle of every interval, at every voltage of the map.
    """
    middle = (splines.angle_breaks[1:] + splines.angle_breaks[:-1]) / 2
    half = middle - splines.angle_breaks[:-1]
    direct = np.einsum("vcja,ja->vca", splines.coefficients[3], half ** np.arange(3, -1, -1)[:, np.newaxis])
    truncated = polynomials[:, 3] @ _basis(middle - splines.angle_breaks[0], knots)
    if np.max(np.abs(truncated - direct)) > TABLE_ERROR * max(float(np.max(np.abs(direct))), 1e-300):
        raise InputError(
            "angle of the torque map: some are too close together for the scatter of the torque there; leave some out"
        )


def _basis(t: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Powers of t and truncated powers beyond the knots, (n,) -> (4 + k, n)."""
    return np.concatenate([t ** np.arange(3, -1, -1)[:, np.newaxis], np.maximum(t - knots[:, np.newaxis], 0) ** 3])


def _largest_torque(table: TorqueTable, extremes: tuple[float, float]) -> float:
    """The largest |damping-like| + |field-like| of a table within the extremes of the drive, T."""
    within = (table.breaks > extremes[0]) & (table.breaks < extremes[1])
    drives = np.unique([*np.linspace(*extremes, BOUND_POINTS), *table.breaks[within]])
    interval = np.clip(np.searchsorted(table.breaks, drives, side="right") - 1, 0, table.breaks.size - 2)
    powers = (drives - table.breaks[interval])[:, np.newaxis] ** np.arange(3, -1, -1)
    at_drive = np.einsum("di,dicr->dcr", powers, table.polynomials[interval])
    t = np.append(table.knots[table.knots < math.pi], [0.0, math.pi])
    t = np.union1d(t, np.linspace(0, math.pi, BOUND_POINTS))
    return float(np.max(np.sum(np.abs(at_drive @ _basis(t, table.knots)), axis=1)))

"""Resistance of a junction, so that dynamics is seen as volts and amperes. SI.

A `TorqueMap` brings the charge current of the same transport run, per cell; a layer has as many of them side by side as
fit into its area. Between the grid points the current is interpolated as the torque is. Where a torque is in closed
form the resistance is a model of two numbers: `AngularResistance` of a junction, `AnisotropicResistance` of a film.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import NdPPoly

from qtorque.errors import InputError
from qtorque.llg.closed_forms import ClosedForm, SpinOrbitTorque
from qtorque.llg.drive import Vector
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.spin import unit_vector
from qtorque.torquemap import TorqueMap

OHMIC_VOLTAGE = 1e-6
"""V: below it the conductance is the slope dI/dV at 0; the current over the voltage differs by curvature alone, a share
of about 1e-6, and would divide rounding by nothing."""

BISECTIONS = 60
"""Halvings of the voltages of a map: down to rounding."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AngularResistance:
    """A tunnel junction, whose conductance is linear in the cosine of the angle between the moments.

    G = (G_P + G_AP)/2 + (G_P - G_AP)/2 m.p with G = 1/R, at every voltage; J. C. Slonczewski, Phys. Rev. B 39, 6995
    (1989), from memory.

    Parameters
    ----------
    parallel, antiparallel : R_P and R_AP, Ohm

    Raises
    ------
    InputError
        For a resistance that is not positive.
    """

    parallel: float
    antiparallel: float

    def __post_init__(self) -> None:
        require_positive("parallel", self.parallel)
        require_positive("antiparallel", self.antiparallel)

    def resistance(self, m: ArrayLike, fixed: Vector) -> np.ndarray:
        """Ohm at directions m (..., 3) of the free moment; `fixed` is p."""
        cosine = np.asarray(m) @ np.asarray(fixed)
        mean, half = 1 / self.parallel + 1 / self.antiparallel, 1 / self.parallel - 1 / self.antiparallel
        return 2 / (mean + half * cosine)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnisotropicResistance:
    """A metal film with a current in its plane: R = R_across + (R_along - R_across) (m.j)^2, ohmic.

    Anisotropic magnetoresistance with j the direction of the current; spin Hall magnetoresistance with j across the
    current, in the plane.

    Parameters
    ----------
    along, across : Ohm, resistance where m is along j and across it
    direction : unit vector j

    Raises
    ------
    InputError
        For a resistance that is not positive, a direction that is no unit vector.
    """

    along: float
    across: float
    direction: Vector = (1.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        require_positive("along", self.along)
        require_positive("across", self.across)
        object.__setattr__(self, "direction", tuple(unit_vector(self.direction, "direction").tolist()))

    def resistance(self, m: ArrayLike, fixed: Vector) -> np.ndarray:
        """Ohm at directions m (..., 3) of the free moment; the fixed one does not matter."""
        return self.across + (self.along - self.across) * (np.asarray(m) @ np.asarray(self.direction)) ** 2


Conductor = TorqueMap | AngularResistance | AnisotropicResistance
"""What has a resistance."""


def junction_current(tmap: TorqueMap, area: float, angle: ArrayLike, voltage: ArrayLike) -> np.ndarray:
    """Charge current (A) through a junction of `area` (m^2), positive where electrons flow from left to right (V > 0).

    angle (rad) and voltage (V) are broadcast against each other; InputError for a value outside the map.
    """
    return tmap.cells(area) * _per_cell(tmap, angle, voltage, (0, 0))


def junction_conductance(tmap: TorqueMap, area: float, angle: ArrayLike, voltage: ArrayLike) -> np.ndarray:
    """I/V in S, at V = 0 the slope dI/dV; arguments as in `junction_current`."""
    voltage = np.asarray(voltage, dtype=float)
    ohmic = np.abs(voltage) < OHMIC_VOLTAGE
    if np.any(ohmic) and tmap.voltage.size == 1:
        raise InputError("voltage of the torque map is 0 alone, which has no slope; compute the map at more voltages")
    found = junction_current(tmap, area, angle, voltage) / np.where(ohmic, 1.0, voltage)
    if not np.any(ohmic):
        return found
    slope = tmap.cells(area) * _per_cell(tmap, angle, np.where(ohmic, 0.0, voltage), (0, 1))
    return np.where(ohmic, slope, found)


def junction_resistance(tmap: TorqueMap, area: float, angle: ArrayLike, voltage: ArrayLike) -> np.ndarray:
    """V/I in Ohm, at V = 0 dV/dI; arguments as in `junction_current`."""
    return 1 / junction_conductance(tmap, area, angle, voltage)


def resistance_area_product(tmap: TorqueMap, angle: ArrayLike, voltage: ArrayLike) -> np.ndarray:
    """Resistance times area in Ohm m^2, which is that of any area; arguments as in `junction_current`."""
    return junction_resistance(tmap, 1.0, angle, voltage)


def junction_voltage(tmap: TorqueMap, area: float, angle: ArrayLike, current: ArrayLike) -> np.ndarray:
    """Voltage (V) across a junction of `area` (m^2) at an angle (rad) that carries a current (A); both are broadcast.

    Raises
    ------
    InputError
        For a current that the junction carries at no voltage of the map. Where it carries it at several (a negative
        differential resistance) one of them is found.
    """
    angle, current = np.broadcast_arrays(np.asarray(angle, dtype=float), np.asarray(current, dtype=float))
    low, high = (np.full(angle.shape, end) for end in (tmap.voltage[0], tmap.voltage[-1]))
    ends = [junction_current(tmap, area, angle, end) for end in (low, high)]
    outside = (current < ends[0]) | (current > ends[1])
    if np.any(outside):
        raise InputError(
            f"current={current[outside].flat[0]:.6g} A is beyond the torque map, {np.max(ends[0]):.6g} to "
            f"{np.min(ends[1]):.6g} A at these angles; ask within it or compute a wider map"
        )
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = junction_current(tmap, area, angle, middle) < current
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _per_cell(tmap: TorqueMap, angle: ArrayLike, voltage: ArrayLike, orders: tuple[int, int]) -> np.ndarray:
    """Charge current (A per cell), or its derivative of some order in angle and in voltage."""
    # The current is as even in the angle as the torque coefficients, so it takes the place of one of them.
    splines = dataclasses.replace(tmap, damping_like=tmap.charge_current, field_like=tmap.charge_current).splines
    axes = (splines.angle_breaks, splines.voltage_breaks)
    surface = NdPPoly(np.ascontiguousarray(splines.coefficients[:, :, 0].transpose(2, 0, 3, 1)), axes)
    return surface((tmap.within("angle", angle), tmap.within("voltage", voltage)), nu=orders)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readout:
    """What an instrument sees of a moment: the current at a given voltage, or the voltage at a given current.

    free : the magnet
    conductor : what has the resistance
    drive : "voltage" or "current_density"
    cross_section : m^2 that the current density flows through
    """

    free: Macrospin
    conductor: Conductor
    drive: str
    cross_section: float

    @property
    def quantity(self) -> str:
        """ "current" or "voltage"."""
        return "current" if self.drive == "voltage" else "voltage"

    @property
    def units(self) -> str:
        """A or V."""
        return "A" if self.drive == "voltage" else "V"

    @property
    def key(self) -> tuple:
        """All that the signal depends on besides the magnet, for a checkpoint."""
        c = self.conductor
        values = (c.angle, c.voltage, c.charge_current, c.area) if isinstance(c, TorqueMap) else (c,)
        return (*values, self.drive, self.cross_section)

    def signal(self, m: ArrayLike, drive: ArrayLike) -> np.ndarray:
        """Current (A) at directions (..., 3) and voltages (V), or voltage (V) at current densities (A/m^2)."""
        m = np.asarray(m, dtype=float)
        if self.drive == "voltage" and isinstance(self.conductor, TorqueMap):
            angle = np.arccos(np.clip(m @ np.asarray(self.free.fixed), -1.0, 1.0))
            return junction_current(self.conductor, self.free.area, angle, drive)
        resistance = self.conductor.resistance(m, self.free.fixed)  # type: ignore[union-attr]
        if self.drive == "voltage":
            return np.asarray(drive) / resistance
        return np.asarray(drive) * self.cross_section * resistance


def readout(
    free: Macrospin,
    source: TorqueMap | ClosedForm | None,
    drive: str,
    resistance: AngularResistance | AnisotropicResistance | None = None,
    cross_section: float | None = None,
) -> Readout | None:
    """How a magnet under a torque is seen: by `resistance`, else by the current of a torque map; None without both.

    InputError for a current in the plane of a film, whose cross section is not the area of the layer, without one.
    """
    conductor = resistance if resistance is not None else source
    if not isinstance(conductor, TorqueMap | AngularResistance | AnisotropicResistance):
        return None
    if cross_section is not None:
        require_positive("cross_section", cross_section)
    elif drive == "current_density" and (
        isinstance(conductor, AnisotropicResistance) or isinstance(source, SpinOrbitTorque)
    ):
        raise InputError(
            "cross_section=None has no default for a current in the plane; give its width times thickness in m^2"
        )
    return Readout(
        free=free, conductor=conductor, drive=drive, cross_section=free.area if cross_section is None else cross_section
    )

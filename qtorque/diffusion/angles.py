"""Resistance and torques of a multilayer versus the angle between two magnets, and the torque map of them."""

from __future__ import annotations

import cmath
import dataclasses
import numbers

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.diffusion.circuit import one_axis
from qtorque.diffusion.multilayer import (
    Magnet,
    Multilayer,
    MultilayerSolution,
    require_no_spin_source,
    solve_multilayer,
)
from qtorque.errors import InputError, finite_number
from qtorque.spin import direction_at
from qtorque.torquemap import TorqueMap
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, NM2

SMALL_SINE = 1e-6
"""Below this |sin(angle)| the coefficients come from their limit: a torque over its sine rounds like 1e-16 over it.
They have changed by (Lambda SMALL_SINE/2)^2 there."""
LIMIT_STEPS = (2e-3, 2e-4, 2e-5, 2e-6)
"""rad; distances from 0 and pi at which the limit is sought, from the one that rounds least."""
LIMIT_AGREEMENT = 1e-9
"""Relative to the largest coefficient; limits from two successive steps that agree so well are the limit."""
VARIABLES = {
    "resistance_area": ("Ohm m^2", "resistance times area"),
    "damping_like": ("J/(m^2 V)", "damping-like torque coefficient on the free magnet per volt"),
    "field_like": ("J/(m^2 V)", "field-like torque coefficient on the free magnet per volt"),
    "damping_like_fixed": ("J/(m^2 V)", "damping-like torque coefficient on the fixed magnet per volt"),
    "field_like_fixed": ("J/(m^2 V)", "field-like torque coefficient on the fixed magnet per volt"),
}
"""Units and long name of each variable over the angle."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Magnetoresistance:
    """Resistance times area of both collinear states of two magnets, Ohm m^2."""

    parallel: float
    antiparallel: float

    @property
    def ratio(self) -> float:
        """(R_AP - R_P)/R_P."""
        return (self.antiparallel - self.parallel) / self.parallel


def magnetoresistance(
    multilayer: Multilayer, *, free: str | None = None, fixed: str | None = None
) -> Magnetoresistance:
    """Resistance with the free magnet along the fixed one and against it.

    Of collinear magnets no mixing conductance and no transverse length matters, and none is needed: this is the model
    of T. Valet and A. Fert, Phys. Rev. B 48, 7099 (1993) (from memory).

    Parameters
    ----------
    free, fixed
        Names of two magnets; the last and the first if None. Others stay as they are.

    Raises
    ------
    InputError
        For a stack with fewer than two magnets or with a source of spins at an end, and as `solve_multilayer` does.
    """
    movable, reference = _two_magnets(multilayer, free, fixed)
    parallel, antiparallel = (_solution(multilayer, movable, reference, angle) for angle in (0.0, np.pi))
    return Magnetoresistance(parallel=parallel.resistance_area, antiparallel=antiparallel.resistance_area)


def angular_dependence(
    multilayer: Multilayer, *, angle: ArrayLike, free: str | None = None, fixed: str | None = None
) -> xr.Dataset:
    """Resistance and torque coefficients of a stack at linear response, per volt between its ends.

    The free magnet is at `angle` (rad) to the fixed one, m = (sin, 0, cos) in the frame where p = z. The torque on it
    is tau_DL m x (p x m) + tau_FL m x p, coefficients with sin(angle) removed; on the fixed magnet m and p swap roles.

    At 0 and pi the coefficients are limits, (4 c(h) - c(2h))/3 of what they are at a distance h that falls until two of
    them agree. They are right to 1e-9 where the torque has Slonczewski's form with Lambda up to some 1000, and to 1e-7
    up to 10 000; the more resistive a stack, the larger Lambda.

    Parameters
    ----------
    free, fixed
        Names of two magnets; the last and the first if None.

    Returns
    -------
    Dataset
        dims (angle,): resistance_area (Ohm m^2), damping_like, field_like, damping_like_fixed, field_like_fixed in
        J/(m^2 V). Times resistance_area they are per current density.

    Raises
    ------
    InputError
        For no angle, a stack with fewer than two magnets or with a source of spins at an end, for 0 or pi where a third
        magnet is not along the fixed one, and as `solve_multilayer` does. A stack without mixing conductances and
        transverse lengths has no torques: see `magnetoresistance`.
    """
    angles = np.array([finite_number("angle", a, "rad") for a in np.ravel(angle)])
    if angles.size == 0:
        raise InputError("angle=[]: give at least one angle in rad")
    movable, reference = _two_magnets(multilayer, free, fixed)
    still = [m for m in multilayer.magnets if m.name != movable.name]
    askew = [m.name for m in still if not one_axis(m.direction, reference.direction)]
    for a in angles:
        if askew and abs(np.sin(a)) < SMALL_SINE:
            raise InputError(
                f"angle={a:g}: the coefficients have no limit there, magnet {askew[0]!r} is not along "
                f"{reference.name!r}; leave the angle out, or use solve_multilayer"
            )
    rows = np.array([_coefficients(multilayer, movable, reference, a) for a in angles])
    return xr.Dataset(
        {
            name: ("angle", rows[:, n], {"units": unit, "long_name": text})
            for n, (name, (unit, text)) in enumerate(VARIABLES.items())
        },
        {"angle": ("angle", angles, {"units": "rad", "long_name": "angle between free and fixed magnet"})},
        attrs={"free": movable.name, "fixed": reference.name},
    )


def torque_map(
    multilayer: Multilayer,
    *,
    angle: ArrayLike,
    voltage: ArrayLike,
    area: float,
    free: str | None = None,
    fixed: str | None = None,
    mixing_conductance: complex | None = None,
) -> TorqueMap:
    """The torque map of a diffusive stack, for the dynamics stage. Diffusion is linear in the voltage.

    Parameters
    ----------
    angle, voltage
        Grids in rad (0 to pi) and V (mu_L - mu_R over e).
    area : nm^2
        Of the cell that the map is per; any number, the dynamics scale it to the area of the magnet.
    mixing_conductance : S/m^2 or None
        Of the interfaces through which the free magnet pumps, for its damping.
    """
    found = angular_dependence(multilayer, angle=angle, free=free, fixed=fixed)
    volts = np.array([finite_number("voltage", v, "V") for v in np.ravel(voltage)])
    if not finite_number("area", area, "nm^2") > 0:
        raise InputError(f"area={area!r} is not an area; give one in nm^2")
    if mixing_conductance is not None:
        number = isinstance(mixing_conductance, numbers.Complex) and not isinstance(mixing_conductance, bool)
        if not (number and cmath.isfinite(mixing_conductance)):
            raise InputError(f"mixing_conductance={mixing_conductance!r} is not a finite number; give one in S/m^2")
    cell = area * NM2
    torques = {
        name: np.outer(found[name].values, volts) * cell / ELEMENTARY_CHARGE
        for name in ("damping_like", "field_like", "damping_like_fixed", "field_like_fixed")
    }
    quantum = CONDUCTANCE_QUANTUM_PER_SPIN / cell
    return TorqueMap(
        angle=found["angle"].values,
        voltage=volts,
        area=area,
        charge_current=np.outer(cell / found["resistance_area"].values, volts),
        attributes={"source": "drift-diffusion", "free": found.attrs["free"], "fixed": found.attrs["fixed"]},
        mixing_conductance=None if mixing_conductance is None else mixing_conductance / quantum,
        **torques,
    )


def _two_magnets(multilayer: Multilayer, free: str | None, fixed: str | None) -> tuple[Magnet, Magnet]:
    """The free and the fixed magnet of a stack that is driven by its voltage alone."""
    movable, reference = multilayer.magnet(free, -1), multilayer.magnet(fixed, 0)
    if movable.name == reference.name:
        raise InputError(f"free and fixed are both magnet {movable.name!r}; name two")
    require_no_spin_source(multilayer)
    return movable, reference


def _coefficients(multilayer: Multilayer, free: Magnet, fixed: Magnet, angle: float) -> list[float]:
    here = _solution(multilayer, free, fixed, angle)
    if abs(np.sin(angle)) >= SMALL_SINE:
        return [here.resistance_area, *_decomposed(here, free, fixed, angle)]
    return [here.resistance_area, *_limit(multilayer, free, fixed, np.pi * round(angle / np.pi))]


def _limit(multilayer: Multilayer, free: Magnet, fixed: Magnet, middle: float) -> np.ndarray:
    """(DL, FL) on the free and the fixed magnet at a multiple of pi, about which all four are even."""

    def at(angle: float) -> np.ndarray:
        return np.array(_decomposed(_solution(multilayer, free, fixed, angle), free, fixed, angle))

    before = None
    for step in LIMIT_STEPS:
        found = (4 * at(middle + step) - at(middle + 2 * step)) / 3
        if before is not None and np.max(np.abs(found - before)) <= LIMIT_AGREEMENT * np.max(np.abs(found)):
            return before
        before = found
    return found


def _solution(multilayer: Multilayer, free: Magnet, fixed: Magnet, angle: float) -> MultilayerSolution:
    # One volt in all, whatever the ends are held at.
    voltage = 1.0 - ((multilayer.left.voltage or 0.0) - (multilayer.right.voltage or 0.0))
    return solve_multilayer(multilayer.turned(free.name, direction_at(angle, fixed.direction)), voltage=voltage)


def _decomposed(solution: MultilayerSolution, free: Magnet, fixed: Magnet, angle: float) -> list[float]:
    """(DL, FL) on the free magnet, then on the fixed one, per volt."""
    p, m = np.array(fixed.direction), direction_at(angle, fixed.direction)
    found = []
    for own, other, name in ((m, p, free.name), (p, m, fixed.name)):
        torque = solution.torque(name)
        field = np.cross(own, other)
        damping = np.cross(own, np.cross(other, own))
        found += [float(torque @ v) / float(v @ v) for v in (damping, field)]
    return found

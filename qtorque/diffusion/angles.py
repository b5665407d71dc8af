"""Resistance and torques of a multilayer versus the angle between two magnets, and the torque map of them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.diffusion.circuit import one_axis
from qtorque.diffusion.elements import Reservoir
from qtorque.diffusion.multilayer import Magnet, Multilayer, MultilayerSolution, solve_multilayer
from qtorque.errors import InputError, finite_number
from qtorque.spin import direction_at
from qtorque.torquemap import TorqueMap
from qtorque.units import CONDUCTANCE_QUANTUM_PER_SPIN, ELEMENTARY_CHARGE, NM2

SMALL_SINE = 1e-4
"""Below this |sin(angle)| the coefficients come from the limit: the torque itself has lost its digits there."""
LIMIT_STEP = 2e-3
"""rad; the coefficients are even about 0 and pi, so the parabola through one and two steps misses by
4 step^4 c''''/24, some 1e-11, and the rounding of a torque over its sine is smaller."""
VARIABLES = {
    "resistance_area": ("Ohm m^2", "resistance times area"),
    "damping_like": ("J/(m^2 V)", "damping-like torque coefficient on the free magnet per volt"),
    "field_like": ("J/(m^2 V)", "field-like torque coefficient on the free magnet per volt"),
    "damping_like_fixed": ("J/(m^2 V)", "damping-like torque coefficient on the fixed magnet per volt"),
    "field_like_fixed": ("J/(m^2 V)", "field-like torque coefficient on the fixed magnet per volt"),
}
"""Units and long name of each variable over the angle."""


def angular_dependence(
    multilayer: Multilayer, *, angle: ArrayLike, free: str | None = None, fixed: str | None = None
) -> xr.Dataset:
    """Resistance and torque coefficients of a stack at linear response, per volt between its ends.

    The free magnet is at `angle` (rad) to the fixed one, m = (sin, 0, cos) in the frame where p = z. The torque on it
    is tau_DL m x (p x m) + tau_FL m x p, coefficients with sin(angle) removed; on the fixed magnet m and p swap roles.

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
        For a stack with fewer than two magnets or with a source of spins at an end, for 0 or pi where a third magnet
        is not along the fixed one, and as `solve_multilayer` does.
    """
    angles = np.array([finite_number("angle", a, "rad") for a in np.ravel(angle)])
    movable, reference = multilayer.magnet(free, -1), multilayer.magnet(fixed, 0)
    if movable.name == reference.name:
        raise InputError(f"free and fixed are both magnet {movable.name!r}; name two")
    if any(isinstance(end, Reservoir) and any(end.spin_accumulation) for end in (multilayer.left, multilayer.right)):
        raise InputError("spin_accumulation of an end: torques are not per volt then; use solve_multilayer")
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


def _coefficients(multilayer: Multilayer, free: Magnet, fixed: Magnet, angle: float) -> list[float]:
    here = _solution(multilayer, free, fixed, angle)
    resistance = here.resistance_area
    if abs(np.sin(angle)) >= SMALL_SINE:
        return [resistance, *_decomposed(here, free, fixed, angle)]
    middle = np.pi * round(angle / np.pi)
    near, far = (
        np.array(_decomposed(_solution(multilayer, free, fixed, middle + step), free, fixed, middle + step))
        for step in (LIMIT_STEP, 2 * LIMIT_STEP)
    )
    return [resistance, *(near + (near - far) * (1 - ((angle - middle) / LIMIT_STEP) ** 2) / 3)]


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

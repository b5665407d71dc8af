"""Semiclassical models of a spin valve from the parameters of its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from qtorque.diffusion import Interface, Layer, Multilayer, Reservoir, angular_dependence, interface_from
from qtorque.extraction import without_sharvin_resistance
from qtorque.interfaces import InterfaceParameters
from qtorque.units import ELEMENTARY_CHARGE, HBAR, conductance_per_area

UP = (0.0, 0.0, 1.0)
TORQUE_UNIT = HBAR / (2 * ELEMENTARY_CHARGE)
"""J/(m^2 V) in one (hbar/2e) Ohm^-1 m^-2."""
QUANTITIES = ("conductance", "damping_like", "field_like", "damping_like_fixed", "field_like_fixed")


def spacer_resistance(parameters: InterfaceParameters) -> float:
    """Resistance times area of a normal slab alone, without the Sharvin resistance of its leads: rho* t, Ohm m^2."""
    return without_sharvin_resistance(parameters).AR_star


def magnets_of(
    fixed: InterfaceParameters, free: InterfaceParameters, *, sharvin_corrected: bool
) -> tuple[Interface, Interface]:
    """The two magnets of a valve as elements, freed from the contact resistance on the side of the spacer if asked."""
    if sharvin_corrected:
        fixed = without_sharvin_resistance(fixed, corrected_sides=("right",))
        free = without_sharvin_resistance(free, corrected_sides=("left",))
    return (
        interface_from(fixed, magnetization=UP, name="fixed"),
        interface_from(free, magnetization=UP, name="free"),
    )


def valve(
    fixed: InterfaceParameters, free: InterfaceParameters, spacer: Layer, *, sharvin_corrected: bool = True
) -> Multilayer:
    """Reservoir | fixed magnet | spacer | free magnet | reservoir, each magnet one element.

    The parameters are scattering values of the slabs between normal leads. On the side of the spacer, which is
    diffusive, they are freed from the contact resistance; on the other side the lead is the reservoir, and keeps it.
    """
    first, last = magnets_of(fixed, free, sharvin_corrected=sharvin_corrected)
    return Multilayer(left=Reservoir(), elements=[first, spacer, last], right=Reservoir())


def without_transmission(parameters: InterfaceParameters) -> InterfaceParameters:
    """The same slab as a thick magnet, which takes up all transverse spin that enters it."""
    return dataclasses.replace(parameters, mixing_transmitted=0j, mixing_transmitted_back=0j)


def predictions(multilayer: Multilayer, angle: Sequence[float]) -> np.ndarray:
    """`QUANTITIES` at every angle, in Ohm^-1 m^-2 and (hbar/2e) Ohm^-1 m^-2: shape (quantities, angles)."""
    d = angular_dependence(multilayer, angle=angle)
    torques = [d[name].values / TORQUE_UNIT for name in QUANTITIES[1:]]
    return np.array([1 / d["resistance_area"].values, *torques])


def mean_free_path(resistance_area: float, thickness: float, sharvin: float, area: float) -> float:
    """l of the resistance (1/G_Sharvin) t/l of a layer of thickness t, in the unit of t.

    For free electrons this is 4/3 of the mean free path between collisions. G_Sharvin of both spins in e^2/h per cell
    of `area` nm^2.
    """
    return thickness / (resistance_area * conductance_per_area(sharvin, area))

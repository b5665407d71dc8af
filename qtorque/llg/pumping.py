"""Damping by spin pumping: what a precessing magnet loses into the metals beside it. SI."""

from __future__ import annotations

import dataclasses
import math
import numbers

import scipy.constants

from qtorque.errors import InputError
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.torquemap import TorqueMap
from qtorque.units import GYROMAGNETIC_RATIO, HBAR, NM2

BOHR_MAGNETON = scipy.constants.physical_constants["Bohr magneton"][0]
"""J/T."""
LANDE_FACTOR = GYROMAGNETIC_RATIO * HBAR / BOHR_MAGNETON
"""g of the free electron, the one in gamma."""


def spin_pumping_damping(mixing_conductance: float, *, Ms: float, thickness: float) -> float:
    """The Gilbert damping g mu_B Re g_mix/(4 pi Ms d) that spin pumping adds.

    Y. Tserkovnyak, A. Brataas, G. E. W. Bauer, Phys. Rev. Lett. 88, 117601 (2002). Valid for metals that are perfect
    sinks of spin; backflow lowers it. Several interfaces add up.

    Parameters
    ----------
    mixing_conductance : Re g_mix per area, 1/m^2
    Ms, thickness : A/m and m, of the magnet

    Raises
    ------
    InputError
        For a conductance that is negative, and sizes that are not positive.
    """
    require_positive("Ms", Ms)
    require_positive("thickness", thickness)
    if not (isinstance(mixing_conductance, numbers.Real) and 0 <= mixing_conductance < math.inf):
        raise InputError(f"mixing_conductance={mixing_conductance!r} is out of range; give Re g_mix per m^2, >= 0")
    return LANDE_FACTOR * BOHR_MAGNETON * mixing_conductance / (4 * math.pi * Ms * thickness)


def with_spin_pumping(free: Macrospin, tmap: TorqueMap) -> Macrospin:
    """The free layer with the damping that the mixing conductance of its torque map adds to its own.

    Raises
    ------
    InputError
        For a map without mixing conductance.
    """
    if tmap.mixing_conductance is None:
        raise InputError("the torque map holds no mixing conductance; give mixing_conductance= when it is made")
    per_area = tmap.mixing_conductance.real / (tmap.area * NM2)
    added = spin_pumping_damping(per_area, Ms=free.Ms, thickness=free.thickness)
    return dataclasses.replace(free, alpha=free.alpha + added)

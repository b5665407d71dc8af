"""From quantum transport to diffusion: an interface of a multilayer or circuit from what scattering found."""

from __future__ import annotations

import math

from qtorque.diffusion.elements import Interface, Vector
from qtorque.errors import InputError
from qtorque.interfaces import InterfaceParameters


def interface_from(
    parameters: InterfaceParameters,
    *,
    magnetization: Vector | None = None,
    spin_memory_loss: float = 0.0,
    name: str = "",
) -> Interface:
    """The `Interface` with the conductances per area of `InterfaceParameters`.

    Take parameters with the Sharvin correction (`sharvin_corrected=True`) between diffusive layers and nodes:
    scattering values hold the contact resistance of ballistic leads, which a diffusive metal does not have.

    Parameters
    ----------
    magnetization
        Needed for a slab between two normal leads, which is a magnet of its own; the interface N|F takes the direction
        of its magnetic layer if left out.
    spin_memory_loss
        delta of `Interface`; scattering without spin-orbit coupling loses no spin.

    Raises
    ------
    InputError
        For a transparent interface, which is no element, one that passes one spin only, a slab without magnetisation.
    """
    for spin in ("up", "down"):
        G = getattr(parameters, f"conductance_{spin}")
        if not 0 < G < math.inf:
            raise InputError(
                f"conductance_{spin}={G:g} e^2/h: an Interface needs finite resistances of both spins; "
                "leave a transparent one out of the stack"
            )
    slab = len(parameters.normal_leads) == 2
    if slab and magnetization is None:
        raise InputError("magnetization=None: parameters of a slab between normal leads; give its direction")
    transmitted = parameters.mixing_transmitted_per_area if slab else 0.0
    return Interface(
        AR_star=parameters.AR_star,
        gamma=parameters.gamma,
        spin_memory_loss=spin_memory_loss,
        mixing_conductance=parameters.mixing_conductance_per_area,
        mixing_conductance_opposite=parameters.mixing_conductance_opposite_per_area,
        mixing_transmitted=0.0 if transmitted is None else transmitted,
        mixing_transmitted_back=parameters.mixing_transmitted_back_per_area,
        magnetization=magnetization,
        name=name,
    )

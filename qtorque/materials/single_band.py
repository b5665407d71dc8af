"""The single-band simple-cubic model, the standard of the spin-torque literature."""

import math

import numpy as np

from qtorque.errors import InputError
from qtorque.materials.material import Material


def single_band(
    *, onsite: float, exchange: float = 0.0, hopping: float = -1.0, lattice_constant: float = 0.3, name: str = ""
) -> Material:
    """One orbital on a simple cubic lattice with nearest-neighbour hopping.

    E_s(k) = onsite -/+ exchange/2 + 2 hopping (cos kx a + cos ky a + cos kz a), upper sign for the spin along +m.

    Parameters
    ----------
    onsite
        eV, spin average.
    exchange
        Full splitting, eV, not negative: the majority is the spin along +m.
    hopping
        eV.
    lattice_constant
        nm.
    name
        For messages; made of the parameters unless given.

    Raises
    ------
    InputError
        For a number that is not finite, a lattice constant that is not positive or a negative exchange.
    """
    numbers = {"onsite": onsite, "exchange": exchange, "hopping": hopping, "lattice_constant": lattice_constant}
    for key, value in numbers.items():
        if not isinstance(value, (int, float, np.floating, np.integer)) or not math.isfinite(value):
            raise InputError(f"single_band: {key}={value!r} is not a finite number")
    if lattice_constant <= 0:
        raise InputError(f"single_band: lattice_constant={lattice_constant} must be positive, in nm")
    if exchange < 0:
        raise InputError(f"single_band: exchange={exchange} must not be negative; turn the magnetization instead")
    along = np.array([[hopping]], dtype=complex)
    return Material(
        name=name or f"single band (onsite {onsite:g}, exchange {exchange:g}, hopping {hopping:g} eV)",
        lattice=lattice_constant * np.eye(3),
        onsite=np.array([[onsite]], dtype=complex),
        exchange=np.array([[exchange]], dtype=complex),
        hoppings=(((1, 0, 0), along), ((0, 1, 0), along), ((0, 0, 1), along)),
    )

"""Interface between a normal metal and a ferromagnet: single-band, simple cubic, transport along (001).

    N  N  N | F  F  F        the bands step at the interface, the hopping does not change

Look at it with drivers/interface.py: spin-mixing conductance, interface conductances of both spins.
"""

import qtorque as qt


def build(*, onsite_normal=2.5, onsite_up=1.5, onsite_down=4.0, hopping=-1.0, lattice_constant=0.3):
    """The interface as a stack without layers: the two leads touch.

    Parameters
    ----------
    onsite_normal
        On-site energy of the normal metal, eV. The Fermi energy is 0 and the band is 6 |hopping| wide to each side.
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the ferromagnet, eV; onsite_down >= onsite_up.
    hopping
        To each of the six neighbours, eV.
    lattice_constant
        nm.
    """
    shared = {"hopping": hopping, "lattice_constant": lattice_constant}
    normal = qt.single_band(onsite=onsite_normal, name="N", **shared)
    ferromagnet = qt.single_band(
        onsite=(onsite_up + onsite_down) / 2, exchange=onsite_down - onsite_up, name="F", **shared
    )
    return qt.Stack(left=qt.Lead(normal), right=qt.Lead(ferromagnet))

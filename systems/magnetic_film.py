"""Magnetic film between two normal leads; single-band, simple cubic.

    N  N  N | F  F  F  F | N  N  N        what of a transverse spin comes through the film?

Look at it with drivers/transmitted_mixing.py: transmitted spin-mixing conductance versus thickness.
"""

import qtorque as qt


def build(*, film_layers=4, onsite_normal=2.5, onsite_up=3.0, onsite_down=5.6, hopping=-1.0, lattice_constant=0.3):
    """The film, magnetized along z.

    Parameters
    ----------
    film_layers
        Thickness in monolayers.
    onsite_normal
        On-site energy of the leads, eV. The Fermi energy is 0 and the band is 6 |hopping| wide to each side.
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the film, eV; onsite_down >= onsite_up.
    hopping
        To each of the six neighbours, eV.
    lattice_constant
        nm.
    """
    shared = {"hopping": hopping, "lattice_constant": lattice_constant}
    normal = qt.single_band(onsite=onsite_normal, name="N", **shared)
    magnet = qt.single_band(onsite=(onsite_up + onsite_down) / 2, exchange=onsite_down - onsite_up, name="F", **shared)
    return qt.Stack(left=qt.Lead(normal), layers=[qt.Layer(magnet, film_layers, name="film")], right=qt.Lead(normal))

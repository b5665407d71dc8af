"""Spin valve with a clean spacer between magnets that are the leads; single-band, simple cubic.

F  F | N  N  N  N | F  F        with spacer_layers=0:   N  N | F  F
       spacer
"""

import qtorque as qt


def build(
    *,
    spacer_layers=8,
    onsite_normal=2.5,
    onsite_up=1.5,
    onsite_down=4.0,
    hopping=-1.0,
    lattice_constant=0.3,
):
    """The valve, both magnets along z; drivers turn the right one, called free. Without a spacer one interface N|F.

    Parameters
    ----------
    spacer_layers
        Thickness in monolayers; 0 gives one interface between normal metal and magnet.
    onsite_normal
        On-site energy of the normal metal, eV. The Fermi energy is 0 and the band is 6 |hopping| wide to each side.
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the magnets, eV; onsite_down >= onsite_up.
    hopping
        To each of the six neighbours, eV.
    lattice_constant
        nm.
    """
    shared = {"hopping": hopping, "lattice_constant": lattice_constant}
    normal = qt.single_band(onsite=onsite_normal, name="N", **shared)
    magnet = qt.single_band(onsite=(onsite_up + onsite_down) / 2, exchange=onsite_down - onsite_up, name="F", **shared)
    if spacer_layers == 0:
        return qt.Stack(left=qt.Lead(normal), layers=[], right=qt.Lead(magnet))
    return qt.Stack(
        left=qt.Lead(magnet), layers=[qt.Layer(normal, spacer_layers, name="spacer")], right=qt.Lead(magnet)
    )

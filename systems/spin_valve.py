"""Spin valve: two thin magnets between normal leads, parted by a normal spacer; single-band, simple cubic.

    N  N | F  F  F  F | N  N  N | F  F  F | N  N        no barrier: the bias drops nowhere in particular
            fixed      spacer     free

Keep the voltage below 0.1 V: without a barrier it sets the occupations of the leads and shifts no band.
"""

import qtorque as qt


def build(
    *,
    fixed_layers=4,
    spacer_layers=3,
    free_layers=3,
    onsite_normal=2.5,
    onsite_up=1.5,
    onsite_down=4.0,
    hopping=-1.0,
    lattice_constant=0.3,
):
    """The spin valve, both magnets along z; drivers turn the right one, called free.

    Parameters
    ----------
    fixed_layers, spacer_layers, free_layers
        Thicknesses in monolayers.
    onsite_normal
        On-site energy of leads and spacer, eV. The Fermi energy is 0 and the band is 6 |hopping| wide to each side.
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
    return qt.Stack(
        left=qt.Lead(normal),
        layers=[
            qt.Layer(magnet, fixed_layers, name="fixed", magnet="fixed"),
            qt.Layer(normal, spacer_layers, name="spacer"),
            qt.Layer(magnet, free_layers, name="free", magnet="free"),
        ],
        right=qt.Lead(normal),
    )

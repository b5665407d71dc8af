"""Magnetic tunnel junction: two semi-infinite ferromagnets and a barrier between them, single-band, simple cubic.

    F  F  F | B  B  B | F  F  F        the bias drops over the barrier
     fixed             free

The standard model of the spin-torque literature, with the parameters of I. Theodonis et al., Phys. Rev. Lett. 97,
237205 (2006) (cited from memory). Look at it with drivers/mtj_torque.py, or drivers/pipeline.py down to its switching.
"""

import qtorque as qt


def build(
    *,
    onsite_up=3.0,
    onsite_down=5.6,
    onsite_barrier=9.0,
    barrier_layers=3,
    hopping=-1.0,
    lattice_constant=0.3,
):
    """The junction, both magnets along z; drivers turn the right one, which is the free one.

    Parameters
    ----------
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the magnets, eV; onsite_down >= onsite_up. The Fermi
        energy is 0 and a band is 6 |hopping| wide to each side.
    onsite_barrier
        On-site energy in the barrier, eV; above 6 |hopping| electrons have to tunnel.
    barrier_layers
        Thickness of the barrier in monolayers.
    hopping
        To each of the six neighbours, eV.
    lattice_constant
        nm.
    """
    shared = {"hopping": hopping, "lattice_constant": lattice_constant}
    magnet = qt.single_band(onsite=(onsite_up + onsite_down) / 2, exchange=onsite_down - onsite_up, name="F", **shared)
    barrier = qt.single_band(onsite=onsite_barrier, name="B", **shared)
    return qt.Stack(
        left=qt.Lead(magnet, name="fixed"),
        layers=[qt.Layer(barrier, barrier_layers, barrier=True, name="barrier")],
        right=qt.Lead(magnet, name="free"),
    )

"""Tunnel junction that filters by symmetry: two orbitals that tunnel separately, one of them for the majority only.

    F  F  F | B  B  B | F  F  F        Delta_1 (s): majority only, decays slowly;  Delta_5 (d): both spins, decays fast
     fixed             free

The model of a crystalline barrier such as MgO between bcc magnets (W. H. Butler et al., Phys. Rev. B 63, 054416 (2001),
cited from memory) with one band for each symmetry. At k = 0 the orbitals do not mix: parallel magnets conduct through
Delta_1, antiparallel ones only through Delta_5, so that the magnetoresistance grows as exp[2 (kappa_5 - kappa_1) d].
Away from k = 0 they mix as sin(k.a1). Look at its decay rates with `qtorque.complex_bands` and
`qtorque.plot.complex_bands`, at the junction with drivers/mtj_torque.py.
"""

import numpy as np

import qtorque as qt


def build(
    *,
    onsite_s=5.0,
    onsite_d=2.2,
    exchange_s=4.0,
    exchange_d=0.8,
    barrier_s=7.5,
    barrier_d=5.0,
    hopping_s=-1.0,
    hopping_d=-0.5,
    mixing=0.2,
    barrier_layers=4,
    lattice_constant=0.3,
):
    """The junction, both magnets along z; drivers turn the right one, which is the free one.

    At k = 0 an orbital's band runs over onsite + 4 hopping +/- 2 |hopping|; the Fermi energy is 0.

    Parameters
    ----------
    onsite_s, onsite_d
        On-site energies of the s-like and the d-like orbital in the magnets, spin average, eV.
    exchange_s, exchange_d
        Full exchange splittings, eV. By default the minority's s band lies above the Fermi energy everywhere.
    barrier_s, barrier_d
        On-site energies in the barrier, eV.
    hopping_s, hopping_d
        To each of the six neighbours, within an orbital, eV.
    mixing
        Between s on a site and d on its neighbour along a1, and with the other sign along -a1, eV.
    barrier_layers
        Thickness of the barrier in monolayers.
    lattice_constant
        nm.
    """
    along = np.diag([hopping_s, hopping_d])
    hoppings = (
        ((1, 0, 0), along + mixing * np.array([[0.0, 1.0], [-1.0, 0.0]])),
        ((0, 1, 0), along),
        ((0, 0, 1), along),
    )
    shared = {"lattice": lattice_constant * np.eye(3), "hoppings": hoppings}
    magnet = qt.Material(
        name="F", onsite=np.diag([onsite_s, onsite_d]), exchange=np.diag([exchange_s, exchange_d]), **shared
    )
    barrier = qt.Material(name="B", onsite=np.diag([barrier_s, barrier_d]), exchange=np.zeros((2, 2)), **shared)
    return qt.Stack(
        left=qt.Lead(magnet, name="fixed"),
        layers=[qt.Layer(barrier, barrier_layers, barrier=True, name="barrier")],
        right=qt.Lead(magnet, name="free"),
    )

"""Disordered interface between a normal metal and a ferromagnet: an in-plane supercell of the simple cubic one.

    N  N  N | N* | F* | F  F  F        the layers with a star are disordered, the leads are clean

Two kinds of disorder, alone or together: Anderson disorder (each site at an energy of its own) and alloying (each site
of an interface layer may be one of the other metal). A configuration is addressed by (seed, configuration); look at
averages over many of them with drivers/disorder.py. Conductances are per supercell: divide by n m for those of a
primitive cell.
"""

from dataclasses import replace

import numpy as np

import qtorque as qt


def build(
    *,
    n=2,
    m=2,
    disorder=1.0,
    mixing=0.0,
    normal_layers=1,
    ferromagnet_layers=1,
    configuration=0,
    seed=1,
    onsite_normal=2.5,
    onsite_up=1.5,
    onsite_down=4.0,
    hopping=-1.0,
    lattice_constant=0.3,
):
    """One configuration of the interface, as a stack of supercells.

    Parameters
    ----------
    n, m
        Primitive cells of the supercell along both in-plane vectors.
    disorder
        Width W of the Anderson disorder, eV: the energies of sites in interface layers spread evenly over
        [-W/2, W/2], both spins alike.
    mixing
        Probability that a site of an interface layer is one of the other metal, 0 to 1.
    normal_layers, ferromagnet_layers
        Monolayers of interface on either side.
    configuration, seed
        Which random numbers: every (seed, configuration) is another sample.
    onsite_normal
        On-site energy of the normal metal, eV. The Fermi energy is 0 and the band is 6 |hopping| wide to each side.
    onsite_up, onsite_down
        On-site energies of majority and minority electrons in the ferromagnet, eV; onsite_down >= onsite_up.
    hopping
        To each of the six neighbours, eV.
    lattice_constant
        nm.
    """
    if not (disorder >= 0 and 0 <= mixing <= 1):
        raise qt.InputError(f"disorder={disorder}, mixing={mixing}: give a width from 0 on and a probability of 0 to 1")
    if min(normal_layers, ferromagnet_layers) < 0:
        raise qt.InputError(
            f"normal_layers={normal_layers}, ferromagnet_layers={ferromagnet_layers}: give numbers from 0 on"
        )
    shared = {"hopping": hopping, "lattice_constant": lattice_constant}
    normal = qt.single_band(onsite=onsite_normal, name="N", **shared)
    ferromagnet = qt.single_band(
        onsite=(onsite_up + onsite_down) / 2, exchange=onsite_down - onsite_up, name="F", **shared
    )

    def clean(metal):
        return qt.in_plane_supercell([[metal] * m] * n)

    def interface_layer(metal, other, number):
        def site(i, j):
            # Both numbers are drawn always, so that one kind of disorder does not change the other.
            energy, lot = qt.site_generator(seed=seed, configuration=configuration, layer=number, site=(i, j)).random(2)
            found = other if lot < mixing else metal
            return replace(found, onsite=found.onsite + disorder * (energy - 0.5) * np.eye(found.orbitals))

        return qt.Layer(qt.in_plane_supercell([[site(i, j) for j in range(m)] for i in range(n)]))

    metals = [(normal, ferromagnet)] * normal_layers + [(ferromagnet, normal)] * ferromagnet_layers
    return qt.Stack(
        left=qt.Lead(clean(normal), name="N"),
        layers=[interface_layer(metal, other, number) for number, (metal, other) in enumerate(metals)],
        right=qt.Lead(clean(ferromagnet), name="F"),
    )

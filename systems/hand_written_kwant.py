"""A junction written in plain Kwant, with two orbitals on each site and no `qt.Stack`.

    F  F  F | B  B | F  F  F        an s-like and a d-like orbital that hybridise in the magnets
     fixed          free

What qtorque asks of the three builders:

* the region has two translations, a1 and a2, both in the plane of the layers; a lead has a third one along z;
* lengths in nm, energies in eV;
* spin is the last tensor factor of every matrix: kron(orbital matrix, spin matrix), norbs = 2 x orbitals;
* the region ends on each side in one full layer of its lead's material, as for `attach_lead` in Kwant.

Voltage and directions of the magnets enter as ordinary Kwant parameters, through functions of a site.
"""

import kwant
import numpy as np

import qtorque as qt

SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
"""Pauli matrices x, y, z."""


def build(
    *,
    onsite_s=2.0,
    onsite_d=1.5,
    hopping_s=-1.0,
    hopping_d=-0.7,
    hybridisation=0.5,
    exchange_s=1.0,
    exchange_d=2.0,
    onsite_barrier=7.0,
    barrier_layers=2,
    lattice_constant=0.3,
):
    """The junction; the fixed magnet on the left points along z, the free one on the right along (sin, 0, cos).

    Parameters
    ----------
    onsite_s, onsite_d
        On-site energies of both orbitals in the magnets, spin average, eV. The Fermi energy is 0.
    hopping_s, hopping_d
        To each of the six neighbours, within an orbital, eV.
    hybridisation
        Between the two orbitals of a site in the magnets, eV.
    exchange_s, exchange_d
        Full exchange splitting of each orbital, eV: the d electrons carry the moment, the s electrons the current.
    onsite_barrier
        On-site energy of both orbitals in the barrier, eV.
    barrier_layers
        Monolayers of barrier.
    lattice_constant
        nm.
    """
    # Orbital matrices, spin not yet in them.
    magnet = np.array([[onsite_s, hybridisation], [hybridisation, onsite_d]])
    barrier = onsite_barrier * np.eye(2)
    exchange = np.diag([exchange_s, exchange_d])
    # A hopping does not touch the spin: kron with the unit matrix of spin.
    hopping = np.kron(np.diag([hopping_s, hopping_d]), np.eye(2))

    last = barrier_layers + 1
    """Height of the region's last layer; layers 0 and `last` belong to the magnets."""

    def exchange_field(m):
        """-(1/2) D m.sigma: lowers the electrons whose spin is along m."""
        return -0.5 * np.kron(exchange, np.einsum("a,aij->ij", m, SIGMA))

    def potential(share, voltage):
        """Bands move up by eV/2 left of the barrier and down by eV/2 right of it; mu_L - mu_R = eV."""
        return share * voltage * np.eye(4)

    def fixed_magnet(site, voltage, m_fixed):
        return np.kron(magnet, np.eye(2)) + exchange_field(m_fixed) + potential(0.5, voltage)

    def free_magnet(site, voltage, m_free):
        return np.kron(magnet, np.eye(2)) + exchange_field(m_free) + potential(-0.5, voltage)

    def barrier_layer(site, voltage):
        # The tag of a site counts lattice constants; its third entry is the number of the layer.
        return np.kron(barrier, np.eye(2)) + potential(0.5 - site.tag[2] / last, voltage)

    a = lattice_constant
    in_plane = [(a, 0, 0), (0, a, 0)]
    cubic = kwant.lattice.cubic(a, norbs=4)

    # Thanks to the in-plane translations one site stands for its whole layer, and `cubic.neighbors()`, all
    # nearest-neighbour hoppings of the lattice, finds the neighbours in the plane by itself.
    region = kwant.Builder(kwant.TranslationalSymmetry(*in_plane))
    region[cubic(0, 0, 0)] = fixed_magnet
    for height in range(1, last):
        region[cubic(0, 0, height)] = barrier_layer
    region[cubic(0, 0, last)] = free_magnet
    region[cubic.neighbors()] = hopping

    left = kwant.Builder(kwant.TranslationalSymmetry(*in_plane, (0, 0, -a)))
    left[cubic(0, 0, 0)] = fixed_magnet
    left[cubic.neighbors()] = hopping

    right = kwant.Builder(kwant.TranslationalSymmetry(*in_plane, (0, 0, a)))
    right[cubic(0, 0, 0)] = free_magnet
    right[cubic.neighbors()] = hopping

    def params(angle, voltage):
        """Kwant's parameters for an angle (rad) between the magnets and a voltage (V); angle None: as it stands."""
        angle = 0.0 if angle is None else angle
        return {"voltage": voltage, "m_fixed": (0, 0, 1), "m_free": (np.sin(angle), 0, np.cos(angle))}

    return qt.layered(region, left, right, params=params)

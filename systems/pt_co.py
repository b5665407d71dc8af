"""Platinum and cobalt (111) with spin-orbit coupling between leads without it, spd orbitals.

    Cu  Cu | Pt  Pt  Pt | Co  Co  Co | Cu  Cu        all on one in-plane net, halfway between those of Pt and Co

The lattice constants of Pt and Co differ by 10.7 %, those of Pt and Cu by 8.5 %. A coherent crystal needs one: by
default all metals are strained to 0.3734 nm, the mean of Pt and Co, with integrals scaled by the distance and Fermi
levels of their own (`qt.strained`). Real Pt/Co relaxes by dislocations instead; this is a model of the coherent
interface. The leads have no spin-orbit coupling, so that their channels are of one spin each and a mixing conductance
is defined.
"""

import qtorque as qt


def build(*, platinum_layers=3, cobalt_layers=3, lattice_constant=0.3734, platinum_coupling=0.57, cobalt_coupling=0.08):
    """The bilayer, cobalt magnetized along z.

    Parameters
    ----------
    platinum_layers, cobalt_layers
        Monolayers; 0 leaves a metal out.
    lattice_constant
        Of all four metals, nm.
    platinum_coupling, cobalt_coupling
        Spin-orbit coupling xi of the d shell, eV; 0 for none.
    """

    def metal(name, coupling=0.0):
        own = qt.slater_koster(name, facet="111", spin_orbit={"d": coupling} if coupling else False)
        return qt.strained(own, lattice_constant)

    copper = metal("Cu")
    bilayer = [(metal("Pt", platinum_coupling), platinum_layers), (metal("Co", cobalt_coupling), cobalt_layers)]
    layers = [qt.Layer(material, n) for material, n in bilayer if n != 0]
    return qt.Stack(left=qt.Lead(copper), layers=layers, right=qt.Lead(copper))

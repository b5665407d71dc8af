"""Slater-Koster metals at another lattice constant."""

from __future__ import annotations

import dataclasses

import numpy as np

from qtorque.errors import InputError, finite_number
from qtorque.materials import Material, Parameters, same_hoppings, slater_koster_material
from qtorque.tetrahedra import fermi_energy

DISTANCE_EXPONENTS = {"ss": 1, "sp": 2, "pp": 3, "sd": 3, "pd": 4, "dd": 5}
"""Integrals between two shells fall as (d0/d)^n, n = l + l' + 1 as in canonical band theory (O. K. Andersen, from
memory); read in antoniotcosta/LCAO_Spin_Dynamics, lib/FeWood_WAnd_rescaled.f90."""
LARGEST_STRAIN = 0.2
"""Relative change of the lattice constant beyond which a power law fitted near equilibrium says nothing."""


def strained(material: Material, lattice_constant: float) -> Material:
    """The same metal, cut along the same facet, with another cubic lattice constant and its own Fermi level.

    Every two-centre integral is scaled by (a0/a)^n, n = 1 (ss), 2 (sp), 3 (pp, sd), 4 (pd), 5 (dd); on-site energies,
    exchange splitting and spin-orbit coupling stay. E = 0 is the Fermi energy of the bands so obtained, recomputed with
    the same electrons (without spin-orbit coupling, as in the library). The same mesh finds it before and after, and
    what it finds before is subtracted: at the old lattice constant the metal is the old one.

    Parameters
    ----------
    material
        Of `qt.slater_koster`.
    lattice_constant
        nm, within 20 % of the old one.

    Raises
    ------
    InputError
        For a material that is not one Slater-Koster crystal, one whose matrices were changed since, or a lattice
        constant that is not positive or too far off.

    Notes
    -----
    The crystal stays cubic: a tetragonal distortion at fixed in-plane lattice constant is not covered, and neither is
    the change of a magnetic moment's splitting with volume.
    """
    new = finite_number("lattice_constant", lattice_constant, "nm")
    if not isinstance(material, Material) or not material.atoms or material.cells != (1, 1):
        raise InputError(f"strained: {material!r} is not one Slater-Koster crystal; give what qt.slater_koster returns")
    crystal = material.atoms[0].crystal
    made = slater_koster_material(crystal.parameters, facet=crystal.facet)
    _require_unchanged(material, made)
    old = crystal.parameters.lattice_constant
    if not abs(new / old - 1) <= LARGEST_STRAIN:
        raise InputError(
            f"lattice_constant={new:g} nm is over {LARGEST_STRAIN:.0%} from the {old:g} nm of {material.name}; the "
            "scaling of the integrals holds near equilibrium only"
        )
    parameters = _scaled(crystal.parameters, new)
    built = slater_koster_material(parameters, facet=crystal.facet)
    # One of these is what `built` was aligned with, and what its own Fermi level is measured from.
    level = "fermi_energy_magnetic" if built.magnetic else "fermi_energy"
    moved = getattr(parameters, level) + fermi_energy(built, electrons=material.electrons) - fermi_energy(made)
    aligned = slater_koster_material(dataclasses.replace(parameters, **{level: moved}), facet=crystal.facet)
    return dataclasses.replace(aligned, spin_orbit=material.spin_orbit, name=f"{material.name} a={new:g} nm")


def _require_unchanged(material: Material, made: Material) -> None:
    """Refuse a material whose matrices are not those of its parameters: a change by hand would be lost."""
    matrices = {"onsite": (material.onsite, made.onsite), "exchange": (material.exchange, made.exchange)}
    changed = [name for name, (found, expected) in matrices.items() if not np.array_equal(found, expected)]
    if not same_hoppings(material.hoppings, made.hoppings):
        changed.append("hoppings")
    if changed:
        raise InputError(
            f"strained: {', '.join(changed)} of {material.name} were changed and are not those of its parameters, of "
            "which the strained metal is made; strain first and change afterwards, or change the parameters"
        )


def _scaled(parameters: Parameters, lattice_constant: float) -> Parameters:
    """The parameters with scaled integrals; the Fermi energies are still the old ones."""
    ratio = parameters.lattice_constant / lattice_constant
    bonds = {
        bond: {name: value * ratio ** DISTANCE_EXPONENTS[_shells(name)] for name, value in integrals.items()}
        for bond, integrals in parameters.bonds.items()
    }
    return dataclasses.replace(parameters, lattice_constant=lattice_constant, bonds=bonds)


def _shells(integral: str) -> str:
    """The two shells of an integral in the order s, p, d: "pss" -> "sp"."""
    return "".join(sorted(integral[:2], key="spd".index))

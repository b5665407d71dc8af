"""Materials: the tight-binding parameters of a crystal, with the transport direction as third lattice vector."""

from qtorque.materials.crystal import (
    Atom,
    Crystal,
    Parameters,
    bonds_of_atoms,
    hoppings_between,
    positions_of,
    slater_koster_material,
    slices,
)
from qtorque.materials.library import TRUST, material_names, read_parameters, slater_koster
from qtorque.materials.matching import require_match, require_own_bonds, same_hoppings
from qtorque.materials.material import Material
from qtorque.materials.single_band import single_band
from qtorque.materials.two_centre import (
    ANGULAR_MOMENTUM,
    Mean,
    arithmetic_mean,
    geometric_mean,
    require_mean,
    rotation_of_orbitals,
)

__all__ = [
    "ANGULAR_MOMENTUM",
    "TRUST",
    "Atom",
    "Crystal",
    "Material",
    "Mean",
    "Parameters",
    "arithmetic_mean",
    "bonds_of_atoms",
    "geometric_mean",
    "hoppings_between",
    "material_names",
    "positions_of",
    "read_parameters",
    "require_match",
    "require_mean",
    "require_own_bonds",
    "rotation_of_orbitals",
    "same_hoppings",
    "single_band",
    "slater_koster",
    "slater_koster_material",
    "slices",
]

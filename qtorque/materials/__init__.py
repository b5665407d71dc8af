"""Materials: the tight-binding parameters of a crystal, with the transport direction as third lattice vector."""

from qtorque.materials.crystal import (
    Atom,
    Crystal,
    Parameters,
    bonds_of_atoms,
    hopping_between,
    positions_of,
    slater_koster_material,
    slices,
    vectors_up,
)
from qtorque.materials.library import TRUST, material_names, read_parameters, slater_koster
from qtorque.materials.matching import require_match
from qtorque.materials.material import Material
from qtorque.materials.single_band import single_band
from qtorque.materials.two_centre import (
    ANGULAR_MOMENTUM,
    Mean,
    arithmetic_mean,
    geometric_mean,
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
    "hopping_between",
    "material_names",
    "positions_of",
    "read_parameters",
    "require_match",
    "rotation_of_orbitals",
    "single_band",
    "slater_koster",
    "slater_koster_material",
    "slices",
    "vectors_up",
]

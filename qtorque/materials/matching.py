"""Which materials can stand side by side: nets that match, a rule for the hopping between them, bonds to make it of."""

import numpy as np

from qtorque.errors import InputError
from qtorque.materials.crystal import slices
from qtorque.materials.material import Hoppings, Material

MISMATCH_LIMIT = 0.06
"""Largest relative difference between in-plane lattice constants; beyond it no coherent interface grows."""
NET_TOLERANCE = 1e-3
"""Relative tolerance on the shape of the in-plane net (ratio of sides, angle): the nets are the same or they are
not."""


def require_match(first: Material, other: Material) -> None:
    """Refuse two materials that cannot stand side by side: other nets, or no rule for the hopping between them."""
    if not (first.atoms and other.atoms) and first.orbitals != other.orbitals:
        raise InputError(
            f"{other.name} has {other.orbitals} orbitals and {first.name} {first.orbitals}: no rule gives the hopping "
            "between them; take both from qt.slater_koster, or write the interface in Kwant (qt.layered)"
        )
    if first.atoms and other.atoms and first.cells != other.cells:
        raise InputError(
            f"{other.name} has {other.cells[0]} x {other.cells[1]} cells and {first.name} {first.cells[0]} x "
            f"{first.cells[1]}; a stack needs equal supercells (qt.in_plane_supercell)"
        )
    sides, angle = _net(first.lattice)
    other_sides, other_angle = _net(other.lattice)
    stretch = abs(sides[1] / sides[0] - other_sides[1] / other_sides[0])
    if max(stretch, abs(angle - other_angle)) > NET_TOLERANCE:
        raise InputError(f"the in-plane nets of {first.name} and {other.name} differ in shape; they cannot be stacked")
    mismatch = abs(other_sides[0] / sides[0] - 1)
    if mismatch > MISMATCH_LIMIT:
        raise InputError(
            f"{other.name} and {first.name} mismatch by {100 * mismatch:.1f} % in the plane; at most "
            f"{100 * MISMATCH_LIMIT:g} % can be strained away, choose another cut or lattice constant"
        )


def same_hoppings(first: Hoppings, second: Hoppings) -> bool:
    """Whether two lists hold the same vectors with the same matrices, to the last digit."""
    if first is second:
        return True
    return len(first) == len(second) and all(
        v == w and np.array_equal(a, b) for (v, a), (w, b) in zip(first, second, strict=True)
    )


def require_own_bonds(material: Material) -> None:
    """Refuse a Slater-Koster material whose hoppings, within a cell or beyond, are not those of its atoms any more."""
    if not material.atoms or material.atom_bonds is None:
        return
    inside, hoppings = material.atom_bonds
    between = material.onsite.copy()
    for own in slices(material.atoms):
        between[own, own] = 0
    if not (same_hoppings(material.hoppings, hoppings) and np.array_equal(between, inside)):
        raise InputError(
            f"{material.name}: its hoppings were changed, and bonds to another metal or in a supercell are made of its "
            "two-centre integrals; change those, slater_koster_material(replace(read_parameters(...), bonds=...)) of "
            "qtorque.materials, or use qt.strained"
        )


def _net(lattice: np.ndarray) -> tuple[np.ndarray, float]:
    sides = np.linalg.norm(lattice[:2], axis=1)
    return sides, float(np.arccos(np.clip(lattice[0] @ lattice[1] / (sides[0] * sides[1]), -1, 1)))

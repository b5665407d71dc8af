"""The tight-binding parameters of one crystal: what a layer or a lead is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qtorque.errors import InputError

if TYPE_CHECKING:
    from qtorque.materials.crystal import Atom

Hoppings = tuple[tuple[tuple[int, int, int], np.ndarray], ...]
"""((n1, n2, n3), matrix) of every hopping, one of each pair of opposite vectors."""

HERMITICITY_TOLERANCE = 1e-12
"""Relative to the largest element: parameters typed by hand are exact, computed ones carry a few rounding errors."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """Tight-binding parameters of a crystal; a cell holds one or several atoms of one monolayer.

    H = onsite - (1/2) exchange m.sigma + sum_a spin_orbit[a] sigma_a in each cell, and <r|H|r + n1 a1 + n2 a2 + n3 a3>
    = hopping[n1, n2, n3].

    Parameters
    ----------
    name
        For messages and plots.
    lattice
        Primitive vectors as rows, nm; a1 and a2 span the layer, a3 leads to the next monolayer. shape (3, 3)
    onsite
        Hermitian orbital matrix, eV. shape (n, n)
    exchange
        Hermitian orbital matrix D, eV: the full splitting; D > 0 lowers the spin along +m (the majority). shape (n, n)
    hoppings
        Pairs ((n1, n2, n3), matrix (n, n) in eV), one for each pair of opposite vectors.
    spin_orbit
        Three Hermitian orbital matrices, eV: (xi/2) L_a for an atom, L in units of hbar. None: no spin-orbit coupling.
        shape (3, n, n)
    electrons
        Valence electrons in a cell, both spins; None if that is not known.
    positions
        Where the orbitals sit in the cell, nm; None: all at the lattice point. shape (n, 3)
    atoms
        The atoms of a Slater-Koster material, from which its bonds to other such materials are made.
    cells
        Primitive cells side by side along a1 and a2, of an in-plane supercell.
    atom_bonds
        (matrix elements within a cell, hoppings) that the bonds between `atoms` gave. By them a material is told whose
        own hoppings were changed since: those cannot be made of the atoms any more.

    Raises
    ------
    InputError
        For matrices that do not fit together, are not finite or not Hermitian.
    """

    name: str
    lattice: np.ndarray
    onsite: np.ndarray
    exchange: np.ndarray
    hoppings: Hoppings
    spin_orbit: np.ndarray | None = None
    electrons: float | None = None
    positions: np.ndarray | None = None
    atoms: tuple[Atom, ...] = ()
    cells: tuple[int, int] = (1, 1)
    atom_bonds: tuple[np.ndarray, Hoppings] | None = None

    def __post_init__(self) -> None:
        if self.lattice.shape != (3, 3) or abs(np.linalg.det(self.lattice)) == 0:
            raise InputError(f"material {self.name}: lattice {self.lattice.tolist()} is not three independent vectors")
        n = len(self.onsite)
        matrices = {"onsite": self.onsite, "exchange": self.exchange}
        if self.spin_orbit is not None:
            if self.spin_orbit.shape != (3, n, n):
                raise InputError(
                    f"material {self.name}: spin_orbit has shape {self.spin_orbit.shape}; it must be {(3, n, n)}"
                )
            matrices |= {f"spin_orbit[{a}]": matrix for a, matrix in enumerate(self.spin_orbit)}
        if self.positions is not None and self.positions.shape != (n, 3):
            raise InputError(f"material {self.name}: positions has shape {self.positions.shape}; it must be {(n, 3)}")
        for name, matrix in matrices.items():
            if matrix.shape != (n, n):
                raise InputError(f"material {self.name}: {name} has shape {matrix.shape}; it must be {(n, n)}")
            if not np.all(np.isfinite(matrix)):
                raise InputError(f"material {self.name}: {name}={matrix.tolist()} is not finite")
            scale = max(1.0, float(np.abs(matrix).max()))
            deviation = np.abs(matrix - matrix.conj().T)
            if deviation.max() > HERMITICITY_TOLERANCE * scale:
                i, j = np.unravel_index(deviation.argmax(), deviation.shape)
                raise InputError(
                    f"material {self.name}: {name} is not Hermitian: elements ({i}, {j}) and ({j}, {i}) differ by "
                    f"{deviation.max():.3g} eV; mend it"
                )
        if self.magnetic and np.trace(self.exchange).real <= HERMITICITY_TOLERANCE * np.abs(self.exchange).max():
            raise InputError(
                f"material {self.name}: exchange={self.exchange.tolist()} has no positive trace, so the majority is "
                "not along +m; change its sign and turn the magnetization instead"
            )
        seen = set()
        for vector, matrix in self.hoppings:
            if matrix.shape != (n, n) or not np.all(np.isfinite(matrix)):
                raise InputError(f"material {self.name}: hopping {vector} is not a finite matrix of shape {(n, n)}")
            opposite = tuple(-x for x in vector)
            if vector in seen or opposite in seen or not any(vector):
                raise InputError(f"material {self.name}: hopping {vector} is given twice; give one of each ± pair")
            seen.add(vector)

    @property
    def orbitals(self) -> int:
        return len(self.onsite)

    @property
    def magnetic(self) -> bool:
        return bool(np.any(self.exchange))

    @property
    def spin_orbit_coupled(self) -> bool:
        return self.spin_orbit is not None and bool(np.any(self.spin_orbit))

    @property
    def reach(self) -> int:
        """How many monolayers further the longest hopping leads; at least 1."""
        return max([1, *(abs(vector[2]) for vector, _ in self.hoppings)])

    def __repr__(self) -> str:
        kind = (", magnetic" if self.magnetic else "") + (", spin-orbit" if self.spin_orbit_coupled else "")
        return f"Material({self.name!r}, {self.orbitals} orbitals{kind})"

"""The tight-binding parameters of one crystal: what a layer or a lead is made of."""

from dataclasses import dataclass

import numpy as np

from qtorque.errors import InputError

HERMITICITY_TOLERANCE = 1e-12
"""Relative to the largest element: parameters typed by hand are exact, computed ones carry a few rounding errors."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """Tight-binding parameters of a crystal with one atom per cell.

    H = onsite - (1/2) exchange m.sigma on each site, and <r|H|r + n1 a1 + n2 a2 + n3 a3> = hopping[n1, n2, n3].

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

    Raises
    ------
    InputError
        For matrices that do not fit together, are not finite or not Hermitian.
    """

    name: str
    lattice: np.ndarray
    onsite: np.ndarray
    exchange: np.ndarray
    hoppings: tuple[tuple[tuple[int, int, int], np.ndarray], ...]

    def __post_init__(self) -> None:
        if self.lattice.shape != (3, 3) or abs(np.linalg.det(self.lattice)) == 0:
            raise InputError(f"material {self.name}: lattice {self.lattice.tolist()} is not three independent vectors")
        n = len(self.onsite)
        for name in ("onsite", "exchange"):
            matrix = getattr(self, name)
            if matrix.shape != (n, n):
                raise InputError(f"material {self.name}: {name} has shape {matrix.shape}; it must be {(n, n)}")
            if not np.all(np.isfinite(matrix)):
                raise InputError(f"material {self.name}: {name}={matrix.tolist()} is not finite")
            scale = max(1.0, float(np.abs(matrix).max()))
            if np.abs(matrix - matrix.conj().T).max() > HERMITICITY_TOLERANCE * scale:
                raise InputError(f"material {self.name}: {name}={matrix.tolist()} is not Hermitian; mend it")
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

    def __repr__(self) -> str:
        return f"Material({self.name!r}, {self.orbitals} orbitals{', magnetic' if self.magnetic else ''})"

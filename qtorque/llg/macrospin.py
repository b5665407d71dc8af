"""A free layer whose magnetisation turns as one vector: parameters, fields, energy. SI; fields as mu_0 H in tesla."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.spin import unit_vector
from qtorque.units import VACUUM_PERMEABILITY

DEMAG_SUM_TOLERANCE = 1e-3
"""Demagnetising factors sum to 1; typed with three digits each they may miss it by this much."""

Vector = Sequence[float] | np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Macrospin:
    """A uniformly magnetised free layer, m the direction of its magnetic moment.

    Parameters
    ----------
    Ms : float, A/m
        Saturation magnetisation.
    thickness, area : float, m and m^2
    alpha : float
        Gilbert damping.
    anisotropy : float, J/m^3
        K of the energy -K (m.u)^2 per volume; negative for an easy plane.
    easy_axis : unit vector u
    demag : three numbers that sum to 1
        Demagnetising factors along x, y, z; (0, 0, 1) is a thin film.
    field : vector, T
        Applied field mu_0 H.
    fixed : unit vector p
        Moment of the fixed magnet.

    Raises
    ------
    InputError
        For a value outside its range, one line that names it.
    """

    Ms: float
    thickness: float
    area: float
    alpha: float
    anisotropy: float = 0.0
    easy_axis: Vector = (0.0, 0.0, 1.0)
    demag: Vector = (0.0, 0.0, 1.0)
    field: Vector = (0.0, 0.0, 0.0)
    fixed: Vector = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("Ms", "thickness", "area"):
            require_positive(name, getattr(self, name))
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise InputError(f"alpha={self.alpha!r} is no damping; give a number >= 0")
        if not math.isfinite(self.anisotropy):
            raise InputError(f"anisotropy={self.anisotropy!r} is not finite; give J/m^3")
        # Tuples keep a frozen record comparable and hashable.
        for name in ("easy_axis", "fixed"):
            object.__setattr__(self, name, tuple(unit_vector(getattr(self, name), name).tolist()))
        for name in ("demag", "field"):
            vector = np.asarray(getattr(self, name), dtype=float)
            if vector.shape != (3,) or not np.all(np.isfinite(vector)):
                raise InputError(f"{name}={getattr(self, name)!r} is not a vector; give three finite numbers")
            object.__setattr__(self, name, tuple(vector.tolist()))
        if abs(sum(self.demag) - 1) > DEMAG_SUM_TOLERANCE:
            raise InputError(f"demag={self.demag!r} sums to {sum(self.demag):.6g}; demagnetising factors sum to 1")

    @property
    def volume(self) -> float:
        """m^3."""
        return self.area * self.thickness

    @property
    def moment(self) -> float:
        """Ms times volume, J/T."""
        return self.Ms * self.volume

    @property
    def field_tensor(self) -> np.ndarray:
        """M of the internal field M m in T, (3, 3), symmetric: M = (2 K/Ms) u u^T - mu_0 Ms diag(N)."""
        u = np.asarray(self.easy_axis)
        shape = VACUUM_PERMEABILITY * self.Ms * np.diag(self.demag)
        return 2 * self.anisotropy / self.Ms * np.outer(u, u) - shape

    @property
    def stiffness(self) -> float:
        """Largest difference between eigenvalues of the field tensor, T: a bound of the internal field that turns m.

        A part of M that is a multiple of the unit matrix turns nothing. Of a uniaxial magnet it is B_k.
        """
        eigenvalues = np.linalg.eigvalsh(self.field_tensor)
        return float(eigenvalues[-1] - eigenvalues[0])

    def energy(self, m: ArrayLike) -> np.ndarray:
        """Zeeman, anisotropy and shape energy -Ms Vol (B.m + m.M m/2) in J of directions m, (..., 3) -> (...)."""
        m = np.asarray(m, dtype=float)
        internal = np.einsum("...i,ij,...j->...", m, self.field_tensor, m)
        return -self.moment * (m @ np.asarray(self.field) + internal / 2)

    def initial_direction(self, initial: str | ArrayLike) -> np.ndarray:
        """The unit vector that "parallel" (p), "antiparallel" (-p) or a unit vector stands for."""
        if isinstance(initial, str):
            signs = {"parallel": 1.0, "antiparallel": -1.0}
            if initial not in signs:
                raise InputError(f"initial={initial!r} is unknown; give 'parallel', 'antiparallel' or a unit vector")
            return signs[initial] * np.asarray(self.fixed)
        return unit_vector(initial, "initial")


def require_positive(name: str, value: float) -> None:
    """InputError unless 0 < value < infinity."""
    if not 0 < value < math.inf:
        raise InputError(f"{name}={value!r} is out of range; give a positive number")

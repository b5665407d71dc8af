"""A free layer whose magnetisation turns as one vector: parameters, fields, energy. SI; fields as mu_0 H in tesla."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.spin import UNIT_LENGTH_TOLERANCE, unit_vector
from qtorque.units import VACUUM_PERMEABILITY

DEMAG_SUM_TOLERANCE = 1e-3
"""Demagnetising factors sum to 1; typed with three digits each they may miss it by this much."""

UNITS = {
    "anisotropy": "J/m^3", "second_order_anisotropy": "J/m^3", "cubic_anisotropy": "J/m^3",
    "voltage_anisotropy": "J/(m^3 V)",
}  # fmt: skip

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
    second_order_anisotropy : float, J/m^3
        K2 of the energy -K2 (m.u)^4 per volume, u the easy axis.
    cubic_anisotropy, cubic_axes : float, J/m^3; two orthogonal unit vectors
        Kc of the energy Kc (a^2 b^2 + b^2 c^2 + c^2 a^2) per volume; a, b, c are the components of m along the two axes
        and along their cross product.
    voltage_anisotropy : float, J/(m^3 V)
        dK/dV: at a voltage V the anisotropy is K + V dK/dV. Of an interface coefficient xi in J/(V m) and a barrier of
        thickness t it is xi/(t d), d the thickness of the layer.
    demag : three numbers that sum to 1, or a symmetric (3, 3) of trace 1
        Demagnetising factors along x, y, z, or the tensor; (0, 0, 1) is a thin film.
    field : vector, T
        Applied field mu_0 H.
    exchange_bias : vector, T
        A further constant field, that of an antiferromagnet at the interface.
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
    demag: Vector | Sequence[Vector] = (0.0, 0.0, 1.0)
    field: Vector = (0.0, 0.0, 0.0)
    fixed: Vector = (0.0, 0.0, 1.0)
    second_order_anisotropy: float = 0.0
    cubic_anisotropy: float = 0.0
    cubic_axes: Sequence[Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    voltage_anisotropy: float = 0.0
    exchange_bias: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("Ms", "thickness", "area"):
            require_positive(name, getattr(self, name))
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise InputError(f"alpha={self.alpha!r} is no damping; give a number >= 0")
        for name in ("anisotropy", "second_order_anisotropy", "cubic_anisotropy", "voltage_anisotropy"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"{name}={getattr(self, name)!r} is not finite; give {UNITS[name]}")
        # Tuples keep a frozen record comparable and hashable.
        for name in ("easy_axis", "fixed"):
            object.__setattr__(self, name, tuple(unit_vector(getattr(self, name), name).tolist()))
        for name in ("field", "exchange_bias"):
            object.__setattr__(self, name, _finite_vector(name, getattr(self, name)))
        self._set_demag()
        if len(self.cubic_axes) != 2:
            raise InputError(f"cubic_axes={shown(self.cubic_axes)} is no pair; give two orthogonal unit vectors")
        first, second = (unit_vector(axis, "cubic_axes") for axis in self.cubic_axes)
        if abs(first @ second) > UNIT_LENGTH_TOLERANCE:
            raise InputError(
                f"cubic_axes={shown(self.cubic_axes)} are not orthogonal; give two orthogonal unit vectors"
            )
        object.__setattr__(self, "cubic_axes", (tuple(first.tolist()), tuple(second.tolist())))

    def _set_demag(self) -> None:
        demag = np.asarray(self.demag, dtype=float)
        if demag.shape not in ((3,), (3, 3)) or not np.all(np.isfinite(demag)):
            raise InputError(f"demag={shown(self.demag)} is not a shape; give three finite factors or a (3, 3) tensor")
        trace = float(np.sum(demag) if demag.ndim == 1 else np.trace(demag))
        if demag.ndim == 2 and not np.allclose(demag, demag.T, rtol=0, atol=DEMAG_SUM_TOLERANCE):
            raise InputError(f"demag={shown(self.demag)} is not symmetric; give a symmetric tensor")
        if abs(trace - 1) > DEMAG_SUM_TOLERANCE:
            raise InputError(f"demag={shown(self.demag)} sums to {trace:.6g}; demagnetising factors sum to 1")
        frozen = tuple(demag.tolist()) if demag.ndim == 1 else tuple(map(tuple, ((demag + demag.T) / 2).tolist()))
        object.__setattr__(self, "demag", frozen)

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
        """M of the internal field M m in T, (3, 3): M = (2 K/Ms) u u^T - mu_0 Ms N, without quartic terms."""
        u, demag = np.asarray(self.easy_axis), np.asarray(self.demag)
        shape = VACUUM_PERMEABILITY * self.Ms * (np.diag(demag) if demag.ndim == 1 else demag)
        return 2 * self.anisotropy / self.Ms * np.outer(u, u) - shape

    @property
    def constant_field(self) -> np.ndarray:
        """Applied field and exchange bias, T."""
        return np.asarray(self.field) + np.asarray(self.exchange_bias)

    @property
    def quartic_terms(self) -> np.ndarray:
        """(terms, 4), axes u and fields b in T of the energies -Ms Vol b (m.u)^4/4: their field is b (m.u)^3 u.

        Kc (a^2 b^2 + b^2 c^2 + c^2 a^2) = Kc/2 - Kc (a^4 + b^4 + c^4)/2 for a unit vector.
        """
        first, second = map(np.asarray, self.cubic_axes)
        uniaxial, cubic = 4 * self.second_order_anisotropy / self.Ms, 2 * self.cubic_anisotropy / self.Ms
        terms = [(self.easy_axis, uniaxial), *((axis, cubic) for axis in (first, second, np.cross(first, second)))]
        return np.array([[*axis, field] for axis, field in terms if field != 0]).reshape(-1, 4)

    @property
    def stiffness(self) -> float:
        """Largest difference between eigenvalues of the field tensor, T: a bound of the internal field that turns m.

        A part of M that is a multiple of the unit matrix turns nothing. Of a uniaxial magnet it is B_k.
        """
        eigenvalues = np.linalg.eigvalsh(self.field_tensor)
        return float(eigenvalues[-1] - eigenvalues[0])

    def energy(self, m: ArrayLike) -> np.ndarray:
        """Energy of directions m without voltage, (..., 3) -> (...), J: -Ms Vol [B.m + m.M m/2 + sum b (m.u)^4/4]."""
        m = np.asarray(m, dtype=float)
        internal = np.einsum("...i,ij,...j->...", m, self.field_tensor, m)
        quartic = (m @ self.quartic_terms[:, :3].T) ** 4 @ self.quartic_terms[:, 3]
        return -self.moment * (m @ self.constant_field + internal / 2 + quartic / 4)

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


def _finite_vector(name: str, value: Vector) -> tuple[float, ...]:
    vector = np.asarray(value, dtype=float)
    if vector.shape != (3,) or not np.all(np.isfinite(vector)):
        raise InputError(f"{name}={shown(value)} is not a vector; give three finite numbers")
    return tuple(vector.tolist())


def shown(value: object) -> str:
    """A value in one line: arrays as lists."""
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)

"""Two free layers that see each other: each the polariser of the other, with exchange and dipolar coupling. SI."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.llg.closed_forms import Slonczewski
from qtorque.llg.drive import FieldDrive, Waveform
from qtorque.llg.equation import EquationOfMotion, TorqueSource, equation_of_motion, table_of
from qtorque.llg.macrospin import Macrospin, shown
from qtorque.spin import unit_vector
from qtorque.torquemap import TorqueMap
from qtorque.units import VACUUM_PERMEABILITY

AREA_TOLERANCE = 1e-9
"""Relative: two layers of one pillar have one area."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoupledMacrospins:
    """Two free layers of one pillar, in the order in which electrons of a positive voltage pass them.

    Under a torque map the first is what the map calls fixed and the second what it calls free: each feels its own
    torque, at the angle between the two. The map holds their equilibrium coupling (its field-like part at V = 0)
    already.

    Parameters
    ----------
    first, second : Macrospin, of one area
        Their `fixed` directions mean nothing here.
    interlayer_coupling : J/m^2
        J of a further energy -J m1.m2 per area; J > 0 is ferromagnetic.
    dipolar : (3, 3), symmetric
        N of the stray field -mu_0 Ms2 N m2 of the second layer, averaged over the first. By reciprocity the stray
        field of the first in the second is -mu_0 Ms1 N m1 d1/d2.

    Raises
    ------
    InputError
        For different areas, a tensor that is not symmetric.
    """

    first: Macrospin
    second: Macrospin
    interlayer_coupling: float = 0.0
    dipolar: tuple[tuple[float, ...], ...] = ((0.0,) * 3,) * 3

    def __post_init__(self) -> None:
        if abs(self.first.area / self.second.area - 1) > AREA_TOLERANCE:
            raise InputError(f"area={self.second.area!r} of the second layer differs from that of the first; give one")
        if not np.isfinite(self.interlayer_coupling):
            raise InputError(f"interlayer_coupling={self.interlayer_coupling!r} is not finite; give J/m^2")
        tensor = np.asarray(self.dipolar, dtype=float)
        if tensor.shape != (3, 3) or not np.all(np.isfinite(tensor)) or not np.allclose(tensor, tensor.T):
            raise InputError(f"dipolar={shown(self.dipolar)} is no coupling; give a symmetric (3, 3) tensor")
        object.__setattr__(self, "dipolar", tuple(map(tuple, tensor.tolist())))

    def initial_direction(self, initial: ArrayLike) -> np.ndarray:
        """Two unit vectors, (2, 3)."""
        if isinstance(initial, str) or np.shape(initial) != (2, 3):
            raise InputError(f"initial={initial!r} is no pair of directions; give two unit vectors")
        return np.array([unit_vector(m, "initial") for m in np.asarray(initial, dtype=float)])

    def coupling_tensors(self) -> tuple[np.ndarray, np.ndarray]:
        """C1 and C2 of the fields C1 m2 on the first and C2 m1 on the second layer, T."""
        first, second = self.first, self.second
        stray = VACUUM_PERMEABILITY * np.array(self.dipolar)
        exchange = self.interlayer_coupling * np.eye(3)
        return (
            exchange / (first.Ms * first.thickness) - second.Ms * stray,
            exchange / (second.Ms * second.thickness) - first.Ms * first.thickness / second.thickness * stray,
        )

    def energy(self, m: ArrayLike) -> np.ndarray:
        """Energy without voltage of pairs of directions, (..., 2, 3) -> (...), J."""
        m = np.asarray(m, dtype=float)
        to_first, _ = self.coupling_tensors()
        mutual = np.einsum("...i,ij,...j->...", m[..., 0, :], to_first, m[..., 1, :])
        return self.first.energy(m[..., 0, :]) + self.second.energy(m[..., 1, :]) - self.first.moment * mutual


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PairEquation:
    """Equations of two coupled moments; the polariser of each is the other one.

    coupling_first, coupling_second : (3, 3), T; the field on the one is this times the direction of the other
    """

    first: EquationOfMotion
    second: EquationOfMotion
    coupling_first: np.ndarray
    coupling_second: np.ndarray

    @property
    def drive(self) -> Waveform:
        """V or A/m^2, of both."""
        return self.first.drive

    @property
    def kinks(self) -> tuple[float, ...]:
        """Times (s) at which a drive is not smooth."""
        return self.first.kinks

    @property
    def fluctuation(self) -> float:
        """The larger one of the two, T s^(1/2)."""
        return max(self.first.fluctuation, self.second.fluctuation)

    def largest_field(self) -> float:
        """An upper bound of |dm/dt|/gamma of both at small damping, T."""
        return max(
            equation.largest_field() + float(np.linalg.norm(coupling, 2))
            for equation, coupling in ((self.first, self.coupling_first), (self.second, self.coupling_second))
        )


def pair_equation(
    free: CoupledMacrospins,
    source: TorqueSource | None,
    voltage: float | Waveform | None = None,
    *,
    current_density: float | Waveform | None = None,
    field: FieldDrive | None = None,
    temperature: float = 0.0,
) -> PairEquation:
    """The equations of two coupled layers; arguments and errors as in `equation_of_motion`.

    A `Slonczewski` torque acts on the second layer as on a free layer; on the first one, from which the electrons come,
    with both signs reversed: reflected electrons push it away from the second.
    """
    drives: dict[str, Any] = {"current_density": current_density, "field": field, "temperature": temperature}
    if not (source is None or isinstance(source, (TorqueMap, Slonczewski))):
        raise InputError(f"torque {source!r} is not one of a layer on another; give a torque map or llg.Slonczewski")
    first, second = (equation_of_motion(layer, source, voltage, **drives) for layer in (free.first, free.second))
    if isinstance(source, TorqueMap):
        first = dataclasses.replace(first, table=table_of(source.splines_fixed, source, free.first))
    else:
        first = dataclasses.replace(first, polarizers=tuple(term.scaled(-1.0) for term in first.polarizers))
    to_first, to_second = free.coupling_tensors()
    return PairEquation(first=first, second=second, coupling_first=to_first, coupling_second=to_second)

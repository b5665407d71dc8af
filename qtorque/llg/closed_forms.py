r"""Spin torques in closed form, driven by a current density: they stand where a `TorqueMap` does. SI.

Each is a sum of terms of one polariser p, in the spin frame of a torque map (tau_FL acts as a field +tau_FL/(Ms Vol)
on the moment):

    tau/(Ms Vol) = J [a/(1 + q m.p) m x (p x m) + c m x p].
"""

from __future__ import annotations

import dataclasses
import math

from qtorque.errors import InputError
from qtorque.llg.drive import Vector
from qtorque.llg.macrospin import Macrospin, require_positive
from qtorque.spin import unit_vector
from qtorque.units import ELEMENTARY_CHARGE, HBAR

LARGEST_LAMBDA = 1e6
"""Beyond it the asymmetry of the torque is 1 but for rounding, and the torque at 0 or pi a quotient of zeros."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolarizerTerm:
    """b_DL = a/(1 + q m.p) and b_FL = c, in T for one unit of the drive.

    direction : unit vector p
    damping_like, field_like : a and c
    asymmetry : q, |q| < 1
    """

    direction: tuple[float, ...]
    damping_like: float
    field_like: float
    asymmetry: float = 0.0

    def scaled(self, factor: float) -> PolarizerTerm:
        """The term for a unit of the drive that is `factor` times as large."""
        return dataclasses.replace(self, damping_like=factor * self.damping_like, field_like=factor * self.field_like)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slonczewski:
    """Spin-transfer torque of the fixed moment p, J. C. Slonczewski, J. Magn. Magn. Mater. 247, 324 (2002).

    With beta = hbar J/(e Ms d), d the thickness of the free layer,

        b_DL = beta P Lambda^2/[(Lambda^2 + 1) + (Lambda^2 - 1) m.p],    b_FL = beta epsilon_prime,

    the parametrisation of mumax3 (A. Vansteenkiste et al., AIP Adv. 4, 107133 (2014)). J > 0 drives electrons from the
    fixed magnet to the free one and pulls m towards p if P > 0. Valid where the torque is linear in the current.
    At Lambda = 1 every electron carries P hbar/2. A symmetric valve of circuit theory, whose interfaces have the
    polarisation gamma, has P = gamma/2 here; Slonczewski's own P of 2002 is that gamma (from memory).

    Parameters
    ----------
    polarization : P, within -1 .. 1
    Lambda : within 1/`LARGEST_LAMBDA` .. `LARGEST_LAMBDA`; 1 is a torque without asymmetry
    epsilon_prime : field-like share
    resistance_area : Ohm m^2
        With it the drive may be a voltage, J = V/resistance_area.

    Raises
    ------
    InputError
        For a value out of range.
    """

    polarization: float
    Lambda: float = 1.0
    epsilon_prime: float = 0.0
    resistance_area: float | None = None

    def __post_init__(self) -> None:
        if not -1 <= self.polarization <= 1:
            raise InputError(f"polarization={self.polarization!r} is out of range; give a number within -1 .. 1")
        if not 1 / LARGEST_LAMBDA <= self.Lambda <= LARGEST_LAMBDA:
            limits = f"{1 / LARGEST_LAMBDA:g} .. {LARGEST_LAMBDA:g}"
            raise InputError(f"Lambda={self.Lambda!r} is out of range; give a number within {limits}")
        _require_finite("epsilon_prime", self.epsilon_prime)
        _require_resistance_area(self.resistance_area)

    def terms(self, free: Macrospin) -> tuple[PolarizerTerm, ...]:
        """In T for a current density of 1 A/m^2."""
        beta = HBAR / (ELEMENTARY_CHARGE * free.Ms * free.thickness)
        square = self.Lambda**2
        term = PolarizerTerm(
            direction=tuple(free.fixed),
            damping_like=beta * self.polarization * square / (square + 1),
            field_like=beta * self.epsilon_prime,
            asymmetry=(square - 1) / (square + 1),
        )
        return (term,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpinOrbitTorque:
    """Torque of a spin current from an adjacent layer with spin-orbit coupling.

    b_DL = hbar xi_DL J/(2 e Ms d) and b_FL = hbar xi_FL J/(2 e Ms d) at the polarisation p of that spin current; J is
    the charge current density in the adjacent layer. Valid where the torque does not depend on the direction of m but
    by the vector products.

    Parameters
    ----------
    damping_like, field_like : efficiencies xi_DL and xi_FL
        J xi_DL > 0 pulls m towards p; J xi_FL > 0 acts as a field along p.
    direction : unit vector p, such as (0, 1, 0)
    resistance_area : Ohm m^2
        Voltage over current density, if the drive shall be a voltage.

    Raises
    ------
    InputError
        For values that are not finite, and a direction that is no unit vector.
    """

    damping_like: float
    field_like: float = 0.0
    direction: Vector = (0.0, 1.0, 0.0)
    resistance_area: float | None = None

    def __post_init__(self) -> None:
        _require_finite("damping_like", self.damping_like)
        _require_finite("field_like", self.field_like)
        object.__setattr__(self, "direction", tuple(unit_vector(self.direction, "direction").tolist()))
        _require_resistance_area(self.resistance_area)

    def terms(self, free: Macrospin) -> tuple[PolarizerTerm, ...]:
        """In T for a current density of 1 A/m^2."""
        unit = HBAR / (2 * ELEMENTARY_CHARGE * free.Ms * free.thickness)
        return (
            PolarizerTerm(
                direction=tuple(self.direction),
                damping_like=unit * self.damping_like,
                field_like=unit * self.field_like,
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoPolarizers:
    """A free layer between two polarisers: electrons of J > 0 come from the first and go into the second.

    The first acts as in `Slonczewski` from the fixed moment of the free layer. On the second one electrons are
    reflected, so both of its torques have the opposite sign: antiparallel polarisers add up, parallel ones cancel.

    Parameters
    ----------
    first, second : Slonczewski
    second_direction : unit vector, moment of the second polariser
    resistance_area : Ohm m^2, of the whole

    Raises
    ------
    InputError
        For a direction that is no unit vector.
    """

    first: Slonczewski
    second: Slonczewski
    second_direction: Vector
    resistance_area: float | None = None

    def __post_init__(self) -> None:
        direction = tuple(unit_vector(self.second_direction, "second_direction").tolist())
        object.__setattr__(self, "second_direction", direction)
        _require_resistance_area(self.resistance_area)

    def terms(self, free: Macrospin) -> tuple[PolarizerTerm, ...]:
        """In T for a current density of 1 A/m^2."""
        behind = dataclasses.replace(free, fixed=self.second_direction)
        return (*self.first.terms(free), *(term.scaled(-1.0) for term in self.second.terms(behind)))


ClosedForm = Slonczewski | SpinOrbitTorque | TwoPolarizers


def _require_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise InputError(f"{name}={value!r} is not finite; give a number")


def _require_resistance_area(value: float | None) -> None:
    if value is not None:
        require_positive("resistance_area", value)

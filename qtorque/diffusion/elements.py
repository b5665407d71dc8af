"""What a diffusive circuit is made of: layers, interfaces, and the ends where it is held. SI, spin frame.

Every quantity is in the two-current notation of Valet and Fert: a layer of resistivity rho* and asymmetry beta has the
resistivities rho_up,down = 2 rho* (1 -+ beta), an interface the resistances times area r_up,down = 2 AR* (1 -+ gamma).
Up is the majority of the magnetisation direction m, a direction of SPIN. T. Valet and A. Fert, Phys. Rev. B 48, 7099
(1993) (from memory).

Potentials are electrochemical ones over e, in volt: mu_0 = (mu_up + mu_down)/2 and the vector mu_s, whose component
along a quantisation axis is mu_up - mu_down. Currents are positive where electrons flow from the first side of an
element to the second; the spin current is j_s = j_up - j_down in A/m^2, and hbar/2e times it is the angular momentum.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence

import numpy as np

from qtorque.errors import InputError, finite_number
from qtorque.spin import unit_vector

NOT_MAGNETIC = (0.0, 0.0, 1.0)
"""The axis an element without magnetisation is written in; no result depends on it."""

SINK_TOLERANCE = 1e-6
"""Relative; conductances typed with seven digits may miss by it that an interface creates no spin."""

Vector = Sequence[float] | np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """A homogeneous layer, or a wire, in which spins diffuse, flip and, in a magnet, precess and dephase.

    Parameters
    ----------
    thickness : m
    rho_star : Ohm m
        rho_up,down = 2 rho* (1 -+ beta); the resistivity of the layer is rho* (1 - beta^2).
    beta : -1 < beta < 1
        Positive where the majority carries the current. 0 in a normal metal.
    spin_diffusion_length : m
        Of the accumulation along m; of all components in a normal metal. Infinite: no spin flips.
    magnetization : unit vector or None
        Direction of the majority spin; None is a normal metal.
    transverse_decay_length, precession_length : m
        l_t and l_J of the wave number kappa^2 = 1/l_t^2 + i/l_J^2 of the transverse accumulation mu_x + i mu_y (m
        along z) in a magnet; its conductivity per spin is 1/(2 rho*), the harmonic mean of those of both spins.
        l_J^2 = hbar D/Delta for a diffusion constant D and an exchange splitting Delta. Without a decay length no
        transverse spin enters: it is absorbed at the faces by the mixing conductance of the interfaces there.
    name : str
    """

    thickness: float
    rho_star: float
    beta: float = 0.0
    spin_diffusion_length: float = math.inf
    magnetization: Vector | None = None
    transverse_decay_length: float | None = None
    precession_length: float = math.inf
    name: str = ""

    def __post_init__(self) -> None:
        require_positive("thickness", self.thickness, "m")
        _check_metal(self)

    @property
    def resistance(self) -> float:
        """rho* t, Ohm m^2."""
        return self.rho_star * self.thickness

    @property
    def decay(self) -> float:
        """Thickness over spin-diffusion length."""
        return self.thickness / self.spin_diffusion_length

    @property
    def asymmetry(self) -> float:
        """beta."""
        return self.beta


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interface:
    """An interface between two layers, or a whole magnet lumped into one element between normal metals.

    The transverse spin current is that of circuit theory with reflected and transmitted mixing conductances: with
    u = mu_x + i mu_y and m along z, j_first = conj(G) u_first - conj(G_t') u_second and
    j_second = conj(G_t) u_first - conj(G_opposite) u_second. A. Brataas, G. E. W. Bauer, P. J. Kelly, Phys. Rep. 427,
    157 (2006); for thin magnets A. A. Kovalev et al., Phys. Rev. B 73, 054407 (2006) (both from memory).

    Parameters
    ----------
    AR_star : Ohm m^2
        r_up,down = 2 AR* (1 -+ gamma); 1/(AR* (1 - gamma^2)) is the conductance.
    gamma : -1 < gamma < 1
    spin_memory_loss : delta >= 0
        The interface loses spin along m like a layer of the same AR* that is delta spin-diffusion lengths thick. What
        becomes of spin across m is said by the mixing conductances alone: give them with the loss that is in them.
    mixing_conductance : complex or None, S/m^2
        Reflected, on the normal side; on the first side where both sides are normal. Re >= 0. It is needed where
        magnets are not collinear.
    mixing_conductance_opposite : complex or None, S/m^2
        On the other side; None takes that of the first.
    mixing_transmitted, mixing_transmitted_back : complex, S/m^2
        From the first named side to the other, and back; None takes the same.
    magnetization : unit vector or None
        Of a magnet that is lumped into the interface. Otherwise None: the direction is that of the magnetic neighbour.
    name : str
    """

    AR_star: float
    gamma: float = 0.0
    spin_memory_loss: float = 0.0
    mixing_conductance: complex | None = None
    mixing_conductance_opposite: complex | None = None
    mixing_transmitted: complex = 0.0
    mixing_transmitted_back: complex | None = None
    magnetization: Vector | None = None
    name: str = ""

    def __post_init__(self) -> None:
        require_positive("AR_star", self.AR_star, "Ohm m^2; leave an interface without resistance out")
        _require_asymmetry("gamma", self.gamma)
        if not finite_number("spin_memory_loss", self.spin_memory_loss, "spin-diffusion lengths") >= 0:
            raise InputError(f"spin_memory_loss={self.spin_memory_loss!r} is negative; give a number from 0 on")
        for name in (
            "mixing_conductance", "mixing_conductance_opposite", "mixing_transmitted", "mixing_transmitted_back",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _finite_complex(name, value))
        for name in ("mixing_conductance", "mixing_conductance_opposite"):
            value = getattr(self, name)
            if value is not None and value.real < 0:
                raise InputError(f"{name}={value!r}: its real part is negative, a source of spin; give one from 0 on")
        if self.mixing_conductance is not None:
            # What both sides lose together, u^dagger (M + M^dagger) u / 2, is never a gain.
            M = self.mixing
            least = float(np.linalg.eigvalsh(M + M.conj().T)[0]) / 2
            if least < -SINK_TOLERANCE * float(np.abs(M).max()):
                raise InputError(
                    f"mixing_transmitted={self.mixing_transmitted!r} is too large beside mixing_conductance="
                    f"{self.mixing_conductance!r}: the interface would be a source of spin; give less"
                )
        if self.mixing_conductance is None and (
            self.mixing_conductance_opposite is not None or self.mixing_transmitted or self.mixing_transmitted_back
        ):
            raise InputError("mixing_conductance=None beside other mixing conductances; give the reflected one too")
        _check_direction(self)

    @property
    def resistance(self) -> float:
        """AR*, Ohm m^2."""
        return self.AR_star

    @property
    def decay(self) -> float:
        """delta."""
        return self.spin_memory_loss

    @property
    def asymmetry(self) -> float:
        """gamma."""
        return self.gamma

    @property
    def conductance(self) -> float:
        """G_up + G_down without spin-memory loss, S/m^2."""
        return 1 / (self.AR_star * (1 - self.gamma**2))

    @property
    def mixing(self) -> np.ndarray:
        """Currents into the element per accumulation, in the order (named side, opposite): (2, 2) complex, S/m^2."""
        reflected = self.mixing_conductance
        assert reflected is not None, "asked for where a mixing conductance was required"
        opposite = self.mixing_conductance_opposite if self.mixing_conductance_opposite is not None else reflected
        there = self.mixing_transmitted
        back = self.mixing_transmitted_back if self.mixing_transmitted_back is not None else there
        return np.array([[reflected, -back], [-there, opposite]])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lead:
    """A semi-infinite metal. Its voltage is the one extrapolated linearly from far away to its face.

    Resistances between leads are therefore in excess of those of the bulk metals that go on there.

    Parameters
    ----------
    rho_star, beta, spin_diffusion_length, magnetization, transverse_decay_length, precession_length
        As in `Layer`; the spin-diffusion length is finite.
    voltage : V, or None where no charge flows (a voltage probe)
    area : m^2, or None
        Cross-section, needed in a circuit; None in a multilayer, whose currents are per area.
    name : str
        Of the magnet that the lead is.
    """

    rho_star: float
    spin_diffusion_length: float
    beta: float = 0.0
    magnetization: Vector | None = None
    transverse_decay_length: float | None = None
    precession_length: float = math.inf
    voltage: float | None = 0.0
    area: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _check_metal(self)
        if self.spin_diffusion_length == np.inf:
            raise InputError("spin_diffusion_length=inf of a lead; give a finite one, or a Reservoir")
        _check_voltage(self.voltage)
        if self.area is not None:
            require_positive("area", self.area, "m^2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reservoir:
    """An ideal reservoir: a given accumulation, zero unless it is a source of spins, and a given voltage.

    Parameters
    ----------
    voltage : V, or None where no charge flows (a voltage probe that relaxes all spins)
    spin_accumulation : vector, V
    """

    voltage: float | None = 0.0
    spin_accumulation: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        _check_voltage(self.voltage)
        object.__setattr__(self, "spin_accumulation", finite_vector("spin_accumulation", self.spin_accumulation, "V"))


Element = Layer | Interface
Terminal = Lead | Reservoir


def finite_vector(name: str, value: Vector, unit: str) -> tuple[float, ...]:
    """The value as three floats; InputError unless it is a vector of three finite numbers."""
    try:
        vector = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if np.iscomplexobj(value) or vector.shape != (3,) or not np.all(np.isfinite(vector)):
        raise InputError(f"{name}={value!r} is not a vector; give three finite numbers in {unit}")
    return tuple(vector.tolist())


def _check_metal(metal: Layer | Lead) -> None:
    require_positive("rho_star", metal.rho_star, "Ohm m")
    _require_asymmetry("beta", metal.beta)
    require_positive("spin_diffusion_length", metal.spin_diffusion_length, "m", infinite=True)
    require_positive("precession_length", metal.precession_length, "m", infinite=True)
    if metal.transverse_decay_length is not None:
        require_positive("transverse_decay_length", metal.transverse_decay_length, "m")
    _check_direction(metal)
    transverse = metal.transverse_decay_length is not None or metal.precession_length < math.inf
    if metal.magnetization is None and transverse:
        raise InputError("transverse_decay_length= or precession_length= of a normal metal; only magnets have them")
    if metal.magnetization is None and metal.beta != 0:
        raise InputError(f"beta={metal.beta!r} of a layer without magnetization; give magnetization= or beta=0")


def _check_direction(element: Layer | Interface | Lead) -> None:
    if element.magnetization is not None:
        object.__setattr__(element, "magnetization", tuple(unit_vector(element.magnetization).tolist()))


def _check_voltage(voltage: float | None) -> None:
    if voltage is not None:
        finite_number("voltage", voltage, "V (or None for a probe)")


def require_positive(name: str, value: float, unit: str, *, infinite: bool = False) -> None:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (real and value > 0 and (infinite or value < math.inf)):
        raise InputError(f"{name}={value!r} is out of range; give a positive number in {unit}")


def _require_asymmetry(name: str, value: float) -> None:
    if not abs(finite_number(name, value, "1")) < 1:
        raise InputError(f"{name}={value!r} is out of range; give a number between -1 and 1")


def _finite_complex(name: str, value: complex) -> complex:
    if isinstance(value, bool) or not isinstance(value, numbers.Number) or not np.isfinite(value):
        raise InputError(f"{name}={value!r} is not a finite number; give one in S/m^2")
    return complex(value)

r"""A normal metal with spin Hall effect under a magnet: torque, magnetoresistance, inverse spin Hall effect. SI.

The metal fills 0 < z < d, the magnet stands above it at z = d. Spin frame: m is the direction of the majority spin and
mu_s = mu_up - mu_dn a vector in volt. A spin current along z is positive when ELECTRONS carry it upwards; in the plane
E is the electric field and j the charge current, against the flow of electrons. With E_s = -(1/2) d mu_s/dz and
sigma = 1/rho,

    j_s = sigma E_s + theta sigma z x E          spin current along z, a vector in spin space, A/m^2
    j   = sigma E   + theta sigma z x E_s        in-plane charge current, A/m^2
    d^2 mu_s/dz^2 = mu_s/l^2,

which obeys Onsager's relations. theta > 0 sends spins along s = z x E upwards, moments along -s: flow = charge current
x spin. Pt has theta > 0: Kubo's formula with a positive xi says so (`qt.spin_hall_conductivity`), and the moments of
its torques point along z x electron flow (S. Emori et al., Nat. Mater. 12, 611 (2013), from memory).
No spin current crosses z = 0. The magnet takes Re G m x (mu_s x m) + Im G mu_s x m and, along m, a conductance of its
own; hbar/2e times the transverse part is the torque on its angular momentum.

Y.-T. Chen et al., Phys. Rev. B 87, 144411 (2013) and P. M. Haney et al., Phys. Rev. B 87, 174411 (2013), from memory.
Valid for a metal that is long and wide against d, thick against the mean free path, and a magnet that draws no charge
current from it; the conductances are those of the interface (with Schep's correction where it is transparent).
"""

from __future__ import annotations

import dataclasses
import math
import numbers

import numpy as np
from numpy.typing import ArrayLike

from qtorque.diffusion.elements import require_positive
from qtorque.diffusion.spin_diffusion import finite_array
from qtorque.errors import InputError, finite_number
from qtorque.spin import unit_vector
from qtorque.units import ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO, HBAR

TORQUE_PER_SPIN_CURRENT = HBAR / (2 * ELEMENTARY_CHARGE)
"""J s/C: angular momentum in one unit of j_up - j_dn."""
PRECESSION_TOLERANCE = 1e-6
"""Of dm/dt along m, relative: rounding of typed numbers; a unit vector has no such part."""
Z = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpinHallBilayer:
    """A normal metal with spin Hall effect and the interface to the magnet above it.

    Parameters
    ----------
    spin_hall_angle : theta, within -1 .. 1
    spin_diffusion_length : l, m
    thickness : d, m
    resistivity : rho, Ohm m
    mixing_conductance : complex G, S/m^2
        Reflection, seen from the metal; Re G >= 0.
    longitudinal_conductance : S/m^2
        Spin current along m per mu_s along m: 0 for an insulator, (1 - P^2) tanh(t/l_F)/(2 rho_F l_F) for a metal
        of thickness t and polarisation P behind a transparent interface.
    spin_memory_loss : delta
        Thickness over spin-diffusion length of a layer between metal and magnet that loses spins.
    spin_memory_loss_resistance : Ohm m^2
        Resistance times area of that layer (thickness times resistivity); positive where delta is.

    Raises
    ------
    InputError
        For values out of range.
    """

    spin_hall_angle: float
    spin_diffusion_length: float
    thickness: float
    resistivity: float
    mixing_conductance: complex
    longitudinal_conductance: float = 0.0
    spin_memory_loss: float = 0.0
    spin_memory_loss_resistance: float = 0.0

    def __post_init__(self) -> None:
        if not -1 <= finite_number("spin_hall_angle", self.spin_hall_angle, "no unit") <= 1:
            raise InputError(f"spin_hall_angle={self.spin_hall_angle!r} is out of range; give -1 .. 1, not percent")
        for name, unit in (("spin_diffusion_length", "m"), ("thickness", "m"), ("resistivity", "Ohm m")):
            require_positive(name, getattr(self, name), unit)
        for name, unit in (
            ("longitudinal_conductance", "S/m^2"), ("spin_memory_loss", "units of l"),
            ("spin_memory_loss_resistance", "Ohm m^2"),
        ):  # fmt: skip
            if finite_number(name, getattr(self, name), unit) < 0:
                raise InputError(f"{name}={getattr(self, name)!r} is negative; give zero or more, in {unit}")
        G = self.mixing_conductance
        if isinstance(G, bool) or not (isinstance(G, numbers.Number) and np.isfinite(G)):
            raise InputError(f"mixing_conductance={G!r} is not a finite number; give it in S/m^2")
        if complex(G).real < 0:
            raise InputError(f"mixing_conductance={G!r} has a negative real part; give Re G >= 0 in S/m^2")
        object.__setattr__(self, "mixing_conductance", complex(G))
        if self.spin_memory_loss > 0 and self.spin_memory_loss_resistance == 0:
            raise InputError(
                f"spin_memory_loss_resistance=0 with spin_memory_loss={self.spin_memory_loss!r}; give its Ohm m^2"
            )

    @property
    def conductivity(self) -> float:
        """sigma = 1/rho, S/m."""
        return 1 / self.resistivity


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SpinHallSolution:
    """Spin accumulation and currents in a bilayer at one magnetisation.

    bilayer, magnetization, electric_field, precession : as given to `solve_spin_hall`
    accumulation : (3,), V, mu_s in the metal at z = d
    absorbed_spin_current : (3,), A/m^2, into the magnet, what it pumps deducted
    torque : (3,), J/m^2, on the angular momentum of the magnet, hbar/2e times the part of it across m
    sheet_current : (2,), A/m, in-plane charge current integrated over the thickness
    inverse_sheet_current : (2,), A/m, the part of it that the inverse spin Hall effect drives
    """

    bilayer: SpinHallBilayer
    magnetization: np.ndarray
    electric_field: np.ndarray
    precession: np.ndarray
    accumulation: np.ndarray
    absorbed_spin_current: np.ndarray
    torque: np.ndarray
    sheet_current: np.ndarray
    inverse_sheet_current: np.ndarray

    def accumulation_at(self, z: ArrayLike) -> np.ndarray:
        """mu_s(z), shape (..., 3), V, for z within 0 .. d in m."""
        return self._at(z, 0)

    def spin_current_at(self, z: ArrayLike) -> np.ndarray:
        """j_s(z) along z, shape (..., 3), A/m^2."""
        b = self.bilayer
        return -0.5 * b.conductivity * self._at(z, 1) + self._spin_hall_current()

    def current_density_at(self, z: ArrayLike) -> np.ndarray:
        """In-plane charge current j(z), shape (..., 2), A/m^2."""
        b = self.bilayer
        inverse = -0.5 * b.spin_hall_angle * b.conductivity * np.cross(Z, self._at(z, 1))
        return b.conductivity * self.electric_field + inverse[..., :2]

    def _spin_hall_current(self) -> np.ndarray:
        b = self.bilayer
        return b.spin_hall_angle * b.conductivity * np.cross(Z, [*self.electric_field, 0.0])

    def _at(self, z: ArrayLike, derivative: int) -> np.ndarray:
        """mu_s or its derivative: mu_s(d) cosh(z/l) + 2 theta E l s sinh((z - d)/l), over cosh(d/l)."""
        b = self.bilayer
        place = finite_array("z", z, "m")
        if not np.all((place >= 0) & (place <= b.thickness)):
            raise InputError(f"z={z!r} leaves the metal; keep it within 0 .. {b.thickness:g} m")
        x, d = place[..., None] / b.spin_diffusion_length, b.thickness / b.spin_diffusion_length
        # Written with falling exponentials, so that thick metals do not overflow.
        near, far, scale = np.exp(x - d), np.exp(-x - d), 1 + math.exp(-2 * d)
        even, odd = near + far, near - far
        shifted_even, shifted_odd = np.exp(-x) + np.exp(x - 2 * d), np.exp(x - 2 * d) - np.exp(-x)
        source = 2 * b.spin_diffusion_length * self._spin_hall_current() / b.conductivity
        if derivative:
            return (self.accumulation * odd + source * shifted_even) / (scale * b.spin_diffusion_length)
        return (self.accumulation * even + source * shifted_odd) / scale


def solve_spin_hall(
    bilayer: SpinHallBilayer,
    *,
    magnetization: ArrayLike,
    electric_field: ArrayLike = (0.0, 0.0),
    precession: ArrayLike = (0.0, 0.0, 0.0),
) -> SpinHallSolution:
    """Exact spin accumulation, torque and charge current of a driven and precessing bilayer.

    A magnet that precesses pumps (hbar/e)[Re G m x dm/dt + Im G dm/dt] into the metal, which is its absorption of an
    accumulation measured from (hbar/e) m x dm/dt (Y. Tserkovnyak et al., Phys. Rev. Lett. 88, 117601 (2002); from
    memory, in the spin frame); the backflow is in the solution. Response is adiabatic: frequencies below the
    spin-relaxation rate of the metal.

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    magnetization
        Unit vector m of the majority spin.
    electric_field
        (E_x, E_y), V/m; electrons flow against it.
    precession
        dm/dt, 1/s, perpendicular to m.

    Returns
    -------
    SpinHallSolution

    Raises
    ------
    InputError
        For vectors of a wrong shape, no unit vector m, and dm/dt with a part along m.
    """
    m = unit_vector(magnetization)
    E = finite_array("electric_field", electric_field, "V/m", shape=(2,))
    rate = finite_array("precession", precession, "1/s", shape=(3,))
    if abs(m @ rate) > PRECESSION_TOLERANCE * np.linalg.norm(rate):
        raise InputError(f"precession={precession!r} has a part along the magnetization; give dm/dt perpendicular to m")
    b = bilayer
    G, parallel = b.mixing_conductance, b.longitudinal_conductance
    metal, depth = _metal_conductance(b, b.thickness), b.thickness / b.spin_diffusion_length
    s = np.cross(Z, [*E, 0.0])
    pumping = (HBAR / ELEMENTARY_CHARGE) * np.cross(m, rate)
    drive = b.spin_hall_angle * b.conductivity * _one_less_sech(depth)
    through = G * _transfer(b, G) / (_behind_layer(b, G) + metal)
    through_parallel = parallel * _transfer(b, parallel) / (_behind_layer(b, parallel) + metal)
    accumulation = drive * _act(1 / (_behind_layer(b, parallel) + metal), 1 / (_behind_layer(b, G) + metal), m, s)
    accumulation += _act(through_parallel, through, m, pumping)
    absorbed = drive * _act(through_parallel, through, m, s) - _act(0, effective_mixing_conductance(b), m, pumping)
    # mu_s(d) - mu_s(0) with mu_s(0) = mu_s(d) sech(d/l) - 2 theta E l s tanh(d/l)
    difference = accumulation * _one_less_sech(depth)
    difference += 2 * b.spin_hall_angle * b.spin_diffusion_length * math.tanh(depth) * s
    inverse = -0.5 * b.spin_hall_angle * b.conductivity * np.cross(Z, difference)[:2]
    return SpinHallSolution(
        bilayer=b,
        magnetization=m,
        electric_field=E,
        precession=rate,
        accumulation=accumulation,
        absorbed_spin_current=absorbed,
        torque=TORQUE_PER_SPIN_CURRENT * (absorbed - (m @ absorbed) * m),
        sheet_current=b.conductivity * b.thickness * E + inverse,
        inverse_sheet_current=inverse,
    )


def spin_hall_efficiency(bilayer: SpinHallBilayer, thickness: ArrayLike | None = None) -> np.ndarray:
    r"""Complex efficiency xi of the torque per charge current in the metal.

    Without memory loss, with g = 2 l G/sigma,

        xi = theta (1 - sech(d/l)) g/(tanh(d/l) + g).

    A layer of loss delta and resistance r (per area) has the admittance matrix of the diffusion equation: the metal
    sees G' = (G + (delta/2r) tanh delta)/(1 + 2 G r tanh(delta)/delta) in place of G, and the accumulation behind the
    layer is eta = 1/(cosh delta + 2 G r sinh(delta)/delta) times that before it: xi = theta (1 - sech) (2 l/sigma)
    eta G/(tanh + 2 l G'/sigma). In t_I, sigma_I, l_I of the layer, 2 r/delta = 2 l_I/sigma_I, that is
    eta = 1/(cosh delta + (g_I l_I/sigma_I) sinh delta) with g_I = 2 G.

    The torque per area on the angular momentum, in the spin frame, j the charge current (sigma E, A/m^2, far from
    surfaces) along the unit vector e and s = z x e, is

        tau = (hbar/2e) j [Re xi m x (s x m) + Im xi s x m],

    so damping-like and field-like efficiency of a torque map are xi_DL = Re xi and xi_FL = -Im xi with p = s. The
    dynamics counts directions of moments: `llg.SpinOrbitTorque(damping_like=xi.real, field_like=-xi.imag,
    direction=-s)` for the charge current J along e.

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    thickness
        m, any shape; that of the bilayer if None.

    Returns
    -------
    complex array of the shape of `thickness`, no unit

    Raises
    ------
    InputError
        For thicknesses that are not positive.
    """
    d = thicknesses_of(bilayer, thickness)
    b, G = bilayer, bilayer.mixing_conductance
    drive = b.spin_hall_angle * _one_less_sech(d / b.spin_diffusion_length)
    return drive * G * _transfer(b, G) / (_behind_layer(b, G) + _metal_conductance(b, d))


def equivalent_fields(
    bilayer: SpinHallBilayer, current_density: float, *, Ms: float, magnet_thickness: float
) -> tuple[float, float]:
    """Damping-like and field-like field mu_0 H of the torque, T.

    hbar xi j/(2 e Ms t): the torque on the moment is gamma [b_DL m x (p x m) - b_FL m x p], b_FL > 0 a field along p,
    where m is the moment and p = -z x e that of the accumulated spins for a charge current along e.

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    current_density
        Charge current in the metal, A/m^2.
    Ms, magnet_thickness
        A/m and m.

    Returns
    -------
    (float, float)

    Raises
    ------
    InputError
        For sizes that are not positive.
    """
    current = finite_number("current_density", current_density, "A/m^2")
    moment = _sheet_moment(Ms, magnet_thickness)
    xi = complex(spin_hall_efficiency(bilayer))
    unit = TORQUE_PER_SPIN_CURRENT * current / moment
    return unit * xi.real, -unit * xi.imag


def effective_mixing_conductance(bilayer: SpinHallBilayer, thickness: ArrayLike | None = None) -> np.ndarray:
    """Mixing conductance with the backflow from the metal, S/m^2: 1/G_eff = 1/G + 1/G_metal.

    G_metal = (sigma/2l) tanh(d/l), seen through the memory-loss layer if there is one. The pumped spins act on the
    magnet as torque -(hbar^2/2e^2)[Re G_eff m x dm/dt + Im G_eff dm/dt].

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    thickness
        m, any shape; that of the bilayer if None.

    Returns
    -------
    complex array of the shape of `thickness`

    Raises
    ------
    InputError
        For thicknesses that are not positive.
    """
    metal = _behind_layer(bilayer, _metal_conductance(bilayer, thicknesses_of(bilayer, thickness)))
    return bilayer.mixing_conductance * metal / (bilayer.mixing_conductance + metal)


def pumping_damping(bilayer: SpinHallBilayer, *, Ms: float, magnet_thickness: float) -> float:
    """Gilbert damping that the bilayer adds, alpha = gamma hbar^2 Re G_eff/(2 e^2 Ms t), no unit.

    With backflow and memory loss; without them (a perfect sink) it is `llg.spin_pumping_damping`. Y. Tserkovnyak et
    al., Phys. Rev. B 66, 224403 (2002), from memory; for frequencies below the spin-relaxation rate of the metal.

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    Ms, magnet_thickness
        A/m and m.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For sizes that are not positive.
    """
    moment = _sheet_moment(Ms, magnet_thickness)
    conductance = float(np.real(effective_mixing_conductance(bilayer)))
    return GYROMAGNETIC_RATIO * HBAR**2 * conductance / (2 * ELEMENTARY_CHARGE**2 * moment)


def spin_hall_resistivity(bilayer: SpinHallBilayer, magnetization: ArrayLike) -> np.ndarray:
    r"""Resistivity tensor rho_ik of the metal, E_i = sum_k rho_ik j_k, j averaged over its thickness; (2, 2), Ohm m.

    Exact within the model. To order theta^2 it is the spin Hall magnetoresistance of Chen et al.: with
    X = (l/d) 2 l G tanh^2(d/2l)/(sigma + 2 l G coth(d/l)),

        rho_xx/rho = 1 - theta^2 (2l/d) tanh(d/2l) + theta^2 Re X (1 - m_y^2)
        rho_xy/rho = theta^2 Re X m_x m_y + theta^2 Im X m_z

    without longitudinal conductance and memory loss; m is the spin direction, the magnet lies at +z.

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    magnetization
        Unit vector.

    Returns
    -------
    array (2, 2)

    Raises
    ------
    InputError
        For a magnetization that is no unit vector.
    """
    return bilayer.resistivity * np.linalg.inv(np.eye(2) + inverse_effect(bilayer, magnetization))


def inverse_effect(bilayer: SpinHallBilayer, magnetization: ArrayLike) -> np.ndarray:
    """Conductivity tensor over the bulk one, less the unit tensor: of order theta^2 and exact to its own digits."""
    solutions = (solve_spin_hall(bilayer, magnetization=magnetization, electric_field=e) for e in np.eye(2))
    columns = [s.inverse_sheet_current for s in solutions]
    return np.transpose(columns) * bilayer.resistivity / bilayer.thickness


def inverse_spin_hall_field(
    bilayer: SpinHallBilayer, *, magnetization: ArrayLike, precession: ArrayLike
) -> np.ndarray:
    """Electric field (E_x, E_y) that stops the charge current pumped by a precessing magnet, V/m.

    Open circuit in both directions. Times the length between two contacts it is the voltage phi(first) - phi(second),
    the second contact further along the axis. It is linear in dm/dt at the m given: average it over the precession (its
    constant part, from the average of m x dm/dt, is the dc voltage).

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`.
    magnetization, precession
        m and dm/dt, as in `solve_spin_hall`.

    Returns
    -------
    array (2,)

    Raises
    ------
    InputError
        As `solve_spin_hall`.
    """
    pumped = solve_spin_hall(bilayer, magnetization=magnetization, precession=precession).sheet_current
    return -spin_hall_resistivity(bilayer, magnetization) @ pumped / bilayer.thickness


def _act(parallel, perpendicular, m: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A function of the absorption of the magnet on a vector: it has one value along m, a complex one across m."""
    along = (m @ v) * m
    return np.real(parallel) * along + np.real(perpendicular) * (v - along) + np.imag(perpendicular) * np.cross(v, m)


def _one_less_sech(x):
    """1 - 1/cosh(x), without cancellation at small x."""
    return np.tanh(x) * np.tanh(x / 2)


def _metal_conductance(b: SpinHallBilayer, thickness):
    """(sigma/2l) tanh(d/l), S/m^2: spin current that an accumulation at z = d drives into the metal."""
    return np.tanh(thickness / b.spin_diffusion_length) * b.conductivity / (2 * b.spin_diffusion_length)


def _layer(b: SpinHallBilayer) -> tuple[float, float, float]:
    """Of the memory-loss layer: sech(delta), its series impedance and its shunt admittance at the other end open."""
    delta, r = b.spin_memory_loss, b.spin_memory_loss_resistance
    if delta == 0:
        return 1.0, 2 * r, 0.0
    falling = math.exp(-delta)
    return 2 * falling / (1 + falling**2), 2 * r * math.tanh(delta) / delta, delta * math.tanh(delta) / (2 * r)


def _behind_layer(b: SpinHallBilayer, conductance):
    """The conductance seen through the memory-loss layer."""
    _, series, shunt = _layer(b)
    return (conductance + shunt) / (1 + conductance * series)


def _transfer(b: SpinHallBilayer, conductance):
    """eta: accumulation behind the memory-loss layer over that before it, the conductance standing behind."""
    sech, series, _ = _layer(b)
    return sech / (1 + conductance * series)


def thicknesses_of(bilayer: SpinHallBilayer, thickness: ArrayLike | None) -> np.ndarray:
    """The thicknesses asked for, or that of the bilayer, m; InputError unless they are positive."""
    array = finite_array("thickness", bilayer.thickness if thickness is None else thickness, "m")
    if not np.all(array > 0):
        raise InputError(f"thickness={float(array.min()):g} is not positive; give m")
    return array


def _sheet_moment(Ms: float, magnet_thickness: float) -> float:
    """Ms t, A."""
    require_positive("Ms", Ms, "A/m")
    require_positive("magnet_thickness", magnet_thickness, "m")
    return float(Ms * magnet_thickness)

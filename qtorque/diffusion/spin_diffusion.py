r"""Spin diffusion, relaxation and precession in time, in one dimension through a stack of layers. SI.

mu_s = mu_up - mu_dn is a vector in volt in the spin frame, j_s = j_up - j_dn positive when electrons flow along +z. In
a layer of resistivity 1/sigma, diffusion constant D and relaxation time tau (of mu_s, not of one flip rate)

    (sigma/2D) [d mu_s/dt + mu_s/tau - gamma B x mu_s] = -d j_s/dz + source,      j_s = -(sigma/2) d mu_s/dz,

the left factor being the charge of n_up - n_dn per volt (sigma = e^2 nu D, Einstein). mu_s and j_s are continuous
between layers. Finite volumes in space, of second order in the cell; exact in time: the operator is diagonalised, and
what is injected goes in a straight line between the times given. The steady state is found by elimination. Valid for
normal metals, times above that between collisions and lengths above the mean free path; no interface resistance and no
drift in a charge current.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import textwrap
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.linalg import eigh_tridiagonal

from qtorque.diffusion.elements import require_positive
from qtorque.errors import InputError, finite_number
from qtorque.units import ELEMENTARY_CHARGE, GYROMAGNETIC_RATIO

Profile = Callable[[np.ndarray], ArrayLike]
"""A function of z, shape (cells,) in m, that returns a vector for each: shape (cells, 3), or one for all, (3,)."""

SMALL = 0.5
"""Below this |z| the second integral of exp is summed as a series: the closed form loses digits as 1/z^2."""
SERIES_TERMS = 16
"""SMALL^16/18! is below the rounding."""
AXES = {"component": ["x", "y", "z"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusiveLayer:
    """A normal metal in which spins diffuse.

    Parameters
    ----------
    thickness : m
    diffusion_constant : D, m^2/s
    resistivity : Ohm m
    spin_relaxation_time : tau, s; infinite for none

    Raises
    ------
    InputError
        For values that are not positive.
    """

    thickness: float
    diffusion_constant: float
    resistivity: float
    spin_relaxation_time: float = math.inf

    def __post_init__(self) -> None:
        for name, unit in (("thickness", "m"), ("diffusion_constant", "m^2/s"), ("resistivity", "Ohm m")):
            require_positive(name, getattr(self, name), unit)
        require_positive("spin_relaxation_time", self.spin_relaxation_time, "s", infinite=True)

    @property
    def spin_diffusion_length(self) -> float:
        """sqrt(D tau), m."""
        return math.sqrt(self.diffusion_constant * self.spin_relaxation_time)


def spin_diffusion_length(diffusion_constant: float, spin_relaxation_time: float) -> float:
    """l = sqrt(D tau).

    Parameters
    ----------
    diffusion_constant
        D, m^2/s.
    spin_relaxation_time
        tau of the spin accumulation, s.

    Returns
    -------
    float, m

    Raises
    ------
    InputError
        For values that are not positive and finite.
    """
    require_positive("diffusion_constant", diffusion_constant, "m^2/s")
    require_positive("spin_relaxation_time", spin_relaxation_time, "s")
    return math.sqrt(diffusion_constant * spin_relaxation_time)


def spin_relaxation_time(diffusion_constant: float, spin_diffusion_length: float) -> float:
    """tau = l^2/D of the spin accumulation.

    Parameters
    ----------
    diffusion_constant
        D, m^2/s.
    spin_diffusion_length
        l, m.

    Returns
    -------
    float, s

    Raises
    ------
    InputError
        For values that are not positive and finite.
    """
    require_positive("diffusion_constant", diffusion_constant, "m^2/s")
    require_positive("spin_diffusion_length", spin_diffusion_length, "m")
    return spin_diffusion_length**2 / diffusion_constant


def einstein_diffusion_constant(resistivity: float, density_of_states: float) -> float:
    """D = 1/(e^2 nu rho), Einstein's relation of a degenerate electron gas, kT << E_F.

    Parameters
    ----------
    resistivity
        rho, Ohm m.
    density_of_states
        nu at the Fermi energy, of both spins, 1/(J m^3).

    Returns
    -------
    float, m^2/s

    Raises
    ------
    InputError
        For values that are not positive and finite.
    """
    require_positive("resistivity", resistivity, "Ohm m")
    require_positive("density_of_states", density_of_states, "1/(J m^3)")
    return 1 / (ELEMENTARY_CHARGE**2 * density_of_states * resistivity)


def hanle_signal(
    field: ArrayLike, *, distance: float, diffusion_constant: float, spin_relaxation_time: float
) -> np.ndarray:
    r"""Spin accumulation along the injected spin beside a point of injection, over its value without field.

    Re[lambda exp(-L/lambda)]/(l exp(-L/l)) with lambda = l/sqrt(1 + i omega tau), omega = gamma B: an infinite channel,
    steady injection, field across the spin, contacts that draw nothing (M. Johnson, R. H. Silsbee, Phys. Rev. Lett.
    55, 1790 (1985), from memory). Contacts of low resistance widen the curve; use `steady_spin_accumulation` there.

    Parameters
    ----------
    field
        B, T, any shape.
    distance
        L, m, zero or more.
    diffusion_constant, spin_relaxation_time
        m^2/s and s.

    Returns
    -------
    array of the shape of `field`

    Raises
    ------
    InputError
        For fields that are not finite, a negative distance, constants that are not positive.
    """
    l = spin_diffusion_length(diffusion_constant, spin_relaxation_time)
    if not finite_number("distance", distance, "m") >= 0:
        raise InputError(f"distance={distance!r} is negative; give m")
    root = np.sqrt(1 + 1j * GYROMAGNETIC_RATIO * spin_relaxation_time * finite_array("field", field, "T"))
    return np.real(np.exp((1 - root) * distance / l) / root)


def spin_accumulation_versus_time(
    layers: Sequence[DiffusiveLayer],
    *,
    time: ArrayLike,
    initial: Profile | None = None,
    source: Profile | None = None,
    left_current: ArrayLike | None = None,
    right_current: ArrayLike | None = None,
    left_conductance: float = 0.0,
    right_conductance: float = 0.0,
    field: ArrayLike = (0.0, 0.0, 0.0),
    cells: int = 100,
) -> xr.Dataset:
    """Spin accumulation versus time and position.

    Parameters
    ----------
    layers
        From left (z = 0) to right.
    time
        (time,), s, ascending; the first is that of `initial`.
    initial
        mu_s(z) at the first time, V; none if None.
    source
        Spin current injected in the bulk, constant in time, A/m^3 (hbar/2e times it is angular momentum).
    left_current, right_current
        (time, 3) or (3,), A/m^2: spin current that enters through an end; linear between the times.
    left_conductance, right_conductance
        S/m^2, spin sink beyond an end, j_s = conductance x mu_s: 0 is a closed end, `math.inf` a perfect sink.
    field
        B, T: spins precess about it with gamma B, dmu_s/dt = gamma B x mu_s.
    cells
        In each layer; take several to each diffusion length.

    Returns
    -------
    Dataset: spin_accumulation (time, z, component), V; spin (time, component), C/m^2, e times n_up - n_dn over the
    thickness; left_outflow, right_outflow (time, component), A/m^2, into the sinks (of a perfect sink the injected
    current goes there at once).

    Raises
    ------
    InputError
        For times that do not ascend, negative conductances, vectors of a wrong shape, values that are no numbers.
    """
    t = _times(time)
    grid = _Grid.of(layers, left_conductance, right_conductance, cells)
    frame, omega = _precession(field)
    currents = [
        _boundary_current(n, c, t.size) for n, c in (("left_current", left_current), ("right_current", right_current))
    ]
    rates, modes = _modes(grid)
    root = np.sqrt(grid.capacity)[:, None]
    bulk = _profile("source", source, grid.z, "A/m^3") * grid.width[:, None]
    shares = grid.shares()
    start = modes.T @ _circular(root * _profile("initial", initial, grid.z, "V"), frame)
    constant = modes.T @ _circular(bulk / root, frame)
    edges = [modes[end] / root[end, 0] * share for end, share in zip((0, -1), shares, strict=True)]
    drive = constant + sum(
        edge[:, None] * _circular(current, frame)[:, None, :] for edge, current in zip(edges, currents, strict=True)
    )
    decay = rates[:, None] - np.array([0.0, 1j * omega])
    amplitudes = np.empty((t.size, *start.shape), dtype=complex)
    amplitudes[0] = start
    for i, step in enumerate(np.diff(t)):
        z = -decay * step
        first, second = _integrals(z)
        grown = step * ((first - second) * drive[i] + second * drive[i + 1])
        amplitudes[i + 1] = np.exp(z) * amplitudes[i] + grown
    mu = _cartesian(modes @ amplitudes, frame) / root
    outflow = [
        conductance * mu[:, end] + (1 - share) * current
        for conductance, end, share, current in zip(grid.sinks(), (0, -1), shares, currents, strict=True)
    ]
    variables = {
        "spin_accumulation": (("time", "z", "component"), mu, "V", "spin accumulation mu_up - mu_dn"),
        "spin": (("time", "component"), np.einsum("z,tzc->tc", grid.capacity, mu), "C/m^2", "spin over the thickness"),
        "left_outflow": (("time", "component"), outflow[0], "A/m^2", "spin current into the sink on the left"),
        "right_outflow": (("time", "component"), outflow[1], "A/m^2", "spin current into the sink on the right"),
    }
    coords = {"time": ("time", t, {"units": "s", "long_name": "time"}), **grid.coordinate(), **AXES}
    return xr.Dataset(
        {name: (dims, v, {"units": unit, "long_name": text}) for name, (dims, v, unit, text) in variables.items()},
        coords=coords,
        attrs={"field": [float(b) for b in np.asarray(field, dtype=float)]},
    )


def steady_spin_accumulation(
    layers: Sequence[DiffusiveLayer],
    *,
    source: Profile | None = None,
    left_current: ArrayLike | None = None,
    right_current: ArrayLike | None = None,
    left_conductance: float = 0.0,
    right_conductance: float = 0.0,
    field: ArrayLike = (0.0, 0.0, 0.0),
    cells: int = 100,
) -> xr.Dataset:
    """Spin accumulation after long times: spin_accumulation (z, component), V.

    The arguments are those of `spin_accumulation_versus_time`.

    Raises
    ------
    InputError
        As there, and where nothing relaxes: closed ends and infinite relaxation times everywhere.
    """
    grid = _Grid.of(layers, left_conductance, right_conductance, cells)
    if not np.any(grid.relaxation) and not any(grid.sinks()):
        raise InputError("spin_relaxation_time=inf and no sink: no steady state; give a finite time or a conductance")
    frame, omega = _precession(field)
    force = _profile("source", source, grid.z, "A/m^3") * grid.width[:, None]
    given = (("left_current", left_current), ("right_current", right_current))
    for (name, current), end, share in zip(given, (0, -1), grid.shares(), strict=True):
        force[end] += share * _boundary_current(name, current, 1)[0]
    mu = _cartesian(_balance(grid, omega, _circular(force, frame)), frame)
    attributes = {"units": "V", "long_name": "spin accumulation mu_up - mu_dn"}
    return xr.Dataset(
        {"spin_accumulation": (("z", "component"), mu, attributes)}, coords={**grid.coordinate(), **AXES}
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Grid:
    """Cells: centres and widths (m), capacity sigma h/2D (F/m^2), 1/tau, sigma/h (S/m^2: of half a cell), end sinks."""

    z: np.ndarray
    width: np.ndarray
    capacity: np.ndarray
    relaxation: np.ndarray
    half: np.ndarray
    ends: tuple[float, float]

    @classmethod
    def of(cls, layers: Sequence[DiffusiveLayer], left: float, right: float, cells: int) -> _Grid:
        listed = isinstance(layers, Sequence) and len(layers) > 0
        if not listed or not all(isinstance(layer, DiffusiveLayer) for layer in layers):
            raise InputError(f"layers={_shown(layers)} is no list of DiffusiveLayer; give one at least")
        if isinstance(cells, bool) or not isinstance(cells, (int, np.integer)) or cells < 1:
            raise InputError(f"cells={cells!r} is out of range; give a whole number of cells in each layer, 1 or more")
        for name, conductance in (("left_conductance", left), ("right_conductance", right)):
            real = isinstance(conductance, numbers.Real) and not isinstance(conductance, bool)
            if not (real and conductance >= 0):
                raise InputError(f"{name}={conductance!r} is out of range; give 0 (a closed end) or more S/m^2")
        each = [(x.thickness, x.diffusion_constant, x.resistivity, x.spin_relaxation_time) for x in layers]
        thickness, D, resistivity, tau = np.repeat(each, cells, axis=0).T
        width, sigma, relaxation = thickness / cells, 1 / resistivity, 1 / tau
        return cls(
            z=np.cumsum(width) - width / 2, width=width, capacity=sigma * width / (2 * D), relaxation=relaxation,
            half=sigma / width, ends=(float(left), float(right)),
        )  # fmt: skip

    def sinks(self) -> tuple[float, float]:
        """Conductance from the centre of the first and last cell to ground, S/m^2."""
        first, last = (
            half if math.isinf(end) else half * end / (half + end)
            for half, end in zip((self.half[0], self.half[-1]), self.ends, strict=True)
        )
        return float(first), float(last)

    def shares(self) -> tuple[float, float]:
        """Share of a current injected at an end that gets to the centre of its cell; the sink there takes the rest."""
        first, last = (1 - sink / half for sink, half in zip(self.sinks(), (self.half[0], self.half[-1]), strict=True))
        return float(first), float(last)

    def faces(self) -> np.ndarray:
        """Conductance between the centres of neighbours, S/m^2."""
        return self.half[:-1] * self.half[1:] / (self.half[:-1] + self.half[1:])

    def coordinate(self) -> dict:
        return {"z": ("z", self.z, {"units": "m", "long_name": "position"})}


def _modes(grid: _Grid) -> tuple[np.ndarray, np.ndarray]:
    """Decay rates (1/s) and orthonormal modes of sqrt(capacity) mu_s, modes[cell, mode]."""
    faces, sinks, root = grid.faces(), grid.sinks(), np.sqrt(grid.capacity)
    total = np.zeros_like(grid.z)
    total[:-1] += faces
    total[1:] += faces
    total[0] += sinks[0]
    total[-1] += sinks[1]
    _, modes = eigh_tridiagonal(total / grid.capacity + grid.relaxation, -faces / (root[:-1] * root[1:]))
    # The eigenvalues round like the fastest one. What each mode loses is a sum of positive terms.
    mu = modes / root[:, None]
    rates = grid.relaxation @ modes**2 + faces @ np.diff(mu, axis=0) ** 2
    return rates + sinks[0] * mu[0] ** 2 + sinks[1] * mu[-1] ** 2, modes


def _balance(grid: _Grid, omega: float, force: np.ndarray) -> np.ndarray:
    """mu_s (cells, 2) at which all that is injected (cells, 2) is lost, in circular components.

    Elimination from left to right. What a cell and all before it lose is kept on its own: in a matrix it is a small
    difference beside the conductance to the neighbours, and is lost where sinks are weak and relaxation is slow.
    """
    faces = grid.faces()
    loss = (grid.capacity * grid.relaxation)[:, None] - grid.capacity[:, None] * np.array([0.0, 1j * omega])
    loss[0] += grid.sinks()[0]
    loss[-1] += grid.sinks()[1]
    injected = force.copy()
    for i, face in enumerate(faces):
        share = face / (face + loss[i])
        loss[i + 1] += loss[i] * share
        injected[i + 1] += injected[i] * share
    mu = np.empty_like(injected)
    mu[-1] = injected[-1] / loss[-1]
    for i in range(faces.size - 1, -1, -1):
        mu[i] = (injected[i] + faces[i] * mu[i + 1]) / (faces[i] + loss[i])
    return mu


def _precession(field: ArrayLike) -> tuple[np.ndarray, float]:
    """Right-handed frame with the field along its third axis (rows), and gamma B."""
    B = finite_array("field", field, "T", shape=(3,))
    size = float(np.linalg.norm(B))
    if size == 0:
        return np.eye(3), 0.0
    third = B / size
    first = np.cross(third, np.eye(3)[np.argmin(np.abs(third))])
    first /= np.linalg.norm(first)
    return np.array([first, np.cross(third, first), third]), GYROMAGNETIC_RATIO * size


def _circular(vectors: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 2): the part along the field, and the complex part across it that turns as exp(i omega t)."""
    first, second, third = np.moveaxis(vectors @ frame.T, -1, 0)
    return np.stack([third + 0j, first + 1j * second], axis=-1)


def _cartesian(circular: np.ndarray, frame: np.ndarray) -> np.ndarray:
    along, across = np.moveaxis(circular, -1, 0)
    return np.stack([across.real, across.imag, along.real], axis=-1) @ frame


def _integrals(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(e^z - 1)/z and (e^z - 1 - z)/z^2, the weights of a drive that goes in a straight line over a step."""
    small = np.abs(z) < SMALL
    safe = np.where(small, 1.0, z)
    series = np.zeros_like(z)
    for n in range(SERIES_TERMS + 1, 1, -1):
        series = (1 + z * series) / n
    second = np.where(small, series, (np.expm1(safe) - safe) / safe**2)
    return np.where(small, 1 + z * second, np.expm1(safe) / safe), second


def finite_array(name: str, value: ArrayLike, unit: str, *, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """The value as floats, of any shape if None; InputError unless they are finite real numbers, one at least."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # rows of several lengths
        array = np.empty(0)
    if array.dtype.kind not in "iuf" or not array.size or not np.all(np.isfinite(array)):
        raise InputError(f"{name}={_shown(value)} holds no finite real numbers; give them in {unit}")
    if shape is not None and array.shape != shape:
        raise InputError(f"{name}={_shown(value)} has shape {array.shape}; give a vector of shape {shape} in {unit}")
    return array.astype(float)


def _shown(value: object) -> str:
    """A value in one line of an error message."""
    return textwrap.shorten(repr(value), 60, placeholder=" ...")


def _times(time: ArrayLike) -> np.ndarray:
    t = finite_array("time", time, "s")
    if t.ndim != 1 or np.any(np.diff(t) <= 0):
        raise InputError(f"time={_shown(time)} is no ascending list; give times in s")
    return t


def _profile(name: str, profile: Profile | None, z: np.ndarray, unit: str) -> np.ndarray:
    if profile is None:
        return np.zeros((z.size, 3))
    if not callable(profile):
        raise InputError(f"{name}={_shown(profile)} is no function; give one of z in m that returns vectors")
    values = finite_array(f"{name}(z)", profile(z), unit)
    if values.shape not in ((3,), (z.size, 3)):
        raise InputError(f"{name}(z) has shape {values.shape}; return {(z.size, 3)} for z {z.shape}")
    return np.array(np.broadcast_to(values, (z.size, 3)))


def _boundary_current(name: str, current: ArrayLike | None, times: int) -> np.ndarray:
    values = np.zeros(3) if current is None else finite_array(name, current, "A/m^2")
    if values.shape not in ((3,), (times, 3)):
        raise InputError(f"{name} has shape {values.shape}; give (3,) or {(times, 3)} in A/m^2")
    return np.broadcast_to(values, (times, 3))

"""The seam between quantum transport and magnetisation dynamics: spin torque as a function of angle and voltage.

A `TorqueMap` holds what transport found, in eV per in-plane cell and in the SPIN frame: m and p are directions of the
majority spin and a torque acts on angular momentum, tau = tau_DL m x (p x m) + tau_FL m x p. From here on lengths and
energies are SI; the change to the frame of the moment is made once, in `qtorque.llg`.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline, NdPPoly, PPoly

from qtorque import store
from qtorque.errors import InputError
from qtorque.units import NM2, energy_per_area, joule

GRID_TOLERANCE = 1e-9
"""rad or V: a value this close to the end of the map counts as the end. Far above the rounding of a computed grid,
far below any angle or voltage that makes a difference."""

VARIABLES = {
    "damping_like": ("eV per cell", "damping-like torque coefficient on the free magnet"),
    "field_like": ("eV per cell", "field-like torque coefficient on the free magnet"),
    "damping_like_fixed": ("eV per cell", "damping-like torque coefficient on the fixed magnet"),
    "field_like_fixed": ("eV per cell", "field-like torque coefficient on the fixed magnet"),
    "charge_current": ("A per cell", "charge current, positive when electrons flow left to right"),
}
"""Units and long name of each variable over (angle, voltage)."""

CONVENTION = (
    "spin frame: m, p are directions of the majority spin; torque on the angular momentum = "
    "damping_like m x (p x m) + field_like m x p, sin(angle) removed; on the fixed magnet m and p swap roles; "
    "V > 0 drives electrons from left to right"
)
MIXING_ATTRIBUTES = ("mixing_conductance_real", "mixing_conductance_imag")
"""e^2/h per cell; NetCDF has no complex attributes."""
OWN_ATTRIBUTES = ("cell_area", "cell_area_units", "convention", *MIXING_ATTRIBUTES)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TorqueSplines:
    """Both torque coefficients on one magnet as piecewise bicubic polynomials of angle and voltage.

    In voltage interval v and angle interval a coefficient number c (0 damping-like, 1 field-like) is
    sum_ij coefficients[i, v, c, j, a] (voltage - voltage_breaks[v])^(3 - i) (angle - angle_breaks[a])^(3 - j).

    angle_breaks : (angles,), rad; voltage_breaks : (voltages,), V
    coefficients : (4, voltages - 1, 2, 4, angles - 1), eV per cell, V^(i - 3) and rad^(j - 3)
    """

    angle_breaks: np.ndarray
    voltage_breaks: np.ndarray
    coefficients: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TorqueMap:
    """Spin torque on both magnets of a junction and its charge current, over angle and voltage. Arrays are read-only.

    Between the grid points there are cubic splines. Rotated by pi about p, a junction without spin-orbit coupling shows
    -angle in place of angle, so the coefficients are even about 0, and with the period 2 pi also about pi: where the
    grid contains these ends the spline has no slope there. Elsewhere, and in the voltage, the ends are not-a-knot
    (three voltages give a parabola, two a line). A grid of one angle or voltage serves that one only.

    Parameters
    ----------
    angle : (angles,), rad, ascending within 0 .. pi
        Between the two magnetisations.
    voltage : (voltages,), V, ascending
        (mu_L - mu_R)/e.
    damping_like, field_like : (angles, voltages), eV per cell
        Coefficients of the torque on the free magnet, sin(angle) removed.
    damping_like_fixed, field_like_fixed : (angles, voltages), eV per cell
        The same on the fixed magnet, where m and p swap roles.
    charge_current : (angles, voltages), A per cell
    area : float, nm^2
        Of the in-plane cell.
    attributes : dict of str or number
        Where the map comes from.
    mixing_conductance : complex, e^2/h per cell, or None
        g_mix of the interfaces through which the free magnet pumps spins, for its damping.

    Raises
    ------
    InputError
        For values that are not finite, a grid that does not ascend, shapes that do not match the grid.
    """

    angle: np.ndarray
    voltage: np.ndarray
    damping_like: np.ndarray
    field_like: np.ndarray
    damping_like_fixed: np.ndarray
    field_like_fixed: np.ndarray
    charge_current: np.ndarray
    area: float
    attributes: dict[str, str | int | float] = dataclasses.field(default_factory=dict)
    mixing_conductance: complex | None = None

    def __post_init__(self) -> None:
        for name in ("angle", "voltage", *VARIABLES):
            array = _frozen_array(name, getattr(self, name))
            object.__setattr__(self, name, array)
        for name in ("angle", "voltage"):
            grid = getattr(self, name)
            if grid.ndim != 1 or grid.size == 0:
                raise InputError(f"{name} has shape {grid.shape}; give a list of at least one number")
            falls = np.flatnonzero(np.diff(grid) <= 0)
            if falls.size:
                i = falls[0]
                raise InputError(f"{name} does not ascend: {grid[i + 1]:.6g} follows {grid[i]:.6g}; sort the grid")
        if self.angle[0] < 0 or self.angle[-1] > np.pi + GRID_TOLERANCE:
            raise InputError(f"angle runs from {self.angle[0]:.6g} to {self.angle[-1]:.6g} rad; keep it within 0 to pi")
        shape = (self.angle.size, self.voltage.size)
        for name in VARIABLES:
            if getattr(self, name).shape != shape:
                raise InputError(f"{name} has shape {getattr(self, name).shape}; (angle, voltage) asks for {shape}")
        if not (isinstance(self.area, numbers.Real) and 0 < self.area < np.inf):
            raise InputError(f"area={self.area!r} is not an area; give the in-plane cell in nm^2")
        if self.mixing_conductance is not None:
            if not (isinstance(self.mixing_conductance, numbers.Number) and np.isfinite(self.mixing_conductance)):
                raise InputError(f"mixing_conductance={self.mixing_conductance!r} is not finite; give a number or None")
            object.__setattr__(self, "mixing_conductance", complex(self.mixing_conductance))
        for name, value in self.attributes.items():
            if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
                raise InputError(f"attributes[{name!r}]={value!r} is neither text nor number; give str(...) of it")

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, mixing_conductance: complex | None = None) -> TorqueMap:
        """The map in a Dataset of `qtorque.spin_torque` or of `to_dataset`.

        Needs the coordinates angle (rad) and voltage (V), the five variables of the map over them and the attribute
        cell_area (nm^2). Other variables stay behind; other attributes come along, as text unless they are numbers.
        A mixing conductance (e^2/h per cell) given here replaces that of the Dataset.

        Raises
        ------
        InputError
            For magnets with spin-orbit coupling, whose torque depends on the azimuth too; for a missing coordinate,
            variable or attribute, a variable with other dimensions, and as the class does.
        """
        if "torque_exchange" in dataset:
            raise InputError(
                "the dataset carries torque_exchange: a torque on magnets with spin-orbit coupling depends on their "
                "azimuth, which a map does not know; leave spin_orbit out of the magnets, or use the vectors"
            )
        for name in ("angle", "voltage"):
            if name not in dataset.coords:
                raise InputError(f"the dataset has no coordinate {name!r}; give what spin_torque returns")
        if "cell_area" not in dataset.attrs:
            raise InputError("the dataset has no attribute 'cell_area'; set it to the in-plane cell in nm^2")
        arrays = {}
        for name in VARIABLES:
            if name not in dataset:
                raise InputError(f"the dataset has no variable {name!r}; give what spin_torque returns")
            if set(dataset[name].dims) != {"angle", "voltage"}:
                raise InputError(f"{name} has dimensions {dataset[name].dims}; a torque map needs ('angle', 'voltage')")
            arrays[name] = dataset[name].transpose("angle", "voltage").values
            if np.isnan(arrays[name]).any():
                raise InputError(
                    f"{name} is not finite at every angle: a third magnet off the axis, or spin-orbit coupling, leaves "
                    "no coefficients at 0 and pi; leave these angles out"
                )
        if mixing_conductance is None and MIXING_ATTRIBUTES[0] in dataset.attrs:
            mixing_conductance = complex(*(float(dataset.attrs[name]) for name in MIXING_ATTRIBUTES))
        attributes = {key: _plain(value) for key, value in dataset.attrs.items() if key not in OWN_ATTRIBUTES}
        return cls(
            angle=dataset["angle"].values,
            voltage=dataset["voltage"].values,
            area=float(dataset.attrs["cell_area"]),
            attributes=attributes,
            mixing_conductance=mixing_conductance,
            **arrays,
        )

    def to_dataset(self) -> xr.Dataset:
        """The map with units and long_name on every variable, its convention and its provenance in the attributes."""
        dims = ("angle", "voltage")
        variables = {
            name: (dims, getattr(self, name), {"units": units, "long_name": long_name})
            for name, (units, long_name) in VARIABLES.items()
        }
        coordinates = {
            "angle": ("angle", self.angle, {"units": "rad", "long_name": "angle between the magnetisations"}),
            "voltage": ("voltage", self.voltage, {"units": "V", "long_name": "voltage, (mu_L - mu_R)/e"}),
        }
        own: dict[str, str | float] = {"cell_area": float(self.area), "cell_area_units": "nm^2"}
        own["convention"] = CONVENTION
        if self.mixing_conductance is not None:
            parts = self.mixing_conductance.real, self.mixing_conductance.imag
            own |= dict(zip(MIXING_ATTRIBUTES, parts, strict=True))
        return xr.Dataset(variables, coordinates, attrs={**self.attributes, **own})

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the map as NetCDF; an existing file is replaced only with `force`, otherwise InputError."""
        store.save_dataset(self.to_dataset(), path, force=force)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TorqueMap:
        """The map in a NetCDF file written by `save`, or of a saved Dataset of `qtorque.spin_torque`."""
        return cls.from_dataset(store.load_dataset(path))

    def coefficients(self, angle: ArrayLike, voltage: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (tau_DL, tau_FL) of the torque on the free magnet, eV per cell.

        angle (rad) and voltage (V) are broadcast against each other; InputError for a value outside the map.
        """
        # NdPPoly wants (powers, intervals, coefficient) of the angle, then of the voltage.
        splines = self.splines
        axes = (splines.angle_breaks, splines.voltage_breaks)
        surface = NdPPoly(splines.coefficients.transpose(3, 0, 4, 1, 2), axes)
        values = surface((self.within("angle", angle), self.within("voltage", voltage)))
        return values[..., 0], values[..., 1]

    def per_area(self, angle: ArrayLike, voltage: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (tau_DL, tau_FL) of the torque on the free magnet in J/m^2; arguments as in `coefficients`."""
        damping_like, field_like = self.coefficients(angle, voltage)
        return energy_per_area(damping_like, self.area), energy_per_area(field_like, self.area)

    def torque(self, angle: ArrayLike, voltage: ArrayLike, *, area_si: float) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (tau_DL, tau_FL) in J of the torque on a whole free layer of area `area_si` (m^2)."""
        damping_like, field_like = self.coefficients(angle, voltage)
        return joule(damping_like) * self.cells(area_si), joule(field_like) * self.cells(area_si)

    def cells(self, area_si: float) -> float:
        """How many in-plane cells a layer of area `area_si` (m^2) has."""
        return area_si / (self.area * NM2)

    @functools.cached_property
    def splines(self) -> TorqueSplines:
        """The interpolation of the torque on the free magnet."""
        return self._splines(self.damping_like, self.field_like)

    @functools.cached_property
    def splines_fixed(self) -> TorqueSplines:
        """The interpolation of the torque on the fixed magnet."""
        return self._splines(self.damping_like_fixed, self.field_like_fixed)

    def _splines(self, damping_like: np.ndarray, field_like: np.ndarray) -> TorqueSplines:
        # Interpolation is linear in the data, so the order of the two directions does not matter.
        low = "clamped" if self.angle[0] <= GRID_TOLERANCE else "not-a-knot"
        high = "clamped" if self.angle[-1] >= np.pi - GRID_TOLERANCE else "not-a-knot"
        values = np.stack([damping_like, field_like], axis=1)
        in_angle = _spline(self.angle, values, (low, high)).c  # (power, interval, 2, voltages)
        in_voltage = _spline(self.voltage, in_angle.transpose(3, 2, 0, 1), ("not-a-knot", "not-a-knot"))
        return TorqueSplines(
            angle_breaks=_breakpoints(self.angle), voltage_breaks=in_voltage.x, coefficients=in_voltage.c
        )

    def within(self, name: str, values: ArrayLike) -> np.ndarray:
        """The values as an array, drawn in to the ends of the grid `name` where they are beyond by rounding only.

        InputError for values outside the map.
        """
        grid, unit = getattr(self, name), {"angle": "rad", "voltage": "V"}[name]
        values = np.asarray(values, dtype=float)
        inside = (values >= grid[0] - GRID_TOLERANCE) & (values <= grid[-1] + GRID_TOLERANCE)
        if not np.all(inside):
            raise InputError(
                f"{name}={values[~inside].flat[0]:.6g} {unit} is outside the torque map, {grid[0]:.6g} to "
                f"{grid[-1]:.6g} {unit}; ask within it or compute a wider map"
            )
        return np.clip(values, grid[0], grid[-1])


def _breakpoints(grid: np.ndarray) -> np.ndarray:
    """Ends of the spline intervals, writable for scipy. One point gets an interval, in which only its start is used."""
    return grid.copy() if grid.size > 1 else np.array([grid[0], grid[0] + 1])


def _spline(grid: np.ndarray, values: np.ndarray, ends: tuple[str, str]) -> PPoly:
    """Cubic spline along the first axis of the values; scipy lowers the degree where there are 2 or 3 points."""
    if grid.size == 1:
        constant = np.zeros((4, 1, *values.shape[1:]))
        constant[3] = values
        return PPoly(constant, _breakpoints(grid))
    return CubicSpline(grid, values, bc_type=ends)


def _frozen_array(name: str, values: ArrayLike) -> np.ndarray:
    """A read-only copy of finite numbers."""
    array = np.array(values, dtype=float)
    if not np.all(np.isfinite(array)):
        raise InputError(f"{name} holds {array[~np.isfinite(array)].flat[0]}; give finite numbers")
    array.setflags(write=False)
    return array


def _plain(value: object) -> str | int | float:
    """An attribute as a Python number (files give numpy's) or as text, which NetCDF wants for True and False too."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)

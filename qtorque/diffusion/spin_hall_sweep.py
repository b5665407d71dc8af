"""A spin Hall bilayer versus the thickness of its metal. SI, conventions of `qtorque.diffusion.spin_hall`."""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.diffusion.spin_hall import (
    SpinHallBilayer,
    effective_mixing_conductance,
    inverse_effect,
    spin_hall_efficiency,
    thicknesses_of,
)
from qtorque.errors import InputError


def spin_hall_versus_thickness(bilayer: SpinHallBilayer, *, thickness: ArrayLike) -> xr.Dataset:
    """Efficiencies, magnetoresistance and pumping of a bilayer versus the thickness of its metal.

    Parameters
    ----------
    bilayer
        The `SpinHallBilayer`; its own thickness is not used.
    thickness
        (thickness,), m.

    Returns
    -------
    Dataset over thickness: damping_like and field_like efficiency (Re xi and -Im xi, see `spin_hall_efficiency`),
    effective_mixing_conductance (S/m^2), resistivity (Ohm m, m along y), magnetoresistance (rho_xx(m along x)
    - rho_xx(m along y))/rho and hall_ratio rho_xy(m along z)/rho, where rho is the bulk resistivity.

    Raises
    ------
    InputError
        For thicknesses that are no list of positive numbers.
    """
    d = np.atleast_1d(thicknesses_of(bilayer, thickness))
    if d.ndim != 1:
        raise InputError(f"thickness has shape {d.shape}; give a list of numbers in m")
    inverse = np.array([
        [inverse_effect(dataclasses.replace(bilayer, thickness=float(each)), m) for m in np.eye(3)] for each in d
    ])  # fmt: skip
    ratio = np.linalg.inv(np.eye(2) + inverse)  # resistivity over the bulk one, m along x, y and z
    # (1 + A)^-1 - (1 + B)^-1 = (1 + A)^-1 (B - A) (1 + B)^-1: the left side loses digits for small A and B.
    magnetoresistance = ratio[:, 0] @ (inverse[:, 1] - inverse[:, 0]) @ ratio[:, 1]
    xi = spin_hall_efficiency(bilayer, d)
    variables = {
        "damping_like": (xi.real, "1", "damping-like torque efficiency"),
        "field_like": (-xi.imag, "1", "field-like torque efficiency, along m x p"),
        "effective_mixing_conductance": (effective_mixing_conductance(bilayer, d), "S/m^2", "G with backflow"),
        "resistivity": (bilayer.resistivity * ratio[:, 1, 0, 0], "Ohm m", "longitudinal resistivity, m along y"),
        "magnetoresistance": (magnetoresistance[:, 0, 0], "1", "spin Hall magnetoresistance"),
        "hall_ratio": (ratio[:, 2, 0, 1], "1", "Hall resistivity rho_xy over rho, m along z"),
    }  # fmt: skip
    attributes = {f.name: getattr(bilayer, f.name) for f in dataclasses.fields(bilayer) if f.name != "thickness"}
    G = attributes.pop("mixing_conductance")
    return xr.Dataset(
        {name: ("thickness", v, {"units": unit, "long_name": text}) for name, (v, unit, text) in variables.items()},
        coords={"thickness": ("thickness", d, {"units": "m", "long_name": "thickness of the metal"})},
        attrs={**attributes, "mixing_conductance_real": G.real, "mixing_conductance_imag": G.imag},
    )

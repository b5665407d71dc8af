"""How the spin Hall angle of a metal scales with its resistivity. SI."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.diffusion.spin_diffusion import finite_array
from qtorque.errors import InputError, finite_number


def spin_hall_angle(
    resistivity: ArrayLike,
    *,
    intrinsic_conductivity: float = 0.0,
    side_jump_conductivity: float = 0.0,
    skew_scattering_angle: float = 0.0,
    residual_resistivity: float | None = None,
) -> xr.Dataset:
    r"""Spin Hall angle of the three mechanisms as the resistivity changes, theta = rho sigma_SH.

    sigma_SH = sigma_int + sigma_sj (rho_0/rho)^2 + a rho_0/rho^2: phonons raise rho above its residual value rho_0 and
    leave side jump and skew scattering to the impurities (Y. Tian, L. Ye, X. Jin, Phys. Rev. Lett. 103, 087206 (2009),
    for the anomalous Hall effect, from memory). Where impurities alone change rho (rho_0 = rho) the conductivities of
    intrinsic effect and side jump do not change, theta grows as rho, and that of skew scattering grows as sigma, theta
    stays. Limits: Drude metals of about 1e6 to 1e8 S/m. Dirtier ones lose the intrinsic part, about as sigma^1.6; in
    cleaner ones skew scattering takes over. All rates are of one impurity species.

    Parameters
    ----------
    resistivity
        (resistivity,) or a number, Ohm m, positive.
    intrinsic_conductivity, side_jump_conductivity
        sigma_int and sigma_sj, S/m, in units of charge current as theta (no hbar/2e).
    skew_scattering_angle
        a, no unit.
    residual_resistivity
        rho_0, Ohm m, not above any resistivity; None for resistivities that impurities alone make.

    Returns
    -------
    Dataset over resistivity: intrinsic, side_jump, skew_scattering and total, no unit.

    Raises
    ------
    InputError
        For resistivities that are not positive, or below the residual one, and an angle above 1.
    """
    rho = np.atleast_1d(finite_array("resistivity", resistivity, "Ohm m"))
    if not (rho.ndim == 1 and np.all(rho > 0)):
        raise InputError(f"resistivity={resistivity!r} is no list of positive numbers; give Ohm m")
    rest = rho if residual_resistivity is None else finite_number("residual_resistivity", residual_resistivity, "Ohm m")
    if np.any(rest <= 0) or np.any(rest > rho):
        raise InputError(f"residual_resistivity={residual_resistivity!r} is out of range; give 0 .. the resistivity")
    parts = {
        "intrinsic": finite_number("intrinsic_conductivity", intrinsic_conductivity, "S/m") * rho,
        "side_jump": finite_number("side_jump_conductivity", side_jump_conductivity, "S/m") * rest**2 / rho,
        "skew_scattering": finite_number("skew_scattering_angle", skew_scattering_angle, "no unit") * rest / rho,
    }
    parts["total"] = np.sum([*parts.values()], axis=0)
    beyond = parts["total"][np.abs(parts["total"]) > 1]
    if beyond.size:
        raise InputError(
            f"intrinsic_conductivity={intrinsic_conductivity!r}, side_jump_conductivity={side_jump_conductivity!r} and "
            f"skew_scattering_angle={skew_scattering_angle!r} make an angle of {beyond[0]:.4g}; give less, in S/m and 1"
        )
    return xr.Dataset(
        {
            name: ("resistivity", value, {"units": "1", "long_name": f"spin Hall angle, {name.replace('_', ' ')}"})
            for name, value in parts.items()
        },
        coords={"resistivity": ("resistivity", rho, {"units": "Ohm m", "long_name": "resistivity"})},
    )

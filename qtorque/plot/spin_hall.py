"""Figures of spin Hall bilayers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from qtorque.plot._figure import BLUE, GREEN, GREY, PURPLE, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def spin_hall_bilayer(d: xr.Dataset) -> Figure:
    """Torque efficiencies and magnetoresistance versus the thickness of the metal.

    Parameters
    ----------
    d
        Result of `qtorque.diffusion.spin_hall_versus_thickness`.
    """
    thickness = 1e9 * d["thickness"]
    figure = blank_figure(8.4, 4.2)
    left, right = figure.subplots(1, 2)
    left.plot(thickness, d["damping_like"], ".-", color=BLUE, markersize=3, label=r"damping-like $\xi_\mathrm{DL}$")
    left.plot(thickness, d["field_like"], ".--", color=VERMILION, markersize=3, label=r"field-like $\xi_\mathrm{FL}$")
    left.axhline(d.attrs["spin_hall_angle"], color=GREY, linestyle=":", label=r"$\theta_\mathrm{SH}$ of the metal")
    left.set_ylabel("torque efficiency")
    right.plot(
        thickness, 1e4 * d["magnetoresistance"], ".-", color=PURPLE, markersize=3,
        label=r"$[\rho_{xx}(m\,\|\,x)-\rho_{xx}(m\,\|\,y)]/\rho$",
    )  # fmt: skip
    right.plot(
        thickness, 1e4 * d["hall_ratio"], ".--", color=GREEN, markersize=3, label=r"$\rho_{xy}(m\,\|\,z)/\rho$"
    )
    right.set_ylabel(r"resistivity ratio ($10^{-4}$)")
    for panel in (left, right):
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
        panel.set_xlabel("thickness of the metal (nm)")
        panel.set_xlim(0, 1.02 * float(thickness.max()))
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    return figure

"""Figures of spin-torque ferromagnetic resonance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREY, VERMILION, blank_figure, si_prefix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_POINTS = 1001
"""Of a drawn fit."""
CURVES = 6
"""Fields whose curves are drawn at most."""


def spin_torque_resonance(d: xr.Dataset, linear: xr.Dataset, fits: xr.Dataset) -> Figure:
    """Rectified voltage versus frequency with its fits, and resonance and width versus field, at the first bias.

    Points are the simulation, curves the fits of a symmetric and an antisymmetric Lorentzian, dashed lines what the
    eigenvalue at rest says.

    Parameters
    ----------
    d, linear
        Results of `qtorque.llg.spin_torque_resonance` and `qtorque.llg.linear_spin_torque_resonance`.
    fits
        `qtorque.llg.fit_resonances` of the first one.
    """
    import matplotlib

    from qtorque.llg.lorentzian import LorentzianFit

    label = str(d["rectified_voltage"].dims[0])
    d, linear, fits = (each.isel({label: 0}) for each in (d, linear, fits))
    field = 1e3 * d["field"].values
    frequency = d["frequency"].values / 1e9
    fine = np.linspace(frequency[0], frequency[-1], CURVE_POINTS)
    factor, prefix = si_prefix(d["rectified_voltage"])
    figure = blank_figure(10.6, 4.8)
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))  # type: ignore[misc]
    panel = left.subplots()
    shown = np.unique(np.linspace(0, field.size - 1, min(field.size, CURVES)).astype(int))
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, shown.size))
    for i, colour in zip(shown, colours, strict=True):
        panel.plot(
            frequency, d["rectified_voltage"][i] / factor, "o", color=colour, markersize=2.5, alpha=0.7,
            label=f"{field[i]:.4g} mT",
        )  # fmt: skip
        parts = {str(name): float(fits[name][i]) for name in fits.data_vars if name != "fit"}
        panel.plot(fine, LorentzianFit(**parts)(1e9 * fine) / factor, "-", color=colour, linewidth=1)
        panel.plot(linear["frequency"] / 1e9, linear["rectified_voltage"][i] / factor, ":", color="black", linewidth=1)
    panel.plot([], [], "-", color=GREY, label="Lorentzian fits")
    panel.plot([], [], ":", color="black", label="linear response")
    panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    panel.set_xlabel("frequency (GHz)")
    panel.set_ylabel(f"rectified voltage ({prefix}V)")
    handles = panel.get_legend_handles_labels()
    left.legend(*handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    upper, middle, lower = right.subplots(3, 1, sharex=True)
    upper.errorbar(
        field, fits["resonance"] / 1e9, yerr=fits["resonance_error"] / 1e9, fmt="o", color=BLUE, markersize=4,
        label="fit",
    )  # fmt: skip
    upper.plot(field, d["resonance_frequency"] / 1e9, "--", color=VERMILION, label="eigenvalue")
    upper.set_ylabel("resonance (GHz)")
    upper.legend(frameon=False, fontsize="small")
    middle.errorbar(
        field, fits["half_width"] / 1e6, yerr=fits["half_width_error"] / 1e6, fmt="o", color=BLUE, markersize=4
    )
    middle.plot(field, d["half_width"] / 1e6, "--", color=VERMILION)
    middle.set_ylabel("half width (MHz)")
    scale, unit = si_prefix(fits[["symmetric", "antisymmetric"]].to_array())
    for name, colour, marker in (("symmetric", BLUE, "o"), ("antisymmetric", VERMILION, "s")):
        lower.plot(field, fits[name] / scale, color=colour, marker=marker, markersize=4, label=name)
    lower.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    lower.set_ylabel(f"part ({unit}V)")
    lower.set_xlabel("applied field (mT)")
    lower.legend(frameon=False, fontsize="small")
    return figure

"""Figures of drift-diffusion: the profile through a stack, resistance and torque versus angle or a parameter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREEN, GREY, VERMILION, blank_figure, si_prefix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAGNET = "0.88"
"""Shade of a magnetic layer."""
NANOMETRE = 1e-9
FEMTO = 1e-15
"""1 fOhm m^2 = 1 mV per 1e12 A/m^2."""
FLAT = 0.01
"""Relative variation below which a curve is drawn as the constant that it all but is, not on a scale of its own."""
NARROW = 0.12
"""Share of the stack below which the name of a layer is written upright."""
COMPONENTS = {
    "x": (BLUE, "x: across, towards the free magnet"),
    "y": (GREEN, "y: across both"),
    "z": (VERMILION, "z: along the fixed magnet"),
}
MAGNETS = (("", "-", "free magnet"), ("_fixed", "--", "fixed magnet"))


def diffusive_valve(d: xr.Dataset) -> Figure:
    """Potential, accumulation and spin current through a stack; its resistance and both torques versus angle.

    Parameters
    ----------
    d
        `potential` over position, `spin_accumulation` and `spin_current` over (position, component), the layers, and
        over the angle `resistance_area` and the torque efficiencies, as drivers/diffusive_valve.py saves them. Without
        an angle, of a collinear stack, the profile alone.
    """
    columns = 2 if "angle" in d else 1
    figure = blank_figure(10.4 if columns == 2 else 6.4, 7.6)
    panels = figure.subplots(3, columns, sharex="col", squeeze=False, width_ratios=(1.25, 1)[:columns])
    _draw_profile(panels[:, 0], d, COMPONENTS if columns == 2 else {"z": COMPONENTS["z"]})
    figure.legend(
        *panels[1, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False, fontsize="small"
    )
    if columns == 1:
        return figure
    angle, sine = np.degrees(d["angle"].values), np.sin(d["angle"].values)
    panels[0, 1].plot(angle, d["resistance_area"] / FEMTO, color="black", linewidth=1.4)
    panels[0, 1].set_ylabel("resistance × area\n(fΩ m²)")
    for panel, part, colour in ((panels[1, 1], "damping_like", BLUE), (panels[2, 1], "field_like", VERMILION)):
        curves = {suffix: d[f"{part}{suffix}_efficiency"].values * sine for suffix, _, _ in MAGNETS}
        factor, unit = _torque_unit(np.concatenate([*curves.values()]))
        for suffix, style, _ in MAGNETS:
            panel.plot(angle, curves[suffix] / factor, style, color=colour, linewidth=1.4)
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
        panel.set_ylabel(f"{part.replace('_', '-')} torque\nper current  ({unit})")
    for _, style, text in MAGNETS:
        panels[2, 1].plot([], [], style, color="black", linewidth=1.4, label=text)
    figure.legend(
        *panels[2, 1].get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize="small"
    )
    panels[2, 1].set_xlabel(r"angle between the magnets $\theta$ (degrees)")
    panels[2, 1].set_xticks(np.arange(0, 181, 45))
    panels[2, 1].set_xlim(angle[0], angle[-1])
    return figure


def diffusive_valve_versus(d: xr.Dataset) -> Figure:
    """Magnetoresistance and both torques at 90 degrees versus a parameter of the stack.

    Parameters
    ----------
    d
        `magnetoresistance` and, unless the stack is collinear, `damping_like_efficiency` and `field_like_efficiency`
        over `value`, as drivers/diffusive_valve.py saves them.
    """
    drawn = [
        (name, colour, marker)
        for name, colour, marker in (
            ("magnetoresistance", "black", "o"), ("damping_like_efficiency", BLUE, "o"),
            ("field_like_efficiency", VERMILION, "s"),
        )
        if name in d
    ]  # fmt: skip
    value = d["value"]
    unit = value.attrs["units"]
    scale, prefix = si_prefix(value) if unit == "m" else (1.0, "")
    figure = blank_figure(3.8 * len(drawn), 3.6)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for panel, (name, colour, marker) in zip(panels, drawn, strict=True):
        factor, torque_unit = (0.01, "") if name == "magnetoresistance" else _torque_unit(d[name].values)
        y = d[name].values / factor
        panel.plot(value / scale, y, marker + "-", color=colour, linewidth=1, markersize=4)
        if np.ptp(y) < FLAT * np.abs(y).max():
            panel.set_ylim(*sorted((1 + share) * y.mean() for share in (-5 * FLAT, 5 * FLAT)))
        if torque_unit:
            part = name.removesuffix("_efficiency").replace("_", "-")
            panel.set_ylabel(f"{part} torque\nper current at 90°  ({torque_unit})")
        else:
            panel.set_ylabel(r"$(R_\mathrm{AP} - R_\mathrm{P})/R_\mathrm{P}$  (%)")
        panel.set_xlabel(value.attrs["long_name"] + ("" if unit == "1" else f" ({prefix}{unit})"))
    return figure


def _draw_profile(panels: np.ndarray, d: xr.Dataset, components: dict[str, tuple[str, str]]) -> None:
    """Three panels over the position: potential, accumulation, spin current; layers shaded and named."""
    z = d["position"].values / NANOMETRE
    panels[0].plot(z, d["potential"] / FEMTO, color="black", linewidth=1.4)
    for panel, name, unit in ((panels[1], "spin_accumulation", FEMTO), (panels[2], "spin_current", 1.0)):
        for component, (colour, text) in components.items():
            panel.plot(z, d[name].sel(component=component) / unit, color=colour, linewidth=1.4, label=text)
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    per_current = "(mV per $10^{12}$ A/m$^2$)"
    panels[0].set_ylabel(f"potential $\\mu_0$\n{per_current}")
    panels[1].set_ylabel(f"accumulation $\\mu_s$\n{per_current}")
    panels[2].set_ylabel("spin current\n" + r"$(j_\uparrow - j_\downarrow)/j$")
    for panel in panels:
        _shade_layers(panel, d)
        panel.set_xlim(z[0], z[-1])
    _name_layers(panels[0], d)
    degrees = math.degrees(float(d.attrs["profile_angle"]))
    panels[2].set_xlabel(f"position along the current (nm), at $\\theta$ = {degrees:.4g}°")


def _torque_unit(values: np.ndarray) -> tuple[float, str]:
    """A power of 1000 that suits torques per current, and the unit with it."""
    largest = float(np.abs(values).max())
    power = 3 * math.floor(math.log10(20 * largest) / 3) if largest > 0 else 0
    return (1.0, r"$\hbar/2e$") if power >= 0 else (10.0**power, rf"$10^{{{power}}}\,\hbar/2e$")


def _shade_layers(panel: Axes, d: xr.Dataset) -> None:
    for start, end, magnetic in zip(d["layer_start"].values, d["layer_end"].values, d["magnetic"].values, strict=True):
        panel.axvline(end / NANOMETRE, color=GREY, linewidth=0.5, zorder=0)
        if magnetic:
            panel.axvspan(start / NANOMETRE, end / NANOMETRE, color=MAGNET, linewidth=0, zorder=-1)


def _name_layers(panel: Axes, d: xr.Dataset) -> None:
    """The names above the panel, upright where a layer is narrow."""
    whole = float(d["layer_end"][-1])
    for name, start, end in zip(d["layer_name"].values, d["layer_start"].values, d["layer_end"].values, strict=True):
        upright = end - start < NARROW * whole
        panel.text(
            (start + end) / 2 / NANOMETRE, 1.02, str(name), transform=panel.get_xaxis_transform(), ha="center",
            va="bottom", rotation=90 if upright else 0, fontsize="small",
        )  # fmt: skip

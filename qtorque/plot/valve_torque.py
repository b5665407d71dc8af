"""Figure of a spin valve: quantum transport beside circuit theory of its interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from qtorque.plot._figure import BLUE, GREEN, ORANGE, PURPLE, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"), (ORANGE, (0, (1, 1))))
"""Colour and dashes of the models, in the order in which they come."""
PANELS = (
    ("conductance", 1e15, r"conductance ($10^{15}\,\Omega^{-1}$m$^{-2}$)"),
    ("damping_like", 1e15, "damping-like torque per volt\n" + r"($10^{15}\,(\hbar/2e)\,\Omega^{-1}$m$^{-2}$)"),
    ("field_like", 1e15, "field-like torque per volt\n" + r"($10^{15}\,(\hbar/2e)\,\Omega^{-1}$m$^{-2}$)"),
    ("damping_like_per_current", 1.0, "damping-like torque\n" + r"per current ($\hbar/2e$)"),
)
"""Variable, unit and label of each panel."""
RANGE = "range over these thicknesses"
"""Of the spacer; its label."""
CURVE_POINTS = 181
"""Of a line between the angles of a model."""


def spin_valve_torque(d: xr.Dataset) -> Figure:
    """Conductance and torques on the free magnet versus angle: quantum transport, models and thicknesses.

    Parameters
    ----------
    d
        Result of drivers/valve_torque.py: `conductance`, `damping_like`, `field_like`, `damping_like_per_current`
        (route, angle), the first route quantum transport; `..._of_layers` (layers, angle) of all four, `..._error`
        (angle) of the first three; `Lambda` (route). Torques have sin(angle) removed, and are not a number at 0, pi.

    Returns
    -------
    Figure
        Points: mean over the thicknesses of the spacer with its error; shaded: the range over the thicknesses; lines:
        splines through the models. Torques contain sin(angle).
    """
    figure = blank_figure(8.6, 6.6)
    panels = figure.subplots(2, 2).ravel()
    routes, degrees = d["route"].values.tolist(), np.rad2deg(d["angle"].values)
    handles: dict = {}
    for letter, panel, (name, scale, label) in zip("abcd", panels, PANELS, strict=True):
        sine = np.ones(len(degrees)) if name == "conductance" else np.sin(d["angle"].values)

        def whole(values: xr.DataArray, sine=sine, scale=scale) -> np.ndarray:
            return np.nan_to_num(values.values * sine) / scale

        line = np.linspace(degrees[0], degrees[-1], CURVE_POINTS)
        of_layers = whole(d[f"{name}_of_layers"])
        handles[RANGE] = panel.fill_between(
            degrees, of_layers.min(axis=0), of_layers.max(axis=0), color="0.88", linewidth=0
        )
        for (colour, dashes), route in zip(STYLES, routes[1:], strict=False):
            curve = CubicSpline(degrees, whole(d[name].sel(route=route)))(line)
            (handles[route],) = panel.plot(line, curve, color=colour, linestyle=dashes, linewidth=1.6)
        error = whole(d[f"{name}_error"]) if f"{name}_error" in d else None
        handles[routes[0]] = panel.errorbar(
            degrees, whole(d[name].sel(route=routes[0])), yerr=error, color="black", marker="o", markersize=4.5,
            capsize=3, linestyle="none", zorder=5,
        )  # fmt: skip
        panel.set(xlabel="angle (deg)", ylabel=label, xlim=(-4, 184))
        panel.set_xticks(np.arange(0, 181, 45))
        panel.set_title(f"({letter})", loc="left", fontsize="medium")
        bottom, top = panel.get_ylim()
        if bottom < 0 < top:
            panel.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    layers = d["layers"].values
    thicknesses = f"mean over {layers[0]} to {layers[-1]} monolayers of spacer"
    texts = {RANGE: RANGE} | {
        route: rf"{route}{f', {thicknesses}' if route == routes[0] else ''}, $\Lambda$ = {x:.2f}"
        for route, x in zip(routes, d["Lambda"].values, strict=True)
    }
    shown = [routes[0], RANGE, *routes[1:]]
    figure.legend(
        [handles[x] for x in shown], [texts[x] for x in shown], loc="outside upper center", frameon=False,
        fontsize="small",
    )  # fmt: skip
    return figure

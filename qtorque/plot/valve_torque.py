"""Figure of a spin valve: quantum transport beside circuit theory of its interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

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


def spin_valve_torque(d: xr.Dataset) -> Figure:
    """Conductance and torques on the free magnet versus angle: quantum transport, models and thicknesses.

    Parameters
    ----------
    d
        Result of drivers/valve_torque.py: `conductance`, `damping_like`, `field_like`, `damping_like_per_current`
        (route, angle), the first route quantum transport; of all four `..._of_layers` (layers, angle), `..._error`
        (route, angle) and `..._curve` (model, curve_angle); `Lambda`, `Lambda_error` (route). Torques have sin(angle)
        removed, and are not a number at 0, pi.

    Returns
    -------
    Figure
        Points: mean over the thicknesses of the spacer with its error; shaded: the range over the thicknesses; lines:
        the models. Torques contain sin(angle).
    """
    figure = blank_figure(8.6, 6.6)
    panels = figure.subplots(2, 2).ravel()
    routes, degrees = d["route"].values.tolist(), np.rad2deg(d["angle"].values)
    handles: dict = {}
    for letter, panel, (name, scale, label) in zip("abcd", panels, PANELS, strict=True):

        def whole(values: xr.DataArray, angle: str, name=name, scale=scale) -> np.ndarray:
            sine = 1.0 if name == "conductance" else np.sin(d[angle].values)
            return np.nan_to_num(values.values * sine) / scale

        of_layers = whole(d[f"{name}_of_layers"], "angle")
        handles[RANGE] = panel.fill_between(
            degrees, of_layers.min(axis=0), of_layers.max(axis=0), color="0.88", linewidth=0
        )
        for (colour, dashes), model in zip(STYLES, routes[1:], strict=False):
            curve = whole(d[f"{name}_curve"].sel(model=model), "curve_angle")
            (handles[model],) = panel.plot(
                np.rad2deg(d["curve_angle"].values), curve, color=colour, linestyle=dashes, linewidth=1.6
            )
        handles[routes[0]] = panel.errorbar(
            degrees, whole(d[name].sel(route=routes[0]), "angle"),
            yerr=np.abs(whole(d[f"{name}_error"].sel(route=routes[0]), "angle")), color="black", marker="o",
            markersize=4.5, capsize=3, linestyle="none", zorder=5,
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
        route: rf"{route}{f', {thicknesses}' if route == routes[0] else ''}, $\Lambda$ = {x:.2f} $\pm$ {error:.2f}"
        for route, x, error in zip(routes, d["Lambda"].values, d["Lambda_error"].values, strict=True)
    }
    shown = [routes[0], RANGE, *routes[1:]]
    figure.legend(
        [handles[x] for x in shown], [texts[x] for x in shown], loc="outside upper center", frameon=False,
        fontsize="small",
    )  # fmt: skip
    return figure

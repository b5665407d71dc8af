"""Figures of bridges to other codes: how near a closed form comes to a torque map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qtorque.plot._figure import BLUE, GREEN, GREY, VERMILION, blank_figure, legend_above_data, si_prefix
from qtorque.torquemap import TorqueMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qtorque.export import SlonczewskiFit

FITTED_CURVES = ((VERMILION, "s"), (GREEN, "^"), (BLUE, "o"))
"""Colour and symbol of each voltage that is drawn; open, since torques even in the voltage lie on one another."""
FIT_POINTS = 181
"""Points of a fitted curve."""


def slonczewski_fit(tmap: TorqueMap, fit: SlonczewskiFit) -> Figure:
    """The closed form nearest to a torque map: both torques versus angle, and its parameters and misfit versus voltage.

    Symbols are the map, lines the form fitted at that voltage. Of many voltages three are drawn, with both ends. P and
    epsilon' are those of a current of electrons from left to right (see `qtorque.export.SlonczewskiParameters`).

    Parameters
    ----------
    tmap
        What was fitted.
    fit
        Result of `qtorque.export.fit_slonczewski`.
    """
    drawn = np.unique(np.linspace(0, fit.voltage.size - 1, min(fit.voltage.size, len(FITTED_CURVES))).astype(int))
    voltages = fit.voltage[drawn]
    angles = np.linspace(tmap.angle[0], tmap.angle[-1], FIT_POINTS)
    found = tmap.per_area(tmap.angle[:, np.newaxis], voltages)
    fitted = [fit.at_voltage(v).per_area(angles) for v in voltages]
    figure = blank_figure(9.4, 6.4)
    panels = figure.subplots(2, 2)
    for part, title in enumerate(("damping-like", "field-like")):
        panel = panels[0, part]
        factor, letter = si_prefix(found[part])
        for i, (voltage, (colour, marker)) in enumerate(zip(voltages, FITTED_CURVES, strict=False)):
            panel.plot(np.degrees(angles), fitted[i][part] / factor, color=colour, linewidth=1)
            points = found[part][:, i] / factor
            panel.plot(
                np.degrees(tmap.angle), points, marker, color=colour, markersize=5 + i, markerfacecolor="none",
                label=f"{voltage:.3g} V",
            )  # fmt: skip
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
        panel.set_xlabel("angle (degrees)")
        panel.set_xticks(np.arange(0, 181, 45))
        panel.set_ylabel(rf"$\tau\,/\sin\theta$  ({letter}J/m$^2$)")
        panel.set_title(f"{title} torque (lines: fit)")
    legend_above_data(panels[0, 0])
    for name, label, colour, marker in (
        ("polarization", "$P$", BLUE, "o"),
        ("Lambda", r"$\Lambda$", GREEN, "^"),
        ("epsilon_prime", r"$\epsilon'$", VERMILION, "s"),
    ):
        values = [getattr(form, name) for form in fit.forms]
        panels[1, 0].plot(fit.voltage, values, marker + "-", color=colour, linewidth=0.8, markersize=4, label=label)
    panels[1, 0].axhline(0, color=GREY, linewidth=0.6, zorder=0)
    panels[1, 0].set_title("parameters of the form ($J > 0$: left to right)")
    legend_above_data(panels[1, 0])
    for name, label, colour, marker in (
        ("damping_like_residual", "damping-like", BLUE, "o"),
        ("field_like_residual", "field-like", VERMILION, "s"),
    ):
        # An exact fit has no place on a logarithmic axis.
        percent = np.array([100 * getattr(form, name) or np.nan for form in fit.forms])
        panels[1, 1].plot(fit.voltage, percent, marker + "-", color=colour, linewidth=0.8, markersize=4, label=label)
    panels[1, 1].set_yscale("log")
    panels[1, 1].set_ylabel("largest misfit (% of the largest torque)")
    panels[1, 1].set_title("misfit")
    panels[1, 1].legend(frameon=False, fontsize="small")
    for panel in panels[1]:
        panel.set_xlabel("bias voltage (V)")
        panel.locator_params(axis="x", nbins=5)
    return figure

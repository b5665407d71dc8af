"""Figures of a validation: models beside quantum transport, the resistance of the spacer, a specular spacer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREEN, ORANGE, PURPLE, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qtorque.validation import Comparison

STYLES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, ":"), (PURPLE, "-."), (ORANGE, (0, (1, 1))))
"""Colour and dashes of the models, in the order in which they come."""
PANEL = (4.2, 3.2)
"""Inches."""
COLUMNS = 3
UNIT_TEXTS = {
    "Ohm^-1 m^-2": r"$\Omega^{-1}$m$^{-2}$",
    "(hbar/2e) Ohm^-1 m^-2": r"$(\hbar/2e)\,\Omega^{-1}$m$^{-2}$",
    "hbar/2e": r"$\hbar/2e$",
    "1": "",
}


def model_comparison(comparisons: Sequence[Comparison]) -> Figure:
    """A panel for every quantity: quantum transport as points with two standard errors, models as lines.

    The shaded band is the tolerance to either side of quantum transport.
    """
    quantities = list(dict.fromkeys(c.quantity for c in comparisons))
    models = list(dict.fromkeys(c.model for c in comparisons))
    # Quantities without a coordinate are narrow panels in one row.
    single = not any(c.coordinate for c in comparisons)
    columns = len(quantities) if single else min(COLUMNS, len(quantities))
    rows = -(-len(quantities) // columns)
    figure = blank_figure(PANEL[0] * (0.6 if single else 1.0) * columns, PANEL[1] * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    drawn = {}
    for panel, quantity in zip(panels, quantities, strict=False):
        here = [c for c in comparisons if c.quantity == quantity]
        scale, power = _scale(np.concatenate([np.abs(x) for c in here for x in (c.quantum, c.found)]))
        first = max(here, key=lambda c: c.at.size)
        q = first.quantum / scale
        assert first.scale is not None, "a comparison has a scale"
        width = first.tolerance * np.abs(first.scale) / scale
        # One point gets a band as wide as its panel.
        x = np.array([-1.0, 1.0]) if single else first.at
        low, high = (np.broadcast_to(y, x.shape) for y in (q - width, q + width))
        drawn["tolerance"] = panel.fill_between(x, low, high, color="0.85", linewidth=0)
        for c in here:
            colour, dashes = STYLES[models.index(c.model) % len(STYLES)]
            style = {"color": colour, "linestyle": dashes, "linewidth": 1.6}
            if c.at.size == 1:
                style |= {"marker": "_", "markersize": 16, "linestyle": "none", "markeredgewidth": 2}
            (drawn[c.model],) = panel.plot(c.at, c.found / scale, **style)
        error = 2 * first.quantum_error / scale
        style = {"color": "black", "marker": "o", "markersize": 4, "capsize": 3, "linestyle": "none", "zorder": 5}
        drawn["quantum transport"] = panel.errorbar(first.at, q, yerr=error, **style)
        unit = UNIT_TEXTS.get(first.unit, first.unit)
        power_text = rf"$10^{{{power}}}$ " if power else ""
        text = f"{power_text}{unit}".strip()
        panel.set_ylabel(f"{quantity}\n({text})" if text else quantity, fontsize="small")
        panel.set_xlabel(f"{first.coordinate} ({first.coordinate_unit})" if first.coordinate else "")
        if not first.coordinate:
            panel.set_xticks([])
        elif first.coordinate_unit == "deg":
            panel.set_xticks(np.arange(0, 181, 45))
        if panel.get_ylim()[0] < 0 < panel.get_ylim()[1]:
            panel.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    for panel in panels[len(quantities) :]:
        panel.set_visible(False)
    labels = ["quantum transport", "tolerance", *models]
    names = {
        "quantum transport": "quantum transport, 2 standard errors",
        "tolerance": f"tolerance, {first.tolerance:.0%} to either side",
    }
    figure.legend(
        [drawn[x] for x in labels], [names.get(x, x) for x in labels],
        loc="outside upper center", ncols=2, frameon=False, fontsize="small",
    )  # fmt: skip
    return figure


def spacer_resistance(d: xr.Dataset) -> Figure:
    """Resistance of the spacer alone versus its thickness, and the one resistivity of drift-diffusion."""
    figure = blank_figure(5.0, 3.4)
    panel = figure.subplots()
    thickness, unit = d["thickness"].values * 1e9, 1e-15
    panel.errorbar(
        thickness, d["resistance"] / unit, yerr=2 * d["resistance_error"] / unit, color="black", marker="o",
        markersize=4, capsize=3, linestyle="none", label="quantum transport, 2 standard errors",
    )  # fmt: skip
    line = np.linspace(0, thickness.max() * 1.05, 2)
    rho = float(d["resistivity"])
    panel.plot(line, rho * line * 1e-9 / unit, color=BLUE, label=rf"$\rho^* t$, $\rho^*$ = {rho * 1e8:.3g} µΩ cm")
    panel.set(xlabel="thickness of the spacer (nm)", ylabel=r"resistance without contacts (f$\Omega\,$m$^2$)")
    panel.set_xlim(0)
    panel.set_ylim(0)
    panel.legend(frameon=False, fontsize="small")
    return figure


def specular_spacer(d: xr.Dataset) -> Figure:
    """Antiparallel transmission through a clean spacer at every momentum: mean over thickness against intensities."""
    figure = blank_figure(8.6, 3.6)
    scatter, bars = figure.subplots(1, 2)
    top = 1.05 * float(max(d["quantum"].max(), d["incoherent"].max()))
    scatter.plot([0, top], [0, top], color="0.7", linewidth=1, zorder=0)
    scatter.scatter(d["incoherent"], d["quantum"], s=9, color=BLUE, linewidths=0)
    scatter.set(
        xlabel=r"$1/(1/T_\uparrow + 1/T_\downarrow - 1)$", ylabel="quantum, mean over thickness",
        title="transmission per spin at every momentum", xlim=(0, top), ylim=(0, top),
    )  # fmt: skip
    sums = [float(d[name] @ d["weight"]) for name in ("quantum", "incoherent")] + [d.attrs["circuit"]]
    names = ["quantum", "every momentum\nfor itself", "all momenta\nmixed"]
    drawn = bars.bar(names, sums, color=["0.3", BLUE, VERMILION], width=0.6)
    bars.bar_label(drawn, [f"{x:.4f}" for x in sums], fontsize="small")
    bars.set(ylabel="antiparallel transmission per spin and cell", title="sum over momenta")
    bars.margins(y=0.12)
    for panel in (scatter, bars):
        panel.title.set_fontsize("medium")
    return figure


def _scale(values: np.ndarray) -> tuple[float, int]:
    """A power of ten that brings the largest value to 0.1 ... 100, and its exponent; 1 for what is near one."""
    largest = float(values.max())
    if not 0 < largest < np.inf or 1e-3 <= largest < 1e3:
        return 1.0, 0
    power = 3 * int(np.floor(np.log10(largest) / 3))
    return 10.0**power, power

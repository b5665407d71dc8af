"""Figures of phase diagrams and hysteresis loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, blank_figure, si_prefix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATE_COLOURS = {1: "#9ecae1", 2: "#fdbb84", 4: "#f5e663", 8: GREEN, 16: PURPLE, 32: "0.3", 3: "0.88"}
"""Of one state, by its bit, and of the bistable region of both rest states; other pairs are half-way between."""
LOOP_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, "black", GREY)
STABILITY_LINES: dict[str, tuple[str, Literal["solid", "dashed"]]] = {
    "parallel": ("#08306b", "solid"),
    "antiparallel": ("#7f2704", "dashed"),
}


def phase_diagram(d: xr.Dataset) -> Figure:
    """States of a free layer over field and bias, with the lines on which p and -p lose their linear stability.

    "Or" names two states, one reached from parallel and one from antiparallel.

    Parameters
    ----------
    d
        Result of `qtorque.llg.phase_diagram`, at least two drives by two fields.
    """
    from matplotlib.colors import ListedColormap, to_rgb
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    state = d["state"]
    label = str(state.dims[0])
    (drive_unit, drive_label), (field_unit, field_label) = _axis(d[label]), _axis(d["field"])
    field, drive = d["field"].values / field_unit, d[label].values / drive_unit
    masks, words = state.attrs["flag_masks"], state.attrs["flag_meanings"].split()
    present = np.unique(state)
    colours = {int(code): to_rgb(STATE_COLOURS[code]) for code in present if code in STATE_COLOURS}
    names = {int(code): [word for mask, word in zip(masks, words, strict=True) if code & mask] for code in present}
    for code in names.keys() - colours.keys():
        mixed = np.mean([to_rgb(STATE_COLOURS[mask]) for mask in masks.tolist() if code & mask], axis=0)
        colours[code] = tuple(mixed.tolist())
    figure = blank_figure(5.6, 5.4)
    panel = figure.subplots()
    index = np.searchsorted(present, state.values)
    panel.pcolormesh(
        field, drive, index, cmap=ListedColormap([colours[int(code)] for code in present]), vmin=-0.5,
        vmax=present.size - 0.5, shading="nearest", rasterized=True,
    )  # fmt: skip
    lines = [_stability_line(panel, field, drive, d["growth_rate"].sel(start=start)) for start in STABILITY_LINES]
    panel.set_xlabel(field_label)
    panel.set_ylabel(drive_label)
    panel.set_title(f"0 K, {1e9 * d.attrs['duration']:g} ns from parallel and from antiparallel", fontsize="medium")
    patches = [
        Patch(facecolor=colours[code], label=" or ".join(map(_readable, own)))
        for code, own in names.items()
    ]
    drawn = [
        Line2D([], [], color=colour, linestyle=style, label=f"{start} loses stability")
        for (start, (colour, style)), found in zip(STABILITY_LINES.items(), lines, strict=True)
        if found
    ]
    figure.legend(handles=[*patches, *drawn], loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def hysteresis(*loops: xr.Dataset) -> Figure:
    """m.p against what is swept, up and down; a panel for each result of `field_hysteresis` or `voltage_hysteresis`."""
    figure = blank_figure(4.4 * len(loops), 4.4)
    for panel, loop in zip(np.atleast_1d(figure.subplots(1, len(loops))), loops, strict=True):
        _loop_panel(panel, loop)
    return figure


def axis_unit(coordinate: xr.DataArray) -> tuple[float, str]:
    """What to divide a field, voltage or current density by, and the unit that is left."""
    if coordinate.attrs["units"] == "T":
        return 1e-3, "mT"
    if coordinate.attrs["units"] == "V":
        scale, prefix = si_prefix(coordinate.values)
        return scale, f"{prefix}V"
    largest = float(np.abs(coordinate).max())
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    return 10.0**power, f"10$^{{{power}}}$ A m$^{{-2}}$"


def _axis(coordinate: xr.DataArray) -> tuple[float, str]:
    """What to divide a field, voltage or current density by, and the label of its axis."""
    factor, unit = axis_unit(coordinate)
    words = "applied field µ$_0$H" if unit == "mT" else coordinate.attrs["long_name"]
    return factor, f"{words} ({unit})"


def _stability_line(panel: Axes, field: np.ndarray, drive: np.ndarray, rates: xr.DataArray) -> bool:
    """Draws where the growth rate is 0, and tells whether there is such a line."""
    size = float(np.nanmax(np.abs(rates), initial=0.0))
    # Where there is no rest state at all it is lost, too.
    lost = np.where(np.isnan(rates), size, rates)
    if not lost.min() < 0 < lost.max():
        return False
    colour, style = STABILITY_LINES[str(rates["start"].values)]
    panel.contour(field, drive, lost / size, levels=[0.0], colors=colour, linestyles=style, linewidths=1.6)
    return True


def _loop_panel(panel: Axes, loop: xr.Dataset) -> None:
    outer, _, name = map(str, loop["m_parallel"].dims)
    (factor, title), (unit, label) = _axis(loop[outer]), _axis(loop[name])
    for i, value in enumerate(loop[outer].values):
        held = f"{value / factor:g}".replace("-", "−")
        for sweep, style in (("up", "-"), ("down", "--")):
            panel.plot(
                loop[name] / unit, loop["m_parallel"].isel({outer: i}).sel(sweep=sweep), linestyle=style,
                marker="o", markersize=2.5, color=LOOP_COLOURS[i % len(LOOP_COLOURS)], label=f"{held}, {sweep}",
            )  # fmt: skip
    panel.set_xlabel(label)
    panel.set_ylabel("m·p")
    panel.set_ylim(-1.1, 1.1)
    temperature = float(loop.attrs["temperature"])
    panel.set_title(f"{temperature:g} K, {1e9 * loop.attrs['dwell']:g} ns a step", fontsize="medium")
    panel.legend(
        title=title, title_fontsize="small", frameon=False, fontsize="small", loc="upper center",
        bbox_to_anchor=(0.5, -0.18), ncols=max(2, loop.sizes[outer]),
    )  # fmt: skip


def _readable(name: str) -> str:
    """A state of the attribute flag_meanings in words."""
    return name.replace("out_of_plane", "out-of-plane").replace("in_plane", "in-plane").replace("_", " ")

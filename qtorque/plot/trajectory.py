"""Figures of single trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREY, ORANGE, VERMILION, blank_figure, si_prefix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MERIDIANS, PARALLELS = 24, 12
"""Lines of the sphere."""
TIME_COLOURS = "plasma"


def trajectory_on_sphere(d: xr.Dataset) -> Figure:
    """A trajectory on the unit sphere, coloured by time, and beside it its components, drive, current and resistance.

    Parameters
    ----------
    d
        Result of `qtorque.llg.run` of one magnet. Where they are there, its variables drive, current and resistance
        over time are drawn too, as drivers/trajectory.py adds them.
    """
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    m = d["m"].values
    time = 1e9 * d["time"].values
    extra = [name for name in ("drive", "current", "resistance") if name in d]
    figure = blank_figure(10.4, 4.6 + 0.5 * len(extra))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))  # type: ignore[misc]
    # Drawn in the order of the statements: the sphere behind the trajectory, the marks in front.
    sphere = left.add_subplot(projection="3d", computed_zorder=False)
    polar, azimuth = np.linspace(0, np.pi, PARALLELS + 1), np.linspace(0, 2 * np.pi, MERIDIANS + 1)
    x, y = np.outer(np.sin(polar), np.cos(azimuth)), np.outer(np.sin(polar), np.sin(azimuth))
    z = np.outer(np.cos(polar), np.ones_like(azimuth))
    sphere.plot_wireframe(x, y, z, color="0.88", linewidth=0.5, zorder=0)
    for direction, name in zip(np.eye(3), ("$x$", "$y$", "$z$"), strict=True):
        sphere.plot(*np.outer(direction, [1, 1.25]), color=GREY, linewidth=1, zorder=1)
        sphere.text(*(1.38 * direction), name, ha="center", va="center")
    parts = Line3DCollection(np.stack([m[:-1], m[1:]], axis=1), cmap=TIME_COLOURS, linewidths=0.8, zorder=2)
    parts.set_array(time[:-1])
    sphere.add_collection3d(parts, autolim=False)
    fixed = d.attrs.get("free_fixed")
    if fixed is not None:
        sphere.quiver(
            0, 0, 0, *fixed, color="black", linewidth=1.6, arrow_length_ratio=0.12, zorder=3, label="fixed moment"
        )
    for where, colour, words in ((m[0], VERMILION, "start"), (m[-1], BLUE, "end")):
        sphere.scatter(*where, color=colour, edgecolor="white", s=36, label=words, depthshade=False, zorder=4)
    sphere.set_box_aspect((1, 1, 1), zoom=1.25)
    for axis in "xyz":
        getattr(sphere, f"set_{axis}lim")(-1, 1)
    sphere.set_axis_off()
    left.colorbar(parts, ax=sphere, label="time (ns)", orientation="horizontal", shrink=0.7)
    sphere.legend(frameon=False, fontsize="small", loc="upper left")
    panels = np.atleast_1d(
        right.subplots(1 + len(extra), 1, sharex=True, height_ratios=(2.2, *(1 for _ in extra)))  # fmt: skip
    )
    for i, (name, colour) in enumerate(zip("xyz", (BLUE, ORANGE, VERMILION), strict=True)):
        panels[0].plot(time, m[:, i], color=colour, linewidth=0.9, label=f"$m_{name}$")
    panels[0].set_ylabel("moment")
    panels[0].set_ylim(-1.08, 1.42)
    panels[0].legend(ncols=3, frameon=False, loc="upper center")
    for panel, name in zip(panels[1:], extra, strict=True):
        values = d[name]
        unit = values.attrs["units"]
        factor, prefix = (1e3, "k") if unit == "Ohm" and float(values.max()) > 1e3 else si_prefix(values)
        panel.plot(time, values / factor, color="black" if name == "drive" else GREY, linewidth=0.9)
        low, high = min(float(values.min()), 0.0) / factor, max(float(values.max()), 0.0) / factor
        if name != "resistance" and high > low:
            panel.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
        panel.set_ylabel(f"{values.attrs['long_name']}\n({prefix}{unit.replace('Ohm', 'Ω').replace('m^-2', '/m²')})")
    panels[-1].set_xlabel("time (ns)")
    right.align_ylabels(panels)
    return figure

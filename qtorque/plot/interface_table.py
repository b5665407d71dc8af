"""Figures of the table of interfaces between real metals: conductances, films, the in-plane zone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.errors import InputError
from qtorque.plot._figure import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNIT = 1e15
"""Ohm^-1 m^-2, of all axes."""
UNIT_TEXT = r"($10^{15}\,\Omega^{-1}\,\mathrm{m}^{-2}$)"
MIXING = r"$g_{\uparrow\!\downarrow}$"
PALE = "#F2CF80"
"""Orange of published ranges, behind the points."""
CLOSED = "0.85"
"""Grey of momenta at which the normal metal has no open channel."""
ZONES_ACROSS = 3
"""Zones side by side; further ones stand below."""
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P")
ZONE_POINTS = 241
"""Points a side of a drawn zone."""
ON_THE_EDGE = 1e-9
"""Relative; a momentum as near to another zone's centre as to its own is drawn."""


def interface_conductances(d: xr.Dataset) -> Figure:
    """G_up, G_dn and both parts of g_mix of every interface, with error bars, and published ranges beside them.

    Parameters
    ----------
    d
        `conductance` (interface, spin), `g_mix` (interface), their `..._k_error` and the `published_...` ranges, as
        drivers/interface_table.py writes them; `neutral_g_mix` and `rough_g_mix` with their conductances if there.
    """
    labels = [str(label) for label in d["interface"].values]
    place = np.arange(len(labels))[::-1]
    figure = blank_figure(10.4, 1.5 + 0.42 * len(labels))
    panels = figure.subplots(1, 4, sharey=True)
    size = d["published_g_mix_imag_size"]
    columns = (
        (r"$G_\uparrow$", lambda g, mix: g.sel(spin="up"), d["published_conductance"].sel(spin="up")),
        (r"$G_\downarrow$", lambda g, mix: g.sel(spin="down"), d["published_conductance"].sel(spin="down")),
        (rf"Re {MIXING}", lambda g, mix: mix.real, d["published_g_mix_real"]),
        (rf"size of Im {MIXING}", lambda g, mix: np.abs(mix.imag), size),
    )
    kinds = [("", "computed, clean", BLUE, "o", 0.0)]
    kinds += [("neutral_", "neutral layers", GREEN, "^", 0.18)] if "neutral_g_mix" in d else []
    kinds += [("rough_", "rough", VERMILION, "s", -0.18)] if "rough_g_mix" in d else []
    for panel, (title, part, published) in zip(panels, columns, strict=True):
        low, high = published.transpose("bound", "interface").values / UNIT
        panel.barh(place, high - low, 0.5, low, color=PALE, edgecolor=PALE, linewidth=2.5, zorder=1)
        for prefix, _, colour, marker, offset in kinds:
            values = part(d[f"{prefix}conductance"], d[f"{prefix}g_mix"]).values / UNIT
            errors = {"": "k_error", "rough_": "error"}.get(prefix)
            bars = None
            if errors is not None:
                bars = part(d[f"{prefix}conductance_{errors}"], d[f"{prefix}g_mix_{errors}"]).values / UNIT
            style = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 4.5, "capsize": 2.5}
            panel.errorbar(values, place + offset, xerr=bars, **style)
        panel.set_title(title)
        panel.grid(axis="y", color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        # Bars would keep the margin from them.
        panel.use_sticky_edges = False
        panel.margins(x=0.12)
        panel.set_xlim(0, panel.get_xlim()[1])
        panel.set_xlabel(UNIT_TEXT)
    panels[0].set_yticks(place, labels)
    panels[0].set_ylim(-0.6, len(labels) - 0.4)
    for _, label, colour, marker, _ in kinds:
        panels[0].plot([], [], color=colour, marker=marker, linestyle="none", label=label)
    panels[0].plot([], [], color=PALE, linewidth=7, label="published")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def film_mixing(d: xr.Dataset) -> Figure:
    """Reflected and transmitted mixing conductance of magnetic films versus their thickness.

    Error bars are those of the sum over k; open symbols of the transmitted one are below it.

    Parameters
    ----------
    d
        `film_g_mix` and `film_t_mix` (interface, layers) with their `..._k_error`, and `g_mix` (interface) of the
        semi-infinite magnet, as drivers/interface_table.py writes them.
    """
    from matplotlib.ticker import MaxNLocator

    figure = blank_figure(9.4, 4.2)
    left, right = figure.subplots(1, 2)
    layers = d["layers"].values
    for number, label in enumerate(d["interface"].values):
        at = d.sel(interface=label)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        style = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 0.8}
        bars = {"capsize": 2, "elinewidth": 0.8}
        reflected, reflected_error = at["film_g_mix"].values.real / UNIT, at["film_g_mix_k_error"].values.real / UNIT
        left.errorbar(layers, reflected, yerr=reflected_error, label=str(label), **style, **bars)
        left.axhline(float(at["g_mix"].real) / UNIT, color=colour, linestyle="--", linewidth=0.7)
        size = np.abs(at["film_t_mix"].values) / UNIT
        # Both parts have the error of the modulus.
        error = at["film_t_mix_k_error"].values.real / UNIT
        right.errorbar(layers, size, yerr=error, color=colour, linewidth=0.8, **bars)
        for chosen, face in ((size > error, colour), (size <= error, "white")):
            right.plot(layers[chosen], size[chosen], marker, color=colour, markersize=4, markerfacecolor=face)
    left.plot([], [], color=GREY, linestyle="--", linewidth=0.7, label="semi-infinite magnet")
    left.set_ylabel(rf"Re {MIXING}  {UNIT_TEXT}")
    left.set_title("reflected")
    right.set_yscale("log", nonpositive="clip")
    # Every point is on the axis; bars that reach zero leave it.
    smallest = float(np.abs(d["film_t_mix"].values).min()) / UNIT
    right.set_ylim(bottom=max(smallest, np.finfo(float).tiny) / 2)
    right.set_ylabel(rf"$|t_{{\uparrow\!\downarrow}}|$  {UNIT_TEXT}")
    right.set_title("transmitted (open: below the error of the sum over k)", fontsize="medium")
    for panel in (left, right):
        panel.set_xlabel("thickness of the magnet (monolayers)")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def mixing_in_zone(d: xr.Dataset) -> Figure:
    """Both parts of g_mix over the first in-plane Brillouin zone of every interface, in Cartesian momenta.

    Momenta without an open channel of the normal metal are grey.

    Parameters
    ----------
    d
        `zone_g_mix` (interface, first, second), `zone_phase` (interface, first) and `plane` (interface, vector, xy), as
        drivers/interface_table.py writes them.
    """
    from matplotlib.colors import Normalize

    labels = [str(label) for label in d["interface"].values]
    across = min(len(labels), ZONES_ACROSS)
    down = math.ceil(len(labels) / across)
    figure = blank_figure(3.5 * across, 5.6 * down)
    panels = figure.subplots(2 * down, across, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for number, label in enumerate(labels):
        at = d.sel(interface=label)
        values = at["zone_g_mix"].values
        x, y, real, corners = zone_image(values.real, at["zone_phase"].values, at["plane"].values)
        imaginary = zone_image(values.imag, at["zone_phase"].values, at["plane"].values)[2]
        closed = np.isnan(
            zone_image(np.where(values == 0, np.nan, 1.0), at["zone_phase"].values, at["plane"].values)[2]
        )
        largest = max(float(np.abs(values.imag).max()), np.finfo(float).tiny)
        row, column = 2 * (number // across), number % across
        for panel, part, norm, cmap, name in (
            (panels[row, column], real, Normalize(0, max(float(values.real.max()), 1.0)), "viridis", "Re"),
            (panels[row + 1, column], imaginary, Normalize(-largest, largest), "PuOr", "Im"),
        ):
            panel.set_axis_on()
            panel.fill(*corners.T, facecolor=CLOSED, edgecolor="0.2", linewidth=0.8, zorder=0)
            shown = np.where(closed, np.nan, part)
            image = panel.pcolormesh(x, y, shown, cmap=cmap, norm=norm, rasterized=True, shading="nearest")
            panel.fill(*corners.T, fill=False, edgecolor="0.2", linewidth=0.8)
            panel.set_aspect("equal")
            panel.set_xlabel(r"$k_x$ (1/nm)")
            panel.set_ylabel(r"$k_y$ (1/nm)")
            figure.colorbar(image, ax=panel, shrink=0.9, label=rf"{name} {MIXING}  ($e^2/h$ per cell)")
        panels[row, column].set_title(label)
    return figure


def zone_image(
    values: np.ndarray, phases: np.ndarray, plane: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A quantity on a mesh of phases as an image of the first zone.

    Parameters
    ----------
    values
        shape (n, n), over k.a1 and k.a2.
    phases
        k.a1 (and k.a2) of the mesh, rad: equally spaced. shape (n,)
    plane
        a1, a2 as rows, nm. shape (2, 2)

    Returns
    -------
    x, y, image, corners
        Cartesian momenta in 1/nm, shape (m,) each; the value of the nearest point of the mesh, not a number outside the
        zone, shape (m of y, m of x); the corners of the zone in order, shape (corners, 2).

    Raises
    ------
    InputError
        For values that do not fit the phases.
    """
    n = len(phases)
    if values.shape != (n, n):
        raise InputError(f"values of shape {values.shape} do not fit {n} phases; give those of one mesh")
    reciprocal = 2 * np.pi * np.linalg.inv(plane).T
    steps = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)]
    centres = np.array(steps) @ reciprocal
    corners = _zone_corners(centres)
    reach = np.abs(corners).max(axis=0) * 1.02
    x, y = (np.linspace(-r, r, ZONE_POINTS) for r in reach)
    k = np.stack(np.meshgrid(x, y), axis=-1)
    inside = (k @ centres.T <= 0.5 * (centres**2).sum(axis=1) * (1 + ON_THE_EDGE)).all(axis=-1)
    place = np.rint((k @ plane.T - phases[0]) / (2 * np.pi / n)).astype(int) % n
    image = values[place[..., 0], place[..., 1]]
    return x, y, np.where(inside, image, np.nan), corners


def _zone_corners(centres: np.ndarray) -> np.ndarray:
    """Where two lines half way to other centres meet and none is crossed, by angle."""
    half = 0.5 * (centres**2).sum(axis=1)
    found = []
    for i in range(len(centres)):
        for j in range(i):
            pair = centres[[i, j]]
            if abs(np.linalg.det(pair)) < ON_THE_EDGE * np.abs(half).max():
                continue
            corner = np.linalg.solve(pair, half[[i, j]])
            if np.all(centres @ corner <= half * (1 + ON_THE_EDGE)):
                found.append(corner)
    corners = np.array(found)
    return corners[np.argsort(np.arctan2(corners[:, 1], corners[:, 0]))]

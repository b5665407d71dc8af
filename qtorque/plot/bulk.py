"""Figures of bulk materials: bands, densities of states, cross-sections of Fermi surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREY, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"up": BLUE, "down": VERMILION}
WIDTHS = {"up": 1.9, "down": 0.9}
"""Down is drawn over up, so that both are seen where they coincide."""
GAMMA = {"G": r"$\Gamma$"}
"""How a label of the zone is set, where that is not as it is typed."""
NO_SPIN = 1e-6
"""Mean of m.sigma below which a state has no spin: rounding of a mean over degenerate states."""
SAME_BANDS = 1e-9
"""eV; spins whose bands differ by less are drawn as one."""


def band_structure(d: xr.Dataset, window: tuple[float, float] = (-10.0, 5.0)) -> Figure:
    """Bands along a path, coloured by spin where they have one, E = 0 as a line and the symmetry points marked.

    Parameters
    ----------
    d
        Result of `qtorque.bands`. With spin-orbit coupling the colour is the mean of m.sigma.
    window
        Energies drawn, eV.
    """
    figure = blank_figure(5.4, 4.2)
    panel = figure.subplots()
    k = d["distance"].values
    coupled = "spin" in d.data_vars
    if coupled and np.abs(d["spin"]).max() < NO_SPIN:
        panel.plot(k, d["energy"], color="black", linewidth=WIDTHS["down"])
    elif coupled:
        from matplotlib.collections import LineCollection

        curves = np.stack(np.broadcast_arrays(k[:, None], d["energy"].values), axis=-1).swapaxes(0, 1)
        pieces = np.stack([curves[:, :-1], curves[:, 1:]], axis=2).reshape(-1, 2, 2)
        middle = 0.5 * (d["spin"].values[:-1] + d["spin"].values[1:]).T.ravel()
        coloured = LineCollection(list(pieces), array=middle, cmap="coolwarm_r", clim=(-1, 1), linewidths=1.3)
        panel.add_collection(coloured)
        figure.colorbar(coloured, ax=panel, label=r"mean of $\mathbf{m}\cdot\mathbf{\sigma}$", shrink=0.9)
    else:
        for spin in _distinct_spins(d["energy"]):
            drawn = panel.plot(k, d["energy"].sel(spin=spin), color=COLOURS[spin], linewidth=WIDTHS[spin])
            drawn[0].set_label(spin)
        if len(_distinct_spins(d["energy"])) > 1:
            figure.legend(loc="outside lower center", ncols=2, frameon=False)
    corners = d["corner_distance"].values
    for place in corners[1:-1]:
        panel.axvline(place, color=GREY, linewidth=0.6, zorder=0)
    panel.axhline(0, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    panel.set_xticks(corners, [GAMMA.get(label, label) for label in d["corner_label"].values])
    panel.set_xlim(k[0], k[-1])
    panel.set_ylim(*window)
    panel.set_ylabel(r"energy $E - E_\mathrm{F}$ (eV)")
    panel.set_title(str(d.attrs["material"]))
    return figure


def density_of_states(d: xr.Dataset) -> Figure:
    """Density of states per spin, the minority mirrored below the axis, E = 0 as a line.

    Parameters
    ----------
    d
        Result of `qtorque.bulk_density_of_states`.
    """
    figure = blank_figure(5.4, 3.8)
    panel = figure.subplots()
    energy = d["energy"].values
    largest = float(d["density_of_states"].max())
    for spin, sign in (("up", 1), ("down", -1)):
        states = sign * d["density_of_states"].sel(spin=spin).values
        panel.fill_between(energy, 0, states, color=COLOURS[spin], alpha=0.25, linewidth=0)
        panel.plot(energy, states, color=COLOURS[spin], linewidth=1.1)
        panel.text(
            0.03, 0.5 + 0.45 * sign, spin, color=COLOURS[spin], transform=panel.transAxes,
            va="top" if sign > 0 else "bottom",
        )  # fmt: skip
    panel.axhline(0, color="black", linewidth=0.6)
    panel.axvline(0, color=GREY, linestyle="--", linewidth=0.8)
    panel.set_xlim(energy[0], energy[-1])
    panel.set_ylim(-1.08 * largest, 1.08 * largest)
    panel.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    panel.set_xlabel(r"energy $E - E_\mathrm{F}$ (eV)")
    panel.set_ylabel("density of states (1/eV per cell and spin)")
    panel.set_title(str(d.attrs["material"]))
    return figure


def fermi_surface(d: xr.Dataset, energy: float = 0.0) -> Figure:
    """Cross-section of a constant-energy surface, both spins, with the boundary of the first Brillouin zone.

    Parameters
    ----------
    d
        Result of `qtorque.fermi_surface_cut`.
    energy
        eV; 0 is the Fermi energy of a material of the library.
    """
    figure = blank_figure(4.6, 4.6)
    panel = figure.subplots()
    u, v = d["u"].values, d["v"].values
    panel.contour(u, v, d["zone"], levels=[0.0], colors="0.6", linewidths=0.9)
    conserved = "spin" in d.dims
    spins = _distinct_spins(d["energy"]) if conserved else ["both"]
    for spin in spins:
        colour, width = (COLOURS[spin], WIDTHS[spin]) if conserved else ("black", WIDTHS["down"])
        bands = d["energy"].sel(spin=spin) if conserved else d["energy"]
        for band in bands.transpose("band", "v", "u").values:
            if band.min() < energy < band.max():
                panel.contour(u, v, band, levels=[energy], colors=colour, linewidths=width)
        panel.plot([], [], color=colour, linewidth=width, label=spin)
    if len(spins) > 1:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    panel.set_aspect("equal")
    panel.set_xlabel(rf"{d['u'].attrs['long_name']} (1/nm)")
    panel.set_ylabel(rf"{d['v'].attrs['long_name']} (1/nm)")
    through = GAMMA.get(d.attrs["through"], d.attrs["through"])
    panel.set_title(f"{d.attrs['material']}, plane {d.attrs['plane']} through {through}", fontsize="medium")
    return figure


def _distinct_spins(energy: xr.DataArray) -> list[str]:
    """Both spins, or up alone where their bands are the same."""
    split = float(np.abs(energy.sel(spin="up") - energy.sel(spin="down")).max())
    return ["up", "down"] if split > SAME_BANDS else ["up"]

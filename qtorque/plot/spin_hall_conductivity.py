"""Figures of intrinsic spin Hall conductivities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from qtorque.plot._figure import BLUE, GREY, VERMILION, blank_figure
from qtorque.spin_hall import spin_hall_symmetry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def spin_hall_versus_energy(d: xr.Dataset) -> Figure:
    """Spin Hall conductivity versus Fermi energy: its isotropic part, and the range of its components around it.

    Parameters
    ----------
    d
        Result of `qtorque.spin_hall_conductivity` for a list of energies.
    """
    parts = spin_hall_symmetry(d)
    isotropic = parts["isotropic"]
    largest = abs(parts["deviation"]).max(("spin", "flow", "field"))
    figure = blank_figure(5.6, 4.0)
    panel = figure.subplots()
    panel.fill_between(
        d["energy"], isotropic - largest, isotropic + largest, color=BLUE, alpha=0.25, linewidth=0,
        label="largest deviation of a component",
    )  # fmt: skip
    panel.plot(
        d["energy"], isotropic, ".-", color=BLUE, markersize=4,
        label=r"$\frac{1}{6}\sum\varepsilon_{sij}\,\sigma^s_{ij}$",
    )  # fmt: skip
    if "fermi_energy" in d.attrs:
        panel.axvline(d.attrs["fermi_energy"], color=VERMILION, linestyle="--", label="Fermi energy of the metal")
    panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    panel.set_xlabel("Fermi energy (eV)")
    panel.set_ylabel(r"spin Hall conductivity (($\hbar/e$) S/cm)")
    panel.set_title(f"{d.attrs['material']}, {d.attrs['temperature']:g} K")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure

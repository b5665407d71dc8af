"""Figures of oscillators: spectra versus drive, frequency, linewidth and power."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREY, VERMILION, blank_figure, si_prefix
from qtorque.plot.phases import axis_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADES = 5
"""Of spectral density that the colours show below its largest value."""
BEYOND_THE_LINE = 2.5
"""The spectrogram ends at this multiple of the highest line."""


def oscillator_spectrum(d: xr.Dataset) -> Figure:
    """Spectral density versus drive and frequency, beside linewidth, and power or amplitude versus drive.

    The spectrum is that of the power into a matched load where there is a signal, else of the moment. What the phase
    says is drawn where its rate is the frequency of the line; elsewhere the moment does not go round an orbit.

    Parameters
    ----------
    d
        Result of `qtorque.llg.oscillator`.
    """
    from matplotlib.colors import LogNorm

    label = "voltage" if "voltage" in d.coords else "current_density"
    drive, x_label = _drive_axis(d[label])
    resolution = d.attrs["resolution"]
    orbits = abs(d["phase_frequency"] - d["peak_frequency"]) < np.maximum(d["linewidth"], resolution)
    orbits &= d["phase_linewidth"] < d["phase_frequency"]
    d = d.assign({name: d[name].where(orbits) for name in ("phase_frequency", "phase_linewidth")})
    emits = "power" in d and float(d["power"].max()) > 0
    moment = d["spectral_density"].sel(component=["x", "y", "z"]).sum("component")
    density = d["power_spectral_density"] if emits else moment
    density = density.transpose("frequency", label).isel(frequency=slice(1, None))
    frequency = density["frequency"].values / 1e9
    figure = blank_figure(9.6, 4.4)
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1))  # type: ignore[misc]
    panel = left.subplots()
    largest = float(density.max())
    image = panel.pcolormesh(
        _edges(drive), _edges(frequency), density.where(density > 0), cmap="viridis", rasterized=True,
        norm=LogNorm(largest * 10.0**-DECADES, largest) if largest > 0 else None,
    )  # fmt: skip
    panel.set_facecolor(image.get_cmap()(0.0))
    words = "power into a matched load (W/Hz)" if emits else r"$S_x + S_y + S_z$ (1/Hz)"
    left.colorbar(image, ax=panel, label=words, extend="min")
    panel.plot(drive, d["phase_frequency"] / 1e9, "--", color="white", linewidth=1.2, label="rate of the phase")
    panel.set_ylim(0, _highest_shown(d))
    panel.set_xlabel(x_label)
    panel.set_ylabel("frequency (GHz)")
    panel.legend(loc="upper left", facecolor="0.3", labelcolor="white", framealpha=0.8)
    upper, lower = right.subplots(2, 1, sharex=True)
    _draw_widths(upper, d, drive)
    if emits:
        factor, prefix = si_prefix(d["power"])
        lower.plot(drive, d["power"] / factor, color=BLUE, marker="o", markersize=4)
        lower.set_ylabel(f"power ({prefix}W)")
    else:
        lower.plot(drive, d["amplitude"], color=BLUE, marker="o", markersize=4)
        lower.set_ylabel("amplitude")
    lower.set_ylim(0, None)
    lower.set_xlabel(x_label)
    return figure


def noise_spectrum(d: xr.Dataset) -> Figure:
    """Spectral densities of the components of the moment versus frequency, at every drive a panel of up to four.

    Parameters
    ----------
    d
        Result of `qtorque.llg.oscillator`.
    """
    label = "voltage" if "voltage" in d.coords else "current_density"
    drive, words = _drive_axis(d[label])
    shown = np.unique(np.linspace(0, drive.size - 1, min(drive.size, 4)).astype(int))
    columns = math.ceil(math.sqrt(shown.size))
    figure = blank_figure(4.6 * columns, 3.4 * math.ceil(shown.size / columns))
    panels = np.ravel(figure.subplots(math.ceil(shown.size / columns), columns, sharex=True, squeeze=False))
    for panel, i in zip(panels, shown, strict=False):
        for component, colour, style in zip("xyz", (BLUE, VERMILION, GREY), ("-", "--", "-"), strict=True):
            density = d["spectral_density"].isel({label: i}).sel(component=component)[1:-1]
            panel.semilogy(
                density["frequency"] / 1e9, density, color=colour, linestyle=style, linewidth=1,
                label=f"$m_{component}$",
            )  # fmt: skip
        panel.set_title(f"{drive[i]:.4g} {words.partition('(')[2].removesuffix(')')}")
        panel.set_xlim(0, 2 * _highest_shown(d))
        panel.set_xlabel("frequency (GHz)")
        panel.set_ylabel("spectral density (1/Hz)")
    for panel in panels[shown.size :]:
        panel.set_visible(False)
    panels[0].legend(frameon=False)
    return figure


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges of cells half-way between their centres; a single one has a width of its own."""
    if centres.size == 1:
        return centres[0] + 0.5 * max(abs(float(centres[0])), 1.0) * np.array([-1, 1])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _highest_shown(d: xr.Dataset) -> float:
    """GHz, well beyond the highest line but within the spectrum."""
    lines = d["peak_frequency"].values[np.isfinite(d["peak_frequency"].values)]
    highest = BEYOND_THE_LINE * max([*lines, 4 * float(d["frequency"][1])])
    return min(float(d["frequency"][-1]), highest) / 1e9


def _draw_widths(panel: Axes, d: xr.Dataset, drive: np.ndarray) -> None:
    for name, words, colour, marker in (
        ("linewidth", "of the spectrum", BLUE, "o"),
        ("phase_linewidth", "of the phase", VERMILION, "s"),
    ):
        width = d[name].where(d[name] > 0) / 1e6
        panel.plot(drive, width, color=colour, marker=marker, markersize=4, label=words)
    panel.axhline(d.attrs["resolution"] / 1e6, color=GREY, linestyle=":", label="window")
    panel.set_ylabel("linewidth, FWHM (MHz)")
    panel.set_ylim(0, 1.25 * panel.get_ylim()[1])
    panel.legend(loc="upper center", ncols=3, frameon=False, fontsize="small", handlelength=1.5, columnspacing=1.2)


def _drive_axis(drive: xr.DataArray) -> tuple[np.ndarray, str]:
    """Values in a readable unit, and the label of the axis."""
    factor, unit = axis_unit(drive)
    return drive.values / factor, f"{'bias voltage' if drive.name == 'voltage' else 'current density'} ({unit})"

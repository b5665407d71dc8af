"""Figures of switching statistics: write error rate of pulses, distribution of switching times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREEN, ORANGE, PURPLE, VERMILION, blank_figure, si_prefix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)
MARKERS = "osD^v"
LOWEST_ERROR_RATE = 1e-13
"""Where the axis of error rates ends at most: below it no curve is drawn."""
DRIVE_UNITS = {"voltage": (1.0, "V"), "current_density": (1e10, r"$\times\,10^{10}$ A/m$^2$")}
"""Unit in which a legend gives a drive, and its name."""
MOST_BINS = 40
"""Bars of a histogram, so that each counts enough passages to be seen above its noise."""


def write_error_rate(r: xr.Dataset, exact: xr.Dataset | None = None) -> Figure:
    """Switching probability, and write error rate on a logarithmic axis, versus the length of a pulse.

    Parameters
    ----------
    r
        Result of `qtorque.llg.switching_map`; points with 95 % intervals. Where no error was counted an arrow hangs
        from the upper end of the interval.
    exact
        Result of `qtorque.llg.fokker_planck_switching_map` at the same amplitudes; lines. Lengths may differ.
    """
    label = str(r["write_error_rate"].dims[0])
    longest = r["length"] if exact is None else xr.concat([r["length"], exact["length"]], "length")
    scale, prefix = si_prefix(longest)
    figure = blank_figure(8.6, 4.2)
    probability, error = figure.subplots(1, 2)
    for i in range(r.sizes[label]):
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        one = r.isel({label: i})
        length = one["length"] / scale
        style = {"color": colour, "marker": marker, "markersize": 4.5, "capsize": 2.5, "linestyle": "none"}
        name = _drive_text(label, float(one[label]))
        for panel, variable in ((probability, "switching_probability"), (error, "write_error_rate")):
            shown = one.isel(length=one[variable] > 0) if panel is error else one
            panel.errorbar(
                shown["length"] / scale, shown[variable], yerr=_bars(shown, variable),
                label=name if panel is error else None, **style,
            )  # fmt: skip
        none = one["write_error_rate"].values == 0
        upper = one["write_error_rate_interval"].sel(bound="upper").values
        # A limit and not a measured value: no marker but the arrow.
        error.errorbar(
            length[none], upper[none], yerr=0.6 * upper[none], uplims=True, color=colour, linestyle="none", capsize=2.5
        )
        if exact is not None:
            line = exact.isel({label: i})
            probability.plot(line["length"] / scale, line["switching_probability"], color=colour, linewidth=1.2)
            positive = line["write_error_rate"] > 0
            error.plot(
                line["length"][positive] / scale, line["write_error_rate"][positive], color=colour, linewidth=1.2
            )
    for panel in (probability, error):
        panel.set_xlabel(f"pulse length ({prefix}s)")
    probability.set_ylabel("switching probability")
    probability.set_ylim(-0.04, 1.04)
    error.set_ylabel("write error rate")
    error.set_yscale("log")
    lowest = float(r["write_error_rate_interval"].sel(bound="upper").min()) / 10
    if exact is not None:
        # The curves go on where nothing can be sampled; up to there a probability shows what happens.
        first, last = (float(end) / scale for end in (r["length"].min(), r["length"].max()))
        margin = 0.05 * (last - first) or 0.5 * first
        probability.set_xlim(first - margin, last + margin)
        lowest = min(lowest, float(exact["write_error_rate"].min()))
    error.set_ylim(max(lowest, LOWEST_ERROR_RATE), 3.0)
    figure.suptitle(_title(r, "points: sampled, 95 %" + ("; lines: Fokker-Planck" if exact is not None else "")))
    figure.legend(loc="outside lower center", ncols=min(r.sizes[label], 5), frameon=False)
    return figure


def switching_times(r: xr.Dataset, exact: xr.Dataset | None = None) -> Figure:
    """Share that has not switched, and distribution of the times when m.p first is 0, versus time.

    Parameters
    ----------
    r
        Result of `qtorque.llg.switching_times`; points with 95 % intervals, and a histogram.
    exact
        Results of `qtorque.llg.fokker_planck` along the same drives (with that dimension); lines.
    """
    label = str(r["survival"].dims[0])
    scale, prefix = si_prefix(r["time"])
    figure = blank_figure(8.6, 4.2)
    survival, density = figure.subplots(1, 2)
    stride = max(1, (r.sizes["time"] - 1) // MOST_BINS)
    for i in range(r.sizes[label]):
        colour = PALETTE[i % len(PALETTE)]
        one = r.isel({label: i, "time": slice(None, None, stride)})
        time = one["time"].values / scale
        some = one.isel(time=one["survival"] > 0)
        survival.errorbar(
            some["time"] / scale, some["survival"], yerr=_bars(some, "survival"), color=colour,
            marker=MARKERS[i % len(MARKERS)], markersize=3.0, linestyle="none", elinewidth=0.8,
            label=_drive_text(label, float(one[label])),
        )  # fmt: skip
        density.stairs(-np.diff(one["survival"].values) / np.diff(time), time, color=colour, linewidth=0.8)
        if exact is not None:
            line = exact.isel({label: i})
            survival.plot(line["time"] / scale, line["survival"], color=colour, linewidth=1.2)
            density.plot(line["time"] / scale, line["first_passage_density"] * scale, color=colour, linewidth=1.2)
    survival.set_yscale("log")
    survival.set_ylim(0.3 / r.attrs["trajectories"], 2.0)
    survival.set_ylabel("share that has not reached the equator")
    density.set_ylabel(f"density of first passages (1/{prefix}s)")
    density.set_ylim(bottom=0)
    for panel in (survival, density):
        panel.set_xlabel(f"time ({prefix}s)")
    lines = "; lines: Fokker-Planck" if exact is not None else ""
    figure.suptitle(_title(r, f"points and steps: sampled, 95 %{lines}"))
    figure.legend(loc="outside lower center", ncols=min(r.sizes[label], 5), frameon=False)
    return figure


def _bars(one: xr.Dataset, variable: str) -> list[np.ndarray]:
    """Lengths of the error bars of a variable, down and up."""
    interval = one[f"{variable}_interval"]
    return [abs(one[variable] - interval.sel(bound=bound)).values for bound in ("lower", "upper")]


def _drive_text(label: str, value: float) -> str:
    unit, name = DRIVE_UNITS[label]
    return f"{value / unit:.4g} {name}"


def _title(r: xr.Dataset, what: str) -> str:
    initial, temperature = r.attrs["initial"], r.attrs["temperature"]
    return f"from {initial}, {temperature:g} K; {what}"

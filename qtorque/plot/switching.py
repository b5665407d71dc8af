"""Figures of ensembles: switching probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from qtorque.plot._figure import BLUE, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def switching_probability(r: xr.Dataset, critical_voltage: float | None = None) -> Figure:
    """Switching probability versus bias with its 95 % intervals.

    Parameters
    ----------
    r
        Result of `qtorque.llg.ensemble`.
    critical_voltage
        V; drawn as a line: where the initial state loses its stability at 0 K.
    """
    probability = r["switching_probability"]
    interval = r["switching_probability_interval"]
    bars = [abs(probability - interval.sel(bound=bound)).values for bound in ("lower", "upper")]
    figure = blank_figure(5.4, 3.8)
    panel = figure.subplots()
    panel.errorbar(
        r["voltage"], probability, yerr=bars, color=BLUE, marker="o", markersize=4.5, capsize=3,
        label="ensemble, 95 % interval",
    )  # fmt: skip
    if critical_voltage is not None:
        panel.axvline(critical_voltage, color=VERMILION, linestyle="--", label="critical voltage at 0 K")
    panel.set_xlabel("bias voltage (V)")
    panel.set_ylabel("switching probability")
    panel.set_ylim(-0.04, 1.04)
    initial, temperature = r.attrs.get("initial"), r.attrs.get("temperature")
    panel.set_title(f"from {initial}, {temperature:g} K, {1e9 * float(r['time'][-1]):g} ns")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure

"""Figures of lifetimes: thermal activation out of a state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque.plot._figure import BLUE, GREY, VERMILION, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEN_YEARS = 10 * 365.25 * 86400
"""s: what a memory is asked to keep its data for."""


def lifetime(d: xr.Dataset) -> Figure:
    """Rate out of a state versus 1/T, and lifetime and time to failure versus T.

    Where there is the exact rate of Fokker-Planck, it stands beside the asymptote, and a panel shows how far that is
    off versus the barrier.

    Parameters
    ----------
    d
        Result of `qtorque.llg.retention`.
    """
    temperature, formula = d["temperature"].values, d.attrs["formula"]
    exact = d["fokker_planck_rate"].values
    axial = bool(np.isfinite(exact).any())
    figure = blank_figure(3.9 * (2 + axial), 4.0)
    panels = list(figure.subplots(1, 2 + axial))
    # A rate that has underflowed to 0 has no place on a logarithmic axis.
    positive = d["rate"].where(d["rate"] > 0)
    panels[0].plot(1000 / temperature, positive, color=BLUE, linewidth=1, label=f"{formula}, high barrier")
    if axial:
        panels[0].plot(
            1000 / temperature, exact, "o", color=VERMILION, markersize=5, markerfacecolor="none",
            label="Fokker-Planck eigenvalue",
        )  # fmt: skip
        panels[1].plot(d["barrier_kT"], 100 * (d["rate"] / exact - 1), "o-", color=BLUE, linewidth=0.8, markersize=4)
        panels[1].axhline(0, color=GREY, linewidth=0.6, zorder=0)
        panels[1].set_xlabel(r"barrier $E_b/kT$")
        panels[1].set_ylabel(f"{formula} above the eigenvalue (%)")
    panels[0].set_yscale("log")
    panels[0].set_xlabel("1000 K / temperature")
    panels[0].set_ylabel("rate out of the state (1/s)")
    probability = d.attrs["failure_probability"]
    panels[-1].plot(temperature, d["lifetime"], color=BLUE, linewidth=1, label="lifetime")
    panels[-1].plot(
        temperature, d["time_to_failure"], "--", color=BLUE, linewidth=1, label=f"failure probability {probability:g}"
    )
    panels[-1].axhline(TEN_YEARS, color=GREY, linewidth=0.8, linestyle=":", label="ten years")
    panels[-1].set_yscale("log")
    panels[-1].set_xlabel("temperature (K)")
    panels[-1].set_ylabel("time (s)")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    figure.suptitle(f"{d.attrs['state']} state, barrier {1e21 * d.attrs['barrier']:.4g} zJ", fontsize="medium")
    return figure

"""What figures share: colours, a blank figure, writing to a file, SI prefixes, legends."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from qtorque import store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "0.45"
"""Of the colour-blind safe palette of M. Okabe and K. Ito (2008)."""
GREEN, PURPLE, ORANGE = "#009E73", "#CC79A7", "#E69F00"
"""More of the same palette."""
RESOLUTION = 200
"""Dots per inch of a saved figure."""
PREFIXES = {0: "", -3: "m", -6: "µ", -9: "n", -12: "p"}
"""SI prefix of a power of ten."""


def save_figure(figure: Figure, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write a figure as the format its suffix names; refused if the file exists, unless `force`."""
    store.refuse_existing(path, force)
    with store.replacement_of(Path(path)) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lstrip("."), dpi=RESOLUTION)


def blank_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.06))


def si_prefix(values: xr.DataArray | np.ndarray) -> tuple[float, str]:
    """The power of ten (1, 1e-3, ...) that brings the largest value to 0.5 ... 500, and its SI prefix."""
    largest = float(np.abs(values).max())
    power = 3 * math.floor(math.log10(2 * largest) / 3) if largest > 0 else 0
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return 10.0**power, PREFIXES[power]


def legend_above_data(panel: Axes) -> None:
    """A legend in a strip of its own at the top of a panel."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.18 * (high - low))
    panel.legend(loc="upper center", ncols=3, frameon=False, fontsize="small")

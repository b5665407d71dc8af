"""OOMMF data tables: ODT 1.0, a text format with names and units of the columns in its head.

Specification: OOMMF User's Guide, "Data Table File Format (ODT)". Columns have the names of OOMMF: those of its time
driver for the time and for m, `Oxs_qtorque::<name>` for the rest. Programs that read its tables find columns by them
(ubermagtable splits the line at `Oxs_` and knows t, mx, my, mz; it also splits units at blanks, so there are none).
"""

from __future__ import annotations

import os
import re

import numpy as np
import xarray as xr

from qtorque import store
from qtorque.errors import InputError
from qtorque.export.files import read_bytes, tcl_words

HEAD = "# ODT 1.0"
QUOTED_AWAY = re.compile(r'[{}"\\#\n\r]')
"""What a label cannot hold: it would end the word, the line or the head."""
DRIVER, OTHERS = "Oxs_TimeDriver::", "Oxs_qtorque::"
"""Before the name of a column: what OOMMF writes itself, and what it does not know."""


def save_odt(
    dataset: xr.Dataset, path: str | os.PathLike[str], *, title: str = "qtorque trajectory", force: bool = False
) -> None:
    """Write the variables of a run over time as an ODT table, one row for each time.

    Parameters
    ----------
    dataset
        Such as `qtorque.llg.run` returns: coordinate time (s), variables over time alone, or over time and xyz, which
        become three columns (m: Oxs_TimeDriver::mx and so on). Variables without time stay behind. Units are written
        with a point between factors, A.m-2.
    title
        One line of text.
    force
        Replace an existing file.

    Raises
    ------
    InputError
        For a dataset without time, a variable with a third dimension, a name the format cannot hold, an existing file.
    """
    if "time" not in dataset.coords:
        raise InputError("the dataset has no coordinate 'time'; give what llg.run returns")
    columns = {f"{DRIVER}Simulation time": (dataset["time"].attrs.get("units", "s"), dataset["time"].values)}
    for name, variable in dataset.data_vars.items():
        units = ".".join(variable.attrs.get("units", "1").split())
        if variable.dims == ("time",):
            columns[f"{OTHERS}{name}"] = (units, variable.values)
        elif set(variable.dims) == {"time", "xyz"}:
            values = variable.transpose("time", "xyz").values
            owner = DRIVER if name == "m" else OTHERS
            columns |= {f"{owner}{name}{axis}": (units, values[:, i]) for i, axis in enumerate("xyz")}
        elif "time" in variable.dims:
            raise InputError(f"{name} has dimensions {variable.dims}; a table holds (time) and (time, xyz)")
    for word in (title, *columns, *(units for units, _ in columns.values())):
        if QUOTED_AWAY.search(word):
            raise InputError(f"{word!r} holds a brace, quote, backslash, hash or line end; an ODT label cannot")
    lines = [
        HEAD,
        "# Table Start",
        f"# Title: {title}",
        "# Columns: " + " ".join(f"{{{name}}}" for name in columns),
        "# Units: " + " ".join(f"{{{'' if units == '1' else units}}}" for units, _ in columns.values()),
        *(" ".join(repr(float(x)) for x in row) for row in np.column_stack([x for _, x in columns.values()])),
        "# Table End",
    ]
    store.save_bytes(("\n".join(lines) + "\n").encode(), path, force)


def read_odt(path: str | os.PathLike[str]) -> xr.Dataset:
    """The first table of an ODT file: one variable over `row` for each column, by its name in the file, with its units.

    Raises
    ------
    InputError
        For a missing file, one that is no ODT 1.0, a cell that is no number, and rows that do not fit the columns.
    """
    text = read_bytes(path).decode(errors="replace").replace("\r\n", "\n").replace("\\\n", " ")
    lines = text.splitlines()
    if not lines or lines[0].strip() != HEAD:
        raise InputError(f"input={os.fspath(path)!r} is no ODT 1.0 table; its first line has to be {HEAD!r}")
    names: list[str] = []
    units: list[str] = []
    rows: list[list[float]] = []
    for line in lines[1:]:
        tag, _, rest = line.lstrip("# ").partition(":")
        tag = tag.strip().lower()
        if line.startswith("#"):
            if tag == "columns":
                names = tcl_words(rest)
            elif tag == "units":
                units = tcl_words(rest)
            elif tag == "table end":
                break
        elif line.strip():
            try:
                # {} stands for a missing value.
                rows.append([float(word) if word else np.nan for word in tcl_words(line)])
            except ValueError as wrong:
                raise InputError(f"input={os.fspath(path)!r}, row {len(rows) + 1}: {wrong}; mend the file") from None
    units = units or [""] * len(names)
    if len(set(names)) != len(names) or len(units) != len(names) or any(len(row) != len(names) for row in rows):
        raise InputError(f"input={os.fspath(path)!r}: columns, units and rows of the table do not fit; mend the file")
    values = np.array(rows).reshape(len(rows), len(names))
    return xr.Dataset(
        {
            name: ("row", values[:, i], {"units": unit or "1", "long_name": name})
            for i, (name, unit) in enumerate(zip(names, units, strict=True))
        }
    )

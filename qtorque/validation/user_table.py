"""A user's own drift-diffusion numbers, as a CSV table."""

from __future__ import annotations

import csv
import dataclasses
import math
import os

import numpy as np

from qtorque.errors import InputError

QUANTITIES = {
    "conductance": "Ohm^-1 m^-2",
    "torque": "(hbar/2e) Ohm^-1 m^-2",
    "torque_efficiency": "hbar/2e",
}
"""Columns beside `angle`: conductance per area; damping-like torque on the free magnet per volt between the reservoirs,
sin(angle) included, positive where it pulls towards the fixed magnet; the same per charge current."""
ANGLE = "angle"
SMALL_SINE = 1e-9
"""Of an angle that counts as 0 or 180 degrees."""
FULL_TURN = 180.0
"""deg; magnets in a plane are described by angles from 0 to this."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class UserTable:
    """Angles (rad, ascending) and the quantities that were given at them."""

    name: str
    angle: np.ndarray
    values: dict[str, np.ndarray]

    def judged(self, column: str) -> np.ndarray:
        """At which angles a column can be judged: there is no torque where the magnets are collinear."""
        return np.ones(len(self.angle), bool) if column == "conductance" else np.abs(np.sin(self.angle)) > SMALL_SINE


def read_user_table(path: str | os.PathLike[str]) -> UserTable:
    """The table in a CSV file: a header `angle,conductance,...` (angle in degrees), then a line for every angle.

    Lines that begin with # are comments. Columns are those of `QUANTITIES`; others are refused, so that no number is
    judged for what it is not.

    Raises
    ------
    InputError
        For a file that cannot be read, columns that are unknown or missing, cells that are no finite numbers, angles
        outside 0 to 180 degrees or given twice.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(line for line in file if line.strip() and not line.lstrip().startswith("#")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV file") from None
    if len(rows) < 2:
        raise InputError(f"{path}: no numbers; give a header 'angle,conductance,torque' and a line for every angle")
    header = [cell.strip() for cell in rows[0]]
    known = [ANGLE, *QUANTITIES]
    for column in header:
        if column not in known:
            raise InputError(f"{path}: column {column!r} is unknown; the columns are {', '.join(known)}")
    if ANGLE not in header or len(header) < 2 or len(set(header)) < len(header):
        raise InputError(f"{path}: header {','.join(header)!r}; give 'angle' (degrees) and other columns, once each")
    numbers = np.array([_numbers(path, line, row, len(header)) for line, row in enumerate(rows[1:], 1)])
    degrees = numbers[:, header.index(ANGLE)]
    if np.any((degrees < 0) | (degrees > FULL_TURN)) or len(np.unique(degrees)) < len(degrees):
        raise InputError(f"{path}: angle is in degrees, from 0 to 180, each once; mend the column")
    order = np.argsort(degrees)
    values = {column: numbers[order, n] for n, column in enumerate(header) if column != ANGLE}
    table = UserTable(name=os.path.basename(path), angle=np.deg2rad(degrees[order]), values=values)
    if not any(table.judged(column).any() for column in values):
        raise InputError(f"{path}: torques at 0 and 180 degrees alone, where there is none; give other angles")
    return table


def _numbers(path: str | os.PathLike[str], line: int, row: list[str], columns: int) -> list[float]:
    if len(row) != columns:
        raise InputError(f"{path}: line {line} of the table has {len(row)} cells; the header has {columns}")
    found = []
    for cell in row:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{path}: {cell.strip()!r} in line {line} of the table is no finite number; mend it")
        found.append(value)
    return found

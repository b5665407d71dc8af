"""Results of benchmarks as lines of one format, which a person reads and `all.py` puts into one table.

A script prints a result by `row`, and anything else as it likes. The file imports nothing of the package.
"""

import math

COLUMNS = ("benchmark", "setting", "value", "unit", "against", "ratio")
SEPARATOR = " | "
PLAIN_NUMBERS = (1e-3, 1e7)
"""Sizes of numbers that are written without an exponent."""


def row(benchmark, setting, value, unit, against="", ratio=None):
    """Print one result.

    Parameters
    ----------
    benchmark, setting
        What is measured, and for which sizes.
    value, unit
        The number, and its unit; "" if it has none.
    against
        What the value is compared with, such as "Kwant" or "at most 1".
    ratio
        The number that comes out of the comparison, larger than one or smaller as `against` says; None without one.

    Raises
    ------
    ValueError
        If a text holds the separator of the cells.
    """
    texts = (benchmark, setting, number(value), unit, against, "" if ratio is None else number(ratio))
    if any(SEPARATOR.strip() in text for text in texts):
        raise ValueError(f"{texts} holds {SEPARATOR.strip()!r}, which parts the cells; use another sign")
    print(SEPARATOR.join(texts), flush=True)


def number(x):
    """Four significant digits, and all digits before the decimal point of a number of moderate size."""
    low, high = PLAIN_NUMBERS
    size = abs(x)
    if size == 0 or not low <= size < high:
        return f"{x:.4g}"
    return f"{x:.{max(0, 3 - math.floor(math.log10(size)))}f}"


def cells(line):
    """The cells of a line that `row` printed, None of any other line."""
    found = line.rstrip("\n").split(SEPARATOR)
    return found if len(found) == len(COLUMNS) else None


def aligned(rows):
    """The lines of a table of rows of cells under their titles; numbers stand to the right."""
    every = [list(COLUMNS), *rows]
    widths = [max(len(texts[i]) for texts in every) for i in range(len(COLUMNS))]
    to_right = {COLUMNS.index(name) for name in ("value", "ratio")}
    lines = [
        "  ".join(
            t.rjust(w) if i in to_right else t.ljust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True))
        )
        for texts in every
    ]
    return [line.rstrip() for line in [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]]

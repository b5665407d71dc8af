"""The metals of the library as text: all of them with how far to trust them, or one with where it comes from."""

from pathlib import Path

from qtorque.materials.crystal import Parameters
from qtorque.materials.library import TRUST, material_names, read_parameters

_HEAD = ("name", "structure", "a (nm)", "electrons", "facets", "moment (mu_B)", "xi (eV)", "trust")


def listing(file: str | Path | None = None) -> str:
    """One line for every metal with its level of trust, and what the levels mean; sources stand in `description`."""
    rows = [_HEAD, *(_row(read_parameters(name, file)) for name in material_names(file))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    levels = sorted({row[-1] for row in rows[1:]})
    return "\n".join([*lines, "", *(f"{level}: {TRUST.get(level, 'as its file says')}" for level in levels)])


def description(name: str, file: str | Path | None = None) -> str:
    """All that the library knows of one metal: sources, checks, cautions, errors of a fit, other values found."""
    parameters = read_parameters(name, file)
    row = dict(zip(_HEAD, _row(parameters), strict=True))
    row["Sharvin (1e15/(Ohm m2))"] = ", ".join(f"{facet} {value:g}" for facet, value in parameters.sharvin.items())
    states = {"paramagnet": parameters.density_of_states, **parameters.density_of_states_magnetic}
    row["states at E_F (1/eV)"] = ", ".join(f"{key} {value:g}" for key, value in states.items() if value is not None)
    row |= {"source": parameters.source, "checked": parameters.checked, "caution": parameters.caution}
    row |= {key.replace("_", " "): text for key, text in parameters.notes.items()}
    return "\n".join(f"{key}: {value}" for key, value in row.items() if value)


def _row(p: Parameters) -> tuple[str, ...]:
    couplings = ", ".join(f"{shell} {xi:g}" for shell, xi in p.spin_orbit.items())
    moment = f"{p.moment:g}" if p.splitting else ""
    numbers = f"{p.lattice_constant:.4f}", f"{p.electrons:g}"
    return p.name, p.structure, *numbers, " ".join(p.facets), moment, couplings, p.trust

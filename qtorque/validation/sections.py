"""The sections of the report: comparisons with their verdicts, parameters, and what they mean in words."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from qtorque.extraction import without_sharvin_resistance
from qtorque.interfaces import InterfaceParameters
from qtorque.validation.comparison import Comparison, Verdict, judge
from qtorque.validation.models import mean_free_path
from qtorque.validation.report import Table
from qtorque.validation.samples import mean_parameters
from qtorque.validation.studies import Parts, mean_free_paths

FINEST = 1e15
"""Ohm^-1 m^-2: the unit in which tables print conductances."""


def judged(comparisons: Sequence[Comparison], reference: str) -> list[tuple[Comparison, Verdict]]:
    """Every comparison with its verdict; the reason of a failure is tested on the model `reference`."""
    better = {c.quantity: c for c in comparisons if c.model == reference}
    return [(c, judge(c, better.get(c.quantity) if c.model != reference else None)) for c in comparisons]


def parameter_table(parts: Parts) -> Table:
    """Both magnets in Ohm^-1 m^-2 x 1e15, as scattering gives them and without the contact of the spacer's side."""
    header = (
        "1e15 per Ohm m^2", "G up", "G down", "g_mix, spacer side", "g_mix transmitted", "AR* (fOhm m^2)", "gamma"
    )  # fmt: skip
    rows = []
    for name, samples, side in (("fixed", parts.fixed, "right"), ("free", parts.free, "left")):
        mean = mean_parameters(samples)
        corrected = without_sharvin_resistance(mean, corrected_sides=(side,))
        rows += [
            _parameter_row(f"{name}, scattering", mean, side),
            _parameter_row(f"{name}, Sharvin-corrected", corrected, side),
        ]
    return Table(caption="Parameters of the magnets, each a slab between normal leads", header=header, rows=rows)


def _parameter_row(name: str, p: InterfaceParameters, side: str) -> list[str]:
    reflected = p.mixing_conductance_per_area if side == "left" else p.mixing_conductance_opposite_per_area
    transmitted = p.mixing_transmitted_per_area
    assert reflected is not None, "parts are slabs between normal leads"
    assert transmitted is not None, "the same"
    conductances = [p.conductance_up_per_area, p.conductance_down_per_area]
    return [
        name,
        *(f"{g / FINEST:.4f}" for g in conductances),
        *(f"{g.real / FINEST:.4f} {g.imag / FINEST:+.4f}i" for g in (reflected, transmitted)),
        f"{p.AR_star * 1e15:.4f}",
        f"{p.gamma:.4f}",
    ]


def spacer_table(line: xr.Dataset, spacer: InterfaceParameters) -> Table:
    """Resistance of the spacer versus thickness, and the mean free path that each thickness gives."""
    sharvin = sum(spacer.sharvin_left)
    rows = [
        [
            f"{1e9 * t:.3g}",
            f"{1e15 * r:.4f} +- {1e15 * e:.4f}",
            f"{1e9 * mean_free_path(r, t, sharvin, spacer.area):.3f}",
        ]
        for t, r, e in zip(
            line["thickness"].values, line["resistance"].values, line["resistance_error"].values, strict=True
        )
    ]
    rho, error = float(line["resistivity"]), float(line["resistivity_error"])
    rows.append(["all", f"rho* = {1e8 * rho:.4g} +- {1e8 * error:.2g} uOhm cm", ""])
    header = ("thickness (nm)", "resistance without contacts (fOhm m^2)", "l of R = (1/G_Sharvin) t/l (nm)")
    return Table(caption="The spacer alone, between clean leads", header=header, rows=rows)


def specular_table(momenta: xr.Dataset) -> Table:
    """The antiparallel transmission per spin by three routes, and of the interface alone at more momenta."""
    weight, a = momenta["weight"], momenta.attrs
    rows = [
        ["quantum transport, mean over thickness", f"{float(momenta['quantum'] @ weight):.5f}", ""],
        ["momentum by momentum, 1/(1/T_up + 1/T_down - 1)", f"{float(momenta['incoherent'] @ weight):.5f}",
         f"{a['fine_incoherent']:.5f}"],
        ["circuit theory, Sharvin-corrected", f"{a['circuit']:.5f}", f"{a['fine_circuit']:.5f}"],
    ]  # fmt: skip
    header = ("route", "at the momenta of this section", f"interface alone, {a['fine_mesh']}")
    return Table(caption="Antiparallel transmission per spin and cell", header=header, rows=rows)


def summary_table(verdicts: Sequence[tuple[Comparison, Verdict]]) -> Table:
    """Every quantity (rows) of every model (columns): the verdict and the largest deviation."""
    models = list(dict.fromkeys(c.model for c, _ in verdicts))
    quantities = list(dict.fromkeys(c.quantity for c, _ in verdicts))
    cells = {(c.quantity, c.model): f"{v.kind} ({100 * c.deviation[c.worst]:+.2g} %)" for c, v in verdicts}
    rows = [[quantity, *(cells.get((quantity, model), "") for model in models)] for quantity in quantities]
    return Table(
        caption="Verdicts, with the largest deviation (of torques: of the whole torque)",
        header=("", *models),
        rows=rows,
    )


def regime_table(parts: Parts, spacer: list[InterfaceParameters], thickness: float, cells: int) -> Table:
    """What decides whether a diffusive model can hold: lengths, channels, what passes through the magnets.

    `cells` is the number of primitive cells in the supercell, `thickness` (m) that of the spacer.
    """
    passing = [
        abs(p.mixing_transmitted or 0) / abs(p.mixing_conductance)
        for p in (mean_parameters(parts.fixed), mean_parameters(parts.free))
    ]
    channels = mean_parameters(spacer).sharvin_left[0]
    rows = [
        ["thickness of the spacer over its mean free path", f"{mean_free_paths(spacer, thickness):.3g}"],
        ["open channels of the spacer's metal in a supercell, each spin", f"{channels:.3g}"],
        ["primitive cells in a supercell", f"{cells}"],
        ["|g_mix transmitted|/|g_mix| of the fixed and of the free magnet", f"{passing[0]:.2f}, {passing[1]:.2f}"],
    ]
    return Table(caption="The regime", header=("", ""), rows=rows)

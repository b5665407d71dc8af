"""Scripts (MIF 2.1) for OOMMF (M. J. Donahue and D. G. Porter, NISTIR 6376), with its evolver Oxs_SpinXferEvolve.

From its source, app/oxs/ext/spinxferevolve.cc: with beta = hbar J/(mu_0 e Ms d) in A/m, d the thickness of a cell,

    dm/dt = gamma_G/(1 + alpha^2) [-m x H - alpha m x (m x H) + (A + alpha A') m x (p x m) + (alpha A - A') m x p],
    A = beta [q_plus/(a + b m.p) + q_minus/(a - b m.p)],   A' = beta eps_prime,

p = mp: the equation of motion of `qtorque.llg` with b_DL = mu_0 A and b_FL = mu_0 A'. J P > 0 pulls m towards mp;
J_direction is opposite to the flow of electrons, and counts only where mp is propagated. With P and Lambda >= 1 the
form is the usual one. Lambda < 1 is refused there; it is the term in q_minus with 1/Lambda, from P_fixed = -P_free.

Not verified: no script was run in OOMMF. They are tested against these formulas, read in the source; that the evolver
takes a P_free < 0, which Lambda < 1 needs, was seen in its algebra only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from qtorque.errors import InputError
from qtorque.export._free_layer import (
    anisotropy,
    constant_field,
    description,
    initial_direction,
    numbers,
    positive_number,
    shape_tensor,
)
from qtorque.export.slonczewski_fit import SlonczewskiParameters
from qtorque.llg.macrospin import Macrospin
from qtorque.units import GYROMAGNETIC_RATIO, VACUUM_PERMEABILITY

TABLE_STEPS = 10
"""The table gets a row every so many steps."""


def oommf_snippet(
    free: Macrospin, parameters: SlonczewskiParameters, *, initial: str | ArrayLike, duration: float
) -> str:
    """An OOMMF problem (MIF 2.1) of the macrospin: one cell, its demagnetising factors as three uniaxial anisotropies.

    Parameters
    ----------
    free, parameters
        The layer, and the torque on it: `SlonczewskiFit.at_voltage`, or numbers of your own.
    initial : unit vector beside p
    duration : s

    Raises
    ------
    InputError
        For a second-order anisotropy, which OOMMF does not have, an initial direction along p, a duration that is not
        positive.
    """
    duration = positive_number("duration", duration, "s")
    if free.second_order_anisotropy != 0:
        raise InputError(
            f"second_order_anisotropy={free.second_order_anisotropy!r}: Oxs_UniaxialAnisotropy has no second order; "
            "set it to 0, or export to mumax3"
        )
    m = initial_direction(free, initial)
    edge = math.sqrt(free.area)
    # Along a principal axis u the energy Ms B (m.u)^2/2 with B = mu_0 Ms N is that of an anisotropy -Ms B/2.
    factors, axes = np.linalg.eigh(shape_tensor(free))
    blocks = [
        _block("BoxAtlas:layer", xrange=[0, edge], yrange=[0, edge], zrange=[0, free.thickness]),
        _block("RectangularMesh:mesh", cellsize=[edge, edge, free.thickness], atlas=":layer"),
        _block("UniaxialAnisotropy:crystal", K1=anisotropy(free, parameters), axis=free.easy_axis),
        "# The demagnetising factors of the free layer. For a magnet on a grid take Oxs_Demag in place of these three\n"
        "# and keep one cell along z: the evolver divides by the thickness of a cell.",
        *(_block(f"UniaxialAnisotropy:shape_{i}", K1=-free.Ms * factors[i] / 2, axis=axes[:, i]) for i in range(3)),
    ]
    if free.cubic_anisotropy != 0:
        first, second = free.cubic_axes
        blocks.append(_block("CubicAnisotropy:cubic", K1=free.cubic_anisotropy, axis1=first, axis2=second))
    blocks += [
        _block("FixedZeeman:field", field=constant_field(free, parameters) / VACUUM_PERMEABILITY, multiplier=1),
        "# J P > 0 pulls m towards mp. J > 0: electrons flow from left to right, along +z, the current along -z.",
        _block(
            "SpinXferEvolve:evolver",
            alpha=free.alpha,
            gamma_G=GYROMAGNETIC_RATIO * VACUUM_PERMEABILITY,
            **_polarization(parameters),
            eps_prime=parameters.epsilon_prime,
            J=parameters.current_density,
            J_direction="-z",
            mp=free.fixed,
            method="rkf54",
        ),
        _block(
            "TimeDriver:driver",
            evolver=":evolver",
            mesh=":mesh",
            Ms=free.Ms,
            m0=m,
            stopping_time=duration,
            stage_count=1,
        ),
        f"Destination archive mmArchive\nSchedule DataTable archive Step {TABLE_STEPS}",
    ]
    comments = [f"# {line}" for line in ["Written by qtorque for OOMMF.", *description(free, parameters)]]
    return "\n".join(["# MIF 2.1", *comments, ""]) + "\n" + "\n\n".join(blocks) + "\n"


def _polarization(parameters: SlonczewskiParameters) -> dict[str, float]:
    """P and Lambda; for Lambda < 1 what gives P/((1 + 1/Lambda^2) - (1/Lambda^2 - 1) cos) by the term in q_minus."""
    if parameters.Lambda >= 1:
        return {"P": parameters.polarization, "Lambda": parameters.Lambda}
    inverse, scaled = 1 / parameters.Lambda, parameters.polarization * parameters.Lambda**2
    return {"P_fixed": scaled, "P_free": -scaled, "Lambda_fixed": inverse, "Lambda_free": inverse}


def _block(name: str, **values: object) -> str:
    lines = [f"Specify Oxs_{name} {{"]
    for key, value in values.items():
        if isinstance(value, (str, int)):
            text = str(value)
        else:
            text = numbers(value, " ")  # type: ignore[arg-type]
            text = f"{{{text}}}" if np.ndim(value) else text  # type: ignore[arg-type]
        lines.append(f"  {key} {text}")
    return "\n".join([*lines, "}"])

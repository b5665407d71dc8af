"""Scripts for mumax3 (A. Vansteenkiste et al., AIP Adv. 4, 107133 (2014), cited from memory), version 3.10 or later.

From its source, cuda/slonczewski2.cu and engine/torque.go: with beta = hbar J_z/(e Ms d) in T,

    dm/dt = gamma/(1 + alpha^2) [-m x B - alpha m x (m x B) + (A + alpha A') m x (p x m) + (A' - alpha A) p x m],
    A = beta Pol Lambda^2/((Lambda^2 + 1) + (Lambda^2 - 1) m.p),   A' = beta EpsilonPrime,

which is the equation of motion of `qtorque.llg` with b_DL = A and b_FL = A'. J is the flow of positive charge. With the
fixed layer on top (FIXEDLAYER_TOP, the default there) electrons come from it where J_z > 0; FIXEDLAYER_BOTTOM turns the
sign of beta (mumax/3, pull request 121). Electrons flow here along +z where current_density > 0, so scripts say
FIXEDLAYER_BOTTOM and J_z = -current_density. That holds with the fixed magnet on the right too: FIXEDLAYER_BOTTOM with
the Pol and EpsilonPrime of that map, of the other sign, is FIXEDLAYER_TOP with the usual ones. Up to version 3.9.3 the
term alpha A' had the wrong sign (issue 99). Scripts are tested against these formulas, not by runs of mumax3.
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
from qtorque.units import GYROMAGNETIC_RATIO

TABLE_ROWS = 1000
"""Rows of the table a script writes."""


def mumax3_snippet(
    free: Macrospin, parameters: SlonczewskiParameters, *, initial: str | ArrayLike, duration: float
) -> str:
    """A mumax3 script of the macrospin itself: one cell, with the demagnetising factors of the free layer.

    It solves the same equation as `qtorque.llg` at 0 K. For a magnet with exchange see `mumax3_grid_snippet`.

    Parameters
    ----------
    free, parameters
        The layer, and the torque on it: `SlonczewskiFit.at_voltage`, or numbers of your own.
    initial : unit vector beside p
    duration : s

    Raises
    ------
    InputError
        For polarization = 0, which mumax3 refuses, an initial direction along p, a duration that is not positive.
    """
    edge = math.sqrt(free.area)
    grid = [
        "// One cell: the macrospin itself.",
        "SetGridSize(1, 1, 1)",
        f"SetCellSize({numbers([edge, edge, free.thickness])})",
        "",
    ]
    rows = ", ".join(f"ConstVector({numbers(row)})" for row in -shape_tensor(free))
    shape = [
        "// mumax3 would demagnetise a cuboid. These are the demagnetising factors of the free layer instead:",
        "EnableDemag = false",
        f"shape_field := MulMV({rows}, m)",
        "AddFieldTerm(shape_field)",
        "AddEdensTerm(Mul(Const(-0.5), Dot(shape_field, M_full)))",
        "",
    ]
    return _script(free, parameters, initial, duration, grid, shape)


def mumax3_grid_snippet(
    free: Macrospin,
    parameters: SlonczewskiParameters,
    *,
    initial: str | ArrayLike,
    duration: float,
    exchange_stiffness: float,
    largest_cell: float = 2e-9,
) -> str:
    """A mumax3 script of a disc of the same area on a grid, with exchange and numerical demagnetisation.

    Its demagnetising factors follow from its shape; those of the macrospin stand beside it in a comment.

    Parameters
    ----------
    free, parameters, initial, duration
        As in `mumax3_snippet`.
    exchange_stiffness : J/m
    largest_cell : m
        Of a square cell in the plane; the layer is one cell thick.

    Raises
    ------
    InputError
        As `mumax3_snippet`, and for an exchange stiffness or cell that is not positive.
    """
    exchange_stiffness = positive_number("exchange_stiffness", exchange_stiffness, "J/m")
    largest_cell = positive_number("largest_cell", largest_cell, "m")
    diameter = 2 * math.sqrt(free.area / math.pi)
    # Even and a multiple of 4: mumax3 transforms grids with small prime factors fast.
    cells = max(4 * math.ceil(diameter / largest_cell / 4), 4)
    grid = [
        "// A disc of the same area, one cell thick.",
        f"SetGridSize({cells}, {cells}, 1)",
        f"SetCellSize({numbers([diameter / cells, diameter / cells, free.thickness])})",
        f"SetGeom(Circle({numbers(diameter)}))",
        f"Aex = {numbers(exchange_stiffness)}",
        "",
    ]
    factors = numbers(np.asarray(free.demag))
    shape = [
        f"// mumax3 demagnetises this disc numerically; the macrospin had the factors {factors}.",
        "EnableDemag = true",
        "",
    ]
    return _script(free, parameters, initial, duration, grid, shape)


def _script(
    free: Macrospin,
    parameters: SlonczewskiParameters,
    initial: str | ArrayLike,
    duration: float,
    grid: list[str],
    shape: list[str],
) -> str:
    duration = positive_number("duration", duration, "s")
    if parameters.polarization == 0 and parameters.current_density != 0:
        raise InputError("polarization=0 with a current is refused by mumax3; give current_density=0, or another code")
    m = initial_direction(free, initial)
    magnet = [
        f"Msat = {numbers(free.Ms)}",
        f"alpha = {numbers(free.alpha)}",
        f"GammaLL = {numbers(GYROMAGNETIC_RATIO)}",
        f"Ku1 = {numbers(anisotropy(free, parameters))}",
        f"Ku2 = {numbers(free.second_order_anisotropy)}",
        f"AnisU = vector({numbers(free.easy_axis)})",
    ]
    if free.cubic_anisotropy != 0:
        magnet += [
            f"Kc1 = {numbers(free.cubic_anisotropy)}",
            f"AnisC1 = vector({numbers(free.cubic_axes[0])})",
            f"AnisC2 = vector({numbers(free.cubic_axes[1])})",
        ]
    torque = [
        "// Slonczewski torque. J is the flow of positive charge: along -z where electrons go from left to right, +z.",
        "DisableZhangLiTorque = true",
        "FixedLayerPosition = FIXEDLAYER_BOTTOM",
        f"FixedLayer = vector({numbers(free.fixed)})",
        f"J = vector({numbers([0, 0, -parameters.current_density])})",
        f"Pol = {numbers(parameters.polarization)}",
        f"Lambda = {numbers(parameters.Lambda)}",
        f"EpsilonPrime = {numbers(parameters.epsilon_prime)}",
        f"FreeLayerThickness = {numbers(free.thickness)}",
        "",
        f"B_ext = vector({numbers(constant_field(free, parameters))})",
        f"m = Uniform({numbers(m)})",
        f"TableAutoSave({numbers(duration / TABLE_ROWS)})",
        f"Run({numbers(duration)})",
    ]
    head = ["Written by qtorque for mumax3 3.10 or later; before, alpha EpsilonPrime had the wrong sign."]
    comments = [f"// {line}" for line in head + description(free, parameters)]
    return "\n".join([*comments, "", *grid, *magnet, "", *shape, *torque]) + "\n"

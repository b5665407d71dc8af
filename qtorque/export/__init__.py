"""Bridges to other codes: the closed form that comes nearest to a torque map, scripts that run it, and file formats.

`fit_slonczewski` turns a `TorqueMap` into the numbers that micromagnetic codes ask for. The `..._snippet` functions
write them into a script for mumax3, OOMMF or cmtj, with the signs of that code. ODT tables and OVF 2.0 fields go both
ways. SI throughout, and m is the direction of the magnetic moment, as everywhere right of the seam.
"""

from qtorque.export._free_layer import tilted_direction
from qtorque.export.cmtj import cmtj_snippet
from qtorque.export.files import save_script
from qtorque.export.mumax3 import mumax3_grid_snippet, mumax3_snippet
from qtorque.export.odt import read_odt, save_odt
from qtorque.export.oommf import oommf_snippet
from qtorque.export.ovf import VectorField, read_ovf, save_ovf
from qtorque.export.slonczewski_fit import (
    SlonczewskiFit,
    SlonczewskiForm,
    SlonczewskiParameters,
    fit_slonczewski,
)

__all__ = [
    "SlonczewskiFit",
    "SlonczewskiForm",
    "SlonczewskiParameters",
    "VectorField",
    "cmtj_snippet",
    "fit_slonczewski",
    "mumax3_grid_snippet",
    "mumax3_snippet",
    "oommf_snippet",
    "read_odt",
    "read_ovf",
    "save_odt",
    "save_ovf",
    "save_script",
    "tilted_direction",
]

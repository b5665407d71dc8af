"""Figures of results: each function takes what the package computes and returns a matplotlib `Figure`.

Figures are made without pyplot, so no window system is asked for and nothing is kept behind the scenes; in a notebook a
returned figure shows itself. `save_figure` writes one to a file. matplotlib is imported on first use.
"""

from qtorque.plot._figure import save_figure
from qtorque.plot.switching import switching_probability
from qtorque.plot.transport import (
    above_error,
    complex_bands,
    configuration_average,
    coupling_versus_thickness,
    lattice,
    layer_profile,
    mixing_conductance_map,
    nonlocal_resistance,
    torkance_versus_thickness,
    torque_versus_angle,
    torque_versus_voltage,
    transmission_map,
    transmitted_mixing_versus_thickness,
)

__all__ = [
    "above_error",
    "complex_bands",
    "configuration_average",
    "coupling_versus_thickness",
    "lattice",
    "layer_profile",
    "mixing_conductance_map",
    "nonlocal_resistance",
    "save_figure",
    "switching_probability",
    "torkance_versus_thickness",
    "torque_versus_angle",
    "torque_versus_voltage",
    "transmission_map",
    "transmitted_mixing_versus_thickness",
]

"""Figures of results: each function takes what the package computes and returns a matplotlib `Figure`.

Figures are made without pyplot, so no window system is asked for and nothing is kept behind the scenes; in a notebook a
returned figure shows itself. `save_figure` writes one to a file. matplotlib is imported on first use.
"""

from qtorque.plot._figure import save_figure
from qtorque.plot.activation import lifetime
from qtorque.plot.bulk import band_structure, density_of_states, fermi_surface
from qtorque.plot.diffusion import diffusive_valve, diffusive_valve_versus
from qtorque.plot.interface_table import film_mixing, interface_conductances, mixing_in_zone
from qtorque.plot.phases import hysteresis, phase_diagram
from qtorque.plot.resonance import spin_torque_resonance
from qtorque.plot.slonczewski_fit import slonczewski_fit
from qtorque.plot.spectra import noise_spectrum, oscillator_spectrum
from qtorque.plot.spin_hall import spin_hall_bilayer
from qtorque.plot.spin_hall_conductivity import spin_hall_versus_energy
from qtorque.plot.switching import switching_probability
from qtorque.plot.trajectory import trajectory_on_sphere
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
from qtorque.plot.validation import model_comparison, spacer_resistance, specular_spacer
from qtorque.plot.valve_torque import spin_valve_torque
from qtorque.plot.write_error import switching_times, write_error_rate

__all__ = [
    "above_error",
    "band_structure",
    "complex_bands",
    "configuration_average",
    "coupling_versus_thickness",
    "density_of_states",
    "diffusive_valve",
    "diffusive_valve_versus",
    "fermi_surface",
    "film_mixing",
    "hysteresis",
    "interface_conductances",
    "lattice",
    "layer_profile",
    "lifetime",
    "mixing_conductance_map",
    "mixing_in_zone",
    "model_comparison",
    "noise_spectrum",
    "nonlocal_resistance",
    "oscillator_spectrum",
    "phase_diagram",
    "save_figure",
    "slonczewski_fit",
    "spacer_resistance",
    "specular_spacer",
    "spin_hall_bilayer",
    "spin_hall_versus_energy",
    "spin_valve_torque",
    "spin_torque_resonance",
    "switching_probability",
    "switching_times",
    "torkance_versus_thickness",
    "torque_versus_angle",
    "torque_versus_voltage",
    "trajectory_on_sphere",
    "transmission_map",
    "transmitted_mixing_versus_thickness",
    "write_error_rate",
]

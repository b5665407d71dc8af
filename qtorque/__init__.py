"""qtorque: from a lattice to a magnetisation trajectory.

Spin-resolved quantum transport with Kwant as the model builder, spin-transfer torques, and Landau-Lifshitz-Gilbert
dynamics driven by them. Names load on first use, so that `import qtorque` takes no time.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from qtorque.bias import interlayer_coupling, layer_torque, spin_torque, torkance
    from qtorque.bloch import layered
    from qtorque.brillouin import kmesh, kpoints
    from qtorque.bulk import bands
    from qtorque.conductances import (
        conductance,
        k_average,
        magnetoresistance_ratio,
        mixing_conductance,
        per_area,
        polarization,
        schep_corrected,
        sharvin_conductance,
        tmr,
        transmission,
        transmitted_mixing_conductance,
    )
    from qtorque.electron_counts import layer_charges
    from qtorque.errors import InputError
    from qtorque.evanescent import complex_bands
    from qtorque.extraction import interface_parameters, without_sharvin_resistance
    from qtorque.fermi_surface import bulk_sharvin_conductance, fermi_surface_cut
    from qtorque.interfaces import InterfaceParameters
    from qtorque.linear_response import k_resolved_torkance, linear_torkance
    from qtorque.materials import Material, arithmetic_mean, geometric_mean, single_band, slater_koster
    from qtorque.metal_interfaces import mesh_symmetry
    from qtorque.neutrality import neutral
    from qtorque.plain_kwant import kwant_script
    from qtorque.scattering import Scattering, solve
    from qtorque.spin_hall import anomalous_hall_conductivity, spin_hall_conductivity, spin_hall_symmetry
    from qtorque.stack import Layer, Lead, Stack
    from qtorque.strain import strained
    from qtorque.supercell import in_plane_supercell, site_generator
    from qtorque.tetrahedra import bulk_density_of_states, fermi_energy, magnetic_moment
    from qtorque.thermoelectric import thermopower
    from qtorque.torquemap import TorqueMap
    from qtorque.wannier90 import read_wannier90

_HOME = {
    "interlayer_coupling": "bias",
    "layer_torque": "bias",
    "spin_torque": "bias",
    "torkance": "bias",
    "layered": "bloch",
    "kmesh": "brillouin",
    "kpoints": "brillouin",
    "bands": "bulk",
    "conductance": "conductances",
    "k_average": "conductances",
    "magnetoresistance_ratio": "conductances",
    "mixing_conductance": "conductances",
    "per_area": "conductances",
    "polarization": "conductances",
    "schep_corrected": "conductances",
    "sharvin_conductance": "conductances",
    "tmr": "conductances",
    "transmission": "conductances",
    "transmitted_mixing_conductance": "conductances",
    "InputError": "errors",
    "complex_bands": "evanescent",
    "interface_parameters": "extraction",
    "without_sharvin_resistance": "extraction",
    "bulk_sharvin_conductance": "fermi_surface",
    "fermi_surface_cut": "fermi_surface",
    "InterfaceParameters": "interfaces",
    "k_resolved_torkance": "linear_response",
    "linear_torkance": "linear_response",
    "Material": "materials",
    "arithmetic_mean": "materials",
    "geometric_mean": "materials",
    "single_band": "materials",
    "slater_koster": "materials",
    "mesh_symmetry": "metal_interfaces",
    "layer_charges": "electron_counts",
    "neutral": "neutrality",
    "kwant_script": "plain_kwant",
    "Scattering": "scattering",
    "solve": "scattering",
    "anomalous_hall_conductivity": "spin_hall",
    "spin_hall_conductivity": "spin_hall",
    "spin_hall_symmetry": "spin_hall",
    "Layer": "stack",
    "Lead": "stack",
    "Stack": "stack",
    "in_plane_supercell": "supercell",
    "site_generator": "supercell",
    "strained": "strain",
    "bulk_density_of_states": "tetrahedra",
    "fermi_energy": "tetrahedra",
    "magnetic_moment": "tetrahedra",
    "thermopower": "thermoelectric",
    "TorqueMap": "torquemap",
    "read_wannier90": "wannier90",
}
_MODULES = ("diffusion", "export", "llg", "plot")

__all__ = [
    "InputError",
    "InterfaceParameters",
    "Layer",
    "Lead",
    "Material",
    "Scattering",
    "Stack",
    "TorqueMap",
    "anomalous_hall_conductivity",
    "arithmetic_mean",
    "bands",
    "bulk_density_of_states",
    "bulk_sharvin_conductance",
    "complex_bands",
    "conductance",
    "fermi_energy",
    "fermi_surface_cut",
    "geometric_mean",
    "in_plane_supercell",
    "interface_parameters",
    "interlayer_coupling",
    "k_average",
    "k_resolved_torkance",
    "kmesh",
    "kpoints",
    "kwant_script",
    "layer_charges",
    "layer_torque",
    "layered",
    "linear_torkance",
    "magnetic_moment",
    "magnetoresistance_ratio",
    "mesh_symmetry",
    "mixing_conductance",
    "neutral",
    "per_area",
    "polarization",
    "read_wannier90",
    "schep_corrected",
    "sharvin_conductance",
    "single_band",
    "site_generator",
    "slater_koster",
    "solve",
    "spin_hall_conductivity",
    "spin_hall_symmetry",
    "spin_torque",
    "strained",
    "thermopower",
    "tmr",
    "torkance",
    "transmission",
    "transmitted_mixing_conductance",
    "without_sharvin_resistance",
]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"qtorque.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'qtorque' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"qtorque.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *_MODULES])

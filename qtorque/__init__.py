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
    from qtorque.errors import InputError
    from qtorque.evanescent import complex_bands
    from qtorque.extraction import interface_parameters, without_sharvin_resistance
    from qtorque.interfaces import InterfaceParameters
    from qtorque.linear_response import k_resolved_torkance, linear_torkance
    from qtorque.materials import Material, arithmetic_mean, geometric_mean, single_band, slater_koster
    from qtorque.scattering import Scattering, solve
    from qtorque.stack import Layer, Lead, Stack
    from qtorque.supercell import in_plane_supercell, site_generator
    from qtorque.thermoelectric import thermopower
    from qtorque.torquemap import TorqueMap

_HOME = {
    "interlayer_coupling": "bias",
    "layer_torque": "bias",
    "spin_torque": "bias",
    "torkance": "bias",
    "layered": "bloch",
    "kmesh": "brillouin",
    "kpoints": "brillouin",
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
    "InterfaceParameters": "interfaces",
    "k_resolved_torkance": "linear_response",
    "linear_torkance": "linear_response",
    "Material": "materials",
    "arithmetic_mean": "materials",
    "geometric_mean": "materials",
    "single_band": "materials",
    "slater_koster": "materials",
    "Scattering": "scattering",
    "solve": "scattering",
    "Layer": "stack",
    "Lead": "stack",
    "Stack": "stack",
    "in_plane_supercell": "supercell",
    "site_generator": "supercell",
    "thermopower": "thermoelectric",
    "TorqueMap": "torquemap",
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
    "arithmetic_mean",
    "complex_bands",
    "conductance",
    "geometric_mean",
    "in_plane_supercell",
    "interface_parameters",
    "interlayer_coupling",
    "k_average",
    "k_resolved_torkance",
    "kmesh",
    "kpoints",
    "layer_torque",
    "layered",
    "linear_torkance",
    "magnetoresistance_ratio",
    "mixing_conductance",
    "per_area",
    "polarization",
    "schep_corrected",
    "sharvin_conductance",
    "single_band",
    "site_generator",
    "slater_koster",
    "solve",
    "spin_torque",
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

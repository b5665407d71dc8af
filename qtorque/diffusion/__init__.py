"""Drift-diffusion and circuit theory: semiclassical spin transport, exactly solved. SI, spin frame."""

from qtorque.diffusion.angles import Magnetoresistance, angular_dependence, magnetoresistance, torque_map
from qtorque.diffusion.bridge import interface_from
from qtorque.diffusion.circuit import Circuit, CircuitSolution, Connection, Node, solve_circuit
from qtorque.diffusion.elements import Interface, Layer, Lead, Reservoir
from qtorque.diffusion.multilayer import Magnet, Multilayer, MultilayerSolution, SpinResolved, solve_multilayer
from qtorque.diffusion.spin_diffusion import (
    DiffusiveLayer,
    einstein_diffusion_constant,
    hanle_signal,
    spin_accumulation_versus_time,
    spin_diffusion_length,
    spin_relaxation_time,
    steady_spin_accumulation,
)
from qtorque.diffusion.spin_hall import (
    SpinHallBilayer,
    SpinHallSolution,
    effective_mixing_conductance,
    equivalent_fields,
    inverse_spin_hall_field,
    pumping_damping,
    solve_spin_hall,
    spin_hall_efficiency,
    spin_hall_resistivity,
)
from qtorque.diffusion.spin_hall_mechanisms import spin_hall_angle
from qtorque.diffusion.spin_hall_sweep import spin_hall_versus_thickness

__all__ = [
    "Circuit",
    "CircuitSolution",
    "Connection",
    "DiffusiveLayer",
    "Interface",
    "Layer",
    "Lead",
    "Magnet",
    "Magnetoresistance",
    "Multilayer",
    "MultilayerSolution",
    "Node",
    "Reservoir",
    "SpinHallBilayer",
    "SpinHallSolution",
    "SpinResolved",
    "angular_dependence",
    "interface_from",
    "effective_mixing_conductance",
    "einstein_diffusion_constant",
    "equivalent_fields",
    "hanle_signal",
    "inverse_spin_hall_field",
    "magnetoresistance",
    "pumping_damping",
    "solve_circuit",
    "solve_multilayer",
    "solve_spin_hall",
    "spin_accumulation_versus_time",
    "spin_diffusion_length",
    "spin_hall_angle",
    "spin_hall_efficiency",
    "spin_hall_resistivity",
    "spin_hall_versus_thickness",
    "spin_relaxation_time",
    "steady_spin_accumulation",
    "torque_map",
]

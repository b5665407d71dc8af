"""Drift-diffusion and circuit theory: semiclassical spin transport, exactly solved. SI, spin frame."""

from qtorque.diffusion.angles import angular_dependence, torque_map
from qtorque.diffusion.circuit import Circuit, CircuitSolution, Connection, Node, solve_circuit
from qtorque.diffusion.elements import Interface, Layer, Lead, Reservoir
from qtorque.diffusion.multilayer import Magnet, Multilayer, MultilayerSolution, solve_multilayer

__all__ = [
    "Circuit",
    "CircuitSolution",
    "Connection",
    "Interface",
    "Layer",
    "Lead",
    "Magnet",
    "Multilayer",
    "MultilayerSolution",
    "Node",
    "Reservoir",
    "angular_dependence",
    "solve_circuit",
    "solve_multilayer",
    "torque_map",
]

"""Magnetisation dynamics of a free layer under the torque of a `TorqueMap`. SI; fields as mu_0 H in tesla.

The direction m is that of the magnetic moment; a map holds the frame of the spin, m = -s. The change of frame is made
where a map enters the equation of motion, nowhere else.
"""

from qtorque.llg.closed_forms import Slonczewski, SpinOrbitTorque, TwoPolarizers
from qtorque.llg.drive import FieldDrive, Waveform, chirp, constant, pulse, read_waveform, sampled, sine
from qtorque.llg.dynamics import run
from qtorque.llg.ensemble import ensemble
from qtorque.llg.fokker_planck import escape_rate, fokker_planck, mean_switching_time, switching_rate
from qtorque.llg.landscape import Landscape, landscape
from qtorque.llg.lifetime import Lifetime, brown_rate, kramers_langer_rate, lifetime, retention
from qtorque.llg.loops import field_hysteresis, voltage_hysteresis
from qtorque.llg.lorentzian import LorentzianFit, fit_lorentzian, fit_resonances
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.pair import CoupledMacrospins
from qtorque.llg.passages import extrapolated_passages, switching_times
from qtorque.llg.phases import phase_diagram
from qtorque.llg.pumping import spin_pumping_damping, with_spin_pumping
from qtorque.llg.resistance import (
    AngularResistance,
    AnisotropicResistance,
    junction_conductance,
    junction_current,
    junction_resistance,
    junction_voltage,
    resistance_area_product,
)
from qtorque.llg.resonance import linear_spin_torque_resonance, spin_torque_resonance
from qtorque.llg.spectra import oscillator, spectral_density
from qtorque.llg.stability import (
    CriticalCurrentDensity,
    CriticalVoltage,
    critical_current_density,
    critical_voltage,
    energy_barrier,
    growth_rate,
)
from qtorque.llg.switching import fokker_planck_switching_map, switching_map
from qtorque.llg.thresholds import critical_current_density_by_simulation, critical_voltage_by_simulation

__all__ = [
    "AngularResistance",
    "AnisotropicResistance",
    "CoupledMacrospins",
    "CriticalCurrentDensity",
    "CriticalVoltage",
    "FieldDrive",
    "Landscape",
    "Lifetime",
    "LorentzianFit",
    "Macrospin",
    "Slonczewski",
    "SpinOrbitTorque",
    "TwoPolarizers",
    "Waveform",
    "brown_rate",
    "chirp",
    "constant",
    "critical_current_density",
    "critical_current_density_by_simulation",
    "critical_voltage",
    "critical_voltage_by_simulation",
    "energy_barrier",
    "ensemble",
    "escape_rate",
    "extrapolated_passages",
    "field_hysteresis",
    "fit_lorentzian",
    "fit_resonances",
    "fokker_planck",
    "fokker_planck_switching_map",
    "growth_rate",
    "junction_conductance",
    "junction_current",
    "junction_resistance",
    "junction_voltage",
    "kramers_langer_rate",
    "landscape",
    "lifetime",
    "linear_spin_torque_resonance",
    "mean_switching_time",
    "oscillator",
    "phase_diagram",
    "pulse",
    "read_waveform",
    "resistance_area_product",
    "retention",
    "run",
    "sampled",
    "sine",
    "spectral_density",
    "spin_pumping_damping",
    "spin_torque_resonance",
    "switching_map",
    "switching_rate",
    "switching_times",
    "voltage_hysteresis",
    "with_spin_pumping",
]

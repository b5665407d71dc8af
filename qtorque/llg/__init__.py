"""Magnetisation dynamics of a free layer under the torque of a `TorqueMap`. SI; fields as mu_0 H in tesla.

The direction m is that of the magnetic moment; a map holds the frame of the spin, m = -s. The change of frame is made
where a map enters the equation of motion, nowhere else.
"""

from qtorque.llg.closed_forms import Slonczewski, SpinOrbitTorque, TwoPolarizers
from qtorque.llg.drive import FieldDrive, Waveform, chirp, constant, pulse, read_waveform, sampled, sine
from qtorque.llg.dynamics import run
from qtorque.llg.ensemble import ensemble
from qtorque.llg.macrospin import Macrospin
from qtorque.llg.pair import CoupledMacrospins
from qtorque.llg.stability import (
    CriticalCurrentDensity,
    CriticalVoltage,
    critical_current_density,
    critical_voltage,
    energy_barrier,
    growth_rate,
)

__all__ = [
    "CoupledMacrospins",
    "CriticalCurrentDensity",
    "CriticalVoltage",
    "FieldDrive",
    "Macrospin",
    "Slonczewski",
    "SpinOrbitTorque",
    "TwoPolarizers",
    "Waveform",
    "chirp",
    "constant",
    "critical_current_density",
    "critical_voltage",
    "energy_barrier",
    "ensemble",
    "growth_rate",
    "pulse",
    "read_waveform",
    "run",
    "sampled",
    "sine",
]

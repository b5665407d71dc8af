"""Physical constants (CODATA, through scipy) and the changes of unit between a cell and SI.

Left of the seam (`qtorque.torquemap`) energies are eV and lengths nm; right of it everything is SI.
"""

import scipy.constants as _codata

ELEMENTARY_CHARGE = _codata.e
"""C; also 1 eV in J."""
HBAR = _codata.hbar
"""J s."""
BOLTZMANN = _codata.k
"""J/K."""
BOLTZMANN_EV = _codata.k / _codata.e
"""eV/K."""
VACUUM_PERMEABILITY = _codata.mu_0
"""T m/A."""
GYROMAGNETIC_RATIO = _codata.physical_constants["electron gyromag. ratio"][0]
"""gamma = g mu_B / hbar of the free electron, 1/(s T)."""
CONDUCTANCE_QUANTUM_PER_SPIN = _codata.e**2 / _codata.h
"""e^2/h in S, one spin."""
CURRENT_PER_EV = _codata.e**2 / _codata.h
"""A per eV: I = (e/h) Int dE T(E) with E in eV, because (e/h)(1 eV) = e^2/h x 1 V."""
NM2 = 1e-18
"""m^2 in one nm^2."""


def joule(electronvolt):
    """Energy in J of an energy in eV."""
    return electronvolt * ELEMENTARY_CHARGE


def conductance_per_area(conductance, area):
    """Conductance in Ohm^-1 m^-2 from a dimensionless one (e^2/h per cell and spin) and the cell's area in nm^2."""
    return conductance * (CONDUCTANCE_QUANTUM_PER_SPIN / (area * NM2))


def energy_per_area(energy, area):
    """Energy (or torque) in J/m^2 from eV per cell and the cell's area in nm^2."""
    return energy * (ELEMENTARY_CHARGE / (area * NM2))


def torkance_per_area(torkance, area):
    """Torkance in (hbar/2e) Ohm^-1 m^-2 from eV/V per cell and the cell's area in nm^2."""
    return energy_per_area(torkance, area) / (HBAR / (2 * ELEMENTARY_CHARGE))

"""Thermopower and electronic heat conductance of a stack, from the energy dependence of its transmission.

The torque and the current that a difference of temperatures drives are those of `spin_torque` with
`temperature=(left, right)`; here is the linear response of current and heat, for any stack, magnetic or not.
"""

import warnings

import numpy as np
import xarray as xr

from qtorque.bloch import as_layered
from qtorque.brillouin import as_kset, interleaved_chunks, require_symmetry
from qtorque.conductances import CONDUCTANCE_UNIT
from qtorque.errors import InputError, finite_number
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks, sum_in_order
from qtorque.quadrature import integrate
from qtorque.scattering import require_open_leads
from qtorque.sweeps import WARNED_SHARE, momenta_at_once
from qtorque.torque import Cuts, resonance_panels, window_kernel
from qtorque.units import BOLTZMANN, BOLTZMANN_EV, HBAR

WIDTH = 40.0
"""Half of the energy range, in kT: x^2 times the derivative of the Fermi function is 1e-14 there."""
FIRST_EDGES = np.array([-12.0, -4.0, 0.0, 4.0, 12.0])
"""Ends of the first intervals, in kT: the derivative of the Fermi function is a few kT wide."""
DEFAULT_TOLERANCE = 1e-6
"""Of each moment, relative to the largest: the thermopower is then good to k_B/e times this, 1e-10 V/K, which no mesh
of momenta is."""
ORDERS = 3
SYMMETRY_NODES = np.array([-3.0, -0.7, 1.1, 3.5])
"""Energies, in kT from the chemical potential, at which a declared symmetry is verified: where the moments gather."""


def thermopower(
    system,
    *,
    temperature: float,
    kmesh,
    energy: float = 0.0,
    angle: float | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Seebeck coefficient, conductance and electronic heat conductance between the leads of a stack.

    With L_n = sum_k w_k Int dE T(E) ((E - mu)/kT)^n (-df/dE), in linear response

        S = V/(T_L - T_R) at zero current = -(k_B/e) L_1/L_0,      G = (e^2/h) L_0,
        kappa = (k_B^2 T/h) (L_2 - L_1^2/L_0) at zero current.

    V is the voltage of qtorque, mu_L - mu_R = eV. With e > 0 the electrostatic potential is lower where mu is higher,
    so S has the sign of the tables: negative where the transmission grows with energy and hot electrons flow off. At
    low temperature S = -(pi^2/3)(k_B^2 T/e) d ln T/dE (Mott) and kappa = (pi^2/3)(k_B/e)^2 G T (Wiedemann-Franz).

    Parameters
    ----------
    system
        A `Stack` or the result of `layered`.
    temperature
        K, the mean of both leads; above 0.
    kmesh
        `qt.kmesh(n)` or `qt.kpoints(points)`.
    energy
        Chemical potential mu, eV.
    angle
        Of the free to the fixed magnet, rad; as declared if None.
    tolerance
        Of the energy integrals, relative to the largest moment of a chunk of momenta.
    comm
        An MPI communicator; the result does not depend on its size.
    checkpoint
        Keeps finished chunks (`parallel.Checkpoint`); a part of its own for every call.
    progress
        A label for progress lines; silent if None.

    Returns
    -------
    Dataset
        `thermopower` (V/K), `conductance` (e^2/h per cell), `heat_conductance` (W/K per cell), `moment`
        (order): the L_n, and `energy_error` (order): the achieved error of each, e^2/h per cell. Where one is more than
        ten times what the tolerance allows, a warning says so.

    Raises
    ------
    InputError
        For bad arguments, a temperature of 0, a declared symmetry that the transmission does not have, leads without
        open channels, or a transmission of 0 within 40 kT.

    Notes
    -----
    Phonons are not in it, nor any change of the bands with the temperature. T(E) is the current through the first cut
    that a window of unit width drives, the same that `spin_torque` integrates.
    U. Sivan and Y. Imry, Phys. Rev. B 33, 551 (1986) (cited from memory).
    """
    temperature = finite_number("temperature", temperature, "K")
    energy = finite_number("energy", energy, "eV")
    if temperature <= 0:
        raise InputError(f"temperature={temperature:g} must be above 0 K; the thermopower vanishes as T does")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance={tolerance!r} must lie between 0 and 1")
    if angle is not None:
        angle = finite_number("angle", angle, "rad")
    stack, kset = as_layered(system), as_kset(kmesh)
    chains, first_cut, order = [stack.chain(angle)], Cuts((0,)), np.arange(ORDERS)
    thermal = BOLTZMANN_EV * temperature
    require_open_leads(chains[0], kset, energy)

    def transmission(k: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 4 * np.pi * window_kernel(chains, first_cut, k, energy + thermal * x)[..., 0]

    require_symmetry(kset, lambda k: transmission(k, np.broadcast_to(SYMMETRY_NODES, (len(k), len(SYMMETRY_NODES)))))

    def one(index: range) -> tuple[np.ndarray, np.ndarray]:
        k, weights = kset.take(index)

        def integrand(which: np.ndarray, x: np.ndarray) -> np.ndarray:
            weight = x[..., None] ** order / (4 * np.cosh(x / 2) ** 2)[..., None]
            return transmission(k[which], x)[..., None] * weight

        peaks = resonance_panels(chains, k, energy - WIDTH * thermal, energy + WIDTH * thermal)
        found = integrate(
            integrand, -WIDTH, WIDTH, weights, tolerance=tolerance, reference=np.ones(ORDERS, dtype=bool),
            breakpoints=[np.concatenate([FIRST_EDGES, (peak - energy) / thermal]) for peak in peaks],
        )  # fmt: skip
        return found.value, found.error

    checkpoint = checkpoint_part(checkpoint, "thermopower", chains, kset, energy, temperature, tolerance)
    chunks = interleaved_chunks(kset.size, momenta_at_once(stack))
    moment, error = sum_in_order(map_chunks(one, chunks, comm, checkpoint, progress))
    L0, L1, L2 = moment.tolist()
    if L0 <= 0:
        raise InputError(f"no transmission within {WIDTH:g} kT of energy={energy:g} eV; the thermopower is undefined")
    _report_accuracy(moment, error, tolerance, comm)
    planck = 2 * np.pi * HBAR
    variables = {
        "thermopower": ((), -BOLTZMANN_EV * L1 / L0, "V/K", "Seebeck coefficient, V/(T_L - T_R) at zero current"),
        "conductance": ((), L0, CONDUCTANCE_UNIT, "conductance at this temperature"),
        "heat_conductance": (
            (), BOLTZMANN**2 * temperature / planck * (L2 - L1**2 / L0), "W/K per cell",
            "electronic heat conductance at zero current",
        ),
        "moment": (("order",), moment, CONDUCTANCE_UNIT, "thermal moments L_n of the transmission"),
        "energy_error": (("order",), error, CONDUCTANCE_UNIT, "error of the energy integral of each moment"),
    }  # fmt: skip
    return xr.Dataset(
        {name: (dims, data, {"units": u, "long_name": text}) for name, (dims, data, u, text) in variables.items()},
        coords={"order": order},
        attrs={
            "temperature": temperature,
            "temperature_units": "K",
            "energy": energy,
            "energy_units": "eV",
            "cell_area": stack.area,
            "cell_area_units": "nm^2",
            "kmesh": repr(kset),
            "energy_tolerance": tolerance,
        },
    )


def _report_accuracy(moment: np.ndarray, error: np.ndarray, tolerance: float, comm) -> None:
    """Warn, once, where the energy quadrature of a moment ended short of its tolerance."""
    largest = float(np.abs(moment).max())
    n = int(np.argmax(error))
    if error[n] > WARNED_SHARE * tolerance * largest and (comm is None or comm.rank == 0):
        warnings.warn(
            f"thermopower: the energy quadrature of L_{n} is off by {error[n]:.2g}, where L_0 is {moment[0]:.2g} and "
            f"the largest moment {largest:.2g}: more than the tolerance {tolerance:g}; see energy_error",
            stacklevel=3,
        )

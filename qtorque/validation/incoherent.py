"""A valve of two thin magnets with a clean spacer: circuit theory of its parts, all together and momentum by momentum.

Averaged over the thickness of a clean spacer with one channel at every momentum, the phase of a round trip is random
and intensities are left (`qtorque.validation.specular` has the same for magnets that are leads). The distribution
matrices in the spacer, rho to the right and lambda to the left, obey

    rho = t_A t_A^dagger + r_A' lambda r_A'^dagger,    lambda = r_B rho r_B^dagger,

for electrons that come from the left through the slab A, the fixed magnet, against B, the free one; r and t are 2 x 2
in spin, diagonal along the magnet's axis, and r' is seen from the right. The charge and spin currents in the spacer are
Tr(rho - lambda) and Tr sigma(rho - lambda); to the left flows Tr sigma(r_A r_A^dagger + t_A' lambda t_A'^dagger), to
the right Tr sigma t_B rho t_B^dagger. It is circuit theory at that momentum, with the Sharvin correction, and as exact
as the average of the phase is. Circuit theory of the summed parameters mixes all momenta in the spacer instead;
G. E. W. Bauer et al., Phys. Rev. B 67, 094421 (2003) (from memory) need a diffuse spacer for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from qtorque.brillouin import KSet, kpoints
from qtorque.diffusion import Multilayer, Reservoir, interface_from
from qtorque.errors import InputError
from qtorque.extraction import interface_parameters, without_sharvin_resistance
from qtorque.interfaces import InterfaceParameters
from qtorque.parallel import map_chunks
from qtorque.scattering import Scattering, solve
from qtorque.spin import PAULI, direction_at, su2
from qtorque.stack import Stack
from qtorque.torque import SMALL_SINE, decompose
from qtorque.units import conductance_per_area, torkance_per_area
from qtorque.validation.models import QUANTITIES, UP
from qtorque.validation.specular import CLOSED
from qtorque.validation.studies import Run

CHUNK = 64
"""Momenta of one chunk of work; two slabs of nine orbitals take a second."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ValveParts:
    """What circuit theory knows of a valve: scattering values of its magnets, each a slab between normal leads.

    Attributes
    ----------
    fixed, free
        Summed over the momenta.
    per_momentum : (quantities, angles) or None
        `QUANTITIES` of circuit theory at every momentum, summed; Ohm^-1 m^-2 and (hbar/2e) Ohm^-1 m^-2. None where a
        momentum has several channels, which a clean spacer does not mix and whose phases are not independent.
    most_channels
        Of the normal metal at one momentum, each spin.
    """

    fixed: InterfaceParameters
    free: InterfaceParameters
    per_momentum: np.ndarray | None
    most_channels: int


def clean_valve(fixed: InterfaceParameters, free: InterfaceParameters, *, sharvin_corrected: bool = True) -> Multilayer:
    """Circuit theory of reservoir | fixed magnet | node | free magnet | reservoir.

    Parameters
    ----------
    fixed, free
        Scattering values of the slabs between normal leads. The contact resistance is taken off on the side of the
        spacer, which is the node; on the other side the lead is the reservoir, and keeps it.
    sharvin_corrected
        False leaves the contact resistance of the spacer in.
    """
    if sharvin_corrected:
        fixed = without_sharvin_resistance(fixed, corrected_sides=("right",))
        free = without_sharvin_resistance(free, corrected_sides=("left",))
    return Multilayer(
        left=Reservoir(),
        elements=[
            interface_from(fixed, magnetization=UP, name="fixed"),
            interface_from(free, magnetization=UP, name="free"),
        ],
        right=Reservoir(),
    )


def incoherent_currents(fixed: Scattering, free: Scattering, angle: float) -> np.ndarray:
    """Tr sigma_a of the currents in the left lead, the spacer and the right lead, a = 0, x, y, z: (3, 4, k).

    e^2/h and per unit window from left to right; divided by 4 pi the spin parts are eV per cell and volt.

    Parameters
    ----------
    fixed, free
        Slabs N|F|N, magnets along z, at the same momenta; the free one is turned to `angle` (rad).

    Raises
    ------
    InputError
        For magnetic leads, leads with several channels at a momentum, magnets that are not along z.
    """
    for s in (fixed, free):
        if any(s.lead_magnetic) or s.open_channels.max() > 1:
            raise InputError(
                f"a clean spacer is averaged for one normal channel at every momentum, not {s.open_channels.max()}; "
                "take another facet, or circuit theory of the summed parameters"
            )
        axis = s.magnet_axes[0]
        if axis is None or not np.array_equal(axis, UP):
            raise InputError(f"magnetization={axis!r} of a slab; leave it along z, angle= turns it")
    U = su2(direction_at(angle, UP))
    r_left, r_back, t_in, t_back = (
        _spin_matrix(fixed, p, q) for p, q in ((0, 0), (1, 1), (1, 0), (0, 1))
    )  # fmt: skip
    r_free, t_free = (U @ _spin_matrix(free, p, q) @ U.conj().T for p, q in ((0, 0), (1, 0)))
    enters = t_in @ _dagger(t_in)
    trip = r_back @ r_free
    kernel = np.einsum("kab,kcd->kacbd", trip, trip.conj()).reshape(-1, 4, 4)
    # A spin that never enters is never lost on its way either: the inverse leaves out what has no loss.
    rho = (np.linalg.pinv(np.eye(4) - kernel, rcond=CLOSED) @ enters.reshape(-1, 4, 1)).reshape(-1, 2, 2)
    back = r_free @ rho @ _dagger(r_free)
    is_open = (fixed.open_channels[:, 0, 0] == 1)[:, None, None]
    left = is_open * (np.eye(2) - r_left @ _dagger(r_left)) - t_back @ back @ _dagger(t_back)
    matrices = np.stack([left, rho - back, t_free @ rho @ _dagger(t_free)])
    return np.einsum("aij,nkji->nak", PAULI, matrices).real


def incoherent_quantities(fixed: Scattering, free: Scattering, angle: Sequence[float]) -> np.ndarray:
    """`QUANTITIES` at every angle, summed over the momenta with their weights, (quantities, angles).

    Ohm^-1 m^-2 and (hbar/2e) Ohm^-1 m^-2, sin(angle) removed; torques at 0 and pi are not a number. Where a magnet all
    but closes one spin, the coefficient at one momentum has a peak there as narrow as the transmission of that spin is
    small, and no mesh of momenta sums it. The torque itself vanishes.
    """
    return np.stack([_at_angle(fixed, free, float(a)) for a in angle], axis=1)


def valve_parts(
    fixed: Stack, free: Stack, *, kmesh: KSet, angle: Sequence[float], energy: float = 0.0, run: Run
) -> ValveParts:
    """Both magnets of a valve, solved as slabs between normal leads at the same momenta.

    Parameters
    ----------
    fixed, free
        N|F|N of either magnet alone, along z.
    run
        Where it runs (`qtorque.validation.Run`).
    """

    def one(index: range):
        k = kpoints(*kmesh.take(index))
        slabs = solve(fixed, energy=energy, kmesh=k), solve(free, energy=energy, kmesh=k)
        values = [interface_parameters(s, sharvin_corrected=False).to_dataset() for s in slabs]
        most = max(int(s.open_channels.max()) for s in slabs)
        return values, incoherent_quantities(*slabs, angle) if most <= 1 else None, most

    chunks = [range(start, min(start + CHUNK, kmesh.size)) for start in range(0, kmesh.size, CHUNK)]
    values, quantities, most = zip(*map_chunks(one, chunks, **run.arguments("parts", "magnets alone")), strict=True)
    # Sums over some momenta add up; what belongs to all of them is in the attributes of each.
    parameters = [
        InterfaceParameters.from_dataset(
            sum(each[1:], start=each[0]).assign_attrs({**each[0].attrs, "momenta": repr(kmesh)})
        )
        for each in zip(*values, strict=True)
    ]
    several = max(most) > 1
    return ValveParts(
        fixed=parameters[0],
        free=parameters[1],
        per_momentum=None if several else np.sum(quantities, axis=0),
        most_channels=max(most),
    )


def _at_angle(fixed: Scattering, free: Scattering, angle: float) -> np.ndarray:
    """`QUANTITIES` at one angle, (quantities,)."""
    currents = incoherent_currents(fixed, free, angle) @ fixed.kset.weights
    found = np.full(len(QUANTITIES), np.nan)
    found[0] = conductance_per_area(currents[1, 0], fixed.area)
    if abs(np.sin(angle)) >= SMALL_SINE:
        p, m = np.array(UP), direction_at(angle, UP)
        on_fixed, on_free = (
            torkance_per_area(lost / (4 * np.pi), fixed.area) for lost in -np.diff(currents[:, 1:], axis=0)
        )
        found[1:] = *decompose(on_free, m, p), *decompose(on_fixed, p, m)
    return found


def _spin_matrix(s: Scattering, out: int, source: int) -> np.ndarray:
    """The amplitudes of the only channel as 2 x 2 matrices in spin, (k, 2, 2); 1 of a reflection without channel."""
    S = s.amplitudes[out, source]
    # No index of a channel where none is open at any momentum.
    matrix = S[..., 0, 0] if S.shape[-1] else np.zeros((len(S), 2, 2), dtype=complex)
    closed = s.open_channels[:, source, 0] == 0
    return np.where(closed[:, None, None] & (out == source), np.eye(2), matrix)


def _dagger(matrix: np.ndarray) -> np.ndarray:
    return matrix.conj().swapaxes(-1, -2)

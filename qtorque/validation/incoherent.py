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
from qtorque.diffusion import Multilayer, Reservoir
from qtorque.errors import InputError, finite_number
from qtorque.extraction import SPIN_FLIP_TOLERANCE, interface_parameters
from qtorque.interfaces import InterfaceParameters
from qtorque.parallel import map_chunks
from qtorque.scattering import Scattering, solve
from qtorque.spin import PAULI, direction_at, su2
from qtorque.stack import Stack
from qtorque.torque import SMALL_SINE, decompose
from qtorque.units import conductance_per_area, torkance_per_area
from qtorque.validation.models import QUANTITIES, UP, magnets_of
from qtorque.validation.specular import distribution
from qtorque.validation.studies import Run

CHUNK = 64
"""Momenta of one chunk of work; two slabs of nine orbitals take a second."""
SAME_AREA = 1e-9
"""Relative difference of the cells of two slabs that is rounding."""


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
    channels : (k,)
        Most open channels of a lead at every momentum, each spin.
    shifted : (k,)
        Which momenta sit on a band edge of either slab, and were solved `qtorque.scattering.BAND_EDGE_SHIFT` above it.
    """

    fixed: InterfaceParameters
    free: InterfaceParameters
    per_momentum: np.ndarray | None
    channels: np.ndarray
    shifted: np.ndarray

    @property
    def most_channels(self) -> int:
        """Of the normal metal at one momentum, each spin."""
        return int(self.channels.max())


def clean_valve(fixed: InterfaceParameters, free: InterfaceParameters, *, sharvin_corrected: bool = True) -> Multilayer:
    """Circuit theory of reservoir | fixed magnet | node | free magnet | reservoir.

    Parameters
    ----------
    fixed, free
        Scattering values of the slabs between normal leads. The contact resistance is taken off on the side of the
        spacer, which is the node; on the other side the lead is the reservoir, and keeps it.
    sharvin_corrected
        False leaves the contact resistance of the spacer in.

    Raises
    ------
    InputError
        For parameters that are corrected already, or of cells of different area.
    """
    for name, p in (("fixed", fixed), ("free", free)):
        if p.sharvin_corrected:
            raise InputError(f"{name}=: Sharvin-corrected parameters; give scattering values (sharvin_corrected=False)")
    if not np.isclose(fixed.area, free.area, rtol=SAME_AREA, atol=0):
        raise InputError(f"free=: a cell of {free.area:.6g} nm^2 beside {fixed.area:.6g} nm^2; give one in-plane cell")
    elements = list(magnets_of(fixed, free, sharvin_corrected=sharvin_corrected))
    return Multilayer(left=Reservoir(), elements=elements, right=Reservoir())


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
        For magnetic leads, leads with several channels at a momentum, magnets that are not along z, slabs that flip
        spins, slabs at different momenta or energies, an angle that is no number.
    """
    angle = finite_number("angle", angle, "rad")
    same = fixed.energy == free.energy and fixed.kset.shape == free.kset.shape
    if not (same and all(np.array_equal(getattr(fixed.kset, x), getattr(free.kset, x)) for x in ("points", "weights"))):
        raise InputError(
            f"free=: solved at {free.energy:g} eV and {free.kset!r}, the fixed magnet at {fixed.energy:g} eV and "
            f"{fixed.kset!r}; solve both at the same momenta"
        )
    for s in (fixed, free):
        if not all(s.lead_spins_equal) or s.open_channels.max() > 1:
            raise InputError(
                f"a clean spacer is averaged for one normal channel at every momentum, not {s.open_channels.max()}; "
                "take another facet, or circuit theory of the summed parameters"
            )
        axis = s.magnet_axes[0]
        if axis is None or not np.array_equal(axis, UP):
            raise InputError(f"magnetization={axis!r} of a slab; leave it along z, angle= turns it")
        flipped = max(float(s.probabilities(p, q)[:, [0, 1], [1, 0]].max()) for p in range(2) for q in range(2))
        if flipped > SPIN_FLIP_TOLERANCE:
            raise InputError(
                f"a slab flips spins with the probability {flipped:.3g}, and angle= cannot turn its spin-orbit "
                "coupling; leave spin_orbit out of the materials"
            )
    U = su2(direction_at(angle, UP))
    r_left, r_back, t_in, t_back = (
        _spin_matrix(fixed, p, q) for p, q in ((0, 0), (1, 1), (1, 0), (0, 1))
    )  # fmt: skip
    r_free, t_free = (U @ _spin_matrix(free, p, q) @ U.conj().T for p, q in ((0, 0), (1, 0)))
    enters = t_in @ _dagger(t_in)
    rho = distribution(enters, r_back @ r_free)
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
    if len(angle) == 0:
        raise InputError("angle=[]: give at least one angle in rad")
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
        channels = np.max([s.open_channels.max(axis=(1, 2)) for s in slabs], axis=0)
        quantities = incoherent_quantities(*slabs, angle) if channels.max() <= 1 else None
        return values, quantities, channels, slabs[0].shifted | slabs[1].shifted

    chunks = [range(start, min(start + CHUNK, kmesh.size)) for start in range(0, kmesh.size, CHUNK)]
    found = map_chunks(one, chunks, **run.arguments(f"parts {kmesh!r}", f"magnets alone, {kmesh!r}"))
    values, quantities, each_channels, each_shifted = zip(*found, strict=True)
    # Sums over some momenta add up; what belongs to all of them is in the attributes of each.
    parameters = [
        InterfaceParameters.from_dataset(
            sum(each[1:], start=each[0]).assign_attrs({**each[0].attrs, "momenta": repr(kmesh)})
        )
        for each in zip(*values, strict=True)
    ]
    channels = np.concatenate(each_channels)
    return ValveParts(
        fixed=parameters[0],
        free=parameters[1],
        per_momentum=None if channels.max() > 1 else np.sum(quantities, axis=0),
        channels=channels,
        shifted=np.concatenate(each_shifted),
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

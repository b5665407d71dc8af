"""Mixing conductances of films N | F | N of many thicknesses between the same two leads.

The surface Green function of a metal with d orbitals takes longer than a thin film. Here it is found once at every
momentum for all films, and the films are joined to it one by one.
"""

from collections.abc import Sequence

import numpy as np

from qtorque._linalg import adjoint, multiply
from qtorque.bloch import as_layered
from qtorque.brillouin import KMesh, interleaved_chunks, require_symmetry
from qtorque.chain import Chain, lead_parts
from qtorque.errors import InputError
from qtorque.green import Phases, Sweeps
from qtorque.halves import Half
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks, sum_in_order
from qtorque.scattering import chunk_size, require_open_leads
from qtorque.single_channel import BAND_EDGE_SHIFT, LARGEST_UNITARITY_ERROR, no_solution
from qtorque.stack import Stack

LARGEST_CHUNK = 64
"""Momenta of one chunk: a mesh of 96 x 96 with the symmetry of fcc (111) has 817, which several ranks share."""


def film_conductances(
    stacks: Sequence[Stack],
    meshes: Sequence[KMesh],
    *,
    energy: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> np.ndarray:
    """Reflected and transmitted mixing conductance of films, summed over meshes: complex, (mesh, stack, 2).

    g = sum_k w_k {i Tr[Gamma_L (G_up - G_dn^dagger)] - Tr[Gamma_L G_up Gamma_L G_dn^dagger]}, G between the first layer
    and itself, and t = sum_k w_k Tr[Gamma_R G_up Gamma_L G_dn^dagger], G from the first layer to the last; in e^2/h per
    cell. They are what `qt.mixing_conductance` and `qt.transmitted_mixing_conductance` find of the amplitudes. By time
    reversal t from left to right at k is that from right to left at -k. The mean of both is summed, so that meshes may
    count k and -k as one even where a facet such as fcc (111) does not.

    Parameters
    ----------
    stacks
        Between the same two normal leads. All magnets along +z, so that up is the majority.
    meshes
        Of one symmetry, which the stacks have.
    energy
        eV.
    comm, checkpoint, progress
        As in `qt.conductance`.

    Raises
    ------
    InputError
        For leads that differ, are magnetic or have no open channel, magnets that are not along +z, meshes of several
        symmetries or of one that does not hold.
    """
    chains = [as_layered(stack).chain() for stack in stacks]
    _require_same_normal_leads(stacks, chains)
    if len({mesh.symmetry for mesh in meshes}) != 1:
        raise InputError(f"meshes={list(meshes)!r}: give meshes of one symmetry")
    require_open_leads(chains[0], meshes[-1], energy)
    require_symmetry(meshes[-1], lambda points: _at(chains, points, energy).reshape(len(points), -1))

    def summed(mesh: KMesh) -> np.ndarray:
        def one(index) -> np.ndarray:
            points, weights = mesh.take(index)
            return np.tensordot(weights, _at(chains, points, energy), axes=1)

        part = checkpoint_part(checkpoint, "film_conductances", chains, mesh, energy)
        chunks = interleaved_chunks(mesh.size, min(LARGEST_CHUNK, chunk_size(chains[0])))
        return np.asarray(sum_in_order(map_chunks(one, chunks, comm, part, progress and f"{progress} {mesh!r}")))

    return np.stack([summed(mesh) for mesh in meshes])


def _require_same_normal_leads(stacks: Sequence[Stack], chains: Sequence[Chain]) -> None:
    if any((s.left, s.right) != (stacks[0].left, stacks[0].right) for s in stacks):
        raise InputError("the films stand between unlike leads; give films between the same two")
    if not all(part.independent for part in lead_parts(chains[0])):
        raise InputError("a lead of the films depends on spin; give films between normal leads")
    if any(h.spin_part.axis not in (None, (0.0, 0.0, 1.0)) for chain in chains for h in chain.onsite):
        raise InputError("a magnet of the films is not along (0, 0, 1); turn it there")


class _BetweenKnownLeads(Sweeps):
    """Sweeps over a chain with the leads of another, whose surfaces are known: those of `like`."""

    def surface(self, lead: int) -> Half:
        assert self.like is not None, "made with like= only"
        return self.like.surface(lead)


def _at(chains: Sequence[Chain], k: np.ndarray, energy: float) -> np.ndarray:
    """g and t of every chain at momenta k, shape (nk, chain, 2); on a band edge slightly above it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values, lost = _solved(chains, k, energy)
        failed = ~(lost < LARGEST_UNITARITY_ERROR)
        if failed.any():
            values[failed], lost = _solved(chains, k[failed], energy + BAND_EDGE_SHIFT)
            solved = lost < LARGEST_UNITARITY_ERROR
            if not np.all(solved):
                raise no_solution(energy, k[failed][np.argmin(solved)])
    return values


def _solved(chains: Sequence[Chain], k: np.ndarray, energy: float) -> tuple[np.ndarray, np.ndarray]:
    """(g and t, the largest number of electrons that come in with a spin and do not go out) at momenta k."""
    phases, energies = Phases(k), np.array([[energy]])
    first = Sweeps(chains[0], phases, energies)
    values, lost = np.empty((len(k), len(chains), 2), dtype=complex), np.zeros(len(k))
    for number, chain in enumerate(chains):
        sweeps = _BetweenKnownLeads(chain, phases, energies, like=first) if number else first
        left, right = (1j * (s - adjoint(s)) for s in (sweeps.self_energy(lead).data[0, :, 0] for lead in range(2)))
        corners = sweeps.corners()
        near, onward, back = (corners[pair].data[:, :, 0] for pair in ((0, 0), (1, 0), (0, 1)))
        entered = [_trace(left, g) for g in near]
        reflected = [multiply(left, g, left) for g in near]
        transmitted = [multiply(right, g, left) for g in onward]
        returned = multiply(left, back[0], right)
        values[:, number, 0] = 1j * (entered[0].conj() - entered[1]) - _trace(reflected[0], near[1])
        values[:, number, 1] = (_trace(transmitted[0], onward[1]) + _trace(returned, back[1])) / 2
        for spin in range(2):
            gone = _trace(reflected[spin], near[spin]) + _trace(transmitted[spin], onward[spin])
            lost = np.maximum(lost, np.abs(2 * entered[spin].imag - gone.real))
    return values, lost


def _trace(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tr[a b^dagger] over k."""
    return np.einsum("kij,kij->k", a, b.conj())

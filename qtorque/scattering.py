"""Spin-resolved scattering matrices, from the layered engine or from Kwant.

Both engines give the retarded Green function G_pq between the leads' interfaces and the self-energies; one and the same
formula makes the amplitudes of it,

    S_pq = -delta_pq + i W_p^dagger G_pq W_q,    Gamma_p = i (Sigma_p - Sigma_p^dagger) = W_p W_p^dagger

(D. S. Fisher and P. A. Lee, Phys. Rev. B 23, 6851 (1981), cited from memory). The channels are the eigenvectors of
Gamma, normalised to unit flux, and those of a normal lead are the same for both spins. Products such as r_up
r_dn^dagger are therefore meaningful as they stand, whatever the order of orbitals, degeneracies or the spin axis.
Mode bases of separate up and down problems (raw Kwant S blocks) do not have this property.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qtorque import amplitudes, single_orbital
from qtorque.bloch import as_layered
from qtorque.brillouin import KMesh, KPoints, KSet, as_kset, kpoints, require_symmetry
from qtorque.chain import Z_AXIS, Axis, Chain, SpinPart, lead_axis, lead_parts, magnetic_leads
from qtorque.channels import (
    Piece,
    SpinBlocks,
    amplitudes_of,
    chain_axes,
    full_spin_blocks,
    open_channels_of,
)
from qtorque.errors import InputError, finite_number
from qtorque.green import Phases, SpinMatrix, Sweeps, common_axis, transmissions
from qtorque.kwant_engine import solve_finalised, solve_wrapped
from qtorque.single_channel import (
    BAND_EDGE_SHIFT,
    LARGEST_UNITARITY_ERROR,
    Blocks,
    SingleChannel,
    frame_of,
    no_solution,
    transmitted_beside_edges,
)

CHANNEL_SAMPLES = (64, 4096)
"""Momenta at which the leads are looked at for open channels before any solve; the second if the first show none."""
PLASTIC_NUMBER = 1.3247179572447460
"""Root of x^3 = x + 1: its powers fill a square evenly (M. Roberts, 2018, from memory)."""
CHUNK = 4096
"""Most momenta solved at once: bounds the memory; the speed is flat from a few hundred on."""
COMPILED_CHUNK = 2**16
"""The same for the compiled kernels, which take less time for a momentum than Python for a chunk of few."""
CHUNK_VALUES = 2**16
"""Matrix elements of one layer at the momenta solved at once: matrices of several layers stay in the cache."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scattering:
    """k-resolved scattering amplitudes between every pair of leads.

    Attributes
    ----------
    energy
        eV.
    kset
        The momenta and their weights.
    leads
        Names of the leads; the first two are "left" and "right" for a stack.
    amplitudes
        amplitudes[out, in] with lead numbers: shape (nk, spin out, spin in, channels out, channels in), amplitudes per
        unit flux; zero where a channel is closed. Spin index 0 is "up", along the axis of that lead. The channels of a
        lead that conserves no spin, because of spin-orbit coupling, have none: its index of spin has length 1.
    open_channels
        shape (nk, lead, spin). Those of a lead that conserves no spin are all counted at 0, and none at 1.
    lead_axes
        Spin axis of every lead: its own majority direction, z if it is not magnetic; not a number where the lead
        conserves no spin. shape (lead, 3)
    lead_magnetic
        Whether a lead has an exchange; of a finalised Kwant system, which does not tell, whether it depends on spin.
    lead_spin_conserved
        Whether a lead conserves a spin, so that its channels have one.
    lead_spins_equal
        Whether the two spins of a lead share their channels: it has neither exchange nor spin-orbit coupling.
    magnet_axes
        For every lead the majority direction of the magnet nearest to it, z where nothing is magnetic; None if the
        magnets are not collinear.
    shifted
        Which momenta sit on a band edge, where nothing is defined, and were solved 1e-9 eV above it. shape (nk,)
    unitarity_error
        max |S^dagger S - 1| over the open channels, shape (nk,)
    area
        In-plane cell, nm^2; None for a system without one.
    transmitted_mixing_symmetric
        Whether Tr t_up t_dn^dagger has the symmetry of the mesh, as all else has.
    """

    energy: float
    kset: KSet
    leads: tuple[str, ...]
    amplitudes: Mapping[tuple[int, int], np.ndarray]
    open_channels: np.ndarray
    lead_axes: np.ndarray
    lead_magnetic: tuple[bool, ...]
    lead_spin_conserved: tuple[bool, ...]
    lead_spins_equal: tuple[bool, ...]
    magnet_axes: tuple[Axis, ...]
    shifted: np.ndarray
    unitarity_error: np.ndarray
    area: float | None
    transmitted_mixing_symmetric: bool = True

    def __repr__(self) -> str:
        most = self.open_channels.max(axis=(0, 2))
        kinds = ("" if conserved else " of both" for conserved in self.lead_spin_conserved)
        channels = ", ".join(f"{name} {n}{kind}" for name, n, kind in zip(self.leads, most, kinds, strict=True))
        return f"Scattering(energy={self.energy:g} eV, {self.kset!r}, most open channels a spin: {channels})"

    def lead(self, name: str | int) -> int:
        """The number of a lead given by name or number."""
        if isinstance(name, (int, np.integer)) and 0 <= name < len(self.leads):
            return int(name)
        if name not in self.leads:
            raise InputError(f"lead={name!r} is unknown; the leads are {', '.join(self.leads)}")
        return self.leads.index(str(name))

    def reflection(self, lead: str | int = "left") -> np.ndarray:
        """r of a lead: (nk, spin out, spin in, channels out, channels in)."""
        p = self.lead(lead)
        return self.amplitudes[p, p]

    def transmission_amplitudes(self, source: str | int = "left", target: str | int = "right") -> np.ndarray:
        """t from source to target: (nk, spin out, spin in, channels out, channels in)."""
        return self.amplitudes[self.lead(target), self.lead(source)]

    def probabilities(self, source: str | int, target: str | int) -> np.ndarray:
        """Sum over channels of |S|^2 from source to target: (nk, spin in, spin out)."""
        pair = self.lead(target), self.lead(source)
        if isinstance(self.amplitudes, SingleChannel):
            return self.amplitudes.probabilities(pair)
        S = self.amplitudes[pair]
        return np.einsum("ktsab,ktsab->kst", S, S.conj()).real


def solve(
    system,
    *,
    energy: float = 0.0,
    kmesh=None,
    engine: str = "layered",
    angle: float | None = None,
    voltage: float = 0.0,
    params: Mapping | None = None,
) -> Scattering:
    """Scattering matrices of a stack at every momentum, or of a finalised Kwant system.

    Parameters
    ----------
    system
        A `Stack`, the result of `layered`, or (engine "kwant") a finalised Kwant system of any geometry with any
        number of leads, spin as the last tensor factor on every site.
    energy
        eV.
    kmesh
        `qt.kmesh(n)` or `qt.kpoints(points)`; not for a finalised Kwant system.
    engine
        "layered": recursive Green functions, many momenta at once; "kwant": Kwant's own solver, one at a time.
    angle
        Angle of the free magnet to the fixed one, rad; as declared if None.
    voltage
        V.
    params
        Kwant parameters of a finalised system.

    Raises
    ------
    InputError
        For bad arguments, or a lead without an open channel on the whole mesh.
    """
    energy = finite_number("energy", energy, "eV")
    if hasattr(system, "lead_interfaces"):
        if engine != "kwant":
            raise InputError(f"engine={engine!r} cannot take a finalised Kwant system; use engine='kwant'")
        if kmesh is not None:
            raise InputError("kmesh= has no meaning for a finalised Kwant system; bind its momenta in params=")
        return _of_finalised(system, energy, params or {})
    if params is not None:
        raise InputError("params= belongs to a finalised Kwant system; a stack takes angle= and voltage=")
    if kmesh is None:
        raise InputError("kmesh= is missing; give qt.kmesh(n)")
    kset, stack = as_kset(kmesh), as_layered(system)
    if angle is not None:
        angle = finite_number("angle", angle, "rad")
    voltage = finite_number("voltage", voltage, "V")
    chain = stack.chain(angle, voltage)
    require_open_leads(chain, kset, energy)
    symmetric = _require_symmetry(chain, kset, energy)
    if engine == "layered":
        compiled = _compiled(chain)
        if compiled is not None:
            return replace(
                _solve_compiled(compiled, kset, energy, stack.area), transmitted_mixing_symmetric=symmetric
            )
        chunk = chunk_size(chain)
        pieces = []
        for start in range(0, kset.size, chunk):
            k, _ = kset.take(np.arange(start, min(start + chunk, kset.size)))
            pieces.append(_solve_chain(chain, k, energy))
    elif engine == "kwant":
        known = lead_parts(chain), chain_axes(chain)
        pieces = list(solve_wrapped(stack.wrapped(), kset, energy, stack.params(angle, voltage), known))
    else:
        raise InputError(f"engine={engine!r} is unknown; use 'layered' or 'kwant'")
    found = _gather(pieces, energy, kset, ("left", "right"), stack.area, magnetic_leads(chain))
    return replace(found, transmitted_mixing_symmetric=symmetric)


def _require_symmetry(chain: Chain, kset: KSet, energy: float) -> bool:
    """Refuse a mesh whose symmetry the scattering does not have; whether Tr t_up t_dn^dagger has it too.

    At k and -k conductances are equal by time reversal, but amplitudes from left to right at one are those from right
    to left at the other.
    """
    seen: list[Scattering] = []

    def invariants(points: np.ndarray) -> np.ndarray:
        seen.append(solve_points(chain, kpoints(points), energy, None))
        return _invariants(seen[0])

    require_symmetry(kset, invariants)
    if not seen or not all(seen[0].lead_spins_equal):
        return True
    try:
        require_symmetry(kset, lambda points: _transmitted_mixing(seen[0]))
    except InputError:
        return False
    return True


def _transmitted_mixing(s: Scattering) -> np.ndarray:
    """Tr t t^dagger from left to right between all blocks of spin, (k, 16): those of any axis are sums of these."""
    t = s.transmission_amplitudes()
    return np.einsum("kstab,kuvab->kstuv", t, t.conj(), optimize=True).reshape(len(t), -1)


def _invariants(s: Scattering) -> np.ndarray:
    """What a symmetry has to leave as it is, over k: probabilities of all blocks and Tr r_up r_dn^dagger of the normal
    leads, whose two spins share their channels."""
    columns = [s.probabilities(source, target).reshape(s.kset.size, -1) for source in range(2) for target in range(2)]
    for lead in np.flatnonzero(s.lead_spins_equal).tolist():
        r = s.reflection(lead)
        mixing = np.einsum("kab,kab->k", r[:, 0, 0], r[:, 1, 1].conj())
        columns += [mixing.real[:, None], mixing.imag[:, None]]
    return np.concatenate(columns, axis=1)


def chunk_size(chain: Chain) -> int:
    """Momenta to solve for at once: bounds the memory of a sum over k."""
    if _compiled(chain) is not None:
        return COMPILED_CHUNK
    widest = max(block.matrices.shape[-1] for block in chain.onsite)
    return min(CHUNK, max(1, CHUNK_VALUES // widest**2))


def solve_points(chain: Chain, kset: KPoints, energy: float, area: float | None) -> Scattering:
    """The layered engine at a block of momenta; what a streamed sum is made of."""
    compiled = _compiled(chain)
    if compiled is not None:
        return _solve_compiled(compiled, kset, energy, area)
    pieces = [_solve_chain(chain, kset.points, energy)]
    return _gather(pieces, energy, kset, ("left", "right"), area, magnetic_leads(chain))


# A streamed sum asks for every block of momenta, and the check of the leads before it.
@functools.lru_cache(maxsize=64)
def _compiled(chain: Chain) -> single_orbital.SingleOrbitalChain | None:
    """The chain for the compiled kernels, None if they do not serve it."""
    return single_orbital.single_orbital(chain, single_orbital.Catalogue())


def _solve_compiled(c: single_orbital.SingleOrbitalChain, kset: KSet, energy: float, area: float | None) -> Scattering:
    """A stack with one orbital."""
    parts, axis = lead_parts(c.chain), c.one_axis
    lead_axes = [part.axis or Z_AXIS for part in parts]
    found, failed = transmitted_beside_edges(c, kset, energy, axis, lead_axes)

    frames, open_channels = None, found.open_channels
    if axis is not None:
        frames = [frame_of(axis, own) for own in lead_axes]
        turned = [p for p, part in enumerate(parts) if part.axis is not None and np.dot(part.axis, axis) < 0]
        if turned:
            open_channels = open_channels.copy()
            open_channels[:, turned] = open_channels[:, turned, ::-1]
    find = Blocks(c, kset, energy, axis, tuple(lead_axes), failed, found.t)
    magnet_axes = chain_axes(c.chain)
    return Scattering(
        energy=float(energy),
        kset=kset,
        leads=("left", "right"),
        amplitudes=SingleChannel(find, frames),
        open_channels=open_channels,
        lead_axes=np.array(lead_axes),
        lead_magnetic=magnetic_leads(c.chain),
        lead_spin_conserved=(True, True),
        lead_spins_equal=tuple(part.independent for part in parts),
        magnet_axes=magnet_axes,
        shifted=failed,
        unitarity_error=found.error,
        area=area,
    )


def transmissions_at(chains: Sequence[Chain], k: np.ndarray, energy: float) -> np.ndarray:
    """T from the left to the right lead of chains that differ in little, (nk, chains, spin in, spin out).

    With several orbitals what they have in common is solved once. At a band edge slightly above the energy.
    """
    if all(_compiled(chain) is not None for chain in chains):
        points = kpoints(k)
        each = [solve_points(chain, points, energy, None).probabilities("left", "right") for chain in chains]
        return np.stack(each, axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = transmissions(chains, k, energy)
        failed = ~np.isfinite(found).all(axis=(0, 2, 3))
        if failed.any():
            found[:, failed] = transmissions(chains, k[failed], energy + BAND_EDGE_SHIFT)
    if not np.all(np.isfinite(found)):
        raise no_solution(energy, k[np.argmin(np.isfinite(found).all(axis=(0, 2, 3)))])
    return found.swapaxes(0, 1)


def _solve_chain(chain: Chain, k: np.ndarray, energy: float) -> Piece:
    """Amplitudes at momenta k; on a band edge, where a Green function diverges, slightly above it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        piece = _solve_chain_at(chain, k, energy)
        failed = ~(piece.unitarity_error < LARGEST_UNITARITY_ERROR)
        if not failed.any():
            return piece
        again = _solve_chain_at(chain, k[failed], energy + BAND_EDGE_SHIFT)
    if not np.all(np.isfinite(again.unitarity_error)):
        raise no_solution(energy, k[failed][np.argmin(np.isfinite(again.unitarity_error))])
    for whole, part in (
        *((piece.amplitudes[pair], again.amplitudes[pair]) for pair in piece.amplitudes),
        (piece.open_channels, again.open_channels),
        (piece.unitarity_error, again.unitarity_error),
        (piece.shifted, np.True_),
    ):
        whole[failed] = part
    return piece


def _solve_chain_at(chain: Chain, k: np.ndarray, energy: float) -> Piece:
    sweeps = Sweeps(chain, Phases(k), np.array([[float(energy)]]))
    parts = lead_parts(chain)
    axes = [lead_axis(part) for part in parts]
    corners = {(p, q): _spin_blocks(m, axes[p], axes[q], len(k)) for (p, q), m in sweeps.corners().items()}
    return amplitudes_of(corners, _lead_self_energies(sweeps, parts), parts, chain_axes(chain))


def _lead_self_energies(sweeps: Sweeps, parts: tuple[SpinPart, ...]) -> list[np.ndarray]:
    """Self-energies of every spin at one energy in the frames of the leads: (spin, nk, n, n) each."""
    sigma = []
    for p, part in enumerate(parts):
        axis = lead_axis(part)
        blocks = _spin_blocks(sweeps.self_energy(p), axis, axis, len(sweeps.k.k))
        sigma.append(np.stack([blocks[s, s] for s in range(1 if axis is None else 2)]))
    return sigma


def _spin_blocks(matrix: SpinMatrix, row_axis: Axis, column_axis: Axis, points: int) -> SpinBlocks:
    """A Green function at one energy between frames of spin; only two blocks where all lie on one line."""
    axis = matrix.axis
    if axis is None or not (common_axis(axis, row_axis) and common_axis(axis, column_axis)):
        full = matrix.full[0][:, 0]
        # A chain without in-plane hopping is the same at all k.
        return full_spin_blocks(np.broadcast_to(full, (points, *full.shape[1:])), row_axis, column_axis)
    out, into = frame_of(axis, row_axis), frame_of(axis, column_axis)
    found = {}
    for spin, data in enumerate(matrix.data[:, :, 0]):
        t, s = (int(np.flatnonzero(frame[:, spin])[0]) for frame in (out, into))
        phase = out[t, spin] * into[s, spin].conj()
        found[t, s] = np.broadcast_to(phase * data, (points, *data.shape[1:]))
    return found


def require_open_leads(chain: Chain, kset: KSet, energy: float) -> None:
    """Refuse an energy outside the band of a lead, looked at on a sample of the mesh, before any solve.

    Points chosen by hand may lie outside the Fermi surface; they are taken as they are.
    """
    if not isinstance(kset, KMesh):
        return
    for sample in CHANNEL_SAMPLES:
        opened = _open_leads(chain, kset.take(_spread(kset, sample))[0], energy)
        if all(opened):
            return
    for name, is_open in zip(("left", "right"), opened, strict=True):
        if not is_open:
            raise InputError(
                f"the {name} lead has no open channel at energy={energy:g} eV on this mesh; "
                "choose an energy inside its band or a finer kmesh"
            )


def _spread(kset: KMesh, count: int) -> np.ndarray:
    """Numbers of points spread over a mesh: of all of them where there are few, else by Roberts' sequence.

    Equal steps through the numbers may all lie on one diagonal.
    """
    if kset.size <= count or kset.symmetry is not None:
        return np.unique(np.linspace(0, kset.size - 1, min(kset.size, count)).astype(int))
    steps = PLASTIC_NUMBER ** -np.arange(1, 3)
    i, j = np.floor(np.modf(0.5 + np.arange(count)[:, None] * steps)[0] * kset.shape).astype(int).T
    return np.unique(i * kset.n2 + j)


def _open_leads(chain: Chain, k: np.ndarray, energy: float) -> list[bool]:
    """Whether the leads have an open channel at any of the momenta."""
    compiled, parts = _compiled(chain), lead_parts(chain)
    if compiled is not None:
        channels = amplitudes.open_channels(compiled, k, energy)
        return [bool(channels[:, p].any()) for p in range(2)]
    found = np.zeros(2, dtype=bool)
    chunk = chunk_size(chain)
    for start in range(0, len(k), chunk):
        sweeps = Sweeps(chain, Phases(k[start : start + chunk]), np.array([[float(energy)]]))
        sigma = _lead_self_energies(sweeps, parts)
        found |= [open_channels_of(part, own)[1].any() for part, own in zip(parts, sigma, strict=True)]
    return found.tolist()


def _of_finalised(system, energy: float, params: Mapping) -> Scattering:
    count = len(system.leads)
    if count == 0:
        raise InputError("the Kwant system has no leads; attach some before it is finalised")
    piece = solve_finalised(system, energy, params)
    for p, channels in enumerate(piece.open_channels[0]):
        if not channels.any():
            raise InputError(f"lead {p} has no open channel at energy={energy:g} eV; choose an energy inside its band")
    names = tuple(["left", "right"][:count]) + tuple(f"lead {p}" for p in range(2, count))
    magnetic = tuple(not part.independent for part in piece.lead_parts)
    return _gather([piece], energy, kpoints([[0.0, 0.0]]), names, None, magnetic)


def _gather(
    pieces: list[Piece],
    energy: float,
    kset: KSet,
    names: tuple[str, ...],
    area: float | None,
    magnetic: tuple[bool, ...],
) -> Scattering:
    parts = pieces[0].lead_parts
    opened = np.concatenate([piece.open_channels for piece in pieces])
    widest = np.maximum(opened.max(axis=(0, 2)), 1)
    amplitudes = {}
    for p, q in pieces[0].amplitudes:
        whole = np.concatenate([piece.amplitudes[p, q] for piece in pieces])
        amplitudes[p, q] = np.ascontiguousarray(whole[..., : widest[p], : widest[q]])
    return Scattering(
        energy=float(energy),
        kset=kset,
        leads=names,
        amplitudes=amplitudes,
        open_channels=opened,
        lead_axes=np.array([lead_axis(part) or (np.nan,) * 3 for part in parts]),
        lead_magnetic=magnetic,
        lead_spin_conserved=tuple(part.collinear for part in parts),
        lead_spins_equal=tuple(part.independent for part in parts),
        magnet_axes=pieces[0].magnet_axes,
        shifted=np.concatenate([piece.shifted for piece in pieces]),
        unitarity_error=np.concatenate([piece.unitarity_error for piece in pieces]),
        area=area,
    )

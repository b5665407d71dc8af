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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque import _single_orbital_kernels as kernels
from qtorque import single_orbital
from qtorque._linalg import adjoint
from qtorque.bloch import HERMITICITY_TOLERANCE, LayeredSystem, as_layered
from qtorque.brillouin import KMesh, KPoints, KSet, as_kset, kpoints, require_symmetry
from qtorque.chain import Axis, Chain, Fourier, SpinPart
from qtorque.errors import InputError, finite_number
from qtorque.green import Phases, SpinMatrix, Sweeps, common_axis, transmissions
from qtorque.spin import su2

OPEN_CHANNEL = 1e-9
"""A channel is open if its eigenvalue of Gamma exceeds this share of |Sigma|; rounding leaves closed ones at 1e-15."""
BAND_EDGE_SHIFT = 1e-9
"""eV; far below any energy of interest, and enough for the square root of it to be no rounding error."""
CHANNEL_SAMPLES = (64, 4096)
"""Momenta at which the leads are looked at for open channels before any solve; the second if the first show none."""
CHUNK = 4096
"""Most momenta solved at once: bounds the memory; the speed is flat from a few hundred on."""
COMPILED_CHUNK = 2**16
"""The same for the compiled kernels, which take less time for a momentum than Python for a chunk of few."""
CHUNK_VALUES = 2**16
"""Matrix elements of one layer at the momenta solved at once: matrices of several layers stay in the cache."""
Z_AXIS = (0.0, 0.0, 1.0)


class SingleChannel(Mapping):
    """Amplitudes between leads with one channel each, every block found when it is first asked for.

    Parameters
    ----------
    find
        Function (out, in) -> amplitudes of a block: (2, nk), spins apart along one axis, or (nk, 2, 2).
    frames
        None if the amplitudes are in the frames of the leads. Where spins are apart along one axis, for every lead
        U_lead^dagger U_axis, that axis in its frame: shape (2, 2) each.
    """

    def __init__(
        self, find: Callable[[tuple[int, int]], np.ndarray], frames: Sequence[np.ndarray] | None
    ) -> None:
        self._find, self._frames = find, frames
        self._found: dict[tuple[int, int], np.ndarray] = {}

    def _block(self, pair: tuple[int, int]) -> np.ndarray:
        if pair not in self._found:
            self._found[pair] = self._find(pair)
        return self._found[pair]

    def __getitem__(self, pair: tuple[int, int]) -> np.ndarray:
        block = self._block(pair)
        if self._frames is not None:
            out, into = (self._frames[lead] for lead in pair)
            block = np.einsum("ts,sk,us->ktu", out, block, into.conj())
        return block[..., None, None]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter((p, q) for p in range(2) for q in range(2))

    def __len__(self) -> int:
        return 4

    def probabilities(self, pair: tuple[int, int]) -> np.ndarray:
        """|S|^2: (nk, spin in, spin out)."""
        block = self._block(pair)
        if self._frames is not None and not all(_keeps_spins(self._frames[lead]) for lead in pair):
            block = self[pair][..., 0, 0]
        if block.ndim == 3:
            found = np.empty(block.shape)
            kernels.spin_probabilities(block, found)
            return found
        assert self._frames is not None, "spins are apart along an axis"
        found = np.empty((block.shape[1], 2, 2))
        # The spin of a lead that spin 0 of the axis is.
        out, into = (int(abs(self._frames[lead][0, 0]) < 0.5) for lead in pair)
        kernels.spin_diagonal_probabilities(block, out, into, found)
        return found


def _keeps_spins(frame: np.ndarray) -> bool:
    """Whether a change of frame leaves the spins or exchanges them."""
    return bool(np.count_nonzero(frame) == 2)


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
        unit flux; zero where a channel is closed. Spin index 0 is "up", along the axis of that lead.
    open_channels
        shape (nk, lead, spin)
    lead_axes
        Spin axis of every lead: its own majority direction, z if it is not magnetic. shape (lead, 3)
    lead_magnetic
        Whether the two spins of a lead differ.
    magnet_axes
        For every lead the majority direction of the magnet nearest to it, z where nothing is magnetic; None if the
        magnets are not collinear.
    shifted
        Which momenta sit on a band edge, where nothing is defined, and were solved 1e-9 eV above it. shape (nk,)
    unitarity_error
        max |S^dagger S - 1| over the open channels, shape (nk,)
    area
        In-plane cell, nm^2; None for a system without one.
    """

    energy: float
    kset: KSet
    leads: tuple[str, ...]
    amplitudes: Mapping[tuple[int, int], np.ndarray]
    open_channels: np.ndarray
    lead_axes: np.ndarray
    lead_magnetic: tuple[bool, ...]
    magnet_axes: tuple[Axis, ...]
    shifted: np.ndarray
    unitarity_error: np.ndarray
    area: float | None

    def __repr__(self) -> str:
        most = self.open_channels.max(axis=(0, 2))
        channels = ", ".join(f"{name} {n}" for name, n in zip(self.leads, most, strict=True))
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
        For bad arguments, leads that conserve no spin, or a lead without an open channel on the whole mesh.
    """
    energy = finite_number("energy", energy, "eV")
    if hasattr(system, "lead_interfaces"):
        if engine != "kwant":
            raise InputError(f"engine={engine!r} cannot take a finalised Kwant system; use engine='kwant'")
        if kmesh is not None:
            raise InputError("kmesh= has no meaning for a finalised Kwant system; bind its momenta in params=")
        return _solve_finalised(system, energy, params or {})
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
    require_symmetry(kset, lambda points: transmissions_at([chain], points, energy))
    if engine == "layered":
        compiled = _compiled(chain)
        if compiled is not None:
            return _solve_compiled(compiled, kset, energy, stack.area)
        chunk = chunk_size(chain)
        pieces = []
        for start in range(0, kset.size, chunk):
            k, _ = kset.take(np.arange(start, min(start + chunk, kset.size)))
            pieces.append(_solve_chain(chain, k, energy))
    elif engine == "kwant":
        pieces = list(_solve_wrapped(stack, chain, kset, energy, stack.params(angle, voltage)))
    else:
        raise InputError(f"engine={engine!r} is unknown; use 'layered' or 'kwant'")
    return _gather(pieces, energy, kset, ("left", "right"), stack.area)


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
    return _gather([_solve_chain(chain, kset.points, energy)], energy, kset, ("left", "right"), area)


# A streamed sum asks for every block of momenta, and the check of the leads before it.
@functools.lru_cache(maxsize=64)
def _compiled(chain: Chain) -> single_orbital.SingleOrbitalChain | None:
    """The chain for the compiled kernels, None if they do not serve it."""
    return single_orbital.single_orbital(chain, single_orbital.Catalogue())


def _solve_compiled(c: single_orbital.SingleOrbitalChain, kset: KSet, energy: float, area: float | None) -> Scattering:
    """A stack with one orbital."""
    parts, axis = _lead_parts(c.chain), c.one_axis
    lead_axes = [part.axis or Z_AXIS for part in parts]
    found, failed = _transmitted(c, kset, energy, axis, lead_axes)

    def find(pair: tuple[int, int]) -> np.ndarray:
        out, into = pair
        source, axes = (c.mirror, lead_axes[::-1]) if into else (c, lead_axes)
        if out == into:
            return _reflected(source, kset, energy, axis, axes, failed)
        return _transmitted(source, kset, energy, axis, axes)[0].t if into else found.t

    frames, open_channels = None, found.open_channels
    if axis is not None:
        frames = [_frame(axis, own) for own in lead_axes]
        turned = [p for p, part in enumerate(parts) if part.axis is not None and np.dot(part.axis, axis) < 0]
        if turned:
            open_channels = open_channels.copy()
            open_channels[:, turned] = open_channels[:, turned, ::-1]
    amplitudes = SingleChannel(find, frames)
    magnet_axes = _chain_axes(c.chain)
    return Scattering(
        energy=float(energy),
        kset=kset,
        leads=("left", "right"),
        amplitudes=amplitudes,
        open_channels=open_channels,
        lead_axes=np.array(lead_axes),
        lead_magnetic=tuple(not part.independent for part in parts),
        magnet_axes=magnet_axes,
        shifted=failed,
        unitarity_error=found.error,
        area=area,
    )


def _transmitted(
    c: single_orbital.SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis]
) -> tuple[single_orbital.Transmitted, np.ndarray]:
    """Transmission, and at which momenta it was found slightly above the energy: on a band edge."""
    found = single_orbital.transmitted(c, kset, energy, axis, lead_axes)
    failed = ~np.isfinite(found.error)
    if failed.any():
        index = np.flatnonzero(failed)
        k, weights = kset.take(index)
        again = single_orbital.transmitted(c, KPoints(k, weights), energy + BAND_EDGE_SHIFT, axis, lead_axes)
        if not np.all(np.isfinite(again.error)):
            raise _no_solution(energy, k[np.argmin(np.isfinite(again.error))])
        found.t[_points(found.t, index)] = again.t
        found.open_channels[index], found.error[index] = again.open_channels, again.error
    return found, failed


def _reflected(c, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis], failed: np.ndarray) -> np.ndarray:
    """Reflection amplitudes of the left lead; where the transmission `failed`, slightly above the energy too."""
    r = single_orbital.reflected(c, kset, energy, axis, lead_axes)
    if failed.any():
        index = np.flatnonzero(failed)
        shifted = energy + BAND_EDGE_SHIFT
        r[_points(r, index)] = single_orbital.reflected(c, KPoints(*kset.take(index)), shifted, axis, lead_axes)
    return r


def _points(amplitudes: np.ndarray, index: np.ndarray) -> tuple:
    """Where the points with these numbers stand in (2, points) or (points, 2, 2)."""
    return (slice(None), index) if amplitudes.ndim == 2 else (index,)


def _frame(axis: Axis, own: Axis) -> np.ndarray:
    """U_own^dagger U_axis of two axes; on one line it is the unit or the exchange of the spins, up to phases."""
    frame = adjoint(su2(own or Z_AXIS)) @ su2(axis or Z_AXIS)
    return np.where(np.abs(frame) > 0.5, frame, 0) if common_axis(axis, own) else frame


def _no_solution(energy: float, phases: np.ndarray) -> InputError:
    return InputError(
        f"energy={energy:g} eV: no solution at k={phases.tolist()}; move the energy off the flat band there"
    )


SpinBlocks = dict[tuple[int, int], np.ndarray]
"""(spin out, spin in) -> matrices (nk, n, m); blocks that are zero are left out."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """Amplitudes at some momenta, before they are put together."""

    amplitudes: dict[tuple[int, int], np.ndarray]
    open_channels: np.ndarray
    unitarity_error: np.ndarray
    lead_parts: tuple[SpinPart, ...]
    magnet_axes: tuple[Axis, ...]
    shifted: np.ndarray


def transmissions_at(chains: Sequence[Chain], k: np.ndarray, energy: float) -> np.ndarray:
    """T from the left to the right lead of chains that differ in little, (nk, chains, spin in, spin out).

    What they have in common is solved once. At a band edge slightly above the energy.
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
        raise _no_solution(energy, k[np.argmin(np.isfinite(found).all(axis=(0, 2, 3)))])
    return found.swapaxes(0, 1)


def _solve_chain(chain: Chain, k: np.ndarray, energy: float) -> _Piece:
    """Amplitudes at momenta k; on a band edge, where a Green function diverges, slightly above it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        piece = _solve_chain_at(chain, k, energy)
        failed = ~np.isfinite(piece.unitarity_error)
        if not failed.any():
            return piece
        again = _solve_chain_at(chain, k[failed], energy + BAND_EDGE_SHIFT)
    if not np.all(np.isfinite(again.unitarity_error)):
        raise _no_solution(energy, k[failed][np.argmin(np.isfinite(again.unitarity_error))])
    for whole, part in (
        *((piece.amplitudes[pair], again.amplitudes[pair]) for pair in piece.amplitudes),
        (piece.open_channels, again.open_channels),
        (piece.unitarity_error, again.unitarity_error),
        (piece.shifted, np.True_),
    ):
        whole[failed] = part
    return piece


def _solve_chain_at(chain: Chain, k: np.ndarray, energy: float) -> _Piece:
    sweeps = Sweeps(chain, Phases(k), np.array([[float(energy)]]))
    parts = _lead_parts(chain)
    axes = [part.axis or Z_AXIS for part in parts]
    corners = {(p, q): _spin_blocks(m, axes[p], axes[q], len(k)) for (p, q), m in sweeps.corners().items()}
    return _amplitudes(corners, _lead_self_energies(sweeps, parts), parts, _chain_axes(chain))


def _lead_self_energies(sweeps: Sweeps, parts: tuple[SpinPart, ...]) -> list[np.ndarray]:
    """Self-energies of up and down at one energy in the frames of the leads: (2, nk, n, n) each."""
    sigma = []
    for p, part in enumerate(parts):
        axis = part.axis or Z_AXIS
        blocks = _spin_blocks(sweeps.self_energy(p), axis, axis, len(sweeps.k.k))
        sigma.append(np.stack([blocks[s, s] for s in range(2)]))
    return sigma


def _spin_blocks(matrix: SpinMatrix, row_axis: Axis, column_axis: Axis, points: int) -> SpinBlocks:
    """A Green function at one energy between frames of spin; only two blocks where all lie on one line."""
    axis = matrix.axis
    if axis is None or not (common_axis(axis, row_axis) and common_axis(axis, column_axis)):
        full = matrix.full[0][:, 0]
        # A chain without in-plane hopping is the same at all k.
        return _full_spin_blocks(np.broadcast_to(full, (points, *full.shape[1:])), row_axis, column_axis)
    out, into = _frame(axis, row_axis), _frame(axis, column_axis)
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
        index = np.unique(np.linspace(0, kset.size - 1, min(kset.size, sample)).astype(int))
        opened = _open_leads(chain, kset.take(index)[0], energy)
        if all(opened):
            return
    for name, is_open in zip(("left", "right"), opened, strict=True):
        if not is_open:
            raise InputError(
                f"the {name} lead has no open channel at energy={energy:g} eV on this mesh; "
                "choose an energy inside its band or a finer kmesh"
            )


def _open_leads(chain: Chain, k: np.ndarray, energy: float) -> list[bool]:
    """Whether the leads have an open channel at any of the momenta."""
    compiled, parts = _compiled(chain), _lead_parts(chain)
    if compiled is not None:
        channels = single_orbital.open_channels(compiled, k, energy)
        return [bool(channels[:, p].any()) for p in range(2)]
    found = np.zeros(2, dtype=bool)
    chunk = chunk_size(chain)
    for start in range(0, len(k), chunk):
        sweeps = Sweeps(chain, Phases(k[start : start + chunk]), np.array([[float(energy)]]))
        sigma = _lead_self_energies(sweeps, parts)
        found |= [_open_channels(part, own)[1].any() for part, own in zip(parts, sigma, strict=True)]
    return found.tolist()


def _lead_parts(chain: Chain) -> tuple[SpinPart, ...]:
    """How the two leads depend on spin; refused if they conserve none."""
    parts = []
    for lead, hopping, name in (
        (chain.onsite[0], chain.left_outward, "left"),
        (chain.onsite[-1], chain.right_outward, "right"),
    ):
        part = lead.spin_part
        if not hopping.spin_part.diagonal_along(part.axis):
            part = SpinPart(None, False)
        elif part.independent:
            part = hopping.spin_part
        _require_spin(part, f"the {name} lead")
        parts.append(part)
    return tuple(parts)


def _chain_axes(chain: Chain) -> tuple[Axis, ...]:
    """The majority direction nearest to either lead, z if nothing depends on spin; None if there are several axes."""
    hoppings = [*chain.bond, chain.left_outward, chain.right_outward]
    axes = []
    for onsite in (chain.onsite, chain.onsite[::-1]):
        found = (f.spin_part.axis for f in (*onsite, *hoppings) if f.spin_part.axis is not None)
        axes.append(next(found, Z_AXIS))
    collinear = all(f.spin_part.diagonal_along(axes[0]) for f in (*chain.onsite, *hoppings))
    return tuple(axes) if collinear else (None, None)


def _solve_wrapped(stack: LayeredSystem, chain: Chain, kset: KSet, energy: float, params: Mapping):
    """Kwant's Green functions, momentum by momentum; axes and majorities are those of the whole chain, not of one k."""
    system, known = stack.wrapped(), (_lead_parts(chain), _chain_axes(chain))
    for index in range(kset.size):
        (k,), _ = kset.take(np.array([index]))
        yield _solve_kwant(system, energy, {**params, "k_x": float(k[0]), "k_y": float(k[1])}, known)


def _solve_finalised(system, energy: float, params: Mapping) -> Scattering:
    count = len(system.leads)
    if count == 0:
        raise InputError("the Kwant system has no leads; attach some before it is finalised")
    piece = _solve_kwant(system, energy, params)
    for p, channels in enumerate(piece.open_channels[0]):
        if not channels.any():
            raise InputError(f"lead {p} has no open channel at energy={energy:g} eV; choose an energy inside its band")
    names = tuple(["left", "right"][:count]) + tuple(f"lead {p}" for p in range(2, count))
    return _gather([piece], energy, kpoints([[0.0, 0.0]]), names, None)


def _solve_kwant(
    system, energy: float, params: Mapping, known: tuple[tuple[SpinPart, ...], tuple[Axis, ...]] | None = None
) -> _Piece:
    """Green function and self-energies from Kwant's sparse solver and its own lead modes.

    `known`: spin dependence of the leads and axes of the magnets where the caller has them; else they are read here.
    """
    import kwant

    wanted = set(system.parameters).union(*(lead.parameters for lead in system.leads))
    missing = sorted(wanted - set(params))
    if missing:
        raise InputError(f"params lacks {', '.join(missing)}, asked for by the Kwant system; give params=")
    used = {name: params[name] for name in wanted}
    _require_spinful(system, "the scattering region")
    H = system.hamiltonian_submatrix(params=used)
    _require_hermitian(H, "the scattering region")
    parts = []
    for p, lead in enumerate(system.leads):
        _require_spinful(lead, f"lead {p}")
        cell, hopping = lead.cell_hamiltonian(params=used), lead.inter_cell_hopping(params=used)
        _require_hermitian(cell, f"lead {p}")
        padded = np.zeros_like(cell)
        padded[:, : hopping.shape[1]] = hopping
        part = Fourier(np.array([[0, 0], [1, 0]]), np.array([cell, padded])).spin_part
        _require_spin(part, f"lead {p}")
        parts.append(part)
    try:
        green = kwant.greens_function(system, energy, params=used)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"energy={energy:g} eV: Kwant finds no modes of a lead ({error}); move the energy off the band edge"
        ) from None
    count = len(system.leads)
    if known is None:
        known = tuple(parts), _nearest_axes(system, H, parts, used)
    axes = [part.axis or Z_AXIS for part in known[0]]
    corners = {
        (p, q): _full_spin_blocks(green.submatrix(p, q)[None], axes[p], axes[q])
        for p in range(count)
        for q in range(count)
    }
    sigma = []
    for axis, matrix in zip(axes, green.lead_info, strict=True):
        blocks = _full_spin_blocks(matrix[None], axis, axis)
        sigma.append(np.stack([blocks[s, s] for s in range(2)]))
    return _amplitudes(corners, sigma, *known)


def _nearest_axes(system, H: np.ndarray, parts: list[SpinPart], params: Mapping) -> tuple[Axis, ...]:
    """For every lead the majority direction of the nearest magnet, counted in hoppings; its own if it is magnetic.

    A magnet is a site of the region or another lead.
    """
    region = Fourier(np.array([[0, 0]]), H[None]).spin_part
    found: list[Axis] = []
    for own, interface in zip(parts, system.lead_interfaces, strict=True):
        axis, reached, shell = own.axis, set(interface), sorted(interface)
        while axis is None and shell:
            onsite = (np.atleast_2d(system.hamiltonian(i, i, params=params)) for i in shell)
            inside = [Fourier(np.array([[0, 0]]), h[None]).spin_part.axis for h in onsite]
            touched = zip(parts, system.lead_interfaces, strict=True)
            beyond = [part.axis for part, sites in touched if not set(shell).isdisjoint(sites)]
            axis = next((a for a in (*inside, *beyond) if a is not None), None)
            shell = sorted({j for i in shell for j in system.graph.out_neighbors(i)} - reached)
            reached.update(shell)
        found.append(axis)
    known = [axis for axis in (region.axis, *found) if axis is not None]
    collinear = region.collinear and all(common_axis(known[0], other) for other in known)
    return tuple(axis or Z_AXIS for axis in found) if collinear else (None,) * len(found)


def _require_spin(part: SpinPart, name: str) -> None:
    if not part.collinear:
        raise InputError(f"{name} conserves no spin; spin-resolved scattering needs leads without spin-orbit coupling")


def _require_spinful(system, name: str) -> None:
    ranges = system.site_ranges
    if ranges is None or any(norbs % 2 for _, norbs, _ in ranges):
        raise InputError(f"{name} has sites with an odd or unknown norbs; give an even number, spin as the last factor")


def _require_hermitian(matrix: np.ndarray, name: str) -> None:
    difference = float(np.abs(matrix - matrix.conj().T).max(initial=0.0))
    if not np.isfinite(difference):
        raise InputError(f"H of {name} is not finite; check its values and params")
    if difference > HERMITICITY_TOLERANCE * max(1.0, float(np.abs(matrix).max(initial=0.0))):
        raise InputError(f"H of {name} is not Hermitian (off by {difference:.3g} eV); mend its on-site values")


def _full_spin_blocks(matrix: np.ndarray, row_axis: Axis, column_axis: Axis) -> SpinBlocks:
    """Full matrices (nk, 2n, 2m) as spin blocks in the frames of two axes."""
    points, rows, columns = matrix.shape
    split = matrix.reshape(points, rows // 2, 2, columns // 2, 2)
    frames = su2(row_axis or Z_AXIS), su2(column_axis or Z_AXIS)
    blocks = np.einsum("as,kiajb,bt->stkij", frames[0].conj(), split, frames[1], optimize=True)
    return {(s, t): blocks[s, t] for s in range(2) for t in range(2)}


def _amplitudes(
    corners: Mapping[tuple[int, int], SpinBlocks],
    sigma: Sequence[np.ndarray],
    parts: tuple[SpinPart, ...],
    magnet_axes: tuple[Axis, ...],
) -> _Piece:
    """Amplitudes from Green functions between the leads and self-energies (2, nk, n, n), in the leads' frames."""
    channels, opened = [], []
    for part, matrix in zip(parts, sigma, strict=True):
        factor, is_open = _open_channels(part, matrix)
        channels.append(factor)
        opened.append(is_open)
    parts_of_S: dict[tuple[int, int], SpinBlocks] = {}
    result = {}
    for (p, q), blocks in corners.items():
        out, into = channels[p], channels[q]
        S = np.zeros((out.shape[1], 2, 2, out.shape[-1], into.shape[-1]), dtype=complex)
        parts_of_S[p, q] = {}
        for (s, t), block in blocks.items():
            element = 1j * (adjoint(out[s]) @ block @ into[t])
            if p == q and s == t:
                element -= opened[p][s][:, :, None] * np.eye(element.shape[-1])
            S[:, s, t] = parts_of_S[p, q][s, t] = element
        result[p, q] = S
    count = np.stack([is_open.sum(axis=2).T for is_open in opened], axis=1)
    error = _unitarity_error(parts_of_S, opened)
    return _Piece(result, count, error, parts, magnet_axes, np.zeros(len(error), dtype=bool))


def _open_channels(part: SpinPart, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W (2, nk, n, n) with Gamma = W W^dagger, and which columns are open (2, nk, n); one W if the lead is normal."""
    gamma = 1j * (sigma - adjoint(sigma))
    scale = np.abs(sigma).max(axis=(0, 2, 3))
    if not part.independent:
        return _channels(gamma, scale)
    factor, is_open = _channels(gamma.mean(axis=0, keepdims=True), scale)
    return np.repeat(factor, 2, axis=0), np.repeat(is_open, 2, axis=0)


def _channels(gamma: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W with Gamma = W W^dagger, most open channel first, closed columns zero; and which are open: (2, nk, n)."""
    if gamma.shape[-1] == 1:
        value, vector = gamma[..., 0].real, np.ones_like(gamma)
    else:
        value, vector = np.linalg.eigh(gamma)
        value, vector = value[..., ::-1], vector[..., ::-1]
    is_open = value > OPEN_CHANNEL * scale[None, :, None]
    return vector * np.sqrt(np.where(is_open, value, 0.0))[..., None, :], is_open


def _unitarity_error(amplitudes: Mapping[tuple[int, int], SpinBlocks], opened: Sequence[np.ndarray]) -> np.ndarray:
    """max |S^dagger S - 1| over the open channels."""
    columns: dict[tuple[int, int], SpinBlocks] = {(q, t): {} for q in range(len(opened)) for t in range(2)}
    for (p, q), blocks in amplitudes.items():
        for (s, t), block in blocks.items():
            columns[q, t][p, s] = block
    error = np.zeros(opened[0].shape[1])
    for first, (own, left) in enumerate(columns.items()):
        for other, right in list(columns.items())[first:]:
            # Only rows that both columns have; spins that stay apart have none in common.
            products = [adjoint(left[row]) @ right[row] for row in left if row in right]
            if products:
                excess = sum(products[1:], products[0])
                if own == other:
                    excess -= opened[own[0]][own[1]][:, :, None] * np.eye(excess.shape[-1])
                error = np.maximum(error, np.abs(excess).max(axis=(1, 2)))
    return error


def _gather(pieces: list[_Piece], energy: float, kset: KSet, names: tuple[str, ...], area: float | None) -> Scattering:
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
        lead_axes=np.array([part.axis or Z_AXIS for part in parts]),
        lead_magnetic=tuple(not part.independent for part in parts),
        magnet_axes=pieces[0].magnet_axes,
        shifted=np.concatenate([piece.shifted for piece in pieces]),
        unitarity_error=np.concatenate([piece.unitarity_error for piece in pieces]),
        area=area,
    )

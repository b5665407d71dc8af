"""Scattering amplitudes between leads with one channel a spin, block by block, and beside band edges."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque import _single_orbital_kernels as kernels
from qtorque import amplitudes
from qtorque._linalg import adjoint
from qtorque.brillouin import KPoints, KSet
from qtorque.chain import Axis
from qtorque.channels import Z_AXIS
from qtorque.errors import InputError
from qtorque.halves import common_axis
from qtorque.single_orbital import SingleOrbitalChain
from qtorque.spin import su2

BAND_EDGE_SHIFT = 1e-9
"""eV; far below any energy of interest, and enough for the square root of it to be no rounding error."""
LARGEST_UNITARITY_ERROR = 1e-6
"""A momentum at which S^dagger S is off by more is on a band edge, or next to one, and solved again beside it."""


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


@dataclass(frozen=True, eq=False)
class Blocks:
    """Finds the amplitudes of a chain block by block; electrons from the right are those of its mirror image."""

    chain: SingleOrbitalChain
    kset: KSet
    energy: float
    axis: Axis
    lead_axes: tuple[Axis, ...]
    failed: np.ndarray
    t: np.ndarray

    def __call__(self, pair: tuple[int, int]) -> np.ndarray:
        out, into = pair
        if pair == (1, 0):
            return self.t
        source, axes = (self.chain.mirror, self.lead_axes[::-1]) if into else (self.chain, self.lead_axes)
        if out == into:
            return _reflected(source, self.kset, self.energy, self.axis, axes, self.failed)
        return transmitted_beside_edges(source, self.kset, self.energy, self.axis, axes)[0].t


def transmitted_beside_edges(
    c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis]
) -> tuple[amplitudes.Transmitted, np.ndarray]:
    """Transmission, and at which momenta it was found slightly above the energy: on a band edge."""
    found = amplitudes.transmitted(c, kset, energy, axis, lead_axes)
    failed = ~(found.error < LARGEST_UNITARITY_ERROR)
    if failed.any():
        index = np.flatnonzero(failed)
        k, weights = kset.take(index)
        again = amplitudes.transmitted(c, KPoints(k, weights), energy + BAND_EDGE_SHIFT, axis, lead_axes)
        if not np.all(np.isfinite(again.error)):
            raise no_solution(energy, k[np.argmin(np.isfinite(again.error))])
        found.t[_points(found.t, index)] = again.t
        found.open_channels[index], found.error[index] = again.open_channels, again.error
    return found, failed


def _reflected(c, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis], failed: np.ndarray) -> np.ndarray:
    """Reflection amplitudes of the left lead; slightly above the energy where they or the transmission `failed`."""
    r = amplitudes.reflected(c, kset, energy, axis, lead_axes)
    spins = (0,) if r.ndim == 2 else (1, 2)
    again = failed | ~np.isfinite(r).all(axis=spins)
    if again.any():
        index = np.flatnonzero(again)
        k, weights = kset.take(index)
        found = amplitudes.reflected(c, KPoints(k, weights), energy + BAND_EDGE_SHIFT, axis, lead_axes)
        if not np.all(np.isfinite(found)):
            raise no_solution(energy, k[np.argmin(np.isfinite(found).all(axis=spins))])
        r[_points(r, index)] = found
    return r


def _points(amplitudes: np.ndarray, index: np.ndarray) -> tuple:
    """Where the points with these numbers stand in (2, points) or (points, 2, 2)."""
    return (slice(None), index) if amplitudes.ndim == 2 else (index,)


def frame_of(axis: Axis, own: Axis) -> np.ndarray:
    """U_own^dagger U_axis of two axes; on one line it is the unit or the exchange of the spins, up to phases."""
    frame = adjoint(su2(own or Z_AXIS)) @ su2(axis or Z_AXIS)
    return np.where(np.abs(frame) > 0.5, frame, 0) if common_axis(axis, own) else frame


def no_solution(energy: float, phases: np.ndarray) -> InputError:
    return InputError(
        f"energy={energy:g} eV: no solution at k={phases.tolist()}; move the energy off the flat band there"
    )

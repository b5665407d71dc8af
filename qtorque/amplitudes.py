"""Scattering amplitudes of single-orbital chains, by compiled kernels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qtorque import _single_orbital_kernels as kernels
from qtorque.brillouin import KMesh, KSet
from qtorque.chain import Axis, Chain
from qtorque.compiling import announced
from qtorque.single_orbital import Z_AXIS, SingleOrbitalChain
from qtorque.spin import su2

LARGEST_POLYNOMIAL = 1e140
"""Runs of equal elements are cut where a Chebyshev polynomial could exceed it: its square is still a number."""
SAME_FRAME = 1e-15
"""Rounding of the product of two rotations that undo each other."""
CHUNK = 16384
"""Momenta that a kernel is given at once: their arrays stay in the second-level cache."""


@dataclass(frozen=True, eq=False)
class Transmitted:
    """Transmission of electrons that come from the left lead of a chain.

    Attributes
    ----------
    t
        Amplitudes, (2, points), spins apart along the one axis of the chain; or (points, 2, 2), spin out and in, in
        the frames of the leads.
    open_channels
        (points, lead, spin)
    error
        Violation of unitarity, not a number where there is no solution: (points,).
    """

    t: np.ndarray
    open_channels: np.ndarray
    error: np.ndarray


def transmitted(
    c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis]
) -> Transmitted:
    """Amplitudes t from left to right at every momentum. Those from right to left are these of the `mirror` image.

    Parameters
    ----------
    axis
        One on whose line all axes of the chain lie; None if there is none, or to have the spins in the frames of the
        leads.
    lead_axes
        Those of the frames of the two leads.
    """
    t = _empty_amplitudes(kset.size, axis)
    found = Transmitted(t, np.empty((kset.size, 2, 2), dtype=np.int8), np.empty(kset.size))
    _solve(c, kset, energy, axis, lead_axes, t, None, found.open_channels, found.error)
    phase = _phase(c.chain, kset)
    if phase is not None:
        t *= phase if axis is not None else phase[:, None, None]
    return found


def reflected(
    c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes: Sequence[Axis]
) -> np.ndarray:
    """Amplitudes r of the left lead, in the shape of those of `transmitted`.

    Solving once more for them costs less than the memory for both where only one is asked for.
    """
    r = _empty_amplitudes(kset.size, axis)
    rest = np.empty((kset.size, 2, 2), dtype=np.int8), np.empty(kset.size)
    _solve(c, kset, energy, axis, lead_axes, None, r, *rest)
    return r


def _empty_amplitudes(points: int, axis: Axis) -> np.ndarray:
    return np.empty((points, 2, 2) if axis is None else (2, points), dtype=complex)


def _solve(c: SingleOrbitalChain, kset: KSet, energy: float, axis: Axis, lead_axes, t, r, *rest: np.ndarray) -> None:
    """Fill t or r, and open channels and errors; the other amplitudes go to a scratch array."""
    if axis is None:
        left, right = (su2(own or Z_AXIS) for own in lead_axes)
        frames = [left, *(su2(own or Z_AXIS) for own in c.axes[1:-1]), right]
        # From every element to the one before it in the sweep, and from the first layer to the left lead at last.
        turns = np.array([U.conj().T @ W for U, W in zip([*frames[1:], left], [*frames[:-1], frames[1]], strict=True)])
        # Where nothing turns, exactly the unit matrix.
        turns = np.where(np.abs(turns - np.eye(2)) < SAME_FRAME, np.eye(2), turns)
        arguments = [*_tables(c), turns]
        kernel: Callable = kernels.noncollinear_scattering
    else:
        aligned = c.along(axis)
        arguments = [*_tables(aligned), _equal_leads(aligned), *_runs(aligned, energy)]
        kernel = kernels.collinear_scattering
    scratch = np.empty(0)
    with announced(kernel):
        for start, shapes in _blocks(c, kset):
            if scratch.size < 2 * shapes.shape[1]:
                scratch = _empty_amplitudes(shapes.shape[1], axis)
            out = (scratch, 0, r, start) if t is None else (t, start, scratch, 0)
            kernel(energy, shapes, *arguments, start, *out, *rest)


def open_channels(c: SingleOrbitalChain, k: np.ndarray, energy: float) -> np.ndarray:
    """Whether the energy lies in the band of a lead: (points, lead, spin), spins along the lead's own axis."""
    shapes, last = c.catalogue.shapes(k), len(c.onsite) - 1

    def value(number: int) -> np.ndarray:
        function = c.catalogue.function(number)
        return function.constant + shapes[function.row]

    bands = [[4 * value(c.hopping[last + p]) > (energy - value(n)) ** 2 for n in c.onsite[-p]] for p in range(2)]
    return np.moveaxis(np.array(bands), -1, 0)


def _tables(c: SingleOrbitalChain) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Constants and rows of on-site energies (elements, 2) and of squared hoppings."""
    onsite = [[c.catalogue.function(n) for n in pair] for pair in c.onsite]
    hopping = [c.catalogue.function(n) for n in c.hopping]
    return (
        np.array([[f.constant for f in pair] for pair in onsite]),
        np.array([[f.row for f in pair] for pair in onsite]),
        np.array([f.constant for f in hopping]),
        np.array([f.row for f in hopping]),
    )


def _runs(c: SingleOrbitalChain, energy: float) -> tuple[np.ndarray, np.ndarray]:
    """`materials` and `runs` of `collinear_scattering`."""
    runs: list[list[int]] = []
    for e in range(len(c.onsite) - 2, 1, -1):
        same = runs and c.onsite[e] == c.onsite[e + 1] and c.hopping[e - 1] == c.hopping[e]
        if same and runs[-1][1] < _longest(c, e, energy):
            runs[-1][1] += 1
        else:
            runs.append([e, 1])
    known: dict[tuple[int, int, int], int] = {}
    materials: list[tuple[int, int, int]] = []
    table = []
    for e, length in runs:
        numbers = [-1, -1]
        for spin in range(2) if length > 1 else ():
            key = (c.onsite[e][spin], c.hopping[e - 1], length)
            if key not in known:
                known[key] = len(materials)
                materials.append((e, spin, length))
            numbers[spin] = known[key]
        # The elements of a run of one are all that have no polynomials.
        table.append((e, *numbers))
    return np.array(materials, dtype=int).reshape(-1, 3), np.array(table, dtype=int).reshape(-1, 3)


def _longest(c: SingleOrbitalChain, e: int, energy: float) -> float:
    """Elements in a run whose polynomials stay below `LARGEST_POLYNOMIAL`; 1 where the hopping is not constant."""
    hop = c.catalogue.function(c.hopping[e - 1])
    if hop.row or hop.constant <= 0:
        return 1
    largest = 1 + (abs(energy) + c.chain.onsite[e].norm) / np.sqrt(hop.constant)
    return np.log(LARGEST_POLYNOMIAL) / np.log(largest)


def _equal_leads(c: SingleOrbitalChain) -> np.ndarray:
    """`leads` of `collinear_scattering`."""
    last = len(c.onsite) - 1
    known = [(c.onsite[0][s], c.hopping[0], c.hopping[last]) for s in range(2)]
    known += [(c.onsite[last][s], c.hopping[last - 1], c.hopping[last + 1]) for s in range(2)]
    return np.array([known.index(lead) for lead in known]).reshape(2, 2)


def _blocks(c: SingleOrbitalChain, kset: KSet) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first point, shapes) of blocks of momenta; whole rows of a full mesh."""
    if isinstance(kset, KMesh) and kset.symmetry is None:
        first, second = kset.take(np.arange(kset.n1) * kset.n2)[0][:, 0], kset.take(np.arange(kset.n2))[0][:, 1]
        rows = max(1, CHUNK // kset.n2)
        for row in range(0, kset.n1, rows):
            yield row * kset.n2, c.catalogue.shapes_of_rows(first[row : row + rows], second)
        return
    for start in range(0, kset.size, CHUNK):
        yield start, c.catalogue.shapes(kset.take(np.arange(start, min(start + CHUNK, kset.size)))[0])


def _phase(chain: Chain, kset: KSet) -> np.ndarray | None:
    """Phase of the hoppings on the way from the first to the last layer, which the kernels leave out; None if it is 1.

    The Green function from the first to the last layer holds V^dagger of every bond between them.
    """
    phase = np.ones(1, dtype=complex)
    constant = all(len(bond.vectors) == 1 and not bond.vectors.any() for bond in chain.bond[1:-1])
    k = np.zeros((1, 2)) if constant else kset.points
    for bond in chain.bond[1:-1]:
        value = bond.at(k)[:, 0, 0].conj()
        size = np.abs(value)
        phase = phase * np.divide(value, size, out=np.ones_like(value), where=size > 0)
    return None if np.all(phase == 1) else phase

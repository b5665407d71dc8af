"""Sums over k as integrals over the in-plane band energy, for stacks of one band.

Where H_l(k) = e_l + w(k) with the same w in every layer and the hopping between layers does not depend on k, anything
that is summed over k depends on it through w alone:

    sum_k F(w(k)) = Int dw D(w) F(w),    D(w) = sum_k delta(w - w(k)).

D is known in closed form. F has a square root wherever a channel of a lead opens or closes, and D has steps and
logarithms at its van Hove points; the integral is split at all of these, and in every piece a polynomial substitution
takes them away. Every energy is represented by one momentum on a line through the zone, so that all that is computed
at momenta can be integrated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ellipkm1

from qtorque.brillouin import KPoints
from qtorque.cells import Cells, Evaluate, Peaks, refine, refine_zone
from qtorque.chain import Chain, Fourier
from qtorque.refinement import Ladder, NestedMeshes, Refined
from qtorque.ridges import narrow_resonances, peaks_in_cells, smooth

SAME = 1e-13
"""Relative difference of two hoppings that are one: rounding of parameters that were computed."""
MERGED = 1e-10
"""Share of the band width: thresholds closer than this are one; what lies between them is below every tolerance."""
RUNGS = 7
"""At most 10 x 2^6 Gauss points in a piece."""
ORDER = 10
"""Gauss points of a cell: a piece and its halves take 30 points."""
PANEL_WIDTHS = (3.0, 30.0, 300.0)
"""Half the cells around a resonance in units of its width."""


class Band(Protocol):
    """An in-plane band w(k)."""

    @property
    def edges(self) -> tuple[float, ...]:
        """Ends of the band and van Hove points, ascending."""

    def density(self, w: np.ndarray) -> np.ndarray:
        """D(w), states per cell and eV, inside the band."""

    def phases(self, w: np.ndarray) -> np.ndarray:
        """Phases (..., 2) of one momentum with w(k) = w."""


@dataclass(frozen=True)
class TwoHoppings:
    """w = 2 first cos(R1.k) + 2 second cos(R2.k): square and rectangular nets; rows of `vectors` are R1, R2."""

    first: float
    second: float
    vectors: tuple[tuple[int, int], tuple[int, int]]

    @property
    def edges(self) -> tuple[float, ...]:
        inner, outer = (2 * abs(abs(self.first) + sign * abs(self.second)) for sign in (-1, 1))
        return tuple(sorted({-outer, -inner + 0.0, inner, outer}))

    def density(self, w: np.ndarray) -> np.ndarray:
        """With A = 2|first|, B = 2|second|: K(m)/(pi^2 sqrt(AB)) for |w| > |A - B|, m = ((A+B)^2 - w^2)/(4AB), and
        2 K(1/m)/(pi^2 sqrt((A+B)^2 - w^2)) below, the complete elliptic integral K taken at 1 - m.

        From P. F. Byrd and M. D. Friedman, Handbook of Elliptic Integrals, Springer 1971, 254.00 (from memory).
        """
        product = 4 * abs(self.first * self.second)
        outer = 4 * (abs(self.first) + abs(self.second)) ** 2 - w**2
        inner = w**2 - 4 * (abs(self.first) - abs(self.second)) ** 2
        beyond = inner > 0
        complement = np.where(beyond, inner / (4 * product), -inner / outer)
        scale = np.where(beyond, np.sqrt(product), 0.5 * np.sqrt(outer))
        return _elliptic(complement) / (np.pi**2 * scale)

    def phases(self, w: np.ndarray) -> np.ndarray:
        along = np.arccos(np.clip(w / self.edges[-1], -1, 1))
        theta = np.stack([along + (np.pi if t < 0 else 0.0) for t in (self.first, self.second)], axis=-1)
        return theta @ np.linalg.inv(np.array(self.vectors, dtype=float)).T


@dataclass(frozen=True)
class HexagonalHoppings:
    """w = 2 hopping [cos(R1.k) + cos(R2.k) + cos(R1.k + sign R2.k)]: the hexagonal net."""

    hopping: float
    vectors: tuple[tuple[int, int], tuple[int, int]]
    sign: int

    @property
    def edges(self) -> tuple[float, ...]:
        return tuple(sorted(self.hopping * x for x in (-3.0, -2.0, 6.0)))

    def density(self, w: np.ndarray) -> np.ndarray:
        """K(Z1/Z0)/(pi^2 |t| sqrt(Z0)) with r^2 = 3 + w/t, the larger of 4r and (1+r)^2 - (r^2-1)^2/4 as Z0.

        The density of states of graphene with |E| = r|t|, as a function of r^2: A. H. Castro Neto et al., Rev. Mod.
        Phys. 81, 109 (2009) (from memory). Z0 - Z1 = |1-r|^3 (3+r)/4.
        """
        r = np.sqrt(np.maximum(3 + w / self.hopping, 0.0))
        beyond = np.abs(2 + w / self.hopping) / (1 + r)
        larger = np.where(r > 1, 4 * r, (1 + r) ** 2 - (r**2 - 1) ** 2 / 4)
        return _elliptic(beyond**3 * (3 + r) / (4 * larger)) / (np.pi**2 * abs(self.hopping) * np.sqrt(larger))

    def phases(self, w: np.ndarray) -> np.ndarray:
        along = np.arccos(np.clip((np.sqrt(np.maximum(3 + w / self.hopping, 0.0)) - 1) / 2, -1, 1))
        theta = np.stack([along, self.sign * along], axis=-1)
        return theta @ np.linalg.inv(np.array(self.vectors, dtype=float)).T


def _elliptic(complement: np.ndarray) -> np.ndarray:
    """K(m) at 1 - m = complement, finite at the logarithmic singularity itself."""
    return ellipkm1(np.maximum(complement, np.finfo(float).tiny))


@dataclass(frozen=True, eq=False)
class Line:
    """A band cut into pieces; a `Domain` of one dimension for `qtorque.refinement.refine`, and a `Ladder` for `climb`.

    In a piece from a to b the place x in [0, 1] has w = a + (b - a) s(x) with s = x^4 (35 - 84 x + 70 x^2 - 20 x^3),
    which makes square roots at both ends analytic and logarithms harmless. The rungs have 10, 20, 40, ... Gauss points
    in every piece.
    """

    band: Band
    places: np.ndarray
    order: int = ORDER
    name: str = "density of states"
    rungs: int = RUNGS
    fewest: int = 2
    kept: float = 0.0
    full_rounds: int = 0

    @property
    def cells(self) -> Cells:
        count = len(self.places) - 1
        return Cells(np.arange(count), np.zeros((count, 1)), np.ones(count))

    def place(self, piece: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start, stop, x = self.places[piece][:, None], self.places[piece + 1][:, None], x[..., 0]
        # From the nearer end, so that the distance to it keeps its digits.
        w = np.where(x < 0.5, start + (stop - start) * smooth(x), stop - (stop - start) * smooth(1 - x))
        slope = 140 * (x * (1 - x)) ** 3
        return self.band.phases(w), self.band.density(w) * (stop - start) * slope

    def peaks(self, cells: Cells) -> Peaks:
        """None: the pieces end at the resonances."""
        return Peaks.none(len(cells.piece))

    def rung(self, number: int) -> KPoints:
        """Twice as many Gauss points in every piece as in the rung before."""
        nodes, weights = np.polynomial.legendre.leggauss(self.order * 2**number)
        piece = np.arange(len(self.places) - 1)
        x = np.broadcast_to(0.5 * (nodes + 1), (len(piece), len(nodes)))
        phases, density = self.place(piece, x[..., None])
        return KPoints(phases.reshape(-1, 2), (0.5 * weights * density).ravel())


def line(chains: Sequence[Chain], energies: Sequence[float], widths: Sequence[float] = PANEL_WIDTHS) -> Line | None:
    """The band of a stack, split wherever a sum over k at (or integrated up to) these energies is not smooth in w.

    None if the stack is not of one band: several orbitals, hoppings between layers that depend on k, in-plane hoppings
    that differ between layers or depend on spin, or a band shape whose density of states is not known here.

    Parameters
    ----------
    chains
        The stack at every angle that is asked for.
    energies
        eV; the energy of a conductance, the Fermi energies of a torque.
    widths
        Half the pieces around a resonance in units of its width.

    Notes
    -----
    Split are van Hove points, the ends of the bands of both leads for both spins, and narrow resonances and bound
    states of the region, these at the first, the middle and the last angle: they move with the angle, and pieces for
    all would be too many.
    """
    bands = [_in_plane_band(chain) for chain in chains]
    band = bands[0]
    if band is None or any(other != band for other in bands):
        return None
    places = list(band.edges)
    for chain in chains:
        ends = _lead_ends(chain)
        if ends is None:
            return None
        places += [energy - end for energy in energies for end in ends]
    edges = _merged(places, band)
    few = {0, len(chains) // 2, len(chains) - 1}
    narrow = [
        narrow_resonances(chains[i], band.phases, edges, energy, widths) for i in sorted(few) for energy in energies
    ]
    return Line(band, _merged([*edges, *np.concatenate(narrow)], band))


def refine_stack(
    chains: Sequence[Chain],
    energies: Sequence[float],
    evaluate: Evaluate,
    *,
    tolerance: float,
    reference: np.ndarray | None = None,
) -> Refined:
    """A sum over k to a tolerance: over the density of states where the stack has one band, else over the zone.

    `chains` and `energies` as for `line`, the rest as for `qtorque.refinement.refine`.
    """
    domain = line(chains, energies)
    if domain is None:
        few = [chains[i] for i in sorted({0, len(chains) // 2, len(chains) - 1})]
        find_peaks = peaks_in_cells([(chain, energy) for chain in few for energy in energies])
        return refine_zone(evaluate, tolerance=tolerance, reference=reference, find_peaks=find_peaks)
    return refine(domain, evaluate, tolerance=tolerance, reference=reference)


def ladder(chains: Sequence[Chain], energies: Sequence[float]) -> Ladder:
    """The sums over k to climb: over the density of states where the stack has one band, else over nested meshes.

    `chains` and `energies` as for `line`. What is integrated over energy has a step, not a peak, where a resonance
    crosses a Fermi energy, and no pieces around it are needed.
    """
    return line(chains, energies, widths=()) or NestedMeshes()


def _merged(places: Sequence[float], band: Band) -> np.ndarray:
    """The places inside the band, ascending, without those that fall on another."""
    low, high = band.edges[0], band.edges[-1]
    inside = np.unique([x for x in places if low < x < high])
    margin = MERGED * (high - low)
    kept = [low]
    kept += [x for x in inside if x - low > margin and high - x > margin]
    distinct = [x for i, x in enumerate(kept) if i == 0 or x - kept[i - 1] > margin]
    return np.array([*distinct, high])


def _in_plane_band(chain: Chain) -> Band | None:
    """w(k) if all elements share it and nothing else depends on k."""
    hoppings = (*chain.bond, chain.left_outward, chain.right_outward)
    if any(h.matrices.shape[1:] != (2, 2) for h in chain.onsite) or any(_away(h) for h in hoppings):
        return None
    shapes = [_away(h) for h in chain.onsite]
    first = shapes[0]
    scale = max((np.abs(m).max() for m in first.values()), default=0.0)
    for shape in shapes:
        if shape.keys() != first.keys():
            return None
        if any(np.abs(shape[R] - first[R][0, 0].real * np.eye(2)).max() > SAME * scale for R in first):
            return None
    amplitudes = {R: float(m[0, 0].real) for R, m in sorted(first.items()) if R > (0, 0)}
    vectors = list(amplitudes)
    if len(vectors) not in (2, 3) or np.linalg.det(np.array(vectors[:2])) == 0:
        return None
    if len(vectors) == 2:
        return TwoHoppings(amplitudes[vectors[0]], amplitudes[vectors[1]], (vectors[0], vectors[1]))
    equal = all(abs(t - amplitudes[vectors[0]]) <= SAME * scale for t in amplitudes.values())
    for sign in (1, -1):
        third = tuple(a + sign * b for a, b in zip(vectors[0], vectors[1], strict=True))
        if equal and vectors[2] in (third, tuple(-x for x in third)):
            return HexagonalHoppings(amplitudes[vectors[0]], (vectors[0], vectors[1]), sign)
    return None


def _away(block: Fourier) -> dict[tuple[int, int], np.ndarray]:
    """The parts of a block that belong to in-plane vectors other than zero and do not vanish."""
    return {
        (int(R[0]), int(R[1])): m for R, m in zip(block.vectors, block.matrices, strict=True) if R.any() and m.any()
    }


def _lead_ends(chain: Chain) -> list[float] | None:
    """Ends e - 2|V|, e + 2|V| of the bands of both leads, for both spins, without w; None if one conserves no spin."""
    ends = []
    for onsite, outward in ((chain.onsite[0], chain.left_outward), (chain.onsite[-1], chain.right_outward)):
        home = Fourier(onsite.vectors[:1] * 0, _home(onsite)[None])
        axis = home.spin_part.axis or outward.spin_part.axis or (0.0, 0.0, 1.0)
        if not (home.spin_part.diagonal_along(axis) and outward.spin_part.diagonal_along(axis)):
            return None
        hopping = Fourier(outward.vectors[:1] * 0, _home(outward)[None])
        for spin in range(2):
            centre = home.in_frame(axis)[0, spin, 0, 0].real
            half = 2 * abs(hopping.in_frame(axis)[0, spin, 0, 0])
            ends += [centre - half, centre + half]
    return ends


def _home(block: Fourier) -> np.ndarray:
    return block.matrices[~block.vectors.any(axis=1)].sum(axis=0)

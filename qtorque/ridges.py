"""Where narrow resonances of the region between the leads cross an energy.

At a fixed energy E the complex levels of the open region, the eigenvalues of H + Sigma_L + Sigma_R, move with the
momentum. Where the real part of one meets E, transmission has a peak, as narrow in k as the level's width Gamma over
its speed: a point in a density of states, a line in the zone. A mesh that does not know of it misses it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from qtorque.cells import FindPeaks, Peaks
from qtorque.chain import Chain
from qtorque.green import Phases, Sweeps
from qtorque.single_orbital import Catalogue, single_orbital

SAMPLES = 12
"""Energies inside every piece at which resonances are tracked; their positions move almost as fast as w itself."""
INSIDE = 1e-9
"""Share of a piece: resonances are looked for as close to its ends; at these a lead's self-energy is singular."""
LARGEST_REGION = 200
"""Size of the matrix of a region beyond which resonances are not looked for: their levels lie so dense that points meet
them anyway, and eigenvalues cost the cube."""
LARGEST_REGION_OF_CELLS = 100
"""The same for the cells of the zone, of which there are many more."""
NARROW = 0.2
"""A resonance narrower than this share of its piece ends cells; Gauss points meet a wider one anyway."""
CORRECTIONS = 10
"""Steps of the iteration for the position of a resonance; each gains a digit or more."""
MET = 0.5
"""Width of a resonance over the change of its energy from the centre of a cell to a corner from which on the difference
between a rule of 4 x 4 points and that on the halves tells its error: Gauss rules of four points then have 2 %."""
CLEAR = 2.0
"""The same from which on no peak is looked for in the halves."""
OFFSET = 0.25
"""Share of a cell over which the speed of a level is measured."""
BOUND = 1e-15
"""eV; narrower levels are bound states up to rounding."""
BATCH_BYTES = 2**26
"""Memory of the matrices that are diagonalised at once."""


def open_region(chain: Chain) -> Chain | None:
    """The chain without the layers that are like the leads, whose levels are no resonances; None if nothing is left.

    Only a chain of one orbital with one spin axis in every element is known well enough to be cut.
    """
    described = single_orbital(chain, Catalogue())
    if described is None:
        return chain
    first, final = described.inner_elements
    if first > final:
        return None
    return Chain(
        chain.onsite[first - 1 : final + 2], chain.bond[first - 1 : final + 1], chain.left_outward, chain.right_outward
    )


def _size(chain: Chain) -> int:
    return sum(block.matrices.shape[1] for block in chain.onsite[1:-1])


def _levels(chain: Chain, k: np.ndarray, energy: float) -> np.ndarray:
    """Complex levels of the open region less the energy at phases (n, 2), sorted by their real parts: (n, all)."""
    batch = max(1, BATCH_BYTES // (16 * _size(chain) ** 2))
    parts = [
        Sweeps(chain, Phases(k[i : i + batch]), np.array([[float(energy)]])).resonances()
        for i in range(0, len(k), batch)
    ]
    found = np.concatenate(parts) - energy
    return np.take_along_axis(found, np.argsort(found.real, axis=1, kind="stable"), axis=1)


def narrow_resonances(
    chain: Chain,
    phases: Callable[[np.ndarray], np.ndarray],
    edges: np.ndarray,
    energy: float,
    widths: Sequence[float],
) -> np.ndarray:
    """In-plane energies w at which narrow resonances of the region cross an energy, each with ends of cells around it.

    The levels are followed on a few energies in every piece between `edges` and just inside its ends, w standing for
    the momentum phases(w); a crossing between two of them is bracketed and iterated.
    """
    region = open_region(chain)
    if region is None or _size(region) > LARGEST_REGION:
        return np.empty(0)

    def levels(w: np.ndarray) -> np.ndarray:
        return _levels(region, phases(w), energy)

    places = []
    x = smooth(np.arange(0.5, SAMPLES) / SAMPLES)
    x = np.concatenate([[INSIDE], x, [1 - INSIDE]])
    samples = edges[:-1, None] + np.diff(edges)[:, None] * x
    followed = levels(samples.ravel()).reshape(*samples.shape, -1)
    before, after = followed[:, :-1].real, followed[:, 1:].real
    piece, step, level = np.nonzero((before < 0) != (after < 0))
    ends = samples[piece, step], samples[piece, step + 1]
    sides = before[piece, step, level], after[piece, step, level]
    w, width = _crossings(levels, level, ends, sides)
    for centre, gamma, own in zip(w, width, piece, strict=True):
        start, stop = edges[own], edges[own + 1]
        if gamma < NARROW * (stop - start):
            reach = [sign * rung * max(gamma, 0.0) for rung in widths for sign in (-1, 1)]
            places += [y for y in (centre, *(centre + r for r in reach)) if start < y < stop]
    return np.array(places)


def smooth(x: np.ndarray) -> np.ndarray:
    """x^4 (35 - 84 x + 70 x^2 - 20 x^3), from 0 to 1 with three derivatives that vanish at both ends."""
    return x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)


def _crossings(levels, level: np.ndarray, ends, sides) -> tuple[np.ndarray, np.ndarray]:
    """Where the real part of a level vanishes, and the width of the level there: (n,) each.

    Regula falsi with the Illinois rule, all brackets at once. `levels`: function w (n,) -> complex levels (n, all);
    `level`: which of them; `ends`, `sides`: the ends of the brackets and the real parts there.
    """
    if not len(level):
        return np.empty(0), np.empty(0)
    (low, high), (below, above), rows = ends, sides, np.arange(len(level))
    sign, last = np.sign(above), np.zeros(len(level))
    for _ in range(CORRECTIONS):
        w = (low * above - high * below) / (above - below)
        at = levels(w)[rows, level]
        # +1 where w becomes the upper end. An end that stays twice counts half, or it would stay for ever.
        moved = np.where(at.real * sign >= 0, 1, -1)
        half = np.where(moved == last, 0.5, 1.0)
        low, high = np.where(moved > 0, low, w), np.where(moved > 0, w, high)
        below, above = np.where(moved > 0, half * below, at.real), np.where(moved > 0, at.real, half * above)
        last = moved
    return w, -2 * at.imag


def peaks_in_cells(regions: Sequence[tuple[Chain, float]]) -> FindPeaks | None:
    """What finds the lines of narrow resonances of some chains, each at its energy, in cells of the zone.

    None if all of them are larger than `LARGEST_REGION_OF_CELLS` or have no region.
    """
    found = [(region, energy) for chain, energy in regions if (region := open_region(chain)) is not None]
    found = [(region, energy) for region, energy in found if _size(region) <= LARGEST_REGION_OF_CELLS]
    if not found:
        return None

    def find(centres: np.ndarray, widths: np.ndarray) -> Peaks:
        parts = [_peaks(region, energy, centres, widths) for region, energy in found]
        return Peaks(
            np.concatenate([p.cell for p in parts]),
            np.concatenate([p.phases for p in parts]),
            np.concatenate([p.share for p in parts]),
            np.any([p.suspect for p in parts], axis=0),
        )

    return find


def _peaks(region: Chain, energy: float, centres: np.ndarray, widths: np.ndarray) -> Peaks:
    """The lines of one chain at one energy.

    Near the centre of a cell of width h a level is E_0 + g.dk with g from two differences, and second derivatives are
    below those of H. If it may vanish within the cell and Gamma is small beside its change there, a point of the line
    is found along g. Of the cell the line fills the share (pi/2) Gamma/(h |g|), the area under a Lorentzian.
    """
    if not len(centres):
        return Peaks.none(0)
    h = widths[:, None]
    at, along_x, along_y = (
        _levels(region, centres + OFFSET * h * np.array(unit), energy) for unit in ((0, 0), (1, 0), (0, 1))
    )
    slope = np.stack([along_x.real - at.real, along_y.real - at.real], axis=-1) / (OFFSET * h[..., None])
    bend = max(
        float(np.sum((b.vectors**2).sum(axis=1) * np.linalg.norm(b.matrices, 2, axis=(1, 2))))
        for b in (*region.onsite, *region.bond)
    )
    width = np.maximum(-2 * at.imag, 0.0)
    reach = 0.5 * h * np.abs(slope).sum(axis=-1) + 0.25 * bend * h**2
    crossed = np.abs(at.real) <= reach
    suspect = (crossed & (width < CLEAR * reach)).any(axis=1)
    cell, level = np.nonzero(crossed & (width < MET * reach) & (np.abs(slope).max(axis=-1) > 0))
    if not len(cell):
        return Peaks(cell, np.empty((0, 2)), np.empty(0), suspect)
    speed = np.linalg.norm(slope[cell, level], axis=-1)
    direction = slope[cell, level] / speed[:, None]
    place, value, gamma = np.zeros(len(cell)), at.real[cell, level], width[cell, level]
    farthest = widths[cell] / np.sqrt(2)
    best = np.abs(value), place, gamma
    rate = speed
    for _ in range(CORRECTIONS):
        new = np.clip(place - value / rate, -farthest, farthest)
        levels = _levels(region, centres[cell] + new[:, None] * direction, energy)[np.arange(len(cell)), level]
        moved = new != place
        secant = np.where(moved, (levels.real - value) / np.where(moved, new - place, 1.0), speed)
        rate = np.where(secant > OFFSET * speed, secant, speed)
        place, value = new, levels.real
        better = np.abs(value) < best[0]
        here = np.abs(value), place, np.maximum(-2 * levels.imag, 0.0)
        best = tuple(np.where(better, a, b) for a, b in zip(here, best, strict=True))
        if np.all(best[0] <= OFFSET * best[2]):
            break
    miss, place, gamma = best
    met = (miss <= gamma) & (gamma > BOUND)
    across = widths[cell] * np.abs(slope[cell, level]).max(axis=-1)
    share = (widths[cell] / (2 * np.pi)) ** 2 * np.minimum(1.0, 0.5 * np.pi * gamma / across)
    points = centres[cell] + place[:, None] * direction
    return Peaks(cell[met], points[met], share[met], suspect)

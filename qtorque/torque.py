"""Spin currents through every cut and torques on every layer and magnet, at one energy.

The kernels here are per momentum and energy; `qtorque.bias` integrates them over the bias window and the Fermi sea.
Spin currents and torques are energies in eV (hbar/2 included) in the laboratory frame of the spin.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qtorque.chain import Chain
from qtorque.errors import InputError
from qtorque.green import Phases, Sweeps, blocks
from qtorque.joins import Joins
from qtorque.single_orbital import SingleOrbitalChains, single_orbital_chains

SMALL_SINE = 1e-4
"""Below this |sin(angle)| the coefficients come from the limit: the torque itself has lost its digits there."""
LIMIT_STEP = 0.01
"""rad; the coefficients are even about 0 and pi, so (4 c(step) - c(2 step))/3 leaves an error of 4 step^4 = 4e-8
c''''/24."""
NARROW = 0.05
"""A resonance narrower than this share of the window gets panels of its own; 15 nodes meet a wider one anyway."""
NO_WIDTH = 1e-15
"""eV; a state narrower than that in the middle of the window is bound there, and its width elsewhere is not known."""
PANEL_WIDTHS = (10.0, 300.0)
"""Half the panels around a resonance in units of its width; each rung shows the next nodes the tail of the peak."""
PANEL_LADDER = (1e-2, 1e-4, 1e-6, 1e-8)
"""The same where the width is not known, in units of the window."""
UNKNOWN_EXCHANGE = "not a number: the magnet goes on in a lead with spin-orbit coupling, and its torque with it"
"""The note of an exchange torque that is not known."""
PARALLEL_LIMIT = 1e-6
"""Largest difference of cosines between the angle asked for and the angle found in the blocks."""


@dataclass(frozen=True)
class Cuts:
    """Which cuts and which layers a kernel reports: bond b lies between elements b and b + 1 of the chain.

    The columns of a kernel are (angle, cut, a) with a = 0 (charge), x, y, z, then (angle, layer, xyz).
    """

    bonds: tuple[int, ...]
    layers: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """Columns for each angle."""
        return 4 * len(self.bonds) + 3 * len(self.layers)

    def currents(self, columns: np.ndarray) -> np.ndarray:
        """(..., columns) -> (..., bond, 4)."""
        return columns[..., : 4 * len(self.bonds)].reshape(*columns.shape[:-1], len(self.bonds), 4)

    def torques(self, columns: np.ndarray) -> np.ndarray:
        """(..., columns) -> (..., layer, 3)."""
        return columns[..., 4 * len(self.bonds) :].reshape(*columns.shape[:-1], len(self.layers), 3)

    @property
    def is_spin_current(self) -> np.ndarray:
        """Which columns of one angle are spin currents, boolean."""
        return np.array([False, True, True, True] * len(self.bonds) + [False] * 3 * len(self.layers))


def window_kernel(chains: Sequence[Chain], cuts: Cuts, k: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The symmetric window (A_L - A_R)/2, per energy: shape (m, nE, angles x columns).

    Spin current Im Tr[(1/2){V^dagger, sigma_a} (A_L - A_R)/2]/(2 pi); torque (i/2) Tr([sigma_a, H] (A_L - A_R)/2)/(2
    pi) of the exchange H.

    Parameters
    ----------
    chains
        The blocks at every angle.
    k, energy
        Phases (m, 2) and real energies (m, nE), eV.
    """
    compiled = _single_orbital(tuple(chains))
    if compiled is not None:
        found = Joins(compiled, k, energy).window(cuts.bonds, cuts.layers)
        found *= 1 / (2 * np.pi)
        return _chain_columns(found)
    columns, phases, first = [], Phases(k), None
    for chain in chains:
        sweeps = Sweeps(chain, phases, energy, like=first)
        first = first or sweeps
        columns += [_half_difference(sweeps.join(b).window_currents()) for b in cuts.bonds]
        columns += [
            _half_difference(sweeps.join(e).window_torques(blocks(chain.exchange_of(e), None, phases)))
            for e in cuts.layers
        ]
    return _columns_last(columns) / (2 * np.pi)


def sea_kernel(chains: Sequence[Chain], cuts: Cuts, k: np.ndarray, z: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The Fermi sea, per node of a contour: shape (m, nodes, angles x columns).

    Spin current Re{step Tr[W_a G(l, l+1) - W_a^dagger G(l+1, l)]}/(2 pi), W_a = (1/2){V^dagger, sigma_a}; torque
    -Im{step (i/2) Tr([sigma_a, H] G)}/pi of the exchange H. The integrands are analytic; `step` is f(z) dz/dx.
    """
    compiled = _single_orbital(tuple(chains))
    if compiled is not None:
        found = Joins(compiled, k, z).sea(cuts.bonds, cuts.layers, step)
        found[:, : 4 * len(cuts.bonds)] *= 1 / (2 * np.pi)
        found[:, 4 * len(cuts.bonds) :] *= -1 / np.pi
        return _chain_columns(found)
    columns, phases, first = [], Phases(k), None
    for chain in chains:
        sweeps = Sweeps(chain, phases, z, like=first)
        first = first or sweeps
        columns += [(step * sweeps.join(b).sea_currents()).real for b in cuts.bonds]
        columns += [
            -2 * (step * sweeps.join(e).sea_torques(blocks(chain.exchange_of(e), None, phases))).imag
            for e in cuts.layers
        ]
    return _columns_last(columns) / (2 * np.pi)


def log_determinants(chains: Sequence[Chain], cut: int, k: np.ndarray, z: np.ndarray) -> np.ndarray:
    """ln det(1 - g_left V g_right V^dagger) at a cut, relative to the first chain: (m, nodes, chains).

    It is the part of -ln det G that depends on what the halves do to each other.
    """
    compiled = _single_orbital(tuple(chains))
    if compiled is not None:
        logarithm = Joins(compiled, k, z).log_determinant(cut)
        return np.moveaxis(logarithm - logarithm[0], 0, -1)
    phases = Phases(k)
    first = Sweeps(chains[0], phases, z)
    joins = [first.join(cut), *(Sweeps(chain, phases, z, like=first).join(cut) for chain in chains[1:])]
    return np.stack([j.log_determinant_ratio(joins[0]) for j in joins], axis=-1)


# An adaptive integral asks for the same chains some hundred times; what is known of them is kept for the last few.
@functools.lru_cache(maxsize=8)
def _single_orbital(chains: tuple[Chain, ...]) -> SingleOrbitalChains | None:
    # The compiled torque is that of the whole on-site block.
    if any(chain.exchange is not None and any(chain.spin_orbit_coupled) for chain in chains):
        return None
    return single_orbital_chains(chains)


def _chain_columns(found: np.ndarray) -> np.ndarray:
    """(chains, columns, m, n) -> (m, n, chains x columns)."""
    return np.moveaxis(found.reshape(-1, *found.shape[2:]), 0, -1)


def resonance_panels(chains: Sequence[Chain], k: np.ndarray, low: float, high: float) -> list[np.ndarray]:
    """For every k the ends of panels around the narrow resonances between two energies, at any of the angles.

    The self-energies are taken in the middle of the window, so that position and width of a resonance elsewhere are
    estimates: panels of growing width surround each. A state that is bound in the middle may decay where it lies.
    """
    compiled = _single_orbital(tuple(chains))
    if compiled is not None and not any(c.may_have_states(low, high) for c in compiled.chains):
        return [np.empty(0)] * len(k)
    phases, window = Phases(k), high - low
    middle = np.array([[0.5 * (low + high)]])
    found = np.concatenate([Sweeps(chain, phases, middle).resonances() for chain in chains], axis=1)
    width = -2 * found.imag
    inside = (width < NARROW * window) & (found.real > low) & (found.real < high)
    panels = []
    for energy, gamma, chosen in zip(found.real, width, inside, strict=True):
        centre, known = energy[chosen], gamma[chosen] > NO_WIDTH
        reach = [centre[known] + sign * rung * gamma[chosen][known] for rung in PANEL_WIDTHS for sign in (-1, 1)]
        reach += [centre[~known] + sign * rung * window for rung in PANEL_LADDER for sign in (-1, 1)]
        panels.append(np.concatenate([centre, *reach]))
    return panels


def _half_difference(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return 0.5 * (pair[0] - pair[1])


def _columns_last(columns: list[np.ndarray]) -> np.ndarray:
    """[(c, m, n), ...] -> (m, n, all columns)."""
    return np.moveaxis(np.concatenate(columns), 0, -1)


def torque_on_magnet(currents: dict[int, np.ndarray], magnet: range, last: int, direction: np.ndarray) -> np.ndarray:
    """Torque on a magnet from the spin currents through its two ends, eV per cell.

    A finite magnet takes Q(in) - Q(out). A semi-infinite one takes the part across its magnetization at its interface:
    +Q_perp in the right lead, -Q_perp in the left lead. With spin-orbit coupling in the magnet this is what its spins
    and its lattice take together.

    Parameters
    ----------
    currents
        bond -> spin current, shape (3,)
    magnet
        Its elements of the chain.
    last
        Number of the last element, the cell of the right lead.
    direction
        Its magnetization.
    """
    if magnet.start == 0 and magnet.stop - 1 == last:
        raise InputError("the stack is one single magnet; a torque needs two magnets")
    flow = np.zeros(3)
    if magnet.start > 0:
        flow = flow + currents[magnet.start - 1]
    if magnet.stop - 1 < last:
        flow = flow - currents[magnet.stop - 1]
    if magnet.start == 0 or magnet.stop - 1 == last:
        flow = flow - direction * (direction @ flow)
    return flow


def exchange_parts(chain: Chain, magnet: range) -> tuple[range, range] | None:
    """A magnet as (layers, rest): the torque on its magnetization is the sum of the exchange torques of the layers and
    the torque on the spins of the rest, which has no spin-orbit coupling and may go on in a lead.

    None for a magnet that goes on in a lead with spin-orbit coupling: its exchange torque is spread over as many layers
    as the spin needs to relax, all of them in the lead.
    """
    coupled = [e for e in magnet if chain.spin_orbit_coupled[e]]
    if not coupled:
        return range(0), magnet
    if magnet.start > 0 and magnet.stop < len(chain.onsite):
        return magnet, range(0)
    if 0 in coupled or len(chain.onsite) - 1 in coupled:
        return None
    if magnet.start == 0:
        return range(coupled[0], magnet.stop), range(0, coupled[0])
    return range(magnet.start, coupled[-1] + 1), range(coupled[-1] + 1, magnet.stop)


def exchange_layers(chain: Chain, magnets: Sequence[range]) -> tuple[int, ...]:
    """The layers whose exchange torques enter those of magnets with spin-orbit coupling, ascending."""
    found = [exchange_parts(chain, magnet) for magnet in magnets]
    return tuple(sorted({e for parts in found if parts for e in parts[0]}))


def torque_cuts(chain: Chain, magnets: Sequence[range]) -> list[int]:
    """The cuts, ascending, whose spin currents make up the torques on magnets: their ends, and where the layers with
    spin-orbit coupling of one end that goes on in a lead."""
    last = len(chain.onsite) - 1
    rests = [parts[1] for parts in (exchange_parts(chain, magnet) for magnet in magnets) if parts and parts[1]]
    return sorted({b for part in (*magnets, *rests) for b in ends(part, last)})


def has_lattice_torque(chain: Chain, magnets: Sequence[range]) -> bool:
    """Whether spin-orbit coupling in a magnet makes the torque on its magnetization another than that on its spins."""
    return any(chain.spin_orbit_coupled[e] for magnet in magnets for e in magnet)


def conserved(chain: Chain, bonds: Sequence[int]) -> list[int]:
    """For every bond, ascending, the number of the first one that carries the same spin current.

    Layers whose blocks leave spin alone let it through as it is.
    """
    found: list[int] = []
    for i, bond in enumerate(bonds):
        same = i > 0 and all(
            chain.onsite[e].spin_part.independent and chain.bond[e].spin_part.independent
            for e in range(bonds[i - 1] + 1, bond + 1)
        )
        found.append(found[-1] if same and chain.bond[bonds[i - 1]].spin_part.independent else i)
    return found


def ends(magnet: range, last: int) -> tuple[int, ...]:
    """The cuts at the ends of a magnet."""
    return tuple(b for b in (magnet.start - 1, magnet.stop - 1) if 0 <= b < last)


def decompose(torque: np.ndarray, m: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(damping-like, field-like) coefficients of torque = DL m x (p x m) + FL m x p.

    Both directions have length sin(angle); the coefficients have it removed. Arrays of vectors are taken along the last
    axis. Not for parallel m and p.
    """
    field = np.cross(m, p)
    damping = np.cross(m, -field)
    square = np.sum(field * field, axis=-1)
    return np.sum(torque * damping, axis=-1) / square, np.sum(torque * field, axis=-1) / square


def recompose(damping_like: np.ndarray, field_like: np.ndarray, m: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The vector DL m x (p x m) + FL m x p."""
    field = np.cross(m, p)
    return damping_like[..., None] * np.cross(m, -field) + field_like[..., None] * field

"""Nodal analysis of a network of diffusive elements: exact admittances, one linear system. No mesh.

Every element joins two nodes and is known by its exact admittance Y: (i_first, i_second) = Y (phi_first - w,
phi_second - w), where phi = (mu_0, mu_s) are the four potentials of a node in volt and i the charge current and the
spin current INTO the element there. w is (hbar/e) times the angular velocity with which its magnet precesses: in the
rotating frame a magnet at rest sees the accumulation mu_s - hbar omega/e (Y. Tserkovnyak, A. Brataas, G. E. W. Bauer,
Phys. Rev. Lett. 88, 117601 (2002), from memory); only its part across the magnetisation pumps.

Along the magnetisation the potentials c = mu_0 + beta s/2 and s = mu_up - mu_down decouple in an element: c falls
linearly, s = A exp(z/l) + B exp(-z/l). The admittance of s is written as what passes, x/sinh(x), and what is lost at
either end, x tanh(x/2), x = t/l: nothing overflows however thick the layer, and a thin one keeps its loss. What
passes is added to what is lost, so a contrast of resistances costs digits: of 1e9 between neighbours about nine. Give
two interfaces that share a node no layer between them. The
transverse part is the same with a complex x = kappa t. Kirchhoff's laws for the four currents at every node are then a
sparse linear system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from qtorque.diffusion.elements import NOT_MAGNETIC, Element, Interface, Layer, Lead, Reservoir
from qtorque.errors import InputError

COMPONENTS = 4
"""mu_0 and the three components of mu_s."""
IDENTITY = np.eye(3)
SMALLEST_PIVOT = 1e-14
"""Of rows whose largest element is one: a smaller pivot is rounding, and the potentials behind it are anything."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkSolution:
    """potentials : (nodes, 4), V; currents : (elements, 2, 4) into each element at its first and second node, A."""

    potentials: np.ndarray
    currents: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Condition:
    """What holds at a node: rows @ (currents into the elements) + own @ phi = given. Matrices (4, 4), given (4,)."""

    rows: np.ndarray
    own: np.ndarray
    given: np.ndarray


def passing(x: np.ndarray) -> np.ndarray:
    """x/sinh(x), 1 at x = 0, for real or complex x with Re x >= 0."""
    small = x == 0
    safe = np.where(small, 1.0, x)
    return np.where(small, 1.0, 2 * safe * np.exp(-safe) / -np.expm1(-2 * safe))


def lost(x: np.ndarray) -> np.ndarray:
    """x tanh(x/2), for real or complex x with Re x >= 0."""
    return x * np.tanh(x / 2)


def wave_number(metal: Layer | Lead) -> complex:
    """kappa of the transverse accumulation in a magnet that has one, 1/m, Re > 0."""
    length = metal.transverse_decay_length
    assert length is not None, "asked for where a decay length was given"
    return complex(np.sqrt(1 / length**2 + 1j / metal.precession_length**2))


def admittances(
    elements: Sequence[Element], axes: np.ndarray, normal_first: Sequence[bool], *, across: bool
) -> np.ndarray:
    """Y of every element per area, S/m^2: (elements, 2, 4, 2, 4), sides and components of current, then of potential.

    Parameters
    ----------
    elements
        n of them.
    axes : (n, 3)
        The magnetisation of each; any direction where it has none.
    normal_first : n
        Whether the side whose mixing conductance an interface names comes first.
    across
        Whether there is spin across the axis. If there is none, mixing conductances do not matter, 0 included.
    """
    R = np.array([element.resistance for element in elements])
    beta = np.array([element.asymmetry for element in elements])
    x = np.array([element.decay for element in elements])
    through, loss = passing(x) / (2 * R), lost(x) / (2 * R)
    charge = 1 / (R * (1 - beta**2))
    # As currents into the element, first and second side.
    same, other = through + loss, -through
    transverse = _transverse(elements, R, same, other, normal_first, across)
    projected = IDENTITY - axes[:, :, None] * axes[:, None, :]
    turned = np.cross(axes[:, None, :], IDENTITY).transpose(0, 2, 1)  # turned @ v = m x v
    Y = np.empty((len(R), 2, COMPONENTS, 2, COMPONENTS))
    for a in range(2):
        for b in range(2):
            sign = 1 if a == b else -1
            g = sign * charge
            along = beta**2 * g / 2 + (same if a == b else other)
            t = transverse[:, a, b, None, None]
            Y[:, a, 0, b, 0] = g
            Y[:, a, 0, b, 1:] = (g * beta / 2)[:, None] * axes
            Y[:, a, 1:, b, 0] = (g * beta)[:, None] * axes
            Y[:, a, 1:, b, 1:] = along[:, None, None] * (IDENTITY - projected) + t.real * projected + t.imag * turned
    return Y


def _transverse(elements, R, same, other, normal_first, across: bool) -> np.ndarray:
    """Complex currents into each element per transverse accumulation, in the frame of its axis: (elements, 2, 2)."""
    result = np.empty((len(elements), 2, 2), dtype=complex)
    result[:, 0, 0] = result[:, 1, 1] = same
    result[:, 0, 1] = result[:, 1, 0] = other
    # What is left as it stands: normal metals, which are isotropic, and magnets that let no transverse spin in, where
    # the accumulation is zero whatever stands here.
    entered = [n for n, e in enumerate(elements) if isinstance(e, Layer) and e.transverse_decay_length is not None]
    if entered:
        layers = [elements[n] for n in entered]
        x = np.array([wave_number(layer) * layer.thickness for layer in layers if isinstance(layer, Layer)])
        result[entered, 0, 0] = result[entered, 1, 1] = (passing(x) + lost(x)) / (2 * R[entered])
        result[entered, 0, 1] = result[entered, 1, 0] = -passing(x) / (2 * R[entered])
    for n, element in enumerate(elements):
        if across and isinstance(element, Interface) and element.mixing_conductance is not None:
            order = [0, 1] if normal_first[n] else [1, 0]
            # Im G turns the accumulation the way mu_s x m points, the negative sense about m.
            result[n] = element.mixing.conj()[np.ix_(order, order)]
    return result


def at_node(spin_flip_conductance: float, source: np.ndarray) -> Condition:
    """Kirchhoff's laws, with a loss of spin (S, current per mu_s) and a current that is fed in from outside (A)."""
    return Condition(rows=np.eye(COMPONENTS), own=np.diag([0.0, *[spin_flip_conductance] * 3]), given=source)


def at_reservoir(reservoir: Reservoir, scale: float) -> Condition:
    """Given potentials; no law for the currents but that of the charge where the voltage floats."""
    held = np.ones(COMPONENTS)
    held[0] = reservoir.voltage is not None
    given = np.array([reservoir.voltage or 0.0, *reservoir.spin_accumulation])
    return Condition(rows=np.diag(1 - held), own=scale * np.diag(held), given=scale * held * given)


def at_lead(lead: Lead, scale: float) -> Condition:
    """What flows into a semi-infinite metal: spins that decay there, carried by charge and by diffusion."""
    m = np.array(lead.magnetization or NOT_MAGNETIC)
    along = 1 / (2 * lead.rho_star * lead.spin_diffusion_length)
    leak = along * np.eye(3)
    if lead.transverse_decay_length is not None:
        t = wave_number(lead) / (2 * lead.rho_star)
        across = np.eye(3) - np.outer(m, m)
        leak = along * np.outer(m, m) + t.real * across + t.imag * np.cross(m, IDENTITY).T
    rows, own, given = np.eye(COMPONENTS), np.zeros((COMPONENTS, COMPONENTS)), np.zeros(COMPONENTS)
    # Per area in a multilayer.
    own[1:, 1:] = leak * (1.0 if lead.area is None else lead.area)
    if lead.voltage is not None:
        # The charge that leaves carries beta of its current as spin; its law gives way to mu_0 + beta s/2 = V.
        rows[0, 0], rows[1:, 0] = 0.0, -lead.beta * m
        own[0] = scale * np.array([1.0, *(lead.beta / 2 * m)])
        given[0] = scale * lead.voltage
    return Condition(rows=rows, own=own, given=given)


def solve_network(
    pairs: np.ndarray, Y: np.ndarray, conditions: Sequence[Condition], pumping: np.ndarray | None = None
) -> NetworkSolution:
    """The potentials of all nodes and the currents into all elements.

    Parameters
    ----------
    pairs : (elements, 2)
        First and second node of every element.
    Y : (elements, 2, 4, 2, 4), S
    conditions
        One for every node.
    pumping : (elements, 3) or None
        hbar omega/e across the magnetisation of each element, V.

    Raises
    ------
    InputError
        Where the potentials are not determined: a node that no current or spin current reaches.
    """
    n = len(conditions)
    rows = np.stack([condition.rows for condition in conditions])
    offset = np.zeros((len(pairs), 2, COMPONENTS))
    if pumping is not None:
        offset[..., 1:] = pumping[:, None, :]
    # Equations of the first and second node of every element, (elements, side, 4, side, 4).
    law = np.einsum("esxa,esaub->esxub", rows[pairs], Y)
    here = np.arange(COMPONENTS)
    row = np.broadcast_to((COMPONENTS * pairs[:, :, None] + here)[:, :, :, None, None], law.shape)
    column = np.broadcast_to((COMPONENTS * pairs[:, :, None] + here)[:, None, None, :, :], law.shape)
    own = np.stack([condition.own for condition in conditions])
    place = COMPONENTS * np.arange(n)[:, None] + here
    own_row = np.broadcast_to(place[:, :, None], own.shape)
    own_column = np.broadcast_to(place[:, None, :], own.shape)
    matrix = scipy.sparse.csc_array(
        (
            np.concatenate([law.ravel(), own.ravel()]),
            (np.concatenate([row.ravel(), own_row.ravel()]), np.concatenate([column.ravel(), own_column.ravel()])),
        ),
        shape=(COMPONENTS * n, COMPONENTS * n),
    )
    given = np.stack([condition.given for condition in conditions])
    np.add.at(given, pairs, np.einsum("esxub,eub->esx", law, offset))
    # Rows of one size, so that the pivots tell what is undetermined from what is merely small.
    size = np.abs(matrix).max(axis=1).toarray().ravel()
    size[size == 0] = 1.0
    try:
        factors = scipy.sparse.linalg.splu((scipy.sparse.diags_array(1 / size) @ matrix).tocsc())
        determined = np.abs(factors.U.diagonal()).min() > SMALLEST_PIVOT
    except RuntimeError:
        determined = False
    if not determined:
        raise InputError(
            "the potentials are not determined: spins across the magnets have no way out of some node (give "
            "mixing_conductance= above 0 or spin_flip_conductance=), or resistances differ by over 14 digits"
        )
    potentials = factors.solve(given.ravel() / size).reshape(n, COMPONENTS)
    currents = np.einsum("esaub,eub->esa", Y, potentials[pairs] - offset)
    return NetworkSolution(potentials=potentials, currents=currents)

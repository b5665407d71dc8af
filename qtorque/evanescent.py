"""Complex band structure: every Bloch wave of a bulk material along the transport direction, at a given energy.

Propagating states carry current; evanescent ones decide how fast a barrier closes and how far a spin reaches into a
magnet.
"""

from itertools import product

import numpy as np
import scipy.linalg
import xarray as xr
from numpy.typing import ArrayLike

from qtorque.bloch import LayeredSystem, as_layered
from qtorque.brillouin import kpoints
from qtorque.chain import BOTH_SPINS, SPINS, Axis, Fourier
from qtorque.errors import InputError, finite_number
from qtorque.materials import Material
from qtorque.stack import Lead, Stack

ON_UNIT_CIRCLE = 1e-6
"""|ln |lambda|| below which a wave may propagate: near a band edge lambda has the square root of rounding."""
NO_FLOW = 1e-7
"""A propagating wave flows with more than this share of the hopping, which at a band edge is the root of rounding."""
ONE_FACTOR = 1e-8
"""Propagating waves whose factors are closer than this are one space, in which the velocity is made diagonal."""
ONE_WAVE = 1e-6
"""Eigenvalue of the equation of the waves, relative to the size of its terms, above which its vector is no wave. There
are as many waves as lambda has roots, except at a band edge."""
VANISHING = 1e-12
"""Share of the largest singular value below which another is zero: rounding of the few unitary turns of a deflation,
and a hopping that is there in rounding only."""
SAME_HEIGHT_DIGITS = 6
"""Sites closer than a millionth of the period along the transport direction lie in one monolayer."""
ROUNDED_PHASE = 1e-12
"""rad; a phase this close to -pi is pi up to rounding."""


def complex_bands(
    material: Material | Lead | Stack | LayeredSystem,
    *,
    energy: ArrayLike,
    k: ArrayLike = (0.0, 0.0),
    lead: str | None = None,
) -> xr.Dataset:
    """All waves psi_(l+1) = exp(i q) psi_l of a bulk material at real energies, q complex, for each spin.

    They solve V lambda phi + V^dagger phi/lambda = (E - H) phi with lambda = exp(i q), V the hopping block from
    principal layer l + 1 to l. With (lambda, phi) there is a wave with 1/lambda*.

    Parameters
    ----------
    material
        A `qt.Material` or `qt.Lead`, or a system one of whose leads is meant.
    energy
        eV; one or a list.
    k
        In-plane phases (k.a1, k.a2), rad; one pair or shape (number, 2).
    lead
        "left" or "right", for a system.

    Returns
    -------
    Dataset
        dims energy, k, spin, band; twice as many bands as orbitals of a principal layer, sorted from the fastest growth
        towards +z to the fastest decay. A material that conserves no spin has the one spin "both" and four times as
        many bands as orbitals. `q`: real part in (-pi, pi], imaginary part the decay per principal layer.
        `kappa` = Im q/thickness, 1/nm. `propagating`. `velocity` = dE/dq, eV, of propagating waves: positive towards
        +z; 0 for others. At a band edge a wave is neither: q is real there, and it does not propagate. The attributes
        `layer_thickness` (nm) and `monolayers` belong to the principal layer.

    Raises
    ------
    InputError
        For bad arguments, energies at which every wave number is allowed.

    Notes
    -----
    Spin up is the majority, wherever it points; the two are equal in a normal material. Where V is singular some waves
    do not leave their layer: lambda = 0 has q = +i inf, lambda infinite q = -i inf. Which these are is decided by the
    ranks of blocks (singular values below 1e-12 of the largest are zero), so that a defective lambda = 0 does not come
    out as a root of rounding.

    The deflation of infinite and zero eigenvalues, step by step, is the staircase of P. Van Dooren, Linear Algebra
    Appl. 27, 103 (1979) (cited from memory).
    """
    energies = np.array([finite_number("energy", e, "eV") for e in np.ravel(np.asarray(energy, dtype=object))])
    if not len(energies):
        raise InputError("energy= is an empty list; give at least one number in eV")
    points = kpoints(k).points
    onsite, hopping, thickness, monolayers = _bulk(material, lead)
    axis: Axis = onsite.spin_part.axis or hopping.spin_part.axis or (0.0, 0.0, 1.0)
    if not (onsite.spin_part.diagonal_along(axis) and hopping.spin_part.diagonal_along(axis)):
        axis = None
    spins = BOTH_SPINS if axis is None else SPINS
    H, V = (_at(block, axis, points) for block in (onsite, hopping))
    bands = 2 * H.shape[-1]
    shape = (len(energies), len(points), len(spins), bands)
    q, propagating, velocity = np.empty(shape, dtype=complex), np.empty(shape, dtype=bool), np.empty(shape)
    for e, point, spin in product(*(range(n) for n in shape[:3])):
        where = e, point, spin
        q[where], propagating[where], velocity[where] = _waves(energies[e], H[spin, point], V[spin, point])
    dims = ("energy", "k", "spin", "band")
    variables = {
        "q": (q, "1", "complex phase from one principal layer to the next"),
        "kappa": (q.imag / thickness, "1/nm", "decay of the amplitude towards +z"),
        "propagating": (propagating, "1", "whether the wave propagates"),
        "velocity": (velocity, "eV", "velocity dE/dq, positive towards +z"),
    }
    return xr.Dataset(
        {name: (dims, data, {"units": unit, "long_name": text}) for name, (data, unit, text) in variables.items()},
        coords={
            "energy": ("energy", energies, {"units": "eV", "long_name": "energy"}),
            "k1": ("k", points[:, 0], {"units": "rad", "long_name": "k.a1"}),
            "k2": ("k", points[:, 1], {"units": "rad", "long_name": "k.a2"}),
            "spin": list(spins),
        },
        attrs={"layer_thickness": thickness, "layer_thickness_units": "nm", "monolayers": monolayers},
    )


def _bulk(material, lead: str | None) -> tuple[Fourier, Fourier, float, int]:
    """H, V towards -z, thickness (nm) and monolayers of a principal layer."""
    if isinstance(material, (Material, Lead)):
        if lead is not None:
            raise InputError(f"lead={lead!r} has no meaning for {material!r}; leave it out, or give a system")
        piece = material if isinstance(material, Lead) else Lead(material)
        system, name = as_layered(Stack(left=piece, right=piece)), "right"
    else:
        system, name = as_layered(material), str(lead)
    if name not in ("left", "right"):
        raise InputError(f"lead={lead!r} of the system is unknown; give lead='left' or lead='right'")
    chain, last = system.chain(), system.layers + 1
    element = 0 if name == "left" else last
    hopping = chain.left_outward.adjoint if name == "left" else chain.right_outward
    region, *leads = system.builders
    builder = leads[0 if name == "left" else 1]
    a1, a2 = (np.array(p) for p in region.symmetry.periods)
    normal = np.cross(a1, a2)
    period = abs(np.linalg.det([np.array(p) for p in builder.symmetry.periods])) / np.linalg.norm(normal)
    heights = [float(np.array(site.pos) @ normal / np.linalg.norm(normal)) for site in builder.sites()]
    # Heights a period apart are those of one monolayer.
    levels = len(np.unique(np.round(np.exp(2j * np.pi * np.array(heights) / period), SAME_HEIGHT_DIGITS)))
    cells = system.dimensions[element] // sum(site.family.norbs for site in builder.sites())
    return chain.onsite[element], hopping, float(cells * period), cells * levels


def _at(block: Fourier, axis: Axis, points: np.ndarray) -> np.ndarray:
    """The block of each spin at every momentum: (spin, k, n, n), one spin for the axis None."""
    phases = np.exp(1j * (points @ block.vectors.T))
    return np.einsum("kR,Rsij->skij", phases, block.in_frame(axis))


def _waves(energy: float, H: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(q, propagating, velocity) of the 2n waves at one energy, sorted by Im q, then Re q."""
    n = len(H)
    largest = float(np.linalg.norm(V, 2))
    # In units of the hopping; a hopping that is not there leaves the unit.
    unit = largest or 1.0
    D, hop = (energy * np.eye(n) - H) / unit, V / unit
    factors = _factors(energy, D, hop)
    stopped = (2 * n - len(factors)) // 2
    q = np.concatenate([np.full(stopped, complex(0, np.inf)), np.full(stopped, complex(0, -np.inf)), _phase(factors)])
    velocity = np.zeros(2 * n)
    on_circle = np.flatnonzero(np.abs(q.imag) < ON_UNIT_CIRCLE)
    velocity[on_circle] = unit * _velocities(q[on_circle], D, hop)
    propagating = np.abs(velocity) > NO_FLOW * largest
    velocity[~propagating] = 0.0
    # What neither runs nor decays stands at a band edge, where q is real too.
    q[on_circle] = q[on_circle].real
    order = np.lexsort((q.real, q.imag))
    return q[order], propagating[order], velocity[order]


def _factors(energy: float, D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """All lambda that are neither 0 nor infinite, with D = E - H."""
    n = len(D)
    unit, zero = np.eye(n), np.zeros((n, n))
    # A x = lambda B x with x = (psi_l, psi_(l+1)).
    A = np.block([[zero, unit], [-V.conj().T, D]])
    B = np.block([[unit, zero], [zero, V]])
    limits = tuple(VANISHING * float(np.linalg.norm(X, 2)) for X in (A, B))
    nullities = []
    while nullity := int(np.count_nonzero(np.linalg.svd(B, compute_uv=False) < limits[1])):
        A, B = _without_infinite(A, B, nullity, limits[0])
        if len(A) != len(A.T):
            raise InputError(
                f"energy={energy:g}: a band without dispersion along z lies there, and every q solves it; move the "
                "energy"
            )
        nullities.append(nullity)
    # With lambda there is 1/lambda*: zeros are as many as infinite ones, in every step.
    for nullity in nullities:
        B, A = _without_infinite(B, A, nullity, limits[1])
    return scipy.linalg.eigvals(A, B) if len(A) else np.empty(0, dtype=complex)


def _without_infinite(A: np.ndarray, B: np.ndarray, nullity: int, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """The pencil A - lambda B without the infinite eigenvalues that belong to the null space of B.

    A takes that space to one which the rest of the equations need not look at. Where the images are dependent (singular
    values below `limit`), every lambda solves the pencil, and what is returned has more rows than columns.
    """
    _, _, right = np.linalg.svd(B)
    kept, lost = right[: len(B) - nullity].conj().T, right[len(B) - nullity :].conj().T
    left, size, _ = np.linalg.svd(A @ lost)
    rest = left[:, int(np.count_nonzero(size >= limit)) :].conj().T
    return rest @ A @ kept, rest @ B @ kept


def _phase(factors: np.ndarray) -> np.ndarray:
    """q = -i ln lambda with the real part in (-pi, pi]."""
    phase = np.angle(factors)
    # A negative factor whose imaginary part is rounding has the phase pi, whatever the sign of that.
    phase = np.where(phase < ROUNDED_PHASE - np.pi, np.pi, phase)
    return phase - 1j * np.log(np.abs(factors))


def _velocities(q: np.ndarray, D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """dE/dq = i lambda phi^dagger V phi + conjugate of waves on the unit circle, D = E - H.

    There V lambda + V^dagger/lambda - D is Hermitian, and the waves are its null space, in which the velocity is made
    diagonal. At a band edge lambda has more roots than waves; those without a wave stand.
    """
    velocity = np.zeros(len(q))
    factors = np.exp(1j * q.real)
    left = np.arange(len(q))
    limit = ONE_WAVE * float(np.linalg.norm(V, 2) + np.linalg.norm(D, 2))
    while len(left):
        group = left[np.abs(factors[left] - factors[left[0]]) < ONE_FACTOR]
        left = np.setdiff1d(left, group)
        forward = np.mean(factors[group]) * V
        size, vectors = np.linalg.eigh(forward + forward.conj().T - D)
        nearest = np.argsort(np.abs(size))[: len(group)]
        waves = vectors[:, nearest[np.abs(size[nearest]) < limit]]
        half = 1j * (waves.conj().T @ forward @ waves)
        velocity[group[: waves.shape[1]]] = np.linalg.eigvalsh(half + half.conj().T)
    return velocity

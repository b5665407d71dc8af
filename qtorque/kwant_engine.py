"""The engine "kwant": Green functions and self-energies from Kwant's sparse solver and its own lead modes.

One momentum, or one finalised system of any geometry, at a time; the check of the layered engine.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from qtorque.bloch import HERMITICITY_TOLERANCE
from qtorque.brillouin import KSet
from qtorque.chain import Z_AXIS, Axis, Fourier, SpinPart, lead_axis
from qtorque.channels import Piece, amplitudes_of, full_spin_blocks
from qtorque.errors import InputError
from qtorque.halves import common_axis

Known = tuple[tuple[SpinPart, ...], tuple[Axis, ...]]
"""Spin dependence of the leads, and the direction of the magnet nearest to each."""


def solve_wrapped(system, kset: KSet, energy: float, params: Mapping, known: Known) -> Iterator[Piece]:
    """A wrapped stack momentum by momentum; axes and majorities are those of the whole chain, not of one k."""
    for index in range(kset.size):
        (k,), _ = kset.take(np.array([index]))
        yield solve_finalised(system, energy, {**params, "k_x": float(k[0]), "k_y": float(k[1])}, known)


def solve_finalised(system, energy: float, params: Mapping, known: Known | None = None) -> Piece:
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
        parts.append(Fourier(np.array([[0, 0], [1, 0]]), np.array([cell, padded])).spin_part)
    try:
        green = kwant.greens_function(system, energy, params=used)
    # Kwant raises RuntimeError for modes that it cannot tell apart.
    except (ValueError, RuntimeError, np.linalg.LinAlgError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"energy={energy:g} eV: Kwant finds no modes of a lead ({reason}); move the energy off the band edge"
        ) from None
    count = len(system.leads)
    if known is None:
        known = tuple(parts), _nearest_axes(system, H, parts, used)
    axes = [lead_axis(part) for part in known[0]]
    corners = {
        (p, q): full_spin_blocks(green.submatrix(p, q)[None], axes[p], axes[q])
        for p in range(count)
        for q in range(count)
    }
    sigma = []
    for axis, matrix in zip(axes, green.lead_info, strict=True):
        blocks = full_spin_blocks(matrix[None], axis, axis)
        sigma.append(np.stack([block for (s, t), block in blocks.items() if s == t]))
    return amplitudes_of(corners, sigma, *known)


def _nearest_axes(system, H: np.ndarray, parts: list[SpinPart], params: Mapping) -> tuple[Axis, ...]:
    """For every lead the majority direction of the nearest magnet, counted in hoppings; its own if it is magnetic.

    A magnet is a site of the region or another lead. None for all where anything conserves no spin: what of it is
    exchange is not known here.
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
    collinear = region.collinear and all(part.collinear for part in parts)
    collinear = collinear and all(common_axis(known[0], other) for other in known)
    return tuple(axis or Z_AXIS for axis in found) if collinear else (None,) * len(found)


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

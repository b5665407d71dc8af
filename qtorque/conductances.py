"""Transmission, conductance, polarisation, magnetoresistance, Sharvin and mixing conductances.

Conductances are dimensionless, per in-plane cell and spin (unit e^2/h); `per_area` gives SI.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from qtorque._linalg import adjoint
from qtorque.bloch import as_layered
from qtorque.brillouin import KPoints, KSet, interleaved_chunks, require_symmetry
from qtorque.brillouin import kmesh as uniform_mesh
from qtorque.chain import BOTH_SPINS, SPINS, Chain
from qtorque.density_of_states import refine_stack
from qtorque.errors import InputError, finite_number
from qtorque.green import common_axis
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks, sum_in_order
from qtorque.refinement import describe, kset_or_none, warn_if_short
from qtorque.scattering import (
    CHUNK,
    Scattering,
    chunk_size,
    require_open_leads,
    solve_points,
    transmissions_at,
)
from qtorque.spin import su2
from qtorque.units import conductance_per_area, energy_per_area, torkance_per_area

CONDUCTANCE_UNIT = "e^2/h per cell"
NO_TRANSMISSION = 1e-24
"""Ratio of transmissions: rounding mixes spins by amplitudes of 1e-16, which squared is 1e-32."""
ROUNDING = 1e-14
"""Relative rounding of what is summed over k: no refinement lowers it."""
ANY_MOMENTUM = np.array([[1.0, 2.0]])
"""Where the shape of a result is learnt: no point of symmetry, where band edges lie."""
OPEN_SAMPLE = 64
"""Side of the mesh on which the leads are looked at for open channels where no mesh is given."""


def transmission(s: Scattering, source: str | int = "left", target: str | int = "right") -> xr.DataArray:
    """T^{s->s'} = Tr[Gamma_target^{s'} G Gamma_source^{s} G^dagger] = sum over channels of |t|^2, per k and spin.

    With source and target equal it is the reflection probability R^{s->s'}.

    Returns
    -------
    DataArray
        dims (k, spin_in, spin_out); spin axes are those of the two leads, z where a lead is not magnetic. On the side
        of a lead that conserves no spin the one label is "both": its channels are counted together.
    """
    values = s.probabilities(source, target)
    return _over_k(s.kset, s.energy, values, ("k", "spin_in", "spin_out"), "transmission", "transmission probability")


def k_average(x: xr.DataArray) -> xr.DataArray:
    """The sum over k with the weights the array carries: a quantity per in-plane cell."""
    if "weight" not in x.coords:
        raise InputError(f"{getattr(x, 'name', x)!r} carries no k weights; give a k-resolved result of qtorque")
    averaged = xr.dot(x, x["weight"], dim="k")
    averaged.attrs.update(x.attrs)
    return averaged


def conductance(
    system,
    *,
    source: str | int = "left",
    target: str | int = "right",
    energy: float | None = None,
    kmesh=None,
    tolerance: float | None = None,
    angle=None,
    voltage: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.DataArray:
    """Landauer conductance sum_k w_k T^{s->s'}(k), in e^2/h per cell.

    Of a `Scattering`, or streamed from a stack with `energy=`, in memory that does not grow with the number of momenta.
    The momenta are `kmesh=`, or the sum over k is refined until its estimated error is below `tolerance=` times the
    largest of its values (see `qtorque.refinement`; for a stack of one band an integral over the density of states).
    `checkpoint` keeps finished chunks of the sum (`parallel.Checkpoint`); a part of its own for every call.

    `angle` (rad) is that of the free magnet to the fixed one, as declared if None. A list of angles is from left to
    right only; with several orbitals a half of the stack that does not turn within itself is solved once for all.

    Returns
    -------
    DataArray
        dims (spin_in, spin_out), labelled as in `transmission`, before them angle for a list of angles (where a lead
        conserves no spin at one of them its channels are "both" at all of them); if streamed, attributes `kmesh` (what
        was summed over) and, if refined, `k_error` (absolute).

    Raises
    ------
    InputError
        For bad arguments, a lead without open channels, a declared symmetry that does not hold.
    """
    if isinstance(system, Scattering):
        _refuse_beside_scattering(energy=energy, kmesh=kmesh, tolerance=tolerance, angle=angle, voltage=voltage)
        return _named(k_average(transmission(system, source, target)), "conductance", CONDUCTANCE_UNIT, "conductance")
    if np.ndim(angle) > 0:
        if np.size(angle) == 0:
            raise InputError("angle= is an empty list; give at least one number")
        if (source, target) != ("left", "right"):
            raise InputError(f"source={source!r}, target={target!r}: a list of angles is from 'left' to 'right' only")
        quantity: Quantity = _at_angles
        angles = np.array([finite_number("angle", a, "rad") for a in np.ravel(angle)])
    else:
        quantity = _of_scattering(lambda s: transmission(s, source, target))
        angles = np.array([None if angle is None else finite_number("angle", angle, "rad")])
    checkpoint = checkpoint_part(checkpoint, "conductance", source, target, np.ndim(angle))
    total = _streamed(system, quantity, energy, kmesh, tolerance, angles, voltage, comm, checkpoint, progress)
    if np.ndim(angle) > 0:
        attributes = {"units": "rad", "long_name": "angle between free and fixed magnet"}
        total = total.assign_coords(angle=("angle", angles, attributes))
    return _named(total, "conductance", CONDUCTANCE_UNIT, "conductance")


def polarization(s: Scattering, source: str | int = "left", target: str | int = "right") -> float:
    """(G_up - G_dn)/(G_up + G_dn) of the spin that arrives in the target; both spins of the source are occupied.

    Spin-orbit coupling in the layers or in the source lets a half-metal transmit the other spin: 1 - |P| then grows as
    the square of (coupling/splitting).

    Raises
    ------
    InputError
        For a target that conserves no spin, and where nothing is transmitted.
    """
    _require_spin(s, s.lead(target), "a polarization")
    G = conductance(s, source=source, target=target).sum("spin_in")
    total = float(G.sum())
    if total == 0:
        raise InputError(f"no transmission from {source!r} to {target!r}; the polarization is undefined")
    return float(G.sel(spin_out="up") - G.sel(spin_out="down")) / total


def tmr(
    system,
    *,
    energy: float = 0.0,
    kmesh=None,
    tolerance: float | None = None,
    voltage: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
) -> float:
    """(G_P - G_AP)/G_AP with the free magnet at 0 and at 180 degrees to the fixed one: TMR, or GMR of a spin valve.

    At a finite `voltage` these are the transmissions at `energy` in the biased junction. `kmesh=` or `tolerance=` as in
    `conductance`; with a tolerance that of each of the two conductances, of their largest spin part.
    """
    as_layered(system).free  # noqa: B018 -- refuses a stack without two magnets
    common = {"energy": energy, "kmesh": kmesh, "tolerance": tolerance, "voltage": voltage, "comm": comm}
    parallel, antiparallel = (
        float(conductance(system, angle=angle, checkpoint=checkpoint and checkpoint.part(state), **common).sum())
        for state, angle in (("parallel", 0.0), ("antiparallel", np.pi))
    )
    return magnetoresistance_ratio(parallel, antiparallel)


def magnetoresistance_ratio(parallel: float, antiparallel: float) -> float:
    """(G_P - G_AP)/G_AP; infinite if nothing but rounding is transmitted in the antiparallel state.

    Raises
    ------
    InputError
        If nothing is transmitted in either state.
    """
    if parallel == 0 and antiparallel == 0:
        raise InputError("no transmission in either state; the magnetoresistance is undefined, take a finer kmesh")
    return (parallel - antiparallel) / antiparallel if antiparallel > NO_TRANSMISSION * parallel else np.inf


def sharvin_conductance(s: Scattering, lead: str | int = "left") -> xr.DataArray:
    """Open channels of a lead per in-plane cell, for each spin: dims (spin,); "both" if the lead conserves no spin."""
    p = s.lead(lead)
    values = s.open_channels[:, p, : 2 if s.lead_spin_conserved[p] else 1].astype(float)
    x = _over_k(s.kset, s.energy, values, ("k", "spin"), "sharvin_conductance", "Sharvin conductance")
    return _named(k_average(x), "sharvin_conductance", CONDUCTANCE_UNIT, "Sharvin conductance")


def mixing_conductance(
    system,
    *,
    lead: str | int = "left",
    energy: float | None = None,
    kmesh=None,
    tolerance: float | None = None,
    voltage: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.DataArray:
    """Reflection spin-mixing conductance g_up,dn = Tr[1 - r_up r_dn^dagger] of a normal lead (complex).

    Up is the majority of the magnet nearest to the lead, wherever it points. Streamed (a sum over k) from a stack with
    `energy=` and `kmesh=` or `tolerance=` as in `conductance`; per k from a `Scattering`.

    Returns
    -------
    DataArray
        dims (k,) of a `Scattering`; use `k_average`. No dims if streamed; attributes as in `conductance`.

    Raises
    ------
    InputError
        If the lead is magnetic or has spin-orbit coupling, or the magnets are not collinear.

    Notes
    -----
    With spin-orbit coupling in the layers spins along the magnet are flipped too, r_up,dn is not zero, and r_up, r_dn
    are the diagonal blocks of r in the frame of the magnet. Of a transverse spin s = s_x + i s_y that comes in, the
    part Tr[r_up r_dn^dagger]^* s still comes back; r_up,dn and r_dn,up add a part of s^* and turn
    transverse spin into longitudinal. What comes back needs all of Tr[sigma_a r sigma_b r^dagger] then (to be had from
    the amplitudes of `solve`), and what does not is shared by the magnetization and the lattice: g alone is not the
    torque on the magnetization any more. With all that each spin transmits in G_s,
    2 Re g - G_up - G_dn = Tr|r_up - r_dn|^2 + Tr|r_up,dn|^2 + Tr|r_dn,up|^2 >= 0.

    A. Brataas, Yu. V. Nazarov, G. E. W. Bauer, Phys. Rev. Lett. 84, 2481 (2000) (cited from memory).
    """
    if not isinstance(system, Scattering):
        total = _streamed(
            system, _of_scattering(lambda s: mixing_conductance(s, lead=lead)), energy, kmesh, tolerance, [None],
            voltage, comm, checkpoint_part(checkpoint, "mixing_conductance", lead), progress,
        )  # fmt: skip
        return _named(total, "mixing_conductance", CONDUCTANCE_UNIT, "spin-mixing conductance")
    _refuse_beside_scattering(energy=energy, kmesh=kmesh, tolerance=tolerance, voltage=voltage)
    s, p = system, system.lead(lead)
    _require_normal(s, p)
    r = _along_magnets(s, s.amplitudes[p, p], p, p)
    channels = s.open_channels[:, p, 0]
    values = channels - np.einsum("kab,kab->k", r[:, 0, 0], r[:, 1, 1].conj())
    return _over_k(s.kset, s.energy, values, ("k",), "mixing_conductance", "spin-mixing conductance")


def transmitted_mixing_conductance(
    system,
    source: str | int = "left",
    target: str | int = "right",
    *,
    energy: float | None = None,
    kmesh=None,
    tolerance: float | None = None,
    voltage: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.DataArray:
    """Transmission spin-mixing conductance Tr[t_up t_dn^dagger] between two normal leads (complex).

    Up is the majority of the magnet nearest to the source. Streamed or per k, with arguments and result as in
    `mixing_conductance`.

    Raises
    ------
    InputError
        If a lead is magnetic or has spin-orbit coupling: its two spins share no channels, and the product of
        amplitudes means nothing. For a mesh with a symmetry that it has not.
    """
    name, long_name = "transmitted_mixing_conductance", "transmitted spin-mixing conductance"
    if not isinstance(system, Scattering):
        total = _streamed(
            system, _of_scattering(lambda s: transmitted_mixing_conductance(s, source, target)), energy, kmesh,
            tolerance, [None], voltage, comm, checkpoint_part(checkpoint, name, source, target), progress,
        )  # fmt: skip
        return _named(total, name, CONDUCTANCE_UNIT, long_name)
    _refuse_beside_scattering(energy=energy, kmesh=kmesh, tolerance=tolerance, voltage=voltage)
    s = system
    p, q = s.lead(target), s.lead(source)
    for number in (p, q):
        _require_normal(s, number)
    if not s.transmitted_mixing_symmetric:
        raise InputError(
            f"kmesh: the transmitted mixing conductance has not the symmetry of {s.kset!r}, it differs at k and -k; "
            "give a mesh without (layers of fcc (111): symmetry='trigonal')"
        )
    t = _along_magnets(s, s.amplitudes[p, q], p, q)
    values = np.einsum("kab,kab->k", t[:, 0, 0], t[:, 1, 1].conj())
    return _over_k(s.kset, s.energy, values, ("k",), name, long_name)


def schep_corrected(conductance, sharvin_normal, sharvin_other=None):
    """1/g~ = 1/g - (1/2)(1/g_N + 1/g_F): the interface alone, without the contact resistance of its leads.

    For the mixing conductance leave `sharvin_other` out: 1/g~ = 1/g - 1/(2 g_N). K. M. Schep et al., Phys. Rev. B 56,
    10805 (1997); G. E. W. Bauer et al., Phys. Rev. B 67, 094421 (2003) (from memory).
    """
    contact = 1 / sharvin_normal if sharvin_other is None else 1 / sharvin_normal + 1 / sharvin_other
    return 1 / (1 / conductance - 0.5 * contact)


_PER_AREA = {
    CONDUCTANCE_UNIT: (conductance_per_area, "Ohm^-1 m^-2"),
    "eV per cell": (energy_per_area, "J/m^2"),
    "eV/V per cell": (torkance_per_area, "(hbar/2e) Ohm^-1 m^-2"),
}


def per_area(x: xr.DataArray, system) -> xr.DataArray:
    """A conductance, torque or torkance per in-plane cell in SI units per area.

    e^2/h per cell -> Ohm^-1 m^-2; eV per cell -> J/m^2; eV/V per cell -> (hbar/2e) Ohm^-1 m^-2.

    Parameters
    ----------
    x
        With `units` in its attributes, as all results of qtorque have.
    system
        The stack (or its `Scattering`) whose in-plane cell is the area, or a number in nm^2.
    """
    if isinstance(system, Scattering):
        area = system.area
    else:
        area = float(system) if isinstance(system, (int, float)) else as_layered(system).area
    unit = x.attrs.get("units")
    if unit not in _PER_AREA:
        raise InputError(f"per_area: unit {unit!r} is not one of {', '.join(_PER_AREA)}")
    if area is None or area <= 0:
        raise InputError(f"per_area: area={area!r}; give the in-plane cell in nm^2")
    convert, new = _PER_AREA[unit]
    result = convert(x, area)
    result.attrs.update(x.attrs, units=new)
    if "k_error" in x.attrs:
        result.attrs["k_error"] = convert(x.attrs["k_error"], area)
    return result


def _require_spin(s: Scattering, p: int, quantity: str) -> None:
    if not s.lead_spin_conserved[p]:
        raise InputError(
            f"the {s.leads[p]} lead conserves no spin, and {quantity} needs channels of one spin each; leave "
            "spin_orbit out of the lead's material (layers may have it)"
        )


def _require_normal(s: Scattering, p: int) -> None:
    _require_spin(s, p, "a mixing conductance")
    if not (s.lead_spins_equal[p] or s.lead_magnetic[p]):
        raise InputError(
            f"spin-orbit coupling parts the two spins of the {s.leads[p]} lead, and a mixing conductance needs equal "
            "channels for both; leave spin_orbit out of the lead's material"
        )
    if s.lead_magnetic[p]:
        raise InputError(f"the {s.leads[p]} lead is magnetic; a mixing conductance needs equal channels for both spins")
    if s.magnet_axes[p] is None:
        raise InputError("the magnets are not collinear; a mixing conductance needs one spin axis, set the angle to 0")


def _along_magnets(s: Scattering, block: np.ndarray, p: int, q: int) -> np.ndarray:
    """Amplitudes with the spins of both leads along the magnet nearest to the source q, not along the leads' axes."""
    axis = s.magnet_axes[q]
    assert axis is not None, "_require_normal has refused magnets that are not collinear"
    return along(s, block, p, q, axis)


def along(s: Scattering, block: np.ndarray, p: int, q: int, axis: tuple[float, float, float]) -> np.ndarray:
    """Amplitudes from lead q to lead p with the spins of both along one axis, not along the leads' own."""
    if all(common_axis(axis, tuple(s.lead_axes[n])) and np.dot(axis, s.lead_axes[n]) > 0 for n in (p, q)):
        return block
    out, into = (adjoint(su2(axis)) @ su2(s.lead_axes[n]) for n in (p, q))
    return np.einsum("xt,ktsab,ys->kxyab", out, block, into.conj(), optimize=True)


Quantity = Callable[[Sequence[Chain], KPoints, float, float | None], xr.DataArray]
"""quantity(chains at all angles, momenta, energy, area): a DataArray over k."""


def _of_scattering(observe: Callable[[Scattering], xr.DataArray]) -> Quantity:
    """A quantity of one chain."""
    return lambda chains, kset, energy, area: observe(solve_points(chains[0], kset, energy, area))


def _at_angles(chains: Sequence[Chain], kset: KPoints, energy: float, area: float | None) -> xr.DataArray:
    """Transmission from left to right at every angle."""
    values = transmissions_at(chains, kset.points, energy)
    dims = ("k", "angle", "spin_in", "spin_out")
    return _over_k(kset, energy, values, dims, "transmission", "transmission probability")


def _streamed(system, quantity: Quantity, energy, kmesh, tolerance, angles, voltage, comm, checkpoint, progress):
    """sum over k of a quantity: over a mesh, or refined to a tolerance."""
    if energy is None:
        raise InputError("energy= is missing; give it to stream from a stack (or give a Scattering)")
    if kmesh is not None and tolerance is not None:
        raise InputError(
            f"kmesh= and tolerance={tolerance!r} are both given; leave one out, a given mesh is not refined"
        )
    energy = finite_number("energy", energy, "eV")
    voltage = finite_number("voltage", voltage, "V")
    stack, kset = as_layered(system), kset_or_none(kmesh, tolerance)
    chains = [stack.chain(angle, voltage) for angle in angles]

    def at(points: np.ndarray, weights: np.ndarray) -> xr.DataArray:
        return quantity(chains, KPoints(points, weights), energy, stack.area)

    checkpoint = checkpoint_part(checkpoint, "mean_over_k", chains, kset, energy, tolerance)
    # One momentum tells what the result looks like, and refuses what a lead or a name does not allow.
    template = at(ANY_MOMENTUM, np.ones(1)).isel(k=0, drop=True).drop_vars("weight", errors="ignore")
    if kset is None:
        require_open_leads(chains[0], uniform_mesh(OPEN_SAMPLE), energy)
        return _refined(template, chains, at, energy, tolerance, comm, checkpoint, progress)
    require_open_leads(chains[0], kset, energy)
    require_symmetry(kset, lambda points: at(points, np.ones(len(points))).values)

    def one(index) -> np.ndarray:
        points, weights = kset.take(index)
        return np.tensordot(weights, at(points, weights).values, axes=(0, 0))

    chunks = interleaved_chunks(kset.size, chunk_size(chains[0]))
    total = template.copy(data=np.asarray(sum_in_order(map_chunks(one, chunks, comm, checkpoint, progress))))
    total.attrs.update(energy=energy, kmesh=repr(kset))
    return total


def _refined(
    template: xr.DataArray, chains: Sequence[Chain], at, energy: float, tolerance: float, comm, checkpoint, progress
) -> xr.DataArray:
    """The sum over k of at(points, weights), refined to a tolerance."""

    def evaluate(points: np.ndarray, weights: np.ndarray, stage: str) -> tuple[np.ndarray, np.ndarray]:
        each = max(1, min(CHUNK, chunk_size(chains[0])) // weights.shape[1])

        def one(start: int) -> tuple[np.ndarray, np.ndarray]:
            own = weights[start : start + each]
            values = at(points[start : start + each].reshape(-1, 2), own.ravel()).values
            columns = np.ascontiguousarray(values.reshape(len(values), -1)).view(float).reshape(*own.shape, -1)
            noise = ROUNDING * np.einsum("bp,bpc->bc", np.abs(own), np.abs(columns))
            return np.einsum("bp,bpc->bc", own, columns), noise

        part = None if checkpoint is None else checkpoint.part(stage)
        parts = map_chunks(one, range(0, len(weights), each), comm, part, progress)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    result = refine_stack(chains, [energy], evaluate, tolerance=tolerance)
    # Rounding is an error of the sum like any other here, but not one that more momenta lower.
    resolved = bool(result.noise.max() <= tolerance * np.abs(result.value).max())
    result = replace(result, error=result.error + result.noise, converged=result.converged and resolved)
    warn_if_short(result, tolerance, str(template.name), comm, stacklevel=5)
    total = template.copy(data=result.value.view(template.dtype).reshape(template.shape))
    total.attrs.update(energy=energy, kmesh=describe([result]), k_error=float(result.error.max()), tolerance=tolerance)
    return total


def _refuse_beside_scattering(voltage: float = 0.0, **arguments) -> None:
    """A Scattering is of one energy, angle and voltage, at its own momenta."""
    given = arguments | ({"voltage": voltage} if voltage != 0 else {})
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name}={value!r} has no meaning beside a Scattering; give the stack, or leave it out")


def _over_k(
    kset: KSet, energy: float, values: np.ndarray, dims: tuple[str, ...], name: str, long_name: str
) -> xr.DataArray:
    """A k-resolved array with its momenta, weights and spin labels."""
    k, weights = kset.points, kset.weights
    coords: dict = {
        d: list(SPINS if size == 2 else BOTH_SPINS)
        for d, size in zip(dims, values.shape, strict=True) if d.startswith("spin")
    }  # fmt: skip
    for i in range(2):
        coords[f"k{i + 1}"] = ("k", k[:, i], {"units": "rad", "long_name": f"k.a{i + 1}"})
    coords["weight"] = ("k", weights, {"units": "1", "long_name": "weight in a sum over k"})
    attrs = {"units": CONDUCTANCE_UNIT, "long_name": long_name, "energy": energy}
    # Not by xr.DataArray, which copies its coordinates.
    return xr.Dataset({name: (dims, values, attrs)}, coords)[name]


def _named(x: xr.DataArray, name: str, units: str, long_name: str) -> xr.DataArray:
    x = x.rename(name)
    x.attrs.update(units=units, long_name=long_name)
    return x

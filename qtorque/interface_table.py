"""Interfaces between real metals as rows of a table: conductances, mixing conductance, what both are without contacts.

A row is a `Dataset` in SI per area of the normal metal's in-plane cell (the normal metal is the left lead). Sums over k
are taken on meshes of n, 3n/2, 2n, 3n, ... points a side until the last three agree. The error stated of a column is
the largest difference between the finest mesh and the two before it, and no less than the largest relative error of its
group: meshes agree on one column by accident, hardly on all. Up is the majority of the magnet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from qtorque.bloch import as_layered
from qtorque.brillouin import KMesh, interleaved_chunks, kmesh, kpoints, require_symmetry
from qtorque.conductances import mixing_conductance, transmission, transmitted_mixing_conductance
from qtorque.errors import InputError
from qtorque.extraction import interface_parameters, without_sharvin_resistance
from qtorque.interfaces import OF_TWO_NORMAL_LEADS, InterfaceParameters
from qtorque.materials import read_parameters
from qtorque.metal_interfaces import Interface, mesh_symmetry, published
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks, sum_in_order
from qtorque.scattering import chunk_size, require_open_leads, solve_points
from qtorque.stack import Stack
from qtorque.units import conductance_per_area

K_TOLERANCE = 0.01
"""Relative, of G_up, G_dn and Re g_mix between meshes: parameters of the bulk are not better than 10 %."""
IMAGINARY_TOLERANCE = 1e13
"""Ohm^-1 m^-2, of Im g_mix between meshes: it is a small difference of contributions of both signs."""
LARGEST_CHUNK = 64
"""Momenta of one chunk: the coarsest mesh of the most symmetric facet has 217, and two ranks share them."""
OPEN_SAMPLE = 8
"""Side of the mesh on which the leads are looked at for open channels before any sum."""
UNIT = "Ohm^-1 m^-2"
TABLE_UNIT = 1e15
"""Ohm^-1 m^-2, of the printed tables and the figures."""
SPIN = ("up", "down")
SCATTERING = ("conductance", "g_mix")
"""Columns that are not corrected and decide on the mesh."""
SIGNED = ("gamma", "polarization")
"""Columns that may be close to zero, where a relative error means nothing."""
FERMI_LEVEL = 0.0
"""eV, of all metals of the library."""
Variable = tuple[tuple[Hashable, ...], Any, str, str]
MESHES_COMPARED = 3
"""The finest and the two before it: two alone agree by accident now and then."""


@dataclasses.dataclass(frozen=True)
class Summed:
    """Scattering values of one stack on one mesh, g_mix of the left lead at each k, the weight of k on a band edge."""

    parameters: InterfaceParameters
    mixing: np.ndarray
    shifted_weight: float


def on_mesh(
    stack: Stack,
    mesh: KMesh,
    *,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> Summed:
    """sum_k w_k of what `qt.interface_parameters` finds, streamed over a mesh: uncorrected, e^2/h per cell.

    The left lead is normal. A slab with two normal leads may have less symmetry than an interface: what it transmits of
    a transverse spin is another number at -k on fcc (111).

    Raises
    ------
    InputError
        For a symmetry of the mesh that does not hold, and what `qt.interface_parameters` refuses.
    """
    _require_symmetry_of(stack, mesh)
    return _summed(stack, mesh, comm, checkpoint, progress)


def _require_symmetry_of(stack: Stack, mesh: KMesh) -> None:
    """Refuse a symmetry that what `on_mesh` sums does not have."""
    layered = as_layered(stack)
    chain = layered.chain()

    def at_each_k(points: np.ndarray) -> np.ndarray:
        s = solve_points(chain, kpoints(points), FERMI_LEVEL, layered.area)
        own = [transmission(s).values.reshape(len(points), -1), mixing_conductance(s).values]
        return np.column_stack(own if s.lead_magnetic[1] else [*own, transmitted_mixing_conductance(s).values])

    require_symmetry(mesh, at_each_k)


def _summed(stack: Stack, mesh: KMesh, comm, checkpoint: Checkpoint | None, progress: str | None) -> Summed:
    """`on_mesh` with a symmetry that is known to hold."""
    layered = as_layered(stack)
    chain = layered.chain()

    def one(index) -> tuple[np.ndarray, np.ndarray, float]:
        points, weights = mesh.take(index)
        s = solve_points(chain, kpoints(points, weights), FERMI_LEVEL, layered.area)
        sums = _values(interface_parameters(s, sharvin_corrected=False))
        return sums, mixing_conductance(s).values, float(weights @ s.shifted)

    # One momentum tells which leads are normal; the sums take the place of its values.
    template = interface_parameters(
        solve_points(chain, kpoints([[1.0, 2.0]]), FERMI_LEVEL, layered.area), sharvin_corrected=False
    )
    part = checkpoint_part(checkpoint, "interface_parameters", chain, mesh)
    chunks = interleaved_chunks(mesh.size, min(LARGEST_CHUNK, chunk_size(chain)))
    found = map_chunks(one, chunks, comm, part, progress)
    mixing = np.empty(mesh.size, dtype=complex)
    for chunk, (_, at_k, _) in zip(chunks, found, strict=True):
        mixing[chunk] = at_k
    values, shifted = sum_in_order([(sums, weight) for sums, _, weight in found])
    return Summed(_with_values(template, values, repr(mesh)), mixing, shifted)


def _values(p: InterfaceParameters) -> np.ndarray:
    """All that is summed over k, complex."""
    slab = [getattr(p, name) for name in OF_TWO_NORMAL_LEADS if getattr(p, name) is not None]
    collinear = [p.conductance_up, p.conductance_down, *p.sharvin_left, *p.sharvin_right]
    return np.array([*collinear, p.mixing_conductance, *slab], dtype=complex)


def _with_values(template: InterfaceParameters, values: np.ndarray, momenta: str) -> InterfaceParameters:
    up, down, *sharvin = values[:6].real.tolist()
    mixing = dict(zip(("mixing_conductance", *OF_TWO_NORMAL_LEADS), values[6:].tolist(), strict=False))
    return dataclasses.replace(
        template,
        conductance_up=up,
        conductance_down=down,
        sharvin_left=tuple(sharvin[:2]),
        sharvin_right=tuple(sharvin[2:]),
        attributes={**template.attributes, "momenta": momenta},
        **mixing,
    )


def columns(p: InterfaceParameters) -> xr.Dataset:
    """What a row of the table holds, in SI, of the scattering values of an interface; up before down."""
    bare = without_sharvin_resistance(p)
    spins = ("spin",)
    found: dict[str, Variable] = {
        "sharvin_normal": (
            (), conductance_per_area(p.sharvin("left")[0], p.area), UNIT,
            "Sharvin conductance of the normal metal, per spin",
        ),
        "sharvin_magnet": (
            spins, conductance_per_area(np.array(p.sharvin("right")), p.area), UNIT,
            "Sharvin conductance of the magnet",
        ),
        "conductance": (
            spins, [p.conductance_up_per_area, p.conductance_down_per_area], UNIT, "interface conductance",
        ),
        "g_mix": ((), p.mixing_conductance_per_area, UNIT, "spin-mixing conductance"),
        "conductance_corrected": (
            spins, [bare.conductance_up_per_area, bare.conductance_down_per_area], UNIT,
            "interface conductance without contact resistance",
        ),
        "g_mix_corrected": (
            (), bare.mixing_conductance_per_area, UNIT, "spin-mixing conductance without contact resistance",
        ),
        "AR_star": ((), bare.AR_star, "Ohm m^2", "AR* = (r_up + r_down)/4 without contact resistance"),
        "gamma": ((), bare.gamma, "1", "gamma of r_up,down = 2 AR* (1 -+ gamma) without contact resistance"),
        "polarization": ((), p.polarization, "1", "(G_up - G_down)/(G_up + G_down)"),
    }  # fmt: skip
    return dataset_of(found)


def dataset_of(variables: Mapping[str, Variable], **coordinates: Any) -> xr.Dataset:
    """Of name -> (dims, values, unit, long name)."""
    if any("spin" in dims for dims, *_ in variables.values()):
        coordinates["spin"] = (
            "spin",
            list(SPIN),
            {"units": "1", "long_name": "spin, up is the majority of the magnet"},
        )
    described = {n: (dims, x, {"units": u, "long_name": text}) for n, (dims, x, u, text) in variables.items()}
    return xr.Dataset(described, coordinates)


def differences(finest: xr.Dataset, before: Sequence[xr.Dataset]) -> xr.Dataset:
    """`..._k_error`: the largest difference of every variable to the coarser meshes.

    Of a complex variable it is that of the modulus, for both parts: a part may agree by accident.
    """
    found: dict[str, Variable] = {}
    for name, x in finest.items():
        error = np.abs([x.values - other[name].values for other in before]).max(axis=0)
        error = error * (1 + 1j) if np.iscomplexobj(x) else error
        text = f"{x.attrs['long_name']}: error of the sum over k"
        found[f"{name}_k_error"] = (x.dims, error, x.attrs["units"], text)
    return dataset_of(found)


def _with_errors(finest: xr.Dataset, before: Sequence[xr.Dataset]) -> xr.Dataset:
    """The columns of a row and their `..._k_error`, none relatively smaller than the largest of its group.

    One group are the scattering values, another all columns: the correction amplifies errors. Numbers that may vanish
    (gamma, polarization, imaginary parts) have a size but no say in what is the largest.
    """
    whole = xr.merge([finest, differences(finest, before)])
    scattering = relative_error(whole, SCATTERING)
    largest = relative_error(whole, [str(name) for name in finest if name not in SIGNED])
    for name, x in finest.items():
        own, relative = whole[f"{name}_k_error"].values, scattering if name in SCATTERING else largest
        error = np.maximum(own.real, relative * np.abs(x.values.real))
        if np.iscomplexobj(own):
            error = error + 1j * np.maximum(own.imag, relative * np.abs(x.values.imag))
        whole[f"{name}_k_error"].values = error
    return whole


def mesh_sizes(coarsest: int, finest: int) -> list[int]:
    """n, 3n/2, 2n, 3n, 4n, ... up to the finest.

    Raises
    ------
    InputError
        For fewer than three meshes, and where 3n/2 is not a whole number.
    """
    if coarsest < 2 or coarsest % 2 or finest < 2 * coarsest:
        raise InputError(
            f"meshes of {coarsest} to {finest} points a side: give an even number first and twice as many or more"
        )
    doubled = [coarsest << i for i in range(finest.bit_length()) if coarsest << i <= finest]
    return sorted(doubled + [n + n // 2 for n in doubled if n + n // 2 <= finest])


@dataclasses.dataclass(frozen=True, eq=False)
class Converged:
    """An interface on the finest mesh it took.

    Attributes
    ----------
    parameters
        Scattering values, e^2/h per cell.
    columns
        The `columns` of these, and `..._k_error` of each.
    mesh
        The finest one.
    converged
        Whether the errors are within the tolerances.
    shifted_weight
        Of momenta on a band edge.
    zone_mesh, zone_mixing
        The third mesh, which is always solved, and g_mix at each of its momenta, e^2/h per cell.
    """

    parameters: InterfaceParameters
    columns: xr.Dataset
    mesh: KMesh
    converged: bool
    shifted_weight: float
    zone_mesh: KMesh
    zone_mixing: np.ndarray


def converged_interface(
    stack: Stack,
    *,
    sizes: Sequence[int],
    tolerance: float = K_TOLERANCE,
    imaginary_tolerance: float = IMAGINARY_TOLERANCE,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> Converged:
    """The conductances of an interface N | F on meshes that grow until G_up, G_dn and g_mix stay.

    Parameters
    ----------
    stack
        The left lead is the normal one. Its largest mesh symmetry is used.
    sizes
        Points a side of the meshes, ascending, three or more: `mesh_sizes(...)`.
    tolerance
        Relative, of G_up, G_dn and Re g_mix.
    imaginary_tolerance
        Ohm^-1 m^-2, of Im g_mix.
    comm, checkpoint, progress
        As in `qt.conductance`.

    Raises
    ------
    InputError
        For tolerances that are not positive, fewer than three meshes or sizes that do not ascend, leads without open
        channels, what `qt.interface_parameters` refuses.
    """
    for name, value in (("tolerance", tolerance), ("imaginary_tolerance", imaginary_tolerance)):
        if not value > 0:
            raise InputError(f"{name}={value!r}; give a positive number")
    if len(sizes) < MESHES_COMPARED:
        raise InputError(f"sizes={list(sizes)!r}: an error estimate takes {MESHES_COMPARED} meshes or more")
    if list(sizes) != sorted(set(sizes)):
        raise InputError(f"sizes={list(sizes)!r}: meshes that do not grow have no error; give ascending sizes")
    symmetry = mesh_symmetry(stack)
    require_metals(stack)
    _require_symmetry_of(stack, kmesh(sizes[0], symmetry=symmetry))
    found: list[xr.Dataset] = []
    for n in sizes:
        mesh = kmesh(n, symmetry=symmetry)
        last = _summed(stack, mesh, comm, checkpoint, progress and f"{progress} {n} x {n}")
        found.append(columns(last.parameters))
        if len(found) == MESHES_COMPARED:
            zone_mesh, zone_mixing = mesh, last.mixing
        if len(found) < MESHES_COMPARED:
            continue
        before = found[-MESHES_COMPARED:-1]
        relative, imaginary = _own_error(found[-1], before)
        # What is not a number does not agree.
        if agree := relative <= tolerance and imaginary <= imaginary_tolerance:
            break
    whole = _with_errors(found[-1], before)
    return Converged(last.parameters, whole, mesh, agree, last.shifted_weight, zone_mesh, zone_mixing)


def require_metals(stack: Stack) -> None:
    """Refuse a stack of which a lead has no open channel at the Fermi level, before any sum.

    Raises
    ------
    InputError
        For such a stack, as of an insulator.
    """
    require_open_leads(as_layered(stack).chain(), kmesh(OPEN_SAMPLE), FERMI_LEVEL)


def _own_error(finest: xr.Dataset, before: Sequence[xr.Dataset]) -> tuple[float, float]:
    """Differences to coarser meshes: the largest relative one of G_up, G_dn, Re g_mix; that of Im g_mix."""

    def sampled(d: xr.Dataset) -> np.ndarray:
        return np.append(d["conductance"].values, d["g_mix"].values.real)

    relative = max(float(np.max(np.abs(sampled(d) / sampled(finest) - 1))) for d in before)
    imaginary = max(abs(float((finest["g_mix"] - d["g_mix"]).values.imag)) for d in before)
    return relative, imaginary


def relative_error(d: xr.Dataset, names: Sequence[str]) -> float:
    """The largest relative `..._k_error` of some columns of one row, of the real part of a complex one."""
    return max(float(np.max(d[f"{n}_k_error"].values.real / np.abs(d[n].values.real))) for n in names)


def row(interface: Interface, found: Converged) -> xr.Dataset:
    """One interface as a `Dataset`: `columns` with their errors, the mesh, trust in the metals, published values.

    Published ranges have a dimension bound (lowest, highest) and are not a number where nothing is known.
    """
    entry = published(interface)

    def bounds(key: str) -> np.ndarray:
        return TABLE_UNIT * np.array(entry.get(key, [np.nan, np.nan]))

    trust = [read_parameters(name, interface.file).trust for name in (interface.normal, interface.magnet)]
    both, bound = np.array([bounds("G_up"), bounds("G_dn")]), ("bound",)
    further: dict[str, Variable] = {
        "mesh": ((), found.mesh.n1, "1", "points a side of the mesh"),
        "momenta": ((), found.mesh.size, "1", "momenta of the mesh after symmetry"),
        "converged": ((), int(found.converged), "1", "1 if the errors of the sum over k are within the tolerances"),
        "shifted_weight": ((), found.shifted_weight, "1", "weight of momenta on a band edge"),
        "cell_area": ((), found.parameters.area, "nm^2", "in-plane cell of the normal metal"),
        "trust_normal": ((), trust[0], "1", "trust in the parameters of the normal metal"),
        "trust_magnet": ((), trust[1], "1", "trust in the parameters of the magnet"),
        "published_conductance": (("spin", *bound), both, UNIT, "published range: interface conductance"),
        "published_g_mix_real": (bound, bounds("g_mix_re"), UNIT, "published range: real part of g_mix"),
        "published_g_mix_imag_size": (bound, bounds("g_mix_im"), UNIT, "published range: size of the imaginary part"),
        "published_source": ((), entry.get("source", ""), "1", "source of the published range"),
    }
    return xr.merge([found.columns, dataset_of(further)])


def table_of(rows: Sequence[xr.Dataset], interfaces: Sequence[Interface]) -> xr.Dataset:
    """The rows joined along `interface`."""
    labels = ("interface", [i.label for i in interfaces], {"units": "1", "long_name": "normal metal/magnet(facet)"})
    return xr.concat(rows, "interface", combine_attrs="override").assign_coords(interface=labels)

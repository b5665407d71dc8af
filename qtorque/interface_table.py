"""Interfaces between real metals as rows of a table: conductances, mixing conductance, what both are without contacts.

A row is a `Dataset` in SI per area of the normal metal's in-plane cell (the normal metal is the left lead). Sums over k
are taken on meshes of n, 3n/2, 2n, 3n, ... points a side until the last three agree; the largest difference between the
finest and the two before it is the error stated, of every column. It is that of the coarser meshes, so the finest is as
a rule better. Up is the majority of the magnet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from qtorque.bloch import as_layered
from qtorque.brillouin import KMesh, interleaved_chunks, kmesh, kpoints
from qtorque.conductances import mixing_conductance
from qtorque.errors import InputError
from qtorque.extraction import interface_parameters, without_sharvin_resistance
from qtorque.interfaces import OF_TWO_NORMAL_LEADS, InterfaceParameters
from qtorque.materials import read_parameters
from qtorque.metal_interfaces import (
    Interface,
    clean_stack,
    film_stack,
    mesh_symmetry,
    padded_stack,
    published,
    rough_stack,
)
from qtorque.neutrality import neutral
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks, sum_in_order
from qtorque.scattering import chunk_size, require_open_leads, solve_points
from qtorque.stack import Layer, Stack
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
"""Ohm^-1 m^-2, of the printed tables."""
SPIN = ("up", "down")
FERMI_LEVEL = 0.0
"""eV, of all metals of the library."""
_Variable = tuple[tuple[Hashable, ...], Any, str, str]
MESHES_COMPARED = 3
"""The finest and the two before it: two alone agree by accident now and then."""


@dataclasses.dataclass(frozen=True)
class Summed:
    """Scattering values of one stack on one mesh, and the weight of momenta on a band edge."""

    parameters: InterfaceParameters
    shifted_weight: float


def on_mesh(
    stack: Stack,
    mesh: KMesh,
    *,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> Summed:
    """sum_k w_k of what `qt.interface_parameters` finds, streamed over a mesh: uncorrected, e^2/h per cell."""
    layered = as_layered(stack)
    chain = layered.chain()

    def one(index) -> tuple[np.ndarray, float]:
        points, weights = mesh.take(index)
        s = solve_points(chain, kpoints(points, weights), FERMI_LEVEL, layered.area)
        return _values(interface_parameters(s, sharvin_corrected=False)), float(weights @ s.shifted)

    # One momentum tells which leads are normal; the sums take the place of its values.
    template = interface_parameters(
        solve_points(chain, kpoints([[1.0, 2.0]]), FERMI_LEVEL, layered.area), sharvin_corrected=False
    )
    part = checkpoint_part(checkpoint, "interface_parameters", chain, mesh)
    chunks = interleaved_chunks(mesh.size, min(LARGEST_CHUNK, chunk_size(chain)))
    values, shifted = sum_in_order(map_chunks(one, chunks, comm, part, progress))
    return Summed(_with_values(template, values, repr(mesh)), shifted)


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
    found: dict[str, _Variable] = {
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
    return _dataset(found)


def _dataset(variables: Mapping[str, _Variable], **coordinates: Any) -> xr.Dataset:
    """Of name -> (dims, values, unit, long name)."""
    if any("spin" in dims for dims, *_ in variables.values()):
        coordinates["spin"] = (
            "spin",
            list(SPIN),
            {"units": "1", "long_name": "spin, up is the majority of the magnet"},
        )
    described = {n: (dims, x, {"units": u, "long_name": text}) for n, (dims, x, u, text) in variables.items()}
    return xr.Dataset(described, coordinates)


def _differences(finest: xr.Dataset, before: Sequence[xr.Dataset]) -> xr.Dataset:
    """`..._k_error`: the largest difference of every variable to the coarser meshes, of a complex one part by part."""
    found: dict[str, _Variable] = {}
    for name, x in finest.items():
        apart = np.array([x.values - other[name].values for other in before])
        error = np.abs(apart.real).max(axis=0)
        if np.iscomplexobj(apart):
            error = error + 1j * np.abs(apart.imag).max(axis=0)
        text = f"{x.attrs['long_name']}: error of the sum over k"
        found[f"{name}_k_error"] = (x.dims, error, x.attrs["units"], text)
    return _dataset(found)


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
    """

    parameters: InterfaceParameters
    columns: xr.Dataset
    mesh: KMesh
    converged: bool
    shifted_weight: float


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
        For tolerances that are not positive, fewer than three meshes, leads without open channels, what
        `qt.interface_parameters` refuses.
    """
    for name, value in (("tolerance", tolerance), ("imaginary_tolerance", imaginary_tolerance)):
        if not value > 0:
            raise InputError(f"{name}={value!r}; give a positive number")
    if len(sizes) < MESHES_COMPARED:
        raise InputError(f"sizes={list(sizes)!r}: an error estimate takes {MESHES_COMPARED} meshes or more")
    symmetry = mesh_symmetry(stack)
    require_open_leads(as_layered(stack).chain(), kmesh(OPEN_SAMPLE), FERMI_LEVEL)
    found: list[xr.Dataset] = []
    for n in sizes:
        mesh = kmesh(n, symmetry=symmetry)
        last = on_mesh(stack, mesh, comm=comm, checkpoint=checkpoint, progress=progress and f"{progress} {n} x {n}")
        found.append(columns(last.parameters))
        if len(found) < MESHES_COMPARED:
            continue
        whole = xr.merge([found[-1], _differences(found[-1], found[-MESHES_COMPARED:-1])])
        relative, imaginary = row_error(whole)
        # What is not a number does not agree.
        if agree := relative <= tolerance and imaginary <= imaginary_tolerance:
            break
    return Converged(last.parameters, whole, mesh, agree, last.shifted_weight)


def row_error(d: xr.Dataset) -> tuple[float, float]:
    """Of one row: the largest relative error of G_up, G_dn and Re g_mix, and the error of Im g_mix in Ohm^-1 m^-2."""
    real = np.append(d["conductance"].values, d["g_mix"].values.real)
    errors = np.append(d["conductance_k_error"].values, d["g_mix_k_error"].values.real)
    return float((errors / np.abs(real)).max()), float(d["g_mix_k_error"].values.imag)


def row(interface: Interface, found: Converged) -> xr.Dataset:
    """One interface as a `Dataset`: `columns` with their errors, the mesh, trust in the metals, published values.

    Published ranges have a dimension bound (lowest, highest) and are not a number where nothing is known.
    """
    entry = published(interface)

    def bounds(key: str) -> np.ndarray:
        return TABLE_UNIT * np.array(entry.get(key, [np.nan, np.nan]))

    trust = [read_parameters(name, interface.file).trust for name in (interface.normal, interface.magnet)]
    both, bound = np.array([bounds("G_up"), bounds("G_dn")]), ("bound",)
    further: dict[str, _Variable] = {
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
        "published_trust": ((), entry.get("trust", ""), "1", "trust in the published range"),
    }
    return xr.merge([found.columns, _dataset(further)])


def film_columns(
    interface: Interface,
    layers: Sequence[int],
    *,
    size: int,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Reflected and transmitted mixing conductance of films N | F (layers) | N: dims (layers,).

    On meshes of `size` and 2/3 of it points a side, the difference of which is the error.
    """

    def observed(stack: Stack, n: int, label: str | None) -> xr.Dataset:
        mesh = kmesh(n, symmetry=mesh_symmetry(stack))
        p = on_mesh(stack, mesh, comm=comm, checkpoint=checkpoint, progress=label).parameters
        return _dataset(
            {
                "film_g_mix": ((), p.mixing_conductance_per_area, UNIT, "spin-mixing conductance of a film"),
                "film_t_mix": ((), p.mixing_transmitted_per_area, UNIT, "transmitted mixing conductance of a film"),
            }
        )

    rows = []
    for count in layers:
        stack, label = film_stack(interface, count), progress and f"{progress}, film of {count} layers"
        coarse, fine = (observed(stack, n, label) for n in (max(1, size * 2 // 3), size))
        rows.append(xr.merge([fine, _differences(fine, [coarse])]))
    coordinate = ("layers", list(layers), {"units": "monolayers", "long_name": "thickness of the magnet"})
    return xr.concat(rows, "layers", combine_attrs="override").assign_coords(layers=coordinate)


def zone_columns(
    stack: Stack, *, size: int, comm=None, checkpoint: Checkpoint | None = None, progress: str | None = None
) -> xr.Dataset:
    """g_mix over the in-plane zone: `zone_g_mix` (first, second) in e^2/h per cell on a mesh of `size` points a side.

    `zone_phase` (first) are its phases k.a1, and the same k.a2; `plane` (vector, xy) are a1 and a2 in nm.
    """
    mesh, layered = kmesh(size, symmetry=mesh_symmetry(stack)), as_layered(stack)
    chain = layered.chain()

    def one(index) -> np.ndarray:
        s = solve_points(chain, kpoints(mesh.take(index)[0]), FERMI_LEVEL, layered.area)
        return mixing_conductance(s, lead="left").values

    chunks = interleaved_chunks(mesh.size, min(LARGEST_CHUNK, chunk_size(chain)))
    part = checkpoint_part(checkpoint, "zone_g_mix", chain, mesh)
    values = np.zeros(mesh.size, dtype=complex)
    for chunk, found in zip(chunks, map_chunks(one, chunks, comm, part, progress), strict=True):
        values[chunk] = found
    phases = 2 * np.pi * (np.arange(size) + mesh.shift) / size
    plane = stack.left.material.lattice[:2, :2]
    return _dataset(
        {
            "zone_g_mix": (("first", "second"), mesh.unfold(values), "e^2/h per cell", "g_mix at each k"),
            "zone_phase": (("first",), phases, "rad", "k.a1, and k.a2 along the second axis"),
            "plane": (("vector", "xy"), plane, "nm", "in-plane lattice vectors a1, a2"),
        }
    )


def neutral_columns(
    interface: Interface,
    mesh: KMesh,
    *,
    layers: int,
    size: int,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Conductances with rigid layer shifts that keep `layers` layers of both metals neutral (`qt.neutral`).

    The shifts come from a mesh of `size` points a side, the conductances are on `mesh`.
    """
    stack = padded_stack(interface, layers)
    small = kmesh(size, symmetry=mesh_symmetry(stack))
    shifted, record = neutral(stack, kmesh=small, comm=comm, checkpoint=checkpoint, progress=progress)
    found = columns(on_mesh(shifted, mesh, comm=comm, checkpoint=checkpoint, progress=progress).parameters)
    own = record["shift"].values[[isinstance(m.piece, Layer) for m in stack.monolayers]]
    text = "rigid shift of the layers, from the normal metal to the magnet"
    residual = record.attrs["residual"], "electrons per cell", "largest excess that a shifted layer keeps"
    return _dataset(
        {
            "neutral_conductance": (("spin",), found["conductance"].values, UNIT, "conductance with neutral layers"),
            "neutral_g_mix": ((), found["g_mix"].values, UNIT, "spin-mixing conductance with neutral layers"),
            "neutral_shift": (("monolayer",), own, "eV", text),
            "neutral_residual": ((), *residual),
        }
    )


def rough_columns(
    interface: Interface,
    cells: int,
    *,
    configurations: int,
    size: int,
    seed: int = 1,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Mean and standard error of the conductances of rough interfaces (`rough_stack`), on a mesh of `size` a side.

    Beside them the clean interface on the mesh that the supercell's folds, so that both have the same error of the sum.
    The standard error is that of the configurations at this size of the cell: 2 x 2 sites have hardly two that differ
    by more than a symmetry, so there it is close to zero and says nothing about a random alloy.

    Raises
    ------
    InputError
        For fewer than two sites a side or two configurations.
    """
    if cells < 2 or configurations < 2:
        raise InputError(
            f"{cells} x {cells} sites in {configurations} configurations: an alloy needs two sites a side, "
            "a standard error two configurations"
        )

    def observed(stack: Stack, n: int, label: str | None) -> xr.Dataset:
        mesh = kmesh(n, symmetry="inversion")
        return columns(on_mesh(stack, mesh, comm=comm, checkpoint=checkpoint, progress=label).parameters)

    samples = [
        observed(
            rough_stack(interface, cells, configuration=configuration, seed=seed), size,
            progress and f"{progress}, rough {configuration + 1}",
        )
        for configuration in range(configurations)
    ]  # fmt: skip
    clean = observed(clean_stack(interface), size * cells, progress)
    found: dict[str, _Variable] = {}
    for name in ("conductance", "g_mix"):
        x = clean[name]
        values = np.array([sample[name].values for sample in samples])
        error = values.real.std(axis=0, ddof=1)
        if np.iscomplexobj(values):
            error = error + 1j * values.imag.std(axis=0, ddof=1)
        text = x.attrs["long_name"]
        found[f"rough_{name}"] = (x.dims, values.mean(axis=0), UNIT, f"{text}, rough: mean")
        found[f"rough_{name}_error"] = (x.dims, error / configurations**0.5, UNIT, f"{text}, rough: standard error")
        found[f"rough_{name}_clean"] = (x.dims, x.values, UNIT, f"{text}, clean, on the mesh that the supercell folds")
    return _dataset(found)


def table_of(rows: Sequence[xr.Dataset], interfaces: Sequence[Interface]) -> xr.Dataset:
    """The rows joined along `interface`."""
    labels = ("interface", [i.label for i in interfaces], {"units": "1", "long_name": "normal metal/magnet(facet)"})
    return xr.concat(rows, "interface", combine_attrs="override").assign_coords(interface=labels)

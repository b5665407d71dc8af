"""Interfaces between real metals in other forms than the clean one: films, neutral layers, alloys, maps over the zone.

Each function makes further variables of a row of `qtorque.interface_table`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from qtorque.bloch import as_layered
from qtorque.brillouin import KMesh, kmesh
from qtorque.errors import InputError
from qtorque.interface_table import FERMI_LEVEL, UNIT, Variable, columns, dataset_of, differences, on_mesh
from qtorque.magnetic_films import film_conductances
from qtorque.metal_interfaces import Interface, clean_stack, film_stack, mesh_symmetry, padded_stack, rough_stack
from qtorque.neutrality import neutral
from qtorque.parallel import Checkpoint
from qtorque.stack import Layer, Stack
from qtorque.units import conductance_per_area

SMALLEST_FILM_MESH = 3
"""Points a side: from there on half of it, three quarters of it and itself are three meshes."""
SMALLEST_ALLOY = 3
"""Sites a side: the alloys of 2 x 2 sites hardly differ by more than a symmetry, and have no spread to speak of."""


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

    On meshes of `size`, 3/4 and half of it points a side; the largest difference to the coarser ones is the error.

    Raises
    ------
    InputError
        For no thickness, or a size below 3.
    """
    if not layers or size < SMALLEST_FILM_MESH:
        raise InputError(
            f"films of {list(layers)!r} layers on a mesh of {size}: give thicknesses, and {SMALLEST_FILM_MESH} points "
            "a side or more, so that three meshes tell the error"
        )
    stacks = [film_stack(interface, count) for count in layers]
    meshes = [kmesh(n, symmetry=mesh_symmetry(stacks[0])) for n in (size // 2, size * 3 // 4, size)]
    sums = film_conductances(
        stacks, meshes, energy=FERMI_LEVEL, comm=comm, checkpoint=checkpoint, progress=progress and f"{progress}, films"
    )
    found = []
    for g, t in conductance_per_area(sums, as_layered(stacks[0]).area).transpose(0, 2, 1):
        variables: dict[str, Variable] = {
            "film_g_mix": (("layers",), g, UNIT, "spin-mixing conductance of a film"),
            "film_t_mix": (("layers",), t, UNIT, "transmitted mixing conductance of a film"),
        }
        at = ("layers", list(layers), {"units": "monolayers", "long_name": "thickness of the magnet"})
        found.append(dataset_of(variables, layers=at))
    side: dict[str, Variable] = {"film_mesh": ((), size, "1", "points a side of the finest mesh for films")}
    return xr.merge([found[-1], differences(found[-1], found[:-1]), dataset_of(side)])


def zone_columns(stack: Stack, mesh: KMesh, mixing: np.ndarray) -> xr.Dataset:
    """g_mix over the in-plane zone: `zone_g_mix` (first, second) in e^2/h per cell, from its values on a mesh.

    `zone_phase` (first) are its phases k.a1, and the same k.a2; `plane` (vector, xy) are a1 and a2 in nm. Such a mesh
    and its values are in `Converged`.
    """
    phases = 2 * np.pi * (np.arange(mesh.n1) + mesh.shift) / mesh.n1
    plane = stack.left.material.lattice[:2, :2]
    return dataset_of(
        {
            "zone_g_mix": (("first", "second"), mesh.unfold(mixing), "e^2/h per cell", "g_mix at each k"),
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
    own = np.array([isinstance(m.piece, Layer) for m in stack.monolayers])
    left_over = float(np.abs(record["excess_electrons"].values[~own]).max())
    shifts, text = record["layer_shift"].values[own], "rigid shift of the layers, from the normal metal to the magnet"
    kept, electrons = record.attrs, "electrons per cell"
    return dataset_of(
        {
            "neutral_conductance": (("spin",), found["conductance"].values, UNIT, "conductance with neutral layers"),
            "neutral_g_mix": ((), found["g_mix"].values, UNIT, "spin-mixing conductance with neutral layers"),
            "neutral_shift": (("monolayer",), shifts, "eV", text),
            "neutral_layers": ((), layers, "monolayers", "shifted layers of each metal"),
            "neutral_mesh": ((), size, "1", "points a side of the mesh on which charge is counted"),
            "neutral_converged": ((), int(kept["converged"]), "1", "1 if all shifted layers are neutral on this mesh"),
            "neutral_residual": ((), kept["residual"], electrons, "largest excess that a shifted layer keeps"),
            "neutral_mesh_error": ((), kept["mesh_error"], electrons, "the same on a mesh finer by a half"),
            "neutral_lead_excess": ((), left_over, electrons, "largest excess of an unshifted layer beside them"),
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
    The standard error is that of the configurations at this size of the cell; that of the size comes on top.

    Raises
    ------
    InputError
        For fewer than three sites a side or two configurations.
    """
    if cells < SMALLEST_ALLOY or configurations < 2:
        raise InputError(
            f"{cells} x {cells} sites in {configurations} configurations: a random alloy needs {SMALLEST_ALLOY} sites "
            "a side or more, a standard error two configurations"
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
    found: dict[str, Variable] = {
        "rough_cells": ((), cells, "1", "sites a side of the supercell"),
        "rough_configurations": ((), configurations, "1", "configurations of the alloy"),
        "rough_mesh": ((), size, "1", "points a side of the mesh of the supercell"),
    }
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
    return dataset_of(found)

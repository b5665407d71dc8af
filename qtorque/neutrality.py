"""Rigid shifts that keep every layer of a stack neutral.

Two metals that meet exchange electrons; in a real metal the electrostatic potential stops them within a screening
length of a monolayer. Tight-binding parameters of the bulk know nothing of that. The rule used here in place of a
Poisson equation is the usual one: every layer is shifted rigidly until it is neutral, in the sense that it holds as
many electrons as in its bulk. Real interfaces keep a small dipole, which this leaves out. The rule does not fix the
band offset of an insulator, whose count hardly answers to a shift: that has to come from elsewhere.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.optimize import BroydenFirst

from qtorque import parallel
from qtorque.brillouin import KMesh
from qtorque.electron_counts import (
    ELECTRONS,
    RESPONSE,
    UNIT_ELECTRONS,
    LayerSums,
    bulk_electrons,
    cells_of,
    count_arguments,
    counts_dataset,
    energy_error_variable,
    layer_variables,
    monolayer_segments,
    require_references,
    stack_count,
    verify_symmetry,
)
from qtorque.errors import InputError
from qtorque.stack import Layer, Stack

QUADRATURE_SHARE = 0.1
"""Share of the tolerance of `neutral` that its energy quadrature may use, so that Broyden's method sees no noise."""
SOFTEST_RESPONSE = 0.1
"""Electrons per eV and primitive cell; metals answer with 0.2 to 2. Less is an insulator or an empty layer, whose count
says nothing about where its bands lie."""
LARGEST_STEP = 0.5
"""eV, of a layer in one step: the response holds over a fraction of a band width."""
FARTHEST = 3.0
"""eV from where the search starts: work functions of metals differ by less."""
LARGE_SHIFT = 1.0
"""eV; layers of metals next to metals take 0.01 to 0.3. A larger one says that something else is wrong."""
LEFT_OVER = 0.01
"""Electrons per primitive cell on a contact layer: what a mesh of 16 x 16 leaves in the count of a bulk."""
FINER = 1.5
"""Ratio of the mesh on which the neutral stack is counted once more."""
MISCOUNT = 0.05
"""Electrons per primitive cell; a mesh of 16 x 16 counts the bulk of a transition metal to 0.02, and the Fermi energies
of the library are good to 0.01 eV times 3 states per eV. A larger difference says that E = 0 is not the Fermi level."""


def neutral(
    stack: Stack,
    *,
    kmesh,
    temperature: float = 0.0,
    tolerance: float = 1e-3,
    most_steps: int = 20,
    comm=None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> tuple[Stack, xr.Dataset]:
    """The stack with every monolayer of a metal shifted rigidly so that it holds as many electrons as in its bulk.

    Parameters
    ----------
    stack
        Its layers get shifts; its leads and the layers of the leads that the region begins and ends with do not.
        Place a few layers of each lead's own metal next to the interface. Shifts that layers have are where the search
        starts from. Layers with `barrier=True`, and those whose count answers to a shift with less than 0.1 electrons
        per eV and primitive cell, keep the shift they have: neutrality does not fix the band offset of an insulator.
    kmesh, temperature, comm, checkpoint, progress
        As in `layer_charges`; a checkpoint keeps the chunks of every step.
    tolerance
        Electrons per primitive cell; the largest excess that a shifted layer may keep on this mesh.
    most_steps
        Counts of the stack on this mesh, the one it starts from included.

    Returns
    -------
    Stack, Dataset
        The stack has one `Layer` for each monolayer, with its `shift`. The record has, for every monolayer of the
        region (those of the leads included), `layer_shift` (eV), `shifted` (1 where the search could choose it),
        `electrons`, `bulk_electrons`, `excess_electrons` and `excess_before` (electrons per cell), `spin_moment`,
        `response` and `spin_moment_before` as in `layer_charges`, and `energy_error` (the quadrature's, electrons per
        cell); attributes `evaluations`, `residual` (the largest excess on a shifted layer), `mesh_error` (the same on
        a mesh of 3/2 as many points a side; not a number for points of one's own), both in electrons per primitive
        cell, and `converged` (1 if residual and quadrature are within the tolerance).

    Raises
    ------
    InputError
        For a stack without layers that may be shifted, bad arguments, a mesh whose symmetry does not hold, and alloys
        without a bulk count, as in `layer_charges`.

    Warns
    -----
    UserWarning
        If the steps did not suffice (the best shifts found are returned), if a shift is larger than 1 eV, if a layer
        that does not answer holds more or less than its bulk, if the finer mesh finds an excess above the tolerance
        (the shifts are then as good as the mesh, not as the tolerance), if a layer of a lead, which is not shifted,
        keeps more than 0.01 electrons per primitive cell (the stack then needs more layers of that metal), or if the
        bulk count on this mesh is not the number of valence electrons of the material.

    Notes
    -----
    Broyden's good method (scipy.optimize.BroydenFirst) for the excess as a function of the shifts, started from the
    response of every layer to its own shift, with steps of at most 0.5 eV a layer and within 3 eV of the start. Three
    or four counts suffice for Cu/Co(111). At T = 0 the count of a coarse mesh jumps where a state bound to a layer
    crosses the Fermi level, and there may be no neutral stack to be found. The count on the finer mesh costs a little
    more than two others. Friedel oscillations reach far into a lead at low temperature: behind three shifted layers of
    Cu the next, unshifted one keeps 0.006 electrons.
    """
    own, movable = _movable(stack, most_steps)
    kset, fermi, layered = count_arguments(stack, kmesh, temperature, tolerance)
    require_references(stack, "neutral")
    monolayers = stack.monolayers
    cells = np.array([cells_of(monolayer.piece.material) for monolayer in monolayers])
    labels = [monolayer.label for monolayer in monolayers]
    sums = LayerSums(kset, fermi, QUADRATURE_SHARE * tolerance * cells.min(), comm, checkpoint, progress)
    verify_symmetry(layered, monolayer_segments(stack, layered), sums)
    bulk, bulk_error = bulk_electrons(stack, sums)

    def counted(shifts: np.ndarray) -> _Count:
        value, error = stack_count(_shifted(stack, shifts[own]), sums)
        return _Count(shifts, value, error, (value[:, ELECTRONS] - bulk) / cells)

    start = np.zeros(len(own))
    start[own] = [layer.shift for layer, _ in _own_monolayers(stack)]
    before = counted(start)
    answer = -before.value[:, RESPONSE] / cells
    free = movable & (answer >= SOFTEST_RESPONSE)
    if not free.any():
        raise InputError(
            f"neutral: no layer answers to a shift with {SOFTEST_RESPONSE:g} electrons per eV or more (at most "
            f"{answer[movable].max():.2g}); mark insulators with barrier=True, start metals from a smaller shift="
        )
    best, evaluations = _neutralised(counted, before, free, answer, tolerance, int(most_steps))
    residual = float(np.abs(best.excess[free]).max())
    mesh_error = _mesh_error(_shifted(stack, best.shifts[own]), sums, free, cells)
    energy_error = max(best.error, bulk_error)

    remarks = _miscounts(stack, bulk) + _remarks_on(best, own, movable, free, labels, tolerance)
    if residual > tolerance:
        remarks.append(
            f"after {evaluations} counts a layer still holds {residual:.2g} electrons too many or too few, more than "
            f"the tolerance {tolerance:g}; the best shifts found are returned, see most_steps= and temperature="
        )
    if energy_error > tolerance * cells.min():
        remarks.append(f"the energy quadrature is good to {energy_error:.2g} electrons only; give a larger tolerance")
    if mesh_error > tolerance:
        remarks.append(
            f"on a mesh finer by {FINER:g} a shifted layer holds {mesh_error:.2g} electrons too many or too few, more "
            f"than the tolerance {tolerance:g}; take a finer kmesh or a higher temperature"
        )
    for text in remarks if comm is None or comm.rank == 0 else ():
        warnings.warn(f"neutral: {text}", stacklevel=2)

    old, new = layer_variables(before.value), layer_variables(best.value)
    excess = best.excess * cells
    variables = {
        "layer_shift": (("layer",), best.shifts, "eV", "rigid shift of the layer"),
        "shifted": (("layer",), free.astype(int), "1", "1 if the search could choose the shift"),
        "bulk_electrons": (("layer",), bulk, UNIT_ELECTRONS, "electrons of the layer's material in bulk"),
        "excess_before": (("layer",), before.excess * cells, UNIT_ELECTRONS, "excess of electrons before"),
        "excess_electrons": (("layer",), excess, UNIT_ELECTRONS, "excess of electrons"),
        "spin_moment_before": (*old["spin_moment"][:3], "spin moment before, along the majority spin"),
        "energy_error": energy_error_variable(energy_error),
        **new,
    }
    attributes = {
        "tolerance": tolerance,
        "residual": residual,
        "mesh_error": mesh_error,
        "converged": int(residual <= tolerance and energy_error <= tolerance * cells.min()),
        "evaluations": evaluations,
    }
    record = counts_dataset(variables, tuple(labels), stack.area, kset, fermi, attributes)
    return _shifted(stack, best.shifts[own]), record


@dataclass(frozen=True, eq=False)
class _Count:
    """Shifts of all monolayers of the region (eV), the sums at them, their error, the excess per primitive cell."""

    shifts: np.ndarray
    value: np.ndarray
    error: float
    excess: np.ndarray


def _movable(stack, most_steps) -> tuple[np.ndarray, np.ndarray]:
    """(belongs to a layer, belongs to one that is no barrier) of every monolayer of the region."""
    if not isinstance(stack, Stack):
        raise InputError(f"neutral: {type(stack).__name__} is no qt.Stack; shifts belong to the layers of a stack")
    if not stack.layers:
        raise InputError("neutral: the stack has no layers to shift; give it a few layers of each lead's metal")
    if isinstance(most_steps, bool) or not isinstance(most_steps, (int, np.integer)) or most_steps < 1:
        raise InputError(f"neutral: most_steps={most_steps!r} is no number of steps; give a positive integer")
    pieces = [monolayer.piece for monolayer in stack.monolayers]
    own = np.array([isinstance(piece, Layer) for piece in pieces])
    movable = np.array([isinstance(piece, Layer) and not piece.barrier for piece in pieces])
    if not movable.any():
        raise InputError("neutral: all layers are barriers, whose shift neutrality does not fix; add layers of metal")
    return own, movable


def _neutralised(
    counted: Callable[[np.ndarray], _Count],
    first: _Count,
    free: np.ndarray,
    answer: np.ndarray,
    tolerance: float,
    most_counts: int,
) -> tuple[_Count, int]:
    """(best count found, number of counts) of Broyden's method with bounded steps in the shifts of the free layers."""
    # In units of each layer's own response the Jacobian starts from minus one.
    unit = 1 / answer[free]
    jacobian = BroydenFirst(alpha=1.0)
    jacobian.setup(first.shifts[free] / unit, first.excess[free], None)
    best = last = first
    evaluations = 1
    while np.abs(best.excess[free]).max() > tolerance and evaluations < most_counts:
        step = np.clip(-unit * jacobian.solve(last.excess[free]), -LARGEST_STEP, LARGEST_STEP)
        shifts = last.shifts.copy()
        shifts[free] = np.clip(shifts[free] + step, first.shifts[free] - FARTHEST, first.shifts[free] + FARTHEST)
        now = counted(shifts)
        evaluations += 1
        if np.abs(now.excess[free]).max() < np.abs(best.excess[free]).max():
            best = now
        if np.array_equal(now.excess[free], last.excess[free]):
            # Nothing answers any more, and an update would divide by zero.
            break
        jacobian.update(shifts[free] / unit, now.excess[free])
        last = now
    return best, evaluations


def _mesh_error(stack: Stack, sums: LayerSums, free: np.ndarray, cells: np.ndarray) -> float:
    """Largest excess of the free layers on a finer mesh, electrons per primitive cell."""
    if not isinstance(sums.kset, KMesh):
        return float("nan")
    n1, n2 = (math.ceil(FINER * n) for n in sums.kset.shape)
    finer = replace(sums, kset=KMesh(n1, n2, sums.kset.symmetry))
    value, _ = stack_count(stack, finer)
    bulk, _ = bulk_electrons(stack, finer)
    return float(np.abs((value[:, ELECTRONS] - bulk) / cells)[free].max())


def _remarks_on(
    found: _Count, own: np.ndarray, movable: np.ndarray, free: np.ndarray, labels: list[str], tolerance: float
) -> list[str]:
    """What there is to say about large shifts, layers that do not answer and the layers of the leads."""
    remarks = []
    farthest = int(np.argmax(np.where(free, np.abs(found.shifts), -1.0)))
    if abs(found.shifts[farthest]) > LARGE_SHIFT:
        remarks.append(
            f"layer '{labels[farthest]}' is shifted by {found.shifts[farthest]:.3g} eV, more than a metal takes; see "
            "whether its E = 0 is its Fermi level, or mark an insulator with barrier=True"
        )
    remarks += [
        f"layer '{labels[i]}' hardly answers to a shift and keeps an excess of {found.excess[i]:.2g} electrons; mark "
        "an insulator with barrier=True, or start from another shift="
        for i in np.flatnonzero(movable & ~free & (np.abs(found.excess) > tolerance))
    ]
    threshold = max(tolerance, LEFT_OVER)
    layers = np.flatnonzero(own)
    for side, contact in (("left", found.excess[: layers[0]]), ("right", found.excess[layers[-1] + 1 :])):
        if np.abs(contact).max() > threshold:
            remarks.append(
                f"an unshifted layer of the {side} lead keeps an excess of {np.abs(contact).max():.2g} electrons, more "
                f"than {threshold:g}; put more layers of that lead's metal into the stack"
            )
    return remarks


def _miscounts(stack: Stack, bulk: np.ndarray) -> list[str]:
    """What there is to say about materials that hold other than their valence electrons."""
    counted = zip((m.piece.material for m in stack.monolayers), bulk, strict=True)
    return [
        f"bulk {material.name} holds {count:.3f} electrons on this mesh and should hold {material.electrons:g}; take a "
        "finer kmesh, or see whether E = 0 is its Fermi level"
        for material, count in {id(material): (material, count) for material, count in counted}.values()
        if material.electrons is not None and abs(count - material.electrons) > MISCOUNT * cells_of(material)
    ]


def _own_monolayers(stack: Stack) -> list[tuple[Layer, str]]:
    """(layer, label) of every monolayer that belongs to no lead."""
    return [(m.piece, m.label) for m in stack.monolayers if isinstance(m.piece, Layer)]


def _shifted(stack: Stack, shifts: np.ndarray) -> Stack:
    """The stack with a layer of its own for every monolayer, shifted so."""
    layers = tuple(
        replace(layer, n=1, name=label, shift=float(shift))
        for (layer, label), shift in zip(_own_monolayers(stack), shifts, strict=True)
    )
    return replace(stack, layers=layers)

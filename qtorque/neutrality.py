"""Electrons on every layer, and the rigid shifts that keep every layer of a stack neutral.

    n_l = -(1/pi) Im Int dE f(E) sum_k w_k Tr G_ll(k, E),    s_l = -(1/pi) Im Int dE f(E) sum_k w_k Tr[sigma G_ll(k, E)]

along the contour of `qtorque.contour`, in equilibrium. The bulk of every material is counted on the same mesh, as a
stack of nothing else, so that errors of the mesh cancel in the excess of electrons.

Two metals that meet exchange electrons; in a real metal the electrostatic potential stops them within a screening
length of a monolayer. Tight-binding parameters of the bulk know nothing of that. The rule used here in place of a
Poisson equation is the usual one: every layer is shifted rigidly until it is neutral, in the sense that it holds as
many electrons as in its bulk. Real interfaces keep a small dipole, which this leaves out.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.optimize import NoConvergence, broyden1

from qtorque import parallel
from qtorque.bloch import LayeredSystem, as_layered
from qtorque.brillouin import KPoints, KSet, as_kset, require_symmetry
from qtorque.chain import Chain
from qtorque.contour import BELOW_SPECTRUM, Fermi, sea_arc, sea_integral
from qtorque.errors import InputError, finite_number
from qtorque.green import Phases, Sweeps
from qtorque.halves import spin_trace
from qtorque.materials import Material, slater_koster_material
from qtorque.stack import Layer, Lead, Stack
from qtorque.sweeps import SYMMETRY_NODES, SYMMETRY_NOISE, summed

DEFAULT_ACCURACY = 1e-4
"""Electrons; a tenth of what `neutral` asks for, and a hundredth of what a mesh of 16 x 16 leaves."""
QUADRATURE_SHARE = 0.1
"""Share of the tolerance of `neutral` that its energy quadrature may use, so that Broyden's method sees no noise."""
SOFTEST_RESPONSE = 0.1
"""Electrons per eV; a layer that answers less to a shift (an empty one) is taken to answer so, or its first step would
be without bounds."""
STIFFEST_STEP = 1.0
"""Broyden's method starts from a Jacobian of minus the response, which is minus one in the scaled unknowns."""
MISCOUNT = 0.05
"""Electrons per primitive cell; a mesh of 16 x 16 counts the bulk of a transition metal to 0.02, and the Fermi energies
of the library are good to 0.01 eV times 3 states per eV. A larger difference says that E = 0 is not the Fermi level."""
UNIT_ELECTRONS = "electrons per cell"
_ELECTRONS, _RESPONSE, _COLUMNS = 0, 4, 5
"""Columns of a monolayer: electrons, three of spin, response; their number."""


@dataclass(frozen=True)
class _Segment:
    """Rows `start` to `stop` (orbitals times spin) of an element of the chain: one monolayer."""

    element: int
    start: int
    stop: int


def layer_charges(
    system,
    *,
    kmesh,
    temperature: float = 0.0,
    tolerance: float = DEFAULT_ACCURACY,
    comm=None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Electrons and spin moment of every monolayer in equilibrium, and of the bulk it is made of.

    Parameters
    ----------
    system
        A `Stack`, resolved into monolayers, or the result of `layered`, resolved into principal layers. Magnetizations
        as declared, V = 0.
    kmesh
        `qt.kmesh(n)`, or points of one's own. A declared symmetry has to hold for the spins too.
    temperature
        K.
    tolerance
        Of the energy quadrature, electrons.
    comm, checkpoint, progress
        As in `spin_torque`.

    Returns
    -------
    Dataset
        dims layer, lead, xyz. `electrons` (layer): both spins, per in-plane cell. `spin_moment` (layer, xyz):
        n_up - n_dn as a vector along the majority spin, mu_B (the spin moment at g = 2, up to its sign). `response`
        (layer): dn_l/d shift_l of that layer alone at fixed shifts of the others, electrons per eV, negative.
        `lead_electrons` (lead): in a cell of each lead's bulk, which holds as many monolayers as its hoppings reach.
        For a `Stack` also `bulk_electrons` (layer): the count in the bulk of the layer's own material at E_F = 0 on
        this mesh (of an alloy in a supercell the sum over its atoms, each as in its own metal), and
        `excess_electrons`: electrons - bulk_electrons. `energy_error`: achieved error of the energy
        quadrature, the largest of all electron counts.

    Raises
    ------
    InputError
        For bad arguments or a mesh whose symmetry the stack does not have.

    Notes
    -----
    n_l = -(1/pi) Im Int dE f(E) Tr G_ll; response = -(1/pi) Im Int dE f(E) Tr[G_ll G_ll], first-order perturbation
    theory. The basis is orthogonal: what an orbital holds belongs to its layer.
    """
    kset, fermi, layered = _arguments(system, kmesh, temperature, tolerance)
    sums = _Sums(kset, fermi, tolerance, comm, checkpoint, progress)
    segments = _segments(system, layered)
    _verify_symmetry(layered, segments, sums)
    value, error = sums.of(layered.chain(), segments, layered)
    whole_cells = [[_Segment(1, 0, layered.dimensions[-lead])] for lead in (0, 1)]
    bulks = [sums.of(_bulk_chain(layered.chain(), lead), whole_cells[lead], layered)[0] for lead in (0, 1)]
    variables = _layer_variables(value)
    counts = np.array([found[0, _ELECTRONS] for found in bulks])
    variables["lead_electrons"] = (("lead",), counts, UNIT_ELECTRONS, "electrons in a cell of the lead's bulk")
    variables["energy_error"] = ((), error[:, _ELECTRONS].max(), UNIT_ELECTRONS, "error of the energy quadrature")
    names = layered.layer_names
    if isinstance(system, Stack):
        names = tuple(monolayer.label for monolayer in system.monolayers)
        bulk = _bulk_electrons(system, sums)
        excess = value[:, _ELECTRONS] - bulk
        variables["bulk_electrons"] = (("layer",), bulk, UNIT_ELECTRONS, "electrons of the layer's material in bulk")
        variables["excess_electrons"] = (("layer",), excess, UNIT_ELECTRONS, "electrons beyond those of the bulk")
    return _dataset(variables, names, layered.area, kset, fermi, {"energy_tolerance": tolerance})


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
    """The stack with every monolayer shifted rigidly so that it holds as many electrons as in its bulk.

    Parameters
    ----------
    stack
        Its layers get shifts; its leads and the layers of the leads that the region begins and ends with do not.
        Place a few layers of each lead's own metal next to the interface. Shifts that layers have are where the search
        starts from.
    kmesh, temperature, comm, checkpoint, progress
        As in `layer_charges`; a checkpoint keeps the chunks of every step.
    tolerance
        Electrons; the largest excess that a layer may keep.
    most_steps
        Steps of Broyden's method.

    Returns
    -------
    Stack, Dataset
        The stack has one `Layer` for each monolayer, with its `shift`. The record has, for every monolayer of the
        region (those of the leads included), `shift` (eV), `electrons`, `bulk_electrons`, `excess_electrons` and
        `excess_before` (electrons per cell), `spin_moment`, `response` and `spin_moment_before` as in
        `layer_charges`; attributes `evaluations`, `residual` (the largest excess on a shifted layer, electrons) and
        `converged` (0 or 1).

    Raises
    ------
    InputError
        For a stack without layers, bad arguments, a mesh whose symmetry does not hold, an alloy with spin-orbit
        coupling.

    Warns
    -----
    UserWarning
        If the steps did not suffice, if a layer of the lead, which is not shifted, keeps an excess above the
        tolerance (the stack then needs more layers of that metal), or if the bulk count on this mesh is not the
        number of valence electrons of the material.

    Notes
    -----
    Broyden's good method (scipy.optimize.broyden1) for the excess as a function of the shifts, started from the
    response of every layer to its own shift; four counts suffice for Cu/Co(111). Friedel oscillations reach far into a
    lead at low temperature: behind three shifted layers of Cu the next, unshifted one keeps 0.006 electrons.
    """
    if not isinstance(stack, Stack):
        raise InputError(f"neutral: {type(stack).__name__} is no qt.Stack; shifts belong to the layers of a stack")
    if not stack.layers:
        raise InputError("neutral: the stack has no layers to shift; give it a few layers of each lead's metal")
    if isinstance(most_steps, bool) or not isinstance(most_steps, (int, np.integer)) or most_steps < 1:
        raise InputError(f"neutral: most_steps={most_steps!r} is no number of steps; give a positive integer")
    kset, fermi, layered = _arguments(stack, kmesh, temperature, tolerance)
    sums = _Sums(kset, fermi, QUADRATURE_SHARE * tolerance, comm, checkpoint, progress)
    _verify_symmetry(layered, _segments(stack, layered), sums)
    bulk = _bulk_electrons(stack, sums)
    _warn_of_miscount(stack, bulk, comm)
    own = np.array([isinstance(monolayer.piece, Layer) for monolayer in stack.monolayers])
    start = np.array([layer.shift for layer, _ in _own_monolayers(stack)])

    evaluations = 0

    def counted(shifts: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        evaluations += 1
        shifted = _shifted(stack, shifts)
        system = as_layered(shifted)
        return sums.of(system.chain(), _segments(shifted, system), system)[0]

    before = counted(start)
    unit = 1 / np.maximum(np.abs(before[own, _RESPONSE]), SOFTEST_RESPONSE)
    best = _Best(start, before, float(np.abs(before[:, _ELECTRONS] - bulk)[own].max()))

    def excess(x: np.ndarray) -> np.ndarray:
        nonlocal best
        shifts = start + x * unit
        value = counted(shifts) if x.any() else before
        residual = (value[:, _ELECTRONS] - bulk)[own]
        if np.abs(residual).max() < best.residual:
            best = _Best(shifts, value, float(np.abs(residual).max()))
        return residual

    converged = best.residual <= tolerance
    if not converged:
        try:
            broyden1(excess, np.zeros(len(start)), alpha=STIFFEST_STEP, f_tol=tolerance, maxiter=int(most_steps))
            converged = True
        except NoConvergence:
            _warn(
                comm,
                f"neutral: after {most_steps} steps a layer still holds {best.residual:.2g} electrons too many or too "
                f"few, more than the tolerance {tolerance:g}; the best shifts found are returned",
            )
    left_over = np.abs(best.value[:, _ELECTRONS] - bulk)[~own]
    if left_over.max() > tolerance:
        label = [m.label for m in stack.monolayers if not isinstance(m.piece, Layer)][int(np.argmax(left_over))]
        _warn(
            comm,
            f"neutral: the unshifted layer '{label}' keeps an excess of {left_over.max():.2g} electrons, more than the "
            f"tolerance {tolerance:g}; put more layers of that lead's metal into the stack",
        )
    shifts = np.zeros(len(own))
    shifts[own] = best.shifts
    old, new = _layer_variables(before), _layer_variables(best.value)
    variables = {
        "shift": (("layer",), shifts, "eV", "rigid shift of the layer"),
        "bulk_electrons": (("layer",), bulk, UNIT_ELECTRONS, "electrons of the layer's material in bulk"),
        "excess_before": (("layer",), before[:, _ELECTRONS] - bulk, UNIT_ELECTRONS, "excess of electrons before"),
        "excess_electrons": (("layer",), best.value[:, _ELECTRONS] - bulk, UNIT_ELECTRONS, "excess of electrons"),
        "spin_moment_before": (*old["spin_moment"][:3], "spin moment before, along the majority spin"),
        **new,
    }
    attributes = {"tolerance": tolerance, "residual": best.residual, "converged": int(converged)}
    names = tuple(monolayer.label for monolayer in stack.monolayers)
    record = _dataset(variables, names, stack.area, kset, fermi, {**attributes, "evaluations": evaluations})
    return _shifted(stack, best.shifts), record


@dataclass(frozen=True, eq=False)
class _Best:
    """The shifts with the smallest largest excess so far, the sums at them, and that excess."""

    shifts: np.ndarray
    value: np.ndarray
    residual: float


@dataclass(frozen=True, eq=False)
class _Sums:
    """How sums over k and energy are taken: the same for a stack and for the bulk of its materials."""

    kset: KSet
    fermi: Fermi
    tolerance: float
    comm: object
    checkpoint: parallel.Checkpoint | None
    progress: str | None

    def of(self, chain: Chain, segments: Sequence[_Segment], layered: LayeredSystem) -> tuple[np.ndarray, np.ndarray]:
        """(value, error), each (segments, 5): electrons, n_up - n_dn along x, y, z, response to the own shift."""
        bottom = chain.lowest_energy - BELOW_SPECTRUM
        electrons = np.tile(np.arange(_COLUMNS) == _ELECTRONS, len(segments))
        # Of n states of a segment at most n are filled, and about half are; the tolerance is absolute.
        relative = self.tolerance / max(s.stop - s.start for s in segments)

        def one(_, k: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = sea_integral(
                lambda q, z, step: _kernel(chain, segments, q, z, step),
                self.fermi, bottom, k, weights, tolerance=relative, reference=electrons,
            )  # fmt: skip
            return found.value, found.error

        part = parallel.checkpoint_part(
            self.checkpoint, "layer_charges", chain, tuple(segments), self.kset, self.fermi, self.tolerance
        )
        ((value, error),) = summed(one, layered, [(0, self.kset)], self.comm, part, self.progress)
        return value.reshape(-1, _COLUMNS), error.reshape(-1, _COLUMNS)


def _kernel(chain: Chain, segments: Sequence[_Segment], k: np.ndarray, z: np.ndarray, step: np.ndarray) -> np.ndarray:
    """-(1/pi) Im{step Tr[sigma_a G]} and -(1/pi) Im{step Tr[G G]} of every segment: shape (m, nodes, 5 segments)."""
    sweeps = Sweeps(chain, Phases(k), z)
    columns, element, join = [], None, None
    for segment in segments:
        if segment.element != element:
            element, join = segment.element, sweeps.join(segment.element)
        assert join is not None
        spins = 1 if join.axis is None else 2
        own = slice(segment.start // spins, segment.stop // spins)
        green = join.green[..., own, own]
        columns += [step * trace for trace in spin_trace(green, join.axis)]
        columns.append(step * np.einsum("skeij,skeji->ke", green, green))
    return -np.stack(columns, axis=-1).imag / np.pi


def _arguments(system, kmesh, temperature, tolerance) -> tuple[KSet, Fermi, LayeredSystem]:
    kelvin = finite_number("temperature", temperature, "K")
    if kelvin < 0:
        raise InputError(f"temperature={temperature!r} must not be negative; give one number in K")
    if not 0 < finite_number("tolerance", tolerance, "electrons") < 1:
        raise InputError(f"tolerance={tolerance!r} electrons must lie between 0 and 1; 1e-3 is usual")
    return as_kset(kmesh), Fermi(0.0, kelvin), as_layered(system)


def _segments(system, layered: LayeredSystem) -> list[_Segment]:
    """The monolayers of a stack in the elements of its chain; the elements themselves of anything else."""
    sizes = layered.dimensions[1:-1]
    if not isinstance(system, Stack):
        return [_Segment(e, 0, size) for e, size in enumerate(sizes, 1)]
    segments: list[_Segment] = []
    element, start = 1, 0
    for monolayer in system.monolayers:
        stop = start + 2 * monolayer.piece.material.orbitals
        segments.append(_Segment(element, start, stop))
        element, start = (element + 1, 0) if stop == sizes[element - 1] else (element, stop)
    return segments


def _bulk_chain(chain: Chain, lead: int) -> Chain:
    """The bulk of lead 0 (left) or 1 (right) as a chain of one element between two leads of the same."""
    upward = chain.left_outward.adjoint if lead == 0 else chain.right_outward
    return Chain((chain.onsite[-lead],) * 3, (upward,) * 2, upward.adjoint, upward)


def _bulk_electrons(stack: Stack, sums: _Sums) -> np.ndarray:
    """For every monolayer of the region the count in the bulk of its material, each material counted once."""
    known: dict[tuple, float] = {}
    counts = []
    for monolayer in stack.monolayers:
        material, direction = monolayer.piece.material, monolayer.piece.magnetization
        # The count of a magnet depends on its direction only with spin-orbit coupling.
        key = (id(material), tuple(direction) if material.magnetic and material.spin_orbit_coupled else None)
        if key not in known:
            known[key] = _bulk_count(material, direction, sums)
        counts.append(known[key])
    return np.array(counts)


def _bulk_count(material: Material, direction: tuple[float, float, float], sums: _Sums) -> float:
    """Electrons per cell in the bulk of one material at E = 0; for an alloy of metals the sum over its atoms."""
    metals = {id(atom.crystal): atom.crystal for atom in material.atoms}
    if len(metals) > 1:
        if material.spin_orbit_coupled:
            raise InputError(
                f"neutral: {material.name} is an alloy with spin-orbit coupling, whose metals have no bulk count here; "
                "find the shifts without the coupling (they hardly depend on it) and give them to the layers, shift="
            )
        folded = replace(sums, kset=_folded(sums.kset, material.cells))
        counts = {
            key: _bulk_count(slater_koster_material(metal.parameters, facet=metal.facet), direction, folded)
            / len(metal.basis)
            for key, metal in metals.items()
        }
        return sum(counts[id(atom.crystal)] for atom in material.atoms)
    bulk = Stack(left=Lead(material, direction), right=Lead(material, direction))
    system = as_layered(bulk)
    value, _ = sums.of(system.chain(), _segments(bulk, system), system)
    return float(value[:, _ELECTRONS].mean())


def _folded(kset: KSet, cells: tuple[int, int]) -> KPoints:
    """The momenta of the primitive cell that a supercell folds onto those of a mesh."""
    points, weights = kset.take(np.arange(kset.size))
    images = [(points + 2 * np.pi * np.array([i, j])) / cells for i in range(cells[0]) for j in range(cells[1])]
    return KPoints(np.concatenate(images), np.tile(weights / len(images), len(images)))


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


def _verify_symmetry(layered: LayeredSystem, segments: Sequence[_Segment], sums: _Sums) -> None:
    chain = layered.chain()
    path = sea_arc(sums.fermi, chain.lowest_energy - BELOW_SPECTRUM, SYMMETRY_NODES)

    def integrand(k: np.ndarray) -> np.ndarray:
        z, step = (np.broadcast_to(x, (len(k), len(x))) for x in (path.z, path.step))
        return _kernel(chain, segments, k, z, step).reshape(len(k), -1)

    require_symmetry(sums.kset, integrand, SYMMETRY_NOISE)


def _warn_of_miscount(stack: Stack, bulk: np.ndarray, comm) -> None:
    counted = zip((m.piece.material for m in stack.monolayers), bulk, strict=True)
    for material, count in {id(material): (material, count) for material, count in counted}.values():
        limit = MISCOUNT * material.cells[0] * material.cells[1]
        if material.electrons is not None and abs(count - material.electrons) > limit:
            _warn(
                comm,
                f"neutral: bulk {material.name} holds {count:.3f} electrons on this mesh and should hold "
                f"{material.electrons:g}; take a finer kmesh, or see whether E = 0 is its Fermi level",
            )


def _warn(comm, text: str) -> None:
    if comm is None or comm.rank == 0:
        warnings.warn(text, stacklevel=3)


def _layer_variables(value: np.ndarray) -> dict:
    return {
        "electrons": (("layer",), value[:, _ELECTRONS], UNIT_ELECTRONS, "electrons on the layer"),
        "spin_moment": (("layer", "xyz"), value[:, 1:4], "mu_B per cell", "spin moment, along the majority spin"),
        "response": (("layer",), value[:, _RESPONSE], "electrons per eV and cell", "answer to a shift of that layer"),
    }


def _dataset(variables: dict, names: tuple[str, ...], area: float, kset: KSet, fermi: Fermi, more: dict) -> xr.Dataset:
    used = {dim for dims, *_ in variables.values() for dim in dims}
    return xr.Dataset(
        {name: (dims, data, {"units": u, "long_name": text}) for name, (dims, data, u, text) in variables.items()},
        coords={
            "layer": list(names),
            "xyz": ["x", "y", "z"],
            **({"lead": ["left", "right"]} if "lead" in used else {}),
        },
        attrs={
            "cell_area": area,
            "cell_area_units": "nm^2",
            "temperature": fermi.temperature,
            "temperature_units": "K",
            "kmesh": repr(kset),
            **more,
        },
    )

"""Electrons and spin moment of every layer in equilibrium, and of the bulk it is made of.

    n_l = -(1/pi) Im Int dE f(E) sum_k w_k Tr G_ll(k, E),    s_l = -(1/pi) Im Int dE f(E) sum_k w_k Tr[sigma G_ll(k, E)]

along the contour of `qtorque.contour`. The bulk of every material is counted on the same mesh, as a stack of nothing
else. That takes most of the error of the mesh out of the excess in layers far from an interface; in those next to one
the two errors differ, and 8 x 8 momenta leave 0.02 electrons on Cu/Co(111).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from qtorque import parallel
from qtorque.bloch import LayeredSystem, as_layered
from qtorque.brillouin import KPoints, KSet, as_kset, require_symmetry
from qtorque.chain import Chain
from qtorque.contour import BELOW_SPECTRUM, Fermi, sea_arc, sea_integral
from qtorque.errors import InputError, finite_number
from qtorque.green import Phases, Sweeps
from qtorque.halves import spin_trace
from qtorque.materials import Crystal, Material, slater_koster_material
from qtorque.stack import Lead, Stack
from qtorque.sweeps import SYMMETRY_NODES, SYMMETRY_NOISE, summed

DEFAULT_ACCURACY = 1e-4
"""Electrons; a tenth of what `neutral` asks for, and a hundredth of what a mesh of 16 x 16 leaves."""
SAME_SITE = 1e-9
"""eV; equal sites of a supercell differ by rounding."""
UNIT_ELECTRONS = "electrons per cell"
ELECTRONS, RESPONSE, _COLUMNS = 0, 4, 5
"""Columns of a monolayer: electrons, three of spin, response; their number."""


@dataclass(frozen=True)
class Segment:
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
        quadrature, the largest of all electron counts of layers and of bulks.

    Raises
    ------
    InputError
        For bad arguments, a mesh whose symmetry the stack does not have, an alloy whose metals have no bulk count: one
        with spin-orbit coupling, or a supercell of unlike sites that are no Slater-Koster metals.

    Notes
    -----
    n_l = -(1/pi) Im Int dE f(E) Tr G_ll; response = -(1/pi) Im Int dE f(E) Tr[G_ll G_ll], first-order perturbation
    theory. The basis is orthogonal: what an orbital holds belongs to its layer.
    """
    kset, fermi, layered = count_arguments(system, kmesh, temperature, tolerance)
    stack = system if isinstance(system, Stack) else None
    if stack is not None:
        require_references(stack, "layer_charges")
    sums = LayerSums(kset, fermi, tolerance, comm, checkpoint, progress)
    segments = monolayer_segments(system, layered)
    verify_symmetry(layered, segments, sums)
    value, error = sums.of(layered.chain(), segments, layered)
    bulk, worst = (None, 0.0) if stack is None else bulk_electrons(stack, sums)
    variables = layer_variables(value)
    counts = [_lead_electrons(lead, stack, layered, bulk, sums) for lead in (0, 1)]
    variables["lead_electrons"] = (("lead",), counts, UNIT_ELECTRONS, "electrons in a cell of the lead's bulk")
    variables["energy_error"] = energy_error_variable(max(worst, float(error[:, ELECTRONS].max())))
    names = layered.layer_names
    if stack is not None:
        names = tuple(monolayer.label for monolayer in stack.monolayers)
        excess = value[:, ELECTRONS] - bulk
        variables["bulk_electrons"] = (("layer",), bulk, UNIT_ELECTRONS, "electrons of the layer's material in bulk")
        variables["excess_electrons"] = (("layer",), excess, UNIT_ELECTRONS, "electrons beyond those of the bulk")
    return counts_dataset(variables, names, layered.area, kset, fermi, {"energy_tolerance": tolerance})


@dataclass(frozen=True, eq=False)
class LayerSums:
    """How sums over k and energy are taken: the same for a stack and for the bulk of its materials."""

    kset: KSet
    fermi: Fermi
    tolerance: float
    comm: object
    checkpoint: parallel.Checkpoint | None
    progress: str | None

    def of(self, chain: Chain, segments: Sequence[Segment], layered: LayeredSystem) -> tuple[np.ndarray, np.ndarray]:
        """(value, error), each (segments, 5): electrons, n_up - n_dn along x, y, z, response to the own shift."""
        bottom = chain.lowest_energy - BELOW_SPECTRUM
        electrons = np.tile(np.arange(_COLUMNS) == ELECTRONS, len(segments))
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


def _kernel(chain: Chain, segments: Sequence[Segment], k: np.ndarray, z: np.ndarray, step: np.ndarray) -> np.ndarray:
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


def count_arguments(system, kmesh, temperature, tolerance) -> tuple[KSet, Fermi, LayeredSystem]:
    kelvin = finite_number("temperature", temperature, "K")
    if kelvin < 0:
        raise InputError(f"temperature={temperature!r} must not be negative; give one number in K")
    if not 0 < finite_number("tolerance", tolerance, "electrons") < 1:
        raise InputError(f"tolerance={tolerance!r} electrons must lie between 0 and 1; 1e-3 is usual")
    return as_kset(kmesh), Fermi(0.0, kelvin), as_layered(system)


def monolayer_segments(system, layered: LayeredSystem) -> list[Segment]:
    """The monolayers of a stack in the elements of its chain; the elements themselves of anything else."""
    sizes = layered.dimensions[1:-1]
    if not isinstance(system, Stack):
        return [Segment(e, 0, size) for e, size in enumerate(sizes, 1)]
    segments: list[Segment] = []
    element, start = 1, 0
    for monolayer in system.monolayers:
        stop = start + 2 * monolayer.piece.material.orbitals
        segments.append(Segment(element, start, stop))
        element, start = (element + 1, 0) if stop == sizes[element - 1] else (element, stop)
    return segments


def _bulk_chain(chain: Chain, lead: int) -> Chain:
    """The bulk of lead 0 (left) or 1 (right) as a chain of one element between two leads of the same."""
    upward = chain.left_outward.adjoint if lead == 0 else chain.right_outward
    return Chain((chain.onsite[-lead],) * 3, (upward,) * 2, upward.adjoint, upward)


def stack_count(stack: Stack, sums: "LayerSums") -> tuple[np.ndarray, float]:
    """(sums of every monolayer, largest error of the electrons)."""
    system = as_layered(stack)
    value, error = sums.of(system.chain(), monolayer_segments(stack, system), system)
    return value, float(error[:, ELECTRONS].max())


_Known = dict[tuple, tuple[float, float]]
"""What was counted -> (electrons, error)."""


def bulk_electrons(stack: Stack, sums: LayerSums) -> tuple[np.ndarray, float]:
    """(count in the bulk of every monolayer's material, largest error); each material and direction counted once."""
    known: _Known = {}
    found = [_bulk_count(m.piece.material, m.piece.magnetization, sums, known) for m in stack.monolayers]
    return np.array([count for count, _ in found]), max(error for _, error in found)


def _bulk_count(
    material: Material, direction: tuple[float, float, float], sums: LayerSums, known: _Known
) -> tuple[float, float]:
    """(electrons, error) per cell in the bulk of one material; for an alloy of metals the sum over its atoms."""
    metals = _metals(material)
    if len(metals) > 1:
        cells = cells_of(material)
        folded = replace(sums, kset=_folded(sums.kset, material.cells), tolerance=sums.tolerance / cells)
        for number, metal in metals.items():
            # Alloys of one stack may share a metal, and then its crystal.
            if (number,) not in known:
                pure = slater_koster_material(metal.parameters, facet=metal.facet)
                known[number,] = _bulk_count(pure, direction, folded, {})
        each = np.array([np.array(known[id(a.crystal),]) / len(a.crystal.basis) for a in material.atoms])
        count, error = each.sum(axis=0).tolist()
        return count, error
    # The count of a magnet depends on its direction only with spin-orbit coupling.
    key = (id(material), tuple(direction) if material.magnetic and material.spin_orbit_coupled else None)
    if key not in known:
        bulk = Stack(left=Lead(material, direction), right=Lead(material, direction))
        system = as_layered(bulk)
        value, error = sums.of(system.chain(), monolayer_segments(bulk, system), system)
        known[key] = float(value[:, ELECTRONS].mean()), float(error[:, ELECTRONS].max())
    return known[key]


def _lead_electrons(
    lead: int, stack: Stack | None, layered: LayeredSystem, bulk: np.ndarray | None, sums: LayerSums
) -> float:
    """Electrons in a cell of the bulk of lead 0 (left) or 1 (right)."""
    size = layered.dimensions[-lead]
    if stack is not None and bulk is not None:
        material = (stack.left, stack.right)[lead].material
        if len(_metals(material)) < 2:
            return bulk[-lead] * (size // (2 * material.orbitals))
    value, _ = sums.of(_bulk_chain(layered.chain(), lead), [Segment(1, 0, size)], layered)
    return value[0, ELECTRONS]


def _metals(material: Material) -> dict[int, Crystal]:
    """The crystals that its atoms come from."""
    return {id(atom.crystal): atom.crystal for atom in material.atoms}


def cells_of(material: Material) -> int:
    return material.cells[0] * material.cells[1]


def require_references(stack: Stack, caller: str) -> None:
    """Refuse alloys that have no bulk to be compared with."""
    for material in {id(m.piece.material): m.piece.material for m in stack.monolayers}.values():
        if len(_metals(material)) > 1 and material.spin_orbit_coupled:
            raise InputError(
                f"{caller}: {material.name} is an alloy with spin-orbit coupling, whose metals have no bulk count; "
                "find the shifts without the coupling (they hardly depend on it) and give them to the layers, shift="
            )
        if not material.atoms and _sites_differ(material):
            raise InputError(
                f"{caller}: {material.name} is a supercell of unlike sites without Slater-Koster atoms, and nothing "
                "says what each of them holds in its bulk; take the sites from qt.slater_koster"
            )


def _sites_differ(material: Material) -> bool:
    """Whether the sites of a supercell are unlike: their rows of H at k = 0, or of its spin-dependent terms."""
    cells = cells_of(material)
    if cells == 1 or material.orbitals % cells:
        return False
    whole = material.onsite + sum(matrix + matrix.conj().T for _, matrix in material.hoppings)
    parts = [whole, material.exchange, *(() if material.spin_orbit is None else material.spin_orbit)]
    each = np.array(parts).reshape(len(parts), cells, -1, cells, material.orbitals // cells).sum(axis=3)
    return bool(np.abs(each - each[:, :1]).max() > SAME_SITE)


def _folded(kset: KSet, cells: tuple[int, int]) -> KPoints:
    """The momenta of the primitive cell that a supercell folds onto those of a mesh."""
    points, weights = kset.take(np.arange(kset.size))
    images = [(points + 2 * np.pi * np.array([i, j])) / cells for i in range(cells[0]) for j in range(cells[1])]
    return KPoints(np.concatenate(images), np.tile(weights / len(images), len(images)))


def verify_symmetry(layered: LayeredSystem, segments: Sequence[Segment], sums: LayerSums) -> None:
    chain = layered.chain()
    path = sea_arc(sums.fermi, chain.lowest_energy - BELOW_SPECTRUM, SYMMETRY_NODES)

    def integrand(k: np.ndarray) -> np.ndarray:
        z, step = (np.broadcast_to(x, (len(k), len(x))) for x in (path.z, path.step))
        return _kernel(chain, segments, k, z, step).reshape(len(k), -1)

    require_symmetry(sums.kset, integrand, SYMMETRY_NOISE)


def energy_error_variable(error: float) -> tuple:
    return (), error, UNIT_ELECTRONS, "error of the energy quadrature"


def layer_variables(value: np.ndarray) -> dict:
    return {
        "electrons": (("layer",), value[:, ELECTRONS], UNIT_ELECTRONS, "electrons on the layer"),
        "spin_moment": (("layer", "xyz"), value[:, 1:4], "mu_B per cell", "spin moment, along the majority spin"),
        "response": (("layer",), value[:, RESPONSE], "electrons per eV and cell", "answer to a shift of that layer"),
    }


def counts_dataset(
    variables: dict, names: tuple[str, ...], area: float, kset: KSet, fermi: Fermi, more: dict
) -> xr.Dataset:
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

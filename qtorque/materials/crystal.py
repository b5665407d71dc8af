"""Slater-Koster crystals: from two-centre parameters and a facet to a `Material`, and the bonds between two of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from qtorque.errors import InputError
from qtorque.materials.material import Hoppings, Material
from qtorque.materials.two_centre import (
    ANGULAR_MOMENTUM,
    ORBITALS,
    Mean,
    bond_matrix,
    both_ways,
    geometric_mean,
    integrals_between,
    mean_integrals,
    orbital_indices,
    rotation_of_orbitals,
    seen_from_other_end,
)

SHELL_LENGTHS = {
    "fcc": (0.5**0.5, 1.0, 1.5**0.5),
    "bcc": (0.75**0.5, 1.0, 2**0.5),
    "rocksalt": (0.5, 0.5**0.5, 0.75**0.5),
}
"""Distances of the first neighbours in units of the lattice constant."""
SAME_LENGTH = 1e-6
"""Relative tolerance on a distance to a neighbour: those of one crystal are exact up to rounding."""
NEIGHBOUR_RANGE = 3
"""Primitive vectors n1, n2, n3 looked at lie within -3 ... 3; third neighbours need two."""
_DECIMALS = 6
"""Digits by which the place of an atom in the cell is looked up; places are multiples of one half."""

# Facet: a1, a2, a3 and the x axis of the lab, in crystal axes and units of the lattice constant; z is along a1 x a2.
_FACETS: dict[tuple[str, str], tuple[tuple, tuple, tuple, tuple]] = {
    ("fcc", "111"): ((0.5, -0.5, 0), (0.5, 0, -0.5), (0.5, 0.5, 0), (1, -1, 0)),
    ("fcc", "001"): ((0.5, 0.5, 0), (-0.5, 0.5, 0), (0, 0.5, 0.5), (1, 1, 0)),
    ("fcc", "110"): ((0, 0, 1), (0.5, -0.5, 0), (0.5, 0, 0.5), (0, 0, 1)),
    ("bcc", "001"): ((1, 0, 0), (0, 1, 0), (0.5, 0.5, 0.5), (1, 0, 0)),
    ("bcc", "110"): ((0.5, -0.5, 0.5), (0.5, -0.5, -0.5), (1, 0, 0), (1, -1, 0)),
    ("rocksalt", "001"): ((0.5, 0.5, 0), (-0.5, 0.5, 0), (0, 0.5, 0.5), (1, 1, 0)),
}
_ON_TOP = (0.5, 0.5, 0.0)
"""Where the kind of a rocksalt sits, in units of a1, a2, a3, that stands on top of the atoms of a metal. The other kind
is at the lattice point as the next layer of the metal would be: in a hollow of the layer below."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameters:
    """Two-centre parameters of one metal, as they stand in a file.

    Attributes
    ----------
    name, label
        What it is asked for by, and its name in tables.
    structure
        "fcc", "bcc" or "rocksalt".
    lattice_constant
        nm.
    electrons
        Valence electrons in a primitive cell.
    onsite
        kind of atom -> level -> eV; the levels are s, p and either d or t2g and eg.
    bonds
        (kind, kind, shell) -> integral -> eV; shell 1 are the nearest neighbours. An integral left out is zero.
    fermi_energy, fermi_energy_magnetic
        eV, of the paramagnetic and the ferromagnetic bands.
    splitting
        Exchange splitting of the d levels, eV; 0 for a metal that is not magnetic.
    moment
        Magnetic moment in a primitive cell, Bohr magnetons.
    spin_orbit
        shell -> xi of xi L.S, eV; empty if none is known.
    sharvin
        facet -> Sharvin conductance per spin of the paramagnetic bands, 1e15/(Ohm m^2).
    density_of_states
        Of the paramagnetic bands at their Fermi level, states of both spins per eV and cell; None if it is not known.
    density_of_states_magnetic
        "up" and "down" -> states per eV and cell of the ferromagnetic bands; empty if they are not known.
    on_top_of_metal
        Of rocksalt, the kind that sits on top of the atoms of a metal, the other being in the hollows.
    source, checked, caution
        Where the numbers come from, what they were checked against, what to beware of.
    trust
        "tabulated", "fitted", "low" or, of a user's own file, "user".
    notes
        Further documentation as it stands in the file, by key: where the numbers were read, errors of a fit, other
        values found.
    """

    name: str
    label: str
    structure: str
    lattice_constant: float
    electrons: float
    onsite: Mapping[str, Mapping[str, float]]
    bonds: Mapping[tuple[str, str, int], Mapping[str, float]]
    fermi_energy: float
    fermi_energy_magnetic: float
    splitting: float
    moment: float
    spin_orbit: Mapping[str, float]
    sharvin: Mapping[str, float]
    source: str
    trust: str
    density_of_states: float | None = None
    density_of_states_magnetic: Mapping[str, float] = field(default_factory=dict)
    on_top_of_metal: str = ""
    checked: str = ""
    caution: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def facets(self) -> tuple[str, ...]:
        """The facets that can be built."""
        return tuple(facet for structure, facet in _FACETS if structure == self.structure)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of atoms in a primitive cell."""
        return tuple(self.onsite)

    def shells(self, kind: str) -> tuple[str, ...]:
        """The shells "s", "p", "d" of a kind of atom."""
        levels = self.onsite[kind]
        return tuple(shell for shell in ORBITALS if shell in levels or (shell == "d" and "t2g" in levels))

    def integrals(self, kind: str, other: str, shell: int) -> Mapping[str, float] | None:
        """All of a bond between two kinds, zero where the file leaves one out; None if the crystal has no such bond."""
        if (kind, other, shell) in self.bonds:
            given = self.bonds[kind, other, shell]
            given = both_ways(given) if kind == other else given
        elif (other, kind, shell) in self.bonds:
            given = seen_from_other_end(self.bonds[other, kind, shell])
        else:
            return None
        return {name: given.get(name, 0.0) for name in integrals_between(self.shells(kind), self.shells(other))}


@dataclass(frozen=True, eq=False)
class Crystal:
    """A metal cut along one facet.

    Attributes
    ----------
    parameters, facet
        What it is made of.
    axes
        Rows are the lab axes x, y, z in the axes of the cubic crystal; z is the normal of the facet. shape (3, 3)
    lattice
        Primitive vectors as rows in the lab frame, nm. shape (3, 3)
    """

    parameters: Parameters
    facet: str
    axes: np.ndarray
    lattice: np.ndarray

    @cached_property
    def basis(self) -> dict[str, np.ndarray]:
        """kind -> its place in units of the primitive vectors."""
        top = self.parameters.on_top_of_metal
        return {kind: np.array(_ON_TOP if kind == top else (0.0, 0.0, 0.0)) for kind in self.parameters.kinds}

    def neighbour(self, kind: str, displacement: np.ndarray) -> Mapping[str, float] | None:
        """Integrals from an atom of a kind to whatever the crystal has at a displacement; None if that is no bond."""
        shell = self._shell(displacement)
        if shell is None:
            return None
        for other, place in self.basis.items():
            steps = self.basis[kind] + displacement - place
            if np.abs(steps - np.round(steps)).max() < SAME_LENGTH:
                return self.parameters.integrals(kind, other, shell)
        return None

    def contact(self, kind: str, shell: int) -> Mapping[str, float] | None:
        """Integrals from a foreign atom, which stands in the place of a neighbour, to an atom of this kind."""
        views = (self.parameters.integrals(other, kind, shell) for other in self.parameters.kinds)
        return next((view for view in views if view is not None), None)

    def _shell(self, displacement: np.ndarray) -> int | None:
        length = np.linalg.norm(displacement @ self.lattice) / self.parameters.lattice_constant
        for number, reference in enumerate(SHELL_LENGTHS[self.parameters.structure]):
            if abs(length - reference) < SAME_LENGTH:
                return number + 1
        return None


@dataclass(frozen=True, eq=False)
class Atom:
    """One atom of a cell: its crystal, its kind, and its place in units of the primitive vectors."""

    crystal: Crystal
    kind: str
    place: np.ndarray

    @cached_property
    def indices(self) -> np.ndarray:
        """Its orbitals, as numbers among the nine of s, p and d."""
        return orbital_indices(self.crystal.parameters.shells(self.kind))


def crystal(parameters: Parameters, facet: str) -> Crystal:
    """A metal cut along a facet.

    Raises
    ------
    InputError
        For a facet that its structure does not offer.
    """
    key = (parameters.structure, facet)
    if key not in _FACETS:
        raise InputError(
            f"{parameters.name}: facet={facet!r} is not offered for {parameters.structure}; "
            f"use one of {', '.join(parameters.facets)}"
        )
    *vectors, along_x = (np.array(v, dtype=float) for v in _FACETS[key])
    normal = np.cross(vectors[0], vectors[1])
    x, z = along_x / np.linalg.norm(along_x), normal / np.linalg.norm(normal)
    axes = np.stack([x, np.cross(z, x), z])
    lattice = parameters.lattice_constant * np.array(vectors) @ axes.T
    # Exact zeros where symmetry has them.
    lattice[np.abs(lattice) < SAME_LENGTH * parameters.lattice_constant] = 0.0
    return Crystal(parameters, facet, axes, lattice)


def slater_koster_material(
    parameters: Parameters,
    *,
    facet: str,
    spin_orbit: Mapping[str, float] | None = None,
    magnetic: bool = True,
) -> Material:
    """The material of one metal cut along a facet, E = 0 at its Fermi level.

    Parameters
    ----------
    parameters
        Of a file (`qtorque.materials.read_parameters`), or changed by `dataclasses.replace`.
    facet
        Such as "111".
    spin_orbit
        shell -> xi, eV, of xi L.S on every atom that has the shell.
    magnetic
        False: the paramagnetic bands with their own Fermi level.

    Raises
    ------
    InputError
        For a facet that is not offered.
    """
    cut = crystal(parameters, facet)
    split = magnetic and parameters.splitting != 0
    if not split:
        parameters = dataclasses.replace(parameters, splitting=0.0)
        cut = dataclasses.replace(cut, parameters=parameters)
    atoms = tuple(Atom(cut, kind, place) for kind, place in cut.basis.items())
    own = slices(atoms)
    size = own[-1].stop
    onsite, exchange = np.zeros((2, size, size), dtype=complex)
    coupling = np.zeros((3, size, size), dtype=complex)
    for atom, place in zip(atoms, own, strict=True):
        onsite[place, place], exchange[place, place] = _atomic_levels(atom)
        coupling[:, place, place] = _spin_orbit_matrices(atom, spin_orbit or {})
    inside, hoppings = bonds_of_atoms(atoms, (1, 1), geometric_mean)
    return Material(
        name=f"{parameters.name}({facet})",
        lattice=cut.lattice,
        onsite=onsite + inside,
        exchange=exchange,
        hoppings=hoppings,
        spin_orbit=coupling if np.any(coupling) else None,
        electrons=parameters.electrons,
        positions=positions_of(atoms, (1, 1), cut.lattice),
        atoms=atoms,
        atom_bonds=(inside, hoppings),
    )


def slices(atoms: Sequence[Atom]) -> list[slice]:
    """Where the orbitals of every atom stand among those of the cell."""
    ends = np.cumsum([len(atom.indices) for atom in atoms]).tolist()
    return [slice(end - len(atom.indices), end) for end, atom in zip(ends, atoms, strict=True)]


def positions_of(atoms: Sequence[Atom], cells: tuple[int, int], lattice: np.ndarray) -> np.ndarray | None:
    """Positions of all orbitals of a cell, nm, shape (n, 3); None where all sit at the lattice point."""
    width = np.array([*cells, 1])
    rows = [np.tile(atom.place / width @ lattice, (len(atom.indices), 1)) for atom in atoms]
    found = np.concatenate(rows)
    return found if np.any(found) else None


def bonds_of_atoms(atoms: Sequence[Atom], cells: tuple[int, int], mean: Mean) -> tuple[np.ndarray, Hoppings]:
    """All bonds in a crystal whose cell of n x m primitive cells holds these atoms: within a cell, and the hoppings."""
    blocks = _bonds(atoms, atoms, cells, range(-NEIGHBOUR_RANGE, NEIGHBOUR_RANGE + 1), mean)
    size = slices(atoms)[-1].stop
    inside = blocks.pop((0, 0, 0), np.zeros((size, size), dtype=complex))
    return inside, tuple(sorted((item for item in blocks.items() if item[0] > (0, 0, 0)), key=lambda item: item[0]))


def hoppings_between(
    below: Material, above: Material, height: int, mean: Mean
) -> dict[tuple[int, int, int], np.ndarray]:
    """vector -> <r|H|r + vector>, shape (n, n'), from a cell of one Slater-Koster material to those of another one.

    `height` is the third component of the vectors: by how many monolayers the second material is further up.
    """
    return _bonds(below.atoms, above.atoms, below.cells, [height], mean)


def _atomic_levels(atom: Atom) -> tuple[np.ndarray, np.ndarray]:
    """On-site energies, E = 0 at the Fermi level, and exchange splitting, in the lab frame."""
    parameters = atom.crystal.parameters
    levels = parameters.onsite[atom.kind]
    t2g, eg = (levels.get(name, levels.get("d", 0.0)) for name in ("t2g", "eg"))
    energies = np.array([levels.get("s", 0.0), *(3 * [levels.get("p", 0.0)]), *(3 * [t2g]), *(2 * [eg])])
    energies -= parameters.fermi_energy_magnetic if parameters.splitting else parameters.fermi_energy
    D = rotation_of_orbitals(atom.crystal.axes)
    chosen = np.ix_(atom.indices, atom.indices)
    split = np.diag(np.where(np.arange(9) >= 4, parameters.splitting, 0.0))
    return (D * energies @ D.T)[chosen], split[chosen]


def _spin_orbit_matrices(atom: Atom, xi: Mapping[str, float]) -> np.ndarray:
    """(xi/2) L_a, shape (3, n, n)."""
    strength = np.array([0.0, *(3 * [xi.get("p", 0.0)]), *(5 * [xi.get("d", 0.0)])])
    full = 0.5 * ANGULAR_MOMENTUM * strength[:, None]
    return full[:, atom.indices[:, None], atom.indices]


def _bonds(
    atoms: Sequence[Atom], others: Sequence[Atom], cells: tuple[int, int], heights: Sequence[int], mean: Mean
) -> dict[tuple[int, int, int], np.ndarray]:
    """vector -> matrix elements from a cell with some atoms to the cell at that vector, which holds the others.

    Every atom looks up what stands at each of its displacements, so that the work grows with the number of atoms.
    """
    width = np.array([*cells, 1])
    own, theirs = slices(atoms), slices(others)
    standing = {_key(other.place): (other, place) for other, place in zip(others, theirs, strict=True)}
    offsets = {_key((b.place - a.place) % 1): (b.place - a.place) % 1 for a in atoms for b in others}
    span = range(-NEIGHBOUR_RANGE, NEIGHBOUR_RANGE + 1)
    steps = np.array([n + offset for n in itertools.product(span, span, heights) for offset in offsets.values()])
    known: dict[tuple, np.ndarray | None] = {}
    blocks: dict[tuple[int, int, int], np.ndarray] = {}
    for atom, place in zip(atoms, own, strict=True):
        targets = atom.place + steps
        vectors = np.floor(targets / width + SAME_LENGTH).astype(int)
        rests = np.round(targets - vectors * width, _DECIMALS)
        for step, vector, rest in zip(range(len(steps)), map(tuple, vectors.tolist()), rests.tolist(), strict=True):
            if tuple(rest) not in standing:
                continue
            other, there = standing[tuple(rest)]
            key = (step, id(atom.crystal), atom.kind, id(other.crystal), other.kind)
            if key not in known:
                known[key] = _bond(atom, other, steps[step], mean)
            matrix = known[key]
            if matrix is not None:
                if vector not in blocks:
                    blocks[vector] = np.zeros((own[-1].stop, theirs[-1].stop), dtype=complex)
                blocks[vector][place, there] += matrix
    return blocks


def _key(place: np.ndarray) -> tuple[float, ...]:
    """A place in the cell, to be looked up by."""
    return tuple(np.round(place, _DECIMALS).tolist())


def _bond(atom: Atom, other: Atom, displacement: np.ndarray, mean: Mean) -> np.ndarray | None:
    """<atom|H|other> over a displacement in units of the primitive vectors; None where there is no bond."""
    if not np.any(displacement):
        return None
    first, second = atom.crystal, other.crystal
    if len(first.basis) == len(second.basis):
        own, theirs = first.neighbour(atom.kind, displacement), second.neighbour(other.kind, -displacement)
        theirs = None if theirs is None else seen_from_other_end(theirs)
    else:
        shell = _contact_shell(displacement)
        if shell is None:
            return None
        own, theirs = first.contact(atom.kind, shell), second.contact(other.kind, shell)
        own = None if own is None else seen_from_other_end(own)
    if own is None or theirs is None:
        return None
    # The direction in the mean of both lattices, scaled to one in-plane net.
    scaled = sum(displacement @ c.lattice / np.linalg.norm(c.lattice[0]) for c in (first, second))
    matrix = bond_matrix(scaled / np.linalg.norm(scaled), mean_integrals(own, theirs, mean))
    return matrix[np.ix_(atom.indices, other.indices)]


def _contact_shell(displacement: np.ndarray) -> int | None:
    """The shell of a bond between (001) layers of a metal and of rocksalt: the atom straight above is the nearest."""
    if abs(displacement[2]) != 1:
        return None
    inside = np.abs(displacement[:2] + 0.5 * displacement[2])
    if inside.max() < SAME_LENGTH:
        return 1
    return 2 if np.abs(inside - 0.5).max() < SAME_LENGTH else None

"""Stacks of layers between two leads, and the Kwant builders they stand for.

`Stack.builders()` gives three genuine `kwant.Builder`s that can be plotted, extended and passed on: the region is
periodic in the plane, each lead has a third vector along the transport direction. The region begins and ends with
layers of the lead's material, as many as the longest hopping of the whole stack reaches, so that no other layer hops
into a lead and the hopping between lead and region is the lead's own.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field

import kwant
import numpy as np

from qtorque.errors import InputError, finite_number
from qtorque.materials import (
    Material,
    Mean,
    geometric_mean,
    hoppings_between,
    require_match,
    require_mean,
    require_own_bonds,
    same_hoppings,
)
from qtorque.spin import PAULI, direction_at, unit_vector

SAME_DIRECTION = 1e-9
"""Two magnetizations closer than this belong to one magnet."""


@dataclass(frozen=True)
class Layer:
    """`n` monolayers of one material.

    Parameters
    ----------
    material
        What it is made of.
    n
        Number of monolayers.
    magnetization
        Unit vector along the majority spin; without effect in a non-magnetic material.
    barrier
        The bias drops across layers marked so.
    name
        For tables and plots.
    magnet
        A name that makes this layer part of the magnet so called, and splits it from differently named neighbours.
    shift
        Rigid shift of the on-site energies, eV, as charge neutrality asks for (`qt.neutral`).
    """

    material: Material
    n: int = 1
    magnetization: tuple[float, float, float] = (0.0, 0.0, 1.0)
    barrier: bool = False
    name: str = ""
    magnet: str | None = None
    shift: float = 0.0

    def __post_init__(self) -> None:
        _check_piece(self)
        finite_number(f"layer {self.name or self.material.name}: shift", self.shift, "eV")
        if isinstance(self.n, bool) or not isinstance(self.n, (int, np.integer)) or self.n < 1:
            raise InputError(
                f"layer {self.name or self.material.name}: n={self.n!r} monolayers; give a positive integer"
            )


@dataclass(frozen=True)
class Lead:
    """A semi-infinite lead of one material; parameters as those of `Layer`."""

    material: Material
    magnetization: tuple[float, float, float] = (0.0, 0.0, 1.0)
    name: str = ""
    magnet: str | None = None

    def __post_init__(self) -> None:
        _check_piece(self)


@dataclass(frozen=True)
class _Monolayer:
    """One monolayer of the region: its piece, its label and the share of the bias it sits at."""

    piece: Layer | Lead
    label: str
    shift: float
    magnet: str | None


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Layers between a left and a right lead.

    Parameters
    ----------
    left, right
        The leads.
    layers
        From left to right; may be empty (a bare interface).
    fixed, free
        Names of the magnets that serve as reference p and as free magnet m; the first and the last from the left unless
        named. Magnets that are not named by `magnet=` are called F1, F2, ... from the left.
    unlike_hopping
        Rule for a two-centre integral between two different Slater-Koster metals: `qt.geometric_mean`,
        `qt.arithmetic_mean` or any function of both metals' integrals (eV) that does not depend on their order. Other
        materials hop by the mean of their matrices, and equal hoppings stay as they are.

    Raises
    ------
    InputError
        For lattices that do not match, materials without a rule for the hopping between them, a Slater-Koster metal
        next to another one whose own hoppings were changed, contradicting magnetizations, unknown names.

    Notes
    -----
    Bias: left of the barriers the bands shift by +eV/2, right of them by -eV/2; barrier layer i of N sits at
    eV/2 - eV i/(N + 1). Layers between two barriers, i barrier layers passed, sit half way between the barrier layers
    around them, at eV/2 - eV (i + 1/2)/(N + 1), which keeps a mirror-symmetric junction symmetric. Without a barrier
    nothing shifts.
    """

    left: Lead
    layers: tuple[Layer, ...] = field(default=())
    right: Lead
    fixed: str | None = None
    free: str | None = None
    unlike_hopping: Mean = geometric_mean

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        for given, kind in ((self.left, Lead), (self.right, Lead), *((layer, Layer) for layer in self.layers)):
            if not isinstance(given, kind):
                raise InputError(f"Stack: {given!r} is not a qt.{kind.__name__}")
        self._check_materials()
        magnets = self.magnets
        for role in ("fixed", "free"):
            name = getattr(self, role)
            if name is not None and name not in magnets:
                raise InputError(
                    f"Stack: {role}={name!r} is no magnet of this stack; known: {', '.join(magnets) or 'none'}"
                )
        if self.fixed is not None and self.fixed == self.free:
            raise InputError(f"Stack: fixed={self.fixed!r} is named free too; name two different magnets")

    def _check_materials(self) -> None:
        """Every layer lies on the net of the left lead, and has a rule for its hopping to all it reaches."""
        require_mean(self.unlike_hopping)
        pieces = self._pieces
        for position, piece in enumerate(pieces):
            require_match(self.left.material, piece.material)
            between = 0
            for other in pieces[position + 1 :]:
                require_match(piece.material, other.material)
                between += other.n if isinstance(other, Layer) else 0
                if between >= self._reach:
                    break
        metals = list({id(piece.material): piece.material for piece in pieces if piece.material.atoms}.values())
        if not all(same_hoppings(metals[0].hoppings, metal.hoppings) for metal in metals):
            for metal in metals:
                require_own_bonds(metal)

    @property
    def _pieces(self) -> list[Layer | Lead]:
        return [self.left, *self.layers, self.right]

    @property
    def _reach(self) -> int:
        """How many monolayers further the longest hopping of the stack leads."""
        return max(piece.material.reach for piece in self._pieces)

    @property
    def monolayers(self) -> tuple[_Monolayer, ...]:
        """The monolayers of the region, contact layers of the leads included."""
        pieces: list[tuple[Layer | Lead, str]] = _contact(self.left, "left lead", self._reach)
        for position, layer in enumerate(self.layers):
            name = layer.name or f"layer {position + 1}"
            pieces += [(layer, name if layer.n == 1 else f"{name} {i + 1}") for i in range(layer.n)]
        pieces += _contact(self.right, "right lead", self._reach)
        shifts = _bias_shifts([isinstance(piece, Layer) and piece.barrier for piece, _ in pieces])
        names = _magnet_names([piece for piece, _ in pieces])
        return tuple(
            _Monolayer(piece, label, shift, name)
            for (piece, label), shift, name in zip(pieces, shifts, names, strict=True)
        )

    @property
    def magnets(self) -> dict[str, np.ndarray]:
        """Name -> magnetization of every magnet, from left to right."""
        directions: dict[str, np.ndarray] = {}
        for monolayer in self.monolayers:
            if monolayer.magnet is not None:
                m = unit_vector(monolayer.piece.magnetization)
                known = directions.setdefault(monolayer.magnet, m)
                if np.abs(known - m).max() > SAME_DIRECTION:
                    raise InputError(
                        f"magnetization={tuple(m.tolist())} of {monolayer.label} differs from that of its magnet "
                        f"{monolayer.magnet} {tuple(known.tolist())}; split them with magnet=, or make them equal"
                    )
        return directions

    @property
    def fixed_magnet(self) -> str | None:
        """The named fixed magnet, else the first one from the left that is not named free."""
        return self.fixed or next((name for name in self.magnets if name != self.free), self.free)

    @property
    def free_magnet(self) -> str | None:
        """The named free magnet, else the last one from the left that is not named fixed."""
        return self.free or next((name for name in reversed(self.magnets) if name != self.fixed), self.fixed)

    @property
    def has_barrier(self) -> bool:
        return any(layer.barrier for layer in self.layers)

    @property
    def area(self) -> float:
        """In-plane cell of the left lead, nm^2."""
        a1, a2, _ = self.left.material.lattice
        return float(np.linalg.norm(np.cross(a1, a2)))

    def params(self, angle: float | None = None, voltage: float = 0.0) -> dict:
        """Kwant parameters: `voltage` in V and a direction `m_<name>` for every magnet.

        With an `angle` (rad) the free magnet points along (sin, 0, cos) in the frame where the fixed one is z;
        without one it keeps its declared magnetization.
        """
        directions = self.magnets
        fixed, free = self.fixed_magnet, self.free_magnet
        if angle is not None and fixed is not None and free is not None and fixed != free:
            directions[free] = direction_at(angle, directions[fixed])
        return {"voltage": voltage, **{f"m_{name}": m for name, m in directions.items()}}

    def builders(self) -> tuple[kwant.Builder, kwant.Builder, kwant.Builder]:
        """(region, left lead, right lead), with on-site functions of `voltage` and the `m_<name>` of `params`."""
        a1, a2, a3 = self.left.material.lattice
        # Sites of unlike numbers of orbitals are of different families on one lattice.
        families = {
            n: kwant.lattice.general([a1, a2, a3], norbs=2 * n, name=name)
            for name, n in _family_names([m.piece.material.orbitals for m in self.monolayers]).items()
        }
        region = kwant.Builder(kwant.TranslationalSymmetry(tuple(a1), tuple(a2)))
        monolayers = self.monolayers
        materials = [monolayer.piece.material for monolayer in monolayers]
        lattices = [families[material.orbitals] for material in materials]
        for height, monolayer in enumerate(monolayers):
            region[lattices[height](0, 0, height)] = _onsite(monolayer)
        reach = self._reach
        # Pairs of the same two materials share their matrices.
        known: dict[tuple[int, int, int], list[tuple[tuple[int, int, int], np.ndarray]]] = {}
        for height, below in enumerate(materials):
            for other in range(height, min(height + reach + 1, len(materials))):
                key = (id(below), id(materials[other]), other - height)
                if key not in known:
                    known[key] = self._hoppings(below, materials[other], other - height)
                for (n1, n2, _), matrix in known[key]:
                    region[lattices[height](0, 0, height), lattices[other](n1, n2, other)] = matrix
        leads = []
        for monolayer, lattice, sign in ((monolayers[0], lattices[0], -1), (monolayers[-1], lattices[-1], 1)):
            material = monolayer.piece.material
            # Kwant's leads hop to the next cell only.
            period = tuple(sign * material.reach * a3)
            lead = kwant.Builder(kwant.TranslationalSymmetry(tuple(a1), tuple(a2), period))
            for height in range(material.reach):
                lead[lattice(0, 0, height)] = _onsite(monolayer)
            for height in range(material.reach):
                for (n1, n2, n3), matrix in material.hoppings:
                    lead[lattice(0, 0, height), lattice(n1, n2, height + n3)] = np.kron(matrix, PAULI[0])
            leads.append(lead)
        return region, leads[0], leads[1]

    def _hoppings(self, below: Material, above: Material, height: int) -> list[tuple[tuple[int, int, int], np.ndarray]]:
        """The hoppings from a monolayer to the one `height` further up, spin as the last tensor factor."""
        if below.atoms and above.atoms and not same_hoppings(below.hoppings, above.hoppings):
            found = hoppings_between(below, above, height, self.unlike_hopping)
        else:
            # A mean of matrices needs no choice of a phase for the orbitals; equal ones stay as they are.
            vectors = {_upward(v) for material in (below, above) for v, _ in material.hoppings}
            found = {
                v: 0.5 * (_stored_hopping(below, v) + _stored_hopping(above, v)) for v in vectors if v[2] == height
            }
        return [(v, np.kron(matrix, PAULI[0])) for v, matrix in sorted(found.items()) if np.any(matrix)]

    def wrapped(self, k: tuple[float, float] | None = None) -> kwant.system.FiniteSystem:
        """A finalised Kwant system at the phases `k` = (k.a1, k.a2); without `k` they stay parameters k_x, k_y."""
        return wrap(*self.builders(), k=k)


def wrap(
    region: kwant.Builder, left: kwant.Builder, right: kwant.Builder, *, k: tuple[float, float] | None = None
) -> kwant.system.FiniteSystem:
    """Finalise region and leads with `kwant.wraparound`: in-plane momenta as parameters k_x, k_y, or bound to `k`.

    The periods of a lead may stand in any order, and the third one may point inwards or be shifted in the plane.
    """
    whole = kwant.wraparound.wraparound(region)
    for lead, side in ((left, -1), (right, 1)):
        turned = _outward(lead, region, side)
        whole.attach_lead(kwant.wraparound.wraparound(turned, keep=2, coordinate_names="xyz"))
    if k is None:
        return whole.finalized()
    momenta = dict(zip(("k_x", "k_y"), (float(x) for x in k), strict=True))
    bound = _bind(whole, momenta)
    for lead in whole.leads:
        bound.leads.append(kwant.builder.BuilderLead(_bind(lead.builder, momenta), lead.interface, lead.padding))
    return bound.finalized()


def _outward(lead: kwant.Builder, region: kwant.Builder, side: int) -> kwant.Builder:
    """The lead with periods (a1, a2, a3'), a3' outwards and such that its sites are those the wrapped region keeps.

    Kwant attaches a lead where its sites coincide with those of the region, and says nothing if they are other images.
    """
    a1, a2 = (np.asarray(p) for p in region.symmetry.periods)
    periods = [np.asarray(p) for p in lead.symmetry.periods]
    third = next(p for p in periods if not any(np.allclose(p, a) for a in (a1, a2)))
    up = np.cross(a1, a2)
    if side * np.sign(up[2] or 1) * (third @ up) < 0:
        third = -third
    symmetry = kwant.TranslationalSymmetry(tuple(a1), tuple(a2), tuple(third))
    site = region.symmetry.to_fd(next(iter(lead.sites())))
    shift = region.symmetry.which(symmetry.act((0, 0, 1), site))
    third = third - shift[0] * a1 - shift[1] * a2
    symmetry = kwant.TranslationalSymmetry(tuple(a1), tuple(a2), tuple(third))
    turned = kwant.Builder(symmetry, conservation_law=lead.conservation_law)
    for site, value in lead.site_value_pairs():
        turned[site] = value
    for hopping, value in lead.hopping_value_pairs():
        turned[hopping] = value
    cell = list(turned.sites())
    if any(any(region.symmetry.which(turned.symmetry.act((0, 0, n), site))) for site in cell for n in (0, 1)):
        raise InputError(
            f"the lead with periods {[p.tolist() for p in periods]} holds other images of its sites than the wrapped "
            "region; shift its third period in the plane, or use engine='layered'"
        )
    return turned


def _bind(builder: kwant.Builder, momenta: Mapping[str, float]) -> kwant.Builder:
    """A copy of a wrapped builder whose value functions no longer ask for the momenta."""

    def bind(value):
        if not callable(value):
            return value
        names = list(inspect.signature(value).parameters)
        kept = [name for name in names if name not in momenta]

        def bound(*arguments):
            given = dict(zip(kept, arguments, strict=True))
            return value(*(momenta[name] if name in momenta else given[name] for name in names))

        _declare(bound, kept)
        return bound

    copy = kwant.Builder(builder.symmetry, conservation_law=bind(builder.conservation_law))
    for site, value in builder.site_value_pairs():
        copy[site] = bind(value)
    for hopping, value in builder.hopping_value_pairs():
        copy[hopping] = bind(value)
    return copy


def _declare(function, names) -> None:
    """Give a function the positional parameters that Kwant will look up by name."""
    kind = inspect.Parameter.POSITIONAL_ONLY
    function.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])


def _onsite(monolayer: _Monolayer):
    """The on-site function of a monolayer: onsite + shift V - (1/2) D m.sigma, spin as the last tensor factor."""
    material, shift = monolayer.piece.material, monolayer.shift
    energy = np.kron(material.onsite, PAULI[0])
    unit = np.eye(len(energy))
    if isinstance(monolayer.piece, Layer) and monolayer.piece.shift:
        energy = energy + monolayer.piece.shift * unit
    if material.spin_orbit is not None:
        energy = energy + sum(np.kron(material.spin_orbit[a], PAULI[a + 1]) for a in range(3))
    splitting = [np.kron(-0.5 * material.exchange, PAULI[a]) for a in (1, 2, 3)]

    def nonmagnetic(site, voltage):
        return energy + shift * voltage * unit

    if monolayer.magnet is None:
        return nonmagnetic

    def magnetic(site, voltage, m):
        return energy + shift * voltage * unit + sum(m[a] * splitting[a] for a in range(3))

    _declare(magnetic, ["site", "voltage", f"m_{monolayer.magnet}"])
    return magnetic


def _upward(vector: tuple[int, int, int]) -> tuple[int, int, int]:
    return vector if vector[2] >= 0 else (-vector[0], -vector[1], -vector[2])


def _stored_hopping(material: Material, vector: tuple[int, int, int]) -> np.ndarray:
    opposite = tuple(-x for x in vector)
    for stored, matrix in material.hoppings:
        if stored == vector:
            return matrix
        if stored == opposite:
            return matrix.conj().T
    return np.zeros((material.orbitals, material.orbitals))


def _contact(lead: Lead, name: str, count: int) -> list[tuple[Layer | Lead, str]]:
    """The first monolayers of a lead, which belong to the region."""
    label = lead.name or name
    return [(lead, label if count == 1 else f"{label} {i + 1}") for i in range(count)]


def _family_names(orbitals: list[int]) -> dict[str, int]:
    """Name of a family of sites -> number of orbitals; the one of the left lead has no name."""
    return {"" if n == orbitals[0] else f"{n} orbitals": n for n in orbitals}


def _bias_shifts(barrier: list[bool]) -> list[float]:
    total = sum(barrier)
    shifts, passed = [], 0
    for is_barrier in barrier:
        passed += is_barrier
        if total == 0:
            shifts.append(0.0)
        elif is_barrier:
            shifts.append(0.5 - passed / (total + 1))
        elif passed in (0, total):
            shifts.append(0.5 if passed == 0 else -0.5)
        else:
            shifts.append(0.5 - (passed + 0.5) / (total + 1))
    return shifts


def _magnet_names(pieces: list[Layer | Lead]) -> list[str | None]:
    """The magnet of every monolayer: a maximal run of magnetic neighbours, split where `magnet=` changes."""
    names: list[str | None] = []
    runs = 0
    last: Layer | Lead | None = None
    for piece in pieces:
        if not piece.material.magnetic:
            names.append(None)
            last = None
            continue
        if last is None or last.magnet != piece.magnet:
            runs += 1
            name = piece.magnet or f"F{runs}"
            if name in names:
                raise InputError(f"magnet={name!r} names two magnets that do not touch; give each its own name")
        names.append(name)
        last = piece
    return names


def _check_piece(piece: Layer | Lead) -> None:
    if not isinstance(piece.material, Material):
        raise InputError(
            f"material={piece.material!r} is no material; make one with qt.slater_koster(...) or qt.single_band(...)"
        )
    unit_vector(piece.magnetization)
    if piece.magnet is not None and not (isinstance(piece.magnet, str) and piece.magnet.isidentifier()):
        raise InputError(f"magnet={piece.magnet!r} is no name; use letters, digits and underscores")
    if piece.magnet is not None and not piece.material.magnetic:
        raise InputError(f"magnet={piece.magnet!r}: {piece.material.name} has no exchange; leave magnet out")

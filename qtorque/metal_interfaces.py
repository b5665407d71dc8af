"""Interfaces between real metals by name: the stacks that hold one, and what has been published about it."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qtorque.errors import InputError
from qtorque.materials import Material, Mean, geometric_mean, slater_koster
from qtorque.stack import Layer, Lead, Stack
from qtorque.supercell import in_plane_supercell, site_generator

FACET_SYMMETRY = {
    ("fcc", "111"): "hexagonal",
    ("fcc", "001"): "square",
    ("fcc", "110"): "rectangular",
    ("bcc", "001"): "square",
    ("bcc", "110"): "rhombic",
    ("rocksalt", "001"): "square",
}
"""(structure, facet) -> largest symmetry of a mesh; fcc (111) has it with k and -k equal, by time reversal."""


@dataclasses.dataclass(frozen=True)
class Interface:
    """A normal metal and a magnet by their names in the library, cut along one facet.

    Attributes
    ----------
    normal, magnet
        Such as "Cu" and "Co"; the normal metal is the left lead.
    facet
        Such as "111", of both.
    unlike_hopping
        Rule for a two-centre integral between the two metals.
    file
        A TOML file of your own, as in `qt.slater_koster`.
    """

    normal: str
    magnet: str
    facet: str
    unlike_hopping: Mean = geometric_mean
    file: str | None = None

    @property
    def label(self) -> str:
        return f"{self.normal}/{self.magnet}({self.facet})"

    @functools.cached_property
    def metals(self) -> tuple[Material, Material]:
        """The normal metal and the magnet.

        Raises
        ------
        InputError
            For an unknown metal or facet, a normal metal that is magnetic, a magnet that is not.
        """
        normal, magnet = (slater_koster(name, facet=self.facet, file=self.file) for name in (self.normal, self.magnet))
        if normal.magnetic:
            raise InputError(f"interface {self.label}: {self.normal} is magnetic; give the normal metal first")
        if not magnet.magnetic:
            raise InputError(f"interface {self.label}: {self.magnet} is not magnetic; give the magnet second")
        return normal, magnet


def read_interfaces(text: str, *, unlike_hopping: Mean = geometric_mean, file: str | None = None) -> list[Interface]:
    """The interfaces of a text such as "Cu/Co:111,Cr/Fe:001".

    Raises
    ------
    InputError
        For a part that is not normal/magnet:facet, one that is given twice, and what `Interface.metals` refuses.
    """
    found: list[Interface] = []
    for part in (part.strip() for part in text.split(",")):
        metals, _, facet = part.partition(":")
        names = metals.split("/")
        if len(names) != 2 or not all((*names, facet)):
            raise InputError(f"interface {part!r} is not normal/magnet:facet; give one such as Cu/Co:111")
        interface = Interface(names[0], names[1], facet, unlike_hopping, file)
        if interface in found:
            raise InputError(f"interface {part!r} is given twice; give each once")
        # Refused here: metals that are unknown, and lattices that do not match.
        clean_stack(interface)
        found.append(interface)
    return found


def mesh_symmetry(stack: Stack) -> str | None:
    """The largest `symmetry=` of a `qt.kmesh` for conductances and mixing conductances of a Slater-Koster stack.

    "inversion" (k and -k) for in-plane supercells. None with spin-orbit coupling, for unlike facets and for materials
    that are not from `qt.slater_koster`. Torques need more than that of the layers, see `qt.kmesh`. The transmitted
    mixing conductance of a film has it as the mean of both directions, see `qtorque.magnetic_films`.
    """
    materials = [stack.left.material, *(layer.material for layer in stack.layers), stack.right.material]
    if any(m.spin_orbit_coupled or not m.atoms for m in materials):
        return None
    if any(m.cells != (1, 1) for m in materials):
        return "inversion"
    crystals = [m.atoms[0].crystal for m in materials]
    found = {FACET_SYMMETRY.get((c.parameters.structure, c.facet)) for c in crystals}
    return found.pop() if len(found) == 1 else None


def clean_stack(interface: Interface) -> Stack:
    """The specular interface N | F of two semi-infinite metals."""
    normal, magnet = interface.metals
    return Stack(left=Lead(normal), right=Lead(magnet), unlike_hopping=interface.unlike_hopping)


def film_stack(interface: Interface, layers: int) -> Stack:
    """The film N | F (layers) | N."""
    normal, magnet = interface.metals
    film = (Layer(magnet, layers),)
    return Stack(left=Lead(normal), layers=film, right=Lead(normal), unlike_hopping=interface.unlike_hopping)


def padded_stack(interface: Interface, layers: int) -> Stack:
    """The clean interface with some layers of both metals beside it, which `qt.neutral` may shift."""
    normal, magnet = interface.metals
    beside = (Layer(normal, layers), Layer(magnet, layers))
    return Stack(left=Lead(normal), layers=beside, right=Lead(magnet), unlike_hopping=interface.unlike_hopping)


def alloy_sites(cells: int, layer: int, *, configuration: int, seed: int = 1) -> set[tuple[int, int]]:
    """The sites that the magnet holds in alloyed layer 0 (beside the normal metal) or 1 of n x n sites: half of them.

    Of an odd number the layer beside a metal has one more of that metal.

    Raises
    ------
    InputError
        For fewer than two sites a side.
    """
    if cells < 2:
        raise InputError(f"cells={cells}: one site a layer is no alloy; give two or more a side")
    places = [(i, j) for i in range(cells) for j in range(cells)]
    lots = [site_generator(seed=seed, configuration=configuration, layer=layer, site=p).random() for p in places]
    return {places[i] for i in np.argsort(lots)[: (cells**2 + layer) // 2]}


def rough_stack(interface: Interface, cells: int, *, configuration: int, seed: int = 1) -> Stack:
    """One configuration of an interface whose two layers are alloys of half and half, in supercells of n x n sites."""
    normal, magnet = interface.metals

    def cell(sites: Sequence[Sequence[Material]]) -> Material:
        return in_plane_supercell(sites, unlike_hopping=interface.unlike_hopping)

    def alloy(number: int) -> Layer:
        of_magnet = alloy_sites(cells, number, configuration=configuration, seed=seed)
        rows = [[magnet if (i, j) in of_magnet else normal for j in range(cells)] for i in range(cells)]
        return Layer(cell(rows), name=f"alloy {number + 1}")

    left, right = (Lead(cell([[metal] * cells] * cells)) for metal in (normal, magnet))
    return Stack(left=left, layers=(alloy(0), alloy(1)), right=right, unlike_hopping=interface.unlike_hopping)


@functools.cache
def _literature() -> list[dict[str, Any]]:
    path = importlib.resources.files("qtorque.materials") / "data" / "literature_interfaces.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["interface"]


def published(interface: Interface) -> dict[str, Any]:
    """G_up, G_dn, g_mix_re and g_mix_im (its size) as [lowest, highest] in 1e15 Ohm^-1 m^-2, and their source.

    Empty where nothing is known, and where a metal is one of the interface's own file. The file of the package is
    qtorque/materials/data/literature_interfaces.toml.
    """
    names = (interface.normal, interface.magnet, interface.facet)
    if interface.file is not None:
        own = tomllib.loads(Path(interface.file).read_text(encoding="utf-8"))["material"]
        if own.keys() & set(names[:2]):
            return {}
    return next((e for e in _literature() if (e["normal"], e["magnet"], e["facet"]) == names), {})

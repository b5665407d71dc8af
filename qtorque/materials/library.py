"""Slater-Koster parameters from TOML files: those of the package and a user's own."""

import functools
import importlib.resources
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path

from qtorque.errors import InputError
from qtorque.materials.crystal import SHELL_LENGTHS, Parameters, slater_koster_material
from qtorque.materials.material import Material
from qtorque.materials.two_centre import ORBITALS, require_integrals

ANGSTROM = 0.1
"""nm"""
TRUST = {
    "tabulated": "published table, bands recomputed",
    "fitted": "own fit to published bands",
    "low": "for demonstrations only",
    "user": "a user's own file",
}
"""What the levels of trust mean."""
_REQUIRED = ("structure", "lattice_constant_angstrom", "valence_electrons", "source", "fermi_level_eV", "onsite_eV")
_ROCKSALT_KINDS = 2


def slater_koster(
    name: str,
    *,
    facet: str,
    spin_orbit: bool | Mapping[str, float] = False,
    magnetic: bool = True,
    file: str | Path | None = None,
) -> Material:
    """A real metal cut along a facet: orthogonal s, p, d two-centre parameters, E = 0 at its Fermi level.

    H = sum of two-centre integrals over up to three shells of neighbours, with -(1/2) D m.sigma on the d orbitals of a
    magnet and xi L.S where spin-orbit coupling is asked for. Orbitals are those of the lab frame, z along the normal.

    Parameters
    ----------
    name
        Such as "Cu"; `python -m qtorque materials` lists them with their sources.
    facet
        "111", "001" or "110" of fcc, "001" or "110" of bcc.
    spin_orbit
        True for the default xi of the file, or {"p": xi, "d": xi} in eV. The Fermi level stays that of the bands
        without it (`qt.fermi_energy` gives the change).
    magnetic
        False: the paramagnetic bands of a magnet, with their own Fermi level.
    file
        A TOML file of your own, in the form of qtorque/materials/data/slater_koster.toml; looked at before the
        package's.

    Returns
    -------
    Material
        Lengths in nm, energies in eV.

    Raises
    ------
    InputError
        For an unknown name or facet, a metal whose spin-orbit coupling is not in the file, a file with mistakes.

    Notes
    -----
    J. C. Slater and G. F. Koster, Phys. Rev. 94, 1498 (1954); D. A. Papaconstantopoulos, Handbook of the Band Structure
    of Elemental Solids (from memory). The parameters are those of the bulk: charge that flows at surfaces and between
    metals is left out unless `qt.neutral` shifts the layers.
    """
    parameters = read_parameters(name, file)
    if not isinstance(facet, str):
        raise InputError(f"slater_koster: facet={facet!r} is no text; give one such as '{parameters.facets[0]}'")
    return slater_koster_material(
        parameters, facet=facet, spin_orbit=_coupling(parameters, spin_orbit), magnetic=magnetic
    )


def material_names(file: str | Path | None = None) -> tuple[str, ...]:
    """The metals of a file of your own and of the package."""
    own = _read(Path(file)) if file is not None else {}
    return tuple({**own, **_package()})


def read_parameters(name: str, file: str | Path | None = None) -> Parameters:
    """The two-centre parameters of one metal.

    Raises
    ------
    InputError
        For an unknown name, a file that cannot be read or holds mistakes.
    """
    own = _read(Path(file)) if file is not None else {}
    for materials, where in ((own, str(file)), (_package(), "the package")):
        if name in materials:
            return _parameters(name, materials[name], where)
    raise InputError(f"material {name!r} is unknown; use one of {', '.join(material_names(file))}, or give file=")


def _coupling(parameters: Parameters, spin_orbit: bool | Mapping[str, float]) -> Mapping[str, float]:
    if isinstance(spin_orbit, Mapping):
        for shell, xi in spin_orbit.items():
            number = isinstance(xi, (int, float)) and not isinstance(xi, bool) and math.isfinite(xi)
            if shell not in ("p", "d") or not number or xi < 0:
                raise InputError(f"spin_orbit={{{shell!r}: {xi!r}}}: give xi of 'p' or 'd' in eV, not negative")
        return spin_orbit
    if not isinstance(spin_orbit, bool):
        raise InputError(f"spin_orbit={spin_orbit!r}: give True, False or a dictionary such as {{'d': 0.1}} in eV")
    if spin_orbit and not parameters.spin_orbit:
        raise InputError(
            f"{parameters.name} has no spin-orbit coupling in the file; give one, such as spin_orbit={{'d': 0.1}} in eV"
        )
    return parameters.spin_orbit if spin_orbit else {}


@functools.cache
def _package() -> dict:
    path = importlib.resources.files("qtorque.materials") / "data" / "slater_koster.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["material"]


def _read(path: Path) -> dict:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"file={str(path)!r} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"file={str(path)!r} is no TOML: {error}") from None
    materials = content.get("material")
    if not isinstance(materials, dict) or not all(isinstance(entry, dict) for entry in materials.values()):
        raise InputError(f"file={str(path)!r} has no tables [material.NAME]; see qtorque/materials/data")
    return materials


def _parameters(name: str, entry: Mapping, where: str) -> Parameters:
    """One table of a file, checked."""
    place = f"{where}: material.{name}"
    missing = [key for key in _REQUIRED if key not in entry]
    if missing:
        raise InputError(f"{place} lacks {', '.join(missing)}")
    structure = entry["structure"]
    if structure not in SHELL_LENGTHS:
        raise InputError(f"{place}: structure={structure!r} is not one of {', '.join(SHELL_LENGTHS)}")
    onsite, bonds = _compound(entry, place) if structure == "rocksalt" else _element(name, entry)
    for kind, levels in onsite.items():
        whole = {"s", "p", "d"} >= levels.keys() or {"s", "p", "t2g", "eg"} >= levels.keys()
        if not levels or not whole or ("t2g" in levels) != ("eg" in levels):
            raise InputError(f"{place}: onsite_eV of {kind} has {', '.join(levels)}; give s, p, and d or t2g and eg")
        for level, value in levels.items():
            _number(value, f"{place}: onsite_eV {level}")
    if not bonds:
        raise InputError(f"{place} has no bonds; give shell1_eV")
    for bond, integrals in bonds.items():
        require_integrals(integrals, f"{place}: bond {bond[0]}-{bond[1]}, shell {bond[2]}")
    magnet = entry.get("ferromagnet", {})
    if magnet and not {"splitting_eV", "fermi_level_eV", "moment_bohr_magnetons"} <= magnet.keys():
        raise InputError(f"{place}.ferromagnet: give splitting_eV, fermi_level_eV and moment_bohr_magnetons")
    splitting = _number(magnet.get("splitting_eV", 0.0), f"{place}: splitting_eV")
    if splitting < 0:
        raise InputError(f"{place}: splitting_eV={splitting} is negative; the majority is along +m, give its size")
    constant = _number(entry["lattice_constant_angstrom"], f"{place}: lattice_constant_angstrom")
    if constant <= 0:
        raise InputError(f"{place}: lattice_constant_angstrom={constant} must be positive")
    fermi_energy = _number(entry["fermi_level_eV"], f"{place}: fermi_level_eV")
    return Parameters(
        name=name,
        label=str(entry.get("label", name)),
        structure=structure,
        lattice_constant=ANGSTROM * constant,
        electrons=_number(entry["valence_electrons"], f"{place}: valence_electrons"),
        onsite=onsite,
        bonds=bonds,
        fermi_energy=fermi_energy,
        fermi_energy_magnetic=_number(magnet.get("fermi_level_eV", fermi_energy), f"{place}: fermi_level_eV"),
        splitting=splitting,
        moment=_number(magnet.get("moment_bohr_magnetons", 0.0), f"{place}: moment_bohr_magnetons"),
        spin_orbit={shell: _number(xi, f"{place}: xi") for shell, xi in entry.get("spin_orbit_eV", {}).items()},
        sharvin={facet: _number(value, f"{place}: sharvin") for facet, value in entry.get("sharvin", {}).items()},
        source=str(entry["source"]),
        trust=str(entry.get("trust", "user")),
        checked=str(entry.get("checked", "")),
        caution=str(entry.get("caution", "")),
    )


def _number(value, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{place}={value!r} is not a finite number")
    return float(value)


def _element(name: str, entry: Mapping) -> tuple[dict, dict]:
    """On-site levels and bonds of a crystal with one kind of atom."""
    shells = {int(key[5:-3]): entry[key] for key in entry if key.startswith("shell") and key.endswith("_eV")}
    return {name: dict(entry["onsite_eV"])}, {(name, name, shell): dict(bond) for shell, bond in shells.items()}


def _compound(entry: Mapping, place: str) -> tuple[dict, dict]:
    """The same of rocksalt: levels KIND_level, bonds KIND_KIND_shell."""
    onsite: dict[str, dict[str, float]] = {}
    for key, value in entry["onsite_eV"].items():
        kind, _, level = key.partition("_")
        if level not in ORBITALS:
            raise InputError(f"{place}: onsite_eV {key!r} is no level; name it such as O_s")
        onsite.setdefault(kind, {})[level] = value
    if len(onsite) != _ROCKSALT_KINDS:
        raise InputError(f"{place}: onsite_eV has the kinds {', '.join(onsite)}; rocksalt has two")
    bonds = {}
    for key, integrals in entry.get("bonds_eV", {}).items():
        parts = key.split("_")
        if len(parts) != 3 or not set(parts[:2]) <= set(onsite) or parts[2] not in ("1", "2", "3"):
            raise InputError(f"{place}: bonds_eV {key!r} is no bond; name it such as O_Mg_1")
        bonds[parts[0], parts[1], int(parts[2])] = dict(integrals)
    return onsite, bonds

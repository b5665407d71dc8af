"""One table [material.NAME] of a file of Slater-Koster parameters, checked and made into `Parameters`."""

import math
from collections.abc import Iterable, Mapping

from qtorque.errors import InputError
from qtorque.materials.crystal import SHELL_LENGTHS, Parameters
from qtorque.materials.two_centre import INTEGRALS, ORBITALS, integrals_between

ANGSTROM = 0.1
"""nm"""
_REQUIRED = ("structure", "lattice_constant_angstrom", "valence_electrons", "source", "fermi_level_eV", "onsite_eV")
_TEXTS = ("label", "trust", "checked", "caution")
_NOTES = (
    "read_from",
    "spin_orbit_read_from",
    "spin_orbit_alternatives",
    "fermi_level_tabulated_eV",
    "fit_rms_occupied_eV",
    "fit_rms_near_fermi_level_eV",
)
"""Documentation that is carried along as it stands."""
_NUMBERS = ("density_of_states_per_eV", "sharvin", "spin_orbit_eV", "ferromagnet")
_ELEMENT_BONDS = ("shell1_eV", "shell2_eV", "shell3_eV")
_ROCKSALT_BONDS = ("bonds_eV", "on_top_of_metal")
_MAGNET_REQUIRED = ("splitting_eV", "fermi_level_eV", "moment_bohr_magnetons")
_MAGNET_NOTES = ("stoner_parameter",)
_SPINS = ("up", "down")
_ROCKSALT_KINDS = 2
_LIKE_SHELL = 2
"""Second neighbours of rocksalt are of the same kind, first and third ones of the other."""


def parameters_of_table(name: str, table: Mapping, where: str) -> Parameters:
    """The parameters of one material.

    Raises
    ------
    InputError
        For anything that is missing, of another form, unknown or without meaning; the message names the key.
    """
    place = f"{where}: material.{name}"
    _require_keys(table, _REQUIRED, place)
    structure = _text(table["structure"], f"{place}: structure")
    if structure not in SHELL_LENGTHS:
        raise InputError(f"{place}: structure={structure!r} is not one of {', '.join(SHELL_LENGTHS)}")
    bond_keys = _ROCKSALT_BONDS if structure == "rocksalt" else _ELEMENT_BONDS
    _require_known(table, (*_REQUIRED, *_TEXTS, *_NOTES, *_NUMBERS, *bond_keys), place)
    onsite, bonds = _compound(table, place) if structure == "rocksalt" else _element(name, table, place)
    shells = {kind: _shells(kind, levels, place) for kind, levels in onsite.items()}
    if not bonds:
        raise InputError(f"{place} has no bonds; give {bond_keys[0]}")
    for bond, integrals in bonds.items():
        _check_bond(bond, integrals, shells, place)
    present = {shell for each in shells.values() for shell in each}
    coupling = _numbers(table.get("spin_orbit_eV", {}), f"{place}: spin_orbit_eV")
    for shell, xi in coupling.items():
        if shell not in ("p", "d") or shell not in present or xi < 0:
            raise InputError(f"{place}: spin_orbit_eV {shell}={xi}; give xi of a shell p or d it has, not negative")
    magnet = _magnet(table, present, place)
    constant = _number(table["lattice_constant_angstrom"], f"{place}: lattice_constant_angstrom")
    if constant <= 0:
        raise InputError(f"{place}: lattice_constant_angstrom={constant} must be positive")
    electrons = _number(table["valence_electrons"], f"{place}: valence_electrons")
    most = 2 * sum(len(ORBITALS[shell]) for each in shells.values() for shell in each)
    if not 0 < electrons <= most:
        raise InputError(f"{place}: valence_electrons={electrons:g}; give a number above 0, up to {most} of its bands")
    fermi_energy = _number(table["fermi_level_eV"], f"{place}: fermi_level_eV")
    states = table.get("density_of_states_per_eV")
    return Parameters(
        name=name,
        label=_text(table.get("label", name), f"{place}: label"),
        structure=structure,
        lattice_constant=ANGSTROM * constant,
        electrons=electrons,
        onsite=onsite,
        bonds=bonds,
        fermi_energy=fermi_energy,
        fermi_energy_magnetic=_number(magnet.get("fermi_level_eV", fermi_energy), f"{place}: fermi_level_eV"),
        splitting=_number(magnet.get("splitting_eV", 0.0), f"{place}: splitting_eV"),
        moment=_number(magnet.get("moment_bohr_magnetons", 0.0), f"{place}: moment_bohr_magnetons"),
        spin_orbit=coupling,
        sharvin=_numbers(table.get("sharvin", {}), f"{place}: sharvin"),
        source=_text(table["source"], f"{place}: source"),
        trust=_text(table.get("trust", "user"), f"{place}: trust"),
        density_of_states=None if states is None else _number(states, f"{place}: density_of_states_per_eV"),
        density_of_states_magnetic=_spin_numbers(magnet, f"{place}.ferromagnet: density_of_states_per_eV"),
        on_top_of_metal=table.get("on_top_of_metal", ""),
        checked=_text(table.get("checked", ""), f"{place}: checked"),
        caution=_text(table.get("caution", ""), f"{place}: caution"),
        notes={
            key: _note(found[key])
            for found, keys in ((table, _NOTES), (magnet, _MAGNET_NOTES))
            for key in keys
            if key in found
        },
    )


def _require_keys(table: Mapping, keys: Iterable[str], place: str) -> None:
    missing = [key for key in keys if key not in table]
    if missing:
        raise InputError(f"{place} lacks {', '.join(missing)}")


def _require_known(table: Mapping, keys: Iterable[str], place: str) -> None:
    unknown = [key for key in table if key not in keys]
    if unknown:
        raise InputError(f"{place}: unknown {', '.join(unknown)}; use {', '.join(keys)}")


def _table(value, place: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise InputError(f"{place}={value!r} is no table; give one such as {{ key = 1.0 }}")
    return value


def _text(value, place: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place}={value!r} is no text")
    return value


def _number(value, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{place}={value!r} is not a finite number")
    return float(value)


def _numbers(value, place: str) -> dict[str, float]:
    return {key: _number(number, f"{place} {key}") for key, number in _table(value, place).items()}


def _spin_numbers(magnet: Mapping, place: str) -> dict[str, float]:
    """Those of both spins, or none."""
    found = _numbers(magnet.get("density_of_states_per_eV", {}), place)
    if found and set(found) != set(_SPINS):
        raise InputError(f"{place} has {', '.join(found)}; give up and down")
    return found


def _note(value) -> str:
    """A value of the file as one line of text."""
    if isinstance(value, list):
        return "; ".join(map(_note, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_note(item)}" for key, item in value.items())
    return str(value)


def _magnet(table: Mapping, shells: Iterable[str], place: str) -> Mapping:
    """The table of the ferromagnet, empty if there is none."""
    magnet = _table(table.get("ferromagnet", {}), f"{place}.ferromagnet")
    if not magnet:
        return magnet
    _require_keys(magnet, _MAGNET_REQUIRED, f"{place}.ferromagnet")
    _require_known(magnet, (*_MAGNET_REQUIRED, *_MAGNET_NOTES, "density_of_states_per_eV"), f"{place}.ferromagnet")
    splitting = _number(magnet["splitting_eV"], f"{place}: splitting_eV")
    if splitting < 0:
        raise InputError(f"{place}: splitting_eV={splitting} is negative; the majority is along +m, give its size")
    if splitting > 0 and "d" not in shells:
        raise InputError(f"{place}: splitting_eV={splitting} splits d levels, of which onsite_eV has none")
    return magnet


def _shells(kind: str, levels: Mapping[str, float], place: str) -> tuple[str, ...]:
    """The shells of a kind of atom, from its levels."""
    whole = {"s", "p", "d"} >= levels.keys() or {"s", "p", "t2g", "eg"} >= levels.keys()
    if not levels or not whole or ("t2g" in levels) != ("eg" in levels):
        raise InputError(
            f"{place}: onsite_eV of {kind} has {', '.join(levels) or 'no levels'}; give s, p, and d or t2g and eg"
        )
    return tuple(shell for shell in ORBITALS if shell in levels or (shell == "d" and "t2g" in levels))


def _check_bond(
    bond: tuple[str, str, int], integrals: Mapping[str, float], shells: Mapping[str, tuple[str, ...]], place: str
) -> None:
    kind, other, shell = bond
    here = f"{place}: bond {kind}-{other}, shell {shell}"
    if not integrals:
        raise InputError(f"{here} is empty; give its integrals, or leave it out")
    allowed = integrals_between(shells[kind], shells[other])
    for name in integrals:
        if name not in INTEGRALS:
            raise InputError(f"{here}: {name!r} is no two-centre integral; use {', '.join(INTEGRALS)}")
        if name not in allowed:
            raise InputError(f"{here}: {name} joins shells that onsite_eV does not have; use {', '.join(allowed)}")
        mirror = f"{name[1]}{name[0]}{name[2]}"
        if kind == other and "spd".index(name[0]) > "spd".index(name[1]):
            raise InputError(f"{here}: {name} is {mirror} seen from the other, equal atom; give {mirror} alone")


def _element(name: str, table: Mapping, place: str) -> tuple[dict, dict]:
    """On-site levels and bonds of a crystal with one kind of atom."""
    found = {int(key[5]): _numbers(table[key], f"{place}: {key}") for key in _ELEMENT_BONDS if key in table}
    onsite = {name: _numbers(table["onsite_eV"], f"{place}: onsite_eV")}
    return onsite, {(name, name, shell): bond for shell, bond in found.items()}


def _compound(table: Mapping, place: str) -> tuple[dict, dict]:
    """The same of rocksalt: levels KIND_level, bonds KIND_KIND_shell."""
    onsite: dict[str, dict[str, float]] = {}
    for key, value in _numbers(table["onsite_eV"], f"{place}: onsite_eV").items():
        kind, _, level = key.partition("_")
        if level not in ORBITALS:
            raise InputError(f"{place}: onsite_eV {key!r} is no level; name it such as O_s")
        onsite.setdefault(kind, {})[level] = value
    if len(onsite) != _ROCKSALT_KINDS:
        raise InputError(f"{place}: onsite_eV has the kinds {', '.join(onsite)}; rocksalt has two")
    top = table.get("on_top_of_metal")
    if top not in onsite:
        raise InputError(
            f"{place}: on_top_of_metal={top!r}; name the kind that sits on top of the atoms of a metal, "
            f"{' or '.join(onsite)}"
        )
    bonds: dict[tuple[str, str, int], dict[str, float]] = {}
    for key, integrals in _table(table.get("bonds_eV", {}), f"{place}: bonds_eV").items():
        parts = key.split("_")
        if len(parts) != 3 or not set(parts[:2]) <= set(onsite) or parts[2] not in ("1", "2", "3"):
            raise InputError(f"{place}: bonds_eV {key!r} is no bond; name it such as O_Mg_1")
        kind, other, shell = parts[0], parts[1], int(parts[2])
        if (kind == other) != (shell == _LIKE_SHELL):
            raise InputError(f"{place}: bonds_eV {key!r}: shell 2 of rocksalt joins equal kinds, 1 and 3 unlike ones")
        if (other, kind, shell) in bonds:
            raise InputError(f"{place}: bonds_eV {key!r} is given from both ends; give it once")
        bonds[kind, other, shell] = _numbers(integrals, f"{place}: bonds_eV {key}")
    if bonds and not any(shell == 1 for _, _, shell in bonds):
        raise InputError(f"{place}: bonds_eV lacks the bond {'_'.join(onsite)}_1 between the two kinds")
    return onsite, bonds

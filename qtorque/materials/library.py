"""Slater-Koster parameters from TOML files: those of the package and a user's own."""

import functools
import importlib.resources
import math
import numbers
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from qtorque.errors import InputError
from qtorque.materials.crystal import Parameters, slater_koster_material
from qtorque.materials.material import Material
from qtorque.materials.tables import parameters_of_table

TRUST = {
    "tabulated": "published table, bands recomputed",
    "fitted": "own fit to published bands",
    "low": "for demonstrations only",
    "user": "a user's own file",
}
"""What the levels of trust mean."""


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
        "111", "001" or "110" of fcc, "001" or "110" of bcc, "001" of rocksalt.
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
        For an unknown name or facet, a metal whose spin-orbit coupling is not in the file, a shell it does not have,
        a file with mistakes.

    Notes
    -----
    J. C. Slater and G. F. Koster, Phys. Rev. 94, 1498 (1954); D. A. Papaconstantopoulos, Handbook of the Band Structure
    of Elemental Solids (from memory). The parameters are those of the bulk: charge that flows at surfaces and between
    metals is left out unless `qt.neutral` shifts the layers.
    """
    parameters = read_parameters(name, file)
    if not isinstance(facet, str):
        raise InputError(f"slater_koster: facet={facet!r} is no text; give one such as '{parameters.facets[0]}'")
    if not isinstance(magnetic, bool):
        raise InputError(f"slater_koster: magnetic={magnetic!r}; give True or False")
    return slater_koster_material(
        parameters, facet=facet, spin_orbit=_coupling(parameters, spin_orbit), magnetic=magnetic
    )


def material_names(file: str | Path | None = None) -> tuple[str, ...]:
    """The metals of a file of your own and of the package."""
    own = _read(file) if file is not None else {}
    return tuple({**own, **_package()})


def read_parameters(name: str, file: str | Path | None = None) -> Parameters:
    """The two-centre parameters of one metal.

    Raises
    ------
    InputError
        For an unknown name, a file that cannot be read or holds mistakes.
    """
    if not isinstance(name, str):
        raise InputError(f"material {name!r} is no text; use one of {', '.join(material_names(file))}")
    own = _read(file) if file is not None else {}
    for materials, where in ((own, str(file)), (_package(), "the package")):
        if name in materials:
            return parameters_of_table(name, materials[name], where)
    raise InputError(f"material {name!r} is unknown; use one of {', '.join(material_names(file))}, or give file=")


def _coupling(parameters: Parameters, spin_orbit: bool | Mapping[str, float]) -> Mapping[str, float]:
    if isinstance(spin_orbit, Mapping):
        for shell, xi in spin_orbit.items():
            number = isinstance(xi, numbers.Real) and not isinstance(xi, bool) and math.isfinite(xi)
            if shell not in ("p", "d") or not number or xi < 0:
                raise InputError(f"spin_orbit={{{shell!r}: {xi!r}}}: give xi of 'p' or 'd' in eV, not negative")
            shells = sorted({own for kind in parameters.kinds for own in parameters.shells(kind)}, key="spd".index)
            if shell not in shells:
                raise InputError(
                    f"spin_orbit={{{shell!r}: {xi!r}}}: {parameters.name} has the shells {', '.join(shells)} only"
                )
        return {shell: float(xi) for shell, xi in spin_orbit.items()}
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


def _read(file: str | Path) -> dict:
    if not isinstance(file, (str, os.PathLike)):
        raise InputError(f"file={file!r} is no path; give that of a TOML file")
    path = Path(file)
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

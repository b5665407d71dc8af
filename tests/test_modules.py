"""The module order: imports run downwards only, light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qtorque as qt

PACKAGE = Path(qt.__file__).parent
LEVELS = {
    "errors": -1,
    "_fermi_surface_kernels": -1,
    "_linalg_kernels": -1,
    "_quadrature_kernels": -1,
    "_spin_hall_kernels": -1,
    "_tetrahedron_kernels": -1,
    "units": 0,
    "spin": 0,
    "_linalg": 0,
    "_leads_kernels": 0,
    "_single_orbital_kernels": 0,
    "quadrature": 0,
    "parallel": 1,
    "store": 1,
    "materials": 1,
    "brillouin": 1,
    "checkpoint": 2,
    "compiling": 2,
    "refinement": 2,
    "stack": 2,
    "supercell": 2,
    "metal_interfaces": 3,
    "chain": 2,
    "wannier90": 2,
    "cells": 3,
    "bloch": 3,
    "leads": 3,
    "halves": 3,
    "bulk": 3,
    "single_orbital": 3,
    "evanescent": 4,
    "spin_hall": 4,
    "green": 4,
    "joins": 4,
    "amplitudes": 4,
    "plain_kwant": 4,
    "fermi_surface": 4,
    "tetrahedra": 4,
    "strain": 5,
    "channels": 4,
    "kwant_engine": 5,
    "single_channel": 5,
    "ridges": 5,
    "density_of_states": 6,
    "scattering": 6,
    "torque": 6,
    "contour": 6,
    "conductances": 7,
    "magnetic_films": 7,
    "sweeps": 7,
    "bias": 8,
    "thermoelectric": 8,
    "electron_counts": 8,
    "neutrality": 9,
    "torquemap": 9,
    "interfaces": 9,
    "diffusion": 10,
    "extraction": 10,
    "interface_table": 11,
    "interface_variants": 12,
    "linear_response": 9,
    "llg": 10,
    "export": 11,
    "validation": 11,
    "plot": 12,
    "command_line": 11,
    "__main__": 12,
}
"""Level of each module; a module may import those of lower levels, and its own folder."""
RIGHT_OF_THE_SEAM = {"diffusion", "llg", "export"}
ALLOWED_RIGHT = {"compiling", "errors", "units", "spin", "parallel", "store", "torquemap", "interfaces", "llg"}
ONLY_LEVEL_0 = {"parallel", "store"}


def module_files():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def top_name(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Names of the qtorque modules a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "qtorque":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("qtorque.")}
    return found


@pytest.mark.parametrize("path", module_files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path):
    own = top_name(path)
    assert own in LEVELS, f"{own} has no place in the module order"
    for other in imported(path) - {own}:
        assert LEVELS[other] < LEVELS[own], f"{own} imports {other}"
        if own in RIGHT_OF_THE_SEAM:
            assert other in ALLOWED_RIGHT, f"{own} stands right of the seam and imports {other}"
        if own in ONLY_LEVEL_0:
            assert LEVELS[other] <= 0


def test_mpi4py_is_imported_in_one_module_only():
    users = {
        top_name(path)
        for path in module_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(a.name.startswith("mpi4py") for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mpi4py"))
    }
    # The others name its type for the type checker, which is the same statement in the tree.
    assert users <= {"parallel", "store", "checkpoint", "command_line", "llg"}
    loaded = "import sys, qtorque.store, qtorque.command_line, qtorque.parallel; print('mpi4py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout.strip() == "False"


def test_every_public_name_can_be_had_and_is_listed():
    assert sorted(qt.__all__) == qt.__all__
    for name in qt.__all__:
        assert getattr(qt, name) is not None
    assert set(qt.__all__) <= set(dir(qt))
    with pytest.raises(AttributeError):
        qt.no_such_name  # noqa: B018


def test_importing_the_package_loads_no_heavy_module():
    code = "import sys, qtorque; print([m for m in ('numpy', 'kwant', 'xarray', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", [n for n in qt.__all__ if n not in ("InputError",)])
def test_every_public_name_is_documented(name):
    assert len(getattr(qt, name).__doc__ or "") > 40


def test_no_public_function_bears_the_name_of_a_module():
    # Importing a submodule sets it as an attribute of the package, and would hide the function.
    modules = {top_name(path) for path in module_files()}
    assert modules.isdisjoint(set(qt.__all__))

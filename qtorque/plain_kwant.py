"""Any stack as a plain Kwant script, which needs kwant and numpy and nothing of this package.

The script builds the three builders of `Stack.builders()` (a region periodic in the plane, two leads with a third
period), with voltage and magnetizations as parameters, wraps them and prints the transmission at one k. It is text to
read, to change and to pass on.
"""

import itertools
import json
import os
import textwrap
from collections.abc import Sequence

import numpy as np

from qtorque.errors import InputError, finite_number
from qtorque.materials import Material
from qtorque.spin import unit_vector
from qtorque.stack import Layer, Lead, Stack
from qtorque.store import save_bytes

LINE_LENGTH = 120
"""Characters, as in the files of this package."""

_HEAD = '''"""{title}

A plain Kwant script: energies in eV, lengths in nm, transport along +z. The spin is the last tensor factor on a site,
kron(orbital matrix, spin matrix). H = onsite + sum_a spin_orbit[a] sigma_a - (1/2) exchange m.sigma + shift, with the
shift of a layer plus its share of the voltage. Run it, or import it and use region, left_lead, right_lead and PARAMS.
"""

import kwant
import numpy as np

PAULI = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
ENERGY = {energy}  # eV
K = {k}  # k.a1, k.a2, rad

# Parameters of the value functions: the bias in V, the direction of every magnet.
PARAMS = {{
    "voltage": {voltage},
    "magnetization": {{{magnetization}}},
}}

# Primitive vectors, nm: a1 and a2 span a layer, a3 leads to the next one.
A1, A2, A3 = np.array({lattice})
'''

_LAYERS = """
# From left to right, the layers of the leads included: material, share of the voltage, shift in eV, magnet.
LAYERS = [
{layers}
]
# Each lead repeats so many layers.
LEFT_CELL, RIGHT_CELL = {left_cell}, {right_cell}

# <row|H|column>: layer of the row, layer of the column, in-plane vector between them (of a1, a2), orbital matrix.
REGION_HOPPINGS = [
{region}
]
LEFT_HOPPINGS = [
{left}
]
RIGHT_HOPPINGS = [
{right}
]
"""

_TAIL = '''
# Sites with unlike numbers of orbitals are of different families on one lattice.
FAMILIES = {
    n: kwant.lattice.general([A1, A2, A3], norbs=2 * n, name=f"{n} orbitals")
    for n in sorted({len(matrix) for matrix in ONSITE.values()})
}


def family(layer):
    return FAMILIES[len(ONSITE[layer[0]])]


def onsite_of(layer):
    """The on-site function of a layer."""
    material, share, shift, magnet = layer
    unit = np.eye(len(ONSITE[material]))
    energy = np.kron(ONSITE[material] + shift * unit, PAULI[0])
    if material in SPIN_ORBIT:
        energy = energy + sum(np.kron(SPIN_ORBIT[material][a], PAULI[a + 1]) for a in range(3))

    def onsite(site, voltage, magnetization):
        H = energy + share * voltage * np.kron(unit, PAULI[0])
        if magnet is not None:
            m = magnetization[magnet]
            H = H - 0.5 * np.kron(EXCHANGE[material], sum(m[a] * PAULI[a + 1] for a in range(3)))
        return H

    return onsite


def build(layers, hoppings, *periods):
    """A builder with one site for every layer at the height of its number."""
    builder = kwant.Builder(kwant.TranslationalSymmetry(*periods))
    for height, layer in enumerate(layers):
        builder[family(layer)(0, 0, height)] = onsite_of(layer)
    for row, column, (n1, n2), name in hoppings:
        # The cell of a lead holds layers of one kind; a hopping may end in its next cell.
        above = layers[min(column, len(layers) - 1)]
        builder[family(layers[row])(0, 0, row), family(above)(n1, n2, column)] = np.kron(HOPPING[name], PAULI[0])
    return builder


region = build(LAYERS, REGION_HOPPINGS, A1, A2)
left_lead = build(LAYERS[:1] * LEFT_CELL, LEFT_HOPPINGS, A1, A2, -LEFT_CELL * A3)
right_lead = build(LAYERS[-1:] * RIGHT_CELL, RIGHT_HOPPINGS, A1, A2, RIGHT_CELL * A3)


def wrapped():
    """The finalised system; the in-plane phases k.a1 and k.a2 are its parameters k_x and k_y."""
    system = kwant.wraparound.wraparound(region)
    for lead in (left_lead, right_lead):
        system.attach_lead(kwant.wraparound.wraparound(lead, keep=2, coordinate_names="xyz"))
    return system.finalized()


if __name__ == "__main__":
    matrix = kwant.smatrix(wrapped(), ENERGY, params={**PARAMS, "k_x": K[0], "k_y": K[1]})
    print(f"transmission from left to right at k = {K}: {float(matrix.transmission(1, 0))!r}")
'''


def kwant_script(
    stack: Stack,
    path: str | os.PathLike | None = None,
    *,
    k: tuple[float, float] = (0.3, 0.5),
    energy: float = 0.0,
    angle: float | None = None,
    voltage: float = 0.0,
    force: bool = False,
) -> str:
    """A stack as a Python script that needs kwant and numpy only.

    Parameters
    ----------
    stack
        Any `Stack`; what `layered` made is a plain Kwant system already.
    path
        A file to write; without one the text is only returned.
    k
        Phases k.a1, k.a2 (rad) at which the script prints the transmission.
    energy
        eV.
    angle, voltage
        As in `Stack.params`: what the script's parameters are set to, rad and V.
    force
        Whether to replace an existing file.

    Returns
    -------
    str
        The script. Matrices are written to the last digit.

    Raises
    ------
    InputError
        For anything but a `Stack`, an existing or unwritable file, a path that names none, numbers that are not finite.

    Notes
    -----
    The numbers are as good as Kwant's modes. Of leads whose hopping is nearly singular, such as bcc(110) metals with
    cells of two monolayers, these may be missing or wrong; the layered engine has no such trouble.
    """
    if not isinstance(stack, Stack):
        raise InputError(
            f"kwant_script: {type(stack).__name__} is no qt.Stack; what qt.layered made is plain Kwant already"
        )
    if np.shape(k) != (2,):
        raise InputError(f"kwant_script: k={k!r} is not two phases; give k.a1 and k.a2 in rad")
    phases = tuple(finite_number("k", phase, "rad") for phase in k)
    params = stack.params(
        None if angle is None else finite_number("angle", angle, "rad"), finite_number("voltage", voltage, "V")
    )
    text = _script(stack, phases, finite_number("energy", energy, "eV"), params)
    if path is not None:
        _save(text, path, force)
    return text


def _save(text: str, path: str | os.PathLike, force: bool) -> None:
    if not isinstance(path, (str, os.PathLike)) or not os.path.basename(os.fspath(path)):
        raise InputError(f"kwant_script: path={path!r} names no file; give one, such as 'stack.py'")
    try:
        save_bytes(text.encode(), path, force)
    except OSError as error:
        raise InputError(
            f"kwant_script: path={str(path)!r} cannot be written ({error.strerror}); choose another"
        ) from None


def _script(stack: Stack, k: tuple[float, ...], energy: float, params: dict) -> str:
    monolayers = stack.monolayers
    materials = {id(m.piece.material): m.piece.material for m in monolayers}
    names = _unique_names(materials)
    kinds = [names[id(m.piece.material)] for m in monolayers]
    hoppings: dict[str, np.ndarray] = {}
    region = _region_hoppings(stack, kinds, hoppings)
    left, right = (_lead_hoppings(lead, names[id(lead.material)], hoppings) for lead in (stack.left, stack.right))
    layers = [
        (kind, m.shift, m.piece.shift if isinstance(m.piece, Layer) else 0.0, m.magnet)
        for kind, m in zip(kinds, monolayers, strict=True)
    ]
    directions = {name: tuple(unit_vector(params[f"m_{name}"]).tolist()) for name in stack.magnets}
    parts = [
        _HEAD.format(
            title=_title(stack, names),
            energy=repr(energy),
            k=repr(k),
            voltage=repr(float(params["voltage"])),
            magnetization=", ".join(f"{_quoted(name)}: {m!r}" for name, m in directions.items()),
            lattice=_array(stack.left.material.lattice, 0),
        ),
        "\n# Orbital matrices of the materials, eV.\n",
        _dictionary("ONSITE", {names[key]: m.onsite for key, m in materials.items()}),
        _dictionary("EXCHANGE", {names[key]: m.exchange for key, m in materials.items() if m.magnetic}),
        _dictionary(
            "SPIN_ORBIT", {names[key]: m.spin_orbit for key, m in materials.items() if m.spin_orbit is not None}
        ),
        "\n# Orbital matrices of the hoppings, eV; named by the material, or by both, and by the vector.\n",
        _dictionary("HOPPING", hoppings),
        _LAYERS.format(
            layers=_rows(layers),
            left_cell=stack.left.material.reach,
            right_cell=stack.right.material.reach,
            region=_rows(region),
            left=_rows(left),
            right=_rows(right),
        ),
    ]
    return "".join(parts) + _TAIL


_Hopping = tuple[int, int, tuple[int, int], str]
"""Layer of the row, layer of the column, in-plane vector, name of the matrix."""


def _region_hoppings(stack: Stack, kinds: Sequence[str], matrices: dict[str, np.ndarray]) -> list[_Hopping]:
    """The hoppings of the region, each from the cell at the origin; their matrices go into `matrices`."""
    region, _, _ = stack.builders()
    found = []
    for (row, column), value in region.hopping_value_pairs():
        n1, n2, n3 = (int(b) - int(a) for a, b in zip(row.tag, column.tag, strict=True))
        below, above = int(row.tag[2]), int(column.tag[2])
        label = kinds[below] if kinds[below] == kinds[above] else f"{kinds[below]} | {kinds[above]}"
        name = f"{label} {(n1, n2, n3)}"
        # Orbital part: the spin is the last tensor factor, and no hopping of a stack depends on it.
        matrices.setdefault(name, value[::2, ::2])
        found.append((below, above, (n1, n2), name))
    return sorted(found)


def _lead_hoppings(lead: Lead, kind: str, matrices: dict[str, np.ndarray]) -> list[_Hopping]:
    found = []
    for vector, matrix in lead.material.hoppings:
        # Upwards, as in the region.
        n1, n2, n3 = vector if vector[2] >= 0 else (-vector[0], -vector[1], -vector[2])
        name = f"{kind} {(n1, n2, n3)}"
        matrices.setdefault(name, matrix if vector[2] >= 0 else matrix.conj().T)
        found += [(height, height + n3, (n1, n2), name) for height in range(lead.material.reach)]
    return sorted(found)


def _unique_names(materials: dict[int, Material]) -> dict[int, str]:
    """A name of its own for every material: the one it has, without what stands behind it in brackets."""
    names: dict[int, str] = {}
    for key, material in materials.items():
        # A bar stands between two names in those of hoppings; lone surrogates and control signs fit in no file.
        short = "".join(c if c.isprintable() else " " for c in material.name.partition(" (")[0].replace("|", "/"))
        numbered = (f"{short} #{n}" for n in itertools.count(2))
        names[key] = next(name for name in itertools.chain([short], numbered) if name not in names.values())
    return names


def _title(stack: Stack, names: dict[int, str]) -> str:
    runs = [f"{layer.n} {names[id(layer.material)]}" for layer in stack.layers]
    text = " | ".join([names[id(stack.left.material)], *runs, names[id(stack.right.material)]])
    return textwrap.fill(text.replace("\\", "/").replace('"', "'"), LINE_LENGTH - 4)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _literal(value) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return f"({', '.join(_literal(x) for x in value)})"
    return repr(value)


def _rows(rows: Sequence[tuple]) -> str:
    return "\n".join(f"    {_literal(row)}," for row in rows)


def _dictionary(name: str, matrices: dict[str, np.ndarray]) -> str:
    if not matrices:
        return f"{name} = {{}}\n"
    entries = "".join(f"    {_quoted(key)}: np.array({_array(matrix, 4)}),\n" for key, matrix in matrices.items())
    return f"{name} = {{\n{entries}}}\n"


def _array(matrix: np.ndarray, indent: int) -> str:
    """A nested list with every digit, on one line where it fits, else a row at a time."""
    text = _one_line(matrix)
    if indent + len(text) < (LINE_LENGTH if matrix.ndim == 1 else LINE_LENGTH // 2):
        return text
    pad = " " * (indent + 4)
    if matrix.ndim > 1:
        inner = "\n".join(f"{pad}{_array(part, indent + 4)}," for part in matrix)
    else:
        numbers = ", ".join(map(_number, matrix)) + ","
        inner = textwrap.fill(numbers, LINE_LENGTH, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False)
    return f"[\n{inner}\n{' ' * indent}]"


def _one_line(matrix: np.ndarray) -> str:
    return f"[{', '.join(_number(x) if matrix.ndim == 1 else _one_line(x) for x in matrix)}]"


def _number(value: complex) -> str:
    """Every digit; real where it is."""
    return repr(float(value.real)) if value.imag == 0 else repr(complex(value))

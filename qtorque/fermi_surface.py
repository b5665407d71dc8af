"""The Fermi surface of a bulk material: its cross-sections, and the open channels that it projects onto a facet."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque._fermi_surface_kernels import channels_along_lines
from qtorque._linalg import adjoint
from qtorque.brillouin import KMesh, KPoints, as_kset, require_symmetry
from qtorque.bulk import SPINS, BlochSum, Bulk, PathPoint, bulk, crystal_axes, momentum_phases
from qtorque.compiling import announced
from qtorque.errors import InputError, finite_number, whole_number
from qtorque.materials import Material
from qtorque.units import conductance_per_area

LINE_POINTS = 1024
"""Momenta along a line of k_z. Twice as many change the conductance of no metal by more than 2e-4 (chromium, tungsten);
512 are 2e-3 too low for tungsten (110)."""
LINES_AT_ONCE = 2048
"""k parallel of a batch: 30 MB for 18 orbitals that hop over two layers."""
BROADENING = 0.5
"""eV above the real axis, where bands of different shapes have different determinants and none vanishes."""
MOST_CUT_POINTS = 1001
"""Momenta along each side of a cross-section: 150 MB of bands for 9 orbitals."""
CENTRE = "G"
"""k = 0 of any material."""
EXTENT = 0.75
"""Half the side of a cross-section, in units of the longest reciprocal vector: the whole zone of fcc and bcc."""
NEIGHBOURS = 2
"""Reciprocal vectors with coefficients -2 ... 2 bound the first zone of a crystal with short lattice vectors."""
WHOLE = 1e-6
"""Distance from whole numbers below which the components of an axis are some."""
SMALLEST_NORMAL = 1e-12
"""Length of a normal below which it has no direction."""


def bulk_sharvin_conductance(
    material: Material, *, energy: float = 0.0, kmesh: KMesh | KPoints | int, magnetization: ArrayLike = (0, 0, 1)
) -> xr.Dataset:
    """Channels of a bulk material open along +z, counted from its bands, and the Sharvin conductance they carry.

    G = (e^2/h) <N(k)>, N(k) half the crossings of bands with E along the line of all k_z. Ascending bands are
    continuous along that closed line, so half the changes of the number of bands below E are the channels. That number
    is counted by Sylvester's law of inertia: nothing is diagonalised and no lead is solved for.

    Parameters
    ----------
    energy
        eV.
    kmesh
        `qt.kmesh(...)` or `qt.kpoints(...)`. The symmetry of a mesh is that of the facet: "hexagonal" for fcc (111),
        "square" for (001), "rectangular" for fcc (110), "rhombic" for bcc (110).
    magnetization
        Unit vector in the lab frame; changes bands with spin-orbit coupling only.

    Returns
    -------
    Dataset
        `open_channels` (k, spin); `sharvin` (spin), e^2/h per cell and spin; `conductance` (spin), 1/(Ohm m^2). Up and
        down are along m, equal in a material that is not magnetic. With spin-orbit coupling there is no dimension spin:
        both spins together. Coordinates k1, k2 (rad) and weight of every k.

    Raises
    ------
    InputError
        For bad arguments, and a symmetry that the material does not have.

    Notes
    -----
    Whole numbers over k converge slowly: a mesh of 128 x 128 is good to half a percent to one percent.
    A line has 1024 momenta; what crosses E and returns between two of them is missed.
    """
    level = finite_number("energy", energy, "eV")
    kset = as_kset(kmesh)
    states = bulk(material, magnetization)
    require_symmetry(kset, lambda points: _determinants(states, points, material.reach, level))
    points, weights = kset.take(range(kset.size))
    batches = np.array_split(points, -(-len(points) // LINES_AT_ONCE))
    channels = np.concatenate([_open_channels(states, part, level) for part in batches])
    text = "Sharvin conductance"
    spin: tuple[str, ...] = ("spin",)
    spins = {"spin": list(SPINS)}
    if states.coupled:
        channels, text, spin, spins = channels[:, 0], "Sharvin conductance of both spins together", (), {}
    else:
        channels = np.broadcast_to(channels, (len(points), len(SPINS))).copy()
    mean = np.tensordot(weights, channels, axes=1)
    area = float(np.linalg.norm(np.cross(*material.lattice[:2])))
    return xr.Dataset(
        {
            "open_channels": (("k", *spin), channels, {"units": "1", "long_name": "channels open along +z"}),
            "sharvin": (spin, mean, {"units": "e^2/h per cell", "long_name": text}),
            "conductance": (spin, conductance_per_area(mean, area), {"units": "1/(Ohm m^2)", "long_name": text}),
        },
        {
            "k1": ("k", points[:, 0], {"units": "rad", "long_name": "k.a1"}),
            "k2": ("k", points[:, 1], {"units": "rad", "long_name": "k.a2"}),
            "weight": ("k", weights, {"units": "1", "long_name": "share of the zone"}),
            **spins,
        },
        {"material": material.name, "energy": level, "area": area, "area_units": "nm^2"},
    )


def fermi_surface_cut(
    material: Material,
    *,
    normal: ArrayLike,
    through: PathPoint = CENTRE,
    points: int = 161,
    extent: float | None = None,
    magnetization: ArrayLike = (0, 0, 1),
) -> xr.Dataset:
    """Bands on a plane of momenta, of which a contour at an energy is a cross-section of that constant-energy surface.

    Parameters
    ----------
    normal
        Of the plane, any length, in the axes of the cubic crystal; in the lab frame for a material without one.
    through
        A point of the plane: a label, (label, fractions) or fractions as for `qtorque.bands`. "G" is k = 0 for all.
    points
        Momenta along each side of the square.
    extent
        Half the side, 1/nm; default 0.75 of the longest reciprocal vector, which holds the zone of a cubic crystal.
    magnetization
        Unit vector in the lab frame; changes bands with spin-orbit coupling only.

    Returns
    -------
    Dataset
        `energy` (spin, v, u, band), eV, bands ascending; with spin-orbit coupling without dimension spin. u and v,
        1/nm, run along two perpendicular axes of the plane; the attributes `u_axis`, `v_axis` and `normal` are unit
        vectors in the frame of `normal`. `zone` (v, u) is negative inside the first Brillouin zone, positive outside.

    Raises
    ------
    InputError
        For bad arguments.
    """
    states = bulk(material, magnetization)
    axes = crystal_axes(material)
    across, u_axis, v_axis = _plane(normal)
    label, origin = momentum_phases(material, (through, (0, 0, 0)) if through == CENTRE else through)
    points = whole_number("points", points, 2, "momenta along each side", most=MOST_CUT_POINTS)
    reciprocal = 2 * np.pi * np.linalg.inv(material.lattice).T
    half = EXTENT * float(np.linalg.norm(reciprocal, axis=1).max())
    half = half if extent is None else finite_number("extent", extent, "1/nm")
    if half <= 0:
        raise InputError(f"extent={extent!r} must be positive, in 1/nm")
    side = np.linspace(-half, half, points)
    start = np.linalg.solve(material.lattice, origin)
    k = start + side[:, None, None] * (axes @ v_axis) + side[:, None] * (axes @ u_axis)
    levels = states.levels((k @ material.lattice.T).reshape(-1, 3)).reshape(len(states.sums), points, points, -1)
    coordinates: dict = {
        name: (name, side, {"units": "1/nm", "long_name": f"k along {_text(axis)}"})
        for name, axis in (("u", u_axis), ("v", v_axis))
    }
    dims: tuple[str, ...] = ("v", "u", "band")
    if states.coupled:
        levels = levels[0]
    else:
        dims = ("spin", *dims)
        levels = np.broadcast_to(levels, (len(SPINS), *levels.shape[1:])).copy()
        coordinates["spin"] = list(SPINS)
    vectors = np.array([v for v in itertools.product(range(-NEIGHBOURS, NEIGHBOURS + 1), repeat=3) if any(v)])
    # One reciprocal vector at a time: all at once would take more memory than the bands.
    zone = functools.reduce(np.maximum, (k @ (G / (G @ G)) for G in vectors @ reciprocal)) - 0.5
    return xr.Dataset(
        {
            "energy": (dims, levels, {"units": "eV", "long_name": "band energy"}),
            "zone": (("v", "u"), zone, {"units": "1", "long_name": "largest k.G/G^2 - 1/2, 0 on the zone boundary"}),
        },
        coordinates,
        {
            "material": material.name, "through": label, "plane": f"({_text(across)[1:-1]})",
            "normal": across.tolist(), "u_axis": u_axis.tolist(),
            "v_axis": v_axis.tolist(),
        },
    )  # fmt: skip


def _determinants(states: Bulk, points: np.ndarray, reach: int, energy: float) -> np.ndarray:
    """ln |mean over k_z of det(z - H)|, z = E + 0.5i eV: shape (points, sums).

    A symmetry of a facet may turn k_z about or shift it by an amount that depends on k parallel, so only what does not
    depend on where the line begins can be compared. The determinant is a trigonometric polynomial of degree n times the
    reach of the hoppings, so that these momenta make its mean exact, and it holds every band at full weight.
    """
    found = []
    for own in states.sums:
        n = len(own.onsite)
        count = 2 * n * reach + 1
        phases = np.empty((len(points), count, 3))
        phases[:, :, :2], phases[:, :, 2] = points[:, None], 2 * np.pi * np.arange(count) / count
        shifted = (energy + 1j * BROADENING) * np.eye(n)
        batches = np.array_split(phases.reshape(-1, 3), -(-phases.size // (3 * LINES_AT_ONCE)))
        values = np.concatenate([np.linalg.det(shifted - own.at(part)) for part in batches])
        found.append(np.log(np.abs(values.reshape(len(points), count).mean(axis=1))))
    return np.stack(found, axis=-1)


def _open_channels(states: Bulk, points: np.ndarray, energy: float) -> np.ndarray:
    """Channels at k parallel: shape (points, sums)."""
    channels = np.empty((len(states.sums), len(points)), dtype=np.int64)
    with announced(channels_along_lines):
        for own, result in zip(states.sums, channels, strict=True):
            channels_along_lines(_layer_blocks(own, points), energy, LINE_POINTS, result)
    return channels.T


def _layer_blocks(own: BlochSum, points: np.ndarray) -> np.ndarray:
    """The parts of H at k parallel that turn with exp(i m k.a3), m = 0, 1, ...: shape (points, reach + 1, n, n), eV."""
    n = len(own.onsite)
    layers = own.vectors[:, 2].astype(int)
    blocks = np.zeros((len(points), np.abs(layers).max(initial=0) + 1, n, n), dtype=complex)
    blocks[:, 0] = own.onsite
    for (n1, n2, _), layer, matrix in zip(own.vectors, layers, own.hoppings, strict=True):
        term = np.exp(1j * (points @ (n1, n2)))[:, None, None] * matrix
        if layer >= 0:
            blocks[:, layer] += term
        if layer <= 0:
            blocks[:, -layer] += adjoint(term)
    return blocks


def _plane(normal: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The unit normal and two perpendicular unit vectors u, v of the plane, u x v = normal."""
    try:
        across = np.asarray(normal, dtype=float)
    except (TypeError, ValueError):
        across = np.empty(0)
    length = float(np.linalg.norm(across)) if across.shape == (3,) else 0.0
    if not SMALLEST_NORMAL < length < np.inf:
        raise InputError(f"normal={normal!r} is no direction; give three finite numbers that are not all zero")
    across = across / length
    # u along the axis of the crystal that lies flattest in the plane, or as near to it as the plane allows.
    other = np.eye(3)[np.argmin(np.abs(across))]
    u = other - (other @ across) * across
    u /= np.linalg.norm(u)
    return across, u, np.cross(across, u)


def _text(axis: np.ndarray) -> str:
    """Smallest whole numbers along a direction, such as [1 -1 0]; with two digits where there are none below 10."""
    for scale in range(1, 10):
        whole = axis / np.abs(axis).max() * scale
        if np.abs(whole - np.round(whole)).max() < WHOLE:
            return "[" + " ".join(str(int(x)) for x in np.round(whole)) + "]"
    return "[" + " ".join(f"{x:.2f}" for x in axis) + "]"

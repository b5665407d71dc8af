"""Torques and currents of a biased junction: the bias window on the real axis, the Fermi sea along a contour.

At a bias the two leads fill the states that come from them up to mu_L = +eV/2 and mu_R = -eV/2, and

    f_L A_L + f_R A_R = f_0 (A_L + A_R) + (f_L - f_R)(A_L - A_R)/2,    f_0 = (f_L + f_R)/2.

The first part is the sea, analytic in the upper half plane; its narrow resonances never meet a panel of the real
axis. The second lives in the window. Both are integrated adaptively at every momentum, to one stated tolerance.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from qtorque import parallel
from qtorque.bloch import LayeredSystem, as_layered
from qtorque.brillouin import KSet, interleaved_chunks, require_symmetry
from qtorque.brillouin import kmesh as uniform_mesh
from qtorque.chain import Chain
from qtorque.contour import BELOW_SPECTRUM, Fermi, sea_arc, sea_integral, window_integral
from qtorque.density_of_states import ladder
from qtorque.errors import InputError, finite_number
from qtorque.green import common_axis
from qtorque.refinement import INNER_SHARE, Refined, climb, describe, kset_or_none, warn_if_short
from qtorque.scattering import require_open_leads
from qtorque.torque import (
    LIMIT_STEP,
    PARALLEL_LIMIT,
    SMALL_SINE,
    Cuts,
    conserved,
    decompose,
    ends,
    log_determinants,
    recompose,
    resonance_panels,
    sea_kernel,
    torque_on_magnet,
    window_kernel,
)
from qtorque.units import CURRENT_PER_EV

CHUNK = 512
"""Momenta in one chunk of work: enough to fill numpy's loops, few enough to share between ranks."""
DEFAULT_TOLERANCE = 1e-6
"""Energy quadrature on a given mesh, relative to the largest spin current at that voltage."""
OPEN_SAMPLE = 64
"""Side of the mesh on which the leads are looked at for open channels where no mesh is given."""
SYMMETRY_NODES = np.array([0.2, 0.6, 0.95])
"""Places along the window and the contour at which a declared symmetry is verified."""
SYMMETRY_NOISE = 1e-12
"""Rounding of the integrands of the sea, which may be the difference of much larger numbers."""
WARNED_SHARE = 10.0
"""Window and sea each keep the tolerance by their own size, and may cancel in part; beyond this factor one warns."""
ROUNDING_ERROR = 1e-14
"""eV per cell; an error of this size is the rounding of the sea, which no tolerance lowers."""
UNSHIFTED_LIMIT = 0.1
"""V; a junction without a barrier drops its bias in its resistances, which occupations alone do not describe beyond
this."""

UNIT_TORQUE = "eV per cell"


def _integrals(
    chains: Sequence[Chain],
    cuts: Cuts,
    fermis: tuple[Fermi, Fermi],
    k: np.ndarray,
    weights: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Window and sea together: (value, error), each (angle, columns)."""
    accuracy = {"tolerance": tolerance, "reference": np.tile(cuts.is_spin_current, len(chains))}
    window = window_integral(
        lambda q, energy: window_kernel(chains, cuts, q, energy), fermis, k, weights,
        resonances=lambda low, high: resonance_panels(chains, k, low, high), **accuracy,
    )  # fmt: skip
    parts = [window]
    bottom = min(chain.lowest_energy for chain in chains) - BELOW_SPECTRUM
    for fermi in dict.fromkeys(fermis):
        share = 0.5 * fermis.count(fermi)
        sea = sea_integral(
            lambda q, z, step, share=share: sea_kernel(chains, cuts, q, z, share * step),
            fermi,
            bottom,
            k,
            weights,
            **accuracy,
        )
        parts.append(sea)
    found = [p for p in parts if p is not None]
    value, error = sum(p.value for p in found), sum(p.error for p in found)
    return np.reshape(value, (len(chains), -1)), np.reshape(error, (len(chains), -1))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Integrals over k and energy of a sweep.

    `value`, the error of the energy quadrature `error` and, where the sum over k was refined, its error `k_error`:
    shape (voltage, angle, columns); `attributes` say what was used.
    """

    value: np.ndarray
    error: np.ndarray
    k_error: np.ndarray | None
    attributes: dict


def _sweep(
    stack: LayeredSystem,
    angles: np.ndarray,
    voltages: np.ndarray,
    cuts: Cuts,
    kset: KSet | None,
    temperature,
    tolerance: float,
    comm,
    checkpoint: parallel.Checkpoint | None,
    progress: str | None,
) -> _Sums:
    """All integrals for all voltages, summed over a given mesh, or over a ladder of momenta for each voltage."""

    # The chunks of one voltage follow each other, and share its chains.
    @functools.lru_cache(maxsize=1)
    def biased(v: int) -> tuple[list[Chain], tuple]:
        return _biased(stack, angles, float(voltages[v]), temperature)

    def one(v: int, k: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chains, fermis = biased(v)
        value, error = _integrals(chains, cuts, fermis, k, weights, energy_tolerance)
        return value.ravel(), error.ravel()

    energy_tolerance = tolerance if kset is not None else INNER_SHARE * tolerance
    shape = (len(voltages), len(angles), cuts.columns)
    if kset is None:
        both = [_biased(stack, angles, voltage, temperature) for voltage in voltages.tolist()]
        found = climb(
            [ladder(chains, [fermi.mu for fermi in dict.fromkeys(fermis)]) for chains, fermis in both],
            _in_stages(one, comm, checkpoint, progress),
            tolerance=tolerance,
            reference=np.tile(cuts.is_spin_current, len(angles)),
        )
        for voltage, result in zip(voltages, found, strict=True):
            warn_if_short(result, tolerance, f"torque at {voltage:g} V", comm, stacklevel=4)
        value, error, k_error = (
            np.reshape([getattr(result, name) for result in found], shape) for name in ("value", "noise", "error")
        )
        sums = _Sums(value, error, k_error, _refined_attributes(found, tolerance))
    else:
        farthest = float(voltages[np.argmax(np.abs(voltages))])
        require_symmetry(kset, _integrands(*_biased(stack, angles, farthest, temperature), cuts), SYMMETRY_NOISE)
        sets = [(v, kset) for v in range(len(voltages))]
        parts = _summed(one, sets, comm, checkpoint, progress)
        value, error = (np.reshape([part[i] for part in parts], shape) for i in range(2))
        sums = _Sums(value, error, None, {"kmesh": repr(kset), "energy_tolerance": tolerance})
    _report_accuracy(sums.value, sums.error, cuts, voltages, energy_tolerance, comm)
    return sums


def _refined_attributes(results: Sequence[Refined], tolerance: float) -> dict:
    return {"kmesh": describe(results), "tolerance": tolerance, "energy_tolerance": INNER_SHARE * tolerance}


def _summed(one: Callable, sets: Sequence[tuple[int, KSet]], comm, checkpoint, progress) -> list[tuple]:
    """one(number, momenta, weights) -> (value, error), summed over the chunks of every numbered set in their order."""
    work = [
        (i, number, index) for i, (number, kset) in enumerate(sets) for index in interleaved_chunks(kset.size, CHUNK)
    ]

    def chunk(item):
        i, number, index = item
        return one(number, *sets[i][1].take(index))

    results = parallel.map_chunks(chunk, work, comm, checkpoint, progress)
    return [
        parallel.sum_in_order([result for (j, _, _), result in zip(work, results, strict=True) if j == i])
        for i in range(len(sets))
    ]


def _in_stages(one: Callable, comm, checkpoint: parallel.Checkpoint | None, progress: str | None) -> Callable:
    """The same as a function (sets, name of the stage), with a part of the checkpoint for every stage."""

    def evaluate(sets: Sequence[tuple[int, KSet]], stage: str) -> list[tuple]:
        return _summed(one, sets, comm, None if checkpoint is None else checkpoint.part(stage), progress)

    return evaluate


def _biased(stack: LayeredSystem, angles: np.ndarray, voltage: float, temperature) -> tuple[list[Chain], tuple]:
    """The chains at all angles and the occupations of both leads, at a voltage."""
    left, right = _temperatures(temperature)
    chains = [stack.chain(float(angle), voltage) for angle in angles]
    return chains, (Fermi(voltage / 2, left), Fermi(-voltage / 2, right))


def _integrands(chains: Sequence[Chain], fermis: tuple[Fermi, Fermi], cuts: Cuts):
    """Function phases (n, 2) -> window and sea integrands at a few energies, (n, columns)."""
    low, high = (f(fermi.mu for fermi in fermis) for f in (min, max))
    bottom = min(chain.lowest_energy for chain in chains) - BELOW_SPECTRUM
    path = sea_arc(fermis[0], bottom, SYMMETRY_NODES)

    def at(points: np.ndarray) -> np.ndarray:
        shape = (len(points), len(SYMMETRY_NODES))
        energy = np.broadcast_to(low + (high - low) * SYMMETRY_NODES, shape)
        z, step = np.broadcast_to(path.z, shape), np.broadcast_to(path.step, shape)
        both = window_kernel(chains, cuts, points, energy), sea_kernel(chains, cuts, points, z, step)
        return np.concatenate(both, axis=-1).reshape(len(points), -1)

    return at


def _report_accuracy(value, error, cuts: Cuts, voltages, tolerance: float, comm) -> None:
    """Warn, once, where the energy quadrature ended short of its tolerance and not at rounding."""
    largest = np.abs(value[:, :, cuts.is_spin_current]).max(axis=(1, 2))
    achieved = error[:, :, cuts.is_spin_current].max(axis=(1, 2))
    short = achieved > np.maximum(WARNED_SHARE * tolerance * largest, ROUNDING_ERROR)
    if short.any() and (comm is None or comm.rank == 0):
        v = int(np.argmax(np.where(short, achieved / np.maximum(largest, np.finfo(float).tiny), 0)))
        warnings.warn(
            f"the energy quadrature at {voltages[v]:g} V is off by {achieved[v]:.2g} of {largest[v]:.2g} eV per "
            f"cell, more than the tolerance {tolerance:g}; see energy_error",
            stacklevel=4,
        )


def spin_torque(
    system,
    *,
    angle,
    voltage=0.0,
    kmesh=None,
    temperature: float | tuple[float, float] = 0.0,
    tolerance: float | None = None,
    comm=None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Spin-transfer torque on the free and the fixed magnet versus angle and voltage, equilibrium part included.

    torque = DL m x (p x m) + FL m x p on the free magnet m; on the fixed magnet m and p swap roles.

    Parameters
    ----------
    system
        A `Stack` or the result of `layered`.
    angle
        Angles between free and fixed magnet, rad.
    voltage
        V; mu_L - mu_R = eV.
    kmesh
        `qt.kmesh(n)`; without it the sum over k is refined to the tolerance.
    temperature
        K, of both leads or (left, right).
    tolerance
        Relative to the largest spin current at that voltage. With a `kmesh` of the energy quadrature, 1e-6 unless
        given. Without one of the sum over k (see `qtorque.refinement`; for a stack of one band an integral over the
        density of states); the energy quadrature then has a tenth of it.
    comm
        An MPI communicator; the result does not depend on its size.
    checkpoint
        Keeps finished chunks (`parallel.Checkpoint`); a part of its own for every call.
    progress
        A label for progress lines; silent if None.

    Returns
    -------
    Dataset
        dims angle, voltage, xyz, bond. `torque`, `torque_fixed` (eV per cell, laboratory frame); `damping_like`,
        `field_like`, `damping_like_fixed`, `field_like_fixed` (eV per cell, sin(angle) removed); `charge_current` (A
        per cell, positive for electrons left to right); `spin_current` (eV per cell) through the ends of both
        magnets; `energy_error` (eV per cell): achieved error of the energy quadrature, the largest of all spin
        currents; `k_error` (eV per cell), where the sum over k was refined: its estimated error.

    Raises
    ------
    InputError
        For bad arguments, a stack without two magnets, a lead without open channels.

    Notes
    -----
    At |sin(angle)| < 1e-4 the coefficients are the limits of those at nearby angles, of which they are even
    functions; that holds without spin-orbit coupling. With a third magnet off the axis of the fixed one it does not:
    the vectors count then, and the coefficients at such angles are not a number.

    Q^a(l) = Im Int dE/2pi Tr[(1/2){V^dagger, sigma_a}(f_L A_L + f_R A_R)]. I. Theodonis et al., Phys. Rev. Lett. 97,
    237205 (2006), for the single-band junction (cited from memory).
    """
    angles, voltages, kset, stack, tolerance = _sweep_arguments(system, angle, voltage, kmesh, temperature, tolerance)
    last = stack.layers + 1
    magnets = (stack.free, stack.fixed)
    bonds = sorted({b for magnet in magnets for b in ends(magnet, last)})
    # Of cuts with one spin current between them, such as both ends of a barrier, one is solved for.
    same = conserved(stack.chain(), bonds)
    cuts = Cuts(tuple(bonds[i] for i in dict.fromkeys(same)))
    place = [list(dict.fromkeys(same)).index(i) for i in same]
    singular = np.abs(np.sin(angles)) < SMALL_SINE
    if not _others_collinear(stack):
        # A third magnet off the axis exerts a torque at 0 and pi too: vectors as computed, no coefficients there.
        singular[:] = False
    near = [a + step for a in angles[singular] for step in (LIMIT_STEP, 2 * LIMIT_STEP)]
    every = np.array([*angles, *near])
    directions = [_directions(stack, float(a)) for a in every]
    require_open_leads(stack.chain(), kset or uniform_mesh(OPEN_SAMPLE), 0.0)
    sums = _sweep(stack, every, voltages, cuts, kset, temperature, tolerance, comm, checkpoint, progress)

    shape = (len(every), len(voltages))
    current = np.empty((*shape, len(bonds), 4))
    vectors = np.empty((2, *shape, 3))
    for v in range(len(voltages)):
        current[:, v] = cuts.currents(sums.value[v])[:, place]
        for a in range(len(every)):
            flow = {b: current[a, v, i, 1:] for i, b in enumerate(bonds)}
            for which, magnet in enumerate(magnets):
                vectors[which, a, v] = torque_on_magnet(flow, magnet, last, directions[a][which])
    charge = 4 * np.pi * CURRENT_PER_EV * current[:, :, 0, 0]
    m = np.array([d[0] for d in directions])
    p = np.array([d[1] for d in directions])
    coefficients = np.full((2, 2, *shape), np.nan)
    regular = np.abs(np.sin(every)) >= SMALL_SINE
    for which, (own, other) in enumerate(((m, p), (p, m))):
        parts = decompose(vectors[which, regular], own[regular, None], other[regular, None])
        coefficients[which][:, regular] = parts
        limits = coefficients[which][:, len(angles) :]
        coefficients[which][:, : len(angles)][:, singular] = (4 * limits[:, 0::2] - limits[:, 1::2]) / 3
    for which, (own, other) in enumerate(((m, p), (p, m))):
        for a in np.flatnonzero(singular).tolist():
            damping_like, field_like = coefficients[which][:, a]
            vectors[which, a] = recompose(damping_like, field_like, own[a], other[a])
    count = len(angles)
    plane, text = ("angle", "voltage"), "{} torque on the {} magnet, sin(angle) removed"
    variables = {
        "torque": ((*plane, "xyz"), vectors[0, :count], UNIT_TORQUE, "torque on the free magnet"),
        "torque_fixed": ((*plane, "xyz"), vectors[1, :count], UNIT_TORQUE, "torque on the fixed magnet"),
        "charge_current": (plane, charge[:count], "A per cell", "charge current, positive for electrons left to right"),
        "spin_current": ((*plane, "bond", "xyz"), current[:count, ..., 1:], UNIT_TORQUE, "spin current, left to right"),
        **_errors(sums, cuts, count),
        "magnetization": (("angle", "xyz"), m[:count], "1", "direction of the free magnet"),
    }
    for which, (suffix, magnet) in enumerate((("", "free"), ("_fixed", "fixed"))):
        for part, kind in enumerate(("damping-like", "field-like")):
            values = coefficients[which, part, :count]
            name = kind.replace("-", "_") + suffix
            variables[name] = (plane, values, UNIT_TORQUE, text.format(kind, magnet))
    return _dataset(stack, bonds, (), variables, angles, voltages, temperature, sums.attributes)


def _errors(sums: _Sums, cuts: Cuts, count: int) -> dict:
    """Variables of the errors at every voltage: the largest of all spin currents at the first `count` angles."""
    found = {"energy_error": (sums.error, "error of the energy quadrature, largest spin current")}
    if sums.k_error is not None:
        found["k_error"] = (sums.k_error, "estimated error of the sum over k, largest spin current")
    return {
        name: (("voltage",), error[:, :count, cuts.is_spin_current].max(axis=(1, 2)), UNIT_TORQUE, text)
        for name, (error, text) in found.items()
    }


def _dataset(
    stack, bonds: Sequence[int], layers: Sequence[int], variables: dict, angles, voltages, temperature, attributes: dict
) -> xr.Dataset:
    """Variables name -> (dims, values, units, long name) with the coordinates and attributes of a sweep."""
    return xr.Dataset(
        {name: (dims, data, {"units": u, "long_name": text}) for name, (dims, data, u, text) in variables.items()},
        coords={
            "angle": ("angle", angles, {"units": "rad", "long_name": "angle between free and fixed magnet"}),
            "voltage": ("voltage", voltages, {"units": "V", "long_name": "bias voltage, mu_L - mu_R = eV"}),
            "xyz": ["x", "y", "z"],
            "bond": [_bond_name(stack, b) for b in bonds],
            **({"layer": [stack.layer_names[e - 1] for e in layers]} if layers else {}),
        },
        attrs={
            "cell_area": stack.area,
            "cell_area_units": "nm^2",
            "temperature": list(_temperatures(temperature)),
            "temperature_units": "K",
            **attributes,
        },
    )


def layer_torque(
    system,
    *,
    angle,
    voltage=0.0,
    kmesh=None,
    temperature: float | tuple[float, float] = 0.0,
    tolerance: float | None = None,
    comm=None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Torque on every layer by two routes, and the spin current through every cut.

    Arguments as for `spin_torque`; any number of magnets.

    Returns
    -------
    Dataset
        dims angle, voltage, layer (bond), xyz, eV per cell, laboratory frame. `torque`: Q(l-1) - Q(l), the divergence
        of the spin current. `torque_exchange`: (i/2) Tr([sigma, H_l] rho_ll), which is (1/2) m_l x Tr[D_l sigma
        rho_ll]. `spin_current`: through every cut, bond l between layer l and l + 1 (the leads' cells included).
        Without spin-orbit coupling the two torques agree; the difference is the torque on the lattice.
    """
    angles, voltages, kset, stack, tolerance = _sweep_arguments(system, angle, voltage, kmesh, temperature, tolerance)
    cuts = Cuts(tuple(range(stack.layers + 1)), tuple(range(1, stack.layers + 1)))
    require_open_leads(stack.chain(), kset or uniform_mesh(OPEN_SAMPLE), 0.0)
    sums = _sweep(stack, angles, voltages, cuts, kset, temperature, tolerance, comm, checkpoint, progress)
    current = np.stack([cuts.currents(v) for v in sums.value], axis=1)[..., 1:]
    exchange = np.stack([cuts.torques(v) for v in sums.value], axis=1)
    vector = ("angle", "voltage", "layer", "xyz")
    divergence = current[:, :, :-1] - current[:, :, 1:]
    variables = {
        "torque": (vector, divergence, UNIT_TORQUE, "torque on the layer, from the spin current"),
        "torque_exchange": (vector, exchange, UNIT_TORQUE, "torque on the layer, from its exchange field"),
        "spin_current": (("angle", "voltage", "bond", "xyz"), current, UNIT_TORQUE, "spin current, left to right"),
        **_errors(sums, cuts, len(angles)),
    }
    return _dataset(stack, cuts.bonds, cuts.layers, variables, angles, voltages, temperature, sums.attributes)


def interlayer_coupling(
    system,
    *,
    kmesh=None,
    angle=(0.0, np.pi),
    temperature: float = 0.0,
    tolerance: float | None = None,
    comm=None,
    checkpoint: parallel.Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Grand potential versus angle at V = 0, from ln det G along the contour.

    Omega(angle) = -(1/pi) Im Int dE f(E) ln det G(E, angle), relative to the first angle. With all that lies beyond
    the cut turning rigidly, only det(1 - g_left V g_right V^dagger) there depends on the angle. This is the second
    route to the zero-bias field-like torque: tau_FL = (1/sin) dOmega/d angle.

    Returns
    -------
    Dataset
        `grand_potential` (angle), eV per cell, its `energy_error` and, where the sum over k was refined, `k_error`.
        `kmesh` and `tolerance` as in `spin_torque`, the tolerance relative to the largest grand potential.

    Raises
    ------
    InputError
        If another magnet lies beyond the free one, or the free one is part of no end of the stack.
    """
    angles, _, kset, stack, tolerance = _sweep_arguments(system, angle, 0.0, kmesh, temperature, tolerance)
    if stack.free is not stack.magnets[-1] and stack.free is not stack.magnets[0]:
        raise InputError("interlayer_coupling: magnets lie on both sides of the free one; name an outer one as free=")
    cut = stack.free.start - 1 if stack.free is stack.magnets[-1] else stack.free.stop - 1
    fermi = Fermi(0.0, finite_number("temperature", temperature, "K: in equilibrium both leads have the same"))
    chains = [stack.chain(float(a), 0.0) for a in angles]
    bottom = min(chain.lowest_energy for chain in chains) - BELOW_SPECTRUM

    def kernel(k, z, step):
        return (step[..., None] * log_determinants(chains, cut, k, z)).imag / np.pi

    def one(_, k, weights):
        everything = np.ones(len(angles), dtype=bool)
        result = sea_integral(kernel, fermi, bottom, k, weights, tolerance=energy_tolerance, reference=everything)
        return result.value, result.error

    energy_tolerance = tolerance if kset is not None else INNER_SHARE * tolerance
    variables = {}
    if kset is None:
        stages = _in_stages(one, comm, checkpoint, progress)
        (refined,) = climb([ladder(chains, [fermi.mu])], stages, tolerance=tolerance)
        warn_if_short(refined, tolerance, "interlayer_coupling", comm, stacklevel=3)
        value, error, attributes = refined.value, refined.noise, _refined_attributes([refined], tolerance)
        variables["k_error"] = (refined.error, "estimated error of the sum over k")
    else:
        path = sea_arc(fermi, bottom, SYMMETRY_NODES)
        require_symmetry(
            kset,
            lambda k: kernel(k, *(np.broadcast_to(x, (len(k), len(x))) for x in (path.z, path.step))),
            SYMMETRY_NOISE,
        )
        ((value, error),) = _summed(one, [(0, kset)], comm, checkpoint, progress)
        attributes = {"kmesh": repr(kset), "energy_tolerance": tolerance}
    variables["grand_potential"] = (value, "grand potential relative to the first angle")
    variables["energy_error"] = (error, "error of the energy quadrature")
    return xr.Dataset(
        {name: (("angle",), x, {"units": UNIT_TORQUE, "long_name": text}) for name, (x, text) in variables.items()},
        coords={"angle": ("angle", angles, {"units": "rad"})},
        attrs={"cell_area": stack.area, **attributes},
    )


def torkance(d: xr.Dataset, at_voltage: float = 0.0) -> xr.Dataset:
    """d torque/dV of both coefficients at a voltage, by a cubic spline through the voltages of a `spin_torque` result.

    Returns
    -------
    Dataset
        `damping_like` and `field_like` (angle), eV/V per cell; `qt.per_area` gives (hbar/2e) Ohm^-1 m^-2.

    Raises
    ------
    InputError
        For fewer than two voltages, or a voltage outside their range.
    """
    V = d["voltage"].values
    if len(V) < 2:
        raise InputError("torkance: the dataset has one voltage; a derivative needs at least two, better five")
    if not V.min() <= at_voltage <= V.max():
        raise InputError(f"torkance: at_voltage={at_voltage:g} lies outside the voltages {V.min():g} ... {V.max():g} V")
    order = np.argsort(V)
    result = {}
    for name in ("damping_like", "field_like"):
        slope = CubicSpline(V[order], d[name].values[:, order], axis=1)(at_voltage, 1)
        attrs = {"units": "eV/V per cell", "long_name": d[name].attrs["long_name"].replace("torque", "torkance")}
        result[name] = (("angle",), slope, attrs)
    return xr.Dataset(result, coords={"angle": d["angle"]}, attrs={**d.attrs, "at_voltage": at_voltage})


def _bond_name(stack: LayeredSystem, bond: int) -> str:
    names = ["left lead cell", *stack.layer_names, "right lead cell"]
    return f"{names[bond]} | {names[bond + 1]}"


def _sweep_arguments(system, angle, voltage, kmesh, temperature, tolerance):
    angles, voltages = (
        np.array([finite_number(name, value, unit) for value in np.ravel(np.asarray(given, dtype=object))])
        for name, given, unit in (("angle", angle, "rad"), ("voltage", voltage, "V"))
    )
    if not len(angles) or not len(voltages):
        raise InputError("angle= or voltage= is an empty list; give at least one number each")
    kset = kset_or_none(kmesh, tolerance)
    _temperatures(temperature)
    stack = as_layered(system)
    if stack.has_barrier is False and np.abs(voltages).max() > UNSHIFTED_LIMIT:
        warnings.warn(
            f"the stack has no barrier, so no band shifts with the bias; {np.abs(voltages).max():g} V is beyond the "
            f"{UNSHIFTED_LIMIT} V where occupations alone describe it (mark layers with barrier=True)",
            stacklevel=3,
        )
    return angles, voltages, kset, stack, DEFAULT_TOLERANCE if tolerance is None else tolerance


def _temperatures(temperature) -> tuple[float, float]:
    pair = (temperature, temperature) if np.ndim(temperature) == 0 else tuple(temperature)
    values = tuple(finite_number("temperature", T, "K, or two for (left, right)") for T in pair)
    if len(values) != 2 or min(values) < 0:
        raise InputError(f"temperature={temperature!r} must be one number in K, not negative, or (left, right)")
    return values[0], values[1]


def _others_collinear(stack: LayeredSystem) -> bool:
    """Whether every magnet besides the free one lies along the fixed one."""
    onsite = stack.chain(0.0, 0.0).onsite
    axes = [onsite[magnet.start].spin_part.axis for magnet in stack.magnets if magnet is not stack.free]
    return all(common_axis(axes[0], axis) is not None for axis in axes)


def _directions(stack: LayeredSystem, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """(m, p) as found in the blocks, checked against the angle asked for."""
    chain = stack.chain(angle, 0.0)
    found = []
    for magnet in (stack.free, stack.fixed):
        axes = [chain.onsite[e].spin_part.axis for e in magnet if chain.onsite[e].spin_part.axis is not None]
        if not axes:
            raise InputError("a magnet has no exchange of its own in its on-site terms; its direction is unknown")
        found.append(np.array(axes[0]))
    cosine = float(found[0] @ found[1])
    if abs(cosine - np.cos(angle)) > PARALLEL_LIMIT:
        raise InputError(
            f"params(angle={angle:g}) turns the free magnet to {np.degrees(np.arccos(np.clip(cosine, -1, 1))):.4g} "
            "degrees from the fixed one; let it point along (sin, 0, cos) in the frame of the fixed one"
        )
    return found[0], found[1]

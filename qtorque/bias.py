"""Torques and currents of a biased junction: the bias window on the real axis, the Fermi sea along a contour.

At a bias the two leads fill the states that come from them up to mu_L = +eV/2 and mu_R = -eV/2, and

    f_L A_L + f_R A_R = f_0 (A_L + A_R) + (f_L - f_R)(A_L - A_R)/2,    f_0 = (f_L + f_R)/2.

The first part is the sea, analytic in the upper half plane; its narrow resonances never meet a panel of the real
axis. The second lives in the window. Both are integrated adaptively at every momentum, to one stated tolerance.
"""

import itertools
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from qtorque import parallel
from qtorque.bloch import LayeredSystem, as_layered
from qtorque.brillouin import kmesh as uniform_mesh
from qtorque.brillouin import require_symmetry
from qtorque.chain import Chain
from qtorque.contour import BELOW_SPECTRUM, Fermi, sea_arc, sea_integral
from qtorque.density_of_states import ladder
from qtorque.errors import InputError, finite_number
from qtorque.green import common_axis
from qtorque.refinement import INNER_SHARE, climb, kset_or_none, warn_if_short
from qtorque.scattering import require_open_leads
from qtorque.sweeps import (
    SYMMETRY_NODES,
    SYMMETRY_NOISE,
    Sums,
    in_stages,
    lead_temperatures,
    refined_attributes,
    summed,
    sweep,
)
from qtorque.torque import (
    LIMIT_STEP,
    PARALLEL_LIMIT,
    SMALL_SINE,
    UNKNOWN_EXCHANGE,
    Cuts,
    conserved,
    decompose,
    exchange_layers,
    exchange_parts,
    has_lattice_torque,
    log_determinants,
    recompose,
    torque_cuts,
    torque_on_magnet,
)
from qtorque.units import CURRENT_PER_EV

DEFAULT_TOLERANCE = 1e-6
"""Energy quadrature on a given mesh, relative to the largest spin current at that voltage."""
OPEN_SAMPLE = 64
"""Side of the mesh on which the leads are looked at for open channels where no mesh is given."""
UNSHIFTED_LIMIT = 0.1
"""V; a junction without a barrier drops its bias in its resistances, which occupations alone do not describe beyond
this."""

UNIT_TORQUE = "eV per cell"


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
        per cell, positive for electrons left to right); `spin_current` (eV per cell) through the ends of both magnets,
        and where the layers with spin-orbit coupling of one end that goes on in a lead; `energy_error` (eV per cell):
        achieved error of the energy quadrature, the largest of all spin currents; `k_error` (eV per cell), where the
        sum over k was refined: its estimated error. Where one of the two magnets has spin-orbit coupling, also
        `torque_exchange` and `torque_exchange_fixed` (eV per cell).

    Raises
    ------
    InputError
        For bad arguments, a stack without two magnets, a lead without open channels.

    Notes
    -----
    At |sin(angle)| < 1e-4 the coefficients are the limits of those at nearby angles, of which they are even
    functions; that holds without spin-orbit coupling. With it anywhere in the stack, or with a third magnet off the
    axis of the fixed one, it does not: the vectors count then, and the coefficients at such angles are not a number.

    `torque` is the spin current that enters a magnet less the one that leaves it: the angular momentum its spins lose.
    With spin-orbit coupling in the magnet the lattice takes a part of it. What acts on the magnetization is
    `torque_exchange` = (1/2) m x Tr[D sigma rho], summed over the layers of the magnet; without spin-orbit coupling it
    is `torque`. It holds the equilibrium part too, which with spin-orbit coupling contains the anisotropy torque of the
    electrons of this stack. For a magnet that goes on in a lead with spin-orbit coupling it is not a number (a `note`
    in its attributes says so): the exchange torque is spread through the lead, and `torque` is the transverse spin
    current at the interface. Where only layers in front of the lead have it, what enters the lead counts as transverse
    spin current. A hopping between layers that depends on spin counts as spin-orbit coupling of both. Coefficients are
    those of `torque`, the parts of the vector along m x (p x m) and m x p at this azimuth of m about p. With spin-orbit
    coupling the torque depends on the azimuth and has a part along m, which no coefficient shows.

    Q^a(l) = Im Int dE/2pi Tr[(1/2){V^dagger, sigma_a}(f_L A_L + f_R A_R)]. I. Theodonis et al., Phys. Rev. Lett. 97,
    237205 (2006), for the single-band junction (cited from memory).
    """
    angles, voltages, kset, stack, tolerance = _sweep_arguments(system, angle, voltage, kmesh, temperature, tolerance)
    last = stack.layers + 1
    magnets, unbiased = (stack.free, stack.fixed), stack.chain(0.0, 0.0)
    bonds = torque_cuts(unbiased, magnets)
    singular = np.abs(np.sin(angles)) < SMALL_SINE
    if not coefficients_have_limits(stack):
        # There is a torque at 0 and pi too: vectors as computed, no coefficients there.
        singular[:] = False
    near = [a + step for a in angles[singular] for step in (LIMIT_STEP, 2 * LIMIT_STEP)]
    every = np.array([*angles, *near])
    directions = [directions_of(stack.chain(a, 0.0), magnets, a) for a in every.tolist()]
    # Of cuts with one spin current between them, such as both ends of a barrier, one is solved for.
    same = _conserved(stack, every, voltages, bonds)
    cuts = Cuts(tuple(bonds[i] for i in dict.fromkeys(same)), exchange_layers(unbiased, magnets))
    place = [list(dict.fromkeys(same)).index(i) for i in same]
    require_open_leads(stack.chain(), kset or uniform_mesh(OPEN_SAMPLE), 0.0)
    sums = sweep(stack, every, voltages, cuts, kset, temperature, tolerance, comm, checkpoint, progress)

    shape = (len(every), len(voltages))
    current = np.empty((*shape, len(bonds), 4))
    vectors, exchange = np.empty((2, *shape, 3)), np.full((2, *shape, 3), np.nan)
    for v in range(len(voltages)):
        current[:, v] = cuts.currents(sums.value[v])[:, place]
        layered_torque = cuts.torques(sums.value[v])
        for a in range(len(every)):
            flow = {b: current[a, v, i, 1:] for i, b in enumerate(bonds)}
            for which, magnet in enumerate(magnets):
                vectors[which, a, v] = torque_on_magnet(flow, magnet, last, directions[a][which])
                if split := exchange_parts(unbiased, magnet):
                    exchange[which, a, v] = layered_torque[a, np.isin(cuts.layers, split[0])].sum(axis=0)
                    if split[1]:
                        exchange[which, a, v] += torque_on_magnet(flow, split[1], last, directions[a][which])
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
        if has_lattice_torque(unbiased, magnets):
            long_name = f"torque on the magnetization of the {magnet} magnet"
            variables["torque_exchange" + suffix] = ((*plane, "xyz"), exchange[which, :count], UNIT_TORQUE, long_name)
    d = _dataset(stack, bonds, (), variables, angles, voltages, temperature, sums.attributes)
    for suffix, magnet in zip(("", "_fixed"), magnets, strict=True):
        if exchange_parts(unbiased, magnet) is None:
            d["torque_exchange" + suffix].attrs["note"] = UNKNOWN_EXCHANGE
    return d


def _conserved(stack: LayeredSystem, angles: np.ndarray, voltages: np.ndarray, bonds: Sequence[int]) -> list[int]:
    """`conserved` at all angles and voltages: a layer may be magnetic at some of them only."""
    # Whether a bond carries the current of the one before it.
    alike = np.ones(len(bonds) - 1, dtype=bool)
    for angle, voltage in itertools.chain([(None, 0.0)], itertools.product(angles.tolist(), voltages.tolist())):
        if alike.any():
            alike &= np.diff(conserved(stack.chain(angle, voltage), bonds)) == 0
    return [0, *np.maximum.accumulate(np.where(alike, 0, np.arange(1, len(bonds)))).tolist()]


def _errors(sums: Sums, cuts: Cuts, count: int) -> dict:
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
            "temperature": list(lead_temperatures(temperature)),
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
        of the spin current: what the spins of the layer lose. `torque_exchange`: (i/2) Tr([sigma, H_l] rho_ll) with
        the exchange H_l = -(1/2) D_l m_l.sigma, which is (1/2) m_l x Tr[D_l sigma rho_ll]: what acts on its
        magnetization. `torque_lattice`: their difference, which spin-orbit coupling hands to the lattice; rounding
        without it. `spin_current`: through every cut, bond l between layer l and l + 1 (the leads' cells included).

    Notes
    -----
    In a system of plain Kwant builders nothing tells exchange from spin-orbit coupling unless the parameters of the
    magnets are named (`magnetizations=` of `qt.layered`): all that depends on spin in an on-site block counts as
    exchange there, and the torque on the lattice is that of spin-dependent hoppings.
    """
    angles, voltages, kset, stack, tolerance = _sweep_arguments(system, angle, voltage, kmesh, temperature, tolerance)
    cuts = Cuts(tuple(range(stack.layers + 1)), tuple(range(1, stack.layers + 1)))
    require_open_leads(stack.chain(), kset or uniform_mesh(OPEN_SAMPLE), 0.0)
    sums = sweep(stack, angles, voltages, cuts, kset, temperature, tolerance, comm, checkpoint, progress)
    current = np.stack([cuts.currents(v) for v in sums.value], axis=1)[..., 1:]
    exchange = np.stack([cuts.torques(value) for value in sums.value], axis=1)
    vector = ("angle", "voltage", "layer", "xyz")
    divergence = current[:, :, :-1] - current[:, :, 1:]
    variables = {
        "torque": (vector, divergence, UNIT_TORQUE, "torque on the layer, from the spin current"),
        "torque_exchange": (vector, exchange, UNIT_TORQUE, "torque on the layer, from its exchange field"),
        "torque_lattice": (vector, divergence - exchange, UNIT_TORQUE, "torque on the lattice of the layer"),
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
        If another magnet lies beyond the free one, the free one is part of no end of the stack, or there is spin-orbit
        coupling (or a hopping that depends on spin) in it or beyond it: its own energy depends on its direction then.
    """
    angles, _, kset, stack, tolerance = _sweep_arguments(system, angle, 0.0, kmesh, temperature, tolerance)
    if stack.free is not stack.magnets[-1] and stack.free is not stack.magnets[0]:
        raise InputError("interlayer_coupling: magnets lie on both sides of the free one; name an outer one as free=")
    cut = stack.free.start - 1 if stack.free is stack.magnets[-1] else stack.free.stop - 1
    fermi = Fermi(0.0, finite_number("temperature", temperature, "K: in equilibrium both leads have the same"))
    chains = [stack.chain(float(a), 0.0) for a in angles]
    coupled = chains[0].spin_orbit_coupled
    if any(coupled[cut + 1 :] if stack.free is stack.magnets[-1] else coupled[: cut + 1]):
        raise InputError(
            "interlayer_coupling: spin-orbit coupling in the free magnet or beyond it gives it an anisotropy of its "
            "own; leave spin_orbit and hoppings that depend on spin out there, or name the magnet at the other end as "
            "free="
        )
    bottom = min(chain.lowest_energy for chain in chains) - BELOW_SPECTRUM

    def kernel(k, z, step):
        return (step[..., None] * log_determinants(chains, cut, k, z)).imag / np.pi

    def one(_, k, weights):
        everything = np.ones(len(angles), dtype=bool)
        result = sea_integral(kernel, fermi, bottom, k, weights, tolerance=energy_tolerance, reference=everything)
        return result.value, result.error

    energy_tolerance = tolerance if kset is not None else INNER_SHARE * tolerance
    checkpoint = parallel.checkpoint_part(checkpoint, "interlayer_coupling", chains, cut, kset, fermi, tolerance)
    variables = {}
    if kset is None:
        stages = in_stages(one, stack, comm, checkpoint, progress)
        (refined,) = climb([ladder(chains, [fermi.mu])], stages, tolerance=tolerance)
        warn_if_short(refined, tolerance, "interlayer_coupling", comm, stacklevel=3)
        value, error, attributes = refined.value, refined.noise, refined_attributes([refined], tolerance)
        variables["k_error"] = (refined.error, "estimated error of the sum over k")
    else:
        path = sea_arc(fermi, bottom, SYMMETRY_NODES)
        require_symmetry(
            kset,
            lambda k: kernel(k, *(np.broadcast_to(x, (len(k), len(x))) for x in (path.z, path.step))),
            SYMMETRY_NOISE,
        )
        ((value, error),) = summed(one, stack, [(0, kset)], comm, checkpoint, progress)
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
        `damping_like` and `field_like` (angle), eV/V per cell; not a number at angles at which the coefficients are
        not. Where a magnet has spin-orbit coupling these are of the torque on spins and lattice together; that on the
        magnetization is `torque_exchange` (angle, xyz), eV/V per cell. `qt.per_area` gives (hbar/2e) Ohm^-1 m^-2.

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
    for name in ("damping_like", "field_like", "torque_exchange"):
        if name not in d and name == "torque_exchange":
            continue
        values = d[name].transpose("angle", "voltage", ...)
        known = np.isfinite(values.values).all(axis=tuple(range(1, values.ndim)))
        slope = np.full(values.isel(voltage=0).shape, np.nan)
        if known.any():
            slope[known] = CubicSpline(V[order], values.values[known][:, order], axis=1)(at_voltage, 1)
        text = {"long_name": values.attrs["long_name"].replace("torque", "torkance")}
        result[name] = (values.isel(voltage=0).dims, slope, {**values.attrs, **text, "units": "eV/V per cell"})
    coords = {name: d[name] for name in ("angle", "xyz") if name in d.coords}
    return xr.Dataset(result, coords=coords, attrs={**d.attrs, "at_voltage": at_voltage})


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
    lead_temperatures(temperature)
    stack = as_layered(system)
    if stack.has_barrier is False and np.abs(voltages).max() > UNSHIFTED_LIMIT:
        warnings.warn(
            f"the stack has no barrier, so no band shifts with the bias; {np.abs(voltages).max():g} V is beyond the "
            f"{UNSHIFTED_LIMIT} V where occupations alone describe it (mark layers with barrier=True)",
            stacklevel=3,
        )
    return angles, voltages, kset, stack, DEFAULT_TOLERANCE if tolerance is None else tolerance


def coefficients_have_limits(stack: LayeredSystem) -> bool:
    """Whether the coefficients are even functions of the angle about 0 and pi.

    Every magnet besides the free one has to lie along the fixed one, and nothing may have spin-orbit coupling.
    """
    chain = stack.chain(0.0, 0.0)
    axes = [chain.exchange_of(magnet.start).spin_part.axis for magnet in stack.magnets if magnet is not stack.free]
    return not any(chain.spin_orbit_coupled) and all(common_axis(axes[0], axis) is not None for axis in axes)


def directions_of(chain: Chain, magnets: Sequence[range], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """(m, p) of the free and the fixed magnet as found in the blocks, checked against the angle asked for."""
    found = []
    for magnet in magnets:
        exchange = [chain.exchange_of(e).spin_part.axis for e in magnet]
        axes = [axis for axis in exchange if axis is not None]
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

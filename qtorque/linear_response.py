"""Conductance and torkance of a stack at a vanishing voltage, from the states at the Fermi energy alone.

A small bias opens the window mu +- eV/2 around the Fermi energy, symmetrically, and shifts no band: the sea of
f_0 = (f_L + f_R)/2 does not change in first order of V, and all that does is (A_L - A_R)/2 at one energy.
"""

import numpy as np
import xarray as xr

from qtorque.bias import coefficients_have_limits, directions_of
from qtorque.bloch import LayeredSystem, as_layered
from qtorque.brillouin import KSet, as_kset, require_symmetry
from qtorque.conductances import CONDUCTANCE_UNIT
from qtorque.errors import InputError, finite_number
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks
from qtorque.scattering import chunk_size, require_open_leads
from qtorque.sweeps import summed
from qtorque.torque import (
    LIMIT_STEP,
    SMALL_SINE,
    UNKNOWN_EXCHANGE,
    Cuts,
    conserved,
    decompose,
    exchange_layers,
    exchange_parts,
    has_lattice_torque,
    torque_cuts,
    torque_on_magnet,
    window_kernel,
)

PROBE_VOLTAGE = 0.1
"""V; at this bias the blocks are compared with the unbiased ones. Any other serves as well, profiles being linear."""
UNIT_TORKANCE = "eV/V per cell"


def linear_torkance(
    system,
    *,
    angle,
    kmesh,
    energy: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Conductance and torkance on both magnets at V -> 0 and T = 0 versus angle, from one energy.

    G = (e^2/h) sum_k w_k Tr[Gamma_R G Gamma_L G^dagger], both spins together, and

        dtau/dV = dQ(in)/dV - dQ(out)/dV,    dQ^a/dV = Im Tr[(1/2){V^dagger, sigma_a} (A_L - A_R)/2]/(2 pi)

    on the free magnet m: dtau/dV = DL m x (p x m) + FL m x p; on the fixed magnet m and p swap roles. It is the slope
    of `spin_torque` at zero voltage, without integrals over energy.

    Parameters
    ----------
    system
        A `Stack` or the result of `layered`, whose bands do not shift with the bias: no barrier.
    angle
        Angles between free and fixed magnet, rad. They share all that does not turn.
    kmesh
        `qt.kmesh(n)` or `qt.kpoints(points)`.
    energy
        Fermi energy, eV.
    comm
        An MPI communicator; the result does not depend on its size.
    checkpoint
        Keeps finished chunks (`parallel.Checkpoint`); a part of its own for every call.
    progress
        A label for progress lines; silent if None.

    Returns
    -------
    Dataset
        dims angle, xyz. `conductance` (angle), e^2/h per cell; `damping_like`, `field_like`, `damping_like_fixed`,
        `field_like_fixed` (angle), eV/V per cell, sin(angle) removed; `torque`, `torque_fixed` (angle, xyz), eV/V per
        cell, laboratory frame; `magnetization` (angle, xyz). Where one of the two magnets has spin-orbit coupling, also
        `torque_exchange`, `torque_exchange_fixed` (angle, xyz), eV/V per cell: see `spin_torque`. `qt.per_area` gives
        SI.

    Raises
    ------
    InputError
        For bad arguments, a stack without two magnets, bands that shift with the bias, a lead without open channels, a
        declared symmetry that does not hold.

    See Also
    --------
    k_resolved_torkance : the same at every momentum.

    Notes
    -----
    At |sin(angle)| < 1e-4 the coefficients are the limits of those at nearby angles. With more than two magnets, which
    need not lie on one line, and with spin-orbit coupling they are not a number there.
    """
    response = _Response(system, angle, energy)
    kset = as_kset(kmesh)
    response.require(kset)

    def one(_: int, k: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray]:
        return (np.tensordot(weights, response.columns(k), axes=1),)

    checkpoint = checkpoint_part(checkpoint, "linear_torkance", response.chains, response.cuts, kset, response.energy)
    ((total,),) = summed(one, response.stack, [(0, kset)], comm, checkpoint, progress)
    return response.dataset(total, (), {}, kset)


def k_resolved_torkance(
    system,
    *,
    angle,
    kmesh,
    energy: float = 0.0,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """`linear_torkance` at every momentum: the same variables with a leading dimension k.

    Arguments and errors as there. The coordinates k1, k2 (rad) and `weight` go with k, so that `qt.k_average` of a
    variable is that of `linear_torkance`. It takes about 200 bytes for each momentum and angle.
    """
    response = _Response(system, angle, energy)
    kset = as_kset(kmesh)
    response.require(kset)
    size = chunk_size(response.chains[0])
    chunks = [range(start, min(start + size, kset.size)) for start in range(0, kset.size, size)]

    def one(index: range) -> np.ndarray:
        return response.columns(kset.take(index)[0])

    checkpoint = checkpoint_part(checkpoint, "k_resolved", response.chains, response.cuts, kset, response.energy)
    columns = np.concatenate(map_chunks(one, chunks, comm, checkpoint, progress))
    coordinates: dict = {
        f"k{i + 1}": ("k", kset.points[:, i], {"units": "rad", "long_name": f"k.a{i + 1}"}) for i in range(2)
    }
    coordinates["weight"] = ("k", kset.weights, {"units": "1", "long_name": "weight in a sum over k"})
    return response.dataset(columns, ("k",), coordinates, kset)


class _Response:
    """One stack at some angles: what is asked of the kernel, and what is made of its columns.

    All that is made is linear in the columns, so that it does not matter whether they are summed over k before.
    """

    def __init__(self, system, angle, energy: float) -> None:
        angles = [finite_number("angle", a, "rad") for a in np.ravel(np.asarray(angle, dtype=object))]
        if not angles:
            raise InputError("angle= is an empty list; give at least one number")
        self.angles, self.energy = np.array(angles), finite_number("energy", energy, "eV")
        self.stack = stack = as_layered(system)
        self.magnets, self.last = (stack.free, stack.fixed), stack.layers + 1
        _require_unshifted(stack, angles[0])
        self.singular = np.abs(np.sin(self.angles)) < SMALL_SINE
        if not coefficients_have_limits(stack):
            self.singular[:] = False
        near = [a + step for a in self.angles[self.singular] for step in (LIMIT_STEP, 2 * LIMIT_STEP)]
        self.every = np.array([*angles, *near])
        self.chains = [stack.chain(a) for a in self.every.tolist()]
        self.bonds = torque_cuts(self.chains[0], self.magnets)
        self.directions = np.array([directions_of(self.chains[a], self.magnets, x) for a, x in enumerate(self.every)])
        # Both sides of a normal spacer carry one spin current, at every angle.
        same = np.max([conserved(chain, self.bonds) for chain in self.chains], axis=0)
        layers = exchange_layers(self.chains[0], self.magnets)
        self.cuts = Cuts(tuple(self.bonds[i] for i in np.unique(same)), layers)
        self.place = np.searchsorted(np.unique(same), same)

    def require(self, kset: KSet) -> None:
        """Refuse momenta without open channels, or with a symmetry that the response does not have."""
        require_open_leads(self.chains[0], kset, self.energy)
        require_symmetry(kset, self.columns)

    def columns(self, k: np.ndarray) -> np.ndarray:
        """The window kernel at the Fermi energy, shape (k, columns of all angles)."""
        return window_kernel(self.chains, self.cuts, k, np.full((len(k), 1), self.energy))[:, 0]

    def dataset(self, columns: np.ndarray, dims: tuple[str, ...], coordinates: dict, kset: KSet) -> xr.Dataset:
        """Columns (..., angles x columns) as variables of dims (..., angle)."""
        lead, every, count = columns.shape[:-1], len(self.every), len(self.angles)
        columns = columns.reshape(*lead, every, self.cuts.columns)
        flow, layered_torque = self.cuts.currents(columns)[..., self.place, :], self.cuts.torques(columns)
        plane = (*dims, "angle")
        variables = {
            "conductance": (
                plane, 4 * np.pi * flow[..., :count, 0, 0], CONDUCTANCE_UNIT, "conductance, both spins together"
            )
        }  # fmt: skip
        for which, (suffix, name) in enumerate((("", "free"), ("_fixed", "fixed"))):
            own, other = self.directions[:, which], self.directions[:, 1 - which]
            magnet = self.magnets[which]
            vectors = self._torque(flow, magnet, own)
            damping_like, field_like = self._coefficients(vectors, own, other)
            variables["torque" + suffix] = (
                (*plane, "xyz"), vectors[..., :count, :], UNIT_TORKANCE, f"torkance vector of the {name} magnet"
            )  # fmt: skip
            if has_lattice_torque(self.chains[0], self.magnets):
                exchange = np.full(vectors.shape, np.nan)
                if parts := exchange_parts(self.chains[0], magnet):
                    exchange = layered_torque[..., np.isin(self.cuts.layers, parts[0]), :].sum(axis=-2)
                    if parts[1]:
                        exchange += self._torque(flow, parts[1], own)
                variables["torque_exchange" + suffix] = (
                    (*plane, "xyz"), exchange[..., :count, :], UNIT_TORKANCE,
                    f"torkance vector of the magnetization of the {name} magnet",
                )  # fmt: skip
            for kind, values in (("damping-like", damping_like), ("field-like", field_like)):
                text = f"{kind} torkance on the {name} magnet, sin(angle) removed"
                variables[kind.replace("-", "_") + suffix] = (plane, values, UNIT_TORKANCE, text)
        variables["magnetization"] = (
            ("angle", "xyz"), self.directions[:count, 0], "1", "direction of the free magnet"
        )  # fmt: skip
        found = xr.Dataset(
            {name: (d, data, {"units": u, "long_name": text}) for name, (d, data, u, text) in variables.items()},
            coords={
                "angle": ("angle", self.angles, {"units": "rad", "long_name": "angle between free and fixed magnet"}),
                "xyz": ["x", "y", "z"],
                **coordinates,
            },
            attrs={
                "cell_area": self.stack.area,
                "cell_area_units": "nm^2",
                "energy": self.energy,
                "energy_units": "eV",
                "kmesh": repr(kset),
            },
        )
        for suffix, magnet in zip(("", "_fixed"), self.magnets, strict=True):
            if exchange_parts(self.chains[0], magnet) is None:
                found["torque_exchange" + suffix].attrs["note"] = UNKNOWN_EXCHANGE
        return found

    def _torque(self, flow: np.ndarray, magnet: range, directions: np.ndarray) -> np.ndarray:
        """On one magnet from charge and spin currents (..., angle, bond, 4) and its direction at every angle."""
        # It is linear in them: the currents of one component through one bond make the rows of its matrix.
        single = np.eye(3 * len(self.bonds)).reshape(-1, len(self.bonds), 3)
        flows, found = [dict(zip(self.bonds, one, strict=True)) for one in single], []
        for a, direction in enumerate(directions):
            rows = np.array([torque_on_magnet(one, magnet, self.last, direction) for one in flows])
            spins = flow[..., a, :, 1:]
            found.append(spins.reshape(*spins.shape[:-2], -1) @ rows)
        return np.stack(found, axis=-2)

    def _coefficients(self, vectors: np.ndarray, own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(damping-like, field-like) at the angles asked for, from vectors (..., every angle, xyz)."""
        count = len(self.angles)
        regular = np.abs(np.sin(self.every)) >= SMALL_SINE
        found = np.full((2, *vectors.shape[:-1]), np.nan)
        found[..., regular] = decompose(vectors[..., regular, :], own[regular], other[regular])
        if self.singular.any():
            limits = found[..., count:]
            found[..., np.flatnonzero(self.singular)] = (4 * limits[..., 0::2] - limits[..., 1::2]) / 3
        return found[0, ..., :count], found[1, ..., :count]


def _require_unshifted(stack: LayeredSystem, angle: float) -> None:
    """Refuse a system whose blocks change with the voltage: its sea responds too, and one energy is not all."""
    rest, biased = stack.chain(angle), stack.chain(angle, PROBE_VOLTAGE)
    pairs = zip((*rest.onsite, *rest.bond), (*biased.onsite, *biased.bond), strict=True)
    if not all(a.equals(None, b, None) for a, b in pairs):
        raise InputError(
            "linear response: bands of this system shift with the bias, and the Fermi sea responds too; take "
            "spin_torque at small voltages and torkance, or leave out barrier=True"
        )

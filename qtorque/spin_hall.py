r"""Intrinsic spin Hall and anomalous Hall conductivity of a crystal: Kubo's formula as a sum of Berry curvatures.

With v_i = dH/dk_i at the true places of the orbitals, J^s_i = {v_i, sigma_s}/2, cell volume V and N momenta,

    sigma^s_ij = (hbar/2e) (e^2/hbar) (1/(V N)) sum_k sum_n f_n Omega^s_n,ij,
    Omega^s_n,ij = -2 Im sum_{m != n} <n|J^s_i|m> <m|v_j|n> / (E_n - E_m)^2.

It is the spin current per ELECTRIC field along j: s is the direction of the electrons' SPIN, i that of their flow, and
each carries hbar/2. First-order perturbation theory in the slow change hbar dk/dt = -e E gives the sign. Then
sigma^z_xy = sigma^x_yz = sigma^y_zx > 0 for Pt, as in G. Y. Guo et al., Phys. Rev. Lett. 100, 096401 (2008) and T.
Tanaka et al., Phys. Rev. B 77, 165117 (2008) (both from memory).

A metal is called positive where spins flow along charge current x spin, as Pt. The same sign has the angle theta =
(2e/hbar) rho sigma of `qtorque.diffusion.spin_hall`, to which `film_conductivity` leads.

Pairs n < m are summed with (f_n - f_m), so that two occupied bands cancel before they are computed.

Valid for a clean crystal whose bands keep their shape: no disorder, no side jump, no skew scattering, no vertex
correction; weak scattering, hbar/tau below the spin-orbit gaps. The spin current is the conventional one, which is not
conserved. What Kubo's formula holds besides, odd in the magnetisation for spin and dissipative (Re in place of Im), is
left out.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qtorque._linalg import adjoint
from qtorque._spin_hall_kernels import pair_sums
from qtorque.bulk import BlochSum, coupled_sum, require_material
from qtorque.cells import Cells, Peaks, refine
from qtorque.compiling import announced
from qtorque.errors import InputError, finite_number, whole_number
from qtorque.materials import Material
from qtorque.parallel import Checkpoint, checkpoint_part, map_chunks, sum_in_order
from qtorque.refinement import describe, warn_if_short
from qtorque.spin import PAULI, unit_vector
from qtorque.units import BOLTZMANN_EV, CONDUCTANCE_QUANTUM_PER_SPIN

AXES = ["x", "y", "z"]
LEVI_CIVITA = np.array([[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)])
"""epsilon_sij."""
E2_PER_HBAR = 2 * np.pi * CONDUCTANCE_QUANTUM_PER_SPIN
"""e^2/hbar in S."""
NM = 1e-9
S_PER_CM = 1e-2
"""S/cm in one S/m."""
ROOM_TEMPERATURE = 300.0
"""K; the sum over k of a step takes several times as many momenta."""
TOLERANCE = 0.01
"""Of a sum over k that is refined, relative, unless another is asked for."""
DEGENERATE = 1e-6
"""eV. Closer pairs are left out: those of Kramers contribute nothing but rounding over the square of their distance,
those that cross do so in a share of the zone of about the square of this over the band width."""
ROUNDING = 1e-12
"""Of the largest possible contribution of all pairs: errors of eigenvectors, which grow with the inverse of a gap."""
ENERGIES_AT_ONCE = 8
"""Of a refined sum: 2 kB for each cell that refinement keeps."""
MOST_ENERGIES = 1000
"""Of a call: 100 MB for the sums of one chunk of momenta."""
MOST_MESH_POINTS = 1000
"""Along each reciprocal vector: 10^9 momenta take days."""
CHUNK = 512
"""Momenta of one chunk of work: 20 MB for 18 orbitals with spin."""
FIRST_CELLS = 4
"""Cells a side that the zone is cut into first; even, for half a zone."""
ORDER = 2
"""Gauss points a side of a cell."""
FULL_ROUNDS = 1
"""Rounds in which every cell is halved: with the next one every cell has been looked at with 32 points a side."""
ORIGIN = (0.1131, 0.2718, 0.0)
"""Corner of the first cell, in units of the zone: away from symmetry planes, so that cells that are images of each
other are cut differently and their errors have independent signs. Half a zone begins at 0 along its short side."""
INVERSION_TOLERANCE = 1e-7
"""Relative difference of energies and Berry curvatures at k and -k that is still rounding."""
INVERSION_SAMPLES = 16
"""Random momenta at which it is looked at; what breaks the symmetry does so at every general momentum."""


@dataclass(frozen=True, eq=False)
class BulkHamiltonian:
    """The Bloch sum of a crystal, orbitals x spin, with its lattice.

    Parameters
    ----------
    lattice
        Primitive vectors as rows, nm. shape (3, 3)
    bloch
        H(k), N orbitals with spin.
    positions
        Of the orbitals in the cell, nm. shape (N, 3)
    """

    lattice: np.ndarray
    bloch: BlochSum
    positions: np.ndarray

    @classmethod
    def of_material(cls, material: Material, magnetization: ArrayLike = (0.0, 0.0, 1.0)) -> BulkHamiltonian:
        """With exchange and spin-orbit coupling on site."""
        positions = np.zeros((material.orbitals, 3)) if material.positions is None else material.positions
        total = coupled_sum(require_material(material), unit_vector(magnetization))
        return cls(material.lattice, total, np.repeat(positions, 2, axis=0))

    @property
    def volume(self) -> float:
        """Of the cell, nm^3."""
        return abs(float(np.linalg.det(self.lattice)))

    def at(self, phases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """H(k), (nk, N, N) in eV, and dH/dk_i, (nk, 3, N, N) in eV nm, at phases k.a1, k.a2, k.a3, (nk, 3).

        Phases belong to cells, not to orbitals; the derivative is the velocity at the true places all the same:
        dH/dk + i [H, position].
        """
        vectors, size = self.bloch.vectors, len(self.bloch.onsite)
        H = self.bloch.at(phases)
        waves = np.exp(1j * phases @ vectors.T)
        flat = self.bloch.hoppings.reshape(len(vectors), -1)
        steps = vectors @ self.lattice
        v = np.empty((len(phases), 3, size, size), dtype=complex)
        for i in range(3):
            half = (waves * (1j * steps[:, i]) @ flat).reshape(-1, size, size)
            v[:, i] = half + adjoint(half)
            place = self.positions[:, i]
            if place.any():
                v[:, i] += 1j * H * (place[None, :] - place[:, None])
        return H, v


@dataclass(frozen=True, eq=False)
class HallSum:
    """What is summed over k: sum_n f_n Omega_n,ij of currents {v_i, sigma_s}/2, at several Fermi energies.

    Parameters
    ----------
    hamiltonian
    spins
        Numbers s of Pauli matrices; 0 is the charge current.
    fermi_energies
        eV, shape (e,).
    kT
        eV; 0 is a step.
    """

    hamiltonian: BulkHamiltonian
    spins: tuple[int, ...]
    fermi_energies: np.ndarray
    kT: float

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.fermi_energies), len(self.spins), 3, 3

    def at(self, phases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """At every momentum: the sum, (nk, e, spins, flow, field), and the scale of its rounding, (nk, e), in nm^2."""
        H, v = self.hamiltonian.at(phases)
        energies, states = np.linalg.eigh(H)
        count, size = energies.shape
        moved = v @ states[:, None]
        split = states.reshape(count, size // 2, 2, size)
        current = np.empty((count, len(self.spins), 3, size, size), dtype=complex)
        for number, s in enumerate(self.spins):
            # (sigma_s states)^dagger v states; its Hermitian part is {v, sigma_s}/2.
            turned = (PAULI[s] @ split).reshape(states.shape)
            np.matmul(adjoint(turned)[:, None], moved, out=current[:, number])
        velocity = current[:, 0] if self.spins[0] == 0 else adjoint(states)[:, None] @ moved
        result = np.empty((count, len(self.fermi_energies), 3 * len(self.spins), 3))
        scale = np.empty((count, len(self.fermi_energies)))
        flat = current.reshape(count, -1, size, size)
        pair_sums(energies, flat, velocity, self.fermi_energies, self.kT, DEGENERATE, result, scale)
        return result.reshape(count, *self.shape), scale

    def even(self) -> bool:
        """Whether it is the same at k and -k: by time reversal or by inversion."""
        phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (INVERSION_SAMPLES, 3))
        (there, size), (back, _) = self.at(phases), self.at(-phases)
        noise = ROUNDING * float(size.max())
        energies, images = (np.linalg.eigvalsh(self.hamiltonian.at(x)[0]) for x in (phases, -phases))
        same = np.abs(there - back).max() <= INVERSION_TOLERANCE * np.abs(there).max() + noise
        return bool(same and np.abs(energies - images).max() <= INVERSION_TOLERANCE * np.abs(energies).max())


@dataclass(frozen=True)
class Volume:
    """The Brillouin zone of a crystal, or half of it where k and -k are equal; a `Domain` of `qtorque.cells.refine`."""

    halved: bool
    order: int = ORDER
    name: str = "adaptive cells"
    full_rounds: int = FULL_ROUNDS

    @property
    def cells(self) -> Cells:
        sides = (FIRST_CELLS, FIRST_CELLS, FIRST_CELLS // 2 if self.halved else FIRST_CELLS)
        low = np.array(list(itertools.product(*map(range, sides)))) / FIRST_CELLS
        return Cells(np.zeros(len(low), dtype=int), low, np.full(len(low), 1 / FIRST_CELLS))

    def place(self, piece: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * np.pi * (x + ORIGIN), np.full(x.shape[:2], 2.0 if self.halved else 1.0)

    def peaks(self, cells: Cells) -> Peaks:
        """None known."""
        return Peaks.none(len(cells.piece))


def spin_hall_conductivity(
    material: Material,
    *,
    energy: ArrayLike = 0.0,
    magnetization: ArrayLike = (0.0, 0.0, 1.0),
    temperature: float = ROOM_TEMPERATURE,
    tolerance: float | None = None,
    mesh: int | None = None,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    r"""Intrinsic spin Hall conductivity sigma^s_ij of a crystal, all 27 components; see `qtorque.spin_hall`.

    Parameters
    ----------
    material
        Any `Material`; spin-orbit coupling, or nothing but rounding comes out.
    energy
        Fermi energy, eV, or a list of them: all are summed over the same momenta. Of a library material 0 is the Fermi
        level without spin-orbit coupling; `qtorque.fermi_energy(material)` is the one with it. They differ by 0.084 eV
        for Pt, and its conductivity by 6.6 %. A refined sum takes 8 energies at a time, to bound the memory.
    magnetization
        Direction of the majority spin of a magnetic material.
    temperature
        K, of the Fermi function; 300 unless given. A step, at 0, takes several times as many momenta.
    tolerance
        Cells of k-space are halved until the estimated error of the sum is below this share of the largest component
        at any of the 8 energies; 0.01 unless given.
    mesh
        In place of a tolerance: n x n x n midpoints, without an estimate of the error.
    comm
        Ranks share the momenta; the result does not depend on their number.
    checkpoint
        Keeps finished chunks.
    progress
        Label of a progress report.

    Returns
    -------
    Dataset
        spin_hall_conductivity (spin, flow, field) in (hbar/e) S/cm, the unit of the literature; sigma_SI, the same in
        (hbar/2e) /(Ohm m); film_conductivity, (sigma^y_zx - sigma^x_zy)/2 in (hbar/2e) /(Ohm m): what a film with its
        normal along z sends through its surface per electric field, theta/rho of `qtorque.diffusion.spin_hall` and the
        `intrinsic_conductivity` of `qtorque.diffusion.spin_hall_angle`. If refined k_error, the largest of all
        components, (hbar/e) S/cm. With energy as first dimension for a list. Attributes: kmesh (what was summed over),
        and if refined tolerance.

    Raises
    ------
    InputError
        For bad arguments.

    Notes
    -----
    The error of refined sums is that of `qtorque.cells.refine`: an estimate from each cell and its halves.
    """
    values, error, attributes = _conductivity(
        "spin_hall_conductivity", material, (1, 2, 3), energy, magnetization, temperature, tolerance, mesh, comm,
        checkpoint, progress,
    )  # fmt: skip
    dims = ("energy", "spin", "flow", "field")
    sigma = values * S_PER_CM / 2
    # Spin y flows up in the field +x, spin -x in the field +y, where theta > 0.
    film = 0.5 * (values[:, 1, 2, 0] - values[:, 0, 2, 1])
    d = xr.Dataset(
        {
            "spin_hall_conductivity": _variable(dims, sigma, "(hbar/e) S/cm", "intrinsic spin Hall conductivity"),
            "sigma_SI": _variable(dims, values, "(hbar/2e) /(Ohm m)", "intrinsic spin Hall conductivity"),
            "film_conductivity": _variable(
                ("energy",), film, "(hbar/2e) /(Ohm m)", "spin Hall conductivity of a film with its normal along z"
            ),
            **_error_variable(error, S_PER_CM / 2, "(hbar/e) S/cm"),
        },
        coords=_coordinates(energy, spin="direction of the spin", flow="flow of electrons", field="electric field"),
        attrs=attributes,
    )
    return d if np.ndim(energy) else d.isel(energy=0)


def anomalous_hall_conductivity(
    material: Material,
    *,
    energy: ArrayLike = 0.0,
    magnetization: ArrayLike = (0.0, 0.0, 1.0),
    temperature: float = ROOM_TEMPERATURE,
    tolerance: float | None = None,
    mesh: int | None = None,
    comm=None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Intrinsic anomalous Hall conductivity of a magnetic crystal, sigma_ij = -(e^2/hbar)(1/(V N)) sum f_n Omega_n,ij.

    sigma_ij is charge current along i per electric field along j, equally electron flow per driving force; it is
    antisymmetric and odd in the magnetisation. Y. Yao et al., Phys. Rev. Lett. 92, 037204 (2004), from memory; their
    magnetisation is a moment, opposite to the majority spin `magnetization`.

    Parameters are those of `spin_hall_conductivity`.

    Returns
    -------
    Dataset
        anomalous_hall_conductivity (flow, field) and, if refined, k_error in S/cm, with energy as first dimension for
        a list.

    Raises
    ------
    InputError
        For bad arguments, and for a material that is not magnetic.
    """
    if not require_material(material).magnetic:
        raise InputError(f"material={material.name!r} is not magnetic and has no anomalous Hall effect; give a magnet")
    values, error, attributes = _conductivity(
        "anomalous_hall_conductivity", material, (0,), energy, magnetization, temperature, tolerance, mesh, comm,
        checkpoint, progress,
    )  # fmt: skip
    sigma = _variable(("energy", "flow", "field"), -S_PER_CM * values[:, 0], "S/cm", "anomalous Hall conductivity")
    d = xr.Dataset(
        {"anomalous_hall_conductivity": sigma, **_error_variable(error, S_PER_CM, "S/cm")},
        coords=_coordinates(energy, flow="current", field="electric field"),
        attrs=attributes,
    )
    return d if np.ndim(energy) else d.isel(energy=0)


def spin_hall_symmetry(d: xr.Dataset, *, tolerance: float = TOLERANCE) -> xr.Dataset:
    """How far a spin Hall conductivity is from that of a cubic crystal without magnetisation, sigma epsilon_sij.

    Such a crystal, and any other isotropic one, has six components of one size and no others, in whatever axes.

    Parameters
    ----------
    d
        Of `spin_hall_conductivity`.
    tolerance
        Share of the largest component that counts as zero.

    Returns
    -------
    Dataset
        isotropic, (1/6) sum epsilon_sij sigma^s_ij; deviation (spin, flow, field), sigma^s_ij - isotropic epsilon_sij;
        residual, the largest deviation over the largest component; vanishes (spin, flow, field), whether a component
        is zero.

    Raises
    ------
    InputError
        For a tolerance that is no share, or another Dataset.
    """
    if not isinstance(d, xr.Dataset) or "spin_hall_conductivity" not in d:
        names = list(d.data_vars) if isinstance(d, xr.Dataset) else d
        raise InputError(f"d={names!r} holds no spin_hall_conductivity; give what that function returns")
    if not 0 < finite_number("tolerance", tolerance, "no unit") < 1:
        raise InputError(f"tolerance={tolerance!r} must lie between 0 and 1")
    dims = ("spin", "flow", "field")
    sigma = d["spin_hall_conductivity"]
    unit = xr.DataArray(LEVI_CIVITA, dims=dims, coords=dict.fromkeys(dims, AXES))
    isotropic = (sigma * unit).sum(dims, skipna=False) / 6
    deviation = (sigma - isotropic * unit).transpose(*sigma.dims)
    largest = abs(sigma).max(dims, skipna=False)
    # Without any component there is nothing to deviate from.
    residual = abs(deviation).max(dims, skipna=False) / xr.where(largest == 0, 1.0, largest)
    found = {
        "isotropic": (isotropic, "(hbar/e) S/cm", "isotropic part of the spin Hall conductivity"),
        "deviation": (deviation, "(hbar/e) S/cm", "deviation from the isotropic part"),
        "residual": (residual, "1", "largest deviation over largest component"),
        "vanishes": (abs(sigma) <= tolerance * largest, "1", f"below {tolerance:g} of the largest component"),
    }
    return xr.Dataset({name: x.assign_attrs(units=u, long_name=text) for name, (x, u, text) in found.items()})


def _conductivity(
    name, material, spins, energy, magnetization, temperature, tolerance, mesh, comm, checkpoint, progress
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """sigma_s,ij in S/m, charge and hbar/2e alike, shape (energy, spins, 3, 3), its error (energy,) in the same unit
    if it was refined, and the attributes of the result."""
    require_material(material)
    listed = np.atleast_1d(np.asarray(energy, dtype=object))
    if listed.ndim > 1 or not 0 < listed.size <= MOST_ENERGIES:
        raise InputError(
            f"energy has shape {listed.shape}; give one number or a list of up to {MOST_ENERGIES} numbers in eV"
        )
    energies = np.array([finite_number("energy", x, "eV") for x in listed])
    kelvin = finite_number("temperature", temperature, "K")
    if kelvin < 0:
        raise InputError(f"temperature={temperature!r} is negative; give zero or more, in K")
    if mesh is not None and tolerance is not None:
        raise InputError(f"mesh={mesh!r} and tolerance={tolerance!r} are both given; leave one out")
    if mesh is not None:
        mesh = whole_number("mesh", mesh, 1, "points along each reciprocal vector", most=MOST_MESH_POINTS)
    goal = TOLERANCE if tolerance is None else finite_number("tolerance", tolerance, "no unit")
    if not 0 < goal < 1:
        raise InputError(f"tolerance={tolerance!r} must lie between 0 and 1")
    hamiltonian = BulkHamiltonian.of_material(material, magnetization)
    summand = HallSum(hamiltonian, spins, energies, BOLTZMANN_EV * kelvin)
    part = checkpoint_part(checkpoint, name, summand, mesh, goal)
    with announced(pair_sums):
        halved = summand.even()
    scale = E2_PER_HBAR / (hamiltonian.volume * NM)
    attributes = {"material": material.name, "temperature": kelvin, "k_equals_minus_k": int(halved)}
    if material.magnetic:
        attributes["magnetization"] = unit_vector(magnetization)
    if mesh is not None:
        total = _over_mesh(summand, mesh, halved, comm, part, progress)
        return scale * total, None, attributes | {"kmesh": f"{mesh} x {mesh} x {mesh} midpoints"}
    results, values, errors = [], [], []
    for start in range(0, len(energies), ENERGIES_AT_ONCE):
        few = dataclasses.replace(summand, fermi_energies=energies[start : start + ENERGIES_AT_ONCE])
        own = None if part is None else part.part(f"energies from {start}")
        result = _refined(few, halved, goal, comm, own, progress)
        warn_if_short(result, goal, name, comm, stacklevel=4)
        results.append(result)
        values.append(result.value.reshape(few.shape))
        errors.append((result.error + result.noise).reshape(len(few.fermi_energies), -1).max(axis=1))
    return scale * np.concatenate(values), scale * np.concatenate(errors), attributes | {
        "kmesh": describe(results), "tolerance": goal,
    }  # fmt: skip


def _over_mesh(summand: HallSum, n: int, halved: bool, comm, checkpoint, progress) -> np.ndarray:
    """The mean over the midpoints of n x n x n cells, in nm^2."""
    # Of a pair k, -k the one with the smaller third number; the middle plane of an odd mesh is its own image.
    layers = (n + 1) // 2 if halved else n
    pairs = np.full(layers, 2.0 if halved else 1.0)
    if halved and n % 2:
        pairs[-1] = 1.0

    def one(start: int) -> np.ndarray:
        number = np.arange(start, min(start + CHUNK, n * n * layers))
        index = np.stack(np.unravel_index(number, (layers, n, n)), axis=-1)[:, ::-1]
        values, _ = summand.at(2 * np.pi * (index + 0.5) / n)
        return np.tensordot(pairs[index[:, 2]] / n**3, values, axes=(0, 0))

    starts = range(0, n * n * layers, CHUNK)
    return np.asarray(sum_in_order(map_chunks(one, starts, comm, checkpoint, progress)))


def _refined(summand: HallSum, halved: bool, tolerance: float, comm, checkpoint, progress):
    """The mean over the zone by halving cells, in nm^2."""

    def evaluate(phases: np.ndarray, weights: np.ndarray, stage: str) -> tuple[np.ndarray, np.ndarray]:
        each = max(1, CHUNK // weights.shape[1])

        def one(start: int) -> tuple[np.ndarray, np.ndarray]:
            own = weights[start : start + each]
            values, size = summand.at(phases[start : start + each].reshape(-1, 3))
            total = np.einsum("bp,bpc->bc", own, values.reshape(*own.shape, -1))
            noise = ROUNDING * np.einsum("bp,bpe->be", np.abs(own), size.reshape(*own.shape, -1))
            return total, np.repeat(noise, total.shape[1] // noise.shape[1], axis=1)

        part = None if checkpoint is None else checkpoint.part(stage)
        parts = map_chunks(one, range(0, len(weights), each), comm, part, progress)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    return refine(Volume(halved), evaluate, tolerance=tolerance)


def _variable(dims, values, units: str, long_name: str):
    return dims, values, {"units": units, "long_name": long_name}


def _coordinates(energy: ArrayLike, **axes: str) -> dict:
    found: dict = {name: (name, AXES, {"units": "1", "long_name": text}) for name, text in axes.items()}
    found["energy"] = ("energy", np.ravel(np.asarray(energy, float)), {"units": "eV", "long_name": "Fermi energy"})
    return found


def _error_variable(error: np.ndarray | None, factor: float, units: str) -> dict:
    """The estimated error of every energy; nothing for a mesh."""
    if error is None:
        return {}
    return {"k_error": _variable(("energy",), factor * error, units, "estimated error of the sum over k")}
